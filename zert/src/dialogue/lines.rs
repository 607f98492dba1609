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
    client: Said,
    server: Said,
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
    Some(Lines { kind, client: Said::default(), server: Said::default(), outstanding: 0, asked: None })
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
        Some(Self { kind, client: Said::default(), server: Said::default(), outstanding: 0, asked: None })
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
                self.client.hear(bytes);
                self.listen_to_client();
            }
            Side::Server => {
                self.server.hear(bytes);
                while let Some(line) = self.server.next_line() {
                    let Some(asked) = self.asked.as_ref().filter(|_| line.len() <= MAX_MESSAGE) else { continue };
                    match answer(self.kind, asked, line) {
                        Some(true) => return Some((self.client.take_rest(), self.server.take_rest())),
                        Some(false) => {
                            self.asked = None;
                            self.listen_to_client();
                        }
                        None => {}
                    }
                }
            }
        }
        self.client.pass_over_long();
        self.server.pass_over_long();
        None
    }

    fn listen_to_client(&mut self) {
        loop {
            // What was taken for a request is none when no hello follows it: it stood in a mail.
            if self.asked.is_some() && early(self.client.rest()) == Step::Clear {
                self.asked = None;
            }
            if self.asked.is_some() {
                return;
            }
            let Some(line) = self.client.next_line() else { return };
            if line.len() <= MAX_MESSAGE {
                self.asked = request(self.kind, line);
            }
        }
    }

    pub(crate) fn upgrade(&self) -> Upgrade {
        match self.kind {
            Kind::Codes => Upgrade::FtpOrSmtp,
            Kind::Imap => Upgrade::Imap,
            Kind::Pop3 => Upgrade::Pop3,
        }
    }

    pub(crate) fn client(&mut self, bytes: &[u8]) -> Step {
        self.client.hear(bytes);
        if self.asked.is_some() {
            return early(self.client.rest());
        }
        while let Some(line) = self.client.next_line() {
            self.outstanding += 1;
            if line.len() > MAX_MESSAGE {
                return Step::Clear;
            }
            let whole = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).unwrap_or(line);
            if whole.contains(&b'\r') {
                // Some servers end lines there.
                return Step::Clear;
            }
            if let Some(tag) = request(self.kind, line) {
                self.asked = Some(tag);
                return early(self.client.rest());
            }
            let line = String::from_utf8_lossy(line).to_ascii_uppercase();
            let command = line.split_ascii_whitespace().nth(usize::from(self.kind == Kind::Imap)).unwrap_or_default();
            if !self.harmless().contains(&command) {
                return Step::Clear;
            }
        }
        if !self.may_be_harmless() {
            return Step::Clear;
        }
        if self.client.rest().len() > MAX_MESSAGE { Step::Clear } else { Step::Wait }
    }

    /// Whether something has come behind the request for TLS. A line is judged by its first word, which comes before what
    /// follows it.
    pub(crate) fn withholds(&self) -> bool {
        self.asked.is_some() && !self.client.rest().is_empty()
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
        let line = String::from_utf8_lossy(self.client.rest()).to_ascii_uppercase();
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
        self.server.hear(bytes);
        while let Some(line) = self.server.next_line() {
            if line.len() > MAX_MESSAGE {
                return Step::Clear;
            }
            let Some(agreed) = reply(self.kind, self.asked.as_deref(), line) else { continue };
            self.outstanding = self.outstanding.saturating_sub(1);
            // Replies come in the order of their commands; the request for TLS was the last.
            if self.asked.is_some() && self.outstanding == 0 {
                if agreed {
                    return Step::Upgraded { client: self.client.take_rest(), server: self.server.take_rest() };
                }
                self.asked = None;
                let step = self.client(&[]);
                if step != Step::Wait {
                    return step;
                }
            }
        }
        if self.server.rest().len() > MAX_MESSAGE { Step::Clear } else { Step::Wait }
    }
}

/// Whether an answer to the request for TLS, in IMAP with this tag, has come: replies to other commands may come before it.
fn answer(kind: Kind, asked: &str, line: &[u8]) -> Option<bool> {
    match (kind, line) {
        (Kind::Codes, [b'2', b'3', b'4', b' ', ..] | [b'2', b'2', b'0', b' ', ..]) => Some(true),
        (Kind::Codes, [b'4' | b'5', _, _, b' ', ..]) => Some(false),
        (Kind::Codes, _) => None,
        (Kind::Pop3, line) => reply(kind, Some(asked), line),
        (Kind::Imap, line) => {
            let tag = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
            if asked.as_bytes().eq_ignore_ascii_case(tag) { reply(kind, Some(asked), line) } else { None }
        }
    }
}

/// The tag of a request for TLS, empty where the protocol has none; none for another line.
fn request(kind: Kind, line: &[u8]) -> Option<String> {
    let line = line.trim_ascii();
    // Most lines are none: AUTH, STARTTLS, STLS.
    let may_be = |line: &[u8]| matches!(line.first(), Some(b'A' | b'a' | b'S' | b's'));
    let (tag, rest) = match (kind, line.iter().position(u8::is_ascii_whitespace)) {
        (Kind::Imap, Some(end)) => line.split_at(end),
        (Kind::Imap, None) => return None,
        _ => (&[][..], line),
    };
    let rest = rest.trim_ascii_start();
    if !may_be(rest) {
        return None;
    }
    let rest = String::from_utf8_lossy(rest).to_ascii_uppercase();
    // AUTH with another word is a mechanism of FTP security (RFC 2228), or a login of SMTP.
    let asks = match kind {
        Kind::Codes => rest.starts_with("AUTH TLS") || rest.starts_with("AUTH SSL") || rest == "STARTTLS",
        Kind::Imap => rest.split_ascii_whitespace().next() == Some("STARTTLS"),
        Kind::Pop3 => rest.split_ascii_whitespace().next() == Some("STLS"),
    };
    asks.then(|| String::from_utf8_lossy(tag).to_ascii_uppercase())
}

/// Whether a line that ends a reply agrees to what was asked, in IMAP with this tag; none when it ends none.
fn reply(kind: Kind, asked: Option<&str>, line: &[u8]) -> Option<bool> {
    match kind {
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
            Some(asked == Some(tag) && words.next() == Some("OK"))
        }
    }
}

/// What one side has said, read line by line; each byte is moved once.
#[derive(Clone, Debug, Default)]
struct Said {
    bytes: Vec<u8>,
    taken: usize,
    /// What comes up to the next end of a line is the rest of one that was too long.
    long: bool,
}

impl Said {
    fn hear(&mut self, bytes: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.taken));
        self.bytes.extend_from_slice(bytes);
    }

    /// What has not been taken.
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// The next whole line, with its end.
    fn next_line(&mut self) -> Option<&[u8]> {
        loop {
            let begin = self.taken;
            let length = self.rest().iter().position(|&byte| byte == b'\n')? + 1;
            self.taken += length;
            if !std::mem::take(&mut self.long) {
                return self.bytes.get(begin..begin + length);
            }
        }
    }

    /// Forgets the beginning of a line that is too long.
    fn pass_over_long(&mut self) {
        if self.rest().len() > MAX_MESSAGE {
            *self = Self { long: true, ..Self::default() };
        }
    }

    fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.rest().to_vec();
        *self = Self::default();
        rest
    }
}
