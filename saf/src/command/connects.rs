//! CONNECT and REMOVE: who belongs to which group, and with what authority.

use chrono::Utc;

use super::parse::{Keywords, Words};
use super::row::Row;
use super::{Failure, Session, fail, refuse, text, users};
use crate::access::Userid;
use crate::load::Columns as _;
use crate::snapshot::Authority;

/// Attributes of a connection.
const SWITCHES: [(&str, &str, &str); 3] = [
    ("SPECIAL", "NOSPECIAL", "special"),
    ("AUDITOR", "NOAUDITOR", "auditor"),
    ("OPERATIONS", "NOOPERATIONS", "operations"),
];
const KEYWORDS: [&str; 14] = [
    "GROUP",
    "AUTHORITY",
    "OWNER",
    "UACC",
    "SPECIAL",
    "NOSPECIAL",
    "AUDITOR",
    "NOAUDITOR",
    "OPERATIONS",
    "NOOPERATIONS",
    "REVOKE",
    "NOREVOKE",
    "RESUME",
    "NORESUME",
];

/// A new connection.
pub(super) fn row(userid: Userid, group: Userid, owner: Userid) -> Row {
    Row::default()
        .with("userid", userid)
        .with("group_name", group)
        .with("owner", owner)
        .with("created", Utc::now().to_rfc3339())
}

pub(super) async fn connect(session: &mut Session<'_>, words: &Words) -> Result<(), Failure> {
    let names = text::userids(words, "USERID")?;
    let keywords = words.keywords(1, &KEYWORDS)?;
    let group = group(session, &keywords).await?;
    if !session.snapshot.has_authority(session.issuer, group, Authority::Connect) {
        return refuse("ICH02001I INSUFFICIENT AUTHORITY TO ISSUE CONNECT");
    }
    // CONNECT gives no more than it has; JOIN, the owner and SPECIAL give all.
    let rules = session.snapshot.has_authority(session.issuer, group, Authority::Join);
    let authority = text::authority(&keywords)?;
    if authority == Some(Authority::Join) && !rules {
        return refuse("ICH02001I INSUFFICIENT AUTHORITY TO GIVE JOIN AUTHORITY");
    }
    let owner = match keywords.value("OWNER")? {
        Some(name) => Some(session.known(name).await?),
        None => None,
    };
    for userid in names {
        if !session.user_exists(userid).await? {
            return fail("ICH51003I NAME NOT FOUND IN RACF DATA SET\nICH02003I USER(S) NOT CONNECTED.");
        }
        let key = Row::default().with("userid", userid).with("group_name", group);
        if key.select(session.connection, "racf_connects", "userid").await?.is_empty() {
            row(userid, group, owner.unwrap_or(session.issuer)).insert(session.connection, "racf_connects").await?;
        }
        let mut changes = Row::default();
        if let Some(owner) = owner {
            changes.set("owner", owner);
        }
        if let Some(authority) = authority {
            changes.set("authority", authority.name());
        }
        if let Some(uacc) = text::level(&keywords, "UACC", "UNIVERSAL ACCESS")? {
            changes.set("uacc", uacc);
        }
        users::revocation(session, &mut changes, &keywords)?;
        for (name, opposite, column) in SWITCHES {
            let Some(on) = keywords.switch(name, opposite) else { continue };
            if session.snapshot.is_special_for(session.issuer, group) {
                changes.set(column, on);
            } else {
                session.ignore(format!("ICH21005I NOT AUTHORIZED TO SPECIFY {name}, OPERAND IGNORED"));
            }
        }
        changes.update(session.connection, "racf_connects", &key).await?;
    }
    session.changed_people();
    Ok(())
}

