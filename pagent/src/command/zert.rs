//! `zert`: observation without the daemon.

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

use ::zert::Protection;
use ::zert::judge::version_name;
use ::zert::replay::replay;
use anyhow::Context as _;
use clap::{Parser, Subcommand};
use policies::{cipher, group};

use super::{Common, finish, print_lines};

/// Cryptographic protection of connections.
#[derive(Parser)]
#[command(name = "zert", version)]
struct Flags {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Reads a capture file (pcap, pcapng) through the code that watches live connections
    Replay {
        /// The capture
        file: PathBuf,
        /// One JSON object a connection and line
        #[arg(long)]
        json: bool,
    },
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    finish(run(&Flags::parse()))
}

fn run(flags: &Flags) -> anyhow::Result<ExitCode> {
    let Verb::Replay { file, json } = &flags.verb;
    let context = || format!("{} cannot be replayed", file.display());
    let found = replay(File::open(file).with_context(context)?).with_context(context)?;
    for connection in &found {
        if *json {
            print_lines(&[serde_json::to_string(connection)?])?;
            continue;
        }
        let protection = match &connection.protection {
            Protection::Undetermined => "undetermined".to_owned(),
            Protection::None => "none".to_owned(),
            Protection::Ssh => "SSH".to_owned(),
            Protection::Tls(handshake) if handshake.version == 0 => "TLS, handshake failed".to_owned(),
            Protection::Tls(handshake) => {
                let resumed = if handshake.resumed == Some(true) { " resumed" } else { "" };
                let group = handshake.group.map(|code| format!(" {}", group::name(code))).unwrap_or_default();
                format!("{} {}{group}{resumed}", version_name(handshake.version), cipher::name(handshake.suite))
            }
        };
        print_lines(&[format!("{} -> {}  {protection}", connection.key.client, connection.key.server)])?;
    }
    Ok(ExitCode::SUCCESS)
}
