//! The policy author's tools: `pagent check`, `explain`, `diff`, `coverage`, `fmt`. None needs the daemon or privileges.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use chrono::{DateTime, FixedOffset, Local, LocalResult, NaiveDateTime, TimeZone as _};
use clap::{Args, ValueEnum};
use policies::coverage::{self, Covered, Protection};
use policies::diff::{self, Change, Side};
use policies::explain::{self, Explanation};
use policies::format::{self, FormatError};
use policies::{Connection, Diagnostic, Direction, Loaded, Severity, diagnostic};
use serde_json::json;

use super::{Common, print_lines};
use crate::client;
use crate::control::ExplainRequest;
use crate::policy_files;

/// Exit code of a tool whose input has errors.
const BROKEN: u8 = 2;

/// Values longer than this have a line for each member.
const LONG: usize = 48;

/// Which policy: flags of every tool that reads one.
#[derive(Args)]
pub(super) struct PolicyFlags {
    /// The stack whose policy is meant [default: the first that a TcpImage names]
    #[arg(long, value_name = "NAME")]
    image: Option<String>,
}

/// `pagent check`.
#[derive(Args)]
pub(super) struct CheckFlags {
    /// Main configuration files or policy files; each is checked by itself, with the files it names (`-`: standard input)
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Exit with 1 when there are warnings
    #[arg(long)]
    strict: bool,
    /// JSON instead of text
    #[arg(long, conflicts_with = "sarif")]
    json: bool,
    /// A SARIF 2.1.0 log instead of text
    #[arg(long)]
    sarif: bool,
    /// Leave notes (PAG03xx) out
    #[arg(long)]
    no_notes: bool,
    #[command(flatten)]
    policy: PolicyFlags,
}

pub(super) fn check(common: &Common, flags: &CheckFlags) -> anyhow::Result<ExitCode> {
    let configuration = common.configuration()?;
    let mut all: Vec<Diagnostic> = Vec::new();
    let mut counts = Vec::new();
    for file in &flags.files {
        let image = flags.policy.image.as_deref();
        let loaded = policy_files::load(std::slice::from_ref(file), &configuration, image, Some(now_seconds()));
        let wanted = |found: &Diagnostic| !(flags.no_notes && found.severity() == Severity::Note);
        if !loaded.documents.is_empty() {
            let (ttls, zert) = (loaded.policy.ttls.len(), loaded.policy.zert.len());
            counts.push(format!("{}: {ttls} TTLS rules, {zert} zERT rules", file.display()));
        }
        all.extend(loaded.diagnostics.into_iter().filter(wanted));
    }
    let count = |severity| all.iter().filter(|found| found.severity() == severity).count();
    let (errors, warnings, notes) = (count(Severity::Error), count(Severity::Warning), count(Severity::Note));
    if flags.json {
        let reports: Vec<_> = all.iter().map(Diagnostic::report).collect();
        print_lines(&[serde_json::to_string_pretty(&reports)?])?;
    } else if flags.sarif {
        print_lines(&[serde_json::to_string_pretty(&diagnostic::sarif(&all))?])?;
    } else {
        std::io::stderr().write_all(diagnostic::render(&all).as_bytes())?;
        print_lines(&counts)?;
        if !all.is_empty() {
            eprintln!("{}", summary(errors, warnings, notes));
        }
    }
    Ok(ExitCode::from(match (errors, warnings) {
        (0, 0) => 0,
        (0, _) => u8::from(flags.strict),
        _ => BROKEN,
    }))
}

fn summary(errors: usize, warnings: usize, notes: usize) -> String {
    let counted = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    [counted(errors, "error"), counted(warnings, "warning"), counted(notes, "note")].join(", ")
}

