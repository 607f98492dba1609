//! Plain in the programs, TLS on the wire, in both directions and families.

use pagent::lab::{Capture, wait_until};

use crate::network::{HOST, Network, PEER, rule};

const SECRET: &str = "plain-as-day";

fn url(scheme: &str, address: &str, port: u16) -> String {
    if address.contains(':') {
        format!("{scheme}://[{address}]:{port}/")
    } else {
        format!("{scheme}://{address}:{port}/")
    }
}

#[test]
fn a_clear_text_client_gets_tls_on_the_wire_in_both_families() -> anyhow::Result<()> {
    let network = Network::new()?;
    let pem = network.server_pem()?;
    let _server =
        network.peer.serve(8443, "openssl", &["s_server", "-accept", "8443", "-cert", &pem, "-www", "-quiet"])?;
    let mut agent = network.agent(&network.host)?;
    agent.policy(&rule("OUT", "RemotePortRange 8443\nDirection Outbound", "Client", "$RINGS/RING"))?;
    agent.start()?;
    let mut wire = Capture::start(&network.peer, network.lab.folder(), "wire")?;
    for address in PEER {
        let page = network.host.succeed("curl", &["-sS", "-m", "5", &url("http", address, 8443)])?;
        assert!(page.contains("TLSv1.3"), "{page}");
    }
    let versions = wire.fields("tls.handshake.type == 2", &["tls.handshake.extensions.supported_version"])?;
    assert_eq!(versions, ["0x0304", "0x0304"]);
    assert_eq!(wire.packets_with("GET /")?, 0, "the request was seen in clear");
    Ok(())
}

#[test]
fn a_clear_text_server_gets_tls_on_the_wire_and_sees_its_clients_addresses() -> anyhow::Result<()> {
    let network = Network::new()?;
    let server = network.web(&network.host, 8080, SECRET)?;
    let mut agent = network.agent(&network.host)?;
    agent.policy(&rule("IN", "LocalPortRange 8080\nDirection Inbound", "Server", "$RINGS/RING"))?;
    agent.start()?;
    let mut wire = Capture::start(&network.peer, network.lab.folder(), "wire")?.decode_as("tcp.port==8080,tls");
    let authority = network.authority_file()?;
    for (address, peer) in HOST.into_iter().zip(PEER) {
        let address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        let resolve = format!("server.example:8080:{address}");
        let arguments =
            ["-sS", "-m", "5", "--cacert", &authority, "--resolve", &resolve, "https://server.example:8080/"];
        assert_eq!(network.peer.succeed("curl", &arguments)?, SECRET);
        let log = server.said();
        assert!(log.lines().any(|line| line.contains("GET") && line.contains(peer)), "{peer} is not in\n{log}");
    }
    let versions = wire.fields("tls.handshake.type == 2", &["tls.handshake.extensions.supported_version"])?;
    assert_eq!(versions, ["0x0304", "0x0304"]);
    assert_eq!(wire.packets_with(SECRET)?, 0, "the page was seen in clear");
    Ok(())
}

#[test]
fn a_server_s_name_that_is_not_the_policy_s_is_refused() -> anyhow::Result<()> {
    let network = Network::new()?;
    let pem = network.server_pem()?;
    let _server =
        network.peer.serve(8443, "openssl", &["s_server", "-accept", "8443", "-cert", &pem, "-www", "-quiet"])?;
    let mut agent = network.agent(&network.host)?;
    let policy = rule("OUT", "RemotePortRange 8443\nDirection Outbound", "Client", "$RINGS/RING");
    agent.policy(&policy.replace("server.example", "other.example"))?;
    agent.start()?;
    let output = network.host.run("curl", &["-sS", "-m", "5", &url("http", PEER[0], 8443)])?;
    assert!(!output.status.success());
    agent.says("EZD1286I TTLS Error")?;
    Ok(())
}

