//! `pagent run`: everything started, wired, refreshed and stopped in order.

mod rings;

use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use anyhow::Context as _;
use history::{Collector, Store};
use keyrings::{Keyrings, Racdcert, ReadsRings};
use policies::diagnostic;
use policies::parameters::{ClientAuth, Role};
use saf::Saf;
use serde::Serialize;
use smf::tcp::PolicyStatus;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, Notify};
use tracing::{debug, error, info, warn};
use ttls::{
    CaptureSettings, Engine, Inheritance, KnowsClients, Observation, Observer, Session, SessionState, Settings,
};
use zert::{AtTls, History, Monitor, MonitorSettings, RecordContext, RecordType, Side, Wrapped};

use crate::clients::Clients;
use crate::configuration::Configuration;
use crate::control;
use crate::history::InstallHistory;
use crate::logging::LogControl;
use crate::policy_files::{self, Stamp};
use crate::smf_file::SmfFile;
use crate::ssh_guard;
use crate::takeover;

const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);
/// How often the capture rules are looked after.
/// How often a history that cannot be opened is tried again.
const HISTORY: std::time::Duration = std::time::Duration::from_secs(60);
const REPAIR: std::time::Duration = std::time::Duration::from_secs(1);

/// The running daemon, as the control API sees it.
pub(crate) struct Daemon {
    pub(crate) configuration: Configuration,
    pub(crate) engine: Engine,
    pub(crate) monitor: Option<Monitor>,
    pub(crate) saf: Arc<Saf>,
    pub(crate) keyrings: Arc<Keyrings>,
    pub(crate) stop: Notify,
    pub(crate) smf: SmfFile,
    history: Option<Collector>,
    policy: RwLock<PolicyState>,
    /// Refreshes run one at a time.
    pub(crate) refreshing: Mutex<()>,
    /// Ends the service of the control API.
    retire_api: Notify,
    /// The capture rules were removed on purpose: nobody puts them back.
    released: AtomicBool,
    stopping: AtomicBool,
    /// Policies are installed that may cut off the host's own SSH.
    force: bool,
    log: LogControl,
}

/// What `pagent status` says of the policy.
#[derive(Clone, Debug, Default, Serialize)]
struct PolicyState {
    /// Seconds since the epoch of the last installation; none when nothing was installed.
    installed: Option<u64>,
    files: Vec<PolicyFile>,
    /// Seconds after which changed files are read again (TcpImage).
    refresh_interval: u32,
    /// Why the last refresh installed nothing.
    refused: Option<String>,
    #[serde(skip)]
    history: InstallHistory,
}

/// A file of the policy that was read last, installed or not.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
struct PolicyFile {
    path: String,
    /// Its size and its time of change, as they were when it was read, to tell whether it has changed.
    #[serde(skip)]
    stamp: Option<Stamp>,
}

/// What an installation leaves.
struct InstalledPolicy {
    old: Arc<policies::Policy>,
    new: Arc<policies::Policy>,
    messages: Vec<String>,
}

/// `pagent status`.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    version: &'static str,
    pid: u32,
    sysname: String,
    image: String,
    policy: PolicyState,
    ttls_rules: usize,
    zert_rules: usize,
    active_connections: usize,
    /// Processes that were taken over from and still carry connections.
    predecessors: Vec<u32>,
    /// Whether the engine is the FIPS 140-3 module.
    fips_module: bool,
    handshakes: Vec<ttls::EnvironmentStatus>,
    zert: Option<zert::Statistics>,
    smf_written: u64,
    smf_lost: u64,
}

/// What the engine negotiated goes to the monitor.
struct ToMonitor(Option<Monitor>);

impl Observer for ToMonitor {
    fn established(&self, session: &Arc<Session>) {
        if let Some(monitor) = &self.0 {
            monitor.established(wrapped(session));
        }
    }

    fn failed(&self, session: &Arc<Session>) {
        if let Some(monitor) = &self.0 {
            monitor.failed(wrapped(session));
        }
    }

    fn heard(&self, session: &Session, from_client: bool, bytes: &[u8]) {
        if let Some(monitor) = &self.0 {
            monitor.heard(session.number, if from_client { Side::Client } else { Side::Server }, bytes.to_vec());
        }
    }