/// `pagent explain`.
#[derive(Args)]
pub(super) struct ExplainFlags {
    /// Main configuration files or policy files, read together as one policy
    #[arg(required_unless_present = "running", conflicts_with = "running")]
    files: Vec<PathBuf>,
    /// This host's end
    #[arg(long, value_name = "ADDRESS:PORT")]
    local: SocketAddr,
    /// The peer's end
    #[arg(long, value_name = "ADDRESS:PORT")]
    remote: SocketAddr,
    /// Who opens the connection, seen from this host
    #[arg(long, ignore_case = true)]
    direction: DirectionFlag,
    /// The job that owns the local socket
    #[arg(long)]
    job: Option<String>,
    /// The user that owns the local socket
    #[arg(long)]
    user: Option<String>,
    /// When: `2026-05-01 14:00` by this machine's clock, or with an offset `2026-05-01T14:00:00+02:00` [default: now]
    #[arg(long, value_parser = read_time)]
    at: Option<DateTime<FixedOffset>>,
    /// Ask the daemon about the installed policy
    #[arg(long)]
    running: bool,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    policy: PolicyFlags,
}

#[derive(Clone, Copy, ValueEnum)]
enum DirectionFlag {
    #[value(alias = "inbound")]
    In,
    #[value(alias = "outbound")]
    Out,
}

