//! Handshakes of OpenSSL, curl, OpenSSH and pyftpdlib.

use proptest::prelude::*;
use zert::Protection;
use zert::replay::{Replay, Replayed};
use zert::ssh::Ssh;
use zert::tls::Handshake;

use crate::support::{all_captures, capture, conversations, ip_packets, observe, pcap_of, replay};

fn connections(name: &str) -> Vec<Protection> {
    let found = replay(capture(name).as_slice()).unwrap_or_else(|error| panic!("{name}: {error}"));
    found.into_iter().map(|connection| connection.protection).collect()
}

fn handshake(name: &str) -> Handshake {
    match <[Protection; 1]>::try_from(connections(name)) {
        Ok([Protection::Tls(handshake)]) => handshake,
        other => panic!("{name}: {other:?}"),
    }
}

struct Expected {
    version: u16,
    suite: u16,
    group: Option<u16>,
    resumed: bool,
}

fn check(name: &str, expected: &Expected) {
    let found = handshake(name);
    let summary = (found.version, found.suite, found.group, found.resumed, found.complete, found.alert);
    let &Expected { version, suite, group, resumed } = expected;
    assert_eq!(summary, (version, suite, group, Some(resumed), true, None), "{name}");
}

/// Frames of other kinds, made from those of one: the answer is the same.
#[test]
fn packets_are_read_whatever_captured_them() {
    let expected = Expected { version: 0x0304, suite: 0x1302, group: Some(29), resumed: false };
    check("tls13-cooked", &expected);
    check("tls13-nflog", &expected);
    let packets = ip_packets("tls13-x25519");
    let answer = |link: u32, frame: &dyn Fn(&[u8]) -> Vec<u8>| {
        let frames: Vec<Vec<u8>> = packets.iter().map(|packet| frame(packet)).collect();
        let found = replay(pcap_of(link, &frames).as_slice()).expect("a capture");
        found.into_iter().map(|connection| connection.protection).collect::<Vec<_>>()
    };
    let raw = connections("tls13-x25519");
    let behind = |head: Vec<u8>| move |packet: &[u8]| [&head[..], packet].concat();
    assert_eq!(answer(101, &behind(Vec::new())), raw);
    // The protocol ends the header of the first cooked version, and begins the second's.
    assert_eq!(answer(113, &behind([&[0; 14][..], &[8, 0]].concat())), raw);
    assert_eq!(answer(276, &behind([&[8, 0][..], &[0; 18]].concat())), raw);
    assert_eq!(answer(276, &behind([&[0x08, 0x06][..], &[0; 18]].concat())), []);
    assert_eq!(answer(0, &behind(vec![2, 0, 0, 0])), raw);
    let nflog = |packet: &[u8]| {
        let length = u16::try_from(packet.len() + 4).expect("a length").to_le_bytes();
        // A prefix of two bytes, padded, stands before the payload.
        [&[2, 0, 0, 119, 6, 0, 10, 0, b'a', 0, 0, 0][..], &length, &[9, 0], packet].concat()
    };
    assert_eq!(answer(239, &nflog), raw);
}

#[test]
fn a_capture_of_several_files_is_one() {
    let packets = ip_packets("tls13-x25519");
    for middle in 0..=packets.len() {
        let mut whole = Replay::default();
        for part in [&packets[..middle], &packets[middle..]] {
            whole.read(pcap_of(101, part).as_slice()).expect("a capture");
        }
        let found: Vec<_> = whole.finish().into_iter().map(|connection| connection.protection).collect();
        assert_eq!(found, connections("tls13-x25519"), "cut after {middle}");
    }
}

macro_rules! handshakes {
    ($($test:ident: $capture:literal => $version:literal, $suite:literal, $group:expr, resumed $resumed:literal;)*) => {$(
        #[test]
        fn $test() {
            check($capture, &Expected { version: $version, suite: $suite, group: $group, resumed: $resumed });
        }
    )*};
}

