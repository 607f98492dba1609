//! The database as an unload file of text.

use std::io::{self, BufWriter, Write};

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use super::{
    CERTIFICATE, CERTIFICATE_NAMES, CERTIFICATE_RING, CONNECT, GROUP, GROUP_OMVS, Layout, MEMBER, RESOURCE,
    RESOURCE_ACCESS, RESOURCE_CONDITIONAL, RESOURCE_MEMBER, RING, STARTED_TASK, SUBGROUP, USER, USER_CERTIFICATE,
    USER_CLASS, USER_GROUP, USER_OMVS,
};
use crate::database;
use crate::error::SafError;
use crate::load::Columns as _;

/// Why nothing more was written.
enum Failure {
    Database(SafError),
    Output(io::Error),
}

impl<E: Into<SafError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

/// Writes the database of a URL as an IRRDBU00 unload: groups, users, then general resources by class and name. Returns how
/// many records there are.
///
/// # Errors
///
/// When the database does not answer, or the output cannot be written.
pub async fn export(url: &str, output: impl Write) -> Result<u64, SafError> {
    let pool = database::connect(url, "rw").await?;
    let mut connection = database::begin(&pool, url).await?;
    let mut out = Output { output: BufWriter::new(output), records: 0 };
    let done = async {
        groups(&mut connection, &mut out).await?;
        users(&mut connection, &mut out).await?;
        resources(&mut connection, &mut out).await?;
        certificates(&mut connection, &mut out).await?;
        rings(&mut connection, &mut out).await?;
        out.output.flush().map_err(Failure::Output)
    };
    match done.await {
        Ok(()) => Ok(out.records),
        Err(Failure::Database(error)) => Err(error),
        Err(Failure::Output(source)) => Err(SafError::File { path: "the output".into(), source }),
    }
}

struct Output<W: Write> {
    output: BufWriter<W>,
    records: u64,
}

impl<W: Write> Output<W> {
    /// Writes a record; what does not fit its field is cut, as RACF never has more.
    fn write(&mut self, layout: &Layout, values: &[(&str, String)]) -> Result<(), Failure> {
        let mut line: Vec<char> = layout.kind.chars().collect();
        for (name, value) in values {
            let Some((from, to)) = layout.columns(name) else { continue };
            let value: Vec<char> = value.chars().take(to + 1 - from).collect();
            if line.len() < from - 1 + value.len() {
                line.resize(from - 1 + value.len(), ' ');
            }
            for (place, character) in line.iter_mut().skip(from - 1).zip(value) {
                *place = if character.is_control() { ' ' } else { character };
            }
        }
        let line: String = line.into_iter().collect();
        self.records += 1;
        writeln!(self.output, "{}", line.trim_end()).map_err(Failure::Output)
    }
}

async fn rows(connection: &mut AnyConnection, query: &str, key: Option<&str>) -> Result<Vec<AnyRow>, Failure> {
    let query = sqlx::query(AssertSqlSafe(query.to_owned()));
    let query = match key {
        Some(key) => query.bind(key.to_owned()),
        None => query,
    };
    Ok(query.fetch_all(connection).await?)
}

fn flag(row: &AnyRow, column: &str) -> Result<String, Failure> {
    Ok(if row.flag(column)? { "YES" } else { "NO" }.to_owned())
}

fn day(stored: String) -> String {
    stored.chars().take(10).collect()
}

fn filled(row: &AnyRow, column: &str) -> Result<String, Failure> {
    Ok(row.optional(column)?.unwrap_or_default())
}

async fn groups<W: Write>(connection: &mut AnyConnection, out: &mut Output<W>) -> Result<(), Failure> {
    for row in rows(connection, "SELECT * FROM racf_groups ORDER BY name", None).await? {
        let name = row.text("name")?;
        out.write(
            &GROUP,
            &[
                ("NAME", name.clone()),
                ("SUPGRP_ID", filled(&row, "superior")?),
                ("CREATE_DATE", day(row.text("created")?)),
                ("OWNER_ID", row.text("owner")?),
                ("UACC", "NONE".to_owned()),
                ("NOTERMUACC", "NO".to_owned()),
                ("INSTALL_DATA", row.text("data")?),
                ("UNIVERSAL", flag(&row, "universal")?),
            ],
        )?;
        for below in
            rows(connection, "SELECT name FROM racf_groups WHERE superior = $1 ORDER BY name", Some(&name)).await?
        {
            out.write(&SUBGROUP, &[("NAME", name.clone()), ("SUBGRP_ID", below.text("name")?)])?;
        }
        let query = "SELECT userid, authority FROM racf_connects WHERE group_name = $1 ORDER BY userid";
        for member in rows(connection, query, Some(&name)).await? {
            let values =
                [("NAME", name.clone()), ("MEMBER_ID", member.text("userid")?), ("AUTH", member.text("authority")?)];
            out.write(&MEMBER, &values)?;
        }
        if let Some(gid) = row.try_get::<Option<i64>, _>("gid")? {
            out.write(&GROUP_OMVS, &[("NAME", name), ("GID", format!("{gid:010}"))])?;
        }
    }
    Ok(())
}

