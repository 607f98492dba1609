//! Whose a connection is: programs that live for a moment are not taken for others, whatever the daemon is busy with.

use std::fs;
use std::time::Duration;

use pagent::lab::{ALICE, Agent, BOB, Running, wait_until};

use crate::network::{Network, PEER, rule};

const PYTHON: &str = "/usr/bin/python3";
/// Takes TLS and clear text on one port, and says how each word came.
const SERVER: &str = "
import os, socket, socketserver, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            way, connection = 'clear', self.request
            if connection.recv(1, socket.MSG_PEEK) == b'\\x16':
                way, connection = 'tls', context.wrap_socket(connection, server_side=True)
            if word := connection.recv(100):
                os.write(1, way.encode() + b' ' + word + b'\\n')
                connection.sendall(b'heard')
        except OSError:
            pass
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 1000
Server(('', 7000), Handler).serve_forever()
";

/// Starts programs that connect, send a word and end, in so many manners: at once, behind an answer, after a moment, with a
/// reset.
const SHORT_LIVED: &str = "
import os, random, socket, struct, sys, time
address, word, uid, count, manners = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
def program(number):
    os.setgid(uid)
    os.setuid(uid)
    connection = socket.create_connection((address, 7000), 20)
    connection.sendall(f'{word} {number}'.encode())
    manner = number % manners
    if manner == 1:
        return 0 if connection.recv(100) == b'heard' else 1
    if manner == 2:
        time.sleep(random.random() * 0.02)
    if manner == 3:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    return 0
running, failed = 0, 0
for number in range(count):
    if os.fork() == 0:
        code = 2
        try:
            code = program(number)
        finally:
            os._exit(code)
    running += 1
    while running > (8 if number < count - 1 else 0):
        failed += os.wait()[1] != 0
        running -= 1
print(failed, 'failed')
";

/// Connects from a port of its own; resets the connection or waits for an answer.
const FROM_PORT: &str = "
import socket, struct, sys
connection = socket.socket()
connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
connection.bind(('', int(sys.argv[2])))
connection.settimeout(20)
connection.connect((sys.argv[1], 7000))
connection.sendall(sys.argv[3].encode() + b' 0')
if sys.argv[4] == 'waits':
    print('sent', flush=True)
    print(connection.recv(100).decode(), flush=True)
else:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
";

/// Alice's connections are in TLS, Bob's in clear text: two users, or two programs of one user.
struct Stage {
    network: Network,
    agent: Agent,
    server: Running,
    alice: Who,
    bob: Who,
}

struct Who {
    word: &'static str,
    program: String,
    uid: u32,
}

/// What came of the connections of both.
struct Counts {
    alice_in_tls: usize,
    alice_in_clear: usize,
    bob_in_tls: usize,
    bob_in_clear: usize,
}

impl Stage {
    fn of_users() -> anyhow::Result<Self> {
        let user = |word, uid| Who { word, program: PYTHON.to_owned(), uid };
        Self::set(Network::new()?, user("alice", ALICE), user("bob", BOB), "Userid")
    }

    fn of_jobs() -> anyhow::Result<Self> {
        let network = Network::new()?;
        let job = |word| -> anyhow::Result<Who> {
            let program = network.lab.folder().join(word);
            fs::copy(PYTHON, &program)?;
            Ok(Who { word, program: program.to_string_lossy().into_owned(), uid: ALICE })
        };
        let (alice, bob) = (job("alice")?, job("bob")?);
        Self::set(network, alice, bob, "Jobname")
    }

    fn set(network: Network, alice: Who, bob: Who, condition: &str) -> anyhow::Result<Self> {
        let server = network.peer.serve(7000, PYTHON, &["-c", SERVER, &network.server_pem()?])?;
        let mut agent = network.agent(&network.host)?;
        let rule = |name: &str, who: &Who| {
            let conditions = format!("RemotePortRange 7000\nDirection Outbound\n{condition} {}", who.word);
            rule(name, &conditions, "Client", "$RINGS/RING")
        };
        let clear = rule("CLEAR", &bob).replace("TTLSEnabled On", "TTLSEnabled Off");
        agent.install(&(rule("SECURED", &alice) + &clear))?;
        Ok(Self { network, agent, server, alice, bob })
    }

