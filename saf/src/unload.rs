//! IRRDBU00: the RACF database as a sequential file, one record a line, fields at fixed columns.
//!
//! Source: *RACF Macros and Interfaces*, "RACF database unload utility" record formats. Columns count from 1 and include both
//! ends.

mod export;
mod fields;
mod import;
mod lines;

pub use export::export;
pub use import::{Imported, Progress, Rejected, import};

/// A field's first and last column.
type Columns = (usize, usize);

/// The fields that are read and written, by record type: name and columns.
pub(crate) struct Layout {
    pub(crate) kind: &'static str,
    pub(crate) fields: &'static [(&'static str, Columns)],
}

/// Key fields of records on general resource profiles.
const NAME: (&str, Columns) = ("NAME", (6, 251));
const CLASS: (&str, Columns) = ("CLASS_NAME", (253, 260));

pub(crate) const GROUP: Layout = Layout {
    kind: "0100",
    fields: &[
        ("NAME", (6, 13)),
        ("SUPGRP_ID", (15, 22)),
        ("CREATE_DATE", (24, 33)),
        ("OWNER_ID", (35, 42)),
        ("UACC", (44, 51)),
        ("NOTERMUACC", (53, 56)),
        ("INSTALL_DATA", (58, 312)),
        ("UNIVERSAL", (359, 362)),
    ],
};
pub(crate) const SUBGROUP: Layout = Layout { kind: "0101", fields: &[("NAME", (6, 13)), ("SUBGRP_ID", (15, 22))] };
pub(crate) const MEMBER: Layout =
    Layout { kind: "0102", fields: &[("NAME", (6, 13)), ("MEMBER_ID", (15, 22)), ("AUTH", (24, 31))] };
pub(crate) const GROUP_OMVS: Layout = Layout { kind: "0120", fields: &[("NAME", (6, 13)), ("GID", (15, 24))] };
pub(crate) const USER: Layout = Layout {
    kind: "0200",
    fields: &[
        ("NAME", (6, 13)),
        ("CREATE_DATE", (15, 24)),
        ("OWNER_ID", (26, 33)),
        ("SPECIAL", (40, 43)),
        ("OPER", (45, 48)),
        ("REVOKE", (50, 53)),
        ("PROGRAMMER", (75, 94)),
        ("DEFGRP_ID", (96, 103)),
        ("INSTALL_DATA", (125, 379)),
        ("UAUDIT", (381, 384)),
        ("AUDITOR", (386, 389)),
        ("NOPWD", (391, 394)),
        ("REVOKE_DATE", (458, 467)),
        ("RESUME_DATE", (469, 478)),
        ("ATTRIBS", (542, 549)),
        ("ROAUDIT", (634, 637)),
        ("CONTAIN", (650, 653)),
        ("NEVERCONTAIN", (655, 658)),
    ],
};
pub(crate) const USER_CLASS: Layout = Layout { kind: "0202", fields: &[("NAME", (6, 13)), ("CLASS", (15, 22))] };
pub(crate) const USER_GROUP: Layout = Layout { kind: "0203", fields: &[("NAME", (6, 13)), ("GRP_ID", (15, 22))] };
pub(crate) const CONNECT: Layout = Layout {
    kind: "0205",
    fields: &[
        ("NAME", (6, 13)),
        ("GRP_ID", (15, 22)),
        ("CONNECT_DATE", (24, 33)),
        ("OWNER_ID", (35, 42)),
        ("UACC", (64, 71)),
        ("GRP_SPECIAL", (84, 87)),
        ("GRP_OPER", (89, 92)),
        ("REVOKE", (94, 97)),
        ("GRP_AUDIT", (109, 112)),
        ("REVOKE_DATE", (114, 123)),
        ("RESUME_DATE", (125, 134)),
    ],
};
pub(crate) const USER_OMVS: Layout = Layout {
    kind: "0270",
    fields: &[("NAME", (6, 13)), ("UID", (15, 24)), ("HOME_PATH", (26, 1048)), ("PROGRAM", (1050, 2072))],
};
pub(crate) const RESOURCE: Layout = Layout {
    kind: "0500",
    fields: &[
        NAME,
        CLASS,
        ("GENERIC", (262, 265)),
        ("CREATE_DATE", (271, 280)),
        ("OWNER_ID", (282, 289)),
        ("LASTCHG_DATE", (302, 311)),
        ("UACC", (337, 344)),
        ("AUDIT_LEVEL", (346, 353)),
        ("LEVEL", (355, 357)),
        ("GAUDIT_LEVEL", (359, 366)),
        ("INSTALL_DATA", (368, 622)),
        ("AUDIT_OKQUAL", (624, 631)),
        ("AUDIT_FAQUAL", (633, 640)),
        ("GAUDIT_OKQUAL", (642, 649)),
        ("GAUDIT_FAQUAL", (651, 658)),
        ("WARNING", (660, 663)),
        ("NOTIFY_ID", (680, 687)),
        ("APPL_DATA", (754, 1008)),
    ],
};
pub(crate) const RESOURCE_MEMBER: Layout =
    Layout { kind: "0503", fields: &[NAME, CLASS, ("MEMBER", (262, 516)), ("GLOBAL_ACC", (518, 525))] };
