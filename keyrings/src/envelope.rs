//! The envelope: private keys in the database are encrypted under a key that lies in a file of root's, or in a credential of
//! systemd's, and never in the database.
//!
//! The file has one key a line, 32 bytes in base64. The first one encrypts; the others are there for what an earlier one
//! encrypted, until a rotation is over.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::certificate::hexadecimal;

const KEY: usize = 32;
/// A longer file is none of ours.
const LONGEST_FILE: u64 = 1 << 16;

/// Why keys can be neither encrypted nor decrypted.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum EnvelopeError {
    #[error("the envelope key file {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("the envelope key file {} can be read by others than its owner: chmod 600", path.display())]
    Open { path: PathBuf },
    #[error(
        "the envelope key file {}, line {line}: expected 32 bytes in base64, as `openssl rand -base64 32` prints them",
        path.display()
    )]
    Malformed { path: PathBuf, line: usize },
    #[error("the envelope key file {} has no key", path.display())]
    Empty { path: PathBuf },
    #[error(
        "private keys in the database are encrypted under the envelope key {name}, which is not in {}: put the file back from \
         its copy",
        path.display()
    )]
    Unknown { name: String, path: PathBuf },
    #[error("a private key in the database does not decrypt under the envelope key {name}: the database is damaged")]
    Damaged { name: String },
    #[error("the key in {} is being rotated", path.display())]
    Rotating { path: PathBuf },
    #[error("the random number generator failed")]
    Random,
}

/// An encrypted private key, as the database has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Sealed {
    /// The name of the envelope key.
    pub(crate) envelope: String,
    /// Nonce and AES-256-GCM ciphertext, base64.
    pub(crate) text: String,
}

/// The envelope's file.
pub struct Envelope {
    path: PathBuf,
    keys: Mutex<Arc<Keys>>,
}

/// The keys of the file, by name and in their order.
#[derive(Default)]
struct Keys {
    order: Vec<String>,
    by_name: HashMap<String, LessSafeKey>,
}

/// The path only.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Envelope {
    /// The envelope of a file, which is read when a key is wanted.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), keys: Mutex::default() }
    }

    /// Makes the file with a new key, where there is none.
    pub(crate) fn make(&self) -> Result<(), EnvelopeError> {
        if self.path.exists() {
            return Ok(());
        }
        self.write(std::iter::once(new_key()?))
    }

    /// Puts a new key before the one of the file. A file with several has the new one in it already. Tells the name of the
    /// new key, and whether it was made here.
    pub(crate) fn begin_rotation(&self) -> Result<(String, bool), EnvelopeError> {
        let lines = self.lines()?;
        let made = lines.len() == 1;
        if made {
            self.write(std::iter::once(new_key()?).chain(lines))?;
        }
        let keys = self.reload()?;
        Ok((keys.order.first().cloned().unwrap_or_default(), made))
    }

    /// Whether the file has one key only.
    pub(crate) fn has_one_key(&self) -> Result<bool, EnvelopeError> {
        Ok(self.lines()?.len() == 1)
    }

    /// Leaves the first key alone in the file, and puts the others into another one beside it, whose path this is: copies of the
    /// database made before need them.
    pub(crate) fn end_rotation(&self) -> Result<PathBuf, EnvelopeError> {
        let old = self.beside(".old");
        let mut lines = self.lines()?.into_iter();
        let first = lines.next();
        let kept = Self::new(&old);
        let before = if old.exists() { kept.lines()? } else { Vec::new() };
        kept.write(lines.chain(before))?;
        self.write(first.into_iter())?;
        self.reload().map(|_| old)
    }

    /// Keeps other processes from a rotation until it is dropped.
    pub(crate) fn lock(&self) -> Result<File, EnvelopeError> {
        let path = self.beside(".lock");
        let failed = |source| EnvelopeError::File { path: path.clone(), source };
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(EnvelopeError::Rotating { path: self.path.clone() }),
            Err(TryLockError::Error(source)) => Err(EnvelopeError::File { path, source }),
        }
    }

    fn beside(&self, end: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(end);
        path.into()
    }

    /// Encrypts a private key; `of` says whose it is and has to be said again to decrypt it.
    pub(crate) fn seal(&self, key: &[u8], of: &str) -> Result<Sealed, EnvelopeError> {
        let keys = self.reload()?;
        let envelope = keys.order.first().cloned().unwrap_or_default();
        let Some(cipher) = keys.by_name.get(&envelope) else {
            return Err(EnvelopeError::Empty { path: self.path.clone() });
        };
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| EnvelopeError::Random)?;
        let mut text = Zeroizing::new(key.to_vec());
        let tag = cipher
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(of.as_bytes()), &mut text)
            .map_err(|_| EnvelopeError::Random)?;
        let sealed = [&nonce[..], &text, tag.as_ref()].concat();
        Ok(Sealed { envelope, text: BASE64_STANDARD.encode(sealed) })
    }

    /// Decrypts a private key.
    pub(crate) fn open(&self, sealed: &Sealed, of: &str) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        let mut keys = Arc::clone(&self.keys.lock().unwrap_or_else(PoisonError::into_inner));
        if !keys.by_name.contains_key(&sealed.envelope) {
            keys = self.reload()?;
        }
        let Some(cipher) = keys.by_name.get(&sealed.envelope) else {
            return Err(EnvelopeError::Unknown { name: sealed.envelope.clone(), path: self.path.clone() });
        };
        let damaged = || EnvelopeError::Damaged { name: sealed.envelope.clone() };
        let mut bytes = Zeroizing::new(BASE64_STANDARD.decode(&sealed.text).map_err(|_| damaged())?);
        let (nonce, text) = bytes.split_at_mut_checked(NONCE_LEN).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let plain = cipher.open_in_place(nonce, Aad::from(of.as_bytes()), text).map_err(|_| damaged())?;
        Ok(Zeroizing::new(plain.to_vec()))
    }

    /// Reads the file again.
    fn reload(&self) -> Result<Arc<Keys>, EnvelopeError> {
        let mut keys = Keys::default();
        for line in self.lines()? {
            let cipher = UnboundKey::new(&AES_256_GCM, &line[..]).map_err(|_| EnvelopeError::Random)?;
            // A name that tells keys apart and nothing of them.
            let name = hexadecimal(Sha256::digest(&line[..]).get(..8).unwrap_or_default());
            keys.order.push(name.clone());
            keys.by_name.insert(name, LessSafeKey::new(cipher));
        }
        let keys = Arc::new(keys);
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&keys);
        Ok(keys)
    }

    fn lines(&self) -> Result<Vec<Zeroizing<[u8; KEY]>>, EnvelopeError> {
        let unreadable = |source| EnvelopeError::File { path: self.path.clone(), source };
        let metadata = fs::metadata(&self.path).map_err(unreadable)?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(EnvelopeError::Open { path: self.path.clone() });
        }
        if metadata.len() > LONGEST_FILE {
            return Err(EnvelopeError::Malformed { path: self.path.clone(), line: 1 });
        }
        let text = Zeroizing::new(fs::read_to_string(&self.path).map_err(unreadable)?);
        let mut keys = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let malformed = || EnvelopeError::Malformed { path: self.path.clone(), line: number + 1 };
            let bytes = Zeroizing::new(BASE64_STANDARD.decode(line.trim()).map_err(|_| malformed())?);
            keys.push(Zeroizing::new(<[u8; KEY]>::try_from(&bytes[..]).map_err(|_| malformed())?));
        }
        if keys.is_empty() { Err(EnvelopeError::Empty { path: self.path.clone() }) } else { Ok(keys) }
    }

    /// Replaces the file: another process sees the old one or the new one.
    fn write(&self, keys: impl Iterator<Item = Zeroizing<[u8; KEY]>>) -> Result<(), EnvelopeError> {
        let failed = |source| EnvelopeError::File { path: self.path.clone(), source };
        let mut text = Zeroizing::new(String::new());
        for key in keys {
            text.push_str(&Zeroizing::new(BASE64_STANDARD.encode(&key[..])));
            text.push('\n');
        }
        let temporary = self.beside(".new");
        let _ = fs::remove_file(&temporary);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&temporary, &self.path).map_err(failed)?;
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

