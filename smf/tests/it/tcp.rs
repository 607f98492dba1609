//! Subtypes 1, 2, 3, 70 and 100: where their fields lie; what is written comes back.

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use smf::attls::{Event, PolicyEvent};
use smf::ftp::{ClientTransfer, Security, ServerTransfer, Transfer};
use smf::tcp::{AtTls, Ended, Initiation, PolicyStatus, SecureStatus, Termination};
use smf::{Header, Identification, Record, ebcdic};

use crate::sample;

fn beginning(subtype: u16) -> (Header, Identification) {
    (Header { subtype, ..sample().header }, sample().identification)
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn initiation() -> Initiation {
    let (header, identification) = beginning(1);
    Initiation {
        header,
        identification,
        jobname: "FTPD1".to_owned(),
        connection_id: 0x1245,
        remote: address("10.50.60.7:52341"),
        local: address("10.20.30.5:21"),
        started: at("2026-05-01T08:35:10.123456Z"),
    }
}

fn termination() -> Termination {
    let (header, identification) = beginning(2);
    Termination {
        header,
        identification,
        connection: Ended {
            jobname: "FTPD1".to_owned(),
            connection_id: 0x1245,
            secure: SecureStatus::Secure,
            policy: PolicyStatus::ApplicationControlled,
            started: at("2026-05-01T08:35:10.123456Z"),
            ended: at("2026-05-01T08:35:12.25Z"),
            remote: address("[2001:db8::7]:52341"),
            local: address("[2001:db8::5]:21"),
            bytes_in: 45_128,
            bytes_out: 123_456,
            send_window: 64_240,
            congestion_window: 14_480,
            segment_size: 1448,
            round_trip: 12,
            round_trip_variance: 3,
            active: false,
            retransmissions: 2,
            segments_in: 312,
            segments_out: 418,
            duplicate_acks: 1,
        },
        attls: Some(AtTls {
            version: 0x0303,
            cipher: "C030".to_owned(),
            security_type: 5,
            partner: "ALICE".to_owned(),
        }),
    }
}

fn transfer() -> Transfer {
    Transfer {
        command: "STOR".to_owned(),
        data: Some((address("10.50.60.7:52342"), address("10.20.30.5:50001"))),
        control: (address("10.50.60.7:52341"), address("10.20.30.5:21")),
        user: "ALICE".to_owned(),
        local_user: String::new(),
        data_type: 'I',
        mode: 'S',
        structure: 'F',
        started: at("2026-05-01T08:35:10.5Z"),
        ended: at("2026-05-01T08:35:12.25Z"),
        bytes: 118,
        reply: "226".to_owned(),
        control_id: 0x1245,
        data_id: 0x1246,
        file: "/home/alice/day.txt".to_owned(),
        second_file: String::new(),
        security: Security {
            mechanism: 'A',
            control: 'P',
            data: 'P',
            login: 'P',
            version: "TLSV1.2".to_owned(),
            cipher_name: "ECDHE-RSA-AES256-GCM".to_owned(),
            cipher: "C030".to_owned(),
        },
    }
}

fn server() -> ServerTransfer {
    let (header, identification) = beginning(70);
    ServerTransfer { header, identification, transfer: transfer() }
}

fn client() -> ClientTransfer {
    let (header, identification) = beginning(3);
    let user = "alice.liddell@wonderland".to_owned();
    ClientTransfer { header, identification, transfer: Transfer { user, local_user: "BOB".to_owned(), ..transfer() } }
}

fn event() -> PolicyEvent {
    let (header, identification) = beginning(100);
    PolicyEvent {
        header,
        identification,
        event: Event::Failed,
        secure: SecureStatus::InProgress,
        policy: PolicyStatus::Enabled,
        security_type: 1,
        version: 0x0304,
        group: 0x11EC,
        cipher: "1302".to_owned(),
        resumed: true,
        fips: true,
        secondary: false,
        jobname: "FTP1".to_owned(),
        userid: "BATCH".to_owned(),
        partner: String::new(),
        started: at("2026-05-01T08:35:10.5Z"),
        happened: at("2026-05-01T08:35:12.25Z"),
        remote: address("10.50.60.7:21"),
        local: address("10.20.30.5:52341"),
        connection_id: 7,
        rule: "FTPS_CLIENT".to_owned(),
        environment: "TLS_ENV_CLIENT".to_owned(),
        bytes_in: 1,
        bytes_out: 2,
        reason: "the peer's certificate has expired".to_owned(),
    }
}

pub(crate) fn all() -> Vec<Vec<u8>> {
    let tcp = [initiation().encode(), termination().encode()];
    let others = [client().encode(), server().encode(), event().encode(), sample().encode()];
    tcp.into_iter().chain(others).collect()
}

/// The section of a triplet.
fn section(record: &[u8], triplet: usize) -> &[u8] {
    let triplet = record.get(28 + 8 * triplet..).and_then(<[u8]>::first_chunk::<8>).expect("a triplet");
    let [a, b, c, d, high, low, ..] = *triplet;
    let offset = u32::from_be_bytes([a, b, c, d]) as usize;
    record.get(offset..offset + usize::from(u16::from_be_bytes([high, low]))).expect("a section")
}

#[test]
fn initiations_and_terminations_lie_where_ibm_has_them() {
    let record = initiation().encode();
    let found = section(&record, 1);
    assert_eq!(found.len(), 72);
    assert_eq!(&found[8..12], [0, 0, 0x12, 0x45], "TIConnID");
    assert_eq!(&found[20..36], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 10, 50, 60, 7], "TIRIP, mapped");
    assert_eq!(&found[52..56], [0xCC, 0x75, 0, 21], "TIRPort, TILPort");
    let record = termination().encode();
    let found = section(&record, 1);
    assert_eq!(found.len(), 216);
    assert_eq!(&found[12..14], [3, 5], "TTTTLSCS, TTTTLSPS");
    assert_eq!(&found[68..72], [0xCC, 0x75, 0, 21], "TTRPort, TTLPort");
    assert_eq!(&found[72..80], 45_128_u64.to_be_bytes(), "TTInBytes");
    assert_eq!(&found[104..108], 12_u32.to_be_bytes(), "TTRTT");
    assert_eq!(&found[180..188], 312_u64.to_be_bytes(), "TTInSeg");
    assert_eq!(&found[212..216], 1_u32.to_be_bytes(), "TTDupAcksRcvd");
    let tls = section(&record, 3);
    assert_eq!((&tls[..2], ebcdic::decode(&tls[2..4])), (&[3, 3][..], "4X".to_owned()));
    assert_eq!((tls[4], ebcdic::decode(&tls[8..16])), (5, "ALICE".to_owned()));
}

