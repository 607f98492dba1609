//! RLIST.

use super::parse::{Keywords, Words};
use super::profiles::{self, Stored};
use super::{Failure, Session, fail, text};
use crate::access::Access;
use crate::class::ClassDescriptor;
use crate::load::{self, Columns as _};
use crate::pattern::{Values, Variables};
use crate::profile::ProfileName;

const KEYWORDS: [&str; 8] = ["ALL", "AUTHUSER", "GENERIC", "NOGENERIC", "STDATA", "NORACF", "HISTORY", "STATISTICS"];

pub(super) async fn rlist(session: &mut Session<'_>, words: &Words) -> Result<(), Failure> {
    let class = text::class_first(words)?;
    let names = words.positional(1, "ENTITY NAME")?;
    let keywords = words.keywords(2, &KEYWORDS)?;
    for text in &names {
        let found = which(session, class, text, &keywords).await?;
        let shown = if class.as_is { text.clone() } else { text.to_ascii_uppercase() };
        if found.is_empty() {
            return fail(format!("ICH13003I {shown} NOT FOUND"));
        }
        let mut listed = 0;
        for name in found {
            let Some(stored) = profiles::find(session, class, &name).await? else { continue };
            if may_list(session, class, &stored) {
                listed += 1;
                describe(session, class, &stored, &keywords).await?;
            }
        }
        if listed == 0 {
            return fail(format!("ICH13002I NOT AUTHORIZED TO LIST {shown}"));
        }
    }
    Ok(())
}

/// All profiles for `*`, else the one of this name, else the most specific one that covers it.
async fn which(
    session: &mut Session<'_>,
    class: &ClassDescriptor,
    text: &str,
    keywords: &Keywords,
) -> Result<Vec<ProfileName>, Failure> {
    if text != "*" {
        let exact = profiles::name(session, class, text)?;
        let generic = ProfileName::stored(exact.as_str().to_owned(), true);
        for name in [exact, generic] {
            let wanted = !keywords.has(if name.is_generic() { "NOGENERIC" } else { "GENERIC" });
            if wanted && profiles::find(session, class, &name).await?.is_some() {
                return Ok(vec![name]);
            }
        }
    }
    let list = load::raclist(session.connection, class, None).await?;
    if text == "*" {
        let wanted = |generic: bool| !keywords.has(if generic { "NOGENERIC" } else { "GENERIC" });
        return Ok(list.iter().filter(|found| wanted(found.is_generic())).map(|found| found.profile_name()).collect());
    }
    let resource = if class.as_is { text.to_owned() } else { text.to_ascii_uppercase() };
    let none = Variables::new();
    let covering = list.covering(resource.as_bytes(), !keywords.has("NOGENERIC"), Values::of(&none));
    Ok(covering.map(|found| found.profile_name()).into_iter().collect())
}

fn may_list(session: &Session<'_>, class: &ClassDescriptor, stored: &Stored) -> bool {
    stored.owner == session.issuer
        || session.snapshot.is_auditor_for(session.issuer, stored.owner)
        || stored.held(session, class) >= Access::Read
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
            lists(session, stored);
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
