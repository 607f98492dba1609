//! Compiled matching, exact sets and differences agree with the literal reading, over random rules and connections.
//!
//! `PROPTEST_CASES=100000 cargo test -p policies --release --test it rules` is the long run.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use chrono::{DateTime, Duration, FixedOffset};
use policies::address::{AddressRange, PortRange};
use policies::diagnostic::Problem;
use policies::diff::diff;
use policies::lint::lint;
use policies::model::{Action, Conditions, Policy, Scope, TtlsRule, ZertAction, ZertRule};
use policies::parameters::SecurityParameters;
use policies::region::{Cell, without};
use policies::source::Origin;
use policies::value::NamePattern;
use policies::{Connection, Direction, Source, Span, parse, resolve};
use proptest::prelude::*;

/// Connections looked up in each policy.
const LOOKUPS: usize = 64;

fn addresses() -> impl Strategy<Value = Arc<[AddressRange]>> {
    let words = prop::sample::select(vec![
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.2.0/24",
        "10.1.2.3",
        "10.1.2.4-10.1.2.9",
        "10.1.2.3-10.2.0.0",
        "0.0.0.0/0",
        "::/0",
        "2001:db8::/32",
        "2001:db8::1",
        "2001:db8::1-2001:db8::ff",
        "255.255.255.255",
        "0.0.0.0",
        "127.0.0.1",
        "::1",
    ]);
    let some = prop::collection::vec(words, 1..4);
    prop_oneof![
        3 => Just(Vec::new()),
        5 => some.prop_map(|words| words.into_iter().map(|word| AddressRange::parse(word).expect(word)).collect::<Vec<_>>()),
    ]
    .prop_map(Into::into)
}

fn ports() -> impl Strategy<Value = Arc<[PortRange]>> {
    let port = prop_oneof![1_u16..30, Just(65_535), Just(1024)];
    let range = (port.clone(), port).prop_map(|(a, b)| PortRange(a.min(b)..=a.max(b)));
    prop_oneof![3 => Just(Vec::new()), 4 => prop::collection::vec(range, 1..4)].prop_map(Into::into)
}

fn names() -> impl Strategy<Value = Option<NamePattern>> {
    let words = prop::sample::select(vec!["FTPD", "FTPD1", "FTP*", "F*", "*", "DB2", "ABCDEFGH", "ABCDEFGH*", "@#$"]);
    prop_oneof![5 => Just(None), 3 => words.prop_map(|word| Some(NamePattern::parse(word).expect(word)))]
}

/// Schedules by the language: that is how they are made.
fn schedules() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![
        5 => Just(None),
        2 => prop::sample::select(vec![
            "DayOfWeekMask 0111110",
            "DayOfWeekMask 1000001\nTimeZone UTC",
            "TimeOfDayRange 08:00-17:00",
            "TimeOfDayRange 22:00-06:00,12:00-13:00",
            "MonthOfYearMask 110000000001\nTimeOfDayRange 00:00-24:00",
            "DayOfMonthMask 1000000000000000000000000000000",
            "DayOfMonthMask 00000000000000000000000000000001000000000000000000000000000000",
            "ConditionTimeRange 20260101000000:20260630235959",
            "ConditionTimeRange 20260315120000:20270101000000\nTimeZone UTC\nTimeOfDayRange 06:00-07:00",
        ]).prop_map(Some),
    ]
}

fn schedule(text: &str) -> Arc<policies::schedule::Schedule> {
    let policy = format!(
        "zERTPolicyRule R\n{{\nLocalPortRange 1\nzERTPolicyActionRef A\nIpTimeCondition\n{{\n{text}\n}}\n}}\nzERTPolicyAction A\n{{\nAction Log\n}}\n"
    );
    let (document, _) = parse(&Source::new("t", policy));
    let (policy, _) = resolve(&[document], false);
    policy.zert.first().and_then(|rule| rule.conditions.schedule.clone()).expect("a schedule")
}

fn conditions() -> impl Strategy<Value = Conditions> {
    let direction = prop_oneof![Just(None), Just(Some(Direction::Inbound)), Just(Some(Direction::Outbound))];
    (direction, addresses(), addresses(), ports(), ports(), names(), names(), schedules()).prop_map(
        |(direction, local, remote, local_ports, remote_ports, jobname, userid, time)| Conditions {
            direction,
            local,
            remote,
            local_ports,
            remote_ports,
            jobname,
            userid,
            schedule: time.map(schedule),
            places: Vec::new(),
            broken: false,
        },
    )
}

