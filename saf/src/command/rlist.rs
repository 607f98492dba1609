//! RLIST.

use super::parse::{Keywords, Words};
use super::profiles::{self, Stored};
use super::{Failure, Session, fail, refuse, text};
use crate::access::Access;
use crate::class::ClassDescriptor;
use crate::decision::Request;
use crate::load::{self, Columns as _};
use crate::pattern::Values;
use crate::raclist::{Found, Raclist};

const KEYWORDS: [&str; 8] = ["ALL", "AUTHUSER", "GENERIC", "NOGENERIC", "STDATA", "NORACF", "HISTORY", "STATISTICS"];

/// Profiles that one command lists by name.
const MAX_NAMES: usize = 100;

pub(super) async fn rlist(session: &mut Session<'_>, words: &Words) -> Result<(), Failure> {
    let class = text::class_first(words)?;
    let names = words.positional(1, "ENTITY NAME")?;
    let keywords = words.keywords(2, &KEYWORDS)?;
    if names.len() > MAX_NAMES {
        return fail(format!("IKJ56702I INVALID ENTITY NAME, AT MOST {MAX_NAMES} ARE EXPECTED"));
    }
    let list = load::raclist(session.connection, class, None).await?;
    for text in &names {
        let found = which(session, class, &list, text, &keywords)?;
        let shown = if class.as_is { text.clone() } else { text.to_ascii_uppercase() };
        if found.is_empty() {
            return fail(format!("ICH13003I {shown} NOT FOUND"));
        }
        let visible: Vec<Found<'_>> = found.into_iter().filter(|found| may_list(session, class, *found)).collect();
        if visible.is_empty() {
            return refuse(format!("ICH13002I NOT AUTHORIZED TO LIST {shown}"));
        }
        for found in visible {
            if let Some(stored) = profiles::find(session, class, &found.profile_name()).await? {
                describe(session, class, &stored, &keywords).await?;
            }
        }
    }
    Ok(())
}

/// All profiles for `*`, else the one of this name, else the most specific one that covers it.
fn which<'l>(
    session: &Session<'_>,
    class: &ClassDescriptor,
    list: &'l Raclist,
    text: &str,
    keywords: &Keywords,
) -> Result<Vec<Found<'l>>, Failure> {
    let wanted = |found: &Found<'_>| !keywords.has(if found.is_generic() { "NOGENERIC" } else { "GENERIC" });
    if text == "*" {
        return Ok(list.iter().filter(wanted).collect());
    }
    let name = profiles::name(session, class, text)?;
    let mut same: Vec<Found<'_>> =
        list.iter().filter(|found| found.name() == name.as_str().as_bytes()).filter(wanted).collect();
    same.sort_by_key(Found::is_generic);
    if let Some(exact) = same.into_iter().next() {
        return Ok(vec![exact]);
    }
    let values = Values::of(&session.snapshot.variables);
    let covering = list.covering(name.as_str().as_bytes(), !keywords.has("NOGENERIC"), values);
    Ok(covering.into_iter().filter(wanted).collect())
}

fn may_list(session: &Session<'_>, class: &ClassDescriptor, found: Found<'_>) -> bool {
    let request = Request::new(session.issuer, class.name, "", Access::Read);
    found.owner() == session.issuer
        || session.snapshot.is_auditor_for(session.issuer, found.owner())
        || session.snapshot.standard(found, &request, session.me()).0 >= Access::Read
}

async fn describe(
    session: &mut Session<'_>,
    class: &ClassDescriptor,
    stored: &Stored,
    keywords: &Keywords,
) -> Result<(), Failure> {
    let row = &stored.row;
    if !keywords.has("NORACF") {
        session.say("CLASS      NAME");
        session.say("-----      ----");
        session.say(format!("{:10} {}", class.name, stored.name));
        session.say("");
        members(session, class, stored).await?;
        session.say("LEVEL  OWNER      UNIVERSAL ACCESS  YOUR ACCESS  WARNING");
        session.say("-----  --------   ----------------  -----------  -------");
        let (uacc, yours) = (row.access("uacc")?, stored.held(session, class));
        let warning = if row.flag("warning")? { "YES" } else { "NO" };
        let line = format!(
            " {:02}    {:8}        {uacc:7}     {:>11}    {warning}",
            row.number("level")?,
            stored.owner,
            yours.name()
        );
        session.say(line.trim_end());
        block(session, "INSTALLATION DATA", &or(row.text("data")?, "NONE"));
        block(session, "APPLICATION DATA", &or(row.text("appldata")?, "NONE"));
        block(session, "AUDITING", &auditing(row, "audit_success", "audit_failures")?);
        if session.snapshot.is_auditor(session.issuer) {
            block(session, "GLOBALAUDIT", &auditing(row, "global_success", "global_failures")?);
        }
        block(session, "NOTIFY", &row.optional("notify")?.unwrap_or_else(|| "NO USER TO BE NOTIFIED".to_owned()));
        session.say("");
        if keywords.has("HISTORY") || keywords.has("ALL") {
            history(session, row)?;
        }
        if keywords.has("ALL") || keywords.has("AUTHUSER") {
            // READ shows the profile; who else has access is for those who rule it or audit.
            let audits = session.snapshot.is_auditor_for(session.issuer, stored.owner);
            if audits || stored.may_administer(session, class) || stored.held(session, class) == Access::Alter {
                lists(session, stored);
            } else {
                session.ignore(format!("ICH13004I NOT AUTHORIZED TO LIST THE ACCESS LIST OF {}", stored.name.as_str()));
            }
        }
    }
    if class.name == "STARTED" && (keywords.has("STDATA") || keywords.has("ALL")) {
        let yes = |flag| if flag { "YES" } else { "NO" };
        session.say("STDATA INFORMATION");
        session.say("------------------");
        session.say(format!("USER= {}", row.optional("task_user")?.unwrap_or_default()).trim_end());
        session.say(format!("GROUP= {}", row.optional("task_group")?.unwrap_or_default()).trim_end());
        session.say(format!("TRUSTED= {}", yes(row.flag("task_trusted")?)));
        session.say(format!("PRIVILEGED= {}", yes(row.flag("task_privileged")?)));
        session.say("TRACE= NO");
        session.say("");
    }
    Ok(())
}

