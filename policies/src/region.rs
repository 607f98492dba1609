//! Sets of connections, exactly: what rules match together, what one leaves to another, what has changed.
//!
//! A [`Cell`] is a product: for each dimension the set of values that fit. Cells are intersected and subtracted; a
//! [`Region`] is a list of cells that have nothing in common.
//!
//! Time has three dimensions for each of the two clocks (local and UTC): the date and second, the calendar day (month,
//! day of the month, weekday), the minute of the day. They are compared as if they were independent: a set that is
//! empty here is empty; one that is not may, in rare cases (a date range without any Sunday, and a rule for Sundays),
//! hold no moment.

mod describe;

use chrono::{DateTime, Datelike as _, FixedOffset, NaiveDate, NaiveDateTime, Timelike as _};

use crate::intervals::{Intervals, of_addresses, of_connection, of_pattern, of_ports};
use crate::matching::{Connection, Direction};
use crate::model::Conditions;
use crate::schedule::{Mask, Schedule, day_fits};

/// Direction, local and remote address, local and remote port, job, user; then for the local clock and for UTC: seconds,
/// days, minutes.
const DIMENSIONS: usize = 13;
const DIRECTION: usize = 0;
const JOB: usize = 5;
const USER: usize = 6;
/// The first dimension of each clock.
const CLOCKS: [usize; 2] = [7, 10];

/// How far each dimension's line reaches.
const LAST: [u128; DIMENSIONS] = {
    let ports = 65_535;
    let days = DAYS as u128 - 1;
    let seconds = u64::MAX as u128;
    [1, u128::MAX, u128::MAX, ports, ports, u128::MAX, u128::MAX, seconds, days, 1439, seconds, days, 1439]
};

/// Where each dimension's line begins: there is no port 0.
const FIRST: [u128; DIMENSIONS] = [0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0];

/// Days of the calendar as months of each length have them: February counts twice, with 28 and with 29 days.
const MONTHS: [(usize, usize); 13] = [
    (0, 31),
    (1, 28),
    (1, 29),
    (2, 31),
    (3, 30),
    (4, 31),
    (5, 30),
    (6, 31),
    (7, 31),
    (8, 30),
    (9, 31),
    (10, 30),
    (11, 31),
];
const DAYS: usize = (7 * 31 + 4 * 30 + 28 + 29) * 7;

/// A product of sets; `None` is the whole line.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cell {
    sets: [Option<Intervals>; DIMENSIONS],
}

/// Cells that have nothing in common.
pub type Region = Vec<Cell>;

impl Cell {
    /// The connections that conditions match.
    #[must_use]
    pub fn of(conditions: &Conditions) -> Self {
        let Conditions { direction, local, remote, local_ports, remote_ports, jobname, userid, schedule, .. } =
            conditions;
        let direction = direction.map(|direction| match direction {
            Direction::Inbound => Intervals::one(0, 0),
            Direction::Outbound => Intervals::one(1, 1),
        });
        let mut cell = Self {
            sets: [
                direction,
                of_addresses(local),
                of_addresses(remote),
                of_ports(local_ports),
                of_ports(remote_ports),
                of_pattern(jobname.as_ref()),
                of_pattern(userid.as_ref()),
                None,
                None,
                None,
                None,
                None,
                None,
            ],
        };
        if let Some(schedule) = schedule {
            let first = CLOCKS.get(usize::from(schedule.utc)).copied().unwrap_or(0);
            for (set, time) in cell.sets.iter_mut().skip(first).zip(time(schedule)) {
                *set = time;
            }
        }
        cell
    }

    /// Whether a connection at a moment is in it.
    #[must_use]
    pub fn contains(&self, connection: &Connection, now: DateTime<FixedOffset>) -> bool {
        let direction = match connection.direction {
            Direction::Inbound => 0,
            Direction::Outbound => 1,
        };
        let [local_second, local_day, local_minute] = moment(now.naive_local());
        let [utc_second, utc_day, utc_minute] = moment(now.naive_utc());
        let [local, remote, local_port, remote_port, job, user] = of_connection(connection);
        let point: [u128; DIMENSIONS] = [
            direction,
            local,
            remote,
            local_port,
            remote_port,
            job,
            user,
            local_second,
            local_day,
            local_minute,
            utc_second,
            utc_day,
            utc_minute,
        ];
        self.sets.iter().zip(point).all(|(set, at)| set.as_ref().is_none_or(|set| set.contains(at)))
    }

