//! `pagent`: the daemon and the policy author's tools.

use std::path::PathBuf;
use std::process::ExitCode;

use ::saf::{Saf, Userid};
use anyhow::{Context as _, anyhow};
use clap::{Parser, Subcommand};
use policies::{Severity, diagnostic};
use tracing_subscriber::EnvFilter;

use super::demo::{self, DemoFlags};
use super::{Common, FAILED, finish, print_lines};
use crate::client;
use crate::control::Stop;
use crate::daemon;
use crate::lab;
use crate::policy_files;
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
    Run,
    /// Checks policy files; needs no daemon and no privilege
    Check {
        /// Main configuration files or policy files
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Exit with 1 when there are warnings
        #[arg(long)]
        strict: bool,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
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
    Refresh,
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
        Verb::Run => run_daemon(common),
        Verb::Check { files, strict, json } => check(common, &files, strict, json),
        Verb::Status { json } => status(common, json),
        Verb::Connections { json } => connections(common, json),
        Verb::Refresh => {
            let answer = client::post(&common.configuration()?.socket, "/v1/refresh", &())?;
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

fn run_daemon(common: &Common) -> anyhow::Result<ExitCode> {
    let configuration = common.configuration()?;
    let filter = EnvFilter::try_new(&configuration.log)
        .with_context(|| format!("`log` is `{}`, no filter that tracing knows", configuration.log))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match runtime.block_on(daemon::run(configuration)) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            tracing::error!("EZZ8434I PAGENT EXITING ABNORMALLY: {error:#}");
            Ok(ExitCode::from(FAILED))
        }
    }
}

fn check(common: &Common, files: &[PathBuf], strict: bool, json: bool) -> anyhow::Result<ExitCode> {
    let image = common.configuration()?.image;
    let (mut errors, mut warnings) = (0, 0);
    let mut reports = Vec::new();
    for file in files {
        let loaded = policy_files::load(file, &image)?;
        for found in &loaded.diagnostics {
            match found.severity() {
                Severity::Error => errors += 1,
                Severity::Warning => warnings += 1,
            }
        }
        if json {
            for found in &loaded.diagnostics {
                reports.push(serde_json::to_value(found.report())?);
            }
        } else {
            eprint!("{}", diagnostic::render(&loaded.diagnostics));
            print_lines(&[format!(
                "{}: {} TTLS rules, {} zERT rules",
                file.display(),
                loaded.policy.ttls.len(),
                loaded.policy.zert.len()
            )])?;
        }
    }
    if json {
        print_lines(&[serde_json::to_string_pretty(&reports)?])?;
    } else if errors + warnings > 0 {
        eprintln!("{errors} errors, {warnings} warnings");
    }
    Ok(ExitCode::from(match (errors, warnings) {
        (0, 0) => 0,
        (0, _) => u8::from(strict),
        _ => 2,
    }))
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
    let mut lines = vec![
        format!(
            "pagent {} pid {}  system {}  stack {}",
            text("/version"),
            text("/pid"),
            text("/sysname"),
            text("/image")
        ),
        format!("policy installed {installed}: {} TTLS rules, {} zERT rules", text("/ttls_rules"), text("/zert_rules")),
        format!("files {}", text("/policy/files")),
        format!("connections carried now: {}", text("/active_connections")),
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
        lines.push(format!(
            "rule {}: {} full handshakes, {} resumed",
            rule.get("rule").and_then(serde_json::Value::as_str).unwrap_or_default(),
            number("full"),
            number("resumed")
        ));
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
            ttls::release(&configuration.boot_file())?;
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
    let rings = configuration.rings();
    std::fs::create_dir_all(&rings).with_context(|| made(&rings))?;
    // Keys and the database are for the daemon's user only.
    let private = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o700);
    std::fs::set_permissions(&configuration.state, private).with_context(|| made(&configuration.state))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(Saf::initialise(&configuration.saf_url(), &special))?;
    let mut lines = vec![format!("state folder {}, key rings in {}", configuration.state.display(), rings.display())];
    if done.is_empty() {
        lines.push(format!("the SAF database {} was there before and is unchanged", configuration.saf_url()));
    }
    lines.extend(done);
    print_lines(&lines)?;
    Ok(ExitCode::SUCCESS)
}
