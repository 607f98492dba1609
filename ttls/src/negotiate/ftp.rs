//! FTP behind AUTH TLS (RFC 4217): the data connections' protection, which a program without TLS knows nothing of.
//!
//! A client's PBSZ and PROT P are said in its stead before its first data connection; a server's are answered in its stead,
//! and no data connection is made without them. The data connections themselves are secondary ones (`crate::secondary`).

use std::net::{IpAddr, Ipv4Addr};

use super::dialogue::{Dialogue, Lines, Said};

/// Commands of RFC 2228 and 4217 that are none of a program's without TLS.
const SECURITY: [&str; 8] = ["AUTH", "ADAT", "PBSZ", "PROT", "CCC", "MIC", "CONF", "ENC"];
/// Commands that make a data connection.
const DATA: [&str; 6] = ["PASV", "EPSV", "PORT", "EPRT", "LPRT", "LPSV"];

/// The dialogue of a client on this host.
#[derive(Debug)]
pub(crate) struct Client {
    own: IpAddr,
    server: IpAddr,
    commands: Lines,
    replies: Replies,
    /// Commands without a final reply.
    outstanding: u32,
    stage: Stage,
    /// What the program said behind the command that waits for the protection.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Unprotected,
    /// Replies to earlier commands are waited for.
    Waiting,
    /// PBSZ or PROT is said.
    Asked(&'static str),
    Protected,
}

impl Client {
    /// `own` and `server` are the ends of the control connection.
    pub(crate) fn new(own: IpAddr, server: IpAddr) -> Self {
        Self {
            own,
            server,
            commands: Lines::default(),
            replies: Replies::default(),
            outstanding: 0,
            stage: Stage::Unprotected,
            held: Vec::new(),
        }
    }

    /// What the program has said and may now be said.
    fn go_on(&mut self, said: &mut Said) -> Result<(), String> {
        while matches!(self.stage, Stage::Unprotected | Stage::Protected) {
            let Some(line) = self.commands.next()? else { break };
            let verb = verb(&line);
            if SECURITY.contains(&verb.as_str()) {
                said.to_program.extend(b"503 TLS is spoken on the way; go on without\r\n");
                continue;
            }
            if let Some(refusal) = refusal(&verb, &line, self.own) {
                said.to_program.extend(refusal);
                continue;
            }
            if DATA.contains(&verb.as_str()) && self.stage == Stage::Unprotected {
                self.held = line;
                self.stage = Stage::Waiting;
                self.ask(said);
                continue;
            }
            said.to_network.extend(line);
            self.outstanding += 1;
        }
        Ok(())
    }

    fn ask(&mut self, said: &mut Said) {
        if self.stage == Stage::Waiting && self.outstanding == 0 {
            self.stage = Stage::Asked("PBSZ 0");
            said.to_network.extend(b"PBSZ 0\r\n");
        }
    }

    /// A line of the reply to what was asked in the program's stead.
    fn answered(&mut self, asked: &'static str, line: &[u8], end: bool, said: &mut Said) -> Result<(), String> {
        if !end {
            return Ok(());
        }
        if line.first() != Some(&b'2') {
            let line: String = String::from_utf8_lossy(line).trim().chars().filter(|c| !c.is_control()).collect();
            return Err(format!("the server answers {asked} with `{line}`"));
        }
        if asked == "PBSZ 0" {
            self.stage = Stage::Asked("PROT P");
            said.to_network.extend(b"PROT P\r\n");
        } else {
            self.stage = Stage::Protected;
            self.outstanding += 1;
            said.to_network.append(&mut self.held);
            self.go_on(said)?;
        }
        Ok(())
    }
}

impl Dialogue for Client {
    fn program(&mut self, bytes: &[u8]) -> Result<Said, String> {
        let mut said = Said::default();
        self.commands.hear(bytes);
        self.go_on(&mut said)?;
        Ok(said)
    }

    fn network(&mut self, bytes: &[u8]) -> Result<Said, String> {
        let mut said = Said::default();
        self.replies.lines.hear(bytes);
        while let Some(Reply { line, code, end }) = self.replies.next()? {
            if let Stage::Asked(asked) = self.stage {
                self.answered(asked, &line, end, &mut said)?;
                continue;
            }
            // A data connection to somebody else would not be captured.
            if code == Some(227)
                && let Some(address) = host_port(&line).filter(|address| !address.is_unspecified())
                && IpAddr::V4(address) != self.server
            {
                return Err(format!("the server wants data sent to {address}, which is not where it is"));
            }
            if end && code >= Some(200) {
                self.outstanding = self.outstanding.saturating_sub(1);
            }
            said.to_program.extend(line);
            self.ask(&mut said);
        }
        Ok(said)
    }

