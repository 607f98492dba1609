//! Bringing the capture rules into the kernel, and taking them out on purpose.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use stack::nftables;
use tracing::warn;

use crate::capture::{self, Table, owner_set, secondary_set};
use crate::error::InstallError;
use crate::marks::Marks;

/// The kernel's side of the engine in this network namespace.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// Where the last ruleset is kept for the boot unit.
    pub(crate) boot_file: PathBuf,
    /// The routing table that delivers marked packets locally.
    pub(crate) route_table: u32,
    /// The engine's marks.
    pub(crate) marks: Marks,
}

impl Kernel {
    /// Puts a capture table in force in one transaction and keeps its text for the next boot. `loaded` is the one that this
    /// process put in force last: where the kernel has it yet, only what differs is changed. `live` is what the table has
    /// beside while this process runs; what the sets of the other `holders` have, they keep.
    ///
    /// The file is written first: if the machine stops between the two, the next boot captures what is about to be
    /// captured, not less.
    ///
    /// # Errors
    ///
    /// When nft is missing or refuses, or the file cannot be written; the table in the kernel is then unchanged.
    pub(crate) fn replace(
        &self,
        table: &Table,
        loaded: Option<&Table>,
        live: &str,
        hold: &str,
        holders: &[u64],
    ) -> Result<(), InstallError> {
        let _locked = self.lock()?;
        let text = table.text();
        let file = |source| InstallError::File { path: self.boot_file.clone(), source };
        let previous = fs::read(&self.boot_file).ok();
        let temporary = self.boot_file.with_extension("nft.new");
        let write = || -> io::Result<()> {
            let mut new = fs::File::create(&temporary)?;
            new.write_all(hold.as_bytes())?;
            new.write_all(text.as_bytes())?;
            new.sync_all()?;
            fs::rename(&temporary, &self.boot_file)
        };
        write().map_err(file)?;
        if let Some(change) = loaded.and_then(|loaded| table.change_from(loaded))
            && is_loaded_by(table.holder()).unwrap_or(false)
        {
            match nft(&(change + live)) {
                Ok(()) => return Ok(()),
                // Somebody has done something to the table: the whole one.
                Err(error) => warn!(%error, "what differs could not be changed, the capture rules are loaded anew"),
            }
        }
        let whole = || {
            let mut commands = text.clone() + live;
            for name in holders.iter().flat_map(|holder| [4, 6].map(|family| secondary_set(family, *holder))) {
                for peer in peers_in(&name)? {
                    let _ = writeln!(commands, "add element inet pagent {name} {{ {peer} }}");
                }
            }
            nft(&commands)
        };
        whole().inspect_err(|_| {
            let _ = match &previous {
                Some(previous) => fs::write(&self.boot_file, previous),
                None => fs::remove_file(&self.boot_file),
            };
        })
    }

    /// Whether the kernel would take a table; it is not changed.
    ///
    /// # Errors
    ///
    /// When nft is missing, or it would not.
    pub(crate) fn check(&self, text: &str) -> Result<(), InstallError> {
        run_nft(&["-c", "-f", "-"], text)
    }

    /// Changes sets of the capture table.
    ///
    /// # Errors
    ///
    /// When nft is missing or refuses.
    pub(crate) fn change(&self, commands: &str) -> Result<(), InstallError> {
        let _locked = self.lock()?;
        nft(commands)
    }

    /// Held while the capture table changes: a daemon that takes over shares it with the one before.
    fn lock(&self) -> Result<fs::File, InstallError> {
        let path = self.boot_file.with_extension("lock");
        let locked = fs::File::create(&path).and_then(|file| file.lock().map(|()| file));
        locked.map_err(|source| InstallError::File { path, source })
    }

    /// Loads the last run's rules if the kernel has none: what a policy protected is refused until one is installed.
    /// Returns whether it did.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be asked or does not take them.
    pub(crate) fn restore(&self) -> Result<bool, InstallError> {
        if nftables::has_table("pagent")? {
            return Ok(false);
        }
        match fs::read_to_string(&self.boot_file) {
            Ok(text) => nft(&text).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(InstallError::File { path: self.boot_file.clone(), source }),
        }
    }

    /// Whether the last run's rules capture anything.
    pub(crate) fn captured_before(&self) -> bool {
        let text = fs::read_to_string(&self.boot_file).unwrap_or_default();
        capture::captures(&text)
    }

