//! Certificates, rings and filters of the database.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use saf::{Columns as _, Row, SafError, Userid};
use sha2::{Digest as _, Sha256};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe};

use crate::certificate::{Certificate, hexadecimal};
use crate::envelope::Sealed;

/// Whose a certificate is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Owner {
    User(Userid),
    /// CERTAUTH: certificate authorities.
    Authority,
    Site,
}

/// A certificate as it is stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Stored {
    pub(crate) owner: Owner,
    pub(crate) label: String,
    /// `TRUST`, `NOTRUST` or `HIGHTRUST`.
    pub(crate) status: String,
    pub(crate) certificate: Certificate,
    pub(crate) key: Option<Sealed>,
    pub(crate) last_serial: i64,
    pub(crate) requested: bool,
    pub(crate) retired: bool,
}

/// A certificate's place in a ring.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Connected {
    pub(crate) ring_owner: Userid,
    pub(crate) ring: String,
    /// `PERSONAL`, `SITE` or `CERTAUTH`.
    pub(crate) usage: String,
    pub(crate) is_default: bool,
}

impl Owner {
    /// As the database has it; the owners that are no users are RACF's internal ones.
    pub(crate) fn key(self) -> String {
        match self {
            Self::User(userid) => userid.to_string(),
            Self::Authority => "irrcerta".to_owned(),
            Self::Site => "irrsitec".to_owned(),
        }
    }

    /// As RDATALIB resources have it.
    pub(crate) fn qualifier(self) -> String {
        match self {
            Self::User(userid) => userid.to_string(),
            Self::Authority => "CERTIFAUTH".to_owned(),
            Self::Site => "SITECERTIF".to_owned(),
        }
    }

    /// As listings have it: `user TCPIP`, `CERTAUTH`, `SITE`.
    pub(crate) fn heading(self) -> String {
        match self {
            Self::User(userid) => format!("user {userid}"),
            other => other.short(),
        }
    }

    /// As LISTRING has it: `ID(TCPIP)`, `CERTAUTH`, `SITE`.
    pub(crate) fn short(self) -> String {
        match self {
            Self::User(userid) => format!("ID({userid})"),
            Self::Authority => "CERTAUTH".to_owned(),
            Self::Site => "SITE".to_owned(),
        }
    }

    /// What its certificates are in a ring where nothing else is said.
    pub(crate) fn usage(self) -> &'static str {
        match self {
            Self::User(_) => "PERSONAL",
            Self::Authority => "CERTAUTH",
            Self::Site => "SITE",
        }
    }

    fn read(row: &AnyRow) -> Result<Self, SafError> {
        match row.text("owner")?.as_str() {
            "irrcerta" => Ok(Self::Authority),
            "irrsitec" => Ok(Self::Site),
            _ => Ok(Self::User(row.id("owner")?)),
        }
    }

    fn row(self) -> Row {
        Row::default().with("owner", self.key())
    }
}

impl Stored {
    /// Its key in the table.
    pub(crate) fn row(&self) -> Row {
        key(self.owner, &self.label)
    }

    /// What its private key is sealed for: its public key, which stays when a certificate is renewed.
    pub(crate) fn of(certificate: &Certificate) -> String {
        hexadecimal(&Sha256::digest(certificate.public_key()))
    }

    fn read(row: &AnyRow) -> Result<Self, SafError> {
        let damaged = |value: String| SafError::Damaged { what: "a certificate", value };
        let der = row.text("der")?;
        let label = row.text("label")?;
        let bytes = BASE64_STANDARD.decode(&der).map_err(|_| damaged(label.clone()))?;
        let certificate = Certificate::parse(&bytes).map_err(|_| damaged(label.clone()))?;
        let key = match (row.optional("envelope")?, row.optional("private_key")?) {
            (Some(envelope), Some(text)) => Some(Sealed { envelope, text }),
            _ => None,
        };
        Ok(Self {
            owner: Owner::read(row)?,
            label,
            status: row.text("status")?,
            certificate,
            key,
            last_serial: row.number("last_serial")?,
            requested: row.flag("requested")?,
            retired: row.flag("retired")?,
        })
    }
}

/// A certificate's key in the table.
pub(crate) fn key(owner: Owner, label: &str) -> Row {
    owner.row().with("label", label)
}

/// The columns of a certificate that come from its DER.
pub(crate) fn columns(row: &mut Row, certificate: &Certificate) {
    let names = certificate.names();
    row.set("serial", names.serial.as_str());
    row.set("issuer", names.issuer.join("."));
    row.set("subject", names.subject.join("."));
    row.set("der", BASE64_STANDARD.encode(certificate.der()));
    let (not_before, not_after) = certificate.validity();
    row.set("not_before", not_before);
    row.set("not_after", not_after);
    let (kind, size) = certificate.key();
    row.set("key_type", kind);
    row.set("key_size", i64::try_from(size).unwrap_or_default());
    row.set("algorithm", certificate.algorithm());
    row.set("fingerprint", hexadecimal(&Sha256::digest(certificate.der())));
}

/// Where a ring's places are kept.
pub(crate) const PLACES: &str = "racf_ring_certificates";
pub(crate) const CERTIFICATES: &str = "racf_certificates";
pub(crate) const RINGS: &str = "racf_rings";

