//! ADDUSER, ALTUSER, DELUSER, LISTUSER.

use chrono::Utc;

use super::parse::{Keywords, Words};
use super::row::Row;
use super::{Failure, Session, connects, fail, refuse, text};
use crate::access::{Access, Userid};
use crate::decision::Request;
use crate::load::Columns as _;
use crate::snapshot::{Authority, User};

/// Attributes that are switches, their opposites, their columns.
const SWITCHES: [(&str, &str, &str); 6] = [
    ("SPECIAL", "NOSPECIAL", "special"),
    ("AUDITOR", "NOAUDITOR", "auditor"),
    ("ROAUDIT", "NOROAUDIT", "roaudit"),
    ("OPERATIONS", "NOOPERATIONS", "operations"),
    ("RESTRICTED", "NORESTRICTED", "restricted"),
    ("UAUDIT", "NOUAUDIT", "uaudit"),
];
/// What Linux does in RACF's place.
const PASSWORDS: [&str; 6] = ["PASSWORD", "NOPASSWORD", "PHRASE", "NOPHRASE", "OIDCARD", "NOOIDCARD"];
const SEGMENT: [&str; 7] = ["UID", "HOME", "PROGRAM", "NOUID", "NOHOME", "NOPROGRAM", "SHARED"];
/// Users that may be contained at once (z/OS 3.2).
const MAX_CONTAINED: usize = 100;

/// What ADDUSER takes.
const ADD: [&str; 27] = [
    "NAME",
    "OWNER",
    "DFLTGRP",
    "AUTHORITY",
    "UACC",
    "CLAUTH",
    "NOCLAUTH",
    "DATA",
    "OMVS",
    "SPECIAL",
    "NOSPECIAL",
    "AUDITOR",
    "NOAUDITOR",
    "ROAUDIT",
    "NOROAUDIT",
    "OPERATIONS",
    "NOOPERATIONS",
    "RESTRICTED",
    "NORESTRICTED",
    "UAUDIT",
    "NOUAUDIT",
    "PASSWORD",
    "NOPASSWORD",
    "PHRASE",
    "NOPHRASE",
    "OIDCARD",
    "NOOIDCARD",
];
/// What ALTUSER takes beside.
const ALTER: [&str; 12] = [
    "GROUP",
    "NODATA",
    "NOOMVS",
    "REVOKE",
    "NOREVOKE",
    "RESUME",
    "NORESUME",
    "CONTAIN",
    "NOCONTAIN",
    "NEVERCONTAIN",
    "ALLOWCONTAIN",
    "EXPIRED",
];

pub(super) async fn add(session: &mut Session<'_>, words: &Words) -> Result<(), Failure> {
    let users = text::userids(words, "USERID")?;
    let keywords = words.keywords(1, &ADD)?;
    let own_group = session.me().map(|user| user.default_group.as_str().to_owned()).unwrap_or_default();
    let group = session.known_group(keywords.value("DFLTGRP")?.unwrap_or(&own_group)).await?;
    let joins = session.has_clauth("USER") && session.snapshot.has_authority(session.issuer, group, Authority::Join);
    if !session.is_special() && !joins {
        return refuse("ICH01011I INSUFFICIENT AUTHORITY TO ISSUE ADDUSER");
    }
    let owner = match keywords.value("OWNER")? {
        Some(name) => session.known(name).await?,
        None => session.issuer,
    };
    for userid in users {
        if session.user_exists(userid).await? || session.group_exists(userid).await? {
            return fail(format!("ICH01006I {userid} IS ALREADY DEFINED TO RACF"));
        }
        let mut row = Row::default()
            .with("userid", userid)
            .with("owner", owner)
            .with("default_group", group)
            .with("created", Utc::now().to_rfc3339());
        set(session, &mut row, &keywords, None)?;
        segment(session, &mut row, userid, &keywords).await?;
        row.insert(session.connection, "racf_users").await?;
        clauth(session, userid, &keywords).await?;
        let authority = text::authority(&keywords)?.unwrap_or(Authority::Use);
        let uacc = text::level(&keywords, "UACC", "UNIVERSAL ACCESS")?.unwrap_or(Access::None);
        connects::row(userid, group, owner)
            .with("authority", authority.name())
            .with("uacc", uacc)
            .insert(session.connection, "racf_connects")
            .await?;
        if let Some(given) = PASSWORDS.into_iter().find(|word| keywords.has(word) && !word.starts_with("NO")) {
            session.remark(format!("{given} IGNORED: USERS OF THIS SYSTEM ARE AUTHENTICATED BY LINUX"));
        }
        session.say(format!("ICH01024I User {userid} is defined as PROTECTED."));
    }
    session.changed_people();
    Ok(())
}

