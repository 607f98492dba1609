//! What a user may do beyond access lists: SPECIAL, AUDITOR, their like in a group's scope, and starting a session.
//!
//! Source: *RACF Security Administrator's Guide*, "Group-level attributes" and "Scope of control"; VERIFY's codes from
//! *RACROUTE Macro Reference*.

use chrono::NaiveDate;

use crate::access::{Access, Userid};
use crate::decision::{Codes, Request};
use crate::profile::ProfileName;
use crate::snapshot::{Authority, Connect, Snapshot, User};

/// Groups own groups this deep at most; a loop in a damaged database ends.
const MAX_DEPTH: usize = 64;

impl Snapshot {
    /// Whether a user may begin a session (REQUEST=VERIFY): `entry` is the SERVAUTH resource of the network it comes from.
    /// There a missing profile refuses, other than AUTH's rule.
    #[must_use]
    pub fn verify(&self, userid: Userid, group: Option<Userid>, entry: Option<&str>, today: NaiveDate) -> Codes {
        let refused = |racf, reason| Codes { saf: 8, racf, reason };
        let Some(user) = self.user(userid) else { return refused(4, 0) };
        if user.revocation.is_in_force(today) {
            return refused(0x1C, 0);
        }
        if user.attributes.contained {
            return refused(8, 0xCC);
        }
        if let Some(group) = group {
            match user.connects.iter().find(|connect| connect.group == group) {
                None => return refused(0x14, 0),
                Some(connect) if connect.revocation.is_in_force(today) => return refused(0x24, 0),
                Some(_) => {}
            }
        }
        let is_active = self.class("SERVAUTH").is_some_and(|(_, class)| class.switches.active);
        if let Some(entry) = entry.filter(|_| is_active) {
            let request = Request { group, ..Request::new(userid, "SERVAUTH", entry, Access::Read) };
            if self.codes(&request).saf != 0 {
                return refused(0x30, 0);
            }
        }
        Codes { saf: 0, racf: 0, reason: 0 }
    }

    /// Whether a user may administer every profile.
    #[must_use]
    pub fn is_special(&self, userid: Userid) -> bool {
        self.user(userid).is_some_and(|user| user.attributes.special)
    }

    /// Whether a user may list every profile.
    #[must_use]
    pub fn is_auditor(&self, userid: Userid) -> bool {
        let lists = |user: &User| user.attributes.special || user.attributes.auditor || user.attributes.roaudit;
        self.user(userid).is_some_and(lists)
    }

    /// Whether a user is SPECIAL for what `owner` owns: everywhere, or in the scope of a group.
    pub(crate) fn is_special_for(&self, userid: Userid, owner: Userid) -> bool {
        let scoped = |user: &User| self.is_in_scope(user, owner, |connect| connect.special);
        self.is_special(userid) || self.user(userid).is_some_and(scoped)
    }

    /// Whether a user may list what `owner` owns.
    pub(crate) fn is_auditor_for(&self, userid: Userid, owner: Userid) -> bool {
        let scoped = |user: &User| self.is_in_scope(user, owner, |connect| connect.auditor || connect.special);
        self.is_auditor(userid) || self.user(userid).is_some_and(scoped)
    }

    /// Whether what `owner` owns is in the scope of a group in which the user has an attribute: owned by the group, or by a
    /// group that such a group owns. What a user owns is in no scope.
    pub(crate) fn is_in_scope(&self, user: &User, owner: Userid, has: impl Fn(&Connect) -> bool) -> bool {
        let with = |group: Userid| {
            user.connects.iter().any(|connect| connect.group == group && !connect.is_revoked(None) && has(connect))
        };
        let mut group = owner;
        for _ in 0..MAX_DEPTH {
            let Some(found) = self.groups.get(&group) else { return false };
            if with(group) {
                return true;
            }
            group = found.owner;
        }
        false
    }

    /// Whether a user has an authority in a group, or rules what the group's owner owns.
    pub(crate) fn has_authority(&self, userid: Userid, group: Userid, at_least: Authority) -> bool {
        let owner = self.groups.get(&group).map(|group| group.owner);
        let connected = self.user(userid).is_some_and(|user| {
            let live = user.connects.iter().filter(|connect| !connect.is_revoked(None));
            live.into_iter().any(|connect| connect.group == group && connect.authority >= at_least)
        });
        connected
            || owner == Some(userid)
            || self.is_special_for(userid, group)
            || owner.is_some_and(|owner| self.is_special_for(userid, owner))
    }

    /// Whether a user may administer a profile: its owner, SPECIAL for the owner, or ALTER to a discrete profile, unless
    /// `IRR.ALTER.class` in FACILITY keeps that to administrators. `held` is the level the profile gives.
    pub(crate) fn may_administer(
        &self,
        userid: Userid,
        class: &str,
        name: &ProfileName,
        owner: Userid,
        held: Access,
    ) -> bool {
        if owner == userid || self.is_special_for(userid, owner) {
            return true;
        }
        let resource = format!("IRR.ALTER.{class}");
        let restricted = || self.codes(&Request::new(userid, "FACILITY", &resource, Access::Read)).saf == 8;
        held == Access::Alter && !name.is_generic() && !restricted()
    }
}
