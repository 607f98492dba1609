//! The decision: RACROUTE REQUEST=AUTH over a snapshot.
//!
//! Source: *RACF Security Administrator's Guide*, "Authorization checking for RACF-protected resources"; return codes
//! from *RACROUTE Macro Reference*. Exits, security labels, the global access table and conditional access lists are
//! not part of it.

use std::fmt;

use crate::access::{Access, Userid};
use crate::class;
use crate::profile::ProfileName;
use crate::snapshot::{Profile, Snapshot, User};

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
    by_warning: bool,
}

impl Authorized {
    /// What was permitted.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// Whether only the profile's WARNING let it pass.
    #[must_use]
    pub fn by_warning(&self) -> bool {
        self.by_warning
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

/// A refusal with what its message says: SAF 8, RACF 8, reason 0.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// Who asked.
    pub userid: Userid,
    /// The user's group and name; none for a user RACF does not know.
    pub user: Option<(String, String)>,
    /// The class.
    pub class: String,
    /// The resource.
    pub resource: String,
    /// The profile that decided.
    pub profile: Option<ProfileName>,
    /// The level asked for.
    pub intent: Access,
    /// The level held.
    pub allowed: Access,
}

/// ICH408I, as RACF prints it.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (group, name) = self.user.as_ref().map_or(("", ""), |(group, name)| (group, name));
        let name = if name.is_empty() { "#".repeat(20) } else { name.to_owned() };
        writeln!(f, "ICH408I USER({:8}) GROUP({group:8}) NAME({name:20})", self.userid)?;
        writeln!(f, "  {} CL({:8})", self.resource, self.class)?;
        writeln!(f, "  INSUFFICIENT ACCESS AUTHORITY")?;
        if let Some(profile) = self.profile.as_ref().filter(|profile| profile.is_generic()) {
            writeln!(f, "  FROM {profile}")?;
        }
        write!(f, "  ACCESS INTENT({:7})  ACCESS ALLOWED({:7})", self.intent, self.allowed)
    }
}

impl Snapshot {
    /// Whether `userid` may use a resource of a class at a level.
    pub fn auth(&self, userid: &Userid, class: &str, resource: &str, intent: Access) -> Decision {
        let Some(descriptor) = class::find(class) else { return Decision::NoDecision(NoDecision::UnknownClass) };
        let switches = self.classes.get(descriptor.name).filter(|class| class.active);
        let Some(class) = switches.filter(|class| class.raclist || !descriptor.raclist_required) else {
            return Decision::NoDecision(NoDecision::ClassInactive);
        };
        let resource = resource.to_ascii_uppercase();
        let Some(profile) = class.covering(&resource) else { return Decision::NoDecision(NoDecision::NoProfile) };
        // A revoked user has no session; here every request is one.
        let user = self.users.get(userid.as_str());
        let revoked = user.is_some_and(|user| user.revoked);
        let allowed = if revoked { Access::None } else { allowed(profile, userid.as_str(), user) };
        if allowed >= intent {
            return Decision::Permitted(Authorized { resource, by_warning: false });
        }
        if profile.warning && !revoked {
            return Decision::Permitted(Authorized { resource, by_warning: true });
        }
        Decision::Refused(Refusal {
            userid: userid.clone(),
            user: user.map(|user| (user.default_group.clone(), user.name.clone())),
            class: descriptor.name.to_owned(),
            resource,
            profile: Some(profile.name.clone()),
            intent,
            allowed,
        })
    }

    /// Whether a user may administer every profile.
    #[must_use]
    pub fn is_special(&self, userid: &Userid) -> bool {
        self.users.get(userid.as_str()).is_some_and(|user| user.special && !user.revoked)
    }

    /// Whether a user may list every profile.
    #[must_use]
    pub fn is_auditor(&self, userid: &Userid) -> bool {
        self.users.get(userid.as_str()).is_some_and(|user| (user.special || user.auditor) && !user.revoked)
    }
}

