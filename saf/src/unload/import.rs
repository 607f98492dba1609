//! An unload file into the database: all of it in one transaction, each record that does not fit told with its place.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::Path;

use sqlx::{Any, AnyPool, Transaction};

use super::lines::{Record, Records};
use super::{
    CONNECT, GROUP, GROUP_OMVS, Layout, MEMBER, RESOURCE, RESOURCE_ACCESS, RESOURCE_CONDITIONAL, RESOURCE_MEMBER,
    STARTED_TASK, USER, USER_CLASS, USER_OMVS,
};
use crate::access::{Access, Userid};
use crate::class::{self, ClassDescriptor};
use crate::command::Changes;
use crate::database;
use crate::error::SafError;
use crate::generations;
use crate::profile::ProfileName;
use crate::snapshot::Authority;

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
    superiors: Vec<(Userid, Userid)>,
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
    let mut import = Import {
        transaction: pool.begin().await?,
        imported: Imported::default(),
        report: reject,
        before: HashSet::new(),
        superiors: Vec::new(),
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
    let query = "INSERT INTO racf_connects (userid, group_name, owner) SELECT userid, default_group, owner FROM racf_users \
                 WHERE NOT EXISTS (SELECT 1 FROM racf_connects WHERE racf_connects.userid = racf_users.userid \
                 AND racf_connects.group_name = racf_users.default_group)";
    import.imported.connected = sqlx::query(query).execute(&mut *import.transaction).await?.rows_affected();
    generations::count_up(&mut import.transaction, &import.changes).await?;
    if url.starts_with("postgres") {
        let notify = sqlx::query("SELECT pg_notify($1, '')").bind(generations::CHANNEL);
        notify.execute(&mut *import.transaction).await?;
    }
    import.transaction.commit().await?;
    Ok(import.imported)
}

