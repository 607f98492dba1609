//! What decisions are made from: an immutable copy of the database's relevant part.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::NaiveDate;

use crate::access::Userid;
use crate::class::{self, ClassDescriptor};
use crate::mapping::{Certificates, Criteria, Filters};
use crate::pattern::Variables;
use crate::raclist::Raclist;

/// Users, their groups, and the profiles of each class as they were when the class was last RACLISTed or changed.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(crate) users: Arc<HashMap<Userid, User>>,
    pub(crate) groups: Arc<HashMap<Userid, Group>>,
    /// Users by their OMVS UID; none where several have it.
    pub(crate) by_uid: Arc<HashMap<u32, Option<Userid>>>,
    pub(crate) options: Options,
    /// By the place of their descriptors in the table.
    pub(crate) classes: Vec<Arc<Class>>,
    pub(crate) variables: Arc<Variables>,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) filters: Arc<Filters>,
    pub(crate) criteria: Arc<Criteria>,
}

/// Who a Unix uid is to RACF.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mapped {
    /// The one user with this OMVS UID.
    User(Userid),
    /// Several users have it.
    Shared,
    /// Nobody has it: the login name decides.
    Nobody,
}

/// A user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) owner: Userid,
    pub(crate) default_group: Userid,
    pub(crate) connects: Vec<Connect>,
    pub(crate) attributes: Attributes,
    /// REVOKE, and the dates of REVOKE and RESUME.
    pub(crate) revocation: Revocation,
    /// Classes in which the user may define profiles.
    pub(crate) clauth: Vec<String>,
    /// OMVS UID.
    pub(crate) uid: Option<u32>,
}

/// What a user may beside what access lists say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "RACF's attributes are switches")]
pub(crate) struct Attributes {
    pub(crate) special: bool,
    pub(crate) auditor: bool,
    pub(crate) roaudit: bool,
    pub(crate) operations: bool,
    pub(crate) restricted: bool,
    pub(crate) uaudit: bool,
    pub(crate) contained: bool,
}

/// A user's membership of a group.
#[derive(Clone, Debug, Eq, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "RACF's attributes are switches")]
pub(crate) struct Connect {
    pub(crate) group: Userid,
    pub(crate) authority: Authority,
    pub(crate) special: bool,
    pub(crate) auditor: bool,
    pub(crate) operations: bool,
    pub(crate) revocation: Revocation,
}

/// What a user may do with a group, each including the lower.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub(crate) enum Authority {
    Use,
    Create,
    Connect,
    Join,
}

/// A group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) superior: Option<Userid>,
    pub(crate) owner: Userid,
}

/// Whether and when somebody is revoked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Revocation {
    pub(crate) now: bool,
    pub(crate) from: Option<NaiveDate>,
    pub(crate) until: Option<NaiveDate>,
}

/// SETROPTS options that are no class's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Options {
    /// Whether all groups of a user count, not only the current one.
    pub(crate) grplist: bool,
    /// Whether who defines a profile gets ALTER to it.
    pub(crate) addcreator: bool,
    /// Whether conditions on programs count.
    pub(crate) when_program: bool,
    /// Whether commands of SPECIAL users are recorded.
    pub(crate) saudit: bool,
    /// Whether refused commands are recorded.
    pub(crate) cmdviol: bool,
}

/// A class's switches and profiles.
#[derive(Clone, Debug, Default)]
pub(crate) struct Class {
    pub(crate) switches: Switches,
    pub(crate) profiles: Arc<Raclist>,
    /// Its entries in the global access table, as profiles with a UACC.
    pub(crate) global: Arc<Raclist>,
}

/// What SETROPTS says of a class.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "RACF's options are switches")]
pub(crate) struct Switches {
    pub(crate) active: bool,
    pub(crate) generic: bool,
    pub(crate) gencmd: bool,
    pub(crate) raclist: bool,
    pub(crate) global: bool,
    pub(crate) audit: bool,
    pub(crate) statistics: bool,
    pub(crate) log: LogOptions,
}

/// SETROPTS LOGOPTIONS: whether accesses are recorded whatever their profile says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum LogOptions {
    Always,
    Never,
    Successes,
    Failures,
    #[default]
    Default,
}

