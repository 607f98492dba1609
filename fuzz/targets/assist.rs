//! The language server's answers, at any place of any text. The first two bytes choose the place.

#![no_main]

use libfuzzer_sys::fuzz_target;
use policies::{Source, assist, parse};

fuzz_target!(|bytes: &[u8]| {
    let Some((place, text)) = bytes.split_first_chunk::<2>() else { return };
    let source = Source::from_bytes("fuzz.policy", text.to_vec());
    let mut offset = usize::from(u16::from_le_bytes(*place)).min(source.text.len());
    while !source.text.is_char_boundary(offset) {
        offset -= 1;
    }
    let (document, _) = parse(&source);
    let documents = [&document];
    let _ = assist::complete(&documents, offset);
    let _ = assist::hover(&documents, offset);
    let typed = assist::typed(documents[0], offset);
    assert!(documents[0].source.text.get(typed.start..typed.end).is_some());
    let renameable = assist::renameable(&documents, offset);
    let places = assist::references(&documents, offset, true);
    assert_eq!(renameable.is_some(), !places.is_empty());
    if let Some(definition) = assist::definition(&documents, offset) {
        assert!(places.contains(&definition));
    }
    for place in places {
        assert!(source.text.get(place.span.start..place.span.end).is_some());
    }
});
