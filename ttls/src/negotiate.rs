//! The upgrade to TLS that a protocol asks for (`Negotiate`), spoken in the program's stead, so that neither it nor its peer
//! need know: STARTTLS of SMTP (RFC 3207), IMAP (RFC 9051 section 6.2.1) and LDAP (RFC 4511 section 4.14), STLS of POP3
//! (RFC 2595), AUTH TLS of FTP (RFC 4217), and PostgreSQL's SSLRequest. What FTP and PostgreSQL have to say about TLS behind
//! that is in [`dialogue`].
//!
//! Nothing is read beyond the upgrade: what a peer sends behind it in clear text is taken for TLS, and fails.

mod dialogue;
mod ftp;
mod postgres;

use std::io;

use policies::parameters::{Protocol, Role};
use stack::Endpoints;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::error::ConnectionError;
pub(crate) use dialogue::{Dialogue, converse};

/// Longest line, and most lines of an answer or commands before the upgrade.
const LINE: usize = 4096;
const LINES: usize = 500;
/// Longest LDAP message before the upgrade.
const MESSAGE: usize = 16 * 1024;

/// PostgreSQL's requests before its first message: a length of 8 and a number.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 0xD2, 0x16, 0x2F];
const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 0xD2, 0x16, 0x30];

/// The name of LDAP's StartTLS.
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// Whether the server speaks first.
pub(crate) fn greets(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Smtp | Protocol::Imap | Protocol::Pop3 | Protocol::Ftp)
}

/// What is to be said behind the upgrade, on a connection with these ends.
pub(crate) fn dialogue(protocol: Protocol, role: Role, ends: Endpoints) -> Option<Box<dyn Dialogue>> {
    match (protocol, role) {
        (Protocol::Ftp, Role::Client) => Some(Box::new(ftp::Client::new(ends.local.ip(), ends.remote.ip()))),
        (Protocol::Ftp, Role::Server(_)) => Some(Box::new(ftp::Server::new(ends.remote.ip()))),
        (Protocol::Postgres, Role::Client) => Some(Box::new(postgres::Client::default())),
        _ => None,
    }
}

/// The client's part, on the way to a server. Gives what the program has to hear first: the server's greeting.
pub(crate) async fn ask(protocol: Protocol, network: &mut TcpStream) -> Result<Vec<u8>, ConnectionError> {
    match protocol {
        Protocol::Smtp => {
            let greeting = reply(network, "220").await?;
            let own = match network.local_addr()?.ip().to_canonical() {
                std::net::IpAddr::V4(address) => format!("[{address}]"),
                std::net::IpAddr::V6(address) => format!("[IPv6:{address}]"),
            };
            network.write_all(format!("EHLO {own}\r\n").as_bytes()).await?;
            let offers = reply(network, "250").await?;
            let offers = String::from_utf8_lossy(&offers).to_ascii_uppercase();
            if !offers.lines().any(|line| line.get(4..).is_some_and(|word| word.trim() == "STARTTLS")) {
                return Err(ConnectionError::NoUpgrade("the server does not offer STARTTLS".to_owned()));
            }
            network.write_all(b"STARTTLS\r\n").await?;
            reply(network, "220").await?;
            Ok(greeting)
        }
        Protocol::Ftp => {
            let greeting = reply(network, "220").await?;
            network.write_all(b"AUTH TLS\r\n").await?;
            reply(network, "234").await?;
            Ok(greeting)
        }
        Protocol::Imap => {
            let greeting = line(network).await?;
            if !greeting.to_ascii_uppercase().starts_with(b"* OK") {
                return Err(refused(&greeting));
            }
            network.write_all(b"PAGENT1 STARTTLS\r\n").await?;
            for _ in 0..LINES {
                let answer = line(network).await?;
                if answer.to_ascii_uppercase().starts_with(b"PAGENT1 OK") {
                    return Ok(without_capability(&greeting));
                }
                if !answer.starts_with(b"* ") {
                    return Err(refused(&answer));
                }
            }
            Err(too_long())
        }
        Protocol::Pop3 => {
            let greeting = line(network).await?;
            network.write_all(b"STLS\r\n").await?;
            let answer = line(network).await?;
            if greeting.starts_with(b"+OK") && answer.starts_with(b"+OK") {
                Ok(greeting)
            } else {
                Err(refused(&answer))
            }
        }
        Protocol::Postgres => {
            network.write_all(&SSL_REQUEST).await?;
            match network.read_u8().await? {
                b'S' => Ok(Vec::new()),
                b'N' => Err(ConnectionError::NoUpgrade("the server has no TLS (ssl = off)".to_owned())),
                _ => Err(ConnectionError::NoUpgrade("the server refuses SSLRequest".to_owned())),
            }
        }
        Protocol::Ldap => {
            let name = [&[0x80, 22][..], START_TLS].concat();
            network.write_all(&ber(0x30, &[&[2, 1, 1][..], &ber(0x77, &name)].concat())).await?;
            let answer = message(network).await?;
            let (_, operation) = value(&answer).ok_or_else(malformed)?;
            match operation {
                [0x78, _, 0x0A, 1, 0, ..] => Ok(Vec::new()),
                [0x78, _, 0x0A, 1, code, ..] => {
                    Err(ConnectionError::NoUpgrade(format!("the server refuses StartTLS with result code {code}")))
                }
                _ => Err(malformed()),
            }
        }
    }
}

