//! What is allowed and yet deserves a look: rules that hide one another, rules that will hardly match, key rings.
//!
//! Lints on single lines are found where the lines are read, lints on actions where rules are resolved.

mod overlap;
mod rings;

use std::sync::Arc;

use crate::address::PortRange;
use crate::diagnostic::{Collector, Diagnostic, Problem};
use crate::matching::Direction;
use crate::model::{Condition, Conditions, Policy};
use crate::region::Cell;
use overlap::Entry;

pub use rings::{CertificateFacts, RingFacts, Rings};

/// Looks at a policy as a whole. `rings` answers for key rings that can be read, `now` (seconds since the epoch) tells
/// which certificates expire soon.
#[must_use]
pub fn lint(policy: &Policy, rings: Option<(&mut dyn Rings, i64)>) -> Vec<Diagnostic> {
    let mut diagnostics = Collector::default();
    outbound_local_ports(policy).into_iter().for_each(|found| diagnostics.push(found));
    let clock = rings.as_ref().map(|(_, now)| *now);
    let ttls = policy.ttls.iter().map(|rule| (&rule.name, &rule.origin, &rule.conditions));
    let zert = policy.zert.iter().map(|rule| (&rule.name, &rule.origin, &rule.conditions));
    for (name, origin, conditions) in ttls.chain(zert) {
        if let Some(why) = never(conditions, clock) {
            let origin = conditions.place(Condition::Time).unwrap_or(origin).clone();
            diagnostics.push(Diagnostic::new(Problem::NeverActive { rule: name.clone(), why }, origin));
        }
    }
    let ttls: Vec<Entry<'_>> =
        policy.ttls.iter().filter(|rule| !rule.conditions.broken).map(|rule| Entry::ttls(rule)).collect();
    overlap::check(&ttls, &mut diagnostics);
    let zert: Vec<Entry<'_>> =
        policy.zert.iter().filter(|rule| !rule.conditions.broken).map(|rule| Entry::zert(rule)).collect();
    overlap::check(&zert, &mut diagnostics);
    if let Some((rings, now)) = rings {
        rings::check(policy, rings, now, &mut diagnostics);
    }
    let last = policy.ttls.last().map(|rule| &rule.origin).or_else(|| policy.zert.last().map(|rule| &rule.origin));
    last.map(|place| diagnostics.finish(place)).unwrap_or_default()
}

/// Why a rule's time never comes, if it does not.
fn never(conditions: &Conditions, now: Option<i64>) -> Option<&'static str> {
    let schedule = conditions.schedule.as_ref()?;
    if Cell::of(&Conditions { schedule: Some(Arc::clone(schedule)), ..Conditions::default() }).is_empty() {
        return Some("no day is in its masks");
    }
    // A day's difference between clocks plays no part in what is long over.
    let over = schedule.dates.zip(now).is_some_and(|(range, now)| range.to.and_utc().timestamp() + 86_400 < now);
    over.then_some("its dates are over")
}

/// The ports Linux gives to programs that ask for none; z/OS gives from 1024 up.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;

fn outbound_local_ports(policy: &Policy) -> Vec<Diagnostic> {
    let covers = |range: &PortRange| range.0.start() <= EPHEMERAL.start() && EPHEMERAL.end() <= range.0.end();
    let suspicious = policy.ttls.iter().filter(|rule| {
        let ports = &rule.conditions.local_ports;
        rule.conditions.direction == Some(Direction::Outbound) && !ports.is_empty() && !ports.iter().any(covers)
    });
    suspicious
        .map(|rule| {
            let origin = rule.conditions.place(Condition::LocalPort).unwrap_or(&rule.origin).clone();
            let help = "for the port a program connects to code RemotePortRange".to_owned();
            Diagnostic::new(Problem::OutboundLocalPort { rule: rule.name.clone() }, origin).help(Some(help))
        })
        .collect()
}
