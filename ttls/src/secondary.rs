//! Secondary connections (`SecondaryMap On`): while a primary connection is up, further ones of the same program with the same
//! peer have its rule, whatever their ports. FTP's data connections are such.
//!
//! The kernel captures by address pair; whether a connection is the primary's program's is asked when it is here.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use policies::{Direction, TtlsRule};
use stack::{Endpoints, StackError, owner, socket};

use crate::engine::Shared;
use crate::environment::Environment;
use crate::error::{ConnectionError, InstallError};
use crate::install::nft;

/// Local and remote address.
type Pair = (IpAddr, IpAddr);

/// The pairs between which primary connections are up, with how many.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    held: Mutex<HashMap<Pair, usize>>,
    /// Held while the kernel's set changes.
    changing: tokio::sync::Mutex<()>,
}

/// A primary connection's hold on its pair; the kernel captures it until the last is dropped.
pub(crate) struct Hold {
    shared: Arc<Shared>,
    pair: Pair,
}

impl Pairs {
    fn count(&self, pair: Pair, change: impl FnOnce(&mut usize)) -> usize {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(pair).or_default();
        change(count);
        let left = *count;
        if left == 0 {
            held.remove(&pair);
        }
        left
    }

    /// The commands that put all pairs into a new table.
    pub(crate) fn elements(&self) -> String {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.keys().fold(String::new(), |mut text, pair| {
            let _ = writeln!(text, "add {}", element(*pair));
            text
        })
    }
}

fn element((local, remote): Pair) -> String {
    let family = if local.is_ipv4() { 4 } else { 6 };
    format!("element inet pagent secondary{family} {{ {local} . {remote} }}")
}

/// Makes the kernel capture all connections of a primary's pair.
pub(crate) async fn hold(shared: &Arc<Shared>, endpoints: Endpoints) -> Result<Hold, InstallError> {
    let pair = (endpoints.local.ip(), endpoints.remote.ip());
    let _unchanged = shared.installing.read().await;
    let _changing = shared.pairs.changing.lock().await;
    let first = shared.pairs.count(pair, |count| *count += 1) == 1;
    let hold = Hold { shared: Arc::clone(shared), pair };
    if first {
        run(format!("add {}\n", element(pair))).await?;
    }
    Ok(hold)
}

impl Drop for Hold {
    fn drop(&mut self) {
        let (shared, pair) = (Arc::clone(&self.shared), self.pair);
        tokio::spawn(async move {
            let _unchanged = shared.installing.read().await;
            let _changing = shared.pairs.changing.lock().await;
            if shared.pairs.count(pair, |count| *count = count.saturating_sub(1)) == 0 {
                // A table that is gone has no element either.
                let _ = run(format!("delete {}\n", element(pair))).await;
            }
        });
    }
}

async fn run(command: String) -> Result<(), InstallError> {
    let done = tokio::task::spawn_blocking(move || nft(&command)).await;
    done.unwrap_or_else(|error| Err(InstallError::Rejected { stderr: error.to_string() }))
}

/// The treatment a connection without a rule of its own has from a primary one.
pub(crate) async fn primary_of(
    shared: &Shared,
    endpoints: Endpoints,
    direction: Direction,
) -> Result<Option<(Arc<TtlsRule>, Arc<Environment>)>, ConnectionError> {
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
    // The program's own socket of each primary: a listener's may be another process's.
    let theirs: Vec<u32> = candidates
        .iter()
        .map(|session| {
            let socket = session.program.and_then(|ends| socket::lookup(ends).ok().flatten());
            socket.map_or(0, |socket| socket.inode)
        })
        .collect();
    let inodes: Vec<u32> = theirs.iter().copied().chain([own.inode]).collect();
    let found = tokio::task::spawn_blocking(move || {
        let owners = owner::of_inodes(&inodes);
        let owner = owners.get(&own.inode)?;
        let is_one = |inode: &u32| owners.get(inode).is_some_and(|primary| primary.is_one_with(owner));
        Some(theirs.iter().position(is_one))
    });
    let position = found.await.ok().flatten().ok_or_else(unknown)?;
    Ok(position.and_then(|position| candidates.get(position)?.primary.clone()))
}
