//! tshark as judge of what is read from captures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use crate::network::Network;

/// What both say of a connection: version, suite, group.
type Said = (u16, u16, Option<u16>);

/// The dissectors by the file's name: they follow the upgrade themselves.
fn dissector(name: &str) -> &'static str {
    match name {
        "starttls-smtp" | "starttls-lmtp" => "smtp",
        "starttls-imap" => "imap",
        "starttls-pop3" => "pop",
        "starttls-ftp" => "ftp",
        "starttls-ldap" => "ldap",
        "starttls-postgres" => "pgsql",
        _ => "tls",
    }
}

fn number(text: &str) -> Option<u16> {
    match text.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// By stream: what its last ServerHello and its ServerKeyExchange say.
fn tshark(file: &Path, name: &str) -> anyhow::Result<BTreeMap<u32, Said>> {
    const FIELDS: [&str; 6] = [
        "tcp.stream",
        "tls.handshake.version",
        "tls.handshake.extensions.supported_version",
        "tls.handshake.ciphersuite",
        "tls.handshake.extensions_key_share_group",
        "tls.handshake.server_named_curve",
    ];
    let decode = format!("tcp.port==4433,{}", dissector(name));
    let mut found: BTreeMap<u32, Said> = BTreeMap::new();
    for kind in ["tls.handshake.type == 2", "tls.handshake.type == 12"] {
        let mut command = Command::new("tshark");
        command.arg("-r").arg(file).args(["-d", &decode, "-Y", kind, "-T", "fields"]);
        for field in FIELDS {
            command.args(["-e", field]);
        }
        let output = command.output().context("tshark")?;
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let values: Vec<&str> = line.split('\t').collect();
            // Of several of a packet the last counts.
            let value = |at: usize| values.get(at).and_then(|value| value.split(',').next_back()).and_then(number);
            let Some(stream) = values.first().and_then(|stream| stream.parse().ok()) else { continue };
            let said = found.entry(stream).or_default();
            if kind.ends_with(" 2") {
                *said = (value(2).or(value(1)).unwrap_or(0), value(3).unwrap_or(0), value(4).or(value(5)));
            } else {
                said.2 = said.2.or(value(5));
            }
        }
    }
    Ok(found)
}

/// The same of `zert replay`, in the order of the connections.
fn replayed(zert: &Path, file: &Path) -> anyhow::Result<Vec<Option<Said>>> {
    let output = Command::new(zert).args(["replay", "--json"]).arg(file).output()?;
    let lines = String::from_utf8(output.stdout)?;
    lines
        .lines()
        .map(|line| {
            let found: Value = serde_json::from_str(line)?;
            let number = |name: &str| u16::try_from(found.get(name)?.as_u64()?).ok();
            let is_tls = found.get("protection").and_then(Value::as_str) == Some("tls");
            let version = number("version").unwrap_or(0);
            Ok((is_tls && version != 0).then(|| (version, number("suite").unwrap_or(0), number("group"))))
        })
        .collect()
}

#[test]
fn tshark_says_the_same_of_every_capture() -> anyhow::Result<()> {
    let zert = Network::new()?.programs.join("zert");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../zert/tests/captures");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "pcapng"));
    files.sort();
    assert!(files.len() >= 60, "{}", files.len());
    let (mut compared, mut groups) = (0, 0);
    for file in &files {
        let name = file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let theirs = tshark(file, &name)?;
        let ours = replayed(&zert, file)?;
        for (stream, ours) in ours.iter().enumerate() {
            let theirs = theirs.get(&u32::try_from(stream)?);
            let same = match (ours, theirs) {
                (None, None) => true,
                (Some(ours), Some(theirs)) => {
                    // A group that tshark does not find in a suite it does not know is not denied.
                    groups += usize::from(theirs.2.is_some());
                    (ours.0, ours.1) == (theirs.0, theirs.1) && (theirs.2.is_none() || ours.2 == theirs.2)
                }
                _ => false,
            };
            assert!(same, "{name}, connection {stream}: {ours:04x?}, tshark {theirs:04x?}");
            compared += usize::from(ours.is_some());
        }
    }
    assert!(compared >= 50 && groups >= 40, "{compared} {groups}");
    Ok(())
}
