//! The capture table as `nft -f` reads it: all of it, or what has changed.

use std::collections::HashMap;
use std::fmt::Write as _;

/// Elements in one command: nft's parser takes lines of any length, a reader of an error message does not.
const TOGETHER: usize = 1000;

/// A set that rules of the policy look into. Its name goes with its fields.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct RuleSet {
    pub(super) name: String,
    /// What its elements are made of: `ip daddr . tcp dport`.
    pub(super) fields: String,
    /// In ascending order of their text.
    pub(super) elements: Vec<String>,
}

impl RuleSet {
    fn definition(&self) -> String {
        let Self { name, fields, elements } = self;
        format!("\tset {name} {{\n\t\ttypeof {fields}\n\t\telements = {{ {} }}\n\t}}\n", elements.join(", "))
    }
}

/// The table that is made of a policy.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// The processes that have sets in it, this one first.
    pub(super) holders: Vec<u64>,
    pub(super) sets: Vec<RuleSet>,
    /// Its other sets, and its chains with their rules.
    pub(super) body: String,
}

impl Table {
    /// Who loads it.
    pub(crate) fn holder(&self) -> u64 {
        self.holders.first().copied().unwrap_or_default()
    }

    /// The whole table: one transaction that puts it in the place of whatever has its name.
    pub(crate) fn text(&self) -> String {
        let sets: String = self.sets.iter().map(RuleSet::definition).collect();
        format!("table inet pagent\ndelete table inet pagent\ntable inet pagent {{\n{sets}{}}}\n", self.body)
    }

    fn by_name(&self) -> HashMap<&str, &RuleSet> {
        self.sets.iter().map(|set| (set.name.as_str(), set)).collect()
    }

    /// One transaction that makes this table out of `old`, whose elements that stay are not touched: of a hundred thousand,
    /// one may have changed. None where other processes have sets in it.
    pub(crate) fn change_from(&self, old: &Self) -> Option<String> {
        if self.holders != old.holders {
            return None;
        }
        let (before, after) = (old.by_name(), self.by_name());
        let mut new = String::new();
        let mut changes = String::new();
        for set in &self.sets {
            let Some(before) = before.get(set.name.as_str()) else {
                new += &set.definition();
                continue;
            };
            change(&mut changes, "add", &set.name, &missing(&set.elements, &before.elements));
            change(&mut changes, "delete", &set.name, &missing(&before.elements, &set.elements));
        }
        for gone in old.sets.iter().filter(|set| !after.contains_key(set.name.as_str())) {
            let _ = writeln!(changes, "delete set inet pagent {}", gone.name);
        }
        // The flush takes the rules and leaves the sets.
        Some(format!("flush table inet pagent\ntable inet pagent {{\n{new}{}}}\n{changes}", self.body))
    }
}

fn change(text: &mut String, verb: &str, set: &str, elements: &[&str]) {
    for some in elements.chunks(TOGETHER) {
        let _ = writeln!(text, "{verb} element inet pagent {set} {{ {} }}", some.join(", "));
    }
}

/// What the first has and the second has not, both sorted.
fn missing<'a>(these: &'a [String], those: &[String]) -> Vec<&'a str> {
    these.iter().filter(|one| those.binary_search(one).is_err()).map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(sets: &[(&str, &str, &[&str])]) -> Table {
        let sets = sets.iter().map(|(name, fields, elements)| RuleSet {
            name: (*name).to_owned(),
            fields: (*fields).to_owned(),
            elements: elements.iter().map(|element| (*element).to_owned()).collect(),
        });
        Table { holders: vec![1], sets: sets.collect(), body: "BODY\n".to_owned() }
    }

    #[test]
    fn what_stays_is_not_named() {
        let old = table(&[("a", "x . y", &["1 . 1", "1 . 2", "2 . 1"]), ("b", "x", &["7"]), ("c", "x", &["8"])]);
        let new = table(&[("a", "x . y", &["1 . 1", "2 . 1", "3 . 3"]), ("b", "x", &["7"]), ("d", "y", &["9"])]);
        assert_eq!(
            new.change_from(&old).as_deref(),
            Some(
                "flush table inet pagent\ntable inet pagent {\n\tset d {\n\t\ttypeof y\n\t\telements = { 9 }\n\t}\nBODY\n}\n\
                 add element inet pagent a { 3 . 3 }\ndelete element inet pagent a { 1 . 2 }\ndelete set inet pagent c\n"
            )
        );
    }
}
