//! Upgrades to TLS spoken in the program's stead (`Negotiate`), with openssl and Python as peers.

use anyhow::Context as _;
use pagent::lab::Capture;

use crate::network::{HOST, Network, PEER, rule, with};

const PROTOCOLS: [&str; 5] = ["smtp", "imap", "pop3", "postgres", "ldap"];

/// A program that greets as its protocol does, if it does, and answers each line.
const PROGRAM: &str = "
import socketserver, sys
greeting = {'smtp': b'220-two\\r\\n220 lines\\r\\n', 'imap': b'* OK [CAPABILITY STARTTLS] ready\\r\\n', 'pop3': b'+OK <1@host>\\r\\n'}
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(greeting.get(sys.argv[1], b''))
        for line in self.rfile:
            self.wfile.write(b'heard ' + line)
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(('', 7000), Handler).serve_forever()
";

#[test]
fn servers_that_know_no_tls_are_reached_by_starttls() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    let ca = network.authority_file()?;
    for protocol in PROTOCOLS {
        let policy = with(
            &rule("IN", "LocalPortRange 7000\nDirection Inbound", "Server", "$RINGS/RING"),
            "TTLSEnvironmentAdvancedParms",
            &format!("Negotiate {protocol}"),
        );
        agent.install(&policy)?;
        let program = network.host.serve(7000, "/usr/bin/python3", &["-u", "-c", PROGRAM, protocol])?;
        let mut wire = Capture::start(&network.peer, network.lab.folder(), &format!("wire-{protocol}"))?;
        let script = format!(
            "(sleep 0.5; printf 'PAYLOAD\\n'; sleep 1) | openssl s_client -connect {}:7000 -starttls {protocol} -quiet -no_ign_eof \
             -verify_return_error -CAfile {ca} 2>&1",
            HOST[0]
        );
        let said = network.peer.run("sh", &["-c", &script])?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        wire.stop()?;
        assert!(said.contains("heard PAYLOAD"), "{protocol}: {said}\n{}\n{}", program.said(), agent.log());
        assert_eq!(wire.packets_with("PAYLOAD")?, 0, "{protocol}");
        // Without the upgrade nothing reaches the program; behind it nothing in clear text is taken.
        for bad in ["PAYLOAD\\n", "STARTTLS\\r\\nPAYLOAD\\n", "a STARTTLS\\r\\na PAYLOAD\\n", "STLS\\r\\nPAYLOAD\\n"] {
            let script = format!("(printf '{bad}'; sleep 0.5) | timeout 2 nc {} 7000", HOST[0]);
            let said = network.peer.run("bash", &["-c", &script.replace("nc ", "python3 -c \"import socket,sys; c=socket.create_connection((sys.argv[1],7000)); c.sendall(sys.stdin.buffer.read()); c.shutdown(1); print(c.makefile('rb').read())\" ")])?;
            let said = String::from_utf8_lossy(&said.stdout).into_owned();
            assert!(!said.contains("heard"), "{protocol} {bad}: {said}");
        }
    }
    Ok(())
}

/// A server that demands the upgrade.
const SERVER: &str = "
import socket, ssl, sys
protocol = sys.argv[1]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2])
listener = socket.create_server(('', 7000))
def line(connection):
    text = b''
    while not text.endswith(b'\\n'):
        text += connection.recv(1) or b'\\n'
    return text.strip()
while True:
    connection, _ = listener.accept()
    try:
        if protocol == 'smtp':
            connection.sendall(b'220 mail.example ESMTP\\r\\n')
            assert line(connection).startswith(b'EHLO [')
            connection.sendall(b'250-mail.example\\r\\n250-PIPELINING\\r\\n250 STARTTLS\\r\\n')
            assert line(connection) == b'STARTTLS'
            connection.sendall(b'220 go\\r\\n')
        elif protocol == 'imap':
            connection.sendall(b'* OK [CAPABILITY IMAP4 LOGINDISABLED] mail.example\\r\\n')
            tag, command = line(connection).split()
            assert command == b'STARTTLS'
            connection.sendall(b'* something\\r\\n' + tag + b' OK go\\r\\n')
        elif protocol == 'pop3':
            connection.sendall(b'+OK mail.example\\r\\n')
            assert line(connection) == b'STLS'
            connection.sendall(b'+OK go\\r\\n')
        elif protocol == 'postgres':
            assert connection.recv(8) == bytes([0, 0, 0, 8, 4, 210, 22, 47])
            connection.sendall(b'S' if sys.argv[3] == 'yes' else b'N')
        else:
            assert connection.recv(31).endswith(b'1.3.6.1.4.1.1466.20037')
            connection.sendall(bytes([0x30, 12, 2, 1, 1, 0x78, 7, 10, 1, 0, 4, 0, 4, 0]))
        secured = context.wrap_socket(connection, server_side=True)
        said = secured.version().encode() + b' ' + line(secured) + b'\\n'
        # PostgreSQL's server says that the authentication is over before anything else passes as it is.
        secured.sendall((bytes([82, 0, 0, 0, 8, 0, 0, 0, 0]) if protocol == 'postgres' else b'') + said)
        secured.unwrap()
    except (OSError, AssertionError) as error:
        print(repr(error))
    connection.close()
";

/// How Python prints it.
const AUTHENTICATED: &str = "R\\x00\\x00\\x00\\x08\\x00\\x00\\x00\\x00";

const CLIENT: &str = "
import socket, sys
connection = socket.create_connection((sys.argv[1], 7000), 5)
lines = connection.makefile('rb')
if sys.argv[2] in ('smtp', 'imap', 'pop3'):
    print(lines.readline())
connection.sendall(b'PAYLOAD\\n')
print(lines.readline())
";

#[test]
fn clients_that_know_no_tls_reach_servers_that_demand_it() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    let certificate = network.server_pem()?;
    let greetings =
        ["b'220 mail.example ESMTP\\r\\n'\n", "b'* OK mail.example\\r\\n'\n", "b'+OK mail.example\\r\\n'\n", "", ""];
    let policy = |protocol: &str| {
        let rule = rule("OUT", "RemotePortRange 7000\nDirection Outbound", "Client", "$RINGS/RING");
        rule.replace("HostReferenceIdDNS", &format!("Negotiate {protocol}\nHostReferenceIdDNS"))
    };
    for (protocol, greeting) in PROTOCOLS.into_iter().zip(greetings) {
        agent.install(&policy(protocol))?;
        let server =
            network.peer.serve(7000, "/usr/bin/python3", &["-u", "-c", SERVER, protocol, &certificate, "yes"])?;
        let said = network.host.run("/usr/bin/python3", &["-c", CLIENT, PEER[0], protocol])?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert_eq!(
            said,
            format!("{greeting}b'{}TLSv1.3 PAYLOAD\\n'\n", if protocol == "postgres" { AUTHENTICATED } else { "" }),
            "{protocol}\n{}\n{}",
            server.said(),
            agent.log()
        );
    }
    // A server without TLS: nothing is sent to it.
    agent.install(&policy("postgres"))?;
    let server = network.peer.serve(7000, "/usr/bin/python3", &["-u", "-c", SERVER, "postgres", &certificate, "no"])?;
    let output = network.host.run("/usr/bin/python3", &["-c", CLIENT, PEER[0], "postgres"])?;
    assert!(!output.status.success(), "{output:?}");
    agent.says("the server has no TLS (ssl = off)").with_context(|| server.said())?;
    Ok(())
}
