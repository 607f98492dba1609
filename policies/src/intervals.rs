//! Sets of numbers as sorted, disjoint, closed intervals: what every condition of a rule becomes when rules are compiled
//! or compared.
//!
//! Addresses of both families share one line of 128-bit numbers: IPv4 lies where IPv4-mapped IPv6 lies, and no IPv6
//! range reaches into that. Names of at most eight characters are sixteen bytes, zeros behind; 0 is an unknown name.

use std::net::IpAddr;
use std::sync::Arc;

use crate::address::{AddressRange, PortRange};
use crate::matching::Connection;
use crate::value::NamePattern;

/// Where IPv4 lies on the line of addresses.
const MAPPED: u128 = 0xFFFF_0000_0000;

/// A set; cloning is cheap.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct Intervals(Arc<[(u128, u128)]>);

impl Intervals {
    /// A set from intervals in any order, which may overlap.
    #[must_use]
    pub fn new(mut intervals: Vec<(u128, u128)>) -> Self {
        intervals.sort_unstable();
        let mut joined: Vec<(u128, u128)> = Vec::with_capacity(intervals.len());
        for (from, to) in intervals {
            match joined.last_mut() {
                Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
                _ => joined.push((from, to)),
            }
        }
        Self(joined.into())
    }

    /// The set of one interval.
    #[must_use]
    pub fn one(from: u128, to: u128) -> Self {
        Self(Arc::new([(from, to)]))
    }

    /// Its intervals, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[(u128, u128)] {
        &self.0
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a number is in it.
    #[must_use]
    pub fn contains(&self, number: u128) -> bool {
        contains(&self.0, number)
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut both = Vec::new();
        while let (Some(&&x), Some(&&y)) = (a.peek(), b.peek()) {
            let (from, to) = (x.0.max(y.0), x.1.min(y.1));
            if from <= to {
                both.push((from, to));
            }
            if x.1 <= y.1 {
                a.next();
            } else {
                b.next();
            }
        }
        Self(both.into())
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        let mut others = other.0.iter().peekable();
        for &(from, to) in self.0.iter() {
            let mut start = Some(from);
            while let Some(&&(low, high)) = others.peek() {
                let Some(at) = start.filter(|_| low <= to) else { break };
                if high < at {
                    others.next();
                    continue;
                }
                if low > at {
                    left.push((at, low - 1));
                }
                start = high.checked_add(1).filter(|next| *next <= to);
                if high <= to {
                    others.next();
                }
            }
            left.extend(start.map(|at| (at, to)));
        }
        Self(left.into())
    }

    /// Whether the two have something in common.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let (few, many) = if self.0.len() <= other.0.len() { (self, other) } else { (other, self) };
        few.0.iter().any(|&(from, to)| {
            let first = many.0.partition_point(|&(_, high)| high < from);
            many.0.get(first).is_some_and(|&(low, _)| low <= to)
        })
    }

    /// Whether everything in this one is in the other.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.iter().all(|&(from, to)| {
            let first = other.0.partition_point(|&(_, high)| high < from);
            other.0.get(first).is_some_and(|&(low, high)| low <= from && to <= high)
        })
    }

    /// How many numbers are in it, roughly.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "an estimate is asked for")]
    pub fn size(&self) -> f64 {
        self.0.iter().map(|(from, to)| (to - from) as f64 + 1.0).sum()
    }
}

/// Whether a number is in one of some sorted, disjoint intervals.
pub(crate) fn contains(intervals: &[(u128, u128)], number: u128) -> bool {
    match intervals {
        [(from, to)] => (*from..=*to).contains(&number),
        _ => {
            let first = intervals.partition_point(|&(_, high)| high < number);
            intervals.get(first).is_some_and(|&(low, _)| low <= number)
        }
    }
}

