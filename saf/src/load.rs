//! Rows of the database to what decisions are made from.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::NaiveDate;
use futures_util::TryStreamExt as _;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use crate::access::{Access, Userid};
use crate::class::ClassDescriptor;
use crate::error::SafError;
use crate::mapping::{Certificates, Criteria, Filter, Filters, Known};
use crate::pattern::Variables;
use crate::profile::ProfileName;
use crate::raclist::{Auditing, Conditional, Entry, Profile, Raclist};
use crate::snapshot::{Attributes, Authority, Connect, Group, LogOptions, Options, Revocation, Switches, User};

/// A column's value, read by what the schema says it is. Each fails where the database has something else.
#[allow(missing_docs, clippy::missing_errors_doc, reason = "each is what its type says")]
pub trait Columns {
    fn text(&self, column: &str) -> Result<String, SafError>;
    fn optional(&self, column: &str) -> Result<Option<String>, SafError>;
    fn number(&self, column: &str) -> Result<i64, SafError>;
    fn flag(&self, column: &str) -> Result<bool, SafError>;
    fn id(&self, column: &str) -> Result<Userid, SafError>;
    fn access(&self, column: &str) -> Result<Access, SafError>;
    fn date(&self, column: &str) -> Result<Option<NaiveDate>, SafError>;
}

impl Columns for AnyRow {
    fn text(&self, column: &str) -> Result<String, SafError> {
        Ok(self.try_get(column)?)
    }

    fn optional(&self, column: &str) -> Result<Option<String>, SafError> {
        Ok(self.try_get(column)?)
    }

    fn number(&self, column: &str) -> Result<i64, SafError> {
        Ok(self.try_get(column)?)
    }

    fn flag(&self, column: &str) -> Result<bool, SafError> {
        Ok(self.number(column)? != 0)
    }

    fn id(&self, column: &str) -> Result<Userid, SafError> {
        let text = self.text(column)?;
        Userid::parse_listed(&text).ok_or(SafError::Damaged { what: "a user id or group name", value: text })
    }

    fn access(&self, column: &str) -> Result<Access, SafError> {
        level(self.text(column)?)
    }

    fn date(&self, column: &str) -> Result<Option<NaiveDate>, SafError> {
        let Some(text) = self.optional(column)? else { return Ok(None) };
        let date = NaiveDate::parse_from_str(&text, DATE);
        date.map(Some).map_err(|_| SafError::Damaged { what: "a date", value: text })
    }
}

/// How dates are stored.
pub(crate) const DATE: &str = "%Y-%m-%d";

fn level(text: String) -> Result<Access, SafError> {
    text.parse().map_err(|_| SafError::Damaged { what: "an access level", value: text })
}

fn optional_level(row: &AnyRow, column: &str) -> Result<Option<Access>, SafError> {
    row.optional(column)?.map(level).transpose()
}

/// Everybody.
pub(crate) async fn users(connection: &mut AnyConnection) -> Result<HashMap<Userid, User>, SafError> {
    let mut users = HashMap::new();
    let mut rows = sqlx::query("SELECT * FROM racf_users").fetch(&mut *connection);
    while let Some(row) = rows.try_next().await? {
        let attributes = Attributes {
            special: row.flag("special")?,
            auditor: row.flag("auditor")?,
            roaudit: row.flag("roaudit")?,
            operations: row.flag("operations")?,
            restricted: row.flag("restricted")?,
            uaudit: row.flag("uaudit")?,
            contained: row.flag("contained")?,
        };
        let uid: Option<i64> = row.try_get("uid")?;
        let user = User {
            name: row.text("name")?,
            owner: row.id("owner")?,
            default_group: row.id("default_group")?,
            connects: Vec::new(),
            attributes,
            revocation: revocation(&row)?,
            clauth: Vec::new(),
            uid: uid.and_then(|uid| u32::try_from(uid).ok()),
        };
        users.insert(row.id("userid")?, user);
    }
    drop(rows);
    let mut rows = sqlx::query("SELECT * FROM racf_connects ORDER BY group_name").fetch(&mut *connection);
    while let Some(row) = rows.try_next().await? {
        let connect = Connect {
            group: row.id("group_name")?,
            authority: authority(row.text("authority")?)?,
            special: row.flag("special")?,
            auditor: row.flag("auditor")?,
            operations: row.flag("operations")?,
            revocation: revocation(&row)?,
        };
        if let Some(user) = users.get_mut(&row.id("userid")?) {
            user.connects.push(connect);
        }
    }
    drop(rows);
    let mut rows = sqlx::query("SELECT userid, class FROM racf_clauth ORDER BY class").fetch(connection);
    while let Some(row) = rows.try_next().await? {
        if let Some(user) = users.get_mut(&row.id("userid")?) {
            user.clauth.push(row.text("class")?);
        }
    }
    Ok(users)
}

