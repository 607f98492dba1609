//! Diagnostics as text, as JSON and as SARIF.

use std::fmt::{self, Write as _};

use serde::Serialize;
use serde_json::{Value as Json, json};

use super::{CODES, Diagnostic, Severity};
use crate::source::Origin;
use crate::table;

/// Characters of a line or message that are shown.
const LONGEST_LINE: usize = 300;

/// A diagnostic as `--json` prints it. Lines and columns count from 1, columns in characters.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the documentation")]
pub struct Report<'a> {
    pub code: &'static str,
    pub severity: Severity,
    pub file: &'a str,
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
    pub message: String,
    pub excerpt: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<NoteReport<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement: Option<&'a str>,
}

/// A note of a diagnostic.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the documentation")]
pub struct NoteReport<'a> {
    pub message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

impl Diagnostic {
    /// The machine-readable form.
    #[must_use]
    pub fn report(&self) -> Report<'_> {
        let source = &self.origin.source;
        let (line, column) = source.position(self.origin.span.start);
        let (end_line, end_column) = source.position(self.origin.span.end);
        Report {
            code: self.problem.code(),
            severity: self.severity(),
            file: &source.name,
            line,
            column,
            end_line,
            end_column,
            message: clipped(self.problem.to_string()),
            excerpt: excerpt(source.line(line)),
            notes: self
                .notes
                .iter()
                .map(|note| NoteReport {
                    message: &note.text,
                    file: note.origin.as_ref().map(|origin| origin.source.name.as_str()),
                    line: note.origin.as_ref().map(Origin::line),
                })
                .collect(),
            help: self.help.as_deref(),
            replacement: self.fix.as_ref().map(|fix| fix.text.as_str()),
        }
    }
}

/// Message, place, the line with a caret under the place, notes, help.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        let source = &self.origin.source;
        let span = self.origin.span;
        let (line, column) = source.position(span.start);
        let text = excerpt(source.line(line));
        let marked = source.text.get(span.start..span.end).unwrap_or_default();
        let width = marked.lines().next().unwrap_or_default().chars().count().clamp(1, LONGEST_LINE);
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "{severity}[{}]: {}", self.problem.code(), clipped(self.problem.to_string()))?;
        write!(f, "{margin}--> {}:{line}:{column}", clipped(source.name.clone()))?;
        // A file that could not be read has no line to show.
        if !source.text.is_empty() {
            write!(f, "\n{margin} |\n{number} | {text}\n")?;
            if column <= LONGEST_LINE {
                write!(f, "{margin} | {}{}", " ".repeat(column - 1), "^".repeat(width.min(LONGEST_LINE + 1 - column)))?;
            } else {
                write!(f, "{margin} | (column {column})")?;
            }
        }
        for note in &self.notes {
            let place = note.origin.as_ref().map(|origin| format!(" ({})", origin.short())).unwrap_or_default();
            write!(f, "\n{margin} = note: {}{place}", note.text)?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n{margin} = help: {help}")?;
        }
        Ok(())
    }
}

/// A line of a policy as reports show it: without a password.
fn excerpt(line: &str) -> String {
    let secret = line.split_whitespace().next().and_then(|keyword| table::parameter_of_any_case(keyword));
    match secret
        .filter(|row| row.secret)
        .and_then(|row| line.to_ascii_lowercase().find(&row.name.to_ascii_lowercase()).map(|at| at + row.name.len()))
    {
        Some(end) => clipped(format!("{} ********", line.get(..end).unwrap_or_default())),
        None => clipped(line.to_owned()),
    }
}

/// A text cut to what fits a report. Control characters do not reach the terminal.
fn clipped(text: String) -> String {
    let text = if text.contains(char::is_control) {
        text.chars()
            .map(|c| {
                if c == '\t' {
                    ' '
                } else if c.is_control() {
                    '\u{fffd}'
                } else {
                    c
                }
            })
            .collect()
    } else {
        text
    };
    match text.char_indices().nth(LONGEST_LINE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// All diagnostics as text, errors first, blank lines between them.
#[must_use]
pub fn render(diagnostics: &[Diagnostic]) -> String {
    let mut sorted: Vec<&Diagnostic> = diagnostics.iter().collect();
    sorted.sort_by_key(|diagnostic| std::cmp::Reverse(diagnostic.severity()));
    let mut text = String::new();
    for diagnostic in sorted {
        let _ = writeln!(text, "{diagnostic}\n");
    }
    text
}

/// All diagnostics as a SARIF 2.1.0 log (OASIS), as code-review tools read it.
#[must_use]
pub fn sarif(diagnostics: &[Diagnostic]) -> Json {
    let region = |origin: &Origin| {
        let (line, column) = origin.source.position(origin.span.start);
        let (end_line, end_column) = origin.source.position(origin.span.end);
        json!({
            "physicalLocation": {
                "artifactLocation": { "uri": uri(&origin.source.name) },
                "region": { "startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column },
            }
        })
    };
    let results: Vec<Json> = diagnostics
        .iter()
        .map(|diagnostic| {
            let report = diagnostic.report();
            let mut text = report.message;
            if let Some(help) = &diagnostic.help {
                let _ = write!(text, " ({help})");
            }
            let related: Vec<Json> = diagnostic
                .notes
                .iter()
                .filter_map(|note| {
                    let place = region(note.origin.as_ref()?);
                    let physical = place.get("physicalLocation").cloned();
                    Some(json!({ "physicalLocation": physical, "message": { "text": note.text } }))
                })
                .collect();
            json!({
                "ruleId": report.code,
                "ruleIndex": CODES.iter().position(|(code, _)| *code == report.code),
                "level": report.severity,
                "message": { "text": text },
                "locations": [region(&diagnostic.origin)],
                "relatedLocations": related,
            })
        })
        .collect();
    let rules: Vec<Json> =
        CODES.iter().map(|(code, title)| json!({ "id": code, "shortDescription": { "text": title } })).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "pagent", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// A path as a relative reference: what a URI reserves is escaped.
fn uri(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/()'!$&+,;=@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}
