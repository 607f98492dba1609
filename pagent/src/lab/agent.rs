//! A pagent daemon on a host of the laboratory, and the commands beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;

use super::host::{Host, Running, wait_until};

/// A daemon with a state folder of its own.
#[derive(Debug)]
pub struct Agent {
    host: Host,
    folder: PathBuf,
    programs: PathBuf,
    running: Option<Running>,
}

impl Agent {
    /// Sets up state folder and database for a host and writes its configuration; starts nothing. `programs` is the
    /// folder of the pagent binaries.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written or `pagent init` fails.
    pub fn new(host: &Host, folder: &Path, programs: &Path) -> anyhow::Result<Self> {
        let folder = folder.join(format!("agent-{}", host.namespace()));
        fs::create_dir_all(&folder)?;
        let agent = Self { host: host.clone(), folder, programs: programs.to_owned(), running: None };
        agent.configure("")?;
        let output = agent.pagent(&["init"])?;
        if !output.status.success() {
            bail!("pagent init: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(agent)
    }

    /// Writes pagent.toml with further lines.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn configure(&self, more: &str) -> anyhow::Result<()> {
        let folder = self.folder.display();
        let text = format!(
            "policy = \"{folder}/pagent.conf\"\nstate = \"{folder}/state\"\nsocket = \"{folder}/pagent.sock\"\n\
             sysname = \"SYSA\"\nlog = \"info\"\n{more}\n"
        );
        Ok(fs::write(self.folder.join("pagent.toml"), text)?)
    }

    /// The folder of its files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of a key ring of files: `$RINGS/NAME` in policies.
    #[must_use]
    pub fn ring(&self, name: &str) -> PathBuf {
        self.folder.join("rings").join(name)
    }

    /// The file the boot unit loads.
    #[must_use]
    pub fn boot_file(&self) -> PathBuf {
        self.folder.join("state/capture.nft")
    }

    /// Writes the policy file; [`Agent::refresh`] puts it in force. `$RINGS` in it is the folder of key rings.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn policy(&self, text: &str) -> anyhow::Result<()> {
        self.policy_file("pagent.conf", text)
    }

