//! The kernel's dumps of IPsec policies and associations, and the connections that go through them.

#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use stack::Endpoints;
use stack::xfrm::Ipsec;

fuzz_target!(|bytes: &[u8]| {
    // Each payload has a byte for what it is, and two for its length, before it.
    let (mut policies, mut associations) = (Vec::new(), Vec::new());
    let mut rest = bytes;
    while let [kind, high, low, behind @ ..] = rest {
        let (payload, next) = behind.split_at((usize::from(*high) << 8 | usize::from(*low)).min(behind.len()));
        if kind & 1 == 0 { &mut policies } else { &mut associations }.push(payload);
        rest = next;
    }
    let ipsec = Ipsec::of(policies.into_iter(), associations.into_iter());
    for (local, remote) in [
        (SocketAddr::from(([10, 1, 3, 3], 40_000)), SocketAddr::from(([10, 2, 9, 9], 21))),
        (SocketAddr::from(([0x20, 1, 0xD, 0xB8, 0, 0, 0, 1], 40_000)), SocketAddr::from(([0x20, 1, 0xD, 0xB8, 0, 0, 0, 2], 21))),
        (SocketAddr::from(([0, 0, 0, 0], 0)), SocketAddr::from(([255, 255, 255, 255], 65_535))),
    ] {
        if let Some(found) = ipsec.of_connection(Endpoints { local, remote }) {
            assert!(found.outbound.encryption.is_some() || found.outbound.authentication.is_some() || found.outbound.aead.is_some());
            let _ = format!("{found:?}");
        }
    }
});
