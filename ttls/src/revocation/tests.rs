//! Lists and responses that were tampered with say nothing, and nothing they hold ends the program.

use rasn::types::{Any, BitString, Integer, ObjectIdentifier, OctetString};
use rasn_ocsp::{
    CertStatus, OcspResponse, OcspResponseStatus, ResponderId, ResponseBytes, ResponseData, SingleResponse,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber, SigningKey as _,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::list::List;
use super::ocsp::{Allowed, Subject, Unusable, judge};
use super::{Algorithms, Standing, seconds};

struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate").der().clone();
    Authority { certificate, issuer: Issuer::new(params, key) }
}

impl Authority {
    fn issue(&self, serial: u64) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["host.example".to_owned()]).expect("a name");
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().expect("a key");
        params.signed_by(&key, &self.issuer).expect("a certificate").der().clone()
    }

    fn list(&self, serial: u64) -> Vec<u8> {
        self.list_with(serial, None)
    }

    fn list_with(&self, serial: u64, point: Option<rcgen::CrlIssuingDistributionPoint>) -> Vec<u8> {
        let now = std::time::SystemTime::now();
        let hour = std::time::Duration::from_secs(3600);
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: (now - hour).into(),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: (now - hour).into(),
            next_update: (now + hour).into(),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: point,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect("a list").der().to_vec()
    }

    /// A response about a certificate, signed by this authority's key.
    fn response(&self, subject: &Subject, status: CertStatus, hours: i64) -> Vec<u8> {
        let time = |hours: i64| (chrono::Utc::now() + chrono::Duration::hours(hours)).fixed_offset();
        let single = SingleResponse {
            cert_id: subject.id().expect("an id"),
            cert_status: status,
            this_update: time(hours - 1),
            next_update: Some(time(hours)),
            single_extensions: None,
        };
        let data = ResponseData {
            version: Integer::from(0),
            responder_id: ResponderId::ByKey(OctetString::from(vec![0; 20])),
            produced_at: time(hours - 1),
            responses: vec![single],
            response_extensions: None,
        };
        let content = rasn::der::encode(&data).expect("content");
        let signature = self.issuer.key().sign(&content).expect("a signature");
        // ecdsa-with-SHA256
        let algorithm = vec![0x30, 10, 6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 2];
        let basic = super::signed::Shape {
            content: Any::new(content),
            algorithm: Any::new(algorithm),
            signature: BitString::from_vec(signature),
            certificates: None,
        };
        let response = OcspResponse {
            status: OcspResponseStatus::Successful,
            bytes: Some(ResponseBytes {
                r#type: ObjectIdentifier::new(super::ocsp::BASIC).expect("an identifier"),
                response: OctetString::from(rasn::der::encode(&basic).expect("a response")),
            }),
        };
        rasn::der::encode(&response).expect("a response")
    }
}

fn algorithms() -> Algorithms {
    default_provider().signature_verification_algorithms.all
}

fn allowed() -> Allowed<'static> {
    Allowed { responses: algorithms(), certificates: algorithms() }
}

fn now() -> i64 {
    seconds(UnixTime::now())
}

#[test]
fn a_list_names_its_issuer_s_certificates_only() {
    let (authority, other) = (authority(), authority());
    let list = List::read(&authority.list(7)).expect("a list");
    let says = |certificate: &CertificateDer<'_>, issuer: &CertificateDer<'_>, at: i64| {
        let (_, certificate) = X509Certificate::from_der(certificate).expect("a certificate");
        list.standing(&certificate, issuer, algorithms(), at)
    };
    let (revoked, good) = (authority.issue(7), authority.issue(8));
    assert!(matches!(says(&revoked, &authority.certificate, now()), Some(Standing::Revoked { .. })));
    assert_eq!(says(&good, &authority.certificate, now()), Some(Standing::Good));
    assert_eq!(says(&good, &other.certificate, now()), None);
    assert_eq!(says(&good, &authority.certificate, now() + 7200), Some(Standing::Stale));
    assert_eq!(says(&good, &authority.certificate, now() - 7200), Some(Standing::Stale));
    // What a list named stays named.
    assert!(matches!(says(&revoked, &authority.certificate, now() + 7200), Some(Standing::Revoked { .. })));
}

