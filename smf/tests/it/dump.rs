//! IFASMFDP's control statements.

use proptest::prelude::*;
use smf::{Dump, DumpError, RacfRecord};

use crate::sample;

fn dump(text: &str) -> Dump {
    Dump::parse(text).expect("control statements")
}

/// Whether each output takes a 119-11 record of 2026-05-01 (day 121), 10:35, system SYSA.
fn taken(text: &str) -> Vec<bool> {
    let dump = dump(text);
    let record = sample().encode();
    dump.outputs.iter().map(|output| dump.selects(output, &record).expect("a header")).collect()
}

#[test]
fn the_statements_of_a_job_are_read() {
    let dump = dump("  INDD(DUMPIN,OPTIONS(DUMP))\n  OUTDD(DUMPOUT,TYPE(119))\n/*\n//STEP2 EXEC PGM=SORT\n");
    assert_eq!(dump.inputs, ["DUMPIN"]);
    assert_eq!(dump.outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>(), ["DUMPOUT"]);
    // Nothing said: everything.
    assert_eq!(taken(""), [true]);
    assert_eq!(Dump::parse(""), Ok(Dump::parse("INDD(DUMPIN) OUTDD(DUMPOUT)").expect("statements")));
}

#[test]
fn outputs_choose_by_type_and_subtype() {
    let outputs = "OUTDD(A,TYPE(119)) OUTDD(B,TYPE(119(11,12))) outdd(c,type(30,119(1:2))) OUTDD(D,NOTYPE(80)) \
                   OUTDD(E,NOTYPE(119(11:12))) OUTDD(F,TYPE(0:118,120:255)) OUTDD(G,TYPE(100:200(10:12)))";
    assert_eq!(taken(outputs), [true, true, false, true, false, false, true]);
    // Type 80 has no subtypes.
    let dump = dump("OUTDD(A,TYPE(80)) OUTDD(B,TYPE(80(1)))");
    let record = RacfRecord::default().encode();
    let taken: Vec<_> = dump.outputs.iter().map(|output| dump.selects(output, &record)).collect();
    assert_eq!(taken, [Some(true), Some(false)]);
}

#[test]
fn dates_times_and_systems_choose_too() {
    for (text, expected) in [
        ("DATE(2026121,2026121)", true),
        ("DATE(2026122,2026365)", false),
        ("DATE(2025001,2026120)", false),
        ("START(1035) END(1035)", true),
        ("START(1036)", false),
        ("END(1034)", false),
        ("END(2359)", true),
        ("START(2300) END(1035)", true),
        ("START(2300) END(1034)", false),
        ("SID(SYSA)", true),
        ("SID(SYSB)", false),
        ("SID(SYSB) SID(sysa) /* both */", true),
    ] {
        assert_eq!(taken(text), [expected], "{text}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let told = |text: &str| Dump::parse(text).expect_err(text).to_string();
    let missing = told("INDD(DUMPIN,OPTIONS(DUMP))\nOUTDD(DUMPOUT,TYP(119))");
    assert!(missing.contains("--> 2:15") && missing.contains("TYPE(types)"), "{missing}");
    let unclosed = told("INDD(DUMPIN OUTDD(DUMPOUT)");
    assert!(unclosed.contains("--> 1:13") && unclosed.contains("expected )"), "{unclosed}");
    assert!(told("INDD(DUMPIN,OPTIONS(CLEAR))").contains("moved away, not cleared"));
    assert!(told("\nOUTDD(A,TYPE(256))").contains("line 2: 256"));
    assert!(told("OUTDD(A,TYPE(20:10))").contains("a range first:last"));
    assert!(told("OUTDD(A,TYPE(119(70000)))").contains("70000"));
    assert!(told("DATE(2026366,2026366)").contains("2026366"));
    assert!(told("START(2460)").contains("hhmm"));
    assert!(told("DATE(2026122,2026121)").contains("the first day, then the last"));
    assert!(
        told("INDD(A) INDD(a)").contains("each INDD once") && told("OUTDD(A) OUTDD(A)").contains("each OUTDD once")
    );
    assert!(told("START(0100) START(0200)").contains("once"));
    assert!(told("INDD(A)\n/*\nOUTDD(B,TYPE(119))\n*/").contains("line 3: OUTDD(B,TYPE(119))"));
    assert!(matches!(Dump::parse("hello"), Err(DumpError::Syntax(_))));
}

#[test]
fn a_record_without_a_header_is_told_from_one_that_is_not_wanted() {
    let dump = dump("");
    let record = sample().encode();
    assert_eq!(dump.outputs.first().map(|output| dump.selects(output, &record[..18])), Some(None));
    // A date that is none counts where dates choose.
    let mut record = sample().encode();
    record[10..14].fill(0xFF);
    for (text, expected) in [("", Some(true)), ("DATE(2000001,2026365)", None), ("START(0000)", None)] {
        let dump = self::dump(text);
        assert_eq!(dump.outputs.first().map(|output| dump.selects(output, &record)), Some(expected), "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_and_no_bytes_panic(text in "[A-Z0-9(),: /*\n]{0,60}|\\PC{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(dump) = Dump::parse(&text) {
            for output in &dump.outputs {
                let _ = dump.selects(output, &bytes);
            }
        }
    }
}
