//! Subtype 12: zERT summary, one record for each security session and interval.
//!
//! Sections in order: identification, common, TLS, SSH, IPsec, certificate names. Every counter stands
//! twice: as it was when the interval began, and as it was when it ended.

use std::net::IpAddr;

use chrono::TimeDelta;
use serde::Serialize;

use crate::bytes::{Reader, Writer};
use crate::detail::{AttributeSource, Certificate, CertificateName, Ipsec, LocalRole, names};
use crate::error::RecordError;
use crate::header::{Header, Identification};
use crate::sections::{Sections, assemble};

/// The subtype.
pub const SUBTYPE: u16 = 12;

const IPV6: u8 = 0x80;
const SERVER: u8 = 0x40;
const CLIENT: u8 = 0x20;

/// A 119-12 record.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct SessionSummary {
    /// RDW and header.
    pub header: Header,
    /// Who wrote it.
    pub identification: Identification,
    /// The session and its counters.
    pub common: Common,
    /// Its TLS protection, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Its SSH protection, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh: Option<Ssh>,
    /// Its IPsec protection, if any; lifetimes and numbers of tunnels are not told of a session, and are zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipsec: Option<Ipsec>,
    /// The names in its certificates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<CertificateName>,
}

/// `SMF119SS_SAEvent_Type`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum Event {
    /// 1: the counters of an interval.
    Interval,
    /// 2: aggregation began; there is no session.
    Enabled,
    /// 3: it ended.
    Disabled,
    /// Another number.
    Other(u8),
}

/// The common section, 212 bytes.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Common {
    /// `SAIntervalDuration`, microseconds.
    #[serde(serialize_with = "as_microseconds")]
    pub duration: TimeDelta,
    /// `SAEvent_Type`.
    pub event: Event,
    /// `SAFlags` X'40' and X'20'.
    pub role: LocalRole,
    /// `SASecProtos`: X'80' TLS, X'40' SSH, X'20' IPsec, 0 none recognized.
    pub protocols: u8,
    /// `SAJobname`, 8 characters.
    pub jobname: String,
    /// `SAUserID`, 8 characters.
    pub userid: String,
    /// `SASrvIP`.
    pub server: IpAddr,
    /// `SACltIP`.
    pub client: IpAddr,
    /// `SASrvPortStart` and `SASrvPortEnd`.
    pub ports: (u16, u16),
    /// `SASessionID`, 42 characters: the protocol's letter, `-`, and what stands for the session.
    pub session: String,
    /// The counters when the interval began.
    pub begun: Counters,
    /// The counters when it ended.
    pub ended: Counters,
}

fn as_microseconds<S: serde::Serializer>(duration: &TimeDelta, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(duration.num_microseconds().unwrap_or(i64::MAX))
}

/// What a session counts over its life.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Counters {
    /// `…LifeConnCnt`: connections.
    pub connections: u32,
    /// `…LifePartialConnCnt`: those that had this protection for a part of their life only.
    pub partial: u32,
    /// `…LifeShortConnCnt`: those of less than ten seconds.
    pub short: u32,
    /// `…ActiveConnCnt`: those that are up.
    pub active: u32,
    /// `…FailedHsConnCnt` (z/OS 3.2): those whose handshake failed.
    pub failed: u32,
    /// `…LifeInBytes`.
    pub bytes_in: u64,
    /// `…LifeOutBytes`.
    pub bytes_out: u64,
    /// `…LifeInSegDG`.
    pub segments_in: u64,
    /// `…LifeOutSegDG`.
    pub segments_out: u64,
}

/// What a session says of TLS, 116 bytes.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize)]
pub struct Tls {
    /// `Source`.
    pub source: AttributeSource,
    /// `CryptoFlags` X'80'.
    pub encrypt_then_mac: bool,
    /// `Prot_Ver`.
    pub version: u16,
    /// `Neg_Cipher`.
    pub cipher: String,
    /// `CS_Enc_Alg`, `CS_Msg_Auth`, `CS_Kex_Alg`.
    pub algorithms: [u16; 3],
    /// The server's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_certificate: Option<Certificate>,
    /// The client's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<Certificate>,
    /// The named group, IANA number. **Ours**: it stands in bytes 36 and 37, of which nothing is known.
    pub group: u16,
}

