//! RDP: the X.224 connection request says which protection the client knows, the confirmation which it is.
//!
//! Source: \[MS-RDPBCGR\] §2.2.1.1 and §2.2.1.2.

use super::{Looks, MAX_MESSAGE, Step, early};

/// TPKT version 3.
const TPKT: [u8; 2] = [3, 0];
const REQUEST: u8 = 0xE0;
const CONFIRM: u8 = 0xD0;
/// RDP_NEG_REQ and RDP_NEG_RSP.
const NEGOTIATION: usize = 8;
/// PROTOCOL_SSL, PROTOCOL_HYBRID and PROTOCOL_HYBRID_EX: TLS with and without what follows in it.
const TLS: u8 = 0x01 | 0x02 | 0x08;

/// Whether bytes are a connection request.
pub(super) fn looks(client: &[u8]) -> Looks {
    match client {
        [3, 0, high, _, _, kind, ..] => {
            if *kind == REQUEST && *high < 16 {
                Looks::Yes
            } else {
                Looks::No
            }
        }
        short if short.len() < 6 => match Looks::beginning(short.get(..2).unwrap_or(short), &TPKT) {
            Looks::No => Looks::No,
            _ => Looks::Perhaps,
        },
        _ => Looks::No,
    }
}

/// A whole packet, and what follows it.
fn packet(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let [_, _, high, low, ..] = bytes else { return None };
    bytes.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])).max(NEGOTIATION))
}

/// The last byte but three of a packet that ends with such a structure: its protocols.
fn protocols(packet: &[u8], kind: u8) -> Option<u8> {
    let end = packet.get(packet.len().checked_sub(NEGOTIATION)?..)?;
    match end {
        [found, _, 8, 0, protocols, ..] if *found == kind => Some(*protocols),
        _ => None,
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Rdp {
    client: Vec<u8>,
    server: Vec<u8>,
    asked: bool,
}

impl Rdp {
    /// Whether a part of the request has come.
    pub(super) fn withholds(&self) -> bool {
        !self.client.is_empty()
    }

    pub(super) fn client(&mut self, bytes: &[u8]) -> Step {
        self.client.extend_from_slice(bytes);
        if !self.asked {
            let Some((request, rest)) = packet(&self.client) else {
                return if self.client.len() > MAX_MESSAGE { Step::Clear } else { Step::Wait };
            };
            if protocols(request, 1).is_none_or(|protocols| protocols & TLS == 0) {
                return Step::Clear;
            }
            self.asked = true;
            self.client = rest.to_vec();
        }
        early(&self.client)
    }

    pub(super) fn server(&mut self, bytes: &[u8]) -> Step {
        self.server.extend_from_slice(bytes);
        let Some((confirm, rest)) = packet(&self.server) else {
            return if self.server.len() > MAX_MESSAGE { Step::Clear } else { Step::Wait };
        };
        let confirms = confirm.get(5) == Some(&CONFIRM);
        match protocols(confirm, 2) {
            Some(protocols) if confirms && self.asked && protocols & TLS != 0 => {
                Step::Upgraded { client: std::mem::take(&mut self.client), server: rest.to_vec() }
            }
            _ => Step::Clear,
        }
    }
}
