//! A key ring: labelled certificates with their chains and keys, and the authorities peers are checked against.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use sha2::{Digest as _, Sha256};
use x509_parser::public_key::PublicKey;

use crate::KeyringError;
use crate::certificate::Certificate;
use crate::files::{self, Material};

/// A certificate that can be sent.
#[derive(Clone)]
pub(crate) struct RingCertificate {
    /// What policies call it.
    pub(crate) label: String,
    /// The chain, end entity first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: Option<Arc<dyn SigningKey>>,
    /// Why its private key is there and not to be had.
    pub(crate) no_key: Option<String>,
    /// Whether it is a certificate authority's: of files never sent unless its label is asked for or nothing else is there.
    pub(crate) authority: bool,
    /// Seconds since the epoch after which it is no longer valid.
    pub(crate) not_after: i64,
    /// Whether it is sent when no label is asked for.
    pub(crate) is_default: bool,
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
    /// Whether it is one of the database.
    stored: bool,
    certificates: Vec<RingCertificate>,
    authorities: Vec<CertificateDer<'static>>,
    fingerprint: [u8; 32],
}

impl Ring {
    /// A ring of these parts. One of the database says by itself which certificate is sent when no label is asked for.
    pub(crate) fn new(
        name: &str,
        mut certificates: Vec<RingCertificate>,
        authorities: Vec<CertificateDer<'static>>,
        stored: bool,
    ) -> Self {
        if !stored {
            let rank = |found: &RingCertificate| (found.label != "default", found.authority, found.label.clone());
            let with_keys = certificates.iter_mut().filter(|certificate| certificate.key.is_some());
            if let Some(default) = with_keys.min_by_key(|certificate| rank(certificate)) {
                default.is_default = true;
            }
        }
        let mut digest = Sha256::new();
        for authority in &authorities {
            digest.update(authority);
        }
        for certificate in &certificates {
            digest.update(&certificate.label);
            digest.update([u8::from(certificate.is_default), u8::from(certificate.key.is_some())]);
            certificate.chain.iter().for_each(|link| digest.update(link));
        }
        Self { name: name.to_owned(), certificates, authorities, stored, fingerprint: digest.finalize().into() }
    }

    /// Reads a file or a folder. Certificates are paired with keys by their public keys, whatever the files are called.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, holds nothing, needs a password, or holds a key the engine cannot use.
    pub(crate) fn from_files(name: &str, path: &Path, password: Option<&str>) -> Result<Self, KeyringError> {
        let materials = files::read(name, path, password)?;
        let keys = usable_keys(name, &materials)?;
        let mut certificates = Vec::new();
        let mut authorities: Vec<CertificateDer<'static>> = Vec::new();
        for material in &materials {
            // Certificates behind an end entity are its chain, not authorities that peers are checked against.
            let is_chain = material.certificates.first().is_some_and(|first| !is_authority(first));
            for certificate in material.certificates.iter().filter(|_| !is_chain) {
                if is_authority(certificate) && !authorities.contains(certificate) {
                    authorities.push(certificate.clone());
                }
            }
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
                no_key: None,
                authority: is_authority(first),
                not_after: not_after(first),
                is_default: false,
            });
        }
        Ok(Self::new(name, certificates, authorities, false))
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
            None => self.certificates.iter().find(|certificate| certificate.is_default).ok_or_else(|| {
                match self.stored {
                    true => KeyringError::NoDefault { ring: ring() },
                    false => KeyringError::NoIdentity { ring: ring() },
                }
            })?,
        };
        let label = found.label.clone();
        let key = found.key.clone().ok_or_else(|| match &found.no_key {
            Some(needed) => KeyringError::KeyRefused { ring: ring(), label: label.clone(), needed: needed.clone() },
            None => KeyringError::NoPrivateKey { ring: ring(), label: label.clone() },
        })?;
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
        self.certificates.iter().filter_map(summary).collect()
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

fn summary(certificate: &RingCertificate) -> Option<CertificateSummary> {
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
        is_default: certificate.is_default,
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
            keys.push(usable(key).map_err(|reason| KeyringError::UnusableKey {
                ring: ring.to_owned(),
                path: material.path.clone(),
                reason,
            })?);
        }
    }
    Ok(keys)
}

/// A private key as the engine signs with it.
pub(crate) fn usable(key: &PrivateKeyDer<'_>) -> Result<Arc<dyn SigningKey>, String> {
    any_supported_type(key).map_err(|error| error.to_string())
}

pub(crate) fn belongs(key: &Arc<dyn SigningKey>, certificate: &CertificateDer<'static>) -> bool {
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

/// A file's certificates in order; an end entity alone gets its intermediates from the ring, not the root.
pub(crate) fn chain(
    certificates: &[CertificateDer<'static>],
    authorities: &[CertificateDer<'static>],
) -> Vec<CertificateDer<'static>> {
    let mut chain = certificates.to_vec();
    if chain.len() > 1 {
        return chain;
    }
    while let Some(last) = chain.last() {
        let Ok((_, parsed)) = x509_parser::parse_x509_certificate(last) else { break };
        let named: Vec<&CertificateDer<'static>> = authorities
            .iter()
            .filter(|candidate| {
                x509_parser::parse_x509_certificate(candidate).is_ok_and(|(_, authority)| {
                    authority.subject() == parsed.issuer() && authority.subject() != authority.issuer()
                })
            })
            .collect();
        // Of several of one name that which signed it.
        let signed = |candidate: &&&CertificateDer<'static>| {
            let (own, signer) = (Certificate::parse(last), Certificate::parse(candidate));
            own.and_then(|own| signer.map(|signer| own.is_signed_by(&signer))).unwrap_or(false)
        };
        let issuer = named.iter().find(signed).or_else(|| named.first());
        match issuer {
            Some(issuer) if !chain.contains(issuer) => chain.push((*issuer).clone()),
            _ => break,
        }
    }
    chain
}
