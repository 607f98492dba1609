//! What zERT costs: bulk with the observer beside bulk without, short connections, handshakes read from a capture, and how long a
//! connection lives that is to be reset.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use nix::sys::resource::{UsageWho, getrusage};
use pagent::lab::{Agent, Host, Lab, Running};
use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};
use serde::{Deserialize, Serialize};

use crate::process;
use crate::statistics::percentile;

const PORT: u16 = 7000;
const GIB: f64 = (1_u64 << 30) as f64;

/// What is measured of zERT
#[derive(Args)]
pub(crate) struct Options {
    /// Pairs of bulk runs, with the observer and without
    #[arg(long, default_value_t = 20)]
    pairs: u32,
    /// GiB of a bulk run
    #[arg(long, default_value_t = 3.0)]
    gib: f64,
    /// Short connections that are offered in a second
    #[arg(long, default_value_t = 5000)]
    rate: u32,
    /// For so many seconds
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Handshakes of the capture
    #[arg(long, default_value_t = 40_000)]
    handshakes: u32,
    /// Connections that are reset
    #[arg(long, default_value_t = 300)]
    resets: u32,
    /// The folder of captures whose handshakes are repeated
    #[arg(long, default_value = "zert/tests/captures")]
    captures: PathBuf,
}

/// The programs at the other end.
#[derive(Subcommand)]
pub(crate) enum Part {
    /// Reads what comes, connection by connection
    Sink,
    /// Sends so many bytes, and says how many seconds it took
    Source { to: SocketAddr, bytes: u64 },
    /// Opens short connections at a rate
    Visits { to: SocketAddr, rate: u32, seconds: u32 },
    /// Agrees on TLS 1.1
    Old,
    /// Asks for TLS 1.1, and says how many microseconds each connection lived after the server's hello, or after its own
    Asks {
        to: SocketAddr,
        count: u32,
        #[arg(long)]
        held: bool,
    },
}

/// How long connections lived.
#[derive(Deserialize, Serialize)]
struct Lives(Vec<u64>);

pub(crate) fn part(part: &Part) -> anyhow::Result<()> {
    match part {
        Part::Sink => sink(),
        Part::Source { to, bytes } => source(*to, *bytes),
        Part::Visits { to, rate, seconds } => visits(*to, *rate, *seconds),
        Part::Old => old_server(),
        Part::Asks { to, count, held } => asks(*to, *count, *held),
    }
}

fn sink() -> anyhow::Result<()> {
    let listener = TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, PORT))?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let (mut connection, _) = listener.accept()?;
        while !matches!(connection.read(&mut buffer), Ok(0) | Err(_)) {}
    }
}

fn source(to: SocketAddr, bytes: u64) -> anyhow::Result<()> {
    let buffer = vec![0x5A; 256 << 10];
    let mut connection = TcpStream::connect(to)?;
    let begin = Instant::now();
    let mut left = bytes;
    while left > 0 {
        let piece = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        connection.write_all(buffer.get(..piece).unwrap_or_default())?;
        left -= piece as u64;
    }
    connection.shutdown(Shutdown::Write)?;
    connection.read_to_end(&mut Vec::new())?;
    println!("{}", begin.elapsed().as_secs_f64());
    Ok(())
}

fn visits(to: SocketAddr, rate: u32, seconds: u32) -> anyhow::Result<()> {
    const WORKERS: u32 = 2;
    let begin = Instant::now();
    let visit = move |worker: u32| -> anyhow::Result<u32> {
        let mut done = 0;
        for number in (worker..rate * seconds).step_by(WORKERS as usize) {
            let due = begin + Duration::from_secs(1) * number / rate;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let mut connection = TcpStream::connect(to)?;
            connection.write_all(b"x")?;
            connection.shutdown(Shutdown::Write)?;
            connection.read_to_end(&mut Vec::new())?;
            done += 1;
        }
        Ok(done)
    };
    let workers: Vec<_> = (0..WORKERS).map(|worker| std::thread::spawn(move || visit(worker))).collect();
    let mut done = 0;
    for worker in workers {
        done += worker.join().map_err(|_| anyhow::anyhow!("a worker ended"))??;
    }
    println!("{done}");
    Ok(())
}

/// A record of a handshake with one message.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = |of: usize| u16::try_from(of).unwrap_or(u16::MAX).to_be_bytes();
    let message = [&[kind, 0][..], &length(body.len()), body].concat();
    [&[22, 3, 1][..], &length(message.len()), &message].concat()
}

