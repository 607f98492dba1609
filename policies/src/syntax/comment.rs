//! Whether the comment beside cipher suite codes says what they are.

use crate::cipher;

/// Parts of suite names that a comment may speak of, longest first.
const ALGORITHMS: &[&str] = &[
    "CHACHA20_POLY1305",
    "CHACHA20",
    "AES_128_GCM",
    "AES_256_GCM",
    "AES_128_CCM",
    "AES_256_CCM",
    "AES_128_CBC",
    "AES_256_CBC",
    "3DES",
    "RC4",
];

/// What a comment says that none of the codes is, and what the codes are.
pub(crate) fn contradiction(codes: &[u16], comment: &str) -> Option<(String, String)> {
    if codes.is_empty() || codes.iter().any(|&code| cipher::by_code(code).is_none()) {
        return None;
    }
    // A comment may speak of what is no longer there.
    let past =
        ["no", "not", "never", "without", "instead", "gone", "former", "formerly", "removed", "replaces", "replaced"];
    if comment
        .split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| past.iter().any(|past| past.eq_ignore_ascii_case(word)))
    {
        return None;
    }
    let names: Vec<String> = codes.iter().map(|&code| cipher::name(code)).collect();
    // AES-128-GCM, AES128-GCM and AES_128_GCM are one: blanks and punctuation part words, or belong to the name.
    let said: Vec<String> = comment
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
        .filter(|word| !word.is_empty())
        .map(|word| {
            word.to_ascii_uppercase().replace('-', "_").replace("AES128", "AES_128").replace("AES256", "AES_256")
        })
        .collect();
    let wrong = said.iter().find_map(|word| {
        if let Some(suite) = cipher::by_name(word) {
            return (!codes.contains(&suite.code)).then(|| suite.name.to_owned());
        }
        let algorithm = ALGORITHMS.iter().find(|algorithm| word.contains(**algorithm))?;
        (!names.iter().any(|name| name.contains(*algorithm))).then(|| (*algorithm).to_owned())
    });
    Some((wrong?, names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_that_names_another_suite_contradicts() {
        let said = |codes: &[u16], comment: &str| contradiction(codes, comment).map(|(said, _)| said);
        assert_eq!(
            said(&[0x1302, 0x1303], ";; TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256").as_deref(),
            Some("TLS_AES_128_GCM_SHA256")
        );
        assert_eq!(said(&[0x1303], "# aes128-gcm").as_deref(), Some("AES_128_GCM"));
        assert_eq!(said(&[0x1302, 0x1301], "# TLS_AES_256_GCM_SHA384, AES_128_GCM"), None);
        assert_eq!(said(&[0x1303], "# ChaCha20 for phones"), None);
        assert_eq!(said(&[0x1302], "# no 3DES any more, RC4 is gone too"), None);
        assert_eq!(said(&[0xFFFE], "# AES_128_GCM"), None);
    }
}
