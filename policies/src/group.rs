//! Named groups (elliptic curves and key encapsulations) and signature algorithm pairs, as policies write them.
//!
//! Source: IANA "TLS Supported Groups" and "TLS SignatureScheme" registries. Policies write group numbers in **decimal**
//! with four digits (`0023` is secp256r1), signature pairs in hexadecimal (`0403`).

/// A named group.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Group {
    /// IANA number.
    pub code: u16,
    /// IANA name.
    pub name: &'static str,
    /// Whether the engine can negotiate it.
    pub offered: bool,
}

/// What is offered when a policy codes no groups: the post-quantum hybrid first.
pub const DEFAULT: &[u16] = &[4588, 29, 23, 24];

/// The group with this number.
#[must_use]
pub fn by_code(code: u16) -> Option<&'static Group> {
    TABLE.iter().find(|group| group.code == code)
}

/// The name of a group, or its number when it is not in the table.
#[must_use]
pub fn name(code: u16) -> String {
    by_code(code).map_or_else(|| format!("{code:04}"), |group| group.name.to_owned())
}

/// The group with this IANA name, in any case.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Group> {
    TABLE.iter().find(|group| group.name.eq_ignore_ascii_case(name))
}

/// Whether TLS 1.2 can use the group: hybrids and key encapsulations belong to TLS 1.3.
#[must_use]
pub fn serves_tls12(code: u16) -> bool {
    code < 256
}

/// The elliptic curve of a hybrid.
#[must_use]
pub fn classical_part(code: u16) -> Option<u16> {
    match code {
        4587 => Some(23),
        4588 => Some(29),
        4589 => Some(24),
        _ => None,
    }
}

/// Whether FIPS 140-3 allows a group: X25519 alone it does not.
#[must_use]
pub fn is_fips(code: u16) -> bool {
    code != 29
}

/// Every group a policy may name.
pub const TABLE: &[Group] = &[
    Group { code: 19, name: "secp192r1", offered: false },
    Group { code: 21, name: "secp224r1", offered: false },
    Group { code: 22, name: "secp256k1", offered: false },
    Group { code: 23, name: "secp256r1", offered: true },
    Group { code: 24, name: "secp384r1", offered: true },
    Group { code: 25, name: "secp521r1", offered: false },
    Group { code: 26, name: "brainpoolP256r1", offered: false },
    Group { code: 27, name: "brainpoolP384r1", offered: false },
    Group { code: 28, name: "brainpoolP512r1", offered: false },
    Group { code: 29, name: "x25519", offered: true },
    Group { code: 30, name: "x448", offered: false },
    Group { code: 31, name: "brainpoolP256r1tls13", offered: false },
    Group { code: 32, name: "brainpoolP384r1tls13", offered: false },
    Group { code: 33, name: "brainpoolP512r1tls13", offered: false },
    Group { code: 256, name: "ffdhe2048", offered: false },
    Group { code: 257, name: "ffdhe3072", offered: false },
    Group { code: 258, name: "ffdhe4096", offered: false },
    Group { code: 259, name: "ffdhe6144", offered: false },
    Group { code: 260, name: "ffdhe8192", offered: false },
    Group { code: 512, name: "MLKEM512", offered: false },
    Group { code: 513, name: "MLKEM768", offered: true },
    Group { code: 514, name: "MLKEM1024", offered: true },
    Group { code: 4587, name: "SecP256r1MLKEM768", offered: true },
    Group { code: 4588, name: "X25519MLKEM768", offered: true },
    Group { code: 4589, name: "SecP384r1MLKEM1024", offered: false },
];

/// Signature algorithm pairs (hash, signature) with IBM's constant names.
pub const SIGNATURE_PAIRS: &[(u16, &str)] = &[
    (0x0601, "TLS_SIGALG_SHA512_WITH_RSA"),
    (0x0603, "TLS_SIGALG_SHA512_WITH_ECDSA"),
    (0x0602, "TLS_SIGALG_SHA512_WITH_DSA"),
    (0x0501, "TLS_SIGALG_SHA384_WITH_RSA"),
    (0x0503, "TLS_SIGALG_SHA384_WITH_ECDSA"),
    (0x0502, "TLS_SIGALG_SHA384_WITH_DSA"),
    (0x0401, "TLS_SIGALG_SHA256_WITH_RSA"),
    (0x0403, "TLS_SIGALG_SHA256_WITH_ECDSA"),
    (0x0402, "TLS_SIGALG_SHA256_WITH_DSA"),
    (0x0301, "TLS_SIGALG_SHA224_WITH_RSA"),
    (0x0303, "TLS_SIGALG_SHA224_WITH_ECDSA"),
    (0x0302, "TLS_SIGALG_SHA224_WITH_DSA"),
    (0x0201, "TLS_SIGALG_SHA1_WITH_RSA"),
    (0x0203, "TLS_SIGALG_SHA1_WITH_ECDSA"),
    (0x0202, "TLS_SIGALG_SHA1_WITH_DSA"),
    (0x0101, "TLS_SIGALG_MD5_WITH_RSA"),
    (0x0804, "TLS_SIGALG_SHA256_WITH_RSASSA_PSS"),
    (0x0805, "TLS_SIGALG_SHA384_WITH_RSASSA_PSS"),
    (0x0806, "TLS_SIGALG_SHA512_WITH_RSASSA_PSS"),
    (0x0809, "TLS_SIGALG_SHA256_WITH_RSASSA_PSS_PSS"),
    (0x080A, "TLS_SIGALG_SHA384_WITH_RSASSA_PSS_PSS"),
    (0x080B, "TLS_SIGALG_SHA512_WITH_RSASSA_PSS_PSS"),
    (0x0807, "ED25519"),
    (0x0808, "ED448"),
    (0x0904, "MLDSA44"),
    (0x0905, "MLDSA65"),
    (0x0906, "MLDSA87"),
];

/// The pair with this constant name, in any case.
#[must_use]
pub fn signature_by_name(name: &str) -> Option<u16> {
    SIGNATURE_PAIRS.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(code, _)| *code)
}

/// The constant name of a pair, or its digits when it is not in the table.
#[must_use]
pub fn signature_name(code: u16) -> String {
    let found = SIGNATURE_PAIRS.iter().find(|(known, _)| *known == code);
    found.map_or_else(|| format!("{code:04X}"), |(_, name)| (*name).to_owned())
}

/// Whether handshakes of TLS 1.3 (or of TLS 1.2) can be signed with an algorithm the engine verifies: TLS 1.3 has no PKCS #1
/// (RFC 8446, section 4.2.3), TLS 1.2 no ML-DSA.
#[must_use]
pub fn signs(code: u16, tls13: bool) -> bool {
    const PKCS1: [u16; 3] = [0x0401, 0x0501, 0x0601];
    const ML_DSA: [u16; 3] = [0x0904, 0x0905, 0x0906];
    !(if tls13 { PKCS1 } else { ML_DSA }).contains(&code)
}

/// The signature algorithms the engine verifies, in the order it offers them (TLS 1.2's names of them where those are
/// older). A test of the data plane compares the list with the engine's.
pub const VERIFIED: &[u16] =
    &[0x0503, 0x0403, 0x0603, 0x0807, 0x0806, 0x0805, 0x0804, 0x0601, 0x0501, 0x0401, 0x0904, 0x0905, 0x0906];
