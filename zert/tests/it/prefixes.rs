//! A verdict, once given, does not change as bytes arrive, and does not depend on how they arrive.

use proptest::prelude::*;
use zert::{Observer, Protection, Side};

use crate::support::{
    FATAL_HANDSHAKE_FAILURE, HANDSHAKES, Turn, Watched, all_captures, certificate, client_hello, conversation,
    conversations, key_exchange, message, observe, record, records, server_hello, tls12,
};

/// Every order of two sequences that keeps the order in each.
fn interleavings(client: &[Vec<u8>], server: &[Vec<u8>], visit: &mut impl FnMut(&[Turn])) {
    fn go<'a>(client: &'a [Vec<u8>], server: &'a [Vec<u8>], so_far: &mut Vec<Turn>, visit: &mut impl FnMut(&[Turn])) {
        if client.is_empty() && server.is_empty() {
            visit(so_far);
        }
        for (side, queue) in [(Side::Client, client), (Side::Server, server)] {
            if let Some((first, rest)) = queue.split_first() {
                so_far.push((side, first.clone()));
                match side {
                    Side::Client => go(rest, server, so_far, visit),
                    Side::Server => go(client, rest, so_far, visit),
                }
                so_far.pop();
            }
        }
    }
    go(client, server, &mut Vec::new(), visit);
}

fn side_of(turns: &[Turn], side: Side) -> Vec<u8> {
    turns.iter().filter(|(from, _)| *from == side).flat_map(|(_, bytes)| bytes.clone()).collect()
}

/// The hello comes first; after it the records of both sides come in any order, byte by byte.
fn check_interleavings(name: &str, turns: &[Turn], expected: Option<&Protection>) {
    let client = records(&side_of(turns, Side::Client));
    let server = records(&side_of(turns, Side::Server));
    let (hello, client) = client.split_first().expect("a hello");
    let mut orders = 0;
    // What follows the first few of a side does not belong to the handshake's clear part.
    interleavings(&client[..client.len().min(5)], &server[..server.len().min(7)], &mut |rest| {
        orders += 1;
        let mut watched = Watched::default();
        watched.feed_bytewise(Side::Client, hello).unwrap_or_else(|changed| panic!("{name}: {changed}"));
        for (from, bytes) in rest {
            watched.feed_bytewise(*from, bytes).unwrap_or_else(|changed| panic!("{name}: {changed}"));
        }
        if let Some(expected) = expected {
            assert_eq!(&watched.observer.protection(), expected, "{name}");
        }
    });
    assert!(orders >= 1);
}

#[test]
fn byte_by_byte_no_verdict_changes_in_any_capture() {
    for name in all_captures() {
        for turns in conversations(name) {
            let mut watched = Watched::default();
            for (from, bytes) in &turns {
                watched.feed_bytewise(*from, bytes).unwrap_or_else(|changed| panic!("{name}: {changed}"));
            }
            assert_eq!(watched.observer.protection(), observe(&turns), "{name}");
        }
    }
}

#[test]
fn every_order_of_a_captures_records_gives_the_same_verdict() {
    for name in HANDSHAKES {
        let turns = conversation(name);
        let whole = observe(&turns);
        // After an alert, what was learned before it depends on when it came.
        let failed = matches!(&whole, Protection::Tls(handshake) if handshake.alert.is_some());
        // A client's certificate comes before what the server answers to it.
        let mutual = matches!(&whole, Protection::Tls(handshake) if handshake.client_certificate.is_some());
        check_interleavings(name, &turns, Some(&whole).filter(|_| !failed && !mutual));
    }
}

#[test]
fn every_order_of_a_made_up_handshakes_records_gives_the_same_verdict() {
    let tls13: Vec<Turn> = vec![
        (Side::Client, record(22, &client_hello("host.example"))),
        (Side::Server, [record(22, &server_hello(0x0304, 0x1301)), record(20, &[1]), record(23, &[9; 90])].concat()),
        (Side::Client, [record(20, &[1]), record(23, &[8; 60])].concat()),
    ];
    for (name, turns) in [("TLS 1.2", tls12()), ("TLS 1.3", tls13)] {
        check_interleavings(name, &turns, Some(&observe(&turns)));
    }
}

#[test]
fn every_cut_in_two_gives_the_same_verdict() {
    for name in all_captures() {
        let turns = conversation(name);
        let whole = observe(&turns);
        for (index, (from, bytes)) in turns.iter().enumerate().take(6) {
            for cut in 1..bytes.len() {
                let (head, tail) = bytes.split_at(cut);
                let mut observer = Observer::default();
                for (from, bytes) in &turns[..index] {
                    observer.observe(*from, bytes);
                }
                observer.observe(*from, head);
                observer.observe(*from, tail);
                for (from, bytes) in &turns[index + 1..] {
                    observer.observe(*from, bytes);
                }
                assert_eq!(observer.protection(), whole, "{name}: turn {index} cut at {cut}");
            }
        }
    }
}

#[test]
fn the_version_is_known_at_the_server_hellos_last_byte() {
    for version in [0x0301, 0x0302, 0x0303, 0x0304] {
        let hello = record(22, &server_hello(version, 0x1301));
        let mut watched = Watched::default();
        watched.feed(Side::Client, &record(22, &client_hello("host.example"))).expect("stable");
        watched.feed_bytewise(Side::Server, &hello[..hello.len() - 1]).expect("stable");
        assert!(!watched.observer.protection().is_determined());
        assert!(watched.observer.observe(Side::Server, &hello[hello.len() - 1..]));
        let Protection::Tls(handshake) = watched.observer.protection() else { panic!("no TLS") };
        assert_eq!(handshake.version, version);
    }
}