handshakes! {
    tls_1_0_with_p256: "tls10" => 0x0301, 0xC014, Some(23), resumed false;
    tls_1_1_with_rsa_key_exchange: "tls11" => 0x0302, 0x002F, None, resumed false;
    tls_1_2_with_p256: "tls12-p256" => 0x0303, 0xC02B, Some(23), resumed false;
    tls_1_2_with_x25519: "tls12-x25519" => 0x0303, 0xCCA8, Some(29), resumed false;
    tls_1_2_with_rsa_key_exchange: "tls12-cbc" => 0x0303, 0x003C, None, resumed false;
    tls_1_2_with_a_finite_field_names_no_group: "tls12-dhe" => 0x0303, 0x009F, None, resumed false;
    a_6144_bit_prime_is_not_taken_for_a_curve: "tls12-dhe-6144" => 0x0303, 0x009F, None, resumed false;
    an_anonymous_full_handshake_is_not_resumed: "tls12-anonymous" => 0x0303, 0xC018, Some(23), resumed false;
    a_full_handshake_by_pre_shared_key_is_not_resumed: "tls12-psk" => 0x0303, 0x00A8, None, resumed false;
    tls_1_2_resumed_by_ticket: "tls12-resumed" => 0x0303, 0xC02B, None, resumed true;
    tls_1_2_resumed_by_session_id: "tls12-resumed-by-id" => 0x0303, 0xC02B, None, resumed true;
    tls_1_3_with_x25519: "tls13-x25519" => 0x0304, 0x1302, Some(29), resumed false;
    tls_1_3_with_p256: "tls13-p256" => 0x0304, 0x1303, Some(23), resumed false;
    tls_1_3_resumed: "tls13-resumed" => 0x0304, 0x1301, Some(29), resumed true;
    tls_1_3_after_a_retry_has_the_group_asked_for: "tls13-retry" => 0x0304, 0x1301, Some(24), resumed false;
    tls_1_3_over_ipv6: "tls13-ipv6" => 0x0304, 0x1302, Some(29), resumed false;
    sslv3_of_tlslite: "ssl3-tlslite" => 0x0300, 0xC013, Some(23), resumed false;
    sslv3_with_3des: "ssl3-3des" => 0x0300, 0xC012, Some(23), resumed false;
    tls_1_0_of_gnutls: "gnutls-tls10" => 0x0301, 0xC014, Some(23), resumed false;
    gnutls_after_a_retry: "gnutls-tls13-retry" => 0x0304, 0x1302, Some(24), resumed false;
    tls_1_3_in_a_finite_field: "tls13-ffdhe3072" => 0x0304, 0x1302, Some(257), resumed false;
    tls_1_3_with_a_key_of_its_own: "tls13-psk" => 0x0304, 0x1303, Some(29), resumed true;
    tls_1_2_with_aria: "tls12-aria" => 0x0303, 0xC060, Some(29), resumed false;
}

#[test]
fn the_name_asked_for_is_read() {
    for name in ["tls10", "tls12-p256", "tls12-resumed", "tls13-x25519", "tls13-retry", "version-mismatch"] {
        assert_eq!(handshake(name).server_name.as_deref(), Some("server.example"), "{name}");
    }
    assert_eq!(handshake("tls13-ipv6").server_name, None);
}

#[test]
fn encrypt_then_mac_is_read_from_the_server_hello() {
    let agreed = [("tls10", true), ("tls11", true), ("tls12-cbc", true), ("tls12-anonymous", true)];
    let needless = [("tls12-p256", false), ("tls12-x25519", false), ("tls12-dhe", false), ("tls13-x25519", false)];
    for (name, expected) in agreed.into_iter().chain(needless) {
        assert_eq!(handshake(name).encrypt_then_mac, expected, "{name}");
    }
}

