//! Orders of programs, carried out: TLS started and stopped under a connection that stays.

use std::time::Duration;

use policies::parameters::Role;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::control::{Order, Refusal, Requests};
use crate::environment::Environment;
use crate::error::ConnectionError;
use crate::handshake::shake_hands;
use crate::registry::Session;
use crate::relay::Network;

/// A TLS record is a header of this many bytes with the length in its last two, and what follows (RFC 8446 section 5.1).
const HEADER: usize = 5;
/// Longest record: the largest fragment that encryption may make of 2^14 bytes.
const LONGEST: usize = (1 << 14) + 2048;

/// Why an order was not carried out.
enum Failure {
    /// The connection goes on as it was.
    Refused(Network, Refusal),
    /// It is over.
    Broken(ConnectionError),
}

/// Carries an order out and tells the program. Gives the network's side as it is then; on an error the connection is over.
pub(crate) async fn carry_out(
    order: Order,
    network: Network,
    program: &mut TcpStream,
    environment: &Environment,
    session: &Session,
) -> Result<Network, ConnectionError> {
    let Order { requests, reply } = order;
    let (answer, result) = match apply(requests, network, program, environment, session).await {
        Ok(network) => (Ok(()), Ok(network)),
        Err(Failure::Refused(network, refusal)) => (Err(refusal), Ok(network)),
        Err(Failure::Broken(error)) => {
            let refusal = Refusal::new("ECONNRESET", "JrTTLSHandshakeFailed", error.to_string());
            (Err(refusal), Err(error))
        }
    };
    // A program that has gone needs no answer.
    let _ = reply.send(answer);
    result
}

async fn apply(
    requests: Requests,
    mut network: Network,
    program: &mut TcpStream,
    environment: &Environment,
    session: &Session,
) -> Result<Network, Failure> {
    let refused =
        |network, errno, reason, message: &str| Err(Failure::Refused(network, Refusal::new(errno, reason, message)));
    if requests.init {
        if !network.is_clear() {
            return refused(network, "EALREADY", "JrAlreadyActive", "TLS is active already");
        }
        return start(network, requests.allow_timeout, environment, session).await;
    }
    if network.is_clear() {
        return refused(network, "EOPNOTSUPP", "", "TLS is not active");
    }
    if requests.stop {
        let stream = stop(network, program).await.map_err(Failure::Broken)?;
        session.negotiated.store(None);
        return Ok(Network::unchanged(stream));
    }
    if requests.reset_session {
        if environment.key.parameters.role != Role::Client {
            return refused(
                network,
                "EOPNOTSUPP",
                "",
                "a server's tickets are with its clients; they end by their timeout",
            );
        }
        environment.forget(session.endpoints.remote);
    }
    if requests.reset_cipher {
        if session.negotiated().is_none_or(|negotiated| negotiated.version != 0x0304) {
            return refused(network, "EOPNOTSUPP", "", "keys are renewed in TLS 1.3 only");
        }
        network.renew_keys().map_err(|error| Failure::Broken(ConnectionError::Broken(error)))?;
    }
    Ok(network)
}

async fn start(
    network: Network,
    allow_timeout: bool,
    environment: &Environment,
    session: &Session,
) -> Result<Network, Failure> {
    let parameters = &environment.key.parameters;
    let (stream, _) = network.into_parts();
    if allow_timeout && parameters.role != Role::Client && parameters.handshake_timeout > 0 {
        let seconds = parameters.handshake_timeout;
        if timeout(Duration::from_secs(seconds.into()), stream.readable()).await.is_err() {
            let message = format!(
                "the peer did not begin its handshake within {seconds} seconds; the connection stays in clear text"
            );
            return Err(Failure::Refused(Network::unchanged(stream), Refusal::new("ETIMEDOUT", "", message)));
        }
    }
    let shaken = Box::pin(shake_hands(stream, environment, session.endpoints.remote)).await;
    let (network, negotiated) = shaken.map_err(Failure::Broken)?;
    session.negotiated.store(Some(negotiated.into()));
    Ok(network)
}

/// Ends TLS on both sides; what the peer sent under it before still reaches the program. The peer has as long as a
/// handshake may take.
async fn stop(network: Network, program: &mut TcpStream) -> Result<TcpStream, ConnectionError> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let (mut stream, tls) = network.into_parts();
    let Some(mut tls) = tls else { return Ok(stream) };
    tls.send_close_notify();
    let ending = async {
        loop {
            let mut out = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut out)?;
            }
            stream.write_all(&out).await?;
            // One record at a time: what follows the peer's close_notify is clear text.
            let mut record = vec![0; HEADER];
            stream.read_exact(&mut record).await?;
            let length = record.get(HEADER - 2..).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_be_bytes);
            let length = usize::from(length);
            if length > LONGEST {
                return Err(ConnectionError::Broken(rustls::Error::General("a record that is too long".to_owned())));
            }
            record.resize(HEADER + length, 0);
            stream.read_exact(record.get_mut(HEADER..).unwrap_or_default()).await?;
            tls.read_tls(&mut record.as_slice())?;
            let state = tls.process_new_packets().map_err(ConnectionError::Broken)?;
            let mut plain = vec![0; state.plaintext_bytes_to_read()];
            std::io::Read::read_exact(&mut tls.reader(), &mut plain)?;
            program.write_all(&plain).await?;
            if state.peer_has_closed() {
                return Ok(stream);
            }
        }
    };
    timeout(PATIENCE, ending).await.unwrap_or(Err(ConnectionError::Truncated))
}
