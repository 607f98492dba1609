//! Cells in words, and as JSON.

use serde::Serialize;
use serde::ser::SerializeMap as _;

use super::{CLOCKS, Cell, DAYS, DIRECTION, JOB, MONTHS, USER, epoch};
use crate::intervals::{Intervals, V4, to_address};

/// Values of one dimension that are written out.
const SHOWN: usize = 6;
const MONTH_NAMES: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAY_NAMES: [&str; 7] = ["Sundays", "Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays"];

/// `outbound, remote address 10.1.0.0/16, remote port 21`; `all connections` for the whole.
impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<String> = self
            .parts()
            .into_iter()
            .map(|(name, values)| {
                let more = values.len().saturating_sub(SHOWN);
                let mut shown: Vec<String> = values.into_iter().take(SHOWN).collect();
                if more > 0 {
                    shown.push(format!("{more} more"));
                }
                if name == "direction" { shown.join(" and ") } else { format!("{name} {}", shown.join(", ")) }
            })
            .collect();
        f.write_str(if parts.is_empty() { "all connections" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

/// An object with a list of values for each dimension that is not open.
impl Serialize for Cell {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parts = self.parts();
        let mut map = serializer.serialize_map(Some(parts.len()))?;
        for (name, values) in parts {
            map.serialize_entry(&name.replace(' ', "_"), &values)?;
        }
        map.end()
    }
}

impl Cell {
    /// The dimensions that are not open, with their values.
    #[must_use]
    pub fn parts(&self) -> Vec<(&'static str, Vec<String>)> {
        let mut parts = Vec::new();
        let mut part = |dimension: usize, name: &'static str, write: &dyn Fn(&Intervals) -> Vec<String>| {
            parts.extend(self.set(dimension).map(|set| (name, write(set))));
        };
        part(DIRECTION, "direction", &|set| {
            let names = [(0, "inbound"), (1, "outbound")];
            names.into_iter().filter(|(number, _)| set.contains(*number)).map(|(_, name)| name.to_owned()).collect()
        });
        part(1, "local address", &addresses);
        part(2, "remote address", &addresses);
        part(3, "local port", &ports);
        part(4, "remote port", &ports);
        part(JOB, "job", &names);
        part(USER, "user", &names);
        for (first, clock) in CLOCKS.into_iter().zip(["local time", "UTC"]) {
            let times: Vec<String> =
                [self.set(first).map(dates), self.set(first + 1).map(days), self.set(first + 2).map(minutes)]
                    .into_iter()
                    .flatten()
                    .collect();
            if !times.is_empty() {
                parts.push((clock, vec![times.join(" ")]));
            }
        }
        parts
    }
}

fn ports(set: &Intervals) -> Vec<String> {
    let text = |&(from, to): &(u128, u128)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    set.as_slice().iter().map(text).collect()
}

fn addresses(set: &Intervals) -> Vec<String> {
    let mut texts = Vec::new();
    for &(from, to) in set.as_slice() {
        // Around the place of IPv4 three ranges meet.
        let pieces = [(from, to.min(V4.0 - 1)), (from.max(V4.0), to.min(V4.1)), (from.max(V4.1 + 1), to)];
        for (from, to) in pieces.into_iter().filter(|(from, to)| from <= to) {
            texts.push(address_range(from, to));
        }
    }
    texts
}

fn address_range(from: u128, to: u128) -> String {
    let (first, last) = (to_address(from), to_address(to));
    if from == to {
        return first.to_string();
    }
    let size = to - from;
    let is_prefix = size & size.wrapping_add(1) == 0 && from & size == 0;
    if is_prefix {
        let bits = if first.is_ipv4() { 32 } else { 128 };
        return format!("{first}/{}", bits - (128 - size.leading_zeros()));
    }
    format!("{first}-{last}")
}

