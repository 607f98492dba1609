//! Why a connection is treated as it is: the rule that wins, every parameter in effect and where it comes from, and the
//! rules that nearly matched with the condition that failed.

use std::collections::HashSet;

use chrono::{DateTime, FixedOffset};
use serde::{Deserialize, Serialize};

use crate::cipher;
use crate::group;
use crate::matching::Connection;
use crate::model::{Condition, Conditions, Policy, TtlsRule};
use crate::parameters::Effective;
use crate::region::Cell;
use crate::source::Origin;
use crate::table::{self, Parameter};
use crate::value::{Kind, Value};

/// Rules that nearly matched, of which so many are told.
const MOST_NEAR: usize = 20;
/// What is shown in place of a password.
const HIDDEN: &str = "********";

/// See the module.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Explanation {
    /// The connection in words.
    pub connection: String,
    /// The moment that was asked for.
    pub at: String,
    /// What happens, in a sentence.
    pub verdict: String,
    /// The rule that decides.
    pub rule: Option<RuleView>,
    /// Every parameter in effect; empty when no TLS is done.
    pub parameters: Vec<ParameterView>,
    /// Rules searched before it that match but for one condition, and rules searched after it that match too.
    pub near: Vec<NearView>,
    /// How many more there are.
    pub more_near: usize,
    /// The zERT rules that may judge it, in search order: the first one that is for its protection does.
    #[serde(default)]
    pub zert: Vec<RuleView>,
}

/// A rule.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[allow(missing_docs, reason = "the field names are the documentation")]
pub struct RuleView {
    pub name: String,
    pub origin: String,
    pub priority: u32,
    /// What it matches.
    pub conditions: String,
}

/// A parameter in effect.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ParameterView {
    /// Its name.
    pub name: String,
    /// What is in effect.
    pub value: String,
    /// `file:line`, or `default`.
    pub origin: String,
    /// Why it is not what is coded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub instead: Option<String>,
}

/// A rule that nearly matched, or matches and comes too late.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct NearView {
    /// The rule.
    pub rule: RuleView,
    /// The condition that failed, in words; none when the rule matches and is searched later.
    pub failed: Option<String>,
    /// Where that condition is coded.
    pub coded: Option<String>,
}

/// Explains a connection at a moment.
#[must_use]
pub fn explain(policy: &Policy, connection: &Connection, now: DateTime<FixedOffset>) -> Explanation {
    let winner = policy.ttls_rule(connection, now);
    let deciding = policy.deciding(connection, now);
    let verdict = match deciding.as_slice() {
        [asking @ .., last] if !asking.is_empty() => {
            let cases =
                asking.iter().flatten().map(|rule| format!("for {} {}", owner(&rule.conditions), verdict(Some(rule))));
            let last = format!("for others {}", verdict(last.map(AsRef::as_ref)));
            format!("it depends on the owner: {}", cases.chain(std::iter::once(last)).collect::<Vec<_>>().join("; "))
        }
        _ => verdict(winner.map(AsRef::as_ref)),
    };
    let (near, more_near) = near(policy, connection, now, winner.map(|rule| rule.name.as_str()));
    Explanation {
        connection: sentence(connection),
        at: now.format("%Y-%m-%d %H:%M:%S %:z").to_string(),
        verdict,
        rule: winner.map(|rule| rule_view(&rule.name, &rule.origin, rule.priority, &rule.conditions)),
        parameters: winner.filter(|rule| rule.enabled()).map(|rule| parameters(rule)).unwrap_or_default(),
        near,
        more_near,
        zert: zert(policy, connection, now),
    }
}

/// Up to the first rule that is for whatever protection there is.
fn zert(policy: &Policy, connection: &Connection, now: DateTime<FixedOffset>) -> Vec<RuleView> {
    let mut views = Vec::new();
    for rule in policy.zert_rules(connection, now) {
        let mut view = rule_view(&rule.name, &rule.origin, rule.priority, &rule.conditions);
        let names: Vec<&str> = rule.protections.iter().map(|protection| protection.name.as_str()).collect();
        if !names.is_empty() {
            view.conditions = format!("{}, protection {}", view.conditions, names.join(" or "));
        }
        views.push(view);
        if names.is_empty() {
            break;
        }
    }
    views
}

