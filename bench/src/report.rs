//! What is told of the runs: tables in Markdown.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::thread::available_parallelism;

use serde_json::{Value, json};

use crate::contestants::Contestant;
use crate::measure::Measured;
use crate::scenario::{Role, Scenario, Work};
use crate::statistics::Spread;

/// Fewer resumed handshakes in a run that is to measure them are told.
const RESUMED: f64 = 0.9;

/// A run.
pub(crate) struct Row {
    pub(crate) round: u32,
    pub(crate) scenario: Scenario,
    pub(crate) contestant: Contestant,
    pub(crate) result: Result<Measured, String>,
}

/// All runs.
pub(crate) struct Report {
    versions: Vec<(Contestant, String)>,
    left_out: Vec<Contestant>,
    pub(crate) rows: Vec<Row>,
}

/// A figure of a run that a table shows.
#[derive(Clone, Copy)]
enum Figure {
    /// What a scenario is for: the less, the better.
    Main,
    /// Units a second.
    Rate,
    P50,
    P99,
    /// CPU time of a message, in microseconds.
    MessageCpu,
}

impl Row {
    pub(crate) fn json(&self) -> Value {
        let (measured, error) = match &self.result {
            Ok(measured) => (Some(measured), None),
            Err(error) => (None, Some(error)),
        };
        json!({
            "round": self.round,
            "scenario": self.scenario.to_string(),
            "contestant": self.contestant.to_string(),
            "measured": measured,
            "error": error,
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "round {} {} {}: ", self.round + 1, self.scenario, self.contestant)?;
        match &self.result {
            Ok(measured) => write!(
                f,
                "{:.3} s of CPU in {:.3} s, others {:.0} %",
                measured.cpu_seconds,
                measured.seconds,
                measured.others * 100.0
            ),
            Err(error) => write!(f, "failed: {error}"),
        }
    }
}

impl Report {
    pub(crate) fn new(
        contestants: impl Iterator<Item = (Contestant, Option<String>)>,
        left_out: Vec<Contestant>,
    ) -> Self {
        let versions = contestants.filter_map(|(contestant, version)| Some((contestant, version?))).collect();
        Self { versions, left_out, rows: Vec::new() }
    }

    /// What the first line of the raw figures says.
    pub(crate) fn about(&self, rounds: u32) -> Value {
        let versions: serde_json::Map<_, _> =
            self.versions.iter().map(|(contestant, version)| (contestant.to_string(), json!(version))).collect();
        json!({ "rounds": rounds, "versions": versions, "kernel": kernel(), "cpus": cpus() })
    }

    /// How many runs gave nothing.
    pub(crate) fn failed(&self) -> usize {
        self.rows.iter().filter(|row| row.result.is_err()).count()
    }

    /// The runs of a scenario that gave something.
    fn runs(&self, scenario: Scenario) -> impl Iterator<Item = (u32, Contestant, &Measured)> {
        let in_scenario = self.rows.iter().filter(move |row| row.scenario == scenario);
        in_scenario.filter_map(|row| Some((row.round, row.contestant, row.result.as_ref().ok()?)))
    }

    fn run(&self, scenario: Scenario, round: u32, contestant: Contestant) -> Option<&Measured> {
        let is_it = |(r, c, _): &(u32, Contestant, &Measured)| *r == round && *c == contestant;
        self.runs(scenario).find(is_it).map(|(_, _, measured)| measured)
    }

    /// A contestant's figure in each round that has one.
    fn figures(&self, figure: Figure, scenario: Scenario, contestant: Contestant) -> Vec<(u32, f64)> {
        let runs = self.runs(scenario).filter(|(_, c, _)| *c == contestant);
        runs.filter_map(|(round, _, measured)| {
            let value = match figure {
                Figure::Main => self.main(scenario, round, contestant, measured)?,
                Figure::Rate => measured.units / measured.seconds,
                Figure::P50 => measured.p50_us,
                Figure::P99 => measured.p99_us,
                Figure::MessageCpu => measured.cpu_seconds / measured.units * 1e6,
            };
            Some((round, value))
        })
        .collect()
    }

    fn main(&self, scenario: Scenario, round: u32, contestant: Contestant, measured: &Measured) -> Option<f64> {
        Some(match scenario.work {
            Work::Full | Work::Resumed => measured.cpu_seconds / measured.units * 1e6,
            Work::Up(_) | Work::Down(_) => measured.cpu_seconds / measured.units,
            Work::Latency => measured.p50_us - self.run(scenario, round, contestant.direct())?.p50_us,
            Work::Idle => (measured.memory_after_kib as f64 - measured.memory_before_kib as f64) / measured.units,
        })
    }

    fn spread(&self, figure: Figure, scenario: Scenario, contestant: Contestant) -> Option<Spread> {
        Spread::of(self.figures(figure, scenario, contestant).into_iter().map(|(_, value)| value))
    }

