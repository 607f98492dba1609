//! Algorithms by class, as zERT policies name them, and what a cipher suite's name says of them.

use serde::{Deserialize, Serialize};

use crate::cipher;

/// An enumeration whose members have a word in policies.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($member:ident = $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
        #[allow(missing_docs, reason = "the words are the documentation")]
        pub enum $name { $($member),+ }

        impl $name {
            /// Every word, in the order of the members.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// Its word.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$member => $word),+ }
            }

            /// The member with this word.
            #[must_use]
            pub fn by_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$member),)+ _ => None }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                Self::by_word(&word)
                    .ok_or_else(|| serde::de::Error::custom(format!("`{word}` is none of {}", Self::WORDS.join(", "))))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }
        }
    };
}

words! {
    /// What protects a connection.
    Protocol { Tls = "TLS", Ssh = "SSH", Ipsec = "IPsec", None = "None" }
}

words! {
    /// Symmetric encryption, without the length of its key.
    Encryption {
        None = "NULL",
        Des = "DES",
        TripleDes = "3DES",
        Rc2 = "RC2",
        Rc4 = "RC4",
        Idea = "IDEA",
        Seed = "SEED",
        AesCbc = "AES-CBC",
        AesCtr = "AES-CTR",
        AesGcm = "AES-GCM",
        AesCcm = "AES-CCM",
        AesCcm8 = "AES-CCM-8",
        CamelliaCbc = "CAMELLIA-CBC",
        CamelliaGcm = "CAMELLIA-GCM",
        AriaCbc = "ARIA-CBC",
        AriaGcm = "ARIA-GCM",
        ChaCha20Poly1305 = "CHACHA20-POLY1305",
        Blowfish = "BLOWFISH",
        Cast128 = "CAST128",
        Twofish = "TWOFISH",
        Serpent = "SERPENT",
        Gost28147 = "GOST28147",
    }
}

words! {
    /// What proves that nobody changed a message.
    Authentication {
        None = "NULL",
        Aead = "AEAD",
        Md5 = "HMAC-MD5",
        Sha1 = "HMAC-SHA1",
        Sha256 = "HMAC-SHA2-256",
        Sha384 = "HMAC-SHA2-384",
        Sha512 = "HMAC-SHA2-512",
        Umac = "UMAC",
        Ripemd160 = "HMAC-RIPEMD160",
    }
}

words! {
    /// How the ends agree on keys. `HYBRID` is an elliptic curve joined with a post-quantum key encapsulation, `KEM` such an
    /// encapsulation alone.
    KeyExchange {
        Rsa = "RSA",
        Dh = "DH",
        Dhe = "DHE",
        Ecdh = "ECDH",
        Ecdhe = "ECDHE",
        Psk = "PSK",
        Anonymous = "ANON",
        Kerberos = "KRB5",
        Srp = "SRP",
        Gost = "GOST",
        Hybrid = "HYBRID",
        Kem = "KEM",
    }
}

/// The protection of one direction.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Hash, Serialize)]
pub struct Symmetric {
    /// Encryption.
    pub encryption: Encryption,
    /// Bits of its key that count: 112 for 3DES, 40 for what was once let out of the United States.
    pub bits: u16,
    /// Message authentication; none where it is not known.
    pub authentication: Option<Authentication>,
}

/// By words of the suite's name: the encryption and the bits of its key. The first that fits counts.
const ENCRYPTION: &[(&str, Encryption, u16)] = &[
    ("WITH_NULL", Encryption::None, 0),
    ("DES40_CBC", Encryption::Des, 40),
    ("DES_CBC_40", Encryption::Des, 40),
    ("3DES_EDE_CBC", Encryption::TripleDes, 112),
    ("RC2_CBC_40", Encryption::Rc2, 40),
    ("RC2_CBC_56", Encryption::Rc2, 56),
    ("RC4_40", Encryption::Rc4, 40),
    ("RC4_56", Encryption::Rc4, 56),
    ("RC4_128", Encryption::Rc4, 128),
    ("IDEA_CBC", Encryption::Idea, 128),
    ("SEED_CBC", Encryption::Seed, 128),
    ("CAMELLIA_128_CBC", Encryption::CamelliaCbc, 128),
    ("CAMELLIA_256_CBC", Encryption::CamelliaCbc, 256),
    ("CAMELLIA_128_GCM", Encryption::CamelliaGcm, 128),
    ("CAMELLIA_256_GCM", Encryption::CamelliaGcm, 256),
    ("ARIA_128_CBC", Encryption::AriaCbc, 128),
    ("ARIA_256_CBC", Encryption::AriaCbc, 256),
    ("ARIA_128_GCM", Encryption::AriaGcm, 128),
    ("ARIA_256_GCM", Encryption::AriaGcm, 256),
    ("AES_128_CBC", Encryption::AesCbc, 128),
    ("AES_256_CBC", Encryption::AesCbc, 256),
    ("AES_128_GCM", Encryption::AesGcm, 128),
    ("AES_256_GCM", Encryption::AesGcm, 256),
    ("AES_128_CCM_8", Encryption::AesCcm8, 128),
    ("AES_256_CCM_8", Encryption::AesCcm8, 256),
    ("AES_128_CCM", Encryption::AesCcm, 128),
    ("AES_256_CCM", Encryption::AesCcm, 256),
    ("CHACHA20_POLY1305", Encryption::ChaCha20Poly1305, 256),
    ("DES_CBC", Encryption::Des, 56),
    ("28147_CNT", Encryption::Gost28147, 256),
];

