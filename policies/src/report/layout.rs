//! IBM's layout, line for line.

use chrono::{DateTime, FixedOffset, TimeZone as _};

use super::{ActionReport, Entry, Report, Rule, Time, port_summary};

/// What of a report is wanted.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "one for each of pasearch's flags")]
pub struct Selection {
    /// Rules (`-r`).
    pub rules: bool,
    /// Actions (`-a`).
    pub actions: bool,
    /// Active rules (`-A`).
    pub active: bool,
    /// Inactive rules (`-I`).
    pub inactive: bool,
    /// Names only (`-n`).
    pub names: bool,
    /// Each range of a condition too (`-o`).
    pub original: bool,
    /// Only the rule or action with this name (`-f`).
    pub filter: Option<String>,
}

impl Default for Selection {
    fn default() -> Self {
        Self { rules: true, actions: true, active: true, inactive: false, names: false, original: false, filter: None }
    }
}

impl Selection {
    /// The rules that are wanted.
    pub fn rules<'a>(&self, rules: &'a [Rule]) -> Vec<&'a Rule> {
        let named = |rule: &Rule| self.filter.as_deref().is_none_or(|name| rule.name == name);
        rules.iter().filter(|rule| named(rule) && self.state(rule)).collect()
    }

    /// The actions that are wanted without their rules: of the name that is asked for, or all of them, each once.
    fn actions_alone<'a>(&self, rules: &'a [Rule]) -> Vec<&'a ActionReport> {
        let mut actions: Vec<&'a ActionReport> = Vec::new();
        for action in rules.iter().filter(|rule| self.state(rule)).flat_map(|rule| &rule.actions) {
            let named = self.filter.as_deref().is_none_or(|name| action.name == name);
            if named && !actions.iter().any(|known| known.name == action.name && known.scope == action.scope) {
                actions.push(action);
            }
        }
        actions
    }

    fn state(&self, rule: &Rule) -> bool {
        if rule.active { self.active } else { self.inactive }
    }
}

impl Report {
    /// The report of one policy type, `TTLS` or `zERT`; no lines when nothing is wanted.
    #[must_use]
    pub fn lines(&self, policy_type: &str, selection: &Selection) -> Vec<String> {
        let rules = if policy_type == "zERT" { &self.zert } else { &self.ttls };
        let time = self.time;
        let offset = *time.offset();
        let mut entries: Vec<Vec<String>> = Vec::new();
        let wanted = if selection.rules { selection.rules(rules) } else { Vec::new() };
        for rule in &wanted {
            entries.push(rule_lines(rule, policy_type, selection, offset));
            if selection.actions {
                entries.extend(rule.actions.iter().map(|action| action_lines(action, policy_type, selection, offset)));
            }
        }
        if wanted.is_empty() && selection.actions {
            let actions = selection.actions_alone(rules);
            entries.extend(actions.iter().map(|action| action_lines(action, policy_type, selection, offset)));
        }
        if entries.is_empty() {
            return Vec::new();
        }
        let mut lines = vec![
            String::new(),
            format!("{:42}Image Name: {}", "TCP/IP pasearch CS 3.1", self.image),
            format!("  {:22}{:18}Time:  {}", "Date:", time.format("%m/%d/%Y"), time.format("%H:%M:%S")),
            format!("  {:22}{}", format!("{policy_type} Instance Id:"), self.instance),
        ];
        for entry in entries {
            lines.push(String::new());
            lines.extend(entry);
        }
        lines.push(String::new());
        lines
    }
}

/// `Mon Dec 23 04:52:19 2024`.
fn ctime(seconds: i64, offset: FixedOffset) -> String {
    let time: Option<DateTime<FixedOffset>> = offset.timestamp_opt(seconds, 0).single();
    time.map(|time| time.format("%a %b %e %H:%M:%S %Y").to_string()).unwrap_or_default()
}

/// A label and its value in column 25, as rules have them.
fn pair(indent: usize, label: &str, value: &str) -> String {
    format!("{:24}{value}", format!("{:indent$}{label}", "")).trim_end().to_owned()
}

/// Two labels and their values on one line.
fn pairs(indent: usize, label: &str, value: &str, second: &str, second_value: &str) -> String {
    format!("{:42}{second:19}{second_value}", pair(indent, label, value)).trim_end().to_owned()
}

