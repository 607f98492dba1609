//! GnuTLS's own client and server as peers: both versions, resumption, client certificates, key updates, half closes.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use pagent::lab::{Agent, wait_until};

use crate::network::{HOST, Network, PEER, rule, with};

/// As GnuTLS calls them.
const VERSIONS: [&str; 2] = ["TLS1.3", "TLS1.2"];

/// Answers each line; when the client has closed its half, it says how many it heard, and closes its own.
const PROGRAM: &str = "
import socketserver
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        count = 0
        for line in self.rfile:
            count += 1
            self.wfile.write(b'heard ' + line)
        self.wfile.write(b'%d lines in all\\n' % count)
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(('', 7000), Handler).serve_forever()
";

/// What gnutls-cli says when it connects to the program and is given this to send.
fn gnutls_cli(network: &Network, version: &str, words: &[&str], input: &str) -> anyhow::Result<String> {
    let ca = network.authority_file()?;
    let mut command = network.peer.command("timeout");
    command.args(["20", "gnutls-cli", "--port=7000", "--verify-hostname=server.example", "--x509cafile", &ca]);
    command.arg(format!("--priority=NORMAL:-VERS-ALL:+VERS-{version}")).args(words).arg(HOST[0]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // It closes its half when its input ends. One that was refused has stopped listening to it.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

/// Full and resumed handshakes of the only rule.
fn handshakes(agent: &Agent) -> anyhow::Result<(u64, u64)> {
    let status: serde_json::Value = serde_json::from_str(&agent.succeed("pagent", &["status", "--json"])?)?;
    let count = |name: &str| status.pointer(&format!("/handshakes/0/{name}"))?.as_u64();
    count("full").zip(count("resumed")).ok_or_else(|| anyhow::anyhow!("no counts in {status}"))
}

#[test]
fn gnutls_clients_are_served_and_resumed_and_may_close_their_half() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _program = network.host.serve(7000, "/usr/bin/python3", &["-u", "-c", PROGRAM])?;
    let mut agent = network.agent(&network.host)?;
    agent.install(&rule("IN", "LocalPortRange 7000\nDirection Inbound", "Server", "$RINGS/RING"))?;
    for version in VERSIONS {
        let said = gnutls_cli(&network, version, &[], "one\ntwo\n")?;
        for words in [
            "The certificate is trusted",
            &format!("({version}-X.509)"),
            "heard one\nheard two\n2 lines in all\n- Peer has closed the GnuTLS connection\n",
        ] {
            assert!(said.contains(words), "{version}: no `{words}` in\n{said}\n{}", agent.log());
        }
        let (full, resumed) = handshakes(&agent)?;
        let said = gnutls_cli(&network, version, &["--resume", "--waitresumption"], "three\n")?;
        assert!(said.contains("*** This is a resumed session"), "{said}\n{}", agent.log());
        assert!(said.contains("heard three\n1 lines in all\n"), "{said}\n{}", agent.log());
        wait_until("both are counted", || Ok(handshakes(&agent)? == (full + 1, resumed + 1)))?;
    }
    Ok(())
}

#[test]
fn gnutls_clients_change_keys_in_the_middle() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _program = network.host.serve(7000, "/usr/bin/python3", &["-u", "-c", PROGRAM])?;
    let mut agent = network.agent(&network.host)?;
    agent.install(&rule("IN", "LocalPortRange 7000\nDirection Inbound", "Server", "$RINGS/RING"))?;
    // Its own keys, then both ends'.
    let input = "one\n^rekey1^\ntwo\n^rekey^\nthree\n";
    let said = gnutls_cli(&network, "TLS1.3", &["--inline-commands", "--debug=4"], input)?;
    assert_eq!(said.matches("- Rekey was completed\n").count(), 2, "{said}\n{}", agent.log());
    assert!(said.contains("received TLS 1.3 key update (0)"), "{said}\n{}", agent.log());
    assert!(said.contains("heard one\nheard two\nheard three\n3 lines in all\n"), "{said}\n{}", agent.log());
    Ok(())
}

