//! General resource profiles with their members, access lists and segments.

use super::{Import, Unfit};
use crate::access::Access;
use crate::class::{self, ClassDescriptor};
use crate::profile::ProfileName;
use crate::unload::fields::{Fields, profile_of};
use crate::unload::lines::Record;
use crate::unload::{Layout, RESOURCE, RESOURCE_ACCESS, RESOURCE_CONDITIONAL, RESOURCE_MEMBER, STARTED_TASK};

impl Import<'_> {
    pub(super) async fn profile(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &RESOURCE };
        let read = || {
            let Some((class, name)) = profile_of(record, &RESOURCE)? else { return Ok(None) };
            let auditing = |level: &str, success: &str, failures: &str| {
                let which = fields.text(level);
                let of = |wanted: &[&str], field: &str| match wanted.contains(&which.as_str()) {
                    true => fields.optional_access(field),
                    false => Ok(None),
                };
                Ok::<_, String>([of(&["ALL", "SUCCESS"], success)?, of(&["ALL", "FAIL", "FAILURES"], failures)?])
            };
            let audit = auditing("AUDIT_LEVEL", "AUDIT_OKQUAL", "AUDIT_FAQUAL")?;
            let global = auditing("GAUDIT_LEVEL", "GAUDIT_OKQUAL", "GAUDIT_FAQUAL")?;
            let level: i64 = fields.number("LEVEL", 99)?.unwrap_or_default();
            Ok::<_, String>(Some((class, name, fields.id("OWNER_ID")?, fields.access("UACC")?, audit, global, level)))
        };
        let Some((class, name, owner, uacc, audit, global, level)) = read()? else { return Ok(false) };
        let query = "INSERT INTO racf_profiles (class, name, generic, uacc, owner, warning, data, created, level, audit_success, \
                     audit_failures, global_success, global_failures, notify, appldata) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING";
        let named = |access: Option<Access>| access.map(|access| access.name().to_owned());
        let notify = Some(fields.text("NOTIFY_ID")).filter(|notify| !notify.is_empty());
        let query = sqlx::query(query)
            .bind(class.name)
            .bind(name.as_str().to_owned())
            .bind(i64::from(name.is_generic()))
            .bind(uacc.name())
            .bind(owner.as_str().to_owned())
            .bind(fields.flag("WARNING"))
            .bind(fields.text("INSTALL_DATA"))
            .bind(fields.text("CREATE_DATE"))
            .bind(level)
            .bind(named(audit[0]))
            .bind(named(audit[1]))
            .bind(named(global[0]))
            .bind(named(global[1]))
            .bind(notify)
            .bind(fields.text("APPL_DATA"));
        if query.execute(&mut *self.transaction).await?.rows_affected() == 0 {
            if self.before.contains(&(class.name, name.to_string())) {
                return Err(format!("{name} was defined to class {} before, and stays as it is", class.name).into());
            }
            return Err(format!("{name} is defined to class {} twice in this file", class.name).into());
        }
        self.changes.profiles.insert(class.name);
        Ok(true)
    }

    pub(super) async fn member(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &RESOURCE_MEMBER };
        let Some((class, name)) = self.profile_here(record, &RESOURCE_MEMBER)? else { return Ok(false) };
        let access = fields.optional_access("GLOBAL_ACC")?;
        let member = fields.text("MEMBER");
        let of = class::find(name.as_str());
        let fits = match (class.name, of) {
            ("GLOBAL", Some(of)) => ProfileName::parse(&member, true, of).is_ok() && access.is_some(),
            ("RACFVARS", _) => !member.is_empty() && member.bytes().all(|byte| byte.is_ascii_graphic()),
            _ => false,
        };
        if !fits {
            return Err(format!("MEMBER in columns 262 to 516 is `{member}`, which is no member of {name}").into());
        }
        if class.name == "GLOBAL" {
            self.changes.global.extend(class::find(name.as_str()).map(|class| class.name));
        }
        let query = "INSERT INTO racf_members (class, name, generic, position, member, access) \
                     SELECT $1, $2, $3, $4, $5, $6 WHERE EXISTS (SELECT 1 FROM racf_profiles \
                     WHERE class = $1 AND name = $2 AND generic = $3) ON CONFLICT DO NOTHING";
        let position = i64::try_from(record.number).unwrap_or(i64::MAX);
        let query = sqlx::query(query)
            .bind(class.name)
            .bind(name.as_str().to_owned())
            .bind(i64::from(name.is_generic()))
            .bind(position)
            .bind(member)
            .bind(access.map(|access| access.name().to_owned()));
        let found = query.execute(&mut *self.transaction).await?.rows_affected();
        Ok(listed(found, class, &name)?)
    }

    pub(super) async fn access(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &RESOURCE_ACCESS };
        let Some((class, name)) = self.profile_here(record, &RESOURCE_ACCESS)? else { return Ok(false) };
        let (id, access) = (fields.listed("AUTH_ID")?, fields.access("ACCESS")?);
        let query = "INSERT INTO racf_access (class, name, generic, id, access) SELECT $1, $2, $3, $4, $5 \
                     WHERE EXISTS (SELECT 1 FROM racf_profiles WHERE class = $1 AND name = $2 AND generic = $3) \
                     ON CONFLICT DO NOTHING";
        let query = sqlx::query(query)
            .bind(class.name)
            .bind(name.as_str().to_owned())
            .bind(i64::from(name.is_generic()))
            .bind(id.as_str().to_owned())
            .bind(access.name());
        let found = query.execute(&mut *self.transaction).await?.rows_affected();
        Ok(listed(found, class, &name)?)
    }

    pub(super) async fn conditional(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &RESOURCE_CONDITIONAL };
        let Some((class, name)) = self.profile_here(record, &RESOURCE_CONDITIONAL)? else { return Ok(false) };
        let (id, access) = (fields.listed("AUTH_ID")?, fields.access("ACCESS")?);
        let condition = Some(fields.text("CANAME")).filter(|name| !name.is_empty());
        let condition = condition.unwrap_or_else(|| fields.text("CACRITERIA"));
        if condition.is_empty() {
            return Err(("the condition has no name in columns 271 to 278 or 313 to 556".to_owned()).into());
        }
        let query = "INSERT INTO racf_conditional (class, name, generic, condition_class, condition_name, id, access) \
                     SELECT $1, $2, $3, $4, $5, $6, $7 WHERE EXISTS (SELECT 1 FROM racf_profiles \
                     WHERE class = $1 AND name = $2 AND generic = $3) ON CONFLICT DO NOTHING";
        let query = sqlx::query(query)
            .bind(class.name)
            .bind(name.as_str().to_owned())
            .bind(i64::from(name.is_generic()))
            .bind(fields.text("CATYPE"))
            .bind(condition)
            .bind(id.as_str().to_owned())
            .bind(access.name());
        let found = query.execute(&mut *self.transaction).await?.rows_affected();
        Ok(listed(found, class, &name)?)
    }

    pub(super) async fn task(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &STARTED_TASK };
        let Some((class, name)) = self.profile_here(record, &STARTED_TASK)? else { return Ok(false) };
        let filled = |field| Some(fields.text(field)).filter(|text| !text.is_empty());
        let query = "UPDATE racf_profiles SET task_user = $1, task_group = $2, task_trusted = $3, task_privileged = $4 \
                     WHERE class = $5 AND name = $6 AND generic = $7";
        let query = sqlx::query(query)
            .bind(filled("USER_ID"))
            .bind(filled("GROUP_ID"))
            .bind(fields.flag("TRUSTED"))
            .bind(fields.flag("PRIVILEGED"))
            .bind(class.name)
            .bind(name.as_str().to_owned())
            .bind(i64::from(name.is_generic()));
        let found = query.execute(&mut *self.transaction).await?.rows_affected();
        Ok(listed(found, class, &name)?)
    }

    /// The profile a record belongs to: the one of the 0500 record before it, else the generic one if the name looks so.
    fn profile_here(
        &self,
        record: &Record,
        layout: &Layout,
    ) -> Result<Option<(&'static ClassDescriptor, ProfileName)>, String> {
        let Some((class, name)) = profile_of(record, layout)? else { return Ok(None) };
        let same = |(of, current): &&(&ClassDescriptor, ProfileName)| {
            of.name == class.name && current.as_str() == name.as_str()
        };
        let name = self.current.as_ref().filter(same).map_or(name, |(_, current)| current.clone());
        if self.before.contains(&(class.name, name.to_string())) {
            return Err(format!("{name} was defined to class {} before, and stays as it is", class.name));
        }
        Ok(Some((class, name)))
    }
}

fn listed(found: u64, class: &ClassDescriptor, name: &ProfileName) -> Result<bool, String> {
    match found {
        0 => Err(format!("{name} is not defined to class {}, or has the entry already", class.name)),
        _ => Ok(true),
    }
}
