//! `tso`: TSO commands, one on the command line, or many from stdin at a READY prompt.
//!
//! Data sets that a command names are files of the caller's, which he reads and writes by his own rights: the daemon says which
//! it wants, and sends what it makes.

use std::fs::{self, File, OpenOptions};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::saf::DataSets;
use anyhow::{Context as _, bail};
use clap::Parser;

use super::{Common, finish, print_lines, send_lines};
use crate::client;
use crate::control::{TsoAnswer, TsoLine};

/// Certificates with their chains and keys are a hundredth of it.
const LONGEST: u64 = 1 << 20;

/// Runs RACF commands: ADDUSER, PERMIT, RACDCERT, RLIST, SETROPTS and their like, in full or by their short forms.
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
    finish(run(&flags))
}

fn run(flags: &Flags) -> anyhow::Result<ExitCode> {
    // Passwords of packages and private keys pass through here: no core dump, and no debugger of the same user's.
    nix::sys::prctl::set_dumpable(false).context("core dumps cannot be switched off")?;
    let socket = flags.common.configuration()?.socket;
    if flags.command.is_empty() && std::io::stdin().is_terminal() {
        let answer = client::post(&socket, "/v1/logon", &())?;
        print_lines(&serde_json::from_value::<Vec<String>>(answer.get("lines").cloned().unwrap_or_default())?)?;
    }
    send_lines(&flags.command, "READY\n", |line| send(&socket, line))
}

fn send(socket: &Path, line: &str) -> anyhow::Result<u8> {
    let mut inputs = DataSets::new();
    loop {
        let sent = TsoLine { line: line.to_owned(), inputs: inputs.clone() };
        let answer: TsoAnswer = serde_json::from_value(client::post(socket, "/v1/tso", &sent)?)?;
        if let Some(wanted) = answer.wants.filter(|wanted| !inputs.contains_key(wanted)) {
            let content = read(Path::new(&wanted))?;
            inputs.insert(wanted, content);
            continue;
        }
        for (name, content) in &answer.outputs {
            write(Path::new(name), content, answer.secret.contains(name))?;
        }
        print_lines(&answer.lines)?;
        return Ok(answer.code);
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let context = || format!("the data set {} cannot be read", path.display());
    let mut content = Vec::new();
    File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut content)).with_context(context)?;
    if u64::try_from(content.len()).is_ok_and(|length| length > LONGEST) {
        bail!("the data set {} has more than 1 MiB: it is no certificate", path.display());
    }
    Ok(content)
}

/// Writes a file, in the place of one that was there; what is no file (`/dev/stdout`) is written to.
fn write(path: &Path, content: &[u8], secret: bool) -> anyhow::Result<()> {
    let context = || format!("the data set {} cannot be written", path.display());
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        let mut file = OpenOptions::new().write(true).open(path).with_context(context)?;
        return file.write_all(content).with_context(context);
    }
    // A link is followed: what it leads to is replaced, not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut temporary = path.clone().into_os_string();
    temporary.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let mode = if secret { 0o600 } else { 0o644 };
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary);
    let written = file.and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()));
    let renamed = written.and_then(|()| fs::rename(&temporary, &path));
    if renamed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    renamed.with_context(context)
}
