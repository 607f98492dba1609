//! `pagent.toml`: where things are. What connections get is the policy's business, not this file's.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use keyrings::Envelope;
use saf::Userid;
use serde::Deserialize;
use ttls::{Listener, Marks, TicketSecret};
use zert::RecordType;

use crate::smf_file::DumpSettings;

/// The file that is read when none is named.
pub(crate) const DEFAULT_PATH: &str = "/etc/pagent/pagent.toml";

/// The daemon's configuration. Every field has a default; an unknown field is an error.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Configuration {
    /// The main policy file (IBM's pagent.conf), or a policy file.
    pub(crate) policy: PathBuf,
    /// The state folder: SAF database, SMF dump, the boot unit's ruleset.
    pub(crate) state: PathBuf,
    /// The control socket.
    pub(crate) socket: PathBuf,
    /// The system's name in resource names and records, at most 8 characters; the host name by default.
    pub(crate) sysname: String,
    /// The stack's name (TcpImage).
    pub(crate) image: String,
    /// The SAF database by URL; `saf.db` in the state folder by default.
    pub(crate) saf: Option<String>,
    /// The RACF user as which AT-TLS reads key rings, and the owner of those that policies name without one.
    pub(crate) ring_owner: String,
    /// The file whose key encrypts the private keys of the SAF database; by default the credential `pagent-envelope` of the
    /// systemd service, where it has one, else `envelope.key` in the state folder, which is made with the first private key.
    pub(crate) envelope: Option<PathBuf>,
    /// Days for which RACF commands and their results are kept in the database; for ever by default. SMF type 80 records are
    /// another matter.
    pub(crate) audit_days: Option<u32>,
    /// A file of 32 bytes or more that daemons share, on several hosts or one after the other, so that each resumes the others'
    /// TLS sessions. Without it the keys of session tickets are the process's own.
    pub(crate) ticket_secret: Option<PathBuf>,
    /// What is logged: `error`, `warn`, `info`, `debug`, or tracing's filter syntax. Without it the policy's LogLevel
    /// counts, and `info` without that.
    pub(crate) log: Option<String>,
    /// The capture of connections.
    pub(crate) capture: Capture,
    /// Ports that are bound to a rule each.
    pub(crate) listen: Vec<Listen>,
    /// The zERT observer.
    pub(crate) zert: Zert,
    /// The SMF dump.
    pub(crate) smf: Smf,
}

/// `[smf]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Smf {
    /// The records of type 119 that are written, by SMFCONFIG's words; all of them by default.
    pub(crate) type119: BTreeSet<RecordType>,
    /// MiB after which another file is begun; 0: never for that.
    pub(crate) most_megabytes: u32,
    /// Hours after which another file is begun; 0: never for that.
    pub(crate) most_hours: u32,
    /// Days after which files that are written no more are deleted; 0: never.
    pub(crate) keep_days: u32,
    /// Seconds that written records may take to the disk; 0: the next ones wait until they are there.
    pub(crate) sync_seconds: u32,
}

impl Default for Smf {
    fn default() -> Self {
        Self { type119: RecordType::all(), most_megabytes: 256, most_hours: 0, keep_days: 0, sync_seconds: 5 }
    }
}

/// `[[listen]]`: connections to a port of this host are wrapped as a rule says, and go on to a target.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listen {
    /// Where connections arrive.
    pub(crate) address: SocketAddr,
    /// Where the other leg goes.
    pub(crate) target: SocketAddr,
    /// The rule's name; its conditions play no part.
    pub(crate) rule: String,
}

/// `[capture]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Capture {
    /// Whether the kernel hands connections over. Without it only `[[listen]]` ports are served, the rules' conditions
    /// protect nothing, and zERT sees nothing.
    pub(crate) enabled: bool,
    /// Where redirected outbound connections arrive; below net.ipv4.ip_unprivileged_port_start.
    pub(crate) outbound_port: u16,
    /// Where inbound connections arrive.
    pub(crate) inbound_port: u16,
    /// The three bits of packet marks that are ours begin here, 0–29.
    pub(crate) mark_shift: u32,
    /// The routing table that delivers marked packets locally.
    pub(crate) route_table: u32,
}

