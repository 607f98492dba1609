//! What a process takes: its memory and its descriptors, as /proc has them.

use std::fs;

/// Anonymous memory in KiB, its share where it has some in common with others. The program's file is not in it: how much of
/// that counts for one daemon changes as others come and go.
pub(crate) fn memory(pid: i32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss_Anon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kib.ok_or_else(|| anyhow::anyhow!("no Pss_Anon in {text}"))?.parse()?)
}

/// How many descriptors are open.
pub(crate) fn descriptors(pid: i32) -> anyhow::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}
