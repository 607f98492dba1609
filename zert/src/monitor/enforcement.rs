//! Enforcement: the verdict on a local end of a connection, and its actions.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use chrono::Local;
use policies::{Connection, Direction};
use smf::detail::{Enforcement, Event as RecordEvent};
use stack::socket;
use stack::{Counters, StackError, State, owner};
use tracing::{debug, error, info};

use super::{End, Watch};
use crate::judge::{Verdict, judge, version_name};
use crate::observer::{Protection, Side};
use crate::record::Source;

impl Watch {
    /// Judges an end by its rule and acts.
    pub(super) fn enforce(&mut self, end: &mut End, protection: &Protection) {
        let policy = Arc::clone(&self.shared.policy.read().unwrap_or_else(PoisonError::into_inner));
        if policy.zert.is_empty() {
            return;
        }
        // Names are looked up before the verdict only when a rule asks for them: until it falls, data flows.
        let asked = policy.zert.iter().any(|rule| rule.conditions.asks_for_owner());
        let jobname = if asked {
            self.jobs.get(end.inode).map(str::to_owned).or_else(|| {
                // A rule asks for the job and it is not known yet: this connection waits for the walk.
                owner::of_inodes(&[end.inode]).remove(&end.inode).map(|owner| owner.jobname)
            })
        } else {
            None
        };
        let direction = match end.side {
            Side::Client => Direction::Outbound,
            Side::Server => Direction::Inbound,
        };
        let userid = || end.uid.and_then(owner::userid);
        let mut connection = Connection {
            local: end.endpoints.local,
            remote: end.endpoints.remote,
            direction,
            jobname,
            userid: if asked { userid() } else { None },
        };
        let Some(rule) = policy.zert_rule(&connection, Local::now().fixed_offset()) else { return };
        if judge(protection, &rule.action) == Verdict::Sufficient {
            return;
        }
        let action = &rule.action;
        let mut enforcement = Enforcement {
            rule: rule.name.clone(),
            action: action.name.clone(),
            reset: false,
            logged: action.log,
            audited: action.audit,
        };
        if action.reset {
            match self.reset(end) {
                Ok(true) => {
                    enforcement.reset = true;
                    self.shared.reset.fetch_add(1, Ordering::Relaxed);
                }
                Ok(false) => debug!("the connection to reset had ended"),
                Err(error) => error!(%error, rule = rule.name, "a connection could not be reset"),
            }
        }
        if action.log {
            self.shared.logged.fetch_add(1, Ordering::Relaxed);
        }
        if action.log || enforcement.reset {
            connection.userid = userid();
            self.message(end, &connection, protection, &enforcement);
        }
        let audited = enforcement.audited;
        end.enforcement = Some(enforcement);
        if audited {
            self.write(end, RecordEvent::Enforcement, protection, Source::Observed, Counters::default());
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

    fn message(&self, end: &End, connection: &Connection, protection: &Protection, enforcement: &Enforcement) {
        let (code, done) = if enforcement.reset { ("EZZ8584I", "reset") } else { ("EZZ8583I", "logged") };
        let (protocol, version, suite) = match protection {
            Protection::Tls(handshake) => {
                ("TLS", version_name(handshake.version), policies::cipher::name(handshake.suite))
            }
            Protection::Ssh(_) => ("SSH", "2", String::new()),
            Protection::None | Protection::Undetermined => ("NONE", "", String::new()),
        };
        info!(
            "{code} Connection {done} by ZERT Policy Enforcement: {} connid= {} localipaddr= {} localport= {} \
             remoteipaddr= {} remoteport= {} transproto= TCP jobname= {} userid= {} conndir= {} secproto= {protocol} \
             secprotoversion= {version} ciphersuite= {suite} rule= {} action= {}",
            Local::now().format("%m/%d/%Y %H:%M:%S"),
            end.id,
            connection.local.ip(),
            connection.local.port(),
            connection.remote.ip(),
            connection.remote.port(),
            self.jobs.get(end.inode).unwrap_or_default(),
            connection.userid.as_deref().unwrap_or_default(),
            connection.direction,
            enforcement.rule,
            enforcement.action,
        );
    }
}
