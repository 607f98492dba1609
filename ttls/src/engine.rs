//! The engine: the installed policy, and the kernel's rules that belong to it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use keyrings::ReadsRings;
use nix::unistd::User;
use policies::parameters::{Fips, Protocol, SecurityParameters};
use policies::{Policy, TtlsRule};
use serde::Serialize;
use stack::Endpoints;
use tokio::net::TcpListener;
use tokio::sync::{Notify, RwLock};
use tokio::task::AbortHandle;

use crate::capture::{self, Observation, Ruleset, Table};
use crate::connection::{Arrival, accept};
use crate::control::{self, Answer, Refusal, Request};
use crate::environment::{Environment, Key};
use crate::error::InstallError;
use crate::handover::{Inheritance, Listening, Predecessors, Purpose};
use crate::install::{Kernel, has_hold, is_loaded_by};
use crate::listener::Listener;
use crate::marks::Marks;
use crate::own;
use crate::random::draw;
use crate::registry::{Observer, Registry, Session};
use crate::rings::environment;
use crate::secondary::{self, Primaries};
use crate::sessions::Kept;
use crate::sockets::{Marking, check_port_protection, inbound_address, listen, outbound_addresses};
use crate::sync::lock;
use crate::tickets::TicketSecret;

/// Whoever knows whom the certificates of clients stand for (`ClientAuthType SAFCheck`).
pub trait KnowsClients: std::fmt::Debug + Send + Sync {
    /// The user of a client's certificate (DER), who may use the local port: READ to the resource that begins so, if the rule
    /// codes one.
    ///
    /// # Errors
    ///
    /// Why the client is nobody, or may not use the port.
    fn user(&self, certificate: &[u8], port: u16, resource: Option<&str>) -> Result<String, String>;
}

/// How the engine is set up; fixed while it runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How the kernel hands connections over; none where only explicit listeners are served.
    pub capture: Option<CaptureSettings>,
    /// Ports that are bound to a rule each.
    pub listeners: Vec<Listener>,
    /// Who reads key rings.
    pub rings: Arc<dyn ReadsRings>,
    /// Who knows whom clients' certificates stand for.
    pub clients: Arc<dyn KnowsClients>,
    /// The owner of rings named without one.
    pub ring_owner: String,
    /// What ticket keys are made from, where several daemons share them.
    pub ticket_secret: Option<TicketSecret>,
}

/// The kernel's share in the capture of connections.
#[derive(Clone, Debug)]
pub struct CaptureSettings {
    /// Where redirected outbound connections arrive, on loopback.
    pub outbound_port: u16,
    /// Where inbound connections arrive.
    pub inbound_port: u16,
    /// The engine's marks.
    pub marks: Marks,
    /// The routing table for marked packets.
    pub route_table: u32,
    /// Where the last ruleset is kept for the boot unit.
    pub boot_file: PathBuf,
    /// The zERT observer's share of the ruleset.
    pub observation: Option<Observation>,
}

impl CaptureSettings {
    fn ruleset(&self) -> Ruleset {
        Ruleset {
            outbound_port: self.outbound_port,
            inbound_port: self.inbound_port,
            marks: self.marks,
            observation: self.observation.clone(),
        }
    }

    pub(crate) fn kernel(&self) -> Kernel {
        Kernel { boot_file: self.boot_file.clone(), route_table: self.route_table, marks: self.marks }
    }
}

/// The data plane.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    /// Where connections arrive, until they are served.
    arriving: Arc<Mutex<Arriving>>,
}

/// Sockets that are not served yet.
#[derive(Default)]
struct Arriving {
    sockets: Vec<(TcpListener, Arrival, Purpose)>,
    /// Those of another daemon that are served for a moment only.
    last: Vec<(TcpListener, Arrival)>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) installed: ArcSwap<Installed>,
    /// Environments that are no longer installed; connections may have them yet, and may shake hands later.
    pub(crate) superseded: Mutex<Vec<(Arc<TtlsRule>, Weak<Environment>)>>,
    /// Held while engine and kernel change.
    pub(crate) installing: RwLock<()>,
    pub(crate) registry: Registry,
    pub(crate) primaries: Primaries,
    /// The number of this process's sets in the kernel's table.
    pub(crate) holder: u64,
    pub(crate) observer: Arc<dyn Observer>,
    /// The capture table that this process loaded last, if it did.
    pub(crate) loaded: Mutex<Option<Table>>,
    /// Told when another policy is installed.
    pub(crate) changed: Notify,
    /// The sockets that connections arrive at, once they are served.
    pub(crate) listening: Mutex<Vec<Listening>>,
    pub(crate) predecessors: Predecessors,
    /// Another process has taken over: what is here goes on to its end, nothing new begins.
    pub(crate) retired: AtomicBool,
    /// Connections from their acceptance to their end.
    pub(crate) underway: AtomicUsize,
}

