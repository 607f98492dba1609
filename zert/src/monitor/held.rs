//! Held connections: a verdict on each packet until one has fallen on the connection.
//!
//! Nothing a client sends goes on before it is seen to be a handshake's, or a dialogue's that leads to one. What cannot be told yet
//! waits for what follows, segments out of order are dropped (they are sent again), and so is everything that does not fit what
//! was seen before: the program must not read other bytes than were judged.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use chrono::Local;
use policies::{Connection, Direction};
use tracing::{error, warn};

use super::Watch;
use crate::flow::{Flow, FlowKey, Place};
use crate::hold::Hold;
use crate::nfqueue::{Queue, Queued, Verdict};
use crate::observer::Side;
use crate::packet::{self, Segment};

/// How long a packet waits for what makes sense of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The queue, and what waits.
pub(super) struct Holding {
    hold: Hold,
    pub(super) queue: Option<Queue>,
    /// The policy has something held.
    wanted: bool,
    /// This process is the one that observes.
    observing: bool,
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
        Self { hold, queue: None, wanted: false, observing: false, waiting: HashMap::new() }
    }

    pub(super) fn want(&mut self, wanted: bool) -> std::io::Result<()> {
        self.wanted = wanted;
        self.bind()
    }

    pub(super) fn observe(&mut self, observing: bool) -> std::io::Result<()> {
        self.observing = observing;
        self.bind()
    }

    /// Has the queue exactly while it is to be answered for. What waits in a queue that is given up is dropped by the kernel.
    fn bind(&mut self) -> std::io::Result<()> {
        match (self.wanted && self.observing, self.queue.is_some()) {
            (true, false) => self.queue = Some(Queue::bind(self.hold.queue)?),
            (false, true) => {
                self.queue = None;
                self.waiting.clear();
            }
            _ => {}
        }
        Ok(())
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

    fn answer_waiting(&mut self, key: &FlowKey, verdict: Verdict) {
        for id in self.waiting.remove(key).into_iter().flat_map(|(_, ids)| ids) {
            self.answer(id, verdict);
        }
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
            // Held, and not judged when it ended or the daemon did; or older than the rule that holds.
            return Some(if is_held { refuse } else { release });
        };
        match self.standing(&key) {
            Standing::Refused => return Some(refuse),
            Standing::Released => return Some(release),
            Standing::Waiting => {}
        }
        let greeted = self.flows.get(&key).is_some_and(Flow::has_hello);
        if !segment.payload.is_empty() {
            // Urgent data leaves the stream on its way to the program.
            let fits = matches!(self.flows.place(&key, side, &segment), Place::New | Place::Known);
            if segment.urgent || !fits {
                return Some(Verdict::Drop);
            }
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
            Standing::Waiting if segment.payload.is_empty() || side == Side::Server => Some(Verdict::Accept),
            Standing::Waiting => {
                let Some(flow) = self.flows.get(&key) else { return Some(Verdict::Drop) };
                if flow.is_done() {
                    // A handshake that failed: nothing of use may follow it.
                    return Some(Verdict::Drop);
                }
                // Data in one segment with its hello cannot be kept from it.
                if flow.withholds() && (greeted || !flow.has_hello()) {
                    let (_, waiting) = self.holding.waiting.entry(key).or_insert_with(|| (Instant::now(), Vec::new()));
                    waiting.push(queued.id);
                    return None;
                }
                self.holding.answer_waiting(&key, Verdict::Accept);
                Some(Verdict::Accept)
            }
        }
    }

    /// The first packet of a connection: whether a rule may hold it.
    fn beginning(&mut self, queued: &Queued, segment: &Segment<'_>, release: Verdict, hold: Verdict) -> Verdict {
        let (local, remote, direction) = match queued.arrives {
            true => (segment.to, segment.from, Direction::Inbound),
            false => (segment.from, segment.to, Direction::Outbound),
        };
        let connection = Connection { local, remote, direction, jobname: None, userid: None };
        let now = Local::now().fixed_offset();
        let policy = Arc::clone(&self.shared.policy.read().unwrap_or_else(PoisonError::into_inner));
        let may_hold = policy
            .zert
            .iter()
            .any(|rule| rule.action.hold && rule.action.reset && rule.conditions.matches_but_owner(&connection, now));
        let key = FlowKey { client: segment.from, server: segment.to };
        if self.flows.is_living(&key) {
            // Its receiver answers with a challenge (RFC 5961 §4).
            return Verdict::Accept;
        }
        if may_hold && !segment.payload.is_empty() {
            // The client does without TCP Fast Open then.
            return Verdict::Drop;
        }
        self.segment(segment);
        if !may_hold {
            return release;
        }
        // What cannot be watched cannot be judged.
        if self.flows.hold(&key) { hold } else { Verdict::Drop }
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
