//! Subtypes 1 and 2: a TCP connection began, a TCP connection ended.
//!
//! Sections of subtype 1: identification, connection. Of subtype 2: identification, connection, Telnet, AT-TLS, application data;
//! the third and the fifth are not written. IPv4 addresses are mapped to IPv6.

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::bytes::{Reader, Writer};
use crate::error::RecordError;
use crate::header::{Header, Identification};
use crate::sections::{Sections, assemble};
use crate::time;

/// The subtype of an initiation.
pub const INITIATION: u16 = 1;
/// The subtype of a termination.
pub const TERMINATION: u16 = 2;

/// A 119-1 record.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Initiation {
    /// RDW and header.
    pub header: Header,
    /// Who wrote it.
    pub identification: Identification,
    /// `TIRName`, 8 characters: the job.
    pub jobname: String,
    /// `TIConnID`.
    pub connection_id: u32,
    /// `TIRIP`, `TIRPort`.
    pub remote: SocketAddr,
    /// `TILIP`, `TILPort`.
    pub local: SocketAddr,
    /// `TITime`, `TIDate`, and `TISTCK` to the microsecond.
    pub started: DateTime<Utc>,
}

/// `TTTTLSCS`: whether a connection was secure.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub enum SecureStatus {
    /// 1: clear text, as far as AT-TLS goes.
    #[default]
    NotSecure,
    /// 2: its handshake was under way.
    InProgress,
    /// 3: TLS.
    Secure,
    /// Another number.
    Other(u8),
}

/// `TTTTLSPS`: what AT-TLS policy says of a connection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub enum PolicyStatus {
    /// 0: it was not looked at.
    #[default]
    NotKnown,
    /// 1: there is no AT-TLS.
    Off,
    /// 2: no rule is for it.
    NoPolicy,
    /// 3: its rule has AT-TLS off.
    NotEnabled,
    /// 4: its rule has AT-TLS on.
    Enabled,
    /// 5: the same, and its program controls it.
    ApplicationControlled,
    /// Another number.
    Other(u8),
}

/// A 119-2 record.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Termination {
    /// RDW and header.
    pub header: Header,
    /// Who wrote it.
    pub identification: Identification,
    /// The connection.
    pub connection: Ended,
    /// What AT-TLS did for it, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attls: Option<AtTls>,
}

/// The connection of a termination, 216 bytes.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Ended {
    /// `TTRName`, 8 characters: the job.
    pub jobname: String,
    /// `TTConnID`.
    pub connection_id: u32,
    /// `TTTTLSCS`.
    pub secure: SecureStatus,
    /// `TTTTLSPS`.
    pub policy: PolicyStatus,
    /// `TTSTime`, `TTSDate`, and `TTSSTCK` to the microsecond.
    pub started: DateTime<Utc>,
    /// `TTETime`, `TTEDate`, and `TTESTCK` to the microsecond.
    pub ended: DateTime<Utc>,
    /// `TTRIP`, `TTRPort`.
    pub remote: SocketAddr,
    /// `TTLIP`, `TTLPort`.
    pub local: SocketAddr,
    /// `TTInBytes`.
    pub bytes_in: u64,
    /// `TTOutBytes`.
    pub bytes_out: u64,
    /// `TTSWS`: the window that the peer offered last, bytes.
    pub send_window: u32,
    /// `TTCWS`: congestion window, bytes.
    pub congestion_window: u32,
    /// `TTSMS`: segment size, bytes.
    pub segment_size: u32,
    /// `TTRTT`, milliseconds.
    pub round_trip: u32,
    /// `TTRVA`: its variance, milliseconds.
    pub round_trip_variance: u32,
    /// `TTStatus`: whether this end opened it.
    pub active: bool,
    /// `TTXRT`: retransmissions.
    pub retransmissions: u16,
    /// `TTInSeg`.
    pub segments_in: u64,
    /// `TTOutSeg`.
    pub segments_out: u64,
    /// `TTDupAcksRcvd`.
    pub duplicate_acks: u32,
}

