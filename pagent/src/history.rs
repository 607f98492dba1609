//! When rules and actions were installed, and when they changed: what `pasearch` prints under each of them.

use std::collections::HashMap;

use policies::Policy;
use policies::model::{Action, Scope};
use policies::report::History;

/// By statement and name: created and last changed, in seconds since the epoch.
#[derive(Clone, Debug, Default)]
pub(crate) struct InstallHistory(HashMap<(String, String), (i64, i64)>);

impl InstallHistory {
    /// The history after `new` replaced `old` at `now`.
    pub(crate) fn after(&self, old: &Policy, new: &Policy, now: i64) -> Self {
        let mut times = HashMap::new();
        let mut add = |kind: &str, name: &str, unchanged: bool| {
            let key = (kind.to_owned(), name.to_owned());
            let time = match self.0.get(&key) {
                Some(known) if unchanged => *known,
                Some((created, _)) => (*created, now),
                None => (now, now),
            };
            times.insert(key, time);
        };
        let old_ttls: HashMap<&str, _> = old.ttls.iter().map(|rule| (rule.name.as_str(), rule)).collect();
        let old_zert: HashMap<&str, _> = old.zert.iter().map(|rule| (rule.name.as_str(), rule)).collect();
        for rule in &new.ttls {
            let before = old_ttls.get(rule.name.as_str());
            let same_names = |before: &policies::TtlsRule| {
                let name = |rule: &policies::TtlsRule, scope| rule.action(scope).map(|action| action.name.clone());
                Scope::ALL.into_iter().all(|scope| name(before, scope) == name(rule, scope))
            };
            let unchanged = before.is_some_and(|before| {
                before.priority == rule.priority
                    && before.conditions.says_the_same(&rule.conditions)
                    && same_names(before)
            });
            add("TTLSRule", &rule.name, unchanged);
        }
        let actions = |policy: &'_ Policy| -> HashMap<(&'static str, String), std::sync::Arc<Action>> {
            let mut found = HashMap::new();
            for rule in &policy.ttls {
                let of_rule = [
                    (Scope::Group, Some(&rule.group)),
                    (Scope::Environment, rule.environment.as_ref()),
                    (Scope::Connection, rule.connection.as_ref()),
                ];
                for (scope, action) in of_rule {
                    let Some(action) = action else { continue };
                    found.entry((scope.statement(), action.name.clone())).or_insert_with(|| action.clone());
                }
            }
            found
        };
        let old_actions = actions(old);
        for (key, action) in actions(new) {
            let unchanged = old_actions.get(&key).is_some_and(|before| before.says_the_same(&action));
            add(key.0, &key.1, unchanged);
        }
        for rule in &new.zert {
            let before = old_zert.get(rule.name.as_str());
            let unchanged = before.is_some_and(|before| {
                before.priority == rule.priority
                    && before.conditions.says_the_same(&rule.conditions)
                    && before.action.name == rule.action.name
                    && before.protections == rule.protections
            });
            add("zERTPolicyRule", &rule.name, unchanged);
        }
        let old_zert_actions: HashMap<&str, _> =
            old.zert.iter().map(|rule| (rule.action.name.as_str(), &rule.action)).collect();
        let new_zert_actions: HashMap<&str, _> =
            new.zert.iter().map(|rule| (rule.action.name.as_str(), &rule.action)).collect();
        for (name, action) in new_zert_actions {
            add("zERTPolicyAction", name, old_zert_actions.get(name).is_some_and(|before| *before == action));
        }
        Self(times)
    }
}

impl History for InstallHistory {
    fn of(&self, kind: &str, name: &str) -> (i64, i64) {
        self.0.get(&(kind.to_owned(), name.to_owned())).copied().unwrap_or_default()
    }
}
