//! FTP: data connections and the control connections they belong to, and what is transferred over them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use stack::{ConnectionId, Endpoints, socket};

use super::Watch;
use super::end::{End, Via};
use super::records::Carried;
use crate::flow::{Flow, FlowKey};
use crate::ftp::{Control, Event, Operation};
use crate::observer::{Protection, Side};
use crate::record::{DataOf, RecordType, Transferred};

/// How long after its last reply the data connection of a transfer is waited for, and how long after its control connection one may
/// still begin.
const PATIENCE: Duration = Duration::from_secs(2);
const LINGER: Duration = Duration::from_secs(10);
/// Data connections of a control connection whose transfer is not known (yet).
const MOST: usize = 32;
/// Control connections between two hosts to which data connections are tied; those of more are not.
const CONTROLS: usize = 64;
/// How long an announced data connection may be on its way.
const ANNOUNCED: Duration = Duration::from_secs(60);
/// The first of the ports that systems choose themselves.
const EPHEMERAL: u16 = 32_768;

/// Where a data connection was announced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announced {
    via: Via,
    listener: SocketAddr,
    waits: Side,
    /// The port of the control connection's server.
    port: u16,
    since: Instant,
}

/// A local end of a control connection.
#[derive(Clone, Debug)]
struct Party {
    side: Side,
    endpoints: Endpoints,
    id: ConnectionId,
    userid: String,
    protection: Protection,
}

/// What a data connection carried.
#[derive(Clone, Debug)]
struct Data {
    endpoints: Endpoints,
    id: ConnectionId,
    bytes: u64,
    protection: Protection,
}

/// A transfer whose record waits for its data connection's end.
struct Done {
    operation: Operation,
    listener: Option<SocketAddr>,
    started: DateTime<Utc>,
    ended: DateTime<Utc>,
    since: Instant,
    parties: Vec<Party>,
}

#[derive(Default)]
struct Heard {
    /// Of the engine's connections.
    control: Option<Box<Control>>,
    listener: Option<SocketAddr>,
    /// When the transfer under way began, and where its data goes.
    begun: Option<(DateTime<Utc>, Option<SocketAddr>)>,
    data: HashMap<(SocketAddr, Side), Data>,
    done: Vec<Done>,
    /// It has ended.
    over: bool,
}

/// A control connection, for data connections whose announcement was encrypted.
struct Known {
    key: FlowKey,
    side: Side,
    id: ConnectionId,
    inode: u32,
    ended: Option<Instant>,
}

/// What is known of FTP on this host.
#[derive(Default)]
pub(super) struct Transfers {
    heard_on: HashMap<Via, Heard>,
    announced: HashMap<SocketAddr, Announced>,
    /// By local and remote address.
    known: HashMap<(IpAddr, IpAddr), Vec<Known>>,
}

impl Transfers {
    /// What announced a connection to a listening end.
    pub(super) fn announced(&self, endpoints: Endpoints, side: Side) -> Option<Announced> {
        let listener = match side {
            Side::Client => endpoints.remote,
            Side::Server => endpoints.local,
        };
        self.announced.get(&listener).copied().filter(|announced| announced.since.elapsed() < ANNOUNCED)
    }
}

impl Watch {
    /// What was heard on a control connection.
    pub(super) fn ftp_heard(&mut self, via: Via, events: Vec<Event>) {
        let port = match via {
            Via::Wire(key) => key.server.port(),
            Via::Engine(number) => self.wrapped.get(&number).map_or(0, |(end, _)| end.key().server.port()),
        };
        for event in events {
            let parties = if matches!(event, Event::Ended(_)) { self.parties(via) } else { Vec::new() };
            let heard = self.transfers.heard_on.entry(via).or_default();
            match event {
                Event::Expected { listener, waits } => {
                    let wanted: Vec<SocketAddr> = heard.done.iter().filter_map(|done| done.listener).collect();
                    heard.data.retain(|(known, _), _| wanted.contains(known));
                    let announced = &mut self.transfers.announced;
                    if let Some(before) = heard.listener.replace(listener)
                        && announced.get(&before).is_some_and(|announced| announced.via == via)
                    {
                        announced.remove(&before);
                    }
                    announced.insert(listener, Announced { via, listener, waits, port, since: Instant::now() });
                }
                Event::Began => heard.begun = Some((Utc::now(), heard.listener)),
                Event::Ended(operation) => {
                    let ended = Utc::now();
                    let (started, listener) = heard.begun.take().unwrap_or((ended, None));
                    let listener = listener.filter(|_| operation.has_data);
                    heard.done.push(Done { operation, listener, started, ended, since: Instant::now(), parties });
                    self.finish_transfers(via);
                }
            }
        }
    }

