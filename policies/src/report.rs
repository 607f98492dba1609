//! `pasearch`: the installed policy as a report.
//!
//! [`Report`] is what a daemon answers and `--json` prints; [`Report::lines`] is IBM's layout (*IP System
//! Administrator's Commands*, pasearch; columns as z/OS 3.1 prints them). What is printed is in effect: a value the
//! engine cannot honour appears as the one that counts instead.

mod layout;

use chrono::{DateTime, FixedOffset};
use serde::{Deserialize, Serialize};

use crate::cipher;
use crate::group;
use crate::intervals::{of_addresses, to_address};
use crate::model::{Action, Conditions, Policy, Scope, TtlsRule, ZertProtection, ZertRule};
use crate::parameters::{Role, SecurityParameters, default_values, in_effect};
use crate::protection::ProtectionTerms;
use crate::schedule::Schedule;
use crate::table::{self, Parameter, Placement, Statement};
use crate::value::{Kind, Value};

pub use layout::Selection;

/// When rules and actions came and changed: by kind and name, seconds since the epoch.
pub trait History {
    /// Created and last changed.
    fn of(&self, kind: &str, name: &str) -> (i64, i64);
}

/// A policy that came as a whole at one moment.
impl History for i64 {
    fn of(&self, _kind: &str, _name: &str) -> (i64, i64) {
        (*self, *self)
    }
}

/// The report.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[allow(missing_docs, reason = "the field names are the documentation")]
pub struct Report {
    pub image: String,
    /// The names of all images that the configuration speaks of.
    pub images: Vec<String>,
    /// The files the policy was read from.
    pub files: Vec<String>,
    /// When the report was made.
    pub time: DateTime<FixedOffset>,
    /// Seconds since the epoch of the installation.
    pub instance: i64,
    pub ttls: Vec<Rule>,
    pub zert: Vec<Rule>,
}

/// A rule.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[allow(missing_docs, reason = "the field names are the documentation")]
pub struct Rule {
    pub name: String,
    pub origin: String,
    pub active: bool,
    pub priority: u32,
    pub direction: String,
    /// `All`, addresses, prefixes and ranges as they are coded.
    pub local_addresses: Vec<String>,
    pub remote_addresses: Vec<String>,
    /// The lowest and the highest of each condition; none for all.
    pub local_address_summary: Option<(String, String)>,
    pub remote_address_summary: Option<(String, String)>,
    pub local_ports: Vec<(u16, u16)>,
    pub remote_ports: Vec<(u16, u16)>,
    pub jobname: String,
    pub userid: String,
    /// The protections that a zERT rule is for, by name, with what they say; none for all.
    #[serde(default)]
    pub protections: Vec<(String, Vec<(String, String)>)>,
    pub time: Time,
    /// Whether connections are wrapped (TTLSEnabled On); for a zERT rule, whether it does anything.
    pub enabled: bool,
    /// TLS versions that may be negotiated.
    pub versions: Vec<String>,
    /// Cipher suites that may be negotiated, in order.
    pub cipher_suites: Vec<String>,
    /// Groups that may be negotiated, in order.
    pub groups: Vec<String>,
    pub keyring: Option<String>,
    pub actions: Vec<ActionReport>,
    /// Seconds since the epoch.
    pub created: i64,
    pub updated: i64,
}

/// The times at which a rule is active.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[allow(missing_docs, reason = "the field names are the documentation")]
pub struct Time {
    pub first_to_last: String,
    pub last_to_first: String,
    pub months: String,
    pub weekdays: String,
    pub start: Option<String>,
    pub end: Option<String>,
    /// Times of the day, from and to, by the rule's clock.
    pub hours: Vec<(String, String)>,
    /// The same by UTC.
    pub hours_utc: Vec<(String, String)>,
    pub zone: String,
}

/// An action.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the field names are the documentation")]
pub struct ActionReport {
    pub name: String,
    pub scope: String,
    pub entries: Vec<Entry>,
    pub created: i64,
    pub updated: i64,
}

