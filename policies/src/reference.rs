//! The reference page and the list of limits, made from the table.

use std::fmt::Write as _;

use crate::assist::here;
use crate::table::{Engine, Parameter, Placement, STATEMENTS, Statement, synonyms};
use crate::value::Kind;

/// `docs/policy-reference.md`.
#[must_use]
pub fn page() -> String {
    let mut text = String::from(
        "# Policy reference\n\nEvery statement and parameter of policy and configuration files. This page is made from the \
         table the parser uses (`cargo xtask reference`).\n\nKeywords and keyword values may be written in any case; names \
         are case-sensitive. Default is what is in effect here when nothing is coded; where z/OS has another one it stands \
         in parentheses. *Here* says what the engine does not do as z/OS does.\n",
    );
    for statement in STATEMENTS {
        let place = match statement.placement {
            Placement::Top => "Top level, with a name.",
            Placement::TopOrInline => "Top level with a name, or in place.",
            Placement::Directive => "A line of its own in a configuration file.",
            Placement::Opaque => "Accepted as a whole; its parameters are not read.",
        };
        let synonym = synonyms().iter().find(|(_, name)| *name == statement.name);
        let synonym = synonym.map(|(synonym, _)| format!(" Also `{synonym}`.")).unwrap_or_default();
        let _ = write!(text, "\n## {}\n\n{} {place}{synonym}\n", statement.name, statement.doc);
        if let Engine::Refused(reason) | Engine::Idle(reason) = statement.engine {
            let _ = write!(text, "\nHere: {reason}.\n");
        }
        if statement.rows().next().is_some() {
            text.push_str("\n| parameter | values | default | |\n| --- | --- | --- | --- |\n");
        }
        for row in statement.rows() {
            let _ = writeln!(text, "| `{}` | {} | {} | {} |", row.name, values(row), default(row), words(row));
        }
    }
    text
}

/// The lines of `docs/limits.md` on parameters and values that the engine does not honour.
#[must_use]
pub fn limits() -> String {
    let mut text = String::from("| statement | parameter | here |\n| --- | --- | --- |\n");
    for statement in STATEMENTS {
        // The connection form repeats the environment's rows.
        if statement.name == "TTLSConnectionAdvancedParms" {
            continue;
        }
        if let Engine::Refused(reason) | Engine::Idle(reason) = statement.engine {
            let word = if matches!(statement.engine, Engine::Refused(_)) { "refused" } else { "no effect" };
            let _ = writeln!(text, "| {} | | {word}: {reason} |", statement.name);
        }
        for row in statement.rows() {
            let mut said: Vec<String> = here(row)
                .into_iter()
                .map(|(value, what)| value.map_or_else(|| what.clone(), |value| format!("{value}: {what}")))
                .collect();
            if let (Some(default), Some(other)) = (row.default, row.ibm_default) {
                said.insert(0, format!("default {default}, on z/OS {other}"));
            }
            if row.ours {
                said.push("not on z/OS".to_owned());
            }
            if !said.is_empty() && !is_repeated(statement, row) {
                let _ = writeln!(text, "| {} | `{}` | {} |", statement.name, row.name, said.join("; "));
            }
        }
    }
    text
}

/// zERT rules repeat the conditions of AT-TLS rules.
fn is_repeated(statement: &Statement, row: &Parameter) -> bool {
    statement.name == "zERTPolicyRule" && row.name != "Direction" && row.name != "zERTPolicyActionRef"
}

fn values(row: &Parameter) -> String {
    match row.kind {
        Kind::Inline(_) => "block".to_owned(),
        kind => kind.expected().replace('|', "\\|"),
    }
}

fn default(row: &Parameter) -> String {
    let own = row.default.map(|default| format!("`{default}`"));
    match (own, row.ibm_default, row.required) {
        (Some(own), Some(other), _) => format!("{own} (`{other}`)"),
        (Some(own), None, _) => own,
        (None, Some(other), _) => format!("(`{other}`)"),
        (None, None, true) => "required".to_owned(),
        (None, None, false) => String::new(),
    }
}

fn words(row: &Parameter) -> String {
    let mut text = row.doc.replace('|', "\\|");
    if row.ours {
        text.push_str(" Not on z/OS.");
    }
    for (value, what) in here(row) {
        let _ = match value {
            Some(value) => write!(text, " *Here* `{value}`: {what}."),
            None => write!(text, " *Here*: {what}."),
        };
    }
    text
}
