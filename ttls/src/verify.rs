//! Checking a server's certificate as AT-TLS does: it must chain to an authority of the key ring, and when reference
//! names are coded it must carry one of them (RFC 9525). Without reference names any certificate of the ring's
//! authorities is accepted.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

#[derive(Debug)]
pub(crate) struct RingVerifier {
    pub(crate) authorities: Arc<RootCertStore>,
    pub(crate) provider: Arc<CryptoProvider>,
    /// Empty: any name.
    pub(crate) names: Vec<ServerName<'static>>,
}

impl ServerCertVerifier for RingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.authorities, intermediates, now, algorithms)?;
        let mut mismatch = None;
        for name in &self.names {
            match verify_server_name(&certificate, name) {
                Ok(()) => return Ok(ServerCertVerified::assertion()),
                Err(error) => mismatch = Some(error),
            }
        }
        match mismatch {
            None => Ok(ServerCertVerified::assertion()),
            Some(error @ Error::InvalidCertificate(_)) => Err(error),
            Some(_) => Err(Error::InvalidCertificate(CertificateError::NotValidForName)),
        }
    }

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
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs;

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