#[test]
fn a_program_that_speaks_first_is_heard_at_once() -> anyhow::Result<()> {
    let network = Network::new()?;
    let greeter = "
import socket
server = socket.create_server(('0.0.0.0', 2525))
while True:
    connection, _ = server.accept()
    connection.sendall(b'220 hello\\r\\n')
    connection.recv(100)
    connection.close()
";
    let _server = network.host.serve(2525, "/usr/bin/python3", &["-c", greeter])?;
    let mut agent = network.agent(&network.host)?;
    agent.policy(&rule("IN", "LocalPortRange 2525\nDirection Inbound", "Server", "$RINGS/RING"))?;
    agent.start()?;
    let script = format!("echo | timeout 5 openssl s_client -quiet -connect {}:2525 2>/dev/null | head -1", HOST[0]);
    assert_eq!(network.peer.succeed("sh", &["-c", &script])?.trim(), "220 hello");
    Ok(())
}

/// Connections that were there before the first policy go on; those after it are captured.
#[test]
fn a_connection_from_before_the_policy_is_left_alone() -> anyhow::Result<()> {
    let network = Network::new()?;
    let echo = "
import socket, threading
def serve(connection):
    while data := connection.recv(1000):
        connection.sendall(data)
server = socket.create_server(('0.0.0.0', 7000))
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
";
    let _server = network.host.serve(7000, "/usr/bin/python3", &["-c", echo])?;
    let go = network.lab.folder().join("go");
    let client = format!(
        "
import os, socket, time
connection = socket.create_connection(('{}', 7000), 5)
connection.sendall(b'before')
assert connection.recv(100) == b'before'
print('connected', flush=True)
while not os.path.exists('{}'):
    time.sleep(0.01)
connection.sendall(b'after')
print(connection.recv(100).decode(), flush=True)
",
        HOST[0],
        go.display()
    );
    let mut running = network.peer.start("/usr/bin/python3", &["-c", &client])?;
    running.wait_for("connected")?;
    let mut agent = network.agent(&network.host)?;
    agent.policy(&rule("IN", "LocalPortRange 7000\nDirection Inbound", "Server", "$RINGS/RING"))?;
    agent.start()?;
    std::fs::write(&go, "")?;
    running.wait_for("after")?;
    Ok(())
}

/// The kernel has one set for rules that stand side by side: what one of them says of addresses and another of ports must
/// not be mixed. A web server in clear text gives its page only where nothing is captured.
/// Rules for a family and a port each, in both directions.
fn side_by_side(captured: &[(usize, u16)]) -> String {
    captured.iter().fold("TcpImage TCPIP FLUSH NOPURGE 1\n".to_owned(), |policy, (family, port)| {
        let (host, peer) = if *family == 0 { (HOST[0], PEER[0]) } else { (HOST[1], PEER[1]) };
        let outbound = format!("RemoteAddr {peer}\nRemotePortRange {port}\nDirection Outbound");
        let inbound = format!("LocalAddr {host}\nRemoteAddr {peer}\nLocalPortRange {port}\nDirection Inbound");
        policy
            + &rule(&format!("OUT_{family}_{port}"), &outbound, "Client", "$RINGS/RING")
            + &rule(&format!("IN_{family}_{port}"), &inbound, "Server", "$RINGS/RING")
    })
}

