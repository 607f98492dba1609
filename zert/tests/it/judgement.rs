//! Each protection against each minimum.

use policies::model::ZertAction;
use zert::Protection;
use zert::judge::Verdict::{Insufficient, Sufficient};
use zert::judge::{judge, version_name};
use zert::tls::Handshake;

const MINIMUMS: [u16; 4] = [0x0301, 0x0302, 0x0303, 0x0304];

fn action(minimum: u16) -> ZertAction {
    ZertAction { name: "LEAST".to_owned(), minimum, reset: true, log: true, audit: true }
}

fn tls(version: u16) -> Protection {
    Protection::Tls(Handshake { version, complete: true, ..Handshake::default() })
}

#[test]
fn tls_is_measured_by_its_version() {
    let table = [
        (0x0200, [Insufficient; 4]),
        (0x0300, [Insufficient; 4]),
        (0x0301, [Sufficient, Insufficient, Insufficient, Insufficient]),
        (0x0302, [Sufficient, Sufficient, Insufficient, Insufficient]),
        (0x0303, [Sufficient, Sufficient, Sufficient, Insufficient]),
        (0x0304, [Sufficient; 4]),
    ];
    for (version, expected) in table {
        for (minimum, expected) in MINIMUMS.into_iter().zip(expected) {
            assert_eq!(judge(&tls(version), &action(minimum)), expected, "{version:#x} against {minimum:#x}");
        }
    }
}

#[test]
fn no_protection_falls_short_of_any_minimum() {
    for minimum in MINIMUMS {
        assert_eq!(judge(&Protection::None, &action(minimum)), Insufficient, "{minimum:#x}");
    }
}

#[test]
fn ssh_is_no_matter_of_a_tls_rule() {
    for minimum in MINIMUMS {
        assert_eq!(judge(&Protection::Ssh(Box::default()), &action(minimum)), Sufficient, "{minimum:#x}");
    }
}

#[test]
fn a_failed_handshake_is_let_be() {
    let failed = Handshake { alert: Some(70), complete: true, ..Handshake::default() };
    for minimum in MINIMUMS {
        assert_eq!(judge(&Protection::Tls(failed.clone()), &action(minimum)), Sufficient, "{minimum:#x}");
    }
}

#[test]
fn what_is_not_determined_is_let_be() {
    for minimum in MINIMUMS {
        assert_eq!(judge(&Protection::Undetermined, &action(minimum)), Sufficient, "{minimum:#x}");
        let begun = Protection::Tls(Handshake::default());
        assert_eq!(judge(&begun, &action(minimum)), Sufficient, "{minimum:#x}");
    }
}

#[test]
fn a_version_that_fell_short_does_so_with_an_alert_too() {
    let old = Handshake { version: 0x0301, alert: Some(40), complete: true, ..Handshake::default() };
    assert_eq!(judge(&Protection::Tls(old), &action(0x0303)), Insufficient);
}

#[test]
fn what_is_done_about_it_does_not_change_the_judgement() {
    for bits in 0..8_u8 {
        let action = ZertAction { reset: bits & 1 != 0, log: bits & 2 != 0, audit: bits & 4 != 0, ..action(0x0303) };
        assert_eq!(judge(&tls(0x0302), &action), Insufficient, "{action:?}");
        assert_eq!(judge(&tls(0x0303), &action), Sufficient, "{action:?}");
    }
}

#[test]
fn only_the_version_of_a_handshake_counts() {
    let handshakes = [
        Handshake { suite: 0x0005, ..Handshake::default() },
        Handshake { resumed: Some(true), ..Handshake::default() },
        Handshake { complete: true, encrypt_then_mac: true, ..Handshake::default() },
    ];
    for handshake in handshakes {
        let protection = Protection::Tls(Handshake { version: 0x0303, ..handshake });
        assert_eq!(judge(&protection, &action(0x0303)), Sufficient, "{protection:?}");
        assert_eq!(judge(&protection, &action(0x0304)), Insufficient, "{protection:?}");
    }
}

#[test]
fn versions_have_the_names_messages_use() {
    let names = [
        (0x0200, "SSLv2"),
        (0x0300, "SSLv3"),
        (0x0301, "TLSv1.0"),
        (0x0302, "TLSv1.1"),
        (0x0303, "TLSv1.2"),
        (0x0304, "TLSv1.3"),
        (0, "unknown"),
        (0x0305, "unknown"),
    ];
    for (version, name) in names {
        assert_eq!(version_name(version), name);
    }
}
