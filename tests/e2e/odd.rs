//! Odd peers: what they hear is what a server or client that is rustls and nothing else tells them, and no word of
//! theirs reaches a program unless a handshake came before it.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use anyhow::Context as _;
use pagent::lab::{Agent, Running, wait_until};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use crate::network::{HOST, Network, PEER, rule};

const PYTHON: &str = "/usr/bin/python3";
const ODD: &str = include_str!("odd.py");
const ANSWER: &[u8] = b"HTTP/1.0 200 OK\r\n\r\ncome in";

/// Says of each connection what came and how it ended.
const PROGRAM: &str = "
import socket
server = socket.create_server(('0.0.0.0', 7000))
while True:
    connection, _ = server.accept()
    connection.settimeout(20)
    heard, end = b'', 'closed'
    try:
        while not heard.endswith(b'\\r\\n\\r\\n') and (piece := connection.recv(65536)):
            heard += piece
            if heard == b'word':
                connection.sendall(b'yes')
        connection.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\ncome in')
    except ConnectionError:
        end = 'reset'
    connection.close()
    print(heard.decode(errors='replace').split(' ')[0] or 'nothing', end, flush=True)
";

/// A protected program, and beside it a server that is rustls and nothing else.
struct Pair {
    network: Network,
    program: Running,
    agent: Agent,
    bare: String,
}

impl Pair {
    fn new() -> anyhow::Result<Self> {
        let network = Network::new()?;
        let program = network.host.serve(7000, PYTHON, &["-c", PROGRAM])?;
        let mut agent = network.agent(&network.host)?;
        agent.install(&rule("IN", "LocalPortRange 7000\nDirection Inbound", "Server", "$RINGS/RING"))?;
        let bare = bare_server(&network)?;
        Ok(Self { network, program, agent, bare })
    }

    /// Has both hear the same odd client, and gives what it heard of them.
    fn told(&self, version: &str, case: &str) -> anyhow::Result<String> {
        let by = |target: &str| self.network.peer.succeed(PYTHON, &["-c", ODD, version, case, target]);
        let (ours, bare) = (by(&format!("{}:7000", HOST[0]))?, by(&self.bare)?);
        assert_eq!(ours, bare, "TLS 1.{version}, {case}: not as rustls does\n{}", self.agent.log());
        Ok(ours.trim_end().to_owned())
    }

    /// The daemon still serves an ordinary client; what the program has said of others since `seen` lines.
    fn program_said(&self, seen: &mut usize) -> anyhow::Result<Vec<String>> {
        let arguments = ["-sSk", "-m", "5", &format!("https://{}:7000/", HOST[0])];
        assert_eq!(self.network.peer.succeed("curl", &arguments)?, "come in", "{}", self.agent.log());
        let lines = || self.program.said().lines().skip(*seen).map(str::to_owned).collect::<Vec<_>>();
        wait_until("the program has answered", || Ok(lines().last().is_some_and(|line| line == "GET closed")))?;
        let mut lines = lines();
        *seen += lines.len();
        lines.pop();
        Ok(lines)
    }
}

/// A server that is rustls and nothing else, on a Unix socket: it is reached from every network namespace.
fn bare_server(network: &Network) -> anyhow::Result<String> {
    let pem = fs::read(network.server_pem()?)?;
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>()?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(&pem)?)?;
    let config = Arc::new(config);
    let socket = network.lab.folder().join("bare");
    let listener = UnixListener::bind(&socket)?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            // A client that breaks TLS ends its own connection only.
            std::thread::spawn(move || answer(stream, config));
        }
    });
    Ok(socket.to_string_lossy().into_owned())
}

fn answer(mut stream: UnixStream, config: Arc<ServerConfig>) -> io::Result<()> {
    let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut tls = rustls::Stream::new(&mut connection, &mut stream);
    let (mut heard, mut piece) = (Vec::new(), [0; 4096]);
    while !heard.ends_with(b"\r\n\r\n") {
        match tls.read(&mut piece)? {
            0 => break,
            count => heard.extend_from_slice(piece.get(..count).unwrap_or_default()),
        }
        if heard == b"word" {
            tls.write_all(b"yes")?;
        }
    }
    tls.write_all(ANSWER)?;
    tls.conn.send_close_notify();
    tls.flush()
}

