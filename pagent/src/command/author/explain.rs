//! `pagent explain`: what happens to a connection, and why.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use chrono::{DateTime, FixedOffset, Local};
use clap::{Args, ValueEnum};
use policies::explain::{self, Explanation};
use policies::{Connection, Direction};

use super::{BROKEN, PolicyFlags, load, read_time};
use crate::client;
use crate::command::{Common, print_lines};
use crate::control::ExplainRequest;
use crate::policy_files;

/// Values longer than this have a line for each member.
const LONG: usize = 48;

/// `pagent explain`.
#[derive(Args)]
pub(crate) struct ExplainFlags {
    /// Main configuration files or policy files, read together as one policy
    #[arg(required_unless_present = "running", conflicts_with = "running")]
    files: Vec<PathBuf>,
    /// This host's end
    #[arg(long, value_name = "ADDRESS:PORT")]
    local: SocketAddr,
    /// The peer's end
    #[arg(long, value_name = "ADDRESS:PORT")]
    remote: SocketAddr,
    /// Who opens the connection, seen from this host
    #[arg(long, ignore_case = true)]
    direction: DirectionFlag,
    /// The job that owns the local socket
    #[arg(long)]
    job: Option<String>,
    /// The user that owns the local socket
    #[arg(long)]
    user: Option<String>,
    /// When: `2026-05-01 14:00` by this machine's clock, or with an offset `2026-05-01T14:00:00+02:00` [default: now]
    #[arg(long, value_parser = read_time)]
    at: Option<DateTime<FixedOffset>>,
    /// Ask the daemon about the installed policy
    #[arg(long)]
    running: bool,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    policy: PolicyFlags,
}

#[derive(Clone, Copy, ValueEnum)]
enum DirectionFlag {
    #[value(alias = "inbound")]
    In,
    #[value(alias = "outbound")]
    Out,
}

pub(crate) fn explain(common: &Common, flags: &ExplainFlags) -> anyhow::Result<ExitCode> {
    policy_files::standard_input_once(&flags.files)?;
    let configuration = common.configuration()?;
    let direction = match flags.direction {
        DirectionFlag::In => Direction::Inbound,
        DirectionFlag::Out => Direction::Outbound,
    };
    let connection = Connection {
        local: flags.local,
        remote: flags.remote,
        direction,
        jobname: flags.job.clone(),
        userid: flags.user.clone(),
    };
    if let Some(fault) = connection.fault() {
        bail!(fault);
    }
    let at = flags.at.unwrap_or_else(|| Local::now().fixed_offset());
    let found: Explanation = if flags.running {
        let request = ExplainRequest { connection, at: flags.at };
        serde_json::from_value(client::post(&configuration.socket, "/v1/explain", &request)?)?
    } else {
        let Some(loaded) = load(common, &flags.files, &flags.policy)? else { return Ok(ExitCode::from(BROKEN)) };
        explain::explain(&loaded.policy, &connection, at)
    };
    if flags.json {
        print_lines(&[serde_json::to_string_pretty(&found)?])?;
    } else {
        print_lines(&explanation(&found))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn explanation(found: &Explanation) -> Vec<String> {
    let mut lines = vec![
        format!("connection  {}", found.connection),
        format!("at          {}", found.at),
        format!("verdict     {}", found.verdict),
    ];
    let rule = |label: &str, rule: &explain::RuleView| {
        format!("{label:11} {} ({}, priority {}): {}", rule.name, rule.origin, rule.priority, rule.conditions)
    };
    lines.extend(found.rule.iter().map(|found| rule("rule", found)));
    lines.extend(found.zert.iter().map(|found| rule("zERT rule", found)));
    if !found.parameters.is_empty() {
        lines.push(String::new());
        let width = found.parameters.iter().map(|parameter| parameter.name.len()).max().unwrap_or(0);
        let short = |value: &str| value.chars().count().min(LONG);
        let value_width = found.parameters.iter().map(|parameter| short(&parameter.value)).max().unwrap_or(0);
        for parameter in &found.parameters {
            let instead =
                parameter.instead.as_ref().map(|reason| format!(" (not as coded: {reason})")).unwrap_or_default();
            // A list that is too long for its column has a line for each member.
            let members: Vec<&str> = match parameter.value.chars().count() > LONG {
                true => parameter.value.split(", ").collect(),
                false => vec![&parameter.value],
            };
            for (at, member) in members.iter().enumerate() {
                let (name, origin) =
                    if at == 0 { (parameter.name.as_str(), parameter.origin.as_str()) } else { ("", "") };
                let line =
                    format!("  {name:width$}  {member:value_width$}  {origin}{}", if at == 0 { &instead } else { "" });
                lines.push(line.trim_end().to_owned());
            }
        }
    }
    if !found.near.is_empty() {
        lines.push(String::new());
        lines.push("rules that nearly decided:".to_owned());
        for near in &found.near {
            let place = near.coded.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
            let why = match &near.failed {
                Some(failed) => format!("{failed}{place}"),
                None => "it matches too, and is searched later".to_owned(),
            };
            lines.push(format!("  {} ({}): {why}", near.rule.name, near.rule.origin));
        }
        if found.more_near > 0 {
            lines.push(format!("  and {} more", found.more_near));
        }
    }
    lines
}