#[test]
fn gnutls_clients_show_the_certificate_that_is_required() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _program = network.host.serve(7000, "/usr/bin/python3", &["-u", "-c", PROGRAM])?;
    let (certificate, key) = network.authority.issue("client.example")?;
    let file = |name: &str| network.lab.folder().join(name).to_string_lossy().into_owned();
    fs::write(file("client.crt"), certificate)?;
    fs::write(file("client.key"), key)?;
    let mut agent = network.agent(&network.host)?;
    let policy = rule("IN", "LocalPortRange 7000\nDirection Inbound", "ServerWithClientAuth", "$RINGS/RING");
    agent.install(&with(&policy, "TTLSEnvironmentAdvancedParms", "ClientAuthType Required"))?;
    for version in VERSIONS {
        let said = gnutls_cli(&network, version, &[], "one\n")?;
        assert!(said.contains("*** Received alert [116]: Certificate is required"), "{said}\n{}", agent.log());
        assert!(!said.contains("heard"), "{said}");
        let words = ["--x509certfile", &file("client.crt"), "--x509keyfile", &file("client.key")];
        let said = gnutls_cli(&network, version, &words, "one\n")?;
        assert!(said.contains("- Successfully sent 1 certificate(s) to server."), "{said}\n{}", agent.log());
        assert!(said.contains("heard one\n1 lines in all\n"), "{said}\n{}", agent.log());
    }
    agent.says_times("RC: 5001 Initial Handshake", VERSIONS.len())?;
    Ok(())
}

/// Sends a line, closes its half, and prints what comes until the other end closes.
const CLIENT: &str = "
import socket, sys
connection = socket.create_connection((sys.argv[1], 8443), 5)
connection.sendall(b'PAYLOAD\\n')
connection.shutdown(socket.SHUT_WR)
print(connection.makefile('rb').read().decode(), end='')
";

#[test]
fn gnutls_servers_are_reached_and_resumed_with_the_certificate_they_require() -> anyhow::Result<()> {
    let network = Network::new()?;
    let certificate = network.server_pem()?;
    let ca = network.authority_file()?;
    let policy = |label: &str| {
        let rule = rule("OUT", "RemotePortRange 8443\nDirection Outbound", "Client", "$RINGS/RING");
        rule.replace("CertificateLabel", &format!("CertificateLabel {label}"))
    };
    for version in VERSIONS {
        for (demand, label) in [("--disable-client-cert", ""), ("--require-client-cert", "server")] {
            let priority = format!("--priority=NORMAL:-VERS-ALL:+VERS-{version}");
            let words = ["--echo", "--port=8443", &priority, "--x509cafile", &ca, "--verify-client-cert", demand];
            let own = ["--x509certfile", &certificate, "--x509keyfile", &certificate];
            let mut server = network.peer.serve(8443, "gnutls-serv", &[&words[..], &own].concat())?;
            let mut agent = network.agent(&network.host)?;
            let client = || network.host.run("/usr/bin/python3", &["-c", CLIENT, PEER[0]]);
            if !label.is_empty() {
                agent.install(&policy(""))?;
                let output = client()?;
                assert!(!output.status.success() && output.stdout.is_empty(), "{version}: {output:?}");
                server.wait_for("Error in handshake")?;
            }
            agent.install(&policy(label))?;
            for _ in 0..2 {
                let output = client()?;
                assert_eq!(output.stdout, b"PAYLOAD\n", "{version} {demand}: {output:?}\n{}", agent.log());
            }
            assert_eq!(handshakes(&agent)?, (1, 1), "{version} {demand}");
            server.wait_for("*** This is a resumed session")?;
            assert!(server.said().contains(&format!("({version}-X.509)")), "{}", server.said());
            let shown = server.said().contains("Status: The certificate is trusted");
            assert_eq!(shown, !label.is_empty(), "{version} {demand}: {}", server.said());
        }
    }
    Ok(())
}
