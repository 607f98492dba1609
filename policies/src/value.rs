//! The values of parameters: their kinds, and how a word of the policy becomes one.

use std::fmt;

use serde::Serialize;

use crate::address::{AddressRange, PortRange};
use crate::schedule::{ClockRange, DateRange, Mask};
use crate::{cipher, group};

/// What a parameter takes. The doc comment of each kind is what an error message says is expected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `On` or `Off`, in any case.
    OnOff,
    /// One of some words, in any case; shown as written here.
    Choice(&'static [&'static str]),
    /// A decimal number in a range.
    Number(u32, u32),
    /// The name of a statement of this type.
    Reference(&'static str),
    /// A sub-statement written in place.
    Inline(&'static str),
    /// The rest of the line: labels with blanks, paths, data set names. May be empty when the flag says so.
    Line {
        /// Whether nothing is a value too (an empty CertificateLabel: send none).
        may_be_empty: bool,
    },
    /// One word: a path, a host, a URL.
    Word,
    /// A DNS name.
    DnsName,
    /// What a SAF resource begins with, before `.PORTnnnnn`; folded to upper case.
    Resource,
    /// `name/label`: a DNS name, its first label perhaps `*`, and a certificate's label, which may hold blanks.
    NameAndLabel,
    /// One word of 1–8 characters A–Z 0–9 @ # $, `*` allowed at the end; folded to upper case.
    NamePattern,
    /// An address, prefix, range or `All`.
    Address,
    /// One address or prefix.
    Prefix,
    /// `address-address` (a prefix is taken too).
    Range,
    /// Ports.
    Ports,
    /// Cipher suites: one constant name, or hexadecimal codes of this many digits without blanks.
    Suites(usize),
    /// SSLv2 cipher suites: one constant name, or codes of one digit without blanks.
    OldSuites,
    /// Groups: a constant name, or decimal codes of four digits without blanks; `Any` where the flag says so.
    Groups {
        /// Whether `Any` is a value too.
        any: bool,
    },
    /// A decimal number up to this, or -1 for no limit.
    Limit(u32),
    /// Signature pairs: a constant name, or hexadecimal codes of four digits without blanks.
    SignaturePairs,
    /// `140-3 [INDICATE] [FAIL ON|OFF]`.
    FipsMode,
    /// Ones and zeros.
    Mask(&'static [usize]),
    /// `hh:mm-hh:mm`, several parted by commas.
    Clock,
    /// `yyyymmddhhmmss:yyyymmddhhmmss`.
    Dates,
    /// One or more of some words, in any case.
    Choices(&'static [&'static str]),
    /// `name [path] [FLUSH|NOFLUSH] [PURGE|NOPURGE] [seconds]` (`TcpImage`).
    Image,
    /// `[path] [FLUSH|NOFLUSH] [PURGE|NOPURGE]` (`TTLSConfig`).
    PolicyFile,
}

/// A value, read.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
#[allow(missing_docs, reason = "one variant a kind")]
pub enum Value {
    OnOff(bool),
    Choice(&'static str),
    Number(u32),
    Text(String),
    Pattern(NamePattern),
    Address(AddressRange),
    Ports(Option<PortRange>),
    Suite(u16),
    Group(Option<u16>),
    SignaturePair(u16),
    FipsMode(FipsMode),
    Mask(Mask),
    Clock(ClockRange),
    Dates(DateRange),
    File(FileReference),
}

/// Which stack's policy lies where: the value of `TcpImage`, `TTLSConfig` and their like.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize)]
pub struct FileReference {
    /// The stack, on `TcpImage` only.
    pub image: Option<String>,
    /// The path or data set; none means the file that says so (`TcpImage`), or no file (`TTLSConfig`).
    pub path: Option<String>,
    /// `FLUSH` or `NOFLUSH`, where coded.
    pub flush: Option<bool>,
    /// `PURGE` or `NOPURGE`, where coded.
    pub purge: Option<bool>,
    /// Seconds after which changed files are read again, where coded.
    pub refresh: Option<u32>,
}

/// The seed's FIPSMODE.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize)]
pub struct FipsMode {
    /// Report use of algorithms that are not approved.
    pub indicate: bool,
    /// Refuse (`FAIL ON`) what cannot be done in FIPS mode, or report it (`FAIL OFF`).
    pub fail: bool,
}

/// A job name or user id, with an optional `*` at its end.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct NamePattern {
    stem: String,
    open: bool,
}

impl NamePattern {
    /// Reads 1–8 characters A–Z 0–9 @ # $ in any case, or a prefix of one with `*` behind.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let upper = word.to_ascii_uppercase();
        let (stem, open) = upper.strip_suffix('*').map_or((upper.as_str(), false), |stem| (stem, true));
        let valid = stem.len() <= 8
            && (open || !stem.is_empty())
            && stem.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || "@#$".contains(c));
        valid.then(|| Self { stem: stem.to_owned(), open })
    }

    /// Whether `name` (any case) fits.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let name = name.to_ascii_uppercase();
        if self.open { name.starts_with(&self.stem) } else { name == self.stem }
    }

    /// The name, or what names begin with.
    pub(crate) fn stem(&self) -> &str {
        &self.stem
    }

    /// The name, when the pattern is one.
    #[must_use]
    pub fn exact(&self) -> Option<&str> {
        (!self.open).then_some(self.stem.as_str())
    }

    /// Whether every name fits.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.open && self.stem.is_empty()
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.stem, if self.open { "*" } else { "" })
    }
}

