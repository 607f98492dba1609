//! RACDCERT: certificates, key rings and certificate name filters.
//!
//! Source: *RACF Command Language Reference*, RACDCERT; message texts that no readable page confirms are marked in
//! `docs/messages.md`.

mod add;
mod generate;
mod list;
mod map;
mod ring;

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _};
use saf::{Access, CommandProcessor, Failure, Keywords, Row, Session, Userid, Value, Words, fail, refuse};
use zeroize::Zeroizing;

use crate::authority::saf;
use crate::certificate::Certificate;
use crate::envelope::{Envelope, EnvelopeError, Sealed};
use crate::store::{self, CERTIFICATES, Owner, Stored};

/// Whose certificates a command is about.
const OWNERS: [&str; 4] = ["ID", "SITE", "CERTAUTH", "MULTIID"];

/// The functions with their keywords.
const FUNCTIONS: &[(&str, &[&str])] = &[
    ("ADD", &["TRUST", "NOTRUST", "HIGHTRUST", "WITHLABEL", "PASSWORD", "PKDS", "PCICC", "ICSF"]),
    ("ADDRING", &[]),
    ("ALTER", &["TRUST", "NOTRUST", "HIGHTRUST", "NEWLABEL"]),
    ("ALTMAP", &["NEWLABEL", "TRUST", "NOTRUST", "NEWCRITERIA"]),
    ("CHECKCERT", &["PASSWORD"]),
    ("CONNECT", &[]),
    ("DELETE", &["FORCE"]),
    ("DELMAP", &[]),
    ("DELRING", &[]),
    ("EXPORT", &["DSN", "FORMAT", "PASSWORD"]),
    (
        "GENCERT",
        &[
            "SUBJECTSDN",
            "SIZE",
            "NOTBEFORE",
            "NOTAFTER",
            "WITHLABEL",
            "SIGNWITH",
            "RSA",
            "NISTECC",
            "BPECC",
            "DSA",
            "PKDS",
            "PCICC",
            "ICSF",
            "FROMICSF",
            "SIGATTR",
            "KEYUSAGE",
            "ALTNAME",
        ],
    ),
    ("GENREQ", &["DSN"]),
    ("LIST", &[]),
    ("LISTCHAIN", &[]),
    ("LISTMAP", &[]),
    ("LISTRING", &[]),
    ("MAP", &["IDNFILTER", "SDNFILTER", "CRITERIA", "WITHLABEL", "TRUST", "NOTRUST"]),
    (
        "REKEY",
        &["WITHLABEL", "SIZE", "NOTBEFORE", "NOTAFTER", "RSA", "NISTECC", "BPECC", "DSA", "PKDS", "PCICC", "ICSF"],
    ),
    ("REMOVE", &[]),
    ("ROLLOVER", &["NEWLABEL", "FORCE"]),
    // Ours: what `pagent saf rotate-key` runs.
    ("ROTATEKEY", &[]),
];

/// Functions that granular authority covers.
const GRANULAR: [&str; 12] = [
    "ADD", "ALTER", "DELETE", "EXPORT", "GENCERT", "GENREQ", "REKEY", "ROLLOVER", "ADDRING", "DELRING", "CONNECT",
    "REMOVE",
];

/// The longest label.
const LABEL: usize = 32;

/// The command's processor.
#[derive(Debug)]
pub struct Racdcert {
    envelope: Arc<Envelope>,
}

impl Racdcert {
    /// `envelope` encrypts the private keys.
    #[must_use]
    pub fn new(envelope: Arc<Envelope>) -> Self {
        Self { envelope }
    }
}

impl CommandProcessor for Racdcert {
    fn name(&self) -> &'static str {
        "RACDCERT"
    }

    fn run<'a>(&'a self, session: &'a mut Session<'_>, words: &'a Words) -> BoxFuture<'a, Result<(), Failure>> {
        self.dispatch(session, words).boxed()
    }
}

/// What a function is asked for.
struct Request<'a> {
    /// None: MULTIID.
    owner: Option<Owner>,
    function: &'static str,
    keywords: Keywords,
    envelope: &'a Envelope,
}

