//! Bytes of ends that mean ill.

use std::io::{self, Read};
use std::sync::mpsc;
use std::time::Duration;

use proptest::prelude::*;
use zert::replay::{ReplayError, Replayed};
use zert::{Observer, Protection, Side};

use crate::support::{
    FATAL_HANDSHAKE_FAILURE, Watched, capture, certificate, client_hello, key_exchange, message, pcap_of, record,
    replay, server_hello, tls12,
};

/// Bytes an observer holds: its debug form names every one.
fn held(observer: &Observer) -> usize {
    format!("{observer:?}").bytes().filter(|&byte| byte == b',').count()
}

/// An observer must not keep more than a certificate message and a record may need.
const MOST: usize = 300 * 1024;
const PIECE: usize = 16 * 1024;
const FLOOD: usize = 10 * 1024 * 1024;

/// 10 MB from one side, the same piece again and again.
#[track_caller]
fn flood(mut observer: Observer, from: Side, piece: &[u8]) -> Observer {
    let mut sent = 0;
    let mut checked = 0;
    while sent < FLOOD {
        observer.observe(from, piece);
        sent += piece.len();
        if sent >= checked {
            let held = held(&observer);
            assert!(held <= MOST, "{held} bytes are held after {sent}");
            checked += FLOOD / 8;
        }
    }
    observer
}

fn after(turns: &[(Side, &[u8])]) -> Observer {
    let mut observer = Observer::default();
    for (from, bytes) in turns {
        observer.observe(*from, bytes);
    }
    observer
}

fn hello() -> Vec<u8> {
    record(22, &client_hello("host.example"))
}

#[test]
fn a_flood_before_the_client_speaks_is_not_kept() {
    for piece in [vec![0x41; PIECE], vec![0; PIECE], b"220-line\r\n".repeat(1000)] {
        flood(Observer::default(), Side::Server, &piece);
    }
}

#[test]
fn a_flood_of_a_client_is_decided_at_once() {
    for byte in [0x00, 0x41, 0xFF] {
        let observer = flood(Observer::default(), Side::Client, &[byte; PIECE]);
        assert_eq!((observer.protection(), observer.is_done()), (Protection::None, true), "{byte:#x}");
    }
}

#[test]
fn a_flood_in_answer_to_a_hello_ends_the_handshake() {
    for byte in [0x00, 0x41, 0x7F] {
        let observer = flood(after(&[(Side::Client, &hello())]), Side::Server, &[byte; PIECE]);
        assert!(observer.is_done(), "{byte:#x}");
    }
}

#[test]
fn a_flood_after_a_hello_is_not_kept() {
    for side in [Side::Client, Side::Server] {
        for piece in [vec![0xFF; PIECE], vec![0x80; PIECE], record(23, &[7; PIECE]), record(22, &[]).repeat(3000)] {
            flood(after(&[(Side::Client, &hello())]), side, &piece);
        }
    }
}

#[test]
fn a_message_that_never_ends_is_not_kept() {
    let endless = [22, 3, 3, 0, 4, 11, 0xFF, 0xFF, 0xFF];
    let observer = after(&[(Side::Client, &hello()), (Side::Server, &endless)]);
    let observer = flood(observer, Side::Server, &record(22, &[7; PIECE]));
    assert!(observer.is_done());
    let observer = after(&[(Side::Client, &[22, 3, 1, 0, 4, 1, 0xFF, 0xFF, 0xFF])]);
    flood(observer, Side::Client, &record(22, &[7; PIECE]));
}

#[test]
fn a_flood_within_an_ftp_dialogue_is_not_kept() {
    let greeting: (Side, &[u8]) = (Side::Server, b"220 ready\r\n");
    let begun = after(&[greeting, (Side::Client, b"NOOP\r\n")]);
    let asked = after(&[greeting, (Side::Client, b"AUTH TLS\r\n")]);
    let agreed = after(&[greeting, (Side::Client, b"AUTH TLS\r\n"), (Side::Server, b"234 go\r\n")]);
    for observer in [begun, asked, agreed] {
        for piece in [vec![b'N'; PIECE], b"NOOP\r\n".repeat(2000), b"200 ok\r\n".repeat(2000)] {
            for side in [Side::Client, Side::Server] {
                flood(observer.clone(), side, &piece);
            }
        }
    }
}

