//! Owners of sockets, found by a task of their own: jobs by inodes for as long as somebody may ask for them, users by uids.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stack::owner::{self, Owner};
use tokio::sync::mpsc;

/// Names after which those that nobody has asked for are looked over.
const MANY: usize = 1024;

/// How long a user's name is good; until another is found it stays.
const GOOD: Duration = Duration::from_secs(60);

/// Whom somebody asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(super) enum Ask {
    /// The job of a socket's inode.
    Job(u32),
    /// The name of a uid.
    User(u32),
}

/// What was found, nothing of what is not there.
#[derive(Debug, Default)]
pub(super) struct Found {
    jobs: Vec<(u32, Job)>,
    users: Vec<(u32, Option<String>)>,
}

/// Finds owners in batches: one walk through /proc for all sockets that came up during the last one. Whom processes descend from is
/// looked for while `lineage` is set.
pub(super) fn start(lineage: Arc<AtomicBool>) -> (mpsc::UnboundedSender<Ask>, mpsc::UnboundedReceiver<Found>) {
    let (ask, mut asked) = mpsc::unbounded_channel();
    let (answer, answers) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut asks = Vec::new();
        while asked.recv_many(&mut asks, 10_000).await > 0 {
            let batch: HashSet<Ask> = std::mem::take(&mut asks).into_iter().collect();
            let lineage = lineage.load(Ordering::Relaxed);
            let found = tokio::task::spawn_blocking(move || find(&batch, lineage)).await;
            if answer.send(found.unwrap_or_default()).is_err() {
                break;
            }
        }
    });
    (ask, answers)
}

fn find(asks: &HashSet<Ask>, lineage: bool) -> Found {
    let inodes: Vec<u32> =
        asks.iter().filter_map(|ask| if let Ask::Job(inode) = ask { Some(*inode) } else { None }).collect();
    let uids = asks.iter().filter_map(|ask| if let Ask::User(uid) = ask { Some(*uid) } else { None });
    let mut owners = if inodes.is_empty() { HashMap::new() } else { owner::of_inodes(&inodes) };
    let job = |owner: Owner| {
        let lineage = if lineage { owner.lineage() } else { Vec::new() };
        Job { name: owner.jobname, pid: owner.pid, lineage }
    };
    Found {
        // One that was not found has no name.
        jobs: inodes.iter().map(|inode| (*inode, owners.remove(inode).map(job).unwrap_or_default())).collect(),
        users: uids.map(|uid| (uid, owner::userid(uid))).collect(),
    }
}

/// Who owns a socket.
#[derive(Clone, Debug, Default)]
pub(super) struct Job {
    pub(super) name: String,
    pub(super) pid: i32,
    /// The process and those it descends from, where somebody wants to know.
    pub(super) lineage: Vec<i32>,
}

impl Job {
    /// Whether a process was found.
    pub(super) fn is_known(&self) -> bool {
        self.pid != 0
    }

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
    users: HashMap<u32, (Option<String>, Instant)>,
}

impl Jobs {
    pub(super) fn extend(&mut self, found: Found) {
        self.young.extend(found.jobs);
        let now = Instant::now();
        self.users.extend(found.users.into_iter().map(|(uid, name)| (uid, (name, now))));
    }

    /// Whether a uid's name is known and good; another is to be asked for otherwise.
    pub(super) fn keep_user(&self, uid: u32) -> bool {
        self.users.get(&uid).is_some_and(|(_, found)| found.elapsed() < GOOD)
    }

    /// A uid's name, as far as it was looked for: the inner option is none for a uid without one.
    pub(super) fn user(&self, uid: u32) -> Option<Option<&str>> {
        self.users.get(&uid).map(|(name, _)| name.as_deref())
    }

    pub(super) fn get(&self, inode: u32) -> Option<&str> {
        self.owner(inode).map(|job| job.name.as_str()).filter(|name| !name.is_empty())
    }

    /// The job that was found, or that none was.
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

/// Asks for the owner of a socket, as far as he is not known.
pub(super) fn ask_for(jobs: &mut Jobs, resolver: &mpsc::UnboundedSender<Ask>, inode: u32, uid: Option<u32>) {
    // The task ends only with the process.
    if inode != 0 && !jobs.keep(inode) {
        let _ = resolver.send(Ask::Job(inode));
    }
    if let Some(uid) = uid.filter(|uid| !jobs.keep_user(*uid)) {
        let _ = resolver.send(Ask::User(uid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_live_connections_and_of_busy_listeners_stay_and_the_rest_goes() {
        let mut jobs = Jobs::default();
        let job = |name: &str| Job { name: name.to_owned(), ..Job::default() };
        let found = |jobs: Vec<(u32, Job)>| Found { jobs, users: Vec::new() };
        jobs.extend(found(vec![(1, job("LIVE")), (2, job("LISTENER")), (3, job("GONE"))]));
        for inode in 10..200_000 {
            jobs.extend(found(vec![(inode, job("SHORT"))]));
            assert!(jobs.keep(2));
            jobs.age(|| HashSet::from([1]));
            assert!(jobs.young.len() + jobs.old.len() < 4 * MANY);
        }
        assert_eq!([1, 2, 3].map(|inode| jobs.get(inode)), [Some("LIVE"), Some("LISTENER"), None]);
    }
}
