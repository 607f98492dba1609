//! What commands print, as lines.

pub(crate) mod fields;
pub(crate) mod records;

use policies::cipher;
use policies::report::Rule;
use serde::Deserialize;
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
        let statistics = Statistics { observed: 12_345, reset: 17, logged: 235, ..Statistics::default() };
        insta::assert_snapshot!(zert_statistics(&statistics).join("\n"), @r"
        ZERT STATISTICS:
        CONNECTIONS OBSERVED = 00012345
        CONNECTIONS RESET = 00000017
        CONNECTIONS LOGGED = 00000235
        END OF THE REPORT
        ");
    }
}
