//! The installed policy as its author sees it: reports, explanations, refreshes.

use std::time::Duration;

use pagent::lab::{Agent, wait_until};
use serde_json::Value;

use crate::network::{Network, rule};

const ASKED: [&str; 6] = ["--local", "10.1.0.1:7000", "--remote", "10.1.0.2:50000", "--direction", "in"];

fn in_rule(port: u16) -> String {
    rule("IN", &format!("LocalPortRange {port}\nDirection Inbound"), "Server", "$RINGS/RING")
}

fn explained(agent: &Agent, more: &[&str]) -> anyhow::Result<Value> {
    let words: Vec<&str> = ["explain", "--json"].into_iter().chain(ASKED).chain(more.iter().copied()).collect();
    Ok(serde_json::from_str(&agent.succeed("pagent", &words)?)?)
}

#[test]
fn the_daemon_explains_a_connection_as_its_policy_file_does() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    agent.policy(&in_rule(7000))?;
    agent.start()?;
    let file = agent.folder().join("pagent.conf").display().to_string();
    let at = ["--at", "2026-05-01T12:00:00Z"];
    let running = explained(&agent, &["--running", at[0], at[1]])?;
    let from_file = explained(&agent, &[at[0], at[1], &file])?;
    assert_eq!(running, from_file);
    assert_eq!(running["rule"]["name"], "IN");
    assert!(running["verdict"].as_str().is_some_and(|text| text.contains("TLS 1.2 or TLS 1.3")), "{running}");
    Ok(())
}

#[test]
fn pasearch_shows_the_installed_policy_in_ibm_s_layout() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    agent.policy(&in_rule(7000))?;
    agent.start()?;
    let first = agent.succeed("pasearch", &["-t"])?;
    for line in [
        "TCP/IP pasearch CS 3.1                    Image Name: TCPIP",
        "policyRule:             IN",
        "   LocalPortFrom:       7000              LocalPortTo:       7000",
        "  TTLS Action:                  E_IN",
        "     PeerMinRsaKeySize:         2048",
    ] {
        assert!(first.lines().any(|shown| shown == line), "{line}\n{first}");
    }
    assert_eq!(agent.succeed("pasearch", &["-t", "-n", "-f", "G_IN"])?.matches("G_IN").count(), 1);
    assert!(agent.succeed("pasearch", &["-z"])?.contains("No zERT policies retrieved"));
    // What a refresh leaves alone keeps its times; what it changes does not.
    let updated = |report: &str, name: &str| -> Option<String> {
        let after = report.split(&format!("TTLS Action:                  {name}\n")).nth(1)?;
        after.lines().find(|line| line.contains("Policy updated")).map(str::to_owned)
    };
    std::thread::sleep(Duration::from_millis(1100));
    agent.policy(&in_rule(7000).replace("HandshakeRole Server", "HandshakeRole Server\nEnvironmentUserInstance 2"))?;
    agent.refresh()?;
    let second = agent.succeed("pasearch", &["-t"])?;
    assert_eq!(updated(&first, "G_IN"), updated(&second, "G_IN"));
    assert_ne!(updated(&first, "E_IN"), updated(&second, "E_IN"));
    Ok(())
}

#[test]
fn a_changed_file_is_read_again_after_the_refresh_interval() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    let policy = |port: u16| format!("LogLevel 511\nTcpImage TCPIP FLUSH NOPURGE 1\n{}", in_rule(port));
    agent.policy(&policy(7000))?;
    agent.start()?;
    agent.policy(&policy(7001))?;
    wait_until("the change is read", || Ok(agent.succeed("pasearch", &["-p", "TTLS"])?.contains("PortRange: 7001")))?;
    agent.says("a policy file has changed")?;
    // A broken one is refused, and what was in force stays.
    agent.policy(&policy(7002).replace("HandshakeRole", "HandshakeRoel"))?;
    wait_until("the change is read", || Ok(agent.log().contains("EZZ8438I")))?;
    assert!(agent.succeed("pasearch", &["-p", "TTLS"])?.contains("PortRange: 7001"));
    Ok(())
}

#[test]
fn a_policy_that_was_broken_at_the_start_is_read_again_once_it_is_mended() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    let main = |file: &str| format!("TcpImage TCPIP FLUSH NOPURGE 1\nTTLSConfig {file}\n");
    agent.policy(&main("site.policy"))?;
    agent.start()?;
    agent.says("PAG0119")?;
    // The file that was missing comes.
    agent.policy_file("site.policy", &in_rule(7003))?;
    wait_until("the change is read", || Ok(agent.succeed("pasearch", &["-p", "TTLS"])?.contains("PortRange: 7003")))?;
    // A refused change is told once, not at every look.
    agent.policy_file("site.policy", &in_rule(7004).replace("HandshakeRole", "HandshakeRoel"))?;
    std::thread::sleep(Duration::from_millis(3500));
    assert_eq!(agent.log().matches("EZZ8438I").count(), 2, "{}", agent.log());
    Ok(())
}
