//! Held connections: a verdict on each packet until one has fallen on the connection.
//!
//! Nothing a client sends goes on before it is seen to be a handshake's, or a dialogue's that leads to one. What cannot be told yet
//! waits for what follows or for the server's answer. Dropped is what the program would not read as it was read here: segments out of order
//! (they are sent again), urgent data, wrong checksums, and what is not the same when it is sent again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use chrono::Local;
use policies::{Connection, Direction, Policy};
use stack::Endpoints;
use stack::socket::{self, State};
use tracing::{debug, error, warn};

use super::Watch;
use super::end::{self, Via, local_addresses};
use crate::flow::{FlowKey, Place};
use crate::hold::Hold;
use crate::nfqueue::{Queue, Queued, Verdict};
use crate::observer::Side;
use crate::packet::{self, Segment};

/// How long a packet waits for what makes sense of it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Packets of one connection that wait; the kernel's queue is everybody's.
const MOST_OF_ONE: usize = 16;
/// Packets that wait in all.
const MOST: usize = 4096;
/// A fatal alert before anything was agreed on: all that a client may say when it gives up.
const ALERT: u8 = 21;

/// The queue, and what waits.
pub(super) struct Holding {
    hold: Hold,
    pub(super) queue: Option<Queue>,
    /// The policy has something held.
    wanted: bool,
    /// This process is the one that observes.
    observing: bool,
    /// A policy whose rules hold already and which is not in force yet: no verdict falls until it is.
    pub(super) coming: Option<Arc<Policy>>,
    /// Packets without verdict, by connection, with the time the first of them came.
    waiting: HashMap<FlowKey, (Instant, Vec<u32>)>,
}

/// Where a held connection stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    Waiting,
    Released,
    Refused,
}

impl Holding {
    pub(super) fn new(hold: Hold) -> Self {
        Self { hold, queue: None, wanted: false, observing: false, coming: None, waiting: HashMap::new() }
    }

    pub(super) async fn want(&mut self, wanted: bool) -> std::io::Result<()> {
        self.wanted = wanted;
        self.bind().await
    }

    pub(super) async fn observe(&mut self, observing: bool) -> std::io::Result<()> {
        self.observing = observing;
        self.bind().await
    }

    /// Has the queue exactly while it is to be answered for. What waits in a queue that is given up is dropped by the kernel.
    async fn bind(&mut self) -> std::io::Result<()> {
        match (self.wanted && self.observing, self.queue.is_some()) {
            (true, false) => self.queue = Some(Queue::bind(self.hold.queue).await?),
            (false, true) => {
                self.queue = None;
                self.waiting.clear();
            }
            _ => {}
        }
        Ok(())
    }

    /// The queue does not work any more: it is taken anew. Until then the kernel drops what is held.
    pub(super) async fn bind_again(&mut self) {
        self.queue = None;
        self.waiting.clear();
        if let Err(problem) = self.bind().await {
            error!(%problem, "connections are held and cannot be answered for");
        }
    }

    /// Whether the queue is there if it should be.
    pub(super) fn is_bound(&self) -> bool {
        self.queue.is_some() || !(self.wanted && self.observing)
    }

    fn answer(&self, id: u32, verdict: Verdict) {
        let Some(queue) = &self.queue else { return };
        // Without an answer the packet stays where it is: dropped in the end, never let through.
        if let Err(problem) = queue.answer(id, verdict) {
            error!(%problem, "a held packet could not be answered for");
        }
    }

    fn marked(&self, packet_mark: u32, value: u32) -> Verdict {
        Verdict::Repeat(packet_mark & !self.hold.mask() | value)
    }

    /// Answers for what waits of a connection.
    pub(super) fn answer_waiting(&mut self, key: &FlowKey, verdict: Verdict) {
        for id in self.waiting.remove(key).into_iter().flat_map(|(_, ids)| ids) {
            self.answer(id, verdict);
        }
    }

    /// Keeps a packet; false when too many wait.
    fn keep(&mut self, key: FlowKey, id: u32) -> bool {
        let all: usize = self.waiting.values().map(|(_, ids)| ids.len()).sum();
        let (_, waiting) = self.waiting.entry(key).or_insert_with(|| (Instant::now(), Vec::new()));
        let room = waiting.len() < MOST_OF_ONE && all < MOST;
        if room {
            waiting.push(id);
        }
        room
    }
}

