//! The database, and the snapshot that is made from it.
//!
//! Statements are written in SQL that both SQLite and PostgreSQL take.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono::Utc;
use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgListener;
use sqlx::{Any, AnyConnection, AnyPool, Row as _, Transaction};
use tokio::sync::{Mutex, MutexGuard, watch};
use tracing::warn;

use crate::access::Userid;
use crate::class::{ASKED, BACKSTOPS, CLASSES};
use crate::command::{self, Changes, Command, CommandProcessor, CommandResult, DataSets};
use crate::error::SafError;
use crate::explain::{Effect, differences, effects};
use crate::generations::{self, CHANNEL, Generations};
use crate::load;
use crate::pattern::Variables;
use crate::snapshot::{Class, Snapshot, Switches};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The advisory lock of PostgreSQL under which commands run.
const COMMANDS: i64 = 0x5041_4745_4E54;
/// Classes whose profiles are certificates and key rings.
const CERTIFICATES: [&str; 2] = ["DIGTCERT", "DIGTRING"];
/// Classes that say who may read rings.
const READING: [&str; 3] = ["RDATALIB", "FACILITY", "RACFVARS"];
/// How long a lost connection to PostgreSQL is left alone.
const RECONNECT: Duration = Duration::from_secs(1);

/// The database and its snapshot.
#[derive(Debug)]
pub struct Saf {
    pool: AnyPool,
    snapshot: ArcSwap<Snapshot>,
    /// Commands run one at a time, so that a snapshot always follows its change; with what of the database it has seen.
    commands: Mutex<Generations>,
    url: String,
    /// Commands of other crates.
    processors: Vec<Arc<dyn CommandProcessor>>,
    /// How often profiles of certificates and rings have changed since it was opened.
    certificates: watch::Sender<u64>,
}

impl Saf {
    /// Opens a database by URL (`sqlite:/path`), brings its schema up to date and takes a snapshot of every class.
    ///
    /// # Errors
    ///
    /// When it is not there, damaged, of a newer schema, or empty.
    pub async fn open(url: &str) -> Result<Self, SafError> {
        let saf = Self::new(connect(url, "rw").await?, url);
        let users: i64 = sqlx::query("SELECT COUNT(*) FROM racf_users").fetch_one(&saf.pool).await?.try_get(0)?;
        if users == 0 {
            return Err(SafError::Empty);
        }
        {
            let mut seen = saf.commands.lock().await;
            let mut transaction = begin(&saf.pool, url).await?;
            *seen = generations::read(&mut transaction).await?;
            let first = saf.follow(&mut transaction, Snapshot::default(), &Changes::all()).await?;
            saf.snapshot.store(Arc::new(first));
        }
        Ok(saf)
    }

    /// Opens a database to look at it only: its schema stays as it is.
    ///
    /// # Errors
    ///
    /// When it is not there or cannot be read, or its schema is older than this release's.
    pub async fn open_to_read(url: &str) -> Result<Self, SafError> {
        let saf = Self::new(pool(url, "ro").await?, url);
        let first = saf.follow(&mut *begin(&saf.pool, url).await?, Snapshot::default(), &Changes::all()).await?;
        saf.snapshot.store(Arc::new(first));
        Ok(saf)
    }

    /// A transaction that changes something beside commands: nothing that decisions are made from.
    ///
    /// Not beside a command: SQLite gives up a transaction that has read what another one changed.
    pub(crate) async fn write(&self) -> Result<(MutexGuard<'_, Generations>, Transaction<'static, Any>), SafError> {
        Ok((self.commands.lock().await, self.pool.begin().await?))
    }

