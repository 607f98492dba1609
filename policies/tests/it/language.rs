//! The seed's fragments, both dialects, and what broken policies are told.

use std::net::SocketAddr;

use chrono::{DateTime, FixedOffset};
use policies::algorithm::Protocol;
use policies::diagnostic::{has_errors, render};
use policies::enforcement::Judgement;
use policies::parameters::Role;
use policies::protection::Observed;
use policies::{Connection, Diagnostic, Direction, Policy, Source, parse, resolve};

const SEED_TTLS: &str = "\
;; pagent rule — TLS 1.3 with cached handshakes
TTLSEnvironmentAction TLS_ENV_CLIENT
HandshakeRole Client
TTLSKeyringParms
Keyring TCPIP/TCPIP-KEYRING
TTLSCipherParms
V3CipherSuites4Char 1302 1303 ;; TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256
TTLSEnvironmentAdvancedParms
TLSv1.3 On
HandshakeCacheCapacity 2048 ;; cache up to 2048 client tickets
HandshakeCacheTimeout 600 ;; seconds
FIPSMODE 140-3 INDICATE FAIL OFF ;; z/OS 3.2 only
";

const SEED_ZERT: &str = "\
;; pagent fragment — refuse plaintext or TLS <= 1.1 to FTPS port
zERTPolicyRule REFUSE_WEAK_TLS
LocalAddrRef ADDR_LOCAL
LocalPortRange 21 990
zERTPolicyActionRef zERT_ENFORCE_TLS12_MIN
zERTPolicyAction zERT_ENFORCE_TLS12_MIN
Action Reset ;; or Log
Protocol TLS
MinimumVersion TLSv1.2
";

fn load(text: &str) -> (Policy, Vec<Diagnostic>) {
    let (document, mut diagnostics) = parse(&Source::new("test.policy", text));
    let (policy, more) = resolve(&[document], false);
    diagnostics.extend(more);
    (policy, diagnostics)
}

fn accepted(text: &str) -> Policy {
    let (policy, diagnostics) = load(text);
    assert!(!has_errors(&diagnostics), "{}", render(&diagnostics));
    policy
}

fn noon() -> DateTime<FixedOffset> {
    DateTime::parse_from_rfc3339("2026-05-01T12:00:00Z").expect("a time")
}

fn connection(local: &str, remote: &str, direction: Direction) -> Connection {
    let end = |text: &str| text.parse::<SocketAddr>().expect("an address");
    Connection { local: end(local), remote: end(remote), direction, jobname: None, userid: None }
}

/// A rule that refers to the seed's environment action.
const RULE: &str = "
TTLSRule FTPS_CLIENT
{
  RemoteAddr 10.50.60.0/24
  RemotePortRange 21
  Direction Outbound
  TTLSGroupActionRef ON
  TTLSEnvironmentActionRef TLS_ENV_CLIENT
}
TTLSGroupAction ON
{
  TTLSEnabled On
}
";

#[test]
fn the_seed_s_environment_action_is_read_without_braces() {
    let policy = accepted(&format!("{SEED_TTLS}{RULE}"));
    let parameters = policy.ttls[0].security.as_ref().expect("an enabled rule");
    assert_eq!(parameters.role, Role::Client);
    assert_eq!(parameters.suites, [0x1302, 0x1303]);
    assert!(parameters.tls13 && !parameters.tls12);
    assert_eq!((parameters.cache_capacity, parameters.cache_timeout), (2048, 600));
    assert_eq!(parameters.keyring, "TCPIP/TCPIP-KEYRING");
}