/// Every parameter in effect for a rule's connections, in the table's order.
#[must_use]
pub fn parameters(rule: &TtlsRule) -> Vec<ParameterView> {
    const STATEMENTS: [&str; 11] = [
        "TTLSGroupAction",
        "TTLSGroupAdvancedParms",
        "TTLSEnvironmentAction",
        "TTLSKeyringParms",
        "TTLSEnvironmentAdvancedParms",
        "TTLSSignatureParms",
        "TTLSCipherParms",
        "TTLSGskAdvancedParms",
        "TTLSGskLdapParms",
        "TTLSGskHttpCdpParms",
        "TTLSGskOcspParms",
    ];
    let mut seen: HashSet<&str> = HashSet::new();
    let mut views = Vec::new();
    let connection = table::statement("TTLSConnectionAction").into_iter();
    for row in STATEMENTS.iter().filter_map(|name| table::statement(name)).chain(connection).flat_map(|one| one.rows())
    {
        let part = matches!(row.kind, Kind::Inline(_) | Kind::Reference(_)) || row.name == "V3CipherSuites4Char";
        if part || !seen.insert(row.name) {
            continue;
        }
        views.extend(parameter(rule, row));
    }
    views
}

fn parameter(rule: &TtlsRule, row: &Parameter) -> Option<ParameterView> {
    let effective = rule.effective(row.name);
    let security = rule.security.as_ref();
    // The engine has one list of suites and one of groups; what of the coded ones is in effect stands there.
    let value = match (row.name, security) {
        ("V3CipherSuites", Some(security)) => list(&security.suites, cipher::name),
        ("SignaturePairs", Some(security)) => list(&security.signatures, group::signature_name),
        ("SignaturePairsCert", Some(security)) => list(&security.certificate_signatures, group::signature_name),
        ("GSK_V3_SIDCACHE_SIZE", Some(security)) => security.cache_capacity.to_string(),
        ("GSK_V3_SESSION_TIMEOUT", Some(security)) => security.cache_timeout.to_string(),
        ("GSK_SESSION_TICKET_SERVER_TIMEOUT", Some(security)) => security.ticket_timeout.to_string(),
        ("ClientECurves" | "ClientKeyShareGroups" | "ServerKexECurves" | "ServerKeyShareGroups", Some(security)) => {
            let mine = row.name.starts_with("Client") == (security.role == crate::parameters::Role::Client);
            if effective.origin.is_none() && !(mine && row.name.ends_with("Curves")) {
                return None;
            }
            if !mine {
                return None; // the other end's
            }
            let coded: Vec<u16> = effective.values.iter().filter_map(as_group).collect();
            let offered = security.groups.iter().copied().filter(|code| coded.is_empty() || coded.contains(code));
            list(&offered.collect::<Vec<_>>(), group::name)
        }
        _ if effective.values.is_empty() && effective.origin.is_none() => return None,
        _ if row.secret => HIDDEN.to_owned(),
        _ => effective.values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    // The seed's keywords replace these three.
    let by = match row.name {
        "GSK_V3_SIDCACHE_SIZE" => rule.effective("HandshakeCacheCapacity"),
        "GSK_V3_SESSION_TIMEOUT" | "GSK_SESSION_TICKET_SERVER_TIMEOUT" => rule.effective("HandshakeCacheTimeout"),
        _ => Effective::default(),
    };
    let effective = if by.origin.is_some() { by } else { effective };
    Some(ParameterView {
        name: row.name.to_owned(),
        value: if value.is_empty() { "(none)".to_owned() } else { value },
        origin: effective.origin.map_or_else(|| "default".to_owned(), |origin| origin.short()),
        instead: effective.instead.map(str::to_owned),
    })
}

fn as_group(value: &Value) -> Option<u16> {
    match value {
        Value::Group(code) => *code,
        _ => None,
    }
}

fn list(codes: &[u16], name: impl Fn(u16) -> String) -> String {
    codes.iter().map(|&code| name(code)).collect::<Vec<_>>().join(", ")
}

fn verdict(rule: Option<&TtlsRule>) -> String {
    match rule {
        None => {
            "no rule matches: the connection is left alone, in clear text unless the program does TLS itself".to_owned()
        }
        Some(rule) if !rule.enabled() => {
            format!("rule {} leaves the connection alone (TTLSEnabled Off)", rule.name)
        }
        Some(rule) => {
            let versions = rule.security.as_ref().map(|security| security.versions().join(" or "));
            format!("rule {} wraps the connection in {}", rule.name, versions.unwrap_or_default())
        }
    }
}

fn owner(conditions: &Conditions) -> String {
    let job = conditions.jobname.as_ref().map(|pattern| format!("job {pattern}"));
    let user = conditions.userid.as_ref().map(|pattern| format!("user {pattern}"));
    job.into_iter().chain(user).collect::<Vec<_>>().join(" and ")
}

fn sentence(connection: &Connection) -> String {
    let Connection { local, remote, direction, jobname, userid } = connection;
    let name =
        |what: &str, name: &Option<String>| name.as_ref().map(|name| format!(", {what} {name}")).unwrap_or_default();
    format!("{direction}, local {local}, remote {remote}{}{}", name("job", jobname), name("user", userid))
}

fn rule_view(name: &str, origin: &Origin, priority: u32, conditions: &Conditions) -> RuleView {
    RuleView { name: name.to_owned(), origin: origin.short(), priority, conditions: Cell::of(conditions).to_string() }
}

fn near(
    policy: &Policy,
    connection: &Connection,
    now: DateTime<FixedOffset>,
    winner: Option<&str>,
) -> (Vec<NearView>, usize) {
    let mut views = Vec::new();
    let mut more = 0;
    let mut later = false;
    for rule in &policy.ttls {
        if winner == Some(rule.name.as_str()) {
            later = true;
            continue;
        }
        let conditions = &rule.conditions;
        let mut failed = CONDITIONS.iter().filter(|(condition, _)| !conditions.holds(*condition, connection, now));
        let first = failed.next();
        if failed.next().is_some() || (first.is_some() && later) {
            continue;
        }
        if views.len() == MOST_NEAR {
            more += 1;
            continue;
        }
        views.push(NearView {
            rule: rule_view(&rule.name, &rule.origin, rule.priority, conditions),
            failed: first.map(|(condition, name)| failure(conditions, *condition, name, connection, now)),
            coded: first.and_then(|(condition, _)| conditions.place(*condition)).map(Origin::short),
        });
    }
    (views, more)
}

const CONDITIONS: [(Condition, &str); 8] = [
    (Condition::Direction, "Direction"),
    (Condition::LocalAddress, "local address"),
    (Condition::RemoteAddress, "remote address"),
    (Condition::LocalPort, "local port"),
    (Condition::RemotePort, "remote port"),
    (Condition::Jobname, "Jobname"),
    (Condition::Userid, "Userid"),
    (Condition::Time, "time"),
];

fn failure(
    conditions: &Conditions,
    condition: Condition,
    name: &str,
    connection: &Connection,
    now: DateTime<FixedOffset>,
) -> String {
    let unknown = || "not known".to_owned();
    let found = match condition {
        Condition::Direction => connection.direction.to_string(),
        Condition::LocalAddress => connection.local.ip().to_string(),
        Condition::RemoteAddress => connection.remote.ip().to_string(),
        Condition::LocalPort => connection.local.port().to_string(),
        Condition::RemotePort => connection.remote.port().to_string(),
        Condition::Jobname => connection.jobname.clone().unwrap_or_else(unknown),
        Condition::Userid => connection.userid.clone().unwrap_or_else(unknown),
        Condition::Time => now.format("%A %Y-%m-%d %H:%M %:z").to_string(),
    };
    // The rule's own words for this one condition.
    let alone = match condition {
        Condition::Direction => Conditions { direction: conditions.direction, ..Conditions::default() },
        Condition::LocalAddress => Conditions { local: conditions.local.clone(), ..Conditions::default() },
        Condition::RemoteAddress => Conditions { remote: conditions.remote.clone(), ..Conditions::default() },
        Condition::LocalPort => Conditions { local_ports: conditions.local_ports.clone(), ..Conditions::default() },
        Condition::RemotePort => Conditions { remote_ports: conditions.remote_ports.clone(), ..Conditions::default() },
        Condition::Jobname => Conditions { jobname: conditions.jobname.clone(), ..Conditions::default() },
        Condition::Userid => Conditions { userid: conditions.userid.clone(), ..Conditions::default() },
        Condition::Time => Conditions { schedule: conditions.schedule.clone(), ..Conditions::default() },
    };
    format!("{name} is {found}, the rule wants {}", Cell::of(&alone))
}
