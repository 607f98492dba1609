//! ADDUSER, ADDGROUP, CONNECT.

use chrono::Utc;

use super::parse::{Keywords, Words};
use super::{Failure, Outcome, Session, done, fail};
use crate::access::Userid;

pub(super) async fn add_user(mut session: Session<'_>, words: &Words) -> Result<Outcome, Failure> {
    const KEYWORDS: [&str; 8] =
        ["NAME", "OWNER", "DFLTGRP", "AUTHORITY", "SPECIAL", "AUDITOR", "RESTRICTED", "NOPASSWORD"];
    let users = userids(words)?;
    let keywords = words.keywords(1, &KEYWORDS)?;
    session.require_special("ICH01011I INSUFFICIENT AUTHORITY TO ISSUE ADDUSER")?;
    let group = group(&mut session, &keywords, "DFLTGRP").await?;
    let owner = owner(&session, &keywords)?;
    let authority = authority(&keywords)?;
    let name = keywords.value("NAME")?.unwrap_or_default();
    if name.chars().count() > 20 {
        return fail("IKJ56702I INVALID NAME, AT MOST 20 CHARACTERS ARE EXPECTED");
    }
    let flag = |name: &str| i64::from(keywords.has(name));
    let mut lines = Vec::new();
    for userid in users {
        if session.user_exists(&userid).await? || session.group_exists(&userid).await? {
            return fail(format!("ICH01006I {userid} IS ALREADY DEFINED TO RACF"));
        }
        sqlx::query(
            "INSERT INTO racf_users (userid, name, owner, default_group, special, auditor, restricted, created) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(userid.as_str())
        .bind(name)
        .bind(owner.as_str())
        .bind(group.as_str())
        .bind(flag("SPECIAL"))
        .bind(flag("AUDITOR"))
        .bind(flag("RESTRICTED"))
        .bind(Utc::now().to_rfc3339())
        .execute(&mut *session.connection)
        .await?;
        insert_connect(&mut session, &userid, &group, authority, &owner).await?;
        lines.push(format!("ICH01024I User {userid} is defined as PROTECTED."));
    }
    Ok(done(lines))
}

pub(super) async fn add_group(mut session: Session<'_>, words: &Words) -> Result<Outcome, Failure> {
    let groups = userids(words)?;
    let keywords = words.keywords(1, &["SUPGROUP", "OWNER"])?;
    session.require_special("ICH00008I INSUFFICIENT AUTHORITY TO ISSUE ADDGROUP")?;
    let superior = group(&mut session, &keywords, "SUPGROUP").await?;
    let owner = owner(&session, &keywords)?;
    for name in groups {
        if session.user_exists(&name).await? || session.group_exists(&name).await? {
            return fail(format!("ICH00005I {name} IS ALREADY DEFINED TO RACF"));
        }
        sqlx::query("INSERT INTO racf_groups (name, superior, owner, created) VALUES ($1, $2, $3, $4)")
            .bind(name.as_str())
            .bind(superior.as_str())
            .bind(owner.as_str())
            .bind(Utc::now().to_rfc3339())
            .execute(&mut *session.connection)
            .await?;
    }
    Ok(done(Vec::new()))
}

pub(super) async fn connect(mut session: Session<'_>, words: &Words) -> Result<Outcome, Failure> {
    let users = userids(words)?;
    let keywords = words.keywords(1, &["GROUP", "AUTHORITY", "OWNER"])?;
    session.require_special("ICH02001I INSUFFICIENT AUTHORITY TO ISSUE CONNECT")?;
    let group = group(&mut session, &keywords, "GROUP").await?;
    let owner = owner(&session, &keywords)?;
    let authority = authority(&keywords)?;
    for userid in users {
        if !session.user_exists(&userid).await? {
            return fail("ICH51003I NAME NOT FOUND IN RACF DATA SET\nICH02003I USER(S) NOT CONNECTED.");
        }
        sqlx::query("DELETE FROM racf_connects WHERE userid = $1 AND group_name = $2")
            .bind(userid.as_str())
            .bind(group.as_str())
            .execute(&mut *session.connection)
            .await?;
        insert_connect(&mut session, &userid, &group, authority, &owner).await?;
    }
    Ok(done(Vec::new()))
}

async fn insert_connect(
    session: &mut Session<'_>,
    userid: &Userid,
    group: &Userid,
    authority: &str,
    owner: &Userid,
) -> Result<(), Failure> {
    sqlx::query("INSERT INTO racf_connects (userid, group_name, authority, owner) VALUES ($1, $2, $3, $4)")
        .bind(userid.as_str())
        .bind(group.as_str())
        .bind(authority)
        .bind(owner.as_str())
        .execute(&mut *session.connection)
        .await?;
    Ok(())
}

fn userids(words: &Words) -> Result<Vec<Userid>, Failure> {
    let names = words.positional(0, "USERID OR GROUP NAME")?;
    names.iter().map(|name| parse(name)).collect()
}

fn parse(name: &str) -> Result<Userid, Failure> {
    match Userid::parse(name) {
        Some(userid) => Ok(userid),
        None => fail(format!(
            "IKJ56702I INVALID USERID, {name}\nA NAME HAS 1 TO 8 CHARACTERS A-Z 0-9 @ # $, THE FIRST NO DIGIT"
        )),
    }
}

/// The group a keyword names, which must exist; the issuer's default group without it.
async fn group(session: &mut Session<'_>, keywords: &Keywords, name: &str) -> Result<Userid, Failure> {
    let default = session.snapshot.users.get(session.issuer.as_str()).map(|user| user.default_group.clone());
    let group = parse(keywords.value(name)?.unwrap_or(&default.unwrap_or_default()))?;
    if session.group_exists(&group).await? {
        Ok(group)
    } else {
        fail(format!("ICH51003I NAME NOT FOUND IN RACF DATA SET\nGROUP {group} IS NOT DEFINED"))
    }
}

fn owner(session: &Session<'_>, keywords: &Keywords) -> Result<Userid, Failure> {
    keywords.value("OWNER")?.map_or_else(|| Ok(session.issuer.clone()), parse)
}

fn authority(keywords: &Keywords) -> Result<&'static str, Failure> {
    const LEVELS: [&str; 4] = ["USE", "CREATE", "CONNECT", "JOIN"];
    let word = keywords.value("AUTHORITY")?.unwrap_or("USE");
    match LEVELS.iter().find(|level| level.eq_ignore_ascii_case(word)) {
        Some(level) => Ok(level),
        None => fail(format!("IKJ56702I INVALID AUTHORITY, {word}\nIKJ56701I MISSING USE, CREATE, CONNECT, OR JOIN")),
    }
}