    fn ended(&self, session: &Arc<Session>) {
        if let Some(monitor) = &self.0 {
            let (bytes_in, bytes_out) = (&session.traffic.bytes_in, &session.traffic.bytes_out);
            let (bytes_in, bytes_out) = (bytes_in.load(Ordering::Relaxed), bytes_out.load(Ordering::Relaxed));
            monitor.ended(session.number, bytes_in, bytes_out, reason(session));
        }
    }
}

/// A session as zERT takes it.
fn wrapped(session: &Session) -> Wrapped {
    let negotiated = session.negotiated();
    let handshake = negotiated.as_deref().map(|negotiated| {
        let certificate = negotiated.peer_certificates.first();
        zert::tls::Handshake {
            version: negotiated.version,
            suite: negotiated.suite,
            group: negotiated.group,
            resumed: Some(negotiated.resumed),
            server_certificate: certificate.filter(|_| negotiated.client).cloned(),
            client_certificate: certificate.filter(|_| !negotiated.client).cloned(),
            complete: true,
            ..zert::tls::Handshake::default()
        }
    });
    Wrapped {
        number: session.number,
        id: session.id,
        endpoints: session.endpoints,
        direction: session.direction,
        uid: session.uid,
        inode: session.inode,
        started: session.started.into(),
        handshake,
        attls: AtTls {
            policy: match session.security {
                None if session.rule.is_empty() => PolicyStatus::NoPolicy,
                None => PolicyStatus::NotEnabled,
                Some(_) if session.is_controlled() => PolicyStatus::ApplicationControlled,
                Some(_) => PolicyStatus::Enabled,
            },
            security_type: match session.security {
                None => 0,
                Some(Role::Client) => 1,
                Some(Role::Server(ClientAuth::None)) => 2,
                Some(Role::Server(ClientAuth::PassThru)) => 3,
                Some(Role::Server(ClientAuth::Full | ClientAuth::Required)) => 4,
                Some(Role::Server(ClientAuth::SafCheck)) => 5,
            },
            rule: session.rule.clone(),
            environment: session.environment.clone(),
            partner: negotiated.as_deref().and_then(|negotiated| negotiated.user.clone()).unwrap_or_default(),
            fips: negotiated.is_some_and(|negotiated| negotiated.fips),
            secondary: session.secondary,
            reason: reason(session),
        },
    }
}

/// Why a session was cut.
fn reason(session: &Session) -> String {
    match session.state() {
        SessionState::Failed(reason) => reason,
        SessionState::Active | SessionState::Closed => String::new(),
    }
}

