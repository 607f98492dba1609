//! SMF type 80: what profiles, classes, users and SETROPTS ask to have recorded of requests and commands.

use ::saf::{Access, Authorized, CommandRecord, Refusal, Userid};
use smf::RacfRecord;
use smf::racf::{ACCESS, JOBINIT};

use crate::daemon::Daemon;

/// `SMF80ATH`: by the access list; by SPECIAL.
const NORMAL: u8 = 0x80;
const SPECIAL: u8 = 0x40;
/// `SMF80REA`: the resource's own auditing.
const RESOURCE: u8 = 0x10;

/// Records a permitted access, if it is to be.
pub(super) fn permitted(daemon: &Daemon, userid: Userid, class: &str, intent: Access, authorized: &Authorized) {
    if !authorized.is_audited() {
        return;
    }
    let warned = authorized.warning().is_some();
    daemon.smf.write(
        RacfRecord {
            event: ACCESS,
            qualifier: if warned { 3 } else { 0 },
            warning: warned,
            reasons: RESOURCE,
            resource: authorized.resource().to_owned(),
            class: class.to_owned(),
            profile: authorized.profile().map(|profile| profile.as_str().to_owned()).unwrap_or_default(),
            intent: intent.name().to_owned(),
            allowed: authorized.allowed().name().to_owned(),
            ..begun(daemon, userid)
        }
        .encode(),
    );
}

/// Records a refused access, if it is to be.
pub(super) fn refused(daemon: &Daemon, refusal: &Refusal) {
    if !refusal.audit {
        return;
    }
    daemon.smf.write(
        RacfRecord {
            event: ACCESS,
            qualifier: 1,
            violation: true,
            reasons: RESOURCE,
            resource: refusal.resource.clone(),
            class: refusal.class.to_owned(),
            profile: refusal.profile.as_ref().map(|profile| profile.as_str().to_owned()).unwrap_or_default(),
            intent: refusal.intent.name().to_owned(),
            allowed: refusal.allowed.name().to_owned(),
            ..begun(daemon, refusal.userid)
        }
        .encode(),
    );
}

/// Records a command, if it is one that changes something.
pub(super) fn command(daemon: &Daemon, userid: Userid, record: &CommandRecord) {
    let Some(event) = RacfRecord::event_of(record.command) else { return };
    let special = daemon.saf.snapshot().is_special(userid);
    daemon.smf.write(
        RacfRecord {
            event,
            qualifier: record.qualifier,
            violation: record.qualifier == 1,
            authorities: if special { SPECIAL } else { NORMAL },
            reasons: record.reasons,
            log: record.text.clone(),
            ..begun(daemon, userid)
        }
        .encode(),
    );
}

/// Records that somebody could begin no session: failed ones always are.
pub(super) fn no_session(daemon: &Daemon, userid: Option<Userid>, qualifier: u8) {
    let identified = match userid {
        Some(userid) => begun(daemon, userid),
        None => RacfRecord { undefined: true, ..base(daemon) },
    };
    daemon.smf.write(RacfRecord { event: JOBINIT, qualifier, violation: true, ..identified }.encode());
}

fn base(daemon: &Daemon) -> RacfRecord {
    RacfRecord {
        written: chrono::Local::now().naive_local(),
        system: daemon.configuration.sysname.clone(),
        authorities: NORMAL,
        ..RacfRecord::default()
    }
}

fn begun(daemon: &Daemon, userid: Userid) -> RacfRecord {
    let snapshot = daemon.saf.snapshot();
    let identity = snapshot.identity(userid);
    RacfRecord {
        undefined: identity.is_none(),
        userid: userid.to_string(),
        group: identity.map(|(group, _)| group.to_string()).unwrap_or_default(),
        name: identity.map(|(_, name)| name.to_owned()).unwrap_or_default(),
        ..base(daemon)
    }
}
