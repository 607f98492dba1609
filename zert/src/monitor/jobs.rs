//! Job names by the inodes of sockets, for as long as somebody may ask for them.

use std::collections::{HashMap, HashSet};

/// Names after which those that nobody has asked for are looked over.
const MANY: usize = 1024;

/// Who owns a socket.
#[derive(Clone, Debug, Default)]
pub(super) struct Job {
    pub(super) name: String,
    pub(super) pid: i32,
    /// The process and those it descends from, where somebody wants to know.
    pub(super) lineage: Vec<i32>,
}

impl Job {
    /// Whether one descends from the other, or they are the same.
    pub(super) fn is_related_to(&self, other: &Self) -> bool {
        self.pid == other.pid || self.lineage.contains(&other.pid) || other.lineage.contains(&self.pid)
    }
}

/// Jobs that were found, in two ages: those that are new or were asked for lately, and the others.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    young: HashMap<u32, Job>,
    old: HashMap<u32, Job>,
}

impl Jobs {
    pub(super) fn extend(&mut self, found: impl Iterator<Item = (u32, Job)>) {
        self.young.extend(found);
    }

    pub(super) fn get(&self, inode: u32) -> Option<&str> {
        self.owner(inode).map(|job| job.name.as_str())
    }

    pub(super) fn owner(&self, inode: u32) -> Option<&Job> {
        self.young.get(&inode).or_else(|| self.old.get(&inode))
    }

    /// Whether a name is known; it then stays for a while, as a listener's should that serves now and then.
    pub(super) fn keep(&mut self, inode: u32) -> bool {
        if let Some(job) = self.old.remove(&inode) {
            self.young.insert(inode, job);
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
        let job = |name: &str| Job { name: name.to_owned(), ..Job::default() };
        jobs.extend([(1, job("LIVE")), (2, job("LISTENER")), (3, job("GONE"))].into_iter());
        for inode in 10..200_000 {
            jobs.extend([(inode, job("SHORT"))].into_iter());
            assert!(jobs.keep(2));
            jobs.age(|| HashSet::from([1]));
            assert!(jobs.young.len() + jobs.old.len() < 4 * MANY);
        }
        assert_eq!([1, 2, 3].map(|inode| jobs.get(inode)), [Some("LIVE"), Some("LISTENER"), None]);
    }
}
