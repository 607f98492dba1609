//! Certificate revocation lists (RFC 5280 section 5): complete lists of the issuer itself.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA256, digest};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, SignatureVerificationAlgorithm};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{DistributionPointName, ParsedExtension};
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use super::signed::Signed;
use super::{SKEW, Standing};

/// A list, read.
#[derive(Debug)]
pub(super) struct List {
    signed: Signed,
    issuer: Vec<u8>,
    /// Seconds since the epoch: from when, and until when it is to be followed by another.
    this_update: i64,
    next_update: Option<i64>,
    /// The serial numbers, with when each was revoked.
    revoked: HashMap<Vec<u8>, i64>,
    scope: Scope,
    /// The distribution point it is for, by its names; a list without them is for all.
    names: Option<Vec<String>>,
    /// The certificate whose key was found to have signed it.
    signer: OnceLock<Vec<u8>>,
}

/// Which certificates of its issuer a list speaks of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Scope {
    All,
    EndEntities,
    Authorities,
    /// A part of them that is not told apart here: delta lists, indirect lists, single reasons.
    Other,
}

impl List {
    /// Reads DER.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let signed = Signed::read(der)?;
        let (_, list) = CertificateRevocationList::from_der(der).ok()?;
        Some(Self {
            issuer: list.issuer().as_raw().to_vec(),
            this_update: list.last_update().timestamp(),
            next_update: list.next_update().map(|time| time.timestamp()),
            revoked: list
                .iter_revoked_certificates()
                .map(|entry| (serial(entry.raw_serial()), entry.revocation_date.timestamp()))
                .collect(),
            scope: scope(&list),
            names: names(&list),
            signed,
            signer: OnceLock::new(),
        })
    }

    /// Equal for equal lists.
    pub(super) fn digest(&self) -> Vec<u8> {
        digest(&SHA256, &self.signed.content).as_ref().to_vec()
    }

    /// Until when it may be kept; lists without an end until something newer is wanted.
    pub(super) fn good_until(&self, now: i64) -> i64 {
        self.next_update.unwrap_or(now + 3600)
    }

    /// What it says of a certificate: nothing when it is another issuer's, or not signed by the issuer.
    pub(super) fn standing(
        &self,
        certificate: &X509Certificate<'_>,
        issuer: &CertificateDer<'_>,
        algorithms: &[&'static dyn SignatureVerificationAlgorithm],
        now: i64,
    ) -> Option<Standing> {
        let covers = match self.scope {
            Scope::All => true,
            Scope::EndEntities => !certificate.is_ca(),
            Scope::Authorities => certificate.is_ca(),
            Scope::Other => false,
        };
        let part = self
            .names
            .as_ref()
            .is_some_and(|names| !super::points_of(certificate).iter().any(|point| names.contains(point)));
        if !covers || part || self.issuer != certificate.issuer().as_raw() || !self.is_by(issuer, algorithms) {
            return None;
        }
        // What was revoked stays revoked, however old the list is.
        if let Some(since) = self.revoked.get(&serial(certificate.raw_serial())) {
            return Some(Standing::Revoked { since: *since });
        }
        let current = self.this_update <= now + SKEW && self.next_update.is_none_or(|next| now <= next + SKEW);
        Some(if current { Standing::Good } else { Standing::Stale })
    }

    fn is_by(&self, issuer: &CertificateDer<'_>, algorithms: &[&'static dyn SignatureVerificationAlgorithm]) -> bool {
        if self.signer.get().is_some_and(|known| known == issuer.as_ref()) {
            return true;
        }
        // A key that may sign certificates only signs no list.
        let may_sign = X509Certificate::from_der(issuer).is_ok_and(|(_, issuer)| {
            issuer.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.crl_sign()))
        });
        let good = may_sign && self.signed.is_by(issuer, algorithms);
        if good {
            let _ = self.signer.set(issuer.to_vec());
        }
        good
    }
}

/// Without the zeros that keep it positive.
fn serial(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default().to_vec()
}

fn scope(list: &CertificateRevocationList<'_>) -> Scope {
    let mut scope = Scope::All;
    for extension in list.extensions() {
        scope = match extension.parsed_extension() {
            ParsedExtension::IssuingDistributionPoint(point) => {
                let part =
                    point.only_some_reasons.is_some() || point.indirect_crl || point.only_contains_attribute_certs;
                match (part, point.only_contains_user_certs, point.only_contains_ca_certs) {
                    (false, false, false) => scope,
                    (false, true, false) => Scope::EndEntities,
                    (false, false, true) => Scope::Authorities,
                    _ => return Scope::Other,
                }
            }
            // Among them the indicator of a delta list.
            _ if extension.critical => return Scope::Other,
            _ => scope,
        };
    }
    scope
}

fn names(list: &CertificateRevocationList<'_>) -> Option<Vec<String>> {
    list.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::IssuingDistributionPoint(point) => match point.distribution_point.as_ref()? {
            DistributionPointName::FullName(names) => Some(names.iter().filter_map(super::url_of).collect()),
            DistributionPointName::NameRelativeToCRLIssuer(_) => Some(Vec::new()),
        },
        _ => None,
    })
}

/// The lists of a file or a directory.
pub(super) fn read_files(path: &Path) -> Result<Vec<List>, (PathBuf, io::Error)> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| (path, error)
    };
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let entries = fs::read_dir(path).map_err(at(path))?;
        files = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(at(path))?;
        files.retain(|file| file.is_file());
        files.sort();
    }
    let mut lists = Vec::new();
    for file in files {
        let bytes = fs::read(&file).map_err(at(&file))?;
        let ders: Vec<Vec<u8>> = if bytes.starts_with(&[0x30]) {
            vec![bytes]
        } else {
            let found = CertificateRevocationListDer::pem_slice_iter(&bytes);
            let found = found.map(|list| list.map(|list| list.to_vec()));
            found.collect::<Result<_, _>>().map_err(|error| at(&file)(io::Error::other(error.to_string())))?
        };
        if ders.is_empty() {
            return Err(at(&file)(io::Error::other("it holds no revocation list (PEM or DER)")));
        }
        for der in ders {
            let list = List::read(&der);
            lists.push(
                list.ok_or_else(|| at(&file)(io::Error::other("it holds a revocation list that cannot be read")))?,
            );
        }
    }
    Ok(lists)
}
