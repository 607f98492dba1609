//! What the engine makes of a rule's actions: left-out suites, nothing left, FIPS, what a client checks and sends.
//!
//! Each combination of actions is looked at once, at the first rule that has it.

use std::sync::Arc;

use super::Resolver;
use crate::cipher;
use crate::diagnostic::{Diagnostic, Problem};
use crate::group;
use crate::model::{Scope, TtlsRule};
use crate::parameters::{Fips, Role, SecurityParameters};
use crate::source::Origin;

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
        let mut report = |problem, origin, help: Option<&str>| {
            self.report(Diagnostic::new(problem, origin).help(help.map(str::to_owned)));
        };
        let at_suites = coded(&["V3CipherSuites"]);
        if !left_out.suites.is_empty() {
            let suites = names(&left_out.suites, cipher::name);
            report(Problem::SuitesNotOffered { suites }, at_suites.clone(), None);
        }
        if !left_out.groups.is_empty() {
            let groups = names(&left_out.groups, group::name);
            let origin = match parameters.role {
                Role::Client => coded(&["ClientKeyShareGroups", "ClientECurves"]),
                Role::Server(_) => coded(&["ServerKeyShareGroups", "ServerKexECurves"]),
            };
            report(Problem::GroupsNotOffered { groups }, origin, None);
        }
        for (version, why) in left_out.versions {
            let problem = Problem::CannotOccur { rule: name(), what: version.to_owned(), why };
            report(problem, coded(&[version]), None);
        }
        if !left_out.unversioned.is_empty() {
            let what = names(&left_out.unversioned, cipher::name);
            let why = "their version is Off";
            report(Problem::CannotOccur { rule: name(), what, why }, at_suites.clone(), None);
        }
        if !left_out.not_fips.is_empty() {
            let what = left_out.not_fips.join(", ");
            report(Problem::NotFips { rule: name(), what }, coded(&["FIPS140", "FIPSMODE"]), None);
        }
        let usable_groups = !parameters.groups.is_empty();
        if !(parameters.tls12 || parameters.tls13) || !usable_groups {
            let reason = if usable_groups {
                "TLS 1.2 needs an ECDHE AEAD suite and an elliptic curve, TLS 1.3 a 13xx suite, and the version must be On"
            } else {
                "no group is left"
            };
            report(
                Problem::NothingUsable { rule: name(), reason: reason.to_owned() },
                rule.origin.clone(),
                Some("code `V3CipherSuites4Char TLS_AES_128_GCM_SHA256` and `TLSv1.3 On`, or leave both out"),
            );
        }
        let is_client = parameters.role == Role::Client;
        if is_client && parameters.host_names.is_empty() {
            report(
                Problem::NoHostCheck { rule: name() },
                at_environment.clone(),
                Some("code `HostReferenceIdDNS` with the server's name in an AdvancedParms block"),
            );
        }
        if let Some(label) = parameters.certificate_label.as_deref().filter(|label| is_client && !label.is_empty()) {
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
                let problem =
                    Problem::Refused { parameter: "FIPS140/FIPSMODE", value: "On".to_owned(), reason: NO_MODULE };
                report(problem, at_fips, None);
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

fn names(codes: &[u16], name: impl Fn(u16) -> String) -> String {
    codes.iter().map(|&code| name(code)).collect::<Vec<_>>().join(", ")
}
