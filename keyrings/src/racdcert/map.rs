//! MAP, ALTMAP, DELMAP, LISTMAP: certificate name filters.

use saf::{Access, Columns as _, Failure, Keywords, Row, SafError, Session, Userid, Value, fail};

use super::add::{certificates, dataset, read};
use super::{Request, changed, label, may_at};
use crate::certificate::{Certificate, marked};
use crate::store::Owner;

const FILTERS: &str = "racf_filters";
/// What a filter and its parts may be long.
const LONGEST: usize = 1024;
/// What criteria may ask for.
const VARIABLES: [&str; 2] = ["APPLID", "SYSID"];

/// Whom a filter is for; none: MULTIID.
fn target(request: &Request<'_>) -> Result<Option<Userid>, Failure> {
    match request.owner {
        None => Ok(None),
        Some(Owner::User(userid)) => Ok(Some(userid)),
        Some(_) => fail("IKJ56712I INVALID KEYWORD, SITE OR CERTAUTH\nA FILTER IS FOR ID(USERID) OR MULTIID"),
    }
}

/// READ for one's own filters, UPDATE for others'.
fn authorize(session: &Session<'_>, function: &str, target: Option<Userid>) -> Result<(), Failure> {
    let level = if target == Some(session.issuer()) { Access::Read } else { Access::Update };
    may_at(session, function, level, "").map(|_| ())
}

fn key(target: Option<Userid>, label: &str) -> Row {
    let owner = target.map_or_else(|| "irrmulti".to_owned(), |userid| userid.to_string());
    Row::default().with("owner", owner).with("label", label)
}

pub(super) async fn map(session: &mut Session<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let (target, keywords) = (target(request)?, &request.keywords);
    authorize(session, "MAP", target)?;
    let model = match keywords.list("MAP").unwrap_or_default().as_slice() {
        [] => None,
        _ => {
            let name = dataset(keywords, "MAP")?;
            certificates(&name, &read(&name, session.read(&name)?, None).await?.certificates)?.into_iter().next()
        }
    };
    let names = model.as_ref().map(Certificate::names);
    let issuer = names.map(|names| names.issuer.join("."));
    let subject = names.map(|names| names.subject.join("."));
    let is_coded = keywords.has("IDNFILTER") || keywords.has("SDNFILTER");
    let (issuer, subject) =
        (part(keywords, "IDNFILTER", issuer, is_coded)?, part(keywords, "SDNFILTER", subject, is_coded)?);
    if issuer.is_empty() && subject.is_empty() {
        return fail("IRRD136I A filter is expected: a model certificate's data set, IDNFILTER or SDNFILTER.");
    }
    let criteria = criteria(keywords.value("CRITERIA")?, target)?;
    let status = if keywords.has("NOTRUST") { "NOTRUST" } else { "TRUST" };
    let query = sqlx::query("SELECT 1 FROM racf_filters WHERE issuer = $1 AND subject = $2");
    let known = query.bind(issuer.clone()).bind(subject.clone()).fetch_optional(session.connection()).await;
    if known.map_err(SafError::from)?.is_some() {
        return fail("IRRD137I A filter with these names is already defined.");
    }
    let taken = labels(session, &key(target, "")).await?;
    let label = match label(keywords, "WITHLABEL")? {
        Some(label) if taken.contains(&label) => {
            return fail(format!("IRRD111I Label {label} is already in use by another filter."));
        }
        Some(label) => label,
        None => {
            let free = (1..).map(|number| format!("LABEL{number:08}")).find(|label| !taken.contains(label));
            free.unwrap_or_default()
        }
    };
    key(target, &label)
        .with("userid", target.map_or(Value::Text(None), Value::from))
        .with("issuer", issuer.as_str())
        .with("subject", subject.as_str())
        .with("criteria", Value::Text(criteria))
        .with("status", status)
        .with("created", session.today().to_string())
        .insert(session.connection(), FILTERS)
        .await?;
    changed(session, "DIGTNMAP");
    Ok(())
}

/// A filter, by what is coded and by the name in the model certificate.
fn part(keywords: &Keywords, keyword: &str, name: Option<String>, is_coded: bool) -> Result<String, Failure> {
    match (keywords.value(keyword)?, name) {
        (None, Some(name)) if !is_coded => Ok(name),
        (None, _) => Ok(String::new()),
        (Some(text), None) => filter(keyword, text),
        // With a model the text says where in its name the filter begins.
        (Some(text), Some(name)) => match name.find(text).map(|at| name.split_at(at)) {
            // At the beginning of a part.
            Some((before, rest)) if !text.is_empty() && (before.is_empty() || before.ends_with('.')) => {
                Ok(rest.to_owned())
            }
            _ => fail(format!("IRRD135I {keyword} {text} is no part of the name in the model certificate: {name}")),
        },
    }
}

