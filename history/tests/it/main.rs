//! The history: what is kept of connections, and what is answered from it.

#![allow(clippy::indexing_slicing, reason = "an index out of range fails the test")]

use chrono::{DateTime, Utc};
use history::report::{Report, Scope};
use history::simulate::simulate;
use history::suggest::suggest;
use history::{Collector, Counts, Session, Store, Usage, cbom};
use policies::Policy;
use smf::detail::{Enforcement, Event};
use stack::{ConnectionId, Counters, Transport};
use zert::ssh::{Cipher, Ssh};
use zert::tls::Handshake;
use zert::{Facts, Protection, Side, Source};

const NOON: i64 = 1_790_000_100;

fn facts(side: Side, port: u16, protection: Protection) -> Facts {
    let (client, server) =
        ("10.2.2.2:40000".parse().expect("an address"), format!("10.1.1.1:{port}").parse().expect("an address"));
    let (local, remote) = if side == Side::Server { (server, client) } else { (client, server) };
    Facts {
        event: Event::ShortTermination,
        local,
        remote,
        side,
        jobname: "FTPD1".to_owned(),
        userid: "FTPD".to_owned(),
        started: Utc::now(),
        ended: Some(Utc::now()),
        id: ConnectionId(1),
        counters: Counters { bytes_in: 10, bytes_out: 20, ..Counters::default() },
        protection,
        source: Source::Observed,
        ipsec: None,
        enforcement: None,
        transport: Transport::default(),
        older: false,
        data_of: None,
    }
}

fn tls(version: u16, suite: u16, group: u16) -> Protection {
    Protection::Tls(Handshake { version, suite, group: Some(group), complete: true, ..Handshake::default() })
}

fn ssh() -> Protection {
    let cipher = |encryption: &str| Cipher {
        encryption: encryption.to_owned(),
        authentication: "hmac-sha2-256".to_owned(),
        compression: "none".to_owned(),
    };
    Protection::Ssh(Box::new(Ssh {
        version: 2,
        key_exchange: Some("sntrup761x25519-sha512@openssh.com".to_owned()),
        to_server: Some(cipher("aes128-ctr")),
        to_client: Some(cipher("aes256-ctr")),
        complete: true,
        ..Ssh::default()
    }))
}

fn failed() -> Protection {
    Protection::Tls(Handshake { offered: 0x0301, alert: Some(70), complete: true, ..Handshake::default() })
}

fn usage(facts: &Facts, connections: u64) -> Usage {
    let mut counts = Counts::default();
    (0..connections).for_each(|_| counts.add(&Counts::of(facts)));
    Usage { session: Session::of(facts, ""), counts, first: NOON, last: NOON }
}

/// FTP in three manners, HTTPS with and without a post-quantum group, SSH, a failed handshake; and a connection that this host opened.
fn usages() -> Vec<Usage> {
    [
        (Side::Server, 21, tls(0x0303, 0xC02F, 23), 5),
        (Side::Server, 21, tls(0x0302, 0xC013, 23), 2),
        (Side::Server, 21, Protection::None, 1),
        (Side::Server, 443, tls(0x0304, 0x1302, 4588), 6),
        (Side::Server, 443, tls(0x0303, 0xC030, 29), 3),
        (Side::Server, 443, failed(), 2),
        (Side::Server, 22, ssh(), 4),
        (Side::Client, 5432, Protection::None, 7),
    ]
    .into_iter()
    .map(|(side, port, protection, count)| usage(&facts(side, port, protection), count))
    .collect()
}

fn scope(ports: &[u16], lost: u64) -> Scope {
    Scope { since: NOON - 900, until: NOON + 900, ports: ports.to_vec(), lost, host: "SYSA".to_owned() }
}

fn policy(text: &str) -> Policy {
    let (document, diagnostics) = policies::parse(&policies::Source::new("test", text));
    let (policy, more) = policies::resolve(&[document], false);
    for found in diagnostics.iter().chain(&more) {
        assert_ne!(found.severity(), policies::Severity::Error, "{found:?}\n{text}");
    }
    policy
}

#[test]
fn evidence_says_no_more_than_was_seen() {
    let table = Report::Ftps.table(&usages(), &scope(&[21, 990], 0), NOON);
    let says = |table: &history::Table, words: &str| table.notes.iter().any(|note| note.contains(words));
    assert!(says(&table, "connections                  8"), "{table:?}");
    assert!(says(&table, "protected by TLS 1.2 or 1.3  5 (62.5 %)") && says(&table, "in clear                     1"));
    assert!(says(&table, "not every connection of the period is shown"));
    let good: Vec<Usage> = usages().into_iter().take(1).collect();
    assert!(says(
        &Report::Ftps.table(&good, &scope(&[21], 0), NOON),
        "every recorded connection of the period that carried data"
    ));
    // What was lost may have been anything.
    let lossy = Report::Ftps.table(&good, &scope(&[21], 3), NOON);
    assert!(says(&lossy, "not every connection") && says(&lossy, "3 times something was lost"));
    let nothing = Report::Ftps.table(&[], &scope(&[21], 0), NOON);
    assert!(says(&nothing, "no connection was recorded") && says(&nothing, "not every connection"));
}

