//! Who is measured, and how each is set up: one worker, errors logged only, and the same TLS parameters.

mod ours;
mod peers;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use nix::sys::signal::Signal;
use pagent::lab::{Running, find_program};

use crate::scenario::{Role, Scenario, Work};
use crate::stage::{Stage, own_program, path};
use peers::Peer;

/// A contestant.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Contestant {
    /// Pagent with an explicit listener, and nothing in the kernel.
    OursListen,
    /// Pagent with the kernel's capture: the load generator connects to the program itself.
    OursCaptured,
    /// Somebody else's proxy.
    Peer(Peer),
    /// The forwarder without TLS.
    Forward,
    /// No proxy: TLS with the backend.
    DirectTls,
    /// No proxy: clear text with the backend.
    DirectPlain,
}

/// A proxy that runs, or the absence of one.
pub(crate) struct Proxy {
    /// Where the load generator connects.
    pub(crate) to: SocketAddr,
    running: Option<Running>,
}

impl Contestant {
    pub(crate) const ALL: [Self; 9] = [
        Self::OursListen,
        Self::OursCaptured,
        Self::Peer(Peer::Nginx),
        Self::Peer(Peer::Haproxy),
        Self::Peer(Peer::Hitch),
        Self::Peer(Peer::Stunnel),
        Self::Forward,
        Self::DirectTls,
        Self::DirectPlain,
    ];

    /// What a proxy's latency is compared with: the same load without it.
    pub(crate) fn direct(self) -> Self {
        match self {
            Self::Forward | Self::DirectPlain => Self::DirectPlain,
            Self::OursListen | Self::OursCaptured | Self::Peer(_) | Self::DirectTls => Self::DirectTls,
        }
    }

    pub(crate) fn is_direct(self) -> bool {
        self.direct() == self
    }

    /// Whether handshakes are made when it is measured.
    pub(crate) fn secures(self) -> bool {
        self.direct() == Self::DirectTls
    }

    /// Whether it can be measured in a scenario.
    pub(crate) fn takes_part(self, scenario: Scenario) -> bool {
        match self {
            Self::OursListen | Self::OursCaptured => true,
            Self::Peer(peer) => scenario.role == Role::Server || peer.has_client_role(),
            // It makes no handshake, and what it holds for a connection is only its buffers.
            Self::Forward => !matches!(scenario.work, Work::Resumed | Work::Idle),
            Self::DirectTls | Self::DirectPlain => scenario.work == Work::Latency,
        }
    }

    /// Whether the load generator speaks TLS.
    pub(crate) fn load_is_tls(self, role: Role) -> bool {
        self == Self::DirectTls || self.secures() && role == Role::Server
    }

    /// Its version; `None` when it is not installed.
    pub(crate) fn version(self) -> Option<String> {
        match self {
            Self::Peer(peer) => peer.version(),
            _ => Some(env!("CARGO_PKG_VERSION").to_owned()),
        }
    }

    /// Starts it.
    pub(crate) fn start(self, stage: &Stage) -> anyhow::Result<Proxy> {
        let (running, to) = match self {
            Self::OursListen => (Some(ours::start(stage, false)?), stage.proxy()),
            Self::OursCaptured => {
                let program = match stage.role {
                    Role::Server => stage.direct_plain(),
                    Role::Client => stage.direct_tls(),
                };
                (Some(ours::start(stage, true)?), program)
            }
            Self::Peer(peer) => (Some(peer.start(stage)?), stage.proxy()),
            Self::Forward => {
                let arguments = ["forward", &stage.proxy().to_string(), &stage.plain_target().to_string()];
                (Some(stage.start_proxy(&own_program()?, &arguments)?), stage.proxy())
            }
            Self::DirectTls => (None, stage.direct_tls()),
            Self::DirectPlain => (None, stage.direct_plain()),
        };
        Ok(Proxy { to, running })
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OursListen => "ours-listen",
            Self::OursCaptured => "ours-captured",
            Self::Peer(peer) => peer.name(),
            Self::Forward => "forward",
            Self::DirectTls => "direct-tls",
            Self::DirectPlain => "direct-plain",
        })
    }
}

impl Proxy {
    /// The root of its processes.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.running.as_ref().map(Running::pid)
    }

    /// What it has logged.
    pub(crate) fn said(&self) -> String {
        self.running.as_ref().map(Running::said).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // A master process that is killed would leave its workers behind: it is asked first, and killed by `Running`
        // if it does not listen.
        if let Some(running) = &mut self.running {
            let _ = running.signal(Signal::SIGTERM);
            let _ = running.wait();
        }
    }
}

/// A program, or what to say when it is not there.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    find_program(name).with_context(|| format!("{name} is not installed"))
}

/// A configuration file in the run's folder.
fn write(stage: &Stage, name: &str, text: &str) -> anyhow::Result<String> {
    let file = stage.folder().join(name);
    std::fs::write(&file, text)?;
    Ok(path(&file).to_owned())
}