/// `[zert]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Zert {
    /// Whether connections are observed.
    pub(crate) enabled: bool,
    /// The NFLOG group.
    pub(crate) group: u16,
    /// The NFQUEUE number in which packets wait for a verdict (`Hold On`).
    pub(crate) queue: u16,
    /// Packets of each connection that are copied to the observer.
    pub(crate) packets: u32,
    /// Bytes of each connection after which no more are copied.
    pub(crate) bytes: u32,
    /// Servers' ports of protocols whose dialogue goes on in clear text (FTP's transfers), or may lead to TLS late.
    pub(crate) dialogue_ports: Vec<u16>,
    /// Packets of connections to those that are copied.
    pub(crate) dialogue_packets: u32,
    /// Bytes of them after which no more are.
    pub(crate) dialogue_bytes: u32,
    /// Where the history is kept, by URL; in the state folder where it is not said.
    pub(crate) history: Option<String>,
    /// Days after which the history is forgotten; 0: none is kept.
    pub(crate) history_days: u16,
    /// Minutes of a summary's interval (SMF 119-12), 1–1440.
    pub(crate) summary_minutes: u32,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            policy: PathBuf::from("/etc/pagent/pagent.conf"),
            state: PathBuf::from("/var/lib/pagent"),
            socket: PathBuf::from("/run/pagent/pagent.sock"),
            sysname: host_name(),
            image: "TCPIP".to_owned(),
            saf: None,
            ring_owner: "TCPIP".to_owned(),
            envelope: None,
            audit_days: None,
            ticket_secret: None,
            log: None,
            capture: Capture::default(),
            listen: Vec::new(),
            zert: Zert::default(),
            smf: Smf::default(),
        }
    }
}

impl Default for Capture {
    fn default() -> Self {
        Self { enabled: true, outbound_port: 1015, inbound_port: 1016, mark_shift: 16, route_table: 1015 }
    }
}

impl Default for Zert {
    fn default() -> Self {
        Self {
            enabled: true,
            group: 119,
            queue: 119,
            packets: 64,
            bytes: 131_072,
            dialogue_ports: vec![21, 25, 110, 143, 389, 587, 3306, 3389, 5222, 5432],
            dialogue_packets: 10_000,
            dialogue_bytes: 1_048_576,
            history: None,
            history_days: 90,
            summary_minutes: 30,
        }
    }
}

impl Configuration {
    /// Reads a file; without a name the default file, which need not be there.
    ///
    /// # Errors
    ///
    /// When a named file is missing, or a file is not what it should be.
    pub(crate) fn load(path: Option<&Path>) -> anyhow::Result<Self> {
        let (path, required) = path.map_or((Path::new(DEFAULT_PATH), false), |path| (path, true));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        let configuration: Self = toml::from_str(&text).with_context(|| format!("{} is not right", path.display()))?;
        configuration.check().with_context(|| format!("{} is not right", path.display()))?;
        Ok(configuration)
    }

