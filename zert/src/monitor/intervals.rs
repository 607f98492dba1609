//! When summaries are written: at the multiples of an interval's length, and when recording ends.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use smf::ConnectionDetail;
use smf::summary::SessionSummary;

use crate::record::RecordContext;
use crate::summary::Summaries;

/// The interval that goes on, and what is counted.
pub(super) struct Intervals {
    length: Duration,
    began: DateTime<Utc>,
    sessions: Summaries,
}

impl Intervals {
    pub(super) fn new(length: Duration, now: DateTime<Utc>) -> Self {
        Self { length, began: now, sessions: Summaries::default() }
    }

    /// Counts a connection's record; says whether there was room for its session.
    pub(super) fn record(&mut self, record: &ConnectionDetail) -> bool {
        self.sessions.record(record)
    }

    /// Whether the interval is over.
    pub(super) fn is_over(&self, now: DateTime<Utc>) -> bool {
        let length = i64::try_from(self.length.as_secs()).unwrap_or(i64::MAX).max(1);
        let interval = |time: DateTime<Utc>| time.timestamp().div_euclid(length);
        // A clock that was set back ends it too.
        interval(now) != interval(self.began)
    }

    /// Ends the interval: its records. `last` when recording ends with it.
    pub(super) fn end(&mut self, context: &RecordContext, now: DateTime<Utc>, last: bool) -> Vec<SessionSummary> {
        let duration = (now - self.began).max(TimeDelta::zero());
        self.began = now;
        self.sessions.interval(context, duration, last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_end_at_their_multiples() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
        let intervals = Intervals::new(Duration::from_secs(1800), at("2026-01-01T10:20:00Z"));
        assert!(!intervals.is_over(at("2026-01-01T10:29:59Z")));
        assert!(intervals.is_over(at("2026-01-01T10:30:00Z")));
        assert!(!intervals.is_over(at("2026-01-01T10:10:00Z")));
        assert!(intervals.is_over(at("2026-01-01T09:59:59Z")));
    }
}