async fn users<W: Write>(connection: &mut AnyConnection, out: &mut Output<W>) -> Result<(), Failure> {
    for row in rows(connection, "SELECT * FROM racf_users ORDER BY userid", None).await? {
        let name = row.text("userid")?;
        let restricted = if row.flag("restricted")? { "RSTD" } else { "" };
        out.write(
            &USER,
            &[
                ("NAME", name.clone()),
                ("CREATE_DATE", day(row.text("created")?)),
                ("OWNER_ID", row.text("owner")?),
                ("SPECIAL", flag(&row, "special")?),
                ("OPER", flag(&row, "operations")?),
                ("REVOKE", flag(&row, "revoked")?),
                ("PROGRAMMER", row.text("name")?),
                ("DEFGRP_ID", row.text("default_group")?),
                ("INSTALL_DATA", row.text("data")?),
                ("UAUDIT", flag(&row, "uaudit")?),
                ("AUDITOR", flag(&row, "auditor")?),
                ("NOPWD", "YES".to_owned()),
                ("REVOKE_DATE", filled(&row, "revoke_date")?),
                ("RESUME_DATE", filled(&row, "resume_date")?),
                ("ATTRIBS", restricted.to_owned()),
                ("ROAUDIT", flag(&row, "roaudit")?),
                ("CONTAIN", flag(&row, "contained")?),
                ("NEVERCONTAIN", flag(&row, "nevercontain")?),
            ],
        )?;
        let query = "SELECT serial, issuer, label FROM racf_certificates WHERE owner = $1 ORDER BY label";
        for certificate in rows(connection, query, Some(&name)).await? {
            let values = [
                ("NAME", name.clone()),
                ("CERT_NAME", certificate_name(&certificate)?),
                ("CERTLABL", certificate.text("label")?),
            ];
            out.write(&USER_CERTIFICATE, &values)?;
        }
        for class in
            rows(connection, "SELECT class FROM racf_clauth WHERE userid = $1 ORDER BY class", Some(&name)).await?
        {
            out.write(&USER_CLASS, &[("NAME", name.clone()), ("CLASS", class.text("class")?)])?;
        }
        let query = "SELECT * FROM racf_connects WHERE userid = $1 ORDER BY group_name";
        let connects = rows(connection, query, Some(&name)).await?;
        for connect in &connects {
            out.write(&USER_GROUP, &[("NAME", name.clone()), ("GRP_ID", connect.text("group_name")?)])?;
        }
        for connect in &connects {
            out.write(
                &CONNECT,
                &[
                    ("NAME", name.clone()),
                    ("GRP_ID", connect.text("group_name")?),
                    ("CONNECT_DATE", day(connect.text("created")?)),
                    ("OWNER_ID", connect.text("owner")?),
                    ("UACC", connect.text("uacc")?),
                    ("GRP_SPECIAL", flag(connect, "special")?),
                    ("GRP_OPER", flag(connect, "operations")?),
                    ("REVOKE", flag(connect, "revoked")?),
                    ("GRP_AUDIT", flag(connect, "auditor")?),
                    ("REVOKE_DATE", filled(connect, "revoke_date")?),
                    ("RESUME_DATE", filled(connect, "resume_date")?),
                ],
            )?;
        }
        let (uid, home, program) =
            (row.try_get::<Option<i64>, _>("uid")?, filled(&row, "home")?, filled(&row, "program")?);
        if uid.is_some() || !home.is_empty() || !program.is_empty() {
            let uid = uid.map(|uid| format!("{uid:010}")).unwrap_or_default();
            out.write(&USER_OMVS, &[("NAME", name), ("UID", uid), ("HOME_PATH", home), ("PROGRAM", program)])?;
        }
    }
    Ok(())
}

