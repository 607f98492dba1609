//! From documents to a policy: references followed, required parameters present, every rule usable.

mod check;
mod conditions;
mod treatment;
mod zert;

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use crate::address::{AddressRange, PortRange};
use crate::diagnostic::{Collector, Diagnostic, Problem, nearest};
use crate::envfile;
use crate::model::{Action, Policy, Scope, TtlsRule, ZertAction, ZertProtection};
use crate::parameters::{SecurityParameters, default_values};
use crate::schedule::Schedule;
use crate::source::{Origin, Source};
use crate::syntax::{Block, Document, Item, Setting};
use crate::table::{self, Placement, Repeat, STATEMENTS};
use crate::value::{Kind, Value};

/// Suggestions for dangling references are looked for this many times: each compares every name.
const SUGGESTED: usize = 50;

/// Resolves what the documents say together; order among and within them does not matter.
///
/// `fips` tells whether the engine is the FIPS 140-3 module. The policy is complete only when no diagnostic is an error.
#[must_use]
pub fn resolve(documents: &[Document], fips: bool) -> (Policy, Vec<Diagnostic>) {
    let mut resolver = Resolver::default();
    for document in documents {
        resolver.unknown.extend(document.unknown.iter().map(String::as_str));
        resolver.mentioned.extend(document.unknown.iter().cloned());
        for (name, file) in &document.environments {
            let key = (Arc::as_ptr(&document.source), name.as_str());
            let (settings, found) = envfile::settings(file);
            if resolver.environments.insert(key, settings).is_none() {
                found.into_iter().for_each(|diagnostic| resolver.report(diagnostic));
            }
        }
        for block in &document.blocks {
            resolver.define(block, document.common);
        }
    }
    let blocks: Vec<&Block> = documents.iter().flat_map(|document| &document.blocks).collect();
    let in_force: Vec<&Block> = blocks.iter().copied().filter(|block| resolver.is_in_force(block)).collect();
    let (mut ttls, mut zert) = (Vec::new(), Vec::new());
    for &block in &in_force {
        match block.statement.name {
            "TTLSRule" => ttls.extend(resolver.ttls_rule(block, fips).map(Arc::new)),
            "zERTPolicyRule" => zert.extend(resolver.zert_rule(block).map(Arc::new)),
            _ => {}
        }
    }
    // What rules reach is used; what only unused statements refer to is not.
    let used = resolver.used.clone();
    for &block in &in_force {
        resolver.check(block, &used);
    }
    let place = documents.last().map(|document| {
        let end = document.source.text.len();
        Origin { source: Arc::clone(&document.source), span: crate::source::Span { start: end, end } }
    });
    let diagnostics = place.map(|place| resolver.diagnostics.finish(&place)).unwrap_or_default();
    (Policy::new(ttls, zert), diagnostics)
}

/// What is coded in a block and its sub-blocks.
type Settings = BTreeMap<&'static str, Setting>;

/// A statement's keyword and name.
type Named<'a> = (&'static str, &'a str);

/// The actions of a rule by identity: rules with the same ones share their treatment.
type Actions = [Option<*const Action>; 3];

