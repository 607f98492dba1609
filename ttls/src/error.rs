//! Why a policy cannot be installed, and why a connection failed.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use keyrings::KeyringError;
use rustls::CertificateError;

use crate::revocation::RevocationError;

/// Why nothing was installed. The policy in force stays in force.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum InstallError {
    #[error("rule {rule}, environment action {environment}: {source}")]
    Keyring { rule: String, environment: String, source: Box<KeyringError> },
    #[error("rule {rule}, environment action {environment}: {source}")]
    Tls { rule: String, environment: String, source: rustls::Error },
    #[error("rule {rule}, environment action {environment}: the key ring's authorities cannot be used: {reason}")]
    Authorities { rule: String, environment: String, reason: String },
    #[error("rule {rule}, environment action {environment}: the revocation lists in {path} cannot be used: {source}")]
    RevocationList { rule: String, environment: String, path: PathBuf, source: io::Error },
    #[error(
        "rule {rule}, environment action {environment}: FIPS 140-3 is demanded and the TLS configuration is not approved: \
         this program lacks the module, or its self-test failed"
    )]
    NotFips { rule: String, environment: String },
    #[error("{program} cannot be started: {source}; install the package {package}")]
    MissingProgram { program: &'static str, package: &'static str, source: io::Error },
    #[error("the kernel does not tell which rules it has: {0}")]
    Unknown(#[from] stack::StackError),
    #[error("the kernel did not take the capture rules: {stderr}")]
    Rejected { stderr: String },
    #[error("{command} failed: {stderr}")]
    Command { command: String, stderr: String },
    #[error(
        "the capture port {port} is taken: {source}; another program listens there, or choose another in pagent.toml"
    )]
    PortTaken { port: u16, source: io::Error },
    #[error("the listener {address} of pagent.toml cannot be opened: {source}")]
    ListenerTaken { address: SocketAddr, source: io::Error },
    #[error("the listener {address} of pagent.toml names the rule `{rule}`, which the policy has not")]
    ListenerRule { address: SocketAddr, rule: String },
    #[error(
        "the listener {address} of pagent.toml names the rule `{rule}`, which says `Negotiate ftp`: data connections do not come \
         to the listener and would not be protected; let the kernel capture the connections by the rule's conditions"
    )]
    ListenerFtp { address: SocketAddr, rule: String },
    #[error(
        "the capture port {port} is not below net.ipv4.ip_unprivileged_port_start ({start}): without the daemon any \
         user could take it and read clear text; choose a lower port in pagent.toml or raise the limit"
    )]
    PortUnprotected { port: u16, start: u32 },
    #[error(
        "the running daemon has other marks, another routing table, or another capture.enabled than pagent.toml: its live connections \
         would be taken for others; stop it and start anew instead of taking over"
    )]
    OtherKernel,
    #[error("{path} cannot be written: {source}")]
    File { path: PathBuf, source: io::Error },
}

impl InstallError {
    /// Whether it may have passed in a moment: the SAF database did not answer.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Keyring { source, .. } if matches!(**source, KeyringError::Database { .. }))
    }
}

