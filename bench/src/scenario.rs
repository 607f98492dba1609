//! What is measured: a role, a kind of work, and how much of it.

use std::fmt;

use crate::load::Load;

/// Which leg of the proxy is TLS.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Role {
    /// TLS arrives over the cable and goes on in clear text to a program of the same host.
    Server,
    /// A program's clear text goes on in TLS over the cable.
    Client,
}

/// A kind of work.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Work {
    /// Whole connections with full handshakes.
    Full,
    /// Whole connections with resumed handshakes.
    Resumed,
    /// Bytes to the backend, on so many connections.
    Up(u64),
    /// Bytes from the backend.
    Down(u64),
    /// Small messages there and back.
    Latency,
    /// Connections that are held.
    Idle,
}

/// A role and its work.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Scenario {
    pub(crate) role: Role,
    pub(crate) work: Work,
}

/// How much of each work makes a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amounts {
    pub(crate) connections: u64,
    pub(crate) bytes: u64,
    pub(crate) messages: u64,
    pub(crate) idle: u64,
}

impl Role {
    pub(crate) const ALL: [Self; 2] = [Self::Server, Self::Client];
}

impl Work {
    pub(crate) const ALL: [Self; 8] =
        [Self::Full, Self::Resumed, Self::Up(1), Self::Up(4), Self::Down(1), Self::Down(4), Self::Latency, Self::Idle];

    /// Whether sessions may be resumed.
    pub(crate) fn resumes(self) -> bool {
        self == Self::Resumed
    }

    /// What the load generator does for it.
    pub(crate) fn load(self, amounts: Amounts) -> Load {
        match self {
            Self::Full | Self::Resumed => Load::Short { connections: amounts.connections },
            Self::Up(connections) => Load::Up { connections, bytes: amounts.bytes },
            Self::Down(connections) => Load::Down { connections, bytes: amounts.bytes },
            Self::Latency => Load::PingPong { messages: amounts.messages },
            Self::Idle => Load::Idle { connections: amounts.idle },
        }
    }

    /// How many units of work that is: connections, GiB, messages.
    pub(crate) fn units(self, amounts: Amounts) -> f64 {
        match self {
            Self::Full | Self::Resumed => amounts.connections as f64,
            Self::Up(_) | Self::Down(_) => amounts.bytes as f64 / f64::from(1 << 30),
            Self::Latency => amounts.messages as f64,
            Self::Idle => amounts.idle as f64,
        }
    }
}

impl Scenario {
    pub(crate) fn all() -> Vec<Self> {
        let works = |role| Work::ALL.map(|work| Self { role, work });
        Role::ALL.into_iter().flat_map(works).collect()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Client => "client",
        })
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("full"),
            Self::Resumed => f.write_str("resumed"),
            Self::Up(connections) => write!(f, "up-{connections}"),
            Self::Down(connections) => write!(f, "down-{connections}"),
            Self::Latency => f.write_str("latency"),
            Self::Idle => f.write_str("idle"),
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.role, self.work)
    }
}
