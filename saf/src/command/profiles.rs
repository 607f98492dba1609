//! RDEFINE, RALTER, RDELETE.

use std::sync::Arc;

use chrono::Utc;
use sqlx::any::AnyRow;

use super::parse::{Keywords, Words};
use super::row::{Row, Value};
use super::{Failure, Session, fail, refuse, text};
use crate::access::{Access, Userid};
use crate::class::ClassDescriptor;
use crate::decision::Request;
use crate::load::{self, Columns as _};
use crate::pattern;
use crate::profile::{BadName, ProfileName};
use crate::raclist::{Found, Raclist};

const DEFINE: [&str; 14] = [
    "UACC",
    "OWNER",
    "LEVEL",
    "AUDIT",
    "NOTIFY",
    "WARNING",
    "NOWARNING",
    "APPLDATA",
    "DATA",
    "ADDMEM",
    "FROM",
    "FCLASS",
    "FGENERIC",
    "STDATA",
];
const ALTER: [&str; 17] = [
    "UACC",
    "OWNER",
    "LEVEL",
    "AUDIT",
    "GLOBALAUDIT",
    "NOTIFY",
    "NONOTIFY",
    "WARNING",
    "NOWARNING",
    "APPLDATA",
    "NOAPPLDATA",
    "DATA",
    "NODATA",
    "ADDMEM",
    "DELMEM",
    "STDATA",
    "NOSTDATA",
];

/// A profile as the database has it now.
pub(super) struct Stored {
    pub(super) row: AnyRow,
    pub(super) name: ProfileName,
    pub(super) owner: Userid,
    list: Arc<Raclist>,
}

impl Stored {
    /// With its access lists.
    pub(super) fn found(&self) -> Option<Found<'_>> {
        self.list.iter().find(|found| found.is_generic() == self.name.is_generic())
    }

    /// The level the issuer has by its standard access list and UACC.
    pub(super) fn held(&self, session: &Session<'_>, class: &ClassDescriptor) -> Access {
        let request = Request::new(session.issuer, class.name, self.name.as_str(), Access::Read);
        let held = |found| session.snapshot.standard(found, &request, session.me()).0;
        self.found().map_or(Access::None, held)
    }

    /// Its key in the database.
    pub(super) fn key(&self, class: &ClassDescriptor) -> Row {
        key(class, &self.name)
    }

    /// Whether the issuer may change, delete or permit it.
    pub(super) fn may_administer(&self, session: &Session<'_>, class: &ClassDescriptor) -> bool {
        let held = self.held(session, class);
        session.snapshot.may_administer(session.issuer, class.name, &self.name, self.owner, held)
    }
}

fn key(class: &ClassDescriptor, name: &ProfileName) -> Row {
    Row::default().with("class", class.name).with("name", name.as_str()).with("generic", name.is_generic())
}

/// Whether names with `*` and `%` are generic in a class.
pub(super) fn generics(session: &Session<'_>, class: &ClassDescriptor) -> bool {
    let switches = session.snapshot.switches(class);
    switches.generic || switches.gencmd
}

pub(super) fn name(session: &Session<'_>, class: &ClassDescriptor, text: &str) -> Result<ProfileName, Failure> {
    let longest = class.max_length;
    let why = match ProfileName::parse(text, generics(session, class), class) {
        Ok(name) if class.name == "GLOBAL" && crate::class::find(name.as_str()).is_none() => {
            "A PROFILE OF CLASS GLOBAL HAS THE NAME OF A CLASS".to_owned()
        }
        Ok(name) => return Ok(name),
        Err(BadName::Characters) => format!("A NAME IN CLASS {} HAS 1 TO {longest} PRINTABLE CHARACTERS", class.name),
        Err(BadName::DoubleAsterisk) => "** STANDS FOR WHOLE QUALIFIERS AND ONCE ONLY".to_owned(),
        Err(BadName::Asterisk) => "* ENDS ITS QUALIFIER".to_owned(),
        Err(BadName::Variable) => "A RACF VARIABLE IS & AND 1 TO 7 CHARACTERS A-Z 0-9 @ # $".to_owned(),
    };
    fail(format!("IKJ56702I INVALID ENTITY NAME, {text}\n{why}"))
}

