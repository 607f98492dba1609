//! What files hold: certificates and private keys, in any package.

use std::fs;
use std::path::{Path, PathBuf};

use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::KeyringError;
use crate::package::{self, BadPackage};

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
    let package = package::read(&bytes, password).map_err(|bad| match bad {
        BadPackage::Password => KeyringError::Password { ring: ring.to_owned(), path: path.to_owned() },
        BadPackage::Malformed(reason) => malformed(reason),
    })?;
    Ok(Material { path: path.to_owned(), certificates: package.certificates, keys: package.keys })
}