/// Runs the daemon until it is told to stop, or another one has taken over and its connections have ended.
///
/// `takeover`: in the place of a running one. `force`: policies are installed that may cut off the host's own SSH.
pub(crate) async fn run(
    configuration: Configuration,
    log: LogControl,
    takeover: bool,
    force: bool,
) -> anyhow::Result<()> {
    info!("EZZ8431I PAGENT STARTING");
    // Databases and dumps in it are nobody else's business.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&configuration.state)
        .with_context(|| format!("the state folder {} cannot be made", configuration.state.display()))?;
    raise_descriptor_limit();
    let envelope = Arc::new(configuration.envelope());
    let saf = Saf::open(&configuration.saf_url()).await?.with(Arc::new(Racdcert::new(Arc::clone(&envelope))));
    let saf = Arc::new(saf);
    saf.follow_others();
    let rings = saf.certificates_changed();
    let runtime = tokio::runtime::Handle::current();
    let keyrings = Arc::new(Keyrings::new(Arc::clone(&saf), envelope, configuration.reader(), runtime));
    if !takeover && std::os::unix::net::UnixStream::connect(&configuration.socket).is_ok() {
        anyhow::bail!("another pagent answers on {}", configuration.socket.display());
    }
    let dump = configuration.smf_dump();
    // Beside a daemon that is taken over from nothing is cut off: it may be writing.
    let smf = SmfFile::open(configuration.dump_settings(), !takeover)
        .with_context(|| format!("the SMF dump {} cannot be opened", dump.display()))?;
    let history = (configuration.zert.enabled && configuration.zert.history_days > 0)
        .then(|| Collector::new(&configuration.sysname));
    let monitor = start_monitor(&configuration, &smf, history.clone())?;
    let mut inheritance = if takeover { Some(takeover::inherit(&configuration).await?) } else { None };
    let control = inheritance.as_mut().and_then(Inheritance::control);
    let clients = Arc::new(Clients::new(Arc::clone(&saf), &configuration));
    let settings = engine_settings(&configuration, Arc::clone(&keyrings) as Arc<dyn ReadsRings>, clients)?;
    let engine = Engine::start(settings, Arc::new(ToMonitor(monitor.clone())), inheritance.as_mut())?;
    let listener = listen(&configuration.socket, control)?;
    let control = listener.as_fd().try_clone_to_owned()?;
    let daemon = Arc::new(Daemon {
        configuration,
        engine,
        monitor,
        saf,
        keyrings,
        stop: Notify::new(),
        smf,
        history,
        policy: RwLock::default(),
        refreshing: Mutex::new(()),
        retire_api: Notify::new(),
        released: AtomicBool::new(false),
        stopping: AtomicBool::new(false),
        force,
        log,
    });
    match inheritance {
        None => {
            if let Some(monitor) = &daemon.monitor {
                monitor.switch(true).await;
            }
            daemon.observe(true).await?;
            daemon.engine.serve();
            // Without a policy the daemon still answers, and refuses what an earlier policy's rules capture.
            if let Err(message) = daemon.refresh(false).await {
                error!("{message}");
                if let Err(problem) = daemon.observe_only().await {
                    error!("nothing is observed before there is a policy: {problem}");
                }
            }
            if let Some(monitor) = &daemon.monitor {
                monitor.record_older().await;
            }
        }
        Some(inheritance) => {
            let pid = inheritance.pid();
            if let Err(message) = daemon.read_policy(Some(&inheritance), false).await {
                anyhow::bail!("nothing is taken over: {message}");
            }
            daemon
                .engine
                .succeed(inheritance)
                .await
                .context("the running daemon goes on: it waited in vain for this one")?;
            if let Err(problem) = daemon.observe(true).await {
                error!("{problem:#}");
            }
            info!(pid, "taken over from the running daemon");
        }
    }
    let door = takeover::listen(&daemon.configuration)?;
    daemon.serve_api(listener);
    let (mut hangup, mut terminate) = (signal(SignalKind::hangup())?, signal(SignalKind::terminate())?);
    let mut upgrade = signal(SignalKind::user_defined2())?;
    info!("EZZ8432I PAGENT INITIALIZATION COMPLETE");
    notify_systemd(&format!("MAINPID={}\nREADY=1", std::process::id()));
    tokio::spawn(Arc::clone(&daemon).stay_alive());
    tokio::spawn(Arc::clone(&daemon).forget());
    tokio::spawn(Arc::clone(&daemon).keep_history());
    tokio::spawn(Arc::clone(&daemon).follow_rings(rings));
    let mut watch = tokio::time::interval(REPAIR);
    watch.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looked = tokio::time::Instant::now();
    // A task of its own: nothing that this loop waits for waits for it.
    let mut handing_over = tokio::spawn(takeover::handed_over(Arc::clone(&daemon), door, control));
    let upgrading = Arc::new(AtomicBool::new(false));
    let successor = loop {
        tokio::select! {
            channel = &mut handing_over => break Some(channel.context("the hand-over ended by itself")?),
            _ = watch.tick() => {
                daemon.repair().await;
                // While a refresh or a hand-over is under way there is nothing to look for.
                if looked.elapsed() >= daemon.refresh_interval() && daemon.refreshing.try_lock().is_ok() {
                    let daemon = Arc::clone(&daemon);
                    tokio::spawn(async move { daemon.refresh_if_changed().await });
                    looked = tokio::time::Instant::now();
                }
            }
            _ = hangup.recv() => {
                // A refresh waits for a take-over that is on its way, and that for this loop.
                let daemon = Arc::clone(&daemon);
                tokio::spawn(async move {
                    if let Err(message) = daemon.refresh(false).await {
                        error!("{message}");
                    }
                });
            }
            _ = upgrade.recv() => start_successor(&upgrading),
            _ = terminate.recv() => break None,
            _ = tokio::signal::ctrl_c() => break None,
            () = daemon.stop.notified() => break None,
        }
    };
    if let Some(channel) = successor {
        daemon.retire_api.notify_waiters();
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
                () = daemon.stop.notified() => {}
            }
        };
        takeover::drain(&daemon, channel, stop).await;
        if let Some(monitor) = &daemon.monitor {
            monitor.finish().await;
        }
    } else {
        notify_systemd("STOPPING=1");
        handing_over.abort();
        takeover::stop(&daemon).await;
        daemon.stopping.store(true, Ordering::SeqCst);
        daemon.tell_alive(false).await;
        if let Some(monitor) = &daemon.monitor {
            monitor.switch(false).await;
        }
        let _ = fs::remove_file(&daemon.configuration.socket);
    }
    if let Some(history) = &daemon.history {
        history.finish().await;
    }
    daemon.smf.finish().await;
    // The capture rules stay: what the policy protects is refused from now on, not let through.
    info!(active = daemon.engine.active(), "EZZ8433I PAGENT STOPPING");
    // The API's last answer is on its way; records are in their writer's hands.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    daemon.saf.close().await;
    Ok(())
}

