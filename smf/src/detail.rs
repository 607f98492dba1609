//! Subtype 11: zERT connection detail.
//!
//! Sections in order: identification, common, IP filter, TLS, SSH, IPsec, certificate names, enforcement. The third is not
//! written.

mod ipsec;
pub(crate) mod names;
mod ssh;

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::bytes::{Reader, Writer};
use crate::error::RecordError;
use crate::header::{Header, Identification};
use crate::sections::{Sections, assemble};

pub use ipsec::{AH, ESP, Ipsec};
pub use names::CertificateName;
pub use ssh::Ssh;

/// The subtype.
pub const SUBTYPE: u16 = 11;

const IPV6: u8 = 0x80;
const RESET: u8 = 0x20;
const SERVER: u8 = 0x10;
const CLIENT: u8 = 0x08;
const OLDER: u8 = 0x04;
/// `SASecFlags`: IP security is enabled, for IPv4 and for IPv6.
const IP_SECURITY: u8 = 0xC0;
/// The server opened the data connection.
const ACTIVE: u8 = 0x80;
const PREFIX: &str = "SMF119SC_";

/// A 119-11 record.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ConnectionDetail {
    /// RDW and header.
    pub header: Header,
    /// Who wrote it.
    pub identification: Identification,
    /// The connection.
    pub common: Common,
    /// Its TLS protection, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Its SSH protection, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh: Option<Ssh>,
    /// Its IPsec protection, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipsec: Option<Ipsec>,
    /// The names in its certificates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<CertificateName>,
    /// The enforcement rule it fell to, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<Enforcement>,
}

/// `SMF119SC_SAEvent_Type`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum Event {
    /// 1: it has lived for ten seconds.
    Initiation,
    /// 2: its protection changed.
    Change,
    /// 3: it ended; there was an initiation record.
    Termination,
    /// 4: it ended before ten seconds; the only record.
    ShortTermination,
    /// 5: recording was turned on.
    Enabled,
    /// 6: recording was turned off.
    Disabled,
    /// 7: an enforcement rule with audit matched.
    Enforcement,
    /// Another number, in a record of another release.
    Other(u8),
}

/// Which end the local socket is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize)]
pub enum LocalRole {
    /// It accepted the connection.
    Server,
    /// It opened it.
    Client,
    /// Not said.
    Unknown,
}

/// The common section, 128 bytes.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Common {
    /// `SAEvent_Type`.
    pub event: Event,
    /// `SASecProtos`: X'80' TLS, X'40' SSH, X'20' IPsec, 0 none recognized.
    pub protocols: u8,
    /// `SAFlags` X'20': reset by enforcement.
    pub reset: bool,
    /// `SAFlags` X'04', **ours**: the connection was there before recording began. Nothing is known of its protection, and its
    /// start is when it was found.
    pub older: bool,
    /// `SAFlags` X'10' and X'08'.
    pub role: LocalRole,
    /// `SAJobname`, 8 characters.
    pub jobname: String,
    /// `SAJobID`, 8 characters.
    pub jobid: String,
    /// `SAUserID`, 8 characters.
    pub userid: String,
    /// `SASTime`, `SASDate`.
    pub started: DateTime<Utc>,
    /// `SAETime`, `SAEDate`; set for terminations only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<DateTime<Utc>>,
    /// `SARIP`, `SARPort`.
    pub remote: SocketAddr,
    /// `SALIP`, `SALPort`.
    pub local: SocketAddr,
    /// `SAConnID`.
    pub connection_id: u32,
    /// `SAInBytes`.
    pub bytes_in: u64,
    /// `SAOutBytes`.
    pub bytes_out: u64,
    /// `SAInSegDG`.
    pub segments_in: u64,
    /// `SAOutSegDG`.
    pub segments_out: u64,
    /// The FTP control connection that it is a data connection of. **Ours**: it stands in the eight reserved bytes at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_of: Option<DataOf>,
}

/// An FTP control connection, as a data connection's record names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct DataOf {
    /// Its number; 0 when it is not known any more.
    pub connection_id: u32,
    /// Its server's port.
    pub port: u16,
    /// The server opened the data connection.
    pub active: bool,
}

/// Where the attributes come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize)]
pub enum AttributeSource {
    /// 1: the handshake was read as it passed.
    Observation,
    /// 2: the program that did the handshake said so.
    Provider,
    /// Another number.
    Other(u8),
}

