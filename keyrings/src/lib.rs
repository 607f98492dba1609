//! Certificates, private keys and the key rings that hold them.
//!
//! A ring is what a policy's `Keyring` names: a file or directory of PEM and PKCS#12 files by path, or `OWNER/RING`,
//! which is a directory below the state folder. This crate finds certificates, pairs them with their keys and picks
//! the one a label names; which suites are negotiated with them is not its business.

mod error;
mod files;
mod ring;

pub use error::KeyringError;
pub use ring::{CertificateSummary, Ring, RingLocation};
