//! IBM's code values for algorithms, by suite and certificate.
//!
//! Source: *IP Programmer's Guide and Reference*, type 119 subtype 11; the later values of each table are not confirmed
//! by a readable source and stand in `docs/limits.md`.

use policies::algorithm::{self, Authentication, Encryption, Symmetric};
use policies::cipher;

use crate::algorithms;

/// `CS_Enc_Alg`, table A.
fn encryption(found: Symmetric) -> u16 {
    match (found.encryption, found.bits) {
        (Encryption::None, _) => 0x01,
        (Encryption::Des, 40) => 0x03,
        (Encryption::Des, _) => 0x02,
        (Encryption::TripleDes, _) => 0x04,
        (Encryption::Rc2, 40) => 0x05,
        (Encryption::Rc2, _) => 0x07,
        (Encryption::Rc4, 40) => 0x08,
        (Encryption::Rc4, 128) => 0x09,
        (Encryption::Rc4, _) => 0x0B,
        (Encryption::Idea, _) => 0x2A,
        (Encryption::Seed, _) => 0x2B,
        (Encryption::AesCbc, 128) => 0x0C,
        (Encryption::AesCbc, 192) => 0x0D,
        (Encryption::AesCbc, 256) => 0x0E,
        (Encryption::AesCtr, 128) => 0x0F,
        (Encryption::AesCtr, 192) => 0x10,
        (Encryption::AesCtr, 256) => 0x11,
        (Encryption::AesGcm, 128) => 0x12,
        (Encryption::AesGcm, 256) => 0x13,
        (Encryption::AesCcm, 128) => 0x14,
        (Encryption::AesCcm, 256) => 0x15,
        (Encryption::AesCcm8, 128) => 0x16,
        (Encryption::AesCcm8, 256) => 0x17,
        (Encryption::AriaCbc, 128) => 0x21,
        (Encryption::AriaCbc, 256) => 0x22,
        (Encryption::AriaGcm, 128) => 0x23,
        (Encryption::AriaGcm, 256) => 0x24,
        (Encryption::CamelliaCbc, 128) => 0x25,
        (Encryption::CamelliaCbc, 256) => 0x26,
        (Encryption::CamelliaGcm, 128) => 0x27,
        (Encryption::CamelliaGcm, 256) => 0x28,
        (Encryption::ChaCha20Poly1305, _) => 0x29,
        (Encryption::Gost28147, _) => 0x2D,
        _ => 0,
    }
}

/// `CS_Msg_Auth`, table B.
fn authentication(found: Authentication) -> u16 {
    match found {
        // IBM has one code for none and for encryption that brings its own.
        Authentication::None | Authentication::Aead => 0x01,
        Authentication::Md5 => 0x03,
        Authentication::Sha1 => 0x04,
        Authentication::Sha256 => 0x06,
        Authentication::Sha384 => 0x07,
        Authentication::Sha512 => 0x08,
        Authentication::Ripemd160 => 0x13,
        Authentication::Umac => 0,
    }
}

/// `CS_Kex_Alg`.
const KEY_EXCHANGE: &[(&str, u16)] = &[
    ("TLS_RSA_PSK_", 0x04),
    ("TLS_RSA_EXPORT", 0x03),
    ("TLS_RSA_", 0x02),
    ("TLS_DH_RSA_EXPORT_", 0x06),
    ("TLS_DH_RSA_", 0x05),
    ("TLS_DH_anon_EXPORT_", 0x09),
    ("TLS_DH_anon_", 0x08),
    ("TLS_DH_DSS_EXPORT_", 0x0A),
    ("TLS_DH_DSS_", 0x07),
    ("TLS_DHE_RSA_EXPORT_", 0x0C),
    ("TLS_DHE_RSA_", 0x0B),
    ("TLS_DHE_DSS_EXPORT", 0x0E),
    ("TLS_DHE_PSK_", 0x0F),
    ("TLS_DHE_DSS_", 0x0D),
    ("TLS_ECDH_ECDSA_", 0x10),
    ("TLS_ECDH_RSA_", 0x11),
    ("TLS_ECDH_anon_", 0x12),
    ("TLS_ECDHE_ECDSA_", 0x13),
    ("TLS_ECDHE_PSK_", 0x15),
    ("TLS_KRB5_EXPORT_", 0x17),
    ("TLS_KRB5_", 0x16),
    ("TLS_PSK_", 0x18),
    ("TLS_ECDHE_RSA_", 0x14),
];

/// Encryption and message authentication codes of what has words of policies.
pub(crate) fn of_symmetric(symmetric: Symmetric) -> (u16, u16) {
    (encryption(symmetric), symmetric.authentication.map_or(0, authentication))
}

/// The same of SSLv2's cipher, with key exchange.
pub(crate) fn of_ssl2(cipher: u32) -> (u16, u16, u16) {
    let Some(symmetric) = algorithms::of_ssl2(cipher) else { return (0, 0, 0) };
    let rc2 = matches!((symmetric.encryption, symmetric.bits), (Encryption::Rc2, 128));
    let encryption = if rc2 { 0x06 } else { encryption(symmetric) };
    (encryption, symmetric.authentication.map_or(0, authentication), 0x02)
}