    /// The peer with the lowest median of the main figure.
    fn best_peer(&self, scenario: Scenario) -> Option<Contestant> {
        let medians = self.contestants().into_iter().filter(|one| matches!(one, Contestant::Peer(_)));
        let medians = medians.filter_map(|one| Some((self.spread(Figure::Main, scenario, one)?.median, one)));
        medians.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, peer)| peer)
    }

    /// The main figure divided by the best peer's in the same round; the median over the rounds.
    fn ratio(&self, scenario: Scenario, contestant: Contestant) -> Option<f64> {
        let best = self.figures(Figure::Main, scenario, self.best_peer(scenario)?);
        let ratio = |(round, value): (u32, f64)| {
            let (_, best) = best.iter().find(|(other, _)| *other == round)?;
            Some(value / best)
        };
        let own = self.figures(Figure::Main, scenario, contestant);
        Some(Spread::of(own.into_iter().filter_map(ratio))?.median)
    }

    fn contestants(&self) -> BTreeSet<Contestant> {
        self.rows.iter().map(|row| row.contestant).collect()
    }

    fn scenarios(&self, role: Role) -> BTreeSet<Scenario> {
        self.rows.iter().map(|row| row.scenario).filter(|scenario| scenario.role == role).collect()
    }

    /// A table of a role: a line for each scenario and figure, a column for each contestant.
    fn table(&self, f: &mut fmt::Formatter<'_>, role: Role, figures: fn(Work) -> Vec<(Figure, &'static str)>) -> fmt::Result {
        let scenarios = self.scenarios(role);
        let takes_part = |one: &Contestant| scenarios.iter().any(|scenario| one.takes_part(*scenario));
        let columns: Vec<Contestant> = self.contestants().into_iter().filter(takes_part).collect();
        let mut head = format!("| {role} |");
        for column in &columns {
            let _ = write!(head, " {column} |");
        }
        writeln!(f, "{head}\n|{}", " --- |".repeat(columns.len() + 1))?;
        for scenario in &scenarios {
            for (figure, unit) in figures(scenario.work) {
                write!(f, "| {}, {unit} |", scenario.work)?;
                for column in &columns {
                    write!(f, " {} |", self.cell(figure, *scenario, *column))?;
                }
                writeln!(f)?;
            }
        }
        writeln!(f)
    }

    fn cell(&self, figure: Figure, scenario: Scenario, contestant: Contestant) -> String {
        let Some(spread) = self.spread(figure, scenario, contestant) else { return "–".to_owned() };
        let is_main = matches!(figure, Figure::Main);
        if is_main && contestant.is_direct() {
            return "–".to_owned();
        }
        let mut text = number(spread.median);
        if spread.least < spread.most {
            let _ = write!(text, " [{}–{}]", number(spread.least), number(spread.most));
        }
        if let Some(ratio) = self.ratio(scenario, contestant).filter(|_| is_main) {
            let _ = write!(text, ", {ratio:.2}×");
        }
        text
    }

    fn notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measured: Vec<&Measured> = self.rows.iter().filter_map(|row| row.result.as_ref().ok()).collect();
        if let Some(others) = Spread::of(measured.iter().map(|measured| measured.others * 100.0)) {
            writeln!(
                f,
                "- {} runs on {} CPUs, Linux {}. Other programs took {:.1} % of the CPUs during a run (median; {:.1}–{:.1} %).",
                measured.len(),
                cpus(),
                kernel(),
                others.median,
                others.least,
                others.most
            )?;
        }
        let named = |(contestant, version): &(Contestant, String)| format!("{contestant} {version}");
        let peers = self.versions.iter().filter(|(contestant, _)| matches!(contestant, Contestant::Peer(_)));
        let peers: Vec<String> = peers.map(named).collect();
        if !peers.is_empty() {
            writeln!(f, "- Peers: {}.", peers.join(", "))?;
        }
        if !self.left_out.is_empty() {
            let names: Vec<String> = self.left_out.iter().map(ToString::to_string).collect();
            writeln!(f, "- Left out, not installed: {}.", names.join(", "))?;
        }
        for row in &self.rows {
            let Row { round, scenario, contestant, result } = row;
            match result {
                Err(error) => writeln!(f, "- Failed: round {}, {scenario}, {contestant}: {error}", round + 1)?,
                Ok(measured) if scenario.work.resumes() && (measured.resumed as f64) < RESUMED * measured.units => {
                    let (resumed, all) = (measured.resumed, measured.units);
                    writeln!(f, "- Round {}, {scenario}, {contestant}: only {resumed} of {all} were resumed.", round + 1)?;
                }
                Ok(_) => {}
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for role in Role::ALL {
            if self.scenarios(role).is_empty() {
                continue;
            }
            self.table(f, role, |work| vec![(Figure::Main, main_unit(work))])?;
            self.table(f, role, beside)?;
        }
        self.notes(f)
    }
}

fn main_unit(work: Work) -> &'static str {
    match work {
        Work::Full | Work::Resumed => "µs of CPU per connection",
        Work::Up(_) | Work::Down(_) => "s of CPU per GiB",
        Work::Latency => "µs added to the median",
        Work::Idle => "KiB per connection",
    }
}

/// What stands beside a main figure.
fn beside(work: Work) -> Vec<(Figure, &'static str)> {
    match work {
        Work::Full | Work::Resumed => vec![(Figure::Rate, "connections/s"), (Figure::P50, "µs, p50")],
        Work::Up(_) | Work::Down(_) => vec![(Figure::Rate, "GiB/s")],
        Work::Latency => {
            vec![(Figure::P50, "µs, p50"), (Figure::P99, "µs, p99"), (Figure::MessageCpu, "µs of CPU per message")]
        }
        Work::Idle => Vec::new(),
    }
}

/// Three digits that mean something.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

fn kernel() -> String {
    nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default()
}

fn cpus() -> usize {
    available_parallelism().map_or(1, usize::from)
}
