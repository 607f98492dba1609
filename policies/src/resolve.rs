//! From documents to a policy: references followed, required parameters present, every rule usable.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::address::{AddressRange, PortRange};
use crate::cipher;
use crate::diagnostic::{Diagnostic, Problem, did_you_mean};
use crate::group;
use crate::matching::Direction;
use crate::model::{Action, Conditions, Policy, TtlsRule, ZertAction, ZertRule, search_order};
use crate::parameters::{Fips, Role, default_values};
use crate::schedule::Schedule;
use crate::syntax::{Block, Document, Item, Setting};
use crate::table::{Engine, Placement, Repeat};
use crate::value::{Kind, NamePattern, Value};

/// Resolves what the documents say together; order among and within them does not matter.
///
/// `fips` tells whether the engine is the FIPS 140-3 module. The policy is complete only when no diagnostic is an error.
#[must_use]
pub fn resolve(documents: &[Document], fips: bool) -> (Policy, Vec<Diagnostic>) {
    let mut resolver =
        Resolver { statements: HashMap::new(), actions: HashMap::new(), used: HashSet::new(), diagnostics: Vec::new() };
    let blocks: Vec<&Block> = documents.iter().flat_map(|document| &document.blocks).collect();
    for &block in &blocks {
        resolver.define(block);
    }
    let mut policy = Policy::default();
    for &block in &blocks {
        match block.statement.name {
            "TTLSRule" => policy.ttls.extend(resolver.ttls_rule(block, fips).map(Arc::new)),
            "zERTPolicyRule" => policy.zert.extend(resolver.zert_rule(block).map(Arc::new)),
            _ => {}
        }
    }
    for &block in &blocks {
        resolver.check_alone(block);
    }
    policy.ttls.sort_by(|a, b| search_order((a.priority, &a.name), (b.priority, &b.name)));
    policy.zert.sort_by(|a, b| search_order((a.priority, &a.name), (b.priority, &b.name)));
    (policy, resolver.diagnostics)
}

/// What is coded in a block and its sub-blocks.
type Settings = BTreeMap<&'static str, Setting>;

