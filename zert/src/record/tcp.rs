//! SMF 119-1, 119-2 and 119-100: a connection begins, ends, and what AT-TLS does for it.

use chrono::SubsecRound as _;
use smf::attls::{self, Event, PolicyEvent};
use smf::tcp::{self, Ended, Initiation, PolicyStatus, SecureStatus, Termination};

use super::{AtTls, EVENT, Facts, RecordContext};
use crate::observer::{Protection, Side};
use crate::tls::Handshake;

impl RecordContext {
    /// The record of a connection's beginning.
    pub(crate) fn initiation(&self, facts: &Facts) -> Initiation {
        Initiation {
            header: self.header(tcp::INITIATION),
            identification: self.identification("TCP", EVENT),
            jobname: facts.jobname.clone(),
            connection_id: facts.id.0,
            remote: facts.remote,
            local: facts.local,
            started: facts.started.trunc_subsecs(6),
        }
    }

    /// The record of its end.
    pub(crate) fn termination(&self, facts: &Facts, attls: &AtTls) -> Termination {
        let transport = facts.transport;
        let milliseconds = |microseconds: u32| microseconds.div_ceil(1000);
        Termination {
            header: self.header(tcp::TERMINATION),
            identification: self.identification("TCP", EVENT),
            connection: Ended {
                jobname: facts.jobname.clone(),
                connection_id: facts.id.0,
                secure: secure(attls, &facts.protection),
                policy: attls.policy,
                started: facts.started.trunc_subsecs(6),
                ended: facts.ended.unwrap_or_default().trunc_subsecs(6),
                remote: facts.remote,
                local: facts.local,
                bytes_in: facts.counters.bytes_in,
                bytes_out: facts.counters.bytes_out,
                send_window: transport.send_window,
                congestion_window: transport.congestion_window.saturating_mul(transport.segment_size),
                segment_size: transport.segment_size,
                round_trip: milliseconds(transport.round_trip),
                round_trip_variance: milliseconds(transport.round_trip_variance),
                active: facts.side == Side::Client,
                retransmissions: u16::try_from(transport.retransmissions).unwrap_or(u16::MAX),
                segments_in: facts.counters.segments_in.into(),
                segments_out: facts.counters.segments_out.into(),
                duplicate_acks: 0,
            },
            attls: negotiated(attls, &facts.protection).map(|handshake| tcp::AtTls {
                version: handshake.version,
                cipher: format!("{:04X}", handshake.suite),
                security_type: attls.security_type,
                partner: attls.partner.clone(),
            }),
        }
    }

    /// The record of what AT-TLS did for a connection.
    pub(crate) fn policy_event(&self, event: Event, facts: &Facts, attls: &AtTls) -> PolicyEvent {
        let handshake = negotiated(attls, &facts.protection);
        PolicyEvent {
            header: self.header(attls::SUBTYPE),
            identification: self.identification("TTLS", EVENT),
            event,
            secure: secure(attls, &facts.protection),
            policy: attls.policy,
            security_type: attls.security_type,
            version: handshake.map(|handshake| handshake.version).unwrap_or_default(),
            group: handshake.and_then(|handshake| handshake.group).unwrap_or_default(),
            cipher: handshake.map(|handshake| format!("{:04X}", handshake.suite)).unwrap_or_default(),
            resumed: handshake.is_some_and(|handshake| handshake.resumed == Some(true)),
            fips: attls.fips,
            secondary: attls.secondary,
            jobname: facts.jobname.clone(),
            userid: facts.userid.clone(),
            partner: attls.partner.clone(),
            started: facts.started.trunc_subsecs(2),
            happened: facts.ended.unwrap_or_default().trunc_subsecs(2),
            remote: facts.remote,
            local: facts.local,
            connection_id: facts.id.0,
            rule: attls.rule.clone(),
            environment: attls.environment.clone(),
            bytes_in: facts.counters.bytes_in,
            bytes_out: facts.counters.bytes_out,
            reason: attls.reason.clone(),
        }
    }
}

/// What AT-TLS negotiated: what a program did itself is none of its business.
fn negotiated<'a>(attls: &AtTls, protection: &'a Protection) -> Option<&'a Handshake> {
    match protection {
        Protection::Tls(handshake) if attls.is_ours() && handshake.version != 0 => Some(handshake),
        _ => None,
    }
}

fn secure(attls: &AtTls, protection: &Protection) -> SecureStatus {
    match (negotiated(attls, protection), protection) {
        (Some(_), _) => SecureStatus::Secure,
        (None, Protection::Tls(_)) if attls.is_ours() => SecureStatus::InProgress,
        (None, _) => SecureStatus::NotSecure,
    }
}

impl AtTls {
    /// Whether the engine carries the connection.
    fn is_ours(&self) -> bool {
        matches!(self.policy, PolicyStatus::Enabled | PolicyStatus::ApplicationControlled)
    }
}
