//! PostgreSQL behind a rule that speaks its SSLRequest (`Negotiate postgres`): server and clients are PostgreSQL's own.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;
use std::process::Output;

use anyhow::Context as _;
use nix::sys::signal::Signal;
use pagent::lab::{ALICE, Capture, Host, Running, wait_until};

use crate::network::{HOST, Network, PEER, rule, with};

/// A server with a cluster of its own, as user ALICE: it does not run as root.
pub(crate) struct Server {
    running: Running,
}

impl Server {
    /// `ssl` is a setting of postgresql.conf, `access` is pg_hba.conf. User postgres has the password `secret`.
    pub(crate) fn start(network: &Network, host: &Host, ssl: &str, access: &str) -> anyhow::Result<Self> {
        let folder = network.lab.folder().join("postgres");
        fs::create_dir(&folder)?;
        chown(&folder, Some(ALICE), Some(ALICE))?;
        let password = network.lab.folder().join("password");
        fs::write(&password, "secret\n")?;
        let data = folder.join("data");
        let mut command = host.command_as(ALICE, program("initdb")?);
        command.current_dir(&folder).arg("--pgdata").arg(&data).arg("--pwfile").arg(password);
        command.args(["--username=postgres", "--auth=scram-sha-256", "--locale=C", "--encoding=UTF8", "--no-sync"]);
        let output = command.output()?;
        assert!(output.status.success(), "{output:?}");
        fs::write(data.join("pg_hba.conf"), access)?;
        let (certificate, key) = network.authority.issue("server.example")?;
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let file = data.join(name);
            fs::write(&file, text)?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
            chown(&file, Some(ALICE), Some(ALICE))?;
        }
        let mut command = host.command_as(ALICE, program("postgres")?);
        command.current_dir(&folder).arg("-D").arg(&data).arg("-k").arg(&folder);
        for setting in [ssl, "listen_addresses=*", "fsync=off"] {
            command.args(["-c", setting]);
        }
        let mut running = host.start_command("postgres", command)?;
        running.wait_for("database system is ready to accept connections")?;
        Ok(Self { running })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // In order, so that it takes its shared memory with it, which is the machine's.
        let _ = self.running.signal(Signal::SIGINT);
        let _ = self.running.wait();
    }
}

/// A program of the newest PostgreSQL; most of them are in no folder of PATH.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let versions =
        fs::read_dir("/usr/lib/postgresql").context("PostgreSQL is not installed (apt install postgresql)")?;
    let programs = versions.filter_map(|version| Some(version.ok()?.path().join("bin").join(name)));
    programs.filter(|file| file.is_file()).max().with_context(|| format!("{name} is not installed"))
}

/// What psql makes of a query.
pub(crate) fn psql(host: &Host, connection: &str, query: &str) -> anyhow::Result<Output> {
    let mut command = host.command(program("psql")?);
    command.args(["--no-psqlrc", "--no-password", "--no-align", "--tuples-only", "--command", query, connection]);
    Ok(command.env("PGPASSWORD", "secret").output()?)
}