    /// Makes the kernel deliver marked packets to local sockets, count connections' packets, and keep our connections'
    /// entries (`hold`).
    ///
    /// # Errors
    ///
    /// When `ip` or `nft` is missing or refuses.
    pub(crate) fn prepare(&self, hold: &str) -> Result<(), InstallError> {
        nft(hold)?;
        let table = self.route_table.to_string();
        for family in ["-4", "-6"] {
            if family == "-6" && !Path::new("/proc/net/if_inet6").exists() {
                continue; // a kernel without IPv6
            }
            for mark in [self.marks.inbound(), self.marks.plain()] {
                let mark = format!("{mark:#x}/{:#x}", self.marks.mask());
                ip(&[family, "rule", "add", "fwmark", &mark, "lookup", &table, "priority", "100"])?;
            }
            ip(&[family, "route", "replace", "local", "default", "dev", "lo", "table", &table])?;
        }
        ip(&["link", "set", "lo", "up"])?;
        let accounting = Path::new("/proc/sys/net/netfilter/nf_conntrack_acct");
        fs::write(accounting, "1").map_err(|source| InstallError::File { path: accounting.to_owned(), source })
    }
}

/// Removes the capture rules from the kernel and from the next boot: connections the policy would protect travel in
/// clear text afterwards. The one deliberate way to open again.
///
/// # Errors
///
/// When nft is missing or refuses, or the boot file stays.
pub fn release(boot_file: &Path) -> Result<(), InstallError> {
    nft("table inet pagent\ndelete table inet pagent\ntable inet pagent_hold\ndelete table inet pagent_hold\n")?;
    match fs::remove_file(boot_file) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(InstallError::File { path: boot_file.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// The addresses in a set of the capture table; none when there is no such set.
fn peers_in(set: &str) -> Result<Vec<IpAddr>, InstallError> {
    #[derive(Deserialize)]
    struct Listing {
        nftables: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        set: Option<Set>,
    }
    #[derive(Deserialize)]
    struct Set {
        #[serde(default)]
        elem: Vec<IpAddr>,
    }
    let Some(listed) = list_set(set)? else { return Ok(Vec::new()) };
    let listing: Listing = serde_json::from_slice(&listed)
        .map_err(|error| InstallError::Rejected { stderr: format!("the set {set} cannot be read: {error}") })?;
    Ok(listing.nftables.into_iter().filter_map(|item| item.set).flat_map(|set| set.elem).collect())
}

/// A set of the capture table, as `nft -j` shows it; none when there is no such set or no table.
fn list_set(set: &str) -> Result<Option<Vec<u8>>, InstallError> {
    let missing = |source| InstallError::MissingProgram { program: "nft", package: "nftables", source };
    let output = Command::new("nft").args(["-j", "list", "set", "inet", "pagent", set]).output().map_err(missing)?;
    if output.status.success() {
        return Ok(Some(output.stdout));
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if stderr.contains("No such file or directory") { Ok(None) } else { Err(InstallError::Rejected { stderr }) }
}

/// Whether the table in the kernel is the one that this process loaded.
pub(crate) fn is_loaded_by(holder: u64) -> Result<bool, InstallError> {
    Ok(nftables::has_set("pagent", &owner_set(holder))?)
}

/// Whether the kernel has the table that stays.
pub(crate) fn has_hold() -> Result<bool, InstallError> {
    Ok(nftables::has_table("pagent_hold")?)
}

fn nft(text: &str) -> Result<(), InstallError> {
    run_nft(&["-f", "-"], text)
}

fn run_nft(words: &[&str], text: &str) -> Result<(), InstallError> {
    let missing = |source| InstallError::MissingProgram { program: "nft", package: "nftables", source };
    let mut child = Command::new("nft")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(missing)?;
    if let Some(mut stdin) = child.stdin.take() {
        // An nft that died early says why on stderr.
        let _ = stdin.write_all(text.as_bytes());
    }
    let output = child.wait_with_output().map_err(missing)?;
    if output.status.success() {
        return Ok(());
    }
    Err(InstallError::Rejected { stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}

fn ip(arguments: &[&str]) -> Result<(), InstallError> {
    let missing = |source| InstallError::MissingProgram { program: "ip", package: "iproute2", source };
    let output = Command::new("ip").args(arguments).output().map_err(missing)?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.success() || stderr.contains("File exists") {
        return Ok(());
    }
    Err(InstallError::Command { command: format!("ip {}", arguments.join(" ")), stderr: stderr.trim().to_owned() })
}
