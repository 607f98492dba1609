//! ADDRING, DELRING, LISTRING, CONNECT, REMOVE.

use saf::{Access, Failure, Keywords, Row, Session, Userid, fail, is_ring_name};

use super::{NO_MATCH, Request, changed, label, may_at, user};
use crate::store::{self, Owner, PLACES, RINGS};

/// The one word in a function's parentheses: a ring's name.
fn name(request: &Request<'_>) -> Result<String, Failure> {
    let name = request.keywords.value(request.function)?.unwrap_or_default();
    ring_name(name)
}

fn ring_name(name: &str) -> Result<String, Failure> {
    if is_ring_name(name) {
        return Ok(name.to_owned());
    }
    fail(format!("IKJ56702I INVALID RING NAME, {name}\n1 TO 237 CHARACTERS ARE EXPECTED, NONE OF * % & ( ) ' , ; /"))
}

/// READ for one's own rings, UPDATE for another's.
fn level(session: &Session<'_>, owner: Userid) -> Access {
    if owner == session.issuer() { Access::Read } else { Access::Update }
}

fn authorize(session: &Session<'_>, request: &Request<'_>, owner: Userid, ring: &str) -> Result<(), Failure> {
    let granular = format!("{owner}.{ring}.UPD.{}", request.function);
    may_at(session, request.function, level(session, owner), &granular).map(|_| ())
}

fn key(owner: Userid, ring: &str) -> Row {
    Row::default().with("owner", owner).with("name", ring)
}

fn place(owner: Userid, ring: &str) -> Row {
    Row::default().with("ring_owner", owner).with("ring_name", ring)
}

async fn exists(session: &mut Session<'_>, owner: Userid, ring: &str) -> Result<(), Failure> {
    if store::ring_exists(session.connection(), owner, ring).await? {
        return Ok(());
    }
    fail(format!("IRRD114I Ring {ring} does not exist."))
}

pub(super) async fn add(session: &mut Session<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let (owner, ring) = (request.user()?, name(request)?);
    authorize(session, request, owner, &ring)?;
    if store::ring_exists(session.connection(), owner, &ring).await? {
        return fail(format!("IRRD118I Ring {ring} already exists."));
    }
    let row = key(owner, &ring).with("created", session.today().to_string());
    row.insert(session.connection(), RINGS).await?;
    changed(session, "DIGTRING");
    Ok(())
}

pub(super) async fn delete(session: &mut Session<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let (owner, ring) = (request.user()?, name(request)?);
    authorize(session, request, owner, &ring)?;
    exists(session, owner, &ring).await?;
    key(owner, &ring).delete(session.connection(), RINGS).await?;
    changed(session, "DIGTRING");
    Ok(())
}

/// What CONNECT and REMOVE have in their parentheses.
struct Place {
    owner: Owner,
    label: String,
    ring: String,
    inside: Keywords,
}

async fn read(session: &mut Session<'_>, request: &Request<'_>) -> Result<Place, Failure> {
    let known = ["ID", "SITE", "CERTAUTH", "LABEL", "RING", "DEFAULT", "USAGE"];
    let Some(inside) = request.keywords.nested(request.function, &known)? else {
        return fail("IRRD121I A ring name and label name must be specified.");
    };
    let owner = match (inside.value("ID")?, inside.has("SITE"), inside.has("CERTAUTH")) {
        (None, false, false) => Owner::User(request.user()?),
        (Some(name), false, false) => Owner::User(user(session, name).await?),
        (None, true, false) => Owner::Site,
        (None, false, true) => Owner::Authority,
        _ => return fail("IKJ56716I EXTRANEOUS KEYWORDS, ONE OF ID SITE CERTAUTH IS EXPECTED"),
    };
    match (label(&inside, "LABEL")?, inside.value("RING")?) {
        (Some(label), Some(ring)) => Ok(Place { owner, label, ring: ring_name(ring)?, inside }),
        _ => fail("IRRD121I A ring name and label name must be specified."),
    }
}

