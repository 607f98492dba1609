//! ADDGROUP, ALTGROUP, DELGROUP, LISTGRP.

use chrono::Utc;

use super::parse::{Keywords, Words};
use super::row::{Row, Value};
use super::{Failure, Session, connects, fail, refuse, text};
use crate::access::Userid;
use crate::load::Columns as _;
use crate::snapshot::Authority;

const ADD: [&str; 5] = ["SUPGROUP", "OWNER", "DATA", "UNIVERSAL", "OMVS"];
const ALTER: [&str; 6] = ["SUPGROUP", "OWNER", "DATA", "NODATA", "OMVS", "NOOMVS"];

pub(super) async fn add(session: &mut Session<'_>, words: &Words) -> Result<(), Failure> {
    let groups = text::userids(words, "GROUP NAME")?;
    let keywords = words.keywords(1, &ADD)?;
    let own = session.me().map(|user| user.default_group.as_str().to_owned()).unwrap_or_default();
    let superior = session.known_group(keywords.value("SUPGROUP")?.unwrap_or(&own)).await?;
    if !session.snapshot.has_authority(session.issuer, superior, Authority::Join) {
        return refuse("ICH00008I INSUFFICIENT AUTHORITY TO ISSUE ADDGROUP");
    }
    let owner = owner(session, &keywords, superior).await?;
    for name in groups {
        if session.user_exists(name).await? || session.group_exists(name).await? {
            return fail(format!("ICH00005I {name} IS ALREADY DEFINED TO RACF"));
        }
        let mut row = Row::default()
            .with("name", name)
            .with("superior", superior)
            .with("owner", owner.unwrap_or(session.issuer))
            .with("universal", keywords.has("UNIVERSAL"))
            .with("created", Utc::now().to_rfc3339());
        set(&mut row, &keywords)?;
        row.insert(session.connection, "racf_groups").await?;
    }
    session.changed_people();
    Ok(())
}

pub(super) async fn alter(session: &mut Session<'_>, words: &Words) -> Result<(), Failure> {
    let groups = text::userids(words, "GROUP NAME")?;
    let keywords = words.keywords(1, &ALTER)?;
    for name in groups {
        let Some(group) = session.snapshot.groups.get(&name).copied() else {
            return fail(format!("ICH09002I {name:8} NOT DEFINED TO RACF"));
        };
        // Whoever rules the superior group only may move the group, and has nothing to say in it.
        let rules = group.owner == session.issuer || session.snapshot.is_special_for(session.issuer, name);
        let (snapshot, issuer) = (session.snapshot, session.issuer);
        let joins = |group| snapshot.has_authority(issuer, group, Authority::Join);
        let mut superior = group.superior.unwrap_or(name);
        let mut row = Row::default();
        if !rules && (!keywords.has("SUPGROUP") || keywords.pairs().any(|(keyword, _)| keyword != "SUPGROUP")) {
            return refuse("ICH09002I INSUFFICIENT AUTHORITY TO ISSUE ALTGROUP");
        }
        if let Some(word) = keywords.value("SUPGROUP")? {
            let new = session.known_group(word).await?;
            if !joins(new) || !(rules || joins(superior)) {
                return refuse(format!("ICH09003I NOT AUTHORIZED TO MAKE {new} THE SUPERIOR GROUP"));
            }
            if group.owner == superior {
                // A group that owned it as its superior does so no more.
                row.set("owner", new);
            }
            if above(session, new).contains(&name) {
                return fail(format!("ICH09004I {new} IS A SUBGROUP OF {name}"));
            }
            row.set("superior", new);
            superior = new;
        }
        if let Some(owner) = owner(session, &keywords, superior).await? {
            row.set("owner", owner);
        }
        set(&mut row, &keywords)?;
        row.update(session.connection, "racf_groups", &Row::default().with("name", name)).await?;
    }
    session.changed_people();
    Ok(())
}

pub(super) async fn delete(session: &mut Session<'_>, words: &Words) -> Result<(), Failure> {
    for name in text::userids(words, "GROUP NAME")? {
        governed(session, name).await?;
        for (table, column, what) in
            [("racf_connects", "group_name", "USERS"), ("racf_groups", "superior", "SUBGROUPS")]
        {
            let inside = Row::default().with(column, name).select(session.connection, table, column).await?;
            if !inside.is_empty() {
                return fail(format!("ICH05004I GROUP {name} CANNOT BE DELETED, IT HAS {what}"));
            }
        }
        Row::default().with("name", name).delete(session.connection, "racf_groups").await?;
    }
    session.changed_people();
    Ok(())
}

/// Refuses who may not delete a group: for its owner and for whoever has JOIN in its superior.
async fn governed(session: &mut Session<'_>, name: Userid) -> Result<(), Failure> {
    if !session.group_exists(name).await? {
        return fail(format!("ICH05002I {name:8} NOT DEFINED TO RACF"));
    }
    let group = session.snapshot.groups.get(&name).copied();
    let joins = |group| session.snapshot.has_authority(session.issuer, group, Authority::Join);
    let owns = group.is_some_and(|group| group.owner == session.issuer);
    if owns
        || session.snapshot.is_special_for(session.issuer, name)
        || group.and_then(|group| group.superior).is_some_and(joins)
    {
        return Ok(());
    }
    refuse("ICH05002I INSUFFICIENT AUTHORITY TO ISSUE DELGROUP")
}

/// A group and those it stands below.
fn above(session: &Session<'_>, group: Userid) -> Vec<Userid> {
    let mut found = vec![group];
    while let Some(next) = found.last().and_then(|last| session.snapshot.groups.get(last)?.superior) {
        if found.contains(&next) {
            break;
        }
        found.push(next);
    }
    found
}

