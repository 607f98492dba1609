//! SMF 119-1, 119-2 and 119-100; which records are written; connections that are older than the daemon.

use pagent::lab::{Agent, wait_until};
use serde_json::Value;

use crate::controlled::controlled;
use crate::network::{HOST, Network, PEER, rule};

fn of(records: &[Value], subtype: u64) -> Vec<&Value> {
    records.iter().filter(|record| record.pointer("/header/subtype") == Some(&subtype.into())).collect()
}

/// Whether connections to a server's port have this many records of their end.
fn ended(records: &[Value], port: u16, count: usize) -> bool {
    let to = format!(":{port}");
    let local = |record: &&&Value| {
        record.pointer("/connection/local").and_then(Value::as_str).is_some_and(|local| local.ends_with(&to))
    };
    of(records, 2).iter().filter(local).count() == count
}

#[test]
fn a_connection_s_beginning_and_end_are_recorded_and_what_at_tls_did_for_it() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _servers = [network.web(&network.host, 8080, "come in")?, network.web(&network.host, 8081, "come in")?];
    let mut agent = network.agent(&network.host)?;
    agent.policy(&rule("IN", "LocalPortRange 8081\nDirection Inbound", "Server", "$RINGS/RING"))?;
    agent.start()?;
    network.peer.succeed("curl", &["-sS", "-m", "5", &format!("http://{}:8080/", HOST[0])])?;
    let url = format!("https://[{}]:8081/", HOST[1]);
    network.peer.succeed("curl", &["-sSk", "-m", "5", "--tls-max", "1.2", &url])?;
    let refused =
        network.peer.run("curl", &["-sSk", "-m", "5", "--ciphers", "AES128-SHA", "--tls-max", "1.2", &url])?;
    assert!(!refused.status.success());
    let records = agent.records_when("all have ended", |records| ended(records, 8080, 1) && ended(records, 8081, 2))?;
    let began: Vec<&Value> = of(&records, 1);
    assert_eq!(began.len(), 3, "{began:#?}");
    for record in of(&records, 2) {
        let connection = &record["connection"];
        let initiation = began.iter().find(|began| began["remote"] == connection["remote"]);
        let initiation = initiation.unwrap_or_else(|| panic!("no initiation of {record:#}"));
        assert_eq!(initiation["started"], connection["started"]);
        assert_eq!(initiation["connection_id"], connection["connection_id"]);
        assert_eq!(connection["active"], false);
        let plain = connection["local"] == format!("{}:8080", HOST[0]);
        let cut = connection["bytes_in"] == 0;
        let expected = match (plain, cut) {
            (true, _) => ("NotSecure", "NoPolicy"),
            (false, true) => ("InProgress", "Enabled"),
            (false, false) => ("Secure", "Enabled"),
        };
        let said = |name: &str| connection[name].as_str().unwrap_or_default();
        assert_eq!((said("secure"), said("policy")), expected, "{record:#}");
        if plain {
            // The first may have ended before its job was found.
            assert!(said("jobname").is_empty() || said("jobname").starts_with("PYTHON3"));
            assert!(connection["segments_in"].as_u64() > Some(3) && connection["segment_size"].as_u64() > Some(500));
        }
        let negotiated = (record["attls"]["version"].as_u64(), record["attls"]["security_type"].as_u64());
        assert_eq!(negotiated, if plain || cut { (None, None) } else { (Some(0x0303), Some(2)) });
    }
    let events = of(&records, 100);
    let told: Vec<(&str, &str)> = events
        .iter()
        .map(|event| (event["event"].as_str().unwrap_or_default(), event["secure"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(told, [("Secured", "Secure"), ("Ended", "Secure"), ("Failed", "InProgress")], "{events:#?}");
    assert!(events.iter().all(|event| event["rule"] == "IN" && event["environment"] == "E_IN"));
    let reason = events.iter().find(|event| event["event"] == "Failed").map(|event| event["reason"].as_str());
    assert!(reason.flatten().is_some_and(|reason| !reason.is_empty()), "{events:#?}");
    // The dump in words, by IBM's names, and as a table.
    let words = agent.succeed("smf", &["list"])?;
    assert!(
        words.contains("SMF 119-2 TCP connection termination") && words.contains("AT-TLS      not secure, no rule")
    );
    assert!(words.contains("TTLS policy IN E_IN\n  TTLS status secure, enabled, server\n  negotiated  TLSv1.2  TLS_"));
    let fields = agent.succeed("smf", &["show"])?;
    for shown in
        ["SMF119AP_TTTTLSCS               3  secure", "SMF119AP_TTTTLSST               2  server", "SMF119SC_SARIP"]
    {
        assert!(fields.contains(shown), "{shown} is not in\n{fields}");
    }
    let csv = agent.succeed("smf", &["csv", "--of", "attls"])?;
    assert_eq!((csv.lines().count(), csv.matches(",Enabled,TLSv1.2,TLS_ECDHE_").count()), (4, 2), "{csv}");
    Ok(())
}

#[test]
fn records_that_are_not_wanted_are_not_written() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _web = network.web(&network.host, 8080, "come in")?;
    let mut agent = network.agent(&network.host)?;
    agent.configure("[smf]\ntype119 = [\"TCPTERM\"]")?;
    agent.policy(
        "zERTPolicyRule R\n{\nLocalPortRange 8080\nzERTPolicyActionRef A\n}\n\
         zERTPolicyAction A\n{\nAction Log Audit\nProtocol TLS\n}\n",
    )?;
    agent.start()?;
    network.peer.succeed("curl", &["-sS", "-m", "5", &format!("http://{}:8080/", HOST[0])])?;
    agent.records_when("it has ended", |records| ended(records, 8080, 1))?;
    agent.says("EZZ8565I NO AUDIT RECORD WILL BE WRITTEN BY ZERT POLICY ENFORCEMENT FOR TCPIP - ZERTDETAILBYPOLICY")?;
    agent.says("EZZ8583I")?;
    agent.stop()?;
    let records = agent.records()?;
    assert_eq!(of(&records, 2).len(), records.len(), "{records:#?}");
    agent.configure("[smf]\ntype119 = [\"TCPTREM\"]")?;
    let refused = agent.start_in_vain(&[])?;
    assert!(refused.contains("unknown variant `TCPTREM`, expected one of `TCPINIT`, `TCPTERM`"), "{refused}");
    Ok(())
}

/// Holds a connection until it gets a line, then says something and closes.
const PATIENT: &str = "
import socket, sys
connection = socket.create_connection((sys.argv[1], 7100), 5)
print('connected', flush=True)
sys.stdin.readline()
connection.sendall(b'x' * 1000)
connection.close()
";

const SINK: &str = "
import socket, threading
server = socket.create_server(('0.0.0.0', 7100))
def serve(connection):
    while connection.recv(1000): pass
    connection.close()
print('ready', flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
";

#[test]
fn connections_that_are_older_than_the_daemon_are_recorded_as_such() -> anyhow::Result<()> {
    use std::io::{BufRead as _, Write as _};
    let network = Network::new()?;
    let _sink = network.host.serve(7100, "/usr/bin/python3", &["-u", "-c", SINK])?;
    let mut client = network.peer.command("/usr/bin/python3");
    client.args(["-u", "-c", PATIENT, HOST[0]]);
    let mut client = client.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn()?;
    let mut line = String::new();
    let stdout = client.stdout.take().ok_or_else(|| anyhow::anyhow!("no output"))?;
    std::io::BufReader::new(stdout).read_line(&mut line)?;
    assert_eq!(line, "connected\n");
    let mut agent = network.agent(&network.host)?;
    agent.policy("")?;
    agent.start()?;
    let older = |records: &[Value], event: &str| {
        let of = |record: &&Value| record["common"]["older"] == true && record["common"]["event"] == event;
        records.iter().filter(of).cloned().collect::<Vec<_>>()
    };
    let records = agent.records_when("it is found", |records| !older(records, "Initiation").is_empty())?;
    let found = older(&records, "Initiation");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(
        (&found[0]["common"]["role"], &found[0]["common"]["local"]),
        (&"Server".into(), &format!("{}:7100", HOST[0]).into())
    );
    assert!(of(&records, 1).is_empty(), "its beginning was not seen");
    // One that begins now is none of them.
    network.peer.succeed("bash", &["-c", &format!("exec 3<>/dev/tcp/{}/7100; echo short >&3", HOST[0])])?;
    client.stdin.take().ok_or_else(|| anyhow::anyhow!("no input"))?.write_all(b"go\n")?;
    client.wait()?;
    let records = agent.records_when("both have ended", |records| ended(records, 7100, 2))?;
    let finished = older(&records, "Termination");
    assert_eq!(finished.len(), 1, "{records:#?}");
    assert!(finished[0]["common"]["bytes_in"].as_u64() >= Some(1000), "{finished:#?}");
    let stats = agent.succeed("zert", &["stats"])?;
    assert!(stats.contains("older                 1 "), "{stats}");
    // It is no part of what was observed: neither of summaries nor of the history.
    agent.stop()?;
    let summaries: u64 =
        of(&agent.records()?, 12).iter().filter_map(|record| record["common"]["ended"]["connections"].as_u64()).sum();
    assert_eq!(summaries, 1);
    let words = agent.succeed("smf", &["list"])?;
    assert!(words.contains("protection  not known: older than zERT"), "{words}");
    Ok(())
}

/// Speaks lines in clear text through the agent, never starts TLS.
const CLEAR: &str = "
import socket, sys, time
connection = socket.create_connection((sys.argv[1], 7000), 5)
connection.sendall(b'hello\\n')
print(connection.recv(100), flush=True)
";

#[test]
fn a_connection_that_its_program_leaves_in_clear_text_is_recorded_as_that() -> anyhow::Result<()> {
    let network = Network::new()?;
    let echo = "import socket\ns = socket.create_server(('0.0.0.0', 7000))\nwhile True:\n c, _ = s.accept()\n c.sendall(c.recv(100))\n c.close()";
    let _server = network.peer.serve(7000, "/usr/bin/python3", &["-u", "-c", echo])?;
    let mut agent: Agent = network.agent(&network.host)?;
    let off = rule("OFF", "RemotePortRange 7001\nDirection Outbound", "Client", "$RINGS/RING")
        .replace("TTLSEnabled On", "TTLSEnabled Off");
    agent.policy(&(controlled("OUT", "RemotePortRange 7000\nDirection Outbound", "Client", "") + &off))?;
    agent.start()?;
    network.host.succeed("/usr/bin/python3", &["-c", CLEAR, PEER[0]])?;
    let to = format!("{}:7000", PEER[0]);
    let records = agent.records_when("it has ended", |records| {
        of(records, 2).iter().any(|record| record["connection"]["remote"] == to)
    })?;
    let details: Vec<&Value> = of(&records, 11).into_iter().filter(|record| record["common"]["remote"] == to).collect();
    assert_eq!(details.len(), 1, "one record for one connection: {details:#?}");
    assert_eq!((&details[0]["common"]["protocols"], &details[0]["common"]["bytes_out"]), (&0.into(), &6.into()));
    let told: Vec<(&Value, &Value)> =
        of(&records, 100).into_iter().map(|event| (&event["event"], &event["policy"])).collect();
    assert_eq!(told, [(&"Ended".into(), &"ApplicationControlled".into())]);
    // What is said in clear text is judged, though the engine carries it; TLS that the program does itself is TLS.
    let demand = "zERTPolicyRule Z\n{\nRemotePortRange 7000\nzERTPolicyActionRef A\n}\n\
                  zERTPolicyAction A\n{\nAction Reset\nProtocol TLS\n}\n";
    agent.install(&(controlled("OUT", "RemotePortRange 7000\nDirection Outbound", "Client", "") + &off + demand))?;
    let output = network.host.run("/usr/bin/python3", &["-c", CLEAR, PEER[0]])?;
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("Error"), "{output:?}");
    agent.says_of("EZZ8584I", &["remoteport= 7000", "secproto= NONE", "rule= Z"])?;
    // A rule that is off leaves its connections alone.
    let _ = network.host.run("bash", &["-c", &format!("exec 3<>/dev/tcp/{}/7001", PEER[0])])?;
    let _other = network.peer.serve(7001, "/usr/bin/python3", &["-u", "-c", &echo.replace("7000", "7001")])?;
    network.host.succeed("bash", &["-c", &format!("exec 3<>/dev/tcp/{}/7001; echo x >&3; read <&3", PEER[0])])?;
    wait_until("it is recorded", || {
        let records = agent.records()?;
        let mut ends = of(&records, 2).into_iter();
        Ok(ends.any(|record| {
            record["connection"]["policy"] == "NotEnabled" && record["connection"]["bytes_in"].as_u64() > Some(0)
        }))
    })?;
    Ok(())
}

#[test]
fn ipsec_that_a_policy_would_use_and_that_is_not_there_protects_nothing() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _web = network.web(&network.host, 8080, "come in")?;
    let mut agent = network.agent(&network.host)?;
    agent.policy("")?;
    agent.start()?;
    // The kernel's own dump of policies is read: one for other hosts, and one whose associations are wanted, not demanded.
    for (subnet, level) in [("10.99.0.0/16", "required"), ("10.1.0.0/24", "use")] {
        let words = format!(
            "xfrm policy add src 10.1.0.0/24 dst {subnet} dir out tmpl src 10.1.0.1 dst 10.1.0.2 proto esp reqid 7 mode transport level {level}"
        );
        network.host.succeed("ip", &words.split_whitespace().collect::<Vec<_>>())?;
    }
    network.peer.succeed("curl", &["-sS", "-m", "5", &format!("http://{}:8080/", HOST[0])])?;
    let records = agent.records_when("it has ended", |records| ended(records, 8080, 1))?;
    let ends = of(&records, 11);
    let end = ends.iter().find(|record| record["common"]["event"] == "ShortTermination");
    assert_eq!(end.map(|end| &end["common"]["protocols"]), Some(&0.into()), "{ends:#?}");
    let stats = agent.succeed("zert", &["stats"])?;
    assert!(stats.contains("IPsec         looked at"), "{stats}");
    Ok(())
}

