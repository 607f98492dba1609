//! SETROPTS.

use std::collections::HashMap;

use super::parse::{Keywords, Words};
use super::row::Row;
use super::{Failure, Session, fail, refuse, text};
use crate::class::{CLASSES, ClassDescriptor, Raclist};
use crate::load;
use crate::snapshot::{LogOptions, Options, Switches};

const KEYWORDS: [&str; 28] = [
    "CLASSACT",
    "NOCLASSACT",
    "GENERIC",
    "NOGENERIC",
    "GENCMD",
    "NOGENCMD",
    "RACLIST",
    "NORACLIST",
    "GLOBAL",
    "NOGLOBAL",
    "AUDIT",
    "NOAUDIT",
    "STATISTICS",
    "NOSTATISTICS",
    "LOGOPTIONS",
    "GRPLIST",
    "NOGRPLIST",
    "ADDCREATOR",
    "NOADDCREATOR",
    "SAUDIT",
    "NOSAUDIT",
    "CMDVIOL",
    "NOCMDVIOL",
    "WHEN",
    "NOWHEN",
    "REFRESH",
    "LIST",
    "GENLIST",
];
/// Switches of classes, their opposites, their columns.
const SWITCHES: [(&str, &str, &str); 7] = [
    ("CLASSACT", "NOCLASSACT", "active"),
    ("GENERIC", "NOGENERIC", "generic"),
    ("GENCMD", "NOGENCMD", "gencmd"),
    ("RACLIST", "NORACLIST", "raclist"),
    ("GLOBAL", "NOGLOBAL", "global"),
    ("AUDIT", "NOAUDIT", "audit"),
    ("STATISTICS", "NOSTATISTICS", "statistics"),
];
/// What REFRESH goes with.
const REFRESHED: [&str; 3] = ["RACLIST", "GLOBAL", "GENERIC"];
const OPTIONS: [(&str, &str, &str); 5] = [
    ("GRPLIST", "NOGRPLIST", "GRPLIST"),
    ("ADDCREATOR", "NOADDCREATOR", "ADDCREATOR"),
    ("SAUDIT", "NOSAUDIT", "SAUDIT"),
    ("CMDVIOL", "NOCMDVIOL", "CMDVIOL"),
    ("WHEN", "NOWHEN", "WHEN(PROGRAM)"),
];
/// What an auditor says, and nobody else.
const AUDITING: [&str; 7] = ["AUDIT", "NOAUDIT", "LOGOPTIONS", "SAUDIT", "NOSAUDIT", "CMDVIOL", "NOCMDVIOL"];

pub(super) async fn setropts(session: &mut Session<'_>, words: &Words) -> Result<(), Failure> {
    let keywords = words.keywords(0, &KEYWORDS)?;
    let me = session.me().map(|user| user.attributes).unwrap_or_default();
    let may = |keyword: &str| match keyword {
        "LIST" => me.special || me.auditor || me.roaudit,
        // Auditors refresh too: what they said is to count.
        "REFRESH" | "RACLIST" | "GENERIC" if keywords.has("REFRESH") => me.special || me.auditor,
        keyword if AUDITING.contains(&keyword) => me.auditor,
        _ => me.special,
    };
    if let Some((keyword, _)) = keywords.pairs().find(|(keyword, _)| !may(keyword)) {
        return refuse(format!("ICH14001I NOT AUTHORIZED TO ISSUE SETROPTS\n{keyword} IS FOR {}", who(keyword)));
    }
    if keywords.has("GENLIST") {
        return fail("IKJ56712I INVALID KEYWORD, GENLIST\nUSE RACLIST: IT SHARES GENERIC AND DISCRETE PROFILES");
    }
    if keywords.pairs().next().is_none() {
        return fail("IKJ56701I MISSING SETROPTS OPERAND+");
    }
    let refreshes = keywords.has("REFRESH");
    if refreshes {
        refresh(session, &keywords)?;
    }
    switch(session, &keywords, refreshes).await?;
    if keywords.has("LIST") {
        let options = load::options(session.connection).await?;
        let switches = load::switches(session.connection).await?;
        list(session, options, &switches);
    }
    if keywords.pairs().any(|(keyword, _)| keyword != "LIST") {
        session.say("ICH14063I SETROPTS command complete.");
    }
    Ok(())
}

