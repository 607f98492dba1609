//! The database, and the snapshot that is made from it.
//!
//! Statements are written in SQL that both SQLite and PostgreSQL take; SQLite is what is tested today.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::Utc;
use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::migrate::Migrator;
use sqlx::{Any, AnyConnection, AnyPool, Row as _, Transaction};
use tokio::sync::Mutex;

use crate::access::{Access, Userid};
use crate::class::CLASSES;
use crate::command::{self, CommandResult};
use crate::error::SafError;
use crate::profile::ProfileName;
use crate::snapshot::{Class, Profile, Snapshot, User};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The profiles a new installation begins with: without them RC 4 would permit several resources.
const BACKSTOPS: [(&str, &str); 4] =
    [("SERVAUTH", "EZA.**"), ("SERVAUTH", "EZB.**"), ("SERVAUTH", "IST.**"), ("OPERCMDS", "MVS.**")];
/// Classes a new installation activates, with generics and RACLISTed.
const ACTIVE: [&str; 4] = ["SERVAUTH", "OPERCMDS", "FACILITY", "RDATALIB"];

/// The database and its snapshot.
#[derive(Debug)]
pub struct Saf {
    pool: AnyPool,
    snapshot: ArcSwap<Snapshot>,
    /// Commands run one at a time, so that a snapshot always follows its change.
    commands: Mutex<()>,
}

impl Saf {
    /// Opens a database by URL (`sqlite:/path`), brings its schema up to date and takes a snapshot of every class.
    ///
    /// # Errors
    ///
    /// When it is not there, damaged, of a newer schema, or empty.
    pub async fn open(url: &str) -> Result<Self, SafError> {
        let saf = Self::connect(url, "rw").await?;
        let users: i64 = sqlx::query("SELECT COUNT(*) FROM racf_users").fetch_one(&saf.pool).await?.try_get(0)?;
        if users == 0 {
            return Err(SafError::Empty);
        }
        saf.reload(&|_| true).await?;
        Ok(saf)
    }

    /// Makes a database if there is none and fills it: group SYS1, `special` as its one SPECIAL user, the classes this
    /// product asks active and RACLISTed, and profiles that close them. Returns the lines that say what was done; none
    /// when it was set up before.
    ///
    /// # Errors
    ///
    /// When the database cannot be made.
    pub async fn initialise(url: &str, special: &Userid) -> Result<Vec<String>, SafError> {
        let saf = Self::connect(url, "rwc").await?;
        let users: i64 = sqlx::query("SELECT COUNT(*) FROM racf_users").fetch_one(&saf.pool).await?.try_get(0)?;
        if users > 0 {
            return Ok(Vec::new());
        }
        let mut change = saf.pool.begin().await?;
        let now = Utc::now().to_rfc3339();
        let mut done = Vec::new();
        sqlx::query("INSERT INTO racf_groups (name, superior, owner, created) VALUES ('SYS1', NULL, $1, $2)")
            .bind(special.as_str())
            .bind(&now)
            .execute(&mut *change)
            .await?;
        sqlx::query(
            "INSERT INTO racf_users (userid, owner, default_group, special, created) VALUES ($1, $1, 'SYS1', 1, $2)",
        )
        .bind(special.as_str())
        .bind(&now)
        .execute(&mut *change)
        .await?;
        sqlx::query("INSERT INTO racf_connects (userid, group_name, authority, owner) VALUES ($1, 'SYS1', 'JOIN', $1)")
            .bind(special.as_str())
            .execute(&mut *change)
            .await?;
        done.push(format!("user {special} defined with SPECIAL, default group SYS1"));
        for class in CLASSES {
            let on = i64::from(ACTIVE.contains(&class.name));
            sqlx::query("INSERT INTO racf_classes (name, active, generic, raclist) VALUES ($1, $2, $2, $2)")
                .bind(class.name)
                .bind(on)
                .execute(&mut *change)
                .await?;
        }
        done.push(format!("classes {} active, generic and RACLISTed", ACTIVE.join(" ")));
        for (class, name) in BACKSTOPS {
            sqlx::query(
                "INSERT INTO racf_profiles (class, name, generic, uacc, owner, created) VALUES ($1, $2, 1, 'NONE', $3, $4)",
            )
            .bind(class)
            .bind(name)
            .bind(special.as_str())
            .bind(&now)
            .execute(&mut *change)
            .await?;
            // As RDEFINE does for its issuer (ADDCREATOR).
            sqlx::query("INSERT INTO racf_access (class, name, generic, id, access) VALUES ($1, $2, 1, $3, 'ALTER')")
                .bind(class)
                .bind(name)
                .bind(special.as_str())
                .execute(&mut *change)
                .await?;
            done.push(format!("profile {name} defined in class {class} with UACC(NONE), {special} has ALTER"));
        }
        change.commit().await?;
        Ok(done)
    }

