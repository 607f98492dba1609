//! What a generic profile name matches, and which of two that match wins.
//!
//! Source: *RACF Command Language Reference*, "Profile names for general resources"; *RACF Security Administrator's
//! Guide*, "Generic profile checking of general resources" and "RACF variables".

use std::cmp::Ordering;
use std::collections::HashMap;

use crate::access::Userid;

/// RACF variables (class RACFVARS): the values of each `&NAME`, in the order of its profile.
pub(crate) type Variables = HashMap<Box<[u8]>, Vec<Box<[u8]>>>;

/// What `&NAME` stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values<'a> {
    variables: &'a Variables,
    /// In the global access table: who asks, and with which group.
    asker: Option<(Userid, Userid)>,
}

impl<'a> Values<'a> {
    pub(crate) fn of(variables: &'a Variables) -> Self {
        Self { variables, asker: None }
    }

    /// The same, and `&RACUID` and `&RACGPID`.
    pub(crate) fn with_asker(self, user: Userid, group: Userid) -> Self {
        Self { asker: Some((user, group)), ..self }
    }

    /// What a resource goes on with after the first value of a variable that it begins with.
    fn strip<'r>(self, name: &[u8], resource: &'r [u8]) -> Option<&'r [u8]> {
        match (name, self.asker) {
            (b"RACUID", Some((user, _))) => resource.strip_prefix(user.as_str().as_bytes()),
            (b"RACGPID", Some((_, group))) => resource.strip_prefix(group.as_str().as_bytes()),
            _ => self.variables.get(name).into_iter().flatten().find_map(|value| resource.strip_prefix(&**value)),
        }
    }
}

/// Whether a generic name covers a resource.
///
/// A last `*` reaches over qualifiers, `.*` at the end needs one or more of them, `**` is any number; a variable is the
/// first of its values that the resource goes on with.
pub(crate) fn matches(pattern: &[u8], resource: &[u8], values: Values<'_>) -> bool {
    match pattern {
        [] => resource.is_empty(),
        [b'*', b'*'] => true,
        // No qualifier, or any number of them before the rest.
        [b'*', b'*', b'.', rest @ ..] => {
            matches(rest, resource, values) || ends(resource).any(|more| matches(rest, more, values))
        }
        // `A.**` covers A itself.
        [b'.', b'*', b'*'] => resource.is_empty() || resource.starts_with(b"."),
        [b'.', b'*', b'*', rest @ ..] => {
            let after = |more: &[u8]| matches(rest, more, values);
            after(resource) || resource.starts_with(b".") && stops(resource).any(after)
        }
        [b'.', b'*'] => resource.len() > 1 && resource.starts_with(b"."),
        [b'*'] => true,
        [b'*', rest @ ..] => matches(rest, after_qualifier(resource), values),
        [b'%', rest @ ..] => resource.split_first().is_some_and(|(_, more)| matches(rest, more, values)),
        [b'&', rest @ ..] => {
            let (name, rest) = rest.split_at(rest.iter().take_while(|byte| names_variable(**byte)).count());
            values.strip(name, resource).is_some_and(|more| matches(rest, more, values))
        }
        [literal, rest @ ..] => {
            resource.split_first().is_some_and(|(byte, more)| byte == literal && matches(rest, more, values))
        }
    }
}

/// What a resource is after each of its dots.
fn ends(resource: &[u8]) -> impl Iterator<Item = &[u8]> {
    let dots = resource.iter().enumerate().filter(|(_, byte)| **byte == b'.');
    dots.filter_map(|(at, _)| resource.get(at + 1..))
}

/// What a resource that begins with a dot is from each of its later dots on, and its very end.
fn stops(resource: &[u8]) -> impl Iterator<Item = &[u8]> {
    let dots = resource.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'.');
    dots.filter_map(|(at, _)| resource.get(at..)).chain(std::iter::once(&[][..]))
}

fn after_qualifier(resource: &[u8]) -> &[u8] {
    let end = resource.iter().position(|byte| *byte == b'.').unwrap_or(resource.len());
    resource.get(end..).unwrap_or_default()
}

/// Whether a character may be part of a variable's name.
pub(crate) fn names_variable(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"@#$".contains(&byte)
}

/// How much of a name stands before its first `*`, `%` or `&`.
pub(crate) fn literal_prefix(name: &[u8]) -> usize {
    name.iter().position(|byte| b"*%&".contains(byte)).unwrap_or(name.len())
}

/// Orders two generic names that cover the same resource, the more specific is less: literal before `&`, `%`, `*`, `**`
/// where they first differ. Two characters can differ there only behind a `*` or `**` (`**.A*` and `**.B` for A.B): IBM's
/// table shows no such pair, the first in the order of characters is taken.
pub(crate) fn specificity(one: &[u8], other: &[u8]) -> Ordering {
    symbols(one).cmp(symbols(other))
}

