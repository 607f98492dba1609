//! What can be wrong with a ring.

use std::path::PathBuf;

use saf::{SafError, Userid};

use crate::envelope::EnvelopeError;

/// Why a ring cannot be used. Every variant names the file or label and what to do.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum KeyringError {
    #[error("key ring {ring}: {path} cannot be read: {source}")]
    Unreadable { ring: String, path: PathBuf, source: std::io::Error },
    #[error("key ring {ring} is not there: expected a file or directory {path}")]
    Missing { ring: String, path: PathBuf },
    #[error(
        "`{name}` names no key ring: expected a path from /, OWNER/RING or RING as RACF has them, OWNER/*, *AUTH*/* or *SITE*/*"
    )]
    BadName { name: String },
    #[error("key ring {ring}: {path} holds no PEM or PKCS#12 data that can be read: {reason}")]
    Malformed { ring: String, path: PathBuf, reason: String },
    #[error("key ring {ring}: {path} is PKCS#12 and its password is missing or wrong; code KeyringPw")]
    Password { ring: String, path: PathBuf },
    #[error("key ring {ring}: the private key in {path} cannot be used (RSA keys have 2048 to 8192 bits): {reason}")]
    UnusableKey { ring: String, path: PathBuf, reason: String },
    #[error("key ring {ring} has no certificate labelled `{label}`; it has {have}")]
    NoSuchLabel { ring: String, label: String, have: String },
    #[error("key ring {ring}: the certificate labelled `{label}` has no private key beside it")]
    NoPrivateKey { ring: String, label: String },
    #[error("key ring {ring} holds no certificate with a private key, and a server needs one")]
    NoIdentity { ring: String },
    #[error("key ring {ring} holds no certificate authority, and peers' certificates are checked against it")]
    NoAuthority { ring: String },
    #[error("key ring {ring}: the certificate labelled `{label}` expired on {until}")]
    Expired { ring: String, label: String, until: String },
    #[error(
        "key ring {ring}: the RACF user {reader}, as which AT-TLS reads rings (ring_owner), is not defined, revoked or contained: \
         ADDUSER {reader} NOPASSWORD"
    )]
    NoReader { ring: String, reader: Userid },
    #[error("key ring {ring} may not be read by user {reader}, who needs {needed}")]
    NotAuthorized { ring: String, reader: Userid, needed: String },
    #[error(
        "key ring {ring} is not there: RACDCERT ID({owner}) ADDRING({name}), or code the path of a folder of PEM files"
    )]
    NoRing { ring: String, owner: Userid, name: String },
    #[error(
        "key ring {ring} has no default certificate with USAGE(PERSONAL): RACDCERT CONNECT(... DEFAULT), or code a certificate's \
         label"
    )]
    NoDefault { ring: String },
    #[error("key ring {ring}: the private key of `{label}` may not be had: {needed}")]
    KeyRefused { ring: String, label: String, needed: String },
    #[error("key ring {ring}: the private key of `{label}` cannot be used (RSA keys have 2048 to 8192 bits): {reason}")]
    UnusableStoredKey { ring: String, label: String, reason: String },
    #[error("key ring {ring} lies in the SAF database, which is not read here")]
    NoDatabase { ring: String },
    #[error("key ring {ring}: {source}")]
    Database { ring: String, source: SafError },
    #[error("key ring {ring}: {source}")]
    Envelope { ring: String, source: EnvelopeError },
}
