//! `smf show`: records field by field, by IBM's names.

use std::fmt::Write as _;

use policies::cipher;
use smf::{Field, Part, Record, Value};

/// A record: its parts, each field on a line with its place, its length and what it means.
pub(crate) fn show(record: &Record, parts: &[Part]) -> String {
    let mut text = String::new();
    for part in parts {
        let _ = writeln!(text, "{}", part.title);
        for field in &part.fields {
            let meaning = meaning(record, field).map(|meaning| format!("  {meaning}")).unwrap_or_default();
            let line = format!("  {:04X} {:4}  {:31} {field}{meaning}", field.offset, field.length, field.name);
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    text
}

/// What a number stands for, where it is a code.
fn meaning(record: &Record, field: &Field) -> Option<String> {
    let number = match field.value {
        Value::Number(number) | Value::Code(number) => number,
        Value::Text(ref text) => return text_meaning(field, text),
        _ => return None,
    };
    let (_, name) = field.name.split_once('_').unwrap_or(("", &field.name));
    let known: &[(u64, &str)] = match (record, name) {
        (Record::Connection(_), "SAEvent_Type") => &[
            (1, "connection initiation"),
            (2, "protection change"),
            (3, "connection termination"),
            (4, "short connection termination"),
            (5, "zERT enabled"),
            (6, "zERT disabled"),
            (7, "zERT enforcement"),
        ],
        (Record::Session(_), "SAEvent_Type") => &[(1, "interval"), (2, "enabled"), (3, "disabled")],
        (_, "SASecProtos") => &[(0, "none recognized"), (0x80, "TLS"), (0x40, "SSH"), (0x20, "IPsec")],
        (_, "TLS_Source" | "SSH_Source") => &[(1, "observation"), (2, "cryptographic protocol provider")],
        (_, "TLS_Handshake_Type") => &[(1, "full"), (2, "abbreviated"), (3, "failed")],
        (_, "TLS_Handshake_Role") => &[(1, "client"), (2, "server"), (3, "server with client authentication")],
        (_, "TLS_Group" | "Group") => return (number != 0).then(|| group(number)),
        (_, "TLS_Prot_Ver" | "TTTTLSSP" | "Protocol") => return Some(version(number)),
        (_, "TTTTLSCS" | "Status") => &[(1, "not secure"), (2, "handshake in progress"), (3, "secure")],
        (_, "TTTTLSPS" | "PolicyStatus") => &[
            (0, "not known"),
            (1, "AT-TLS off"),
            (2, "no policy"),
            (3, "not enabled"),
            (4, "enabled"),
            (5, "enabled, application controlled"),
        ],
        (_, "TTTTLSST" | "SecurityType") => &[
            (1, "client"),
            (2, "server"),
            (3, "server, client authentication PassThru"),
            (4, "server, client authentication Full or Required"),
            (5, "server, client authentication SAFCheck"),
        ],
        (_, "TTStatus") => &[(0, "passive open"), (1, "active open")],
        (Record::PolicyEvent(_), "Event") => &[(1, "handshake complete"), (2, "handshake failed"), (3, "ended")],
        (_, "FSOper") => {
            &[(1, "append"), (2, "delete"), (3, "rename"), (4, "retrieve"), (5, "store"), (6, "store unique")]
        }
        (_, "Reason") => &[
            (0x08, "event"),
            (0x80, "end of interval"),
            (0xC0, "end of interval, more follow"),
            (0x10, "shutdown"),
            (0x50, "shutdown, more follow"),
        ],
        (Record::Racf(racf), "SMF80EVT") => return Some(racf.event_name().to_owned()),
        (Record::Racf(racf), "SMF80EVQ") => return Some(racf.qualifier_name().to_owned()),
        _ => &[],
    };
    known.iter().find(|(code, _)| *code == number).map(|(_, word)| (*word).to_owned())
}

/// Suites are written as their digits.
fn text_meaning(field: &Field, text: &str) -> Option<String> {
    let is_suite = ["_Neg_Cipher", "TTTTLSNC4", "TL_Cipher"].iter().any(|name| field.name.ends_with(name));
    let suite = is_suite.then(|| u16::from_str_radix(text, 16).ok()).flatten()?;
    Some(cipher::name(suite))
}

fn group(number: u64) -> String {
    u16::try_from(number).map(policies::group::name).unwrap_or_default()
}

fn version(number: u64) -> String {
    u16::try_from(number).map(zert::judge::version_name).unwrap_or_default().to_owned()
}
