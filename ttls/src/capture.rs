//! The capture rules: one nftables table, made from the policy.
//!
//! Only what some rule could match is captured; everything else stays in the kernel. The rules outlive the process, and
//! without its listeners they refuse: a redirected connection meets a closed port, and a reject follows each tproxy.
//! Behind the capture stand chains that refuse what it should have caught and did not (another table's NAT, notrack),
//! and one that keeps the clear leg to a local program from ever leaving the host.
//! Rules are written in the order the policy is searched; a disabled rule whose conditions the kernel can decide ends
//! the search, one it cannot decide is left to the engine, which then relays the connection unchanged.

mod matches;
mod table;

use std::fmt::Write as _;

use policies::model::Conditions;
use policies::{Direction, Policy};

use self::matches::{Match, Sets};
pub(crate) use self::table::Table;
use crate::marks::Marks;

/// What the zERT observer wants copied.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Observation {
    /// The NFLOG group.
    pub group: u16,
    /// Packets of each connection, both directions together, that are copied.
    pub packets: u32,
    /// Bytes of each connection after which no more packets are copied.
    pub bytes: u32,
    /// Servers' ports of protocols whose dialogue goes on in clear text, or leads to TLS late.
    pub dialogue_ports: Vec<u16>,
    /// Packets and bytes of connections to those.
    pub dialogue: (u32, u32),
}

/// What the text of the table depends on, beside the policy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Ruleset {
    /// Where redirected outbound connections go.
    pub outbound_port: u16,
    /// Where inbound connections go.
    pub inbound_port: u16,
    /// The engine's marks.
    pub marks: Marks,
    /// The zERT observer's share, if it is on.
    pub observation: Option<Observation>,
}

/// The set that holds TCP's number while the daemon is there: what rules with `FailMode Open` look at.
const ALIVE: &str = "alive";
/// How long the daemon counts as there after each [`alive`].
const ALIVE_SECONDS: u32 = 5;

/// Conntrack's zone of the engine's legs to the network: any number that nobody else is likely to have.
const ZONE: u16 = 20551;

/// The commands that tell the kernel that the daemon is there, for some seconds.
pub(crate) fn alive() -> String {
    format!("flush set inet pagent {ALIVE}\nadd element inet pagent {ALIVE} {{ tcp timeout {ALIVE_SECONDS}s }}\n")
}

/// The command that tells it that the daemon is about to go.
pub(crate) fn gone() -> String {
    format!("flush set inet pagent {ALIVE}\n")
}