/// A line of an action, or a block of lines.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Entry {
    /// A parameter with one value.
    Value {
        /// Its name.
        name: String,
        /// What is in effect.
        value: String,
    },
    /// A list of codes with their names.
    Codes {
        /// The parameter.
        name: String,
        /// Codes and names.
        codes: Vec<(String, String)>,
    },
    /// A sub-statement.
    Block {
        /// Its keyword.
        name: String,
        /// What is in it.
        entries: Vec<Self>,
    },
}

impl Report {
    /// The report of a policy.
    #[must_use]
    pub fn new(policy: &Policy, image: &str, instance: i64, now: DateTime<FixedOffset>, history: &dyn History) -> Self {
        Self {
            image: image.to_owned(),
            images: vec![image.to_owned()],
            files: Vec::new(),
            time: now,
            instance,
            ttls: policy.ttls.iter().map(|rule| ttls_rule(rule, now, history)).collect(),
            zert: policy.zert.iter().map(|rule| zert_rule(rule, now, history)).collect(),
        }
    }
}

fn ttls_rule(rule: &TtlsRule, now: DateTime<FixedOffset>, history: &dyn History) -> Rule {
    let environment = rule.environment_security();
    let actions = rule
        .references
        .iter()
        .filter_map(|scope| {
            let action = rule.action(*scope)?;
            let (created, updated) = history.of(scope.statement(), &action.name);
            // An environment action is shown as it is without the connection action that some rules have beside it.
            let security = match scope {
                Scope::Connection => rule.security.as_deref(),
                _ => environment.as_ref(),
            };
            let entries = Shown { action, scope: *scope, security }.entries();
            let scope = format!("{scope:?}");
            Some(ActionReport { name: action.name.clone(), scope, entries, created, updated })
        })
        .collect();
    let times = history.of("TTLSRule", &rule.name);
    let report = rule_report(&rule.name, &rule.origin.short(), rule.priority, &rule.conditions, actions, times, now);
    let Some(security) = &rule.security else { return Rule { enabled: false, ..report } };
    Rule {
        versions: security.versions().into_iter().map(str::to_owned).collect(),
        cipher_suites: security.suites.iter().map(|&code| cipher::name(code)).collect(),
        groups: security.groups.iter().map(|&code| group::name(code)).collect(),
        keyring: Some(security.keyring.clone()),
        ..report
    }
}

fn zert_rule(rule: &ZertRule, now: DateTime<FixedOffset>, history: &dyn History) -> Rule {
    let action = &rule.action;
    let (created, updated) = history.of("zERTPolicyAction", &action.name);
    let entry = |(name, value): (&str, String)| Entry::Value { name: name.to_owned(), value };
    let hold = if action.hold { "On" } else { "Off" };
    let mut entries = vec![entry(("Action", action.does().join(" "))), entry(("Hold", hold.to_owned()))];
    entries.extend(action.required.iter().flat_map(ProtectionTerms::coded).map(entry));
    let actions = vec![ActionReport { name: action.name.clone(), scope: "zERT".to_owned(), entries, created, updated }];
    let times = history.of("zERTPolicyRule", &rule.name);
    let terms = |protection: &ZertProtection| {
        protection.terms.coded().into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    };
    let protections = rule.protections.iter().map(|protection| (protection.name.clone(), terms(protection))).collect();
    let report = rule_report(&rule.name, &rule.origin.short(), rule.priority, &rule.conditions, actions, times, now);
    Rule { protections, ..report }
}