/// What a session says of SSH, 46 bytes.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize)]
pub struct Ssh {
    /// `Source`.
    pub source: AttributeSource,
    /// `Prot_Ver`.
    pub version: u8,
    /// `CryptoFlags` X'80' and X'40': encrypt-then-MAC inbound and outbound.
    pub encrypt_then_mac: [bool; 2],
    /// `Auth_Method`, `Auth_Method2`.
    pub authentication_methods: [u16; 2],
    /// `In_Enc_Alg`, `In_Msg_Auth`, `Kex_Method`, `Out_Enc_Alg`, `Out_Msg_Auth`.
    pub algorithms: [u16; 5],
    /// `SKey_Type`, `SKey_Len`, `CKey_Type`, `CKey_Len`.
    pub keys: [u16; 4],
}

impl SessionSummary {
    /// The record, RDW included.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let sections = [
            Some(self.identification.encode()),
            Some(self.common.encode()),
            self.tls.as_ref().map(Tls::encode),
            self.ssh.as_ref().map(Ssh::encode),
            self.ipsec.as_ref().map(encode_ipsec),
            names::encode(&self.names),
        ];
        assemble(&self.header, &sections)
    }

    /// Reads a whole record, RDW included. Sections of older releases end earlier.
    ///
    /// # Errors
    ///
    /// When it is not a 119-12 record or a section is cut short.
    pub fn decode(record: &[u8]) -> Result<Self, RecordError> {
        Self::read(&mut Sections::of_subtype(record, SUBTYPE)?)
    }

    pub(crate) fn read(sections: &mut Sections<'_>) -> Result<Self, RecordError> {
        Ok(Self {
            identification: sections.identification()?,
            common: sections.required(1, "common", "SMF119SS_", Common::read)?,
            tls: sections.get(2, "TLS", "SMF119SS_TLS_", Tls::read)?,
            ssh: sections.get(3, "SSH", "SMF119SS_SSH_", Ssh::read)?,
            ipsec: sections.get(4, "IPsec", "SMF119SS_IPSec_", read_ipsec)?,
            names: sections.get(5, "certificate names", "SMF119SS_DN_", names::read)?.unwrap_or_default(),
            header: sections.header.clone(),
        })
    }
}

