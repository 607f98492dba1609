//! The connections that packets and sockets tell of, from their first packet to their record.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chrono::Utc;
use smf::detail::Event as RecordEvent;
use stack::socket::{self, Socket};
use stack::{Endpoints, State};
use tracing::{debug, warn};

use super::end::{End, Via, counters_of, endpoints, is_alive, missed_ends, settled};
use super::jobs::ask_for;
use super::records::{Carried, is_due, so_far};
use super::{Tracked, Watch};
use crate::flow::{Event, Flow, FlowKey};
use crate::nfqueue::Verdict;
use crate::observer::{Protection, Side};
use crate::packet::{self, Segment};
use crate::record::Source;

/// How long a SYN may go unanswered before the connection is forgotten: Linux retries for 127 seconds.
const UNANSWERED: Duration = Duration::from_secs(130);
/// The same while very many wait.
const UNANSWERED_IN_A_CROWD: Duration = Duration::from_secs(10);
/// How long the end of a socket is waited for after its connection was seen to close.
const END_WAIT: Duration = Duration::from_secs(1);
/// How long after ends of sockets were missed it is looked which are gone.
const MISSED: Duration = Duration::from_secs(3);
/// The states of connections whose sockets have an end before them.
const UP: [State; 7] = [
    State::Established,
    State::SynSent,
    State::FinWait1,
    State::FinWait2,
    State::CloseWait,
    State::LastAck,
    State::Closing,
];

impl Watch {
    pub(super) fn packet(&mut self, bytes: &[u8]) {
        if let Some(segment) = packet::from_ip(bytes) {
            self.segment(&segment);
        }
    }

    pub(super) fn segment(&mut self, segment: &Segment<'_>) {
        if let Some((key, flow)) = self.flows.reused(segment) {
            self.end_unseen(key, Some(&flow));
            self.holding.answer_waiting(&key, Verdict::Drop);
        }
        for event in self.flows.segment(segment) {
            match event {
                Event::Opened(key) => {
                    // An older one of the same ends is over.
                    self.end_unseen(key, None);
                    self.shared.observed.fetch_add(1, Ordering::Relaxed);
                    let tracked =
                        Tracked { started: Utc::now(), opened: Instant::now(), closed: None, ends: Vec::new() };
                    self.tracked.insert(key, tracked);
                }
                Event::Established(key) => self.find_ends(key),
                Event::Determined(key) | Event::Completed(key) => self.determined(key),
                Event::Heard(key) => {
                    self.find_ends(key);
                    let events = self.flows.heard(&key);
                    self.ftp_heard(Via::Wire(key), events);
                    self.know_control(key);
                }
                Event::Closed(key) => {
                    self.find_ends(key);
                    if let Some(tracked) = self.tracked.get_mut(&key) {
                        tracked.closed = Some(Instant::now());
                    }
                }
            }
        }
    }

    /// Looks up the local sockets of a connection, those not found yet.
    pub(super) fn find_ends(&mut self, key: FlowKey) {
        let Some(tracked) = self.tracked.get_mut(&key) else { return };
        for side in [Side::Client, Side::Server] {
            if tracked.ends.iter().any(|end| end.side == side) {
                continue;
            }
            let endpoints = endpoints(key, side);
            let found = match socket::lookup(endpoints) {
                Ok(found) => found.filter(|socket| !matches!(socket.state, State::Listen | State::TimeWait)),
                Err(error) => {
                    debug!(%error, "a socket could not be looked up");
                    None
                }
            };
            let Some(socket) = found else { continue };
            // Server sockets have no file before they are accepted; their listener's owner is theirs.
            let (inode, uid) = match (socket.inode, side) {
                (0, Side::Server) => {
                    let listener = socket::listener(endpoints.local).ok().flatten();
                    listener.map_or((0, socket.uid), |listener| (listener.inode, listener.uid))
                }
                (inode, _) => (inode, socket.uid),
            };
            ask_for(&mut self.jobs, &self.resolver, inode, Some(uid));
            self.by_cookie.insert(socket.cookie, key);
            let held = self.flows.is_held(&key);
            let mut end = End {
                id: socket.id(),
                socket: Some(socket),
                uid: Some(uid),
                inode,
                held,
                ..End::new(side, endpoints, tracked.started, tracked.opened)
            };
            end.announced_data = self.transfers.announced(endpoints, side);
            tracked.ends.push(end);
        }
    }

