//! Sessions, and what was counted of them.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use smf::detail::Event;
use zert::{DataOf, Facts, Protection, Side};

use crate::attributes::Attributes;

/// The part this host plays.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Hash, Ord, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It opened the connections.
    Client,
    /// It accepted them.
    Server,
}

/// A security session. Source: *IP Configuration Guide*, "zERT aggregation".
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Hash, Serialize)]
pub struct Session {
    /// The host that tells of it; empty in what was counted before several could keep their histories in one place.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// This host's part.
    pub role: Role,
    /// The server's address.
    pub server: IpAddr,
    /// The client's address.
    pub client: IpAddr,
    /// The server's port.
    pub port: u16,
    /// The local job.
    pub jobname: String,
    /// The local user.
    pub userid: String,
    /// What protects it.
    pub attributes: Attributes,
    /// These are FTP's data connections; the port is that of the control connections they belong to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub data: bool,
}

impl Session {
    /// The session of a host's connection.
    #[must_use]
    pub fn of(facts: &Facts, host: &str) -> Self {
        let (role, server, client) = match facts.side {
            Side::Client => (Role::Client, facts.remote, facts.local),
            Side::Server => (Role::Server, facts.local, facts.remote),
        };
        // In active mode FTP's server opens the data connection.
        let (role, server, client) = match (facts.data_of, role) {
            (Some(DataOf { active: true, .. }), Role::Client) => (Role::Server, client, server),
            (Some(DataOf { active: true, .. }), Role::Server) => (Role::Client, client, server),
            _ => (role, server, client),
        };
        Self {
            host: host.to_owned(),
            role,
            server: server.ip().to_canonical(),
            client: client.ip().to_canonical(),
            port: facts.data_of.map_or(server.port(), |data_of| data_of.port),
            jobname: facts.jobname.clone(),
            userid: facts.userid.clone(),
            attributes: Attributes::of(&facts.protection, facts.source, facts.ipsec.as_ref()),
            data: facts.data_of.is_some(),
        }
    }

    /// Its name in the store: the same for the same session, on every host.
    #[must_use]
    pub fn id(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        Sha256::digest(text.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The server's end.
    #[must_use]
    pub fn endpoint(&self) -> SocketAddr {
        SocketAddr::new(self.server, self.port)
    }

    /// The other host.
    #[must_use]
    pub fn peer(&self) -> IpAddr {
        match self.role {
            Role::Client => self.server,
            Role::Server => self.client,
        }
    }
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Counts {
    /// Connections.
    pub connections: u64,
    /// Of them, with a handshake that failed.
    pub failed: u64,
    /// Of them, reset by enforcement.
    pub reset: u64,
    /// Of them, logged by enforcement.
    pub logged: u64,
    /// Bytes of payload that came.
    pub bytes_in: u64,
    /// Bytes of payload that went.
    pub bytes_out: u64,
}

impl Counts {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.connections += other.connections;
        self.failed += other.failed;
        self.reset += other.reset;
        self.logged += other.logged;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
    }

    /// What an event of a connection adds.
    #[must_use]
    pub fn of(facts: &Facts) -> Self {
        let begins = matches!(facts.event, Event::Initiation | Event::ShortTermination | Event::Change);
        let ends = matches!(facts.event, Event::Termination | Event::ShortTermination);
        let when = |condition: bool| u64::from(condition);
        let failed = match &facts.protection {
            Protection::Tls(handshake) => handshake.version == 0,
            Protection::Ssh(ssh) => ssh.failed,
            Protection::None | Protection::Undetermined => false,
        };
        let enforced =
            |what: fn(&smf::detail::Enforcement) -> bool| ends && facts.enforcement.as_ref().is_some_and(what);
        Self {
            connections: when(begins),
            failed: when(begins && failed),
            reset: when(enforced(|enforcement| enforcement.reset)),
            logged: when(enforced(|enforcement| enforcement.logged)),
            bytes_in: if ends { facts.counters.bytes_in } else { 0 },
            bytes_out: if ends { facts.counters.bytes_out } else { 0 },
        }
    }
}

/// What was counted of a session within a period.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Usage {
    /// The session.
    pub session: Session,
    /// The sums.
    pub counts: Counts,
    /// Seconds since the epoch: the quarter of an hour in which it was first seen within the period.
    pub first: i64,
    /// The one in which it was last seen.
    pub last: i64,
}