/// How the handshake went.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum HandshakeType {
    /// 0.
    Unknown,
    /// 1.
    Full,
    /// 2: a session was resumed.
    Abbreviated,
    /// 3: it failed (z/OS 3.2).
    Failed,
    /// Another number.
    Other(u8),
}

/// The TLS section, 168 bytes.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Tls {
    /// `Prot_Ver`: wire number, 0 unknown.
    pub version: u16,
    /// `Source`.
    pub source: AttributeSource,
    /// `Handshake_Type`.
    pub handshake: HandshakeType,
    /// `Handshake_Role`: 0 unknown, 1 client, 2 server, 3 server with client authentication.
    pub role: u8,
    /// `Session_ID`, up to 32 bytes.
    pub session_id: Vec<u8>,
    /// `Protocol_Provider`, 16 characters.
    pub provider: String,
    /// `Neg_Cipher`: four hexadecimal digits, or `FFFFFF` when not known.
    pub cipher: String,
    /// `CS_Enc_Alg`.
    pub encryption: u16,
    /// `CS_Msg_Auth`.
    pub authentication: u16,
    /// `CS_Kex_Alg`.
    pub key_exchange: u16,
    /// `CryptoFlags` X'80': encrypt-then-MAC.
    pub encrypt_then_mac: bool,
    /// The named group, IANA number. **Ours**: IBM's map has no field for it; it stands in reserved bytes 70–71.
    pub group: u16,
    /// The server's certificate, when it was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_certificate: Option<Certificate>,
    /// The client's certificate, when it was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<Certificate>,
}

/// What a record says of a certificate, 48 bytes.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize)]
pub struct Certificate {
    /// Signature method, table D.
    pub signature: u16,
    /// Encryption method, table E.
    pub encryption: u16,
    /// Digest algorithm, table F.
    pub digest: u16,
    /// Serial number, up to 20 bytes.
    pub serial: Vec<u8>,
    /// Not after: `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
    pub not_after: String,
    /// Key type, table G.
    pub key_type: u16,
    /// Key length in bits.
    pub key_length: u16,
}

/// The enforcement section. IBM's layout is not known; **ours**: rule and action, 32 characters each, then one byte of
/// flags (X'80' reset, X'40' log, X'20' audit) and three reserved.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Enforcement {
    /// The rule.
    pub rule: String,
    /// Its action.
    pub action: String,
    /// The connection was reset.
    pub reset: bool,
    /// A message was written.
    pub logged: bool,
    /// An event record was written.
    pub audited: bool,
}

impl ConnectionDetail {
    /// The record, RDW included.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let sections = [
            Some(self.identification.encode()),
            Some(self.common.encode(self.ipsec.is_some())),
            None,
            self.tls.as_ref().map(Tls::encode),
            self.ssh.as_ref().map(Ssh::encode),
            self.ipsec.as_ref().map(Ipsec::encode),
            names::encode(&self.names),
            self.enforcement.as_ref().map(Enforcement::encode),
        ];
        assemble(&self.header, &sections)
    }

    /// Reads a whole record, RDW included. Sections may be longer than this map knows: they grow at their ends.
    ///
    /// # Errors
    ///
    /// When it is not a 119-11 record or a section is cut short.
    pub fn decode(record: &[u8]) -> Result<Self, RecordError> {
        Self::read(&mut Sections::of_subtype(record, SUBTYPE)?)
    }

    pub(crate) fn read(sections: &mut Sections<'_>) -> Result<Self, RecordError> {
        Ok(Self {
            identification: sections.identification()?,
            common: sections.required(1, "common", PREFIX, Common::read)?,
            tls: sections.get(3, "TLS", "SMF119SC_TLS_", Tls::read)?,
            ssh: sections.get(4, "SSH", "SMF119SC_SSH_", Ssh::read)?,
            ipsec: sections.get(5, "IPsec", "SMF119SC_IPSec_", Ipsec::read)?,
            names: sections.get(6, "certificate names", "SMF119SC_DN_", names::read)?.unwrap_or_default(),
            enforcement: sections.get(7, "enforcement", "SMF119SC_PE_", Enforcement::read)?,
            header: sections.header.clone(),
        })
    }
}

