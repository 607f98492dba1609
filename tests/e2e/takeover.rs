//! A daemon that takes over from a running one (`pagent run --takeover`).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use pagent::lab::{Capture, Running, wait_until};

use crate::controlled::{FTPS, api, controlled, python};
use crate::network::{HOST, Network, PEER, rule};

/// Connects again and again, for plain TCP and for TLS, until a file is there; says how often, and what failed.
const LOAD: &str = "
import os, socket, ssl, sys
address, port, ca, end = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
context = ssl.create_default_context(cafile=ca) if ca else None
served = 0
while not os.path.exists(end):
    connection = socket.create_connection((address, port), 10)
    if context:
        connection = context.wrap_socket(connection, server_hostname='server.example')
    connection.sendall(b'x')
    assert connection.recv(1) == b'x', served
    connection.close()
    served += 1
    print('served', served, flush=True)
";

/// Sends a number every few milliseconds on one connection and expects it back, until a file is there.
const LONG: &str = "
import os, socket, ssl, sys, time
context = ssl.create_default_context(cafile=sys.argv[2])
connection = context.wrap_socket(socket.create_connection((sys.argv[1], 7000), 10), server_hostname='server.example')
count = 0
while not os.path.exists(sys.argv[3]):
    count += 1
    word = str(count).zfill(8).encode() * 1000
    connection.sendall(word)
    back = b''
    while len(back) < len(word):
        back += connection.recv(65536) or sys.exit(f'cut after {count}')
    assert back == word
    if count == 1:
        print('begun')
    time.sleep(0.005)
print('whole')
";

/// Sends back what it gets, over TLS if it is given a certificate.
const ECHO: &str = "
import socketserver, ssl, sys
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        connection = context.wrap_socket(self.request, server_side=True) if context else self.request
        while bytes := connection.recv(65536):
            connection.sendall(bytes)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 1000
context = None
if len(sys.argv) > 1:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1])
Server(('', 7000), Handler).serve_forever()
";

/// Connections that a load has had so far.
fn served(load: &Running) -> u32 {
    load.said().trim().rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or_default()
}

#[test]
fn ten_upgrades_under_load_lose_no_connection() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    agent.install(
        &(rule("IN", "LocalPortRange 7000\nDirection Inbound", "Server", "$RINGS/RING")
            + &rule("OUT", "RemotePortRange 7000\nDirection Outbound", "Client", "$RINGS/RING")),
    )?;
    let (certificate, ca) = (network.server_pem()?, network.authority_file()?);
    let end = network.lab.folder().join("end").to_string_lossy().into_owned();
    let _program = network.host.serve(7000, "/usr/bin/python3", &["-u", "-c", ECHO])?;
    let _server = network.peer.serve(7000, "/usr/bin/python3", &["-u", "-c", ECHO, &certificate])?;
    let mut long = network.peer.start("/usr/bin/python3", &["-u", "-c", LONG, HOST[0], &ca, &end])?;
    long.wait_for("begun")?;
    let mut loads = [
        network.peer.start("/usr/bin/python3", &["-u", "-c", LOAD, HOST[0], "7000", &ca, &end])?,
        network.host.start("/usr/bin/python3", &["-u", "-c", LOAD, PEER[0], "7000", "", &end])?,
    ];
    let mut old: Vec<Running> = Vec::new();
    for _ in 0..10 {
        old.push(agent.take_over()?);
        // The socket of the commands went over too.
        agent.refresh()?;
        let before = loads.each_ref().map(served);
        wait_until("both loads go on", || {
            Ok(loads.iter().zip(before).all(|(load, before)| served(load) > before + 4))
        })?;
    }
    let first = old.first().map(Running::pid).unwrap_or_default();
    let status = agent.succeed("pagent", &["status"])?;
    assert!(status.contains(&format!("taken over from, still with connections: pid {first}")), "{status}");
    let shown = agent.succeed("pagent", &["connections", "--json"])?;
    fs::write(&end, "")?;
    for load in &mut loads {
        assert!(load.wait()?.success(), "{}\n{}", load.said(), agent.log());
    }
    assert!(long.wait()?.success(), "{}", long.said());
    assert!(long.said().ends_with("whole\n"), "{}", long.said());
    // The long connection was shown by the daemon that no longer had it.
    let sessions: Vec<serde_json::Value> = serde_json::from_str(&shown)?;
    let is_long =
        |session: &serde_json::Value| session["state"] == "Active" && session["bytes_in"].as_u64() > Some(8000);
    assert!(sessions.iter().any(is_long), "{shown}");
    for daemon in &mut old {
        assert!(daemon.wait()?.success(), "{}", daemon.said());
    }
    wait_until("nobody is left behind", || {
        Ok(agent.succeed("pagent", &["status"])?.contains("still with connections: none"))
    })
}

