//! The control API: HTTP and JSON on a Unix socket. Who calls is known by SO_PEERCRED; SAF is asked for every request.

mod audit;
mod saf;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use ::saf::{Access, CommandResult, DataSets, Decision, Mapped, NoDecision, Userid};
use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use axum::{Json, Router};
use chrono::{DateTime, FixedOffset};
use policies::Connection;
use serde::{Deserialize, Serialize};
use serde_json::json;
use stack::{ConnectionId, Endpoints, StackError, owner, socket};
use tokio::net::UnixListener;
use tracing::{info, warn};

use crate::daemon::Daemon;
use crate::report;
use crate::resources;
use crate::takeover;

pub(crate) use self::saf::Query;

/// Event code qualifiers of JOBINIT.
const REVOKED_USER: u8 = 6;
const UNDEFINED_USER: u8 = 9;
/// VERIFY's return code for a user RACF does not know.
const UNDEFINED: u8 = 4;

/// The caller's uid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(Option<u32>);

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(stream.io().peer_cred().ok().map(|credentials| credentials.uid()))
    }
}

type Shared = State<Arc<Daemon>>;

/// A command line for `console`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Line {
    pub(crate) line: String,
}

/// A TSO command line, with what the data sets hold that it names.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct TsoLine {
    pub(crate) line: String,
    #[serde(default, with = "bytes")]
    pub(crate) inputs: DataSets,
}

/// What a TSO command answers.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct TsoAnswer {
    pub(crate) code: u8,
    pub(crate) lines: Vec<String>,
    /// A data set the command wants to read: it is to be sent again with that.
    pub(crate) wants: Option<String>,
    /// Data sets it makes, which the caller writes.
    #[serde(default, with = "bytes")]
    pub(crate) outputs: DataSets,
    /// Those of them that are for their owner's eyes only.
    #[serde(default)]
    pub(crate) secret: Vec<String>,
}

impl From<CommandResult> for TsoAnswer {
    fn from(result: CommandResult) -> Self {
        let CommandResult { code, lines, wants, outputs, record: _ } = result;
        let secret = outputs.iter().filter(|output| output.secret).map(|output| output.name.clone()).collect();
        let outputs = outputs.into_iter().map(|output| (output.name, output.content)).collect();
        Self { code, lines, wants, outputs, secret }
    }
}

/// What data sets hold, as base64.
mod bytes {
    use ::saf::DataSets;
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(sets: &DataSets, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(sets.iter().map(|(name, content)| (name, BASE64_STANDARD.encode(content))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DataSets, D::Error> {
        let texts = std::collections::HashMap::<String, String>::deserialize(deserializer)?;
        let decode = |(name, text): (String, String)| {
            Ok((name, BASE64_STANDARD.decode(text).map_err(|_| D::Error::custom("a data set is not base64"))?))
        };
        texts.into_iter().map(decode).collect()
    }
}

/// Options of `pagent refresh`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Refresh {
    pub(crate) force: bool,
}

/// Options of `pagent stop`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Stop {
    pub(crate) release: bool,
}

/// A connection to explain.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ExplainRequest {
    pub(crate) connection: Connection,
    /// When; now, if it is not said.
    pub(crate) at: Option<DateTime<FixedOffset>>,
}

/// What a program asks of its connection.
#[derive(Debug, Deserialize)]
struct ControlRequest {
    /// The ends as getsockname and getpeername give them, `address:port` or `[address]:port`.
    local: SocketAddr,
    remote: SocketAddr,
    #[serde(default)]
    requests: Vec<ttls::Request>,
    /// Whether the partner's certificate is wanted.
    #[serde(default)]
    certificate: bool,
}

pub(crate) fn router(daemon: Arc<Daemon>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/connections", get(connections))
        .route("/v1/policy", get(policy))
        .route("/v1/explain", post(explain))
        .route("/v1/ttls", post(control))
        .route("/v1/refresh", post(refresh))
        .route("/v1/stop", post(stop))
        .route("/v1/tso", post(tso))
        .route("/v1/logon", post(logon))
        .route("/v1/saf", post(saf::ask))
        .route("/v1/console", post(console))
        .route("/v1/zert", get(zert))
        .with_state(daemon)
}

/// A request that was not carried out.
pub(crate) struct Denied {
    status: StatusCode,
    message: String,
}

