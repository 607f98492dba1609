//! The class descriptor table: what is fixed about a class.
//!
//! Source: *z/OS Security Server RACF Macros and Interfaces*, "Supplied class descriptor table entries"; values not
//! confirmed by a readable page are listed in `docs/limits.md`.

/// Whether a class's profiles are decided from a snapshot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Raclist {
    Disallowed,
    Allowed,
    /// The class decides nothing before it is RACLISTed.
    Required,
}

/// A class's fixed attributes.
#[derive(Debug)]
pub(crate) struct ClassDescriptor {
    pub(crate) name: &'static str,
    /// Longest resource name.
    pub(crate) max_length: usize,
    pub(crate) raclist: Raclist,
    /// RACF's return code without a profile: 4, or 8 in classes that deny then.
    pub(crate) default_rc: u8,
    /// Whether the OPERATIONS attribute counts.
    pub(crate) operations: bool,
    /// Whether names keep their case.
    pub(crate) as_is: bool,
    /// Whether profiles are made by RACDCERT instead of RDEFINE.
    pub(crate) certificates: bool,
    /// Whether resources are asked for; else its profiles say something to RACF itself.
    pub(crate) resources: bool,
}

const fn class(name: &'static str, max_length: usize, raclist: Raclist) -> ClassDescriptor {
    ClassDescriptor {
        name,
        max_length,
        raclist,
        default_rc: 4,
        operations: false,
        as_is: false,
        certificates: false,
        resources: true,
    }
}

const fn certificates(name: &'static str) -> ClassDescriptor {
    ClassDescriptor { as_is: true, certificates: true, ..class(name, 246, Raclist::Allowed) }
}

/// The supplied classes this product asks or its users define, by name.
pub(crate) const CLASSES: &[ClassDescriptor] = &[
    class("APPCPORT", 8, Raclist::Allowed),
    class("APPL", 8, Raclist::Allowed),
    class("CONSOLE", 8, Raclist::Allowed),
    class("CRYPTOZ", 246, Raclist::Required),
    certificates("DIGTCERT"),
    ClassDescriptor { certificates: false, ..certificates("DIGTCRIT") },
    certificates("DIGTNMAP"),
    certificates("DIGTRING"),
    class("FACILITY", 39, Raclist::Allowed),
    ClassDescriptor { resources: false, ..class("GLOBAL", 8, Raclist::Disallowed) },
    class("JESINPUT", 8, Raclist::Allowed),
    class("JESJOBS", 39, Raclist::Allowed),
    ClassDescriptor { default_rc: 8, operations: true, ..class("JESSPOOL", 53, Raclist::Allowed) },
    class("OPERCMDS", 39, Raclist::Required),
    class("PTKTDATA", 26, Raclist::Required),
    ClassDescriptor { resources: false, ..class("RACFVARS", 8, Raclist::Required) },
    class("RDATALIB", 246, Raclist::Required),
    class("SDSF", 63, Raclist::Allowed),
    class("SERVAUTH", 64, Raclist::Allowed),
    class("STARTED", 17, Raclist::Required),
    class("SURROGAT", 17, Raclist::Allowed),
    class("TERMINAL", 8, Raclist::Allowed),
    class("UNIXPRIV", 246, Raclist::Required),
    class("XFACILIT", 246, Raclist::Allowed),
];

/// Classes that this product asks.
pub(crate) const ASKED: [&str; 4] = ["SERVAUTH", "OPERCMDS", "FACILITY", "RDATALIB"];

/// Profiles that close what is asked: without a profile (RC 4) z/OS leaves several of these resources open.
pub(crate) const BACKSTOPS: [(&str, &str); 4] =
    [("SERVAUTH", "EZA.**"), ("SERVAUTH", "EZB.**"), ("SERVAUTH", "IST.**"), ("OPERCMDS", "MVS.**")];

/// The class with this name, in any case.
pub(crate) fn find(name: &str) -> Option<&'static ClassDescriptor> {
    CLASSES.iter().find(|class| class.name.eq_ignore_ascii_case(name))
}
