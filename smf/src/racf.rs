//! Type 80: what RACF did. An access that was audited, a command.
//!
//! The fixed part is 98 bytes, RDW included; relocate sections follow it, each a data type, a length and its data.
//!
//! Source: *RACF Macros and Interfaces*, "Record type 80: RACF processing record". Offsets behind `SMF80GRP` and the data types of
//! relocate sections are from memory, see `docs/limits.md`.

use chrono::NaiveDateTime;
use serde::Serialize;

use crate::bytes::{Reader, Writer};
use crate::ebcdic;
use crate::error::RecordError;
use crate::field::Part;
use crate::time::{hundredths, moment, packed_date};

/// The record type.
pub const TYPE_80: u8 = 80;
/// The beginning of a session.
pub const JOBINIT: u8 = 1;
/// Resource access.
pub const ACCESS: u8 = 2;

/// New format, and the system bits every current system sets; no subtypes.
const FLAGS: u8 = 0x9E;
const LENGTH: u16 = 98;
/// `SMF80DES`.
const VIOLATION: u16 = 0x8000;
const UNDEFINED: u16 = 0x4000;
const WARNING: u16 = 0x1000;
/// Data types of relocate sections.
const RESOURCE: u8 = 1;
const INTENT: u8 = 3;
const ALLOWED: u8 = 4;
const NAME: u8 = 8;
const CLASS: u8 = 17;
const PROFILE: u8 = 33;
const LOGSTR: u8 = 46;
/// What the names of its fields begin with.
const PREFIX: &str = "SMF80";

/// Events by their codes.
const EVENTS: [(u8, &str); 26] = [
    (1, "JOBINIT"),
    (2, "ACCESS"),
    (3, "ADDVOL"),
    (4, "RENAMEDS"),
    (5, "DELRES"),
    (6, "DELVOL"),
    (7, "DEFINE"),
    (8, "ADDSD"),
    (9, "ADDGROUP"),
    (10, "ADDUSER"),
    (11, "ALTDSD"),
    (12, "ALTGROUP"),
    (13, "ALTUSER"),
    (14, "CONNECT"),
    (15, "DELDSD"),
    (16, "DELGROUP"),
    (17, "DELUSER"),
    (18, "PASSWORD"),
    (19, "PERMIT"),
    (20, "RALTER"),
    (21, "RDEFINE"),
    (22, "RDELETE"),
    (23, "REMOVE"),
    (24, "SETROPTS"),
    (25, "RVARY"),
    (66, "RACDCERT"),
];
/// Levels as one byte.
const LEVELS: [(u8, &str); 6] =
    [(0x80, "ALTER"), (0x40, "CONTROL"), (0x20, "UPDATE"), (0x10, "READ"), (0x08, "NONE"), (0x04, "EXECUTE")];

/// A type 80 record.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct RacfRecord {
    /// When it was made, local time, to the hundredth of a second (`SMF80TME`, `SMF80DTE`).
    pub written: NaiveDateTime,
    /// System id, 4 characters (`SMF80SID`).
    pub system: String,
    /// Event code (`SMF80EVT`).
    pub event: u8,
    /// Event code qualifier (`SMF80EVQ`): 0 done, 1 insufficient authority, 2 some operands ignored; of an access 3 let in by
    /// WARNING.
    pub qualifier: u8,
    /// `SMF80DES`: a violation.
    pub violation: bool,
    /// `SMF80DES`: the user is not defined to RACF.
    pub undefined: bool,
    /// `SMF80DES`: only a warning.
    pub warning: bool,
    /// Who (`SMF80USR`, 8 characters).
    pub userid: String,
    /// Its group (`SMF80GRP`, 8 characters).
    pub group: String,
    /// Authorities used (`SMF80ATH`): X'80' normal, X'40' SPECIAL, X'20' OPERATIONS, X'10' AUDITOR, X'01' trusted.
    pub authorities: u8,
    /// Why it is recorded (`SMF80REA`): X'80' SETROPTS AUDIT(class), X'40' UAUDIT, X'20' SAUDIT, X'10' the resource's own
    /// auditing, X'04' the command always is, X'02' CMDVIOL, X'01' GLOBALAUDIT.
    pub reasons: u8,
    /// The resource, or the profile a command names.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// Its class.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub class: String,
    /// The generic profile that decided.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub profile: String,
    /// The level asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub intent: String,
    /// The level held.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub allowed: String,
    /// The user's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What was done, in words: a command as it is recorded.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub log: String,
}

