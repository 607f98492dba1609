//! MySQL and MariaDB: after the server's greeting a short packet says that TLS follows at once.
//!
//! Source: *MySQL Internals*, "Protocol::SSLRequest".

use super::{Looks, Step};

/// The header of a packet: three bytes of length, one that counts.
const HEADER: usize = 4;
/// Length of the request for TLS.
const SSL_REQUEST: u8 = 32;
/// `CLIENT_SSL`, in the second byte of the capabilities.
const CLIENT_SSL: u8 = 0x08;

/// Whether a server's first bytes greet so: packet 0, protocol 10.
pub(super) fn is_greeting(server: &[u8]) -> bool {
    matches!(server, [low, high, 0, 0, 10, ..] if (20..=1024).contains(&u16::from_le_bytes([*low, *high])))
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Mysql {
    client: Vec<u8>,
}

impl Mysql {
    pub(super) fn client(&mut self, bytes: &[u8]) -> Step {
        self.client.extend_from_slice(bytes);
        match Looks::beginning(&self.client, &[SSL_REQUEST, 0, 0, 1]) {
            Looks::No => Step::Clear,
            Looks::Perhaps => Step::Wait,
            Looks::Yes => match (self.client.get(HEADER + 1), self.client.get(HEADER + usize::from(SSL_REQUEST)..)) {
                (Some(capabilities), _) if capabilities & CLIENT_SSL == 0 => Step::Clear,
                (Some(_), Some(rest)) => Step::Upgraded { client: rest.to_vec(), server: Vec::new() },
                _ => Step::Wait,
            },
        }
    }
}
