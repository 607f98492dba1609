//! Which rule each of many connections falls to, from a list of connections: `ss` output or CSV.
//!
//! `ss -tan` (with or without `-p`) says who listens, and so which connections are inbound: those whose local port has a
//! listener. CSV has a header line; its columns are `local`, `remote`, `direction` (in, out), `job`, `user`, in any
//! order, the last three optional.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use chrono::{DateTime, FixedOffset};
use serde::Serialize;

use crate::matching::{Connection, Direction};
use crate::model::Policy;

/// A connection and what becomes of it.
#[derive(Clone, Debug, Serialize)]
pub struct Covered {
    /// The line of the list it stands on.
    pub line: usize,
    /// This host's end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
    /// Who opened it.
    pub direction: Direction,
    /// The job, where the list says it.
    pub job: Option<String>,
    /// The user, where the list says it.
    pub user: Option<String>,
    /// The rule it falls to.
    pub rule: Option<String>,
    /// What the rule does.
    pub protection: Protection,
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// It is wrapped in TLS.
    Tls,
    /// Its rule has TTLSEnabled Off.
    OffByRule,
    /// No rule matches.
    NoRule,
    /// A rule asks for an owner that the list does not say.
    OwnerUnknown,
}

impl std::fmt::Display for Protection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tls => "TLS",
            Self::OffByRule => "clear (TTLSEnabled Off)",
            Self::NoRule => "clear (no rule)",
            Self::OwnerUnknown => "depends on the owner",
        })
    }
}

/// A line of a list that cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ListError {
    /// Which, from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

/// Connections, each with the line it stands on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct List {
    /// The connections.
    pub connections: Vec<(usize, Connection)>,
    /// Those of which the list does not tell who opened them; they are taken as outbound.
    pub assumed: usize,
}

/// Reads a list of connections.
///
/// # Errors
///
/// Every line that cannot be read.
pub fn read(text: &str) -> Result<List, Vec<ListError>> {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let is_csv = csv_fields(first).any(|word| word.eq_ignore_ascii_case("local"));
    if is_csv { read_csv(text) } else { read_ss(text) }
}

/// Looks every connection up.
#[must_use]
pub fn coverage(policy: &Policy, connections: &[(usize, Connection)], now: DateTime<FixedOffset>) -> Vec<Covered> {
    connections
        .iter()
        .map(|(line, connection)| {
            let rule = policy.ttls_rule(connection, now);
            let protection = match rule {
                _ if policy.deciding(connection, now).len() > 1 => Protection::OwnerUnknown,
                None => Protection::NoRule,
                Some(rule) if rule.enabled() => Protection::Tls,
                Some(_) => Protection::OffByRule,
            };
            Covered {
                line: *line,
                local: connection.local,
                remote: connection.remote,
                direction: connection.direction,
                job: connection.jobname.clone(),
                user: connection.userid.clone(),
                rule: rule.map(|rule| rule.name.clone()),
                protection,
            }
        })
        .collect()
}

/// The fields of a line; none of ours holds a comma, quoted or not.
fn csv_fields(line: &str) -> impl Iterator<Item = &str> {
    line.split(',').map(|field| field.trim().trim_matches('"'))
}

/// What was read, or all that could not be.
fn all<T>(read: impl Iterator<Item = Result<T, ListError>>) -> Result<Vec<T>, Vec<ListError>> {
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for one in read {
        match one {
            Ok(one) => found.push(one),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(found) } else { Err(errors) }
}

fn read_csv(text: &str) -> Result<List, Vec<ListError>> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let Some((_, header)) = lines.next() else { return Ok(List::default()) };
    let columns: Vec<String> = csv_fields(header).map(str::to_ascii_lowercase).collect();
    let known = ["local", "remote", "direction", "job", "user"];
    if let Some(unknown) = columns.iter().find(|column| !known.contains(&column.as_str())) {
        let problem = format!("unknown column `{unknown}`; expected {}", known.join(", "));
        return Err(vec![ListError { line: 1, problem }]);
    }
    let read = lines.map(|(at, line)| {
        let connection = read_csv_line(&columns, line).map_err(|problem| ListError { line: at + 1, problem })?;
        Ok((at + 1, connection))
    });
    let read = all(read)?;
    let assumed = read.iter().filter(|(_, (_, assumed))| *assumed).count();
    Ok(List { connections: read.into_iter().map(|(line, (connection, _))| (line, connection)).collect(), assumed })
}

