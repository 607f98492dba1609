//! The table of statements and parameters: what a policy may say, the default of what it does not say, and what the
//! engine makes of it. Grammar checks, defaults, reports, completion, hover and the reference page in `docs/` are driven
//! by it: a new parameter is one row in [`statements`](STATEMENTS).
//!
//! Source: *z/OS Communications Server: IP Configuration Reference*, "AT-TLS policy statements" and "Policy Agent
//! configuration file statements"; the zERT statements, `HandshakeCache…` and `FIPSMODE` are this project's.

mod statements;

use std::sync::LazyLock;

use foldhash::HashMap;

use crate::value::{Extent, Kind};

pub use statements::STATEMENTS;

/// Where a statement may stand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Placement {
    /// At the top level only, with a name; other statements refer to it.
    Top,
    /// At the top level with a name, or in place inside the statements whose rows say [`Kind::Inline`].
    TopOrInline,
    /// A line of its own at the top level (`LogLevel 31`).
    Directive,
    /// At the top level, with or without a name and a block in braces, none of which is read.
    Opaque,
}

/// A statement type.
#[derive(Debug)]
pub struct Statement {
    /// Its keyword, as IBM writes it.
    pub name: &'static str,
    /// Where it may stand.
    pub placement: Placement,
    /// The conditions it shares with other rules.
    conditions: &'static [Parameter],
    /// Its own rows, in the order reports print them; [`Statement::rows`] leaves out what does not apply.
    rows: &'static [Parameter],
    /// What it is for.
    pub doc: &'static str,
    /// What becomes of an opaque statement.
    pub engine: Engine,
}

/// What happens when a parameter is coded several times in one block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Repeat {
    /// The last one counts.
    Last,
    /// All count, in the order they are written.
    List,
}

/// What the engine does with a coded parameter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Engine {
    /// What it says.
    Applied,
    /// It compares it with what other programs negotiate: whatever exists may occur.
    Compared,
    /// Nothing, and nothing is lost by it: it steers something this engine does not have.
    Idle(&'static str),
    /// Something else when the value differs from the default, which stays in effect: the text says what.
    Differs(&'static str),
    /// It cannot, and going on without would weaken the policy: a value that differs from the default is an error.
    Refused(&'static str),
    /// A minimum the engine has built in: a lower one has no effect.
    Minimum(u32, &'static str),
    /// Some values are special: each says whether it is refused, or has the default's effect.
    Values(&'static [(&'static str, Verdict)]),
}

/// The side of a handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// It opens the handshake.
    Client,
    /// It answers.
    Server,
}

/// What becomes of one value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The default stays in effect.
    Differs(&'static str),
    /// An error.
    Refused(&'static str),
}

/// A parameter of a statement.
#[derive(Debug, Eq, PartialEq)]
pub struct Parameter {
    /// Its keyword, as IBM writes it.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it does.
    pub doc: &'static str,
    /// Coded twice.
    pub repeat: Repeat,
    /// The value in effect when it is not coded at any level, as it would be written.
    pub default: Option<&'static str>,
    /// IBM's default, where it is another one.
    pub ibm_default: Option<&'static str>,
    /// Whether the statement is an error without it.
    pub required: bool,
    /// Whether `pasearch` prints it only when it is coded.
    pub quiet: bool,
    /// Whether it is this project's own.
    pub ours: bool,
    /// Whether reports must not show it.
    pub secret: bool,
    /// What the engine does with it.
    pub engine: Engine,
    environment_only: bool,
}

impl Parameter {
    const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    const fn ibm(mut self, default: &'static str) -> Self {
        self.ibm_default = Some(default);
        self
    }

    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn list(mut self) -> Self {
        self.repeat = Repeat::List;
        self
    }

    const fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    const fn ours(mut self) -> Self {
        self.ours = true;
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Not in the connection form of the statement.
    const fn environment(mut self) -> Self {
        self.environment_only = true;
        self
    }

    /// How far its value reaches on its line; `braces` tells IBM's form from the brace-less one.
    pub(crate) fn extent(&self, braces: bool) -> Extent {
        self.kind.extent(braces, self.repeat == Repeat::List)
    }

    /// The side that a parameter is for, where it is for one: its name says so.
    #[must_use]
    pub fn side(&self) -> Option<Side> {
        match self.name {
            "ClientAuthType" => Some(Side::Server),
            name if name.starts_with("Client") => Some(Side::Client),
            name if name.starts_with("Server") => Some(Side::Server),
            _ => None,
        }
    }

    /// The verdict on values of this parameter that the engine treats specially.
    #[must_use]
    pub fn verdict(&self, coded: &str) -> Option<Verdict> {
        match self.engine {
            Engine::Values(values) => values.iter().find(|(special, _)| *special == coded).map(|(_, verdict)| *verdict),
            _ => None,
        }
    }

    /// Whether it counts in environment actions only.
    #[must_use]
    pub fn is_environment_only(&self) -> bool {
        self.environment_only
    }

    const fn compared(mut self) -> Self {
        self.engine = Engine::Compared;
        self
    }

    const fn idle(mut self, text: &'static str) -> Self {
        self.engine = Engine::Idle(text);
        self
    }

    const fn differs(mut self, text: &'static str) -> Self {
        self.engine = Engine::Differs(text);
        self
    }

    const fn minimum(mut self, built_in: u32, text: &'static str) -> Self {
        self.engine = Engine::Minimum(built_in, text);
        self
    }

    const fn refused(mut self, text: &'static str) -> Self {
        self.engine = Engine::Refused(text);
        self
    }

    const fn values(mut self, values: &'static [(&'static str, Verdict)]) -> Self {
        self.engine = Engine::Values(values);
        self
    }
}

