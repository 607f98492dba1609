//! FTP behind AUTH TLS (RFC 4217): the data connections' protection, which a program without TLS knows nothing of.
//!
//! A client's PBSZ and PROT P are said in its stead before its first data connection; a server's are answered in its stead,
//! and no data connection is made without them. The data connections themselves are secondary ones (`crate::secondary`).

use std::net::{IpAddr, Ipv4Addr};

use super::dialogue::{Dialogue, Lines, Said};

/// Commands of RFC 2228 and 4217 that are none of a program's without TLS.
const SECURITY: [&str; 8] = ["AUTH", "ADAT", "PBSZ", "PROT", "CCC", "MIC", "CONF", "ENC"];
/// Longest reply that says where data go.
const LONGEST: usize = 8192;

/// Commands that make a data connection.
const DATA: [&str; 6] = ["PASV", "EPSV", "PORT", "EPRT", "LPRT", "LPSV"];

/// The dialogue of a client on this host.
#[derive(Debug)]
pub(crate) struct Client {
    own: IpAddr,
    server: IpAddr,
    commands: Lines,
    closed: bool,
    replies: Replies,
    /// Lines of a reply that says where data go.
    address: Vec<u8>,
    /// Commands without a final reply.
    outstanding: u32,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Unprotected,
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
            closed: false,
            replies: Replies::default(),
            address: Vec::new(),
            outstanding: 0,
            stage: Stage::Unprotected,
        }
    }

    /// Passes on what the program has said and may now be said. What is answered in the server's stead waits for the server's
    /// own answers to what was said before.
    fn go_on(&mut self, said: &mut Said) -> Result<(), String> {
        while !matches!(self.stage, Stage::Asked(_))
            && let Some(line) = self.commands.peek()?
        {
            let verb = verb(line);
            let answer = if SECURITY.contains(&verb.as_str()) {
                Some(&b"503 TLS is spoken on the way; go on without\r\n"[..])
            } else {
                refusal(&verb, line, self.own)
            };
            let unprotected = self.stage == Stage::Unprotected && DATA.contains(&verb.as_str());
            if (answer.is_some() || unprotected) && self.outstanding > 0 {
                return Ok(());
            }
            if answer.is_none() && unprotected {
                self.stage = Stage::Asked("PBSZ 0");
                said.to_network.extend(b"PBSZ 0\r\n");
                return Ok(());
            }
            let line = self.commands.next()?.unwrap_or_default();
            match answer {
                Some(answer) => said.to_program.extend(answer),
                None => {
                    said.to_network.extend(line);
                    self.outstanding += 1;
                }
            }
        }
        if self.closed && self.hears_program() {
            said.to_network.extend(self.commands.rest());
        }
        Ok(())
    }

    /// The end of the reply to what was asked in the program's stead.
    fn answered(&mut self, asked: &'static str, line: &[u8], said: &mut Said) -> Result<(), String> {
        if line.first() != Some(&b'2') {
            let line: String = String::from_utf8_lossy(line).trim().chars().filter(|c| !c.is_control()).collect();
            return Err(format!("the server answers {asked} with `{line}`"));
        }
        if asked == "PBSZ 0" {
            self.stage = Stage::Asked("PROT P");
            said.to_network.extend(b"PROT P\r\n");
            return Ok(());
        }
        self.stage = Stage::Protected;
        self.go_on(said)
    }

    /// Where the server wants data is said anew, so that no program reads it otherwise than this one: a data connection to
    /// somebody else would not be captured.
    fn passive(&self, code: u32) -> Result<String, String> {
        let text = String::from_utf8_lossy(&self.address);
        let unclear = || format!("the server's answer {code} does not say where data go");
        if code == 229 {
            let port = extended_port(&text).ok_or_else(unclear)?;
            return Ok(format!("229 Entering Extended Passive Mode (|||{port}|)\r\n"));
        }
        let (address, [high, low]) = host_port(&text).ok_or_else(unclear)?;
        match self.server {
            IpAddr::V4(server) if address == server || address.is_unspecified() => {
                let [a, b, c, d] = server.octets();
                Ok(format!("227 Entering Passive Mode ({a},{b},{c},{d},{high},{low})\r\n"))
            }
            _ => Err(format!("the server wants data sent to {address}, which is not where it is")),
        }
    }
}

impl Dialogue for Client {
    fn program(&mut self, bytes: &[u8]) -> Result<Said, String> {
        let mut said = Said::default();
        self.closed |= bytes.is_empty();
        self.commands.hear(bytes);
        self.go_on(&mut said)?;
        Ok(said)
    }

