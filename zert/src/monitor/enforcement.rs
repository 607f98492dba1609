//! Enforcement: the verdict on a local end of a connection, and its actions.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use chrono::Local;
use policies::enforcement::Judgement;
use policies::{Connection, Direction};
use smf::detail::{Enforcement, Event as RecordEvent};
use smf::tcp::PolicyStatus;
use stack::socket;
use stack::{StackError, State, owner};
use tracing::{debug, error, info};

use super::Watch;
use super::end::End;
use super::messages::{Message, console, suppressed, syslog};
use super::records::Carried;
use crate::judge;
use crate::observer::{Protection, Side};
use crate::record::Source;

impl Watch {
    /// Judges an end by its rule, once what is known of its protection decides it, and acts.
    pub(super) fn enforce(&mut self, end: &mut End, protection: &Protection) {
        if end.judged {
            return;
        }
        let policy = Arc::clone(&self.shared.policy.read().unwrap_or_else(PoisonError::into_inner));
        if policy.zert.is_empty() {
            return;
        }
        // A client that is held is judged by its best offer: nothing better will be agreed on.
        let offered = || judge::offered(protection).filter(|_| end.held);
        let Some(observed) = judge::observed(protection).or_else(offered) else { return };
        // A policy whose rules hold already is about to come: it judges what is held.
        if end.held && self.holding.coming.is_some() {
            return;
        }
        let ipsec = self.associations.of(end.endpoints).map(|ipsec| ipsec.observed());
        // Names are looked up before the verdict only when a rule asks for them: until it falls, data flows.
        let asked = policy.zert.iter().any(|rule| rule.conditions.asks_for_owner());
        let mut connection = self.connection_of(end, asked);
        let complete = judge::is_complete(protection);
        let now = Local::now().fixed_offset();
        let (judgement, observed) = policy.judge_all(&connection, now, &observed, complete, ipsec.as_ref());
        let rule = match judgement {
            Judgement::Undecided => return,
            // The server may not answer with TLS at all.
            Judgement::Good(_) if observed.offered => return,
            Judgement::Good(_) => {
                end.judged = true;
                return;
            }
            Judgement::Short(rule) => rule,
        };
        end.judged = true;
        let action = &rule.action;
        end.refused = action.reset;
        let mut enforcement = Enforcement {
            rule: rule.name.clone(),
            action: action.name.clone(),
            reset: false,
            logged: action.syslogd || action.console,
            audited: action.audit,
        };
        if action.reset {
            match self.reset(end) {
                Ok(found) if found || end.held => {
                    // Without a socket nothing answers, but nothing of it goes on.
                    enforcement.reset = true;
                    self.shared.reset.fetch_add(1, Ordering::Relaxed);
                }
                Ok(_) => debug!("the connection to reset had ended"),
                Err(error) => error!(%error, rule = rule.name, "a connection could not be reset"),
            }
        }
        if enforcement.logged {
            self.shared.logged.fetch_add(1, Ordering::Relaxed);
        }
        if enforcement.logged || enforcement.reset {
            if self.suppression.admits(&rule.name, Instant::now()) {
                connection.userid = end.uid.and_then(owner::userid);
                connection.jobname = self.jobs.get(end.inode).map(str::to_owned);
                let message = Message {
                    stack: &self.shared.settings.context.stack,
                    id: end.id,
                    connection: &connection,
                    protection,
                    observed,
                    enforcement: &enforcement,
                };
                // A reset is told in any case, if only to syslog.
                if action.syslogd || !action.console {
                    info!("{}", syslog(&message, Local::now()));
                }
                if action.console {
                    console(&message).iter().for_each(|line| info!("{line}"));
                }
            } else {
                self.shared.suppressed.fetch_add(1, Ordering::Relaxed);
            }
        }
        let audited = enforcement.audited;
        end.enforcement = Some(enforcement);
        if audited {
            self.write(end, RecordEvent::Enforcement, protection, Source::Observed, Carried::default());
        }
    }

    /// Says how many messages were kept back, of the rules whose time for that is over.
    pub(super) fn tell_suppressed(&mut self) {
        for (rule, count) in self.suppression.over(Instant::now()) {
            info!("{}", suppressed(&rule, count));
        }
    }

    /// What AT-TLS policy says of a connection that its engine does not carry.
    pub(super) fn policy_status(&self, end: &End) -> PolicyStatus {
        let policy = Arc::clone(&self.shared.policy.read().unwrap_or_else(PoisonError::into_inner));
        if policy.ttls.is_empty() {
            return PolicyStatus::Off;
        }
        let now = Local::now().fixed_offset();
        let asked = policy.asks_for_owner(&self.connection_of(end, false), now);
        match policy.ttls_rule(&self.connection_of(end, asked), now) {
            None => PolicyStatus::NoPolicy,
            Some(rule) if rule.security.is_none() => PolicyStatus::NotEnabled,
            // It is older than its rule, or one of those that are left alone.
            Some(_) => PolicyStatus::NotKnown,
        }
    }

    /// What rules look at; the owner only if it is asked for.
    pub(super) fn connection_of(&self, end: &End, owner: bool) -> Connection {
        let jobname = || {
            self.jobs.get(end.inode).map(str::to_owned).or_else(|| {
                // A rule asks for the job and it is not known yet: this connection waits for the walk.
                owner::of_inodes(&[end.inode]).remove(&end.inode).map(|owner| owner.jobname)
            })
        };
        Connection {
            local: end.endpoints.local,
            remote: end.endpoints.remote,
            direction: match end.side {
                Side::Client => Direction::Outbound,
                Side::Server => Direction::Inbound,
            },
            jobname: owner.then(jobname).flatten(),
            userid: end.uid.filter(|_| owner).and_then(owner::userid),
        }
    }

    fn reset(&self, end: &End) -> Result<bool, StackError> {
        let socket = match end.socket {
            Some(socket) => Some(socket),
            // A wrapped connection: the program's socket, by its number.
            None => socket::list(&[State::Established, State::CloseWait, State::FinWait2])?
                .into_iter()
                .find(|socket| socket.id() == end.id),
        };
        socket.map_or(Ok(false), |socket| socket::destroy(&socket))
    }
}
