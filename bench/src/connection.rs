//! A connection of the load generator, in clear text or in TLS.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;

use crate::tls::{NAME, Tally};

/// Nothing takes this long, unless it has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// One read from a socket may bring several TLS records.
const READ_AHEAD: usize = 128 * 1024;

/// A connection.
pub(crate) enum Connection {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

/// A socket that is read in large pieces.
pub(crate) struct Socket(BufReader<TcpStream>);

impl Connection {
    /// Connects, and shakes hands when a configuration is given.
    pub(crate) fn open(to: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let socket = TcpStream::connect_timeout(&to, PATIENCE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let Some(config) = tls else { return Ok(Self::Plain(socket)) };
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let client = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(client, Socket(BufReader::with_capacity(READ_AHEAD, socket)));
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self::Tls(Box::new(stream)))
    }

    /// Sends bytes and reads as many.
    pub(crate) fn exchange(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.write_all(bytes)?;
        self.flush()?;
        self.read_exact(bytes)
    }

    /// Counts its handshake, if it made one.
    pub(crate) fn count(&self, tally: &mut Tally) {
        if let Self::Tls(stream) = self {
            tally.add(&stream.conn);
        }
    }

    /// Says that nothing more is sent, and waits until the other side has closed too: what it does for that belongs to
    /// the connection's price.
    pub(crate) fn close(mut self) -> io::Result<()> {
        if let Self::Tls(stream) = &mut self {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        let mut socket = match &self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.sock.0.get_ref(),
        };
        // Either end of a connection that has done its work may be the first to go.
        let _ = socket.shutdown(Shutdown::Write);
        let mut rest = [0; 512];
        loop {
            match socket.read(&mut rest) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn write_vectored(&mut self, bytes: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.get_mut().write_vectored(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
