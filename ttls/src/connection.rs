//! The life of a connection the engine carries: whose it is, its rule, its two legs, its end.
//!
//! A connection takes the installed policy once, when it is accepted, and keeps it: a refresh changes new connections
//! only.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use policies::parameters::{Protocol, Role};
use policies::{Connection, Direction, Policy, TtlsRule, cipher, group};
use socket2::{SockAddr, SockRef};
use stack::{Endpoints, State, owner, socket};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use crate::control::{Control, Orders};
use crate::controlled::{carry_out, has_read_all};
use crate::engine::{Installed, Shared};
use crate::environment::Environment;
use crate::error::ConnectionError;
use crate::handover::Captured;
use crate::handshake::{COMPLETION, shake_hands};
use crate::limits::admit;
use crate::listener::Listener;
use crate::negotiate;
use crate::network::Network;
use crate::registry::{Negotiated, Session, SessionState};
use crate::relay::{Stop, Ways, abort, relay};
use crate::secondary::{Lent, hold, primary_of, release};
use crate::sockets::{canonical, dial, dial_network, dial_program};
use crate::trace;

/// How a connection came to the engine.
#[derive(Clone, Debug)]
pub(crate) enum Arrival {
    /// A local program's, redirected by the kernel.
    Redirected,
    /// From the network, handed over by the kernel.
    HandedOver,
    /// To an explicit listener.
    Explicit(Arc<Listener>),
}