    /// What passes between a program that speaks FTP and the engine.
    pub(super) fn carried_ftp(&mut self, number: u64, from: Side, bytes: &[u8]) {
        let Some((end, _)) = self.wrapped.get(&number) else { return };
        let FlowKey { client, server } = end.key();
        let via = Via::Engine(number);
        let heard = self.transfers.heard_on.entry(via).or_default();
        let control = heard.control.get_or_insert_with(|| Box::new(Control::new(client, server)));
        let events = control.hear(from, bytes);
        self.ftp_heard(via, events);
    }

    /// Whether it is heard as a control connection.
    pub(super) fn is_heard(&self, via: Via) -> bool {
        self.transfers.heard_on.contains_key(&via)
    }

    fn parties(&self, via: Via) -> Vec<Party> {
        let party = |end: &End, protection: &Protection| Party {
            side: end.side,
            endpoints: end.endpoints,
            id: end.id,
            userid: end.uid.and_then(|uid| self.jobs.user(uid)).flatten().unwrap_or_default().to_owned(),
            protection: protection.clone(),
        };
        match via {
            Via::Wire(key) => {
                let protection = self.flows.get(&key).map_or(Protection::Undetermined, Flow::protection);
                let ends = self.tracked.get(&key).map(|tracked| tracked.ends.as_slice()).unwrap_or_default();
                ends.iter().map(|end| party(end, &protection)).collect()
            }
            Via::Engine(number) => {
                self.wrapped.get(&number).map(|(end, protection)| party(end, protection)).into_iter().collect()
            }
        }
    }

    /// A control connection whose announcements may be encrypted is up.
    pub(super) fn know_control(&mut self, key: FlowKey) {
        let Some(tracked) = self.tracked.get(&key) else { return };
        for end in &tracked.ends {
            let Endpoints { local, remote } = end.endpoints;
            let known = self.transfers.known.entry((local.ip(), remote.ip())).or_default();
            let is_known =
                known.iter().any(|known| known.key == key && known.side == end.side && known.ended.is_none());
            if !is_known && known.len() < CONTROLS {
                self.shared.ftp.store(true, Ordering::Relaxed);
                known.push(Known { key, side: end.side, id: end.id, inode: end.inode, ended: None });
            }
        }
    }

    /// The control connection of a data connection.
    pub(super) fn control_of(&self, end: &End) -> Option<DataOf> {
        let Endpoints { local, remote } = end.endpoints;
        let known = self.transfers.known.get(&(local.ip(), remote.ip()));
        if let Some(Announced { via, waits, port, .. }) = end.announced_data {
            let active = waits == Side::Client;
            let side = control_side(end.side, active);
            let id = match via {
                Via::Wire(key) => known
                    .into_iter()
                    .flatten()
                    .find(|known| known.key == key && known.side == side)
                    .map(|known| known.id),
                Via::Engine(number) => self.wrapped.get(&number).map(|(control, _)| control.id),
            };
            return Some(DataOf { id: id.unwrap_or(ConnectionId(0)), port, active });
        }
        let mut listened = None;
        let found = known?.iter().find(|known| self.may_be_data_of(end, known, &mut listened))?;
        Some(DataOf { id: found.id, port: found.key.server.port(), active: found.side != end.side })
    }

    /// The job of a control connection.
    pub(super) fn job_of_control(&self, end: &End, data_of: DataOf) -> Option<String> {
        let Endpoints { local, remote } = end.endpoints;
        let known = self.transfers.known.get(&(local.ip(), remote.ip()))?;
        let control = known.iter().find(|known| known.id == data_of.id)?;
        self.jobs.get(control.inode).map(str::to_owned)
    }

    /// Whether a connection between the hosts of a control connection is a data connection of it: its program's, on ports that FTP
    /// uses, where nobody else listens.
    fn may_be_data_of(&self, end: &End, control: &Known, listened: &mut Option<bool>) -> bool {
        let key = end.key();
        let FlowKey { client, server } = key;
        let active = control.side != end.side;
        // A server's active connection comes from the port before the control connection's, or from any.
        let source = client.port();
        let fits = server.port() >= 1024 && (!active || source >= 1024 || source + 1 == control.key.server.port());
        let late = control.ended.is_some_and(|ended| ended.elapsed() > LINGER);
        if key == control.key || !fits || late {
            return false;
        }
        let owner = |inode: u32| self.jobs.owner(inode).filter(|job| job.is_known());
        let related = match (owner(end.inode), owner(control.inode)) {
            (Some(data), Some(control)) => Some(data.is_related_to(control)),
            // It was over before its process was found.
            _ => None,
        };
        // Who waits for data waits for one connection; some go on listening until it has ended.
        let is_listened = || end.side == Side::Server && socket::listener(server).ok().flatten().is_some();
        let mut nobody_listens = || !*listened.get_or_insert_with(is_listened);
        match related {
            Some(related) => related && (server.port() >= EPHEMERAL || nobody_listens()),
            None => server.port() >= EPHEMERAL && nobody_listens(),
        }
    }

