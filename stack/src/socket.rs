//! TCP sockets by sock_diag: look one up, list them, hear of their ends, destroy one.
//!
//! Source: `linux/inet_diag.h`, `linux/sock_diag.h`, `struct tcp_info` in `linux/tcp.h`.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netlink_sys::constants::NETLINK_SOCK_DIAG;
use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, TokioSocket};
use serde::{Serialize, Serializer};

use crate::StackError;
use crate::netlink::{self, ACK, DUMP, Message, REQUEST};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const INET_DIAG_INFO: u16 = 2;
const INET_DIAG_MARK: u16 = 15;
const NO_COOKIE: u64 = u64::MAX;
/// `SKNLGRP_INET_TCP_DESTROY` and `SKNLGRP_INET6_TCP_DESTROY`.
const DESTROY_GROUPS: [u32; 2] = [1, 3];
/// Length of `inet_diag_msg`.
const DIAG_MESSAGE: usize = 72;

/// A connection's number: the low 32 bits of its socket's cookie, printed as eight hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Ord, PartialOrd)]
pub struct ConnectionId(pub u32);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}", self.0)
    }
}

impl Serialize for ConnectionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl ConnectionId {
    /// Reads what `Display` prints; fewer digits are accepted.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (1..=8).contains(&text.len()).then(|| u32::from_str_radix(text, 16).ok()).flatten().map(Self)
    }
}

/// Both ends of a connection, as its local socket sees them.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize)]
pub struct Endpoints {
    /// The socket's own end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
}

impl Endpoints {
    /// The same connection seen from the other end.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self { local: self.remote, remote: self.local }
    }

    /// IPv4-mapped addresses of a dual-stack socket as IPv4.
    #[must_use]
    pub fn canonical(self) -> Self {
        let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
        Self { local: canonical(self.local), remote: canonical(self.remote) }
    }
}

/// TCP states, `linux/tcp_states.h`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize)]
#[allow(missing_docs, reason = "RFC 9293 names them")]
pub enum State {
    Established,
    SynSent,
    SynReceived,
    FinWait1,
    FinWait2,
    TimeWait,
    Close,
    CloseWait,
    LastAck,
    Listen,
    Closing,
}

/// What a connection carried: payload bytes and segments.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash, Serialize)]
pub struct Counters {
    /// Payload bytes received. The kernel counts a received FIN as one byte; see [`Counters::without_fin`].
    pub bytes_in: u64,
    /// Payload bytes sent, each counted once.
    pub bytes_out: u64,
    /// Segments received.
    pub segments_in: u32,
    /// Segments sent.
    pub segments_out: u32,
}

impl Counters {
    /// The same when the peer's FIN has been received: it is no payload.
    #[must_use]
    pub fn without_fin(mut self) -> Self {
        self.bytes_in = self.bytes_in.saturating_sub(1);
        self
    }
}

/// How a connection's packets travel, as its socket estimates it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Transport {
    /// Segment size, bytes.
    pub segment_size: u32,
    /// Round trip, microseconds.
    pub round_trip: u32,
    /// Its variance, microseconds.
    pub round_trip_variance: u32,
    /// Congestion window, segments.
    pub congestion_window: u32,
    /// The window the peer offers, bytes.
    pub send_window: u32,
    /// Segments that were sent again.
    pub retransmissions: u32,
}

/// A TCP socket of this network namespace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Socket {
    /// Its ends; IPv4-mapped addresses are shown as IPv4.
    pub endpoints: Endpoints,
    /// Its state.
    pub state: State,
    /// Unique while the system runs.
    pub cookie: u64,
    /// Its owner's uid; 0 also for TIME-WAIT, which remembers none.
    pub uid: u32,
    /// Its inode; 0 when no file refers to it (not accepted yet, or orphaned).
    pub inode: u32,
    /// SO_MARK, shown to CAP_NET_ADMIN only.
    pub mark: u32,
    /// Bytes its program has not read yet.
    pub unread: u32,
    /// Bytes its program sent that the other end has not acknowledged yet.
    pub unacknowledged: u32,
    /// What it carried.
    pub counters: Counters,
    /// How it travels.
    pub transport: Transport,
}

impl Socket {
    /// The connection's number.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        #[allow(clippy::cast_possible_truncation, reason = "the low half is the number")]
        ConnectionId(self.cookie as u32)
    }
}