#[test]
fn inventories_count_and_name_what_is_weak() {
    let table = Report::Version.table(&usages(), &scope(&[], 0), NOON);
    let count = |words: &str| {
        let at = table.columns.iter().position(|name| *name == "CONNECTIONS").expect("it is there");
        table.rows.iter().find(|row| row[0] == words).map(|row| row[at].clone())
    };
    assert_eq!(count("in clear").as_deref(), Some("8"));
    assert_eq!((count("TLSv1.2").as_deref(), count("SSH 2").as_deref()), (Some("8"), Some("4")));
    assert_eq!(count("TLS, handshake failed").as_deref(), Some("2"));
    let pci = Report::Pci.table(&usages(), &scope(&[], 0), NOON);
    let found: Vec<&str> = pci.rows.iter().map(|row| row[6].as_str()).filter(|found| !found.is_empty()).collect();
    assert_eq!(found, ["not protected", "TLSv1.1 is obsolete (RFC 8996)"]);
    assert!(pci.notes.contains(&"10 connections with a finding".to_owned()), "{pci:?}");
    let quantum = Report::Quantum.table(&usages(), &scope(&[], 0), NOON);
    assert!(quantum.notes.iter().any(|note| note.starts_with("10 of 28 connections")), "{quantum:?}");
    for (name, report) in Report::ALL {
        let table = report.table(&usages(), &scope(&[], 0), NOON);
        assert!(table.rows.iter().all(|row| row.len() == table.columns.len()), "{name}: {table:?}");
    }
}

#[test]
fn a_new_minimum_is_tried_on_what_was() {
    let rule = |action: &str| {
        policy(&format!(
            "zERTPolicyRule R\n{{\nLocalPortRange 21\nDirection Inbound\nzERTPolicyActionRef A\n}}\nzERTPolicyAction A\n{{\n\
             Action {action}\nProtocol TLS\nMinimumVersion TLSv1.2\n}}\n"
        ))
    };
    let table = simulate(&rule("Reset"), &usages());
    assert_eq!(table.notes[0], "3 of 30 recorded connections would have been reset, of 1 peers");
    assert_eq!(table.rows.iter().map(|row| row[8].as_str()).collect::<Vec<_>>(), ["2", "1"]);
    let table = simulate(&rule("Audit"), &usages());
    assert!(table.notes[0].starts_with("0 of 30") && table.notes[1].starts_with("3 more"), "{table:?}");
}

#[test]
fn what_is_suggested_breaks_nobody() {
    let mut usages = usages();
    usages.push(usage(&facts(Side::Server, 25, Protection::None), 3));
    // Somebody only looked whether the port is open.
    let mut scan = usage(&facts(Side::Server, 8443, Protection::None), 2);
    scan.counts.bytes_in = 0;
    usages.push(scan);
    let text = suggest(&usages);
    let suggested = policy(&text);
    assert_eq!(suggested.ttls.len(), 1, "{text}");
    assert!(
        text.contains("Negotiate smtp")
            && text.contains("Port 21 (FTPD1): 1 of 8 connections of 1 peers")
            && !text.contains("WRAP_21"),
        "{text}"
    );
    assert!(text.contains("MinimumVersion TLSv1.2\n") && text.contains("MinimumSSHVersion SSHv2"), "{text}");
    let table = simulate(&suggested, &usages);
    assert_eq!(table.notes[0], "0 of 35 recorded connections would have been reset, of 0 peers", "{text}");
    assert!(suggest(&[]).contains("No server of this host was seen"));
    // Of SSL 2 no minimum can be made.
    let old = usage(&facts(Side::Server, 80, tls(0x0200, 0, 0)), 1);
    assert!(!suggest(&[old]).contains("MinimumVersion"));
}

