//! Certificates of the laboratory: an authority and what it signs, as PEM files.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// A certificate authority with an ECDSA P-256 key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// A new authority.
    ///
    /// # Errors
    ///
    /// When no key can be made.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// The authority's certificate, PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Who signs: its name and key.
    #[must_use]
    pub fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// A new end-entity certificate for a DNS name, and its key, PEM.
    ///
    /// # Errors
    ///
    /// When no key can be made.
    pub fn issue(&self, name: &str) -> anyhow::Result<(String, String)> {
        self.issue_with(name, |_| ())
    }

    /// The same, good until a time.
    ///
    /// # Errors
    ///
    /// When no key can be made.
    pub fn issue_until(&self, name: &str, end: SystemTime) -> anyhow::Result<(String, String)> {
        self.issue_with(name, |params| params.not_after = end.into())
    }

    /// A new end-entity certificate with what `change` makes of it, and its key, PEM.
    ///
    /// # Errors
    ///
    /// When no key can be made.
    pub fn issue_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> anyhow::Result<(String, String)> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = (SystemTime::now() + Duration::from_secs(86_400)).into();
        change(&mut params);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok((certificate, key.serialize_pem()))
    }

    /// Writes a key ring: the authority's certificate, and a certificate for a name with its key when one is given.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written.
    pub fn write_ring(&self, folder: &Path, name: Option<&str>) -> anyhow::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("ca.pem"), &self.certificate)?;
        if let Some(name) = name {
            let (certificate, key) = self.issue(name)?;
            fs::write(folder.join("server.pem"), certificate)?;
            fs::write(folder.join("server.key"), key)?;
        }
        Ok(())
    }
}
