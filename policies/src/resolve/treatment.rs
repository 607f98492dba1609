//! What the engine makes of a rule's actions: left-out suites, nothing left, FIPS, what a client checks and sends.
//!
//! Each combination of actions is looked at once, at the first rule that has it.

use std::sync::Arc;

use super::Resolver;
use crate::cipher;
use crate::diagnostic::{Diagnostic, Problem, Severity};
use crate::group;
use crate::model::{Scope, TtlsRule};
use crate::parameters::{ClientAuth, Fips, Role, SecurityParameters};
use crate::source::Origin;
use crate::table::{Side, Verdict};
use crate::value::{FipsMode, Value};

const NOT_APPROVED: &str = "FIPS 140-3 does not approve it, and FIPSMODE says FAIL ON; code FAIL OFF to be told only";
const NO_MODULE: &str = "this build does not contain the FIPS 140-3 module";

impl Resolver<'_> {
    pub(super) fn treatment(&mut self, rule: &TtlsRule, fips: bool) -> Option<Arc<SecurityParameters>> {
        let (parameters, left_out) = rule.treatment()?;
        let name = || rule.name.clone();
        let at_environment = rule.action(Scope::Environment).map_or(&rule.origin, |action| &action.origin).clone();
        let coded = |names: &[&str]| -> Origin {
            let found = names.iter().find_map(|name| rule.effective(name).origin);
            found.unwrap_or_else(|| at_environment.clone())
        };
        // What seems to be missing or odd may be what could not be read. Errors stay: nothing may be installed for a slip
        // in what was marked.
        let broken = rule.actions().any(|action| action.broken);
        let mut report = |problem: Problem, origin: Origin, help: Option<&str>| {
            let found = Diagnostic::new(problem, origin).help(help.map(str::to_owned));
            if broken && found.severity() != Severity::Error {
                return;
            }
            // The rule's name is the first that has it; what is said is the same for the others.
            let said = found.problem.to_string().replace(&rule.name, "");
            let place = (said, Arc::as_ptr(&found.origin.source), found.origin.span.start);
            if self.told.insert(place) {
                self.report(found);
            }
        };
        let client = parameters.role == Role::Client;
        // Values that count for one role only are refused where the rule has that role; elsewhere they are idle words.
        let mut seen: Vec<&str> = Vec::new();
        for setting in rule.actions().flat_map(|action| action.settings.values()) {
            let row = setting.parameter;
            let effective = !seen.contains(&row.name);
            seen.push(row.name);
            let counts = match row.side() {
                Some(_) if row.name == "ClientAuthType" => !client && parameters.role != Role::Server(ClientAuth::None),
                Some(side) => client == (side == Side::Client),
                None => false,
            };
            let value = setting.values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            if let Some(Verdict::Refused(reason)) = row.verdict(&value).filter(|_| effective && counts) {
                report(Problem::Refused { parameter: row.name, value, reason }, setting.origin.clone(), None);
            }
        }
        if parameters.application_controlled && parameters.negotiate.is_some() {
            let value = rule.effective("Negotiate").values.iter().map(ToString::to_string).collect();
            let reason = "ApplicationControlled leaves the upgrade to the program";
            report(Problem::NoEffect { parameter: "Negotiate", value, reason }, coded(&["Negotiate"]), None);
        }
        let resource = rule.effective("SAFCheckResource").values.iter().map(ToString::to_string).collect::<String>();
        if !resource.is_empty() && parameters.role != Role::Server(ClientAuth::SafCheck) {
            let reason = "only ClientAuthType SAFCheck knows a client's user";
            report(
                Problem::NoEffect { parameter: "SAFCheckResource", value: resource, reason },
                coded(&["SAFCheckResource"]),
                None,
            );
        }
        if rule.fails_open() {
            report(Problem::FailsOpen { rule: name() }, coded(&["FailMode"]), None);
        }
        if client && rule.effective("ClientMaxSSLFragment").values == [Value::Choice("Optional")] {
            let reason = "records sent are no longer, but the peer is not asked to do the same (RFC 6066)";
            report(Problem::Idle { directive: "ClientMaxSSLFragment", reason }, coded(&["ClientMaxSSLFragment"]), None);
        }
        const UNWRITTEN: u32 = 16 | 32;
        if parameters.trace & UNWRITTEN != 0 {
            let reason = "flow and data messages (16, 32) are not written";
            report(Problem::Idle { directive: "Trace", reason }, coded(&["Trace"]), None);
        }
        for (parameter, reason) in unsent_names(rule, client) {
            let value = rule.effective(parameter).values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            report(Problem::NoEffect { parameter, value, reason }, coded(&[parameter]), None);
        }
        let nameless =
            parameters.server_names.as_ref().filter(|names| names.match_demanded && names.certificates.is_empty());
        if let Some(names) = nameless {
            let problem = if names.demanded {
                let reason =
                    "ServerHandshakeSNIMatch Required takes listed names only, and no ServerHandshakeSNIList is coded";
                Problem::NothingUsable { rule: name(), reason: reason.to_owned() }
            } else {
                Problem::RefusesNames { rule: name() }
            };
            let help = "code `ServerHandshakeSNIList name/label` for each name it serves";
            report(problem, coded(&["ServerHandshakeSNIMatch"]), Some(help));
        }
        for (version, why) in left_out.versions {
            let problem = Problem::CannotOccur { rule: name(), what: version.to_owned(), why };
            report(problem, coded(&[version]), None);
        }
        let at_suite = |code: &u16| place(rule, &["V3CipherSuites"], &Value::Suite(*code));
        for (origin, codes) in by_place(&left_out.unversioned, at_suite) {
            let what = names(&codes, cipher::name);
            report(Problem::CannotOccur { rule: name(), what, why: "the version is Off" }, origin, None);
        }
        let strict =
            matches!(rule.effective("FIPSMODE").values.first(), Some(Value::FipsMode(FipsMode { fail: true, .. })));
        let not_fips = |parameter: &'static str, what: String| {
            if strict {
                Problem::Refused { parameter, value: what, reason: NOT_APPROVED }
            } else {
                Problem::NotFips { rule: name(), what }
            }
        };
        for (origin, codes) in by_place(&left_out.not_fips_suites, at_suite) {
            report(not_fips("V3CipherSuites", names(&codes, cipher::name)), origin, None);
        }
        let at_group = |code: &u16| {
            let rows: &[&str] = match parameters.role {
                Role::Client => &["ClientKeyShareGroups", "ClientECurves"],
                Role::Server(_) => &["ServerKeyShareGroups", "ServerKexECurves"],
            };
            place(rule, rows, &Value::Group(Some(*code)))
        };
        for (origin, codes) in by_place(&left_out.not_fips_groups, at_group) {
            let rows = if client { "ClientKeyShareGroups" } else { "ServerKeyShareGroups" };
            report(not_fips(rows, names(&codes, group::name)), origin, None);
        }
        let codes = |name: &str| -> Vec<Value> { rule.effective(name).values };
        let (shares, curves) = (codes("ServerKeyShareGroups"), codes("ServerKexECurves"));
        let both = parameters.tls12 && parameters.tls13 && !shares.is_empty() && !curves.is_empty();
        let differ =
            shares.iter().any(|code| !curves.contains(code)) || curves.iter().any(|code| !shares.contains(code));
        if both && differ && parameters.role != Role::Client {
            let value = curves.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            let reason = "both versions take the groups of both lists, key shares first";
            let problem = Problem::NoEffect { parameter: "ServerKexECurves", value, reason };
            report(problem, coded(&["ServerKexECurves"]), None);
        }
        if parameters.reset_cipher_timer > 0 && parameters.tls12 {
            let value = parameters.reset_cipher_timer.to_string();
            let reason = "connections of TLS 1.2 keep their keys: it could renew them by renegotiation only";
            let problem = Problem::NoEffect { parameter: "ResetCipherTimer", value, reason };
            report(problem, coded(&["ResetCipherTimer"]), Some("code `TLSv1.2 Off`, or take the warning for it"));
        }
        let names_sent = codes("ClientHandshakeSNIList");
        if let Some(more) = names_sent.get(1..).filter(|more| !more.is_empty()) {
            let value = more.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let problem =
                Problem::NoEffect { parameter: "ClientHandshakeSNIList", value, reason: "the first name is sent" };
            let setting = rule.actions().find_map(|action| action.settings.get("ClientHandshakeSNIList"));
            let second = setting.and_then(|setting| Some(setting.more.first()?.1.clone()));
            report(problem, second.unwrap_or_else(|| coded(&["ClientHandshakeSNIList"])), None);
        }
        // Without the module nothing of what FIPS mode leaves can be judged.
        let judged = fips || parameters.fips != Fips::Required;
        let usable_groups = !parameters.groups.is_empty();
        let sees_certificates = !matches!(parameters.role, Role::Server(ClientAuth::None | ClientAuth::PassThru));
        let unsigned = parameters.signatures.is_empty();
        let unverified = sees_certificates && parameters.certificate_signatures.is_empty();
        if judged && (!(parameters.tls12 || parameters.tls13) || !usable_groups || unsigned || unverified) {
            let off = |version: &str| rule.effective(version).values == [Value::OnOff(false)];
            let (reason, help) = if !usable_groups {
                ("none of its groups can be negotiated", "code groups such as `0023` and `0029`, or leave them out")
            } else if unsigned || unverified {
                let reason = if unsigned {
                    "none of its signature pairs is one that is accepted here"
                } else {
                    "none of the signature pairs for certificates is one that is accepted here"
                };
                (reason, "code pairs such as `0403` and `0804`, or leave them out")
            } else if off("TLSv1.2") && off("TLSv1.3") {
                ("TLSv1.2 and TLSv1.3 are Off", "code `TLSv1.3 On`")
            } else {
                (
                    "none of its cipher suites can be negotiated in a version that is On",
                    "code suites such as `V3CipherSuites4Char TLS_AES_128_GCM_SHA256` (TLS 1.3), or leave them out",
                )
            };
            report(Problem::NothingUsable { rule: name(), reason: reason.to_owned() }, rule.origin.clone(), Some(help));
        }
        if client && parameters.peer.host_names.is_empty() && parameters.peer.common_names.is_empty() {
            report(
                Problem::NoHostCheck { rule: name() },
                // Where the role is coded: the environment's, or the connection's that makes a client of it.
                rule.action(Scope::Connection)
                    .filter(|action| action.settings.contains_key("HandshakeRole"))
                    .map_or(&at_environment, |action| &action.origin)
                    .clone(),
                Some("code `HostReferenceIdDNS` with the server's name in an AdvancedParms block"),
            );
        }
        if let Some(label) = parameters.certificate_label.as_deref().filter(|label| client && !label.is_empty()) {
            report(
                Problem::OutboundIdentity { rule: name(), label: format!("`{label}`") },
                coded(&["CertificateLabel"]),
                Some("code `CertificateLabel` without a value to send none"),
            );
        }
        if !["TLSv1.2", "TLSv1.3"].iter().any(|version| rule.effective(version).origin.is_some()) {
            report(
                Problem::UncodedVersions { rule: name() },
                at_environment.clone(),
                Some("code `TLSv1.2 On` and `TLSv1.3 On`, and the policy means the same on z/OS"),
            );
        }
        let at_fips = coded(&["FIPS140", "FIPSMODE"]);
        match parameters.fips {
            Fips::Required if !fips => {
                let level = rule.effective("FIPS140").values.first().map(ToString::to_string);
                let level = level.filter(|level| level != "Off");
                let parameter = if level.is_some() { "FIPS140" } else { "FIPSMODE" };
                let value = level.unwrap_or_else(|| "FAIL ON".to_owned());
                report(Problem::Refused { parameter, value, reason: NO_MODULE }, at_fips, None);
            }
            Fips::Report if !fips => {
                let problem =
                    Problem::NoEffect { parameter: "FIPSMODE", value: "FAIL OFF".to_owned(), reason: NO_MODULE };
                report(problem, at_fips, None);
            }
            _ => {}
        }
        Some(Arc::new(parameters))
    }
}