impl Common {
    fn encode(&self) -> Vec<u8> {
        let role = match self.role {
            LocalRole::Server => SERVER,
            LocalRole::Client => CLIENT,
            LocalRole::Unknown => 0,
        };
        let event = match self.event {
            Event::Interval => 1,
            Event::Enabled => 2,
            Event::Disabled => 3,
            Event::Other(number) => number,
        };
        let v6 = if self.server.is_ipv6() { IPV6 } else { 0 };
        // A duration as a TOD clock has it: bit 51 is a microsecond.
        let microseconds = u64::try_from(self.duration.num_microseconds().unwrap_or(0)).unwrap_or(0);
        let writer = Writer::default()
            .u64(microseconds << 12)
            .u8(event)
            .u8(role | v6)
            .u8(self.protocols)
            .text::<8>(&self.jobname)
            .text::<8>(&self.userid)
            .u8(6) // TCP
            .address(self.server)
            .address(self.client)
            .u16(self.ports.0)
            .u16(self.ports.1)
            .text::<42>(&self.session)
            .reserved(2);
        let writer = [&self.begun, &self.ended].into_iter().fold(writer, |writer, counters| {
            writer
                .u32(counters.connections)
                .u32(counters.partial)
                .u32(counters.short)
                .u32(counters.active)
                .u64(counters.bytes_in)
                .u64(counters.bytes_out)
                .u64(counters.segments_in)
                .u64(counters.segments_out)
        });
        writer.u32(self.begun.failed).u32(self.ended.failed).finish()
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let microseconds = i64::try_from(reader.u64("SAIntervalDuration")? >> 12).ok()?;
        let event = match reader.u8("SAEvent_Type")? {
            1 => Event::Interval,
            2 => Event::Enabled,
            3 => Event::Disabled,
            number => Event::Other(number),
        };
        let (flags, protocols) = (reader.x8("SAFlags")?, reader.x8("SASecProtos")?);
        let (jobname, userid) = (reader.text::<8>("SAJobname")?, reader.text::<8>("SAUserID")?);
        let _ = reader.u8("SAIPProto")?;
        let v6 = flags & IPV6 != 0;
        let (server, client) = (reader.address("SASrvIP", v6)?, reader.address("SACltIP", v6)?);
        let ports = (reader.u16("SASrvPortStart")?, reader.u16("SASrvPortEnd")?);
        let session = reader.text::<42>("SASessionID")?;
        reader.skip(2)?;
        let mut begun = reader.within("SAInit", Counters::read)?;
        let mut ended = reader.within("SAEnd", Counters::read)?;
        // Before z/OS 3.2 the section ended here.
        if !reader.is_at_end() {
            begun.failed = reader.u32("SAInitFailedHsConnCnt")?;
            ended.failed = reader.u32("SAEndFailedHsConnCnt")?;
        }
        Some(Self {
            duration: TimeDelta::microseconds(microseconds),
            event,
            role: match flags & (SERVER | CLIENT) {
                SERVER => LocalRole::Server,
                CLIENT => LocalRole::Client,
                _ => LocalRole::Unknown,
            },
            protocols,
            jobname,
            userid,
            server,
            client,
            ports,
            session,
            begun,
            ended,
        })
    }
}

impl Tls {
    fn encode(&self) -> Vec<u8> {
        let methods = |certificate: Option<&Certificate>| match certificate {
            Some(found) => [found.signature, found.encryption, found.digest, found.key_type, found.key_length],
            None => [0; 5],
        };
        let writer = Writer::default()
            .u8(self.source.number())
            .u8(if self.encrypt_then_mac { 0x80 } else { 0 })
            .u16(self.version)
            .text::<6>(&self.cipher);
        let numbers = self
            .algorithms
            .into_iter()
            .chain(methods(self.server_certificate.as_ref()))
            .chain(methods(self.client_certificate.as_ref()))
            .chain([self.group]);
        let writer = numbers.fold(writer, Writer::u16).reserved(4);
        [&self.server_certificate, &self.client_certificate]
            .into_iter()
            .fold(writer, |writer, certificate| match certificate {
                None => writer.reserved(37),
                Some(found) => {
                    let time_type = match found.not_after.len() {
                        13 => 1,
                        15 => 2,
                        _ => 0,
                    };
                    writer
                        .u8(u8::try_from(found.serial.len().min(20)).unwrap_or(20))
                        .padded::<20>(&found.serial)
                        .u8(time_type)
                        .text::<15>(&found.not_after)
                }
            })
            .finish()
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (source, flags) = (AttributeSource::from_number(reader.u8("Source")?), reader.x8("CryptoFlags")?);
        let (version, cipher) = (reader.x16("Prot_Ver")?, reader.text::<6>("Neg_Cipher")?);
        let algorithms = [reader.x16("CS_Enc_Alg")?, reader.x16("CS_Msg_Auth")?, reader.x16("CS_Kex_Alg")?];
        let mut server = reader.within("SCert_", read_methods)?;
        let mut client = reader.within("CCert_", read_methods)?;
        // Before z/OS 3.2 the section ended here.
        let mut group = 0;
        if !reader.is_at_end() {
            group = reader.x16("Group")?;
            reader.skip(4)?;
            reader.within("SCert_", |reader| read_serial(reader, &mut server))?;
            reader.within("CCert_", |reader| read_serial(reader, &mut client))?;
        }
        let seen = |certificate: Certificate| (certificate != Certificate::default()).then_some(certificate);
        Some(Self {
            source,
            encrypt_then_mac: flags & 0x80 != 0,
            version,
            cipher,
            algorithms,
            server_certificate: seen(server),
            client_certificate: seen(client),
            group,
        })
    }
}

