//! A small network of namespaces on one machine: hosts, links, programs, certificates, a capture of the wire.
//!
//! The demonstration and the end-to-end tests are built on it. Everything happens in network and mount namespaces of
//! their own, so that nothing of the machine is touched; [`command`] enters them, as root or, through a user namespace,
//! as an ordinary user.

mod agent;
mod certificates;
mod host;
mod wire;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

pub use agent::Agent;
pub use certificates::Authority;
pub use host::{Host, Running, wait_until};
pub use wire::Capture;

/// The uid of user ALICE: high, so that no user of the machine has it, and low enough for subordinate ids.
pub const ALICE: u32 = 61_001;
/// The uid of user BOB.
pub const BOB: u32 = 61_002;

/// Marks the private /run of the laboratory.
const MARK: &str = "/run/pagent-lab";

static LABS: AtomicU32 = AtomicU32::new(0);

/// A network of hosts. Dropping it ends their programs and removes them.
#[derive(Debug)]
pub struct Lab {
    folder: TempDir,
    number: u32,
    hosts: Vec<String>,
}

/// A command line that runs `program` in namespaces of its own, with a private /run and a passwd file that knows the
/// users [`ALICE`] and [`BOB`].
///
/// # Errors
///
/// When this user may not make namespaces: the message says what is missing.
pub fn command(program: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount"]);
    if !nix::unistd::getuid().is_root() {
        check_subordinate_ids()?;
        command.args(["--user", "--map-root-user", "--map-auto"]);
    }
    // The inner shell prepares the mounts, then becomes the program.
    let script = format!(
        "set -e; mount -t tmpfs -o mode=755 tmpfs /run; mkdir /run/netns; : > {MARK}; \
         {{ echo alice:x:{ALICE}:{ALICE}::/:/bin/sh; echo bob:x:{BOB}:{BOB}::/:/bin/sh; \
         grep -v -e ^alice: -e ^bob: /etc/passwd; }} > /run/passwd; chmod 644 /run/passwd; mount --bind /run/passwd /etc/passwd; exec \"$@\""
    );
    command.args(["--", "sh", "-c", &script, "sh"]).arg(program);
    Ok(command)
}

/// An ordinary user needs subordinate ids, so that several users can exist in the user namespace.
fn check_subordinate_ids() -> anyhow::Result<()> {
    for program in ["newuidmap", "newgidmap"] {
        if find_program(program).is_none() {
            bail!("{program} is not installed: as an ordinary user this needs the package uidmap (apt install uidmap)");
        }
    }
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten().map(|user| user.name);
    let user = user.context("your uid has no login name")?;
    for file in ["/etc/subuid", "/etc/subgid"] {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if !text.lines().any(|line| line.starts_with(&format!("{user}:"))) {
            bail!(
                "{file} gives {user} no subordinate ids; as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
            );
        }
    }
    let maximum = std::fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    if maximum.trim() == "0" {
        bail!("user namespaces are turned off: user.max_user_namespaces is 0");
    }
    Ok(())
}

/// Where a program is, in PATH or where administrators' programs are.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

impl Lab {
    /// An empty laboratory.
    ///
    /// # Errors
    ///
    /// When this process is not inside the namespaces that [`command`] makes.
    pub fn new() -> anyhow::Result<Self> {
        if !Path::new(MARK).exists() {
            bail!("the laboratory runs in namespaces of its own: start it with `cargo xtask e2e` or `pagent demo`");
        }
        let folder = tempfile::Builder::new().prefix("lab").tempdir_in("/run")?;
        let open = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open)?;
        Ok(Self { folder, number: LABS.fetch_add(1, Ordering::Relaxed), hosts: Vec::new() })
    }

    /// A folder for the laboratory's files, readable by everybody.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of this project's programs, reachable for every user: the build folder may lie in a home directory.
    /// It is mounted once and outside the laboratory's own folder, which is deleted at the end.
    ///
    /// # Errors
    ///
    /// When it cannot be mounted.
    pub fn programs(&self, build: &Path) -> anyhow::Result<PathBuf> {
        static MOUNTED: Mutex<bool> = Mutex::new(false);
        let programs = PathBuf::from("/run/programs");
        let mut mounted = MOUNTED.lock().unwrap_or_else(PoisonError::into_inner);
        if !*mounted && std::fs::create_dir(&programs).is_ok() {
            let status = Command::new("mount").arg("--bind").arg(build).arg(&programs).status()?;
            if !status.success() {
                bail!("the programs' folder {} cannot be mounted", build.display());
            }
        }
        *mounted = true;
        Ok(programs)
    }

    /// A new host with loopback up.
    ///
    /// # Errors
    ///
    /// When `ip` refuses.
    pub fn host(&mut self, name: &str) -> anyhow::Result<Host> {
        let namespace = format!("{name}-{}-{}", std::process::id(), self.number);
        ip(&["netns", "add", &namespace])?;
        self.hosts.push(namespace.clone());
        ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
        Ok(Host::new(namespace, self.folder.path()))
    }

    /// A cable between two hosts: an interface `eth0` at each end with these addresses (`10.1.1.1/24`).
    ///
    /// # Errors
    ///
    /// When `ip` refuses.
    pub fn cable(&self, ends: [(&Host, &[&str]); 2]) -> anyhow::Result<()> {
        let [(a, _), (b, _)] = ends;
        let link = ["link", "add", "eth0", "netns", a.namespace(), "type", "veth", "peer", "name", "eth0", "netns"];
        ip(&[link.as_slice(), &[b.namespace()]].concat())?;
        for (host, addresses) in ends {
            for address in addresses {
                let nodad: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
                let arguments = ["-n", host.namespace(), "addr", "add", address, "dev", "eth0"];
                ip(&[arguments.as_slice(), nodad].concat())?;
            }
            ip(&["-n", host.namespace(), "link", "set", "eth0", "up"])?;
        }
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for namespace in &self.hosts {
            // Programs are ended by their own guards; a namespace that stays goes with the laboratory.
            let _ = ip(&["netns", "delete", namespace]);
        }
    }
}

/// Runs `ip`.
fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let program = find_program("ip").context("ip is not installed (apt install iproute2)")?;
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output()?;
    if !output.status.success() {
        bail!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