fn engine_settings(
    configuration: &Configuration,
    rings: Arc<dyn ReadsRings>,
    clients: Arc<dyn KnowsClients>,
) -> anyhow::Result<Settings> {
    let observation = configuration.zert.enabled.then_some(Observation {
        group: configuration.zert.group,
        packets: configuration.zert.packets,
        bytes: configuration.zert.bytes,
        dialogue_ports: configuration.zert.dialogue_ports.clone(),
        dialogue: (configuration.zert.dialogue_packets, configuration.zert.dialogue_bytes),
    });
    let capture = configuration.capture.enabled.then(|| CaptureSettings {
        outbound_port: configuration.capture.outbound_port,
        inbound_port: configuration.capture.inbound_port,
        marks: configuration.marks(),
        route_table: configuration.capture.route_table,
        boot_file: configuration.boot_file(),
        observation,
    });
    Ok(Settings {
        capture,
        listeners: configuration.listeners(),
        rings,
        clients,
        ring_owner: configuration.ring_owner.clone(),
        ticket_secret: configuration.read_ticket_secret()?,
    })
}

/// Starts the installed program as the one that takes over, in this one's place in the service; one at a time.
fn start_successor(upgrading: &Arc<AtomicBool>) {
    if upgrading.swap(true, Ordering::SeqCst) {
        return;
    }
    let done = Arc::clone(upgrading);
    let mut words: Vec<_> = std::env::args_os().collect();
    if !words.iter().any(|word| word == "--takeover") {
        words.push("--takeover".into());
    }
    let Some((program, words)) = words.split_first() else { return };
    match tokio::process::Command::new(program).args(words).spawn() {
        Ok(mut child) => {
            tokio::spawn(async move {
                if let Ok(status) = child.wait().await {
                    warn!(%status, "the daemon that was to take over has ended");
                }
                done.store(false, Ordering::SeqCst);
            });
        }
        Err(problem) => {
            done.store(false, Ordering::SeqCst);
            error!(%problem, "the daemon that is to take over cannot be started");
        }
    }
}

fn start_monitor(
    configuration: &Configuration,
    smf: &SmfFile,
    history: Option<Collector>,
) -> anyhow::Result<Option<Monitor>> {
    if !configuration.zert.enabled {
        return Ok(None);
    }
    let context = RecordContext {
        system: configuration.sysname.clone(),
        sysplex: "LOCAL".to_owned(),
        stack: configuration.image.clone(),
        userid: stack::owner::userid(nix::unistd::getuid().as_raw()).unwrap_or_default(),
    };
    let smf = smf.clone();
    let settings = MonitorSettings {
        group: configuration.zert.group,
        hold_file: configuration.hold_file(),
        hold: zert::hold::Hold { queue: configuration.zert.queue, mark_shift: configuration.capture.mark_shift },
        context,
        types: configuration.smf.type119.clone(),
        interval: std::time::Duration::from_secs(60) * configuration.zert.summary_minutes,
        history: history.map(|history| Box::new(move |facts: &zert::Facts| history.record(facts)) as History),
        sink: Box::new(move |record| smf.write(record)),
    };
    Monitor::start(settings).map(Some).context("zERT cannot hear of the ends of connections; is CAP_NET_ADMIN there?")
}

