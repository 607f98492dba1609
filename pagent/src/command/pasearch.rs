//! `pasearch`: the installed policy, in IBM's layout (`-t`), in the seed's (`-p TTLS`), or as JSON.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use chrono::Local;
use clap::Parser;
use policies::diagnostic::{has_errors, render};
use policies::report::{Report, Rule, Selection};
use policies::{Severity, Source};

use super::{Common, finish, print_lines, print_stderr};
use crate::{client, policy_files, report};

/// Displays the installed policy.
///
/// Without a policy type every type is shown. Flags can be joined (`-tn`).
#[derive(Parser)]
#[command(name = "pasearch", version, disable_help_flag = true)]
#[allow(clippy::struct_excessive_bools, reason = "IBM's flags")]
struct Flags {
    #[command(flatten)]
    common: Common,
    /// `TTLS`: the short report of AT-TLS rules; `ZERT`: as -z; otherwise the name of the stack (image) that is meant
    #[arg(short = 'p', value_name = "TTLS|ZERT|IMAGE")]
    selector: Option<String>,
    /// AT-TLS policy
    #[arg(short = 't')]
    ttls: bool,
    /// zERT policy
    #[arg(short = 'z')]
    zert: bool,
    /// Rules
    #[arg(short = 'r')]
    rules: bool,
    /// Actions
    #[arg(short = 'a')]
    actions: bool,
    /// All entries: rules and actions, active and inactive
    #[arg(short = 'e')]
    entries: bool,
    /// Active entries (the default)
    #[arg(short = 'A')]
    active: bool,
    /// Inactive entries: rules whose time is not now
    #[arg(short = 'I')]
    inactive: bool,
    /// Only the rule or action with this name; case counts
    #[arg(short = 'f', value_name = "NAME")]
    filter: Option<String>,
    /// Names only
    #[arg(short = 'n')]
    names: bool,
    /// Every range of a condition, not only its summary
    #[arg(short = 'o')]
    original: bool,
    /// What the policy is: files, time of installation, counts
    #[arg(short = 'c')]
    object: bool,
    /// The names of all images
    #[arg(short = 'C')]
    images: bool,
    /// Intrusion detection policy: there is none here
    #[arg(short = 'i')]
    ids: bool,
    /// Quality of service policy: there is none here
    #[arg(short = 'q')]
    qos: bool,
    /// Routing policy: there is none here
    #[arg(short = 'R')]
    routing: bool,
    /// IP security policy: there is none here
    #[arg(short = 'v', value_name = "a|f|k|l", value_parser = ["a", "f", "k", "l"])]
    ipsec: Option<String>,
    /// The scope of a quality of service policy; there is none here
    #[arg(short = 's', value_name = "SCOPE")]
    scope: Option<String>,
    /// Accepted without effect
    #[arg(short = 'd', hide = true)]
    debug: bool,
    /// Accepted without effect
    #[arg(short = 'g', hide = true)]
    grouped: bool,
    /// Accepted without effect
    #[arg(short = 'T', hide = true)]
    trace: bool,
    /// Accepted without effect
    #[arg(short = 'w', hide = true)]
    wide: bool,
    /// JSON instead of the report: rules with their actions
    #[arg(long)]
    json: bool,
    /// Read this policy file instead of asking the daemon
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Print help
    #[arg(short = '?', long = "help", short_alias = 'h', action = clap::ArgAction::Help)]
    help: Option<bool>,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let mut flags = Flags::parse();
    if flags.selector.as_deref().is_some_and(|selector| selector.eq_ignore_ascii_case("ZERT")) {
        (flags.selector, flags.zert) = (None, true);
    }
    finish(run(&flags))
}

fn run(flags: &Flags) -> anyhow::Result<ExitCode> {
    for (given, flag) in [(flags.debug, 'd'), (flags.grouped, 'g'), (flags.trace, 'T'), (flags.wide, 'w')] {
        if given {
            print_stderr(format_args!("-{flag} has no effect here\n"));
        }
    }
    let configuration = flags.common.configuration()?;
    let short = flags.selector.as_deref().is_some_and(|selector| selector.eq_ignore_ascii_case("TTLS"));
    let image = match &flags.selector {
        Some(name) if !short => name.to_ascii_uppercase(),
        _ => configuration.image.clone(),
    };
    let report = match &flags.policy {
        Some(path) => {
            let named = flags.selector.is_some() && !short;
            match from_file(path, flags, named.then_some(image.as_str()))? {
                Some(report) => report,
                None => return Ok(ExitCode::from(2)),
            }
        }
        None if image != configuration.image => {
            bail!("`{image}` is neither TTLS nor ZERT nor this stack's name, {}", configuration.image);
        }
        None => serde_json::from_value(client::get(&configuration.socket, "/v1/policy")?)?,
    };
    if flags.images {
        let names = if flags.json { vec![serde_json::to_string_pretty(&report.images)?] } else { report.images };
        print_lines(&names)?;
        return Ok(ExitCode::SUCCESS);
    }
    let selection = selection(flags);
    if flags.object {
        return object(&report, flags.json);
    }
    if flags.json {
        return json(&report, &selection, flags, short);
    }
    if short {
        return in_short(&selection.rules(&report.ttls));
    }
    let others = [
        (flags.qos || flags.scope.is_some(), "QoS"),
        (flags.ids, "IDS"),
        (flags.routing, "Routing"),
        (flags.ipsec.is_some(), "IPSec"),
    ];
    let others: Vec<&str> = others.iter().filter(|(given, _)| *given).map(|(_, name)| *name).collect();
    let some = flags.ttls || flags.zert || !others.is_empty();
    let mut lines = Vec::new();
    for (wanted, policy_type) in [(flags.ttls || !some, "TTLS"), (flags.zert || !some, "zERT")] {
        let found = if wanted { report.lines(policy_type, &selection) } else { Vec::new() };
        if wanted && found.is_empty() && (some || policy_type == "TTLS") {
            lines.push(format!("No {policy_type} policies retrieved"));
        }
        lines.extend(found);
    }
    lines.extend(
        others.iter().map(|name| format!("No {name} policies retrieved: this agent has AT-TLS and zERT policies")),
    );
    print_lines(&lines)?;
    Ok(ExitCode::SUCCESS)
}

