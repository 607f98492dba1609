//! PostgreSQL: SSLRequest, answered by one byte.
//!
//! Source: PostgreSQL documentation, "Message Flow", SSL and GSSAPI Session Encryption.

use super::{Looks, Step, early};

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F];
const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x30];

/// Whether bytes are such a request.
pub(super) fn looks(client: &[u8]) -> Looks {
    match (Looks::beginning(client, &SSL_REQUEST), Looks::beginning(client, &GSS_REQUEST)) {
        (Looks::Yes, _) | (_, Looks::Yes) => Looks::Yes,
        (Looks::No, Looks::No) => Looks::No,
        _ => Looks::Perhaps,
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Postgres {
    /// What the client sent and is not taken.
    client: Vec<u8>,
    /// A request waits for its answer; whether it is for TLS.
    asked: Option<bool>,
}

impl Postgres {
    /// Whether something has come behind the request; before it all is the same bytes each time.
    pub(super) fn withholds(&self) -> bool {
        self.asked.is_some() && !self.client.is_empty()
    }

    pub(super) fn client(&mut self, bytes: &[u8]) -> Step {
        self.client.extend_from_slice(bytes);
        if self.asked.is_some() {
            return early(&self.client);
        }
        match looks(&self.client) {
            Looks::No => Step::Clear,
            Looks::Perhaps => Step::Wait,
            Looks::Yes => {
                self.asked = Some(self.client.starts_with(&SSL_REQUEST));
                self.client.drain(..SSL_REQUEST.len());
                early(&self.client)
            }
        }
    }

    pub(super) fn server(&mut self, bytes: &[u8]) -> Step {
        let Some((answer, rest)) = bytes.split_first() else { return Step::Wait };
        match (self.asked, answer) {
            (Some(true), b'S') => Step::Upgraded { client: std::mem::take(&mut self.client), server: rest.to_vec() },
            // Refused: another request may follow, or the login.
            (Some(_), b'N') => {
                self.asked = None;
                match self.client(&[]) {
                    Step::Wait => self.server(rest),
                    step => step,
                }
            }
            _ => Step::Clear,
        }
    }
}
