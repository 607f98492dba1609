//! The commands, one module a program. Each is a thin shell: flags, a request, lines.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "only commands print")]

mod author;
pub mod console;
mod demo;
pub mod pagent;
pub mod pasearch;
mod saf;
pub mod smf;
pub mod tso;
pub mod zert;

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use crate::client::Refused;
use crate::configuration::Configuration;

/// Exit code of a command that was refused by SAF.
const REFUSED: u8 = 8;
/// Exit code of a command that failed.
const FAILED: u8 = 12;

/// The flag every command has.
#[derive(Args, Clone, Debug)]
struct Common {
    /// The configuration file [default: /etc/pagent/pagent.toml, if it is there]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

impl Common {
    fn configuration(&self) -> anyhow::Result<Configuration> {
        Configuration::load(self.config.as_deref())
    }
}

/// Runs a command's body: messages to stderr, 8 for a refusal, 12 for a failure.
fn finish(result: anyhow::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) => match error.downcast_ref::<Refused>() {
            Some(refused) => {
                print_stderr(format_args!("{}\n", refused.message));
                ExitCode::from(if refused.forbidden { REFUSED } else { FAILED })
            }
            None => {
                print_stderr(format_args!("{error:#}\n"));
                ExitCode::from(FAILED)
            }
        },
    }
}

/// Prints lines to stdout.
fn print_lines(lines: &[String]) -> anyhow::Result<()> {
    print_text(&lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>())
}

/// Prints text to stdout. A reader that went away (`| head`) is no error, and changes no exit code.
fn print_text(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("the output cannot be written"),
        _ => Ok(()),
    }
}

/// Tells the user something on stderr. Where that cannot be written there is nobody to tell; the exit code stays.
fn print_stderr(text: impl fmt::Display) {
    let _ = io::stderr().write_all(text.to_string().as_bytes());
}

/// The next command: a line, and those that continue it. As TSO has it, `-` at a line's end joins the next one as it is, `+`
/// without its leading blanks.
fn read_command(input: &mut impl io::BufRead) -> io::Result<Option<String>> {
    let (mut command, mut without_blanks) = (String::new(), true);
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(Some(command).filter(|command| !command.is_empty()));
        }
        let line = line.trim_end();
        let line = if without_blanks { line.trim_start() } else { line };
        without_blanks = line.ends_with('+');
        match (line.strip_suffix('-'), line.strip_suffix('+')) {
            (Some(begun), _) => command.push_str(begun),
            (_, Some(begun)) => {
                command.push_str(begun.trim_end());
                command.push(' ');
            }
            _ => {
                command.push_str(line);
                return Ok(Some(command));
            }
        }
    }
}

/// Takes command lines to the daemon, which answers a code: the one on the command line, else those of stdin, with a prompt on a
/// terminal. The highest code wins.
fn send_lines(words: &[String], prompt: &str, send: impl Fn(&str) -> anyhow::Result<u8>) -> anyhow::Result<ExitCode> {
    if !words.is_empty() {
        return send(&words.join(" ")).map(ExitCode::from);
    }
    let mut code = 0;
    let terminal = io::stdin().is_terminal();
    loop {
        if terminal {
            print_stderr(prompt);
        }
        let Some(line) = read_command(&mut io::stdin().lock())? else { return Ok(ExitCode::from(code)) };
        let line = line.trim();
        if line.eq_ignore_ascii_case("logoff") || line.eq_ignore_ascii_case("end") {
            return Ok(ExitCode::from(code));
        }
        if line.is_empty() || line.starts_with("/*") {
            continue;
        }
        match send(line) {
            Ok(answer) => code = code.max(answer),
            // At a prompt a refusal is an answer like any other.
            Err(error) if error.downcast_ref::<Refused>().is_some() => {
                print_stderr(format_args!("{error}\n"));
                code = code.max(REFUSED);
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_go_on_over_lines() {
        let text = "ADDUSER A\nPERMIT X -\n  CLASS(SERVAUTH) +\n   ID(A)\n\nLISTUSER -";
        let mut input = text.as_bytes();
        let mut commands = Vec::new();
        while let Some(command) = read_command(&mut input).expect("text") {
            commands.push(command);
        }
        assert_eq!(commands, ["ADDUSER A", "PERMIT X   CLASS(SERVAUTH) ID(A)", "", "LISTUSER "]);
    }
}
