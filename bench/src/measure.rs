//! One run: a contestant in a scenario.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{anyhow, bail};
use serde::Serialize;

use crate::contestants::{Contestant, Proxy};
use crate::load;
use crate::machine::{Watch, wait_until_quiet};
use crate::process;
use crate::scenario::{Amounts, Role, Scenario, Work};
use crate::stage::{Credentials, Stage};
use crate::tls::Tally;

/// What a proxy does behind the last connection belongs to its work too.
const SETTLE: Duration = Duration::from_millis(60);

/// What a run gave.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    /// Connections, GiB or messages.
    pub(crate) units: f64,
    pub(crate) seconds: f64,
    /// Of a connection's byte, or of a message, there and back.
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Handshakes on the proxy's TLS leg.
    pub(crate) full: u64,
    pub(crate) resumed: u64,
    /// Of the proxy's processes.
    pub(crate) cpu_seconds: f64,
    pub(crate) memory_before_kib: u64,
    pub(crate) memory_after_kib: u64,
    /// The share of the machine's CPUs that other programs took.
    pub(crate) others: f64,
}

/// The proxy at one moment.
struct Reading {
    cpu: Duration,
    memory: u64,
    backend: Tally,
}

/// Measures.
///
/// # Errors
///
/// When the proxy does not start, a connection fails, or something else is negotiated than everybody is measured with.
pub(crate) fn measure(
    contestant: Contestant,
    scenario: Scenario,
    amounts: Amounts,
    credentials: &Credentials,
    patience: Duration,
) -> anyhow::Result<Measured> {
    let stage = Stage::new(scenario.role, scenario.work, credentials)?;
    let proxy = contestant.start(&stage)?;
    let load_is_tls = contestant.load_is_tls(scenario.role);
    let plan = load::Plan {
        to: proxy.to,
        authority: load_is_tls.then(|| stage.authority.clone()),
        resume: scenario.work.resumes(),
        load: scenario.work.load(amounts),
    };
    let run = || -> anyhow::Result<Measured> {
        let mut generator = stage.generator(&plan)?;
        wait_until_quiet(patience)?;
        let before = Reading::take(&stage, &proxy)?;
        let watch = Watch::start()?;
        let outcome = generator.work()?;
        sleep(SETTLE);
        let others = watch.others()?;
        let after = Reading::take(&stage, &proxy)?;
        let backend = after.backend.since(&before.backend);
        let tally = if load_is_tls { &outcome.tally } else { &backend };
        tally.check()?;
        if scenario.work == Work::Full && tally.resumed > 0 {
            bail!("{} handshakes were resumed", tally.resumed);
        }
        // The load generator in the client role knows nothing of TLS: the backend must have seen it.
        if contestant.secures() && scenario.role == Role::Client && after.backend.full == 0 {
            bail!("no handshake was made");
        }
        Ok(Measured {
            units: scenario.work.units(amounts),
            seconds: outcome.seconds,
            p50_us: outcome.p50_us,
            p99_us: outcome.p99_us,
            full: tally.full,
            resumed: tally.resumed,
            cpu_seconds: after.cpu.saturating_sub(before.cpu).as_secs_f64(),
            memory_before_kib: before.memory,
            memory_after_kib: after.memory,
            others,
        })
    };
    // The first line says why, the rest what the proxy has logged.
    run().map_err(|error| anyhow!("{error:#}\n{}", proxy.said()))
}

impl Reading {
    fn take(stage: &Stage, proxy: &Proxy) -> anyhow::Result<Self> {
        let (cpu, memory) = match proxy.pid() {
            Some(pid) => (process::cpu(pid)?, process::memory(pid)?),
            None => (Duration::ZERO, 0),
        };
        Ok(Self { cpu, memory, backend: stage.tally()? })
    }
}
