//! What can go wrong with the database.

/// Why the database cannot be used. Decisions go on from the snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SafError {
    /// It cannot be opened or is damaged.
    #[error(
        "the SAF database {url} cannot be used: {source}. Restore it from a backup, or move it away and run \
         `pagent init`"
    )]
    Open {
        /// Where it is.
        url: String,
        /// What the database says.
        source: sqlx::Error,
    },
    /// Its schema is not ours.
    #[error(
        "the schema of the SAF database {url} cannot be brought up to date: {source}. Was it written by a newer release?"
    )]
    Schema {
        /// Where it is.
        url: String,
        /// What the migration says.
        source: sqlx::migrate::MigrateError,
    },
    /// A statement failed.
    #[error("the SAF database does not answer: {0}")]
    Statement(#[from] sqlx::Error),
    /// A stored value is none the schema allows.
    #[error("the SAF database holds `{value}` as {what}; it is damaged")]
    Damaged {
        /// What it should be.
        what: &'static str,
        /// What it is.
        value: String,
    },
    /// A file cannot be read, written or moved.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Copies are made by PostgreSQL's own tools.
    #[error("{url} is no SQLite database: use pg_dump and pg_restore")]
    NotSqlite {
        /// Where it is.
        url: String,
    },
    /// Nobody has set it up.
    #[error("the SAF database has no users; run `pagent init` first")]
    Empty,
}
