//! The commands: what they do, what they print, and whom they refuse.

use saf::Access;

use crate::engine::{Database, id};
use crate::on_both;

const TTLS: &str = "EZB.PAGENT.SYSA.TCPIP.TTLS";

#[tokio::test]
async fn a_permit_counts_after_the_refresh_and_not_before() {
    on_both(async |database: Database| {
        database.ok("ADDUSER ALICE NAME('A. LIDDELL')").await;
        assert_eq!(database.asked("ALICE", "SERVAUTH", TTLS, Access::Read), 8);
        database.ok("RDEFINE SERVAUTH EZB.PAGENT.** UACC(NONE)").await;
        let said = database.ok("PERMIT EZB.PAGENT.** CLASS(SERVAUTH) ID(ALICE) ACCESS(READ)").await;
        assert!(said.contains("ICH06011I RACLISTED PROFILES FOR SERVAUTH WILL NOT REFLECT"), "{said}");
        assert_eq!(database.asked("ALICE", "SERVAUTH", TTLS, Access::Read), 8, "before the refresh");
        database.ok("SETROPTS RACLIST(SERVAUTH) REFRESH").await;
        assert_eq!(database.asked("ALICE", "SERVAUTH", TTLS, Access::Read), 0, "after the refresh");
        database.ok("PERMIT EZB.PAGENT.** CLASS(SERVAUTH) ID(ALICE) DELETE").await;
        database.ok("SETR RACL(SERVAUTH) REFR").await;
        assert_eq!(database.asked("ALICE", "SERVAUTH", TTLS, Access::Read), 8);
    })
    .await;
}

