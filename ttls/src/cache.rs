//! A map of bounded size and age.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// A map of bounded size whose entries expire. The oldest entry makes room.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    capacity: usize,
    timeout: Duration,
    entries: HashMap<K, (Instant, V)>,
    order: VecDeque<K>,
}

impl<K: Clone + Eq + Hash, V> Cache<K, V> {
    pub(crate) fn new(capacity: usize, timeout: Duration) -> Self {
        Self { capacity, timeout, entries: HashMap::new(), order: VecDeque::new() }
    }

    pub(crate) fn get_mut(&mut self, key: &K, now: Instant) -> Option<&mut V> {
        let timeout = self.timeout;
        let expired = self.entries.get(key).is_some_and(|(made, _)| now.duration_since(*made) > timeout);
        if expired {
            self.entries.remove(key);
        }
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    /// The value of a key, made new when it is missing or has expired.
    pub(crate) fn entry(&mut self, key: &K, now: Instant, make: impl FnOnce() -> V) -> Option<&mut V> {
        if self.capacity == 0 {
            return None;
        }
        if self.get_mut(key, now).is_none() {
            while self.entries.len() >= self.capacity {
                let Some(oldest) = self.order.pop_front() else { break };
                self.entries.remove(&oldest);
            }
            self.entries.insert(key.clone(), (now, make()));
            self.order.push_back(key.clone());
            // Keys of expired or taken entries pile up in the order; drop them when they outnumber the entries.
            if self.order.len() > 2 * self.capacity {
                let entries = &self.entries;
                let mut seen = std::collections::HashSet::new();
                self.order.retain(|key| entries.contains_key(key) && seen.insert(key.clone()));
            }
        }
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, key: &K, now: Instant) -> Option<V> {
        let (made, value) = self.entries.remove(key)?;
        (now.duration_since(made) <= self.timeout).then_some(value)
    }

    /// Everything that is kept, expired or not.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.values().map(|(_, value)| value)
    }

    /// The ages of the entries that have not expired.
    pub(crate) fn ages(&self, now: Instant) -> impl Iterator<Item = Duration> {
        self.entries.values().map(move |(made, _)| now.duration_since(*made)).filter(|age| *age <= self.timeout)
    }

    /// Keeps the entries of some keys only.
    pub(crate) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.entries.retain(|key, _| keep(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_session_makes_room_and_old_ones_expire() {
        let mut cache = Cache::new(2, Duration::from_secs(600));
        let now = Instant::now();
        for key in ["a", "b", "c"] {
            cache.entry(&key, now, || key);
        }
        assert!(cache.get_mut(&"a", now).is_none());
        assert!(cache.get_mut(&"c", now + Duration::from_secs(600)).is_some());
        assert!(cache.get_mut(&"c", now + Duration::from_secs(601)).is_none());
        assert!(cache.remove(&"b", now + Duration::from_secs(601)).is_none());
    }
}
