//! Reading TLS handshakes as they pass, SSLv2 hellos to TLS 1.3.
//!
//! Source: RFC 8446 §4 and §5, RFC 5246 §7.4, RFC 8422 §5.4 (ServerKeyExchange). Only what travels in the clear is read;
//! lengths come from the wire and are never trusted.

use serde::Serialize;

use crate::dialogue::Upgrade;

/// Bytes of a handshake that are kept while they are incomplete. A certificate message may be large.
pub(crate) const MAX_BUFFERED: usize = 128 * 1024;
/// Longest TLS record: 2^14 of payload, with room for expansion (RFC 5246 §6.2.3).
const MAX_RECORD: usize = 16_384 + 2048;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;
const SERVER_KEY_EXCHANGE: u8 = 12;
const SERVER_HELLO_DONE: u8 = 14;
const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_ENCRYPT_THEN_MAC: u16 = 22;
const EXTENSION_PRE_SHARED_KEY: u16 = 41;
const EXTENSION_SUPPORTED_VERSIONS: u16 = 43;
const EXTENSION_KEY_SHARE: u16 = 51;
/// ServerHello.random of a HelloRetryRequest, RFC 8446 §4.1.3.
const HELLO_RETRY_REQUEST: [u8; 32] = [
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91, 0xC2, 0xA2, 0x11,
    0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
];

/// What a handshake shows.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Handshake {
    /// The negotiated version, wire number; 0 until the server has answered.
    pub version: u16,
    /// The negotiated suite, IANA number; SSLv2 has none here.
    pub suite: u16,
    /// The key exchange group, IANA number, when the handshake shows it.
    pub group: Option<u16>,
    /// Whether a session was resumed; for TLS 1.3 whether a pre-shared key was accepted.
    pub resumed: Option<bool>,
    /// The session id of the ServerHello, up to 32 bytes.
    pub session_id: Vec<u8>,
    /// The name the client asked for.
    pub server_name: Option<String>,
    /// Whether encrypt-then-MAC was agreed.
    pub encrypt_then_mac: bool,
    /// The server's end-entity certificate, DER; TLS 1.3 hides it.
    #[serde(skip)]
    pub server_certificate: Option<Vec<u8>>,
    /// A fatal alert ended the handshake: description, RFC 8446 §6.
    pub alert: Option<u8>,
    /// The clear-text dialogue that led to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<Upgrade>,
    /// Nothing more will be learned.
    pub complete: bool,
}

/// How bytes begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Opening {
    /// A ClientHello.
    Hello,
    /// Too few bytes to tell.
    Unclear,
    /// Something else.
    Other,
}

/// Whether a client's first bytes are a TLS (or SSLv2) ClientHello.
pub(crate) fn opening(bytes: &[u8]) -> Opening {
    let expected: [fn(u8) -> bool; 6] =
        [|b| b == HANDSHAKE, |b| b == 3, |b| b <= 4, |_| true, |_| true, |b| b == CLIENT_HELLO];
    if bytes.iter().zip(expected).all(|(&byte, fits)| fits(byte)) {
        return if bytes.len() >= 6 { Opening::Hello } else { Opening::Unclear };
    }
    // SSLv2: two bytes of length with the high bit set, message type 1, version 0x0002 or 0x03xx.
    let sslv2: [fn(u8) -> bool; 4] = [|b| b & 0x80 != 0, |_| true, |b| b == CLIENT_HELLO, |b| b == 0 || b == 3];
    if bytes.iter().zip(sslv2).all(|(&byte, fits)| fits(byte)) {
        return if bytes.len() >= 4 { Opening::Hello } else { Opening::Unclear };
    }
    Opening::Other
}

/// Reads both directions of one handshake.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reader {
    client: Records,
    server: Records,
    pub(crate) handshake: Handshake,
}

impl Reader {
    /// Takes bytes of the client.
    pub(crate) fn client(&mut self, bytes: &[u8]) {
        if self.handshake.complete {
            return;
        }
        let handshake = &mut self.handshake;
        self.client.feed(bytes, |kind, body| {
            if handshake.complete {
                return;
            }
            if kind == Content::Message(CLIENT_HELLO) {
                handshake.server_name = client_hello(body).unwrap_or_default();
            } else if let Content::FatalAlert(description) = kind {
                handshake.alert = Some(description);
                handshake.complete = true;
            }
        });
    }