    fn short_lived(&self, who: &Who, count: usize, manners: usize) -> anyhow::Result<Running> {
        let (uid, count, manners) = (who.uid.to_string(), count.to_string(), manners.to_string());
        self.network.host.start(&who.program, &["-c", SHORT_LIVED, PEER[0], who.word, &uid, &count, &manners])
    }

    fn at_port(&self, who: &Who, port: u16, end: &str) -> anyhow::Result<Running> {
        self.network.host.start(&who.program, &["-c", FROM_PORT, PEER[0], &port.to_string(), who.word, end])
    }

    /// Stops the daemon where it is, or lets it go on.
    fn signal(&self, name: &str) -> anyhow::Result<String> {
        self.network.host.succeed("sh", &["-c", &format!("kill -{name} {}", self.agent.pid())])
    }

    /// How many words came so.
    fn heard(&self, way: &str, who: &Who) -> usize {
        self.server.said().matches(&format!("{way} {} ", who.word)).count()
    }

    fn refused(&self) -> usize {
        self.agent.log().matches("connection refused").count()
    }

    /// Runs so many programs of both at the same time. Those that wait for an answer get one.
    fn run(&self, count: usize) -> anyhow::Result<Counts> {
        let mut both = [self.short_lived(&self.alice, count, 4)?, self.short_lived(&self.bob, count, 4)?];
        for programs in &mut both {
            while !programs.ended()? {
                std::thread::sleep(Duration::from_millis(50));
            }
            assert_eq!(programs.said(), "0 failed\n", "{}", self.agent.log());
        }
        let counts = Counts {
            alice_in_tls: self.heard("tls", &self.alice),
            alice_in_clear: self.heard("clear", &self.alice),
            bob_in_tls: self.heard("tls", &self.bob),
            bob_in_clear: self.heard("clear", &self.bob),
        };
        let Counts { alice_in_tls, bob_in_clear, .. } = counts;
        eprintln!("{count} each: {alice_in_tls} in TLS, {bob_in_clear} in clear text, {} refused", self.refused());
        assert!(alice_in_tls >= count / 4 && bob_in_clear >= count / 4, "{alice_in_tls} {bob_in_clear}");
        Ok(counts)
    }
}

#[test]
fn programs_that_live_for_a_moment_have_their_user_s_rule() -> anyhow::Result<()> {
    let counts = Stage::of_users()?.run(1500)?;
    assert_eq!((counts.alice_in_clear, counts.bob_in_tls), (0, 0));
    Ok(())
}

#[test]
fn programs_that_live_for_a_moment_have_their_job_s_rule() -> anyhow::Result<()> {
    let counts = Stage::of_jobs()?.run(500)?;
    assert_eq!((counts.alice_in_clear, counts.bob_in_tls), (0, 0));
    Ok(())
}

#[test]
fn a_program_that_has_ended_before_the_daemon_looks_is_refused() -> anyhow::Result<()> {
    let stage = Stage::of_jobs()?;
    stage.signal("STOP")?;
    for who in [&stage.alice, &stage.bob] {
        let mut programs = stage.short_lived(who, 40, 1)?;
        programs.wait()?;
        assert_eq!(programs.said(), "0 failed\n");
    }
    stage.signal("CONT")?;
    wait_until("each is refused", || Ok(stage.refused() == 80))?;
    assert_eq!(stage.server.said(), "", "nobody can tell whose these words are");
    Ok(())
}

#[test]
fn a_port_s_next_user_does_not_inherit_its_last_connection() -> anyhow::Result<()> {
    let stage = Stage::of_jobs()?;
    for port in 20_000..20_010 {
        stage.signal("STOP")?;
        stage.at_port(&stage.alice, port, "resets")?.wait()?;
        let mut next = stage.at_port(&stage.bob, port, "waits")?;
        next.wait_for("sent")?;
        stage.signal("CONT")?;
        next.wait()?;
        assert_eq!(next.said(), "sent\nheard\n", "{}", stage.agent.log());
    }
    assert_eq!(stage.heard("clear", &stage.alice), 0, "{}", stage.server.said());
    Ok(())
}