/// The profile with exactly this name, if there is one.
pub(super) async fn find(
    session: &mut Session<'_>,
    class: &ClassDescriptor,
    name: &ProfileName,
) -> Result<Option<Stored>, Failure> {
    let rows = key(class, name).select(session.connection, "racf_profiles", "name").await?;
    let Some(row) = rows.into_iter().next() else { return Ok(None) };
    let list = load::raclist(session.connection, class, Some(name.as_str())).await?;
    Ok(Some(Stored { owner: row.id("owner")?, row, name: name.clone(), list }))
}

pub(super) async fn define(session: &mut Session<'_>, words: &Words) -> Result<(), Failure> {
    let class = maintained(text::class_first(words)?)?;
    let names = words.positional(1, "ENTITY NAME")?;
    let keywords = words.keywords(2, &DEFINE)?;
    for text in names {
        let name = name(session, class, &text)?;
        if !session.is_special() && !session.has_clauth(class.name) {
            return refuse(format!("ICH10103I NOT AUTHORIZED TO DEFINE {}.", name.as_str()));
        }
        if find(session, class, &name).await?.is_some() {
            return fail(format!("ICH10102I {} ALREADY DEFINED TO CLASS {}.", name.as_str(), class.name));
        }
        if !name.is_generic() && name.as_str().contains(['*', '%']) {
            session.remark(format!(
                "ICH10321I {} IS A DISCRETE PROFILE: GENERIC PROFILES ARE NOT IN EFFECT FOR CLASS {}",
                name.as_str(),
                class.name
            ));
        }
        let mut row = key(class, &name)
            .with("uacc", Access::None)
            .with("owner", session.issuer)
            .with("created", Utc::now().to_rfc3339());
        let model = model(session, class, &keywords).await?;
        if let Some(model) = &model {
            copy(&mut row, &model.row)?;
        }
        set(session, &mut row, &keywords).await?;
        row.insert(session.connection, "racf_profiles").await?;
        if let Some(model) = &model {
            copy_lists(session, model, class, &name).await?;
        }
        if session.snapshot.options.addcreator {
            let entry = key(class, &name).with("id", session.issuer);
            entry.delete(session.connection, "racf_access").await?;
            entry.with("access", Access::Alter).insert(session.connection, "racf_access").await?;
        }
        members(session, class, &name, &keywords).await?;
        session.changed_profiles(class, "ICH10006I", "ADDITION(S)", ".");
    }
    Ok(())
}

pub(super) async fn alter(session: &mut Session<'_>, words: &Words) -> Result<(), Failure> {
    let class = maintained(text::class_first(words)?)?;
    let names = words.positional(1, "ENTITY NAME")?;
    let keywords = words.keywords(2, &ALTER)?;
    for text in names {
        let name = name(session, class, &text)?;
        let Some(stored) = find(session, class, &name).await? else {
            return fail(format!("ICH11102I {} NOT DEFINED TO CLASS {}.", name.as_str(), class.name));
        };
        let auditor = session.me().is_some_and(|user| user.attributes.auditor);
        let mut row = Row::default();
        if stored.may_administer(session, class) {
            set(session, &mut row, &keywords).await?;
            members(session, class, &name, &keywords).await?;
        } else if auditor && keywords.has("GLOBALAUDIT") {
            let others: Vec<&str> =
                keywords.pairs().map(|(name, _)| name).filter(|name| *name != "GLOBALAUDIT").collect();
            for other in others {
                session.ignore(format!("ICH11112I NOT AUTHORIZED TO SPECIFY {other}, OPERAND IGNORED"));
            }
        } else {
            return refuse(format!("ICH11103I NOT AUTHORIZED TO ALTER {}.", name.as_str()));
        }
        if let Some(audit) = auditing(&keywords, "GLOBALAUDIT")? {
            if auditor {
                row.set("global_success", audit[0]);
                row.set("global_failures", audit[1]);
            } else {
                session.ignore("ICH11112I NOT AUTHORIZED TO SPECIFY GLOBALAUDIT, OPERAND IGNORED");
            }
        }
        row.set("changed", Utc::now().to_rfc3339());
        row.update(session.connection, "racf_profiles", &stored.key(class)).await?;
        session.changed_profiles(class, "ICH11009I", "UPDATE(S)", ".");
    }
    Ok(())
}

