//! From what is known of a connection to its SMF records; 119-11 here.

mod tcp;
mod transfer;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use chrono::{DateTime, Local, SubsecRound as _, Utc};
use serde::Deserialize;
use smf::detail::{
    self, AttributeSource, Certificate, CertificateName, Common, ConnectionDetail, Enforcement, Event, HandshakeType,
    LocalRole, Tls,
};
use smf::tcp::PolicyStatus;
use smf::{Header, Identification};
use stack::{ConnectionId, Counters, Transport};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::codes;
use crate::ipsec::Ipsec;
use crate::observer::{Protection, Side};
use crate::ssh::{Cipher, Ssh};
use crate::tls::Handshake;
pub(crate) use transfer::Transferred;

const TLS: u8 = 0x80;
const SSH: u8 = 0x40;
const IPSEC: u8 = 0x20;
/// Reason of a record: something happened.
pub(crate) const EVENT: u8 = 0x08;
/// Who tells of zERT.
pub(crate) const STACK: &str = "STACK";
/// `DN_Type`.
const SERVER_SUBJECT: u16 = 5;
const SERVER_ISSUER: u16 = 6;
const CLIENT_SUBJECT: u16 = 7;
const CLIENT_ISSUER: u16 = 8;

/// What every record of this host says of its writer.
#[derive(Clone, Debug)]
pub struct RecordContext {
    /// The system's name, at most 8 characters; its first four are the system id.
    pub system: String,
    /// The sysplex name.
    pub sysplex: String,
    /// The stack's name.
    pub stack: String,
    /// The daemon's user id.
    pub userid: String,
}

/// The records that are written, by the words of z/OS's SMFCONFIG TYPE119; FTP's are words of its FTP.DATA there, `TTLS` is ours.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    /// 119-1.
    TcpInit,
    /// 119-2.
    TcpTerm,
    /// 119-3.
    FtpClient,
    /// 119-70.
    FtpServer,
    /// 119-11, events 1 to 6.
    ZertDetail,
    /// 119-11, event 7: enforcement rules with `Audit`.
    ZertDetailByPolicy,
    /// 119-12.
    ZertSummary,
    /// 119-100.
    Ttls,
}

impl RecordType {
    /// All of them.
    #[must_use]
    pub fn all() -> BTreeSet<Self> {
        [
            Self::TcpInit,
            Self::TcpTerm,
            Self::FtpClient,
            Self::FtpServer,
            Self::ZertDetail,
            Self::ZertDetailByPolicy,
            Self::ZertSummary,
            Self::Ttls,
        ]
        .into()
    }
}

/// The FTP control connection that a data connection belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DataOf {
    /// Its number, 0 when it has ended.
    pub id: ConnectionId,
    /// Its server's port.
    pub port: u16,
    /// The server opened the data connection.
    pub active: bool,
}

/// What AT-TLS has to do with a connection.
#[derive(Clone, Debug, Default)]
pub struct AtTls {
    /// What its policy says of it.
    pub policy: PolicyStatus,
    /// 1 client, 2 server, 3 to 5 server with client authentication (PassThru, Full or Required, SAFCheck); 0 where it is not in it.
    pub security_type: u8,
    /// The rule.
    pub rule: String,
    /// Its environment action.
    pub environment: String,
    /// The user that the peer's certificate stands for.
    pub partner: String,
    /// FIPS 140-3 approves what was negotiated.
    pub fips: bool,
    /// It has the rule of another connection of its program.
    pub secondary: bool,
    /// Why it failed or was cut.
    pub reason: String,
}

/// Where the attributes of a protection come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// Read from the wire.
    Observed,
    /// Said by the AT-TLS engine of this host.
    Engine,
}

/// What is told of a connection at one of its events.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What happened.
    pub event: Event,
    /// This host's end.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// Which side of the connection this host's end is.
    pub side: Side,
    /// The local job; empty where it is not known.
    pub jobname: String,
    /// Its user; empty where it is not known.
    pub userid: String,
    /// When the connection began.
    pub started: DateTime<Utc>,
    /// When it ended, or when this was told.
    pub ended: Option<DateTime<Utc>>,
    /// The connection's number.
    pub id: ConnectionId,
    /// What it has carried.
    pub counters: Counters,
    /// What protects it.
    pub protection: Protection,
    /// Who says so.
    pub source: Source,
    /// What IPsec does for it besides.
    pub ipsec: Option<Ipsec>,
    /// The rule it fell short of, if it did.
    pub enforcement: Option<Enforcement>,
    /// How it travels.
    pub transport: Transport,
    /// It was there before the observer: nothing is known of its protection, and it may be older than it is said to be.
    pub older: bool,
    /// It is a data connection of FTP.
    pub data_of: Option<DataOf>,
}

impl RecordContext {
    pub(crate) fn header(&self, subtype: u16) -> Header {
        Header {
            // SMF counts hundredths of a second; a record read back must equal the one written.
            written: Local::now().naive_local().trunc_subsecs(2),
            system: self.system.chars().take(4).collect(),
            subsystem: "TCP".to_owned(),
            subtype,
        }
    }

