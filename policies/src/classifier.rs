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

use crate::intervals::{Intervals, V4, contains, of_address, of_name};
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
        below: u32,
        above: u32,
    },
    Wide(Box<[u128]>),
}

/// A connection as a point.
struct Point {
    at: [u128; DIMENSIONS],
    /// Names count; otherwise rules are taken as if every name fitted.
    owner: bool,
    now: DateTime<FixedOffset>,
}

impl Classifier {
    /// Compiles conditions; they are in search order.
    pub(crate) fn new<'a>(conditions: impl Iterator<Item = &'a Conditions>) -> Self {
        build::build(conditions)
    }

    /// The rank of the first match.
    pub(crate) fn first(&self, connection: &Connection, now: DateTime<FixedOffset>) -> Option<usize> {
        self.search(connection, now, true)
    }

    /// The rank of the first rule whose conditions hold, those on the owner left out.
    pub(crate) fn first_but_owner(&self, connection: &Connection, now: DateTime<FixedOffset>) -> Option<usize> {
        self.search(connection, now, false)
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
                                Cuts::V4 { cuts, .. } => size_of_val(&**cuts),
                                Cuts::Wide(cuts) => size_of_val(&**cuts),
                            }
                    }
                }
        };
        self.rules.iter().map(rule).sum::<usize>() + self.nodes.iter().map(node).sum::<usize>()
    }

    fn search(&self, connection: &Connection, now: DateTime<FixedOffset>, owner: bool) -> Option<usize> {
        let point = Point {
            at: [
                of_address(connection.local.ip()),
                of_address(connection.remote.ip()),
                connection.local.port().into(),
                connection.remote.port().into(),
                of_name(connection.jobname.as_deref()),
                of_name(connection.userid.as_deref()),
            ],
            owner,
            now,
        };
        let [inbound, outbound] = self.roots;
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
                        if self.rules.get(rank as usize).is_some_and(|rule| rule.fits(*open, point)) {
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
                    if dimension < OWNER || point.owner {
                        let at = point.at.get(dimension).copied().unwrap_or(0);
                        let child = split.child(at);
                        if child != NONE {
                            self.descend(child, point, best);
                        }
                    } else {
                        let mut last = NONE;
                        for &child in &split.children {
                            if child != NONE && child != last {
                                self.descend(child, point, best);
                            }
                            last = child;
                        }
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
            Cuts::V4 { cuts, .. } => cuts.partition_point(|&cut| cut <= at as u32),
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