fn origin() -> Origin {
    Origin { source: Source::new("t", ""), span: Span::default() }
}

/// A rule; `treatment` 0 leaves connections alone, other numbers are other environments.
fn ttls_rule(number: usize, priority: u32, conditions: Conditions, treatment: u8) -> Arc<TtlsRule> {
    let security: Option<Arc<SecurityParameters>> = (treatment > 0).then(|| {
        let text = format!(
            "TTLSRule R\n{{\nLocalPortRange 1\nDirection Inbound\nTTLSGroupActionRef G\nTTLSEnvironmentActionRef E{treatment}\n}}\n\
             TTLSGroupAction G\n{{\nTTLSEnabled On\n}}\nTTLSEnvironmentAction E{treatment}\n{{\nHandshakeRole Server\n\
             TTLSKeyringParms\n{{\nKeyring R\n}}\n}}\n"
        );
        let (document, _) = parse(&Source::new("t", text));
        let (policy, _) = resolve(&[document], false);
        policy.ttls.first().and_then(|rule| rule.security.clone()).expect("an enabled rule")
    });
    let action = Action {
        name: format!("G{treatment}"),
        origin: origin(),
        settings: BTreeMap::new(),
        parts: Vec::new(),
        broken: false,
    };
    Arc::new(TtlsRule {
        name: format!("R{number}"),
        origin: origin(),
        priority,
        conditions,
        group: Arc::new(action),
        environment: None,
        connection: None,
        references: vec![Scope::Group],
        security,
    })
}

fn rules(most: usize) -> impl Strategy<Value = Vec<(u32, Conditions, u8)>> {
    prop::collection::vec((1_u32..4, conditions(), 0_u8..3), 1..most)
}

fn policy(rules: &[(u32, Conditions, u8)]) -> Policy {
    let ttls = rules
        .iter()
        .enumerate()
        .map(|(at, (priority, conditions, treatment))| ttls_rule(at, *priority, conditions.clone(), *treatment));
    let action = Arc::new(ZertAction {
        name: "A".to_owned(),
        required: None,
        reset: true,
        hold: false,
        syslogd: false,
        console: false,
        audit: false,
    });
    let zert = rules.iter().enumerate().map(|(at, (priority, conditions, _))| {
        Arc::new(ZertRule {
            name: format!("Z{at}"),
            origin: origin(),
            priority: *priority,
            conditions: conditions.clone(),
            protections: Vec::new(),
            action: Arc::clone(&action),
        })
    });
    Policy::new(ttls.collect(), zert.collect())
}

fn connections() -> impl Strategy<Value = (Connection, DateTime<FixedOffset>)> {
    let address = prop::sample::select(vec![
        "10.1.2.3",
        "10.1.2.4",
        "10.1.2.9",
        "10.1.2.10",
        "10.2.0.0",
        "10.2.0.1",
        "9.9.9.9",
        "255.255.255.255",
        "0.0.0.0",
        "2001:db8::1",
        "2001:db8::ff",
        "2001:db8::100",
        "2001:db9::1",
        "::1",
        "::",
        "127.0.0.1",
        "11.0.0.0",
    ]);
    let port = prop_oneof![1_u16..32, Just(65_535), Just(1024)];
    let name = prop::sample::select(vec![
        None,
        Some("FTPD"),
        Some("ftpd1"),
        Some("FTP"),
        Some("F"),
        Some("DB2"),
        Some("ABCDEFGH"),
        Some("ABCDEFGHI"),
        Some("@#$"),
        Some(""),
    ]);
    let end =
        (address, port).prop_map(|(address, port)| SocketAddr::new(address.parse::<IpAddr>().expect(address), port));
    let direction = prop_oneof![Just(Direction::Inbound), Just(Direction::Outbound)];
    let minutes = 0_i64..600_000;
    let offset = prop::sample::select(vec![0, 3600, 7200, -18_000, 20_700]);
    (end.clone(), end, direction, name.clone(), name, minutes, offset).prop_map(
        |(local, remote, direction, jobname, userid, minutes, offset)| {
            let start = DateTime::parse_from_rfc3339("2026-01-01T00:00:00Z").expect("a time");
            let zone = FixedOffset::east_opt(offset).expect("an offset");
            let connection = Connection {
                local,
                remote,
                direction,
                jobname: jobname.map(str::to_owned),
                userid: userid.map(str::to_owned),
            };
            (connection, (start + Duration::minutes(minutes)).with_timezone(&zone))
        },
    )
}