    fn network(&mut self, bytes: &[u8]) -> Result<Said, String> {
        let mut said = Said::default();
        if bytes.is_empty() {
            said.to_program = self.replies.lines.rest();
            return Ok(said);
        }
        self.replies.lines.hear(bytes);
        while let Some(Reply { line, code, end }) = self.replies.next()? {
            if let Stage::Asked(asked) = self.stage {
                if end {
                    self.answered(asked, &line, &mut said)?;
                }
                continue;
            }
            match code {
                Some(code @ (227 | 229)) => {
                    self.address.extend(line);
                    if self.address.len() > LONGEST {
                        return Err("a reply does not end".to_owned());
                    }
                    if end {
                        said.to_program.extend(self.passive(code)?.into_bytes());
                        self.address.clear();
                    }
                }
                _ => said.to_program.extend(line),
            }
            if end && code >= Some(200) {
                self.outstanding = self.outstanding.saturating_sub(1);
            }
            self.go_on(&mut said)?;
        }
        Ok(said)
    }

    fn hears_program(&self) -> bool {
        !matches!(self.stage, Stage::Asked(_)) && !self.commands.is_waiting()
    }
}

/// The dialogue of a server on this host.
#[derive(Debug)]
pub(crate) struct Server {
    client: IpAddr,
    commands: Lines,
    closed: bool,
    /// The program's, to know when it has answered.
    replies: Replies,
    outstanding: u32,
    protected: bool,
}

impl Server {
    pub(crate) fn new(client: IpAddr) -> Self {
        Self {
            client,
            commands: Lines::default(),
            closed: false,
            replies: Replies::default(),
            outstanding: 0,
            protected: false,
        }
    }

    /// Passes on what the client has said and may now be said.
    fn go_on(&mut self, said: &mut Said) -> Result<(), String> {
        while let Some(line) = self.commands.peek()? {
            let verb = verb(line);
            let level = argument(line).to_ascii_uppercase();
            let answer: Option<&[u8]> = match (verb.as_str(), level.as_str()) {
                ("PBSZ", _) => Some(b"200 PBSZ=0\r\n"),
                ("PROT", "P") => Some(b"200 Protection level Private\r\n"),
                ("PROT", _) => Some(b"536 Protection level Private only\r\n"),
                ("CCC", _) => Some(b"533 The control connection stays protected\r\n"),
                ("AUTH", _) => Some(b"503 TLS is active already\r\n"),
                (verb, _) if DATA.contains(&verb) && !self.protected => Some(b"521 PROT P first\r\n"),
                (verb, _) => refusal(verb, line, self.client),
            };
            if answer.is_some() && self.outstanding > 0 {
                return Ok(());
            }
            self.protected |= verb == "PROT" && level == "P";
            let line = self.commands.next()?.unwrap_or_default();
            match answer {
                Some(answer) => said.to_network.extend(answer),
                None => {
                    said.to_program.extend(line);
                    self.outstanding += 1;
                }
            }
        }
        if self.closed {
            said.to_program.extend(self.commands.rest());
        }
        Ok(())
    }
}

impl Dialogue for Server {
    fn program(&mut self, bytes: &[u8]) -> Result<Said, String> {
        let mut said = Said { to_network: bytes.to_vec(), ..Said::default() };
        self.replies.lines.hear(bytes);
        while let Some(Reply { code, end, .. }) = self.replies.next()? {
            if end && code >= Some(200) {
                self.outstanding = self.outstanding.saturating_sub(1);
            }
        }
        self.go_on(&mut said)?;
        Ok(said)
    }

    fn network(&mut self, bytes: &[u8]) -> Result<Said, String> {
        let mut said = Said::default();
        self.closed |= bytes.is_empty();
        self.commands.hear(bytes);
        self.go_on(&mut said)?;
        Ok(said)
    }