/// Names are prefixes, names, or what is between them; 0 is the owner nobody knows.
fn names(set: &Intervals) -> Vec<String> {
    let text = |number: u128| -> String {
        let bytes: Vec<u8> = number.to_be_bytes().into_iter().take_while(|byte| *byte != 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let mut texts = Vec::new();
    let whole = |from: u128, to: u128| {
        (0..16).rev().find_map(|stem| {
            let tail = if stem == 0 { u128::MAX } else { (1_u128 << (8 * (16 - stem))) - 1 };
            (from & tail == 0 && to == from | tail).then(|| format!("{}*", text(from)))
        })
    };
    let intervals = set.as_slice();
    if intervals.iter().any(|&(from, to)| from != to && whole(from, to).is_none()) {
        // What is left when others are taken out is easier to read as what is not in it.
        let complement = Intervals::one(0, u128::MAX).difference(set);
        if complement.as_slice().iter().all(|&(from, to)| from == to || whole(from, to).is_some()) {
            let others: Vec<String> = names(&complement);
            return vec![format!("other than {}", others.join(", "))];
        }
    }
    for &(from, to) in intervals {
        texts.push(match whole(from, to) {
            _ if from == 0 && to == 0 => "(unknown)".to_owned(),
            Some(prefix) if from != to => prefix,
            _ if from == to => text(from),
            _ => format!("{} to {}", text(from), text(to).trim_end_matches('\u{fffd}')),
        });
    }
    texts
}

fn minutes(set: &Intervals) -> String {
    let clock = |minute: u128| format!("{:02}:{:02}", minute / 60, minute % 60);
    let text = |&(from, to): &(u128, u128)| format!("{}-{}", clock(from), clock(to + 1));
    set.as_slice().iter().map(text).collect::<Vec<_>>().join(" and ")
}

fn dates(set: &Intervals) -> String {
    let date = |second: u128| {
        let second = i64::try_from(second).ok().and_then(|second| second.checked_add(epoch()));
        second
            .and_then(|second| chrono::DateTime::from_timestamp(second, 0))
            .map(|time| time.format("%Y-%m-%d %H:%M:%S").to_string())
    };
    let text = |&(from, to): &(u128, u128)| match (date(from).filter(|_| from > 0), date(to)) {
        (Some(from), Some(to)) => format!("from {from} to {to}"),
        (Some(from), None) => format!("from {from}"),
        (None, Some(to)) => format!("to {to}"),
        (None, None) => "always".to_owned(),
    };
    set.as_slice().iter().map(text).collect::<Vec<_>>().join(" and ")
}

/// The calendar days: months, days and weekdays when the set is their product, otherwise their number.
fn days(set: &Intervals) -> String {
    let mut number = 0_u128;
    let (mut months, mut days, mut weekdays) = ([false; 12], [false; 31], [false; 7]);
    let mut cells = Vec::with_capacity(DAYS);
    for (month, length) in MONTHS {
        for day in 0..length {
            for weekday in 0..7 {
                let fits = set.contains(number);
                cells.push((month, day, weekday, fits));
                number += 1;
                if fits {
                    for (list, at) in [(&mut months[..], month), (&mut days[..], day), (&mut weekdays[..], weekday)] {
                        if let Some(flag) = list.get_mut(at) {
                            *flag = true;
                        }
                    }
                }
            }
        }
    }
    let has = |list: &[bool], at: usize| list.get(at).copied().unwrap_or(false);
    let product = cells.iter().all(|&(month, day, weekday, fits)| {
        fits == (has(&months, month) && has(&days, day) && has(&weekdays, weekday))
    });
    let chosen = |list: &[bool], name: &dyn Fn(usize) -> String| -> Option<String> {
        (!list.iter().all(|flag| *flag)).then(|| {
            let names: Vec<String> =
                list.iter().enumerate().filter(|(_, flag)| **flag).map(|(at, _)| name(at)).collect();
            names.join(", ")
        })
    };
    if !product {
        let fitting = cells.iter().filter(|cell| cell.3).count();
        return format!("on {} of 100 days", (fitting * 100).div_ceil(DAYS));
    }
    let named = |names: &'static [&'static str]| move |at: usize| names.get(at).copied().unwrap_or_default().to_owned();
    let parts: Vec<String> = [
        chosen(&weekdays, &named(&WEEKDAY_NAMES)),
        chosen(&days, &|day| format!("{}.", day + 1)).map(|days| format!("on the {days}")),
        chosen(&months, &named(&MONTH_NAMES)).map(|months| format!("in {months}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    parts.join(" ")
}
