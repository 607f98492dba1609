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
use stack::{StackError, State};
use tracing::{debug, error, info};

use super::Watch;
use super::end::{End, Via};
use super::jobs::ask_for;
use super::messages::{Message, console, suppressed, syslog};
use super::records::Carried;
use crate::judge;
use crate::nfqueue::Verdict;
use crate::observer::{Protection, Side};
use crate::record::Source;

impl Watch {
    /// Judges an end by its rule, once what is known of its protection decides it, and acts. A verdict that depends on the owner
    /// waits until he has been looked for, by a task of its own: a user database may take its time.
    pub(super) fn enforce(&mut self, via: Via, end: &mut End, protection: &Protection) {
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
        let mut connection = self.connection_of(end);
        let now = Local::now().fixed_offset();
        let may_ask = |rule: &Arc<policies::ZertRule>| {
            rule.conditions.asks_for_owner() && rule.conditions.matches_but_owner(&connection, now)
        };
        if policy.zert.iter().any(may_ask) && !self.is_owner_known(end) {
            ask_for(&mut self.jobs, &self.resolver, end.inode, end.uid);
            self.waiting.insert(via);
            return;
        }
        let complete = judge::is_complete(protection);
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
                connection.userid = Some(self.userid(end)).filter(|userid| !userid.is_empty());
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
        match policy.ttls_rule(&self.connection_of(end), now) {
            None => PolicyStatus::NoPolicy,
            Some(rule) if rule.security.is_none() => PolicyStatus::NotEnabled,
            // It is older than its rule, or one of those that are left alone.
            Some(_) => PolicyStatus::NotKnown,
        }
    }

    fn is_owner_known(&self, end: &End) -> bool {
        (end.inode == 0 || self.jobs.owner(end.inode).is_some())
            && end.uid.is_none_or(|uid| self.jobs.user(uid).is_some())
    }

    /// Judges the connections that waited for their owners.
    pub(super) fn judge_waiting(&mut self) {
        for via in std::mem::take(&mut self.waiting) {
            match via {
                Via::Wire(key) => {
                    self.determined(key);
                    // What waits is sent again, and goes on then if it may.
                    self.holding.answer_waiting(&key, Verdict::Drop);
                }
                Via::Engine(number) => {
                    let Some((mut end, protection)) = self.wrapped.remove(&number) else { continue };
                    self.enforce(via, &mut end, &protection);
                    self.wrapped.insert(number, (end, protection));
                }
            }
        }
    }

    /// What rules look at; the owner as far as he is known.
    fn connection_of(&self, end: &End) -> Connection {
        Connection {
            local: end.endpoints.local,
            remote: end.endpoints.remote,
            direction: match end.side {
                Side::Client => Direction::Outbound,
                Side::Server => Direction::Inbound,
            },
            jobname: self.jobs.get(end.inode).map(str::to_owned),
            userid: end.uid.and_then(|uid| self.jobs.user(uid)).flatten().map(str::to_owned),
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