    async fn connect(url: &str, mode: &str) -> Result<Self, SafError> {
        install_default_drivers();
        let open = |source| SafError::Open { url: url.to_owned(), source };
        let address = if url.starts_with("sqlite:") { format!("{url}?mode={mode}") } else { url.to_owned() };
        let pool = AnyPoolOptions::new().max_connections(4).connect(&address).await.map_err(open)?;
        if url.starts_with("sqlite:") {
            // Readers never wait for the writer.
            sqlx::query("PRAGMA journal_mode = WAL").execute(&pool).await.map_err(open)?;
            sqlx::query("PRAGMA busy_timeout = 5000").execute(&pool).await.map_err(open)?;
            let check = sqlx::query("PRAGMA quick_check").fetch_one(&pool).await.map_err(open)?;
            let answer: String = check.try_get(0).map_err(open)?;
            if answer != "ok" {
                return Err(SafError::Damaged { what: "a whole file", value: answer });
            }
        }
        MIGRATIONS.run(&pool).await.map_err(|source| SafError::Schema { url: url.to_owned(), source })?;
        Ok(Self { pool, snapshot: ArcSwap::default(), commands: Mutex::new(()) })
    }

    /// What decisions are made from now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Runs a RACF command for a user. The change and its audit record are one transaction; afterwards the snapshot
    /// follows: users and classes that are not RACLISTed at once, RACLISTed classes when the command refreshed them.
    ///
    /// # Errors
    ///
    /// When the database does not answer; nothing has changed then.
    pub async fn command(&self, issuer: &Userid, line: &str) -> Result<CommandResult, SafError> {
        let _one_at_a_time = self.commands.lock().await;
        let mut change = self.pool.begin().await?;
        let snapshot = self.snapshot();
        let outcome = command::run(&mut change, &snapshot, issuer, line).await?;
        if outcome.result.code >= 8 {
            change.rollback().await?;
            change = self.pool.begin().await?;
        }
        let line: String = line.chars().take(1000).collect();
        if !snapshot.users.contains_key(issuer.as_str()) {
            // Who is not defined to RACF leaves no mark in its database.
            return Ok(outcome.result);
        }
        sqlx::query("INSERT INTO racf_audit (at, userid, command, result) VALUES ($1, $2, $3, $4)")
            .bind(Utc::now().to_rfc3339())
            .bind(issuer.as_str())
            .bind(line)
            .bind(i64::from(outcome.result.code))
            .execute(&mut *change)
            .await?;
        change.commit().await?;
        if outcome.changed {
            let refreshed: BTreeSet<String> = outcome.refreshed.into_iter().collect();
            self.reload(&|class| refreshed.contains(class)).await?;
        }
        Ok(outcome.result)
    }

