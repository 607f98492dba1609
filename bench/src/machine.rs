//! What the rest of the machine does meanwhile.

use std::fs;
use std::thread::{available_parallelism, sleep};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::process;

/// The kernel's unit in /proc/stat.
const TICK: Duration = Duration::from_millis(10);
/// How long is looked at once.
const LOOK: Duration = Duration::from_millis(250);
/// The share of the CPUs up to which the machine counts as quiet.
const QUIET: f64 = 0.05;

/// CPU time that everybody has used, and that this benchmark has.
pub(crate) struct Watch {
    begin: Instant,
    all: Duration,
    own: Duration,
}

impl Watch {
    pub(crate) fn start() -> anyhow::Result<Self> {
        Ok(Self { begin: Instant::now(), all: all()?, own: process::cpu(own_pid())? })
    }

    /// The share of the CPUs that others have used since.
    pub(crate) fn others(&self) -> anyhow::Result<f64> {
        let all = all()?.saturating_sub(self.all);
        let own = process::cpu(own_pid())?.saturating_sub(self.own);
        let cpus = available_parallelism().map_or(1, usize::from);
        Ok(all.saturating_sub(own).as_secs_f64() / self.begin.elapsed().as_secs_f64() / cpus as f64)
    }
}

/// Waits until others leave the machine alone, but not longer than this.
pub(crate) fn wait_until_quiet(patience: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + patience;
    while Instant::now() < end {
        let watch = Watch::start()?;
        sleep(LOOK);
        if watch.others()? < QUIET {
            break;
        }
    }
    Ok(())
}

fn own_pid() -> i32 {
    std::process::id().cast_signed()
}

/// Busy time of all CPUs: user, nice, system, irq and softirq.
fn all() -> anyhow::Result<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    let busy: u64 = [0, 1, 2, 5, 6].into_iter().filter_map(|at| ticks.get(at)).sum();
    Ok(Duration::from_millis(busy * u64::try_from(TICK.as_millis())?))
}
