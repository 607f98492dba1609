//! PostgreSQL's messages between a client without TLS and a server that has it, up to the end of the authentication.
//!
//! The server offers to bind the authentication to its TLS (SCRAM-SHA-256-PLUS); a client that sees no TLS takes that for
//! somebody in between, and stops. So the offer is left out of what the client hears.

use super::dialogue::{Dialogue, Said};
use super::{GSS_REQUEST, SSL_REQUEST};

/// Longest message before the end of the authentication.
const LONGEST: usize = 64 * 1024;
/// The name of the mechanism, as it stands in the list.
const BOUND: &[u8] = b"SCRAM-SHA-256-PLUS\0";
/// `AuthenticationOk` and `AuthenticationSASL`.
const OK: u32 = 0;
const SASL: u32 = 10;

/// The dialogue of a client on this host.
#[derive(Debug, Default)]
pub(crate) struct Client {
    /// What the program said before its first message is whole.
    begun: Vec<u8>,
    started: bool,
    /// A message of the server that is not whole.
    message: Vec<u8>,
    authenticated: bool,
}

impl Dialogue for Client {
    fn program(&mut self, bytes: &[u8]) -> Result<Said, String> {
        let mut said = Said::default();
        if bytes.is_empty() {
            said.to_network = std::mem::take(&mut self.begun);
        }
        self.begun.extend_from_slice(bytes);
        // A program that would rather have TLS is told that there is none here.
        while !self.started
            && let Some((first, rest)) = self.begun.split_first_chunk::<8>()
        {
            if *first != SSL_REQUEST && *first != GSS_REQUEST {
                self.started = true;
                break;
            }
            said.to_program.push(b'N');
            self.begun = rest.to_vec();
        }
        if self.started {
            said.to_network = std::mem::take(&mut self.begun);
        }
        Ok(said)
    }

    fn network(&mut self, bytes: &[u8]) -> Result<Said, String> {
        let mut said = Said::default();
        if bytes.is_empty() {
            said.to_program = std::mem::take(&mut self.message);
        }
        self.message.extend_from_slice(bytes);
        while !self.authenticated
            && let Some(length) = length(&self.message)
        {
            if length > LONGEST {
                return Err("a message of the server is too long before the authentication has ended".to_owned());
            }
            if self.message.len() < length {
                break;
            }
            let message: Vec<u8> = self.message.drain(..length).collect();
            let (kind, code) = (message.first(), message.get(5..9).and_then(|code| code.first_chunk::<4>()));
            match (kind, code.map(|code| u32::from_be_bytes(*code))) {
                (Some(b'R'), Some(OK)) => {
                    self.authenticated = true;
                    said.to_program.extend(message);
                }
                (Some(b'R'), Some(SASL)) => said.to_program.extend(unbound(&message)),
                _ => said.to_program.extend(message),
            }
        }
        if self.authenticated {
            said.to_program.append(&mut self.message);
        }
        Ok(said)
    }

    fn is_over(&self) -> bool {
        self.authenticated
    }
}

/// The length of the message that begins here, with its kind.
fn length(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_be_bytes(*bytes.get(1..)?.first_chunk()?);
    Some(usize::try_from(length).unwrap_or(usize::MAX).saturating_add(1).max(5))
}

/// The same offer without the bound mechanism.
fn unbound(message: &[u8]) -> Vec<u8> {
    let at = message.windows(BOUND.len()).position(|part| part == BOUND);
    let Some((before, rest)) = at.and_then(|at| message.split_at_checked(at)) else { return message.to_vec() };
    let body = [before.get(5..).unwrap_or_default(), rest.get(BOUND.len()..).unwrap_or_default()].concat();
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [b"R", &length.to_be_bytes()[..], &body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
        [&[kind], &length[..], body].concat()
    }

    #[test]
    fn the_bound_mechanism_is_not_offered_however_the_bytes_come() {
        let offer = message(b'R', b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
        let sent = [offer, message(b'R', &[0; 4]), message(b'Z', b"I")].concat();
        let heard =
            [message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0"), message(b'R', &[0; 4]), message(b'Z', b"I")].concat();
        for piece in 1..=sent.len() {
            let mut client = Client::default();
            let said = sent.chunks(piece).map(|bytes| client.network(bytes).expect("no error").to_program);
            assert_eq!(said.collect::<Vec<_>>().concat(), heard, "{piece}");
            assert!(client.is_over());
        }
    }

    #[test]
    fn a_program_that_would_rather_have_tls_is_told_that_there_is_none() {
        let start = [&[0, 0, 0, 9, 0, 3, 0, 0][..], &[0]].concat();
        let sent = [&GSS_REQUEST[..], &SSL_REQUEST, &start].concat();
        for piece in 1..=sent.len() {
            let mut client = Client::default();
            let (mut program, mut network) = (Vec::new(), Vec::new());
            for bytes in sent.chunks(piece) {
                let said = client.program(bytes).expect("no error");
                program.extend(said.to_program);
                network.extend(said.to_network);
            }
            assert_eq!((program.as_slice(), network.as_slice()), (&b"NN"[..], start.as_slice()), "{piece}");
        }
    }

    #[test]
    fn a_message_that_is_too_long_ends_the_connection() {
        assert!(Client::default().network(&[b'R', 255, 255, 255, 255, 0]).is_err());
        assert!(Client::default().network(&[b'R', 0, 0, 0, 0, 0]).is_ok());
    }
}
