//! Packets to connections: segments put in order, each connection's bytes given to its observer.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use serde::Serialize;

use crate::ftp::{self, Control};
use crate::observer::{Observer, Protection, Side};
use crate::packet::Segment;

/// Out-of-order bytes kept for one direction.
const MAX_OUT_OF_ORDER: usize = 256 * 1024;
/// Connections watched at once; beyond it new ones are counted, not watched.
const MAX_FLOWS: usize = 200_000;

/// Beyond that, for connections whose packets wait for a verdict.
const RESERVED: usize = 100_000;

/// A connection: who opened it, who accepted it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize)]
pub struct FlowKey {
    /// The end that sent the SYN.
    pub client: SocketAddr,
    /// The other end.
    pub server: SocketAddr,
}

/// What a segment brought.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// The first SYN.
    Opened(FlowKey),
    /// Both ends know of the connection: its sockets can be looked up.
    Established(FlowKey),
    /// The kind of protection became known, of the first session or of another.
    Determined(FlowKey),
    /// Nothing more will be learned of this session.
    Completed(FlowKey),
    /// FTP was heard; the observer of the connection has what.
    Heard(FlowKey),
    /// Both FINs, or a RST.
    Closed(FlowKey),
}

/// A connection being watched.
#[derive(Clone, Debug)]
pub struct Flow {
    observer: Observer,
    client: Stream,
    server: Stream,
    established: bool,
    closed: bool,
    /// The last session of which nothing more will be learned.
    completed: Option<u32>,
    /// What the client sent, in order, while its packets are held.
    held: Option<Vec<u8>>,
    /// The same of the server.
    answered: Vec<u8>,
    /// FTP in clear text, while it may be that.
    ftp: Option<Box<Control>>,
    /// It is or was FTP.
    speaks_ftp: bool,
    heard: Vec<ftp::Event>,
}

/// How a segment's payload stands to what came before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// It goes on where the last one ended; what it repeats is the same.
    New,
    /// It repeats what was seen.
    Known,
    /// Something before it is missing.
    Ahead,
    /// It says other than what was seen at its place, or more than can be kept.
    Differs,
}

/// Bytes of a held client that are kept to compare them with what is sent again.
const MAX_HELD: usize = 128 * 1024;

impl Flow {
    /// Whether nothing more will be learned of its session.
    pub(crate) fn is_complete(&self) -> bool {
        self.observer.is_complete()
    }

    /// Whether it is, or was before TLS began, a control connection of FTP.
    pub(crate) fn speaks_ftp(&self) -> bool {
        self.speaks_ftp
    }

    /// Whether nothing more is read of it: no other session can follow.
    pub(crate) fn is_done(&self) -> bool {
        self.observer.is_done()
    }

    /// Sessions of the connection before the one it has now.
    pub(crate) fn session(&self) -> u32 {
        self.observer.session()
    }

    /// Whether the client has said something that cannot be told to be harmless yet.
    pub(crate) fn withholds(&self) -> bool {
        self.observer.withholds()
    }

    /// What protects it, as far as is known.
    #[must_use]
    pub fn protection(&self) -> Protection {
        self.observer.protection()
    }

    /// Payload bytes of each side by sequence numbers, once its FIN was seen: client's, server's.
    #[must_use]
    pub fn bytes(&self) -> (Option<u64>, Option<u64>) {
        (self.client.length, self.server.length)
    }

    /// Whether a side's FIN was seen.
    #[must_use]
    pub fn has_fin(&self, side: Side) -> bool {
        match side {
            Side::Client => self.client.length.is_some(),
            Side::Server => self.server.length.is_some(),
        }
    }
}

/// One direction.
#[derive(Clone, Debug, Default)]
struct Stream {
    /// Sequence number of the first payload byte.
    start: Option<u32>,
    /// Payload bytes delivered so far.
    delivered: u64,
    /// Bytes ahead of a gap, by position from `start`.
    ahead: BTreeMap<u64, Vec<u8>>,
    ahead_bytes: usize,
    /// Payload bytes in all, once the FIN was seen.
    length: Option<u64>,
}

/// The connections being watched.
#[derive(Debug, Default)]
pub struct Flows {
    flows: HashMap<FlowKey, Flow>,
    /// Connections not watched because there were too many.
    pub overflowed: u64,
    /// Whether the next one may be one of those that others leave room for.
    reserved: bool,
}

