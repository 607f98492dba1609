//! The commands' side of the control API.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::Value;
use tokio::net::UnixStream;

/// The daemon refused or failed, and what it said.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refused {
    pub(crate) forbidden: bool,
    pub(crate) message: String,
}

/// Asks the daemon.
pub(crate) fn get(socket: &Path, path: &str) -> anyhow::Result<Value> {
    call(socket, Method::GET, path, Bytes::new())
}

/// Tells the daemon.
pub(crate) fn post(socket: &Path, path: &str, body: &impl Serialize) -> anyhow::Result<Value> {
    call(socket, Method::POST, path, serde_json::to_vec(body)?.into())
}

fn call(socket: &Path, method: Method, path: &str, body: Bytes) -> anyhow::Result<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (status, bytes) = runtime.block_on(ask(socket, method, path, body))?;
    if status.is_success() {
        return serde_json::from_slice(&bytes).context("the daemon's answer is not JSON");
    }
    let said: Option<Value> = serde_json::from_slice(&bytes).ok();
    let message = said.as_ref().and_then(|said| said.get("error")).and_then(Value::as_str);
    match message {
        Some(message) => {
            Err(anyhow!(Refused { forbidden: status == StatusCode::FORBIDDEN, message: message.to_owned() }))
        }
        None => bail!("the daemon answered {status}: {}", String::from_utf8_lossy(&bytes)),
    }
}

/// A request as it is, and its answer.
pub(crate) async fn ask(socket: &Path, method: Method, path: &str, body: Bytes) -> anyhow::Result<(StatusCode, Bytes)> {
    let stream = UnixStream::connect(socket)
        .await
        .with_context(|| format!("the daemon does not answer on {}; is `pagent run` running?", socket.display()))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "pagent")
        .header("content-type", "application/json")
        .body(Full::new(body))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}
