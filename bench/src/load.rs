//! The load generator. It prepares, says [`READY`], waits for a line, works, prints its [`Outcome`], and keeps what is
//! open until its standard input ends: so the proxy can be looked at before and after.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};

use crate::backend::{ECHO, GIVE, TAKE};
use crate::connection::Connection;
use crate::statistics::percentile;
use crate::tls::{self, Tally};

/// The preparations are done.
pub(crate) const READY: &str = "ready";

/// Connections that each worker makes first: they fill session caches and pools of the proxy.
const WARM_UP: u64 = 4;
/// Workers that make connections at the same time.
const WORKERS: u64 = 4;
/// What is sent and read at once.
const PIECE: usize = 128 * 1024;
/// Bytes of a message that goes there and back.
const MESSAGE: usize = 64;

/// What to do.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Plan {
    /// The proxy.
    pub(crate) to: SocketAddr,
    /// The authority's certificate when the proxy is spoken to in TLS.
    pub(crate) authority: Option<PathBuf>,
    /// Whether sessions are resumed.
    pub(crate) resume: bool,
    pub(crate) load: Load,
}

/// A kind of load.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) enum Load {
    /// Connections that carry a byte there and back and are closed.
    Short { connections: u64 },
    /// Bytes to the backend.
    Up { connections: u64, bytes: u64 },
    /// Bytes from the backend.
    Down { connections: u64, bytes: u64 },
    /// Messages there and back, one after the other, on one connection.
    PingPong { messages: u64 },
    /// Connections that carry a byte there and back and stay.
    Idle { connections: u64 },
}

/// What came of it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Outcome {
    pub(crate) seconds: f64,
    /// The median time of a connection's byte, or a message, there and back; 0 for bulk.
    pub(crate) p50_us: f64,
    /// 99 of 100 were faster.
    pub(crate) p99_us: f64,
    /// Handshakes of the load generator itself.
    pub(crate) tally: Tally,
}

