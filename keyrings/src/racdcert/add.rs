//! ADD, ALTER, DELETE, EXPORT.

use std::time::Duration;

use chrono::Utc;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use saf::{Failure, Keywords, Output, Row, Session, fail, refuse};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{New, Request, changed, label, may, no_hardware, put, status, unseal};
use crate::certificate::Certificate;
use crate::package::{self, BadPackage, Package};
use crate::ring::{belongs, usable};
use crate::store::{self, CERTIFICATES, Owner};

/// PKCS#12 is opened one at a time.
static OPENING: Semaphore = Semaphore::const_new(1);
/// How long that may take: whoever made it says how much work it is.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a data set holds, as certificates and keys.
pub(super) async fn read(name: &str, content: Vec<u8>, password: Option<&str>) -> Result<Package, Failure> {
    let bytes = Zeroizing::new(content);
    let password = password.map(|password| Zeroizing::new(password.to_owned()));
    let too_long = || Failure::Message(format!("IRRD104I The input data set {name} takes too long to be opened."));
    let turn = timeout(PATIENCE, OPENING.acquire()).await.map_err(|_| too_long())?;
    let opened = tokio::task::spawn_blocking(move || {
        // Whoever gives up waiting leaves the next one waiting too.
        let _turn = turn;
        package::read(&bytes, password.as_ref().map(|password| password.as_str()))
    });
    let opened = timeout(PATIENCE, opened).await.map_err(|_| too_long())?;
    let opened = opened.unwrap_or_else(|error| Err(BadPackage::Malformed(error.to_string())));
    opened.map_err(|bad| {
        Failure::Message(match bad {
            BadPackage::Password => format!(
                "IRRD120I The input data set {name} cannot be opened: it is PKCS#12, and PASSWORD is missing or wrong."
            ),
            BadPackage::Malformed(reason) => {
                format!("IRRD104I The input data set {name} does not contain a valid certificate: {reason}.")
            }
        })
    })
}

/// The certificates of a package, read.
pub(super) fn certificates(name: &str, ders: &[CertificateDer<'static>]) -> Result<Vec<Certificate>, Failure> {
    let read = |der: &CertificateDer<'static>| {
        Certificate::parse(der).map_err(|reason| {
            Failure::Message(format!(
                "IRRD104I The input data set {name} does not contain a valid certificate: {reason}."
            ))
        })
    };
    ders.iter().map(read).collect()
}

/// The name in a function's parentheses: a data set's.
pub(super) fn dataset(keywords: &Keywords, keyword: &str) -> Result<String, Failure> {
    match keywords.value(keyword)? {
        Some(name) if !name.trim().is_empty() => Ok(name.to_owned()),
        _ => fail("IKJ56701I MISSING DATA SET NAME+"),
    }
}

pub(super) async fn add(session: &mut Session<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let (owner, keywords) = (request.owner()?, &request.keywords);
    no_hardware(keywords)?;
    let name = dataset(keywords, "ADD")?;
    let coded = status(keywords, owner)?;
    let wanted = label(keywords, "WITHLABEL")?;
    may(session, "ADD", owner, wanted.as_deref().unwrap_or_default())?;
    let package = read(&name, session.read(&name)?, keywords.value("PASSWORD")?).await?;
    let mut all = certificates(&name, &package.certificates)?;
    let Some(at) = end_entity(&all, &package.keys) else {
        return fail(format!(
            "IRRD104I The input data set {name} does not contain a valid certificate: it has a private key only."
        ));
    };
    let certificate = all.remove(at);
    let key = match key_of(&certificate, &package.keys) {
        None if !package.keys.is_empty() => {
            return fail(format!("IRRD104I The private key in {name} belongs to none of its certificates."));
        }
        key => key.map(pkcs8).transpose()?,
    };
    // Authorities first, and of those the ones that signed others: the status of what they sign depends on them.
    while let Some(next) = all.iter().position(|one| !all.iter().any(|other| other != one && one.is_signed_by(other))) {
        add_authority(session, request, &all.remove(next)).await?;
    }
    check_issuer(session, owner, &certificate).await?;
    let status = match coded {
        Some(status) => status,
        None => judged(session, &certificate).await?,
    };
    let key = key.as_ref().map(|key| &key[..]);
    put(session, request, New { owner, label: wanted.as_deref(), certificate: &certificate, key, status }).await
}