    fn rest(&mut self) -> Said {
        Said { to_program: self.replies.lines.rest(), to_network: self.commands.rest() }
    }
}

/// The dialogue of a server on this host.
#[derive(Debug)]
pub(crate) struct Server {
    client: IpAddr,
    commands: Lines,
    protected: bool,
}

impl Server {
    pub(crate) fn new(client: IpAddr) -> Self {
        Self { client, commands: Lines::default(), protected: false }
    }
}

impl Dialogue for Server {
    fn program(&mut self, bytes: &[u8]) -> Result<Said, String> {
        Ok(Said { to_network: bytes.to_vec(), ..Said::default() })
    }

    fn network(&mut self, bytes: &[u8]) -> Result<Said, String> {
        let mut said = Said::default();
        self.commands.hear(bytes);
        while let Some(line) = self.commands.next()? {
            let verb = verb(&line);
            let level = argument(&line).to_ascii_uppercase();
            let answer: Option<&[u8]> = match (verb.as_str(), level.as_str()) {
                ("PBSZ", _) => Some(b"200 PBSZ=0\r\n"),
                ("PROT", "P") => {
                    self.protected = true;
                    Some(b"200 Protection level Private\r\n")
                }
                ("PROT", _) => Some(b"536 Protection level Private only\r\n"),
                ("CCC", _) => Some(b"533 The control connection stays protected\r\n"),
                ("AUTH", _) => Some(b"503 TLS is active already\r\n"),
                (verb, _) if DATA.contains(&verb) && !self.protected => Some(b"521 PROT P first\r\n"),
                (verb, _) => refusal(verb, &line, self.client),
            };
            match answer {
                Some(answer) => said.to_network.extend(answer),
                None => said.to_program.extend(line),
            }
        }
        Ok(said)
    }

    fn rest(&mut self) -> Said {
        Said { to_program: self.commands.rest(), ..Said::default() }
    }
}

/// The server's answers before AUTH TLS, and whether TLS follows.
pub(super) fn before(command: &str) -> (String, bool) {
    let upper = command.trim().to_ascii_uppercase();
    let answer = match upper.as_str() {
        "AUTH TLS" | "AUTH TLS-C" | "AUTH SSL" => return ("234 Begin TLS negotiation\r\n".to_owned(), true),
        "FEAT" => "211-Features:\r\n AUTH TLS\r\n PBSZ\r\n PROT\r\n211 End\r\n",
        "NOOP" => "200 OK\r\n",
        "QUIT" => "221 Goodbye\r\n",
        other if other.starts_with("AUTH") => "504 AUTH TLS only\r\n",
        _ => "530 AUTH TLS first\r\n",
    };
    (answer.to_owned(), false)
}

/// Why a data connection that a command asks for is not to be: `end` is where it has to go.
fn refusal(verb: &str, line: &[u8], end: IpAddr) -> Option<&'static [u8]> {
    let address = match verb {
        "PORT" => host_port(line).map(IpAddr::V4),
        "EPRT" => extended(line),
        "LPRT" | "LPSV" => return Some(b"502 Use EPRT and EPSV\r\n"),
        _ => return None,
    };
    (address != Some(end)).then_some(b"504 The address is not that of this connection\r\n")
}

fn verb(line: &[u8]) -> String {
    // Telnet's interrupt may stand before it (RFC 959, ABOR).
    let letters =
        line.iter().skip_while(|byte| !byte.is_ascii_alphabetic()).take_while(|byte| byte.is_ascii_alphabetic());
    letters.map(|byte| char::from(byte.to_ascii_uppercase())).collect()
}

fn argument(line: &[u8]) -> String {
    String::from_utf8_lossy(line).split_once(' ').map(|(_, argument)| argument.trim().to_owned()).unwrap_or_default()
}

/// The address of `h1,h2,h3,h4,p1,p2`.
fn host_port(line: &[u8]) -> Option<Ipv4Addr> {
    let text = String::from_utf8_lossy(line);
    // Behind the code of a reply, or the command.
    let text = text.split_once(' ')?.1;
    let from = text.find(|c: char| c.is_ascii_digit())?;
    let numbers: Vec<u8> = text
        .get(from..)?
        .split(|c: char| !c.is_ascii_digit() && c != ',')
        .next()?
        .split(',')
        .map_while(|number| number.parse().ok())
        .collect();
    match numbers.as_slice() {
        [a, b, c, d, _, _] => Some(Ipv4Addr::new(*a, *b, *c, *d)),
        _ => None,
    }
}

/// The address of `|1|192.0.2.7|1024|` (RFC 2428).
fn extended(line: &[u8]) -> Option<IpAddr> {
    let text = argument(line);
    let delimiter = text.chars().next()?;
    text.split(delimiter).nth(2)?.parse().ok()
}

/// A line of a reply.
struct Reply {
    line: Vec<u8>,
    code: Option<u32>,
    /// Whether the reply ends with it.
    end: bool,
}

#[derive(Debug, Default)]
struct Replies {
    lines: Lines,
    /// The code of a reply of several lines.
    within: Option<u32>,
}