/// The socket with exactly these ends, if it lives.
///
/// # Errors
///
/// When the kernel cannot be asked; a socket that is not there is `None`.
pub fn lookup(endpoints: Endpoints) -> Result<Option<Socket>, StackError> {
    // The kernel falls back to a listener; that is not the connection asked for.
    find(endpoints, |socket| socket.endpoints == endpoints)
}

/// The listener that would accept a connection to `local`, as the kernel chooses it.
///
/// # Errors
///
/// When the kernel cannot be asked.
pub fn listener(local: SocketAddr) -> Result<Option<Socket>, StackError> {
    // No connection has port 0: the look-up ends at the listener.
    let nobody: IpAddr = if local.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let ends = Endpoints { local, remote: SocketAddr::new(nobody, 0) };
    if let Some(found) = find(ends, |socket| socket.state == State::Listen)? {
        return Ok(Some(found));
    }
    // The look-up passes over listeners that are bound to a device; the list has them. An IPv6 listener on :: may serve
    // IPv4 too; an IPv4 one never serves IPv6.
    let rank = |socket: &Socket| match (socket.endpoints.local.ip(), local.ip()) {
        _ if socket.endpoints.local.port() != local.port() => None,
        (bound, wanted) if bound == wanted => Some(0),
        (IpAddr::V4(bound), IpAddr::V4(_)) if bound.is_unspecified() => Some(1),
        (IpAddr::V6(bound), _) if bound.is_unspecified() => Some(2),
        _ => None,
    };
    let listeners = list(&[State::Listen])?;
    let found = listeners.into_iter().filter_map(|socket| rank(&socket).map(|rank| (rank, socket)));
    Ok(found.min_by_key(|(rank, _)| *rank).map(|(_, socket)| socket))
}