/// The server's part. `greeting` is the program's.
pub(crate) async fn answer(
    protocol: Protocol,
    network: &mut TcpStream,
    greeting: &[u8],
) -> Result<(), ConnectionError> {
    match protocol {
        Protocol::Smtp | Protocol::Imap | Protocol::Pop3 | Protocol::Ftp => {
            let greeting = if protocol == Protocol::Imap { without_capability(greeting) } else { greeting.to_vec() };
            network.write_all(&greeting).await?;
            for _ in 0..LINES {
                let command = line(network).await?;
                let command = String::from_utf8_lossy(&command).into_owned();
                let (answer, upgrade) = match protocol {
                    Protocol::Smtp => smtp(&command),
                    Protocol::Imap => imap(&command),
                    Protocol::Ftp => ftp::before(&command),
                    _ => pop3(&command),
                };
                network.write_all(answer.as_bytes()).await?;
                if upgrade {
                    return Ok(());
                }
            }
            Err(ConnectionError::NoUpgrade("the client does not ask for TLS".to_owned()))
        }
        Protocol::Postgres => {
            for _ in 0..2 {
                let mut request = [0; 8];
                network.read_exact(&mut request).await?;
                match request {
                    SSL_REQUEST => {
                        network.write_all(b"S").await?;
                        return Ok(());
                    }
                    GSS_REQUEST => network.write_all(b"N").await?,
                    _ => break,
                }
            }
            // ErrorResponse: severity, SQLSTATE invalid_authorization_specification, message.
            let fields = b"SFATAL\0C28000\0Mthis server takes connections with SSL only\0\0";
            let length = u32::try_from(fields.len() + 4).unwrap_or_default().to_be_bytes();
            network.write_all(&[&b"E"[..], &length, fields].concat()).await?;
            Err(ConnectionError::NoUpgrade("the client does not ask for TLS (sslmode)".to_owned()))
        }
        Protocol::Ldap => {
            let request = message(network).await?;
            let (id, operation) = value(&request).ok_or_else(malformed)?;
            let asks =
                operation.first() == Some(&0x77) && operation.windows(START_TLS.len()).any(|part| part == START_TLS);
            // success, or confidentialityRequired.
            let code = if asks { 0 } else { 13 };
            let response = ber(0x78, &[0x0A, 1, code, 4, 0, 4, 0]);
            network.write_all(&ber(0x30, &[id, &response].concat())).await?;
            if asks {
                Ok(())
            } else {
                Err(ConnectionError::NoUpgrade("the client does not ask for StartTLS".to_owned()))
            }
        }
    }
}

/// The program's greeting, where its protocol has one.
pub(crate) async fn greeting(protocol: Protocol, program: &mut TcpStream) -> Result<Vec<u8>, ConnectionError> {
    if matches!(protocol, Protocol::Smtp | Protocol::Ftp) { reply(program, "220").await } else { line(program).await }
}

fn smtp(command: &str) -> (String, bool) {
    let name = "localhost";
    match verb(command, 0).as_str() {
        "EHLO" => (format!("250-{name}\r\n250 STARTTLS\r\n"), false),
        "HELO" => (format!("250 {name}\r\n"), false),
        "NOOP" | "RSET" => ("250 OK\r\n".to_owned(), false),
        "STARTTLS" => ("220 Ready to start TLS\r\n".to_owned(), true),
        "QUIT" => ("221 Bye\r\n".to_owned(), false),
        _ => ("530 Must issue a STARTTLS command first\r\n".to_owned(), false),
    }
}

fn imap(command: &str) -> (String, bool) {
    let tag: String = command.split_ascii_whitespace().next().unwrap_or("*").chars().take(64).collect();
    match verb(command, 1).as_str() {
        "CAPABILITY" => {
            (format!("* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\n{tag} OK CAPABILITY completed\r\n"), false)
        }
        "NOOP" => (format!("{tag} OK NOOP completed\r\n"), false),
        "STARTTLS" => (format!("{tag} OK Begin TLS negotiation now\r\n"), true),
        "LOGOUT" => (format!("* BYE\r\n{tag} OK LOGOUT completed\r\n"), false),
        _ => (format!("{tag} NO [PRIVACYREQUIRED] STARTTLS first\r\n"), false),
    }
}

