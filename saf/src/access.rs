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

/// A user id or group name: 1–8 characters of A–Z 0–9 @ # $, the first no digit. Also what stands for several of them in
/// an access list: `*`, `&RACUID`, `&RACGRP`.
///
/// Blank-padded, so that a million access lists are small and compare fast.
#[derive(Clone, Copy, Eq, PartialEq, Hash, Ord, PartialOrd)]
pub struct Userid([u8; 8]);

impl Userid {
    /// Every user RACF knows.
    pub const ALL: Self = Self(*b"*       ");
    /// In an access list: the user who asks.
    pub const RACUID: Self = Self(*b"&RACUID ");
    /// In an access list: the group that user asks with.
    pub const RACGRP: Self = Self(*b"&RACGRP ");

    /// Reads a user id in any case; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut padded = [b' '; 8];
        let place = padded.get_mut(..text.len()).filter(|place| !place.is_empty())?;
        place.copy_from_slice(text.as_bytes());
        place.make_ascii_uppercase();
        let valid = !place.first()?.is_ascii_digit()
            && place.iter().all(|byte| byte.is_ascii_alphanumeric() || b"@#$".contains(byte));
        valid.then_some(Self(padded))
    }

    /// Reads what an access list may hold: a user id, a group name, `*`, `&RACUID`, `&RACGRP`.
    #[must_use]
    pub fn parse_listed(text: &str) -> Option<Self> {
        let special = [Self::ALL, Self::RACUID, Self::RACGRP];
        special.into_iter().find(|id| id.as_str().eq_ignore_ascii_case(text)).or_else(|| Self::parse(text))
    }

    /// In upper case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever put in.
        std::str::from_utf8(&self.0).unwrap_or_default().trim_ascii_end()
    }
}

impl fmt::Display for Userid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Userid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Userid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_is_read_in_any_case_and_what_is_none_is_refused() {
        assert_eq!(Userid::parse("alice").map(|id| id.to_string()), Some("ALICE".to_owned()));
        assert_eq!(Userid::parse("$A#B@1").map(|id| format!("{id:8}|")), Some("$A#B@1  |".to_owned()));
        for bad in ["", "1ALICE", "NINECHARS", "A B", "A ", "*", "&RACUID", "ÄB"] {
            assert_eq!(Userid::parse(bad), None, "{bad}");
        }
        assert_eq!(Userid::parse_listed("*"), Some(Userid::ALL));
        assert_eq!(Userid::parse_listed("&racuid"), Some(Userid::RACUID));
        assert_eq!(Userid::parse_listed("&OTHER"), None);
    }
}
