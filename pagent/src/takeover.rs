//! `pagent run --takeover`: a new daemon in the place of a running one. The sockets go over, so that no connection is lost;
//! the old one carries its connections to their end. What it still has to say comes through a socket of its own.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::http::StatusCode;
use hyper::Method;
use hyper::body::Bytes;
use serde_json::Value;
use tokio::net::UnixListener;
use tokio_seqpacket::UnixSeqpacketListener;
use tracing::{error, info, warn};
use ttls::{Channel, Inheritance};

use crate::client;
use crate::configuration::Configuration;
use crate::daemon::Daemon;

/// How often a daemon that was taken over from looks whether it still has connections.
const LOOK: Duration = Duration::from_millis(100);

/// How often it makes sure that the kernel captures what belongs to its primary connections.
const HOLD: Duration = Duration::from_secs(1);
/// How long such a daemon may take to answer, and how long for what may begin with a handshake.
const PATIENCE: Duration = Duration::from_secs(3);
const HANDSHAKE: Duration = Duration::from_secs(600);

/// Where successors of the running daemon come.
fn door(configuration: &Configuration) -> PathBuf {
    configuration.state.join("takeover.sock")
}

/// Where a daemon that was taken over from is asked about its connections.
fn retreat(configuration: &Configuration, pid: u32) -> PathBuf {
    configuration.state.join(format!("predecessor-{pid}.sock"))
}

/// Gets ready for successors.
pub(crate) fn listen(configuration: &Configuration) -> anyhow::Result<UnixSeqpacketListener> {
    let path = door(configuration);
    let context = || format!("the socket {} cannot be made", path.display());
    remove(&path).with_context(context)?;
    let listener = UnixSeqpacketListener::bind(&path).with_context(context)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).with_context(context)?;
    Ok(listener)
}

/// Asks the running daemon for what it has.
pub(crate) async fn inherit(configuration: &Configuration) -> anyhow::Result<Inheritance> {
    let path = door(configuration);
    Inheritance::receive(&path).await.with_context(|| {
        format!("no daemon can be taken over from on {}; is `pagent run` running, as the same user?", path.display())
    })
}

/// Waits for a successor that gets as far as to have its policy in force, and hands over.
pub(crate) async fn handed_over(daemon: Arc<Daemon>, mut door: UnixSeqpacketListener, control: OwnedFd) -> Channel {
    loop {
        let channel = match door.accept().await.and_then(Channel::new) {
            Ok(channel) => channel,
            Err(error) => {
                warn!(%error, "a take-over failed");
                tokio::time::sleep(LOOK).await;
                continue;
            }
        };
        // No refresh and no repair while two daemons have the kernel's table.
        let _alone = daemon.refreshing.lock().await;
        info!("another daemon is about to take over");
        match hand_over(&daemon, channel, &control).await {
            Ok(channel) => return channel,
            Err(error) => {
                warn!("the take-over failed: {error:#}; everything goes on here");
                let engine = daemon.engine.clone();
                match tokio::task::spawn_blocking(move || engine.reload()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(problem)) => error!(%problem, "the capture rules cannot be put back"),
                    Err(problem) => error!(%problem, "the capture rules cannot be put back"),
                }
            }
        }
    }
}

async fn hand_over(daemon: &Daemon, channel: Channel, control: &OwnedFd) -> anyhow::Result<Channel> {
    let offer = daemon.engine.offer(channel, control.as_fd()).await?;
    let retiring = offer.proceed().await?;
    // Of two observers one would hear nothing.
    if let Err(problem) = daemon.observe(false).await {
        warn!("{problem:#}");
    }
    Ok(retiring.retired().await)
}

/// Carries the connections that are here to their end, or until `stop` comes.
pub(crate) async fn drain(daemon: &Arc<Daemon>, channel: Channel, stop: impl Future<Output = ()>) {
    let path = retreat(&daemon.configuration, std::process::id());
    match remove(&path).and_then(|()| UnixListener::bind(&path)) {
        Ok(listener) => daemon.serve_api(listener),
        Err(error) => warn!(%error, path = %path.display(), "the new daemon cannot ask for what is here"),
    }
    info!(connections = daemon.engine.underway(), "another daemon has taken over; this one ends with its connections");
    // Whoever loads the kernel's table anew leaves our set as it is; a table that somebody removed has none.
    let holding = tokio::spawn({
        let engine = daemon.engine.clone();
        async move {
            loop {
                engine.hold_again().await;
                tokio::time::sleep(HOLD).await;
            }
        }
    });
    let mut ticks = tokio::time::interval(LOOK);
    let successors = daemon.engine.serve_successors(channel);
    tokio::pin!(successors, stop);
    let mut alone = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => if daemon.engine.underway() == 0 && !daemon.engine.has_primaries() {
                break;
            },
            () = &mut successors, if !alone => {
                alone = true;
                // Nobody captures their secondary connections now.
                if daemon.engine.has_primaries() {
                    error!("the daemon that took over is gone: connections with SecondaryMap On end");
                    break;
                }
            }
            () = &mut stop => break,
        }
    }
    holding.abort();
    let _ = fs::remove_file(path);
}

/// What the daemons that were taken over from answer within a time; those that do not are about to end. The one in charge asks
/// them all, so that they need not ask each other.
async fn ask(
    daemon: &Daemon,
    method: &Method,
    path: &'static str,
    body: &Bytes,
    limit: Duration,
) -> Vec<(StatusCode, Bytes)> {
    if daemon.engine.is_retired() {
        return Vec::new();
    }
    let mut asked = tokio::task::JoinSet::new();
    for pid in daemon.engine.predecessors().await {
        let (socket, method, body) = (retreat(&daemon.configuration, pid), method.clone(), body.clone());
        asked.spawn(async move {
            let answer = tokio::time::timeout(limit, client::ask(&socket, method, path, body)).await;
            answer.ok().and_then(Result::ok)
        });
    }
    asked.join_all().await.into_iter().flatten().collect()
}

/// Their connections.
pub(crate) async fn connections(daemon: &Daemon) -> Vec<Value> {
    let answers = ask(daemon, &Method::GET, "/v1/connections", &Bytes::new(), PATIENCE).await;
    let lists = answers.iter().filter_map(|(_, body)| serde_json::from_slice::<Vec<Value>>(body).ok());
    lists.flatten().collect()
}

/// What the one that has the connection says to a program's request; none has it: nothing.
pub(crate) async fn control(daemon: &Daemon, request: Bytes) -> Option<(StatusCode, Bytes)> {
    let answers = ask(daemon, &Method::POST, "/v1/ttls", &request, HANDSHAKE).await;
    answers.into_iter().find(|(status, _)| *status != StatusCode::NOT_FOUND)
}

/// Ends them with this one.
pub(crate) async fn stop(daemon: &Daemon) {
    let order = Bytes::from_static(br#"{"release":false}"#);
    ask(daemon, &Method::POST, "/v1/stop", &order, PATIENCE).await;
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