    /// Makes a new snapshot. RACLISTed classes for which `refresh` says no keep their profiles.
    async fn reload(&self, refresh: &(dyn Fn(&str) -> bool + Sync)) -> Result<(), SafError> {
        let current = self.snapshot();
        let mut transaction = self.pool.begin().await?;
        let users = load_users(&mut transaction).await?;
        let mut classes = HashMap::new();
        let rows =
            sqlx::query("SELECT name, active, generic, raclist FROM racf_classes").fetch_all(&mut *transaction).await?;
        for row in rows {
            let name: String = row.try_get("name")?;
            let flag = |column: &str| row.try_get::<i64, _>(column).map(|value| value != 0);
            let (active, generic, raclist) = (flag("active")?, flag("generic")?, flag("raclist")?);
            let known = current.classes.get(&name).filter(|class| class.raclist && raclist && !refresh(&name));
            let class = match known {
                Some(known) => Arc::new(Class { active, ..Class::clone(known) }),
                None => {
                    let profiles = load_profiles(&mut transaction, &name).await?;
                    Arc::new(Class { active, generic, raclist, ..Class::default() }.with(profiles))
                }
            };
            classes.insert(name, class);
        }
        transaction.rollback().await?;
        self.snapshot.store(Arc::new(Snapshot { users: Arc::new(users), classes }));
        Ok(())
    }
}

async fn load_users(transaction: &mut Transaction<'_, Any>) -> Result<HashMap<String, User>, SafError> {
    let mut users = HashMap::new();
    let rows = sqlx::query("SELECT userid, name, default_group, special, auditor, restricted, revoked FROM racf_users")
        .fetch_all(&mut **transaction)
        .await?;
    for row in rows {
        let flag = |column: &str| row.try_get::<i64, _>(column).map(|value| value != 0);
        let user = User {
            name: row.try_get("name")?,
            default_group: row.try_get("default_group")?,
            groups: Vec::new(),
            special: flag("special")?,
            auditor: flag("auditor")?,
            restricted: flag("restricted")?,
            revoked: flag("revoked")?,
        };
        users.insert(row.try_get::<String, _>("userid")?, user);
    }
    let rows = sqlx::query("SELECT userid, group_name FROM racf_connects").fetch_all(&mut **transaction).await?;
    for row in rows {
        if let Some(user) = users.get_mut(&row.try_get::<String, _>("userid")?) {
            user.groups.push(row.try_get("group_name")?);
        }
    }
    Ok(users)
}

/// The profiles of a class as the database has them now.
pub(crate) async fn load_profiles(connection: &mut AnyConnection, class: &str) -> Result<Vec<Profile>, SafError> {
    let mut lists: HashMap<(String, i64), Vec<(String, Access)>> = HashMap::new();
    let rows = sqlx::query("SELECT name, generic, id, access FROM racf_access WHERE class = $1 ORDER BY id")
        .bind(class)
        .fetch_all(&mut *connection)
        .await?;
    for row in rows {
        let key = (row.try_get("name")?, row.try_get("generic")?);
        lists.entry(key).or_default().push((row.try_get("id")?, access(row.try_get("access")?)?));
    }
    let rows = sqlx::query("SELECT name, generic, uacc, owner, warning, data FROM racf_profiles WHERE class = $1")
        .bind(class)
        .fetch_all(&mut *connection)
        .await?;
    rows.into_iter()
        .map(|row| {
            let (name, generic): (String, i64) = (row.try_get("name")?, row.try_get("generic")?);
            Ok(Profile {
                uacc: access(row.try_get("uacc")?)?,
                owner: row.try_get("owner")?,
                warning: row.try_get::<i64, _>("warning")? != 0,
                data: row.try_get("data")?,
                access: lists.remove(&(name.clone(), generic)).unwrap_or_default(),
                name: ProfileName::stored(name, generic != 0),
            })
        })
        .collect()
}

fn access(text: String) -> Result<Access, SafError> {
    text.parse().map_err(|_| SafError::Damaged { what: "an access level", value: text })
}
