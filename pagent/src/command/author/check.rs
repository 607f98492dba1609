//! `pagent check`: every problem of every file.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use policies::{Diagnostic, Severity, diagnostic};

use super::{BROKEN, PolicyFlags, now_seconds};
use crate::command::{Common, print_lines};
use crate::policy_files;

/// `pagent check`.
#[derive(Args)]
pub(crate) struct CheckFlags {
    /// Main configuration files or policy files; each is checked by itself, with the files it names (`-`: standard input)
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Exit with 1 when there are warnings
    #[arg(long)]
    strict: bool,
    /// JSON instead of text
    #[arg(long, conflicts_with = "sarif")]
    json: bool,
    /// A SARIF 2.1.0 log instead of text
    #[arg(long)]
    sarif: bool,
    /// Leave notes (PAG03xx) out
    #[arg(long)]
    no_notes: bool,
    #[command(flatten)]
    policy: PolicyFlags,
}

pub(crate) fn check(common: &Common, flags: &CheckFlags) -> anyhow::Result<ExitCode> {
    let configuration = common.configuration()?;
    let mut all: Vec<Diagnostic> = Vec::new();
    let mut counts = Vec::new();
    for file in &flags.files {
        let image = flags.policy.image.as_deref();
        let loaded = policy_files::load(std::slice::from_ref(file), &configuration, image, Some(now_seconds()));
        let wanted = |found: &Diagnostic| !(flags.no_notes && found.severity() == Severity::Note);
        if !loaded.documents.is_empty() {
            let (ttls, zert) = (loaded.policy.ttls.len(), loaded.policy.zert.len());
            counts.push(format!("{}: {ttls} TTLS rules, {zert} zERT rules", file.display()));
        }
        all.extend(loaded.diagnostics.into_iter().filter(wanted));
    }
    let count = |severity| all.iter().filter(|found| found.severity() == severity).count();
    let (errors, warnings, notes) = (count(Severity::Error), count(Severity::Warning), count(Severity::Note));
    if flags.json {
        let reports: Vec<_> = all.iter().map(Diagnostic::report).collect();
        print_lines(&[serde_json::to_string_pretty(&reports)?])?;
    } else if flags.sarif {
        print_lines(&[serde_json::to_string_pretty(&diagnostic::sarif(&all))?])?;
    } else {
        std::io::stderr().write_all(diagnostic::render(&all).as_bytes())?;
        print_lines(&counts)?;
        if !all.is_empty() {
            eprintln!("{}", summary(errors, warnings, notes));
        }
    }
    Ok(ExitCode::from(match (errors, warnings) {
        (0, 0) => 0,
        (0, _) => u8::from(flags.strict),
        _ => BROKEN,
    }))
}

fn summary(errors: usize, warnings: usize, notes: usize) -> String {
    let counted = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    [counted(errors, "error"), counted(warnings, "warning"), counted(notes, "note")].join(", ")
}
