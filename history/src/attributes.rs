//! What is significant of a protection: connections that are the same in it are of one session.

use policies::protection::{KeyKind, Observed};
use policies::{cipher, group};
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zert::ipsec::Ipsec;
use zert::judge::{self, version_name};
use zert::ssh::Ssh;
use zert::tls::Handshake;
use zert::{Protection, Source};

/// What a server's certificate says.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Hash, Serialize)]
pub struct CertificateFacts {
    /// Its subject.
    pub subject: String,
    /// Its issuer.
    pub issuer: String,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// Its end, seconds since the epoch.
    pub not_after: i64,
    /// How it is signed: the algorithm's object identifier.
    pub signature: String,
}

/// The significant attributes of a protection.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Hash, Serialize)]
pub struct Attributes {
    /// `TLS`, `SSH`, `IPsec`, `None`.
    pub protocol: String,
    /// `TLSv1.3`, `2`; empty where there is none.
    pub version: String,
    /// The cipher suite of TLS, or SSH's ciphers; empty where there is none.
    pub suite: String,
    /// The TLS group, or SSH's key exchange; empty where it is not known.
    pub group: String,
    /// The protocol whose dialogue led to TLS, in lower case; empty where none did.
    pub upgrade: String,
    /// Whether the handshake failed: nothing was agreed on.
    pub failed: bool,
    /// `wire`, or `AT-TLS` where this host's engine says it.
    pub source: String,
    /// The server's certificate, where it was seen.
    pub certificate: Option<CertificateFacts>,
    /// SSH's server key: its type and fingerprint.
    pub host_key: Option<String>,
    /// The same as policies judge it; none for a failed handshake.
    pub observed: Option<Observed>,
    /// IPsec around it, in words: `ESP tunnel AES-GCM 256`. What nothing else protects has the protocol IPsec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipsec: Option<String>,
}

impl Attributes {
    /// Those of a protection as it was told at the end, or by an event before it.
    #[must_use]
    pub fn of(protection: &Protection, source: Source, ipsec: Option<&Ipsec>) -> Self {
        let mut attributes = Self {
            protocol: "None".to_owned(),
            version: String::new(),
            suite: String::new(),
            group: String::new(),
            upgrade: String::new(),
            failed: false,
            source: match source {
                Source::Observed => "wire",
                Source::Engine => "AT-TLS",
            }
            .to_owned(),
            certificate: None,
            host_key: None,
            observed: judge::observed(protection),
            ipsec: ipsec.map(in_words),
        };
        match protection {
            Protection::None | Protection::Undetermined => {
                if let Some(ipsec) = ipsec {
                    attributes.protocol = "IPsec".to_owned();
                    attributes.suite = in_words(ipsec);
                    attributes.observed = Some(ipsec.observed());
                }
            }
            Protection::Tls(handshake) => attributes.tls(handshake),
            Protection::Ssh(ssh) => attributes.ssh(ssh),
        }
        attributes
    }

    fn tls(&mut self, handshake: &Handshake) {
        self.protocol = "TLS".to_owned();
        self.failed = handshake.version == 0;
        self.upgrade = handshake.upgrade.map(|upgrade| format!("{upgrade:?}").to_ascii_lowercase()).unwrap_or_default();
        if self.failed {
            return;
        }
        self.version = version_name(handshake.version).to_owned();
        self.suite = match handshake.version {
            0x0200 => handshake.ssl2_cipher.map(|cipher| format!("{cipher:06X}")).unwrap_or_default(),
            _ => cipher::name(handshake.suite),
        };
        self.group = handshake.group.map(group::name).unwrap_or_default();
        self.certificate = handshake.server_certificate.as_deref().and_then(certificate);
    }

    fn ssh(&mut self, ssh: &Ssh) {
        self.protocol = "SSH".to_owned();
        self.failed = ssh.failed;
        self.version = if ssh.version == 0 { String::new() } else { ssh.version.to_string() };
        self.group = ssh.key_exchange.clone().unwrap_or_default();
        let names: Vec<String> = [&ssh.to_server, &ssh.to_client]
            .into_iter()
            .flatten()
            .map(|cipher| format!("{} {}", cipher.encryption, cipher.authentication).trim_end().to_owned())
            .collect();
        self.suite = match names.as_slice() {
            [there, back] if there != back => format!("{there} / {back}"),
            [there, ..] => there.clone(),
            [] => String::new(),
        };
        self.host_key = ssh.server_key.as_ref().map(|key| {
            let fingerprint: String = key.fingerprint.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
            format!("{} {} {fingerprint}", key.kind, key.bits)
        });
        if self.failed {
            self.observed = None;
        }
    }

    /// Whether data went in clear.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.protocol == "None"
    }

    /// Whether keys are agreed on in a manner that a quantum computer does not break.
    #[must_use]
    pub fn is_quantum_safe(&self) -> bool {
        use policies::algorithm::KeyExchange;
        let exchange = self.observed.as_ref().and_then(|observed| observed.key_exchange);
        matches!(exchange, Some(KeyExchange::Hybrid | KeyExchange::Kem))
    }

    /// The server's key in words: `RSA 2048`.
    #[must_use]
    pub fn key(&self) -> String {
        match self.observed.as_ref().and_then(|observed| observed.server_key) {
            Some((KeyKind::Rsa, bits)) => format!("RSA {bits}"),
            Some((KeyKind::Ecc, bits)) => format!("EC {bits}"),
            Some((KeyKind::Other, _)) => "other".to_owned(),
            None => String::new(),
        }
    }

    /// The protection in a few words.
    #[must_use]
    pub fn in_words(&self) -> String {
        match (self.protocol.as_str(), self.failed) {
            ("None", _) => "in clear".to_owned(),
            (protocol, true) => format!("{protocol}, handshake failed"),
            ("SSH", _) => format!("SSH {}", self.version),
            _ => self.version.clone(),
        }
    }
}

/// IPsec in a few words.
fn in_words(ipsec: &Ipsec) -> String {
    let protocol = if ipsec.authenticates_only { "AH" } else { "ESP" };
    let mode = if ipsec.tunnel { "tunnel" } else { "transport" };
    let cipher = ipsec.symmetric.as_ref().and_then(|symmetric| symmetric.first());
    match cipher {
        Some(cipher) => format!("{protocol} {mode} {} {}", cipher.encryption.word(), cipher.bits),
        None => format!("{protocol} {mode} {}", ipsec.algorithms.join(" ")),
    }
}

/// A name that comes from a peer, on one line.
fn shown(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn certificate(der: &[u8]) -> Option<CertificateFacts> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    Some(CertificateFacts {
        subject: shown(&parsed.subject().to_string()),
        issuer: shown(&parsed.issuer().to_string()),
        serial: parsed.raw_serial().iter().map(|byte| format!("{byte:02X}")).collect(),
        not_after: parsed.validity().not_after.timestamp(),
        signature: parsed.signature_algorithm.algorithm.to_id_string(),
    })
}