pub(super) async fn alter(session: &mut Session<'_>, words: &Words) -> Result<(), Failure> {
    let users = text::userids(words, "USERID")?;
    let keywords = words.keywords(1, &[&ADD[..], &ALTER].concat())?;
    for userid in users {
        let Some(user) = session.snapshot.user(userid) else {
            return fail(format!("ICH21002I {userid:8} NOT DEFINED TO RACF"));
        };
        let governs = governs(session, user);
        let audits = session.me().is_some_and(|user| user.attributes.auditor);
        let only_audit = keywords.pairs().all(|(name, _)| ["UAUDIT", "NOUAUDIT"].contains(&name));
        if !governs && userid != session.issuer && !(audits && only_audit) {
            return refuse(format!("ICH21005I NOT AUTHORIZED TO ALTER {userid}"));
        }
        let mut row = Row::default();
        if governs {
            if let Some(name) = keywords.value("OWNER")? {
                row.set("owner", session.known(name).await?);
            }
            segment(session, &mut row, userid, &keywords).await?;
            clauth(session, userid, &keywords).await?;
            revocation(session, &mut row, &keywords)?;
            contain(session, &mut row, userid, &keywords).await?;
            if keywords.has("NODATA") {
                row.set("data", "");
            }
        } else {
            // Of themselves users change the name and the default group.
            let own =
                |name: &&str| ["NAME", "DFLTGRP"].contains(name) || audits && ["UAUDIT", "NOUAUDIT"].contains(name);
            let others: Vec<&str> = keywords.pairs().map(|(name, _)| name).filter(|name| !own(name)).collect();
            for name in others {
                session.ignore(format!("ICH21005I NOT AUTHORIZED TO SPECIFY {name}, OPERAND IGNORED"));
            }
        }
        if let Some(name) = keywords.value("DFLTGRP")? {
            let group = text::userid(name)?;
            if !user.connects.iter().any(|connect| connect.group == group) {
                return fail(format!("ICH21011I USER {userid} IS NOT CONNECTED TO GROUP {group}"));
            }
            row.set("default_group", group);
        }
        set(session, &mut row, &keywords, Some((userid, governs)))?;
        if PASSWORDS.into_iter().any(|word| keywords.has(word)) || keywords.has("EXPIRED") {
            session.remark("PASSWORD IGNORED: USERS OF THIS SYSTEM ARE AUTHENTICATED BY LINUX");
        }
        let key = Row::default().with("userid", userid);
        row.update(session.connection, "racf_users", &key).await?;
        if governs {
            connects::alter(session, userid, &keywords).await?;
        }
    }
    keep_one_special(session).await?;
    session.changed_people();
    Ok(())
}

pub(super) async fn delete(session: &mut Session<'_>, words: &Words) -> Result<(), Failure> {
    for userid in text::userids(words, "USERID")? {
        let Some(user) = session.snapshot.user(userid) else {
            return fail(format!("ICH04004I {userid:8} NOT DEFINED TO RACF"));
        };
        if !governs(session, user) {
            return refuse(format!("ICH04001I NOT AUTHORIZED TO DELETE {userid}"));
        }
        for (table, column, class) in CERTIFICATES {
            let query = format!("SELECT 1 FROM {table} WHERE {column} = $1 LIMIT 1");
            let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(userid.to_string());
            if query.fetch_optional(&mut *session.connection).await?.is_some() {
                session.changed(class);
            }
        }
        // Connects, class authorities, certificates, rings and filters go with their user. Entries in access lists stay, as RACF
        // leaves them.
        Row::default().with("userid", userid).delete(session.connection, "racf_users").await?;
    }
    keep_one_special(session).await?;
    session.changed_people();
    Ok(())
}

/// What of certificates goes with a user, and the classes of their profiles.
const CERTIFICATES: [(&str, &str, &str); 3] = [
    ("racf_certificates", "userid", "DIGTCERT"),
    ("racf_rings", "owner", "DIGTRING"),
    ("racf_filters", "userid", "DIGTNMAP"),
];