/// The answer to a query that must be answered.
fn answer(host: &Host, connection: &str, query: &str) -> anyhow::Result<String> {
    let output = psql(host, connection, query)?;
    anyhow::ensure!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// Runs pgbench, which connects anew for each transaction, and checks that each one was answered and is there.
fn every_transaction_arrives(host: &Host, connection: &str, log: impl Fn() -> String) -> anyhow::Result<()> {
    let pgbench = |arguments: &[&str]| {
        let output =
            host.command(program("pgbench")?).args(arguments).arg(connection).env("PGPASSWORD", "secret").output()?;
        anyhow::Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    };
    pgbench(&["--initialize", "--quiet"])?;
    let said = pgbench(&["--connect", "--client=4", "--transactions=50"])?;
    assert!(said.contains("transactions actually processed: 200/200\n"), "{said}\n{}", log());
    assert_eq!(answer(host, connection, "select count(*) from pgbench_history")?, "200", "{said}");
    Ok(())
}

#[test]
fn a_postgresql_without_tls_is_reached_by_clients_that_verify_it() -> anyhow::Result<()> {
    let network = Network::new()?;
    let server = Server::start(&network, &network.host, "ssl=off", "host all all 10.1.0.2/32 scram-sha-256\n")?;
    let mut agent = network.agent(&network.host)?;
    let policy = rule("IN", "LocalPortRange 5432\nDirection Inbound", "Server", "$RINGS/RING");
    agent.install(&with(&policy, "TTLSEnvironmentAdvancedParms", "Negotiate postgres"))?;
    let ca = network.authority_file()?;
    let to = |name: &str, mode: &str| {
        format!("host={name} hostaddr={} user=postgres sslmode={mode} sslrootcert={ca}", HOST[0])
    };
    let verified = to("server.example", "verify-full");

    let mut wire = Capture::start(&network.peer, network.lab.folder(), "wire")?;
    let query = "select upper('question'), inet_client_addr(), ssl from pg_stat_ssl where pid = pg_backend_pid()";
    let said = answer(&network.peer, &verified, query);
    wire.stop()?;
    let said = said.with_context(|| format!("{}\n{}", server.running.said(), agent.log()))?;
    assert_eq!(said, format!("QUESTION|{}|f", PEER[0]), "the server does no TLS itself");
    for text in ["question", "QUESTION", "pg_stat_ssl"] {
        assert_eq!(wire.packets_with(text)?, 0, "{text}");
    }
    assert_eq!(wire.fields("tls.handshake.type == 2", &["tcp.srcport"])?, ["5432"]);

    let refused = |connection: &str, words: &str| {
        let output = psql(&network.peer, connection, "select 1")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{connection}: {output:?}");
        anyhow::Ok(())
    };
    refused(&to("server.example", "disable"), "FATAL:  this server takes connections with SSL only")?;
    refused(&to("other.example", "verify-full"), "does not match host name \"other.example\"")?;

    every_transaction_arrives(&network.peer, &verified, || agent.log())
}

#[test]
fn clients_without_tls_reach_a_postgresql_that_demands_it() -> anyhow::Result<()> {
    let network = Network::new()?;
    let server = Server::start(&network, &network.peer, "ssl=on", "hostssl all all 10.1.0.1/32 scram-sha-256\n")?;
    let connection = format!("host={} user=postgres sslmode=disable", PEER[0]);
    let output = psql(&network.host, &connection, "select 1")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no pg_hba.conf entry") && said.contains("no encryption"), "{said}");

    let mut agent = network.agent(&network.host)?;
    let policy = rule("OUT", "RemotePortRange 5432\nDirection Outbound", "Client", "$RINGS/RING");
    let policy =
        |more: &str| policy.replace("HostReferenceIdDNS", &format!("Negotiate postgres\n{more}HostReferenceIdDNS"));
    for (more, version) in [("", "TLSv1.3"), ("TLSv1.3 Off\n", "TLSv1.2")] {
        agent.install(&policy(more))?;
        let mut wire = Capture::start(&network.peer, network.lab.folder(), version)?;
        let query =
            "select upper('question'), inet_client_addr(), ssl, version from pg_stat_ssl where pid = pg_backend_pid()";
        let said = answer(&network.host, &connection, query);
        wire.stop()?;
        let said = said.with_context(|| format!("{}\n{}", server.running.said(), agent.log()))?;
        assert_eq!(said, format!("QUESTION|{}|t|{version}", HOST[0]));
        for text in ["secret", "question", "QUESTION", "pg_stat_ssl"] {
            assert_eq!(wire.packets_with(text)?, 0, "{version} {text}");
        }
    }
    every_transaction_arrives(&network.host, &connection, || agent.log())?;

    // psql asks for a cancellation on a connection of its own, which up to version 16 is in clear text whatever its sslmode.
    let mut command = network.host.command(program("psql")?);
    command.args(["--no-psqlrc", "--no-password", "--command", "select 'asleep', pg_sleep(600)", &connection]);
    command.env("PGPASSWORD", "secret");
    let mut sleeper = network.host.start_command("psql", command)?;
    wait_until("the query runs", || {
        let query = "select count(*) from pg_stat_activity where query ~ '^select .asleep' and state = 'active'";
        Ok(answer(&network.host, &connection, query)? == "1")
    })?;
    sleeper.signal(Signal::SIGINT)?;
    sleeper.wait()?;
    let said = sleeper.said();
    assert!(said.contains("canceling statement due to user request"), "{said}\n{}", agent.log());
    Ok(())
}
