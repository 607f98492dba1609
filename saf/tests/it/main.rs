//! Commands against a real SQLite database, and the decisions that follow.

use saf::{Access, Decision, Saf, SafError, Userid};
use tempfile::TempDir;

fn id(name: &str) -> Userid {
    Userid::parse(name).expect(name)
}

struct Database {
    _folder: TempDir,
    url: String,
    saf: Saf,
}

async fn database() -> Database {
    let folder = TempDir::new().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("saf.db").display());
    let done = Saf::initialise(&url, &id("IBMUSER")).await.expect("a new database");
    assert!(!done.is_empty());
    let saf = Saf::open(&url).await.expect("the database");
    Database { _folder: folder, url, saf }
}

impl Database {
    async fn tso(&self, issuer: &str, line: &str) -> (u8, String) {
        let result = self.saf.command(&id(issuer), line).await.expect("an answer");
        (result.code, result.lines.join("\n"))
    }

    async fn ok(&self, line: &str) {
        let (code, text) = self.tso("IBMUSER", line).await;
        assert_eq!(code, 0, "{line}: {text}");
    }

    fn asked(&self, who: &str, class: &str, resource: &str, intent: Access) -> u8 {
        match self.saf.snapshot().auth(id(who), class, resource, intent) {
            Decision::Permitted(_) => 0,
            Decision::NoDecision(_) => 4,
            Decision::Refused(_) => 8,
        }
    }
}

const TTLS: &str = "EZB.PAGENT.SYSA.TCPIP.TTLS";

#[tokio::test]
async fn a_permit_counts_after_the_refresh_and_not_before() {
    let database = database().await;
    database.ok("ADDUSER ALICE NAME('A. LIDDELL')").await;
    assert_eq!(database.asked("ALICE", "SERVAUTH", TTLS, Access::Read), 8);
    database.ok("RDEFINE SERVAUTH EZB.PAGENT.** UACC(NONE)").await;
    let (code, text) = database.tso("IBMUSER", "PERMIT EZB.PAGENT.** CLASS(SERVAUTH) ID(ALICE) ACCESS(READ)").await;
    assert_eq!(code, 0);
    assert!(text.contains("ICH06011I RACLISTED PROFILES FOR SERVAUTH WILL NOT REFLECT"), "{text}");
    assert_eq!(database.asked("ALICE", "SERVAUTH", TTLS, Access::Read), 8, "before the refresh");
    database.ok("SETROPTS RACLIST(SERVAUTH) REFRESH").await;
    assert_eq!(database.asked("ALICE", "SERVAUTH", TTLS, Access::Read), 0, "after the refresh");
    database.ok("PERMIT EZB.PAGENT.** CLASS(SERVAUTH) ID(ALICE) DELETE").await;
    assert_eq!(database.asked("ALICE", "SERVAUTH", TTLS, Access::Read), 0, "a stale grant lives until the refresh");
    database.ok("SETR RACL(SERVAUTH) REFR").await;
    assert_eq!(database.asked("ALICE", "SERVAUTH", TTLS, Access::Read), 8);
}

#[tokio::test]
async fn groups_give_access_through_connects() {
    let database = database().await;
    database.ok("ADDGROUP NETOPS SUPGROUP(SYS1)").await;
    database.ok("ADDUSER (ALICE BOB)").await;
    database.ok("CONNECT ALICE GROUP(NETOPS)").await;
    database.ok("RDEFINE OPERCMDS MVS.VARY.TCPIP.DROP UACC(NONE)").await;
    database.ok("PERMIT MVS.VARY.TCPIP.DROP CLASS(OPERCMDS) ID(NETOPS) ACCESS(CONTROL)").await;
    database.ok("SETROPTS RACLIST(OPERCMDS) REFRESH").await;
    assert_eq!(database.asked("ALICE", "OPERCMDS", "MVS.VARY.TCPIP.DROP", Access::Control), 0);
    assert_eq!(database.asked("BOB", "OPERCMDS", "MVS.VARY.TCPIP.DROP", Access::Control), 8);
}

