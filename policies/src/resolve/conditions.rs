//! The conditions of a rule: addresses, ports and times, in place or by reference.

use std::sync::Arc;

use super::{Resolver, has_condition, values};
use crate::address::{AddressRange, PortRange};
use crate::matching::Direction;
use crate::model::{Condition, Conditions};
use crate::schedule::Schedule;
use crate::source::Origin;
use crate::syntax::{Block, Item, Setting};
use crate::value::{Kind, NamePattern, Value};

impl<'a> Resolver<'a> {
    pub(super) fn conditions(&mut self, block: &'a Block) -> Conditions {
        self.unsure = false;
        let first = |name: &str| block.last(name).and_then(|setting| setting.values.first());
        let direction = match first("Direction") {
            Some(Value::Choice("Inbound")) => Some(Direction::Inbound),
            Some(Value::Choice("Outbound")) => Some(Direction::Outbound),
            _ => None,
        };
        let pattern = |name: &str| match first(name) {
            Some(Value::Pattern(pattern)) => Some(pattern.clone()),
            _ => None,
        };
        let (jobname, userid): (Option<NamePattern>, Option<NamePattern>) = (pattern("Jobname"), pattern("Userid"));
        let mut places: Vec<(Condition, Origin)> = Vec::new();
        for (condition, name) in
            [(Condition::Direction, "Direction"), (Condition::Jobname, "Jobname"), (Condition::Userid, "Userid")]
        {
            places.extend(block.last(name).map(|setting| (condition, setting.origin.clone())));
        }
        let (local, place) =
            self.addresses(block, ["LocalAddr", "LocalAddrRef", "LocalAddrSetRef", "LocalAddrGroupRef"]);
        places.extend(place.map(|origin| (Condition::LocalAddress, origin)));
        let (remote, place) =
            self.addresses(block, ["RemoteAddr", "RemoteAddrRef", "RemoteAddrSetRef", "RemoteAddrGroupRef"]);
        places.extend(place.map(|origin| (Condition::RemoteAddress, origin)));
        let (local_ports, place) = self.ports(block, ["LocalPortRange", "LocalPortRangeRef", "LocalPortGroupRef"]);
        places.extend(place.map(|origin| (Condition::LocalPort, origin)));
        let (remote_ports, place) = self.ports(block, ["RemotePortRange", "RemotePortRangeRef", "RemotePortGroupRef"]);
        places.extend(place.map(|origin| (Condition::RemotePort, origin)));
        let (schedule, place) = self.schedule(block);
        places.extend(place.map(|origin| (Condition::Time, origin)));
        let unread = block.settings().any(|setting| setting.values.is_empty());
        let broken = block.broken || unread || !has_condition(block) || std::mem::take(&mut self.unsure);
        Conditions { direction, local, remote, local_ports, remote_ports, jobname, userid, schedule, places, broken }
    }

    /// The addresses of the last form coded; none for "all". Forms before it are replaced, which has a warning of its
    /// own; what they refer to counts as used.
    fn addresses(&mut self, block: &'a Block, names: [&str; 4]) -> (Arc<[AddressRange]>, Option<Origin>) {
        let mut ranges = Arc::clone(&self.all_addresses);
        let mut place = None;
        for setting in block.settings().filter(|setting| names.contains(&setting.parameter.name)) {
            ranges = match setting.parameter.kind {
                Kind::Reference(statement) => self.named_addresses(statement, setting),
                _ => {
                    let ranges: Vec<AddressRange> = setting.values.iter().filter_map(as_address).collect();
                    if ranges.contains(&AddressRange::All) { Arc::clone(&self.all_addresses) } else { ranges.into() }
                }
            };
            place = Some(setting.origin.clone());
        }
        (ranges, place)
    }

    fn named_addresses(&mut self, statement: &'static str, setting: &'a Setting) -> Arc<[AddressRange]> {
        let Some(found) = self.find(statement, setting) else {
            self.unsure = true;
            return Arc::clone(&self.all_addresses);
        };
        let key = (statement, found.name.as_deref().unwrap_or_default());
        if let Some((known, unsure)) = self.addresses.get(&key) {
            self.unsure |= *unsure;
            return Arc::clone(known);
        }
        let before = std::mem::take(&mut self.unsure);
        let ranges: Arc<[AddressRange]> = self.members(found, as_address, "an address").into();
        self.addresses.insert(key, (Arc::clone(&ranges), self.unsure));
        self.unsure |= before;
        ranges
    }

    /// What an object (`IpAddr`, `PortRange`), a set or a group holds: of an object or set the last line counts, of a group
    /// every member. `what` names a member in messages.
    fn members<T>(&mut self, block: &'a Block, read: fn(&Value) -> Option<T>, what: &'static str) -> Vec<T> {
        let mut members = Vec::new();
        for item in &block.items {
            match item {
                Item::Block(inner) => members.extend(self.members(inner, read, what)),
                Item::Setting(setting) => match setting.parameter.kind {
                    Kind::Reference(statement) => {
                        let found = self.find(statement, setting);
                        self.unsure |= found.is_none();
                        members.extend(found.map(|found| self.members(found, read, what)).unwrap_or_default());
                    }
                    _ => members = setting.values.iter().filter_map(read).collect(),
                },
            }
        }
        self.unsure |= block.broken || members.is_empty() || block.settings().any(|setting| setting.values.is_empty());
        if members.is_empty() {
            self.no_member(block, what);
        }
        members
    }

