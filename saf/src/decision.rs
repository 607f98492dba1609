//! The decision: RACROUTE REQUEST=AUTH and FASTAUTH over a snapshot.
//!
//! Source: *RACF Security Administrator's Guide*, "Authorization checking for RACF-protected resources"; return codes
//! from *RACROUTE Macro Reference*. Exits and security labels are not part of it.

use std::fmt;

use chrono::NaiveDate;

use crate::access::{Access, Userid};
use crate::class::{ClassDescriptor, Raclist as Listing};
use crate::pattern::Values;
use crate::profile::ProfileName;
use crate::raclist::{Entry, Found, MAX_NAME};
use crate::snapshot::{Class, LogOptions, Snapshot, User};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub userid: Userid,
    /// The group the user asks with, where only that one counts (SETROPTS NOGRPLIST); the default group without one.
    pub group: Option<Userid>,
    /// The class, in any case.
    pub class: &'a str,
    /// The resource, in any case; as it is in classes whose names keep theirs.
    pub resource: &'a str,
    /// The level.
    pub intent: Access,
    /// FASTAUTH instead of AUTH: RACLISTed classes only, and no global access table.
    pub fast: bool,
    /// What conditional access lists may ask for: `("SERVAUTH", resource)`, `("PROGRAM", name)`, `("TERMINAL", name)`, …
    pub conditions: &'a [(&'a str, &'a str)],
    /// What a started task is beyond its user.
    pub started: Started,
    /// The day for which connections with dates of REVOKE or RESUME count; today without one.
    pub day: Option<NaiveDate>,
}

/// STDATA of a started task.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Started {
    /// No more than its user.
    #[default]
    Ordinary,
    /// May everything, and can be audited.
    Trusted,
    /// May everything, and is never audited.
    Privileged,
}

impl<'a> Request<'a> {
    /// AUTH for a user's resource, without conditions.
    #[must_use]
    pub fn new(userid: Userid, class: &'a str, resource: &'a str, intent: Access) -> Self {
        Self {
            userid,
            group: None,
            class,
            resource,
            intent,
            fast: false,
            conditions: &[],
            started: Started::Ordinary,
            day: None,
        }
    }
}

/// The return and reason codes of SAF and RACF.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Codes {
    /// 0 permitted, 4 no decision, 8 refused.
    pub saf: u8,
    /// RACF's return code.
    pub racf: u8,
    /// RACF's reason code.
    pub reason: u8,
}

/// `8/8/0`, as they are spoken of; hexadecimal.
impl fmt::Display for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}/{:X}", self.saf, self.racf, self.reason)
    }
}

/// What settled a request, in the order in which RACF asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    UnknownClass,
    InactiveClass,
    NotRaclisted,
    StartedTask,
    Contained,
    GlobalTable,
    NoProfile,
    SpoolOwner,
    UserEntry(Entry),
    GroupEntry(Entry),
    EveryoneEntry(Entry),
    Uacc(Access),
    Operations,
    /// Which entry of the conditional list.
    Conditional(usize),
    Warning,
}

/// The answer with its reasons, borrowed from the snapshot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict<'s> {
    pub(crate) class: Option<&'static ClassDescriptor>,
    pub(crate) codes: Codes,
    pub(crate) step: Step,
    pub(crate) profile: Option<Found<'s>>,
    /// The highest level that the profile gives.
    pub(crate) held: Access,
    /// Whether the request is to be recorded.
    pub(crate) audit: bool,
}

const PERMITTED: Codes = Codes { saf: 0, racf: 0, reason: 0 };
const REFUSED: Codes = Codes { saf: 8, racf: 8, reason: 0 };
const UNKNOWN: Codes = Codes { saf: 4, racf: 0, reason: 0 };
const NOT_PROTECTED: Codes = Codes { saf: 4, racf: 4, reason: 0 };
const CONTAINED: Codes = Codes { saf: 8, racf: 8, reason: 0xCC };

/// SAF's three answers.
#[must_use]
#[derive(Debug)]
pub enum Decision {
    /// SAF 0: permitted.
    Permitted(Authorized),
    /// SAF 4: nobody decides; the caller says what that means.
    NoDecision(NoDecision),
    /// SAF 8: refused.
    Refused(Refusal),
}

/// Proof that a decision was "permitted". Only this crate can make one.
#[must_use]
#[derive(Debug)]
pub struct Authorized {
    resource: String,
    profile: Option<ProfileName>,
    allowed: Access,
    warning: Option<Box<Refusal>>,
    audit: bool,
}

impl Authorized {
    /// What was permitted.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// What would have been said if the profile were not in WARNING mode; none when the access was regular.
    #[must_use]
    pub fn warning(&self) -> Option<&Refusal> {
        self.warning.as_deref()
    }

