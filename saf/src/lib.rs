//! Who may do what: a RACF stand-in.
//!
//! ```text
//! commands ─> database (SQLite, PostgreSQL) ─ RACLIST, REFRESH ─> Snapshot ─ auth ─> Decision
//! ```
//!
//! Decisions come from an immutable snapshot in memory; commands change the database. What RC 4 ("no decision") means
//! is for the caller to say. This crate prints nothing: commands return their lines.

mod access;
mod authority;
mod backup;
mod class;
mod command;
mod database;
mod decision;
mod error;
mod explain;
mod generations;
mod lint;
mod load;
mod mapping;
mod pattern;
mod profile;
mod raclist;
mod sessions;
mod snapshot;
mod unload;

pub use access::{Access, NotAccess, Userid};
pub use backup::{Inspection, backup, restore, verify};
pub use command::{
    CommandProcessor, CommandRecord, CommandResult, DataSets, Failure, Keywords, Output, Row, Session, Value, Words,
    fail, refuse, shown,
};
pub use database::Saf;
pub use decision::{Authorized, Codes, Decision, NoDecision, Refusal, Request, Started};
pub use error::{SafError, shown_url};
pub use explain::{Effect, Explanation, Grant, Holding};
pub use lint::Finding;
pub use load::Columns;
pub use mapping::{Application, CertificateNames, Unmapped, is_ring_name};
pub use profile::ProfileName;
pub use snapshot::{Mapped, Snapshot};
pub use unload::{Imported, Progress, Rejected, export, import};
