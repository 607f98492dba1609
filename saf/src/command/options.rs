//! SETROPTS.

use super::parse::{Keywords, Words};
use super::profiles::class_named;
use super::{Failure, Outcome, Session, done, fail};
use crate::class::ClassDescriptor;

const KEYWORDS: [&str; 8] =
    ["CLASSACT", "NOCLASSACT", "GENERIC", "NOGENERIC", "RACLIST", "NORACLIST", "REFRESH", "LIST"];

pub(super) async fn setropts(session: Session<'_>, words: &Words) -> Result<Outcome, Failure> {
    let keywords = words.keywords(0, &KEYWORDS)?;
    if keywords.has("LIST") && !session.snapshot.is_auditor(session.issuer)
        || !keywords.has("LIST") && !session.is_special()
    {
        return fail("ICH14001I NOT AUTHORIZED TO ISSUE SETROPTS");
    }
    let refresh = keywords.has("REFRESH");
    let raclist = classes(&keywords, "RACLIST")?;
    if refresh && raclist.is_empty() && classes(&keywords, "GENERIC")?.is_empty() {
        return fail("IKJ56701I MISSING CLASS NAMES FOR RACLIST+");
    }
    for class in &raclist {
        let is_raclisted = session.snapshot.classes.get(class.name).is_some_and(|switches| switches.raclist);
        if refresh && !is_raclisted {
            return fail(format!("ICH14016I CLASS {} IS NOT RACLISTED, REFRESH IGNORED", class.name));
        }
    }
    let mut lines = Vec::new();
    if !refresh {
        for (keyword, column, value) in [
            ("CLASSACT", "active", 1_i64),
            ("NOCLASSACT", "active", 0),
            ("GENERIC", "generic", 1),
            ("NOGENERIC", "generic", 0),
            ("RACLIST", "raclist", 1),
            ("NORACLIST", "raclist", 0),
        ] {
            for class in classes(&keywords, keyword)? {
                let statement = match column {
                    "active" => "UPDATE racf_classes SET active = $1 WHERE name = $2",
                    "generic" => "UPDATE racf_classes SET generic = $1 WHERE name = $2",
                    _ => "UPDATE racf_classes SET raclist = $1 WHERE name = $2",
                };
                sqlx::query(statement).bind(value).bind(class.name).execute(&mut *session.connection).await?;
                let will_be_raclisted = classes(&keywords, "RACLIST")?.iter().any(|other| other.name == class.name)
                    || session.snapshot.classes.get(class.name).is_some_and(|switches| switches.raclist);
                if keyword == "CLASSACT" && class.raclist_required && !will_be_raclisted {
                    lines.push(format!("ICH14040I CLASS {} MUST BE RACLISTED BEFORE IT DECIDES ANYTHING", class.name));
                }
            }
        }
    }
    if keywords.has("LIST") {
        lines.extend(list(&session));
        return Ok(Outcome { changed: false, ..done(lines) });
    }
    lines.push("ICH14063I SETROPTS command complete.".to_owned());
    // A class that is RACLISTed for the first time gets its profiles as they are now; so does one that is refreshed.
    let first_time = |class: &&'static ClassDescriptor| {
        !session.snapshot.classes.get(class.name).is_some_and(|switches| switches.raclist)
    };
    let refreshed = raclist.iter().filter(|class| refresh || first_time(class)).map(|class| class.name.to_owned());
    Ok(Outcome { refreshed: refreshed.collect(), ..done(lines) })
}

fn classes(keywords: &Keywords, keyword: &str) -> Result<Vec<&'static ClassDescriptor>, Failure> {
    let Some(names) = keywords.list(keyword) else { return Ok(Vec::new()) };
    if names.is_empty() {
        return fail(format!("IKJ56701I MISSING CLASS NAMES FOR {keyword}+"));
    }
    names.iter().map(|name| class_named(name)).collect()
}

fn list(session: &Session<'_>) -> Vec<String> {
    let names = |wanted: &dyn Fn(&crate::snapshot::Class) -> bool| {
        let mut names: Vec<&str> = session
            .snapshot
            .classes
            .iter()
            .filter(|(_, switches)| wanted(switches))
            .map(|(name, _)| name.as_str())
            .collect();
        names.sort_unstable();
        if names.is_empty() { "NONE".to_owned() } else { names.join(" ") }
    };
    vec![
        format!("ACTIVE CLASSES = {}", names(&|switches| switches.active)),
        format!("GENERIC PROFILE CLASSES = {}", names(&|switches| switches.generic)),
        format!("SETR RACLIST CLASSES = {}", names(&|switches| switches.raclist)),
        "LIST OF GROUPS ACCESS CHECKING IS ACTIVE.".to_owned(),
        "ADDCREATOR IS IN EFFECT".to_owned(),
    ]
}
