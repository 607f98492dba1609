//! What a statement says by itself: required parts, repetitions, and what the engine makes of its values.

use foldhash::HashSet;

use super::{Named, Resolver};
use crate::diagnostic::{Diagnostic, Problem};
use crate::parameters::default_values;
use crate::source::Origin;
use crate::syntax::{Block, Item, Setting};
use crate::table::{Engine, Repeat, Verdict};
use crate::value::{Kind, Value};

impl<'a> Resolver<'a> {
    /// What a block says by itself: required parts, repetitions, and what the engine makes of its values.
    pub(super) fn check(&mut self, block: &'a Block, used: &HashSet<Named<'a>>) {
        let is_rule = matches!(block.statement.name, "TTLSRule" | "zERTPolicyRule");
        let used = is_rule || block.name.as_deref().is_some_and(|name| used.contains(&(block.statement.name, name)));
        if !used {
            let name = block.name.clone().unwrap_or_default();
            if !self.mentioned.contains(&name) && !self.vague.contains(block.statement.name) {
                let problem = Problem::Unused { statement: block.statement.name, name };
                self.report(Diagnostic::new(problem, block.origin.clone()));
            }
            self.follow(block);
        }
        self.check_block(block, used);
    }

    /// Follows the references of what nobody refers to, so that dangling ones are found.
    fn follow(&mut self, block: &'a Block) {
        for item in &block.items {
            match item {
                Item::Block(inner) => self.follow(inner),
                Item::Setting(setting) => {
                    if let Kind::Reference(statement) = setting.parameter.kind {
                        let _ = self.find(statement, setting);
                    }
                }
            }
        }
    }

    fn check_block(&mut self, block: &'a Block, used: bool) {
        // What each slot of the block was filled with last: few slots, however many lines.
        let mut slots: Vec<(&'static str, &'static str, &'a Origin)> = Vec::new();
        let all_count = is_group(block);
        for item in &block.items {
            let (name, repeat, origin) = match item {
                Item::Setting(setting) => {
                    self.check_setting(setting, used);
                    (setting.parameter.name, setting.parameter.repeat, &setting.origin)
                }
                Item::Block(inner) => {
                    self.check_block(inner, used);
                    (inner.statement.name, Repeat::Last, &inner.origin)
                }
            };
            let slot = slot(block, item);
            match slots.iter_mut().find(|(known, ..)| *known == slot) {
                None => slots.push((slot, name, origin)),
                Some((_, earlier, place)) => {
                    if !(all_count || (repeat == Repeat::List && *earlier == name)) {
                        let problem = Problem::Replaced { statement: block.statement.name, earlier, later: name };
                        let diagnostic = Diagnostic::new(problem, origin.clone());
                        self.report(diagnostic.note("it is coded here before", Some(place.clone())));
                    }
                    (*earlier, *place) = (name, origin);
                }
            }
        }
        self.check_any(block);
        // What could not be read may be what is missing.
        if block.broken {
            return;
        }
        let seen = |slot: &str| slots.iter().any(|(known, ..)| *known == slot);
        for row in block.statement.rows().filter(|row| row.required) {
            // A rule's own required parts were missed when it was built.
            if !seen(row.name) && !matches!(block.statement.name, "TTLSRule" | "zERTPolicyRule") {
                self.missing(block, row.name);
            }
        }
        if block.statement.name == "TTLSEnvironmentAction" && !seen("TTLSKeyringParms") {
            self.missing(block, "TTLSKeyringParms");
        }
    }

    /// What the engine makes of a coded value. What nobody uses is not refused: it loads on z/OS too.
    fn check_setting(&mut self, setting: &'a Setting, used: bool) {
        let parameter = setting.parameter;
        if setting.values.is_empty() || matches!(parameter.engine, Engine::Applied | Engine::Compared) {
            return;
        }
        let differs = default_values(parameter) != setting.values;
        let value = || {
            if parameter.secret {
                "********".to_owned()
            } else {
                setting.values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            }
        };
        let refused = |reason| Problem::Refused { parameter: parameter.name, value: value(), reason };
        let no_effect = |reason| Problem::NoEffect { parameter: parameter.name, value: value(), reason };
        let problem = match parameter.engine {
            Engine::Applied | Engine::Compared => None,
            Engine::Idle(reason) => {
                let problem = Problem::Idle { directive: parameter.name, reason };
                differs.then_some(problem)
            }
            Engine::Differs(reason) => differs.then(|| {
                let is_version = parameter.name.starts_with("SSLv") || parameter.name.starts_with("TLSv1");
                if is_version { Problem::OldVersion { parameter: parameter.name } } else { no_effect(reason) }
            }),
            Engine::Refused(reason) => differs.then(|| refused(reason)),
            Engine::Minimum(built_in, reason) => match setting.values.first() {
                Some(Value::Number(number)) if *number < built_in => Some(no_effect(reason)),
                _ => None,
            },
            Engine::Values(_) => parameter.verdict(&value()).map(|verdict| match verdict {
                Verdict::Differs(reason) => no_effect(reason),
                Verdict::Refused(reason) => refused(reason),
            }),
        };
        // What counts for one role only is refused where a rule has that role: see `treatment`.
        let problem = problem
            .filter(|problem| !matches!(problem, Problem::Refused { .. }) || (used && parameter.side().is_none()));
        if let Some(problem) = problem {
            let help = matches!(problem, Problem::OldVersion { .. }).then(|| "code `Off`".to_owned());
            self.report(Diagnostic::new(problem, setting.origin.clone()).help(help));
        }
    }

    /// `Any` covers the group numbers beside it.
    fn check_any(&mut self, block: &'a Block) {
        let with_any: Vec<&Setting> =
            block.settings().filter(|setting| setting.values.contains(&Value::Group(None))).collect();
        for setting in block.settings() {
            let beside = with_any.iter().any(|any| any.parameter == setting.parameter);
            let codes: Vec<String> = setting
                .values
                .iter()
                .filter(|value| matches!(value, Value::Group(Some(_))))
                .map(ToString::to_string)
                .collect();
            if beside && !codes.is_empty() {
                let reason = "`Any` is coded too and covers it";
                let problem = Problem::NoEffect { parameter: setting.parameter.name, value: codes.join(" "), reason };
                self.report(Diagnostic::new(problem, setting.origin.clone()));
            }
        }
    }
}

/// Items of one slot of a block replace one another: a sub-statement in place and by reference, the four forms of an
/// address, the three of ports.
fn slot(block: &Block, item: &Item) -> &'static str {
    let setting = match item {
        Item::Block(inner) => return inner.statement.name,
        Item::Setting(setting) => setting,
    };
    match (setting.parameter.kind, setting.parameter.name) {
        (Kind::Reference("IpAddr" | "IpAddrSet" | "IpAddrGroup"), name) => {
            if name.starts_with("Local") {
                "LocalAddr"
            } else {
                "RemoteAddr"
            }
        }
        (Kind::Reference("PortRange" | "PortGroup"), name) => {
            if name.starts_with("Local") {
                "LocalPortRange"
            } else {
                "RemotePortRange"
            }
        }
        // Required references keep their own names; they have no form in place.
        (Kind::Reference(statement), name) if block.statement.parameter(statement).is_none() => name,
        (Kind::Reference(statement), _) => statement,
        (_, "Range") => "Prefix",
        (_, name) => name,
    }
}

/// Whether all of a block's lines count together: groups, and the two keywords of cipher suites.
fn is_group(block: &Block) -> bool {
    matches!(block.statement.name, "IpAddrGroup" | "PortGroup" | "TTLSCipherParms")
}
