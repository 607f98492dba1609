//! A record's fields by what they must be.

use super::Layout;
use super::lines::Record;
use crate::access::{Access, Userid};
use crate::class::{self, ClassDescriptor};
use crate::profile::ProfileName;

/// A record's fields, read by what they must be.
pub(super) struct Fields<'a> {
    pub(super) record: &'a Record,
    pub(super) layout: &'a Layout,
}

impl Fields<'_> {
    pub(super) fn text(&self, name: &str) -> String {
        self.record.field(self.layout, name)
    }

    pub(super) fn flag(&self, name: &str) -> i64 {
        i64::from(self.text(name) == "YES")
    }

    pub(super) fn id(&self, name: &str) -> Result<Userid, String> {
        let text = self.text(name);
        Userid::parse(&text).ok_or_else(|| self.wrong(name, &text, "a user id or group name"))
    }

    pub(super) fn listed(&self, name: &str) -> Result<Userid, String> {
        let text = self.text(name);
        Userid::parse_listed(&text).ok_or_else(|| self.wrong(name, &text, "a user id, a group name or *"))
    }

    pub(super) fn access(&self, name: &str) -> Result<Access, String> {
        let text = self.text(name);
        text.parse().map_err(|_| self.wrong(name, &text, "an access level"))
    }

    pub(super) fn optional_access(&self, name: &str) -> Result<Option<Access>, String> {
        if self.text(name).is_empty() { Ok(None) } else { self.access(name).map(Some) }
    }

    pub(super) fn number(&self, name: &str, largest: i64) -> Result<Option<i64>, String> {
        let text = self.text(name);
        match text.parse::<i64>() {
            _ if text.is_empty() => Ok(None),
            Ok(number) if (0..=largest).contains(&number) => Ok(Some(number)),
            _ => Err(self.wrong(name, &text, &format!("a number from 0 to {largest}"))),
        }
    }

    pub(super) fn date(&self, name: &str) -> Result<Option<String>, String> {
        let text = self.text(name);
        match chrono::NaiveDate::parse_from_str(&text, crate::load::DATE) {
            _ if text.is_empty() => Ok(None),
            Ok(_) => Ok(Some(text)),
            Err(_) => Err(self.wrong(name, &text, "a date yyyy-mm-dd")),
        }
    }

    fn wrong(&self, name: &str, text: &str, expected: &str) -> String {
        let (from, to) = self.layout.columns(name).unwrap_or_default();
        format!("{name} in columns {from} to {to} is `{text}`, {expected} is expected")
    }
}

/// The class and name in a record; none of classes that have no place here.
pub(super) fn profile_of(
    record: &Record,
    layout: &Layout,
) -> Result<Option<(&'static ClassDescriptor, ProfileName)>, String> {
    let fields = Fields { record, layout };
    let (class, name) = (fields.text("CLASS_NAME"), fields.text("NAME"));
    if class.is_empty() || name.is_empty() {
        return Err("a profile name and a class are expected in columns 6 to 251 and 253 to 260".to_owned());
    }
    let Some(class) = class::find(&class).filter(|class| !class.certificates) else { return Ok(None) };
    let generic = match layout.kind {
        "0500" => fields.text("GENERIC") == "YES",
        _ => name.contains(['*', '%', '&']) && class.name != "RACFVARS",
    };
    let Ok(parsed) = ProfileName::parse(&name, generic, class) else {
        return Err(format!("`{name}` is no profile name of class {}", class.name));
    };
    Ok(Some((class, ProfileName::stored(parsed.as_str().to_owned(), generic))))
}
