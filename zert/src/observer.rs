//! One connection's bytes to its protection.
//!
//! A determined answer is final: once a session is SSH, clear or TLS of a version it stays so; details of a handshake
//! may still be added. Where a protocol's dialogue goes on (FTP, SMTP, IMAP, POP3) another session may follow on the same
//! connection: TLS that is begun after a login in clear text, clear text after TLS was given up. Else nothing is read after
//! the handshake.

use serde::Serialize;

use crate::dialogue::{self, Beginning, Dialogue, Lines, Step, Upgrade};
use crate::ssh::{self, Ssh};
use crate::tls::{self, Framing, Handshake, Opening};

/// No greeting is longer.
const MAX_GREETING: usize = 4096;

/// Which end sent bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize)]
pub enum Side {
    /// The end that opened the connection.
    Client,
    /// The end that accepted it.
    Server,
}

impl Side {
    /// The other end.
    pub(crate) fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What protects a connection.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "protection", rename_all = "snake_case")]
pub enum Protection {
    /// Not known yet: nothing was sent, or a dialogue or handshake is under way.
    Undetermined,
    /// No recognized protection.
    None,
    /// TLS or SSL; the version is 0 when the handshake failed before the server chose one.
    Tls(Handshake),
    /// SSH, recognized by its banners.
    Ssh(Box<Ssh>),
}

impl Protection {
    /// Whether the kind of protection, and for TLS its version, is known.
    #[must_use]
    pub fn is_determined(&self) -> bool {
        match self {
            Self::Undetermined => false,
            Self::None => true,
            Self::Ssh(ssh) => ssh.is_determined(),
            Self::Tls(handshake) => handshake.is_determined(),
        }
    }
}

/// Reads the first bytes of one connection.
#[derive(Clone, Debug, Default)]
pub struct Observer {
    stage: Stage,
    /// A server that greets as no protocol does that leads to TLS has no protection.
    strict: bool,
    /// Sessions of this connection before this one.
    session: u32,
}

#[derive(Clone, Debug)]
enum Stage {
    /// Neither side has said enough.
    Start {
        client: Vec<u8>,
        server: Vec<u8>,
    },
    Dialogue(Dialogue),
    /// TLS was agreed on in clear text; the client's next bytes must be its hello. `clear`: that the connection is in clear text
    /// has been said already.
    Upgraded {
        via: Upgrade,
        client: Vec<u8>,
        server: Vec<u8>,
        clear: bool,
    },
    /// `swapped`: the end that accepted the connection plays TLS's client (FTPS in active mode).
    Tls {
        reader: Box<tls::Reader>,
        swapped: bool,
    },
    /// TLS whose protocol may go on in clear text.
    Watched {
        reader: Box<tls::Reader>,
        client: Framing,
        server: Framing,
    },
    Ssh(Box<ssh::Reader>),
    /// `talk`: a dialogue that goes on, in which TLS may yet be asked for.
    Clear {
        talk: Option<Box<Lines>>,
    },
}

const CLEAR: Stage = Stage::Clear { talk: None };

impl Default for Stage {
    fn default() -> Self {
        Self::Start { client: Vec::new(), server: Vec::new() }
    }
}