/// Whether the issuer owns a user, or is SPECIAL for its owner. SPECIAL users are governed by SPECIAL users only: an owner
/// could otherwise become one, or shut the last one out.
fn governs(session: &Session<'_>, user: &User) -> bool {
    let owns = user.owner == session.issuer || session.snapshot.is_special_for(session.issuer, user.owner);
    session.is_special() || owns && !user.attributes.special
}

/// Without a SPECIAL user nobody could ever administer the database again.
async fn keep_one_special(session: &mut Session<'_>) -> Result<(), Failure> {
    let query = "SELECT COUNT(*) AS left_over FROM racf_users WHERE special = 1 AND revoked = 0 AND contained = 0 \
                 AND revoke_date IS NULL";
    let left = sqlx::query(query).fetch_one(&mut *session.connection).await?.number("left_over")?;
    if left > 0 {
        return Ok(());
    }
    fail("ICH21005I REFUSED: NO USER WITH SPECIAL WOULD BE LEFT\nGIVE SPECIAL TO ANOTHER USER FIRST")
}

/// NAME, DATA and the attributes. `of` says whose they are and whether the issuer governs that user; none for a new one.
fn set(
    session: &mut Session<'_>,
    row: &mut Row,
    keywords: &Keywords,
    of: Option<(Userid, bool)>,
) -> Result<(), Failure> {
    if let Some(name) = text::data(keywords, "NAME", 20)? {
        row.set("name", name);
    }
    let governs = of.is_none_or(|(_, governs)| governs);
    if let Some(data) = text::data(keywords, "DATA", 255)?.filter(|_| governs) {
        row.set("data", data);
    }
    for (name, opposite, column) in SWITCHES {
        let Some(on) = keywords.switch(name, opposite) else { continue };
        let auditor = session.me().is_some_and(|user| user.attributes.auditor);
        let may = match name {
            // System-wide attributes are given by SPECIAL users only, who cannot have a user audited.
            "UAUDIT" => auditor,
            "RESTRICTED" => governs,
            _ => session.is_special(),
        };
        if may {
            row.set(column, on);
        } else if governs || of.is_none() {
            let given = if on { name } else { opposite };
            session.ignore(format!("ICH21005I NOT AUTHORIZED TO SPECIFY {given}, OPERAND IGNORED"));
        }
    }
    Ok(())
}

/// The OMVS segment. Its UID says who a caller is, so that it is for SPECIAL users.
async fn segment(session: &mut Session<'_>, row: &mut Row, userid: Userid, keywords: &Keywords) -> Result<(), Failure> {
    if !keywords.has("OMVS") && !keywords.has("NOOMVS") {
        return Ok(());
    }
    if !session.is_special() {
        session.ignore("ICH21005I NOT AUTHORIZED TO SPECIFY OMVS, OPERAND IGNORED");
        return Ok(());
    }
    if keywords.has("NOOMVS") {
        for column in ["uid", "home", "program"] {
            clear(row, column);
        }
    }
    let Some(segment) = keywords.nested("OMVS", &SEGMENT)? else { return Ok(()) };
    if let Some(uid) = text::number(&segment, "UID", i64::from(i32::MAX))? {
        let others = Row::default().with("uid", uid).select(session.connection, "racf_users", "userid").await?;
        let other = others.iter().map(|row| row.id("userid")).collect::<Result<Vec<_>, _>>()?;
        if let Some(other) = other.into_iter().find(|other| *other != userid && !segment.has("SHARED")) {
            return fail(format!(
                "IRR52174I INCORRECT UID {uid}. THIS VALUE IS ALREADY IN USE BY {other}; SHARED SHARES IT"
            ));
        }
        row.set("uid", uid);
    }
    for (keyword, column) in [("HOME", "home"), ("PROGRAM", "program")] {
        if let Some(path) = text::data(&segment, keyword, 1023)? {
            row.set(column, path);
        }
    }
    for (keyword, column) in [("NOUID", "uid"), ("NOHOME", "home"), ("NOPROGRAM", "program")] {
        if segment.has(keyword) {
            clear(row, column);
        }
    }
    Ok(())
}

fn clear(row: &mut Row, column: &'static str) {
    match column {
        "uid" => row.set(column, super::row::Value::Number(None)),
        _ => row.set(column, super::row::Value::Text(None)),
    }
}

