//! The hand-over of the data plane to another process (`pagent run --takeover`): the listening sockets go over, the
//! connections stay where they are until they end.
//!
//! ```text
//! successor ── connects ──────────────> predecessor
//!           <── its sockets, and the ways to its own predecessors ──
//!   (reads the policy, installs it)
//!           ── Ready ──────────────────>   (accepts no more)
//!           <────────────────── Handed ──
//!   (accepts)
//!           ── Connection, its socket ─>   (is it a secondary one of mine?)
//!           <─────────────── Taken(yes) ──
//! ```
//!
//! Until `Handed` either may fail, and all goes on as before. The channel stays for as long as the predecessor has connections.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio_seqpacket::UnixSeqpacket;
use tokio_seqpacket::ancillary::{AncillaryMessageWriter, OwnedAncillaryMessage};

use crate::connection::{Arrival, Arrived};
use crate::engine::{Engine, Shared};
use crate::sockets::canonical;

/// Longest message.
const MESSAGE: usize = 1024;
/// Room for one descriptor.
const ANCILLARY: usize = 64;
/// How long a predecessor is asked about a connection.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a successor may take to install its policy.
const INSTALL: Duration = Duration::from_secs(300);

/// A way between two daemons; both are the same user.
#[derive(Debug)]
pub struct Channel(UnixSeqpacket);

/// What a listening socket is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    Redirected(SocketAddr),
    HandedOver(SocketAddr),
    Explicit(SocketAddr),
    /// The control API's.
    Control,
}

/// How a connection came that may be a predecessor's.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Captured {
    Redirected,
    HandedOver,
}

#[derive(Debug, Serialize, Deserialize)]
enum Message {
    Socket(Purpose),
    /// The way to a process that the predecessor took over from itself.
    Predecessor(u32),
    Complete(u32),
    Ready,
    Handed,
    Connection(Captured),
    Taken(bool),
}

impl Channel {
    /// A connection to or from another daemon.
    ///
    /// # Errors
    ///
    /// When its other end is another user.
    pub fn new(socket: UnixSeqpacket) -> io::Result<Self> {
        let (theirs, ours) = (socket.peer_cred()?.uid(), nix::unistd::geteuid().as_raw());
        if theirs != ours {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("uid {theirs} may not take over")));
        }
        Ok(Self(socket))
    }

    async fn send(&self, message: &Message, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        let mut room = [0; ANCILLARY];
        let mut ancillary = AncillaryMessageWriter::new(&mut room);
        let descriptors = descriptor.as_slice();
        if !descriptors.is_empty() {
            ancillary.add_fds(descriptors).map_err(|_| io::Error::other("a descriptor does not fit"))?;
        }
        self.0.send_with_ancillary(&bytes, &mut ancillary).await.map(drop)
    }

    async fn receive(&self) -> io::Result<(Message, Option<OwnedFd>)> {
        let (mut bytes, mut room) = ([0; MESSAGE], [0; ANCILLARY]);
        let (read, ancillary) = self.0.recv_with_ancillary(&mut bytes, &mut room).await?;
        let mut descriptor = None;
        for message in ancillary.into_messages() {
            if let OwnedAncillaryMessage::FileDescriptors(descriptors) = message {
                descriptor = descriptors.into_iter().next();
            }
        }
        match bytes.get(..read.bytes_read()) {
            None | Some([]) => Err(io::ErrorKind::UnexpectedEof.into()),
            Some(bytes) => Ok((serde_json::from_slice(bytes)?, descriptor)),
        }
    }

    /// Whether the other end is gone. Nothing is expected from it now.
    async fn is_gone(&self) -> bool {
        poll_fn(|context| Poll::Ready(self.0.poll_peek(context, &mut [0]).is_ready())).await
    }
}

/// A process that was taken over from and still carries connections.
#[derive(Debug)]
pub(crate) struct Predecessor {
    pid: u32,
    channel: Channel,
}

