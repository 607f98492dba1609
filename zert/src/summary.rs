//! Connection detail to security sessions: what subtype 12 counts.
//!
//! Connections are of one session when server, client address, server port, local job, local role and everything of significance
//! in their protection are the same. Source: *IP Configuration Guide*, "zERT aggregation". Pure: times come in.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use chrono::TimeDelta;
use sha2::{Digest as _, Sha256};
use smf::detail::{self, CertificateName, ConnectionDetail, DataOf, LocalRole};
use smf::summary::{self, Common, Counters, Event, SessionSummary};

use crate::record::{EVENT, RecordContext, STACK};

/// Sessions that are kept; connections of others are counted as lost.
const MAX_SESSIONS: usize = 100_000;

/// The user of FTP's data connections, whoever has logged in.
const FTP_USER: &str = "*FTPUSR*";
/// `SASecProtos` of IPsec.
const IPSEC: u8 = 0x20;

/// What makes connections of one session.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Key {
    server: IpAddr,
    client: IpAddr,
    ports: (u16, u16),
    jobname: String,
    userid: String,
    role: LocalRole,
    protocols: u8,
    tls: Option<summary::Tls>,
    ssh: Option<summary::Ssh>,
    ipsec: Option<detail::Ipsec>,
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
pub(crate) struct Summaries {
    sessions: HashMap<Key, Session>,
    /// Connections that had an initiation record, by id and ends; what IPsec is for them by itself.
    up: HashMap<(u32, SocketAddr, SocketAddr, bool), Counted>,
}

impl Summaries {
    /// Counts what a detail record says: a connection with IPsec and TLS or SSH inside is one of two sessions. False: there are too
    /// many sessions, and it has one more.
    pub(crate) fn record(&mut self, record: &ConnectionDetail) -> bool {
        let inside = record.common.protocols & !IPSEC != 0;
        let connection = |outer: bool| (record.common.connection_id, record.common.local, record.common.remote, outer);
        if record.ipsec.is_none() || !inside {
            // What was of two sessions, or of the other one, leaves it.
            let gone = connection(record.ipsec.is_none());
            if !matches!(record.common.event, detail::Event::Initiation | detail::Event::ShortTermination) {
                let own = connection(record.ipsec.is_some());
                match self.up.remove(&gone) {
                    Some(counted) if !self.up.contains_key(&own) => {
                        self.up.insert(own, counted);
                    }
                    Some(counted) => self.leave(&counted.key),
                    None => {}
                }
            }
            return self.count(record);
        }
        let mut inner = ConnectionDetail { ipsec: None, ..record.clone() };
        inner.common.protocols &= !IPSEC;
        let mut outer = ConnectionDetail { tls: None, ssh: None, names: Vec::new(), ..record.clone() };
        outer.common.protocols = IPSEC;
        let counted = self.count(&inner);
        self.count(&outer) && counted
    }

