//! The relay between a program and the network: both directions, half closes passed on, aborts passed on as aborts.
//!
//! One task carries both directions and owns the TLS connection. While nothing moves it holds no buffer: bytes pass
//! through two buffers that each thread has once. A piece that the other side does not take is kept until it does, and
//! nothing more is read meanwhile, so that a slow receiver slows its sender and not this host.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use serde::Serialize;
use socket2::SockRef;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Interval, MissedTickBehavior, Sleep};

use crate::control::{Control, Order};
use crate::error::ConnectionError;
use crate::network::{Network, decrypt, poll_encrypted};

/// Bytes read at once from the network: each read and each write wakes somebody, which costs more than the bytes.
const FROM_NETWORK: usize = 256 * 1024;
/// Bytes read at once from the program, four full TLS records: what is encrypted is allocated record by record.
const FROM_PROGRAM: usize = 64 * 1024;
/// Bytes that one direction moves before the other has its turn, and turns before other tasks have theirs: a flood one way
/// must not hold up a word the other way.
const TURN: usize = 512 * 1024;
const TURNS: usize = 2;

/// What a ClientHello begins with (RFC 8446 section 5.1): a handshake record, major version 3.
const HELLO: [u8; 2] = [0x16, 3];

thread_local! {
    /// Bytes as they are read, and what was decrypted of them.
    static BUFFERS: RefCell<(Box<[u8]>, Vec<u8>)> = RefCell::new((vec![0; FROM_NETWORK].into(), Vec::new()));
}

/// How a relay stopped without an error.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Both directions are closed.
    Closed,
    /// The program wants something done with the connection; everything it sent before has gone out.
    Ordered(Order),
}

/// What a relay keeps while the connection is changed under it.
#[derive(Default)]
pub(crate) struct Ways {
    to_network: Way,
    to_program: Way,
}

impl Ways {
    /// Whether the program has not yet been given all that came.
    pub(crate) fn owes_program(&self) -> bool {
        !self.to_program.left.is_empty()
    }

    /// What the program has still to be given.
    pub(crate) fn for_program(&mut self) -> &mut Vec<u8> {
        &mut self.to_program.left
    }

    /// The program hears this first.
    pub(crate) fn beginning_with(first: Vec<u8>) -> Self {
        Self { to_program: Way { left: first, ..Way::default() }, ..Self::default() }
    }
}

/// What passed, in payload bytes.
#[derive(Debug, Default, Serialize)]
pub struct Traffic {
    /// Bytes the program received.
    pub bytes_in: AtomicU64,
    /// Bytes the program sent.
    pub bytes_out: AtomicU64,
}

/// Relays until both directions are closed or the program orders something (`control`). On an error the other side is
/// reset before this returns.
///
/// `rekey`: how often the keys are renewed (TLS 1.3 KeyUpdate), while this side sends. `listener`: who hears the first of what passes
/// in clear text.
pub(crate) async fn relay(
    program: &mut TcpStream,
    network: &mut Network,
    traffic: &Traffic,
    rekey: Option<Duration>,
    ways: &mut Ways,
    control: Option<&mut Control>,
    listener: Option<&Listener<'_>>,
) -> Result<Stop, ConnectionError> {
    let rekey = rekey.map(|period| {
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Rekey { ticks, sent: 0 }
    });
    let Ways { to_network, to_program } = ways;
    let ordered = Ordered { control, order: None, held: None };
    let mut relay = Relay {
        program,
        network,
        traffic,
        rekey,
        to_network,
        to_program,
        ordered,
        more: false,
        gone: None,
        sent_before: None,
        overheard: Overheard { listener, heard: 0 },
    };
    // The peer may have sent more than its handshake.
    let result = match poll_fn(|context| Poll::Ready(relay.take_early(context))).await {
        Ok(()) => poll_fn(|context| relay.poll(context)).await,
        Err(error) => Err(error),
    };
    if result.is_err() {
        abort(relay.program);
        // A peer that broke TLS has been sent an alert, which a reset would overtake.
        if !matches!(result, Err(ConnectionError::Broken(_))) {
            abort(&relay.network.stream);
        }
    }
    result
}

