//! Subtype 100: what AT-TLS did for a connection. **Ours**: z/OS tells of AT-TLS in 119-2 and 119-11 only, and what it has as subtype
//! 100 (a transfer of the FTP server begins) goes to no data set. The layout is ours too; its numbers are those of 119-2.

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::bytes::{Reader, Writer};
use crate::error::RecordError;
use crate::header::{Header, Identification};
use crate::sections::{Sections, assemble};
use crate::tcp::{PolicyStatus, SecureStatus};

/// The subtype.
pub const SUBTYPE: u16 = 100;

const RESUMED: u8 = 0x80;
const FIPS: u8 = 0x40;
const SECONDARY: u8 = 0x20;

/// What happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum Event {
    /// 1: its handshake is complete.
    Secured,
    /// 2: its handshake failed, and the connection is cut.
    Failed,
    /// 3: it ended.
    Ended,
    /// Another number.
    Other(u8),
}

/// A 119-100 record.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct PolicyEvent {
    /// RDW and header.
    pub header: Header,
    /// Who wrote it.
    pub identification: Identification,
    /// `Event`.
    pub event: Event,
    /// `Status`.
    pub secure: SecureStatus,
    /// `PolicyStatus`.
    pub policy: PolicyStatus,
    /// `SecurityType`, as in 119-2: 0 none, 1 client, 2 server, 3 to 5 server with client authentication.
    pub security_type: u8,
    /// `Protocol`: wire number of the version, 0 for none.
    pub version: u16,
    /// `Group`: IANA number of the named group, 0 for none.
    pub group: u16,
    /// `Cipher`: the suite, four hexadecimal digits.
    pub cipher: String,
    /// `Flags` X'80': a session was resumed.
    pub resumed: bool,
    /// X'40': FIPS 140-3 approves what was negotiated.
    pub fips: bool,
    /// X'20': it has the rule of another connection of its program.
    pub secondary: bool,
    /// `Jobname`, 8 characters.
    pub jobname: String,
    /// `UserID`, 8 characters.
    pub userid: String,
    /// `Partner`, 8 characters: the user of the peer's certificate.
    pub partner: String,
    /// `STime`, `SDate`: when the connection began.
    pub started: DateTime<Utc>,
    /// `ETime`, `EDate`: when this happened.
    pub happened: DateTime<Utc>,
    /// `RIP`, `RPort`.
    pub remote: SocketAddr,
    /// `LIP`, `LPort`.
    pub local: SocketAddr,
    /// `ConnID`.
    pub connection_id: u32,
    /// `Rule`, 48 characters.
    pub rule: String,
    /// `EnvironmentAction`, 48 characters.
    pub environment: String,
    /// `InBytes`: clear text from the peer.
    pub bytes_in: u64,
    /// `OutBytes`: clear text to it.
    pub bytes_out: u64,
    /// `Reason`, 80 characters: why it failed or was cut.
    pub reason: String,
}

impl PolicyEvent {
    /// The record, RDW included.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let event = match self.event {
            Event::Secured => 1,
            Event::Failed => 2,
            Event::Ended => 3,
            Event::Other(number) => number,
        };
        let flags = [(self.resumed, RESUMED), (self.fips, FIPS), (self.secondary, SECONDARY)];
        let flags = flags.iter().filter(|(on, _)| *on).fold(0, |flags, (_, bit)| flags | bit);
        let section = Writer::default()
            .u8(event)
            .u8(self.secure.number())
            .u8(self.policy.number())
            .u8(self.security_type)
            .u16(self.version)
            .u16(self.group)
            .text::<4>(&self.cipher)
            .u8(flags)
            .reserved(3)
            .text::<8>(&self.jobname)
            .text::<8>(&self.userid)
            .text::<8>(&self.partner)
            .moment(Some(self.started))
            .moment(Some(self.happened))
            .mapped(self.remote.ip())
            .mapped(self.local.ip())
            .u16(self.remote.port())
            .u16(self.local.port())
            .u32(self.connection_id)
            .text::<48>(&self.rule)
            .text::<48>(&self.environment)
            .u64(self.bytes_in)
            .u64(self.bytes_out)
            .text::<80>(&self.reason)
            .finish();
        assemble(&self.header, &[Some(self.identification.encode()), Some(section)])
    }

    /// Reads a whole record, RDW included.
    ///
    /// # Errors
    ///
    /// When it is not a 119-100 record of ours or a section is cut short.
    pub fn decode(record: &[u8]) -> Result<Self, RecordError> {
        Self::read(&mut Sections::of_subtype(record, SUBTYPE)?)
    }

    pub(crate) fn read(sections: &mut Sections<'_>) -> Result<Self, RecordError> {
        let (identification, header) = (sections.identification()?, sections.header.clone());
        sections.required(1, "AT-TLS event", "SMF119TL_", |reader| Self::section(reader, header, identification))
    }

    fn section(reader: &mut Reader<'_>, header: Header, identification: Identification) -> Option<Self> {
        let event = match reader.u8("Event")? {
            1 => Event::Secured,
            2 => Event::Failed,
            3 => Event::Ended,
            number => Event::Other(number),
        };
        let secure = SecureStatus::from_number(reader.u8("Status")?);
        let policy = PolicyStatus::from_number(reader.u8("PolicyStatus")?);
        let security_type = reader.u8("SecurityType")?;
        let (version, group) = (reader.x16("Protocol")?, reader.x16("Group")?);
        let (cipher, flags) = (reader.text::<4>("Cipher")?, reader.x8("Flags")?);
        reader.skip(3)?;
        let (jobname, userid) = (reader.text::<8>("Jobname")?, reader.text::<8>("UserID")?);
        let partner = reader.text::<8>("Partner")?;
        let started = reader.moment("STime", "SDate")??;
        let happened = reader.moment("ETime", "EDate")??;
        let (remote, local) = (reader.mapped("RIP")?, reader.mapped("LIP")?);
        let remote = SocketAddr::new(remote, reader.u16("RPort")?);
        let local = SocketAddr::new(local, reader.u16("LPort")?);
        Some(Self {
            header,
            identification,
            event,
            secure,
            policy,
            security_type,
            version,
            group,
            cipher,
            resumed: flags & RESUMED != 0,
            fips: flags & FIPS != 0,
            secondary: flags & SECONDARY != 0,
            jobname,
            userid,
            partner,
            started,
            happened,
            remote,
            local,
            connection_id: reader.x32("ConnID")?,
            rule: reader.text::<48>("Rule")?,
            environment: reader.text::<48>("EnvironmentAction")?,
            bytes_in: reader.u64("InBytes")?,
            bytes_out: reader.u64("OutBytes")?,
            reason: reader.text::<80>("Reason")?,
        })
    }
}
