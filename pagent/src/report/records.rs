//! `smf show`: records in words.

use std::fmt::Write as _;

use policies::cipher;
use smf::detail::{CertificateName, Event, HandshakeType, LocalRole};
use smf::summary::{Event as SummaryEvent, SessionSummary};
use smf::{ConnectionDetail, RacfRecord};

/// An SSH section in words: IBM's codes of its algorithms, the key of the server by its size and fingerprint.
fn ssh_protection(ssh: &smf::detail::Ssh) -> String {
    if ssh.failed {
        return format!("SSH {}  handshake failed  source {}", ssh.version, ssh.provider);
    }
    let fingerprint: String = ssh.server_fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "SSH {}  kex {:04X}  in {:04X} {:04X}  out {:04X} {:04X}  server key {:04X} {} bits {fingerprint}  source {}",
        ssh.version,
        ssh.key_exchange,
        ssh.encryption_in,
        ssh.authentication_in,
        ssh.encryption_out,
        ssh.authentication_out,
        ssh.server_key[0],
        ssh.server_key[1],
        ssh.provider
    )
}

/// `smf show`: a type 80 record in words.
pub(crate) fn racf(record: &RacfRecord) -> String {
    let mut text = format!(
        "SMF 80 {} {}  {}  system {}\n",
        record.event_name(),
        record.qualifier_name(),
        record.written.format("%Y-%m-%d %H:%M:%S%.3f"),
        record.system
    );
    let flags = [(record.violation, "violation"), (record.undefined, "undefined user"), (record.warning, "warning")];
    let flags: Vec<&str> = flags.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
    for (name, value) in [
        ("user", format!("{} group {} {}", record.userid, record.group, record.name)),
        ("flags", flags.join(" ")),
        ("class", record.class.clone()),
        ("resource", record.resource.clone()),
        ("profile", record.profile.clone()),
        ("intent", record.intent.clone()),
        ("allowed", record.allowed.clone()),
        ("reasons", format!("X'{:02X}', authorities X'{:02X}'", record.reasons, record.authorities)),
        ("command", record.log.clone()),
    ] {
        if !value.trim().is_empty() {
            let _ = writeln!(text, "  {name:11} {}", value.trim_end());
        }
    }
    text.trim_end().to_owned()
}

/// `smf show`: a record of a connection in words.
pub(crate) fn record(record: &ConnectionDetail) -> String {
    let common = &record.common;
    let event = match common.event {
        Event::Initiation => "connection initiation",
        Event::Change => "protection change",
        Event::Termination => "connection termination",
        Event::ShortTermination => "short connection termination",
        Event::Enabled => "zERT enabled",
        Event::Disabled => "zERT disabled",
        Event::Enforcement => "zERT enforcement",
        Event::Other(_) => "unknown event",
    };
    let mut text = format!(
        "SMF 119-11 zERT connection detail  {}  system {}  stack {}\n",
        record.header.written.format("%Y-%m-%d %H:%M:%S%.3f"),
        record.identification.system,
        record.identification.stack
    );
    let _ = writeln!(text, "  event       {event}");
    if matches!(common.event, Event::Enabled | Event::Disabled) {
        return text;
    }
    let _ = writeln!(
        text,
        "  connection  {:08X}  local {}  remote {}  local is {}",
        common.connection_id,
        common.local,
        common.remote,
        role(common.role)
    );
    let _ = writeln!(text, "  owner       job {}  user {}", common.jobname, common.userid);
    let _ = writeln!(
        text,
        "  carried     in {} bytes, out {} bytes, from {} {}",
        common.bytes_in,
        common.bytes_out,
        common.started.format("%H:%M:%S%.3f UTC"),
        common.ended.map(|ended| format!("to {}", ended.format("%H:%M:%S%.3f UTC"))).unwrap_or_default()
    );
    match (&record.tls, &record.ssh) {
        (Some(tls), _) => {
            let handshake = match tls.handshake {
                HandshakeType::Full => "full handshake",
                HandshakeType::Abbreviated => "resumed",
                HandshakeType::Failed => "handshake failed",
                _ => "handshake unknown",
            };
            let agreed = agreed(tls.version, &tls.cipher, tls.group);
            let _ = writeln!(text, "  protection  {agreed}  {handshake}  source {}", tls.provider);
        }
        (None, Some(ssh)) => {
            let _ = writeln!(text, "  protection  {}", ssh_protection(ssh));
        }
        (None, None) if common.protocols == 0x40 => text.push_str("  protection  SSH\n"),
        (None, None) => text.push_str("  protection  none recognized\n"),
    }
    write_names(&mut text, &record.names);
    if let Some(enforcement) = &record.enforcement {
        let actions = [(enforcement.reset, "reset"), (enforcement.logged, "logged"), (enforcement.audited, "audited")];
        let done: Vec<&str> = actions.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        let _ = writeln!(
            text,
            "  enforced    {} by rule {} action {}",
            done.join(", "),
            enforcement.rule,
            enforcement.action
        );
    }
    text
}

