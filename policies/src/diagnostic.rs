//! What is wrong with a policy, and where: code, severity, place, message, notes, help. Rendering stands apart from
//! finding.

mod problem;
mod render;

use serde::Serialize;

use crate::source::{Origin, Span};

pub use problem::{CODES, Problem};
pub use render::{NoteReport, Report, render, sarif};

/// Words longer than this resemble nothing.
const LONGEST_WORD: usize = 64;

/// How bad it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; `pagent check --strict` does not count it.
    Note,
    /// The policy can be installed; something in it deserves a look.
    Warning,
    /// Nothing is installed while this stands.
    Error,
}

/// Something that belongs to a diagnostic, here or at another place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    /// What is there.
    pub text: String,
    /// Where.
    pub origin: Option<Origin>,
}

/// A change of the text that would mend it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fix {
    /// What is replaced, in the diagnostic's file.
    pub span: Span,
    /// What stands there then.
    pub text: String,
}

/// A problem at a place, with what to do about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    /// What.
    pub problem: Problem,
    /// Where.
    pub origin: Origin,
    /// What belongs to it.
    pub notes: Vec<Note>,
    /// What to do, when there is something definite to say.
    pub help: Option<String>,
    /// The same as a change of the text.
    pub fix: Option<Fix>,
}

impl Diagnostic {
    /// A diagnostic without help.
    #[must_use]
    pub fn new(problem: Problem, origin: Origin) -> Self {
        Self { problem, origin, notes: Vec::new(), help: None, fix: None }
    }

    /// The same with help.
    #[must_use]
    pub fn help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    /// The same with a note.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>, origin: Option<Origin>) -> Self {
        self.notes.push(Note { text: text.into(), origin });
        self
    }

    /// The same with the word that was probably meant, as help and as a fix of `span`.
    #[must_use]
    pub fn meant(mut self, word: Option<&str>, span: Span) -> Self {
        if let Some(word) = word {
            self.help = Some(format!("did you mean `{word}`?"));
            self.fix = Some(Fix { span, text: word.to_owned() });
        }
        self
    }

    /// Error, warning or note.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.problem.severity()
    }
}

/// Diagnostics up to a number; what is more is counted. The first error is always among them.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    pub(crate) list: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
    has_error: bool,
}

impl Collector {
    /// Diagnostics that are kept. A policy of 100,000 rules can have one mistake in each.
    const MOST: usize = 1000;

    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        let is_error = diagnostic.severity() == Severity::Error;
        if self.list.len() < Self::MOST || (is_error && !self.has_error) {
            self.has_error |= is_error;
            self.list.push(diagnostic);
        } else if is_error {
            self.errors += 1;
        } else {
            self.warnings += 1;
        }
    }

    /// What was kept, and how many were not, at a place.
    pub(crate) fn finish(mut self, place: &Origin) -> Vec<Diagnostic> {
        if self.errors > 0 {
            self.list.push(Diagnostic::new(Problem::TooMany { count: self.errors }, place.clone()));
        }
        if self.warnings > 0 {
            self.list.push(Diagnostic::new(Problem::TooManyWarnings { count: self.warnings }, place.clone()));
        }
        self.list
    }
}

/// Whether any of them is an error.
#[must_use]
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity() == Severity::Error)
}

/// The candidate most like `word`, when one is near enough to be what was meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST_WORD {
        return None;
    }
    let lower = word.to_lowercase();
    // Words that differ in their last digit are different words: Level4 is no misspelt Level1.
    let numbered = |text: &str| {
        text.ends_with(|c: char| c.is_ascii_digit())
            .then(|| text.trim_end_matches(|c: char| c.is_ascii_digit()).to_lowercase())
    };
    let number = numbered(word);
    candidates
        .into_iter()
        .filter(|candidate| number.is_none() || numbered(candidate) != number)
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= 1 + candidate.len().min(word.len()) / 4)
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(word.len()) / 4)
        .min()
        .map(|(_, candidate)| candidate)
}
