//! What the kernel matches: rules that lead to the same verdict and stand side by side, in as few matches as they need.
//!
//! Between such rules the order does not count. Those that name single addresses and ports become one set, looked up by
//! hash; those that differ in one dimension only become one match whose ranges are joined.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use policies::Direction;
use policies::address::{AddressRange, PortRange};
use policies::model::Conditions;

use super::table::RuleSet;

/// Disjoint, sorted, not touching.
type Intervals = Vec<(u128, u128)>;

/// Local address, remote address, local port, remote port.
const DIMENSIONS: usize = 4;

/// The most combinations of single values that one rule puts into a set.
const COMBINATIONS: usize = 64;

#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
enum Family {
    V4,
    V6,
}

/// One match, of the rules with these names.
#[derive(Clone, Debug)]
pub(super) struct Match {
    /// None where no address is coded: both.
    family: Option<Family>,
    /// None where nothing is coded.
    dimensions: [Option<Intervals>; DIMENSIONS],
    user: String,
    names: Vec<String>,
}

impl Match {
    /// The matches of a rule's conditions: one for each family that they can meet, one for both when no address is coded.
    pub(super) fn of(conditions: &Conditions, user: &str, name: &str) -> Vec<Self> {
        let ports = [ports(&conditions.local_ports), ports(&conditions.remote_ports)];
        let of = |family: Option<Family>| -> Option<Self> {
            let [local_ports, remote_ports] = ports.clone();
            let (local, remote) = match family {
                None => (None, None),
                Some(family) => (addresses(&conditions.local, family)?, addresses(&conditions.remote, family)?),
            };
            let dimensions = [local, remote, local_ports, remote_ports];
            Some(Self { family, dimensions, user: user.to_owned(), names: vec![name.to_owned()] })
        };
        if conditions.local.is_empty() && conditions.remote.is_empty() {
            of(None).into_iter().collect()
        } else {
            [Family::V4, Family::V6].into_iter().filter_map(|family| of(Some(family))).collect()
        }
    }

    /// The combinations of its values, where they are single ones and few; none where one dimension is all there is.
    fn points(&self) -> Option<Vec<Vec<u128>>> {
        let coded: Vec<&Intervals> = self.dimensions.iter().flatten().collect();
        let single = coded.iter().all(|intervals| intervals.iter().all(|(from, to)| from == to));
        let combinations: usize = coded.iter().map(|intervals| intervals.len()).product();
        if coded.len() < 2 || !single || combinations > COMBINATIONS {
            return None;
        }
        let mut points = vec![Vec::new()];
        for intervals in coded {
            let with = |point: &Vec<u128>| {
                let values = intervals.iter().map(|(value, _)| *value);
                values.map(|value| point.iter().copied().chain([value]).collect()).collect::<Vec<_>>()
            };
            points = points.iter().flat_map(with).collect();
        }
        Some(points)
    }

    fn shape(&self) -> Shape {
        let coded = [0, 1, 2, 3].map(|at| self.dimensions.get(at).is_some_and(Option::is_some));
        Shape { family: self.family, coded, user: self.user.clone() }
    }

    fn line(&self, direction: Direction, verdict: &str) -> String {
        let mut text = "\t\t".to_owned();
        for (at, intervals) in self.dimensions.iter().enumerate() {
            let Some(intervals) = intervals else { continue };
            let elements: Vec<String> = intervals.iter().map(|interval| range(at, self.family, *interval)).collect();
            let _ = write!(text, "{} {{ {} }} ", field(at, self.family, direction), elements.join(", "));
        }
        let _ = writeln!(text, "{}{verdict} comment \"{}\"", self.user, comment(&self.names));
        text
    }
}

/// What the elements of one set have in common.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
struct Shape {
    family: Option<Family>,
    coded: [bool; DIMENSIONS],
    user: String,
}