/// A policy with its environments.
#[derive(Default)]
pub(crate) struct Installed {
    /// Whether it was ever installed. Before, the kernel may hold the rules of an earlier run: what they capture is
    /// refused, not relayed.
    pub(crate) in_force: bool,
    pub(crate) policy: Arc<Policy>,
    /// The environments by the names of their rules.
    pub(crate) environments: HashMap<String, Arc<Environment>>,
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
    /// The sessions that are kept for resumption.
    #[serde(flatten)]
    pub kept: Kept,
    /// Seconds since the ticket key in use was made, where tickets are sent.
    pub ticket_key_age: Option<u64>,
    /// Why no handshakes are made: the key ring cannot be used any more.
    pub closed: Option<String>,
    /// Whether the rule asks for FIPS 140-3.
    pub fips_asked: bool,
    /// Whether everything it may negotiate is approved and comes from the module.
    pub fips: bool,
}

impl Engine {
    /// Opens its ports, or takes those of a running daemon, and prepares the kernel; takes no connection until
    /// [`Engine::serve`], and captures nothing until a policy is installed.
    ///
    /// # Errors
    ///
    /// When a port is taken or unprotected, or the kernel cannot be prepared.
    pub fn start(
        settings: Settings,
        observer: Arc<dyn Observer>,
        mut inheritance: Option<&mut Inheritance>,
    ) -> Result<Self, InstallError> {
        let mut arriving = Vec::new();
        if inheritance.as_ref().is_some_and(|inheritance| !inheritance.suits(&settings)) {
            return Err(InstallError::OtherKernel);
        }
        let predecessors = Predecessors::expecting(inheritance.as_deref());
        let mut inherited = |purpose| inheritance.as_mut().and_then(|inheritance| inheritance.take(purpose));
        if let Some(capture) = &settings.capture {
            let taken = |port| move |source| InstallError::PortTaken { port, source };
            check_port_protection(capture.outbound_port)?;
            for address in outbound_addresses(capture.outbound_port) {
                let purpose = Purpose::Redirected(address);
                let socket = listen(address, Marking::None, inherited(purpose));
                arriving.push((socket.map_err(taken(capture.outbound_port))?, Arrival::Redirected, purpose));
            }
            let address = inbound_address(capture.inbound_port);
            let purpose = Purpose::HandedOver(address);
            let socket = listen(address, Marking::Transparent(capture.marks), inherited(purpose));
            arriving.push((socket.map_err(taken(capture.inbound_port))?, Arrival::HandedOver, purpose));
        }
        // Beside a capture, what the connections of explicit listeners send is marked as ours.
        let marking = settings.capture.as_ref().map_or(Marking::None, |capture| Marking::Ours(capture.marks));
        for listener in &settings.listeners {
            let address = listener.address;
            let purpose = Purpose::Explicit(address);
            let socket = listen(address, marking, inherited(purpose));
            let socket = socket.map_err(|source| InstallError::ListenerTaken { address, source })?;
            arriving.push((socket, Arrival::Explicit(Arc::new(listener.clone())), purpose));
        }
        // Connections on their way to ports that are no longer used.
        let mut last = Vec::new();
        for (purpose, socket) in inheritance.map(Inheritance::rest).unwrap_or_default() {
            let arrival = match purpose {
                Purpose::Redirected(_) => Arrival::Redirected,
                Purpose::HandedOver(_) => Arrival::HandedOver,
                Purpose::Explicit(_) | Purpose::Control => continue,
            };
            last.extend(
                TcpListener::from_std(std::net::TcpListener::from(socket)).ok().map(|socket| (socket, arrival)),
            );
        }
        if let Some(capture) = &settings.capture {
            capture.kernel().prepare(&capture.ruleset().hold())?;
            capture.kernel().restore()?;
        }
        let shared = Arc::new(Shared {
            settings,
            installed: ArcSwap::default(),
            superseded: Mutex::default(),
            installing: RwLock::new(()),
            registry: Registry::default(),
            primaries: Primaries::default(),
            holder: draw(),
            loaded: Mutex::default(),
            observer,
            changed: Notify::new(),
            listening: Mutex::default(),
            predecessors,
            retired: AtomicBool::new(false),
            underway: AtomicUsize::new(0),
        });
        tokio::spawn(own::watch(Arc::clone(&shared)));
        Ok(Self { shared, arriving: Arc::new(Mutex::new(Arriving { sockets: arriving, last })) })
    }

