//! What commands print, as lines.

use std::fmt::Write as _;

use policies::cipher;
use policies::report::Rule;
use serde::Deserialize;
use smf::detail::{Event, HandshakeType, LocalRole};
use smf::{ConnectionDetail, RacfRecord};
use stack::{Socket, StackError, State, owner, socket};
use zert::Statistics;

/// States of a connection, listeners left out.
pub(crate) const CONNECTED: [State; 9] = [
    State::Established,
    State::SynSent,
    State::SynReceived,
    State::FinWait1,
    State::FinWait2,
    State::TimeWait,
    State::CloseWait,
    State::LastAck,
    State::Closing,
];

/// A rule in the seed's layout of `pasearch -p TTLS`: the address and ports of the end that accepts connections. What
/// else is coded follows as lines of the same kind.
pub(crate) fn rule(rule: &Rule) -> Vec<String> {
    let ports = |ranges: &[(u16, u16)]| {
        let range = |(from, to): &(u16, u16)| if from == to { from.to_string() } else { format!("{from}-{to}") };
        if ranges.is_empty() { "All".to_owned() } else { ranges.iter().map(range).collect::<Vec<_>>().join(", ") }
    };
    let local = (rule.local_addresses.join(", "), ports(&rule.local_ports));
    let remote = (rule.remote_addresses.join(", "), ports(&rule.remote_ports));
    let inbound = rule.direction == "Inbound";
    let ((address, port), (other, other_port)) = if inbound { (local, remote) } else { (remote, local) };
    let mut lines =
        vec![format!("TTLS Rule: {}", rule.name), format!("Address: {address}"), format!("PortRange: {port}")];
    let other_end = if inbound { "Remote" } else { "Local" };
    for (label, value) in [("Address", other), ("PortRange", other_port)] {
        if value != "All" {
            lines.push(format!("{other_end}{label}: {value}"));
        }
    }
    for (label, name) in [("Jobname", &rule.jobname), ("Userid", &rule.userid)] {
        if !name.is_empty() {
            lines.push(format!("{label}: {name}"));
        }
    }
    lines.push(format!("Direction: {}", rule.direction));
    lines.push(format!("Status: {}", if rule.active { "Active" } else { "Inactive" }));
    let action = |scope: &str| rule.actions.iter().find(|action| action.scope == scope).map(|action| &action.name);
    lines.extend(action("Environment").or_else(|| action("Group")).map(|name| format!("TTLS Action: {name}")));
    let version = if rule.enabled { rule.versions.join(", ") } else { "None (TTLSEnabled Off)".to_owned() };
    lines.push(format!("Version: {version}"));
    lines.extend(rule.keyring.iter().map(|keyring| format!("KeyringName: {keyring}")));
    lines
}

/// The seed's `D TCPIP,,NETSTAT,STATS,PROTOCOL=ZERT`.
pub(crate) fn zert_statistics(statistics: &Statistics) -> Vec<String> {
    vec![
        "ZERT STATISTICS:".to_owned(),
        format!("CONNECTIONS OBSERVED = {:08}", statistics.observed),
        format!("CONNECTIONS RESET = {:08}", statistics.reset),
        format!("CONNECTIONS LOGGED = {:08}", statistics.logged),
        "END OF THE REPORT".to_owned(),
    ]
}

/// `D TCPIP,,NETSTAT,CONN`: the host's connections in the seed's layout.
pub(crate) fn connections_of_host() -> Result<Vec<String>, StackError> {
    let sockets = socket::list(&CONNECTED)?;
    let inodes: Vec<u32> = sockets.iter().map(|socket| socket.inode).collect();
    let owners = owner::of_inodes(&inodes);
    let mut lines = vec!["USER ID  CONN     LOCAL SOCKET           FOREIGN SOCKET         STATE".to_owned()];
    lines.extend(sockets.iter().map(|socket| {
        let job = owners.get(&socket.inode).map(|owner| owner.jobname.as_str()).unwrap_or_default();
        connection_line(socket, job)
    }));
    lines.push(format!("{0} OF {0} RECORDS DISPLAYED", sockets.len()));
    lines.push("END OF THE REPORT".to_owned());
    Ok(lines)
}

fn connection_line(socket: &Socket, job: &str) -> String {
    let state = match socket.state {
        State::Established => "ESTBLSH",
        State::SynSent => "SYNSENT",
        State::SynReceived => "SYNRCVD",
        State::FinWait1 => "FIN-WT1",
        State::FinWait2 => "FIN-WT2",
        State::TimeWait => "TIMEWAT",
        State::Close => "CLOSED",
        State::CloseWait => "CLSWT",
        State::LastAck => "LASTACK",
        State::Listen => "LISTEN",
        State::Closing => "CLOSING",
    };
    let end = |end: std::net::SocketAddr| format!("{}..{}", end.ip(), end.port());
    let (local, remote) = (end(socket.endpoints.local), end(socket.endpoints.remote));
    format!("{job:8} {} {local:22} {remote:22} {state}", socket.id())
}

