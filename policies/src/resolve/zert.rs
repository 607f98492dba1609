//! zERT rules, protections and actions.

use std::sync::Arc;

use super::{Resolver, as_word, priority, values};
use crate::algorithm::{Authentication, Encryption, KeyExchange, Protocol};
use crate::cipher;
use crate::diagnostic::{Diagnostic, Problem};
use crate::model::{ZertAction, ZertProtection, ZertRule};
use crate::protection::{ProtectionTerms, version_of};
use crate::syntax::{Block, Setting};
use crate::value::Value;

/// Parameters that are about some protocols only.
const ABOUT: &[(&str, &[Protocol], &str)] = &[
    ("MinimumVersion", &[Protocol::Tls], "Protocol does not name TLS"),
    ("MinimumSSHVersion", &[Protocol::Ssh], "Protocol does not name SSH"),
    ("CipherSuites", &[Protocol::Tls], "Protocol does not name TLS"),
    ("KeyExchangeGroup", &[Protocol::Tls], "Protocol does not name TLS"),
    ("EncryptionAlgorithm", ENCRYPTED, NOTHING_ENCRYPTED),
    ("MinimumEncryptionBits", ENCRYPTED, NOTHING_ENCRYPTED),
    ("MessageAuthentication", ENCRYPTED, NOTHING_ENCRYPTED),
    ("KeyExchange", ENCRYPTED, NOTHING_ENCRYPTED),
    ("MinimumRSAKeySize", ENCRYPTED, NOTHING_ENCRYPTED),
    ("MinimumECCKeySize", ENCRYPTED, NOTHING_ENCRYPTED),
    ("MinimumDHKeySize", ENCRYPTED, NOTHING_ENCRYPTED),
];
const ENCRYPTED: &[Protocol] = &[Protocol::Tls, Protocol::Ssh, Protocol::Ipsec];
const NOTHING_ENCRYPTED: &str = "Protocol names None only, of which nothing else can be said";
const NO_DEMAND: &str = "Allow leaves connections alone, whatever protects them";

impl<'a> Resolver<'a> {
    pub(super) fn zert_rule(&mut self, block: &'a Block) -> Option<ZertRule> {
        let mut conditions = self.conditions(block);
        self.require_condition(block);
        let mut protections = Vec::new();
        for setting in block.settings().filter(|setting| setting.parameter.name == "zERTProtectionRef") {
            match self.find("zERTProtection", setting) {
                Some(found) => protections.push(self.zert_protection(found)),
                // An error says so; the rule is not for everything because of it.
                None => conditions.broken = true,
            }
        }
        let reference = block.last("zERTPolicyActionRef");
        if reference.is_none() && !block.broken {
            self.missing(block, "zERTPolicyActionRef");
        }
        let found = self.find("zERTPolicyAction", reference?)?;
        let name = found.name.as_deref().unwrap_or_default();
        let action = match self.zert_actions.get(name) {
            Some(action) => Arc::clone(action),
            None => {
                let action = Arc::new(self.zert_action(found));
                self.zert_actions.insert(name, Arc::clone(&action));
                action
            }
        };
        let unread = conditions.broken || found.broken || found.settings().any(|setting| setting.values.is_empty());
        if action.required.is_none() && !action.allows() && protections.is_empty() && !unread {
            // Every connection would have the action, the best protected ones too: hardly what is meant.
            let help = format!("code Protocol in zERTPolicyAction `{name}`, or zERTProtectionRef here");
            let problem = Problem::MissingParameter {
                statement: block.statement.name,
                name: block.name.clone().unwrap_or_default(),
                parameter: "a protection that is demanded or refused",
            };
            let note = "this action demands none".to_owned();
            let diagnostic = Diagnostic::new(problem, block.origin.clone()).help(Some(help));
            self.report(diagnostic.note(note, Some(found.origin.clone())));
        }
        let name = block.name.clone()?;
        Some(ZertRule {
            name,
            origin: block.origin.clone(),
            priority: priority(block),
            conditions,
            protections,
            action,
        })
    }

    fn zert_protection(&mut self, block: &'a Block) -> Arc<ZertProtection> {
        let name = block.name.as_deref().unwrap_or_default();
        if let Some(known) = self.zert_protections.get(name) {
            return Arc::clone(known);
        }
        let terms = self.terms(block).unwrap_or_default();
        let made = Arc::new(ZertProtection { name: name.to_owned(), terms });
        self.zert_protections.insert(name, Arc::clone(&made));
        made
    }

    fn zert_action(&mut self, block: &'a Block) -> ZertAction {
        let settings = self.flatten(block, &mut Vec::new(), &mut false);
        let words: Vec<&str> = values(&settings, "Action").into_iter().filter_map(as_word).collect();
        let does = |names: &[&str]| words.iter().any(|word| names.contains(word));
        let mut required = self.terms(block);
        if let Some(terms) = &mut required {
            // In an action TLS means a version that is still good, unless another is coded.
            let tls = terms.protocols.is_empty() || terms.protocols.contains(&Protocol::Tls);
            terms.tls_version = terms.tls_version.or_else(|| version_of("TLSv1.2").filter(|_| tls));
        }
        let action = ZertAction {
            name: block.name.clone().unwrap_or_default(),
            required,
            reset: does(&["Reset"]),
            hold: values(&settings, "Hold").contains(&Value::OnOff(true)),
            syslogd: does(&["Log", "LogSyslogd"]),
            console: does(&["LogConsole"]),
            audit: does(&["Audit"]),
        };
        if words.contains(&"Allow")
            && let Some(setting) = block.last("Action")
        {
            if !action.allows() {
                let reason = "Allow leaves the connection alone; code it alone, or leave it out";
                let problem = Problem::Refused { parameter: "Action", value: words.join(" "), reason };
                self.report(Diagnostic::new(problem, setting.origin.clone()));
            } else if let Some(setting) = block.settings().find(|setting| setting.parameter.name != "Action") {
                self.without_effect(setting, NO_DEMAND);
            }
        }
        if let Some(setting) = block.last("Hold").filter(|_| action.hold && !action.reset && !action.allows()) {
            self.without_effect(setting, "only Action Reset holds what comes before the verdict");
        }
        action
    }

