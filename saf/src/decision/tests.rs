use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::literal::{self, World};
use super::*;
use crate::class::CLASSES;
use crate::raclist::{Auditing, Conditional, FAILURES, Profile, Raclist};
use crate::snapshot::{Attributes, Authority, Connect, Group, Options, Revocation, Switches};

fn id(text: &str) -> Userid {
    Userid::parse_listed(text).expect(text)
}

fn profile(name: &str, uacc: Access, access: &[(&str, Access)]) -> Profile {
    Profile {
        name: ProfileName::stored(name.to_owned(), name.contains(['*', '%'])),
        uacc,
        owner: id("SYS1"),
        warning: false,
        notify: None,
        audit: FAILURES,
        global_audit: Auditing::default(),
        access: access.iter().map(|(who, access)| Entry { id: id(who), access: *access }).collect(),
        conditional: Vec::new(),
    }
}

fn connect(group: &str) -> Connect {
    Connect {
        group: id(group),
        authority: Authority::Use,
        special: false,
        auditor: false,
        operations: false,
        revocation: Revocation::default(),
    }
}

fn user(groups: &[&str]) -> User {
    User {
        name: "A. USER".to_owned(),
        owner: id("SYS1"),
        default_group: id(groups.first().copied().unwrap_or("STAFF")),
        connects: groups.iter().map(|group| connect(group)).collect(),
        attributes: Attributes::default(),
        revocation: Revocation::default(),
        clauth: Vec::new(),
        uid: None,
    }
}

const ON: Switches = Switches {
    active: true,
    generic: true,
    gencmd: true,
    raclist: true,
    global: false,
    audit: false,
    statistics: false,
    log: LogOptions::Default,
};

fn snapshot(class: &str, switches: Switches, profiles: Vec<Profile>, users: Vec<(&str, User)>) -> Snapshot {
    let users = users.into_iter().map(|(userid, user)| (id(userid), user)).collect();
    let mut classes: Vec<Arc<Class>> = CLASSES.iter().map(|_| Arc::default()).collect();
    let at = CLASSES.iter().position(|descriptor| descriptor.name == class).expect(class);
    classes[at] = Arc::new(Class { switches, profiles: Arc::new(Raclist::new(profiles)), ..Class::default() });
    let sys1 = Group { superior: None, owner: id("IBMUSER") };
    Snapshot {
        users: Arc::new(users),
        groups: Arc::new(HashMap::from([(id("SYS1"), sys1)])),
        by_uid: Arc::default(),
        options: Options::default(),
        classes,
        ..Snapshot::default()
    }
}

fn servauth(profiles: Vec<Profile>, users: Vec<(&str, User)>) -> Snapshot {
    snapshot("SERVAUTH", ON, profiles, users)
}

fn codes(snapshot: &Snapshot, who: &str, resource: &str, intent: Access) -> (u8, u8, u8) {
    let codes = snapshot.codes(&Request::new(id(who), "SERVAUTH", resource, intent));
    (codes.saf, codes.racf, codes.reason)
}

const PERMIT: (u8, u8, u8) = (0, 0, 0);
const DENY: (u8, u8, u8) = (8, 8, 0);

#[test]
fn row_1_an_inactive_class_decides_nothing() {
    let off = Switches { active: false, ..ON };
    let snapshot = snapshot("SERVAUTH", off, vec![profile("**", Access::None, &[])], vec![("ALICE", user(&[]))]);
    assert_eq!(codes(&snapshot, "ALICE", "EZB.X", Access::Read), (4, 4, 0));
    let decision = snapshot.auth(id("ALICE"), "SERVAUTH", "EZB.X", Access::Read);
    assert!(matches!(decision, Decision::NoDecision(NoDecision::ClassInactive)));
    let unknown = snapshot.auth(id("ALICE"), "NOSUCH", "EZB.X", Access::Read);
    assert!(matches!(unknown, Decision::NoDecision(NoDecision::UnknownClass)));
}

#[test]
fn row_2_no_profile_is_the_class_s_default_code() {
    let found = servauth(vec![profile("EZA.**", Access::None, &[])], vec![("ALICE", user(&[]))]);
    assert_eq!(codes(&found, "ALICE", "EZB.X", Access::Read), (4, 4, 0));
    let spool = snapshot("JESSPOOL", ON, vec![], vec![("ALICE", user(&[]))]);
    let request = Request::new(id("ALICE"), "JESSPOOL", "NODE.BOB.JOB.1.D2.X", Access::Read);
    assert_eq!(spool.codes(&request), REFUSED);
    let Decision::Refused(refusal) = spool.decide(&request) else { panic!("it was not refused") };
    assert!(refusal.to_string().contains("PROFILE NOT FOUND. IT IS REQUIRED FOR AUTHORITY CHECKING."));
}

