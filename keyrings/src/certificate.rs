//! What a certificate says, read once from its DER.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use chrono::{DateTime, Local};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use saf::CertificateNames;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AlgorithmIdentifier, X509Name};

/// How much of a name stands on a line of a listing.
const WIDTH: usize = 64;

/// The longest distinguished name, as RACF writes it.
pub(crate) const LONGEST_NAME: usize = 1024;

/// Names of attribute types as RACF writes them (RFC 4519 has their numbers).
const ATTRIBUTES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "SP"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "T"),
    ("2.5.4.17", "PC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "EMAIL"),
];

/// Names of signature algorithms, as RACF writes them.
const ALGORITHMS: &[(&str, &str)] = &[
    ("1.2.840.113549.1.1.4", "md5RSA"),
    ("1.2.840.113549.1.1.5", "sha1RSA"),
    ("1.2.840.113549.1.1.10", "RSAPSS"),
    ("1.2.840.113549.1.1.11", "sha256RSA"),
    ("1.2.840.113549.1.1.12", "sha384RSA"),
    ("1.2.840.113549.1.1.13", "sha512RSA"),
    ("1.2.840.113549.1.1.14", "sha224RSA"),
    ("1.2.840.10045.4.1", "sha1ECDSA"),
    ("1.2.840.10045.4.3.2", "sha256ECDSA"),
    ("1.2.840.10045.4.3.3", "sha384ECDSA"),
    ("1.2.840.10045.4.3.4", "sha512ECDSA"),
    ("1.2.840.10040.4.3", "sha1DSA"),
    ("1.3.101.112", "ED25519"),
];

/// A certificate with what is asked of it most.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Certificate {
    der: CertificateDer<'static>,
    names: CertificateNames,
    /// Seconds since the epoch before and after which it is not valid.
    validity: (i64, i64),
    /// Whether it may sign certificates.
    is_authority: bool,
    /// SubjectPublicKeyInfo, DER.
    public_key: Vec<u8>,
}

impl Certificate {
    /// Reads DER. Whatever it holds, the answer is a certificate or why it is none.
    pub(crate) fn parse(der: &[u8]) -> Result<Self, String> {
        let (rest, parsed) =
            parse_x509_certificate(der).map_err(|error| format!("it is no X.509 certificate: {error}"))?;
        if !rest.is_empty() {
            return Err(format!("{} bytes follow the certificate", rest.len()));
        }
        let ((issuer, one), (subject, other)) = (name(parsed.issuer()), name(parsed.subject()));
        let names = CertificateNames {
            serial: hexadecimal(parsed.raw_serial()),
            issuer,
            subject,
            fingerprint: hexadecimal(&Sha256::digest(der)),
            ambiguous: one || other,
        };
        if names.issuer.is_empty() {
            return Err("its issuer has no name".to_owned());
        }
        if names.issuer.join(".").len().max(names.subject.join(".").len()) > LONGEST_NAME {
            return Err(format!("a name of more than {LONGEST_NAME} bytes is in it"));
        }
        let validity = parsed.validity();
        Ok(Self {
            names,
            validity: (validity.not_before.timestamp(), validity.not_after.timestamp()),
            is_authority: parsed.is_ca(),
            public_key: parsed.public_key().raw.to_vec(),
            der: CertificateDer::from(der.to_vec()),
        })
    }

    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    pub(crate) fn names(&self) -> &CertificateNames {
        &self.names
    }

    pub(crate) fn validity(&self) -> (i64, i64) {
        self.validity
    }

    pub(crate) fn is_authority(&self) -> bool {
        self.is_authority
    }

