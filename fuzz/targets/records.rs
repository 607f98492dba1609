//! SMF dumps and control statements: what is read can be written, and says the same then.

#![no_main]

use libfuzzer_sys::fuzz_target;
use smf::{ConnectionDetail, Dump, Frames, RacfRecord, SessionSummary};

fuzz_target!(|bytes: &[u8]| {
    for record in Frames::new(bytes).flatten() {
        if let Ok(detail) = ConnectionDetail::decode(record) {
            let again = ConnectionDetail::decode(&detail.encode());
            assert_eq!(again.as_ref().ok(), Some(&detail), "{detail:?}");
        }
        if let Ok(summary) = SessionSummary::decode(record) {
            let again = SessionSummary::decode(&summary.encode());
            assert_eq!(again.as_ref().ok(), Some(&summary), "{summary:?}");
        }
        let _ = RacfRecord::decode(record);
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(dump) = Dump::parse(text)
    {
        for record in Frames::new(bytes).flatten() {
            for output in &dump.outputs {
                let _ = dump.selects(output, record);
            }
        }
    }
});
