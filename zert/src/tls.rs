//! Reading TLS handshakes as they pass, SSLv2 hellos to TLS 1.3.
//!
//! Source: RFC 8446 §4 and §5, RFC 5246 §7.4, RFC 8422 §5.4 (ServerKeyExchange). Only what travels in the clear is read;
//! lengths come from the wire and are never trusted.

mod messages;
mod records;

use serde::Serialize;

pub(crate) use self::records::Framing;
use self::records::{Content, Next, Records};
use crate::dialogue::Upgrade;

/// Bytes of a handshake that are kept while they are incomplete. A certificate message may be large.
pub(crate) const MAX_BUFFERED: usize = 128 * 1024;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;
const SERVER_KEY_EXCHANGE: u8 = 12;
const SERVER_HELLO_DONE: u8 = 14;
/// SSLv2's message types.
const SSL2_CLIENT_MASTER_KEY: u8 = 2;
const SSL2_SERVER_HELLO: u8 = 4;
/// The type of a record.
const HANDSHAKE: u8 = 22;

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
    /// The highest version the client offered, wire number; 0 while its hello has not come.
    pub offered: u16,
    /// The number of the draft of TLS 1.3 that was negotiated, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draft: Option<u8>,
    /// The name the client asked for.
    pub server_name: Option<String>,
    /// The application protocols the client offered (ALPN, RFC 7301).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub protocols: Vec<String>,
    /// The one the server chose; TLS 1.3 hides it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The client sent, or meant to send, data with its hello (RFC 8446 §4.2.10).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub early_data: bool,
    /// The hello has another one in it, encrypted (RFC 9849): the name is the outer one's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub encrypted_hello: bool,
    /// Whether encrypt-then-MAC was agreed.
    pub encrypt_then_mac: bool,
    /// Bits of the prime of a Diffie-Hellman exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dh_bits: Option<u16>,
    /// The scheme of the server's signature, IANA number; only TLS 1.2 shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<u16>,
    /// SSLv2's cipher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl2_cipher: Option<u32>,
    /// The server's end-entity certificate, DER; TLS 1.3 hides it.
    #[serde(skip)]
    pub server_certificate: Option<Vec<u8>>,
    /// The client's.
    #[serde(skip)]
    pub client_certificate: Option<Vec<u8>>,
    /// A fatal alert ended the handshake: description, RFC 8446 §6.
    pub alert: Option<u8>,
    /// The clear-text dialogue that led to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<Upgrade>,
    /// Nothing more will be learned.
    pub complete: bool,
}

impl Handshake {
    /// Whether the server has chosen a version, or will not.
    pub(crate) fn is_determined(&self) -> bool {
        self.version != 0 || self.complete
    }
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
    /// The client has sent something behind its hello.
    behind: bool,
    /// The server has sent a message of a handshake: it speaks TLS.
    answered: bool,
    pub(crate) handshake: Handshake,
}

impl Reader {
    /// Takes bytes of the client.
    pub(crate) fn client(&mut self, bytes: &[u8]) {
        if self.handshake.complete {
            return;
        }
        let handshake = &mut self.handshake;
        self.behind |= handshake.offered != 0 && !bytes.is_empty();
        self.client.feed(bytes, |kind, body| {
            if !handshake.complete {
                client_message(handshake, kind, body);
            }
            // In TLS 1.3 it means nothing, and another hello may follow.
            let encrypted = kind == Content::ChangeCipherSpec && (1..0x0304).contains(&handshake.version);
            if handshake.complete {
                Next::Nothing
            } else if encrypted {
                Next::Encrypted
            } else {
                Next::Plain
            }
        });
        self.behind |= handshake.offered != 0 && !self.client.is_at_an_end();
    }

    /// Takes bytes of the server.
    pub(crate) fn server(&mut self, bytes: &[u8]) {
        if self.handshake.complete {
            return;
        }
        let handshake = &mut self.handshake;
        let answered = &mut self.answered;
        self.server.feed(bytes, |kind, body| {
            *answered |= matches!(kind, Content::Message(_));
            if !handshake.complete {
                server_message(handshake, kind, body);
            }
            if handshake.complete { Next::Nothing } else { Next::Plain }
        });
        self.client.ssl2 |= self.handshake.version == 0x0200;
        if self.server.broken {
            self.handshake.complete = true;
        }
    }

