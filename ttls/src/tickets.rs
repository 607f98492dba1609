//! The keys that seal session tickets. Each environment has its own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;

use crate::environment::Key;
use crate::sync::lock;

/// What several daemons share, so that each resumes the others' sessions: 32 bytes or more.
#[derive(Clone)]
pub struct TicketSecret(Arc<[u8]>);

impl std::fmt::Debug for TicketSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TicketSecret(…)")
    }
}

impl TicketSecret {
    /// The fewest bytes that are a secret.
    pub const SHORTEST: usize = 32;

    /// A secret of at least [`TicketSecret::SHORTEST`] bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= Self::SHORTEST).then(|| Self(bytes.into()))
    }
}

/// Ticket keys: a new one every `refresh`; a key seals no ticket after that, and no ticket is opened later than `timeout`.
#[derive(Debug)]
pub(crate) struct TicketKeys {
    refresh: Duration,
    timeout: Duration,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    /// Made at random and forgotten.
    Own(Mutex<VecDeque<(Instant, Arc<dyn ProducesTickets>)>>),
    /// Derived from a shared secret: every daemon that has it has the same key at the same time.
    Shared { secret: TicketSecret, context: Vec<u8>, known: Mutex<VecDeque<(u64, Arc<RandomizedNonceKey>)>> },
}

impl TicketKeys {
    /// Keys of this process alone.
    pub(crate) fn own(refresh: Duration, timeout: Duration) -> Result<Arc<Self>, rustls::Error> {
        let first = (Instant::now(), Ticketer::new()?);
        Ok(Arc::new(Self { refresh, timeout, keys: Keys::Own(Mutex::new(VecDeque::from([first]))) }))
    }

    /// Keys that all daemons have who know the secret, for an environment of the same parameters and ring.
    pub(crate) fn shared(refresh: Duration, timeout: Duration, secret: &TicketSecret, environment: &Key) -> Arc<Self> {
        // Names and places of actions are no part of the parameters; the revocation lists are asked at each resumption.
        let parameters = format!("{:?}", environment.parameters);
        let context = [digest::digest(&digest::SHA256, parameters.as_bytes()).as_ref(), &environment.ring].concat();
        let keys = Keys::Shared { secret: secret.clone(), context, known: Mutex::default() };
        Arc::new(Self { refresh, timeout, keys })
    }

    /// Seconds since the key in use was made.
    pub(crate) fn age(&self) -> u64 {
        match &self.keys {
            Keys::Own(keys) => lock(keys).back().map_or(0, |(made, _)| made.elapsed().as_secs()),
            Keys::Shared { .. } => seconds(SystemTime::now()) % self.refresh.as_secs().max(1),
        }
    }

    /// The keys of this process, the newest last.
    fn own_keys(
        &self,
        keys: &Mutex<VecDeque<(Instant, Arc<dyn ProducesTickets>)>>,
        now: Instant,
    ) -> Vec<Arc<dyn ProducesTickets>> {
        let mut keys = lock(keys);
        let newest = keys.back().map(|(made, _)| *made);
        if newest.is_none_or(|made| now.duration_since(made) > self.refresh)
            && let Ok(key) = Ticketer::new()
        {
            keys.push_back((now, key));
        }
        keys.retain(|(made, _)| now.duration_since(*made) <= self.refresh + self.timeout);
        keys.iter().map(|(_, key)| Arc::clone(key)).collect()
    }

    /// The shared key of a time, seconds since the epoch.
    fn shared_key(&self, time: u64) -> Option<Arc<RandomizedNonceKey>> {
        let Keys::Shared { secret, context, known } = &self.keys else { return None };
        let refresh = self.refresh.as_secs().max(1);
        let period = time / refresh;
        let mut known = lock(known);
        if let Some((_, key)) = known.iter().find(|(of, _)| *of == period) {
            return Some(Arc::clone(key));
        }
        let key = Arc::new(derive(secret, context, period)?);
        // As many as tickets can be sealed with that are still good, and the next one of a host whose clock is ahead.
        let most = usize::try_from(self.timeout.as_secs() / refresh).unwrap_or(usize::MAX).saturating_add(3);
        known.push_back((period, Arc::clone(&key)));
        while known.len() > most.min(1024) {
            known.pop_front();
        }
        Some(key)
    }

