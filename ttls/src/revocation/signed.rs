//! What revocation lists and OCSP responses have in common: content, and a signature over it (RFC 5280 section 5.1, RFC 6960
//! section 4.2.1).

use rasn::prelude::*;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use webpki::EndEntityCert;

/// The shape of both; a list has no certificates.
#[derive(AsnType, Debug, Decode, Encode)]
pub(super) struct Shape {
    pub(super) content: Any,
    pub(super) algorithm: Any,
    pub(super) signature: BitString,
    #[rasn(tag(explicit(0)))]
    pub(super) certificates: Option<SequenceOf<Any>>,
}

/// Signed content, not yet verified.
#[derive(Debug)]
pub(super) struct Signed {
    /// The signed bytes, a DER SEQUENCE.
    pub(super) content: Vec<u8>,
    /// The AlgorithmIdentifier's content, without empty parameters.
    algorithm: Vec<u8>,
    signature: Vec<u8>,
    /// Certificates that came with it.
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

const NULL: &[u8] = &[5, 0];

impl Signed {
    /// Takes DER apart; `None` when it is not of this shape.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let shape: Shape = rasn::der::decode(der).ok()?;
        let certificates = shape.certificates.unwrap_or_default();
        Some(Self {
            content: shape.content.as_bytes().to_vec(),
            algorithm: without_null(inside(shape.algorithm.as_bytes())?).to_vec(),
            signature: shape.signature.as_raw_slice().to_vec(),
            certificates: certificates.iter().map(|one| CertificateDer::from(one.as_bytes().to_vec())).collect(),
        })
    }

    /// Whether the holder of this certificate's key signed it, with one of these algorithms.
    pub(super) fn is_by(
        &self,
        signer: &CertificateDer<'_>,
        algorithms: &[&'static dyn SignatureVerificationAlgorithm],
    ) -> bool {
        let Ok(signer) = EndEntityCert::try_from(signer) else { return false };
        let fitting = algorithms.iter().filter(|one| without_null(one.signature_alg_id().as_ref()) == self.algorithm);
        fitting.into_iter().any(|one| signer.verify_signature(*one, &self.content, &self.signature).is_ok())
    }
}

/// RSA's empty parameters may be left out.
fn without_null(identifier: &[u8]) -> &[u8] {
    identifier.strip_suffix(NULL).unwrap_or(identifier)
}

/// The content of a short DER value.
fn inside(der: &[u8]) -> Option<&[u8]> {
    let length = usize::from(*der.get(1)?);
    (length < 0x80).then(|| der.get(2..2 + length))?
}
