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
