//! Watching the host: every new TCP connection, its protection, its end; enforcement; records.
//!
//! One task owns all state. Packets come from NFLOG, ends with their counters from sock_diag, the wrapped connections
//! from the AT-TLS engine through [`Monitor::established`] and [`Monitor::ended`].

mod enforcement;
mod held;
mod intervals;
mod jobs;
mod messages;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use policies::{Direction, Policy};
use serde::Serialize;
use smf::detail::{Enforcement, Event as RecordEvent};
use smf::summary::Event as SummaryEvent;
use stack::socket::{self, Ends, Socket, State};
use stack::{ConnectionId, Counters, Endpoints, StackError, owner};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};

use self::held::Holding;
use self::intervals::Intervals;
use self::jobs::Jobs;
use self::messages::Suppression;
use crate::flow::{Event, Flow, FlowKey, Flows};
use crate::hold::{self, Hold};
use crate::nflog::Packets;
use crate::nfqueue::{Queued, Verdict};
use crate::observer::{Protection, Side};
use crate::packet::{self, Segment};
use crate::record::{Facts, RecordContext, Source};
use crate::summary::switched;
use crate::tls::Handshake;

/// A connection that lives this long gets an initiation record (zERT's timer).
const INITIATION: Duration = Duration::from_secs(10);
/// How long a SYN may go unanswered before the connection is forgotten: Linux retries for 127 seconds.
const UNANSWERED: Duration = Duration::from_secs(130);
/// How long the end of a socket is waited for after its connection was seen to close.
const END_WAIT: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(200);
/// The same while very many wait.
const UNANSWERED_IN_A_CROWD: Duration = Duration::from_secs(10);
/// `ENOBUFS`.
const NO_BUFFERS: i32 = 105;

/// Told of each event of a connection, as it is recorded.
pub type History = Box<dyn Fn(&Facts) + Send + Sync>;

/// How the monitor is set up.
pub struct MonitorSettings {
    /// The NFLOG group its packets come from.
    pub group: u16,
    /// Where packets wait for a verdict, and how their connections are marked.
    pub hold: Hold,
    /// What is held, for the next boot.
    pub hold_file: PathBuf,
    /// What records say of their writer.
    pub context: RecordContext,
    /// How long the intervals of summaries are, where summaries are wanted: they end at multiples of it, in UTC.
    pub summaries: Option<Duration>,
    /// Who keeps a history beside the records, if anybody does.
    pub history: Option<History>,
    /// Where SMF records go, RDW included.
    pub sink: Box<dyn Fn(Vec<u8>) + Send + Sync>,
}

/// The observer and enforcer. Clones share one task, which ends with the last of them.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "the sink is a closure")]
pub struct Monitor {
    shared: Arc<Shared>,
    wrapped: mpsc::UnboundedSender<Report>,
}

struct Shared {
    settings: MonitorSettings,
    policy: RwLock<Arc<Policy>>,
    observed: AtomicU64,
    reset: AtomicU64,
    logged: AtomicU64,
    suppressed: AtomicU64,
    lost: AtomicU64,
}

/// The counters of the zERT display.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Statistics {
    /// Connections whose protection was recorded or is being watched.
    pub observed: u64,
    /// Connections reset by enforcement.
    pub reset: u64,
    /// Connections logged by enforcement.
    pub logged: u64,
    /// Messages of enforcement that were counted and not written, because there were many.
    pub suppressed: u64,
    /// Times the kernel dropped packets or ends because they were not read in time, and connections beyond a limit.
    pub lost: u64,
}

/// A connection the AT-TLS engine wrapped.
#[derive(Clone, Debug)]
pub struct Wrapped {
    /// The engine's number for it.
    pub number: u64,
    /// The program's socket.
    pub id: Option<ConnectionId>,
    /// Its ends as program and peer know them.
    pub endpoints: Endpoints,
    /// Who opened it.
    pub direction: Direction,
    /// The program's uid.
    pub uid: Option<u32>,
    /// The inode of the program's socket or listener.
    pub inode: Option<u32>,
    /// When it was accepted.
    pub started: DateTime<Utc>,
    /// What was negotiated.
    pub handshake: Handshake,
}