#[tokio::test]
async fn a_refused_or_faulty_command_changes_nothing_and_says_why() {
    let database = database().await;
    database.ok("ADDUSER ALICE").await;
    for (issuer, line, expected) in [
        ("ALICE", "ADDUSER BOB", "ICH01011I"),
        ("ALICE", "RDEFINE SERVAUTH EZB.X UACC(NONE)", "ICH10103I NOT AUTHORIZED TO DEFINE EZB.X."),
        ("ALICE", "PERMIT EZB.** CLASS(SERVAUTH) ID(ALICE) ACCESS(ALTER)", "ICH06003I"),
        ("ALICE", "SETROPTS RACLIST(SERVAUTH) REFRESH", "ICH14001I"),
        ("ALICE", "RLIST SERVAUTH EZB.**", "ICH13002I NOT AUTHORIZED TO LIST EZB.**"),
        ("MALLORY", "RLIST SERVAUTH *", "NOT DEFINED TO RACF"),
        ("IBMUSER", "ADDUSER ALICE", "ALREADY DEFINED"),
        ("IBMUSER", "ADDUSER 1BAD", "IKJ56702I INVALID USERID, 1BAD"),
        ("IBMUSER", "ADDUSER BOB DFLTGRP(NOGROUP)", "ICH51003I NAME NOT FOUND IN RACF DATA SET"),
        ("IBMUSER", "CONNECT NOUSER GROUP(SYS1)", "ICH02003I USER(S) NOT CONNECTED."),
        ("IBMUSER", "RDEFINE NOCLASS X", "IKJ56702I INVALID CLASS, NOCLASS"),
        ("IBMUSER", "RDEFINE SERVAUTH EZB.**", "ICH10102I"),
        ("IBMUSER", "RDEFINE SERVAUTH X UACC(ALL)", "IKJ56702I INVALID UNIVERSAL ACCESS, ALL"),
        ("IBMUSER", "PERMIT NO.SUCH CLASS(SERVAUTH) ID(ALICE)", "ICH06004I NO.SUCH NOT DEFINED TO RACF"),
        ("IBMUSER", "PERMIT EZB.** CLASS(SERVAUTH) ID(NOUSER)", "ICH06007I NOUSER NOT DEFINED TO RACF"),
        (
            "IBMUSER",
            "PERMIT EZB.** CLASS(SERVAUTH) ID(ALICE) DELETE",
            "ICH06002I ALICE    NOT AUTHORIZED, DELETE IGNORED",
        ),
        ("IBMUSER", "PERMIT EZB.** CLASS(SERVAUTH) ID(ALICE) AXESS(READ)", "IKJ56712I INVALID KEYWORD, AXESS"),
        ("IBMUSER", "SETROPTS RACLIST(ELIXTEST) REFRESH", "IKJ56702I INVALID CLASS, ELIXTEST"),
        ("IBMUSER", "DELETE EVERYTHING", "IKJ56500I COMMAND DELETE NOT FOUND"),
    ] {
        let (code, text) = database.tso(issuer, line).await;
        assert_eq!(code, 8, "{line}: {text}");
        assert!(text.contains(expected), "{line}: {text}");
    }
    let (_, list) = database.tso("IBMUSER", "RLIST SERVAUTH EZB.** AUTHUSER").await;
    assert!(list.contains("IBMUSER   ALTER") && !list.contains("ALICE"), "{list}");
}

#[tokio::test]
async fn rlist_prints_racf_s_report_and_falls_back_to_the_best_generic() {
    let database = database().await;
    let (code, text) = database.tso("IBMUSER", "RLIST SERVAUTH EZB.NETSTAT.SYSA.TCPIP.CONN ALL").await;
    assert_eq!(code, 0);
    let expected = "\
CLASS      NAME
-----      ----
SERVAUTH   EZB.** (G)

LEVEL  OWNER      UNIVERSAL ACCESS  YOUR ACCESS  WARNING
-----  --------   ----------------  -----------  -------
 00    IBMUSER          NONE              ALTER    NO
";
    assert!(text.starts_with(expected), "{text}");
}

#[tokio::test]
async fn opercmds_decides_nothing_before_it_is_raclisted() {
    let database = database().await;
    assert_eq!(database.asked("IBMUSER", "OPERCMDS", "MVS.VARY.TCPIP.DROP", Access::Control), 0);
    database.ok("SETROPTS NORACLIST(OPERCMDS)").await;
    assert_eq!(database.asked("IBMUSER", "OPERCMDS", "MVS.VARY.TCPIP.DROP", Access::Control), 4);
}

#[tokio::test]
async fn a_second_initialisation_changes_nothing_and_a_reopened_database_decides_the_same() {
    let database = database().await;
    assert_eq!(Saf::initialise(&database.url, &id("EVE")).await.expect("an answer"), Vec::<String>::new());
    let again = Saf::open(&database.url).await.expect("the database");
    assert!(again.snapshot().is_special(id("IBMUSER")));
    assert!(!again.snapshot().is_special(id("EVE")));
}

#[tokio::test]
async fn a_damaged_a_missing_and_an_empty_database_are_told_apart() {
    let folder = TempDir::new().expect("a folder");
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    assert!(matches!(Saf::open(&url("missing.db")).await, Err(SafError::Open { .. })));
    std::fs::write(folder.path().join("garbage.db"), vec![7; 8192]).expect("written");
    let error = Saf::open(&url("garbage.db")).await.expect_err("garbage");
    assert!(matches!(error, SafError::Open { .. }), "{error}");
    std::fs::write(folder.path().join("empty.db"), b"").expect("written");
    assert!(matches!(Saf::open(&url("empty.db")).await, Err(SafError::Empty)));
}