#[test]
fn without_a_policy_that_can_be_installed_connections_are_recorded_all_the_same() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _web = network.web(&network.host, 8080, "come in")?;
    let mut agent = network.agent(&network.host)?;
    agent.policy("TTLSRule BROKEN\n{\n")?;
    agent.start()?;
    agent.says("EZZ8438I PAGENT POLICY DEFINITIONS CONTAIN ERRORS")?;
    let visit = || network.peer.succeed("curl", &["-sS", "-m", "5", &format!("http://{}:8080/", HOST[0])]);
    visit()?;
    agent.records_when("it has ended", |records| ended(records, 8080, 1))?;
    // A policy that comes later is installed as the first one.
    agent.install(&rule("IN", "LocalPortRange 8080\nDirection Inbound", "Server", "$RINGS/RING"))?;
    assert!(visit().is_err(), "it is TLS now");
    Ok(())
}

#[test]
fn a_second_daemon_is_refused_before_it_touches_the_dump() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _web = network.web(&network.host, 8080, "come in")?;
    let mut agent = network.agent(&network.host)?;
    agent.policy("")?;
    agent.start()?;
    let visit = || network.peer.succeed("curl", &["-sS", "-m", "5", &format!("http://{}:8080/", HOST[0])]);
    visit()?;
    agent.records_when("the first has ended", |records| ended(records, 8080, 1))?;
    // What looks torn is what the first one is about to write on.
    let dump = agent.folder().join("state/smf119.dump");
    let mut file = std::fs::OpenOptions::new().append(true).open(&dump)?;
    std::io::Write::write_all(&mut file, &[1, 0])?;
    let length = std::fs::metadata(&dump)?.len();
    let said = agent.start_in_vain(&[])?;
    assert!(said.contains("another pagent answers on"), "{said}");
    assert_eq!(std::fs::metadata(&dump)?.len(), length, "it was cut");
    assert!(!agent.folder().join("state/smf119.dump.torn").exists());
    file.set_len(length - 2)?;
    visit()?;
    agent.records_when("the second has ended", |records| ended(records, 8080, 2))?;
    Ok(())
}

