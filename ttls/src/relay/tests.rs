//! The relay on real sockets: what is kept, what is passed on, what is held back.

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let near = TcpStream::connect(listener.local_addr()?).await?;
    Ok((near, listener.accept().await?.0))
}

/// Of a server and of a client that believes it.
fn configurations() -> Result<(rustls::ServerConfig, rustls::ClientConfig), Box<dyn std::error::Error>> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivateKeyDer::try_from(signing_key.serialize_der())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone())?;
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((server, client))
}

/// Whole records in front of a broken one are data, also when they come with it.
#[test]
fn what_came_whole_before_a_break_is_kept() -> Result<(), Box<dyn std::error::Error>> {
    let (server, client) = configurations()?;
    let mut client = rustls::ClientConnection::new(Arc::new(client), "localhost".try_into()?)?;
    let mut server = rustls::Connection::Server(rustls::ServerConnection::new(Arc::new(server))?);
    let mut plain = Vec::new();
    while client.is_handshaking() || server.is_handshaking() {
        let mut sent = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut sent)?;
        }
        decrypt(&mut server, &sent, &mut plain)?;
        let mut answered = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut answered)?;
        }
        client.read_tls(&mut answered.as_slice())?;
        client.process_new_packets()?;
    }
    client.writer().write_all(b"word")?;
    let mut sent = Vec::new();
    client.write_tls(&mut sent)?;
    sent.extend([23, 3, 3, 0, 40]);
    sent.extend([7; 40]);
    assert!(decrypt(&mut server, &sent, &mut plain).is_err());
    assert_eq!(plain, b"word");
    Ok(())
}