impl Denied {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.message }))).into_response()
    }
}

async fn status(State(daemon): Shared, peer: ConnectInfo<Peer>) -> Result<impl IntoResponse, Denied> {
    let resource = format!("EZB.NETSTAT.{}.{}.CONFIG", daemon.configuration.sysname, daemon.configuration.image);
    let _authorized = authorize(&daemon, peer.0, "SERVAUTH", &resource, Access::Read)?;
    Ok(Json(daemon.status().await))
}

async fn zert(State(daemon): Shared, peer: ConnectInfo<Peer>) -> Result<impl IntoResponse, Denied> {
    let _authorized = authorize(&daemon, peer.0, "OPERCMDS", "MVS.DISPLAY.TCPIP", Access::Read)?;
    let disabled = || Denied::new(StatusCode::NOT_FOUND, "zERT is not enabled: [zert] enabled = false in pagent.toml");
    daemon.monitor.as_ref().map(|monitor| Json(monitor.statistics())).ok_or_else(disabled)
}

async fn connections(State(daemon): Shared, peer: ConnectInfo<Peer>) -> Result<impl IntoResponse, Denied> {
    let resource = format!("EZB.NETSTAT.{}.{}.TTLS", daemon.configuration.sysname, daemon.configuration.image);
    let _authorized = authorize(&daemon, peer.0, "SERVAUTH", &resource, Access::Read)?;
    let mut sessions = takeover::connections(&daemon).await;
    sessions.extend(daemon.engine.sessions().iter().map(|session| json!(session.as_ref())));
    Ok(Json(sessions))
}

async fn policy(State(daemon): Shared, peer: ConnectInfo<Peer>) -> Result<impl IntoResponse, Denied> {
    authorize_pasearch(&daemon, peer.0)?;
    Ok(Json(daemon.policy_report()))
}

async fn explain(
    State(daemon): Shared,
    peer: ConnectInfo<Peer>,
    Json(request): Json<ExplainRequest>,
) -> Result<impl IntoResponse, Denied> {
    authorize_pasearch(&daemon, peer.0)?;
    // TimeZone Local is this host's.
    let at = request.at.map_or_else(chrono::Local::now, |at| at.with_timezone(&chrono::Local)).fixed_offset();
    Ok(Json(policies::explain::explain(&daemon.engine.policy(), &request.connection, at)))
}

/// READ to the profile that IBM's pasearch asks for.
fn authorize_pasearch(daemon: &Daemon, peer: Peer) -> Result<(), Denied> {
    let resource = format!("EZB.PAGENT.{}.{}.TTLS", daemon.configuration.sysname, daemon.configuration.image);
    authorize(daemon, peer, "SERVAUTH", &resource, Access::Read).map(drop)
}

/// SIOCTTLSCTL. As on z/OS it needs no profile: a program may control its own connections, and no others.
async fn control(State(daemon): Shared, peer: ConnectInfo<Peer>, body: Bytes) -> Result<Response, Response> {
    let request = serde_json::from_slice(&body).map_err(|error| {
        Denied::new(StatusCode::BAD_REQUEST, format!("the request is not right: {error}")).into_response()
    })?;
    let ControlRequest { local, remote, requests, certificate } = request;
    let ends = Endpoints { local, remote };
    let refuse = |refusal: ttls::Refusal| {
        let body = json!({ "error": refusal.message, "errno": refusal.errno, "reason": refusal.reason });
        (StatusCode::CONFLICT, Json(body)).into_response()
    };
    let Some(uid) = peer.0.0 else {
        return Err(Denied::new(StatusCode::FORBIDDEN, "the caller's user cannot be told").into_response());
    };
    daemon.engine.may_control(ends, uid).map_err(refuse)?;
    if !daemon.has_policy() {
        // As the sockets of everybody who may not use the stack before its policy is there (TCPCONFIG TTLS).
        let resource = format!("EZB.INITSTACK.{}.{}", daemon.configuration.sysname, daemon.configuration.image);
        if let Err(denied) = authorize(&daemon, peer.0, "SERVAUTH", &resource, Access::Read) {
            let message = format!("no policy has been installed yet\n{}", denied.message);
            return Err(refuse(ttls::Refusal { errno: "EAGAIN", reason: "JrTcpNotActive", message }));
        }
    }
    // It may be one that a daemon carries which this one took over from.
    let mut theirs = std::pin::pin!(takeover::control(&daemon, body));
    let theirs = tokio::select! {
        answer = &mut theirs => answer,
        carried = daemon.engine.carries(ends) => if carried { None } else { theirs.await },
    };
    if let Some(answer) = theirs {
        return Ok(answer.into_response());
    }
    if daemon.engine.is_retired() && !daemon.engine.carries(ends).await {
        return Err(Denied::new(StatusCode::NOT_FOUND, "the connection is not carried here").into_response());
    }
    let answer = daemon.engine.control(ends, &requests, certificate).await;
    answer.map(|answer| Json(answer).into_response()).map_err(refuse)
}