/// The first socket that the kernel finds for some ends and that is the one meant.
fn find(ends: Endpoints, meant: impl Fn(&Socket) -> bool) -> Result<Option<Socket>, StackError> {
    for family in families(ends) {
        let message =
            Message::new(SOCK_DIAG_BY_FAMILY, REQUEST).bytes(&diag_request(family, u32::MAX, Some(ends), NO_COOKIE));
        match netlink::request(NETLINK_SOCK_DIAG, message, "a socket's description") {
            Ok(answers) => {
                if let Some(found) = answers.iter().find_map(|answer| parse(answer)).filter(&meant) {
                    return Ok(Some(found));
                }
            }
            Err(StackError::Refused { source, .. }) if source.raw_os_error() == Some(2) => {} // ENOENT
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Every TCP socket in one of these states.
///
/// # Errors
///
/// When the kernel cannot be asked.
pub fn list(states: &[State]) -> Result<Vec<Socket>, StackError> {
    let mask = states.iter().fold(0, |mask, state| mask | 1 << state.number());
    let mut sockets = Vec::new();
    for family in [AF_INET, AF_INET6] {
        let message =
            Message::new(SOCK_DIAG_BY_FAMILY, REQUEST | DUMP).bytes(&diag_request(family, mask, None, NO_COOKIE));
        let answers = netlink::request(NETLINK_SOCK_DIAG, message, "the list of sockets")?;
        sockets.extend(answers.iter().filter_map(|answer| parse(answer)));
    }
    Ok(sockets)
}

/// Ends a connection at once: the peer gets a RST, the local program ECONNABORTED. Needs CAP_NET_ADMIN.
///
/// Returns whether it was there.
///
/// # Errors
///
/// When the kernel refuses.
pub fn destroy(socket: &Socket) -> Result<bool, StackError> {
    for family in families(socket.endpoints) {
        let message = Message::new(SOCK_DESTROY, REQUEST | ACK).bytes(&diag_request(
            family,
            u32::MAX,
            Some(socket.endpoints),
            socket.cookie,
        ));
        match netlink::request(NETLINK_SOCK_DIAG, message, "to drop a connection") {
            Ok(_) => return Ok(true),
            Err(StackError::Refused { source, .. }) if source.raw_os_error() == Some(2) => {} // ENOENT
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Hears of TCP sockets as the kernel frees them, with their final counters.
#[allow(missing_debug_implementations, reason = "TokioSocket has none")]
pub struct Ends {
    socket: TokioSocket,
}

impl Ends {
    /// Subscribes.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn subscribe() -> Result<Self, StackError> {
        let mut socket = TokioSocket::new(NETLINK_SOCK_DIAG)?;
        socket.socket_mut().bind_auto()?;
        socket.socket_mut().set_rx_buf_sz(8_i32 << 20)?;
        for group in DESTROY_GROUPS {
            socket.socket_mut().add_membership(group)?;
        }
        Ok(Self { socket })
    }

    /// The next sockets that ended.
    ///
    /// # Errors
    ///
    /// `ENOBUFS` when the kernel had to drop reports; what follows is complete again.
    pub async fn next(&mut self) -> io::Result<Vec<Socket>> {
        let (buffer, _) = self.socket.recv_from_full().await?;
        Ok(netlink::messages(&buffer).filter_map(|(_, payload)| parse(payload)).collect())
    }
}

impl State {
    fn number(self) -> u32 {
        match self {
            Self::Established => 1,
            Self::SynSent => 2,
            Self::SynReceived => 3,
            Self::FinWait1 => 4,
            Self::FinWait2 => 5,
            Self::TimeWait => 6,
            Self::Close => 7,
            Self::CloseWait => 8,
            Self::LastAck => 9,
            Self::Listen => 10,
            Self::Closing => 11,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Established,
            2 => Self::SynSent,
            3 | 12 => Self::SynReceived,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Close,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            _ => return None,
        })
    }
}

/// IPv4 connections of dual-stack sockets are in the IPv6 table under mapped addresses.
fn families(endpoints: Endpoints) -> impl Iterator<Item = u8> {
    let families: &[u8] = if endpoints.local.is_ipv4() { &[AF_INET, AF_INET6] } else { &[AF_INET6] };
    families.iter().copied()
}

/// `inet_diag_req_v2`.
fn diag_request(family: u8, states: u32, endpoints: Option<Endpoints>, cookie: u64) -> Vec<u8> {
    let mut request = vec![family, IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), 0];
    request.extend_from_slice(&states.to_ne_bytes());
    let unspecified = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let ends = endpoints.unwrap_or(Endpoints { local: unspecified, remote: unspecified });
    request.extend_from_slice(&ends.local.port().to_be_bytes());
    request.extend_from_slice(&ends.remote.port().to_be_bytes());
    for end in [ends.local, ends.remote] {
        let octets = match (family, end.ip()) {
            (AF_INET, IpAddr::V4(v4)) => {
                let mut octets = [0; 16];
                octets[..4].copy_from_slice(&v4.octets());
                octets
            }
            (_, IpAddr::V4(v4)) => v4.to_ipv6_mapped().octets(),
            (_, IpAddr::V6(v6)) => v6.octets(),
        };
        request.extend_from_slice(&octets);
    }
    request.extend_from_slice(&0_u32.to_ne_bytes()); // any interface
    request.extend_from_slice(&cookie.to_ne_bytes()); // two words, the low one first on the hosts we run on
    request
}

/// `inet_diag_msg` and its attributes.
fn parse(payload: &[u8]) -> Option<Socket> {
    let (fixed, tail) = payload.split_at_checked(DIAG_MESSAGE)?;
    let family = *fixed.first()?;
    let word = |at: usize| Some(u32::from_ne_bytes(*fixed.get(at..)?.first_chunk::<4>()?));
    let port = |at: usize| Some(u16::from_be_bytes(*fixed.get(at..)?.first_chunk::<2>()?));
    let address = |at: usize| -> Option<IpAddr> {
        let octets = *fixed.get(at..)?.first_chunk::<16>()?;
        Some(if family == AF_INET {
            let [a, b, c, d, ..] = octets;
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        } else {
            IpAddr::V6(Ipv6Addr::from(octets)).to_canonical()
        })
    };
    let mut socket = Socket {
        state: State::from_number(*fixed.get(1)?)?,
        endpoints: Endpoints {
            local: SocketAddr::new(address(8)?, port(4)?),
            remote: SocketAddr::new(address(24)?, port(6)?),
        },
        cookie: u64::from(word(44)?) | u64::from(word(48)?) << 32,
        uid: word(64)?,
        unread: word(56)?,
        unacknowledged: word(60)?,
        inode: word(68)?,
        mark: 0,
        counters: Counters::default(),
        transport: Transport::default(),
    };
    for (kind, value) in netlink::attributes(tail) {
        match kind {
            INET_DIAG_INFO => {
                socket.counters = counters(value).unwrap_or_default();
                socket.transport = transport(value).unwrap_or_default();
            }
            INET_DIAG_MARK => {
                socket.mark = value.first_chunk::<4>().map(|mark| u32::from_ne_bytes(*mark)).unwrap_or_default();
            }
            _ => {}
        }
    }
    Some(socket)
}

/// `tcp_info`: bytes_received at 128, segs_out at 136, segs_in at 140, bytes_sent at 200, bytes_retrans at 208.
fn counters(info: &[u8]) -> Option<Counters> {
    let long = |at: usize| Some(u64::from_ne_bytes(*info.get(at..)?.first_chunk::<8>()?));
    let word = |at: usize| Some(u32::from_ne_bytes(*info.get(at..)?.first_chunk::<4>()?));
    Some(Counters {
        bytes_in: long(128)?,
        bytes_out: long(200)?.saturating_sub(long(208)?),
        segments_out: word(136)?,
        segments_in: word(140)?,
    })
}

/// `tcp_info`: snd_mss at 16, rtt at 68, rttvar at 72, snd_cwnd at 80, total_retrans at 100, snd_wnd at 228 (Linux 5.4).
fn transport(info: &[u8]) -> Option<Transport> {
    let word = |at: usize| Some(u32::from_ne_bytes(*info.get(at..)?.first_chunk::<4>()?));
    Some(Transport {
        segment_size: word(16)?,
        round_trip: word(68)?,
        round_trip_variance: word(72)?,
        congestion_window: word(80)?,
        retransmissions: word(100)?,
        send_window: word(228).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn pair() -> (TcpStream, TcpStream, Endpoints) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let (server, _) = listener.accept().expect("a connection");
        let endpoints = Endpoints {
            local: client.local_addr().expect("an address"),
            remote: client.peer_addr().expect("an address"),
        };
        (client, server, endpoints)
    }

    #[test]
    fn a_connection_is_found_with_its_owner_and_counters() {
        let (mut client, mut server, endpoints) = pair();
        client.write_all(&[7; 1000]).expect("written");
        let unread = lookup(endpoints.reversed()).expect("an answer").expect("the socket").unread;
        server.read_exact(&mut [0; 1000]).expect("read");
        assert_eq!(unread, 1000);
        let found = lookup(endpoints).expect("an answer").expect("the socket");
        assert_eq!((found.state, found.endpoints), (State::Established, endpoints));
        assert_eq!(found.uid, nix::unistd::getuid().as_raw());
        assert_ne!(found.inode, 0);
        assert_eq!(found.counters.bytes_out, 1000);
        let transport = found.transport;
        assert!(transport.segment_size >= 536 && transport.congestion_window > 0, "{transport:?}");
        assert!(transport.round_trip > 0 && transport.send_window >= transport.segment_size, "{transport:?}");
        let other = lookup(endpoints.reversed()).expect("an answer").expect("the other socket");
        assert_eq!(other.counters.bytes_in, 1000);
        assert_ne!(other.cookie, found.cookie);
    }

    #[test]
    fn a_connection_that_is_not_there_is_none() {
        let (client, server, endpoints) = pair();
        drop((client, server));
        let mut gone = endpoints;
        gone.remote.set_port(1);
        assert_eq!(lookup(gone).expect("an answer"), None);
    }

    #[test]
    fn the_listener_of_a_port_is_found() {
        let listening = TcpListener::bind("0.0.0.0:0").expect("a listener");
        let port = listening.local_addr().expect("an address").port();
        let found = listener(SocketAddr::from(([127, 0, 0, 1], port))).expect("an answer").expect("the listener");
        assert_eq!((found.state, found.endpoints.local.port()), (State::Listen, port));
        assert_ne!(found.inode, 0);
        // An established connection to it is not it.
        let connection = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        let found = listener(connection.peer_addr().expect("an address")).expect("an answer").expect("the listener");
        assert_eq!(found.state, State::Listen);
        drop((connection, listening));
        assert_eq!(listener(SocketAddr::from(([127, 0, 0, 1], port))).expect("an answer"), None);
    }

    #[test]
    fn a_listener_of_both_families_is_found_by_either() {
        let Ok(listening) = TcpListener::bind("[::]:0") else {
            assert!(!std::path::Path::new("/proc/net/if_inet6").exists(), "no listener on ::");
            return;
        };
        let port = listening.local_addr().expect("an address").port();
        for address in [IpAddr::from([127, 0, 0, 1]), Ipv6Addr::LOCALHOST.into()] {
            let found = listener(SocketAddr::new(address, port)).expect("an answer").expect("the listener");
            assert_eq!((found.state, found.endpoints.local.port()), (State::Listen, port));
        }
    }
}
