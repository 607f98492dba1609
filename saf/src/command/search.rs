//! SEARCH.

use super::parse::{Keywords, Words};
use super::{Failure, Session, fail, refuse, text};
use crate::access::{Access, Userid};
use crate::class::ClassDescriptor;
use crate::decision::Request;
use crate::load;
use crate::pattern::{self, Values, Variables};
use crate::profile::ProfileName;

const KEYWORDS: [&str; 13] = [
    "CLASS",
    "MASK",
    "NOMASK",
    "FILTER",
    "USER",
    "LIST",
    "NOLIST",
    "CLIST",
    "GENERIC",
    "NOGENERIC",
    "ALL",
    "WARNING",
    "UID",
];

pub(super) async fn search(session: &mut Session<'_>, words: &Words) -> Result<(), Failure> {
    let keywords = words.keywords(0, &KEYWORDS)?;
    let Some(class) = keywords.value("CLASS")? else {
        return fail(
            "IKJ56701I MISSING CLASS NAME+\nTHERE ARE NO DATA SET PROFILES HERE, WHICH SEARCH LOOKS FOR WITHOUT A CLASS",
        );
    };
    let filter = keywords.value("FILTER")?.map(filter).transpose()?;
    let names = match class.to_ascii_uppercase().as_str() {
        "USER" => users(session, &keywords)?,
        "GROUP" => groups(session),
        _ => profiles(session, text::class_named(class)?, &keywords).await?,
    };
    let chosen: Vec<(String, bool)> =
        names.into_iter().filter(|(name, _)| is_chosen(name, &keywords, filter.as_ref())).collect();
    if chosen.is_empty() {
        return fail("ICH31005I NO ENTRIES MEET SEARCH CRITERIA");
    }
    let around = keywords.list("CLIST").unwrap_or_default();
    for (name, generic) in chosen {
        match around.as_slice() {
            [] => session.say(if generic { format!("{name} (G)") } else { name }),
            [before] => session.say(format!("{before}{name}")),
            [before, after, ..] => session.say(format!("{before}{name}{after}")),
        }
    }
    Ok(())
}

/// A pattern with the rules of a generic profile name, whose matching takes no time.
fn filter(word: &str) -> Result<ProfileName, Failure> {
    let class = text::class_named("XFACILIT")?;
    match ProfileName::parse(word, true, class) {
        Ok(name) => Ok(name),
        Err(_) => fail(format!(
            "IKJ56702I INVALID FILTER, {word}\nA NAME WITH %, * AT A QUALIFIER'S END AND ** ONCE IS EXPECTED"
        )),
    }
}

/// MASK(begins,contains) and FILTER(pattern).
fn is_chosen(name: &str, keywords: &Keywords, filter: Option<&ProfileName>) -> bool {
    let none = Variables::new();
    let matching = |filter: &ProfileName| match filter.is_generic() {
        true => pattern::matches(filter.as_str().as_bytes(), name.as_bytes(), Values::of(&none)),
        false => filter.as_str() == name,
    };
    let upper = |word: &&str| word.to_ascii_uppercase();
    let mask: Vec<String> = keywords.list("MASK").unwrap_or_default().iter().map(upper).collect();
    let masked = match mask.as_slice() {
        [] => true,
        [begins] => name.starts_with(begins),
        [begins, contains, ..] => {
            name.strip_prefix(begins.trim_matches('*')).is_some_and(|rest| rest.contains(contains))
        }
    };
    masked && filter.is_none_or(matching)
}

fn users(session: &Session<'_>, keywords: &Keywords) -> Result<Vec<(String, bool)>, Failure> {
    let uid = text::number(keywords, "UID", i64::from(u32::MAX))?;
    let users = session.snapshot.users.iter().filter(|(id, user)| {
        let may = **id == session.issuer
            || user.owner == session.issuer
            || session.snapshot.is_auditor_for(session.issuer, user.owner);
        may && uid.is_none_or(|uid| user.uid.map(i64::from) == Some(uid))
    });
    let mut names: Vec<(String, bool)> = users.map(|(id, _)| (id.to_string(), false)).collect();
    names.sort_unstable();
    Ok(names)
}

fn groups(session: &Session<'_>) -> Vec<(String, bool)> {
    let groups = session.snapshot.groups.iter().filter(|(id, group)| {
        group.owner == session.issuer
            || session.snapshot.is_auditor_for(session.issuer, group.owner)
            || session.snapshot.is_auditor_for(session.issuer, **id)
    });
    let mut names: Vec<(String, bool)> = groups.map(|(id, _)| (id.to_string(), false)).collect();
    names.sort_unstable();
    names
}

async fn profiles(
    session: &mut Session<'_>,
    class: &ClassDescriptor,
    keywords: &Keywords,
) -> Result<Vec<(String, bool)>, Failure> {
    let list = load::raclist(session.connection, class, None).await?;
    let other = keywords.value("USER")?.map(text::userid).transpose()?;
    let wanted = |generic: bool| !keywords.has(if generic { "NOGENERIC" } else { "GENERIC" });
    if other.is_some_and(|other| other != session.issuer) && !session.snapshot.is_auditor(session.issuer) {
        return refuse("ICH31018I NOT AUTHORIZED TO SEARCH FOR ANOTHER USER'S PROFILES");
    }
    if let Some(other) = other.filter(|other| session.snapshot.user(*other).is_none()) {
        return fail(format!("ICH31017I USER {other} NOT DEFINED TO RACF"));
    }
    let reads = |who: Userid, found| {
        let request = Request::new(who, class.name, "", Access::Read);
        session.snapshot.standard(found, &request, session.snapshot.user(who)).0 >= Access::Read
    };
    let found = list.iter().filter(|found| {
        let may = found.owner() == session.issuer
            || session.snapshot.is_auditor_for(session.issuer, found.owner())
            || reads(session.issuer, *found);
        let warning = !keywords.has("WARNING") || found.warning();
        may && warning && wanted(found.is_generic()) && other.is_none_or(|other| reads(other, *found))
    });
    let mut names: Vec<(String, bool)> =
        found.map(|found| (found.profile_name().as_str().to_owned(), found.is_generic())).collect();
    names.sort_unstable();
    Ok(names)
}
