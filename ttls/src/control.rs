//! Connections controlled by their programs: what SIOCTTLSCTL is on z/OS (*IP Programmer's Guide and Reference*, "SIOCTTLSCTL").
//!
//! A program asks about its connection, and where its rule says `ApplicationControlled On` starts TLS, stops it, or renews
//! keys. An order reaches the connection's relay, which first passes on what the program sent before.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use policies::parameters::{ClientAuth, Role};
use policies::{Connection, Direction};
use serde::{Deserialize, Serialize};
use stack::{Endpoints, Socket, State, socket};
use tokio::sync::{mpsc, oneshot};

use crate::engine::Shared;
use crate::registry::Session;

/// What a program can order.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Request {
    /// `TTLS_INIT_CONNECTION`: shake hands.
    InitConnection,
    /// `TTLS_ALLOW_HSTIMEOUT`, with the former, in server roles: a peer that does not begin its handshake in time keeps its
    /// connection, in clear text.
    AllowHstimeout,
    /// `TTLS_RESET_SESSION`: later connections shake hands in full.
    ResetSession,
    /// `TTLS_RESET_CIPHER`: new keys (TLS 1.3).
    ResetCipher,
    /// `TTLS_STOP_CONNECTION`: close_notify, then clear text.
    StopConnection,
}

/// Why a request was not carried out: z/OS's errno and its junior.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// `EACCES`, `EALREADY`, …
    pub errno: &'static str,
    /// `JrConnDeniedPolicy`, …; empty where z/OS has none of its own.
    pub reason: &'static str,
    /// In words.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(errno: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { errno, reason, message: message.into() }
    }

    pub(crate) fn gone() -> Self {
        Self::new("EPIPE", "", "the connection is no longer established")
    }
}

/// A set of requests that go together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Requests {
    pub(crate) init: bool,
    pub(crate) allow_timeout: bool,
    pub(crate) reset_session: bool,
    pub(crate) reset_cipher: bool,
    pub(crate) stop: bool,
}

impl Requests {
    /// Checks which requests go together.
    pub(crate) fn new(requests: &[Request]) -> Result<Self, Refusal> {
        let has = |one: Request| requests.contains(&one);
        let wanted = Self {
            init: has(Request::InitConnection),
            allow_timeout: has(Request::AllowHstimeout),
            reset_session: has(Request::ResetSession),
            reset_cipher: has(Request::ResetCipher),
            stop: has(Request::StopConnection),
        };
        let resets = wanted.reset_session || wanted.reset_cipher;
        let clash = if wanted.init && (resets || wanted.stop) {
            Some("INIT_CONNECTION goes with neither STOP_CONNECTION nor a reset")
        } else if wanted.stop && resets {
            Some("STOP_CONNECTION goes with no reset")
        } else if wanted.allow_timeout && !wanted.init {
            Some("ALLOW_HSTIMEOUT goes with INIT_CONNECTION only")
        } else {
            None
        };
        clash.map_or(Ok(wanted), |message| Err(Refusal::new("EPERM", "", message)))
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// Requests on their way to a connection.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) requests: Requests,
    pub(crate) reply: oneshot::Sender<Result<(), Refusal>>,
}

/// A connection's end of the way orders come.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) orders: mpsc::Receiver<Order>,
    /// An order that came too early: the program's bytes before it were still on their way.
    pub(crate) waiting: Option<Order>,
    /// How long a peer's handshake waits for the program to order its own; 0 where peers do not begin.
    pub(crate) patience: Duration,
}

/// The other end.
pub(crate) type Orders = mpsc::Sender<Order>;

/// Sends requests to a connection and waits until they are carried out.
pub(crate) async fn order(orders: &Orders, requests: Requests) -> Result<(), Refusal> {
    let (reply, done) = oneshot::channel();
    orders.send(Order { requests, reply }).await.map_err(|_| Refusal::gone())?;
    done.await.unwrap_or_else(|_| Err(Refusal::gone()))
}

