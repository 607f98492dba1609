//! Subtype 12: where IBM's maps put its fields; broken bytes.

use chrono::TimeDelta;
use proptest::prelude::*;
use smf::SessionSummary;
use smf::detail::{AttributeSource, Certificate, LocalRole};
use smf::summary::{Common, Counters, Event, Ssh, Tls};

use crate::sample;

fn counters(first: u32) -> Counters {
    Counters {
        connections: first,
        partial: first + 1,
        short: first + 2,
        active: first + 3,
        failed: first + 4,
        bytes_in: 5,
        bytes_out: 6,
        segments_in: 7,
        segments_out: 8,
    }
}

fn certificate() -> Certificate {
    Certificate {
        signature: 7,
        encryption: 2,
        digest: 6,
        key_type: 2,
        key_length: 2048,
        serial: vec![0x12, 0x34],
        not_after: "20300101000000Z".to_owned(),
    }
}

fn summary() -> SessionSummary {
    let detail = sample();
    SessionSummary {
        header: smf::Header { subtype: 12, ..detail.header },
        identification: detail.identification,
        common: Common {
            duration: TimeDelta::seconds(1800),
            event: Event::Interval,
            role: LocalRole::Server,
            protocols: 0x80,
            jobname: "FTPD".to_owned(),
            userid: "ALICE".to_owned(),
            server: "10.20.30.5".parse().expect("an address"),
            client: "10.50.60.7".parse().expect("an address"),
            ports: (21, 21),
            session: format!("T-{}", "0123456789".repeat(4)),
            begun: counters(10),
            ended: counters(20),
        },
        tls: Some(Tls {
            source: AttributeSource::Observation,
            encrypt_then_mac: false,
            version: 0x0303,
            cipher: "C02F".to_owned(),
            algorithms: [0x12, 1, 0x14],
            server_certificate: Some(certificate()),
            client_certificate: None,
            group: 29,
        }),
        ssh: None,
        ipsec: None,
        names: detail.names,
    }
}

#[test]
fn the_fields_stand_where_ibm_puts_them() {
    let record = summary().encode();
    assert_eq!(SessionSummary::decode(&record), Ok(summary()));
    assert_eq!((record[5], &record[22..24], &record[24..26]), (119, [0, 12].as_slice(), [0, 6].as_slice()));
    let triplet = |index: usize| {
        let at = 28 + 8 * index;
        let offset = u32::from_be_bytes(record[at..at + 4].try_into().expect("four bytes")) as usize;
        (offset, u16::from_be_bytes(record[at + 4..at + 6].try_into().expect("two bytes")))
    };
    assert_eq!((triplet(0), triplet(1), triplet(2)), ((76, 64), (140, 212), (352, 116)));
    assert_eq!((triplet(3), triplet(4)), ((0, 0), (0, 0)));
    let common = &record[140..352];
    let number = |at: usize| u32::from_be_bytes(common[at..at + 4].try_into().expect("four bytes"));
    let long = |at: usize| u64::from_be_bytes(common[at..at + 8].try_into().expect("eight bytes"));
    assert_eq!(long(0) >> 12, 1_800_000_000, "microseconds, as a TOD clock has them");
    assert_eq!(common[8..11], [1, 0x40, 0x80], "interval, server, TLS");
    assert_eq!(common[27..48], [6, 10, 20, 30, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 50, 60, 7]);
    assert_eq!(common[60..64], [0, 21, 0, 21]);
    assert_eq!(common[64..66], [0xE3, 0x60], "T- in EBCDIC");
    assert_eq!([108, 112, 116, 120, 204].map(number), [10, 11, 12, 13, 14], "as the interval began");
    assert_eq!([156, 160, 164, 168, 208].map(number), [20, 21, 22, 23, 24], "as it ended");
    assert_eq!([124, 132, 140, 148].map(long), [5, 6, 7, 8]);
    assert_eq!([172, 180, 188, 196].map(long), [5, 6, 7, 8]);
    let tls = &record[352..468];
    assert_eq!(tls[0..4], [1, 0, 3, 3]);
    assert_eq!(
        (&tls[24..26], tls[42], &tls[43..45], &tls[64..66]),
        (&[8, 0][..], 2, &[0x12, 0x34][..], &[0xF2, 0xF0][..])
    );
}

#[test]
fn an_ssh_session_comes_back() {
    let ssh = Ssh {
        source: AttributeSource::Observation,
        version: 2,
        encrypt_then_mac: [true, false],
        authentication_methods: [1, 2],
        algorithms: [3, 4, 5, 6, 7],
        keys: [8, 9, 10, 11],
    };
    let record = SessionSummary { tls: None, ssh: Some(ssh), ..summary() };
    let bytes = record.encode();
    assert_eq!(bytes[28 + 3 * 8 + 4..28 + 3 * 8 + 6], [0, 46]);
    assert_eq!(SessionSummary::decode(&bytes), Ok(record));
}

/// A common section of before z/OS 3.2 has no failed handshakes.
#[test]
fn an_older_record_is_read() {
    let mut record = summary().encode();
    record[28 + 8 + 5] = 204;
    record[28 + 16 + 5] = 36;
    let read = SessionSummary::decode(&record).expect("an older record");
    assert_eq!((read.common.begun.failed, read.common.ended.failed, read.common.ended.segments_out), (0, 0, 8));
    assert_eq!(read.tls.map(|tls| (tls.version, tls.group)), Some((0x0303, 0)));
}

proptest! {
    #[test]
    fn no_damage_makes_the_reader_panic(at in 0_usize..600, byte: u8, cut in 0_usize..600) {
        let mut record = summary().encode();
        let length = record.len();
        record[at % length] = byte;
        let _ = SessionSummary::decode(&record);
        let _ = SessionSummary::decode(&record[..cut.min(length)]);
    }
}