    fn check(&self) -> anyhow::Result<()> {
        if Userid::parse(&self.ring_owner).is_none() {
            bail!("ring_owner is `{}`; expected 1 to 8 characters A-Z 0-9 @ # $, the first no digit", self.ring_owner);
        }
        for (field, name) in [("sysname", &self.sysname), ("image", &self.image)] {
            let valid = (1..=8).contains(&name.len())
                && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || "@#$".contains(c));
            if !valid {
                bail!("{field} is `{name}`; expected 1 to 8 characters A-Z 0-9 @ # $");
            }
        }
        if self.capture.outbound_port == self.capture.inbound_port || self.capture.inbound_port == 0 {
            bail!("capture.outbound_port and capture.inbound_port must be two different ports");
        }
        if self.capture.mark_shift > 29 {
            bail!("capture.mark_shift is {}; expected 0 to 29", self.capture.mark_shift);
        }
        if self.zert.enabled && !self.capture.enabled {
            bail!("zert.enabled needs capture.enabled: the capture table copies packets to it; set both or neither");
        }
        if !(1..=1440).contains(&self.zert.summary_minutes) {
            bail!(
                "zert.summary_minutes is {}; expected 1 to 1440; there are no summaries where smf.type119 has no ZERTSUMMARY",
                self.zert.summary_minutes
            );
        }
        for (at, listen) in self.listen.iter().enumerate() {
            if listen.address.port() == 0 || listen.target.port() == 0 {
                bail!("listen.address and listen.target need a port: {} -> {}", listen.address, listen.target);
            }
            if self.listen.iter().take(at).any(|other| other.address == listen.address) {
                bail!("two [[listen]] have the address {}", listen.address);
            }
            if listen.address == listen.target {
                bail!("the listener {} would connect to itself", listen.address);
            }
        }
        Ok(())
    }

    /// The ports that are bound to rules.
    #[must_use]
    pub(crate) fn listeners(&self) -> Vec<Listener> {
        let listener =
            |listen: &Listen| Listener { address: listen.address, target: listen.target, rule: listen.rule.clone() };
        self.listen.iter().map(listener).collect()
    }

    /// The secret of session tickets, where there is one.
    ///
    /// # Errors
    ///
    /// When its file cannot be read, others can read it too, or it is too short.
    pub(crate) fn read_ticket_secret(&self) -> anyhow::Result<Option<TicketSecret>> {
        let Some(path) = &self.ticket_secret else { return Ok(None) };
        let context = || format!("ticket_secret {} cannot be read", path.display());
        let mode = std::fs::metadata(path).with_context(context)?.permissions().mode();
        if mode & 0o077 != 0 {
            bail!("ticket_secret {} can be read by others: chmod 600", path.display());
        }
        let bytes = std::fs::read(path).with_context(context)?;
        let Some(secret) = TicketSecret::new(&bytes) else {
            let (found, shortest) = (bytes.len(), TicketSecret::SHORTEST);
            bail!(
                "ticket_secret {} has {found} bytes; expected {shortest} or more: `openssl rand -out FILE 64`",
                path.display()
            );
        };
        Ok(Some(secret))
    }

    /// The SAF database's URL.
    #[must_use]
    pub(crate) fn saf_url(&self) -> String {
        self.saf.clone().unwrap_or_else(|| format!("sqlite:{}", self.state.join("saf.db").display()))
    }

    /// The history of zERT.
    #[must_use]
    pub(crate) fn history_url(&self) -> String {
        self.zert.history.clone().unwrap_or_else(|| format!("sqlite:{}", self.state.join("history.db").display()))
    }

    /// The dump that SMF records are written to.
    #[must_use]
    pub(crate) fn smf_dump(&self) -> PathBuf {
        self.state.join("smf119.dump")
    }

    /// What is done with it.
    pub(crate) fn dump_settings(&self) -> DumpSettings {
        let Smf { most_megabytes, most_hours, keep_days, sync_seconds, .. } = self.smf;
        let some = |count: u32, unit: u64| (count > 0).then(|| Duration::from_secs(u64::from(count) * unit));
        DumpSettings {
            path: self.smf_dump(),
            most_bytes: (most_megabytes > 0).then(|| u64::from(most_megabytes) << 20),
            most_age: some(most_hours, 3600),
            keep: some(keep_days, 86_400),
            sync: Duration::from_secs(sync_seconds.into()),
        }
    }

    /// The ruleset the boot unit loads.
    #[must_use]
    pub(crate) fn boot_file(&self) -> PathBuf {
        self.state.join("capture.nft")
    }

    /// What is held, for the boot unit.
    #[must_use]
    pub(crate) fn hold_file(&self) -> PathBuf {
        self.state.join("hold.rules")
    }

    /// The envelope of the private keys in the SAF database.
    #[must_use]
    pub(crate) fn envelope(&self) -> Envelope {
        #[allow(clippy::disallowed_methods, reason = "systemd says in the environment where credentials are")]
        let credential = || {
            let folder = std::env::var_os("CREDENTIALS_DIRECTORY")?;
            Some(Path::new(&folder).join("pagent-envelope")).filter(|path| path.exists())
        };
        Envelope::new(&self.envelope.clone().or_else(credential).unwrap_or_else(|| self.state.join("envelope.key")))
    }

    /// The user as which key rings are read.
    #[must_use]
    pub(crate) fn reader(&self) -> Userid {
        Userid::parse(&self.ring_owner).unwrap_or(Userid::ALL)
    }

    /// The folder of data sets.
    #[must_use]
    pub(crate) fn datasets(&self) -> PathBuf {
        self.state.join("datasets")
    }

    /// The engine's marks.
    #[must_use]
    pub(crate) fn marks(&self) -> Marks {
        Marks::new(self.capture.mark_shift)
    }
}

/// The host's name up to the first dot, as a system name.
fn host_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    let name: String = name
        .split('.')
        .next()
        .unwrap_or_default()
        .to_ascii_uppercase()
        .chars()
        .filter(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
        .take(8)
        .collect();
    if name.is_empty() { "LINUX".to_owned() } else { name }
}