impl Racdcert {
    async fn dispatch(&self, session: &mut Session<'_>, words: &Words) -> Result<(), Failure> {
        let names: Vec<&'static str> = FUNCTIONS.iter().map(|(name, _)| *name).collect();
        let function = words.first_of(&names).unwrap_or("LIST");
        let known: Vec<&'static str> = FUNCTIONS
            .iter()
            .filter(|(name, _)| *name == function)
            .flat_map(|(_, keywords)| keywords.iter().copied())
            .chain(OWNERS)
            .chain([function])
            .collect();
        let keywords = words.keywords(0, &known)?;
        let owner = owner(session, &keywords).await?;
        let request = Request { owner, function, keywords, envelope: &self.envelope };
        match function {
            "ADD" => add::add(session, &request).await,
            "ADDRING" => ring::add(session, &request).await,
            "ALTER" => add::alter(session, &request).await,
            "ALTMAP" => map::alter(session, &request).await,
            "CHECKCERT" => list::check(session, &request).await,
            "CONNECT" => ring::connect(session, &request).await,
            "DELETE" => add::delete(session, &request).await,
            "DELMAP" => map::delete(session, &request).await,
            "DELRING" => ring::delete(session, &request).await,
            "EXPORT" => add::export(session, &request).await,
            "GENCERT" => generate::certificate(session, &request).await,
            "GENREQ" => generate::request(session, &request).await,
            "LISTCHAIN" => list::chain(session, &request).await,
            "LISTMAP" => map::list(session, &request).await,
            "LISTRING" => ring::list(session, &request).await,
            "MAP" => map::map(session, &request).await,
            "REKEY" => generate::rekey(session, &request).await,
            "REMOVE" => ring::remove(session, &request).await,
            "ROLLOVER" => generate::rollover(session, &request).await,
            "ROTATEKEY" => rotate(session, &request).await,
            _ => list::list(session, &request).await,
        }
    }
}

/// Whose certificates are meant; the issuer's, when nothing says so. None: MULTIID.
async fn owner(session: &mut Session<'_>, keywords: &Keywords) -> Result<Option<Owner>, Failure> {
    let coded: Vec<&str> = OWNERS.into_iter().filter(|name| keywords.has(name)).collect();
    match coded.as_slice() {
        [] => Ok(Some(Owner::User(session.issuer()))),
        ["ID"] => Ok(Some(Owner::User(user(session, keywords.value("ID")?.unwrap_or_default()).await?))),
        ["SITE"] => Ok(Some(Owner::Site)),
        ["CERTAUTH"] => Ok(Some(Owner::Authority)),
        ["MULTIID"] => Ok(None),
        several => fail(format!("IKJ56716I EXTRANEOUS KEYWORDS, ONE OF {} IS EXPECTED", several.join(" "))),
    }
}

/// A user who is defined.
async fn user(session: &mut Session<'_>, name: &str) -> Result<Userid, Failure> {
    let Some(userid) = Userid::parse(name) else { return fail(format!("IKJ56702I INVALID USERID, {name}")) };
    if session.user_exists(userid).await? {
        return Ok(userid);
    }
    fail(format!("IRRD105I The specified user ID {userid} is not defined to RACF."))
}

impl Request<'_> {
    /// Whose certificates are meant.
    fn owner(&self) -> Result<Owner, Failure> {
        match self.owner {
            Some(owner) => Ok(owner),
            None => fail(format!("IKJ56712I INVALID KEYWORD, MULTIID\n{} IS FOR ID, SITE OR CERTAUTH", self.function)),
        }
    }

    /// The user whose rings are meant.
    fn user(&self) -> Result<Userid, Failure> {
        match self.owner {
            Some(Owner::User(userid)) => Ok(userid),
            _ => {
                fail(format!("IKJ56712I INVALID KEYWORD, SITE OR CERTAUTH\n{} IS FOR USERS: ID(USERID)", self.function))
            }
        }
    }

    /// The label that stands with the function: `LIST(LABEL('x'))`.
    fn label(&self) -> Result<Option<String>, Failure> {
        match self.keywords.nested(self.function, &["LABEL"])? {
            Some(inside) => label(&inside, "LABEL"),
            None => Ok(None),
        }
    }

    /// The certificate that the function names by its label, without one the only one there is, with the permission to use
    /// the function on it. Whether it is there is told to those only who would be permitted.
    async fn certificate(&self, session: &mut Session<'_>, function: &str) -> Result<(Stored, Permission), Failure> {
        let owner = self.owner()?;
        let coded = self.label()?;
        let (found, several) = match &coded {
            Some(label) => (store::find(session.connection(), owner, label).await?, false),
            None => {
                let mut all = store::of_owner(session.connection(), owner).await?;
                let only = all.pop();
                (only.filter(|_| all.is_empty()), !all.is_empty())
            }
        };
        let label = found.as_ref().map(|stored| stored.label.clone()).or(coded).unwrap_or_default();
        let permission = may(session, function, owner, &label)?;
        match found {
            Some(stored) => Ok((stored, permission)),
            None if several => {
                fail(format!("IRRD108I {} has several certificates; LABEL is expected.", owner.heading()))
            }
            None => fail(NO_MATCH),
        }
    }
}

