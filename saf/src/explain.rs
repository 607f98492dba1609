//! Why a decision is what it is, what would change it, who has access, and what a user may.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::access::{Access, Userid};
use crate::class::CLASSES;
use crate::decision::{Request, Step, Verdict};
use crate::pattern::Values;
use crate::profile::ProfileName;
use crate::raclist::{Found, Raclist};
use crate::snapshot::Snapshot;

/// A decision with its reasons.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Whether it is permitted, refused, or not decided.
    pub answer: &'static str,
    /// SAF's and RACF's return codes and the reason, hexadecimal.
    pub codes: String,
    /// The profile that decided.
    pub profile: Option<String>,
    /// The level that the user has.
    pub held: Access,
    /// What settled it, in a sentence.
    pub reason: String,
    /// What would have to change for the other answer: commands where there are some.
    pub change: Vec<String>,
    /// Less specific profiles that cover the resource too, and were not asked.
    pub passed_over: Vec<String>,
}

/// What a user may with what a profile covers.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Grant {
    /// The user; `(undefined)` for those whom RACF does not know; of conditional entries also a group or `*`.
    pub userid: String,
    /// The level.
    pub access: Access,
    /// Where it comes from: `user entry`, `group OPS`, `ID(*)`, `UACC`, `WARNING`, …
    pub by: String,
}

/// A profile that gives a user something.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Holding {
    /// The class.
    pub class: &'static str,
    /// The profile, generic ones with `(G)`.
    pub profile: String,
    /// The level.
    pub access: Access,
    /// Where it comes from.
    pub by: String,
}

/// What a change gives or takes.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Effect {
    /// Whose.
    pub userid: Userid,
    /// The class.
    pub class: &'static str,
    /// The profile, generic ones with `(G)`.
    pub profile: String,
    /// The level before.
    pub before: Access,
    /// The level after.
    pub after: Access,
}

/// Levels that are asked for, the highest first.
const LEVELS: [Access; 4] = [Access::Alter, Access::Control, Access::Update, Access::Read];

/// Who gains or loses what between two snapshots, asked with the names of all their profiles as resources. What a generic
/// profile's own name does not show (a variable's values, an entry of the global access table) is not seen.
pub(crate) fn effects(before: &Snapshot, after: &Snapshot) -> Vec<Effect> {
    let mut effects = Vec::new();
    let users: BTreeSet<Userid> = before.users.keys().chain(after.users.keys()).copied().collect();
    let options = before.options != after.options || before.variables != after.variables;
    for (descriptor, (old, new)) in CLASSES.iter().zip(before.classes.iter().zip(&after.classes)) {
        if !descriptor.resources || !(old.switches.active || new.switches.active) {
            continue;
        }
        let everything = options || old.switches != new.switches;
        let differing: BTreeSet<String> =
            differences(&old.profiles, &new.profiles).into_iter().map(|(name, _)| name).collect();
        let names: BTreeSet<ProfileName> =
            old.profiles.iter().chain(new.profiles.iter()).map(|found| found.profile_name()).collect();
        for name in names {
            let touched = everything || differing.contains(&name.to_string());
            for userid in &users {
                if !touched && before.user(*userid) == after.user(*userid) {
                    continue;
                }
                let held = |snapshot: &Snapshot| {
                    let permitted = |level: &Access| {
                        snapshot.codes(&Request::new(*userid, descriptor.name, name.as_str(), *level)).saf == 0
                    };
                    // Who is no user any more asks for nothing.
                    let level = LEVELS.into_iter().find(permitted).filter(|_| snapshot.user(*userid).is_some());
                    level.unwrap_or(Access::None)
                };
                let (had, has) = (held(before), held(after));
                if had != has {
                    let profile = name.to_string();
                    effects.push(Effect { userid: *userid, class: descriptor.name, profile, before: had, after: has });
                }
            }
        }
    }
    effects
}