#[test]
fn row_3_a_user_s_entry_counts_before_uacc_even_downward() {
    let snapshot = servauth(
        vec![profile("EZB.**", Access::Read, &[("ALICE", Access::None), ("STAFF", Access::Alter)])],
        vec![("ALICE", user(&["STAFF"]))],
    );
    assert_eq!(codes(&snapshot, "ALICE", "EZB.X", Access::Read), DENY);
}

#[test]
fn row_4_a_group_s_entry_counts_before_uacc() {
    let snapshot =
        servauth(vec![profile("EZB.**", Access::Read, &[("STAFF", Access::None)])], vec![("ALICE", user(&["STAFF"]))]);
    assert_eq!(codes(&snapshot, "ALICE", "EZB.X", Access::Read), DENY);
}

#[test]
fn rows_5_and_6_the_highest_group_counts_unless_only_the_current_one_does() {
    let list = [("STAFF", Access::None), ("OPS", Access::Read)];
    let mut snapshot = servauth(vec![profile("EZB.**", Access::None, &list)], vec![("ALICE", user(&["STAFF", "OPS"]))]);
    assert_eq!(codes(&snapshot, "ALICE", "EZB.X", Access::Read), PERMIT);
    snapshot.options.grplist = false;
    assert_eq!(codes(&snapshot, "ALICE", "EZB.X", Access::Read), DENY);
    let as_ops = Request { group: Some(id("OPS")), ..Request::new(id("ALICE"), "SERVAUTH", "EZB.X", Access::Read) };
    assert_eq!(snapshot.codes(&as_ops), PERMITTED);
}

#[test]
fn rows_7_and_8_restricted_and_undefined_users() {
    let mut robot = user(&[]);
    robot.attributes.restricted = true;
    let star = profile("EZB.STAR", Access::None, &[("*", Access::Read)]);
    let uacc = profile("EZB.UACC", Access::Read, &[]);
    let snapshot = servauth(vec![star, uacc], vec![("ROBOT", robot), ("ALICE", user(&[]))]);
    for (who, resource, expected) in [
        ("ROBOT", "EZB.STAR", DENY),
        ("ROBOT", "EZB.UACC", DENY),
        ("NOBODY", "EZB.STAR", DENY),
        ("NOBODY", "EZB.UACC", PERMIT),
        ("ALICE", "EZB.STAR", PERMIT),
        ("ALICE", "EZB.UACC", PERMIT),
    ] {
        assert_eq!(codes(&snapshot, who, resource, Access::Read), expected, "{who} {resource}");
    }
}

/// A snapshot whose global access table grants READ to EZB.** and UPDATE to the user's own resources.
fn with_global(profiles: Vec<Profile>, users: Vec<(&str, User)>) -> Snapshot {
    let mut snapshot = servauth(profiles, users);
    let own = Profile {
        name: ProfileName::stored("EZB.OWN.&RACUID.**".to_owned(), true),
        ..profile("X", Access::Update, &[])
    };
    let global = Raclist::new(vec![profile("EZB.**", Access::Read, &[]), own]);
    let at = CLASSES.iter().position(|descriptor| descriptor.name == "SERVAUTH").expect("a class");
    let class = Class {
        switches: Switches { global: true, ..ON },
        global: Arc::new(global),
        ..Class::clone(&snapshot.classes[at])
    };
    snapshot.classes[at] = Arc::new(class);
    snapshot
}

#[test]
fn row_9_the_global_access_table_grants_and_leaves_no_record() {
    let mut robot = user(&[]);
    robot.attributes.restricted = true;
    let denies =
        Profile { audit: Auditing { success: Some(Access::Read), ..FAILURES }, ..profile("EZB.**", Access::None, &[]) };
    let snapshot = with_global(vec![denies], vec![("ALICE", user(&[])), ("ROBOT", robot)]);
    let Decision::Permitted(authorized) = snapshot.auth(id("ALICE"), "SERVAUTH", "EZB.X", Access::Read) else {
        panic!("it was not permitted")
    };
    assert!(!authorized.is_audited());
    assert_eq!(codes(&snapshot, "ALICE", "EZB.X", Access::Update), DENY, "it only grants what it says");
    assert_eq!(codes(&snapshot, "ROBOT", "EZB.X", Access::Read), DENY, "it is not for RESTRICTED users");
    assert_eq!(codes(&snapshot, "ALICE", "EZB.OWN.ALICE.X", Access::Update), PERMIT);
    assert_eq!(codes(&snapshot, "ALICE", "EZB.OWN.BOB.X", Access::Update), DENY);
}

