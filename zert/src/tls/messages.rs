//! The messages of a handshake that travel in the clear.
//!
//! Source: RFC 8446 §4, RFC 5246 §7.4, RFC 8422 §5.4 and RFC 4279 §2 (ServerKeyExchange), SSL 2.0 (1995) §5.5. Lengths come from the
//! wire and are never trusted.

use policies::algorithm::{self, KeyExchange};

const SERVER_NAME: u16 = 0;
const APPLICATION_PROTOCOLS: u16 = 16;
const ENCRYPT_THEN_MAC: u16 = 22;
const PRE_SHARED_KEY: u16 = 41;
const EARLY_DATA: u16 = 42;
const SUPPORTED_VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;
const ENCRYPTED_CLIENT_HELLO: u16 = 0xFE0D;
/// ServerHello.random of a HelloRetryRequest, RFC 8446 §4.1.3.
const HELLO_RETRY_REQUEST: [u8; 32] = [
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91, 0xC2, 0xA2, 0x11,
    0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
];
/// Protocols of an offer that are kept.
const MAX_PROTOCOLS: usize = 16;

/// A cursor over untrusted bytes.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).and_then(<[u8]>::first).copied()
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).and_then(<[u8]>::first_chunk).map(|bytes| u16::from_be_bytes(*bytes))
    }

    /// A vector behind a length of one byte.
    fn vector8(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.take(length.into())
    }

    /// A vector behind a length of two bytes.
    fn vector16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length.into())
    }
}

/// What a ClientHello offers.
#[derive(Clone, Debug, Default)]
pub(super) struct ClientHello {
    /// The highest version; drafts of TLS 1.3 count as it.
    pub(super) version: u16,
    pub(super) server_name: Option<String>,
    pub(super) protocols: Vec<String>,
    pub(super) early_data: bool,
    pub(super) encrypted_hello: bool,
}

/// Reads a ClientHello; none when it is cut off before its extensions.
pub(super) fn client_hello(body: &[u8]) -> Option<ClientHello> {
    let mut bytes = Bytes(body);
    let mut hello = ClientHello { version: bytes.u16()?, ..ClientHello::default() };
    bytes.take(32)?; // random
    bytes.vector8()?; // session id
    bytes.vector16()?; // suites
    bytes.vector8()?; // compression
    let mut extensions = Bytes(bytes.vector16().unwrap_or_default());
    while let (Some(kind), Some(value)) = (extensions.u16(), extensions.vector16()) {
        let mut value = Bytes(value);
        match kind {
            SERVER_NAME => {
                let mut list = Bytes(value.vector16().unwrap_or_default());
                list.u8();
                hello.server_name = list.vector16().map(text);
            }
            APPLICATION_PROTOCOLS => {
                let mut list = Bytes(value.vector16().unwrap_or_default());
                let offered = std::iter::from_fn(|| list.vector8()).filter(|name| !is_grease(name));
                hello.protocols = offered.take(MAX_PROTOCOLS).map(text).collect();
            }
            SUPPORTED_VERSIONS => {
                let mut list = Bytes(value.vector8().unwrap_or_default());
                let offered = std::iter::from_fn(|| list.u16()).filter(|version| is_version(*version));
                hello.version = offered.map(settled).max().unwrap_or(hello.version);
            }
            EARLY_DATA => hello.early_data = true,
            ENCRYPTED_CLIENT_HELLO => hello.encrypted_hello = true,
            _ => {}
        }
    }
    Some(hello)
}

/// A version that a table knows, or a draft of TLS 1.3; what RFC 8701 has clients send besides is none.
fn is_version(version: u16) -> bool {
    matches!(version, 0x0002 | 0x0300..=0x0304 | 0x7F00..=0x7FFF)
}

/// Drafts of TLS 1.3 are TLS 1.3.
fn settled(version: u16) -> u16 {
    if version >> 8 == 0x7F { 0x0304 } else { version }
}

/// RFC 8701: names of two equal bytes 0x?A.
fn is_grease(name: &[u8]) -> bool {
    matches!(name, [a, b] if a == b && a & 0x0F == 0x0A)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { '?' } else { c }).take(255).collect()
}

/// What a server chose.
pub(super) struct ServerHello {
    pub(super) version: u16,
    /// The number of the draft of TLS 1.3, where it is one.
    pub(super) draft: Option<u8>,
    pub(super) suite: u16,
    pub(super) session_id: Vec<u8>,
    pub(super) group: Option<u16>,
    pub(super) pre_shared_key: bool,
    pub(super) encrypt_then_mac: bool,
    pub(super) protocol: Option<String>,
    /// It asks for another hello.
    pub(super) retry: bool,
}

/// Reads a ServerHello; none when it is malformed.
pub(super) fn server_hello(body: &[u8]) -> Option<ServerHello> {
    let mut bytes = Bytes(body);
    let version = bytes.u16()?;
    let retry = bytes.take(32)? == HELLO_RETRY_REQUEST;
    // Drafts of TLS 1.3 up to 21 have no session id.
    let draft_form = (0x7F00..=0x7F15).contains(&version);
    let session_id = if draft_form { Vec::new() } else { bytes.vector8()?.to_vec() };
    let suite = bytes.u16()?;
    if !draft_form {
        bytes.u8()?; // compression
    }
    let mut hello = ServerHello {
        version,
        draft: None,
        suite,
        session_id,
        group: None,
        pre_shared_key: false,
        encrypt_then_mac: false,
        protocol: None,
        retry,
    };
    hello.session_id.truncate(32);
    let mut extensions = Bytes(bytes.vector16().unwrap_or_default());
    while let (Some(kind), Some(value)) = (extensions.u16(), extensions.vector16()) {
        let mut value = Bytes(value);
        match kind {
            SUPPORTED_VERSIONS => hello.version = value.u16()?,
            KEY_SHARE => hello.group = value.u16(),
            PRE_SHARED_KEY => hello.pre_shared_key = true,
            ENCRYPT_THEN_MAC => hello.encrypt_then_mac = true,
            APPLICATION_PROTOCOLS => {
                hello.protocol = value.vector16().and_then(|list| Bytes(list).vector8()).map(text);
            }
            _ => {}
        }
    }
    if let [0x7F, draft] = hello.version.to_be_bytes() {
        hello.draft = Some(draft);
    }
    hello.version = settled(hello.version);
    Some(hello)
}