impl Shape {
    fn line(
        &self,
        direction: Direction,
        verdict: &str,
        points: &BTreeSet<Vec<u128>>,
        names: &[String],
        sets: &mut Sets,
    ) -> String {
        let coded: Vec<usize> = (0..DIMENSIONS).filter(|at| self.coded.get(*at) == Some(&true)).collect();
        let fields: Vec<String> = coded.iter().map(|at| field(*at, self.family, direction)).collect();
        let fields = fields.join(" . ");
        let element = |point: &Vec<u128>| {
            let values = coded.iter().zip(point).map(|(at, value)| range(*at, self.family, (*value, *value)));
            values.collect::<Vec<_>>().join(" . ")
        };
        let mut elements: Vec<String> = points.iter().map(element).collect();
        elements.sort_unstable();
        let set = sets.name(fields.clone(), elements);
        format!("\t\t{fields} @{set} {}{verdict} comment \"{}\"\n", self.user, comment(names))
    }
}

/// The sets that matches look into; those with the same elements are one.
#[derive(Debug, Default)]
pub(super) struct Sets {
    all: Vec<RuleSet>,
    names: HashMap<(String, Vec<String>), String>,
    /// How many have the same fields.
    alike: HashMap<String, usize>,
}

impl Sets {
    /// The name says what the elements are made of: a set of the next policy that has the same name has the same kind.
    fn name(&mut self, fields: String, elements: Vec<String>) -> String {
        match self.names.entry((fields, elements)) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(new) => {
                let (fields, elements) = new.key().clone();
                let alike = self.alike.entry(fields.clone()).or_default();
                let name = format!("rules{alike}_{}", fields.replace(" . ", "_").replace(' ', "_"));
                *alike += 1;
                self.all.push(RuleSet { name: name.clone(), fields, elements });
                new.insert(name).clone()
            }
        }
    }

    pub(super) fn into_all(self) -> Vec<RuleSet> {
        self.all
    }
}

/// The lines of rules that stand side by side and lead to the same verdict.
pub(super) fn lines(matches: &[Match], direction: Direction, verdict: &str, sets: &mut Sets) -> String {
    let mut shapes: Vec<(Shape, BTreeSet<Vec<u128>>, Vec<Match>)> = Vec::new();
    let mut known: HashMap<Shape, usize> = HashMap::new();
    let mut others = Vec::new();
    for one in matches {
        let Some(points) = one.points() else {
            others.push(one.clone());
            continue;
        };
        let shape = one.shape();
        let at = *known.entry(shape.clone()).or_insert(shapes.len());
        match shapes.get_mut(at) {
            Some((_, all, rules)) => {
                all.extend(points);
                rules.push(one.clone());
            }
            None => shapes.push((shape, points.into_iter().collect(), vec![one.clone()])),
        }
    }
    let mut text = String::new();
    for (shape, points, rules) in shapes {
        match rules.as_slice() {
            [one] => text += &one.line(direction, verdict),
            rules => {
                let names: Vec<String> = rules.iter().flat_map(|one| one.names.iter().cloned()).collect();
                text += &shape.line(direction, verdict, &points, &names, sets);
            }
        }
    }
    for dimension in 0..DIMENSIONS {
        others = joined(others, dimension);
    }
    others.iter().fold(text, |text, one| text + &one.line(direction, verdict))
}

/// Joins matches that are the same but for one dimension.
fn joined(matches: Vec<Match>, dimension: usize) -> Vec<Match> {
    type Rest = (Option<Family>, [Option<Intervals>; DIMENSIONS], String);
    let mut known: HashMap<Rest, usize> = HashMap::new();
    let mut all: Vec<Match> = Vec::new();
    for mut one in matches {
        let mut rest = one.dimensions.clone();
        let Some(own) = rest.get_mut(dimension).and_then(Option::take) else {
            all.push(one);
            continue;
        };
        let at = *known.entry((one.family, rest, one.user.clone())).or_insert(all.len());
        match all.get_mut(at) {
            Some(first) => {
                if let Some(Some(intervals)) = first.dimensions.get_mut(dimension) {
                    intervals.extend(own);
                }
                first.names.append(&mut one.names);
            }
            None => all.push(one),
        }
    }
    for one in &mut all {
        if let Some(Some(intervals)) = one.dimensions.get_mut(dimension) {
            *intervals = disjoint(std::mem::take(intervals));
        }
    }
    all
}