impl Serialize for NamePattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// As policies and pasearch write it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnOff(on) => f.write_str(if *on { "On" } else { "Off" }),
            Self::Choice(word) => f.write_str(word),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
            Self::Pattern(pattern) => write!(f, "{pattern}"),
            Self::Address(range) => write!(f, "{range}"),
            Self::Ports(Some(range)) => write!(f, "{range}"),
            Self::Ports(None) => f.write_str("All"),
            Self::Suite(code) => write!(f, "{code:04X}"),
            Self::Group(Some(code)) => write!(f, "{code:04}"),
            Self::Group(None) => f.write_str("Any"),
            Self::SignaturePair(code) => write!(f, "{code:04X}"),
            Self::FipsMode(mode) => write!(
                f,
                "140-3{} FAIL {}",
                if mode.indicate { " INDICATE" } else { "" },
                if mode.fail { "ON" } else { "OFF" }
            ),
            Self::Mask(mask) => write!(f, "{mask}"),
            Self::Clock(range) => write!(f, "{range}"),
            Self::Dates(range) => write!(f, "{range}"),
            Self::File(file) => write!(f, "{file}"),
        }
    }
}

impl fmt::Display for FileReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag =
            |value: Option<bool>, on: &str, off: &str| value.map(|value| if value { on } else { off }.to_owned());
        let words = [
            self.image.clone(),
            self.path.clone(),
            flag(self.flush, "FLUSH", "NOFLUSH"),
            flag(self.purge, "PURGE", "NOPURGE"),
            self.refresh.map(|seconds| seconds.to_string()),
        ];
        f.write_str(&words.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}

impl Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::OnOff(on) => serializer.serialize_bool(*on),
            Self::Number(number) => serializer.serialize_u32(*number),
            other => serializer.collect_str(other),
        }
    }
}

/// How many of the words after a keyword belong to its value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Extent {
    /// One; IBM ignores what follows.
    One,
    /// One, or two numbers that are the ends of a range.
    Range,
    /// Each word is a value of its own (lists in the brace-less dialect).
    Each,
    /// All words together, blanks included.
    Rest,
}