fn rule_report(
    name: &str,
    origin: &str,
    priority: u32,
    conditions: &Conditions,
    actions: Vec<ActionReport>,
    (created, updated): (i64, i64),
    now: DateTime<FixedOffset>,
) -> Rule {
    let Conditions {
        direction,
        local,
        remote,
        local_ports,
        remote_ports,
        jobname,
        userid,
        schedule,
        places: _,
        broken: _,
    } = conditions;
    let ports = |ranges: &[crate::address::PortRange]| -> Vec<(u16, u16)> {
        ranges.iter().map(|range| (*range.0.start(), *range.0.end())).collect()
    };
    let addresses = |ranges: &[crate::address::AddressRange]| -> Vec<String> {
        if ranges.is_empty() { vec!["All".to_owned()] } else { ranges.iter().map(ToString::to_string).collect() }
    };
    let summary = |ranges: &[crate::address::AddressRange]| {
        let set = of_addresses(ranges)?;
        let (first, last) = (set.as_slice().first()?.0, set.as_slice().last()?.1);
        Some((to_address(first).to_string(), to_address(last).to_string()))
    };
    Rule {
        name: name.to_owned(),
        origin: origin.to_owned(),
        active: schedule.as_ref().is_none_or(|schedule| schedule.contains(now)),
        priority,
        direction: direction.map_or_else(|| "Both".to_owned(), |direction| direction.to_string()),
        local_addresses: addresses(local),
        remote_addresses: addresses(remote),
        local_address_summary: summary(local),
        remote_address_summary: summary(remote),
        local_ports: ports(local_ports),
        remote_ports: ports(remote_ports),
        jobname: jobname.as_ref().map(ToString::to_string).unwrap_or_default(),
        userid: userid.as_ref().map(ToString::to_string).unwrap_or_default(),
        enabled: true,
        versions: Vec::new(),
        cipher_suites: Vec::new(),
        groups: Vec::new(),
        keyring: None,
        time: time(schedule.as_deref().unwrap_or(&Schedule::default()), now),
        protections: Vec::new(),
        actions,
        created,
        updated,
    }
}

fn time(schedule: &Schedule, now: DateTime<FixedOffset>) -> Time {
    let Schedule { dates, months, days, weekdays, hours, utc } = schedule;
    let ones = |count: usize| "1".repeat(count);
    let days = days.as_ref().map(ToString::to_string);
    let (first, last) = match days.as_deref() {
        None => (ones(31), ones(31)),
        Some(mask) => {
            let (first, last) = mask.split_at_checked(31).unwrap_or((mask, ""));
            (first.to_owned(), if last.is_empty() { "0".repeat(31) } else { last.to_owned() })
        }
    };
    let clock = |minute: i64| format!("{:02}:{:02}", minute / 60, minute % 60);
    // The whole day is the whole day in every zone.
    let whole_day = hours.iter().all(|range| (range.from, range.to) == (0, 1440));
    let offset = if *utc || whole_day { 0 } else { i64::from(now.offset().local_minus_utc()) / 60 };
    let hours: Vec<(i64, i64)> = match hours.as_slice() {
        [] => vec![(0, 1440)],
        hours => hours.iter().map(|range| (range.from.into(), range.to.into())).collect(),
    };
    let date = |time: chrono::NaiveDateTime| time.format("%a %b %e %H:%M:%S %Y").to_string();
    Time {
        first_to_last: first,
        last_to_first: last,
        months: months.as_ref().map_or_else(|| ones(12), ToString::to_string),
        weekdays: weekdays.as_ref().map_or_else(|| ones(7), ToString::to_string),
        start: dates.map(|range| date(range.from)),
        end: dates.map(|range| date(range.to)),
        hours: hours.iter().map(|(from, to)| (clock(*from), clock(*to))).collect(),
        hours_utc: hours
            .iter()
            .map(|(from, to)| (clock((from - offset).rem_euclid(1440)), clock((to - offset).rem_euclid(1440))))
            .collect(),
        zone: if *utc { "UTC" } else { "Local" }.to_owned(),
    }
}

/// An action whose report is made.
struct Shown<'a> {
    action: &'a Action,
    scope: Scope,
    /// What the engine makes of it; none when TTLS is not enabled.
    security: Option<&'a SecurityParameters>,
}