    /// Makes a database if there is none and fills it: group SYS1, `special` as its one SPECIAL user, the classes this
    /// product asks active and RACLISTed, and profiles that close them. Returns the lines that say what was done; none
    /// when it was set up before.
    ///
    /// # Errors
    ///
    /// When the database cannot be made.
    pub async fn initialise(url: &str, special: &Userid) -> Result<Vec<String>, SafError> {
        let saf = Self::new(connect(url, "rwc").await?, url);
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
        for class in ASKED {
            sqlx::query("UPDATE racf_classes SET active = 1, generic = 1, raclist = 1 WHERE name = $1")
                .bind(class)
                .execute(&mut *change)
                .await?;
        }
        done.push(format!("classes {} active, generic and RACLISTed", ASKED.join(" ")));
        sqlx::query("UPDATE racf_classes SET active = 1 WHERE name = 'DIGTCERT'").execute(&mut *change).await?;
        done.push("class DIGTCERT active".to_owned());
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

    fn new(pool: AnyPool, url: &str) -> Self {
        Self {
            pool,
            snapshot: ArcSwap::default(),
            commands: Mutex::default(),
            url: url.to_owned(),
            processors: Vec::new(),
            certificates: watch::Sender::new(0),
        }
    }

    /// The same, with a command of another crate.
    #[must_use]
    pub fn with(mut self, processor: Arc<dyn CommandProcessor>) -> Self {
        self.processors.push(processor);
        self
    }

    /// A count that changes with certificates, key rings and who may read them, whoever changes them.
    #[must_use]
    pub fn certificates_changed(&self) -> watch::Receiver<u64> {
        self.certificates.subscribe()
    }

    /// A transaction that only reads, and sees one state of the database.
    ///
    /// # Errors
    ///
    /// When the database does not answer.
    pub async fn read(&self) -> Result<Transaction<'static, Any>, SafError> {
        begin(&self.pool, &self.url).await
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
        self.command_with(issuer, line, &DataSets::new()).await
    }

    /// The same, with what data sets hold that the command names. It says which it wants ([`CommandResult::wants`]).
    ///
    /// # Errors
    ///
    /// When the database does not answer; nothing has changed then.
    pub async fn command_with(
        &self,
        issuer: &Userid,
        line: &str,
        inputs: &DataSets,
    ) -> Result<CommandResult, SafError> {
        let mut seen = self.commands.lock().await;
        let mut change = self.pool.begin().await?;
        if is_postgres(&self.url) {
            // One command at a time, whichever daemon runs it: until this one is done nobody takes an authority away.
            sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(COMMANDS).execute(&mut *change).await?;
        }
        self.catch_up(&mut seen).await?;
        let snapshot = self.snapshot();
        let run = Command { issuer: *issuer, line, inputs, processors: &self.processors, dry_run: false };
        let mut outcome = command::run(&mut change, &snapshot, run).await?;
        if outcome.result.wants.is_some() {
            return Ok(outcome.result);
        }
        if outcome.result.code >= 8 {
            change.rollback().await?;
            change = self.pool.begin().await?;
        }
        let line = command::shown(line);
        if !snapshot.users.contains_key(issuer) {
            // Who is not defined to RACF leaves no mark in its database.
            return Ok(outcome.result);
        }
        sqlx::query("INSERT INTO racf_audit (at, userid, command, result) VALUES ($1, $2, $3, $4)")
            .bind(Utc::now().to_rfc3339())
            .bind(issuer.as_str().to_owned())
            .bind(line)
            .bind(i64::from(outcome.result.code))
            .execute(&mut *change)
            .await?;
        if outcome.result.code < 8 && !outcome.changes.is_empty() {
            generations::count_up(&mut change, &outcome.changes, &self.url).await?;
        }
        change.commit().await?;
        if let Err(error) = self.catch_up(&mut seen).await {
            warn!(%error, "a change of the SAF database is stored and does not count yet");
            outcome.result.code = outcome.result.code.max(4);
            outcome.result.lines.push(format!("THE CHANGE IS STORED, BUT DOES NOT COUNT YET: {error}"));
        }
        Ok(outcome.result)
    }

    /// Follows what other daemons on the same PostgreSQL change, for as long as somebody else has this too. After a
    /// connection was lost it looks for what it missed. An SQLite database has one daemon.
    pub fn follow_others(self: &Arc<Self>) {
        if !is_postgres(&self.url) {
            return;
        }
        let (saf, url) = (Arc::downgrade(self), self.url.clone());
        tokio::spawn(async move {
            while saf.strong_count() > 0 {
                if let Err(error) = listen(&saf, &url).await {
                    warn!(%error, "what other daemons change in the SAF database is not heard");
                }
                tokio::time::sleep(RECONNECT).await;
            }
        });
    }

    /// Loads what has changed since it was last looked at, by this daemon or another.
    async fn catch_up(&self, seen: &mut Generations) -> Result<(), SafError> {
        let mut transaction = begin(&self.pool, &self.url).await?;
        let now = generations::read(&mut transaction).await?;
        let changes = now.since(seen);
        if !changes.is_empty() {
            let next = self.follow(&mut transaction, Snapshot::clone(&self.snapshot()), &changes).await?;
            self.snapshot.store(Arc::new(next));
        }
        let certificates = changes.profiles.iter().any(|class| CERTIFICATES.contains(class));
        let mut counting = changes.refreshed.iter().chain(&changes.profiles).chain(&changes.global);
        let authority = counting.any(|class| READING.contains(class)) || changes.people || changes.options;
        if certificates || authority {
            self.certificates.send_modify(|count| *count += 1);
        }
        *seen = now;
        Ok(())
    }

