//! The two database engines a test runs on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use saf::{Access, Decision, Request, Saf, Userid};
use tempfile::TempDir;

/// A database of its own for a test, set up by IBMUSER.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) saf: Saf,
    _folder: Option<TempDir>,
}

pub(crate) fn id(name: &str) -> Userid {
    Userid::parse(name).expect(name)
}

impl Database {
    pub(crate) async fn sqlite() -> Self {
        let folder = TempDir::new().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("saf.db").display());
        Self::set_up(url, Some(folder)).await
    }

    pub(crate) async fn postgres() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("saf{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = server();
        let created = psql(folder, &format!("CREATE DATABASE {name}"));
        assert!(created.status.success(), "{created:?}");
        Self::set_up(format!("postgres:///{name}?host={}&user=postgres", folder.display()), None).await
    }

    async fn set_up(url: String, folder: Option<TempDir>) -> Self {
        let done = Saf::initialise(&url, &id("IBMUSER")).await.expect("a new database");
        assert!(!done.is_empty());
        let saf = Saf::open(&url).await.expect("the database");
        Self { url, saf, _folder: folder }
    }

    pub(crate) async fn tso(&self, issuer: &str, line: &str) -> (u8, String) {
        let result = self.saf.command(&id(issuer), line).await.expect("an answer");
        (result.code, result.lines.join("\n"))
    }

    /// Runs commands as IBMUSER; each must be done.
    pub(crate) async fn ok(&self, line: &str) -> String {
        let (code, text) = self.tso("IBMUSER", line).await;
        assert_eq!(code, 0, "{line}: {text}");
        text
    }

    /// Runs a command that must end with this code and say this.
    pub(crate) async fn says(&self, issuer: &str, line: &str, code: u8, expected: &str) {
        let (found, text) = self.tso(issuer, line).await;
        assert_eq!(found, code, "{issuer} {line}: {text}");
        assert!(text.contains(expected), "{issuer} {line}: {text}");
    }

    pub(crate) fn asked(&self, who: &str, class: &str, resource: &str, intent: Access) -> u8 {
        match self.saf.snapshot().auth(id(who), class, resource, intent) {
            Decision::Permitted(_) => 0,
            Decision::NoDecision(_) => 4,
            Decision::Refused(_) => 8,
        }
    }

    pub(crate) fn codes(&self, request: &Request<'_>) -> (u8, u8, u8) {
        let codes = self.saf.snapshot().codes(request);
        (codes.saf, codes.racf, codes.reason)
    }
}

/// The folder of a PostgreSQL server's socket, which is started for the first test that asks and ends with this process.
fn server() -> &'static Path {
    static SERVER: OnceLock<(PathBuf, Child)> = OnceLock::new();
    let (folder, _) = SERVER.get_or_init(|| {
        let folder = TempDir::with_prefix("safpg").expect("a folder").keep();
        // It does not run as root: then as the user its package has made.
        let root = nix::unistd::geteuid().is_root();
        if root {
            let user = nix::unistd::User::from_name("postgres").ok().flatten();
            let user = user.expect("no user postgres: install PostgreSQL (apt install postgresql)");
            nix::unistd::chown(&folder, Some(user.uid), Some(user.gid)).expect("the folder is given away");
        }
        // Its end is the end of this process, whose pipe it reads from.
        let script = r#"
            cd "$2"
            "$1/initdb" --pgdata data --username postgres --auth trust --locale C --encoding UTF8 --no-sync > log 2>&1 || exit 1
            "$1/postgres" -D data -k "$2" -c listen_addresses= -c fsync=off >> log 2>&1 &
            read -r line
            kill -INT $!
            wait
            rm -rf data
        "#;
        let mut command = match root {
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "sh"]);
                command
            }
            false => Command::new("sh"),
        };
        command.args(["-c", script, "sh"]).arg(programs()).arg(&folder);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("a shell");
        let begun = Instant::now();
        while !psql(&folder, "SELECT 1").status.success() {
            let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(60), "PostgreSQL does not start: {}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
        (folder, child)
    });
    folder
}

fn psql(folder: &Path, query: &str) -> std::process::Output {
    let mut command = Command::new(programs().join("psql"));
    command.arg("-h").arg(folder).args(["-U", "postgres", "-qc", query, "postgres"]);
    command.output().expect("psql runs")
}

/// The programs of the newest PostgreSQL; most of them are in no folder of PATH.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").is_file()).max();
    newest.expect("PostgreSQL is not installed (apt install postgresql)")
}