async fn refresh(
    State(daemon): Shared,
    peer: ConnectInfo<Peer>,
    Json(options): Json<Refresh>,
) -> Result<impl IntoResponse, Denied> {
    let _authorized = authorize(&daemon, peer.0, "OPERCMDS", "MVS.MODIFY.STC.PAGENT.PAGENT", Access::Update)?;
    // In a task of its own: a caller that goes away does not leave a refresh half done.
    let refreshed = tokio::spawn(async move { daemon.refresh(options.force).await }).await;
    match refreshed.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(messages) => Ok(Json(json!({ "messages": messages }))),
        Err(message) => Err(Denied::new(StatusCode::UNPROCESSABLE_ENTITY, message)),
    }
}

async fn stop(
    State(daemon): Shared,
    peer: ConnectInfo<Peer>,
    Json(options): Json<Stop>,
) -> Result<impl IntoResponse, Denied> {
    let _authorized = authorize(&daemon, peer.0, "OPERCMDS", "MVS.STOP.STC.PAGENT.PAGENT", Access::Update)?;
    if options.release {
        let releasing = Arc::clone(&daemon);
        let released = tokio::spawn(async move { releasing.release().await }).await;
        let released = released.unwrap_or_else(|error| Err(error.to_string()));
        released.map_err(|message| Denied::new(StatusCode::INTERNAL_SERVER_ERROR, message))?;
    }
    daemon.stop.notify_one();
    Ok(Json(json!({ "stopping": true, "released": options.release })))
}

async fn tso(
    State(daemon): Shared,
    peer: ConnectInfo<Peer>,
    Json(TsoLine { line, inputs }): Json<TsoLine>,
) -> Result<Json<TsoAnswer>, Denied> {
    // RACF commands decide by the issuer's attributes and the profiles they touch.
    let issuer = caller(&daemon, peer.0)?;
    // A caller who goes away does not stop it between the change and what follows from it.
    let command = tokio::spawn(async move {
        let result = daemon.saf.command_with(&issuer, &line, &inputs).await?;
        if result.wants.is_some() {
            return Ok(result);
        }
        if let Some(record) = &result.record {
            audit::command(&daemon, issuer, record);
        }
        let line = ::saf::shown(&line);
        info!(target: "audit", userid = %issuer, command = line, code = result.code, "RACF command");
        Ok::<_, ::saf::SafError>(result)
    });
    let failed = |error: &dyn std::fmt::Display| Denied::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    let result = command.await.map_err(|error| failed(&error))?;
    Ok(Json(TsoAnswer::from(result.map_err(|error| failed(&error))?)))
}

/// The beginning of a session at the READY prompt.
async fn logon(State(daemon): Shared, peer: ConnectInfo<Peer>) -> Result<Json<CommandResult>, Denied> {
    let userid = caller(&daemon, peer.0)?;
    let failed = |error: ::saf::SafError| Denied::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    let lines = daemon.saf.logon(userid).await.map_err(failed)?;
    Ok(Json(CommandResult { lines, ..CommandResult::default() }))
}

