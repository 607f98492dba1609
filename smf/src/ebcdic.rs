//! EBCDIC text, code page 1047, blank padded.

use std::sync::LazyLock;

/// EBCDIC blank.
const BLANK: u8 = 0x40;
/// EBCDIC substitute character, for what the code page has not.
const SUBSTITUTE: u8 = 0x3F;

/// Printable ASCII, from blank to tilde, in code page 1047.
#[rustfmt::skip]
const FROM_ASCII: [u8; 95] = [
    0x40, 0x5A, 0x7F, 0x7B, 0x5B, 0x6C, 0x50, 0x7D, 0x4D, 0x5D, 0x5C, 0x4E, 0x6B, 0x60, 0x4B, 0x61,
    0xF0, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8, 0xF9, 0x7A, 0x5E, 0x4C, 0x7E, 0x6E, 0x6F,
    0x7C, 0xC1, 0xC2, 0xC3, 0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xD1, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6,
    0xD7, 0xD8, 0xD9, 0xE2, 0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xAD, 0xE0, 0xBD, 0x5F, 0x6D,
    0x79, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96,
    0x97, 0x98, 0x99, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8, 0xA9, 0xC0, 0x4F, 0xD0, 0xA1,
];

/// The other way: what is not printable becomes `?`, zero a blank.
static TO_ASCII: LazyLock<[char; 256]> = LazyLock::new(|| {
    std::array::from_fn(|byte| {
        let index = FROM_ASCII.iter().position(|ebcdic| usize::from(*ebcdic) == byte);
        let printable = index.and_then(|index| char::from_u32(0x20 + u32::try_from(index).ok()?));
        printable.unwrap_or(if byte == 0 { ' ' } else { '?' })
    })
});

/// Text as `N` bytes of EBCDIC: cut or padded with blanks.
#[must_use]
pub fn encode<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [BLANK; N];
    for (byte, character) in bytes.iter_mut().zip(text.chars()) {
        let index = u32::from(character).checked_sub(0x20).and_then(|index| usize::try_from(index).ok());
        *byte = index.and_then(|index| FROM_ASCII.get(index)).copied().unwrap_or(SUBSTITUTE);
    }
    bytes
}

/// EBCDIC as text, without trailing blanks and zeros; what is not printable becomes `?`.
#[must_use]
pub fn decode(bytes: &[u8]) -> String {
    let table = &*TO_ASCII;
    let text: String = bytes.iter().map(|byte| table.get(usize::from(*byte)).copied().unwrap_or('?')).collect();
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_ascii_survives() {
        let all: String = (0x20_u8..0x7F).map(char::from).collect();
        assert_eq!(decode(&encode::<95>(&all)), all);
        assert_eq!(encode::<4>("AZ09"), [0xC1, 0xE9, 0xF0, 0xF9]);
        assert_eq!(encode::<3>("é"), [SUBSTITUTE, BLANK, BLANK]);
    }
}