const fn row(name: &'static str, kind: Kind, doc: &'static str) -> Parameter {
    Parameter {
        name,
        kind,
        doc,
        repeat: Repeat::Last,
        default: None,
        ibm_default: None,
        required: false,
        quiet: false,
        ours: false,
        secret: false,
        engine: Engine::Applied,
        environment_only: false,
    }
}

const fn line(name: &'static str, doc: &'static str) -> Parameter {
    row(name, Kind::Line { may_be_empty: false }, doc)
}

const fn word(name: &'static str, doc: &'static str) -> Parameter {
    row(name, Kind::Word, doc)
}

const fn dns_name(name: &'static str, doc: &'static str) -> Parameter {
    row(name, Kind::DnsName, doc)
}

/// A sub-statement in place.
const fn inline(name: &'static str, doc: &'static str) -> Parameter {
    row(name, Kind::Inline(name), doc)
}

/// A reference to a sub-statement.
const fn reference(name: &'static str, statement: &'static str, doc: &'static str) -> Parameter {
    row(name, Kind::Reference(statement), doc)
}

const fn statement_of(
    name: &'static str,
    placement: Placement,
    doc: &'static str,
    rows: &'static [Parameter],
) -> Statement {
    Statement { name, placement, conditions: &[], rows, doc, engine: Engine::Applied }
}

const fn top(name: &'static str, doc: &'static str, rows: &'static [Parameter]) -> Statement {
    statement_of(name, Placement::Top, doc, rows)
}

const fn either(name: &'static str, doc: &'static str, rows: &'static [Parameter]) -> Statement {
    statement_of(name, Placement::TopOrInline, doc, rows)
}

const fn rule(name: &'static str, doc: &'static str, rows: &'static [Parameter]) -> Statement {
    Statement {
        name,
        placement: Placement::Top,
        conditions: statements::CONDITIONS,
        rows,
        doc,
        engine: Engine::Applied,
    }
}

/// A directive has one row: its own value.
const fn directive(name: &'static str, doc: &'static str, rows: &'static [Parameter]) -> Statement {
    statement_of(name, Placement::Directive, doc, rows)
}

const fn opaque(name: &'static str, doc: &'static str, engine: Engine) -> Statement {
    Statement { name, placement: Placement::Opaque, conditions: &[], rows: &[], doc, engine }
}

/// The connection form of a statement: its rows are those of the environment form, without what only that has.
const CONNECTION_FORM: &str = "TTLSConnectionAdvancedParms";

/// Keywords that mean another one.
const SYNONYMS: &[(&str, &str)] = &[("PEPInstance", "TcpImage")];

/// Statements by keyword in lower case.
static KEYWORDS: LazyLock<HashMap<String, &'static Statement>> = LazyLock::new(|| {
    let names = STATEMENTS.iter().map(|statement| (statement.name.to_ascii_lowercase(), statement));
    let synonyms = SYNONYMS.iter().filter_map(|(synonym, name)| {
        let meant = STATEMENTS.iter().find(|statement| statement.name == *name)?;
        Some((synonym.to_ascii_lowercase(), meant))
    });
    names.chain(synonyms).collect()
});

