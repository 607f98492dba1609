//! What a new policy changes: which connections are treated otherwise, as exact sets, and how.
//!
//! Where the deciding rule says the same in both policies nothing has changed, so only rules that differ are looked at:
//! the connections they decide are split by the rules that decide them in the other policy.

use std::collections::HashMap;

use serde::Serialize;

use crate::explain::{ParameterView, parameters};
use crate::model::{Policy, Scope, TtlsRule, ZertRule};
use crate::protection::ProtectionTerms;
use crate::region::{Cell, Region, without};
use crate::table::{self, Engine};

/// Pieces a set of connections may be split into; what is more is told as a whole.
const MOST_PIECES: usize = 2048;

/// Connections that are treated otherwise.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// `TTLS` or `zERT`.
    pub policy_type: &'static str,
    /// Which connections.
    pub connections: Cell,
    /// Whether all of them change; otherwise the set is too ragged, and some of them may not.
    pub exact: bool,
    /// What decided before.
    pub old: Side,
    /// What decides now.
    pub new: Side,
    /// Parameters whose value in effect differs.
    pub parameters: Vec<ParameterChange>,
}

/// What decides.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Side {
    /// The rule; none when no rule matches.
    pub rule: Option<String>,
    /// What it does, in words.
    pub treatment: String,
}

/// A parameter whose value in effect differs.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ParameterChange {
    /// Its name.
    pub name: String,
    /// Before; none when it had no value.
    pub old: Option<String>,
    /// Now.
    pub new: Option<String>,
}

/// A rule of either kind as this module sees it.
struct Entry<'a> {
    name: &'a str,
    priority: u32,
    cell: Cell,
    does: Does<'a>,
    /// Whether the other policy has a rule that stands at the same place, matches the same and does the same.
    kept: bool,
}

enum Does<'a> {
    Ttls(&'a TtlsRule),
    Zert(&'a ZertRule),
}

/// The changes from one policy to another.
#[must_use]
pub fn diff(old: &Policy, new: &Policy) -> Vec<Change> {
    let mut changes = compare("TTLS", ttls_entries(old), ttls_entries(new));
    changes.extend(compare("zERT", zert_entries(old), zert_entries(new)));
    changes
}

fn ttls_entries(policy: &Policy) -> Vec<Entry<'_>> {
    policy
        .ttls
        .iter()
        .map(|rule| Entry {
            name: &rule.name,
            priority: rule.priority,
            cell: Cell::of(&rule.conditions),
            does: Does::Ttls(rule),
            kept: false,
        })
        .collect()
}

fn zert_entries(policy: &Policy) -> Vec<Entry<'_>> {
    policy
        .zert
        .iter()
        .map(|rule| Entry {
            name: &rule.name,
            priority: rule.priority,
            cell: Cell::of(&rule.conditions),
            does: Does::Zert(rule),
            kept: false,
        })
        .collect()
}

fn compare<'a>(policy_type: &'static str, mut old: Vec<Entry<'a>>, mut new: Vec<Entry<'a>>) -> Vec<Change> {
    mark_kept(&mut old, &mut new);
    let (old, new) = (old.as_slice(), new.as_slice());
    let mut changes: Vec<Change> = Vec::new();
    // Changes by the rules before and after.
    let mut told: HashMap<(Option<String>, Option<String>), Vec<usize>> = HashMap::new();
    // What differs between two sets of actions is looked up once.
    let mut differing: HashMap<(Actions, Actions), Vec<ParameterChange>> = HashMap::new();
    let mut add = |cell: Cell, exact: bool, before: Option<&Entry<'_>>, now: Option<&Entry<'_>>| {
        let (old, new) = (side(before), side(now));
        let key = (actions_of(before), actions_of(now));
        let parameters = differing.entry(key).or_insert_with(|| parameter_changes(before, now)).clone();
        let left_alone = |entry: Option<&Entry<'_>>| entry.is_none_or(Entry::leaves_alone);
        let same = old.treatment == new.treatment || (left_alone(before) && left_alone(now));
        if same && parameters.is_empty() {
            return;
        }
        // Both passes can meet the same connections; pieces of one change stand together.
        let pair = (old.rule.clone(), new.rule.clone());
        let told: &mut Vec<usize> = told.entry(pair).or_default();
        if told.iter().any(|&at| changes.get(at).is_some_and(|change| cell.is_within(&change.connections))) {
            return;
        }
        told.push(changes.len());
        changes.push(Change { policy_type, connections: cell, exact, old, new, parameters });
    };
    for (rank, before) in old.iter().enumerate().filter(|(_, entry)| !entry.kept) {
        let (decided, exact) = decided(before, rank, old);
        for cell in decided {
            split(&cell, new, exact, &mut |piece, exact, now| add(piece, exact, Some(before), now));
        }
    }
    for (rank, now) in new.iter().enumerate().filter(|(_, entry)| !entry.kept) {
        let (decided, exact) = decided(now, rank, new);
        for cell in decided {
            split(&cell, old, exact, &mut |piece, exact, before| {
                // What a changed rule of the old policy decided is told already.
                if before.is_none_or(|before| before.kept) {
                    add(piece, exact, before, Some(now));
                }
            });
        }
    }
    changes
}

impl Entry<'_> {
    /// Whether its connections get no TLS.
    fn leaves_alone(&self) -> bool {
        matches!(self.does, Does::Ttls(rule) if rule.security.is_none())
    }
}