    /// `component`: the part of the stack that tells. `reason` says why: an event's or an interval's.
    pub(crate) fn identification(&self, component: &str, reason: u8) -> Identification {
        Identification {
            system: self.system.clone(),
            sysplex: self.sysplex.clone(),
            stack: self.stack.clone(),
            release: concat!("PAG", env!("CARGO_PKG_VERSION")).to_owned(),
            component: component.to_owned(),
            address_space: "PAGENT".to_owned(),
            userid: self.userid.clone(),
            asid: 0,
            reason,
        }
    }

    /// Says that recording begins or ends: there is no connection.
    pub(crate) fn switched(&self, event: Event) -> ConnectionDetail {
        let nobody = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        ConnectionDetail {
            header: self.header(detail::SUBTYPE),
            identification: self.identification(STACK, EVENT),
            common: Common {
                event,
                protocols: 0,
                reset: false,
                older: false,
                role: LocalRole::Unknown,
                jobname: String::new(),
                jobid: String::new(),
                userid: String::new(),
                started: Utc::now(),
                ended: None,
                remote: nobody,
                local: nobody,
                connection_id: 0,
                bytes_in: 0,
                bytes_out: 0,
                segments_in: 0,
                segments_out: 0,
                data_of: None,
            },
            tls: None,
            ssh: None,
            ipsec: None,
            names: Vec::new(),
            enforcement: None,
        }
    }

    pub(crate) fn record(&self, facts: &Facts) -> ConnectionDetail {
        let tls = match &facts.protection {
            Protection::Tls(_) => tls(facts),
            _ => None,
        };
        let ssh = match &facts.protection {
            Protection::Ssh(found) => Some(ssh(found, facts.side)),
            _ => None,
        };
        let names = match &facts.protection {
            Protection::Tls(handshake) => names(handshake),
            _ => Vec::new(),
        };
        let terminated = matches!(facts.event, Event::Termination | Event::ShortTermination);
        ConnectionDetail {
            header: self.header(detail::SUBTYPE),
            identification: self.identification(STACK, EVENT),
            common: Common {
                event: facts.event,
                protocols: if facts.ipsec.is_some() { IPSEC } else { 0 }
                    | match facts.protection {
                        Protection::Tls(_) => TLS,
                        Protection::Ssh(_) => SSH,
                        Protection::Undetermined | Protection::None => 0,
                    },
                reset: terminated && facts.enforcement.as_ref().is_some_and(|enforcement| enforcement.reset),
                older: facts.older,
                role: match facts.side {
                    Side::Client => LocalRole::Client,
                    Side::Server => LocalRole::Server,
                },
                jobname: facts.jobname.clone(),
                jobid: String::new(),
                userid: facts.userid.clone(),
                started: facts.started,
                ended: facts.ended.filter(|_| terminated),
                remote: facts.remote,
                local: facts.local,
                connection_id: facts.id.0,
                bytes_in: facts.counters.bytes_in,
                bytes_out: facts.counters.bytes_out,
                segments_in: facts.counters.segments_in.into(),
                segments_out: facts.counters.segments_out.into(),
                data_of: facts.data_of.map(|data_of| detail::DataOf {
                    connection_id: data_of.id.0,
                    port: data_of.port,
                    active: data_of.active,
                }),
            },
            tls,
            ssh,
            ipsec: facts.ipsec.as_ref().map(Ipsec::section),
            names,
            enforcement: facts.enforcement.clone(),
        }
    }
}

fn tls(facts: &Facts) -> Option<Tls> {
    let Protection::Tls(handshake) = &facts.protection else { return None };
    let failed = handshake.version == 0 && handshake.complete;
    let (encryption, authentication, key_exchange) = match handshake.version {
        0x0200 => handshake.ssl2_cipher.map(codes::of_ssl2).unwrap_or_default(),
        _ => codes::of_suite(handshake.suite),
    };
    let known = handshake.version != 0;
    Some(Tls {
        version: handshake.version,
        source: match facts.source {
            Source::Observed => AttributeSource::Observation,
            Source::Engine => AttributeSource::Provider,
        },
        handshake: match handshake.resumed {
            _ if failed => HandshakeType::Failed,
            Some(true) => HandshakeType::Abbreviated,
            Some(false) => HandshakeType::Full,
            None => HandshakeType::Unknown,
        },
        role: match facts.side {
            Side::Client => 1,
            Side::Server if handshake.client_certificate.is_some() => 3,
            Side::Server => 2,
        },
        session_id: handshake.session_id.clone(),
        provider: match facts.source {
            Source::Observed => "Observation".to_owned(),
            Source::Engine => "Pagent AT-TLS".to_owned(),
        },
        cipher: match handshake.version {
            0 => "FFFFFF".to_owned(),
            0x0200 => format!("{:06X}", handshake.ssl2_cipher.unwrap_or_default()),
            _ => format!("{:04X}", handshake.suite),
        },
        encryption: if known { encryption } else { 0 },
        authentication: if known { authentication } else { 0 },
        key_exchange: if known { key_exchange } else { 0 },
        encrypt_then_mac: handshake.encrypt_then_mac,
        group: handshake.group.unwrap_or_default(),
        server_certificate: handshake.server_certificate.as_deref().and_then(certificate),
        client_certificate: handshake.client_certificate.as_deref().and_then(certificate),
    })
}

