//! The layout for the formatter, while the file is read.

use super::{Reader, Word};
use crate::source::Span;
use crate::syntax::layout::Line;
use crate::table::Parameter;
use crate::value::{Extent, Kind, Value};

impl<'a> Reader<'a> {
    /// Adds a line to the layout.
    pub(super) fn lay(&mut self, line: Line) {
        if let Some(lines) = &mut self.layout {
            if self.now.layout.is_none() && line != Line::Blank {
                self.now.layout = Some(lines.len());
            }
            lines.push(line);
        }
    }

    pub(super) fn verbatim(&mut self, span: Span) {
        if self.layout.is_some() && self.now.layout.is_none() {
            let line = self.source.line(self.source.position(span.start).0).trim_end().to_owned();
            self.lay(Line::Verbatim(line));
        }
    }

    /// What the formatter prints of a parameter: one line, or a line for each member of a brace-less list.
    pub(super) fn lay_setting(
        &mut self,
        parameter: &'static Parameter,
        rest: &[Word<'a>],
        value_span: Span,
        values: &[Value],
        braces: bool,
    ) {
        if self.layout.is_none() {
            return;
        }
        let keyword = parameter.name;
        let plain = |text: &str| match (parameter.kind, values) {
            (Kind::OnOff | Kind::Choice(_) | Kind::FipsMode, [value]) => value.to_string(),
            _ => text.to_owned(),
        };
        if parameter.extent(braces) == Extent::Each && parameter.extent(true) != Extent::Each {
            self.lay_list(keyword, parameter.kind, rest);
            return;
        }
        let text = self.source.text.get(value_span.start..value_span.end).unwrap_or_default();
        let text = match parameter.kind {
            Kind::Line { .. } | Kind::NameAndLabel => text.to_owned(),
            _ => text.split_ascii_whitespace().collect::<Vec<_>>().join(" "),
        };
        let ignored = rest.iter().find(|word| word.span.start >= value_span.end).map(|word| {
            let end = rest.last().map_or(word.span.end, |last| last.span.end);
            format!(" {}", self.source.text.get(word.span.start..end).unwrap_or_default())
        });
        self.lay(Line::Setting { keyword, value: plain(&text), comment: ignored });
    }

    /// A brace-less list: codes of equal width become one word, other members lines of their own.
    pub(super) fn lay_list(&mut self, keyword: &'static str, kind: Kind, rest: &[Word<'a>]) {
        let codes = matches!(kind, Kind::Suites(_) | Kind::OldSuites | Kind::Groups { .. } | Kind::SignaturePairs);
        let is_code = |word: &Word<'_>| word.text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if codes && rest.iter().all(is_code) {
            let value = rest.iter().map(|word| word.text).collect();
            return self.lay(Line::Setting { keyword, value, comment: None });
        }
        for word in rest {
            self.lay(Line::Setting { keyword, value: word.text.to_owned(), comment: None });
        }
    }
}