#[test]
fn transfers_lie_where_ibm_has_them() {
    let record = server().encode();
    let found = section(&record, 1);
    assert_eq!(found.len(), 184);
    assert_eq!((found[0], ebcdic::decode(&found[4..8])), (5, "STOR".to_owned()), "FSOper, FSCmd");
    assert_eq!(&found[44..48], [0xCC, 0x76, 0xC3, 0x51], "FSDRPort, FSDLPort");
    assert_eq!(ebcdic::decode(&found[84..92]), "ALICE", "FSSUser");
    assert_eq!(&found[112..116], 175_u32.to_be_bytes(), "FSDur");
    assert_eq!(&found[116..124], 118_u64.to_be_bytes(), "FSBytes");
    assert_eq!(ebcdic::decode(&found[124..128]), " 226", "FSLReply, at the right");
    assert_eq!(&found[152..160], 0x4276_0000_0000_0000_u64.to_be_bytes(), "FSBytesFloat");
    assert_eq!(ebcdic::decode(section(&record, 3)), "/home/alice/day.txt");
    let record = client().encode();
    let found = section(&record, 1);
    assert_eq!((ebcdic::decode(&found[..4]), ebcdic::decode(&found[88..96])), ("STOR".to_owned(), "BOB".to_owned()));
    assert_eq!(ebcdic::decode(&found[128..132]), "226", "FCLReply, at the left");
    assert_eq!(ebcdic::decode(section(&record, 5)), "alice.liddell@wonderland");
}

#[test]
fn what_is_written_comes_back() {
    let decoded = |record: Vec<u8>| Record::decode(&record).expect("a record").expect("a known one");
    assert_eq!(decoded(initiation().encode()), Record::Initiation(Box::new(initiation())));
    assert_eq!(decoded(termination().encode()), Record::Termination(Box::new(termination())));
    assert_eq!(decoded(client().encode()), Record::ClientTransfer(Box::new(client())));
    assert_eq!(decoded(server().encode()), Record::ServerTransfer(Box::new(server())));
    assert_eq!(decoded(event().encode()), Record::PolicyEvent(Box::new(event())));
    // A deletion has no data connection.
    let deletion = Transfer { command: "DELE".to_owned(), data: None, bytes: 0, data_id: 0, ..transfer() };
    let deletion = ServerTransfer { transfer: deletion, ..server() };
    assert_eq!(ServerTransfer::decode(&deletion.encode()), Ok(deletion));
}

proptest! {
    #[test]
    fn no_damage_makes_the_reader_panic(
        which in 0_usize..6, at in 0_usize..600, bytes in proptest::collection::vec(any::<u8>(), 1..8), cut in 0_usize..700,
    ) {
        let mut record = all().swap_remove(which);
        for (place, byte) in record.iter_mut().skip(at).zip(bytes) {
            *place = byte;
        }
        record.truncate(cut);
        // Whoever asks for the fields gets the same record.
        let fields = Record::fields(&record).map(|found| found.map(|(record, _)| record));
        prop_assert_eq!(Record::decode(&record), fields);
    }
}