#[test]
fn a_certificate_is_read_when_it_travels_in_the_clear() {
    for name in ["tls10", "tls11", "tls12-p256", "tls12-x25519", "tls12-dhe"] {
        let der = handshake(name).server_certificate.unwrap_or_else(|| panic!("{name}: no certificate"));
        let length = usize::from(u16::from_be_bytes([der[2], der[3]]));
        assert_eq!((&der[..2], der.len()), ([0x30, 0x82].as_slice(), 4 + length), "{name}");
    }
    for name in ["tls12-resumed", "tls12-anonymous", "tls12-psk", "tls13-x25519", "tls13-resumed"] {
        assert_eq!(handshake(name).server_certificate, None, "{name}");
    }
}

#[test]
fn the_session_id_is_the_server_hellos() {
    for (name, length) in [("tls12-p256", 0), ("tls12-resumed", 32), ("tls12-resumed-by-id", 32), ("tls13-x25519", 32)]
    {
        assert_eq!(handshake(name).session_id.len(), length, "{name}");
    }
}

#[test]
fn a_version_both_ends_could_not_agree_on_is_a_failed_handshake() {
    let found = handshake("version-mismatch");
    assert_eq!((found.version, found.alert, found.complete), (0, Some(70), true));
    assert!(Protection::Tls(found).is_determined());
}

#[test]
fn a_refused_certificate_leaves_the_version_and_the_alert() {
    let found = handshake("tls12-refused");
    assert_eq!((found.version, found.suite, found.alert, found.complete), (0x0303, 0xC02B, Some(48), true));
    assert_eq!(found.resumed, Some(false));
}

#[test]
fn a_hello_answered_in_clear_text_is_not_protected() {
    assert_eq!(connections("tls-to-plain"), [Protection::None]);
}

#[test]
fn http_is_not_protected() {
    assert_eq!(connections("plain"), [Protection::None]);
}

#[test]
fn ssh_is_known_by_its_banner() {
    assert!(matches!(connections("ssh").as_slice(), [Protection::Ssh(_)]));
}

#[test]
fn ftp_that_asks_for_tls_is_tls() {
    let found = connections("ftp-auth-tls");
    let Some(Protection::Tls(control)) = found.first() else { panic!("{found:?}") };
    assert_eq!((control.version, control.suite, control.group), (0x0304, 0x1302, Some(29)));
    assert_eq!((control.resumed, control.complete), (Some(false), true));
    assert_eq!(found.len(), 2);
}

#[test]
fn a_hello_never_answered_is_not_determined() {
    let found = connections("ftp-auth-tls");
    let Some(Protection::Tls(data)) = found.get(1) else { panic!("{found:?}") };
    assert_eq!((data.version, data.complete), (0, false));
    assert!(!found[1].is_determined());
}

#[test]
fn ftp_that_logs_in_without_tls_is_not_protected() {
    for name in ["ftp-clear", "ftp-clear-tls-server", "ftp-auth-refused"] {
        assert_eq!(connections(name).first(), Some(&Protection::None), "{name}");
    }
}

#[test]
fn a_connection_whose_client_is_silent_is_not_taken_for_tls_or_ssh() {
    let found = connections("ftp-clear");
    assert!(matches!(found.get(1), Some(Protection::Undetermined | Protection::None)), "{found:?}");
}

#[test]
fn a_replay_agrees_with_the_bytes_given_to_an_observer() {
    for name in all_captures() {
        let observed: Vec<Protection> = conversations(name).iter().map(|turns| observe(turns)).collect();
        assert_eq!(connections(name), observed, "{name}");
    }
}

#[test]
fn the_ends_are_named_client_first() {
    for (name, server) in [("tls12-p256", "127.0.0.1:4433"), ("tls13-ipv6", "[::1]:4433"), ("ssh", "127.0.0.1:2222")] {
        let found = replay(capture(name).as_slice()).expect("a capture");
        let servers: Vec<String> = found.iter().map(|connection| connection.key.server.to_string()).collect();
        assert_eq!(servers, [server], "{name}");
    }
}

fn keys(found: &[Replayed]) -> Vec<String> {
    found.iter().map(|connection| format!("{:?}", connection.key)).collect()
}

