//! Fields by their names.

use smf::{Field, RacfRecord, Record};

use crate::{sample, tcp};

fn fields(record: &[u8]) -> Vec<Field> {
    let (_, parts) = Record::fields(record).expect("a record").expect("a known one");
    parts.into_iter().flat_map(|part| part.fields).collect()
}

#[test]
fn a_field_has_ibm_s_name_its_place_and_its_value() {
    let found = fields(&sample().encode());
    let shown = |name: &str| {
        let field = found.iter().find(|field| field.name == name).unwrap_or_else(|| panic!("{name}"));
        (field.offset, field.length, field.to_string())
    };
    assert_eq!(shown("SMF119HDType"), (5, 1, "119".to_owned()));
    assert_eq!(shown("SMF119HDDate"), (10, 4, "2026-05-01".to_owned()));
    assert_eq!(shown("SMF119SD_TRN"), (24, 2, "8".to_owned()));
    assert_eq!(shown("SMF119S1Off"), (36, 4, "156".to_owned()));
    assert_eq!(shown("SMF119TI_Comp").2, "STACK");
    assert_eq!(shown("SMF119SC_SAEvent_Type"), (156, 1, "4".to_owned()));
    assert_eq!(shown("SMF119SC_SAFlags"), (158, 1, "X'30'".to_owned()));
    assert_eq!(shown("SMF119SC_SASTime"), (188, 4, "08:35:10.50".to_owned()));
    assert_eq!(shown("SMF119SC_SARIP"), (204, 16, "10.50.60.7".to_owned()));
    assert_eq!(shown("SMF119SC_TLS_Neg_Cipher"), (284 + 56, 6, "C02F".to_owned()));
    assert_eq!(shown("SMF119SC_TLS_SCert_Key_Len"), (284 + 118, 2, "2048".to_owned()));
    assert_eq!(shown("SMF119SC_DN_DN").2, "CN=server.example, O=Example");
    let termination = fields(&tcp::all()[1]);
    let clock = termination.iter().find(|field| field.name == "SMF119AP_TTSSTCK").expect("the clock");
    assert_eq!(clock.to_string(), "2026-05-01 08:35:10.123456 UTC");
}

#[test]
fn no_field_is_in_another_or_outside_the_record() {
    let racf = RacfRecord { event: 24, userid: "ALICE".to_owned(), log: "SETROPTS LIST".to_owned(), ..racf() };
    for record in tcp::all().into_iter().chain([racf.encode()]) {
        let mut found = fields(&record);
        found.sort_by_key(|field| field.offset);
        assert!(found.len() > 15);
        let mut end = 0;
        for field in found {
            assert!(field.offset >= end, "{} at {} and something else", field.name, field.offset);
            end = field.offset + field.length;
        }
        assert!(end <= record.len());
    }
}

fn racf() -> RacfRecord {
    RacfRecord { written: sample().header.written, system: "SYSA".to_owned(), ..RacfRecord::default() }
}
