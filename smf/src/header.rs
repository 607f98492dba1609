//! What every type 119 record begins with: RDW and header; the identification section.

use chrono::NaiveDateTime;
use serde::Serialize;

use crate::bytes::{Reader, Writer};
use crate::error::RecordError;
use crate::frame::TYPE_119;
use crate::time::{hundredths, moment, packed_date};

/// Length of RDW and header.
pub(crate) const LENGTH: usize = 24;
/// New format, subtypes used, and the system bits every current system sets.
const FLAGS: u8 = 0xDE;
const SUBTYPES_USED: u8 = 0x40;
/// What the names of its fields begin with.
pub(crate) const PREFIX: &str = "SMF119HD";

/// RDW and standard header, 24 bytes.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Header {
    /// When the record was made, local time, to the hundredth of a second (`SMF119HDTime`, `SMF119HDDate`).
    pub written: NaiveDateTime,
    /// System id, 4 characters (`SMF119HDSID`).
    pub system: String,
    /// Subsystem id, 4 characters (`SMF119HDSSI`).
    pub subsystem: String,
    /// Subtype (`SMF119HDSubType`).
    pub subtype: u16,
}

impl Header {
    pub(crate) fn encode(&self, length: u16) -> Vec<u8> {
        Writer::default()
            .u16(length)
            .u16(0) // segment descriptor: complete
            .u8(FLAGS)
            .u8(TYPE_119)
            .u32(hundredths(self.written.time()))
            .u32(packed_date(self.written.date()))
            .text::<4>(&self.system)
            .text::<4>(&self.subsystem)
            .u16(self.subtype)
            .finish()
    }

    /// Reads the header of a whole record, RDW included.
    ///
    /// # Errors
    ///
    /// [`RecordError::Header`] for another type or a record without subtype.
    pub fn decode(record: &[u8]) -> Result<Self, RecordError> {
        Self::read(&mut Reader::new(record, 0, PREFIX, false)).ok_or(RecordError::Header)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (_, _) = (reader.u16("Length")?, reader.x16("SegDesc")?);
        let (flags, kind) = (reader.x8("Flags")?, reader.u8("Type")?);
        if kind != TYPE_119 || flags & SUBTYPES_USED == 0 {
            return None;
        }
        let (time, date) = (reader.time("Time")?, reader.date("Date")?);
        Some(Self {
            written: moment(date, time)?,
            system: reader.text::<4>("SID")?,
            subsystem: reader.text::<4>("SSI")?,
            subtype: reader.u16("SubType")?,
        })
    }
}

/// TCP/IP identification section, 64 bytes.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Identification {
    /// `SMF119TI_SYSName`, 8 characters.
    pub system: String,
    /// `SMF119TI_SysplexName`, 8 characters.
    pub sysplex: String,
    /// `SMF119TI_Stack`, 8 characters.
    pub stack: String,
    /// `SMF119TI_ReleaseID`, 8 characters.
    pub release: String,
    /// `SMF119TI_Comp`, 8 characters; zERT's is STACK.
    pub component: String,
    /// `SMF119TI_ASName`, 8 characters: the writer.
    pub address_space: String,
    /// `SMF119TI_UserID`, 8 characters.
    pub userid: String,
    /// `SMF119TI_ASID`.
    pub asid: u16,
    /// `SMF119TI_Reason`: X'08' for an event record.
    pub reason: u8,
}

impl Identification {
    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::default()
            .text::<8>(&self.system)
            .text::<8>(&self.sysplex)
            .text::<8>(&self.stack)
            .text::<8>(&self.release)
            .text::<8>(&self.component)
            .text::<8>(&self.address_space)
            .text::<8>(&self.userid)
            .reserved(2)
            .u16(self.asid)
            .u8(self.reason)
            .reserved(3)
            .finish()
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (system, sysplex) = (reader.text::<8>("SYSName")?, reader.text::<8>("SysplexName")?);
        let (stack, release) = (reader.text::<8>("Stack")?, reader.text::<8>("ReleaseID")?);
        let (component, address_space) = (reader.text::<8>("Comp")?, reader.text::<8>("ASName")?);
        let userid = reader.text::<8>("UserID")?;
        reader.skip(2)?;
        let (asid, reason) = (reader.u16("ASID")?, reader.x8("Reason")?);
        Some(Self { system, sysplex, stack, release, component, address_space, userid, asid, reason })
    }
}
