//! AT-TLS's messages on connections, as `Trace` asks for them (*IP Diagnosis Guide*, "AT-TLS traces").

use policies::{Direction, TtlsRule, cipher, group};
use stack::{Endpoints, owner};
use tracing::info;

use crate::error::ConnectionError;
use crate::registry::{Negotiated, Session};

/// Bits of `Trace`.
const JOB_LOG: u32 = 1;
const ERROR: u32 = 2;
const INFO: u32 = 4;
const EVENT: u32 = 8;

/// IBM's default of `Trace`, for connections without an environment.
pub(crate) const DEFAULT: u32 = ERROR;

/// EZD1281I: a connection and its rule.
pub(crate) async fn map(session: &Session, rule: Option<&TtlsRule>, application_controlled: bool) {
    let Some(rule) = rule.filter(|_| session.trace & INFO != 0) else { return };
    let inode = session.inode.unwrap_or(0);
    let owners = tokio::task::spawn_blocking(move || owner::of_inodes(&[inode])).await.unwrap_or_default();
    let status = match (rule.enabled(), application_controlled) {
        (false, _) => "Not Enabled",
        (true, false) => "Enabled",
        (true, true) => "Appl Control",
    };
    let actions: Vec<&str> = [Some(&rule.group), rule.environment.as_ref(), rule.connection.as_ref()]
        .into_iter()
        .map(|action| action.map_or("**N/A**", |action| action.name.as_str()))
        .collect();
    info!(
        "EZD1281I TTLS Map   CONNID: {} {} JOBNAME: {} USERID: {} TYPE: {} STATUS: {status} RULE: {} ACTIONS: {}",
        connection_id(session),
        ends(session.endpoints),
        owners.get(&inode).map_or("", |owner| owner.jobname.as_str()),
        userid(session),
        if session.direction == Direction::Inbound { "InBound" } else { "OutBound" },
        rule.name,
        actions.join(" "),
    );
}

/// EZD1286I, and EZD1287I for the console: a connection that failed.
pub(crate) fn error(session: &Session, error: &ConnectionError) {
    let code = error.return_code();
    if session.trace & ERROR != 0 {
        info!(
            "EZD1286I TTLS Error CONNID: {} {} USERID: {} RULE: {} RC: {code} Initial Handshake: {error}",
            connection_id(session),
            ends(session.endpoints),
            userid(session),
            session.rule,
        );
    }
    if session.trace & JOB_LOG != 0 {
        info!(
            "EZD1287I TTLS Error RC: {code} Initial Handshake {} RULE: {} USERID: {} CONNID: {}",
            ends(session.endpoints),
            session.rule,
            userid(session),
            connection_id(session),
        );
    }
}

/// EZD1283I: a handshake that is complete.
pub(crate) fn handshake(session: &Session, negotiated: &Negotiated) {
    if session.trace & EVENT != 0 {
        info!(
            "EZD1283I TTLS Event CONNID: {} RC: 0 Initial Handshake {:#06x} {} {} {}",
            connection_id(session),
            negotiated.version,
            cipher::name(negotiated.suite),
            negotiated.group.map(group::name).unwrap_or_default(),
            if negotiated.resumed { "resumed" } else { "full" },
        );
    }
}

/// EZD1283I: TLS that has ended with its connection, in order or not.
pub(crate) fn close(session: &Session, failure: Option<&ConnectionError>) {
    if session.trace & EVENT != 0 {
        let event = if failure.is_some() { "Connection Abend Close" } else { "Connection Close" };
        let code = failure.map_or(0, ConnectionError::return_code);
        info!("EZD1283I TTLS Event CONNID: {} RC: {code} {event}", connection_id(session));
    }
}

fn connection_id(session: &Session) -> String {
    session.id.map_or_else(|| "00000000".to_owned(), |id| id.to_string())
}

fn ends(Endpoints { local, remote }: Endpoints) -> String {
    format!("LOCAL: {}..{} REMOTE: {}..{}", local.ip(), local.port(), remote.ip(), remote.port())
}

fn userid(session: &Session) -> String {
    session.uid.and_then(owner::userid).unwrap_or_default()
}
