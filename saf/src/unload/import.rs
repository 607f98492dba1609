//! An unload file into the database: all of it in one transaction, each record that does not fit told with its place.

mod people;
mod resources;
mod rings;

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::Path;

use sqlx::{Any, AnyConnection, AnyPool, Transaction};

use super::fields::profile_of;
use super::lines::{Record, Records};
use super::{CONNECT, RESOURCE};
use crate::access::Userid;
use crate::class::{self, ClassDescriptor};
use crate::command::Changes;
use crate::database;
use crate::error::SafError;
use crate::generations;
use crate::load::Columns as _;
use crate::profile::ProfileName;

/// What refers to others comes after them: the file is read once for each.
const PASSES: u8 = 4;
/// Records between two reports of progress.
const STEP: u64 = 10_000;

/// A record that was not imported.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rejected {
    /// Which record, from 1; of a text file the line.
    pub number: u64,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its type.
    pub kind: String,
    /// What was expected instead.
    pub reason: String,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Progress {
    /// Bytes read of all that are to be read; the file is read several times.
    pub done: u64,
    /// All.
    pub all: u64,
}

/// What an import did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Imported {
    /// Records that are in the database now, by type.
    pub records: BTreeMap<String, u64>,
    /// Records of types, or of classes, that have no place here, by type.
    pub left_out: BTreeMap<String, u64>,
    /// Records that were rejected.
    pub rejected: u64,
    /// Users who were not connected to their default group, and are now.
    pub connected: u64,
}