const NO_MATCH: &str = "IRRD107I No matching certificate was found for this user.";

/// The certificate with this label.
async fn certificate(session: &mut Session<'_>, owner: Owner, label: &str) -> Result<Stored, Failure> {
    match store::find(session.connection(), owner, label).await? {
        Some(stored) => Ok(stored),
        None => fail(NO_MATCH),
    }
}

/// A label: 1 to 32 characters, in any case.
fn label(keywords: &Keywords, keyword: &str) -> Result<Option<String>, Failure> {
    let Some(text) = keywords.value(keyword)? else { return Ok(None) };
    let text = text.trim_end();
    if text.is_empty() || text.chars().count() > LABEL || text.starts_with(' ') {
        return fail(format!(
            "IKJ56702I INVALID {keyword}, {text}\n1 TO {LABEL} CHARACTERS ARE EXPECTED, THE FIRST NO BLANK"
        ));
    }
    Ok(Some(text.to_owned()))
}

/// `TRUST`, `NOTRUST`, `HIGHTRUST`; the last is for authorities only, for others it is the first.
fn status(keywords: &Keywords, owner: Owner) -> Result<Option<&'static str>, Failure> {
    let coded: Vec<&'static str> =
        ["TRUST", "NOTRUST", "HIGHTRUST"].into_iter().filter(|name| keywords.has(name)).collect();
    match coded.as_slice() {
        [] => Ok(None),
        ["HIGHTRUST"] if owner != Owner::Authority => Ok(Some("TRUST")),
        [one] => Ok(Some(*one)),
        _ => fail("IKJ56716I EXTRANEOUS KEYWORDS, ONE OF TRUST NOTRUST HIGHTRUST IS EXPECTED"),
    }
}

/// Hardware that this system does not have is no place for a key.
fn no_hardware(keywords: &Keywords) -> Result<(), Failure> {
    let nested = |name, known: &[&'static str]| {
        keywords.nested(name, known).map(|inside| inside.is_some_and(|inside| inside.pairs().next().is_some()))
    };
    for name in ["PKDS", "PCICC", "ICSF", "FROMICSF"] {
        if keywords.has(name) {
            return fail(format!(
                "IKJ56702I INVALID {name}\nTHERE IS NO ICSF: PRIVATE KEYS ARE KEPT IN THE RACF DATABASE"
            ));
        }
    }
    for name in ["RSA", "NISTECC"] {
        if nested(name, &["PKDS", "TOKEN"])? {
            return fail(format!(
                "IKJ56702I INVALID {name}\nTHERE IS NO ICSF: PRIVATE KEYS ARE KEPT IN THE RACF DATABASE"
            ));
        }
    }
    Ok(())
}

/// That the issuer may do something with a certificate: without it no private key is decrypted.
#[derive(Debug)]
struct Permission(());

/// Whether the issuer may use a function on an owner's certificate, by the granular profiles where they are in use, else by
/// `IRR.DIGTCERT.function` in FACILITY: READ for one's own, UPDATE for another user's, CONTROL for CERTAUTH and SITE.
fn may(session: &Session<'_>, function: &str, owner: Owner, label: &str) -> Result<Permission, Failure> {
    let level = match owner {
        Owner::User(userid) if userid == session.issuer() => Access::Read,
        Owner::User(_) => Access::Update,
        Owner::Authority | Owner::Site => Access::Control,
    };
    let place = if function == "EXPORT" { "LST" } else { "UPD" };
    let name = if function == "EXPORTKEY" { "EXPORT" } else { function };
    let granular = format!("IRR.DIGTCERT.{}.{label}.{place}.{name}", owner.qualifier());
    may_at(session, function, level, &granular)
}

