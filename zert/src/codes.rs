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
}
