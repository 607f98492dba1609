//! Records written and read again; broken bytes.

mod dump;
mod fields;
mod summary;
mod tcp;

use std::net::SocketAddr;

use chrono::{DateTime, NaiveDate, Utc};
use proptest::prelude::*;
use smf::detail::{
    AttributeSource, Certificate, CertificateName, Common, ConnectionDetail, DataOf, Enforcement, Event, HandshakeType,
    LocalRole, Tls,
};
use smf::{Frames, Header, Identification, RecordError};

fn sample() -> ConnectionDetail {
    ConnectionDetail {
        header: Header {
            written: NaiveDate::from_ymd_opt(2026, 5, 1)
                .expect("a date")
                .and_hms_milli_opt(10, 35, 12, 340)
                .expect("a time"),
            system: "SYSA".to_owned(),
            subsystem: "TCP".to_owned(),
            subtype: 11,
        },
        identification: Identification {
            system: "SYSA".to_owned(),
            sysplex: "LOCAL".to_owned(),
            stack: "TCPIP".to_owned(),
            release: "V3R2".to_owned(),
            component: "STACK".to_owned(),
            address_space: "PAGENT".to_owned(),
            userid: "ROOT".to_owned(),
            asid: 17,
            reason: 0x08,
        },
        common: Common {
            event: Event::ShortTermination,
            protocols: 0x80,
            reset: true,
            older: false,
            role: LocalRole::Server,
            jobname: "FTPD".to_owned(),
            jobid: String::new(),
            userid: "ALICE".to_owned(),
            started: DateTime::parse_from_rfc3339("2026-05-01T08:35:10.5Z").expect("a time").to_utc(),
            ended: Some(DateTime::parse_from_rfc3339("2026-05-01T08:35:12.25Z").expect("a time").to_utc()),
            remote: "10.50.60.7:52341".parse().expect("an address"),
            local: "10.20.30.5:21".parse().expect("an address"),
            connection_id: 0x1245,
            bytes_in: 45_128,
            bytes_out: 123_456,
            segments_in: 312,
            segments_out: 418,
            data_of: None,
        },
        tls: Some(Tls {
            version: 0x0303,
            source: AttributeSource::Observation,
            handshake: HandshakeType::Full,
            role: 2,
            session_id: vec![1, 2, 3],
            provider: "Observation".to_owned(),
            cipher: "C02F".to_owned(),
            encryption: 0x12,
            authentication: 1,
            key_exchange: 0x14,
            encrypt_then_mac: false,
            group: 29,
            server_certificate: Some(Certificate {
                signature: 7,
                encryption: 2,
                digest: 6,
                serial: vec![8, 0x3B],
                not_after: "270501000000Z".to_owned(),
                key_type: 2,
                key_length: 2048,
            }),
            client_certificate: None,
        }),
        ssh: None,
        ipsec: None,
        names: vec![CertificateName { kind: 5, name: "CN=server.example, O=Example".to_owned() }],
        enforcement: Some(Enforcement {
            rule: "REFUSE_WEAK_TLS".to_owned(),
            action: "zERT_ENFORCE_TLS12_MIN".to_owned(),
            reset: true,
            logged: false,
            audited: false,
        }),
    }
}

#[test]
fn a_record_survives_being_written_and_read() {
    let record = sample().encode();
    assert_eq!(ConnectionDetail::decode(&record), Ok(sample()));
}

/// Offsets IBM documents: header 24, triplets from 28, eight of them, common section 128, TLS section 168.
#[test]
fn the_fields_stand_where_ibm_puts_them() {
    let record = sample().encode();
    let length = usize::from(u16::from_be_bytes([record[0], record[1]]));
    assert_eq!(length, record.len());
    assert_eq!((record[5], &record[22..24], &record[24..26]), (119, [0, 11].as_slice(), [0, 8].as_slice()));
    assert_eq!(&record[10..14], [0x01, 0x26, 0x12, 0x1F], "2026, day 121");
    let triplet = |index: usize| {
        let at = 28 + 8 * index;
        let offset = u32::from_be_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]]) as usize;
        (
            offset,
            u16::from_be_bytes([record[at + 4], record[at + 5]]),
            u16::from_be_bytes([record[at + 6], record[at + 7]]),
        )
    };
    assert_eq!(triplet(0), (92, 64, 1));
    assert_eq!(triplet(1), (156, 128, 1));
    assert_eq!(triplet(2), (0, 0, 0));
    assert_eq!(triplet(3), (284, 168, 1));
    assert_eq!(triplet(7).1, 68);
    let common = &record[156..284];
    assert_eq!((common[0], common[1], common[2]), (4, 0x80, 0x30));
    assert_eq!(&common[48..64], [10, 50, 60, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "IPv4 stands in the first four");
    assert_eq!(&common[84..88], [0, 0, 0x12, 0x45]);
    let tls = &record[284..452];
    assert_eq!(&tls[56..62], [0xC3, 0xF0, 0xF2, 0xC6, 0x40, 0x40], "Neg_Cipher C02F in EBCDIC");
    assert_eq!(&tls[118..120], 2048_u16.to_be_bytes());
}

