//! RLIST.

use super::parse::Words;
use super::profiles::class_named;
use super::{Failure, Outcome, Session, done, fail};
use crate::access::Access;
use crate::class::ClassDescriptor;
use crate::database::load_profiles;
use crate::decision::allowed;
use crate::snapshot::{Class, Profile};

pub(super) async fn rlist(session: Session<'_>, words: &Words) -> Result<Outcome, Failure> {
    let class = class_named(&words.positional(0, "CLASS NAME")?.join(" "))?;
    let names = words.positional(1, "ENTITY NAME")?;
    let keywords = words.keywords(2, &["ALL", "AUTHUSER", "GENERIC"])?;
    let with_list = keywords.has("ALL") || keywords.has("AUTHUSER");
    let profiles = load_profiles(session.connection, class.name).await?;
    let switches = Class { generic: true, ..Class::default() }.with(profiles);
    let mut lines = Vec::new();
    for name in &names {
        let found: Vec<&Profile> = if name == "*" {
            let mut all: Vec<&Profile> = switches.discrete.values().collect();
            all.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
            all.into_iter().chain(&switches.generics).collect()
        } else {
            let upper = name.to_ascii_uppercase();
            // The profile of this name, else the one that would decide.
            let same = switches.generics.iter().find(|profile| profile.name.as_str() == upper);
            switches.discrete.get(&upper).or(same).or_else(|| switches.covering(&upper)).into_iter().collect()
        };
        let visible: Vec<&Profile> = found.iter().copied().filter(|profile| may_list(&session, profile)).collect();
        if visible.is_empty() {
            let upper = name.to_ascii_uppercase();
            return fail(if found.is_empty() {
                format!("ICH13003I {upper} NOT FOUND")
            } else {
                format!("ICH13002I NOT AUTHORIZED TO LIST {upper}")
            });
        }
        for profile in visible {
            describe(&session, class, profile, with_list, &mut lines);
        }
    }
    Ok(Outcome { changed: false, ..done(lines) })
}

fn may_list(session: &Session<'_>, profile: &Profile) -> bool {
    let issuer = session.issuer.as_str();
    let user = session.snapshot.users.get(issuer);
    session.snapshot.is_auditor(session.issuer)
        || profile.owner == issuer
        || allowed(profile, issuer, user) >= Access::Read
}

fn describe(
    session: &Session<'_>,
    class: &ClassDescriptor,
    profile: &Profile,
    with_list: bool,
    lines: &mut Vec<String>,
) {
    let issuer = session.issuer.as_str();
    let yours = allowed(profile, issuer, session.snapshot.users.get(issuer));
    let data = if profile.data.is_empty() { "NONE" } else { &profile.data };
    let warning = if profile.warning { "YES" } else { "NO" };
    lines.extend([
        "CLASS      NAME".to_owned(),
        "-----      ----".to_owned(),
        format!("{:10} {}", class.name, profile.name),
        String::new(),
        "LEVEL  OWNER      UNIVERSAL ACCESS  YOUR ACCESS  WARNING".to_owned(),
        "-----  --------   ----------------  -----------  -------".to_owned(),
        format!(" 00    {:8}   {:^16}  {:>11}  {:^7}", profile.owner, profile.uacc, yours, warning)
            .trim_end()
            .to_owned(),
        String::new(),
        "INSTALLATION DATA".to_owned(),
        "-----------------".to_owned(),
        data.to_owned(),
        String::new(),
        "AUDITING".to_owned(),
        "--------".to_owned(),
        "FAILURES(READ)".to_owned(),
        String::new(),
        "NOTIFY".to_owned(),
        "------".to_owned(),
        "NO USER TO BE NOTIFIED".to_owned(),
        String::new(),
    ]);
    if with_list {
        if profile.access.is_empty() {
            lines.push("NO USERS IN ACCESS LIST".to_owned());
        } else {
            lines.push("USER      ACCESS".to_owned());
            lines.push("----      ------".to_owned());
            lines.extend(profile.access.iter().map(|(id, access)| format!("{id:8}  {access}")));
        }
        lines.push(String::new());
    }
}