    /// Takes bytes of the server.
    pub(crate) fn server(&mut self, bytes: &[u8]) {
        if self.handshake.complete {
            return;
        }
        let handshake = &mut self.handshake;
        self.server.feed(bytes, |kind, body| {
            if !handshake.complete {
                server_message(handshake, kind, body);
            }
        });
        if self.server.broken {
            self.handshake.complete = true;
        }
    }

    /// Whether the server answered with something that is no TLS, before it chose a version or refused.
    pub(crate) fn is_refuted(&self) -> bool {
        self.server.broken && self.handshake.version == 0 && self.handshake.alert.is_none()
    }
}

fn server_message(handshake: &mut Handshake, kind: Content, body: &[u8]) {
    match kind {
        // The first answer counts; nothing that follows changes the version.
        Content::Message(SERVER_HELLO) if handshake.version == 0 => match server_hello(body) {
            Some(hello) if !hello.retry => {
                handshake.version = hello.version;
                handshake.suite = hello.suite;
                handshake.session_id = hello.session_id;
                handshake.encrypt_then_mac = hello.encrypt_then_mac;
                if hello.version >= 0x0304 {
                    handshake.group = hello.group;
                    handshake.resumed = Some(hello.pre_shared_key);
                    handshake.complete = true;
                }
            }
            _ => {}
        },
        Content::Message(CERTIFICATE) => {
            handshake.resumed = Some(false);
            handshake.server_certificate = first_certificate(body);
        }
        Content::Message(SERVER_KEY_EXCHANGE) => {
            handshake.resumed = Some(false);
            // ECParameters: curve type 3 (named curve), then the group. A finite field's prime begins with its length.
            if let Some([3, high, low]) = body.first_chunk::<3>().filter(|_| uses_curve(handshake.suite)) {
                handshake.group = Some(u16::from_be_bytes([*high, *low]));
            }
        }
        Content::Message(SERVER_HELLO_DONE) => handshake.resumed = Some(false),
        Content::ChangeCipherSpec => {
            if handshake.version != 0 {
                handshake.resumed.get_or_insert(true);
                handshake.complete = true;
            }
        }
        Content::Ssl2ServerHello if handshake.version == 0 => {
            handshake.version = 0x0200;
            handshake.resumed = Some(false);
            handshake.complete = true;
        }
        Content::FatalAlert(description) => {
            handshake.alert = Some(description);
            handshake.complete = true;
        }
        Content::Message(_) | Content::Ssl2ServerHello => {}
    }
}

/// Whether a TLS 1.2 suite's key exchange is over an elliptic curve (IANA numbers of ECDH, ECDHE and ECDHE_PSK).
fn uses_curve(suite: u16) -> bool {
    matches!(suite,
        0xC001..=0xC019 | 0xC023..=0xC03B | 0xC048..=0xC04F | 0xC05C..=0xC063 | 0xC070 | 0xC071 | 0xC072..=0xC079
        | 0xC086..=0xC08D | 0xC09A | 0xC09B | 0xC0AC..=0xC0AF | 0xCCA8 | 0xCCA9 | 0xCCAC | 0xD001..=0xD005)
}

/// What a record layer delivers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Content {
    /// A handshake message of this type.
    Message(u8),
    ChangeCipherSpec,
    FatalAlert(u8),
    Ssl2ServerHello,
}

/// One direction's record layer: bytes to handshake messages.
#[derive(Clone, Debug, Default)]
struct Records {
    pending: Vec<u8>,
    messages: Vec<u8>,
    /// A whole record has come: SSLv2 framing is over.
    begun: bool,
    /// Bytes that are no TLS record came, or more than can be kept.
    broken: bool,
}

