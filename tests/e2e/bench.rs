//! The benchmark works. What its figures are is not looked at.

use std::process::Command;

use pagent::lab::Lab;
use serde_json::Value;

#[test]
fn the_benchmark_measures_listener_capture_and_forwarder_in_both_roles() -> anyhow::Result<()> {
    let lab = Lab::new()?;
    let own = std::env::current_exe()?;
    let build = own.ancestors().nth(2).ok_or_else(|| anyhow::anyhow!("the tests lie nowhere"))?;
    let (program, out) = (lab.programs(build)?.join("bench"), lab.folder().join("bench.jsonl"));
    let output = Command::new(program)
        .args(["--quick", "--contestants", "ours-listen,ours-captured,forward", "--n", "10"])
        .args(["--scenarios", "full", "resumed", "up-1", "down-1", "latency", "--out"])
        .arg(&out)
        .output()?;
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    assert!(report.contains("| server | ours-listen | ours-captured | forward |"), "{report}");
    let text = std::fs::read_to_string(&out)?;
    let rows: Vec<Value> = text.lines().skip(1).map(serde_json::from_str).collect::<Result<_, _>>()?;
    for role in ["server", "client"] {
        for (work, ours) in [("full", (10, 0)), ("resumed", (0, 10))] {
            for contestant in ["ours-listen", "ours-captured"] {
                let scenario = format!("{role}/{work}");
                let row = rows.iter().find(|row| row["scenario"] == *scenario && row["contestant"] == contestant);
                let measured =
                    &row.ok_or_else(|| anyhow::anyhow!("{scenario} {contestant} is not in {text}"))?["measured"];
                assert_eq!((&measured["full"], &measured["resumed"]), (&ours.0.into(), &ours.1.into()), "{text}");
                assert!(measured["cpu_seconds"].as_f64() > Some(0.0), "{text}");
            }
        }
        for work in ["up-1", "down-1", "latency"] {
            let scenario = format!("{role}/{work}");
            let measured = rows.iter().filter(|row| row["scenario"] == *scenario && row["measured"].is_object());
            let contestants: Vec<_> = measured.filter_map(|row| row["contestant"].as_str()).collect();
            assert!(contestants.starts_with(&["ours-listen", "ours-captured", "forward"]), "{scenario}: {text}");
        }
    }
    Ok(())
}