impl Replies {
    fn next(&mut self) -> Result<Option<Reply>, String> {
        let Some(line) = self.lines.next()? else { return Ok(None) };
        let code = line.get(..3).and_then(|code| std::str::from_utf8(code).ok()).and_then(|code| code.parse().ok());
        let more = line.get(3) == Some(&b'-');
        let end = match self.within {
            Some(within) => code == Some(within) && !more,
            None => !more,
        };
        let code = self.within.or(code);
        self.within = if end { None } else { code };
        Ok(Some(Reply { line, code, end }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    fn said(to_program: &str, to_network: &str) -> Result<Said, String> {
        Ok(Said { to_program: to_program.into(), to_network: to_network.into() })
    }

    #[test]
    fn the_protection_is_asked_for_before_the_first_data_connection_and_once() {
        let mut client = Client::new(OWN, PEER);
        assert_eq!(client.program(b"USER u\r\n"), said("", "USER u\r\n"));
        // A command before its predecessor's reply: the protection waits for that.
        assert_eq!(client.program(b"PAS"), said("", ""));
        assert_eq!(client.program(b"V\r\nRETR f\r\n"), said("", ""));
        assert_eq!(client.network(b"230-one\r\n230-two\r\n"), said("230-one\r\n230-two\r\n", ""));
        assert_eq!(client.network(b"230 in\r\n"), said("230 in\r\n", "PBSZ 0\r\n"));
        assert_eq!(client.network(b"200-PBSZ\r\n 200 x\r\n200 =0\r\n"), said("", "PROT P\r\n"));
        assert_eq!(client.network(b"200 Private\r\n"), said("", "PASV\r\nRETR f\r\n"));
        let passive = "227 Entering Passive Mode (10,0,0,2,4,1).\r\n";
        assert_eq!(client.network(passive.as_bytes()), said(passive, ""));
        assert_eq!(client.network(b"150 now\r\n226 done\r\n"), said("150 now\r\n226 done\r\n", ""));
        assert_eq!(client.program(b"EPSV\r\n"), said("", "EPSV\r\n"));
    }

    #[test]
    fn a_server_without_the_protection_gets_no_data() {
        for answers in [&["530 no\r\n"][..], &["200 ok\r\n", "536 no\r\n"], &["421 bye\r\n"]] {
            let mut client = Client::new(OWN, PEER);
            assert_eq!(client.program(b"EPSV\r\n"), said("", "PBSZ 0\r\n"));
            let heard: Result<Vec<_>, _> = answers.iter().map(|answer| client.network(answer.as_bytes())).collect();
            assert!(heard.is_err(), "{answers:?}");
        }
    }

    #[test]
    fn data_go_to_the_ends_of_the_control_connection_only() {
        let mut client = Client::new(OWN, PEER);
        client.stage = Stage::Protected;
        assert!(client.network(b"227 Entering Passive Mode (10,0,0,3,4,1)\r\n").is_err());
        assert!(client.network(b"227 =0,0,0,0,4,1\r\n").is_ok());
        let refused = "504 The address is not that of this connection\r\n";
        assert_eq!(client.program(b"PORT 10,0,0,2,4,1\r\n"), said(refused, ""));
        assert_eq!(client.program(b"EPRT |1|10.0.0.1|1025|\r\n"), said("", "EPRT |1|10.0.0.1|1025|\r\n"));
        let mut server = Server::new(PEER);
        server.protected = true;
        assert_eq!(server.network(b"PORT 10,0,0,3,4,1\r\n"), said("", refused));
        assert_eq!(server.network(b"PORT 10,0,0,2,4,1\r\n"), said("PORT 10,0,0,2,4,1\r\n", ""));
        assert_eq!(server.network(b"EPRT |2|fe80::1|9|\r\n"), said("", refused));
    }

    #[test]
    fn a_server_s_protection_is_answered_for_it() {
        let mut server = Server::new(PEER);
        assert_eq!(server.network(b"USER u\r\nEPSV\r\n"), said("USER u\r\n", "521 PROT P first\r\n"));
        assert_eq!(
            server.network(b"pbsz 0\r\nPROT C\r\n"),
            said("", "200 PBSZ=0\r\n536 Protection level Private only\r\n")
        );
        assert_eq!(server.network(b"EPSV\r\n"), said("", "521 PROT P first\r\n"));
        assert_eq!(server.network(b"PROT p\r\nEPSV\r\n"), said("EPSV\r\n", "200 Protection level Private\r\n"));
        assert_eq!(server.network(b"CCC\r\n"), said("", "533 The control connection stays protected\r\n"));
        assert_eq!(server.network(b"\xff\xf4\xff\xf2ABOR\r\n").map(|said| said.to_program.len()), Ok(10));
        assert_eq!(server.network(b"half"), said("", ""));
        assert_eq!(server.rest(), Said { to_program: b"half".to_vec(), ..Said::default() });
    }

    #[test]
    fn only_auth_tls_is_granted_in_clear_text() {
        for command in ["AUTH TLS\r\n", "auth ssl\r\n"] {
            assert!(before(command).1, "{command}");
        }
        for command in ["USER u", "AUTH GSSAPI", "FEAT", "PASV", ""] {
            assert!(!before(command).1, "{command}");
        }
    }
}
