//! IRRDBU00: what is exported comes back the same, and each bad record of a file is told with its place.

use std::fs;
use std::path::{Path, PathBuf};

use saf::{Access, Imported, Rejected, Saf};
use tempfile::TempDir;

use crate::engine::{Database, id};
use crate::on_both;

const SETUP: &[&str] = &[
    "ADDGROUP NETOPS DATA('NETWORK OPERATORS') OMVS(GID(70))",
    "ADDGROUP BELOW SUPGROUP(NETOPS) UNIVERSAL",
    "ADDUSER ALICE NAME('A. LIDDELL') DFLTGRP(NETOPS) OMVS(UID(4711) HOME('/home/alice') PROGRAM('/bin/sh'))",
    "ADDUSER BOB DFLTGRP(BELOW) RESTRICTED CLAUTH(SERVAUTH) DATA('ON LOAN')",
    "ALTUSER BOB REVOKE(12/31/2099)",
    "CONNECT ALICE GROUP(BELOW) AUTHORITY(JOIN) SPECIAL",
    "RDEFINE SERVAUTH EZB.X.** UACC(READ) LEVEL(7) NOTIFY(BOB) AUDIT(ALL(UPDATE)) DATA('D') APPLDATA('A') WARNING",
    "PERMIT EZB.X.** CLASS(SERVAUTH) ID(NETOPS) ACCESS(UPDATE)",
    "PERMIT EZB.X.** CLASS(SERVAUTH) ID(*) WHEN(TERMINAL(T1) SERVAUTH(EZB.NETACCESS.A.B.ZONE))",
    "RDEFINE GLOBAL SERVAUTH ADDMEM('EZB.OPEN.**'/READ EZB.Y/UPDATE)",
    "RDEFINE RACFVARS &STACK ADDMEM(TCPIP TCPIP2)",
    "RDEFINE STARTED PAGENT.* STDATA(USER(ALICE) GROUP(NETOPS) TRUSTED(YES))",
];

async fn exported(url: &str) -> String {
    let mut out = Vec::new();
    let records = saf::export(url, &mut out).await.expect("an export");
    let text = String::from_utf8(out).expect("text");
    assert_eq!(text.lines().count() as u64, records);
    text
}

async fn imported(url: &str, file: &Path) -> (Imported, Vec<Rejected>) {
    let mut rejected = Vec::new();
    let done = saf::import(url, file, &mut |record| rejected.push(record), &mut |_| ()).await.expect("an import");
    assert_eq!(done.rejected, rejected.len() as u64);
    (done, rejected)
}

fn file(folder: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("written");
    path
}

#[tokio::test]
async fn what_is_exported_comes_back_the_same_as_text_and_in_ebcdic() {
    on_both(async |database: Database| {
        database.ok("SETROPTS GENERIC(STARTED)").await;
        for line in SETUP {
            let (code, text) = database.tso("IBMUSER", line).await;
            assert!(code < 8, "{line}: {text}");
        }
        let before = exported(&database.url).await;
        for kind in [
            "0100", "0101", "0102", "0120", "0200", "0202", "0203", "0205", "0270", "0500", "0503", "0505", "0507",
            "0540",
        ] {
            assert!(before.lines().any(|line| line.starts_with(kind)), "{kind}\n{before}");
        }
        let folder = TempDir::new().expect("a folder");
        let ebcdic = |end: &[u8], descriptor: bool| {
            let mut bytes = Vec::new();
            for line in before.lines() {
                let line: Vec<u8> = line.chars().flat_map(|c| smf::ebcdic::encode::<1>(&c.to_string())).collect();
                if descriptor {
                    bytes.extend(u16::try_from(line.len() + 4).expect("a record").to_be_bytes());
                    bytes.extend([0, 0]);
                }
                bytes.extend(line);
                bytes.extend(end);
            }
            bytes
        };
        for bytes in [
            before.clone().into_bytes(),
            before.replace('\n', "\r\n").into_bytes(),
            ebcdic(&[0x15], false),
            ebcdic(&[], true),
        ] {
            let file = file(&folder, "unload", bytes);
            let url = format!("sqlite:{}", folder.path().join("copy.db").display());
            Saf::initialise(&url, &id("IBMUSER")).await.expect("a database");
            let (_, rejected) = imported(&url, &file).await;
            // Only what every new database has is there before.
            let there = |record: &&Rejected| !record.reason.contains("stays as it is");
            assert_eq!(rejected.iter().filter(there).collect::<Vec<_>>(), Vec::<&Rejected>::new());
            assert_eq!(exported(&url).await, before);
            let copy = Saf::open(&url).await.expect("the database");
            assert!(matches!(
                copy.snapshot().auth(id("ALICE"), "SERVAUTH", "EZB.X.Y", Access::Update),
                saf::Decision::Permitted(_)
            ));
            for end in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(folder.path().join(format!("copy.db{end}")));
            }
        }
    })
    .await;
}

