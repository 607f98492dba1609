//! What is said in clear text before TLS, or instead of it.

use proptest::prelude::*;
use zert::Side::{Client, Server};
use zert::{Observer, Protection, Side, Upgrade};

use crate::support::{Turn, Watched, client_hello, conversation, observe, record, tls12};

const GREETING: (Side, &[u8]) = (Server, b"220 ready\r\n");
const AUTH: (Side, &[u8]) = (Client, b"AUTH TLS\r\n");
const AGREED: (Side, &[u8]) = (Server, b"234 go ahead\r\n");

fn kind(protection: &Protection) -> &'static str {
    match protection {
        Protection::Undetermined => "undetermined",
        Protection::None => "none",
        Protection::Tls(_) => "tls",
        Protection::Ssh(_) => "ssh",
    }
}

/// The answer must not depend on how the turns are cut.
#[track_caller]
fn check(turns: &[(Side, &[u8])], expected: &str) {
    let mut whole = Observer::default();
    let mut bytewise = Watched::default();
    for (from, bytes) in turns {
        whole.observe(*from, bytes);
        bytewise.feed_bytewise(*from, bytes).expect("a stable answer");
    }
    assert_eq!(kind(&whole.protection()), expected);
    assert_eq!(whole.protection(), bytewise.observer.protection());
}

#[test]
fn nothing_said_is_undetermined() {
    check(&[], "undetermined");
    check(&[(Client, b""), (Server, b"")], "undetermined");
}

#[test]
fn a_greeting_alone_decides_nothing() {
    for greeting in [b"220 ready\r\n".as_slice(), b"220-one\r\n220 two\r\n", b"SSH-2.0-server\r\n"] {
        check(&[(Server, greeting)], "undetermined");
    }
}

#[test]
fn a_client_that_asks_and_is_let_may_begin_tls() {
    let hello = record(22, &client_hello("ftp.example"));
    for auth in [b"AUTH TLS\r\n".as_slice(), b"auth tls\r\n", b"AUTH SSL\r\n", b"AUTH TLS-C\r\n", b"AUTH TLS\n"] {
        check(&[GREETING, (Client, auth), AGREED, (Client, &hello)], "tls");
    }
}

/// Sessions by their protections, whole and byte by byte.
#[track_caller]
fn check_sessions(turns: &[(Side, &[u8])], expected: &[&str]) {
    let (mut whole, mut bytewise) = (Observer::default(), Watched::default());
    let mut sessions = Vec::new();
    for (from, bytes) in turns {
        whole.observe(*from, bytes);
        for byte in bytes.chunks(1) {
            let before = bytewise.observer.protection();
            let session = bytewise.observer.session();
            bytewise.feed(*from, byte).expect("a stable answer");
            if bytewise.observer.session() != session {
                sessions.push(kind(&before));
            }
        }
    }
    sessions.push(kind(&bytewise.observer.protection()));
    assert_eq!(sessions, expected);
    assert_eq!(whole.protection(), bytewise.observer.protection());
    assert_eq!(whole.session(), bytewise.observer.session());
}

#[test]
fn tls_after_a_login_in_clear_text_is_another_session() {
    let hello = record(22, &client_hello("ftp.example"));
    let login: [(Side, &[u8]); 3] = [GREETING, (Client, b"USER alice\r\n"), (Server, b"331 password\r\n")];
    let begun: [(Side, &[u8]); 3] = [AUTH, AGREED, (Client, &hello)];
    check_sessions(&[&login[..], &begun].concat(), &["none", "tls"]);
    // In one go, and refused at first.
    let both: [(Side, &[u8]); 2] = [(Client, b"USER alice\r\nAUTH TLS\r\n"), (Server, b"331 password\r\n534 no\r\n")];
    check_sessions(&[&[GREETING], &both[..], &begun].concat(), &["none", "tls"]);
    // What stands in a mail is no request.
    let mail: [(Side, &[u8]); 5] = [
        GREETING,
        (Client, b"MAIL FROM:<a@b>\r\n"),
        (Server, b"250 yes\r\n"),
        (Client, b"DATA\r\nSTARTTLS\r\nis a command\r\n.\r\n"),
        (Server, b"354 go on\r\n250 taken\r\n220 what?\r\n"),
    ];
    check_sessions(&[&mail[..], &[(Client, &hello)]].concat(), &["none"]);
    let imap: [(Side, &[u8]); 4] = [
        (Server, b"* OK ready\r\n"),
        (Client, b"a LOGIN x y\r\nb STARTTLS\r\n"),
        (Server, b"a OK in\r\nb OK go\r\n"),
        (Client, &hello),
    ];
    check_sessions(&imap, &["none", "tls"]);
}