    /// Ends the connections, with everything written into the database's own file.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// What `SETROPTS RACLIST(…) REFRESH` would change, class by class: `- ` what decides now and would not any more, `+ `
    /// what would.
    ///
    /// # Errors
    ///
    /// When the database does not answer.
    pub async fn pending(&self) -> Result<Vec<(&'static str, Vec<String>)>, SafError> {
        let snapshot = self.snapshot();
        let mut connection = begin(&self.pool, &self.url).await?;
        let (mut pending, mut global) = (Vec::new(), Vec::new());
        for (descriptor, class) in CLASSES.iter().zip(&snapshot.classes) {
            if class.switches.raclist {
                let stored = load::raclist(&mut connection, descriptor, None).await?;
                let mut lines: Vec<String> =
                    differences(&class.profiles, &stored).into_iter().map(|(_, line)| line).collect();
                if descriptor.name == "RACFVARS" && class.switches.active {
                    lines.extend(members(&snapshot.variables, &*load::variables(&mut connection).await?));
                }
                if !lines.is_empty() {
                    pending.push((descriptor.name, lines));
                }
            }
            if class.switches.global {
                let stored = load::global(&mut connection, descriptor.name).await?;
                let lines = differences(&class.global, &stored).into_iter();
                global.extend(lines.map(|(_, line)| format!("{line} IN CLASS {}", descriptor.name)));
            }
        }
        if !global.is_empty() {
            pending.push(("GLOBAL", global));
        }
        Ok(pending)
    }

    /// What a command would do: its answer, and who would gain or lose what, as if every class were refreshed then. Nothing
    /// is changed.
    ///
    /// # Errors
    ///
    /// When the database does not answer.
    pub async fn dry_run(&self, issuer: Userid, line: &str) -> Result<(CommandResult, Vec<Effect>), SafError> {
        let mut seen = self.commands.lock().await;
        self.catch_up(&mut seen).await?;
        let before = self
            .follow(&mut *begin(&self.pool, &self.url).await?, Snapshot::clone(&self.snapshot()), &Changes::all())
            .await?;
        let mut change = self.pool.begin().await?;
        let inputs = DataSets::new();
        let run = Command { issuer, line, inputs: &inputs, processors: &self.processors, dry_run: true };
        let mut outcome = command::run(&mut change, &self.snapshot(), run).await?;
        if let Some(name) = outcome.result.wants.take() {
            outcome.result.lines.push(format!("THE COMMAND READS THE DATA SET {name}, WHICH IS NOT DONE FOR A TRIAL"));
        }
        if outcome.result.code >= 8 {
            return Ok((outcome.result, Vec::new()));
        }
        let after = self.follow(&mut change, before.clone(), &Changes::all()).await?;
        change.rollback().await?;
        Ok((outcome.result, effects(&before, &after)))
    }

