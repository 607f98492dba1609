//! The words behind a keyword as its values, and what is odd about them.

use super::{Reader, Word};
use crate::address::{self, PortRange};
use crate::diagnostic::{Diagnostic, Fix, Problem, nearest};
use crate::source::Span;
use crate::syntax::mistakes;
use crate::table::{Engine, Parameter};
use crate::value::{Extent, Kind, Value};

/// The first port that is no well-known one.
const WELL_KNOWN_END: u16 = 1024;

impl<'a> Reader<'a> {
    /// Codes that no registry knows, suites that are never negotiated, and suites that protect too little.
    pub(super) fn check_codes(&mut self, parameter: &'static Parameter, values: &[Value], span: Span) {
        let (mut never, mut weak): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        for value in values {
            let known = match value {
                Value::Suite(code) => {
                    self.now.suites.push(*code);
                    let suite = crate::cipher::by_code(*code);
                    let weakness = suite.and_then(|suite| Some((suite.name, crate::cipher::weakness(suite.name)?)));
                    weak.extend(weakness.map(|(name, (_, reason))| format!("{name} ({reason})")));
                    never.extend(suite.filter(|suite| !suite.offered).map(|suite| suite.name.to_owned()));
                    suite.is_some()
                }
                Value::Group(Some(code)) => {
                    let group = crate::group::by_code(*code);
                    never.extend(group.filter(|group| !group.offered).map(|group| group.name.to_owned()));
                    group.is_some()
                }
                Value::SignaturePair(code) => {
                    let known = crate::group::SIGNATURE_PAIRS.iter().any(|(known, _)| known == code);
                    if known && parameter.engine == Engine::Applied && !crate::group::VERIFIED.contains(code) {
                        never.push(crate::group::signature_name(*code));
                    }
                    known
                }
                _ => true,
            };
            if !known {
                let help = match parameter.kind {
                    Kind::Groups { .. } => "group numbers are decimal: 0023 is secp256r1, 0029 is x25519",
                    Kind::SignaturePairs => "pairs have four hexadecimal digits: 0403 is TLS_SIGALG_SHA256_WITH_ECDSA",
                    Kind::Suites(2) => "codes have two hexadecimal digits here; V3CipherSuites4Char takes four",
                    _ => "codes have four hexadecimal digits: 1302 is TLS_AES_256_GCM_SHA384",
                };
                let what = match parameter.kind {
                    Kind::Groups { .. } => "group",
                    Kind::SignaturePairs => "signature pair",
                    _ => "cipher suite",
                };
                self.report(Problem::UnknownCode { what, code: value.to_string() }, span, Some(help.to_owned()));
            }
        }
        if parameter.engine == Engine::Compared {
            return;
        }
        if !weak.is_empty() {
            self.report(Problem::WeakSuite { suites: weak.join(", ") }, span, None);
        }
        if !never.is_empty() {
            let names = never.join(", ");
            let problem = match parameter.kind {
                Kind::Groups { .. } => Problem::GroupsNotOffered { groups: names },
                Kind::SignaturePairs => Problem::NoEffect {
                    parameter: parameter.name,
                    value: names,
                    reason: "signatures of these algorithms are never accepted or made",
                },
                _ => Problem::SuitesNotOffered { suites: names },
            };
            self.report(problem, span, None);
        }
    }

    /// Reads the words after a keyword and where they stand; reports and gives nothing when they are not its values.
    pub(super) fn values(
        &mut self,
        parameter: &'static Parameter,
        keyword: Word<'a>,
        rest: &[Word<'a>],
        braces: bool,
    ) -> Option<(Vec<Value>, Span)> {
        let may_be_empty = matches!(parameter.kind, Kind::Line { may_be_empty: true });
        let Some(first) = rest.first() else {
            if may_be_empty {
                let span = Span { start: keyword.span.end, end: keyword.span.end };
                return Some((vec![Value::Text(String::new())], span));
            }
            let expected = parameter.kind.expected();
            self.report(Problem::MissingValue { parameter: parameter.name, expected }, keyword.span, None);
            return None;
        };
        let up_to = |count: usize| rest.get(count.saturating_sub(1)).unwrap_or(first).span.end;
        let whole = |end: usize| Word {
            text: self.source.text.get(first.span.start..end).unwrap_or(first.text),
            span: Span { start: first.span.start, end },
        };
        match parameter.extent(braces) {
            Extent::Rest => {
                let whole = whole(up_to(rest.len()));
                let values = if parameter.kind == Kind::FipsMode {
                    parameter.kind.read(&whole.text.replace(['(', ')', ','], " "))
                } else {
                    parameter.kind.read(whole.text)
                };
                self.or_invalid(parameter, whole, values)
            }
            Extent::Range => {
                let number = |word: &Word<'_>| word.text.bytes().all(|byte| byte.is_ascii_digit());
                let second = rest.get(1);
                if let Some(words) = torn_range(rest, &['-', ':']) {
                    return self.or_invalid(parameter, whole(up_to(words)), None);
                }
                let is_range = number(first) && second.is_some_and(number);
                let taken = if is_range { 2 } else { 1 };
                let whole = whole(up_to(taken));
                let found = self.or_invalid(parameter, whole, parameter.kind.read(whole.text));
                if let Some((values, span)) = &found {
                    self.check_ignored(parameter, rest, taken);
                    if is_range {
                        self.check_list(parameter, values, *span);
                    }
                }
                found
            }
            Extent::One => {
                let is_address = matches!(parameter.kind, Kind::Address | Kind::Prefix | Kind::Range);
                if let Some(words) = torn_range(rest, &['-']).filter(|_| is_address) {
                    return self.or_invalid(parameter, whole(up_to(words)), None);
                }
                let values = parameter.kind.read(first.text);
                if values.is_some() {
                    self.check_ignored(parameter, rest, 1);
                }
                self.check_address(parameter, *first, values.as_deref());
                self.or_invalid(parameter, *first, values)
            }
            Extent::Each => {
                let span = Span { start: first.span.start, end: up_to(rest.len()) };
                let read: Vec<Option<Vec<Value>>> = rest
                    .iter()
                    .map(|&word| {
                        let values = parameter.kind.read(word.text);
                        self.or_invalid(parameter, word, values).map(|(values, _)| values)
                    })
                    .collect();
                let values = read.into_iter().collect::<Option<Vec<_>>>()?.concat();
                self.check_range(parameter, &values, span);
                Some((values, span))
            }
        }
    }

    pub(super) fn check_ignored(&mut self, parameter: &'static Parameter, rest: &[Word<'a>], taken: usize) {
        let (Some(ignored), Some(last)) = (rest.get(taken), rest.last()) else { return };
        let span = Span { start: ignored.span.start, end: last.span.end };
        let text = self.source.text.get(span.start..span.end).unwrap_or(ignored.text).to_owned();
        let help = match parameter.kind {
            Kind::Suites(_) | Kind::Groups { .. } | Kind::SignaturePairs => {
                Some("write the codes without blanks, or each on a line of its own".to_owned())
            }
            Kind::Choice(words) if words.contains(&"Both") => Some("for both directions code `Both`".to_owned()),
            _ => None,
        };
        self.report(Problem::TextIgnored { parameter: parameter.name, text }, span, help);
    }