#[test]
fn rules_side_by_side_capture_exactly_what_they_say() -> anyhow::Result<()> {
    let network = Network::new()?;
    let servers: Vec<_> = [7001, 7002, 7003]
        .into_iter()
        .flat_map(|port| [network.web(&network.peer, port, "clear"), network.web(&network.host, port, "clear")])
        .collect::<anyhow::Result<_>>()?;
    let mut agent = network.agent(&network.host)?;
    agent.install(&side_by_side(&[]))?;
    let nft = |words: &str| network.host.succeed("nft", &words.split(' ').collect::<Vec<_>>());
    // Policies one after the other; only the sets' elements that differ change.
    let policies = [
        &[(0, 7001), (1, 7002), (0, 7003), (1, 7003)][..],
        &[(0, 7001), (0, 7002), (1, 7003), (1, 7001)],
        &[(0, 7001), (0, 7003)],
        &[(1, 7001), (0, 7003), (1, 7002)],
    ];
    nft("add set inet pagent witness { type inet_proto; }")?;
    for (before, captured) in policies.into_iter().enumerate() {
        agent.policy(&side_by_side(captured))?;
        let installed = || agent.log().matches("EZD1586I").count();
        wait_until("the changed policy is in force", || Ok(installed() > before + 1))?;
        let table = nft("list table inet pagent")?;
        assert!(table.contains("set witness") && table.contains("addr_tcp_dport goto redirected"), "{table}");
        for (family, port) in [0, 1].into_iter().flat_map(|family| [7001, 7002, 7003].map(|port| (family, port))) {
            let outbound = network.host.run("curl", &["-sS", "-m", "5", &url("http", PEER[family], port)])?;
            let inbound = network.peer.run("curl", &["-sS", "-m", "5", &url("http", HOST[family], port)])?;
            let clear = !captured.contains(&(family, port));
            assert_eq!(outbound.stdout == b"clear", clear, "outbound {family} {port}\n{table}");
            assert_eq!(inbound.stdout == b"clear", clear, "inbound {family} {port}\n{table}");
        }
    }
    // What somebody took out by hand comes back when an operator asks for a refresh.
    nft("flush set inet pagent rules0_ip6_daddr_tcp_dport")?;
    agent.refresh()?;
    let table = nft("list table inet pagent")?;
    assert!(!table.contains("set witness") && table.contains(&format!("{} . 7002", PEER[1])), "{table}");
    // Of itself the daemon finds it out when it cannot change what is no longer there.
    nft("flush set inet pagent rules0_ip6_daddr_tcp_dport")?;
    agent.policy(&side_by_side(&[(1, 7002), (1, 7003)]))?;
    wait_until("the whole table is loaded", || Ok(agent.log().contains("the capture rules are loaded anew")))?;
    wait_until("it is there", || Ok(nft("list table inet pagent")?.contains(&format!("{} . 7003", PEER[1]))))?;
    drop(servers);
    Ok(())
}

#[test]
fn a_client_s_records_are_no_longer_than_its_rule_allows() -> anyhow::Result<()> {
    let network = Network::new()?;
    let pem = network.server_pem()?;
    let _server =
        network.peer.serve(8443, "openssl", &["s_server", "-accept", "8443", "-cert", &pem, "-rev", "-quiet"])?;
    let mut agent = network.agent(&network.host)?;
    let policy = rule("OUT", "RemotePortRange 8443\nDirection Outbound", "Client", "$RINGS/RING");
    let limits = "ClientMaxSSLFragment Optional\nClientMaxSSLFragmentLength 512\nHostReferenceIdDNS";
    agent.install(&policy.replace("HostReferenceIdDNS", limits))?;
    let mut wire = Capture::start(&network.host, network.lab.folder(), "wire")?.decode_as("tcp.port==8443,tls");
    let script = format!(
        "import socket\nconnection = socket.create_connection(('{}', 8443))\nconnection.sendall(b'x' * 9999 + b'\\n')\n\
         print(len(connection.makefile('rb').readline()))",
        PEER[0]
    );
    assert_eq!(network.host.succeed("/usr/bin/python3", &["-c", &script])?, "10000\n");
    wire.stop()?;
    let lengths = wire.fields("tls.record && tcp.dstport == 8443", &["tls.record.length"])?;
    let lengths: Vec<u32> =
        lengths.iter().flat_map(|line| line.split(',')).filter_map(|length| length.parse().ok()).collect();
    // A record has up to 512 bytes of data, and what protects them.
    assert!(lengths.len() >= 20 && lengths.iter().all(|length| *length <= 512 + 32), "{lengths:?}");
    Ok(())
}
