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

/// What follows in a direction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    Plain,
    Encrypted,
    /// Nothing that is of use.
    Nothing,
}

/// Where records begin and end in one direction; what is in them is not looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Framing {
    /// Bytes of a record that are yet to come.
    left: usize,
    /// What has come of the next one's header.
    header: Vec<u8>,
}

impl Framing {
    /// Takes bytes. Where one of them is of no record: its place.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if self.left > 0 {
                let taken = self.left.min(bytes.len() - at);
                self.left -= taken;
                at += taken;
                continue;
            }
            let fits = match self.header.as_slice() {
                [] => (CHANGE_CIPHER_SPEC..=24).contains(byte),
                [_] => *byte == 3,
                [_, _, _, high] => usize::from(*high) << 8 | usize::from(*byte) <= MAX_RECORD,
                _ => true,
            };
            if !fits {
                return Some(at);
            }
            self.header.push(*byte);
            at += 1;
            if let [_, _, _, high, low] = self.header.as_slice() {
                self.left = usize::from(u16::from_be_bytes([*high, *low]));
                self.header.clear();
            }
        }
        None
    }
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
    /// Takes bytes; whole messages are delivered. The answer tells what follows in this direction.
    pub(super) fn feed(&mut self, bytes: &[u8], mut deliver: impl FnMut(Content, &[u8]) -> Next) {
        if self.broken {
            return;
        }
        self.pending.extend_from_slice(bytes);
        let mut rest = std::mem::take(&mut self.pending);
        let mut at = 0;
        let mut done = false;
        while let Some(record) = rest.get(at..).filter(|record| !record.is_empty() && !done) {
            if let [high, low, kind, ..] = record
                && high & 0x80 != 0
                && (!self.begun || self.ssl2)
            {
                let length = usize::from(u16::from_be_bytes([high & 0x7F, *low]));
                let Some(body) = record.get(2..2 + length) else { break };
                at += 2 + length;
                self.begun = true;
                if let Some(body) = body.get(1..) {
                    done |= deliver(Content::Ssl2(*kind), body) == Next::Nothing;
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
                    done |= self.split(&mut deliver);
                    if self.broken {
                        return;
                    }
                }
                CHANGE_CIPHER_SPEC => {
                    let next = deliver(Content::ChangeCipherSpec, body);
                    self.encrypted |= next != Next::Plain;
                    done |= next == Next::Nothing;
                }
                ALERT => {
                    if let [2, description] = body {
                        done |= deliver(Content::FatalAlert(*description), body) == Next::Nothing;
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

    /// What has come behind the last whole record.
    pub(super) fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// Delivers the whole messages that have come. True: nothing that follows is of use.
    fn split(&mut self, deliver: &mut impl FnMut(Content, &[u8]) -> Next) -> bool {
        let mut at = 0;
        let mut done = false;
        while let Some([kind, a, b, c]) = self.messages.get(at..).and_then(<[u8]>::first_chunk::<4>) {
            let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            if length > MAX_BUFFERED {
                self.broken = true;
                self.messages = Vec::new();
                return true;
            }
            let Some(body) = self.messages.get(at + 4..at + 4 + length) else { break };
            done |= deliver(Content::Message(*kind), body) == Next::Nothing;
            at += 4 + length;
        }
        self.messages.drain(..at);
        done
    }
}
