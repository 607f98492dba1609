//! IPsec of a connection: the kernel's associations in the words of policies and of records.

use std::net::IpAddr;

use policies::algorithm::{Authentication, Encryption, Protocol, Symmetric};
use policies::protection::Observed;
use serde::Serialize;
use smf::detail;
use stack::xfrm::{self, Association, Mode, Protected};

use crate::codes;

/// Encryption by the kernel's name, and the bits behind its key that are a salt.
const ENCRYPTION: &[(&str, Encryption, u32)] = &[
    ("ecb(cipher_null)", Encryption::None, 0),
    ("cipher_null", Encryption::None, 0),
    ("cbc(des)", Encryption::Des, 0),
    ("cbc(des3_ede)", Encryption::TripleDes, 0),
    ("cbc(aes)", Encryption::AesCbc, 0),
    ("rfc3686(ctr(aes))", Encryption::AesCtr, 32),
    ("rfc4106(gcm(aes))", Encryption::AesGcm, 32),
    ("rfc4309(ccm(aes))", Encryption::AesCcm, 24),
    ("rfc7539esp(chacha20,poly1305)", Encryption::ChaCha20Poly1305, 32),
    ("cbc(camellia)", Encryption::CamelliaCbc, 0),
    ("cbc(blowfish)", Encryption::Blowfish, 0),
    ("cbc(cast5)", Encryption::Cast128, 0),
    ("cbc(twofish)", Encryption::Twofish, 0),
    ("cbc(serpent)", Encryption::Serpent, 0),
    // Authenticated, not encrypted (RFC 4543).
    ("rfc4543(gcm(aes))", Encryption::None, 32),
];

const AUTHENTICATION: &[(&str, Authentication)] = &[
    ("digest_null", Authentication::None),
    ("hmac(md5)", Authentication::Md5),
    ("hmac(sha1)", Authentication::Sha1),
    ("hmac(sha256)", Authentication::Sha256),
    ("hmac(sha384)", Authentication::Sha384),
    ("hmac(sha512)", Authentication::Sha512),
    ("hmac(rmd160)", Authentication::Ripemd160),
];

/// What IPsec does for a connection.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Ipsec {
    /// This host's end of the association to the peer.
    pub local: IpAddr,
    /// Its other end.
    pub remote: IpAddr,
    /// Whether packets go through a tunnel, rather than from end to end.
    pub tunnel: bool,
    /// Whether it is AH: nothing is encrypted.
    pub authenticates_only: bool,
    /// The request that the association was made for; 0: by hand.
    pub request: u32,
    /// The kernel's names of its algorithms: encryption, then message authentication where it has one of its own.
    pub algorithms: Vec<String>,
    /// The same of each direction, in the words of policies; none for what they have no word for.
    pub symmetric: Option<Vec<Symmetric>>,
    /// Kilobytes and seconds after which keys are renewed.
    pub renewal: (Option<u64>, Option<u64>),
}

impl Ipsec {
    pub(crate) fn of(found: &Protected<'_>) -> Self {
        let outbound = found.outbound;
        let names = [&outbound.aead, &outbound.encryption, &outbound.authentication];
        Self {
            local: outbound.source,
            remote: outbound.destination,
            tunnel: outbound.mode == Mode::Tunnel,
            authenticates_only: outbound.protocol == xfrm::AH,
            request: outbound.request,
            algorithms: names.into_iter().flatten().map(|found| found.name.clone()).collect(),
            symmetric: [outbound, found.inbound].into_iter().map(symmetric).collect(),
            renewal: (outbound.soft_bytes.map(|bytes| bytes / 1024), outbound.soft_seconds),
        }
    }

    /// The same as policies judge it. Nobody but IKE knows more.
    #[must_use]
    pub fn observed(&self) -> Observed {
        Observed { symmetric: self.symmetric.clone().unwrap_or_default(), ..Observed::only(Protocol::Ipsec) }
    }