/// A file cut at its end gives what came before. `step` keeps the number of runs down.
fn cut_everywhere(name: &str, step: usize) {
    let file = capture(name);
    let whole = replay(file.as_slice()).expect("a capture");
    for end in (0..file.len()).step_by(step) {
        match replay(&file[..end]) {
            Ok(part) => assert!(keys(&whole).starts_with(&keys(&part)), "{name} cut at {end}: {part:?}"),
            // The section header is what makes it a capture.
            Err(error) => assert!(end < 200, "{name} cut at {end}: {error}"),
        }
    }
}

#[test]
fn a_capture_cut_at_any_byte_gives_what_came_before() {
    for name in ["tls12-resumed", "tls13-ipv6", "version-mismatch", "ssh"] {
        cut_everywhere(name, 1);
    }
    for name in all_captures() {
        cut_everywhere(name, 37);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_capture_is_read_or_refused(
        name in proptest::sample::select(all_captures().collect::<Vec<_>>()),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut file = capture(name);
        for (at, byte) in damage {
            let at = at.index(file.len());
            file[at] = byte;
        }
        let length = file.len();
        if let Ok(found) = replay(file.as_slice()) {
            // Nothing is made up: a packet takes more than 60 bytes.
            prop_assert!(found.len() <= length / 60);
        }
    }

    #[test]
    fn bytes_that_are_no_capture_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let magic = [0xA1B2_C3D4_u32, 0xD4C3_B2A1, 0xA1B2_3C4D, 0x4D3C_B2A1, 0x0A0D_0D0A];
        let first = bytes.first_chunk().map(|four| u32::from_le_bytes(*four));
        prop_assume!(first.is_none_or(|first| !magic.contains(&first)));
        prop_assert!(replay(bytes.as_slice()).is_err());
    }
}

fn ssh(name: &str) -> Ssh {
    match <[Protection; 1]>::try_from(connections(name)) {
        Ok([Protection::Ssh(ssh)]) => *ssh,
        other => panic!("{name}: {other:?}"),
    }
}

/// Key exchange, algorithm of the key, encryption and authentication of both directions; the key's type, size and fingerprint as
/// `ssh-keygen -l` printed them.
const SSH: [(&str, [&str; 4], &str, u16, &str); 5] = [
    (
        "ssh-default",
        ["sntrup761x25519-sha512", "ssh-ed25519", "chacha20-poly1305@openssh.com", ""],
        "ssh-ed25519",
        256,
        "d01bdc433d1a7bacb0bdc42d0f4e3af1350a59b514537d954707dee858c9486e",
    ),
    (
        "ssh-old",
        ["diffie-hellman-group14-sha1", "ssh-rsa", "aes128-cbc", "hmac-sha1"],
        "ssh-rsa",
        3072,
        "7a22a9b50aa7334dcd39dc4d90ace84196342916232d06840e951705306fbf91",
    ),
    (
        "ssh-nistp256",
        ["ecdh-sha2-nistp256", "ecdsa-sha2-nistp256", "aes256-gcm@openssh.com", ""],
        "ecdsa-sha2-nistp256",
        256,
        "4422ebc255e26953048e562ecdd26f2dd21e2991f68c6cb5fa39099f081075d4",
    ),
    (
        "ssh-group-exchange",
        ["diffie-hellman-group-exchange-sha256", "rsa-sha2-512", "aes128-ctr", "hmac-sha2-256-etm@openssh.com"],
        "ssh-rsa",
        3072,
        "7a22a9b50aa7334dcd39dc4d90ace84196342916232d06840e951705306fbf91",
    ),
    (
        "ssh-dropbear",
        ["curve25519-sha256", "rsa-sha2-256", "chacha20-poly1305@openssh.com", ""],
        "ssh-rsa",
        2048,
        "0781ee6ee2b56fed4537f259d35e9a144d3df8e3e033583971796a21dbce4b6f",
    ),
];

