//! TSO command lines: a verb, operands by position, keywords with values in parentheses, in any case.

use super::{Failure, fail};

/// A command line, taken apart.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Words {
    /// The verb, upper case.
    pub(crate) verb: String,
    operands: Vec<Operand>,
}

/// A word with what stands in parentheses right behind it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Operand {
    /// The word as written; empty for a parenthesized list of its own.
    word: String,
    values: Option<Vec<String>>,
}

/// The keywords a command was given.
#[derive(Debug)]
pub(crate) struct Keywords(Vec<(&'static str, Option<Vec<String>>)>);

impl Words {
    /// Takes a line apart. Values in quotes keep their blanks and their case.
    pub(crate) fn read(line: &str) -> Result<Self, Failure> {
        let mut operands = Vec::new();
        let mut rest = line.trim_start();
        while !rest.is_empty() {
            let end = rest.find(|c: char| c.is_whitespace() || c == '(' || c == ',').unwrap_or(rest.len());
            let (word, tail) = rest.split_at(end);
            let (values, tail) = match tail.strip_prefix('(') {
                Some(inside) => {
                    let (values, tail) = list(inside, word)?;
                    (Some(values), tail)
                }
                None => (None, tail),
            };
            if word.contains([')', '\'']) {
                return fail(format!("IKJ56712I INVALID KEYWORD, {word}"));
            }
            if !word.is_empty() || values.is_some() {
                operands.push(Operand { word: word.to_owned(), values });
            }
            rest = tail.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        }
        let verb = operands.first().map(|operand| operand.word.to_ascii_uppercase()).unwrap_or_default();
        if verb.is_empty() {
            return fail("IKJ56621I INVALID COMMAND NAME SYNTAX");
        }
        operands.remove(0);
        Ok(Self { verb, operands })
    }

    /// The operand at a position: a word, or a list in parentheses.
    pub(crate) fn positional(&self, index: usize, what: &str) -> Result<Vec<String>, Failure> {
        let found = self.operands.get(index).and_then(|operand| match &operand.values {
            None => Some(vec![operand.word.clone()]),
            Some(values) if operand.word.is_empty() => Some(values.clone()),
            Some(_) => None,
        });
        match found.filter(|values| !values.is_empty()) {
            Some(values) => Ok(values),
            None => fail(format!("IKJ56701I MISSING {what}+")),
        }
    }

    /// The keywords after `skip` positional operands; any unique beginning of a keyword will do.
    pub(crate) fn keywords(&self, skip: usize, known: &[&'static str]) -> Result<Keywords, Failure> {
        let mut keywords = Vec::new();
        for operand in self.operands.iter().skip(skip) {
            let word = operand.word.to_ascii_uppercase();
            let exact = known.iter().find(|name| **name == word);
            let mut begun = known.iter().filter(|name| !word.is_empty() && name.starts_with(&word));
            let found = match (exact, begun.next(), begun.next()) {
                (Some(name), _, _) | (None, Some(name), None) => *name,
                (None, Some(_), Some(_)) => return fail(format!("IKJ56703I AMBIGUOUS KEYWORD, {word}")),
                (None, None, _) => return fail(format!("IKJ56712I INVALID KEYWORD, {word}")),
            };
            keywords.push((found, operand.values.clone()));
        }
        Ok(Keywords(keywords))
    }
}

impl Keywords {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(found, _)| *found == name)
    }

    /// The values of a keyword; none when it is not given.
    pub(crate) fn list(&self, name: &str) -> Option<&[String]> {
        let found = self.0.iter().rev().find(|(found, _)| *found == name);
        found.map(|(_, values)| values.as_deref().unwrap_or_default())
    }

    /// The one value of a keyword.
    pub(crate) fn value(&self, name: &str) -> Result<Option<&str>, Failure> {
        match self.list(name) {
            None => Ok(None),
            Some([value]) => Ok(Some(value)),
            Some([]) => fail(format!("IKJ56701I MISSING {name} VALUE+")),
            Some(_) => fail(format!("IKJ56702I INVALID {name}, ONE VALUE IS EXPECTED")),
        }
    }
}

/// The values up to the closing parenthesis, and what follows it.
fn list<'a>(text: &'a str, word: &str) -> Result<(Vec<String>, &'a str), Failure> {
    let mut values = Vec::new();
    let mut value = String::new();
    let mut characters = text.char_indices().peekable();
    let mut quoted = false;
    let mut had_quotes = false;
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' if quoted && characters.peek().is_some_and(|(_, next)| *next == '\'') => {
                characters.next();
                value.push('\'');
            }
            '\'' => {
                quoted = !quoted;
                had_quotes = true;
            }
            character if quoted => value.push(character),
            '(' => return fail(format!("IKJ56702I INVALID {word}, NESTED PARENTHESES ARE NOT EXPECTED")),
            ')' | ',' => {
                if !value.is_empty() || had_quotes {
                    values.push(std::mem::take(&mut value));
                }
                had_quotes = false;
                if character == ')' {
                    return Ok((values, text.get(at + 1..).unwrap_or_default()));
                }
            }
            character if character.is_whitespace() => {
                if !value.is_empty() || had_quotes {
                    values.push(std::mem::take(&mut value));
                }
                had_quotes = false;
            }
            character => value.push(character),
        }
    }
    let missing = if quoted { "QUOTE" } else { "RIGHT PARENTHESIS" };
    fail(format!("IKJ56701I MISSING {missing} AFTER {word}("))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_apart_as_tso_reads_it() {
        let words = Words::read("permit EZB.** class(servauth) ID(ALICE, BOB) AC(READ)").expect("a command");
        assert_eq!(words.verb, "PERMIT");
        assert_eq!(words.positional(0, "PROFILE").ok(), Some(vec!["EZB.**".to_owned()]));
        let keywords = words.keywords(1, &["CLASS", "ID", "ACCESS"]).expect("keywords");
        assert_eq!(keywords.list("ID"), Some(["ALICE".to_owned(), "BOB".to_owned()].as_slice()));
        assert_eq!(keywords.value("ACCESS").ok().flatten(), Some("READ"));
    }

    #[test]
    fn quotes_keep_blanks_and_double_quotes_are_one() {
        let words = Words::read("ADDUSER ALICE NAME('A. O''HARA (X)')").expect("a command");
        let keywords = words.keywords(1, &["NAME"]).expect("keywords");
        assert_eq!(keywords.value("NAME").ok().flatten(), Some("A. O'HARA (X)"));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (line, message) in [
            ("PERMIT X CLASS(SERVAUTH", "IKJ56701I MISSING RIGHT PARENTHESIS AFTER CLASS("),
            ("", "IKJ56621I INVALID COMMAND NAME SYNTAX"),
            ("PERMIT X)", "IKJ56712I INVALID KEYWORD, X)"),
        ] {
            assert!(matches!(Words::read(line), Err(Failure::Message(text)) if text == message), "{line}");
        }
        let words = Words::read("PERMIT X CLSS(A) C(A)").expect("a command");
        let failure = words.keywords(1, &["CLASS", "CONNECT"]);
        assert!(matches!(failure, Err(Failure::Message(text)) if text == "IKJ56712I INVALID KEYWORD, CLSS"));
        let failure = Words::read("PERMIT X C(A)").expect("a command").keywords(1, &["CLASS", "CONNECT"]);
        assert!(matches!(failure, Err(Failure::Message(text)) if text == "IKJ56703I AMBIGUOUS KEYWORD, C"));
    }
}
