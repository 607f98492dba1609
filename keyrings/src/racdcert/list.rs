//! LIST, LISTCHAIN, CHECKCERT.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use chrono::Utc;
use saf::{Access, Failure, Session, fail};

use super::add::{certificates, dataset, read};
use super::{Request, may, may_at};
use crate::certificate::Certificate;
use crate::store::{self, Connected, Owner, Stored};

pub(super) async fn list(session: &mut Session<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let owner = request.owner()?;
    let stored = match request.label()? {
        Some(_) => vec![request.certificate(session, "LIST").await?.0],
        None => {
            may(session, "LIST", owner, "")?;
            store::of_owner(session.connection(), owner).await?
        }
    };
    if stored.is_empty() {
        return fail(format!("IRRD134I No certificate information was found for {}.", owner.heading()));
    }
    session.say(format!("Digital certificate information for {}:", owner.heading()));
    for stored in stored {
        session.say("");
        listing(session, &stored).await?;
    }
    Ok(())
}

/// The lines of one certificate.
async fn listing(session: &mut Session<'_>, stored: &Stored) -> Result<Vec<Connected>, Failure> {
    session.say(format!("  Label: {}", stored.label));
    session.say(format!("  Certificate ID: {}", identifier(stored.owner, &stored.label)));
    session.say(format!("  Status: {}", stored.status));
    for line in stored.certificate.facts() {
        session.say(line);
    }
    session.say(format!("  Private Key: {}", if stored.key.is_some() { "YES" } else { "NO" }));
    session.say("  Certificate Fingerprint (SHA256):");
    for line in stored.certificate.fingerprint() {
        session.say(line);
    }
    let places = store::rings_of(session.connection(), stored).await?;
    session.say("  Ring Associations:");
    if places.is_empty() {
        session.say("  *** No rings associated ***");
    }
    for place in &places {
        session.say(format!("    Ring Owner: {}", place.ring_owner));
        session.say("    Ring:");
        session.say(format!("       >{}<", place.ring));
    }
    Ok(places)
}

/// The name programs give a certificate: X'D9', the length of the owner, owner and label in EBCDIC, blanks to a multiple of 3.
fn identifier(owner: Owner, label: &str) -> String {
    let owner = owner.key();
    let text: String = format!("{owner}{label}").chars().take(60).collect();
    let encoded = smf::ebcdic::encode::<60>(&text);
    let mut bytes = vec![0xD9, u8::try_from(owner.len()).unwrap_or(8)];
    bytes.extend(encoded.iter().take(text.chars().count()));
    while bytes.len() % 3 != 0 {
        bytes.push(0x40);
    }
    BASE64_STANDARD.encode(bytes)
}

pub(super) async fn chain(session: &mut Session<'_>, request: &Request<'_>) -> Result<(), Failure> {
    may_at(session, "LIST", Access::Control, "")?;
    let (first, _) = request.certificate(session, "LIST").await?;
    let chain = store::chain(session.connection(), first).await?;
    let mut common: Option<Vec<(saf::Userid, String)>> = None;
    for (number, stored) in chain.iter().enumerate() {
        session.say(format!("Certificate {}:", number + 1));
        session.say(format!("Digital certificate information for {}:", stored.owner.heading()));
        session.say("");
        let places = listing(session, stored).await?;
        let rings: Vec<_> = places.into_iter().map(|place| (place.ring_owner, place.ring)).collect();
        common = Some(match common {
            None => rings,
            Some(known) => known.into_iter().filter(|ring| rings.contains(ring)).collect(),
        });
        session.say("");
    }
    summary(session, &chain.iter().map(|stored| &stored.certificate).collect::<Vec<_>>());
    match common.unwrap_or_default().as_slice() {
        [] => session.say("  Chain contains no ring in common"),
        rings => {
            for (owner, ring) in rings {
                session.say(format!("  Chain contains ring in common: {owner}/{ring}"));
            }
        }
    }
    Ok(())
}

/// How many certificates a chain has, and what is wrong with it.
fn summary(session: &mut Session<'_>, chain: &[&Certificate]) {
    let complete = if chain.last().is_some_and(|last| last.is_self_issued()) { "complete" } else { "incomplete" };
    session.say("Chain information:");
    session.say(format!("  Chain contains {} certificate(s), chain is {complete}", chain.len()));
    if chain.iter().any(|certificate| !certificate.is_valid_at(Utc::now().timestamp())) {
        session.say("  Chain contains expired certificate(s)");
    }
}

pub(super) async fn check(session: &mut Session<'_>, request: &Request<'_>) -> Result<(), Failure> {
    may_at(session, "LIST", Access::Read, "")?;
    let name = dataset(&request.keywords, "CHECKCERT")?;
    let package = read(&name, session.read(&name)?, request.keywords.value("PASSWORD")?).await?;
    let all = certificates(&name, &package.certificates)?;
    for (number, certificate) in all.iter().enumerate() {
        session.say(format!("Certificate {}:", number + 1));
        // Whose it is tells who may list that one's certificates.
        let known = store::same(session.connection(), certificate).await?;
        match known.filter(|known| known.certificate == *certificate) {
            Some(known) if may(session, "LIST", known.owner, "").is_ok() => {
                session.say(format!("Digital certificate information for {}:", known.owner.heading()));
                session.say("");
                listing(session, &known).await?;
            }
            known => {
                let defined = if known.is_some() { "is defined to RACF" } else { "is not defined to RACF" };
                session.say(format!("The certificate {defined}."));
                session.say("");
                for line in certificate.facts() {
                    session.say(line);
                }
                session.say("  Certificate Fingerprint (SHA256):");
                for line in certificate.fingerprint() {
                    session.say(line);
                }
            }
        }
        session.say("");
    }
    if all.len() > 1 {
        summary(session, &chained(&all));
    }
    Ok(())
}

/// The certificates of a package from its first one on, each behind the one it signed.
fn chained(all: &[Certificate]) -> Vec<&Certificate> {
    let mut chain: Vec<&Certificate> = all.iter().take(1).collect();
    while let Some(last) = chain.last().copied() {
        let signer = all.iter().find(|other| *other != last && last.is_signed_by(other));
        match signer {
            Some(signer) if !chain.contains(&signer) => chain.push(signer),
            _ => break,
        }
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published sample.
    #[test]
    fn a_certificate_s_identifier_is_ebcdic_in_base64() {
        assert_eq!(identifier(Owner::Authority, "BOBGENS1"), "2QiJmZmDhZmjgcLWwsfF1eLx");
    }
}