impl Default for Options {
    fn default() -> Self {
        Self { grplist: true, addcreator: true, when_program: false, saudit: true, cmdviol: true }
    }
}

impl Options {
    /// An option by the name it has in SETROPTS and in the database.
    pub(crate) fn named(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "GRPLIST" => &mut self.grplist,
            "ADDCREATOR" => &mut self.addcreator,
            "WHEN(PROGRAM)" => &mut self.when_program,
            "SAUDIT" => &mut self.saudit,
            "CMDVIOL" => &mut self.cmdviol,
            _ => return None,
        })
    }
}

impl Authority {
    pub(crate) const ALL: [Self; 4] = [Self::Use, Self::Create, Self::Connect, Self::Join];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Use => "USE",
            Self::Create => "CREATE",
            Self::Connect => "CONNECT",
            Self::Join => "JOIN",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|authority| authority.name().eq_ignore_ascii_case(word))
    }
}

impl LogOptions {
    pub(crate) const ALL: [Self; 5] = [Self::Always, Self::Never, Self::Successes, Self::Failures, Self::Default];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Always => "ALWAYS",
            Self::Never => "NEVER",
            Self::Successes => "SUCCESSES",
            Self::Failures => "FAILURES",
            Self::Default => "DEFAULT",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|option| option.name().eq_ignore_ascii_case(word))
    }
}

impl Revocation {
    /// Whether it is in force on a day: REVOKE and RESUME dates count from their day on, the later one.
    pub(crate) fn is_in_force(self, today: NaiveDate) -> bool {
        let begun = |date: Option<NaiveDate>| date.filter(|date| *date <= today);
        match (begun(self.from), begun(self.until)) {
            (None, None) => self.now,
            (from, until) => from > until,
        }
    }
}

impl Connect {
    /// Whether the user is no member any more; a day that is not said is today.
    pub(crate) fn is_revoked(&self, day: Option<NaiveDate>) -> bool {
        let Revocation { now, from, until } = self.revocation;
        match (from, until) {
            (None, None) => now,
            _ => self.revocation.is_in_force(day.unwrap_or_else(|| chrono::Utc::now().date_naive())),
        }
    }
}

impl Snapshot {
    pub(crate) fn class(&self, name: &str) -> Option<(&'static ClassDescriptor, &Class)> {
        let at = class::CLASSES.iter().position(|class| class.name.eq_ignore_ascii_case(name))?;
        Some((class::CLASSES.get(at)?, self.classes.get(at)?))
    }

    pub(crate) fn switches(&self, class: &ClassDescriptor) -> Switches {
        self.class(class.name).map(|(_, class)| class.switches).unwrap_or_default()
    }

    pub(crate) fn user(&self, userid: Userid) -> Option<&User> {
        self.users.get(&userid)
    }

    /// A user's group and name; none for whom RACF does not know.
    #[must_use]
    pub fn identity(&self, userid: Userid) -> Option<(Userid, &str)> {
        self.user(userid).map(|user| (user.default_group, user.name.as_str()))
    }

    /// The user whose OMVS segment has this uid.
    #[must_use]
    pub fn mapped(&self, uid: u32) -> Mapped {
        match self.by_uid.get(&uid) {
            None => Mapped::Nobody,
            Some(None) => Mapped::Shared,
            Some(Some(userid)) => Mapped::User(*userid),
        }
    }

    /// Whether an OMVS segment gives the user another uid than this one.
    #[must_use]
    pub fn has_other_uid(&self, userid: Userid, uid: u32) -> bool {
        self.user(userid).and_then(|user| user.uid).is_some_and(|own| own != uid)
    }

    /// Whether somebody can administer everything.
    #[must_use]
    pub fn has_administrator(&self) -> bool {
        let able = |user: &User| user.attributes.special && !user.attributes.contained && !user.revocation.now;
        self.users.values().any(able)
    }

    /// How many users, groups and profiles it holds.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let profiles = self.classes.iter().map(|class| class.profiles.len()).sum();
        (self.users.len(), self.groups.len(), profiles)
    }
}