    /// The section of its records.
    pub(crate) fn section(&self) -> detail::Ipsec {
        let first = self.symmetric.as_ref().and_then(|symmetric| symmetric.first());
        let (encryption, authentication) = first.map(|found| codes::of_symmetric(*found)).unwrap_or_default();
        let small = |value: Option<u64>| u32::try_from(value.unwrap_or_default()).unwrap_or(u32::MAX);
        detail::Ipsec {
            local: self.local,
            remote: self.remote,
            tunnel: self.request,
            kind: if self.request == 0 { 1 } else { 2 },
            mode: if self.tunnel { 1 } else { 2 },
            protocol: if self.authenticates_only { detail::AH } else { detail::ESP },
            authentication,
            encryption,
            lifesize: small(self.renewal.0),
            lifetime: small(self.renewal.1),
        }
    }
}

/// What an association does; none for an algorithm that no table knows.
fn symmetric(association: &Association) -> Option<Symmetric> {
    let own = association.authentication.as_ref();
    let authentication = own.and_then(|own| {
        AUTHENTICATION.iter().find(|(name, _)| *name == own.name).map(|(_, authentication)| *authentication)
    });
    let Some(cipher) = association.aead.as_ref().or(association.encryption.as_ref()) else {
        return Some(Symmetric { encryption: Encryption::None, bits: 0, authentication });
    };
    let (_, encryption, salt) = ENCRYPTION.iter().find(|(name, ..)| *name == cipher.name)?;
    let bits = match encryption {
        Encryption::None => 0,
        Encryption::TripleDes => 112,
        Encryption::Des => 56,
        _ => u16::try_from(cipher.key_bits.saturating_sub(*salt)).unwrap_or(u16::MAX),
    };
    let authentication = if association.aead.is_some() { Some(Authentication::Aead) } else { authentication };
    Some(Symmetric { encryption: *encryption, bits, authentication })
}

#[cfg(test)]
mod tests {
    use stack::xfrm::Algorithm;

    use super::*;

    fn cipher(name: &str, key_bits: u32) -> Option<Algorithm> {
        Some(Algorithm { name: name.to_owned(), key_bits })
    }

    fn association(make: impl FnOnce(&mut Association)) -> Association {
        let mut made = Association::between(IpAddr::from([192, 0, 2, 1]), IpAddr::from([198, 51, 100, 1]));
        (made.request, made.mode) = (7, Mode::Tunnel);
        make(&mut made);
        made
    }

    #[test]
    fn associations_are_what_their_names_say() {
        let gcm = association(|made| made.aead = cipher("rfc4106(gcm(aes))", 288));
        let found = Ipsec::of(&Protected { outbound: &gcm, inbound: &gcm });
        let expected =
            Symmetric { encryption: Encryption::AesGcm, bits: 256, authentication: Some(Authentication::Aead) };
        assert_eq!(found.observed().symmetric, [expected, expected]);
        let section = found.section();
        assert_eq!((section.encryption, section.authentication, section.mode), (0x13, 1, 1));
        let old = association(|made| {
            (made.encryption, made.authentication) = (cipher("cbc(des3_ede)", 192), cipher("hmac(sha1)", 160));
        });
        let found = Ipsec::of(&Protected { outbound: &old, inbound: &old });
        assert_eq!((found.section().encryption, found.section().authentication), (4, 4));
        assert_eq!(found.algorithms, ["cbc(des3_ede)", "hmac(sha1)"]);
        let strange = association(|made| made.encryption = cipher("cbc(rot13)", 1));
        let found = Ipsec::of(&Protected { outbound: &gcm, inbound: &strange });
        assert_eq!(found.symmetric, None, "of one direction nothing is known");
        let header = association(|made| {
            (made.protocol, made.authentication) = (xfrm::AH, cipher("hmac(sha256)", 256));
        });
        let found = Ipsec::of(&Protected { outbound: &header, inbound: &header });
        assert_eq!((found.section().protocol, found.section().encryption), (51, 1));
    }
}