/// The first certificate of a Certificate message up to TLS 1.2; none where the list is empty.
pub(super) fn first_certificate(body: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Bytes(body);
    bytes.take(3)?;
    let [a, b, c] = *bytes.take(3)?.first_chunk::<3>()?;
    let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    bytes.take(length).map(<[u8]>::to_vec)
}

/// What a ServerKeyExchange shows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct ServerKeyExchange {
    pub(super) group: Option<u16>,
    /// Bits of the prime.
    pub(super) dh_bits: Option<u16>,
    /// The signature scheme; only TLS 1.2 names it.
    pub(super) signature: Option<u16>,
}

/// Reads a ServerKeyExchange as the suite has it.
pub(super) fn server_key_exchange(version: u16, suite: u16, body: &[u8]) -> ServerKeyExchange {
    let mut found = ServerKeyExchange::default();
    let mut bytes = Bytes(body);
    let name = policies::cipher::name(suite);
    if name.contains("_PSK_") {
        bytes.vector16(); // the hint which key is meant
    }
    if uses_curve(suite) {
        // ECParameters: curve type 3 (named curve), then the group.
        if bytes.u8() != Some(3) {
            return found;
        }
        found.group = bytes.u16();
        bytes.vector8(); // the server's point
    } else if matches!(algorithm::key_exchange(suite), Some(KeyExchange::Dhe | KeyExchange::Anonymous)) {
        let Some(prime) = bytes.vector16() else { return found };
        found.dh_bits = Some(bits(prime));
        bytes.vector16(); // generator
        bytes.vector16(); // the server's number
    } else {
        return found;
    }
    let signed = !name.contains("_anon_") && !name.contains("_PSK_");
    found.signature = bytes.u16().filter(|_| version == 0x0303 && signed);
    found
}

/// The length of a number, leading zeros left out.
fn bits(number: &[u8]) -> u16 {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let leading = number.get(zeros).map_or(0, |byte| byte.leading_zeros());
    let length = (number.len() - zeros).saturating_mul(8);
    u16::try_from(length).unwrap_or(u16::MAX).saturating_sub(u16::try_from(leading).unwrap_or_default())
}

/// Whether a TLS 1.2 suite's key exchange is over an elliptic curve (IANA numbers of ECDH, ECDHE and ECDHE_PSK).
fn uses_curve(suite: u16) -> bool {
    matches!(suite,
        0xC001..=0xC019 | 0xC023..=0xC03B | 0xC048..=0xC04F | 0xC05C..=0xC063 | 0xC070 | 0xC071 | 0xC072..=0xC079
        | 0xC086..=0xC08D | 0xC09A | 0xC09B | 0xC0AC..=0xC0AF | 0xCCA8 | 0xCCA9 | 0xCCAC | 0xD001..=0xD005)
}

/// The certificate in SSLv2's ServerHello.
pub(super) fn ssl2_certificate(body: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Bytes(body);
    bytes.take(1 + 1 + 2)?; // session id hit, certificate type, version
    let length = bytes.u16()?;
    bytes.take(2 + 2)?; // lengths of the cipher specs and of the connection id
    bytes.take(length.into()).filter(|der| !der.is_empty()).map(<[u8]>::to_vec)
}

/// The cipher that the client chose in SSLv2's ClientMasterKey: three bytes.
pub(super) fn ssl2_cipher(body: &[u8]) -> Option<u32> {
    body.first_chunk::<3>().map(|[a, b, c]| u32::from_be_bytes([0, *a, *b, *c]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_bits_they_need() {
        assert_eq!((bits(&[0, 0, 1, 0]), bits(&[0x80; 256]), bits(&[])), (9, 2048, 0));
    }

    #[test]
    fn key_exchanges_are_read_as_their_suites_have_them() {
        let curve = [&[3, 0, 29, 2, 1, 1][..], &[4, 3, 0, 0]].concat();
        let expected = ServerKeyExchange { group: Some(29), dh_bits: None, signature: Some(0x0403) };
        assert_eq!(server_key_exchange(0x0303, 0xC02B, &curve), expected);
        // Before TLS 1.2 the scheme is not named.
        assert_eq!(server_key_exchange(0x0302, 0xC009, &curve).signature, None);
        let hint = [&[0, 4][..], b"hint", &curve].concat();
        assert_eq!(server_key_exchange(0x0303, 0xC035, &hint).group, Some(29), "ECDHE_PSK");
        let prime = [&[0, 2, 0x0F, 0xFF, 0, 1, 2, 0, 2, 1, 1][..], &[8, 4]].concat();
        let expected = ServerKeyExchange { group: None, dh_bits: Some(12), signature: Some(0x0804) };
        assert_eq!(server_key_exchange(0x0303, 0x009E, &prime), expected);
        assert_eq!(server_key_exchange(0x0303, 0x009E, &[0]), ServerKeyExchange::default());
    }
}
