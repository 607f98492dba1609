//! The certificates' distinguished names: entries of their own lengths behind one another.

use serde::Serialize;

use crate::bytes::{Reader, Writer};
use crate::ebcdic;

/// The longest name in an entry.
const LONGEST: usize = 1024;
/// Length and type of an entry.
const HEAD: usize = 4;

/// A name, and whose it is.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize)]
pub struct CertificateName {
    /// `DN_Type`: 5 subject and 6 issuer of a TLS server's certificate, 7 and 8 of a TLS client's; 1 to 4 and 9 to 12 of IPsec's and
    /// SSH's.
    pub kind: u16,
    /// The name, at most 1024 characters.
    pub name: String,
}

pub(crate) fn encode(names: &[CertificateName]) -> Option<Vec<u8>> {
    if names.is_empty() {
        return None;
    }
    let mut bytes = Vec::new();
    for name in names {
        let text: String = name.name.chars().take(LONGEST).collect();
        let encoded = ebcdic::encode::<LONGEST>(&text);
        let encoded = encoded.get(..text.chars().count()).unwrap_or_default();
        let length = u16::try_from(HEAD + encoded.len()).unwrap_or(u16::MAX);
        bytes.extend(Writer::default().u16(length).u16(name.kind).raw(encoded).finish());
    }
    Some(bytes)
}

/// The entries of a section, by their own lengths.
pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Vec<CertificateName>> {
    let mut names = Vec::new();
    while !reader.is_at_end() {
        let (length, kind) = (usize::from(reader.u16("Len")?), reader.u16("Type")?);
        names.push(CertificateName { kind, name: reader.sized_text("DN", length.checked_sub(HEAD)?)? });
    }
    Some(names)
}
