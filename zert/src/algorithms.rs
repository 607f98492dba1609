//! SSH's algorithm names, and TLS's groups, in the vocabulary of policies.

use policies::algorithm::{Authentication, Encryption, KeyExchange, Symmetric};

use crate::ssh::Cipher;

/// Encryption by SSH name, with the bits of its key that count.
const ENCRYPTION: &[(&str, Encryption, u16)] = &[
    ("none", Encryption::None, 0),
    ("des-cbc", Encryption::Des, 56),
    ("3des-cbc", Encryption::TripleDes, 112),
    ("3des-ctr", Encryption::TripleDes, 112),
    ("arcfour", Encryption::Rc4, 128),
    ("arcfour128", Encryption::Rc4, 128),
    ("arcfour256", Encryption::Rc4, 256),
    ("aes128-cbc", Encryption::AesCbc, 128),
    ("aes192-cbc", Encryption::AesCbc, 192),
    ("aes256-cbc", Encryption::AesCbc, 256),
    ("rijndael-cbc@lysator.liu.se", Encryption::AesCbc, 256),
    ("aes128-ctr", Encryption::AesCtr, 128),
    ("aes192-ctr", Encryption::AesCtr, 192),
    ("aes256-ctr", Encryption::AesCtr, 256),
    ("aes128-gcm@openssh.com", Encryption::AesGcm, 128),
    ("aes256-gcm@openssh.com", Encryption::AesGcm, 256),
    ("AEAD_AES_128_GCM", Encryption::AesGcm, 128),
    ("AEAD_AES_256_GCM", Encryption::AesGcm, 256),
    ("chacha20-poly1305@openssh.com", Encryption::ChaCha20Poly1305, 256),
    ("blowfish-cbc", Encryption::Blowfish, 128),
    ("cast128-cbc", Encryption::Cast128, 128),
    ("idea-cbc", Encryption::Idea, 128),
    ("twofish-cbc", Encryption::Twofish, 256),
    ("twofish128-cbc", Encryption::Twofish, 128),
    ("twofish192-cbc", Encryption::Twofish, 192),
    ("twofish256-cbc", Encryption::Twofish, 256),
    ("serpent128-cbc", Encryption::Serpent, 128),
    ("serpent192-cbc", Encryption::Serpent, 192),
    ("serpent256-cbc", Encryption::Serpent, 256),
];

/// Message authentication, by how SSH's names begin.
const AUTHENTICATION: &[(&str, Authentication)] = &[
    ("none", Authentication::None),
    ("hmac-md5", Authentication::Md5),
    ("hmac-sha1", Authentication::Sha1),
    ("hmac-sha2-256", Authentication::Sha256),
    ("hmac-sha2-512", Authentication::Sha512),
    ("umac-", Authentication::Umac),
    ("hmac-ripemd160", Authentication::Ripemd160),
];

/// Key exchange, by how SSH's names begin.
const KEY_EXCHANGE: &[(&str, KeyExchange)] = &[
    ("sntrup", KeyExchange::Hybrid),
    ("mlkem", KeyExchange::Hybrid),
    ("curve25519-", KeyExchange::Ecdhe),
    ("curve448-", KeyExchange::Ecdhe),
    ("ecdh-", KeyExchange::Ecdhe),
    ("diffie-hellman-", KeyExchange::Dhe),
    ("rsa", KeyExchange::Rsa),
    ("gss-curve", KeyExchange::Ecdhe),
    ("gss-nistp", KeyExchange::Ecdhe),
    ("gss-", KeyExchange::Dhe),
];

/// The protection of one direction of SSH; none for an encryption that no table knows.
pub(crate) fn of_cipher(cipher: &Cipher) -> Option<Symmetric> {
    let (_, encryption, bits) = ENCRYPTION.iter().find(|(name, ..)| *name == cipher.encryption).copied()?;
    let authentication = match cipher.authentication.as_str() {
        "" => Some(Authentication::Aead),
        name => AUTHENTICATION.iter().find(|(start, _)| name.starts_with(start)).map(|(_, found)| *found),
    };
    Some(Symmetric { encryption, bits, authentication })
}

/// SSLv2's ciphers; each is with MD5 (SSL 2.0 §C.4).
pub(crate) fn of_ssl2(cipher: u32) -> Option<Symmetric> {
    let (encryption, bits) = match cipher {
        0x01_00_80 => (Encryption::Rc4, 128),
        0x02_00_80 => (Encryption::Rc4, 40),
        0x03_00_80 => (Encryption::Rc2, 128),
        0x04_00_80 => (Encryption::Rc2, 40),
        0x05_00_80 => (Encryption::Idea, 128),
        0x06_00_40 => (Encryption::Des, 56),
        0x07_00_C0 => (Encryption::TripleDes, 112),
        _ => return None,
    };
    Some(Symmetric { encryption, bits, authentication: Some(Authentication::Md5) })
}

/// An SSH key exchange.
pub(crate) fn of_key_exchange(name: &str) -> Option<KeyExchange> {
    KEY_EXCHANGE.iter().find(|(start, _)| name.starts_with(start)).map(|(_, found)| *found)
}

/// Bits of the group that an SSH key exchange's name says.
pub(crate) fn group_bits(name: &str) -> Option<u16> {
    let bits = [
        ("group1-", 1024),
        ("group14-", 2048),
        ("group15-", 3072),
        ("group16-", 4096),
        ("group17-", 6144),
        ("group18-", 8192),
    ];
    bits.into_iter().find(|(group, _)| name.contains(group)).map(|(_, bits)| bits)
}

/// The key exchange that a TLS group stands for.
pub(crate) fn of_group(group: u16) -> KeyExchange {
    match group {
        256..=511 => KeyExchange::Dhe,
        512..=514 => KeyExchange::Kem,
        4587..=4590 | 25_497 | 65_072..=65_074 => KeyExchange::Hybrid,
        _ => KeyExchange::Ecdhe,
    }
}

/// Bits of a finite-field group's prime (RFC 7919).
pub(crate) fn prime_bits(group: u16) -> Option<u16> {
    match group {
        256 => Some(2048),
        257 => Some(3072),
        258 => Some(4096),
        259 => Some(6144),
        260 => Some(8192),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_s_names_are_known() {
        let cipher = |encryption: &str, authentication: &str| Cipher {
            encryption: encryption.to_owned(),
            authentication: authentication.to_owned(),
            compression: "none".to_owned(),
        };
        let found = of_cipher(&cipher("aes192-ctr", "hmac-sha2-512-etm@openssh.com"));
        let expected =
            Symmetric { encryption: Encryption::AesCtr, bits: 192, authentication: Some(Authentication::Sha512) };
        assert_eq!(found, Some(expected));
        let found = of_cipher(&cipher("aes128-gcm@openssh.com", "")).map(|found| found.authentication);
        assert_eq!(found, Some(Some(Authentication::Aead)));
        assert_eq!(of_cipher(&cipher("rot13", "none")), None);
        assert_eq!(of_key_exchange("sntrup761x25519-sha512@openssh.com"), Some(KeyExchange::Hybrid));
        assert_eq!(group_bits("diffie-hellman-group14-sha256"), Some(2048));
        assert_eq!(group_bits("diffie-hellman-group1-sha1"), Some(1024));
    }
}