    pub(super) fn determined(&mut self, key: FlowKey) {
        self.find_ends(key);
        let Some(flow) = self.flows.get(&key) else { return };
        let (protection, session, done) = (flow.protection(), flow.session(), flow.is_done());
        if flow.speaks_ftp() {
            self.know_control(key);
        }
        let Some(mut tracked) = self.tracked.remove(&key) else { return };
        let judged = crate::judge::observed(&protection).is_some();
        if judged && self.flows.is_held(&key) && tracked.ends.len() < 2 && tracked.ends.iter().all(|end| !end.judged) {
            // Ends whose sockets cannot be found: packets wait for a verdict on them all the same.
            let missed = missed_ends(key, &tracked);
            let known: Vec<Side> = tracked.ends.iter().map(|end| end.side).collect();
            tracked.ends.extend(missed.into_iter().filter(|end| !known.contains(&end.side)));
        }
        for end in &mut tracked.ends {
            self.begin_session(end, session);
            self.enforce(Via::Wire(key), end, &protection);
            // What was told as none because nothing was known, and is none: no change.
            if end.told.as_ref().is_some_and(|told| *told != protection) {
                self.write(end, RecordEvent::Change, &protection, Source::Observed, so_far(end));
                end.told = Some(protection.clone());
            }
            end.known = (!done).then(|| protection.clone());
        }
        self.tracked.insert(key, tracked);
    }

    /// Another session has begun on a connection: it is judged anew, and what was before it is on record first.
    fn begin_session(&mut self, end: &mut End, session: u32) {
        if session == end.session {
            return;
        }
        end.session = session;
        end.judged = end.refused;
        if let Some(before) = end.known.take().filter(|_| end.told.is_none()) {
            self.write(end, RecordEvent::Initiation, &before, Source::Observed, so_far(end));
            end.told = Some(before);
        }
    }

    /// A socket was freed: its final counters are known.
    pub(super) fn socket_ended(&mut self, socket: &Socket) {
        self.end_of_socket(socket.cookie, |flow, end| {
            // Nobody saw the FIN of an older connection: it counts as a byte then.
            let closed = flow.is_some_and(|flow| flow.has_fin(end.side.peer()));
            let counters = if closed { socket.counters.without_fin() } else { socket.counters };
            Carried { counters, transport: socket.transport }
        });
    }

    /// Records the end whose socket is gone; once all ends of its connection are recorded it is forgotten.
    fn end_of_socket(&mut self, cookie: u64, carried: impl FnOnce(Option<&Flow>, &End) -> Carried) {
        let Some(key) = self.by_cookie.remove(&cookie) else { return };
        let Some(tracked) = self.tracked.get_mut(&key) else { return };
        let is_its = |end: &End| end.socket.is_some_and(|socket| socket.cookie == cookie);
        let Some(index) = tracked.ends.iter().position(is_its) else { return };
        let mut end = tracked.ends.remove(index);
        let finished = tracked.ends.is_empty();
        let flow = self.flows.get(&key);
        let session = flow.map_or(0, Flow::session);
        let protection = settled(flow.map_or(Protection::Undetermined, Flow::protection));
        let carried = carried(flow, &end);
        self.begin_session(&mut end, session);
        self.write_end(end, &protection, Source::Observed, carried);
        if finished {
            self.tracked.remove(&key);
            self.forget(key);
        }
    }

    pub(super) fn forget(&mut self, key: FlowKey) {
        let flow = self.flows.remove(&key);
        self.end_unseen(key, flow.as_ref());
        self.holding.answer_waiting(&key, Verdict::Drop);
    }

    /// Forgets a connection whose sockets' ends were not told, and records them by what the wire showed.
    pub(super) fn end_unseen(&mut self, key: FlowKey, flow: Option<&Flow>) {
        let Some(mut tracked) = self.tracked.remove(&key) else { return };
        let mut ends = std::mem::take(&mut tracked.ends);
        if ends.is_empty() && tracked.closed.is_some() {
            ends = missed_ends(key, &tracked);
        }
        let session = flow.map_or(0, Flow::session);
        for mut end in ends {
            self.begin_session(&mut end, session);
            self.by_cookie.remove(&end.socket.map(|socket| socket.cookie).unwrap_or_default());
            let protection = settled(flow.map_or(Protection::Undetermined, Flow::protection));
            let counters = flow.map(|flow| counters_of(flow.bytes(), end.side)).unwrap_or_default();
            self.write_end(end, &protection, Source::Observed, counters.into());
        }
    }

