//! `pagent`: the daemon and the policy author's tools.

use std::path::PathBuf;
use std::process::ExitCode;

use ::saf::{Saf, Userid};
use anyhow::{Context as _, anyhow};
use clap::{Args, Parser, Subcommand};

use super::author::{self, CheckFlags, CoverageFlags, DiffFlags, ExplainFlags, FormatFlags};
use super::demo::{self, DemoFlags};
use super::saf::{self, SafFlags};
use super::{Common, FAILED, finish, print_lines};
use crate::client;
use crate::control::{Refresh, Stop};
use crate::daemon;
use crate::lab;
use crate::logging;
use crate::report::{self, SessionView};

/// The Policy Agent: AT-TLS, zERT and RACF policy for Linux.
#[derive(Parser)]
#[command(name = "pagent", version)]
struct Flags {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Runs the daemon in the foreground
    Run {
        /// Take over from the running daemon, which carries its connections to their end: an upgrade without a gap
        #[arg(long)]
        takeover: bool,
        /// Install policies even if a zERT rule may reset connections to this host's own SSH
        #[arg(long)]
        force: bool,
    },
    /// Checks policy files
    Check(CheckFlags),
    /// Says which rule a connection falls to, and why
    Explain(ExplainFlags),
    /// Shows which connections a new policy treats otherwise, and how
    Diff(DiffFlags),
    /// Says which rule each of a list of connections falls to, and which are in clear
    Coverage(CoverageFlags),
    /// Formats policy files
    Fmt(FormatFlags),
    /// Speaks the language server protocol on standard input and output
    Lsp(LspFlags),
    /// Shows how the daemon is doing
    Status {
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Lists the connections AT-TLS carries, and the last ones that ended
    Connections {
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Reads the policy files again; a policy with errors installs nothing
    Refresh {
        /// Install it even if a zERT rule may reset connections to this host's own SSH
        #[arg(long)]
        force: bool,
    },
    /// Stops the daemon; what the policy protects is refused from then on
    Stop {
        /// Remove the capture rules too: protected connections then travel in clear text
        #[arg(long)]
        release: bool,
    },
    /// Sets up the state folder and the SAF database, and prints what it did
    Init {
        /// The user who becomes SPECIAL [default: the one who runs this]
        #[arg(long)]
        special: Option<String>,
    },
    /// Asks who may do what, and why
    Saf(SafFlags),
    /// Shows what this program does, in a network of its own
    Demo(DemoFlags),
    /// Runs a program in the namespaces of the laboratory
    #[command(hide = true)]
    Lab {
        /// The program and its words
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<PathBuf>,
    },
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    finish(run(Flags::parse()))
}

fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    let common = &flags.common;
    match flags.verb {
        Verb::Run { takeover, force } => run_daemon(common, takeover, force),
        Verb::Check(flags) => author::check(common, &flags),
        Verb::Explain(flags) => author::explain(common, &flags),
        Verb::Diff(flags) => author::diff(common, &flags),
        Verb::Coverage(flags) => author::coverage(common, &flags),
        Verb::Fmt(flags) => author::format(&flags),
        Verb::Saf(flags) => saf::run(common, flags),
        Verb::Lsp(flags) => lsp(common, &flags),
        Verb::Status { json } => status(common, json),
        Verb::Connections { json } => connections(common, json),
        Verb::Refresh { force } => {
            let answer = client::post(&common.configuration()?.socket, "/v1/refresh", &Refresh { force })?;
            let messages: Vec<String> = serde_json::from_value(answer.get("messages").cloned().unwrap_or_default())?;
            print_lines(&messages)?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Stop { release } => stop(common, release),
        Verb::Init { special } => init(common, special.as_deref()),
        Verb::Demo(flags) => demo::run(&flags),
        Verb::Lab { words } => {
            let (program, words) = words.split_first().context("a program is needed")?;
            let error = std::os::unix::process::CommandExt::exec(lab::command(program)?.args(words));
            Err(error).context("unshare cannot be started")
        }
    }
}

fn run_daemon(common: &Common, takeover: bool, force: bool) -> anyhow::Result<ExitCode> {
    let configuration = common.configuration()?;
    let log = logging::start(configuration.log.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match runtime.block_on(daemon::run(configuration, log, takeover, force)) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            tracing::error!("EZZ8434I PAGENT EXITING ABNORMALLY: {error:#}");
            Ok(ExitCode::from(FAILED))
        }
    }
}

/// `pagent lsp`.
#[derive(Args)]
struct LspFlags {
    /// The main configuration file whose policy the edited files belong to: names in its other files are known then
    main: Option<PathBuf>,
    /// Standard input and output, the only transport (editors pass this flag)
    #[arg(long, hide = true)]
    stdio: bool,
}

fn lsp(common: &Common, flags: &LspFlags) -> anyhow::Result<ExitCode> {
    crate::lsp::serve(common.configuration()?, flags.main.clone())
}

fn status(common: &Common, json: bool) -> anyhow::Result<ExitCode> {
    let status = client::get(&common.configuration()?.socket, "/v1/status")?;
    if json {
        print_lines(&[serde_json::to_string_pretty(&status)?])?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = |pointer: &str| match status.pointer(pointer) {
        None | Some(serde_json::Value::Null) => "none".to_owned(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let installed = status.pointer("/policy/installed").and_then(serde_json::Value::as_i64);
    let installed = installed.and_then(|seconds| chrono::DateTime::from_timestamp(seconds, 0)).map_or_else(
        || "never".to_owned(),
        |time| time.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M:%S").to_string(),
    );
    let files = status.pointer("/policy/files").and_then(serde_json::Value::as_array).into_iter().flatten();
    let files: Vec<&str> = files.filter_map(|file| file.get("path").and_then(serde_json::Value::as_str)).collect();
    let predecessors = || {
        let pids = status.pointer("/predecessors").and_then(serde_json::Value::as_array).into_iter().flatten();
        let pids: Vec<String> = pids.map(|pid| format!("pid {pid}")).collect();
        if pids.is_empty() { "none".to_owned() } else { pids.join(", ") }
    };
    let mut lines = vec![
        format!(
            "pagent {} pid {}  system {}  stack {}",
            text("/version"),
            text("/pid"),
            text("/sysname"),
            text("/image")
        ),
        format!("policy installed {installed}: {} TTLS rules, {} zERT rules", text("/ttls_rules"), text("/zert_rules")),
        format!("files {}, looked at every {} seconds", files.join(", "), text("/policy/refresh_interval")),
        format!("connections carried now: {}", text("/active_connections")),
        format!("taken over from, still with connections: {}", predecessors()),
        format!(
            "FIPS 140-3 module: {}",
            if text("/fips_module") == "true" { "AWS-LC FIPS, in use" } else { "not in this program" }
        ),
        format!(
            "zERT: {} observed, {} reset, {} logged, {} lost",
            text("/zert/observed"),
            text("/zert/reset"),
            text("/zert/logged"),
            text("/zert/lost")
        ),
        format!("SMF records: {} written, {} lost", text("/smf_written"), text("/smf_lost")),
    ];
    for rule in status.pointer("/handshakes").and_then(serde_json::Value::as_array).into_iter().flatten() {
        let number = |name: &str| rule.get(name).and_then(serde_json::Value::as_u64).unwrap_or(0);
        let is = |name: &str| rule.get(name).and_then(serde_json::Value::as_bool) == Some(true);
        let fips = match (is("fips_asked"), is("fips")) {
            (false, _) => "",
            (true, true) => ", FIPS 140-3",
            (true, false) => ", FIPS 140-3 asked for, not all approved",
        };
        let (full, resumed) = (number("full"), number("resumed"));
        let ratio = (100 * resumed).checked_div(full + resumed).unwrap_or(0);
        let mut kept = format!("{} sessions kept", number("sessions"));
        if let Some(oldest) = rule.get("oldest").and_then(serde_json::Value::as_u64) {
            kept += &format!(", the oldest for {oldest} s");
        }
        if let Some(age) = rule.get("ticket_key_age").and_then(serde_json::Value::as_u64) {
            kept += &format!("; ticket key {age} s old");
        }
        lines.push(format!(
            "rule {}: {full} full handshakes, {resumed} resumed ({ratio} %); {kept}{fips}",
            rule.get("rule").and_then(serde_json::Value::as_str).unwrap_or_default(),
        ));
        if let Some(reason) = rule.get("closed").and_then(serde_json::Value::as_str) {
            lines.push(format!("  no handshakes are made: {reason}"));
        }
    }
    if let Some(refused) = status.pointer("/policy/refused").and_then(serde_json::Value::as_str) {
        lines.push("the last refresh installed nothing:".to_owned());
        lines.extend(refused.lines().map(str::to_owned));
    }
    print_lines(&lines)?;
    Ok(ExitCode::SUCCESS)
}

fn connections(common: &Common, json: bool) -> anyhow::Result<ExitCode> {
    let answer = client::get(&common.configuration()?.socket, "/v1/connections")?;
    if json {
        print_lines(&[serde_json::to_string_pretty(&answer)?])?;
    } else {
        let sessions: Vec<SessionView> = serde_json::from_value(answer)?;
        print_lines(&report::sessions(&sessions))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn stop(common: &Common, release: bool) -> anyhow::Result<ExitCode> {
    let configuration = common.configuration()?;
    let answer = client::post(&configuration.socket, "/v1/stop", &Stop { release });
    match answer {
        Ok(_) if release => print_lines(&["pagent stops; its capture rules are removed".to_owned()])?,
        Ok(_) => print_lines(&["pagent stops; what the policy protects is refused until it runs again".to_owned()])?,
        // No daemon, and the rules of the last one refuse: whoever may change the kernel's rules may open.
        Err(error) if release && error.downcast_ref::<client::Refused>().is_none() => {
            daemon::release(&configuration)?;
            print_lines(&["no pagent runs; its capture rules are removed".to_owned()])?;
        }
        Err(error) => return Err(error),
    }
    Ok(ExitCode::SUCCESS)
}

fn init(common: &Common, special: Option<&str>) -> anyhow::Result<ExitCode> {
    let configuration = common.configuration()?;
    let special = match special {
        Some(name) => name.to_owned(),
        None => stack::owner::userid(nix::unistd::getuid().as_raw())
            .context("your login name is no user id (1 to 8 letters and digits); name one with --special")?,
    };
    let special = Userid::parse(&special)
        .ok_or_else(|| anyhow!("`{special}` is no user id: expected 1 to 8 characters A-Z 0-9 @ # $"))?;
    let made = |path: &PathBuf| format!("{} cannot be made", path.display());
    std::fs::create_dir_all(&configuration.state).with_context(|| made(&configuration.state))?;
    // Keys and the database are for the daemon's user only.
    let private = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o700);
    std::fs::set_permissions(&configuration.state, private).with_context(|| made(&configuration.state))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(Saf::initialise(&configuration.saf_url(), &special))?;
    let mut lines = vec![format!("state folder {}", configuration.state.display())];
    if done.is_empty() {
        lines.push(format!(
            "the SAF database {} was there before and is unchanged",
            ::saf::shown_url(&configuration.saf_url())
        ));
    }
    lines.extend(done);
    print_lines(&lines)?;
    Ok(ExitCode::SUCCESS)
}
