//! What a tree of processes has used: CPU time and memory.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

/// The kernel counts the time of children that have ended in these.
const TICK: Duration = Duration::from_millis(10);

/// A process and its descendants.
pub(crate) fn tree(root: i32) -> anyhow::Result<Vec<i32>> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse() else { continue };
        // It may be gone already.
        let Some(parent) = stat(pid).and_then(|fields| fields.get(1)?.parse().ok()) else { continue };
        children.entry(parent).or_default().push(pid);
    }
    let mut found = vec![root];
    let mut at = 0;
    while let Some(pid) = found.get(at) {
        found.extend(children.remove(pid).unwrap_or_default());
        at += 1;
    }
    Ok(found)
}

/// The CPU time of a tree so far: each process's own clock, which includes threads that have ended, and the children
/// it has waited for.
pub(crate) fn cpu(root: i32) -> anyhow::Result<Duration> {
    // Children first: one that ends meanwhile is in its parent's count by then.
    let used = tree(root)?.into_iter().rev().filter_map(|pid| Some(clock(pid)? + waited_for(pid))).sum();
    clock(root).with_context(|| format!("process {root} has ended"))?;
    Ok(used)
}

/// The memory of a tree in KiB: pages shared with others count in part (Pss).
pub(crate) fn memory(root: i32) -> anyhow::Result<u64> {
    let held = tree(root)?.into_iter().filter_map(pss).sum();
    pss(root).with_context(|| format!("process {root} has ended"))?;
    Ok(held)
}

fn clock(pid: i32) -> Option<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid)).ok()?;
    Some(clock.now().ok()?.into())
}

/// `cutime` and `cstime`.
fn waited_for(pid: i32) -> Duration {
    let fields = stat(pid).unwrap_or_default();
    let ticks = [13, 14].into_iter().filter_map(|at| fields.get(at)?.parse::<u32>().ok()).sum();
    TICK * ticks
}

/// /proc/PID/stat behind the program's name: state, parent, and so on.
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind) = text.rsplit_once(") ")?;
    Some(behind.split(' ').map(str::to_owned).collect())
}

fn pss(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn children_belong_to_the_tree_and_their_time_to_its_time() {
        let own = std::process::id().cast_signed();
        let busy = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo done; read line";
        let mut child = Command::new("sh")
            .args(["-c", busy])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        let mut said = [0; 5];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
        let pid = child.id().cast_signed();
        assert!(tree(own).unwrap().contains(&pid));
        let its = cpu(pid).unwrap();
        assert!(its > Duration::from_millis(1) && cpu(own).unwrap() > its, "{its:?}");
        assert!(memory(pid).unwrap() > 0);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!tree(own).unwrap().contains(&pid));
        assert!(cpu(pid).is_err() && memory(pid).is_err());
    }
}