/// A record with these fields at their first columns.
fn record(kind: &str, fields: &[(usize, &str)]) -> String {
    let mut line = kind.to_owned();
    for (column, text) in fields {
        line = format!("{line:0$}{text}", column - 1);
    }
    line
}

#[tokio::test]
async fn each_planted_bad_record_is_told_with_its_place_and_the_rest_is_imported() {
    on_both(async |database: Database| {
        let user =
            |name: &str, group: &str| record("0200", &[(6, name), (15, "2020-01-01"), (26, "IBMUSER"), (96, group)]);
        let profile = |name: &str, class: &str, generic: &str, uacc: &str| {
            record("0500", &[(6, name), (253, class), (262, generic), (282, "IBMUSER"), (337, uacc)])
        };
        let access = |name: &str, who: &str, level: &str| {
            record("0505", &[(6, name), (253, "SERVAUTH"), (262, who), (271, level)])
        };
        let lines = [
            (record("0100", &[(6, "OPS"), (15, "SYS1"), (24, "2020-01-01"), (35, "IBMUSER")]), ""),
            (record("0100", &[(6, "1BAD"), (35, "IBMUSER")]), "NAME in columns 6 to 13 is `1BAD`"),
            (record("0100", &[(6, "SYS1"), (35, "IBMUSER")]), "group SYS1 was defined before"),
            (user("ALICE", "OPS"), ""),
            (user("CAROL", "NOGROUP"), "the default group NOGROUP of user CAROL is not defined"),
            (user("OPS", "OPS"), "OPS is a group"),
            (user("IBMUSER", "SYS1"), "user IBMUSER was defined before"),
            (
                record("0205", &[(6, "IBMUSER"), (15, "OPS"), (35, "IBMUSER"), (84, "YES")]),
                "user IBMUSER was defined before",
            ),
            (record("0205", &[(6, "ALICE"), (15, "OPS"), (35, "IBMUSER"), (94, "NO")]), ""),
            (record("0205", &[(6, "ALICE"), (15, "NONE"), (35, "IBMUSER")]), "user ALICE or group NONE is not defined"),
            (record("0102", &[(6, "OPS"), (15, "ALICE"), (24, "RULE")]), "`RULE` is no group authority"),
            (record("0102", &[(6, "OPS"), (15, "ALICE"), (24, "CONNECT")]), ""),
            (record("0270", &[(6, "ALICE"), (15, "-1")]), "UID in columns 15 to 24 is `-1`"),
            (profile("EZB.X", "SERVAUTH", "NO", "READ"), ""),
            (profile("EZB.X", "SERVAUTH", "NO", "ALL"), "UACC in columns 337 to 344 is `ALL`"),
            (profile("EZB.**", "SERVAUTH", "YES", "ALTER"), "EZB.** (G) was defined to class SERVAUTH before"),
            (access("EZB.**", "ALICE", "ALTER"), "EZB.** (G) was defined to class SERVAUTH before"),
            (profile("", "SERVAUTH", "NO", "READ"), "a profile name and a class are expected"),
            (access("EZB.X", "ALICE", "UPDATE"), ""),
            (access("EZB.X", "ALICE", "SOME"), "ACCESS in columns 271 to 278 is `SOME`"),
            (access("EZB.NONE", "ALICE", "READ"), "EZB.NONE is not defined to class SERVAUTH"),
            ("nonsense".to_owned(), "a record type of four digits is expected"),
            (String::new(), ""),
            ("0".repeat(20_000), "longer than any"),
            (profile("APP.X", "OURCLASS", "NO", "READ"), ""),
            ("0400 DATA.SET".to_owned(), ""),
        ];
        let folder = TempDir::new().expect("a folder");
        let text: String = lines.iter().map(|(line, _)| format!("{line}\n")).collect();
        let (done, mut rejected) = imported(&database.url, &file(&folder, "unload", &text)).await;
        rejected.sort_by_key(|record| record.number);
        let planted: Vec<(u64, &str)> = (1..)
            .zip(&lines)
            .filter(|(_, (_, reason))| !reason.is_empty())
            .map(|(number, (_, reason))| (number, *reason))
            .collect();
        assert_eq!(
            rejected.iter().map(|record| record.number).collect::<Vec<_>>(),
            planted.iter().map(|(number, _)| *number).collect::<Vec<_>>()
        );
        for (record, (_, reason)) in rejected.iter().zip(&planted) {
            assert!(record.reason.contains(reason), "{record:?} {reason}");
            let before: usize = text
                .lines()
                .take(usize::try_from(record.number).expect("a number") - 1)
                .map(|line| line.len() + 1)
                .sum();
            assert_eq!(record.offset, before as u64, "{record:?}");
        }
        assert_eq!(done.left_out, [("0400".to_owned(), 1), ("0500".to_owned(), 1)].into());
        assert_eq!(done.records["0505"], 1);
        let saf = Saf::open(&database.url).await.expect("the database");
        let asked = |who, resource, intent| {
            matches!(saf.snapshot().auth(id(who), "SERVAUTH", resource, intent), saf::Decision::Permitted(_))
        };
        assert!(asked("ALICE", "EZB.X", Access::Update) && !asked("ALICE", "EZB.OTHER", Access::Read));
    })
    .await;
}

