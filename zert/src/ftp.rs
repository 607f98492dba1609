//! FTP's control connection in clear text: what is transferred, and where data connections will be. Source: RFC 959, RFC 2428.
//!
//! Lines of both sides come in order; times are the caller's.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::observer::Side;

/// No line is longer; what is longer is no FTP.
const LONGEST: usize = 4096;
/// Commands without a reply; a client that sends more is none of FTP.
const MOST: usize = 64;

/// What was heard.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    /// A data connection to this end will come; it is the control connection's client, or its server, that waits for it.
    Expected { listener: SocketAddr, waits: Side },
    /// Data of a transfer begins to flow.
    Began,
    /// A transfer, a deletion or a renaming has come to its last reply.
    Ended(Operation),
}

/// What a client asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Operation {
    /// The command: `RETR`, `STOR`, `STOU`, `APPE`, `DELE`, `RNTO`.
    pub(crate) command: String,
    /// The file, as the client names it.
    pub(crate) file: String,
    /// Its new name (`RNTO`).
    pub(crate) second_file: String,
    /// Who is logged in.
    pub(crate) user: String,
    /// `TYPE`.
    pub(crate) data_type: char,
    /// `MODE`.
    pub(crate) mode: char,
    /// `STRU`.
    pub(crate) structure: char,
    /// The last reply's code.
    pub(crate) reply: String,
    /// Whether data flowed.
    pub(crate) has_data: bool,
}

/// A command without its last reply.
#[derive(Clone, Debug)]
struct Command {
    verb: String,
    argument: String,
    /// A first reply has come: data flows.
    begun: bool,
    /// Where the client will wait for data, if the server agrees.
    listener: Option<SocketAddr>,
}

/// One control connection.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    client_end: SocketAddr,
    server_end: SocketAddr,
    client: Vec<u8>,
    server: Vec<u8>,
    asked: VecDeque<Command>,
    user: String,
    data_type: char,
    mode: char,
    structure: char,
    /// `RNFR`'s.
    renamed: String,
    /// Somebody has logged in, or the server has agreed to what no other protocol has.
    is_ftp: bool,
    /// Nothing more can be heard.
    over: bool,
}

impl Control {
    pub(crate) fn new(client_end: SocketAddr, server_end: SocketAddr) -> Self {
        Self {
            client_end,
            server_end,
            client: Vec::new(),
            server: Vec::new(),
            asked: VecDeque::new(),
            user: String::new(),
            data_type: 'A',
            mode: 'S',
            structure: 'F',
            renamed: String::new(),
            is_ftp: false,
            over: false,
        }
    }

    /// Whether it is certain to be FTP: SMTP greets alike.
    pub(crate) fn is_ftp(&self) -> bool {
        self.is_ftp
    }

    /// Whether nothing more can be heard: it is encrypted from here on, or no FTP.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Takes bytes that one side sent.
    pub(crate) fn hear(&mut self, from: Side, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        let mut rest = bytes;
        while !self.over && !rest.is_empty() {
            let buffer = match from {
                Side::Client => &mut self.client,
                Side::Server => &mut self.server,
            };
            let (line, behind) = match rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => rest.split_at(end + 1),
                None => (rest, &[][..]),
            };
            buffer.extend_from_slice(line);
            rest = behind;
            if buffer.len() > LONGEST {
                self.over = true;
            } else if buffer.ends_with(b"\n") {
                let line = std::mem::take(buffer);
                let line = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
                match from {
                    Side::Client => self.command(&line),
                    Side::Server => events.extend(self.reply(&line)),
                }
            }
        }
        events
    }

    fn command(&mut self, line: &str) {
        // Telnet's interrupt and synch may come before ABOR.
        let line = line.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        let verb = verb.to_ascii_uppercase();
        if matches!(verb.as_str(), "EHLO" | "HELO" | "LHLO") {
            self.over = true;
        }
        let expected = match verb.as_str() {
            "PORT" => six_numbers(argument),
            "EPRT" => eprt(argument),
            _ => None,
        };
        if self.asked.len() >= MOST {
            self.over = true;
            return;
        }
        // A client may name another host's address; there is no connection of this one's then.
        let listener = expected.filter(|end| end.ip() == self.client_end.ip());
        self.asked.push_back(Command { verb, argument: argument.to_owned(), begun: false, listener });
    }

    /// A line of the server: what ends a reply has a blank behind its code.
    fn reply(&mut self, line: &str) -> Option<Event> {
        let code = line.get(..3).filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()))?;
        if line.as_bytes().get(3).is_some_and(|byte| *byte != b' ') {
            return None;
        }
        let command = self.asked.front_mut()?;
        if code.starts_with('1') {
            command.begun = true;
            return Some(Event::Began);
        }
        let Command { verb, argument, begun, listener } = self.asked.pop_front()?;
        let done = code.starts_with('2');
        self.is_ftp |= match verb.as_str() {
            "USER" | "PASS" | "ACCT" => done,
            "AUTH" => code == "234" || code == "334",
            "PASV" | "EPSV" | "PORT" | "EPRT" => done,
            _ => false,
        };
        match verb.as_str() {
            "USER" if !code.starts_with('5') => self.user = argument,
            "REIN" if done => self.user = String::new(),
            "TYPE" if done => self.data_type = first(&argument, self.data_type),
            "MODE" if done => self.mode = first(&argument, self.mode),
            "STRU" if done => self.structure = first(&argument, self.structure),
            "RNFR" => self.renamed = argument,
            "AUTH" if code == "234" || code == "334" => self.over = true,
            "PORT" | "EPRT" if done => {
                return Some(Event::Expected { listener: listener?, waits: Side::Client });
            }
            "PASV" if code == "227" => {
                // Behind a translated address it is the server's all the same.
                let listener = six_numbers(line.get(4..)?)?;
                let listener = SocketAddr::new(self.server_end.ip(), listener.port());
                return Some(Event::Expected { listener, waits: Side::Server });
            }
            "EPSV" if code == "229" => {
                let listener = SocketAddr::new(self.server_end.ip(), epsv(line)?);
                return Some(Event::Expected { listener, waits: Side::Server });
            }
            "RETR" | "STOR" | "STOU" | "APPE" if begun => return Some(self.ended(verb, argument, code, true)),
            "DELE" | "RNTO" if done => return Some(self.ended(verb, argument, code, false)),
            _ => {}
        }
        None
    }

    fn ended(&mut self, command: String, argument: String, code: &str, has_data: bool) -> Event {
        let (file, second_file) =
            if command == "RNTO" { (std::mem::take(&mut self.renamed), argument) } else { (argument, String::new()) };
        Event::Ended(Operation {
            command,
            file,
            second_file,
            user: self.user.clone(),
            data_type: self.data_type,
            mode: self.mode,
            structure: self.structure,
            reply: code.to_owned(),
            has_data,
        })
    }
}