fn revocation(row: &AnyRow) -> Result<Revocation, SafError> {
    Ok(Revocation { now: row.flag("revoked")?, from: row.date("revoke_date")?, until: row.date("resume_date")? })
}

fn authority(text: String) -> Result<Authority, SafError> {
    Authority::parse(&text).ok_or(SafError::Damaged { what: "a group authority", value: text })
}

/// Every group.
pub(crate) async fn groups(connection: &mut AnyConnection) -> Result<HashMap<Userid, Group>, SafError> {
    let rows = sqlx::query("SELECT name, superior, owner FROM racf_groups").fetch_all(connection).await?;
    let group = |row: &AnyRow| {
        let superior = row.optional("superior")?.and_then(|superior| Userid::parse(&superior));
        Ok((row.id("name")?, Group { superior, owner: row.id("owner")? }))
    };
    rows.iter().map(group).collect()
}

/// SETROPTS options.
pub(crate) async fn options(connection: &mut AnyConnection) -> Result<Options, SafError> {
    let mut options = Options::default();
    for row in sqlx::query("SELECT name, value FROM racf_options").fetch_all(connection).await? {
        let (name, value) = (row.text("name")?, row.flag("value")?);
        match options.named(&name) {
            Some(option) => *option = value,
            None => return Err(SafError::Damaged { what: "an option", value: name }),
        }
    }
    Ok(options)
}

/// The switches of each class.
pub(crate) async fn switches(connection: &mut AnyConnection) -> Result<HashMap<String, Switches>, SafError> {
    let rows = sqlx::query("SELECT * FROM racf_classes").fetch_all(connection).await?;
    let of = |row: &AnyRow| {
        let log = row.text("log")?;
        let switches = Switches {
            active: row.flag("active")?,
            generic: row.flag("generic")?,
            gencmd: row.flag("gencmd")?,
            raclist: row.flag("raclist")?,
            global: row.flag("global")?,
            audit: row.flag("audit")?,
            statistics: row.flag("statistics")?,
            log: LogOptions::parse(&log).ok_or(SafError::Damaged { what: "LOGOPTIONS", value: log })?,
        };
        Ok((row.text("name")?, switches))
    };
    rows.iter().map(of).collect()
}

/// The profiles of a class as the database has them now, or those of one name. Profiles and lists come in one order and
/// are joined on the way.
pub(crate) async fn raclist(
    connection: &mut AnyConnection,
    class: &ClassDescriptor,
    only: Option<&str>,
) -> Result<Arc<Raclist>, SafError> {
    let rows_of = |columns: &str, table: &str, order: &str| {
        let condition = if only.is_some() { " AND name = $2" } else { "" };
        AssertSqlSafe(format!(
            "SELECT name, generic, {columns} FROM {table} WHERE class = $1{condition} ORDER BY name, generic{order}"
        ))
    };
    let bound = |text| {
        let query = sqlx::query(text).bind(class.name);
        match only {
            Some(name) => query.bind(name.to_owned()),
            None => query,
        }
    };
    let mut profiles = Vec::new();
    let text = rows_of(
        "uacc, owner, warning, notify, audit_success, audit_failures, global_success, global_failures",
        "racf_profiles",
        "",
    );
    let mut rows = bound(text).fetch(&mut *connection);
    while let Some(row) = rows.try_next().await? {
        let auditing = |success, failures| {
            Ok::<_, SafError>(Auditing {
                success: optional_level(&row, success)?,
                failures: optional_level(&row, failures)?,
            })
        };
        profiles.push(Profile {
            name: ProfileName::stored(row.text("name")?, row.flag("generic")?),
            uacc: row.access("uacc")?,
            owner: row.id("owner")?,
            warning: row.flag("warning")?,
            notify: row.optional("notify")?.and_then(|id| Userid::parse(&id)),
            audit: auditing("audit_success", "audit_failures")?,
            global_audit: auditing("global_success", "global_failures")?,
            access: Vec::new(),
            conditional: Vec::new(),
        });
    }
    drop(rows);
    let mut rows = bound(rows_of("id, access", "racf_access", "")).fetch(&mut *connection);
    let mut place = profiles.iter_mut().peekable();
    while let Some(row) = rows.try_next().await? {
        let entry = Entry { id: row.id("id")?, access: row.access("access")? };
        advance(&mut place, &row)?.access.push(entry);
    }
    drop(rows);
    let text = rows_of(
        "condition_class, condition_name, id, access",
        "racf_conditional",
        ", id, condition_class, condition_name",
    );
    let mut rows = bound(text).fetch(connection);
    let mut place = profiles.iter_mut().peekable();
    while let Some(row) = rows.try_next().await? {
        let conditional = Conditional {
            entry: Entry { id: row.id("id")?, access: row.access("access")? },
            class: row.text("condition_class")?.into(),
            name: row.text("condition_name")?.into(),
        };
        advance(&mut place, &row)?.conditional.push(conditional);
    }
    let entries = profiles.iter().map(|profile| profile.access.len() + profile.conditional.len()).sum::<usize>();
    let names = profiles.iter().map(|profile| profile.name.as_str().len()).sum::<usize>();
    if u32::try_from(entries.max(names)).is_err() {
        return Err(SafError::Damaged { what: "a class with fewer than 2³² entries", value: class.name.to_owned() });
    }
    Ok(Arc::new(Raclist::new(profiles)))
}