#[test]
fn records_of_no_length_are_passed_over() {
    let mut turns = tls12();
    for (_, bytes) in &mut turns[1..] {
        *bytes = [[22, 3, 3, 0, 0].repeat(1000), std::mem::take(bytes)].concat();
    }
    let mut watched = Watched::default();
    for (from, bytes) in &turns {
        watched.feed_bytewise(*from, bytes).expect("stable");
    }
    let Protection::Tls(handshake) = watched.observer.protection() else { panic!("no TLS") };
    assert_eq!((handshake.version, handshake.group, handshake.complete), (0x0303, Some(23), true));
}

#[test]
fn a_record_longer_than_any_ends_the_handshake() {
    for length in [16_384_u16 + 2049, u16::MAX] {
        let [high, low] = length.to_be_bytes();
        let observer = after(&[(Side::Client, &hello()), (Side::Server, &[22, 3, 3, high, low])]);
        assert!(observer.is_done(), "{length}");
    }
}

#[test]
fn a_truncated_server_hello_names_no_version() {
    let whole = server_hello(0x0303, 0xC02B);
    let least = 2 + 32 + 1 + 2 + 1;
    for length in 0..least {
        let cut = message(2, &whole[4..4 + length]);
        let observer = after(&[(Side::Client, &hello()), (Side::Server, &record(22, &cut))]);
        let Protection::Tls(handshake) = observer.protection() else { panic!("no TLS") };
        assert_eq!(handshake.version, 0, "{length} bytes");
    }
}

#[test]
fn a_length_that_lies_is_not_believed() {
    let messages = [
        client_hello("host.example"),
        server_hello(0x0303, 0xC02B),
        server_hello(0x0304, 0x1301),
        certificate(&[0x30; 40]),
        key_exchange(23),
    ];
    for original in messages {
        let side = if original[0] == 1 { Side::Client } else { Side::Server };
        for at in 0..original.len() {
            for value in [0x00, 0x01, 0x7F, 0x80, 0xFF] {
                let mut damaged = original.clone();
                damaged[at] = value;
                let mut watched = Watched::default();
                if side == Side::Server {
                    watched.feed(Side::Client, &hello()).expect("stable");
                }
                watched.feed(side, &record(22, &damaged)).expect("stable");
                watched.feed(side, &FATAL_HANDSHAKE_FAILURE).expect("stable");
            }
        }
    }
}

#[test]
fn a_session_id_longer_than_the_protocols_is_cut() {
    let body = [vec![3, 3], vec![0x22; 32], vec![255], vec![0xAB; 255], vec![0xC0, 0x2B, 0]].concat();
    let observer = after(&[(Side::Client, &hello()), (Side::Server, &record(22, &message(2, &body)))]);
    let Protection::Tls(handshake) = observer.protection() else { panic!("no TLS") };
    assert_eq!((handshake.session_id, handshake.suite), (vec![0xAB; 32], 0xC02B));
}

#[test]
fn a_name_that_is_no_utf8_is_still_read() {
    let mut client = client_hello("host.example");
    let at = client.windows(4).position(|bytes| bytes == b"host").expect("the name");
    client[at] = 0xFF;
    let observer = after(&[(Side::Client, &record(22, &client))]);
    let Protection::Tls(handshake) = observer.protection() else { panic!("no TLS") };
    assert_eq!(handshake.server_name.as_deref(), Some("\u{FFFD}ost.example"));
}

/// A run that must end: one that does not fails the test instead of holding it up.
fn ends(file: Vec<u8>) -> Result<Vec<Replayed>, ReplayError> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(replay(file.as_slice())));
    receiver.recv_timeout(Duration::from_secs(30)).expect("replay ends")
}

