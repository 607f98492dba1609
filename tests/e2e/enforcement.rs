//! zERT enforcement, as both ends of a connection see it.

use crate::network::{HOST, Network};

/// Greets like an FTP server, and says how each connection ends.
const SERVER: &str = "
import socket
server = socket.create_server(('0.0.0.0', 2121))
print('ready', flush=True)
while True:
    connection, _ = server.accept()
    connection.sendall(b'220 ready\\r\\n')
    try:
        while data := connection.recv(1000):
            print('got', data, flush=True)
        print('closed', flush=True)
    except OSError as error:
        print('ended by', error.errno, flush=True)
";

/// Logs in, and says how the connection ends.
const CLIENT: &str = "
import socket, sys
connection = socket.create_connection((sys.argv[1], 2121), 5)
connection.recv(100)
connection.sendall(b'USER alice\\r\\n')
connection.settimeout(2)
try:
    print('got', connection.recv(100))
except TimeoutError:
    print('lives')
except OSError as error:
    print('ended by', error.errno)
";

fn policy(action: &str) -> String {
    format!(
        "zERTPolicyRule R\n{{\nLocalPortRange 2121\nzERTPolicyActionRef A\n}}\n\
         zERTPolicyAction A\n{{\nAction {action}\nProtocol TLS\nMinimumVersion TLSv1.2\n}}\n"
    )
}

#[test]
fn a_clear_text_login_is_reset_at_both_ends_and_recorded() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut server = network.host.serve(2121, "/usr/bin/python3", &["-u", "-c", SERVER])?;
    let mut agent = network.agent(&network.host)?;
    agent.policy(&policy("Reset"))?;
    agent.start()?;
    let said = network.peer.succeed("/usr/bin/python3", &["-c", CLIENT, HOST[0]])?;
    assert_eq!(said.trim(), "ended by 104", "ECONNRESET at the client");
    server.wait_for("ended by 103")?; // ECONNABORTED at the server
    let records = agent.records_when("the reset is recorded", |records| {
        records.iter().any(|record| record["common"]["reset"] == true)
    })?;
    let reset: Vec<_> = records.iter().filter(|record| record["common"]["reset"] == true).collect();
    assert_eq!(reset.len(), 1);
    assert_eq!(reset[0]["enforcement"]["rule"], "R");
    assert_eq!(reset[0]["common"]["protocols"], 0);
    agent.says("EZZ8584I Connection reset by ZERT Policy Enforcement")?;
    Ok(())
}

#[test]
fn a_rule_that_logs_lets_the_connection_live() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _server = network.host.serve(2121, "/usr/bin/python3", &["-u", "-c", SERVER])?;
    let mut agent = network.agent(&network.host)?;
    agent.policy(&policy("Log"))?;
    agent.start()?;
    let said = network.peer.succeed("/usr/bin/python3", &["-c", CLIENT, HOST[0]])?;
    assert_eq!(said.trim(), "lives");
    agent.says("EZZ8583I Connection logged by ZERT Policy Enforcement")?;
    let counters = agent.succeed("console", &["D TCPIP,,NETSTAT,STATS,PROTOCOL=ZERT"])?;
    assert!(counters.contains("CONNECTIONS RESET = 00000000\nCONNECTIONS LOGGED = 00000001"), "{counters}");
    Ok(())
}

#[test]
fn a_rule_for_a_job_or_a_user_is_for_no_other() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut server = network.host.serve(2121, "/usr/bin/python3", &["-u", "-c", SERVER])?;
    let mut agent = network.agent(&network.host)?;
    let of = |condition: &str, hold: &str| {
        policy(&format!("Reset{hold}")).replace("LocalPortRange 2121\n", &format!("LocalPortRange 2121\n{condition}\n"))
    };
    agent.policy(&of("Userid NOBODY", ""))?;
    agent.start()?;
    let login = || network.peer.succeed("/usr/bin/python3", &["-c", CLIENT, HOST[0]]);
    assert_eq!(login()?.trim(), "lives", "of another user");
    agent.install(&of("Jobname VSFTPD", "\nHold On"))?;
    assert_eq!(login()?.trim(), "lives", "of another job");
    for (condition, hold) in
        [("Userid ROOT", ""), ("Jobname PYTHON*", ""), ("Jobname PYTHON*\nUserid ROOT", "\nHold On")]
    {
        agent.install(&of(condition, hold))?;
        assert_eq!(login()?.trim(), "ended by 104", "{condition} {hold}");
        server.wait_for("ended by 103")?;
        agent.says_of("EZZ8584I", &["userid= ROOT", "jobname= PYTHON"])?;
    }
    // What was held never came.
    let said = server.said();
    assert_eq!(said.matches("USER alice").count(), 4, "{said}");
    Ok(())
}