/// Goes on to the profile a row belongs to. Without one rows come in another order than profiles: an entry that is lost would
/// let in whom it keeps out.
fn advance<'a, 'p>(
    place: &'a mut std::iter::Peekable<std::slice::IterMut<'p, Profile>>,
    row: &AnyRow,
) -> Result<&'a mut &'p mut Profile, SafError> {
    let name = ProfileName::stored(row.text("name")?, row.flag("generic")?);
    while place.peek().is_some_and(|profile| profile.name != name) {
        place.next();
    }
    place.peek_mut().ok_or_else(|| SafError::Damaged {
        what: "an access list whose profile is there, in the database's own order of names",
        value: name.to_string(),
    })
}

/// A class's entries in the global access table, as profiles with a UACC.
pub(crate) async fn global(connection: &mut AnyConnection, class: &str) -> Result<Arc<Raclist>, SafError> {
    let query = "SELECT member, access FROM racf_members WHERE class = 'GLOBAL' AND name = $1 ORDER BY position";
    let rows = sqlx::query(query).bind(class).fetch_all(connection).await?;
    let entry = |row: &AnyRow| {
        let member = row.text("member")?;
        let generic = member.contains(['*', '%', '&']);
        Ok(Profile {
            name: ProfileName::stored(member, generic),
            uacc: optional_level(row, "access")?.unwrap_or(Access::None),
            owner: Userid::ALL,
            warning: false,
            notify: None,
            audit: Auditing::default(),
            global_audit: Auditing::default(),
            access: Vec::new(),
            conditional: Vec::new(),
        })
    };
    Ok(Arc::new(Raclist::new(rows.iter().map(entry).collect::<Result<_, SafError>>()?)))
}

/// RACF variables with their values.
pub(crate) async fn variables(connection: &mut AnyConnection) -> Result<Arc<Variables>, SafError> {
    let query = "SELECT name, member FROM racf_members WHERE class = 'RACFVARS' ORDER BY name, position";
    let mut variables = Variables::new();
    for row in sqlx::query(query).fetch_all(connection).await? {
        let name = row.text("name")?;
        let name = name.trim_start_matches('&').as_bytes();
        variables.entry(name.into()).or_default().push(row.text("member")?.into_bytes().into());
    }
    Ok(Arc::new(variables))
}

/// Certificates with what says whom they stand for.
pub(crate) async fn certificates(connection: &mut AnyConnection) -> Result<Arc<Certificates>, SafError> {
    let mut certificates = Certificates::new();
    let mut rows =
        sqlx::query("SELECT serial, issuer, userid, status, fingerprint FROM racf_certificates").fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let known = Known {
            userid: owner(&row)?,
            trusted: row.text("status")? != "NOTRUST",
            fingerprint: row.text("fingerprint")?.into(),
        };
        certificates.insert((row.text("serial")?.into(), row.text("issuer")?.into()), known);
    }
    Ok(Arc::new(certificates))
}

/// The user of a certificate or filter; none where it is no user's.
fn owner(row: &AnyRow) -> Result<Option<Userid>, SafError> {
    row.optional("userid")?.map(|_| row.id("userid")).transpose()
}

/// Certificate name filters.
pub(crate) async fn filters(connection: &mut AnyConnection) -> Result<Arc<Filters>, SafError> {
    let rows = sqlx::query("SELECT * FROM racf_filters").fetch_all(connection).await?;
    let filter = |row: &AnyRow| {
        let filter = Filter {
            userid: owner(row)?,
            criteria: row.optional("criteria")?,
            trusted: row.text("status")? == "TRUST",
        };
        Ok(((row.text("subject")?.into(), row.text("issuer")?.into()), filter))
    };
    Ok(Arc::new(rows.iter().map(filter).collect::<Result<_, SafError>>()?))
}

/// Criteria profiles with the users in their APPLDATA.
pub(crate) async fn criteria(connection: &mut AnyConnection) -> Result<Arc<Criteria>, SafError> {
    let query = "SELECT name, generic, appldata FROM racf_profiles WHERE class = 'DIGTCRIT'";
    let mut criteria = Criteria::new();
    for row in sqlx::query(query).fetch_all(connection).await? {
        let chosen = Userid::parse(row.text("appldata")?.trim());
        criteria.push((ProfileName::stored(row.text("name")?, row.flag("generic")?), chosen));
    }
    criteria.sort_by(|(a, _), (b, _)| a.specificity(b));
    Ok(Arc::new(criteria))
}
