//! The history of zERT, and what auditors ask of it, from connections of other people's programs.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use pagent::lab::{Agent, Running, wait_until};
use serde_json::Value;

use crate::hold;
use crate::network::{HOST, Network};
use crate::postgres::Server;

const PYTHON: &str = "/usr/bin/python3";

/// FTP with AUTH TLS, a page in clear and one under TLS.
struct Servers {
    _running: Vec<Running>,
}

impl Servers {
    fn start(network: &Network) -> anyhow::Result<Self> {
        let pem = network.server_pem()?;
        let tls = ["s_server", "-accept", "8443", "-cert", &pem, "-www", "-quiet", "-cipher", "ALL:@SECLEVEL=0"];
        Ok(Self {
            _running: vec![
                network.host.serve(21, PYTHON, &["-u", "-c", hold::SERVER, &pem])?,
                network.web(&network.host, 8080, "come in")?,
                network.host.serve(8443, "openssl", &tls)?,
            ],
        })
    }
}

/// Three clear pages, TLS 1.3, 1.2 and 1.1, and FTP in each manner.
fn traffic(network: &Network, agent: &Agent) -> anyhow::Result<()> {
    for _ in 0..3 {
        network.peer.succeed("curl", &["-sS", "-m", "5", &format!("http://{}:8080/", HOST[0])])?;
    }
    let url = format!("https://{}:8443/", HOST[0]);
    for more in
        [&["--tls-max", "1.3"][..], &["--tls-max", "1.2"], &["--tls-max", "1.1", "--ciphers", "ALL:@SECLEVEL=0"]]
    {
        let output = network.peer.run("curl", &[&["-sSk", "-m", "5", &url], more].concat())?;
        assert!(output.status.success(), "{more:?} {output:?}");
    }
    for words in [
        &["AUTH TLS\\r\\n", "TLSv1.2", "NOOP\\r\\n"][..],
        &["AUTH TLS\\r\\n", "TLSv1.1", "NOOP\\r\\n"],
        &["USER alice\\r\\n"],
    ] {
        network.peer.succeed(PYTHON, &[&["-c", hold::CLIENT, HOST[0]], words].concat())?;
    }
    let rows = || -> anyhow::Result<usize> {
        let answer = agent.command("zert", &["report", "--json"]).output()?;
        let answer: Value = serde_json::from_slice(&answer.stdout).unwrap_or_default();
        let rows = answer.get("rows").and_then(Value::as_array).into_iter().flatten();
        let rows: u64 = rows.filter_map(|row| row.get("connections")?.as_u64()).sum();
        Ok(usize::try_from(rows)?)
    };
    wait_until("nine connections are in the history", || Ok(rows()? >= 9))
}

fn report(agent: &Agent, words: &[&str]) -> anyhow::Result<String> {
    agent.succeed("zert", &[&["report"], words].concat())
}

#[test]
fn what_was_observed_answers_what_auditors_ask() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _servers = Servers::start(&network)?;
    let mut agent = network.agent(&network.host)?;
    agent.policy("")?;
    agent.start()?;
    traffic(&network, &agent)?;
    let versions: Value = serde_json::from_str(&report(&agent, &["version", "--port", "8443", "--json"])?)?;
    let mut found: Vec<(&str, u64)> = versions["rows"]
        .as_array()
        .map(|rows| {
            rows.iter().filter_map(|row| Some((row["protection"].as_str()?, row["connections"].as_u64()?))).collect()
        })
        .unwrap_or_default();
    found.sort_unstable();
    assert_eq!(found, [("TLSv1.1", 1), ("TLSv1.2", 1), ("TLSv1.3", 1)], "{versions:#}");
    let ftps = report(&agent, &["ftps"])?;
    for line in [
        "connections                  3",
        "protected by TLS 1.2 or 1.3  1 (33.3 %)",
        "protected by older TLS       1",
        "in clear                     1",
        "not every connection of the period is shown to be protected by TLS 1.2 or later",
    ] {
        assert!(ftps.lines().any(|found| found == line), "{line}\n{ftps}");
    }
    assert!(ftps.contains("AUTH TLS"), "{ftps}");
    let pci = report(&agent, &["pci", "--csv"])?;
    assert!(pci.starts_with("PROTOCOL,VERSION,SUITE,GROUP,KEY,ENDPOINTS,FINDING,"), "{pci}");
    assert!(pci.contains("TLSv1.1 is obsolete (RFC 8996)") && pci.contains("not protected"), "{pci}");
    let expiry = report(&agent, &["expiry"])?;
    assert!(expiry.contains("CN=server.example") && expiry.contains("10.1.0.1:8443"), "{expiry}");
    let quantum = report(&agent, &["quantum"])?;
    assert!(quantum.contains(" connections agreed on keys post-quantum"), "{quantum}");
    let page = network.lab.folder().join("page.html");
    report(&agent, &["--html", &page.to_string_lossy()])?;
    let page = fs::read_to_string(page)?;
    assert!(page.contains("<svg") && page.contains("TLSv1.1") && !page.contains("<script"), "{page}");
    assert!(report(&agent, &["--until", "1d"])?.contains("no connection was recorded in this period"));
    let wrong = agent.command("zert", &["report", "--since", "soon"]).output()?;
    assert!(
        !wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains("2026-05-01 14:00"),
        "{wrong:?}"
    );

    // A new minimum, before anybody turns it on.
    let policy = network.lab.folder().join("new.policy");
    fs::write(&policy, hold::policy("Action Reset"))?;
    let simulated = agent.succeed("zert", &["simulate", "--policy", &policy.to_string_lossy()])?;
    assert!(simulated.contains("2 of 9 recorded connections would have been reset, of 1 peers"), "{simulated}");

    // What it suggests is a policy, and breaks nobody.
    let suggested = agent.succeed("zert", &["suggest"])?;
    for words in
        ["TTLSRule WRAP_8080", "the server protects them itself", "MinimumVersion TLSv1.1", "LocalPortRange 8443"]
    {
        assert!(suggested.contains(words), "{words}\n{suggested}");
    }
    fs::write(&policy, &suggested)?;
    let checked = agent.pagent(&["check", &policy.to_string_lossy()])?;
    let said = String::from_utf8_lossy(&checked.stderr).into_owned() + &String::from_utf8_lossy(&checked.stdout);
    assert!(!said.contains("error["), "{said}\n{suggested}");
    let simulated = agent.succeed("zert", &["simulate", "--policy", &policy.to_string_lossy()])?;
    assert!(simulated.contains("0 of 9 recorded connections would have been reset"), "{simulated}");

    // The bill of materials, judged by CycloneDX's own schema.
    let bill = agent.succeed("zert", &["export", "--cbom"])?;
    let file = network.lab.folder().join("bill.json");
    fs::write(&file, &bill)?;
    let bill: Value = serde_json::from_str(&bill)?;
    let of = |kind: &str| {
        let parts = bill["components"].as_array().into_iter().flatten();
        parts.filter(|part| part["cryptoProperties"]["assetType"] == kind).count()
    };
    assert!(of("protocol") >= 3 && of("algorithm") >= 4 && of("certificate") >= 1, "{bill:#}");
    let validated = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/cyclonedx/bin/python3"))
        .args(["-c", VALIDATE])
        .arg(&file)
        .output()?;
    assert!(validated.status.success(), "{}", String::from_utf8_lossy(&validated.stderr));

    let numbers: Value = serde_json::from_str(&agent.succeed("zert", &["stats", "--json"])?)?;
    assert!(numbers["observed"].as_u64() >= Some(9) && numbers["lost"] == 0, "{numbers}");
    assert!(agent.succeed("zert", &["stats"])?.contains("connections reset by enforcement"));
    Ok(())
}

