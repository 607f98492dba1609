//! `pagent demo`.

use std::process::ExitCode;

use clap::Args;

/// Flags of `pagent demo`.
#[derive(Args, Debug)]
pub(super) struct DemoFlags {
    /// Already inside the demonstration's own namespaces
    #[arg(long, hide = true)]
    inside: bool,
}

pub(super) fn run(_flags: &DemoFlags) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