#[test]
fn clear_text_after_tls_is_another_session() {
    let handshake = tls12();
    let upgraded: Vec<(Side, &[u8])> = [GREETING, AUTH, AGREED]
        .into_iter()
        .chain(handshake.iter().map(|(side, bytes)| (*side, bytes.as_slice())))
        .collect();
    let (data, bye) = (record(23, &[0x5A; 40]), record(21, &[0x5A; 26]));
    let closing: [(Side, &[u8]); 4] = [(Client, &data), (Server, &data), (Server, &bye), (Client, &bye)];
    check_sessions(&[&upgraded[..], &closing].concat(), &["tls"]);
    let clear: [(Side, &[u8]); 2] = [(Client, b"PWD\r\n"), (Server, b"257 here\r\n")];
    check_sessions(&[&upgraded[..], &closing, &clear].concat(), &["tls", "none"]);
    // And TLS again.
    let hello = record(22, &client_hello("ftp.example"));
    let again: [(Side, &[u8]); 3] = [AUTH, AGREED, (Client, &hello)];
    check_sessions(&[&upgraded[..], &closing, &clear, &again].concat(), &["tls", "none", "tls"]);
    // Clear text behind the last record, in the same segment.
    let last = [data.as_slice(), &bye, b"PWD\r\n"].concat();
    check_sessions(&[&upgraded[..], &[(Client, &last)]].concat(), &["tls", "none"]);
}

#[test]
fn commands_before_a_login_decide_nothing() {
    check(&[GREETING, (Client, b"FEAT\r\n"), (Server, b"211-Features\r\n AUTH TLS\r\n211 End\r\n")], "undetermined");
    check(&[GREETING, (Client, b"SYST\r\nNOOP\r\nHOST ftp.example\r\n")], "undetermined");
}

#[test]
fn tls_may_follow_commands_before_a_login() {
    let hello = record(22, &client_hello("ftp.example"));
    let features = (Server, b"211-Features\r\n AUTH TLS\r\n211 End\r\n".as_slice());
    check(&[GREETING, (Client, b"FEAT\r\n"), features, AUTH, AGREED, (Client, &hello)], "tls");
}

#[test]
fn an_agreement_of_several_lines_is_over_at_its_last() {
    let hello = record(22, &client_hello("ftp.example"));
    check(&[GREETING, AUTH, (Server, b"234-one\r\n234-two\r\n"), (Client, b"")], "undetermined");
    check(&[GREETING, AUTH, (Server, b"234-one\r\n234 two\r\n"), (Client, &hello)], "tls");
}

#[test]
fn a_login_is_clear_text() {
    check(&[GREETING, (Client, b"USER anna\r\n")], "none");
    check(&[GREETING, (Client, b"user anna\r\n")], "none");
}

#[test]
fn a_login_after_a_refusal_is_clear_text() {
    for refusal in [b"500 what?\r\n".as_slice(), b"431 no\r\n", b"534-no\r\n534 no\r\n", b"334 more\r\n"] {
        check(&[GREETING, AUTH, (Server, refusal), (Client, b"USER anna\r\n")], "none");
    }
}

#[test]
fn a_refusal_may_be_followed_by_another_request() {
    let hello = record(22, &client_hello("ftp.example"));
    let refused = (Server, b"504 not that\r\n".as_slice());
    check(&[GREETING, (Client, b"AUTH SSL\r\n"), refused, AUTH, AGREED, (Client, &hello)], "tls");
}

#[test]
fn clear_text_after_an_agreement_is_clear_text() {
    check(&[GREETING, AUTH, AGREED, (Client, b"USER anna\r\n")], "none");
}

