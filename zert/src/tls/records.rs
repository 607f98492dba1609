//! One direction's record layer: bytes to messages of the handshake.

use super::MAX_BUFFERED;

/// Longest TLS record: 2^14 of payload, with room for expansion (RFC 5246 §6.2.3).
const MAX_RECORD: usize = 16_384 + 2048;
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// What a record layer delivers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Content {
    /// A handshake message of this type.
    Message(u8),
    ChangeCipherSpec,
    FatalAlert(u8),
    /// A message of SSLv2 of this type.
    Ssl2(u8),
}

/// One direction's record layer: bytes to handshake messages.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pending: Vec<u8>,
    messages: Vec<u8>,
    /// A whole record has come: SSLv2 framing is over, unless SSLv2 was agreed on.
    begun: bool,
    /// SSLv2 was agreed on: its framing stays.
    pub(super) ssl2: bool,
    /// What follows is encrypted.
    encrypted: bool,
    /// Bytes that are no TLS record came, or more than can be kept.
    pub(super) broken: bool,
}

impl Records {
    /// Takes bytes; whole messages are delivered. The answer tells whether what follows in this direction is encrypted.
    pub(super) fn feed(&mut self, bytes: &[u8], mut deliver: impl FnMut(Content, &[u8]) -> bool) {
        if self.broken {
            return;
        }
        self.pending.extend_from_slice(bytes);
        let mut rest = std::mem::take(&mut self.pending);
        let mut at = 0;
        while let Some(record) = rest.get(at..).filter(|record| !record.is_empty()) {
            if let [high, low, kind, ..] = record
                && high & 0x80 != 0
                && (!self.begun || self.ssl2)
            {
                let length = usize::from(u16::from_be_bytes([high & 0x7F, *low]));
                let Some(body) = record.get(2..2 + length) else { break };
                at += 2 + length;
                self.begun = true;
                if let Some(body) = body.get(1..) {
                    deliver(Content::Ssl2(*kind), body);
                }
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
                HANDSHAKE if self.encrypted => {}
                HANDSHAKE => {
                    self.messages.extend_from_slice(body);
                    self.split(&mut deliver);
                    if self.broken {
                        return;
                    }
                }
                CHANGE_CIPHER_SPEC => {
                    self.encrypted |= deliver(Content::ChangeCipherSpec, body);
                }
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

    /// Whether nothing of a record or message has come whose rest has not.
    pub(super) fn is_at_an_end(&self) -> bool {
        self.pending.is_empty() && self.messages.is_empty()
    }

    /// Delivers the whole messages that have come.
    fn split(&mut self, deliver: &mut impl FnMut(Content, &[u8]) -> bool) {
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
