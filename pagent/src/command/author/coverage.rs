//! `pagent coverage`: the rule that each connection of a list falls to.

use std::path::PathBuf;
use std::process::ExitCode;

use chrono::{DateTime, FixedOffset, Local};
use clap::Args;
use policies::coverage::{self, Covered, Protection};
use serde_json::json;

use super::{BROKEN, PolicyFlags, load, read_time};
use crate::command::{Common, print_lines, print_stderr};
use crate::policy_files;

/// `pagent coverage`.
#[derive(Args)]
pub(crate) struct CoverageFlags {
    /// Main configuration files or policy files, read together as one policy
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Connections: `ss -tan` or `ss -tanp` output, or CSV with a header (local,remote,direction,job,user); `-` is the
    /// standard input
    #[arg(long, value_name = "LIST")]
    connections: PathBuf,
    /// Exit with 1 when a connection is not wrapped in TLS
    #[arg(long)]
    strict: bool,
    /// When [default: now]
    #[arg(long, value_parser = read_time)]
    at: Option<DateTime<FixedOffset>>,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    policy: PolicyFlags,
}

pub(crate) fn coverage(common: &Common, flags: &CoverageFlags) -> anyhow::Result<ExitCode> {
    policy_files::standard_input_once(flags.files.iter().chain([&flags.connections]))?;
    let Some(loaded) = load(common, &flags.files, &flags.policy)? else { return Ok(ExitCode::from(BROKEN)) };
    let list = match policy_files::read(&flags.connections) {
        Ok(list) => list,
        Err(error) => {
            print_stderr(format_args!("{} cannot be read: {error}\n", flags.connections.display()));
            return Ok(ExitCode::from(BROKEN));
        }
    };
    let connections = match coverage::read(&list.text) {
        Ok(list) => {
            if list.assumed > 0 {
                print_stderr(format_args!(
                    "{} of {} connections are taken as outbound, the list does not tell who opened them: `ss -tan` shows \
                     listeners, CSV can have a column `direction`\n",
                    list.assumed,
                    list.connections.len()
                ));
            }
            list.connections
        }
        Err(errors) => {
            for error in errors {
                print_stderr(format_args!("{}: {error}\n", list.name));
            }
            return Ok(ExitCode::from(BROKEN));
        }
    };
    let at = flags.at.unwrap_or_else(|| Local::now().fixed_offset());
    let covered = coverage::coverage(&loaded.policy, &connections, at);
    let count = |protection: Protection| covered.iter().filter(|one| one.protection == protection).count();
    let (tls, off) = (count(Protection::Tls), count(Protection::OffByRule));
    let (none, unknown) = (count(Protection::NoRule), count(Protection::OwnerUnknown));
    if flags.json {
        let totals = json!({ "tls": tls, "off-by-rule": off, "no-rule": none, "owner-unknown": unknown });
        print_lines(&[serde_json::to_string_pretty(&json!({ "connections": covered, "totals": totals }))?])?;
    } else {
        let mut lines: Vec<String> = covered.iter().map(covered_line).collect();
        lines.push(format!(
            "{} connections: {tls} TLS, {off} clear by a rule, {none} clear without a rule, {unknown} depend on the owner",
            covered.len()
        ));
        print_lines(&lines)?;
    }
    Ok(ExitCode::from(u8::from(flags.strict && tls < covered.len())))
}

fn covered_line(covered: &Covered) -> String {
    let rule = covered.rule.as_deref().unwrap_or("-");
    format!(
        "{:8} {:24} {:24} {:32} {}",
        covered.direction.to_string(),
        covered.local.to_string(),
        covered.remote.to_string(),
        rule,
        covered.protection
    )
}
