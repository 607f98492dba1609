//! `Hold On`: what a server program gets before the verdict, seen from its side.

use std::time::Duration;

use pagent::lab::{Agent, Running, wait_until};

use crate::network::{HOST, Network, PEER};

const PYTHON: &str = "/usr/bin/python3";

/// An FTP server of AUTH TLS, with any version of TLS, that says what it reads.
pub(crate) const SERVER: &str = "
import socket, ssl, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.minimum_version = ssl.TLSVersion.TLSv1
context.set_ciphers('ALL:@SECLEVEL=0')
context.load_cert_chain(sys.argv[1])
def serve(connection):
    try:
        connection.sendall(b'220 ready\\r\\n')
        clear = True
        while True:
            data = b''
            while not data.endswith(b'\\n'):
                more = connection.recv(4096)
                print('clear' if clear else 'secret', more, flush=True)
                if not more:
                    return
                data += more
            if clear and data == b'AUTH TLS\\r\\n':
                connection.sendall(b'234 go\\r\\n')
                connection = context.wrap_socket(connection, server_side=True)
                clear = False
                print(connection.version(), flush=True)
            else:
                connection.sendall(b'200 done\\r\\n')
    except OSError as error:
        print('ended by', error.errno, flush=True)
server = socket.create_server(('::', 21), family=socket.AF_INET6, dualstack_ipv6=True)
print('ready', flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
";

/// Sends each word, `-` for nothing, some time apart, and says how the connection ends. `TLSv1.x` goes on under TLS.
pub(crate) const CLIENT: &str = "
import socket, ssl, sys, time
connection = socket.create_connection((sys.argv[1], 21), 5)
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
connection.settimeout(10)
try:
    print(connection.recv(100))
    for word in sys.argv[2:]:
        if word.startswith('TLSv1'):
            print(connection.recv(100))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_ciphers('ALL:@SECLEVEL=0')
            version = ssl.TLSVersion[word.replace('.', '_')]
            context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, version
            connection = context.wrap_socket(connection)
        else:
            connection.sendall(word.encode().decode('unicode_escape').encode())
            time.sleep(0.1)
    connection.settimeout(2)
    while data := connection.recv(100):
        print('got', data)
    print('closed')
except TimeoutError:
    print('nothing more')
except ssl.SSLError as error:
    print('TLS refused:', error.reason)
except OSError as error:
    print('ended by', error.errno)
";

/// The rule of the cheat sheet, on whatever address of this host.
pub(crate) fn policy(action: &str) -> String {
    format!(
        "zERTPolicyRule REFUSE_WEAK_TLS\nLocalAddr All\nLocalPortRange 21 990\n\
         zERTPolicyActionRef zERT_ENFORCE_TLS12_MIN\nzERTPolicyAction zERT_ENFORCE_TLS12_MIN\n{action}\nProtocol TLS\n\
         MinimumVersion TLSv1.2\n"
    )
}

struct Stage {
    network: Network,
    server: Running,
    agent: Agent,
}

impl Stage {
    fn new(policy: &str) -> anyhow::Result<Self> {
        let network = Network::new()?;
        let server = network.host.serve(21, PYTHON, &["-u", "-c", SERVER, &network.server_pem()?])?;
        let mut agent = network.agent(&network.host)?;
        agent.policy(policy)?;
        agent.start()?;
        agent.says("EZD1586I")?;
        Ok(Self { network, server, agent })
    }

    fn client(&self, words: &[&str]) -> anyhow::Result<String> {
        self.client_to(HOST[0], words)
    }

    fn client_to(&self, address: &str, words: &[&str]) -> anyhow::Result<String> {
        self.network.peer.succeed(PYTHON, &[&["-c", CLIENT, address], words].concat())
    }
}

#[test]
fn the_cheat_sheet_s_rule_resets_old_tls_and_clear_text_and_lets_tls_1_2_live() -> anyhow::Result<()> {
    let mut stage = Stage::new("")?;
    let login = ["AUTH TLS\\r\\n", "TLSv1.1", "USER alice\\r\\n"];
    let done = "b'220 ready\\r\\n'\nb'234 go\\r\\n'\ngot b'200 done\\r\\n'\nnothing more\n";
    assert_eq!(stage.client(&login)?, done, "without enforcement");
    // Word for word, and the address it refers to.
    let rule = policy("Action Reset ;; or Log").replace("LocalAddr All", "LocalAddrRef ADDR_LOCAL");
    stage.agent.install(&format!("{rule}IpAddr ADDR_LOCAL\n{{\nAddr {}\n}}\n", HOST[0]))?;
    // The verdict falls beside the connection: a word or two may be quicker.
    let refused = stage.client(&login)?;
    assert!(!refused.ends_with("nothing more\n"), "{refused}");
    stage.agent.says_of("EZZ8584I", &["secproto= TLS secprotoversion= TLSv1.1", "rule= REFUSE_WEAK_TLS"])?;
    let login = ["AUTH TLS\\r\\n", "TLSv1.2", "USER alice\\r\\n"];
    assert_eq!(stage.client(&login)?, done, "{}", stage.agent.log());
    let refused = stage.client(&["USER alice\\r\\n"])?;
    assert!(refused.ends_with("ended by 104\n"), "{refused}");
    stage.agent.says_of("EZZ8584I", &["secproto= NONE"])?;
    Ok(())
}

#[test]
fn nothing_reaches_the_server_before_the_verdict_but_a_handshake_and_what_leads_to_it() -> anyhow::Result<()> {
    let mut stage = Stage::new(&policy("Action Reset LogConsole\nHold On"))?;
    let end = |stage: &Stage, words: &[&str]| -> anyhow::Result<String> {
        Ok(stage.client(words)?.lines().last().unwrap_or_default().to_owned())
    };
    // A login, whole, in pieces, behind harmless commands, and smuggled in behind the request for TLS.
    for words in [
        &["USER alice\\r\\n"][..],
        &["U", "S", "E", "R", " ", "alice\\r\\n"],
        &["FEAT\\r\\n", "USER alice\\r\\nPASS secret\\r\\n"],
        &["PASS secret"],
        &["\\r\\n", "PASS secret\\r\\n"],
        &["AUTH TLS\\r\\nUSER alice\\r\\n"],
        &["AUTH TLS\\r\\n", "USER alice\\r\\n"],
        &["SSH-2.0-client\\r\\n"],
        &["GET / HTTP/1.1\\r\\n"],
    ] {
        assert_eq!(end(&stage, words)?, "ended by 104", "{words:?}\n{}", stage.agent.log());
    }
    // A hello whose best offer is too old.
    assert_eq!(end(&stage, &["AUTH TLS\\r\\n", "TLSv1.1", "USER alice\\r\\n"])?, "ended by 104");
    stage.agent.says_times("EZZ8562I CONN RESET BY ZERT POLICY", 10)?;
    stage.agent.says("SECPROTOVERSION= TLSv1.1 (offered at best)")?;
    let heard = stage.server.said();
    for secret in ["alice", "secret", "PASS", "USER", "HTTP", "SSH-", "TLSv1."] {
        assert!(!heard.contains(secret), "{secret}\n{heard}");
    }
    // What meets the demand is held for a moment only, in pieces too, and over IPv6.
    for (address, words) in [
        (HOST[0], &["AUTH TLS\\r\\n", "TLSv1.2", "USER alice\\r\\n"][..]),
        (HOST[0], &["A", "U", "TH", " TLS", "\\r\\n", "TLSv1.3", "USER alice\\r\\n"]),
        (HOST[1], &["FEAT\\r\\n", "AUTH TLS\\r\\n"]),
        (HOST[1], &["AUTH TLS\\r\\n", "TLSv1.3", "USER alice\\r\\n"]),
    ] {
        let said = stage.client_to(address, words)?;
        assert!(said.contains("got b'2"), "{address} {words:?}: {said}\n{}", stage.agent.log());
    }
    assert!(stage.server.said().contains("secret b'USER alice\\r\\n'"), "{}", stage.server.said());
    let records = stage.agent.records_when("the resets are recorded", |records| {
        records.iter().filter(|record| record["common"]["reset"] == true).count() == 10
    })?;
    let offered =
        records.iter().filter(|record| record["tls"]["version"] == 0x0303 || record["tls"]["version"] == 0x0304);
    assert!(offered.count() >= 2);
    let counters = stage.agent.succeed("console", &["D TCPIP,,NETSTAT,STATS,PROTOCOL=ZERT"])?;
    assert!(counters.contains("CONNECTIONS RESET = 00000010\nCONNECTIONS LOGGED = 00000010"), "{counters}");
    // Without the daemon nothing gets through either; a new one goes on.
    stage.agent.kill()?;
    let said = stage.network.peer.run(PYTHON, &["-c", CLIENT, HOST[0], "USER alice\\r\\n"])?;
    assert!(!String::from_utf8_lossy(&said.stdout).contains("220"), "{said:?}");
    stage.agent.start()?;
    stage.agent.says("EZD1586I")?;
    let said = stage.client(&["AUTH TLS\\r\\n", "TLSv1.2", "USER alice\\r\\n"])?;
    assert!(said.ends_with("got b'200 done\\r\\n'\nnothing more\n"), "{said}");
    // A policy that holds nothing takes the rules out again.
    stage.agent.install(&policy("Action LogSyslogd"))?;
    let said = stage.client(&["USER alice\\r\\n"])?;
    assert!(said.ends_with("got b'200 done\\r\\n'\nnothing more\n"), "{said}");
    let rules = stage.network.host.succeed("iptables", &["-t", "mangle", "-S"])?;
    assert!(!rules.contains("PAGENT"), "{rules}");
    Ok(())
}

#[test]
fn what_is_held_is_put_back_and_released_on_purpose() -> anyhow::Result<()> {
    let mut stage = Stage::new(&policy("Action Reset\nHold On"))?;
    stage.network.host.succeed("iptables", &["-t", "mangle", "-F"])?;
    stage.agent.says("the rules that hold connections had been removed by another program; they are back")?;
    let refused = stage.client(&["USER alice\\r\\n"])?;
    assert!(refused.ends_with("ended by 104\n"), "{refused}");
    assert!(!stage.server.said().contains("alice"));
    // What the next boot loads holds the same, without a daemon.
    stage.agent.kill()?;
    let rules = stage.agent.folder().join("state/hold.rules").to_string_lossy().into_owned();
    for chain in ["PAGENT_HOLD_IN", "PAGENT_HOLD_OUT"] {
        let hook = if chain.ends_with("IN") { "INPUT" } else { "OUTPUT" };
        stage.network.host.succeed("iptables", &["-t", "mangle", "-D", hook, "-p", "tcp", "-j", chain])?;
    }
    stage.network.host.succeed("sh", &["-c", &format!("iptables-restore --noflush < {rules}")])?;
    let said = stage.network.peer.run(PYTHON, &["-c", CLIENT, HOST[0], "USER alice\\r\\n"])?;
    assert!(!String::from_utf8_lossy(&said.stdout).contains("220"), "{said:?}");
    stage.agent.start()?;
    stage.agent.says("EZD1586I")?;
    // A rule for another direction or address holds nothing of these.
    stage.agent.install(&policy("Action Reset\nHold On").replace("LocalAddr All", "LocalAddr 192.0.2.1"))?;
    let said = stage.client(&["USER alice\\r\\n"])?;
    assert!(said.ends_with("got b'200 done\\r\\n'\nnothing more\n"), "{said}");
    // A client of this host: the rule is for the server's end.
    let outbound = policy("Action Reset\nHold On").replace("LocalPortRange 21 990", "RemotePortRange 21");
    stage.agent.install(&outbound)?;
    let _server = stage.network.peer.serve(21, PYTHON, &["-u", "-c", SERVER, &stage.network.server_pem()?])?;
    let said = stage.network.host.succeed(PYTHON, &["-c", CLIENT, PEER[0], "USER alice\\r\\n"])?;
    assert!(said.ends_with("ended by 103\n") || said.ends_with("ended by 104\n"), "{said}");
    let said =
        stage.network.host.succeed(PYTHON, &["-c", CLIENT, PEER[0], "AUTH TLS\\r\\n", "TLSv1.2", "NOOP\\r\\n"])?;
    assert!(said.ends_with("got b'200 done\\r\\n'\nnothing more\n"), "{said}\n{}", stage.agent.log());
    stage.agent.pagent(&["stop", "--release"])?;
    wait_until("the rules are out", || {
        Ok(!stage.network.host.succeed("iptables", &["-t", "mangle", "-S"])?.contains("PAGENT"))
    })?;
    assert!(!stage.agent.folder().join("state/hold.rules").exists());
    Ok(())
}

#[test]
fn what_has_been_released_flows_without_the_daemon() -> anyhow::Result<()> {
    let mut stage = Stage::new(&policy("Action Reset\nHold On"))?;
    let words = ["AUTH TLS\\r\\n", "TLSv1.3", "NOOP\\r\\n", "-", "NOOP\\r\\n"];
    let slow = CLIENT.replace("time.sleep(0.1)", "time.sleep(1)");
    let mut client = stage.network.peer.start(PYTHON, &[&["-u", "-c", &slow, HOST[0]], &words[..]].concat())?;
    client.wait_for("234 go")?;
    wait_until("the handshake is over", || Ok(stage.server.said().contains("TLSv1.3")))?;
    stage.agent.kill()?;
    client.wait()?;
    assert!(client.said().contains("got b'200 done"), "{}", client.said());
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(stage.server.said().matches("secret b'NOOP").count(), 2, "{}", stage.server.said());
    Ok(())
}

#[test]
fn the_host_s_own_ssh_is_not_cut_off_unless_somebody_says_so() -> anyhow::Result<()> {
    let network = Network::new()?;
    let key = network.lab.folder().join("host.key").to_string_lossy().into_owned();
    network.host.succeed("dropbearkey", &["-t", "ed25519", "-f", &key])?;
    let _ssh = network.host.serve(22, "dropbear", &["-F", "-E", "-r", &key, "-p", "22", "-P", ""])?;
    let mut agent = network.agent(&network.host)?;
    agent.policy("")?;
    agent.start()?;
    let everything = |more: &str| {
        format!(
            "{more}zERTPolicyRule ALL\n{{\nLocalAddr All\nPriority 5\nzERTPolicyActionRef R\n}}\nzERTPolicyAction R\n{{\n\
             Action Reset\nProtocol TLS\n}}\n"
        )
    };
    let refused = agent.install(&everything("")).expect_err("SSH would be cut off").to_string();
    for words in ["zERTPolicyRule `ALL`", "port 22", "`Action Allow`", "--force"] {
        assert!(refused.contains(words), "{refused}");
    }
    let allow = "zERTPolicyRule SSH\n{\nLocalPortRange 22\nPriority 9\nzERTPolicyActionRef A\n}\nzERTPolicyAction A\n{\n\
                 Action Allow\n}\n";
    agent.install(&everything(allow))?;
    let banner = "import socket, sys\nconnection = socket.create_connection((sys.argv[1], 22), 5)\n\
                  connection.settimeout(2)\ntry:\n    connection.sendall(b'SSH-2.0-test\\r\\n')\n    while \
                  connection.recv(1000): pass\n    print('closed')\nexcept TimeoutError:\n    print('lives')\n\
                  except OSError as error:\n    print('ended by', error.errno)\n";
    assert_eq!(network.peer.succeed(PYTHON, &["-c", banner, HOST[0]])?, "lives\n");
    agent.policy(&everything(""))?;
    assert!(!agent.pagent(&["refresh"])?.status.success());
    let forced = agent.pagent(&["refresh", "--force"])?;
    assert!(forced.status.success(), "{forced:?}");
    assert_eq!(network.peer.succeed(PYTHON, &["-c", banner, HOST[0]])?, "ended by 104\n");
    Ok(())
}

/// Ends each connection with a RST behind its first word under TLS.
const RESETS: &str = "connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\\x01\\0\\0\\0\\0\\0\\0\\0'); connection.close(); return";

/// Comes from port 40000 of its host, and sends its words.
const FROM_A_PORT: &str = "
import socket, ssl, sys
def connect(words):
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    connection.bind(('', int(sys.argv[2])))
    connection.settimeout(3)
    connection.connect((sys.argv[1], 21))
    connection.recv(100)
    for word in words:
        connection.sendall(word)
    return connection
try:
    first = connect([b'AUTH TLS\\r\\n'])
    first.recv(100)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    first = context.wrap_socket(first)
    first.sendall(b'NOOP\\r\\n')
    print(first.recv(100))
except OSError as error:
    print('first ended by', error.errno)
first.close()
try:
    second = connect([b'USER alice\\r\\n'])
    print('got', second.recv(100))
except OSError as error:
    print('second ended by', error.errno)
";

/// Points at each byte of a harmless word as urgent, in segments without data, and then logs in. Needs root.
const URGENT: &str = "
import socket, sys
connection = socket.create_connection((sys.argv[1], 21), 5)
connection.settimeout(2)
connection.recv(100)
try:
    for byte in b'NOOP ':
        connection.send(bytes([byte]), socket.MSG_OOB)
    connection.sendall(b'USER alice\\r\\n')
    print('got', connection.recv(100))
except OSError as error:
    print('ended by', error.errno)
";

#[test]
fn tricks_do_not_get_words_past_the_verdict() -> anyhow::Result<()> {
    let network = Network::new()?;
    let server = SERVER.replace(
        "connection.sendall(b'200 done\\r\\n')",
        &format!("\n                if not clear: {RESETS}\n                connection.sendall(b'200 done\\r\\n')"),
    );
    let server = network.host.serve(21, PYTHON, &["-u", "-c", &server, &network.server_pem()?])?;
    let mut agent = network.agent(&network.host)?;
    agent.install(&policy("Action Reset\nHold On"))?;
    agent.says("EZD1586I")?;
    // A port whose last connection was released and reset is looked at again.
    let said = network.peer.succeed(PYTHON, &["-c", FROM_A_PORT, HOST[0], "40000"])?;
    assert!(said.contains("second ended by 104"), "{said}\n{}", agent.log());
    let said = network.peer.succeed(PYTHON, &["-c", URGENT, HOST[0]])?;
    assert!(!said.contains("got"), "{said}");
    // A client of this host on a port that the rule holds for servers: its server's end counts.
    let clear = network.host.succeed(PYTHON, &["-c", FROM_A_PORT, "127.0.0.1", "990"])?;
    assert!(clear.contains("second ended by"), "{clear}\n{}", agent.log());
    // SSH may be demanded beside TLS; its banner alone is none where the server greets otherwise.
    agent.install(&policy("Action Reset\nHold On").replace("Protocol TLS", "Protocol TLS SSH"))?;
    let words = ["SSH-2.0-x\\r\\n", "USER alice\\r\\n"];
    let said = network.peer.succeed(PYTHON, &[&["-c", CLIENT, HOST[0]], &words[..]].concat())?;
    assert!(said.ends_with("ended by 104\n"), "{said}");
    // A rule against clear text only: a hello is no answer of a server.
    let refuse = "zERTPolicyRule CLEAR\n{\nLocalPortRange 21\nzERTProtectionRef CLEAR\nzERTPolicyActionRef CLEAR\n}\n\
                  zERTProtection CLEAR\n{\nProtocol None\n}\nzERTPolicyAction CLEAR\n{\nAction Reset\nHold On\n}\n";
    agent.install(refuse)?;
    let hello = "\\x16\\x03\\x01\\x40\\x00\\x01\\r\\nUSER alice\\r\\n";
    let said = network.peer.succeed(PYTHON, &["-c", CLIENT, HOST[0], "AUTH TLS\\r\\n", hello])?;
    assert!(!said.contains("200 done"), "{said}");
    let said = network.peer.succeed(PYTHON, &["-c", CLIENT, HOST[0], "AUTH TLS\\r\\n", "TLSv1.1", "NOOP\\r\\n"])?;
    assert!(said.contains("234 go") && !said.contains("104\n220"), "{said}");
    // Whoever owns the server counts, not whoever has not accepted yet.
    let owned = policy("Action Reset\nHold On").replace("LocalAddr All", "LocalAddr All\nUserid ROOT");
    agent.install(&owned)?;
    let said = network.peer.succeed(PYTHON, &["-c", CLIENT, HOST[0], "USER alice\\r\\n"])?;
    assert!(said.ends_with("ended by 104\n"), "{said}");
    assert!(!server.said().contains("alice"), "{}", server.said());
    Ok(())
}

#[test]
fn what_at_tls_wraps_is_none_of_it_and_a_successor_goes_on_holding() -> anyhow::Result<()> {
    let mut stage = Stage::new("")?;
    let pem = stage.network.server_pem()?;
    let words = ["s_server", "-accept", "8443", "-cert", &pem, "-www", "-quiet"];
    let _web = stage.network.peer.serve(8443, "openssl", &words)?;
    let wrap = crate::network::rule("OUT", "RemotePortRange 8443\nDirection Outbound", "Client", "$RINGS/RING");
    let hold = policy("Action Reset\nHold On").replace("LocalPortRange 21 990", "RemotePortRange 1-65535");
    stage.agent.install(&format!("{wrap}{hold}"))?;
    let page = stage.network.host.succeed("curl", &["-sS", "-m", "5", &format!("http://{}:8443/", PEER[0])])?;
    assert!(page.contains("TLSv1.3"), "{page}\n{}", stage.agent.log());
    stage.agent.install(&format!("{wrap}{}", policy("Action Reset\nHold On")))?;
    let good = ["AUTH TLS\\r\\n", "TLSv1.2", "NOOP\\r\\n"];
    for _ in 0..2 {
        let _before = stage.agent.take_over()?;
        let refused = stage.client(&["USER alice\\r\\n"])?;
        assert!(refused.ends_with("ended by 104\n"), "{refused}\n{}", stage.agent.log());
        let said = stage.client(&good)?;
        assert!(said.contains("got b'200 done"), "{said}\n{}", stage.agent.log());
    }
    assert!(!stage.server.said().contains("alice"), "{}", stage.server.said());
    // A file that came up empty opens nothing.
    assert!(stage.agent.install("").is_err());
    Ok(())
}