impl Flows {
    /// Takes a TCP segment. Segments of connections whose SYN was not seen are ignored.
    pub(crate) fn segment(&mut self, segment: &Segment<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        let forward = FlowKey { client: segment.from, server: segment.to };
        if segment.syn && !segment.ack {
            self.open(forward, segment.sequence, &mut events);
            if segment.payload.is_empty() {
                return events;
            }
        }
        let backward = FlowKey { client: segment.to, server: segment.from };
        let (key, side) =
            if self.flows.contains_key(&forward) { (forward, Side::Client) } else { (backward, Side::Server) };
        let Some(flow) = self.flows.get_mut(&key) else { return events };
        let stream = match side {
            Side::Client => &mut flow.client,
            Side::Server => &mut flow.server,
        };
        if segment.syn && side == Side::Server {
            stream.start = Some(segment.sequence.wrapping_add(1));
        } else if side == Side::Client && !segment.syn && !flow.established && flow.server.start.is_some() {
            flow.established = true;
            events.push(Event::Established(key));
        }
        flow.carry(side, segment, key, &mut events);
        // A RST that is not at its place ends nothing (RFC 5961 §3); where nothing more is read the place is not known.
        let placed = |stream: &Stream| {
            let at = stream.start.map(|start| u64::from(segment.sequence.wrapping_sub(start)));
            at.is_none_or(|at| at.wrapping_sub(stream.delivered) < MAX_OUT_OF_ORDER as u64)
        };
        let rst = segment.rst
            && (flow.observer.is_complete()
                || placed(match side {
                    Side::Client => &flow.client,
                    Side::Server => &flow.server,
                }));
        let ended = rst || (flow.client.length.is_some() && flow.server.length.is_some());
        if ended && !flow.closed {
            flow.closed = true;
            events.push(Event::Closed(key));
        }
        events
    }

    /// The connection whose ends a SYN uses again: it is over, whatever was missed of its end.
    pub(crate) fn reused(&mut self, segment: &Segment<'_>) -> Option<(FlowKey, Flow)> {
        if !segment.syn || segment.ack {
            return None;
        }
        let key = FlowKey { client: segment.from, server: segment.to };
        let start = Some(segment.sequence.wrapping_add(1));
        let other = self.flows.get(&key).is_some_and(|flow| flow.client.start != start);
        if other && !self.is_living(&key) { self.flows.remove(&key).map(|flow| (key, flow)) } else { None }
    }

    /// The connection and side that a segment is of.
    pub(crate) fn find(&self, segment: &Segment<'_>) -> Option<(FlowKey, Side)> {
        let forward = FlowKey { client: segment.from, server: segment.to };
        let backward = FlowKey { client: segment.to, server: segment.from };
        [(forward, Side::Client), (backward, Side::Server)].into_iter().find(|(key, _)| self.flows.contains_key(key))
    }

    /// Whether so many connections are watched that those without an answer are kept for a short time only.
    pub(crate) fn is_crowded(&self) -> bool {
        self.flows.len() > MAX_FLOWS / 2
    }

    /// Leaves room for the next connections that others have not.
    pub(crate) fn reserve(&mut self, reserved: bool) {
        self.reserved = reserved;
    }

    /// Whether a SYN is the one that a connection began with, sent again.
    pub(crate) fn begins_with(&self, key: &FlowKey, segment: &Segment<'_>) -> bool {
        let start = Some(segment.sequence.wrapping_add(1));
        self.flows.get(key).is_some_and(|flow| flow.client.start == start)
    }

    /// Whether a connection is up: a SYN changes nothing about it.
    fn is_living(&self, key: &FlowKey) -> bool {
        self.flows.get(key).is_some_and(|flow| flow.established && !flow.closed)
    }

    /// Judges strictly, from now on: packets wait for the verdict. False for a connection that is not watched.
    pub(crate) fn hold(&mut self, key: &FlowKey) -> bool {
        let Some(flow) = self.flows.get_mut(key) else { return false };
        flow.observer.be_strict();
        flow.held.get_or_insert_default();
        true
    }

    /// Whether its packets wait for the verdict.
    pub(crate) fn is_held(&self, key: &FlowKey) -> bool {
        self.flows.get(key).is_some_and(|flow| flow.held.is_some())
    }

    /// Takes a connection for one without protection.
    pub(crate) fn give_up(&mut self, key: &FlowKey) {
        if let Some(flow) = self.flows.get_mut(key) {
            flow.observer.give_up();
        }
    }

    /// Where a segment's payload stands on a held connection.
    pub(crate) fn place(&self, key: &FlowKey, side: Side, segment: &Segment<'_>) -> Place {
        let Some(flow) = self.flows.get(key) else { return Place::Differs };
        let stream = match side {
            Side::Client => &flow.client,
            Side::Server => &flow.server,
        };
        let Some(start) = stream.start else { return Place::Ahead };
        let position = u64::from(segment.sequence.wrapping_sub(start));
        let end = position + segment.payload.len() as u64;
        if position > stream.delivered {
            return Place::Ahead;
        }
        let seen = match side {
            Side::Client => flow.held.as_deref().unwrap_or_default(),
            Side::Server => &flow.answered,
        };
        let at = usize::try_from(position).unwrap_or(usize::MAX);
        let again = segment.payload.iter().zip(seen.get(at..).unwrap_or_default());
        if again.into_iter().any(|(new, old)| new != old) || seen.len() + segment.payload.len() > MAX_HELD {
            return Place::Differs;
        }
        if end > stream.delivered { Place::New } else { Place::Known }
    }

    /// A connection being watched.
    #[must_use]
    pub fn get(&self, key: &FlowKey) -> Option<&Flow> {
        self.flows.get(key)
    }

