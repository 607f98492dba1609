//! The records of a sequential file, as text or in EBCDIC, with their places.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use smf::ebcdic;

use super::Layout;

/// No record is longer (LRECL=4096), with room for what transfers add.
const MAX_LENGTH: u64 = 8192;

/// How records are told apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    /// Lines of ASCII or UTF-8; other bytes are taken as Latin-1.
    Text,
    /// Lines of EBCDIC, ended by NEL, LF or ASCII's LF.
    Ebcdic,
    /// EBCDIC behind record descriptor words (RECFM=VB, transferred in binary with them).
    Variable,
}

/// The records of a file.
pub(super) struct Records {
    input: BufReader<File>,
    form: Form,
    number: u64,
    offset: u64,
    /// The file's length in bytes.
    pub(super) length: u64,
}

/// A record.
pub(super) struct Record {
    /// Which record it is, from 1: for text the line.
    pub(super) number: u64,
    /// Where it begins, in bytes.
    pub(super) offset: u64,
    pub(super) text: String,
    /// Too long to be one.
    pub(super) cut: bool,
}

impl Records {
    /// Opens a file; what it holds is seen from its first bytes.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut input = BufReader::with_capacity(1 << 20, file);
        let form = match input.fill_buf()? {
            [0xF0..=0xF9, ..] => Form::Ebcdic,
            [_, _, 0, 0, 0xF0..=0xF9, ..] => Form::Variable,
            _ => Form::Text,
        };
        Ok(Self { input, form, number: 0, offset: 0, length })
    }

    /// The next record; none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        let offset = self.offset;
        let mut bytes = Vec::new();
        let mut cut = false;
        match self.form {
            Form::Variable => {
                let mut descriptor = [0; 4];
                match self.input.read_exact(&mut descriptor) {
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                    other => other?,
                }
                let length = u64::from(u16::from_be_bytes([descriptor[0], descriptor[1]])).saturating_sub(4);
                let read = self.input.by_ref().take(length).read_to_end(&mut bytes)? as u64;
                cut = read < length;
                self.offset += 4 + read;
            }
            form => {
                let mut ended = false;
                while !ended {
                    let buffer = self.input.fill_buf()?;
                    if buffer.is_empty() {
                        break;
                    }
                    let is_end = |byte: &u8| match form {
                        Form::Ebcdic => [0x15, 0x25, b'\n'].contains(byte),
                        _ => *byte == b'\n',
                    };
                    let end = buffer.iter().position(is_end);
                    let taken = end.unwrap_or(buffer.len());
                    let room = usize::try_from(MAX_LENGTH).unwrap_or(usize::MAX).saturating_sub(bytes.len());
                    cut |= taken > room;
                    bytes.extend_from_slice(buffer.get(..taken.min(room)).unwrap_or_default());
                    ended = end.is_some();
                    let consumed = taken + usize::from(ended);
                    self.offset += consumed as u64;
                    self.input.consume(consumed);
                }
                if !ended && bytes.is_empty() && self.offset == offset {
                    return Ok(None);
                }
            }
        }
        self.number += 1;
        let text = match self.form {
            Form::Text => match String::from_utf8(bytes) {
                Ok(text) => text,
                Err(error) => error.into_bytes().into_iter().map(char::from).collect(),
            },
            _ => ebcdic::decode(&bytes),
        };
        // No field holds control characters; PostgreSQL stores no NUL.
        let text = text.trim_end().replace(|c: char| c.is_control(), " ");
        Ok(Some(Record { number: self.number, offset, text, cut }))
    }

    /// How far it is read, in bytes.
    pub(super) fn position(&self) -> u64 {
        self.offset
    }
}

impl Record {
    /// The record type.
    pub(super) fn kind(&self) -> &str {
        self.text.get(..4).unwrap_or_default()
    }

    /// A field without the blanks around it; trailing blanks of the record may be missing.
    pub(super) fn field(&self, layout: &Layout, name: &str) -> String {
        let Some((from, to)) = layout.columns(name) else { return String::new() };
        if self.text.is_ascii() {
            let to = to.min(self.text.len());
            return self.text.get(from - 1..to).unwrap_or_default().trim().to_owned();
        }
        let characters = self.text.chars().skip(from - 1).take(to + 1 - from);
        characters.collect::<String>().trim().to_owned()
    }
}
