//! `pagent saf`: what administrators ask beyond RACF's commands.

use std::fs::OpenOptions;
use std::io::IsTerminal as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::saf::{self, Inspection, Progress, Rejected};
use anyhow::{Context as _, anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{Common, print_lines, print_stderr};
use crate::client;
use crate::control::Query;

/// Where resources of these beginnings are looked for.
const CLASSES: [(&str, &str); 6] = [
    ("MVS.", "OPERCMDS"),
    ("EZA.", "SERVAUTH"),
    ("EZB.", "SERVAUTH"),
    ("IST.", "SERVAUTH"),
    ("IRR.", "FACILITY"),
    ("BPX.", "FACILITY"),
];

#[derive(Args)]
pub(super) struct SafFlags {
    /// JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    query: SafQuery,
}

#[derive(Subcommand)]
enum SafQuery {
    /// Lists who may use a resource, and by what
    WhoCan {
        resource: String,
        /// READ, UPDATE, CONTROL or ALTER
        #[arg(default_value = "READ")]
        level: String,
        /// The resource's class, where its name does not tell
        #[arg(long)]
        class: Option<String>,
    },
    /// Lists the profiles that give a user something
    WhatCan { userid: String },
    /// Says what would be decided, why, and what would change it
    Explain {
        userid: String,
        resource: String,
        /// READ, UPDATE, CONTROL or ALTER
        #[arg(default_value = "READ")]
        level: String,
        /// The resource's class, where its name does not tell
        #[arg(long)]
        class: Option<String>,
    },
    /// Runs a RACF command without changing anything, and says who would gain or lose what
    DryRun {
        /// The command, as at `tso`
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Looks for access that is wider than it should be, and for profiles that decide nothing
    Lint,
    /// Shows what SETROPTS RACLIST(…) REFRESH would change
    Pending,
    /// Encrypts the private keys in the database under a new envelope key
    RotateKey,
    /// Copies the SQLite database into a new file; the daemon may run
    Backup { file: PathBuf },
    /// Looks a database over: the installation's, or a copy
    Verify { file: Option<PathBuf> },
    /// Puts a copy in the place of the database, while no daemon runs
    Restore { file: PathBuf },
    /// Imports an IRRDBU00 unload, of text or in EBCDIC; what is in the database already stays as it is
    Import { file: PathBuf },
    /// Writes the database as an IRRDBU00 unload of text
    Export {
        /// The file [default: standard output]
        file: Option<PathBuf>,
    },
}

/// Asks the daemon, or works on the database's file. Exit code 1: `explain` refused, `lint`, `pending` or `verify` found
/// something.
pub(super) fn run(common: &Common, flags: SafFlags) -> anyhow::Result<ExitCode> {
    let configuration = common.configuration()?;
    let url = configuration.saf_url();
    let query = match flags.query {
        SafQuery::Backup { file } => {
            wait(saf::backup(&url, &file))?;
            print_lines(&[format!("{} is copied to {}", saf::shown_url(&url), file.display())])?;
            return Ok(ExitCode::SUCCESS);
        }
        SafQuery::Verify { file } => {
            let url = file.map_or(url, |file| format!("sqlite:{}", file.display()));
            return inspected(&url, &wait(saf::verify(&url))?, flags.json);
        }
        SafQuery::Restore { file } => {
            refuse_beside_daemon(&configuration.socket)?;
            return inspected(&url, &wait(saf::restore(&url, &file))?, flags.json);
        }
        SafQuery::Import { file } => {
            if url.starts_with("sqlite:") {
                refuse_beside_daemon(&configuration.socket)?;
            }
            return import(&url, &file);
        }
        SafQuery::Export { file } => return export(&url, file.as_deref()),
        query => self::query(query)?,
    };
    let answer = client::post(&configuration.socket, "/v1/saf", &query)?;
    if flags.json {
        print_lines(&[serde_json::to_string_pretty(&answer)?])?;
    } else {
        print_lines(&text(&query, &answer))?;
    }
    let found = match query {
        Query::Explain { .. } => field(&answer, "answer") != "permitted",
        Query::Lint | Query::Pending => answer.as_array().is_some_and(|found| !found.is_empty()),
        Query::DryRun { .. } | Query::RotateKey => return Ok(ExitCode::from(code(&answer))),
        _ => false,
    };
    Ok(ExitCode::from(u8::from(found)))
}

/// The code of a command that was tried.
fn code(answer: &Value) -> u8 {
    answer.pointer("/result/code").and_then(Value::as_u64).and_then(|code| u8::try_from(code).ok()).unwrap_or(8)
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn field(row: &Value, name: &str) -> String {
    row.get(name).map(word).unwrap_or_default()
}

fn element(row: &Value, at: usize) -> Option<&Value> {
    row.get(at)
}

/// The texts of an array somewhere in an answer.
fn texts(answer: &Value, pointer: &str) -> Vec<String> {
    answer.pointer(pointer).and_then(Value::as_array).into_iter().flatten().map(word).collect()
}

/// A daemon has an SQLite database for itself.
fn refuse_beside_daemon(socket: &Path) -> anyhow::Result<()> {
    if std::os::unix::net::UnixStream::connect(socket).is_ok() {
        bail!("a daemon runs: stop it first (`pagent stop`), or it goes on with the database as it knows it");
    }
    Ok(())
}

fn wait<T>(work: impl Future<Output = Result<T, saf::SafError>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(work)?)
}

/// Exit code 1: some records were rejected.
fn import(url: &str, file: &Path) -> anyhow::Result<ExitCode> {
    let terminal = std::io::stderr().is_terminal();
    let mut reject = |record: Rejected| {
        let Rejected { number, offset, kind, reason } = record;
        print_stderr(format_args!("{}:{number}: record {kind} at byte {offset}: {reason}\n", file.display()));
    };
    let mut shown = 0;
    let mut progress = |progress: Progress| {
        let percent = progress.done * 100 / progress.all.max(1);
        if terminal && percent > shown {
            shown = percent;
            print_stderr(format_args!("\r{percent} %\r"));
        }
    };
    let done = wait(saf::import(url, file, &mut reject, &mut progress))?;
    let mut lines: Vec<String> = done.records.iter().map(|(kind, count)| format!("{kind}: {count} imported")).collect();
    lines
        .extend(done.left_out.iter().map(|(kind, count)| format!("{kind}: {count} left out, they have no place here")));
    if done.connected > 0 {
        lines.push(format!(
            "{} users are connected to their default groups now, which no 0205 record did",
            done.connected
        ));
    }
    lines.push(format!("{} records rejected", done.rejected));
    lines.push("RACLISTed classes decide as before until SETROPTS RACLIST(…) REFRESH; `pagent saf pending` shows what would change".to_owned());
    print_lines(&lines)?;
    Ok(ExitCode::from(u8::from(done.rejected > 0)))
}

fn export(url: &str, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let records = match file {
        None => wait(saf::export(url, std::io::stdout().lock()))?,
        Some(path) => {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            let file = file.with_context(|| format!("{} cannot be made", path.display()))?;
            wait(saf::export(url, file))?
        }
    };
    print_stderr(format_args!("{records} records\n"));
    Ok(ExitCode::SUCCESS)
}

fn inspected(url: &str, inspection: &Inspection, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        print_lines(&[serde_json::to_string_pretty(inspection)?])?;
    } else if inspection.problems.is_empty() {
        let Inspection { users, groups, profiles, .. } = inspection;
        let url = saf::shown_url(url);
        print_lines(&[format!("{url} is whole: {users} users, {groups} groups, {profiles} profiles")])?;
    } else {
        print_lines(&inspection.problems)?;
    }
    Ok(ExitCode::from(u8::from(!inspection.problems.is_empty())))
}

fn query(query: SafQuery) -> anyhow::Result<Query> {
    Ok(match query {
        SafQuery::WhoCan { resource, level, class } => {
            Query::WhoCan { class: class_of(class, &resource)?, resource, access: level }
        }
        SafQuery::WhatCan { userid } => Query::WhatCan { userid },
        SafQuery::Explain { userid, resource, level, class } => {
            Query::Explain { userid, class: class_of(class, &resource)?, resource, access: level }
        }
        SafQuery::DryRun { command } if command.iter().all(|word| word.trim().is_empty()) => {
            bail!("a command is expected")
        }
        SafQuery::DryRun { command } => Query::DryRun { line: command.join(" ") },
        SafQuery::Lint => Query::Lint,
        SafQuery::Pending => Query::Pending,
        SafQuery::RotateKey => Query::RotateKey,
        _ => bail!("the daemon is not asked for this"),
    })
}

fn class_of(given: Option<String>, resource: &str) -> anyhow::Result<String> {
    let upper = resource.to_ascii_uppercase();
    let known = CLASSES.iter().find(|(begins, _)| upper.starts_with(begins)).map(|(_, class)| (*class).to_owned());
    given.or(known).ok_or_else(|| {
        anyhow!("the class of {resource} is not known by its name; say it with --class, for instance --class SERVAUTH")
    })
}

fn text(query: &Query, answer: &Value) -> Vec<String> {
    let rows = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    match query {
        Query::WhoCan { resource, access, .. } => {
            let title = format!("{resource} {access}:");
            let line =
                |row: &Value| format!("  {:12} {:8} {}", field(row, "userid"), field(row, "access"), field(row, "by"));
            list(title, rows.iter().map(line), "  nobody")
        }
        Query::WhatCan { userid } => {
            let line = |row: &Value| {
                let (class, profile) = (field(row, "class"), field(row, "profile"));
                format!("  {class:8} {profile:44} {:8} {}", field(row, "access"), field(row, "by"))
            };
            list(format!("{userid}:"), rows.iter().map(line), "  nothing")
        }
        Query::Explain { userid, class, resource, access } => {
            let mut lines = vec![
                format!("{userid} {access} {resource} CL({class}): {}", field(answer, "answer")),
                format!("  SAF/RACF/reason  {}", field(answer, "codes")),
                format!("  profile          {}", answer.get("profile").and_then(Value::as_str).unwrap_or("none")),
                format!("  access allowed   {}", field(answer, "held")),
                format!("  because          {}", field(answer, "reason")),
            ];
            lines.extend(texts(answer, "/change").iter().map(|line| format!("  to change it     {line}")));
            lines.extend(texts(answer, "/passed_over").iter().map(|line| format!("  not asked        {line}")));
            lines
        }
        Query::RotateKey => texts(answer, "/result/lines"),
        Query::DryRun { .. } => {
            let mut lines = texts(answer, "/result/lines");
            if code(answer) < 8 {
                let effects = answer.get("effects").and_then(Value::as_array).into_iter().flatten();
                let line = |row: &Value| {
                    let (user, class, profile) = (field(row, "userid"), field(row, "class"), field(row, "profile"));
                    format!("  {user:8} {class:8} {profile:44} {} -> {}", field(row, "before"), field(row, "after"))
                };
                lines.extend(list(
                    "nothing was changed; with the refreshes it would be:".to_owned(),
                    effects.map(line),
                    "  as it is: nobody gains or loses anything",
                ));
            }
            lines
        }
        Query::Lint => {
            let line = |row: &Value| {
                let mend = row.get("mend").and_then(Value::as_str).map(|mend| format!("; {mend}")).unwrap_or_default();
                format!("{:11} {}{mend}", field(row, "rule"), field(row, "text"))
            };
            if rows.is_empty() { vec!["nothing to complain of".to_owned()] } else { rows.iter().map(line).collect() }
        }
        Query::Pending => {
            let mut lines = Vec::new();
            for row in rows {
                let class = element(row, 0).map(word).unwrap_or_default();
                let refresh = if class == "GLOBAL" {
                    "SETROPTS GLOBAL(…) REFRESH"
                } else {
                    &format!("SETROPTS RACLIST({class}) REFRESH")
                };
                lines.push(format!("{refresh} would change:"));
                lines.extend(
                    element(row, 1)
                        .and_then(Value::as_array)
                        .into_iter()
                        .flatten()
                        .map(|line| format!("  {}", word(line))),
                );
            }
            if lines.is_empty() {
                vec!["nothing is pending: what decides is what the database has".to_owned()]
            } else {
                lines
            }
        }
    }
}

fn list(title: String, lines: impl Iterator<Item = String>, none: &str) -> Vec<String> {
    let mut all = vec![title];
    all.extend(lines);
    if all.len() == 1 {
        all.push(none.to_owned());
    }
    all
}
