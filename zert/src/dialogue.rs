//! Clear-text dialogues that lead to TLS after a `220` greeting: FTP's AUTH TLS (RFC 4217), SMTP's STARTTLS (RFC 3207).
//!
//! Until the client has asked for TLS and the server has agreed, what the client sends is looked at line by line: the
//! few commands that come before a login are let pass, a login makes the connection clear text.

/// What a client may say before it asks for TLS and still mean to.
const HARMLESS: [&str; 14] =
    ["FEAT", "HELP", "NOOP", "HOST", "CLNT", "OPTS", "LANG", "SYST", "STAT", "QUIT", "EHLO", "HELO", "RSET", "VRFY"];
/// No command or reply line is longer.
const MAX_LINE: usize = 4096;

/// Where such a dialogue stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dialogue {
    client: Vec<u8>,
    server: Vec<u8>,
    /// Commands whose replies have not come.
    outstanding: u32,
    asked: bool,
}

/// What the last bytes brought.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Nothing decided.
    Wait,
    /// The client logged in, or spoke something else, in clear text.
    Clear,
    /// The server agreed: TLS begins with the client's next bytes.
    Upgraded,
}

/// Whether a server's first bytes are such a greeting, as far as they go.
pub(crate) fn is_greeting(bytes: &[u8]) -> bool {
    b"220".starts_with(bytes.get(..3).unwrap_or(bytes)) && bytes.get(3).is_none_or(|&next| next == b' ' || next == b'-')
}

impl Dialogue {
    /// Takes bytes of the client.
    pub(crate) fn client(&mut self, bytes: &[u8]) -> Step {
        if self.asked {
            // Nothing may follow AUTH before the answer; what does is kept for nobody.
            return Step::Wait;
        }
        self.client.extend_from_slice(bytes);
        while let Some(line) = take_line(&mut self.client) {
            self.outstanding += 1;
            let line = String::from_utf8_lossy(&line).trim().to_ascii_uppercase();
            let command = line.split_whitespace().next().unwrap_or_default();
            if line.starts_with("AUTH TLS") || line.starts_with("AUTH SSL") || line == "STARTTLS" {
                self.asked = true;
                return Step::Wait;
            }
            // AUTH with another word is a mechanism of FTP security (RFC 2228), or a login of SMTP.
            if !HARMLESS.contains(&command) {
                return Step::Clear;
            }
        }
        if self.client.len() > MAX_LINE { Step::Clear } else { Step::Wait }
    }

    /// Takes bytes of the server.
    pub(crate) fn server(&mut self, bytes: &[u8]) -> Step {
        self.server.extend_from_slice(bytes);
        while let Some(line) = take_line(&mut self.server) {
            // The last line of a reply has a blank after its code.
            let Some([b'1'..=b'5', _, _, b' ']) = line.first_chunk::<4>() else { continue };
            self.outstanding = self.outstanding.saturating_sub(1);
            // Replies come in the order of their commands; the request for TLS was the last.
            if self.asked && self.outstanding == 0 {
                if matches!(line.first_chunk::<4>(), Some(b"234 " | b"220 ")) {
                    return Step::Upgraded;
                }
                self.asked = false;
                self.client.clear();
            }
        }
        if self.server.len() > MAX_LINE { Step::Clear } else { Step::Wait }
    }
}

/// Cuts the first whole line off.
fn take_line(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = buffer.iter().position(|&byte| byte == b'\n')?;
    let rest = buffer.split_off(end + 1);
    Some(std::mem::replace(buffer, rest))
}
