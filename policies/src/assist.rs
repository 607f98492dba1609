//! Help while a policy is written: what may stand at a place, what a word means, where a name is defined and used.
//!
//! Everything is answered from the documents as they were read and from the table of statements; places are byte
//! offsets.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::cipher;
use crate::group;
use crate::source::{Origin, Source, Span};
use crate::syntax::{Block, Document, Item, Setting};
use crate::table::{self, Engine, Parameter, Placement, STATEMENTS, Statement, Verdict};
use crate::value::{Kind, Value};

/// What may be written at a place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Completion {
    /// The word.
    pub label: String,
    /// What kind of word it is.
    pub kind: CompletionKind,
    /// A few words on it.
    pub detail: String,
    /// What it does.
    pub doc: String,
}

/// The kinds of words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CompletionKind {
    /// A statement's keyword.
    Statement,
    /// A parameter's keyword.
    Parameter,
    /// A value.
    Value,
    /// The name of a statement.
    Name,
}

/// What parts words.
const BLANKS: [char; 3] = [' ', '\t', '\n'];

/// A place in a document.
enum Place<'a> {
    /// On a keyword, or where one may be written; inside these blocks, outermost first.
    Keyword(Vec<&'a Block>),
    /// On the value of a parameter.
    Value(&'static Parameter),
    /// On a statement's name.
    Name,
}

/// What may be written at an offset. `documents` hold the names that references may use; the text is that of the first.
#[must_use]
pub fn complete(documents: &[&Document], offset: usize) -> Vec<Completion> {
    let Some(document) = documents.first().copied() else { return Vec::new() };
    match place(document, offset) {
        None | Some(Place::Name) => Vec::new(),
        Some(Place::Keyword(blocks)) => {
            // Without braces the blocks around may go on too, and a new statement may begin.
            let braced = blocks.iter().rposition(|block| block.braces);
            let open = blocks.get(braced.unwrap_or(0)..).unwrap_or_default();
            let rows = open.iter().rev().flat_map(|block| block.statement.rows()).map(parameter_completion);
            let top = braced.is_none().then_some(STATEMENTS).into_iter().flatten().map(statement_completion);
            rows.chain(top).collect()
        }
        Some(Place::Value(parameter)) => values(documents, parameter),
    }
}

/// What the word at an offset means, as Markdown, and its place.
#[must_use]
pub fn hover(documents: &[&Document], offset: usize) -> Option<(String, Span)> {
    let document = documents.first().copied()?;
    let span = word_at(&document.source, offset)?;
    let word = document.source.text.get(span.start..span.end)?;
    let text = match place(document, offset)? {
        Place::Keyword(blocks) => match blocks.iter().rev().find_map(|block| block.statement.parameter(word)) {
            Some(parameter) => describe_parameter(parameter),
            None => describe_statement(table::statement(word)?),
        },
        Place::Value(parameter) => describe_value(documents, parameter, word)?,
        Place::Name => return None,
    };
    Some((text, span))
}

/// Where the name at an offset is defined, in place or elsewhere.
#[must_use]
pub fn definition(documents: &[&Document], offset: usize) -> Option<Origin> {
    let (statement, name, _) = symbol(documents, offset)?;
    let found = defined(documents).find(|(_, block)| is(block, statement, name));
    found.map(|(document, block)| Origin { source: Arc::clone(&document.source), span: block.name_span })
}

/// Every place where the name at an offset is used, its definition included when `definition` is set.
#[must_use]
pub fn references(documents: &[&Document], offset: usize, definition: bool) -> Vec<Origin> {
    let Some((statement, name, _)) = symbol(documents, offset) else { return Vec::new() };
    let mut places = Vec::new();
    for (document, block) in defined(documents).filter(|(_, block)| is(block, statement, name)) {
        if definition {
            places.push(Origin { source: Arc::clone(&document.source), span: block.name_span });
        }
    }
    for document in documents {
        for block in &document.blocks {
            each_setting(block, &mut |setting| {
                if setting.parameter.kind == Kind::Reference(statement)
                    && setting.values.contains(&Value::Text(name.to_owned()))
                {
                    places.push(Origin { source: Arc::clone(&document.source), span: setting.value_span });
                }
            });
        }
    }
    places
}

/// The place of the name at an offset that can be renamed.
#[must_use]
pub fn renameable(documents: &[&Document], offset: usize) -> Option<Span> {
    symbol(documents, offset).map(|(_, _, span)| span)
}

/// Why a word cannot be a name, if it cannot.
#[must_use]
pub fn bad_name(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("a name has at least one character")
    } else if name.chars().count() > 32 {
        Some("a name has at most 32 characters")
    } else if name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\u{feff}') {
        Some("a name has no blanks")
    } else if name.starts_with('#') || name.starts_with(";;") {
        Some("`#` and `;;` begin comments")
    } else if name.starts_with('{') || name == "}" {
        Some("braces are no names")
    } else {
        None
    }
}