/// What follows an answered hello must not change the answer.
fn after_a_server_hello(bytes: &[u8]) -> Result<(), String> {
    let mut watched = Watched::default();
    watched.feed(Side::Client, &record(22, &client_hello("host.example")))?;
    watched.feed(Side::Server, &record(22, &server_hello(0x0303, 0xC02B)))?;
    watched.feed(Side::Server, bytes)
}

#[test]
fn a_second_server_hello_does_not_change_the_version() {
    for version in [0x0300, 0x0301, 0x0304] {
        after_a_server_hello(&record(22, &server_hello(version, 0x1301))).expect("a stable version");
    }
}

#[test]
fn an_sslv2_hello_after_a_server_hello_does_not_change_the_version() {
    after_a_server_hello(&[0x80, 3, 4, 0, 0]).expect("a stable version");
}

#[test]
fn two_server_hellos_in_one_record_give_the_first_ones_version() {
    let both = [server_hello(0x0303, 0xC02B), server_hello(0x0301, 0xC014)].concat();
    let turns = [(Side::Client, record(22, &client_hello("host.example"))), (Side::Server, record(22, &both))];
    let Protection::Tls(handshake) = observe(&turns) else { panic!("no TLS") };
    assert_eq!((handshake.version, handshake.suite), (0x0303, 0xC02B));
}

#[test]
fn what_a_client_says_after_its_fatal_alert_is_not_read() {
    let hello = record(22, &client_hello("first.example"));
    let rest = [FATAL_HANDSHAKE_FAILURE.to_vec(), record(22, &client_hello("second.example"))].concat();
    let whole = observe(&[(Side::Client, hello.clone()), (Side::Client, rest.clone())]);
    let mut watched = Watched::default();
    watched.feed_bytewise(Side::Client, &[hello, rest].concat()).expect("stable");
    assert_eq!(watched.observer.protection(), whole);
}

#[test]
fn a_message_too_large_to_keep_is_the_same_however_it_is_cut() {
    for size in [100_000, 120_000, 131_000, 140_000, 200_000] {
        let flight: Vec<u8> = [server_hello(0x0303, 0xC02B), certificate(&vec![0x30; size]), message(14, &[])]
            .concat()
            .chunks(16_384)
            .flat_map(|piece| record(22, piece))
            .chain(record(20, &[1]))
            .collect();
        let hello = (Side::Client, record(22, &client_hello("host.example")));
        let whole = observe(&[hello.clone(), (Side::Server, flight.clone())]);
        for pieces in [1000, 1460, 20_000] {
            let mut turns = vec![hello.clone()];
            turns.extend(flight.chunks(pieces).map(|piece| (Side::Server, piece.to_vec())));
            assert!(observe(&turns) == whole, "a certificate of {size} bytes in pieces of {pieces}");
        }
    }
}

/// Records in any order, well formed or nearly so.
fn any_record() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(record(22, &client_hello("other.example"))),
        prop_oneof![Just(0x0301), Just(0x0303), Just(0x0304)]
            .prop_map(|version| record(22, &server_hello(version, 0xC02B))),
        Just(record(22, &certificate(&[0x30; 50]))),
        Just(record(22, &key_exchange(23))),
        Just(record(22, &message(14, &[]))),
        Just(record(22, &[])),
        Just(record(20, &[1])),
        Just(record(23, &[5; 30])),
        Just(FATAL_HANDSHAKE_FAILURE.to_vec()),
        Just(record(21, &[1, 0])),
        Just(vec![0x80, 3, 4, 0, 0]),
        proptest::collection::vec(any::<u8>(), 1..12),
    ]
}

fn any_turns() -> impl Strategy<Value = Vec<Turn>> {
    let side = prop_oneof![Just(Side::Client), Just(Side::Server)];
    let rest = proptest::collection::vec((side, any_record()), 0..12);
    (any::<bool>(), rest).prop_map(|(with_hello, rest)| {
        let hello = with_hello.then(|| (Side::Client, record(22, &client_hello("host.example"))));
        hello.into_iter().chain(rest).collect()
    })
}

/// Neighbouring turns of one side made one.
fn joined(turns: &[Turn]) -> Vec<Turn> {
    let mut joined: Vec<Turn> = Vec::new();
    for (from, bytes) in turns {
        match joined.last_mut().filter(|(side, _)| side == from) {
            Some((_, before)) => before.extend_from_slice(bytes),
            None => joined.push((*from, bytes.clone())),
        }
    }
    joined
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_records_changes_a_verdict(turns in any_turns()) {
        let mut watched = Watched::default();
        for (from, bytes) in &turns {
            if let Err(changed) = watched.feed_bytewise(*from, bytes) {
                prop_assert!(false, "{changed}");
            }
        }
    }

    #[test]
    fn how_records_are_cut_does_not_matter(turns in any_turns()) {
        let mut bytewise = Observer::default();
        for (from, bytes) in &turns {
            for byte in bytes {
                bytewise.observe(*from, std::slice::from_ref(byte));
            }
        }
        prop_assert_eq!(bytewise.protection(), observe(&joined(&turns)));
        prop_assert_eq!(bytewise.protection(), observe(&turns));
    }
}