fn who(keyword: &str) -> &'static str {
    match keyword {
        "LIST" => "SPECIAL, AUDITOR AND ROAUDIT",
        keyword if AUDITING.contains(&keyword) => "AUDITOR",
        _ => "SPECIAL",
    }
}

fn refresh(session: &mut Session<'_>, keywords: &Keywords) -> Result<(), Failure> {
    let (raclist, global) = (classes(keywords, "RACLIST")?, classes(keywords, "GLOBAL")?);
    // Generic profiles of a class that is not RACLISTed are always those of the database: there is no other copy.
    let generic = classes(keywords, "GENERIC")?;
    if raclist.is_empty() && global.is_empty() && generic.is_empty() {
        return fail("IKJ56701I MISSING CLASS NAMES FOR RACLIST+\nREFRESH GOES WITH RACLIST, GLOBAL OR GENERIC");
    }
    for class in raclist {
        if !session.snapshot.switches(class).raclist {
            return fail(format!("ICH14016I CLASS {} IS NOT RACLISTED, REFRESH IGNORED", class.name));
        }
        session.outcome.changes.refreshed.insert(class.name);
    }
    session.outcome.changes.global.extend(global.iter().map(|class| class.name));
    Ok(())
}

/// Switches on and off. With REFRESH the classes of RACLIST, GLOBAL and GENERIC are those to be refreshed.
async fn switch(session: &mut Session<'_>, keywords: &Keywords, refreshes: bool) -> Result<(), Failure> {
    let says_more =
        |keyword: &str| !(["LIST", "REFRESH"].contains(&keyword) || refreshes && REFRESHED.contains(&keyword));
    if !keywords.pairs().any(|(keyword, _)| says_more(keyword)) {
        return Ok(());
    }
    for (keyword, opposite, column) in SWITCHES {
        for (word, on) in [(keyword, true), (opposite, false)] {
            if !says_more(word) {
                continue;
            }
            for class in classes(keywords, word)? {
                set(session, keywords, class, column, on).await?;
            }
        }
    }
    if let Some(kinds) = keywords.nested("LOGOPTIONS", &LogOptions::ALL.map(LogOptions::name))? {
        for (kind, names) in kinds.pairs() {
            for class in named(&names, "LOGOPTIONS")? {
                let row = Row::default().with("log", kind);
                row.update(session.connection, "racf_classes", &Row::default().with("name", class.name)).await?;
            }
        }
    }
    for (keyword, opposite, name) in OPTIONS {
        let Some(on) = keywords.switch(keyword, opposite) else { continue };
        let argument = keywords.list(if on { keyword } else { opposite }).unwrap_or_default();
        if keyword == "WHEN" && !argument.iter().all(|word| word.eq_ignore_ascii_case("PROGRAM")) {
            return fail("IKJ56702I INVALID WHEN\nWHEN(PROGRAM) IS EXPECTED");
        }
        let key = Row::default().with("name", name);
        key.delete(session.connection, "racf_options").await?;
        key.with("value", on).insert(session.connection, "racf_options").await?;
    }
    session.outcome.changes.options = true;
    Ok(())
}

async fn set(
    session: &mut Session<'_>,
    keywords: &Keywords,
    class: &'static ClassDescriptor,
    column: &'static str,
    on: bool,
) -> Result<(), Failure> {
    let before = session.snapshot.switches(class);
    if column == "raclist" && on && class.raclist == Raclist::Disallowed {
        return fail(format!("IKJ56702I INVALID RACLIST, {}\nTHE CLASS CANNOT BE RACLISTED", class.name));
    }
    if column == "raclist" && on && !before.raclist {
        // A class that is RACLISTed for the first time gets its profiles as they are now.
        session.outcome.changes.refreshed.insert(class.name);
    }
    if column == "global" && on {
        session.outcome.changes.global.insert(class.name);
    }
    let will_be_raclisted =
        before.raclist || classes(keywords, "RACLIST")?.iter().any(|other| other.name == class.name);
    if column == "active" && on && class.raclist == Raclist::Required && !will_be_raclisted {
        session.remark(format!("ICH14040I CLASS {} MUST BE RACLISTED BEFORE IT DECIDES ANYTHING", class.name));
    }
    let row = Row::default().with(column, on);
    row.update(session.connection, "racf_classes", &Row::default().with("name", class.name)).await?;
    Ok(())
}