impl Import<'_> {
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
            (_, "0101" | "0203") => return Ok(()),
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
        (self.report)(Rejected { number: record.number, offset: record.offset, kind, reason });
    }

    async fn group(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &GROUP };
        let (name, owner) = (fields.id("NAME")?, fields.id("OWNER_ID")?);
        let superior = if fields.text("SUPGRP_ID").is_empty() { None } else { Some(fields.id("SUPGRP_ID")?) };
        if self.exists("racf_users", "userid", name).await? {
            return Err(format!("{name} is a user here; a name is one or the other").into());
        }
        let query = "INSERT INTO racf_groups (name, owner, created, data, universal) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        let query = sqlx::query(query).bind(name.as_str().to_owned()).bind(owner.as_str().to_owned());
        let query =
            query.bind(fields.text("CREATE_DATE")).bind(fields.text("INSTALL_DATA")).bind(fields.flag("UNIVERSAL"));
        if query.execute(&mut *self.transaction).await?.rows_affected() == 0 {
            self.before.insert(("group", name.to_string()));
            return Err(format!("group {name} is defined already, and stays as it is").into());
        }
        self.superiors.extend(superior.map(|superior| (name, superior)));
        Ok(true)
    }

    async fn set_superiors(&mut self) -> Result<(), SafError> {
        for (name, superior) in std::mem::take(&mut self.superiors) {
            let query = "UPDATE racf_groups SET superior = $1 WHERE name = $2 AND EXISTS (SELECT 1 FROM racf_groups WHERE name = $1)";
            let query = sqlx::query(query).bind(superior.as_str().to_owned()).bind(name.as_str().to_owned());
            query.execute(&mut *self.transaction).await?;
        }
        Ok(())
    }

    async fn user(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &USER };
        let (name, owner, group) = (fields.id("NAME")?, fields.id("OWNER_ID")?, fields.id("DEFGRP_ID")?);
        if !self.exists("racf_groups", "name", group).await? {
            return Err(format!("the default group {group} of user {name} is not defined").into());
        }
        if self.exists("racf_groups", "name", name).await? {
            return Err(format!("{name} is a group; a name is one or the other").into());
        }
        let (revoke, resume) = (fields.date("REVOKE_DATE")?, fields.date("RESUME_DATE")?);
        let query = "INSERT INTO racf_users (userid, owner, default_group, name, created, special, operations, auditor, roaudit, \
                     uaudit, restricted, revoked, revoke_date, resume_date, data, contained, nevercontain) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) ON CONFLICT DO NOTHING";
        let restricted = fields.text("ATTRIBS").split_whitespace().any(|word| word == "RSTD");
        let query = sqlx::query(query)
            .bind(name.as_str().to_owned())
            .bind(owner.as_str().to_owned())
            .bind(group.as_str().to_owned())
            .bind(fields.text("PROGRAMMER"))
            .bind(fields.text("CREATE_DATE"))
            .bind(fields.flag("SPECIAL"))
            .bind(fields.flag("OPER"))
            .bind(fields.flag("AUDITOR"))
            .bind(fields.flag("ROAUDIT"))
            .bind(fields.flag("UAUDIT"))
            .bind(i64::from(restricted))
            .bind(fields.flag("REVOKE"))
            .bind(revoke)
            .bind(resume)
            .bind(fields.text("INSTALL_DATA"))
            .bind(fields.flag("CONTAIN"))
            .bind(fields.flag("NEVERCONTAIN"));
        if query.execute(&mut *self.transaction).await?.rows_affected() == 0 {
            self.before.insert(("user", name.to_string()));
            return Err(format!("user {name} is defined already, and stays as it is").into());
        }
        Ok(true)
    }

    async fn profile(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &RESOURCE };
        let read = || {
            let Some((class, name)) = profile_of(record, &RESOURCE)? else { return Ok(None) };
            let auditing = |level: &str, success: &str, failures: &str| {
                let which = fields.text(level);
                let of = |wanted: &[&str], field: &str| match wanted.contains(&which.as_str()) {
                    true => fields.optional_access(field),
                    false => Ok(None),
                };
                Ok::<_, String>([of(&["ALL", "SUCCESS"], success)?, of(&["ALL", "FAIL", "FAILURES"], failures)?])
            };
            let audit = auditing("AUDIT_LEVEL", "AUDIT_OKQUAL", "AUDIT_FAQUAL")?;
            let global = auditing("GAUDIT_LEVEL", "GAUDIT_OKQUAL", "GAUDIT_FAQUAL")?;
            let level: i64 = fields.number("LEVEL", 99)?.unwrap_or_default();
            Ok::<_, String>(Some((class, name, fields.id("OWNER_ID")?, fields.access("UACC")?, audit, global, level)))
        };
        let Some((class, name, owner, uacc, audit, global, level)) = read()? else { return Ok(false) };
        let query = "INSERT INTO racf_profiles (class, name, generic, uacc, owner, warning, data, created, level, audit_success, \
                     audit_failures, global_success, global_failures, notify, appldata) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING";
        let named = |access: Option<Access>| access.map(|access| access.name().to_owned());
        let notify = Some(fields.text("NOTIFY_ID")).filter(|notify| !notify.is_empty());
        let query = sqlx::query(query)
            .bind(class.name)
            .bind(name.as_str().to_owned())
            .bind(i64::from(name.is_generic()))
            .bind(uacc.name())
            .bind(owner.as_str().to_owned())
            .bind(fields.flag("WARNING"))
            .bind(fields.text("INSTALL_DATA"))
            .bind(fields.text("CREATE_DATE"))
            .bind(level)
            .bind(named(audit[0]))
            .bind(named(audit[1]))
            .bind(named(global[0]))
            .bind(named(global[1]))
            .bind(notify)
            .bind(fields.text("APPL_DATA"));
        if query.execute(&mut *self.transaction).await?.rows_affected() == 0 {
            self.before.insert((class.name, name.to_string()));
            return Err(format!("{name} is defined to class {} already, and stays as it is", class.name).into());
        }
        self.changes.profiles.insert(class.name);
        Ok(true)
    }

    async fn group_omvs(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &GROUP_OMVS };
        let (name, gid) = (fields.id("NAME")?, fields.number("GID", i64::from(u32::MAX))?);
        self.is_new("group", name)?;
        let query =
            sqlx::query("UPDATE racf_groups SET gid = $1 WHERE name = $2").bind(gid).bind(name.as_str().to_owned());
        let found = query.execute(&mut *self.transaction).await?.rows_affected();
        if found == 0 { Err(format!("group {name} is not defined").into()) } else { Ok(true) }
    }

    async fn user_class(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &USER_CLASS };
        let name = fields.id("NAME")?;
        self.is_new("user", name)?;
        let class = fields.text("CLASS");
        if class != "USER" && class::find(&class).is_none() {
            return Ok(false);
        }
        let query = "INSERT INTO racf_clauth (userid, class) SELECT userid, $2 FROM racf_users WHERE userid = $1 ON CONFLICT DO NOTHING";
        let query = sqlx::query(query).bind(name.as_str().to_owned()).bind(class);
        let found = query.execute(&mut *self.transaction).await?.rows_affected();
        if found == 0 { Err(format!("user {name} is not defined, or has the class already").into()) } else { Ok(true) }
    }

    async fn connect(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &CONNECT };
        let read = || {
            let uacc = fields.optional_access("UACC")?.unwrap_or(Access::None);
            let dates = (fields.date("REVOKE_DATE")?, fields.date("RESUME_DATE")?);
            Ok::<_, String>((fields.id("NAME")?, fields.id("GRP_ID")?, fields.id("OWNER_ID")?, uacc, dates))
        };
        let (name, group, owner, uacc, (revoke, resume)) = read()?;
        self.is_new("user", name)?;
        let query = "INSERT INTO racf_connects (userid, group_name, owner, uacc, special, operations, auditor, revoked, revoke_date, \
                     resume_date, created) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11 \
                     WHERE EXISTS (SELECT 1 FROM racf_users WHERE userid = $1) AND EXISTS (SELECT 1 FROM racf_groups WHERE name = $2) \
                     ON CONFLICT DO NOTHING";
        let query = sqlx::query(query)
            .bind(name.as_str().to_owned())
            .bind(group.as_str().to_owned())
            .bind(owner.as_str().to_owned())
            .bind(uacc.name())
            .bind(fields.flag("GRP_SPECIAL"))
            .bind(fields.flag("GRP_OPER"))
            .bind(fields.flag("GRP_AUDIT"))
            .bind(fields.flag("REVOKE"))
            .bind(revoke)
            .bind(resume)
            .bind(fields.text("CONNECT_DATE"));
        let found = query.execute(&mut *self.transaction).await?.rows_affected();
        if found == 0 {
            Err(format!("user {name} or group {group} is not defined, or they are connected already").into())
        } else {
            Ok(true)
        }
    }

    async fn authority(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &MEMBER };
        let read = || {
            let word = fields.text("AUTH");
            let authority = Authority::parse(&word).ok_or(format!("`{word}` is no group authority"))?;
            Ok::<_, String>((fields.id("NAME")?, fields.id("MEMBER_ID")?, authority))
        };
        let (group, name, authority) = read()?;
        self.is_new("user", name)?;
        let query = "UPDATE racf_connects SET authority = $1 WHERE userid = $2 AND group_name = $3";
        let query = sqlx::query(query).bind(authority.name());
        let query = query.bind(name.as_str().to_owned()).bind(group.as_str().to_owned());
        let found = query.execute(&mut *self.transaction).await?.rows_affected();
        if found == 0 { Err(format!("user {name} is not connected to group {group}").into()) } else { Ok(true) }
    }

    async fn user_omvs(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &USER_OMVS };
        let (name, uid) = (fields.id("NAME")?, fields.number("UID", i64::from(u32::MAX))?);
        self.is_new("user", name)?;
        let filled = |field| Some(fields.text(field)).filter(|text| !text.is_empty());
        let query = sqlx::query("UPDATE racf_users SET uid = $1, home = $2, program = $3 WHERE userid = $4");
        let query = query.bind(uid).bind(filled("HOME_PATH")).bind(filled("PROGRAM")).bind(name.as_str().to_owned());
        let found = query.execute(&mut *self.transaction).await?.rows_affected();
        if found == 0 { Err(format!("user {name} is not defined").into()) } else { Ok(true) }
    }

    async fn member(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &RESOURCE_MEMBER };
        let Some((class, name)) = self.profile_here(record, &RESOURCE_MEMBER)? else { return Ok(false) };
        let access = fields.optional_access("GLOBAL_ACC")?;
        let member = fields.text("MEMBER");
        let of = class::find(name.as_str());
        let fits = match (class.name, of) {
            ("GLOBAL", Some(of)) => ProfileName::parse(&member, true, of).is_ok() && access.is_some(),
            ("RACFVARS", _) => !member.is_empty() && member.bytes().all(|byte| byte.is_ascii_graphic()),
            _ => false,
        };
        if !fits {
            return Err(format!("MEMBER in columns 262 to 516 is `{member}`, which is no member of {name}").into());
        }
        if class.name == "GLOBAL" {
            self.changes.global.extend(class::find(name.as_str()).map(|class| class.name));
        }
        let query = "INSERT INTO racf_members (class, name, generic, position, member, access) \
                     SELECT $1, $2, $3, $4, $5, $6 WHERE EXISTS (SELECT 1 FROM racf_profiles \
                     WHERE class = $1 AND name = $2 AND generic = $3) ON CONFLICT DO NOTHING";
        let position = i64::try_from(record.number).unwrap_or(i64::MAX);
        let query = sqlx::query(query)
            .bind(class.name)
            .bind(name.as_str().to_owned())
            .bind(i64::from(name.is_generic()))
            .bind(position)
            .bind(member)
            .bind(access.map(|access| access.name().to_owned()));
        let found = query.execute(&mut *self.transaction).await?.rows_affected();
        Ok(listed(found, class, &name)?)
    }

    async fn access(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &RESOURCE_ACCESS };
        let Some((class, name)) = self.profile_here(record, &RESOURCE_ACCESS)? else { return Ok(false) };
        let (id, access) = (fields.listed("AUTH_ID")?, fields.access("ACCESS")?);
        let query = "INSERT INTO racf_access (class, name, generic, id, access) SELECT $1, $2, $3, $4, $5 \
                     WHERE EXISTS (SELECT 1 FROM racf_profiles WHERE class = $1 AND name = $2 AND generic = $3) \
                     ON CONFLICT DO NOTHING";
        let query = sqlx::query(query)
            .bind(class.name)
            .bind(name.as_str().to_owned())
            .bind(i64::from(name.is_generic()))
            .bind(id.as_str().to_owned())
            .bind(access.name());
        let found = query.execute(&mut *self.transaction).await?.rows_affected();
        Ok(listed(found, class, &name)?)
    }

    async fn conditional(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &RESOURCE_CONDITIONAL };
        let Some((class, name)) = self.profile_here(record, &RESOURCE_CONDITIONAL)? else { return Ok(false) };
        let (id, access) = (fields.listed("AUTH_ID")?, fields.access("ACCESS")?);
        let condition = Some(fields.text("CANAME")).filter(|name| !name.is_empty());
        let condition = condition.unwrap_or_else(|| fields.text("CACRITERIA"));
        if condition.is_empty() {
            return Err(("the condition has no name in columns 271 to 278 or 313 to 556".to_owned()).into());
        }
        let query = "INSERT INTO racf_conditional (class, name, generic, condition_class, condition_name, id, access) \
                     SELECT $1, $2, $3, $4, $5, $6, $7 WHERE EXISTS (SELECT 1 FROM racf_profiles \
                     WHERE class = $1 AND name = $2 AND generic = $3) ON CONFLICT DO NOTHING";
        let query = sqlx::query(query)
            .bind(class.name)
            .bind(name.as_str().to_owned())
            .bind(i64::from(name.is_generic()))
            .bind(fields.text("CATYPE"))
            .bind(condition)
            .bind(id.as_str().to_owned())
            .bind(access.name());
        let found = query.execute(&mut *self.transaction).await?.rows_affected();
        Ok(listed(found, class, &name)?)
    }

    async fn task(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &STARTED_TASK };
        let Some((class, name)) = self.profile_here(record, &STARTED_TASK)? else { return Ok(false) };
        let filled = |field| Some(fields.text(field)).filter(|text| !text.is_empty());
        let query = "UPDATE racf_profiles SET task_user = $1, task_group = $2, task_trusted = $3, task_privileged = $4 \
                     WHERE class = $5 AND name = $6 AND generic = $7";
        let query = sqlx::query(query)
            .bind(filled("USER_ID"))
            .bind(filled("GROUP_ID"))
            .bind(fields.flag("TRUSTED"))
            .bind(fields.flag("PRIVILEGED"))
            .bind(class.name)
            .bind(name.as_str().to_owned())
            .bind(i64::from(name.is_generic()));
        let found = query.execute(&mut *self.transaction).await?.rows_affected();
        Ok(listed(found, class, &name)?)
    }

    /// The profile a record belongs to: the one of the 0500 record before it, else the generic one if the name looks so.
    fn profile_here(
        &self,
        record: &Record,
        layout: &Layout,
    ) -> Result<Option<(&'static ClassDescriptor, ProfileName)>, String> {
        let Some((class, name)) = profile_of(record, layout)? else { return Ok(None) };
        let same = |(of, current): &&(&ClassDescriptor, ProfileName)| {
            of.name == class.name && current.as_str() == name.as_str()
        };
        let name = self.current.as_ref().filter(same).map_or(name, |(_, current)| current.clone());
        if self.before.contains(&(class.name, name.to_string())) {
            return Err(format!("{name} was defined to class {} before, and stays as it is", class.name));
        }
        Ok(Some((class, name)))
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
const IMPORTED: [&str; 15] = [
    "0100", "0101", "0102", "0120", "0200", "0202", "0203", "0205", "0270", "0500", "0503", "0505", "0507", "0540",
    "0506",
];

fn listed(found: u64, class: &ClassDescriptor, name: &ProfileName) -> Result<bool, String> {
    match found {
        0 => Err(format!("{name} is not defined to class {}, or has the entry already", class.name)),
        _ => Ok(true),
    }
}

/// The class and name in a record; none of classes that have no place here.
fn profile_of(record: &Record, layout: &Layout) -> Result<Option<(&'static ClassDescriptor, ProfileName)>, String> {
    let fields = Fields { record, layout };
    let (class, name) = (fields.text("CLASS_NAME"), fields.text("NAME"));
    if class.is_empty() || name.is_empty() {
        return Err("a profile name and a class are expected in columns 6 to 251 and 253 to 260".to_owned());
    }
    let Some(class) = class::find(&class).filter(|class| !class.certificates) else { return Ok(None) };
    let generic = match layout.kind {
        "0500" => fields.text("GENERIC") == "YES",
        _ => name.contains(['*', '%', '&']) && class.name != "RACFVARS",
    };
    let Ok(parsed) = ProfileName::parse(&name, generic, class) else {
        return Err(format!("`{name}` is no profile name of class {}", class.name));
    };
    Ok(Some((class, ProfileName::stored(parsed.as_str().to_owned(), generic))))
}

/// A record's fields, read by what they must be.
struct Fields<'a> {
    record: &'a Record,
    layout: &'a Layout,
}