/// The processes that were taken over from.
#[derive(Debug, Default)]
pub(crate) struct Predecessors {
    all: tokio::sync::Mutex<Vec<Predecessor>>,
    /// Also before they are done handing over.
    pids: Mutex<Vec<u32>>,
}

impl Predecessors {
    pub(crate) fn new(pids: Vec<u32>) -> Self {
        Self { all: tokio::sync::Mutex::default(), pids: Mutex::new(pids) }
    }

    /// Those whose sets of secondary connections count.
    pub(crate) fn pids(&self) -> Vec<u32> {
        lock(&self.pids).clone()
    }

    /// Forgets those that are gone.
    async fn look(&self) {
        let mut all = self.all.lock().await;
        let mut gone = Vec::new();
        for (at, predecessor) in all.iter().enumerate() {
            if predecessor.channel.is_gone().await {
                gone.push(at);
            }
        }
        for at in gone.into_iter().rev() {
            let predecessor = all.remove(at);
            lock(&self.pids).retain(|pid| *pid != predecessor.pid);
        }
    }

    /// Offers a captured connection that no rule is for to each of them; says whether it is one's.
    pub(crate) async fn take(&self, stream: &TcpStream, captured: Captured) -> bool {
        // One that is gone has no connections any more.
        self.look().await;
        for predecessor in self.all.lock().await.iter() {
            match tokio::time::timeout(ANSWER, predecessor.take(stream, captured)).await {
                Ok(Ok(false)) => {}
                // One that does not answer may have taken it.
                Ok(Ok(true) | Err(_)) | Err(_) => return true,
            }
        }
        false
    }
}

impl Predecessor {
    async fn take(&self, stream: &TcpStream, captured: Captured) -> io::Result<bool> {
        self.channel.send(&Message::Connection(captured), Some(stream.as_fd())).await?;
        match self.channel.receive().await? {
            (Message::Taken(taken), _) => Ok(taken),
            (message, _) => Err(unexpected(&message)),
        }
    }
}

/// What a daemon gets from the one it takes over from.
#[derive(Debug)]
pub struct Inheritance {
    pid: u32,
    channel: Channel,
    sockets: Vec<(Purpose, OwnedFd)>,
    predecessors: Vec<Predecessor>,
}

impl Inheritance {
    /// Asks the running daemon, which listens at `path`, for its sockets.
    ///
    /// # Errors
    ///
    /// When there is none, or it is another user's, or being taken over from already.
    pub async fn receive(path: &Path) -> io::Result<Self> {
        let channel = Channel::new(UnixSeqpacket::connect(path).await?)?;
        let (mut sockets, mut predecessors) = (Vec::new(), Vec::new());
        loop {
            match channel.receive().await? {
                (Message::Socket(purpose), Some(socket)) => sockets.push((purpose, socket)),
                (Message::Predecessor(pid), Some(socket)) => {
                    let channel = Channel(UnixSeqpacket::try_from(socket)?);
                    predecessors.push(Predecessor { pid, channel });
                }
                (Message::Complete(pid), _) => return Ok(Self { pid, channel, sockets, predecessors }),
                (message, _) => return Err(unexpected(&message)),
            }
        }
    }

    /// The process that is taken over from.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The control API's socket.
    pub fn control(&mut self) -> Option<OwnedFd> {
        self.take(Purpose::Control)
    }

    /// A listening socket, if the predecessor has it.
    pub(crate) fn take(&mut self, purpose: Purpose) -> Option<OwnedFd> {
        let at = self.sockets.iter().position(|(known, _)| *known == purpose)?;
        Some(self.sockets.swap_remove(at).1)
    }

    /// The processes whose secondary connections go on.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.predecessors.iter().map(|predecessor| predecessor.pid).chain([self.pid]).collect()
    }
}

/// A hand-over on its way: everything is offered, and goes on here until [`Offer::complete`].
#[derive(Debug)]
pub struct Offer<'a> {
    engine: &'a Engine,
    channel: Channel,
    /// Nobody asks them anything until it is clear whose they are.
    predecessors: tokio::sync::MutexGuard<'a, Vec<Predecessor>>,
}

