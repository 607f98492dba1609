//! The records of connections, as their events come.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::Utc;
use smf::attls::Event as PolicyEvent;
use smf::detail::Event as RecordEvent;
use smf::summary::Event as SummaryEvent;
use stack::socket::{self, Socket};
use stack::{Counters, Transport, owner};

use super::end::{self, End, Via};
use super::jobs::ask_for;
use super::{MonitorSettings, Shared, Watch};
use crate::observer::{Protection, Side};
use crate::record::{AtTls, Facts, RecordType, Source};
use crate::summary::switched;

/// A connection that lives this long gets an initiation record (zERT's timer).
const INITIATION: Duration = Duration::from_secs(10);
/// How long the record of a connection's beginning waits for the name of its job.
const ANNOUNCEMENT: Duration = Duration::from_secs(1);

/// What a connection has carried, and how.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Carried {
    pub(super) counters: Counters,
    pub(super) transport: Transport,
}

impl From<Counters> for Carried {
    fn from(counters: Counters) -> Self {
        Self { counters, ..Self::default() }
    }
}

impl From<Socket> for Carried {
    fn from(socket: Socket) -> Self {
        Self { counters: socket.counters, transport: socket.transport }
    }
}

/// What its socket has carried so far.
pub(super) fn so_far(end: &End) -> Carried {
    end::now(end).map(Carried::from).unwrap_or_default()
}

/// Whether an end is to have its initiation record.
pub(super) fn is_due(end: &End) -> bool {
    end.told.is_none() && end.opened.elapsed() >= INITIATION
}

impl Watch {
    pub(super) fn switch(&mut self, on: bool) {
        if !on {
            self.end_interval(true);
        }
        self.recording = on;
        let Shared { settings: MonitorSettings { context, sink, .. }, .. } = self.shared.as_ref();
        if self.writes(RecordType::ZertDetail) {
            sink(context.switched(if on { RecordEvent::Enabled } else { RecordEvent::Disabled }).encode());
        }
        if self.intervals.is_some() {
            sink(switched(context, if on { SummaryEvent::Enabled } else { SummaryEvent::Disabled }).encode());
        }
    }

    pub(super) fn writes(&self, kind: RecordType) -> bool {
        self.shared.settings.types.contains(&kind)
    }

    /// Writes the summaries of the interval.
    pub(super) fn end_interval(&mut self, last: bool) {
        let Shared { settings: MonitorSettings { context, sink, .. }, .. } = self.shared.as_ref();
        if let Some(intervals) = &mut self.intervals {
            intervals.end(context, Utc::now(), last).iter().for_each(|record| sink(record.encode()));
        }
    }

    /// Writes the initiation record of an end that is due.
    pub(super) fn initiate(&mut self, end: &mut End, protection: &Protection, source: Source) {
        if !is_due(end) {
            return;
        }
        self.write(end, RecordEvent::Initiation, protection, source, so_far(end));
        end.told = Some(protection.clone());
    }

    /// Writes the record of a connection's beginning: when its job is known, or will not be.
    pub(super) fn announce(&mut self, end: &mut End, protection: &Protection) {
        if end.announced || (self.jobs.get(end.inode).is_none() && end.opened.elapsed() < ANNOUNCEMENT) {
            return;
        }
        end.announced = true;
        if self.recording {
            let facts = self.facts(end, RecordEvent::Initiation, protection, Source::Observed, Carried::default());
            self.write_initiation(&facts);
        }
    }

    /// The job of an end. A short connection may end before the walk through /proc did; then its listener's counts, where that is
    /// known, and is asked for where it is not.
    fn jobname(&mut self, end: &End) -> String {
        if let Some(name) = self.jobs.get(end.inode) {
            return name.to_owned();
        }
        let listener = match end.side {
            Side::Server => socket::listener(end.endpoints.local).ok().flatten(),
            Side::Client => None,
        };
        let Some(listener) = listener else { return String::new() };
        ask_for(&mut self.jobs, &self.resolver, listener.inode, None);
        self.jobs.get(listener.inode).unwrap_or_default().to_owned()
    }

