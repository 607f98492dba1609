//! The relay between a program and the network: both directions, half closes passed on, aborts passed on as aborts.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;

use crate::error::ConnectionError;

/// Bytes held for each direction.
const BUFFER: usize = 16 * 1024;

/// Relays until both directions are closed. On an error both sides are reset before this returns.
pub(crate) async fn relay<N>(program: &mut Counted, network: &mut N) -> Result<(), ConnectionError>
where
    N: AsyncRead + AsyncWrite + Unpin + AsRef<TcpStream>,
{
    match copy_bidirectional_with_sizes(program, network, BUFFER, BUFFER).await {
        Ok(_) => Ok(()),
        Err(error) => {
            abort(&program.stream);
            abort(network.as_ref());
            // rustls reports a TCP end without close_notify so.
            Err(if error.kind() == io::ErrorKind::UnexpectedEof {
                ConnectionError::Truncated
            } else {
                ConnectionError::Aborted(error)
            })
        }
    }
}

/// Makes the socket's close a RST.
pub(crate) fn abort(stream: &TcpStream) {
    // A socket that is gone already needs no reset.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// The program's stream, counting what passes.
pub(crate) struct Counted {
    pub(crate) stream: TcpStream,
    /// Bytes written to the program.
    pub(crate) bytes_in: Arc<AtomicU64>,
    /// Bytes read from the program.
    pub(crate) bytes_out: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.bytes_out.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.bytes_in.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The network's stream: TLS, or as it is for connections that pass unchanged.
pub(crate) enum Network {
    Tls(Box<tokio_rustls::TlsStream<TcpStream>>),
    Unchanged(TcpStream),
}

impl AsRef<TcpStream> for Network {
    fn as_ref(&self) -> &TcpStream {
        match self {
            Self::Tls(stream) => stream.get_ref().0,
            Self::Unchanged(stream) => stream,
        }
    }
}

impl AsyncRead for Network {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unchanged(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Network {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unchanged(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Unchanged(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unchanged(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