impl Common {
    /// `ipsec`: there is IP security.
    fn encode(&self, ipsec: bool) -> Vec<u8> {
        let role = match self.role {
            LocalRole::Server => SERVER,
            LocalRole::Client => CLIENT,
            LocalRole::Unknown => 0,
        };
        let v6 = if self.remote.is_ipv6() { IPV6 } else { 0 };
        let reset = if self.reset { RESET } else { 0 };
        let older = if self.older { OLDER } else { 0 };
        Writer::default()
            .u8(self.event.number())
            .u8(self.protocols)
            .u8(role | v6 | reset | older)
            .u8(if ipsec { IP_SECURITY } else { 0 })
            .u8(6) // TCP
            .reserved(3)
            .text::<8>(&self.jobname)
            .text::<8>(&self.jobid)
            .text::<8>(&self.userid)
            .moment(Some(self.started))
            .moment(self.ended)
            .address(self.remote.ip())
            .address(self.local.ip())
            .u16(self.remote.port())
            .u16(self.local.port())
            .u32(self.connection_id)
            .u64(self.bytes_in)
            .u64(self.bytes_out)
            .u64(self.segments_in)
            .u64(self.segments_out)
            .u32(self.data_of.map_or(0, |of| of.connection_id))
            .u16(self.data_of.map_or(0, |of| of.port))
            .u8(self.data_of.map_or(0, |of| if of.active { ACTIVE } else { 0 }))
            .reserved(1)
            .finish()
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let event = Event::from_number(reader.u8("SAEvent_Type")?);
        let (protocols, flags) = (reader.x8("SASecProtos")?, reader.x8("SAFlags")?);
        let (_, _) = (reader.x8("SASecFlags")?, reader.u8("SAIPProto")?);
        reader.skip(3)?;
        let (jobname, jobid) = (reader.text::<8>("SAJobname")?, reader.text::<8>("SAJobID")?);
        let userid = reader.text::<8>("SAUserID")?;
        let started = reader.moment("SASTime", "SASDate")??;
        let ended = reader.moment("SAETime", "SAEDate")?;
        let v6 = flags & IPV6 != 0;
        let (remote, local) = (reader.address("SARIP", v6)?, reader.address("SALIP", v6)?);
        let remote = SocketAddr::new(remote, reader.u16("SARPort")?);
        let local = SocketAddr::new(local, reader.u16("SALPort")?);
        Some(Self {
            event,
            protocols,
            reset: flags & RESET != 0,
            older: flags & OLDER != 0,
            role: match flags & (SERVER | CLIENT) {
                SERVER => LocalRole::Server,
                CLIENT => LocalRole::Client,
                _ => LocalRole::Unknown,
            },
            jobname,
            jobid,
            userid,
            started,
            ended,
            remote,
            local,
            connection_id: reader.x32("SAConnID")?,
            bytes_in: reader.u64("SAInBytes")?,
            bytes_out: reader.u64("SAOutBytes")?,
            segments_in: reader.u64("SAInSegDG")?,
            segments_out: reader.u64("SAOutSegDG")?,
            data_of: DataOf::read(reader)?,
        })
    }
}

impl DataOf {
    /// The outer option is the cursor's.
    #[allow(clippy::option_option, reason = "one is the cursor's, the other the field's")]
    fn read(reader: &mut Reader<'_>) -> Option<Option<Self>> {
        let (connection_id, port) = (reader.x32("SACtlConnID")?, reader.u16("SACtlPort")?);
        let active = reader.x8("SACtlFlags")? & ACTIVE != 0;
        reader.skip(1)?;
        Some((port != 0).then_some(Self { connection_id, port, active }))
    }
}

impl AttributeSource {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Observation => 1,
            Self::Provider => 2,
            Self::Other(number) => number,
        }
    }

    pub(crate) fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Observation,
            2 => Self::Provider,
            number => Self::Other(number),
        }
    }
}