/// An address on the line.
fn of_address(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => MAPPED | u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// An address from the line.
pub(crate) fn to_address(number: u128) -> IpAddr {
    IpAddr::V6(std::net::Ipv6Addr::from_bits(number)).to_canonical()
}

/// The first and last IPv4 address on the line.
pub(crate) const V4: (u128, u128) = (MAPPED, MAPPED | 0xFFFF_FFFF);

/// A name, or 0 when it is not known.
fn of_name(name: Option<&str>) -> u128 {
    let mut bytes = [0_u8; 16];
    for (byte, character) in bytes.iter_mut().zip(name.unwrap_or_default().bytes()) {
        *byte = character.to_ascii_uppercase();
    }
    u128::from_be_bytes(bytes)
}

/// A connection as numbers: its ends' addresses, its ends' ports, its job and its user.
pub(crate) fn of_connection(connection: &Connection) -> [u128; 6] {
    [
        of_address(connection.local.ip()),
        of_address(connection.remote.ip()),
        connection.local.port().into(),
        connection.remote.port().into(),
        of_name(connection.jobname.as_deref()),
        of_name(connection.userid.as_deref()),
    ]
}

/// The addresses of a condition; none for all.
pub(crate) fn of_addresses(ranges: &[AddressRange]) -> Option<Intervals> {
    if ranges.is_empty() || ranges.contains(&AddressRange::All) {
        return None;
    }
    let mut intervals = Vec::with_capacity(ranges.len());
    for range in ranges {
        let (from, to) = match range {
            AddressRange::All => continue,
            AddressRange::Prefix(net) => (net.network(), net.broadcast()),
            AddressRange::Range(from, to) => (*from, *to),
        };
        let ends = (of_address(from), of_address(to));
        if from.is_ipv4() || ends.1 < V4.0 || ends.0 > V4.1 {
            intervals.push(ends);
        } else {
            // An IPv6 range around the place of IPv4 leaves that out.
            intervals.extend([(ends.0, V4.0 - 1), (V4.1 + 1, ends.1)].into_iter().filter(|(from, to)| from <= to));
        }
    }
    Some(Intervals::new(intervals))
}

/// The ports of a condition; none for all.
pub(crate) fn of_ports(ranges: &[PortRange]) -> Option<Intervals> {
    let ends = |range: &PortRange| (u128::from(*range.0.start()), u128::from(*range.0.end()));
    (!ranges.is_empty()).then(|| Intervals::new(ranges.iter().map(ends).collect()))
}

/// The names of a pattern; none for every name, known or not.
pub(crate) fn of_pattern(pattern: Option<&NamePattern>) -> Option<Intervals> {
    let pattern = pattern.filter(|pattern| !pattern.is_any())?;
    let stem = pattern.stem();
    let from = of_name(Some(stem));
    let free = 8 * (16 - stem.len().min(16));
    let tail = if free >= 128 { u128::MAX } else { (1 << free) - 1 };
    Some(Intervals::one(from, if pattern.exact().is_some() { from } else { from | tail }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sets() -> impl Strategy<Value = Intervals> {
        let ends = prop_oneof![0_u128..40, Just(u128::MAX - 1), Just(u128::MAX)];
        proptest::collection::vec((ends.clone(), ends), 0..6)
            .prop_map(|pairs| Intervals::new(pairs.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect()))
    }

    fn members(set: &Intervals) -> Vec<u128> {
        (0..45).chain([u128::MAX / 2, u128::MAX - 1, u128::MAX]).filter(|number| set.contains(*number)).collect()
    }

    proptest! {
        #[test]
        fn set_operations_are_those_of_their_members(a in sets(), b in sets()) {
            let (in_a, in_b) = (members(&a), members(&b));
            let both: Vec<u128> = in_a.iter().copied().filter(|number| in_b.contains(number)).collect();
            let left: Vec<u128> = in_a.iter().copied().filter(|number| !in_b.contains(number)).collect();
            prop_assert_eq!(members(&a.intersection(&b)), both);
            prop_assert_eq!(members(&a.difference(&b)), left);
            prop_assert_eq!(a.meets(&b), !a.intersection(&b).is_empty());
            prop_assert_eq!(a.is_within(&b), a.difference(&b).is_empty());
            prop_assert_eq!(Intervals::new(a.difference(&b).as_slice().to_vec()), a.difference(&b));
        }
    }

    #[test]
    fn an_ipv6_prefix_never_holds_an_ipv4_address() {
        let all6 = of_addresses(&[AddressRange::parse("::/0").expect("a prefix")]).expect("a set");
        assert!(!all6.contains(of_address("10.1.1.1".parse().expect("an address"))));
        assert!(all6.contains(of_address("2001:db8::1".parse().expect("an address"))));
        assert!(all6.contains(of_address("::1".parse().expect("an address"))));
    }
}
