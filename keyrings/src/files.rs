//! What files hold: certificates and private keys, from PEM and PKCS#12.

use std::fs;
use std::path::{Path, PathBuf};

use p12_keystore::Pkcs12Archive;
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use zeroize::Zeroizing;

use crate::KeyringError;

/// Files above this size are no certificates.
const MAX_FILE: u64 = 16 << 20;

/// What one file holds, in its order.
pub(crate) struct Material {
    pub(crate) path: PathBuf,
    /// Certificates; in a PEM chain file the end entity comes first.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) keys: Vec<PrivateKeyDer<'static>>,
}

impl Material {
    /// What certificates of this file are called: the file's name without its extension.
    pub(crate) fn label(&self) -> String {
        self.path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// Reads a file, or every PEM and PKCS#12 file of a directory in name order.
pub(crate) fn read(ring: &str, path: &Path, password: Option<&str>) -> Result<Vec<Material>, KeyringError> {
    let unreadable =
        |path: &Path, source| KeyringError::Unreadable { ring: ring.to_owned(), path: path.to_owned(), source };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(KeyringError::Missing { ring: ring.to_owned(), path: path.to_owned() });
        }
        Err(error) => return Err(unreadable(path, error)),
    };
    if !metadata.is_dir() {
        return Ok(vec![read_file(ring, path, password)?]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| unreadable(path, error))? {
        let file = entry.map_err(|error| unreadable(path, error))?.path();
        let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if ["pem", "crt", "cer", "key", "p12", "pfx"].contains(&extension.to_ascii_lowercase().as_str()) {
            files.push(file);
        }
    }
    files.sort();
    files.iter().map(|file| read_file(ring, file, password)).collect()
}

fn read_file(ring: &str, path: &Path, password: Option<&str>) -> Result<Material, KeyringError> {
    let unreadable = |source| KeyringError::Unreadable { ring: ring.to_owned(), path: path.to_owned(), source };
    let malformed = |reason: String| KeyringError::Malformed { ring: ring.to_owned(), path: path.to_owned(), reason };
    if fs::metadata(path).map_err(unreadable)?.len() > MAX_FILE {
        return Err(malformed("it is larger than 16 MiB".to_owned()));
    }
    let bytes = Zeroizing::new(fs::read(path).map_err(unreadable)?);
    let mut material = Material { path: path.to_owned(), certificates: Vec::new(), keys: Vec::new() };
    if bytes.windows(10).any(|window| window == b"-----BEGIN") {
        read_pem(&bytes, &mut material).map_err(malformed)?;
    } else if bytes.first() == Some(&0x30) {
        // DER: one certificate, else PKCS#12.
        if x509_parser::parse_x509_certificate(&bytes).is_ok() {
            material.certificates.push(CertificateDer::from(bytes.to_vec()));
        } else {
            let archive = Pkcs12Archive::from_pkcs12(&bytes, password.unwrap_or_default())
                .map_err(|_| KeyringError::Password { ring: ring.to_owned(), path: path.to_owned() })?;
            read_pkcs12(&archive, &mut material);
        }
    } else {
        return Err(malformed("it begins with neither `-----BEGIN` nor DER".to_owned()));
    }
    if material.certificates.is_empty() && material.keys.is_empty() {
        return Err(malformed("it holds no certificate and no private key".to_owned()));
    }
    Ok(material)
}

fn read_pem(bytes: &[u8], material: &mut Material) -> Result<(), String> {
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
        let (kind, der) = section.map_err(|error| error.to_string())?;
        match kind {
            SectionKind::Certificate => material.certificates.push(CertificateDer::from(der)),
            SectionKind::PrivateKey => material.keys.push(PrivatePkcs8KeyDer::from(der).into()),
            SectionKind::RsaPrivateKey => material.keys.push(PrivatePkcs1KeyDer::from(der).into()),
            SectionKind::EcPrivateKey => material.keys.push(PrivateSec1KeyDer::from(der).into()),
            _ => {}
        }
    }
    let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    if bytes.windows(encrypted.len()).any(|window| window == encrypted) {
        return Err("encrypted PEM keys are not read; convert it to PKCS#12 and code KeyringPw".to_owned());
    }
    Ok(())
}

/// Keys with their certificates first, so that a chain starts with its end entity.
fn read_pkcs12(archive: &Pkcs12Archive, material: &mut Material) {
    let own = |id: &Option<Vec<u8>>| {
        archive.keys.iter().any(|key| key.local_key_id.as_ref().map(|key| &key.0) == id.as_ref() && id.is_some())
    };
    let (first, rest): (Vec<_>, Vec<_>) = archive.certs.iter().partition(|bag| own(&bag.local_key_id));
    material.certificates =
        first.into_iter().chain(rest).map(|bag| CertificateDer::from(bag.cert.as_der().to_vec())).collect();
    material.keys = archive.keys.iter().map(|bag| PrivatePkcs8KeyDer::from(bag.key.as_der().to_vec()).into()).collect();
}