impl Fields<'_> {
    fn text(&self, name: &str) -> String {
        self.record.field(self.layout, name)
    }

    fn flag(&self, name: &str) -> i64 {
        i64::from(self.text(name) == "YES")
    }

    fn id(&self, name: &str) -> Result<Userid, String> {
        let text = self.text(name);
        Userid::parse(&text).ok_or_else(|| self.wrong(name, &text, "a user id or group name"))
    }

    fn listed(&self, name: &str) -> Result<Userid, String> {
        let text = self.text(name);
        Userid::parse_listed(&text).ok_or_else(|| self.wrong(name, &text, "a user id, a group name or *"))
    }

    fn access(&self, name: &str) -> Result<Access, String> {
        let text = self.text(name);
        text.parse().map_err(|_| self.wrong(name, &text, "an access level"))
    }

    fn optional_access(&self, name: &str) -> Result<Option<Access>, String> {
        if self.text(name).is_empty() { Ok(None) } else { self.access(name).map(Some) }
    }

    fn number(&self, name: &str, largest: i64) -> Result<Option<i64>, String> {
        let text = self.text(name);
        match text.parse::<i64>() {
            _ if text.is_empty() => Ok(None),
            Ok(number) if (0..=largest).contains(&number) => Ok(Some(number)),
            _ => Err(self.wrong(name, &text, &format!("a number from 0 to {largest}"))),
        }
    }

    fn date(&self, name: &str) -> Result<Option<String>, String> {
        let text = self.text(name);
        match chrono::NaiveDate::parse_from_str(&text, crate::load::DATE) {
            _ if text.is_empty() => Ok(None),
            Ok(_) => Ok(Some(text)),
            Err(_) => Err(self.wrong(name, &text, "a date yyyy-mm-dd")),
        }
    }

    fn wrong(&self, name: &str, text: &str, expected: &str) -> String {
        let (from, to) = self.layout.columns(name).unwrap_or_default();
        format!("{name} in columns {from} to {to} is `{text}`, {expected} is expected")
    }
}
