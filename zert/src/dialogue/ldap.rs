//! LDAP: the StartTLS extended operation.
//!
//! Source: RFC 4511 §4.1.1 (messages), §4.12 (extended operations), §4.14 (StartTLS).

use super::{Looks, MAX_MESSAGE, Step, early};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const UNBIND_REQUEST: u8 = 0x42;
const SEARCH_REQUEST: u8 = 0x63;
const EXTENDED_REQUEST: u8 = 0x77;
const EXTENDED_RESPONSE: u8 = 0x78;
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// What a message is.
enum Read<'a> {
    /// Its number, its operation's tag and content, and what follows it.
    Message {
        number: &'a [u8],
        operation: u8,
        content: &'a [u8],
        rest: &'a [u8],
    },
    Incomplete,
    /// No LDAP.
    Other,
}

/// An element of definite length.
enum Element<'a> {
    /// Its tag, its content, and what follows it.
    Whole(u8, &'a [u8], &'a [u8]),
    Incomplete,
    Malformed,
}

fn element(bytes: &[u8]) -> Element<'_> {
    let [tag, length, rest @ ..] = bytes else { return Element::Incomplete };
    let (length, rest) = match length {
        0..=0x7F => (usize::from(*length), rest),
        0x81..=0x84 => {
            let Some((octets, rest)) = rest.split_at_checked(usize::from(length & 0x7F)) else {
                return Element::Incomplete;
            };
            (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
        }
        _ => return Element::Malformed,
    };
    match rest.split_at_checked(length) {
        _ if length > MAX_MESSAGE => Element::Malformed,
        Some((content, rest)) => Element::Whole(*tag, content, rest),
        None => Element::Incomplete,
    }
}

fn read(bytes: &[u8]) -> Read<'_> {
    if bytes.first().is_some_and(|tag| *tag != SEQUENCE) {
        return Read::Other;
    }
    let (content, rest) = match element(bytes) {
        Element::Incomplete => return Read::Incomplete,
        Element::Malformed => return Read::Other,
        Element::Whole(_, content, rest) => (content, rest),
    };
    let Element::Whole(INTEGER, number, inside) = element(content) else { return Read::Other };
    let Element::Whole(operation, content, _) = element(inside) else { return Read::Other };
    Read::Message { number, operation, content, rest }
}

/// Whether bytes are an LDAP message.
pub(super) fn looks(client: &[u8]) -> Looks {
    match read(client) {
        // Requests are of the application class.
        Read::Message { operation, .. } if operation & 0xC0 == 0x40 => Looks::Yes,
        Read::Message { .. } | Read::Other => Looks::No,
        Read::Incomplete if client.len() > MAX_MESSAGE => Looks::No,
        Read::Incomplete => Looks::Perhaps,
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Ldap {
    client: Vec<u8>,
    server: Vec<u8>,
    /// The number of the request for TLS.
    asked: Option<Vec<u8>>,
}

impl Ldap {
    /// Whether a part of a request has come.
    pub(super) fn withholds(&self) -> bool {
        !self.client.is_empty()
    }

    pub(super) fn client(&mut self, bytes: &[u8]) -> Step {
        self.client.extend_from_slice(bytes);
        while self.asked.is_none() {
            let Read::Message { number, operation, content, rest } = read(&self.client) else { break };
            match operation {
                EXTENDED_REQUEST if matches!(element(content), Element::Whole(0x80, START_TLS, _)) => {
                    self.asked = Some(number.to_vec());
                }
                // What a server offers is asked at its root: an empty name.
                // The root itself (scope baseObject): with another scope it is everything below.
                SEARCH_REQUEST if content.starts_with(&[0x04, 0x00, 0x0A, 0x01, 0x00]) => {}
                UNBIND_REQUEST => {}
                _ => return Step::Clear,
            }
            self.client = rest.to_vec();
        }
        if self.asked.is_some() {
            return early(&self.client);
        }
        let broken = matches!(read(&self.client), Read::Other) && !self.client.is_empty();
        if broken || self.client.len() > MAX_MESSAGE { Step::Clear } else { Step::Wait }
    }

    pub(super) fn server(&mut self, bytes: &[u8]) -> Step {
        self.server.extend_from_slice(bytes);
        while let Read::Message { number, operation, content, rest } = read(&self.server) {
            if operation == EXTENDED_RESPONSE && self.asked.as_deref() == Some(number) {
                // The result code comes first: ENUMERATED, 0 is success.
                if matches!(element(content), Element::Whole(0x0A, [0], _)) {
                    return Step::Upgraded { client: std::mem::take(&mut self.client), server: rest.to_vec() };
                }
                self.asked = None;
            }
            self.server = rest.to_vec();
        }
        let broken = matches!(read(&self.server), Read::Other) && !self.server.is_empty();
        if broken || self.server.len() > 16 * MAX_MESSAGE {
            return Step::Clear;
        }
        if self.asked.is_none() { self.client(&[]) } else { Step::Wait }
    }
}