/// OWNER: a user, or the superior group.
async fn owner(session: &mut Session<'_>, keywords: &Keywords, superior: Userid) -> Result<Option<Userid>, Failure> {
    let Some(name) = keywords.value("OWNER")? else { return Ok(None) };
    let owner = session.known(name).await?;
    if owner == superior || session.user_exists(owner).await? {
        return Ok(Some(owner));
    }
    fail(format!("ICH00007I THE OWNER OF A GROUP IS A USER OR ITS SUPERIOR GROUP {superior}, NOT {owner}"))
}

fn set(row: &mut Row, keywords: &Keywords) -> Result<(), Failure> {
    if let Some(data) = text::data(keywords, "DATA", 255)? {
        row.set("data", data);
    }
    if keywords.has("NODATA") {
        row.set("data", "");
    }
    if keywords.has("NOOMVS") {
        row.set("gid", Value::Number(None));
    }
    if let Some(segment) = keywords.nested("OMVS", &["GID", "NOGID"])? {
        if let Some(gid) = text::number(&segment, "GID", i64::from(i32::MAX))? {
            row.set("gid", gid);
        }
        if segment.has("NOGID") {
            row.set("gid", Value::Number(None));
        }
    }
    Ok(())
}

pub(super) async fn list(session: &mut Session<'_>, words: &Words) -> Result<(), Failure> {
    const KEYWORDS: [&str; 2] = ["OMVS", "NORACF"];
    let named = words.unless_keyword(0, &KEYWORDS);
    let keywords = words.keywords(usize::from(named.is_some()), &KEYWORDS)?;
    let own = session.me().map(|user| user.default_group);
    let all = named.as_deref().is_some_and(|names| names.iter().any(|name| name == "*"));
    let mut groups: Vec<Userid> = match (&named, all) {
        (_, true) => session.snapshot.groups.keys().copied().collect(),
        (Some(names), _) => names.iter().map(|name| text::userid(name)).collect::<Result<_, _>>()?,
        (None, _) => own.into_iter().collect(),
    };
    if all {
        groups.sort_unstable();
    }
    let mut listed = 0;
    for name in groups {
        let Some(group) = session.snapshot.groups.get(&name).copied() else {
            return fail("ICH51003I NAME NOT FOUND IN RACF DATA SET");
        };
        let may = session.snapshot.has_authority(session.issuer, name, Authority::Connect)
            || session.snapshot.is_auditor_for(session.issuer, group.owner)
            || session.snapshot.is_auditor_for(session.issuer, name);
        if !may && !all {
            return refuse("ICH32004I NOT AUTHORIZED TO ISSUE LISTGRP");
        }
        if may {
            listed += 1;
            describe(session, name, &keywords).await?;
        }
    }
    if listed == 0 { refuse("ICH32004I NOT AUTHORIZED TO ISSUE LISTGRP") } else { Ok(()) }
}

async fn describe(session: &mut Session<'_>, name: Userid, keywords: &Keywords) -> Result<(), Failure> {
    let rows = Row::default().with("name", name).select(session.connection, "racf_groups", "name").await?;
    let Some(row) = rows.first() else { return fail("ICH51003I NAME NOT FOUND IN RACF DATA SET") };
    if !keywords.has("NORACF") {
        let superior = row.optional("superior")?.unwrap_or_else(|| "NONE".to_owned());
        session.say(format!("INFORMATION FOR GROUP {name}"));
        session.say(format!(
            "    SUPERIOR GROUP={superior:8}     OWNER={:8}    CREATED={}",
            row.id("owner")?,
            text::day(&row.text("created")?)
        ));
        match row.text("data")?.as_str() {
            "" => session.say("    NO INSTALLATION DATA"),
            data => session.say(format!("    INSTALLATION DATA={data}")),
        }
        session.say("    NO MODEL DATA SET");
        session.say("    TERMUACC");
        if row.flag("universal")? {
            session.say("    UNIVERSAL");
        }
        let below = Row::default().with("superior", name).select(session.connection, "racf_groups", "name").await?;
        let below = below.iter().map(|row| row.text("name")).collect::<Result<Vec<_>, _>>()?;
        let below: Vec<&str> = below.iter().map(String::as_str).collect();
        match below.as_slice() {
            [] => session.say("    NO SUBGROUPS"),
            names => text::wrapped("    SUBGROUP(S)= ", names, 72).into_iter().for_each(|line| session.say(line)),
        }
        members(session, name).await?;
    }
    if keywords.has("OMVS") {
        let gid: Option<i64> = sqlx::Row::try_get(row, "gid")?;
        session.say("");
        match gid {
            None => session.say("NO OMVS INFORMATION"),
            Some(gid) => {
                session.say("OMVS INFORMATION");
                session.say("----------------");
                session.say(format!("GID= {gid:010}"));
            }
        }
    }
    Ok(())
}

async fn members(session: &mut Session<'_>, name: Userid) -> Result<(), Failure> {
    let rows = Row::default().with("group_name", name).select(session.connection, "racf_connects", "userid").await?;
    if rows.is_empty() {
        session.say("    NO USERS");
        return Ok(());
    }
    session.say("    USER(S)=      ACCESS=      ACCESS COUNT=      UNIVERSAL ACCESS=");
    for row in rows {
        session.say(format!(
            "      {:8}      {:7}      000000              {:7}",
            row.id("userid")?,
            row.text("authority")?,
            row.text("uacc")?
        ));
        session.say(format!("         CONNECT ATTRIBUTES={}", connects::attributes(&row)?));
        session.say(connects::dates(&row, "         ")?);
    }
    Ok(())
}