impl Observer {
    /// Takes bytes that one side sent, in order. Returns whether that determined the protection.
    pub fn observe(&mut self, from: Side, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return false;
        }
        let before = self.is_determined();
        let kind = self.kind();
        let stage = std::mem::take(&mut self.stage);
        self.stage = advance(stage, from, bytes);
        let another = before && self.kind() != kind;
        self.session += u32::from(another);
        if let (true, Stage::Start { client, server }) = (self.strict, &self.stage)
            && client.is_empty()
            && !dialogue::may_greet(server)
        {
            self.stage = CLEAR;
        }
        (!before || another) && self.is_determined()
    }

    /// As [`Protection::is_determined`].
    fn is_determined(&self) -> bool {
        match &self.stage {
            Stage::Start { .. } | Stage::Dialogue(_) | Stage::Upgraded { clear: false, .. } => false,
            Stage::Clear { .. } | Stage::Upgraded { clear: true, .. } => true,
            Stage::Tls { reader, .. } | Stage::Watched { reader, .. } => reader.handshake.is_determined(),
            Stage::Ssh(reader) => reader.ssh.is_determined(),
        }
    }

    /// Sessions of this connection before the one that is told of.
    #[must_use]
    pub fn session(&self) -> u32 {
        self.session
    }

    /// Whether TLS or SSH has begun.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.kind() > 1
    }

    /// What a session is and its like are not.
    fn kind(&self) -> u8 {
        match &self.stage {
            Stage::Start { .. } | Stage::Dialogue(_) | Stage::Upgraded { clear: false, .. } => 0,
            Stage::Clear { .. } | Stage::Upgraded { clear: true, .. } => 1,
            Stage::Tls { .. } | Stage::Watched { .. } => 2,
            Stage::Ssh(_) => 3,
        }
    }

    /// What is known.
    #[must_use]
    pub fn protection(&self) -> Protection {
        match &self.stage {
            Stage::Start { .. } | Stage::Dialogue(_) | Stage::Upgraded { clear: false, .. } => Protection::Undetermined,
            Stage::Tls { reader, .. } | Stage::Watched { reader, .. } => Protection::Tls(reader.handshake.clone()),
            Stage::Ssh(reader) => Protection::Ssh(Box::new(reader.ssh.clone())),
            Stage::Clear { .. } | Stage::Upgraded { clear: true, .. } => Protection::None,
        }
    }

    /// Lets nothing pass for a greeting that is not known to be one.
    pub(crate) fn be_strict(&mut self) {
        self.strict = true;
    }

    /// Takes the connection for one without protection, unless more is known.
    pub(crate) fn give_up(&mut self) {
        if !self.is_determined() {
            self.stage = CLEAR;
        }
    }

    /// Whether the client has said something that cannot be told to be harmless before more of it, or the server's answer, has
    /// come: a part of a message of a dialogue, data sent with a hello.
    pub(crate) fn withholds(&self) -> bool {
        match &self.stage {
            Stage::Start { client, .. } => dialogue::withholds_start(client),
            Stage::Dialogue(dialogue) => dialogue.withholds(),
            Stage::Tls { reader, swapped } => !swapped && reader.withholds(),
            Stage::Upgraded { client, .. } => !client.is_empty(),
            Stage::Ssh(reader) => reader.withholds(),
            Stage::Watched { .. } | Stage::Clear { .. } => false,
        }
    }

    /// Whether further bytes would add nothing.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match &self.stage {
            Stage::Clear { talk } => talk.is_none(),
            Stage::Watched { .. } | Stage::Upgraded { .. } => false,
            _ => self.is_complete(),
        }
    }

    /// Whether they would add nothing to what is known of this session.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match &self.stage {
            Stage::Tls { reader, .. } | Stage::Watched { reader, .. } => reader.handshake.complete,
            Stage::Ssh(reader) => reader.ssh.complete,
            Stage::Clear { .. } | Stage::Upgraded { clear: true, .. } => true,
            _ => false,
        }
    }
}

fn advance(stage: Stage, from: Side, bytes: &[u8]) -> Stage {
    match (stage, from) {
        (Stage::Start { mut client, server }, Side::Client) => {
            client.extend_from_slice(bytes);
            from_client(client, server)
        }
        (Stage::Start { client, mut server }, Side::Server) => {
            server.extend_from_slice(bytes);
            if client.is_empty() && tls::opening(&server) == Opening::Hello {
                return start_tls(&server, &[], true, None);
            }
            // A server that sends this much to a client that says nothing greets nobody: it sends data.
            if server.len() > MAX_GREETING { CLEAR } else { Stage::Start { client, server } }
        }
        (Stage::Dialogue(mut dialogue), from) => {
            let step = match from {
                Side::Client => dialogue.client(bytes),
                Side::Server => dialogue.server(bytes),
            };
            after(dialogue, step)
        }
        (Stage::Upgraded { via, mut client, server, clear }, Side::Client) => {
            client.extend_from_slice(bytes);
            match tls::opening(&client) {
                Opening::Hello => start_tls(&client, &server, false, Some(via)),
                Opening::Unclear => Stage::Upgraded { via, client, server, clear },
                Opening::Other => CLEAR,
            }
        }
        (Stage::Upgraded { via, client, mut server, clear }, Side::Server) => {
            // An answer that was captured before its hello.
            server.extend_from_slice(bytes);
            if server.len() > tls::MAX_BUFFERED { CLEAR } else { Stage::Upgraded { via, client, server, clear } }
        }
        (Stage::Tls { mut reader, swapped }, from) => {
            match (from, swapped) {
                (Side::Client, false) | (Side::Server, true) => reader.client(bytes),
                (Side::Server, false) | (Side::Client, true) => reader.server(bytes),
            }
            settle(reader, swapped)
        }
        (Stage::Watched { reader, client, server }, from) => watch(reader, client, server, from, bytes),
        (Stage::Ssh(mut reader), from) => {
            reader.observe(from, bytes);
            Stage::Ssh(reader)
        }
        (Stage::Clear { talk: None }, _) => CLEAR,
        (Stage::Clear { talk: Some(mut talk) }, from) => match talk.listen(from, bytes) {
            None => Stage::Clear { talk: Some(talk) },
            Some((early, server)) => {
                let upgraded = Stage::Upgraded { via: talk.upgrade(), client: Vec::new(), server, clear: true };
                if early.is_empty() { upgraded } else { advance(upgraded, Side::Client, &early) }
            }
        },
    }
}

