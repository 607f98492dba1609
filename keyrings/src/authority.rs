//! Who may read a ring, and whose private keys with it: R_datalib's rules.
//!
//! Source: *RACF Callable Services*, R_datalib, "RACF authorization".

use saf::{Access, Decision, Request, Snapshot, Userid};
use tracing::warn;

use crate::store::Owner;

/// What a reader has of a ring: the proof without which no private key is decrypted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingAccess {
    reader: Userid,
    path: Path,
}

#[derive(Clone, Copy, Debug)]
enum Path {
    /// By a profile in class RDATALIB; whether its level is UPDATE.
    Rdatalib { update: bool },
    /// By IRR.DIGTCERT.LISTRING in class FACILITY; whether IRR.DIGTCERT.GENCERT gives CONTROL.
    Facility { control: bool },
}

/// That a reader may have a private key. Only [`RingAccess::key`] makes it.
#[derive(Debug)]
pub(crate) struct KeyProof(());

/// SAF's return code for a resource.
pub(crate) fn saf(snapshot: &Snapshot, userid: Userid, class: &str, resource: &str, level: Access) -> u8 {
    snapshot.codes(&Request::new(userid, class, resource, level)).saf
}

/// The same, told in the log when only WARNING permits it.
fn asked(snapshot: &Snapshot, userid: Userid, class: &str, resource: &str, level: Access) -> u8 {
    match snapshot.auth(userid, class, resource, level) {
        Decision::Permitted(authorized) => {
            if let Some(warning) = authorized.warning() {
                warn!(target: "audit", "{warning}");
            }
            0
        }
        Decision::NoDecision(_) => 4,
        Decision::Refused(_) => 8,
    }
}

/// Looks whether a reader may read the ring that `owner` and `ring` name in RDATALIB resources; `own` tells whether it is
/// the reader's, or as good as that.
///
/// # Errors
///
/// What would have to be permitted.
pub(crate) fn read_ring(
    snapshot: &Snapshot,
    reader: Userid,
    owner: &str,
    ring: &str,
    own: bool,
) -> Result<RingAccess, String> {
    // The ring's name is folded in resource names only.
    let resource = format!("{owner}.{}.LST", ring.to_ascii_uppercase());
    match asked(snapshot, reader, "RDATALIB", &resource, Access::Read) {
        0 => {
            let update = asked(snapshot, reader, "RDATALIB", &resource, Access::Update) == 0;
            Ok(RingAccess { reader, path: Path::Rdatalib { update } })
        }
        8 => Err(format!("READ to {resource} in class RDATALIB")),
        // No profile: the older rule.
        _ => {
            let level = if own { Access::Read } else { Access::Update };
            if asked(snapshot, reader, "FACILITY", LISTRING, level) != 0 {
                return Err(format!(
                    "{level} to {LISTRING} in class FACILITY, or READ to {resource} in class RDATALIB"
                ));
            }
            let control = asked(snapshot, reader, "FACILITY", "IRR.DIGTCERT.GENCERT", Access::Control) == 0;
            Ok(RingAccess { reader, path: Path::Facility { control } })
        }
    }
}

const LISTRING: &str = "IRR.DIGTCERT.LISTRING";

impl RingAccess {
    /// Whether the reader may have the private key of a certificate that is connected with USAGE(PERSONAL).
    ///
    /// # Errors
    ///
    /// What would have to be permitted.
    pub(crate) fn key(&self, owner: Owner) -> Result<KeyProof, &'static str> {
        let own = owner == Owner::User(self.reader);
        match self.path {
            Path::Rdatalib { update } if own || update => Ok(KeyProof(())),
            Path::Rdatalib { .. } => Err("UPDATE to the ring's profile in class RDATALIB"),
            Path::Facility { .. } if own => Ok(KeyProof(())),
            Path::Facility { control } if control && !matches!(owner, Owner::User(_)) => Ok(KeyProof(())),
            Path::Facility { .. } => Err("a profile for the ring in class RDATALIB, with UPDATE"),
        }
    }
}
