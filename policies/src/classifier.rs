//! Compiled conditions: which rule matches first, at a cost that does not grow with their number.
//!
//! A tree. A node takes one dimension of the connection (an address, a port, the owner's names) and cuts its line at the
//! ends of the rules' intervals; between two cuts the same rules fit, and equal lists of rules are one child. Rules that
//! leave the dimension open, or cover so much of it that they would stand in many children, go into a second tree
//! beside, the node's rest. Every tree knows the first rank in it, so that what cannot win any more is not searched.
//!
//! The compiled form is immutable; a policy and its classifiers are swapped as one.

mod build;

use chrono::{DateTime, FixedOffset};
use std::sync::Arc;

use crate::intervals::{Intervals, V4, contains, of_connection};
use crate::matching::{Connection, Direction};
use crate::model::Conditions;
use crate::schedule::Schedule;

/// Dimensions that intervals describe: local and remote address, local and remote port, job, user.
pub(crate) const DIMENSIONS: usize = 6;
/// The first dimension that is the owner's.
const OWNER: usize = 4;
/// No node, no rule.
const NONE: u32 = u32::MAX;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Classifier {
    rules: Box<[Rule]>,
    nodes: Box<[Node]>,
    /// The trees of inbound and outbound connections.
    roots: [u32; 2],
    /// The same, not cut by the owner's names: what would match but for them.
    roots_but_owner: [u32; 2],
    /// Whether some rule asks for a job or user.
    owner: bool,
}

/// A rule's conditions, in rank order.
#[derive(Debug)]
struct Rule {
    sets: [Option<Intervals>; DIMENSIONS],
    schedule: Option<Arc<Schedule>>,
}

#[derive(Debug)]
enum Node {
    /// Rules in rank order, and the dimensions in which they are still to be compared.
    Leaf {
        ranks: Box<[u32]>,
        open: u8,
    },
    Split(Split),
}

#[derive(Debug)]
struct Split {
    dimension: u8,
    /// The first rank in this tree.
    first: u32,
    /// The tree beside.
    rest: u32,
    cuts: Cuts,
    /// The child left of each cut, and behind the last.
    children: Box<[u32]>,
}

/// Where intervals begin, without the line's own beginning.
#[derive(Debug)]
enum Cuts {
    /// Ports.
    Narrow(Box<[u16]>),
    /// IPv4 addresses; `below` and `above` are the children of everything else.
    V4 {
        cuts: Box<[u32]>,
        guide: Guide,
        below: u32,
        above: u32,
    },
    Wide(Box<[u128]>),
}

/// A first guess where in many cuts an address lies: the line between the first and the last cut in equal parts, about
/// as many as there are cuts, and for each part the first cut in it or behind. What is left to search is a few cuts.
#[derive(Debug)]
struct Guide {
    base: u32,
    shift: u32,
    firsts: Box<[u32]>,
}

impl Guide {
    /// A guide to sorted cuts; few of them need none.
    fn new(cuts: &[u32]) -> Self {
        const FEW: usize = 64;
        let (Some(&base), Some(&last)) = (cuts.first(), cuts.last()) else {
            return Self { base: 0, shift: 0, firsts: Box::default() };
        };
        if cuts.len() < FEW {
            return Self { base, shift: 0, firsts: Box::default() };
        }
        let span = u64::from(last - base) + 1;
        let width = span.div_ceil(cuts.len() as u64).max(1);
        let shift = u64::BITS - (width - 1).leading_zeros();
        let firsts = (0..=(span - 1) >> shift).map(|part| {
            let start = u64::from(base) + (part << shift);
            u32::try_from(cuts.partition_point(|&cut| u64::from(cut) < start)).unwrap_or(NONE)
        });
        Self { base, shift, firsts: firsts.collect() }
    }

    /// How many of the cuts are not above `at`.
    fn not_above(&self, cuts: &[u32], at: u32) -> usize {
        let Some(offset) = at.checked_sub(self.base) else { return 0 };
        // Few cuts have no parts; behind the last part all cuts are below.
        let part = offset.checked_shr(self.shift).unwrap_or(0) as usize;
        let (from, to) = match self.firsts.get(part) {
            Some(&first) => (first as usize, self.firsts.get(part + 1).map_or(cuts.len(), |&next| next as usize)),
            None if self.firsts.is_empty() => (0, cuts.len()),
            None => return cuts.len(),
        };
        from + cuts.get(from..to).unwrap_or_default().partition_point(|&cut| cut <= at)
    }
}

/// A connection as a point.
struct Point {
    at: [u128; DIMENSIONS],
    /// Names count; otherwise rules are taken as if every name fitted.
    owner: bool,
    now: DateTime<FixedOffset>,
    /// Lower ranks do not count.
    from: u32,
}