async fn console(
    State(daemon): Shared,
    peer: ConnectInfo<Peer>,
    Json(Line { line }): Json<Line>,
) -> Result<Json<CommandResult>, Denied> {
    let upper = line.trim().to_ascii_uppercase();
    let words: Vec<&str> = upper.split(',').map(str::trim).collect();
    let answer = |code: u8, lines: Vec<String>| Ok(Json(CommandResult { code, lines, ..CommandResult::default() }));
    match words.as_slice() {
        ["V TCPIP" | "VARY TCPIP", stack, "DROP", connection] if is_this_stack(&daemon, stack) => {
            let id = connection
                .strip_prefix("CONNECTION=")
                .or_else(|| connection.strip_prefix("CONN="))
                .unwrap_or(connection);
            drop_connection(&daemon, peer.0, id)
        }
        ["D TCPIP" | "DISPLAY TCPIP", stack, "NETSTAT" | "N", rest @ ..] if is_this_stack(&daemon, stack) => {
            let _authorized = authorize(&daemon, peer.0, "OPERCMDS", "MVS.DISPLAY.TCPIP", Access::Read)?;
            match rest {
                ["STATS", "PROTOCOL=ZERT"] => match &daemon.monitor {
                    Some(monitor) => answer(0, report::zert_statistics(&monitor.statistics())),
                    None => answer(4, vec!["zERT is not enabled: [zert] enabled = false in pagent.toml".to_owned()]),
                },
                ["CONN"] => {
                    let found = tokio::task::spawn_blocking(report::connections_of_host).await;
                    let lines = found
                        .map_err(|error| error.to_string())
                        .and_then(|lines| lines.map_err(|error: StackError| error.to_string()))
                        .map_err(|message| Denied::new(StatusCode::INTERNAL_SERVER_ERROR, message))?;
                    answer(0, lines)
                }
                _ => answer(
                    8,
                    vec![format!(
                        "EZZ0059I COMMAND D TCPIP,,NETSTAT FAILED: {} IS NOT KNOWN; EXPECTED CONN OR STATS,PROTOCOL=ZERT",
                        rest.join(",")
                    )],
                ),
            }
        }
        _ => answer(
            8,
            vec![format!(
                "EZZ0059I COMMAND {upper} FAILED: EXPECTED V TCPIP,,DROP,CONNECTION=id, D TCPIP,,NETSTAT,CONN \
                 OR D TCPIP,,NETSTAT,STATS,PROTOCOL=ZERT"
            )],
        ),
    }
}

fn is_this_stack(daemon: &Daemon, name: &str) -> bool {
    name.is_empty() || name == daemon.configuration.image
}

fn drop_connection(daemon: &Daemon, peer: Peer, id: &str) -> Result<Json<CommandResult>, Denied> {
    let answer = |code: u8, lines: &[String]| {
        Ok(Json(CommandResult { code, lines: lines.to_vec(), ..CommandResult::default() }))
    };
    let processing = "EZZ0060I PROCESSING COMMAND: VARY TCPIP,,DROP".to_owned();
    // Authority first: whether a connection exists is not told to those who may not ask.
    let _authorized = match authorize(daemon, peer, "OPERCMDS", "MVS.VARY.TCPIP.DROP", Access::Control) {
        Ok(authorized) => authorized,
        Err(denied) => {
            let message = format!("EZZ0500I VARY TCPIP,,DROP ACCESS DENIED\n{}", denied.message);
            return Err(Denied { message, ..denied });
        }
    };
    let failed = "EZZ0059I COMMAND VARY DROP FAILED: SEE PREVIOUS MESSAGES".to_owned();
    let Some(wanted) = ConnectionId::parse(id) else {
        return answer(
            8,
            &[processing, format!("CONNECTION ID {id} IS NOT VALID: EXPECTED 1 TO 8 HEXADECIMAL DIGITS"), failed],
        );
    };
    let kernel = |error: StackError| Denied::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    let sockets = socket::list(&report::CONNECTED).map_err(kernel)?;
    let found = sockets.into_iter().find(|socket| socket.id() == wanted);
    let dropped = found.map(|socket| socket::destroy(&socket)).transpose().map_err(kernel)?.unwrap_or(false);
    if !dropped {
        return answer(8, &[processing, format!("CONNECTION {wanted} DOES NOT EXIST"), failed]);
    }
    info!(target: "audit", userid = ?caller(daemon, peer).ok().map(|user| user.to_string()), connection = %wanted, "connection dropped");
    answer(
        0,
        &[
            processing,
            format!("EZZ2500I CONNECTION {wanted} DROPPED"),
            "EZZ0053I COMMAND VARY DROP COMPLETED SUCCESSFULLY".to_owned(),
        ],
    )
}