/// What protects a connection, in a word: the protocol and its version.
pub(crate) fn protection_kind(record: &ConnectionDetail) -> String {
    match (&record.tls, &record.ssh) {
        (Some(tls), _) if tls.handshake == HandshakeType::Failed => "TLS handshake failed".to_owned(),
        (Some(tls), _) => zert::judge::version_name(tls.version).to_owned(),
        (None, Some(ssh)) => format!("SSH {}", ssh.version),
        (None, None) => "none recognized".to_owned(),
    }
}

/// Version, suite and group of a TLS connection.
fn agreed(version: u16, suite: &str, group: u16) -> String {
    let group = if group == 0 { String::new() } else { format!("  {}", self::group(group)) };
    format!("{}  {}{group}", zert::judge::version_name(version), self::suite(suite))
}

/// The name of a suite that a record has as hexadecimal digits.
pub(crate) fn suite(digits: &str) -> String {
    u16::from_str_radix(digits, 16).map(cipher::name).unwrap_or_else(|_| digits.to_owned())
}

/// The name of a group, nothing for none.
pub(crate) fn group(number: u16) -> String {
    if number == 0 { String::new() } else { policies::group::name(number) }
}

fn role(role: LocalRole) -> &'static str {
    match role {
        LocalRole::Server => "server",
        LocalRole::Client => "client",
        LocalRole::Unknown => "unknown",
    }
}

fn write_names(text: &mut String, names: &[CertificateName]) {
    for name in names {
        let whose = match name.kind {
            5 => "subject",
            6 => "issuer",
            _ => "name",
        };
        let _ = writeln!(text, "  {whose:11} {}", name.name);
    }
}

/// A session of an interval: what it counted in it, and in all.
pub(crate) fn session_summary(record: &SessionSummary) -> String {
    let common = &record.common;
    let event = match common.event {
        SummaryEvent::Interval => format!("interval of {} s", common.duration.num_seconds()),
        SummaryEvent::Enabled => "summaries enabled".to_owned(),
        SummaryEvent::Disabled => "summaries disabled".to_owned(),
        SummaryEvent::Other(_) => "unknown event".to_owned(),
    };
    let mut text = format!(
        "SMF 119-12 zERT summary  {}  system {}  stack {}\n  event       {event}\n",
        record.header.written.format("%Y-%m-%d %H:%M:%S%.3f"),
        record.identification.system,
        record.identification.stack
    );
    if common.event != SummaryEvent::Interval {
        return text;
    }
    let ports = match common.ports {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    let _ = writeln!(text, "  session     {}", common.session);
    let _ = writeln!(
        text,
        "  endpoints   server {} port {ports}  client {}  local is {}",
        common.server,
        common.client,
        role(common.role)
    );
    let _ = writeln!(text, "  owner       job {}  user {}", common.jobname, common.userid);
    let (begun, ended) = (&common.begun, &common.ended);
    let now = |of: fn(&smf::summary::Counters) -> u64| of(ended).saturating_sub(of(begun));
    let _ = writeln!(
        text,
        "  connections {} new, {} up, {} short, {} partial, {} failed; {} in all",
        now(|counters| counters.connections.into()),
        ended.active,
        now(|counters| counters.short.into()),
        now(|counters| counters.partial.into()),
        now(|counters| counters.failed.into()),
        ended.connections
    );
    let _ = writeln!(
        text,
        "  carried     in {} bytes, out {} bytes; in all {} and {}",
        now(|counters| counters.bytes_in),
        now(|counters| counters.bytes_out),
        ended.bytes_in,
        ended.bytes_out
    );
    let _ = writeln!(text, "  protection  {}", session_protection(record));
    write_names(&mut text, &record.names);
    text
}

/// What protects the connections of a session.
pub(crate) fn session_protection(record: &SessionSummary) -> String {
    match (&record.tls, &record.ssh) {
        (Some(tls), _) => agreed(tls.version, &tls.cipher, tls.group),
        (None, Some(ssh)) => {
            let [encryption_in, authentication_in, key_exchange, encryption_out, authentication_out] = ssh.algorithms;
            format!(
                "SSH {}  kex {key_exchange:04X}  in {encryption_in:04X} {authentication_in:04X}  out \
                 {encryption_out:04X} {authentication_out:04X}",
                ssh.version
            )
        }
        (None, None) => "none recognized".to_owned(),
    }
}
