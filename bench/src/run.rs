//! All runs, in an order in which contestants follow each other closely, and what becomes of their figures.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::contestants::Contestant;
use crate::measure::measure;
use crate::report::{Report, Row};
use crate::scenario::{Amounts, Scenario};
use crate::stage::Credentials;

/// What is asked for.
#[derive(Args)]
pub(crate) struct Options {
    /// How often everything is measured [default: 5]
    #[arg(long)]
    rounds: Option<u32>,
    /// Only scenarios whose name contains one of these: full, server/up, client …
    #[arg(long, num_args = 1.., value_name = "SUBSTRING")]
    scenarios: Vec<String>,
    /// Only these contestants
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    contestants: Vec<String>,
    /// Connections of a handshake run [default: 800]
    #[arg(long)]
    n: Option<u64>,
    /// GiB of a bulk run [default: 0.5]
    #[arg(long)]
    gib: Option<f64>,
    /// Messages of a latency run [default: 5000]
    #[arg(long)]
    messages: Option<u64>,
    /// Connections of an idle run [default: 2000]
    #[arg(long)]
    idle: Option<u64>,
    /// Seconds to wait before each run until other programs leave the machine alone [default: 10]
    #[arg(long)]
    patience: Option<u64>,
    /// Where every run's figures go, one JSON object a line
    #[arg(long, default_value = "target/bench.jsonl")]
    out: PathBuf,
    /// Everything with tiny amounts, to see that it works; the figures mean nothing
    #[arg(long)]
    quick: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    raise_descriptor_limit()?;
    let scenarios = options.scenarios();
    if scenarios.is_empty() {
        bail!("no scenario's name contains {:?}", options.scenarios);
    }
    let (contestants, left_out) = options.contestants()?;
    let amounts = options.amounts();
    let patience = Duration::from_secs(options.patience.unwrap_or(if options.quick { 0 } else { 10 }));
    let rounds = options.rounds.unwrap_or(if options.quick { 1 } else { 5 });
    let mut out = BufWriter::new(File::create(&options.out).with_context(|| options.out.display().to_string())?);
    let credentials = Credentials::new()?;
    let mut report = Report::new(contestants.iter().map(|contestant| (*contestant, contestant.version())), left_out);
    writeln!(out, "{}", report.about(rounds))?;
    for round in 0..rounds {
        for scenario in &scenarios {
            for contestant in order(&contestants, *scenario, round) {
                let result = measure(contestant, *scenario, amounts, &credentials, patience);
                let row = Row {
                    round,
                    scenario: *scenario,
                    contestant,
                    result: result.map_err(|error| format!("{error:#}")),
                };
                eprintln!("{row}");
                writeln!(out, "{}", row.json())?;
                out.flush()?;
                report.rows.push(row);
            }
        }
    }
    print!("{report}");
    let failed = report.failed();
    if failed > 0 {
        bail!("{failed} runs failed");
    }
    Ok(())
}

/// Who is measured in a scenario, in turns first.
fn order(contestants: &[Contestant], scenario: Scenario, round: u32) -> Vec<Contestant> {
    let mut order: Vec<Contestant> = contestants.iter().copied().filter(|one| one.takes_part(scenario)).collect();
    let first = round as usize % order.len().max(1);
    order.rotate_left(first);
    order
}

impl Options {
    fn scenarios(&self) -> Vec<Scenario> {
        let wanted = |scenario: &Scenario| {
            self.scenarios.is_empty() || self.scenarios.iter().any(|text| scenario.to_string().contains(text))
        };
        Scenario::all().into_iter().filter(wanted).collect()
    }

    /// Who is measured, and who is not because it is not installed.
    fn contestants(&self) -> anyhow::Result<(Vec<Contestant>, Vec<Contestant>)> {
        let known = Contestant::ALL.map(|contestant| contestant.to_string());
        if let Some(unknown) = self.contestants.iter().find(|name| !known.contains(name)) {
            bail!("no contestant is named `{unknown}`; there are {}", known.join(", "));
        }
        // Whatever is measured, its latency is compared with that of no proxy.
        let wanted = |one: &Contestant| {
            self.contestants.is_empty() || one.is_direct() || self.contestants.contains(&one.to_string())
        };
        let wanted = Contestant::ALL.into_iter().filter(wanted);
        Ok(wanted.partition(|contestant| contestant.version().is_some()))
    }

    fn amounts(&self) -> Amounts {
        let gib = self.gib.unwrap_or(if self.quick { 0.01 } else { 0.5 });
        Amounts {
            connections: self.n.unwrap_or(if self.quick { 20 } else { 800 }),
            bytes: bytes(gib),
            messages: self.messages.unwrap_or(if self.quick { 200 } else { 5000 }),
            idle: self.idle.unwrap_or(if self.quick { 20 } else { 2000 }),
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "an amount that a person wrote; `as` keeps it in range")]
fn bytes(gib: f64) -> u64 {
    (gib * f64::from(1 << 30)) as u64
}

/// As many as are allowed: proxies that hold connections need two descriptors for each.
fn raise_descriptor_limit() -> anyhow::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}