impl Watch {
    /// Answers for a packet, or keeps it.
    pub(super) fn held_packet(&mut self, queued: &Queued) {
        if let Some(verdict) = self.verdict(queued) {
            self.holding.answer(queued.id, verdict);
        }
    }

    fn verdict(&mut self, queued: &Queued) -> Option<Verdict> {
        let Some(segment) = packet::from_ip(&queued.bytes) else { return Some(Verdict::Drop) };
        let release = self.holding.marked(queued.mark, self.holding.hold.released());
        let hold = self.holding.marked(queued.mark, self.holding.hold.held());
        let is_held = queued.mark & self.holding.hold.mask() == self.holding.hold.held();
        if segment.syn && !segment.ack {
            return Some(self.beginning(queued, &segment, release, hold));
        }
        // What carries nothing gives nothing away, and lets both ends close.
        let refuse = if segment.payload.is_empty() { Verdict::Accept } else { Verdict::Drop };
        let watched = self.flows.find(&segment).filter(|(key, _)| self.flows.is_held(key));
        let Some((key, side)) = watched else {
            return Some(self.unwatched(queued, &segment, is_held, release));
        };
        match self.standing(&key) {
            Standing::Refused => return Some(refuse),
            Standing::Released => return Some(release),
            Standing::Waiting => {}
        }
        // Urgent data leaves the stream on its way to the program; a segment without data may point at what follows it. What conntrack
        // does not count to the connection has no mark of it, and the program's end will not take it either.
        let strange = segment.urgent || !is_held || !packet::has_valid_checksum(&queued.bytes);
        if strange || (!segment.payload.is_empty() && !self.fits(&key, side, &segment)) {
            return Some(Verdict::Drop);
        }
        self.segment(&segment);
        if !segment.payload.is_empty() {
            self.determined(key);
        }
        match self.standing(&key) {
            Standing::Refused => {
                self.holding.answer_waiting(&key, Verdict::Drop);
                Some(refuse)
            }
            Standing::Released => {
                self.holding.answer_waiting(&key, release);
                Some(release)
            }
            Standing::Waiting => self.undecided(key, side, &segment, queued.id),
        }
    }

    fn fits(&self, key: &FlowKey, side: Side, segment: &Segment<'_>) -> bool {
        matches!(self.flows.place(key, side, segment), Place::New | Place::Known)
    }

    /// A packet of a connection on which no verdict has fallen.
    fn undecided(&mut self, key: FlowKey, side: Side, segment: &Segment<'_>, id: u32) -> Option<Verdict> {
        let Some(flow) = self.flows.get(&key) else { return Some(Verdict::Drop) };
        if self.waiting.contains(&Via::Wire(key)) {
            // The verdict waits for the owner: nothing that the client says goes on; it says it again.
            let harmless = segment.payload.is_empty() || side == Side::Server;
            return Some(if harmless { Verdict::Accept } else { Verdict::Drop });
        }
        let (withholds, done) = (flow.withholds(), flow.is_complete());
        if segment.payload.is_empty() || side == Side::Server {
            if !withholds {
                self.holding.answer_waiting(&key, Verdict::Accept);
            }
            return Some(Verdict::Accept);
        }
        let gives_up = matches!(segment.payload, [ALERT, 3, _, 0, 2, 2, _]);
        if gives_up {
            return Some(Verdict::Accept);
        }
        if done {
            // A handshake that failed: nothing of use may follow it.
            return Some(Verdict::Drop);
        }
        if withholds {
            return if self.holding.keep(key, id) { None } else { Some(Verdict::Drop) };
        }
        self.holding.answer_waiting(&key, Verdict::Accept);
        Some(Verdict::Accept)
    }