#[test]
fn row_10_warning_mode_permits_and_says_so() {
    let mut warning = profile("EZB.**", Access::None, &[]);
    warning.warning = true;
    let snapshot = servauth(vec![warning], vec![("ALICE", user(&[]))]);
    let Decision::Permitted(authorized) = snapshot.auth(id("ALICE"), "SERVAUTH", "EZB.X", Access::Read) else {
        panic!("it was not permitted")
    };
    assert!(authorized.is_audited());
    let said = authorized.warning().map(ToString::to_string).unwrap_or_default();
    assert!(said.contains("WARNING: INSUFFICIENT AUTHORITY - TEMPORARY ACCESS ALLOWED"), "{said}");
}

#[test]
fn row_13_what_a_last_asterisk_covers() {
    let user = || vec![("ALICE", user(&[]))];
    for (name, resource, expected) in
        [("A.*", "A", (4, 4, 0)), ("A.**", "A", PERMIT), ("A*", "A.B.C", PERMIT), ("A.*", "A.B.C", PERMIT)]
    {
        let snapshot = servauth(vec![profile(name, Access::Read, &[])], user());
        assert_eq!(codes(&snapshot, "ALICE", resource, Access::Read), expected, "{name} {resource}");
    }
}

#[test]
fn row_15_fastauth_knows_no_global_access_table() {
    let snapshot = with_global(vec![], vec![("ALICE", user(&[]))]);
    let request = Request::new(id("ALICE"), "SERVAUTH", "EZB.X", Access::Read);
    assert_eq!(snapshot.codes(&request), PERMITTED);
    assert_eq!(snapshot.codes(&Request { fast: true, ..request }), NOT_PROTECTED);
}

#[test]
fn row_17_a_contained_user_is_refused_everything() {
    let mut contained = user(&[]);
    contained.attributes.contained = true;
    let snapshot = servauth(vec![profile("EZB.**", Access::Alter, &[])], vec![("ALICE", contained)]);
    assert_eq!(codes(&snapshot, "ALICE", "EZB.X", Access::Read), (8, 8, 0xCC));
}

#[test]
fn row_19_control_is_more_than_update() {
    let access = [("ALICE", Access::Update), ("BOB", Access::Control)];
    let profiles = vec![profile("MVS.VARY.TCPIP.**", Access::None, &access)];
    let snapshot = snapshot("OPERCMDS", ON, profiles, vec![("ALICE", user(&[])), ("BOB", user(&[]))]);
    let asked = |who| Request::new(id(who), "OPERCMDS", "MVS.VARY.TCPIP.DROP", Access::Control);
    assert_eq!(snapshot.codes(&asked("ALICE")), REFUSED);
    assert_eq!(snapshot.codes(&asked("BOB")), PERMITTED);
}

#[test]
fn row_20_a_port_of_entry_without_a_profile_is_refused() {
    let today = NaiveDate::from_ymd_opt(2026, 7, 1).expect("a date");
    let zone = profile("EZB.NETACCESS.SYSA.TCPIP.INTRA", Access::None, &[("ALICE", Access::Read)]);
    let mut revoked = user(&["STAFF"]);
    revoked.revocation.from = today.pred_opt();
    let snapshot = servauth(vec![zone], vec![("ALICE", user(&["STAFF"])), ("BOB", user(&["STAFF"])), ("OLD", revoked)]);
    let intra = "EZB.NETACCESS.SYSA.TCPIP.INTRA";
    for (who, group, entry, expected) in [
        ("ALICE", None, None, (0, 0)),
        ("ALICE", Some("STAFF"), Some(intra), (0, 0)),
        ("ALICE", Some("OPS"), Some(intra), (8, 0x14)),
        ("BOB", None, Some(intra), (8, 0x30)),
        ("ALICE", None, Some("EZB.NETACCESS.SYSA.TCPIP.OTHER"), (8, 0x30)),
        ("OLD", None, None, (8, 0x1C)),
        ("NOBODY", None, None, (8, 4)),
    ] {
        let codes = snapshot.verify(id(who), group.map(id), entry, today);
        assert_eq!((codes.saf, codes.racf), expected, "{who} {group:?} {entry:?}");
    }
}