impl Tls {
    fn encode(&self) -> Vec<u8> {
        let handshake = match self.handshake {
            HandshakeType::Unknown => 0,
            HandshakeType::Full => 1,
            HandshakeType::Abbreviated => 2,
            HandshakeType::Failed => 3,
            HandshakeType::Other(number) => number,
        };
        let id_length = u8::try_from(self.session_id.len().min(32)).unwrap_or(32);
        let writer = Writer::default()
            .u16(self.version)
            .u8(self.source.number())
            .u8(handshake)
            .u8(self.role)
            .reserved(2)
            .u8(id_length)
            .padded::<32>(&self.session_id)
            .text::<16>(&self.provider)
            .text::<6>(&self.cipher)
            .u16(self.encryption)
            .u16(self.authentication)
            .u16(self.key_exchange)
            .u8(0) // FIPS mode
            .u8(if self.encrypt_then_mac { 0x80 } else { 0 })
            .u16(self.group)
            .finish();
        [writer, certificate(self.server_certificate.as_ref()), certificate(self.client_certificate.as_ref())].concat()
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let version = reader.x16("Prot_Ver")?;
        let source = AttributeSource::from_number(reader.u8("Source")?);
        let handshake = match reader.u8("Handshake_Type")? {
            0 => HandshakeType::Unknown,
            1 => HandshakeType::Full,
            2 => HandshakeType::Abbreviated,
            3 => HandshakeType::Failed,
            number => HandshakeType::Other(number),
        };
        let role = reader.u8("Handshake_Role")?;
        reader.skip(2)?;
        let id_length = usize::from(reader.u8("Session_ID_Len")?);
        let session_id = reader.bytes::<32>("Session_ID")?.get(..id_length.min(32))?.to_vec();
        let (provider, cipher) = (reader.text::<16>("Protocol_Provider")?, reader.text::<6>("Neg_Cipher")?);
        let (encryption, authentication) = (reader.x16("CS_Enc_Alg")?, reader.x16("CS_Msg_Auth")?);
        let key_exchange = reader.x16("CS_Kex_Alg")?;
        let _ = reader.u8("FIPS_Mode")?;
        let encrypt_then_mac = reader.x8("CryptoFlags")? & 0x80 != 0;
        Some(Self {
            version,
            source,
            handshake,
            role,
            session_id,
            provider,
            cipher,
            encryption,
            authentication,
            key_exchange,
            encrypt_then_mac,
            group: reader.x16("Group")?,
            server_certificate: reader.within("SCert_", read_certificate)?,
            client_certificate: reader.within("CCert_", read_certificate)?,
        })
    }
}

/// 48 bytes; all zero for a certificate that was not seen.
fn certificate(certificate: Option<&Certificate>) -> Vec<u8> {
    let Some(certificate) = certificate else { return vec![0; 48] };
    let time_type = match certificate.not_after.len() {
        13 => 1,
        15 => 2,
        _ => 0,
    };
    Writer::default()
        .u16(certificate.signature)
        .u16(certificate.encryption)
        .u16(certificate.digest)
        .reserved(1)
        .u8(u8::try_from(certificate.serial.len().min(20)).unwrap_or(20))
        .padded::<20>(&certificate.serial)
        .u8(time_type)
        .text::<15>(&certificate.not_after)
        .u16(certificate.key_type)
        .u16(certificate.key_length)
        .finish()
}

/// The outer option is the cursor's; the inner is none when the section says nothing of a certificate.
fn read_certificate(reader: &mut Reader<'_>) -> Option<Option<Certificate>> {
    let (signature, encryption) = (reader.x16("Signature_Method")?, reader.x16("Enc_Method")?);
    let digest = reader.x16("Digest_Alg")?;
    reader.skip(1)?;
    let length = usize::from(reader.u8("Serial_Len")?);
    let serial = reader.bytes::<20>("Serial")?.get(..length.min(20))?.to_vec();
    let _ = reader.u8("Time_Type")?;
    let not_after = reader.text::<15>("Time")?;
    let (key_type, key_length) = (reader.x16("Key_Type")?, reader.u16("Key_Len")?);
    let found = Certificate { signature, encryption, digest, serial, not_after, key_type, key_length };
    Some((found != Certificate::default()).then_some(found))
}

impl Enforcement {
    fn encode(&self) -> Vec<u8> {
        let flags = [(self.reset, 0x80), (self.logged, 0x40), (self.audited, 0x20)];
        let flags = flags.iter().filter(|(on, _)| *on).fold(0, |flags, (_, bit)| flags | bit);
        Writer::default().text::<32>(&self.rule).text::<32>(&self.action).u8(flags).reserved(3).finish()
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (rule, action) = (reader.text::<32>("Rule")?, reader.text::<32>("Action")?);
        let flags = reader.x8("Flags")?;
        Some(Self { rule, action, reset: flags & 0x80 != 0, logged: flags & 0x40 != 0, audited: flags & 0x20 != 0 })
    }
}

impl Event {
    fn number(self) -> u8 {
        match self {
            Self::Initiation => 1,
            Self::Change => 2,
            Self::Termination => 3,
            Self::ShortTermination => 4,
            Self::Enabled => 5,
            Self::Disabled => 6,
            Self::Enforcement => 7,
            Self::Other(number) => number,
        }
    }

    fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Initiation,
            2 => Self::Change,
            3 => Self::Termination,
            4 => Self::ShortTermination,
            5 => Self::Enabled,
            6 => Self::Disabled,
            7 => Self::Enforcement,
            other => Self::Other(other),
        }
    }
}
