//! What a policy costs: looking a rule up among 10, 1,000 and 100,000, and loading 100,000 rules.
//!
//! `cargo bench -p policies`. The memory of a loaded policy is printed first, as the allocator counts it.

#![allow(missing_docs, clippy::print_stdout, reason = "criterion's macros make public items; a benchmark prints")]

mod counting;

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, FixedOffset};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use policies::lint::lint;
use policies::load::{Settings, load};
use policies::{Connection, Direction, Files, Policy, Source, parse, resolve};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

struct NoFiles;

impl Files for NoFiles {
    fn read(&mut self, name: &str, _by: &Source) -> Result<Arc<Source>, String> {
        Err(format!("there is no {name}"))
    }
}

/// A site's policy: partners by address and port, servers by port and network, jobs, a bypass on top, a default below.
fn text(rules: usize) -> String {
    let mut text = String::from(
        "TTLSGroupAction ON\n{\n  TTLSEnabled On\n}\nTTLSGroupAction OFF\n{\n  TTLSEnabled Off\n}\n\
         TTLSEnvironmentAction CLIENT\n{\n  HandshakeRole Client\n  TTLSKeyringParms\n  {\n    Keyring TCPIP/RING\n  }\n}\n\
         TTLSEnvironmentAction SERVER\n{\n  HandshakeRole Server\n  TTLSKeyringParms\n  {\n    Keyring TCPIP/RING\n  }\n}\n\
         PortGroup WEB\n{\n  PortRange\n  {\n    Port 443\n  }\n  PortRange\n  {\n    Port 8443\n  }\n}\n",
    );
    for number in 0..rules {
        let address = Ipv4Addr::from(0x0A00_0000 + u32::try_from(number * 7).expect("a policy of this size"));
        let [a, b, c, _] = address.octets();
        let (conditions, action) = match number % 5 {
            0 | 1 => (format!("  RemoteAddr {address}\n  RemotePortRange 21\n  Direction Outbound\n"), "CLIENT"),
            2 => (format!("  RemoteAddr {address}\n  RemotePortGroupRef WEB\n  Direction Outbound\n"), "CLIENT"),
            3 => (
                format!(
                    "  RemoteAddr {a}.{b}.{c}.0/24\n  LocalPortRange {}\n  Direction Inbound\n",
                    1024 + number % 50_000
                ),
                "SERVER",
            ),
            _ => (
                format!(
                    "  RemoteAddr {address}\n  RemotePortRange 1024-65535\n  Jobname J{}*\n  Direction Outbound\n",
                    number % 1000
                ),
                "CLIENT",
            ),
        };
        let priority = 1000 + number;
        let _ = write!(
            text,
            "TTLSRule RULE{number}\n{{\n{conditions}  Priority {priority}\n  TTLSGroupActionRef ON\n  TTLSEnvironmentActionRef {action}\n}}\n"
        );
    }
    text.push_str(
        "TTLSRule DEFAULT\n{\n  RemotePortRange 21\n  Direction Outbound\n  Priority 1\n  TTLSGroupActionRef OFF\n}\n",
    );
    text
}

fn now() -> DateTime<FixedOffset> {
    DateTime::parse_from_rfc3339("2026-05-01T12:00:00Z").expect("a time")
}

fn policy(rules: usize) -> Policy {
    let (document, _) = parse(&Source::new("bench.policy", text(rules)));
    resolve(&[document], false).0
}

/// Connections all over the policy: hits of every kind, the default, and nothing.
fn connections(rules: usize) -> Vec<Connection> {
    (0..997_usize)
        .map(|step| {
            let number = step.wrapping_mul(7919) % rules;
            let address = Ipv4Addr::from(0x0A00_0000 + u32::try_from(number * 7).expect("a policy of this size"));
            let end =
                |address: Ipv4Addr, port: usize| SocketAddr::from((address, u16::try_from(port).expect("a port")));
            let own = Ipv4Addr::new(192, 0, 2, 1);
            let (local, remote, direction) = match (step % 10, number % 5) {
                (0, _) => (end(own, 40_000), end(Ipv4Addr::new(203, 0, 113, 9), 21), Direction::Outbound),
                (1, _) => (end(own, 40_000), end(Ipv4Addr::new(203, 0, 113, 9), 80), Direction::Outbound),
                (_, 2) => (end(own, 40_000), end(address, 8443), Direction::Outbound),
                (_, 3) => (end(own, 1024 + number % 50_000), end(address, 50_000), Direction::Inbound),
                (_, 4) => (end(own, 40_000), end(address, 2000), Direction::Outbound),
                _ => (end(own, 40_000), end(address, 21), Direction::Outbound),
            };
            Connection {
                local,
                remote,
                direction,
                jobname: Some(format!("J{}X", number % 1000)),
                userid: Some("ALICE".to_owned()),
            }
        })
        .collect()
}

fn look_up(criterion: &mut Criterion) {
    for rules in [10, 1_000, 100_000] {
        let before = counting::IN_USE.load(Ordering::Relaxed);
        let policy = policy(rules);
        let bytes = counting::IN_USE.load(Ordering::Relaxed) - before;
        println!(
            "{rules} rules: {bytes} bytes in use, {} a rule, of which compiled {}",
            bytes / rules,
            policy.compiled_size() / rules
        );
        let connections = connections(rules);
        let mut next = connections.iter().cycle();
        criterion.bench_function(&format!("look up among {rules}"), |bencher| {
            bencher.iter(|| next.next().map(|connection| policy.ttls_rule(connection, now()).is_some()));
        });
    }
}

fn load_many(criterion: &mut Criterion) {
    let text = text(100_000);
    println!("the text of 100,000 rules: {} bytes", text.len());
    let mut group = criterion.benchmark_group("100,000 rules");
    group.sample_size(10);
    group.bench_function("parse", |bencher| {
        bencher.iter_batched(|| Source::new("b", text.clone()), |source| parse(&source), BatchSize::PerIteration);
    });
    let (document, _) = parse(&Source::new("b", text.clone()));
    let documents = [document];
    group.bench_function("resolve and compile", |bencher| {
        bencher.iter_with_large_drop(|| resolve(&documents, false));
    });
    let (policy, _) = resolve(&documents, false);
    group.bench_function("lint", |bencher| bencher.iter(|| lint(&policy, None)));
    group.bench_function("parse, resolve, check, compile", |bencher| {
        bencher.iter_batched(
            || Source::new("b", text.clone()),
            |source| {
                load(&[source], Settings { image: None, fips: false, files: &mut NoFiles, rings: None, lints: true })
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, look_up, load_many);
criterion_main!(benches);
