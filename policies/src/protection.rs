//! What zERT policies say of protections: as the condition of a rule, or as what an action demands.

use serde::{Deserialize, Serialize};

use crate::algorithm::{Authentication, Encryption, KeyExchange, Protocol, Symmetric};

/// TLS versions as zERT policies name them, and their numbers on the wire.
const VERSIONS: [(&str, u16); 5] =
    [("SSLv3", 0x0300), ("TLSv1", 0x0301), ("TLSv1.1", 0x0302), ("TLSv1.2", 0x0303), ("TLSv1.3", 0x0304)];

/// The words of `MinimumVersion`.
pub(crate) const VERSION_WORDS: &[&str] = &["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

/// The number of a version.
pub(crate) fn version_of(word: &str) -> Option<u16> {
    VERSIONS.iter().find(|(known, _)| *known == word).map(|(_, number)| *number)
}

/// A version as policies name it.
#[must_use]
pub fn version_word(number: u16) -> &'static str {
    VERSIONS.iter().find(|(_, known)| *known == number).map_or("unknown", |(word, _)| word)
}

/// What is said of protections: everything that is coded must hold, each for the protocols it is about.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize)]
pub struct ProtectionTerms {
    /// The protocols; empty for any.
    pub protocols: Vec<Protocol>,
    /// The lowest version of TLS, wire number (0x0303 is TLS 1.2).
    pub tls_version: Option<u16>,
    /// The lowest version of SSH.
    pub ssh_version: Option<u8>,
    /// TLS cipher suites; empty for any.
    pub suites: Vec<u16>,
    /// Encryption of both directions; empty for any.
    pub encryption: Vec<Encryption>,
    /// Bits its key has at least.
    pub encryption_bits: Option<u16>,
    /// Message authentication of both directions; empty for any.
    pub authentication: Vec<Authentication>,
    /// Key exchange; empty for any.
    pub key_exchange: Vec<KeyExchange>,
    /// TLS groups; empty for any.
    pub groups: Vec<u16>,
    /// Bits a server's RSA key has at least.
    pub rsa_bits: Option<u16>,
    /// Bits a server's elliptic curve key has at least.
    pub ecc_bits: Option<u16>,
    /// Bits of the prime of a Diffie-Hellman exchange at least.
    pub dh_bits: Option<u16>,
}

/// The kind of a server's key.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Hash, Serialize)]
pub enum KeyKind {
    /// RSA.
    Rsa,
    /// ECDSA and EdDSA.
    Ecc,
    /// Another.
    Other,
}

/// What is known of a connection's protection.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Hash, Serialize)]
pub struct Observed {
    /// What protects it.
    pub protocol: Protocol,
    /// The version of TLS (wire number) or SSH.
    pub version: Option<u16>,
    /// The version is the highest that a client offered; what will be agreed on may be lower.
    pub offered: bool,
    /// The cipher suite of TLS.
    pub suite: Option<u16>,
    /// Encryption and message authentication of the directions; empty while unknown.
    pub symmetric: Vec<Symmetric>,
    /// Key exchange.
    pub key_exchange: Option<KeyExchange>,
    /// The group of TLS.
    pub group: Option<u16>,
    /// The server's key and its bits.
    pub server_key: Option<(KeyKind, u16)>,
    /// Bits of a Diffie-Hellman prime.
    pub dh_bits: Option<u16>,
}

impl Observed {
    /// Of a protocol nothing else is known.
    #[must_use]
    pub fn only(protocol: Protocol) -> Self {
        Self {
            protocol,
            version: None,
            offered: false,
            suite: None,
            symmetric: Vec::new(),
            key_exchange: None,
            group: None,
            server_key: None,
            dh_bits: None,
        }
    }
}

/// Whether terms hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fit {
    /// All do.
    Yes,
    /// One does not, whatever else may become known.
    No,
    /// What is known does not tell.
    Unknown,
}

impl From<Option<bool>> for Fit {
    fn from(holds: Option<bool>) -> Self {
        match holds {
            Some(true) => Self::Yes,
            Some(false) => Self::No,
            None => Self::Unknown,
        }
    }
}

