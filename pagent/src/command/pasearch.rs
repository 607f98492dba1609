//! `pasearch`: the installed policy.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Parser;

use super::{Common, finish, print_lines};
use crate::client;
use crate::policy_files;
use crate::report::RuleView;

/// Displays the installed policy.
#[derive(Parser)]
#[command(name = "pasearch", version)]
struct Flags {
    #[command(flatten)]
    common: Common,
    /// The policy type (TTLS); IBM's `-p image` is accepted for this stack's name
    #[arg(short = 'p', value_name = "TYPE|IMAGE")]
    selector: Option<String>,
    /// AT-TLS policy (the default)
    #[arg(short = 't')]
    ttls: bool,
    /// Only the rule or action with this name
    #[arg(short = 'f', value_name = "NAME")]
    filter: Option<String>,
    /// JSON instead of the report
    #[arg(long)]
    json: bool,
    /// Read this policy file instead of asking the daemon
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    finish(run(&Flags::parse()))
}

fn run(flags: &Flags) -> anyhow::Result<ExitCode> {
    let configuration = flags.common.configuration()?;
    if let Some(selector) = &flags.selector
        && !selector.eq_ignore_ascii_case("TTLS")
        && !selector.eq_ignore_ascii_case(&configuration.image)
    {
        bail!("`{selector}` is neither TTLS nor this stack's name, {}", configuration.image);
    }
    let rules: Vec<RuleView> = match &flags.policy {
        Some(path) => {
            let loaded = policy_files::load(path, &configuration.image)?;
            if loaded.has_errors() {
                bail!("{}", policies::diagnostic::render(&loaded.diagnostics));
            }
            loaded.policy.ttls.iter().map(|rule| RuleView::of(rule)).collect()
        }
        None => serde_json::from_value(client::get(&configuration.socket, "/v1/policy/ttls")?)?,
    };
    let wanted: Vec<&RuleView> =
        rules.iter().filter(|rule| flags.filter.as_deref().is_none_or(|name| rule.is_named(name))).collect();
    if flags.json {
        print_lines(&[serde_json::to_string_pretty(&wanted)?])?;
        return Ok(ExitCode::SUCCESS);
    }
    if wanted.is_empty() {
        print_lines(&["No TTLS policies retrieved".to_owned()])?;
    }
    for (index, rule) in wanted.iter().enumerate() {
        if index > 0 {
            print_lines(&[String::new()])?;
        }
        print_lines(&rule.lines())?;
    }
    Ok(ExitCode::SUCCESS)
}
