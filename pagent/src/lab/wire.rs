//! What a host's wire carried: captured by dumpcap, judged by tshark.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;

use super::host::{Host, Running, wait_until};

/// A capture of a host's `eth0`.
#[derive(Debug)]
pub struct Capture {
    running: Option<Running>,
    file: PathBuf,
    decode: Vec<String>,
}

impl Capture {
    /// Starts capturing.
    ///
    /// # Errors
    ///
    /// When dumpcap is not installed or does not start.
    pub fn start(host: &Host, folder: &Path, name: &str) -> anyhow::Result<Self> {
        let file = folder.join(format!("{name}.pcapng"));
        let path = file.to_string_lossy();
        let mut running = host
            .start("dumpcap", &["-q", "-i", "eth0", "-w", &path])
            .context("dumpcap is not installed (apt install tshark)")?;
        running.wait_for("File:")?;
        Ok(Self { running: Some(running), file, decode: Vec::new() })
    }

    /// Tells tshark what a port carries (`tcp.port==8080,tls`).
    #[must_use]
    pub fn decode_as(mut self, rule: &str) -> Self {
        self.decode.push(rule.to_owned());
        self
    }

    /// Ends the capture once what was sent so far is in it.
    ///
    /// # Errors
    ///
    /// When dumpcap does not end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        // dumpcap writes in batches: wait until the file stops growing.
        let mut size = 0;
        wait_until("the capture comes to rest", || {
            let now = std::fs::metadata(&self.file).map(|metadata| metadata.len()).unwrap_or(0);
            let at_rest = now == size && now > 0;
            size = now;
            std::thread::sleep(std::time::Duration::from_millis(150));
            Ok(at_rest)
        })?;
        running.signal(Signal::SIGINT)?;
        running.wait().map(drop)
    }

    /// The capture file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The values of fields in the packets that a display filter selects, one line a packet.
    ///
    /// # Errors
    ///
    /// When tshark does not understand the filter or the file.
    pub fn fields(&mut self, filter: &str, fields: &[&str]) -> anyhow::Result<Vec<String>> {
        self.stop()?;
        let mut command = Command::new("tshark");
        command.arg("-r").arg(&self.file).args(["-Y", filter, "-T", "fields"]);
        for rule in &self.decode {
            command.args(["-d", rule]);
        }
        for field in fields {
            command.args(["-e", field]);
        }
        let output = command.output().context("tshark is not installed (apt install tshark)")?;
        if !output.status.success() {
            bail!("tshark: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// How many packets contain a text in the clear.
    ///
    /// # Errors
    ///
    /// As [`Capture::fields`].
    pub fn packets_with(&mut self, text: &str) -> anyhow::Result<usize> {
        Ok(self.fields(&format!("frame contains \"{text}\""), &["frame.number"])?.len())
    }
}
