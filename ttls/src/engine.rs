//! The engine: listeners, the installed policy, and the life of each captured connection.
//!
//! A connection takes the installed policy once, when it is accepted, and keeps it: a refresh changes new connections
//! only.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use keyrings::{Ring, RingLocation};
use nix::unistd::User;
use policies::parameters::{Password, SecurityParameters};
use policies::{Connection, Direction, Policy, TtlsRule};
use serde::Serialize;
use socket2::{SockAddr, SockRef};
use stack::{Endpoints, State, owner, socket};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::RwLock;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use tracing::{debug, info, warn};

use crate::capture::{Observation, Ruleset};
use crate::environment::{Environment, Handshake, Key};
use crate::error::{ConnectionError, InstallError};
use crate::install::{Kernel, has_table};
use crate::marks::Marks;
use crate::registry::{Negotiated, Observer, Registry, Session, SessionState};
use crate::relay::{Counted, Network, abort, relay};
use crate::sockets::{
    canonical, check_port_protection, dial_network, dial_program, inbound_listener, outbound_listeners,
};

/// How the engine is set up; fixed while it runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where redirected outbound connections arrive, on loopback.
    pub outbound_port: u16,
    /// Where inbound connections arrive.
    pub inbound_port: u16,
    /// The engine's marks.
    pub marks: Marks,
    /// The routing table for marked packets.
    pub route_table: u32,
    /// The folder of named key rings.
    pub rings: PathBuf,
    /// The owner of rings named without one.
    pub ring_owner: String,
    /// Where the last ruleset is kept for the boot unit.
    pub boot_file: PathBuf,
    /// The zERT observer's share of the ruleset.
    pub observation: Option<Observation>,
}

/// The data plane.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "an observer need not have it")]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    installed: ArcSwap<Installed>,
    /// Held while engine and kernel change.
    installing: RwLock<()>,
    registry: Registry,
    observer: Arc<dyn Observer>,
}

/// A policy with its environments.
#[derive(Default)]
struct Installed {
    /// Whether it was ever installed. Before, the kernel may hold the rules of an earlier run: what they capture is
    /// refused, not relayed.
    in_force: bool,
    /// The capture table that belongs to it.
    ruleset: String,
    policy: Arc<Policy>,
    environments: HashMap<String, Arc<Environment>>,
}

/// A policy that is ready to be installed: every ring is read, every configuration made.
#[must_use]
#[allow(missing_debug_implementations, reason = "it holds keys")]
pub struct Prepared {
    installed: Installed,
}

/// The handshake counts of a rule's environment.
#[derive(Clone, Debug, Serialize)]
pub struct EnvironmentStatus {
    /// The rule.
    pub rule: String,
    /// Its environment action.
    pub environment: String,
    /// Full handshakes.
    pub full: u64,
    /// Resumed handshakes.
    pub resumed: u64,
}

impl Engine {
    /// Opens the capture ports and prepares the kernel; captures nothing until a policy is installed.
    ///
    /// # Errors
    ///
    /// When a port is taken or unprotected, or the kernel cannot be prepared.
    pub fn start(settings: Settings, observer: Arc<dyn Observer>) -> Result<Self, InstallError> {
        check_port_protection(settings.outbound_port)?;
        let taken = |port| move |source| InstallError::PortTaken { port, source };
        let outbound = outbound_listeners(settings.outbound_port).map_err(taken(settings.outbound_port))?;
        let inbound = inbound_listener(&settings).map_err(taken(settings.inbound_port))?;
        kernel(&settings).prepare(&ruleset(&settings).hold())?;
        kernel(&settings).restore()?;
        let shared = Arc::new(Shared {
            settings,
            installed: ArcSwap::default(),
            installing: RwLock::new(()),
            registry: Registry::default(),
            observer,
        });
        for listener in outbound {
            tokio::spawn(accept(Arc::clone(&shared), listener, Direction::Outbound));
        }
        tokio::spawn(accept(Arc::clone(&shared), inbound, Direction::Inbound));
        Ok(Self { shared })
    }