/// A connection of the engine, as the API gives it.
#[derive(Debug, Deserialize)]
pub(crate) struct SessionView {
    id: Option<String>,
    direction: String,
    endpoints: EndpointsView,
    rule: String,
    negotiated: Option<NegotiatedView>,
    state: serde_json::Value,
    bytes_in: u64,
    bytes_out: u64,
}

#[derive(Debug, Deserialize)]
struct EndpointsView {
    local: String,
    remote: String,
}

#[derive(Debug, Deserialize)]
struct NegotiatedView {
    version: u16,
    suite: u16,
    group: Option<u16>,
    resumed: bool,
    fips: bool,
    #[serde(default)]
    user: Option<String>,
}

/// `pagent connections`.
pub(crate) fn sessions(sessions: &[SessionView]) -> Vec<String> {
    let mut lines = vec![format!(
        "{:8} {:8} {:21} {:21} {:16} {:7} {:28} {:18} {:7} {:4} {:8} {:>9} {:>9} {}",
        "CONN",
        "DIR",
        "LOCAL",
        "REMOTE",
        "RULE",
        "VERSION",
        "CIPHER",
        "GROUP",
        "RESUMED",
        "FIPS",
        "USERID",
        "IN",
        "OUT",
        "STATE"
    )];
    for session in sessions {
        let negotiated = session.negotiated.as_ref();
        let version =
            negotiated.map_or_else(|| "clear".to_owned(), |found| zert::judge::version_name(found.version).to_owned());
        let suite = negotiated.map(|found| cipher::name(found.suite)).unwrap_or_default();
        let group = negotiated.and_then(|found| found.group).map(policies::group::name).unwrap_or_default();
        let resumed = negotiated.map_or("", |found| if found.resumed { "yes" } else { "no" });
        let fips = negotiated.map_or("", |found| if found.fips { "yes" } else { "no" });
        let user = negotiated.and_then(|found| found.user.as_deref()).unwrap_or_default();
        let state = match &session.state {
            serde_json::Value::String(state) => state.clone(),
            other => other.get("Failed").and_then(|reason| reason.as_str()).unwrap_or_default().to_owned(),
        };
        let version = if matches!(session.state, serde_json::Value::Object(_)) && negotiated.is_none() {
            "-".to_owned()
        } else {
            version
        };
        let id = session.id.as_deref().unwrap_or("-");
        lines.push(
            format!(
                "{id:8} {:8} {:21} {:21} {:16} {version:7} {suite:28} {group:18} {resumed:7} {fips:4} {user:8} {:>9} {:>9} {state}",
                session.direction,
                session.endpoints.local,
                session.endpoints.remote,
                session.rule,
                session.bytes_in,
                session.bytes_out,
            )
            .trim_end()
            .to_owned(),
        );
    }
    lines
}

/// An SSH section in words: IBM's codes of its algorithms, the key of the server by its size and fingerprint.
fn ssh_protection(ssh: &smf::detail::Ssh) -> String {
    if ssh.failed {
        return format!("SSH {}  handshake failed  source {}", ssh.version, ssh.provider);
    }
    let fingerprint: String = ssh.server_fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "SSH {}  kex {:04X}  in {:04X} {:04X}  out {:04X} {:04X}  server key {:04X} {} bits {fingerprint}  source {}",
        ssh.version,
        ssh.key_exchange,
        ssh.encryption_in,
        ssh.authentication_in,
        ssh.encryption_out,
        ssh.authentication_out,
        ssh.server_key[0],
        ssh.server_key[1],
        ssh.provider
    )
}

/// `smf show`: a type 80 record in words.
pub(crate) fn racf(record: &RacfRecord) -> String {
    let mut text = format!(
        "SMF 80 {} {}  {}  system {}\n",
        record.event_name(),
        record.qualifier_name(),
        record.written.format("%Y-%m-%d %H:%M:%S%.3f"),
        record.system
    );
    let flags = [(record.violation, "violation"), (record.undefined, "undefined user"), (record.warning, "warning")];
    let flags: Vec<&str> = flags.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
    for (name, value) in [
        ("user", format!("{} group {} {}", record.userid, record.group, record.name)),
        ("flags", flags.join(" ")),
        ("class", record.class.clone()),
        ("resource", record.resource.clone()),
        ("profile", record.profile.clone()),
        ("intent", record.intent.clone()),
        ("allowed", record.allowed.clone()),
        ("reasons", format!("X'{:02X}', authorities X'{:02X}'", record.reasons, record.authorities)),
        ("command", record.log.clone()),
    ] {
        if !value.trim().is_empty() {
            let _ = writeln!(text, "  {name:11} {}", value.trim_end());
        }
    }
    text.trim_end().to_owned()
}