/// The AT-TLS section of a termination, 20 bytes.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct AtTls {
    /// `TTTTLSSP`: wire number of the version.
    pub version: u16,
    /// `TTTTLSNC4`: the suite, four hexadecimal digits; `TTTTLSNC` is `4X`, which points there.
    pub cipher: String,
    /// `TTTTLSST`: 1 client, 2 server, 3 to 5 server with client authentication (PassThru, Full or Required, SAFCheck).
    pub security_type: u8,
    /// `TTTTLSUID`, 8 characters: the partner's user.
    pub partner: String,
}

impl Initiation {
    /// The record, RDW included.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let section = Writer::default()
            .text::<8>(&self.jobname)
            .u32(self.connection_id)
            .reserved(8)
            .mapped(self.remote.ip())
            .mapped(self.local.ip())
            .u16(self.remote.port())
            .u16(self.local.port())
            .moment(Some(self.started))
            .u64(time::clock(self.started))
            .finish();
        assemble(&self.header, &[Some(self.identification.encode()), Some(section)])
    }

    /// Reads a whole record, RDW included.
    ///
    /// # Errors
    ///
    /// When it is not a 119-1 record or a section is cut short.
    pub fn decode(record: &[u8]) -> Result<Self, RecordError> {
        Self::read(&mut Sections::of_subtype(record, INITIATION)?)
    }

    pub(crate) fn read(sections: &mut Sections<'_>) -> Result<Self, RecordError> {
        let (identification, header) = (sections.identification()?, sections.header.clone());
        sections.required(1, "TCP connection initiation", "SMF119AP_TI", |reader| {
            let (jobname, connection_id) = (reader.text::<8>("RName")?, reader.x32("ConnID")?);
            reader.skip(4)?;
            let _ = reader.x32("SubTask")?;
            let (remote, local) = (reader.mapped("RIP")?, reader.mapped("LIP")?);
            let remote = SocketAddr::new(remote, reader.u16("RPort")?);
            let local = SocketAddr::new(local, reader.u16("LPort")?);
            let started = reader.moment("Time", "Date")??;
            let started = time::from_clock(reader.clock("STCK")?).unwrap_or(started);
            Some(Self { header, identification, jobname, connection_id, remote, local, started })
        })
    }
}

impl Termination {
    /// The record, RDW included.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let sections = [
            Some(self.identification.encode()),
            Some(self.connection.encode()),
            None,
            self.attls.as_ref().map(AtTls::encode),
            None,
        ];
        assemble(&self.header, &sections)
    }

    /// Reads a whole record, RDW included. Sections may be longer than this map knows: they grow at their ends.
    ///
    /// # Errors
    ///
    /// When it is not a 119-2 record or a section is cut short.
    pub fn decode(record: &[u8]) -> Result<Self, RecordError> {
        Self::read(&mut Sections::of_subtype(record, TERMINATION)?)
    }

    pub(crate) fn read(sections: &mut Sections<'_>) -> Result<Self, RecordError> {
        Ok(Self {
            identification: sections.identification()?,
            connection: sections.required(1, "TCP connection termination", "SMF119AP_TT", Ended::read)?,
            attls: sections.get(3, "AT-TLS", "SMF119AP_TTTTLS", AtTls::read)?,
            header: sections.header.clone(),
        })
    }
}

