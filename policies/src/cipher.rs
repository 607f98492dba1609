//! Cipher suites by IANA number: the four-character codes of `V3CipherSuites4Char` and the constant names.
//!
//! Source: IANA "TLS Cipher Suites" registry; System SSL uses the same numbers.

/// A cipher suite as policies name it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CipherSuite {
    /// IANA number.
    pub code: u16,
    /// IANA name.
    pub name: &'static str,
    /// Whether the engine (rustls with aws-lc) can negotiate it.
    pub offered: bool,
}

impl CipherSuite {
    /// Whether it belongs to TLS 1.3 (13xx): such suites serve no older version and no other suite serves 1.3.
    #[must_use]
    pub fn is_tls13(&self) -> bool {
        is_tls13(self.code)
    }
}

/// Whether a suite number belongs to TLS 1.3.
#[must_use]
pub fn is_tls13(code: u16) -> bool {
    code >> 8 == 0x13
}

/// Whether FIPS 140-3 allows a suite: of those the engine has, all but ChaCha20.
#[must_use]
pub fn is_fips(code: u16) -> bool {
    !matches!(code, 0x1303 | 0xCCA8 | 0xCCA9)
}

/// What is offered when a policy codes no list: TLS 1.3 suites first, then ECDHE AEAD.
pub const DEFAULT: &[u16] = &[0x1302, 0x1301, 0x1303, 0xC02C, 0xC02B, 0xC030, 0xC02F, 0xCCA9, 0xCCA8];

/// The suite with this number.
#[must_use]
pub fn by_code(code: u16) -> Option<&'static CipherSuite> {
    TABLE.binary_search_by_key(&code, |suite| suite.code).ok().and_then(|index| TABLE.get(index))
}

/// The suite with this constant name, in any case.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static CipherSuite> {
    TABLE.iter().find(|suite| suite.name.eq_ignore_ascii_case(name))
}

/// The name of a suite, or its number when it is not in the table.
#[must_use]
pub fn name(code: u16) -> String {
    by_code(code).map_or_else(|| format!("{code:04X}"), |suite| suite.name.to_owned())
}

const fn offered(code: u16, name: &'static str) -> CipherSuite {
    CipherSuite { code, name, offered: true }
}

const fn known(code: u16, name: &'static str) -> CipherSuite {
    CipherSuite { code, name, offered: false }
}

/// SSLv2's suites: codes of `V2CipherSuites` and their names. None is ever negotiated.
pub const OLD: &[(char, &str)] = &[
    ('1', "TLS_RC4_128_WITH_MD5"),
    ('2', "TLS_RC4_128_EXPORT40_WITH_MD5"),
    ('3', "TLS_RC2_CBC_128_CBC_WITH_MD5"),
    ('4', "TLS_RC2_CBC_128_CBC_EXPORT40_WITH_MD5"),
    ('6', "TLS_DES_64_CBC_WITH_MD5"),
    ('7', "TLS_DES_192_EDE3_CBC_WITH_MD5"),
];

/// Why a suite protects too little, if it does: the word of its name that says so, and what is wrong with it.
#[must_use]
pub fn weakness(name: &str) -> Option<(&'static str, &'static str)> {
    const WEAK: [(&str, &str); 8] = [
        ("NULL", "nothing is encrypted"),
        ("EXPORT", "keys of 40 bits"),
        ("RC4", "RC4 is broken (RFC 7465)"),
        ("RC2", "RC2 is obsolete"),
        ("3DES", "64-bit blocks (SWEET32)"),
        ("DES", "keys of 56 bits"),
        ("MD5", "MD5 is broken"),
        ("anon", "nobody is authenticated"),
    ];
    WEAK.into_iter().find(|(word, _)| name.split('_').any(|part| part == *word))
}

