//! How many connections and handshakes a rule's actions take on: beyond that, connections are reset.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::environment::Environment;
use crate::error::ConnectionError;

/// The counters of an environment.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    connections: AtomicU32,
    /// When the next handshake would be due, were they evenly spread.
    due: Mutex<Option<Instant>>,
}

/// A connection's place among those that are taken on.
#[derive(Debug)]
pub(crate) struct Place(Arc<Environment>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.limits.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Takes a connection on, unless there are as many as may be, or handshakes come faster than may be.
pub(crate) fn admit(environment: &Arc<Environment>) -> Result<Place, ConnectionError> {
    let parameters = &environment.key.parameters;
    let limits = &environment.limits;
    let before = limits.connections.fetch_add(1, Ordering::Relaxed);
    let place = Place(Arc::clone(environment));
    if parameters.max_connections > 0 && before >= parameters.max_connections {
        return Err(ConnectionError::TooMany(parameters.max_connections));
    }
    if parameters.max_handshakes > 0 && !limits.is_due(parameters.max_handshakes, Instant::now()) {
        return Err(ConnectionError::TooFast(parameters.max_handshakes));
    }
    Ok(place)
}

impl Limits {
    /// Whether one more is within so many a second; a second's worth may come at once.
    fn is_due(&self, a_second: u32, now: Instant) -> bool {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let one = Duration::from_secs(1) / a_second;
        let next = due.unwrap_or(now).max(now) + one;
        let within = next <= now + Duration::from_secs(1);
        if within {
            *due = Some(next);
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_s_worth_may_come_at_once_and_then_the_rate_holds() {
        let (limits, begin) = (Limits::default(), Instant::now());
        let passed = |at: u64, tries: usize| {
            let now = begin + Duration::from_millis(at);
            (0..tries).filter(|_| limits.is_due(10, now)).count()
        };
        assert_eq!(passed(0, 50), 10);
        assert_eq!(passed(500, 50), 5);
        assert_eq!(passed(5000, 50), 10);
    }
}
