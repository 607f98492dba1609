//! `smf list`: records in words.

use std::fmt::Write as _;

use policies::cipher;
use smf::attls::{Event as PolicyEventKind, PolicyEvent};
use smf::detail::{CertificateName, Event, HandshakeType, Ipsec, LocalRole};
use smf::ftp::Transfer;
use smf::summary::{Event as SummaryEvent, SessionSummary};
use smf::tcp::{Initiation, PolicyStatus, SecureStatus, Termination};
use smf::{ConnectionDetail, Header, Identification, RacfRecord, Record};

/// A record in words.
pub(crate) fn words(record: &Record) -> String {
    match record {
        Record::Initiation(record) => initiation(record),
        Record::Termination(record) => termination(record),
        Record::ClientTransfer(record) => transfer(&record.header, &record.identification, &record.transfer),
        Record::Connection(record) => connection(record),
        Record::Session(record) => session_summary(record),
        Record::ServerTransfer(record) => transfer(&record.header, &record.identification, &record.transfer),
        Record::PolicyEvent(record) => policy_event(record),
        Record::Racf(record) => racf(record),
    }
}

/// The line that a record of type 119 begins with.
fn title(kind: &str, header: &Header, identification: &Identification) -> String {
    format!(
        "SMF 119-{} {kind}  {}  system {}  stack {}\n",
        header.subtype,
        header.written.format("%Y-%m-%d %H:%M:%S%.3f"),
        identification.system,
        identification.stack
    )
}

fn initiation(record: &Initiation) -> String {
    format!(
        "{}  connection  {:08X}  local {}  remote {}\n  owner       job {}\n  begun       {}\n",
        title("TCP connection initiation", &record.header, &record.identification),
        record.connection_id,
        record.local,
        record.remote,
        record.jobname,
        record.started.format("%H:%M:%S%.6f UTC")
    )
}

fn termination(record: &Termination) -> String {
    let connection = &record.connection;
    let mut text = title("TCP connection termination", &record.header, &record.identification);
    let _ = writeln!(
        text,
        "  connection  {:08X}  local {}  remote {}  local is {}",
        connection.connection_id,
        connection.local,
        connection.remote,
        if connection.active { "client" } else { "server" }
    );
    let _ = writeln!(text, "  owner       job {}", connection.jobname);
    let _ = writeln!(
        text,
        "  carried     in {} bytes in {} segments, out {} bytes in {} segments, from {} to {}",
        connection.bytes_in,
        connection.segments_in,
        connection.bytes_out,
        connection.segments_out,
        connection.started.format("%H:%M:%S%.3f UTC"),
        connection.ended.format("%H:%M:%S%.3f UTC")
    );
    let _ = writeln!(
        text,
        "  path        round trip {} ms, variance {} ms, segment size {}, window {}, {} segments sent again",
        connection.round_trip,
        connection.round_trip_variance,
        connection.segment_size,
        connection.send_window,
        connection.retransmissions
    );
    let _ = writeln!(text, "  AT-TLS      {}, {}", secure(connection.secure), policy_status(connection.policy));
    if let Some(attls) = &record.attls {
        let partner = if attls.partner.is_empty() { String::new() } else { format!("  partner {}", attls.partner) };
        let _ = writeln!(text, "  negotiated  {}{partner}", agreed(attls.version, &attls.cipher, 0));
    }
    text
}

fn transfer(header: &Header, identification: &Identification, transfer: &Transfer) -> String {
    let kind = if header.subtype == smf::ftp::SERVER { "FTP server transfer" } else { "FTP client transfer" };
    let mut text = title(kind, header, identification);
    let _ = writeln!(text, "  command     {} {}  reply {}", transfer.command, transfer.file, transfer.reply);
    if !transfer.second_file.is_empty() {
        let _ = writeln!(text, "  new name    {}", transfer.second_file);
    }
    let (remote, local) = transfer.control;
    let _ = writeln!(text, "  control     {:08X}  local {local}  remote {remote}", transfer.control_id);
    if let Some((remote, local)) = transfer.data {
        let _ = writeln!(text, "  data        {:08X}  local {local}  remote {remote}", transfer.data_id);
    }
    let _ = writeln!(text, "  user        {} {}", transfer.user, transfer.local_user);
    let _ = writeln!(
        text,
        "  carried     {} bytes, type {} mode {} structure {}, from {} to {}",
        transfer.bytes,
        transfer.data_type,
        transfer.mode,
        transfer.structure,
        transfer.started.format("%H:%M:%S%.2f UTC"),
        transfer.ended.format("%H:%M:%S%.2f UTC")
    );
    let security = &transfer.security;
    let mechanism = match security.mechanism {
        'N' => "none",
        'T' => "TLS",
        'A' => "AT-TLS",
        'G' => "GSSAPI",
        _ => "unknown",
    };
    let level = |level: char| match level {
        'P' => "private",
        'S' => "safe",
        'C' => "clear",
        _ => "none",
    };
    let _ = writeln!(
        text,
        "  protection  {mechanism}  control {}  data {}  {} {}",
        level(security.control),
        level(security.data),
        security.version,
        security.cipher_name
    );
    text
}