    /// The snapshot that follows the changes.
    async fn follow(
        &self,
        connection: &mut AnyConnection,
        mut next: Snapshot,
        changes: &Changes,
    ) -> Result<Snapshot, SafError> {
        if changes.people {
            let users = load::users(connection).await?;
            let mut by_uid: HashMap<u32, Option<Userid>> = HashMap::new();
            for (userid, user) in &users {
                let Some(uid) = user.uid else { continue };
                by_uid.entry(uid).and_modify(|found| *found = None).or_insert(Some(*userid));
            }
            next.by_uid = Arc::new(by_uid);
            next.users = Arc::new(users);
            next.groups = Arc::new(load::groups(connection).await?);
        }
        next.options = load::options(connection).await?;
        let switches = load::switches(connection).await?;
        next.classes.resize_with(CLASSES.len(), Arc::default);
        for (descriptor, class) in CLASSES.iter().zip(&mut next.classes) {
            let switches = switches.get(descriptor.name).copied().unwrap_or_default();
            let changed = changes.everything || changes.profiles.contains(descriptor.name);
            let refreshed = changes.everything || changes.refreshed.contains(descriptor.name);
            // What is RACLISTed stays as it was until a refresh; what no longer is counts at once.
            let follows = !switches.raclist && (changed || class.switches.raclist);
            let profiles = match refreshed || follows {
                true => load::raclist(connection, descriptor, None).await?,
                false => Arc::clone(&class.profiles),
            };
            if descriptor.name == "RACFVARS" {
                let counts = |switches: Switches| switches.active && switches.raclist;
                match (counts(switches), refreshed || !counts(class.switches)) {
                    (true, true) => next.variables = load::variables(connection).await?,
                    (true, false) => {}
                    (false, _) => next.variables = Arc::default(),
                }
            }
            match descriptor.name {
                "DIGTCERT" if refreshed || follows => next.certificates = load::certificates(connection).await?,
                "DIGTNMAP" if refreshed || follows => next.filters = load::filters(connection).await?,
                "DIGTCRIT" if refreshed || follows => next.criteria = load::criteria(connection).await?,
                _ => {}
            }
            let global = match changes.everything || changes.global.contains(descriptor.name) {
                true => load::global(connection, descriptor.name).await?,
                false => Arc::clone(&class.global),
            };
            *class = Arc::new(Class { switches, profiles, global });
        }
        Ok(next)
    }
}

/// How the values of RACF variables would change.
fn members(now: &Variables, next: &Variables) -> Vec<String> {
    let lines = |variables: &Variables| -> BTreeSet<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let line = |name: &[u8], values: &[Box<[u8]>]| {
            let values: Vec<String> = values.iter().map(|value| text(value)).collect();
            format!("&{}: {}", text(name), values.join(" "))
        };
        variables.iter().map(|(name, values)| line(name, values)).collect()
    };
    let (now, next) = (lines(now), lines(next));
    let gone = now.difference(&next).map(|line| format!("- {line}"));
    gone.chain(next.difference(&now).map(|line| format!("+ {line}"))).collect()
}

/// Whether a URL is PostgreSQL's.
pub(crate) fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres")
}

/// A transaction that sees one state of the database throughout: PostgreSQL's default would show each statement a later one.
pub(crate) async fn begin(pool: &AnyPool, url: &str) -> Result<Transaction<'static, Any>, SafError> {
    let mut transaction = pool.begin().await?;
    if is_postgres(url) {
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").execute(&mut *transaction).await?;
    }
    Ok(transaction)
}

async fn pool(url: &str, mode: &str) -> Result<AnyPool, SafError> {
    install_default_drivers();
    let address = if url.starts_with("sqlite:") { format!("{url}?mode={mode}") } else { url.to_owned() };
    let pool = AnyPoolOptions::new().max_connections(4).connect(&address).await;
    pool.map_err(|source| SafError::Open { url: url.to_owned(), source })
}

/// Connects to a database and brings its schema up to date.
pub(crate) async fn connect(url: &str, mode: &str) -> Result<AnyPool, SafError> {
    let open = |source| SafError::Open { url: url.to_owned(), source };
    let pool = pool(url, mode).await?;
    if url.starts_with("sqlite:") {
        // Readers never wait for the writer.
        sqlx::query("PRAGMA journal_mode = WAL").execute(&pool).await.map_err(open)?;
        let check = sqlx::query("PRAGMA quick_check").fetch_one(&pool).await.map_err(open)?;
        let answer: String = check.try_get(0).map_err(open)?;
        if answer != "ok" {
            return Err(SafError::Damaged { what: "a whole file", value: answer });
        }
    }
    MIGRATIONS.run(&pool).await.map_err(|source| SafError::Schema { url: url.to_owned(), source })?;
    for class in CLASSES {
        // A release may know classes that the one which made the database did not.
        sqlx::query("INSERT INTO racf_classes (name) VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(class.name)
            .execute(&pool)
            .await
            .map_err(open)?;
    }
    Ok(pool)
}

/// Hears of changes until the connection breaks or nobody needs it any more.
async fn listen(saf: &Weak<Saf>, url: &str) -> Result<(), SafError> {
    let mut listener = PgListener::connect(url).await?;
    listener.listen(CHANNEL).await?;
    loop {
        let Some(saf) = saf.upgrade() else { return Ok(()) };
        saf.catch_up(&mut *saf.commands.lock().await).await?;
        drop(saf);
        // None when the connection broke: something may have been missed.
        if listener.try_recv().await?.is_none() {
            return Ok(());
        }
    }
}
