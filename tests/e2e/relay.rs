//! Every byte arrives, half closes and aborts are passed on, and each connection keeps the policy it began with.

use crate::network::{Network, PEER, rule};

/// Answers each connection with the hash of what it got, once the client has closed its half.
const HASHER: &str = "
import asyncio, hashlib
async def serve(reader, writer):
    digest = hashlib.sha256()
    try:
        while data := await reader.read(65536):
            digest.update(data)
    except ConnectionError:
        print('aborted', flush=True)
        writer.close()
        return
    writer.write(digest.hexdigest().encode())
    await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(serve, '0.0.0.0', 7000, backlog=1000)
    async with server:
        await server.serve_forever()
asyncio.run(main())
";

/// Many connections at once: each sends random bytes in pieces with pauses and half closes, or aborts in the middle.
const CLIENTS: &str = "
import asyncio, hashlib, os, random, socket, struct, sys
address, count = sys.argv[1], int(sys.argv[2])
async def one(number, results):
    reader, writer = await asyncio.open_connection(address, 7000)
    digest = hashlib.sha256()
    abort = number % 5 == 4
    for piece in range(random.randint(3, 12)):
        data = os.urandom(random.choice([1, 100, 5000, 70000]))
        digest.update(data)
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(random.random() * 0.4)
    if abort:
        writer.get_extra_info('socket').setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        writer.transport.abort()
        results.append('aborted')
        return
    writer.write_eof()
    answer = (await reader.read()).decode()
    writer.close()
    results.append('equal' if answer == digest.hexdigest() else 'DIFFERENT ' + answer)
async def main():
    results = []
    async def guarded(number):
        try:
            await asyncio.sleep(random.random() * 2)
            await asyncio.wait_for(one(number, results), 60)
        except Exception as error:
            results.append('CUT ' + repr(error))
    await asyncio.gather(*(guarded(number) for number in range(count)))
    for word in sorted(set(results)):
        print(results.count(word), word)
asyncio.run(main())
";

const CONNECTIONS: u32 = 500;

#[test]
fn five_hundred_connections_lose_nothing_while_policies_alternate() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _server = network.peer.serve(7000, "/usr/bin/python3", &["-u", "-c", HASHER])?;
    let (mut host, mut peer) = (network.agent(&network.host)?, network.agent(&network.peer)?);
    network.authority.write_ring(&peer.ring("OTHER"), Some("server.example"))?;
    host.policy(&rule("OUT", "RemotePortRange 7000\nDirection Outbound", "Client", "$RINGS/RING"))?;
    // The same connections under two policies: other actions, other keys.
    let policies = ["RING", "OTHER"].map(|ring| {
        rule(&format!("IN_{ring}"), "LocalPortRange 7000\nDirection Inbound", "Server", &format!("$RINGS/{ring}"))
    });
    peer.policy(&policies[0])?;
    host.start()?;
    peer.start()?;
    let mut clients = network.host.start("/usr/bin/python3", &["-c", CLIENTS, PEER[0], &CONNECTIONS.to_string()])?;
    let mut refreshes = 0;
    while !clients.ended()? {
        refreshes += 1;
        peer.policy(&policies[refreshes % 2])?;
        peer.refresh()?;
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let said = clients.said();
    let counted = |word: &str| -> u32 {
        said.lines().find_map(|line| line.strip_suffix(&format!(" {word}"))).and_then(|n| n.parse().ok()).unwrap_or(0)
    };
    assert_eq!(counted("equal"), CONNECTIONS * 4 / 5, "{said}\n{}", peer.log());
    assert_eq!(counted("aborted"), CONNECTIONS / 5, "{said}");
    assert!(refreshes >= 10, "the policy changed only {refreshes} times");
    // Each connection was carried under one policy, its rule and its environment of one name; both policies had some.
    let sessions: serde_json::Value = serde_json::from_str(&peer.succeed("pagent", &["connections", "--json"])?)?;
    let mut by_rule = [0, 0];
    for session in sessions.as_array().into_iter().flatten() {
        let (rule, environment) = (session["rule"].as_str(), session["environment"].as_str());
        match (rule, environment) {
            (Some("IN_RING"), Some("E_IN_RING")) => by_rule[0] += 1,
            (Some("IN_OTHER"), Some("E_IN_OTHER")) => by_rule[1] += 1,
            other => panic!("a connection of {other:?}"),
        }
    }
    assert_eq!(by_rule[0] + by_rule[1], CONNECTIONS, "{by_rule:?}");
    assert!(by_rule[0] > 0 && by_rule[1] > 0, "{by_rule:?}");
    Ok(())
}

