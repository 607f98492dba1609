//! Segments out of order, sent again, overlapping.

use proptest::prelude::*;
use zert::{Protection, Side};

use crate::support::{ACK, FIN, SYN, Turn, Wire, observe, only, replayed, tls12};

/// Where each turn begins in its side's stream.
fn positions(turns: &[Turn]) -> Vec<usize> {
    let (mut client, mut server) = (0, 0);
    turns
        .iter()
        .map(|(from, bytes)| {
            let position = match from {
                Side::Client => &mut client,
                Side::Server => &mut server,
            };
            let begin = *position;
            *position += bytes.len();
            begin
        })
        .collect()
}

/// One turn in segments of `size` bytes.
fn cut(wire: Wire, turn: &Turn, position: usize, size: usize) -> Vec<Vec<u8>> {
    let (from, bytes) = turn;
    let pieces = bytes.chunks(size).enumerate();
    pieces.map(|(index, piece)| wire.packet(*from, position + index * size, ACK, piece)).collect()
}

fn in_order(wire: Wire, turns: &[Turn], size: usize) -> Vec<Vec<u8>> {
    let mut packets = wire.opening();
    for (turn, position) in turns.iter().zip(positions(turns)) {
        packets.extend(cut(wire, turn, position, size));
    }
    packets
}

fn changed(turns: &[Turn], size: usize, mut change: impl FnMut(&mut Vec<Vec<u8>>)) -> Protection {
    let wire = Wire::default();
    let mut packets = wire.opening();
    for (turn, position) in turns.iter().zip(positions(turns)) {
        let mut flight = cut(wire, turn, position, size);
        change(&mut flight);
        packets.extend(flight);
    }
    only(replayed(&packets))
}

#[test]
fn segments_in_order_are_the_bytes() {
    let turns = tls12();
    for ipv6 in [false, true] {
        for size in [1, 7, 100, 1460] {
            let wire = Wire { ipv6, ..Wire::default() };
            assert_eq!(only(replayed(&in_order(wire, &turns, size))), observe(&turns), "IPv6 {ipv6}, {size}");
        }
    }
}

#[test]
fn segments_in_reverse_are_put_in_order() {
    let turns = tls12();
    for size in [1, 7, 100] {
        assert_eq!(changed(&turns, size, |flight| flight.reverse()), observe(&turns), "{size}");
    }
}

#[test]
fn a_segment_sent_again_counts_once() {
    let turns = tls12();
    let twice =
        |flight: &mut Vec<Vec<u8>>| *flight = flight.iter().flat_map(|one| [one.clone(), one.clone()]).collect();
    assert_eq!(changed(&turns, 50, twice), observe(&turns));
    let all_again = |flight: &mut Vec<Vec<u8>>| flight.extend(flight.clone());
    assert_eq!(changed(&turns, 50, all_again), observe(&turns));
}

#[test]
fn sequence_numbers_may_wrap() {
    let turns = tls12();
    for before in 0..200 {
        let wire = Wire { ipv6: false, client_start: u32::MAX - before, server_start: u32::MAX - 3 * before };
        assert_eq!(only(replayed(&in_order(wire, &turns, 40))), observe(&turns), "{before} before the end");
    }
}

#[test]
fn a_syn_sent_again_is_the_same_connection() {
    let turns = tls12();
    let wire = Wire::default();
    let mut packets = in_order(wire, &turns, 100);
    packets.insert(4, wire.packet(Side::Client, 0, SYN, &[]));
    packets.insert(5, wire.packet(Side::Server, 0, SYN | ACK, &[]));
    assert_eq!(only(replayed(&packets)), observe(&turns));
}

#[test]
fn a_keep_alive_adds_nothing() {
    let turns = tls12();
    let wire = Wire::default();
    let mut packets = in_order(wire, &turns, 4000);
    let said = turns[0].1.len();
    packets.insert(4, wire.packet(Side::Client, said - 1, ACK, &[0xAA]));
    packets.insert(5, wire.packet(Side::Client, said - 1, ACK, &[]));
    assert_eq!(only(replayed(&packets)), observe(&turns));
}

#[test]
fn a_connection_that_began_before_the_capture_is_left_out() {
    let packets = in_order(Wire::default(), &tls12(), 100);
    assert!(replayed(&packets[3..]).is_empty());
}

#[test]
fn a_gap_leaves_what_follows_unread() {
    let turns = tls12();
    let wire = Wire::default();
    let mut packets = in_order(wire, &turns, 100);
    packets.remove(3);
    assert_eq!(only(replayed(&packets)), Protection::Undetermined);
}

