//! Connection detail to security sessions: what subtype 12 counts.
//!
//! Connections are of one session when server, client address, server port, local job, local role and everything of significance
//! in their protection are the same. Source: *IP Configuration Guide*, "zERT aggregation". Pure: times come in.

use std::collections::HashMap;
use std::net::IpAddr;

use chrono::{DateTime, Local, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};
use smf::detail::{self, CertificateName, ConnectionDetail, LocalRole};
use smf::summary::{self, Common, Counters, Event, SessionSummary};
use smf::{Header, Identification};

/// Sessions that are kept; connections of others are counted as lost.
const MAX_SESSIONS: usize = 100_000;

/// What makes connections of one session.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Key {
    server: IpAddr,
    client: IpAddr,
    port: u16,
    jobname: String,
    userid: String,
    role: LocalRole,
    protocols: u8,
    tls: Option<summary::Tls>,
    ssh: Option<summary::Ssh>,
}

#[derive(Clone, Debug, Default)]
struct Session {
    now: Counters,
    /// As they were at the last interval's end.
    told: Counters,
    names: Vec<CertificateName>,
}

/// A connection that is up, and what is counted of it already.
#[derive(Clone, Debug)]
struct Counted {
    key: Key,
    bytes: [u64; 4],
}

/// The sessions of this host.
#[derive(Debug, Default)]
pub struct Summaries {
    sessions: HashMap<Key, Session>,
    /// Connections that had an initiation record, by id and ends.
    up: HashMap<(u32, std::net::SocketAddr, std::net::SocketAddr), Counted>,
    /// Connections not counted because there were too many sessions.
    pub lost: u64,
}

impl Summaries {
    /// Counts what a detail record says.
    pub fn record(&mut self, record: &ConnectionDetail) {
        let common = &record.common;
        let connection = (common.connection_id, common.local, common.remote);
        let bytes = [common.bytes_in, common.bytes_out, common.segments_in, common.segments_out];
        match common.event {
            detail::Event::Initiation => {
                let key = key(record);
                if self.add(&key, record, [0; 4], bytes, |counters| {
                    counters.connections += 1;
                    counters.active += 1;
                }) {
                    self.up.insert(connection, Counted { key, bytes });
                }
            }
            detail::Event::Change => {
                // The session it leaves had it for a part of its life, and so will the one it comes to.
                let Some(counted) = self.up.remove(&connection) else { return };
                let key = key(record);
                self.add(&counted.key, record, counted.bytes, bytes, |counters| {
                    counters.active = counters.active.saturating_sub(1);
                    counters.partial += 1;
                });
                if self.add(&key, record, bytes, bytes, |counters| {
                    counters.connections += 1;
                    counters.partial += 1;
                    counters.active += 1;
                }) {
                    self.up.insert(connection, Counted { key, bytes });
                }
            }
            detail::Event::Termination => {
                let Some(counted) = self.up.remove(&connection) else { return };
                self.add(&counted.key, record, counted.bytes, bytes, |counters| {
                    counters.active = counters.active.saturating_sub(1);
                });
            }
            detail::Event::ShortTermination => {
                self.add(&key(record), record, [0; 4], bytes, |counters| {
                    counters.connections += 1;
                    counters.short += 1;
                });
            }
            _ => {}
        }
    }

    fn add(
        &mut self,
        key: &Key,
        record: &ConnectionDetail,
        counted: [u64; 4],
        bytes: [u64; 4],
        change: impl FnOnce(&mut Counters),
    ) -> bool {
        if !self.sessions.contains_key(key) {
            if self.sessions.len() >= MAX_SESSIONS {
                self.lost += 1;
                return false;
            }
            self.sessions.insert(key.clone(), Session { names: record.names.clone(), ..Session::default() });
        }
        let Some(session) = self.sessions.get_mut(key) else { return false };
        let counters = &mut session.now;
        let before = counters.connections;
        change(counters);
        let failed = record.tls.as_ref().is_some_and(|tls| tls.handshake == detail::HandshakeType::Failed)
            || record.ssh.as_ref().is_some_and(|ssh| ssh.failed);
        if failed && counters.connections > before {
            counters.failed += 1;
        }
        let [bytes_in, bytes_out, segments_in, segments_out] = bytes;
        let [counted_in, counted_out, counted_segments_in, counted_segments_out] = counted;
        counters.bytes_in += bytes_in.saturating_sub(counted_in);
        counters.bytes_out += bytes_out.saturating_sub(counted_out);
        counters.segments_in += segments_in.saturating_sub(counted_segments_in);
        counters.segments_out += segments_out.saturating_sub(counted_segments_out);
        true
    }

