//! Protocols of lines, in which the server greets first: FTP, SMTP, IMAP, POP3.

use super::{MAX_MESSAGE, Step, Upgrade, early};
use crate::observer::Side;

/// What a client of FTP or SMTP may say before it asks for TLS and still mean to.
const HARMLESS: [&str; 15] = [
    "FEAT", "HELP", "NOOP", "HOST", "CLNT", "OPTS", "LANG", "SYST", "STAT", "QUIT", "EHLO", "HELO", "LHLO", "RSET",
    "VRFY",
];
const HARMLESS_IMAP: [&str; 4] = ["CAPABILITY", "NOOP", "ID", "LOGOUT"];
const HARMLESS_POP3: [&str; 4] = ["CAPA", "NOOP", "LANG", "QUIT"];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// FTP and SMTP.
    Codes,
    Imap,
    Pop3,
}

/// A dialogue of lines.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    kind: Kind,
    client: Vec<u8>,
    server: Vec<u8>,
    /// Commands whose replies have not come.
    outstanding: u32,
    /// TLS was asked for; in IMAP with this tag.
    asked: Option<String>,
}

/// The dialogue that a server's first bytes greet to, as far as they go.
pub(crate) fn greeted(bytes: &[u8]) -> Option<Lines> {
    let begins = |greeting: &[u8]| greeting.starts_with(bytes.get(..greeting.len()).unwrap_or(bytes));
    let kind = if begins(b"220") && bytes.get(3).is_none_or(|&next| next == b' ' || next == b'-') {
        Kind::Codes
    } else if begins(b"* OK") {
        Kind::Imap
    } else if begins(b"+OK") {
        Kind::Pop3
    } else {
        return None;
    };
    Some(Lines { kind, client: Vec::new(), server: Vec::new(), outstanding: 0, asked: None })
}

impl Lines {
    /// A dialogue of a protocol that goes on after a login in clear text, or after TLS.
    pub(crate) fn goes_on(upgrade: Upgrade) -> Option<Self> {
        let kind = match upgrade {
            Upgrade::FtpOrSmtp => Kind::Codes,
            Upgrade::Imap => Kind::Imap,
            Upgrade::Pop3 => Kind::Pop3,
            _ => return None,
        };
        Some(Self { kind, client: Vec::new(), server: Vec::new(), outstanding: 0, asked: None })
    }

    /// The same dialogue, when a login has made it clear text: what has come behind that is looked at.
    pub(crate) fn into_listening(mut self) -> Self {
        self.asked = None;
        self.listen_to_client();
        self
    }

    /// Looks for TLS in a dialogue whose protection is known: what else is said plays no part. When TLS begins with the client's
    /// next bytes: what of them and of the server's has come already.
    pub(crate) fn listen(&mut self, from: Side, bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        match from {
            Side::Client => {
                self.client.extend_from_slice(bytes);
                self.listen_to_client();
            }
            Side::Server => {
                self.server.extend_from_slice(bytes);
                while let Some(line) = take_line(&mut self.server) {
                    if self.asked.is_none() {
                        continue;
                    }
                    match self.answer(&line) {
                        Some(true) => {
                            return Some((std::mem::take(&mut self.client), std::mem::take(&mut self.server)));
                        }
                        Some(false) => {
                            self.asked = None;
                            self.listen_to_client();
                        }
                        None => {}
                    }
                }
            }
        }
        for buffer in [&mut self.client, &mut self.server] {
            if buffer.len() > MAX_MESSAGE {
                buffer.clear();
            }
        }
        None
    }

    fn listen_to_client(&mut self) {
        loop {
            // What was taken for a request is none when no hello follows it: it stood in a mail.
            if self.asked.is_some() && early(&self.client) == Step::Clear {
                self.asked = None;
            }
            if self.asked.is_some() {
                return;
            }
            let Some(line) = take_line(&mut self.client) else { return };
            self.asked = self.request(&line);
        }
    }

    /// Whether an answer to the request for TLS has come: replies to other commands may come before it.
    fn answer(&self, line: &[u8]) -> Option<bool> {
        match (self.kind, line) {
            (Kind::Codes, [b'2', b'3', b'4', b' ', ..] | [b'2', b'2', b'0', b' ', ..]) => Some(true),
            (Kind::Codes, [b'4' | b'5', _, _, b' ', ..]) => Some(false),
            (Kind::Codes, _) => None,
            (Kind::Pop3, line) => self.reply(line),
            (Kind::Imap, line) => {
                let tag = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
                let own = self.asked.as_ref().is_some_and(|asked| asked.as_bytes().eq_ignore_ascii_case(tag));
                if own { self.reply(line) } else { None }
            }
        }
    }

    /// The tag of a request for TLS, empty where the protocol has none; none for another line.
    fn request(&self, line: &[u8]) -> Option<String> {
        let line = String::from_utf8_lossy(line).trim_ascii().to_ascii_uppercase();
        let mut words = line.split_ascii_whitespace();
        let tag = if self.kind == Kind::Imap { words.next().unwrap_or_default() } else { "" };
        let command = words.next().unwrap_or_default();
        // AUTH with another word is a mechanism of FTP security (RFC 2228), or a login of SMTP.
        let asks = match self.kind {
            Kind::Codes => line.starts_with("AUTH TLS") || line.starts_with("AUTH SSL") || line == "STARTTLS",
            Kind::Imap => command == "STARTTLS",
            Kind::Pop3 => command == "STLS",
        };
        asks.then(|| tag.to_owned())
    }