enum Report {
    Established(Box<Wrapped>),
    Ended { number: u64, bytes_in: u64, bytes_out: u64 },
    Observe { observe: bool, done: oneshot::Sender<std::io::Result<()>> },
    Switch { on: bool, done: oneshot::Sender<()> },
    Finish { done: oneshot::Sender<()> },
    Hold { policy: Option<Arc<Policy>>, done: oneshot::Sender<std::io::Result<()>> },
    InForce,
}

impl Monitor {
    /// Starts watching the ends of connections, and what the engine tells; [`Monitor::observe`] for their beginnings.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the subscription.
    pub fn start(settings: MonitorSettings) -> Result<Self, StackError> {
        let ends = Ends::subscribe()?;
        let intervals = settings.summaries.map(|length| Intervals::new(length, Utc::now()));
        let shared = Arc::new(Shared {
            settings,
            policy: RwLock::default(),
            observed: AtomicU64::new(0),
            reset: AtomicU64::new(0),
            logged: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        });
        let (sender, receiver) = mpsc::unbounded_channel();
        let (resolver, resolved) = start_resolver();
        let holding = Holding::new(shared.settings.hold);
        let watch = Watch {
            shared: Arc::clone(&shared),
            flows: Flows::default(),
            tracked: HashMap::new(),
            by_cookie: HashMap::new(),
            wrapped: HashMap::new(),
            jobs: Jobs::default(),
            resolver,
            intervals,
            suppression: Suppression::default(),
            holding,
            recording: true,
        };
        tokio::spawn(watch.run(ends, receiver, resolved));
        Ok(Self { shared, wrapped: sender })
    }

    /// Begins to look at the packets of new connections, or ends it: one process at a time can.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the subscription.
    pub async fn observe(&self, observe: bool) -> std::io::Result<()> {
        let (done, outcome) = oneshot::channel();
        // The task ends only with the process.
        let _ = self.wrapped.send(Report::Observe { observe, done });
        outcome.await.unwrap_or_else(|_| Err(std::io::Error::other("the observer has ended")))
    }

    /// Records that recording begins, or that it ends, and then what the last interval counted.
    pub async fn switch(&self, on: bool) {
        let (done, outcome) = oneshot::channel();
        let _ = self.wrapped.send(Report::Switch { on, done });
        let _ = outcome.await;
    }

    /// Records what the interval has counted so far: this process ends, and recording goes on in another.
    pub async fn finish(&self) {
        let (done, outcome) = oneshot::channel();
        let _ = self.wrapped.send(Report::Finish { done });
        let _ = outcome.await;
    }

    /// Puts the enforcement rules of a policy in force for connections whose protection is determined from now on.
    pub fn set_policy(&self, policy: Arc<Policy>) {
        *self.shared.policy.write().unwrap_or_else(PoisonError::into_inner) = policy;
        // The task ends only with the process.
        let _ = self.wrapped.send(Report::InForce);
    }

    /// Has the kernel hold what the rules of a policy hold (`Hold On`), and only that, and answers for it while it observes. To
    /// be called before [`Monitor::set_policy`].
    ///
    /// # Errors
    ///
    /// What the kernel or its tools say; what was held before is held still.
    pub async fn hold(&self, policy: &Arc<Policy>) -> std::io::Result<()> {
        let wanted = hold::holds(policy);
        if wanted {
            self.answer(Some(Arc::clone(policy))).await?;
        }
        self.install_hold(policy).await?;
        if !wanted {
            self.answer(None).await?;
        }
        Ok(())
    }

    async fn install_hold(&self, policy: &Arc<Policy>) -> std::io::Result<()> {
        let (shared, policy) = (Arc::clone(&self.shared), Arc::clone(policy));
        let MonitorSettings { hold, .. } = shared.settings;
        let installed = tokio::task::spawn_blocking(move || hold.install(&policy, &shared.settings.hold_file)).await;
        installed.unwrap_or_else(|error| Err(std::io::Error::other(error)))
    }

