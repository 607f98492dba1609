//! TSO command lines: a verb, operands by position, keywords with values in parentheses, in any case.

use std::fmt;

use super::{Failure, fail};

/// How deep parentheses may stand in one another: no command of RACF has more than three.
const MAX_DEPTH: usize = 8;

/// A command line, taken apart.
#[derive(Debug, Eq, PartialEq)]
pub struct Words {
    /// The verb, upper case.
    pub verb: String,
    operands: Vec<Operand>,
}

/// A word with what stands in parentheses right behind it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Operand {
    /// The word as written, without its quotes; empty for a parenthesized list of its own.
    word: String,
    values: Option<Vec<Self>>,
}

/// The keywords a command was given.
#[derive(Debug)]
pub struct Keywords(Vec<(&'static str, Option<Vec<Operand>>)>);

impl Words {
    /// Takes a line apart. What stands in quotes keeps its blanks and its case.
    pub(crate) fn read(line: &str) -> Result<Self, Failure> {
        if line.chars().any(|character| character.is_control() && character != '\t') {
            return fail("IKJ56702I INVALID COMMAND, CONTROL CHARACTERS ARE NOT EXPECTED");
        }
        let mut rest = line;
        let mut operands = list(&mut rest, "", 0)?;
        if operands.first().is_none_or(|verb| verb.word.is_empty() || verb.values.is_some()) {
            return fail("IKJ56621I INVALID COMMAND NAME SYNTAX");
        }
        let verb = operands.remove(0).word.to_ascii_uppercase();
        Ok(Self { verb, operands })
    }

    /// The operand at a position: a word, or a list in parentheses.
    pub(crate) fn positional(&self, index: usize, what: &str) -> Result<Vec<String>, Failure> {
        match self.optional(index) {
            Some(values) if !values.is_empty() => Ok(values),
            _ => fail(format!("IKJ56701I MISSING {what}+")),
        }
    }

    /// The operand at a position, if it is none of these keywords.
    pub(crate) fn unless_keyword(&self, index: usize, known: &[&'static str]) -> Option<Vec<String>> {
        let operand = self.operands.get(index)?;
        let is_keyword = operand.values.is_some() && !operand.word.is_empty() || keyword(&operand.word, known).is_ok();
        if is_keyword { None } else { self.optional(index) }
    }

    fn optional(&self, index: usize) -> Option<Vec<String>> {
        let operand = self.operands.get(index)?;
        match &operand.values {
            None => Some(vec![operand.word.clone()]),
            Some(values) if operand.word.is_empty() => Some(values.iter().map(|value| value.word.clone()).collect()),
            Some(_) => None,
        }
    }

    /// The first operand that is one of these keywords, or a unique beginning of one.
    #[must_use]
    pub fn first_of(&self, known: &[&'static str]) -> Option<&'static str> {
        self.operands.iter().find_map(|operand| keyword(&operand.word, known).ok())
    }

    /// The keywords after `skip` positional operands; any unique beginning of a keyword will do.
    ///
    /// # Errors
    ///
    /// When a word is no keyword, or the beginning of several.
    pub fn keywords(&self, skip: usize, known: &[&'static str]) -> Result<Keywords, Failure> {
        Keywords::read(self.operands.get(skip..).unwrap_or_default(), known)
    }
}

/// As it is recorded: single blanks, and no passwords. Those are also what begins like one in a command on users or certificates,
/// and a list behind it.
impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.verb)?;
        let of_users = ["ADDUSER", "AU", "ALTUSER", "ALU", "RACDCERT"].contains(&self.verb.as_str());
        let mut secret = false;
        for operand in &self.operands {
            let word = operand.word.to_ascii_uppercase();
            let begins =
                ["PA", "PH"].iter().any(|begins| word.starts_with(begins)) || of_users && word.starts_with('P');
            secret = begins || secret && word.is_empty();
            match secret && operand.values.is_some() {
                true => write!(f, " {}(***)", operand.word)?,
                false => write!(f, " {operand}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_ascii_graphic() && !"'(),".contains(c);
        match self.word.chars().all(plain) {
            true => f.write_str(&self.word)?,
            false => write!(f, "'{}'", self.word.replace('\'', "''"))?,
        }
        let Some(values) = &self.values else { return Ok(()) };
        f.write_str("(")?;
        for (number, value) in values.iter().enumerate() {
            write!(f, "{}{value}", if number == 0 { "" } else { " " })?;
        }
        f.write_str(")")
    }
}

impl Keywords {
    fn read(operands: &[Operand], known: &[&'static str]) -> Result<Self, Failure> {
        let keywords = operands.iter().map(|operand| Ok((keyword(&operand.word, known)?, operand.values.clone())));
        Ok(Self(keywords.collect::<Result<_, Failure>>()?))
    }

    /// Whether a keyword is given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(found, _)| *found == name)
    }

    /// Whether `name` is given, or its opposite; none of both says nothing.
    #[must_use]
    pub fn switch(&self, name: &str, opposite: &str) -> Option<bool> {
        let last = self.0.iter().rev().find(|(found, _)| *found == name || *found == opposite);
        last.map(|(found, _)| *found == name)
    }

    fn operands(&self, name: &str) -> Option<&[Operand]> {
        let found = self.0.iter().rev().find(|(found, _)| *found == name);
        found.map(|(_, values)| values.as_deref().unwrap_or_default())
    }

    /// The values of a keyword; none when it is not given.
    #[must_use]
    pub fn list(&self, name: &str) -> Option<Vec<&str>> {
        self.operands(name).map(|values| values.iter().map(|value| value.word.as_str()).collect())
    }

    /// The one value of a keyword.
    ///
    /// # Errors
    ///
    /// When it has none, or several.
    pub fn value(&self, name: &str) -> Result<Option<&str>, Failure> {
        match self.operands(name) {
            None => Ok(None),
            Some([value]) => Ok(Some(&value.word)),
            Some([]) => fail(format!("IKJ56701I MISSING {name} VALUE+")),
            Some(_) => fail(format!("IKJ56702I INVALID {name}, ONE VALUE IS EXPECTED")),
        }
    }

    /// The keywords that stand as a keyword's value.
    ///
    /// # Errors
    ///
    /// When a word among them is not known.
    pub fn nested(&self, name: &str, known: &[&'static str]) -> Result<Option<Self>, Failure> {
        self.operands(name).map(|values| Self::read(values, known)).transpose()
    }

    /// Each keyword of a nested list with its value: `WHEN(TERMINAL(T1))`, `AUDIT(SUCCESS(READ) FAILURES)`.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, Vec<&str>)> {
        self.0.iter().map(|(name, values)| {
            let values = values.iter().flatten().map(|value| value.word.as_str()).collect();
            (*name, values)
        })
    }
}

fn keyword(word: &str, known: &[&'static str]) -> Result<&'static str, Failure> {
    let word = word.to_ascii_uppercase();
    let exact = known.iter().find(|name| **name == word);
    let mut begun = known.iter().filter(|name| !word.is_empty() && name.starts_with(&word));
    match (exact, begun.next(), begun.next()) {
        (Some(name), _, _) | (None, Some(name), None) => Ok(name),
        (None, Some(_), Some(_)) => fail(format!("IKJ56703I AMBIGUOUS KEYWORD, {word}")),
        (None, None, _) => fail(format!("IKJ56712I INVALID KEYWORD, {word}")),
    }
}

/// Words up to the closing parenthesis, or to the end on the outside.
fn list(rest: &mut &str, of: &str, depth: usize) -> Result<Vec<Operand>, Failure> {
    if depth > MAX_DEPTH {
        return fail(format!("IKJ56702I INVALID {of}, PARENTHESES ARE NESTED TOO DEEP"));
    }
    let mut operands = Vec::new();
    loop {
        *rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        let Some(first) = rest.chars().next() else {
            return if depth == 0 {
                Ok(operands)
            } else {
                fail(format!("IKJ56701I MISSING RIGHT PARENTHESIS AFTER {of}("))
            };
        };
        if first == ')' {
            if depth == 0 {
                let before = operands.last().map_or("", |operand: &Operand| operand.word.as_str());
                return fail(format!("IKJ56712I INVALID KEYWORD, {before})"));
            }
            *rest = rest.get(1..).unwrap_or_default();
            return Ok(operands);
        }
        let word = word(rest)?;
        let values = match rest.strip_prefix('(') {
            Some(inside) => {
                *rest = inside;
                Some(list(rest, &word, depth + 1)?)
            }
            None => None,
        };
        operands.push(Operand { word, values });
    }
}

/// A word of quoted and plain pieces.
fn word(rest: &mut &str) -> Result<String, Failure> {
    let mut word = String::new();
    let mut quoted = false;
    let mut characters = rest.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' if quoted && characters.peek().is_some_and(|(_, next)| *next == '\'') => {
                characters.next();
                word.push('\'');
            }
            '\'' => quoted = !quoted,
            character if quoted => word.push(character),
            '(' | ')' | ',' => {
                *rest = rest.get(at..).unwrap_or_default();
                return Ok(word);
            }
            character if character.is_whitespace() => {
                *rest = rest.get(at..).unwrap_or_default();
                return Ok(word);
            }
            character => word.push(character),
        }
    }
    *rest = "";
    if quoted { fail(format!("IKJ56701I MISSING QUOTE AFTER {word}")) } else { Ok(word) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T>(result: Result<T, Failure>) -> String {
        match result {
            Err(Failure::Message(message)) => message,
            _ => String::new(),
        }
    }

    #[test]
    fn a_line_comes_apart_as_tso_reads_it() {
        let words = Words::read("permit EZB.** class(servauth) ID(ALICE, BOB) AC(READ)").expect("a command");
        assert_eq!(words.verb, "PERMIT");
        assert_eq!(words.positional(0, "PROFILE").ok(), Some(vec!["EZB.**".to_owned()]));
        let keywords = words.keywords(1, &["CLASS", "ID", "ACCESS"]).expect("keywords");
        assert_eq!(keywords.list("ID"), Some(vec!["ALICE", "BOB"]));
        assert_eq!(keywords.value("ACCESS").ok().flatten(), Some("READ"));
        let lists = Words::read("RDEF SERVAUTH (EZB.A EZB.B)").expect("a command");
        assert_eq!(lists.positional(1, "PROFILE").ok(), Some(vec!["EZB.A".to_owned(), "EZB.B".to_owned()]));
    }

    #[test]
    fn quotes_keep_blanks_and_double_quotes_are_one() {
        let words = Words::read("ADDUSER ALICE NAME('A. O''HARA (X)')").expect("a command");
        let keywords = words.keywords(1, &["NAME"]).expect("keywords");
        assert_eq!(keywords.value("NAME").ok().flatten(), Some("A. O'HARA (X)"));
        let global = Words::read("RDEF GLOBAL SERVAUTH ADDMEM('EZB.**'/READ)").expect("a command");
        let keywords = global.keywords(2, &["ADDMEM"]).expect("keywords");
        assert_eq!(keywords.list("ADDMEM"), Some(vec!["EZB.**/READ"]));
    }

    #[test]
    fn what_is_recorded_has_no_passwords_and_no_padding() {
        let shown = crate::command::shown;
        let line = format!("PERMIT {} EZB.** CLASS(SERVAUTH)   ID(A,B)", " ".repeat(1000));
        assert_eq!(shown(&line), "PERMIT EZB.** CLASS(SERVAUTH) ID(A B)");
        assert_eq!(
            shown("ALU A PASSWORD(secret) phrase('my secret') NAME('A (B)''S')"),
            "ALU A PASSWORD(***) phrase(***) NAME('A (B)''S')"
        );
        for hidden in
            ["ALU A PASSWORD (secret)", "ALU A P(secret)", "AU A PWD('secret')", "RACDCERT ADD(X) PASSWORD(secret)"]
        {
            assert!(!shown(hidden).contains("secret"), "{hidden}");
        }
        assert_eq!(shown("ALU A OMVS(PROGRAM(/bin/sh))"), "ALU A OMVS(PROGRAM(/bin/sh))");
        assert_eq!(shown("alu a pass(secret"), "alu (not understood)");
    }

    #[test]
    fn keywords_nest() {
        let words = Words::read("ALU A OMVS(UID(5) HOME('/u/a')) AUDIT(SUCCESS(READ) FAILURES)").expect("a command");
        let keywords = words.keywords(1, &["OMVS", "AUDIT"]).expect("keywords");
        let omvs = keywords.nested("OMVS", &["UID", "HOME"]).ok().flatten().expect("a segment");
        assert_eq!(omvs.value("UID").ok().flatten(), Some("5"));
        assert_eq!(omvs.value("HOME").ok().flatten(), Some("/u/a"));
        let audit = keywords.nested("AUDIT", &["SUCCESS", "FAILURES"]).ok().flatten().expect("values");
        assert_eq!(audit.pairs().collect::<Vec<_>>(), [("SUCCESS", vec!["READ"]), ("FAILURES", vec![])]);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (line, expected) in [
            ("PERMIT X CLASS(SERVAUTH", "IKJ56701I MISSING RIGHT PARENTHESIS AFTER CLASS("),
            ("", "IKJ56621I INVALID COMMAND NAME SYNTAX"),
            ("(A)", "IKJ56621I INVALID COMMAND NAME SYNTAX"),
            ("PERMIT X)", "IKJ56712I INVALID KEYWORD, X)"),
            ("ADDUSER A NAME('X", "IKJ56701I MISSING QUOTE AFTER X"),
        ] {
            assert_eq!(message(Words::read(line)), expected, "{line}");
        }
        let deep = format!("A B{}", "(C".repeat(100_000));
        assert!(message(Words::read(&deep)).contains("NESTED TOO DEEP"));
        let words = Words::read("PERMIT X CLSS(A) C(A)").expect("a command");
        assert_eq!(message(words.keywords(1, &["CLASS", "CONNECT"])), "IKJ56712I INVALID KEYWORD, CLSS");
        let words = Words::read("PERMIT X C(A)").expect("a command");
        assert_eq!(message(words.keywords(1, &["CLASS", "CONNECT"])), "IKJ56703I AMBIGUOUS KEYWORD, C");
    }
}