#[test]
fn a_list_for_one_distribution_point_is_no_complete_one() {
    let authority = authority();
    let url = |name: &str| format!("http://lists.example/{name}");
    let point = rcgen::CrlDistributionPoint { uris: vec![url("1")] };
    let idp = rcgen::CrlIssuingDistributionPoint { distribution_point: point, scope: None };
    let list = List::read(&authority.list_with(7, Some(idp))).expect("a list");
    for (name, expected) in [("1", Some(Standing::Good)), ("2", None)] {
        let mut params = CertificateParams::new(vec!["host.example".to_owned()]).expect("a name");
        params.crl_distribution_points.push(rcgen::CrlDistributionPoint { uris: vec![url(name)] });
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &authority.issuer).expect("a certificate").der().clone();
        let (_, certificate) = X509Certificate::from_der(&certificate).expect("a certificate");
        assert_eq!(list.standing(&certificate, &authority.certificate, algorithms(), now()), expected, "{name}");
    }
}

#[test]
fn a_list_with_one_byte_changed_says_nothing_else() {
    let authority = authority();
    let certificate = authority.issue(7);
    let (_, certificate) = X509Certificate::from_der(&certificate).expect("a certificate");
    let bytes = authority.list(7);
    for at in 0..bytes.len() {
        for change in [1, 0x80, 0xFF] {
            let mut changed = bytes.clone();
            if let Some(byte) = changed.get_mut(at) {
                *byte ^= change;
            }
            let said = List::read(&changed)
                .and_then(|list| list.standing(&certificate, &authority.certificate, algorithms(), now()));
            assert_ne!(said, Some(Standing::Good), "byte {at}");
        }
        assert!(bytes.get(..at).and_then(List::read).is_none(), "the first {at} bytes");
    }
}

#[test]
fn a_response_with_one_byte_changed_says_nothing_else() {
    let authority = authority();
    let certificate = authority.issue(7);
    let (_, certificate) = X509Certificate::from_der(&certificate).expect("a certificate");
    let subject = Subject::of(&certificate, &authority.certificate).expect("a subject");
    let judged = |bytes: &[u8]| judge(bytes, &subject, &authority.certificate, allowed(), None, UnixTime::now());
    let info = rasn_ocsp::RevokedInfo { revocation_time: chrono::Utc::now().fixed_offset(), revocation_reason: None };
    let bytes = authority.response(&subject, CertStatus::Revoked(info), 1);
    assert!(matches!(judged(&bytes).map(|word| word.standing), Ok(Standing::Revoked { .. })));
    for at in 0..bytes.len() {
        for change in [1, 0x80, 0xFF] {
            let mut changed = bytes.clone();
            if let Some(byte) = changed.get_mut(at) {
                *byte ^= change;
            }
            assert_ne!(judged(&changed).map(|word| word.standing), Ok(Standing::Good), "byte {at}");
        }
        assert!(bytes.get(..at).is_some_and(|cut| judged(cut).is_err()), "the first {at} bytes");
    }
}

#[test]
fn a_response_counts_for_its_certificate_time_and_signer() {
    let (authority, other) = (authority(), authority());
    let certificates = [authority.issue(7), authority.issue(8)];
    let [subject, neighbour] = certificates.map(|certificate| {
        let (_, certificate) = X509Certificate::from_der(&certificate).expect("a certificate");
        Subject::of(&certificate, &authority.certificate).expect("a subject")
    });
    let judged = |bytes: &[u8], subject: &Subject, nonce: Option<&[u8]>| {
        let word = judge(bytes, subject, &authority.certificate, allowed(), nonce, UnixTime::now());
        word.map(|word| word.standing)
    };
    let good = authority.response(&subject, CertStatus::Good, 1);
    assert_eq!(judged(&good, &subject, None), Ok(Standing::Good));
    assert_eq!(judged(&good, &neighbour, None), Err(Unusable::OtherCertificate));
    assert_eq!(judged(&good, &subject, Some(&[1; 8])), Err(Unusable::Nonce));
    let old = authority.response(&subject, CertStatus::Good, -2);
    assert_eq!(judged(&old, &subject, None), Err(Unusable::NotCurrent));
    let early = authority.response(&subject, CertStatus::Good, 4);
    assert_eq!(judged(&early, &subject, None), Err(Unusable::NotCurrent));
    let alien = other.response(&subject, CertStatus::Good, 1);
    assert_eq!(judged(&alien, &subject, None), Err(Unusable::Signature));
    let unknown = authority.response(&subject, CertStatus::Unknown(()), 1);
    assert_eq!(judged(&unknown, &subject, None), Err(Unusable::UnknownCertificate));
}
