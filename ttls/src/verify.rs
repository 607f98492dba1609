//! Checking a peer's certificate as AT-TLS does: it must chain to an authority of the key ring, its key must be long
//! enough, and a server's must carry one of the reference names, where some are coded (RFC 9525). Without reference names
//! any certificate of the ring's authorities is accepted.

use std::sync::Arc;

use policies::parameters::PeerRequirements;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;

use crate::revocation::{Revocation, RevocationError};

/// Why a certificate that chains to an authority is not accepted.
#[derive(Debug, thiserror::Error)]
enum Unacceptable {
    #[error("its {kind} key has {bits} bits, {parameter} asks for {minimum}")]
    ShortKey { kind: &'static str, bits: usize, parameter: &'static str, minimum: u32 },
    #[error("it is for {presented}, the policy expects {expected}{wildcards}")]
    OtherName { presented: String, expected: String, wildcards: &'static str },
}

impl From<Unacceptable> for Error {
    fn from(reason: Unacceptable) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(reason))))
    }
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    let parsed = X509Certificate::from_der(certificate);
    parsed.map(|(_, parsed)| parsed).map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))
}

/// `PeerMinRsaKeySize` and `PeerMinECCKeySize`.
fn check_key(certificate: &X509Certificate<'_>, requirements: &PeerRequirements) -> Result<(), Error> {
    let key = certificate.public_key().parsed();
    let (kind, parameter, minimum) = match &key {
        Ok(PublicKey::RSA(_)) => ("RSA", "PeerMinRsaKeySize", requirements.min_rsa),
        Ok(PublicKey::EC(_)) => ("EC", "PeerMinECCKeySize", requirements.min_ecc),
        _ => return Ok(()), // Ed25519 has one size
    };
    let bits = key.map_or(0, |key| key.key_size());
    if bits < minimum as usize {
        return Err(Unacceptable::ShortKey { kind, bits, parameter, minimum }.into());
    }
    Ok(())
}

/// `HostReferenceIdDNS` against the DNS names of the subjectAltName, and `HostReferenceIdCN` against the common name of a
/// certificate that has neither DNS names nor others that say what service it is for (RFC 6125, section 6.4.4).
fn check_names(certificate: &X509Certificate<'_>, requirements: &PeerRequirements) -> Result<(), Error> {
    let PeerRequirements { host_names, common_names, wildcards, .. } = requirements;
    if host_names.is_empty() && common_names.is_empty() {
        return Ok(());
    }
    let extension = certificate.subject_alternative_name();
    let extension = extension.map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let names = extension.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let no_service = |name: &GeneralName<'_>| {
        matches!(name, GeneralName::RFC822Name(_) | GeneralName::DirectoryName(_) | GeneralName::IPAddress(_))
    };
    let by_common_name = names.iter().all(no_service);
    let mut presented: Vec<&str> = names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        })
        .collect();
    let matching = |references: &[String], presented: &[&str]| {
        references.iter().any(|name| presented.iter().any(|presented| matches(name, presented, *wildcards)))
    };
    if matching(host_names, &presented) {
        return Ok(());
    }
    if by_common_name {
        presented = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok()).collect();
        if matching(common_names, &presented) {
            return Ok(());
        }
    }
    let has_wildcard = presented.iter().any(|name| name.starts_with("*."));
    let presented = if presented.is_empty() { "no name".to_owned() } else { presented.join(", ") };
    let expected = host_names.iter().chain(common_names).map(String::as_str).collect::<Vec<_>>().join(" or ");
    let off = "; wildcards do not count while HostRefWildcardValidation is Off";
    let wildcards = if has_wildcard && !wildcards { off } else { "" };
    Err(Unacceptable::OtherName { presented, expected, wildcards }.into())
}

/// Whether a name of a certificate is the reference name; a wildcard stands for the whole left-most label.
pub(crate) fn matches(reference: &str, presented: &str, wildcards: bool) -> bool {
    let reference = reference.trim_end_matches('.');
    if reference.eq_ignore_ascii_case(presented.trim_end_matches('.')) {
        return true;
    }
    let Some(domain) = presented.strip_prefix("*.").filter(|domain| wildcards && domain.contains('.')) else {
        return false;
    };
    reference.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(domain))
}

/// Asks again what may have changed since the handshake that a session was made in: nobody verifies the certificate of a
/// resumed session, and a ticket lives longer than some certificates. What a peer sends beside its own certificate need
/// not be on the way to the authority it was verified by, so only that one is looked at.
pub(crate) fn check_dates(chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
    let now = i64::try_from(now.as_secs()).ok().and_then(|now| ASN1Time::from_timestamp(now).ok());
    let now = now.ok_or(Error::InvalidCertificate(CertificateError::Expired))?;
    if let Some(certificate) = chain.first() {
        let parsed = parse(certificate)?;
        let validity = parsed.validity();
        if now > validity.not_after {
            return Err(Error::InvalidCertificate(CertificateError::Expired));
        }
        if now < validity.not_before {
            return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
        }
    }
    Ok(())
}