pub(crate) fn run(plan: &Plan) -> anyhow::Result<()> {
    let workers = plan.load.workers();
    // Passed twice: when all are prepared, and when they may begin.
    let gate = Barrier::new(workers.len() + 1);
    let begun = thread::scope(|scope| {
        let start = |share: Load| {
            let gate = &gate;
            scope.spawn(move || {
                let prepared = Worker::prepare(plan, share);
                gate.wait();
                gate.wait();
                let mut worker = prepared?;
                worker.work(share)?;
                anyhow::Ok(worker)
            })
        };
        let threads: Vec<_> = workers.into_iter().map(start).collect();
        gate.wait();
        println!("{READY}");
        // Without an orchestrator it begins too: the amount is bounded.
        let _ = io::stdin().read_line(&mut String::new());
        let begin = Instant::now();
        gate.wait();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().map_err(|_| anyhow!("a worker panicked"))?;
        let workers = threads.into_iter().map(join).collect::<anyhow::Result<Vec<Worker>>>()?;
        anyhow::Ok((workers, begin.elapsed()))
    });
    let (workers, elapsed) = begun?;
    println!("{}", serde_json::to_string(&Outcome::new(&workers, elapsed))?);
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

impl Load {
    /// What each of its workers does.
    fn workers(self) -> Vec<Self> {
        match self {
            Self::Short { connections } => {
                shares(connections, WORKERS).into_iter().map(|connections| Self::Short { connections }).collect()
            }
            Self::Up { connections, bytes } => {
                shares(bytes, connections).into_iter().map(|bytes| Self::Up { connections: 1, bytes }).collect()
            }
            Self::Down { connections, bytes } => {
                shares(bytes, connections).into_iter().map(|bytes| Self::Down { connections: 1, bytes }).collect()
            }
            Self::PingPong { .. } | Self::Idle { .. } => vec![self],
        }
    }
}

/// An amount in equal parts.
fn shares(amount: u64, parts: u64) -> Vec<u64> {
    (0..parts).map(|part| amount / parts + u64::from(part < amount % parts)).collect()
}

impl Outcome {
    fn new(workers: &[Worker], elapsed: Duration) -> Self {
        let mut times: Vec<Duration> = workers.iter().flat_map(|worker| worker.times.iter().copied()).collect();
        times.sort_unstable();
        let mut tally = Tally::default();
        for worker in workers {
            tally.merge(&worker.tally);
        }
        let microseconds = |percent| percentile(&times, percent).as_secs_f64() * 1e6;
        Self { seconds: elapsed.as_secs_f64(), p50_us: microseconds(50), p99_us: microseconds(99), tally }
    }
}

/// A thread of the load generator.
struct Worker {
    to: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    tally: Tally,
    times: Vec<Duration>,
    open: Vec<Connection>,
}

impl Worker {
    /// Warms the proxy up, and opens the connection on which bulk or messages will go.
    fn prepare(plan: &Plan, share: Load) -> anyhow::Result<Self> {
        let config = plan.authority.as_ref().map(|authority| tls::client(authority, plan.resume)).transpose()?;
        let mut worker = Self {
            to: plan.to,
            tls: config.map(Arc::new),
            tally: Tally::default(),
            times: Vec::new(),
            open: Vec::new(),
        };
        for _ in 0..WARM_UP {
            worker.connect()?.close()?;
        }
        worker.times.clear();
        worker.tally.restart();
        match share {
            Load::Up { .. } | Load::Down { .. } => {
                let connection = Connection::open(worker.to, worker.tls.as_ref())?;
                connection.count(&mut worker.tally);
                worker.open.push(connection);
            }
            Load::PingPong { .. } => {
                let connection = worker.connect()?;
                worker.open.push(connection);
                worker.times.clear();
            }
            Load::Short { .. } | Load::Idle { .. } => {}
        }
        Ok(worker)
    }

    /// A connection that has carried a byte there and back, and counts.
    fn connect(&mut self) -> io::Result<Connection> {
        let begin = Instant::now();
        let mut connection = Connection::open(self.to, self.tls.as_ref())?;
        connection.exchange(&mut [ECHO])?;
        self.times.push(begin.elapsed());
        connection.count(&mut self.tally);
        Ok(connection)
    }

    fn work(&mut self, share: Load) -> io::Result<()> {
        match share {
            Load::Short { connections } => (0..connections).try_for_each(|_| self.connect()?.close()),
            Load::Idle { connections } => (0..connections).try_for_each(|_| {
                let connection = self.connect()?;
                self.open.push(connection);
                Ok(())
            }),
            Load::PingPong { messages } => (0..messages).try_for_each(|_| {
                let begin = Instant::now();
                self.opened()?.exchange(&mut [0; MESSAGE])?;
                self.times.push(begin.elapsed());
                Ok(())
            }),
            Load::Up { bytes, .. } => send(self.opened()?, bytes),
            Load::Down { bytes, .. } => receive(self.opened()?, bytes),
        }
    }

    /// The connection that was opened for the work.
    fn opened(&mut self) -> io::Result<&mut Connection> {
        self.open.first_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

fn send(connection: &mut Connection, bytes: u64) -> io::Result<()> {
    connection.write_all(&order(TAKE, bytes))?;
    let piece = vec![0; PIECE];
    let mut rest = bytes;
    while rest > 0 {
        let now = usize::try_from(rest).unwrap_or(PIECE).min(PIECE);
        connection.write_all(piece.get(..now).unwrap_or(&piece))?;
        rest -= now as u64;
    }
    connection.flush()?;
    connection.read_exact(&mut [0])
}

fn receive(connection: &mut Connection, bytes: u64) -> io::Result<()> {
    connection.write_all(&order(GIVE, bytes))?;
    connection.flush()?;
    let mut piece = vec![0; PIECE];
    let mut rest = bytes;
    while rest > 0 {
        let length = connection.read(&mut piece)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        rest = rest.saturating_sub(length as u64);
    }
    Ok(())
}

/// What is asked of the backend.
fn order(what: u8, bytes: u64) -> Vec<u8> {
    [&[what], bytes.to_be_bytes().as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_the_amount_and_differ_by_one_at_most() {
        assert_eq!(shares(10, 4), [3, 3, 2, 2]);
        assert_eq!(shares(3, 4), [1, 1, 1, 0]);
    }
}
