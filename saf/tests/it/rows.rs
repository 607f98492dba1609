//! The conformance table by its numbers, as commands set it up. Rows 16 and 18 are of key rings and certificates.

use saf::{Access, Request};

use crate::engine::{Database, id};
use crate::on_both;

const PERMIT: (u8, u8, u8) = (0, 0, 0);
const DENY: (u8, u8, u8) = (8, 8, 0);
const UNPROTECTED: (u8, u8, u8) = (4, 4, 0);

impl Database {
    async fn all(&self, lines: &[&str]) {
        for line in lines {
            self.ok(line).await;
        }
        for class in ["SERVAUTH", "OPERCMDS"] {
            self.ok(&format!("SETROPTS RACLIST({class}) REFRESH")).await;
        }
    }

    fn read(&self, who: &str, resource: &str) -> (u8, u8, u8) {
        self.codes(&Request::new(id(who), "SERVAUTH", resource, Access::Read))
    }
}

#[tokio::test]
async fn rows_1_and_2_without_class_or_profile_nothing_is_decided() {
    on_both(async |database: Database| {
        database.all(&["ADDUSER ALICE"]).await;
        assert_eq!(database.read("ALICE", "OTHER.RESOURCE"), UNPROTECTED);
        let spool = Request::new(id("ALICE"), "JESSPOOL", "N.BOB.JOB.J1.D1.X", Access::Read);
        assert_eq!(database.codes(&spool), UNPROTECTED, "inactive");
        database.ok("SETROPTS CLASSACT(JESSPOOL)").await;
        assert_eq!(database.codes(&spool), DENY, "its default return code is 8");
        assert_eq!(database.read("ALICE", "EZB.X"), DENY);
        database.ok("SETROPTS NOCLASSACT(SERVAUTH)").await;
        assert_eq!(database.read("ALICE", "EZB.X"), UNPROTECTED);
    })
    .await;
}

#[tokio::test]
async fn rows_3_to_6_what_entries_of_users_and_groups_are_worth() {
    on_both(async |database: Database| {
        database
            .all(&[
                "ADDGROUP (STAFF OPS)",
                "ADDUSER ALICE DFLTGRP(STAFF)",
                "ADDUSER BOB DFLTGRP(STAFF)",
                "CONNECT BOB GROUP(OPS)",
                "RDEFINE SERVAUTH (EZB.THREE EZB.FOUR) UACC(READ)",
                "PERMIT EZB.THREE CLASS(SERVAUTH) ID(ALICE) ACCESS(NONE)",
                "PERMIT EZB.FOUR CLASS(SERVAUTH) ID(STAFF) ACCESS(NONE)",
                "RDEFINE SERVAUTH EZB.FIVE UACC(NONE)",
                "PERMIT EZB.FIVE CLASS(SERVAUTH) ID(STAFF) ACCESS(NONE)",
                "PERMIT EZB.FIVE CLASS(SERVAUTH) ID(OPS) ACCESS(READ)",
            ])
            .await;
        assert_eq!(database.read("ALICE", "EZB.THREE"), DENY);
        assert_eq!(database.read("BOB", "EZB.THREE"), PERMIT);
        assert_eq!(database.read("ALICE", "EZB.FOUR"), DENY);
        assert_eq!(database.read("BOB", "EZB.FIVE"), PERMIT);
        database.ok("SETROPTS NOGRPLIST").await;
        assert_eq!(database.read("BOB", "EZB.FIVE"), DENY, "only the current group counts");
    })
    .await;
}

#[tokio::test]
async fn rows_7_and_8_restricted_and_undefined_users() {
    on_both(async |database: Database| {
        database
            .all(&[
                "ADDUSER ROBOT RESTRICTED",
                "RDEFINE SERVAUTH EZB.STAR UACC(NONE)",
                "PERMIT EZB.STAR CLASS(SERVAUTH) ID(*) ACCESS(READ)",
                "RDEFINE SERVAUTH EZB.UACC UACC(READ)",
            ])
            .await;
        assert_eq!(database.read("ROBOT", "EZB.STAR"), DENY);
        assert_eq!(database.read("ROBOT", "EZB.UACC"), DENY);
        assert_eq!(database.read("NOBODY", "EZB.STAR"), DENY);
        assert_eq!(database.read("NOBODY", "EZB.UACC"), PERMIT);
    })
    .await;
}

#[tokio::test]
async fn rows_9_and_15_the_global_access_table() {
    on_both(async |database: Database| {
        database.all(&["ADDUSER ALICE", "RDEFINE GLOBAL SERVAUTH ADDMEM('EZB.OPEN.**'/READ)"]).await;
        assert_eq!(database.read("ALICE", "EZB.OPEN.X"), DENY, "global checking is not in effect");
        database.ok("SETROPTS GLOBAL(SERVAUTH)").await;
        assert_eq!(database.read("ALICE", "EZB.OPEN.X"), PERMIT);
        let fast = Request { fast: true, ..Request::new(id("ALICE"), "SERVAUTH", "EZB.OPEN.X", Access::Read) };
        assert_eq!(database.codes(&fast), DENY);
        database.ok("RALTER GLOBAL SERVAUTH DELMEM('EZB.OPEN.**'/READ)").await;
        assert_eq!(database.read("ALICE", "EZB.OPEN.X"), PERMIT, "before the refresh");
        database.ok("SETROPTS GLOBAL(SERVAUTH) REFRESH").await;
        assert_eq!(database.read("ALICE", "EZB.OPEN.X"), DENY);
    })
    .await;
}

