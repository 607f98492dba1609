//! What a policy's zERT rules say of a connection whose protection is known in part or in full.

use std::sync::Arc;

use chrono::{DateTime, FixedOffset};

use crate::algorithm::Protocol;
use crate::matching::{Connection, Direction};
use crate::model::{Policy, ZertRule};
use crate::protection::{Fit, Observed};

/// The judgement of a connection.
#[derive(Clone, Copy, Debug)]
pub enum Judgement<'a> {
    /// What is known of the protection does not decide it.
    Undecided,
    /// No rule is for it, or it has what its rule demands, or the rule allows it.
    Good(Option<&'a Arc<ZertRule>>),
    /// It falls short: the rule's action applies.
    Short(&'a Arc<ZertRule>),
}

impl ZertRule {
    /// Whether it is for every connection to its local ports: nothing else is asked.
    fn asks_for_ports_only(&self) -> bool {
        let conditions = &self.conditions;
        self.protections.is_empty()
            && conditions.local.is_empty()
            && conditions.remote.is_empty()
            && conditions.remote_ports.is_empty()
            && !conditions.asks_for_owner()
            && conditions.schedule.is_none()
            && conditions.direction != Some(Direction::Outbound)
    }

    /// Whether it allows whatever comes to local ports that it names.
    #[must_use]
    pub fn allows_all_to_its_ports(&self) -> bool {
        self.action.allows() && !self.conditions.local_ports.is_empty() && self.asks_for_ports_only()
    }

    /// Whether the protection is one of those that the rule is for.
    #[must_use]
    pub fn is_for(&self, observed: &Observed) -> Fit {
        let mut fit = if self.protections.is_empty() { Fit::Yes } else { Fit::No };
        for protection in &self.protections {
            match protection.terms.fit(observed) {
                Fit::Yes => return Fit::Yes,
                Fit::Unknown => fit = Fit::Unknown,
                Fit::No => {}
            }
        }
        fit
    }
}

impl Policy {
    /// The first rule that may reset SSH connections to a local port, unless a rule before it allows them: `Action Allow` on
    /// that very port, or a demand that SSH meets. One that holds must have one before it that allows whatever comes to the port: what is
    /// held needs the daemon.
    #[must_use]
    pub fn resets_ssh_to(&self, port: u16) -> Option<&Arc<ZertRule>> {
        let ssh = Observed { version: Some(2), ..Observed::only(Protocol::Ssh) };
        let mut allowed = false;
        for rule in &self.zert {
            let conditions = &rule.conditions;
            let names_it = conditions.local_ports.iter().any(|range| range.contains(port));
            let inbound = conditions.direction != Some(Direction::Outbound);
            if !inbound || !(names_it || conditions.local_ports.is_empty()) || rule.is_for(&ssh) == Fit::No {
                continue;
            }
            if rule.action.allows() {
                if names_it && rule.asks_for_ports_only() {
                    return None;
                }
                allowed |= names_it;
                continue;
            }
            let met = rule.action.required.as_ref().is_some_and(|required| required.fit(&ssh) == Fit::Yes);
            if rule.action.reset && (rule.action.hold || !(met || allowed)) {
                return Some(rule);
            }
            if met && rule.asks_for_ports_only() {
                return None;
            }
        }
        None
    }

    /// Judges a connection that IPsec may protect besides, and tells which of its protections decides. Each has its rule; one that
    /// falls short counts unless the other meets what the same rule demands. Clear text inside IPsec is not in clear.
    #[must_use]
    pub fn judge_all<'a, 'b>(
        &'a self,
        connection: &Connection,
        now: DateTime<FixedOffset>,
        observed: &'b Observed,
        complete: bool,
        ipsec: Option<&'b Observed>,
    ) -> (Judgement<'a>, &'b Observed) {
        let own = || self.judge(connection, now, observed, complete);
        let Some(ipsec) = ipsec else { return (own(), observed) };
        let outer = self.judge(connection, now, ipsec, true);
        if observed.protocol == Protocol::None {
            return (outer, ipsec);
        }
        let excuses = |short: &Arc<ZertRule>, other: &Judgement<'_>| match other {
            Judgement::Good(Some(rule)) => Arc::ptr_eq(rule, short),
            _ => false,
        };
        let inner = own();
        match (&inner, &outer) {
            (Judgement::Short(rule), other) if !excuses(rule, other) => (inner, observed),
            (Judgement::Undecided, _) => (inner, observed),
            (other, Judgement::Short(rule)) if !excuses(rule, other) => (outer, ipsec),
            (Judgement::Short(_), _) => (outer, ipsec),
            _ => (inner, observed),
        }
    }

    /// Judges a connection: the first rule that is for it and its protection decides. `complete` tells that nothing more
    /// will be learned: then a rule whose protection is not known to fit is for others, and a demand that is not known to be missed
    /// is met.
    #[must_use]
    pub fn judge(
        &self,
        connection: &Connection,
        now: DateTime<FixedOffset>,
        observed: &Observed,
        complete: bool,
    ) -> Judgement<'_> {
        for rule in self.zert_rules(connection, now) {
            match rule.is_for(observed) {
                Fit::No => continue,
                Fit::Unknown if complete => continue,
                Fit::Unknown => return Judgement::Undecided,
                Fit::Yes => {}
            }
            if rule.action.allows() {
                return Judgement::Good(Some(rule));
            }
            return match rule.action.required.as_ref().map(|required| required.fit(observed)) {
                None | Some(Fit::No) => Judgement::Short(rule),
                Some(Fit::Unknown) if !complete => Judgement::Undecided,
                Some(Fit::Yes | Fit::Unknown) => Judgement::Good(Some(rule)),
            };
        }
        Judgement::Good(None)
    }
}
