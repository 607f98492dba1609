//! Profile names: discrete and generic, what they match, which one wins.
//!
//! Source: *RACF Command Language Reference*, "Generic profile checking of general resources".

use std::cmp::Ordering;
use std::fmt;

use serde::Serialize;

/// A general resource profile's name.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize)]
pub struct ProfileName {
    name: String,
    generic: bool,
}

/// Why a name is no profile name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BadName {
    /// Empty, too long, or with characters no resource has.
    Characters,
    /// `**` more than once, or joined with other characters.
    DoubleAsterisk,
}

impl ProfileName {
    /// Reads a profile name. A name with `*` or `%` is generic when the class has generics, discrete otherwise.
    pub(crate) fn parse(text: &str, generics: bool, max_length: usize) -> Result<Self, BadName> {
        let name = text.to_ascii_uppercase();
        let printable = |c: char| c.is_ascii_graphic() && !"()',;".contains(c);
        if name.is_empty() || name.len() > max_length || !name.chars().all(printable) {
            return Err(BadName::Characters);
        }
        let generic = generics && name.contains(['*', '%']);
        let qualifiers = name.split('.');
        let doubles = qualifiers.clone().filter(|qualifier| *qualifier == "**").count();
        let joined = qualifiers.clone().any(|qualifier| qualifier.contains("**") && qualifier != "**");
        if generic && (doubles > 1 || joined) {
            return Err(BadName::DoubleAsterisk);
        }
        Ok(Self { name, generic })
    }

    /// As stored.
    pub(crate) fn stored(name: String, generic: bool) -> Self {
        Self { name, generic }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Whether `*` and `%` in it match.
    #[must_use]
    pub fn is_generic(&self) -> bool {
        self.generic
    }

    /// Whether the profile covers a resource.
    #[must_use]
    pub fn matches(&self, resource: &str) -> bool {
        if !self.generic {
            return self.name == resource;
        }
        let pattern: Vec<&str> = self.name.split('.').collect();
        let qualifiers: Vec<&str> = resource.split('.').collect();
        matches_qualifiers(&pattern, &qualifiers)
    }

    /// Orders two profiles that cover the same resource: the more specific is less. Discrete comes first; of generics
    /// the one that is more specific where they first differ, literal before `%`, `*`, `**`.
    #[must_use]
    pub fn specificity(&self, other: &Self) -> Ordering {
        self.generic.cmp(&other.generic).then_with(|| symbols(&self.name).cmp(&symbols(&other.name)))
    }
}

/// As RLIST prints it: generics with `(G)`.
impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.generic { f.write_str(" (G)") } else { Ok(()) }
    }
}

/// Qualifier by qualifier. `**` stands for any number, a last `*` qualifier for one or more, a name that ends in `*`
/// reaches over qualifiers.
fn matches_qualifiers(pattern: &[&str], qualifiers: &[&str]) -> bool {
    match (pattern.split_first(), qualifiers.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => (0..=qualifiers.len())
            .any(|skipped| matches_qualifiers(rest, qualifiers.get(skipped..).unwrap_or_default())),
        (Some((&"*", [])), Some(_)) => true,
        // More qualifiers may follow: the end of a profile reaches over dots.
        (Some((last, [])), Some((first, _))) if last.ends_with('*') => {
            matches_prefix(last.trim_end_matches('*'), first)
        }
        (Some((head, rest)), Some((first, more))) => matches_one(head, first) && matches_qualifiers(rest, more),
        _ => false,
    }
}

/// `%` for one character, each of the stem's characters in its place; more may follow.
fn matches_prefix(stem: &str, text: &str) -> bool {
    stem.len() <= text.len() && stem.bytes().zip(text.bytes()).all(|(p, c)| p == b'%' || p == c)
}

/// One qualifier: `*` alone is any, a trailing `*` any rest of it, `%` any character.
fn matches_one(pattern: &str, qualifier: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(stem) => matches_prefix(stem, qualifier),
        None => pattern.len() == qualifier.len() && matches_prefix(pattern, qualifier),
    }
}

/// A name as symbols in order of specificity; equal literals compare equal, different ones by their characters.
fn symbols(name: &str) -> Vec<(u8, u8)> {
    let mut symbols = Vec::with_capacity(name.len());
    let mut bytes = name.bytes().peekable();
    while let Some(byte) = bytes.next() {
        symbols.push(match byte {
            b'%' => (1, 0),
            b'*' if bytes.next_if_eq(&b'*').is_some() => (3, 0),
            b'*' => (2, 0),
            literal => (0, literal),
        });
    }
    symbols
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str) -> ProfileName {
        ProfileName::parse(name, true, 246).expect(name)
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
            ("**.ABC", "X.Y.ABC", true),
            ("ABC.**.DEF", "ABC.DEF", true),
            ("ABC.**.DEF", "ABC.X.Y.DEF", true),
            ("**", "ANY.THING", true),
            ("*", "ANY.THING", true),
        ] {
            assert_eq!(profile(pattern).matches(resource), expected, "{pattern} against {resource}");
        }
    }

    /// racf.md's sample rows, most specific first.
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
            "COPY.%APER",
        ];
        let mut sorted = order.map(profile);
        sorted.sort_by(ProfileName::specificity);
        assert_eq!(sorted.map(|profile| profile.as_str().to_owned()), order);
    }

    #[test]
    fn the_worked_examples_have_their_winners() {
        for (resource, profiles, winner) in [
            (
                "EZB.PORTACCESS.SYSA.TCPIP.WEB",
                vec!["EZB.**", "EZB.PORTACCESS.**", "EZB.PORTACCESS.*.*.WEB", "EZB.PORTACCESS.SYSA.**"],
                "EZB.PORTACCESS.SYSA.**",
            ),
            (
                "EZB.PORTACCESS.SYSA.TCPIP.WEB",
                vec!["EZB.PORTACCESS.SYSA.**", "EZB.PORTACCESS.SYSA.TCPIP.W*", "EZB.PORTACCESS.SYSA.TCPIP.W%%"],
                "EZB.PORTACCESS.SYSA.TCPIP.W%%",
            ),
            (
                "MVS.VARY.TCPIP.DROP",
                vec!["MVS.VARY.TCPIP.**", "MVS.VARY.TCPIP.*", "MVS.VARY.TCPIP*", "MVS.VARY.*.DROP"],
                "MVS.VARY.TCPIP.*",
            ),
            ("MVS.VARY.TCPIP", vec!["MVS.VARY.TCPIP.**", "MVS.VARY.TCPIP.*", "MVS.VARY.TCPIP*"], "MVS.VARY.TCPIP.**"),
            ("EZB.X", vec!["EZB.*", "EZB.**", "EZB*"], "EZB.*"),
        ] {
            let mut matching: Vec<ProfileName> =
                profiles.into_iter().map(profile).filter(|profile| profile.matches(resource)).collect();
            matching.sort_by(ProfileName::specificity);
            assert_eq!(matching[0].as_str(), winner, "{resource}");
        }
    }

    #[test]
    fn double_asterisks_stand_alone_and_once() {
        assert_eq!(ProfileName::parse("A.**.B.**", true, 246), Err(BadName::DoubleAsterisk));
        assert_eq!(ProfileName::parse("A.B**", true, 246), Err(BadName::DoubleAsterisk));
        assert_eq!(ProfileName::parse("A B", true, 246), Err(BadName::Characters));
    }
}