impl Classifier {
    /// Compiles conditions; they are in search order.
    pub(crate) fn new<'a>(conditions: impl Iterator<Item = &'a Conditions>) -> Self {
        build::build(conditions)
    }

    /// The rank of the first match.
    pub(crate) fn first(&self, connection: &Connection, now: DateTime<FixedOffset>) -> Option<usize> {
        self.search(connection, now, true, 0)
    }

    /// The rank of the first match that is not before this one.
    pub(crate) fn first_from(&self, from: usize, connection: &Connection, now: DateTime<FixedOffset>) -> Option<usize> {
        self.search(connection, now, true, u32::try_from(from).ok()?)
    }

    /// The rank of the first rule whose conditions hold, those on the owner left out.
    pub(crate) fn first_but_owner(&self, connection: &Connection, now: DateTime<FixedOffset>) -> Option<usize> {
        self.search(connection, now, false, 0)
    }

    /// Whether some rule asks for a job or user.
    pub(crate) fn asks_for_owner(&self) -> bool {
        self.owner
    }

    /// Bytes the compiled form takes, the rules' own texts left out.
    pub(crate) fn size(&self) -> usize {
        let rule = |rule: &Rule| {
            rule.sets.iter().flatten().map(|set| size_of_val(set.as_slice()) + 16).sum::<usize>() + size_of::<Rule>()
        };
        let node = |node: &Node| {
            size_of::<Node>()
                + match node {
                    Node::Leaf { ranks, .. } => size_of_val(&**ranks),
                    Node::Split(split) => {
                        size_of_val(&*split.children)
                            + match &split.cuts {
                                Cuts::Narrow(cuts) => size_of_val(&**cuts),
                                Cuts::V4 { cuts, guide, .. } => size_of_val(&**cuts) + size_of_val(&*guide.firsts),
                                Cuts::Wide(cuts) => size_of_val(&**cuts),
                            }
                    }
                }
        };
        self.rules.iter().map(rule).sum::<usize>() + self.nodes.iter().map(node).sum::<usize>()
    }

    fn search(&self, connection: &Connection, now: DateTime<FixedOffset>, owner: bool, from: u32) -> Option<usize> {
        let point = Point { at: of_connection(connection), owner, now, from };
        let [inbound, outbound] = if owner { self.roots } else { self.roots_but_owner };
        let root = match connection.direction {
            Direction::Inbound => inbound,
            Direction::Outbound => outbound,
        };
        let mut best = NONE;
        self.descend(root, &point, &mut best);
        (best != NONE).then_some(best as usize)
    }

    fn descend(&self, mut node: u32, point: &Point, best: &mut u32) {
        while let Some(found) = self.nodes.get(node as usize) {
            match found {
                Node::Leaf { ranks, open } => {
                    for &rank in ranks {
                        if rank >= *best {
                            return;
                        }
                        if rank >= point.from
                            && self.rules.get(rank as usize).is_some_and(|rule| rule.fits(*open, point))
                        {
                            *best = rank;
                            return;
                        }
                    }
                    return;
                }
                Node::Split(split) => {
                    if split.first >= *best {
                        return;
                    }
                    let dimension = usize::from(split.dimension);
                    let child = split.child(point.at.get(dimension).copied().unwrap_or(0));
                    if child != NONE {
                        self.descend(child, point, best);
                    }
                    node = split.rest;
                }
            }
        }
    }
}

impl Split {
    fn child(&self, at: u128) -> u32 {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the place of IPv4 and the size of ports are checked before"
        )]
        let index = match &self.cuts {
            Cuts::Narrow(cuts) => cuts.partition_point(|&cut| cut <= at as u16),
            Cuts::V4 { below, above, .. } if at < V4.0 || at > V4.1 => {
                return if at < V4.0 { *below } else { *above };
            }
            Cuts::V4 { cuts, guide, .. } => guide.not_above(cuts, at as u32),
            Cuts::Wide(cuts) => cuts.partition_point(|&cut| cut <= at),
        };
        self.children.get(index).copied().unwrap_or(NONE)
    }
}

impl Rule {
    fn fits(&self, open: u8, point: &Point) -> bool {
        for (dimension, (set, at)) in self.sets.iter().zip(point.at).enumerate() {
            let Some(set) = set else { continue };
            if open & (1 << dimension) == 0 || (dimension >= OWNER && !point.owner) {
                continue;
            }
            if !contains(set.as_slice(), at) {
                return false;
            }
        }
        self.schedule.as_ref().is_none_or(|schedule| schedule.contains(point.now))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Guide;

    proptest! {
        #[test]
        fn a_guide_finds_what_a_search_finds(
            cuts in prop_oneof![
                prop::collection::btree_set(any::<u32>(), 0..300),
                prop::collection::btree_set(1000_u32..1400, 0..300),
            ],
            extremes in any::<bool>(),
            asked in prop::collection::vec(any::<u32>(), 20),
        ) {
            let mut cuts = cuts;
            if extremes {
                cuts.extend([0, u32::MAX]);
            }
            let cuts: Vec<u32> = cuts.into_iter().collect();
            let guide = Guide::new(&cuts);
            let near = cuts.iter().flat_map(|cut| [cut.saturating_sub(1), *cut, cut.saturating_add(1)]);
            for at in asked.into_iter().chain(near).chain([0, u32::MAX]) {
                prop_assert_eq!(guide.not_above(&cuts, at), cuts.partition_point(|&cut| cut <= at));
            }
        }
    }
}