#[tokio::test]
async fn a_refused_or_faulty_command_changes_nothing_and_says_why() {
    on_both(async |database: Database| {
        database.ok("ADDUSER ALICE").await;
        for (issuer, line, expected) in [
            ("ALICE", "ADDUSER BOB", "ICH01011I"),
            ("ALICE", "ALTUSER IBMUSER NOSPECIAL", "ICH21005I"),
            ("ALICE", "DELUSER IBMUSER", "ICH04001I"),
            ("ALICE", "ADDGROUP X", "ICH00008I"),
            ("ALICE", "CONNECT ALICE GROUP(SYS1) AUTHORITY(JOIN)", "ICH02001I"),
            ("ALICE", "REMOVE IBMUSER GROUP(SYS1)", "ICH03001I"),
            ("ALICE", "LISTUSER IBMUSER", "ICH30002I NOT AUTHORIZED TO LIST IBMUSER"),
            ("ALICE", "LISTGRP SYS1", "ICH32004I"),
            ("ALICE", "RDEFINE SERVAUTH EZB.X UACC(NONE)", "ICH10103I NOT AUTHORIZED TO DEFINE EZB.X."),
            ("ALICE", "RALTER SERVAUTH EZB.** UACC(ALTER)", "ICH11103I"),
            ("ALICE", "RDELETE SERVAUTH EZB.**", "ICH12103I"),
            ("ALICE", "PERMIT EZB.** CLASS(SERVAUTH) ID(ALICE) ACCESS(ALTER)", "ICH06003I"),
            ("ALICE", "SETROPTS RACLIST(SERVAUTH) REFRESH", "ICH14001I"),
            ("ALICE", "SETROPTS LIST", "ICH14001I"),
            ("ALICE", "RLIST SERVAUTH EZB.**", "ICH13002I NOT AUTHORIZED TO LIST EZB.**"),
            ("ALICE", "SEARCH CLASS(SERVAUTH)", "ICH31005I NO ENTRIES MEET SEARCH CRITERIA"),
            ("MALLORY", "RLIST SERVAUTH *", "NOT DEFINED TO RACF"),
            ("IBMUSER", "ADDUSER ALICE", "ALREADY DEFINED"),
            ("IBMUSER", "ADDUSER SYS1", "ALREADY DEFINED"),
            ("IBMUSER", "ADDUSER 1BAD", "IKJ56702I INVALID USERID, 1BAD"),
            ("IBMUSER", "ADDUSER BOB DFLTGRP(NOGROUP)", "ICH51003I NAME NOT FOUND IN RACF DATA SET"),
            ("IBMUSER", "ADDUSER BOB OMVS(UID(-1))", "IKJ56702I INVALID UID, -1"),
            ("IBMUSER", "ALTUSER NOUSER NAME(X)", "ICH21002I"),
            ("IBMUSER", "ALTUSER IBMUSER NOSPECIAL", "NO USER WITH SPECIAL WOULD BE LEFT"),
            ("IBMUSER", "ALTUSER IBMUSER REVOKE", "NO USER WITH SPECIAL WOULD BE LEFT"),
            ("IBMUSER", "DELUSER IBMUSER", "NO USER WITH SPECIAL WOULD BE LEFT"),
            ("IBMUSER", "LISTUSER NOUSER", "ICH30001I UNABLE TO LOCATE USER    ENTRY NOUSER"),
            ("IBMUSER", "DELGROUP SYS1", "IT HAS USERS"),
            ("IBMUSER", "CONNECT NOUSER GROUP(SYS1)", "ICH02003I USER(S) NOT CONNECTED."),
            ("IBMUSER", "REMOVE ALICE GROUP(SYS1)", "ICH03005I"),
            ("IBMUSER", "RDEFINE NOCLASS X", "IKJ56702I INVALID CLASS, NOCLASS"),
            ("IBMUSER", "RDEFINE DIGTCERT X", "MAINTAINED BY RACDCERT"),
            ("IBMUSER", "RDEFINE GLOBAL NOCLASS", "HAS THE NAME OF A CLASS"),
            ("IBMUSER", "RDEFINE SERVAUTH EZB.**", "ICH10102I"),
            ("IBMUSER", "RDEFINE SERVAUTH X UACC(ALL)", "IKJ56702I INVALID UNIVERSAL ACCESS, ALL"),
            ("IBMUSER", "RDEFINE SERVAUTH X NOTIFY(NOUSER)", "A DEFINED USER IS EXPECTED"),
            ("IBMUSER", "RDEFINE SERVAUTH X ADDMEM(Y)", "HAVE NO MEMBERS"),
            ("IBMUSER", "RDEFINE SERVAUTH X FROM(NO.SUCH)", "ICH10105I"),
            ("IBMUSER", "RALTER SERVAUTH NO.SUCH", "ICH11102I NO.SUCH NOT DEFINED TO CLASS SERVAUTH."),
            ("IBMUSER", "RDELETE SERVAUTH NO.SUCH", "ICH12102I NO.SUCH NOT DEFINED TO CLASS SERVAUTH."),
            ("IBMUSER", "RLIST OPERCMDS NO.SUCH", "ICH13003I NO.SUCH NOT FOUND"),
            ("IBMUSER", "PERMIT NO.SUCH CLASS(SERVAUTH) ID(ALICE)", "ICH06004I NO.SUCH NOT DEFINED TO RACF"),
            ("IBMUSER", "PERMIT EZB.** CLASS(SERVAUTH) ID(NOUSER)", "ICH06007I NOUSER NOT DEFINED TO RACF"),
            ("IBMUSER", "PERMIT EZB.** CLASS(SERVAUTH) ID(ALICE) AXESS(READ)", "IKJ56712I INVALID KEYWORD, AXESS"),
            ("IBMUSER", "PERMIT EZB.** CLASS(SERVAUTH) ID(ALICE) WHEN(TERMINAL)", "IKJ56701I MISSING TERMINAL NAME+"),
            ("IBMUSER", "PERMIT &X CLASS(RACFVARS) ID(ALICE)", "HAVE NO ACCESS LIST"),
            ("IBMUSER", "SETROPTS RACLIST(ELIXTEST) REFRESH", "IKJ56702I INVALID CLASS, ELIXTEST"),
            ("IBMUSER", "SETROPTS RACLIST(SURROGAT) REFRESH", "ICH14016I"),
            ("IBMUSER", "SETROPTS RACLIST(GLOBAL)", "CANNOT BE RACLISTED"),
            ("IBMUSER", "SETROPTS LOGOPTIONS(ALWAYS(SERVAUTH))", "LOGOPTIONS IS FOR AUDITOR"),
            ("IBMUSER", "SETROPTS", "IKJ56701I MISSING SETROPTS OPERAND+"),
            ("IBMUSER", "SEARCH", "IKJ56701I MISSING CLASS NAME+"),
            ("IBMUSER", "DELETE EVERYTHING", "IKJ56500I COMMAND DELETE NOT FOUND"),
        ] {
            database.says(issuer, line, 8, expected).await;
        }
        let delete = "PERMIT EZB.** CLASS(SERVAUTH) ID(ALICE) DELETE";
        database.says("IBMUSER", delete, 4, "ICH06002I ALICE    NOT AUTHORIZED, DELETE IGNORED").await;
        let list = database.ok("RLIST SERVAUTH EZB.** AUTHUSER").await;
        assert!(list.contains("IBMUSER   ALTER") && !list.contains("ALICE"), "{list}");
    })
    .await;
}

