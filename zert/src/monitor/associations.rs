//! The host's IPsec, asked for again when it has changed.

use std::future::pending;
use std::time::{Duration, Instant};

use stack::Endpoints;
use stack::xfrm::{self, Changes};
use tracing::{debug, warn};

use crate::ipsec::Ipsec;

/// How long changes are gathered: a gateway that renews its keys makes many.
const PAUSE: Duration = Duration::from_millis(100);
/// When the kernel is asked again that did not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// What is known of the kernel's policies and associations.
pub(super) struct Associations {
    known: xfrm::Ipsec,
    /// They are to be asked for again, from then on.
    changed: Option<Instant>,
    /// None where the kernel has no IPsec.
    pub(super) changes: Option<Changes>,
}

impl Associations {
    pub(super) fn new() -> Self {
        let changes = Changes::subscribe().inspect_err(|problem| debug!(%problem, "the kernel has no IPsec")).ok();
        Self { known: xfrm::Ipsec::default(), changed: Some(Instant::now()), changes }
    }

    /// Waits for a change.
    pub(super) async fn changed(&mut self) {
        match &mut self.changes {
            // What was dropped has changed too.
            Some(changes) => drop(changes.next().await),
            None => pending().await,
        }
        self.changed.get_or_insert_with(|| Instant::now() + PAUSE);
    }

    /// What IPsec does for a connection of these ends.
    pub(super) fn of(&mut self, ends: Endpoints) -> Option<Ipsec> {
        self.changes.as_ref()?;
        if self.changed.take_if(|due| *due <= Instant::now()).is_some() {
            match xfrm::Ipsec::load() {
                Ok(known) => self.known = known,
                Err(problem) => {
                    warn!(%problem, "IPsec cannot be asked for; what was known of it counts");
                    self.changed = Some(Instant::now() + AGAIN);
                }
            }
        }
        self.known.of_connection(ends).map(|found| Ipsec::of(&found))
    }
}