async fn select(connection: &mut AnyConnection, condition: &str, values: &[String]) -> Result<Vec<Stored>, SafError> {
    let text = format!("SELECT c.* FROM racf_certificates c {condition} ORDER BY c.owner, c.label");
    let query = values.iter().fold(sqlx::query(AssertSqlSafe(text)), |query, value| query.bind(value.clone()));
    query.fetch_all(connection).await?.iter().map(Stored::read).collect()
}

/// The certificate with this label.
pub(crate) async fn find(
    connection: &mut AnyConnection,
    owner: Owner,
    label: &str,
) -> Result<Option<Stored>, SafError> {
    let found = select(connection, "WHERE c.owner = $1 AND c.label = $2", &[owner.key(), label.to_owned()]).await?;
    Ok(found.into_iter().next())
}

/// Every certificate of an owner.
pub(crate) async fn of_owner(connection: &mut AnyConnection, owner: Owner) -> Result<Vec<Stored>, SafError> {
    select(connection, "WHERE c.owner = $1", &[owner.key()]).await
}

/// The certificate with these names, whosever it is.
pub(crate) async fn same(
    connection: &mut AnyConnection,
    certificate: &Certificate,
) -> Result<Option<Stored>, SafError> {
    let names = certificate.names();
    let values = [names.serial.clone(), names.issuer.join(".")];
    let found = select(connection, "WHERE c.serial = $1 AND c.issuer = $2", &values).await?;
    Ok(found.into_iter().next())
}

/// Certificates with this subject, those of authorities first.
pub(crate) async fn with_subject(connection: &mut AnyConnection, subject: &str) -> Result<Vec<Stored>, SafError> {
    let mut found = select(connection, "WHERE c.subject = $1", &[subject.to_owned()]).await?;
    found.sort_by_key(|stored| stored.owner != Owner::Authority);
    Ok(found)
}

/// Those whose keys are sealed under another envelope key.
pub(crate) async fn sealed_otherwise(connection: &mut AnyConnection, envelope: &str) -> Result<Vec<Stored>, SafError> {
    select(connection, "WHERE c.envelope IS NOT NULL AND c.envelope <> $1", &[envelope.to_owned()]).await
}

/// The chain of a certificate: itself, who signed it, and so on, as far as the database knows them.
pub(crate) async fn chain(connection: &mut AnyConnection, stored: Stored) -> Result<Vec<Stored>, SafError> {
    let mut chain = vec![stored];
    while let Some(last) = chain.last().filter(|last| !last.certificate.is_self_issued()) {
        let issuers = with_subject(connection, &last.certificate.names().issuer.join(".")).await?;
        let signer = issuers.into_iter().find(|issuer| last.certificate.is_signed_by(&issuer.certificate));
        match signer {
            Some(signer) if !chain.iter().any(|known| known.certificate == signer.certificate) => chain.push(signer),
            _ => break,
        }
    }
    Ok(chain)
}

/// The rings a certificate is connected to.
pub(crate) async fn rings_of(connection: &mut AnyConnection, stored: &Stored) -> Result<Vec<Connected>, SafError> {
    let query = "SELECT * FROM racf_ring_certificates WHERE owner = $1 AND label = $2 ORDER BY ring_owner, ring_name";
    let rows = sqlx::query(query).bind(stored.owner.key()).bind(stored.label.clone()).fetch_all(connection).await?;
    rows.iter().map(connected).collect()
}

fn connected(row: &AnyRow) -> Result<Connected, SafError> {
    Ok(Connected {
        ring_owner: row.id("ring_owner")?,
        ring: row.text("ring_name")?,
        usage: row.text("usage")?,
        is_default: row.flag("is_default")?,
    })
}

/// Whether a ring is there.
pub(crate) async fn ring_exists(connection: &mut AnyConnection, owner: Userid, name: &str) -> Result<bool, SafError> {
    let query = sqlx::query("SELECT 1 FROM racf_rings WHERE owner = $1 AND name = $2");
    Ok(query.bind(owner.to_string()).bind(name.to_owned()).fetch_optional(connection).await?.is_some())
}

/// The names of a user's rings.
pub(crate) async fn rings(connection: &mut AnyConnection, owner: Userid) -> Result<Vec<String>, SafError> {
    let query = sqlx::query("SELECT name FROM racf_rings WHERE owner = $1 ORDER BY name").bind(owner.to_string());
    query.fetch_all(connection).await?.iter().map(|row| row.text("name")).collect()
}

/// The certificates of a ring with their places, authorities last.
pub(crate) async fn in_ring(
    connection: &mut AnyConnection,
    owner: Userid,
    name: &str,
) -> Result<Vec<(Stored, Connected)>, SafError> {
    let query = "SELECT c.*, p.ring_owner, p.ring_name, p.usage, p.is_default FROM racf_ring_certificates p \
                 JOIN racf_certificates c ON c.owner = p.owner AND c.label = p.label \
                 WHERE p.ring_owner = $1 AND p.ring_name = $2 ORDER BY c.owner, c.label";
    let rows = sqlx::query(query).bind(owner.to_string()).bind(name.to_owned()).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((Stored::read(row)?, connected(row)?))).collect()
}
