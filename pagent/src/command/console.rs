//! `console`: operator commands.

use std::process::ExitCode;

use clap::Parser;

use super::{Common, finish, print_lines, send_lines};
use crate::client;
use crate::control::Line;

/// Runs operator commands: D TCPIP,…, V TCPIP,,….
#[derive(Parser)]
#[command(name = "console", version)]
struct Flags {
    #[command(flatten)]
    common: Common,
    /// The command; without one, commands are read from standard input
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let flags = Flags::parse();
    finish(run(&flags))
}

fn run(flags: &Flags) -> anyhow::Result<ExitCode> {
    let socket = flags.common.configuration()?.socket;
    send_lines(&flags.command, "> ", |line| {
        let answer = client::post(&socket, "/v1/console", &Line { line: line.to_owned() })?;
        let lines: Vec<String> = serde_json::from_value(answer.get("lines").cloned().unwrap_or_default())?;
        print_lines(&lines)?;
        let code = answer.get("code").and_then(serde_json::Value::as_u64);
        Ok(code.and_then(|code| code.try_into().ok()).unwrap_or(0))
    })
}
