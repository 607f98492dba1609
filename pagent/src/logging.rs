//! The daemon's log: on standard error, its level from `pagent.toml`, or else from the policy's `LogLevel`.

use anyhow::Context as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// What is logged before a policy says otherwise.
const DEFAULT: &str = "info";

/// Changes the level while the daemon runs.
pub(crate) struct LogControl {
    handle: Option<reload::Handle<EnvFilter, Registry>>,
}

/// Starts logging. A level that is configured stays whatever policies say.
pub(crate) fn start(configured: Option<&str>) -> anyhow::Result<LogControl> {
    let text = configured.unwrap_or(DEFAULT);
    let filter =
        EnvFilter::try_new(text).with_context(|| format!("`log` is `{text}`, no filter that tracing knows"))?;
    let (filter, handle) = reload::Layer::new(filter);
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::registry().with(filter).with(fmt::layer().with_writer(std::io::stderr).with_ansi(ansi)).init();
    Ok(LogControl { handle: configured.is_none().then_some(handle) })
}

impl LogControl {
    /// Puts a policy's `LogLevel` in force; without one the default.
    pub(crate) fn set(&self, log_level: Option<u32>) {
        let Some(handle) = &self.handle else { return };
        let text = log_level.map_or(DEFAULT, level);
        // Who did what, and what enforcement did to whom, is logged whatever a policy says.
        let filter = EnvFilter::new(format!("{text},audit=info,zert::monitor::enforcement=info"));
        if let Err(error) = handle.reload(filter) {
            tracing::warn!(%error, "the log level could not be changed");
        }
    }
}

/// The level that shows what a sum of LogLevel's bits asks for: 1 SYSERR, 2 OBJERR, 4 PROTERR, 8 WARNING, 16 EVENT,
/// 32 ACTION, 64 INFO, 128 ACNTING, 256 TRACE.
fn level(bits: u32) -> &'static str {
    match bits {
        256.. => "debug",
        16..=255 => "info",
        8..=15 => "warn",
        0..=7 => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_bits_is_as_loud_as_its_loudest() {
        assert_eq!([511, 31, 15, 7, 0].map(level), ["debug", "info", "warn", "error", "error"]);
    }
}