    fn seal_at(&self, plain: &[u8], now: u64) -> Option<Vec<u8>> {
        let mut sealed = plain.to_vec();
        let time = now.to_be_bytes();
        let nonce = self.shared_key(now)?.seal_in_place_append_tag(Aad::from(time), &mut sealed).ok()?;
        Some([&time[..], nonce.as_ref(), &sealed].concat())
    }

    fn open_at(&self, ticket: &[u8], now: u64) -> Option<Vec<u8>> {
        /// How far the clocks of two hosts may be apart.
        const APART: u64 = 60;
        let (time, rest) = ticket.split_first_chunk::<8>()?;
        let (nonce, sealed) = rest.split_first_chunk::<12>()?;
        let made = u64::from_be_bytes(*time);
        if made > now + APART || now.saturating_sub(made) > self.timeout.as_secs() {
            return None;
        }
        let mut opened = sealed.to_vec();
        let key = self.shared_key(made)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = key.open_in_place(nonce, Aad::from(*time), &mut opened).ok()?.len();
        opened.truncate(length);
        Some(opened)
    }
}

/// The length of an AES-256 key.
struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        AES_256_GCM.key_len()
    }
}

/// HKDF (RFC 5869) over the environment and the number of the period.
fn derive(secret: &TicketSecret, context: &[u8], period: u64) -> Option<RandomizedNonceKey> {
    let extracted = Salt::new(HKDF_SHA256, b"pagent session tickets").extract(&secret.0);
    let mut key = [0; 32];
    extracted.expand(&[context, &period.to_be_bytes()], Length).and_then(|expanded| expanded.fill(&mut key)).ok()?;
    RandomizedNonceKey::new(&AES_256_GCM, &key).ok()
}

impl ProducesTickets for TicketKeys {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(self.timeout.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        match &self.keys {
            Keys::Own(keys) => self.own_keys(keys, Instant::now()).last()?.encrypt(plain),
            Keys::Shared { .. } => self.seal_at(plain, seconds(SystemTime::now())),
        }
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        match &self.keys {
            Keys::Own(keys) => self.own_keys(keys, Instant::now()).iter().rev().find_map(|key| key.decrypt(cipher)),
            Keys::Shared { .. } => self.open_at(cipher, seconds(SystemTime::now())),
        }
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFRESH: Duration = Duration::from_secs(300);
    const TIMEOUT: Duration = Duration::from_secs(600);

    #[test]
    fn a_ticket_is_opened_by_its_key_until_the_key_is_too_old() {
        let keys = TicketKeys::own(REFRESH, TIMEOUT).expect("keys");
        let ticket = keys.encrypt(b"session").expect("a ticket");
        let Keys::Own(own) = &keys.keys else { panic!("own keys") };
        let open = |after: u64| {
            let now = Instant::now() + Duration::from_secs(after);
            keys.own_keys(own, now).iter().find_map(|key| key.decrypt(&ticket))
        };
        assert_eq!(open(301).as_deref(), Some(b"session".as_slice()));
        assert_eq!(open(901), None);
    }

    fn shared(secret: u8, context: &[u8]) -> TicketKeys {
        let secret = TicketSecret::new(&[secret; 32]).expect("long enough");
        TicketKeys {
            refresh: REFRESH,
            timeout: TIMEOUT,
            keys: Keys::Shared { secret, context: context.to_vec(), known: Mutex::default() },
        }
    }

    #[test]
    fn whoever_has_the_secret_and_the_same_environment_opens_the_ticket_in_time() {
        let now = 1_700_000_000;
        let ticket = shared(1, b"a").seal_at(b"session", now).expect("a ticket");
        let open = |keys: &TicketKeys, at: u64| keys.open_at(&ticket, at);
        let other = shared(1, b"a");
        for at in [now, now - 60, now + 299, now + 301, now + 600] {
            assert_eq!(open(&other, at).as_deref(), Some(&b"session"[..]), "{at}");
        }
        assert_eq!(open(&other, now + 601), None);
        assert_eq!(open(&other, now - 61), None);
        assert_eq!(open(&shared(2, b"a"), now), None);
        assert_eq!(open(&shared(1, b"b"), now), None);
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(other.open_at(&changed, now), None, "byte {at}");
            assert_eq!(other.open_at(&ticket[..at], now), None, "{at} bytes");
        }
    }

    #[test]
    fn a_secret_is_long_enough_and_not_shown() {
        assert!(TicketSecret::new(&[7; 31]).is_none());
        assert_eq!(format!("{:?}", TicketSecret::new(&[7; 32])), "Some(TicketSecret(…))");
    }
}