/// The level a profile gives: the user's own entry, else the highest of the groups', else ID(*), else UACC. An entry
/// that is found counts even when it gives less than what comes after. RESTRICTED users get neither ID(*) nor UACC.
pub(crate) fn allowed(profile: &Profile, userid: &str, user: Option<&User>) -> Access {
    let entry = |id: &str| profile.access.iter().find(|(found, _)| found == id).map(|(_, access)| *access);
    let Some(user) = user else { return profile.uacc };
    let general = || {
        if user.restricted {
            return Access::None;
        }
        entry("*").unwrap_or(profile.uacc)
    };
    entry(userid).or_else(|| user.groups.iter().filter_map(|group| entry(group)).max()).unwrap_or_else(general)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use super::*;
    use crate::snapshot::Class;

    fn profile(name: &str, uacc: Access, access: &[(&str, Access)]) -> Profile {
        Profile {
            name: ProfileName::parse(name, true, 246).expect(name),
            uacc,
            owner: "SYS1".to_owned(),
            warning: false,
            data: String::new(),
            access: access.iter().map(|(id, access)| ((*id).to_owned(), *access)).collect(),
        }
    }

    fn user(groups: &[&str]) -> User {
        User {
            default_group: "STAFF".to_owned(),
            name: "A. USER".to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..User::default()
        }
    }

    fn snapshot(profiles: Vec<Profile>, users: Vec<(&str, User)>) -> Snapshot {
        let class = Class { active: true, generic: true, raclist: true, ..Class::default() }.with(profiles);
        Snapshot {
            users: Arc::new(users.into_iter().map(|(id, user)| (id.to_owned(), user)).collect()),
            classes: HashMap::from([("SERVAUTH".to_owned(), Arc::new(class))]),
        }
    }

    fn asked(snapshot: &Snapshot, who: &str, resource: &str, intent: Access) -> u8 {
        match snapshot.auth(&Userid::parse(who).expect(who), "SERVAUTH", resource, intent) {
            Decision::Permitted(_) => 0,
            Decision::NoDecision(_) => 4,
            Decision::Refused(_) => 8,
        }
    }

    #[test]
    fn a_user_entry_counts_before_groups_and_uacc_even_downward() {
        let list = [("ALICE", Access::None), ("STAFF", Access::Control), ("OPS", Access::Update), ("*", Access::Read)];
        let snapshot = snapshot(
            vec![profile("EZB.**", Access::Alter, &list)],
            vec![("ALICE", user(&["STAFF"])), ("BOB", user(&["STAFF", "OPS"])), ("CAROL", user(&[]))],
        );
        assert_eq!(asked(&snapshot, "ALICE", "EZB.X", Access::Read), 8);
        assert_eq!(asked(&snapshot, "BOB", "EZB.X", Access::Control), 0);
        assert_eq!(asked(&snapshot, "CAROL", "EZB.X", Access::Read), 0);
        assert_eq!(asked(&snapshot, "CAROL", "EZB.X", Access::Update), 8);
        assert_eq!(asked(&snapshot, "NOBODY", "EZB.X", Access::Alter), 0, "an undefined user has the UACC");
    }

    #[test]
    fn a_restricted_user_has_neither_uacc_nor_id_star() {
        let restricted = User { restricted: true, ..user(&[]) };
        let snapshot =
            snapshot(vec![profile("EZB.**", Access::Read, &[("*", Access::Read)])], vec![("ROBOT", restricted)]);
        assert_eq!(asked(&snapshot, "ROBOT", "EZB.X", Access::Read), 8);
    }

    #[test]
    fn only_the_winning_profile_is_consulted() {
        let snapshot = snapshot(
            vec![profile("EZB.**", Access::Read, &[]), profile("EZB.PAGENT.**", Access::None, &[])],
            vec![("ALICE", user(&[]))],
        );
        assert_eq!(asked(&snapshot, "ALICE", "EZB.PAGENT.S.T.TTLS", Access::Read), 8);
        assert_eq!(asked(&snapshot, "ALICE", "EZB.NETSTAT.S.T.CONN", Access::Read), 0);
    }

    #[test]
    fn no_profile_and_no_class_are_no_decision() {
        let snapshot = snapshot(vec![], vec![("ALICE", user(&[]))]);
        assert_eq!(asked(&snapshot, "ALICE", "EZB.X", Access::Read), 4);
        let unknown = snapshot.auth(&Userid::parse("ALICE").expect("a user"), "NOSUCH", "X", Access::Read);
        assert!(matches!(unknown, Decision::NoDecision(NoDecision::UnknownClass)));
        let inactive = snapshot.auth(&Userid::parse("ALICE").expect("a user"), "OPERCMDS", "X", Access::Read);
        assert!(matches!(inactive, Decision::NoDecision(NoDecision::ClassInactive)));
    }

    #[test]
    fn a_refusal_reads_as_racf_s() {
        let snapshot = snapshot(vec![profile("EZB.**", Access::None, &[])], vec![("ALICE", user(&[]))]);
        let userid = Userid::parse("alice").expect("a user");
        let Decision::Refused(refusal) = snapshot.auth(&userid, "SERVAUTH", "EZB.PAGENT.SYSA.TCPIP.TTLS", Access::Read)
        else {
            panic!("it was not refused")
        };
        assert_eq!(
            refusal.to_string(),
            "ICH408I USER(ALICE   ) GROUP(STAFF   ) NAME(A. USER             )\n\
             \x20 EZB.PAGENT.SYSA.TCPIP.TTLS CL(SERVAUTH)\n\
             \x20 INSUFFICIENT ACCESS AUTHORITY\n\
             \x20 FROM EZB.** (G)\n\
             \x20 ACCESS INTENT(READ   )  ACCESS ALLOWED(NONE   )"
        );
    }
}
