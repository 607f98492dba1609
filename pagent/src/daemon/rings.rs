//! Key rings of the database, followed while the policy stays.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tracing::{error, info};
use ttls::InstallError;

use super::Daemon;

/// How long after a change of key rings they are read again.
const RINGS: Duration = Duration::from_millis(200);
/// And after how long once more: the database did not answer; a ring cannot be used; all is well.
const AGAIN: Duration = Duration::from_secs(5);
const CLOSED: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_secs(600);

impl Daemon {
    /// Follows changes of certificates, key rings and the rights to them in the database, until the database is closed. What
    /// changes by itself (dates, the envelope's file) is found by looking again now and then.
    pub(super) async fn follow_rings(self: Arc<Self>, mut changes: watch::Receiver<u64>) {
        let mut told = Vec::new();
        let mut next = LOOK;
        loop {
            match tokio::time::timeout(next, changes.changed()).await {
                Ok(Err(_)) => return,
                Ok(Ok(())) => {
                    // Several commands in a row are one change.
                    tokio::time::sleep(RINGS).await;
                    changes.mark_unchanged();
                    info!("certificates or key rings have changed");
                    told.clear();
                }
                Err(_) => {}
            }
            let errors = self.refresh_rings().await;
            next = match errors.as_slice() {
                [] => LOOK,
                errors if errors.iter().any(InstallError::is_passing) => AGAIN,
                _ => CLOSED,
            };
            let messages: Vec<String> = errors.iter().map(ToString::to_string).collect();
            for message in messages.iter().filter(|message| !told.contains(*message)) {
                error!(
                    "{message}; until its ring can be read again a rule makes no handshakes, or those of the ring it had"
                );
            }
            told = messages;
        }
    }

    /// Reads the rings of the policy in force again, and says what is wrong with them.
    async fn refresh_rings(&self) -> Vec<InstallError> {
        let alone = self.refreshing.lock().await;
        if self.released.load(Ordering::SeqCst) {
            return Vec::new();
        }
        let engine = self.engine.clone();
        let errors = match tokio::task::spawn_blocking(move || engine.read_rings()).await {
            Ok(result) => result.err().unwrap_or_default(),
            Err(problem) => {
                error!(%problem, "the key rings could not be read");
                return Vec::new();
            }
        };
        drop(alone);
        // A refused policy may have waited for a ring.
        let waits = self.policy.read().unwrap_or_else(PoisonError::into_inner).refused.is_some();
        if waits
            && !self.engine.is_retired()
            && let Err(message) = self.read_policy(None, false).await
        {
            error!("{message}");
        }
        errors
    }
}