#[derive(Default)]
struct Resolver<'a> {
    statements: HashMap<Named<'a>, (&'a Block, bool)>,
    /// Actions already built, by statement and name, so that rules share them.
    actions: HashMap<Named<'a>, Arc<Action>>,
    treatments: HashMap<Actions, Option<Arc<SecurityParameters>>>,
    /// What was told of actions, by code and place: rules that share one of their actions do not repeat it.
    told: HashSet<(String, *const Source, usize)>,
    /// Equal treatments are one, whatever actions they come from.
    interned: HashSet<Arc<SecurityParameters>>,
    /// What the files of `Envfile` say, by the document that names them and the name.
    environments: HashMap<(*const Source, &'a str), Settings>,
    zert_actions: HashMap<&'a str, Arc<ZertAction>>,
    zert_protections: HashMap<&'a str, Arc<ZertProtection>>,
    /// Lists of the groups and ranges that rules refer to, by statement and name.
    /// With each, whether it could not be read in full.
    addresses: HashMap<Named<'a>, (Arc<[AddressRange]>, bool)>,
    ports: HashMap<Named<'a>, (Arc<[PortRange]>, bool)>,
    /// Whether a condition of the rule that is being built could not be read in full: what is left may match too much.
    unsure: bool,
    schedules: HashMap<&'a str, Arc<Schedule>>,
    /// The empty lists: conditions that are not coded.
    all_addresses: Arc<[AddressRange]>,
    all_ports: Arc<[PortRange]>,
    used: HashSet<Named<'a>>,
    /// Names in dangling references, what they probably mean, and names behind unknown keywords: who has one of them is
    /// not called unused, or missing.
    mentioned: HashSet<String>,
    unknown: HashSet<&'a str>,
    /// Statements that a reference without a readable name is for.
    vague: HashSet<&'static str>,
    suggested: usize,
    diagnostics: Collector,
}

impl<'a> Resolver<'a> {
    fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    fn define(&mut self, block: &'a Block, common: bool) {
        let Some(name) = &block.name else { return };
        let key = (block.statement.name, name.as_str());
        let Some(&(first, first_is_common)) = self.statements.get(&key) else {
            self.statements.insert(key, (block, common));
            return;
        };
        let (statement, name) = (key.0, name.clone());
        // The common policy stands before the stack's own, whose statements of the same type and name replace it
        // (IP Configuration Guide, "Common AT-TLS configuration file"). Within one policy two are a mistake.
        let (problem, at, other) = match (first_is_common, common) {
            (true, false) => (Problem::ReplacesCommon { statement, name }, block, first),
            (false, true) => (Problem::ReplacesCommon { statement, name }, first, block),
            _ => (Problem::DuplicateStatement { statement, name }, block, first),
        };
        let diagnostic = Diagnostic::new(problem, at.origin.clone());
        self.report(diagnostic.note("the other one is here", Some(other.origin.clone())));
        if first_is_common && !common {
            self.statements.insert(key, (block, common));
        }
    }

    /// Whether a block is the one its name stands for; nameless ones (an error already) are not.
    fn is_in_force(&self, block: &Block) -> bool {
        let found = block.name.as_deref().and_then(|name| self.statements.get(&(block.statement.name, name)));
        found.is_some_and(|(found, _)| std::ptr::eq(*found, block))
    }