fn selection(flags: &Flags) -> Selection {
    let both = flags.entries || (!flags.rules && !flags.actions);
    Selection {
        rules: flags.rules || both,
        actions: flags.actions || both,
        active: flags.active || flags.entries || !flags.inactive,
        inactive: flags.inactive || flags.entries,
        names: flags.names,
        original: flags.original,
        filter: flags.filter.clone(),
    }
}

/// The report of a file; its time is the file's, so that the same file gives the same report. None when it has errors.
fn from_file(path: &PathBuf, flags: &Flags, image: Option<&str>) -> anyhow::Result<Option<Report>> {
    let configuration = flags.common.configuration()?;
    let loaded = policy_files::load(std::slice::from_ref(path), &configuration, image, None);
    if loaded.has_errors() {
        let errors: Vec<_> =
            loaded.diagnostics.into_iter().filter(|found| found.severity() == Severity::Error).collect();
        debug_assert!(has_errors(&errors), "only errors are left");
        print_stderr(render(&errors));
        return Ok(None);
    }
    let changed = |source: &Source| {
        let time = std::fs::metadata(&source.name).and_then(|metadata| metadata.modified()).ok()?;
        i64::try_from(time.duration_since(std::time::SystemTime::UNIX_EPOCH).ok()?.as_secs()).ok()
    };
    let instance = loaded.documents.iter().filter_map(|document| changed(&document.source)).max();
    let instance = instance.unwrap_or_else(|| Local::now().timestamp());
    let directives = loaded.documents.iter().flat_map(|document| &document.directives);
    let mut images: Vec<String> = directives.filter_map(|directive| directive.file()?.image.clone()).collect();
    images.dedup();
    if let Some(name) = image.filter(|name| images.is_empty() && *name != configuration.image) {
        bail!("`{name}` is neither TTLS nor ZERT nor this stack's name, {}", configuration.image);
    }
    let image = image.or(images.first().map(String::as_str)).unwrap_or(&configuration.image);
    let mut report = Report::new(&loaded.policy, image, instance, Local::now().fixed_offset(), &instance);
    report.files = loaded.documents.iter().map(|document| document.source.name.clone()).collect();
    if !images.is_empty() {
        report.images = images;
    }
    Ok(Some(report))
}

fn json(report: &Report, selection: &Selection, flags: &Flags, short: bool) -> anyhow::Result<ExitCode> {
    let others = flags.qos || flags.ids || flags.routing || flags.ipsec.is_some() || flags.scope.is_some();
    let some = flags.ttls || flags.zert || short || others;
    let of = |wanted: bool, rules: &[Rule]| -> Vec<Rule> {
        let found = if wanted { selection.rules(rules) } else { Vec::new() };
        found.into_iter().cloned().collect()
    };
    let wanted = Report {
        ttls: of(flags.ttls || short || !some, &report.ttls),
        zert: of(flags.zert || !some, &report.zert),
        ..report.clone()
    };
    if flags.names {
        let name = |rule: &Rule| {
            serde_json::json!({
                "rule": rule.name,
                "actions": rule.actions.iter().map(|action| action.name.as_str()).collect::<Vec<_>>(),
            })
        };
        let names: Vec<_> = wanted.ttls.iter().chain(&wanted.zert).map(name).collect();
        print_lines(&[serde_json::to_string_pretty(&names)?])?;
        return Ok(ExitCode::SUCCESS);
    }
    print_lines(&[serde_json::to_string_pretty(&wanted)?])?;
    Ok(ExitCode::SUCCESS)
}

fn object(report: &Report, json: bool) -> anyhow::Result<ExitCode> {
    let installed =
        chrono::DateTime::from_timestamp(report.instance, 0).map(|time| time.with_timezone(report.time.offset()));
    let installed = installed.map(|time| time.format("%a %b %e %H:%M:%S %Y").to_string()).unwrap_or_default();
    if json {
        let object = serde_json::json!({
            "image": report.image, "instance": report.instance, "installed": installed, "files": report.files,
            "ttls_rules": report.ttls.len(), "zert_rules": report.zert.len(),
        });
        print_lines(&[serde_json::to_string_pretty(&object)?])?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut lines = vec![
        format!("{:24}{}", "Policy Object:", report.image),
        format!("  {:22}{}", "Instance Id:", report.instance),
        format!("  {:22}{installed}", "Installed:"),
    ];
    lines.extend(report.files.iter().map(|file| format!("  {:22}{file}", "File:")));
    lines.push(format!("  {:22}{}", "TTLS Rules:", report.ttls.len()));
    lines.push(format!("  {:22}{}", "zERT Rules:", report.zert.len()));
    print_lines(&lines)?;
    Ok(ExitCode::SUCCESS)
}

fn in_short(rules: &[&Rule]) -> anyhow::Result<ExitCode> {
    if rules.is_empty() {
        print_lines(&["No TTLS policies retrieved".to_owned()])?;
    }
    for (index, rule) in rules.iter().enumerate() {
        if index > 0 {
            print_lines(&[String::new()])?;
        }
        print_lines(&report::rule(rule))?;
    }
    Ok(ExitCode::SUCCESS)
}