    /// `policy`: the one whose rules hold, until it is in force.
    async fn answer(&self, policy: Option<Arc<Policy>>) -> std::io::Result<()> {
        let (done, outcome) = oneshot::channel();
        let _ = self.wrapped.send(Report::Hold { policy, done });
        outcome.await.unwrap_or_else(|_| Err(std::io::Error::other("the observer has ended")))
    }

    /// Puts the rules back that hold packets, where they are gone. True: they were.
    ///
    /// # Errors
    ///
    /// As [`Monitor::hold`].
    pub async fn repair_hold(&self) -> std::io::Result<bool> {
        let policy = Arc::clone(&self.shared.policy.read().unwrap_or_else(PoisonError::into_inner));
        if !hold::holds(&policy) {
            return Ok(false);
        }
        let hold = self.shared.settings.hold;
        let there = tokio::task::spawn_blocking(move || hold.is_installed()).await.unwrap_or(true);
        if !there {
            self.install_hold(&policy).await?;
        }
        Ok(!there)
    }

    /// The counters.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let shared = &self.shared;
        Statistics {
            observed: read(&shared.observed),
            reset: read(&shared.reset),
            logged: read(&shared.logged),
            suppressed: read(&shared.suppressed),
            lost: read(&shared.lost),
        }
    }

    /// The engine wrapped a connection.
    pub fn established(&self, wrapped: Wrapped) {
        // The task ends only with the process.
        let _ = self.wrapped.send(Report::Established(Box::new(wrapped)));
    }

    /// A wrapped connection ended, having carried this many bytes of clear text.
    pub fn ended(&self, number: u64, bytes_in: u64, bytes_out: u64) {
        let _ = self.wrapped.send(Report::Ended { number, bytes_in, bytes_out });
    }
}

/// One local end of a connection: what records are written about.
struct End {
    side: Side,
    endpoints: Endpoints,
    started: DateTime<Utc>,
    opened: Instant,
    id: ConnectionId,
    socket: Option<Socket>,
    uid: Option<u32>,
    inode: u32,
    /// The protection of its last record, once the initiation record is written.
    told: Option<Protection>,
    /// Its packets wait for the verdict.
    held: bool,
    /// The verdict has fallen.
    judged: bool,
    /// It is to be reset; what is held of it never goes on.
    refused: bool,
    enforcement: Option<Enforcement>,
}

/// A connection seen on the wire.
struct Tracked {
    started: DateTime<Utc>,
    opened: Instant,
    closed: Option<Instant>,
    ends: Vec<End>,
}

struct Watch {
    shared: Arc<Shared>,
    flows: Flows,
    tracked: HashMap<FlowKey, Tracked>,
    by_cookie: HashMap<u64, FlowKey>,
    wrapped: HashMap<u64, (End, Protection)>,
    jobs: Jobs,
    resolver: mpsc::UnboundedSender<u32>,
    intervals: Option<Intervals>,
    suppression: Suppression,
    holding: Holding,
    recording: bool,
}

/// Finds job names in batches: one walk through /proc for all sockets that came up during the last one.
fn start_resolver() -> (mpsc::UnboundedSender<u32>, mpsc::UnboundedReceiver<HashMap<u32, owner::Owner>>) {
    let (ask, mut asked) = mpsc::unbounded_channel();
    let (answer, answers) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut inodes = Vec::new();
        while asked.recv_many(&mut inodes, 10_000).await > 0 {
            let batch = std::mem::take(&mut inodes);
            let found = tokio::task::spawn_blocking(move || owner::of_inodes(&batch)).await;
            if answer.send(found.unwrap_or_default()).is_err() {
                break;
            }
        }
    });
    (ask, answers)
}