async fn resources<W: Write>(connection: &mut AnyConnection, out: &mut Output<W>) -> Result<(), Failure> {
    let keys = "SELECT * FROM racf_profiles ORDER BY class, name, generic";
    for row in rows(connection, keys, None).await? {
        let (class, name, generic) = (row.text("class")?, row.text("name")?, row.flag("generic")?);
        let key = || vec![("NAME", name.clone()), ("CLASS_NAME", class.clone())];
        let audit = |success: &str, failures: &str| {
            let (success, failures) = (filled(&row, success)?, filled(&row, failures)?);
            let level = match (success.is_empty(), failures.is_empty()) {
                (true, true) => "NONE",
                (false, true) => "SUCCESS",
                (true, false) => "FAIL",
                (false, false) => "ALL",
            };
            Ok::<_, Failure>((level.to_owned(), success, failures))
        };
        let (level, success, failures) = audit("audit_success", "audit_failures")?;
        let (global, global_success, global_failures) = audit("global_success", "global_failures")?;
        let values = [
            ("GENERIC", if generic { "YES" } else { "NO" }.to_owned()),
            ("CREATE_DATE", day(row.text("created")?)),
            ("OWNER_ID", row.text("owner")?),
            ("LASTCHG_DATE", day(filled(&row, "changed")?)),
            ("UACC", row.text("uacc")?),
            ("AUDIT_LEVEL", level),
            ("LEVEL", format!("{:03}", row.number("level")?)),
            ("GAUDIT_LEVEL", global),
            ("INSTALL_DATA", row.text("data")?),
            ("AUDIT_OKQUAL", success),
            ("AUDIT_FAQUAL", failures),
            ("GAUDIT_OKQUAL", global_success),
            ("GAUDIT_FAQUAL", global_failures),
            ("WARNING", flag(&row, "warning")?),
            ("NOTIFY_ID", filled(&row, "notify")?),
            ("APPL_DATA", row.text("appldata")?),
        ];
        out.write(&RESOURCE, &[key(), values.to_vec()].concat())?;
        lists(connection, out, &class, &name, generic).await?;
        if class == "STARTED" {
            let values = vec![
                ("USER_ID", filled(&row, "task_user")?),
                ("GROUP_ID", filled(&row, "task_group")?),
                ("TRUSTED", flag(&row, "task_trusted")?),
                ("PRIVILEGED", flag(&row, "task_privileged")?),
                ("TRACE", "NO".to_owned()),
            ];
            out.write(&STARTED_TASK, &[key(), values].concat())?;
        }
    }
    Ok(())
}

/// The members and access lists of a profile.
async fn lists<W: Write>(
    connection: &mut AnyConnection,
    out: &mut Output<W>,
    class: &str,
    name: &str,
    generic: bool,
) -> Result<(), Failure> {
    let key = || vec![("NAME", name.to_owned()), ("CLASS_NAME", class.to_owned())];
    for (table, order) in [
        ("racf_members", "position"),
        ("racf_access", "id"),
        ("racf_conditional", "condition_class, condition_name, id"),
    ] {
        let text = format!("SELECT * FROM {table} WHERE class = $1 AND name = $2 AND generic = $3 ORDER BY {order}");
        let query =
            sqlx::query(AssertSqlSafe(text)).bind(class.to_owned()).bind(name.to_owned()).bind(i64::from(generic));
        for row in query.fetch_all(&mut *connection).await? {
            match table {
                "racf_members" => {
                    let values = vec![("MEMBER", row.text("member")?), ("GLOBAL_ACC", filled(&row, "access")?)];
                    out.write(&RESOURCE_MEMBER, &[key(), values].concat())?;
                }
                "racf_access" => {
                    let values = vec![
                        ("AUTH_ID", row.text("id")?),
                        ("ACCESS", row.text("access")?),
                        ("ACCESS_CNT", "00000".to_owned()),
                    ];
                    out.write(&RESOURCE_ACCESS, &[key(), values].concat())?;
                }
                _ => {
                    let condition = row.text("condition_name")?;
                    let field = if condition.len() <= 8 { "CANAME" } else { "CACRITERIA" };
                    let values = vec![
                        ("CATYPE", row.text("condition_class")?),
                        (field, condition),
                        ("AUTH_ID", row.text("id")?),
                        ("ACCESS", row.text("access")?),
                        ("ACCESS_CNT", "00000".to_owned()),
                    ];
                    out.write(&RESOURCE_CONDITIONAL, &[key(), values].concat())?;
                }
            }
        }
    }
    Ok(())
}

/// The name of a certificate's profile in class DIGTCERT.
fn certificate_name(row: &AnyRow) -> Result<String, Failure> {
    Ok(super::certificate_name(&row.text("serial")?, &row.text("issuer")?))
}

