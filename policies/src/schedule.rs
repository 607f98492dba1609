//! When a rule applies: `IpTimeCondition`.
//!
//! The time comes in as an argument, with the offset of the host's zone, so that both `TimeZone Local` and `UTC` can be
//! answered.

use std::fmt;

use chrono::{DateTime, Datelike as _, FixedOffset, NaiveDateTime, NaiveTime, Timelike as _};
use serde::Serialize;

/// A string of ones and zeros; position 0 is the first digit written.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct Mask(Vec<bool>);

impl Mask {
    pub(crate) fn parse(text: &str, lengths: &[usize]) -> Option<Self> {
        let bits: Option<Vec<bool>> = text
            .chars()
            .map(|digit| match digit {
                '0' => Some(false),
                '1' => Some(true),
                _ => None,
            })
            .collect();
        bits.filter(|bits| lengths.contains(&bits.len())).map(Self)
    }

    pub(crate) fn get(&self, index: usize) -> bool {
        self.0.get(index).copied().unwrap_or(false)
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&bit| f.write_str(if bit { "1" } else { "0" }))
    }
}

impl Serialize for Mask {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Minutes of the day, end excluded; an end at or before the start means the next day.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize)]
pub struct ClockRange {
    /// First minute, 0–1439.
    pub from: u32,
    /// First minute after, 0–1440.
    pub to: u32,
}

impl ClockRange {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let minute = |clock: &str| -> Option<u32> {
            let (hour, minute) = clock.split_once(':')?;
            let digits =
                |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok())?;
            let (hour, minute) = (digits(hour)?, digits(minute)?);
            (minute < 60 && hour <= 24 && hour * 60 + minute <= 1440).then(|| hour * 60 + minute)
        };
        // 24:00 is an end only.
        Some(Self { from: minute(from).filter(|from| *from < 1440)?, to: minute(to)? })
    }

    fn contains(self, time: NaiveTime) -> bool {
        let minute = time.hour() * 60 + time.minute();
        if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

impl fmt::Display for ClockRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}-{:02}:{:02}", self.from / 60, self.from % 60, self.to / 60, self.to % 60)
    }
}

/// From one second to another, both included.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub struct DateRange {
    /// First second.
    pub from: NaiveDateTime,
    /// Last second.
    pub to: NaiveDateTime,
}

impl DateRange {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once(':')?;
        let read = |stamp: &str| NaiveDateTime::parse_from_str(stamp, "%Y%m%d%H%M%S").ok();
        let (from, to) = (read(from)?, read(to)?);
        (from <= to).then_some(Self { from, to })
    }
}

impl fmt::Display for DateRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.from.format("%Y%m%d%H%M%S"), self.to.format("%Y%m%d%H%M%S"))
    }
}

/// Whether a day of a month (from 0) is in a mask: counted from the first, or with 62 digits from the last too.
pub(crate) fn day_fits(mask: &Mask, day: usize, days_in_month: usize) -> bool {
    mask.get(day) || mask.get(31 + days_in_month - 1 - day)
}

/// A resolved `IpTimeCondition`: everything coded must hold.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
pub struct Schedule {
    /// `ConditionTimeRange`.
    pub dates: Option<DateRange>,
    /// `MonthOfYearMask`, January first.
    pub months: Option<Mask>,
    /// `DayOfMonthMask`: 31 digits counted from the first day, or 62 with 31 more counted from the last.
    pub days: Option<Mask>,
    /// `DayOfWeekMask`, Sunday first.
    pub weekdays: Option<Mask>,
    /// `TimeOfDayRange`, any of them.
    pub hours: Vec<ClockRange>,
    /// `TimeZone UTC` instead of Local.
    pub utc: bool,
}

impl Schedule {
    /// Whether the condition holds at `now`.
    #[must_use]
    pub fn contains(&self, now: DateTime<FixedOffset>) -> bool {
        let now = if self.utc { now.naive_utc() } else { now.naive_local() };
        let date = now.date();
        let day = date.day0() as usize;
        let days_in_month = usize::from(date.num_days_in_month());
        let day_fits = |mask: &Mask| day_fits(mask, day, days_in_month);
        self.dates.is_none_or(|range| (range.from..=range.to).contains(&now))
            && self.months.as_ref().is_none_or(|mask| mask.get(date.month0() as usize))
            && self.days.as_ref().is_none_or(day_fits)
            && self.weekdays.as_ref().is_none_or(|mask| mask.get(date.weekday().num_days_from_sunday() as usize))
            && (self.hours.is_empty() || self.hours.iter().any(|range| range.contains(now.time())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<FixedOffset> {
        DateTime::parse_from_rfc3339(text).expect("a time")
    }

    #[test]
    fn a_night_shift_reaches_past_midnight() {
        let night = Schedule { hours: vec![ClockRange::parse("22:00-06:00").expect("a range")], ..Schedule::default() };
        assert!(night.contains(at("2026-05-01T23:10:00+02:00")));
        assert!(night.contains(at("2026-05-01T05:59:00+02:00")));
        assert!(!night.contains(at("2026-05-01T06:00:00+02:00")));
    }

    #[test]
    fn the_zone_decides_which_day_it_is() {
        let sundays = Mask::parse("1000000", &[7]);
        let local = Schedule { weekdays: sundays.clone(), ..Schedule::default() };
        let utc = Schedule { weekdays: sundays, utc: true, ..Schedule::default() };
        let sunday_in_berlin = at("2026-05-03T00:30:00+02:00");
        assert!(local.contains(sunday_in_berlin) && !utc.contains(sunday_in_berlin));
    }

    #[test]
    fn the_last_day_of_a_month_can_be_named() {
        let mask = format!("{}1{}", "0".repeat(31), "0".repeat(30));
        let last = Schedule { days: Mask::parse(&mask, &[31, 62]), ..Schedule::default() };
        assert!(last.contains(at("2026-02-28T12:00:00Z")) && !last.contains(at("2026-02-27T12:00:00Z")));
    }
}