#[tokio::test]
async fn nothing_of_what_is_there_is_changed_whatever_a_file_has() {
    on_both(async |database: Database| {
        for line in ["ADDUSER (BOB ALICE)", "RDEFINE GLOBAL SERVAUTH ADDMEM(EZB.OPEN/READ)", "RDEFINE STARTED X.X"] {
            database.ok(line).await;
        }
        let before = exported(&database.url).await;
        let folder = TempDir::new().expect("a folder");
        for line in [
            record("0505", &[(6, "EZB.**"), (253, "SERVAUTH"), (262, "BOB"), (271, "ALTER")]),
            record(
                "0507",
                &[(6, "EZB.**"), (253, "SERVAUTH"), (262, "TERMINAL"), (271, "T1"), (280, "BOB"), (289, "ALTER")],
            ),
            record("0270", &[(6, "IBMUSER"), (15, "1001")]),
            record("0205", &[(6, "BOB"), (15, "SYS1"), (35, "IBMUSER"), (84, "YES")]),
            record("0102", &[(6, "SYS1"), (15, "BOB"), (24, "JOIN")]),
            record("0202", &[(6, "BOB"), (15, "SERVAUTH")]),
            record("0120", &[(6, "SYS1"), (15, "5")]),
            record("0503", &[(6, "SERVAUTH"), (253, "GLOBAL"), (262, "**"), (518, "ALTER")]),
            record("0540", &[(6, "X.X"), (253, "STARTED"), (262, "IBMUSER"), (280, "YES")]),
        ] {
            let (done, rejected) = imported(&database.url, &file(&folder, "unload", &line)).await;
            assert!(
                rejected.len() == 1 && rejected[0].reason.contains("stays as it is"),
                "{line} {rejected:?} {done:?}"
            );
            assert_eq!(exported(&database.url).await, before, "{line}");
        }
        // A connection that a broken record may have revoked is revoked.
        let lines = [
            record("0200", &[(6, "NEW"), (15, "2020-01-01"), (26, "IBMUSER"), (96, "SYS1")]),
            record("0205", &[(6, "NEW"), (15, "SYS1"), (35, "IBMUSER"), (64, "ALL"), (94, "YES")]),
            record("0200", &[(6, "NEW"), (15, "2020-01-01"), (26, "IBMUSER"), (96, "SYS1")]),
        ];
        let (done, rejected) = imported(&database.url, &file(&folder, "unload", lines.join("\n"))).await;
        assert_eq!(done.connected, 1);
        assert!(
            rejected.iter().any(|record| record.number == 3 && record.reason.contains("twice in this file")),
            "{rejected:?}"
        );
        assert!(database.ok("LISTUSER NEW").await.contains("CONNECT ATTRIBUTES=REVOKED"));
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_not_there_is_told_and_changes_nothing() {
    let database = Database::sqlite().await;
    let error =
        saf::import(&database.url, Path::new("/nonexistent"), &mut |_| (), &mut |_| ()).await.expect_err("no file");
    assert!(error.to_string().contains("/nonexistent"), "{error}");
}
