//! Where a policy's `Keyring` leads: to files by path, or to RACF's rings in the database.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::PrivatePkcs8KeyDer;
use saf::{CommandResult, Saf, Snapshot, Userid, is_ring_name};
use tokio::runtime::Handle;
use tracing::{info, warn};

use crate::KeyringError;
use crate::authority::{KeyProof, RingAccess, read_ring};
use crate::envelope::Envelope;
use crate::ring::{Ring, RingCertificate, chain, usable};
use crate::store::{self, Connected, Owner, Stored};

/// Where a policy's `Keyring` value leads.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct RingLocation {
    name: String,
    place: Place,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
enum Place {
    /// A file, or a folder of files.
    Path(PathBuf),
    /// A ring of a user.
    Ring(Userid, String),
    /// Every certificate of an owner: `USER/*`, `*AUTH*/*`, `*SITE*/*`.
    Virtual(VirtualOwner),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
enum VirtualOwner {
    User(Userid),
    Authority,
    Site,
}

impl RingLocation {
    /// `/a/path`, `OWNER/RING`, or `RING` of `owner`.
    ///
    /// # Errors
    ///
    /// [`KeyringError::BadName`] when it is none of them.
    pub fn resolve(name: &str, owner: &str) -> Result<Self, KeyringError> {
        let bad = || KeyringError::BadName { name: name.to_owned() };
        let at = |place| Ok(Self { name: name.to_owned(), place });
        if name.starts_with('/') {
            return at(Place::Path(PathBuf::from(name)));
        }
        let (owner, ring) = name.split_once('/').unwrap_or((owner, name));
        match (owner.to_ascii_uppercase().as_str(), ring) {
            ("*AUTH*", "*") => at(Place::Virtual(VirtualOwner::Authority)),
            ("*SITE*", "*") => at(Place::Virtual(VirtualOwner::Site)),
            // RACF folds the owner to upper case; ring names keep their case.
            (owner, ring) => {
                let owner = Userid::parse(owner).ok_or_else(bad)?;
                match ring {
                    "*" => at(Place::Virtual(VirtualOwner::User(owner))),
                    ring if is_ring_name(ring) => at(Place::Ring(owner, ring.to_owned())),
                    _ => Err(bad()),
                }
            }
        }
    }

    /// The file or folder; none for a ring of the database.
    #[must_use]
    pub fn path(&self) -> Option<&std::path::Path> {
        match &self.place {
            Place::Path(path) => Some(path),
            _ => None,
        }
    }
}

/// As the policy writes it.
impl fmt::Display for RingLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Whoever can read rings.
pub trait ReadsRings: fmt::Debug + Send + Sync {
    /// Reads a ring; not from within an asynchronous task. `password` is for files.
    ///
    /// # Errors
    ///
    /// When it is not there, may not be read, or holds what cannot be used.
    fn read(&self, location: &RingLocation, password: Option<&str>) -> Result<Ring, KeyringError>;
}

/// The rings of a database, as one user may read them, and those in files.
#[derive(Debug)]
pub struct Keyrings {
    saf: Arc<Saf>,
    envelope: Arc<Envelope>,
    reader: Userid,
    runtime: Handle,
}

impl Keyrings {
    /// `reader` is the user AT-TLS reads rings as; `runtime` one with threads of its own.
    #[must_use]
    pub fn new(saf: Arc<Saf>, envelope: Arc<Envelope>, reader: Userid, runtime: Handle) -> Self {
        Self { saf, envelope, reader, runtime }
    }

    /// Encrypts every private key of the database under a new envelope key, as a command of `issuer`'s. The old one leaves the
    /// file when that is done; where the file had the new key already, both stay.
    ///
    /// # Errors
    ///
    /// When the database does not answer, or the file cannot be read or written.
    pub async fn rotate_key(&self, issuer: &Userid) -> Result<CommandResult, KeyringError> {
        let ring = || "of every user".to_owned();
        let envelope = |source| KeyringError::Envelope { ring: ring(), source };
        let _alone = self.envelope.lock().map_err(envelope)?;
        let made_here = self.envelope.has_one_key().map_err(envelope)?;
        let result = self.saf.command(issuer, "RACDCERT ROTATEKEY").await;
        let mut result = result.map_err(|source| KeyringError::Database { ring: ring(), source })?;
        if made_here && result.code < 8 {
            let old = self.envelope.end_rotation().map_err(envelope)?;
            result.lines.push(format!(
                "THE OLD KEY IS IN {}: COPIES OF THE DATABASE MADE BEFORE NEED IT; DELETE IT WHEN THEY ARE GONE",
                old.display()
            ));
        }
        Ok(result)
    }
}

impl ReadsRings for Keyrings {
    fn read(&self, location: &RingLocation, password: Option<&str>) -> Result<Ring, KeyringError> {
        let name = &location.name;
        match &location.place {
            Place::Path(path) => Ring::from_files(name, path, password),
            Place::Ring(owner, ring) => self.runtime.block_on(self.ring(name, *owner, ring)),
            Place::Virtual(owner) => self.runtime.block_on(self.every(name, *owner)),
        }
    }
}

/// Rings in files only.
#[derive(Clone, Copy, Debug)]
pub struct FileRings;

impl ReadsRings for FileRings {
    fn read(&self, location: &RingLocation, password: Option<&str>) -> Result<Ring, KeyringError> {
        match location.path() {
            Some(path) => Ring::from_files(&location.name, path, password),
            None => Err(KeyringError::NoDatabase { ring: location.name.clone() }),
        }
    }
}

impl Keyrings {
    async fn ring(&self, name: &str, owner: Userid, ring: &str) -> Result<Ring, KeyringError> {
        let database = |source| KeyringError::Database { ring: name.to_owned(), source };
        let snapshot = self.saf.snapshot();
        let access = self.access(&snapshot, name, owner.as_str(), ring, owner == self.reader)?;
        let mut connection = self.saf.read().await.map_err(database)?;
        if !store::ring_exists(&mut connection, owner, ring).await.map_err(database)? {
            return Err(KeyringError::NoRing { ring: name.to_owned(), owner, name: ring.to_owned() });
        }
        let places = store::in_ring(&mut connection, owner, ring).await.map_err(database)?;
        self.assemble(name, &access, places)
    }

