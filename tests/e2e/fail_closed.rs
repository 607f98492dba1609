//! No clear text where the policy demands TLS, whatever becomes of the daemon.

use std::time::Instant;

use pagent::lab::{Agent, BOB, Capture, Running, wait_until};

use crate::network::{HOST, Network, PEER, rule};

const SECRET: &str = "for-the-server-only";

/// A server that takes whatever it gets and keeps it in its log.
const SINK: &str = "
import socket, sys, threading
def serve(connection):
    try:
        while data := connection.recv(1000):
            print('got', data, flush=True)
            connection.sendall(b'thanks')
    except OSError:
        pass
server = socket.create_server(('::', int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
";

/// Tries to take the capture ports for as long as it lives, in every form an ordinary user has.
const THIEF: &str = "
import socket, time
print('trying', flush=True)
while True:
    for family, address in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1'), (socket.AF_INET6, '::'), (socket.AF_INET, '0.0.0.0')):
        for port in (1015, 1016):
            thief = socket.socket(family)
            try:
                thief.bind((address, port))
                thief.listen()
                thief.settimeout(0.2)
                print('bound', port, flush=True)
                print('stolen', thief.accept()[0].recv(1000), flush=True)
            except OSError:
                pass
            finally:
                thief.close()
    time.sleep(0.002)
";

/// Connects many times, sends the secret, and says how many connections brought an answer and how long the slowest took.
const CLIENTS: &str = "
import socket, sys, time
targets, count = [t.rsplit('|', 1) for t in sys.argv[1].split(',')], int(sys.argv[2])
answered, slowest = 0, 0
for number in range(count):
    address, port = targets[number % len(targets)]
    begun = time.monotonic()
    try:
        with socket.create_connection((address, int(port)), 5) as connection:
            connection.sendall(b'for-the-server-only')
            answered += connection.recv(100) == b'thanks'
    except OSError:
        pass
    slowest = max(slowest, time.monotonic() - begun)
print(answered, 'answered, slowest', round(slowest * 1000), 'ms')
";

struct Stage {
    network: Network,
    agent: Agent,
    _partner: Running,
    protected: Running,
    thief: Running,
}

impl Stage {
    fn set() -> anyhow::Result<Self> {
        let network = Network::new()?;
        // On the peer a TLS server that answers; on the host a plain one that inbound rules protect.
        let pem = network.server_pem()?;
        let tls = format!(
            "
import socket, ssl, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain({pem:?})
def serve(raw):
    try:
        with context.wrap_socket(raw, server_side=True) as connection:
            while connection.recv(1000):
                connection.sendall(b'thanks')
    except OSError:
        pass
server = socket.create_server(('::', 8443), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"
        );
        let partner = network.peer.serve(8443, "/usr/bin/python3", &["-c", &tls])?;
        let protected = network.host.serve(7000, "/usr/bin/python3", &["-u", "-c", SINK, "7000"])?;
        let mut agent = network.agent(&network.host)?;
        let policy = rule("OUT", "RemotePortRange 8443\nDirection Outbound", "Client", "$RINGS/RING")
            + &rule("IN", "LocalPortRange 7000\nDirection Inbound", "Server", "$RINGS/RING")
            + &rule("LOCAL", "RemotePortRange 7000\nDirection Outbound", "Client", "$RINGS/RING");
        agent.policy(&policy)?;
        agent.start()?;
        let mut command = network.host.command_as(BOB, "/usr/bin/python3");
        command.args(["-u", "-c", THIEF]);
        let mut thief = network.host.start_command("thief", command)?;
        thief.wait_for("trying")?;
        Ok(Self { network, agent, _partner: partner, protected, thief })
    }

    /// Connections from the host's programs, outbound and local, both families.
    fn host_connects(&self, count: u32) -> anyhow::Result<(u32, u32)> {
        let targets = format!("{}|8443,{}|8443,127.0.0.1|7000,::1|7000,{}|7000", PEER[0], PEER[1], HOST[0]);
        let said = self.network.host.succeed("/usr/bin/python3", &["-c", CLIENTS, &targets, &count.to_string()])?;
        parse(&said)
    }

    /// Clear-text connections from the peer to the protected server.
    fn peer_connects(&self, count: u32) -> anyhow::Result<(u32, u32)> {
        let targets = format!("{}|7000,{}|7000", HOST[0], HOST[1]);
        let said = self.network.peer.succeed("/usr/bin/python3", &["-c", CLIENTS, &targets, &count.to_string()])?;
        parse(&said)
    }

    /// What the protected server has been given so far.
    fn taken(&self) -> usize {
        self.protected.said().matches(SECRET).count()
    }
}

fn parse(said: &str) -> anyhow::Result<(u32, u32)> {
    let numbers: Vec<u32> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers.as_slice() {
        [answered, slowest] => Ok((*answered, *slowest)),
        _ => anyhow::bail!("the clients said: {said}"),
    }
}

#[test]
fn after_kill_9_nothing_travels_in_clear_and_a_restart_heals() -> anyhow::Result<()> {
    let mut stage = Stage::set()?;
    let mut wire = Capture::start(&stage.network.peer, stage.network.lab.folder(), "wire")?;
    assert_eq!(stage.host_connects(20)?.0, 20, "before: every connection works\n{}", stage.agent.log());

    // Under load: connections are being made while the daemon dies.
    let targets = format!("{}|8443,127.0.0.1|7000", PEER[0]);
    let mut load = stage.network.host.start("/usr/bin/python3", &["-c", CLIENTS, &targets, "300"])?;
    std::thread::sleep(std::time::Duration::from_millis(150));
    stage.agent.kill()?;
    load.wait()?;

    let taken = stage.taken();
    let begun = Instant::now();
    let (answered, slowest) = stage.host_connects(120)?;
    assert_eq!(answered, 0, "a connection was made without the daemon");
    assert!(slowest < 1000, "a connection hung for {slowest} ms");
    let (answered, slowest) = stage.peer_connects(80)?;
    assert_eq!(answered, 0, "a clear-text client reached the protected server");
    assert!(slowest < 1000, "a connection hung for {slowest} ms");
    assert!(begun.elapsed().as_secs() < 60);
    assert_eq!(stage.taken(), taken, "the protected server got clear text");

    stage.agent.start()?;
    assert_eq!(stage.host_connects(20)?.0, 20, "after the restart every connection works");
    let thief = stage.thief.said();
    assert!(!thief.contains("stolen"), "an ordinary user got what was for the engine:\n{thief}");
    // The peer's own clear-text attempts are on its wire; the host's connections are not in clear.
    let leaked = wire.fields(&format!("frame contains \"{SECRET}\" and tcp.dstport == 8443"), &["frame.number"])?;
    assert!(leaked.is_empty(), "clear text on the wire: frames {leaked:?}");
    Ok(())
}

#[test]
fn what_the_boot_unit_loads_refuses_alone() -> anyhow::Result<()> {
    let mut stage = Stage::set()?;
    let boot_file = stage.agent.boot_file().to_string_lossy().into_owned();
    stage.agent.stop()?;
    // As after a reboot: no table, no rules, no routes; then the unit's one command.
    for table in ["pagent", "pagent_hold"] {
        stage.network.host.succeed("nft", &["delete", "table", "inet", table])?;
    }
    for family in ["-4", "-6"] {
        for mark in ["0x10000/0x70000", "0x20000/0x70000"] {
            stage.network.host.succeed("ip", &[family, "rule", "del", "fwmark", mark])?;
        }
        stage.network.host.succeed("ip", &[family, "route", "flush", "table", "1015"])?;
    }
    stage.network.host.succeed("nft", &["-f", &boot_file])?;
    let taken = stage.taken();
    let (answered, slowest) = stage.host_connects(100)?;
    assert!(answered == 0 && slowest < 1000, "{answered} answered, slowest {slowest} ms");
    let (answered, slowest) = stage.peer_connects(100)?;
    assert!(answered == 0 && slowest < 1000, "{answered} answered, slowest {slowest} ms");
    assert_eq!(stage.taken(), taken, "the protected server got clear text");
    stage.agent.start()?;
    assert_eq!(stage.host_connects(20)?.0, 20, "with the daemon every connection works");
    assert!(!stage.thief.said().contains("stolen"));
    Ok(())
}

#[test]
fn an_orderly_stop_refuses_and_only_release_opens() -> anyhow::Result<()> {
    let mut stage = Stage::set()?;
    stage.agent.stop()?;
    assert_eq!(stage.peer_connects(4)?.0, 0, "stopped: refused");
    let said = stage.agent.succeed("pagent", &["stop", "--release"])?;
    assert!(said.contains("its capture rules are removed"), "{said}");
    assert_eq!(stage.peer_connects(4)?.0, 4, "released: open");
    Ok(())
}

#[test]
fn capture_rules_that_somebody_removes_come_back() -> anyhow::Result<()> {
    let stage = Stage::set()?;
    // All of them, or one of the two tables.
    for words in ["flush ruleset", "delete table inet pagent", "delete table inet pagent_hold"] {
        stage.network.host.succeed("nft", &words.split(' ').collect::<Vec<_>>())?;
        wait_until("both tables are back", || {
            let tables = stage.network.host.succeed("nft", &["list", "tables"])?;
            Ok(["pagent", "pagent_hold"].iter().all(|name| tables.contains(&format!("table inet {name}\n"))))
        })?;
    }
    assert_eq!(stage.peer_connects(4)?.0, 0, "clear text is refused again");
    assert_eq!(stage.host_connects(10)?.0, 10, "wrapped connections work again");
    stage.agent.says("removed by another program")?;
    Ok(())
}

/// The answer of a half-closed connection, long after conntrack's default time-outs, stays on its way.
#[test]
fn a_late_answer_after_a_half_close_arrives_and_not_in_clear() -> anyhow::Result<()> {
    let network = Network::new()?;
    for (name, value) in [("close_wait", "2"), ("fin_wait", "2")] {
        let path = format!("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_{name}");
        network.host.succeed("sh", &["-c", &format!("nft add table inet t; echo {value} > {path}")])?;
    }
    let late = "
import socket, time
server = socket.create_server(('0.0.0.0', 7000))
while True:
    connection, _ = server.accept()
    while connection.recv(1000):
        pass
    time.sleep(4)
    connection.sendall(b'late-but-secret')
    connection.close()
";
    let _server = network.host.serve(7000, "/usr/bin/python3", &["-c", late])?;
    let pem = network.authority_file()?;
    let client = format!(
        "
import socket, ssl
context = ssl.create_default_context(cafile={pem:?})
raw = socket.create_connection(('{}', 7000), 15)
connection = context.wrap_socket(raw, server_hostname='server.example', suppress_ragged_eofs=False)
connection.sendall(b'question')
incoming = b''
# Half close: close_notify, then on reading.
try:
    connection.setblocking(False)
    connection.unwrap()
except ssl.SSLWantReadError:
    pass
connection.setblocking(True)
print(connection.recv(100).decode(), flush=True)
",
        HOST[0]
    );
    let mut agent = network.agent(&network.host)?;
    agent.policy(&rule("IN", "LocalPortRange 7000\nDirection Inbound", "Server", "$RINGS/RING"))?;
    agent.start()?;
    let mut wire = Capture::start(&network.peer, network.lab.folder(), "wire")?;
    let said = network.peer.run("/usr/bin/python3", &["-c", &client])?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert_eq!(wire.packets_with("late-but-secret")?, 0, "the late answer left in clear");
    assert!(said.contains("late-but-secret"), "the late answer did not arrive:\n{said}");
    Ok(())
}

/// What a group asks for by `FailMode Open`, and no other gets.
#[test]
fn only_rules_that_fail_open_let_clear_text_pass_without_the_daemon() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    let pem = network.server_pem()?;
    let open = |rule: String| rule.replace("TTLSEnabled On", "TTLSEnabled On\nFailMode Open");
    agent.install(
        &(open(rule("OPEN_IN", "Priority 2\nLocalPortRange 8081\nDirection Inbound", "Server", "$RINGS/RING"))
            + &open(rule("OPEN_OUT", "Priority 2\nRemotePortRange 8443\nDirection Outbound", "Client", "$RINGS/RING"))
            + &rule("IN", "LocalPortRange 8080-8089\nDirection Inbound", "Server", "$RINGS/RING")
            + &rule("OUT", "RemotePortRange 8440-8449\nDirection Outbound", "Client", "$RINGS/RING")),
    )?;
    let _closed = network.web(&network.host, 8080, "the page")?;
    let _open = network.web(&network.host, 8081, "the page")?;
    let _plain = network.web(&network.peer, 8444, "the page")?;
    let tls = |port: &str| {
        network.peer.serve(port.parse()?, "openssl", &["s_server", "-accept", port, "-cert", &pem, "-www", "-quiet"])
    };
    let get = |from_host: bool, url: String| -> anyhow::Result<String> {
        let host = if from_host { &network.host } else { &network.peer };
        let output = host.run("curl", &["-sS", "-m", "5", &url])?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let inbound = |port: u16| get(false, format!("http://{}:{port}/", HOST[0]));
    let outbound = |port: u16| get(true, format!("http://{}:{port}/", PEER[0]));
    {
        let _server = tls("8443")?;
        assert!(outbound(8443)?.contains("TLSv1.3"));
    }
    let _server = network.web(&network.peer, 8443, "the page")?;
    let all =
        || -> anyhow::Result<[String; 4]> { Ok([inbound(8080)?, inbound(8081)?, outbound(8444)?, outbound(8443)?]) };
    let (nothing, page) = (String::new(), "the page".to_owned());
    let refused = [nothing.clone(), nothing.clone(), nothing.clone(), nothing.clone()];
    assert_eq!(all()?, refused, "with the daemon all are closed to clear text");
    let opened = [nothing.clone(), page.clone(), nothing, page];
    agent.kill()?;
    wait_until("the two are open after a crash", || Ok(all()? == opened))?;
    agent.start()?;
    assert_eq!(all()?, refused);
    agent.stop()?;
    assert_eq!(all()?, opened, "they are open at once when the daemon is stopped");
    Ok(())
}
