//! Requests to responders, and what their responses are worth (RFC 6960).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use rasn::types::{Any, Integer, ObjectIdentifier, OctetString};
use rasn_ocsp::{CertId, CertStatus, OcspRequest, OcspResponse, OcspResponseStatus, Request, ResponseData, TbsRequest};
use rasn_pkix::{AlgorithmIdentifier, Extension, Extensions};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::signed::Signed;
use super::{SKEW, Standing};

/// What one certificate is called in requests: hashes of its issuer's name and key, and its serial number.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Subject {
    name_hash: Vec<u8>,
    key_hash: Vec<u8>,
    serial: Vec<u8>,
}

/// Why a response says nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Unusable {
    #[error("the response cannot be read")]
    Malformed,
    #[error("the responder says {0}")]
    Unsuccessful(&'static str),
    #[error("neither the issuer nor a responder it appointed signed the response")]
    Signature,
    #[error("the response is about other certificates")]
    OtherCertificate,
    #[error("the response is not from now")]
    NotCurrent,
    #[error("the response does not repeat the nonce")]
    Nonce,
    #[error("the responder does not know the certificate")]
    UnknownCertificate,
}

const SHA1: &[u32] = &[1, 3, 14, 3, 2, 26];
const NONCE: &[u32] = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 2];
pub(super) const BASIC: &[u32] = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 1];
/// id-kp-OCSPSigning, the content of its DER.
const OCSP_SIGNING: &[u8] = &[0x2B, 6, 1, 5, 5, 7, 3, 9];
/// Responses without an end are taken for this many seconds.
const WITHOUT_END: i64 = 86_400;

fn sha1(bytes: &[u8]) -> Vec<u8> {
    // A name, not a protection: responders know certificates by it (RFC 5019 section 2.1.1).
    digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()
}

impl Subject {
    /// Of a certificate and its issuer's.
    pub(super) fn of(certificate: &X509Certificate<'_>, issuer: &CertificateDer<'_>) -> Option<Self> {
        let (_, issuer) = X509Certificate::from_der(issuer).ok()?;
        Some(Self {
            name_hash: sha1(certificate.issuer().as_raw()),
            key_hash: sha1(&issuer.public_key().subject_public_key.data),
            serial: certificate.raw_serial().to_vec(),
        })
    }

    pub(super) fn id(&self) -> Option<CertId> {
        Some(CertId {
            hash_algorithm: AlgorithmIdentifier {
                algorithm: ObjectIdentifier::new(SHA1)?,
                parameters: Some(Any::new(vec![5, 0])),
            },
            issuer_name_hash: OctetString::from(self.name_hash.clone()),
            issuer_key_hash: OctetString::from(self.key_hash.clone()),
            serial_number: integer(&self.serial)?,
        })
    }

    /// Whether a response is about this certificate.
    fn is(&self, id: &CertId) -> bool {
        id.issuer_name_hash.as_ref() == self.name_hash
            && id.issuer_key_hash.as_ref() == self.key_hash
            && integer(&self.serial).is_some_and(|serial| serial == id.serial_number)
    }

    /// The DER of a request, with a nonce where one is given.
    pub(super) fn request(&self, nonce: Option<&[u8]>) -> Option<Vec<u8>> {
        let nonce = match nonce {
            None => None,
            Some(nonce) => Some(Extensions::from(vec![Extension {
                extn_id: ObjectIdentifier::new(NONCE)?,
                critical: false,
                extn_value: OctetString::from(rasn::der::encode(&OctetString::from(nonce.to_vec())).ok()?),
            }])),
        };
        let request = OcspRequest {
            tbs_request: TbsRequest {
                version: Integer::from(0),
                requestor_name: None,
                request_list: vec![Request { req_cert: self.id()?, single_request_extensions: None }],
                request_extensions: nonce,
            },
            optional_signature: None,
        };
        rasn::der::encode(&request).ok()
    }
}

/// The INTEGER of a serial number's content.
fn integer(content: &[u8]) -> Option<Integer> {
    let length = u8::try_from(content.len()).ok().filter(|length| *length < 0x80)?;
    let der: Vec<u8> = [2, length].into_iter().chain(content.iter().copied()).collect();
    rasn::der::decode(&der).ok()
}

/// The path of a request by GET (RFC 6960 appendix A.1).
pub(super) fn by_get(url: &str, request: &[u8]) -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode(request);
    let escaped = encoded.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("{}/{escaped}", url.trim_end_matches('/'))
}