#[test]
fn a_hello_that_comes_in_pieces_is_served() -> anyhow::Result<()> {
    let pair = Pair::new()?;
    for case in ["hello in small records", "hello byte by byte", "hello slowly"] {
        for version in ["2", "3"] {
            assert_eq!(pair.told(version, case)?, "come in, alert 1 0, closed", "TLS 1.{version}, {case}");
        }
    }
    Ok(())
}

/// Version, case, what the client hears, and the return code in the log.
type Broken = (&'static str, &'static str, &'static str, u32);

/// Each of these handshakes fails, is logged with its rule, and is unknown to the program.
fn nothing_reaches_the_program(cases: &[Broken]) -> anyhow::Result<()> {
    let pair = Pair::new()?;
    let mut seen = 0;
    for (number, (version, case, heard, code)) in cases.iter().enumerate() {
        assert_eq!(&pair.told(version, case)?, heard, "TLS 1.{version}, {case}");
        let failures = || {
            let log = pair.agent.log();
            log.lines().filter(|line| line.contains("EZD1286I")).map(str::to_owned).collect::<Vec<_>>()
        };
        wait_until(&format!("{case} is logged"), || Ok(failures().len() > number))?;
        let line = failures().pop().unwrap_or_default();
        assert!(line.contains(&format!("RULE: IN RC: {code} ")), "TLS 1.{version}, {case}: {line}");
        assert!(pair.program_said(&mut seen)?.is_empty(), "TLS 1.{version}, {case}: {}", pair.program.said());
    }
    Ok(())
}

#[test]
fn what_is_no_handshake_is_refused_as_rustls_refuses_it() -> anyhow::Result<()> {
    nothing_reaches_the_program(&[
        ("3", "garbage", "alert 2 50, closed", 5003),
        ("3", "plain HTTP", "alert 2 50, closed", 5003),
        ("3", "hello of SSLv2", "alert 2 50, closed", 5003),
        ("3", "half a hello", "closed", 420),
        ("2", "hello of TLS 1.1", "alert 2 70, closed", 402),
        ("2", "hello of TLS 1.0", "alert 2 70, closed", 402),
        ("2", "hello of SSL 3.0", "alert 2 70, closed", 402),
        ("2", "hello with compression", "alert 2 47, closed", 402),
        ("3", "interrupted hello", "closed", 412),
        ("3", "empty handshake record", "alert 2 50, closed", 5003),
        ("3", "oversized record", "alert 2 50, closed", 5003),
        ("3", "empty data first", "alert 2 10, closed", 412),
        ("3", "data first", "alert 2 10, closed", 412),
        ("3", "ChangeCipherSpec first", "alert 2 10, closed", 412),
        ("3", "fatal alert first", "closed", 438),
        ("3", "warnings first", "closed", 412),
    ])
}

#[test]
fn a_handshake_that_goes_astray_is_refused_as_rustls_refuses_it() -> anyhow::Result<()> {
    nothing_reaches_the_program(&[
        ("2", "data in place of keys", "alert 2 10, closed", 412),
        ("3", "data in place of keys", "alert 2 20, closed", 412),
        ("2", "early ChangeCipherSpec", "alert 2 10, closed", 412),
        ("3", "ChangeCipherSpec flood", "closed", 412),
        ("2", "warnings in between", "closed", 412),
        ("2", "damaged Finished", "alert 2 20, closed", 412),
        ("3", "damaged Finished", "alert 2 20, closed", 412),
        ("2", "wrong Finished", "alert 2 51, closed", 412),
    ])
}

/// The program is told by a reset, and has got no byte beyond those that were good.
#[test]
fn a_client_that_breaks_tls_is_cut_off_as_rustls_does_it() -> anyhow::Result<()> {
    let pair = Pair::new()?;
    let mut seen = 0;
    for (version, case, heard) in [
        ("2", "renegotiation again and again", "yes, alert 1 100, closed"),
        ("3", "renegotiation again and again", "yes, alert 2 10, closed"),
        ("2", "empty data flood", "yes, closed"),
        ("3", "empty data flood", "yes, closed"),
        ("2", "oversized data", "yes, alert 2 22, closed"),
        ("3", "oversized data", "yes, alert 2 22, closed"),
        ("2", "damaged data", "yes, alert 2 20, closed"),
        ("3", "damaged data", "yes, alert 2 20, closed"),
        ("2", "clear data", "yes, alert 2 20, closed"),
        ("3", "clear data", "yes, alert 2 20, closed"),
        ("2", "late ChangeCipherSpec", "yes, alert 2 10, closed"),
        ("3", "late ChangeCipherSpec", "yes, alert 2 10, closed"),
        ("2", "warnings flood", "yes, closed"),
        ("3", "warnings flood", "yes, closed"),
    ] {
        assert_eq!(pair.told(version, case)?, heard, "TLS 1.{version}, {case}");
        assert_eq!(pair.program_said(&mut seen)?, ["word reset"], "TLS 1.{version}, {case}\n{}", pair.agent.log());
    }
    Ok(())
}

#[test]
fn a_renegotiation_is_declined_and_some_empty_records_do_no_harm() -> anyhow::Result<()> {
    let pair = Pair::new()?;
    let mut seen = 0;
    for (version, case, heard) in [
        ("2", "renegotiation", "alert 1 100, come in, alert 1 0, closed"),
        ("2", "some empty data", "come in, alert 1 0, closed"),
        ("3", "some empty data", "come in, alert 1 0, closed"),
    ] {
        assert_eq!(pair.told(version, case)?, heard, "TLS 1.{version}, {case}");
        assert_eq!(pair.program_said(&mut seen)?, ["GET closed"], "TLS 1.{version}, {case}");
    }
    Ok(())
}

/// Says a word, and what came and how it ended.
const LOCAL: &str = "
import socket, sys
heard, end = b'', 'closed'
try:
    # The reset may be there before connect() has returned.
    connection = socket.create_connection((sys.argv[1], 8443), 5)
    connection.sendall(b'secret')
    while piece := connection.recv(65536):
        heard += piece
except ConnectionError:
    end = 'reset'
print(heard.decode(errors='replace') or 'nothing', end)
";

/// A client that is rustls and nothing else; the server is heard to its end.
fn bare_client(network: &Network, socket: &str) -> anyhow::Result<()> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(network.authority.certificate().as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tls = ClientConnection::new(Arc::new(config), "server.example".try_into()?)?;
    let shaken = tls.complete_io(&mut UnixStream::connect(socket)?);
    anyhow::ensure!(shaken.is_err(), "rustls takes this for a handshake");
    Ok(())
}

#[test]
fn a_program_never_hears_what_a_false_server_says() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    agent.install(&rule("OUT", "RemotePortRange 8443\nDirection Outbound", "Client", "$RINGS/RING"))?;
    for (number, (case, heard, code)) in [
        ("garbage", "alert 2 50, closed", 5003),
        ("banner", "alert 2 50, closed", 5003),
        ("close at once", "closed", 420),
        ("close after half a hello", "closed", 420),
        ("close after the hello", "closed", 420),
        ("hello of TLS 1.1", "alert 2 70, closed", 402),
        ("data after the hello", "alert 2 10, closed", 412),
        ("data in place of the hello", "alert 2 10, closed", 412),
        ("empty records", "alert 2 10, closed", 412),
        ("oversized record", "alert 2 50, closed", 5003),
        ("fatal alert", "closed", 438),
    ]
    .into_iter()
    .enumerate()
    {
        let socket = network.lab.folder().join(format!("bare-{number}")).to_string_lossy().into_owned();
        let mut server = network.peer.serve(8443, PYTHON, &["-c", ODD, "server", case, "8443", &socket])?;
        let local = network.host.succeed(PYTHON, &["-c", LOCAL, PEER[0]])?;
        assert_eq!(local, "nothing reset\n", "{case}\n{}", agent.log());
        bare_client(&network, &socket)?;
        server.wait()?;
        assert_eq!(server.said(), format!("hello, {heard}\n").repeat(2), "{case}: the daemon, then rustls");
        agent.says_times("EZD1286I", number + 1)?;
        agent.says_of("EZD1286I", &[&format!("RULE: OUT RC: {code} ")]).context(case)?;
    }
    let pem = network.server_pem()?;
    let words = ["s_server", "-accept", "8443", "-cert", &pem, "-www", "-quiet"];
    let _server = network.peer.serve(8443, "openssl", &words)?;
    let page = network.host.succeed("curl", &["-sS", "-m", "5", &format!("http://{}:8443/", PEER[0])])?;
    assert!(page.contains("TLSv1.3"), "{page}");
    Ok(())
}