impl ProtectionTerms {
    /// Whether the terms hold of a protection.
    #[must_use]
    pub fn fit(&self, observed: &Observed) -> Fit {
        if !self.protocols.is_empty() && !self.protocols.contains(&observed.protocol) {
            return Fit::No;
        }
        if observed.protocol == Protocol::None {
            // Nothing else can be said of clear text.
            return Fit::Yes;
        }
        let fits = self.version(observed).into_iter().chain(self.algorithms(observed)).chain(self.keys(observed));
        let mut fit = Fit::Yes;
        for part in fits {
            match part {
                Fit::No => return Fit::No,
                Fit::Unknown => fit = Fit::Unknown,
                Fit::Yes => {}
            }
        }
        fit
    }

    fn version(&self, observed: &Observed) -> Option<Fit> {
        let minimum = match observed.protocol {
            Protocol::Tls => self.tls_version?,
            Protocol::Ssh => u16::from(self.ssh_version?),
            Protocol::Ipsec | Protocol::None => return None,
        };
        let reached = observed.version.map(|version| version >= minimum);
        Some(if observed.offered && reached == Some(true) { Fit::Unknown } else { reached.into() })
    }

    fn algorithms(&self, observed: &Observed) -> Vec<Fit> {
        let mut fits: Vec<Fit> = Vec::new();
        let mut part = |asked: bool, holds: Option<bool>| {
            if asked {
                fits.push(holds.into());
            }
        };
        let is_tls = observed.protocol == Protocol::Tls;
        let directions = Some(&observed.symmetric).filter(|directions| !directions.is_empty());
        let all = |holds: &dyn Fn(&Symmetric) -> Option<bool>| -> Option<bool> {
            directions?.iter().map(holds).try_fold(true, |all, one| Some(all && one?))
        };
        part(is_tls && !self.suites.is_empty(), observed.suite.map(|suite| self.suites.contains(&suite)));
        part(!self.encryption.is_empty(), all(&|one| Some(self.encryption.contains(&one.encryption))));
        if let Some(least) = self.encryption_bits {
            part(true, all(&|one| Some(one.bits >= least)));
        }
        part(
            !self.authentication.is_empty(),
            all(&|one| one.authentication.map(|found| self.authentication.contains(&found))),
        );
        part(!self.key_exchange.is_empty(), observed.key_exchange.map(|found| self.key_exchange.contains(&found)));
        // A key exchange without a group is in none.
        let group = match observed.key_exchange {
            Some(KeyExchange::Rsa | KeyExchange::Psk | KeyExchange::Dh) if observed.group.is_none() => Some(false),
            _ => observed.group.map(|group| self.groups.contains(&group)),
        };
        part(is_tls && !self.groups.is_empty(), group);
        fits
    }

    fn keys(&self, observed: &Observed) -> Vec<Fit> {
        let mut fits = Vec::new();
        for (kind, least) in [(KeyKind::Rsa, self.rsa_bits), (KeyKind::Ecc, self.ecc_bits)] {
            if let Some(least) = least {
                fits.push(observed.server_key.map(|(found, bits)| found != kind || bits >= least).into());
            }
        }
        if let Some(least) = self.dh_bits {
            let uses = observed.key_exchange.map(|found| matches!(found, KeyExchange::Dh | KeyExchange::Dhe));
            let holds = match uses {
                Some(false) if observed.dh_bits.is_none() => Some(true),
                _ => observed.dh_bits.map(|bits| bits >= least),
            };
            fits.push(holds.into());
        }
        fits
    }