struct Resolver<'a> {
    statements: HashMap<(&'static str, &'a str), &'a Block>,
    /// Actions already built, by statement and name, so that rules share them.
    actions: HashMap<(&'static str, &'a str), Arc<Action>>,
    used: HashSet<(&'static str, &'a str)>,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Resolver<'a> {
    fn define(&mut self, block: &'a Block) {
        let Some(name) = &block.name else { return };
        let key = (block.statement.name, name.as_str());
        if let Some(first) = self.statements.get(&key) {
            let problem =
                Problem::DuplicateStatement { statement: key.0, name: name.clone(), first: first.origin.short() };
            self.diagnostics.push(Diagnostic::new(problem, block.origin.clone()));
            return;
        }
        self.statements.insert(key, block);
    }

    /// Checks statements that no rule reached, and says so.
    fn check_alone(&mut self, block: &'a Block) {
        let Some(name) = block.name.as_deref() else { return };
        let is_rule = matches!(block.statement.name, "TTLSRule" | "zERTPolicyRule");
        if is_rule || self.used.contains(&(block.statement.name, name)) {
            return;
        }
        let problem = Problem::Unused { statement: block.statement.name, name: name.to_owned() };
        self.diagnostics.push(Diagnostic::new(problem, block.origin.clone()));
        self.flatten(block, &mut Vec::new());
    }

    fn find(&mut self, statement: &'static str, setting: &'a Setting) -> Option<&'a Block> {
        let Some(Value::Text(name)) = setting.values.first() else { return None };
        let found = self.statements.get(&(statement, name.as_str())).copied();
        if let Some(block) = found {
            self.used.insert((statement, block.name.as_deref().unwrap_or_default()));
            return found;
        }
        let names = self.statements.keys().filter(|(kind, _)| *kind == statement).map(|(_, name)| *name);
        let help = did_you_mean(name, names);
        let problem = Problem::UnknownReference { statement, name: name.clone() };
        self.diagnostics.push(Diagnostic::new(problem, setting.origin.clone()).help(help));
        None
    }

    /// The settings of a block with its sub-statements: of a sub-statement coded several times, in place or by
    /// reference, the last one counts as a whole. `path` guards against statements that contain themselves.
    fn flatten(&mut self, block: &'a Block, path: &mut Vec<&'static str>) -> Settings {
        let mut settings = Settings::new();
        let mut slots: BTreeMap<&'static str, &'a Block> = BTreeMap::new();
        for item in &block.items {
            match item {
                Item::Block(inner) => {
                    slots.insert(inner.statement.name, inner);
                }
                Item::Setting(setting) => match setting.parameter.kind {
                    Kind::Reference(statement) if is_slot(statement) => {
                        if let Some(found) = self.find(statement, setting) {
                            slots.insert(statement, found);
                        }
                    }
                    _ => self.keep(&mut settings, setting),
                },
            }
        }
        self.require(block, &settings, &slots);
        for (statement, inner) in slots {
            if !path.contains(&statement) {
                path.push(statement);
                settings.extend(self.flatten(inner, path));
                path.pop();
            }
        }
        settings
    }

    fn keep(&mut self, settings: &mut Settings, setting: &'a Setting) {
        let parameter = setting.parameter;
        let default = parameter.default.and_then(|default| parameter.kind.read(default));
        let differs = default.as_ref() != Some(&setting.values);
        let value = setting.values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let problem = match parameter.engine {
            Engine::Differs(reason) if differs => Some(Problem::NoEffect { parameter: parameter.name, value, reason }),
            Engine::Refused(reason) if differs => Some(Problem::Refused { parameter: parameter.name, value, reason }),
            Engine::Minimum(built_in, reason) if differs => {
                let higher = matches!(setting.values.first(), Some(Value::Number(number)) if *number > built_in);
                Some(if higher {
                    Problem::Refused { parameter: parameter.name, value, reason }
                } else {
                    Problem::NoEffect { parameter: parameter.name, value, reason }
                })
            }
            _ => None,
        };
        self.diagnostics.extend(problem.map(|problem| Diagnostic::new(problem, setting.origin.clone())));
        match settings.get_mut(parameter.name) {
            Some(earlier) if parameter.repeat == Repeat::List => earlier.values.extend(setting.values.iter().cloned()),
            _ => {
                settings.insert(parameter.name, setting.clone());
            }
        }
    }

    fn require(&mut self, block: &Block, settings: &Settings, slots: &BTreeMap<&'static str, &'a Block>) {
        let mut missing: Vec<&'static str> = block
            .statement
            .parameters
            .iter()
            .filter(|parameter| parameter.required && !settings.contains_key(parameter.name))
            .map(|parameter| parameter.name)
            .collect();
        if block.statement.name == "TTLSEnvironmentAction" && !slots.contains_key("TTLSKeyringParms") {
            missing.push("TTLSKeyringParms");
        }
        for parameter in missing {
            self.missing(block, parameter);
        }
    }

    fn missing(&mut self, block: &Block, parameter: &'static str) {
        let problem = Problem::MissingParameter {
            statement: block.statement.name,
            name: block.name.clone().unwrap_or_default(),
            parameter,
        };
        self.diagnostics.push(Diagnostic::new(problem, block.origin.clone()));
    }

    fn action(&mut self, statement: &'static str, setting: Option<&'a Setting>) -> Option<Arc<Action>> {
        let block = self.find(statement, setting?)?;
        let key = (statement, block.name.as_deref().unwrap_or_default());
        if let Some(action) = self.actions.get(&key) {
            return Some(Arc::clone(action));
        }
        let settings = self.flatten(block, &mut Vec::new());
        let action = Arc::new(Action { name: key.1.to_owned(), origin: block.origin.clone(), settings });
        self.actions.insert(key, Arc::clone(&action));
        Some(action)
    }

    fn ttls_rule(&mut self, block: &'a Block, fips: bool) -> Option<TtlsRule> {
        let settings = last_settings(block);
        for parameter in ["Direction", "TTLSGroupActionRef"] {
            if !settings.contains_key(parameter) {
                self.missing(block, parameter);
            }
        }
        let conditions = self.conditions(block, &settings);
        self.require_condition(block);
        let group = self.action("TTLSGroupAction", settings.get("TTLSGroupActionRef").copied());
        let environment = self.action("TTLSEnvironmentAction", settings.get("TTLSEnvironmentActionRef").copied());
        let connection = self.action("TTLSConnectionAction", settings.get("TTLSConnectionActionRef").copied());
        let rule = TtlsRule {
            name: block.name.clone()?,
            origin: block.origin.clone(),
            priority: priority(&settings),
            conditions,
            group: group?,
            environment,
            connection,
        };
        if rule.enabled() && !settings.contains_key("TTLSEnvironmentActionRef") {
            self.missing(block, "TTLSEnvironmentActionRef");
        }
        self.check_treatment(&rule, fips);
        Some(rule)
    }

    /// What the engine makes of the rule: left-out suites, nothing left, FIPS, client authentication.
    fn check_treatment(&mut self, rule: &TtlsRule, fips: bool) {
        let Some((parameters, left_out)) = rule.treatment() else { return };
        let mut report = |problem, help: Option<&str>| {
            let diagnostic = Diagnostic::new(problem, rule.origin.clone());
            self.diagnostics.push(diagnostic.help(help.map(str::to_owned)));
        };
        let rule_name = rule.name.clone();
        if !left_out.suites.is_empty() {
            let suites = left_out.suites.iter().map(|&code| cipher::name(code)).collect::<Vec<_>>().join(", ");
            report(Problem::SuitesNotOffered { rule: rule_name.clone(), suites }, None);
        }
        if !left_out.groups.is_empty() {
            let groups = left_out.groups.iter().map(|&code| group::name(code)).collect::<Vec<_>>().join(", ");
            report(Problem::GroupsNotOffered { rule: rule_name.clone(), groups }, None);
        }
        for version in left_out.versions {
            let reason = "none of the rule's cipher suites belongs to it";
            report(Problem::NoEffect { parameter: version, value: "On".to_owned(), reason }, None);
        }
        let usable_groups = !parameters.groups.is_empty();
        if !(parameters.tls12 || parameters.tls13) || !usable_groups {
            let reason = if usable_groups {
                "TLS 1.2 needs an ECDHE AEAD suite, TLS 1.3 a 13xx suite, and the version must be On"
            } else {
                "no group is left"
            };
            report(
                Problem::NothingUsable { rule: rule_name.clone(), reason: reason.to_owned() },
                Some("code `V3CipherSuites4Char TLS_AES_128_GCM_SHA256` and `TLSv1.3 On`, or leave both out"),
            );
        }
        if parameters.role == Role::Client && parameters.host_names.is_empty() {
            report(
                Problem::NoHostCheck { rule: rule_name },
                Some("code `HostReferenceIdDNS` with the server's name in an AdvancedParms block"),
            );
        }
        if let (Some(Value::Choice("ServerWithClientAuth")), Some(Value::Choice(word @ ("PassThru" | "SAFCheck")))) =
            (rule.effective("HandshakeRole").values.first(), rule.effective("ClientAuthType").values.first())
        {
            let reason = "this form of client authentication is not implemented yet and is never weakened to another";
            report(Problem::Refused { parameter: "ClientAuthType", value: (*word).to_owned(), reason }, None);
        }
        let reason = "this build does not contain the FIPS 140-3 module";
        match parameters.fips {
            Fips::Required if !fips => {
                report(Problem::Refused { parameter: "FIPS140/FIPSMODE", value: "On".to_owned(), reason }, None);
            }
            Fips::Report if !fips => {
                report(Problem::NoEffect { parameter: "FIPSMODE", value: "FAIL OFF".to_owned(), reason }, None);
            }
            _ => {}
        }
    }

    fn zert_rule(&mut self, block: &'a Block) -> Option<ZertRule> {
        let settings = last_settings(block);
        let conditions = self.conditions(block, &settings);
        self.require_condition(block);
        if !settings.contains_key("zERTPolicyActionRef") {
            self.missing(block, "zERTPolicyActionRef");
        }
        let found = self.find("zERTPolicyAction", settings.get("zERTPolicyActionRef").copied()?)?;
        let action = self.flatten(found, &mut Vec::new());
        let words: Vec<&str> = values(&action, "Action").into_iter().filter_map(as_word).collect();
        let does = |names: &[&str]| words.iter().any(|word| names.contains(word));
        let minimum = match values(&action, "MinimumVersion").into_iter().filter_map(as_word).next() {
            Some("SSLv3") => 0x0300,
            Some("TLSv1") => 0x0301,
            Some("TLSv1.1") => 0x0302,
            Some("TLSv1.3") => 0x0304,
            _ => 0x0303,
        };
        Some(ZertRule {
            name: block.name.clone()?,
            origin: block.origin.clone(),
            priority: priority(&settings),
            conditions,
            action: Arc::new(ZertAction {
                name: found.name.clone().unwrap_or_default(),
                minimum,
                reset: does(&["Reset"]),
                log: does(&["Log", "LogSyslogd", "LogConsole"]),
                audit: does(&["Audit"]),
            }),
        })
    }

    /// IBM demands at least one condition beside the direction; `All` counts as one.
    fn require_condition(&mut self, block: &Block) {
        const NAMES: [&str; 6] = ["LocalAddr", "RemoteAddr", "LocalPort", "RemotePort", "Jobname", "Userid"];
        let is_condition = |name: &str| NAMES.iter().any(|prefix| name.starts_with(prefix));
        let has = block.items.iter().any(|item| match item {
            Item::Setting(setting) => is_condition(setting.parameter.name),
            Item::Block(_) => false,
        });
        if !has {
            self.missing(
                block,
                "a condition: LocalAddr, RemoteAddr, LocalPortRange, RemotePortRange, Jobname or Userid",
            );
        }
    }

    fn conditions(&mut self, block: &'a Block, settings: &HashMap<&'static str, &'a Setting>) -> Conditions {
        let direction = match settings.get("Direction").and_then(|setting| setting.values.first()) {
            Some(Value::Choice("Inbound")) => Some(Direction::Inbound),
            Some(Value::Choice("Outbound")) => Some(Direction::Outbound),
            _ => None,
        };
        let pattern = |name: &str| match settings.get(name).and_then(|setting| setting.values.first()) {
            Some(Value::Pattern(pattern)) => Some(pattern.clone()),
            _ => None,
        };
        let (jobname, userid): (Option<NamePattern>, Option<NamePattern>) = (pattern("Jobname"), pattern("Userid"));
        Conditions {
            direction,
            local: self.addresses(block, ["LocalAddr", "LocalAddrRef", "LocalAddrSetRef", "LocalAddrGroupRef"]),
            remote: self.addresses(block, ["RemoteAddr", "RemoteAddrRef", "RemoteAddrSetRef", "RemoteAddrGroupRef"]),
            local_ports: self.ports(block, ["LocalPortRange", "LocalPortRangeRef", "LocalPortGroupRef"]),
            remote_ports: self.ports(block, ["RemotePortRange", "RemotePortRangeRef", "RemotePortGroupRef"]),
            jobname,
            userid,
            schedule: self.schedule(block),
        }
    }

    /// The addresses of the last form coded; none for "all".
    fn addresses(&mut self, block: &'a Block, names: [&str; 4]) -> Vec<AddressRange> {
        let mut ranges = Vec::new();
        for setting in coded(block, &names) {
            ranges = match setting.parameter.kind {
                Kind::Reference(statement) => {
                    self.find(statement, setting).map(|found| self.members(found)).unwrap_or_default()
                }
                _ => setting.values.iter().filter_map(as_address).collect(),
            };
        }
        if ranges.contains(&AddressRange::All) { Vec::new() } else { ranges }
    }

    /// The addresses in an `IpAddr`, `IpAddrSet` or `IpAddrGroup`.
    fn members(&mut self, block: &'a Block) -> Vec<AddressRange> {
        let mut ranges = Vec::new();
        for item in &block.items {
            match item {
                Item::Block(inner) => ranges.extend(self.members(inner)),
                Item::Setting(setting) => match setting.parameter.kind {
                    Kind::Reference(statement) => {
                        let found = self.find(statement, setting);
                        ranges.extend(found.map(|found| self.members(found)).unwrap_or_default());
                    }
                    _ => ranges.extend(setting.values.iter().filter_map(as_address)),
                },
            }
        }
        if ranges.is_empty() {
            self.missing(block, "an address");
        }
        ranges
    }

    fn ports(&mut self, block: &'a Block, names: [&str; 3]) -> Vec<PortRange> {
        let mut ranges: Vec<Option<PortRange>> = Vec::new();
        for setting in coded(block, &names) {
            match setting.parameter.kind {
                Kind::Reference(statement) => {
                    ranges = self.find(statement, setting).map(|found| self.port_members(found)).unwrap_or_default();
                }
                _ => ranges.extend(setting.values.iter().filter_map(as_ports)),
            }
        }
        ranges.into_iter().collect::<Option<Vec<_>>>().unwrap_or_default()
    }

    fn port_members(&mut self, block: &'a Block) -> Vec<Option<PortRange>> {
        let mut ranges = Vec::new();
        for item in &block.items {
            match item {
                Item::Block(inner) => ranges.extend(self.port_members(inner)),
                Item::Setting(setting) => match setting.parameter.kind {
                    Kind::Reference(statement) => {
                        let found = self.find(statement, setting);
                        ranges.extend(found.map(|found| self.port_members(found)).unwrap_or_default());
                    }
                    _ => ranges.extend(setting.values.iter().filter_map(as_ports)),
                },
            }
        }
        if ranges.is_empty() {
            self.missing(block, "a port");
        }
        ranges
    }

    fn schedule(&mut self, block: &'a Block) -> Option<Schedule> {
        let mut found = None;
        for item in &block.items {
            match item {
                Item::Block(inner) if inner.statement.name == "IpTimeCondition" => found = Some(inner),
                Item::Setting(setting) if setting.parameter.name == "IpTimeConditionRef" => {
                    found = self.find("IpTimeCondition", setting);
                }
                _ => {}
            }
        }
        let settings = self.flatten(found?, &mut Vec::new());
        let mask = |name: &str| match values(&settings, name).into_iter().next() {
            Some(Value::Mask(mask)) => Some(mask),
            _ => None,
        };
        Some(Schedule {
            dates: match values(&settings, "ConditionTimeRange").into_iter().next() {
                Some(Value::Dates(range)) => Some(range),
                _ => None,
            },
            months: mask("MonthOfYearMask"),
            days: mask("DayOfMonthMask"),
            weekdays: mask("DayOfWeekMask"),
            hours: values(&settings, "TimeOfDayRange")
                .into_iter()
                .filter_map(|value| match value {
                    Value::Clock(range) => Some(range),
                    _ => None,
                })
                .collect(),
            utc: values(&settings, "TimeZone").contains(&Value::Choice("UTC")),
        })
    }
}

