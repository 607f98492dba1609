//! The signature algorithms of a policy: what is verified, and what our own keys sign with.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use policies::group::VERIFIED;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};

/// Lists that were made once. rustls wants them for ever; there are as many as policies code different ones.
type Made = Mutex<HashMap<(Vec<u16>, Vec<u16>), WebPkiSupportedAlgorithms>>;
static MADE: LazyLock<Made> = LazyLock::new(Mutex::default);

/// The algorithms that are verified: those of handshakes in the policy's order, which is the order they are offered in, and
/// those of certificates.
pub(crate) fn verification(
    engine: WebPkiSupportedAlgorithms,
    handshakes: &[u16],
    certificates: &[u16],
) -> WebPkiSupportedAlgorithms {
    if handshakes == VERIFIED && certificates == VERIFIED {
        return engine;
    }
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    *made.entry((handshakes.to_vec(), certificates.to_vec())).or_insert_with(|| {
        let of = |code: u16| engine.mapping.iter().find(|(scheme, _)| u16::from(*scheme) == code);
        let mapping: Vec<_> = handshakes.iter().filter_map(|&code| of(code).copied()).collect();
        let allowed: Vec<Vec<u8>> = certificates
            .iter()
            .filter_map(|&code| of(code))
            .flat_map(|(_, algorithms)| algorithms.iter().map(|algorithm| identifier(*algorithm)))
            .collect();
        let all: Vec<_> = engine.all.iter().copied().filter(|&one| allowed.contains(&identifier(one))).collect();
        WebPkiSupportedAlgorithms { all: Vec::leak(all), mapping: Vec::leak(mapping) }
    })
}

/// What a certificate calls a signature algorithm. RSA certificates may leave out the empty parameters.
fn identifier(algorithm: &dyn SignatureVerificationAlgorithm) -> Vec<u8> {
    const NULL: &[u8] = &[5, 0];
    let bytes = algorithm.signature_alg_id();
    let bytes = bytes.as_ref();
    bytes.strip_suffix(NULL).unwrap_or(bytes).to_vec()
}

/// The same certificate with a key that signs as the policy says; none when it cannot.
pub(crate) fn limited(identity: Arc<CertifiedKey>, signatures: &[u16]) -> Option<Arc<CertifiedKey>> {
    if signatures == VERIFIED {
        return Some(identity);
    }
    let schemes: Vec<SignatureScheme> = signatures.iter().map(|&code| SignatureScheme::from(code)).collect();
    identity.key.choose_scheme(&schemes)?;
    let key = Arc::new(Limited { key: Arc::clone(&identity.key), schemes });
    Some(Arc::new(CertifiedKey { cert: identity.cert.clone(), key, ocsp: identity.ocsp.clone() }))
}

/// A key that signs with some algorithms only, the first of them that the peer takes.
#[derive(Debug)]
struct Limited {
    key: Arc<dyn SigningKey>,
    schemes: Vec<SignatureScheme>,
}

impl SigningKey for Limited {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let common = self.schemes.iter().filter(|scheme| offered.contains(scheme));
        common.copied().find_map(|scheme| self.key.choose_scheme(&[scheme]))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.key.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs;

    use super::*;

    #[test]
    fn only_what_is_coded_is_verified_in_its_order() {
        let engine = aws_lc_rs::default_provider().signature_verification_algorithms;
        let limited = verification(engine, &[0x0804, 0x0403], &[0x0401]);
        let schemes: Vec<u16> = limited.supported_schemes().into_iter().map(u16::from).collect();
        assert_eq!(schemes, [0x0804, 0x0403]);
        // sha256WithRSAEncryption, with the empty parameters and without.
        assert_eq!(limited.all.len(), 2, "{:?}", limited.all);
        // The engine's own list is taken as it is, and a list is made once.
        assert!(std::ptr::eq(verification(engine, VERIFIED, VERIFIED).all, engine.all));
        assert!(std::ptr::eq(verification(engine, &[0x0804, 0x0403], &[0x0401]).all, limited.all));
    }
}
