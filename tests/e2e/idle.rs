//! Thousands of idle connections: what each takes, that all still work, and that nothing of them stays.

use pagent::lab::{Running, wait_until};

use crate::network::{HOST, Network, rule};
use crate::process::{self, descriptors};

const PYTHON: &str = "/usr/bin/python3";

/// Debug builds are slow to shake hands; `cargo xtask soak` runs the release build.
const CONNECTIONS: usize = if cfg!(debug_assertions) { 2000 } else { 10_000 };
/// KiB of the daemon's memory for each, at most.
const EACH: f64 = 24.0;
/// What opens and closes first, so that memory the first connections bring for good is not counted.
const BEFORE: usize = 200;
/// Descriptors that the daemon has for other things.
const OTHERS: usize = 200;
/// Descriptors that come and go: sockets to the kernel of threads that end after a while.
const PASSING: usize = 8;

/// Echoes whatever comes.
const PROGRAM: &str = "
import asyncio, resource, sys
need = int(sys.argv[1]) + 100
resource.setrlimit(resource.RLIMIT_NOFILE, (need, max(need, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
async def serve(reader, writer):
    while data := await reader.read(1000):
        writer.write(data)
    writer.close()
async def main():
    await (await asyncio.start_server(serve, '0.0.0.0', 7000, backlog=1000)).serve_forever()
asyncio.run(main())
";

/// Opens TLS connections; proves them by an echo, and again at the first signal; closes them at the second.
const CLIENTS: &str = "
import os, resource, signal, socket, ssl, sys
address, count = sys.argv[1], int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, max(count + 100, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
context = ssl._create_unverified_context()
def prove(connection):
    word = os.urandom(32)
    connection.sendall(word)
    answer = b''
    while len(answer) < len(word):
        answer += connection.recv(32) or sys.exit('a connection was closed')
    assert answer == word
def tell(done, number):
    if number % 100 == 0:
        print(number, done, flush=True)
connections = []
for number in range(1, count + 1):
    plain = socket.create_connection((address, 7000), 20)
    connections.append(context.wrap_socket(plain))
    prove(connections[-1])
    tell('up', number)
signal.sigwait([signal.SIGUSR1])
for number, connection in enumerate(connections, 1):
    prove(connection)
    tell('proven', number)
signal.sigwait([signal.SIGUSR1])
for number, connection in enumerate(connections, 1):
    connection.unwrap().close()
    tell('closed', number)
";

/// Clients that hold their connections.
struct Clients<'a> {
    network: &'a Network,
    running: Running,
    count: usize,
}

impl<'a> Clients<'a> {
    fn open(network: &'a Network, count: usize) -> anyhow::Result<Self> {
        let running = network.peer.start(PYTHON, &["-c", CLIENTS, HOST[0], &count.to_string()])?;
        let mut clients = Self { network, running, count };
        clients.wait_for("up")?;
        Ok(clients)
    }

    /// Has them go on, and waits until they have.
    fn go_on(&mut self, done: &str) -> anyhow::Result<()> {
        self.network.peer.succeed("sh", &["-c", &format!("kill -USR1 {}", self.running.pid())])?;
        self.wait_for(done)
    }

    /// Hundred by hundred: how long all of them take is the machine's affair.
    fn wait_for(&mut self, done: &str) -> anyhow::Result<()> {
        (100..=self.count).step_by(100).try_for_each(|number| self.running.wait_for(&format!("{number} {done}\n")))
    }
}

/// As many connections as the daemon has descriptors for, two each. Only root of the whole machine can give it more.
fn possible(network: &Network, daemon: i32) -> anyhow::Result<usize> {
    let pid = daemon.to_string();
    let shown = ["--pid", &pid, "--nofile", "--output", "SOFT", "--noheadings", "--raw"];
    let limit = || anyhow::Ok(network.host.succeed("prlimit", &shown)?.trim().parse::<usize>()?);
    let needed = 2 * CONNECTIONS + OTHERS;
    if limit()? < needed {
        network.host.run("prlimit", &["--pid", &pid, &format!("--nofile={needed}")])?;
    }
    // They are told by the hundred.
    Ok(CONNECTIONS.min((limit()? - OTHERS) / 2) / 100 * 100)
}

#[test]
fn thousands_of_idle_connections_take_little_and_leave_nothing() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _program = network.host.serve(7000, PYTHON, &["-c", PROGRAM, &CONNECTIONS.to_string()])?;
    let mut agent = network.agent(&network.host)?;
    agent.install(&rule("IN", "LocalPortRange 7000\nDirection Inbound", "Server", "$RINGS/RING"))?;
    let daemon = agent.pid();
    let count = possible(&network, daemon)?;
    let idle = descriptors(daemon)?;
    let back = || wait_until("its descriptors are what they were", || Ok(descriptors(daemon)? <= idle + PASSING));
    let mut first = Clients::open(&network, BEFORE)?;
    first.go_on("proven")?;
    first.go_on("closed")?;
    back()?;
    let mut memory = vec![process::memory(daemon)?];
    // The second crowd finds the memory that the first has left.
    for _ in 0..2 {
        let mut clients = Clients::open(&network, count)?;
        assert!(descriptors(daemon)? >= idle + 2 * count, "each is the daemon's");
        memory.push(process::memory(daemon)?);
        clients.go_on("proven")?;
        clients.go_on("closed")?;
        back()?;
        memory.push(process::memory(daemon)?);
    }
    let growth: Vec<f64> = memory.windows(2).map(|pair| (pair[1] as f64 - pair[0] as f64) / count as f64).collect();
    eprintln!("{count} idle connections, twice: the daemon grew by {growth:.1?} KiB each, from {} KiB", memory[0]);
    assert!(growth[0] < EACH, "{growth:?}");
    assert!(growth[2] < growth[0] / 2.0, "the first crowd's memory is lost: {growth:?}");
    Ok(())
}
