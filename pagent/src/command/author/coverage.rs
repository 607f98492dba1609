//! `pagent coverage`: the rule that each connection of a list falls to.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use chrono::{DateTime, FixedOffset, Local};
use clap::Args;
use policies::coverage::{self, Covered, Protection};
use serde_json::json;

use super::{BROKEN, PolicyFlags, load, read_time};
use crate::command::{Common, print_lines};
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
    let Some(loaded) = load(common, &flags.files, &flags.policy)? else { return Ok(ExitCode::from(BROKEN)) };
    let list = policy_files::read(&flags.connections)
        .with_context(|| format!("{} cannot be read", flags.connections.display()))?;
    let connections = match coverage::read(&list.text) {
        Ok(list) => {
            if list.assumed {
                eprintln!(
                    "the list tells no directions (`ss -tan` shows listeners, CSV can have a column `direction`): every \
                     connection is taken as outbound"
                );
            }
            list.connections
        }
        Err(error) => {
            eprintln!("{}: {error}", list.name);
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