impl Kind {
    /// How far the value reaches. `braces` tells IBM's form from the brace-less one, `list` whether the parameter's values
    /// add up: only lists have several on a line.
    pub(crate) fn extent(self, braces: bool, list: bool) -> Extent {
        match self {
            Self::Line { .. } | Self::NameAndLabel | Self::FipsMode | Self::Image | Self::PolicyFile => Extent::Rest,
            Self::Choices(_) => Extent::Each,
            Self::Ports if braces || !list => Extent::Range,
            Self::Ports | Self::Suites(_) | Self::OldSuites | Self::Groups { .. } | Self::SignaturePairs if !braces => {
                Extent::Each
            }
            _ => Extent::One,
        }
    }

    /// Reads one word (or line) as values of this kind: a string of codes gives several.
    pub(crate) fn read(self, text: &str) -> Option<Vec<Value>> {
        let one = |value: Option<Value>| value.map(|value| vec![value]);
        match self {
            Self::OnOff => one(match_word(text, &["On", "Off"]).map(|word| Value::OnOff(word == "On"))),
            Self::Choice(words) | Self::Choices(words) => one(match_word(text, words).map(Value::Choice)),
            Self::Number(low, high) => one(read_number(text).filter(|n| (low..=high).contains(n)).map(Value::Number)),
            Self::Limit(_) if text == "-1" => one(Some(Value::Text(text.to_owned()))),
            Self::Limit(high) => one(read_number(text).filter(|n| *n <= high).map(Value::Number)),
            Self::Reference(_) | Self::Inline(_) => one((!text.is_empty()).then(|| Value::Text(text.to_owned()))),
            Self::Line { may_be_empty } => {
                one((may_be_empty || !text.is_empty()).then(|| Value::Text(text.to_owned())))
            }
            Self::Word => one((!text.is_empty()).then(|| Value::Text(text.to_owned()))),
            Self::DnsName => one(is_dns_name(text).then(|| Value::Text(text.to_owned()))),
            Self::Resource => one(is_resource(text).then(|| Value::Text(text.to_ascii_uppercase()))),
            Self::NameAndLabel => {
                let (name, label) = text.split_once('/')?;
                one((is_dns_name(name.strip_prefix("*.").unwrap_or(name)) && !label.is_empty())
                    .then(|| Value::Text(text.to_owned())))
            }
            Self::NamePattern => one(NamePattern::parse(text).map(Value::Pattern)),
            Self::Address => one(AddressRange::parse(text).map(Value::Address)),
            Self::Prefix => one(AddressRange::parse(text)
                .filter(|range| matches!(range, AddressRange::Prefix(_)))
                .map(Value::Address)),
            Self::Range => {
                one(AddressRange::parse(text).filter(|range| !matches!(range, AddressRange::All)).map(Value::Address))
            }
            Self::Ports => one(read_ports(text)),
            Self::Suites(digits) => read_codes(text, digits, 16)
                .map(|codes| codes.into_iter().map(Value::Suite).collect())
                .or_else(|| cipher::by_name(text).map(|suite| vec![Value::Suite(suite.code)])),
            Self::OldSuites => read_old_suites(text),
            Self::Groups { any: true } if text.eq_ignore_ascii_case("any") => one(Some(Value::Group(None))),
            Self::Groups { .. } => read_codes(text, 4, 10)
                .or_else(|| group::by_name(text).map(|group| vec![group.code]))
                .map(|codes| codes.into_iter().map(|code| Value::Group(Some(code))).collect()),
            Self::SignaturePairs => read_codes(text, 4, 16)
                .or_else(|| group::signature_by_name(text).map(|code| vec![code]))
                .map(|codes| codes.into_iter().map(Value::SignaturePair).collect()),
            Self::FipsMode => one(read_fips_mode(text)),
            Self::Mask(lengths) => one(Mask::parse(text, lengths).map(Value::Mask)),
            Self::Clock => text.split(',').map(|range| ClockRange::parse(range.trim()).map(Value::Clock)).collect(),
            Self::Dates => one(DateRange::parse(text).map(Value::Dates)),
            Self::Image => one(read_file(text, true)),
            Self::PolicyFile => one(read_file(text, false)),
        }
    }