    /// Begins to take connections.
    pub fn serve(&self) {
        /// How long connections may be on their way to a port.
        const MOMENT: Duration = Duration::from_secs(2);
        let Arriving { sockets, last } = std::mem::take(&mut *lock(&self.arriving));
        let mut listening = lock(&self.shared.listening);
        for (socket, arrival, purpose) in sockets {
            let socket = Arc::new(socket);
            let task = self.accept(&socket, &arrival);
            listening.push(Listening { purpose, socket, arrival, task });
        }
        for (socket, arrival) in last {
            let socket = Arc::new(socket);
            let task = self.accept(&socket, &arrival);
            tokio::spawn(async move {
                tokio::time::sleep(MOMENT).await;
                task.abort();
                drop(socket);
            });
        }
    }

    fn accept(&self, socket: &Arc<TcpListener>, arrival: &Arrival) -> AbortHandle {
        tokio::spawn(accept(Arc::clone(&self.shared), Arc::clone(socket), arrival.clone())).abort_handle()
    }

    /// Takes connections again after a hand-over that failed.
    pub(crate) fn accept_again(&self) {
        for one in &mut *lock(&self.shared.listening) {
            one.task = self.accept(&one.socket, &one.arrival);
        }
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
        for listener in &settings.listeners {
            let (address, name) = (listener.address, listener.rule.clone());
            match policy.ttls.iter().find(|rule| rule.name == name) {
                None => errors.push(InstallError::ListenerRule { address, rule: name }),
                Some(rule) => {
                    let negotiate = rule.security.as_ref().and_then(|parameters| parameters.negotiate);
                    if negotiate == Some(Protocol::Ftp) {
                        errors.push(InstallError::ListenerFtp { address, rule: name });
                    }
                }
            }
        }
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
        Ok(Prepared { installed: Installed { in_force: true, policy, environments } })
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
        let Shared { installing, changed, .. } = self.shared.as_ref();
        // Connections accepted meanwhile wait: engine and kernel change together or not at all.
        let _waiting = installing.blocking_write();
        self.load(&prepared.installed.policy)?;
        for (rule, environment) in &prepared.installed.environments {
            environment.begin(rule);
        }
        self.supersede(prepared.installed);
        changed.notify_one();
        Ok(())
    }

    /// Has the next installation load the capture table whole, not only what differs from the one loaded last.
    pub fn load_whole(&self) {
        *lock(&self.shared.loaded) = None;
    }

    /// Loads the capture table of a policy into the kernel.
    fn load(&self, policy: &Policy) -> Result<(), InstallError> {
        let Shared { settings, primaries, predecessors, holder, loaded, .. } = self.shared.as_ref();
        let Some(capture) = &settings.capture else { return Ok(()) };
        let table = self.table(capture, policy);
        let alive = if policy.ttls.iter().any(|rule| rule.fails_open()) { capture::alive() } else { String::new() };
        let live = primaries.elements(*holder) + &alive;
        let mut loaded = lock(loaded);
        let before = loaded.take();
        capture.kernel().replace(&table, before.as_ref(), &live, &capture.ruleset().hold(), &predecessors.holders())?;
        *loaded = Some(table);
        Ok(())
    }

    /// The capture table of a policy.
    fn table(&self, capture: &CaptureSettings, policy: &Policy) -> Table {
        let uid_of = |userid: &str| {
            let user = User::from_name(&userid.to_ascii_lowercase()).ok().flatten()?;
            Some(user.uid.as_raw())
        };
        let holders = [&[self.shared.holder], self.shared.predecessors.holders().as_slice()].concat();
        capture.ruleset().table(policy, holders, &uid_of)
    }

    /// Whether the kernel would take the capture table of a prepared policy.
    ///
    /// # Errors
    ///
    /// When it would not.
    pub fn check(&self, prepared: &Prepared) -> Result<(), InstallError> {
        let Some(capture) = &self.shared.settings.capture else { return Ok(()) };
        capture.kernel().check(&self.table(capture, &prepared.installed.policy).text())
    }

