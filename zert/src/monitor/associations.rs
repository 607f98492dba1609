//! The host's IPsec, asked for again when it has changed.

use std::future::pending;

use stack::Endpoints;
use stack::xfrm::{self, Changes};
use tracing::{debug, warn};

use crate::ipsec::Ipsec;

/// What is known of the kernel's policies and associations.
pub(super) struct Associations {
    known: xfrm::Ipsec,
    changed: bool,
    /// None where the kernel has no IPsec.
    pub(super) changes: Option<Changes>,
}

impl Associations {
    pub(super) fn new() -> Self {
        let changes = Changes::subscribe().inspect_err(|problem| debug!(%problem, "the kernel has no IPsec")).ok();
        Self { known: xfrm::Ipsec::default(), changed: true, changes }
    }

    /// Waits for a change.
    pub(super) async fn changed(&mut self) {
        match &mut self.changes {
            // What was dropped has changed too.
            Some(changes) => drop(changes.next().await),
            None => pending().await,
        }
        self.changed = true;
    }

    /// What IPsec does for a connection of these ends.
    pub(super) fn of(&mut self, ends: Endpoints) -> Option<Ipsec> {
        self.changes.as_ref()?;
        if std::mem::take(&mut self.changed) {
            match xfrm::Ipsec::load() {
                Ok(known) => self.known = known,
                Err(problem) => warn!(%problem, "IPsec is not looked at"),
            }
        }
        self.known.of_connection(ends).map(|found| Ipsec::of(&found))
    }
}
