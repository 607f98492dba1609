//! A key ring: labelled certificates with their chains and keys, and the authorities peers are checked against.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest as _, Sha256};
use x509_parser::public_key::PublicKey;

use crate::KeyringError;
use crate::files::{self, Material};

/// Where a policy's `Keyring` value leads.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct RingLocation {
    name: String,
    path: PathBuf,
}

impl RingLocation {
    /// `/a/path`, or `OWNER/RING` and `RING` below `rings`, the folder of named rings. A bare `RING` belongs to
    /// `owner`.
    ///
    /// # Errors
    ///
    /// [`KeyringError::BadName`] when it is neither.
    pub fn resolve(name: &str, rings: &Path, owner: &str) -> Result<Self, KeyringError> {
        if name.starts_with('/') {
            return Ok(Self { name: name.to_owned(), path: PathBuf::from(name) });
        }
        let (owner, ring) = name.split_once('/').unwrap_or((owner, name));
        let allowed = |part: &str| {
            let first = part.chars().next().is_some_and(|first| first != '.');
            first && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-@#$".contains(c))
        };
        if !allowed(owner) || !allowed(ring) {
            return Err(KeyringError::BadName { name: name.to_owned() });
        }
        // RACF folds the owner to upper case; ring names keep their case.
        Ok(Self { name: name.to_owned(), path: rings.join(owner.to_ascii_uppercase()).join(ring) })
    }

    /// The file or directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// As the policy writes it.
impl fmt::Display for RingLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A certificate that can be sent.
#[derive(Clone)]
struct RingCertificate {
    /// What policies call it: the name of its file without extension.
    label: String,
    /// The chain, end entity first.
    chain: Vec<CertificateDer<'static>>,
    key: Option<Arc<dyn SigningKey>>,
    /// Whether it is a certificate authority's: never sent unless its label is asked for or nothing else is there.
    authority: bool,
    /// Seconds since the epoch after which it is no longer valid.
    not_after: i64,
}

/// Label and subject only: keys show nothing.
impl fmt::Debug for RingCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingCertificate").field("label", &self.label).field("key", &self.key.is_some()).finish()
    }
}

/// A ring, read and paired.
#[derive(Clone, Debug)]
pub struct Ring {
    name: String,
    certificates: Vec<RingCertificate>,
    authorities: Vec<CertificateDer<'static>>,
    fingerprint: [u8; 32],
}

impl Ring {
    /// Reads a ring. Certificates are paired with keys by their public keys, whatever the files are called.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, holds nothing, needs a password, or holds a key the engine cannot use.
    pub fn load(location: &RingLocation, password: Option<&str>) -> Result<Self, KeyringError> {
        let materials = files::read(&location.name, &location.path, password)?;
        let keys = usable_keys(&location.name, &materials)?;
        let mut digest = Sha256::new();
        let mut certificates = Vec::new();
        let mut authorities: Vec<CertificateDer<'static>> = Vec::new();
        for material in &materials {
            digest.update(material.label());
            // Certificates behind an end entity are its chain, not authorities that peers are checked against.
            let is_chain = material.certificates.first().is_some_and(|first| !is_authority(first));
            for certificate in &material.certificates {
                digest.update(certificate);
                if !is_chain && is_authority(certificate) && !authorities.contains(certificate) {
                    authorities.push(certificate.clone());
                }
            }
        }
        for key in &keys {
            digest.update(key.public_key().map(|key| key.as_ref().to_vec()).unwrap_or_default());
        }
        for material in &materials {
            let Some(first) = material.certificates.first() else { continue };
            let key = keys.iter().find(|key| belongs(key, first)).cloned();
            if key.is_none() && is_authority(first) {
                continue;
            }
            certificates.push(RingCertificate {
                label: material.label(),
                chain: chain(&material.certificates, &authorities),
                key,
                authority: is_authority(first),
                not_after: not_after(first),
            });
        }
        Ok(Self { name: location.name.clone(), certificates, authorities, fingerprint: digest.finalize().into() })
    }

    /// The certificate to send: by label, else the one labelled `default`, else the first by name that has a key.
    ///
    /// # Errors
    ///
    /// When there is none with a key, or it has expired.
    pub fn identity(&self, label: Option<&str>, now: UnixTime) -> Result<Arc<CertifiedKey>, KeyringError> {
        let ring = || self.name.clone();
        let found = match label {
            Some(label) => {
                self.certificates.iter().find(|certificate| certificate.label == label).ok_or_else(|| {
                    KeyringError::NoSuchLabel { ring: ring(), label: label.to_owned(), have: self.labels() }
                })?
            }
            None => self.default_certificate().ok_or_else(|| KeyringError::NoIdentity { ring: ring() })?,
        };
        let label = found.label.clone();
        let key = found.key.clone().ok_or_else(|| KeyringError::NoPrivateKey { ring: ring(), label: label.clone() })?;
        if i64::try_from(now.as_secs()).is_ok_and(|now| now > found.not_after) {
            let until = x509_parser::time::ASN1Time::from_timestamp(found.not_after).map(|time| time.to_string());
            return Err(KeyringError::Expired { ring: ring(), label, until: until.unwrap_or_default() });
        }
        Ok(Arc::new(CertifiedKey::new(found.chain.clone(), key)))
    }