fn rule_lines(rule: &Rule, policy_type: &str, selection: &Selection, offset: FixedOffset) -> Vec<String> {
    let mut lines = vec![pair(0, "policyRule:", &rule.name)];
    if selection.names {
        lines.extend(rule.actions.iter().map(|action| pair(2, "policyAction:", &action.name)));
        return lines;
    }
    let status = if rule.active { "Active" } else { "Inactive" };
    let priority = rule.priority.to_string();
    lines.extend([
        pair(2, "Rule Type:", policy_type),
        pairs(2, "Version:", "3", "Status:", status),
        pairs(2, "Weight:", &priority, "ForLoadDist:", "False"),
        pairs(2, "Priority:", &priority, "Sequence Actions:", "Don't Care"),
        pair(2, "No. Policy Action:", &rule.actions.len().to_string()),
    ]);
    for action in &rule.actions {
        lines.push(pair(2, "policyAction:", &action.name));
        let action_type =
            if policy_type == "zERT" { "zERT".to_owned() } else { format!("{policy_type} {}", action.scope) };
        lines.push(pair(3, "ActionType:", &action_type));
        lines.push(pair(3, "Action Sequence:", "0"));
    }
    lines.extend(time_lines(&rule.time));
    lines.push(format!("  {policy_type} Condition Summary:                 NegativeIndicator: Off"));
    let addresses = [
        ("Local Address:", &rule.local_address_summary, &rule.local_addresses),
        ("Remote Address:", &rule.remote_address_summary, &rule.remote_addresses),
    ];
    for (label, summary, coded) in addresses {
        let all = ("All".to_owned(), "All".to_owned());
        let (from, to) = summary.as_ref().unwrap_or(&all);
        lines.extend([format!("   {label}"), pair(4, "FromAddr:", from), pair(4, "ToAddr:", to)]);
        if selection.original && coded.len() > 1 {
            lines.extend(coded.iter().map(|range| pair(5, "Range:", range)));
        }
    }
    for (label, ranges) in [("LocalPort", &rule.local_ports), ("RemotePort", &rule.remote_ports)] {
        let (from, to) = port_summary(ranges);
        lines.push(pairs(3, &format!("{label}From:"), &from.to_string(), &format!("{label}To:"), &to.to_string()));
        if selection.original && ranges.len() > 1 {
            let range = |(from, to): &(u16, u16)| if from == to { from.to_string() } else { format!("{from}-{to}") };
            lines.extend(ranges.iter().map(|ends| pair(5, "Range:", &range(ends))));
        }
    }
    lines.push(pairs(3, "JobName:", &rule.jobname, "UserId:", &rule.userid));
    lines.push(pair(3, "ServiceDirection:", &rule.direction));
    for (name, terms) in &rule.protections {
        lines.push(pair(3, "Protection:", name));
        lines.extend(terms.iter().map(|(parameter, said)| value(4, &format!("{parameter}:"), said)));
    }
    lines.push(format!("  Policy created: {}", ctime(rule.created, offset)));
    lines.push(format!("  Policy updated: {}", ctime(rule.updated, offset)));
    lines
}

fn time_lines(time: &Time) -> Vec<String> {
    let none = || "None".to_owned();
    let mut lines = vec![
        "  Time Periods:".to_owned(),
        "   Day of Month Mask:".to_owned(),
        pair(3, "First to Last:", &time.first_to_last),
        pair(3, "Last to First:", &time.last_to_first),
        pair(3, "Month of Yr Mask:", &time.months),
        pair(3, "Day of Week Mask:", &format!("{}  (Sunday - Saturday)", time.weekdays)),
        pair(3, "Start Date Time:", &time.start.clone().unwrap_or_else(none)),
        pair(3, "End Date Time:", &time.end.clone().unwrap_or_else(none)),
    ];
    for ((from, to), (from_utc, to_utc)) in time.hours.iter().zip(&time.hours_utc) {
        lines.push(pairs(3, "Fr TimeOfDay:", from, "To TimeOfDay:", to));
        lines.push(pairs(3, "Fr TimeOfDay UTC:", from_utc, "To TimeOfDay UTC:", to_utc));
    }
    lines.push(pair(3, "TimeZone:", &time.zone));
    lines
}

fn action_lines(action: &ActionReport, policy_type: &str, selection: &Selection, offset: FixedOffset) -> Vec<String> {
    let mut lines = vec![value(2, &format!("{policy_type} Action:"), &action.name)];
    if selection.names {
        return lines;
    }
    lines.extend([value(4, "Version:", "3"), value(4, "Status:", "Active")]);
    if policy_type == "TTLS" {
        lines.push(value(4, "Scope:", &action.scope));
    }
    entry_lines(&action.entries, 4, "", &mut lines);
    lines.push(format!("    Policy created: {}", ctime(action.created, offset)));
    lines.push(format!("    Policy updated: {}", ctime(action.updated, offset)));
    lines
}

/// A label and its value in column 33, as actions have them; a label that reaches so far is followed by a blank.
fn value(indent: usize, label: &str, value: &str) -> String {
    format!("{:31} {value}", format!("{:indent$}{label}", "")).trim_end().to_owned()
}

fn entry_lines(entries: &[Entry], indent: usize, block: &str, lines: &mut Vec<String>) {
    for entry in entries {
        match entry {
            // System SSL's own names are longer and have a column of their own.
            Entry::Value { name, value } if block == "TTLSGskAdvancedParms" => {
                lines.push(format!("{:47} {value}", format!("{:indent$}{name}:", "")).trim_end().to_owned());
            }
            Entry::Value { name, value: text } => lines.push(value(indent, &format!("{name}:"), text)),
            Entry::Codes { name, codes } => match codes.as_slice() {
                [(word, text)] if text.is_empty() => lines.push(value(indent, &format!("{name}:"), word)),
                codes => {
                    lines.push(format!("{:indent$}{name}:", ""));
                    lines.extend(codes.iter().map(|(code, name)| format!("{:1$}{code}  {name}", "", indent + 1)));
                }
            },
            Entry::Block { name, entries } => {
                lines.push(format!("{:indent$}{name}:", ""));
                entry_lines(entries, indent + 1, name, lines);
            }
        }
    }
}
