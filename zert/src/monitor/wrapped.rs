//! The connections that the AT-TLS engine tells of.

use std::sync::atomic::Ordering;
use std::time::Instant;

use policies::Direction;
use smf::attls::Event as PolicyEvent;
use smf::detail::Event as RecordEvent;
use stack::{ConnectionId, Counters};

use super::end::{End, Via, settled};
use super::jobs::ask_for;
use super::{Watch, Wrapped};
use crate::observer::{Observer, Protection, Side};
use crate::record::Source;

impl Watch {
    pub(super) fn wrapped_established(&mut self, wrapped: Wrapped) {
        let number = wrapped.number;
        let mut end = match self.wrapped.remove(&number) {
            Some((end, _)) => end,
            None => self.wrapped_end(&wrapped),
        };
        end.attls = Some(wrapped.attls);
        let protection = wrapped.handshake.map_or(Protection::Undetermined, Protection::Tls);
        if protection.is_determined() {
            self.clear.remove(&number);
            // What was judged before was another session.
            end.judged = end.refused;
            self.enforce(Via::Engine(number), &mut end, &protection);
            self.write_policy_event(&end, PolicyEvent::Secured, &protection, Counters::default().into());
            // It began in clear text, and that is on record.
            if end.told.as_ref().is_some_and(|told| *told != protection) {
                self.write(&end, RecordEvent::Change, &protection, Source::Engine, Counters::default().into());
                end.told = Some(protection.clone());
            }
        } else {
            self.clear.insert(number, Observer::default());
        }
        self.wrapped.insert(number, (end, protection));
    }

    fn wrapped_end(&mut self, wrapped: &Wrapped) -> End {
        self.shared.observed.fetch_add(1, Ordering::Relaxed);
        let inode = wrapped.inode.unwrap_or_default();
        ask_for(&mut self.jobs, &self.resolver, inode, wrapped.uid);
        let side = match wrapped.direction {
            Direction::Outbound => Side::Client,
            Direction::Inbound => Side::Server,
        };
        End {
            id: wrapped.id.unwrap_or(ConnectionId(0)),
            uid: wrapped.uid,
            inode,
            announced_data: self.transfers.announced(wrapped.endpoints, side),
            ..End::new(side, wrapped.endpoints, wrapped.started, Instant::now())
        }
    }

    /// What a program and its peer say through the engine.
    pub(super) fn wrapped_heard(&mut self, number: u64, from: Side, bytes: &[u8]) {
        let Some(observer) = self.clear.get_mut(&number) else {
            return self.carried_ftp(number, from, bytes);
        };
        let told = observer.observe(from, bytes);
        // TLS that the program does itself is its own business, and is seen as that.
        let protection = observer.protection();
        if told && let Some((mut end, _)) = self.wrapped.remove(&number) {
            self.enforce(Via::Engine(number), &mut end, &protection);
            self.wrapped.insert(number, (end, protection));
        }
        // A server of FTP greets first.
        if self.is_heard(Via::Engine(number)) || (from == Side::Server && bytes.starts_with(b"2")) {
            self.carried_ftp(number, from, bytes);
        }
    }

    /// A handshake that failed, or never began.
    pub(super) fn wrapped_failed(&mut self, wrapped: Wrapped) {
        self.clear.remove(&wrapped.number);
        let mut end = match self.wrapped.remove(&wrapped.number) {
            // Its program began it in clear text.
            Some((end, _)) => end,
            None => self.wrapped_end(&wrapped),
        };
        end.attls = Some(wrapped.attls);
        let protection = settled(Protection::Tls(wrapped.handshake.unwrap_or_default()));
        self.write_policy_event(&end, PolicyEvent::Failed, &protection, Counters::default().into());
        self.write_end(end, &protection, Source::Engine, Counters::default().into());
    }

    pub(super) fn wrapped_ended(&mut self, number: u64, bytes_in: u64, bytes_out: u64, reason: String) {
        let Some((mut end, protection)) = self.wrapped.remove(&number) else { return };
        let endpoints = end.endpoints;
        let observer = self.clear.remove(&number);
        let source = if observer.is_some() { Source::Observed } else { Source::Engine };
        let protection = observer.map_or(protection, |observer| observer.protection());
        let carried = Counters { bytes_in, bytes_out, ..Counters::default() }.into();
        let protection = settled(protection);
        if let Some(attls) = &mut end.attls {
            attls.reason = reason;
        }
        self.write_policy_event(&end, PolicyEvent::Ended, &protection, carried);
        self.write_end(end, &protection, source, carried);
        self.ftp_control_ended(Via::Engine(number), endpoints);
    }
}