    /// The certificate authorities.
    ///
    /// # Errors
    ///
    /// [`KeyringError::NoAuthority`] when there is none.
    pub fn authorities(&self) -> Result<&[CertificateDer<'static>], KeyringError> {
        if self.authorities.is_empty() {
            return Err(KeyringError::NoAuthority { ring: self.name.clone() });
        }
        Ok(&self.authorities)
    }

    /// The certificates that can be named by a label, for those who only look at them.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateSummary> {
        let default = self.default_certificate().map(std::ptr::from_ref);
        let is_default = |certificate: &RingCertificate| default == Some(std::ptr::from_ref(certificate));
        self.certificates.iter().filter_map(|certificate| summary(certificate, is_default(certificate))).collect()
    }

    fn default_certificate(&self) -> Option<&RingCertificate> {
        self.certificates
            .iter()
            .filter(|certificate| certificate.key.is_some())
            .min_by_key(|certificate| (certificate.label != "default", certificate.authority, &certificate.label))
    }

    /// What the ring holds, as a hash: equal for equal certificates and keys.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    fn labels(&self) -> String {
        let labels: Vec<&str> = self.certificates.iter().map(|certificate| certificate.label.as_str()).collect();
        if labels.is_empty() { "none".to_owned() } else { labels.join(", ") }
    }
}

/// A certificate of a ring, for those who only look at it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateSummary {
    /// Its label.
    pub label: String,
    /// Whether its private key is in the ring.
    pub has_key: bool,
    /// Whether it is sent when no label is asked for.
    pub is_default: bool,
    /// The size of an RSA key in bits; none for other keys.
    pub rsa_bits: Option<usize>,
    /// Seconds since the epoch before and after which it is not valid.
    pub validity: (i64, i64),
    /// Whether its extended key usage (RFC 5280 §4.2.1.12) allows servers; none without that extension.
    pub server_auth: Option<bool>,
    /// Whether its extended key usage allows clients.
    pub client_auth: Option<bool>,
    /// Whether its key usage (RFC 5280 §4.2.1.3) has digitalSignature; none without that extension.
    pub signs: Option<bool>,
}

fn summary(certificate: &RingCertificate, is_default: bool) -> Option<CertificateSummary> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate.chain.first()?).ok()?;
    let rsa_bits = match parsed.public_key().parsed() {
        // The modulus: leading zeros do not count.
        Ok(PublicKey::RSA(key)) => Some(key.key_size()),
        _ => None,
    };
    let extended = parsed.extended_key_usage().ok().flatten().map(|extension| extension.value);
    let usage = parsed.key_usage().ok().flatten().map(|extension| extension.value);
    let validity = parsed.validity();
    Some(CertificateSummary {
        label: certificate.label.clone(),
        has_key: certificate.key.is_some(),
        is_default,
        rsa_bits,
        validity: (validity.not_before.timestamp(), validity.not_after.timestamp()),
        server_auth: extended.map(|usage| usage.server_auth || usage.any),
        client_auth: extended.map(|usage| usage.client_auth || usage.any),
        signs: usage.map(x509_parser::extensions::KeyUsage::digital_signature),
    })
}

fn usable_keys(ring: &str, materials: &[Material]) -> Result<Vec<Arc<dyn SigningKey>>, KeyringError> {
    let mut keys = Vec::new();
    for material in materials {
        for key in &material.keys {
            keys.push(any_supported_type(key).map_err(|error| KeyringError::UnusableKey {
                ring: ring.to_owned(),
                path: material.path.clone(),
                reason: error.to_string(),
            })?);
        }
    }
    Ok(keys)
}

fn belongs(key: &Arc<dyn SigningKey>, certificate: &CertificateDer<'static>) -> bool {
    CertifiedKey::new(vec![certificate.clone()], Arc::clone(key)).keys_match().is_ok()
}

fn is_authority(certificate: &CertificateDer<'_>) -> bool {
    x509_parser::parse_x509_certificate(certificate).is_ok_and(|(_, parsed)| parsed.is_ca())
}

fn not_after(certificate: &CertificateDer<'_>) -> i64 {
    x509_parser::parse_x509_certificate(certificate)
        .map(|(_, parsed)| parsed.validity().not_after.timestamp())
        .unwrap_or(i64::MAX)
}

/// The file's certificates in order; an end entity alone gets its intermediates from the ring, not the root.
fn chain(
    certificates: &[CertificateDer<'static>],
    authorities: &[CertificateDer<'static>],
) -> Vec<CertificateDer<'static>> {
    let mut chain = certificates.to_vec();
    if chain.len() > 1 {
        return chain;
    }
    while let Some(last) = chain.last() {
        let Ok((_, parsed)) = x509_parser::parse_x509_certificate(last) else { break };
        let issuer = authorities.iter().find(|candidate| {
            x509_parser::parse_x509_certificate(candidate).is_ok_and(|(_, authority)| {
                authority.subject() == parsed.issuer() && authority.subject() != authority.issuer()
            })
        });
        match issuer {
            Some(issuer) if !chain.contains(issuer) => chain.push(issuer.clone()),
            _ => break,
        }
    }
    chain
}
