//! The policy author's tools: `pagent check`, `explain`, `diff`, `coverage`, `fmt`. None needs the daemon or privileges.

mod check;
mod coverage;
mod diff;
mod explain;
mod fmt;

use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::{anyhow, bail};
use chrono::{DateTime, FixedOffset, Local, LocalResult, NaiveDateTime, TimeZone as _};
use clap::Args;
use policies::{Diagnostic, Loaded, Severity, diagnostic};

pub(super) use self::check::{CheckFlags, check};
pub(super) use self::coverage::{CoverageFlags, coverage};
pub(super) use self::diff::{DiffFlags, diff};
pub(super) use self::explain::{ExplainFlags, explain};
pub(super) use self::fmt::{FormatFlags, format};
use super::{Common, print_stderr};
use crate::policy_files;

/// Exit code of a tool whose input has errors.
const BROKEN: u8 = 2;

/// Which policy: flags of every tool that reads one.
#[derive(Args)]
pub(super) struct PolicyFlags {
    /// The stack whose policy is meant [default: the first that a TcpImage names; `check`: each]
    #[arg(long, value_name = "NAME")]
    image: Option<String>,
}

/// Loads files as one policy; prints its errors and gives none when there are some.
pub(super) fn load(common: &Common, files: &[PathBuf], flags: &PolicyFlags) -> anyhow::Result<Option<Loaded>> {
    let loaded = policy_files::load(files, &common.configuration()?, flags.image.as_deref(), None);
    if !loaded.has_errors() {
        return Ok(Some(loaded));
    }
    let errors: Vec<Diagnostic> =
        loaded.diagnostics.into_iter().filter(|found| found.severity() == Severity::Error).collect();
    print_stderr(diagnostic::render(&errors));
    if std::io::stderr().is_terminal() {
        print_stderr("the policy has errors; `pagent check` shows warnings too\n");
    }
    Ok(None)
}

pub(super) fn now_seconds() -> i64 {
    Local::now().timestamp()
}

/// A time with an offset, or by this machine's clock.
pub(super) fn read_time(text: &str) -> anyhow::Result<DateTime<FixedOffset>> {
    // Policies speak of this machine's clock, whatever offset the time is written with.
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.with_timezone(&Local).fixed_offset());
    }
    let naive = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .ok_or_else(|| anyhow!("expected `2026-05-01 14:00`, or with an offset `2026-05-01T14:00:00+02:00`"))?;
    match Local.from_local_datetime(&naive) {
        LocalResult::Single(time) => Ok(time.fixed_offset()),
        LocalResult::Ambiguous(first, second) => bail!(
            "this time comes twice, clocks are put back then; write `{}` or `{}`",
            first.format("%Y-%m-%dT%H:%M:%S%:z"),
            second.format("%Y-%m-%dT%H:%M:%S%:z")
        ),
        LocalResult::None => bail!("this time does not come, clocks are put forward then"),
    }
}