/// The same with the level and the granular resource said.
fn may_at(session: &Session<'_>, function: &str, level: Access, granular: &str) -> Result<Permission, Failure> {
    if session.is_special() {
        return Ok(Permission(()));
    }
    let ask = |class, resource: &str, level| saf(session.snapshot(), session.issuer(), class, resource, level);
    let covered = GRANULAR.contains(&function) || function == "EXPORTKEY";
    let (class, resource, level) = match covered && ask("RDATALIB", "IRR.RACDCERT.GRANULAR", Access::Read) != 4 {
        true => ("RDATALIB", granular.to_ascii_uppercase(), Access::Read),
        false => ("FACILITY", format!("IRR.DIGTCERT.{function}"), level),
    };
    if ask(class, &resource, level) == 0 {
        return Ok(Permission(()));
    }
    refuse(format!(
        "IRRD101I You are not authorized to issue the RACDCERT command.\n{function} NEEDS {level} TO {resource} IN CLASS {class}"
    ))
}

/// Says that a class is RACLISTed, after a change of its profiles.
fn changed(session: &mut Session<'_>, class: &str) {
    // Rings and their certificates are read as they are stored; what DIGTCERT's and DIGTNMAP's profiles map, from storage.
    if session.changed(class) && class != "DIGTRING" {
        session.say(format!(
            "IRRD175I The new profile for {class} will not be in effect until a SETROPTS REFRESH has been issued."
        ));
    }
}

/// Why the envelope fails, as a failure.
fn envelope(error: &EnvelopeError) -> Failure {
    Failure::Message(format!("IRRD122I The private key cannot be processed: {error}"))
}

/// A private key, encrypted. The first one makes the envelope's file.
async fn seal(
    session: &mut Session<'_>,
    request: &Request<'_>,
    certificate: &Certificate,
    key: &[u8],
) -> Result<Sealed, Failure> {
    let query = sqlx::query("SELECT 1 FROM racf_certificates WHERE private_key IS NOT NULL LIMIT 1");
    let first = query.fetch_optional(session.connection()).await.map_err(saf::SafError::from)?.is_none();
    if first && session.is_dry_run() {
        return Ok(Sealed { envelope: String::new(), text: String::new() });
    }
    if first {
        request.envelope.make().map_err(|error| envelope(&error))?;
    }
    request.envelope.seal(key, &Stored::of(certificate)).map_err(|error| envelope(&error))
}

/// A private key, for what its owner or an administrator may do with it.
fn unseal(request: &Request<'_>, stored: &Stored, _permitted: &Permission) -> Result<Zeroizing<Vec<u8>>, Failure> {
    match &stored.key {
        Some(sealed) => {
            request.envelope.open(sealed, &Stored::of(&stored.certificate)).map_err(|error| envelope(&error))
        }
        None if stored.retired => fail(format!(
            "IRRD123I The private key of the certificate labelled {} was retired by ROLLOVER.",
            stored.label
        )),
        None => fail(format!("IRRD117I The certificate labelled {} does not have a private key.", stored.label)),
    }
}

/// A new certificate to be stored.
struct New<'a> {
    owner: Owner,
    /// None: the next `LABELnnnnnnnn`, or that of the certificate it renews.
    label: Option<&'a str>,
    certificate: &'a Certificate,
    /// PKCS#8.
    key: Option<&'a [u8]>,
    status: &'a str,
}

