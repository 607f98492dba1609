//! The hand-over of the data plane to another process (`pagent run --takeover`): the listening sockets go over, the
//! connections stay where they are until they end.
//!
//! ```text
//! successor ── connects ──────────────> predecessor
//!           <── its sockets, and ways to those it took over from ──
//!   (reads the policy, makes ready)
//!           ── Ready ──────────────────>   (accepts no more)
//!           <───────────────── Proceed ──
//!   (loads the kernel's table, accepts)
//!           ── Serving ────────────────>   (closes its sockets)
//!           <───────────────── Retired ──
//!           ── Connection, its socket ─>   (is it a secondary one of mine?)
//!           <─────────────── Taken(yes) ──
//! ```
//!
//! Until `Serving` either may fail, and all goes on as before. The channel stays for as long as the predecessor has connections;
//! for a successor's successor it is told of another one, so that no two processes ever read answers from the same.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_seqpacket::UnixSeqpacket;
use tokio_seqpacket::ancillary::{AncillaryMessageWriter, OwnedAncillaryMessage};

use crate::connection::{Arrival, Arrived};
use crate::engine::{Engine, Settings, Shared};
use crate::sockets::canonical;
use crate::sync::lock;

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
    Predecessor(Identity),
    Complete(Identity, Option<KernelUse>),
    Ready,
    Proceed,
    Serving,
    Retired,
    Connection(Captured),
    Taken(bool),
    /// Another process will ask by this way.
    Successor,
}

/// A process, and the number of its sets in the kernel's table.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Identity {
    pid: u32,
    holder: u64,
}

/// What two daemons that share the kernel must have in common: live connections are told apart by it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
struct KernelUse {
    mask: u32,
    route_table: u32,
}

impl KernelUse {
    fn of(settings: &Settings) -> Option<Self> {
        let capture = settings.capture.as_ref()?;
        Some(Self { mask: capture.marks.mask(), route_table: capture.route_table })
    }
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
struct Predecessor {
    identity: Identity,
    /// None: it did not answer in time, and what it says later is not heard.
    channel: tokio::sync::Mutex<Option<Channel>>,
}

/// The processes that were taken over from.
#[derive(Debug, Default)]
pub(crate) struct Predecessors {
    all: Mutex<Vec<Arc<Predecessor>>>,
    /// Whose sets count, also before they are done handing over.
    holders: Mutex<Vec<u64>>,
}

impl Predecessors {
    pub(crate) fn expecting(inheritance: Option<&Inheritance>) -> Self {
        let holders = inheritance.map(Inheritance::holders).unwrap_or_default();
        Self { all: Mutex::default(), holders: Mutex::new(holders) }
    }

    /// Those whose sets of secondary connections count.
    pub(crate) fn holders(&self) -> Vec<u64> {
        lock(&self.holders).clone()
    }

    /// Those that are there.
    async fn present(&self) -> Vec<Arc<Predecessor>> {
        let all = lock(&self.all).clone();
        for predecessor in &all {
            // One that is being asked is there.
            let Ok(channel) = predecessor.channel.try_lock() else { continue };
            let gone = match channel.as_ref() {
                Some(channel) => channel.is_gone().await,
                None => true,
            };
            if gone {
                lock(&self.all).retain(|known| !Arc::ptr_eq(known, predecessor));
                lock(&self.holders).retain(|holder| *holder != predecessor.identity.holder);
            }
        }
        lock(&self.all).clone()
    }

