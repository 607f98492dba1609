//! The ports of the daemon's own legs: they are not taken for a program's connection, nor that for them.

use crate::network::{HOST, Network, PEER, rule};

const PYTHON: &str = "/usr/bin/python3";

/// Tells each client the port it has, and gives back what it says, or resets the connection if told so; over TLS if it is given a certificate.
const SERVER: &str = "
import socket, socketserver, ssl, struct, sys
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            connection = context.wrap_socket(self.request, server_side=True) if context else self.request
            connection.sendall(f'{self.client_address[1]:5}'.encode())
            while (bytes := connection.recv(65536)) != b'reset':
                connection.sendall(bytes)
                if not bytes:
                    return
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            connection.close()
        except OSError:
            pass
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 1000
context = None
if len(sys.argv) > 1:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1])
Server(('', 7000), Handler).serve_forever()
";

/// Holds so many TLS connections at once, each of which works; says what ports the server has seen.
const CROWD: &str = "
import socket, ssl, sys
context = ssl._create_unverified_context()
def connect(own=0):
    connection = context.wrap_socket(socket.create_connection((sys.argv[1], 7000), 5, source_address=('', own)))
    port = int(connection.recv(5))
    connection.sendall(b'word')
    assert connection.recv(4) == b'word'
    return connection, port
if sys.argv[2] == 'own':
    print(*[connect(int(own))[1] for own in sys.argv[3:]])
else:
    crowd = [connect() for _ in range(int(sys.argv[2]))]
    assert len({port for _, port in crowd}) == len(crowd)
    print(len(crowd), 'held')
";

/// Connects so many times one after the other; each connection is reset by one side or the other.
const RESETTING: &str = "
import socket, struct, sys
for number in range(int(sys.argv[2])):
    connection = socket.create_connection((sys.argv[1], 7000), 5)
    assert len(connection.recv(5)) == 5, number
    connection.sendall(b'word')
    assert connection.recv(4) == b'word', number
    if number % 2:
        connection.sendall(b'reset')
        try:
            sys.exit(f'{number}: {connection.recv(5)}')
        except ConnectionResetError:
            pass
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    connection.close()
print(number + 1, 'reset')
";

/// Both hosts choose ports out of so few.
fn few_ports(network: &Network, last: u16) -> anyhow::Result<()> {
    let few = format!("echo 40000 {last} > /proc/sys/net/ipv4/ip_local_port_range");
    for host in [&network.host, &network.peer] {
        host.succeed("sh", &["-c", &few])?;
    }
    Ok(())
}

#[test]
fn a_client_may_use_any_port_it_likes() -> anyhow::Result<()> {
    let network = Network::new()?;
    few_ports(&network, 40299)?;
    let _program = network.host.serve(7000, PYTHON, &["-u", "-c", SERVER])?;
    let mut agent = network.agent(&network.host)?;
    agent.install(&rule("IN", "LocalPortRange 7000\nDirection Inbound", "Server", "$RINGS/RING"))?;
    assert_eq!(network.peer.succeed(PYTHON, &["-c", CROWD, HOST[0], "280"])?.trim(), "280 held");
    // What a program may conclude from its client's port stays true: that a privileged program has it, or that any may have it.
    let seen = network.peer.succeed(PYTHON, &["-c", CROWD, HOST[0], "own", "1023", "600", "1024", "12345", "40001"])?;
    let seen: Vec<u16> = seen.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [a, b, c, d, e] = seen[..] else { anyhow::bail!("{seen:?}") };
    assert!([a, b].iter().all(|port| *port < 1024), "{seen:?}");
    // Nor is it one that such a client is likely to have next.
    assert!([c, d].iter().all(|port| *port >= 49152) && (10_000..32_768).contains(&e), "{seen:?}");
    Ok(())
}

#[test]
fn ports_of_connections_that_were_reset_are_free_for_all() -> anyhow::Result<()> {
    let network = Network::new()?;
    few_ports(&network, 40009)?;
    let _server = network.peer.serve(7000, PYTHON, &["-u", "-c", SERVER, &network.server_pem()?])?;
    let mut agent = network.agent(&network.host)?;
    agent.install(&rule("OUT", "RemotePortRange 7000\nDirection Outbound", "Client", "$RINGS/RING"))?;
    assert_eq!(network.host.succeed(PYTHON, &["-c", RESETTING, PEER[0], "200"])?.trim(), "200 reset");
    Ok(())
}