    /// What an error message says was expected.
    #[must_use]
    pub fn expected(self) -> String {
        match self {
            Self::OnOff => "On or Off".to_owned(),
            Self::Choice(words) => words.join(", "),
            Self::Choices(words) => format!("one or more of {}", words.join(", ")),
            Self::Number(low, high) => format!("a number from {low} to {high}"),
            Self::Reference(statement) => format!("the name of {} {statement}", article(statement)),
            Self::Inline(statement) => format!("{} {statement} block", article(statement)),
            Self::Line { .. } => "text to the end of the line".to_owned(),
            Self::Word => "one word".to_owned(),
            Self::DnsName => "a DNS name such as host.example.com".to_owned(),
            Self::Resource => {
                "qualifiers of a SERVAUTH resource, such as EZB.TN3270.SYSA.TCPIP (at most 54 characters)".to_owned()
            }
            Self::NameAndLabel => "name/label such as host.example.com/WEB CERT".to_owned(),
            Self::NamePattern => "a name of 1 to 8 characters, `*` allowed at its end".to_owned(),
            Self::Address => "an address, address/prefix, address-address or All".to_owned(),
            Self::Prefix => "an address or address/prefix".to_owned(),
            Self::Range => "address-address, or address/prefix".to_owned(),
            Self::Ports => "a port (1 to 65535), a range n-m, or All (also 0)".to_owned(),
            Self::Suites(digits) => {
                format!("a cipher suite name, or codes of {digits} hexadecimal digits without blanks")
            }
            Self::OldSuites => "an SSLv2 cipher suite name, or codes of one digit without blanks".to_owned(),
            Self::Groups { any } => format!(
                "{}a group name, or group numbers of four decimal digits without blanks",
                if any { "Any, " } else { "" }
            ),
            Self::Limit(high) => format!("a number from 0 to {high}, or -1 for no limit"),
            Self::SignaturePairs => "a signature algorithm name, or pairs of four hexadecimal digits".to_owned(),
            Self::FipsMode => "140-3 [INDICATE] [FAIL ON|OFF]".to_owned(),
            Self::Mask(lengths) => {
                let lengths: Vec<String> = lengths.iter().map(ToString::to_string).collect();
                format!("{} digits, each 0 or 1", lengths.join(" or "))
            }
            Self::Clock => "hh:mm-hh:mm, several parted by commas".to_owned(),
            Self::Dates => "yyyymmddhhmmss:yyyymmddhhmmss".to_owned(),
            Self::Image => "a stack name, then a path, FLUSH or NOFLUSH, PURGE or NOPURGE, and seconds".to_owned(),
            Self::PolicyFile => "a path, then FLUSH or NOFLUSH and PURGE or NOPURGE".to_owned(),
        }
    }
}

/// `a` or `an`.
fn article(word: &str) -> &'static str {
    if word.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" }
}