/// TLS as far as it has come. Where a dialogue led to it, it may lead out of it again, and that is seen by records that are none.
fn settle(reader: Box<tls::Reader>, swapped: bool) -> Stage {
    if reader.is_refuted() {
        // An answer that is no TLS: what looked like a hello was none.
        return CLEAR;
    }
    let handshake = &reader.handshake;
    let goes_on = handshake.upgrade.is_some_and(|via| Lines::goes_on(via).is_some());
    if !goes_on || !handshake.complete || handshake.version == 0 || swapped {
        return Stage::Tls { reader, swapped };
    }
    let (client, server) = reader.behind();
    let (client, server) = (client.to_vec(), server.to_vec());
    let watched = Stage::Watched { reader, client: Framing::default(), server: Framing::default() };
    let watched = if client.is_empty() { watched } else { advance(watched, Side::Client, &client) };
    if server.is_empty() { watched } else { advance(watched, Side::Server, &server) }
}

fn watch(reader: Box<tls::Reader>, mut client: Framing, mut server: Framing, from: Side, bytes: &[u8]) -> Stage {
    let framing = match from {
        Side::Client => &mut client,
        Side::Server => &mut server,
    };
    match framing.take(bytes) {
        None => Stage::Watched { reader, client, server },
        // What is no record is the dialogue again.
        Some(at) => {
            let talk = reader.handshake.upgrade.and_then(Lines::goes_on).map(Box::new);
            advance(Stage::Clear { talk }, from, bytes.get(at..).unwrap_or_default())
        }
    }
}

/// The client's first bytes decide; a server that greets first only sets the scene.
fn from_client(client: Vec<u8>, server: Vec<u8>) -> Stage {
    if client.is_empty() {
        return Stage::Start { client, server };
    }
    match tls::opening(&client) {
        Opening::Hello => start_tls(&client, &server, false, None),
        Opening::Unclear => Stage::Start { client, server },
        // A server that greets as another protocol speaks that.
        Opening::Other if client.starts_with(b"SSH-") && dialogue::greets(&server) => CLEAR,
        Opening::Other if client.starts_with(b"SSH-") => {
            let mut reader = Box::<ssh::Reader>::default();
            reader.observe(Side::Server, &server);
            reader.observe(Side::Client, &client);
            Stage::Ssh(reader)
        }
        Opening::Other if b"SSH-".starts_with(&client) => Stage::Start { client, server },
        Opening::Other => match dialogue::beginning(&client, &server) {
            Beginning::Unclear => Stage::Start { client, server },
            Beginning::Other => CLEAR,
            Beginning::Dialogue(mut dialogue) => {
                let step = dialogue.client(&client);
                after(dialogue, step)
            }
        },
    }
}

fn after(dialogue: Dialogue, step: Step) -> Stage {
    match step {
        Step::Wait => Stage::Dialogue(dialogue),
        Step::Clear => Stage::Clear { talk: dialogue.goes_on().map(Box::new) },
        Step::Upgraded { client: early, server } => {
            let upgraded = Stage::Upgraded { via: dialogue.upgrade(), client: Vec::new(), server, clear: false };
            if early.is_empty() { upgraded } else { advance(upgraded, Side::Client, &early) }
        }
    }
}

