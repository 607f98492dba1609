//! Explicit listeners: ports bound to a rule, on a host whose kernel captures nothing.

use crate::network::{HOST, Network, PEER, rule};

const UNCAPTURED: &str = "[capture]\nenabled = false\n[zert]\nenabled = false\n";

fn listen(address: &str, target: &str, rule: &str) -> String {
    format!("[[listen]]\naddress = \"{address}\"\ntarget = \"{target}\"\nrule = \"{rule}\"\n")
}

#[test]
fn both_roles_are_served_without_a_rule_in_the_kernel() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _program = network.web(&network.host, 8080, "served in clear")?;
    let pem = network.server_pem()?;
    let _server =
        network.peer.serve(8443, "openssl", &["s_server", "-accept", "8443", "-cert", &pem, "-www", "-quiet"])?;
    let mut agent = network.agent(&network.host)?;
    let server_side = format!("{}:9443", HOST[0]);
    agent.configure(&format!(
        "{UNCAPTURED}{}{}",
        listen(&server_side, "127.0.0.1:8080", "IN"),
        listen("127.0.0.1:9080", &format!("{}:8443", PEER[0]), "OUT"),
    ))?;
    // Conditions that nothing meets: a listener's rule is named, not searched.
    agent.policy(
        &(rule("IN", "LocalPortRange 1\nDirection Inbound", "Server", "$RINGS/RING")
            + &rule("OUT", "RemotePortRange 1\nDirection Outbound", "Client", "$RINGS/RING")),
    )?;
    agent.start()?;
    let authority = network.authority_file()?;
    let resolve = format!("server.example:9443:{}", HOST[0]);
    let secured = ["-sS", "-m", "5", "--cacert", &authority, "--resolve", &resolve, "https://server.example:9443/"];
    assert_eq!(network.peer.succeed("curl", &secured)?, "served in clear");
    let page = network.host.succeed("curl", &["-sS", "-m", "5", "http://127.0.0.1:9080/"])?;
    assert!(page.contains("TLSv1.3"), "{page}");
    assert_eq!(network.host.succeed("nft", &["list", "tables"])?, "");
    // In clear text the first gets no answer.
    let plain = network.peer.run("curl", &["-sS", "-m", "5", &format!("http://{server_side}/")])?;
    assert!(!plain.status.success(), "{}", String::from_utf8_lossy(&plain.stdout));
    Ok(())
}

#[test]
fn a_listener_beside_the_capture_is_not_wrapped_twice() -> anyhow::Result<()> {
    let network = Network::new()?;
    let pem = network.server_pem()?;
    let _server =
        network.peer.serve(8443, "openssl", &["s_server", "-accept", "8443", "-cert", &pem, "-www", "-quiet"])?;
    let mut agent = network.agent(&network.host)?;
    agent.configure(&listen("127.0.0.1:9080", &format!("{}:8443", PEER[0]), "OUT"))?;
    agent.policy(&rule("OUT", "RemotePortRange 8443\nDirection Outbound", "Client", "$RINGS/RING"))?;
    agent.start()?;
    for port in [format!("{}:8443", PEER[0]), "127.0.0.1:9080".to_owned()] {
        let page = network.host.succeed("curl", &["-sS", "-m", "5", &format!("http://{port}/")])?;
        assert!(page.contains("TLSv1.3"), "{port}: {page}");
    }
    Ok(())
}

#[test]
fn a_listener_whose_rule_is_not_in_the_policy_installs_nothing() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    agent.configure(&(UNCAPTURED.to_owned() + &listen("127.0.0.1:9443", "127.0.0.1:8080", "IM")))?;
    agent.policy(&rule("IN", "LocalPortRange 1\nDirection Inbound", "Server", "$RINGS/RING"))?;
    agent.start()?;
    agent.says("the listener 127.0.0.1:9443 of pagent.toml names the rule `IM`")?;
    let output = network.host.run("curl", &["-sS", "-m", "5", "http://127.0.0.1:9443/"])?;
    assert!(!output.status.success());
    Ok(())
}