    /// A data connection has ended.
    pub(super) fn ftp_data_ended(&mut self, end: &End, protection: &Protection, carried: Carried) {
        let Some(Announced { via, listener, waits, .. }) = end.announced_data else { return };
        let side = control_side(end.side, waits == Side::Client);
        let Some(heard) = self.transfers.heard_on.get_mut(&via) else { return };
        if heard.data.len() >= MOST {
            heard.data.clear();
        }
        let data = Data {
            endpoints: end.endpoints,
            id: end.id,
            bytes: carried.counters.bytes_in.max(carried.counters.bytes_out),
            protection: protection.clone(),
        };
        heard.data.insert((listener, side), data);
        self.finish_transfers(via);
    }

    /// A connection has ended; it may have been a control connection.
    pub(super) fn ftp_control_ended(&mut self, via: Via, ends: Endpoints) {
        if let Some(heard) = self.transfers.heard_on.get_mut(&via) {
            heard.over = true;
        }
        if let Via::Wire(key) = via {
            let known = self.transfers.known.get_mut(&(ends.local.ip(), ends.remote.ip()));
            for known in known.into_iter().flatten().filter(|known| known.key == key) {
                known.ended.get_or_insert_with(Instant::now);
            }
        }
    }

    /// Writes the records of transfers whose data connections have ended, or will not be seen.
    fn finish_transfers(&mut self, via: Via) {
        let Some(heard) = self.transfers.heard_on.get_mut(&via) else { return };
        let data = &heard.data;
        let (ready, waiting): (Vec<Done>, Vec<Done>) = std::mem::take(&mut heard.done).into_iter().partition(|done| {
            let Some(listener) = done.listener else { return true };
            let seen = done.parties.iter().all(|party| data.contains_key(&(listener, party.side)));
            seen || done.since.elapsed() > PATIENCE
        });
        heard.done = waiting;
        let finished: Vec<(Done, HashMap<Side, Data>)> = ready
            .into_iter()
            .map(|done| {
                let take = |party: &Party| Some((party.side, heard.data.remove(&(done.listener?, party.side))?));
                let data = done.parties.iter().filter_map(take).collect();
                (done, data)
            })
            .collect();
        for (done, mut data) in finished {
            for party in &done.parties {
                self.write_transfer(via, &done, party, data.remove(&party.side));
            }
        }
    }

    fn write_transfer(&self, via: Via, done: &Done, party: &Party, data: Option<Data>) {
        let (kind, server) = match party.side {
            Side::Client => (RecordType::FtpClient, false),
            Side::Server => (RecordType::FtpServer, true),
        };
        if !self.recording || !self.writes(kind) || !smf::ftp::Transfer::is_recorded(&done.operation.command, server) {
            return;
        }
        let transferred = Transferred {
            operation: &done.operation,
            server,
            control: party.endpoints,
            control_id: party.id,
            control_protection: &party.protection,
            data: data.as_ref().map(|data| (data.endpoints, data.id, &data.protection)),
            bytes: data.as_ref().map_or(0, |data| data.bytes),
            userid: &party.userid,
            started: done.started,
            ended: done.ended,
            by_attls: matches!(via, Via::Engine(_)),
        };
        let settings = &self.shared.settings;
        (settings.sink)(settings.context.transfer(&transferred));
    }

    /// Writes what has waited long enough, and forgets what is over.
    pub(super) fn tick_transfers(&mut self) {
        let heard_on: Vec<Via> = self.transfers.heard_on.keys().copied().collect();
        for via in heard_on {
            self.finish_transfers(via);
        }
        let Transfers { heard_on, announced, known } = &mut self.transfers;
        heard_on.retain(|_, heard| !heard.over || !heard.done.is_empty());
        announced.retain(|_, announced| announced.since.elapsed() < ANNOUNCED);
        let late = |known: &Known| known.ended.is_some_and(|ended| ended.elapsed() > LINGER);
        known.retain(|_, controls| {
            controls.retain(|known| !late(known));
            !controls.is_empty()
        });
    }
}

/// The end of the control connection that a data connection's end belongs to: in active mode the server opens it.
fn control_side(side: Side, active: bool) -> Side {
    if active { side.peer() } else { side }
}