    pub(crate) fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// Whether issuer and subject are the same.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.names.issuer == self.names.subject
    }

    /// Whether `issuer` has this name and made this signature.
    pub(crate) fn is_signed_by(&self, issuer: &Self) -> bool {
        if self.names.issuer != issuer.names.subject {
            return false;
        }
        let (Ok((_, own)), Ok((_, signer))) = (parse_x509_certificate(&self.der), parse_x509_certificate(&issuer.der))
        else {
            return false;
        };
        // The one knows SHA-1, by which old roots are signed, the other the larger curves.
        own.verify_signature(Some(signer.public_key())).is_ok() || is_verified(&own, &signer)
    }

    /// Whether a time (seconds since the epoch) is within its dates.
    pub(crate) fn is_valid_at(&self, now: i64) -> bool {
        (self.validity.0..=self.validity.1).contains(&now)
    }

    /// The profile name of class DIGTCERT: serial number and issuer, with `¢` for blanks.
    pub(crate) fn profile(&self) -> String {
        format!("{}.{}", self.names.serial, self.names.issuer.join(".")).replace(' ', "¢")
    }

    /// The lines of a listing from the dates to the key's size.
    pub(crate) fn facts(&self) -> Vec<String> {
        let Ok((_, parsed)) = parse_x509_certificate(&self.der) else { return Vec::new() };
        let mut lines = vec![
            format!("  Start Date: {}", date(self.validity.0)),
            format!("  End Date:   {}", date(self.validity.1)),
            "  Serial Number:".to_owned(),
            format!("       >{}<", self.names.serial),
            "  Issuer's Name:".to_owned(),
        ];
        lines.extend(marked(&self.names.issuer.join(".")));
        lines.push("  Subject's Name:".to_owned());
        lines.extend(marked(&self.names.subject.join(".")));
        let alternative = alternative_names(&parsed);
        if !alternative.is_empty() {
            lines.push("  Subject's AltNames:".to_owned());
            lines.extend(alternative.iter().map(|(kind, name)| format!("    {kind}: {name}")));
        }
        lines.push(format!("  Signing Algorithm: {}", algorithm(&parsed)));
        let usage = key_usage(&parsed);
        if !usage.is_empty() {
            lines.push(format!("  Key Usage: {}", usage.join(", ")));
        }
        let (kind, size) = key(&parsed);
        lines.push(format!("  Key Type: {kind}"));
        lines.extend((size > 0).then(|| format!("  Key Size: {size}")));
        lines
    }

    /// Kind and size in bits of its key.
    pub(crate) fn key(&self) -> (String, usize) {
        parse_x509_certificate(&self.der).map(|(_, parsed)| key(&parsed)).unwrap_or_default()
    }

    /// The algorithm of its signature, as RACF writes it.
    pub(crate) fn algorithm(&self) -> String {
        parse_x509_certificate(&self.der).map(|(_, parsed)| algorithm(&parsed)).unwrap_or_default()
    }

    /// SHA-256 of the DER, in lines of a listing.
    pub(crate) fn fingerprint(&self) -> Vec<String> {
        let bytes: Vec<String> = Sha256::digest(&self.der).iter().map(|byte| format!("{byte:02X}")).collect();
        bytes.chunks(16).map(|row| format!("    {}", row.join(":"))).collect()
    }
}

/// Whether the TLS engine verifies a certificate's signature by the key of another.
fn is_verified(own: &X509Certificate<'_>, signer: &X509Certificate<'_>) -> bool {
    let signature = identifier(&own.signature_algorithm);
    let key = identifier(&signer.public_key().algorithm);
    let engine = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    let fits = |known: &&&dyn SignatureVerificationAlgorithm| {
        known.signature_alg_id().as_ref() == signature && known.public_key_alg_id().as_ref() == key
    };
    engine.all.iter().filter(fits).any(|known| {
        let (key, signature) = (&signer.public_key().subject_public_key.data, &own.signature_value.data);
        known.verify_signature(key, own.tbs_certificate.as_ref(), signature).is_ok()
    })
}

/// An algorithm's identifier as the engine has it: DER without the outermost tag. Ours are shorter than 128 bytes.
fn identifier(algorithm: &AlgorithmIdentifier<'_>) -> Vec<u8> {
    let part = |tag: u8, data: &[u8]| [&[tag, u8::try_from(data.len()).unwrap_or(u8::MAX)], data].concat();
    let mut bytes = part(0x06, algorithm.algorithm.as_bytes());
    if let Some(parameters) = &algorithm.parameters {
        let tag = parameters.header.raw_tag().and_then(|tag| tag.first()).copied().unwrap_or_default();
        bytes.extend(part(tag, parameters.data));
    }
    bytes
}

/// What of a client's certificate (DER) says whose it is.
///
/// # Errors
///
/// Why it is no certificate.
pub fn names(der: &[u8]) -> Result<CertificateNames, String> {
    Certificate::parse(der).map(|certificate| certificate.names)
}

fn algorithm(parsed: &X509Certificate<'_>) -> String {
    let oid = parsed.signature_algorithm.algorithm.to_id_string();
    ALGORITHMS.iter().find(|(known, _)| *known == oid).map_or_else(|| oid.clone(), |(_, name)| (*name).to_owned())
}

/// Bytes as upper-case hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02X}");
    }
    text
}

/// A distinguished name as RACF writes it: the most specific part first. Whether it is ambiguous so: a value reads like several
/// parts (`a.OU=b`), or was not text.
fn name(name: &X509Name<'_>) -> (Vec<String>, bool) {
    let mut ambiguous = false;
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|part| {
            let attributes = part.iter().map(|attribute| {
                let oid = attribute.attr_type().to_id_string();
                let known = ATTRIBUTES.iter().find(|(known, _)| *known == oid).map_or(oid.as_str(), |(_, name)| name);
                let value = match attribute.as_str() {
                    Ok(text) => {
                        let pieces = text.split(['.', '+']).skip(1);
                        ambiguous |= text.starts_with('#') || text.chars().any(char::is_control);
                        ambiguous |= pieces.into_iter().any(|piece| piece.contains('='));
                        text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
                    }
                    // A character set that is not read: told apart by its bytes.
                    Err(_) => {
                        ambiguous = true;
                        format!("#{}", hexadecimal(attribute.as_slice()))
                    }
                };
                format!("{known}={value}")
            });
            attributes.collect::<Vec<_>>().join("+")
        })
        .collect();
    parts.reverse();
    (parts, ambiguous)
}

