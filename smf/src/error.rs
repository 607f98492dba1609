//! What can be wrong with a record.

/// Why bytes are no record, and where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RecordError {
    /// The data ends inside a record.
    #[error("the record at offset {offset} says {length} bytes and the data ends after {have}; the file was cut")]
    Truncated {
        /// Where the record begins.
        offset: usize,
        /// Its length field.
        length: usize,
        /// What is there.
        have: usize,
    },
    /// A length field that cannot be.
    #[error(
        "the record at offset {offset} says {length} bytes; a record has at least 18. Is this an RDW-framed SMF file?"
    )]
    Length {
        /// Where the record begins.
        offset: usize,
        /// Its length field.
        length: usize,
    },
    /// The header's fields do not fit together.
    #[error("the header is not that of a type 119 record with subtypes")]
    Header,
    /// A section lies outside its record.
    #[error("the {section} section lies outside the record or is too short")]
    Section {
        /// Which.
        section: &'static str,
    },
}
