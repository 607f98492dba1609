//! The connections the engine carries, for displays and records.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use policies::Direction;
use policies::parameters::Role;
use serde::{Serialize, Serializer};
use stack::{ConnectionId, Endpoints, Socket};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::control::Orders;
use crate::relay::Traffic;
use crate::secondary::Lent;
use crate::sync::lock;

/// Ended connections that displays still show.
const REMEMBERED: usize = 1000;

/// What became of a connection.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub enum SessionState {
    /// It is being relayed.
    Active,
    /// Both ends closed it in order.
    Closed,
    /// It was cut, and why.
    Failed(String),
}

/// What was negotiated for a connection.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Negotiated {
    /// Wire number, 0x0303 or 0x0304.
    pub version: u16,
    /// IANA number of the suite.
    pub suite: u16,
    /// IANA number of the group; none for a TLS 1.2 resumption.
    pub group: Option<u16>,
    /// Whether a cached session was resumed.
    pub resumed: bool,
    /// Whether this host played the client.
    pub client: bool,
    /// Whether version, suite and group are FIPS 140-3 approved and come from the module.
    pub fips: bool,
    /// The user the client's certificate stands for (`ClientAuthType SAFCheck`).
    pub user: Option<String>,
    /// The peer's certificate chain, DER, end entity first; empty when it sent none.
    #[serde(skip)]
    pub peer_certificates: Vec<Vec<u8>>,
}

/// A connection the engine carries or carried.
#[derive(Debug, Serialize)]
pub struct Session {
    /// Its number here, counting up.
    pub number: u64,
    /// The program's socket, when it could be found.
    pub id: Option<ConnectionId>,
    /// Its ends as the program and the peer know them.
    pub endpoints: Endpoints,
    /// Who opened it.
    pub direction: Direction,
    /// Uid of the program's socket, when it could be found.
    pub uid: Option<u32>,
    /// Inode of the program's socket, or of its listener.
    pub inode: Option<u32>,
    /// The AT-TLS rule.
    pub rule: String,
    /// Its environment action.
    pub environment: String,
    /// The ends as the program's socket has them.
    #[serde(skip)]
    pub(crate) program: Option<Endpoints>,
    #[serde(serialize_with = "as_negotiated")]
    pub(crate) negotiated: ArcSwapOption<Negotiated>,
    /// Its rule's `Trace`.
    #[serde(skip)]
    pub(crate) trace: u32,
    /// Whether it has the rule of another connection of its program (`SecondaryMap On`).
    pub secondary: bool,
    /// What secondary connections have from it, until it begins.
    #[serde(skip)]
    pub(crate) lends: Option<Lent>,
    /// The primary one's ends, where it is a secondary one.
    #[serde(skip)]
    pub(crate) primary: Option<Endpoints>,
    /// The role TLS has or would have; none where the rule is off.
    #[serde(skip)]
    pub security: Option<Role>,
    /// The way to its relay, where the program controls TLS.
    #[serde(skip)]
    pub(crate) orders: Option<Orders>,
    /// When it was accepted.
    #[serde(serialize_with = "as_seconds")]
    pub started: SystemTime,
    /// What passed.
    #[serde(flatten)]
    pub traffic: Traffic,
    #[serde(serialize_with = "as_state")]
    state: Mutex<SessionState>,
}

impl Session {
    /// The local port that a client's user has to be permitted: the primary connection's, those of secondary ones are anything.
    pub(crate) fn checked_port(&self) -> u16 {
        self.primary.unwrap_or(self.endpoints).local.port()
    }

    pub(crate) fn new(
        number: u64,
        endpoints: Endpoints,
        direction: Direction,
        rule: String,
        environment: String,
        started: SystemTime,
    ) -> Self {
        Self {
            number,
            id: None,
            endpoints,
            direction,
            uid: None,
            inode: None,
            rule,
            environment,
            program: None,
            negotiated: ArcSwapOption::empty(),
            trace: 0,
            secondary: false,
            lends: None,
            primary: None,
            security: None,
            orders: None,
            started,
            traffic: Traffic::default(),
            state: Mutex::new(SessionState::Active),
        }
    }

