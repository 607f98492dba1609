//! What goes on behind the upgrade: some protocols have more to say about TLS than its beginning.

use std::sync::atomic::Ordering;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::error::ConnectionError;
use crate::network::Network;
use crate::relay::Traffic;

/// What is to be passed on.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Said {
    pub(crate) to_program: Vec<u8>,
    pub(crate) to_network: Vec<u8>,
}

/// A conversation that is listened to, and joined, in the program's stead. It sees all bytes, in pieces of any size.
pub(crate) trait Dialogue: Send {
    /// What the program said. An error ends the connection.
    fn program(&mut self, bytes: &[u8]) -> Result<Said, String>;
    /// What the peer said.
    fn network(&mut self, bytes: &[u8]) -> Result<Said, String>;
    /// One side has closed: what is still here of both.
    fn rest(&mut self) -> Said;
    /// Whether nothing remains to be said: the bytes pass as they are from now on.
    fn is_over(&self) -> bool {
        false
    }
}

/// Carries a conversation until it is over or a side closes; the relay goes on from there.
pub(crate) async fn converse(
    dialogue: &mut dyn Dialogue,
    program: &mut TcpStream,
    network: &mut Network,
    traffic: &Traffic,
    first: &[u8],
) -> Result<(), ConnectionError> {
    program.write_all(first).await?;
    while !dialogue.is_over() {
        let heard = tokio::select! {
            heard = read(program) => {
                let heard = heard?;
                traffic.bytes_out.fetch_add(heard.len() as u64, Ordering::Relaxed);
                (!heard.is_empty()).then(|| dialogue.program(&heard))
            }
            heard = network.read() => heard?.map(|heard| dialogue.network(&heard)),
        };
        let closed = heard.is_none();
        let said = heard.unwrap_or_else(|| Ok(dialogue.rest())).map_err(ConnectionError::NoUpgrade)?;
        network.write(&said.to_network).await?;
        program.write_all(&said.to_program).await?;
        traffic.bytes_in.fetch_add(said.to_program.len() as u64, Ordering::Relaxed);
        if closed {
            break;
        }
    }
    Ok(())
}

/// What is there; nothing is the close.
async fn read(stream: &TcpStream) -> std::io::Result<Vec<u8>> {
    const PIECE: usize = 4096;
    loop {
        stream.readable().await?;
        let mut piece = vec![0; PIECE];
        match stream.try_read(&mut piece) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            read => {
                piece.truncate(read?);
                return Ok(piece);
            }
        }
    }
}

/// Lines of a conversation, as they become whole.
#[derive(Debug, Default)]
pub(crate) struct Lines(Vec<u8>);

impl Lines {
    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next line, with its end.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        const LONGEST: usize = 8192;
        match self.0.iter().position(|byte| *byte == b'\n') {
            Some(end) => Ok(Some(self.0.drain(..=end).collect())),
            None if self.0.len() > LONGEST => Err("a line does not end".to_owned()),
            None => Ok(None),
        }
    }

    /// What is there of a line that is not whole, and of those behind it.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}
