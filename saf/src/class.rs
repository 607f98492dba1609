//! The class descriptor table: what is fixed about a class.
//!
//! Source: *z/OS Security Server RACF Macros and Interfaces*, "Supplied class descriptor table entries"; values not
//! confirmed by a readable page are listed in `docs/limits.md`.

/// A class's fixed attributes.
#[derive(Debug)]
pub(crate) struct ClassDescriptor {
    pub(crate) name: &'static str,
    /// Longest resource name.
    pub(crate) max_length: usize,
    /// Whether the class decides nothing before it is RACLISTed.
    pub(crate) raclist_required: bool,
}

const fn class(name: &'static str, max_length: usize, raclist_required: bool) -> ClassDescriptor {
    ClassDescriptor { name, max_length, raclist_required }
}

/// The supplied classes this product asks or its users define.
pub(crate) const CLASSES: &[ClassDescriptor] = &[
    class("APPL", 8, false),
    class("DIGTCERT", 246, false),
    class("DIGTNMAP", 246, false),
    class("DIGTRING", 246, false),
    class("FACILITY", 39, false),
    class("OPERCMDS", 39, true),
    class("RDATALIB", 246, true),
    class("SERVAUTH", 64, false),
    class("STARTED", 17, true),
    class("SURROGAT", 17, false),
];

/// The class with this name, in any case.
pub(crate) fn find(name: &str) -> Option<&'static ClassDescriptor> {
    CLASSES.iter().find(|class| class.name.eq_ignore_ascii_case(name))
}
