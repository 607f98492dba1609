//! Each protection against what policies demand.

use policies::algorithm::Protocol;
use policies::protection::{Fit, ProtectionTerms};
use zert::Protection;
use zert::judge::{is_complete, observed, offered, version_name};
use zert::ssh::Ssh;
use zert::tls::Handshake;

const MINIMUMS: [u16; 4] = [0x0301, 0x0302, 0x0303, 0x0304];

fn demand(minimum: u16) -> ProtectionTerms {
    ProtectionTerms { protocols: vec![Protocol::Tls], tls_version: Some(minimum), ..ProtectionTerms::default() }
}

fn fit(protection: &Protection, minimum: u16) -> Option<Fit> {
    observed(protection).map(|observed| demand(minimum).fit(&observed))
}

fn tls(version: u16) -> Protection {
    Protection::Tls(Handshake { version, complete: true, ..Handshake::default() })
}

#[test]
fn tls_is_measured_by_its_version() {
    let table = [
        (0x0200, [Fit::No; 4]),
        (0x0300, [Fit::No; 4]),
        (0x0301, [Fit::Yes, Fit::No, Fit::No, Fit::No]),
        (0x0302, [Fit::Yes, Fit::Yes, Fit::No, Fit::No]),
        (0x0303, [Fit::Yes, Fit::Yes, Fit::Yes, Fit::No]),
        (0x0304, [Fit::Yes; 4]),
    ];
    for (version, expected) in table {
        for (minimum, expected) in MINIMUMS.into_iter().zip(expected) {
            assert_eq!(fit(&tls(version), minimum), Some(expected), "{version:#x} against {minimum:#x}");
        }
    }
}

#[test]
fn whatever_is_no_tls_falls_short_where_tls_is_demanded() {
    for minimum in MINIMUMS {
        assert_eq!(fit(&Protection::None, minimum), Some(Fit::No), "{minimum:#x}");
        let ssh = Ssh { version: 2, ..Ssh::default() };
        assert_eq!(fit(&Protection::Ssh(Box::new(ssh)), minimum), Some(Fit::No), "{minimum:#x}");
    }
}

#[test]
fn a_failed_handshake_and_what_is_not_determined_are_let_be() {
    let failed = Handshake { alert: Some(70), complete: true, ..Handshake::default() };
    let begun = Protection::Tls(Handshake::default());
    // A client's banner is no SSH, and what broke off before its keys were in use is none either.
    let banner = Protection::Ssh(Box::default());
    let broken = Protection::Ssh(Box::new(Ssh { version: 2, failed: true, ..Ssh::default() }));
    for protection in [Protection::Tls(failed), Protection::Undetermined, begun, banner, broken] {
        assert_eq!(observed(&protection), None, "{protection:?}");
    }
}

#[test]
fn a_version_that_fell_short_does_so_with_an_alert_too() {
    let old = Handshake { version: 0x0301, alert: Some(40), complete: true, ..Handshake::default() };
    assert_eq!(fit(&Protection::Tls(old), 0x0303), Some(Fit::No));
}

#[test]
fn an_offer_tells_what_will_not_be_reached() {
    let hello = |offered: u16| Protection::Tls(Handshake { offered, ..Handshake::default() });
    let fit = |protection: &Protection| offered(protection).map(|observed| demand(0x0303).fit(&observed));
    assert_eq!(fit(&hello(0x0302)), Some(Fit::No));
    assert_eq!(fit(&hello(0x0304)), Some(Fit::Unknown));
    assert_eq!(fit(&tls(0x0302)), None, "the server has answered");
    assert_eq!(fit(&Protection::None), None);
}

#[test]
fn algorithms_of_each_protocol_are_judged() {
    let terms =
        |encryption_bits| ProtectionTerms { encryption_bits: Some(encryption_bits), ..ProtectionTerms::default() };
    let with = |suite| Protection::Tls(Handshake { version: 0x0303, suite, complete: true, ..Handshake::default() });
    let fit = |protection: &Protection, bits| observed(protection).map(|observed| terms(bits).fit(&observed));
    assert_eq!(fit(&with(0x000A), 128), Some(Fit::No), "3DES");
    assert_eq!(fit(&with(0xC030), 256), Some(Fit::Yes));
    let old = Handshake { version: 0x0200, ssl2_cipher: Some(0x02_00_80), complete: true, ..Handshake::default() };
    assert_eq!(fit(&Protection::Tls(old), 56), Some(Fit::No), "export RC4");
    // Banners have come, the rest has not.
    let ssh = Protection::Ssh(Box::new(Ssh { version: 2, ..Ssh::default() }));
    assert_eq!(fit(&ssh, 128), Some(Fit::Unknown));
    assert!(!is_complete(&ssh) && is_complete(&with(0x000A)) && is_complete(&Protection::None));
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
