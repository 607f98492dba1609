//! What goes on behind the upgrade: some protocols have more to say about TLS than its beginning.

use std::io;
use std::sync::atomic::Ordering;

use tokio::io::{Interest, Ready};
use tokio::net::TcpStream;

use crate::error::ConnectionError;
use crate::network::Network;
use crate::relay::{Listener, Traffic, shut};

/// Bytes on their way to one side from which on nobody is listened to who makes them more.
const ENOUGH: usize = 64 * 1024;
/// The same for what a side makes for itself: it must be heard while it does not read.
const TOO_MUCH: usize = 2 * ENOUGH;
/// Bytes read at once.
const PIECE: usize = 4096;

/// What is to be passed on.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Said {
    pub(crate) to_program: Vec<u8>,
    pub(crate) to_network: Vec<u8>,
}

/// A conversation that is listened to, and joined, in the program's stead. It sees all bytes, in pieces of any size, and
/// does no I/O. An error ends the connection.
pub(crate) trait Dialogue: Send {
    /// What the program said; nothing: it has closed.
    fn program(&mut self, bytes: &[u8]) -> Result<Said, String>;
    /// What the peer said; nothing: it has closed.
    fn network(&mut self, bytes: &[u8]) -> Result<Said, String>;
    /// Whether the program is listened to; otherwise it waits for the peer.
    fn hears_program(&self) -> bool {
        true
    }
    /// Whether the peer is listened to.
    fn hears_network(&self) -> bool {
        true
    }
    /// Whether nothing remains to be said: the bytes pass as they are from now on.
    fn is_over(&self) -> bool {
        false
    }
}

/// One side of a conversation.
#[derive(Default)]
struct Side {
    /// What it has yet to be told.
    waiting: Vec<u8>,
    /// It has closed.
    closed: bool,
    /// The close of the other side has been passed on to it.
    told: bool,
}

impl Side {
    /// What is to be waited for on its socket.
    fn interest(&self, hears: bool, writes: bool) -> Option<Interest> {
        match (hears && !self.closed, writes) {
            (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
            (true, false) => Some(Interest::READABLE),
            (false, true) => Some(Interest::WRITABLE),
            (false, false) => None,
        }
    }
}

/// Carries a conversation until it is over, and the relay goes on from there, or until both sides have closed.
pub(crate) async fn converse(
    dialogue: &mut dyn Dialogue,
    program: &TcpStream,
    network: &mut Network,
    traffic: &Traffic,
    first: Vec<u8>,
    listener: &Listener<'_>,
) -> Result<(), ConnectionError> {
    listener(false, &first);
    let (mut near, mut far) = (Side { waiting: first, ..Side::default() }, Side::default());
    // What came with the end of the handshake.
    let mut early = network.take()?;
    loop {
        let room = |own: &Side, other: &Side| other.waiting.len() < ENOUGH && own.waiting.len() < TOO_MUCH;
        let heard = match early.take() {
            Some(early) => Some((false, early)),
            None => {
                let hears = dialogue.hears_program() && room(&near, &far);
                let near_interest = near.interest(hears, !near.waiting.is_empty());
                let hears = dialogue.hears_network() && room(&far, &near);
                let far_interest = far.interest(hears, !far.waiting.is_empty() || !network.has_sent());
                let (is_near, ready) = tokio::select! {
                    ready = ready(program, near_interest), if near_interest.is_some() => (true, ready?),
                    ready = ready(&network.stream, far_interest), if far_interest.is_some() => (false, ready?),
                    // Whoever is waited for has closed.
                    else => return Ok(()),
                };
                if ready.is_writable() && is_near {
                    let written = now(program.try_write(&near.waiting))?;
                    near.waiting.drain(..written);
                    traffic.bytes_in.fetch_add(written as u64, Ordering::Relaxed);
                } else if ready.is_writable() {
                    network.send(&mut far.waiting)?;
                }
                match (ready.is_readable(), is_near) {
                    (true, true) => read(program)?.map(|heard| (true, heard)),
                    (true, false) => {
                        let heard = network.receive()?;
                        if heard.as_ref().is_some_and(|heard| !heard.is_empty()) {
                            early = network.take()?;
                        }
                        heard.map(|heard| (false, heard))
                    }
                    (false, _) => None,
                }
            }
        };
        if let Some((is_near, heard)) = heard {
            let said = if is_near {
                listener(true, &heard);
                traffic.bytes_out.fetch_add(heard.len() as u64, Ordering::Relaxed);
                near.closed = heard.is_empty();
                dialogue.program(&heard)
            } else {
                far.closed = heard.is_empty();
                dialogue.network(&heard)
            };
            let said = said.map_err(ConnectionError::NoUpgrade)?;
            listener(false, &said.to_program);
            near.waiting.extend(said.to_program);
            far.waiting.extend(said.to_network);
        }
        let sent = near.waiting.is_empty() && far.waiting.is_empty() && network.has_sent();
        if dialogue.is_over() && sent {
            return Ok(());
        }
        // A close is passed on when everything before it has been.
        if near.closed && !far.told && far.waiting.is_empty() && dialogue.hears_program() {
            network.close();
            network.send(&mut far.waiting)?;
            far.told = true;
        }
        if far.closed && !near.told && near.waiting.is_empty() {
            near.told = true;
            shut(program)?;
        }
        if far.closed && !dialogue.hears_program() {
            return Err(ConnectionError::NoUpgrade("the other side closed in the middle of it".to_owned()));
        }
        if near.closed && far.closed && sent {
            return Ok(());
        }
    }
}

async fn ready(stream: &TcpStream, interest: Option<Interest>) -> io::Result<Ready> {
    stream.ready(interest.unwrap_or(Interest::READABLE)).await
}

/// What is there; nothing is the close, and `None` that there is nothing after all.
fn read(stream: &TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut piece = vec![0; PIECE];
    match stream.try_read(&mut piece) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        read => {
            piece.truncate(read?);
            Ok(Some(piece))
        }
    }
}

fn now(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        written => written,
    }
}

/// Lines of a conversation, as they become whole.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    /// What has been taken of them.
    taken: usize,
}

impl Lines {
    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.taken));
        self.bytes.extend_from_slice(bytes);
    }

    /// The next line, with its end, which stays the next.
    pub(crate) fn peek(&self) -> Result<Option<&[u8]>, String> {
        const LONGEST: usize = 8192;
        let rest = self.bytes.get(self.taken..).unwrap_or_default();
        match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => Ok(rest.get(..=end)),
            None if rest.len() > LONGEST => Err("a line does not end".to_owned()),
            None => Ok(None),
        }
    }

    /// The next line, with its end.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        let line = self.peek()?.map(<[u8]>::to_vec);
        self.taken += line.as_ref().map_or(0, Vec::len);
        Ok(line)
    }

    /// Whether a whole line is there.
    pub(crate) fn is_waiting(&self) -> bool {
        self.bytes.get(self.taken..).unwrap_or_default().contains(&b'\n')
    }

    /// What is there of a line that is not whole.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        self.bytes.drain(..std::mem::take(&mut self.taken));
        std::mem::take(&mut self.bytes)
    }
}