    /// Reads the rings of a policy and makes its configurations. Environments whose parameters and ring are unchanged
    /// are taken over with their caches.
    ///
    /// # Errors
    ///
    /// Every problem of every rule; nothing has changed then.
    pub fn prepare(&self, policy: Arc<Policy>) -> Result<Prepared, Vec<InstallError>> {
        let settings = &self.shared.settings;
        let current = self.shared.installed.load();
        let mut known: HashMap<Key, Arc<Environment>> =
            current.environments.values().map(|one| (one.key.clone(), Arc::clone(one))).collect();
        let mut environments = HashMap::new();
        // Rules with the same actions share their parameters, and with them the environment: rings are read once.
        let mut made: HashMap<*const SecurityParameters, Arc<Environment>> = HashMap::new();
        let mut errors = Vec::new();
        for rule in &policy.ttls {
            let Some(parameters) = &rule.security else { continue };
            let found = match made.get(&Arc::as_ptr(parameters)) {
                Some(found) => Ok(Arc::clone(found)),
                None => environment(rule, parameters, settings, &mut known),
            };
            match found {
                Ok(found) => {
                    made.insert(Arc::as_ptr(parameters), Arc::clone(&found));
                    environments.insert(rule.name.clone(), found);
                }
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let ruleset = ruleset(settings).text(&policy, &|userid| {
            let user = User::from_name(&userid.to_ascii_lowercase()).ok().flatten()?;
            Some(user.uid.as_raw())
        });
        Ok(Prepared { installed: Installed { in_force: true, ruleset, policy, environments } })
    }

    /// Puts a prepared policy in force, in the engine and in the kernel.
    ///
    /// # Errors
    ///
    /// When the kernel does not take the rules; the old policy is then still in force.
    ///
    /// # Panics
    ///
    /// On a thread that runs asynchronous tasks: it waits for nft.
    pub fn install(&self, prepared: Prepared) -> Result<(), InstallError> {
        let Shared { settings, installed, installing, .. } = self.shared.as_ref();
        // Connections accepted meanwhile wait: engine and kernel change together or not at all.
        let _waiting = installing.blocking_write();
        kernel(settings).replace(&prepared.installed.ruleset, &ruleset(settings).hold())?;
        installed.store(Arc::new(prepared.installed));
        Ok(())
    }

    /// Puts the capture rules back if somebody removed them; says whether they were gone.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be asked or does not take them.
    pub fn repair(&self) -> Result<bool, InstallError> {
        let Shared { settings, installed, .. } = self.shared.as_ref();
        let current = installed.load_full();
        if !current.in_force {
            return kernel(settings).restore();
        }
        if has_table("pagent")? {
            return Ok(false);
        }
        let hold = ruleset(settings).hold();
        kernel(settings).prepare(&hold)?;
        kernel(settings).replace(&current.ruleset, &hold)?;
        Ok(true)
    }

    /// Whether a policy captures connections: the one in force, or before there is one the last run's.
    #[must_use]
    pub fn captures(&self) -> bool {
        let Shared { settings, installed, .. } = self.shared.as_ref();
        let current = installed.load();
        if current.in_force { !current.policy.ttls.is_empty() } else { kernel(settings).captured_before() }
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.shared.installed.load().policy)
    }

    /// Active connections and the last ended ones, oldest first.
    #[must_use]
    pub fn sessions(&self) -> Vec<Arc<Session>> {
        self.shared.registry.sessions()
    }

    /// How many connections are being relayed.
    #[must_use]
    pub fn active(&self) -> usize {
        self.shared.registry.active()
    }

    /// Handshakes by rule.
    #[must_use]
    pub fn environments(&self) -> Vec<EnvironmentStatus> {
        let installed = self.shared.installed.load();
        let mut list: Vec<EnvironmentStatus> = installed
            .environments
            .iter()
            .map(|(rule, environment)| {
                let (full, resumed) = environment.handshakes();
                let environment = environment.key.parameters.environment.clone();
                EnvironmentStatus { rule: rule.clone(), environment, full, resumed }
            })
            .collect();
        list.sort_by(|a, b| a.rule.cmp(&b.rule));
        list
    }
}

fn ruleset(settings: &Settings) -> Ruleset {
    Ruleset {
        outbound_port: settings.outbound_port,
        inbound_port: settings.inbound_port,
        marks: settings.marks,
        observation: settings.observation,
    }
}

fn kernel(settings: &Settings) -> Kernel {
    Kernel { boot_file: settings.boot_file.clone(), route_table: settings.route_table, marks: settings.marks }
}

/// The environment of a rule's parameters, taken over when it is known.
fn environment(
    rule: &TtlsRule,
    parameters: &SecurityParameters,
    settings: &Settings,
    known: &mut HashMap<Key, Arc<Environment>>,
) -> Result<Arc<Environment>, InstallError> {
    let keyring = |source| InstallError::Keyring {
        rule: rule.name.clone(),
        environment: parameters.environment.clone(),
        source: Box::new(source),
    };
    let location =
        RingLocation::resolve(&parameters.keyring, &settings.rings, &settings.ring_owner).map_err(keyring)?;
    let ring = Ring::load(&location, parameters.keyring_password.as_ref().map(Password::reveal)).map_err(keyring)?;
    let key = Key { parameters: parameters.clone(), ring: ring.fingerprint() };
    if let Some(found) = known.get(&key) {
        return Ok(Arc::clone(found));
    }
    let made = Arc::new(Environment::new(rule, key.clone(), &location, &ring)?);
    known.insert(key, Arc::clone(&made));
    Ok(made)
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, direction: Direction) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let work = Captured { shared, stream, peer: canonical(peer), direction };
                    work.serve().await;
                });
            }
            Err(error) => {
                // Out of descriptors or memory: connections wait in the backlog until some are free again.
                warn!(%error, %direction, "no connection can be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// A connection the kernel handed over.
struct Captured {
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    direction: Direction,
}

impl Captured {
    async fn serve(self) {
        let started = SystemTime::now();
        let installed = {
            let _unchanged = self.shared.installing.read().await;
            self.shared.installed.load_full()
        };
        let captured = if installed.in_force { self.endpoints() } else { Err(ConnectionError::NoPolicy) };
        let endpoints = match captured {
            Ok(endpoints) => endpoints,
            Err(error) => {
                debug!(peer = %self.peer, %error, "connection refused");
                return abort(&self.stream);
            }
        };
        let _ = self.stream.set_nodelay(true);
        let _ = SockRef::from(&self.stream).set_keepalive(true);
        let rule = match self.rule(&installed.policy, endpoints).await {
            Ok(rule) => rule,
            Err(error) => {
                warn!(local = %endpoints.local, remote = %endpoints.remote, %error, "connection refused");
                return abort(&self.stream);
            }
        };
        let environment = rule.as_ref().and_then(|rule| installed.environments.get(&rule.name)).cloned();
        let shared = Arc::clone(&self.shared);
        let session = Session::new(
            shared.registry.number(),
            endpoints,
            self.direction,
            rule.as_ref().map(|rule| rule.name.clone()).unwrap_or_default(),
            environment.as_ref().map(|found| found.key.parameters.environment.clone()).unwrap_or_default(),
            started,
        );
        match self.direction {
            Direction::Outbound => self.outbound(session, environment).await,
            Direction::Inbound => self.inbound(session, environment).await,
        }
    }

    /// The ends of the connection as program and peer know them.
    fn endpoints(&self) -> Result<Endpoints, ConnectionError> {
        let socket = SockRef::from(&self.stream);
        match self.direction {
            Direction::Inbound => {
                let local = canonical(self.stream.local_addr().map_err(|_| ConnectionError::NotCaptured)?);
                if local.port() == self.shared.settings.inbound_port {
                    return Err(ConnectionError::NotCaptured);
                }
                Ok(Endpoints { local, remote: self.peer })
            }
            Direction::Outbound => {
                let original = if self.peer.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
                let remote = original.ok().as_ref().and_then(SockAddr::as_socket).map(canonical);
                let remote = remote.filter(|remote| {
                    !(remote.ip().is_loopback() && remote.port() == self.shared.settings.outbound_port)
                });
                Ok(Endpoints { local: self.peer, remote: remote.ok_or(ConnectionError::NotCaptured)? })
            }
        }
    }

    async fn rule(&self, policy: &Policy, endpoints: Endpoints) -> Result<Option<Arc<TtlsRule>>, ConnectionError> {
        let mut connection = Connection {
            local: endpoints.local,
            remote: endpoints.remote,
            direction: self.direction,
            jobname: None,
            userid: None,
        };
        let now = chrono::Local::now().fixed_offset();
        if policy.asks_for_owner(&connection, now) {
            // A rule that would have matched the owner must not be missed: an owner that cannot be told is refused.
            // A program that closed at once leaves a socket without inode and uid.
            let unknown = || ConnectionError::OwnerUnknown(stack::StackError::Malformed { what: "a socket's owner" });
            let socket = self.owner(endpoints).map_err(ConnectionError::OwnerUnknown)?;
            let socket = socket.filter(|socket| socket.inode != 0).ok_or_else(unknown)?;
            connection.userid = owner::lookup_userid(socket.uid).map_err(ConnectionError::OwnerUnknown)?;
            if policy.ttls.iter().any(|rule| rule.conditions.jobname.as_ref().is_some_and(|name| !name.is_any())) {
                let owners = tokio::task::spawn_blocking(move || owner::of_inodes(&[socket.inode])).await;
                let found = owners.ok().and_then(|mut owners| owners.remove(&socket.inode));
                connection.jobname = Some(found.ok_or_else(unknown)?.jobname);
            }
        }
        Ok(policy.ttls_rule(&connection, now).cloned())
    }

    /// The program's socket: its end of an outbound connection, its listener for an inbound one.
    fn owner(&self, endpoints: Endpoints) -> Result<Option<socket::Socket>, stack::StackError> {
        match self.direction {
            Direction::Outbound => socket::lookup(endpoints),
            Direction::Inbound => socket::listener(endpoints.local),
        }
    }

    /// Program first, network second: dial the destination, shake hands there, relay.
    async fn outbound(self, mut session: Session, environment: Option<Arc<Environment>>) {
        let endpoints = session.endpoints;
        let found = socket::lookup(endpoints).ok().flatten().filter(|socket| socket.state != State::Listen);
        let shared = Arc::clone(&self.shared);
        session.id = found.map(|socket| socket.id());
        session.uid = found.map(|socket| socket.uid);
        session.inode = found.map(|socket| socket.inode);
        let network = match dial_network(&shared.settings, endpoints).await {
            Ok(network) => network,
            Err(error) => return fail(&shared, session, &self.stream, &ConnectionError::Unreachable(error)),
        };
        let network = match shake_hands(network, environment.as_deref(), endpoints.remote, &mut session).await {
            Ok(network) => network,
            Err(error) => return fail(&shared, session, &self.stream, &error),
        };
        carry(&shared, session, self.stream, network).await;
    }

    /// Network first, program second: shake hands with the peer, then connect to the program from the peer's address.
    async fn inbound(self, mut session: Session, environment: Option<Arc<Environment>>) {
        let endpoints = session.endpoints;
        let shared = Arc::clone(&self.shared);
        let found = socket::listener(endpoints.local).ok().flatten();
        session.uid = found.map(|socket| socket.uid);
        session.inode = found.map(|socket| socket.inode);
        let network = match shake_hands(self.stream, environment.as_deref(), endpoints.remote, &mut session).await {
            Ok(network) => network,
            Err(error) => {
                return record_failure(&shared, session, &error);
            }
        };
        let program = match dial_program(&shared.settings, endpoints).await {
            Ok(program) => program,
            Err(error) => {
                let error = ConnectionError::ProgramUnreachable(error);
                return fail(&shared, session, network.as_ref(), &error);
            }
        };
        let ours = program.local_addr().map(canonical);
        let seen_by_program = ours.map(|ours| Endpoints { local: endpoints.local, remote: ours });
        let found = seen_by_program.ok().and_then(|ends| socket::lookup(ends).ok().flatten());
        session.id = found.map(|socket| socket.id());
        carry(&shared, session, program, network).await;
    }
}

/// Shakes hands as the environment says; without one the stream passes unchanged. A failed handshake resets the stream.
async fn shake_hands(
    stream: TcpStream,
    environment: Option<&Environment>,
    destination: SocketAddr,
    session: &mut Session,
) -> Result<Network, ConnectionError> {
    let Some(environment) = environment else { return Ok(Network::Unchanged(stream)) };
    let seconds = environment.key.parameters.handshake_timeout;
    let handshake = async {
        match environment.handshake(destination) {
            Handshake::Client(config, name) => {
                let connect = TlsConnector::from(config).connect(name, stream).into_fallible();
                connect.await.map(TlsStream::from)
            }
            Handshake::Server(config) => {
                TlsAcceptor::from(config).accept(stream).into_fallible().await.map(TlsStream::from)
            }
        }
    };
    let limit =
        if seconds == 0 { Duration::from_secs(u64::from(u32::MAX)) } else { Duration::from_secs(seconds.into()) };
    let stream = match tokio::time::timeout(limit, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err((error, _stream))) => return Err(ConnectionError::Handshake(error)),
        Err(_) => return Err(ConnectionError::HandshakeTimeout(seconds)),
    };
    let state = stream.get_ref().1;
    let resumed = state.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
    environment.count(resumed);
    session.negotiated = Some(Negotiated {
        version: state.protocol_version().map(u16::from).unwrap_or_default(),
        suite: state.negotiated_cipher_suite().map(|suite| u16::from(suite.suite())).unwrap_or_default(),
        group: state.negotiated_key_exchange_group().map(|group| u16::from(group.name())),
        resumed,
        client: matches!(stream, TlsStream::Client(_)),
        peer_certificates: state
            .peer_certificates()
            .map(|chain| chain.iter().map(|certificate| certificate.to_vec()).collect())
            .unwrap_or_default(),
    });
    Ok(Network::Tls(Box::new(stream)))
}

/// Relays a session to its end.
async fn carry(shared: &Shared, session: Session, program: TcpStream, mut network: Network) {
    let session = shared.registry.begin(session);
    let wrapped = session.negotiated.is_some();
    if wrapped {
        shared.observer.established(&session);
    }
    debug!(
        rule = session.rule,
        local = %session.endpoints.local,
        remote = %session.endpoints.remote,
        direction = %session.direction,
        resumed = session.negotiated.as_ref().is_some_and(|negotiated| negotiated.resumed),
        "EZD1281I TTLS Map"
    );
    let mut program =
        Counted { stream: program, bytes_in: Arc::clone(&session.bytes_in), bytes_out: Arc::clone(&session.bytes_out) };
    let state = match relay(&mut program, &mut network).await {
        Ok(()) => SessionState::Closed,
        Err(error) => {
            debug!(rule = session.rule, remote = %session.endpoints.remote, %error, "connection ended");
            SessionState::Failed(error.to_string())
        }
    };
    shared.registry.end(&session, state);
    if wrapped {
        shared.observer.ended(&session);
    }
}

/// Ends a session that never got to its relay; the other side is reset.
fn fail(shared: &Shared, session: Session, other: &TcpStream, error: &ConnectionError) {
    abort(other);
    record_failure(shared, session, error);
}

/// Notes a session whose handshake failed or never began.
fn record_failure(shared: &Shared, session: Session, error: &ConnectionError) {
    report(&session, error);
    let session = shared.registry.begin(session);
    shared.registry.end(&session, SessionState::Failed(error.to_string()));
    if !session.environment.is_empty() {
        shared.observer.failed(&session);
    }
}

fn report(session: &Session, error: &ConnectionError) {
    let Endpoints { local, remote } = session.endpoints;
    info!(
        "EZD1286I TTLS Error CONNID: {} LOCAL: {}..{} REMOTE: {}..{} RULE: {} RC: {} Initial Handshake: {error}",
        session.id.map_or_else(|| "00000000".to_owned(), |id| id.to_string()),
        local.ip(),
        local.port(),
        remote.ip(),
        remote.port(),
        session.rule,
        error.return_code(),
    );
}
