//! The rules once more, word by word and slow: what decisions are compared with.

use std::cmp::Ordering;

use super::{Request, Started};
use crate::access::{Access, Userid};
use crate::class::{self, Raclist as Listing};
use crate::raclist::Profile;
use crate::snapshot::{Switches, User};

/// A database in the plainest form.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) switches: Switches,
    pub(super) grplist: bool,
    pub(super) profiles: Vec<Profile>,
    /// Global access table entries of the class.
    pub(super) global: Vec<(String, Access)>,
    pub(super) users: Vec<(Userid, User)>,
}

/// SAF's and RACF's return codes and the reason.
pub(super) fn codes(world: &World, request: &Request<'_>) -> (u8, u8, u8) {
    let Some(class) = class::find(request.class) else { return (4, 0, 0) };
    // 4. General-resource class inactive: not protected.
    if !world.switches.active {
        return (4, 4, 0);
    }
    // 5. RACLIST required and not RACLISTed: not protected. FASTAUTH wants its profiles in storage.
    if !world.switches.raclist && (class.raclist == Listing::Required || request.fast) {
        return (4, 4, 0);
    }
    // 6. Trusted or privileged: granted.
    if request.started != Started::Ordinary {
        return (0, 0, 0);
    }
    let user = world.users.iter().find(|(id, _)| *id == request.userid).map(|(_, user)| user);
    // 8. Contained.
    if user.is_some_and(|user| user.attributes.contained) {
        return (8, 8, 0xCC);
    }
    let restricted = user.is_some_and(|user| user.attributes.restricted);
    // 10. The global access table.
    if world.switches.global && !restricted && !request.fast {
        let mut entries: Vec<&(String, Access)> =
            world.global.iter().filter(|(name, _)| covers(name, true, request.resource)).collect();
        entries.sort_by(|a, b| more_specific((&a.0, a.0.contains(['*', '%'])), (&b.0, b.0.contains(['*', '%']))));
        if entries.first().is_some_and(|(_, level)| *level >= request.intent) {
            return (0, 0, 0);
        }
    }
    // 11. The profile.
    let mut covering: Vec<&Profile> = world
        .profiles
        .iter()
        .filter(|profile| !profile.name.is_generic() || world.switches.generic)
        .filter(|profile| covers(profile.name.as_str(), profile.name.is_generic(), request.resource))
        .collect();
    covering
        .sort_by(|a, b| more_specific((a.name.as_str(), a.name.is_generic()), (b.name.as_str(), b.name.is_generic())));
    let Some(profile) = covering.first() else {
        return if class.default_rc == 8 { (8, 8, 0) } else { (4, 4, 0) };
    };
    let listed = |id: &str| profile.access.iter().find(|entry| entry.id.as_str() == id).map(|entry| entry.access);
    let refused = if profile.warning { (0, 0, 0) } else { (8, 8, 0) };
    let answer = |level: Access| if level >= request.intent { (0, 0, 0) } else { refused };
    if let Some(user) = user {
        // 12. JESSPOOL: the owner of the output.
        if class.name == "JESSPOOL" && request.resource.split('.').nth(1) == Some(request.userid.as_str()) {
            return (0, 0, 0);
        }
        // 15. The user's entry.
        if let Some(level) = listed(request.userid.as_str()) {
            return answer(level);
        }
        // 16. The groups' entries: the current group's, or the highest of all.
        let groups = user.connects.iter().filter(|connect| !connect.revocation.now);
        let groups = groups.filter(|connect| world.grplist || connect.group == user.default_group);
        if let Some(level) = groups.filter_map(|connect| listed(connect.group.as_str())).max() {
            return answer(level);
        }
        // 17. ID(*).
        if let Some(level) = listed("*").filter(|_| !restricted) {
            return answer(level);
        }
    }
    // 18. UACC, then OPERATIONS.
    if !restricted && profile.uacc >= request.intent {
        return (0, 0, 0);
    }
    if class.operations && user.is_some_and(|user| user.attributes.operations) {
        return (0, 0, 0);
    }
    refused
}

/// Qualifier by qualifier.
fn covers(name: &str, generic: bool, resource: &str) -> bool {
    if !generic {
        return name == resource;
    }
    let (pattern, resource): (Vec<&str>, Vec<&str>) = (name.split('.').collect(), resource.split('.').collect());
    qualifiers(&pattern, &resource)
}

fn qualifiers(pattern: &[&str], resource: &[&str]) -> bool {
    match (pattern, resource) {
        ([], []) => true,
        (["**", rest @ ..], _) => (0..=resource.len()).any(|skipped| qualifiers(rest, &resource[skipped..])),
        (["*"], [_, ..]) => true,
        ([last], [first, ..]) if last.ends_with('*') => {
            let stem = last.trim_end_matches('*');
            stem.len() <= first.len() && characters(stem, &first[..stem.len()])
        }
        ([head, more @ ..], [first, others @ ..]) => {
            let same = match head.strip_suffix('*') {
                Some(stem) => stem.len() <= first.len() && characters(stem, &first[..stem.len()]),
                None => characters(head, first),
            };
            same && qualifiers(more, others)
        }
        _ => false,
    }
}

fn characters(pattern: &str, text: &str) -> bool {
    pattern.len() == text.len() && pattern.chars().zip(text.chars()).all(|(p, c)| p == '%' || p == c)
}

/// Discrete first; else literal before `%` before `*` before `**` at the leftmost difference. Two characters can differ
/// there only behind a `*` or `**`; no rule is known for them, the first in the order of characters is taken.
fn more_specific(a: (&str, bool), b: (&str, bool)) -> Ordering {
    let symbols = |name: &str| name.replace("**", "\u{4}").replace('*', "\u{3}").replace('%', "\u{2}");
    let literal_first = |c: char| if c > '\u{4}' { ('\u{1}', c) } else { (c, c) };
    let (left, right) = (symbols(a.0), symbols(b.0));
    let difference = left.chars().zip(right.chars()).find(|(x, y)| x != y);
    let by_symbol = difference.map_or(Ordering::Equal, |(x, y)| literal_first(x).cmp(&literal_first(y)));
    a.1.cmp(&b.1).then(by_symbol).then(left.len().cmp(&right.len()))
}
