//! What auditors ask: inventories by one thing or another, evidence for FTPS, PCI DSS 12.3.3, readiness for quantum computers.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use policies::algorithm::Encryption;
use policies::cipher;
use policies::protection::KeyKind;

use crate::attributes::Attributes;
use crate::html;
use crate::table::Table;
use crate::usage::{Counts, Role, Usage};

/// The questions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Report {
    /// By server endpoint and what protects it.
    Endpoint,
    /// By the other host.
    Peer,
    /// By protocol and version.
    Version,
    /// By cipher suite.
    Suite,
    /// By group, or SSH's key exchange.
    Group,
    /// By kind and length of the servers' keys.
    Key,
    /// By the servers' certificates, those that end first.
    Expiry,
    /// By local job and user.
    Job,
    /// Whether FTP is protected: evidence for a port and period.
    Ftps,
    /// The inventory of cipher suites and protocols in use that PCI DSS 12.3.3 asks for.
    Pci,
    /// Which connections have no post-quantum key agreement.
    Quantum,
}

impl Report {
    /// Every question, with its word.
    pub const ALL: [(&'static str, Self); 11] = [
        ("endpoint", Self::Endpoint),
        ("peer", Self::Peer),
        ("version", Self::Version),
        ("suite", Self::Suite),
        ("group", Self::Group),
        ("key", Self::Key),
        ("expiry", Self::Expiry),
        ("job", Self::Job),
        ("ftps", Self::Ftps),
        ("pci", Self::Pci),
        ("quantum", Self::Quantum),
    ];

    /// The ports it is about where none are asked for; empty for all.
    #[must_use]
    pub fn ports(self) -> &'static [u16] {
        match self {
            Self::Ftps => &[21, 990],
            _ => &[],
        }
    }
}

/// What a report is made from.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Seconds since the epoch.
    pub since: i64,
    /// The same; not in it any more.
    pub until: i64,
    /// The servers' ports; empty for all.
    pub ports: Vec<u16>,
    /// How much the observer lost within the period.
    pub lost: u64,
    /// The host it is about.
    pub host: String,
}

impl Scope {
    fn has(&self, usage: &Usage) -> bool {
        self.ports.is_empty() || self.ports.contains(&usage.session.port)
    }