/// Certificates: their bodies and keys are in no unload.
async fn certificates<W: Write>(connection: &mut AnyConnection, out: &mut Output<W>) -> Result<(), Failure> {
    let when = |seconds: i64| chrono::DateTime::from_timestamp(seconds, 0).unwrap_or_default().naive_utc();
    for row in rows(connection, "SELECT * FROM racf_certificates ORDER BY serial, issuer", None).await? {
        let (name, owner) = (certificate_name(&row)?, row.text("owner")?);
        let key = || vec![("NAME", name.clone()), ("CLASS_NAME", "DIGTCERT".to_owned())];
        // Here the UACC says whether the certificate is trusted.
        let status = if row.text("status")? == "HIGHTRUST" { "HIGHTRST".to_owned() } else { row.text("status")? };
        let values = [
            ("GENERIC", "NO".to_owned()),
            ("CREATE_DATE", day(row.text("created")?)),
            ("OWNER_ID", owner.clone()),
            ("UACC", status),
            ("APPL_DATA", owner.clone()),
        ];
        out.write(&RESOURCE, &[key(), values.to_vec()].concat())?;
        let (from, until) = (when(row.number("not_before")?), when(row.number("not_after")?));
        let values = vec![
            ("START_DATE", from.format("%Y-%m-%d").to_string()),
            ("START_TIME", from.format("%H:%M:%S").to_string()),
            ("END_DATE", until.format("%Y-%m-%d").to_string()),
            ("END_TIME", until.format("%H:%M:%S").to_string()),
            ("KEY_TYPE", row.text("key_type")?.replace("NIST ECC", "NISTECC")),
            ("KEY_SIZE", format!("{:010}", row.number("key_size")?)),
            ("LAST_SERIAL", format!("{:016X}", row.number("last_serial")?)),
            ("GEN_REQ", flag(&row, "requested")?),
        ];
        out.write(&CERTIFICATE, &[key(), values].concat())?;
        let query = "SELECT ring_owner, ring_name FROM racf_ring_certificates WHERE owner = $1 AND label = $2 \
                     ORDER BY ring_owner, ring_name";
        let places = sqlx::query(query).bind(owner).bind(row.text("label")?).fetch_all(&mut *connection).await?;
        for place in places {
            let ring = format!("{}.{}", place.text("ring_owner")?, place.text("ring_name")?);
            out.write(&CERTIFICATE_RING, &[key(), vec![("RING_NAME", ring)]].concat())?;
        }
        let values = vec![
            ("ISSUER_DN", row.text("issuer")?),
            ("SUBJECT_DN", row.text("subject")?),
            ("SIG_ALG", row.text("algorithm")?),
            ("CERT_FGRPRNT", row.text("fingerprint")?),
        ];
        out.write(&CERTIFICATE_NAMES, &[key(), values].concat())?;
    }
    Ok(())
}

async fn rings<W: Write>(connection: &mut AnyConnection, out: &mut Output<W>) -> Result<(), Failure> {
    for row in rows(connection, "SELECT * FROM racf_rings ORDER BY owner, name", None).await? {
        let (owner, ring) = (row.text("owner")?, row.text("name")?);
        let key = || vec![("NAME", format!("{owner}.{ring}")), ("CLASS_NAME", "DIGTRING".to_owned())];
        let values = [
            ("GENERIC", "NO".to_owned()),
            ("CREATE_DATE", day(row.text("created")?)),
            ("OWNER_ID", owner.clone()),
            ("UACC", "NONE".to_owned()),
        ];
        out.write(&RESOURCE, &[key(), values.to_vec()].concat())?;
        let query = "SELECT c.serial, c.issuer, c.label, p.usage, p.is_default FROM racf_ring_certificates p \
                     JOIN racf_certificates c ON c.owner = p.owner AND c.label = p.label \
                     WHERE p.ring_owner = $1 AND p.ring_name = $2 ORDER BY c.serial, c.issuer";
        let places = sqlx::query(query).bind(owner.clone()).bind(ring.clone()).fetch_all(&mut *connection).await?;
        for place in places {
            let values = vec![
                ("CERT_NAME", certificate_name(&place)?),
                ("CERT_USAGE", place.text("usage")?),
                ("CERT_DEFAULT", flag(&place, "is_default")?),
                ("CERT_LABEL", place.text("label")?),
            ];
            out.write(&RING, &[key(), values].concat())?;
        }
    }
    Ok(())
}