/// By the words a suite's name begins with.
const KEY_EXCHANGE: &[(&str, KeyExchange)] = &[
    ("TLS_DH_anon_", KeyExchange::Anonymous),
    ("TLS_ECDH_anon_", KeyExchange::Anonymous),
    ("TLS_RSA_PSK_", KeyExchange::Psk),
    ("TLS_RSA_", KeyExchange::Rsa),
    ("TLS_DHE_", KeyExchange::Dhe),
    ("TLS_DH_", KeyExchange::Dh),
    ("TLS_ECDHE_", KeyExchange::Ecdhe),
    ("TLS_ECDH_", KeyExchange::Ecdh),
    ("TLS_PSK_DHE_", KeyExchange::Dhe),
    ("TLS_PSK_", KeyExchange::Psk),
    ("TLS_KRB5_", KeyExchange::Kerberos),
    ("TLS_SRP_", KeyExchange::Srp),
    ("TLS_GOSTR3410", KeyExchange::Gost),
];

/// What a suite's name says of the encryption of both directions; none for a suite no table knows.
#[must_use]
pub fn symmetric(suite: u16) -> Option<Symmetric> {
    let name = cipher::by_code(suite)?.name;
    let (_, encryption, bits) = ENCRYPTION.iter().find(|(part, ..)| name.contains(part)).copied()?;
    let aead = ["GCM", "CCM", "POLY1305"].iter().any(|part| name.contains(part));
    let authentication = match name.rsplit('_').next() {
        _ if aead => Some(Authentication::Aead),
        Some("MD5") => Some(Authentication::Md5),
        Some("SHA") => Some(Authentication::Sha1),
        Some("SHA256") => Some(Authentication::Sha256),
        Some("SHA384") => Some(Authentication::Sha384),
        Some("RMD") => Some(Authentication::Ripemd160),
        Some("NULL") => Some(Authentication::None),
        _ => None,
    };
    Some(Symmetric { encryption, bits, authentication })
}

/// What a suite's name says of the key exchange; suites of TLS 1.3 say nothing of it.
#[must_use]
pub fn key_exchange(suite: u16) -> Option<KeyExchange> {
    let name = cipher::by_code(suite)?.name;
    KEY_EXCHANGE.iter().find(|(part, _)| name.starts_with(part)).map(|(_, exchange)| *exchange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_suites_say_what_they_do() {
        let said = |suite: u16| symmetric(suite).map(|found| (found.encryption, found.bits, found.authentication));
        assert_eq!(said(0x000A), Some((Encryption::TripleDes, 112, Some(Authentication::Sha1))));
        assert_eq!(said(0xC0AE), Some((Encryption::AesCcm8, 128, Some(Authentication::Aead))));
        assert_eq!(said(0x0003), Some((Encryption::Rc4, 40, Some(Authentication::Md5))));
        assert_eq!(said(0x1303), Some((Encryption::ChaCha20Poly1305, 256, Some(Authentication::Aead))));
        assert_eq!((said(0x4242), key_exchange(0x1301)), (None, None));
        assert_eq!(
            (key_exchange(0xC02F), key_exchange(0x0034)),
            (Some(KeyExchange::Ecdhe), Some(KeyExchange::Anonymous))
        );
    }

    #[test]
    fn every_suite_that_carries_data_has_an_encryption() {
        // Drafts of key exchanges that came to nothing are named in another manner.
        let silent = |name: &str| name.ends_with("_SCSV") || name.ends_with("_draft");
        for suite in cipher::TABLE.iter().filter(|suite| !silent(suite.name)) {
            assert!(symmetric(suite.code).is_some(), "{}", suite.name);
            assert!(suite.is_tls13() || suite.code == 0 || key_exchange(suite.code).is_some(), "{}", suite.name);
        }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        assert!(Encryption::WORDS.iter().all(|word| Encryption::by_word(word).map(Encryption::word) == Some(word)));
        assert_eq!(Protocol::by_word("none"), None);
    }
}