/// A name as symbols in order of specificity; equal literals compare equal, different ones by their characters.
fn symbols(name: &[u8]) -> impl Iterator<Item = (u8, u8)> {
    let mut bytes = name.iter().copied().peekable();
    std::iter::from_fn(move || {
        Some(match bytes.next()? {
            b'&' => (1, 0),
            b'%' => (2, 0),
            b'*' if bytes.next_if_eq(&b'*').is_some() => (4, 0),
            b'*' => (3, 0),
            literal => (0, literal),
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn covers(pattern: &str, resource: &str) -> bool {
        matches(pattern.as_bytes(), resource.as_bytes(), Values::of(&Variables::new()))
    }

    /// *Command Language Reference*, table of generic symbols.
    #[test]
    fn generic_symbols_match_as_documented() {
        for (pattern, resource, expected) in [
            ("EZB.PAG%NT", "EZB.PAGENT", true),
            ("EZB.PAG%NT", "EZB.PAGNT", false),
            ("*.ABC", "X.ABC", true),
            ("*.ABC", "X.Y.ABC", false),
            ("ABC.DE*.FGH", "ABC.DEXX.FGH", true),
            ("ABC.DE*.FGH", "ABC.DE.FGH", true),
            ("ABC.DE*.FGH", "ABC.DE.X.FGH", false),
            ("EZB.NETSTAT.*", "EZB.NETSTAT.SYSA.TCPIP.CONN", true),
            ("EZB.NETSTAT.*", "EZB.NETSTAT", false),
            ("MVS.VARY.TCPIP*", "MVS.VARY.TCPIP.DROP", true),
            ("MVS.VARY.TCPIP*", "MVS.VARY.TCPIP", true),
            ("MVS.VARY.TCPIP*", "MVS.VARY.TCPX", false),
            ("ABC.**", "ABC", true),
            ("ABC.**", "ABC.D.E", true),
            ("ABC.**", "ABCD", false),
            ("**.ABC", "ABC", true),
            ("**.ABC", "X.Y.ABC", true),
            ("**.ABC", "XABC", false),
            ("ABC.**.DEF", "ABC.DEF", true),
            ("ABC.**.DEF", "ABC.X.Y.DEF", true),
            ("ABC.**.DEF", "ABC.XDEF", false),
            ("**", "ANY.THING", true),
            ("*", "ANY.THING", true),
        ] {
            assert_eq!(covers(pattern, resource), expected, "{pattern} against {resource}");
        }
    }

    #[test]
    fn a_variable_is_its_first_value_that_goes_on_the_resource() {
        let values: Vec<Box<[u8]>> = vec![(*b"WEB").into(), (*b"WEB.FINAL").into(), (*b"DB").into()];
        let variables = Variables::from([((*b"X").into(), values)]);
        for (pattern, resource, expected) in [
            ("COPY.&X", "COPY.WEB", true),
            ("COPY.&X", "COPY.DB", true),
            ("COPY.&X", "COPY.MAIL", false),
            // WEB comes first, and nothing stands for the rest.
            ("COPY.&X", "COPY.WEB.FINAL", false),
            ("COPY.&X.**", "COPY.WEB.FINAL", true),
            ("&X.COPY", "DB.COPY", true),
            ("COPY.&Y", "COPY.WEB", false),
        ] {
            let found = matches(pattern.as_bytes(), resource.as_bytes(), Values::of(&variables));
            assert_eq!(found, expected, "{pattern} against {resource}");
        }
    }

    /// The rows of IBM's sample table, most specific first.
    #[test]
    fn the_leftmost_difference_decides() {
        let order = [
            "COPY.PAPER.%",
            "COPY.PAPER.*",
            "COPY.PAPER.**",
            "COPY.PAPER%",
            "COPY.PAPER*",
            "COPY.PAPE%",
            "COPY.PAP*",
            "COPY.&X",
            "COPY.%APER",
            // Two characters that differ behind a `**`.
            "**.A*",
            "**.B",
        ];
        let mut sorted = order;
        sorted.reverse();
        sorted.sort_by(|a, b| specificity(a.as_bytes(), b.as_bytes()));
        assert_eq!(sorted, order);
    }

    /// The same rules as a regular expression.
    fn expression(pattern: &str) -> regex::Regex {
        let mut text = String::from("^");
        let qualifiers: Vec<&str> = pattern.split('.').collect();
        for (at, qualifier) in qualifiers.iter().enumerate() {
            let last = at + 1 == qualifiers.len();
            let before = if at == 0 { "" } else { r"\." };
            match *qualifier {
                "**" if last && at == 0 => text += ".*",
                "**" if last => text += r"(\..*)?",
                "**" if at == 0 => text += r"([^.]*\.)*",
                // Each of its qualifiers brings the dot before it; the next brings its own.
                "**" => text += r"(\.[^.]*)*",
                qualifier => {
                    // After a leading `**` the dots have come with what it stands for.
                    text += if at == 1 && qualifiers.first() == Some(&"**") { "" } else { before };
                    for byte in qualifier.chars() {
                        match byte {
                            '%' => text += ".",
                            '*' if last && qualifier == "*" && at > 0 => text += ".+",
                            '*' if last => text += ".*",
                            '*' => text += "[^.]*",
                            literal => text += &regex::escape(&literal.to_string()),
                        }
                    }
                }
            }
        }
        regex::Regex::new(&(text + "$")).expect("an expression")
    }

    proptest! {
        #[test]
        fn matching_is_what_the_rules_say_as_a_regular_expression(
            qualifiers in prop::collection::vec("[AB%]{1,2}\\*?|\\*", 1..5),
            double in prop::option::of(0_usize..5),
            resource in prop::collection::vec("[AB]{1,3}", 1..6),
        ) {
            let mut qualifiers = qualifiers;
            if let Some(at) = double {
                qualifiers.insert(at.min(qualifiers.len()), "**".to_owned());
            }
            let (pattern, resource) = (qualifiers.join("."), resource.join("."));
            prop_assert_eq!(covers(&pattern, &resource), expression(&pattern).is_match(&resource), "{} {}", pattern, resource);
        }
    }
}