fn block(session: &mut Session<'_>, title: &str, text: &str) {
    session.say("");
    session.say(title);
    session.say("-".repeat(title.len()));
    session.say(text);
}

fn or(text: String, none: &str) -> String {
    if text.is_empty() { none.to_owned() } else { text }
}

/// `SUCCESS(UPDATE),FAILURES(READ)`, `ALL(READ)`, `NONE`.
fn auditing(row: &sqlx::any::AnyRow, success: &str, failures: &str) -> Result<String, Failure> {
    let (success, failures) = (row.optional(success)?, row.optional(failures)?);
    Ok(match (success, failures) {
        (None, None) => "NONE".to_owned(),
        (Some(from), Some(other)) if from == other => format!("ALL({from})"),
        (Some(from), None) => format!("SUCCESS({from})"),
        (None, Some(from)) => format!("FAILURES({from})"),
        (Some(from), Some(other)) => format!("SUCCESS({from}),FAILURES({other})"),
    })
}

async fn members(session: &mut Session<'_>, class: &ClassDescriptor, stored: &Stored) -> Result<(), Failure> {
    let rows: Vec<_> = stored.key(class).select(session.connection, "racf_members", "position").await?;
    if rows.is_empty() {
        return Ok(());
    }
    session.say("MEMBER CLASS NAME");
    session.say("------ ----- ----");
    session.say(format!("{}", stored.name));
    session.say("");
    session.say("RESOURCES IN GROUP");
    session.say("--------- -- -----");
    for row in rows {
        let level = row.optional("access")?.map(|level| format!("/{level}")).unwrap_or_default();
        session.say(format!("{}{level}", row.text("member")?));
    }
    session.say("");
    Ok(())
}

fn history(session: &mut Session<'_>, row: &sqlx::any::AnyRow) -> Result<(), Failure> {
    let created = row.text("created")?;
    let changed = row.optional("changed")?.unwrap_or_else(|| created.clone());
    let split = |stored: &str| {
        let day = text::day(stored);
        day.split_once('.').map(|(year, day)| format!("{day}    {year}")).unwrap_or_default()
    };
    session.say("CREATION DATE  LAST REFERENCE DATE  LAST CHANGE DATE");
    session.say(" (DAY) (YEAR)      (DAY) (YEAR)      (DAY) (YEAR)");
    session.say("-------------  -------------------  ----------------");
    session.say(format!("  {}          {}           {}", split(&created), split(&created), split(&changed)));
    session.say("");
    Ok(())
}

fn lists(session: &mut Session<'_>, stored: &Stored) {
    let Some(found) = stored.found() else { return };
    if found.access().is_empty() {
        session.say("NO USERS IN ACCESS LIST");
    } else {
        session.say("USER      ACCESS   ACCESS COUNT");
        session.say("----      ------   ------ -----");
        for entry in found.access() {
            session.say(format!("{:8}  {:7}       000000", entry.id, entry.access));
        }
    }
    session.say("");
    session.say("   ID     ACCESS   ACCESS COUNT  CLASS                ENTITY NAME");
    session.say("-------- -------  ------------ --------  ---------------------------------------");
    if found.conditional().is_empty() {
        session.say("NO ENTRIES IN CONDITIONAL ACCESS LIST");
    }
    for conditional in found.conditional() {
        let entry = conditional.entry;
        session.say(format!(
            "{:8} {:7}     000000    {:8}  {}",
            entry.id, entry.access, conditional.class, conditional.name
        ));
    }
    session.say("");
}