    /// The words of a policy that say this, in the table's order: parameter and value.
    #[must_use]
    pub fn coded(&self) -> Vec<(&'static str, String)> {
        fn list<T: Copy>(members: &[T], word: impl Fn(T) -> String) -> Option<String> {
            (!members.is_empty()).then(|| members.iter().map(|member| word(*member)).collect::<Vec<_>>().join(" "))
        }
        let number = |bits: Option<u16>| bits.map(|bits| bits.to_string());
        [
            ("Protocol", list(&self.protocols, |found| found.word().to_owned())),
            ("MinimumVersion", self.tls_version.map(|version| version_word(version).to_owned())),
            ("MinimumSSHVersion", self.ssh_version.map(|version| format!("SSHv{version}"))),
            ("CipherSuites", list(&self.suites, crate::cipher::name)),
            ("EncryptionAlgorithm", list(&self.encryption, |found| found.word().to_owned())),
            ("MinimumEncryptionBits", number(self.encryption_bits)),
            ("MessageAuthentication", list(&self.authentication, |found| found.word().to_owned())),
            ("KeyExchange", list(&self.key_exchange, |found| found.word().to_owned())),
            ("KeyExchangeGroup", list(&self.groups, crate::group::name)),
            ("MinimumRSAKeySize", number(self.rsa_bits)),
            ("MinimumECCKeySize", number(self.ecc_bits)),
            ("MinimumDHKeySize", number(self.dh_bits)),
        ]
        .into_iter()
        .filter_map(|(parameter, value)| Some((parameter, value?)))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(version: u16, suite: u16) -> Observed {
        Observed {
            version: Some(version),
            suite: Some(suite),
            symmetric: crate::algorithm::symmetric(suite).into_iter().collect(),
            key_exchange: crate::algorithm::key_exchange(suite),
            ..Observed::only(Protocol::Tls)
        }
    }

    #[test]
    fn what_is_not_known_neither_holds_nor_fails() {
        let terms = ProtectionTerms {
            protocols: vec![Protocol::Tls],
            tls_version: Some(0x0303),
            groups: vec![4588],
            ..ProtectionTerms::default()
        };
        assert_eq!(terms.fit(&tls(0x0304, 0x1301)), Fit::Unknown);
        assert_eq!(terms.fit(&tls(0x0302, 0x002F)), Fit::No);
        assert_eq!(terms.fit(&Observed { group: Some(4588), ..tls(0x0304, 0x1301) }), Fit::Yes);
        assert_eq!(terms.fit(&Observed { group: Some(29), ..tls(0x0304, 0x1301) }), Fit::No);
        assert_eq!(terms.fit(&tls(0x0303, 0x002F)), Fit::No, "RSA has no group");
        assert_eq!(terms.fit(&Observed::only(Protocol::None)), Fit::No);
        // The best offer may not be what is agreed on, but nothing better will be.
        assert_eq!(terms.fit(&Observed { offered: true, ..tls(0x0304, 0x1301) }), Fit::Unknown);
        assert_eq!(terms.fit(&Observed { offered: true, ..tls(0x0302, 0x1301) }), Fit::No);
    }

    #[test]
    fn terms_count_for_their_protocols() {
        let terms = ProtectionTerms {
            tls_version: Some(0x0304),
            ssh_version: Some(2),
            encryption_bits: Some(128),
            rsa_bits: Some(2048),
            ..ProtectionTerms::default()
        };
        let ssh = |bits: u16| Observed {
            version: Some(2),
            symmetric: vec![Symmetric { encryption: Encryption::AesCtr, bits, authentication: None }; 2],
            server_key: Some((KeyKind::Ecc, 256)),
            ..Observed::only(Protocol::Ssh)
        };
        assert_eq!(terms.fit(&ssh(256)), Fit::Yes);
        assert_eq!(terms.fit(&ssh(64)), Fit::No);
        assert_eq!(terms.fit(&Observed { server_key: Some((KeyKind::Rsa, 1024)), ..ssh(256) }), Fit::No);
        assert_eq!(terms.fit(&Observed { server_key: None, ..ssh(256) }), Fit::Unknown);
        assert_eq!(terms.fit(&Observed::only(Protocol::None)), Fit::Yes);
    }

    #[test]
    fn one_direction_that_falls_short_is_enough() {
        let terms = ProtectionTerms { encryption: vec![Encryption::AesGcm], ..ProtectionTerms::default() };
        let one = |encryption| Symmetric { encryption, bits: 128, authentication: None };
        let symmetric = vec![one(Encryption::AesGcm), one(Encryption::Rc4)];
        assert_eq!(terms.fit(&Observed { symmetric, ..Observed::only(Protocol::Ssh) }), Fit::No);
    }
}
