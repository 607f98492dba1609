//! A new minimum against recorded history: who would have been reset, before anybody turns it on.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use policies::enforcement::Judgement;
use policies::{Connection, Direction, Policy};

use crate::table::Table;
use crate::usage::{Role, Usage};

/// The port of a client, which the history does not keep: Linux gives such ones.
const CLIENT_PORT: u16 = 49_152;

/// What a policy's zERT rules would have done.
#[must_use]
pub fn simulate(policy: &Policy, usages: &[Usage]) -> Table {
    let mut found: BTreeMap<[String; 8], u64> = BTreeMap::new();
    let (mut all, mut reset, mut told) = (0_u64, 0_u64, 0_u64);
    let mut peers = std::collections::BTreeSet::new();
    for usage in usages {
        let session = &usage.session;
        // The ports of FTP's data connections are not kept: which rules were for them cannot be told.
        if session.data {
            continue;
        }
        all += usage.counts.connections;
        let Some(observed) = &session.attributes.observed else { continue };
        let client = SocketAddr::new(session.client, CLIENT_PORT);
        let (local, remote, direction) = match session.role {
            Role::Server => (session.endpoint(), client, Direction::Inbound),
            Role::Client => (client, session.endpoint(), Direction::Outbound),
        };
        let named = |name: &String| (!name.is_empty()).then(|| name.clone());
        let connection =
            Connection { local, remote, direction, jobname: named(&session.jobname), userid: named(&session.userid) };
        let at = DateTime::<Utc>::from_timestamp(usage.last, 0).unwrap_or_default().with_timezone(&chrono::Local);
        let Judgement::Short(rule) = policy.judge(&connection, at.fixed_offset(), observed, true) else { continue };
        if rule.action.reset {
            reset += usage.counts.connections;
            peers.insert(session.peer());
        } else {
            told += usage.counts.connections;
        }
        let key = [
            rule.name.clone(),
            rule.action.does().join(" "),
            match session.role {
                Role::Server => "inbound",
                Role::Client => "outbound",
            }
            .to_owned(),
            session.endpoint().to_string(),
            session.peer().to_string(),
            session.jobname.clone(),
            session.attributes.in_words(),
            session.attributes.suite.clone(),
        ];
        *found.entry(key).or_default() += usage.counts.connections;
    }
    let mut rows: Vec<Vec<String>> =
        found.into_iter().map(|(key, count)| key.into_iter().chain([count.to_string()]).collect()).collect();
    let count = |row: &Vec<String>| row.last().and_then(|count| count.parse::<u64>().ok()).unwrap_or_default();
    rows.sort_by_key(|row| std::cmp::Reverse(count(row)));
    let mut notes = vec![
        format!("{reset} of {all} recorded connections would have been reset, of {} peers", peers.len()),
        format!("{told} more would have been logged or audited"),
    ];
    let ports_of_clients = policy.zert.iter().any(|rule| match rule.conditions.direction {
        Some(Direction::Inbound) => !rule.conditions.remote_ports.is_empty(),
        Some(Direction::Outbound) => !rule.conditions.local_ports.is_empty(),
        None => false,
    });
    if ports_of_clients {
        notes.push(format!("the ports of clients are not recorded; rules that ask for them saw {CLIENT_PORT}"));
    }
    Table {
        title: "WHAT THE POLICY WOULD HAVE DONE".to_owned(),
        columns: vec!["RULE", "ACTION", "DIRECTION", "SERVER", "PEER", "JOB", "PROTECTION", "SUITE", "CONNECTIONS"],
        rows,
        notes,
    }
}