    /// The profile that decided; none where it was not asked.
    #[must_use]
    pub fn profile(&self) -> Option<&ProfileName> {
        self.profile.as_ref()
    }

    /// The level held.
    #[must_use]
    pub fn allowed(&self) -> Access {
        self.allowed
    }

    /// Whether the profile, the class or the user asks for a record.
    #[must_use]
    pub fn is_audited(&self) -> bool {
        self.audit
    }
}

/// Why nobody decides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoDecision {
    /// SAF 4, RACF 0: the class is not known.
    UnknownClass,
    /// SAF 4, RACF 4: the class is not active, or must be RACLISTed and is not.
    ClassInactive,
    /// SAF 4, RACF 4: no profile covers the resource.
    NoProfile,
}

/// A refusal with what its message says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// Who asked.
    pub userid: Userid,
    /// The user's group and name; none for a user RACF does not know.
    pub user: Option<(Userid, String)>,
    /// The class.
    pub class: &'static str,
    /// The resource.
    pub resource: String,
    /// The profile that decided; none where a class denies without one.
    pub profile: Option<ProfileName>,
    /// The level asked for.
    pub intent: Access,
    /// The level held.
    pub allowed: Access,
    /// SAF 8 and why.
    pub codes: Codes,
    /// Whether access was given all the same, by WARNING.
    pub by_warning: bool,
    /// Who is to be told (NOTIFY).
    pub notify: Option<Userid>,
    /// Whether it is to be recorded.
    pub audit: bool,
}

/// ICH408I, as RACF prints it.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = self.user.as_ref().map_or("", |(group, _)| group.as_str());
        let name = self.user.as_ref().map_or("", |(_, name)| name.as_str());
        let name = if name.is_empty() { "#".repeat(20) } else { name.to_owned() };
        writeln!(f, "ICH408I USER({:8}) GROUP({group:8}) NAME({name:20})", self.userid)?;
        writeln!(f, "  {} CL({:8})", self.resource, self.class)?;
        let text = match (self.by_warning, self.profile.is_some()) {
            (true, _) => "WARNING: INSUFFICIENT AUTHORITY - TEMPORARY ACCESS ALLOWED",
            (_, true) => "INSUFFICIENT ACCESS AUTHORITY",
            (_, false) if self.codes == CONTAINED => "USER IS CONTAINED",
            (_, false) => "PROFILE NOT FOUND. IT IS REQUIRED FOR AUTHORITY CHECKING.",
        };
        writeln!(f, "  {text}")?;
        if let Some(profile) = self.profile.as_ref().filter(|profile| profile.is_generic()) {
            writeln!(f, "  FROM {profile}")?;
        }
        write!(f, "  ACCESS INTENT({:7})  ACCESS ALLOWED({:7})", self.intent, self.allowed)
    }
}

impl Snapshot {
    /// Whether `userid` may use a resource of a class at a level: REQUEST=AUTH without conditions.
    pub fn auth(&self, userid: Userid, class: &str, resource: &str, intent: Access) -> Decision {
        self.decide(&Request::new(userid, class, resource, intent))
    }

