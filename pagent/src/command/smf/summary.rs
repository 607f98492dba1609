//! `smf summary`: the connections of a dump, counted.

use std::collections::BTreeMap;

use ::smf::ConnectionDetail;
use ::smf::detail::{Event, LocalRole};
use clap::ValueEnum;

use super::super::print_lines;
use crate::report::records;

/// What connections are counted by.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum By {
    /// The remote address
    Remote,
    /// The server's port
    Port,
    /// The local job
    Job,
    /// The local user
    User,
    /// What protected them
    Protection,
}

#[derive(Default)]
struct Count {
    connections: u64,
    bytes_in: u64,
    bytes_out: u64,
}

/// Counts connections that have ended, the most bytes first.
#[derive(Default)]
pub(super) struct Table(BTreeMap<String, Count>);

impl Table {
    pub(super) fn add(&mut self, by: By, record: &ConnectionDetail) {
        let common = &record.common;
        if !matches!(common.event, Event::Termination | Event::ShortTermination) {
            return;
        }
        let server = if common.role == LocalRole::Client { common.remote } else { common.local };
        let name = |text: &str| if text.trim().is_empty() { "-".to_owned() } else { text.trim().to_owned() };
        let key = match by {
            By::Remote => common.remote.ip().to_string(),
            By::Port => server.port().to_string(),
            By::Job => name(&common.jobname),
            By::User => name(&common.userid),
            By::Protection => records::protection_kind(record),
        };
        let count = self.0.entry(key).or_default();
        count.connections += 1;
        count.bytes_in += common.bytes_in;
        count.bytes_out += common.bytes_out;
    }

    pub(super) fn print(self, by: By) -> anyhow::Result<()> {
        let title = match by {
            By::Remote => "REMOTE ADDRESS",
            By::Port => "PORT",
            By::Job => "JOBNAME",
            By::User => "USERID",
            By::Protection => "PROTECTION",
        };
        let mut rows: Vec<(String, Count)> = self.0.into_iter().collect();
        rows.sort_by_key(|(_, count)| std::cmp::Reverse(count.bytes_in + count.bytes_out));
        let mut lines = vec![format!("{title:39} CONNECTIONS        BYTES IN       BYTES OUT   AVERAGE BYTES")];
        lines.extend(rows.into_iter().map(|(key, Count { connections, bytes_in, bytes_out })| {
            let average = (bytes_in + bytes_out) / connections.max(1);
            format!("{key:39} {connections:11} {bytes_in:15} {bytes_out:15} {average:15}")
        }));
        print_lines(&lines)
    }
}