    /// Offers a captured connection that no rule is for to each of them; says whether it is one's.
    pub(crate) async fn take(&self, stream: &TcpStream, captured: Captured) -> bool {
        if lock(&self.all).is_empty() {
            return false;
        }
        for predecessor in self.present().await {
            let mut channel = predecessor.channel.lock().await;
            let Some(asked) = channel.as_ref() else { continue };
            match tokio::time::timeout(ANSWER, take(asked, stream, captured)).await {
                Ok(Ok(true)) => return true,
                Ok(Ok(false)) => {}
                // It is gone, and its connections with it.
                Ok(Err(_)) => *channel = None,
                // It may have taken it.
                Err(_) => {
                    *channel = None;
                    return true;
                }
            }
        }
        false
    }
}

async fn take(channel: &Channel, stream: &TcpStream, captured: Captured) -> io::Result<bool> {
    channel.send(&Message::Connection(captured), Some(stream.as_fd())).await?;
    match channel.receive().await? {
        (Message::Taken(taken), _) => Ok(taken),
        (message, _) => Err(unexpected(&message)),
    }
}

/// What a daemon gets from the one it takes over from.
#[derive(Debug)]
pub struct Inheritance {
    identity: Identity,
    kernel: Option<KernelUse>,
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
            match tokio::time::timeout(INSTALL, channel.receive()).await?? {
                (Message::Socket(purpose), Some(socket)) => sockets.push((purpose, socket)),
                (Message::Predecessor(identity), Some(socket)) => {
                    let channel = tokio::sync::Mutex::new(Some(Channel(UnixSeqpacket::try_from(socket)?)));
                    predecessors.push(Predecessor { identity, channel });
                }
                (Message::Complete(identity, kernel), _) => {
                    return Ok(Self { identity, kernel, channel, sockets, predecessors });
                }
                (message, _) => return Err(unexpected(&message)),
            }
        }
    }

    /// The process that is taken over from.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.identity.pid
    }

    /// The control API's socket.
    pub fn control(&mut self) -> Option<OwnedFd> {
        self.take(Purpose::Control)
    }

    /// Whether what it left in the kernel can be shared.
    pub(crate) fn suits(&self, settings: &Settings) -> bool {
        self.kernel == KernelUse::of(settings)
    }

    /// A listening socket, if the predecessor has it.
    pub(crate) fn take(&mut self, purpose: Purpose) -> Option<OwnedFd> {
        let at = self.sockets.iter().position(|(known, _)| *known == purpose)?;
        Some(self.sockets.swap_remove(at).1)
    }

    /// The sockets that nobody has taken.
    pub(crate) fn rest(&mut self) -> Vec<(Purpose, OwnedFd)> {
        std::mem::take(&mut self.sockets)
    }

    fn holders(&self) -> Vec<u64> {
        let identities = self.predecessors.iter().map(|predecessor| &predecessor.identity).chain([&self.identity]);
        identities.map(|identity| identity.holder).collect()
    }

    /// Tells the predecessor that the policy can be installed, and waits until it accepts no more: the policy has to be
    /// installed then, and [`Engine::succeed`] to follow.
    ///
    /// # Errors
    ///
    /// When it has given up on this process.
    pub async fn ready(&self) -> io::Result<()> {
        self.exchange(&Message::Ready, |answer| matches!(answer, Message::Proceed)).await
    }

    async fn exchange(&self, message: &Message, expected: impl Fn(&Message) -> bool) -> io::Result<()> {
        let exchanged = async {
            self.channel.send(message, None).await?;
            match self.channel.receive().await? {
                (answer, _) if expected(&answer) => Ok(()),
                (answer, _) => Err(unexpected(&answer)),
            }
        };
        match tokio::time::timeout(INSTALL, exchanged).await? {
            // Whoever has died in the middle of it leaves everything to this process.
            Err(_) if !Path::new(&format!("/proc/{}", self.identity.pid)).exists() => Ok(()),
            done => done,
        }
    }
}

/// A hand-over on its way: everything is offered, and goes on here until [`Offer::proceed`].
#[derive(Debug)]
pub struct Offer<'a> {
    engine: &'a Engine,
    channel: Channel,
}

impl Offer<'_> {
    /// Accepts no more, and waits until the successor does. Connections go on here until they end.
    ///
    /// # Errors
    ///
    /// When it is gone or takes too long; this process accepts again then, and has to load its rules again.
    pub async fn proceed(self) -> io::Result<Retiring> {
        let shared = &self.engine.shared;
        for one in &*lock(&shared.listening) {
            one.task.abort();
        }
        let served = async {
            self.channel.send(&Message::Proceed, None).await?;
            match self.channel.receive().await? {
                (Message::Serving, _) => Ok(()),
                (message, _) => Err(unexpected(&message)),
            }
        };
        match tokio::time::timeout(INSTALL, served).await.unwrap_or_else(|elapsed| Err(elapsed.into())) {
            Ok(()) => {
                shared.retired.store(true, Ordering::SeqCst);
                lock(&shared.listening).clear();
                Ok(Retiring(self.channel))
            }
            Err(error) => {
                self.engine.accept_again();
                Err(error)
            }
        }
    }
}

/// A daemon that another one has taken over from, and that has to say when it leaves the rest to it.
#[derive(Debug)]
pub struct Retiring(Channel);

impl Retiring {
    /// Tells the successor that this process only carries its connections to their end now.
    pub async fn retired(self) -> Channel {
        // If it is gone by now nobody is left to hear it.
        let _ = self.0.send(&Message::Retired, None).await;
        self.0
    }
}