/// A connection, and whether its direction is assumed.
fn read_csv_line(columns: &[String], line: &str) -> Result<(Connection, bool), String> {
    let fields: Vec<&str> = csv_fields(line).collect();
    let field = |name: &str| {
        let column = columns.iter().position(|column| column == name)?;
        fields.get(column).copied().filter(|field| !field.is_empty())
    };
    let end = |name: &str| {
        let text = field(name).ok_or_else(|| format!("no {name}"))?;
        read_end(text).ok_or_else(|| format!("`{text}` is no address and port"))
    };
    let coded = field("direction").map(str::to_ascii_lowercase);
    let direction = match coded.as_deref() {
        Some("in" | "inbound") => Direction::Inbound,
        Some("out" | "outbound") | None => Direction::Outbound,
        Some(other) => return Err(format!("`{other}` is no direction; expected in or out")),
    };
    let connection = Connection {
        local: end("local")?,
        remote: end("remote")?,
        direction,
        jobname: field("job").map(str::to_owned),
        userid: field("user").map(str::to_owned),
    };
    match connection.fault() {
        Some(fault) => Err(fault),
        None => Ok((connection, coded.is_none())),
    }
}

/// A line of `ss` that says something.
enum Socket {
    /// Its local port.
    Listens(Option<u16>),
    Connection {
        local: SocketAddr,
        remote: SocketAddr,
        job: Option<String>,
    },
}

fn read_ss(text: &str) -> Result<List, Vec<ListError>> {
    let known = |line: &str| line.split_whitespace().any(|word| word == "LISTEN" || word == "Recv-Q" || is_state(word));
    if let Some((at, _)) = text.lines().enumerate().find(|(_, line)| !line.trim().is_empty())
        && !text.lines().any(|line| known(line) || read_ss_line(line).is_ok_and(|socket| socket.is_some()))
    {
        let problem = "this is neither `ss -tan` output nor CSV with a header line (local,remote,direction)";
        return Err(vec![ListError { line: at + 1, problem: problem.to_owned() }]);
    }
    let read = text.lines().enumerate().map(|(at, line)| {
        let socket = read_ss_line(line).map_err(|problem| ListError { line: at + 1, problem })?;
        Ok((at + 1, socket))
    });
    let read = all(read)?;
    let listening: HashSet<u16> = read
        .iter()
        .filter_map(|(_, socket)| match socket {
            Some(Socket::Listens(port)) => *port,
            _ => None,
        })
        .collect();
    let connections: Vec<(usize, Connection)> = read
        .into_iter()
        .filter_map(|(line, socket)| match socket {
            Some(Socket::Connection { local, remote, job }) => {
                let inbound = listening.contains(&local.port());
                let direction = if inbound { Direction::Inbound } else { Direction::Outbound };
                Some((line, Connection { local, remote, direction, jobname: job, userid: None }))
            }
            _ => None,
        })
        .collect();
    let assumed = if listening.is_empty() { connections.len() } else { 0 };
    Ok(List { connections, assumed })
}

/// None for header lines, and for sockets that are bound and not connected.
fn read_ss_line(line: &str) -> Result<Option<Socket>, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let state = words.iter().position(|word| word.eq_ignore_ascii_case("LISTEN") || is_state(word));
    // Two ends follow the state and two queue lengths; `ss state established` leaves the state out.
    let ends = match state {
        Some(at) => at + 3,
        None if words.first().is_some_and(|word| word.bytes().all(|byte| byte.is_ascii_digit())) => 2,
        None if words.is_empty() || words.contains(&"Recv-Q") => return Ok(None),
        None => return Err("this is no line of `ss` output".to_owned()),
    };
    let (Some(local), Some(remote)) = (words.get(ends), words.get(ends + 1)) else {
        return Err("two ends were expected".to_owned());
    };
    let state = state.and_then(|at| words.get(at)).copied().unwrap_or_default();
    if state == "UNCONN" {
        return Ok(None);
    }
    if state.eq_ignore_ascii_case("LISTEN") {
        return Ok(Some(Socket::Listens(local.rsplit_once(':').and_then(|(_, port)| port.parse().ok()))));
    }
    // users:(("sshd",pid=1,fd=3)): the program's name stands for the job, cut to what job names can be.
    let program = line.split_once("users:((\"").and_then(|(_, rest)| rest.split('"').next());
    let allowed = |c: &char| c.is_ascii_alphanumeric() || "@#$".contains(*c);
    let job = program.map(|name| name.chars().filter(allowed).take(8).collect::<String>().to_ascii_uppercase());
    let read = |text: &str| read_end(text).ok_or_else(|| format!("`{text}` is no address and port"));
    Ok(Some(Socket::Connection { local: read(local)?, remote: read(remote)?, job }))
}

