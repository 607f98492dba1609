//! The policy language: AT-TLS (TTLS) and zERT statements, from text to a resolved policy.
//!
//! ```text
//! text ─ syntax ─> Document ─ resolve ─> Policy ─ classifier ─> the rule of a connection ─ parameters ─> its treatment
//! ```
//!
//! This crate is pure: it reads no file and no clock and opens no socket. The caller brings the texts and the time.
//! What a statement may contain, which values a parameter takes, its default and what the engine does with it stand in
//! one place, [`table`].

pub mod address;
pub mod algorithm;
pub mod assist;
pub mod cipher;
mod classifier;
pub mod coverage;
pub mod diagnostic;
pub mod diff;
pub mod enforcement;
mod envfile;
pub mod explain;
pub mod format;
pub mod group;
pub mod intervals;
pub mod lint;
pub mod load;
pub mod matching;
pub mod model;
pub mod parameters;
pub mod protection;
pub mod reference;
pub mod region;
pub mod report;
mod resolve;
pub mod schedule;
pub mod source;
pub mod syntax;
pub mod table;
pub mod value;

pub use diagnostic::{Diagnostic, Severity};
pub use load::{Files, Loaded, load};
pub use matching::{Connection, Direction};
pub use model::{Policy, TtlsRule, ZertRule};
pub use resolve::resolve;
pub use source::{Source, Span};
pub use syntax::{Document, parse};