/// A hello of TLS 1.1: the client's with one suite, the server's with the same.
fn hello(client: bool) -> Vec<u8> {
    let beginning = [&[3, 2][..], &[0x5A; 32], &[0]].concat();
    let (kind, rest): (u8, &[u8]) = if client { (1, &[0, 2, 0, 0x2F, 1, 0]) } else { (2, &[0, 0x2F, 0]) };
    message(kind, &[&beginning[..], rest].concat())
}

fn old_server() -> anyhow::Result<()> {
    let listener = TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, PORT))?;
    loop {
        let (mut connection, _) = listener.accept()?;
        let mut buffer = [0; 1024];
        if connection.read(&mut buffer).is_ok_and(|read| read > 0) && connection.write_all(&hello(false)).is_ok() {
            while !matches!(connection.read(&mut buffer), Ok(0) | Err(_)) {}
        }
    }
}

fn asks(to: SocketAddr, count: u32, held: bool) -> anyhow::Result<()> {
    let mut lives = Vec::new();
    for _ in 0..count {
        let mut connection = TcpStream::connect(to)?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        connection.write_all(&hello(true))?;
        let mut begin = Instant::now();
        let mut buffer = [0; 1024];
        let mut answered = held;
        loop {
            match connection.read(&mut buffer) {
                Ok(read) if read > 0 && !answered => (begin, answered) = (Instant::now(), true),
                Err(error) if error.kind() == ErrorKind::ConnectionReset && answered => break,
                other => bail!("the connection was not reset in its order: {other:?}"),
            }
        }
        lives.push(u64::try_from(begin.elapsed().as_micros())?);
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("{}", serde_json::to_string(&Lives(lives))?);
    Ok(())
}

/// Two hosts, an agent on one, this program on both.
struct Place {
    host: Host,
    peer: Host,
    programs: PathBuf,
    own: PathBuf,
    lab: Lab,
}

impl Place {
    fn new() -> anyhow::Result<Self> {
        let mut lab = Lab::new()?;
        let (host, peer) = (lab.host("host")?, lab.host("peer")?);
        lab.cable([(&host, &["10.1.0.1/24", "fd01::1/64"]), (&peer, &["10.1.0.2/24", "fd01::2/64"])])?;
        let own = std::env::current_exe()?;
        let programs = lab.programs(own.parent().context("the program lies nowhere")?)?;
        Ok(Self { host, peer, programs, own, lab })
    }

    fn words(&self) -> String {
        self.own.to_string_lossy().into_owned()
    }

    fn serve(&self, part: &str) -> anyhow::Result<Running> {
        self.host.serve(PORT, &self.words(), &["other-end", part])
    }

    /// What this program says on the peer.
    fn ask(&self, part: &str, words: &[String]) -> anyhow::Result<String> {
        let to = format!("10.1.0.1:{PORT}");
        let words: Vec<&str> = ["other-end", part, &to].into_iter().chain(words.iter().map(String::as_str)).collect();
        self.peer.succeed(&self.words(), &words)
    }

    fn agent(&self, more: &str, policy: &str) -> anyhow::Result<Agent> {
        let mut agent = Agent::new(&self.host, self.lab.folder(), &self.programs)?;
        agent.configure(more)?;
        agent.policy(policy)?;
        agent.start()?;
        Ok(agent)
    }
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    bulk(options)?;
    connections(options)?;
    capture(options)?;
    for held in [false, true] {
        resets(options, held)?;
    }
    Ok(())
}

fn bulk(options: &Options) -> anyhow::Result<()> {
    let place = Place::new()?;
    let _sink = place.serve("sink")?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "GiB that somebody typed")]
    let bytes = (options.gib * GIB) as u64;
    let once = |enabled: bool| -> anyhow::Result<f64> {
        let mut agent = place.agent(&format!("[zert]\nenabled = {enabled}"), "")?;
        let seconds: f64 = place.ask("source", &[bytes.to_string()])?.trim().parse()?;
        agent.stop()?;
        Ok(options.gib / seconds)
    };
    once(true)?;
    let mut ratios = Vec::new();
    let (mut with, mut without) = (0.0, 0.0);
    for pair in 0..options.pairs {
        // Which comes first changes.
        let first = pair % 2 == 0;
        let (a, b) = (once(first)?, once(!first)?);
        let (on, off) = if first { (a, b) } else { (b, a) };
        (with, without) = (with + on, without + off);
        ratios.push(on / off);
    }
    let (mean, half) = interval(&ratios);
    let pairs = f64::from(options.pairs);
    println!(
        "bulk, with the observer / without: {mean:.3} (95 %: {:.3} to {:.3}), {} pairs of {} GiB, {:.2} and {:.2} GiB/s",
        mean - half,
        mean + half,
        options.pairs,
        options.gib,
        with / pairs,
        without / pairs
    );
    copied(options, &place, bytes)
}