/// The hello, and what was captured of its answer before it.
fn start_tls(hello: &[u8], answer: &[u8], swapped: bool, upgrade: Option<Upgrade>) -> Stage {
    let mut reader = Box::<tls::Reader>::default();
    reader.handshake.upgrade = upgrade;
    reader.server(answer);
    reader.client(hello);
    settle(reader, swapped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Side::{Client, Server};

    /// What of a held client's bytes goes on to the server before a verdict, when they come in pieces of this size.
    fn passes(turns: &[(Side, &[u8])], size: usize) -> Vec<u8> {
        let mut observer = Observer::default();
        observer.be_strict();
        let (mut passed, mut waiting) = (Vec::new(), Vec::new());
        for (from, bytes) in turns {
            for piece in bytes.chunks(size) {
                observer.observe(*from, piece);
                // From here on a verdict has fallen, or nothing of the client goes on.
                if observer.is_done() || observer.protection() == Protection::None {
                    return passed;
                }
                if *from == Client {
                    waiting.extend_from_slice(piece);
                }
                if !observer.withholds() {
                    passed.append(&mut waiting);
                }
            }
        }
        passed
    }

    const LDAP_BIND: &[u8] = b"\x30\x14\x02\x01\x01\x60\x0f\x02\x01\x03\x04\x02cn\x80\x06SECRET";
    const LDAP_START_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";
    const LDAP_SUBTREE: &[u8] = b"\x30\x25\x02\x01\x01\x63\x20\x04\x00\x0a\x01\x02\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\x87\x06SECRET\x30\x06\x04\x04name";
    const MYSQL: &[u8] = b"\x14\x00\x00\x00\x0a8.0\x00aaaaaaaaaaaaaaaaaa";

    #[test]
    fn no_secret_goes_on_before_the_verdict() {
        let stream = b"<stream:stream to='x' xmlns='jabber:client' xmlns:stream='s'>".as_slice();
        let dialogues: &[&[(Side, &[u8])]] = &[
            &[(Server, b"220 ready\r\n"), (Client, b"USER SECRET\r\n")],
            &[(Server, b"220 ready\r\n"), (Client, b"NOOP\rUSER SECRET\r\n")],
            &[(Server, b"220 ready\r\n"), (Client, b"AUTH TLS\r\nUSER SECRET\r\n")],
            &[(Server, b"220 ready\r\n"), (Client, b"AUTH TLS\r\n"), (Client, b"USER SECRET\r\n")],
            &[(Server, b"220 ready\r\n"), (Client, b"AUTH TLS\r\n\x16\x03\x01\x40\x00\x01\r\nUSER SECRET\r\n")],
            &[(Server, b"220 ready\r\n"), (Client, b"AUTH PLAIN SECRET\r\n")],
            &[(Server, b"220 ready\r\n"), (Client, b"SSH-2.0-x\r\nUSER SECRET\r\n")],
            &[(Client, b"SSH-2.0-x\r\nUSER SECRET\r\n"), (Server, b"500 what\r\n")],
            &[(Server, b"* OK ready\r\n"), (Client, b"a LOGIN me SECRET\r\n")],
            &[(Server, b"* OK ready\r\n"), (Client, b"a CAPABILITY\r\n"), (Client, b"b LOGIN me SECRET\r\n")],
            &[(Server, b"+OK ready\r\n"), (Client, b"PASS SECRET\r\n")],
            &[(Client, LDAP_BIND)],
            &[(Client, LDAP_SUBTREE)],
            &[(Client, LDAP_START_TLS), (Client, LDAP_BIND)],
            &[(Client, stream), (Client, b"<auth mechanism='PLAIN'>SECRET</auth>")],
            &[(Client, stream), (Client, b"<starttls/><auth mechanism='PLAIN'>SECRET</auth>")],
            &[(Client, b"\0\0\0\x08\x04\xd2\x16\x2f"), (Client, b"\0\0\0\x20\0\x03\0\0user\0SECRET\0\0")],
            &[(Client, b"\0\0\0\x20\0\x03\0\0user\0SECRET\0\0")],
            &[(Server, MYSQL), (Client, b"\x30\x00\x00\x01\x85\xa6\xff\x01\0\0\0\x01SECRET")],
            &[(Client, b"\x16\x03\x01\x40\x00\x01\r\nAUTH SECRET\r\n")],
            &[(Client, b"GET /SECRET HTTP/1.1\r\n\r\n")],
            &[(Server, b"login: "), (Client, b"SECRET\r\n")],
        ];
        for (number, turns) in dialogues.iter().enumerate() {
            for size in 1..64 {
                let passed = passes(turns, size);
                let text = String::from_utf8_lossy(&passed);
                assert!(!text.contains('S') || !text.contains("SE"), "dialogue {number} in pieces of {size}: {text}");
            }
        }
    }

    #[test]
    fn what_leads_to_a_handshake_goes_on() {
        let hello = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x00\x00\x02\x13\x01\x01\x00\x00\x00";
        for (lead, answer) in
            [(b"AUTH TLS\r\n".as_slice(), b"234 go\r\n".as_slice()), (b"FEAT\r\nSTARTTLS\r\n", b"211 no\r\n220 go\r\n")]
        {
            for size in 1..80 {
                let turns: [(Side, &[u8]); 4] =
                    [(Server, b"220 ready\r\n"), (Client, lead), (Server, answer), (Client, hello)];
                assert_eq!(passes(&turns, size), [lead, hello].concat(), "in pieces of {size}");
            }
        }
        assert_eq!(passes(&[(Client, LDAP_START_TLS)], 7), LDAP_START_TLS);
    }
}