/// Takes connections for as long as the engine runs.
pub(crate) async fn accept(shared: Arc<Shared>, listener: Arc<TcpListener>, arrival: Arrival) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let arrived = Arrived::new(&shared, stream, canonical(peer), arrival.clone());
                tokio::spawn(arrived.serve());
            }
            Err(error) => {
                // Out of descriptors or memory: connections wait in the backlog until some are free again.
                warn!(%error, "no connection can be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// A connection that was accepted.
pub(crate) struct Arrived {
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    arrival: Arrival,
    started: SystemTime,
    underway: Underway,
}

/// Counts a connection for as long as it is here.
struct Underway(Arc<Shared>);

impl Underway {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.underway.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.underway.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What is to be done with it.
struct Treatment {
    /// Its ends as program and peer know them.
    endpoints: Endpoints,
    direction: Direction,
    rule: Option<Arc<TtlsRule>>,
    environment: Option<Arc<Environment>>,
    /// The peer of the primary connection that it has both from.
    primary: Option<Endpoints>,
}

impl Treatment {
    fn secondary(endpoints: Endpoints, direction: Direction, lent: Lent) -> Self {
        let Lent { rule, environment, primary } = lent;
        Self { endpoints, direction, rule: Some(rule), environment: Some(environment), primary: Some(primary) }
    }
}

impl Arrived {
    pub(crate) fn new(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr, arrival: Arrival) -> Self {
        let (started, underway) = (SystemTime::now(), Underway::new(shared));
        Self { shared: Arc::clone(shared), stream, peer, arrival, started, underway }
    }

    async fn serve(self) {
        let installed = {
            let _unchanged = self.shared.installing.read().await;
            self.shared.installed.load_full()
        };
        match self.treatment(&installed).await {
            Ok(Some(treatment)) => self.treat(treatment).await,
            Ok(None) => {}
            Err(error) => self.refuse(&error),
        }
    }

    /// Serves it, in a task of its own, if it is a secondary connection; says whether it was or may have been one.
    pub(crate) async fn serve_secondary(self) -> bool {
        let secondary = async {
            let (endpoints, direction) = match &self.arrival {
                Arrival::Redirected => (self.redirected_endpoints()?, Direction::Outbound),
                Arrival::HandedOver | Arrival::Explicit(_) => (self.handed_over_endpoints()?, Direction::Inbound),
            };
            let found = primary_of(&self.shared, endpoints, direction).await?;
            Ok(found.map(|lent| Treatment::secondary(endpoints, direction, lent)))
        };
        match secondary.await {
            Ok(Some(treatment)) => drop(tokio::spawn(self.treat(treatment))),
            Ok(None) => return false,
            Err(error) => self.refuse(&error),
        }
        true
    }

    fn refuse(&self, error: &ConnectionError) {
        match error {
            ConnectionError::NoPolicy | ConnectionError::NotCaptured | ConnectionError::Gone => {
                debug!(peer = %self.peer, %error, "connection refused");
            }
            error => warn!(peer = %self.peer, %error, "connection refused"),
        }
        abort(&self.stream);
    }

    async fn treat(self, treatment: Treatment) {
        let Treatment { endpoints, direction, rule, environment, primary } = treatment;
        let mut session = Session::new(
            self.shared.registry.number(),
            endpoints,
            direction,
            rule.as_ref().map(|rule| rule.name.clone()).unwrap_or_default(),
            environment.as_ref().map(|found| found.key.parameters.environment.clone()).unwrap_or_default(),
            self.started,
        );
        session.secondary = primary.is_some();
        session.primary = primary;
        let captured = !matches!(self.arrival, Arrival::Explicit(_));
        session.lends = match (&rule, &environment) {
            (Some(rule), Some(environment)) if captured && !session.secondary && environment.lends() => {
                Some(Lent { rule: Arc::clone(rule), environment: Arc::clone(environment), primary: endpoints })
            }
            _ => None,
        };
        session.security = environment.as_ref().map(|found| found.key.parameters.role);
        session.trace = environment.as_ref().map_or(trace::DEFAULT, |environment| environment.key.parameters.trace);
        let _place = match environment.as_ref().map(admit).transpose() {
            Ok(place) => place,
            Err(error) => return fail(&self.shared, session, &self.stream, &error),
        };
        match direction {
            Direction::Outbound => self.outbound(session, rule.as_deref(), environment).await,
            Direction::Inbound => self.inbound(session, rule.as_deref(), environment).await,
        }
    }

    /// None: it is a secondary connection of a process that was taken over from, which has it now.
    async fn treatment(&self, installed: &Installed) -> Result<Option<Treatment>, ConnectionError> {
        if !installed.in_force {
            return Err(ConnectionError::NoPolicy);
        }
        let environment = |rule: &Arc<TtlsRule>| installed.environments.get(&rule.name).cloned();
        let (endpoints, direction) = match &self.arrival {
            Arrival::Redirected => (self.redirected_endpoints()?, Direction::Outbound),
            Arrival::HandedOver => (self.handed_over_endpoints()?, Direction::Inbound),
            Arrival::Explicit(listener) => {
                // Installation has seen to it that the rule is there.
                let rule = installed.policy.ttls.iter().find(|rule| rule.name == listener.rule);
                let rule = rule.ok_or_else(|| ConnectionError::RuleMissing(listener.rule.clone()))?;
                let environment = environment(rule);
                let client = environment.as_ref().is_some_and(|found| found.key.parameters.role == Role::Client);
                let (endpoints, direction) = if client {
                    (Endpoints { local: self.peer, remote: listener.target }, Direction::Outbound)
                } else {
                    let own = self.stream.local_addr().map(canonical).map_err(|_| ConnectionError::NotCaptured)?;
                    (Endpoints { local: own, remote: self.peer }, Direction::Inbound)
                };
                let rule = Some(Arc::clone(rule));
                return Ok(Some(Treatment { endpoints, direction, rule, environment, primary: None }));
            }
        };
        let rule = rule_of(&installed.policy, endpoints, direction).await?;
        self.check_alive()?;
        if rule.is_none() {
            if let Some(lent) = primary_of(&self.shared, endpoints, direction).await? {
                return Ok(Some(Treatment::secondary(endpoints, direction, lent)));
            }
            let captured = match direction {
                Direction::Outbound => Captured::Redirected,
                Direction::Inbound => Captured::HandedOver,
            };
            if self.shared.predecessors.take(&self.stream, captured).await {
                return Ok(None);
            }
            self.check_alive()?;
        }
        let environment = rule.as_ref().and_then(environment);
        Ok(Some(Treatment { endpoints, direction, rule, environment, primary: None }))
    }

    /// Whoever was found to own a socket with these ends may have it from a program that has reset this connection.
    fn check_alive(&self) -> Result<(), ConnectionError> {
        match self.stream.take_error() {
            Ok(None) => Ok(()),
            Ok(Some(_)) | Err(_) => Err(ConnectionError::Gone),
        }
    }

    fn handed_over_endpoints(&self) -> Result<Endpoints, ConnectionError> {
        let local = canonical(self.stream.local_addr().map_err(|_| ConnectionError::NotCaptured)?);
        if self.shared.settings.capture.as_ref().is_none_or(|capture| local.port() == capture.inbound_port) {
            return Err(ConnectionError::NotCaptured);
        }
        Ok(Endpoints { local, remote: self.peer })
    }

    fn redirected_endpoints(&self) -> Result<Endpoints, ConnectionError> {
        let socket = SockRef::from(&self.stream);
        let original = if self.peer.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
        let remote = original.ok().as_ref().and_then(SockAddr::as_socket).map(canonical);
        let port = self.shared.settings.capture.as_ref().map(|capture| capture.outbound_port);
        let remote = remote.filter(|remote| !(remote.ip().is_loopback() && Some(remote.port()) == port));
        Ok(Endpoints { local: self.peer, remote: remote.ok_or(ConnectionError::NotCaptured)? })
    }

    /// Program first, network second: dial the destination, shake hands there, relay.
    async fn outbound(self, mut session: Session, rule: Option<&TtlsRule>, environment: Option<Arc<Environment>>) {
        let controlled = environment.as_ref().is_some_and(|found| found.key.parameters.application_controlled);
        let Self { shared, stream: program, arrival, underway: _underway, .. } = self;
        let endpoints = session.endpoints;
        // The program's socket, while it waits for us: its end is that of its own connection.
        let ends = match (&arrival, program.local_addr()) {
            (Arrival::Explicit(_), Ok(ours)) => Endpoints { local: endpoints.local, remote: canonical(ours) },
            _ => endpoints,
        };
        session.program = Some(ends);
        session.found(socket::lookup(ends).ok().flatten().filter(|socket| socket.state != State::Listen));
        trace::map(&session, rule, controlled).await;
        let mut again = false;
        let (network, first) = loop {
            let dialled = match &arrival {
                Arrival::Explicit(listener) => dial(&shared.settings, listener.target).await,
                _ => dial_network(&shared.settings, endpoints).await,
            };
            let mut network = match dialled {
                Ok(network) => network,
                Err(error) => return fail(&shared, session, &program, &ConnectionError::Unreachable(error)),
            };
            let first = match negotiated(environment.as_deref(), &mut network, None, &session).await {
                Ok(first) => first,
                Err(error) => return fail(&shared, session, &program, &error),
            };
            match secure(network, environment.as_deref(), &session).await {
                Ok(network) => break (network, first),
                // The server may have a new certificate by now: once, without the old session.
                Err(ConnectionError::NoLongerGood(_)) if !again => again = true,
                Err(error) => return fail(&shared, session, &program, &error),
            }
        };
        carry(&shared, session, program, network, environment.as_deref(), first).await;
    }

    /// Network first, program second: shake hands with the peer, then connect to the program: captured, from the peer's
    /// address.
    async fn inbound(self, mut session: Session, rule: Option<&TtlsRule>, environment: Option<Arc<Environment>>) {
        let controlled = environment.as_ref().is_some_and(|found| found.key.parameters.application_controlled);
        let Self { shared, stream: network, arrival, underway: _underway, .. } = self;
        let endpoints = session.endpoints;
        let program_end = match &arrival {
            Arrival::Explicit(listener) => listener.target,
            _ => endpoints.local,
        };
        // A program on another host has no socket here.
        let here = !matches!(arrival, Arrival::Explicit(_)) || program_end.ip().is_loopback();
        let listening = here.then(|| socket::listener(program_end).ok().flatten()).flatten();
        session.uid = listening.map(|socket| socket.uid);
        session.inode = listening.map(|socket| socket.inode);
        trace::map(&session, rule, controlled).await;
        // Where the program speaks first, its greeting comes before TLS. A client of FTP begins TLS on a data connection when the
        // server's reply says that the program has it.
        let greets = environment.as_ref().is_some_and(|found| {
            let parameters = &found.key.parameters;
            session.secondary
                || (parameters.role != Role::Client && parameters.negotiate.is_some_and(negotiate::greets))
        });
        let dial_it = async || {
            let dialled = match &arrival {
                Arrival::Explicit(listener) => dial(&shared.settings, listener.target).await,
                _ => dial_program(&shared.settings, endpoints).await,
            };
            dialled.map_err(ConnectionError::ProgramUnreachable)
        };
        let mut network = network;
        let mut program = None;
        if greets {
            match dial_it().await {
                Ok(early) => program = Some(early),
                Err(error) => return fail(&shared, session, &network, &error),
            }
        }
        let first = match negotiated(environment.as_deref(), &mut network, program.as_mut(), &session).await {
            Ok(first) => first,
            Err(error) => return record_failure(&shared, session, &error),
        };
        let network = match secure(network, environment.as_deref(), &session).await {
            Ok(network) => network,
            Err(error) => {
                if let Some(program) = &program {
                    abort(program);
                }
                return record_failure(&shared, session, &error);
            }
        };
        let program = match program {
            Some(program) => program,
            None => match dial_it().await {
                Ok(program) => program,
                Err(error) => return fail(&shared, session, &network.stream, &error),
            },
        };
        let ours = program.local_addr().map(canonical);
        let seen_by_program = ours.map(|ours| Endpoints { local: program_end, remote: ours });
        session.program = seen_by_program.as_ref().ok().copied();
        let found = seen_by_program.ok().filter(|_| here).and_then(|ends| socket::lookup(ends).ok().flatten());
        session.id = found.map(|socket| socket.id());
        carry(&shared, session, program, network, environment.as_deref(), first).await;
    }
}

/// The rule of a captured connection; asks who owns it only when some rule does.
async fn rule_of(
    policy: &Policy,
    endpoints: Endpoints,
    direction: Direction,
) -> Result<Option<Arc<TtlsRule>>, ConnectionError> {
    let Endpoints { local, remote } = endpoints;
    let mut connection = Connection { local, remote, direction, jobname: None, userid: None };
    let now = chrono::Local::now().fixed_offset();
    if policy.asks_for_owner(&connection, now) {
        // A rule that would have matched the owner must not be missed: an owner that cannot be told is refused.
        // A program that closed at once leaves a socket without inode and uid.
        let unknown = || ConnectionError::OwnerUnknown(stack::StackError::Malformed { what: "a socket's owner" });
        // The program's socket: its end of an outbound connection, its listener for an inbound one.
        let socket = match direction {
            Direction::Outbound => socket::lookup(endpoints),
            Direction::Inbound => socket::listener(endpoints.local),
        };
        let socket = socket.map_err(ConnectionError::OwnerUnknown)?;
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

/// The network leg with what its rule asks for; without an environment it passes unchanged.
async fn secure(
    stream: TcpStream,
    environment: Option<&Environment>,
    session: &Session,
) -> Result<Network, ConnectionError> {
    let Some(environment) = environment.filter(|environment| !environment.key.parameters.application_controlled) else {
        return Ok(Network::unchanged(stream));
    };
    // Servers of FTP want the control connection's session on a data connection.
    let destination = session.primary.unwrap_or(session.endpoints).remote;
    // Boxed, so that its memory goes when it is over: a connection lives much longer.
    let (network, negotiated) = Box::pin(shake_hands(stream, environment, destination, session.checked_port())).await?;
    session.negotiated.store(Some(negotiated.into()));
    Ok(network)
}

/// The upgrade that comes before TLS, where the rule has one. In server roles `program` is the program's side, already
/// there where its greeting is needed. Gives what the program has to hear first.
async fn negotiated(
    environment: Option<&Environment>,
    network: &mut TcpStream,
    program: Option<&mut TcpStream>,
    session: &Session,
) -> Result<Vec<u8>, ConnectionError> {
    let Some(environment) = environment.filter(|_| !session.secondary) else { return Ok(Vec::new()) };
    let parameters = &environment.key.parameters;
    let Some(protocol) = parameters.negotiate.filter(|_| !parameters.application_controlled) else {
        return Ok(Vec::new());
    };
    let dialogue = async {
        if parameters.role == Role::Client {
            return negotiate::ask(protocol, network).await;
        }
        let greeting = match (program, negotiate::greets(protocol)) {
            (_, false) => Vec::new(),
            (Some(program), true) => negotiate::greeting(protocol, program).await?,
            (None, true) => {
                let reason = "a server's greeting cannot be had on an outbound connection".to_owned();
                return Err(ConnectionError::NoUpgrade(reason));
            }
        };
        negotiate::answer(protocol, network, &greeting).await.map(|()| Vec::new())
    };
    let limit = parameters.handshake_timeout.saturating_mul(COMPLETION);
    if limit == 0 {
        return dialogue.await;
    }
    let in_time = tokio::time::timeout(Duration::from_secs(limit.into()), dialogue).await;
    in_time.unwrap_or(Err(ConnectionError::HandshakeTimeout(limit)))
}

/// How often the keys of a session are renewed: those of TLS 1.3 only.
fn rekey(environment: Option<&Environment>, session: &Session) -> Option<Duration> {
    const TLS13: u16 = 0x0304;
    let minutes = environment?.key.parameters.reset_cipher_timer;
    let renewable = session.negotiated().is_some_and(|negotiated| negotiated.version == TLS13);
    (minutes > 0 && renewable).then(|| Duration::from_secs(60 * u64::from(minutes)))
}

/// Relays a session to its end, through what its program orders.
async fn carry(
    shared: &Arc<Shared>,
    mut session: Session,
    mut program: TcpStream,
    mut network: Network,
    environment: Option<&Environment>,
    first: Vec<u8>,
) {
    let controlled = environment.filter(|environment| environment.key.parameters.application_controlled);
    let mut control = controlled.map(|environment| {
        let (orders, control) = control_of(environment);
        session.orders = Some(orders);
        control
    });
    let lent = session.lends.take();
    let session = shared.registry.begin(session);
    let primary = match hold(shared, &session, lent).await {
        Ok(primary) => primary,
        Err(error) => {
            // Secondary connections would be in clear text.
            let error = ConnectionError::NotHeld(error);
            abort(&network.stream);
            abort(&program);
            trace::error(&session, &error);
            return shared.registry.end(&session, SessionState::Failed(error.to_string()));
        }
    };
    let mut told = false;
    // TLS that the program ordered failed.
    let mut in_vain = false;
    if session.negotiated().is_none() || network.is_clear() {
        shared.observer.established(&session);
    }
    // A program that controls TLS speaks its protocol's upgrade itself.
    let spoken = environment.filter(|_| !session.secondary && controlled.is_none());
    let mut dialogue = spoken.and_then(|environment| {
        let parameters = &environment.key.parameters;
        negotiate::dialogue(parameters.negotiate?, parameters.role, session.endpoints)
    });
    let (to_dialogue, to_relay) = if dialogue.is_some() { (first, Vec::new()) } else { (Vec::new(), first) };
    let mut ways = Ways::beginning_with(to_relay);
    let listener = |from_program: bool, bytes: &[u8]| {
        let from_client = from_program == (session.direction == Direction::Outbound);
        shared.observer.heard(&session, from_client, bytes);
    };
    let state = loop {
        if let Some(negotiated) = session.negotiated().filter(|_| !network.is_clear()) {
            established(shared, &session, &negotiated, environment, told);
            told = true;
        }
        if let Some(mut dialogue) = dialogue.take() {
            let of_ftp = environment.is_some_and(|found| found.key.parameters.negotiate == Some(Protocol::Ftp));
            let listener = |from_program: bool, bytes: &[u8]| {
                if of_ftp {
                    listener(from_program, bytes);
                }
            };
            let first = to_dialogue.clone();
            let conversing =
                negotiate::converse(dialogue.as_mut(), &program, &mut network, &session.traffic, first, &listener);
            if let Err(error) = Box::pin(conversing).await {
                abort(&program);
                // An alert must not be overtaken.
                if !matches!(error, ConnectionError::Broken(_)) {
                    abort(&network.stream);
                }
                trace::error(&session, &error);
                trace::close(&session, Some(&error));
                break SessionState::Failed(error.to_string());
            }
        }
        let rekey = rekey(environment, &session);
        let relayed =
            relay(&mut program, &mut network, &session.traffic, rekey, &mut ways, control.as_mut(), Some(&listener))
                .await;
        let error = match (relayed, controlled) {
            (Ok(Stop::Ordered(order)), Some(environment)) => {
                if let Some(control) = control.as_mut().filter(|_| !has_read_all(&session, &program)) {
                    tokio::time::sleep(ON_THE_WAY).await;
                    control.waiting = Some(order);
                    continue;
                }
                match carry_out(order, network, &mut ways, environment, &session).await {
                    Ok(changed) => {
                        network = changed;
                        continue;
                    }
                    Err(error) => {
                        trace::error(&session, &error);
                        abort(&program);
                        in_vain = !told;
                        error
                    }
                }
            }
            (Ok(_), _) => {
                if told {
                    trace::close(&session, None);
                }
                break SessionState::Closed;
            }
            (Err(error @ ConnectionError::NotStarted(_)), _) => {
                trace::error(&session, &error);
                error
            }
            (Err(error), _) => error,
        };
        debug!(rule = session.rule, remote = %session.endpoints.remote, %error, "connection ended");
        if told {
            trace::close(&session, Some(&error));
        }
        break SessionState::Failed(error.to_string());
    };
    if let Some(primary) = primary {
        release(shared, primary);
    }
    shared.registry.end(&session, state);
    if in_vain {
        shared.observer.failed(&session);
    } else {
        shared.observer.ended(&session);
    }
}

/// How long bytes of a program on this host are waited for before they are looked for again.
const ON_THE_WAY: Duration = Duration::from_millis(1);

/// The two ends of the way orders come to a connection.
fn control_of(environment: &Environment) -> (Orders, Control) {
    /// Orders that wait; a program sends one at a time.
    const WAITING: usize = 4;
    /// Where no limit is coded a peer's handshake waits this long for the program's order.
    const PATIENT: Duration = Duration::from_secs(3600);
    let parameters = &environment.key.parameters;
    let patience = match (parameters.role, parameters.handshake_timeout) {
        (Role::Client, _) => Duration::ZERO,
        (Role::Server(_), 0) => PATIENT,
        (Role::Server(_), seconds) => Duration::from_secs(seconds.into()),
    };
    let (sender, orders) = mpsc::channel(WAITING);
    (sender, Control { orders, waiting: None, patience })
}

/// Tells of TLS that has begun: the log, and the observer the first time.
fn established(
    shared: &Shared,
    session: &Arc<Session>,
    negotiated: &Negotiated,
    environment: Option<&Environment>,
    told: bool,
) {
    if told {
        return;
    }
    shared.observer.established(session);
    trace::handshake(session, negotiated);
    let indicate = environment.is_some_and(|environment| environment.key.parameters.fips_indicate);
    if indicate && !negotiated.fips {
        info!(
            rule = session.rule,
            remote = %session.endpoints.remote,
            suite = cipher::name(negotiated.suite),
            group = negotiated.group.map(group::name),
            "FIPS 140-3 does not approve what this connection uses"
        );
    }
}

/// Ends a session that never got to its relay; the other side is reset.
fn fail(shared: &Shared, session: Session, other: &TcpStream, error: &ConnectionError) {
    abort(other);
    record_failure(shared, session, error);
}

/// Notes a session whose handshake failed or never began.
fn record_failure(shared: &Shared, session: Session, error: &ConnectionError) {
    trace::error(&session, error);
    let session = shared.registry.begin(session);
    shared.registry.end(&session, SessionState::Failed(error.to_string()));
    if !session.environment.is_empty() {
        shared.observer.failed(&session);
    }
}