    /// Takes note of the program's socket.
    pub(crate) fn found(&mut self, socket: Option<Socket>) {
        self.id = socket.map(|socket| socket.id());
        self.uid = socket.map(|socket| socket.uid);
        self.inode = socket.map(|socket| socket.inode);
    }

    /// Whether its program says when TLS begins (`ApplicationControlled On`).
    #[must_use]
    pub fn is_controlled(&self) -> bool {
        self.orders.is_some()
    }

    /// What was negotiated; none in clear text: a rule that is off or does not match, a program that has not started TLS.
    #[must_use]
    pub fn negotiated(&self) -> Option<Arc<Negotiated>> {
        self.negotiated.load_full()
    }

    /// What became of it.
    #[must_use]
    pub fn state(&self) -> SessionState {
        lock(&self.state).clone()
    }
}

fn as_seconds<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs())
}

fn as_negotiated<S: Serializer>(negotiated: &ArcSwapOption<Negotiated>, serializer: S) -> Result<S::Ok, S::Error> {
    negotiated.load().as_deref().serialize(serializer)
}

fn as_state<S: Serializer>(state: &Mutex<SessionState>, serializer: S) -> Result<S::Ok, S::Error> {
    lock(state).serialize(serializer)
}

/// Hears what becomes of connections. Called on the engine's threads: it must not block.
pub trait Observer: Send + Sync {
    /// A connection is carried. Called again when TLS begins on one that began in clear text.
    fn established(&self, session: &Arc<Session>);
    /// The connection ended with its handshake, which failed or never began; it may have been carried in clear text before.
    fn failed(&self, session: &Arc<Session>);
    /// What passes between the program and the engine: the first of what the peer says and hears in clear text too, and all of an
    /// FTP control connection (`Negotiate ftp`).
    fn heard(&self, session: &Session, from_client: bool, bytes: &[u8]);
    /// A connection that was carried ended.
    fn ended(&self, session: &Arc<Session>);
}

/// All connections, active ones and the last ended ones.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    next: AtomicU64,
    active: Mutex<BTreeMap<u64, Arc<Session>>>,
    ended: Mutex<VecDeque<Arc<Session>>>,
    begun: Notify,
}

impl Registry {
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn begin(&self, session: Session) -> Arc<Session> {
        let session = Arc::new(session);
        lock(&self.active).insert(session.number, Arc::clone(&session));
        self.begun.notify_waiters();
        session
    }

    pub(crate) fn end(&self, session: &Arc<Session>, state: SessionState) {
        *lock(&session.state) = state;
        lock(&self.active).remove(&session.number);
        let mut ended = lock(&self.ended);
        if ended.len() == REMEMBERED {
            ended.pop_front();
        }
        ended.push_back(Arc::clone(session));
    }

    pub(crate) fn sessions(&self) -> Vec<Arc<Session>> {
        let ended: Vec<_> = lock(&self.ended).iter().cloned().collect();
        let mut sessions: Vec<_> = ended.into_iter().chain(lock(&self.active).values().cloned()).collect();
        sessions.sort_by_key(|session| session.number);
        sessions.dedup_by_key(|session| session.number);
        sessions
    }

    /// Waits for the next connection to begin.
    pub(crate) fn begun(&self) -> Notified<'_> {
        self.begun.notified()
    }

    /// The active connection with these ends, as its program sees them.
    pub(crate) fn of_program(&self, ends: Endpoints) -> Option<Arc<Session>> {
        lock(&self.active).values().find(|session| session.program == Some(ends)).cloned()
    }

    pub(crate) fn active(&self) -> usize {
        lock(&self.active).len()
    }
}