/// Stores a certificate. One with the public key of another of its owner's that has the private key takes its place,
/// everywhere.
async fn put(session: &mut Session<'_>, request: &Request<'_>, new: New<'_>) -> Result<(), Failure> {
    let New { owner, certificate, .. } = new;
    let known = store::of_owner(session.connection(), owner).await?;
    let same_key = |known: &&Stored| known.certificate.public_key() == certificate.public_key() && known.key.is_some();
    let renewed = if new.key.is_none() { known.iter().find(same_key) } else { None };
    if let Some(same) = store::same(session.connection(), certificate).await? {
        // The certificate alone came first, now its key comes.
        let completes = same.owner == owner && same.certificate == *certificate && same.key.is_none();
        let renames = new.label.is_some_and(|label| label != same.label);
        if !completes || new.key.is_none() || renames {
            let whose = match may(session, "LIST", same.owner, &same.label) {
                Ok(_) => format!("\nIT IS {}, LABEL {}", same.owner.short(), same.label),
                Err(_) => String::new(),
            };
            let profile = certificate.profile();
            return fail(format!(
                "IRRD109I The certificate cannot be added.  Profile {profile} is already defined.{whose}"
            ));
        }
        may(session, request.function, owner, &same.label)?;
        let sealed = seal(session, request, certificate, new.key.unwrap_or_default()).await?;
        let row = Row::default()
            .with("envelope", sealed.envelope)
            .with("private_key", sealed.text)
            .with("status", new.status);
        row.update(session.connection(), CERTIFICATES, &same.row()).await?;
        changed(session, "DIGTCERT");
        return Ok(());
    }
    let taken = |label: &str| known.iter().any(|known| known.label == label);
    let own = renewed.map(|renewed| renewed.label.as_str());
    if let Some(label) = new.label.filter(|label| taken(label) && Some(*label) != own) {
        return fail(format!(
            "IRRD111I Label {label} is already in use by another certificate of {}.",
            owner.heading()
        ));
    }
    let mut row = Row::default().with("status", new.status);
    store::columns(&mut row, certificate);
    if let Some(renewed) = renewed {
        may(session, request.function, owner, &renewed.label)?;
        let label = new.label.unwrap_or(&renewed.label).to_owned();
        row = row.with("label", label).with("requested", false);
        row.update(session.connection(), CERTIFICATES, &renewed.row()).await?;
    } else {
        let free = || (1..).map(|number| format!("LABEL{number:08}")).find(|label| !taken(label));
        let Some(label) = new.label.map(str::to_owned).or_else(free) else { return fail("IRRD111I No label is free.") };
        may(session, request.function, owner, &label)?;
        if let Some(key) = new.key {
            let sealed = seal(session, request, certificate, key).await?;
            row = row.with("envelope", sealed.envelope).with("private_key", sealed.text);
        }
        let userid = match owner {
            Owner::User(userid) => Value::from(userid),
            Owner::Authority | Owner::Site => Value::Text(None),
        };
        row = row.with("owner", owner.key()).with("userid", userid).with("label", label.as_str());
        row.with("created", session.today().to_string()).insert(session.connection(), CERTIFICATES).await?;
        session.say(format!("IRRD199I Certificate with label '{label}' is added for {}.", owner.heading()));
    }
    changed(session, "DIGTCERT");
    Ok(())
}

/// Encrypts every private key under the first key of the envelope's file.
async fn rotate(session: &mut Session<'_>, request: &Request<'_>) -> Result<(), Failure> {
    if !session.is_special() {
        return refuse("IRRD101I You are not authorized to issue the RACDCERT command.\nROTATEKEY NEEDS SPECIAL");
    }
    let special = Permission(());
    if session.is_dry_run() {
        session.say("EVERY PRIVATE KEY WOULD BE ENCRYPTED UNDER A NEW ENVELOPE KEY");
        return Ok(());
    }
    let (name, made) = request.envelope.begin_rotation().map_err(|error| envelope(&error))?;
    let stored = store::sealed_otherwise(session.connection(), &name).await?;
    for certificate in &stored {
        let key = unseal(request, certificate, &special)?;
        let of = Stored::of(&certificate.certificate);
        let sealed = request.envelope.seal(&key, &of).map_err(|error| envelope(&error))?;
        let row = Row::default().with("envelope", sealed.envelope).with("private_key", sealed.text);
        row.update(session.connection(), CERTIFICATES, &certificate.row()).await?;
    }
    session.say(format!("{} PRIVATE KEYS ARE ENCRYPTED UNDER THE ENVELOPE KEY {name} NOW", stored.len()));
    if !made {
        let done = if stored.is_empty() { "THEY WERE BEFORE: " } else { "" };
        session.remark(format!(
            "{done}THE FILE HAD SEVERAL KEYS, OF WHICH THE FIRST COUNTS; WHEN EVERY DAEMON HAS IT, TAKE THE OTHERS OUT"
        ));
    }
    Ok(())
}
