//! The handshake caches: sessions kept for resumption, bounded in number and time.
//!
//! Each environment has its own, so a session made under one action or key ring is never resumed under another.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::server::StoresServerSessions;
use rustls_pki_types::ServerName;
use serde::Serialize;

use crate::cache::Cache;
use crate::sync::lock;

/// TLS 1.3 tickets kept for one server; each is used once.
const TICKETS_PER_SERVER: usize = 4;

/// What a client remembers of one server.
#[derive(Debug, Default)]
struct Remembered {
    group: Option<NamedGroup>,
    tls12: Option<(Instant, Tls12ClientSessionValue)>,
    tls13: VecDeque<(Instant, Tls13ClientSessionValue)>,
}

/// A server as sessions are kept for it: where it is, and the name its certificate was checked for.
type ServerKey = (SocketAddr, ServerName<'static>);

/// The client sessions of an environment.
#[derive(Debug)]
pub(crate) struct ClientSessions {
    timeout: Duration,
    servers: Mutex<Cache<ServerKey, Remembered>>,
}

impl ClientSessions {
    /// A cache of this many servers; sessions older than `timeout` are not resumed.
    pub(crate) fn new(capacity: usize, timeout: Duration) -> Arc<Self> {
        // What is remembered of a server outlives its sessions: the group it chose stays good.
        let servers = Cache::new(capacity, Duration::from_secs(86_400).max(timeout));
        Arc::new(Self { timeout, servers: Mutex::new(servers) })
    }

    /// Drops what is remembered of a server, under all names.
    pub(crate) fn forget(&self, server: SocketAddr) {
        lock(&self.servers).retain(|(known, _)| *known != server);
    }

    /// How many sessions are kept, and for how long the oldest.
    pub(crate) fn kept(&self) -> Kept {
        let servers = lock(&self.servers);
        let made = servers.values().flat_map(|remembered| {
            let tls12 = remembered.tls12.iter().map(|(made, _)| *made);
            tls12.chain(remembered.tls13.iter().map(|(made, _)| *made))
        });
        Kept::of(made.map(|made| made.elapsed()).filter(|age| *age <= self.timeout))
    }

    /// The store a connection to `server` uses.
    pub(crate) fn of(self: &Arc<Self>, server: SocketAddr) -> Arc<dyn ClientSessionStore> {
        Arc::new(OneServer { sessions: Arc::clone(self), server })
    }
}

/// The sessions that a cache holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Kept {
    /// How many.
    pub sessions: usize,
    /// Seconds since the oldest was made.
    pub oldest: Option<u64>,
}

impl Kept {
    fn of(ages: impl Iterator<Item = Duration>) -> Self {
        ages.fold(Self::default(), |kept, age| Self {
            sessions: kept.sessions + 1,
            oldest: kept.oldest.max(Some(age.as_secs())),
        })
    }
}

/// The sessions of one destination, as rustls asks for them.
#[derive(Debug)]
struct OneServer {
    sessions: Arc<ClientSessions>,
    server: SocketAddr,
}

impl OneServer {
    fn with<T>(&self, name: &ServerName<'_>, work: impl FnOnce(&mut Remembered) -> Option<T>) -> Option<T> {
        let key = (self.server, name.to_owned());
        let mut servers = lock(&self.sessions.servers);
        servers.get_mut(&key, Instant::now()).and_then(work)
    }

    fn remember(&self, name: ServerName<'static>, work: impl FnOnce(&mut Remembered)) {
        let key = (self.server, name);
        if let Some(remembered) = lock(&self.sessions.servers).entry(&key, Instant::now(), Remembered::default) {
            work(remembered);
        }
    }
}

impl ClientSessionStore for OneServer {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.remember(server_name, |remembered| remembered.group = Some(group));
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.with(server_name, |remembered| remembered.group)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.remember(server_name, |remembered| remembered.tls12 = Some((Instant::now(), value)));
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        let timeout = self.sessions.timeout;
        self.with(server_name, |remembered| {
            remembered.tls12.take_if(|(made, _)| made.elapsed() > timeout);
            remembered.tls12.as_ref().map(|(_, value)| value.clone())
        })
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.with(server_name, |remembered| remembered.tls12.take());
    }

    fn insert_tls13_ticket(&self, server_name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.remember(server_name, |remembered| {
            if remembered.tls13.len() == TICKETS_PER_SERVER {
                remembered.tls13.pop_front();
            }
            remembered.tls13.push_back((Instant::now(), value));
        });
    }

    fn take_tls13_ticket(&self, server_name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let timeout = self.sessions.timeout;
        self.with(server_name, |remembered| {
            // The newest is the last; when it is too old all are.
            remembered.tls13.retain(|(made, _)| made.elapsed() <= timeout);
            remembered.tls13.pop_back().map(|(_, value)| value)
        })
    }
}

/// The server sessions of an environment, for session ids and for TLS 1.3 without tickets.
#[derive(Debug)]
pub(crate) struct ServerSessions {
    sessions: Mutex<Cache<Vec<u8>, Vec<u8>>>,
}

impl ServerSessions {
    pub(crate) fn new(capacity: usize, timeout: Duration) -> Arc<Self> {
        Arc::new(Self { sessions: Mutex::new(Cache::new(capacity, timeout)) })
    }

    /// How many sessions are kept, and for how long the oldest.
    pub(crate) fn kept(&self) -> Kept {
        Kept::of(lock(&self.sessions).ages(Instant::now()))
    }
}

impl StoresServerSessions for ServerSessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let mut sessions = lock(&self.sessions);
        match sessions.entry(&key, Instant::now(), Vec::new) {
            Some(stored) => {
                *stored = value;
                true
            }
            None => false,
        }
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        lock(&self.sessions).get_mut(&key.to_vec(), Instant::now()).cloned()
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        lock(&self.sessions).remove(&key.to_vec(), Instant::now())
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_of_size_zero_keeps_nothing() {
        let sessions = ServerSessions::new(0, Duration::from_secs(600));
        assert!(!sessions.put(vec![1], vec![2]));
        assert_eq!(sessions.get(&[1]), None);
    }
}