impl Watch {
    async fn run(
        mut self,
        mut ends: Ends,
        mut reports: mpsc::UnboundedReceiver<Report>,
        mut resolved: mpsc::UnboundedReceiver<HashMap<u32, owner::Owner>>,
    ) {
        let mut tick = tokio::time::interval(TICK);
        let mut packets: Option<Packets> = None;
        loop {
            let next_packets = async {
                match &packets {
                    Some(packets) => packets.next().await,
                    None => std::future::pending().await,
                }
            };
            let next_queued = async {
                match &self.holding.queue {
                    Some(queue) => queue.next().await,
                    None => std::future::pending::<std::io::Result<Vec<Queued>>>().await,
                }
            };
            tokio::select! {
                // What comes seldom first; packets before ends: a connection's FIN is read before its socket's end.
                biased;
                _ = tick.tick() => {
                    self.tick();
                    if !self.holding.is_bound() {
                        self.holding.bind_again().await;
                    }
                }
                report = reports.recv() => match report {
                    Some(Report::Established(wrapped)) => self.wrapped_established(*wrapped),
                    Some(Report::Ended { number, bytes_in, bytes_out }) => self.wrapped_ended(number, bytes_in, bytes_out),
                    Some(Report::Observe { observe, done }) => {
                        packets = None;
                        let subscribed = if observe { Packets::subscribe(self.shared.settings.group).map(Some) } else { Ok(None) };
                        let bound = self.holding.observe(observe).await;
                        // Nobody waits for it any more: whoever asked has ended.
                        let _ = done.send(subscribed.map(|subscribed| packets = subscribed).and(bound));
                    }
                    Some(Report::Switch { on, done }) => {
                        self.switch(on);
                        let _ = done.send(());
                    }
                    Some(Report::Finish { done }) => {
                        self.end_interval(false);
                        let _ = done.send(());
                    }
                    Some(Report::InForce) => self.holding.coming = None,
                    Some(Report::Hold { policy, done }) => {
                        let _ = done.send(self.holding.want(policy.is_some()).await);
                        self.holding.coming = policy;
                    }
                    None => return,
                },
                found = next_queued => match found {
                    Ok(found) => found.iter().for_each(|queued| self.held_packet(queued)),
                    // Packets that were held are dropped, and sent again.
                    Err(error) if error.raw_os_error() == Some(NO_BUFFERS) => self.count_loss("held packets", &error),
                    Err(error) => {
                        warn!(%error, "held packets cannot be read");
                        self.holding.bind_again().await;
                    }
                },
                Some(found) = resolved.recv() => {
                    self.jobs.extend(found.into_iter().map(|(inode, owner)| (inode, owner.jobname)));
                }
                found = next_packets => match found {
                    Ok(found) => found.iter().for_each(|packet| self.packet(packet)),
                    Err(error) => self.count_loss("packets", &error),
                },
                found = ends.next() => match found {
                    Ok(found) => found.iter().for_each(|socket| self.socket_ended(socket)),
                    Err(error) => self.count_loss("ends of connections", &error),
                },
            }
        }
    }

    fn count_loss(&self, what: &str, error: &std::io::Error) {
        self.shared.lost.fetch_add(1, Ordering::Relaxed);
        warn!(%error, "zERT lost {what}");
    }

    fn packet(&mut self, bytes: &[u8]) {
        if let Some(segment) = packet::from_ip(bytes) {
            self.segment(&segment);
        }
    }