#[test]
fn what_ssh_agrees_on_is_read_from_both_ends_lists() {
    for (name, [key_exchange, host_key, encryption, authentication], kind, bits, fingerprint) in SSH {
        let found = ssh(name);
        assert_eq!((found.version, found.failed, found.complete, found.strict), (2, false, true, true), "{name}");
        assert_eq!(found.key_exchange.as_deref(), Some(key_exchange), "{name}");
        assert_eq!(found.host_key.as_deref(), Some(host_key), "{name}");
        for cipher in [found.to_server, found.to_client] {
            let cipher = cipher.unwrap_or_else(|| panic!("{name}: no cipher"));
            assert_eq!(
                (cipher.encryption.as_str(), cipher.authentication.as_str()),
                (encryption, authentication),
                "{name}"
            );
        }
        let key = found.server_key.unwrap_or_else(|| panic!("{name}: no key"));
        let hexadecimal: String = key.fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((key.kind.as_str(), key.bits, hexadecimal.as_str()), (kind, bits, fingerprint), "{name}");
    }
    assert_eq!(ssh("ssh-group-exchange").group_bits, Some(8192));
}

#[test]
fn an_ssh_connection_without_a_cipher_in_common_has_failed() {
    let found = ssh("ssh-nothing-in-common");
    assert_eq!((found.failed, found.complete, found.to_server, found.server_key), (true, true, None, None));
}

#[test]
fn every_upgrade_is_known_by_its_dialogue() {
    use zert::Upgrade;
    for (name, expected) in [
        ("starttls-smtp", Upgrade::FtpOrSmtp),
        ("starttls-lmtp", Upgrade::FtpOrSmtp),
        ("starttls-ftp", Upgrade::FtpOrSmtp),
        ("starttls-imap", Upgrade::Imap),
        ("starttls-pop3", Upgrade::Pop3),
        ("starttls-ldap", Upgrade::Ldap),
        ("starttls-postgres", Upgrade::Postgres),
        ("starttls-xmpp", Upgrade::Xmpp),
        ("starttls-mysql", Upgrade::Mysql),
        ("starttls-rdp", Upgrade::Rdp),
    ] {
        let found = handshake(name);
        assert_eq!((found.upgrade, found.version, found.complete), (Some(expected), 0x0304, true), "{name}");
    }
}

#[test]
fn certificates_of_clients_and_protocols_are_read_where_they_are_in_clear() {
    let mutual = handshake("tls12-mutual");
    assert!(mutual.client_certificate.is_some() && mutual.client_certificate != mutual.server_certificate);
    assert_eq!(handshake("tls13-mutual").client_certificate, None, "TLS 1.3 hides it");
    assert_eq!(handshake("tls12-p256").client_certificate, None);
    let alpn = handshake("tls12-alpn");
    assert_eq!((alpn.protocols, alpn.protocol.as_deref()), (vec!["h2".to_owned(), "http/1.1".to_owned()], Some("h2")));
    let hidden = handshake("tls13-alpn");
    assert_eq!((hidden.protocols.len(), hidden.protocol), (2, None));
    assert_eq!(handshake("tls12-ed25519").signature, Some(0x0807));
    assert_eq!(handshake("gnutls-tls12-dhe").dh_bits, Some(2048));
    let early: Vec<bool> = connections("tls13-early")
        .iter()
        .map(|found| matches!(found, Protection::Tls(handshake) if handshake.early_data))
        .collect();
    assert_eq!(early, [false, true]);
}

#[test]
fn what_the_hello_and_the_key_exchange_say_is_read() {
    let old = handshake("tls10");
    assert_eq!((old.offered, old.signature), (0x0301, None), "the scheme is named from TLS 1.2 on");
    let modern = handshake("tls13-x25519");
    assert_eq!((modern.offered, modern.early_data, modern.encrypted_hello), (0x0304, false, false));
    assert_eq!(handshake("tls12-dhe-6144").dh_bits, Some(6144));
    assert!(handshake("tls12-x25519").signature.is_some());
    assert_eq!(handshake("tls12-anonymous").signature, None, "nobody signs");
    assert_eq!(handshake("version-mismatch").version, 0);
}