fn new_key() -> Result<Zeroizing<[u8; KEY]>, EnvelopeError> {
    let mut key = Zeroizing::new([0; KEY]);
    rand::fill(&mut key[..]).map_err(|_| EnvelopeError::Random)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> (tempfile::TempDir, Envelope) {
        let folder = tempfile::TempDir::new().expect("a folder");
        let envelope = Envelope::new(&folder.path().join("envelope.key"));
        envelope.make().expect("a key");
        (folder, envelope)
    }

    #[test]
    fn what_was_sealed_opens_for_whom_it_was_sealed_and_through_a_rotation() {
        let (folder, envelope) = envelope();
        let sealed = envelope.seal(b"secret", "TCPIP.A").expect("sealed");
        assert_eq!(&envelope.open(&sealed, "TCPIP.A").expect("opened")[..], b"secret");
        assert!(matches!(envelope.open(&sealed, "TCPIP.B"), Err(EnvelopeError::Damaged { .. })));
        let (name, made) = envelope.begin_rotation().expect("rotated");
        assert!(made);
        assert_ne!(name, sealed.envelope);
        // Another process that has read the file before learns of the new key.
        let other = Envelope::new(&folder.path().join("envelope.key"));
        let next = envelope.seal(b"secret", "TCPIP.A").expect("sealed");
        assert_eq!(next.envelope, name);
        assert!(other.open(&sealed, "TCPIP.A").is_ok() && other.open(&next, "TCPIP.A").is_ok());
        let old = envelope.end_rotation().expect("the old key is gone");
        assert_eq!(&Envelope::new(&old).open(&sealed, "TCPIP.A").expect("opened")[..], b"secret");
        let lock = envelope.lock().expect("a lock");
        assert!(matches!(envelope.lock(), Err(EnvelopeError::Rotating { .. })));
        drop(lock);
        assert!(envelope.lock().is_ok());
        let fresh = Envelope::new(&folder.path().join("envelope.key"));
        assert!(matches!(fresh.open(&sealed, "TCPIP.A"), Err(EnvelopeError::Unknown { .. })));
        assert!(fresh.open(&next, "TCPIP.A").is_ok());
    }

    #[test]
    fn a_file_that_others_read_or_that_is_no_key_is_refused() {
        let (folder, envelope) = envelope();
        let path = folder.path().join("envelope.key");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
        assert!(matches!(envelope.seal(b"x", "A"), Err(EnvelopeError::Open { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
        fs::write(&path, "\nshort\n").expect("written");
        assert!(matches!(envelope.seal(b"x", "A"), Err(EnvelopeError::Malformed { line: 2, .. })));
        fs::write(&path, "").expect("written");
        assert!(matches!(envelope.seal(b"x", "A"), Err(EnvelopeError::Empty { .. })));
        fs::remove_file(&path).expect("removed");
        assert!(matches!(envelope.seal(b"x", "A"), Err(EnvelopeError::File { .. })));
    }
}