fn match_word(text: &str, words: &[&'static str]) -> Option<&'static str> {
    words.iter().find(|word| word.eq_ignore_ascii_case(text)).copied()
}

/// SERVAUTH's names have at most 64 characters, ten of which are `.PORTnnnnn`.
fn is_resource(text: &str) -> bool {
    let allowed = |qualifier: &str| {
        !qualifier.is_empty() && qualifier.chars().all(|c| c.is_ascii_alphanumeric() || "@#$_-".contains(c))
    };
    text.len() <= 54 && text.split('.').all(allowed)
}

/// Labels of 1 to 63 letters, digits, underscores and, between them, hyphens; 253 characters in all; the last label not all
/// digits, which would be an address (RFC 1123, and the `_` that hosts have all the same). The TLS library takes no other
/// name: one that got past here would be sent to nobody and matched by nothing.
fn is_dns_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    name.len() <= 253 && name.split('.').all(is_label) && !name.rsplit('.').next().is_some_and(numeric)
}

/// `21`, `21-25`, `21:25`, `21 25`, `All`, `0`.
fn read_ports(text: &str) -> Option<Value> {
    if text.eq_ignore_ascii_case("all") || matches!(text, "0" | "0-65535" | "0:65535" | "0 65535") {
        return Some(Value::Ports(None));
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let range = match words.as_slice() {
        [from, to] if from.bytes().all(|b| b.is_ascii_digit()) && to.bytes().all(|b| b.is_ascii_digit()) => {
            PortRange::parse(&format!("{from}-{to}"))
        }
        [range] => PortRange::parse(range),
        _ => None,
    };
    range.map(|range| Value::Ports(Some(range)))
}

/// A string of codes of equal width. Codes that no table knows are codes too: lints speak of them.
fn read_codes(text: &str, width: usize, radix: u32) -> Option<Vec<u16>> {
    let digits = |byte: &u8| char::from(*byte).is_digit(radix);
    if text.is_empty() || !text.as_bytes().iter().all(digits) || !text.len().is_multiple_of(width) {
        return None;
    }
    text.as_bytes()
        .chunks(width)
        .map(|digits| u16::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok())
        .collect()
}

/// Digits only: no sign.
fn read_number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn read_old_suites(text: &str) -> Option<Vec<Value>> {
    if let Some((code, _)) = cipher::OLD.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)) {
        return Some(vec![Value::Text(code.to_string())]);
    }
    let known = |digit: char| cipher::OLD.iter().any(|(code, _)| *code == digit);
    (!text.is_empty() && text.chars().all(known))
        .then(|| text.chars().map(|digit| Value::Text(digit.to_string())).collect())
}

const FLAGS: [&str; 4] = ["FLUSH", "NOFLUSH", "PURGE", "NOPURGE"];

/// `[image] [path] [FLUSH|NOFLUSH] [PURGE|NOPURGE] [seconds]`, the words after the path in any order.
fn read_file(text: &str, image: bool) -> Option<Value> {
    let mut file = FileReference::default();
    let mut words = text.split_whitespace().peekable();
    if image {
        file.image = Some(words.next()?.to_owned());
    }
    let is_path = |word: &str| read_number(word).is_none() && match_word(word, &FLAGS).is_none();
    file.path = words.next_if(|word| is_path(word)).map(str::to_owned);
    // A word that is nearly a flag is one, misspelt.
    if file
        .path
        .as_deref()
        .is_some_and(|path| !path.contains(['/', '.']) && crate::diagnostic::nearest(path, FLAGS).is_some())
    {
        return None;
    }
    for word in words {
        match (match_word(word, &FLAGS), read_number(word)) {
            (Some(flag @ ("FLUSH" | "NOFLUSH")), _) if file.flush.is_none() => file.flush = Some(flag == "FLUSH"),
            (Some(flag @ ("PURGE" | "NOPURGE")), _) if file.purge.is_none() => file.purge = Some(flag == "PURGE"),
            (None, Some(seconds)) if image && file.refresh.is_none() => file.refresh = Some(seconds),
            _ => return None,
        }
    }
    Some(Value::File(file))
}

