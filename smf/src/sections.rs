//! The self-defining section, and the sections that it tells of.

use crate::bytes::{Reader, Writer};
use crate::error::RecordError;
use crate::field::Part;
use crate::header::{self, Header, Identification};

/// What IBM's maps call the triplets.
const TRIPLETS: [&str; 10] = ["ID", "S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9"];

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
    let mut offset = header::LENGTH + 4 + 8 * sections.len();
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

/// The sections of a record, and what was read of them.
pub(crate) struct Sections<'a> {
    record: &'a [u8],
    /// The record's header.
    pub(crate) header: Header,
    triplets: Vec<Triplet>,
    /// The fields read so far, where somebody wants to see them.
    parts: Option<Vec<Part>>,
}

impl<'a> Sections<'a> {
    /// The header of a record, RDW included, and where its sections lie. `note`: its fields are noted as they are read.
    pub(crate) fn of(record: &'a [u8], note: bool) -> Result<Self, RecordError> {
        let mut reader = Reader::new(record, 0, header::PREFIX, note);
        let header = Header::read(&mut reader).ok_or(RecordError::Header)?;
        let mut parts = reader.noted().map(|fields| vec![Part { title: "SMF header", fields }]);
        let body = record.get(header::LENGTH..).unwrap_or_default();
        let mut reader = Reader::new(body, header::LENGTH, "SMF119", note);
        let triplets = triplets(&mut reader).ok_or(RecordError::Header)?;
        if let (Some(parts), Some(fields)) = (&mut parts, reader.noted()) {
            parts.push(Part { title: "self-defining section", fields });
        }
        Ok(Self { record, header, triplets, parts })
    }

    /// The same of a record that has to be of a subtype.
    pub(crate) fn of_subtype(record: &'a [u8], subtype: u16) -> Result<Self, RecordError> {
        Self::of(record, false).and_then(|sections| {
            if sections.header.subtype == subtype { Ok(sections) } else { Err(RecordError::Header) }
        })
    }

    /// The first section of a kind; none when it is absent. Any zero in a triplet means absent. `prefix`: what the names of
    /// its fields begin with.
    pub(crate) fn get<T>(
        &mut self,
        index: usize,
        title: &'static str,
        prefix: &'static str,
        read: impl FnOnce(&mut Reader<'a>) -> Option<T>,
    ) -> Result<Option<T>, RecordError> {
        let present = |triplet: &&Triplet| triplet.offset != 0 && triplet.length != 0 && triplet.count != 0;
        let Some(triplet) = self.triplets.get(index).filter(present) else { return Ok(None) };
        let error = || RecordError::Section { section: title };
        let start = triplet.offset as usize;
        let bytes = self.record.get(start..start.saturating_add(usize::from(triplet.length))).ok_or_else(error)?;
        let mut reader = Reader::new(bytes, start, prefix, self.parts.is_some());
        let found = read(&mut reader).ok_or_else(error)?;
        if let (Some(parts), Some(fields)) = (&mut self.parts, reader.noted()) {
            parts.push(Part { title, fields });
        }
        Ok(Some(found))
    }

    /// The same of a section that every record has.
    pub(crate) fn required<T>(
        &mut self,
        index: usize,
        title: &'static str,
        prefix: &'static str,
        read: impl FnOnce(&mut Reader<'a>) -> Option<T>,
    ) -> Result<T, RecordError> {
        self.get(index, title, prefix, read)?.ok_or(RecordError::Section { section: title })
    }

    /// The section that every record has first.
    pub(crate) fn identification(&mut self) -> Result<Identification, RecordError> {
        self.required(0, "identification", "SMF119TI_", Identification::read)
    }

    /// What was noted.
    pub(crate) fn parts(self) -> Vec<Part> {
        self.parts.unwrap_or_default()
    }
}

fn triplets(reader: &mut Reader<'_>) -> Option<Vec<Triplet>> {
    let count = reader.u16("SD_TRN")?;
    reader.skip(2)?;
    let mut triplets = Vec::new();
    for index in 0..usize::from(count) {
        let name = TRIPLETS.get(index).copied().unwrap_or("S_");
        triplets.push(reader.within(name, |reader| {
            Some(Triplet { offset: reader.u32("Off")?, length: reader.u16("Len")?, count: reader.u16("Num")? })
        })?);
    }
    Some(triplets)
}
