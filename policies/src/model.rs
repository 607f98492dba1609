//! The resolved policy: rules with their conditions and actions, references followed, nothing left to look up.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::address::{AddressRange, PortRange};
use crate::classifier::Classifier;
use crate::matching::Direction;
use crate::parameters::SecurityParameters;
use crate::protection::ProtectionTerms;
use crate::schedule::Schedule;
use crate::source::Origin;
use crate::syntax::Setting;
use crate::value::NamePattern;

/// Everything that can be installed, rules in the order they are searched.
#[derive(Debug, Default)]
pub struct Policy {
    /// AT-TLS rules.
    pub ttls: Vec<Arc<TtlsRule>>,
    /// zERT enforcement rules.
    pub zert: Vec<Arc<ZertRule>>,
    pub(crate) ttls_index: Classifier,
    pub(crate) zert_index: Classifier,
}

impl Policy {
    /// Puts rules into search order and compiles them.
    #[must_use]
    pub fn new(mut ttls: Vec<Arc<TtlsRule>>, mut zert: Vec<Arc<ZertRule>>) -> Self {
        ttls.sort_by(|a, b| search_order((a.priority, &a.name), (b.priority, &b.name)));
        zert.sort_by(|a, b| search_order((a.priority, &a.name), (b.priority, &b.name)));
        let ttls_index = Classifier::new(ttls.iter().map(|rule| &rule.conditions));
        let zert_index = Classifier::new(zert.iter().map(|rule| &rule.conditions));
        Self { ttls, zert, ttls_index, zert_index }
    }

    /// Bytes the compiled classifiers take, the rules themselves left out.
    #[must_use]
    pub fn compiled_size(&self) -> usize {
        self.ttls_index.size() + self.zert_index.size()
    }
}

/// `TTLSRule`.
#[derive(Debug)]
pub struct TtlsRule {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub origin: Origin,
    /// 1–2,000,000,000; larger is searched first.
    pub priority: u32,
    /// Which connections it is for.
    pub conditions: Conditions,
    /// The group action.
    pub group: Arc<Action>,
    /// The environment action; always there when the group enables TTLS.
    pub environment: Option<Arc<Action>>,
    /// The connection action.
    pub connection: Option<Arc<Action>>,
    /// Which actions it refers to, in the order it does.
    pub references: Vec<Scope>,
    /// What connections get; none when the group leaves them alone. Rules with the same actions share it.
    pub security: Option<Arc<SecurityParameters>>,
}

/// The level of an action.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum Scope {
    /// `TTLSGroupAction`.
    Group,
    /// `TTLSEnvironmentAction`.
    Environment,
    /// `TTLSConnectionAction`.
    Connection,
}

impl Scope {
    /// Every level.
    pub const ALL: [Self; 3] = [Self::Group, Self::Environment, Self::Connection];

    /// The statement of its actions.
    #[must_use]
    pub fn statement(self) -> &'static str {
        match self {
            Self::Group => "TTLSGroupAction",
            Self::Environment => "TTLSEnvironmentAction",
            Self::Connection => "TTLSConnectionAction",
        }
    }
}

/// `zERTPolicyRule`.
#[derive(Debug)]
pub struct ZertRule {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub origin: Origin,
    /// As for AT-TLS rules.
    pub priority: u32,
    /// Which connections it is for.
    pub conditions: Conditions,
    /// The protections it is for: any of these; empty for all.
    pub protections: Vec<Arc<ZertProtection>>,
    /// The action.
    pub action: Arc<ZertAction>,
}

/// `zERTProtection`: protections by what is known of them.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ZertProtection {
    /// Its name.
    pub name: String,
    /// What is said of them.
    pub terms: ProtectionTerms,
}

/// `zERTPolicyAction`: what is required of a connection, and what happens when it falls short.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ZertAction {
    /// Its name.
    pub name: String,
    /// What is required. Without, whatever the rule is for has the action.
    pub required: Option<ProtectionTerms>,
    /// Reset the connection.
    pub reset: bool,
    /// Let nothing but the handshake and what leads to it through before the verdict.
    pub hold: bool,
    /// Write a message to syslog.
    pub syslogd: bool,
    /// Write a message to the console.
    pub console: bool,
    /// Write an SMF record of the enforcement event.
    pub audit: bool,
}

impl ZertAction {
    /// What it does, in the words of policies.
    #[must_use]
    pub fn does(&self) -> Vec<&'static str> {
        let does = [
            (self.reset, "Reset"),
            (self.syslogd, "LogSyslogd"),
            (self.console, "LogConsole"),
            (self.audit, "Audit"),
            (self.allows(), "Allow"),
        ];
        does.into_iter().filter(|(on, _)| *on).map(|(_, word)| word).collect()
    }

    /// Whether it leaves connections alone.
    #[must_use]
    pub fn allows(&self) -> bool {
        !(self.reset || self.syslogd || self.console || self.audit)
    }

    /// Whether both do the same, whatever their names.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        Self { name: String::new(), ..self.clone() } == Self { name: String::new(), ..other.clone() }
    }
}

