//! Every problem that can be found, with its code.

use thiserror::Error;

use super::Severity;

/// A finding. [`Problem::code`] is its key in `docs/messages.md`.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum Problem {
    #[error("{found} stands where a statement was expected")]
    Syntax { found: String },
    #[error("no `{{` is open here")]
    UnopenedBrace,
    #[error("the `{{` of {statement} is never closed")]
    UnclosedBrace { statement: &'static str },
    #[error("`{{` must follow the line that names a statement")]
    StrayBrace,
    #[error("unknown statement `{keyword}`")]
    UnknownStatement { keyword: String },
    #[error("{statement} has no parameter `{keyword}`")]
    UnknownParameter { statement: &'static str, keyword: String },
    #[error("{statement} needs a name")]
    MissingName { statement: &'static str },
    #[error("the name `{name}` has {length} characters; at most 32 are allowed")]
    NameTooLong { name: String, length: usize },
    #[error("{parameter} needs a value: {expected}")]
    MissingValue { parameter: &'static str, expected: String },
    #[error("`{value}` is not a value of {parameter}: expected {expected}")]
    InvalidValue { parameter: &'static str, value: String, expected: String },
    #[error("{statement}{} needs {parameter}", called(name))]
    MissingParameter { statement: &'static str, name: String, parameter: &'static str },
    #[error("no {statement} is named `{name}`")]
    UnknownReference { statement: &'static str, name: String },
    #[error("{statement} `{name}` is defined twice")]
    DuplicateStatement { statement: &'static str, name: String },
    #[error("{} cannot be honoured here: {reason}", format!("{parameter} {value}").trim_end())]
    Refused { parameter: &'static str, value: String, reason: &'static str },
    #[error("rule `{rule}` can never shake hands: {reason}")]
    NothingUsable { rule: String, reason: String },
    #[error("{statement} nests deeper than {limit} blocks")]
    TooDeep { statement: &'static str, limit: usize },
    #[error("this cannot be read as text: {found}")]
    NotText { found: &'static str },
    #[error("the line has {length} bytes; at most {limit} are read")]
    LineTooLong { length: usize, limit: usize },
    #[error("`{file}` cannot be read: {reason}")]
    Unreadable { file: String, reason: String },
    #[error("{count} more errors are not shown")]
    TooMany { count: usize },
    #[error("no TcpImage names stack {image}; the file names {known}")]
    NoImage { image: String, known: String },
    #[error("the file of this {directive} is not read: {reason}")]
    NotFollowed { directive: &'static str, reason: &'static str },

    #[error("{parameter} {value} has no effect here: {reason}")]
    NoEffect { parameter: &'static str, value: String, reason: &'static str },
    #[error("the text after the value of {parameter} is ignored: `{text}`")]
    TextIgnored { parameter: &'static str, text: String },
    #[error("cipher suites that are never negotiated here: {suites}")]
    SuitesNotOffered { suites: String },
    #[error("groups that are never negotiated here: {groups}")]
    GroupsNotOffered { groups: String },
    #[error("rule `{rule}` accepts every certificate that chains to its key ring: no HostReferenceIdDNS is coded")]
    NoHostCheck { rule: String },
    #[error("`{value}` is read as the address {address}")]
    OddAddress { value: String, address: String },
    #[error("nothing refers to {statement} `{name}`")]
    Unused { statement: &'static str, name: String },
    #[error("{later} replaces what {earlier} says in the same {statement}")]
    Replaced { statement: &'static str, earlier: &'static str, later: &'static str },
    #[error("{statement} `{name}` replaces the common policy's")]
    ReplacesCommon { statement: &'static str, name: String },
    #[error("rule `{rule}` never matches: {by} every connection it could")]
    Shadowed { rule: String, by: String },
    #[error("part of rule `{rule}` never matches: {by} takes {part}")]
    PartlyShadowed { rule: String, by: String, part: String },
    #[error("rules `{first}` and `{second}` have priority {priority} and match the same connections: {part}")]
    EqualPriority { first: String, second: String, priority: u32, part: String },
    #[error("rule `{rule}` matches outbound connections by their local port, which programs rarely choose")]
    OutboundLocalPort { rule: String },
    #[error("rule `{rule}` sends certificate {label} to every server it matches that asks for one")]
    OutboundIdentity { rule: String, label: String },
    #[error("FIPS 140-3 does not allow {what}, which rule `{rule}` offers")]
    NotFips { rule: String, what: String },
    #[error("{parameter} On asks for a version that is never negotiated here")]
    OldVersion { parameter: &'static str },
    #[error("cipher suites that protect too little: {suites}")]
    WeakSuite { suites: String },
    #[error("no {what} has the number {code}")]
    UnknownCode { what: &'static str, code: String },
    #[error("rule `{rule}`: {what} cannot occur, {why}")]
    CannotOccur { rule: String, what: String, why: &'static str },
    #[error("rule `{rule}` serves an RSA key of {bits} bits; handshakes with an ECDSA key cost a fraction")]
    RsaKey { rule: String, bits: usize },
    #[error("rule `{rule}`: key ring {ring}: {reason}")]
    RingUnusable { rule: String, ring: String, reason: String },
    #[error("rule `{rule}`: certificate `{label}` of key ring {ring} {when}")]
    CertificateExpires { rule: String, ring: String, label: String, when: String },
    #[error("rule `{rule}`: certificate `{label}` of key ring {ring} may not be used as it is here: {reason}")]
    CertificateUsage { rule: String, ring: String, label: String, reason: String },
    #[error("rule `{bypass}` (TTLSEnabled Off) leaves in clear what rule `{protected}` would protect: {part}")]
    Bypass { bypass: String, protected: String, part: String },
    #[error("{parameter} {from} {to} is the range {from}-{to}: {count} ports")]
    LooksLikeList { parameter: &'static str, from: u16, to: u16, count: usize },
    #[error("{parameter} {from} {to} without braces is the two ports {from} and {to}, not the range")]
    LooksLikeRange { parameter: &'static str, from: u16, to: u16 },
    #[error(
        "rule `{rule}` refuses every client that sends a name: ServerHandshakeSNIMatch is Required, no ServerHandshakeSNIList is coded"
    )]
    RefusesNames { rule: String },
    #[error("rule `{rule}` leaves its connections in clear text while the daemon is not there: FailMode is Open")]
    FailsOpen { rule: String },
    #[error("`{value}` is not a value of {variable}, which stands for {parameter}")]
    InvalidVariable { variable: String, value: String, parameter: &'static str },
    #[error("the Envfile {file} cannot be read, and its variables do not count: {reason}")]
    EnvfileUnreadable { file: String, reason: String },
    #[error("the comment speaks of {said}, the codes are {coded}")]
    CommentContradicts { said: String, coded: String },
    #[error("`{word}` in a `pagent: allow` comment is no warning's code")]
    UnknownAllow { word: String },
    #[error("the rules overlap so much that {unchecked} of them were not compared with all others")]
    NotCompared { unchecked: usize },
    #[error("{count} more warnings are not shown")]
    TooManyWarnings { count: usize },
    #[error("this {directive} has no effect: {reason}")]
    Misplaced { directive: &'static str, reason: &'static str },

    #[error("rule `{rule}` is never active: {why}")]
    NeverActive { rule: String, why: &'static str },

    #[error("{directive} has no effect here: {reason}")]
    Idle { directive: &'static str, reason: &'static str },
    #[error("rule `{rule}` codes no TLS version: TLS 1.2 and 1.3 are negotiated here, TLS 1.0 and 1.1 on z/OS")]
    UncodedVersions { rule: String },
}

/// A statement's name, if it has one, after its keyword.
fn called(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" `{name}`") }
}

/// Every code with a few words on what it is for: errors PAG01xx, warnings PAG02xx, notes PAG03xx.
pub const CODES: &[(&str, &str)] = &[
    ("PAG0101", "something stands where a statement was expected"),
    ("PAG0102", "a `}` without an open `{`"),
    ("PAG0103", "a `{` is never closed"),
    ("PAG0104", "a `{` that follows no statement"),
    ("PAG0105", "unknown statement"),
    ("PAG0106", "the statement has no such parameter"),
    ("PAG0107", "the statement needs a name"),
    ("PAG0108", "a name of more than 32 characters"),
    ("PAG0109", "a parameter without value"),
    ("PAG0110", "not a value of the parameter"),
    ("PAG0111", "a required parameter is missing"),
    ("PAG0112", "a reference to a statement that no file defines"),
    ("PAG0113", "a statement is defined twice"),
    ("PAG0114", "a value that cannot be honoured and must not be weakened"),
    ("PAG0115", "a rule is left without a usable TLS version, cipher suite or group"),
    ("PAG0116", "statements nest too deep"),
    ("PAG0117", "the file cannot be read as text"),
    ("PAG0118", "a line is too long"),
    ("PAG0119", "a file cannot be read"),
    ("PAG0120", "there are too many errors to show"),
    ("PAG0121", "no TcpImage names the stack"),
    ("PAG0122", "a policy file is named where it is not read"),
    ("PAG0201", "a value has no effect here"),
    ("PAG0202", "text after a value is ignored"),
    ("PAG0203", "coded cipher suites that are never negotiated"),
    ("PAG0204", "coded groups that are never negotiated"),
    ("PAG0205", "a client rule that checks no host name"),
    ("PAG0206", "an address in one of inet_addr's other forms"),
    ("PAG0207", "nothing refers to a statement"),
    ("PAG0208", "a parameter or sub-statement replaces an earlier one of its block"),
    ("PAG0209", "a statement replaces one of the common policy"),
    ("PAG0210", "a rule that never matches"),
    ("PAG0211", "a rule of which a part never matches"),
    ("PAG0212", "rules of equal priority match the same connections"),
    ("PAG0213", "an outbound rule with a local port"),
    ("PAG0214", "a client rule that sends an identity certificate"),
    ("PAG0215", "a suite or group that FIPS 140-3 does not allow"),
    ("PAG0216", "a version older than TLS 1.2 is asked for"),
    ("PAG0217", "a cipher suite that protects too little"),
    ("PAG0218", "a number that no registry knows"),
    ("PAG0219", "a suite or version that cannot occur"),
    ("PAG0220", "an RSA key where ECDSA would do"),
    ("PAG0221", "a key ring or certificate that cannot be used"),
    ("PAG0222", "a certificate that has expired or soon will"),
    ("PAG0223", "a certificate without the needed key usage"),
    ("PAG0224", "a rule without TLS stands above one with it"),
    ("PAG0225", "a range that looks like a list"),
    ("PAG0226", "a comment contradicts the codes beside it"),
    ("PAG0227", "an allow comment names no warning"),
    ("PAG0228", "the rules overlap too much to compare all of them"),
    ("PAG0229", "a directive that has no effect where it stands"),
    ("PAG0230", "there are too many warnings to show"),
    ("PAG0231", "a rule whose time never comes"),
    ("PAG0232", "a list that looks like a range"),
    ("PAG0233", "a server rule that refuses every client that sends a name"),
    ("PAG0234", "a rule that lets connections pass in clear text while the daemon is not there"),
    ("PAG0235", "an Envfile that cannot be read"),
    ("PAG0301", "a directive that steers what this agent does not have"),
    ("PAG0302", "a rule codes no TLS version"),
];

impl Problem {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "PAG0101",
            Self::UnopenedBrace => "PAG0102",
            Self::UnclosedBrace { .. } => "PAG0103",
            Self::StrayBrace => "PAG0104",
            Self::UnknownStatement { .. } => "PAG0105",
            Self::UnknownParameter { .. } => "PAG0106",
            Self::MissingName { .. } => "PAG0107",
            Self::NameTooLong { .. } => "PAG0108",
            Self::MissingValue { .. } => "PAG0109",
            Self::InvalidValue { .. } | Self::InvalidVariable { .. } => "PAG0110",
            Self::MissingParameter { .. } => "PAG0111",
            Self::UnknownReference { .. } => "PAG0112",
            Self::DuplicateStatement { .. } => "PAG0113",
            Self::Refused { .. } => "PAG0114",
            Self::NothingUsable { .. } => "PAG0115",
            Self::TooDeep { .. } => "PAG0116",
            Self::NotText { .. } => "PAG0117",
            Self::LineTooLong { .. } => "PAG0118",
            Self::Unreadable { .. } => "PAG0119",
            Self::TooMany { .. } => "PAG0120",
            Self::NoImage { .. } => "PAG0121",
            Self::NotFollowed { .. } => "PAG0122",
            Self::NoEffect { .. } => "PAG0201",
            Self::TextIgnored { .. } => "PAG0202",
            Self::SuitesNotOffered { .. } => "PAG0203",
            Self::GroupsNotOffered { .. } => "PAG0204",
            Self::NoHostCheck { .. } => "PAG0205",
            Self::OddAddress { .. } => "PAG0206",
            Self::Unused { .. } => "PAG0207",
            Self::Replaced { .. } => "PAG0208",
            Self::ReplacesCommon { .. } => "PAG0209",
            Self::Shadowed { .. } => "PAG0210",
            Self::PartlyShadowed { .. } => "PAG0211",
            Self::EqualPriority { .. } => "PAG0212",
            Self::OutboundLocalPort { .. } => "PAG0213",
            Self::OutboundIdentity { .. } => "PAG0214",
            Self::NotFips { .. } => "PAG0215",
            Self::OldVersion { .. } => "PAG0216",
            Self::WeakSuite { .. } => "PAG0217",
            Self::UnknownCode { .. } => "PAG0218",
            Self::CannotOccur { .. } => "PAG0219",
            Self::RsaKey { .. } => "PAG0220",
            Self::RingUnusable { .. } => "PAG0221",
            Self::CertificateExpires { .. } => "PAG0222",
            Self::CertificateUsage { .. } => "PAG0223",
            Self::Bypass { .. } => "PAG0224",
            Self::LooksLikeList { .. } => "PAG0225",
            Self::CommentContradicts { .. } => "PAG0226",
            Self::UnknownAllow { .. } => "PAG0227",
            Self::NotCompared { .. } => "PAG0228",
            Self::Misplaced { .. } => "PAG0229",
            Self::TooManyWarnings { .. } => "PAG0230",
            Self::NeverActive { .. } => "PAG0231",
            Self::LooksLikeRange { .. } => "PAG0232",
            Self::RefusesNames { .. } => "PAG0233",
            Self::FailsOpen { .. } => "PAG0234",
            Self::EnvfileUnreadable { .. } => "PAG0235",
            Self::Idle { .. } => "PAG0301",
            Self::UncodedVersions { .. } => "PAG0302",
        }
    }

    /// Codes PAG01xx are errors, PAG02xx warnings, PAG03xx notes.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self.code().as_bytes().get(4) {
            Some(b'1') => Severity::Error,
            Some(b'3') => Severity::Note,
            _ => Severity::Warning,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_listed_once_and_in_order() {
        assert!(CODES.windows(2).all(|pair| matches!(pair, [a, b] if a.0 < b.0)));
        let known = |problem: &Problem| CODES.iter().any(|(code, _)| *code == problem.code());
        assert!(known(&Problem::UnopenedBrace) && known(&Problem::NotCompared { unchecked: 1 }));
        assert_eq!(Problem::UnopenedBrace.severity(), Severity::Error);
    }
}