    /// Tells the kernel that the daemon is there, or about to go, where rules with `FailMode Open` want to know. It has to be
    /// told every second.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be told; connections of these rules then pass in clear text.
    pub fn tell_alive(&self, alive: bool) -> Result<(), InstallError> {
        let Shared { settings, installed, .. } = self.shared.as_ref();
        let Some(capture) = &settings.capture else { return Ok(()) };
        if !installed.load().policy.ttls.iter().any(|rule| rule.fails_open()) {
            return Ok(());
        }
        capture.kernel().change(&if alive { capture::alive() } else { capture::gone() })
    }

    /// Puts the installed policy's capture rules in place of what another process loaded.
    ///
    /// # Errors
    ///
    /// When the kernel does not take them.
    ///
    /// # Panics
    ///
    /// As [`Engine::install`].
    pub fn reload(&self) -> Result<(), InstallError> {
        let _waiting = self.shared.installing.blocking_write();
        let current = self.shared.installed.load_full();
        if current.in_force { self.load(&current.policy) } else { Ok(()) }
    }

    /// Puts the capture rules back if somebody removed or replaced them; says whether they were gone.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be asked or does not take them.
    pub fn repair(&self) -> Result<bool, InstallError> {
        let Shared { settings, installed, holder, .. } = self.shared.as_ref();
        let Some(capture) = &settings.capture else { return Ok(false) };
        let current = installed.load_full();
        if !current.in_force {
            return capture.kernel().restore();
        }
        if is_loaded_by(*holder)? && has_hold()? {
            return Ok(false);
        }
        capture.kernel().prepare(&capture.ruleset().hold())?;
        self.load(&current.policy)?;
        Ok(true)
    }

    /// Whether a policy captures connections: the one in force, or before there is one the last run's.
    #[must_use]
    pub fn captures(&self) -> bool {
        let Shared { settings, installed, .. } = self.shared.as_ref();
        let Some(capture) = &settings.capture else { return false };
        let current = installed.load();
        if current.in_force { !current.policy.ttls.is_empty() } else { capture.kernel().captured_before() }
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

    /// Whether a user may control the connection that has these ends for its program: he must own the socket, or be root.
    ///
    /// # Errors
    ///
    /// With z/OS's errno, when he may not, or there is no such connection.
    pub fn may_control(&self, ends: Endpoints, uid: u32) -> Result<(), Refusal> {
        control::check_owner(ends, uid)
    }

    /// Whether the connection that has these ends for its program is carried here. Waits while it may be about to be.
    pub async fn carries(&self, ends: Endpoints) -> bool {
        control::session_of(&self.shared, ends.canonical()).await.is_ok_and(|session| session.is_some())
    }

    /// What a program asks of its own connection, which has these ends for it. Without requests it is told how its
    /// connection stands.
    ///
    /// # Errors
    ///
    /// With z/OS's errno, when it cannot be told or done.
    pub async fn control(&self, ends: Endpoints, requests: &[Request], certificate: bool) -> Result<Answer, Refusal> {
        control::serve(&self.shared, ends, requests, certificate).await
    }

    /// How many connections are being relayed.
    #[must_use]
    pub fn active(&self) -> usize {
        self.shared.registry.active()
    }

    /// How many connections have been accepted and not ended.
    #[must_use]
    pub fn underway(&self) -> usize {
        self.shared.underway.load(Ordering::SeqCst)
    }

    /// Whether another process has taken over.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.shared.retired.load(Ordering::SeqCst)
    }

    /// Makes sure that the kernel captures secondary connections, whoever loaded its table meanwhile.
    pub async fn hold_again(&self) {
        secondary::hold_again(&self.shared).await;
    }

    /// Whether connections are up, or were a moment ago, that lend their rule to secondary ones (`SecondaryMap On`).
    #[must_use]
    pub fn has_primaries(&self) -> bool {
        self.shared.primaries.any()
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
                EnvironmentStatus {
                    rule: rule.clone(),
                    environment: environment.key.parameters.environment.clone(),
                    full,
                    resumed,
                    kept: environment.kept(),
                    ticket_key_age: environment.ticket_key_age(),
                    closed: environment.closed().map(|reason| reason.as_ref().clone()),
                    fips_asked: environment.key.parameters.fips != Fips::Off,
                    fips: environment.is_fips(),
                }
            })
            .collect();
        list.sort_by(|a, b| a.rule.cmp(&b.rule));
        list
    }
}