/// A statement's reference text, as Markdown.
#[must_use]
pub fn describe_statement(statement: &Statement) -> String {
    let mut text = format!("**{}**\n\n{}", statement.name, statement.doc);
    if let Engine::Refused(reason) | Engine::Idle(reason) = statement.engine {
        let _ = write!(text, "\n\nHere: {reason}.");
    }
    text
}

/// A parameter's reference text, as Markdown.
#[must_use]
pub fn describe_parameter(parameter: &Parameter) -> String {
    let mut text = format!("**{}**\n\n{}", parameter.name, parameter.doc);
    if !matches!(parameter.kind, Kind::Inline(_)) {
        let _ = write!(text, "\n\nTakes {}.", parameter.kind.expected());
    }
    if let Some(default) = parameter.default {
        let _ = write!(text, " Default {default}");
        let _ = match parameter.ibm_default {
            Some(other) => write!(text, " (z/OS: {other})."),
            None => write!(text, "."),
        };
    } else if let Some(other) = parameter.ibm_default {
        let _ = write!(text, " Default: the engine's own list (z/OS: {other}).");
    }
    for (value, what) in here(parameter) {
        let _ = match value {
            Some(value) => write!(text, "\n\nHere {value}: {what}."),
            None => write!(text, "\n\nHere: {what}."),
        };
    }
    text
}

/// What the engine makes of a parameter, or of some of its values.
#[must_use]
pub fn here(parameter: &Parameter) -> Vec<(Option<&'static str>, String)> {
    match parameter.engine {
        Engine::Applied | Engine::Compared => Vec::new(),
        Engine::Idle(reason) => vec![(None, format!("no effect, {reason}"))],
        Engine::Differs(reason) => vec![(None, format!("values other than the default have no effect, {reason}"))],
        Engine::Refused(reason) => vec![(None, format!("values other than the default are refused, {reason}"))],
        Engine::Minimum(built_in, reason) => {
            vec![(None, format!("{built_in} is built in: lower values have no effect, {reason}"))]
        }
        Engine::Values(values) => values
            .iter()
            .map(|(value, verdict)| match verdict {
                Verdict::Differs(reason) => (Some(*value), format!("no effect, {reason}")),
                Verdict::Refused(reason) => (Some(*value), format!("refused, {reason}")),
            })
            .collect(),
    }
}