/// Renewed keys are what a foreign peer sees as KeyUpdate, and data goes on under them.
#[tokio::test]
async fn keys_are_renewed_in_time() -> Result<(), Box<dyn std::error::Error>> {
    let (config, _) = configurations()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mut openssl = tokio::process::Command::new("openssl")
        .args(["s_client", "-msg", "-connect", &listener.local_addr()?.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = openssl.stdin.take().ok_or("no stdin")?;
    let mut said = BufReader::new(openssl.stdout.take().ok_or("no stdout")?).lines();
    let (stream, _) = listener.accept().await?;
    let (stream, connection) = TlsAcceptor::from(Arc::new(config)).accept(stream).await?.into_inner();
    let (mut program, mut ours) = pair().await?;
    let relaying = tokio::spawn(async move {
        let mut network = Network::tls(stream, rustls::Connection::Server(connection));
        relay(
            &mut ours,
            &mut network,
            &Traffic::default(),
            Some(Duration::from_millis(100)),
            &mut Ways::default(),
            None,
            None,
        )
        .await
    });
    let mut line = async || {
        let line = tokio::time::timeout(Duration::from_secs(20), said.next_line()).await??;
        Ok::<_, Box<dyn std::error::Error>>(line.ok_or("openssl ended")?)
    };
    let is_update = |line: &str| line.starts_with("<<<") && line.contains("KeyUpdate");
    // No peer likes keys that are renewed again and again for nothing (rustls ends the connection after 32 times): the
    // silence of many periods makes one renewal at most.
    tokio::time::sleep(Duration::from_millis(1000)).await;
    program.write_all(b"first word\n").await?;
    let mut updates = 0;
    loop {
        let line = line().await?;
        updates += usize::from(is_update(&line));
        if line.contains("first word") {
            break;
        }
    }
    assert!(updates <= 1, "{updates} renewals of a silent connection");
    while updates < 3 {
        program.write_all(b"word\n").await?;
        updates += usize::from(is_update(&line().await?));
    }
    stdin.write_all(b"still here\n").await?;
    let mut heard = [0; 11];
    program.read_exact(&mut heard).await?;
    assert_eq!(&heard, b"still here\n");
    relaying.abort();
    Ok(())
}

/// A peer that has said ten thousand sevens and closed TLS in order, and the network leg to it.
async fn closed_by_peer(stops: bool) -> Result<(std::net::TcpStream, Network), Box<dyn std::error::Error>> {
    let (server, client) = configurations()?;
    let (peer, network) = pair().await?;
    let mut peer = peer.into_std()?;
    peer.set_nonblocking(false)?;
    let mut client = rustls::ClientConnection::new(Arc::new(client), "localhost".try_into()?)?;
    let (accepted, wait) = std::sync::mpsc::channel();
    let closing = tokio::task::spawn_blocking(move || {
        client.complete_io(&mut peer)?;
        wait.recv().map_err(io::Error::other)?;
        client.writer().write_all(&[7; 10_000])?;
        client.send_close_notify();
        while client.wants_write() {
            client.write_tls(&mut peer)?;
        }
        SockRef::from(&peer).set_linger(Some(Duration::ZERO))?;
        Ok::<_, io::Error>(peer)
    });
    let (network, tls) = TlsAcceptor::from(Arc::new(server)).accept(network).await?.into_inner();
    accepted.send(())?;
    let network = Network::tls(network, rustls::Connection::Server(tls));
    let network = if stops { network.stopping(crate::records::Records::default()) } else { network };
    Ok((closing.await??, network))
}

/// A peer that closes in order and resets the connection, because it has left something unread, has said all it said.
#[tokio::test]
async fn a_reset_behind_an_orderly_close_is_a_close() -> Result<(), Box<dyn std::error::Error>> {
    for stops in [false, true] {
        let (peer, mut network) = closed_by_peer(stops).await?;
        drop(peer);
        let (mut program, mut ours) = pair().await?;
        let relaying = tokio::spawn(async move {
            relay(&mut ours, &mut network, &Traffic::default(), None, &mut Ways::default(), None, None).await
        });
        let mut heard = Vec::new();
        program.read_to_end(&mut heard).await?;
        assert_eq!(heard, [7; 10_000]);
        drop(program);
        assert!(matches!(relaying.await?, Ok(Stop::Closed)));
    }
    Ok(())
}

/// A peer that is gone before it can have heard the answer was not closed in order.
#[tokio::test]
async fn a_reset_behind_an_answer_is_a_failure() -> Result<(), Box<dyn std::error::Error>> {
    let (peer, mut network) = closed_by_peer(false).await?;
    let (mut program, mut ours) = pair().await?;
    let traffic = Arc::new(Traffic::default());
    let counted = Arc::clone(&traffic);
    let relaying =
        tokio::spawn(
            async move { relay(&mut ours, &mut network, &counted, None, &mut Ways::default(), None, None).await },
        );
    program.read_to_end(&mut Vec::new()).await?;
    program.write_all(b"answer").await?;
    while traffic.bytes_out.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(peer);
    drop(program);
    let result = relaying.await?;
    assert!(matches!(result, Err(ConnectionError::Aborted(_))), "{result:?}");
    Ok(())
}

/// A receiver that stops reading stops its sender: what is held in between is bounded.
#[tokio::test]
async fn a_receiver_that_stops_stops_its_sender() -> Result<(), Box<dyn std::error::Error>> {
    let (mut program, mut ours) = pair().await?;
    let (mut peer, network) = pair().await?;
    let traffic = Arc::new(Traffic::default());
    let counted = Arc::clone(&traffic);
    let relaying = tokio::spawn(async move {
        relay(&mut ours, &mut Network::unchanged(network), &counted, None, &mut Ways::default(), None, None).await
    });
    let sent = 64 << 20;
    let sending = tokio::spawn(async move {
        program.write_all(&vec![7; sent]).await?;
        program.shutdown().await?;
        let mut answer = String::new();
        program.read_to_string(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    });
    // Until nothing moves any more.
    let mut before = u64::MAX;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = traffic.bytes_out.load(Ordering::Relaxed);
        if now == before {
            break;
        }
        before = now;
    }
    assert!(before > 0 && before < sent as u64 / 2, "{before} bytes were taken from the program");
    let mut received = Vec::new();
    peer.read_to_end(&mut received).await?;
    assert_eq!((received.len(), received.iter().all(|&byte| byte == 7)), (sent, true));
    // Half closed: the answer still comes.
    peer.write_all(b"all there").await?;
    drop(peer);
    assert_eq!(sending.await??, "all there");
    relaying.await??;
    assert_eq!(traffic.bytes_out.load(Ordering::Relaxed), sent as u64);
    Ok(())
}

/// A program that closes while bytes for it are under way has still said what it said.
#[tokio::test]
async fn the_last_words_of_a_program_go_out() -> Result<(), Box<dyn std::error::Error>> {
    let (mut program, mut ours) = pair().await?;
    let (mut peer, network) = pair().await?;
    // Closed with unread bytes, a socket sends a reset after what was written.
    ours.write_all(b"unread").await?;
    program.readable().await?;
    program.write_all(b"last words").await?;
    drop(program);
    peer.write_all(b"for nobody").await?;
    while ours.write(b"more").await.is_ok() {}
    let traffic = Traffic::default();
    let result =
        relay(&mut ours, &mut Network::unchanged(network), &traffic, None, &mut Ways::default(), None, None).await;
    assert!(matches!(result, Err(ConnectionError::Aborted(_))), "{result:?}");
    let mut heard = [0; 10];
    peer.read_exact(&mut heard).await?;
    assert_eq!(&heard, b"last words");
    Ok(())
}
