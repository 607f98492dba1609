//! Which rule a connection falls to.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use chrono::{DateTime, FixedOffset};
use serde::{Deserialize, Serialize};

use crate::address::{AddressRange, PortRange};
use crate::model::{Condition, Conditions, Policy, TtlsRule, ZertRule};
use crate::value::NamePattern;

/// Who opened the connection, seen from this host.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// A peer connected to this host.
    Inbound,
    /// This host connected.
    Outbound,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inbound => "Inbound",
            Self::Outbound => "Outbound",
        })
    }
}

/// What a rule's conditions look at.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Connection {
    /// This host's end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
    /// Who opened it.
    pub direction: Direction,
    /// The job that owns the local socket, when known. A rule that asks for one does not match without.
    pub jobname: Option<String>,
    /// The user that owns it, when known.
    pub userid: Option<String>,
}

impl Connection {
    /// What keeps it from being one of a host: ends of two families, port 0, names that jobs and users cannot have.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let is_ipv4 = |end: SocketAddr| end.ip().to_canonical().is_ipv4();
        if is_ipv4(self.local) != is_ipv4(self.remote) {
            return Some("one end is an IPv4 address, the other an IPv6 address".to_owned());
        }
        if self.local.port() == 0 || self.remote.port() == 0 {
            return Some("no connection has port 0".to_owned());
        }
        let names = [("job", &self.jobname), ("user", &self.userid)];
        names.into_iter().find_map(|(kind, name)| {
            let name = name.as_ref()?;
            let valid = NamePattern::parse(name).is_some_and(|pattern| pattern.exact().is_some());
            (!valid).then(|| {
                format!("`{}` is no name of a {kind}: it has 1 to 8 characters A-Z 0-9 @ # $", name.escape_debug())
            })
        })
    }
}

impl Policy {
    /// The AT-TLS rule of a connection: the first match in search order.
    #[must_use]
    pub fn ttls_rule(&self, connection: &Connection, now: DateTime<FixedOffset>) -> Option<&Arc<TtlsRule>> {
        self.ttls.get(self.ttls_index.first(connection, now)?)
    }

    /// The zERT rules whose conditions on the connection hold, in search order; which of them decides depends on its
    /// protection ([`Policy::judge`]).
    pub fn zert_rules(
        &self,
        connection: &Connection,
        now: DateTime<FixedOffset>,
    ) -> impl Iterator<Item = &Arc<ZertRule>> {
        let mut from = 0;
        std::iter::from_fn(move || {
            let rank = self.zert_index.first_from(from, connection, now)?;
            from = rank + 1;
            self.zert.get(rank)
        })
    }

    /// Whether the connection's rule depends on who owns its local socket: a rule that asks for the owner fits it
    /// otherwise, and no rule before it fits without asking.
    #[must_use]
    pub fn asks_for_owner(&self, connection: &Connection, now: DateTime<FixedOffset>) -> bool {
        self.ttls_index.asks_for_owner()
            && self.first_but_owner(connection, now).is_some_and(|rule| rule.conditions.asks_for_owner())
    }

    /// The first rule whose conditions hold, those on the owner left out.
    #[must_use]
    pub fn first_but_owner(&self, connection: &Connection, now: DateTime<FixedOffset>) -> Option<&Arc<TtlsRule>> {
        self.ttls.get(self.ttls_index.first_but_owner(connection, now)?)
    }
}

impl Policy {
    /// Every rule that may decide, in search order: more than one where the connection does not say its job or user and
    /// rules ask for it. The last one decides for owners that none of the others asks for; `None` stands for no rule.
    #[must_use]
    pub fn deciding(&self, connection: &Connection, now: DateTime<FixedOffset>) -> Vec<Option<&Arc<TtlsRule>>> {
        let known = connection.jobname.is_some() && connection.userid.is_some();
        if known || !self.asks_for_owner(connection, now) {
            return vec![self.ttls_rule(connection, now)];
        }
        let may = |condition: Condition, rule: &TtlsRule, name: Option<&str>| {
            name.is_none() || rule.conditions.holds(condition, connection, now)
        };
        let mut rules = Vec::new();
        for rule in &self.ttls {
            let may_match = rule.conditions.matches_but_owner(connection, now)
                && may(Condition::Jobname, rule, connection.jobname.as_deref())
                && may(Condition::Userid, rule, connection.userid.as_deref());
            if may_match {
                rules.push(Some(rule));
            }
            if may_match && rule.conditions.matches(connection, now) {
                return rules;
            }
        }
        rules.push(None);
        rules
    }
}

impl Conditions {
    /// Whether the conditions look at the local socket's owner.
    #[must_use]
    pub fn asks_for_owner(&self) -> bool {
        [&self.jobname, &self.userid].into_iter().flatten().any(|pattern| !pattern.is_any())
    }

    /// Whether every condition holds: the literal reading that the compiled classifier is compared with.
    #[must_use]
    pub fn matches(&self, connection: &Connection, now: DateTime<FixedOffset>) -> bool {
        self.matches_but_owner(connection, now)
            && self.holds(Condition::Jobname, connection, now)
            && self.holds(Condition::Userid, connection, now)
    }

    /// Whether every condition but those on the owner holds.
    #[must_use]
    pub fn matches_but_owner(&self, connection: &Connection, now: DateTime<FixedOffset>) -> bool {
        [
            Condition::Direction,
            Condition::LocalAddress,
            Condition::RemoteAddress,
            Condition::LocalPort,
            Condition::RemotePort,
            Condition::Time,
        ]
        .into_iter()
        .all(|condition| self.holds(condition, connection, now))
    }

    /// Whether one condition holds.
    #[must_use]
    pub fn holds(&self, condition: Condition, connection: &Connection, now: DateTime<FixedOffset>) -> bool {
        match condition {
            Condition::Direction => self.direction.is_none_or(|direction| direction == connection.direction),
            Condition::LocalAddress => address_fits(&self.local, connection.local),
            Condition::RemoteAddress => address_fits(&self.remote, connection.remote),
            Condition::LocalPort => port_fits(&self.local_ports, connection.local),
            Condition::RemotePort => port_fits(&self.remote_ports, connection.remote),
            Condition::Jobname => name_fits(self.jobname.as_ref(), connection.jobname.as_deref()),
            Condition::Userid => name_fits(self.userid.as_ref(), connection.userid.as_deref()),
            Condition::Time => self.schedule.as_ref().is_none_or(|schedule| schedule.contains(now)),
        }
    }
}

fn address_fits(ranges: &[AddressRange], end: SocketAddr) -> bool {
    let address = end.ip().to_canonical();
    ranges.is_empty() || ranges.iter().any(|range| range.contains(address))
}

fn port_fits(ranges: &[PortRange], end: SocketAddr) -> bool {
    ranges.is_empty() || ranges.iter().any(|range| range.contains(end.port()))
}

fn name_fits(pattern: Option<&NamePattern>, name: Option<&str>) -> bool {
    pattern.is_none_or(|pattern| pattern.is_any() || name.is_some_and(|name| pattern.matches(name)))
}