fn is_slot(statement: &str) -> bool {
    crate::table::statement(statement).is_some_and(|found| found.placement == Placement::TopOrInline)
        && statement.starts_with("TTLS")
}

/// The settings of a rule, the last of equal ones.
fn last_settings(block: &Block) -> HashMap<&'static str, &Setting> {
    let settings = block.items.iter().filter_map(|item| match item {
        Item::Setting(setting) => Some((setting.parameter.name, setting)),
        Item::Block(_) => None,
    });
    settings.collect()
}

/// The settings of a rule that have one of these names, in order.
fn coded<'a>(block: &'a Block, names: &[&str]) -> Vec<&'a Setting> {
    let settings = block.items.iter().filter_map(|item| match item {
        Item::Setting(setting) => Some(setting),
        Item::Block(_) => None,
    });
    settings.filter(|setting| names.contains(&setting.parameter.name)).collect()
}

fn values(settings: &Settings, name: &str) -> Vec<Value> {
    settings.get(name).map_or_else(|| default_values(name), |setting| setting.values.clone())
}

fn priority(settings: &HashMap<&'static str, &Setting>) -> u32 {
    match settings.get("Priority").and_then(|setting| setting.values.first()) {
        Some(Value::Number(priority)) => *priority,
        _ => 1,
    }
}

fn as_word(value: Value) -> Option<&'static str> {
    match value {
        Value::Choice(word) => Some(word),
        _ => None,
    }
}

fn as_address(value: &Value) -> Option<AddressRange> {
    match value {
        Value::Address(range) => Some(range.clone()),
        _ => None,
    }
}

fn as_ports(value: &Value) -> Option<Option<PortRange>> {
    match value {
        Value::Ports(range) => Some(range.clone()),
        _ => None,
    }
}
