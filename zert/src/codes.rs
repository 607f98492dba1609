//! IBM's code values for algorithms, by suite and certificate.
//!
//! Source: *IP Programmer's Guide and Reference*, type 119 subtype 11; the later values of each table are not confirmed
//! by a readable source and stand in `docs/limits.md`.

use policies::cipher;

/// `CS_Enc_Alg`, by what the suite's name says.
const ENCRYPTION: &[(&str, u16)] = &[
    ("WITH_NULL", 0x01),
    ("DES40_CBC", 0x03),
    ("3DES_EDE_CBC", 0x04),
    ("RC2_CBC_40", 0x05),
    ("RC4_40", 0x08),
    ("RC4_128", 0x09),
    ("AES_128_CBC", 0x0C),
    ("AES_256_CBC", 0x0E),
    ("AES_128_GCM", 0x12),
    ("AES_256_GCM", 0x13),
    ("AES_128_CCM_8", 0x16),
    ("AES_256_CCM_8", 0x17),
    ("AES_128_CCM", 0x14),
    ("AES_256_CCM", 0x15),
    ("CHACHA20_POLY1305", 0x29),
    ("DES_CBC", 0x02),
];

/// `CS_Kex_Alg`.
const KEY_EXCHANGE: &[(&str, u16)] = &[
    ("TLS_RSA_EXPORT_", 0x03),
    ("TLS_RSA_", 0x02),
    ("TLS_DH_RSA_", 0x05),
    ("TLS_DH_DSS_", 0x07),
    ("TLS_DHE_RSA_", 0x0B),
    ("TLS_DHE_DSS_", 0x0D),
    ("TLS_ECDH_ECDSA_", 0x10),
    ("TLS_ECDH_RSA_", 0x11),
    ("TLS_ECDHE_ECDSA_", 0x13),
    ("TLS_ECDHE_RSA_", 0x14),
];

/// Encryption, message authentication and key exchange codes of a suite. 0 is "unknown"; TLS 1.3 suites name no key
/// exchange and IBM's table has no value for it.
pub(crate) fn of_suite(suite: u16) -> (u16, u16, u16) {
    let name = cipher::name(suite);
    let find = |table: &[(&str, u16)], fits: &dyn Fn(&str) -> bool| {
        table.iter().find(|(part, _)| fits(part)).map_or(0, |(_, code)| *code)
    };
    let encryption = find(ENCRYPTION, &|part| name.contains(part));
    let key_exchange = find(KEY_EXCHANGE, &|part| name.starts_with(part));
    let aead = ["GCM", "CCM", "POLY1305"].iter().any(|part| name.contains(part));
    let authentication = match name.rsplit('_').next() {
        _ if aead => 0x01,
        Some("MD5") => 0x03,
        Some("SHA") => 0x04,
        Some("SHA256") => 0x06,
        Some("SHA384") => 0x07,
        _ => 0x00,
    };
    (encryption, authentication, key_exchange)
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
