//! Plain HTTP to responders and distribution points. What they send is signed, so that nothing else protects it.

use std::io;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;

use crate::marks::Marks;
use crate::sockets::dial_marked;

/// How a source is reached.
#[derive(Clone, Debug)]
pub(super) struct Route {
    /// The mark of our own connections, which no rule captures.
    pub(super) marks: Option<Marks>,
    /// The proxy's host and port.
    pub(super) proxy: Option<(String, u16)>,
    /// Seconds to wait; 0: no limit.
    pub(super) timeout: u32,
    /// Bytes of the longest answer; 0: no limit.
    pub(super) max_size: u32,
}

/// Why a source did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{0} is not an http URL")]
    Url(String),
    #[error("{0} cannot be reached: {1}")]
    Unreachable(String, #[source] io::Error),
    #[error("{0} did not answer within {1} seconds")]
    Timeout(String, u32),
    #[error("{0} answered with {1}")]
    Refused(String, String),
}

impl FetchError {
    /// Whether there was somebody who answered.
    pub(super) fn was_reached(&self) -> bool {
        matches!(self, Self::Refused(..))
    }
}

/// How long one of several addresses may take.
const DIAL: Duration = Duration::from_secs(5);

/// Gets a URL, or posts to it.
pub(super) async fn fetch(
    route: &Route,
    url: &str,
    post: Option<(&'static str, Vec<u8>)>,
) -> Result<Vec<u8>, FetchError> {
    if route.timeout == 0 {
        return exchange(route, url, post).await;
    }
    let limit = Duration::from_secs(route.timeout.into());
    let in_time = tokio::time::timeout(limit, exchange(route, url, post)).await;
    in_time.unwrap_or_else(|_| Err(FetchError::Timeout(url.to_owned(), route.timeout)))
}

async fn exchange(route: &Route, url: &str, post: Option<(&'static str, Vec<u8>)>) -> Result<Vec<u8>, FetchError> {
    let bad_url = || FetchError::Url(url.to_owned());
    let unreachable = |error| FetchError::Unreachable(url.to_owned(), error);
    let uri: Uri = url.parse().map_err(|_| bad_url())?;
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(bad_url)?;
    let (host, port) = match &route.proxy {
        Some((host, port)) => (host.as_str(), *port),
        None => (authority.host(), authority.port_u16().unwrap_or(80)),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut stream = Err(io::Error::new(io::ErrorKind::NotFound, "the host has no address"));
    for address in tokio::net::lookup_host((host, port)).await.map_err(unreachable)? {
        let dialled = tokio::time::timeout(DIAL, dial_marked(route.marks, address)).await;
        stream = dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if stream.is_ok() {
            break;
        }
    }
    let broken = |error: hyper::Error| unreachable(io::Error::other(error));
    let stream = TokioIo::new(stream.map_err(unreachable)?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(broken)?;
    let driver = tokio::spawn(connection);
    let target = match (&route.proxy, uri.path_and_query()) {
        (Some(_), _) => url,
        (None, Some(path)) => path.as_str(),
        (None, None) => "/",
    };
    let request = Request::builder().uri(target).header(HOST, authority.as_str());
    let request = match post {
        None => request.body(Full::default()),
        Some((kind, body)) => request.method("POST").header(CONTENT_TYPE, kind).body(Full::new(Bytes::from(body))),
    };
    let response = sender.send_request(request.map_err(|_| bad_url())?).await.map_err(broken)?;
    let refused = |what: String| FetchError::Refused(url.to_owned(), what);
    if !response.status().is_success() {
        return Err(refused(response.status().to_string()));
    }
    let limit = if route.max_size == 0 { usize::MAX } else { route.max_size as usize };
    let body = Limited::new(response.into_body(), limit).collect().await;
    driver.abort();
    let body =
        body.map_err(|error| refused(format!("a body that cannot be read, or has more than {limit} bytes: {error}")))?;
    Ok(body.to_bytes().to_vec())
}