fn ssh(found: &Ssh, side: Side) -> detail::Ssh {
    let empty = detail::Ssh {
        version: found.version,
        source: AttributeSource::Observation,
        encrypt_then_mac_in: false,
        encrypt_then_mac_out: false,
        failed: found.failed,
        component: match side {
            Side::Client => "SSH".to_owned(),
            Side::Server => "SSHD".to_owned(),
        },
        provider: "Observation".to_owned(),
        authentication_methods: [0; 2],
        encryption_in: 0,
        authentication_in: 0,
        key_exchange: 0,
        encryption_out: 0,
        authentication_out: 0,
        server_key: [0; 2],
        client_key: [0; 2],
        server_fingerprint: Vec::new(),
        client_fingerprint: Vec::new(),
        server_certificate: None,
        client_certificate: None,
    };
    if found.failed {
        return empty;
    }
    let (inbound, outbound) = match side {
        Side::Client => (&found.to_client, &found.to_server),
        Side::Server => (&found.to_server, &found.to_client),
    };
    let codes = |cipher: &Option<Cipher>| {
        cipher.as_ref().map(|cipher| codes::of_cipher(&cipher.encryption, &cipher.authentication)).unwrap_or_default()
    };
    let etm = |cipher: &Option<Cipher>| cipher.as_ref().is_some_and(|cipher| cipher.authentication.contains("-etm@"));
    let ((encryption_in, authentication_in), (encryption_out, authentication_out)) = (codes(inbound), codes(outbound));
    let key = found.server_key.as_ref();
    detail::Ssh {
        encrypt_then_mac_in: etm(inbound),
        encrypt_then_mac_out: etm(outbound),
        encryption_in,
        authentication_in,
        key_exchange: found.key_exchange.as_deref().map(codes::of_key_exchange).unwrap_or_default(),
        encryption_out,
        authentication_out,
        server_key: key.map(|key| [codes::of_key(&key.kind), key.bits]).unwrap_or_default(),
        server_fingerprint: key.map(|key| key.fingerprint.to_vec()).unwrap_or_default(),
        ..empty
    }
}

/// The names in the certificates.
fn names(handshake: &Handshake) -> Vec<CertificateName> {
    let certificates = [
        (&handshake.server_certificate, SERVER_SUBJECT, SERVER_ISSUER),
        (&handshake.client_certificate, CLIENT_SUBJECT, CLIENT_ISSUER),
    ];
    let mut names = Vec::new();
    for (der, subject, issuer) in certificates {
        let der = der.as_deref().unwrap_or_default();
        if let Ok((_, parsed)) = X509Certificate::from_der(der) {
            names.push(CertificateName { kind: subject, name: parsed.subject().to_string() });
            names.push(CertificateName { kind: issuer, name: parsed.issuer().to_string() });
        }
    }
    names
}

/// Tables D, E, F and G.
fn certificate(der: &[u8]) -> Option<Certificate> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let signature_oid = parsed.signature_algorithm.algorithm.to_id_string();
    let (signature, encryption, digest) = match signature_oid.as_str() {
        "1.2.840.113549.1.1.5" => (0x04, 2, 4),
        "1.2.840.113549.1.1.14" => (0x06, 2, 5),
        "1.2.840.113549.1.1.11" => (0x07, 2, 6),
        "1.2.840.113549.1.1.12" => (0x08, 2, 7),
        "1.2.840.113549.1.1.13" => (0x09, 2, 8),
        "1.2.840.10045.4.1" => (0x0A, 4, 4),
        "1.2.840.10045.4.3.1" => (0x0B, 4, 5),
        "1.2.840.10045.4.3.2" => (0x0C, 4, 6),
        "1.2.840.10045.4.3.3" => (0x0D, 4, 7),
        "1.2.840.10045.4.3.4" => (0x0E, 4, 8),
        _ => (0, 0, 0),
    };
    let (key_type, key_length) = match parsed.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => (2, key.key_size()),
        Ok(PublicKey::DSA(_)) => (3, 0),
        Ok(PublicKey::EC(point)) => (5, point.key_size()),
        _ => (0, 0),
    };
    let not_after = DateTime::<Utc>::from_timestamp(parsed.validity().not_after.timestamp(), 0)?;
    Some(Certificate {
        signature,
        encryption,
        digest,
        serial: parsed.raw_serial().iter().copied().take(20).collect(),
        not_after: not_after.format("%Y%m%d%H%M%SZ").to_string(),
        key_type,
        key_length: u16::try_from(key_length).unwrap_or(u16::MAX),
    })
}