/// ALTUSER's operands on a connection: AUTHORITY and UACC in GROUP.
pub(super) async fn alter(session: &mut Session<'_>, userid: Userid, keywords: &Keywords) -> Result<(), Failure> {
    let mut changes = Row::default();
    if let Some(authority) = text::authority(keywords)? {
        changes.set("authority", authority.name());
    }
    if let Some(uacc) = text::level(keywords, "UACC", "UNIVERSAL ACCESS")? {
        changes.set("uacc", uacc);
    }
    if changes.is_empty() {
        return Ok(());
    }
    let default = session.snapshot.user(userid).map(|user| user.default_group);
    let group = match keywords.value("GROUP")? {
        Some(name) => text::userid(name)?,
        None => default.unwrap_or(userid),
    };
    let gives_join = text::authority(keywords)? == Some(Authority::Join);
    let needed = if gives_join { Authority::Join } else { Authority::Connect };
    if !session.snapshot.has_authority(session.issuer, group, needed) {
        session
            .ignore(format!("ICH21005I NOT AUTHORIZED TO SPECIFY AUTHORITY OR UACC IN GROUP {group}, OPERAND IGNORED"));
        return Ok(());
    }
    let key = Row::default().with("userid", userid).with("group_name", group);
    match changes.update(session.connection, "racf_connects", &key).await? {
        0 => fail(format!("ICH21011I USER {userid} IS NOT CONNECTED TO GROUP {group}")),
        _ => Ok(()),
    }
}

pub(super) async fn remove(session: &mut Session<'_>, words: &Words) -> Result<(), Failure> {
    let names = text::userids(words, "USERID")?;
    let keywords = words.keywords(1, &["GROUP"])?;
    let group = group(session, &keywords).await?;
    if !session.snapshot.has_authority(session.issuer, group, Authority::Connect) {
        return refuse("ICH03001I INSUFFICIENT AUTHORITY TO ISSUE REMOVE");
    }
    for userid in names {
        let user = session.snapshot.user(userid);
        if user.is_some_and(|user| user.default_group == group) {
            return fail(format!("ICH03005I {userid:8} CANNOT BE REMOVED FROM DEFAULT GROUP {group}"));
        }
        let key = Row::default().with("userid", userid).with("group_name", group);
        if key.delete(session.connection, "racf_connects").await? == 0 {
            return fail(format!("ICH03002I {userid:8} WAS NOT CONNECTED TO GROUP."));
        }
    }
    session.changed_people();
    Ok(())
}

/// The group that is named, or the issuer's own.
async fn group(session: &mut Session<'_>, keywords: &Keywords) -> Result<Userid, Failure> {
    let own = session.me().map(|user| user.default_group.as_str().to_owned()).unwrap_or_default();
    session.known_group(keywords.value("GROUP")?.unwrap_or(&own)).await
}

/// A user's connections, as LISTUSER has them.
pub(super) async fn describe(session: &mut Session<'_>, userid: Userid) -> Result<(), Failure> {
    let key = Row::default().with("userid", userid);
    for row in key.select(session.connection, "racf_connects", "group_name").await? {
        let (group, owner) = (row.id("group_name")?, row.id("owner")?);
        session.say(format!(
            "  GROUP={group:8}  AUTH={:7}  CONNECT-OWNER={owner:8}  CONNECT-DATE={}",
            row.text("authority")?,
            text::day(&row.text("created")?)
        ));
        session.say(format!("    CONNECTS=    00  UACC={:7}  LAST-CONNECT=UNKNOWN", row.text("uacc")?));
        session.say(format!("    CONNECT ATTRIBUTES={}", attributes(&row)?));
        session.say(dates(&row, "    ")?);
    }
    Ok(())
}

pub(super) fn attributes(row: &sqlx::any::AnyRow) -> Result<String, Failure> {
    let mut names = Vec::new();
    for (name, column) in
        [("SPECIAL", "special"), ("AUDITOR", "auditor"), ("OPERATIONS", "operations"), ("REVOKED", "revoked")]
    {
        if row.flag(column)? {
            names.push(name);
        }
    }
    Ok(if names.is_empty() { "NONE".to_owned() } else { names.join(" ") })
}

pub(super) fn dates(row: &sqlx::any::AnyRow, indent: &str) -> Result<String, Failure> {
    let (revoke, resume) = (row.date("revoke_date")?, row.date("resume_date")?);
    Ok(format!("{indent}REVOKE DATE={}   RESUME DATE={}", text::long_date(revoke), text::long_date(resume)))
}