proptest! {
    #[test]
    fn the_compiled_classifier_is_the_literal_matcher(
        rules in rules(60),
        asked in prop::collection::vec(connections(), LOOKUPS),
    ) {
        let policy = policy(&rules);
        for (connection, now) in &asked {
            let literal = policy.ttls.iter().find(|rule| rule.conditions.matches(connection, *now));
            let compiled = policy.ttls_rule(connection, *now);
            prop_assert_eq!(compiled.map(|rule| &rule.name), literal.map(|rule| &rule.name));
            let literal = policy.zert.iter().filter(|rule| rule.conditions.matches(connection, *now));
            let compiled = policy.zert_rules(connection, *now);
            prop_assert!(compiled.map(|rule| &rule.name).eq(literal.map(|rule| &rule.name)));
            let literal = policy.ttls.iter().find(|rule| rule.conditions.matches_but_owner(connection, *now));
            let compiled = policy.first_but_owner(connection, *now);
            prop_assert_eq!(compiled.map(|rule| &rule.name), literal.map(|rule| &rule.name));
        }
    }

    #[test]
    fn cells_are_the_connections_that_conditions_match(
        a in conditions(),
        b in conditions(),
        asked in prop::collection::vec(connections(), LOOKUPS),
    ) {
        let (cell_a, cell_b) = (Cell::of(&a), Cell::of(&b));
        let left = without(std::slice::from_ref(&cell_a), &cell_b, usize::MAX).expect("no limit");
        let both = cell_a.intersection(&cell_b);
        prop_assert_eq!(both.is_some(), cell_a.meets(&cell_b));
        if cell_a.is_within(&cell_b) {
            prop_assert!(left.is_empty());
        }
        for (connection, now) in &asked {
            let (in_a, in_b) = (a.matches(connection, *now), b.matches(connection, *now));
            prop_assert_eq!(cell_a.contains(connection, *now), in_a);
            prop_assert_eq!(both.as_ref().is_some_and(|cell| cell.contains(connection, *now)), in_a && in_b);
            let holding = left.iter().filter(|cell| cell.contains(connection, *now)).count();
            prop_assert_eq!(holding, usize::from(in_a && !in_b), "pieces have nothing in common");
        }
    }

    #[test]
    fn a_rule_told_to_be_hidden_never_matches(
        rules in rules(12),
        asked in prop::collection::vec(connections(), LOOKUPS),
    ) {
        let policy = policy(&rules);
        let hidden: Vec<String> = lint(&policy, None)
            .into_iter()
            .filter_map(|found| match found.problem {
                Problem::Shadowed { rule, .. } => Some(rule),
                _ => None,
            })
            .collect();
        for (connection, now) in &asked {
            if let Some(rule) = policy.ttls_rule(connection, *now) {
                prop_assert!(!hidden.contains(&rule.name), "{} decides {connection:?} at {now}", rule.name);
            }
        }
    }

    #[test]
    fn a_difference_names_every_connection_that_is_treated_otherwise_and_no_other(
        old in rules(6),
        new in rules(6),
        keep in 0_usize..6,
        asked in prop::collection::vec(connections(), LOOKUPS),
    ) {
        // The first rules are the same in both.
        let mut new = new;
        for (at, rule) in old.iter().take(keep).enumerate() {
            match new.get_mut(at) {
                Some(place) => *place = rule.clone(),
                None => new.push(rule.clone()),
            }
        }
        let (old, new) = (policy(&old), policy(&new));
        let changes = diff(&old, &new);
        for (connection, now) in &asked {
            let (before, after) = (old.ttls_rule(connection, *now), new.ttls_rule(connection, *now));
            let does = |rule: Option<&Arc<TtlsRule>>| rule.and_then(|rule| rule.security.as_ref().map(|one| one.environment.clone()));
            let told = changes.iter().find(|change| {
                change.policy_type == "TTLS" && change.connections.contains(connection, *now)
            });
            if does(before).is_some() != does(after).is_some() {
                let told = told.unwrap_or_else(|| panic!("{connection:?} at {now} is not told"));
                prop_assert_eq!(&told.old.rule, &before.map(|rule| rule.name.clone()));
                prop_assert_eq!(&told.new.rule, &after.map(|rule| rule.name.clone()));
            }
            if let Some(told) = told.filter(|told| told.exact) {
                prop_assert_eq!(&told.old.rule, &before.map(|rule| rule.name.clone()));
                prop_assert_eq!(&told.new.rule, &after.map(|rule| rule.name.clone()));
            }
        }
    }
}