    async fn every(&self, name: &str, owner: VirtualOwner) -> Result<Ring, KeyringError> {
        let database = |source| KeyringError::Database { ring: name.to_owned(), source };
        let (owner, own) = match owner {
            VirtualOwner::User(userid) => (Owner::User(userid), userid == self.reader),
            // They hold no private keys for anybody.
            VirtualOwner::Authority => (Owner::Authority, true),
            VirtualOwner::Site => (Owner::Site, true),
        };
        let snapshot = self.saf.snapshot();
        let access = self.access(&snapshot, name, &owner.qualifier(), "IRR_VIRTUAL_LISTRING", own)?;
        let mut connection = self.saf.read().await.map_err(database)?;
        let stored = store::of_owner(&mut connection, owner).await.map_err(database)?;
        let places = stored.into_iter().map(|stored| {
            let place = Connected {
                ring_owner: self.reader,
                ring: "*".to_owned(),
                usage: owner.usage().to_owned(),
                is_default: false,
            };
            (stored, place)
        });
        self.assemble(name, &access, places.collect())
    }

    fn access(
        &self,
        snapshot: &Snapshot,
        name: &str,
        owner: &str,
        ring: &str,
        own: bool,
    ) -> Result<RingAccess, KeyringError> {
        if snapshot.verify(self.reader, None, None, chrono::Utc::now().date_naive()).saf != 0 {
            return Err(KeyringError::NoReader { ring: name.to_owned(), reader: self.reader });
        }
        read_ring(snapshot, self.reader, owner, ring, own).map_err(|needed| {
            warn!(target: "audit", userid = %self.reader, ring = name, needed, "key ring refused");
            KeyringError::NotAuthorized { ring: name.to_owned(), reader: self.reader, needed }
        })
    }

    /// The ring of what is connected: trusted certificates only, with the private keys its reader may have.
    fn assemble(
        &self,
        name: &str,
        access: &RingAccess,
        places: Vec<(Stored, Connected)>,
    ) -> Result<Ring, KeyringError> {
        let usable: Vec<(Stored, Connected)> =
            places.into_iter().filter(|(stored, _)| stored.status != "NOTRUST").collect();
        let authorities: Vec<CertificateDer<'static>> = usable
            .iter()
            .filter(|(stored, place)| place.usage == "CERTAUTH" && stored.certificate.is_authority())
            .map(|(stored, _)| stored.certificate.der().clone())
            .collect();
        let mut certificates = Vec::new();
        let mut handed_out = Vec::new();
        for (stored, place) in usable.iter().filter(|(_, place)| place.usage == "PERSONAL") {
            let (key, no_key) = match (&stored.key, access.key(stored.owner)) {
                (None, _) => (None, None),
                (Some(_), Err(needed)) => (None, Some(format!("user {} needs {needed}", self.reader))),
                (Some(_), Ok(proof)) => {
                    handed_out.push(stored.label.as_str());
                    (Some(self.key(name, &proof, stored)?), None)
                }
            };
            certificates.push(RingCertificate {
                label: stored.label.clone(),
                chain: chain(std::slice::from_ref(stored.certificate.der()), &authorities),
                key,
                no_key,
                authority: stored.certificate.is_authority(),
                not_after: stored.certificate.validity().1,
                is_default: place.is_default,
            });
        }
        info!(target: "audit", userid = %self.reader, ring = name, keys = handed_out.join(", "), "key ring read");
        Ok(Ring::new(name, certificates, authorities, true))
    }

    /// A private key, against the proof that the reader may have it.
    fn key(
        &self,
        ring: &str,
        _proof: &KeyProof,
        stored: &Stored,
    ) -> Result<Arc<dyn rustls::sign::SigningKey>, KeyringError> {
        let unusable = |reason: String| KeyringError::UnusableStoredKey {
            ring: ring.to_owned(),
            label: stored.label.clone(),
            reason,
        };
        let Some(sealed) = &stored.key else { return Err(unusable("it has none".to_owned())) };
        let key = self
            .envelope
            .open(sealed, &Stored::of(&stored.certificate))
            .map_err(|source| KeyringError::Envelope { ring: ring.to_owned(), source })?;
        usable(&PrivatePkcs8KeyDer::from(&key[..]).into()).map_err(unusable)
    }
}