fn place(document: &Document, offset: usize) -> Option<Place<'_>> {
    let source = &document.source;
    let line = source.line_span(source.position(offset.min(source.text.len())).0);
    let before = source.text.get(line.start..offset)?;
    // Inside a comment nothing is said.
    let remark = |mark: &str| {
        before
            .match_indices(mark)
            .any(|(at, _)| before.get(..at).is_some_and(|left| left.is_empty() || left.ends_with([' ', '\t'])))
    };
    if remark("#") || remark(";;") {
        return None;
    }
    let mut words = before.split_whitespace();
    let Some(keyword) = words.next() else { return Some(Place::Keyword(enclosing(&document.blocks, offset))) };
    let on_keyword = words.next().is_none() && !before.ends_with([' ', '\t']);
    let blocks = enclosing(&document.blocks, line.start + before.len() - before.trim_start().len());
    if on_keyword {
        return Some(Place::Keyword(blocks));
    }
    let parameter = blocks.iter().rev().find_map(|block| block.statement.parameter(keyword));
    match parameter {
        Some(parameter) if matches!(parameter.kind, Kind::Inline(_)) => Some(Place::Name),
        Some(parameter) => Some(Place::Value(parameter)),
        None => match table::statement(keyword)? {
            directive if directive.placement == Placement::Directive => directive.rows().next().map(Place::Value),
            _ => Some(Place::Name),
        },
    }
}

/// The blocks around an offset, outermost first. The first line of a block is outside it.
fn enclosing(blocks: &[Block], offset: usize) -> Vec<&Block> {
    let inside = |block: &&Block| {
        block.origin.span.end < offset && (offset < block.end || (!block.closed && offset == block.end))
    };
    let mut around = Vec::new();
    let mut next = blocks.iter().find(inside);
    while let Some(block) = next {
        around.push(block);
        next = block.items.iter().find_map(|item| match item {
            Item::Block(inner) => Some(inner).filter(inside),
            Item::Setting(_) => None,
        });
    }
    around
}

/// The word that an offset is in or behind, up to the offset: what completion replaces.
#[must_use]
pub fn typed(document: &Document, offset: usize) -> Span {
    let text = document.source.text.get(..offset).unwrap_or_default();
    let start = text.rfind(BLANKS).map_or(0, |at| at + 1);
    Span { start, end: offset }
}

/// Whether another statement of the kind at an offset has a name already.
#[must_use]
pub fn is_taken(documents: &[&Document], offset: usize, name: &str) -> bool {
    symbol(documents, offset).is_some_and(|(statement, own, _)| {
        own != name && defined(documents).any(|(_, block)| is(block, statement, name))
    })
}

fn word_at(source: &Source, offset: usize) -> Option<Span> {
    let text = &source.text;
    let start = text.get(..offset)?.rfind(BLANKS).map_or(0, |at| at + 1);
    let end = text.get(offset..)?.find(BLANKS).map_or(text.len(), |at| offset + at);
    (start < end).then_some(Span { start, end })
}

fn defined<'a>(documents: &[&'a Document]) -> impl Iterator<Item = (&'a Document, &'a Block)> {
    documents.iter().copied().flat_map(|document| document.blocks.iter().map(move |block| (document, block)))
}

fn is(block: &Block, statement: &str, name: &str) -> bool {
    block.statement.name == statement && block.name.as_deref() == Some(name)
}

fn each_setting<'a>(block: &'a Block, found: &mut dyn FnMut(&'a Setting)) {
    for item in &block.items {
        match item {
            Item::Setting(setting) => found(setting),
            Item::Block(inner) => each_setting(inner, found),
        }
    }
}

/// The name at an offset: of a top-level statement, or in a reference to one.
fn symbol<'a>(documents: &[&'a Document], offset: usize) -> Option<(&'static str, &'a str, Span)> {
    let document = documents.first().copied()?;
    for block in &document.blocks {
        if block.name_span.touches(offset)
            && let Some(name) = &block.name
        {
            return Some((block.statement.name, name, block.name_span));
        }
        let mut found = None;
        each_setting(block, &mut |setting| {
            if let (Kind::Reference(statement), [Value::Text(name)]) =
                (setting.parameter.kind, setting.values.as_slice())
                && setting.value_span.touches(offset)
            {
                found = Some((statement, name.as_str(), setting.value_span));
            }
        });
        if found.is_some() {
            return found;
        }
    }
    None
}

fn statement_completion(statement: &'static Statement) -> Completion {
    Completion {
        label: statement.name.to_owned(),
        kind: CompletionKind::Statement,
        detail: "statement".to_owned(),
        doc: describe_statement(statement),
    }
}