/// What a program is told about its connection.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// What the policy has for it.
    pub policy: PolicyStatus,
    /// What it is now.
    pub connection: ConnectionStatus,
    /// The rule.
    pub rule: String,
    /// Its environment action.
    pub environment: String,
    /// Wire number, 0x0303 or 0x0304; none in clear text.
    pub protocol: Option<u16>,
    /// IANA number of the suite.
    pub cipher: Option<u16>,
    /// IANA number of the group.
    pub key_share: Option<u16>,
    /// The role and what a server asks of its clients.
    pub security_type: &'static str,
    /// Whether FIPS 140-3 approves what was negotiated.
    pub fips140: bool,
    /// The user the partner's certificate stands for (`ClientAuthType SAFCheck`).
    pub userid: Option<String>,
    /// The partner's certificate, PEM, when it is asked for and there is one.
    pub certificate: Option<String>,
}

/// `TTLSi_Stat_Policy`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum PolicyStatus {
    /// No rule is for it.
    NoPolicy,
    /// The rule says `TTLSEnabled Off`.
    NotEnabled,
    /// TLS begins and ends by itself.
    Enabled,
    /// The program controls TLS.
    ApplicationControlled,
}

/// `TTLSi_Stat_Conn`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum ConnectionStatus {
    /// Clear text.
    NotSecure,
    /// TLS.
    Secure,
}

/// Answers a program.
pub(crate) async fn serve(
    shared: &Shared,
    ends: Endpoints,
    requests: &[Request],
    certificate: bool,
) -> Result<Answer, Refusal> {
    let requests = Requests::new(requests)?;
    let ends = ends.canonical();
    let session = session_of(shared, ends).await?;
    let rule = session.as_ref().filter(|session| !session.rule.is_empty());
    let Some(session) = rule else {
        if requests.is_empty() {
            return Ok(Answer::without_policy());
        }
        return Err(Refusal::new("EOPNOTSUPP", "", "no AT-TLS rule is for this connection"));
    };
    let environment = session.security.as_ref();
    if !requests.is_empty() {
        match (&session.orders, environment) {
            (Some(orders), _) => order(orders, requests).await?,
            (None, Some(_)) => {
                let message = format!("rule {} does not say ApplicationControlled On", session.rule);
                return Err(Refusal::new("EACCES", "JrConnDeniedPolicy", message));
            }
            (None, None) => return Err(Refusal::new("EOPNOTSUPP", "", "the rule says TTLSEnabled Off")),
        }
    }
    let negotiated = session.negotiated();
    let peer = negotiated.as_ref().and_then(|negotiated| negotiated.peer_certificates.first()).filter(|_| certificate);
    Ok(Answer {
        policy: match (environment, &session.orders) {
            (None, _) => PolicyStatus::NotEnabled,
            (Some(_), None) => PolicyStatus::Enabled,
            (Some(_), Some(_)) => PolicyStatus::ApplicationControlled,
        },
        connection: if negotiated.is_some() { ConnectionStatus::Secure } else { ConnectionStatus::NotSecure },
        rule: session.rule.clone(),
        environment: session.environment.clone(),
        protocol: negotiated.as_ref().map(|negotiated| negotiated.version),
        cipher: negotiated.as_ref().map(|negotiated| negotiated.suite),
        key_share: negotiated.as_ref().and_then(|negotiated| negotiated.group),
        security_type: environment.map_or("Unknown", |role| security_type(*role)),
        fips140: negotiated.as_ref().is_some_and(|negotiated| negotiated.fips),
        userid: negotiated.as_ref().and_then(|negotiated| negotiated.user.clone()),
        certificate: peer.map(|der| pem(der)),
    })
}

/// A program may control its own connections only; root all.
pub(crate) fn check_owner(ends: Endpoints, uid: u32) -> Result<(), Refusal> {
    let socket = connected(ends.canonical())?;
    if uid != 0 && uid != socket.uid {
        return Err(Refusal::new("EACCES", "", "the socket belongs to another user"));
    }
    Ok(())
}

