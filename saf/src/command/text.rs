//! What commands read from words and how they write dates and lists.

use chrono::{DateTime, Datelike as _, NaiveDate};

use super::parse::{Keywords, Words};
use super::{Failure, fail};
use crate::access::{Access, Userid};
use crate::class::{self, ClassDescriptor};
use crate::snapshot::Authority;

pub(super) fn userid(name: &str) -> Result<Userid, Failure> {
    match Userid::parse(name) {
        Some(userid) => Ok(userid),
        None => fail(format!(
            "IKJ56702I INVALID USERID, {name}\nA NAME HAS 1 TO 8 CHARACTERS A-Z 0-9 @ # $, THE FIRST NO DIGIT"
        )),
    }
}

/// The first operand: one name or several in parentheses.
pub(super) fn userids(words: &Words, what: &str) -> Result<Vec<Userid>, Failure> {
    words.positional(0, what)?.iter().map(|name| userid(name)).collect()
}

pub(super) fn class_named(name: &str) -> Result<&'static ClassDescriptor, Failure> {
    match class::find(name) {
        Some(class) => Ok(class),
        None => fail(format!("IKJ56702I INVALID CLASS, {}", name.to_ascii_uppercase())),
    }
}

/// The class that stands as the first operand.
pub(super) fn class_first(words: &Words) -> Result<&'static ClassDescriptor, Failure> {
    class_named(&words.positional(0, "CLASS NAME")?.join(" "))
}

pub(super) fn access(word: &str, what: &str) -> Result<Access, Failure> {
    match word.parse() {
        Ok(access) => Ok(access),
        Err(_) => fail(format!(
            "IKJ56702I INVALID {what}, {}\nIKJ56701I MISSING ALTER, CONTROL, UPDATE, READ, EXECUTE, OR NONE",
            word.to_ascii_uppercase()
        )),
    }
}

/// The level a keyword gives.
pub(super) fn level(keywords: &Keywords, keyword: &str, what: &str) -> Result<Option<Access>, Failure> {
    keywords.value(keyword)?.map(|word| access(word, what)).transpose()
}

pub(super) fn authority(keywords: &Keywords) -> Result<Option<Authority>, Failure> {
    let Some(word) = keywords.value("AUTHORITY")? else { return Ok(None) };
    match Authority::parse(word) {
        Some(authority) => Ok(Some(authority)),
        None => fail(format!("IKJ56702I INVALID AUTHORITY, {word}\nIKJ56701I MISSING USE, CREATE, CONNECT, OR JOIN")),
    }
}

/// Text of at most so many characters.
pub(super) fn data(keywords: &Keywords, keyword: &str, longest: usize) -> Result<Option<String>, Failure> {
    match keywords.value(keyword)? {
        Some(text) if text.chars().count() > longest => {
            fail(format!("IKJ56702I INVALID {keyword}, AT MOST {longest} CHARACTERS ARE EXPECTED"))
        }
        Some(text) if text.chars().any(char::is_control) => {
            fail(format!("IKJ56702I INVALID {keyword}, CONTROL CHARACTERS ARE NOT EXPECTED"))
        }
        text => Ok(text.map(str::to_owned)),
    }
}

/// A stored time as listings have it: `yy.ddd/hh:mm:ss` of this host's zone.
pub(super) fn moment(stored: Option<&str>) -> String {
    let time = stored.and_then(|stored| stored.parse::<DateTime<chrono::Utc>>().ok());
    time.map_or_else(
        || "UNKNOWN".to_owned(),
        |time| time.with_timezone(&chrono::Local).format("%y.%j/%H:%M:%S").to_string(),
    )
}

pub(super) fn number(keywords: &Keywords, keyword: &str, largest: i64) -> Result<Option<i64>, Failure> {
    let Some(word) = keywords.value(keyword)? else { return Ok(None) };
    match word.parse() {
        Ok(number) if (0..=largest).contains(&number) => Ok(Some(number)),
        _ => fail(format!("IKJ56702I INVALID {keyword}, {word}\nA NUMBER FROM 0 TO {largest} IS EXPECTED")),
    }
}

/// `mm/dd/yy` as RACF takes it (71–99 are of the last century), `mm/dd/yyyy` or `yyyy-mm-dd`.
pub(super) fn date(word: &str) -> Result<NaiveDate, Failure> {
    let read = || {
        if let Ok(date) = NaiveDate::parse_from_str(word, "%Y-%m-%d") {
            return Some(date);
        }
        let mut parts = word.split('/').map(|part| (part.len(), part.parse::<u32>().ok()));
        let (month, day, year) = (parts.next()?.1?, parts.next()?.1?, parts.next()?);
        let year = match year {
            (4, Some(year)) => year,
            (2, Some(year @ 71..)) => 1900 + year,
            (2, Some(year)) => 2000 + year,
            _ => return None,
        };
        NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day).filter(|_| parts.next().is_none())
    };
    match read() {
        Some(date) => Ok(date),
        None => fail(format!("IKJ56702I INVALID DATE, {word}\nMM/DD/YY OR YYYY-MM-DD IS EXPECTED")),
    }
}

/// `yy.ddd`, as listings have dates; `00.000` for none.
pub(super) fn day(stored: &str) -> String {
    let date = DateTime::parse_from_rfc3339(stored).map(|time| time.date_naive());
    let date = date.or_else(|_| NaiveDate::parse_from_str(stored, crate::load::DATE));
    date.map_or_else(|_| "00.000".to_owned(), |date| format!("{:02}.{:03}", date.year() % 100, date.ordinal()))
}

/// `OCTOBER 22, 2023`, as REVOKE and RESUME dates are listed; `NONE` for none.
pub(super) fn long_date(date: Option<NaiveDate>) -> String {
    date.map_or_else(|| "NONE".to_owned(), |date| date.format("%B %-d, %Y").to_string().to_ascii_uppercase())
}

/// Words after a heading, continued below it where the line is full.
pub(super) fn wrapped(heading: &str, words: &[&str], width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = heading.to_owned();
    for word in words {
        if line.len() > heading.len() && line.len() + 1 + word.len() > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(heading.len())));
        }
        if line.len() > heading.len() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_and_written_as_racf_does() {
        let read = |word| date(word).ok().map(|date| date.to_string());
        assert_eq!(read("10/22/23").as_deref(), Some("2023-10-22"));
        assert_eq!(read("10/22/75").as_deref(), Some("1975-10-22"));
        assert_eq!(read("10/22/2023").as_deref(), Some("2023-10-22"));
        assert_eq!(read("2023-10-22").as_deref(), Some("2023-10-22"));
        for bad in ["22/10/23", "10/22", "10/22/23/1", "X", ""] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(day("2023-03-28T12:00:00+00:00"), "23.087");
        assert_eq!(day("2023-03-28"), "23.087");
        assert_eq!(day(""), "00.000");
        assert_eq!(long_date(NaiveDate::from_ymd_opt(2023, 10, 22)), "OCTOBER 22, 2023");
        assert_eq!(wrapped("A = ", &["BB", "CC", "DD"], 9), ["A = BB CC", "    DD"]);
    }
}
