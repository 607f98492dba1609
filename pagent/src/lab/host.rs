//! A host of the laboratory, and programs on it.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::ip;

/// How long a program may take to listen, or a condition to come true.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

static PROGRAMS: AtomicU32 = AtomicU32::new(0);

/// A host.
#[derive(Clone, Debug)]
pub struct Host {
    namespace: String,
    folder: PathBuf,
}

/// A program that runs until it is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Host {
    pub(super) fn new(namespace: String, folder: &Path) -> Self {
        Self { namespace, folder: folder.to_owned() }
    }

    /// The name of its network namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// A program on this host, not started yet.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace)).arg("--").arg(program).stdin(Stdio::null());
        command
    }

    /// The same as another user.
    #[must_use]
    pub fn command_as(&self, uid: u32, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.command("setpriv");
        command.arg(format!("--reuid={uid}")).arg(format!("--regid={uid}")).args(["--clear-groups", "--"]).arg(program);
        command
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<Output> {
        self.command(program).args(arguments).output().with_context(|| format!("{program} cannot be started"))
    }

    /// Runs a program that must succeed, and gives what it printed.
    ///
    /// # Errors
    ///
    /// When it fails, with what it said.
    pub fn succeed(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.run(program, arguments)?;
        if !output.status.success() {
            bail!(
                "{program} {}: {}\n{}{}",
                arguments.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts a program that stays; what it prints goes to a file.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(&self, program: &str, arguments: &[&str]) -> anyhow::Result<Running> {
        let mut command = self.command(program);
        command.args(arguments);
        self.start_command(program, command)
    }

    /// Starts a prepared command.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start_command(&self, name: &str, mut command: Command) -> anyhow::Result<Running> {
        let number = PROGRAMS.fetch_add(1, Ordering::Relaxed);
        let base = Path::new(name).file_name().and_then(|name| name.to_str()).unwrap_or("program");
        let log = self.folder.join(format!("{base}-{number}.log"));
        let file = File::create(&log)?;
        let child = command.stdout(file.try_clone()?).stderr(file).spawn();
        Ok(Running { child: child.with_context(|| format!("{name} cannot be started"))?, log })
    }

    /// Starts a program and waits until it listens on a port.
    ///
    /// # Errors
    ///
    /// When it ends or does not listen in time, with what it said.
    pub fn serve(&self, port: u16, program: &str, arguments: &[&str]) -> anyhow::Result<Running> {
        let mut running = self.start(program, arguments)?;
        self.wait_for_listener(port, &mut running)?;
        Ok(running)
    }

    fn wait_for_listener(&self, port: u16, running: &mut Running) -> anyhow::Result<()> {
        let listens = || -> anyhow::Result<bool> {
            Ok(self.succeed("ss", &["-Hltn", &format!("sport = :{port}")])?.lines().next().is_some())
        };
        let end = Instant::now() + PATIENCE;
        while !listens()? {
            if running.ended()? || Instant::now() > end {
                bail!("nothing listens on port {port}; the program said:\n{}", running.said());
            }
            sleep(POLL);
        }
        Ok(())
    }

    /// A route to a network.
    ///
    /// # Errors
    ///
    /// When `ip` refuses.
    pub fn route(&self, network: &str) -> anyhow::Result<()> {
        ip(&["-n", &self.namespace, "route", "add", network, "dev", "eth0"])
    }
}

impl Running {
    /// Its process id: of the program itself, which nsenter became.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// What it has printed so far.
    #[must_use]
    pub fn said(&self) -> String {
        let mut text = Vec::new();
        let read = File::open(&self.log).and_then(|mut file| file.read_to_end(&mut text));
        read.map(|_| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    /// Waits until it has printed a text.
    ///
    /// # Errors
    ///
    /// When it does not in time, with what it said instead.
    pub fn wait_for(&mut self, text: &str) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        while !self.said().contains(text) {
            if self.ended()? || Instant::now() > end {
                bail!("`{text}` was not said, but:\n{}", self.said());
            }
            sleep(POLL);
        }
        Ok(())
    }

    /// Whether it has ended by itself.
    ///
    /// # Errors
    ///
    /// When the system cannot tell.
    pub fn ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits for its end, for at most half a minute.
    ///
    /// # Errors
    ///
    /// When it goes on.
    pub fn wait(&mut self) -> anyhow::Result<std::process::ExitStatus> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > end {
                bail!("the program does not end; it said:\n{}", self.said());
            }
            sleep(POLL);
        }
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn signal(&self, signal: nix::sys::signal::Signal) -> anyhow::Result<()> {
        Ok(nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal)?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a condition holds.
///
/// # Errors
///
/// When it does not in time; `what` says what was waited for.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    while !holds()? {
        if Instant::now() > end {
            bail!("waited in vain: {what}");
        }
        sleep(POLL);
    }
    Ok(())
}
