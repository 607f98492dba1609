//! `pagent fmt`: the canonical layout.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use policies::format::{self, FormatError};
use policies::{Diagnostic, Severity, diagnostic};
use serde_json::json;

use super::BROKEN;
use crate::command::{print_lines, print_stderr, print_text};
use crate::policy_files;

/// `pagent fmt`.
#[derive(Args)]
pub(crate) struct FormatFlags {
    /// Policy or configuration files (`-`: standard input)
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write the files back instead of printing
    #[arg(long, short, conflicts_with = "check")]
    write: bool,
    /// Print nothing; exit with 1 when a file is not in the canonical layout
    #[arg(long)]
    check: bool,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

pub(crate) fn format(flags: &FormatFlags) -> anyhow::Result<ExitCode> {
    policy_files::standard_input_once(&flags.files)?;
    let mut code = 0;
    let mut reports = Vec::new();
    for file in &flags.files {
        let source = match policy_files::read(file) {
            Ok(source) => source,
            Err(error) => {
                print_stderr(format_args!("{} cannot be read: {error}\n", file.display()));
                code = BROKEN;
                continue;
            }
        };
        let text = match format::format(&source) {
            Ok(text) => text,
            Err(error) => {
                if let FormatError::Broken(diagnostics) = &error {
                    let errors: Vec<Diagnostic> =
                        diagnostics.iter().filter(|found| found.severity() == Severity::Error).cloned().collect();
                    print_stderr(diagnostic::render(&errors));
                }
                print_stderr(format_args!("{}: {error}\n", file.display()));
                code = BROKEN;
                continue;
            }
        };
        // Line ends, byte order marks and stray Latin-1 are layout too.
        let changed = match file.as_path() == Path::new("-") {
            true => text != source.text,
            false => std::fs::read(file).map_or(true, |bytes| bytes != text.as_bytes()),
        };
        if flags.json {
            reports.push(json!({ "file": source.name, "changed": changed, "text": text }));
        }
        if flags.check {
            if changed {
                print_stderr(format_args!("{}: not in the canonical layout\n", file.display()));
                code = code.max(1);
            }
        } else if flags.write && changed {
            replace(file, &text).with_context(|| format!("{} cannot be written", file.display()))?;
        } else if !flags.write && !flags.json {
            print_text(&text)?;
        }
    }
    if flags.json {
        print_lines(&[serde_json::to_string_pretty(&reports)?])?;
    }
    Ok(ExitCode::from(code))
}

/// Writes beside the file and renames: a full disk or a crash leaves the old text.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    if path == Path::new("-") {
        bail!("the standard input cannot be written to");
    }
    let path = path.canonicalize()?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    let metadata = std::fs::metadata(&path)?;
    file.as_file().set_permissions(metadata.permissions())?;
    // Root formats other people's files; they stay theirs.
    std::os::unix::fs::fchown(file.as_file(), Some(metadata.uid()), Some(metadata.gid()))?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}