fn is_state(word: &str) -> bool {
    const STATES: [&str; 10] = [
        "ESTAB",
        "SYN-SENT",
        "SYN-RECV",
        "FIN-WAIT-1",
        "FIN-WAIT-2",
        "TIME-WAIT",
        "CLOSE-WAIT",
        "LAST-ACK",
        "CLOSING",
        "UNCONN",
    ];
    STATES.contains(&word)
}

/// `10.1.1.1:80`, `[2001:db8::1]:80`, `[::ffff:10.1.1.1]:80`, `10.1.1.1%eth0:80`, `10.1.1.1..80` (IBM).
fn read_end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.rsplit_once("..").or_else(|| text.rsplit_once(':'))?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let address = address.split('%').next().unwrap_or(address).trim_end_matches(']');
    let address: IpAddr = if address == "*" { Ipv6Addr::UNSPECIFIED.into() } else { address.parse().ok()? };
    Some(SocketAddr::new(address.to_canonical(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ss_output_tells_inbound_from_outbound() {
        let text = "\
State  Recv-Q Send-Q Local Address:Port  Peer Address:Port Process
LISTEN 0      128          0.0.0.0:8080       0.0.0.0:*     users:((\"web\",pid=7,fd=3))
LISTEN 0      128             [::]:22            [::]:*
ESTAB  0      0        10.20.30.5:8080     10.50.60.7:50000 users:((\"web\",pid=7,fd=5))
UNCONN 0      0           0.0.0.0:*          0.0.0.0:*
ESTAB  0      0      [2001:db8::5]:40000 [2001:db8::7]:443
ESTAB  0      0      10.1.1.1%eth0:22      10.1.1.2:50001
";
        let found = read(text).expect("a list").connections;
        let shown: Vec<(usize, Direction, u16, Option<&str>)> =
            found.iter().map(|(line, one)| (*line, one.direction, one.local.port(), one.jobname.as_deref())).collect();
        assert_eq!(
            shown,
            [
                (4, Direction::Inbound, 8080, Some("WEB")),
                (6, Direction::Outbound, 40000, None),
                (7, Direction::Inbound, 22, None),
            ]
        );
        assert!(read("what is this").is_err());
        let bad = "ESTAB 0 0 here there\n1 2\nESTAB 0 0 10.1.1.1:1 10.1.1.2:2\nwhat\n";
        let lines: Vec<usize> = read(bad).expect_err("three bad lines").iter().map(|error| error.line).collect();
        assert_eq!(lines, [1, 2, 4]);
    }

    #[test]
    fn csv_columns_stand_in_any_order() {
        let text =
            "\"direction\",remote,\"local\",job\n\"in\",10.1.1.1:5000,10.1.1.2:21,FTPD\n\nout,[::1]:80,[::1]:5000,\n";
        let found = read(text).expect("a list").connections;
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].1.jobname.as_deref(), Some("FTPD"));
        assert_eq!((found[1].0, found[1].1.direction), (4, Direction::Outbound));
        let bad = "local,remote\n1.2.3.4,5.6.7.8:9\n1.2.3.4:1,5.6.7.8:9\n,\n";
        let lines: Vec<usize> = read(bad).expect_err("two bad lines").iter().map(|error| error.line).collect();
        assert_eq!(lines, [2, 4]);
        assert!(read("local,remote,colour\n").is_err());
    }
}
