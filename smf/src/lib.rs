//! SMF type 119 and type 80 records: framing, the common header, the maps, in both directions.
//!
//! This crate is pure: records are made from and read into bytes; files and clocks are the caller's. Numbers are
//! big-endian, text is EBCDIC (code page 1047), addresses of zERT records are not IPv4-mapped.
//!
//! Source: *z/OS Communications Server: IP Programmer's Guide and Reference*, "Type 119 SMF records"; *z/OS MVS System
//! Management Facilities (SMF)* for the header. What IBM's maps do not say is marked in the field's comment and listed
//! in `docs/limits.md`.

mod bytes;
pub mod detail;
mod dump;
pub mod ebcdic;
mod error;
mod frame;
pub mod header;
pub mod racf;
pub mod summary;

pub use detail::ConnectionDetail;
pub use dump::{Dump, DumpError, Output};
pub use error::RecordError;
pub use frame::{Frames, TYPE_119};
pub use header::{Header, Identification};
pub use racf::RacfRecord;
pub use summary::SessionSummary;
