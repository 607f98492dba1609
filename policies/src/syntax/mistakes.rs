//! Words that published samples and tools contain and that never were part of the language, with what was meant.
//! Misspellings need no row here: the nearest keyword is suggested.

/// Keywords, in lower case, with what to do.
const KEYWORDS: &[(&str, &str)] = &[
    ("clienthandshake", "the side is chosen by `HandshakeRole Client` in TTLSEnvironmentAction"),
    ("ttlsadvancedparms", "it is TTLSEnvironmentAdvancedParms in an environment action, TTLSConnectionAdvancedParms in a connection action"),
    ("ttlsmechanism", "`TLSMECHANISM ATTLS` belongs into FTP.DATA; a policy needs no statement for it"),
    ("tlsmechanism", "`TLSMECHANISM ATTLS` belongs into FTP.DATA; a policy needs no statement for it"),
    ("tcpconfig", "`TCPCONFIG TTLS` belongs into PROFILE.TCPIP"),
    ("minimumtlsversion", "code `TLSv1.2 On` or `TLSv1.3 On` in an AdvancedParms block; nothing older is negotiated"),
    ("port", "in a rule code LocalPortRange or RemotePortRange"),
    ("protocol", "AT-TLS is for TCP only; there is no protocol to code"),
    ("sslversion", "versions are switched one by one: `TLSv1.2 On`, `TLSv1.3 On`"),
];

/// Values, in lower case, of a parameter, with what was meant.
const VALUES: &[(&str, &str, &str)] = &[
    ("HandshakeRole", "clientwithserverauth", "a client always checks its server: code `Client`"),
    ("HandshakeRole", "serverwithclientauthentication", "code `ServerWithClientAuth`"),
    ("Renegotiation", "enabled", "code `Default` (RFC 5746 only)"),
    ("Renegotiation", "enforced", "code `Default` and `RenegotiationIndicator Both`"),
    ("CertValidationMode", "pkix", "code `RFC5280`"),
    ("Direction", "in", "code `Inbound`"),
    ("Direction", "out", "code `Outbound`"),
    ("TTLSEnabled", "yes", "code `On`"),
    ("TTLSEnabled", "true", "code `On`"),
];

/// Help for a keyword nobody knows.
pub(super) fn keyword(word: &str) -> Option<&'static str> {
    KEYWORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, help)| *help)
}

/// Help for a value its parameter does not take.
pub(super) fn value(parameter: &str, word: &str) -> Option<&'static str> {
    let found = VALUES.iter().find(|(name, known, _)| *name == parameter && known.eq_ignore_ascii_case(word));
    found.map(|(_, _, help)| *help)
}