impl Offer<'_> {
    /// Tells the successor that it is alone now. Connections go on here until they end.
    ///
    /// # Errors
    ///
    /// When it is gone; everything goes on here then.
    pub async fn complete(mut self) -> io::Result<Channel> {
        self.channel.send(&Message::Handed, None).await?;
        let shared = &self.engine.shared;
        shared.retired.store(true, Ordering::SeqCst);
        self.predecessors.clear();
        for one in std::mem::take(&mut *lock(&shared.listening)) {
            one.task.abort();
        }
        Ok(self.channel)
    }
}

impl Engine {
    /// Offers the data plane to a daemon that takes over, `control` with it, and waits until it has a policy in force.
    ///
    /// # Errors
    ///
    /// When it gives up, or takes too long.
    pub async fn offer(&self, channel: Channel, control: BorrowedFd<'_>) -> io::Result<Offer<'_>> {
        let Shared { listening, predecessors, .. } = self.shared.as_ref();
        let all: Vec<_> = lock(listening).iter().map(|one| (one.purpose, Arc::clone(&one.socket))).collect();
        for (purpose, socket) in all {
            channel.send(&Message::Socket(purpose), Some(socket.as_fd())).await?;
        }
        channel.send(&Message::Socket(Purpose::Control), Some(control)).await?;
        predecessors.look().await;
        let predecessors = predecessors.all.lock().await;
        for predecessor in predecessors.iter() {
            channel.send(&Message::Predecessor(predecessor.pid), Some(predecessor.channel.0.as_fd())).await?;
        }
        channel.send(&Message::Complete(std::process::id()), None).await?;
        match tokio::time::timeout(INSTALL, channel.receive()).await?? {
            (Message::Ready, _) => Ok(Offer { engine: self, channel, predecessors }),
            (message, _) => Err(unexpected(&message)),
        }
    }

    /// Takes what belongs to connections that are still here, until the successor is gone.
    pub async fn serve_successor(&self, channel: &Channel) {
        while let Ok((Message::Connection(captured), Some(socket))) = channel.receive().await {
            let taken = self.take_secondary(captured, socket).await;
            if channel.send(&Message::Taken(taken), None).await.is_err() {
                return;
            }
        }
    }

    /// The processes that this one took over from and that still have connections.
    pub async fn predecessors(&self) -> Vec<u32> {
        self.shared.predecessors.look().await;
        self.shared.predecessors.pids()
    }

    async fn take_secondary(&self, captured: Captured, socket: OwnedFd) -> bool {
        let stream = TcpStream::from_std(socket.into());
        let Ok((stream, peer)) = stream.and_then(|stream| stream.peer_addr().map(|peer| (stream, peer))) else {
            // Ended meanwhile.
            return true;
        };
        let arrival = match captured {
            Captured::Redirected => Arrival::Redirected,
            Captured::HandedOver => Arrival::HandedOver,
        };
        Arrived::new(&self.shared, stream, canonical(peer), arrival).serve_secondary().await
    }

    /// Takes over: the predecessor accepts no more when this returns, and [`Engine::serve`] may follow. The policy has to be
    /// installed.
    ///
    /// # Errors
    ///
    /// When the predecessor is gone.
    pub async fn succeed(&self, inheritance: Inheritance) -> io::Result<()> {
        let Inheritance { pid, channel, predecessors, .. } = inheritance;
        channel.send(&Message::Ready, None).await?;
        match channel.receive().await? {
            (Message::Handed, _) => {}
            (message, _) => return Err(unexpected(&message)),
        }
        let mut all = self.shared.predecessors.all.lock().await;
        all.extend(predecessors);
        all.push(Predecessor { pid, channel });
        Ok(())
    }
}

/// A listening socket that is served.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) purpose: Purpose,
    pub(crate) socket: Arc<TcpListener>,
    pub(crate) task: tokio::task::AbortHandle,
}

fn unexpected(message: &Message) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the other daemon said {message:?}, which has no place here"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