/// Makes the socket's close a RST.
pub(crate) fn abort(stream: &TcpStream) {
    // A socket that is gone already needs no reset.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

struct Relay<'a> {
    program: &'a mut TcpStream,
    network: &'a mut Network,
    traffic: &'a Traffic,
    rekey: Option<Rekey>,
    to_network: &'a mut Way,
    to_program: &'a mut Way,
    ordered: Ordered<'a>,
    /// Whether a direction stopped for the other's sake, and could go on.
    more: bool,
    /// The program takes no more; what it sent before still goes out.
    gone: Option<io::Error>,
    /// What the program had sent when the peer had closed in order, and the program had been told.
    sent_before: Option<u64>,
    overheard: Overheard<'a>,
}

/// Whoever wants to know what passes between the program and the engine: whether the program said it, and what.
pub(crate) type Listener<'a> = dyn Fn(bool, &[u8]) + Send + Sync + 'a;

/// What passes in clear text, as far as somebody hears it.
struct Overheard<'a> {
    listener: Option<&'a Listener<'a>>,
    heard: usize,
}

impl Overheard<'_> {
    fn hear(&mut self, from_program: bool, bytes: &[u8]) {
        /// Bytes of both sides in which a protocol has said what it is.
        const MOST: usize = 64 * 1024;
        let Some(listener) = self.listener.filter(|_| self.heard < MOST && !bytes.is_empty()) else { return };
        let first = bytes.get(..MOST - self.heard).unwrap_or(bytes);
        self.heard += first.len();
        listener(from_program, first);
    }
}

/// What the program ordered, or has yet to.
struct Ordered<'a> {
    control: Option<&'a mut Control>,
    order: Option<Order>,
    /// How long a peer's handshake waits for the program's order.
    held: Option<Pin<Box<Sleep>>>,
}

/// When keys are renewed.
struct Rekey {
    ticks: Interval,
    /// Bytes the program had sent at the last renewal. Peers end connections that renew keys again and again and send
    /// nothing between.
    sent: u64,
}

/// One direction.
#[derive(Default)]
struct Way {
    stage: Stage,
    /// What was read and not yet taken by the other side; TLS keeps its own.
    left: Vec<u8>,
    taken: usize,
}

#[derive(Clone, Copy, Default, Eq, PartialEq)]
enum Stage {
    #[default]
    Open,
    /// Its sender has closed; what is left goes out, then the close.
    Closing,
    Closed,
}

