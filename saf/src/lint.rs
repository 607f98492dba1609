//! What auditors find: access that is wider than it should be, profiles that decide nothing, names of nobody.
//!
//! Source: DISA *z/OS RACF STIG* (the rules on UACC, WARNING, backstop profiles, list-of-groups checking) and the questions
//! RACF administrators' tools answer.

use serde::Serialize;

use crate::access::{Access, Userid};
use crate::class::{ASKED, BACKSTOPS, CLASSES, ClassDescriptor, Raclist};
use crate::raclist::Found;
use crate::snapshot::{Class, Snapshot};

/// A finding.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// The rule: `UACC`, `WARNING`, `ID-STAR`, `UNDEFINED`, `UNREACHABLE`, `CLASS`, `BACKSTOP`, `GRPLIST`, `GLOBAL`; of the
    /// daemon `RING`.
    pub rule: &'static str,
    /// Where, and why it matters.
    pub text: String,
    /// A command that mends it.
    pub mend: Option<String>,
}

impl Snapshot {
    /// Looks over what decides now.
    #[must_use]
    pub fn lint(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (descriptor, class) in CLASSES.iter().zip(&self.classes) {
            self.lint_class(descriptor, class, &mut findings);
            if descriptor.resources {
                for found in class.profiles.iter() {
                    self.lint_profile(descriptor, class, found, &mut findings);
                }
            }
        }
        for (class, name) in BACKSTOPS {
            let closes = |found: Found<'_>| {
                found.is_generic() && found.name() == name.as_bytes() && found.uacc() == Access::None
            };
            if !self.class(class).is_some_and(|(_, class)| class.profiles.iter().any(closes)) {
                findings.push(Finding {
                    rule: "BACKSTOP",
                    text: format!("class {class} has no {name} with UACC(NONE): without a profile several of its resources are open"),
                    mend: Some(format!("RDEFINE {class} {name} UACC(NONE)")),
                });
            }
        }
        if !self.options.grplist {
            findings.push(Finding {
                rule: "GRPLIST",
                text: "list-of-groups checking is off: users have the access of their current group only".to_owned(),
                mend: Some("SETROPTS GRPLIST".to_owned()),
            });
        }
        findings
    }

    fn lint_class(&self, descriptor: &ClassDescriptor, class: &Class, findings: &mut Vec<Finding>) {
        let name = descriptor.name;
        let switches = class.switches;
        let mut push = |text: String, mend: String| findings.push(Finding { rule: "CLASS", text, mend: Some(mend) });
        if !switches.active && descriptor.resources && (class.profiles.len() > 0 || ASKED.contains(&name)) {
            push(
                format!("class {name} is not active: its profiles decide nothing"),
                format!("SETROPTS CLASSACT({name})"),
            );
        } else if switches.active && descriptor.raclist == Raclist::Required && !switches.raclist {
            push(format!("class {name} decides nothing before it is RACLISTed"), format!("SETROPTS RACLIST({name})"));
        }
        if switches.global && class.global.len() > 0 {
            findings.push(Finding {
                rule: "GLOBAL",
                text: format!(
                    "the global access table grants {} entries of class {name} without a record",
                    class.global.len()
                ),
                mend: None,
            });
        }
    }

    fn lint_profile(&self, descriptor: &ClassDescriptor, class: &Class, found: Found<'_>, findings: &mut Vec<Finding>) {
        let (name, profile) = (descriptor.name, found.profile_name());
        let alter = |what: &str| Some(format!("RALTER {name} {} {what}", profile.as_str()));
        let permit = |what: String| Some(format!("PERMIT {} CLASS({name}) {what}", profile.as_str()));
        let mut push =
            |rule, text: String, mend| findings.push(Finding { rule, text: format!("{name} {profile}: {text}"), mend });
        if found.uacc() > Access::None {
            push("UACC", format!("UACC({}) is for everybody, undefined users too", found.uacc()), alter("UACC(NONE)"));
        }
        if found.warning() {
            push("WARNING", "WARNING mode lets everybody in".to_owned(), alter("NOWARNING"));
        }
        if let Some(entry) = found.entry(Userid::ALL).filter(|entry| entry.access >= Access::Update) {
            push("ID-STAR", format!("ID(*) has {}", entry.access), permit("ID(*) ACCESS(READ)".to_owned()));
        }
        let is_known = |id: Userid| {
            let stands_for_several = [Userid::ALL, Userid::RACUID, Userid::RACGRP].contains(&id);
            stands_for_several || self.users.contains_key(&id) || self.groups.contains_key(&id)
        };
        let conditional = found.conditional().iter().map(|conditional| conditional.entry.id);
        for id in found.access().iter().map(|entry| entry.id).chain(conditional).filter(|id| !is_known(*id)) {
            let text =
                format!("{id} in its access list is neither a user nor a group; whoever gets the name gets the access");
            push("UNDEFINED", text, permit(format!("ID({id}) DELETE")));
        }
        if !is_known(found.owner()) {
            push("UNDEFINED", format!("its owner {} is not defined", found.owner()), alter("OWNER(…)"));
        }
        if let Some(id) = found.notify().filter(|id| !self.users.contains_key(id)) {
            push("UNDEFINED", format!("NOTIFY names {id}, who is not defined"), alter("NONOTIFY"));
        }
        if found.is_generic() && !class.switches.generic {
            let mend = Some(format!("SETROPTS GENERIC({name})"));
            push("UNREACHABLE", "generic profiles of this class are not in effect".to_owned(), mend);
        }
        if !found.is_generic() && profile.as_str().contains(['*', '%']) {
            let mend = Some(format!("RDELETE {name} {} NOGENERIC", profile.as_str()));
            push("UNREACHABLE", "it is discrete: no resource has * or % in its name".to_owned(), mend);
        }
    }
}