    /// What was heard of FTP since it was last asked for.
    pub(crate) fn heard(&mut self, key: &FlowKey) -> Vec<ftp::Event> {
        self.flows.get_mut(key).map(|flow| std::mem::take(&mut flow.heard)).unwrap_or_default()
    }

    /// Forgets a connection and gives what is known of it.
    pub fn remove(&mut self, key: &FlowKey) -> Option<Flow> {
        self.flows.remove(key)
    }

    fn open(&mut self, key: FlowKey, sequence: u32, events: &mut Vec<Event>) {
        let start = Some(sequence.wrapping_add(1));
        if self.flows.get(&key).is_some_and(|flow| flow.client.start == start) {
            return; // a retransmitted SYN
        }
        // A SYN into a living connection changes nothing: its receiver answers with a challenge (RFC 5961 §4).
        if self.is_living(&key) {
            return;
        }
        if self.flows.len() >= if self.reserved { MAX_FLOWS + RESERVED } else { MAX_FLOWS } {
            self.overflowed += 1;
            return;
        }
        let flow = Flow {
            observer: Observer::default(),
            client: Stream { start, ..Stream::default() },
            server: Stream::default(),
            established: false,
            closed: false,
            completed: None,
            held: None,
            answered: Vec::new(),
            ftp: None,
            speaks_ftp: false,
            heard: Vec::new(),
        };
        self.flows.insert(key, flow);
        events.push(Event::Opened(key));
    }
}

impl Flow {
    fn stream(&mut self, side: Side) -> &mut Stream {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    fn carry(&mut self, side: Side, segment: &Segment<'_>, key: FlowKey, events: &mut Vec<Event>) {
        let stream = self.stream(side);
        let Some(start) = stream.start else { return };
        // Positions count from the first payload byte; connections of more than 2 GiB no longer carry handshakes.
        // A SYN takes a number of its own; data may come with it (TCP Fast Open).
        let sequence = if segment.syn { segment.sequence.wrapping_add(1) } else { segment.sequence };
        let position = u64::from(sequence.wrapping_sub(start));
        if segment.fin {
            stream.length = Some(position + segment.payload.len() as u64);
        }
        let unread = self.observer.is_done() && self.ftp.is_none();
        if segment.payload.is_empty() || unread || position > u64::from(u32::MAX / 2) {
            return;
        }
        let begins = self.client.delivered == 0 && self.server.delivered == 0;
        if begins && side == Side::Server && position == 0 && segment.payload.starts_with(b"2") {
            self.ftp = Some(Box::new(Control::new(key.client, key.server)));
        }
        for bytes in self.stream(side).accept(position, segment.payload) {
            if let Some(control) = &mut self.ftp {
                self.heard.extend(control.hear(side, &bytes));
                self.speaks_ftp |= control.is_ftp();
            }
            // What comes after a verdict is compared with nothing.
            match (side, &mut self.held) {
                (Side::Client, Some(held)) if !self.observer.is_complete() => held.extend_from_slice(&bytes),
                (Side::Server, Some(_)) if !self.observer.is_complete() => self.answered.extend_from_slice(&bytes),
                _ => {}
            }
            if self.observer.observe(side, &bytes) {
                events.push(Event::Determined(key));
            }
        }
        if self.observer.is_encrypted() || self.ftp.as_ref().is_some_and(|control| control.is_over()) {
            self.ftp = None;
        }
        if !self.heard.is_empty() {
            events.push(Event::Heard(key));
        }
        let session = Some(self.observer.session());
        if self.observer.is_complete() && self.completed != session {
            self.completed = session;
            events.push(Event::Completed(key));
        }
        if self.observer.is_done() && self.ftp.is_none() {
            for stream in [&mut self.client, &mut self.server] {
                (stream.ahead, stream.ahead_bytes) = (BTreeMap::new(), 0);
            }
        }
    }
}

impl Stream {
    /// The bytes that are in order now, old ones and repetitions left out.
    fn accept(&mut self, position: u64, payload: &[u8]) -> Vec<Vec<u8>> {
        if position > self.delivered {
            // Of segments at one place the longest is kept.
            let kept = self.ahead.get(&position).map_or(0, Vec::len);
            if payload.len() > kept && self.ahead_bytes + payload.len() - kept <= MAX_OUT_OF_ORDER {
                self.ahead_bytes += payload.len() - kept;
                self.ahead.insert(position, payload.to_vec());
            }
            return Vec::new();
        }
        let mut ready = Vec::new();
        self.deliver(position, payload, &mut ready);
        while let Some(entry) = self.ahead.first_entry().filter(|entry| *entry.key() <= self.delivered) {
            let (position, bytes) = entry.remove_entry();
            self.ahead_bytes = self.ahead_bytes.saturating_sub(bytes.len());
            self.deliver(position, &bytes, &mut ready);
        }
        ready
    }

    fn deliver(&mut self, position: u64, bytes: &[u8], ready: &mut Vec<Vec<u8>>) {
        let known = usize::try_from(self.delivered - position).unwrap_or(usize::MAX);
        if let Some(new) = bytes.get(known..).filter(|new| !new.is_empty()) {
            self.delivered += new.len() as u64;
            ready.push(new.to_vec());
        }
    }
}