impl Records {
    fn feed(&mut self, bytes: &[u8], mut deliver: impl FnMut(Content, &[u8])) {
        if self.broken {
            return;
        }
        self.pending.extend_from_slice(bytes);
        let mut rest = std::mem::take(&mut self.pending);
        let mut at = 0;
        while let Some(record) = rest.get(at..).filter(|record| !record.is_empty()) {
            if let [high, low, kind, ..] = record
                && high & 0x80 != 0
                && !self.begun
            {
                // SSLv2: its ServerHello is message type 4.
                let length = usize::from(u16::from_be_bytes([high & 0x7F, *low]));
                if *kind == 4 {
                    deliver(Content::Ssl2ServerHello, &[]);
                    self.broken = true;
                    return;
                }
                if record.len() < 2 + length {
                    break;
                }
                at += 2 + length;
                self.begun = true;
                continue;
            }
            let [kind, major, _, high, low, ..] = record else { break };
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if !(CHANGE_CIPHER_SPEC..=24).contains(kind) || *major != 3 || length > MAX_RECORD {
                self.broken = true;
                return;
            }
            let Some(body) = record.get(5..5 + length) else { break };
            at += 5 + length;
            self.begun = true;
            match *kind {
                HANDSHAKE => {
                    self.messages.extend_from_slice(body);
                    self.split(&mut deliver);
                    if self.broken {
                        return;
                    }
                }
                CHANGE_CIPHER_SPEC => deliver(Content::ChangeCipherSpec, body),
                ALERT => {
                    if let [2, description] = body {
                        deliver(Content::FatalAlert(*description), body);
                    }
                }
                _ => {}
            }
        }
        rest.drain(..at);
        self.pending = rest;
        if self.pending.len() + self.messages.len() > MAX_BUFFERED {
            self.broken = true;
            self.pending = Vec::new();
            self.messages = Vec::new();
        }
    }

    /// Delivers the whole messages that have come.
    fn split(&mut self, deliver: &mut impl FnMut(Content, &[u8])) {
        let mut at = 0;
        while let Some([kind, a, b, c]) = self.messages.get(at..).and_then(<[u8]>::first_chunk::<4>) {
            let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            if length > MAX_BUFFERED {
                self.broken = true;
                self.messages = Vec::new();
                return;
            }
            let Some(body) = self.messages.get(at + 4..at + 4 + length) else { break };
            deliver(Content::Message(*kind), body);
            at += 4 + length;
        }
        self.messages.drain(..at);
    }
}

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

/// The server name of a ClientHello; the outer option is the cursor's.
fn client_hello(body: &[u8]) -> Option<Option<String>> {
    let mut bytes = Bytes(body);
    bytes.take(2 + 32)?;
    bytes.vector8()?; // session id
    bytes.vector16()?; // suites
    bytes.vector8()?; // compression
    let mut extensions = Bytes(bytes.vector16().unwrap_or_default());
    while let (Some(kind), Some(value)) = (extensions.u16(), extensions.vector16()) {
        if kind == EXTENSION_SERVER_NAME {
            let mut list = Bytes(Bytes(value).vector16()?);
            list.u8()?;
            return Some(list.vector16().map(|name| String::from_utf8_lossy(name).into_owned()));
        }
    }
    Some(None)
}

struct ServerHello {
    version: u16,
    suite: u16,
    session_id: Vec<u8>,
    group: Option<u16>,
    pre_shared_key: bool,
    encrypt_then_mac: bool,
    retry: bool,
}

fn server_hello(body: &[u8]) -> Option<ServerHello> {
    let mut bytes = Bytes(body);
    let mut hello = ServerHello {
        version: bytes.u16()?,
        retry: bytes.take(32)? == HELLO_RETRY_REQUEST,
        session_id: bytes.vector8()?.to_vec(),
        suite: bytes.u16()?,
        group: None,
        pre_shared_key: false,
        encrypt_then_mac: false,
    };
    hello.session_id.truncate(32);
    bytes.u8()?; // compression
    let mut extensions = Bytes(bytes.vector16().unwrap_or_default());
    while let (Some(kind), Some(value)) = (extensions.u16(), extensions.vector16()) {
        let mut value = Bytes(value);
        match kind {
            EXTENSION_SUPPORTED_VERSIONS => hello.version = value.u16()?,
            EXTENSION_KEY_SHARE => hello.group = value.u16(),
            EXTENSION_PRE_SHARED_KEY => hello.pre_shared_key = true,
            EXTENSION_ENCRYPT_THEN_MAC => hello.encrypt_then_mac = true,
            _ => {}
        }
    }
    Some(hello)
}

/// The first certificate of a TLS 1.2 Certificate message.
fn first_certificate(body: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Bytes(body);
    bytes.take(3)?;
    let [a, b, c] = *bytes.take(3)?.first_chunk::<3>()?;
    let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    bytes.take(length).map(<[u8]>::to_vec)
}