#[test]
fn the_seed_s_ports_are_two_ports_not_a_range() {
    let policy = accepted(&format!("{SEED_ZERT}\nIpAddr ADDR_LOCAL\n{{\n  Addr 10.20.30.5\n}}\n"));
    let rule = |port: u16| {
        let connection = connection(&format!("10.20.30.5:{port}"), "10.50.60.7:52341", Direction::Inbound);
        policy.zert_rules(&connection, noon()).next().map(|rule| rule.name.clone())
    };
    assert_eq!(rule(21).as_deref(), Some("REFUSE_WEAK_TLS"));
    assert_eq!(rule(990).as_deref(), Some("REFUSE_WEAK_TLS"));
    assert_eq!(rule(22), None);
    let action = &policy.zert[0].action;
    let required = action.required.as_ref().expect("a demand");
    assert!(action.reset && required.tls_version == Some(0x0303));
    assert_eq!(required.protocols, [Protocol::Tls]);
}

#[test]
fn between_braces_a_second_number_makes_a_range_and_a_second_suite_is_ignored() {
    let text = format!("{SEED_TTLS}{RULE}").replace("RemotePortRange 21", "RemotePortRange 21 990");
    let policy = accepted(&text);
    let found = policy.ttls_rule(&connection("10.1.1.1:40000", "10.50.60.7:500", Direction::Outbound), noon());
    assert!(found.is_some());
    let braces = "TTLSCipherParms C\n{\n  V3CipherSuites4Char 1302 1303\n}\n";
    let (_, diagnostics) = load(braces);
    assert!(diagnostics.iter().any(|found| found.problem.code() == "PAG0202"), "{}", render(&diagnostics));
}

#[test]
fn a_reference_coded_before_an_inline_block_is_replaced_as_a_whole() {
    let text = "
TTLSRule R
{
  RemotePortRange 443
  Direction Outbound
  TTLSGroupActionRef G
  TTLSEnvironmentActionRef E
}
TTLSGroupAction G
{
  TTLSEnabled On
}
TTLSEnvironmentAction E
{
  HandshakeRole Client
  TTLSKeyringParms
  {
    Keyring /etc/ring
  }
  TTLSEnvironmentAdvancedParmsRef P
  TTLSEnvironmentAdvancedParms
  {
    HandshakeTimeout 30
  }
}
TTLSEnvironmentAdvancedParms P
{
  TLSv1.3 Off
  HandshakeTimeout 5
}
";
    let parameters = accepted(text).ttls[0].security.clone().expect("an enabled rule");
    assert!(parameters.tls13, "the referenced block's TLSv1.3 Off did not survive");
    assert_eq!(parameters.handshake_timeout, 30);
}

#[test]
fn a_higher_priority_wins_and_a_disabled_rule_is_a_rule() {
    let bypass = "
TTLSRule BYPASS
{
  RemoteAddr 10.50.60.7
  Direction Outbound
  Priority 200
  TTLSGroupActionRef OFF
}
TTLSGroupAction OFF
{
  TTLSEnabled Off
}
";
    let policy = accepted(&format!("{SEED_TTLS}{RULE}{bypass}"));
    let rule = |remote: &str| {
        let connection = connection("10.1.1.1:40000", remote, Direction::Outbound);
        policy.ttls_rule(&connection, noon()).map(|rule| (rule.name.clone(), rule.enabled()))
    };
    assert_eq!(rule("10.50.60.7:21"), Some(("BYPASS".to_owned(), false)));
    assert_eq!(rule("10.50.60.8:21"), Some(("FTPS_CLIENT".to_owned(), true)));
    assert_eq!(rule("10.50.61.8:21"), None);
}

#[test]
fn a_job_condition_does_not_match_an_unknown_job() {
    let policy = accepted(&format!("{SEED_TTLS}{}", RULE.replace("RemotePortRange 21", "Jobname FTP*")));
    let mut asked = connection("10.1.1.1:40000", "10.50.60.7:21", Direction::Outbound);
    assert!(policy.ttls_rule(&asked, noon()).is_none());
    asked.jobname = Some("ftpbatch".to_owned());
    assert!(policy.ttls_rule(&asked, noon()).is_some());
}

