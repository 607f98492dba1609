//! The road to this host stays open: a policy that resets connections to a port of the host's own SSH is not installed without
//! somebody's saying so.

use std::collections::BTreeMap;
use std::fs;

use policies::Policy;
use stack::socket::{self, State};
use stack::{StackError, owner};

/// The port of SSH: whoever listens there.
const SSH: u16 = 22;
/// Programs that serve SSH, as /proc calls them.
const SERVERS: [&str; 3] = ["sshd", "sshd-session", "dropbear"];

/// Looks a policy over.
///
/// # Errors
///
/// What it would cut off and what to do about it, or why that cannot be told.
pub(crate) fn check(policy: &Policy) -> Result<(), String> {
    if !policy.zert.iter().any(|rule| rule.action.reset) {
        return Ok(());
    }
    let ports =
        ssh_ports().map_err(|error| format!("whether zERT rules reset this host's SSH cannot be told: {error}"))?;
    let cut: Vec<String> = ports
        .into_iter()
        .filter_map(|(port, pid)| {
            let rule = policy.resets_ssh_to(port)?;
            Some(format!(
                "zERTPolicyRule `{}` ({}) may reset SSH connections to port {port}, where this host's SSH is served (pid {pid}); \
                 whoever administers it would be locked out. Code a rule with `LocalPortRange {port}` and `Action Allow`, and no other condition, that is \
                 searched before it, or say --force (pagent refresh --force, pagent run --force)",
                rule.name,
                rule.origin.short(),
            ))
        })
        .collect();
    if cut.is_empty() { Ok(()) } else { Err(cut.join("\n")) }
}

/// The local ports on which SSH is served, with a process that does: by listeners, and by connections of sessions where
/// another program listens for them (systemd).
fn ssh_ports() -> Result<BTreeMap<u16, i32>, StackError> {
    let sockets = socket::list(&[State::Listen, State::Established])?;
    let inodes: Vec<u32> = sockets.iter().map(|socket| socket.inode).collect();
    let owners = owner::of_inodes(&inodes);
    let serves_ssh = |pid: i32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        SERVERS.contains(&name.trim_end())
    };
    let mut known: BTreeMap<i32, bool> = BTreeMap::new();
    let mut ports = BTreeMap::new();
    for socket in &sockets {
        let port = socket.endpoints.local.port();
        let Some(owner) = owners.get(&socket.inode) else { continue };
        // systemd listens for servers that it starts when somebody comes.
        if socket.state == State::Listen && port == SSH {
            ports.entry(port).or_insert(owner.pid);
        }
        if *known.entry(owner.pid).or_insert_with(|| serves_ssh(owner.pid)) {
            // A session that forwards connections has sockets on other ports, opened by itself.
            if socket.state == State::Listen || port < 32_768 {
                ports.entry(port).or_insert(owner.pid);
            }
        }
    }
    Ok(ports)
}
