//! What can go wrong with the database.

/// Why the database cannot be used. Decisions go on from the snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SafError {
    /// It cannot be opened or is damaged.
    #[error(
        "the SAF database {} cannot be used: {source}. Restore it from a backup, or move it away and run \
         `pagent init`",
        shown_url(url)
    )]
    Open {
        /// Where it is.
        url: String,
        /// What the database says.
        source: sqlx::Error,
    },
    /// Its schema is not ours.
    #[error(
        "the schema of the SAF database {} cannot be brought up to date: {source}. Was it written by a newer release?",
        shown_url(url)
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
    #[error("{} is no SQLite database: use pg_dump and pg_restore", shown_url(url))]
    NotSqlite {
        /// Where it is.
        url: String,
    },
    /// Nobody has set it up.
    #[error("the SAF database has no users; run `pagent init` first")]
    Empty,
}

/// A database's URL without its password.
#[must_use]
pub fn shown_url(url: &str) -> String {
    let (before, parameters) = url.split_once('?').map_or((url, None), |(before, after)| (before, Some(after)));
    let mut shown = match (before.split_once("://"), before.rfind('@')) {
        (Some((scheme, rest)), Some(_)) if rest.contains('@') => {
            let (user, host) = rest.rsplit_once('@').unwrap_or(("", rest));
            let (user, hidden) = user.split_once(':').map_or((user, ""), |(user, _)| (user, ":***"));
            format!("{scheme}://{user}{hidden}@{host}")
        }
        _ => before.to_owned(),
    };
    for (number, parameter) in parameters.into_iter().flat_map(|all| all.split('&')).enumerate() {
        shown.push(if number == 0 { '?' } else { '&' });
        match parameter.split_once('=') {
            Some((name, _)) if name.eq_ignore_ascii_case("password") => shown.push_str("password=***"),
            _ => shown.push_str(parameter),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        for (url, shown) in [
            ("sqlite:/var/lib/pagent/saf.db", "sqlite:/var/lib/pagent/saf.db"),
            ("postgres://pagent:sec:r@t@db/saf", "postgres://pagent:***@db/saf"),
            (
                "postgres://pagent@db/saf?sslmode=require&password=secret",
                "postgres://pagent@db/saf?sslmode=require&password=***",
            ),
            (
                "postgres:///saf?host=/run/postgresql&user=postgres",
                "postgres:///saf?host=/run/postgresql&user=postgres",
            ),
        ] {
            assert_eq!(shown_url(url), shown);
        }
    }
}