pub(crate) const RESOURCE_ACCESS: Layout = Layout {
    kind: "0505",
    fields: &[NAME, CLASS, ("AUTH_ID", (262, 269)), ("ACCESS", (271, 278)), ("ACCESS_CNT", (280, 284))],
};
pub(crate) const RESOURCE_CONDITIONAL: Layout = Layout {
    kind: "0507",
    fields: &[
        NAME,
        CLASS,
        ("CATYPE", (262, 269)),
        ("CANAME", (271, 278)),
        ("AUTH_ID", (280, 287)),
        ("ACCESS", (289, 296)),
        ("ACCESS_CNT", (298, 302)),
        ("NET_ID", (304, 311)),
        ("CACRITERIA", (313, 556)),
    ],
};
pub(crate) const STARTED_TASK: Layout = Layout {
    kind: "0540",
    fields: &[
        NAME,
        CLASS,
        ("USER_ID", (262, 269)),
        ("GROUP_ID", (271, 278)),
        ("TRUSTED", (280, 283)),
        ("PRIVILEGED", (285, 288)),
        ("TRACE", (290, 293)),
    ],
};

pub(crate) const USER_CERTIFICATE: Layout =
    Layout { kind: "0207", fields: &[("NAME", (6, 13)), ("CERT_NAME", (15, 260)), ("CERTLABL", (262, 293))] };
pub(crate) const CERTIFICATE: Layout = Layout {
    kind: "0560",
    fields: &[
        NAME,
        CLASS,
        ("START_DATE", (262, 271)),
        ("START_TIME", (273, 280)),
        ("END_DATE", (282, 291)),
        ("END_TIME", (293, 300)),
        ("KEY_TYPE", (302, 309)),
        ("KEY_SIZE", (311, 320)),
        ("LAST_SERIAL", (322, 337)),
        ("GEN_REQ", (350, 353)),
    ],
};
pub(crate) const CERTIFICATE_RING: Layout = Layout { kind: "0561", fields: &[NAME, CLASS, ("RING_NAME", (262, 507))] };
pub(crate) const RING: Layout = Layout {
    kind: "0562",
    fields: &[
        NAME,
        CLASS,
        ("CERT_NAME", (262, 507)),
        ("CERT_USAGE", (509, 516)),
        ("CERT_DEFAULT", (518, 521)),
        ("CERT_LABEL", (523, 554)),
    ],
};
pub(crate) const CERTIFICATE_NAMES: Layout = Layout {
    kind: "1560",
    fields: &[
        NAME,
        CLASS,
        ("ISSUER_DN", (262, 1285)),
        ("SUBJECT_DN", (1287, 2310)),
        ("SIG_ALG", (2312, 2327)),
        ("CERT_FGRPRNT", (2329, 2392)),
    ],
};

/// The name of a certificate's profile in class DIGTCERT: blanks are `¢` in it.
pub(crate) fn certificate_name(serial: &str, issuer: &str) -> String {
    format!("{serial}.{issuer}").replace(' ', "¢")
}

impl Layout {
    /// The columns of a field.
    fn columns(&self, field: &str) -> Option<Columns> {
        self.fields.iter().find(|(name, _)| *name == field).map(|(_, columns)| *columns)
    }
}