#[test]
fn a_condition_counts_while_its_class_is_active_and_only_upward() {
    let mut listed = profile("EZB.**", Access::None, &[("BOB", Access::None)]);
    for who in ["ALICE", "BOB"] {
        listed.conditional.push(Conditional {
            entry: Entry { id: id(who), access: Access::Read },
            class: "TERMINAL".into(),
            name: "TERM1".into(),
        });
    }
    let mut snapshot = servauth(vec![listed], vec![("ALICE", user(&[])), ("BOB", user(&[])), ("CAROL", user(&[]))]);
    let asked = |snapshot: &Snapshot, who, terminal| {
        let conditions = [("TERMINAL", terminal)];
        let request = Request::new(id(who), "SERVAUTH", "EZB.X", Access::Read);
        snapshot.codes(&Request { conditions: &conditions, ..request }).saf
    };
    assert_eq!(asked(&snapshot, "ALICE", "TERM1"), 8, "the class TERMINAL is not active");
    let terminal = CLASSES.iter().position(|class| class.name == "TERMINAL").expect("a class");
    snapshot.classes[terminal] = Arc::new(Class { switches: ON, ..Class::default() });
    for (who, terminal, expected) in
        [("ALICE", "TERM1", 0), ("ALICE", "TERM2", 8), ("BOB", "TERM1", 0), ("CAROL", "TERM1", 8)]
    {
        assert_eq!(asked(&snapshot, who, terminal), expected, "{who} {terminal}");
    }
}

#[test]
fn a_started_task_may_everything_and_only_the_trusted_one_is_recorded() {
    let snapshot = snapshot(
        "SERVAUTH",
        Switches { log: LogOptions::Always, ..ON },
        vec![profile("EZB.**", Access::None, &[])],
        vec![("ALICE", user(&[]))],
    );
    let request = Request::new(id("ALICE"), "SERVAUTH", "EZB.X", Access::Alter);
    for (started, audit) in [(Started::Trusted, true), (Started::Privileged, false)] {
        let verdict = snapshot.check(&Request { started, ..request });
        assert_eq!((verdict.codes, verdict.audit), (PERMITTED, audit), "{started:?}");
    }
}

#[test]
fn what_is_recorded_is_what_profile_class_and_user_ask_for() {
    let audited = |log, uaudit, audit: Auditing, intent| {
        let mut alice = user(&[]);
        alice.attributes.uaudit = uaudit;
        let profile = Profile { audit, ..profile("EZB.**", Access::Update, &[]) };
        let snapshot = snapshot("SERVAUTH", Switches { log, ..ON }, vec![profile], vec![("ALICE", alice)]);
        snapshot.check(&Request::new(id("ALICE"), "SERVAUTH", "EZB.X", intent)).audit
    };
    let successes = Auditing { success: Some(Access::Update), failures: None };
    for (log, uaudit, audit, intent, expected) in [
        (LogOptions::Default, false, FAILURES, Access::Read, false),
        (LogOptions::Default, false, FAILURES, Access::Alter, true),
        (LogOptions::Default, false, successes, Access::Read, false),
        (LogOptions::Default, false, successes, Access::Update, true),
        (LogOptions::Default, false, successes, Access::Alter, false),
        (LogOptions::Default, true, successes, Access::Alter, true),
        (LogOptions::Never, false, FAILURES, Access::Alter, false),
        (LogOptions::Always, false, successes, Access::Read, true),
        (LogOptions::Successes, false, FAILURES, Access::Read, true),
        (LogOptions::Failures, false, successes, Access::Alter, true),
    ] {
        assert_eq!(audited(log, uaudit, audit, intent), expected, "{log:?} {uaudit} {audit:?} {intent:?}");
    }
}