impl Ruleset {
    /// The table of a policy. `uid_of` resolves a user id to a uid; a user it does not know is left to the engine. `holders`
    /// are the processes that have sets of secondary connections in it: this one first, then those it took over from.
    pub(crate) fn table(&self, policy: &Policy, holders: Vec<u64>, uid_of: &dyn Fn(&str) -> Option<u32>) -> Table {
        let Self { marks, outbound_port, inbound_port, .. } = *self;
        let mask = marks.mask();
        let keep = !mask;
        let (inbound, plain, network, outbound) = (marks.inbound(), marks.plain(), marks.network(), marks.outbound());
        let owner = owner_set(holders.first().copied().unwrap_or_default());
        let mut sets = Sets::default();
        let outbound_rules = rules(policy, Direction::Outbound, "goto redirected", uid_of, &mut sets);
        let inbound_rules = rules(policy, Direction::Inbound, "goto handed_over", uid_of, &mut sets);
        let missed_outbound = rules(policy, Direction::Outbound, "goto refused", uid_of, &mut sets);
        let missed_inbound = rules(policy, Direction::Inbound, "goto refused", uid_of, &mut sets);
        let secondary_sets = holders.iter().fold(String::new(), |mut text, holder| {
            for (number, family) in [(4, "ipv4_addr"), (6, "ipv6_addr")] {
                let name = secondary_set(number, *holder);
                let _ = write!(text, "\tset {name} {{\n\t\ttype {family}\n\t}}\n");
            }
            text
        });
        let secondary_outbound = secondary(Direction::Outbound, &holders, "goto redirected");
        let secondary_inbound = secondary(Direction::Inbound, &holders, "goto handed_over");
        let secondary_missed_outbound = secondary(Direction::Outbound, &holders, "goto refused");
        let secondary_missed_inbound = secondary(Direction::Inbound, &holders, "goto refused");
        let observation = self.observation.as_ref().map(|observation| observe(observation, marks)).unwrap_or_default();
        let body = format!(
            "\
	set {owner} {{
		type inet_proto
	}}
	set {ALIVE} {{
		type inet_proto
		flags timeout
	}}
{secondary_sets}	chain refused {{
		reject with tcp reset
	}}
	chain redirected {{
		ct mark set ct mark and {keep:#010x} or {outbound:#x}
		meta l4proto tcp redirect to :{outbound_port}
	}}
	chain outbound {{
		type nat hook output priority -110; policy accept;
		meta l4proto != tcp accept
		meta mark and {mask:#x} == {network:#x} accept
		meta mark and {mask:#x} == {plain:#x} accept
{outbound_rules}{secondary_outbound}	}}
	chain handed_over {{
		ct mark set ct mark and {keep:#010x} or {inbound:#x}
		meta l4proto tcp tproxy to :{inbound_port} meta mark set meta mark and {keep:#010x} or {inbound:#x} accept
		reject with tcp reset
	}}
	chain inbound {{
		type filter hook prerouting priority -150; policy accept;
		meta l4proto != tcp accept
		iifname \"lo\" ct mark and {mask:#x} == {plain:#x} meta mark set meta mark and {keep:#010x} or {plain:#x} accept
		iifname \"lo\" meta mark and {mask:#x} == {plain:#x} accept
		ct mark and {mask:#x} == {plain:#x} drop
		ct mark and {mask:#x} == {outbound:#x} accept
		ct mark and {mask:#x} == {inbound:#x} ct direction original goto handed_over
		tcp flags & (syn | ack | rst) != syn accept
		fib daddr type != local accept
{inbound_rules}{secondary_inbound}	}}
	chain legs {{
		type route hook output priority -150; policy accept;
		meta l4proto != tcp accept
		ct mark and {mask:#x} == 0 meta mark and {mask:#x} == {plain:#x} ct mark set ct mark and {keep:#010x} or {plain:#x}
		ct mark and {mask:#x} == 0 meta mark and {mask:#x} == {network:#x} ct mark set ct mark and {keep:#010x} or {network:#x}
		ct mark and {mask:#x} == {plain:#x} meta mark set meta mark and {keep:#010x} or {plain:#x}
	}}
	chain missed_outbound {{
		type filter hook output priority 5; policy accept;
		meta l4proto != tcp accept
		tcp flags & (syn | ack | rst) != syn accept
		ct mark and {mask:#x} == {outbound:#x} accept
		meta mark and {mask:#x} == {network:#x} accept
		meta mark and {mask:#x} == {plain:#x} accept
{missed_outbound}{secondary_missed_outbound}	}}
	chain missed_inbound {{
		type filter hook input priority 5; policy accept;
		meta l4proto != tcp accept
		tcp flags & (syn | ack | rst) != syn accept
		ct mark and {mask:#x} == {outbound:#x} accept
		tcp dport {{ {outbound_port}, {inbound_port} }} goto refused
		ct mark and {mask:#x} == {inbound:#x} accept
		iifname \"lo\" meta mark and {mask:#x} == {plain:#x} accept
{missed_inbound}{secondary_missed_inbound}	}}
	chain plain_stays {{
		type filter hook postrouting priority 5; policy accept;
		ct mark and {mask:#x} == {plain:#x} oifname != \"lo\" drop
	}}
{observation}"
        );
        Table { holders, sets: sets.into_all(), body }
    }

    /// The table that stays across refreshes: conntrack keeps our connections' marks for days, also half closed (its
    /// defaults of a minute would let a late answer out unmarked, and in clear text), and knows the engine's legs to the
    /// network from what programs had: a leg may get the port of a program's connection that conntrack yet redirects.
    /// Loading it again changes its rules only: its objects, and what live connections have of them, stay. The zone is looked
    /// at for each packet: a leg does not outlive a change of this rule.
    #[must_use]
    pub(crate) fn hold(&self) -> String {
        let (mask, network, legs) = (self.marks.mask(), self.marks.network(), self.marks.legs());
        let mut objects =
            String::from("\tchain zones {\n\t\ttype filter hook output priority raw; policy accept;\n\t}\n");
        // What comes from the network has no mark of ours, and is found in the zone of all.
        let mut rules = format!(
            "\tchain zones {{\n\t\tmeta l4proto tcp meta mark and {mask:#x} == {network:#x} ct original zone set {ZONE}\n\t}}\n"
        );
        for family in ["ip", "ip6"] {
            let _ = writeln!(
                objects,
                "\tct timeout held_{family} {{\n\t\tprotocol tcp;\n\t\tl3proto {family};\n\t\tpolicy = {{ established : \
                 432000, fin_wait : 432000, close_wait : 432000, last_ack : 300 }}\n\t}}"
            );
        }
        // After the capture rules (-150, -110) have marked the connection, before it is confirmed.
        for hook in ["prerouting", "output"] {
            let _ =
                writeln!(objects, "\tchain {hook} {{\n\t\ttype filter hook {hook} priority -90; policy accept;\n\t}}");
            let _ = writeln!(rules, "\tchain {hook} {{");
            for (family, nfproto) in [("ip", "ipv4"), ("ip6", "ipv6")] {
                let _ = writeln!(
                    rules,
                    "\t\tmeta nfproto {nfproto} meta l4proto tcp ct mark and {mask:#x} {{ {legs} }} ct timeout set \"held_{family}\""
                );
            }
            rules.push_str("\t}\n");
        }
        format!(
            "table inet pagent_hold {{\n{objects}}}\nflush table inet pagent_hold\ntable inet pagent_hold {{\n{rules}}}\n"
        )
    }
}

/// Whether a table's text captures anything: a policy's rules have comments, what is there in any case has none.
pub(crate) fn captures(text: &str) -> bool {
    text.lines()
        .filter(|line| line.contains(" comment "))
        .any(|line| line.contains("goto redirected") || line.contains("goto handed_over"))
}

/// Copies the first packets of each connection, and every FIN and RST, to user space. Our own legs are left out: what
/// they carry is reported by the engine. On loopback a packet passes output and input; input sees both directions.
fn observe(observation: &Observation, marks: Marks) -> String {
    let Observation { group, packets, bytes, dialogue_ports, dialogue } = observation;
    let mask = marks.mask();
    let legs = marks.legs();
    let ports: Vec<String> = dialogue_ports.iter().map(u16::to_string).collect();
    let (ports, (more_packets, more_bytes)) = (ports.join(", "), dialogue);
    // By either port: replies too.
    let longer = |way: &str| {
        if ports.is_empty() {
            return String::new();
        }
        format!(
            "\t\ttcp {way}port {{ {ports} }} ct packets < {more_packets} ct bytes < {more_bytes} log group {group} snaplen 65535 \
             queue-threshold 1 accept\n"
        )
    };
    let longer = longer("d") + &longer("s");
    let mut text = String::new();
    for (hook, skip) in [("input", ""), ("output", "\t\toifname \"lo\" accept\n")] {
        let _ = write!(
            text,
            "\
	chain observe_{hook} {{
		type filter hook {hook} priority 10; policy accept;
		meta l4proto != tcp accept
{skip}		ct mark and {mask:#x} {{ {legs} }} accept
		ct packets < {packets} ct bytes < {bytes} log group {group} snaplen 65535 queue-threshold 1 accept
{longer}		tcp flags & (fin | rst) != 0 log group {group} snaplen 65535 queue-threshold 1
	}}
"
        );
    }
    text
}

/// What becomes of a connection that a rule matches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Treatment {
    Captured,
    /// While the daemon is there; otherwise it passes, or where the kernel cannot decide the rule the search goes on.
    CapturedIfAlive {
        exact: bool,
    },
    Passed,
}

/// The rules of one direction, in search order: those side by side with the same treatment together.
fn rules(
    policy: &Policy,
    direction: Direction,
    capture: &str,
    uid_of: &dyn Fn(&str) -> Option<u32>,
    sets: &mut Sets,
) -> String {
    let mut runs: Vec<(Treatment, Vec<Match>)> = Vec::new();
    for rule in &policy.ttls {
        if rule.conditions.direction.is_some_and(|own| own != direction) {
            continue;
        }
        let (user, exact) = user_match(&rule.conditions, direction, uid_of);
        let treatment = match (rule.enabled(), rule.fails_open()) {
            (true, false) => Treatment::Captured,
            (true, true) => Treatment::CapturedIfAlive { exact },
            (false, _) if exact => Treatment::Passed,
            (false, _) => continue,
        };
        let matches = Match::of(&rule.conditions, &user, &rule.name);
        match runs.last_mut() {
            Some((last, all)) if *last == treatment => all.extend(matches),
            _ => runs.push((treatment, matches)),
        }
    }
    runs.iter().fold(String::new(), |text, (treatment, matches)| {
        let mut lines = |verdict: &str| matches::lines(matches, direction, verdict, sets);
        text + &match treatment {
            Treatment::Captured => lines(capture),
            Treatment::CapturedIfAlive { exact } => {
                let captured = lines(&format!("meta l4proto @{ALIVE} {capture}"));
                captured + &if *exact { lines("accept") } else { String::new() }
            }
            Treatment::Passed => lines("accept"),
        }
    })
}

/// What no rule of the policy is for, with the peer of a primary connection; the sets are filled while there is one.
fn secondary(direction: Direction, holders: &[u64], capture: &str) -> String {
    let peer = match direction {
        Direction::Outbound => "daddr",
        Direction::Inbound => "saddr",
    };
    holders.iter().fold(String::new(), |mut text, holder| {
        for (family, number) in [("ip", 4), ("ip6", 6)] {
            let set = secondary_set(number, *holder);
            let _ = writeln!(text, "\t\t{family} {peer} @{set} {capture}");
        }
        text
    })
}

/// The set of the peers with which a process has primary connections: the process alone changes it. Its number is drawn by lot:
/// processes of two containers may have one id.
pub(crate) fn secondary_set(family: u8, holder: u64) -> String {
    format!("secondary{family}_{holder:016x}")
}

/// The set, always empty, that tells who loaded the table.
pub(crate) fn owner_set(holder: u64) -> String {
    format!("loaded_by_{holder:016x}")
}

/// The user's part of a match, and whether the kernel decides the whole rule.
fn user_match(conditions: &Conditions, direction: Direction, uid_of: &dyn Fn(&str) -> Option<u32>) -> (String, bool) {
    let exact_but_user =
        conditions.jobname.as_ref().is_none_or(policies::value::NamePattern::is_any) && conditions.schedule.is_none();
    let Some(pattern) = conditions.userid.as_ref().filter(|pattern| !pattern.is_any()) else {
        return (String::new(), exact_but_user);
    };
    // Inbound, the owner is the listener's: the kernel's rule cannot ask for it.
    match pattern.exact().filter(|_| direction == Direction::Outbound).and_then(uid_of) {
        Some(uid) => (format!("meta skuid {uid} "), exact_but_user),
        None => (String::new(), false),
    }
}

#[cfg(test)]
mod tests {
    use policies::{Source, parse, resolve};

    use super::*;

    fn ruleset(rules: &str) -> String {
        let text = format!(
            "{rules}
TTLSGroupAction ON
{{
  TTLSEnabled On
}}
TTLSGroupAction OFF
{{
  TTLSEnabled Off
}}
TTLSEnvironmentAction E
{{
  HandshakeRole Client
  TTLSKeyringParms
  {{
    Keyring /ring
  }}
}}
"
        );
        let (document, diagnostics) = parse(&Source::new("t", text));
        let (policy, more) = resolve(&[document], false);
        assert!(!policies::diagnostic::has_errors(&diagnostics) && !policies::diagnostic::has_errors(&more));
        let ruleset = Ruleset { outbound_port: 1015, inbound_port: 1016, marks: Marks::new(16), observation: None };
        let text = ruleset.table(&policy, vec![1], &|user| (user == "ALICE").then_some(1001)).text();
        let rules = |text: &str| -> Vec<String> {
            text.lines().filter(|line| line.contains("comment")).map(|line| line.trim().to_owned()).collect()
        };
        let (capture, missed) = text.split_once("chain missed_outbound").expect("the backstops");
        assert_eq!(captures(&text), policy.ttls.iter().any(|rule| rule.enabled()), "{text}");
        // What the capture misses is refused, by the same conditions in the same order.
        let refused =
            |rule: String| rule.replace("goto redirected", "goto refused").replace("goto handed_over", "goto refused");
        assert_eq!(rules(capture).into_iter().map(refused).collect::<Vec<_>>(), rules(missed));
        rules(capture).join("\n")
    }

    #[test]
    fn a_policy_without_rules_captures_nothing() {
        assert_eq!(ruleset(""), "");
    }

    fn rule(name: &str, conditions: &str, group: &str, priority: u32) -> String {
        format!(
            "TTLSRule {name}\n{{\n{conditions}\nPriority {priority}\nTTLSGroupActionRef {group}\n\
             TTLSEnvironmentActionRef E\n}}\n"
        )
    }

    #[test]
    fn a_rule_becomes_one_match_a_family() {
        let text = ruleset(&rule("R", "RemoteAddr 10.0.0.0/8\nRemotePortRange 21\nDirection Outbound", "ON", 1));
        assert_eq!(text, "ip daddr { 10.0.0.0-10.255.255.255 } tcp dport { 21 } goto redirected comment \"R\"");
        let text = ruleset(&rule("R", "LocalPortRange 21\nLocalPortRange 20-22\nDirection Both", "ON", 1));
        assert_eq!(
            text,
            "tcp sport { 20-22 } goto redirected comment \"R\"\ntcp dport { 20-22 } goto handed_over comment \"R\""
        );
    }

    #[test]
    fn rules_keep_their_search_order_and_an_exact_bypass_ends_the_search() {
        let rules = rule("ALL", "RemotePortRange 1-65535\nDirection Outbound", "ON", 1)
            + &rule("BYPASS", "RemoteAddr 10.1.1.1\nDirection Outbound", "OFF", 9)
            + &rule("BYJOB", "RemoteAddr 10.1.1.2\nJobname X\nDirection Outbound", "OFF", 8)
            + &rule("BYUSER", "Userid ALICE\nDirection Outbound", "OFF", 7);
        assert_eq!(
            ruleset(&rules),
            "ip daddr { 10.1.1.1 } accept comment \"BYPASS\"\n\
             meta skuid 1001 accept comment \"BYUSER\"\n\
             tcp dport { 1-65535 } goto redirected comment \"ALL\""
        );
    }

    #[test]
    fn a_rule_that_fails_open_asks_whether_the_daemon_is_there() {
        let open = |conditions: &str| {
            let group = "TTLSGroupAction OPEN\n{\nTTLSEnabled On\nFailMode Open\n}\n";
            ruleset(
                &(rule("R", conditions, "OPEN", 9)
                    + &rule("S", "RemotePortRange 1-99\nDirection Outbound", "ON", 1)
                    + group),
            )
        };
        assert_eq!(
            open("RemotePortRange 21\nDirection Outbound"),
            "tcp dport { 21 } meta l4proto @alive goto redirected comment \"R\"\n\
             tcp dport { 21 } accept comment \"R\"\n\
             tcp dport { 1-99 } goto redirected comment \"S\""
        );
        // Whose the connection is the kernel cannot tell: without the daemon it may be the next rule's.
        assert_eq!(
            open("RemotePortRange 21\nJobname X\nDirection Outbound"),
            "tcp dport { 21 } meta l4proto @alive goto redirected comment \"R\"\n\
             tcp dport { 1-99 } goto redirected comment \"S\""
        );
    }

    #[test]
    fn an_unknown_user_is_left_to_the_engine() {
        let text = ruleset(&rule("R", "Userid NOBODY\nRemotePortRange 21\nDirection Outbound", "ON", 1));
        assert_eq!(text, "tcp dport { 21 } goto redirected comment \"R\"");
    }

    #[test]
    fn rules_side_by_side_become_one_match() {
        let rules = rule("A", "RemoteAddr 10.0.0.1\nRemotePortRange 21\nDirection Outbound", "ON", 9)
            + &rule("B", "RemoteAddr 10.0.0.2\nRemotePortRange 22\nDirection Outbound", "ON", 8)
            + &rule("C", "RemoteAddr 10.0.0.1\nRemotePortRange 21\nDirection Outbound", "ON", 7)
            + &rule("D", "RemoteAddr 10.1.0.0/16\nRemotePortRange 23\nDirection Outbound", "ON", 6)
            + &rule("E", "RemoteAddr 10.2.0.0/16\nRemotePortRange 23\nDirection Outbound", "ON", 5)
            + &rule("BYPASS", "RemoteAddr 10.0.0.3\nDirection Outbound", "OFF", 4)
            + &rule("F", "RemoteAddr 10.0.0.3\nRemotePortRange 22\nDirection Outbound", "ON", 3);
        assert_eq!(
            ruleset(&rules),
            "ip daddr . tcp dport @rules0_ip_daddr_tcp_dport goto redirected comment \"A B C\"\n\
             ip daddr { 10.1.0.0-10.2.255.255 } tcp dport { 23 } goto redirected comment \"D E\"\n\
             ip daddr { 10.0.0.3 } accept comment \"BYPASS\"\n\
             ip daddr { 10.0.0.3 } tcp dport { 22 } goto redirected comment \"F\""
        );
    }
}
