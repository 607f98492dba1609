//! Our own certificates, watched: one that has ended, ends soon or is revoked is told before peers complain.

use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use tracing::{error, warn};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::engine::Shared;
use crate::revocation::RevocationError;

/// Seconds between two looks.
const INTERVAL: u64 = 3600;
/// Seconds before its end from which on a certificate is told to end soon, once a day.
const SOON: i64 = 14 * 86_400;

/// Looks at the certificates of the installed policy, whenever there is another one and once an hour.
pub(crate) async fn watch(engine: Arc<Shared>) {
    let mut changed = true;
    let mut day = 0;
    loop {
        let installed = engine.installed.load_full();
        let now = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
        // Once for each policy and day.
        let anew = changed || now / 86_400 != day;
        day = now / 86_400;
        let mut next = INTERVAL;
        let mut certificates = Vec::new();
        for (rule, environment) in &installed.environments {
            for chain in environment.own() {
                certificates.push((rule.clone(), Arc::clone(environment), chain.clone()));
            }
        }
        drop(installed);
        for (rule, _, chain) in &certificates {
            let Some((subject, end)) = chain.first().and_then(facts) else { continue };
            if now > end {
                error!(rule, subject, "our certificate has expired: peers refuse it");
                continue;
            }
            if end - now < SOON && anew {
                warn!(rule, subject, days = (end - now) / 86_400, "our certificate ends soon");
            }
            next = next.min(u64::try_from(end - now).unwrap_or_default() + 1);
        }
        for (rule, environment, chain) in &certificates {
            if let Err(revoked @ RevocationError::Revoked { .. }) = environment.own_revocation(chain).await {
                error!(rule, %revoked, "our certificate is revoked: peers may refuse it");
            }
        }
        drop(certificates);
        changed = tokio::select! {
            () = engine.changed.notified() => true,
            () = tokio::time::sleep(Duration::from_secs(next)) => false,
        };
    }
}

fn facts(certificate: &CertificateDer<'static>) -> Option<(String, i64)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some((parsed.subject().to_string(), parsed.validity().not_after.timestamp()))
}