/// The conditions of a rule. Different conditions are ANDed, the members of one ORed.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// Inbound, outbound, or (none) both.
    pub direction: Option<Direction>,
    /// Local addresses; empty means all. Rules that refer to one group share its list.
    pub local: Arc<[AddressRange]>,
    /// Remote addresses; empty means all.
    pub remote: Arc<[AddressRange]>,
    /// Local ports; empty means all.
    pub local_ports: Arc<[PortRange]>,
    /// Remote ports; empty means all.
    pub remote_ports: Arc<[PortRange]>,
    /// The job that owns the local socket.
    pub jobname: Option<NamePattern>,
    /// The user that owns the local socket.
    pub userid: Option<NamePattern>,
    /// When.
    pub schedule: Option<Arc<Schedule>>,
    /// Where each condition is coded.
    pub places: Vec<(Condition, Origin)>,
    /// Whether a condition could not be read, so that they match more than they should. An error says so.
    pub broken: bool,
}

/// A condition of a rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum Condition {
    Direction,
    LocalAddress,
    RemoteAddress,
    LocalPort,
    RemotePort,
    Jobname,
    Userid,
    Time,
}

impl Conditions {
    /// Whether both match the same connections because they say the same, wherever they say it.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let Self {
            direction,
            local,
            remote,
            local_ports,
            remote_ports,
            jobname,
            userid,
            schedule,
            places: _,
            broken: _,
        } = self;
        *direction == other.direction
            && *local == other.local
            && *remote == other.remote
            && *local_ports == other.local_ports
            && *remote_ports == other.remote_ports
            && *jobname == other.jobname
            && *userid == other.userid
            && *schedule == other.schedule
    }

    /// Where a condition is coded.
    #[must_use]
    pub fn place(&self, condition: Condition) -> Option<&Origin> {
        self.places.iter().find(|(coded, _)| *coded == condition).map(|(_, origin)| origin)
    }
}

/// An action statement with its sub-statements flattened: parameter names are unique among them.
#[derive(Debug, Eq, PartialEq)]
pub struct Action {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub origin: Origin,
    /// What is coded, by parameter name.
    pub settings: BTreeMap<&'static str, Setting>,
    /// The sub-statements that are coded, at any depth.
    pub parts: Vec<&'static str>,
    /// Whether some of it could not be read: what seems to be missing may be there.
    pub broken: bool,
}

impl Action {
    /// Whether both code the same values, wherever they do.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let values = |action: &Self| -> Vec<_> {
            action.settings.iter().map(|(name, setting)| (*name, setting.values.clone())).collect()
        };
        self.name == other.name && values(self) == values(other)
    }
}

/// The order in which rules are searched: priority from the highest, then name in EBCDIC collation.
fn search_order(a: (u32, &str), b: (u32, &str)) -> Ordering {
    b.0.cmp(&a.0).then_with(|| a.1.chars().map(ebcdic_place).cmp(b.1.chars().map(ebcdic_place)))
}

/// Printable ASCII in the order of EBCDIC code page 1047: most special characters, small letters, capitals, digits.
const EBCDIC_ORDER: &str =
    " .<(+|&!$*);^-/,%_>?`:#@'=\"abcdefghijklmnopqr~stuvwxyz[]{ABCDEFGHI}JKLMNOPQR\\STUVWXYZ0123456789";

/// A character's place in EBCDIC order; what is not ASCII comes last.
fn ebcdic_place(character: char) -> u32 {
    match EBCDIC_ORDER.find(character) {
        Some(place) => u32::try_from(place).unwrap_or(u32::MAX),
        None => 256 + u32::from(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_equal_priority_are_searched_in_ebcdic_order() {
        let mut rules = [
            (1, "B9"),
            (1, "BA"),
            (1, "ab"),
            (5, "z"),
            (1, "9"),
            (1, "Ba"),
            (1, "a-b"),
            (1, "a.b"),
            (1, "s~"),
            (1, "ss"),
        ];
        rules.sort_by(|a, b| search_order(*a, *b));
        assert_eq!(rules.map(|rule| rule.1), ["z", "a.b", "a-b", "ab", "s~", "ss", "Ba", "BA", "B9", "9"]);
    }

    #[test]
    fn the_ebcdic_order_holds_every_printable_character_once() {
        let mut all: Vec<char> = EBCDIC_ORDER.chars().collect();
        all.sort_unstable();
        assert_eq!(all, (' '..='~').collect::<Vec<char>>());
    }
}
