//! The network's side of a connection: a TCP stream with TLS on it, or without.

use std::io::{self, BufRead as _, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::error::ConnectionError;
use crate::records::Records;

/// Copies up to this size are made with vector registers. Beyond 2 KiB glibc uses `rep movsb`, which some AMD processors
/// do at a third of the speed where the two places lie badly to each other (glibc bug 30994).
const SMALL_COPY: usize = 1024;

/// The network's side: TLS, or as it is for connections that pass unchanged.
pub(crate) struct Network {
    pub(crate) stream: TcpStream,
    pub(crate) tls: Option<Box<rustls::Connection>>,
    /// Where TLS may end before the connection does: where its records end.
    pub(crate) stops: Option<Box<Stops>>,
}

/// What is known of the end of TLS on a connection that goes on.
#[derive(Default)]
pub(crate) struct Stops {
    records: Records,
    /// The peer has sent its close_notify.
    pub(crate) closed: bool,
    /// What was read behind it.
    pub(crate) behind: Vec<u8>,
}

impl Network {
    /// After its handshake.
    pub(crate) fn tls(stream: TcpStream, mut connection: rustls::Connection) -> Self {
        // What is encrypted at once is bounded by what is read at once.
        connection.set_buffer_limit(None);
        Self { stream, tls: Some(Box::new(connection)), stops: None }
    }

    /// The same on a connection whose TLS may end before it does: `records` is where in its records the peer is.
    pub(crate) fn stopping(mut self, records: Records) -> Self {
        self.stops = Some(Box::new(Stops { records, ..Stops::default() }));
        self
    }

    pub(crate) fn unchanged(stream: TcpStream) -> Self {
        Self { stream, tls: None, stops: None }
    }

    /// Whether everything of TLS has been handed to the kernel.
    pub(crate) fn has_sent(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| !tls.wants_write())
    }

    /// Whether it is in clear text.
    pub(crate) fn is_clear(&self) -> bool {
        self.tls.is_none()
    }

    /// New keys for what is sent, and a request to the peer for its own (TLS 1.3).
    pub(crate) fn renew_keys(&mut self) -> Result<(), rustls::Error> {
        match &mut self.tls {
            Some(tls) => tls.refresh_traffic_keys(),
            None => Ok(()),
        }
    }

    /// Ends TLS on both sides: sends close_notify and waits for the peer's. Gives the stream in clear text again; what the
    /// peer sent before and behind its own comes to the program in this order.
    pub(crate) async fn stop(self, to_program: &mut Vec<u8>) -> Result<TcpStream, ConnectionError> {
        /// Bytes a peer may send before it closes.
        const MOST: usize = 1 << 20;
        let Self { mut stream, tls, stops } = self;
        let (Some(mut tls), Some(mut stops)) = (tls, stops) else { return Ok(stream) };
        tls.send_close_notify();
        loop {
            let mut out = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut out)?;
            }
            stream.write_all(&out).await?;
            if stops.closed {
                to_program.append(&mut stops.behind);
                return Ok(stream);
            }
            // Never beyond a record: what follows the peer's close_notify is clear text.
            let missing = match stops.records.missing() {
                0 => Records::HEADER,
                missing => missing,
            };
            let mut piece = vec![0; missing];
            stream.read_exact(&mut piece).await?;
            stops.closed = decrypt(&mut tls, &piece, to_program).map_err(ConnectionError::Broken)?;
            stops.records.pass(&piece);
            if to_program.len() > MOST {
                return Err(ConnectionError::Truncated);
            }
        }
    }

    /// What was decrypted with the end of the handshake, if anything was; empty: the peer has closed.
    pub(crate) fn take(&mut self) -> Result<Option<Vec<u8>>, ConnectionError> {
        let mut plain = Vec::new();
        let closed = match &mut self.tls {
            Some(tls) => decrypt(tls, &[], &mut plain).map_err(ConnectionError::Broken)?,
            None => false,
        };
        Ok((closed || !plain.is_empty()).then_some(plain))
    }

    /// Reads what is there, of the payload; empty: the peer has closed. Nothing may be there.
    pub(crate) fn receive(&mut self) -> Result<Option<Vec<u8>>, ConnectionError> {
        const PIECE: usize = 4096;
        // A close behind what was read the last time.
        if let Some(early) = self.take()? {
            return Ok(Some(early));
        }
        let mut piece = vec![0; PIECE];
        let read = match self.stream.try_read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            read => read?,
        };
        piece.truncate(read);
        let Some(tls) = &mut self.tls else { return Ok(Some(piece)) };
        if read == 0 {
            return Err(ConnectionError::Truncated);
        }
        let mut plain = Vec::new();
        match decrypt(tls, &piece, &mut plain) {
            Ok(closed) => Ok((closed || !plain.is_empty()).then_some(plain)),
            Err(error) => {
                // The alert that says so; a peer that does not take it at once does without.
                let _ = self.send(&mut Vec::new());
                Err(ConnectionError::Broken(error))
            }
        }
    }

    /// Sends what the kernel takes now of what TLS has to send, and of these bytes, which are taken off.
    pub(crate) fn send(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        const PIECE: usize = 16 * 1024;
        loop {
            if let Some(tls) = &mut self.tls {
                while tls.wants_write() {
                    match tls.write_tls(&mut Ready(&self.stream)) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                        result => result?,
                    };
                }
            }
            if bytes.is_empty() {
                return Ok(());
            }
            let piece = bytes.get(..PIECE.min(bytes.len())).unwrap_or_default();
            let written = match &mut self.tls {
                Some(tls) => tls.writer().write(piece)?,
                None => match self.stream.try_write(piece) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    written => written?,
                },
            };
            bytes.drain(..written);
        }
    }

    /// Has the peer told that nothing more comes: the next `send` does, or for clear text this.
    pub(crate) fn close(&mut self) {
        match &mut self.tls {
            Some(tls) => tls.send_close_notify(),
            // A peer that is gone needs none.
            None => drop(socket2::SockRef::from(&self.stream).shutdown(std::net::Shutdown::Write)),
        }
    }

    /// The stream, in clear text.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }
}

