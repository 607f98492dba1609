//! `smf csv`: records as rows (RFC 4180), for spreadsheets and databases.

use ::smf::detail::{LocalRole, Tls};
use ::smf::ftp::Transfer;
use ::smf::{ConnectionDetail, Header, Identification, PolicyEvent, Record, SessionSummary, Termination};
use chrono::{DateTime, Utc};
use clap::ValueEnum;

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

const TERMINATIONS: [&str; 17] = [
    "written",
    "system",
    "connection",
    "jobname",
    "role",
    "local",
    "remote",
    "started",
    "ended",
    "bytes_in",
    "bytes_out",
    "segments_in",
    "segments_out",
    "round_trip_ms",
    "retransmissions",
    "attls",
    "attls_policy",
];

const TRANSFERS: [&str; 18] = [
    "written",
    "system",
    "role",
    "command",
    "file",
    "second_file",
    "user",
    "reply",
    "control_local",
    "control_remote",
    "data_local",
    "data_remote",
    "started",
    "ended",
    "bytes",
    "control_protection",
    "data_protection",
    "cipher",
];

const EVENTS: [&str; 18] = [
    "written",
    "system",
    "event",
    "connection",
    "jobname",
    "userid",
    "local",
    "remote",
    "rule",
    "environment",
    "status",
    "policy",
    "version",
    "cipher",
    "group",
    "bytes_in",
    "bytes_out",
    "reason",
];

/// Of which records there are rows.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Of {
    /// Connections and their protection, 119-11
    Connections,
    /// Sessions of an interval, 119-12
    Sessions,
    /// Ends of TCP connections, 119-2
    Terminations,
    /// FTP transfers, 119-3 and 119-70
    Transfers,
    /// What AT-TLS did, 119-100
    Attls,
}

/// Rows, until they are printed.
pub(super) struct Rows {
    of: Of,
    rows: csv::Writer<Vec<u8>>,
}

impl Rows {
    pub(super) fn new(of: Of) -> anyhow::Result<Self> {
        let titles: &[&str] = match of {
            Of::Connections => &CONNECTIONS,
            Of::Sessions => &SESSIONS,
            Of::Terminations => &TERMINATIONS,
            Of::Transfers => &TRANSFERS,
            Of::Attls => &EVENTS,
        };
        let mut rows = csv::Writer::from_writer(Vec::new());
        rows.write_record(titles)?;
        Ok(Self { of, rows })
    }

    /// Adds a record, if rows of its kind are wanted.
    pub(super) fn add(&mut self, record: &Record) -> anyhow::Result<()> {
        match (self.of, record) {
            (Of::Connections, Record::Connection(record)) => self.connection(record),
            (Of::Sessions, Record::Session(record)) => self.session(record),
            (Of::Terminations, Record::Termination(record)) => self.termination(record),
            (Of::Transfers, Record::ClientTransfer(record)) => {
                self.transfer(&record.header, &record.identification, &record.transfer)
            }
            (Of::Transfers, Record::ServerTransfer(record)) => {
                self.transfer(&record.header, &record.identification, &record.transfer)
            }
            (Of::Attls, Record::PolicyEvent(record)) => self.event(record),
            _ => Ok(()),
        }
    }

    fn termination(&mut self, record: &Termination) -> anyhow::Result<()> {
        let connection = &record.connection;
        let row: [String; TERMINATIONS.len()] = [
            written(&record.header),
            record.identification.system.clone(),
            format!("{:08X}", connection.connection_id),
            connection.jobname.clone(),
            if connection.active { "client" } else { "server" }.to_owned(),
            connection.local.to_string(),
            connection.remote.to_string(),
            moment(connection.started),
            moment(connection.ended),
            connection.bytes_in.to_string(),
            connection.bytes_out.to_string(),
            connection.segments_in.to_string(),
            connection.segments_out.to_string(),
            connection.round_trip.to_string(),
            connection.retransmissions.to_string(),
            format!("{:?}", connection.secure),
            format!("{:?}", connection.policy),
        ];
        Ok(self.rows.write_record(row)?)
    }

