//! Rules that match the same connections, computed exactly: hidden wholly or in part, of equal priority, left in clear.
//!
//! A rule of higher rank for a part of what a lower one matches is an exception, and no mistake. Told are rules that
//! never match, rules that take each other's connections crosswise with another treatment, members of a list that never
//! match, and rules without TLS above rules with it.

use std::cmp::Reverse;
use std::collections::HashSet;

use crate::address::{AddressRange, PortRange};
use crate::diagnostic::{Collector, Diagnostic, Problem};
use crate::intervals::{Intervals, of_addresses, of_ports};
use crate::model::{Conditions, TtlsRule, ZertRule};
use crate::protection::ProtectionTerms;
use crate::region::{Cell, without};
use crate::source::Origin;

/// Pairs of rules that are compared; beyond that only the first rules in search order are.
const MOST_PAIRS: u64 = 4_000_000;
/// Pieces a rule may be left in while others are taken from it.
const MOST_PIECES: usize = 512;
/// Members of a list that are looked at one by one, and rules that are named in one finding.
const MOST_MEMBERS: usize = 64;
const MOST_NAMED: usize = 3;

/// A rule as the overlap check sees it.
pub(super) struct Entry<'a> {
    name: &'a str,
    origin: &'a Origin,
    priority: u32,
    /// Equal for rules that do the same with a connection.
    treatment: (usize, bool),
    cell: Cell,
    share: f64,
    conditions: &'a Conditions,
    /// The protections a zERT rule is for; empty for all.
    protections: Vec<&'a ProtectionTerms>,
}

impl<'a> Entry<'a> {
    pub(super) fn ttls(rule: &'a TtlsRule) -> Self {
        let treatment =
            (rule.security.as_ref().map_or(0, |security| std::sync::Arc::as_ptr(security).addr()), rule.enabled());
        Self::new(&rule.name, &rule.origin, rule.priority, treatment, &rule.conditions)
    }

    pub(super) fn zert(rule: &'a ZertRule) -> Self {
        // Rules share their action where they refer to the same one.
        let treatment = (std::sync::Arc::as_ptr(&rule.action).addr(), true);
        let entry = Self::new(&rule.name, &rule.origin, rule.priority, treatment, &rule.conditions);
        Self { protections: rule.protections.iter().map(|protection| &protection.terms).collect(), ..entry }
    }

    fn new(
        name: &'a str,
        origin: &'a Origin,
        priority: u32,
        treatment: (usize, bool),
        conditions: &'a Conditions,
    ) -> Self {
        let cell = Cell::of(conditions);
        let share = cell.share();
        Self { name, origin, priority, treatment, cell, share, conditions, protections: Vec::new() }
    }

    /// Whether it takes every connection that both match: it is for all the protections that the other is for.
    fn takes(&self, other: &Self) -> bool {
        self.protections.is_empty()
            || (!other.protections.is_empty() && other.protections.iter().all(|terms| self.protections.contains(terms)))
    }

    /// The members of its lists as they are coded, for the conditions 0–3 of [`Cell::condition`].
    fn members(&self) -> [Vec<Intervals>; 4] {
        let Conditions { local, remote, local_ports, remote_ports, .. } = self.conditions;
        let addresses = |ranges: &[AddressRange]| -> Vec<Intervals> {
            ranges.iter().take(MOST_MEMBERS).filter_map(|range| of_addresses(std::slice::from_ref(range))).collect()
        };
        let ports = |ranges: &[PortRange]| -> Vec<Intervals> {
            ranges.iter().take(MOST_MEMBERS).filter_map(|range| of_ports(std::slice::from_ref(range))).collect()
        };
        [addresses(local), addresses(remote), ports(local_ports), ports(remote_ports)]
    }

    fn note(&self) -> (String, Option<Origin>) {
        (format!("`{}` is searched before it", self.name), Some(self.origin.clone()))
    }
}

