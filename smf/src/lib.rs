//! SMF type 119 and type 80 records: framing, the common header, the maps, in both directions.
//!
//! This crate is pure: records are made from and read into bytes; files and clocks are the caller's. Numbers are
//! big-endian, text is EBCDIC (code page 1047); IPv4 addresses are mapped to IPv6 but in zERT records.
//!
//! Source: *z/OS Communications Server: IP Programmer's Guide and Reference*, "Type 119 SMF records"; *z/OS MVS System
//! Management Facilities (SMF)* for the header. What IBM's maps do not say is marked in the field's comment and listed
//! in `docs/limits.md`.

pub mod attls;
mod bytes;
pub mod detail;
mod dump;
pub mod ebcdic;
mod error;
mod field;
mod frame;
pub mod ftp;
pub mod header;
pub mod racf;
mod record;
mod sections;
pub mod summary;
pub mod tcp;
mod time;

pub use attls::PolicyEvent;
pub use detail::ConnectionDetail;
pub use dump::{Dump, DumpError, Output};
pub use error::RecordError;
pub use field::{Field, Part, Value};
pub use frame::{Frames, TYPE_119};
pub use ftp::{ClientTransfer, ServerTransfer};
pub use header::{Header, Identification};
pub use racf::RacfRecord;
pub use record::Record;
pub use summary::SessionSummary;
pub use tcp::{Initiation, Termination};
