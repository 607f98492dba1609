//! Lints on what key rings hold: the caller brings the facts, for rings it can read.

use std::collections::HashSet;
use std::sync::Arc;

use crate::diagnostic::{Collector, Diagnostic, Problem};
use crate::model::{Policy, Scope, TtlsRule};
use crate::parameters::{Role, SecurityParameters};
use crate::source::Origin;

/// A certificate that ends sooner than this, in seconds, is told of.
const SOON: i64 = 30 * 86_400;

/// What reads key rings.
pub trait Rings {
    /// The facts on a ring; none when it is not there to be read (on another machine than the policy's), an error text
    /// when it is there and cannot be used.
    fn ring(&mut self, parameters: &SecurityParameters) -> Option<Result<Arc<RingFacts>, String>>;
}

/// What a key ring holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RingFacts {
    /// Its certificates that are not authorities only.
    pub certificates: Vec<CertificateFacts>,
    /// How many authorities it has.
    pub authorities: usize,
}

/// A certificate of a ring.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CertificateFacts {
    /// Its label.
    pub label: String,
    /// Whether its private key is there.
    pub has_key: bool,
    /// Whether it is sent when no label is coded.
    pub is_default: bool,
    /// The size of an RSA key; none for other keys.
    pub rsa_bits: Option<usize>,
    /// Seconds since the epoch before and after which it is not valid.
    pub validity: (i64, i64),
    /// Whether its extended key usage allows it for a server; none without that extension.
    pub server_auth: Option<bool>,
    /// Whether its extended key usage allows it for a client.
    pub client_auth: Option<bool>,
    /// Whether its key usage allows signatures.
    pub signs: Option<bool>,
}

pub(super) fn check(policy: &Policy, rings: &mut dyn Rings, now: i64, diagnostics: &mut Collector) {
    let mut seen: HashSet<usize> = HashSet::new();
    for rule in &policy.ttls {
        let Some(security) = &rule.security else { continue };
        if !seen.insert(Arc::as_ptr(security).addr()) {
            continue;
        }
        match rings.ring(security) {
            None => {}
            Some(Ok(facts)) => Checked { rule, security, now, diagnostics }.ring(&facts),
            Some(Err(reason)) => {
                let ring = security.keyring.clone();
                let problem = Problem::RingUnusable { rule: rule.name.clone(), ring, reason };
                diagnostics.push(Diagnostic::new(problem, coded(rule, "Keyring")));
            }
        }
    }
}

fn coded(rule: &TtlsRule, name: &str) -> Origin {
    let action = || rule.action(Scope::Environment).map_or(&rule.origin, |action| &action.origin).clone();
    rule.effective(name).origin.unwrap_or_else(action)
}

struct Checked<'a> {
    rule: &'a TtlsRule,
    security: &'a SecurityParameters,
    now: i64,
    diagnostics: &'a mut Collector,
}