impl Stops {
    /// Decrypts what came, record by record, up to the peer's close_notify.
    pub(crate) fn decrypt(
        &mut self,
        tls: &mut rustls::Connection,
        mut bytes: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<bool, rustls::Error> {
        while !bytes.is_empty() && !self.closed {
            let (record, rest) = bytes.split_at(self.records.next(bytes).min(bytes.len()));
            self.closed = decrypt(tls, record, plain)?;
            bytes = rest;
        }
        self.behind.extend_from_slice(bytes);
        Ok(self.closed)
    }
}

/// Decrypts what came, all of it; tells whether the peer has closed (close_notify).
pub(crate) fn decrypt(
    tls: &mut rustls::Connection,
    mut bytes: &[u8],
    plain: &mut Vec<u8>,
) -> Result<bool, rustls::Error> {
    loop {
        let state = tls.process_new_packets();
        // What came whole before a break is there too.
        let mut reader = tls.reader();
        while let Ok(chunk) = reader.fill_buf() {
            let length = chunk.len();
            if length == 0 {
                break;
            }
            for part in chunk.chunks(SMALL_COPY) {
                plain.extend_from_slice(part);
            }
            reader.consume(length);
        }
        let state = state?;
        // What follows a close_notify is no data (RFC 8446, section 6.1).
        if state.peer_has_closed() {
            return Ok(true);
        }
        if bytes.is_empty() {
            return Ok(false);
        }
        tls.read_tls(&mut bytes).map_err(|error| rustls::Error::General(error.to_string()))?;
    }
}

/// Writes what TLS has to send.
pub(crate) fn poll_encrypted(
    context: &mut Context<'_>,
    stream: &mut TcpStream,
    tls: &mut rustls::Connection,
) -> Poll<io::Result<()>> {
    while tls.wants_write() {
        match tls.write_tls(&mut Sink { context, stream }) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            result => result?,
        };
    }
    Poll::Ready(Ok(()))
}

/// A stream as rustls writes to it.
struct Sink<'a, 'b> {
    context: &'a mut Context<'b>,
    stream: &'a mut TcpStream,
}

impl io::Write for Sink<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        now(Pin::new(&mut *self.stream).poll_write(self.context, bytes))
    }

    fn write_vectored(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        now(Pin::new(&mut *self.stream).poll_write_vectored(self.context, pieces))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn now<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// A stream that takes what it can now.
struct Ready<'a>(&'a TcpStream);

impl io::Write for Ready<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