pub(super) async fn connect(session: &mut Session<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let ring_owner = request.user()?;
    let Place { owner, label, ring, inside } = read(session, request).await?;
    let usage = match inside.value("USAGE")?.map(str::to_ascii_uppercase).as_deref() {
        None => owner.usage(),
        Some("PERSONAL") => "PERSONAL",
        Some("SITE") => "SITE",
        Some("CERTAUTH") => "CERTAUTH",
        Some(other) => {
            return fail(format!("IKJ56702I INVALID USAGE, {other}\nIKJ56701I MISSING PERSONAL, SITE, OR CERTAUTH"));
        }
    };
    authorize(session, request, ring_owner, &ring)?;
    // Whose private key the ring's readers may get by this, and whom they will trust.
    let needed = match owner {
        Owner::User(userid) if userid == session.issuer() && usage == "PERSONAL" => Access::Read,
        Owner::Authority if usage == "CERTAUTH" => Access::Read,
        Owner::Site if usage == "SITE" => Access::Read,
        _ => Access::Control,
    };
    may_at(session, request.function, needed, &format!("IRR.DIGTCERT.{}.{label}.LST.CONNECT", owner.qualifier()))?;
    exists(session, ring_owner, &ring).await?;
    let Some(stored) = store::find(session.connection(), owner, &label).await? else { return fail(NO_MATCH) };
    if usage == "CERTAUTH" && !stored.certificate.is_authority() {
        return fail(format!(
            "IRRD139I Certificate {label} is no certificate authority's: it cannot be connected with USAGE(CERTAUTH)."
        ));
    }
    if stored.status == "NOTRUST" {
        session.remark(format!("IRRD124I Certificate {label} has status NOTRUST: it is connected, and not used."));
    }
    let is_default = inside.has("DEFAULT");
    if is_default {
        let none = Row::default().with("is_default", false);
        none.update(session.connection(), PLACES, &place(ring_owner, &ring)).await?;
    }
    let place = place(ring_owner, &ring).with("owner", owner.key()).with("label", label);
    place.delete(session.connection(), PLACES).await?;
    place.with("usage", usage).with("is_default", is_default).insert(session.connection(), PLACES).await?;
    changed(session, "DIGTRING");
    Ok(())
}

pub(super) async fn remove(session: &mut Session<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let ring_owner = request.user()?;
    let Place { owner, label, ring, .. } = read(session, request).await?;
    authorize(session, request, ring_owner, &ring)?;
    let certificate = format!("IRR.DIGTCERT.{}.{label}.LST.REMOVE", owner.qualifier());
    may_at(session, request.function, level(session, ring_owner), &certificate)?;
    exists(session, ring_owner, &ring).await?;
    let place = place(ring_owner, &ring).with("owner", owner.key()).with("label", label.as_str());
    if place.delete(session.connection(), PLACES).await? == 0 {
        return fail(format!("IRRD116I Label {label} does not exist in ring {ring} for user {ring_owner}."));
    }
    changed(session, "DIGTRING");
    Ok(())
}

pub(super) async fn list(session: &mut Session<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let owner = request.user()?;
    let wanted = request.keywords.value(request.function)?.unwrap_or("*").to_owned();
    may_at(session, request.function, level(session, owner), "")?;
    let rings = match wanted.as_str() {
        "*" => store::rings(session.connection(), owner).await?,
        ring => {
            exists(session, owner, ring).await?;
            vec![ring.to_owned()]
        }
    };
    if rings.is_empty() {
        return fail(format!("IRRD115I User {owner} has no rings."));
    }
    session.say(format!("Digital ring information for user {owner}:"));
    for ring in rings {
        session.say("");
        session.say("  Ring:");
        session.say(format!("       >{ring}<"));
        let places = store::in_ring(session.connection(), owner, &ring).await?;
        if places.is_empty() {
            session.say("  *** No certificates connected ***");
            continue;
        }
        session.say("  Certificate Label Name             Cert Owner     USAGE      DEFAULT");
        session.say("  --------------------------------   ------------   --------   -------");
        for (stored, place) in places {
            let default = if place.is_default { "YES" } else { "NO" };
            session.say(format!(
                "  {:32}   {:12}   {:8}     {default}",
                stored.label,
                stored.owner.short(),
                place.usage
            ));
        }
    }
    Ok(())
}
