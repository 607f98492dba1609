//! `tso`: TSO commands, one on the command line, or many from stdin at a READY prompt.

use std::process::ExitCode;

use clap::Parser;

use super::{Common, finish, send_lines};

/// Runs RACF commands: ADDUSER, PERMIT, RLIST, SETROPTS and their like, in full or by their short forms.
#[derive(Parser)]
#[command(name = "tso", version)]
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
    finish(send_lines(&flags.common, "/v1/tso", &flags.command, "READY\n"))
}