impl Checked<'_> {
    fn ring(&mut self, facts: &RingFacts) {
        let SecurityParameters { role, certificate_label, server_certificate_labels, .. } = self.security;
        let labels: Vec<(&str, &str)> = match role {
            Role::Server(_) if !server_certificate_labels.is_empty() => {
                server_certificate_labels.iter().map(|label| ("ServerCertificateLabel", label.as_str())).collect()
            }
            _ => certificate_label.iter().map(|label| ("CertificateLabel", label.as_str())).collect(),
        };
        let is_server = *role != Role::Client;
        let labels: Vec<(&str, &str)> = labels.into_iter().filter(|(_, label)| !label.is_empty()).collect();
        let names = self.security.server_names.iter().flat_map(|names| &names.certificates);
        let for_names: Vec<(&str, &str)> = names.map(|(_, label)| ("ServerHandshakeSNIList", label.as_str())).collect();
        for (parameter, label) in labels.iter().chain(&for_names) {
            match facts.certificates.iter().find(|certificate| certificate.label == *label) {
                Some(certificate) => self.certificate(certificate, parameter),
                None => {
                    let have: Vec<&str> = facts.certificates.iter().map(|one| one.label.as_str()).collect();
                    let have = if have.is_empty() { "none".to_owned() } else { have.join(", ") };
                    self.unusable(parameter, format!("it has no certificate labelled `{label}`, only {have}"));
                }
            }
        }
        let default = facts.certificates.iter().find(|certificate| certificate.is_default);
        let uncoded = labels.is_empty() && certificate_label.as_deref() != Some("");
        match default {
            Some(certificate) if is_server && labels.is_empty() => self.certificate(certificate, "Keyring"),
            Some(certificate) if uncoded => {
                self.certificate(certificate, "Keyring");
                let label = format!("`{}`, the key ring's default,", certificate.label);
                let problem = Problem::OutboundIdentity { rule: self.rule.name.clone(), label };
                let help = "code `CertificateLabel` without a value to send none".to_owned();
                self.diagnostics.push(Diagnostic::new(problem, coded(self.rule, "Keyring")).help(Some(help)));
            }
            None if is_server && labels.is_empty() => {
                self.unusable("Keyring", "it holds no certificate with a private key".to_owned());
            }
            _ => {}
        }
        if facts.authorities == 0 && !is_server {
            self.unusable("Keyring", "it holds no certificate authority, so no server can be checked".to_owned());
        }
    }

    fn unusable(&mut self, parameter: &str, reason: String) {
        let ring = self.security.keyring.clone();
        let problem = Problem::RingUnusable { rule: self.rule.name.clone(), ring, reason };
        self.diagnostics.push(Diagnostic::new(problem, coded(self.rule, parameter)));
    }

    fn certificate(&mut self, certificate: &CertificateFacts, parameter: &str) {
        let (rule, ring, label) = (self.rule.name.clone(), self.security.keyring.clone(), certificate.label.clone());
        let origin = coded(self.rule, parameter);
        if !certificate.has_key {
            self.unusable(parameter, format!("the private key of certificate `{label}` is not in it"));
        }
        let (from, to) = certificate.validity;
        let days = (to - self.now) / 86_400;
        let when = if self.now < from {
            Some("is not valid yet".to_owned())
        } else if self.now > to {
            Some("has expired".to_owned())
        } else if to - self.now < SOON {
            Some(format!("expires in {days} days"))
        } else {
            None
        };
        if let Some(when) = when {
            let problem =
                Problem::CertificateExpires { rule: rule.clone(), ring: ring.clone(), label: label.clone(), when };
            self.diagnostics.push(Diagnostic::new(problem, origin.clone()));
        }
        let (usage, name) = match self.security.role {
            Role::Client => (certificate.client_auth, "clientAuth"),
            Role::Server(_) => (certificate.server_auth, "serverAuth"),
        };
        let missing = [
            (usage == Some(false)).then(|| format!("its extended key usage has no {name}")),
            (certificate.signs == Some(false)).then(|| "its key usage has no digitalSignature".to_owned()),
        ];
        let reason = missing.into_iter().flatten().collect::<Vec<_>>().join(", ");
        if !reason.is_empty() {
            let problem = Problem::CertificateUsage { rule: rule.clone(), ring, label: label.clone(), reason };
            self.diagnostics.push(Diagnostic::new(problem, origin.clone()));
        }
        let is_rsa = certificate.rsa_bits.is_some();
        let fits = |code: &u16| {
            let name = crate::cipher::name(*code);
            crate::cipher::is_tls13(*code) || name.contains(if is_rsa { "_RSA_" } else { "_ECDSA_" })
        };
        if self.security.role != Role::Client && !self.security.suites.iter().any(fits) {
            let key = if is_rsa { "RSA" } else { "ECDSA" };
            self.unusable(
                parameter,
                format!("none of the rule's cipher suites can be used with the {key} key of `{label}`"),
            );
        }
        if let Some(bits) = certificate.rsa_bits.filter(|_| self.security.role != Role::Client) {
            self.diagnostics.push(Diagnostic::new(Problem::RsaKey { rule, bits }, origin));
        }
    }
}
