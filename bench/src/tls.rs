//! The one set of TLS parameters that everything is measured with, and what was negotiated instead.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, CommonState, HandshakeKind, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

/// The server's name in certificates and server name indications.
pub(crate) const NAME: &str = "server.example";

/// What every handshake must end on.
const PARAMETERS: &str = "TLSv1_3 TLS13_AES_128_GCM_SHA256 X25519";

/// Handshakes that were made.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Tally {
    pub(crate) full: u64,
    pub(crate) resumed: u64,
    /// Parameters that were negotiated instead of [`PARAMETERS`].
    others: BTreeSet<String>,
}

impl Tally {
    /// Counts a handshake that is complete.
    pub(crate) fn add(&mut self, state: &CommonState) {
        match state.handshake_kind() {
            Some(HandshakeKind::Resumed) => self.resumed += 1,
            _ => self.full += 1,
        }
        let parameters = parameters(state);
        if parameters != PARAMETERS {
            self.others.insert(parameters);
        }
    }

    /// Counts another's handshakes too.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.full += other.full;
        self.resumed += other.resumed;
        self.others.extend(other.others.iter().cloned());
    }

    /// Counts from zero again, but forgets no parameters.
    pub(crate) fn restart(&mut self) {
        (self.full, self.resumed) = (0, 0);
    }

    /// What was counted since an earlier state.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self { full: self.full - earlier.full, resumed: self.resumed - earlier.resumed, others: self.others.clone() }
    }

    /// # Errors
    ///
    /// When something else than [`PARAMETERS`] was negotiated.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if !self.others.is_empty() {
            bail!("negotiated {:?}, expected {PARAMETERS}", self.others);
        }
        Ok(())
    }
}

/// What a connection negotiated, in rustls' words.
fn parameters(state: &CommonState) -> String {
    let mut text = String::new();
    if let Some(version) = state.protocol_version() {
        let _ = write!(text, "{version:?}");
    }
    if let Some(suite) = state.negotiated_cipher_suite() {
        let _ = write!(text, " {:?}", suite.suite());
    }
    if let Some(group) = state.negotiated_key_exchange_group() {
        let _ = write!(text, " {:?}", group.name());
    }
    if state.handshake_kind() == Some(HandshakeKind::FullWithHelloRetryRequest) {
        text.push_str(" after a HelloRetryRequest");
    }
    text
}

/// A client that trusts an authority.
pub(crate) fn client(authority: &Path, resume: bool) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).with_context(|| authority.display().to_string())?)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    if !resume {
        config.resumption = Resumption::disabled();
    }
    Ok(config)
}

/// A server with a certificate.
pub(crate) fn server(certificate: &Path, key: &Path, resume: bool) -> anyhow::Result<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    if resume {
        // Tickets that may be used again: some clients keep the newest only.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
    } else {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    }
}
