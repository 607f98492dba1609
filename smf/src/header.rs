//! What every type 119 record begins with: RDW and header, the self-defining section, the identification section.

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, Timelike as _, Utc};
use serde::Serialize;

use crate::bytes::{Reader, Writer};
use crate::error::RecordError;
use crate::frame::TYPE_119;

/// Length of RDW and header.
pub(crate) const LENGTH: usize = 24;
/// New format, subtypes used, and the system bits every current system sets.
const FLAGS: u8 = 0xDE;
const SUBTYPES_USED: u8 = 0x40;

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
        Self::read(record).ok_or(RecordError::Header)
    }

    fn read(record: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(record);
        reader.skip(4)?;
        let (flags, kind) = (reader.u8()?, reader.u8()?);
        if kind != TYPE_119 || flags & SUBTYPES_USED == 0 {
            return None;
        }
        let (time, date) = (reader.u32()?, reader.u32()?);
        Some(Self {
            written: moment(date, time)?,
            system: reader.text::<4>()?,
            subsystem: reader.text::<4>()?,
            subtype: reader.u16()?,
        })
    }
}

/// Where the sections of one kind lie. An absent kind is all zeros.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Triplet {
    /// From the start of the record, RDW included.
    offset: u32,
    /// Of one section.
    length: u16,
    /// Sections that follow one another.
    count: u16,
}

/// Puts a record together: header, self-defining section, then the sections, each of which may be absent.
pub(crate) fn assemble(header: &Header, sections: &[Option<Vec<u8>>]) -> Vec<u8> {
    let count = u16::try_from(sections.len()).unwrap_or(u16::MAX);
    let mut offset = LENGTH + 4 + 8 * sections.len();
    let mut writer = Writer::default().u16(count).u16(0);
    let mut body = Vec::new();
    for section in sections {
        let triplet = match section {
            Some(bytes) => Triplet {
                offset: u32::try_from(offset).unwrap_or(u32::MAX),
                length: u16::try_from(bytes.len()).unwrap_or(u16::MAX),
                count: 1,
            },
            None => Triplet::default(),
        };
        writer = writer.u32(triplet.offset).u16(triplet.length).u16(triplet.count);
        if let Some(bytes) = section {
            offset += bytes.len();
            body.extend_from_slice(bytes);
        }
    }
    let mut record = header.encode(u16::try_from(offset).unwrap_or(u16::MAX));
    record.extend_from_slice(&writer.finish());
    record.extend_from_slice(&body);
    record
}

/// The sections of a record of one subtype.
pub(crate) struct Sections<'a> {
    record: &'a [u8],
    triplets: Vec<Triplet>,
}

impl<'a> Sections<'a> {
    /// The header of a record, RDW included, and its sections.
    pub(crate) fn read(record: &'a [u8], subtype: u16) -> Result<(Header, Self), RecordError> {
        let header = Header::decode(record)?;
        let triplets = triplets(record).filter(|_| header.subtype == subtype).ok_or(RecordError::Header)?;
        Ok((header, Self { record, triplets }))
    }

    /// The first section of a kind; none when it is absent. Any zero in a triplet means absent.
    pub(crate) fn get<T>(
        &self,
        index: usize,
        section: &'static str,
        decode: impl FnOnce(&'a [u8]) -> Option<T>,
    ) -> Result<Option<T>, RecordError> {
        let present = |triplet: &&Triplet| triplet.offset != 0 && triplet.length != 0 && triplet.count != 0;
        let Some(triplet) = self.triplets.get(index).filter(present) else { return Ok(None) };
        let start = triplet.offset as usize;
        let bytes = self.record.get(start..start.saturating_add(usize::from(triplet.length)));
        bytes.and_then(decode).map(Some).ok_or(RecordError::Section { section })
    }

    /// The same of a section that every record has.
    pub(crate) fn required<T>(
        &self,
        index: usize,
        section: &'static str,
        decode: impl FnOnce(&'a [u8]) -> Option<T>,
    ) -> Result<T, RecordError> {
        self.get(index, section, decode)?.ok_or(RecordError::Section { section })
    }
}

fn triplets(record: &[u8]) -> Option<Vec<Triplet>> {
    let mut reader = Reader::new(record.get(LENGTH..)?);
    let count = reader.u16()?;
    reader.skip(2)?;
    (0..count).map(|_| Some(Triplet { offset: reader.u32()?, length: reader.u16()?, count: reader.u16()? })).collect()
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

    pub(crate) fn decode(section: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(section);
        let mut text = || reader.text::<8>();
        let (system, sysplex, stack, release) = (text()?, text()?, text()?, text()?);
        let (component, address_space, userid) = (text()?, text()?, text()?);
        reader.skip(2)?;
        let (asid, reason) = (reader.u16()?, reader.u8()?);
        Some(Self { system, sysplex, stack, release, component, address_space, userid, asid, reason })
    }
}

/// Hundredths of a second since midnight.
pub(crate) fn hundredths(time: NaiveTime) -> u32 {
    // A leap second's nanoseconds reach past a second; SMF has no such time.
    time.num_seconds_from_midnight() * 100 + (time.nanosecond() / 10_000_000).min(99)
}

/// `0cyydddF`: century, year, day of year, sign.
pub(crate) fn packed_date(date: NaiveDate) -> u32 {
    let year = u32::try_from(date.year().clamp(1900, 2099)).unwrap_or(1900);
    let (century, year, day) = ((year - 1900) / 100, year % 100, date.ordinal());
    let digits = [century, year / 10, year % 10, day / 100, day / 10 % 10, day % 10, 0xF];
    digits.iter().fold(0, |packed, digit| packed << 4 | digit)
}

/// The moment of a packed date and hundredths of a second.
pub(crate) fn moment(date: u32, hundredths: u32) -> Option<NaiveDateTime> {
    let digit = |position: u32| Some(date >> (4 * position) & 0xF).filter(|&digit| digit < 10);
    let year = 1900 + 100 * digit(6)? + 10 * digit(5)? + digit(4)?;
    let day = 100 * digit(3)? + 10 * digit(2)? + digit(1)?;
    let date = NaiveDate::from_yo_opt(i32::try_from(year).ok()?, day)?;
    let time = NaiveTime::from_num_seconds_from_midnight_opt(hundredths / 100, hundredths % 100 * 10_000_000)?;
    Some(date.and_time(time))
}

/// A UTC moment as zERT sections carry it: hundredths and packed date.
pub(crate) fn split(time: DateTime<Utc>) -> (u32, u32) {
    let naive = time.naive_utc();
    (hundredths(naive.time()), packed_date(naive.date()))
}

/// The moment of a zERT section; none when the date is zero.
pub(crate) fn joined(time: u32, date: u32) -> Option<DateTime<Utc>> {
    if date == 0 { None } else { moment(date, time).map(|moment| moment.and_utc()) }
}
