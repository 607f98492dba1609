//! Rings from files: pairing, labels, authorities, formats, errors.

#[path = "../../../saf/tests/it/engine.rs"]
#[allow(dead_code, reason = "what the database's own tests need of it")]
mod engine;
mod racdcert;

use std::fs;
use std::path::Path;

use keyrings::{FileRings, KeyringError, ReadsRings as _, Ring, RingLocation};
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::UnixTime;
use tempfile::TempDir;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let pem = params.self_signed(&key).expect("a certificate").pem();
    Authority { issuer: Issuer::new(params, key), pem }
}

impl Authority {
    fn issue(&self, name: &str, expired: bool) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        if expired {
            params.not_before = rcgen::date_time_ymd(2019, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.issuer).expect("a certificate"), key)
    }
}

fn load(path: &Path, password: Option<&str>) -> Result<Ring, KeyringError> {
    let name = path.to_string_lossy();
    FileRings.read(&RingLocation::resolve(&name, "TCPIP")?, password)
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

#[test]
fn certificates_find_their_keys_whatever_the_files_are_called() {
    let ca = authority("CA");
    let ((a, a_key), (b, b_key)) = (ca.issue("a.example", false), ca.issue("b.example", false));
    let files = [
        ("ca.pem", ca.pem),
        ("a.pem", a.pem()),
        ("b.pem", b.pem()),
        ("1.key", b_key.serialize_pem()),
        ("2.key", a_key.serialize_pem()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let ring = load(folder(&files).path(), None).expect("a ring");
    for (label, certificate) in [("a", &a), ("b", &b)] {
        let identity = ring.identity(Some(label), UnixTime::now()).expect(label);
        assert_eq!(identity.cert[0], *certificate.der());
    }
    assert_eq!(ring.identity(None, UnixTime::now()).expect("the default").cert[0], *a.der());
    assert_eq!(ring.authorities().expect("one").len(), 1);
}

#[test]
fn the_certificate_labelled_default_is_the_default_and_a_renamed_one_changes_the_ring() {
    let ca = authority("CA");
    let ((a, a_key), (z, z_key)) = (ca.issue("a.example", false), ca.issue("z.example", false));
    let (a, z) = (a.pem() + &a_key.serialize_pem(), z.pem() + &z_key.serialize_pem());
    let before = load(folder(&[("a.pem", &a), ("z.pem", &z)]).path(), None).expect("a ring");
    let after = load(folder(&[("a.pem", &a), ("default.pem", &z)]).path(), None).expect("a ring");
    let sent = |ring: &Ring| ring.identity(None, UnixTime::now()).expect("an identity").cert[0].clone();
    assert_ne!(sent(&before), sent(&after));
    assert_ne!(before.fingerprint(), after.fingerprint());
}

#[test]
fn an_authority_behind_an_end_entity_is_its_chain_and_nobody_is_trusted_for_it() {
    let ca = authority("CA");
    let (leaf, key) = ca.issue("a.example", false);
    let ring =
        load(folder(&[("chain.pem", &(leaf.pem() + &ca.pem + &key.serialize_pem()))]).path(), None).expect("a ring");
    assert_eq!(ring.identity(None, UnixTime::now()).expect("an identity").cert.len(), 2);
    assert!(matches!(ring.authorities(), Err(KeyringError::NoAuthority { .. })));
}

#[test]
fn pkcs12_is_read_with_its_password_and_only_with_it() {
    let ca = authority("CA");
    let (leaf, key) = ca.issue("a.example", false);
    let certificate = Certificate::from_der(leaf.der()).expect("a certificate");
    let private = PrivateKey::from_der(&key.serialize_der()).expect("a key");
    let mut store = KeyStore::new();
    store.add_entry("a", KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new(vec![1], private, [certificate])));
    let bytes = store.writer("secret").write().expect("PKCS#12");
    let folder = folder(&[]);
    fs::write(folder.path().join("a.p12"), bytes).expect("written");
    let ring = load(folder.path(), Some("secret")).expect("a ring");
    assert_eq!(ring.identity(Some("a"), UnixTime::now()).expect("an identity").cert[0], *leaf.der());
    assert!(matches!(load(folder.path(), Some("wrong")), Err(KeyringError::Password { .. })));
    assert!(matches!(load(folder.path(), None), Err(KeyringError::Password { .. })));
}

#[test]
fn what_cannot_be_used_is_told_apart() {
    let ca = authority("CA");
    let (expired, key) = ca.issue("old.example", true);
    let (other, _) = ca.issue("other.example", false);
    let files = [("old.pem", expired.pem() + &key.serialize_pem()), ("other.pem", other.pem())];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let ring = load(folder(&files).path(), None).expect("a ring");
    let now = UnixTime::now();
    assert!(matches!(ring.identity(Some("old"), now), Err(KeyringError::Expired { .. })));
    assert!(matches!(ring.identity(Some("other"), now), Err(KeyringError::NoPrivateKey { .. })));
    let error = ring.identity(Some("nobody"), now).expect_err("no such label").to_string();
    assert!(error.contains("`nobody`") && error.contains("old, other"), "{error}");
    assert!(matches!(load(Path::new("/does/not/exist"), None), Err(KeyringError::Missing { .. })));
    let junk = folder(&[("a.pem", "junk")]);
    assert!(matches!(load(junk.path(), None), Err(KeyringError::Malformed { .. })));
}

#[test]
fn a_ring_s_name_is_a_path_a_ring_of_racf_s_or_nothing() {
    let resolve = |name: &str| RingLocation::resolve(name, "TCPIP");
    assert_eq!(resolve("/a/ring.pem").expect("a ring").path(), Some(Path::new("/a/ring.pem")));
    for name in ["tcpip/Ring", "Ring", "TCPIP/*", "*AUTH*/*", "*site*/*"] {
        assert_eq!(resolve(name).expect(name).path(), None, "{name}");
    }
    assert_eq!(
        resolve("tcpip/Ring").map(|ring| ring.to_string()).ok().as_deref(),
        Some("tcpip/Ring"),
        "as it is written"
    );
    for name in ["../x", "a/../b", "a/b/c", "", "a/", ".a/b", "TOOLONGNAME/R", "A/R*", "*AUTH*/R", "*TOKEN*/T"] {
        assert!(matches!(resolve(name), Err(KeyringError::BadName { .. })), "{name}");
    }
    let stored = FileRings.read(&resolve("TCPIP/RING").expect("a ring"), None);
    assert!(matches!(stored, Err(KeyringError::NoDatabase { .. })));
}