#[test]
fn a_daemon_that_cannot_take_over_changes_nothing() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    let said = agent.start_in_vain(&["--takeover"])?;
    assert!(said.contains("no daemon can be taken over from"), "{said}");
    agent.install(&rule("IN", "LocalPortRange 8080\nDirection Inbound", "Server", "$RINGS/RING"))?;
    let _program = network.web(&network.host, 8080, "the page")?;
    let before = network.host.succeed("nft", &["list", "table", "inet", "pagent"])?;
    agent.policy("TTLSRule\n{\n")?;
    let said = agent.start_in_vain(&["--takeover"])?;
    assert!(said.contains("nothing is taken over") && said.contains("PAG"), "{said}");
    let ca = network.authority_file()?;
    let resolve = format!("server.example:8080:{}", HOST[0]);
    let url = ["-sS", "-m", "5", "--cacert", &ca, "--resolve", &resolve, "https://server.example:8080/"];
    assert_eq!(network.peer.succeed("curl", &url)?, "the page");
    wait_until("it is told", || Ok(agent.log().contains("everything goes on here")))?;
    assert_eq!(network.host.succeed("nft", &["list", "table", "inet", "pagent"])?, before);
    // The next one gets through, and zERT's records go on.
    agent.policy(&rule("IN", "LocalPortRange 8080\nDirection Inbound", "Server", "$RINGS/RING"))?;
    let mut old = agent.take_over()?;
    assert!(old.wait()?.success(), "{}", old.said());
    let _ssh = network.web(&network.host, 8081, "in clear")?;
    let clear = network.peer.succeed("curl", &["-sS", "-m", "5", &format!("http://{}:8081/", HOST[0])])?;
    assert_eq!(clear, "in clear");
    agent.records_when("the connection in clear text is recorded by the new daemon", |records| {
        records.iter().any(|record| record["local"]["port"] == 8081 || record.to_string().contains("8081"))
    })?;
    Ok(())
}

/// Takes what the running daemon offers and says nothing.
const SILENT: &str = "
import socket, sys, time
door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
door.connect(sys.argv[1])
while b'Complete' not in (said := door.recv(1024)):
    assert said
print('offered', flush=True)
time.sleep(600)
";

#[test]
fn a_successor_that_never_gets_ready_holds_nothing_up() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    let policy = rule("IN", "LocalPortRange 8080\nDirection Inbound", "Server", "$RINGS/RING");
    // The file is looked at every second.
    let main = |policy: &str| format!("TcpImage TCPIP FLUSH NOPURGE 1\n{policy}");
    agent.install(&main(&policy))?;
    let _program = network.web(&network.host, 8080, "the page")?;
    let door = agent.folder().join("state/takeover.sock").to_string_lossy().into_owned();
    let ca = network.authority_file()?;
    let resolve = format!("server.example:8080:{}", HOST[0]);
    let url = ["-sS", "-m", "5", "--cacert", &ca, "--resolve", &resolve, "https://server.example:8080/"];
    let has_rule = |name: &str| {
        let shown = agent.succeed("pasearch", &["-p", "TTLS"])?;
        Ok(shown.contains(name))
    };
    {
        let mut silent = network.host.start("/usr/bin/python3", &["-c", SILENT, &door])?;
        silent.wait_for("offered")?;
        agent.policy(&main(&policy.replace("TTLSRule IN", "TTLSRule RENAMED")))?;
        assert_eq!(network.peer.succeed("curl", &url)?, "the page");
        assert!(agent.succeed("pagent", &["status"])?.contains("still with connections: none"));
    }
    wait_until("the changed file is read when the successor is gone", || has_rule("RENAMED"))?;
    network.host.succeed("nft", &["delete", "table", "inet", "pagent"])?;
    let is_back = || Ok(network.host.run("nft", &["list", "table", "inet", "pagent"])?.status.success());
    wait_until("the table is put back", is_back)?;
    // It ends when it is told to, whoever waits.
    let mut silent = network.host.start("/usr/bin/python3", &["-c", SILENT, &door])?;
    silent.wait_for("offered")?;
    agent.stop()
}