#[test]
fn the_owner_is_asked_for_only_where_a_rule_depends_on_it() {
    let by_job = RULE
        .replace("FTPS_CLIENT", "BY_JOB")
        .replace("RemotePortRange 21", "RemotePortRange 21\n  Jobname FTP*\n  Priority 5")
        .replace("TTLSGroupAction ON\n{\n  TTLSEnabled On\n}\n", "");
    let asks = |policy: &Policy, remote: &str| {
        policy.asks_for_owner(&connection("10.1.1.1:40000", remote, Direction::Outbound), noon())
    };
    let first = accepted(&format!("{SEED_TTLS}{RULE}{by_job}"));
    assert!(asks(&first, "10.50.60.7:21"), "the rule that asks is searched first");
    assert!(!asks(&first, "10.50.60.7:22"), "its other conditions do not fit");
    let last = accepted(&format!("{SEED_TTLS}{}{by_job}", RULE.replace("Direction", "Priority 9\n  Direction")));
    assert!(!asks(&last, "10.50.60.7:21"), "a rule before it fits without asking");
}

/// Each broken policy, and the code and line of its first error.
#[test]
fn every_error_names_its_place() {
    let with = |from: &str, to: &str| format!("{SEED_TTLS}{RULE}").replace(from, to);
    let cases = [
        (with("TTLSGroupActionRef ON", "TTLSGroupActionRef ONN"), "PAG0112", 19),
        (with("Direction Outbound", "Direction Sideways"), "PAG0110", 18),
        (with("Direction Outbound", "Directoin Outbound"), "PAG0106", 18),
        (with("  Direction Outbound\n", ""), "PAG0111", 14),
        (with("RemotePortRange 21", "RemotePortRange 70000"), "PAG0110", 17),
        (with("RemoteAddr 10.50.60.0/24", "RemoteAddr 10.50.60.0/40"), "PAG0110", 16),
        (with("TTLSRule FTPS_CLIENT\n{", "TTLSRule FTPS_CLIENT {"), "PAG0101", 14),
        (with("TTLSGroupAction ON\n{\n  TTLSEnabled On\n}", "TTLSGroupAction ON\n{\n  TTLSEnabled On"), "PAG0103", 22),
        (with("TTLSGroupAction ON\n", "TTLSGroupActoin ON\n"), "PAG0105", 22),
        (with("1302 1303", "1302 ZZZZ"), "PAG0110", 7),
        (with("TLSv1.3 On", "TLSv1.3 Off"), "PAG0115", 14),
        (with("TLSv1.3 On", "TruncatedHMAC Required"), "PAG0114", 9),
        (with("FAIL OFF", "FAIL ON"), "PAG0114", 12),
        (format!("{SEED_TTLS}{RULE}{RULE}"), "PAG0113", 27),
        (with("TTLSRule FTPS_CLIENT", "TTLSRule"), "PAG0107", 14),
        (with("Keyring TCPIP/TCPIP-KEYRING\n", ""), "PAG0111", 4),
        (with("TTLSGroupAction ON", "}\nTTLSGroupAction ON"), "PAG0102", 22),
        (with("  RemotePortRange 21", "  {\n  RemotePortRange 21"), "PAG0104", 17),
    ];
    for (text, code, line) in cases {
        let (_, diagnostics) = load(&text);
        let errors: Vec<(&str, usize)> = diagnostics
            .iter()
            .filter(|found| found.problem.code().starts_with("PAG01"))
            .map(|found| (found.problem.code(), found.origin.source.position(found.origin.span.start).0))
            .collect();
        assert!(errors.contains(&(code, line)), "expected {code} at line {line} in\n{text}\n{}", render(&diagnostics));
    }
}

#[test]
fn an_error_shows_the_line_and_suggests_what_was_meant() {
    let (_, diagnostics) =
        load(&format!("{SEED_TTLS}{RULE}").replace("TTLSGroupActionRef ON", "TTLSGroupActionRef ONN"));
    let text = render(&diagnostics);
    let expected = "error[PAG0112]: no TTLSGroupAction is named `ONN`
  --> test.policy:19:22
   |
19 |   TTLSGroupActionRef ONN
   |                      ^^^
   = note: `ON` is defined here (test.policy:22)
   = help: did you mean `ON`?
";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_line_without_end_is_reported_in_few_words() {
    let (_, diagnostics) = load(&"{".repeat(3_000_000));
    let text = render(&diagnostics);
    assert!(text.contains("PAG0118") && text.len() < 2000, "{} characters", text.len());
}

