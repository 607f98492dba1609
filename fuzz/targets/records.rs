//! SMF dumps and control statements: what is read can be written, and says the same then.

#![no_main]

use libfuzzer_sys::fuzz_target;
use smf::{Dump, Frames, Record};

fuzz_target!(|bytes: &[u8]| {
    for record in Frames::new(bytes).flatten() {
        let Ok(Some(found)) = Record::decode(record) else { continue };
        let shown = Record::fields(record);
        assert!(matches!(&shown, Ok(Some((again, _))) if *again == found), "{found:?}");
        let again = match &found {
            Record::Initiation(record) => record.encode(),
            Record::Termination(record) => record.encode(),
            Record::ClientTransfer(record) => record.encode(),
            Record::Connection(record) => record.encode(),
            Record::Session(record) => record.encode(),
            Record::ServerTransfer(record) => record.encode(),
            Record::PolicyEvent(record) => record.encode(),
            // What it does not know of a record it does not write.
            Record::Racf(_) => continue,
        };
        assert_eq!(Record::decode(&again), Ok(Some(found)));
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
