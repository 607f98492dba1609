//! Orders of programs, carried out: TLS started and stopped under a connection that stays.

use std::mem::MaybeUninit;
use std::time::Duration;

use policies::parameters::Role;
use socket2::SockRef;
use stack::{Socket, socket};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::control::{Order, Refusal, Requests};
use crate::environment::Environment;
use crate::error::ConnectionError;
use crate::handshake::shake_hands;
use crate::network::Network;
use crate::registry::Session;
use crate::relay::Ways;

/// How long a peer may take to answer our close_notify.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why an order was not carried out.
enum Failure {
    /// The connection goes on as it was.
    Refused(Network, Refusal),
    /// It is over.
    Broken(ConnectionError),
}

/// The program's end of its connection, as it is now.
fn program_socket(session: &Session) -> Option<Socket> {
    socket::lookup(session.program?).ok().flatten()
}

/// Whether everything the program sent before its order has been read here: nothing of it is on the way, and nothing waits.
pub(crate) fn has_read_all(session: &Session, program: &TcpStream) -> bool {
    let on_the_way = program_socket(session).is_some_and(|socket| socket.unacknowledged > 0);
    let waits = SockRef::from(program).peek(&mut [MaybeUninit::uninit(); 1]).is_ok_and(|read| read > 0);
    !on_the_way && !waits
}

/// Carries an order out and tells the program. Gives the network's side as it is then; on an error the connection is over.
pub(crate) async fn carry_out(
    order: Order,
    network: Network,
    ways: &mut Ways,
    environment: &Environment,
    session: &Session,
) -> Result<Network, ConnectionError> {
    let Order { requests, reply } = order;
    let (answer, result) = match apply(requests, network, ways, environment, session).await {
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
    ways: &mut Ways,
    environment: &Environment,
    session: &Session,
) -> Result<Network, Failure> {
    let refused =
        |network, errno, reason, message: &str| Err(Failure::Refused(network, Refusal::new(errno, reason, message)));
    if requests.init {
        if !network.is_clear() {
            return refused(network, "EALREADY", "JrAlreadyActive", "TLS is active already");
        }
        // What came in clear text must not be read as if TLS had protected it.
        let unread = program_socket(session).is_some_and(|socket| socket.unread > 0);
        if unread || ways.owes_program() {
            return Err(Failure::Broken(ConnectionError::Unread));
        }
        return start(network, requests.allow_timeout, environment, session).await;
    }
    if network.is_clear() {
        return refused(network, "EOPNOTSUPP", "", "TLS is not active");
    }
    if requests.stop {
        let stopped = timeout(PATIENCE, network.stop(ways.for_program())).await;
        let stream = stopped.unwrap_or(Err(ConnectionError::Truncated)).map_err(Failure::Broken)?;
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
    let stream = network.into_stream();
    if allow_timeout && parameters.role != Role::Client && parameters.handshake_timeout > 0 {
        let seconds = parameters.handshake_timeout;
        if timeout(Duration::from_secs(seconds.into()), stream.readable()).await.is_err() {
            let message = format!(
                "the peer did not begin its handshake within {seconds} seconds; the connection stays in clear text"
            );
            return Err(Failure::Refused(Network::unchanged(stream), Refusal::new("ETIMEDOUT", "", message)));
        }
    }
    let shaken = Box::pin(shake_hands(stream, environment, session.endpoints.remote, session.checked_port())).await;
    let (network, negotiated) = shaken.map_err(Failure::Broken)?;
    session.negotiated.store(Some(negotiated.into()));
    Ok(network)
}
