//! Profile names: discrete and generic.
//!
//! Source: *RACF Command Language Reference*, "Profile names for general resources".

use std::cmp::Ordering;
use std::fmt;

use serde::Serialize;

use crate::class::ClassDescriptor;
use crate::pattern;

/// A general resource profile's name.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Ord, PartialOrd, Serialize)]
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
    /// `*` with more of its qualifier behind it.
    Asterisk,
    /// In class RACFVARS: no `&` and a name of up to 7 characters.
    Variable,
}

impl ProfileName {
    /// Reads a profile name. A name with `*`, `%` or `&` is generic when the class has generics, discrete otherwise.
    pub(crate) fn parse(text: &str, generics: bool, class: &ClassDescriptor) -> Result<Self, BadName> {
        let name = if class.as_is { text.to_owned() } else { text.to_ascii_uppercase() };
        let printable = |c: char| c.is_ascii_graphic() && !"()',;".contains(c);
        if name.is_empty() || name.len() > class.max_length || !name.chars().all(printable) {
            return Err(BadName::Characters);
        }
        if class.name == "RACFVARS" {
            let variable = name.strip_prefix('&').is_some_and(|rest| (1..=7).contains(&rest.len()));
            let plain = name.bytes().skip(1).all(pattern::names_variable);
            return if variable && plain { Ok(Self { name, generic: false }) } else { Err(BadName::Variable) };
        }
        let generic = generics && name.contains(['*', '%', '&']);
        if generic {
            let doubles = name.split('.').filter(|qualifier| *qualifier == "**").count();
            if doubles > 1 || name.split('.').any(|qualifier| qualifier.contains("**") && qualifier != "**") {
                return Err(BadName::DoubleAsterisk);
            }
            let ends_early = |qualifier: &str| qualifier.find('*').is_some_and(|at| at + 1 < qualifier.len());
            if name.split('.').any(|qualifier| qualifier != "**" && ends_early(qualifier)) {
                return Err(BadName::Asterisk);
            }
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

    /// Whether `*`, `%` and `&` in it match.
    #[must_use]
    pub fn is_generic(&self) -> bool {
        self.generic
    }

    /// Orders two profiles that cover the same resource: the more specific is less, and discrete comes first.
    #[must_use]
    pub fn specificity(&self, other: &Self) -> Ordering {
        let by_name = || pattern::specificity(self.name.as_bytes(), other.name.as_bytes());
        self.generic.cmp(&other.generic).then_with(by_name)
    }
}

/// As RLIST prints it: generics with `(G)`.
impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.generic { f.write_str(" (G)") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class;

    #[test]
    fn asterisks_stand_where_racf_takes_them() {
        let servauth = class::find("SERVAUTH").expect("a class");
        let parse = |name| ProfileName::parse(name, true, servauth);
        assert_eq!(parse("A.**.B.**"), Err(BadName::DoubleAsterisk));
        assert_eq!(parse("A.B**"), Err(BadName::DoubleAsterisk));
        assert_eq!(parse("A.B*C.D"), Err(BadName::Asterisk));
        assert_eq!(parse("A B"), Err(BadName::Characters));
        assert!(parse("a.b*.c").is_ok_and(|name| name.is_generic() && name.as_str() == "A.B*.C"));
        assert!(parse("COPY.&X").is_ok_and(|name| name.is_generic()));
        assert!(ProfileName::parse("A.*", false, servauth).is_ok_and(|name| !name.is_generic()));
    }

    #[test]
    fn variables_are_discrete_and_certificates_keep_their_case() {
        let racfvars = class::find("RACFVARS").expect("a class");
        assert!(ProfileName::parse("&printer", true, racfvars).is_ok_and(|name| name.as_str() == "&PRINTER"));
        assert_eq!(ProfileName::parse("PRINTER", true, racfvars), Err(BadName::Variable));
        assert_eq!(ProfileName::parse("&A.B", true, racfvars), Err(BadName::Variable));
        let rings = class::find("DIGTRING").expect("a class");
        assert!(ProfileName::parse("TCPIP.Ring", true, rings).is_ok_and(|name| name.as_str() == "TCPIP.Ring"));
    }
}