impl Ssh {
    fn encode(&self) -> Vec<u8> {
        let [inbound, outbound] = self.encrypt_then_mac;
        let flags = u8::from(inbound) << 7 | u8::from(outbound) << 6;
        let writer = Writer::default().u8(self.source.number()).reserved(1).u8(self.version).u8(flags);
        let numbers = self.authentication_methods.into_iter().chain(self.algorithms).chain(self.keys);
        numbers.fold(writer, Writer::u16).reserved(20).finish()
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let source = AttributeSource::from_number(reader.u8("Source")?);
        reader.skip(1)?;
        let (version, flags) = (reader.u8("Prot_Ver")?, reader.x8("CryptoFlags")?);
        Some(Self {
            source,
            version,
            encrypt_then_mac: [flags & 0x80 != 0, flags & 0x40 != 0],
            authentication_methods: [reader.x16("Auth_Method")?, reader.x16("Auth_Method2")?],
            algorithms: [
                reader.x16("In_Enc_Alg")?,
                reader.x16("In_Msg_Auth")?,
                reader.x16("Kex_Method")?,
                reader.x16("Out_Enc_Alg")?,
                reader.x16("Out_Msg_Auth")?,
            ],
            keys: [
                reader.x16("SKey_Type")?,
                reader.u16("SKey_Len")?,
                reader.x16("CKey_Type")?,
                reader.u16("CKey_Len")?,
            ],
        })
    }
}

/// 148 bytes.
fn encode_ipsec(ipsec: &Ipsec) -> Vec<u8> {
    Writer::default()
        .reserved(2)
        .address(ipsec.local)
        .address(ipsec.remote)
        .reserved(34)
        .u8(ipsec.mode)
        .u8(ipsec.protocol)
        .u16(ipsec.authentication)
        .u16(ipsec.encryption)
        .reserved(74)
        .finish()
}

fn read_ipsec(reader: &mut Reader<'_>) -> Option<Ipsec> {
    reader.skip(2)?;
    let (local, remote) = (reader.any_address("IKETunLclEndpt")?, reader.any_address("IKETunRmtEndpt")?);
    reader.skip(34)?;
    let (mode, protocol) = (reader.u8("EncapMode")?, reader.x8("AuthProto")?);
    let (authentication, encryption) = (reader.x16("AuthAlg")?, reader.x16("EncAlg")?);
    Some(Ipsec {
        local,
        remote,
        tunnel: 0,
        kind: 0,
        mode,
        protocol,
        authentication,
        encryption,
        lifesize: 0,
        lifetime: 0,
    })
}

impl Counters {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            connections: reader.u32("LifeConnCnt")?,
            partial: reader.u32("LifePartialConnCnt")?,
            short: reader.u32("LifeShortConnCnt")?,
            active: reader.u32("ActiveConnCnt")?,
            failed: 0,
            bytes_in: reader.u64("LifeInBytes")?,
            bytes_out: reader.u64("LifeOutBytes")?,
            segments_in: reader.u64("LifeInSegDG")?,
            segments_out: reader.u64("LifeOutSegDG")?,
        })
    }
}

/// What stands first of a certificate.
fn read_methods(reader: &mut Reader<'_>) -> Option<Certificate> {
    Some(Certificate {
        signature: reader.x16("Signature_Method")?,
        encryption: reader.x16("Enc_Method")?,
        digest: reader.x16("Digest_Alg")?,
        key_type: reader.x16("Key_Type")?,
        key_length: reader.u16("Key_Len")?,
        ..Certificate::default()
    })
}

/// What z/OS 3.2 put behind it.
fn read_serial(reader: &mut Reader<'_>, certificate: &mut Certificate) -> Option<()> {
    let length = usize::from(reader.u8("Serial_Len")?);
    certificate.serial = reader.bytes::<20>("Serial")?.get(..length.min(20))?.to_vec();
    let _ = reader.u8("Time_Type")?;
    certificate.not_after = reader.text::<15>("Time")?;
    Some(())
}