#[test]
fn a_longer_segment_where_a_shorter_one_waits_is_not_lost() {
    let turns = tls12();
    let (_, flight) = &turns[1];
    let wire = Wire::default();
    let mut packets = in_order(wire, &turns[..1], 4000);
    packets.push(wire.packet(Side::Server, 10, ACK, &flight[10..20]));
    packets.push(wire.packet(Side::Server, 10, ACK, &flight[10..]));
    packets.push(wire.packet(Side::Server, 0, ACK, &flight[..10]));
    assert_eq!(only(replayed(&packets)), observe(&turns[..2]));
}

#[test]
fn a_segment_sent_again_ahead_of_a_gap_takes_no_more_room() {
    let turns = tls12();
    let (_, flight) = &turns[1];
    let wire = Wire::default();
    let mut packets = in_order(wire, &turns[..1], 4000);
    let again = wire.packet(Side::Server, 10, ACK, &flight[10..110]);
    packets.extend(std::iter::repeat_n(again, 3000));
    packets.push(wire.packet(Side::Server, 110, ACK, &flight[110..]));
    packets.push(wire.packet(Side::Server, 0, ACK, &flight[..10]));
    assert_eq!(only(replayed(&packets)), observe(&turns[..2]));
}

/// TCP Fast Open (RFC 7413).
#[test]
fn data_in_a_syn_is_read() {
    let turns = tls12();
    let wire = Wire::default();
    let (_, hello) = &turns[0];
    let mut packets = vec![
        wire.packet(Side::Client, 0, SYN, hello),
        wire.packet(Side::Server, 0, SYN | ACK, &[]),
        wire.packet(Side::Client, hello.len(), ACK, &[]),
    ];
    packets.extend(in_order(wire, &turns, 4000).split_off(4));
    assert_eq!(only(replayed(&packets)), observe(&turns));
}

/// Two processors may hand the two directions over in the wrong order.
#[test]
fn an_answer_captured_before_its_hello_is_read() {
    let turns = tls12();
    let wire = Wire::default();
    let mut packets = in_order(wire, &turns, 4000);
    packets.swap(3, 4);
    assert_eq!(only(replayed(&packets)), observe(&turns));
}

#[test]
fn ports_used_again_are_another_connection() {
    let turns = tls12();
    let first = Wire::default();
    let second = Wire { client_start: 500_000, server_start: 700_000, ..first };
    let mut packets = in_order(first, &turns, 4000);
    let ends = turns.iter().map(|(from, bytes)| (*from, bytes.len()));
    let (client, server): (Vec<_>, Vec<_>) = ends.partition(|(from, _)| *from == Side::Client);
    let length = |side: &[(Side, usize)]| side.iter().map(|(_, length)| length).sum();
    packets.push(first.packet(Side::Client, length(&client), FIN | ACK, &[]));
    packets.push(first.packet(Side::Server, length(&server), FIN | ACK, &[]));
    packets.extend(in_order(second, &[(Side::Client, b"GET / HTTP/1.0\r\n\r\n".to_vec())], 4000));
    let found: Vec<Protection> = replayed(&packets).into_iter().map(|connection| connection.protection).collect();
    assert_eq!(found, [observe(&turns), Protection::None]);
}

/// A turn's segments: pieces that cover it, and others that repeat parts of it, in any order.
fn any_flight(length: usize) -> impl Strategy<Value = Vec<(usize, usize)>> {
    let cuts = proptest::collection::btree_set(1..length, 0..8);
    let repeated = proptest::collection::vec((0..length, 1..200_usize), 0..6);
    (cuts, repeated).prop_flat_map(move |(cuts, repeated)| {
        let ends: Vec<usize> = std::iter::once(0).chain(cuts).chain([length]).collect();
        let mut pieces: Vec<(usize, usize)> = ends.windows(2).map(|pair| (pair[0], pair[1])).collect();
        // A segment sent again may begin where another did and be of another length.
        let aligned: Vec<(usize, usize)> =
            repeated.iter().map(|(begin, more)| (pieces[begin % pieces.len()].0, *more)).collect();
        let again = repeated.into_iter().chain(aligned);
        pieces.extend(again.map(|(begin, more)| (begin, (begin + more).min(length))));
        Just(pieces).prop_shuffle()
    })
}

fn any_flights() -> impl Strategy<Value = Vec<Vec<(usize, usize)>>> {
    tls12().into_iter().map(|(_, bytes)| any_flight(bytes.len()).boxed()).collect::<Vec<_>>()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_segments_matters(
        flights in any_flights(),
        ipv6 in any::<bool>(),
        client_start in any::<u32>(),
        server_start in any::<u32>(),
    ) {
        let turns = tls12();
        let wire = Wire { ipv6, client_start, server_start };
        let mut packets = wire.opening();
        for (((from, bytes), position), flight) in turns.iter().zip(positions(&turns)).zip(flights) {
            packets.extend(flight.into_iter().map(|(begin, end)| {
                wire.packet(*from, position + begin, ACK, &bytes[begin..end])
            }));
        }
        prop_assert_eq!(only(replayed(&packets)), observe(&turns));
    }
}
