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
    let policy = rule("IN", "LocalPortRange 7000\nDirection Inbound", "Server", "TCPIP/RING");
    agent.install(&with(&policy, "TTLSEnvironmentAdvancedParms", "HandshakeTimeout 1"))?;
    // HandshakeTimeout to the first byte; ten times as long to the end.
    for (how, code, seconds) in [("silent", 5004, 1), ("slow", 5005, 10)] {
        let begun = Instant::now();
        network.peer.succeed("/usr/bin/python3", &["-c", SLOW, HOST[0], how])?;
        let took = begun.elapsed();
        let expected = Duration::from_secs(seconds);
        assert!(took >= expected && took < expected + Duration::from_secs(5), "{how}: {took:?}");
        assert!(agent.log().contains(&format!("RULE: IN RC: {code} ")), "{how}:\n{}", agent.log());
    }
    Ok(())
}