/// Compares rules that stand in search order.
pub(super) fn check(entries: &[Entry<'_>], diagnostics: &mut Collector) {
    let mut compared = entries;
    let dimension = loop {
        let (dimension, pairs) = best_dimension(compared);
        if pairs <= MOST_PAIRS {
            break dimension;
        }
        compared = compared.get(..compared.len() / 2).unwrap_or_default();
    };
    let before = overlaps(compared, dimension);
    let mut bypassed: HashSet<usize> = HashSet::new();
    for (entry, earlier) in compared.iter().zip(&before) {
        let earlier: Vec<(usize, &Entry<'_>)> = earlier
            .iter()
            .filter_map(|&at| Some((at, compared.get(at)?)))
            .filter(|(_, other)| other.takes(entry))
            .collect();
        if let Some(diagnostic) = shadowed(entry, &earlier) {
            diagnostics.push(diagnostic);
            continue;
        }
        let others: Vec<(usize, &Entry<'_>)> =
            earlier.iter().copied().filter(|(_, other)| other.treatment != entry.treatment).collect();
        let found = equal_priority(entry, &others).into_iter().chain(partly_shadowed(entry, &others));
        found.for_each(|found| diagnostics.push(found));
        for (at, bypass) in others.iter().filter(|(_, other)| !other.treatment.1 && entry.treatment.1) {
            if bypassed.insert(*at) {
                let problem = Problem::Bypass {
                    bypass: bypass.name.to_owned(),
                    protected: entry.name.to_owned(),
                    part: part(entry, bypass),
                };
                let diagnostic = Diagnostic::new(problem, bypass.origin.clone());
                diagnostics.push(
                    diagnostic.note(format!("`{}` is searched after it", entry.name), Some(entry.origin.clone())),
                );
            }
        }
    }
    if compared.len() < entries.len()
        && let Some(first) = entries.get(compared.len())
    {
        let problem = Problem::NotCompared { unchecked: entries.len() - compared.len() };
        diagnostics.push(Diagnostic::new(problem, first.origin.clone()));
    }
}

/// The condition (0–5) that leaves the fewest pairs to compare, and how many.
fn best_dimension(entries: &[Entry<'_>]) -> (usize, u64) {
    let pairs = |dimension: usize| -> u64 {
        let mut free = 0_u64;
        let mut ends: Vec<(u128, bool)> = Vec::new();
        for entry in entries {
            match entry.cell.condition(dimension) {
                None => free += 1,
                Some(set) => ends.extend(set.as_slice().iter().flat_map(|&(from, to)| [(from, false), (to, true)])),
            }
        }
        ends.sort_unstable();
        let (mut active, mut pairs) = (0_u64, free * (entries.len() as u64));
        for (_, ends) in ends {
            if ends {
                active = active.saturating_sub(1);
            } else {
                pairs += active;
                active += 1;
            }
        }
        pairs
    };
    (0..6).map(|dimension| (dimension, pairs(dimension))).min_by_key(|(_, pairs)| *pairs).unwrap_or((0, 0))
}

/// For each rule the rules before it that match some of its connections, in order.
fn overlaps(entries: &[Entry<'_>], dimension: usize) -> Vec<Vec<usize>> {
    let mut before: Vec<Vec<usize>> = vec![Vec::new(); entries.len()];
    let mut pair = |a: usize, b: usize| {
        let (first, second) = (a.min(b), a.max(b));
        if let (Some(x), Some(y), Some(list)) = (entries.get(first), entries.get(second), before.get_mut(second))
            && first != second
            && list.last() != Some(&first)
            && x.cell.meets(&y.cell)
        {
            list.push(first);
        }
    };
    let mut pieces: Vec<(u128, u128, usize)> = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        match entry.cell.condition(dimension) {
            Some(set) => pieces.extend(set.as_slice().iter().map(|&(from, to)| (from, to, at))),
            None => (0..entries.len()).for_each(|other| pair(at, other)),
        }
    }
    pieces.sort_unstable();
    let mut active: Vec<(u128, usize)> = Vec::new();
    for (from, to, at) in pieces {
        active.retain(|(end, _)| *end >= from);
        active.iter().for_each(|&(_, other)| pair(at, other));
        active.push((to, at));
    }
    for list in &mut before {
        list.sort_unstable();
        list.dedup();
    }
    before
}

/// A rule that others take every connection of.
fn shadowed(entry: &Entry<'_>, earlier: &[(usize, &Entry<'_>)]) -> Option<Diagnostic> {
    let by: Vec<&Entry<'_>> = match earlier.iter().find(|(_, other)| entry.cell.is_within(&other.cell)) {
        Some((_, whole)) => vec![whole],
        None => {
            let most: f64 = earlier.iter().map(|(_, other)| other.share).sum();
            if most < entry.share * 0.999 {
                return None;
            }
            let mut left = vec![entry.cell.clone()];
            let mut taking = Vec::new();
            for (_, other) in earlier {
                let fewer = without(&left, &other.cell, MOST_PIECES)?;
                if fewer != left {
                    taking.push(*other);
                }
                left = fewer;
                if left.is_empty() {
                    break;
                }
            }
            if !left.is_empty() {
                return None;
            }
            taking
        }
    };
    let takes = if by.len() == 1 { "takes" } else { "take" };
    let problem = Problem::Shadowed { rule: entry.name.to_owned(), by: format!("{} {takes}", names(&by)) };
    let mut diagnostic = Diagnostic::new(problem, entry.origin.clone());
    for other in by.iter().take(MOST_NAMED) {
        let (text, origin) = other.note();
        let text = if other.treatment.1 || !entry.treatment.1 { text } else { format!("{text}, with TTLSEnabled Off") };
        diagnostic = diagnostic.note(text, origin);
    }
    Some(diagnostic.help(Some("give it a higher priority, narrow the others, or delete it".to_owned())))
}

fn names(entries: &[&Entry<'_>]) -> String {
    let mut names: Vec<String> = entries.iter().take(MOST_NAMED).map(|entry| format!("`{}`", entry.name)).collect();
    if entries.len() > MOST_NAMED {
        names.push(format!("{} more", entries.len() - MOST_NAMED));
    }
    names.join(", ")
}

/// What both match, in words.
fn part(a: &Entry<'_>, b: &Entry<'_>) -> String {
    a.cell.intersection(&b.cell).map(|cell| cell.to_string()).unwrap_or_default()
}

fn equal_priority(entry: &Entry<'_>, others: &[(usize, &Entry<'_>)]) -> Option<Diagnostic> {
    let (_, other) = others.iter().find(|(_, other)| other.priority == entry.priority)?;
    let problem = Problem::EqualPriority {
        first: other.name.to_owned(),
        second: entry.name.to_owned(),
        priority: entry.priority,
        part: part(entry, other),
    };
    let (text, origin) = (format!("`{}` comes first, by name in EBCDIC order", other.name), Some(other.origin.clone()));
    let help = "code different priorities".to_owned();
    Some(Diagnostic::new(problem, entry.origin.clone()).note(text, origin).help(Some(help)))
}