#[test]
fn an_abort_is_an_abort_on_the_other_side() -> anyhow::Result<()> {
    let network = Network::new()?;
    let server = network.peer.serve(7000, "/usr/bin/python3", &["-u", "-c", HASHER])?;
    let (mut host, mut peer) = (network.agent(&network.host)?, network.agent(&network.peer)?);
    host.policy(&rule("OUT", "RemotePortRange 7000\nDirection Outbound", "Client", "$RINGS/RING"))?;
    peer.policy(&rule("IN", "LocalPortRange 7000\nDirection Inbound", "Server", "$RINGS/RING"))?;
    host.start()?;
    peer.start()?;
    let abort = format!(
        "
import socket, struct, time
connection = socket.create_connection(('{}', 7000), 5)
connection.sendall(b'half a message')
time.sleep(0.3)
connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
connection.close()
",
        PEER[0]
    );
    network.host.succeed("/usr/bin/python3", &["-c", &abort])?;
    pagent::lab::wait_until("the server hears of the abort", || Ok(server.said().contains("aborted")))
}

/// What `docs/operating.md` advises for bulk: a program's sockets that carry our mark have loopback's segments.
#[test]
fn accepted_sockets_that_carry_the_mark_have_loopback_s_segments() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _server = network.peer.serve(7000, "/usr/bin/python3", &["-u", "-c", HASHER])?;
    let (mut host, mut peer) = (network.agent(&network.host)?, network.agent(&network.peer)?);
    host.policy(&rule("OUT", "RemotePortRange 7000\nDirection Outbound", "Client", "$RINGS/RING"))?;
    peer.policy(&rule("IN", "LocalPortRange 7000\nDirection Inbound", "Server", "$RINGS/RING"))?;
    host.start()?;
    peer.start()?;
    let segment = || -> anyhow::Result<u32> {
        let holder = format!(
            "import socket, time\nheld = socket.create_connection(('{}', 7000), 5)\nheld.sendall(b'x')\ntime.sleep(30)",
            PEER[0]
        );
        let _client = network.host.start("/usr/bin/python3", &["-c", &holder])?;
        let mut found = None;
        pagent::lab::wait_until("the program has a connection", || {
            let sockets = network.peer.succeed("ss", &["-tinH", "state", "established", "sport", "=", ":7000"])?;
            let of = |line: &str| line.split_whitespace().find_map(|word| word.strip_prefix("mss:")?.parse().ok());
            // Two have this port: the engine's end of the client's connection, which is a cable, and the program's.
            found = sockets.lines().filter_map(of).max();
            Ok(sockets.lines().filter(|line| line.contains("mss:")).count() >= 2)
        })?;
        found.ok_or_else(|| anyhow::anyhow!("ss names no mss"))
    };
    let before = segment()?;
    network.peer.succeed("sysctl", &["-q", "-w", "net.ipv4.tcp_fwmark_accept=1"])?;
    let after = segment()?;
    assert!(before < 1500 && after > 30_000, "{before} {after}");
    let said = network.host.succeed("/usr/bin/python3", &["-c", CLIENTS, PEER[0], "50"])?;
    assert!(said.contains("40 equal") && said.contains("10 aborted"), "{said}\n{}", peer.log());
    Ok(())
}
