//! Secondary connections (`SecondaryMap On`): while a primary connection is up, further ones of the same program with the same
//! peer have its rule, whatever their ports. FTP's data connections are such.
//!
//! The kernel captures by address pair; whether a connection is the primary's program's is asked when it is here.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use policies::Direction;
use stack::{Endpoints, Socket, StackError, State, owner, socket};
use tracing::warn;

use crate::capture::secondary_set;
use crate::engine::{CaptureSettings, Shared};
use crate::error::{ConnectionError, InstallError};
use crate::registry::Lent;

/// Local and remote address.
type Pair = (IpAddr, IpAddr);

/// The pairs between which primary connections are up, with how many.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    held: Mutex<HashMap<Pair, usize>>,
    /// Held while the kernel's set changes.
    changing: tokio::sync::Mutex<()>,
}

impl Pairs {
    fn held(&self) -> MutexGuard<'_, HashMap<Pair, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The commands that put all pairs into a table.
    pub(crate) fn elements(&self) -> String {
        self.held().keys().fold(String::new(), |mut text, pair| {
            let _ = writeln!(text, "add {}", element(*pair));
            text
        })
    }

    /// Whether a primary connection is up.
    pub(crate) fn any(&self) -> bool {
        !self.held().is_empty()
    }
}

fn element((local, remote): Pair) -> String {
    let set = secondary_set(if local.is_ipv4() { 4 } else { 6 }, std::process::id());
    format!("element inet pagent {set} {{ {local} . {remote} }}")
}

/// Makes the kernel capture all connections of a primary's pair, until [`release`].
pub(crate) async fn hold(shared: &Shared, endpoints: Endpoints) -> Result<(), InstallError> {
    let pair = (endpoints.local.ip(), endpoints.remote.ip());
    // One waits for the kernel at a time; an installation waits for one at most.
    let _changing = shared.pairs.changing.lock().await;
    let _unchanged = shared.installing.read().await;
    if !shared.pairs.held().contains_key(&pair) {
        run(shared, format!("add {}\n", element(pair))).await?;
    }
    *shared.pairs.held().entry(pair).or_default() += 1;
    Ok(())
}

/// A primary connection ends.
pub(crate) async fn release(shared: &Shared, endpoints: Endpoints) {
    let pair = (endpoints.local.ip(), endpoints.remote.ip());
    let _changing = shared.pairs.changing.lock().await;
    let _unchanged = shared.installing.read().await;
    let last = shared.pairs.held().get(&pair) == Some(&1);
    if last {
        shared.pairs.held().remove(&pair);
        // A table that is gone has no element either.
        let _ = run(shared, format!("delete {}\n", element(pair))).await;
    } else if let Some(count) = shared.pairs.held().get_mut(&pair) {
        *count -= 1;
    }
}

/// Puts all pairs into the kernel's table again.
pub(crate) async fn hold_again(shared: &Shared) {
    let _changing = shared.pairs.changing.lock().await;
    let elements = shared.pairs.elements();
    if !elements.is_empty()
        && let Err(error) = run(shared, elements).await
    {
        warn!(%error, "secondary connections are not captured");
    }
}

async fn run(shared: &Shared, command: String) -> Result<(), InstallError> {
    // Only captured connections are primary ones.
    let Some(kernel) = shared.settings.capture.as_ref().map(CaptureSettings::kernel) else { return Ok(()) };
    let done = tokio::task::spawn_blocking(move || kernel.change(&command)).await;
    done.unwrap_or_else(|error| Err(InstallError::Rejected { stderr: error.to_string() }))
}

/// The treatment a connection without a rule of its own has from a primary one.
pub(crate) async fn primary_of(
    shared: &Shared,
    endpoints: Endpoints,
    direction: Direction,
) -> Result<Option<Lent>, ConnectionError> {
    let candidates = shared.registry.primaries(endpoints.local.ip(), endpoints.remote.ip());
    if candidates.is_empty() {
        return Ok(None);
    }
    // A secondary connection must not be missed: an owner that cannot be told is refused.
    let unknown = || ConnectionError::OwnerUnknown(StackError::Malformed { what: "a socket's owner" });
    let found = match direction {
        Direction::Outbound => socket::lookup(endpoints),
        Direction::Inbound => socket::listener(endpoints.local),
    };
    let own = found.map_err(ConnectionError::OwnerUnknown)?.filter(|socket| socket.inode != 0).ok_or_else(unknown)?;
    // The program's own socket of each primary: a listener's may be another process's. One that its program has closed is
    // on its way out and lends nothing.
    let mut theirs: Vec<(usize, Socket)> = Vec::new();
    for (at, session) in candidates.iter().enumerate() {
        let Some(ends) = session.program else { continue };
        let socket = socket::lookup(ends).map_err(ConnectionError::OwnerUnknown)?;
        let up = socket.filter(|socket| matches!(socket.state, State::Established | State::CloseWait));
        theirs.extend(up.map(|socket| (at, socket)));
    }
    let inodes: Vec<u32> = theirs.iter().map(|(_, socket)| socket.inode).chain([own.inode]).collect();
    let found = tokio::task::spawn_blocking(move || {
        let owners = owner::of_inodes(&inodes);
        let owner = owners.get(&own.inode)?;
        // A server that is root has sessions that are their users'; nobody else lends his rule to others.
        let is_one = |primary: &Socket| {
            let theirs = owners.get(&primary.inode)?;
            let same_user = primary.uid == own.uid;
            Some(if same_user {
                owner.is_of(theirs) || theirs.is_of(owner)
            } else {
                primary.uid == 0 && owner.is_of(theirs)
            })
        };
        let verdicts: Vec<(usize, Option<bool>)> = theirs.iter().map(|(at, primary)| (*at, is_one(primary))).collect();
        match verdicts.iter().find(|(_, verdict)| *verdict == Some(true)) {
            Some((at, _)) => Some(Some(*at)),
            // One of them may be the program's: not accepted yet.
            None if verdicts.iter().any(|(_, verdict)| verdict.is_none()) => None,
            None => Some(None),
        }
    });
    let position = found.await.ok().flatten().ok_or_else(unknown)?;
    Ok(position.and_then(|position| candidates.get(position)?.lends()))
}
