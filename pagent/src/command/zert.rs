//! `zert`: what was observed, with and without the daemon.

mod history;
mod replay;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::Value;

use super::{Common, finish, print_lines};
use crate::client;

/// Cryptographic protection of connections.
#[derive(Parser)]
#[command(name = "zert", version)]
struct Flags {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Reads a capture file (pcap, pcapng) through the code that watches live connections
    Replay(replay::Flags),
    /// Shows what the daemon's observer and enforcement have counted
    Stats {
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Answers auditors' questions from the recorded history
    Report(history::ReportFlags),
    /// Says which recorded connections a new policy's zERT rules would have reset
    Simulate {
        /// The policy file, or the main file that names it
        #[arg(long)]
        policy: PathBuf,
        #[command(flatten)]
        period: history::Period,
        #[command(flatten)]
        form: history::Form,
    },
    /// Writes TTLS and zERT rules from what was recorded
    Suggest {
        #[command(flatten)]
        period: history::Period,
    },
    /// Exports the recorded history: a CycloneDX bill of cryptographic materials, or JSON
    Export(history::ExportFlags),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    finish(run(&Flags::parse()))
}

fn run(flags: &Flags) -> anyhow::Result<ExitCode> {
    let common = &flags.common;
    match &flags.verb {
        Verb::Replay(flags) => replay::run(flags),
        Verb::Stats { json } => statistics(common, *json),
        Verb::Report(flags) => history::report(common, flags),
        Verb::Simulate { policy, period, form } => history::simulate(common, policy, period, form),
        Verb::Suggest { period } => history::suggest(common, period),
        Verb::Export(flags) => history::export(common, flags),
    }
}

fn statistics(common: &Common, json: bool) -> anyhow::Result<ExitCode> {
    let answer = client::get(&common.configuration()?.socket, "/v1/zert")?;
    if json {
        print_lines(&[serde_json::to_string_pretty(&answer)?])?;
        return Ok(ExitCode::SUCCESS);
    }
    let number = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or_default();
    let lines = [
        ("observed", "connections whose protection was recorded or is being watched"),
        ("reset", "connections reset by enforcement"),
        ("logged", "connections logged by enforcement"),
        ("suppressed", "messages of enforcement that were counted and not written"),
        ("lost", "times packets or ends of connections were lost to the observer, and connections beyond a limit"),
        ("older", "connections that were there before the observer, whose protection is not known"),
    ];
    print_lines(&lines.map(|(name, what)| format!("{name:11}{:>12}  {what}", number(name))))?;
    let ipsec = if answer.get("ipsec") == Some(&Value::Bool(true)) { "looked at" } else { "unavailable" };
    print_lines(&[format!("{:11}{ipsec:>12}  security associations of this kernel", "IPsec")])?;
    Ok(ExitCode::SUCCESS)
}
