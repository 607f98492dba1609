//! Netlink messages as bytes: a header, a fixed part, attributes. Source: `linux/netlink.h`.
//!
//! The few messages this project needs (sock_diag, nfnetlink) are put together here and in their modules; the crates
//! of the rust-netlink family have no SOCK_DESTROY and no nfnetlink_log configuration.

use std::cell::RefCell;
use std::io;
use std::time::Duration;

use netlink_sys::{Socket, SocketAddr};

use crate::StackError;

/// Length of `nlmsghdr`.
const HEADER: usize = 16;
/// `NLM_F_REQUEST`.
pub const REQUEST: u16 = 1;
/// `NLM_F_ACK`.
pub const ACK: u16 = 4;
/// `NLM_F_DUMP`.
pub const DUMP: u16 = 0x300;
/// `NLMSG_ERROR`.
const ERROR: u16 = 2;
/// `NLMSG_DONE`.
const DONE: u16 = 3;

/// A message under construction.
#[derive(Debug)]
pub struct Message(Vec<u8>);

impl Message {
    /// A header of this type and flags; the length is filled in by [`Message::finish`].
    #[must_use]
    pub fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&0_u32.to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&1_u32.to_ne_bytes()); // sequence number
        bytes.extend_from_slice(&0_u32.to_ne_bytes()); // port: the kernel
        Self(bytes)
    }

    /// Appends bytes as they are.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends an attribute, padded to four bytes.
    #[must_use]
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// The finished message.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        if let Some(field) = self.0.first_chunk_mut::<4>() {
            *field = length.to_ne_bytes();
        }
        self.0
    }
}

thread_local! {
    /// The thread's netlink sockets by protocol: a connection's look-ups are too many to open one for each. A socket
    /// belongs to the network namespace it was opened in; no thread of ours changes its own.
    static SOCKETS: RefCell<Vec<(isize, Socket)>> = const { RefCell::new(Vec::new()) };
}

/// Sends a request to the kernel and collects the payloads of its answers.
///
/// # Errors
///
/// [`StackError::Refused`] with the kernel's errno, or what the socket says.
pub fn request(protocol: isize, message: Message, what: &'static str) -> Result<Vec<Vec<u8>>, StackError> {
    let flags = message.0.get(6..8).and_then(|flags| flags.first_chunk()).map_or(0, |flags| u16::from_ne_bytes(*flags));
    let dump = flags & DUMP == DUMP;
    let kept = SOCKETS.with_borrow_mut(|sockets| {
        let at = sockets.iter().position(|(known, _)| *known == protocol)?;
        Some(sockets.swap_remove(at).1)
    });
    let socket = kept.map_or_else(|| open(protocol), Ok)?;
    let result = exchange(&socket, &message.finish(), dump, what);
    // What may still come could be taken for the next request's: the answer after a failure, an acknowledgement.
    if matches!(result, Ok(_) | Err(StackError::Refused { .. })) && flags & ACK == 0 {
        SOCKETS.with_borrow_mut(|sockets| sockets.push((protocol, socket)));
    }
    result
}

fn open(protocol: isize) -> Result<Socket, StackError> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    nix::sys::socket::setsockopt(
        &socket,
        nix::sys::socket::sockopt::ReceiveTimeout,
        &nix::sys::time::TimeVal::new(Duration::from_secs(5).as_secs().cast_signed(), 0),
    )
    .map_err(io::Error::from)?;
    Ok(socket)
}

fn exchange(socket: &Socket, message: &[u8], dump: bool, what: &'static str) -> Result<Vec<Vec<u8>>, StackError> {
    socket.send(message, 0)?;
    let mut answers = Vec::new();
    loop {
        let (buffer, _) = socket.recv_from_full()?;
        for (kind, payload) in messages(&buffer) {
            match kind {
                DONE => return Ok(answers),
                ERROR => {
                    return match errno(payload) {
                        Some(0) => Ok(answers),
                        Some(code) => Err(StackError::Refused { what, source: io::Error::from_raw_os_error(code) }),
                        None => Err(StackError::Malformed { what }),
                    };
                }
                _ => answers.push(payload.to_vec()),
            }
        }
        if !dump && !answers.is_empty() {
            return Ok(answers);
        }
    }
}

fn errno(payload: &[u8]) -> Option<i32> {
    payload.first_chunk::<4>().map(|code| -i32::from_ne_bytes(*code))
}

/// The messages in a datagram: type and payload.
pub fn messages(datagram: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*rest.first_chunk::<4>()?) as usize;
        let kind = u16::from_ne_bytes(*rest.get(4..6)?.first_chunk::<2>()?);
        let payload = rest.get(HEADER..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    })
}

/// The attributes in a message's tail: type without flag bits, and value.
pub fn attributes(tail: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = tail;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk::<2>()?));
        let kind = u16::from_ne_bytes(*rest.get(2..4)?.first_chunk::<2>()?) & 0x3fff;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_can_be_read() {
        let message = Message::new(20, REQUEST).bytes(&[1, 2, 3, 4]).attribute(7, b"abcde").finish();
        let found: Vec<_> = messages(&message).collect();
        assert_eq!(found.len(), 1);
        let (kind, payload) = found[0];
        assert_eq!((kind, &payload[..4]), (20, [1, 2, 3, 4].as_slice()));
        assert_eq!(attributes(&payload[4..]).collect::<Vec<_>>(), [(7, b"abcde".as_slice())]);
    }

    #[test]
    fn a_cut_message_ends_the_list() {
        assert_eq!(messages(&[40, 0, 0, 0, 1, 0]).count(), 0);
        assert_eq!(attributes(&[9, 0, 1, 0, 1]).count(), 0);
        assert_eq!(attributes(&[0, 0, 0, 0]).count(), 0);
    }
}