fn policy_event(record: &PolicyEvent) -> String {
    let mut text = title("AT-TLS event", &record.header, &record.identification);
    let event = match record.event {
        PolicyEventKind::Secured => "handshake complete",
        PolicyEventKind::Failed => "handshake failed",
        PolicyEventKind::Ended => "connection ended",
        PolicyEventKind::Other(_) => "unknown event",
    };
    let _ = writeln!(text, "  event       {event}");
    let _ =
        writeln!(text, "  connection  {:08X}  local {}  remote {}", record.connection_id, record.local, record.remote);
    let _ = writeln!(text, "  owner       job {}  user {}", record.jobname, record.userid);
    let secondary = if record.secondary { "  secondary" } else { "" };
    let _ = writeln!(text, "  TTLS policy {} {}{secondary}", record.rule, record.environment);
    let role = match record.security_type {
        1 => "client",
        2 => "server",
        3..=5 => "server with client authentication",
        _ => "no role",
    };
    let _ = writeln!(text, "  TTLS status {}, {}, {role}", secure(record.secure), policy_status(record.policy));
    if record.version != 0 {
        let more = [(record.resumed, "  resumed"), (record.fips, "  FIPS 140-3")];
        let more: String = more.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
        let _ = writeln!(text, "  negotiated  {}{more}", agreed(record.version, &record.cipher, record.group));
    }
    if !record.partner.is_empty() {
        let _ = writeln!(text, "  partner     {}", record.partner);
    }
    let _ = writeln!(text, "  carried     in {} bytes, out {} bytes", record.bytes_in, record.bytes_out);
    if !record.reason.is_empty() {
        let _ = writeln!(text, "  reason      {}", record.reason);
    }
    text
}

fn secure(status: SecureStatus) -> &'static str {
    match status {
        SecureStatus::NotSecure => "not secure",
        SecureStatus::InProgress => "handshake in progress",
        SecureStatus::Secure => "secure",
        SecureStatus::Other(_) => "unknown",
    }
}

fn policy_status(status: PolicyStatus) -> &'static str {
    match status {
        PolicyStatus::NotKnown => "policy not known",
        PolicyStatus::Off => "no AT-TLS policy",
        PolicyStatus::NoPolicy => "no rule",
        PolicyStatus::NotEnabled => "not enabled",
        PolicyStatus::Enabled => "enabled",
        PolicyStatus::ApplicationControlled => "enabled, application controlled",
        PolicyStatus::Other(_) => "unknown",
    }
}

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

/// A type 80 record in words.
fn racf(record: &RacfRecord) -> String {
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

/// A record of a connection's protection in words.
fn connection(record: &ConnectionDetail) -> String {
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
    let mut text = title("zERT connection detail", &record.header, &record.identification);
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
        (None, None) if record.ipsec.is_some() => {}
        (None, None) if common.older => text.push_str("  protection  not known: older than zERT\n"),
        (None, None) if common.protocols == 0x40 => text.push_str("  protection  SSH\n"),
        (None, None) => text.push_str("  protection  none recognized\n"),
    }
    if let Some(ipsec) = &record.ipsec {
        let _ = writeln!(text, "  around it   {}  {} to {}", self::ipsec(ipsec), ipsec.local, ipsec.remote);
    }
    if let Some(data_of) = common.data_of {
        let mode = if data_of.active { "active" } else { "passive" };
        let _ = writeln!(text, "  FTP data    of {:08X} port {}  {mode}", data_of.connection_id, data_of.port);
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
        (None, None) if record.ipsec.is_some() => "IPsec".to_owned(),
        (None, None) if record.common.older => "not known".to_owned(),
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
fn session_summary(record: &SessionSummary) -> String {
    let common = &record.common;
    let event = match common.event {
        SummaryEvent::Interval => format!("interval of {} s", common.duration.num_seconds()),
        SummaryEvent::Enabled => "summaries enabled".to_owned(),
        SummaryEvent::Disabled => "summaries disabled".to_owned(),
        SummaryEvent::Other(_) => "unknown event".to_owned(),
    };
    let mut text = title("zERT summary", &record.header, &record.identification);
    let _ = writeln!(text, "  event       {event}");
    if common.event != SummaryEvent::Interval {
        return text;
    }
    let ports = ports(common.ports);
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
        (None, None) => record.ipsec.as_ref().map_or_else(|| "none recognized".to_owned(), ipsec),
    }
}

/// IPsec in words, its algorithms by IBM's codes.
fn ipsec(ipsec: &Ipsec) -> String {
    let protocol = if ipsec.protocol == smf::detail::AH { "AH" } else { "ESP" };
    let mode = if ipsec.mode == 1 { "tunnel" } else { "transport" };
    format!("IPsec {protocol} {mode} {:04X} {:04X}", ipsec.encryption, ipsec.authentication)
}

/// A session's ports, one or a range.
pub(crate) fn ports(ports: (u16, u16)) -> String {
    match ports {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    }
}