#[test]
fn a_dump_is_read_record_by_record_and_a_cut_end_is_said_so() {
    let record = sample().encode();
    let dump = [record.clone(), record].concat();
    assert_eq!(Frames::new(&dump).filter_map(Result::ok).count(), 2);
    let cut = &dump[..dump.len() - 10];
    let found: Vec<_> = Frames::new(cut).collect();
    assert!(matches!(found.as_slice(), [Ok(_), Err(RecordError::Truncated { .. })]), "{found:?}");
    let found: Vec<_> = Frames::new(b"\0\0\0\0").collect();
    assert!(matches!(found.as_slice(), [Err(RecordError::Length { offset: 0, length: 0 })]));
}

#[test]
fn a_section_outside_its_record_is_an_error() {
    let mut record = sample().encode();
    record[28 + 8 + 2] = 0xFF;
    assert_eq!(ConnectionDetail::decode(&record), Err(RecordError::Section { section: "common" }));
}

fn endpoint() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    let v4 = any::<([u8; 4], u16, [u8; 4], u16)>()
        .prop_map(|(a, p, b, q)| (SocketAddr::from((a, p)), SocketAddr::from((b, q))));
    let v6 = any::<([u8; 16], u16, [u8; 16], u16)>()
        .prop_map(|(a, p, b, q)| (SocketAddr::from((a, p)), SocketAddr::from((b, q))));
    prop_oneof![v4, v6]
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = ConnectionDetail::decode(&bytes);
        let _ = Frames::new(&bytes).count();
    }

    #[test]
    fn no_damage_to_a_record_makes_the_reader_panic(at in 0_usize..500, byte in any::<u8>(), cut in 0_usize..520) {
        let mut record = sample().encode();
        if let Some(found) = record.get_mut(at) {
            *found = byte;
        }
        record.truncate(cut);
        let _ = ConnectionDetail::decode(&record);
    }

    #[test]
    fn every_record_survives(
        (local, remote) in endpoint(),
        name in "[A-Z0-9@#$]{0,8}",
        seconds in 0_i64..4_000_000_000,
        numbers in any::<(u32, u64, u64, u64, u64)>(),
        group in any::<u16>(),
        id in proptest::collection::vec(any::<u8>(), 0..=32),
        with_tls in any::<bool>(),
    ) {
        let mut record = sample();
        record.common.local = local;
        record.common.remote = remote;
        record.common.jobname = name;
        record.common.started = DateTime::<Utc>::from_timestamp(seconds, 0).expect("a time");
        record.common.connection_id = numbers.0;
        (record.common.bytes_in, record.common.bytes_out) = (numbers.1, numbers.2);
        (record.common.segments_in, record.common.segments_out) = (numbers.3, numbers.4);
        if let Some(tls) = &mut record.tls {
            tls.group = group;
            tls.session_id = id;
        }
        if !with_tls {
            record.tls = None;
            record.common.data_of = Some(DataOf { connection_id: numbers.0, port: 21, active: numbers.1 % 2 == 0 });
        }
        prop_assert_eq!(ConnectionDetail::decode(&record.encode()), Ok(record));
    }
}

#[test]
fn an_ssh_section_is_ibm_s_284_bytes_and_comes_back() {
    let ssh = smf::detail::Ssh {
        version: 2,
        source: AttributeSource::Observation,
        encrypt_then_mac_in: true,
        encrypt_then_mac_out: false,
        failed: false,
        component: "SSHD".to_owned(),
        provider: "Observation".to_owned(),
        authentication_methods: [0, 3],
        encryption_in: 0x0F,
        authentication_in: 6,
        key_exchange: 2,
        encryption_out: 0x13,
        authentication_out: 1,
        server_key: [2, 3072],
        client_key: [5, 256],
        server_fingerprint: vec![7; 32],
        client_fingerprint: Vec::new(),
        server_certificate: None,
        client_certificate: None,
    };
    let record = ConnectionDetail { tls: None, ssh: Some(ssh), ..sample() };
    let bytes = record.encode();
    assert_eq!(ConnectionDetail::decode(&bytes).as_ref(), Ok(&record));
    // The fifth triplet: offset, length 284, one.
    let triplet = &bytes[28 + 4 * 8..28 + 5 * 8];
    assert_eq!(&triplet[4..], [1, 28, 0, 1]);
    let offset =
        usize::try_from(u32::from_be_bytes([triplet[0], triplet[1], triplet[2], triplet[3]])).expect("an offset");
    let section = &bytes[offset..offset + 284];
    // Kex_Method at 40, SKey_Len at 50, SKey_FPLen at 56, SKey_FP at 60.
    assert_eq!(
        (&section[40..42], &section[50..52], &section[56..58], section[60]),
        (&[0, 2][..], &[12, 0][..], &[0, 32][..], 7)
    );
}
