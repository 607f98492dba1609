//! How daemons on one database follow each other: each change counts up what it touched, and whoever has seen a lower number
//! loads that part.

use std::collections::HashMap;

use sqlx::{AnyConnection, Row as _};

use crate::class;
use crate::command::Changes;
use crate::database::is_postgres;
use crate::error::SafError;

/// The channel on which PostgreSQL tells that something was counted up.
pub(crate) const CHANNEL: &str = "pagent_saf";

/// How often each part has changed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Generations(HashMap<String, i64>);

/// Counts up what was changed, in the change's own transaction; the other daemons on PostgreSQL hear of it when that is done.
pub(crate) async fn count_up(connection: &mut AnyConnection, changes: &Changes, url: &str) -> Result<(), SafError> {
    for name in names(changes) {
        let query = "INSERT INTO racf_generations (name, value) VALUES ($1, 1) \
                     ON CONFLICT (name) DO UPDATE SET value = racf_generations.value + 1";
        sqlx::query(query).bind(name).execute(&mut *connection).await?;
    }
    if is_postgres(url) {
        sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(connection).await?;
    }
    Ok(())
}

/// The numbers as they are now.
pub(crate) async fn read(connection: &mut AnyConnection) -> Result<Generations, SafError> {
    let rows = sqlx::query("SELECT name, value FROM racf_generations").fetch_all(connection).await?;
    let number = |row: &sqlx::any::AnyRow| Ok((row.try_get("name")?, row.try_get("value")?));
    Ok(Generations(rows.iter().map(number).collect::<Result<_, sqlx::Error>>()?))
}

impl Generations {
    /// What has changed since `seen`.
    pub(crate) fn since(&self, seen: &Self) -> Changes {
        let mut changes = Changes::default();
        for (name, value) in &self.0 {
            if seen.0.get(name) == Some(value) {
                continue;
            }
            let (part, of) = name.split_once(' ').unwrap_or((name, ""));
            let class = class::find(of).map(|class| class.name);
            match part {
                "people" => changes.people = true,
                "options" => changes.options = true,
                "profiles" => changes.profiles.extend(class),
                "refresh" => changes.refreshed.extend(class),
                "global" => changes.global.extend(class),
                // Of a later release.
                _ => {}
            }
        }
        changes
    }
}

fn names(changes: &Changes) -> Vec<String> {
    let mut names = Vec::new();
    names.extend(changes.people.then(|| "people".to_owned()));
    names.extend(changes.options.then(|| "options".to_owned()));
    for (part, classes) in
        [("profiles", &changes.profiles), ("refresh", &changes.refreshed), ("global", &changes.global)]
    {
        names.extend(classes.iter().map(|class| format!("{part} {class}")));
    }
    // In one order, so that two daemons never wait for each other's rows.
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_up_is_what_has_changed() {
        let mut changes = Changes { people: true, ..Changes::default() };
        changes.refreshed.insert("SERVAUTH");
        changes.profiles.insert("OPERCMDS");
        let now = Generations(names(&changes).into_iter().map(|name| (name, 1)).collect());
        assert_eq!(now.since(&Generations::default()), changes);
        assert!(now.since(&now).is_empty());
        let later = Generations(HashMap::from([("unheard of".to_owned(), 1), ("refresh NOCLASS".to_owned(), 1)]));
        assert!(later.since(&now).is_empty());
    }
}
