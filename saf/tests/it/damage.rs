//! Databases that are not what they should be.

use saf::{Saf, SafError};
use tempfile::TempDir;

use crate::engine::{Database, id};
use crate::on_both;

#[tokio::test]
async fn a_second_initialisation_changes_nothing_and_a_reopened_database_decides_the_same() {
    on_both(async |database: Database| {
        assert_eq!(Saf::initialise(&database.url, &id("EVE")).await.expect("an answer"), Vec::<String>::new());
        let again = Saf::open(&database.url).await.expect("the database");
        assert!(again.snapshot().is_special(id("IBMUSER")));
        assert!(!again.snapshot().is_special(id("EVE")));
    })
    .await;
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
    let error = Saf::open("postgres:///none?host=/nonexistent&user=postgres").await.expect_err("no server");
    assert!(matches!(error, SafError::Open { .. }), "{error}");
}

#[tokio::test]
async fn two_daemons_on_one_postgresql_see_each_other_s_changes_after_the_refresh() {
    let one = Database::postgres().await;
    let other = std::sync::Arc::new(Saf::open(&one.url).await.expect("the database"));
    other.follow_others();
    let eventually = async |what: &str, holds: &dyn Fn() -> bool| {
        for _ in 0..200 {
            if holds() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("not within five seconds: {what}");
    };
    let asked = || other.snapshot().auth(id("ALICE"), "SERVAUTH", "EZB.X", saf::Access::Read);
    one.ok("ADDUSER ALICE").await;
    one.ok("RDEFINE SERVAUTH EZB.X").await;
    one.ok("PERMIT EZB.X CLASS(SERVAUTH) ID(ALICE)").await;
    eventually("ALICE is known", &|| {
        other
            .snapshot()
            .explain(&saf::Request::new(id("ALICE"), "SERVAUTH", "EZB.X", saf::Access::Read))
            .reason
            .contains("nothing in the access list")
    })
    .await;
    assert!(matches!(asked(), saf::Decision::Refused(_)), "before the refresh");
    one.ok("SETROPTS RACLIST(SERVAUTH) REFRESH").await;
    eventually("the refresh is followed", &|| matches!(asked(), saf::Decision::Permitted(_))).await;
    // And the other way, by a command of the one that follows.
    other.command(&id("IBMUSER"), "ALTUSER ALICE REVOKE").await.expect("an answer");
    one.ok("SETROPTS LIST").await;
    let today = chrono::Utc::now().date_naive();
    assert_eq!(one.saf.snapshot().verify(id("ALICE"), None, None, today).racf, 0x1C);
}
