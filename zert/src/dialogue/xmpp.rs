//! XMPP: `<starttls/>`, answered by `<proceed/>`.
//!
//! Source: RFC 6120 §5.4.

use super::{Looks, MAX_MESSAGE, Step, early};

/// Whether bytes open a stream, with or without an XML declaration before it.
pub(super) fn looks(client: &[u8]) -> Looks {
    let mut rest = client;
    if client.starts_with(b"<?") {
        let Some(end) = client.windows(2).position(|two| two == b"?>") else {
            let declares = Looks::beginning(client, b"<?xml") != Looks::No;
            return if declares && client.len() < MAX_MESSAGE { Looks::Perhaps } else { Looks::No };
        };
        if Looks::beginning(client, b"<?xml") != Looks::Yes {
            return Looks::No;
        }
        rest = client.get(end + 2..).unwrap_or_default().trim_ascii_start();
    }
    match Looks::beginning(rest, b"<stream:stream") {
        // The first byte of a declaration is that of a stream, too.
        Looks::No if b"<?xml".starts_with(client) => Looks::Perhaps,
        looks => looks,
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Xmpp {
    client: Vec<u8>,
    server: Vec<u8>,
    asked: bool,
}

/// The name of the next element that begins, and what follows the name; none while it is not whole. Declarations and ends of
/// elements are passed over.
fn next_element(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = bytes;
    loop {
        let start = rest.iter().position(|byte| *byte == b'<')?;
        rest = rest.get(start + 1..)?;
        let length = rest.iter().position(|byte| b" />\t\r\n".contains(byte) || *byte == b'<')?;
        let (name, after) = rest.split_at_checked(length)?;
        if name.is_empty() || name.starts_with(b"?") || name.starts_with(b"/") {
            rest = after;
            continue;
        }
        return Some((name, after));
    }
}

/// What stands behind an element: `<starttls></starttls>` has an end of its own, and lines may be between elements.
fn behind(bytes: &[u8]) -> &[u8] {
    let rest = bytes.trim_ascii_start();
    let rest = rest.strip_prefix(b"</starttls>").unwrap_or(rest);
    if b"</starttls>".starts_with(rest) { &[] } else { rest.trim_ascii_start() }
}

/// The same of `<proceed></proceed>`.
fn behind_proceed(bytes: &[u8]) -> &[u8] {
    let rest = bytes.trim_ascii_start();
    let rest = rest.strip_prefix(b"</proceed>").unwrap_or(rest);
    if b"</proceed>".starts_with(rest) { &[] } else { rest.trim_ascii_start() }
}

impl Xmpp {
    /// Whether a part of an element has come.
    pub(super) fn withholds(&self) -> bool {
        !behind(&self.client).is_empty()
    }

    pub(super) fn client(&mut self, bytes: &[u8]) -> Step {
        self.client.extend_from_slice(bytes);
        while !self.asked {
            let Some((name, rest)) = next_element(&self.client) else { break };
            match name {
                b"stream:stream" => {}
                b"starttls" => self.asked = true,
                // <auth>, stanzas: nothing of them comes before TLS.
                _ => return Step::Clear,
            }
            // To the end of the element's own mark.
            let Some(end) = rest.iter().position(|byte| *byte == b'>') else {
                self.asked = false;
                break;
            };
            self.client = rest.get(end + 1..).unwrap_or_default().to_vec();
        }
        if self.asked {
            return early(behind(&self.client));
        }
        if self.client.len() > MAX_MESSAGE { Step::Clear } else { Step::Wait }
    }

    pub(super) fn server(&mut self, bytes: &[u8]) -> Step {
        self.server.extend_from_slice(bytes);
        while let Some((name, rest)) = next_element(&self.server) {
            let Some(end) = rest.iter().position(|byte| *byte == b'>') else { break };
            match name {
                b"proceed" if self.asked => {
                    let client = behind(&std::mem::take(&mut self.client)).to_vec();
                    let server = behind_proceed(rest.get(end + 1..).unwrap_or_default()).to_vec();
                    return Step::Upgraded { client, server };
                }
                b"failure" if self.asked => return Step::Clear,
                _ => {}
            }
            self.server = rest.get(end + 1..).unwrap_or_default().to_vec();
        }
        if self.server.len() > 16 * MAX_MESSAGE { Step::Clear } else { Step::Wait }
    }
}