/// A name between its markers, in as many lines as it needs.
pub(crate) fn marked(name: &str) -> Vec<String> {
    let characters: Vec<char> = name.chars().collect();
    if characters.is_empty() {
        return vec!["       ><".to_owned()];
    }
    characters.chunks(WIDTH).map(|row| format!("       >{}<", row.iter().collect::<String>())).collect()
}

/// A time of this host's zone, as listings have it.
pub(crate) fn date(seconds: i64) -> String {
    let time = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    time.with_timezone(&Local).format("%Y/%m/%d %H:%M:%S").to_string()
}

fn alternative_names(parsed: &X509Certificate<'_>) -> Vec<(&'static str, String)> {
    let Ok(Some(extension)) = parsed.subject_alternative_name() else { return Vec::new() };
    let printable = |text: &str| text.chars().map(|c| if c.is_control() { '?' } else { c }).collect::<String>();
    let mut names: Vec<(&'static str, String)> = extension
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::IPAddress(bytes) => Some(("IP", address(bytes)?)),
            // RACF writes no @ here.
            GeneralName::RFC822Name(text) => Some(("EMail", printable(text).replace('@', " at "))),
            GeneralName::DNSName(text) => Some(("Domain", printable(text))),
            GeneralName::URI(text) => Some(("URI", printable(text))),
            _ => None,
        })
        .collect();
    let order = ["IP", "EMail", "Domain", "URI"];
    names.sort_by_key(|(kind, _)| order.iter().position(|known| known == kind));
    names
}

fn address(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).ok().map(|bytes| Ipv4Addr::from(bytes).to_string());
    four.or_else(|| Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string()))
}

/// KEYUSAGE as GENCERT writes it.
fn key_usage(parsed: &X509Certificate<'_>) -> Vec<&'static str> {
    let Ok(Some(extension)) = parsed.key_usage() else { return Vec::new() };
    let usage = extension.value;
    [
        (usage.digital_signature() || usage.key_encipherment(), "HANDSHAKE"),
        (usage.data_encipherment(), "DATAENCRYPT"),
        (usage.non_repudiation(), "DOCSIGN"),
        (usage.key_cert_sign(), "CERTSIGN"),
        (usage.key_agreement(), "KEYAGREE"),
    ]
    .into_iter()
    .filter_map(|(is_set, name)| is_set.then_some(name))
    .collect()
}

fn key(parsed: &X509Certificate<'_>) -> (String, usize) {
    match parsed.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => ("RSA".to_owned(), key.key_size()),
        Ok(PublicKey::EC(point)) => {
            let curve = parsed.public_key().algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
            match curve.map(|curve| curve.to_id_string()).as_deref() {
                Some("1.2.840.10045.3.1.7") => ("NIST ECC".to_owned(), 256),
                Some("1.3.132.0.34") => ("NIST ECC".to_owned(), 384),
                Some("1.3.132.0.35") => ("NIST ECC".to_owned(), 521),
                _ => ("ECC".to_owned(), point.key_size()),
            }
        }
        Ok(PublicKey::DSA(_)) => ("DSA".to_owned(), 0),
        _ => (parsed.public_key().algorithm.algorithm.to_id_string(), 0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_wrap_inside_their_markers() {
        let lines = marked(&"A".repeat(100));
        assert_eq!(lines, [format!("       >{}<", "A".repeat(64)), format!("       >{}<", "A".repeat(36))]);
        assert_eq!(marked(""), ["       ><"]);
    }

    fn sample() -> Vec<u8> {
        let mut params =
            rcgen::CertificateParams::new(vec!["a.example".to_owned(), "10.1.2.3".to_owned()]).expect("names");
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "Org");
        params.self_signed(&rcgen::KeyPair::generate().expect("a key")).expect("a certificate").der().to_vec()
    }

    proptest! {
        /// Damaged certificates are errors or certificates, never a panic.
        #[test]
        fn hostile_der_is_read_or_refused(at in 0_usize..2000, byte: u8, cut in 0_usize..2000) {
            let mut der = sample();
            let length = der.len();
            der[at % length] = byte;
            der.truncate(length - cut % 40);
            if let Ok(certificate) = Certificate::parse(&der) {
                certificate.facts();
                certificate.is_signed_by(&certificate);
            }
        }
    }
}