    /// A connection is of a session no more, and had it for a part of its life.
    fn leave(&mut self, key: &Key) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.now.active = session.now.active.saturating_sub(1);
            session.now.partial += 1;
        }
    }

    fn count(&mut self, record: &ConnectionDetail) -> bool {
        let common = &record.common;
        let connection = (common.connection_id, common.local, common.remote, common.protocols == IPSEC);
        let bytes = [common.bytes_in, common.bytes_out, common.segments_in, common.segments_out];
        match common.event {
            detail::Event::Initiation => {
                let key = key(record);
                let counted = self.add(&key, record, [0; 4], bytes, |counters| {
                    counters.connections += 1;
                    counters.active += 1;
                });
                if counted {
                    self.up.insert(connection, Counted { key, bytes });
                }
                counted
            }
            detail::Event::Change => {
                // The session it leaves had it for a part of its life, and so will the one it comes to.
                let Some(mut counted) = self.up.remove(&connection) else { return true };
                let mut key = key(record);
                // Its job may have been found meanwhile; it is the same connection.
                key.jobname.clone_from(&counted.key.jobname);
                key.userid.clone_from(&counted.key.userid);
                if key == counted.key {
                    let added = self.add(&key, record, counted.bytes, bytes, |_| {});
                    counted.bytes = most(counted.bytes, bytes);
                    self.up.insert(connection, counted);
                    return added;
                }
                let bytes = most(counted.bytes, bytes);
                self.add(&counted.key, record, counted.bytes, bytes, |counters| {
                    counters.active = counters.active.saturating_sub(1);
                    counters.partial += 1;
                });
                let counted = self.add(&key, record, bytes, bytes, |counters| {
                    counters.connections += 1;
                    counters.partial += 1;
                    counters.active += 1;
                });
                if counted {
                    self.up.insert(connection, Counted { key, bytes });
                }
                counted
            }
            detail::Event::Termination => {
                let Some(counted) = self.up.remove(&connection) else { return true };
                self.add(&counted.key, record, counted.bytes, bytes, |counters| {
                    counters.active = counters.active.saturating_sub(1);
                })
            }
            detail::Event::ShortTermination => self.add(&key(record), record, [0; 4], bytes, |counters| {
                counters.connections += 1;
                counters.short += 1;
            }),
            _ => true,
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
    pub(crate) fn interval(&mut self, context: &RecordContext, duration: TimeDelta, last: bool) -> Vec<SessionSummary> {
        let told = |session: &Session| session.now != session.told || session.now.active > 0;
        self.sessions.retain(|_, session| told(session));
        let mut records: Vec<SessionSummary> = Vec::new();
        for (key, session) in &mut self.sessions {
            records.push(SessionSummary {
                header: context.header(summary::SUBTYPE),
                identification: context.identification(STACK, 0),
                common: Common {
                    duration,
                    event: Event::Interval,
                    role: key.role,
                    protocols: key.protocols,
                    jobname: key.jobname.clone(),
                    userid: key.userid.clone(),
                    server: key.server,
                    client: key.client,
                    ports: key.ports,
                    session: identifier(key),
                    begun: session.told,
                    ended: session.now,
                },
                tls: key.tls.clone(),
                ssh: key.ssh.clone(),
                ipsec: key.ipsec.clone(),
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

/// Says that summaries are made from now on, or no more: there is no session.
pub(crate) fn switched(context: &RecordContext, event: Event) -> SessionSummary {
    let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    SessionSummary {
        header: context.header(summary::SUBTYPE),
        identification: context.identification(STACK, EVENT),
        common: Common {
            duration: TimeDelta::zero(),
            event,
            role: LocalRole::Unknown,
            protocols: 0,
            jobname: String::new(),
            userid: String::new(),
            server: nobody,
            client: nobody,
            ports: (0, 0),
            session: String::new(),
            begun: Counters::default(),
            ended: Counters::default(),
        },
        tls: None,
        ssh: None,
        ipsec: None,
        names: Vec::new(),
    }
}

/// Counters only grow; a socket that could not be asked has none.
fn most(before: [u64; 4], now: [u64; 4]) -> [u64; 4] {
    let mut most = before;
    most.iter_mut().zip(now).for_each(|(most, now)| *most = now.max(*most));
    most
}

fn key(record: &ConnectionDetail) -> Key {
    let common = &record.common;
    let (server, client) = match common.role {
        LocalRole::Client => (common.remote, common.local),
        LocalRole::Server | LocalRole::Unknown => (common.local, common.remote),
    };
    let one = (server.port(), server.port());
    // Data connections of FTP are of one session whatever their ports: passive ones of all that programs may choose; active ones,
    // which FTP's server opens, of the port before its own.
    let (server, client, ports, role) = match common.data_of {
        None => (server, client, one, common.role),
        Some(DataOf { active: false, .. }) if server.port() >= 1024 => (server, client, (1024, u16::MAX), common.role),
        Some(DataOf { active: false, .. }) => (server, client, one, common.role),
        Some(DataOf { active: true, port, .. }) => {
            let port = port.saturating_sub(1);
            let role = match common.role {
                LocalRole::Client => LocalRole::Server,
                LocalRole::Server => LocalRole::Client,
                LocalRole::Unknown => LocalRole::Unknown,
            };
            (client, server, (port, port), role)
        }
    };
    Key {
        server: server.ip(),
        client: client.ip(),
        ports,
        jobname: common.jobname.clone(),
        userid: if common.data_of.is_some() { FTP_USER.to_owned() } else { common.userid.clone() },
        role,
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
        // Tunnels and lifetimes are no part of what makes a session.
        ipsec: record.ipsec.as_ref().map(|ipsec| detail::Ipsec {
            tunnel: 0,
            kind: 0,
            lifesize: 0,
            lifetime: 0,
            ..ipsec.clone()
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

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use stack::{ConnectionId, Counters as Segments, Transport};

    use super::*;
    use crate::observer::{Protection, Side};
    use crate::record::{Facts, Source};
    use crate::tls::Handshake;

    fn context() -> RecordContext {
        RecordContext {
            system: "SYSA".to_owned(),
            sysplex: "LOCAL".to_owned(),
            stack: "TCPIP".to_owned(),
            userid: "ROOT".to_owned(),
        }
    }

    fn tls(version: u16) -> Protection {
        Protection::Tls(Handshake { version, suite: 0x1301, complete: true, ..Handshake::default() })
    }

    fn detail(event: detail::Event, id: u32, client_port: u16, bytes: u64, protection: Protection) -> ConnectionDetail {
        context().record(&Facts {
            event,
            local: "10.0.0.1:443".parse().expect("an address"),
            remote: SocketAddr::new("10.0.0.9".parse().expect("an address"), client_port),
            side: Side::Server,
            jobname: "NGINX".to_owned(),
            userid: "WWW".to_owned(),
            started: Utc::now(),
            ended: Some(Utc::now()),
            id: ConnectionId(id),
            counters: Segments { bytes_in: bytes, bytes_out: 2 * bytes, segments_in: 1, segments_out: 2 },
            protection,
            source: Source::Observed,
            ipsec: None,
            enforcement: None,
            transport: Transport::default(),
            older: false,
            data_of: None,
        })
    }

    fn counts(counters: &Counters) -> [u64; 6] {
        let small = [counters.connections, counters.partial, counters.short, counters.active].map(u64::from);
        let [connections, partial, short, active] = small;
        [connections, partial, short, active, counters.bytes_in, counters.bytes_out]
    }

    fn interval(sessions: &mut Summaries, last: bool) -> Vec<SessionSummary> {
        sessions.interval(&context(), TimeDelta::seconds(60), last)
    }

    #[test]
    fn a_connection_with_tls_inside_ipsec_is_of_two_sessions() {
        use detail::Event::{Initiation, Termination};
        let mut sessions = Summaries::default();
        let inside = |mut record: ConnectionDetail, request: u32| {
            record.common.protocols |= IPSEC;
            let (local, remote) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([198, 51, 100, 1]));
            record.ipsec = Some(detail::Ipsec {
                local,
                remote,
                tunnel: request,
                kind: 2,
                mode: 1,
                protocol: detail::ESP,
                authentication: 1,
                encryption: 0x13,
                lifesize: 0,
                lifetime: 3600,
            });
            record
        };
        assert!(sessions.record(&inside(detail(Initiation, 1, 40_000, 10, tls(0x0304)), 7)));
        // Another connection through a tunnel that was made anew, in clear text.
        assert!(sessions.record(&inside(detail(Initiation, 2, 40_001, 20, Protection::None), 8)));
        assert!(sessions.record(&inside(detail(Termination, 1, 40_000, 100, tls(0x0304)), 7)));
        assert!(sessions.record(&inside(detail(Termination, 2, 40_001, 200, Protection::None), 8)));
        let records = interval(&mut sessions, true);
        let told: Vec<_> =
            records.iter().map(|record| (record.common.protocols, counts(&record.common.ended))).collect();
        assert_eq!(told, [(IPSEC, [2, 0, 0, 0, 300, 600]), (0x80, [1, 0, 0, 0, 100, 200])]);
        assert!(records.iter().all(|record| record.tls.is_some() != record.ipsec.is_some()));
        assert!(records.first().is_some_and(|record| record.common.session.starts_with("I-")));
        // The tunnel goes down, and comes up: nothing stays behind.
        for id in 3..=5 {
            let (clear, around) = (
                detail(Initiation, id, 40_002, 10, Protection::None),
                inside(detail(Initiation, id, 40_002, 10, tls(0x0304)), 7),
            );
            let end = |protection| detail(Termination, id, 40_002, 20, protection);
            let (first, last) = match id {
                3 => (clear, inside(end(Protection::None), 7)),
                4 => (inside(detail(Initiation, id, 40_002, 10, Protection::None), 7), end(Protection::None)),
                _ => (around, end(tls(0x0304))),
            };
            assert!(sessions.record(&first) && sessions.record(&last));
        }
        assert!(sessions.up.is_empty(), "{:?}", sessions.up);
        let active: u32 = interval(&mut sessions, true).iter().map(|record| record.common.ended.active).sum();
        assert_eq!(active, 0);
    }

    #[test]
    fn connections_of_one_protection_are_one_session_whatever_their_client_ports() {
        use detail::Event::{Initiation, ShortTermination, Termination};
        let mut sessions = Summaries::default();
        sessions.record(&detail(ShortTermination, 1, 1001, 10, tls(0x0304)));
        sessions.record(&detail(ShortTermination, 2, 1002, 10, tls(0x0304)));
        sessions.record(&detail(Initiation, 3, 1003, 5, tls(0x0304)));
        sessions.record(&detail(ShortTermination, 4, 1004, 1, tls(0x0303)));
        let first = interval(&mut sessions, false);
        assert_eq!(first.len(), 2);
        let find = |records: &[SessionSummary], version: u16| {
            let found = records.iter().find(|one| one.tls.as_ref().is_some_and(|tls| tls.version == version));
            found.cloned().expect("a session")
        };
        let newer = find(&first, 0x0304);
        assert_eq!((counts(&newer.common.begun), counts(&newer.common.ended)), ([0; 6], [3, 0, 2, 1, 25, 50]));
        assert_eq!((newer.common.ports, newer.common.client.to_string()), ((443, 443), "10.0.0.9".to_owned()));
        // All but the last of an interval say that more follow.
        assert_eq!(first.iter().map(|one| one.identification.reason).collect::<Vec<_>>(), [0xC0, 0x80]);
        // The next one: the connection that is up ends; the other session is over and told no more.
        sessions.record(&detail(Termination, 3, 1003, 105, tls(0x0304)));
        let second = interval(&mut sessions, false);
        assert_eq!(second.len(), 1);
        assert_eq!(second[0].common.session, newer.common.session);
        assert_eq!(second[0].common.begun, newer.common.ended);
        assert_eq!(counts(&second[0].common.ended), [3, 0, 2, 0, 125, 250]);
        assert!(interval(&mut sessions, true).is_empty());
    }

    #[test]
    fn a_connection_whose_protection_changes_is_partly_of_two_sessions() {
        use detail::Event::{Change, Initiation, Termination};
        let mut sessions = Summaries::default();
        sessions.record(&detail(Initiation, 1, 1001, 10, Protection::None));
        sessions.record(&detail(Change, 1, 1001, 30, tls(0x0303)));
        sessions.record(&detail(Termination, 1, 1001, 100, tls(0x0303)));
        let records = interval(&mut sessions, true);
        let of = |protocols: u8| {
            let found = records.iter().find(|one| one.common.protocols == protocols);
            counts(&found.expect("a session").common.ended)
        };
        assert_eq!((of(0), of(0x80)), ([1, 1, 0, 0, 30, 60], [1, 1, 0, 0, 70, 140]));
        assert_eq!(records.iter().map(|one| one.identification.reason).collect::<Vec<_>>(), [0x50, 0x10]);
    }

    #[test]
    fn a_change_to_the_same_is_none_and_counters_never_go_back() {
        use detail::Event::{Change, Initiation, Termination};
        let mut sessions = Summaries::default();
        sessions.record(&detail(Initiation, 1, 1001, 50, Protection::None));
        sessions.record(&detail(Change, 1, 1001, 60, Protection::None));
        sessions.record(&detail(Change, 1, 1001, 0, tls(0x0303)));
        sessions.record(&detail(Termination, 1, 1001, 100, tls(0x0303)));
        let records = interval(&mut sessions, false);
        let of = |protocols: u8| {
            let found = records.iter().find(|one| one.common.protocols == protocols);
            counts(&found.expect("a session").common.ended)
        };
        assert_eq!((of(0), of(0x80)), ([1, 1, 0, 0, 60, 120], [1, 1, 0, 0, 40, 80]));
    }

    #[test]
    fn failed_handshakes_are_counted_once() {
        use detail::Event::{Initiation, ShortTermination, Termination};
        let mut sessions = Summaries::default();
        let failed = || tls(0);
        sessions.record(&detail(ShortTermination, 1, 1001, 1, failed()));
        sessions.record(&detail(Initiation, 2, 1002, 1, failed()));
        sessions.record(&detail(Termination, 2, 1002, 1, failed()));
        assert_eq!(interval(&mut sessions, false)[0].common.ended.failed, 2);
    }
}