#[test]
fn ebcdic_is_refused_with_what_to_do() {
    let bytes: Vec<u8> = [0xE3, 0xE3, 0xD3, 0xE2, 0xD9, 0xA4, 0x93, 0x85, 0x40, 0xD9, 0x15].repeat(40);
    let (_, diagnostics) = parse(&Source::from_bytes("ebcdic", bytes));
    let text = render(&diagnostics);
    assert!(text.contains("PAG0117") && text.contains("iconv -f IBM-1047"), "{text}");
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
}

#[test]
fn ipsec_counts_beside_what_is_inside_it() {
    let rule = |name: &str, conditions: &str, demand: &str| {
        format!(
            "zERTPolicyRule {name}\n{{\nLocalPortRange 21\n{conditions}zERTPolicyActionRef A_{name}\n}}\n\
             zERTPolicyAction A_{name}\n{{\nAction Reset\n{demand}}}\n"
        )
    };
    let of = |protocol: Protocol, version: Option<u16>| Observed { version, ..Observed::only(protocol) };
    let (tls10, tls13) = (of(Protocol::Tls, Some(0x0301)), of(Protocol::Tls, Some(0x0304)));
    let (clear, ipsec) = (of(Protocol::None, None), of(Protocol::Ipsec, None));
    let connection = connection("10.1.1.1:21", "10.2.2.2:40000", Direction::Inbound);
    let judged = |text: &str, observed: &Observed, around: bool| {
        let policy = accepted(text);
        let ipsec = around.then_some(&ipsec);
        let (judgement, decisive) = policy.judge_all(&connection, noon(), observed, true, ipsec);
        (matches!(judgement, Judgement::Short(_)), decisive.protocol)
    };
    // TLS is demanded: IPsec is none, and takes nothing from TLS that is good.
    let demand = rule("R", "", "Protocol TLS\nMinimumVersion TLSv1.2\n");
    assert_eq!(judged(&demand, &clear, false), (true, Protocol::None));
    assert_eq!(judged(&demand, &clear, true), (true, Protocol::Ipsec));
    assert_eq!(judged(&demand, &tls10, true), (true, Protocol::Tls));
    assert!(!judged(&demand, &tls13, true).0);
    // Either is demanded.
    let either = rule("R", "", "Protocol TLS IPsec\nMinimumVersion TLSv1.2\n");
    assert!(!judged(&either, &clear, true).0);
    assert!(!judged(&either, &tls10, true).0);
    assert!(judged(&either, &tls10, false).0);
    // A rule for one of them is none for the other.
    let sets = rule("R", "zERTProtectionRef P\n", "") + "zERTProtection P\n{\nProtocol IPsec\n}\n";
    assert_eq!(judged(&sets, &tls13, true), (true, Protocol::Ipsec));
    assert!(!judged(&sets, &tls13, false).0);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[ \\t\\n{}#;A-Za-z0-9./:*-]{0,400}") {
        let _ = load(&text);
    }

    #[test]
    fn no_arrangement_of_known_words_makes_the_reader_panic(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "TTLSRule", "TTLSGroupAction", "TTLSEnvironmentAction", "R", "{", "}", "\n", "\n", "Direction", "Both",
                "TTLSGroupActionRef", "IpAddrGroup", "IpAddrRef", "IpAddr", "Addr", "1.2.3.4", "TTLSGskAdvancedParms",
                "zERTPolicyRule", "PortRange", "Port", "21", "990", "IpTimeCondition", "TcpImage",
            ]),
            0..60,
        )
    ) {
        let _ = load(&words.join(" ").replace("\n ", "\n"));
    }
}