/// What a refresh would change for a class: profiles of `next` against those that decide now. Each profile's name, and a line
/// for what is gone (`- `) or new (`+ `).
pub(crate) fn differences(now: &Raclist, next: &Raclist) -> Vec<(String, String)> {
    let lines = |list: &Raclist| {
        let mut lines = BTreeSet::new();
        for found in list.iter() {
            let name = found.profile_name().to_string();
            let warning = if found.warning() { " WARNING" } else { "" };
            let notify = found.notify().map(|id| format!(" NOTIFY({id})")).unwrap_or_default();
            let level = |level: Option<Access>| level.map_or("NONE", Access::name);
            let audit: String = ["AUDIT", "GLOBALAUDIT"]
                .iter()
                .zip(found.audit())
                .map(|(word, audit)| {
                    format!(" {word}(SUCCESS({}) FAILURES({}))", level(audit.success), level(audit.failures))
                })
                .collect();
            let whole = format!("{name}: UACC({}) OWNER({}){warning}{notify}{audit}", found.uacc(), found.owner());
            lines.insert((name.clone(), whole));
            for entry in found.access() {
                lines.insert((name.clone(), format!("{name}: {} {}", entry.id, entry.access)));
            }
            for conditional in found.conditional() {
                let (entry, class, condition) = (conditional.entry, &conditional.class, &conditional.name);
                lines.insert((
                    name.clone(),
                    format!("{name}: {} {} WHEN({class}({condition}))", entry.id, entry.access),
                ));
            }
        }
        lines
    };
    let (now, next) = (lines(now), lines(next));
    let gone = now.difference(&next).map(|(name, line)| (name.clone(), format!("- {line}")));
    let new = next.difference(&now).map(|(name, line)| (name.clone(), format!("+ {line}")));
    gone.chain(new).collect()
}

impl Snapshot {
    /// Explains what would be decided now.
    #[must_use]
    pub fn explain(&self, request: &Request<'_>) -> Explanation {
        let verdict = self.check(request);
        let answer = match verdict.codes.saf {
            0 => "permitted",
            4 => "no decision",
            _ => "refused",
        };
        let profile = verdict.profile.map(|found| found.profile_name());
        let passed_over = self.passed_over(request, &verdict);
        Explanation {
            answer,
            codes: verdict.codes.to_string(),
            held: verdict.held,
            reason: self.reason(request, &verdict),
            change: self.change(request, &verdict),
            profile: profile.map(|profile| profile.to_string()),
            passed_over,
        }
    }

    fn reason(&self, request: &Request<'_>, verdict: &Verdict<'_>) -> String {
        let user = request.userid;
        let class = verdict.class.map_or(request.class, |class| class.name);
        let profile = verdict.profile.map(|found| found.profile_name().to_string()).unwrap_or_default();
        match verdict.step {
            Step::UnknownClass => format!("class {} is not in the class descriptor table", request.class),
            Step::InactiveClass => format!("class {class} is not active"),
            Step::NotRaclisted => format!("class {class} decides nothing before it is RACLISTed"),
            Step::StartedTask => "the started task is trusted or privileged".to_owned(),
            Step::Contained => format!("{user} is contained"),
            Step::GlobalTable => format!("the global access table of class {class} grants {}", request.intent),
            Step::NoProfile => format!("no profile of class {class} covers the resource"),
            Step::SpoolOwner => format!("{user} owns the spool file"),
            Step::UserEntry(entry) => format!("{}'s own entry in {profile} is {}", entry.id, entry.access),
            Step::GroupEntry(entry) if self.options.grplist => {
                format!("the highest entry of {user}'s groups in {profile} is that of {}: {}", entry.id, entry.access)
            }
            Step::GroupEntry(entry) => {
                format!("the entry of the current group {} in {profile} is {}", entry.id, entry.access)
            }
            Step::EveryoneEntry(entry) => format!("ID(*) in {profile} is {}, and stands before UACC", entry.access),
            Step::Uacc(_) if self.user(user).is_some_and(|user| user.attributes.restricted) => {
                format!("{user} is RESTRICTED and has no entry of its own in {profile}: UACC and ID(*) do not count")
            }
            Step::Uacc(access) if self.user(user).is_none() => {
                format!("{user} is not defined to RACF; for such UACC of {profile} counts, which is {access}")
            }
            Step::Uacc(access) => format!("nothing in the access list of {profile} names {user}; its UACC is {access}"),
            Step::Operations => format!("{user} has OPERATIONS, and class {class} heeds it"),
            Step::Conditional(at) => {
                let entry = verdict.profile.and_then(|found| found.conditional().get(at));
                entry.map_or_else(String::new, |conditional| {
                    let (entry, class, name) = (conditional.entry, &conditional.class, &conditional.name);
                    format!("{}'s entry {} in {profile} counts WHEN({class}({name}))", entry.id, entry.access)
                })
            }
            Step::Warning => format!("{profile} is in WARNING mode; {user} has {} only", verdict.held),
        }
    }