fn parameter_completion(parameter: &'static Parameter) -> Completion {
    Completion {
        label: parameter.name.to_owned(),
        kind: CompletionKind::Parameter,
        detail: match parameter.kind {
            Kind::Inline(_) => "block".to_owned(),
            kind => kind.expected(),
        },
        doc: describe_parameter(parameter),
    }
}

fn values(documents: &[&Document], parameter: &'static Parameter) -> Vec<Completion> {
    let value = |label: &str, detail: String| Completion {
        label: label.to_owned(),
        kind: CompletionKind::Value,
        detail,
        doc: String::new(),
    };
    let special = |word: &str| {
        let found = here(parameter).into_iter().find(|(value, _)| *value == Some(word));
        found.map(|(_, what)| what).unwrap_or_default()
    };
    match parameter.kind {
        Kind::OnOff => ["On", "Off"].into_iter().map(|word| value(word, special(word))).collect(),
        Kind::Choice(words) | Kind::Choices(words) => words.iter().map(|word| value(word, special(word))).collect(),
        Kind::Address | Kind::Ports => vec![value("All", String::new())],
        Kind::Suites(_) => cipher::TABLE
            .iter()
            .filter(|suite| suite.offered)
            .chain(cipher::TABLE.iter().filter(|suite| !suite.offered))
            .map(|suite| value(suite.name, suite_detail(suite)))
            .collect(),
        Kind::Groups { .. } => group::TABLE
            .iter()
            .filter(|group| group.offered)
            .map(|group| value(group.name, format!("{:04}", group.code)))
            .chain(parameter.kind.read("Any").map(|_| value("Any", "the engine's own list".to_owned())))
            .collect(),
        Kind::SignaturePairs => {
            group::SIGNATURE_PAIRS.iter().map(|(code, name)| value(name, format!("{code:04X}"))).collect()
        }
        Kind::Reference(statement) => defined(documents)
            .filter(|(_, block)| block.statement.name == statement)
            .filter_map(|(document, block)| {
                let name = block.name.clone()?;
                let origin = Origin { source: Arc::clone(&document.source), span: block.name_span };
                Some(Completion {
                    label: name,
                    kind: CompletionKind::Name,
                    detail: format!("{statement}, {}", origin.short()),
                    doc: String::new(),
                })
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn suite_detail(suite: &cipher::CipherSuite) -> String {
    format!("{:04X}{}", suite.code, if suite.offered { "" } else { ", never negotiated here" })
}

fn describe_value(documents: &[&Document], parameter: &'static Parameter, word: &str) -> Option<String> {
    let values = parameter.kind.read(word)?;
    let lines: Vec<String> = values
        .iter()
        .filter_map(|value| match value {
            Value::Suite(code) => Some(match cipher::by_code(*code) {
                Some(suite) => format!("`{}` {}", suite.name, suite_detail(suite)),
                None => format!("`{code:04X}` no known cipher suite"),
            }),
            Value::Group(Some(code)) => {
                let offered = group::by_code(*code).is_some_and(|group| group.offered);
                Some(format!(
                    "`{}` {code:04}{}",
                    group::name(*code),
                    if offered { "" } else { ", never negotiated here" }
                ))
            }
            Value::SignaturePair(code) => Some(format!("`{}` {code:04X}", group::signature_name(*code))),
            _ => None,
        })
        .collect();
    if !lines.is_empty() {
        return Some(lines.join("\n\n"));
    }
    if let Kind::Reference(statement) = parameter.kind {
        let (document, block) = defined(documents).find(|(_, block)| is(block, statement, word))?;
        let text = document.source.text.get(block.origin.span.start..block.end)?;
        let shown: String = text.lines().take(30).collect::<Vec<_>>().join("\n");
        return Some(format!("```\n{shown}\n```"));
    }
    Some(describe_parameter(parameter))
}