/// Encryption, message authentication and key exchange codes of a suite. 0 is "unknown"; TLS 1.3 suites name no key
/// exchange and IBM's table has no value for it.
pub(crate) fn of_suite(suite: u16) -> (u16, u16, u16) {
    let name = cipher::name(suite);
    let key_exchange = KEY_EXCHANGE.iter().find(|(part, _)| name.starts_with(part)).map_or(0, |(_, code)| *code);
    let Some(symmetric) = algorithm::symmetric(suite) else { return (0, 0, key_exchange) };
    (encryption(symmetric), symmetric.authentication.map_or(0, authentication), key_exchange)
}

/// Codes of SSH's ciphers, table A.
const SSH_ENCRYPTION: &[(&str, u16)] = &[
    ("none", 0x01),
    ("3des-cbc", 0x04),
    ("arcfour128", 0x1C),
    ("arcfour256", 0x1D),
    ("arcfour", 0x0B),
    ("aes128-cbc", 0x0C),
    ("aes192-cbc", 0x0D),
    ("aes256-cbc", 0x0E),
    ("rijndael-cbc@lysator.liu.se", 0x1F),
    ("aes128-ctr", 0x0F),
    ("aes192-ctr", 0x10),
    ("aes256-ctr", 0x11),
    ("aes128-gcm@openssh.com", 0x12),
    ("aes256-gcm@openssh.com", 0x13),
    ("blowfish-cbc", 0x1A),
    ("cast128-cbc", 0x1B),
    ("chacha20-poly1305@openssh.com", 0x29),
    ("twofish256-cbc", 0x2E),
    ("serpent256-cbc", 0x32),
];

/// Codes of SSH's message authentication, table B, by the names' beginnings.
const SSH_AUTHENTICATION: &[(&str, u16)] = &[
    ("none", 0x01),
    ("hmac-md5-96", 0x0F),
    ("hmac-md5", 0x03),
    ("hmac-sha1-96", 0x10),
    ("hmac-sha1", 0x04),
    ("hmac-sha2-256", 0x06),
    ("hmac-sha2-512", 0x08),
    ("umac-64", 0x11),
    ("umac-128", 0x12),
    ("hmac-ripemd160", 0x13),
];

/// Codes of SSH's key exchanges, table I. Later ones have none that is known.
const SSH_KEY_EXCHANGE: &[(&str, u16)] = &[
    ("diffie-hellman-group-exchange-sha256", 0x02),
    ("diffie-hellman-group-exchange-sha1", 0x03),
    ("diffie-hellman-group14-sha1", 0x04),
    ("diffie-hellman-group1-sha1", 0x05),
    ("ecdh-sha2-nistp256", 0x06),
    ("ecdh-sha2-nistp384", 0x07),
    ("ecdh-sha2-nistp521", 0x08),
];

/// Codes of SSH's key types, table J, by the names' beginnings.
const SSH_KEY: &[(&str, u16)] = &[
    ("ssh-rsa-cert-", 0x07),
    ("ssh-dss-cert-", 0x08),
    ("ecdsa-sha2-nistp256-cert-", 0x09),
    ("ecdsa-sha2-nistp384-cert-", 0x09),
    ("ecdsa-sha2-nistp521-cert-", 0x09),
    ("ssh-rsa", 0x02),
    ("ssh-dss", 0x03),
    ("ecdsa-sha2-", 0x05),
];

fn named(table: &[(&str, u16)], fits: impl Fn(&str) -> bool) -> u16 {
    table.iter().find(|(known, _)| fits(known)).map_or(0, |(_, code)| *code)
}

/// Encryption and message authentication codes of one direction of SSH; 0 is "unknown".
pub(crate) fn of_cipher(encryption: &str, authentication: &str) -> (u16, u16) {
    let code = named(SSH_ENCRYPTION, |known| known == encryption);
    // What brings its own has none besides.
    let authentication = match authentication {
        "" => 0x01,
        name => named(SSH_AUTHENTICATION, |known| name.starts_with(known)),
    };
    (code, authentication)
}

/// The code of an SSH key exchange.
pub(crate) fn of_key_exchange(name: &str) -> u16 {
    named(SSH_KEY_EXCHANGE, |known| known == name)
}

/// The code of an SSH key's type.
pub(crate) fn of_key(kind: &str) -> u16 {
    named(SSH_KEY, |known| kind.starts_with(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_ibm_s_codes() {
        assert_eq!(of_suite(0xC02F), (0x12, 0x01, 0x14));
        assert_eq!(of_suite(0x0035), (0x0E, 0x04, 0x02));
        assert_eq!(of_suite(0xC024), (0x0E, 0x07, 0x13));
        assert_eq!(of_suite(0x1302), (0x13, 0x01, 0x00));
        assert_eq!(of_suite(0x000A), (0x04, 0x04, 0x02));
        assert_eq!(of_suite(0x4242), (0, 0, 0));
    }

    #[test]
    fn ssh_algorithms_have_ibm_s_codes() {
        assert_eq!(of_cipher("aes128-ctr", "hmac-sha2-256-etm@openssh.com"), (0x0F, 0x06));
        assert_eq!(of_cipher("chacha20-poly1305@openssh.com", ""), (0x29, 0x01));
        assert_eq!(of_cipher("aes256-cbc", "hmac-sha1-96"), (0x0E, 0x10));
        assert_eq!((of_key_exchange("ecdh-sha2-nistp384"), of_key_exchange("curve25519-sha256")), (0x07, 0));
        assert_eq!((of_key("ecdsa-sha2-nistp521"), of_key("ssh-ed25519"), of_key("ssh-rsa")), (0x05, 0, 0x02));
    }
}
