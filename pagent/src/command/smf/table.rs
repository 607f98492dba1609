//! `smf csv`: records as rows (RFC 4180), for spreadsheets and databases.

use ::smf::detail::{LocalRole, Tls};
use ::smf::{ConnectionDetail, SessionSummary};

use super::super::print_text;
use crate::report::records;

const CONNECTIONS: [&str; 19] = [
    "written",
    "system",
    "event",
    "connection",
    "jobname",
    "userid",
    "role",
    "local",
    "remote",
    "started",
    "ended",
    "bytes_in",
    "bytes_out",
    "protection",
    "cipher",
    "group",
    "source",
    "rule",
    "reset",
];

const SESSIONS: [&str; 18] = [
    "written",
    "system",
    "session",
    "jobname",
    "userid",
    "role",
    "server",
    "port",
    "client",
    "seconds",
    "connections",
    "short",
    "partial",
    "failed",
    "active",
    "bytes_in",
    "bytes_out",
    "protection",
];

/// Rows, until they are printed.
pub(super) struct Rows(csv::Writer<Vec<u8>>);

impl Rows {
    pub(super) fn connections() -> anyhow::Result<Self> {
        Self::new(&CONNECTIONS)
    }

    pub(super) fn sessions() -> anyhow::Result<Self> {
        Self::new(&SESSIONS)
    }

    fn new(titles: &[&str]) -> anyhow::Result<Self> {
        let mut rows = csv::Writer::from_writer(Vec::new());
        rows.write_record(titles)?;
        Ok(Self(rows))
    }

    /// A connection as a record tells of it.
    pub(super) fn connection(&mut self, record: &ConnectionDetail) -> anyhow::Result<()> {
        let common = &record.common;
        let tls = |of: fn(&Tls) -> String| record.tls.as_ref().map(of).unwrap_or_default();
        let source = match (&record.tls, &record.ssh) {
            (Some(tls), _) => tls.provider.clone(),
            (None, Some(ssh)) => ssh.provider.clone(),
            (None, None) => String::new(),
        };
        let row: [String; CONNECTIONS.len()] = [
            record.header.written.format("%Y-%m-%dT%H:%M:%S%.3f").to_string(),
            record.identification.system.clone(),
            format!("{:?}", common.event),
            format!("{:08X}", common.connection_id),
            common.jobname.clone(),
            common.userid.clone(),
            role(common.role).to_owned(),
            common.local.to_string(),
            common.remote.to_string(),
            common.started.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            common.ended.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)).unwrap_or_default(),
            common.bytes_in.to_string(),
            common.bytes_out.to_string(),
            records::protection_kind(record),
            tls(|tls| records::suite(&tls.cipher)),
            tls(|tls| records::group(tls.group)),
            source,
            record.enforcement.as_ref().map(|enforcement| enforcement.rule.clone()).unwrap_or_default(),
            common.reset.to_string(),
        ];
        Ok(self.0.write_record(row)?)
    }

    /// What a session counted in an interval.
    pub(super) fn session(&mut self, record: &SessionSummary) -> anyhow::Result<()> {
        let common = &record.common;
        if common.event != ::smf::summary::Event::Interval {
            return Ok(());
        }
        let (begun, ended) = (&common.begun, &common.ended);
        let count = |begun: u32, ended: u32| ended.saturating_sub(begun).to_string();
        let row: [String; SESSIONS.len()] = [
            record.header.written.format("%Y-%m-%dT%H:%M:%S%.3f").to_string(),
            record.identification.system.clone(),
            common.session.clone(),
            common.jobname.clone(),
            common.userid.clone(),
            role(common.role).to_owned(),
            common.server.to_string(),
            common.ports.0.to_string(),
            common.client.to_string(),
            common.duration.num_seconds().to_string(),
            count(begun.connections, ended.connections),
            count(begun.short, ended.short),
            count(begun.partial, ended.partial),
            count(begun.failed, ended.failed),
            ended.active.to_string(),
            ended.bytes_in.saturating_sub(begun.bytes_in).to_string(),
            ended.bytes_out.saturating_sub(begun.bytes_out).to_string(),
            records::session_protection(record),
        ];
        Ok(self.0.write_record(row)?)
    }

    pub(super) fn print(self) -> anyhow::Result<()> {
        print_text(&String::from_utf8(self.0.into_inner()?)?)
    }
}

fn role(role: LocalRole) -> &'static str {
    match role {
        LocalRole::Server => "server",
        LocalRole::Client => "client",
        LocalRole::Unknown => "",
    }
}
