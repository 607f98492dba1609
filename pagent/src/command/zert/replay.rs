//! `zert replay`: captures through the code that watches live connections.

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

use ::zert::Protection;
use ::zert::judge::version_name;
use ::zert::replay::{Replay, Replayed};
use ::zert::ssh::{Cipher, Ssh};
use ::zert::tls::Handshake;
use anyhow::Context as _;
use policies::{cipher, group};

use crate::command::print_lines;

/// What its flags say.
#[derive(clap::Args)]
pub(super) struct Flags {
    /// The capture; its next files, where it has several
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// One JSON object a connection and line
    #[arg(long)]
    json: bool,
}

/// Prints each connection of the captures.
pub(super) fn run(flags: &Flags) -> anyhow::Result<ExitCode> {
    let Flags { files, json } = flags;
    let mut replay = Replay::default();
    for file in files {
        let context = || format!("{} cannot be replayed", file.display());
        replay.read(File::open(file).with_context(context)?).with_context(context)?;
    }
    let lines: Vec<String> =
        replay.finish().iter().map(|connection| shown(connection, *json)).collect::<Result<_, _>>()?;
    print_lines(&lines)?;
    Ok(ExitCode::SUCCESS)
}

fn shown(connection: &Replayed, json: bool) -> anyhow::Result<String> {
    if json {
        return Ok(serde_json::to_string(connection)?);
    }
    let sessions: Vec<String> = connection.earlier.iter().chain([&connection.protection]).map(line).collect();
    Ok(format!("{} -> {}  {}", connection.key.client, connection.key.server, sessions.join(", then ")))
}

fn line(protection: &Protection) -> String {
    match protection {
        Protection::Undetermined => "undetermined".to_owned(),
        Protection::None => "none".to_owned(),
        Protection::Ssh(ssh) => ssh_line(ssh),
        Protection::Tls(handshake) => tls_line(handshake),
    }
}

/// `TLSv1.3 TLS_AES_128_GCM_SHA256 x25519 resumed`.
fn tls_line(handshake: &Handshake) -> String {
    if handshake.version == 0 {
        return "TLS, handshake failed".to_owned();
    }
    let resumed = if handshake.resumed == Some(true) { " resumed" } else { "" };
    let group = handshake.group.map(|code| format!(" {}", group::name(code))).unwrap_or_default();
    let suite = match handshake.ssl2_cipher {
        Some(cipher) => format!("{cipher:06X}"),
        None => cipher::name(handshake.suite),
    };
    format!("{} {suite}{group}{resumed}", version_name(handshake.version))
}

/// `SSH 2 curve25519-sha256 ssh-ed25519 aes128-ctr hmac-sha2-256`; both directions where they differ.
fn ssh_line(ssh: &Ssh) -> String {
    let cipher = |cipher: &Cipher| format!("{} {}", cipher.encryption, cipher.authentication).trim_end().to_owned();
    let (to_server, to_client) = (ssh.to_server.as_ref().map(cipher), ssh.to_client.as_ref().map(cipher));
    let back = to_client.filter(|back| Some(back) != to_server.as_ref()).map(|back| format!("/ {back}"));
    let words = [ssh.key_exchange.clone(), ssh.host_key.clone(), to_server, back];
    let failed = ssh.failed.then(|| "handshake failed".to_owned());
    let strict = ssh.strict.then(|| "strict".to_owned());
    let version = if ssh.version == 0 { "SSH".to_owned() } else { format!("SSH {}", ssh.version) };
    std::iter::once(version)
        .chain(words.into_iter().flatten())
        .chain(strict)
        .chain(failed)
        .collect::<Vec<_>>()
        .join(" ")
}
