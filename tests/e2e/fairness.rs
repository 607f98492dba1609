//! A flood does not hold up small messages, and a receiver that stops reading does not fill this host's memory.

use pagent::lab::{Running, wait_until};

use crate::network::{HOST, Network, PEER, rule};
use crate::process;

const PYTHON: &str = "/usr/bin/python3";
const FAIRNESS: &str = include_str!("fairness.py");

/// A daemon on one thread, so that connections have to share it.
fn single_threaded_daemon(network: &Network, policy: &str) -> anyhow::Result<Running> {
    let agent = network.agent(&network.host)?;
    agent.policy(policy)?;
    let mut command = agent.command("pagent", &["run"]);
    command.env("TOKIO_WORKER_THREADS", "1");
    let mut daemon = network.host.start_command("pagent", command)?;
    daemon.wait_for("EZZ8432I PAGENT INITIALIZATION COMPLETE")?;
    Ok(daemon)
}

fn out() -> String {
    rule("OUT", "RemotePortRange 7000\nDirection Outbound", "Client", "$RINGS/RING")
}

/// MiB a flood must at least have moved, so that it was one.
const FLOOD: f64 = 16.0;
/// Seconds a message may take, on a busy machine too. One that is starved waits as long as the flood lasts.
const PROMPT: f64 = 15.0;

/// What a run of messages said: MiB that flooded meanwhile, and the seconds of the slowest message.
fn measured(said: &str) -> anyhow::Result<(f64, f64)> {
    let mut numbers = said.split_whitespace().filter_map(|word| word.parse().ok());
    numbers.next().zip(numbers.next()).ok_or_else(|| anyhow::anyhow!("it said: {said}"))
}

#[test]
fn small_messages_pass_against_a_flood_and_beside_floods() -> anyhow::Result<()> {
    let network = Network::new()?;
    let daemon = single_threaded_daemon(&network, &out())?;
    let pem = network.server_pem()?;
    let _server = network.peer.serve(7000, PYTHON, &["-c", FAIRNESS, "server", &pem])?;
    let messages = |flood: &str| network.host.succeed(PYTHON, &["-c", FAIRNESS, "messages", PEER[0], flood]);
    for flood in ["against", "beside one way", "beside both ways"] {
        let said = messages(flood)?;
        let (moved, slowest) = measured(&said)?;
        eprintln!("messages {flood}: {moved} MiB flooded, the slowest took {slowest} s");
        assert!(moved >= FLOOD, "{flood}: only {moved} MiB flooded");
        assert!(slowest < PROMPT, "{flood}: {slowest} s\n{}", daemon.said());
    }
    Ok(())
}

/// KiB by which the daemon may grow while a sender has 64 MiB for a receiver that has stopped: code that runs for the first
/// time is part of it.
const STALLED: u64 = 16_384;

#[test]
fn a_receiver_that_stops_reading_stops_its_sender() -> anyhow::Result<()> {
    let network = Network::new()?;
    let policy = out() + &rule("IN", "LocalPortRange 7001\nDirection Inbound", "Server", "$RINGS/RING");
    let daemon = single_threaded_daemon(&network, &policy)?;
    let pem = network.server_pem()?;
    // A program that sends to a peer that stops, and a peer that sends to a program that stops.
    let (host, peer) = (&network.host, &network.peer);
    for (sender, receiver, address, port, [secures, secured]) in
        [(host, peer, PEER[0], 7000, ["", pem.as_str()]), (peer, host, HOST[0], 7001, ["tls", ""])]
    {
        let port_word = port.to_string();
        let mut receiver = receiver.serve(port, PYTHON, &["-c", FAIRNESS, "receiver", &port_word, secured])?;
        let before = process::memory(daemon.pid())?;
        let mut sender = sender.start(PYTHON, &["-c", FAIRNESS, "sender", address, &port_word, secures])?;
        sender.wait_for("stalled")?;
        let grown = process::memory(daemon.pid())?.saturating_sub(before);
        eprintln!("the daemon grew by {grown} KiB: {}", sender.said().trim());
        assert!(grown < STALLED, "the daemon grew by {grown} KiB");
        host.succeed("sh", &["-c", &format!("kill -USR1 {}", receiver.pid())])?;
        let said =
            |running: &Running| running.said().lines().find_map(|line| Some(line.strip_prefix("sha256 ")?.to_owned()));
        wait_until("everything has arrived", || receiver.ended())?;
        assert!(sender.wait()?.success(), "{}", sender.said());
        assert!(
            said(&sender).is_some_and(|hash| said(&receiver) == Some(hash)),
            "{}\n{}",
            sender.said(),
            receiver.said()
        );
    }
    Ok(())
}
