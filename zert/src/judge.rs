//! Whether a connection meets the minimum of its enforcement rule.

use policies::model::ZertAction;

use crate::observer::Protection;

/// The judgement of a connection whose protection is known.
#[must_use]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It meets the minimum, or its handshake failed and nothing was sent.
    Sufficient,
    /// It falls short: the rule's actions apply.
    Insufficient,
}

/// Judges a determined protection by a TLS rule. A handshake that failed carried no data and is let be; a connection
/// that SSH protects is no matter of a TLS rule; clear text falls short of any version, and so does TLS below the
/// minimum.
pub fn judge(protection: &Protection, action: &ZertAction) -> Verdict {
    let sufficient = match protection {
        Protection::Undetermined | Protection::Ssh(_) => true,
        Protection::None => false,
        Protection::Tls(handshake) => handshake.version == 0 || handshake.version >= action.minimum,
    };
    if sufficient { Verdict::Sufficient } else { Verdict::Insufficient }
}

/// The name messages use for a version.
#[must_use]
pub fn version_name(version: u16) -> &'static str {
    match version {
        0x0200 => "SSLv2",
        0x0300 => "SSLv3",
        0x0301 => "TLSv1.0",
        0x0302 => "TLSv1.1",
        0x0303 => "TLSv1.2",
        0x0304 => "TLSv1.3",
        _ => "unknown",
    }
}