    /// What has come behind the handshake, of the client and of the server.
    pub(crate) fn behind(&self) -> (&[u8], &[u8]) {
        (self.client.pending(), self.server.pending())
    }

    /// Whether the client has sent a part of its hello, or anything behind it, and the server has not answered: only a
    /// server of TLS can make sense of it.
    pub(crate) fn withholds(&self) -> bool {
        !self.answered && self.handshake.version == 0 && (self.handshake.offered == 0 || self.behind)
    }

    /// Whether the server answered with something that is no TLS, before it chose a version or refused.
    pub(crate) fn is_refuted(&self) -> bool {
        self.server.broken && self.handshake.version == 0 && self.handshake.alert.is_none()
    }
}

fn client_message(handshake: &mut Handshake, kind: Content, body: &[u8]) {
    match kind {
        Content::Message(CLIENT_HELLO) => {
            if let Some(hello) = messages::client_hello(body) {
                handshake.offered = hello.version;
                handshake.server_name = hello.server_name;
                handshake.protocols = hello.protocols;
                handshake.early_data |= hello.early_data;
                handshake.encrypted_hello |= hello.encrypted_hello;
            }
        }
        Content::Message(CERTIFICATE) => handshake.client_certificate = messages::first_certificate(body),
        Content::Ssl2(CLIENT_HELLO) => {
            handshake.offered = body.first_chunk().map_or(0, |version| u16::from_be_bytes(*version)).max(0x0200);
        }
        Content::Ssl2(SSL2_CLIENT_MASTER_KEY) if handshake.version == 0x0200 => {
            handshake.ssl2_cipher = messages::ssl2_cipher(body);
            handshake.complete = true;
        }
        Content::FatalAlert(description) => {
            handshake.alert = Some(description);
            handshake.complete = true;
        }
        Content::Message(_) | Content::ChangeCipherSpec | Content::Ssl2(_) => {}
    }
}

fn server_message(handshake: &mut Handshake, kind: Content, body: &[u8]) {
    match kind {
        // The first answer counts; nothing that follows changes the version.
        Content::Message(SERVER_HELLO) if handshake.version == 0 => match messages::server_hello(body) {
            Some(hello) if !hello.retry => {
                handshake.version = hello.version;
                handshake.draft = hello.draft;
                handshake.suite = hello.suite;
                handshake.session_id = hello.session_id;
                handshake.encrypt_then_mac = hello.encrypt_then_mac;
                handshake.protocol = hello.protocol;
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
            handshake.server_certificate = messages::first_certificate(body);
        }
        Content::Message(SERVER_KEY_EXCHANGE) => {
            handshake.resumed = Some(false);
            let found = messages::server_key_exchange(handshake.version, handshake.suite, body);
            (handshake.group, handshake.dh_bits, handshake.signature) = (found.group, found.dh_bits, found.signature);
        }
        Content::Message(SERVER_HELLO_DONE) => handshake.resumed = Some(false),
        Content::ChangeCipherSpec => {
            if handshake.version != 0 {
                handshake.resumed.get_or_insert(true);
                handshake.complete = true;
            }
        }
        Content::Ssl2(SSL2_SERVER_HELLO) if handshake.version == 0 => {
            handshake.version = 0x0200;
            handshake.resumed = Some(body.first().is_some_and(|hit| *hit != 0));
            handshake.server_certificate = messages::ssl2_certificate(body);
            // A resumed session goes on encrypted at once.
            handshake.complete = handshake.resumed == Some(true);
        }
        // What follows in SSLv2 is encrypted.
        Content::Ssl2(_) if handshake.version == 0x0200 => handshake.complete = true,
        Content::FatalAlert(description) => {
            handshake.alert = Some(description);
            handshake.complete = true;
        }
        Content::Message(_) | Content::Ssl2(_) => {}
    }
}
