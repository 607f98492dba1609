//! What a process takes: its memory and its descriptors, as /proc has them.

use std::fs;

/// Proportional set size in KiB: its own pages, and its share of those it has in common with others.
pub(crate) fn pss(pid: i32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kib.ok_or_else(|| anyhow::anyhow!("no Pss in {text}"))?.parse()?)
}

/// How many descriptors are open.
pub(crate) fn descriptors(pid: i32) -> anyhow::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}
