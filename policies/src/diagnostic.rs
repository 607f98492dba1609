//! What is wrong with a policy, and where: code, severity, place, message, help. Rendering stands apart from finding.

use std::fmt::{self, Write as _};

use serde::Serialize;
use thiserror::Error;

use crate::source::Origin;

/// Characters of a line or message that are shown.
const LONGEST_LINE: usize = 300;
/// Words longer than this resemble nothing.
const LONGEST_WORD: usize = 64;

/// How bad it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The policy can be installed; something in it deserves a look.
    Warning,
    /// Nothing is installed while this stands.
    Error,
}

/// A finding. [`Problem::code`] is its key in `docs/messages.md`.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum Problem {
    #[error("{found} stands where a statement was expected")]
    Syntax { found: String },
    #[error("no `{{` is open here")]
    UnopenedBrace,
    #[error("the `{{` of {statement} is never closed")]
    UnclosedBrace { statement: &'static str },
    #[error("`{{` must follow the line that names a statement")]
    StrayBrace,
    #[error("unknown statement `{keyword}`")]
    UnknownStatement { keyword: String },
    #[error("{statement} has no parameter `{keyword}`")]
    UnknownParameter { statement: &'static str, keyword: String },
    #[error("{statement} needs a name")]
    MissingName { statement: &'static str },
    #[error("the name `{name}` has {length} characters; at most 32 are allowed")]
    NameTooLong { name: String, length: usize },
    #[error("{parameter} needs a value: {expected}")]
    MissingValue { parameter: &'static str, expected: String },
    #[error("`{value}` is not a value of {parameter}: expected {expected}")]
    InvalidValue { parameter: &'static str, value: String, expected: String },
    #[error("{statement} `{name}` needs {parameter}")]
    MissingParameter { statement: &'static str, name: String, parameter: &'static str },
    #[error("no {statement} is named `{name}`")]
    UnknownReference { statement: &'static str, name: String },
    #[error("{statement} `{name}` is defined twice; the first is at {first}")]
    DuplicateStatement { statement: &'static str, name: String, first: String },
    #[error("{parameter} {value} cannot be honoured here: {reason}")]
    Refused { parameter: &'static str, value: String, reason: &'static str },
    #[error("rule `{rule}` is left without a usable TLS version and cipher suite: {reason}")]
    NothingUsable { rule: String, reason: String },
    #[error("{statement} nests deeper than {limit} blocks")]
    TooDeep { statement: &'static str, limit: usize },
    #[error("{parameter} {value} has no effect here: {reason}")]
    NoEffect { parameter: &'static str, value: String, reason: &'static str },
    #[error("the text after the value of {parameter} is ignored: `{text}`")]
    TextIgnored { parameter: &'static str, text: String },
    #[error("cipher suites of rule `{rule}` that are never negotiated here: {suites}")]
    SuitesNotOffered { rule: String, suites: String },
    #[error("groups of rule `{rule}` that are never negotiated here: {groups}")]
    GroupsNotOffered { rule: String, groups: String },
    #[error("rule `{rule}` accepts every certificate that chains to its key ring: no HostReferenceIdDNS is coded")]
    NoHostCheck { rule: String },
    #[error("`{value}` is read as the address {address}")]
    OddAddress { value: String, address: String },
    #[error("nothing refers to {statement} `{name}`")]
    Unused { statement: &'static str, name: String },
}

impl Problem {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "PAG0101",
            Self::UnopenedBrace => "PAG0102",
            Self::UnclosedBrace { .. } => "PAG0103",
            Self::StrayBrace => "PAG0104",
            Self::UnknownStatement { .. } => "PAG0105",
            Self::UnknownParameter { .. } => "PAG0106",
            Self::MissingName { .. } => "PAG0107",
            Self::NameTooLong { .. } => "PAG0108",
            Self::MissingValue { .. } => "PAG0109",
            Self::InvalidValue { .. } => "PAG0110",
            Self::MissingParameter { .. } => "PAG0111",
            Self::UnknownReference { .. } => "PAG0112",
            Self::DuplicateStatement { .. } => "PAG0113",
            Self::Refused { .. } => "PAG0114",
            Self::NothingUsable { .. } => "PAG0115",
            Self::TooDeep { .. } => "PAG0116",
            Self::NoEffect { .. } => "PAG0201",
            Self::TextIgnored { .. } => "PAG0202",
            Self::SuitesNotOffered { .. } => "PAG0203",
            Self::GroupsNotOffered { .. } => "PAG0204",
            Self::NoHostCheck { .. } => "PAG0205",
            Self::OddAddress { .. } => "PAG0206",
            Self::Unused { .. } => "PAG0207",
        }
    }

    /// Codes PAG01xx are errors, PAG02xx warnings.
    #[must_use]
    pub fn severity(&self) -> Severity {
        if self.code().starts_with("PAG01") { Severity::Error } else { Severity::Warning }
    }
}

/// A problem at a place, with what to do about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    /// What.
    pub problem: Problem,
    /// Where.
    pub origin: Origin,
    /// What to do, when there is something definite to say.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A diagnostic without help.
    #[must_use]
    pub fn new(problem: Problem, origin: Origin) -> Self {
        Self { problem, origin, help: None }
    }

    /// The same with help.
    #[must_use]
    pub fn help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    /// Error or warning.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.problem.severity()
    }

    /// The machine-readable form.
    #[must_use]
    pub fn report(&self) -> Report<'_> {
        let (line, column) = self.origin.source.position(self.origin.span.start);
        Report {
            code: self.problem.code(),
            severity: self.severity(),
            file: &self.origin.source.name,
            line,
            column,
            message: clipped(self.problem.to_string()),
            help: self.help.as_deref(),
        }
    }
}

/// A diagnostic as `--json` prints it.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the documentation")]
pub struct Report<'a> {
    pub code: &'static str,
    pub severity: Severity,
    pub file: &'a str,
    pub line: usize,
    pub column: usize,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<&'a str>,
}

/// Message, place, the line with a caret under the place, help.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let source = &self.origin.source;
        let span = self.origin.span;
        let (line, column) = source.position(span.start);
        let text = clipped(source.line(line).replace('\t', " "));
        let marked = source.text.get(span.start..span.end).unwrap_or_default();
        let width = marked.lines().next().unwrap_or_default().chars().count().clamp(1, LONGEST_LINE);
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "{severity}[{}]: {}", self.problem.code(), clipped(self.problem.to_string()))?;
        writeln!(f, "{margin}--> {}:{line}:{column}", source.name)?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{number} | {text}")?;
        if column <= LONGEST_LINE {
            write!(f, "{margin} | {}{}", " ".repeat(column - 1), "^".repeat(width.min(LONGEST_LINE + 1 - column)))?;
        } else {
            write!(f, "{margin} | (column {column})")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n{margin} = help: {help}")?;
        }
        Ok(())
    }
}

/// A text cut to what fits a report.
fn clipped(text: String) -> String {
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

/// Whether any of them is an error.
#[must_use]
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity() == Severity::Error)
}

/// The candidate most like `word`, when one is near enough to be what was meant.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    if word.len() > LONGEST_WORD {
        return None;
    }
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(word.len()) / 4)
        .min()
        .map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}