impl Relay<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Stop, ConnectionError>> {
        self.poll_rekey(context)?;
        self.poll_order(context);
        for _ in 0..TURNS {
            self.more = false;
            // What comes in may ask for an answer of TLS itself, which goes out after it.
            let to_program = self.poll_to_program(context)?;
            let to_network = self.poll_to_network(context);
            if let Some(error) = self.gone.take_if(|_| to_network.is_ready()) {
                return Poll::Ready(Err(error.into()));
            }
            if to_network?.is_ready() && to_program.is_ready() {
                return Poll::Ready(Ok(Stop::Closed));
            }
            // The program's bytes before its order went out when there is nothing more to read and nothing left.
            let drained = !self.more && self.to_network.left.is_empty() && self.network.has_sent();
            if let Some(order) = self.ordered.order.take_if(|_| drained) {
                return Poll::Ready(Ok(Stop::Ordered(order)));
            }
            if !self.more {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_order(&mut self, context: &mut Context<'_>) {
        let Ordered { control, order, .. } = &mut self.ordered;
        let Some(control) = control.as_deref_mut().filter(|_| order.is_none()) else { return };
        *order = control.waiting.take();
        while order.is_none()
            && let Poll::Ready(Some(new)) = control.orders.poll_recv(context)
        {
            // Whoever gave it up believes that nothing was done.
            *order = Some(new).filter(|new| !new.reply.is_closed());
        }
    }

    /// A peer that begins its handshake before the program has ordered one waits, so that its hello is not taken for data.
    fn poll_hold(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        let Some(control) = self.ordered.control.as_deref() else { return Poll::Ready(Ok(())) };
        if !self.network.is_clear() || control.patience.is_zero() || self.to_program.stage != Stage::Open {
            return Poll::Ready(Ok(()));
        }
        let mut begin = [0; HELLO.len()];
        let mut peeked = ReadBuf::new(&mut begin);
        ready!(self.network.stream.poll_peek(context, &mut peeked))?;
        if peeked.filled().is_empty() || !HELLO.starts_with(peeked.filled()) {
            self.ordered.held = None;
            return Poll::Ready(Ok(()));
        }
        let patience = control.patience;
        let held = self.ordered.held.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(held.as_mut().poll(context));
        Poll::Ready(Err(ConnectionError::NotStarted(patience.as_secs())))
    }

    fn poll_rekey(&mut self, context: &mut Context<'_>) -> Result<(), ConnectionError> {
        let (Some(rekey), Some(tls)) = (&mut self.rekey, &mut self.network.tls) else { return Ok(()) };
        if self.to_network.stage != Stage::Open {
            self.rekey = None;
            return Ok(());
        }
        while rekey.ticks.poll_tick(context).is_ready() {
            let sent = self.traffic.bytes_out.load(Ordering::Relaxed);
            if std::mem::replace(&mut rekey.sent, sent) != sent {
                tls.refresh_traffic_keys().map_err(ConnectionError::Broken)?;
            }
        }
        Ok(())
    }

    /// What was decrypted with the end of the handshake.
    fn take_early(&mut self, context: &mut Context<'_>) -> Result<(), ConnectionError> {
        let Network { stream, tls: Some(tls), .. } = &mut *self.network else { return Ok(()) };
        let mut early = Vec::new();
        let closed = decrypt(tls, &[], &mut early);
        self.to_program.left.extend(early);
        match closed {
            Ok(true) => self.to_program.stage = Stage::Closing,
            Ok(false) => {}
            Err(error) => {
                let _ = poll_encrypted(context, stream, tls);
                return Err(ConnectionError::Broken(error));
            }
        }
        Ok(())
    }

    /// Behind the peer's close_notify nothing is read until the program wants clear text, but the end of the connection.
    fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        let Some(stops) = self.network.stops.as_ref().filter(|stops| stops.closed) else {
            return Poll::Ready(Ok(()));
        };
        if !stops.behind.is_empty() || self.to_program.stage != Stage::Open {
            return if self.to_program.stage == Stage::Open { Poll::Pending } else { Poll::Ready(Ok(())) };
        }
        let mut one = [0];
        let mut peeked = ReadBuf::new(&mut one);
        // A peer that has not read everything when it closes, the tickets of its session for instance, ends with a reset.
        let ended = ready!(self.network.stream.poll_peek(context, &mut peeked)).is_err();
        if ended || peeked.filled().is_empty() {
            self.to_program.stage = Stage::Closing;
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    fn poll_to_program(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        // What is there already goes on, whatever is waited for.
        if self.ordered.control.is_some() && self.to_program.stage == Stage::Open {
            let Self { program, traffic, to_program, .. } = self;
            ready!(to_program.poll_left(context, program, Some(&traffic.bytes_in)))?;
            // A peer's clear text behind the program's order would be taken for what TLS protects.
            if self.ordered.order.is_some() && self.network.is_clear() {
                return Poll::Pending;
            }
        }
        ready!(self.poll_hold(context))?;
        for _ in 0..TURN / FROM_NETWORK {
            let Self { program, traffic, to_program: way, gone, .. } = self;
            if way.stage == Stage::Closed {
                return Poll::Ready(Ok(()));
            }
            if let Err(error) = ready!(way.poll_left(context, program, Some(&traffic.bytes_in))) {
                way.lose(gone, error);
                continue;
            }
            ready!(self.poll_closed(context))?;
            let Self { program, network, traffic, to_program: way, gone, sent_before, overheard, .. } = self;
            if way.stage == Stage::Closing {
                shut(program)?;
                way.stage = Stage::Closed;
                *sent_before = Some(traffic.bytes_out.load(Ordering::Relaxed));
                continue;
            }
            ready!(BUFFERS.with_borrow_mut(|(piece, plain)| {
                let read = ready!(poll_read(context, &mut network.stream, piece))?;
                let mut broken = None;
                let bytes = match &mut network.tls {
                    None => {
                        if read.is_empty() {
                            way.stage = Stage::Closing;
                        }
                        overheard.hear(false, read);
                        read
                    }
                    Some(_) if read.is_empty() => return Poll::Ready(Err(ConnectionError::Truncated)),
                    Some(tls) => {
                        plain.clear();
                        let decrypted = match &mut network.stops {
                            None => decrypt(tls, read, plain),
                            Some(stops) => stops.decrypt(tls, read, plain),
                        };
                        match decrypted {
                            // Clear text may follow, once the program wants it.
                            Ok(true) if network.stops.is_some() => {}
                            Ok(true) => way.stage = Stage::Closing,
                            Ok(false) => {}
                            Err(error) => {
                                // The alert that says so; a peer that does not take it at once does without.
                                let _ = poll_encrypted(context, &mut network.stream, tls);
                                broken = Some(ConnectionError::Broken(error));
                            }
                        }
                        plain.as_slice()
                    }
                };
                // What came whole before a break is passed on.
                let passed = way.pass(context, program, bytes, Some(&traffic.bytes_in));
                if let Some(error) = broken {
                    return Poll::Ready(Err(error));
                }
                if let Err(error) = ready!(passed) {
                    way.lose(gone, error);
                }
                Poll::Ready(Ok(()))
            }))?;
        }
        self.more = true;
        Poll::Pending
    }

    fn poll_to_network(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        let Self { program, network, traffic, to_network: way, more, sent_before, overheard, .. } = self;
        for _ in 0..TURN / FROM_PROGRAM {
            if way.stage == Stage::Closed {
                return Poll::Ready(Ok(()));
            }
            let sent = match way.poll_left(context, &mut network.stream, None) {
                Poll::Ready(Ok(())) => match &mut network.tls {
                    Some(tls) => poll_encrypted(context, &mut network.stream, tls),
                    None => Poll::Ready(Ok(())),
                },
                other => other,
            };
            if way.stage == Stage::Closing {
                let told = ready!(sent).and_then(|()| shut(&network.stream));
                // Whoever has closed in order and is gone needs not be told that the program has closed too, if it said nothing
                // to him since.
                if *sent_before != Some(traffic.bytes_out.load(Ordering::Relaxed)) {
                    told?;
                }
                way.stage = Stage::Closed;
                continue;
            }
            ready!(sent)?;
            ready!(BUFFERS.with_borrow_mut(|(piece, _)| {
                let (piece, _) = piece.split_at_mut(FROM_PROGRAM.min(piece.len()));
                let read = ready!(poll_read(context, program, piece))?;
                traffic.bytes_out.fetch_add(read.len() as u64, Ordering::Relaxed);
                if read.is_empty() {
                    way.stage = Stage::Closing;
                }
                if network.is_clear() {
                    overheard.hear(true, read);
                }
                match &mut network.tls {
                    None => way.pass(context, &mut network.stream, read, None),
                    Some(tls) if read.is_empty() => {
                        tls.send_close_notify();
                        Poll::Ready(Ok(()))
                    }
                    Some(tls) => Poll::Ready(tls.writer().write_all(read)),
                }
            }))?;
        }
        *more = true;
        Poll::Pending
    }
}

impl Way {
    /// Whoever closes while bytes for him are under way is no longer there for them; his own are still good.
    fn lose(&mut self, gone: &mut Option<io::Error>, error: io::Error) {
        (self.stage, self.left) = (Stage::Closed, Vec::new());
        *gone = Some(error);
    }

    /// Writes what is left of earlier pieces.
    fn poll_left(
        &mut self,
        context: &mut Context<'_>,
        to: &mut TcpStream,
        count: Option<&AtomicU64>,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = self.left.get(self.taken..).filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut *to).poll_write(context, rest))?;
            self.taken += written;
            add(count, written);
        }
        // An idle connection holds no buffer.
        self.left = Vec::new();
        self.taken = 0;
        Poll::Ready(Ok(()))
    }

