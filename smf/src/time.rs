//! Times and dates as SMF has them.

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, Timelike as _, Utc};

/// Microseconds from 1900 to 1970.
const EPOCH: i64 = 2_208_988_800_000_000;

/// Hundredths of a second since midnight.
pub(crate) fn hundredths(time: NaiveTime) -> u32 {
    // A leap second's nanoseconds reach past a second; SMF has no such time.
    time.num_seconds_from_midnight() * 100 + (time.nanosecond() / 10_000_000).min(99)
}

/// `0cyydddF`: century, year, day of year, sign.
pub(crate) fn packed_date(date: NaiveDate) -> u32 {
    let year = u32::try_from(date.year().clamp(1900, 2099)).unwrap_or(1900);
    let (century, year, day) = ((year - 1900) / 100, year % 100, date.ordinal());
    let digits = [century, year / 10, year % 10, day / 100, day / 10 % 10, day % 10, 0xF];
    digits.iter().fold(0, |packed, digit| packed << 4 | digit)
}

/// The moment of a packed date and hundredths of a second.
pub(crate) fn moment(date: u32, hundredths: u32) -> Option<NaiveDateTime> {
    let digit = |position: u32| Some(date >> (4 * position) & 0xF).filter(|&digit| digit < 10);
    let year = 1900 + 100 * digit(6)? + 10 * digit(5)? + digit(4)?;
    let day = 100 * digit(3)? + 10 * digit(2)? + digit(1)?;
    let date = NaiveDate::from_yo_opt(i32::try_from(year).ok()?, day)?;
    let time = NaiveTime::from_num_seconds_from_midnight_opt(hundredths / 100, hundredths % 100 * 10_000_000)?;
    Some(date.and_time(time))
}

/// A UTC moment as sections carry it: hundredths and packed date.
pub(crate) fn split(time: DateTime<Utc>) -> (u32, u32) {
    let naive = time.naive_utc();
    (hundredths(naive.time()), packed_date(naive.date()))
}

/// The moment of a section; none when the date is zero.
pub(crate) fn joined(time: u32, date: u32) -> Option<DateTime<Utc>> {
    if date == 0 { None } else { moment(date, time).map(|moment| moment.and_utc()) }
}

/// A TOD clock of a moment, leap seconds left out.
pub(crate) fn clock(time: DateTime<Utc>) -> u64 {
    u64::try_from(time.timestamp_micros().saturating_add(EPOCH)).unwrap_or(0) << 12
}

/// The moment of a TOD clock; none when it is zero.
pub(crate) fn from_clock(clock: u64) -> Option<DateTime<Utc>> {
    let microseconds = i64::try_from(clock >> 12).ok().filter(|_| clock != 0)?;
    DateTime::from_timestamp_micros(microseconds - EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_its_moment() {
        let moment: DateTime<Utc> = "2026-05-01T08:35:10.123456Z".parse().expect("a moment");
        assert_eq!(from_clock(clock(moment)), Some(moment));
        // The clock of 1970-01-01, as Principles of Operation has it.
        assert_eq!(clock(DateTime::UNIX_EPOCH), 0x7D91_048B_CA00_0000);
    }
}