fn pop3(command: &str) -> (String, bool) {
    match verb(command, 0).as_str() {
        "CAPA" => ("+OK\r\nSTLS\r\n.\r\n".to_owned(), false),
        "STLS" => ("+OK Begin TLS negotiation\r\n".to_owned(), true),
        "QUIT" => ("+OK Bye\r\n".to_owned(), false),
        _ => ("-ERR STLS first\r\n".to_owned(), false),
    }
}

fn verb(command: &str, at: usize) -> String {
    command.split_ascii_whitespace().nth(at).unwrap_or_default().to_ascii_uppercase()
}

/// What an IMAP server can do before TLS is not what it can do after it.
fn without_capability(greeting: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(greeting);
    match (text.find("[CAPABILITY"), text.find(']')) {
        (Some(from), Some(to)) if from < to => {
            let rest = text.get(to + 1..).unwrap_or_default();
            format!("{}{}", text.get(..from).unwrap_or_default(), rest.trim_start_matches(' ')).into_bytes()
        }
        _ => greeting.to_vec(),
    }
}

/// A line with its end. Byte by byte: what follows it belongs to somebody else.
async fn line(stream: &mut TcpStream) -> Result<Vec<u8>, ConnectionError> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        if line.len() == LINE {
            return Err(too_long());
        }
        line.push(stream.read_u8().await?);
    }
    Ok(line)
}

/// A reply of SMTP or FTP, all its lines, with this code. Between its first and its last line FTP has any lines (RFC 959,
/// section 4.2).
async fn reply(stream: &mut TcpStream, code: &str) -> Result<Vec<u8>, ConnectionError> {
    let mut all = Vec::new();
    for _ in 0..LINES {
        let one = line(stream).await?;
        let coded = one.starts_with(code.as_bytes());
        if all.is_empty() && !coded {
            return Err(refused(&one));
        }
        let last = coded && one.get(code.len()) != Some(&b'-');
        all.extend(one);
        if last {
            return Ok(all);
        }
    }
    Err(too_long())
}

/// The content of an LDAP message: its id and its operation.
async fn message(stream: &mut TcpStream) -> Result<Vec<u8>, ConnectionError> {
    if stream.read_u8().await? != 0x30 {
        return Err(malformed());
    }
    let first = usize::from(stream.read_u8().await?);
    let mut length = first;
    if first >= 0x80 {
        length = 0;
        let bytes = first - 0x80;
        if !(1..=4).contains(&bytes) {
            return Err(malformed());
        }
        for _ in 0..bytes {
            length = (length << 8) | usize::from(stream.read_u8().await?);
        }
    }
    if length > MESSAGE {
        return Err(too_long());
    }
    let mut content = vec![0; length];
    stream.read_exact(&mut content).await?;
    Ok(content)
}

/// The message id with its header, and what follows it.
fn value(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(*content.get(1)?);
    (content.first() == Some(&2) && length <= 4).then(|| content.split_at_checked(2 + length))?
}

/// A short BER value.
fn ber(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap_or(u8::MAX);
    [&[tag, length][..], content].concat()
}

fn refused(answer: &[u8]) -> ConnectionError {
    let said: String = String::from_utf8_lossy(answer).trim().chars().filter(|c| !c.is_control()).take(200).collect();
    ConnectionError::NoUpgrade(format!("the other side said `{said}`"))
}

fn too_long() -> ConnectionError {
    ConnectionError::NoUpgrade("what the other side says does not end".to_owned())
}

fn malformed() -> ConnectionError {
    io::Error::new(io::ErrorKind::InvalidData, "not an LDAP message that belongs here").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_done_before_tls_is_not_passed_on() {
        let greeting = b"* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] Dovecot ready.\r\n";
        assert_eq!(without_capability(greeting), b"* OK Dovecot ready.\r\n");
        assert_eq!(without_capability(b"* OK ready\r\n"), b"* OK ready\r\n");
        assert_eq!(without_capability(b"* OK ] [CAPABILITY x\r\n"), b"* OK ] [CAPABILITY x\r\n");
    }

    #[test]
    fn only_the_upgrade_is_granted_in_clear_text() {
        assert!(smtp("starttls\r\n").1 && imap("a1 StartTLS\r\n").1 && pop3("STLS\r\n").1);
        for (command, answer) in [("MAIL FROM:<a@b>", "530"), ("AUTH PLAIN x", "530"), ("", "530")] {
            let (said, upgrade) = smtp(command);
            assert!(said.starts_with(answer) && !upgrade, "{command}");
        }
        assert!(imap("a LOGIN user secret").0.starts_with("a NO ") && pop3("USER x").0.starts_with("-ERR"));
    }
}