/// A filter as it is written: parts of a name, the most specific first.
fn filter(keyword: &str, text: &str) -> Result<String, Failure> {
    let is_part = text
        .split('.')
        .next()
        .is_some_and(|part| part.split_once('=').is_some_and(|(kind, value)| !kind.is_empty() && !value.is_empty()));
    if text.len() <= LONGEST && is_part && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    fail(format!(
        "IKJ56702I INVALID {keyword}, {text}\nPARTS OF A NAME ARE EXPECTED, THE MOST SPECIFIC FIRST: 'CN=A.OU=B.O=C'"
    ))
}

/// CRITERIA: `APPLID=&APPLID`, `SYSID=&SYSID`, or both.
fn criteria(coded: Option<&str>, target: Option<Userid>) -> Result<Option<String>, Failure> {
    match (coded, target) {
        (None, Some(_)) => Ok(None),
        (Some(_), Some(_)) => fail("IKJ56712I INVALID KEYWORD, CRITERIA\nIT IS FOR MULTIID"),
        (None, None) => fail("IKJ56701I MISSING CRITERIA+"),
        (Some(text), None) => {
            let text = text.to_ascii_uppercase();
            let is_known = |part: &str| {
                part.split_once('=').is_some_and(|(name, value)| {
                    VARIABLES.contains(&name)
                        && (1..=246).contains(&value.len())
                        && value.bytes().all(|byte| byte.is_ascii_graphic())
                })
            };
            if text.split('.').all(is_known) {
                return Ok(Some(text));
            }
            fail(format!(
                "IKJ56702I INVALID CRITERIA, {text}\nAPPLID=&APPLID, SYSID=&SYSID OR BOTH WITH A PERIOD ARE EXPECTED"
            ))
        }
    }
}

async fn labels(session: &mut Session<'_>, owner: &Row) -> Result<Vec<String>, Failure> {
    let rows = owner.clone().without("label").select(session.connection(), FILTERS, "label").await?;
    Ok(rows.iter().map(|row| row.text("label")).collect::<Result<_, _>>()?)
}

/// The filter a function names by its label; without one the only one there is.
async fn find(session: &mut Session<'_>, request: &Request<'_>, target: Option<Userid>) -> Result<String, Failure> {
    let labels = labels(session, &key(target, "")).await?;
    match (request.label()?, labels.as_slice()) {
        (Some(label), known) if known.contains(&label) => Ok(label),
        (None, [only]) => Ok(only.clone()),
        (None, [_, ..]) => fail("IRRD108I There are several filters; LABEL is expected."),
        _ => fail("IRRD138I No matching mapping was found for this user."),
    }
}

pub(super) async fn alter(session: &mut Session<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let (target, keywords) = (target(request)?, &request.keywords);
    authorize(session, "ALTMAP", target)?;
    let known = find(session, request, target).await?;
    let mut row = Row::default();
    if let Some(new) = label(keywords, "NEWLABEL")?.filter(|new| *new != known) {
        if labels(session, &key(target, "")).await?.contains(&new) {
            return fail(format!("IRRD111I Label {new} is already in use by another filter."));
        }
        row.set("label", new);
    }
    if let Some(no) = keywords.switch("NOTRUST", "TRUST") {
        row.set("status", if no { "NOTRUST" } else { "TRUST" });
    }
    if let Some(new) = keywords.value("NEWCRITERIA")? {
        row.set("criteria", Value::Text(criteria(Some(new), target)?));
    }
    if row.update(session.connection(), FILTERS, &key(target, &known)).await? == 0 {
        return fail("IKJ56701I MISSING TRUST, NOTRUST, NEWLABEL, OR NEWCRITERIA");
    }
    changed(session, "DIGTNMAP");
    Ok(())
}

pub(super) async fn delete(session: &mut Session<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let target = target(request)?;
    authorize(session, "DELMAP", target)?;
    let known = find(session, request, target).await?;
    key(target, &known).delete(session.connection(), FILTERS).await?;
    changed(session, "DIGTNMAP");
    Ok(())
}

pub(super) async fn list(session: &mut Session<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let target = target(request)?;
    authorize(session, "LISTMAP", target)?;
    let mut wanted = key(target, "").without("label");
    if let Some(label) = request.label()? {
        wanted.set("label", label);
    }
    let rows = wanted.select(session.connection(), FILTERS, "label").await?;
    if rows.is_empty() {
        return fail("IRRD138I No matching mapping was found for this user.");
    }
    let heading = target.map_or_else(|| "MULTIID".to_owned(), |userid| format!("user {userid}"));
    session.say(format!("Mapping information for {heading}:"));
    for row in rows {
        session.say("");
        session.say(format!(" Label: {}", row.text("label")?));
        session.say(format!(" Status: {}", row.text("status")?));
        for (title, column) in [("Issuer's Name Filter:", "issuer"), ("Subject's Name Filter:", "subject")] {
            session.say(format!(" {title}"));
            for line in marked(&row.text(column)?) {
                session.say(line.strip_prefix(' ').unwrap_or(&line));
            }
        }
        if let Some(criteria) = row.optional("criteria")? {
            session.say(format!(" Criteria: {criteria}"));
        }
    }
    Ok(())
}