    fn segment(&mut self, segment: &Segment<'_>) {
        if let Some((key, flow)) = self.flows.reused(segment) {
            self.end_unseen(key, Some(&flow));
            self.holding.answer_waiting(&key, Verdict::Drop);
        }
        for event in self.flows.segment(segment) {
            match event {
                Event::Opened(key) => {
                    self.shared.observed.fetch_add(1, Ordering::Relaxed);
                    let tracked =
                        Tracked { started: Utc::now(), opened: Instant::now(), closed: None, ends: Vec::new() };
                    self.tracked.insert(key, tracked);
                }
                Event::Established(key) => self.find_ends(key),
                Event::Determined(key) | Event::Completed(key) => self.determined(key),
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
    fn find_ends(&mut self, key: FlowKey) {
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
            if inode != 0 && !self.jobs.keep(inode) {
                let _ = self.resolver.send(inode);
            }
            self.by_cookie.insert(socket.cookie, key);
            let held = self.flows.is_held(&key);
            tracked.ends.push(End {
                side,
                endpoints,
                started: tracked.started,
                opened: tracked.opened,
                id: socket.id(),
                socket: Some(socket),
                uid: Some(uid),
                inode,
                told: None,
                held,
                judged: false,
                refused: false,
                enforcement: None,
            });
        }
    }

    fn determined(&mut self, key: FlowKey) {
        self.find_ends(key);
        let Some(protection) = self.flows.get(&key).map(Flow::protection) else { return };
        let Some(mut tracked) = self.tracked.remove(&key) else { return };
        let judged = crate::judge::observed(&protection).is_some();
        if judged && self.flows.is_held(&key) && tracked.ends.len() < 2 && tracked.ends.iter().all(|end| !end.judged) {
            // Ends whose sockets cannot be found: packets wait for a verdict on them all the same.
            let missed = missed_ends(key, &tracked);
            let known: Vec<Side> = tracked.ends.iter().map(|end| end.side).collect();
            tracked.ends.extend(missed.into_iter().filter(|end| !known.contains(&end.side)));
        }
        for end in &mut tracked.ends {
            self.enforce(end, &protection);
            // What was told as none because nothing was known, and is none: no change.
            if end.told.as_ref().is_some_and(|told| *told != protection) {
                self.write(end, RecordEvent::Change, &protection, Source::Observed, counters_now(end));
                end.told = Some(protection.clone());
            }
        }
        self.tracked.insert(key, tracked);
    }

    /// A socket was freed: its final counters are known.
    fn socket_ended(&mut self, socket: &Socket) {
        let Some(key) = self.by_cookie.remove(&socket.cookie) else { return };
        let Some(tracked) = self.tracked.get_mut(&key) else { return };
        let cookie = |end: &End| end.socket.map(|socket| socket.cookie);
        let Some(index) = tracked.ends.iter().position(|end| cookie(end) == Some(socket.cookie)) else { return };
        let end = tracked.ends.remove(index);
        let finished = tracked.ends.is_empty();
        let Some(flow) = self.flows.get(&key) else { return };
        let peer = match end.side {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        };
        let counters = if flow.has_fin(peer) { socket.counters.without_fin() } else { socket.counters };
        let protection = settled(flow.protection());
        self.write_end(&end, &protection, Source::Observed, counters);
        if finished {
            // All of its ends are recorded.
            self.tracked.remove(&key);
            self.forget(key);
        }
    }

    fn forget(&mut self, key: FlowKey) {
        let flow = self.flows.remove(&key);
        self.end_unseen(key, flow.as_ref());
        self.holding.answer_waiting(&key, Verdict::Drop);
    }

    /// Forgets a connection whose sockets' ends were not told, and records them by what the wire showed.
    fn end_unseen(&mut self, key: FlowKey, flow: Option<&Flow>) {
        let Some(mut tracked) = self.tracked.remove(&key) else { return };
        let mut ends = std::mem::take(&mut tracked.ends);
        if ends.is_empty() && tracked.closed.is_some() {
            ends = missed_ends(key, &tracked);
        }
        for end in ends {
            self.by_cookie.remove(&end.socket.map(|socket| socket.cookie).unwrap_or_default());
            let protection = settled(flow.map_or(Protection::Undetermined, Flow::protection));
            let counters = flow.map(|flow| counters_of(flow.bytes(), end.side)).unwrap_or_default();
            self.write_end(&end, &protection, Source::Observed, counters);
        }
    }

    fn switch(&mut self, on: bool) {
        if !on {
            self.end_interval(true);
        }
        let Shared { settings: MonitorSettings { context, sink, .. }, .. } = self.shared.as_ref();
        sink(context.switched(if on { RecordEvent::Enabled } else { RecordEvent::Disabled }).encode());
        self.recording = on;
        if self.intervals.is_some() {
            sink(switched(context, if on { SummaryEvent::Enabled } else { SummaryEvent::Disabled }).encode());
        }
    }

    /// Writes the summaries of the interval.
    fn end_interval(&mut self, last: bool) {
        let Shared { settings: MonitorSettings { context, sink, .. }, .. } = self.shared.as_ref();
        if let Some(intervals) = &mut self.intervals {
            intervals.end(context, Utc::now(), last).iter().for_each(|record| sink(record.encode()));
        }
    }

    fn tick(&mut self) {
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
        let keys: Vec<FlowKey> = self.tracked.keys().copied().collect();
        for key in keys {
            let Some(flow) = self.flows.get(&key) else { continue };
            let protection = flow.protection();
            let bytes = flow.bytes();
            let Some(mut tracked) = self.tracked.remove(&key) else { continue };
            if tracked.ends.is_empty() && tracked.closed.is_none() && tracked.opened.elapsed() > unanswered {
                self.flows.remove(&key);
                continue;
            }
            if tracked.closed.is_some_and(|closed| closed.elapsed() > END_WAIT) {
                // Sockets that were gone before they could be looked up: what the wire showed must do.
                let missed = if tracked.ends.is_empty() { missed_ends(key, &tracked) } else { Vec::new() };
                let ends: Vec<End> = tracked.ends.drain(..).chain(missed).collect();
                for end in ends {
                    // An end whose socket lives on (half closed by its program) ends when the socket does.
                    if end.socket.is_some_and(|socket| is_alive(&socket)) {
                        tracked.ends.push(end);
                        continue;
                    }
                    let counters = counters_of(bytes, end.side);
                    self.write_end(&end, &settled(protection.clone()), Source::Observed, counters);
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
            if !handshaking && tracked.closed.is_none() {
                for end in &mut tracked.ends {
                    self.initiate(end, &settled(protection.clone()), Source::Observed);
                }
            }
            self.tracked.insert(key, tracked);
        }
        let mut wrapped = std::mem::take(&mut self.wrapped);
        for (end, protection) in wrapped.values_mut() {
            self.initiate(end, protection, Source::Engine);
        }
        self.wrapped = wrapped;
        if self.flows.overflowed > 0 {
            self.shared.lost.fetch_add(std::mem::take(&mut self.flows.overflowed), Ordering::Relaxed);
        }
    }

    fn initiate(&mut self, end: &mut End, protection: &Protection, source: Source) {
        if end.told.is_some() || end.opened.elapsed() < INITIATION {
            return;
        }
        end.told = Some(protection.clone());
        self.write(end, RecordEvent::Initiation, protection, source, counters_now(end));
    }

    fn wrapped_established(&mut self, wrapped: Wrapped) {
        self.shared.observed.fetch_add(1, Ordering::Relaxed);
        let inode = wrapped.inode.unwrap_or_default();
        if inode != 0 && !self.jobs.keep(inode) {
            let _ = self.resolver.send(inode);
        }
        let mut end = End {
            side: match wrapped.direction {
                Direction::Outbound => Side::Client,
                Direction::Inbound => Side::Server,
            },
            endpoints: wrapped.endpoints,
            started: wrapped.started,
            opened: Instant::now(),
            id: wrapped.id.unwrap_or(ConnectionId(0)),
            socket: None,
            uid: wrapped.uid,
            inode,
            told: None,
            held: false,
            judged: false,
            refused: false,
            enforcement: None,
        };
        let protection = Protection::Tls(wrapped.handshake);
        self.enforce(&mut end, &protection);
        self.wrapped.insert(wrapped.number, (end, protection));
    }

    fn wrapped_ended(&mut self, number: u64, bytes_in: u64, bytes_out: u64) {
        let Some((end, protection)) = self.wrapped.remove(&number) else { return };
        let counters = Counters { bytes_in, bytes_out, ..Counters::default() };
        self.write_end(&end, &protection, Source::Engine, counters);
    }

    /// The job of an end. A short connection may end before the walk through /proc did; then its listener's counts, where that is
    /// known, and is asked for where it is not.
    fn jobname(&mut self, end: &End) -> String {
        if let Some(name) = self.jobs.get(end.inode) {
            return name.to_owned();
        }
        let listener = match end.side {
            Side::Server => socket::listener(end.endpoints.local).ok().flatten(),
            Side::Client => None,
        };
        let Some(listener) = listener else { return String::new() };
        if !self.jobs.keep(listener.inode) {
            let _ = self.resolver.send(listener.inode);
        }
        self.jobs.get(listener.inode).unwrap_or_default().to_owned()
    }

    fn write_end(&mut self, end: &End, protection: &Protection, source: Source, counters: Counters) {
        let event = if end.told.is_some() { RecordEvent::Termination } else { RecordEvent::ShortTermination };
        self.write(end, event, protection, source, counters);
    }

    fn write(&mut self, end: &End, event: RecordEvent, protection: &Protection, source: Source, counters: Counters) {
        if !self.recording {
            return;
        }
        let jobname = self.jobname(end);
        let facts = Facts {
            event,
            local: end.endpoints.local,
            remote: end.endpoints.remote,
            side: end.side,
            jobname,
            userid: end.uid.and_then(owner::userid).unwrap_or_default(),
            started: end.started,
            ended: Some(Utc::now()),
            id: end.id,
            counters,
            protection: protection.clone(),
            source,
            enforcement: end.enforcement.clone(),
        };
        let settings = &self.shared.settings;
        if let Some(history) = &settings.history {
            history(&facts);
        }
        let record = settings.context.record(facts);
        if let Some(intervals) = &mut self.intervals
            && !intervals.record(&record)
        {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
        (self.shared.settings.sink)(record.encode());
    }
}

/// What the wire showed of an end's bytes: the client's and the server's.
fn counters_of(bytes: (Option<u64>, Option<u64>), side: Side) -> Counters {
    let (sent, received) = match side {
        Side::Client => bytes,
        Side::Server => (bytes.1, bytes.0),
    };
    Counters { bytes_out: sent.unwrap_or_default(), bytes_in: received.unwrap_or_default(), ..Counters::default() }
}

/// What its socket has carried so far.
fn counters_now(end: &End) -> Counters {
    let found = end.socket.and_then(|_| socket::lookup(end.endpoints).ok().flatten());
    found.map(|socket| socket.counters).unwrap_or_default()
}

/// What an ended or initiated connection is recorded as: nothing determined means nothing protects it.
fn settled(protection: Protection) -> Protection {
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

fn endpoints(key: FlowKey, side: Side) -> Endpoints {
    match side {
        Side::Client => Endpoints { local: key.client, remote: key.server },
        Side::Server => Endpoints { local: key.server, remote: key.client },
    }
}

fn is_alive(socket: &Socket) -> bool {
    let found = socket::lookup(socket.endpoints).ok().flatten();
    found.is_some_and(|found| found.cookie == socket.cookie && found.state != State::TimeWait)
}

/// The local ends of a connection whose sockets were never found.
fn missed_ends(key: FlowKey, tracked: &Tracked) -> Vec<End> {
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
                side,
                endpoints,
                started: tracked.started,
                opened: tracked.opened,
                id: ConnectionId(0),
                socket: None,
                uid: listener.map(|listener| listener.uid),
                inode: listener.map_or(0, |listener| listener.inode),
                told: None,
                held: false,
                judged: false,
                refused: false,
                enforcement: None,
            }
        })
        .collect()
}

fn local_addresses() -> Vec<IpAddr> {
    let addresses = nix::ifaddrs::getifaddrs().into_iter().flatten().filter_map(|interface| interface.address);
    addresses
        .filter_map(|address| {
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .collect()
}
