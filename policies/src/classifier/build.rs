//! Making the tree.

use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::HashMap;

use super::{Classifier, Cuts, DIMENSIONS, Guide, NONE, Node, OWNER, Rule, Split};
use crate::intervals::{Intervals, V4, of_addresses, of_pattern, of_ports};
use crate::matching::Direction;
use crate::model::Conditions;

/// So many rules are compared one by one rather than split again.
const FEW: usize = 4;
/// A node's children together hold at most this many times its rules.
const SPREAD: usize = 4;
/// Splits below one another, and rests beside one another; what is left then is compared one by one.
const DEEPEST: u32 = 48;

pub(super) fn build<'a>(conditions: impl Iterator<Item = &'a Conditions>) -> Classifier {
    let mut known = Known::default();
    let mut rules = Vec::new();
    let mut sets = Vec::new();
    let mut directions: [Vec<u32>; 2] = [Vec::new(), Vec::new()];
    for (rank, conditions) in (0..NONE).zip(conditions) {
        for (list, direction) in directions.iter_mut().zip([Direction::Inbound, Direction::Outbound]) {
            if conditions.direction.is_none_or(|own| own == direction) {
                list.push(rank);
            }
        }
        let (own, ids) = known.rule(conditions);
        rules.push(Rule { sets: own, schedule: conditions.schedule.clone() });
        sets.push(ids);
    }
    let mut builder = Builder { rules: &sets, sets: &known.sets, nodes: Vec::new() };
    let owner = sets.iter().any(|ids| ids.iter().skip(OWNER).any(Option::is_some));
    let roots = directions.clone().map(|ranks| builder.tree(ranks, (1 << DIMENSIONS) - 1, 0));
    // Without rules that ask for the owner it is the same tree.
    let roots_but_owner = if owner { directions.map(|ranks| builder.tree(ranks, (1 << OWNER) - 1, 0)) } else { roots };
    let nodes = std::mem::take(&mut builder.nodes);
    Classifier { rules: rules.into(), nodes: nodes.into(), roots, roots_but_owner, owner }
}

/// The sets of a rule's dimensions by number; none for all.
type SetIds = [Option<u32>; DIMENSIONS];

/// Equal sets are one: rules that share them stand together in the tree, and in memory.
#[derive(Default)]
struct Known {
    ids: HashMap<Intervals, u32>,
    sets: Vec<Intervals>,
    /// Sets by the identity of the lists they were made from, so that a large group is read once.
    lists: HashMap<usize, Option<u32>>,
}

impl Known {
    fn rule(&mut self, conditions: &Conditions) -> ([Option<Intervals>; DIMENSIONS], SetIds) {
        let Conditions { local, remote, local_ports, remote_ports, jobname, userid, .. } = conditions;
        let ids = [
            self.list(Arc::as_ptr(local).addr(), || of_addresses(local)),
            self.list(Arc::as_ptr(remote).addr(), || of_addresses(remote)),
            self.list(Arc::as_ptr(local_ports).addr(), || of_ports(local_ports)),
            self.list(Arc::as_ptr(remote_ports).addr(), || of_ports(remote_ports)),
            of_pattern(jobname.as_ref()).map(|set| self.id(set)),
            of_pattern(userid.as_ref()).map(|set| self.id(set)),
        ];
        let sets = ids.map(|id| self.sets.get(id? as usize).cloned());
        (sets, ids)
    }

    /// The set of a list that lives as long as the policy is compiled: its address is its identity.
    fn list(&mut self, address: usize, make: impl FnOnce() -> Option<Intervals>) -> Option<u32> {
        if let Some(known) = self.lists.get(&address) {
            return *known;
        }
        let id = make().map(|set| self.id(set));
        self.lists.insert(address, id);
        id
    }

    fn id(&mut self, set: Intervals) -> u32 {
        let next = u32::try_from(self.sets.len()).unwrap_or(NONE);
        let id = *self.ids.entry(set.clone()).or_insert(next);
        if id == next {
            self.sets.push(set);
        }
        id
    }
}

struct Builder<'a> {
    rules: &'a [SetIds],
    sets: &'a [Intervals],
    nodes: Vec<Node>,
}

/// The rules of a node that have the same set in its dimension.
struct Group {
    set: u32,
    ranks: Vec<u32>,
}