    fn change(&self, request: &Request<'_>, verdict: &Verdict<'_>) -> Vec<String> {
        let Some(class) = verdict.class else { return Vec::new() };
        let (user, intent) = (request.userid, request.intent);
        let refresh = || {
            let raclisted = self.switches(class).raclist;
            raclisted.then(|| format!("SETROPTS RACLIST({}) REFRESH", class.name))
        };
        let permit = |found: Found<'_>, what: String| {
            let generic = if found.is_generic() && !found.name().iter().any(|byte| b"*%&".contains(byte)) {
                " GENERIC"
            } else {
                ""
            };
            format!("PERMIT {} CLASS({}){generic} {what}", found.profile_name().as_str(), class.name)
        };
        let mut change = match (verdict.step, verdict.profile) {
            (Step::InactiveClass, _) => vec![format!("SETROPTS CLASSACT({})", class.name)],
            (Step::NotRaclisted, _) => return vec![format!("SETROPTS RACLIST({})", class.name)],
            (Step::Contained, _) => return vec![format!("ALTUSER {user} NOCONTAIN")],
            (Step::NoProfile, _) => vec![
                format!("RDEFINE {} {} UACC(NONE)", class.name, request.resource.to_ascii_uppercase()),
                format!(
                    "PERMIT {} CLASS({}) ID({user}) ACCESS({intent})",
                    request.resource.to_ascii_uppercase(),
                    class.name
                ),
            ],
            (Step::GlobalTable, _) => {
                let refresh = format!("SETROPTS GLOBAL({}) REFRESH", class.name);
                return vec![format!("RALTER GLOBAL {} DELMEM(…)", class.name), refresh];
            }
            (Step::Conditional(at), Some(found)) => {
                let Some(entry) = found.conditional().get(at) else { return Vec::new() };
                let what = format!("ID({}) DELETE WHEN({}({}))", entry.entry.id, entry.class, entry.name);
                vec![permit(found, what)]
            }
            // Whom RACF does not know has no entry: UACC is for everybody.
            (Step::Uacc(_), Some(found)) if verdict.codes.saf == 0 && self.user(user).is_none() => {
                vec![format!("RALTER {} {} UACC(NONE)", class.name, found.profile_name().as_str())]
            }
            (_, Some(found)) if verdict.codes.saf == 8 && self.user(user).is_none() => {
                vec![format!("ADDUSER {user}"), permit(found, format!("ID({user}) ACCESS({intent})"))]
            }
            (_, Some(found)) if verdict.codes.saf == 8 => vec![permit(found, format!("ID({user}) ACCESS({intent})"))],
            (Step::Warning, Some(found)) => {
                vec![format!("RALTER {} {} NOWARNING", class.name, found.profile_name().as_str())]
            }
            (Step::StartedTask | Step::SpoolOwner, _) => Vec::new(),
            (_, Some(found)) => vec![permit(found, format!("ID({user}) ACCESS(NONE)"))],
            _ => Vec::new(),
        };
        if verdict.step != Step::InactiveClass && !change.is_empty() {
            change.extend(refresh());
        }
        change
    }

    fn passed_over(&self, request: &Request<'_>, verdict: &Verdict<'_>) -> Vec<String> {
        let Some((descriptor, class)) = self.class(request.class) else { return Vec::new() };
        let resource =
            if descriptor.as_is { request.resource.to_owned() } else { request.resource.to_ascii_uppercase() };
        let winner = verdict.profile.map(|found| found.profile_name());
        let values = Values::of(&self.variables);
        let all = class.profiles.all_covering(resource.as_bytes(), class.switches.generic, values);
        let names = all.map(|found| found.profile_name()).filter(|name| Some(name) != winner.as_ref());
        names.map(|name| name.to_string()).collect()
    }

    /// Who may use a resource at a level: every user that has it, whoever has it under a condition (users, groups, `*`), and
    /// those whom RACF does not know.
    #[must_use]
    pub fn who_can(&self, class: &str, resource: &str, intent: Access) -> Vec<Grant> {
        let mut users: Vec<Userid> = self.users.keys().copied().collect();
        users.sort_unstable();
        let mut grants = Vec::new();
        let mut profile = None;
        for userid in users {
            let verdict = self.check(&Request::new(userid, class, resource, intent));
            profile = profile.or(verdict.profile);
            if verdict.codes.saf == 0 {
                grants.push(Grant { userid: userid.to_string(), access: verdict.held, by: by_step(verdict.step) });
            }
        }
        let conditional = profile.into_iter().flat_map(|found| found.conditional());
        for entry in conditional.filter(|entry| entry.entry.access >= intent) {
            let by = format!("WHEN({}({}))", entry.class, entry.name);
            grants.push(Grant { userid: entry.entry.id.to_string(), access: entry.entry.access, by });
        }
        // Nobody is defined by the name of what stands for groups.
        let verdict = self.check(&Request::new(Userid::RACGRP, class, resource, intent));
        if verdict.codes.saf == 0 {
            let by = by_step(verdict.step);
            grants.push(Grant { userid: "(undefined)".to_owned(), access: verdict.held, by });
        }
        grants
    }

    /// What a user may: every profile that gives it more than NONE, by class and in the order of search.
    #[must_use]
    pub fn what_can(&self, userid: Userid) -> Vec<Holding> {
        let user = self.user(userid);
        let mut holdings = Vec::new();
        for (descriptor, class) in CLASSES.iter().zip(&self.classes) {
            if !descriptor.resources || !class.switches.active {
                continue;
            }
            for found in class.profiles.iter() {
                let request = Request::new(userid, descriptor.name, "", Access::Read);
                let (access, step) = self.standard(found, &request, user);
                let access = if found.warning() { Access::Alter } else { access };
                if access > Access::None {
                    let by = if found.warning() { "WARNING".to_owned() } else { by_step(step) };
                    holdings.push(Holding {
                        class: descriptor.name,
                        profile: found.profile_name().to_string(),
                        access,
                        by,
                    });
                }
            }
        }
        holdings
    }
}

fn by_step(step: Step) -> String {
    match step {
        Step::UserEntry(_) => "user entry".to_owned(),
        Step::GroupEntry(entry) => format!("group {}", entry.id),
        Step::EveryoneEntry(_) => "ID(*)".to_owned(),
        Step::Uacc(_) => "UACC".to_owned(),
        Step::Operations => "OPERATIONS".to_owned(),
        Step::GlobalTable => "global access table".to_owned(),
        Step::SpoolOwner => "spool owner".to_owned(),
        Step::Warning => "WARNING".to_owned(),
        _ => "other".to_owned(),
    }
}