fn first(argument: &str, before: char) -> char {
    argument.chars().next().filter(char::is_ascii_alphabetic).map_or(before, |letter| letter.to_ascii_uppercase())
}

/// `h1,h2,h3,h4,p1,p2`, the first six numbers with commas between them.
fn six_numbers(text: &str) -> Option<SocketAddr> {
    let begin = text.find(|c: char| c.is_ascii_digit())?;
    let end = text.rfind(|c: char| c.is_ascii_digit())?;
    let numbers: Option<Vec<u8>> = text.get(begin..=end)?.split(',').map(|number| number.trim().parse().ok()).collect();
    let [a, b, c, d, high, low] = *numbers?.first_chunk::<6>()?;
    Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low])))
}

/// `|1|132.235.1.2|6275|`; any mark may stand for `|`.
fn eprt(text: &str) -> Option<SocketAddr> {
    let mark = text.chars().next()?;
    let mut parts = text.split(mark).skip(1);
    let (_, address, port) = (parts.next()?, parts.next()?, parts.next()?);
    Some(SocketAddr::new(address.parse::<IpAddr>().ok()?.to_canonical(), port.parse().ok()?))
}

/// `229 Entering Extended Passive Mode (|||6446|)`.
fn epsv(line: &str) -> Option<u16> {
    let (_, inside) = line.rsplit_once('(')?;
    let mark = inside.chars().next()?;
    inside.split(mark).nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use Side::{Client, Server};
    use proptest::prelude::*;

    use super::*;

    fn control() -> Control {
        let end = |text: &str| text.parse().expect("an address");
        Control::new(end("10.1.0.2:40000"), end("10.1.0.1:21"))
    }

    fn heard(turns: &[(Side, &str)]) -> Vec<Event> {
        let (mut whole, mut bytewise) = (control(), control());
        let mut events = Vec::new();
        for (from, text) in turns {
            let found = whole.hear(*from, text.as_bytes());
            let bytes: Vec<Event> = text.as_bytes().chunks(1).flat_map(|byte| bytewise.hear(*from, byte)).collect();
            assert_eq!(found, bytes);
            events.extend(found);
        }
        events
    }

    fn operation(command: &str, file: &str, reply: &str) -> Operation {
        Operation {
            command: command.to_owned(),
            file: file.to_owned(),
            second_file: String::new(),
            user: "alice".to_owned(),
            data_type: 'I',
            mode: 'S',
            structure: 'F',
            reply: reply.to_owned(),
            has_data: true,
        }
    }

    const LOGIN: [(Side, &str); 7] = [
        (Server, "220-welcome\r\n220 ready\r\n"),
        (Client, "USER alice\r\n"),
        (Server, "331 password\r\n"),
        (Client, "PASS secret\r\n"),
        (Server, "230-hello\r\n 230 not this one\r\n230 in\r\n"),
        (Client, "TYPE I\r\n"),
        (Server, "200 binary\r\n"),
    ];

    #[test]
    fn transfers_are_told_with_where_their_data_goes() {
        let passive = [
            (Client, "PASV\r\n"),
            (Server, "227 Entering Passive Mode (192,168,7,7,195,81).\r\n"),
            (Client, "RETR day.txt\r\n"),
            (Server, "150 here it comes\r\n226 done\r\n"),
        ];
        let listener = |text: &str| text.parse().expect("an address");
        let found = heard(&[&LOGIN[..], &passive].concat());
        let expected = Event::Expected { listener: listener("10.1.0.1:50001"), waits: Server };
        assert_eq!(found, [expected, Event::Began, Event::Ended(operation("RETR", "day.txt", "226"))]);
        let active = [
            (Client, "PORT 10,1,0,2,156,65\r\n"),
            (Server, "200 yes\r\n"),
            (Client, "STOR a b.txt\r\n"),
            (Server, "150-well\r\n150 go\r\n"),
            (Server, "426 cut\r\n"),
        ];
        let found = heard(&[&LOGIN[..], &active].concat());
        let expected = Event::Expected { listener: listener("10.1.0.2:40001"), waits: Client };
        assert_eq!(found, [expected, Event::Began, Event::Ended(operation("STOR", "a b.txt", "426"))]);
        // Another host's data is none of this one's, and what was refused announces and moves nothing.
        let others = [
            (Client, "PORT 10,9,9,9,1,1\r\nPORT 10,1,0,2,1,1\r\n"),
            (Server, "200 yes\r\n500 no\r\n"),
            (Client, "RETR secret\r\n"),
            (Server, "550 no\r\n"),
        ];
        assert_eq!(heard(&[&LOGIN[..], &others].concat()), []);
    }

    #[test]
    fn the_long_forms_are_understood() {
        let mut control =
            Control::new("[fd01::2]:4000".parse().expect("an end"), "[fd01::1]:21".parse().expect("an end"));
        control.hear(Client, b"EPSV\r\n");
        let found = control.hear(Server, b"229 Entering Extended Passive Mode (|||6446|)\r\n");
        let listener = "[fd01::1]:6446".parse().expect("an end");
        assert_eq!(found, [Event::Expected { listener, waits: Server }]);
        control.hear(Client, b"EPRT !2!fd01::2!5282!\r\n");
        let found = control.hear(Server, b"200 yes\r\n");
        let listener = "[fd01::2]:5282".parse().expect("an end");
        assert_eq!(found, [Event::Expected { listener, waits: Client }]);
    }

    #[test]
    fn what_moves_no_data_is_told_too() {
        let found = heard(&[
            LOGIN[1],
            LOGIN[2],
            (Client, "RNFR old\r\nRNTO new\r\nDELE new\r\nDELE other\r\n"),
            (Server, "350 go on\r\n250 renamed\r\n250 deleted\r\n550 no\r\n"),
        ]);
        let renamed = Operation {
            second_file: "new".to_owned(),
            data_type: 'A',
            has_data: false,
            ..operation("RNTO", "old", "250")
        };
        let deleted = Operation { data_type: 'A', has_data: false, ..operation("DELE", "new", "250") };
        assert_eq!(found, [Event::Ended(renamed), Event::Ended(deleted)]);
    }

    #[test]
    fn it_ends_where_tls_begins_or_another_protocol_does() {
        for (client, server, ftp) in [
            ("AUTH TLS\r\n", "234 go\r\n", true),
            ("EHLO a\r\n", "250 b\r\n", false),
            ("USER a\r\n", "331 b\r\n", false),
        ] {
            let mut control = control();
            control.hear(Server, b"220 ready\r\n");
            control.hear(Client, client.as_bytes());
            control.hear(Server, server.as_bytes());
            assert_eq!((control.is_ftp(), control.is_over()), (ftp, !client.starts_with("USER")), "{client}");
        }
        let mut control = control();
        control.hear(Client, &[b'x'; 5000]);
        assert!(control.is_over());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(turns in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..80)), 0..20)) {
            let mut control = control();
            for (client, bytes) in turns {
                control.hear(if client { Client } else { Server }, &bytes);
            }
        }

        #[test]
        fn no_lines_do(words in prop::collection::vec(prop::sample::select(vec![
            "USER", "a", "PASV", "PORT", "EPRT", "|", "1,2,3,4,5,6", "227 ", "(", ")", "229 ", "(|||1|)", "150 ", "226 ", "\r\n", "\r\n",
            "RETR", "RNFR", "RNTO", " ", "\u{fffd}", "99999", ",",
        ]), 0..60), client in any::<bool>()) {
            let mut control = control();
            let text = words.concat();
            control.hear(if client { Client } else { Server }, text.as_bytes());
            control.hear(Server, text.as_bytes());
        }
    }
}