/// Coded parameters about the names in hellos (SNI) that come to nothing, with the reason.
fn unsent_names(rule: &TtlsRule, client: bool) -> Vec<(&'static str, &'static str)> {
    let coded = |name: &str| rule.effective(name).origin.is_some();
    let empty = |name: &str| rule.effective(name).values.is_empty();
    let off = |name: &str| matches!(rule.effective(name).values.first(), None | Some(Value::Choice("Off")));
    let mut found = Vec::new();
    if client && off("ClientHandshakeSNI") {
        found.push(("ClientHandshakeSNIList", "ClientHandshakeSNI is Off"));
    } else if client && empty("ClientHandshakeSNIList") && empty("HostReferenceIdDNS") {
        found.push(("ClientHandshakeSNI", "no name is coded, in ClientHandshakeSNIList or HostReferenceIdDNS"));
    } else if !client && off("ServerHandshakeSNI") {
        found.push(("ServerHandshakeSNIList", "ServerHandshakeSNI is Off"));
        // `Optional` says no more than Off does.
        if rule.effective("ServerHandshakeSNIMatch").values == [Value::Choice("Required")] {
            found.push(("ServerHandshakeSNIMatch", "ServerHandshakeSNI is Off"));
        }
    }
    found.retain(|(name, _)| coded(name));
    found
}

/// Where a value of one of some parameters is coded; none when it is a default.
fn place(rule: &TtlsRule, parameters: &[&str], value: &Value) -> Option<Origin> {
    parameters.iter().find_map(|name| {
        let setting = rule.actions().find_map(|action| action.settings.get(name))?;
        setting.values.contains(value).then(|| setting.origin_of(value).clone())
    })
}

/// Codes by the line they are coded on; defaults are nobody's mistake.
fn by_place(codes: &[u16], place: impl Fn(&u16) -> Option<Origin>) -> Vec<(Origin, Vec<u16>)> {
    let mut places: Vec<(Origin, Vec<u16>)> = Vec::new();
    for code in codes {
        let Some(origin) = place(code) else { continue };
        match places.iter_mut().find(|(known, _)| *known == origin) {
            Some((_, codes)) => codes.push(*code),
            None => places.push((origin, vec![*code])),
        }
    }
    places
}

fn names(codes: &[u16], name: impl Fn(u16) -> String) -> String {
    codes.iter().map(|&code| name(code)).collect::<Vec<_>>().join(", ")
}
