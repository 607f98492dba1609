//! Words that published samples and tools contain and that never were part of the language, with what was meant.
//! Misspellings need no row here: the nearest keyword is suggested.

use crate::address;
use crate::table::Parameter;
use crate::value::Kind;

/// Keywords, in lower case, with what to do.
const KEYWORDS: &[(&str, &str)] = &[
    ("clienthandshake", "the side is chosen by `HandshakeRole Client` in TTLSEnvironmentAction"),
    (
        "ttlsadvancedparms",
        "it is TTLSEnvironmentAdvancedParms in an environment action, TTLSConnectionAdvancedParms in a connection action",
    ),
    ("ttlsmechanism", "`TLSMECHANISM ATTLS` belongs into FTP.DATA; a policy needs no statement for it"),
    ("tlsmechanism", "`TLSMECHANISM ATTLS` belongs into FTP.DATA; a policy needs no statement for it"),
    ("tcpconfig", "`TCPCONFIG TTLS` belongs into PROFILE.TCPIP"),
    ("minimumtlsversion", "code `TLSv1.2 On` or `TLSv1.3 On` in an AdvancedParms block; nothing older is negotiated"),
    ("port", "in a rule code LocalPortRange or RemotePortRange"),
    ("localport", "did you mean `LocalPortRange`?"),
    ("remoteport", "did you mean `RemotePortRange`?"),
    ("protocol", "AT-TLS is for TCP only; there is no protocol to code"),
    ("sslversion", "versions are switched one by one: `TLSv1.2 On`, `TLSv1.3 On`"),
    ("tlsv12", "did you mean `TLSv1.2`?"),
    ("tlsv13", "did you mean `TLSv1.3`?"),
    ("tlsv11", "did you mean `TLSv1.1`? It is never negotiated"),
    ("keyringpasswd", "did you mean `KeyringPw`?"),
    ("keyringpassword", "did you mean `KeyringPw`?"),
    ("//", "comments begin with `#`"),
    ("--", "comments begin with `#`"),
    ("/*", "comments begin with `#`"),
    ("rem", "comments begin with `#`"),
];

/// Values, in lower case, of a parameter, with what was meant.
const VALUES: &[(&str, &str, &str)] = &[
    ("HandshakeRole", "clientwithserverauth", "a client always checks its server: code `Client`"),
    ("HandshakeRole", "serverwithclientauthentication", "code `ServerWithClientAuth`"),
    ("Renegotiation", "enabled", "renegotiation is always refused here: code `Disabled`, or for z/OS `Default`"),
    ("Renegotiation", "enforced", "renegotiation is always refused here: code `Disabled`, or for z/OS `Default`"),
    ("CertValidationMode", "pkix", "code `RFC5280`"),
    ("Direction", "in", "code `Inbound`"),
    ("Direction", "out", "code `Outbound`"),
];

/// Curves by the names other programs have for them.
const CURVES: &[(&str, &str)] = &[
    ("p-256", "secp256r1 (0023)"),
    ("prime256v1", "secp256r1 (0023)"),
    ("nistp256", "secp256r1 (0023)"),
    ("p-384", "secp384r1 (0024)"),
    ("nistp384", "secp384r1 (0024)"),
    ("p-521", "secp521r1 (0025)"),
    ("nistp521", "secp521r1 (0025)"),
    ("curve25519", "x25519 (0029)"),
];

/// Help for a keyword nobody knows.
pub(super) fn keyword(word: &str) -> Option<&'static str> {
    KEYWORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, help)| *help)
}

/// Help for a value its parameter does not take.
pub(super) fn value(parameter: &Parameter, word: &str) -> Option<String> {
    let lower = word.to_ascii_lowercase();
    let found = VALUES.iter().find(|(name, known, _)| *name == parameter.name && *known == lower);
    if let Some((_, _, help)) = found {
        return Some((*help).to_owned());
    }
    match parameter.kind {
        Kind::OnOff => match lower.as_str() {
            "yes" | "true" | "1" | "enabled" | "enable" => Some("code `On`".to_owned()),
            "no" | "false" | "0" | "disabled" | "disable" => Some("code `Off`".to_owned()),
            _ => None,
        },
        Kind::Address | Kind::Prefix | Kind::Range => address::mistake(word),
        Kind::Ports => ports(word),
        Kind::Suites(_) | Kind::Groups { .. } | Kind::SignaturePairs => codes(parameter.kind, &lower),
        _ => None,
    }
}

fn ports(word: &str) -> Option<String> {
    if word.contains(',') {
        return Some("code each port on a line of its own, or a PortGroup".to_owned());
    }
    let (from, to) = word.split_once(['-', ':']).or_else(|| word.split_once([' ', '\t']))?;
    let (from, to): (u32, u32) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
    (from > to && from <= 65_535).then(|| format!("the range ends before it begins: `{to}-{from}`"))
}

fn codes(kind: Kind, word: &str) -> Option<String> {
    if word.contains([',', ';', '|']) {
        return Some("write codes without anything between them, or each on a line of its own".to_owned());
    }
    if let Some(digits) = word.strip_prefix("0x") {
        return Some(format!("leave the 0x out: `{}`", digits.to_ascii_uppercase()));
    }
    let is_group = matches!(kind, Kind::Groups { .. });
    if let Some((_, name)) = CURVES.iter().find(|(known, _)| is_group && *known == word) {
        return Some(format!("code {name}"));
    }
    if is_group && word.len() < 4 && !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(format!("write four digits: `{word:0>4}`"));
    }
    if is_group && word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let code = u16::from_str_radix(word, 16).ok()?;
        return Some(format!("group numbers are decimal: `{code:04}`"));
    }
    let openssl = matches!(kind, Kind::Suites(_)) && word.contains('-') && !word.contains('_');
    openssl.then(|| "code the IANA name, such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, or the number".to_owned())
}