    /// The first packet of a connection: whether a rule may hold it, at either end where both are here.
    fn beginning(&mut self, queued: &Queued, segment: &Segment<'_>, release: Verdict, hold: Verdict) -> Verdict {
        let key = FlowKey { client: segment.from, server: segment.to };
        let peer = if queued.arrives { segment.from } else { segment.to };
        let both = peer.ip().is_loopback() || local_addresses().contains(&peer.ip());
        let sides = match (both, queued.arrives) {
            (true, _) => &[Side::Client, Side::Server][..],
            (false, true) => &[Side::Server],
            (false, false) => &[Side::Client],
        };
        let may_hold = sides.iter().any(|side| self.may_hold(key, *side));
        // A SYN into a living connection changes nothing: its receiver answers with a challenge (RFC 5961 §4). Whether it lives the
        // kernel knows; what was seen of it may be incomplete.
        if self.flows.get(&key).is_some() {
            if sides.iter().any(|side| is_up(end::endpoints(key, *side))) {
                return Verdict::Accept;
            }
            if !self.flows.begins_with(&key, segment) {
                self.forget(key);
            }
        }
        if may_hold && !segment.payload.is_empty() {
            // The client does without TCP Fast Open then.
            return Verdict::Drop;
        }
        self.flows.reserve(may_hold);
        self.segment(segment);
        self.flows.reserve(false);
        if !may_hold {
            return release;
        }
        // What cannot be watched cannot be judged.
        if self.flows.hold(&key) { hold } else { Verdict::Drop }
    }

    /// Whether a rule that holds may be for an end of a connection: of the policy in force, and of the one that is coming.
    fn may_hold(&self, key: FlowKey, side: Side) -> bool {
        let Endpoints { local, remote } = end::endpoints(key, side);
        let direction = match side {
            Side::Client => Direction::Outbound,
            Side::Server => Direction::Inbound,
        };
        let connection = Connection { local, remote, direction, jobname: None, userid: None };
        let now = Local::now().fixed_offset();
        let in_force = Arc::clone(&self.shared.policy.read().unwrap_or_else(PoisonError::into_inner));
        [Some(in_force), self.holding.coming.clone()].into_iter().flatten().any(|policy| {
            let mut holding = policy.zert.iter().filter(|rule| rule.action.hold && rule.action.reset);
            holding.any(|rule| rule.conditions.matches_but_owner(&connection, now))
        })
    }

    /// A packet of a connection that is not watched: held, and not judged when it ended or the daemon did, or older than the rule
    /// that holds.
    fn unwatched(&self, queued: &Queued, segment: &Segment<'_>, is_held: bool, release: Verdict) -> Verdict {
        let (local, remote) = if queued.arrives { (segment.to, segment.from) } else { (segment.from, segment.to) };
        let found = socket::lookup(Endpoints { local, remote }).ok().flatten();
        let up = found.filter(|socket| !matches!(socket.state, State::Listen | State::TimeWait | State::SynReceived));
        match (is_held, up) {
            (false, Some(_)) => release,
            (true, Some(socket)) if !segment.payload.is_empty() => {
                // It would hang for ever: nobody judges it any more.
                match socket::destroy(&socket) {
                    Ok(_) => debug!(%local, %remote, "a connection that was held by another daemon is reset"),
                    Err(problem) => error!(%problem, "a connection that nobody judges could not be reset"),
                }
                Verdict::Drop
            }
            _ if segment.payload.is_empty() => Verdict::Accept,
            _ => Verdict::Drop,
        }
    }

    fn standing(&self, key: &FlowKey) -> Standing {
        let ends = self.tracked.get(key).map(|tracked| tracked.ends.as_slice()).unwrap_or_default();
        if ends.iter().any(|end| end.refused) {
            Standing::Refused
        } else if !ends.is_empty() && ends.iter().all(|end| end.judged) {
            Standing::Released
        } else {
            Standing::Waiting
        }
    }

    /// Connections whose packets wait in vain have no protection that is known.
    pub(super) fn end_waiting(&mut self) {
        let known = |key: &FlowKey| self.flows.get(key).is_some();
        let late: Vec<FlowKey> = self
            .holding
            .waiting
            .iter()
            .filter(|(key, (since, _))| since.elapsed() > PATIENCE || !known(key))
            .map(|(key, _)| *key)
            .collect();
        for key in late {
            warn!(client = %key.client, server = %key.server, "what a held connection sent cannot be told to be harmless");
            self.flows.give_up(&key);
            self.determined(key);
            self.holding.answer_waiting(&key, Verdict::Drop);
        }
    }
}

/// Whether a connection of these ends is up.
fn is_up(ends: Endpoints) -> bool {
    let is = |address: IpAddr| !address.is_unspecified();
    let found = if is(ends.local.ip()) { socket::lookup(ends).ok().flatten() } else { None };
    found.is_some_and(|socket| {
        !matches!(socket.state, State::Listen | State::TimeWait | State::SynSent | State::SynReceived)
    })
}