async fn clauth(session: &mut Session<'_>, userid: Userid, keywords: &Keywords) -> Result<(), Failure> {
    for (keyword, give) in [("CLAUTH", true), ("NOCLAUTH", false)] {
        for name in keywords.list(keyword).unwrap_or_default() {
            let class = match name.eq_ignore_ascii_case("USER") {
                true => "USER",
                false => text::class_named(name)?.name,
            };
            if !session.is_special() && !session.has_clauth(class) {
                session.ignore(format!("ICH21005I NOT AUTHORIZED TO SPECIFY {keyword}, OPERAND IGNORED"));
                continue;
            }
            let row = Row::default().with("userid", userid).with("class", class);
            row.delete(session.connection, "racf_clauth").await?;
            if give {
                row.insert(session.connection, "racf_clauth").await?;
            }
        }
    }
    Ok(())
}

/// REVOKE and RESUME, at once or from a date on.
pub(super) fn revocation(session: &Session<'_>, row: &mut Row, keywords: &Keywords) -> Result<(), Failure> {
    for (keyword, column, revoked) in [("REVOKE", "revoke_date", true), ("RESUME", "resume_date", false)] {
        match keywords.list(keyword).as_deref() {
            None => {}
            Some([]) => {
                row.set("revoked", revoked);
                // A date of the past would decide again.
                row.set("revoke_date", None::<chrono::NaiveDate>);
                row.set("resume_date", None::<chrono::NaiveDate>);
            }
            Some([word]) => {
                let date = text::date(word)?;
                if date <= session.today() {
                    return fail(format!("IKJ56702I INVALID {keyword} DATE, {word}\nA DATE OF THE FUTURE IS EXPECTED"));
                }
                row.set(column, Some(date));
            }
            Some(_) => return fail(format!("IKJ56702I INVALID {keyword}, ONE DATE IS EXPECTED")),
        }
    }
    for (keyword, column) in [("NOREVOKE", "revoke_date"), ("NORESUME", "resume_date")] {
        if keywords.has(keyword) {
            row.set(column, None::<chrono::NaiveDate>);
        }
    }
    Ok(())
}

async fn contain(session: &mut Session<'_>, row: &mut Row, userid: Userid, keywords: &Keywords) -> Result<(), Failure> {
    let operands = ["CONTAIN", "NOCONTAIN", "NEVERCONTAIN", "ALLOWCONTAIN"];
    if !operands.iter().any(|operand| keywords.has(operand)) {
        return Ok(());
    }
    let request = Request::new(session.issuer, "FACILITY", "IRR.CONTAIN.USER", Access::Update);
    if !session.is_special() && session.snapshot.codes(&request).saf != 0 {
        session.ignore("ICH21026I NOT AUTHORIZED TO CONTAIN USERS, OPERAND IGNORED");
        return Ok(());
    }
    if let Some(never) = keywords.switch("NEVERCONTAIN", "ALLOWCONTAIN") {
        row.set("nevercontain", never);
    }
    let Some(contain) = keywords.switch("CONTAIN", "NOCONTAIN") else { return Ok(()) };
    let key = Row::default().with("userid", userid);
    let rows = key.select(session.connection, "racf_users", "userid").await?;
    let never = rows.first().map(|row| row.flag("nevercontain")).transpose()?.unwrap_or_default();
    if contain && (never || keywords.has("NEVERCONTAIN")) {
        return fail(format!("ICH21024I USER {userid} CANNOT BE CONTAINED: NEVERCONTAIN IS IN EFFECT"));
    }
    let contained = Row::default().with("contained", true).select(session.connection, "racf_users", "userid").await?;
    if contain && contained.len() >= MAX_CONTAINED {
        return fail(format!("ICH21025I {MAX_CONTAINED} USERS ARE CONTAINED, NO MORE CAN BE"));
    }
    row.set("contained", contain);
    Ok(())
}

pub(super) async fn list(session: &mut Session<'_>, words: &Words) -> Result<(), Failure> {
    const KEYWORDS: [&str; 3] = ["OMVS", "NORACF", "TSO"];
    let named = words.unless_keyword(0, &KEYWORDS);
    let keywords = words.keywords(usize::from(named.is_some()), &KEYWORDS)?;
    let all = named.as_deref().is_some_and(|names| names.iter().any(|name| name == "*"));
    let mut users: Vec<Userid> = match (&named, all) {
        (_, true) => session.snapshot.users.keys().copied().collect(),
        (Some(names), _) => names.iter().map(|name| text::userid(name)).collect::<Result<_, _>>()?,
        (None, _) => vec![session.issuer],
    };
    if all {
        users.sort_unstable();
    }
    let mut listed = 0;
    for userid in users {
        let Some(user) = session.snapshot.user(userid) else {
            return fail(format!("ICH30001I UNABLE TO LOCATE USER    ENTRY {userid}"));
        };
        let may = userid == session.issuer
            || user.owner == session.issuer
            || session.snapshot.is_auditor_for(session.issuer, user.owner);
        if !may && !all {
            return refuse(format!("ICH30002I NOT AUTHORIZED TO LIST {userid}"));
        }
        if may {
            listed += 1;
            describe(session, userid, user, &keywords).await?;
        }
    }
    if listed == 0 { refuse("ICH30010I NOT AUTHORIZED TO ISSUE LISTUSER") } else { Ok(()) }
}

