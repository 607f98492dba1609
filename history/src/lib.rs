//! What was observed of connections' protection, kept for auditors.
//!
//! ```text
//! zert's facts ─ collect ─> sums of a quarter of an hour ─ store ─> SQLite or PostgreSQL
//! store ─> usages ─ report │ simulate │ suggest │ cbom ─> tables, a page, policies, a bill of materials      pure
//! ```

mod attributes;
pub mod cbom;
mod collect;
mod html;
pub mod report;
pub mod simulate;
mod store;
pub mod suggest;
mod table;
mod usage;

pub use attributes::{Attributes, CertificateFacts};
pub use collect::Collector;
pub use store::{HistoryError, Store};
pub use table::Table;
pub use usage::{Counts, Role, Session, Usage};
