//! A policy file's text, and places in it.

use std::sync::{Arc, OnceLock};

/// A range of bytes in a source's text.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// First byte after.
    pub end: usize,
}

/// A policy file: where it came from and what it says.
#[derive(Debug)]
pub struct Source {
    /// The path or data set name the user knows it by.
    pub name: String,
    /// The text, without a byte order mark.
    pub text: String,
    /// Where lines begin, found when it is first asked for.
    lines: OnceLock<Vec<usize>>,
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.text == other.text
    }
}

impl Eq for Source {}

impl Source {
    /// A source from text.
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        let text = text.into();
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        Arc::new(Self { name: name.into(), text, lines: OnceLock::new() })
    }

    /// A source from a file's bytes: UTF-8, else Latin-1 (real policy files carry stray Latin-1 in comments).
    #[must_use]
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Arc<Self> {
        let text = String::from_utf8(bytes)
            .unwrap_or_else(|error| error.into_bytes().iter().map(|&byte| char::from(byte)).collect());
        Self::new(name, text)
    }

    /// Line and column (characters, both from 1) of a byte offset.
    #[must_use]
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let lines = self.lines();
        let line = lines.partition_point(|&start| start <= offset).max(1);
        let start = lines.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(1, |before| before.chars().count() + 1);
        (line, column)
    }

    /// The text of a line, counted from 1, without its line end.
    #[must_use]
    pub fn line(&self, number: usize) -> &str {
        let lines = self.lines();
        let start = lines.get(number.saturating_sub(1)).copied().unwrap_or(self.text.len());
        let end = lines.get(number).copied().unwrap_or(self.text.len());
        self.text.get(start..end).unwrap_or_default().trim_end_matches(['\n', '\r'])
    }

    fn lines(&self) -> &[usize] {
        self.lines.get_or_init(|| {
            let newlines = self.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
            std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect()
        })
    }
}

/// Where something was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// The file.
    pub source: Arc<Source>,
    /// The place in it.
    pub span: Span,
}

impl Origin {
    /// `file:line`.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{}:{}", self.source.name, self.source.position(self.span.start).0)
    }
}
