//! PERMIT.

use super::parse::{Keywords, Words};
use super::profiles::{self, Stored};
use super::row::Row;
use super::{Failure, Session, fail, refuse, text};
use crate::access::{Access, Userid};
use crate::class::ClassDescriptor;
use crate::profile::ProfileName;

const KEYWORDS: [&str; 10] =
    ["CLASS", "ID", "ACCESS", "DELETE", "RESET", "GENERIC", "FROM", "FCLASS", "FGENERIC", "WHEN"];
/// What an entry can be conditional on.
const CONDITIONS: [&str; 8] =
    ["PROGRAM", "TERMINAL", "JESINPUT", "CONSOLE", "APPCPORT", "SYSID", "SERVAUTH", "CRITERIA"];
/// Classes in which an access list means nothing.
const WITHOUT_LISTS: [&str; 3] = ["GLOBAL", "RACFVARS", "STARTED"];

pub(super) async fn permit(session: &mut Session<'_>, words: &Words) -> Result<(), Failure> {
    let entity = words.positional(0, "ENTITY NAME")?.join(" ");
    let keywords = words.keywords(1, &KEYWORDS)?;
    let Some(class) = keywords.value("CLASS")? else { return fail("IKJ56701I MISSING CLASS NAME+") };
    let class = text::class_named(class)?;
    if WITHOUT_LISTS.contains(&class.name) || class.certificates {
        return fail(format!("IKJ56702I INVALID CLASS, {}\nITS PROFILES HAVE NO ACCESS LIST", class.name));
    }
    let stored = stored(session, class, &entity, keywords.has("GENERIC"), "ICH06004I").await?;
    if !stored.may_administer(session, class) {
        return refuse(format!("ICH06003I NOT AUTHORIZED TO CHANGE THE ACCESS LIST OF {}", stored.name.as_str()));
    }
    let key = stored.key(class);
    let [standard, conditional] = resets(&keywords)?;
    for (table, reset) in [("racf_access", standard), ("racf_conditional", conditional)] {
        if reset {
            key.delete(session.connection, table).await?;
        }
    }
    if let Some(from) = keywords.value("FROM")? {
        let from_class = keywords.value("FCLASS")?.map_or(Ok(class), text::class_named)?;
        let model = self::stored(session, from_class, from, keywords.has("FGENERIC"), "ICH06006I").await?;
        if !model.may_administer(session, from_class) {
            return refuse(format!("ICH06003I NOT AUTHORIZED TO USE THE ACCESS LIST OF {}", model.name.as_str()));
        }
        profiles::copy_lists(session, &model, class, &stored.name).await?;
    }
    let ids = keywords.list("ID").unwrap_or_default();
    if ids.is_empty() && !keywords.has("RESET") && !keywords.has("FROM") {
        return fail("IKJ56701I MISSING USERID OR GROUP NAME+");
    }
    let access = text::level(&keywords, "ACCESS", "ACCESS LEVEL")?.unwrap_or(Access::Read);
    let conditions = conditions(&keywords)?;
    for word in ids {
        let id = id(session, word, keywords.has("DELETE")).await?;
        let places: Vec<(&'static str, Row)> = match conditions.as_slice() {
            [] => vec![("racf_access", key.clone().with("id", id))],
            conditions => conditions
                .iter()
                .map(|(class, name)| {
                    let row = key.clone().with("condition_class", *class).with("condition_name", name.as_str());
                    ("racf_conditional", row.with("id", id))
                })
                .collect(),
        };
        for (table, entry) in places {
            let removed = entry.delete(session.connection, table).await?;
            if !keywords.has("DELETE") {
                entry.with("access", access).insert(session.connection, table).await?;
            } else if removed == 0 {
                session.remark(format!("ICH06002I {id:8} NOT AUTHORIZED, DELETE IGNORED"));
            }
        }
    }
    session.changed_profiles(class, "ICH06011I", "UPDATE(S)", "");
    Ok(())
}

/// The profile of this name; without `*` and `%` it is the discrete one unless GENERIC is asked for.
async fn stored(
    session: &mut Session<'_>,
    class: &'static ClassDescriptor,
    text: &str,
    generic: bool,
    code: &str,
) -> Result<Stored, Failure> {
    let mut name = profiles::name(session, class, text)?;
    if generic {
        name = ProfileName::stored(name.as_str().to_owned(), true);
    }
    match profiles::find(session, class, &name).await? {
        Some(stored) => Ok(stored),
        None => fail(format!("{code} {} NOT DEFINED TO RACF", name.as_str())),
    }
}

/// RESET, RESET(ALL), RESET(STANDARD), RESET(WHEN): whether the standard and the conditional list are emptied.
fn resets(keywords: &Keywords) -> Result<[bool; 2], Failure> {
    if !keywords.has("RESET") {
        return Ok([false, false]);
    }
    let which = keywords.list("RESET").unwrap_or_default();
    match which.first().map(|word| word.to_ascii_uppercase()).as_deref() {
        None | Some("ALL") => Ok([true, true]),
        Some("STANDARD") => Ok([true, false]),
        Some("WHEN") => Ok([false, true]),
        Some(word) => fail(format!("IKJ56702I INVALID RESET, {word}\nALL, STANDARD OR WHEN IS EXPECTED")),
    }
}

/// WHEN: each condition's class and name; of CRITERIA the name with its value.
fn conditions(keywords: &Keywords) -> Result<Vec<(&'static str, String)>, Failure> {
    let Some(when) = keywords.nested("WHEN", &CONDITIONS)? else { return Ok(Vec::new()) };
    let mut conditions = Vec::new();
    for (class, names) in when.pairs() {
        if names.is_empty() {
            return fail(format!("IKJ56701I MISSING {class} NAME+"));
        }
        if class == "CRITERIA" {
            return fail("IKJ56702I INVALID WHEN, CRITERIA\nNOTHING OF THIS SYSTEM TELLS CRITERIA");
        }
        let plain = |name: &&str| (1..=246).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        if let Some(name) = names.iter().find(|name| !plain(name)) {
            return fail(format!("IKJ56702I INVALID {class}, {name}"));
        }
        conditions.extend(names.iter().map(|name| (class, name.to_ascii_uppercase())));
    }
    if conditions.is_empty() { fail("IKJ56701I MISSING CONDITION+") } else { Ok(conditions) }
}

/// A user, a group, `*`, `&RACUID` or `&RACGRP`. What is to go need not exist any more.
async fn id(session: &mut Session<'_>, word: &str, delete: bool) -> Result<Userid, Failure> {
    let Some(id) = Userid::parse_listed(word) else { return fail(format!("IKJ56702I INVALID USERID, {word}")) };
    let stands_for_several = [Userid::ALL, Userid::RACUID, Userid::RACGRP].contains(&id);
    if delete || stands_for_several || session.user_exists(id).await? || session.group_exists(id).await? {
        return Ok(id);
    }
    fail(format!("ICH06007I {id} NOT DEFINED TO RACF"))
}