#[test]
fn a_refusal_reads_as_racf_s() {
    let mut alice = user(&["STAFF"]);
    alice.name = "A. USER".to_owned();
    let snapshot = servauth(vec![profile("EZB.**", Access::None, &[])], vec![("ALICE", alice)]);
    let Decision::Refused(refusal) = snapshot.auth(id("ALICE"), "servauth", "ezb.pagent.sysa.tcpip.ttls", Access::Read)
    else {
        panic!("it was not refused")
    };
    assert_eq!(
        refusal.to_string(),
        "ICH408I USER(ALICE   ) GROUP(STAFF   ) NAME(A. USER             )\n\
         \x20 EZB.PAGENT.SYSA.TCPIP.TTLS CL(SERVAUTH)\n\
         \x20 INSUFFICIENT ACCESS AUTHORITY\n\
         \x20 FROM EZB.** (G)\n\
         \x20 ACCESS INTENT(READ   )  ACCESS ALLOWED(NONE   )"
    );
}

fn any_access() -> impl Strategy<Value = Access> {
    prop::sample::select(Access::ALL.to_vec())
}

fn any_name() -> impl Strategy<Value = String> {
    let qualifier = prop::sample::select(vec!["A", "B", "AB", "A*", "%", "*", "**", "A%"]);
    let name = prop::collection::vec(qualifier, 1..4);
    name.prop_filter("** once", |name| name.iter().filter(|part| **part == "**").count() < 2)
        .prop_map(|name| name.join("."))
}

fn any_profile() -> impl Strategy<Value = Profile> {
    let listed = prop::sample::select(vec!["ALICE", "BOB", "G1", "G2", "G3", "*"]);
    let list = prop::collection::btree_map(listed, any_access(), 0..4);
    (any_name(), any_access(), list, any::<bool>()).prop_map(|(name, uacc, list, warning)| Profile {
        warning,
        ..profile(&name, uacc, &list.into_iter().collect::<Vec<_>>())
    })
}

fn any_user() -> impl Strategy<Value = User> {
    let groups = prop::collection::btree_set(prop::sample::select(vec!["G1", "G2", "G3"]), 1..4);
    (groups, any::<[bool; 4]>()).prop_map(|(groups, [restricted, contained, operations, revoked])| {
        let mut user = user(&groups.into_iter().collect::<Vec<_>>());
        user.attributes = Attributes { restricted, contained: contained && restricted, operations, ..user.attributes };
        if let Some(last) = user.connects.last_mut() {
            last.revocation.now = revoked;
        }
        user
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn decisions_are_what_the_rules_say_word_by_word(
        class in prop::sample::select(vec!["SERVAUTH", "OPERCMDS", "JESSPOOL"]),
        flags in any::<[bool; 5]>(),
        profiles in prop::collection::vec(any_profile(), 0..8),
        global in prop::collection::btree_map(any_name(), any_access(), 0..3),
        (alice, bob) in (any_user(), any_user()),
        resources in prop::collection::vec("[AB]{1,2}(\\.[AB]{1,2}){0,3}|A\\.BOB\\.B", 8),
        // NONE and EXECUTE are not asked for.
        intent in prop::sample::select(Access::ALL[2..].to_vec()),
    ) {
        let [inactive, no_generics, not_raclisted, is_global, no_grplist] = flags;
        let switches = Switches {
            active: !(inactive && no_generics),
            generic: !no_generics,
            raclist: !(not_raclisted && is_global),
            global: is_global,
            ..ON
        };
        let mut seen = std::collections::HashSet::new();
        let profiles: Vec<Profile> = profiles.into_iter().filter(|profile| seen.insert(profile.name.clone())).collect();
        let world = World {
            switches,
            grplist: !no_grplist,
            profiles: profiles.clone(),
            global: global.clone().into_iter().collect(),
            users: vec![(id("ALICE"), alice.clone()), (id("BOB"), bob.clone())],
        };
        let mut snapshot = snapshot(class, switches, profiles, vec![("ALICE", alice), ("BOB", bob)]);
        snapshot.options.grplist = !no_grplist;
        let at = CLASSES.iter().position(|descriptor| descriptor.name == class).expect("a class");
        let global = Raclist::new(global.iter().map(|(name, level)| profile(name, *level, &[])).collect());
        snapshot.classes[at] = Arc::new(Class { global: Arc::new(global), ..Class::clone(&snapshot.classes[at]) });
        for who in ["ALICE", "BOB", "NOBODY"] {
            for resource in &resources {
                for fast in [false, true] {
                    let request = Request { fast, ..Request::new(id(who), class, resource, intent) };
                    let codes = snapshot.codes(&request);
                    let expected = literal::codes(&world, &request);
                    prop_assert_eq!((codes.saf, codes.racf, codes.reason), expected, "{} {} {:?}", who, resource, request);
                }
            }
        }
    }
}
