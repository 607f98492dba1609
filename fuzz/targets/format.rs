//! Text that can be formatted says the same afterwards, and is formatted then.

#![no_main]

use libfuzzer_sys::fuzz_target;
use policies::Source;
use policies::format::{FormatError, format};

fuzz_target!(|bytes: &[u8]| {
    let source = Source::from_bytes("fuzz.policy", bytes.to_vec());
    match format(&source) {
        Ok(text) => {
            let again = format(&Source::new("again", text.clone())).expect("formatted text can be formatted");
            assert_eq!(text, again);
        }
        Err(FormatError::Broken(diagnostics)) => assert!(!diagnostics.is_empty()),
        Err(FormatError::Changed) => panic!("the formatter changed what the text says"),
    }
});
