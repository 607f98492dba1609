//! RDEFINE and PERMIT.

use chrono::Utc;

use super::parse::{Keywords, Words};
use super::{Failure, Outcome, Session, done, fail};
use crate::access::{Access, Userid};
use crate::class::{self, ClassDescriptor};
use crate::database::load_profiles;
use crate::profile::{BadName, ProfileName};
use crate::snapshot::Profile;

pub(super) async fn define(session: Session<'_>, words: &Words) -> Result<Outcome, Failure> {
    const KEYWORDS: [&str; 5] = ["UACC", "OWNER", "DATA", "WARNING", "NOWARNING"];
    let class = class_named(&words.positional(0, "CLASS NAME")?.join(" "))?;
    let names = words.positional(1, "ENTITY NAME")?;
    let keywords = words.keywords(2, &KEYWORDS)?;
    let uacc = level(&keywords, "UACC", "UNIVERSAL ACCESS")?.unwrap_or(Access::None);
    let owner = match keywords.value("OWNER")? {
        None => session.issuer.clone(),
        Some(name) => match Userid::parse(name) {
            Some(owner) => owner,
            None => return fail(format!("IKJ56702I INVALID USERID, {name}")),
        },
    };
    let generics = session.snapshot.classes.get(class.name).is_some_and(|switches| switches.generic);
    for text in &names {
        let name = profile_name(text, generics, class)?;
        if !session.is_special() {
            return fail(format!("ICH10103I NOT AUTHORIZED TO DEFINE {}.", name.as_str()));
        }
        let profiles = load_profiles(session.connection, class.name).await?;
        if profiles.iter().any(|profile| profile.name == name) {
            return fail(format!("ICH10102I {} ALREADY DEFINED TO CLASS {}.", name.as_str(), class.name));
        }
        sqlx::query(
            "INSERT INTO racf_profiles (class, name, generic, uacc, owner, warning, data, created) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(class.name)
        .bind(name.as_str())
        .bind(i64::from(name.is_generic()))
        .bind(uacc.name())
        .bind(owner.as_str())
        .bind(i64::from(keywords.has("WARNING")))
        .bind(keywords.value("DATA")?.unwrap_or_default())
        .bind(Utc::now().to_rfc3339())
        .execute(&mut *session.connection)
        .await?;
        // The definer is put into the access list with ALTER (ADDCREATOR).
        insert_access(session.connection, class, &name, session.issuer.as_str(), Access::Alter).await?;
    }
    Ok(done(refresh_reminder(&session, class, "ICH10006I", "ADDITION(S)", ".")))
}

pub(super) async fn permit(mut session: Session<'_>, words: &Words) -> Result<Outcome, Failure> {
    const KEYWORDS: [&str; 6] = ["CLASS", "ID", "ACCESS", "DELETE", "RESET", "GENERIC"];
    let text = words.positional(0, "ENTITY NAME")?.join(" ");
    let keywords = words.keywords(1, &KEYWORDS)?;
    let Some(class) = keywords.value("CLASS")? else { return fail("IKJ56701I MISSING CLASS NAME+") };
    let class = class_named(class)?;
    let profile = find(&mut session, class, &text, keywords.has("GENERIC")).await?;
    if !may_administer(&session, &profile) {
        return fail(format!("ICH06003I NOT AUTHORIZED TO CHANGE THE ACCESS LIST OF {}", profile.name.as_str()));
    }
    if keywords.has("RESET") {
        sqlx::query("DELETE FROM racf_access WHERE class = $1 AND name = $2 AND generic = $3")
            .bind(class.name)
            .bind(profile.name.as_str())
            .bind(i64::from(profile.name.is_generic()))
            .execute(&mut *session.connection)
            .await?;
    }
    let ids = keywords.list("ID").unwrap_or_default();
    if ids.is_empty() && !keywords.has("RESET") {
        return fail("IKJ56701I MISSING USERID OR GROUP NAME+");
    }
    let access = level(&keywords, "ACCESS", "ACCESS LEVEL")?.unwrap_or(Access::Read);
    for text in ids {
        let id = id(&mut session, text).await?;
        let removed =
            sqlx::query("DELETE FROM racf_access WHERE class = $1 AND name = $2 AND generic = $3 AND id = $4")
                .bind(class.name)
                .bind(profile.name.as_str())
                .bind(i64::from(profile.name.is_generic()))
                .bind(&id)
                .execute(&mut *session.connection)
                .await?
                .rows_affected();
        if !keywords.has("DELETE") {
            insert_access(session.connection, class, &profile.name, &id, access).await?;
        } else if removed == 0 {
            return fail(format!("ICH06002I {id:8} NOT AUTHORIZED, DELETE IGNORED"));
        }
    }
    Ok(done(refresh_reminder(&session, class, "ICH06011I", "UPDATE(S)", "")))
}

/// The class with this name.
pub(super) fn class_named(name: &str) -> Result<&'static ClassDescriptor, Failure> {
    match class::find(name) {
        Some(class) => Ok(class),
        None => fail(format!("IKJ56702I INVALID CLASS, {}", name.to_ascii_uppercase())),
    }
}

