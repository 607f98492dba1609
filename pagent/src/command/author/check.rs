//! `pagent check`: every problem of every file.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use policies::{Diagnostic, Severity, diagnostic};

use super::{BROKEN, PolicyFlags, now_seconds};
use crate::command::{Common, print_lines, print_stderr};
use crate::policy_files::{self, HostRings};

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
    policy_files::standard_input_once(&flags.files)?;
    let configuration = common.configuration()?;
    let mut all: Vec<Diagnostic> = Vec::new();
    let mut counts = Vec::new();
    let rings = HostRings::open(&configuration)?;
    for file in &flags.files {
        let rings = (rings.as_dyn(), now_seconds());
        let loaded = match flags.policy.image.as_deref() {
            Some(image) => {
                vec![policy_files::load(std::slice::from_ref(file), &configuration, Some(image), Some(rings))]
            }
            None => policy_files::load_stacks(file, &configuration, rings),
        };
        let several = loaded.len() > 1;
        // What several stacks have in common is told once.
        let mut told = HashSet::new();
        for loaded in loaded {
            if !loaded.documents.is_empty() {
                let image = loaded.image.as_deref().filter(|_| several).map(|image| format!(" for {image}"));
                let rules = |count: usize, kind: &str| counted(count, &format!("{kind} rule"));
                let (ttls, zert) = (rules(loaded.policy.ttls.len(), "TTLS"), rules(loaded.policy.zert.len(), "zERT"));
                counts.push(format!("{}{}: {ttls}, {zert}", file.display(), image.unwrap_or_default()));
            }
            let wanted = |found: &Diagnostic| !(flags.no_notes && found.severity() == Severity::Note);
            let new = loaded.diagnostics.into_iter().filter(wanted).filter(|found| told.insert(found.to_string()));
            all.extend(new);
        }
    }
    let count = |severity| all.iter().filter(|found| found.severity() == severity).count();
    let (errors, warnings, notes) = (count(Severity::Error), count(Severity::Warning), count(Severity::Note));
    if flags.json {
        let reports: Vec<_> = all.iter().map(Diagnostic::report).collect();
        print_lines(&[serde_json::to_string_pretty(&reports)?])?;
    } else if flags.sarif {
        print_lines(&[serde_json::to_string_pretty(&diagnostic::sarif(&all))?])?;
    } else {
        print_stderr(diagnostic::render(&all));
        print_lines(&counts)?;
        if !all.is_empty() {
            print_stderr(format_args!("{}\n", summary(errors, warnings, notes)));
        }
    }
    Ok(ExitCode::from(match (errors, warnings) {
        (0, 0) => 0,
        (0, _) => u8::from(flags.strict),
        _ => BROKEN,
    }))
}

fn counted(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

fn summary(errors: usize, warnings: usize, notes: usize) -> String {
    [counted(errors, "error"), counted(warnings, "warning"), counted(notes, "note")].join(", ")
}
