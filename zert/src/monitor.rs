//! Watching the host: every new TCP connection, its protection, its end; enforcement; records.
//!
//! One task owns all state. Packets come from NFLOG, ends with their counters from sock_diag, the wrapped connections
//! from the AT-TLS engine through [`Monitor::established`] and [`Monitor::ended`].

mod associations;
mod connections;
mod end;
mod enforcement;
mod held;
mod intervals;
mod jobs;
mod messages;
mod records;
mod transfers;
mod wrapped;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use policies::{Direction, Policy};
use serde::Serialize;
use stack::socket::Ends;
use stack::{ConnectionId, Endpoints, StackError};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use self::associations::Associations;
use self::end::{End, Via};
use self::held::Holding;
use self::intervals::Intervals;
use self::jobs::{Ask, Found, Jobs};
use self::messages::Suppression;
use self::transfers::Transfers;
use crate::flow::{FlowKey, Flows};
use crate::hold::{self, Hold};
use crate::nflog::Packets;
use crate::nfqueue::Queued;
use crate::observer::{Observer, Protection, Side};
use crate::record::{AtTls, Facts, RecordContext, RecordType};
use crate::tls::Handshake;

const TICK: Duration = Duration::from_millis(200);
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
    /// Which records are written.
    pub types: BTreeSet<RecordType>,
    /// How long the intervals of summaries are: they end at multiples of it, in UTC.
    pub interval: Duration,
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
    heard: mpsc::Sender<Heard>,
}

/// What passed on a connection of the engine's.
struct Heard {
    number: u64,
    from: Side,
    bytes: Vec<u8>,
}

/// What waits of that; more is lost, and counted: who says more than can be read holds up nobody.
const MOST_HEARD: usize = 1024;

struct Shared {
    settings: MonitorSettings,
    policy: RwLock<Arc<Policy>>,
    observed: AtomicU64,
    reset: AtomicU64,
    logged: AtomicU64,
    suppressed: AtomicU64,
    lost: AtomicU64,
    older: AtomicU64,
    ipsec: AtomicBool,
    /// FTP was seen: of processes it is asked whom they descend from.
    ftp: Arc<AtomicBool>,
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
    /// Connections that were there before the observer: their protection is not known.
    pub older: u64,
    /// Whether the kernel has IPsec: without it no connection is said to be protected by it.
    pub ipsec: bool,
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
    /// What was negotiated; none while it is in clear text.
    pub handshake: Option<Handshake>,
    /// The rule it has, and what became of it.
    pub attls: AtTls,
}

enum Report {
    Established(Box<Wrapped>),
    Failed(Box<Wrapped>),
    Ended { number: u64, bytes_in: u64, bytes_out: u64, reason: String },
    Observe { observe: bool, done: oneshot::Sender<std::io::Result<()>> },
    Older { done: oneshot::Sender<()> },
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
        let summaries = settings.types.contains(&RecordType::ZertSummary);
        let intervals = summaries.then(|| Intervals::new(settings.interval, Utc::now()));
        let shared = Arc::new(Shared {
            settings,
            policy: RwLock::default(),
            observed: AtomicU64::new(0),
            reset: AtomicU64::new(0),
            logged: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            older: AtomicU64::new(0),
            ipsec: AtomicBool::new(false),
            ftp: Arc::default(),
        });
        let (sender, receiver) = mpsc::unbounded_channel();
        let (heard, hears) = mpsc::channel(MOST_HEARD);
        let (resolver, resolved) = jobs::start(Arc::clone(&shared.ftp));
        let holding = Holding::new(shared.settings.hold);
        let associations = Associations::new();
        shared.ipsec.store(associations.changes.is_some(), Ordering::Relaxed);
        let watch = Watch {
            shared: Arc::clone(&shared),
            flows: Flows::default(),
            tracked: HashMap::new(),
            by_cookie: HashMap::new(),
            wrapped: HashMap::new(),
            clear: HashMap::new(),
            jobs: Jobs::default(),
            resolver,
            intervals,
            suppression: Suppression::default(),
            holding,
            associations,
            transfers: Transfers::default(),
            waiting: HashSet::new(),
            recording: true,
            missed: None,
        };
        tokio::spawn(watch.run(ends, receiver, hears, resolved));
        Ok(Self { shared, wrapped: sender, heard })
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