pub(super) fn explain(common: &Common, flags: &ExplainFlags) -> anyhow::Result<ExitCode> {
    let configuration = common.configuration()?;
    let direction = match flags.direction {
        DirectionFlag::In => Direction::Inbound,
        DirectionFlag::Out => Direction::Outbound,
    };
    let connection = Connection {
        local: flags.local,
        remote: flags.remote,
        direction,
        jobname: flags.job.clone(),
        userid: flags.user.clone(),
    };
    let at = flags.at.unwrap_or_else(|| Local::now().fixed_offset());
    let found: Explanation = if flags.running {
        let request = ExplainRequest { connection, at: flags.at };
        serde_json::from_value(client::post(&configuration.socket, "/v1/explain", &request)?)?
    } else {
        let Some(loaded) = load(common, &flags.files, &flags.policy)? else { return Ok(ExitCode::from(BROKEN)) };
        explain::explain(&loaded.policy, &connection, at)
    };
    if flags.json {
        print_lines(&[serde_json::to_string_pretty(&found)?])?;
    } else {
        print_lines(&explanation(&found))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn explanation(found: &Explanation) -> Vec<String> {
    let mut lines = vec![
        format!("connection  {}", found.connection),
        format!("at          {}", found.at),
        format!("verdict     {}", found.verdict),
    ];
    let rule = |label: &str, rule: &explain::RuleView| {
        format!("{label:11} {} ({}, priority {}): {}", rule.name, rule.origin, rule.priority, rule.conditions)
    };
    lines.extend(found.rule.iter().map(|found| rule("rule", found)));
    lines.extend(found.zert.iter().map(|found| rule("zERT rule", found)));
    if !found.parameters.is_empty() {
        lines.push(String::new());
        let width = found.parameters.iter().map(|parameter| parameter.name.len()).max().unwrap_or(0);
        let short = |value: &str| value.chars().count().min(LONG);
        let value_width = found.parameters.iter().map(|parameter| short(&parameter.value)).max().unwrap_or(0);
        for parameter in &found.parameters {
            let instead =
                parameter.instead.as_ref().map(|reason| format!(" (not as coded: {reason})")).unwrap_or_default();
            // A list that is too long for its column has a line for each member.
            let members: Vec<&str> = match parameter.value.chars().count() > LONG {
                true => parameter.value.split(", ").collect(),
                false => vec![&parameter.value],
            };
            for (at, member) in members.iter().enumerate() {
                let (name, origin) =
                    if at == 0 { (parameter.name.as_str(), parameter.origin.as_str()) } else { ("", "") };
                let line =
                    format!("  {name:width$}  {member:value_width$}  {origin}{}", if at == 0 { &instead } else { "" });
                lines.push(line.trim_end().to_owned());
            }
        }
    }
    if !found.near.is_empty() {
        lines.push(String::new());
        lines.push("rules that nearly decided:".to_owned());
        for near in &found.near {
            let place = near.coded.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
            let why = match &near.failed {
                Some(failed) => format!("{failed}{place}"),
                None => "it matches too, and is searched later".to_owned(),
            };
            lines.push(format!("  {} ({}): {why}", near.rule.name, near.rule.origin));
        }
        if found.more_near > 0 {
            lines.push(format!("  and {} more", found.more_near));
        }
    }
    lines
}

/// `pagent diff`.
#[derive(Args)]
pub(super) struct DiffFlags {
    /// The policy before: a main configuration file or a policy file
    old: PathBuf,
    /// The policy after
    new: PathBuf,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    policy: PolicyFlags,
}

pub(super) fn diff(common: &Common, flags: &DiffFlags) -> anyhow::Result<ExitCode> {
    let mut policies = Vec::new();
    for file in [&flags.old, &flags.new] {
        policies.extend(load(common, std::slice::from_ref(file), &flags.policy)?);
    }
    let [old, new] = policies.as_slice() else { return Ok(ExitCode::from(BROKEN)) };
    let changes = diff::diff(&old.policy, &new.policy);
    if flags.json {
        print_lines(&[serde_json::to_string_pretty(&changes)?])?;
    } else if changes.is_empty() {
        print_lines(&["no connection is treated otherwise".to_owned()])?;
    } else {
        print_lines(&changes.iter().flat_map(change_lines).collect::<Vec<_>>())?;
    }
    Ok(ExitCode::from(u8::from(!changes.is_empty())))
}

fn change_lines(change: &Change) -> Vec<String> {
    let side = |side: &Side| match &side.rule {
        Some(rule) => format!("{} by rule {rule}", side.treatment),
        None => side.treatment.clone(),
    };
    let inexact = if change.exact { "" } else { " (or some of them)" };
    let mut lines = vec![
        format!("{}: {}{inexact}", change.policy_type, change.connections),
        format!("  - {}", side(&change.old)),
        format!("  + {}", side(&change.new)),
    ];
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
    let parameters = change.parameters.iter();
    lines.extend(parameters.map(|one| format!("    {}: {} -> {}", one.name, value(&one.old), value(&one.new))));
    lines
}

/// `pagent coverage`.
#[derive(Args)]
pub(super) struct CoverageFlags {
    /// Main configuration files or policy files, read together as one policy
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Connections: `ss -tan` or `ss -tanp` output, or CSV with a header (local,remote,direction,job,user); `-` is the
    /// standard input
    #[arg(long, value_name = "LIST")]
    connections: PathBuf,
    /// Exit with 1 when a connection is not wrapped in TLS
    #[arg(long)]
    strict: bool,
    /// When [default: now]
    #[arg(long, value_parser = read_time)]
    at: Option<DateTime<FixedOffset>>,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    policy: PolicyFlags,
}

pub(super) fn coverage(common: &Common, flags: &CoverageFlags) -> anyhow::Result<ExitCode> {
    let Some(loaded) = load(common, &flags.files, &flags.policy)? else { return Ok(ExitCode::from(BROKEN)) };
    let list = policy_files::read(&flags.connections)
        .with_context(|| format!("{} cannot be read", flags.connections.display()))?;
    let connections = match coverage::read(&list.text) {
        Ok(list) => {
            if list.assumed {
                eprintln!(
                    "the list tells no directions (`ss -tan` shows listeners, CSV can have a column `direction`): every \
                     connection is taken as outbound"
                );
            }
            list.connections
        }
        Err(error) => {
            eprintln!("{}: {error}", list.name);
            return Ok(ExitCode::from(BROKEN));
        }
    };
    let at = flags.at.unwrap_or_else(|| Local::now().fixed_offset());
    let covered = coverage::coverage(&loaded.policy, &connections, at);
    let count = |protection: Protection| covered.iter().filter(|one| one.protection == protection).count();
    let (tls, off) = (count(Protection::Tls), count(Protection::OffByRule));
    let (none, unknown) = (count(Protection::NoRule), count(Protection::OwnerUnknown));
    if flags.json {
        let totals = json!({ "tls": tls, "off-by-rule": off, "no-rule": none, "owner-unknown": unknown });
        print_lines(&[serde_json::to_string_pretty(&json!({ "connections": covered, "totals": totals }))?])?;
    } else {
        let mut lines: Vec<String> = covered.iter().map(covered_line).collect();
        lines.push(format!(
            "{} connections: {tls} TLS, {off} clear by a rule, {none} clear without a rule, {unknown} depend on the owner",
            covered.len()
        ));
        print_lines(&lines)?;
    }
    Ok(ExitCode::from(u8::from(flags.strict && tls < covered.len())))
}

fn covered_line(covered: &Covered) -> String {
    let rule = covered.rule.as_deref().unwrap_or("-");
    format!(
        "{:8} {:24} {:24} {:32} {}",
        covered.direction.to_string(),
        covered.local.to_string(),
        covered.remote.to_string(),
        rule,
        covered.protection
    )
}

/// `pagent fmt`.
#[derive(Args)]
pub(super) struct FormatFlags {
    /// Policy or configuration files (`-`: standard input)
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write the files back instead of printing
    #[arg(long, short, conflicts_with = "check")]
    write: bool,
    /// Print nothing; exit with 1 when a file is not in the canonical layout
    #[arg(long)]
    check: bool,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn format(flags: &FormatFlags) -> anyhow::Result<ExitCode> {
    let mut code = 0;
    let mut reports = Vec::new();
    for file in &flags.files {
        let source = policy_files::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let text = match format::format(&source) {
            Ok(text) => text,
            Err(error) => {
                if let FormatError::Broken(diagnostics) = &error {
                    let errors: Vec<Diagnostic> =
                        diagnostics.iter().filter(|found| found.severity() == Severity::Error).cloned().collect();
                    eprint!("{}", diagnostic::render(&errors));
                }
                eprintln!("{}: {error}", file.display());
                code = BROKEN;
                continue;
            }
        };
        // Line ends, byte order marks and stray Latin-1 are layout too.
        let changed = match file.as_path() == Path::new("-") {
            true => text != source.text,
            false => std::fs::read(file).map_or(true, |bytes| bytes != text.as_bytes()),
        };
        if flags.json {
            reports.push(json!({ "file": source.name, "changed": changed, "text": text }));
        }
        if flags.check {
            if changed {
                eprintln!("{}: not in the canonical layout", file.display());
                code = code.max(1);
            }
        } else if flags.write && changed {
            replace(file, &text).with_context(|| format!("{} cannot be written", file.display()))?;
        } else if !flags.write && !flags.json {
            std::io::stdout().write_all(text.as_bytes())?;
        }
    }
    if flags.json {
        print_lines(&[serde_json::to_string_pretty(&reports)?])?;
    }
    Ok(ExitCode::from(code))
}

/// Writes beside the file and renames: a full disk or a crash leaves the old text.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    if path == Path::new("-") {
        bail!("the standard input cannot be written to");
    }
    let path = path.canonicalize()?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    let metadata = std::fs::metadata(&path)?;
    file.as_file().set_permissions(metadata.permissions())?;
    // Root formats other people's files; they stay theirs.
    std::os::unix::fs::fchown(file.as_file(), Some(metadata.uid()), Some(metadata.gid()))?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}

/// Loads files as one policy; prints its errors and gives none when there are some.
pub(super) fn load(common: &Common, files: &[PathBuf], flags: &PolicyFlags) -> anyhow::Result<Option<Loaded>> {
    let loaded = policy_files::load(files, &common.configuration()?, flags.image.as_deref(), None);
    if !loaded.has_errors() {
        return Ok(Some(loaded));
    }
    let errors: Vec<Diagnostic> =
        loaded.diagnostics.into_iter().filter(|found| found.severity() == Severity::Error).collect();
    eprint!("{}", diagnostic::render(&errors));
    if std::io::stderr().is_terminal() {
        eprintln!("the policy has errors; `pagent check` shows warnings too");
    }
    Ok(None)
}

pub(super) fn now_seconds() -> i64 {
    Local::now().timestamp()
}

/// A time with an offset, or by this machine's clock.
fn read_time(text: &str) -> anyhow::Result<DateTime<FixedOffset>> {
    // Policies speak of this machine's clock, whatever offset the time is written with.
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.with_timezone(&Local).fixed_offset());
    }
    let naive = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .ok_or_else(|| anyhow!("expected `2026-05-01 14:00`, or with an offset `2026-05-01T14:00:00+02:00`"))?;
    match Local.from_local_datetime(&naive) {
        LocalResult::Single(time) => Ok(time.fixed_offset()),
        LocalResult::Ambiguous(first, second) => bail!(
            "this time comes twice, clocks are put back then; write `{}` or `{}`",
            first.format("%Y-%m-%dT%H:%M:%S%:z"),
            second.format("%Y-%m-%dT%H:%M:%S%:z")
        ),
        LocalResult::None => bail!("this time does not come, clocks are put forward then"),
    }
}