    /// The records of an interval that ends now: sessions that have counted something in it, or have connections. Those of
    /// neither are forgotten. `last` tells that nothing follows: recording ends.
    pub fn interval(
        &mut self,
        writer: &Identification,
        system: &str,
        duration: TimeDelta,
        now: DateTime<Utc>,
        last: bool,
    ) -> Vec<SessionSummary> {
        let told = |session: &Session| session.now != session.told || session.now.active > 0;
        self.sessions.retain(|_, session| told(session));
        let mut records: Vec<SessionSummary> = Vec::new();
        for (key, session) in &mut self.sessions {
            records.push(SessionSummary {
                header: Header {
                    written: crate::record::hundredths(now.with_timezone(&Local).naive_local()),
                    system: system.chars().take(4).collect(),
                    subsystem: "TCP".to_owned(),
                    subtype: summary::SUBTYPE,
                },
                identification: writer.clone(),
                common: Common {
                    duration,
                    event: Event::Interval,
                    role: key.role,
                    protocols: key.protocols,
                    jobname: key.jobname.clone(),
                    userid: key.userid.clone(),
                    server: key.server,
                    client: key.client,
                    ports: (key.port, key.port),
                    session: identifier(key),
                    begun: session.told,
                    ended: session.now,
                },
                tls: key.tls.clone(),
                ssh: key.ssh.clone(),
                names: session.names.clone(),
            });
            session.told = session.now;
        }
        records.sort_by(|a, b| a.common.session.cmp(&b.common.session));
        // The interval's last record says so; X'10' and X'50' when recording ends.
        let (more, end) = if last { (0x50, 0x10) } else { (0xC0, 0x80) };
        let count = records.len();
        for (number, record) in records.iter_mut().enumerate() {
            record.identification.reason = if number + 1 == count { end } else { more };
        }
        records
    }
}

fn key(record: &ConnectionDetail) -> Key {
    let common = &record.common;
    let (server, client) = match common.role {
        LocalRole::Client => (common.remote, common.local),
        LocalRole::Server | LocalRole::Unknown => (common.local, common.remote),
    };
    Key {
        server: server.ip(),
        client: client.ip(),
        port: server.port(),
        jobname: common.jobname.clone(),
        userid: common.userid.clone(),
        role: common.role,
        protocols: common.protocols,
        tls: record.tls.as_ref().map(|tls| summary::Tls {
            source: tls.source,
            encrypt_then_mac: tls.encrypt_then_mac,
            version: tls.version,
            cipher: tls.cipher.clone(),
            algorithms: [tls.encryption, tls.authentication, tls.key_exchange],
            server_certificate: tls.server_certificate.clone(),
            client_certificate: tls.client_certificate.clone(),
            group: tls.group,
        }),
        ssh: record.ssh.as_ref().map(|ssh| summary::Ssh {
            source: ssh.source,
            version: ssh.version,
            encrypt_then_mac: [ssh.encrypt_then_mac_in, ssh.encrypt_then_mac_out],
            authentication_methods: ssh.authentication_methods,
            algorithms: [
                ssh.encryption_in,
                ssh.authentication_in,
                ssh.key_exchange,
                ssh.encryption_out,
                ssh.authentication_out,
            ],
            keys: [ssh.server_key[0], ssh.server_key[1], ssh.client_key[0], ssh.client_key[1]],
        }),
    }
}

/// The protocol's letter, and forty digits that stand for the session, the same on each run.
fn identifier(key: &Key) -> String {
    let letter = match key.protocols {
        0x80 => 'T',
        0x40 => 'S',
        0x20 => 'I',
        _ => 'C',
    };
    let digest = Sha256::digest(format!("{key:?}"));
    let digits: String = digest.iter().take(20).map(|byte| format!("{byte:02X}")).collect();
    format!("{letter}-{digits}")
}