    fn title(&self, what: &str) -> String {
        let ports = match self.ports.as_slice() {
            [] => String::new(),
            ports => format!(", port {}", ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
        };
        format!("{what}, {}{ports}, {} to {}", self.host, minute(self.since), minute(self.until))
    }

    fn loss(&self) -> Option<String> {
        (self.lost > 0)
            .then(|| format!("{} times something was lost to the observer: the numbers are lower bounds", self.lost))
    }
}

/// A time as reports show it.
fn minute(seconds: i64) -> String {
    DateTime::<Utc>::from_timestamp(seconds, 0)
        .map_or_else(String::new, |time| time.format("%Y-%m-%d %H:%M UTC").to_string())
}

fn day(seconds: i64) -> String {
    DateTime::<Utc>::from_timestamp(seconds, 0).map_or_else(String::new, |time| time.format("%Y-%m-%d").to_string())
}

/// What is wrong with a protection, if anything is: what PCI DSS and NIST SP 800-52 call no strong cryptography.
#[must_use]
pub fn finding(attributes: &Attributes) -> Option<String> {
    if attributes.is_clear() {
        return Some("not protected".to_owned());
    }
    let observed = attributes.observed.as_ref()?;
    let version = observed.version.unwrap_or_default();
    if attributes.protocol == "TLS" && version < 0x0303 {
        return Some(format!("{} is obsolete (RFC 8996)", attributes.version));
    }
    if attributes.protocol == "SSH" && version < 2 {
        return Some("SSH 1 is broken".to_owned());
    }
    if let Some((_, reason)) = observed.suite.and_then(|suite| cipher::weakness(&cipher::name(suite))) {
        return Some(reason.to_owned());
    }
    let weak = |encryption: Encryption| {
        matches!(
            encryption,
            Encryption::None | Encryption::Des | Encryption::TripleDes | Encryption::Rc2 | Encryption::Rc4
        )
    };
    if let Some(one) = observed.symmetric.iter().find(|one| weak(one.encryption) || one.bits < 128) {
        return Some(format!("{} is weak", one.encryption.word()));
    }
    match observed.server_key {
        Some((KeyKind::Rsa, bits)) if bits < 2048 => Some(format!("an RSA key of {bits} bits is short")),
        Some((KeyKind::Ecc, bits)) if bits < 224 => Some(format!("an elliptic curve key of {bits} bits is short")),
        _ => observed
            .dh_bits
            .filter(|bits| *bits < 2048)
            .map(|bits| format!("a Diffie-Hellman prime of {bits} bits is short")),
    }
}

/// Sums by a key.
struct Group {
    counts: Counts,
    clear: u64,
    peers: BTreeSet<std::net::IpAddr>,
    first: i64,
    last: i64,
}

fn grouped<K: Ord>(usages: &[&Usage], key: impl Fn(&Usage) -> K) -> BTreeMap<K, Group> {
    let mut groups: BTreeMap<K, Group> = BTreeMap::new();
    for usage in usages {
        let group = groups.entry(key(usage)).or_insert_with(|| Group {
            counts: Counts::default(),
            clear: 0,
            peers: BTreeSet::new(),
            first: usage.first,
            last: usage.last,
        });
        group.counts.add(&usage.counts);
        if usage.session.attributes.is_clear() {
            group.clear += usage.counts.connections;
        }
        group.peers.insert(usage.session.peer());
        group.first = group.first.min(usage.first);
        group.last = group.last.max(usage.last);
    }
    groups
}

/// An inventory: the key's columns, then what was counted, most connections first.
fn inventory<const N: usize>(
    title: String,
    names: [&'static str; N],
    usages: &[&Usage],
    key: impl Fn(&Usage) -> [String; N],
) -> Table {
    let mut groups: Vec<([String; N], Group)> = grouped(usages, key).into_iter().collect();
    groups.sort_by(|(a, x), (b, y)| y.counts.connections.cmp(&x.counts.connections).then_with(|| a.cmp(b)));
    let mut columns: Vec<&'static str> = names.to_vec();
    columns.extend(["PEERS", "CONNECTIONS", "FAILED", "RESET", "BYTES IN", "BYTES OUT", "FIRST", "LAST"]);
    let rows = groups
        .into_iter()
        .map(|(key, group)| {
            let mut row: Vec<String> = key.to_vec();
            let Counts { connections, failed, reset, bytes_in, bytes_out, .. } = group.counts;
            row.push(group.peers.len().to_string());
            row.extend([connections, failed, reset, bytes_in, bytes_out].map(|count| count.to_string()));
            row.extend([minute(group.first), minute(group.last)]);
            row
        })
        .collect();
    Table { title, columns, rows, notes: Vec::new() }
}

impl Report {
    /// Answers from what was counted.
    #[must_use]
    pub fn table(self, usages: &[Usage], scope: &Scope, now: i64) -> Table {
        let usages: Vec<&Usage> = usages.iter().filter(|usage| scope.has(usage)).collect();
        let attributes = |usage: &Usage| usage.session.attributes.clone();
        let mut table = match self {
            Self::Endpoint => inventory(
                scope.title("SERVER ENDPOINTS"),
                ["ROLE", "SERVER", "PORT", "JOB", "PROTECTION"],
                &usages,
                |usage| {
                    let session = &usage.session;
                    [
                        role(session.role).to_owned(),
                        session.server.to_string(),
                        session.port.to_string(),
                        session.jobname.clone(),
                        session.attributes.in_words(),
                    ]
                },
            ),
            Self::Peer => inventory(scope.title("PEERS"), ["PEER", "PORT", "PROTECTION"], &usages, |usage| {
                [usage.session.peer().to_string(), usage.session.port.to_string(), attributes(usage).in_words()]
            }),
            Self::Version => inventory(scope.title("PROTOCOLS AND VERSIONS"), ["PROTECTION"], &usages, |usage| {
                [attributes(usage).in_words()]
            }),
            Self::Suite => inventory(scope.title("CIPHER SUITES"), ["PROTECTION", "SUITE"], &usages, |usage| {
                [attributes(usage).in_words(), attributes(usage).suite]
            }),
            Self::Group => inventory(scope.title("KEY EXCHANGE"), ["PROTECTION", "GROUP"], &usages, |usage| {
                [attributes(usage).in_words(), attributes(usage).group]
            }),
            Self::Key => inventory(scope.title("SERVERS' KEYS"), ["PROTECTION", "KEY"], &usages, |usage| {
                [attributes(usage).in_words(), attributes(usage).key()]
            }),
            Self::Job => {
                inventory(scope.title("LOCAL JOBS"), ["JOB", "USER", "ROLE", "PROTECTION"], &usages, |usage| {
                    let session = &usage.session;
                    [
                        session.jobname.clone(),
                        session.userid.clone(),
                        role(session.role).to_owned(),
                        session.attributes.in_words(),
                    ]
                })
            }
            Self::Expiry => expiry(scope, &usages, now),
            Self::Ftps => ftps(scope, &usages),
            Self::Pci => pci(scope, &usages),
            Self::Quantum => quantum(scope, &usages),
        };
        if usages.is_empty() {
            table.notes.push("no connection was recorded in this period".to_owned());
        }
        table.notes.extend(scope.loss());
        table
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Server => "server",
    }
}

fn expiry(scope: &Scope, usages: &[&Usage], now: i64) -> Table {
    let with: Vec<&Usage> =
        usages.iter().copied().filter(|usage| usage.session.attributes.certificate.is_some()).collect();
    let groups = grouped(&with, |usage| {
        let certificate = usage.session.attributes.certificate.clone();
        let (end, subject, serial) =
            certificate.map(|found| (found.not_after, found.subject, found.serial)).unwrap_or_default();
        (end, subject, serial, usage.session.endpoint().to_string(), usage.session.attributes.key())
    });
    let rows = groups
        .into_iter()
        .map(|((end, subject, serial, endpoint, key), group)| {
            let left = (end - now).div_euclid(86_400);
            let state = if left < 0 { "expired".to_owned() } else { format!("{left} days") };
            vec![day(end), state, subject, serial, endpoint, key, group.counts.connections.to_string()]
        })
        .collect();
    let columns = vec!["ENDS", "LEFT", "SUBJECT", "SERIAL", "SERVER", "KEY", "CONNECTIONS"];
    let notes = vec!["TLS 1.3 hides certificates from an observer; those of AT-TLS are in `pagent status`".to_owned()];
    Table { title: scope.title("SERVERS' CERTIFICATES"), columns, rows, notes }
}

fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "none".to_owned();
    }
    // Rounded down: what is not whole is not said to be.
    let tenths = part.saturating_mul(1000) / whole;
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// How many connections had a protection of which this holds.
fn connections(usages: &[&Usage], holds: impl Fn(&Attributes) -> bool) -> u64 {
    usages.iter().filter(|usage| holds(&usage.session.attributes)).map(|usage| usage.counts.connections).sum()
}

fn ftps(scope: &Scope, usages: &[&Usage]) -> Table {
    let mut table = inventory(
        scope.title("FTPS COMPLIANCE EVIDENCE"),
        ["SERVER", "PORT", "PEER", "BEGUN BY", "PROTECTION", "SUITE"],
        usages,
        |usage| {
            let (session, attributes) = (&usage.session, &usage.session.attributes);
            let begun = match (attributes.is_clear(), attributes.upgrade.as_str()) {
                (true, _) => "",
                (false, "") => "connect",
                (false, _) => "AUTH TLS",
            };
            [
                session.server.to_string(),
                session.port.to_string(),
                session.peer().to_string(),
                begun.to_owned(),
                attributes.in_words(),
                attributes.suite.clone(),
            ]
        },
    );
    let version = |found: &Attributes| found.observed.as_ref().and_then(|observed| observed.version).unwrap_or(0);
    let is_tls = |found: &Attributes| found.protocol == "TLS" && !found.failed;
    let strong = |found: &Attributes| is_tls(found) && version(found) >= 0x0303;
    let all = connections(usages, |_| true);
    let good = connections(usages, |found| strong(found) && finding(found).is_none());
    let weak = connections(usages, |found| strong(found) && finding(found).is_some());
    let old = connections(usages, |found| is_tls(found) && version(found) < 0x0303);
    let failed = connections(usages, |found| found.failed);
    let clear = connections(usages, Attributes::is_clear);
    let other = all - good - weak - old - failed - clear;
    let reset: u64 = usages.iter().map(|usage| usage.counts.reset).sum();
    table.notes = vec![
        format!("connections                  {all}"),
        format!("protected by TLS 1.2 or 1.3  {good} ({})", share(good, all)),
        format!("weak suite or key            {weak}"),
        format!("protected by older TLS       {old}"),
        format!("handshake failed, no data    {failed}"),
        format!("other protection             {other}"),
        format!("in clear                     {clear}"),
        format!("reset by enforcement         {reset}"),
        if all > 0 && good + failed == all && scope.lost == 0 {
            "every recorded connection of the period that carried data was protected by TLS 1.2 or later".to_owned()
        } else {
            "not every connection of the period is shown to be protected by TLS 1.2 or later".to_owned()
        },
        "recorded is what began and ended, or lasted ten seconds, while the daemon observed".to_owned(),
        "data connections are counted with the ports they use, not with the control connection's".to_owned(),
    ];
    table
}

fn pci(scope: &Scope, usages: &[&Usage]) -> Table {
    let mut table = inventory(
        scope.title("CRYPTOGRAPHIC CIPHER SUITES AND PROTOCOLS IN USE (PCI DSS 12.3.3)"),
        ["PROTOCOL", "VERSION", "SUITE", "GROUP", "KEY", "ENDPOINTS", "FINDING"],
        usages,
        |usage| {
            let found = &usage.session.attributes;
            [
                found.protocol.clone(),
                if found.failed { "failed".to_owned() } else { found.version.clone() },
                found.suite.clone(),
                found.group.clone(),
                found.key(),
                String::new(),
                finding(found).unwrap_or_default(),
            ]
        },
    );
    // Which endpoints use it: the purpose and where, that the requirement asks for.
    let endpoints = grouped(usages, |usage| {
        let found = &usage.session.attributes;
        (
            [
                found.protocol.clone(),
                if found.failed { "failed".to_owned() } else { found.version.clone() },
                found.suite.clone(),
                found.group.clone(),
                found.key(),
            ],
            usage.session.endpoint().to_string(),
        )
    });
    for row in &mut table.rows {
        let used: Vec<&str> =
            endpoints.keys().filter(|(key, _)| row.starts_with(key)).map(|(_, endpoint)| endpoint.as_str()).collect();
        let more = used.len().saturating_sub(3);
        let mut text = used.into_iter().take(3).collect::<Vec<_>>().join(" ");
        if more > 0 {
            text.push_str(&format!(" and {more} more"));
        }
        if let Some(cell) = row.get_mut(5) {
            *cell = text;
        }
    }
    let bad = connections(usages, |found| finding(found).is_some());
    table.notes.push(format!("{bad} connections with a finding"));
    table
}

fn quantum(scope: &Scope, usages: &[&Usage]) -> Table {
    let mut table = inventory(
        scope.title("POST-QUANTUM READINESS"),
        ["READY", "SERVER", "PORT", "JOB", "PROTECTION", "GROUP"],
        usages,
        |usage| {
            let (session, found) = (&usage.session, &usage.session.attributes);
            let ready = match (found.failed, found.is_quantum_safe()) {
                (true, _) => "-",
                (false, true) => "yes",
                (false, false) => "no",
            };
            [
                ready.to_owned(),
                session.server.to_string(),
                session.port.to_string(),
                session.jobname.clone(),
                found.in_words(),
                found.group.clone(),
            ]
        },
    );
    let all = connections(usages, |found| !found.failed);
    let ready = connections(usages, Attributes::is_quantum_safe);
    table.notes.push(format!("{ready} of {all} connections agreed on keys post-quantum ({})", share(ready, all)));
    table
}

/// Everything on one page that needs nothing beside itself.
#[must_use]
pub fn page(usages: &[Usage], scope: &Scope, now: i64) -> String {
    let inventories = [
        Report::Version,
        Report::Suite,
        Report::Group,
        Report::Key,
        Report::Endpoint,
        Report::Peer,
        Report::Job,
        Report::Expiry,
        Report::Pci,
        Report::Quantum,
    ];
    let tables: Vec<Table> = inventories.iter().map(|report| report.table(usages, scope, now)).collect();
    html::page(&scope.title("CRYPTOGRAPHIC PROTECTION OF CONNECTIONS"), &tables)
}

/// One answer on a page of its own.
#[must_use]
pub fn page_of(table: Table) -> String {
    let title = table.title.clone();
    html::page(&title, &[table])
}