    fn hears_network(&self) -> bool {
        !self.commands.is_waiting()
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
        "PORT" => host_port(&argument(line)).map(|(address, _)| IpAddr::V4(address)),
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

/// Address and port of the first `h1,h2,h3,h4,p1,p2`.
fn host_port(text: &str) -> Option<(Ipv4Addr, [u8; 2])> {
    let groups = text.split(|c: char| !c.is_ascii_digit() && c != ',');
    groups.map(|group| group.split(',').map(|number| number.parse().ok()).collect::<Option<Vec<u8>>>()).find_map(
        |numbers| match numbers?.as_slice() {
            [a, b, c, d, high, low] => Some((Ipv4Addr::new(*a, *b, *c, *d), [*high, *low])),
            _ => None,
        },
    )
}

/// The port of `(|||1024|)` (RFC 2428).
fn extended_port(text: &str) -> Option<u16> {
    let (_, behind) = text.split_once("(|||")?;
    behind.split_once("|)")?.0.parse().ok().filter(|port| *port > 0)
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
        // A line within a reply of several ends it with its code and a blank (RFC 959, section 4.2).
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
        assert!(!client.hears_program());
        assert_eq!(client.network(b"230-one\r\n230-two\r\n"), said("230-one\r\n230-two\r\n", ""));
        assert_eq!(client.network(b"230 in\r\n"), said("230 in\r\n", "PBSZ 0\r\n"));
        assert_eq!(client.network(b"200-PBSZ\r\n 200 x\r\n200 =0\r\n"), said("", "PROT P\r\n"));
        assert_eq!(client.network(b"200 Private\r\n"), said("", "PASV\r\nRETR f\r\n"));
        assert!(client.hears_program());
        let passive = "227 Entering Passive Mode (10,0,0,2,4,1)\r\n";
        assert_eq!(client.network(b"227 At =10,0,0,2,4,1.\r\n"), said(passive, ""));
        assert_eq!(client.network(b"150 now\r\n226 done\r\n"), said("150 now\r\n226 done\r\n", ""));
        assert_eq!(client.program(b"EPSV\r\n"), said("", "EPSV\r\n"));
        assert_eq!(
            client.network(b"229-In\r\n229 here (|||1025|)\r\n"),
            said("229 Entering Extended Passive Mode (|||1025|)\r\n", "")
        );
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
        let client = || Client { stage: Stage::Protected, ..Client::new(OWN, PEER) };
        for foreign in [
            "227 Entering Passive Mode (10,0,0,3,4,1)\r\n",
            "227 Entering 2nd Passive Mode (10,0,0,3,4,1)\r\n",
            "227-Entering\r\n10,0,0,3,4,1\r\n227 end\r\n",
            "227 (300) Passive 10,0,0,3,4,1\r\n",
            "227 Passive\r\n",
            "229 (|1|10.0.0.3|1025|)\r\n",
            "229 (|||0|)\r\n",
        ] {
            assert!(client().network(foreign.as_bytes()).is_err(), "{foreign}");
        }
        assert!(client().network(b"227 =0,0,0,0,4,1\r\n").is_ok());
        let refused = "504 The address is not that of this connection\r\n";
        assert_eq!(client().program(b"PORT 10,0,0,2,4,1\r\n"), said(refused, ""));
        assert_eq!(client().program(b"EPRT |1|10.0.0.1|1025|\r\n"), said("", "EPRT |1|10.0.0.1|1025|\r\n"));
        let server = || Server { protected: true, ..Server::new(PEER) };
        assert_eq!(server().network(b"PORT 10,0,0,3,4,1\r\n"), said("", refused));
        assert_eq!(server().network(b"PORT 10,0,0,2,4,1\r\n"), said("PORT 10,0,0,2,4,1\r\n", ""));
        assert_eq!(server().network(b"EPRT |2|fe80::1|9|\r\n"), said("", refused));
    }

    #[test]
    fn a_server_s_protection_is_answered_for_it_when_it_has_answered_what_was_before() {
        let mut server = Server::new(PEER);
        assert_eq!(server.network(b"USER u\r\nEPSV\r\nNOOP\r\n"), said("USER u\r\n", ""));
        assert!(!server.hears_network());
        assert_eq!(server.program(b"331-more\r\n"), said("", "331-more\r\n"));
        assert_eq!(server.program(b"331 go on\r\n"), said("NOOP\r\n", "331 go on\r\n521 PROT P first\r\n"));
        assert_eq!(server.program(b"200 ok\r\n"), said("", "200 ok\r\n"));
        let answers = "200 PBSZ=0\r\n536 Protection level Private only\r\n";
        assert_eq!(server.network(b"pbsz 0\r\nPROT C\r\n"), said("", answers));
        assert_eq!(server.network(b"EPSV\r\n"), said("", "521 PROT P first\r\n"));
        assert_eq!(server.network(b"CCC\r\n"), said("", "533 The control connection stays protected\r\n"));
        assert_eq!(server.network(b"PROT p\r\nEPSV\r\n"), said("EPSV\r\n", "200 Protection level Private\r\n"));
        assert_eq!(server.network(b"\xff\xf4\xff\xf2ABOR\r\n").map(|said| said.to_program.len()), Ok(10));
        assert_eq!(server.network(b"half"), said("", ""));
        assert_eq!(server.network(b""), said("half", ""));
    }

    #[test]
    fn what_a_program_said_before_it_closed_is_said_in_order() {
        let mut client = Client::new(OWN, PEER);
        assert_eq!(client.program(b"PASV\r\nQUIT\r\nhalf"), said("", "PBSZ 0\r\n"));
        assert_eq!(client.program(b""), said("", ""));
        assert_eq!(client.network(b"200 ok\r\n200 ok\r\n"), said("", "PROT P\r\nPASV\r\nQUIT\r\nhalf"));
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