/// Every suite a policy may name, by number.
pub const TABLE: &[CipherSuite] = &[
    known(0x0000, "TLS_NULL_WITH_NULL_NULL"),
    known(0x0001, "TLS_RSA_WITH_NULL_MD5"),
    known(0x0002, "TLS_RSA_WITH_NULL_SHA"),
    known(0x0003, "TLS_RSA_EXPORT_WITH_RC4_40_MD5"),
    known(0x0004, "TLS_RSA_WITH_RC4_128_MD5"),
    known(0x0005, "TLS_RSA_WITH_RC4_128_SHA"),
    known(0x0006, "TLS_RSA_EXPORT_WITH_RC2_CBC_40_MD5"),
    known(0x0009, "TLS_RSA_WITH_DES_CBC_SHA"),
    known(0x000A, "TLS_RSA_WITH_3DES_EDE_CBC_SHA"),
    known(0x000C, "TLS_DH_DSS_WITH_DES_CBC_SHA"),
    known(0x000D, "TLS_DH_DSS_WITH_3DES_EDE_CBC_SHA"),
    known(0x000F, "TLS_DH_RSA_WITH_DES_CBC_SHA"),
    known(0x0010, "TLS_DH_RSA_WITH_3DES_EDE_CBC_SHA"),
    known(0x0012, "TLS_DHE_DSS_WITH_DES_CBC_SHA"),
    known(0x0013, "TLS_DHE_DSS_WITH_3DES_EDE_CBC_SHA"),
    known(0x0015, "TLS_DHE_RSA_WITH_DES_CBC_SHA"),
    known(0x0016, "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA"),
    known(0x002F, "TLS_RSA_WITH_AES_128_CBC_SHA"),
    known(0x0030, "TLS_DH_DSS_WITH_AES_128_CBC_SHA"),
    known(0x0031, "TLS_DH_RSA_WITH_AES_128_CBC_SHA"),
    known(0x0032, "TLS_DHE_DSS_WITH_AES_128_CBC_SHA"),
    known(0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA"),
    known(0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA"),
    known(0x0036, "TLS_DH_DSS_WITH_AES_256_CBC_SHA"),
    known(0x0037, "TLS_DH_RSA_WITH_AES_256_CBC_SHA"),
    known(0x0038, "TLS_DHE_DSS_WITH_AES_256_CBC_SHA"),
    known(0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA"),
    known(0x003B, "TLS_RSA_WITH_NULL_SHA256"),
    known(0x003C, "TLS_RSA_WITH_AES_128_CBC_SHA256"),
    known(0x003D, "TLS_RSA_WITH_AES_256_CBC_SHA256"),
    known(0x003E, "TLS_DH_DSS_WITH_AES_128_CBC_SHA256"),
    known(0x003F, "TLS_DH_RSA_WITH_AES_128_CBC_SHA256"),
    known(0x0040, "TLS_DHE_DSS_WITH_AES_128_CBC_SHA256"),
    known(0x0067, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256"),
    known(0x0068, "TLS_DH_DSS_WITH_AES_256_CBC_SHA256"),
    known(0x0069, "TLS_DH_RSA_WITH_AES_256_CBC_SHA256"),
    known(0x006A, "TLS_DHE_DSS_WITH_AES_256_CBC_SHA256"),
    known(0x006B, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256"),
    known(0x009C, "TLS_RSA_WITH_AES_128_GCM_SHA256"),
    known(0x009D, "TLS_RSA_WITH_AES_256_GCM_SHA384"),
    known(0x009E, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"),
    known(0x009F, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"),
    known(0x00A0, "TLS_DH_RSA_WITH_AES_128_GCM_SHA256"),
    known(0x00A1, "TLS_DH_RSA_WITH_AES_256_GCM_SHA384"),
    known(0x00A2, "TLS_DHE_DSS_WITH_AES_128_GCM_SHA256"),
    known(0x00A3, "TLS_DHE_DSS_WITH_AES_256_GCM_SHA384"),
    known(0x00A4, "TLS_DH_DSS_WITH_AES_128_GCM_SHA256"),
    known(0x00A5, "TLS_DH_DSS_WITH_AES_256_GCM_SHA384"),
    offered(0x1301, "TLS_AES_128_GCM_SHA256"),
    offered(0x1302, "TLS_AES_256_GCM_SHA384"),
    offered(0x1303, "TLS_CHACHA20_POLY1305_SHA256"),
    known(0x1304, "TLS_AES_128_CCM_SHA256"),
    known(0x1305, "TLS_AES_128_CCM_8_SHA256"),
    known(0xC001, "TLS_ECDH_ECDSA_WITH_NULL_SHA"),
    known(0xC002, "TLS_ECDH_ECDSA_WITH_RC4_128_SHA"),
    known(0xC003, "TLS_ECDH_ECDSA_WITH_3DES_EDE_CBC_SHA"),
    known(0xC004, "TLS_ECDH_ECDSA_WITH_AES_128_CBC_SHA"),
    known(0xC005, "TLS_ECDH_ECDSA_WITH_AES_256_CBC_SHA"),
    known(0xC006, "TLS_ECDHE_ECDSA_WITH_NULL_SHA"),
    known(0xC007, "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA"),
    known(0xC008, "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA"),
    known(0xC009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"),
    known(0xC00A, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"),
    known(0xC00B, "TLS_ECDH_RSA_WITH_NULL_SHA"),
    known(0xC00C, "TLS_ECDH_RSA_WITH_RC4_128_SHA"),
    known(0xC00D, "TLS_ECDH_RSA_WITH_3DES_EDE_CBC_SHA"),
    known(0xC00E, "TLS_ECDH_RSA_WITH_AES_128_CBC_SHA"),
    known(0xC00F, "TLS_ECDH_RSA_WITH_AES_256_CBC_SHA"),
    known(0xC010, "TLS_ECDHE_RSA_WITH_NULL_SHA"),
    known(0xC011, "TLS_ECDHE_RSA_WITH_RC4_128_SHA"),
    known(0xC012, "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA"),
    known(0xC013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"),
    known(0xC014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"),
    known(0xC023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"),
    known(0xC024, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384"),
    known(0xC025, "TLS_ECDH_ECDSA_WITH_AES_128_CBC_SHA256"),
    known(0xC026, "TLS_ECDH_ECDSA_WITH_AES_256_CBC_SHA384"),
    known(0xC027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"),
    known(0xC028, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384"),
    known(0xC029, "TLS_ECDH_RSA_WITH_AES_128_CBC_SHA256"),
    known(0xC02A, "TLS_ECDH_RSA_WITH_AES_256_CBC_SHA384"),
    offered(0xC02B, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    offered(0xC02C, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    known(0xC02D, "TLS_ECDH_ECDSA_WITH_AES_128_GCM_SHA256"),
    known(0xC02E, "TLS_ECDH_ECDSA_WITH_AES_256_GCM_SHA384"),
    offered(0xC02F, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    offered(0xC030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    known(0xC031, "TLS_ECDH_RSA_WITH_AES_128_GCM_SHA256"),
    known(0xC032, "TLS_ECDH_RSA_WITH_AES_256_GCM_SHA384"),
    known(0xC0AC, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM"),
    known(0xC0AD, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM"),
    offered(0xCCA8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
    offered(0xCCA9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_it_can_be_searched() {
        assert!(TABLE.windows(2).all(|pair| matches!(pair, [a, b] if a.code < b.code)));
        assert_eq!(by_code(0x1303).map(|suite| suite.name), Some("TLS_CHACHA20_POLY1305_SHA256"));
        assert_eq!(by_name("tls_aes_128_gcm_sha256").map(|suite| suite.code), Some(0x1301));
    }

    #[test]
    fn the_default_list_can_be_negotiated() {
        assert!(DEFAULT.iter().all(|&code| by_code(code).is_some_and(|suite| suite.offered)));
    }
}