impl Shown<'_> {
    /// A group and an environment show every default, a connection what is coded.
    fn entries(&self) -> Vec<Entry> {
        let statement = table::statement(self.scope.statement());
        statement.map(|statement| self.block(statement, self.scope != Scope::Connection)).unwrap_or_default()
    }

    fn block(&self, statement: &'static Statement, defaults: bool) -> Vec<Entry> {
        let mut entries = Vec::new();
        // A shared sub-statement has rows that count in environment actions only.
        let counts = |row: &&'static Parameter| self.scope == Scope::Environment || !row.is_environment_only();
        for row in statement.rows().filter(counts) {
            match row.kind {
                Kind::Inline(name) => {
                    let coded = self.action.parts.contains(&name);
                    // Ciphers and LDAP servers have no defaults to show.
                    let shown = coded || (defaults && !matches!(name, "TTLSCipherParms" | "TTLSGskLdapParms"));
                    let Some(inner) = table::statement(name).filter(|_| shown) else { continue };
                    // A connection's signature parameters are shown whole when some are coded.
                    let inner = self.block(inner, defaults || name == "TTLSSignatureParms");
                    if !inner.is_empty() {
                        entries.push(Entry::Block { name: name.to_owned(), entries: inner });
                    }
                }
                Kind::Reference(name)
                    if table::statement(name).is_some_and(|one| one.placement == Placement::TopOrInline) => {}
                _ => entries.extend(self.entry(row, defaults)),
            }
        }
        entries
    }

    fn entry(&self, row: &'static Parameter, defaults: bool) -> Vec<Entry> {
        let coded = self.action.settings.get(row.name);
        let name = row.name.to_owned();
        let values = match coded {
            Some(setting) => in_effect(row, &setting.values).0,
            None if defaults && !row.quiet => default_values(row),
            None => Vec::new(),
        };
        match row.kind {
            _ if row.name == "FIPSMODE" => Vec::new(), // no build has the module that would put it in effect
            Kind::Suites(_) => {
                // Both keywords are one list, which stands under the first. Suites of a version that is off cannot occur.
                let possible = |code: &u16| self.security.is_none_or(|security| security.suites.contains(code));
                let offered = |code: &u16| cipher::by_code(*code).is_some_and(|suite| suite.offered);
                let codes = values.iter().filter_map(as_code).filter(offered).filter(possible);
                codes_entry("v3CipherSuites", codes, |code| (format!("{code:04X}"), cipher::name(code)))
            }
            Kind::Groups { .. } if defaults || coded.is_some() => {
                if values.contains(&Value::Group(None)) {
                    let any = vec![("Any".to_owned(), String::new())];
                    return vec![Entry::Codes { name, codes: any }];
                }
                // IBM writes these two names with a capital.
                let text = |code: u16| group::name(code).replace("x25519", "X25519").replace("x448", "X448");
                codes_entry(row.name, self.groups(row, &values).into_iter(), |code| (format!("{code:04}"), text(code)))
            }
            Kind::Groups { .. } => Vec::new(),
            Kind::SignaturePairs => {
                let codes: Vec<u16> = match (row.name, self.security) {
                    ("SignaturePairs", Some(security)) if defaults || coded.is_some() => security.signatures.clone(),
                    ("SignaturePairs", None) if defaults => group::VERIFIED.to_vec(),
                    ("SignaturePairsCert", Some(security)) if coded.is_some() => {
                        security.certificate_signatures.clone()
                    }
                    _ => values.iter().filter_map(as_code).collect(),
                };
                let text = |code: u16| (format!("{code:04X}"), group::signature_name(code));
                codes_entry(row.name, codes.into_iter(), text)
            }
            _ => {
                let values = match self.instead(row.name) {
                    Some(value) if !values.is_empty() => vec![value],
                    _ => values,
                };
                // Labels and names may hold commas and blanks: each has a line.
                let shown = |value: &Value| if row.secret { "********".to_owned() } else { value.to_string() };
                values.iter().map(|value| Entry::Value { name: name.clone(), value: shown(value) }).collect()
            }
        }
    }

    /// What counts in place of a coded value or a default: versions that nothing serves, caches that the seed's keywords
    /// set, names that are not sent.
    fn instead(&self, name: &str) -> Option<Value> {
        let security = self.security?;
        match name {
            "TLSv1.2" => Some(Value::OnOff(security.tls12)),
            "TLSv1.3" => Some(Value::OnOff(security.tls13)),
            "GSK_V3_SIDCACHE_SIZE" => Some(Value::Number(security.cache_capacity)),
            "GSK_V3_SESSION_TIMEOUT" => Some(Value::Number(security.cache_timeout)),
            "GSK_SESSION_TICKET_SERVER_TIMEOUT" => Some(Value::Number(security.ticket_timeout)),
            "ClientHandshakeSNIList" => security.server_name_indication.clone().map(Value::Text),
            _ => None,
        }
    }

    /// The groups in effect under one of the four rows. The engine has one list; a client sends a share for its first
    /// group, and for the classical part of that if it is in the list.
    fn groups(&self, row: &Parameter, values: &[Value]) -> Vec<u16> {
        let client = row.name.starts_with("Client");
        let (tls12, tls13) = self.security.map_or((true, true), |security| (security.tls12, security.tls13));
        let mine = self.security.filter(|security| client == (security.role == Role::Client));
        let list: Vec<u16> = match mine {
            Some(security) => security.groups.clone(),
            // The other end's rows steer nothing in this role: what is coded, else what is coded beside it, else the
            // engine's own list.
            None => {
                let beside = match row.name {
                    "ClientKeyShareGroups" => "ClientECurves",
                    "ClientECurves" => "ClientKeyShareGroups",
                    "ServerKeyShareGroups" => "ServerKexECurves",
                    _ => "ServerKeyShareGroups",
                };
                let beside =
                    self.action.settings.get(beside).map(|setting| setting.values.as_slice()).unwrap_or_default();
                let coded: Vec<u16> =
                    if values.is_empty() { beside } else { values }.iter().filter_map(as_code).collect();
                let coded = if coded.is_empty() { group::DEFAULT.to_vec() } else { coded };
                let offered = |code: &u16| group::by_code(*code).is_some_and(|group| group.offered);
                coded.into_iter().filter(offered).filter(|code| tls13 || group::serves_tls12(*code)).collect()
            }
        };
        match row.name {
            "ClientKeyShareGroups" if !tls13 => Vec::new(),
            "ClientKeyShareGroups" => {
                let first = list.first().copied();
                let part = first.and_then(group::classical_part).filter(|part| list.contains(part));
                first.into_iter().chain(part).collect()
            }
            "ServerKeyShareGroups" if !tls13 => Vec::new(),
            "ServerKexECurves" if !tls12 => Vec::new(),
            "ServerKexECurves" => list.into_iter().filter(|code| group::serves_tls12(*code)).collect(),
            _ => list,
        }
    }
}

