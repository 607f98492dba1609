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
                Figure::Rate => measured.units / measured.seconds,
                Figure::P50 => measured.p50_us,
                Figure::P99 => measured.p99_us,
                // Where there is no proxy nothing is used or added.
                Figure::Main | Figure::MessageCpu if contestant.is_direct() => return None,
                Figure::Main => self.main(scenario, round, contestant, measured)?,
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
    fn table(
        &self,
        f: &mut fmt::Formatter<'_>,
        role: Role,
        figures: fn(Work) -> Vec<(Figure, &'static str)>,
    ) -> fmt::Result {
        let of_scenario =
            |scenario: Scenario| figures(scenario.work).into_iter().map(move |(figure, unit)| (scenario, figure, unit));
        let lines: Vec<_> = self.scenarios(role).into_iter().flat_map(of_scenario).collect();
        let has_figures = |one: &Contestant| {
            lines.iter().any(|(scenario, figure, _)| self.spread(*figure, *scenario, *one).is_some())
        };
        let columns: Vec<Contestant> = self.contestants().into_iter().filter(has_figures).collect();
        write!(f, "| {role} |")?;
        for column in &columns {
            write!(f, " {column} |")?;
        }
        writeln!(f, "\n|{}", " --- |".repeat(columns.len() + 1))?;
        for (scenario, figure, unit) in &lines {
            write!(f, "| {}, {unit} |", scenario.work)?;
            for column in &columns {
                let cell = self.cell(*figure, *scenario, *column);
                write!(f, " {} |", cell.as_deref().unwrap_or("–"))?;
            }
            writeln!(f)?;
        }
        writeln!(f)
    }

    fn cell(&self, figure: Figure, scenario: Scenario, contestant: Contestant) -> Option<String> {
        let spread = self.spread(figure, scenario, contestant)?;
        let mut text = number(spread.median);
        if spread.least < spread.most {
            let _ = write!(text, " [{}–{}]", number(spread.least), number(spread.most));
        }
        if matches!(figure, Figure::Main)
            && let Some(ratio) = self.ratio(scenario, contestant)
        {
            let _ = write!(text, ", {ratio:.2}×");
        }
        Some(text)
    }

    fn notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measured: Vec<&Measured> = self.rows.iter().filter_map(|row| row.result.as_ref().ok()).collect();
        if let Some(others) = Spread::of(measured.iter().map(|measured| measured.others * 100.0)) {
            writeln!(
                f,
                "- {} runs on {} CPUs, Linux {}. Other programs took {:.1} % of the CPUs during a run (median; at most {:.1} %; \
                 in {} runs more than 5 %).",
                measured.len(),
                cpus(),
                kernel(),
                others.median,
                others.most,
                measured.iter().filter(|measured| measured.others > 0.05).count()
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
                Err(error) => {
                    let why = error.lines().next().unwrap_or_default();
                    writeln!(f, "- Failed: round {}, {scenario}, {contestant}: {why}", round + 1)?;
                }
                Ok(measured) if scenario.work.resumes() && (measured.resumed as f64) < RESUMED * measured.units => {
                    let (resumed, all) = (measured.resumed, measured.units);
                    writeln!(
                        f,
                        "- Round {}, {scenario}, {contestant}: only {resumed} of {all} were resumed.",
                        round + 1
                    )?;
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

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Scenario = Scenario { role: Role::Server, work: Work::Full };
    const LATENCY: Scenario = Scenario { role: Role::Client, work: Work::Latency };

    fn measured(cpu_seconds: f64, p50_us: f64) -> Measured {
        Measured {
            units: 1000.0,
            seconds: 1.0,
            p50_us,
            p99_us: p50_us,
            full: 1000,
            resumed: 0,
            cpu_seconds,
            memory_before_kib: 0,
            memory_after_kib: 0,
            others: 0.0,
        }
    }

    fn report(scenario: Scenario, runs: &[(u32, &str, f64, f64)]) -> Report {
        let named = |name: &str| Contestant::ALL.into_iter().find(|one| one.to_string() == name).unwrap();
        let row = |(round, name, cpu, p50): &(u32, &str, f64, f64)| Row {
            round: *round,
            scenario,
            contestant: named(name),
            result: Ok(measured(*cpu, *p50)),
        };
        Report { versions: Vec::new(), left_out: Vec::new(), rows: runs.iter().map(row).collect() }
    }

    #[test]
    fn ratios_are_taken_within_a_round_to_the_peer_that_is_best_over_all() {
        // In the second round everything takes twice as long; stunnel is best in the third only.
        let report = report(
            FULL,
            &[
                (0, "ours-listen", 0.3, 0.0),
                (0, "haproxy", 0.6, 0.0),
                (0, "stunnel", 1.0, 0.0),
                (1, "ours-listen", 0.6, 0.0),
                (1, "haproxy", 1.2, 0.0),
                (1, "stunnel", 2.0, 0.0),
                (2, "ours-listen", 0.3, 0.0),
                (2, "haproxy", 0.6, 0.0),
                (2, "stunnel", 0.1, 0.0),
            ],
        );
        let text = report.to_string();
        assert!(text.contains("| server | ours-listen | haproxy | stunnel |"), "{text}");
        assert!(
            text.contains("| full, µs of CPU per connection | 300 [300–600], 0.50× | 600 [600–1200], 1.00× | 1000"),
            "{text}"
        );
    }

    #[test]
    fn latency_is_what_a_proxy_adds_to_the_same_load_without_it() {
        let report = report(
            LATENCY,
            &[
                (0, "ours-captured", 0.01, 60.0),
                (0, "forward", 0.01, 35.0),
                (0, "direct-tls", 0.0, 40.0),
                (0, "direct-plain", 0.0, 30.0),
            ],
        );
        let text = report.to_string();
        assert!(text.contains("| client | ours-captured | forward |\n"), "{text}");
        assert!(text.contains("| latency, µs added to the median | 20.0 | 5.00 |"), "{text}");
        assert!(text.contains("| latency, µs of CPU per message | 10.0 | 10.0 | – | – |"), "{text}");
    }

    #[test]
    fn a_run_that_failed_is_told() {
        let mut report = report(FULL, &[(0, "haproxy", 0.6, 0.0)]);
        let contestant = Contestant::OursListen;
        report.rows.push(Row { round: 0, scenario: FULL, contestant, result: Err("refused\nand its log".to_owned()) });
        assert_eq!(report.failed(), 1);
        assert!(report.to_string().contains("- Failed: round 1, server/full, ours-listen: refused\n"), "{report}");
    }
}