/// Where the records go that do not fit, and reports of progress.
struct Import<'a> {
    transaction: Transaction<'static, Any>,
    imported: Imported,
    report: &'a mut dyn FnMut(Rejected),
    /// Users, groups and profiles that were there before: nothing of them is changed.
    before: HashSet<(&'static str, String)>,
    /// Connections whose records were rejected: they may have been revoked.
    broken: HashSet<(String, String)>,
    superiors: Vec<(Userid, Userid)>,
    /// Key rings that are new, as OWNER.RING.
    rings: HashSet<String>,
    changes: Changes,
    /// The 0500 record last read: records on the same profile follow it.
    current: Option<(&'static ClassDescriptor, ProfileName)>,
}

/// Why a record is not imported.
enum Unfit {
    /// It does not fit.
    Reason(String),
    /// The database does not answer.
    Database(SafError),
}

impl From<String> for Unfit {
    fn from(reason: String) -> Self {
        Self::Reason(reason)
    }
}

impl From<&str> for Unfit {
    fn from(reason: &str) -> Self {
        Self::Reason(reason.to_owned())
    }
}

impl From<SafError> for Unfit {
    fn from(error: SafError) -> Self {
        Self::Database(error)
    }
}

impl From<sqlx::Error> for Unfit {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Imports an IRRDBU00 unload into the database of a URL, in one transaction. What is in the database already stays as it
/// is. `reject` hears of each record that does not fit, `progress` from time to time.
///
/// # Errors
///
/// When the file cannot be read or the database does not answer; nothing is imported then.
pub async fn import(
    url: &str,
    file: &Path,
    reject: &mut dyn FnMut(Rejected),
    progress: &mut dyn FnMut(Progress),
) -> Result<Imported, SafError> {
    let pool: AnyPool = database::connect(url, "rw").await?;
    let failed = |source: io::Error| SafError::File { path: file.to_owned(), source };
    let mut transaction = pool.begin().await?;
    let before = before(&mut transaction).await?;
    let mut import = Import {
        transaction,
        imported: Imported::default(),
        report: reject,
        before,
        broken: HashSet::new(),
        superiors: Vec::new(),
        rings: HashSet::new(),
        changes: Changes { people: true, ..Changes::default() },
        current: None,
    };
    for pass in 1..=PASSES {
        let mut records = Records::open(file).map_err(failed)?;
        let all = records.length * u64::from(PASSES);
        while let Some(record) = records.next().map_err(failed)? {
            if record.number.is_multiple_of(STEP) {
                progress(Progress { done: records.length * u64::from(pass - 1) + records.position(), all });
            }
            import.record(pass, &record).await?;
        }
        if pass == 1 {
            import.set_superiors().await?;
        }
        progress(Progress { done: records.length * u64::from(pass), all });
    }
    import.connect_to_default_groups().await?;
    generations::count_up(&mut import.transaction, &import.changes, url).await?;
    import.transaction.commit().await?;
    Ok(import.imported)
}

/// The users, groups and profiles that are there.
async fn before(connection: &mut AnyConnection) -> Result<HashSet<(&'static str, String)>, SafError> {
    let mut before = HashSet::new();
    for row in sqlx::query("SELECT userid FROM racf_users").fetch_all(&mut *connection).await? {
        before.insert(("user", row.text("userid")?));
    }
    for row in sqlx::query("SELECT name FROM racf_groups").fetch_all(&mut *connection).await? {
        before.insert(("group", row.text("name")?));
    }
    for row in sqlx::query("SELECT class, name, generic FROM racf_profiles").fetch_all(connection).await? {
        let name = ProfileName::stored(row.text("name")?, row.flag("generic")?);
        before.extend(class::find(&row.text("class")?).map(|class| (class.name, name.to_string())));
    }
    Ok(before)
}

impl Import<'_> {
    /// Connects new users to their default groups where no record did. Where one was rejected the connection is revoked: it
    /// may have said so.
    async fn connect_to_default_groups(&mut self) -> Result<(), SafError> {
        let query = "SELECT userid, default_group, owner FROM racf_users WHERE NOT EXISTS (SELECT 1 FROM racf_connects \
                     WHERE racf_connects.userid = racf_users.userid AND racf_connects.group_name = racf_users.default_group)";
        for row in sqlx::query(query).fetch_all(&mut *self.transaction).await? {
            let (user, group) = (row.text("userid")?, row.text("default_group")?);
            if self.before.contains(&("user", user.clone())) {
                continue;
            }
            let revoked = i64::from(self.broken.contains(&(user.clone(), group.clone())));
            let query = "INSERT INTO racf_connects (userid, group_name, owner, revoked) VALUES ($1, $2, $3, $4)";
            let query = sqlx::query(query).bind(user).bind(group).bind(row.text("owner")?).bind(revoked);
            query.execute(&mut *self.transaction).await?;
            self.imported.connected += 1;
        }
        Ok(())
    }

    async fn record(&mut self, pass: u8, record: &Record) -> Result<(), SafError> {
        let kind = record.kind();
        let well_formed =
            kind.len() == 4 && kind.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        if record.text.is_empty() {
            return Ok(());
        }
        if pass == 1 && (!well_formed || record.cut) {
            let reason = match record.cut {
                true => "the record is cut off, or longer than any of an unload".to_owned(),
                false => "a record type of four digits is expected in columns 1 to 4".to_owned(),
            };
            self.reject(record, reason);
            return Ok(());
        }
        if !well_formed || record.cut {
            return Ok(());
        }
        let fits = match (pass, kind) {
            (1, "0100") => self.group(record).await,
            (2, "0200") => self.user(record).await,
            (3, "0500") if record.field(&RESOURCE, "CLASS_NAME") == "DIGTRING" => self.ring(record).await,
            (4, "0562") => self.place(record).await,
            (2, "0500") if record.field(&RESOURCE, "CLASS_NAME") == "DIGTRING" => return Ok(()),
            (2, "0500") => self.profile(record).await,
            (3, "0500") => {
                self.current = profile_of(record, &RESOURCE).ok().flatten();
                return Ok(());
            }
            (3, "0120") => self.group_omvs(record).await,
            (3, "0202") => self.user_class(record).await,
            (3, "0205") => self.connect(record).await,
            (3, "0270") => self.user_omvs(record).await,
            (3, "0503") => self.member(record).await,
            (3, "0505") => self.access(record).await,
            (3, "0507") => self.conditional(record).await,
            (3, "0540") => self.task(record).await,
            (4, "0102") => self.authority(record).await,
            // What 0100, 0205 and others say too.
            (_, "0101" | "0203" | "0207" | "0561") => return Ok(()),
            (1, kind) if !IMPORTED.contains(&kind) => {
                *self.imported.left_out.entry(kind.to_owned()).or_default() += 1;
                return Ok(());
            }
            _ => return Ok(()),
        };
        match fits {
            Err(Unfit::Database(error)) => return Err(error),
            Ok(true) => *self.imported.records.entry(kind.to_owned()).or_default() += 1,
            Ok(false) => *self.imported.left_out.entry(kind.to_owned()).or_default() += 1,
            Err(Unfit::Reason(reason)) => self.reject(record, reason),
        }
        Ok(())
    }

    fn reject(&mut self, record: &Record, reason: String) {
        self.imported.rejected += 1;
        let kind = record.kind().to_owned();
        if kind == CONNECT.kind {
            self.broken.insert((record.field(&CONNECT, "NAME"), record.field(&CONNECT, "GRP_ID")));
        }
        (self.report)(Rejected { number: record.number, offset: record.offset, kind, reason });
    }

    async fn set_superiors(&mut self) -> Result<(), SafError> {
        for (name, superior) in std::mem::take(&mut self.superiors) {
            let query = "UPDATE racf_groups SET superior = $1 WHERE name = $2 AND EXISTS (SELECT 1 FROM racf_groups WHERE name = $1)";
            let query = sqlx::query(query).bind(superior.as_str().to_owned()).bind(name.as_str().to_owned());
            query.execute(&mut *self.transaction).await?;
        }
        Ok(())
    }

    fn is_new(&self, what: &'static str, name: Userid) -> Result<(), String> {
        if self.before.contains(&(what, name.to_string())) {
            return Err(format!("{what} {name} was defined before, and stays as it is"));
        }
        Ok(())
    }

    async fn exists(&mut self, table: &str, column: &str, id: Userid) -> Result<bool, SafError> {
        let query = sqlx::AssertSqlSafe(format!("SELECT 1 FROM {table} WHERE {column} = $1"));
        let query = sqlx::query(query).bind(id.as_str().to_owned());
        Ok(query.fetch_optional(&mut *self.transaction).await?.is_some())
    }
}

/// Types that some pass takes, or that say nothing new.
const IMPORTED: [&str; 18] = [
    "0100", "0101", "0102", "0120", "0200", "0202", "0203", "0205", "0207", "0270", "0500", "0503", "0505", "0506",
    "0507", "0540", "0561", "0562",
];