    fn transfer(
        &mut self,
        header: &Header,
        identification: &Identification,
        transfer: &Transfer,
    ) -> anyhow::Result<()> {
        let end = |end: Option<std::net::SocketAddr>| end.map(|end| end.to_string()).unwrap_or_default();
        let security = &transfer.security;
        let row: [String; TRANSFERS.len()] = [
            written(header),
            identification.system.clone(),
            if header.subtype == ::smf::ftp::SERVER { "server" } else { "client" }.to_owned(),
            transfer.command.clone(),
            transfer.file.clone(),
            transfer.second_file.clone(),
            transfer.user.clone(),
            transfer.reply.clone(),
            transfer.control.1.to_string(),
            transfer.control.0.to_string(),
            end(transfer.data.map(|(_, local)| local)),
            end(transfer.data.map(|(remote, _)| remote)),
            moment(transfer.started),
            moment(transfer.ended),
            transfer.bytes.to_string(),
            security.control.to_string(),
            security.data.to_string(),
            security.cipher.clone(),
        ];
        Ok(self.rows.write_record(row)?)
    }

    fn event(&mut self, record: &PolicyEvent) -> anyhow::Result<()> {
        let row: [String; EVENTS.len()] = [
            written(&record.header),
            record.identification.system.clone(),
            format!("{:?}", record.event),
            format!("{:08X}", record.connection_id),
            record.jobname.clone(),
            record.userid.clone(),
            record.local.to_string(),
            record.remote.to_string(),
            record.rule.clone(),
            record.environment.clone(),
            format!("{:?}", record.secure),
            format!("{:?}", record.policy),
            if record.version == 0 { "" } else { zert::judge::version_name(record.version) }.to_owned(),
            records::suite(&record.cipher),
            records::group(record.group),
            record.bytes_in.to_string(),
            record.bytes_out.to_string(),
            record.reason.clone(),
        ];
        Ok(self.rows.write_record(row)?)
    }

    /// A connection as a record tells of it.
    fn connection(&mut self, record: &ConnectionDetail) -> anyhow::Result<()> {
        let common = &record.common;
        let tls = |of: fn(&Tls) -> String| record.tls.as_ref().map(of).unwrap_or_default();
        let source = match (&record.tls, &record.ssh) {
            (Some(tls), _) => tls.provider.clone(),
            (None, Some(ssh)) => ssh.provider.clone(),
            (None, None) => String::new(),
        };
        let row: [String; CONNECTIONS.len()] = [
            written(&record.header),
            record.identification.system.clone(),
            format!("{:?}", common.event),
            format!("{:08X}", common.connection_id),
            common.jobname.clone(),
            common.userid.clone(),
            role(common.role).to_owned(),
            common.local.to_string(),
            common.remote.to_string(),
            moment(common.started),
            common.ended.map(moment).unwrap_or_default(),
            common.bytes_in.to_string(),
            common.bytes_out.to_string(),
            records::protection_kind(record),
            tls(|tls| records::suite(&tls.cipher)),
            tls(|tls| records::group(tls.group)),
            source,
            record.enforcement.as_ref().map(|enforcement| enforcement.rule.clone()).unwrap_or_default(),
            common.reset.to_string(),
        ];
        Ok(self.rows.write_record(row)?)
    }

    /// What a session counted in an interval.
    fn session(&mut self, record: &SessionSummary) -> anyhow::Result<()> {
        let common = &record.common;
        if common.event != ::smf::summary::Event::Interval {
            return Ok(());
        }
        let (begun, ended) = (&common.begun, &common.ended);
        let count = |begun: u32, ended: u32| ended.saturating_sub(begun).to_string();
        let row: [String; SESSIONS.len()] = [
            written(&record.header),
            record.identification.system.clone(),
            common.session.clone(),
            common.jobname.clone(),
            common.userid.clone(),
            role(common.role).to_owned(),
            common.server.to_string(),
            records::ports(common.ports),
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
        Ok(self.rows.write_record(row)?)
    }

    pub(super) fn print(self) -> anyhow::Result<()> {
        print_text(&String::from_utf8(self.rows.into_inner()?)?)
    }
}

fn written(header: &Header) -> String {
    header.written.format("%Y-%m-%dT%H:%M:%S%.3f").to_string()
}

fn moment(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn role(role: LocalRole) -> &'static str {
    match role {
        LocalRole::Server => "server",
        LocalRole::Client => "client",
        LocalRole::Unknown => "",
    }
}