impl Daemon {
    /// Serves the control API until this daemon is stopped or taken over from.
    pub(crate) fn serve_api(self: &Arc<Self>, listener: UnixListener) {
        let router = control::router(Arc::clone(self)).into_make_service_with_connect_info::<control::Peer>();
        let daemon = Arc::clone(self);
        let api =
            axum::serve(listener, router).with_graceful_shutdown(async move { daemon.retire_api.notified().await });
        tokio::spawn(async move { api.await });
    }

    /// Whether zERT hears of new connections: of two daemons only one can.
    pub(crate) async fn observe(&self, observe: bool) -> anyhow::Result<()> {
        let Some(monitor) = &self.monitor else { return Ok(()) };
        monitor.observe(observe).await.context("zERT cannot observe this host; is CAP_NET_ADMIN there?")
    }

    /// Loads the policy files and puts them in force, or changes nothing and says why. Somebody asked for it: the kernel's table
    /// is loaded whole, whatever has been done to it by hand. `force`: even if it may cut off the host's own SSH.
    pub(crate) async fn refresh(&self, force: bool) -> Result<Vec<String>, String> {
        self.engine.load_whole();
        self.read_policy(None, force).await
    }

    /// The same. From a daemon that is taken over from the policy's place is claimed first.
    async fn read_policy(&self, inheritance: Option<&Inheritance>, force: bool) -> Result<Vec<String>, String> {
        let _one_at_a_time = self.refreshing.lock().await;
        if self.engine.is_retired() {
            return Err("another daemon has taken over".to_owned());
        }
        if self.released.load(Ordering::SeqCst) {
            return Err("the capture rules have been released; the daemon is stopping".to_owned());
        }
        let result = self.install(inheritance, force || self.force).await;
        let mut state = self.policy.write().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(InstalledPolicy { old, new, messages }) => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                state.history = state.history.after(&old, &new, i64::try_from(now.as_secs()).unwrap_or(0));
                state.installed = Some(now.as_secs());
                state.refused = None;
                Ok(messages)
            }
            Err(message) => {
                state.refused = Some(message.clone());
                Err(message)
            }
        }
    }

    /// The installed policy as `pasearch` shows it.
    pub(crate) fn policy_report(&self) -> policies::report::Report {
        let state = self.policy.read().unwrap_or_else(PoisonError::into_inner);
        let instance = state.installed.and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(0);
        let now = chrono::Local::now().fixed_offset();
        let image = &self.configuration.image;
        let report = policies::report::Report::new(&self.engine.policy(), image, instance, now, &state.history);
        let files = state.files.iter().map(|file| file.path.clone()).collect();
        policies::report::Report { files, ..report }
    }

    fn refresh_interval(&self) -> std::time::Duration {
        let state = self.policy.read().unwrap_or_else(PoisonError::into_inner);
        // No interval is shorter than a second.
        std::time::Duration::from_secs(state.refresh_interval.max(1).into())
    }

    /// Reads the policy again when one of its files has changed (TcpImage's refresh interval).
    async fn refresh_if_changed(&self) {
        let files = self.policy.read().unwrap_or_else(PoisonError::into_inner).files.clone();
        let changed = tokio::task::spawn_blocking(move || {
            files.iter().any(|file| Stamp::of(Path::new(&file.path)) != file.stamp)
        });
        // What could not be looked at is read again.
        if changed.await.unwrap_or(true) && !self.released.load(Ordering::SeqCst) {
            info!("a policy file has changed");
            if let Err(message) = self.read_policy(None, false).await {
                error!("{message}");
            }
        }
    }

    async fn install(&self, inheritance: Option<&Inheritance>, force: bool) -> Result<InstalledPolicy, String> {
        let image = &self.configuration.image;
        let errors = format!("EZZ8438I PAGENT POLICY DEFINITIONS CONTAIN ERRORS FOR {image} : TTLS");
        let (configuration, keyrings) = (self.configuration.clone(), Arc::clone(&self.keyrings));
        let now = chrono::Local::now().timestamp();
        let loaded = tokio::task::spawn_blocking(move || {
            let path = configuration.policy.clone();
            let (path, image) = (std::slice::from_ref(&path), configuration.image.as_str());
            policy_files::load_stamped(path, &configuration, Some(image), Some((&*keyrings, now)))
        });
        let (loaded, files) = loaded.await.map_err(|error| error.to_string())?;
        {
            // Files of a policy that is refused are watched too: mended, they are read again.
            let mut state = self.policy.write().unwrap_or_else(PoisonError::into_inner);
            let lists = policy_files::stamps_of_lists(&loaded.policy);
            state.files = files.into_iter().chain(lists).map(|(path, stamp)| PolicyFile { path, stamp }).collect();
            state.refresh_interval = loaded.refresh;
        }
        let findings = diagnostic::render(&loaded.diagnostics);
        if loaded.has_errors() {
            return Err(format!("{errors}\n{findings}"));
        }
        if !findings.is_empty() {
            warn!("the policy has warnings and notes\n{findings}");
        }
        let policies::Loaded { policy, log_level, .. } = loaded;
        let policy = Arc::new(policy);
        if policy.ttls.is_empty() && policy.zert.is_empty() && zert::hold::is_in_the_kernel() {
            return Err(format!(
                "{errors}\nthe new policy has no rules, the one before holds connections (`Hold On`): nothing is opened by a file that \
                 came up empty; to open on purpose use `pagent stop --release`"
            ));
        }
        if policy.ttls.is_empty() && self.engine.captures() {
            return Err(format!(
                "{errors}\nthe new policy has no TTLS rules, the one before has: nothing is opened by a file that came up \
                 empty; to open on purpose use `pagent stop --release`"
            ));
        }
        if !force && self.monitor.is_some() {
            let policy = Arc::clone(&policy);
            let checked = tokio::task::spawn_blocking(move || ssh_guard::check(&policy)).await;
            checked.unwrap_or_else(|error| Err(error.to_string())).map_err(|message| format!("{errors}\n{message}"))?;
        }
        let (engine, old) = (self.engine.clone(), self.engine.policy());
        let new = Arc::clone(&policy);
        let taking_over = inheritance.is_some();
        let prepared = tokio::task::spawn_blocking(move || {
            let prepared = engine
                .prepare(new)
                .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
            if taking_over {
                engine.check(&prepared).map_err(|error| error.to_string())?;
            }
            Ok::<_, String>(prepared)
        });
        let prepared =
            prepared.await.map_err(|error| error.to_string())?.map_err(|error| format!("{errors}\n{error}"))?;
        if let Some(inheritance) = inheritance {
            inheritance.ready().await.map_err(|error| format!("the running daemon does not wait for it: {error}"))?;
        }
        // Before the policy is in force what it holds is held. A daemon that is taken over from goes on holding what its own does.
        if !taking_over {
            self.hold(&policy).await.map_err(|error| format!("{errors}\n{error}"))?;
        }
        let engine = self.engine.clone();
        let installed =
            tokio::task::spawn_blocking(move || engine.install(prepared).map_err(|error| error.to_string()));
        let installed = installed.await.map_err(|error| error.to_string()).and_then(|installed| installed);
        if let Err(error) = installed {
            // Without a policy that was in force what is held stays so, and is judged by nobody.
            if !taking_over && self.has_policy() {
                match self.hold(&old).await {
                    Ok(()) => self.monitor.iter().for_each(|monitor| monitor.set_policy(Arc::clone(&old))),
                    Err(problem) => error!("{problem}; connections wait for a policy"),
                }
            }
            return Err(format!("{errors}\n{error}"));
        }
        if taking_over {
            self.hold(&policy).await.map_err(|error| format!("{errors}\n{error}"))?;
        }
        if let Some(monitor) = &self.monitor {
            monitor.set_policy(Arc::clone(&policy));
        }
        self.tell_of_zert(&policy);
        let mut messages = vec![format!("EZZ8771I PAGENT CONFIG POLICY PROCESSING COMPLETE FOR {image} : TTLS")];
        self.log.set(log_level);
        if policy.ttls.is_empty() {
            messages.push(format!("EZZ4249I {image} INSTALLED TTLS POLICY HAS NO RULES"));
        }
        messages.push(format!("EZD1586I PAGENT HAS INSTALLED ALL LOCAL POLICIES FOR {image}"));
        for message in &messages {
            info!("{message}");
        }
        Ok(InstalledPolicy { old, new: policy, messages })
    }

    /// Has the kernel copy packets to zERT though there is no policy, where no earlier one's rules do that.
    async fn observe_only(&self) -> Result<(), String> {
        if self.monitor.is_none() || self.engine.captures() || zert::hold::is_in_the_kernel() {
            return Ok(());
        }
        let engine = self.engine.clone();
        let installed = tokio::task::spawn_blocking(move || {
            let prepared = engine
                .prepare(Arc::default())
                .map_err(|errors| errors.iter().map(ToString::to_string).collect::<String>())?;
            engine.install(prepared).map_err(|error| error.to_string())
        });
        installed.await.map_err(|error| error.to_string())?
    }

    /// Has the kernel hold what a policy holds.
    async fn hold(&self, policy: &Arc<policies::Policy>) -> Result<(), String> {
        let Some(monitor) = &self.monitor else { return Ok(()) };
        monitor.hold(policy).await.map_err(|error| format!("what `Hold On` holds cannot be held: {error}"))
    }

    /// What keeps zERT rules from doing what they say.
    fn tell_of_zert(&self, policy: &policies::Policy) {
        let image = &self.configuration.image;
        if !policy.zert.is_empty() && self.monitor.is_none() {
            warn!(
                "EZZ8564I NO ZERT POLICY WILL BE ENFORCED FOR {image} BECAUSE ZERT FUNCTION IS NOT ENABLED ([zert] enabled = \
                 false in pagent.toml)"
            );
        }
        let audited = policy.zert.iter().any(|rule| rule.action.audit);
        if audited && !self.configuration.smf.type119.contains(&RecordType::ZertDetailByPolicy) {
            warn!(
                "EZZ8565I NO AUDIT RECORD WILL BE WRITTEN BY ZERT POLICY ENFORCEMENT FOR {image} - ZERTDETAILBYPOLICY AND \
                 ZERTSERVICEBYPOLICY NOT ENABLED ([smf] type119 in pagent.toml)"
            );
        }
    }

    /// Whether a policy has been installed since the start.
    pub(crate) fn has_policy(&self) -> bool {
        self.policy.read().unwrap_or_else(PoisonError::into_inner).installed.is_some()
    }

    /// Writes the history; while it cannot be opened what was counted waits.
    async fn keep_history(self: Arc<Self>) {
        let (Some(history), Some(monitor)) = (&self.history, &self.monitor) else { return };
        let url = self.configuration.history_url();
        let mut told = false;
        let store = loop {
            match Store::open(&url, &saf::shown_url(&url)).await {
                Ok(store) => break store,
                Err(problem) if told => debug!(%problem, "the zERT history cannot be opened"),
                Err(problem) => error!(%problem, "what is counted waits in memory"),
            }
            told = true;
            tokio::time::sleep(HISTORY).await;
        };
        let monitor = monitor.clone();
        history.write_to(store, self.configuration.zert.history_days, move || {
            let statistics = monitor.statistics();
            statistics.lost + statistics.older
        });
    }

    /// Forgets commands that were recorded too long ago, once a day.
    async fn forget(self: Arc<Self>) {
        let Some(days) = self.configuration.audit_days else { return };
        let mut ticks = tokio::time::interval(DAY);
        loop {
            ticks.tick().await;
            match self.saf.forget_commands(DAY * days).await {
                Ok(0) => {}
                Ok(forgotten) => info!(forgotten, days, "RACF commands are no longer on record"),
                Err(error) => warn!(%error, "the record of RACF commands grows"),
            }
        }
    }

    /// Puts the capture rules back when somebody removed them (`nft flush ruleset`).
    async fn repair(&self) {
        // While a refresh or a release is under way the table is theirs.
        let Ok(_alone) = self.refreshing.try_lock() else { return };
        if self.released.load(Ordering::SeqCst) || self.engine.is_retired() {
            return;
        }
        if let Some(monitor) = &self.monitor {
            match monitor.repair_hold().await {
                Ok(false) => {}
                Ok(true) => {
                    error!("the rules that hold connections had been removed by another program; they are back")
                }
                Err(problem) => error!(%problem, "the rules that hold connections are gone and cannot be put back"),
            }
        }
        let engine = self.engine.clone();
        match tokio::task::spawn_blocking(move || engine.repair()).await {
            Ok(Ok(true)) => error!("the capture rules had been removed by another program; they are in force again"),
            Ok(Ok(false)) => {}
            Ok(Err(problem)) => error!(%problem, "the capture rules are gone and cannot be put back"),
            Err(problem) => error!(%problem, "the capture rules could not be checked"),
        }
    }

    /// Tells rules with `FailMode Open` that the daemon is there, until it is not: it stops, or another one takes over. Not
    /// where refreshes are waited for.
    async fn stay_alive(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(REPAIR);
        while !self.engine.is_retired() && !self.stopping.load(Ordering::SeqCst) {
            ticks.tick().await;
            self.tell_alive(true).await;
        }
    }

    async fn tell_alive(&self, alive: bool) {
        let engine = self.engine.clone();
        if let Ok(Err(problem)) = tokio::task::spawn_blocking(move || engine.tell_alive(alive)).await
            && !self.released.load(Ordering::SeqCst)
        {
            warn!(%problem, "rules with FailMode Open cannot be told whether the daemon is there");
        }
    }

    pub(crate) async fn release(&self) -> Result<(), String> {
        let _alone = self.refreshing.lock().await;
        if self.engine.is_retired() {
            return Err("another daemon has just taken over; say it again, to that one".to_owned());
        }
        let configuration = self.configuration.clone();
        let released = tokio::task::spawn_blocking(move || release(&configuration));
        released.await.map_err(|error| error.to_string())?.map_err(|error| format!("{error:#}"))?;
        self.released.store(true, Ordering::SeqCst);
        warn!("the capture rules are removed: connections the policy protects travel in clear text from now on");
        Ok(())
    }

    pub(crate) async fn status(&self) -> Status {
        let predecessors = self.engine.predecessors().await;
        let policy = self.engine.policy();
        let (smf_written, smf_lost) = self.smf.counts();
        Status {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            sysname: self.configuration.sysname.clone(),
            image: self.configuration.image.clone(),
            policy: self.policy.read().unwrap_or_else(PoisonError::into_inner).clone(),
            ttls_rules: policy.ttls.len(),
            zert_rules: policy.zert.len(),
            active_connections: self.engine.active(),
            predecessors,
            fips_module: ttls::fips_module(),
            handshakes: self.engine.environments(),
            zert: self.monitor.as_ref().map(Monitor::statistics),
            smf_written,
            smf_lost,
        }
    }
}

