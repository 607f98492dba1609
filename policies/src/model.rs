//! The resolved policy: rules with their conditions and actions, references followed, nothing left to look up.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::address::{AddressRange, PortRange};
use crate::matching::Direction;
use crate::schedule::Schedule;
use crate::source::Origin;
use crate::syntax::Setting;
use crate::value::NamePattern;

/// Everything that can be installed, rules in the order they are searched.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// AT-TLS rules.
    pub ttls: Vec<Arc<TtlsRule>>,
    /// zERT enforcement rules.
    pub zert: Vec<Arc<ZertRule>>,
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
    /// The action.
    pub action: Arc<ZertAction>,
}

/// `zERTPolicyAction`: what is required of a connection, and what happens when it falls short.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ZertAction {
    /// Its name.
    pub name: String,
    /// The lowest acceptable TLS version as its wire number (0x0303 is TLS 1.2). No TLS at all falls short of any.
    pub minimum: u16,
    /// Reset the connection.
    pub reset: bool,
    /// Write a message.
    pub log: bool,
    /// Write an SMF record of the enforcement event.
    pub audit: bool,
}

/// The conditions of a rule. Different conditions are ANDed, the members of one ORed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Conditions {
    /// Inbound, outbound, or (none) both.
    pub direction: Option<Direction>,
    /// Local addresses; empty means all.
    pub local: Vec<AddressRange>,
    /// Remote addresses; empty means all.
    pub remote: Vec<AddressRange>,
    /// Local ports; empty means all.
    pub local_ports: Vec<PortRange>,
    /// Remote ports; empty means all.
    pub remote_ports: Vec<PortRange>,
    /// The job that owns the local socket.
    pub jobname: Option<NamePattern>,
    /// The user that owns the local socket.
    pub userid: Option<NamePattern>,
    /// When.
    pub schedule: Option<Schedule>,
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
}

/// The order in which rules are searched: priority from the highest, then name in EBCDIC collation.
pub(crate) fn search_order(a: (u32, &str), b: (u32, &str)) -> Ordering {
    b.0.cmp(&a.0).then_with(|| ebcdic_key(a.1).cmp(&ebcdic_key(b.1)))
}

/// EBCDIC sorts special characters before lower case, lower case before upper case, letters before digits.
fn ebcdic_key(name: &str) -> Vec<(u8, char)> {
    name.chars()
        .map(|character| {
            let class = match character {
                'a'..='z' => 1,
                'A'..='Z' => 2,
                '0'..='9' => 3,
                _ => 0,
            };
            (class, character)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_equal_priority_are_searched_in_ebcdic_order() {
        let mut rules = [(1, "B9"), (1, "BA"), (1, "ab"), (5, "z"), (1, "9"), (1, "Ba")];
        rules.sort_by(|a, b| search_order((a.0, a.1), (b.0, b.1)));
        assert_eq!(rules.map(|rule| rule.1), ["z", "ab", "Ba", "BA", "B9", "9"]);
    }
}
