//! One connection's bytes to its protection.
//!
//! The first answer is final in its kind: once a connection is TLS, SSH or clear it stays so; details of a handshake
//! may still be added. Nothing is read after the handshake.

use serde::Serialize;

use crate::dialogue::{Ftp, Step, is_greeting};
use crate::tls::{self, Handshake, Opening};

/// Which end sent bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize)]
pub enum Side {
    /// The end that opened the connection.
    Client,
    /// The end that accepted it.
    Server,
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
    Ssh,
}

impl Protection {
    /// Whether the kind of protection, and for TLS its version, is known.
    #[must_use]
    pub fn is_determined(&self) -> bool {
        match self {
            Self::Undetermined => false,
            Self::None | Self::Ssh => true,
            Self::Tls(handshake) => handshake.version != 0 || handshake.complete,
        }
    }
}

/// Reads the first bytes of one connection.
#[derive(Clone, Debug, Default)]
pub struct Observer {
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    /// Neither side has said enough.
    Start { client: Vec<u8>, server: Vec<u8> },
    Ftp(Ftp),
    /// TLS was agreed on in clear text; the client's next bytes must be its hello.
    Upgraded(Vec<u8>),
    Tls(Box<tls::Reader>),
    Ssh,
    Clear,
}

impl Default for Stage {
    fn default() -> Self {
        Self::Start { client: Vec::new(), server: Vec::new() }
    }
}

impl Observer {
    /// Takes bytes that one side sent, in order. Returns whether that determined the protection.
    pub fn observe(&mut self, from: Side, bytes: &[u8]) -> bool {
        let before = self.protection().is_determined();
        let stage = std::mem::take(&mut self.stage);
        self.stage = advance(stage, from, bytes);
        !before && self.protection().is_determined()
    }

    /// What is known.
    #[must_use]
    pub fn protection(&self) -> Protection {
        match &self.stage {
            Stage::Start { .. } | Stage::Ftp(_) | Stage::Upgraded(_) => Protection::Undetermined,
            Stage::Tls(reader) => Protection::Tls(reader.handshake.clone()),
            Stage::Ssh => Protection::Ssh,
            Stage::Clear => Protection::None,
        }
    }

    /// Whether further bytes would add nothing.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match &self.stage {
            Stage::Tls(reader) => reader.handshake.complete,
            Stage::Ssh | Stage::Clear => true,
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
            // Bytes that cannot begin a greeting we know are not kept beyond what tells so.
            if server.len() < 512 {
                server.extend_from_slice(bytes);
            }
            Stage::Start { client, server }
        }
        (Stage::Ftp(mut ftp), from) => {
            let step = match from {
                Side::Client => ftp.client(bytes),
                Side::Server => ftp.server(bytes),
            };
            match step {
                Step::Wait => Stage::Ftp(ftp),
                Step::Clear => Stage::Clear,
                Step::Upgraded => Stage::Upgraded(Vec::new()),
            }
        }
        (Stage::Upgraded(mut client), Side::Client) => {
            client.extend_from_slice(bytes);
            match tls::opening(&client) {
                Opening::Hello => start_tls(&client),
                Opening::Unclear => Stage::Upgraded(client),
                Opening::Other => Stage::Clear,
            }
        }
        (Stage::Tls(mut reader), from) => {
            match from {
                Side::Client => reader.client(bytes),
                Side::Server => reader.server(bytes),
            }
            Stage::Tls(reader)
        }
        (stage @ (Stage::Upgraded(_) | Stage::Ssh | Stage::Clear), _) => stage,
    }
}

/// The client's first bytes decide; a server that greets first only sets the scene.
fn from_client(client: Vec<u8>, server: Vec<u8>) -> Stage {
    if client.is_empty() {
        return Stage::Start { client, server };
    }
    match tls::opening(&client) {
        Opening::Hello => start_tls(&client),
        Opening::Unclear => Stage::Start { client, server },
        Opening::Other if client.starts_with(b"SSH-") => Stage::Ssh,
        Opening::Other if b"SSH-".starts_with(&client) => Stage::Start { client, server },
        Opening::Other if !server.is_empty() && is_greeting(&server) => {
            let mut ftp = Ftp::default();
            match ftp.client(&client) {
                Step::Clear => Stage::Clear,
                _ => Stage::Ftp(ftp),
            }
        }
        Opening::Other => Stage::Clear,
    }
}

fn start_tls(client: &[u8]) -> Stage {
    let mut reader = Box::<tls::Reader>::default();
    reader.client(client);
    Stage::Tls(reader)
}