#[test]
fn a_bill_of_materials_refers_to_what_is_in_it() {
    let made = DateTime::<Utc>::from_timestamp(NOON, 0).expect("it is there");
    let bill = cbom::cbom(&usages(), made, "SYSA");
    let parts = bill["components"].as_array().expect("it is there");
    let known: Vec<&str> = parts.iter().filter_map(|part| part["bom-ref"].as_str()).collect();
    let mut unique = known.clone();
    unique.dedup();
    assert_eq!(unique.len(), known.len(), "references are unique");
    let protocols: Vec<_> = parts.iter().filter(|part| part["cryptoProperties"]["assetType"] == "protocol").collect();
    assert_eq!(protocols.len(), 5, "neither clear text nor what failed: {bill:#}");
    for protocol in protocols {
        let properties = &protocol["cryptoProperties"]["protocolProperties"];
        let references = properties["cryptoRefArray"].as_array().expect("it is there");
        assert!(
            !references.is_empty()
                && references.iter().all(|name| known.contains(&name.as_str().expect("it is there")))
        );
        assert!(!properties["version"].as_str().expect("it is there").is_empty(), "{protocol:#}");
    }
    assert!(known.contains(&"algorithm/x25519mlkem768"), "{known:?}");
    assert_eq!(bill, cbom::cbom(&usages(), made, "SYSA"), "the same twice");
}

#[test]
fn events_are_counted_once() {
    let mut facts = facts(Side::Server, 21, tls(0x0303, 0xC02F, 23));
    let enforcement =
        Enforcement { rule: "R".to_owned(), action: "A".to_owned(), reset: true, logged: true, audited: true };
    facts.enforcement = Some(enforcement);
    let mut sum = Counts::default();
    for event in [Event::Initiation, Event::Enforcement, Event::Termination] {
        facts.event = event;
        sum.add(&Counts::of(&facts));
    }
    let expected = Counts { connections: 1, failed: 0, reset: 1, logged: 1, bytes_in: 10, bytes_out: 20 };
    assert_eq!(sum, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_are_kept_added_up_and_forgotten() {
    let folder = tempfile::tempdir().expect("it is there");
    let url = format!("sqlite:{}/history.db", folder.path().display());
    assert!(Store::open_existing(&url, &url).await.is_err(), "there is none");
    let all = (0, i64::MAX);
    for round in 1..=2_u64 {
        let collector = Collector::new("SYSA");
        collector.record(&facts(Side::Server, 21, tls(0x0303, 0xC02F, 23)));
        collector.record(&facts(Side::Server, 21, Protection::None));
        collector.write_to(Store::open(&url, &url).await.expect("it is there"), 90, move || 7 * round);
        collector.finish().await;
        let store = Store::open_existing(&url, &url).await.expect("it is there");
        let found = store.usages(all.0, all.1, Some("SYSA")).await.expect("it is there");
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|usage| usage.counts.connections == round && usage.counts.bytes_out == 20 * round));
        let clear = found.iter().filter(|usage| usage.session.attributes.is_clear()).count();
        assert_eq!(clear, 1);
        // Each daemon's losses count.
        assert_eq!(store.lost(all.0, all.1, None).await.expect("it is there"), 7 * (1..=round).sum::<u64>());
        assert_eq!(store.usages(0, 1000, None).await.expect("it is there"), [], "before anything was seen");
    }
    // Another host in the same database: each sees its own, or all, and forgets only its own.
    let other = Collector::new("SYSB");
    other.record(&facts(Side::Server, 21, Protection::None));
    other.write_to(Store::open(&url, &url).await.expect("it is there"), 90, || 5);
    other.finish().await;
    let store = Store::open_existing(&url, &url).await.expect("it is there");
    for (host, sessions, lost) in [(Some("SYSA"), 2, 21), (Some("SYSB"), 1, 5), (Some("SYSC"), 0, 0), (None, 3, 26)] {
        let found = store.usages(all.0, all.1, host).await.expect("it is there");
        assert_eq!(found.len(), sessions, "{host:?}");
        assert_eq!(store.lost(all.0, all.1, host).await.expect("it is there"), lost, "{host:?}");
    }
    let collector = Collector::new("SYSA");
    collector.write_to(Store::open(&url, &url).await.expect("it is there"), 0, || 0);
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    collector.finish().await;
    // Nothing is older than now but what has been counted.
    let store = Store::open_existing(&url, &url).await.expect("it is there");
    assert_eq!(store.usages(all.0, all.1, Some("SYSA")).await.expect("it is there"), []);
    assert_eq!(store.usages(all.0, all.1, Some("SYSB")).await.expect("it is there").len(), 1);
    std::fs::write(folder.path().join("broken.db"), "no database at all, and not a short text either")
        .expect("it is there");
    let broken = format!("sqlite:{}/broken.db", folder.path().display());
    let problem = Store::open(&broken, "shown").await.expect_err("damage").to_string();
    assert!(problem.contains("the zERT history shown cannot be opened"), "{problem}");
}
