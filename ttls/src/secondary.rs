//! Secondary connections (`SecondaryMap On`, and FTP's data connections under `Negotiate ftp`): while a primary connection is up,
//! and a little longer, further ones of the same program with the same peer have its rule, whatever their ports.
//!
//! The kernel captures by the peer's address; whether a connection is the primary's program's is asked when it is here.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use policies::{Direction, TtlsRule};
use stack::{Endpoints, Socket, StackError, owner, socket};
use tracing::warn;

use crate::capture::secondary_set;
use crate::engine::{CaptureSettings, Shared};
use crate::environment::Environment;
use crate::error::{ConnectionError, InstallError};
use crate::registry::Session;

/// How long a primary connection that has ended still lends its rule: its program may open another one meanwhile.
const LINGER: Duration = Duration::from_secs(10);
/// How often, and how many times, the process of a connection is looked for: a server accepts it in its own time.
const AGAIN: Duration = Duration::from_millis(50);
const TIMES: usize = 100;

/// What secondary connections have from a primary one.
#[derive(Clone, Debug)]
pub(crate) struct Lent {
    pub(crate) rule: Arc<TtlsRule>,
    pub(crate) environment: Arc<Environment>,
    /// Its ends: a client resumes its session, a client's user has to be permitted its port.
    pub(crate) primary: Endpoints,
}

/// A primary connection.
#[derive(Debug)]
pub(crate) struct Primary {
    lent: Lent,
    /// The ends as the program's socket has them.
    program: Option<Endpoints>,
    /// Its program's process, once it is known: the socket may be gone by the time it is asked for.
    process: Mutex<Option<Process>>,
}

#[derive(Clone, Debug)]
struct Process {
    uid: u32,
    pid: i32,
    lineage: Vec<i32>,
}

impl Process {
    fn of(socket: &Socket, owner: &owner::Owner) -> Self {
        Self { uid: socket.uid, pid: owner.pid, lineage: owner.lineage() }
    }

    /// Whether it may have what a primary connection of the other lends. A server that is root has sessions that are their
    /// users'; nobody else lends his rule to others.
    fn may_have_it_from(&self, primary: &Self) -> bool {
        let descends = self.lineage.contains(&primary.pid);
        if self.uid == primary.uid {
            descends || primary.lineage.contains(&self.pid)
        } else {
            primary.uid == 0 && descends
        }
    }
}

/// The primary connections that are up, or were a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Primaries {
    held: Mutex<Vec<Arc<Primary>>>,
    /// Held while the kernel's set changes.
    changing: tokio::sync::Mutex<()>,
}

impl Primaries {
    fn held(&self) -> MutexGuard<'_, Vec<Arc<Primary>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with(&self, peer: IpAddr) -> Vec<Arc<Primary>> {
        self.held().iter().filter(|primary| primary.lent.primary.remote.ip() == peer).cloned().collect()
    }

    /// Whether there are any with a peer.
    pub(crate) fn are_with(&self, peer: IpAddr) -> bool {
        self.held().iter().any(|primary| primary.lent.primary.remote.ip() == peer)
    }

    /// Whether there are any.
    pub(crate) fn any(&self) -> bool {
        !self.held().is_empty()
    }

    /// The commands that put all their peers into a table.
    pub(crate) fn elements(&self, holder: u64) -> String {
        let peers: BTreeSet<IpAddr> = self.held().iter().map(|primary| primary.lent.primary.remote.ip()).collect();
        peers.into_iter().fold(String::new(), |mut text, peer| {
            let _ = writeln!(text, "add {}", element(holder, peer));
            text
        })
    }
}

fn element(holder: u64, peer: IpAddr) -> String {
    let set = secondary_set(if peer.is_ipv4() { 4 } else { 6 }, holder);
    format!("element inet pagent {set} {{ {peer} }}")
}

/// Makes the kernel capture all connections with a primary's peer, until some time after [`release`]. Nothing is lent: nothing
/// is done.
pub(crate) async fn hold(
    shared: &Arc<Shared>,
    session: &Session,
    lent: Option<Lent>,
) -> Result<Option<Arc<Primary>>, InstallError> {
    let Some(lent) = lent else { return Ok(None) };
    let primary = Arc::new(Primary { lent, program: session.program, process: Mutex::default() });
    let peer = primary.lent.primary.remote.ip();
    {
        // One waits for the kernel at a time; an installation waits for one at most.
        let _changing = shared.primaries.changing.lock().await;
        let _unchanged = shared.installing.read().await;
        if !shared.primaries.are_with(peer) {
            change(shared, format!("add {}\n", element(shared.holder, peer))).await?;
        }
        shared.primaries.held().push(Arc::clone(&primary));
    }
    tokio::spawn(learn(Arc::clone(&primary)));
    Ok(Some(primary))
}

/// Finds the process of a primary connection.
async fn learn(primary: Arc<Primary>) {
    for _ in 0..TIMES {
        // Only the registry of primaries and this hold one that is up.
        if primary.process().is_some() || Arc::strong_count(&primary) == 1 {
            return;
        }
        let looking = Arc::clone(&primary);
        if tokio::task::spawn_blocking(move || looking.look()).await.is_err() {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

impl Primary {
    fn process(&self) -> Option<Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its program's process, looked for if it is not known; none: it cannot be told, or the program has not accepted it.
    fn look(&self) -> Option<Process> {
        if let Some(known) = self.process() {
            return Some(known);
        }
        let socket = socket::lookup(self.program?).ok().flatten().filter(|socket| socket.inode != 0)?;
        let found = Process::of(&socket, owner::of_inodes(&[socket.inode]).get(&socket.inode)?);
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        Some(found)
    }
}

/// A primary connection ends.
pub(crate) fn release(shared: &Arc<Shared>, primary: Arc<Primary>) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        // A connection that no program had opens no other.
        if primary.process().is_some() {
            tokio::time::sleep(LINGER).await;
        }
        let peer = primary.lent.primary.remote.ip();
        let _changing = shared.primaries.changing.lock().await;
        let _unchanged = shared.installing.read().await;
        shared.primaries.held().retain(|held| !Arc::ptr_eq(held, &primary));
        if !shared.primaries.are_with(peer) {
            // A table that is gone has no element either.
            let _ = change(&shared, format!("delete {}\n", element(shared.holder, peer))).await;
        }
    });
}

/// Puts all peers into the kernel's table again.
pub(crate) async fn hold_again(shared: &Shared) {
    let _changing = shared.primaries.changing.lock().await;
    let elements = shared.primaries.elements(shared.holder);
    if !elements.is_empty()
        && let Err(error) = change(shared, elements).await
    {
        warn!(%error, "secondary connections are not captured");
    }
}

async fn change(shared: &Shared, command: String) -> Result<(), InstallError> {
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
    let candidates = shared.primaries.with(endpoints.remote.ip());
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
    let decided = tokio::task::spawn_blocking(move || {
        let process = Process::of(&own, owner::of_inodes(&[own.inode]).get(&own.inode)?);
        let theirs: Vec<Option<Process>> = candidates.iter().map(|primary| primary.look()).collect();
        let found = theirs.iter().position(|primary| primary.as_ref().is_some_and(|one| process.may_have_it_from(one)));
        match found {
            Some(at) => candidates.get(at).map(|primary| Some(primary.lent.clone())),
            // One of them may be the program's: not accepted yet.
            None if theirs.iter().any(Option::is_none) => None,
            None => Some(None),
        }
    });
    decided.await.ok().flatten().ok_or_else(unknown)
}