/// The caller as a RACF user who may begin a session: the one whose OMVS segment has the uid, else the one whose name the
/// login name is in upper case, if no other login name is it too.
fn caller(daemon: &Daemon, peer: Peer) -> Result<Userid, Denied> {
    let denied = |message: String| {
        audit::no_session(daemon, None, UNDEFINED_USER);
        Err(Denied::new(StatusCode::FORBIDDEN, message))
    };
    let Some(uid) = peer.0 else { return denied("ICH408I THE CALLER'S UID IS NOT KNOWN".to_owned()) };
    let snapshot = daemon.saf.snapshot();
    let userid = match snapshot.mapped(uid) {
        Mapped::User(userid) => userid,
        Mapped::Shared => {
            return denied(format!("ICH408I SEVERAL USERS HAVE THE OMVS UID {uid}: ONE IS NEEDED TO KNOW WHO ASKS"));
        }
        Mapped::Nobody => match owner::userid(uid).and_then(|name| Userid::parse(&name)) {
            Some(userid) if snapshot.has_other_uid(userid, uid) => {
                return denied(format!("ICH408I USER({userid:8}) HAS ANOTHER OMVS UID THAN {uid}"));
            }
            Some(userid) if owner::has_namesake(uid, userid.as_str()) => {
                return denied(format!("ICH408I SEVERAL LOGIN NAMES ARE {userid} IN UPPER CASE: GIVE ONE AN OMVS UID"));
            }
            Some(userid) => userid,
            None => {
                return denied(format!(
                    "ICH408I JOB(UID {uid}) HAS NO USER ID: A LOGIN NAME OF 1 TO 8 LETTERS AND DIGITS IS NEEDED, OR AN OMVS UID"
                ));
            }
        },
    };
    let codes = snapshot.verify(userid, None, None, chrono::Utc::now().date_naive());
    // Whom RACF does not know is an undefined user, for whom UACC counts.
    if codes.saf == 0 || codes.racf == UNDEFINED {
        return Ok(userid);
    }
    warn!(target: "audit", %userid, %codes, "refused: no session");
    audit::no_session(daemon, Some(userid), REVOKED_USER);
    let text = if codes.reason == 0 { "REVOKED USER ACCESS ATTEMPT" } else { "USER IS CONTAINED" };
    let message = format!("ICH408I USER({userid:8}) LOGON/JOB INITIATION - {text}");
    Err(Denied::new(StatusCode::FORBIDDEN, message))
}

/// That a caller may do something.
pub(crate) struct Allowed(());

/// Asks SAF. What no decision (RC 4) means, the resource says.
fn authorize(daemon: &Daemon, peer: Peer, class: &str, resource: &str, intent: Access) -> Result<Allowed, Denied> {
    let userid = caller(daemon, peer)?;
    let refused = |message: String| {
        warn!(target: "audit", %userid, class, resource, %intent, "refused");
        Err(Denied::new(StatusCode::FORBIDDEN, message))
    };
    match daemon.saf.snapshot().auth(userid, class, resource, intent) {
        Decision::Permitted(authorized) => {
            info!(target: "audit", %userid, class, resource, %intent, warning = authorized.warning().is_some(), "permitted");
            audit::permitted(daemon, userid, class, intent, &authorized);
            Ok(Allowed(()))
        }
        Decision::Refused(refusal) => {
            audit::refused(daemon, &refusal);
            let message = refusal.to_string();
            if refusal.notify.is_some() {
                let saf = Arc::clone(&daemon.saf);
                tokio::spawn(async move {
                    if let Err(error) = saf.notify(&refusal).await {
                        warn!(%error, "a user is not told of a refused access (NOTIFY)");
                    }
                });
            }
            refused(message)
        }
        Decision::NoDecision(_) if resources::permits_undecided(class, resource) => {
            info!(target: "audit", %userid, class, resource, %intent, "permitted: nothing protects it");
            Ok(Allowed(()))
        }
        Decision::NoDecision(reason) => {
            let reason = match reason {
                NoDecision::UnknownClass => "THE CLASS IS NOT DEFINED",
                NoDecision::ClassInactive => "THE CLASS IS NOT ACTIVE OR NOT RACLISTED",
                NoDecision::NoProfile => "NO PROFILE COVERS THE RESOURCE",
            };
            let mut message = format!("ICH408I USER({userid:8}) GROUP(        ) NAME({})\n", "#".repeat(20));
            let _ = write!(message, "  {resource} CL({class:8})\n  {reason}, AND ACCESS IS REFUSED WITHOUT ONE");
            refused(message)
        }
    }
}
