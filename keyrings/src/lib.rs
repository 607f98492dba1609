//! Certificates, private keys and the key rings that hold them.
//!
//! A ring is what a policy's `Keyring` names: `OWNER/RING`, a ring of RACF's in the SAF database, or a file or folder of PEM
//! and PKCS#12 files by path. [`Racdcert`] is the command that administers those of the database. Their private keys are
//! encrypted there, and are decrypted only for whom SAF permits. Which suites are negotiated with them is not this crate's
//! business.

mod authority;
mod certificate;
mod envelope;
mod error;
mod files;
mod package;
mod racdcert;
mod ring;
mod rings;
mod store;

pub use certificate::names;
pub use envelope::{Envelope, EnvelopeError};
pub use error::KeyringError;
pub use racdcert::Racdcert;
pub use ring::{CertificateSummary, Ring};
pub use rings::{FileRings, Keyrings, ReadsRings, RingLocation};