#[tokio::test]
async fn rows_10_and_11_warning_and_stale_grants() {
    on_both(async |database: Database| {
        database
            .all(&[
                "ADDUSER ALICE",
                "RDEFINE SERVAUTH EZB.WARN UACC(NONE) WARNING",
                "RDEFINE SERVAUTH EZB.GIVEN UACC(NONE)",
                "PERMIT EZB.GIVEN CLASS(SERVAUTH) ID(ALICE) ACCESS(READ)",
            ])
            .await;
        assert_eq!(database.read("ALICE", "EZB.WARN"), PERMIT);
        database.ok("PERMIT EZB.GIVEN CLASS(SERVAUTH) ID(ALICE) DELETE").await;
        assert_eq!(database.read("ALICE", "EZB.GIVEN"), PERMIT, "a stale grant lives until the refresh");
        let pending = database.saf.pending().await.expect("an answer");
        assert_eq!(pending, [("SERVAUTH", vec!["- EZB.GIVEN: ALICE READ".to_owned()])]);
        database.ok("SETROPTS RACLIST(SERVAUTH) REFRESH").await;
        assert_eq!(database.read("ALICE", "EZB.GIVEN"), DENY);
        assert_eq!(database.saf.pending().await.expect("an answer"), []);
    })
    .await;
}

#[tokio::test]
async fn rows_12_to_14_generic_names() {
    on_both(async |database: Database| {
        database.ok("ADDUSER ALICE").await;
        database.ok("SETROPTS CLASSACT(XFACILIT)").await;
        let (code, text) = database.tso("IBMUSER", "RDEFINE XFACILIT APP.* UACC(READ)").await;
        assert!(code == 4 && text.contains("ICH10321I"), "{text}");
        let asked = |resource| Request::new(id("ALICE"), "XFACILIT", resource, Access::Read);
        assert_eq!(database.codes(&asked("APP.X")), UNPROTECTED, "the profile is discrete");
        database.ok("RDELETE XFACILIT APP.* NOGENERIC").await;
        database.ok("SETROPTS GENERIC(XFACILIT)").await;
        for (name, resource, expected) in
            [("A.*", "A", UNPROTECTED), ("A.**", "A", PERMIT), ("A*", "A.B.C", PERMIT), ("APP.*", "APP.X", PERMIT)]
        {
            database.ok(&format!("RDEFINE XFACILIT {name} UACC(READ)")).await;
            assert_eq!(database.codes(&asked(resource)), expected, "{name} {resource}");
            database.ok(&format!("RDELETE XFACILIT {name}")).await;
        }
        for name in ["MVS.VARY.TCPIP.**", "MVS.VARY.TCPIP.*", "MVS.VARY.TCPIP*", "MVS.VARY.*.DROP"] {
            database.ok(&format!("RDEFINE XFACILIT {name} UACC(NONE)")).await;
        }
        let winner = |resource| database.saf.snapshot().explain(&asked(resource)).profile;
        assert_eq!(winner("MVS.VARY.TCPIP.DROP").as_deref(), Some("MVS.VARY.TCPIP.* (G)"));
        assert_eq!(winner("MVS.VARY.TCPIP").as_deref(), Some("MVS.VARY.TCPIP.** (G)"));
    })
    .await;
}

#[tokio::test]
async fn rows_17_19_and_20_contained_users_control_and_ports_of_entry() {
    on_both(async |database: Database| {
        database
            .all(&[
                "ADDUSER (ALICE BOB)",
                "RDEFINE SERVAUTH EZB.OPEN UACC(ALTER)",
                "RDEFINE OPERCMDS MVS.VARY.TCPIP.** UACC(NONE)",
                "PERMIT MVS.VARY.TCPIP.** CLASS(OPERCMDS) ID(BOB) ACCESS(UPDATE)",
                "ALTUSER ALICE CONTAIN",
            ])
            .await;
        assert_eq!(database.read("ALICE", "EZB.OPEN"), (8, 8, 0xCC));
        let drop = Request::new(id("BOB"), "OPERCMDS", "MVS.VARY.TCPIP.DROP", Access::Control);
        assert_eq!(database.codes(&drop), DENY);
        let today = chrono::Utc::now().date_naive();
        let snapshot = database.saf.snapshot();
        let codes = snapshot.verify(id("BOB"), None, Some("IST.NETACCESS.X"), today);
        assert_eq!((codes.saf, codes.racf), (8, 0x30));
        assert_eq!(snapshot.verify(id("BOB"), None, Some("NO.PROFILE"), today).racf, 0x30);
    })
    .await;
}
