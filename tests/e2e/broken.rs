//! What is broken gets a clear error, and the state before stays in force.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use pagent::lab::{Agent, BOB};

use crate::network::{HOST, Network, rule};

fn good() -> String {
    rule("IN", "LocalPortRange 7000\nDirection Inbound", "Server", "$RINGS/RING")
}

/// The policy in force is still the good one: its rule is listed and its table is in the kernel.
fn still_in_force(network: &Network, agent: &Agent) -> anyhow::Result<()> {
    let report = agent.succeed("pasearch", &["-p", "TTLS"])?;
    assert!(report.starts_with("TTLS Rule: IN\n") && report.matches("TTLS Rule:").count() == 1, "{report}");
    let table = network.host.succeed("nft", &["list", "chain", "inet", "pagent", "inbound"])?;
    assert!(table.contains("tcp dport 7000") && !table.contains("7001"), "{table}");
    Ok(())
}

#[test]
fn a_broken_policy_is_explained_and_installs_nothing() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    agent.policy(&good())?;
    agent.start()?;
    still_in_force(&network, &agent)?;
    let other = good().replace("7000", "7001");
    let broken = [
        (other.replace("HandshakeRole", "HandshakeRoel"), "PAG0106"),
        (other.replace("Direction Inbound", "Direction Inward"), "PAG0110"),
        (other.replace("TTLSGroupActionRef G_IN", "TTLSGroupActionRef NOWHERE"), "PAG0112"),
        (other.replace("7001", "99999"), "PAG0110"),
        (other.replace("TTLSRule IN\n{", "TTLSRule IN"), "PAG0102"),
        (format!("{other}\nTTLSGroupAction G_IN\n{{\nTTLSEnabled On\n}}"), "PAG0113"),
        (other.replace("Keyring $RINGS/RING", "Keyring $RINGS/NOWHERE"), "rings/NOWHERE is not there"),
        (other.replace("Keyring $RINGS/RING", "Keyring ../../etc"), "names no key ring"),
        (other.replace("HandshakeRole Server", "HandshakeRole Server\nSuiteBProfile All"), "PAG0114"),
        (format!("{other}\nTTLSRule LAST\n{{\nDirection Both\n"), "PAG0103"),
        ("# nothing\n".to_owned(), "has no TTLS rules"),
        ("TcpImage OTHER /etc/other.conf\n".to_owned(), "no TcpImage names stack TCPIP"),
        ("TTLSConfig /does/not/exist\n".to_owned(), "`/does/not/exist` cannot be read"),
    ];
    for (policy, expected) in broken {
        agent.policy(&policy)?;
        let output = agent.pagent(&["refresh"])?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains(expected),
            "expected {expected}, got:\n{said}\nfor\n{policy}"
        );
        assert!(said.contains("EZZ8438I"), "{said}");
        still_in_force(&network, &agent)?;
    }
    Ok(())
}

#[test]
fn an_unreadable_key_is_explained_and_installs_nothing() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    agent.policy(&good())?;
    agent.start()?;
    let ring = agent.ring("BAD");
    let other = good().replace("7000", "7001").replace("$RINGS/RING", "$RINGS/BAD");
    network.authority.write_ring(&ring, Some("server.example"))?;
    agent.policy(&other)?;
    for (content, expected) in [
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "cannot be used"),
        ("this is no key", "begins with neither"),
        ("", "begins with neither"),
    ] {
        fs::write(ring.join("server.key"), content)?;
        let output = agent.pagent(&["refresh"])?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("rings/BAD") && said.contains("server.key") && said.contains(expected), "{said}");
        still_in_force(&network, &agent)?;
    }
    fs::remove_file(ring.join("server.key"))?;
    let said = String::from_utf8_lossy(&agent.pagent(&["refresh"])?.stderr).into_owned();
    assert!(said.contains("holds no certificate with a private key"), "{said}");
    still_in_force(&network, &agent)
}

