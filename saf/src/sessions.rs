//! Sessions: the beginning of one, what its user is told then, and how long the record of commands is kept.

use std::time::Duration;

use chrono::{DateTime, Local, Utc};

use crate::access::Userid;
use crate::database::Saf;
use crate::decision::Refusal;
use crate::error::SafError;
use crate::load::Columns as _;

/// Messages that wait for a user; more are not kept.
const WAITING: i64 = 100;

impl Saf {
    /// Begins a session: what its user is told, ICH70001I and what waited for him. Nothing for whom RACF does not know.
    ///
    /// # Errors
    ///
    /// When the database does not answer.
    pub async fn logon(&self, userid: Userid) -> Result<Vec<String>, SafError> {
        let (_alone, mut change) = self.write().await?;
        let query = sqlx::query("SELECT last_access FROM racf_users WHERE userid = $1").bind(userid.to_string());
        let Some(row) = query.fetch_optional(&mut *change).await? else { return Ok(Vec::new()) };
        let mut lines = Vec::new();
        if let Some(time) = row.optional("last_access")?.and_then(|time| time.parse::<DateTime<Utc>>().ok()) {
            let time = time.with_timezone(&Local).format("%H:%M:%S ON %A, %B %d, %Y").to_string().to_uppercase();
            lines.push(format!("ICH70001I {userid:8} LAST ACCESS AT {time}"));
        }
        let query =
            sqlx::query("SELECT text FROM racf_messages WHERE userid = $1 ORDER BY at").bind(userid.to_string());
        for row in query.fetch_all(&mut *change).await? {
            lines.push(row.text("text")?);
        }
        let query = sqlx::query("DELETE FROM racf_messages WHERE userid = $1").bind(userid.to_string());
        query.execute(&mut *change).await?;
        let query = sqlx::query("UPDATE racf_users SET last_access = $1 WHERE userid = $2");
        query.bind(Utc::now().to_rfc3339()).bind(userid.to_string()).execute(&mut *change).await?;
        change.commit().await?;
        Ok(lines)
    }

    /// Tells the user whom a profile's NOTIFY names of a refused access (ICH70004I), when his next session begins.
    ///
    /// # Errors
    ///
    /// When the database does not answer.
    pub async fn notify(&self, refusal: &Refusal) -> Result<(), SafError> {
        let Some(notify) = refusal.notify else { return Ok(()) };
        let (group, name) = match &refusal.user {
            Some((group, name)) => (group.as_str(), name.as_str()),
            None => ("", "####################"),
        };
        let text = format!(
            "ICH70004I USER({:8}) GROUP({group:8}) NAME({name:20}) ATTEMPTED '{}' ACCESS OF '{}' IN CLASS '{}' AT {}",
            refusal.userid,
            refusal.intent,
            refusal.resource,
            refusal.class,
            Local::now().format("%H:%M:%S ON %B %d, %Y").to_string().to_uppercase(),
        );
        let query = "INSERT INTO racf_messages (userid, at, text) SELECT $1, $2, $3 \
                     WHERE EXISTS (SELECT 1 FROM racf_users WHERE userid = $1) \
                     AND (SELECT COUNT(*) FROM racf_messages WHERE userid = $1) < $4";
        let (_alone, mut change) = self.write().await?;
        let query = sqlx::query(query).bind(notify.to_string()).bind(Utc::now().to_rfc3339()).bind(text).bind(WAITING);
        query.execute(&mut *change).await?;
        change.commit().await?;
        Ok(())
    }

    /// Forgets the record of commands (`racf_audit`) that are older, and says how many there were.
    ///
    /// # Errors
    ///
    /// When the database does not answer.
    pub async fn forget_commands(&self, older: Duration) -> Result<u64, SafError> {
        let Ok(older) = chrono::Duration::from_std(older) else { return Ok(0) };
        let Some(before) = Utc::now().checked_sub_signed(older) else { return Ok(0) };
        let (_alone, mut change) = self.write().await?;
        let query = sqlx::query("DELETE FROM racf_audit WHERE at < $1").bind(before.to_rfc3339());
        let forgotten = query.execute(&mut *change).await?.rows_affected();
        change.commit().await?;
        Ok(forgotten)
    }
}