/// The classes a keyword names, `*` all that can have what it says.
fn classes(keywords: &Keywords, keyword: &str) -> Result<Vec<&'static ClassDescriptor>, Failure> {
    match keywords.list(keyword) {
        None => Ok(Vec::new()),
        Some(names) => named(&names, keyword),
    }
}

fn named(names: &[&str], keyword: &str) -> Result<Vec<&'static ClassDescriptor>, Failure> {
    if names.is_empty() {
        return fail(format!("IKJ56701I MISSING CLASS NAMES FOR {keyword}+"));
    }
    if names == ["*"] {
        let can = |class: &&ClassDescriptor| !keyword.contains("RACLIST") || class.raclist != Raclist::Disallowed;
        return Ok(CLASSES.iter().filter(can).collect());
    }
    names.iter().map(|name| text::class_named(name)).collect()
}

fn list(session: &mut Session<'_>, options: Options, switches: &HashMap<String, Switches>) {
    let snapshot = session.snapshot;
    let of = |class: &ClassDescriptor| switches.get(class.name).copied().unwrap_or_default();
    let classes = |wanted: &dyn Fn(Switches) -> bool| {
        let names: Vec<&str> = CLASSES.iter().filter(|class| wanted(of(class))).map(|class| class.name).collect();
        if names.is_empty() { vec!["NONE"] } else { names }
    };
    let no = |on: bool, name: &str| if on { name.to_owned() } else { format!("NO{name}") };
    session.say(format!(
        "ATTRIBUTES = NOINITSTATS {} {} {}",
        no(options.when_program, "WHEN(PROGRAM)"),
        no(options.saudit, "SAUDIT"),
        no(options.cmdviol, "CMDVIOL")
    ));
    let mut lines = vec![
        ("STATISTICS = ".to_owned(), classes(&|class| class.statistics)),
        ("AUDIT CLASSES = ".to_owned(), classes(&|class| class.audit)),
        ("ACTIVE CLASSES = ".to_owned(), classes(&|class| class.active)),
        ("GENERIC PROFILE CLASSES = ".to_owned(), classes(&|class| class.generic)),
        ("GENERIC COMMAND CLASSES = ".to_owned(), classes(&|class| class.generic || class.gencmd)),
        ("GENLIST CLASSES = ".to_owned(), vec!["NONE"]),
        ("GLOBAL CHECKING CLASSES = ".to_owned(), classes(&|class| class.global)),
        ("SETR RACLIST CLASSES = ".to_owned(), classes(&|class| class.raclist)),
        ("GLOBAL=YES RACLIST ONLY = ".to_owned(), vec!["NONE"]),
    ];
    for option in LogOptions::ALL {
        let heading = format!("LOGOPTIONS \"{}\" CLASSES = ", option.name());
        lines.push((heading, classes(&|class| class.log == option)));
    }
    for (heading, names) in lines {
        text::wrapped(&heading, &names, 78).into_iter().for_each(|line| session.say(line));
    }
    let is = |on: bool| if on { "IS" } else { "IS NOT" };
    session.say(format!("LIST OF GROUPS ACCESS CHECKING {} ACTIVE.", is(options.grplist)));
    session.say(format!("ADDCREATOR {} IN EFFECT", is(options.addcreator)));
    let mut contained: Vec<&str> =
        snapshot.users.iter().filter(|(_, user)| user.attributes.contained).map(|(id, _)| id.as_str()).collect();
    contained.sort_unstable();
    if !contained.is_empty() {
        text::wrapped("CONTAINED USERS: ", &contained, 78).into_iter().for_each(|line| session.say(line));
    }
}