/// A response's word, and until when (seconds since the epoch) it may be kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Word {
    pub(super) standing: Standing,
    pub(super) good_until: i64,
}

/// The signature algorithms of responses and of certificates.
#[derive(Clone, Copy)]
pub(super) struct Allowed<'a> {
    pub(super) responses: &'a [&'static dyn SignatureVerificationAlgorithm],
    pub(super) certificates: &'a [&'static dyn SignatureVerificationAlgorithm],
}

/// Reads a response about a certificate and verifies it: signed by the issuer, or by a responder that the issuer appointed
/// with a certificate for it (RFC 6960 section 4.2.2.2).
pub(super) fn judge(
    response: &[u8],
    subject: &Subject,
    issuer: &CertificateDer<'_>,
    algorithms: Allowed<'_>,
    nonce: Option<&[u8]>,
    now: UnixTime,
) -> Result<Word, Unusable> {
    let response: OcspResponse = rasn::der::decode(response).map_err(|_| Unusable::Malformed)?;
    if let Some(reason) = failure(response.status) {
        return Err(Unusable::Unsuccessful(reason));
    }
    let bytes = response.bytes.ok_or(Unusable::Malformed)?;
    if ObjectIdentifier::new(BASIC).is_none_or(|basic| basic != bytes.r#type) {
        return Err(Unusable::Malformed);
    }
    let signed = Signed::read(&bytes.response).ok_or(Unusable::Malformed)?;
    let data: ResponseData = rasn::der::decode(&signed.content).map_err(|_| Unusable::Malformed)?;
    if !is_authorized(&signed, issuer, algorithms, now) {
        return Err(Unusable::Signature);
    }
    if let Some(nonce) = nonce
        && !repeats(&data, nonce)
    {
        return Err(Unusable::Nonce);
    }
    let found = data.responses.iter().find(|one| subject.is(&one.cert_id)).ok_or(Unusable::OtherCertificate)?;
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let this_update = found.this_update.timestamp();
    let next_update = found.next_update.as_ref().map(|time| time.timestamp());
    let end = next_update.unwrap_or(this_update.saturating_add(WITHOUT_END));
    if this_update > seconds.saturating_add(SKEW) || seconds > end.saturating_add(SKEW) {
        return Err(Unusable::NotCurrent);
    }
    // A response without an end may be overtaken at any time.
    let good_until = next_update.unwrap_or(seconds.saturating_add(60));
    let standing = match &found.cert_status {
        CertStatus::Good => Standing::Good,
        CertStatus::Revoked(info) => Standing::Revoked { since: info.revocation_time.timestamp() },
        CertStatus::Unknown(()) => return Err(Unusable::UnknownCertificate),
    };
    Ok(Word { standing, good_until })
}

fn failure(status: OcspResponseStatus) -> Option<&'static str> {
    match status {
        OcspResponseStatus::Successful => None,
        OcspResponseStatus::MalformedRequest => Some("malformedRequest"),
        OcspResponseStatus::InternalError => Some("internalError"),
        OcspResponseStatus::TryLater => Some("tryLater"),
        OcspResponseStatus::SigRequired => Some("sigRequired: requests must be signed"),
        OcspResponseStatus::Unauthorized => Some("unauthorized: it knows nothing of the certificate"),
    }
}

fn is_authorized(signed: &Signed, issuer: &CertificateDer<'_>, algorithms: Allowed<'_>, now: UnixTime) -> bool {
    if signed.is_by(issuer, algorithms.responses) {
        return true;
    }
    let Ok(anchor) = anchor_from_trusted_cert(issuer) else { return false };
    signed.certificates.iter().any(|certificate| {
        let appointed = EndEntityCert::try_from(certificate).is_ok_and(|responder| {
            let usage = KeyUsage::required(OCSP_SIGNING);
            responder
                .verify_for_usage(algorithms.certificates, std::slice::from_ref(&anchor), &[], now, usage, None, None)
                .is_ok()
        });
        appointed && signed.is_by(certificate, algorithms.responses)
    })
}

fn repeats(data: &ResponseData, nonce: &[u8]) -> bool {
    let extensions = data.response_extensions.iter().flat_map(|extensions| extensions.iter());
    let mut nonces = extensions.filter(|one| ObjectIdentifier::new(NONCE).is_some_and(|oid| oid == one.extn_id));
    nonces.any(|one| {
        let value: Result<OctetString, _> = rasn::der::decode(&one.extn_value);
        value.is_ok_and(|value| value.as_ref() == nonce)
    })
}
