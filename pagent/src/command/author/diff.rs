//! `pagent diff`: the connections that a new policy treats otherwise.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use policies::diff::{self, Change, Side};

use super::{BROKEN, PolicyFlags, load};
use crate::command::{Common, print_lines};
use crate::policy_files;

/// `pagent diff`.
#[derive(Args)]
pub(crate) struct DiffFlags {
    /// The policy before: a main configuration file or a policy file
    old: PathBuf,
    /// The policy after
    new: PathBuf,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    policy: PolicyFlags,
}

pub(crate) fn diff(common: &Common, flags: &DiffFlags) -> anyhow::Result<ExitCode> {
    policy_files::standard_input_once([&flags.old, &flags.new])?;
    let mut policies = Vec::new();
    for file in [&flags.old, &flags.new] {
        policies.extend(load(common, std::slice::from_ref(file), &flags.policy)?);
    }
    let [old, new] = policies.as_slice() else { return Ok(ExitCode::from(BROKEN)) };
    let changes = diff::diff(&old.policy, &new.policy);
    if flags.json {
        print_lines(&[serde_json::to_string_pretty(&changes)?])?;
    } else if changes.is_empty() {
        print_lines(&["no connection is treated otherwise".to_owned()])?;
    } else {
        print_lines(&changes.iter().flat_map(change_lines).collect::<Vec<_>>())?;
    }
    Ok(ExitCode::from(u8::from(!changes.is_empty())))
}

fn change_lines(change: &Change) -> Vec<String> {
    let side = |side: &Side| match &side.rule {
        Some(rule) => format!("{} by rule {rule}", side.treatment),
        None => side.treatment.clone(),
    };
    let inexact = if change.exact { "" } else { " (or some of them)" };
    let mut lines = vec![
        format!("{}: {}{inexact}", change.policy_type, change.connections),
        format!("  - {}", side(&change.old)),
        format!("  + {}", side(&change.new)),
    ];
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
    let parameters = change.parameters.iter();
    lines.extend(parameters.map(|one| format!("    {}: {} -> {}", one.name, value(&one.old), value(&one.new))));
    lines
}
