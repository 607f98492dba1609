//! Too many connections, too many handshakes, no descriptors left.

use crate::network::{HOST, Network, rule, with};

/// Opens TLS connections one by one and keeps them; prints how many came through and how many were refused.
const CROWD: &str = "
import socket, ssl, sys
context = ssl._create_unverified_context()
kept, refused = [], 0
for _ in range(int(sys.argv[2])):
    try:
        plain = socket.create_connection((sys.argv[1], 7000), 5)
        plain.settimeout(float(sys.argv[3]))
        kept.append(context.wrap_socket(plain))
    except OSError:
        refused += 1
print(len(kept), refused, flush=True)
sys.stdin.read()
";

#[test]
fn more_connections_or_handshakes_than_the_rule_allows_are_reset() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _web = network.web(&network.host, 7000, "come in")?;
    let mut agent = network.agent(&network.host)?;
    let policy = |limit: &str| {
        let rule = rule("IN", "LocalPortRange 7000\nDirection Inbound", "Server", "$RINGS/RING");
        with(&rule, "TTLSEnvironmentAdvancedParms", limit)
    };
    let crowd = |count: &str| network.peer.succeed("/usr/bin/python3", &["-c", CROWD, HOST[0], count, "5"]);
    agent.install(&policy("MaxConnections 3"))?;
    assert_eq!(crowd("10")?, "3 7\n");
    agent.says("3 connections are up already")?;
    // The places are free again.
    pagent::lab::wait_until("the first have gone", || Ok(crowd("3")? == "3 0\n"))?;
    agent.install(&policy("MaxHandshakesPerSecond 5"))?;
    let said = crowd("40")?;
    let through: usize = said.split(' ').next().unwrap_or_default().parse()?;
    assert!((5..20).contains(&through), "{said}");
    agent.says("more than 5 handshakes in a second")?;
    Ok(())
}

#[test]
fn a_daemon_without_descriptors_serves_again_when_it_has_some() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _web = network.web(&network.host, 7000, "come in")?;
    let mut agent = network.agent(&network.host)?;
    agent.install(&rule("IN", "LocalPortRange 7000\nDirection Inbound", "Server", "$RINGS/RING"))?;
    let pid = agent.pid().to_string();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    let limit = format!("--nofile={}", open + 20);
    network.host.succeed("prlimit", &["--pid", &pid, &limit])?;
    network.peer.succeed("/usr/bin/python3", &["-c", CROWD, HOST[0], "60", "0.3"])?;
    agent.says("Too many open files")?;
    pagent::lab::wait_until("it serves again", || {
        let said = network.peer.succeed("/usr/bin/python3", &["-c", CROWD, HOST[0], "3", "5"])?;
        Ok(said == "3 0\n")
    })?;
    // Its own commands too.
    agent.succeed("pagent", &["status"])?;
    Ok(())
}
