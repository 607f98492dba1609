//! Groups, users, and who belongs to which group.

use super::{Import, Unfit};
use crate::access::Access;
use crate::class;
use crate::snapshot::Authority;
use crate::unload::fields::Fields;
use crate::unload::lines::Record;
use crate::unload::{CONNECT, GROUP, GROUP_OMVS, MEMBER, USER, USER_CLASS, USER_OMVS};

impl Import<'_> {
    pub(super) async fn group(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &GROUP };
        let (name, owner) = (fields.id("NAME")?, fields.id("OWNER_ID")?);
        let superior = if fields.text("SUPGRP_ID").is_empty() { None } else { Some(fields.id("SUPGRP_ID")?) };
        if self.exists("racf_users", "userid", name).await? {
            return Err(format!("{name} is a user here; a name is one or the other").into());
        }
        let query = "INSERT INTO racf_groups (name, owner, created, data, universal) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        let query = sqlx::query(query).bind(name.as_str().to_owned()).bind(owner.as_str().to_owned());
        let query =
            query.bind(fields.text("CREATE_DATE")).bind(fields.text("INSTALL_DATA")).bind(fields.flag("UNIVERSAL"));
        if query.execute(&mut *self.transaction).await?.rows_affected() == 0 {
            self.is_new("group", name)?;
            return Err(format!("group {name} is defined twice in this file").into());
        }
        self.superiors.extend(superior.map(|superior| (name, superior)));
        Ok(true)
    }

    pub(super) async fn user(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &USER };
        let (name, owner, group) = (fields.id("NAME")?, fields.id("OWNER_ID")?, fields.id("DEFGRP_ID")?);
        if !self.exists("racf_groups", "name", group).await? {
            return Err(format!("the default group {group} of user {name} is not defined").into());
        }
        if self.exists("racf_groups", "name", name).await? {
            return Err(format!("{name} is a group; a name is one or the other").into());
        }
        let (revoke, resume) = (fields.date("REVOKE_DATE")?, fields.date("RESUME_DATE")?);
        let query = "INSERT INTO racf_users (userid, owner, default_group, name, created, special, operations, auditor, roaudit, \
                     uaudit, restricted, revoked, revoke_date, resume_date, data, contained, nevercontain) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) ON CONFLICT DO NOTHING";
        let restricted = fields.text("ATTRIBS").split_whitespace().any(|word| word == "RSTD");
        let query = sqlx::query(query)
            .bind(name.as_str().to_owned())
            .bind(owner.as_str().to_owned())
            .bind(group.as_str().to_owned())
            .bind(fields.text("PROGRAMMER"))
            .bind(fields.text("CREATE_DATE"))
            .bind(fields.flag("SPECIAL"))
            .bind(fields.flag("OPER"))
            .bind(fields.flag("AUDITOR"))
            .bind(fields.flag("ROAUDIT"))
            .bind(fields.flag("UAUDIT"))
            .bind(i64::from(restricted))
            .bind(fields.flag("REVOKE"))
            .bind(revoke)
            .bind(resume)
            .bind(fields.text("INSTALL_DATA"))
            .bind(fields.flag("CONTAIN"))
            .bind(fields.flag("NEVERCONTAIN"));
        if query.execute(&mut *self.transaction).await?.rows_affected() == 0 {
            self.is_new("user", name)?;
            return Err(format!("user {name} is defined twice in this file").into());
        }
        Ok(true)
    }

    pub(super) async fn group_omvs(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &GROUP_OMVS };
        let (name, gid) = (fields.id("NAME")?, fields.number("GID", i64::from(u32::MAX))?);
        self.is_new("group", name)?;
        let query =
            sqlx::query("UPDATE racf_groups SET gid = $1 WHERE name = $2").bind(gid).bind(name.as_str().to_owned());
        let found = query.execute(&mut *self.transaction).await?.rows_affected();
        if found == 0 { Err(format!("group {name} is not defined").into()) } else { Ok(true) }
    }

    pub(super) async fn user_class(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &USER_CLASS };
        let name = fields.id("NAME")?;
        self.is_new("user", name)?;
        let class = fields.text("CLASS");
        if class != "USER" && class::find(&class).is_none() {
            return Ok(false);
        }
        let query = "INSERT INTO racf_clauth (userid, class) SELECT userid, $2 FROM racf_users WHERE userid = $1 ON CONFLICT DO NOTHING";
        let query = sqlx::query(query).bind(name.as_str().to_owned()).bind(class);
        let found = query.execute(&mut *self.transaction).await?.rows_affected();
        if found == 0 { Err(format!("user {name} is not defined, or has the class already").into()) } else { Ok(true) }
    }

    pub(super) async fn connect(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &CONNECT };
        let read = || {
            let uacc = fields.optional_access("UACC")?.unwrap_or(Access::None);
            let dates = (fields.date("REVOKE_DATE")?, fields.date("RESUME_DATE")?);
            Ok::<_, String>((fields.id("NAME")?, fields.id("GRP_ID")?, fields.id("OWNER_ID")?, uacc, dates))
        };
        let (name, group, owner, uacc, (revoke, resume)) = read()?;
        self.is_new("user", name)?;
        let query = "INSERT INTO racf_connects (userid, group_name, owner, uacc, special, operations, auditor, revoked, revoke_date, \
                     resume_date, created) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11 \
                     WHERE EXISTS (SELECT 1 FROM racf_users WHERE userid = $1) AND EXISTS (SELECT 1 FROM racf_groups WHERE name = $2) \
                     ON CONFLICT DO NOTHING";
        let query = sqlx::query(query)
            .bind(name.as_str().to_owned())
            .bind(group.as_str().to_owned())
            .bind(owner.as_str().to_owned())
            .bind(uacc.name())
            .bind(fields.flag("GRP_SPECIAL"))
            .bind(fields.flag("GRP_OPER"))
            .bind(fields.flag("GRP_AUDIT"))
            .bind(fields.flag("REVOKE"))
            .bind(revoke)
            .bind(resume)
            .bind(fields.text("CONNECT_DATE"));
        let found = query.execute(&mut *self.transaction).await?.rows_affected();
        if found == 0 {
            Err(format!("user {name} or group {group} is not defined, or they are connected already").into())
        } else {
            Ok(true)
        }
    }

    pub(super) async fn authority(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &MEMBER };
        let read = || {
            let word = fields.text("AUTH");
            let authority = Authority::parse(&word).ok_or(format!("`{word}` is no group authority"))?;
            Ok::<_, String>((fields.id("NAME")?, fields.id("MEMBER_ID")?, authority))
        };
        let (group, name, authority) = read()?;
        self.is_new("user", name)?;
        let query = "UPDATE racf_connects SET authority = $1 WHERE userid = $2 AND group_name = $3";
        let query = sqlx::query(query).bind(authority.name());
        let query = query.bind(name.as_str().to_owned()).bind(group.as_str().to_owned());
        let found = query.execute(&mut *self.transaction).await?.rows_affected();
        if found == 0 { Err(format!("user {name} is not connected to group {group}").into()) } else { Ok(true) }
    }

    pub(super) async fn user_omvs(&mut self, record: &Record) -> Result<bool, Unfit> {
        let fields = Fields { record, layout: &USER_OMVS };
        let (name, uid) = (fields.id("NAME")?, fields.number("UID", i64::from(u32::MAX))?);
        self.is_new("user", name)?;
        let filled = |field| Some(fields.text(field)).filter(|text| !text.is_empty());
        let query = sqlx::query("UPDATE racf_users SET uid = $1, home = $2, program = $3 WHERE userid = $4");
        let query = query.bind(uid).bind(filled("HOME_PATH")).bind(filled("PROGRAM")).bind(name.as_str().to_owned());
        let found = query.execute(&mut *self.transaction).await?.rows_affected();
        if found == 0 { Err(format!("user {name} is not defined").into()) } else { Ok(true) }
    }
}