#[test]
fn mail_that_asks_for_tls_is_tls() {
    let hello = record(22, &client_hello("mail.example"));
    let greeting: (Side, &[u8]) = (Server, b"220 mail.example ESMTP\r\n");
    let offer: [(Side, &[u8]); 2] = [(Client, b"EHLO host\r\n"), (Server, b"250-mail.example\r\n250 STARTTLS\r\n")];
    let ask: (Side, &[u8]) = (Client, b"STARTTLS\r\n");
    check(&[greeting, offer[0], offer[1]], "undetermined");
    check(&[greeting, offer[0], offer[1], ask, (Server, b"220 go\r\n"), (Client, &hello)], "tls");
    check(&[greeting, offer[0], offer[1], ask, (Server, b"454 no\r\n"), (Client, b"MAIL FROM:<a@b>\r\n")], "none");
    check(&[greeting, offer[0], offer[1], ask, (Server, b"220 go\r\n"), (Client, b"EHLO host\r\n")], "none");
}

#[test]
fn mail_in_clear_text_is_clear_text() {
    for command in [b"MAIL FROM:<a@b>\r\n".as_slice(), b"AUTH PLAIN AGEAYg==\r\n", b"auth login\r\n"] {
        check(&[(Server, b"220 mail.example\r\n"), (Client, b"EHLO host\r\n"), (Client, command)], "none");
    }
}

#[test]
fn a_server_that_sends_much_to_a_silent_client_sends_clear_text() {
    check(&[(Server, &[b'x'; 5000])], "none");
    check(&[(Server, &[b'x'; 100])], "undetermined");
}

#[test]
fn a_login_that_no_greeting_came_before_is_clear_text() {
    check(&[(Client, b"AUTH TLS\r\n")], "none");
    check(&[(Server, b"* OK IMAP4\r\n"), (Client, b"a LOGIN\r\n")], "none");
}

#[test]
fn a_line_without_end_is_clear_text() {
    check(&[GREETING, (Client, &[b'N'; 5000])], "none");
}

#[test]
fn ssh_is_the_clients_to_say() {
    check(&[(Client, b"SSH-2.0-client\r\n")], "ssh");
    check(&[(Client, b"SSH-")], "ssh");
    check(&[(Client, b"SSH")], "undetermined");
    check(&[(Server, b"SSH-2.0-server\r\n"), (Client, b"SSH-2.0-client\r\n")], "ssh");
    check(&[(Server, b"SSH-2.0-server\r\n"), (Client, b"GET /")], "none");
    check(&[(Client, b"SSL-")], "none");
}

#[test]
fn what_resembles_a_hello_but_is_none_is_clear_text() {
    let cases: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\n",
        &[22, 2, 0, 0, 4, 1],
        &[22, 3, 5, 0, 4, 1],
        &[22, 3, 1, 0, 4, 2],
        &[23, 3, 1, 0, 4, 1],
        &[21, 3, 3, 0, 2, 2, 40],
    ];
    for bytes in cases {
        check(&[(Client, bytes)], "none");
    }
}

#[test]
fn an_sslv2_hello_is_tls() {
    for version in [[0, 2], [3, 0], [3, 1], [3, 3]] {
        check(&[(Client, &[0x80, 0x2E, 1, version[0], version[1], 0, 3])], "tls");
    }
}

#[test]
fn an_sslv2_hello_answered_by_tls_has_the_version_of_the_answer() {
    let mut turns = tls12();
    turns[0].1 = [vec![0x80, 12, 1, 3, 3, 0, 3], vec![0; 7]].concat();
    let Protection::Tls(handshake) = observe(&turns) else { panic!("no TLS") };
    assert_eq!((handshake.version, handshake.suite, handshake.complete), (0x0303, 0xC02B, true));
}

#[test]
fn an_sslv2_hello_answered_by_sslv2_is_sslv2() {
    let turns: Vec<Turn> = vec![
        (Client, vec![0x80, 5, 1, 0, 2, 0, 0]),
        (Server, [vec![0x84, 0x00, 4, 0, 1, 0, 2], vec![0; 1019]].concat()),
    ];
    let Protection::Tls(handshake) = observe(&turns) else { panic!("no TLS") };
    assert_eq!((handshake.version, handshake.offered, handshake.complete), (0x0200, 0x0200, false));
    // The client chooses the cipher.
    let mut turns = turns;
    turns.push((Client, vec![0x80, 10, 2, 7, 0, 0xC0, 0, 0, 0, 0, 0, 0]));
    let Protection::Tls(handshake) = observe(&turns) else { panic!("no TLS") };
    assert_eq!((handshake.version, handshake.ssl2_cipher, handshake.complete), (0x0200, Some(0x07_00_C0), true));
}

