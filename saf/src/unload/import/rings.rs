//! Key rings. The bodies of certificates are in no unload: a ring gets those certificates back that the database has.

use super::{Import, Unfit};
use crate::access::Userid;
use crate::error::SafError;
use crate::is_ring_name;
use crate::load::Columns as _;
use crate::unload::fields::Fields;
use crate::unload::lines::Record;
use crate::unload::{RESOURCE, RING, certificate_name};

impl Import<'_> {
    /// A profile of class DIGTRING, `OWNER.RING`.
    pub(super) async fn ring(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &RESOURCE };
        let name = fields.text("NAME");
        let (owner, ring) = ring_name(&name)?;
        if !self.exists("racf_users", "userid", owner).await? {
            return Err(format!("the ring's owner {owner} is not defined").into());
        }
        let created = fields.date("CREATE_DATE")?.unwrap_or_default();
        let query = "INSERT INTO racf_rings (owner, name, created) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let query = sqlx::query(query).bind(owner.to_string()).bind(ring).bind(created);
        if query.execute(&mut *self.transaction).await?.rows_affected() == 0 {
            return Err(format!("the ring {name} was defined before, and stays as it is").into());
        }
        self.changes.profiles.insert("DIGTRING");
        self.rings.insert(name);
        Ok(true)
    }

    /// A certificate of a ring.
    pub(super) async fn place(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &RING };
        let name = fields.text("NAME");
        let (owner, ring) = ring_name(&name)?;
        if !self.rings.contains(&name) {
            return Err(format!("the ring {name} is none of this import's").into());
        }
        let wanted = fields.text("CERT_NAME");
        let Some((certificate_owner, label)) = self.certificate(&wanted).await? else {
            let reason = format!(
                "the certificate {wanted} (label {}) is not in the database, and an unload has no bodies of certificates: \
                 RACDCERT ADD it, then RACDCERT ID({owner}) CONNECT it to {ring}",
                fields.text("CERT_LABEL")
            );
            return Err(reason.into());
        };
        let usage = fields.text("CERT_USAGE");
        if !["PERSONAL", "SITE", "CERTAUTH"].contains(&usage.as_str()) {
            return Err(format!(
                "CERT_USAGE in columns 509 to 516 is `{usage}`, PERSONAL, SITE or CERTAUTH is expected"
            )
            .into());
        }
        let query = "INSERT INTO racf_ring_certificates (ring_owner, ring_name, owner, label, usage, is_default) \
                     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        let query = sqlx::query(query).bind(owner.to_string()).bind(ring).bind(certificate_owner).bind(label);
        let done = query.bind(usage).bind(fields.flag("CERT_DEFAULT")).execute(&mut *self.transaction).await?;
        if done.rows_affected() == 0 {
            return Err(format!("{wanted} is in {name} twice, or a second default").into());
        }
        Ok(true)
    }

    /// Owner and label of the certificate with this profile name, whatever a transfer made of the `¢` in it.
    async fn certificate(&mut self, name: &str) -> Result<Option<(String, String)>, SafError> {
        let plain = |name: &str| name.replace(['¢', '[', '\u{fffd}'], " ");
        let serial = name.split('.').next().unwrap_or_default().to_owned();
        let query =
            sqlx::query("SELECT owner, label, serial, issuer FROM racf_certificates WHERE serial = $1").bind(serial);
        for row in query.fetch_all(&mut *self.transaction).await? {
            if plain(&certificate_name(&row.text("serial")?, &row.text("issuer")?)) == plain(name) {
                return Ok(Some((row.text("owner")?, row.text("label")?)));
            }
        }
        Ok(None)
    }
}

fn ring_name(name: &str) -> Result<(Userid, String), String> {
    let wrong = || format!("NAME in columns 6 to 251 is `{name}`, OWNER.RING is expected");
    let (owner, ring) = name.split_once('.').ok_or_else(wrong)?;
    let owner = Userid::parse(owner).ok_or_else(wrong)?;
    if !is_ring_name(ring) {
        return Err(wrong());
    }
    Ok((owner, ring.to_owned()))
}