/// Takes connections, reads what comes first, and closes.
const TAKES: &str = "
import socket
listener = socket.create_server(('::', 7200), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512)
while True:
    connection, _ = listener.accept()
    connection.recv(16)
    connection.close()
";

/// Makes one short connection after another until its input ends, and says how many there were.
const SHORT: &str = "
import select, socket, sys
made = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    with socket.create_connection((sys.argv[1], 7200), 5) as connection:
        connection.sendall(b'x')
        connection.recv(1)
    made += 1
print(made, flush=True)
";

#[test]
fn a_kill_under_load_leaves_the_records_readable_and_the_next_start_goes_on() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _taker = network.host.serve(7200, "/usr/bin/python3", &["-u", "-c", TAKES])?;
    let mut agent = network.agent(&network.host)?;
    agent.policy("")?;
    agent.start()?;
    let mut load = network.peer.command("/usr/bin/python3");
    load.args(["-u", "-c", SHORT, HOST[0]]);
    let mut load = load.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn()?;
    agent.records_when("many have ended", |records| of(records, 2).len() >= 300)?;
    agent.kill()?;
    // At most the last one is not whole, which is said.
    let output = agent.command("smf", &["json"]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || said.lines().count() == 1 && said.contains("the file was cut"), "{said}");
    let lines = String::from_utf8(output.stdout)?;
    let before = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    assert!(of(&before, 2).len() >= 300);
    agent.start()?;
    agent.records_when("many more have ended", |records| of(records, 2).len() >= of(&before, 2).len() + 300)?;
    drop(load.stdin.take());
    let made = load.wait_with_output()?;
    assert!(made.status.success());
    let made: usize = String::from_utf8(made.stdout)?.trim().parse()?;
    agent.stop()?;
    let after = agent.records()?;
    // Nothing of before is lost or written over, and nothing is there twice.
    assert_eq!(after.get(..before.len()), Some(&before[..]));
    let ends = |record: &&Value| {
        let connection = &record["connection"];
        format!("{} {} {}", connection["local"], connection["remote"], connection["started"])
    };
    let ports: Vec<_> = of(&after, 2).iter().map(ends).collect();
    let once: std::collections::HashSet<_> = ports.iter().collect();
    assert!(ports.len() <= made + 1, "{} of {made}", ports.len());
    assert_eq!(once.len(), ports.len(), "a connection ended twice");
    let history: Value = serde_json::from_str(&agent.succeed("zert", &["report", "--json", "--port", "7200"])?)?;
    let rows = history["rows"].as_array().into_iter().flatten();
    let counted = rows.filter_map(|row| row["connections"].as_u64()).sum::<u64>();
    assert!(counted >= 300 && counted <= made as u64 + 1, "{counted} of {made}");
    Ok(())
}
