//! `console`: operator commands.

use std::process::ExitCode;

use clap::Parser;

use super::{Common, finish, send_lines};

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
    finish(send_lines(&flags.common, "/v1/console", &flags.command, "> "))
}