impl Builder<'_> {
    /// The tree of some rules, in rank order; `open` are the dimensions they are not yet known to fit in.
    fn tree(&mut self, ranks: Vec<u32>, open: u8, depth: u32) -> u32 {
        if ranks.is_empty() {
            return NONE;
        }
        let split = if ranks.len() > FEW && depth < DEEPEST { self.best_dimension(&ranks, open) } else { None };
        match split {
            Some(dimension) => self.split(&ranks, dimension, open, depth),
            None => self.add(Node::Leaf { ranks: ranks.into(), open }),
        }
    }

    fn add(&mut self, node: Node) -> u32 {
        self.nodes.push(node);
        u32::try_from(self.nodes.len() - 1).unwrap_or(NONE)
    }

    fn set_of(&self, rank: u32, dimension: usize) -> Option<u32> {
        self.rules.get(rank as usize).and_then(|sets| sets.get(dimension).copied().flatten())
    }

    /// The dimension that leaves the fewest rules together; none when no dimension tells them apart.
    fn best_dimension(&self, ranks: &[u32], open: u8) -> Option<usize> {
        let mut best = None;
        for dimension in (0..DIMENSIONS).filter(|dimension| open & (1 << dimension) != 0) {
            let mut seen: HashMap<u32, usize> = HashMap::default();
            let mut free = 0;
            for &rank in ranks {
                match self.set_of(rank, dimension) {
                    Some(set) => *seen.entry(set).or_default() += 1,
                    None => free += 1,
                }
            }
            let largest = seen.values().copied().max().unwrap_or(0);
            // One set for all of them splits nothing off but connections that fit none.
            if seen.is_empty() || (seen.len() == 1 && free == 0) {
                continue;
            }
            let cost = free + largest + ranks.len() / (seen.len() + 1);
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, dimension));
            }
        }
        best.map(|(_, dimension)| dimension)
    }

    fn split(&mut self, ranks: &[u32], dimension: usize, open: u8, depth: u32) -> u32 {
        let mut groups: HashMap<u32, Vec<u32>> = HashMap::default();
        let mut rest = Vec::new();
        for &rank in ranks {
            match self.set_of(rank, dimension) {
                Some(set) => groups.entry(set).or_default().push(rank),
                None => rest.push(rank),
            }
        }
        let mut groups: Vec<Group> = groups.into_iter().map(|(set, ranks)| Group { set, ranks }).collect();
        groups.sort_unstable_by_key(|group| group.set);
        let wide = self.take_wide(&mut groups);
        let (mut starts, mut classes) = self.classes(&groups);
        // Few sets in many combinations can still repeat their rules too often: the largest go beside.
        let mut beside = wide;
        loop {
            let weight: usize =
                classes.iter().map(|class| class.iter().map(|&at| weight_of(&groups, at)).sum::<usize>()).sum();
            if weight <= SPREAD * ranks.len() || groups.len() <= 1 {
                break;
            }
            let mut spread: HashMap<usize, usize> = HashMap::default();
            for &at in classes.iter().flatten() {
                *spread.entry(at).or_default() += 1;
            }
            let mut order: Vec<usize> = (0..groups.len()).collect();
            order.sort_by_key(|at| spread.get(at).copied().unwrap_or(0) * weight_of(&groups, *at));
            let kept: BTreeSet<usize> = order.into_iter().take(groups.len().div_ceil(2)).collect();
            let mut narrow = Vec::new();
            for (at, group) in groups.into_iter().enumerate() {
                if kept.contains(&at) { narrow.push(group) } else { beside.push(group) }
            }
            groups = narrow;
            (starts, classes) = self.classes(&groups);
        }
        rest.extend(beside.into_iter().flat_map(|group| group.ranks));
        rest.sort_unstable();
        let inner = open & !(1 << dimension);
        let children: Vec<u32> = {
            let mut made: HashMap<Vec<usize>, u32> = HashMap::default();
            let mut children = Vec::with_capacity(classes.len());
            for class in classes {
                let child = match made.get(&class) {
                    Some(child) => *child,
                    None => {
                        let mut ranks: Vec<u32> = class
                            .iter()
                            .filter_map(|&at| groups.get(at))
                            .flat_map(|group| group.ranks.clone())
                            .collect();
                        ranks.sort_unstable();
                        let child = self.tree(ranks, inner, depth + 1);
                        made.insert(class, child);
                        child
                    }
                };
                children.push(child);
            }
            children
        };
        let first = ranks.first().copied().unwrap_or(NONE);
        // The rest is a tree of the same dimensions: it is smaller, and as deep as the nodes before it.
        let rest = self.tree(rest, open, depth + 1);
        let (cuts, children) = cuts(dimension, &starts, children);
        let dimension = u8::try_from(dimension).unwrap_or(0);
        self.add(Node::Split(Split { dimension, first, rest, cuts, children }))
    }

    /// Takes out the sets that cover so many of the others' ends that each would stand in many children.
    fn take_wide(&self, groups: &mut Vec<Group>) -> Vec<Group> {
        let mut ends: Vec<u128> = Vec::new();
        for group in groups.iter() {
            for &(from, to) in self.intervals(group.set) {
                ends.push(from);
                ends.extend(to.checked_add(1));
            }
        }
        ends.sort_unstable();
        ends.dedup();
        let covered = |group: &Group| -> usize {
            let pieces = |&(from, to): &(u128, u128)| {
                ends.partition_point(|&end| end <= to) - ends.partition_point(|&end| end < from)
            };
            self.intervals(group.set).iter().map(pieces).sum()
        };
        let mut sized: Vec<(usize, Group)> = groups.drain(..).map(|group| (covered(&group), group)).collect();
        sized.sort_by_key(|(size, group)| (*size, group.set));
        let budget = SPREAD * sized.iter().map(|(_, group)| self.intervals(group.set).len()).sum::<usize>();
        let mut used = 0;
        let mut wide = Vec::new();
        for (size, group) in sized {
            used += size;
            // The first stays whatever it takes, so that the rest is always smaller.
            if used > budget && !groups.is_empty() {
                wide.push(group);
            } else {
                groups.push(group);
            }
        }
        wide
    }

    fn intervals(&self, set: u32) -> &[(u128, u128)] {
        self.sets.get(set as usize).map(Intervals::as_slice).unwrap_or_default()
    }

    /// Where the line is cut, and which groups fit between the cuts (the first class ends at the first cut).
    fn classes(&self, groups: &[Group]) -> (Vec<u128>, Vec<Vec<usize>>) {
        let mut events: Vec<(u128, bool, usize)> = Vec::new();
        for (at, group) in groups.iter().enumerate() {
            for &(from, to) in self.intervals(group.set) {
                events.push((from, true, at));
                if let Some(end) = to.checked_add(1) {
                    events.push((end, false, at));
                }
            }
        }
        events.sort_unstable();
        let mut active: BTreeSet<usize> = BTreeSet::new();
        let (mut starts, mut classes) = (Vec::new(), vec![Vec::new()]);
        let mut events = events.into_iter().peekable();
        while let Some((start, begins, at)) = events.next() {
            if begins {
                active.insert(at)
            } else {
                active.remove(&at)
            };
            if events.peek().is_some_and(|(next, ..)| *next == start) {
                continue;
            }
            let class: Vec<usize> = active.iter().copied().collect();
            if start == 0 {
                classes = vec![class];
            } else if classes.last() != Some(&class) {
                starts.push(start);
                classes.push(class);
            }
        }
        (starts, classes)
    }
}

fn weight_of(groups: &[Group], at: usize) -> usize {
    groups.get(at).map_or(0, |group| group.ranks.len())
}

/// The cuts in as few bytes as they fit in.
fn cuts(dimension: usize, starts: &[u128], children: Vec<u32>) -> (Cuts, Box<[u32]>) {
    if matches!(dimension, 2 | 3) {
        // A cut behind the last port is behind every connection's.
        let narrow: Box<[u16]> = starts.iter().map_while(|&start| u16::try_from(start).ok()).collect();
        return (Cuts::Narrow(narrow), children.into());
    }
    let of_v4 = |start: &u128| (V4.0..=V4.1 + 1).contains(start);
    if dimension < 2 && !starts.is_empty() && starts.iter().all(of_v4) {
        let (below, above) = (children.first().copied().unwrap_or(NONE), children.last().copied().unwrap_or(NONE));
        // A cut behind the last IPv4 address is behind every one of them.
        let cuts: Box<[u32]> = starts.iter().map_while(|&start| u32::try_from(start - V4.0).ok()).collect();
        let guide = Guide::new(&cuts);
        return (Cuts::V4 { cuts, guide, below, above }, children.into());
    }
    (Cuts::Wide(starts.into()), children.into())
}
