//! What is said in clear text before TLS, or instead of it.

use zert::Side::{Client, Server};
use zert::{Observer, Protection, Side};

use crate::support::{Turn, Watched, client_hello, conversation, observe, record, tls12};

const GREETING: (Side, &[u8]) = (Server, b"220 ready\r\n");
const AUTH: (Side, &[u8]) = (Client, b"AUTH TLS\r\n");
const AGREED: (Side, &[u8]) = (Server, b"234 go ahead\r\n");

fn kind(protection: &Protection) -> &'static str {
    match protection {
        Protection::Undetermined => "undetermined",
        Protection::None => "none",
        Protection::Tls(_) => "tls",
        Protection::Ssh => "ssh",
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
    assert_eq!((handshake.version, handshake.complete), (0x0200, true));
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