    /// `21 990` between braces is a range of 970 ports; it is often meant as two.
    pub(super) fn check_list(&mut self, parameter: &'static Parameter, values: &[Value], span: Span) {
        let [Value::Ports(Some(range))] = values else { return };
        let (from, to) = (*range.0.start(), *range.0.end());
        if from < WELL_KNOWN_END && to - from > 1 {
            let count = usize::from(to - from) + 1;
            let help = format!(
                "for two ports code `{0} {from}` and `{0} {to}` on a line each; for the range write `{from}-{to}`",
                parameter.name
            );
            let problem = Problem::LooksLikeList { parameter: parameter.name, from, to, count };
            self.report(problem, span, Some(help));
        }
    }

    /// `1024 65535` without braces is two ports; on z/OS it is the range of all between them.
    fn check_range(&mut self, parameter: &'static Parameter, values: &[Value], span: Span) {
        let [Value::Ports(Some(first)), Value::Ports(Some(second))] = values else { return };
        let (from, to) = (*first.0.start(), *second.0.end());
        let single = |range: &PortRange| range.0.start() == range.0.end();
        if single(first) && single(second) && from >= WELL_KNOWN_END && to > from {
            let help = format!("for the range write `{from}-{to}`; for two ports code each on a line of its own");
            self.report(Problem::LooksLikeRange { parameter: parameter.name, from, to }, span, Some(help));
        }
    }

    pub(super) fn check_address(&mut self, parameter: &'static Parameter, word: Word<'a>, values: Option<&[Value]>) {
        if let (Kind::Address | Kind::Prefix | Kind::Range, Some([Value::Address(address)])) = (parameter.kind, values)
            && !address::is_plain(word.text)
        {
            let address = address.to_string();
            let problem = Problem::OddAddress { value: word.text.to_owned(), address: address.clone() };
            let fix = Fix { span: word.span, text: address };
            let help = Some("write the address in full".to_owned());
            let diagnostic = Diagnostic::new(problem, self.origin(word.span)).help(help);
            self.push(Diagnostic { fix: Some(fix), ..diagnostic });
        }
    }

    pub(super) fn or_invalid(
        &mut self,
        parameter: &'static Parameter,
        word: Word<'a>,
        values: Option<Vec<Value>>,
    ) -> Option<(Vec<Value>, Span)> {
        if let Some(values) = values {
            return Some((values, word.span));
        }
        let meant = if self.suggests() {
            match parameter.kind {
                Kind::Choice(words) | Kind::Choices(words) => nearest(word.text, words.iter().copied()),
                Kind::OnOff => nearest(word.text, ["On", "Off"]),
                Kind::Suites(_) => nearest(word.text, crate::cipher::TABLE.iter().map(|suite| suite.name)),
                Kind::Groups { .. } => nearest(word.text, crate::group::TABLE.iter().map(|group| group.name)),
                Kind::SignaturePairs => nearest(word.text, crate::group::SIGNATURE_PAIRS.iter().map(|(_, name)| *name)),
                _ => None,
            }
        } else {
            None
        };
        let mut help = mistakes::value(parameter, word.text);
        if matches!(parameter.kind, Kind::Ports | Kind::Address | Kind::Prefix | Kind::Range)
            && word.text.contains([' ', '\t'])
        {
            let compact: String = word.text.split_whitespace().collect();
            if word.text.contains(['-', ':', '/']) && parameter.kind.read(&compact).is_some() {
                help = Some(format!("write the range without blanks: `{compact}`"));
            }
        }
        let (value, expected) = (word.text.chars().take(60).collect(), parameter.kind.expected());
        self.found(Problem::InvalidValue { parameter: parameter.name, value, expected }, word.span, help, meant);
        None
    }
}

/// How many words make a range that is torn apart by blanks (`21 - 990`, `1024- 65535`): taking the first word alone
/// would make another condition of it.
fn torn_range(words: &[Word<'_>], delimiters: &[char]) -> Option<usize> {
    let first = words.first()?.text;
    let second = words.get(1)?.text;
    if second.starts_with(delimiters) {
        return Some(if second.chars().count() == 1 { 3.min(words.len()) } else { 2 });
    }
    first.ends_with(delimiters).then_some(2)
}