/// A list of codes, each once; no entry for an empty one.
fn codes_entry(name: &str, codes: impl Iterator<Item = u16>, text: impl Fn(u16) -> (String, String)) -> Vec<Entry> {
    let mut once: Vec<u16> = Vec::new();
    for code in codes {
        if !once.contains(&code) {
            once.push(code);
        }
    }
    let codes: Vec<(String, String)> = once.into_iter().map(text).collect();
    if codes.is_empty() { Vec::new() } else { vec![Entry::Codes { name: name.to_owned(), codes }] }
}

fn as_code(value: &Value) -> Option<u16> {
    match value {
        Value::Suite(code) | Value::Group(Some(code)) | Value::SignaturePair(code) => Some(*code),
        _ => None,
    }
}

/// The lowest and the highest port of a condition; 0 and 0 for all.
pub(crate) fn port_summary(ranges: &[(u16, u16)]) -> (u16, u16) {
    let lowest = ranges.iter().map(|(from, _)| *from).min().unwrap_or(0);
    (lowest, ranges.iter().map(|(_, to)| *to).max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_ports_reaches_from_the_lowest_to_the_highest() {
        assert_eq!(port_summary(&[(990, 990), (20, 21)]), (20, 990));
        assert_eq!(port_summary(&[]), (0, 0));
    }
}
