//! Bytes of both ends of a connection, in turns: a verdict on a security session, once given, stays, and where records are cut plays
//! no part.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zert::judge::{is_complete, observed, offered};
use zert::{Observer, Protection, Side};

/// Turns: a byte with the side in its highest bit and the length in the others, then so many bytes.
fn turns(mut bytes: &[u8]) -> Vec<(Side, &[u8])> {
    let mut turns = Vec::new();
    while let [head, rest @ ..] = bytes {
        let side = if head & 0x80 == 0 { Side::Client } else { Side::Server };
        let (turn, rest) = rest.split_at((usize::from(head & 0x7F) * 4).min(rest.len()));
        turns.push((side, turn));
        bytes = rest;
    }
    turns
}

/// What may not change once it is known: the kind, and the version of TLS.
fn verdict(protection: &Protection) -> Option<(u8, u16)> {
    match protection {
        Protection::None => Some((0, 0)),
        Protection::Ssh(ssh) if ssh.version != 0 => Some((1, ssh.version.into())),
        Protection::Tls(handshake) if handshake.version != 0 => Some((2, handshake.version)),
        _ => None,
    }
}

fuzz_target!(|bytes: &[u8]| {
    let turns = turns(bytes);
    let (mut whole, mut bytewise) = (Observer::default(), Observer::default());
    let mut known = None;
    for (side, turn) in &turns {
        whole.observe(*side, turn);
        for byte in turn.chunks(1) {
            let session = bytewise.session();
            bytewise.observe(*side, byte);
            // Another session on the same connection is judged anew.
            if bytewise.session() != session {
                assert!(known.take().is_some());
            }
            let now = verdict(&bytewise.protection());
            assert!(known.is_none() || known == now, "{known:?} became {now:?}");
            known = now;
        }
    }
    assert_eq!((whole.protection(), whole.session()), (bytewise.protection(), bytewise.session()));
    let protection = whole.protection();
    let _ = (observed(&protection), offered(&protection), is_complete(&protection));
    let _ = serde_json::to_string(&protection).expect("it can be written");
});