/// How many packets of a bulk transfer the kernel copies: the rules' own conditions, counted.
fn copied(options: &Options, place: &Place, bytes: u64) -> anyhow::Result<()> {
    let mut agent = place.agent("", "")?;
    let rules: String = ["input", "output"]
        .iter()
        .map(|hook| {
            format!(
                "chain {hook} {{\ntype filter hook {hook} priority 11;\nmeta l4proto != tcp accept\n\
                 ct packets < 64 ct bytes < 131072 counter accept\ntcp flags & (fin | rst) != 0 counter\n}}\n"
            )
        })
        .collect();
    place.host.succeed("nft", &[&format!("table inet bench {{\n{rules}}}")])?;
    place.ask("source", &[bytes.to_string()])?;
    let listed = place.host.succeed("nft", &["list", "table", "inet", "bench"])?;
    let counts = listed.split("counter packets ").skip(1);
    let packets: u64 = counts.filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok()).sum();
    println!("packets copied of {} GiB on one connection: {packets}", options.gib);
    agent.stop()
}

/// The mean and half of its 95 % interval (Student).
fn interval(values: &[f64]) -> (f64, f64) {
    #[allow(clippy::cast_precision_loss, reason = "few measurements")]
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    // 19 degrees of freedom and about that.
    const STUDENT: f64 = 2.093;
    (mean, STUDENT * (variance / count).sqrt())
}

fn passive_opens(host: &Host) -> anyhow::Result<u64> {
    let text = host.succeed("cat", &["/proc/net/snmp"])?;
    let mut lines = text.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let found = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "PassiveOpens");
    found.and_then(|(_, value)| value.parse().ok()).context("the kernel does not count PassiveOpens")
}

fn connections(options: &Options) -> anyhow::Result<()> {
    let place = Place::new()?;
    // Ports are used again after a second, and conntrack forgets what has ended soon: its table holds fewer than a minute brings.
    let settings = [
        "net.ipv4.ip_local_port_range=1024 65535",
        "net.ipv4.tcp_tw_reuse=1",
        "net.netfilter.nf_conntrack_tcp_timeout_time_wait=5",
    ];
    for host in [&place.host, &place.peer] {
        for setting in settings {
            host.succeed("sysctl", &["-qw", setting])?;
        }
    }
    let _sink = place.serve("sink")?;
    let mut agent = place.agent("", "")?;
    let count = |agent: &Agent| -> anyhow::Result<(u64, u64)> {
        let stats: serde_json::Value = serde_json::from_str(&agent.succeed("zert", &["stats", "--json"])?)?;
        let number = |name: &str| stats.get(name).and_then(serde_json::Value::as_u64).unwrap_or_default();
        Ok((number("observed"), number("lost")))
    };
    let (opens, cpu) = (passive_opens(&place.host)?, process::cpu(agent.pid())?);
    let begin = Instant::now();
    let offered = place.ask("visits", &[options.rate.to_string(), options.seconds.to_string()])?;
    let took = begin.elapsed();
    // The last ends, and the history, which is written every five seconds.
    std::thread::sleep(Duration::from_secs(7));
    let cpu = process::cpu(agent.pid())?.saturating_sub(cpu);
    let opened = passive_opens(&place.host)? - opens;
    let (_, lost) = count(&agent)?;
    agent.stop()?;
    let summary = agent.succeed("smf", &["summary", "--by", "port"])?;
    let recorded: u64 = summary
        .lines()
        .find(|line| line.starts_with(&PORT.to_string()))
        .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or_default();
    #[allow(clippy::cast_precision_loss, reason = "fewer than 2^53")]
    let thousands = opened as f64 / 1000.0;
    println!(
        "short connections: {} visited in {:.1} s, PassiveOpens {opened}, recorded {recorded}, lost {lost}; {:.0} ms of CPU for 1,000",
        offered.trim(),
        took.as_secs_f64(),
        cpu.as_secs_f64() * 1000.0 / thousands
    );
    Ok(())
}

