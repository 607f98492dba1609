//! Responses about our own certificates, sent in handshakes (RFC 6066 section 8) and asked for anew before they end.

use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::sign::CertifiedKey;
use rustls_pki_types::UnixTime;
use tracing::{info, warn};

use crate::revocation::Revocation;

/// A certificate of ours; its response is replaced from time to time.
pub(crate) type Identity = ArcSwap<CertifiedKey>;

/// Seconds after which a responder that gave nothing is asked again.
const AGAIN: u64 = 60;
/// Seconds after which a response is asked for anew at the latest: a certificate may be revoked meanwhile.
const LATEST: u64 = 3600;

/// Keeps the response of a certificate fresh for as long as the certificate is in use.
pub(crate) async fn keep(identity: Weak<Identity>, revocation: Weak<Revocation>, rule: String) {
    let mut complaint = None;
    // Until when (seconds since the epoch) the response that is sent is good.
    let mut good_until = 0;
    while let (Some(own), Some(revocation)) = (identity.upgrade(), revocation.upgrade()) {
        let current = own.load_full();
        drop(own);
        let send = |response: Option<Vec<u8>>| {
            if let Some(own) = identity.upgrade() {
                let (cert, key) = (current.cert.clone(), Arc::clone(&current.key));
                own.store(Arc::new(CertifiedKey { cert, key, ocsp: response }));
            }
        };
        let wait = match revocation.staple(&current.cert).await {
            Ok((response, until)) => {
                if complaint.take().is_some() {
                    info!(rule, "the response for the certificate is stapled again");
                }
                send(Some(response));
                good_until = until;
                let left = u64::try_from(until).unwrap_or(0).saturating_sub(UnixTime::now().as_secs());
                (left / 2).clamp(AGAIN, LATEST)
            }
            Err(reason) => {
                if complaint.as_ref() != Some(&reason) {
                    warn!(rule, reason, "no response can be stapled to the certificate");
                }
                complaint = Some(reason);
                // No response is better than one that has ended.
                if i64::try_from(UnixTime::now().as_secs()).is_ok_and(|now| now + 2 * AGAIN.cast_signed() > good_until)
                {
                    send(None);
                }
                AGAIN
            }
        };
        drop(revocation);
        tokio::time::sleep(Duration::from_secs(wait)).await;
    }
}
