//! What is known of a connection's protection, as policies judge it.

use policies::algorithm::{self, KeyExchange, Protocol, Symmetric};
use policies::protection::{KeyKind, Observed};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::algorithms;
use crate::observer::Protection;
use crate::ssh::Ssh;
use crate::tls::Handshake;

/// What is known of a protection; none while there is nothing to judge: nothing was sent, or a handshake has agreed on
/// nothing yet, or failed before it did.
#[must_use]
pub fn observed(protection: &Protection) -> Option<Observed> {
    match protection {
        Protection::Undetermined => None,
        Protection::None => Some(Observed::only(Protocol::None)),
        Protection::Tls(handshake) => (handshake.version != 0).then(|| of_tls(handshake)),
        // A client's banner alone is no SSH.
        Protection::Ssh(ssh) => (ssh.version != 0 && !ssh.failed).then(|| of_ssh(ssh)),
    }
}

/// The best a client's hello leads to, before the server has answered; none when it is no handshake, or answered.
#[must_use]
pub fn offered(protection: &Protection) -> Option<Observed> {
    match protection {
        Protection::Tls(Handshake { version: 0, offered, complete: false, .. }) if *offered != 0 => {
            Some(Observed { version: Some(*offered), offered: true, ..Observed::only(Protocol::Tls) })
        }
        _ => None,
    }
}

/// Whether nothing more will be learned of a protection.
#[must_use]
pub fn is_complete(protection: &Protection) -> bool {
    match protection {
        Protection::Undetermined => false,
        Protection::None => true,
        Protection::Tls(handshake) => handshake.complete,
        Protection::Ssh(ssh) => ssh.complete,
    }
}

fn of_tls(handshake: &Handshake) -> Observed {
    let by_group = handshake.group.map(algorithms::of_group);
    let key_exchange = match handshake.version {
        // No key share: the key is the session's.
        0x0304 if handshake.group.is_none() => Some(KeyExchange::Psk),
        0x0304 => by_group,
        0x0200 => Some(KeyExchange::Rsa),
        // A resumed session's keys were agreed on before.
        _ => algorithm::key_exchange(handshake.suite),
    };
    Observed {
        protocol: Protocol::Tls,
        version: Some(handshake.version),
        offered: false,
        suite: (handshake.version != 0x0200).then_some(handshake.suite),
        symmetric: match handshake.version {
            0x0200 => handshake.ssl2_cipher.and_then(algorithms::of_ssl2).into_iter().collect(),
            _ => algorithm::symmetric(handshake.suite).into_iter().collect(),
        },
        key_exchange,
        group: handshake.group,
        server_key: handshake.server_certificate.as_deref().and_then(server_key),
        dh_bits: handshake.dh_bits.or_else(|| handshake.group.and_then(algorithms::prime_bits)),
    }
}

fn of_ssh(ssh: &Ssh) -> Observed {
    let directions: Option<Vec<Symmetric>> =
        [&ssh.to_server, &ssh.to_client].into_iter().map(|cipher| algorithms::of_cipher(cipher.as_ref()?)).collect();
    let name = ssh.key_exchange.as_deref();
    Observed {
        version: (ssh.version != 0).then_some(ssh.version.into()),
        symmetric: directions.unwrap_or_default(),
        key_exchange: name.and_then(algorithms::of_key_exchange),
        server_key: ssh
            .server_key
            .as_ref()
            .map(|key| {
                let kind = if key.kind.starts_with("ssh-rsa") || key.kind.starts_with("rsa-") {
                    KeyKind::Rsa
                } else if key.kind.contains("ecdsa") || key.kind.contains("ed25519") {
                    KeyKind::Ecc
                } else {
                    KeyKind::Other
                };
                (kind, key.bits)
            })
            .filter(|(_, bits)| *bits != 0),
        dh_bits: ssh.group_bits.or_else(|| name.and_then(algorithms::group_bits)),
        ..Observed::only(Protocol::Ssh)
    }
}

/// The key of a certificate; none for what cannot be read.
fn server_key(der: &[u8]) -> Option<(KeyKind, u16)> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let info = parsed.public_key();
    let (kind, bits) = match info.algorithm.algorithm.to_id_string().as_str() {
        "1.3.101.112" => (KeyKind::Ecc, 256),
        "1.3.101.113" => (KeyKind::Ecc, 456),
        _ => match info.parsed().ok()? {
            PublicKey::RSA(key) => (KeyKind::Rsa, key.key_size()),
            PublicKey::EC(point) => (KeyKind::Ecc, point.key_size()),
            _ => (KeyKind::Other, 0),
        },
    };
    Some((kind, u16::try_from(bits).unwrap_or(u16::MAX)))
}

/// The name messages use for a version.
#[must_use]
pub fn version_name(version: u16) -> &'static str {
    match version {
        0x0200 => "SSLv2",
        0x0300 => "SSLv3",
        0x0301 => "TLSv1.0",
        0x0302 => "TLSv1.1",
        0x0303 => "TLSv1.2",
        0x0304 => "TLSv1.3",
        _ => "unknown",
    }
}