#[test]
fn a_packet_larger_than_any_buffer_is_read_or_refused() {
    for size in [(1 << 20) - 64, (1 << 20) - 16, 1 << 20, (1 << 20) + 1, 3 << 20] {
        let _legacy = ends(pcap_of(101, &[vec![0x45; size]]));
        let mut modern = capture("plain");
        let length = u32::try_from(size + 32).expect("a length") & !3;
        for word in [6, length, 0, 0, 0, length - 32, length - 32] {
            modern.extend_from_slice(&word.to_le_bytes());
        }
        modern.resize(modern.len() + length as usize - 32, 0x45);
        modern.extend_from_slice(&length.to_le_bytes());
        if let Ok(found) = ends(modern) {
            assert_eq!(found.len(), 1, "{size}");
        }
    }
}

#[test]
fn a_length_of_a_captured_packet_that_lies_is_not_believed() {
    for length in [0_u32, 1, 0x7FFF_FFFF, 0xFFFF_FFFF] {
        let mut file = pcap_of(101, &[vec![0x45; 60], vec![0x45; 60]]);
        file[32..36].copy_from_slice(&length.to_le_bytes());
        if let Ok(found) = ends(file) {
            assert!(found.is_empty(), "{length}");
        }
    }
}

#[test]
fn a_link_type_that_is_not_read_is_named() {
    for link in [105_u32, 127, 147] {
        let refused = replay(pcap_of(link, &[vec![0x45; 60]]).as_slice());
        assert!(matches!(refused, Err(ReplayError::LinkType(named)) if named == link.cast_signed()), "{refused:?}");
    }
}

/// A pipe gives what it has.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.1);
        self.0.read(&mut buffer[..count])
    }
}

#[test]
fn a_capture_may_come_in_pieces_of_any_size() {
    let legacy = pcap_of(101, &crate::support::Wire::default().opening());
    for (name, file, connections) in [("pcapng", capture("tls12-p256"), 1), ("pcap", legacy, 1)] {
        for pieces in [1000, 100, 24, 7, 1] {
            let found = replay(Trickle(&file, pieces));
            let found = found.unwrap_or_else(|error| panic!("{name} in pieces of {pieces}: {error}"));
            assert_eq!(found.len(), connections, "{name} in pieces of {pieces}");
        }
    }
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("gone"))
    }
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    assert!(replay(Broken).is_err());
    let file = capture("tls12-p256");
    assert!(replay(Trickle(&file, 1000).chain(Broken)).is_err());
}

fn any_side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Client), Just(Side::Server)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_give_a_stable_answer(
        turns in proptest::collection::vec((any_side(), proptest::collection::vec(any::<u8>(), 0..300)), 0..12),
    ) {
        let mut watched = Watched::default();
        let mut bytewise = Observer::default();
        for (from, bytes) in &turns {
            if let Err(changed) = watched.feed(*from, bytes) {
                prop_assert!(false, "{changed}");
            }
            for byte in bytes {
                bytewise.observe(*from, std::slice::from_ref(byte));
            }
        }
        prop_assert_eq!(watched.observer.protection(), bytewise.protection());
    }

    #[test]
    fn arbitrary_messages_after_a_hello_never_panic(
        messages in proptest::collection::vec(
            (any_side(), 0_u8..30, proptest::collection::vec(any::<u8>(), 0..200)), 0..8),
    ) {
        let mut observer = after(&[(Side::Client, &hello())]);
        for (from, kind, body) in messages {
            observer.observe(from, &record(22, &message(kind, &body)));
        }
        prop_assert!(matches!(observer.protection(), Protection::Tls(_)));
        prop_assert!(held(&observer) <= MOST);
    }

    #[test]
    fn arbitrary_packets_are_passed_over(
        packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..120), 0..10),
        link in prop::sample::select(vec![0_u32, 1, 101, 108, 113, 228, 229, 239, 276]),
    ) {
        let found = replay(pcap_of(link, &packets).as_slice()).expect("a capture");
        prop_assert!(found.len() <= packets.len());
    }
}