/// The Ethernet frames of a capture.
fn frames(file: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut reader = create_reader(1 << 20, fs::File::open(file)?).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let mut frames = Vec::new();
    loop {
        match reader.next() {
            Ok((length, block)) => {
                if let PcapBlockOwned::NG(Block::EnhancedPacket(packet)) = &block {
                    frames.extend(packet.data.get(..packet.caplen as usize).map(<[u8]>::to_vec));
                }
                reader.consume(length);
            }
            Err(PcapError::Eof) => return Ok(frames),
            Err(PcapError::Incomplete(_)) => reader.refill().map_err(|error| anyhow::anyhow!("{error:?}"))?,
            Err(error) => bail!("{}: {error:?}", file.display()),
        }
    }
}

/// A capture of many connections: those of a few, from other client ports and addresses each time.
fn repeated(options: &Options, file: &Path) -> anyhow::Result<u32> {
    /// Where IPv4's addresses and TCP's ports are in a frame.
    const SOURCE: usize = 14 + 12;
    const PORTS: usize = 14 + 20;
    let models = ["tls13-x25519.pcapng", "tls12-x25519.pcapng"].map(|name| frames(&options.captures.join(name)));
    let models = models.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let mut capture = Vec::new();
    let head: [u32; 6] = [0xA1B2_C3D4, 0x0004_0002, 0, 0, 262_144, 1];
    capture.extend(head.iter().flat_map(|word| word.to_le_bytes()));
    for number in 0..options.handshakes {
        let model = models.get(number as usize % models.len()).context("there is no capture")?;
        let first = model.first().and_then(|frame| frame.get(PORTS..PORTS + 2)).context("an empty capture")?.to_vec();
        for frame in model {
            let mut frame = frame.clone();
            let from_client = frame.get(PORTS..PORTS + 2) == Some(&first);
            let (address, port) = if from_client { (SOURCE, PORTS) } else { (SOURCE + 4, PORTS + 2) };
            let [_, _, high, low] = number.to_be_bytes();
            for (at, byte) in [(address + 1, high), (address + 2, low), (port, 0x90), (port + 1, low)] {
                if let Some(place) = frame.get_mut(at) {
                    *place = byte;
                }
            }
            let length = u32::try_from(frame.len())?;
            capture.extend([0, 0, length, length].iter().flat_map(|word| word.to_le_bytes()));
            capture.extend(frame);
        }
    }
    fs::write(file, capture)?;
    Ok(options.handshakes)
}

fn capture(options: &Options) -> anyhow::Result<()> {
    let place = Place::new()?;
    let file = place.lab.folder().join("many.pcap");
    let count = repeated(options, &file)?;
    let used = || -> anyhow::Result<Duration> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
        let time = |time: nix::sys::time::TimeVal| {
            Duration::from_micros(u64::try_from(nix::sys::time::TimeValLike::num_microseconds(&time)).unwrap_or(0))
        };
        Ok(time(usage.user_time()) + time(usage.system_time()))
    };
    let before = used()?;
    let output = Command::new(place.programs.join("zert")).arg("replay").arg(&file).stdin(Stdio::null()).output()?;
    let used = used()?.saturating_sub(before);
    let found = String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.contains("TLSv1.")).count();
    if found != count as usize {
        bail!("{found} of {count} handshakes were found");
    }
    println!(
        "handshakes read from a capture: {:.0} in a second of CPU ({count}, {:.2} s)",
        f64::from(count) / used.as_secs_f64(),
        used.as_secs_f64()
    );
    Ok(())
}

fn resets(options: &Options, held: bool) -> anyhow::Result<()> {
    let place = Place::new()?;
    let _server = place.serve("old")?;
    let hold = if held { "Hold On\n" } else { "" };
    let policy = format!(
        "zERTPolicyRule R\n{{\nLocalPortRange {PORT}\nzERTPolicyActionRef A\n}}\n\
         zERTPolicyAction A\n{{\nAction Reset\n{hold}Protocol TLS\nMinimumVersion TLSv1.2\n}}\n"
    );
    let mut agent = place.agent("", &policy)?;
    let mut words = vec![options.resets.to_string()];
    words.extend(held.then(|| "--held".to_owned()));
    let said = place.ask("asks", &words)?;
    agent.stop()?;
    let Lives(mut lives) = serde_json::from_str(&said)?;
    lives.sort_unstable();
    let sorted: Vec<Duration> = lives.into_iter().map(Duration::from_micros).collect();
    let milliseconds = |percent: usize| percentile(&sorted, percent).as_secs_f64() * 1000.0;
    let what = if held { "Hold On, ClientHello of TLS 1.1 -> RST" } else { "ServerHello of TLS 1.1 -> RST" };
    println!(
        "{what}: median {:.2} ms, 99 % within {:.2} ms, {} connections",
        milliseconds(50),
        milliseconds(99),
        sorted.len()
    );
    Ok(())
}
