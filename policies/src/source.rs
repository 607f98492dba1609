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

impl Span {
    /// Whether `offset` lies in the range or at its end: where a cursor that touches it stands.
    #[must_use]
    pub fn touches(self, offset: usize) -> bool {
        (self.start..=self.end).contains(&offset)
    }
}

/// What a file's bytes are when they are not text that can be read as a policy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotText {
    /// Bytes of an EBCDIC code page: blanks are X'40', and there is no ASCII line end.
    Ebcdic,
    /// A NUL byte at this offset.
    Nul(usize),
}

/// A policy file: where it came from and what it says.
#[derive(Debug)]
pub struct Source {
    /// The path or data set name the user knows it by.
    pub name: String,
    /// The text, without a byte order mark at its beginning; every line end is `\n`, and no-break spaces and their like
    /// are blanks.
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
        let mut text = text.into();
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        let text = plain(text);
        Arc::new(Self { name: name.into(), text, lines: OnceLock::new() })
    }

    /// A source from a file's bytes: UTF-8, and where it is not, Latin-1 byte by byte (real policy files carry stray
    /// Latin-1 in comments).
    #[must_use]
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Arc<Self> {
        let text = String::from_utf8(bytes).unwrap_or_else(|error| {
            let mut text = String::with_capacity(error.as_bytes().len() + 64);
            for chunk in error.as_bytes().utf8_chunks() {
                text.push_str(chunk.valid());
                text.extend(chunk.invalid().iter().map(|&byte| char::from(byte)));
            }
            text
        });
        Self::new(name, text)
    }

    /// Why the text cannot be a policy, if it cannot.
    #[must_use]
    pub fn not_text(&self) -> Option<NotText> {
        if let Some(at) = self.text.find('\0') {
            return Some(NotText::Nul(at));
        }
        // In IBM-1047 letters are X'81'–X'E9', blanks X'40', line ends X'15' or X'25': there is neither an ASCII blank nor
        // an ASCII line end.
        let head: Vec<char> = self.text.chars().take(4096).collect();
        let count = |wanted: fn(&char) -> bool| head.iter().filter(|c| wanted(c)).count();
        let letters = count(|c| ('\u{81}'..='\u{e9}').contains(c));
        let ascii = count(char::is_ascii_alphabetic);
        let blanks = count(|c| *c == '@');
        let is_ascii = head.contains(&'\n') || head.contains(&' ');
        (!is_ascii && head.len() >= 8 && letters > ascii * 4 && letters * 3 > head.len() && blanks > 0)
            .then_some(NotText::Ebcdic)
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
        self.text.get(self.line_span(number)).unwrap_or_default().trim_end_matches('\n')
    }

    /// The bytes of a line, counted from 1, line end included.
    #[must_use]
    pub fn line_span(&self, number: usize) -> std::ops::Range<usize> {
        let lines = self.lines();
        let start = lines.get(number.saturating_sub(1)).copied().unwrap_or(self.text.len());
        start..lines.get(number).copied().unwrap_or(self.text.len())
    }

    /// How many lines there are; a text that ends with a line end has an empty last one.
    #[must_use]
    pub fn line_count(&self) -> usize {
        self.lines().len()
    }

    fn lines(&self) -> &[usize] {
        self.lines.get_or_init(|| {
            let newlines = self.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
            std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect()
        })
    }
}

/// The text with one kind of line end and two of blanks. Characters are replaced one by one, so columns stay.
fn plain(text: String) -> String {
    // No-break space and byte order mark begin with these bytes in UTF-8; most files have none of them.
    if !text.bytes().any(|byte| matches!(byte, b'\r' | 0x0B | 0x0C | 0xC2 | 0xEF)) {
        return text;
    }
    let mut characters = text.chars().peekable();
    let mut plain = String::with_capacity(text.len());
    while let Some(character) = characters.next() {
        match character {
            '\r' => {
                let _ = characters.next_if_eq(&'\n');
                plain.push('\n');
            }
            '\u{a0}' | '\u{feff}' | '\u{b}' | '\u{c}' => plain.push(' '),
            other => plain.push(other),
        }
    }
    plain
}

/// Where something was written.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The file.
    pub source: Arc<Source>,
    /// The place in it.
    pub span: Span,
}

/// The same file and the same place: files are compared by identity first, they can be large.
impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        self.span == other.span && (Arc::ptr_eq(&self.source, &other.source) || self.source == other.source)
    }
}

impl Eq for Origin {}

impl Origin {
    /// `file:line`.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{}:{}", self.source.name, self.line())
    }

    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.source.position(self.span.start).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stray_latin_1_in_a_comment_leaves_the_rest_as_it_is() {
        let source = Source::from_bytes("t", b"# \xc2\xae \xae\nTTLSRule R".to_vec());
        assert_eq!(source.text, "# \u{ae} \u{ae}\nTTLSRule R");
        assert_eq!(source.not_text(), None);
    }

    #[test]
    fn line_ends_and_blanks_of_every_kind_are_read() {
        let source = Source::new("t", "\u{feff}A\r\nB\rC\u{a0}D\u{feff}E");
        assert_eq!(source.text, "A\nB\nC D E");
    }

    #[test]
    fn ebcdic_is_told_from_text() {
        // "TTLSRule R" and a line end in IBM-1047.
        let bytes = vec![0xE3, 0xE3, 0xD3, 0xE2, 0xD9, 0xA4, 0x93, 0x85, 0x40, 0xD9, 0x15];
        assert_eq!(Source::from_bytes("t", bytes).not_text(), Some(NotText::Ebcdic));
        assert_eq!(Source::new("t", "a\0b").not_text(), Some(NotText::Nul(1)));
        assert_eq!(Source::new("t", "# ──────────────────────────── é@é").not_text(), None);
    }
}
