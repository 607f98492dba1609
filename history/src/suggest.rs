//! Rules written from what was observed: servers in clear text that could be wrapped, and minimums that break nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use policies::protection::version_word;

use crate::usage::{Role, Usage};

/// Protocols whose upgrade AT-TLS speaks in the program's stead, by port.
const NEGOTIATED: &[(u16, &str)] =
    &[(21, "ftp"), (25, "smtp"), (587, "smtp"), (110, "pop3"), (143, "imap"), (389, "ldap"), (5432, "postgres")];

/// What was seen on a port of this host.
#[derive(Default)]
struct Seen {
    jobs: BTreeSet<String>,
    peers: BTreeSet<std::net::IpAddr>,
    clear: u64,
    tls: u64,
    ssh: u64,
    lowest: Option<u16>,
    all: u64,
}

/// A policy file with what the history suggests for the servers of this host. Comments say why.
#[must_use]
pub fn suggest(usages: &[Usage]) -> String {
    let mut ports: BTreeMap<u16, Seen> = BTreeMap::new();
    // FTP's data connections are on ports of their own.
    for usage in usages.iter().filter(|usage| usage.session.role == Role::Server && !usage.session.data) {
        let (session, attributes) = (&usage.session, &usage.session.attributes);
        // A handshake that failed agreed on nothing: nobody is broken by a minimum on it.
        if attributes.failed || usage.counts.connections == 0 {
            continue;
        }
        let seen = ports.entry(session.port).or_default();
        let count = usage.counts.connections;
        seen.all += count;
        seen.peers.insert(session.peer());
        seen.jobs.extend((!session.jobname.is_empty()).then(|| session.jobname.clone()));
        match attributes.protocol.as_str() {
            "TLS" => {
                seen.tls += count;
                let version = attributes.observed.as_ref().and_then(|observed| observed.version);
                seen.lowest = [seen.lowest, version].into_iter().flatten().min();
            }
            "SSH" => seen.ssh += count,
            // Whoever only connects (a scanner, a balancer's check) is no client.
            _ if usage.counts.bytes_in == 0 => {}
            _ => seen.clear += count,
        }
    }
    let mut text =
        String::from("# Suggested from recorded connections. Look it over: what was not seen is not in it.\n");
    let in_clear = || ports.iter().filter(|(_, seen)| seen.clear > 0);
    let clear: Vec<(&u16, &Seen)> = in_clear().filter(|(_, seen)| seen.tls == 0 && seen.ssh == 0).collect();
    let mixed: Vec<(&u16, &Seen)> = in_clear().filter(|(_, seen)| seen.tls > 0 || seen.ssh > 0).collect();
    for (port, seen) in &mixed {
        let _ = write!(
            text,
            "\n# Port {port}{}: {} of {} connections of {} peers were in clear, others were not: the server protects them itself, and is \
             not to\n# be wrapped. Have it demand that.\n",
            jobs(seen),
            seen.clear,
            seen.all,
            seen.peers.len(),
        );
    }
    for (port, seen) in &clear {
        let _ = write!(
            text,
            "\n# Port {port}{}: {} of {} connections of {} peers were in clear. Their clients need TLS before this is installed.\n\
             TTLSRule WRAP_{port}\n{{\n  LocalPortRange {port}\n  Direction Inbound\n  Priority 10\n  \
             TTLSGroupActionRef WRAP_GROUP\n  TTLSEnvironmentActionRef WRAP_ENVIRONMENT\n{}}}\n",
            jobs(seen),
            seen.clear,
            seen.all,
            seen.peers.len(),
            negotiate(**port)
                .map(|_| format!("  TTLSConnectionActionRef WRAP_CONNECTION_{port}\n"))
                .unwrap_or_default(),
        );
        if let Some(protocol) = negotiate(**port) {
            let _ = write!(
                text,
                "TTLSConnectionAction WRAP_CONNECTION_{port}\n{{\n  TTLSConnectionAdvancedParms\n  {{\n    Negotiate {protocol}\n  \
                 }}\n}}\n"
            );
        }
    }
    if !clear.is_empty() {
        text.push_str(
            "\n# The ring with this host's certificate: RACDCERT makes it.\n\
             TTLSGroupAction WRAP_GROUP\n{\n  TTLSEnabled On\n}\n\
             TTLSEnvironmentAction WRAP_ENVIRONMENT\n{\n  HandshakeRole Server\n  TTLSKeyringParms\n  {\n    \
             Keyring TCPIP/TCPIP-KEYRING\n  }\n  TTLSEnvironmentAdvancedParms\n  {\n    TLSv1.2 On\n    TLSv1.3 On\n  }\n}\n",
        );
    }
    let mut minimums: BTreeMap<String, Vec<u16>> = BTreeMap::new();
    for (port, seen) in ports.iter().filter(|(_, seen)| seen.clear == 0) {
        match (seen.tls, seen.ssh, seen.lowest) {
            // Versions older than SSLv3 have no word, and no place in a minimum.
            (1.., 0, Some(lowest)) if lowest >= 0x0300 => {
                let minimum = format!("  Protocol TLS\n  MinimumVersion {}\n", version_word(lowest));
                minimums.entry(minimum).or_default().push(*port);
            }
            (0, 1.., _) => {
                minimums.entry("  Protocol SSH\n  MinimumSSHVersion SSHv2\n".to_owned()).or_default().push(*port)
            }
            _ => {}
        }
    }
    for (number, (demand, ports)) in minimums.iter().enumerate() {
        let lines: String = ports.iter().map(|port| format!("  LocalPortRange {port}\n")).collect();
        let _ = write!(
            text,
            "\n# Every connection recorded to these ports has it: nobody of them would be reset.\n\
             zERTPolicyRule KEEP_{0}\n{{\n{lines}  Direction Inbound\n  zERTPolicyActionRef KEEP_{0}\n}}\n\
             zERTPolicyAction KEEP_{0}\n{{\n  Action Reset LogSyslogd\n{demand}}}\n",
            number + 1,
        );
    }
    if clear.is_empty() && mixed.is_empty() && minimums.is_empty() {
        text.push_str("\n# No server of this host was seen in this period.\n");
    }
    text
}

fn negotiate(port: u16) -> Option<&'static str> {
    NEGOTIATED.iter().find(|(known, _)| *known == port).map(|(_, protocol)| *protocol)
}

fn jobs(seen: &Seen) -> String {
    let jobs: Vec<&str> = seen.jobs.iter().map(String::as_str).collect();
    if jobs.is_empty() { String::new() } else { format!(" ({})", jobs.join(", ")) }
}