    /// Records the connections that are up and that nobody has observed: to be called once packets of new ones come.
    pub async fn record_older(&self) {
        let (done, outcome) = oneshot::channel();
        let _ = self.wrapped.send(Report::Older { done });
        let _ = outcome.await;
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
            older: read(&shared.older),
            ipsec: shared.ipsec.load(Ordering::Relaxed),
        }
    }

    /// The engine carries a connection; called again when TLS begins on one that began in clear text.
    pub fn established(&self, wrapped: Wrapped) {
        // The task ends only with the process.
        let _ = self.wrapped.send(Report::Established(Box::new(wrapped)));
    }

    /// What passes on a connection of the engine's: in clear text, or of an FTP control connection, inside of TLS.
    pub fn heard(&self, number: u64, from: Side, bytes: Vec<u8>) {
        if self.heard.try_send(Heard { number, from, bytes }).is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A connection of the engine's never came to be carried.
    pub fn failed(&self, wrapped: Wrapped) {
        let _ = self.wrapped.send(Report::Failed(Box::new(wrapped)));
    }

    /// A connection that the engine carried ended, having carried this many bytes of clear text. `reason`: why it was cut; empty
    /// when it was closed.
    pub fn ended(&self, number: u64, bytes_in: u64, bytes_out: u64, reason: String) {
        let _ = self.wrapped.send(Report::Ended { number, bytes_in, bytes_out, reason });
    }
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
    /// Of them, those that are in clear text: as far as what is said tells what they are.
    clear: HashMap<u64, Observer>,
    jobs: Jobs,
    resolver: mpsc::UnboundedSender<Ask>,
    intervals: Option<Intervals>,
    suppression: Suppression,
    holding: Holding,
    associations: Associations,
    transfers: Transfers,
    /// Connections whose verdict waits for their owners.
    waiting: HashSet<Via>,
    recording: bool,
    /// When ends of sockets were missed: those that are not there any more have ended.
    missed: Option<Instant>,
}

impl Watch {
    async fn run(
        mut self,
        mut ends: Ends,
        mut reports: mpsc::UnboundedReceiver<Report>,
        mut heard: mpsc::Receiver<Heard>,
        mut resolved: mpsc::UnboundedReceiver<Found>,
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
                    Some(Report::Failed(wrapped)) => self.wrapped_failed(*wrapped),
                    Some(Report::Ended { number, bytes_in, bytes_out, reason }) => {
                        self.wrapped_ended(number, bytes_in, bytes_out, reason);
                    }
                    Some(Report::Observe { observe, done }) => {
                        packets = None;
                        let subscribed = if observe { Packets::subscribe(self.shared.settings.group).map(Some) } else { Ok(None) };
                        let bound = self.holding.observe(observe).await;
                        // Nobody waits for it any more: whoever asked has ended.
                        let _ = done.send(subscribed.map(|subscribed| packets = subscribed).and(bound));
                    }
                    Some(Report::Older { done }) => {
                        self.find_older();
                        let _ = done.send(());
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
                () = self.associations.changed() => {}
                Some(Heard { number, from, bytes }) = heard.recv() => self.wrapped_heard(number, from, &bytes),
                Some(found) = resolved.recv() => {
                    self.jobs.extend(found);
                    self.judge_waiting();
                }
                found = next_packets => match found {
                    Ok(found) => found.iter().for_each(|packet| self.packet(packet)),
                    Err(error) => self.count_loss("packets", &error),
                },
                found = ends.next() => match found {
                    Ok(found) => found.iter().for_each(|socket| self.socket_ended(socket)),
                    Err(error) => {
                        self.count_loss("ends of connections", &error);
                        self.missed = Some(Instant::now());
                    }
                },
            }
        }
    }

    fn count_loss(&self, what: &str, error: &std::io::Error) {
        self.shared.lost.fetch_add(1, Ordering::Relaxed);
        warn!(%error, "zERT lost {what}");
    }
}
