//! Access levels and user ids.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// `NONE < EXECUTE < READ < UPDATE < CONTROL < ALTER`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "RACF's own words")]
pub enum Access {
    None,
    Execute,
    Read,
    Update,
    Control,
    Alter,
}

impl Access {
    /// Every level, the lowest first.
    pub const ALL: [Self; 6] = [Self::None, Self::Execute, Self::Read, Self::Update, Self::Control, Self::Alter];

    /// As RACF writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Execute => "EXECUTE",
            Self::Read => "READ",
            Self::Update => "UPDATE",
            Self::Control => "CONTROL",
            Self::Alter => "ALTER",
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The word is no access level.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotAccess;

impl FromStr for Access {
    type Err = NotAccess;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|access| access.name().eq_ignore_ascii_case(word)).ok_or(NotAccess)
    }
}

/// A user id or group name: 1–8 characters of A–Z 0–9 @ # $, the first no digit.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Ord, PartialOrd, Serialize)]
pub struct Userid(String);

impl Userid {
    /// Reads a user id in any case; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let upper = text.to_ascii_uppercase();
        let valid = (1..=8).contains(&upper.len())
            && upper.starts_with(|first: char| !first.is_ascii_digit())
            && upper.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || "@#$".contains(c));
        valid.then_some(Self(upper))
    }

    /// In upper case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Userid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