#[tokio::test]
async fn a_user_s_whole_life_shows_in_listuser() {
    on_both(async |database: Database| {
        database.ok("ADDGROUP NETOPS SUPGROUP(SYS1) DATA('NETWORK OPERATORS') OMVS(GID(70))").await;
        database.ok("ADDUSER ALICE NAME('A. LIDDELL') DFLTGRP(NETOPS) OMVS(UID(4711) HOME('/home/alice'))").await;
        database.ok("ALTUSER ALICE CLAUTH(SERVAUTH USER) OPERATIONS RESTRICTED DATA('ON LOAN')").await;
        database.ok("CONNECT ALICE GROUP(SYS1) AUTHORITY(CONNECT) SPECIAL").await;
        let text = database.ok("LISTUSER ALICE OMVS").await;
        for expected in [
            "USER=ALICE     NAME=A. LIDDELL           OWNER=IBMUSER   CREATED=",
            " DEFAULT-GROUP=NETOPS   PASSDATE=N/A",
            " ATTRIBUTES=OPERATIONS RESTRICTED PROTECTED",
            " REVOKE DATE=NONE   RESUME DATE=NONE",
            " CLASS AUTHORIZATIONS=SERVAUTH USER",
            " INSTALLATION-DATA=ON LOAN",
            "  GROUP=NETOPS    AUTH=USE",
            "  GROUP=SYS1      AUTH=CONNECT  CONNECT-OWNER=IBMUSER   CONNECT-DATE=",
            "    CONNECT ATTRIBUTES=SPECIAL",
            "UID= 0000004711",
            "HOME= /home/alice",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        let group = database.ok("LISTGRP NETOPS OMVS").await;
        for expected in [
            "INFORMATION FOR GROUP NETOPS",
            "    SUPERIOR GROUP=SYS1         OWNER=IBMUSER     CREATED=",
            "    INSTALLATION DATA=NETWORK OPERATORS",
            "    NO SUBGROUPS",
            "      ALICE         USE",
            "GID= 0000000070",
        ] {
            assert!(group.contains(expected), "{expected}\n{group}");
        }
        database.ok("ALTUSER ALICE REVOKE").await;
        let today = chrono::Utc::now().date_naive();
        assert_eq!(database.saf.snapshot().verify(id("ALICE"), None, None, today).racf, 0x1C);
        database.says("ALICE", "LISTUSER", 8, "REVOKED").await;
        database.ok("ALTUSER ALICE RESUME NOCLAUTH(USER) NOOPERATIONS").await;
        assert_eq!(database.saf.snapshot().verify(id("ALICE"), None, None, today).racf, 0);
        database.ok("ALTUSER ALICE REVOKE(12/31/2099)").await;
        let text = database.ok("LU ALICE").await;
        assert!(text.contains("REVOKE DATE=DECEMBER 31, 2099") && text.contains("AUTHORIZATIONS=SERVAUTH\n"), "{text}");
        database.ok("REMOVE ALICE GROUP(SYS1)").await;
        database.says("IBMUSER", "DELGROUP NETOPS", 8, "IT HAS USERS").await;
        database.ok("DELUSER ALICE").await;
        database.ok("DELGROUP NETOPS").await;
    })
    .await;
}

#[tokio::test]
async fn authority_is_the_owner_s_the_group_s_and_the_class_s() {
    on_both(async |database: Database| {
        for line in [
            "ADDGROUP DEPT SUPGROUP(SYS1) OWNER(SYS1)",
            "ADDGROUP TEAM SUPGROUP(DEPT) OWNER(DEPT)",
            "ADDUSER (BOSS ALICE) DFLTGRP(DEPT) OWNER(TEAM)",
            "ADDUSER OWNER DFLTGRP(DEPT)",
            "CONNECT BOSS GROUP(DEPT) SPECIAL",
            "ADDUSER DEFINER DFLTGRP(DEPT) CLAUTH(SERVAUTH)",
            "RDEFINE SERVAUTH EZB.TEAM.** OWNER(TEAM)",
            "RDEFINE SERVAUTH EZB.OWNED OWNER(OWNER)",
            "RDEFINE SERVAUTH EZB.ALTERED",
            "PERMIT EZB.ALTERED CLASS(SERVAUTH) ID(ALICE) ACCESS(ALTER)",
        ] {
            database.ok(line).await;
        }
        // Group-SPECIAL reaches what the group owns, through groups it owns.
        database.says("BOSS", "PERMIT EZB.TEAM.** CLASS(SERVAUTH) ID(ALICE)", 0, "ICH06011I").await;
        database.says("BOSS", "ALTUSER ALICE NAME('A')", 0, "").await;
        database.says("BOSS", "ALTUSER ALICE SPECIAL", 4, "ICH21005I NOT AUTHORIZED TO SPECIFY SPECIAL").await;
        database.says("BOSS", "PERMIT EZB.OWNED CLASS(SERVAUTH) ID(ALICE)", 8, "ICH06003I").await;
        database.says("OWNER", "RALTER SERVAUTH EZB.OWNED WARNING", 0, "ICH11009I").await;
        database.says("ALICE", "PERMIT EZB.ALTERED CLASS(SERVAUTH) ID(OWNER)", 0, "ICH06011I").await;
        database.says("DEFINER", "RDEFINE SERVAUTH EZB.NEW", 0, "ICH10006I").await;
        database.says("DEFINER", "RDEFINE OPERCMDS MVS.NEW", 8, "ICH10103I").await;
        database.says("ALICE", "ALTUSER ALICE NAME('MYSELF') DATA('X')", 4, "OPERAND IGNORED").await;
        // ALTER on a discrete profile is for administrators once FACILITY says so.
        database.ok("RDEFINE FACILITY IRR.ALTER.SERVAUTH UACC(NONE)").await;
        database.ok("SETROPTS RACLIST(FACILITY) REFRESH").await;
        database.says("ALICE", "PERMIT EZB.ALTERED CLASS(SERVAUTH) ID(BOSS)", 8, "ICH06003I").await;
        database.ok("CONNECT OWNER GROUP(TEAM) AUTHORITY(JOIN)").await;
        database.says("OWNER", "CONNECT ALICE GROUP(TEAM)", 0, "").await;
        database.says("OWNER", "ADDGROUP BELOW SUPGROUP(TEAM)", 0, "").await;
        database.says("OWNER", "CONNECT ALICE GROUP(DEPT)", 8, "ICH02001I").await;
    })
    .await;
}

#[tokio::test]
async fn profiles_are_listed_copied_and_searched() {
    on_both(async |database: Database| {
        database.ok("ADDUSER (ALICE BOB) AUDITOR").await;
        database
            .ok("RDEFINE SERVAUTH EZB.NETSTAT.** UACC(READ) LEVEL(7) DATA('NETSTAT') APPLDATA('A') NOTIFY(BOB) \
                 AUDIT(SUCCESS(UPDATE) FAILURES(READ))")
            .await;
        database.ok("PERMIT EZB.NETSTAT.** CLASS(SERVAUTH) ID(ALICE) ACCESS(UPDATE)").await;
        database.ok("PERMIT EZB.NETSTAT.** CLASS(SERVAUTH) ID(BOB) WHEN(TERMINAL(T1))").await;
        database.ok("SETROPTS RACLIST(SERVAUTH) REFRESH").await;
        database.says("ALICE", "RALTER SERVAUTH EZB.NETSTAT.** GLOBALAUDIT(ALL(ALTER))", 0, "ICH11009I").await;
        let text = database.tso("ALICE", "RLIST SERVAUTH EZB.NETSTAT.SYSA.TCPIP.CONN ALL").await.1;
        let expected = "\
CLASS      NAME
-----      ----
SERVAUTH   EZB.NETSTAT.** (G)

LEVEL  OWNER      UNIVERSAL ACCESS  YOUR ACCESS  WARNING
-----  --------   ----------------  -----------  -------
 07    IBMUSER         READ             UPDATE    NO

INSTALLATION DATA
-----------------
NETSTAT

APPLICATION DATA
----------------
A

AUDITING
--------
SUCCESS(UPDATE),FAILURES(READ)

GLOBALAUDIT
-----------
ALL(ALTER)

NOTIFY
------
BOB

CREATION DATE";
        assert!(text.starts_with(expected), "{text}");
        for expected in ["ALICE     UPDATE        000000", "BOB      READ        000000    TERMINAL  T1"] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        database.ok("RDEFINE SERVAUTH EZB.COPY FROM(EZB.NETSTAT.**) UACC(NONE)").await;
        let text = database.ok("RLIST SERVAUTH EZB.COPY AUTHUSER").await;
        assert!(text.contains(" 07    IBMUSER         NONE"), "{text}");
        assert!(text.contains("ALICE     UPDATE") && text.contains("TERMINAL  T1"), "{text}");
        database.ok("PERMIT EZB.COPY CLASS(SERVAUTH) RESET(WHEN)").await;
        let text = database.ok("RLIST SERVAUTH EZB.COPY AUTHUSER").await;
        assert!(text.contains("NO ENTRIES IN CONDITIONAL ACCESS LIST") && text.contains("ALICE     UPDATE"), "{text}");
        database.ok("PERMIT EZB.COPY CLASS(SERVAUTH) RESET").await;
        assert!(database.ok("RLIST SERVAUTH EZB.COPY AUTHUSER").await.contains("NO USERS IN ACCESS LIST"));
    })
    .await;
}

#[tokio::test]
async fn search_finds_by_mask_filter_user_and_kind() {
    on_both(async |database: Database| {
        database.ok("ADDUSER ALICE").await;
        database.ok("RDEFINE SERVAUTH (EZB.A.X EZB.B.X EZB.B.**)").await;
        database.ok("PERMIT EZB.B.X CLASS(SERVAUTH) ID(ALICE)").await;
        for (line, expected) in [
            ("SEARCH CLASS(SERVAUTH) MASK(EZB.B)", "EZB.B.** (G)\nEZB.B.X"),
            ("SEARCH CLASS(SERVAUTH) MASK(EZB,X)", "EZB.A.X\nEZB.B.X"),
            ("SEARCH CLASS(SERVAUTH) FILTER(EZB.*.X)", "EZB.A.X\nEZB.B.X"),
            ("SEARCH CLASS(SERVAUTH) FILTER(EZB.**) NOGENERIC", "EZB.A.X\nEZB.B.X"),
            ("SEARCH CLASS(SERVAUTH) USER(ALICE)", "EZB.B.X"),
            (
                "SR CLASS(SERVAUTH) MASK(EZB.A) CLIST('RDELETE SERVAUTH ' ' NOGENERIC')",
                "RDELETE SERVAUTH EZB.A.X NOGENERIC",
            ),
            ("SEARCH CLASS(USER)", "ALICE\nIBMUSER"),
            ("SEARCH CLASS(GROUP)", "SYS1"),
        ] {
            assert_eq!(database.ok(line).await, expected, "{line}");
        }
        assert_eq!(database.tso("ALICE", "SEARCH CLASS(SERVAUTH)").await.1, "EZB.B.X");
        database.says("IBMUSER", "SEARCH CLASS(SERVAUTH) MASK(NONE)", 8, "ICH31005I").await;
    })
    .await;
}

#[tokio::test]
async fn setropts_lists_what_is_in_effect() {
    on_both(async |database: Database| {
        database.ok("ADDUSER AUDITOR AUDITOR").await;
        database.says("AUDITOR", "SETROPTS LOGOPTIONS(FAILURES(SERVAUTH OPERCMDS)) NOCMDVIOL", 0, "ICH14063I").await;
        database.ok("SETROPTS CLASSACT(SURROGAT) RACLIST(SURROGAT) NOADDCREATOR WHEN(PROGRAM)").await;
        database.says("IBMUSER", "SETROPTS CLASSACT(STARTED)", 4, "ICH14040I").await;
        let text = database.tso("AUDITOR", "SETROPTS LIST").await.1;
        for expected in [
            "ATTRIBUTES = NOINITSTATS WHEN(PROGRAM) SAUDIT NOCMDVIOL",
            "ACTIVE CLASSES = DIGTCERT FACILITY OPERCMDS RDATALIB SERVAUTH STARTED SURROGAT",
            "SETR RACLIST CLASSES = FACILITY OPERCMDS RDATALIB SERVAUTH SURROGAT",
            "LOGOPTIONS \"FAILURES\" CLASSES = OPERCMDS SERVAUTH",
            "LIST OF GROUPS ACCESS CHECKING IS ACTIVE.",
            "ADDCREATOR IS NOT IN EFFECT",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        database.ok("RDEFINE SERVAUTH EZB.MINE").await;
        assert!(database.ok("RLIST SERVAUTH EZB.MINE AUTHUSER").await.contains("NO USERS IN ACCESS LIST"));
    })
    .await;
}

#[tokio::test]
async fn variables_count_once_they_are_refreshed() {
    on_both(async |database: Database| {
        for line in [
            "ADDUSER ALICE",
            "RDEFINE RACFVARS &STACK ADDMEM(TCPIP TCPIP2)",
            "SETROPTS CLASSACT(RACFVARS) RACLIST(RACFVARS)",
            "RDEFINE SERVAUTH EZB.NETSTAT.SYSA.&STACK.* UACC(READ)",
            "SETROPTS RACLIST(SERVAUTH) REFRESH",
        ] {
            database.ok(line).await;
        }
        let asked =
            |stack: &str| database.asked("ALICE", "SERVAUTH", &format!("EZB.NETSTAT.SYSA.{stack}.CONN"), Access::Read);
        assert_eq!((asked("TCPIP"), asked("OTHER")), (0, 8));
        database.ok("RALTER RACFVARS &STACK ADDMEM(OTHER) DELMEM(TCPIP)").await;
        assert_eq!((asked("TCPIP"), asked("OTHER")), (0, 8), "before the refresh");
        database.ok("SETROPTS RACLIST(RACFVARS) REFRESH").await;
        assert_eq!((asked("TCPIP"), asked("OTHER")), (8, 0));
        database.ok("SETROPTS NOCLASSACT(RACFVARS)").await;
        assert_eq!((asked("TCPIP"), asked("OTHER")), (8, 8), "the class is not active");
    })
    .await;
}

#[tokio::test]
async fn a_dry_run_says_who_gains_and_who_loses_and_changes_nothing() {
    on_both(async |database: Database| {
        database.ok("ADDGROUP OPS").await;
        database.ok("ADDUSER (ALICE BOB)").await;
        database.ok("RDEFINE SERVAUTH EZB.X UACC(READ)").await;
        database.ok("PERMIT EZB.X CLASS(SERVAUTH) ID(OPS) ACCESS(UPDATE)").await;
        let effects = async |line: &str| {
            let (result, effects) = database.saf.dry_run(id("IBMUSER"), line).await.expect("an answer");
            assert_eq!(result.code, 0, "{line}: {result:?}");
            let show = |effect: &saf::Effect| {
                format!("{} {} {}->{}", effect.userid, effect.profile, effect.before, effect.after)
            };
            effects.iter().map(show).collect::<Vec<_>>()
        };
        assert_eq!(effects("PERMIT EZB.X CLASS(SERVAUTH) ID(BOB) ACCESS(NONE)").await, ["BOB EZB.X READ->NONE"]);
        assert_eq!(effects("CONNECT ALICE GROUP(OPS)").await, ["ALICE EZB.X READ->UPDATE"]);
        assert_eq!(
            effects("RALTER SERVAUTH EZB.X WARNING").await,
            ["ALICE EZB.X READ->ALTER", "BOB EZB.X READ->ALTER"]
        );
        assert_eq!(effects("RALTER SERVAUTH EZB.X DATA('NO DIFFERENCE')").await, Vec::<String>::new());
        let off = effects("SETROPTS NOCLASSACT(SERVAUTH)").await;
        assert!(off.contains(&"BOB EZB.X READ->NONE".to_owned()), "{off:?}");
        assert_eq!(
            effects("RDELETE SERVAUTH EZB.X").await,
            ["ALICE EZB.X READ->NONE", "BOB EZB.X READ->NONE"],
            "EZB.** covers it then"
        );
        assert_eq!(database.saf.snapshot().who_can("SERVAUTH", "EZB.X", Access::Update).len(), 1);
        assert!(database.ok("RLIST SERVAUTH EZB.X AUTHUSER").await.contains("OPS       UPDATE"));
    })
    .await;
}

#[tokio::test]
async fn decisions_are_explained_and_asked_the_other_way_round() {
    on_both(async |database: Database| {
        for line in [
            "ADDGROUP OPS",
            "ADDUSER (ALICE BOB)",
            "CONNECT ALICE GROUP(OPS)",
            "RDEFINE SERVAUTH EZB.NETSTAT.** UACC(NONE)",
            "PERMIT EZB.NETSTAT.** CLASS(SERVAUTH) ID(OPS) ACCESS(READ)",
            "SETROPTS RACLIST(SERVAUTH) REFRESH",
        ] {
            database.ok(line).await;
        }
        let snapshot = database.saf.snapshot();
        let resource = "EZB.NETSTAT.SYSA.TCPIP.CONN";
        let who = snapshot.who_can("SERVAUTH", resource, Access::Read);
        let shown: Vec<String> = who.iter().map(|grant| format!("{} {}", grant.userid, grant.by)).collect();
        assert_eq!(shown, ["ALICE group OPS", "IBMUSER user entry"]);
        let what = snapshot.what_can(id("ALICE"));
        let shown: Vec<String> =
            what.iter().map(|held| format!("{} {} {}", held.class, held.profile, held.access)).collect();
        assert_eq!(shown, ["SERVAUTH EZB.NETSTAT.** (G) READ"]);
        let why = snapshot.explain(&saf::Request::new(id("BOB"), "SERVAUTH", resource, Access::Read));
        assert_eq!((why.answer, why.codes.as_str()), ("refused", "8/8/0"));
        assert_eq!(why.passed_over, ["EZB.** (G)"]);
        // What it advises has the effect.
        for line in &why.change {
            database.ok(line).await;
        }
        assert_eq!(database.asked("BOB", "SERVAUTH", resource, Access::Read), 0, "{:?}", why.change);
    })
    .await;
}

#[tokio::test]
async fn lint_finds_what_is_planted_and_nothing_in_a_new_database() {
    on_both(async |database: Database| {
        assert_eq!(database.saf.snapshot().lint(), []);
        for line in [
            "ADDUSER GONE",
            "RDEFINE SERVAUTH EZB.OPEN UACC(UPDATE)",
            "RDEFINE SERVAUTH EZB.WARN WARNING NOTIFY(GONE)",
            "RDEFINE SERVAUTH EZB.STAR",
            "PERMIT EZB.STAR CLASS(SERVAUTH) ID(*) ACCESS(CONTROL)",
            "PERMIT EZB.STAR CLASS(SERVAUTH) ID(GONE)",
            "RDELETE SERVAUTH EZA.**",
            "DELUSER GONE",
            "RDEFINE SURROGAT X.SUBMIT",
            "SETROPTS NOGRPLIST",
            "SETROPTS RACLIST(SERVAUTH) REFRESH",
        ] {
            database.ok(line).await;
        }
        let rules: Vec<&str> = database.saf.snapshot().lint().iter().map(|finding| finding.rule).collect();
        for rule in ["UACC", "WARNING", "ID-STAR", "UNDEFINED", "BACKSTOP", "CLASS", "GRPLIST"] {
            assert!(rules.contains(&rule), "{rule}: {rules:?}");
        }
        assert_eq!(rules.iter().filter(|rule| **rule == "UNDEFINED").count(), 2, "{rules:?}");
    })
    .await;
}

/// Ways to more authority than one has.
#[tokio::test]
async fn no_command_gives_what_its_issuer_does_not_have() {
    on_both(async |database: Database| {
        for line in [
            "ADDGROUP P SUPGROUP(SYS1)",
            "ADDUSER (M BOB ALICE) DFLTGRP(P)",
            "ALTUSER ALICE OWNER(M)",
            "ADDGROUP VAULT SUPGROUP(P) OWNER(BOB)",
            "CONNECT M GROUP(P) AUTHORITY(JOIN) SPECIAL",
            "ADDUSER ADMIN SPECIAL OWNER(M)",
            "ALTUSER M CLAUTH(USER GLOBAL STARTED)",
            "CONNECT ALICE GROUP(SYS1)",
            "ADDUSER AUDITOR AUDITOR",
        ] {
            database.ok(line).await;
        }
        for (issuer, line, code, expected) in [
            // Over a group that somebody else owns, from above.
            ("M", "ALTGROUP VAULT OWNER(M)", 8, "ICH09002I"),
            ("M", "ALTGROUP VAULT OWNER(P)", 8, "ICH09002I"),
            ("M", "CONNECT M GROUP(VAULT) AUTHORITY(JOIN)", 8, "ICH02001I"),
            // Through a user one owns.
            ("M", "ALTUSER ALICE GROUP(SYS1) AUTHORITY(JOIN)", 4, "NOT AUTHORIZED TO SPECIFY AUTHORITY"),
            // By becoming somebody else.
            ("M", "ADDUSER PWN DFLTGRP(P) OMVS(UID(0))", 4, "ICH21005I NOT AUTHORIZED TO SPECIFY OMVS"),
            ("M", "ALTUSER ALICE OMVS(UID(0))", 4, "ICH21005I NOT AUTHORIZED TO SPECIFY OMVS"),
            (
                "M",
                "RDEFINE STARTED X.X STDATA(USER(IBMUSER) TRUSTED(YES))",
                4,
                "ICH21005I NOT AUTHORIZED TO SPECIFY STDATA",
            ),
            // By shutting administrators out.
            ("M", "ALTUSER ADMIN REVOKE", 8, "ICH21005I"),
            ("M", "ALTUSER ALICE CONTAIN", 4, "ICH21026I"),
            ("M", "DELUSER ADMIN", 8, "ICH04001I"),
            // By the table that nobody audits.
            ("M", "RDEFINE GLOBAL OPERCMDS ADDMEM(MVS.**/ALTER)", 8, "ICH11103I"),
            ("IBMUSER", "PERMIT OPERCMDS CLASS(GLOBAL) ID(M)", 8, "HAVE NO ACCESS LIST"),
            // By asking about others, or for ever.
            ("M", "SEARCH CLASS(SERVAUTH) USER(IBMUSER)", 8, "ICH31018I"),
            ("M", "SEARCH CLASS(SERVAUTH) FILTER(A.**.**.**.X)", 8, "IKJ56702I INVALID FILTER"),
            // Who audits says what is recorded, and nothing else.
            ("AUDITOR", "ALTUSER BOB UAUDIT", 0, ""),
            ("AUDITOR", "ALTUSER BOB UAUDIT NAME('X')", 8, "ICH21005I"),
            (
                "AUDITOR",
                "RALTER SERVAUTH EZB.** UACC(READ) GLOBALAUDIT(ALL(READ))",
                4,
                "ICH11112I NOT AUTHORIZED TO SPECIFY UACC",
            ),
            ("IBMUSER", "ADDUSER BAD NAME('A\u{7}')", 8, "CONTROL CHARACTERS"),
        ] {
            database.says(issuer, line, code, expected).await;
        }
        let (_, text) = database.tso("IBMUSER", "LISTUSER ALICE OMVS").await;
        assert!(text.contains("GROUP=SYS1      AUTH=USE") && text.contains("NO OMVS INFORMATION"), "{text}");
        database.ok("RDEFINE SERVAUTH EZB.SHOWN UACC(READ)").await;
        let (code, text) = database.tso("BOB", "RLIST SERVAUTH EZB.SHOWN AUTHUSER").await;
        assert!(
            code == 4 && text.contains("EZB.SHOWN") && text.contains("ICH13004I") && !text.contains("ALTER "),
            "{text}"
        );
        // Moved to another group, the group is no longer its old superior's.
        for line in ["ADDGROUP Q SUPGROUP(SYS1)", "ADDGROUP MOVED SUPGROUP(P) OWNER(P)", "ALTGROUP MOVED SUPGROUP(Q)"] {
            database.ok(line).await;
        }
        assert!(database.ok("LISTGRP MOVED").await.contains("SUPERIOR GROUP=Q            OWNER=Q"));
        // A refresh does not make the rest of the command silent.
        database.ok("SETROPTS NOCLASSACT(FACILITY) RACLIST(SERVAUTH) REFRESH").await;
        assert!(
            database
                .ok("SETROPTS CLASSACT(SURROGAT) LIST")
                .await
                .contains("ACTIVE CLASSES = DIGTCERT OPERCMDS RDATALIB SERVAUTH SURROGAT")
        );
    })
    .await;
}

#[tokio::test]
async fn a_connection_counts_from_its_day_and_to_it() {
    on_both(async |database: Database| {
        for line in [
            "ADDGROUP OPS",
            "ADDUSER ALICE",
            "CONNECT ALICE GROUP(OPS) REVOKE(2090-01-01)",
            "RDEFINE SERVAUTH EZB.X",
            "PERMIT EZB.X CLASS(SERVAUTH) ID(OPS)",
            "SETROPTS RACLIST(SERVAUTH) REFRESH",
        ] {
            database.ok(line).await;
        }
        let on = |day: &str| {
            let day = Some(day.parse().expect("a day"));
            database.codes(&saf::Request { day, ..saf::Request::new(id("ALICE"), "SERVAUTH", "EZB.X", Access::Read) }).0
        };
        assert_eq!((on("2089-12-31"), on("2090-01-01")), (0, 8));
        database.says("IBMUSER", "ALTUSER ALICE REVOKE(2001-01-01)", 8, "A DATE OF THE FUTURE").await;
    })
    .await;
}
