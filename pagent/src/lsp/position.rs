//! Places: the editor counts lines and UTF-16 units from 0, the policy crate bytes.

use lsp_types::{Position, Range};
use policies::{Source, Span};

/// The byte offset of a position; behind the end of its line where the line is shorter.
pub(super) fn offset_at(source: &Source, position: Position) -> usize {
    let line = usize::try_from(position.line).unwrap_or(usize::MAX).saturating_add(1);
    let start = source.line_span(line).start;
    let mut units = usize::try_from(position.character).unwrap_or(usize::MAX);
    let mut offset = start;
    for character in source.line(line).chars() {
        if units < character.len_utf16() {
            break;
        }
        units -= character.len_utf16();
        offset += character.len_utf8();
    }
    offset
}

/// The editor's range of some bytes.
pub(super) fn range_of(source: &Source, span: Span) -> Range {
    Range { start: position_of(source, span.start), end: position_of(source, span.end) }
}

fn position_of(source: &Source, offset: usize) -> Position {
    let (line, _) = source.position(offset);
    let start = source.line_span(line).start;
    let units: usize = source.text.get(start..offset).unwrap_or_default().chars().map(char::len_utf16).sum();
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Position { line: number(line - 1), character: number(units) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_utf_16_units() {
        let source = Source::new("t", "# \u{1F600} x\r\nTTLSRule R\n");
        let at = |line, character| offset_at(&source, Position { line, character });
        assert_eq!(source.text.get(at(0, 5)..at(0, 6)), Some("x"));
        assert_eq!(at(0, 99), source.text.find('\n').expect("a line end"));
        assert_eq!(source.text.get(at(1, 9)..), Some("R\n"));
        assert_eq!(at(99, 0), source.text.len());
        for offset in [0, 2, 6, 7, 8, 12, source.text.len()] {
            let range = range_of(&source, Span { start: offset, end: offset });
            assert_eq!(offset_at(&source, range.start), offset.min(source.text.len()), "{offset}");
        }
    }
}