    /// Writes a piece, and keeps what is not taken at once.
    fn pass(
        &mut self,
        context: &mut Context<'_>,
        to: &mut TcpStream,
        mut bytes: &[u8],
        count: Option<&AtomicU64>,
    ) -> Poll<io::Result<()>> {
        while !bytes.is_empty() {
            match Pin::new(&mut *to).poll_write(context, bytes) {
                Poll::Ready(written) => {
                    let written = written?;
                    add(count, written);
                    bytes = bytes.get(written..).unwrap_or_default();
                }
                Poll::Pending => {
                    self.left = bytes.to_vec();
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn add(count: Option<&AtomicU64>, bytes: usize) {
    if let Some(count) = count {
        count.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Reads into a buffer; nothing read is the sender's close.
fn poll_read<'a>(context: &mut Context<'_>, from: &mut TcpStream, buffer: &'a mut [u8]) -> Poll<io::Result<&'a [u8]>> {
    let mut filling = ReadBuf::new(buffer);
    ready!(Pin::new(from).poll_read(context, &mut filling))?;
    let length = filling.filled().len();
    Poll::Ready(Ok(buffer.get(..length).unwrap_or_default()))
}

/// Passes a close on; a side that is gone already needs none.
pub(crate) fn shut(stream: &TcpStream) -> io::Result<()> {
    match SockRef::from(stream).shutdown(std::net::Shutdown::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests;
