//! The engine's sockets: where captured connections arrive, and the legs it dials.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use stack::Endpoints;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::engine::Settings;
use crate::error::InstallError;
use crate::marks::Marks;
use crate::random::draw;
use crate::sys;

/// Connections waiting to be accepted.
const BACKLOG: i32 = 4096;

/// Ports that few clients have: Linux gives them those from 32768, Windows and macOS those from 49152. Most services listen
/// below.
const UNUSUAL_PORTS: RangeInclusive<u16> = 10_000..=32_767;
/// For peers whose clients do have those (z/OS, BSD, routers that translate).
const HIGH_PORTS: RangeInclusive<u16> = 49_152..=65_535;
/// Those that privileged programs take for connections (rresvport(3)); some services listen there, their ports are passed over.
const PRIVILEGED_PORTS: RangeInclusive<u16> = 512..=1023;
/// What programs go by that trust a client's port (`IPPORT_RESERVED`).
const FIRST_UNPRIVILEGED: u16 = 1024;
/// Ports to try.
const TRIES: usize = 32;

/// Without the daemon an ordinary user must not be able to take the port that clear text is redirected to.
pub(crate) fn check_port_protection(port: u16) -> Result<(), InstallError> {
    let path = Path::new("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let file = |source| InstallError::File { path: path.to_owned(), source };
    let start = std::fs::read_to_string(path).map_err(file)?.trim().parse().unwrap_or(0);
    if u32::from(port) >= start {
        return Err(InstallError::PortUnprotected { port, start });
    }
    Ok(())
}

/// nftables redirects to the loopback address of each family.
pub(crate) fn outbound_addresses(port: u16) -> Vec<SocketAddr> {
    let mut addresses = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))];
    if has_ipv6() {
        addresses.push(SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
    }
    addresses
}

/// One transparent listener is for both families.
pub(crate) fn inbound_address(port: u16) -> SocketAddr {
    if has_ipv6() { (Ipv6Addr::UNSPECIFIED, port).into() } else { (Ipv4Addr::UNSPECIFIED, port).into() }
}

fn has_ipv6() -> bool {
    Path::new("/proc/net/if_inet6").exists()
}

/// How a listener's packets, and those of what it accepts, are marked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Marking {
    None,
    /// As the engine's network leg.
    Ours(Marks),
    /// The same, and it takes connections for all addresses.
    Transparent(Marks),
}

/// A listener: the one that is inherited, or a new one.
pub(crate) fn listen(address: SocketAddr, marking: Marking, inherited: Option<OwnedFd>) -> io::Result<TcpListener> {
    let socket = match inherited {
        Some(inherited) => Socket::from(inherited),
        None => open(address, marking)?,
    };
    if let Marking::Ours(marks) | Marking::Transparent(marks) = marking {
        socket.set_mark(marks.network())?;
    }
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn open(address: SocketAddr, marking: Marking) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // What it accepts inherits these two.
    socket.set_tcp_nodelay(true)?;
    socket.set_keepalive(true)?;
    let transparent = matches!(marking, Marking::Transparent(_));
    if address.is_ipv6() {
        socket.set_only_v6(!transparent)?;
    }
    if transparent {
        set_transparent(&SockRef::from(&socket), address)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn set_transparent(socket: &SockRef<'_>, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() {
        socket.set_ip_transparent_v6(true)?;
    }
    socket.set_ip_transparent_v4(true)
}

/// Connects to the original destination from the program's own address.
pub(crate) async fn dial_network(settings: &Settings, endpoints: Endpoints) -> io::Result<TcpStream> {
    let socket = new_socket(endpoints.remote)?;
    mark(&socket, settings, Marks::network)?;
    sys::bind_address_no_port(socket.as_fd())?;
    if endpoints.local.is_ipv4() == endpoints.remote.is_ipv4() {
        socket.bind(SocketAddr::new(endpoints.local.ip(), 0))?;
    }
    connect(socket, endpoints.remote).await
}

/// Connects to the local program from the peer's address, so that it sees who its client is.
///
/// The port is none that the peer is likely to use for the same server: to the kernel both would be one connection. What
/// the peer's own port says, that of a privileged program or of any, this one says too while there are such ports.
pub(crate) async fn dial_program(settings: &Settings, endpoints: Endpoints) -> io::Result<TcpStream> {
    let Endpoints { local: server, remote: peer } = endpoints;
    let ports = match peer.port() {
        ..FIRST_UNPRIVILEGED => PRIVILEGED_PORTS,
        port if port <= *UNUSUAL_PORTS.end() => HIGH_PORTS,
        _ => UNUSUAL_PORTS,
    };
    for _ in 0..TRIES {
        let client = SocketAddr::new(peer.ip(), random(&ports));
        // A connection of the peer that has this very port is not asked for by `connect`: its ends are the other way round.
        let theirs = Endpoints { local: server, remote: client };
        if stack::socket::lookup(theirs).map_err(io::Error::other)?.is_some() {
            continue;
        }
        let socket = program_socket(settings, server)?;
        socket.set_reuseaddr(true)?;
        let connected = match socket.bind(client) {
            Ok(()) => connect(socket, server).await,
            Err(error) => Err(error),
        };
        match connected {
            Err(error) if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable) => {}
            result => return result,
        }
    }
    // So many connections from one address: whichever port is left.
    let socket = program_socket(settings, server)?;
    sys::bind_address_no_port(socket.as_fd())?;
    socket.bind(SocketAddr::new(peer.ip(), 0))?;
    connect(socket, server).await
}

fn random(ports: &RangeInclusive<u16>) -> u16 {
    let many = u64::from(ports.end() - ports.start()) + 1;
    ports.start() + u16::try_from(draw() % many).unwrap_or_default()
}

fn program_socket(settings: &Settings, server: SocketAddr) -> io::Result<TcpSocket> {
    let socket = new_socket(server)?;
    mark(&socket, settings, Marks::plain)?;
    set_transparent(&SockRef::from(&socket), server)?;
    Ok(socket)
}

/// Connects to an explicit listener's target, as nobody but ourselves.
pub(crate) async fn dial(settings: &Settings, target: SocketAddr) -> io::Result<TcpStream> {
    dial_marked(settings.capture.as_ref().map(|capture| capture.marks), target).await
}

/// Connects as nobody but ourselves; beside a capture with the mark that no rule captures.
pub(crate) async fn dial_marked(marks: Option<Marks>, target: SocketAddr) -> io::Result<TcpStream> {
    let socket = new_socket(target)?;
    marks.map_or(Ok(()), |marks| SockRef::from(&socket).set_mark(marks.network()))?;
    connect(socket, target).await
}

async fn connect(socket: TcpSocket, to: SocketAddr) -> io::Result<TcpStream> {
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_keepalive(true)?;
    Ok(stream)
}

/// Marks a leg as ours, where the kernel captures; without a capture there is nobody to tell.
fn mark(socket: &TcpSocket, settings: &Settings, which: fn(Marks) -> u32) -> io::Result<()> {
    settings.capture.as_ref().map_or(Ok(()), |capture| SockRef::from(socket).set_mark(which(capture.marks)))
}

fn new_socket(towards: SocketAddr) -> io::Result<TcpSocket> {
    if towards.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}

/// IPv4-mapped addresses of the dual-stack listener as IPv4.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