    /// Writes a file that the policy file names.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn policy_file(&self, name: &str, text: &str) -> anyhow::Result<()> {
        // A refresh under way sees the old file or the new one, never half of one.
        let temporary = self.folder.join(format!("{name}.new"));
        let rings = self.folder.join("rings");
        fs::write(&temporary, text.replace("$RINGS", &rings.to_string_lossy()))?;
        Ok(fs::rename(temporary, self.folder.join(name))?)
    }

    /// Starts the daemon and waits until it answers.
    ///
    /// # Errors
    ///
    /// When it ends or does not answer in time, with its log.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let mut running = self.host.start_command("pagent", self.command("pagent", &["run"]))?;
        running.wait_for("EZZ8432I PAGENT INITIALIZATION COMPLETE")?;
        self.running = Some(running);
        Ok(())
    }

    /// Starts the daemon, with these words more, where it must not come up, and gives its log.
    ///
    /// # Errors
    ///
    /// When it comes up or does not end.
    pub fn start_in_vain(&self, words: &[&str]) -> anyhow::Result<String> {
        let words = [&["run"], words].concat();
        let mut running = self.host.start_command("pagent", self.command("pagent", &words))?;
        let status = running.wait()?;
        if status.success() {
            bail!("the daemon ended without an error:\n{}", running.said());
        }
        Ok(running.said())
    }

    /// Has a new daemon take over from the running one, and gives the old one.
    ///
    /// # Errors
    ///
    /// When the new one does not come up, with its log.
    pub fn take_over(&mut self) -> anyhow::Result<Running> {
        let mut new = self.host.start_command("pagent", self.command("pagent", &["run", "--takeover"]))?;
        new.wait_for("EZZ8432I PAGENT INITIALIZATION COMPLETE")?;
        self.running.replace(new).context("the daemon was not running")
    }

    /// Reads the policy again.
    ///
    /// # Errors
    ///
    /// When the daemon refuses it, with its reasons.
    pub fn refresh(&self) -> anyhow::Result<()> {
        let output = self.pagent(&["refresh"])?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Puts a policy in force: starts the daemon with it, or has the running one read it.
    ///
    /// # Errors
    ///
    /// When it cannot be written, the daemon does not come up, or refuses it.
    pub fn install(&mut self, text: &str) -> anyhow::Result<()> {
        self.policy(text)?;
        if self.running.is_some() { self.refresh() } else { self.start() }
    }

    /// Kills the daemon with SIGKILL.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut running = self.running.take().context("the daemon is not running")?;
        running.signal(Signal::SIGKILL)?;
        running.wait().map(drop)
    }

    /// Stops the daemon in order.
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let mut running = self.running.take().context("the daemon is not running")?;
        running.signal(Signal::SIGTERM)?;
        let status = running.wait()?;
        if !status.success() {
            bail!("the daemon ended with {status}:\n{}", running.said());
        }
        Ok(())
    }

    /// The daemon's log.
    #[must_use]
    pub fn log(&self) -> String {
        self.running.as_ref().map(Running::said).unwrap_or_default()
    }

    /// Waits until the daemon's log has these words: a peer may know of an event before the log does.
    ///
    /// # Errors
    ///
    /// The log, if it never has them.
    pub fn says(&self, words: &str) -> anyhow::Result<()> {
        wait_until(&format!("the log has `{words}`"), || Ok(self.log().contains(words))).with_context(|| self.log())
    }

    /// Waits until the log has these words so many times.
    ///
    /// # Errors
    ///
    /// The log, if it has them less or more often.
    pub fn says_times(&self, words: &str, times: usize) -> anyhow::Result<()> {
        let often = || self.log().matches(words).count();
        wait_until(&format!("the log has `{words}` {times} times"), || Ok(often() == times)).with_context(|| self.log())
    }

    /// Waits until the last line of the log with `subject` has all these words too.
    ///
    /// # Errors
    ///
    /// The log, if it does not.
    pub fn says_of(&self, subject: &str, words: &[&str]) -> anyhow::Result<()> {
        let said = |log: &str| {
            let line = log.lines().rfind(|line| line.contains(subject)).unwrap_or_default();
            words.iter().all(|word| line.contains(word))
        };
        wait_until(&format!("the log has {words:?} of `{subject}`"), || Ok(said(&self.log())))
            .with_context(|| self.log())
    }

    /// The daemon's process id; 0 while it does not run.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.running.as_ref().map_or(0, Running::pid)
    }

    /// A command of this project on the agent's host, with the agent's configuration.
    #[must_use]
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = self.host.command(self.programs.join(program));
        command.arg("--config").arg(self.folder.join("pagent.toml")).args(arguments);
        command
    }

    /// The same as another user.
    #[must_use]
    pub fn command_as(&self, uid: u32, program: &str, arguments: &[&str]) -> Command {
        let mut command = self.host.command_as(uid, self.programs.join(program));
        command.arg("--config").arg(self.folder.join("pagent.toml")).args(arguments);
        command
    }

    /// Runs `pagent`.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn pagent(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        Ok(self.command("pagent", arguments).output()?)
    }

    /// Runs a command that must succeed, and gives what it printed.
    ///
    /// # Errors
    ///
    /// When it fails, with what it said.
    pub fn succeed(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.command(program, arguments).output()?;
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            bail!("{program} {}: {}\n{stdout}{stderr}", arguments.join(" "), output.status);
        }
        Ok(stdout.into_owned())
    }

    /// The SMF records written so far.
    ///
    /// # Errors
    ///
    /// When the dump cannot be read.
    pub fn records(&self) -> anyhow::Result<Vec<serde_json::Value>> {
        let text = self.succeed("smf", &["json"])?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// Waits until records fulfil a condition, and gives them.
    ///
    /// # Errors
    ///
    /// When they do not in time.
    pub fn records_when(
        &self,
        what: &str,
        holds: impl Fn(&[serde_json::Value]) -> bool,
    ) -> anyhow::Result<Vec<serde_json::Value>> {
        let mut found = Vec::new();
        let waited = wait_until(what, || {
            found = self.records()?;
            Ok(holds(&found))
        });
        waited.with_context(|| format!("the records are {found:#?}"))?;
        Ok(found)
    }
}