async fn describe(session: &mut Session<'_>, userid: Userid, user: &User, keywords: &Keywords) -> Result<(), Failure> {
    let key = Row::default().with("userid", userid);
    let rows = key.select(session.connection, "racf_users", "userid").await?;
    let Some(row) = rows.first() else { return fail(format!("ICH30001I UNABLE TO LOCATE USER    ENTRY {userid}")) };
    if !keywords.has("NORACF") {
        let name = if user.name.is_empty() { "UNKNOWN" } else { &user.name };
        let created = text::day(&row.text("created")?);
        session.say(format!("USER={userid:8}  NAME={name:20} OWNER={:8}  CREATED={created}", user.owner));
        session
            .say(format!(" DEFAULT-GROUP={:8} PASSDATE=N/A    PASS-INTERVAL=N/A PHRASEDATE=N/A", user.default_group));
        let attributes = attributes(user, row.flag("nevercontain")?, session.today());
        for line in attributes.chunks(6) {
            session.say(format!(" ATTRIBUTES={}", line.join(" ")));
        }
        session.say(format!(
            " REVOKE DATE={}   RESUME DATE={}",
            text::long_date(user.revocation.from),
            text::long_date(user.revocation.until)
        ));
        session.say(format!(" LAST-ACCESS={}", text::moment(row.optional("last_access")?.as_deref())));
        let classes: Vec<&str> = user.clauth.iter().map(String::as_str).collect();
        let classes = if classes.is_empty() { vec!["NONE"] } else { classes };
        text::wrapped(" CLASS AUTHORIZATIONS=", &classes, 72).into_iter().for_each(|line| session.say(line));
        match row.text("data")?.as_str() {
            "" => session.say(" NO-INSTALLATION-DATA"),
            data => session.say(format!(" INSTALLATION-DATA={data}")),
        }
        for line in [
            " NO-MODEL-NAME",
            " LOGON ALLOWED   (DAYS)          (TIME)",
            " ---------------------------------------------",
            " ANYDAY                          ANYTIME",
        ] {
            session.say(line);
        }
        connects::describe(session, userid).await?;
        for line in [
            "SECURITY-LEVEL=NONE SPECIFIED",
            "CATEGORY-AUTHORIZATION",
            " NONE SPECIFIED",
            "SECURITY-LABEL=NONE SPECIFIED",
        ] {
            session.say(line);
        }
    }
    if keywords.has("OMVS") {
        let uid: Option<u32> = user.uid;
        let (home, program) = (row.optional("home")?, row.optional("program")?);
        if uid.is_none() && home.is_none() && program.is_none() {
            session.say("");
            session.say("NO OMVS INFORMATION");
            return Ok(());
        }
        session.say("");
        session.say("OMVS INFORMATION");
        session.say("----------------");
        session.say(uid.map_or_else(|| "UID= NONE".to_owned(), |uid| format!("UID= {uid:010}")));
        home.into_iter().for_each(|home| session.say(format!("HOME= {home}")));
        program.into_iter().for_each(|program| session.say(format!("PROGRAM= {program}")));
    }
    Ok(())
}

fn attributes(user: &User, nevercontain: bool, today: chrono::NaiveDate) -> Vec<&'static str> {
    let has = &user.attributes;
    let all = [
        ("SPECIAL", has.special),
        ("OPERATIONS", has.operations),
        ("AUDITOR", has.auditor),
        ("ROAUDIT", has.roaudit),
        ("UAUDIT", has.uaudit),
        ("RESTRICTED", has.restricted),
        ("PROTECTED", true),
        ("REVOKED", user.revocation.is_in_force(today)),
        ("CONTAINED", has.contained),
        ("NEVERCONTAIN", nevercontain),
    ];
    all.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}
