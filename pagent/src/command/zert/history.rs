//! The recorded history: reports, simulation, suggestions, export.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::history::report::{self, Report, Scope};
use ::history::{Store, Table, Usage, cbom, simulate as simulation, suggest as suggestion};
use anyhow::{Context as _, bail};
use chrono::Utc;
use clap::Args;
use clap::builder::PossibleValuesParser;
use policies::diagnostic;
use saf::shown_url;

use crate::command::author::read_time;
use crate::command::{Common, print_lines, print_stderr, print_text};
use crate::policy_files;

const DAY: i64 = 86_400;

/// A period of the history.
#[derive(Args)]
pub(super) struct Period {
    /// The beginning: 2026-11-01, "2026-11-01 08:00", RFC 3339, or so many days or hours ago: 30d, 12h [default: 30d]
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// The end, as --since [default: now]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only servers' ports like this one; several times for several
    #[arg(long, value_name = "PORT")]
    port: Vec<u16>,
    /// The host, where several keep their histories in one database; * for all of them [default: this one]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
}

/// How a table is printed.
#[derive(Args)]
#[group(multiple = false)]
pub(super) struct Form {
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    /// Comma-separated values instead of text
    #[arg(long)]
    csv: bool,
    /// A page for browsers, written to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct ReportFlags {
    /// The question; without one --html writes the answers to all of them
    #[arg(value_parser = PossibleValuesParser::new(Report::ALL.map(|(name, _)| name)), default_value = "endpoint")]
    question: String,
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    form: Form,
}

#[derive(Args)]
#[group(multiple = false)]
pub(super) struct Kind {
    /// A CycloneDX 1.6 bill of cryptographic materials [default]
    #[arg(long)]
    cbom: bool,
    /// The sessions with what was counted, one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct ExportFlags {
    #[command(flatten)]
    kind: Kind,
    #[command(flatten)]
    period: Period,
}

/// What the history holds of a period.
fn read(common: &Common, period: &Period) -> anyhow::Result<(Vec<Usage>, Scope)> {
    let configuration = common.configuration()?;
    let now = Utc::now().timestamp();
    let time = |text: &Option<String>, default: i64| text.as_deref().map_or(Ok(default), |text| instant(text, now));
    let (since, until) = (time(&period.since, now - 30 * DAY)?, time(&period.until, now + 1)?);
    if since >= until {
        bail!("the period ends before it begins: --since must be before --until");
    }
    let url = configuration.history_url();
    let name = period.host.clone().unwrap_or(configuration.sysname);
    let host = (name != "*").then_some(name.as_str());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (usages, lost) = runtime.block_on(async {
        let store = Store::open_existing(&url, &shown_url(&url)).await?;
        let found = (store.usages(since, until, host).await?, store.lost(since, until, host).await?);
        store.close().await;
        Ok::<_, ::history::HistoryError>(found)
    })?;
    let host = host.unwrap_or("all hosts").to_owned();
    Ok((usages, Scope { since, until, ports: period.port.clone(), lost, host }))
}

/// A time of the command line: a moment, or so long ago.
fn instant(text: &str, now: i64) -> anyhow::Result<i64> {
    for (unit, seconds) in [('d', DAY), ('h', 3600), ('m', 60)] {
        let count = text.strip_suffix(unit).and_then(|count| count.parse::<i64>().ok());
        if let Some(count) = count.filter(|count| (0..100_000_000).contains(count)) {
            return Ok(now - count * seconds);
        }
    }
    let day = format!("{text} 00:00");
    read_time(text).or_else(|error| read_time(&day).map_err(|_| error)).map(|time| time.timestamp())
}

fn print(table: Table, form: &Form) -> anyhow::Result<ExitCode> {
    if form.json {
        print_lines(&[serde_json::to_string_pretty(&table.json())?])?;
    } else if form.csv {
        print_text(&table.csv()?)?;
        print_stderr(table.notes.iter().flat_map(|note| [note.as_str(), "\n"]).collect::<String>());
    } else if let Some(file) = &form.html {
        write_page(file, &report::page_of(table))?;
    } else {
        print_lines(&table.text())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write_page(file: &Path, page: &str) -> anyhow::Result<()> {
    fs::write(file, page).with_context(|| format!("{} cannot be written", file.display()))?;
    print_lines(&[format!("{} written", file.display())])
}

/// Answers a question.
pub(super) fn report(common: &Common, flags: &ReportFlags) -> anyhow::Result<ExitCode> {
    let (usages, mut scope) = read(common, &flags.period)?;
    let now = Utc::now().timestamp();
    let question = Report::ALL.into_iter().find(|(name, _)| *name == flags.question).map(|(_, question)| question);
    let question = question.context("no such question")?;
    if scope.ports.is_empty() {
        scope.ports = question.ports().to_vec();
    }
    match &flags.form.html {
        Some(file) if question == Report::Endpoint => write_page(file, &report::page(&usages, &scope, now))?,
        _ => return print(question.table(&usages, &scope, now), &flags.form),
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what a policy would have done.
pub(super) fn simulate(common: &Common, policy: &Path, period: &Period, form: &Form) -> anyhow::Result<ExitCode> {
    let configuration = common.configuration()?;
    let loaded = policy_files::load(&[policy.to_owned()], &configuration, None, None);
    if loaded.has_errors() {
        bail!("{}", diagnostic::render(&loaded.diagnostics));
    }
    if loaded.policy.zert.is_empty() {
        bail!("{} has no zERT rules", policy.display());
    }
    let (mut usages, scope) = read(common, period)?;
    usages.retain(|usage| scope.ports.is_empty() || scope.ports.contains(&usage.session.port));
    print(simulation::simulate(&loaded.policy, &usages), form)
}

/// Writes rules.
pub(super) fn suggest(common: &Common, period: &Period) -> anyhow::Result<ExitCode> {
    let (mut usages, scope) = read(common, period)?;
    usages.retain(|usage| scope.ports.is_empty() || scope.ports.contains(&usage.session.port));
    print_text(&suggestion::suggest(&usages))?;
    Ok(ExitCode::SUCCESS)
}

/// Exports the history.
pub(super) fn export(common: &Common, flags: &ExportFlags) -> anyhow::Result<ExitCode> {
    let (mut usages, scope) = read(common, &flags.period)?;
    usages.retain(|usage| scope.ports.is_empty() || scope.ports.contains(&usage.session.port));
    if flags.kind.json {
        let lines = usages.iter().map(serde_json::to_string).collect::<Result<Vec<String>, _>>()?;
        print_lines(&lines)?;
    } else {
        let document = cbom::cbom(&usages, Utc::now(), &scope.host);
        print_lines(&[serde_json::to_string_pretty(&document)?])?;
    }
    Ok(ExitCode::SUCCESS)
}