    /// The user of an end. The first time it is looked for here, where nobody has found it yet.
    pub(super) fn userid(&self, end: &End) -> String {
        let Some(uid) = end.uid else { return String::new() };
        if let Some(found) = self.jobs.user(uid) {
            return found.unwrap_or_default().to_owned();
        }
        owner::userid(uid).unwrap_or_default()
    }

    fn facts(
        &mut self,
        end: &End,
        event: RecordEvent,
        protection: &Protection,
        source: Source,
        carried: Carried,
    ) -> Facts {
        let data_of = self.control_of(end);
        let mut jobname = self.jobname(end);
        if let (true, Some(data_of)) = (jobname.is_empty(), data_of) {
            // It was over before its process was found: it is the control connection's.
            jobname = self.job_of_control(end, data_of).unwrap_or_default();
        }
        Facts {
            event,
            local: end.endpoints.local,
            remote: end.endpoints.remote,
            side: end.side,
            jobname,
            userid: self.userid(end),
            started: end.started,
            ended: Some(Utc::now()),
            id: end.id,
            counters: carried.counters,
            protection: protection.clone(),
            source,
            ipsec: self.associations.of(end.endpoints),
            enforcement: end.enforcement.clone(),
            transport: carried.transport,
            older: end.older,
            data_of,
        }
    }

    /// Writes the records of an end's last event.
    pub(super) fn write_end(&mut self, end: End, protection: &Protection, source: Source, carried: Carried) {
        let event = if end.told.is_some() { RecordEvent::Termination } else { RecordEvent::ShortTermination };
        if self.recording {
            let facts = self.facts(&end, event, protection, source, carried);
            if !end.announced {
                self.write_initiation(&facts);
            }
            self.write_facts(&facts);
            if self.writes(RecordType::TcpTerm) {
                let attls = match &end.attls {
                    Some(attls) => attls.clone(),
                    None => AtTls { policy: self.policy_status(&end), ..AtTls::default() },
                };
                let settings = &self.shared.settings;
                (settings.sink)(settings.context.termination(&facts, &attls).encode());
            }
        }
        self.ftp_data_ended(&end, protection, carried);
        if end.attls.is_none() {
            self.ftp_control_ended(Via::Wire(end.key()), end.endpoints);
        }
    }

    /// Writes what AT-TLS did for a connection.
    pub(super) fn write_policy_event(
        &mut self,
        end: &End,
        event: PolicyEvent,
        protection: &Protection,
        carried: Carried,
    ) {
        if !self.recording || !self.writes(RecordType::Ttls) {
            return;
        }
        let facts = self.facts(end, RecordEvent::Change, protection, Source::Engine, carried);
        let Some(attls) = &end.attls else { return };
        let settings = &self.shared.settings;
        (settings.sink)(settings.context.policy_event(event, &facts, attls).encode());
    }

    pub(super) fn write(
        &mut self,
        end: &End,
        event: RecordEvent,
        protection: &Protection,
        source: Source,
        carried: Carried,
    ) {
        if self.recording {
            let facts = self.facts(end, event, protection, source, carried);
            self.write_facts(&facts);
        }
    }

    fn write_initiation(&self, facts: &Facts) {
        if self.writes(RecordType::TcpInit) {
            let settings = &self.shared.settings;
            (settings.sink)(settings.context.initiation(facts).encode());
        }
    }

    fn write_facts(&mut self, facts: &Facts) {
        let settings = &self.shared.settings;
        // What is older is no part of what was observed.
        if let Some(history) = settings.history.as_ref().filter(|_| !facts.older) {
            history(facts);
        }
        let record = settings.context.record(facts);
        if !facts.older
            && let Some(intervals) = &mut self.intervals
            && !intervals.record(&record)
        {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
        let kind = match facts.event {
            RecordEvent::Enforcement => RecordType::ZertDetailByPolicy,
            _ => RecordType::ZertDetail,
        };
        if self.writes(kind) {
            (self.shared.settings.sink)(record.encode());
        }
    }
}