impl RacfRecord {
    /// The event's name, as IRRADU00 has it.
    #[must_use]
    pub fn event_name(&self) -> &'static str {
        EVENTS.iter().find(|(code, _)| *code == self.event).map_or("OTHER", |(_, name)| name)
    }

    /// The qualifier's name, as IRRADU00 has it.
    #[must_use]
    pub fn qualifier_name(&self) -> &'static str {
        match (self.event, self.qualifier) {
            (_, 0) => "SUCCESS",
            (JOBINIT, 6) => "REVKUSER",
            (JOBINIT, 9) => "UNDFUSER",
            (_, 1) => "INSAUTH",
            (ACCESS, 2 | 12) => "PROFNFND",
            (ACCESS, 3) => "WARNING",
            (_, 2) => "SOMEIGN",
            _ => "OTHER",
        }
    }

    /// The event code of a command; none of those that only list.
    #[must_use]
    pub fn event_of(command: &str) -> Option<u8> {
        EVENTS.iter().find(|(_, name)| *name == command).map(|(code, _)| *code)
    }

    /// The record, RDW included.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut sections = Vec::new();
        for (kind, text) in
            [(RESOURCE, &self.resource), (CLASS, &self.class), (PROFILE, &self.profile), (NAME, &self.name)]
        {
            if !text.is_empty() {
                sections.push((
                    kind,
                    text.chars().take(255).flat_map(|c| ebcdic::encode::<1>(c.encode_utf8(&mut [0; 4]))).collect(),
                ));
            }
        }
        // What is longer than a section goes on in the next.
        let log: Vec<u8> = self.log.chars().flat_map(|c| ebcdic::encode::<1>(c.encode_utf8(&mut [0; 4]))).collect();
        sections.extend(log.chunks(255).map(|part| (LOGSTR, part.to_vec())));
        for (kind, level) in [(INTENT, &self.intent), (ALLOWED, &self.allowed)] {
            let byte = LEVELS.iter().find(|(_, name)| name == level).map(|(byte, _)| *byte);
            sections.extend(byte.map(|byte| (kind, vec![byte])));
        }
        let length =
            usize::from(LENGTH) + sections.iter().map(|(_, data): &(u8, Vec<u8>)| 2 + data.len()).sum::<usize>();
        let bits = [(self.violation, VIOLATION), (self.undefined, UNDEFINED), (self.warning, WARNING)];
        let descriptor = bits.iter().filter(|(on, _)| *on).fold(0, |bits, (_, bit)| bits | bit);
        let offset = if sections.is_empty() { 0 } else { LENGTH };
        let mut writer = Writer::default()
            .u16(u16::try_from(length).unwrap_or(u16::MAX))
            .u16(0) // segment descriptor: complete
            .u8(FLAGS)
            .u8(TYPE_80)
            .u32(hundredths(self.written.time()))
            .u32(packed_date(self.written.date()))
            .text::<4>(&self.system)
            .u16(descriptor)
            .u8(self.event)
            .u8(self.qualifier)
            .text::<8>(&self.userid)
            .text::<8>(&self.group)
            .u16(offset)
            .u16(u16::try_from(sections.len()).unwrap_or(u16::MAX))
            .u8(self.authorities)
            .u8(self.reasons)
            .reserved(2) // terminal level, command errors
            .text::<8>("") // terminal
            .text::<8>("") // job name
            .reserved(8) // when the job was read
            .text::<8>("")
            .reserved(2)
            .text::<4>("")
            .text::<8>("") // security label
            .reserved(6);
        for (kind, data) in &sections {
            writer = writer.u8(*kind).u8(u8::try_from(data.len()).unwrap_or(u8::MAX));
            writer = data.iter().fold(writer, |writer, byte| writer.u8(*byte));
        }
        writer.finish()
    }

    /// Reads a record, RDW included. Relocate sections of other data types are passed over.
    ///
    /// # Errors
    ///
    /// [`RecordError::Header`] for another type, [`RecordError::Section`] when a section lies outside.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        Self::read(bytes, false).map(|(record, _)| record)
    }

    /// Its fields by their names.
    ///
    /// # Errors
    ///
    /// As [`RacfRecord::decode`].
    pub(crate) fn parts(bytes: &[u8]) -> Result<Vec<Part>, RecordError> {
        Self::read(bytes, true).map(|(_, parts)| parts)
    }

    fn read(bytes: &[u8], note: bool) -> Result<(Self, Vec<Part>), RecordError> {
        let mut parts = Vec::new();
        let mut reader = Reader::new(bytes, 0, PREFIX, note);
        let (mut record, offset, count) = Self::fixed(&mut reader).ok_or(RecordError::Header)?;
        parts.extend(reader.noted().map(|fields| Part { title: "RACF processing record", fields }));
        let section = RecordError::Section { section: "relocate" };
        let offset = usize::from(offset);
        let mut rest = match count {
            0 => &[],
            _ => bytes.get(offset..).ok_or_else(|| section.clone())?,
        };
        let mut log = Vec::new();
        for _ in 0..count {
            let mut reader = Reader::new(rest, bytes.len() - rest.len(), PREFIX, note);
            let length = record.section(&mut reader, &mut log).ok_or_else(|| section.clone())?;
            parts.extend(reader.noted().map(|fields| Part { title: "relocate section", fields }));
            rest = rest.get(length..).ok_or_else(|| section.clone())?;
        }
        record.log = ebcdic::decode(&log);
        Ok((record, parts))
    }

    fn fixed(reader: &mut Reader<'_>) -> Option<(Self, u16, u16)> {
        let (_, _, _) = (reader.u16("LEN")?, reader.x16("SEG")?, reader.x8("FLG")?);
        if reader.u8("RTY")? != TYPE_80 {
            return None;
        }
        let (time, date) = (reader.time("TME")?, reader.date("DTE")?);
        let (system, descriptor) = (reader.text::<4>("SID")?, reader.x16("DES")?);
        let (event, qualifier) = (reader.u8("EVT")?, reader.u8("EVQ")?);
        let (userid, group) = (reader.text::<8>("USR")?, reader.text::<8>("GRP")?);
        let (sections, count) = (reader.u16("REL")?, reader.u16("CNT")?);
        let (authorities, reasons) = (reader.x8("ATH")?, reader.x8("REA")?);
        let record = Self {
            written: moment(date, time)?,
            system,
            event,
            qualifier,
            violation: descriptor & VIOLATION != 0,
            undefined: descriptor & UNDEFINED != 0,
            warning: descriptor & WARNING != 0,
            userid,
            group,
            authorities,
            reasons,
            ..Self::default()
        };
        Some((record, sections, count))
    }

    /// Reads a relocate section and gives its length.
    fn section(&mut self, reader: &mut Reader<'_>, log: &mut Vec<u8>) -> Option<usize> {
        let (kind, length) = (reader.u8("DTP")?, usize::from(reader.u8("DLN")?));
        let text = |reader: &mut Reader<'_>| reader.sized_text("DTA", length);
        match kind {
            RESOURCE => self.resource = text(reader)?,
            CLASS => self.class = text(reader)?,
            PROFILE => self.profile = text(reader)?,
            NAME => self.name = text(reader)?,
            // A part of it may end in a blank.
            LOGSTR => log.extend(reader.raw_text("DTA", length)?),
            INTENT | ALLOWED => {
                let byte = reader.sized_bytes("DTA", length)?.first().copied().unwrap_or_default();
                let level = LEVELS.iter().find(|(known, _)| *known == byte).map_or("", |(_, name)| name).to_owned();
                if kind == INTENT { self.intent = level } else { self.allowed = level }
            }
            _ => {
                reader.sized_bytes("DTA", length)?;
            }
        }
        Some(2 + length)
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use proptest::prelude::*;

    use super::*;

    fn refused() -> RacfRecord {
        RacfRecord {
            written: NaiveDate::from_ymd_opt(2026, 11, 28)
                .and_then(|day| day.and_hms_milli_opt(12, 0, 0, 250))
                .expect("a moment"),
            system: "SYSA".to_owned(),
            event: ACCESS,
            qualifier: 1,
            violation: true,
            userid: "ALICE".to_owned(),
            group: "SYS1".to_owned(),
            authorities: 0x80,
            reasons: 0x10,
            resource: "EZB.PAGENT.SYSA.TCPIP.TTLS".to_owned(),
            class: "SERVAUTH".to_owned(),
            profile: "EZB.**".to_owned(),
            intent: "READ".to_owned(),
            allowed: "NONE".to_owned(),
            name: "A. LIDDELL".to_owned(),
            ..RacfRecord::default()
        }
    }

    #[test]
    fn the_fixed_part_lies_where_the_manual_has_it() {
        let bytes = refused().encode();
        assert_eq!(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])), bytes.len());
        assert_eq!((bytes[5], bytes[20], bytes[21]), (80, 2, 1));
        assert_eq!(ebcdic::decode(&bytes[22..30]), "ALICE");
        assert_eq!(ebcdic::decode(&bytes[30..38]), "SYS1");
        assert_eq!(u16::from_be_bytes([bytes[38], bytes[39]]), 98);
        assert_eq!((refused().event_name(), refused().qualifier_name()), ("ACCESS", "INSAUTH"));
    }

    #[test]
    fn a_record_comes_back_the_same_and_sections_outside_are_told() {
        let bytes = refused().encode();
        assert_eq!(RacfRecord::decode(&bytes), Ok(refused()));
        let cut = bytes.get(..bytes.len() - 1).expect("bytes");
        assert_eq!(RacfRecord::decode(cut), Err(RecordError::Section { section: "relocate" }));
        assert_eq!(RacfRecord::decode(&[0; 200]), Err(RecordError::Header));
        let plain = RacfRecord { event: 24, log: "SETROPTS LIST ".repeat(100).trim_end().to_owned(), ..refused() };
        assert_eq!(RacfRecord::decode(&plain.encode()), Ok(plain));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0_usize..200) {
            let _ = RacfRecord::decode(&bytes);
            let mut record = refused().encode();
            for (place, byte) in record.iter_mut().skip(cut).zip(&bytes) {
                *place = *byte;
            }
            let _ = RacfRecord::decode(&record);
        }
    }
}