    /// Whether a request is granted.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        let verdict = self.check(request);
        let Some(class) = verdict.class else { return Decision::NoDecision(NoDecision::UnknownClass) };
        let resource = if class.as_is { request.resource.to_owned() } else { request.resource.to_ascii_uppercase() };
        match (verdict.codes.saf, verdict.step) {
            (0, step) => {
                let by_warning = step == Step::Warning;
                let warning = by_warning.then(|| Box::new(self.refusal(request, &verdict, class, resource.clone())));
                let profile = verdict.profile.map(|found| found.profile_name());
                Decision::Permitted(Authorized {
                    resource,
                    profile,
                    allowed: verdict.held,
                    warning,
                    audit: verdict.audit,
                })
            }
            (4, Step::NoProfile) => Decision::NoDecision(NoDecision::NoProfile),
            (4, _) => Decision::NoDecision(NoDecision::ClassInactive),
            _ => Decision::Refused(self.refusal(request, &verdict, class, resource)),
        }
    }

    fn refusal(
        &self,
        request: &Request<'_>,
        verdict: &Verdict<'_>,
        class: &ClassDescriptor,
        resource: String,
    ) -> Refusal {
        let user = self.user(request.userid);
        Refusal {
            userid: request.userid,
            user: user.map(|user| (request.group.unwrap_or(user.default_group), user.name.clone())),
            class: class.name,
            resource,
            profile: verdict.profile.map(|found| found.profile_name()),
            intent: request.intent,
            allowed: verdict.held,
            codes: if verdict.codes.saf == 0 { REFUSED } else { verdict.codes },
            by_warning: verdict.codes.saf == 0,
            notify: verdict.profile.and_then(|found| found.notify()),
            audit: verdict.audit,
        }
    }

    /// The return and reason codes of a request.
    #[must_use]
    pub fn codes(&self, request: &Request<'_>) -> Codes {
        self.check(request).codes
    }

    /// The decision with its reasons.
    pub(crate) fn check(&self, request: &Request<'_>) -> Verdict<'_> {
        let mut verdict = Verdict {
            class: None,
            codes: UNKNOWN,
            step: Step::UnknownClass,
            profile: None,
            held: Access::None,
            audit: false,
        };
        let Some((descriptor, class)) = self.class(request.class).filter(|(descriptor, _)| descriptor.resources) else {
            return verdict;
        };
        verdict.class = Some(descriptor);
        let raclisted = class.switches.raclist;
        if !class.switches.active {
            return Verdict { codes: NOT_PROTECTED, step: Step::InactiveClass, ..verdict };
        }
        if !raclisted && (request.fast || descriptor.raclist == Listing::Required) {
            return Verdict { codes: NOT_PROTECTED, step: Step::NotRaclisted, ..verdict };
        }
        let user = self.user(request.userid);
        let uaudit = user.is_some_and(|user| user.attributes.uaudit);
        if request.started != Started::Ordinary {
            let always = matches!(class.switches.log, LogOptions::Always | LogOptions::Successes);
            let audit = request.started == Started::Trusted && (always || uaudit);
            return Verdict { codes: PERMITTED, step: Step::StartedTask, held: Access::Alter, audit, ..verdict };
        }
        if user.is_some_and(|user| user.attributes.contained) {
            return Verdict { codes: CONTAINED, step: Step::Contained, audit: true, ..verdict };
        }
        let mut buffer = [0; MAX_NAME];
        let resource = folded(request.resource, descriptor, &mut buffer);
        let values = Values::of(&self.variables);
        if !request.fast && class.switches.global && self.is_global(class, resource, request, user) {
            return Verdict { codes: PERMITTED, step: Step::GlobalTable, held: request.intent, ..verdict };
        }
        let covering = resource.and_then(|resource| class.profiles.covering(resource, class.switches.generic, values));
        let Some(profile) = covering else {
            let codes = if descriptor.default_rc == 8 { REFUSED } else { NOT_PROTECTED };
            let audit = codes == REFUSED && class.switches.log != LogOptions::Never;
            return Verdict { codes, step: Step::NoProfile, audit, ..verdict };
        };
        verdict.profile = Some(profile);
        // node.user.job.…: whoever wrote the output has it.
        let spool_owner = resource.and_then(|resource| resource.split(|byte| *byte == b'.').nth(1));
        let own = descriptor.name == "JESSPOOL" && spool_owner == Some(request.userid.as_str().as_bytes());
        let (mut held, mut step) = match own && user.is_some() {
            true => (Access::Alter, Step::SpoolOwner),
            false => self.standard(profile, request, user),
        };
        if held < request.intent && matches!(step, Step::Uacc(_)) {
            let operations = user.is_some_and(|user| self.has_operations(user, profile));
            if descriptor.operations && operations {
                (held, step) = (Access::Alter, Step::Operations);
            }
        }
        let missing = held < request.intent;
        if let Some((at, access)) = self.conditional(profile, request, user).filter(|_| missing) {
            held = held.max(access);
            step = if access >= request.intent { Step::Conditional(at) } else { step };
        }
        let granted = held >= request.intent;
        let audit = is_audited(class, profile, request.intent, granted, uaudit);
        let by_warning = !granted && profile.warning();
        let codes = if granted || by_warning { PERMITTED } else { REFUSED };
        let step = if by_warning { Step::Warning } else { step };
        Verdict { codes, step, held, audit, ..verdict }
    }

    /// What the standard access list and UACC give: the user's own entry, else the highest of the groups', else ID(*), else
    /// UACC. An entry that is found counts even when it gives less than what comes after. RESTRICTED users get neither
    /// ID(*) nor UACC, undefined ones only UACC.
    pub(crate) fn standard(&self, profile: Found<'_>, request: &Request<'_>, user: Option<&User>) -> (Access, Step) {
        let Some(user) = user else { return (profile.uacc(), Step::Uacc(profile.uacc())) };
        let highest = |ids: [Option<Entry>; 2]| ids.into_iter().flatten().max_by_key(|entry| entry.access);
        if let Some(entry) = highest([profile.entry(request.userid), profile.entry(Userid::RACUID)]) {
            return (entry.access, Step::UserEntry(entry));
        }
        let current = request.group.unwrap_or(user.default_group);
        let counts = |group: Userid| self.options.grplist || group == current;
        let groups = user.connects.iter().filter(|connect| !connect.is_revoked(request.day) && counts(connect.group));
        let entries = groups.filter_map(|connect| profile.entry(connect.group)).chain(profile.entry(Userid::RACGRP));
        if let Some(entry) = entries.max_by_key(|entry| entry.access) {
            return (entry.access, Step::GroupEntry(entry));
        }
        if user.attributes.restricted {
            return (Access::None, Step::Uacc(Access::None));
        }
        match profile.entry(Userid::ALL) {
            Some(entry) => (entry.access, Step::EveryoneEntry(entry)),
            None => (profile.uacc(), Step::Uacc(profile.uacc())),
        }
    }

    /// The best entry of the conditional access list whose condition is met, by the same precedence.
    fn conditional(&self, profile: Found<'_>, request: &Request<'_>, user: Option<&User>) -> Option<(usize, Access)> {
        let user = user.filter(|_| !request.conditions.is_empty())?;
        let current = request.group.unwrap_or(user.default_group);
        let rank = |id: Userid| {
            let member = |connect: &crate::snapshot::Connect| {
                connect.group == id && !connect.is_revoked(request.day) && (self.options.grplist || id == current)
            };
            match id {
                id if id == request.userid || id == Userid::RACUID => Some(2),
                id if id == Userid::RACGRP || user.connects.iter().any(member) => Some(1),
                Userid::ALL if !user.attributes.restricted => Some(0),
                _ => None,
            }
        };
        let list = profile.conditional().iter().enumerate();
        let met = list.filter(|(_, entry)| self.is_met(&entry.class, &entry.name, request.conditions));
        let ranked = met.filter_map(|(at, entry)| rank(entry.entry.id).map(|rank| (rank, entry.entry.access, at)));
        ranked.max_by_key(|(rank, access, _)| (*rank, *access)).map(|(_, access, at)| (at, access))
    }

    /// Whether a condition is true. Those that are classes count only while the class is active, those on programs only
    /// under program control.
    fn is_met(&self, class: &str, name: &str, conditions: &[(&str, &str)]) -> bool {
        let counts = match class {
            "PROGRAM" | "SYSID" => self.options.when_program,
            "CRITERIA" => true,
            class => self.class(class).is_some_and(|(_, class)| class.switches.active),
        };
        counts
            && conditions.iter().any(|(found, value)| {
                *found == class
                    && match class {
                        // A network's security zone goes by the name of its profile.
                        "SERVAUTH" => self.covering_name(class, value).is_some_and(|profile| profile == name),
                        _ => value.eq_ignore_ascii_case(name) || name == "*",
                    }
            })
    }

    /// The name of the profile that covers a resource.
    pub(crate) fn covering_name(&self, class: &str, resource: &str) -> Option<String> {
        let (descriptor, class) = self.class(class)?;
        let mut buffer = [0; MAX_NAME];
        let resource = folded(resource, descriptor, &mut buffer)?;
        let found = class.profiles.covering(resource, class.switches.generic, Values::of(&self.variables))?;
        Some(found.profile_name().as_str().to_owned())
    }

    /// The global access table, which only ever grants, and nothing to RESTRICTED users.
    fn is_global(&self, class: &Class, resource: Option<&[u8]>, request: &Request<'_>, user: Option<&User>) -> bool {
        if user.is_some_and(|user| user.attributes.restricted) {
            return false;
        }
        let values = Values::of(&self.variables);
        let group = request.group.or(user.map(|user| user.default_group));
        let values = user.zip(group).map_or(values, |(_, group)| values.with_asker(request.userid, group));
        let found = resource.and_then(|resource| class.global.covering(resource, true, values));
        found.is_some_and(|entry| entry.uacc() >= request.intent)
    }

    /// OPERATIONS, or that of a group in whose scope the profile is.
    fn has_operations(&self, user: &User, profile: Found<'_>) -> bool {
        user.attributes.operations || self.is_in_scope(user, profile.owner(), |connect| connect.operations)
    }
}

/// The resource as its class writes it; none when it is longer than any.
fn folded<'b>(resource: &str, class: &ClassDescriptor, buffer: &'b mut [u8; MAX_NAME]) -> Option<&'b [u8]> {
    let place = buffer.get_mut(..resource.len())?;
    place.copy_from_slice(resource.as_bytes());
    if !class.as_is {
        place.make_ascii_uppercase();
    }
    Some(place)
}

fn is_audited(class: &Class, profile: Found<'_>, intent: Access, granted: bool, uaudit: bool) -> bool {
    match (class.switches.log, granted) {
        (LogOptions::Always, _) | (LogOptions::Successes, true) | (LogOptions::Failures, false) => return true,
        (LogOptions::Never, _) => return uaudit,
        _ => {}
    }
    let asks = |auditing: &crate::raclist::Auditing| {
        let from = if granted { auditing.success } else { auditing.failures };
        from.is_some_and(|from| intent >= from)
    };
    uaudit || profile.audit().iter().any(asks)
}

#[cfg(test)]
mod literal;
#[cfg(test)]
mod tests;