#[test]
fn a_corrupt_database_is_explained_and_the_running_daemon_goes_on_deciding() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    agent.policy(&good())?;
    agent.start()?;
    for name in ["saf.db", "saf.db-wal", "saf.db-shm"] {
        let file = agent.folder().join("state").join(name);
        if file.exists() {
            fs::write(&file, vec![0x5A; 20_000])?;
        }
    }
    // The snapshot decides: root is permitted, bob is not.
    still_in_force(&network, &agent)?;
    let bob = agent.command_as(BOB, "pasearch", &["-p", "TTLS"]).output()?;
    assert!(!bob.status.success() && String::from_utf8_lossy(&bob.stderr).contains("ICH408I"));
    agent.kill()?;
    let said = agent.start_in_vain(&[])?;
    assert!(said.contains("EZZ8434I") && said.contains("saf.db") && said.contains("backup"), "{said}");
    // The kernel goes on refusing.
    let output = network.peer.run("curl", &["-sS", "-m", "3", &format!("http://{}:7000/", HOST[0])])?;
    assert!(!output.status.success());
    Ok(())
}

#[test]
fn an_occupied_capture_port_is_explained() -> anyhow::Result<()> {
    let network = Network::new()?;
    let agent = network.agent(&network.host)?;
    agent.policy(&good())?;
    let listen = "import socket, time\ns = socket.create_server(('127.0.0.1', 1015))\ntime.sleep(60)";
    let _other = network.host.serve(1015, "/usr/bin/python3", &["-c", listen])?;
    let said = agent.start_in_vain(&[])?;
    assert!(said.contains("EZZ8434I") && said.contains("the capture port 1015 is taken"), "{said}");
    Ok(())
}

#[test]
fn a_capture_port_that_anybody_could_take_is_refused() -> anyhow::Result<()> {
    let network = Network::new()?;
    let agent = network.agent(&network.host)?;
    agent.policy(&good())?;
    agent.configure("[capture]\noutbound_port = 15001")?;
    let said = agent.start_in_vain(&[])?;
    assert!(said.contains("15001 is not below net.ipv4.ip_unprivileged_port_start (1024)"), "{said}");
    Ok(())
}

#[test]
fn a_missing_nft_is_explained_and_the_rules_stay() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    agent.policy(&good())?;
    agent.start()?;
    agent.stop()?;
    let mut command = network.host.command("env");
    command.arg("PATH=/nowhere").arg(network.programs.join("pagent"));
    command.arg("--config").arg(agent.folder().join("pagent.toml")).arg("run");
    let mut running = network.host.start_command("pagent", command)?;
    assert!(!running.wait()?.success());
    let said = running.said();
    assert!(said.contains("nft cannot be started") && said.contains("install the package nftables"), "{said}");
    let table = network.host.succeed("nft", &["list", "chain", "inet", "pagent", "inbound"])?;
    assert!(table.contains("tcp dport 7000"), "{table}");
    Ok(())
}

#[test]
fn a_configuration_that_is_not_right_is_explained() -> anyhow::Result<()> {
    let network = Network::new()?;
    let agent = network.agent(&network.host)?;
    agent.policy(&good())?;
    for (line, expected) in [
        ("[capture]\noutbound = 1", "unknown field `outbound`"),
        ("sysnam = \"X\"", "unknown field `sysnam`"),
        ("[capture]\nmark_shift = 31", "mark_shift is 31"),
        ("= broken", "pagent.toml is not right"),
    ] {
        agent.configure(line)?;
        let output = agent.pagent(&["run"])?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "{line}: {said}");
    }
    Ok(())
}

#[test]
fn keys_and_the_database_are_for_the_daemon_s_user_only() -> anyhow::Result<()> {
    let network = Network::new()?;
    let agent = network.agent(&network.host)?;
    let mode = fs::metadata(agent.folder().join("state"))?.permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
    let reading = network.host.command_as(BOB, "cat").arg(agent.folder().join("state/saf.db")).output()?;
    assert!(!reading.status.success());
    Ok(())
}
