//! Whatever a capture file holds, it is read or refused, in one piece and cut in two.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zert::replay::Replay;

fuzz_target!(|bytes: &[u8]| {
    let read = |parts: &[&[u8]]| {
        let mut replay = Replay::default();
        for part in parts {
            if replay.read(*part).is_err() {
                break;
            }
        }
        serde_json::to_string(&replay.finish()).expect("what was read can be written")
    };
    let whole = read(&[bytes]);
    assert_eq!(whole, read(&[bytes]), "twice the same");
});
