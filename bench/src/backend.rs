//! What a proxy forwards to: one program that serves clear text on one port and TLS on another.
//!
//! A connection's first byte says what is wanted of it: [`ECHO`], [`TAKE`] or [`GIVE`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_rustls::TlsAcceptor;

use crate::tls::{self, Tally};

/// Everything comes back, this byte included.
pub(crate) const ECHO: u8 = b'e';
/// Eight bytes tell how many follow; one byte comes back behind the last.
pub(crate) const TAKE: u8 = b't';
/// Eight bytes tell how many are to come.
pub(crate) const GIVE: u8 = b'g';

/// What is sent and taken at once.
const PIECE: usize = 128 * 1024;

/// What to be.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Plan {
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Whether sessions may be resumed.
    pub(crate) resume: bool,
    /// A socket that tells the [`Tally`] of handshakes to whoever connects.
    pub(crate) tally: PathBuf,
}

pub(crate) fn run(plan: &Plan) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(plan))
}

async fn serve(plan: &Plan) -> anyhow::Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(tls::server(&plan.certificate, &plan.key, plan.resume)?));
    let tally = Arc::new(Mutex::new(Tally::default()));
    let questions = UnixListener::bind(&plan.tally).with_context(|| plan.tally.display().to_string())?;
    let secured = TcpListener::bind(plan.tls).await?;
    let plain = TcpListener::bind(plan.plain).await?;
    loop {
        tokio::select! {
            accepted = plain.accept() => {
                let (socket, _) = accepted?;
                socket.set_nodelay(true)?;
                tokio::spawn(answer(socket));
            }
            accepted = secured.accept() => {
                let (socket, _) = accepted?;
                socket.set_nodelay(true)?;
                tokio::spawn(answer_secured(acceptor.clone(), socket, Arc::clone(&tally)));
            }
            asked = questions.accept() => {
                let (mut socket, _) = asked?;
                let text = serde_json::to_vec(&*tally.lock().unwrap_or_else(PoisonError::into_inner))?;
                socket.write_all(&text).await?;
            }
        }
    }
}

async fn answer_secured(acceptor: TlsAcceptor, socket: TcpStream, tally: Arc<Mutex<Tally>>) -> std::io::Result<()> {
    let stream = acceptor.accept(BufReader::new(socket)).await?;
    tally.lock().unwrap_or_else(PoisonError::into_inner).add(stream.get_ref().1);
    answer(stream).await
}

/// Does what a connection asks for. Its errors are seen, and told, at the other end.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    match stream.read_u8().await? {
        ECHO => {
            stream.write_u8(ECHO).await?;
            stream.flush().await?;
            let mut bytes = [0; 256];
            loop {
                let length = stream.read(&mut bytes).await?;
                let Some(heard) = bytes.get(..length).filter(|heard| !heard.is_empty()) else { break };
                stream.write_all(heard).await?;
                stream.flush().await?;
            }
        }
        TAKE => {
            let mut rest = stream.read_u64().await?;
            let mut piece = vec![0; PIECE];
            while rest > 0 {
                let length = stream.read(&mut piece).await?;
                if length == 0 {
                    return Ok(());
                }
                rest = rest.saturating_sub(length as u64);
            }
            stream.write_u8(TAKE).await?;
        }
        GIVE => {
            let mut rest = stream.read_u64().await?;
            let piece = vec![0; PIECE];
            while rest > 0 {
                let now = usize::try_from(rest).unwrap_or(PIECE).min(PIECE);
                stream.write_all(piece.get(..now).unwrap_or(&piece)).await?;
                rest -= now as u64;
            }
            stream.flush().await?;
        }
        _ => {}
    }
    stream.shutdown().await
}