impl Ended {
    fn encode(&self) -> Vec<u8> {
        Writer::default()
            .text::<8>(&self.jobname)
            .u32(self.connection_id)
            .u8(self.secure.number())
            .u8(self.policy.number())
            .reserved(2) // TTTermCode: IBM's codes name events of its own stack
            .reserved(4)
            .moment(Some(self.started))
            .moment(Some(self.ended))
            .mapped(self.remote.ip())
            .mapped(self.local.ip())
            .u16(self.remote.port())
            .u16(self.local.port())
            .u64(self.bytes_in)
            .u64(self.bytes_out)
            .u32(self.send_window)
            .reserved(4) // TTMSWS: the kernel keeps no maximum
            .u32(self.congestion_window)
            .u32(self.segment_size)
            .u32(self.round_trip)
            .u32(self.round_trip_variance)
            .u8(u8::from(self.active))
            .reserved(1) // TTTOS
            .u16(self.retransmissions)
            .text::<32>("")
            .text::<32>("")
            .u64(self.segments_in)
            .u64(self.segments_out)
            .u64(time::clock(self.started))
            .u64(time::clock(self.ended))
            .u32(self.duplicate_acks)
            .finish()
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (jobname, connection_id) = (reader.text::<8>("RName")?, reader.x32("ConnID")?);
        let secure = SecureStatus::from_number(reader.u8("TTLSCS")?);
        let policy = PolicyStatus::from_number(reader.u8("TTLSPS")?);
        let _ = reader.x8("TermCode")?;
        reader.skip(1)?;
        let _ = reader.x32("Subtask")?;
        let started = reader.moment("STime", "SDate")??;
        let ended = reader.moment("ETime", "EDate")??;
        let (remote, local) = (reader.mapped("RIP")?, reader.mapped("LIP")?);
        let remote = SocketAddr::new(remote, reader.u16("RPort")?);
        let local = SocketAddr::new(local, reader.u16("LPort")?);
        let (bytes_in, bytes_out) = (reader.u64("InBytes")?, reader.u64("OutBytes")?);
        let (send_window, _) = (reader.u32("SWS")?, reader.u32("MSWS")?);
        let (congestion_window, segment_size) = (reader.u32("CWS")?, reader.u32("SMS")?);
        let (round_trip, round_trip_variance) = (reader.u32("RTT")?, reader.u32("RVA")?);
        let active = reader.u8("Status")? == 1;
        let _ = reader.x8("TOS")?;
        let retransmissions = reader.u16("XRT")?;
        let (_, _) = (reader.text::<32>("Prof")?, reader.text::<32>("Pol")?);
        let (segments_in, segments_out) = (reader.u64("InSeg")?, reader.u64("OutSeg")?);
        let started = time::from_clock(reader.clock("SSTCK")?).unwrap_or(started);
        let ended = time::from_clock(reader.clock("ESTCK")?).unwrap_or(ended);
        Some(Self {
            jobname,
            connection_id,
            secure,
            policy,
            started,
            ended,
            remote,
            local,
            bytes_in,
            bytes_out,
            send_window,
            congestion_window,
            segment_size,
            round_trip,
            round_trip_variance,
            active,
            retransmissions,
            segments_in,
            segments_out,
            duplicate_acks: reader.u32("DupAcksRcvd")?,
        })
    }
}

impl AtTls {
    fn encode(&self) -> Vec<u8> {
        Writer::default()
            .u16(self.version)
            .text::<2>("4X")
            .u8(self.security_type)
            .reserved(3)
            .text::<8>(&self.partner)
            .text::<4>(&self.cipher)
            .finish()
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (version, short) = (reader.x16("SP")?, reader.text::<2>("NC")?);
        let security_type = reader.u8("ST")?;
        reader.skip(3)?;
        let partner = reader.text::<8>("UID")?;
        // Before z/OS V2R1 the section ended here.
        let cipher = if reader.is_at_end() { short } else { reader.text::<4>("NC4")? };
        Some(Self { version, cipher, security_type, partner })
    }
}

impl SecureStatus {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::NotSecure => 1,
            Self::InProgress => 2,
            Self::Secure => 3,
            Self::Other(number) => number,
        }
    }

    pub(crate) fn from_number(number: u8) -> Self {
        match number {
            1 => Self::NotSecure,
            2 => Self::InProgress,
            3 => Self::Secure,
            number => Self::Other(number),
        }
    }
}

impl PolicyStatus {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::NotKnown => 0,
            Self::Off => 1,
            Self::NoPolicy => 2,
            Self::NotEnabled => 3,
            Self::Enabled => 4,
            Self::ApplicationControlled => 5,
            Self::Other(number) => number,
        }
    }

    pub(crate) fn from_number(number: u8) -> Self {
        match number {
            0 => Self::NotKnown,
            1 => Self::Off,
            2 => Self::NoPolicy,
            3 => Self::NotEnabled,
            4 => Self::Enabled,
            5 => Self::ApplicationControlled,
            number => Self::Other(number),
        }
    }
}