/// Keywords longer than this are none of the table's.
const LONGEST_KEYWORD: usize = 64;

/// The statement with this keyword, in any case. `PEPInstance` is `TcpImage`.
#[must_use]
pub fn statement(keyword: &str) -> Option<&'static Statement> {
    let mut lower = [0_u8; LONGEST_KEYWORD];
    let lower = lower.get_mut(..keyword.len())?;
    lower.copy_from_slice(keyword.as_bytes());
    lower.make_ascii_lowercase();
    KEYWORDS.get(std::str::from_utf8(lower).ok()?).copied()
}

/// The synonyms and what they mean.
#[must_use]
pub fn synonyms() -> &'static [(&'static str, &'static str)] {
    SYNONYMS
}

impl Statement {
    /// Its parameters, in the order reports print them.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &'static Parameter> + use<> {
        let connection = self.name == CONNECTION_FORM;
        self.conditions.iter().chain(self.rows).filter(move |row| !(connection && row.environment_only))
    }

    /// The parameter with this keyword, in any case.
    #[must_use]
    pub fn parameter(&self, keyword: &str) -> Option<&'static Parameter> {
        self.rows().find(|parameter| parameter.name.eq_ignore_ascii_case(keyword))
    }

    /// Whether it can be given a name that others refer to.
    #[must_use]
    pub fn is_named(&self) -> bool {
        matches!(self.placement, Placement::Top | Placement::TopOrInline)
    }
}

/// The first row with this name, whatever its statement: names that several statements share mean the same thing.
#[must_use]
pub fn parameter(name: &str) -> Option<&'static Parameter> {
    static ROWS: LazyLock<HashMap<&'static str, &'static Parameter>> = LazyLock::new(|| {
        let mut rows = HashMap::default();
        for row in STATEMENTS.iter().flat_map(Statement::rows) {
            let known: &mut &'static Parameter = rows.entry(row.name).or_insert(row);
            // A row with a default says more than one without (a group's Trace and an environment's).
            if known.default.is_none() && row.default.is_some() {
                *known = row;
            }
        }
        rows
    });
    ROWS.get(name).copied()
}

/// The first row with this name in any case.
#[must_use]
pub(crate) fn parameter_of_any_case(name: &str) -> Option<&'static Parameter> {
    STATEMENTS.iter().find_map(|statement| statement.parameter(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_of_its_parameter() {
        for statement in STATEMENTS {
            for parameter in statement.rows() {
                for default in [parameter.default, parameter.ibm_default].into_iter().flatten() {
                    for word in default.split_whitespace() {
                        assert!(parameter.kind.read(word).is_some(), "{} {} {word}", statement.name, parameter.name);
                    }
                }
            }
        }
    }

    #[test]
    fn every_special_value_is_a_value_of_its_parameter() {
        for parameter in STATEMENTS.iter().flat_map(Statement::rows) {
            if let Engine::Values(values) = parameter.engine {
                for (value, _) in values {
                    assert!(parameter.kind.read(value).is_some(), "{} {value}", parameter.name);
                }
            }
        }
    }

    #[test]
    fn every_reference_and_block_names_a_statement() {
        for parameter in STATEMENTS.iter().flat_map(Statement::rows) {
            if let Kind::Reference(name) | Kind::Inline(name) = parameter.kind {
                assert!(statement(name).is_some(), "{}", parameter.name);
            }
        }
    }

    #[test]
    fn no_keyword_stands_twice_in_a_statement() {
        for statement in STATEMENTS {
            let mut names: Vec<String> = statement.rows().map(|row| row.name.to_lowercase()).collect();
            names.sort();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count, "{}", statement.name);
        }
    }

    #[test]
    fn every_row_says_what_it_is() {
        for statement in STATEMENTS {
            assert!(statement.doc.ends_with('.'), "{}", statement.name);
            for row in statement.rows() {
                assert!(row.doc.ends_with('.') && row.doc.len() <= 300, "{} {}", statement.name, row.name);
            }
        }
    }

    #[test]
    fn keywords_are_found_in_any_case_and_by_their_synonyms() {
        assert_eq!(statement("ttlsrule").map(|found| found.name), Some("TTLSRule"));
        assert_eq!(statement("PEPINSTANCE").map(|found| found.name), Some("TcpImage"));
        assert!(statement(&"x".repeat(100)).is_none() && statement("").is_none());
    }
}
