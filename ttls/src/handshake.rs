//! The handshake on the network leg, bounded by AT-TLS's two intervals.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::{CommonState, ProtocolVersion};
use rustls_pki_types::UnixTime;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::environment::{Environment, Handshake};
use crate::error::ConnectionError;
use crate::fips::fips_module;
use crate::network::Network;
use crate::records::Records;
use crate::registry::Negotiated;
use crate::revocation::RevocationError;
use crate::verify::{check_dates, unacceptable};

/// The handshake may take this many times `HandshakeTimeout`, once the peer has begun.
pub(crate) const COMPLETION: u32 = 10;

/// Shakes hands as the environment says. A failed handshake closes the stream, after the alert that says why.
///
/// `port` is the local one, where a client's user has to be permitted it. `HandshakeTimeout` bounds the time to the peer's first
/// bytes; ten times as long may pass to the end.
pub(crate) async fn shake_hands(
    stream: TcpStream,
    environment: &Environment,
    destination: SocketAddr,
    port: u16,
) -> Result<(Network, Negotiated), ConnectionError> {
    let kind = environment.handshake(destination)?;
    let heard = Arc::new(AtomicBool::new(false));
    let stream = Heard { stream, heard: Arc::clone(&heard), records: Records::default() };
    let handshake = async {
        match kind {
            Handshake::Client(config, name) => {
                let connect = TlsConnector::from(config).connect(name, stream).into_fallible();
                connect.await.map(TlsStream::from)
            }
            Handshake::Server(config) => {
                TlsAcceptor::from(config).accept(stream).into_fallible().await.map(TlsStream::from)
            }
        }
    };
    let seconds = environment.key.parameters.handshake_timeout;
    let stream = bounded(seconds, &heard, handshake).await?.map_err(|(error, _)| ConnectionError::Handshake(error))?;
    let client = matches!(stream, TlsStream::Client(_));
    let state = stream.get_ref().1;
    let resumed = state.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
    let chain = state.peer_certificates().unwrap_or_default();
    if resumed && environment.verifies_peers() {
        check_dates(chain, UnixTime::now()).map_err(|error| {
            environment.forget(destination);
            ConnectionError::NoLongerGood(error)
        })?;
    }
    environment.check_revocation(chain).await.map_err(|reason| {
        // The session with the server is as bad as its certificate.
        environment.forget(destination);
        match reason {
            RevocationError::Revoked { .. } | RevocationError::NoPath if resumed => {
                ConnectionError::NoLongerGood(unacceptable(&reason))
            }
            reason => ConnectionError::Revocation(reason),
        }
    })?;
    // Of a resumed session too: users are revoked, and certificates taken from them.
    let user = environment.client_user(chain, port)?;
    if let Some(reason) = environment.closed() {
        return Err(ConnectionError::RingClosed(reason.as_ref().clone()));
    }
    environment.count(resumed);
    let negotiated = Negotiated {
        version: state.protocol_version().map(u16::from).unwrap_or_default(),
        suite: state.negotiated_cipher_suite().map(|suite| u16::from(suite.suite())).unwrap_or_default(),
        group: state.negotiated_key_exchange_group().map(|group| u16::from(group.name())),
        resumed,
        client,
        fips: fips_module() && is_approved(state, environment),
        user,
        peer_certificates: state
            .peer_certificates()
            .map(|chain| chain.iter().map(|certificate| certificate.to_vec()).collect())
            .unwrap_or_default(),
    };
    let (heard, connection) = match stream {
        TlsStream::Client(stream) => {
            let (stream, connection) = stream.into_inner();
            (stream, rustls::Connection::Client(connection))
        }
        TlsStream::Server(stream) => {
            let (stream, connection) = stream.into_inner();
            (stream, rustls::Connection::Server(connection))
        }
    };
    let network = Network::tls(heard.stream, connection);
    let stops = environment.key.parameters.application_controlled;
    Ok((if stops { network.stopping(heard.records) } else { network }, negotiated))
}

/// Whether a connection uses nothing but what FIPS 140-3 approves. TLS 1.2 without the extended master secret does not, and
/// only an environment that demands it is known to have it.
fn is_approved(state: &CommonState, environment: &Environment) -> bool {
    let master_secret = state.protocol_version() == Some(ProtocolVersion::TLSv1_3)
        || environment.is_fips()
        || environment.key.parameters.require_extended_master_secret;
    master_secret
        && state.negotiated_cipher_suite().is_some_and(|suite| suite.fips())
        && state.negotiated_key_exchange_group().map_or_else(|| environment.is_fips(), |group| group.fips())
}

/// Runs a handshake within the two intervals; 0 seconds means no limit.
async fn bounded<T>(
    seconds: u32,
    heard: &AtomicBool,
    handshake: impl Future<Output = T>,
) -> Result<T, ConnectionError> {
    if seconds == 0 {
        return Ok(handshake.await);
    }
    let mut handshake = pin!(handshake);
    let first = Duration::from_secs(seconds.into());
    if let Ok(done) = tokio::time::timeout(first, &mut handshake).await {
        return Ok(done);
    }
    if !heard.load(Ordering::Relaxed) {
        return Err(ConnectionError::HandshakeNotBegun(seconds));
    }
    let rest = first * (COMPLETION - 1);
    let incomplete = |_| ConnectionError::HandshakeTimeout(seconds.saturating_mul(COMPLETION));
    tokio::time::timeout(rest, handshake).await.map_err(incomplete)
}

/// A stream that notes when the peer's first bytes have come.
struct Heard {
    stream: TcpStream,
    heard: Arc<AtomicBool>,
    records: Records,
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if let Some(new) = buffer.filled().get(before..).filter(|new| !new.is_empty()) {
            self.heard.store(true, Ordering::Relaxed);
            self.records.pass(new);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