#[test]
fn a_hello_in_several_records_is_one_hello() {
    let hello = client_hello("split.example");
    for size in [1, 2, 3, 4, 5, 17, 64] {
        let client: Vec<u8> = hello.chunks(size).flat_map(|piece| record(22, piece)).collect();
        let mut turns = tls12();
        turns[0].1 = client;
        let Protection::Tls(handshake) = observe(&turns) else { panic!("pieces of {size}: no TLS") };
        assert_eq!((handshake.server_name.as_deref(), handshake.version), (Some("split.example"), 0x0303), "{size}");
    }
}

/// FTP in active mode: the server opens the data connection and the client, which accepts it, says the TLS hello
/// (RFC 4217 §12).
#[test]
fn a_hello_of_the_accepting_end_is_tls() {
    let swapped: Vec<Turn> = conversation("tls12-p256")
        .into_iter()
        .map(|(from, bytes)| (if from == Client { Server } else { Client }, bytes))
        .collect();
    assert_eq!(kind(&observe(&swapped)), "tls");
}

/// A dialogue that leads to TLS, and the protocol it is.
struct Upgrading {
    protocol: Upgrade,
    turns: Vec<(Side, Vec<u8>)>,
}

fn upgrading(protocol: Upgrade, turns: &[(Side, &[u8])]) -> Upgrading {
    Upgrading { protocol, turns: turns.iter().map(|(side, bytes)| (*side, bytes.to_vec())).collect() }
}

const LDAP_START_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";
const LDAP_ROOT_SEARCH: &[u8] =
    b"\x30\x25\x02\x01\x01\x63\x20\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\x87\x0bobjectClass\x30\x00";
const LDAP_BIND: &[u8] = b"\x30\x10\x02\x01\x01\x60\x0b\x02\x01\x03\x04\x01a\x80\x03pwd";
const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F];
const GSS_REQUEST: &[u8] = &[0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x30];
const STREAM: &[u8] = b"<?xml version='1.0'?><stream:stream to='a' xmlns='jabber:client' version='1.0'>";
const FEATURES: &[u8] =
    b"<stream:stream id='1'><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>";

fn mysql_greeting() -> Vec<u8> {
    [&[0x4A, 0, 0, 0, 10][..], b"8.0.36\0", &[7; 66]].concat()
}

fn mysql_ssl_request(tls: bool) -> Vec<u8> {
    let capabilities = if tls { [0x85, 0xAE] } else { [0x85, 0xA6] };
    [&[32, 0, 0, 1][..], &capabilities, &[0; 30]].concat()
}

fn rdp(kind: u8, negotiation: u8, protocols: u8) -> Vec<u8> {
    [&[3, 0, 0, 19, 14, kind, 0, 0, 0, 0, 0], &[negotiation, 0, 8, 0, protocols, 0, 0, 0][..]].concat()
}