/// A rule of which others, with another treatment and a higher priority, take a part that is no exception.
fn partly_shadowed(entry: &Entry<'_>, others: &[(usize, &Entry<'_>)]) -> Option<Diagnostic> {
    // A rule without TLS above one with it has a warning of its own.
    let is_bypass = |other: &Entry<'_>| !other.treatment.1 && entry.treatment.1;
    let higher =
        || others.iter().map(|(_, other)| *other).filter(|other| other.priority > entry.priority && !is_bypass(other));
    let crossing = higher().find(|other| !other.cell.is_within(&entry.cell));
    let found =
        crossing.map(|other| (other, part(entry, other))).or_else(|| dead_member(entry, &higher().collect::<Vec<_>>()));
    let (other, part) = found?;
    let problem = Problem::PartlyShadowed { rule: entry.name.to_owned(), by: format!("`{}`", other.name), part };
    let (text, origin) = other.note();
    Some(Diagnostic::new(problem, entry.origin.clone()).note(text, origin))
}

/// A member of one of the rule's lists that another rule takes wholly.
fn dead_member<'e>(entry: &Entry<'_>, higher: &[&'e Entry<'e>]) -> Option<(&'e Entry<'e>, String)> {
    // The largest rules first: they are the ones that can take a whole member.
    let mut largest: Vec<&'e Entry<'e>> = higher.to_vec();
    largest.sort_by_key(|other| Reverse(other.share.to_bits()));
    for (condition, members) in entry.members().into_iter().enumerate().filter(|(_, members)| members.len() > 1) {
        for set in members {
            let member = entry.cell.with_condition(condition, set);
            let taker = largest.iter().take(MOST_MEMBERS).find(|other| member.is_within(&other.cell));
            if let Some(taker) = taker {
                return Some((taker, member.to_string()));
            }
        }
    }
    None
}