/// A session of one daemon is resumed by the next where both know the secret.
#[test]
fn daemons_that_share_a_secret_resume_each_other_s_sessions() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    let _program = network.web(&network.host, 8080, "the page")?;
    let secret = network.lab.folder().join("secret");
    let configured = format!("ticket_secret = \"{}\"", secret.display());
    let handshake = |how: &str, version: &str| -> anyhow::Result<String> {
        let session = network.lab.folder().join(version);
        let script = format!(
            "(printf 'GET / HTTP/1.0\\r\\n\\r\\n'; sleep 0.3) | openssl s_client -connect {}:8080 -{version} {how} {} -ign_eof 2>&1 \
             | grep -oE '^(New|Reused)'",
            HOST[0],
            session.display()
        );
        Ok(String::from_utf8_lossy(&network.peer.run("sh", &["-c", &script])?.stdout).trim().to_owned())
    };
    let policy = rule("IN", "LocalPortRange 8080\nDirection Inbound", "Server", "$RINGS/RING");
    for shared in [false, true] {
        if shared {
            fs::write(&secret, [7; 31])?;
            agent.configure(&configured)?;
            let said = agent.start_in_vain(&[])?;
            assert!(said.contains("can be read by others: chmod 600"), "{said}");
            fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))?;
            let said = agent.start_in_vain(&[])?;
            assert!(said.contains("has 31 bytes; expected 32 or more"), "{said}");
            fs::write(&secret, [7; 32])?;
        }
        agent.install(&policy)?;
        for version in ["tls1_2", "tls1_3"] {
            assert_eq!(handshake("-sess_out", version)?, "New");
            assert_eq!(handshake("-sess_in", version)?, "Reused", "{version}");
        }
        let status = agent.succeed("pagent", &["status"])?;
        assert!(status.contains("rule IN: 2 full handshakes, 2 resumed (50 %)"), "{status}");
        let mut old = agent.take_over()?;
        assert!(old.wait()?.success());
        for version in ["tls1_2", "tls1_3"] {
            assert_eq!(handshake("-sess_in", version)?, if shared { "Reused" } else { "New" }, "{version}");
        }
        agent.stop()?;
    }
    // Another certificate is another environment.
    network.authority.write_ring(&agent.ring("RING"), Some("server.example"))?;
    agent.start()?;
    assert_eq!(handshake("-sess_in", "tls1_3")?, "New");
    Ok(())
}

/// An FTPS client that waits between its steps until a file is there.
const STEPS: &str = "
def step(name):
    print(name)
    while not os.path.exists(f'{sys.argv[3]}/{name}'):
        time.sleep(0.01)
ftp = client(sys.argv[1], 2121, sys.argv[2])
step('connected')
ftp.login('user', 'secret')
ftp.prot_p()
for passive in True, False:
    ftp.set_pasv(passive)
    words = []
    ftp.retrlines('RETR file', words.append)
    print(words)
    step(f'passive {passive}')
ftp.quit()
print('done')
";

#[test]
fn a_program_controls_its_connections_through_take_overs_and_their_data_stay_secret() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    agent.install(&controlled("FTP", "LocalPortRange 2121\nDirection Inbound", "Server", "SecondaryMap On\n"))?;
    let folder = network.lab.folder().join("files");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("file"), "PAYLOAD\n")?;
    let program = api().join("examples/ftpd.py");
    let arguments = [&*program.to_string_lossy(), &*folder.to_string_lossy(), "2121", "50000-50009"];
    let mut server = network.host.start_command("python3", python(&network.host, &agent, &arguments))?;
    wait_until("the FTP server listens", || {
        anyhow::ensure!(!server.ended()?, "{}", server.said());
        Ok(!network.host.succeed("ss", &["-Hltn", "sport = :2121"])?.is_empty())
    })?;
    let mut wire = Capture::start(&network.peer, network.lab.folder(), "wire")?;
    let (ca, steps) = (network.authority_file()?, network.lab.folder().to_string_lossy().into_owned());
    let mut client =
        network.peer.start("/usr/bin/python3", &["-u", "-c", &format!("{FTPS}{STEPS}"), HOST[0], &ca, &steps])?;
    let mut old = Vec::new();
    for step in ["connected", "passive True", "passive False"] {
        let reached = client.wait_for(step);
        assert!(reached.is_ok(), "{}\n{}\n{}", client.said(), server.said(), agent.log());
        old.push(agent.take_over()?);
        // Also the table of a refresh has what the old daemon captures.
        agent.refresh()?;
        fs::write(network.lab.folder().join(step), "")?;
    }
    assert!(client.wait()?.success(), "{}\n{}\n{}", client.said(), server.said(), agent.log());
    assert_eq!(client.said().matches("['PAYLOAD']").count(), 2, "{}", client.said());
    wire.stop()?;
    assert_eq!(wire.packets_with("PAYLOAD")?, 0);
    for daemon in &mut old {
        assert!(daemon.wait()?.success(), "{}", daemon.said());
    }
    Ok(())
}