impl Engine {
    /// Offers the data plane to a daemon that takes over, `control` with it, and waits until it is ready to install its policy.
    ///
    /// # Errors
    ///
    /// When it gives up, or takes too long.
    pub async fn offer(&self, channel: Channel, control: BorrowedFd<'_>) -> io::Result<Offer<'_>> {
        let Shared { listening, predecessors, settings, holder, .. } = self.shared.as_ref();
        let all: Vec<_> = lock(listening).iter().map(|one| (one.purpose, Arc::clone(&one.socket))).collect();
        for (purpose, socket) in all {
            channel.send(&Message::Socket(purpose), Some(socket.as_fd())).await?;
        }
        channel.send(&Message::Socket(Purpose::Control), Some(control)).await?;
        for predecessor in predecessors.present().await {
            // A way of the successor's own; this process goes on asking by its own.
            let (near, far) = UnixSeqpacket::pair()?;
            let asked = predecessor.channel.lock().await;
            let Some(asked) = asked.as_ref() else { continue };
            if asked.send(&Message::Successor, Some(near.as_fd())).await.is_ok() {
                channel.send(&Message::Predecessor(predecessor.identity), Some(far.as_fd())).await?;
            }
        }
        let identity = Identity { pid: std::process::id(), holder: *holder };
        channel.send(&Message::Complete(identity, KernelUse::of(settings)), None).await?;
        match tokio::time::timeout(INSTALL, channel.receive()).await?? {
            (Message::Ready, _) => Ok(Offer { engine: self, channel }),
            (message, _) => Err(unexpected(&message)),
        }
    }

    /// Takes what belongs to connections that are still here, from the successor and from those that took over from it, until
    /// all are gone.
    pub async fn serve_successors(&self, first: Channel) {
        let (more, mut arriving) = mpsc::unbounded_channel();
        let mut serving = JoinSet::new();
        serving.spawn(self.clone().serve_successor(first, more.clone()));
        loop {
            tokio::select! {
                biased;
                Some(another) = arriving.recv() => drop(serving.spawn(self.clone().serve_successor(another, more.clone()))),
                ended = serving.join_next() => if ended.is_none() {
                    return;
                },
            }
        }
    }

    async fn serve_successor(self, channel: Channel, more: mpsc::UnboundedSender<Channel>) {
        while let Ok((message, descriptor)) = channel.receive().await {
            match message {
                Message::Connection(captured) => {
                    // Without a descriptor this process has none free: the connection is lost, as it would be anywhere.
                    let taken = match descriptor {
                        Some(socket) => self.take_secondary(captured, socket).await,
                        None => true,
                    };
                    if channel.send(&Message::Taken(taken), None).await.is_err() {
                        return;
                    }
                }
                Message::Successor => {
                    let another = descriptor.and_then(|socket| UnixSeqpacket::try_from(socket).ok());
                    // The receiver lives as long as the tasks that send.
                    let _ = another.map(|another| more.send(Channel(another)));
                }
                _ => return,
            }
        }
    }

    /// The processes that this one took over from and that still have connections.
    pub async fn predecessors(&self) -> Vec<u32> {
        self.shared.predecessors.present().await.iter().map(|predecessor| predecessor.identity.pid).collect()
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

    /// Takes over, once the policy is installed: takes connections, and returns when the predecessor only carries its own to
    /// their end.
    ///
    /// # Errors
    ///
    /// When it has given up on this process, which has to end then: the predecessor goes on.
    pub async fn succeed(&self, mut inheritance: Inheritance) -> io::Result<()> {
        let older = std::mem::take(&mut inheritance.predecessors);
        lock(&self.shared.predecessors.all).extend(older.into_iter().map(Arc::new));
        let newest = Arc::new(Predecessor { identity: inheritance.identity, channel: tokio::sync::Mutex::new(None) });
        // Whoever wants to ask it waits until it has retired.
        let mut channel = newest.channel.lock().await;
        lock(&self.shared.predecessors.all).push(Arc::clone(&newest));
        self.serve();
        inheritance.exchange(&Message::Serving, |answer| matches!(answer, Message::Retired)).await?;
        *channel = Some(inheritance.channel);
        Ok(())
    }
}

/// A listening socket that is served.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) purpose: Purpose,
    pub(crate) socket: Arc<TcpListener>,
    pub(crate) arrival: Arrival,
    pub(crate) task: tokio::task::AbortHandle,
}

fn unexpected(message: &Message) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the other daemon said {message:?}, which has no place here"))
}
