//! What is allowed and yet deserves a look: rules that hide one another, rules that will hardly match, key rings.
//!
//! Lints on single lines are found where the lines are read, lints on actions where rules are resolved.

mod overlap;
mod rings;

use crate::address::PortRange;
use crate::diagnostic::{Collector, Diagnostic, Problem};
use crate::matching::Direction;
use crate::model::{Condition, Policy};
use overlap::Entry;

pub use rings::{CertificateFacts, RingFacts, Rings};

/// Looks at a policy as a whole. `rings` answers for key rings that can be read, `now` (seconds since the epoch) tells
/// which certificates expire soon.
#[must_use]
pub fn lint(policy: &Policy, rings: Option<(&mut dyn Rings, i64)>) -> Vec<Diagnostic> {
    let mut diagnostics = Collector::default();
    outbound_local_ports(policy).into_iter().for_each(|found| diagnostics.push(found));
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
