//! Handshakes that do not come to their end.

use std::time::{Duration, Instant};

use crate::network::{HOST, Network, rule, with};

/// Connects, sends a part of a ClientHello byte by byte (or nothing), and waits for the end.
const SLOW: &str = "
import socket, sys, time
connection = socket.create_connection((sys.argv[1], 7000), 5)
connection.settimeout(30)
begin = bytes.fromhex('1603010200010001fc0303') if sys.argv[2] == 'slow' else b''
try:
    for byte in begin:
        connection.send(bytes([byte]))
        time.sleep(0.2)
    connection.recv(1)
except ConnectionError:
    pass
";

#[test]
fn a_peer_that_does_not_begin_or_does_not_finish_is_cut() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _server = network.web(&network.host, 7000, "come in")?;
    let mut agent = network.agent(&network.host)?;
    let policy = rule("IN", "LocalPortRange 7000\nDirection Inbound", "Server", "$RINGS/RING");
    agent.install(&with(&policy, "TTLSEnvironmentAdvancedParms", "HandshakeTimeout 1"))?;
    // HandshakeTimeout to the first byte; ten times as long to the end.
    for (how, code, seconds) in [("silent", 5004, 1), ("slow", 5005, 10)] {
        let begun = Instant::now();
        network.peer.succeed("/usr/bin/python3", &["-c", SLOW, HOST[0], how])?;
        let took = begun.elapsed();
        let expected = Duration::from_secs(seconds);
        assert!(took >= expected && took < expected + Duration::from_secs(5), "{how}: {took:?}");
        agent.says(&format!("RULE: IN RC: {code} "))?;
    }
    Ok(())
}

#[test]
fn trace_says_which_messages_are_written() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _server = network.web(&network.host, 7000, "come in")?;
    let mut agent = network.agent(&network.host)?;
    let policy = |trace: u32| {
        let rule = rule("IN", "LocalPortRange 7000\nDirection Inbound", "Server", "$RINGS/RING");
        rule.replace("TTLSEnabled On", &format!("TTLSEnabled On\nTrace {trace}"))
    };
    let ca = network.authority_file()?;
    let good = || {
        let resolve = format!("server.example:7000:{}", HOST[0]);
        let words = ["-sS", "-m", "5", "--cacert", &ca, "--resolve", &resolve, "https://server.example:7000/"];
        network.peer.succeed("curl", &words)
    };
    let bad = || network.peer.run("curl", &["-sS", "-m", "5", &format!("http://{}:7000/", HOST[0])]);
    let messages = |log: &str| -> Vec<String> {
        log.lines().filter_map(|line| Some(line[line.find("EZD128")?..].to_owned())).collect()
    };
    agent.install(&policy(0))?;
    good()?;
    bad()?;
    assert_eq!(messages(&agent.log()), Vec::<String>::new());
    agent.install(&policy(15))?;
    good()?;
    bad()?;
    pagent::lab::wait_until("all is written", || Ok(messages(&agent.log()).len() == 6))?;
    let said = messages(&agent.log());
    let has = |words: &[&str]| said.iter().any(|line| words.iter().all(|word| line.contains(word)));
    let map =
        ["EZD1281I TTLS Map", "TYPE: InBound STATUS: Enabled RULE: IN ACTIONS: G_IN E_IN **N/A**", "USERID: ROOT"];
    assert!(has(&map), "{said:#?}");
    assert!(has(&["EZD1283I TTLS Event", "RC: 0 Initial Handshake 0x0304 TLS_AES_256_GCM_SHA384"]), "{said:#?}");
    assert!(has(&["EZD1283I TTLS Event", "RC: 0 Connection Close"]), "{said:#?}");
    assert!(has(&["EZD1286I TTLS Error", "RULE: IN RC: 5003 Initial Handshake: "]), "{said:#?}");
    assert!(has(&["EZD1287I TTLS Error RC: 5003 Initial Handshake"]), "{said:#?}");
    Ok(())
}
