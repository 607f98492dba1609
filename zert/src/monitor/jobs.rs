//! Job names by the inodes of sockets, for as long as somebody may ask for them.

use std::collections::{HashMap, HashSet};

/// Names after which those that nobody has asked for are looked over.
const MANY: usize = 1024;

/// Names that were found, in two ages: those that are new or were asked for lately, and the others.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    young: HashMap<u32, String>,
    old: HashMap<u32, String>,
}

impl Jobs {
    pub(super) fn extend(&mut self, found: impl Iterator<Item = (u32, String)>) {
        self.young.extend(found);
    }

    pub(super) fn get(&self, inode: u32) -> Option<&str> {
        self.young.get(&inode).or_else(|| self.old.get(&inode)).map(String::as_str)
    }

    /// Whether a name is known; it then stays for a while, as a listener's should that serves now and then.
    pub(super) fn keep(&mut self, inode: u32) -> bool {
        if let Some(name) = self.old.remove(&inode) {
            self.young.insert(inode, name);
        }
        self.young.contains_key(&inode)
    }

    /// Forgets names that no connection has and nobody asked for in a while, when there are many.
    pub(super) fn age(&mut self, live: impl FnOnce() -> HashSet<u32>) {
        if self.young.len() < MANY + self.old.len() / 2 {
            return;
        }
        let live = live();
        let mut before = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
        before.retain(|inode, _| live.contains(inode));
        self.old.extend(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_live_connections_and_of_busy_listeners_stay_and_the_rest_goes() {
        let mut jobs = Jobs::default();
        jobs.extend([(1, "LIVE".to_owned()), (2, "LISTENER".to_owned()), (3, "GONE".to_owned())].into_iter());
        for inode in 10..200_000 {
            jobs.extend([(inode, "SHORT".to_owned())].into_iter());
            assert!(jobs.keep(2));
            jobs.age(|| HashSet::from([1]));
            assert!(jobs.young.len() + jobs.old.len() < 4 * MANY);
        }
        assert_eq!([1, 2, 3].map(|inode| jobs.get(inode)), [Some("LIVE"), Some("LISTENER"), None]);
    }
}