    /// What a block says of protections; none where it says nothing.
    fn terms(&mut self, block: &'a Block) -> Option<ProtectionTerms> {
        let settings = self.flatten(block, &mut Vec::new(), &mut false);
        let coded = |name: &str| settings.get(name).map(|setting| setting.values.clone()).unwrap_or_default();
        let words = |name: &str| -> Vec<&'static str> { coded(name).into_iter().filter_map(as_word).collect() };
        let bits = |name: &str| match coded(name).first() {
            Some(Value::Number(bits)) => u16::try_from(*bits).ok(),
            _ => None,
        };
        let mut terms = ProtectionTerms {
            protocols: words("Protocol").into_iter().filter_map(Protocol::by_word).collect(),
            tls_version: words("MinimumVersion").first().and_then(|word| version_of(word)),
            ssh_version: words("MinimumSSHVersion").first().map(|word| if *word == "SSHv1" { 1 } else { 2 }),
            suites: coded("CipherSuites").iter().filter_map(as_suite).collect(),
            encryption: words("EncryptionAlgorithm").into_iter().filter_map(Encryption::by_word).collect(),
            encryption_bits: bits("MinimumEncryptionBits"),
            authentication: words("MessageAuthentication").into_iter().filter_map(Authentication::by_word).collect(),
            key_exchange: words("KeyExchange").into_iter().filter_map(KeyExchange::by_word).collect(),
            groups: coded("KeyExchangeGroup").iter().filter_map(as_group).collect(),
            rsa_bits: bits("MinimumRSAKeySize"),
            ecc_bits: bits("MinimumECCKeySize"),
            dh_bits: bits("MinimumDHKeySize"),
        };
        if terms == ProtectionTerms::default() {
            return None;
        }
        for (name, protocols, reason) in ABOUT {
            let idle = !terms.protocols.is_empty() && !protocols.iter().any(|one| terms.protocols.contains(one));
            if let Some(setting) = block.last(name).filter(|_| idle) {
                self.without_effect(setting, reason);
            }
        }
        self.contradictions(block, &terms);
        // A version or suite of TLS asks for TLS.
        if terms.protocols.is_empty() {
            let tls = terms.tls_version.is_some() || !terms.suites.is_empty() || !terms.groups.is_empty();
            let asked = [(tls, Protocol::Tls), (terms.ssh_version.is_some(), Protocol::Ssh)];
            terms.protocols = asked.into_iter().filter(|(asked, _)| *asked).map(|(_, protocol)| protocol).collect();
        }
        Some(terms)
    }

    /// Suites that no version which is good enough has, or whose encryption or key exchange is not among those coded.
    fn contradictions(&mut self, block: &'a Block, terms: &ProtectionTerms) {
        let Some(setting) = block.last("CipherSuites") else { return };
        let occurs = |suite: u16| {
            let symmetric = crate::algorithm::symmetric(suite);
            let exchange = crate::algorithm::key_exchange(suite);
            let good = |asked: bool, holds: Option<bool>| !asked || holds != Some(false);
            good(terms.tls_version == Some(0x0304), Some(cipher::is_tls13(suite)))
                && good(
                    !terms.encryption.is_empty(),
                    symmetric.map(|found| terms.encryption.contains(&found.encryption)),
                )
                && good(
                    terms.encryption_bits.is_some(),
                    symmetric.map(|found| Some(found.bits) >= terms.encryption_bits),
                )
                && good(!terms.key_exchange.is_empty(), exchange.map(|found| terms.key_exchange.contains(&found)))
        };
        let never: Vec<String> =
            terms.suites.iter().filter(|suite| !occurs(**suite)).map(|&suite| cipher::name(suite)).collect();
        if !never.is_empty() {
            let problem = Problem::NoEffect {
                parameter: "CipherSuites",
                value: never.join(" "),
                reason: "what else is coded here leaves it out",
            };
            self.report(Diagnostic::new(problem, setting.origin.clone()));
        }
    }

    fn without_effect(&mut self, setting: &Setting, reason: &'static str) {
        let value = setting.values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let problem = Problem::NoEffect { parameter: setting.parameter.name, value, reason };
        self.report(Diagnostic::new(problem, setting.origin.clone()));
    }
}

fn as_suite(value: &Value) -> Option<u16> {
    match value {
        Value::Suite(code) => Some(*code),
        _ => None,
    }
}

fn as_group(value: &Value) -> Option<u16> {
    match value {
        Value::Group(code) => *code,
        _ => None,
    }
}
