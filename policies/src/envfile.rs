//! `Envfile`: environment variables of System SSL, for the parameters that they stand for (*System SSL Programming*,
//! "Environment variables").
//!
//! A variable counts where the policy codes nothing in its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Problem};
use crate::source::{Origin, Source, Span};
use crate::syntax::Setting;
use crate::table::{self, Parameter};
use crate::value::{Kind, Value};

/// Variables whose parameters have other names.
const NAMES: [(&str, &str); 11] = [
    ("GSK_PROTOCOL_SSLV2", "SSLv2"),
    ("GSK_PROTOCOL_SSLV3", "SSLv3"),
    ("GSK_PROTOCOL_TLSV1", "TLSv1"),
    ("GSK_PROTOCOL_TLSV1_1", "TLSv1.1"),
    ("GSK_PROTOCOL_TLSV1_2", "TLSv1.2"),
    ("GSK_PROTOCOL_TLSV1_3", "TLSv1.3"),
    ("GSK_V3_CIPHER_SPECS_EXPANDED", "V3CipherSuites4Char"),
    ("GSK_CLIENT_ECURVE_LIST", "ClientECurves"),
    ("GSK_CLIENT_TLS_KEY_SHARES", "ClientKeyShareGroups"),
    ("GSK_SERVER_TLS_KEY_SHARES", "ServerKeyShareGroups"),
    ("GSK_TLS_SIG_ALG_PAIRS", "SignaturePairs"),
];

/// Switches as System SSL takes them.
const ON: [&str; 5] = ["1", "ON", "TRUE", "ENABLE", "ENABLED"];
const OFF: [&str; 5] = ["0", "OFF", "FALSE", "DISABLE", "DISABLED"];

/// What a file says, by parameter; later lines replace earlier ones.
pub(crate) fn settings(source: &Arc<Source>) -> (BTreeMap<&'static str, Setting>, Vec<Diagnostic>) {
    let (mut settings, mut diagnostics) = (BTreeMap::new(), Vec::new());
    let mut start = 0;
    for line in source.text.split_inclusive('\n') {
        let begin = start + (line.len() - line.trim_start().len());
        start += line.len();
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let origin = Origin { source: Arc::clone(source), span: Span { start: begin, end: begin + text.len() } };
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let (name, value) = (name.trim(), value.trim().trim_matches('"'));
        let Some(parameter) = parameter(name) else {
            let reason = "the variable stands for no parameter of this agent";
            let problem = Problem::NoEffect { parameter: "Envfile", value: name.to_owned(), reason };
            diagnostics.push(Diagnostic::new(problem, origin));
            continue;
        };
        match read(parameter, value) {
            Some(values) => {
                let key = if parameter.name == "V3CipherSuites4Char" { "V3CipherSuites" } else { parameter.name };
                let value_span = Span { start: origin.span.end - value.len().min(text.len()), end: origin.span.end };
                settings.insert(key, Setting { parameter, values, origin, value_span, more: Vec::new() });
            }
            None => {
                let problem = Problem::InvalidVariable {
                    variable: name.to_owned(),
                    value: value.to_owned(),
                    parameter: parameter.name,
                };
                diagnostics.push(Diagnostic::new(problem, origin));
            }
        }
    }
    (settings, diagnostics)
}

fn parameter(variable: &str) -> Option<&'static Parameter> {
    let known = NAMES.iter().find(|(name, _)| *name == variable).map(|(_, parameter)| *parameter);
    table::parameter(known.unwrap_or(variable)).filter(|_| variable.starts_with("GSK_"))
}

fn read(parameter: &'static Parameter, value: &str) -> Option<Vec<Value>> {
    let upper = value.to_ascii_uppercase();
    match parameter.kind {
        Kind::OnOff if ON.contains(&upper.as_str()) => Some(vec![Value::OnOff(true)]),
        Kind::OnOff if OFF.contains(&upper.as_str()) => Some(vec![Value::OnOff(false)]),
        Kind::OnOff => None,
        kind => kind.read(value).filter(|values| !values.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_stand_for_parameters() {
        let text = "# of the group\n\nGSK_PROTOCOL_TLSV1_2=1\nGSK_PROTOCOL_TLSV1_3 = OFF\n\
                    GSK_V3_CIPHER_SPECS_EXPANDED=\"C02CC030\"\nGSK_V3_SESSION_TIMEOUT=300\nGSK_CLIENT_ECURVE_LIST=00290023\n";
        let (settings, diagnostics) = settings(&Source::new("env", text));
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        let value = |name: &str| -> Vec<String> {
            settings
                .get(name)
                .map(|setting| setting.values.iter().map(ToString::to_string).collect())
                .unwrap_or_default()
        };
        assert_eq!(value("TLSv1.2"), ["On"]);
        assert_eq!(value("TLSv1.3"), ["Off"]);
        assert_eq!(value("V3CipherSuites").len(), 2);
        assert_eq!(value("GSK_V3_SESSION_TIMEOUT"), ["300"]);
        assert_eq!(value("ClientECurves").len(), 2);
    }

    #[test]
    fn what_stands_for_nothing_or_has_no_value_is_told_where_it_is() {
        let text = "GSK_KEY_LABEL=x\nPATH=/bin\nGSK_PROTOCOL_TLSV1_2=maybe\nGSK_V3_SESSION_TIMEOUT\n";
        let source = Source::new("env", text);
        let (settings, diagnostics) = settings(&source);
        assert!(settings.is_empty());
        let codes: Vec<_> = diagnostics.iter().map(|found| found.problem.code()).collect();
        assert_eq!(codes, ["PAG0201", "PAG0201", "PAG0110", "PAG0110"]);
        let places: Vec<&str> =
            diagnostics.iter().map(|found| &text[found.origin.span.start..found.origin.span.end]).collect();
        assert_eq!(places, text.lines().collect::<Vec<_>>());
    }
}