const VALIDATE: &str = "
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
if problem:
    sys.exit(repr(problem))
";

#[test]
fn the_history_may_be_postgresql_s_and_waits_for_it() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _servers = Servers::start(&network)?;
    let mut agent = network.agent(&network.host)?;
    agent.configure("[zert]\nhistory = \"postgres://postgres:word@127.0.0.1/postgres\"\nhistory_days = 1")?;
    agent.policy("")?;
    agent.start()?;
    agent.says("what is counted waits in memory")?;
    assert!(!agent.log().contains("word"), "{}", agent.log());
    agent.stop()?;
    let server = Server::start(&network, &network.host, "ssl=off", "host all all all trust\n")?;
    agent.start()?;
    traffic(&network, &agent)?;
    // The server goes away and comes back: what was counted meanwhile is written then.
    let said = report(&agent, &["peer"])?;
    assert!(said.contains("10.1.0.2"), "{said}");
    drop(server);
    let wrong = agent.command("zert", &["report"]).output()?;
    assert!(
        !wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains("cannot be opened"),
        "{wrong:?}"
    );
    network.peer.succeed("curl", &["-sS", "-m", "5", &format!("http://{}:8080/", HOST[0])])?;
    agent.says("the zERT history takes nothing; sums wait in memory")?;
    Ok(())
}

#[test]
fn a_full_disk_loses_no_connection_of_the_history() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _servers = Servers::start(&network)?;
    let disk = network.lab.folder().join("disk");
    fs::create_dir(&disk)?;
    assert!(Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(&disk).status()?.success());
    let mut agent = network.agent(&network.host)?;
    agent.configure(&format!("[zert]\nhistory = \"sqlite:{}/history.db\"", disk.display()))?;
    agent.policy("")?;
    agent.start()?;
    wait_until("the history is made", || Ok(disk.join("history.db").exists()))?;
    std::thread::sleep(Duration::from_secs(1));
    let filled = Command::new("sh").arg("-c").arg(format!("cat /dev/zero > {}/filler", disk.display())).output()?;
    assert!(!filled.status.success());
    for _ in 0..40 {
        network.peer.succeed("curl", &["-sS", "-m", "5", &format!("http://{}:8080/", HOST[0])])?;
    }
    agent.says("the zERT history takes nothing; sums wait in memory")?;
    fs::remove_file(disk.join("filler"))?;
    agent.says("the zERT history takes sums again")?;
    let count = |agent: &Agent| -> anyhow::Result<u64> {
        let answer: Value = serde_json::from_str(&report(agent, &["--json", "--port", "8080"])?)?;
        let rows = answer["rows"].as_array().into_iter().flatten();
        Ok(rows.filter_map(|row| row["connections"].as_u64()).sum())
    };
    wait_until("all are there", || Ok(count(&agent)? == 40))?;
    // Nothing is lost at a stop, and a killed daemon's history is whole.
    network.peer.succeed("curl", &["-sS", "-m", "5", &format!("http://{}:8080/", HOST[0])])?;
    std::thread::sleep(Duration::from_millis(1500));
    agent.stop()?;
    assert_eq!(count(&agent)?, 41);
    agent.start()?;
    agent.kill()?;
    assert_eq!(count(&agent)?, 41);
    Ok(())
}
