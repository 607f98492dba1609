//! Where one run takes place: two hosts, a cable, a backend, and the load generator. Every run has its own, so that
//! nothing of an earlier one is left: no rule in the kernel, no connection, no session.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use pagent::lab::{Authority, Host, Lab, Running};

use crate::scenario::{Role, Work};
use crate::tls::{NAME, Tally};
use crate::{backend, load};

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 1));
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 2));
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// Where the backend serves clear text.
const PLAIN: u16 = 7000;
/// Where it serves TLS.
const TLS: u16 = 7443;
/// Where proxies listen.
const PROXY: u16 = 7001;
/// Of certificates: long enough that nobody warns of the end.
const LIFE: Duration = Duration::from_secs(365 * 86_400);

/// One authority and one key for all runs, PEM.
pub(crate) struct Credentials {
    pub(crate) authority: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// The hosts of one run, its files and its backend. The proxy is on `host`.
pub(crate) struct Stage {
    pub(crate) role: Role,
    pub(crate) host: Host,
    /// Where the load generator is.
    from: Host,
    pub(crate) authority: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Certificate and key in one file.
    pub(crate) bundle: PathBuf,
    /// The folder of this project's programs.
    pub(crate) programs: PathBuf,
    tally: PathBuf,
    _backend: Running,
    lab: Lab,
}

/// A load generator that is prepared.
pub(crate) struct Generator {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Credentials {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let authority = Authority::new("Benchmark CA")?;
        let (certificate, key) = authority.issue_until(NAME, SystemTime::now() + LIFE)?;
        Ok(Self { authority: authority.certificate().to_owned(), certificate, key })
    }
}

impl Stage {
    pub(crate) fn new(role: Role, work: Work, credentials: &Credentials) -> anyhow::Result<Self> {
        let mut lab = Lab::new()?;
        let (host, peer) = (lab.host("host")?, lab.host("peer")?);
        lab.cable([(&host, &[&format!("{HOST}/24")]), (&peer, &[&format!("{PEER}/24")])])?;
        let programs = lab.programs(own_program()?.parent().context("this program lies in no folder")?)?;
        let (from, to) = match role {
            Role::Server => (peer, host.clone()),
            Role::Client => (host.clone(), peer),
        };
        let write = |name: &str, text: &str| -> anyhow::Result<PathBuf> {
            let path = lab.folder().join(name);
            fs::write(&path, text)?;
            Ok(path)
        };
        let authority = write("ca.pem", &credentials.authority)?;
        let certificate = write("server.pem", &credentials.certificate)?;
        let key = write("server.key", &credentials.key)?;
        let bundle = write("bundle.pem", &format!("{}{}", credentials.certificate, credentials.key))?;
        let tally = lab.folder().join("tally.sock");
        let plan = backend::Plan {
            plain: SocketAddr::new(ANY, PLAIN),
            tls: SocketAddr::new(ANY, TLS),
            certificate: certificate.clone(),
            key: key.clone(),
            resume: work.resumes(),
            tally: tally.clone(),
        };
        let backend = to.serve(PLAIN, path(&own_program()?), &["backend", &serde_json::to_string(&plan)?])?;
        Ok(Self { role, host, from, authority, certificate, key, bundle, programs, tally, _backend: backend, lab })
    }

    /// A folder for files.
    pub(crate) fn folder(&self) -> &Path {
        self.lab.folder()
    }

    /// Where a proxy listens.
    pub(crate) fn proxy(&self) -> SocketAddr {
        let address = match self.role {
            Role::Server => HOST,
            Role::Client => LOOPBACK,
        };
        SocketAddr::new(address, PROXY)
    }

    /// Where a proxy that speaks TLS on one leg finds the backend.
    pub(crate) fn target(&self) -> SocketAddr {
        match self.role {
            Role::Server => SocketAddr::new(LOOPBACK, PLAIN),
            Role::Client => SocketAddr::new(PEER, TLS),
        }
    }

    /// Where a forwarder without TLS finds it.
    pub(crate) fn plain_target(&self) -> SocketAddr {
        match self.role {
            Role::Server => SocketAddr::new(LOOPBACK, PLAIN),
            Role::Client => SocketAddr::new(PEER, PLAIN),
        }
    }

    /// The address at which the load generator would reach the backend's clear text if there were no proxy.
    pub(crate) fn direct_plain(&self) -> SocketAddr {
        SocketAddr::new(self.backend_address(), PLAIN)
    }

    /// The same of its TLS.
    pub(crate) fn direct_tls(&self) -> SocketAddr {
        SocketAddr::new(self.backend_address(), TLS)
    }

    fn backend_address(&self) -> IpAddr {
        match self.role {
            Role::Server => HOST,
            Role::Client => PEER,
        }
    }

    /// Starts a proxy that listens at [`Stage::proxy`].
    pub(crate) fn start_proxy(&self, program: &Path, arguments: &[&str]) -> anyhow::Result<Running> {
        self.host.serve(PROXY, path(program), arguments)
    }

    /// Starts a load generator and waits until it has prepared.
    pub(crate) fn generator(&self, plan: &load::Plan) -> anyhow::Result<Generator> {
        let mut command = self.from.command(own_program()?);
        command.arg("load").arg(serde_json::to_string(plan)?);
        // What it says when it fails goes into the report.
        command.env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("the load generator cannot be started")?;
        let input = child.stdin.take().context("no standard input")?;
        let output = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut generator = Generator { child, input, output };
        let line = generator.line()?;
        if line != load::READY {
            bail!("the load generator says `{line}` before it has begun");
        }
        Ok(generator)
    }

    /// The handshakes of the backend so far.
    pub(crate) fn tally(&self) -> anyhow::Result<Tally> {
        Ok(serde_json::from_reader(UnixStream::connect(&self.tally)?)?)
    }
}

impl Generator {
    /// Has it work, and waits until it has.
    pub(crate) fn work(&mut self) -> anyhow::Result<load::Outcome> {
        self.input.write_all(b"\n")?;
        let line = self.line()?;
        serde_json::from_str(&line).with_context(|| format!("the load generator says `{line}`"))
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            let mut why = String::new();
            if let Some(errors) = &mut self.child.stderr {
                errors.read_to_string(&mut why)?;
            }
            bail!("the load failed: {}", why.trim());
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This program.
pub(crate) fn own_program() -> anyhow::Result<PathBuf> {
    Ok(std::env::current_exe()?)
}

/// A path of ours, which is always text.
pub(crate) fn path(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}
