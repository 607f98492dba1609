//! Facts to sums, and sums to the store, in a task of its own: a slow or full disk holds up no connection and loses none while
//! there is memory for their sums.

use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{error, info};
use zert::Facts;

use crate::store::{QUARTER, Store, Sums};
use crate::usage::{Counts, Session};

/// Sums that wait for the store; connections of further sessions are counted as lost.
const MOST: usize = 100_000;
/// How often sums are written.
const FLUSH: Duration = Duration::from_secs(5);
/// How often what is too old is looked for.
const FORGET: Duration = Duration::from_secs(3600);
/// How often a failure is told.
const TELL: Duration = Duration::from_secs(60);

/// Collects what is told of connections. Clones share it.
#[derive(Clone, Debug)]
pub struct Collector {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The host's name.
    host: String,
    sums: Mutex<Sums>,
    /// Connections that found no room.
    lost: AtomicU64,
    /// Of them and of what the observer lost, told to the store.
    told: AtomicU64,
    /// A task writes.
    writes: AtomicBool,
    stop: Notify,
    stopped: Notify,
}

impl Collector {
    /// Collects a host's connections.
    #[must_use]
    pub fn new(host: &str) -> Self {
        Self { shared: Arc::new(Shared { host: host.to_owned(), ..Shared::default() }) }
    }

    /// Counts what is told of a connection.
    pub fn record(&self, facts: &Facts) {
        let counts = Counts::of(facts);
        if counts == Counts::default() {
            return;
        }
        let begun = Utc::now().timestamp().div_euclid(QUARTER) * QUARTER;
        let mut sums = self.shared.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let full = sums.len() >= MOST;
        match sums.entry((begun, Session::of(facts, &self.shared.host))) {
            Entry::Occupied(mut sum) => sum.get_mut().add(&counts),
            Entry::Vacant(place) if !full => {
                place.insert(counts);
            }
            Entry::Vacant(_) => {
                self.shared.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Connections that found no room, because the store took none for too long.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Writes to a store until [`Collector::finish`]. `observer_lost` tells what the observer has lost so far; what is older
    /// than `days` is forgotten.
    pub fn write_to(&self, store: Store, days: u16, observer_lost: impl Fn() -> u64 + Send + 'static) {
        let collector = self.clone();
        self.shared.writes.store(true, Ordering::Relaxed);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(FLUSH);
            let (mut forgotten, mut told): (Option<Instant>, Option<Instant>) = (None, None);
            loop {
                let last = tokio::select! {
                    _ = ticks.tick() => false,
                    () = collector.shared.stop.notified() => true,
                };
                let lost = observer_lost() + collector.lost();
                if let Err(problem) = collector.flush(&store, lost).await {
                    if last || told.is_none_or(|told| told.elapsed() > TELL) {
                        let waiting = collector.shared.sums.lock().unwrap_or_else(PoisonError::into_inner).len();
                        error!(%problem, waiting, "the zERT history takes nothing; sums wait in memory");
                        told = Some(Instant::now());
                    }
                } else if told.take().is_some() {
                    info!("the zERT history takes sums again");
                }
                if !last && forgotten.is_none_or(|time| time.elapsed() > FORGET) {
                    let before = Utc::now().timestamp() - i64::from(days) * 86_400;
                    match store.forget(before, &collector.shared.host).await {
                        Ok(0) => {}
                        Ok(sums) => info!(sums, days, "zERT history that is too old is gone"),
                        Err(problem) => error!(%problem, "zERT history that is too old stays"),
                    }
                    forgotten = Some(Instant::now());
                }
                if last {
                    store.close().await;
                    collector.shared.stopped.notify_one();
                    return;
                }
            }
        });
    }

    async fn flush(&self, store: &Store, lost: u64) -> Result<(), crate::HistoryError> {
        let sums = std::mem::take(&mut *self.shared.sums.lock().unwrap_or_else(PoisonError::into_inner));
        let new = lost.saturating_sub(self.shared.told.load(Ordering::Relaxed));
        if sums.is_empty() && new == 0 {
            return Ok(());
        }
        let quarter = Utc::now().timestamp().div_euclid(QUARTER) * QUARTER;
        let done = store.add(&sums, &self.shared.host, (new > 0).then_some((quarter, new))).await;
        match done {
            Ok(()) => {
                self.shared.told.fetch_add(new, Ordering::Relaxed);
            }
            Err(_) => {
                // Nothing of it was written; it waits with what has come meanwhile.
                let mut waiting = self.shared.sums.lock().unwrap_or_else(PoisonError::into_inner);
                for (key, counts) in sums {
                    if waiting.len() < MOST || waiting.contains_key(&key) {
                        waiting.entry(key).or_default().add(&counts);
                    } else {
                        self.shared.lost.fetch_add(counts.connections, Ordering::Relaxed);
                    }
                }
            }
        }
        done
    }

    /// Writes what is left and ends the writing.
    pub async fn finish(&self) {
        if !self.shared.writes.load(Ordering::Relaxed) {
            return;
        }
        self.shared.stop.notify_one();
        // The store may hang; whoever stops does not.
        let _ = tokio::time::timeout(Duration::from_secs(10), self.shared.stopped.notified()).await;
    }
}