fn profile_name(text: &str, generics: bool, class: &ClassDescriptor) -> Result<ProfileName, Failure> {
    match ProfileName::parse(text, generics, class.max_length) {
        Ok(name) => Ok(name),
        Err(BadName::Characters) => fail(format!(
            "IKJ56702I INVALID ENTITY NAME, {text}\nA NAME IN CLASS {} HAS 1 TO {} PRINTABLE CHARACTERS",
            class.name, class.max_length
        )),
        Err(BadName::DoubleAsterisk) => {
            fail(format!("IKJ56702I INVALID ENTITY NAME, {text}\n** STANDS FOR WHOLE QUALIFIERS AND ONCE ONLY"))
        }
    }
}

/// The profile with exactly this name; a name without `*` and `%` is the discrete one unless GENERIC is asked for.
pub(super) async fn find(
    session: &mut Session<'_>,
    class: &ClassDescriptor,
    text: &str,
    generic: bool,
) -> Result<Profile, Failure> {
    let generics = session.snapshot.classes.get(class.name).is_some_and(|switches| switches.generic);
    let wanted = profile_name(text, generics, class)?;
    let generic = generic || wanted.is_generic();
    let profiles = load_profiles(session.connection, class.name).await?;
    let found = profiles
        .into_iter()
        .find(|profile| profile.name.as_str() == wanted.as_str() && profile.name.is_generic() == generic);
    match found {
        Some(profile) => Ok(profile),
        None => fail(format!("ICH06004I {} NOT DEFINED TO RACF", wanted.as_str())),
    }
}

/// SPECIAL, the owner, or ALTER to a discrete profile.
fn may_administer(session: &Session<'_>, profile: &Profile) -> bool {
    let issuer = session.issuer.as_str();
    let user = session.snapshot.users.get(issuer);
    let alter = crate::decision::allowed(profile, issuer, user) == Access::Alter;
    session.is_special() || profile.owner == issuer || (alter && !profile.name.is_generic())
}

/// A user, a group or `*`.
async fn id(session: &mut Session<'_>, text: &str) -> Result<String, Failure> {
    if text == "*" {
        return Ok(text.to_owned());
    }
    let Some(id) = Userid::parse(text) else { return fail(format!("IKJ56702I INVALID USERID, {text}")) };
    if session.user_exists(&id).await? || session.group_exists(&id).await? {
        Ok(id.as_str().to_owned())
    } else {
        fail(format!("ICH06007I {id} NOT DEFINED TO RACF"))
    }
}

fn level(keywords: &Keywords, keyword: &str, what: &str) -> Result<Option<Access>, Failure> {
    let Some(word) = keywords.value(keyword)? else { return Ok(None) };
    match word.parse() {
        Ok(access) => Ok(Some(access)),
        Err(_) => fail(format!(
            "IKJ56702I INVALID {what}, {}\nIKJ56701I MISSING ALTER, CONTROL, UPDATE, READ, EXECUTE, OR NONE",
            word.to_ascii_uppercase()
        )),
    }
}

async fn insert_access(
    connection: &mut sqlx::AnyConnection,
    class: &ClassDescriptor,
    profile: &ProfileName,
    id: &str,
    access: Access,
) -> Result<(), Failure> {
    sqlx::query("INSERT INTO racf_access (class, name, generic, id, access) VALUES ($1, $2, $3, $4, $5)")
        .bind(class.name)
        .bind(profile.as_str())
        .bind(i64::from(profile.is_generic()))
        .bind(id)
        .bind(access.name())
        .execute(connection)
        .await?;
    Ok(())
}

/// Changes to RACLISTed classes do not count before a refresh, and RACF says so.
fn refresh_reminder(session: &Session<'_>, class: &ClassDescriptor, code: &str, what: &str, end: &str) -> Vec<String> {
    let raclisted = session.snapshot.classes.get(class.name).is_some_and(|switches| switches.raclist);
    if !raclisted {
        return Vec::new();
    }
    vec![format!(
        "{code} RACLISTED PROFILES FOR {} WILL NOT REFLECT THE {what} UNTIL A SETROPTS REFRESH IS ISSUED{end}",
        class.name
    )]
}
