//! From text to blocks: pest finds lines, words, braces and comments; the table of statements says what they build.
//!
//! Two dialects, mixed freely. Between braces IBM's rules hold: one value a line, what follows it is ignored. A
//! statement without a brace on the next line owns the parameters that follow, down to the first line it has no
//! parameter for; there, words separated by blanks are a list (`V3CipherSuites4Char 1302 1303` is two suites).

mod allow;
pub(crate) mod comment;
pub mod layout;
mod mistakes;
mod reader;

use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::source::{Origin, Source, Span};
use crate::table::{Parameter, Statement};
use crate::value::{FileReference, Value};

pub use allow::{Allow, apply};

/// Blocks may nest this deep; the language itself needs four.
const MAX_DEPTH: usize = 16;
/// Bytes of a line that are read.
const MAX_LINE: usize = 65_535;

/// One file's statements, as written.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file.
    pub source: Arc<Source>,
    /// Statements in order.
    pub blocks: Vec<Block>,
    /// Directives and opaque statements in order.
    pub directives: Vec<Directive>,
    /// What `pagent: allow` comments say.
    pub allows: Vec<Allow>,
    /// Names behind unknown keywords at the top level, and words of lines that hold several statements: that something
    /// refers to them, or that nothing does, is not another mistake.
    pub unknown: Vec<String>,
    /// The files that its `Envfile` parameters name, as they name them.
    pub environments: Vec<(String, Arc<Source>)>,
    /// Whether the common policy says it: statements of the stack's own policy replace its statements.
    pub common: bool,
}

/// A line such as `TTLSConfig /etc/ttls.policy`.
#[derive(Clone, Debug)]
pub struct Directive {
    /// Which.
    pub statement: &'static Statement,
    /// Its value; none for `TTLSConfig` without a path, and for opaque statements.
    pub values: Vec<Value>,
    /// Where it stands.
    pub origin: Origin,
}

impl Directive {
    /// The file it names, for those that name one.
    #[must_use]
    pub fn file(&self) -> Option<&FileReference> {
        self.values.iter().find_map(|value| match value {
            Value::File(file) => Some(file),
            _ => None,
        })
    }
}

/// A statement with its parameters.
#[derive(Clone, Debug)]
pub struct Block {
    /// What it is.
    pub statement: &'static Statement,
    /// What it is called; statements in place may have no name.
    pub name: Option<String>,
    /// Its first line: keyword and name.
    pub origin: Origin,
    /// Its name alone.
    pub name_span: Span,
    /// The first byte after its last line.
    pub end: usize,
    /// What is coded in it, in order.
    pub items: Vec<Item>,
    /// Whether its parameters stand between braces.
    pub braces: bool,
    /// Whether its end is written: the closing brace is there.
    pub closed: bool,
    /// Whether something in it could not be read: what it lacks may be just that.
    pub broken: bool,
}

impl Block {
    /// The parameters coded in it, in order, sub-statements left out.
    pub fn settings(&self) -> impl DoubleEndedIterator<Item = &Setting> {
        self.items.iter().filter_map(|item| match item {
            Item::Setting(setting) => Some(setting),
            Item::Block(_) => None,
        })
    }

    /// The parameter of this name, as coded last: of equal ones it counts.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<&Setting> {
        self.settings().rev().find(|setting| setting.parameter.name == name)
    }

    /// The same statement, whatever the places: names, parameters and values are equal and in the same order.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let same = |pair: (&Item, &Item)| match pair {
            (Item::Setting(a), Item::Setting(b)) => a.parameter == b.parameter && a.values == b.values,
            (Item::Block(a), Item::Block(b)) => a.says_the_same(b),
            _ => false,
        };
        // A list coded in one line and in several lines is the same list.
        let (mine, others) = (self.spread(), other.spread());
        std::ptr::eq(self.statement, other.statement)
            && self.name == other.name
            && mine.len() == others.len()
            && mine.iter().zip(&others).all(|(a, b)| same((a, b)))
    }

    /// Its items, lists with one value an item.
    fn spread(&self) -> Vec<Item> {
        let mut items = Vec::new();
        for item in &self.items {
            match item {
                Item::Setting(setting) if setting.parameter.repeat == crate::table::Repeat::List => {
                    items.extend(
                        setting
                            .values
                            .iter()
                            .map(|value| Item::Setting(Setting { values: vec![value.clone()], ..setting.clone() })),
                    );
                }
                other => items.push(other.clone()),
            }
        }
        items
    }
}

/// A line, or a statement in place, inside a block.
#[derive(Clone, Debug)]
pub enum Item {
    /// A parameter with its values.
    Setting(Setting),
    /// A sub-statement.
    Block(Block),
}

/// A coded parameter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Setting {
    /// Which.
    pub parameter: &'static Parameter,
    /// Its values; a list parameter or a string of codes gives several, and a value that cannot be read none.
    pub values: Vec<Value>,
    /// Where it is coded: keyword and value.
    pub origin: Origin,
    /// The value alone.
    pub value_span: Span,
    /// In an action, where a list goes on in other lines: the number of the first value of each, and its place.
    pub more: Vec<(usize, Origin)>,
}

impl Setting {
    /// Where one of its values is coded.
    #[must_use]
    pub fn origin_of(&self, value: &Value) -> &Origin {
        let index = self.values.iter().position(|known| known == value).unwrap_or(0);
        self.more.iter().rev().find(|(first, _)| *first <= index).map_or(&self.origin, |(_, origin)| origin)
    }
}

/// Reads a file. Never fails: what cannot be read becomes a diagnostic and reading goes on with the next line.
#[must_use]
pub fn parse(source: &Arc<Source>) -> (Document, Vec<Diagnostic>) {
    let (document, _, diagnostics) = reader::read(source, false);
    (document, diagnostics)
}

/// Reads a file and how it is laid out, for the formatter.
#[must_use]
pub fn parse_with_layout(source: &Arc<Source>) -> (Document, Vec<layout::Line>, Vec<Diagnostic>) {
    reader::read(source, true)
}
