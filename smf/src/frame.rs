//! A dump as a stream of records, each behind its record descriptor word.
//!
//! The RDW is two bytes of length, itself included, and two bytes of segment descriptor; SMF counts it as the first
//! four bytes of the header.

use crate::error::RecordError;

/// The record type of TCP/IP.
pub const TYPE_119: u8 = 119;

/// The records of a dump, one after another, RDW included.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Frames<'a> {
    /// The records of an RDW-framed dump.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<&'a [u8], RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.offset..).filter(|rest| !rest.is_empty())?;
        let offset = self.offset;
        // After an error nothing can be found again: there is no mark between records.
        self.offset = self.bytes.len();
        let Some(length) = rest.first_chunk::<2>().map(|bytes| usize::from(u16::from_be_bytes(*bytes))) else {
            return Some(Err(RecordError::Truncated { offset, length: 2, have: rest.len() }));
        };
        if length < 18 {
            return Some(Err(RecordError::Length { offset, length }));
        }
        let Some(record) = rest.get(..length) else {
            return Some(Err(RecordError::Truncated { offset, length, have: rest.len() }));
        };
        self.offset = offset + length;
        Some(Ok(record))
    }
}