/// Why a connection was ended before or during its relay.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum ConnectionError {
    #[error("no policy has been installed since the daemon started")]
    NoPolicy,
    #[error("it came to the capture port directly and has no original destination")]
    NotCaptured,
    #[error("it was reset before its rule was found")]
    Gone,
    #[error("the rule `{0}` of its listener is not installed")]
    RuleMissing(String),
    #[error("the rules ask who owns the local socket, and the kernel could not tell: {0}")]
    OwnerUnknown(#[source] stack::StackError),
    #[error("its key ring cannot be used any more: {0}")]
    RingClosed(String),
    #[error("{0} connections are up already, and MaxConnections allows no more")]
    TooMany(u32),
    #[error("more than {0} handshakes in a second, and MaxHandshakesPerSecond allows no more")]
    TooFast(u32),
    #[error("TLS was not agreed on (Negotiate): {0}")]
    NoUpgrade(String),
    #[error("clear text came that the program did not read before it started TLS; it could be anybody's")]
    Unread,
    #[error("its secondary connections (SecondaryMap) cannot be captured: {0}")]
    NotHeld(#[source] InstallError),
    #[error("the destination cannot be reached: {0}")]
    Unreachable(#[source] io::Error),
    #[error("the local program cannot be reached: {0}")]
    ProgramUnreachable(#[source] io::Error),
    #[error("the handshake failed: {}", in_words(.0))]
    Handshake(#[source] io::Error),
    #[error("the peer did not begin its handshake within {0} seconds; does it speak TLS, and as the other role?")]
    HandshakeNotBegun(u32),
    #[error("the peer began its handshake, and within {0} seconds the program did not start TLS (INIT_CONNECTION)")]
    NotStarted(u64),
    #[error("the handshake did not complete within {0} seconds")]
    HandshakeTimeout(u32),
    #[error("the peer's certificate is not accepted: {0}")]
    Revocation(#[source] RevocationError),
    #[error("the client's certificate stands for nobody who may use this port (ClientAuthType SAFCheck): {0}")]
    NotDefinedToSaf(String),
    #[error("the session cannot be resumed any more: {}", words(.0))]
    NoLongerGood(#[source] rustls::Error),
    #[error("the peer broke the TLS connection: {0}")]
    Broken(#[source] rustls::Error),
    #[error("the peer ended TLS without close_notify; the program was told by a reset")]
    Truncated,
    #[error("the connection was aborted: {0}")]
    Aborted(#[from] io::Error),
}

impl ConnectionError {
    /// AT-TLS's return code: 5002 a client certificate without a user, 5003 clear text where TLS was expected, 5004 no handshake
    /// begun and 5005 none completed in time, 202 a key ring that cannot be used, 401 an expired certificate, 8 another that is
    /// not accepted, 406 I/O, 420 closed by the peer.
    #[must_use]
    pub fn return_code(&self) -> u32 {
        match self {
            Self::HandshakeNotBegun(_) | Self::NotStarted(_) => 5004,
            Self::HandshakeTimeout(_) => 5005,
            Self::Handshake(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(error) => of_tls(error),
                None if error.kind() == io::ErrorKind::UnexpectedEof => 420,
                None => 406,
            },
            Self::Broken(error) | Self::NoLongerGood(error) => of_tls(error),
            Self::Revocation(RevocationError::Revoked { .. }) => REVOKED,
            Self::Revocation(_) => 8,
            Self::NotDefinedToSaf(_) => 5002,
            Self::RingClosed(_) => 202,
            Self::Unread => 5003,
            Self::Truncated => 420,
            _ => 406,
        }
    }
}

/// System SSL's number for a revoked certificate (from memory).
const REVOKED: u32 = 431;

fn of_tls(error: &rustls::Error) -> u32 {
    match error {
        rustls::Error::InvalidMessage(_) => 5003,
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => 401,
        rustls::Error::InvalidCertificate(CertificateError::Revoked) => REVOKED,
        rustls::Error::InvalidCertificate(_) => 8,
        rustls::Error::NoCertificatesPresented => 5001,
        rustls::Error::PeerIncompatible(_) => 402,
        rustls::Error::AlertReceived(_) => 438,
        _ => 412,
    }
}

/// What went wrong in a handshake.
fn in_words(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    inner.map_or_else(|| error.to_string(), words)
}

/// An error of the TLS library; it shows the reasons of our own verifiers as they look in the program.
fn words(error: &rustls::Error) -> String {
    use rustls::Error;
    match error {
        Error::InvalidCertificate(CertificateError::Other(reason)) => {
            format!("the peer's certificate is not accepted: {}", reason.0)
        }
        Error::InvalidCertificate(CertificateError::Revoked) => "the peer's certificate is revoked".to_owned(),
        // The words of rustls for a resolver that found none.
        Error::General(reason) if reason == "no server certificate chain resolved" => {
            "there is no certificate for the name the client asked for (ServerHandshakeSNI…), or for the signature \
             algorithms it can verify"
                .to_owned()
        }
        _ => error.to_string(),
    }
}
