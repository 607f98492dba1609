//! One local end of a connection: what records are written about.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use chrono::{DateTime, Utc};
use smf::detail::Enforcement;
use stack::socket::{self, Socket};
use stack::{ConnectionId, Counters, Endpoints, State};

use super::Tracked;
use super::transfers::Announced;
use crate::flow::FlowKey;
use crate::observer::{Protection, Side};
use crate::record::AtTls;

/// How a connection is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) enum Via {
    /// On the wire.
    Wire(FlowKey),
    /// By the AT-TLS engine, under its number.
    Engine(u64),
}

/// A local end.
pub(super) struct End {
    pub(super) side: Side,
    pub(super) endpoints: Endpoints,
    pub(super) started: DateTime<Utc>,
    pub(super) opened: Instant,
    pub(super) id: ConnectionId,
    pub(super) socket: Option<Socket>,
    pub(super) uid: Option<u32>,
    pub(super) inode: u32,
    /// The record of its beginning (119-1) is written.
    pub(super) announced: bool,
    /// The protection of its last record, once the initiation record is written.
    pub(super) told: Option<Protection>,
    /// Sessions of its connection before this one.
    pub(super) session: u32,
    /// What protects this one, where another may follow.
    pub(super) known: Option<Protection>,
    /// Its packets wait for the verdict.
    pub(super) held: bool,
    /// The verdict has fallen.
    pub(super) judged: bool,
    /// It is to be reset; what is held of it never goes on.
    pub(super) refused: bool,
    pub(super) enforcement: Option<Enforcement>,
    /// It was there before the observer.
    pub(super) older: bool,
    /// What AT-TLS has to do with it, where its engine carries it.
    pub(super) attls: Option<AtTls>,
    /// Where a control connection of FTP announced it.
    pub(super) announced_data: Option<Announced>,
}

impl End {
    pub(super) fn new(side: Side, endpoints: Endpoints, started: DateTime<Utc>, opened: Instant) -> Self {
        Self {
            side,
            endpoints,
            started,
            opened,
            id: ConnectionId(0),
            socket: None,
            uid: None,
            inode: 0,
            announced: false,
            told: None,
            session: 0,
            known: None,
            held: false,
            judged: false,
            refused: false,
            enforcement: None,
            older: false,
            attls: None,
            announced_data: None,
        }
    }

    /// The connection it is an end of.
    pub(super) fn key(&self) -> FlowKey {
        let Endpoints { local, remote } = self.endpoints;
        match self.side {
            Side::Client => FlowKey { client: local, server: remote },
            Side::Server => FlowKey { client: remote, server: local },
        }
    }
}

/// What the wire showed of an end's bytes: the client's and the server's.
pub(super) fn counters_of(bytes: (Option<u64>, Option<u64>), side: Side) -> Counters {
    let (sent, received) = match side {
        Side::Client => bytes,
        Side::Server => (bytes.1, bytes.0),
    };
    Counters { bytes_out: sent.unwrap_or_default(), bytes_in: received.unwrap_or_default(), ..Counters::default() }
}

/// Its socket as it is now.
pub(super) fn now(end: &End) -> Option<Socket> {
    let found = end.socket.and_then(|_| socket::lookup(end.endpoints).ok().flatten());
    found.filter(|found| end.socket.is_some_and(|known| known.cookie == found.cookie))
}

/// What an ended or initiated connection is recorded as: nothing determined means nothing protects it.
pub(super) fn settled(protection: Protection) -> Protection {
    match protection {
        Protection::Undetermined => Protection::None,
        // Given up before its keys were in use.
        Protection::Ssh(mut ssh) if !ssh.complete => {
            ssh.failed = true;
            Protection::Ssh(ssh)
        }
        Protection::Tls(mut handshake) => {
            handshake.complete = true;
            Protection::Tls(handshake)
        }
        other => other,
    }
}

pub(super) fn endpoints(key: FlowKey, side: Side) -> Endpoints {
    match side {
        Side::Client => Endpoints { local: key.client, remote: key.server },
        Side::Server => Endpoints { local: key.server, remote: key.client },
    }
}

pub(super) fn is_alive(socket: &Socket) -> bool {
    let found = socket::lookup(socket.endpoints).ok().flatten();
    found.is_some_and(|found| found.cookie == socket.cookie && found.state != State::TimeWait)
}

/// The local ends of a connection whose sockets were never found.
pub(super) fn missed_ends(key: FlowKey, tracked: &Tracked) -> Vec<End> {
    let local = local_addresses();
    let is_local = |end: SocketAddr| end.ip().is_loopback() || local.contains(&end.ip());
    [(Side::Client, key.client), (Side::Server, key.server)]
        .into_iter()
        .filter(|(_, end)| is_local(*end))
        .map(|(side, _)| {
            let endpoints = endpoints(key, side);
            let listener = match side {
                Side::Server => socket::listener(endpoints.local).ok().flatten(),
                Side::Client => None,
            };
            End {
                uid: listener.map(|listener| listener.uid),
                inode: listener.map_or(0, |listener| listener.inode),
                ..End::new(side, endpoints, tracked.started, tracked.opened)
            }
        })
        .collect()
}

pub(super) fn local_addresses() -> Vec<IpAddr> {
    let addresses = nix::ifaddrs::getifaddrs().into_iter().flatten().filter_map(|interface| interface.address);
    addresses
        .filter_map(|address| {
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .collect()
}
