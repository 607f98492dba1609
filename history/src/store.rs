//! The database: SQLite, or PostgreSQL by URL. Statements are written in SQL that both take.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::any::{AnyPoolOptions, AnyRow, install_default_drivers};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AnyPool, Row as _};

use crate::usage::{Counts, Session, Usage};

/// How long a connection to the database is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// No system has this name.
const EVERY_HOST: &str = "*";
/// Sums are kept by quarters of an hour.
pub(crate) const QUARTER: i64 = 900;

/// Why the history cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// It cannot be opened.
    #[error("the zERT history {url} cannot be opened: {source}")]
    Open {
        /// Where it is, without a password.
        url: String,
        /// What the database says.
        source: sqlx::Error,
    },
    /// Its schema is not ours.
    #[error(
        "the schema of the zERT history {url} cannot be brought up to date: {source}. Was it written by a newer release?"
    )]
    Schema {
        /// Where it is, without a password.
        url: String,
        /// What the migration says.
        source: MigrateError,
    },
    /// A statement failed.
    #[error("the zERT history does not answer: {0}")]
    Statement(#[from] sqlx::Error),
    /// A stored value is none that a release writes.
    #[error("the zERT history holds a session that cannot be read: {0}; it is damaged, or of a newer release")]
    Damaged(#[from] serde_json::Error),
}

/// The sums of one quarter of an hour.
pub(crate) type Sums = HashMap<(i64, Session), Counts>;

/// The history.
#[derive(Clone, Debug)]
pub struct Store {
    pool: AnyPool,
}

impl Store {
    /// Opens a history by URL (`sqlite:/path`, `postgres://…`), making it where it is not there, and brings its schema up to
    /// date. `shown` is the URL as errors show it.
    ///
    /// # Errors
    ///
    /// When it cannot be made or read.
    pub async fn open(url: &str, shown: &str) -> Result<Self, HistoryError> {
        Self::connect(url, shown, "rwc").await
    }

    /// Opens one that is there.
    ///
    /// # Errors
    ///
    /// When it is not there, or cannot be read.
    pub async fn open_existing(url: &str, shown: &str) -> Result<Self, HistoryError> {
        Self::connect(url, shown, "rw").await
    }

    async fn connect(url: &str, shown: &str, mode: &str) -> Result<Self, HistoryError> {
        install_default_drivers();
        let open = |source| HistoryError::Open { url: shown.to_owned(), source };
        let is_sqlite = url.starts_with("sqlite:");
        let address = if is_sqlite { format!("{url}?mode={mode}") } else { url.to_owned() };
        let pool =
            AnyPoolOptions::new().max_connections(4).acquire_timeout(PATIENCE).connect(&address).await.map_err(open)?;
        if is_sqlite {
            // Readers never wait for the writer.
            sqlx::query("PRAGMA journal_mode = WAL").execute(&pool).await.map_err(open)?;
        }
        // SAF's database may be the same one of PostgreSQL's.
        let mut migrations: Migrator = sqlx::migrate!("./migrations");
        migrations.dangerous_set_table_name("zert_migrations");
        migrations.run(&pool).await.map_err(|source| HistoryError::Schema { url: shown.to_owned(), source })?;
        Ok(Self { pool })
    }

    /// Adds sums of a host, and what it lost since the last time, in one transaction.
    pub(crate) async fn add(&self, sums: &Sums, host: &str, lost: Option<(i64, u64)>) -> Result<(), HistoryError> {
        let mut change = self.pool.begin().await?;
        for ((begun, session), counts) in sums {
            let id = session.id();
            let attributes = &session.attributes;
            let role = match session.role {
                crate::Role::Client => "client",
                crate::Role::Server => "server",
            };
            sqlx::query(
                "INSERT INTO zert_sessions (id, role, server, client, port, jobname, userid, protocol, version, suite, \
                 key_group, not_after, details, host) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind(&id)
            .bind(role)
            .bind(session.server.to_string())
            .bind(session.client.to_string())
            .bind(i64::from(session.port))
            .bind(&session.jobname)
            .bind(&session.userid)
            .bind(&attributes.protocol)
            .bind(&attributes.version)
            .bind(&attributes.suite)
            .bind(&attributes.group)
            .bind(attributes.certificate.as_ref().map(|certificate| certificate.not_after))
            .bind(serde_json::to_string(session)?)
            .bind(&session.host)
            .execute(&mut *change)
            .await?;
            let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            sqlx::query(
                "INSERT INTO zert_summaries (session, begun, connections, failed, reset, logged, bytes_in, bytes_out) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (session, begun) DO UPDATE SET \
                 connections = zert_summaries.connections + excluded.connections, \
                 failed = zert_summaries.failed + excluded.failed, reset = zert_summaries.reset + excluded.reset, \
                 logged = zert_summaries.logged + excluded.logged, \
                 bytes_in = zert_summaries.bytes_in + excluded.bytes_in, \
                 bytes_out = zert_summaries.bytes_out + excluded.bytes_out",
            )
            .bind(&id)
            .bind(begun)
            .bind(number(counts.connections))
            .bind(number(counts.failed))
            .bind(number(counts.reset))
            .bind(number(counts.logged))
            .bind(number(counts.bytes_in))
            .bind(number(counts.bytes_out))
            .execute(&mut *change)
            .await?;
        }
        if let Some((begun, lost)) = lost {
            sqlx::query(
                "INSERT INTO zert_host_losses (host, begun, lost) VALUES ($1, $2, $3) ON CONFLICT (host, begun) DO UPDATE SET \
                 lost = zert_host_losses.lost + excluded.lost",
            )
            .bind(host)
            .bind(begun)
            .bind(i64::try_from(lost).unwrap_or(i64::MAX))
            .execute(&mut *change)
            .await?;
        }
        change.commit().await?;
        Ok(())
    }

    /// What was counted from `since` on and before `until`, both in seconds since the epoch, by quarters of an hour: of a host, or of
    /// all that keep their histories here.
    ///
    /// # Errors
    ///
    /// When the database does not answer, or holds what cannot be read.
    pub async fn usages(&self, since: i64, until: i64, host: Option<&str>) -> Result<Vec<Usage>, HistoryError> {
        let rows = sqlx::query(
            "SELECT s.details AS session, MIN(u.begun) AS first, MAX(u.begun) AS last, \
             CAST(SUM(u.connections) AS BIGINT) AS connections, CAST(SUM(u.failed) AS BIGINT) AS failed, \
             CAST(SUM(u.reset) AS BIGINT) AS reset, CAST(SUM(u.logged) AS BIGINT) AS logged, \
             CAST(SUM(u.bytes_in) AS BIGINT) AS bytes_in, CAST(SUM(u.bytes_out) AS BIGINT) AS bytes_out \
             FROM zert_summaries u JOIN zert_sessions s ON s.id = u.session WHERE u.begun >= $1 AND u.begun < $2 \
             AND (s.host = $3 OR s.host = '' OR $3 = '*') GROUP BY s.id, s.details ORDER BY s.id",
        )
        .bind(since.div_euclid(QUARTER) * QUARTER)
        .bind(until)
        .bind(host.unwrap_or(EVERY_HOST))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(usage).collect()
    }

    /// How much was lost in a period.
    ///
    /// # Errors
    ///
    /// When the database does not answer.
    pub async fn lost(&self, since: i64, until: i64, host: Option<&str>) -> Result<u64, HistoryError> {
        let row = sqlx::query(
            "SELECT CAST(COALESCE(SUM(lost), 0) AS BIGINT) AS lost FROM zert_host_losses WHERE begun >= $1 AND begun < $2 \
             AND (host = $3 OR host = '' OR $3 = '*')",
        )
        .bind(since.div_euclid(QUARTER) * QUARTER)
        .bind(until)
        .bind(host.unwrap_or(EVERY_HOST))
        .fetch_one(&self.pool)
        .await?;
        number(&row, "lost")
    }

    /// Forgets what was counted of a host before a time, and sessions of which nothing is left. Gives how many sums are gone.
    pub(crate) async fn forget(&self, before: i64, host: &str) -> Result<u64, HistoryError> {
        let mut change = self.pool.begin().await?;
        let gone = sqlx::query(
            "DELETE FROM zert_summaries WHERE begun < $1 \
             AND session IN (SELECT id FROM zert_sessions WHERE host = $2 OR host = '')",
        )
        .bind(before)
        .bind(host)
        .execute(&mut *change)
        .await?;
        sqlx::query("DELETE FROM zert_host_losses WHERE begun < $1 AND (host = $2 OR host = '')")
            .bind(before)
            .bind(host)
            .execute(&mut *change)
            .await?;
        sqlx::query(
            "DELETE FROM zert_sessions WHERE (host = $1 OR host = '') \
             AND NOT EXISTS (SELECT 1 FROM zert_summaries WHERE session = id)",
        )
        .bind(host)
        .execute(&mut *change)
        .await?;
        change.commit().await?;
        Ok(gone.rows_affected())
    }

    /// Ends the connections to it.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn number(row: &AnyRow, column: &str) -> Result<u64, HistoryError> {
    Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or_default())
}

fn usage(row: &AnyRow) -> Result<Usage, HistoryError> {
    Ok(Usage {
        session: serde_json::from_str(row.try_get("session")?)?,
        counts: Counts {
            connections: number(row, "connections")?,
            failed: number(row, "failed")?,
            reset: number(row, "reset")?,
            logged: number(row, "logged")?,
            bytes_in: number(row, "bytes_in")?,
            bytes_out: number(row, "bytes_out")?,
        },
        first: row.try_get("first")?,
        last: row.try_get("last")?,
    })
}