fn read_fips_mode(text: &str) -> Option<Value> {
    let upper = text.to_ascii_uppercase();
    let mut words = upper.split_whitespace();
    if words.next() != Some("140-3") {
        return None;
    }
    let mut mode = FipsMode { indicate: false, fail: true };
    while let Some(word) = words.next() {
        match word {
            "INDICATE" => mode.indicate = true,
            "FAIL" => {
                mode.fail = match words.next()? {
                    "ON" => true,
                    "OFF" => false,
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
    Some(Value::FipsMode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_of_codes_gives_each_suite() {
        let read = Kind::Suites(4).read("1302C02F").expect("two codes");
        assert_eq!(read, [Value::Suite(0x1302), Value::Suite(0xC02F)]);
        assert_eq!(Kind::Suites(2).read("2F35").expect("two codes"), [Value::Suite(0x2F), Value::Suite(0x35)]);
        assert_eq!(Kind::Suites(4).read("TLS_AES_128_GCM_SHA256").expect("a name"), [Value::Suite(0x1301)]);
        assert_eq!(Kind::Suites(4).read("13021"), None);
        assert_eq!(Kind::Suites(4).read("FFFE").expect("an unknown code"), [Value::Suite(0xFFFE)]);
        assert_eq!(Kind::Suites(4).read("TLS_NONSENSE"), None);
    }

    #[test]
    fn names_are_those_that_tls_can_carry() {
        for name in ["host", "host.example.com", "a_b.example.com.", "x-y.z", "7.example"] {
            assert!(Kind::DnsName.read(name).is_some(), "{name}");
        }
        for name in ["*.example.com", "10.1.2.3", "host.123", "-a.example.com", "a-.example.com", "a..b", "", "."] {
            assert!(Kind::DnsName.read(name).is_none(), "{name}");
        }
        assert!(Kind::NameAndLabel.read("*.example.com/ANY HOST").is_some());
        assert!(Kind::NameAndLabel.read("10.1.2.3/HOST").is_none());
    }

    #[test]
    fn a_resource_has_qualifiers_and_room_for_the_port() {
        assert_eq!(Kind::Resource.read("ezb.ftp.SYSA.FTPD1"), Some(vec![Value::Text("EZB.FTP.SYSA.FTPD1".to_owned())]));
        for name in ["", ".", "A..B", "A.*", "A.B.", &"A".repeat(55)] {
            assert!(Kind::Resource.read(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_pattern_is_a_name_or_a_prefix() {
        let ftpd = NamePattern::parse("ftpd*").expect("a pattern");
        assert!(ftpd.matches("FTPD1") && !ftpd.matches("XFTPD"));
        assert!(NamePattern::parse("*").expect("a pattern").is_any());
        assert_eq!(NamePattern::parse("TOOLONGNAME"), None);
    }

    #[test]
    fn a_file_line_is_read_in_full() {
        let read = |text: &str| {
            Kind::Image.read(text).map(|values| values.iter().map(ToString::to_string).collect::<String>())
        };
        assert_eq!(read("TCPIP /etc/t.conf flush PURGE 600").as_deref(), Some("TCPIP /etc/t.conf FLUSH PURGE 600"));
        assert_eq!(read("TCPIP FLUSH PURGE").as_deref(), Some("TCPIP FLUSH PURGE"));
        assert_eq!(read("TCPIP //'USER.TCPPARMS(PAGENT)'").as_deref(), Some("TCPIP //'USER.TCPPARMS(PAGENT)'"));
        assert_eq!(read("TCPIP /etc/t.conf FLUSH FLUSH"), None);
        assert_eq!(read("TCPIP /etc/t.conf FLUSCH"), None);
        assert_eq!(Kind::PolicyFile.read("/etc/t.policy 600"), None);
    }

    #[test]
    fn clock_ranges_stand_in_one_line_too() {
        assert_eq!(Kind::Clock.read("08:00-12:00, 13:00-17:00").map(|ranges| ranges.len()), Some(2));
        assert_eq!(Kind::Clock.read("99999999:00-12:00"), None);
    }

    #[test]
    fn fips_mode_is_read_as_the_seed_writes_it() {
        assert_eq!(
            Kind::FipsMode.read("140-3 INDICATE FAIL OFF"),
            Some(vec![Value::FipsMode(FipsMode { indicate: true, fail: false })])
        );
        assert_eq!(Kind::FipsMode.read("140-2"), None);
    }
}