pub(super) async fn delete(session: &mut Session<'_>, words: &Words) -> Result<(), Failure> {
    let class = maintained(text::class_first(words)?)?;
    let names = words.positional(1, "ENTITY NAME")?;
    let keywords = words.keywords(2, &["NOGENERIC", "GENERIC"])?;
    for text in names {
        let mut name = name(session, class, &text)?;
        if keywords.has("NOGENERIC") {
            name = ProfileName::stored(name.as_str().to_owned(), false);
        }
        let Some(stored) = find(session, class, &name).await? else {
            return fail(format!("ICH12102I {} NOT DEFINED TO CLASS {}.", name.as_str(), class.name));
        };
        if !stored.may_administer(session, class) {
            return refuse(format!("ICH12103I NOT AUTHORIZED TO DELETE {}.", name.as_str()));
        }
        // Lists and members go with their profile.
        stored.key(class).delete(session.connection, "racf_profiles").await?;
        session.changed_profiles(class, "ICH12002I", "DELETION(S)", ".");
    }
    Ok(())
}

/// Refuses classes whose profiles RACDCERT makes.
fn maintained(class: &'static ClassDescriptor) -> Result<&'static ClassDescriptor, Failure> {
    if class.certificates {
        return fail(format!("IKJ56702I INVALID CLASS, {}\nITS PROFILES ARE MAINTAINED BY RACDCERT", class.name));
    }
    Ok(class)
}

async fn set(session: &mut Session<'_>, row: &mut Row, keywords: &Keywords) -> Result<(), Failure> {
    if let Some(uacc) = text::level(keywords, "UACC", "UNIVERSAL ACCESS")? {
        row.set("uacc", uacc);
    }
    if let Some(owner) = keywords.value("OWNER")? {
        row.set("owner", session.known(owner).await?);
    }
    if let Some(level) = text::number(keywords, "LEVEL", 99)? {
        row.set("level", level);
    }
    if let Some(audit) = auditing(keywords, "AUDIT")? {
        row.set("audit_success", audit[0]);
        row.set("audit_failures", audit[1]);
    }
    match keywords.list("NOTIFY").as_deref() {
        None => {}
        Some([]) => row.set("notify", session.issuer),
        Some(_) => {
            let userid = text::userid(keywords.value("NOTIFY")?.unwrap_or_default())?;
            if !session.user_exists(userid).await? {
                return fail(format!("IKJ56702I INVALID NOTIFY, {userid}\nA DEFINED USER IS EXPECTED"));
            }
            row.set("notify", userid);
        }
    }
    if keywords.has("NONOTIFY") {
        row.set("notify", Value::Text(None));
    }
    if let Some(warning) = keywords.switch("WARNING", "NOWARNING") {
        row.set("warning", warning);
    }
    for (keyword, opposite, column) in [("APPLDATA", "NOAPPLDATA", "appldata"), ("DATA", "NODATA", "data")] {
        if let Some(data) = text::data(keywords, keyword, 255)? {
            row.set(column, data);
        }
        if keywords.has(opposite) {
            row.set(column, "");
        }
    }
    task(session, row, keywords).await
}

/// STDATA: what a started task runs as.
async fn task(session: &mut Session<'_>, row: &mut Row, keywords: &Keywords) -> Result<(), Failure> {
    const SEGMENT: [&str; 7] = ["USER", "GROUP", "TRUSTED", "PRIVILEGED", "TRACE", "NOUSER", "NOGROUP"];
    if (keywords.has("STDATA") || keywords.has("NOSTDATA")) && !session.is_special() {
        session.ignore("ICH21005I NOT AUTHORIZED TO SPECIFY STDATA, OPERAND IGNORED");
        return Ok(());
    }
    if keywords.has("NOSTDATA") {
        row.set("task_user", Value::Text(None));
        row.set("task_group", Value::Text(None));
        row.set("task_trusted", false);
        row.set("task_privileged", false);
    }
    let Some(segment) = keywords.nested("STDATA", &SEGMENT)? else { return Ok(()) };
    if let Some(name) = segment.value("USER")? {
        let userid = text::userid(name)?;
        if !session.user_exists(userid).await? {
            session.remark(format!("IRR52131I USER {userid} IS NOT DEFINED"));
        }
        row.set("task_user", userid);
    }
    if let Some(name) = segment.value("GROUP")? {
        row.set("task_group", session.known_group(name).await?);
    }
    for (keyword, column) in [("TRUSTED", "task_trusted"), ("PRIVILEGED", "task_privileged")] {
        match segment.value(keyword)?.map(str::to_ascii_uppercase).as_deref() {
            None => {}
            Some("YES") => row.set(column, true),
            Some("NO") => row.set(column, false),
            Some(word) => return fail(format!("IKJ56702I INVALID {keyword}, {word}\nYES OR NO IS EXPECTED")),
        }
    }
    for (keyword, column) in [("NOUSER", "task_user"), ("NOGROUP", "task_group")] {
        if segment.has(keyword) {
            row.set(column, Value::Text(None));
        }
    }
    Ok(())
}

/// `AUDIT(SUCCESS(UPDATE) FAILURES(READ))`, `AUDIT(ALL)`, `AUDIT(NONE)`: from which levels on.
fn auditing(keywords: &Keywords, keyword: &str) -> Result<Option<[Option<Access>; 2]>, Failure> {
    let Some(types) = keywords.nested(keyword, &["NONE", "ALL", "SUCCESS", "FAILURES"])? else { return Ok(None) };
    let mut levels = [None, None];
    for (kind, values) in types.pairs() {
        let from = match values.as_slice() {
            [] => Access::Read,
            [word] => text::access(word, "AUDIT LEVEL")?,
            _ => return fail(format!("IKJ56702I INVALID {keyword}, ONE LEVEL IS EXPECTED")),
        };
        let [success, failures] = &mut levels;
        match kind {
            "ALL" => (*success, *failures) = (Some(from), Some(from)),
            "SUCCESS" => *success = Some(from),
            "FAILURES" => *failures = Some(from),
            _ => (*success, *failures) = (None, None),
        }
    }
    Ok(Some(levels))
}

/// ADDMEM and DELMEM.
async fn members(
    session: &mut Session<'_>,
    class: &'static ClassDescriptor,
    name: &ProfileName,
    keywords: &Keywords,
) -> Result<(), Failure> {
    let lists = class.name == "GLOBAL" || class.name == "RACFVARS";
    if !lists && (keywords.has("ADDMEM") || keywords.has("DELMEM")) {
        return fail(format!("IKJ56712I INVALID KEYWORD, ADDMEM\nPROFILES OF CLASS {} HAVE NO MEMBERS", class.name));
    }
    if class.name == "GLOBAL" && (keywords.has("ADDMEM") || keywords.has("DELMEM")) && !session.is_special() {
        return refuse("ICH11103I THE GLOBAL ACCESS TABLE IS FOR USERS WITH SPECIAL");
    }
    let key = key(class, name);
    for word in keywords.list("DELMEM").unwrap_or_default() {
        let member = word.rsplit_once('/').map_or(word, |(member, _)| member).to_ascii_uppercase();
        if key.clone().with("member", member.as_str()).delete(session.connection, "racf_members").await? == 0 {
            session.remark(format!("ICH11113I {member} IS NO MEMBER OF {}", name.as_str()));
        }
    }
    for word in keywords.list("ADDMEM").unwrap_or_default() {
        let (member, access) = match class.name {
            "GLOBAL" => {
                let Some((pattern, level)) = word.rsplit_once('/') else {
                    return fail(format!("IKJ56702I INVALID MEMBER, {word}\nNAME/LEVEL IS EXPECTED"));
                };
                let of = text::class_named(name.as_str())?;
                let Ok(pattern) = ProfileName::parse(pattern, true, of) else {
                    return fail(format!("IKJ56702I INVALID MEMBER, {word}\nA PROFILE NAME IS EXPECTED BEFORE /"));
                };
                (pattern.as_str().to_owned(), Some(text::access(level, "ACCESS LEVEL")?))
            }
            _ => {
                let value = word.to_ascii_uppercase();
                let plain = |byte: u8| pattern::names_variable(byte) || b".-".contains(&byte);
                if !(1..=39).contains(&value.len()) || !value.bytes().all(plain) {
                    return fail(format!(
                        "IKJ56702I INVALID MEMBER, {word}\n1 TO 39 CHARACTERS A-Z 0-9 @ # $ . - ARE EXPECTED"
                    ));
                }
                (value, None)
            }
        };
        let rows = key.select(session.connection, "racf_members", "position").await?;
        let mut position = rows.last().map(|row| row.number("position")).transpose()?.unwrap_or_default() + 1;
        for row in &rows {
            // The order of a variable's values counts: one that is there stays where it is.
            if row.text("member")? == member {
                position = row.number("position")?;
            }
        }
        let entry = key.clone().with("member", member);
        entry.delete(session.connection, "racf_members").await?;
        let entry = entry.with("position", position).with("access", access);
        entry.insert(session.connection, "racf_members").await?;
    }
    Ok(())
}

/// FROM(profile): the profile that a new one is made after.
async fn model(
    session: &mut Session<'_>,
    class: &'static ClassDescriptor,
    keywords: &Keywords,
) -> Result<Option<Stored>, Failure> {
    let Some(from) = keywords.value("FROM")? else { return Ok(None) };
    let from_class = keywords.value("FCLASS")?.map_or(Ok(class), text::class_named)?;
    let mut name = name(session, from_class, from)?;
    if keywords.has("FGENERIC") {
        name = ProfileName::stored(name.as_str().to_owned(), true);
    }
    match find(session, from_class, &name).await? {
        Some(stored) if stored.may_administer(session, from_class) => Ok(Some(stored)),
        Some(_) => refuse(format!("ICH10104I NOT AUTHORIZED TO USE {} AS A MODEL", name.as_str())),
        None => fail(format!("ICH10105I MODEL {} NOT DEFINED TO CLASS {}.", name.as_str(), from_class.name)),
    }
}

fn copy(row: &mut Row, model: &AnyRow) -> Result<(), Failure> {
    for column in ["uacc", "data", "appldata"] {
        row.set(column, model.text(column)?);
    }
    for column in ["audit_success", "audit_failures", "notify"] {
        row.set(column, Value::Text(model.optional(column)?));
    }
    row.set("level", model.number("level")?);
    row.set("warning", model.flag("warning")?);
    Ok(())
}

/// Copies both access lists to another profile; entries it has already stay.
pub(super) async fn copy_lists(
    session: &mut Session<'_>,
    from: &Stored,
    class: &ClassDescriptor,
    to: &ProfileName,
) -> Result<(), Failure> {
    let Some(found) = from.found() else { return Ok(()) };
    for entry in found.access() {
        let row = key(class, to).with("id", entry.id);
        if row.select(session.connection, "racf_access", "id").await?.is_empty() {
            row.with("access", entry.access).insert(session.connection, "racf_access").await?;
        }
    }
    for conditional in found.conditional() {
        let row = key(class, to)
            .with("condition_class", &*conditional.class)
            .with("condition_name", &*conditional.name)
            .with("id", conditional.entry.id);
        if row.select(session.connection, "racf_conditional", "id").await?.is_empty() {
            row.with("access", conditional.entry.access).insert(session.connection, "racf_conditional").await?;
        }
    }
    Ok(())
}