fn all_upgrades() -> Vec<Upgrading> {
    vec![
        upgrading(Upgrade::FtpOrSmtp, &[GREETING, AUTH, AGREED]),
        upgrading(
            Upgrade::Imap,
            &[
                (Server, b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n"),
                (Client, b"a1 CAPABILITY\r\n"),
                (Server, b"* CAPABILITY IMAP4rev1 STARTTLS\r\na1 OK done\r\n"),
                (Client, b"a2 starttls\r\n"),
                (Server, b"a2 OK begin\r\n"),
            ],
        ),
        upgrading(
            Upgrade::Pop3,
            &[
                (Server, b"+OK ready\r\n"),
                (Client, b"CAPA\r\n"),
                (Server, b"+OK list\r\nSTLS\r\n.\r\n"),
                (Client, b"STLS\r\n"),
                (Server, b"+OK begin\r\n"),
            ],
        ),
        upgrading(
            Upgrade::Ldap,
            &[(Client, LDAP_START_TLS), (Server, b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00")],
        ),
        upgrading(Upgrade::Postgres, &[(Client, SSL_REQUEST), (Server, b"S")]),
        upgrading(Upgrade::Postgres, &[(Client, GSS_REQUEST), (Server, b"N"), (Client, SSL_REQUEST), (Server, b"S")]),
        upgrading(Upgrade::Mysql, &[(Server, &mysql_greeting()), (Client, &mysql_ssl_request(true))]),
        upgrading(
            Upgrade::Xmpp,
            &[
                (Client, STREAM),
                (Server, FEATURES),
                (Client, b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
                (Server, b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
            ],
        ),
        upgrading(Upgrade::Rdp, &[(Client, &rdp(0xE0, 1, 3)), (Server, &rdp(0xD0, 2, 1))]),
    ]
}

#[test]
fn every_known_upgrade_leads_to_tls_and_is_named() {
    let hello = record(22, &client_hello("server.example"));
    for Upgrading { protocol, turns } in all_upgrades() {
        let mut turns: Vec<(Side, &[u8])> = turns.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        check(&turns, "undetermined");
        turns.push((Client, &hello));
        check(&turns, "tls");
        let mut observer = Observer::default();
        for (side, bytes) in &turns {
            observer.observe(*side, bytes);
        }
        let Protection::Tls(handshake) = observer.protection() else { panic!("{protocol:?}") };
        assert_eq!(handshake.upgrade, Some(protocol));
        // Anything else than a hello after the agreement is clear text.
        turns.pop();
        turns.push((Client, b"data that is no hello"));
        check(&turns, "none");
    }
}

#[test]
fn a_login_in_place_of_an_upgrade_is_clear_text() {
    let imap = (Server, b"* OK ready\r\n".as_slice());
    let pop3 = (Server, b"+OK ready\r\n".as_slice());
    let startup = [0, 0, 0, 9, 0, 3, 0, 0, 0];
    let login = [&[60, 0, 0, 1, 0x85, 0xA6][..], &[0; 58]].concat();
    for turns in [
        vec![imap, (Client, b"a LOGIN u p\r\n")],
        vec![imap, (Client, b"a STARTTLS\r\n"), (Server, b"a NO\r\n"), (Client, b"b AUTHENTICATE PLAIN\r\n")],
        vec![pop3, (Client, b"USER anna\r\n")],
        vec![pop3, (Client, b"STLS\r\n"), (Server, b"-ERR no\r\n"), (Client, b"APOP a b\r\n")],
        vec![(Client, LDAP_BIND)],
        vec![(Client, LDAP_ROOT_SEARCH), (Client, LDAP_BIND)],
        vec![
            (Client, LDAP_START_TLS),
            (Server, b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x34\x04\x00\x04\x00"),
            (Client, LDAP_BIND),
        ],
        vec![(Client, &startup)],
        vec![(Client, SSL_REQUEST), (Server, b"N"), (Client, &startup)],
        vec![(Client, GSS_REQUEST), (Server, b"G")],
        vec![(Server, &mysql_greeting()), (Client, &login)],
        vec![(Server, &mysql_greeting()), (Client, &mysql_ssl_request(false))],
        vec![(Client, STREAM), (Server, FEATURES), (Client, b"<auth mechanism='PLAIN'>AGE=</auth>")],
        vec![(Client, STREAM), (Client, b"<starttls/>"), (Server, b"<stream:stream><failure/>")],
        vec![(Client, b"<?xml version='1.0'?><hello/>")],
        vec![(Client, &rdp(0xE0, 1, 0))],
        vec![(Client, &rdp(0xE0, 1, 3)), (Server, &rdp(0xD0, 2, 0))],
        vec![(Client, &rdp(0xE0, 1, 3)), (Server, &rdp(0xD0, 3, 2))],
    ] {
        check(&turns, "none");
    }
}

proptest! {
    /// Whatever follows, and however it is cut, an answer that was given stays.
    #[test]
    fn dialogues_with_anything_behind_them_are_stable(
        which in 0_usize..9,
        upto in 0_usize..6,
        more in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..5),
    ) {
        let upgrades = all_upgrades();
        let turns = &upgrades[which % upgrades.len()].turns;
        let mut watched = Watched::default();
        for (side, bytes) in turns.iter().take(upto) {
            watched.feed_bytewise(*side, bytes).map_err(TestCaseError::fail)?;
        }
        for (client, bytes) in more {
            watched.feed_bytewise(if client { Client } else { Server }, &bytes).map_err(TestCaseError::fail)?;
        }
    }
}