/// A private key as it is stored.
fn pkcs8(key: &PrivateKeyDer<'static>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    usable(key).and_then(|_| package::pkcs8(key)).map_err(|reason| {
        Failure::Message(format!(
            "IRRD122I The private key cannot be processed: {reason} (RSA keys have 2048 to 8192 bits)"
        ))
    })
}

fn key_of<'k>(certificate: &Certificate, keys: &'k [PrivateKeyDer<'static>]) -> Option<&'k PrivateKeyDer<'static>> {
    keys.iter().find(|key| usable(key).is_ok_and(|key| belongs(&key, certificate.der())))
}

/// Which certificate of a package is not there for another one's sake: that with the private key, else the first that signed
/// none of them.
fn end_entity(all: &[Certificate], keys: &[PrivateKeyDer<'static>]) -> Option<usize> {
    let signs = |one: &Certificate| all.iter().any(|other| other != one && other.is_signed_by(one));
    let with_key = all.iter().position(|certificate| key_of(certificate, keys).is_some());
    with_key.or_else(|| all.iter().position(|certificate| !signs(certificate))).or(if all.is_empty() {
        None
    } else {
        Some(0)
    })
}

/// An authority that came with a certificate is stored for CERTAUTH, if its issuer may do that.
async fn add_authority(
    session: &mut Session<'_>,
    request: &Request<'_>,
    authority: &Certificate,
) -> Result<(), Failure> {
    if store::same(session.connection(), authority).await?.is_some() {
        return Ok(());
    }
    let subject = authority.names().subject.join(".");
    if !authority.is_authority() || may(session, "ADD", Owner::Authority, "").is_err() {
        session.remark(format!("IRRD125I The certificate of {subject} in the data set is not added."));
        return Ok(());
    }
    let status = judged(session, authority).await?;
    put(session, request, New { owner: Owner::Authority, label: None, certificate: authority, key: None, status }).await
}

/// Who adds a certificate that its issuer of this name, which RACF knows, has not signed, needs what adding an authority needs:
/// it would stand in the place of the true one.
async fn check_issuer(session: &mut Session<'_>, owner: Owner, certificate: &Certificate) -> Result<(), Failure> {
    if certificate.is_signed_by(certificate) {
        return Ok(());
    }
    let issuers = store::with_subject(session.connection(), &certificate.names().issuer.join(".")).await?;
    let mut known = issuers.iter().filter(|known| known.owner == Owner::Authority).peekable();
    let signed = known.peek().is_none() || known.any(|known| certificate.is_signed_by(&known.certificate));
    if signed || owner == Owner::Authority || may(session, "ADD", Owner::Authority, "").is_ok() {
        return Ok(());
    }
    refuse("IRRD140I The certificate is not signed by the certificate authority of that name.")
}

/// The status of a certificate nobody says one for: trusted while its dates are good and who signed it is.
async fn judged(session: &mut Session<'_>, certificate: &Certificate) -> Result<&'static str, Failure> {
    if !certificate.is_valid_at(Utc::now().timestamp()) {
        session.remark("IRRD113I The certificate that you are adding has an incorrect date range.  The certificate is added with NOTRUST status.");
        return Ok("NOTRUST");
    }
    if certificate.is_signed_by(certificate) {
        return Ok("TRUST");
    }
    let issuer = certificate.names().issuer.join(".");
    let issuers = store::with_subject(session.connection(), &issuer).await?;
    let trusted = |known: &store::Stored| {
        known.owner == Owner::Authority && known.status != "NOTRUST" && certificate.is_signed_by(&known.certificate)
    };
    if issuers.iter().any(trusted) {
        return Ok("TRUST");
    }
    session.remark(
        "IRRD119I Certificate Authority not currently trusted by RACF.  The certificate is added with NOTRUST status.",
    );
    Ok("NOTRUST")
}

pub(super) async fn alter(session: &mut Session<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let owner = request.owner()?;
    let new = label(&request.keywords, "NEWLABEL")?;
    let coded = status(&request.keywords, owner)?;
    let (stored, _) = request.certificate(session, "ALTER").await?;
    let mut row = Row::default();
    if let Some(status) = coded {
        row.set("status", status);
    }
    if let Some(new) = new.filter(|new| *new != stored.label) {
        may(session, "ALTER", owner, &new)?;
        if store::find(session.connection(), owner, &new).await?.is_some() {
            return fail(format!(
                "IRRD111I Label {new} is already in use by another certificate of {}.",
                owner.heading()
            ));
        }
        row.set("label", new);
    }
    if row.update(session.connection(), CERTIFICATES, &stored.row()).await? == 0 {
        return fail("IKJ56701I MISSING TRUST, NOTRUST, HIGHTRUST, OR NEWLABEL");
    }
    changed(session, "DIGTCERT");
    Ok(())
}

pub(super) async fn delete(session: &mut Session<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let (stored, _) = request.certificate(session, "DELETE").await?;
    if stored.requested && !request.keywords.has("FORCE") {
        return fail(format!(
            "IRRD126I The certificate labelled {} has been used for GENREQ: its private key is needed for the answer.  \
             Specify FORCE to delete it.",
            stored.label
        ));
    }
    let rings = store::rings_of(session.connection(), &stored).await?;
    stored.row().delete(session.connection(), CERTIFICATES).await?;
    changed(session, "DIGTCERT");
    if !rings.is_empty() {
        changed(session, "DIGTRING");
    }
    Ok(())
}

/// The formats of EXPORT.
const FORMATS: [&str; 6] = ["CERTB64", "CERTDER", "PKCS7B64", "PKCS7DER", "PKCS12B64", "PKCS12DER"];

pub(super) async fn export(session: &mut Session<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let keywords = &request.keywords;
    let name = dataset(keywords, "DSN")?;
    let password = keywords.value("PASSWORD")?.filter(|password| !password.is_empty());
    let coded = keywords.value("FORMAT")?.map(str::to_ascii_uppercase);
    let default = if password.is_some() { "PKCS12DER" } else { "CERTB64" };
    let Some(format) = FORMATS.into_iter().find(|format| *format == coded.as_deref().unwrap_or(default)) else {
        return fail(format!(
            "IKJ56702I INVALID FORMAT, {}\nIKJ56701I MISSING {}",
            coded.unwrap_or_default(),
            FORMATS.join(", ")
        ));
    };
    let is_package = format.starts_with("PKCS12");
    let function = if is_package { "EXPORTKEY" } else { "EXPORT" };
    let (stored, permission) = request.certificate(session, function).await?;
    let bad = |reason: String| Failure::Message(format!("IRRD127I The certificate cannot be exported: {reason}"));
    let chain = store::chain(session.connection(), stored.clone()).await?;
    let ders: Vec<CertificateDer<'static>> = chain.iter().map(|link| link.certificate.der().clone()).collect();
    let content = match (format, password) {
        ("CERTB64", _) => package::to_pem("CERTIFICATE", stored.certificate.der()),
        ("CERTDER", _) => stored.certificate.der().to_vec(),
        ("PKCS7B64", _) => package::to_pem("PKCS7", &package::to_pkcs7(&ders).map_err(bad)?),
        ("PKCS7DER", _) => package::to_pkcs7(&ders).map_err(bad)?,
        (_, None) => return fail("IKJ56701I MISSING PASSWORD+"),
        (_, Some(password)) => {
            let key = unseal(request, &stored, &permission)?;
            let der = package::to_pkcs12(&stored.label, &key, &ders, password).map_err(bad)?;
            if format == "PKCS12B64" { package::to_pem("PKCS12", &der) } else { der }
        }
    };
    session.write(Output { name, content, secret: is_package });
    Ok(())
}
