//! A browser in front of a web server that knows no TLS.

use std::fs;

use pagent::lab::{Agent, Capture};

use crate::network::{HOST, Network, rule, with};

/// The page as Chromium has it when this folder of the laboratory is its user's home, and what else it said.
fn page(network: &Network, home: &str) -> anyhow::Result<(String, String)> {
    let home = network.lab.folder().join(home);
    let mut command = network.peer.command("timeout");
    // Its sandbox refuses root.
    command.args(["60", "chromium", "--headless=new", "--no-sandbox", "--no-first-run"]);
    command.args(["--disable-background-networking", "--disable-breakpad"]);
    command.arg(format!("--user-data-dir={}", home.join("profile").display()));
    command.arg(format!("--host-resolver-rules=MAP server.example {}", HOST[0]));
    command.args(["--dump-dom", "https://server.example:8080/"]).env("HOME", &home);
    // It gives up when an address changes under it, as those of a new host do until they have proved to be nobody else's.
    for _ in 0..5 {
        let output = command.output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (shown, said) = (text(&output.stdout), text(&output.stderr));
        if !said.contains("ERR_NETWORK_CHANGED") {
            return Ok((shown, said));
        }
    }
    anyhow::bail!("the addresses go on changing")
}

/// Makes an authority known to the Chromium of a home.
fn trust(network: &Network, home: &str) -> anyhow::Result<()> {
    let database = network.lab.folder().join(home).join(".pki/nssdb");
    fs::create_dir_all(&database)?;
    let (database, ca) = (format!("sql:{}", database.display()), network.authority_file()?);
    network.peer.succeed("certutil", &["-d", &database, "-N", "--empty-password"])?;
    network.peer.succeed("certutil", &["-d", &database, "-A", "-n", "laboratory", "-t", "C,,", "-i", &ca])?;
    Ok(())
}

/// TLS version and group of the connections whose handshake came to its end.
fn negotiated(agent: &Agent) -> anyhow::Result<Vec<(u64, u64)>> {
    let sessions: Vec<serde_json::Value> = serde_json::from_str(&agent.succeed("pagent", &["connections", "--json"])?)?;
    let number = |session: &serde_json::Value, name: &str| session.get("negotiated")?.get(name)?.as_u64();
    Ok(sessions.iter().filter_map(|session| number(session, "version").zip(number(session, "group"))).collect())
}

#[test]
fn a_browser_shows_the_page_if_it_knows_the_authority_and_uses_the_post_quantum_group() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _web = network.web(&network.host, 8080, "<p>come in</p>")?;
    let mut agent = network.agent(&network.host)?;
    let policy = rule("IN", "LocalPortRange 8080\nDirection Inbound", "Server", "$RINGS/RING");
    agent.install(&policy)?;

    let (shown, said) = page(&network, "stranger")?;
    assert!(!shown.contains("come in"), "{shown}");
    // ERR_CERT_AUTHORITY_INVALID.
    assert!(said.contains("net_error -202"), "{said}\n{}", agent.log());
    assert_eq!(negotiated(&agent)?, []);

    trust(&network, "friend")?;
    let mut wire = Capture::start(&network.peer, network.lab.folder(), "wire")?.decode_as("tcp.port==8080,tls");
    let (shown, said) = page(&network, "friend")?;
    wire.stop()?;
    assert!(shown.contains("<p>come in</p>"), "{shown}\n{said}\n{}", agent.log());
    assert_eq!(wire.packets_with("come in")?, 0);
    // 4588 is X25519MLKEM768.
    let groups = wire.fields("tls.handshake.type == 2", &["tls.handshake.extensions_key_share_group"])?;
    assert!(!groups.is_empty() && groups.iter().all(|group| group == "4588"), "{groups:?}");
    let found = negotiated(&agent)?;
    assert!(!found.is_empty() && found.iter().all(|found| *found == (0x0304, 4588)), "{found:?}");

    // TLS 1.2 has no such group: the browser falls back to X25519.
    agent.install(&with(&policy, "TTLSEnvironmentAdvancedParms", "TLSv1.3 Off"))?;
    let (shown, said) = page(&network, "friend")?;
    assert!(shown.contains("<p>come in</p>"), "{shown}\n{said}\n{}", agent.log());
    assert_eq!(negotiated(&agent)?.last(), Some(&(0x0303, 29)));
    Ok(())
}