    fn find(&mut self, statement: &'static str, setting: &'a Setting) -> Option<&'a Block> {
        let Some(Value::Text(name)) = setting.values.first() else {
            self.vague.insert(statement);
            return None;
        };
        if let Some((block, _)) = self.statements.get(&(statement, name.as_str())).copied() {
            self.used.insert((statement, block.name.as_deref().unwrap_or_default()));
            return Some(block);
        }
        self.mentioned.insert(name.clone());
        if self.unknown.contains(name.as_str()) {
            return None; // it is defined, behind a keyword that is reported
        }
        self.suggested += 1;
        let names = self.statements.keys().filter(|(kind, _)| *kind == statement).map(|(_, name)| *name);
        let meant = if self.suggested <= SUGGESTED { nearest(name, names) } else { None };
        let problem = Problem::UnknownReference { statement, name: name.clone() };
        let mut origin = setting.origin.clone();
        origin.span = setting.value_span;
        let mut diagnostic = Diagnostic::new(problem, origin).meant(meant, setting.value_span);
        if let Some((meant, _)) = meant.and_then(|meant| self.statements.get(&(statement, meant))) {
            let meant_name = meant.name.clone().unwrap_or_default();
            diagnostic = diagnostic.note(format!("`{meant_name}` is defined here"), Some(meant.origin.clone()));
            self.mentioned.insert(meant_name);
        } else if let Some((other, block)) = self.other_kind(name).filter(|_| self.suggested <= SUGGESTED) {
            // The name is there, for another statement: one of the other references was meant.
            let stem = setting.parameter.name.get(..5).unwrap_or_default();
            let rows = STATEMENTS.iter().flat_map(table::Statement::rows);
            let row = rows.filter(|row| row.name.starts_with(stem)).find(|row| row.kind == Kind::Reference(other));
            let help = row.map(|row| format!("`{name}` is an {other}: code `{}`", row.name));
            diagnostic =
                diagnostic.help(help).note(format!("{other} `{name}` is defined here"), Some(block.origin.clone()));
        }
        self.report(diagnostic);
        None
    }

    /// The first statement, in the table's order, that has this name.
    fn other_kind(&self, name: &str) -> Option<(&'static str, &'a Block)> {
        STATEMENTS.iter().find_map(|statement| {
            let (block, _) = self.statements.get(&(statement.name, name))?;
            Some((statement.name, *block))
        })
    }

    /// The settings of a block with its sub-statements: of a sub-statement coded several times, in place or by
    /// reference, the last one counts as a whole. `parts` collects the sub-statements that count; `broken` tells that some of it could
    /// not be read.
    fn flatten(&mut self, block: &'a Block, parts: &mut Vec<&'static str>, broken: &mut bool) -> Settings {
        *broken |= block.broken || block.settings().any(|setting| setting.values.is_empty());
        let mut settings = Settings::new();
        let mut slots: BTreeMap<&'static str, &'a Block> = BTreeMap::new();
        for item in &block.items {
            match item {
                Item::Block(inner) => {
                    slots.insert(inner.statement.name, inner);
                }
                Item::Setting(setting) => match setting.parameter.kind {
                    Kind::Reference(statement) if is_part(statement) => {
                        if let Some(found) = self.find(statement, setting) {
                            slots.insert(statement, found);
                        }
                    }
                    _ => keep(&mut settings, setting),
                },
            }
        }
        for (statement, inner) in slots {
            if !parts.contains(&statement) {
                parts.push(statement);
                settings.extend(self.flatten(inner, parts, broken));
            }
        }
        settings
    }

    fn missing(&mut self, block: &Block, parameter: &'static str) {
        let problem = Problem::MissingParameter {
            statement: block.statement.name,
            name: block.name.clone().unwrap_or_default(),
            parameter,
        };
        self.report(Diagnostic::new(problem, block.origin.clone()));
    }

    fn action(&mut self, statement: &'static str, setting: Option<&'a Setting>) -> Option<Arc<Action>> {
        let block = self.find(statement, setting?)?;
        let key = (statement, block.name.as_deref().unwrap_or_default());
        if let Some(action) = self.actions.get(&key) {
            return Some(Arc::clone(action));
        }
        let (mut parts, mut broken) = (Vec::new(), false);
        let mut settings = self.flatten(block, &mut parts, &mut broken);
        if statement == "TTLSConnectionAction" {
            self.leave_out_environment_parameters(&mut settings);
        }
        // What the policy codes counts before what the environment says.
        if let Some(Setting { values, origin, .. }) = settings.get("Envfile")
            && let Some(Value::Text(name)) = values.first()
            && let Some(variables) = self.environments.get(&(Arc::as_ptr(&origin.source), name.as_str()))
        {
            for (parameter, setting) in variables.clone() {
                settings.entry(parameter).or_insert(setting);
            }
        }
        let action = Arc::new(Action { name: key.1.to_owned(), origin: block.origin.clone(), settings, parts, broken });
        self.actions.insert(key, Arc::clone(&action));
        Some(action)
    }

    /// A shared sub-statement may code, for an environment, what a connection action cannot change.
    fn leave_out_environment_parameters(&mut self, settings: &mut Settings) {
        let (theirs, others): (Settings, Settings) =
            std::mem::take(settings).into_iter().partition(|(_, setting)| setting.parameter.is_environment_only());
        *settings = others;
        for (_, setting) in theirs {
            let value = setting.values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            let reason = "it counts in environment actions only";
            let problem = Problem::NoEffect { parameter: setting.parameter.name, value, reason };
            self.report(Diagnostic::new(problem, setting.origin.clone()));
        }
    }

    fn ttls_rule(&mut self, block: &'a Block, fips: bool) -> Option<TtlsRule> {
        for parameter in ["Direction", "TTLSGroupActionRef"] {
            if block.last(parameter).is_none() && !block.broken {
                self.missing(block, parameter);
            }
        }
        let conditions = self.conditions(block);
        self.require_condition(block);
        let group = self.action("TTLSGroupAction", block.last("TTLSGroupActionRef"));
        let environment = self.action("TTLSEnvironmentAction", block.last("TTLSEnvironmentActionRef"));
        let connection = self.action("TTLSConnectionAction", block.last("TTLSConnectionActionRef"));
        let mut references: Vec<(usize, Scope)> = Scope::ALL
            .into_iter()
            .filter_map(|scope| {
                let row = block.statement.rows().find(|row| row.kind == Kind::Reference(scope.statement()))?;
                Some((block.last(row.name)?.origin.span.start, scope))
            })
            .collect();
        references.sort_unstable_by_key(|(at, _)| *at);
        let mut rule = TtlsRule {
            name: block.name.clone()?,
            origin: block.origin.clone(),
            priority: priority(block),
            conditions,
            group: group?,
            environment,
            connection,
            references: references.into_iter().map(|(_, scope)| scope).collect(),
            security: None,
        };
        if rule.enabled() && block.last("TTLSEnvironmentActionRef").is_none() && !block.broken {
            self.missing(block, "TTLSEnvironmentActionRef");
        }
        let key = [Some(&rule.group), rule.environment.as_ref(), rule.connection.as_ref()]
            .map(|action| action.map(Arc::as_ptr));
        rule.security = match self.treatments.get(&key) {
            Some(known) => known.clone(),
            None => {
                let made = self.treatment(&rule, fips).map(|made| self.intern(made));
                self.treatments.insert(key, made.clone());
                made
            }
        };
        Some(rule)
    }

    fn intern(&mut self, made: Arc<SecurityParameters>) -> Arc<SecurityParameters> {
        match self.interned.get(&made) {
            Some(known) => Arc::clone(known),
            None => {
                self.interned.insert(Arc::clone(&made));
                made
            }
        }
    }

    /// IBM demands at least one condition beside the direction; `All` counts as one.
    fn require_condition(&mut self, block: &Block) {
        if !block.broken && !has_condition(block) {
            let what = "a condition: LocalAddr, RemoteAddr, LocalPortRange, RemotePortRange, Jobname or Userid";
            self.missing(block, what);
        }
    }
}

