//! What protects each TCP connection, and what to do about it.
//!
//! ```text
//! packets ─ flow ─> ordered bytes ─ observer ─> Protection ─ judge ─> Verdict      pure: bytes and times come in
//! NFLOG, sock_diag ─ monitor ─> the same, live; records out; SOCK_DESTROY          I/O
//! ```
//!
//! TLS is read, never terminated: keys and application data are not looked at.

mod algorithms;
mod codes;
mod dialogue;
pub mod flow;
mod ftp;
pub mod hold;
pub mod ipsec;
pub mod judge;
mod monitor;
mod nflog;
mod nfqueue;
pub mod observer;
mod packet;
pub mod record;
pub mod replay;
pub mod ssh;
mod summary;
pub mod tls;

pub use dialogue::Upgrade;
pub use monitor::{History, Monitor, MonitorSettings, Statistics, Wrapped};
pub use observer::{Observer, Protection, Side};
pub use record::{AtTls, DataOf, Facts, RecordContext, RecordType, Source};