    /// Takes note of the connections that are up and whose beginning was not seen.
    pub(super) fn find_older(&mut self) {
        let sockets = match socket::list(&UP) {
            Ok(sockets) => sockets,
            Err(problem) => {
                warn!(%problem, "connections that are up cannot be listed, and will not be recorded");
                self.shared.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        let (started, opened) = (Utc::now(), Instant::now());
        let listeners: HashSet<u16> = socket::list(&[State::Listen])
            .unwrap_or_default()
            .iter()
            .map(|listener| listener.endpoints.local.port())
            .collect();
        for socket in sockets {
            let Endpoints { local, remote } = socket.endpoints;
            // A client does not have a port on which somebody listens.
            let accepted = listeners.contains(&local.port());
            let (side, key) = if accepted {
                (Side::Server, FlowKey { client: remote, server: local })
            } else {
                (Side::Client, FlowKey { client: local, server: remote })
            };
            if self.flows.get(&key).is_some() || self.by_cookie.contains_key(&socket.cookie) {
                continue; // its SYN came since
            }
            ask_for(&mut self.jobs, &self.resolver, socket.inode, Some(socket.uid));
            let mut end = End {
                id: socket.id(),
                socket: Some(socket),
                uid: Some(socket.uid),
                inode: socket.inode,
                announced: true,
                older: true,
                ..End::new(side, socket.endpoints, started, opened)
            };
            self.shared.older.fetch_add(1, Ordering::Relaxed);
            end.told = Some(Protection::Undetermined);
            self.write(&end, RecordEvent::Initiation, &Protection::Undetermined, Source::Observed, socket.into());
            self.by_cookie.insert(socket.cookie, key);
            let tracked = Tracked { started, opened, closed: None, ends: Vec::new() };
            self.tracked.entry(key).or_insert(tracked).ends.push(end);
        }
    }

    /// Ends the connections whose sockets have gone without a word.
    fn end_missed(&mut self) {
        let Ok(sockets) = socket::list(&UP) else { return };
        let living: HashSet<u64> = sockets.iter().map(|socket| socket.cookie).collect();
        let gone: Vec<u64> = self.by_cookie.keys().filter(|cookie| !living.contains(cookie)).copied().collect();
        for cookie in gone {
            self.end_of_socket(cookie, |flow, end| {
                flow.map(|flow| counters_of(flow.bytes(), end.side)).unwrap_or_default().into()
            });
        }
    }

    pub(super) fn tick(&mut self) {
        // What was not dropped is read first.
        if self.missed.take_if(|missed| missed.elapsed() > MISSED).is_some() {
            self.end_missed();
        }
        self.tick_transfers();
        self.tell_suppressed();
        self.end_waiting();
        if self.intervals.as_ref().is_some_and(|intervals| intervals.is_over(Utc::now())) {
            self.end_interval(false);
        }
        let Self { jobs, tracked, wrapped, .. } = self;
        jobs.age(|| {
            let seen = tracked.values().flat_map(|tracked| &tracked.ends);
            seen.chain(wrapped.values().map(|(end, _)| end)).map(|end| end.inode).collect()
        });
        let unanswered = if self.flows.is_crowded() { UNANSWERED_IN_A_CROWD } else { UNANSWERED };
        let waits = |end: &End| !end.announced || is_due(end);
        let busy =
            |tracked: &Tracked| tracked.closed.is_some() || tracked.ends.is_empty() || tracked.ends.iter().any(waits);
        let keys: Vec<FlowKey> =
            self.tracked.iter().filter(|(_, tracked)| busy(tracked)).map(|(key, _)| *key).collect();
        for key in keys {
            let Some(mut tracked) = self.tracked.remove(&key) else { continue };
            let flow = self.flows.get(&key);
            let protection = flow.map_or(Protection::Undetermined, Flow::protection);
            let bytes = flow.map(Flow::bytes).unwrap_or_default();
            let session = flow.map_or(0, Flow::session);
            if tracked.ends.is_empty() && tracked.closed.is_none() && tracked.opened.elapsed() > unanswered {
                self.flows.remove(&key);
                continue;
            }
            if tracked.closed.is_some_and(|closed| closed.elapsed() > END_WAIT) {
                // Sockets that were gone before they could be looked up: what the wire showed must do.
                let missed = if tracked.ends.is_empty() { missed_ends(key, &tracked) } else { Vec::new() };
                let ends: Vec<End> = tracked.ends.drain(..).chain(missed).collect();
                for mut end in ends {
                    // An end whose socket lives on (half closed by its program) ends when the socket does.
                    if end.socket.is_some_and(|socket| is_alive(&socket)) {
                        tracked.ends.push(end);
                        continue;
                    }
                    let counters = counters_of(bytes, end.side);
                    self.begin_session(&mut end, session);
                    self.write_end(end, &settled(protection.clone()), Source::Observed, counters.into());
                }
                if tracked.ends.is_empty() {
                    self.flows.remove(&key);
                    continue;
                }
            }
            let handshaking = match &protection {
                Protection::Tls(handshake) => handshake.version == 0 && !handshake.complete,
                // Somebody may be asked whether the server's key is right.
                Protection::Ssh(ssh) => !ssh.complete,
                Protection::None | Protection::Undetermined => false,
            };
            for end in &mut tracked.ends {
                self.announce(end, &protection);
            }
            if !handshaking && tracked.closed.is_none() {
                for end in &mut tracked.ends {
                    self.initiate(end, &settled(protection.clone()), Source::Observed);
                }
            }
            self.tracked.insert(key, tracked);
        }
        let mut wrapped = std::mem::take(&mut self.wrapped);
        for (number, (end, protection)) in &mut wrapped {
            self.announce(end, protection);
            if !is_due(end) {
                continue;
            }
            let source = if self.clear.contains_key(number) { Source::Observed } else { Source::Engine };
            self.initiate(end, &settled(protection.clone()), source);
        }
        self.wrapped = wrapped;
        if self.flows.overflowed > 0 {
            self.shared.lost.fetch_add(std::mem::take(&mut self.flows.overflowed), Ordering::Relaxed);
        }
    }
}
