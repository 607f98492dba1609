//! What is not as it should be: unknown keywords, statements in the wrong place, braces on the wrong line. One mistake is
//! one error, and reading goes on.

use super::{Header, Reader, Word};
use crate::diagnostic::{Problem, nearest};
use crate::source::Span;
use crate::syntax::mistakes;
use crate::table::{self, STATEMENTS, Statement};
use crate::value::Kind;

impl<'a> Reader<'a> {
    /// Marks what is open: where a brace is missing, what is in which block is not sure.
    pub(super) fn break_blocks(&mut self) {
        for open in &mut self.open {
            open.block.broken = true;
        }
    }

    pub(super) fn unknown(&mut self, keyword: Word<'a>, rest: &[Word<'a>]) {
        self.header = Header::Skipped;
        self.take_allows(keyword.span);
        let known = |name: &str| match self.open.last() {
            Some(open) => open.block.statement.parameter(name).is_some(),
            None => table::statement(name).is_some(),
        };
        // `TTLSEnabled=On` and `HandshakeRole: Client` are written with a blank.
        let joined = keyword.text.find(['=', ':']).and_then(|at| keyword.text.split_at_checked(at));
        let joined = joined.filter(|(name, _)| known(name)).map(|(name, value)| {
            let value = value.get(1..).filter(|value| !value.is_empty());
            let value = value.or_else(|| rest.first().map(|word| word.text)).unwrap_or("VALUE");
            format!("write `{name} {value}`")
        });
        let help = joined.or_else(|| mistakes::keyword(keyword.text).map(str::to_owned));
        match self.open.last_mut() {
            Some(open) => open.block.broken = true,
            None => self.document.unknown.extend(rest.first().map(|word| word.text.to_owned())),
        }
        let Some(open) = self.open.last() else {
            let known = STATEMENTS.iter().map(|statement| statement.name);
            let synonyms = table::synonyms().iter().map(|(synonym, _)| *synonym);
            let meant = if self.suggests() { nearest(keyword.text, known.chain(synonyms)) } else { None };
            let owner = STATEMENTS.iter().find(|statement| statement.parameter(keyword.text).is_some());
            let outside = owner.map(|owner| format!("`{}` belongs into a {}", keyword.text, owner.name));
            let problem = Problem::UnknownStatement { keyword: keyword.text.to_owned() };
            return self.found(problem, keyword.span, help.or(outside), meant);
        };
        let statement = open.block.statement;
        let children = || {
            statement.rows().filter_map(|row| match row.kind {
                Kind::Inline(name) => table::statement(name),
                _ => None,
            })
        };
        let has = |other: &&'static Statement| other.parameter(keyword.text).is_some();
        let elsewhere = children()
            .find(has)
            .or_else(|| STATEMENTS.iter().find(has))
            .map(|other| format!("`{}` belongs into {}", keyword.text, other.name));
        let meant = if elsewhere.is_none() && self.suggests() {
            let own = statement.rows().map(|row| row.name);
            nearest(keyword.text, own)
                .or_else(|| nearest(keyword.text, children().flat_map(Statement::rows).map(|row| row.name)))
                .or_else(|| nearest(keyword.text, STATEMENTS.iter().map(|statement| statement.name)))
        } else {
            None
        };
        let problem = Problem::UnknownParameter { statement: statement.name, keyword: keyword.text.to_owned() };
        self.found(problem, keyword.span, help.or(elsewhere), meant);
    }

    /// A statement that cannot stand in place, written in place.
    pub(super) fn in_place(&mut self, statement: &'static Statement, keyword: Word<'a>, rest: &[Word<'a>]) {
        self.header = Header::Skipped;
        self.take_allows(keyword.span);
        let Some(open) = self.open.last_mut() else { return };
        open.block.broken = true;
        let outer = open.block.statement;
        let reference = outer.rows().find(|row| row.kind == Kind::Reference(statement.name));
        let help = reference.map(|row| format!("give it a name at the top level, and code `{}` here", row.name));
        let problem = Problem::UnknownParameter { statement: outer.name, keyword: keyword.text.to_owned() };
        self.report(problem, keyword.span, help);
        if !rest.is_empty() {
            self.skipping = 1; // its brace stands on the same line
            self.header = Header::None;
        }
    }

    /// `TTLSGroupAction ON {`: read on as if the brace, and what stands behind it, were on lines of their own.
    pub(super) fn brace_on_the_line(&mut self, brace: Word<'a>, behind: &[Word<'a>]) {
        if let Some(open) = self.open.last_mut() {
            open.block.braces = true;
        }
        self.header = Header::Opened;
        let end = behind.last().map_or(brace.span.end, |word| word.span.end);
        let found = self.source.text.get(brace.span.start..end).unwrap_or(brace.text);
        let found = format!("`{}`", found.chars().take(60).collect::<String>());
        let help = Some("put `{` on a line of its own".to_owned());
        self.report(Problem::Syntax { found }, brace.span, help);
        let (closes, inner) = match behind.split_last() {
            Some((last, inner)) if last.text == "}" => (Some(last.span), inner),
            _ => (None, behind),
        };
        // More than a parameter and its value: what seems to be missing may stand there.
        if inner.len() > 2 {
            self.break_blocks();
            self.document.unknown.extend(inner.iter().map(|word| word.text.to_owned()));
        }
        if let Some((keyword, rest)) = inner.split_first() {
            self.header = Header::None;
            self.entry(*keyword, rest);
        }
        if let Some(span) = closes {
            self.header = Header::None;
            self.close_brace(span);
        }
    }

    pub(super) fn ignored_behind_name(&mut self, statement: &'static Statement, rest: &[Word<'a>]) {
        let (Some(extra), Some(last)) = (rest.get(1), rest.last()) else { return };
        let span = Span { start: extra.span.start, end: last.span.end };
        let text = self.source.text.get(span.start..span.end).unwrap_or(extra.text).to_owned();
        self.report(Problem::TextIgnored { parameter: statement.name, text: text.clone() }, span, None);
        let index = self.now.layout;
        if let Some(line) = self.layout.as_mut().and_then(|lines| lines.get_mut(index?)) {
            line.add_comment(&format!(" {text}"));
        }
    }
}