/// `smf show`: a record of a connection in words.
pub(crate) fn record(record: &ConnectionDetail) -> String {
    let common = &record.common;
    let event = match common.event {
        Event::Initiation => "connection initiation",
        Event::Change => "protection change",
        Event::Termination => "connection termination",
        Event::ShortTermination => "short connection termination",
        Event::Enabled => "zERT enabled",
        Event::Disabled => "zERT disabled",
        Event::Enforcement => "zERT enforcement",
        Event::Other(_) => "unknown event",
    };
    let role = match common.role {
        LocalRole::Server => "server",
        LocalRole::Client => "client",
        LocalRole::Unknown => "unknown",
    };
    let mut text = format!(
        "SMF 119-11 zERT connection detail  {}  system {}  stack {}\n",
        record.header.written.format("%Y-%m-%d %H:%M:%S%.3f"),
        record.identification.system,
        record.identification.stack
    );
    let _ = writeln!(text, "  event       {event}");
    let _ = writeln!(
        text,
        "  connection  {:08X}  local {}  remote {}  local is {role}",
        common.connection_id, common.local, common.remote
    );
    let _ = writeln!(text, "  owner       job {}  user {}", common.jobname, common.userid);
    let _ = writeln!(
        text,
        "  carried     in {} bytes, out {} bytes, from {} {}",
        common.bytes_in,
        common.bytes_out,
        common.started.format("%H:%M:%S%.3f UTC"),
        common.ended.map(|ended| format!("to {}", ended.format("%H:%M:%S%.3f UTC"))).unwrap_or_default()
    );
    match (&record.tls, &record.ssh) {
        (Some(tls), _) => {
            let suite = u16::from_str_radix(&tls.cipher, 16).map(cipher::name).unwrap_or_else(|_| tls.cipher.clone());
            let handshake = match tls.handshake {
                HandshakeType::Full => "full handshake",
                HandshakeType::Abbreviated => "resumed",
                HandshakeType::Failed => "handshake failed",
                _ => "handshake unknown",
            };
            let group = if tls.group == 0 { String::new() } else { format!("  {}", policies::group::name(tls.group)) };
            let _ = writeln!(
                text,
                "  protection  {}  {suite}{group}  {handshake}  source {}",
                zert::judge::version_name(tls.version),
                tls.provider
            );
        }
        (None, Some(ssh)) => {
            let _ = writeln!(text, "  protection  {}", ssh_protection(ssh));
        }
        (None, None) if common.protocols == 0x40 => text.push_str("  protection  SSH\n"),
        (None, None) => text.push_str("  protection  none recognized\n"),
    }
    for name in &record.names {
        let whose = match name.kind {
            5 => "subject",
            6 => "issuer",
            _ => "name",
        };
        let _ = writeln!(text, "  {whose:11} {}", name.name);
    }
    if let Some(enforcement) = &record.enforcement {
        let actions = [(enforcement.reset, "reset"), (enforcement.logged, "logged"), (enforcement.audited, "audited")];
        let done: Vec<&str> = actions.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        let _ = writeln!(
            text,
            "  enforced    {} by rule {} action {}",
            done.join(", "),
            enforcement.rule,
            enforcement.action
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use policies::{Source, parse, resolve};

    use super::*;

    /// The report of a rule of `policies/examples/ttls.policy`.
    fn shown(name: &str) -> String {
        let text = include_str!("../../policies/examples/ttls.policy");
        let (document, _) = parse(&Source::new("ttls.policy", text));
        let (policy, _) = resolve(&[document], false);
        let now = chrono::DateTime::from_timestamp(0, 0).expect("a time").fixed_offset();
        let report = policies::report::Report::new(&policy, "TCPIP", 0, now, &0_i64);
        let found = report.ttls.iter().find(|found| found.name == name).expect(name);
        rule(found).join("\n")
    }

    #[test]
    fn a_rule_is_shown_in_the_seed_s_form() {
        insta::assert_snapshot!(shown("FTPS_CLIENT"), @r"
        TTLS Rule: FTPS_CLIENT
        Address: 10.50.60.0/24
        PortRange: 21
        Direction: Outbound
        Status: Active
        TTLS Action: TTLS_TLS12
        Version: TLS 1.2
        KeyringName: TCPIP/TCPIP-KEYRING
        ");
        insta::assert_snapshot!(shown("WEB_SERVER"), @r"
        TTLS Rule: WEB_SERVER
        Address: All
        PortRange: 8080
        Direction: Inbound
        Status: Active
        TTLS Action: WEB_ENV_SERVER
        Version: TLS 1.2, TLS 1.3
        KeyringName: TCPIP/TCPIP-KEYRING
        ");
    }

    #[test]
    fn the_zert_counters_are_those_of_the_seed() {
        let statistics = Statistics { observed: 12_345, reset: 17, logged: 235, lost: 0 };
        insta::assert_snapshot!(zert_statistics(&statistics).join("\n"), @r"
        ZERT STATISTICS:
        CONNECTIONS OBSERVED = 00012345
        CONNECTIONS RESET = 00000017
        CONNECTIONS LOGGED = 00000235
        END OF THE REPORT
        ");
    }
}