fn connected(ends: Endpoints) -> Result<Socket, Refusal> {
    let unknown = || Refusal::new("ENOTCONN", "", format!("there is no connection {} {}", ends.local, ends.remote));
    let socket = socket::lookup(ends).ok().flatten();
    socket.filter(|socket| matches!(socket.state, State::Established | State::CloseWait)).ok_or_else(unknown)
}

/// The session of a connection. For a program `connect()` is over before its connection has come here, and before a rule
/// that starts TLS at once has done so: where a rule may be for it, this waits for as long as the connection is there.
pub(crate) async fn session_of(shared: &Shared, ends: Endpoints) -> Result<Option<Arc<Session>>, Refusal> {
    /// How often a connection that does not come is looked for.
    const AGAIN: Duration = Duration::from_millis(200);
    /// Ends of this host that no rule captured after all are not waited for.
    const PATIENCE: Duration = Duration::from_secs(10);
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        let begun = shared.registry.begun();
        if let Some(found) = shared.registry.of_program(ends) {
            return Ok(Some(found));
        }
        if !may_be_carried(shared, ends) || tokio::time::Instant::now() > until {
            return Ok(None);
        }
        // The wait ends with the next session, whosever it is.
        let _ = tokio::time::timeout(AGAIN, begun).await;
        connected(ends)?;
    }
}

fn may_be_carried(shared: &Shared, ends: Endpoints) -> bool {
    if shared.primaries.are_with(ends.remote.ip()) {
        return true;
    }
    if shared.retired.load(Ordering::SeqCst) {
        // Nothing comes any more but what is on its way.
        return shared.underway.load(Ordering::SeqCst) > shared.registry.active();
    }
    let installed = shared.installed.load();
    let now = chrono::Local::now().fixed_offset();
    [Direction::Outbound, Direction::Inbound].into_iter().any(|direction| {
        let Endpoints { local, remote } = ends;
        let connection = Connection { local, remote, direction, jobname: None, userid: None };
        let rule = installed.policy.ttls_rule(&connection, now);
        rule.is_some_and(|rule| rule.security.is_some()) || installed.policy.asks_for_owner(&connection, now)
    })
}

/// `TTLSi_Sec_Type`, in words.
fn security_type(role: Role) -> &'static str {
    match role {
        Role::Client => "Client",
        Role::Server(ClientAuth::None) => "Server",
        Role::Server(ClientAuth::PassThru) => "ServerWithClientAuth PassThru",
        Role::Server(ClientAuth::Full) => "ServerWithClientAuth Full",
        Role::Server(ClientAuth::Required) => "ServerWithClientAuth Required",
        Role::Server(ClientAuth::SafCheck) => "ServerWithClientAuth SAFCheck",
    }
}

fn pem(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

impl Answer {
    fn without_policy() -> Self {
        Self {
            policy: PolicyStatus::NoPolicy,
            connection: ConnectionStatus::NotSecure,
            rule: String::new(),
            environment: String::new(),
            protocol: None,
            cipher: None,
            key_share: None,
            security_type: "Unknown",
            fips140: false,
            userid: None,
            certificate: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_requests_do_not_go_together() {
        use Request::{AllowHstimeout, InitConnection, ResetCipher, ResetSession, StopConnection};
        assert!(Requests::new(&[InitConnection, AllowHstimeout]).is_ok());
        assert!(Requests::new(&[ResetCipher, ResetSession]).is_ok());
        assert!(Requests::new(&[]).expect("a query").is_empty());
        for clash in [
            &[InitConnection, ResetCipher][..],
            &[InitConnection, StopConnection],
            &[StopConnection, ResetSession],
            &[AllowHstimeout],
        ] {
            assert_eq!(Requests::new(clash).map_err(|refusal| refusal.errno), Err("EPERM"), "{clash:?}");
        }
    }
}