fn has_condition(block: &Block) -> bool {
    const NAMES: [&str; 6] = ["LocalAddr", "RemoteAddr", "LocalPort", "RemotePort", "Jobname", "Userid"];
    block.settings().any(|setting| NAMES.iter().any(|prefix| setting.parameter.name.starts_with(prefix)))
}

fn is_part(statement: &str) -> bool {
    table::statement(statement).is_some_and(|found| found.placement == Placement::TopOrInline)
        && statement.starts_with("TTLS")
}

fn keep(settings: &mut Settings, setting: &Setting) {
    if setting.values.is_empty() {
        return;
    }
    // Both keywords of cipher suites make one list, in the order they are written.
    let name = match setting.parameter.name {
        "V3CipherSuites4Char" => "V3CipherSuites",
        name => name,
    };
    match settings.get_mut(name) {
        Some(earlier) if setting.parameter.repeat == Repeat::List => {
            earlier.more.push((earlier.values.len(), setting.origin.clone()));
            earlier.values.extend(setting.values.iter().cloned());
        }
        _ => {
            settings.insert(name, setting.clone());
        }
    }
}

fn values(settings: &Settings, name: &str) -> Vec<Value> {
    match settings.get(name) {
        Some(setting) => setting.values.clone(),
        None => table::parameter(name).map(default_values).unwrap_or_default(),
    }
}

fn priority(block: &Block) -> u32 {
    match block.last("Priority").and_then(|setting| setting.values.first()) {
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