    /// The ports of the last form coded; none for "all". Ranges in place, one after another, make a list.
    fn ports(&mut self, block: &'a Block, names: [&str; 3]) -> (Arc<[PortRange]>, Option<Origin>) {
        let mut ranges = Arc::clone(&self.all_ports);
        let mut place = None;
        let mut listed: Vec<Option<PortRange>> = Vec::new();
        for setting in block.settings().filter(|setting| names.contains(&setting.parameter.name)) {
            ranges = match setting.parameter.kind {
                Kind::Reference(statement) => {
                    listed.clear();
                    self.named_ports(statement, setting)
                }
                _ => {
                    listed.extend(setting.values.iter().filter_map(as_ports));
                    self.list(listed.clone())
                }
            };
            place = Some(setting.origin.clone());
        }
        (ranges, place)
    }

    /// A list of ports; one that holds "all" is all.
    fn list(&self, ranges: Vec<Option<PortRange>>) -> Arc<[PortRange]> {
        match ranges.into_iter().collect::<Option<Vec<_>>>() {
            Some(ranges) => ranges.into(),
            None => Arc::clone(&self.all_ports),
        }
    }

    fn named_ports(&mut self, statement: &'static str, setting: &'a Setting) -> Arc<[PortRange]> {
        let Some(found) = self.find(statement, setting) else {
            self.unsure = true;
            return Arc::clone(&self.all_ports);
        };
        let key = (statement, found.name.as_deref().unwrap_or_default());
        if let Some((known, unsure)) = self.ports.get(&key) {
            self.unsure |= *unsure;
            return Arc::clone(known);
        }
        let before = std::mem::take(&mut self.unsure);
        let members = self.members(found, as_ports, "a port");
        let ranges = self.list(members);
        self.ports.insert(key, (Arc::clone(&ranges), self.unsure));
        self.unsure |= before;
        ranges
    }

    /// An empty set or group. Where the statement has a required parameter its absence is reported already; where
    /// something is coded that cannot be read, that is.
    fn no_member(&mut self, block: &'a Block, what: &'static str) {
        if block.items.is_empty() && !block.statement.rows().any(|row| row.required) {
            self.missing(block, what);
        }
    }

    fn schedule(&mut self, block: &'a Block) -> (Option<Arc<Schedule>>, Option<Origin>) {
        let mut found = None;
        for item in &block.items {
            match item {
                Item::Block(inner) if inner.statement.name == "IpTimeCondition" => {
                    found = Some((inner, inner.origin.clone()));
                }
                Item::Setting(setting) if setting.parameter.name == "IpTimeConditionRef" => {
                    found = self.find("IpTimeCondition", setting).map(|block| (block, setting.origin.clone()));
                    self.unsure |= found.is_none();
                }
                _ => {}
            }
        }
        let Some((condition, place)) = found else { return (None, None) };
        // A name in place belongs to its rule alone.
        let shared = self.is_in_force(condition);
        let name = condition.name.as_deref().unwrap_or_default();
        if let Some(known) = self.schedules.get(name).filter(|_| shared) {
            return (Some(Arc::clone(known)), Some(place));
        }
        let schedule = Arc::new(self.read_schedule(condition));
        if shared {
            self.schedules.insert(name, Arc::clone(&schedule));
        }
        (Some(schedule), Some(place))
    }

    fn read_schedule(&mut self, block: &'a Block) -> Schedule {
        let settings = self.flatten(block, &mut Vec::new(), &mut false);
        let mask = |name: &str| match values(&settings, name).into_iter().next() {
            Some(Value::Mask(mask)) => Some(mask),
            _ => None,
        };
        Schedule {
            dates: match values(&settings, "ConditionTimeRange").into_iter().next() {
                Some(Value::Dates(range)) => Some(range),
                _ => None,
            },
            months: mask("MonthOfYearMask"),
            days: mask("DayOfMonthMask"),
            weekdays: mask("DayOfWeekMask"),
            hours: values(&settings, "TimeOfDayRange")
                .into_iter()
                .filter_map(|value| match value {
                    Value::Clock(range) => Some(range),
                    _ => None,
                })
                .collect(),
            utc: values(&settings, "TimeZone").contains(&Value::Choice("UTC")),
        }
    }
}

fn as_address(value: &Value) -> Option<AddressRange> {
    match value {
        Value::Address(range) => Some(range.clone()),
        _ => None,
    }
}

fn as_ports(value: &Value) -> Option<Option<PortRange>> {
    match value {
        Value::Ports(range) => Some(range.clone()),
        _ => None,
    }
}