/// What is known of a chain's revocation without asking: a peer that is refused here is told by an alert.
fn check_revocation(
    revocation: Option<&Revocation>,
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    staple: &[u8],
    server: bool,
    now: UnixTime,
) -> Result<(), Error> {
    let Some(revocation) = revocation else { return Ok(()) };
    let chain: Vec<CertificateDer<'_>> = std::iter::once(end_entity).chain(intermediates).cloned().collect();
    revocation.check_at_once(&chain, staple, server, now).map_err(|reason| unacceptable(&reason))
}

/// A certificate that is refused for its revocation, in the words of the TLS library.
pub(crate) fn unacceptable(reason: &RevocationError) -> Error {
    Error::InvalidCertificate(match reason {
        RevocationError::Revoked { .. } => CertificateError::Revoked,
        _ => CertificateError::Other(OtherError(Arc::new(reason.clone()))),
    })
}

/// Both verifiers check by the provider's algorithms that the peer holds the certificate's key.
macro_rules! handshake_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.provider.signature_verification_algorithms.supported_schemes()
        }
    };
}

/// What a client checks of its server.
#[derive(Debug)]
pub(crate) struct ServerVerifier {
    pub(crate) authorities: Arc<RootCertStore>,
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) requirements: PeerRequirements,
    pub(crate) revocation: Option<Arc<Revocation>>,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.authorities, intermediates, now, algorithms)?;
        let parsed = parse(end_entity)?;
        check_key(&parsed, &self.requirements)?;
        check_names(&parsed, &self.requirements)?;
        check_revocation(self.revocation.as_deref(), end_entity, intermediates, ocsp_response, true, now)?;
        Ok(ServerCertVerified::assertion())
    }

    handshake_signatures!();
}

/// What a server checks of its clients.
#[derive(Debug)]
pub(crate) struct ClientVerifier {
    /// Checks the chain; none for `ClientAuthType PassThru`, which takes any certificate, or none.
    pub(crate) chain: Option<Arc<dyn ClientCertVerifier>>,
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) requirements: PeerRequirements,
    pub(crate) revocation: Option<Arc<Revocation>>,
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.chain.as_ref().is_some_and(|chain| chain.client_auth_mandatory())
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.as_ref().map(|chain| chain.root_hint_subjects()).unwrap_or_default()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ClientCertVerified::assertion()) };
        let verified = chain.verify_client_cert(end_entity, intermediates, now)?;
        check_key(&parse(end_entity)?, &self.requirements)?;
        check_revocation(self.revocation.as_deref(), end_entity, intermediates, &[], false, now)?;
        Ok(verified)
    }

    // That the client holds the certificate's key is checked whatever the certificate is worth.

    handshake_signatures!();
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs;

    use super::matches;

    #[test]
    fn a_wildcard_stands_for_one_label_where_it_counts() {
        assert!(matches("Host.example.com", "host.EXAMPLE.com", false));
        assert!(matches("host.example.com.", "*.example.com", true));
        assert!(!matches("host.example.com", "*.example.com", false));
        assert!(!matches("a.host.example.com", "*.example.com", true));
        assert!(!matches("example.com", "*.com", true));
        assert!(!matches(".example.com", "*.example.com", true));
    }

    #[test]
    fn the_signature_algorithms_pasearch_shows_are_the_engine_s() {
        let schemes = aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes();
        let codes: Vec<u16> = schemes.into_iter().map(u16::from).collect();
        assert_eq!(codes, policies::group::VERIFIED);
    }

    #[test]
    fn the_suites_and_groups_the_language_calls_negotiable_are_the_engine_s() {
        let mut suites: Vec<u16> = aws_lc_rs::ALL_CIPHER_SUITES.iter().map(|suite| u16::from(suite.suite())).collect();
        let mut groups: Vec<u16> = aws_lc_rs::ALL_KX_GROUPS.iter().map(|group| u16::from(group.name())).collect();
        let mut offered: Vec<u16> =
            policies::cipher::TABLE.iter().filter(|suite| suite.offered).map(|suite| suite.code).collect();
        let mut known: Vec<u16> =
            policies::group::TABLE.iter().filter(|group| group.offered).map(|group| group.code).collect();
        for list in [&mut suites, &mut groups, &mut offered, &mut known] {
            list.sort_unstable();
        }
        assert_eq!((suites, groups), (offered, known));
    }
}