fn mark_kept(old: &mut [Entry<'_>], new: &mut [Entry<'_>]) {
    let places: HashMap<&str, usize> = old.iter().enumerate().map(|(at, entry)| (entry.name, at)).collect();
    // Rules share their actions: each pair is compared once.
    let mut compared: HashMap<(Actions, Actions), bool> = HashMap::new();
    let mut kept = Vec::new();
    for entry in new.iter_mut() {
        let Some((at, other)) = places.get(entry.name).and_then(|&at| Some((at, old.get(at)?))) else { continue };
        let same_place = entry.priority == other.priority && entry.cell == other.cell;
        entry.kept = same_place && does_the_same(&entry.does, &other.does, &mut compared);
        kept.extend(entry.kept.then_some(at));
    }
    for at in kept {
        if let Some(entry) = old.get_mut(at) {
            entry.kept = true;
        }
    }
}

/// A rule's actions by identity: rules share them.
type Actions = [usize; 3];

fn actions(rule: &TtlsRule) -> Actions {
    Scope::ALL.map(|scope| rule.action(scope).map_or(0, |action| std::ptr::from_ref(action).addr()))
}

fn actions_of(entry: Option<&Entry<'_>>) -> Actions {
    match entry.map(|entry| &entry.does) {
        Some(Does::Ttls(rule)) => actions(rule),
        _ => [0; 3],
    }
}

fn does_the_same(a: &Does<'_>, b: &Does<'_>, compared: &mut HashMap<(Actions, Actions), bool>) -> bool {
    match (a, b) {
        (Does::Zert(a), Does::Zert(b)) => {
            let terms = |rule: &ZertRule| -> Vec<_> {
                rule.protections.iter().map(|protection| protection.terms.clone()).collect()
            };
            a.action.says_the_same(&b.action) && terms(a) == terms(b)
        }
        (Does::Ttls(a), Does::Ttls(b)) => *compared.entry((actions(a), actions(b))).or_insert_with(|| {
            Scope::ALL.into_iter().all(|scope| match (a.action(scope), b.action(scope)) {
                (Some(a), Some(b)) => a.says_the_same(b),
                (None, None) => true,
                _ => false,
            })
        }),
        _ => false,
    }
}

/// The connections a rule decides: what it matches and no rule before it does.
fn decided(entry: &Entry<'_>, rank: usize, all: &[Entry<'_>]) -> (Region, bool) {
    let mut left = vec![entry.cell.clone()];
    for earlier in all.iter().take(rank).filter(|earlier| earlier.cell.meets(&entry.cell)) {
        match without(&left, &earlier.cell, MOST_PIECES) {
            Some(fewer) => left = fewer,
            None => return (left, false),
        }
    }
    (left, true)
}

/// Splits connections by the rules that decide them.
fn split<'e, 'a>(
    cell: &Cell,
    entries: &'e [Entry<'a>],
    exact: bool,
    found: &mut dyn FnMut(Cell, bool, Option<&'e Entry<'a>>),
) {
    let mut left = vec![cell.clone()];
    let mut exact = exact;
    for entry in entries.iter().filter(|entry| entry.cell.meets(cell)) {
        for piece in &left {
            if let Some(both) = piece.intersection(&entry.cell) {
                found(both, exact, Some(entry));
            }
        }
        match without(&left, &entry.cell, MOST_PIECES) {
            Some(fewer) => left = fewer,
            None => exact = false,
        }
        if left.is_empty() {
            return;
        }
    }
    for piece in left {
        found(piece, exact, None);
    }
}

fn side(entry: Option<&Entry<'_>>) -> Side {
    let treatment = match entry.map(|entry| &entry.does) {
        None => "left alone (no rule)".to_owned(),
        Some(Does::Ttls(rule)) => match &rule.security {
            None => "left alone (TTLSEnabled Off)".to_owned(),
            Some(security) => security.versions().join(", "),
        },
        Some(Does::Zert(rule)) => zert_treatment(rule),
    };
    Side { rule: entry.map(|entry| entry.name.to_owned()), treatment }
}

/// What a zERT rule does, in words.
fn zert_treatment(rule: &ZertRule) -> String {
    let action = &rule.action;
    let terms = |terms: &ProtectionTerms| -> String {
        let coded = terms.coded().into_iter().map(|(parameter, value)| format!("{parameter} {value}"));
        coded.collect::<Vec<_>>().join(", ")
    };
    let hold = if action.hold { ", Hold" } else { "" };
    let required = match &action.required {
        Some(required) if !action.allows() => format!(" unless {}", terms(required)),
        _ => String::new(),
    };
    let protections: Vec<String> = rule.protections.iter().map(|protection| terms(&protection.terms)).collect();
    let only = if protections.is_empty() { String::new() } else { format!(", if {}", protections.join(" or ")) };
    format!("{}{hold}{required}{only}", action.does().join(", "))
}

fn parameter_changes(old: Option<&Entry<'_>>, new: Option<&Entry<'_>>) -> Vec<ParameterChange> {
    let views = |entry: Option<&Entry<'_>>| -> Vec<ParameterView> {
        match entry.map(|entry| &entry.does) {
            Some(Does::Ttls(rule)) if rule.enabled() => parameters(rule),
            _ => Vec::new(),
        }
    };
    let (old, new) = (views(old), views(new));
    if old.is_empty() || new.is_empty() {
        return Vec::new();
    }
    let value = |list: &[ParameterView], name: &str| {
        list.iter().find(|parameter| parameter.name == name).map(|parameter| parameter.value.clone())
    };
    let only_new = new.iter().filter(|parameter| value(&old, &parameter.name).is_none());
    let names = old.iter().chain(only_new).map(|parameter| parameter.name.as_str());
    names
        .map(|name| ParameterChange { name: name.to_owned(), old: value(&old, name), new: value(&new, name) })
        // What the engine has no use for changes nothing.
        .filter(|change| {
            let idle = table::parameter(&change.name).is_some_and(|row| matches!(row.engine, Engine::Idle(_)));
            change.old != change.new && !idle
        })
        .collect()
}