    pub(crate) fn upgrade(&self) -> Upgrade {
        match self.kind {
            Kind::Codes => Upgrade::FtpOrSmtp,
            Kind::Imap => Upgrade::Imap,
            Kind::Pop3 => Upgrade::Pop3,
        }
    }

    pub(crate) fn client(&mut self, bytes: &[u8]) -> Step {
        self.client.extend_from_slice(bytes);
        if self.asked.is_some() {
            return early(&self.client);
        }
        while let Some(line) = take_line(&mut self.client) {
            self.outstanding += 1;
            let whole = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).unwrap_or(&line);
            if whole.contains(&b'\r') {
                // Some servers end lines there.
                return Step::Clear;
            }
            if let Some(tag) = self.request(&line) {
                self.asked = Some(tag);
                return early(&self.client);
            }
            let line = String::from_utf8_lossy(&line).to_ascii_uppercase();
            let command = line.split_ascii_whitespace().nth(usize::from(self.kind == Kind::Imap)).unwrap_or_default();
            if !self.harmless().contains(&command) {
                return Step::Clear;
            }
        }
        if !self.may_be_harmless() {
            return Step::Clear;
        }
        if self.client.len() > MAX_MESSAGE { Step::Clear } else { Step::Wait }
    }

    /// Whether something has come behind the request for TLS. A line is judged by its first word, which comes before what
    /// follows it.
    pub(crate) fn withholds(&self) -> bool {
        self.asked.is_some() && !self.client.is_empty()
    }

    fn harmless(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Codes => &HARMLESS,
            Kind::Imap => &HARMLESS_IMAP,
            Kind::Pop3 => &HARMLESS_POP3,
        }
    }

    /// Whether a line that has not come whole may still be a request for TLS or a harmless one: its first word, or in AUTH
    /// its second, tells before anything else of it comes.
    fn may_be_harmless(&self) -> bool {
        let line = String::from_utf8_lossy(&self.client).to_ascii_uppercase();
        if line.trim_end_matches('\r').contains('\r') {
            return false;
        }
        let mut rest = line.trim_ascii_start();
        if self.kind == Kind::Imap {
            // The tag.
            let Some((_, behind)) = rest.split_once(|c: char| c.is_ascii_whitespace()) else { return true };
            rest = behind.trim_ascii_start();
        }
        let asks: &[&str] = match self.kind {
            Kind::Codes => &["AUTH TLS", "AUTH SSL", "STARTTLS"],
            Kind::Imap => &["STARTTLS"],
            Kind::Pop3 => &["STLS"],
        };
        let (word, whole) = match rest.split_once(|c: char| c.is_ascii_whitespace()) {
            Some((word, _)) => (word, true),
            None => (rest, false),
        };
        asks.iter().any(|ask| ask.starts_with(rest.trim_ascii_end()) || rest.starts_with(ask))
            || self.harmless().iter().any(|known| if whole { *known == word } else { known.starts_with(word) })
    }

    pub(crate) fn server(&mut self, bytes: &[u8]) -> Step {
        self.server.extend_from_slice(bytes);
        while let Some(line) = take_line(&mut self.server) {
            let Some(agreed) = self.reply(&line) else { continue };
            self.outstanding = self.outstanding.saturating_sub(1);
            // Replies come in the order of their commands; the request for TLS was the last.
            if self.asked.is_some() && self.outstanding == 0 {
                if agreed {
                    let (client, server) = (std::mem::take(&mut self.client), std::mem::take(&mut self.server));
                    return Step::Upgraded { client, server };
                }
                self.asked = None;
                let step = self.client(&[]);
                if step != Step::Wait {
                    return step;
                }
            }
        }
        if self.server.len() > MAX_MESSAGE { Step::Clear } else { Step::Wait }
    }

    /// Whether a line that ends a reply agrees; none when it ends none.
    fn reply(&self, line: &[u8]) -> Option<bool> {
        match self.kind {
            // The last line of a reply has a blank after its code.
            Kind::Codes => match line.first_chunk::<4>() {
                Some(code @ [b'1'..=b'5', _, _, b' ']) => Some(matches!(code, b"234 " | b"220 ")),
                _ => None,
            },
            Kind::Pop3 => match line {
                [b'+', b'O', b'K', ..] => Some(true),
                [b'-', ..] => Some(false),
                _ => None,
            },
            // A reply ends with the command's tag; `*` and `+` are other lines.
            Kind::Imap => {
                let line = String::from_utf8_lossy(line).to_ascii_uppercase();
                let mut words = line.split_ascii_whitespace();
                let tag = words.next().filter(|tag| !tag.starts_with(['*', '+']))?;
                Some(self.asked.as_deref() == Some(tag) && words.next() == Some("OK"))
            }
        }
    }
}

/// Cuts the first whole line off.
fn take_line(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = buffer.iter().position(|&byte| byte == b'\n')?;
    let rest = buffer.split_off(end + 1);
    Some(std::mem::replace(buffer, rest))
}