    /// Whether no connection is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sets.iter().flatten().any(Intervals::is_empty)
    }

    /// Whether the two have connections in common.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.sets.iter().zip(&other.sets).all(|pair| match pair {
            (Some(a), Some(b)) => a.meets(b),
            (Some(one), None) | (None, Some(one)) => !one.is_empty(),
            (None, None) => true,
        })
    }

    /// Whether everything in this one is in the other.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let lines = FIRST.into_iter().zip(LAST);
        self.sets.iter().zip(&other.sets).zip(lines).all(|(pair, (first, last))| match pair {
            (_, None) => true,
            (Some(a), Some(b)) => a.is_within(b),
            (None, Some(b)) => Intervals::one(first, last).is_within(b),
        })
    }

    /// What is in both; none when nothing is.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let mut both = Self::default();
        for ((set, a), b) in both.sets.iter_mut().zip(&self.sets).zip(&other.sets) {
            *set = match (a, b) {
                (Some(a), Some(b)) => Some(a.intersection(b)),
                (Some(one), None) | (None, Some(one)) => Some(one.clone()),
                (None, None) => None,
            };
        }
        (!both.is_empty()).then_some(both)
    }

    /// What is in this one and not in the other, as cells without common connections.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Region {
        if !self.meets(other) {
            return vec![self.clone()];
        }
        let mut pieces = Vec::new();
        // What has been compared so far lies in both; each dimension splits off what the other has not.
        let mut inside = self.clone();
        for (dimension, (first, last)) in FIRST.into_iter().zip(LAST).enumerate() {
            let Some(cut) = other.sets.get(dimension).and_then(Option::as_ref) else { continue };
            let Some(own) = inside.sets.get_mut(dimension) else { continue };
            let whole = own.clone().unwrap_or_else(|| Intervals::one(first, last));
            let outside = whole.difference(cut);
            *own = Some(whole.intersection(cut));
            if !outside.is_empty() {
                let mut piece = inside.clone();
                if let Some(set) = piece.sets.get_mut(dimension) {
                    *set = Some(outside);
                }
                pieces.push(piece);
            }
        }
        pieces
    }

    /// The part of all connections that is in it, roughly: the product of each dimension's share.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "an estimate is asked for")]
    pub fn share(&self) -> f64 {
        let share =
            |(set, last): (&Option<Intervals>, u128)| set.as_ref().map_or(1.0, |set| set.size() / (last as f64 + 1.0));
        self.sets.iter().zip(LAST).map(share).product()
    }

    /// The set of one dimension; none for the whole line.
    fn set(&self, dimension: usize) -> Option<&Intervals> {
        self.sets.get(dimension).and_then(Option::as_ref)
    }

    /// The dimension's set for the overlap join of rules: 0–5 are local address, remote address, local port, remote
    /// port, job, user.
    pub(crate) fn condition(&self, index: usize) -> Option<&Intervals> {
        self.set(index + 1)
    }

    /// The same with one condition replaced, counted as for [`Cell::condition`].
    pub(crate) fn with_condition(&self, index: usize, set: Intervals) -> Self {
        let mut cell = self.clone();
        if let Some(own) = cell.sets.get_mut(index + 1) {
            *own = Some(set);
        }
        cell
    }
}

/// What is left of a region without a cell. Stops with nothing when more than `most` cells would be left.
#[must_use]
pub fn without(region: &[Cell], cell: &Cell, most: usize) -> Option<Region> {
    let mut left = Vec::new();
    for piece in region {
        left.extend(piece.difference(cell));
        if left.len() > most {
            return None;
        }
    }
    Some(left)
}

/// Seconds, days and minutes of a schedule.
fn time(schedule: &Schedule) -> [Option<Intervals>; 3] {
    let Schedule { dates, months, days, weekdays, hours, utc: _ } = schedule;
    let seconds = dates.map(|range| Intervals::one(second(range.from), second(range.to)));
    let any_day = months.is_none() && days.is_none() && weekdays.is_none();
    let days = (!any_day).then(|| calendar(months.as_ref(), days.as_ref(), weekdays.as_ref()));
    let minutes = (!hours.is_empty()).then(|| {
        let mut minutes = Vec::new();
        for range in hours {
            let (from, to) = (u128::from(range.from), u128::from(range.to));
            if from < to {
                minutes.push((from, to - 1));
            } else {
                minutes.extend((from < 1440).then_some((from, 1439)));
                minutes.extend(to.checked_sub(1).map(|last| (0, last)));
            }
        }
        Intervals::new(minutes)
    });
    [seconds, days, minutes]
}

/// A second's place on its line.
fn second(time: NaiveDateTime) -> u128 {
    u128::from(u64::try_from(time.and_utc().timestamp() - epoch()).unwrap_or(0))
}

/// A moment's second, calendar day and minute.
fn moment(time: NaiveDateTime) -> [u128; 3] {
    let date = time.date();
    let length = usize::from(date.num_days_in_month());
    let month = date.month0() as usize;
    let before: usize = MONTHS.iter().take_while(|entry| **entry != (month, length)).map(|(_, length)| length).sum();
    let day = (before + date.day0() as usize) * 7 + date.weekday().num_days_from_sunday() as usize;
    [second(time), day as u128, u128::from(time.hour() * 60 + time.minute())]
}

/// Seconds are counted from the first date a policy can name.
fn epoch() -> i64 {
    NaiveDate::MIN.and_time(chrono::NaiveTime::MIN).and_utc().timestamp()
}

fn calendar(months: Option<&Mask>, days: Option<&Mask>, weekdays: Option<&Mask>) -> Intervals {
    let mut fitting = Vec::new();
    let mut number = 0_u128;
    for (month, length) in MONTHS {
        for day in 0..length {
            for weekday in 0..7 {
                let fits = months.is_none_or(|mask| mask.get(month))
                    && days.is_none_or(|mask| day_fits(mask, day, length))
                    && weekdays.is_none_or(|mask| mask.get(weekday));
                if fits {
                    fitting.push((number, number));
                }
                number += 1;
            }
        }
    }
    Intervals::new(fitting)
}