fn field(dimension: usize, family: Option<Family>, direction: Direction) -> String {
    let end = match (direction, dimension) {
        (Direction::Outbound, 0 | 2) | (Direction::Inbound, 1 | 3) => "s",
        _ => "d",
    };
    match (dimension, family) {
        (0 | 1, Some(Family::V6)) => format!("ip6 {end}addr"),
        (0 | 1, _) => format!("ip {end}addr"),
        _ => format!("tcp {end}port"),
    }
}

fn range(dimension: usize, family: Option<Family>, (from, to): (u128, u128)) -> String {
    let whole = match (dimension, family) {
        (0 | 1, Some(Family::V6)) => u128::MAX,
        (0 | 1, _) => u32::MAX.into(),
        _ => u16::MAX.into(),
    };
    let text = |number: u128| match (dimension, family) {
        (0 | 1, Some(Family::V6)) => Ipv6Addr::from_bits(number).to_string(),
        (0 | 1, _) => u32::try_from(number).map(|bits| Ipv4Addr::from_bits(bits).to_string()).unwrap_or_default(),
        _ => number.to_string(),
    };
    match (dimension, family) {
        (0 | 1, Some(Family::V6)) if (from, to) == (0, whole) => "::/0".to_owned(),
        (0 | 1, _) if (from, to) == (0, whole) => "0.0.0.0/0".to_owned(),
        _ if from == to => text(from),
        _ => format!("{}-{}", text(from), text(to)),
    }
}

/// The coded addresses of a family: `Some(None)` when no address is coded, `None` when none is of this family.
#[allow(clippy::option_option, reason = "three cases, each said above")]
fn addresses(ranges: &[AddressRange], family: Family) -> Option<Option<Intervals>> {
    if ranges.is_empty() {
        return Some(None);
    }
    let number = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let of_family = |address: IpAddr| address.is_ipv4() == (family == Family::V4);
    let interval = |range: &AddressRange| match range {
        AddressRange::All if family == Family::V4 => Some((0, u32::MAX.into())),
        AddressRange::All => Some((0, u128::MAX)),
        AddressRange::Prefix(net) => of_family(net.addr()).then(|| (number(net.network()), number(net.broadcast()))),
        AddressRange::Range(from, to) => of_family(*from).then(|| (number(*from), number(*to))),
    };
    let intervals = disjoint(ranges.iter().filter_map(interval).collect());
    (!intervals.is_empty()).then_some(Some(intervals))
}

fn ports(ranges: &[PortRange]) -> Option<Intervals> {
    let intervals = ranges.iter().map(|range| (u128::from(*range.0.start()), u128::from(*range.0.end())));
    (!ranges.is_empty()).then(|| disjoint(intervals.collect()))
}

/// Sorts intervals and joins those that overlap or touch: nft refuses overlapping elements in one set.
fn disjoint(mut intervals: Intervals) -> Intervals {
    intervals.sort_unstable();
    let mut joined: Intervals = Vec::new();
    for (from, to) in intervals {
        match joined.last_mut() {
            Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// Rules' names as an nft comment, which has up to 128 characters.
fn comment(names: &[String]) -> String {
    const LONGEST: usize = 100;
    let mut text = String::new();
    for (at, name) in names.iter().enumerate() {
        if text.len() + name.len() > LONGEST {
            let _ = write!(text, " and {} more", names.len() - at);
            break;
        }
        text += if at == 0 { "" } else { " " };
        text.extend(name.chars().map(|c| if c.is_ascii_graphic() && c != '"' && c != '\\' { c } else { '?' }));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_ranges_are_joined() {
        assert_eq!(disjoint(vec![(5, 9), (1, 4), (20, 30), (25, 26)]), [(1, 9), (20, 30)]);
    }

    #[test]
    fn a_comment_is_no_longer_than_nft_takes() {
        let names: Vec<String> = (0..50).map(|number| format!("RULE_NUMBER_{number}")).collect();
        let text = comment(&names);
        assert!(text.len() <= 128 && text.ends_with("more"), "{text}");
    }
}