/// Removes the rules that capture and hold connections.
pub(crate) fn release(configuration: &Configuration) -> anyhow::Result<()> {
    zert::hold::remove(&configuration.hold_file()).context("what is held cannot be released")?;
    ttls::release(&configuration.boot_file()).context("the capture rules cannot be removed")
}

/// The control socket: everybody may connect, SAF decides what they may ask.
///
/// `inherited`: the one of the daemon that is taken over from.
fn listen(path: &Path, inherited: Option<OwnedFd>) -> anyhow::Result<UnixListener> {
    let context = || format!("the control socket {} cannot be made", path.display());
    if let Some(inherited) = inherited {
        let inherited = std::os::unix::net::UnixListener::from(inherited);
        if inherited.local_addr().is_ok_and(|address| address.as_pathname() == Some(path)) {
            return UnixListener::from_std(inherited).with_context(context);
        }
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(context)?;
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        anyhow::bail!("another pagent answers on {}", path.display());
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).with_context(context),
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(context)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666)).with_context(context)?;
    Ok(listener)
}

/// Two descriptors a wrapped connection: the soft limit goes up to the hard one.
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        warn!(%error, "the descriptor limit could not be raised");
    }
}

/// Tells systemd (`Type=notify`) how far we are.
fn notify_systemd(state: &str) {
    #[allow(clippy::disallowed_methods, reason = "systemd says in the environment where it listens")]
    let Ok(path) = std::env::var("NOTIFY_SOCKET") else { return };
    let send = || std::os::unix::net::UnixDatagram::unbound()?.send_to(state.as_bytes(), &path);
    if let Err(error) = send() {
        warn!(%error, "systemd could not be told");
    }
}
