//! Copies of an SQLite database, their inspection, and putting one back. PostgreSQL has its own tools for the first and the
//! last (pg_dump, pg_restore).

use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};

use crate::database::Saf;
use crate::error::SafError;

/// What an inspection found: nothing wrong where `problems` is empty.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub struct Inspection {
    /// Users, groups and profiles that were read.
    pub users: usize,
    /// Groups.
    pub groups: usize,
    /// Profiles.
    pub profiles: usize,
    /// What is wrong, a sentence each.
    pub problems: Vec<String>,
}

/// Copies the database of a URL into a new file, as it is at one moment; the daemon may run.
///
/// # Errors
///
/// When the URL is PostgreSQL's, the file is there, or either cannot be used.
pub async fn backup(url: &str, file: &Path) -> Result<(), SafError> {
    let source = sqlite_file(url)?;
    let failed = |source| SafError::File { path: file.to_owned(), source };
    // Private from the beginning, as the database is.
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(failed)?;
    let open = |source| SafError::Open { url: url.to_owned(), source };
    let address = format!("sqlite:{}?mode=ro", source.display());
    let mut connection = SqliteConnection::connect(&address).await.map_err(open)?;
    let name = file.to_string_lossy().replace('\'', "''");
    sqlx::query(AssertSqlSafe(format!("VACUUM INTO '{name}'"))).execute(&mut connection).await.map_err(open)?;
    std::fs::File::open(file).and_then(|file| file.sync_all()).map_err(failed)
}

/// Looks a database over: whether its pages are whole, its references lead somewhere, and every row can be read. A
/// database of an earlier release is brought up to date, as the daemon does; of this one only the journal mode is set.
///
/// # Errors
///
/// When it cannot be opened.
pub async fn verify(url: &str) -> Result<Inspection, SafError> {
    let mut problems = Vec::new();
    if let Ok(file) = sqlite_file(url) {
        let open = |source| SafError::Open { url: url.to_owned(), source };
        let address = format!("sqlite:{}?mode=ro", file.display());
        let mut connection = SqliteConnection::connect(&address).await.map_err(open)?;
        for row in sqlx::query("PRAGMA integrity_check").fetch_all(&mut connection).await.map_err(open)? {
            let said: String = row.try_get(0).map_err(open)?;
            problems.extend(Some(said).filter(|said| said != "ok"));
        }
        for row in sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut connection).await.map_err(open)? {
            let (table, parent): (String, String) =
                (row.try_get("table").map_err(open)?, row.try_get("parent").map_err(open)?);
            problems.push(format!("a row of {table} names what {parent} does not have"));
        }
    }
    if !problems.is_empty() {
        return Ok(Inspection { problems, ..Inspection::default() });
    }
    match Saf::open(url).await {
        Ok(saf) => {
            let (users, groups, profiles) = saf.snapshot().counts();
            if !saf.snapshot().has_administrator() {
                problems.push("no user has SPECIAL: nobody can administer it".to_owned());
            }
            // What bringing it up to date has written is in the file then, not in its log.
            saf.close().await;
            Ok(Inspection { users, groups, profiles, problems })
        }
        Err(error @ (SafError::Damaged { .. } | SafError::Empty)) => {
            Ok(Inspection { problems: vec![error.to_string()], ..Inspection::default() })
        }
        Err(error) => Err(error),
    }
}

/// Puts a copy in the place of the database of a URL, which no daemon may have open. The earlier one is kept beside it as
/// `….before-restore`.
///
/// # Errors
///
/// When the URL is PostgreSQL's, or the copy is not whole, or a file cannot be moved; the database is unchanged then.
pub async fn restore(url: &str, copy: &Path) -> Result<Inspection, SafError> {
    let target = sqlite_file(url)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| SafError::File { path, source }
    };
    // What is inspected, and brought up to date, is what is put there; SQLite reads the copy with its log.
    let beside = |end: &str| PathBuf::from(format!("{}{end}", target.display()));
    let staged = beside(".restore");
    let clear = |name: &str| {
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(&format!("{name}{end}")));
        }
    };
    clear(".restore");
    let work = async {
        backup(&format!("sqlite:{}", copy.display()), &staged).await?;
        verify(&format!("sqlite:{}", staged.display())).await
    };
    let inspection = work.await;
    let whole = inspection.as_ref().is_ok_and(|inspection| inspection.problems.is_empty());
    let log = beside(".restore-wal");
    if !whole || log.exists() {
        clear(".restore");
        return if whole { Err(failed(&log)(io::ErrorKind::ResourceBusy.into())) } else { inspection };
    }
    // The earlier database with its log; an older one's log must not stand beside it.
    clear(".before-restore");
    for end in ["-wal", "-shm", ""] {
        let from = beside(end);
        match std::fs::rename(&from, beside(&format!(".before-restore{end}"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                clear(".restore");
                return Err(failed(&from)(error));
            }
            _ => {}
        }
    }
    std::fs::rename(&staged, &target).map_err(|error| {
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::rename(beside(&format!(".before-restore{end}")), beside(end));
        }
        failed(&target)(error)
    })?;
    inspection
}

/// The file of an SQLite URL.
fn sqlite_file(url: &str) -> Result<PathBuf, SafError> {
    match url.strip_prefix("sqlite:") {
        Some(path) => Ok(PathBuf::from(path.strip_prefix("//").unwrap_or(path))),
        None => Err(SafError::NotSqlite { url: url.to_owned() }),
    }
}
