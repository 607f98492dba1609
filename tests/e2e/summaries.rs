//! SMF 119-12: what an interval counts of each security session, and that recording begins and ends.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::network::{HOST, Network, PEER};

fn of(records: &[Value], subtype: u16) -> Vec<&Value> {
    records
        .iter()
        .filter(|record| record.pointer("/header/subtype").and_then(Value::as_u64) == Some(subtype.into()))
        .collect()
}

#[test]
fn the_connections_of_a_session_are_summed_up_and_the_last_interval_is_not_lost() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _web = network.web(&network.host, 8080, "come in")?;
    let mut agent = network.agent(&network.host)?;
    agent.policy("")?;
    agent.start()?;
    for _ in 0..3 {
        let page = network.peer.succeed("curl", &["-sS", "-m", "5", &format!("http://{}:8080/", HOST[0])])?;
        assert_eq!(page, "come in");
        std::thread::sleep(Duration::from_secs(1));
    }
    agent.records_when("the connections have ended", |records| {
        of(records, 11).iter().filter(|record| record["common"]["event"] == "ShortTermination").count() == 3
    })?;
    agent.stop()?;
    let records = agent.records()?;
    let (details, summaries) = (of(&records, 11), of(&records, 12));
    let events = |records: &[&Value]| -> Vec<String> {
        records.iter().map(|record| record["common"]["event"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(
        (events(&details).first().map(String::as_str), events(&details).last().map(String::as_str)),
        (Some("Enabled"), Some("Disabled"))
    );
    // One may have ended before its job was found; from then on its listener's is known.
    let ended = details.iter().filter(|record| record["common"]["event"] == "ShortTermination");
    assert!(ended.filter(|record| record["common"]["jobname"] == "").count() <= 1, "{details:#?}");
    let names = events(&summaries);
    assert_eq!(
        (names.first().map(String::as_str), names.last().map(String::as_str)),
        (Some("Enabled"), Some("Disabled")),
        "{summaries:#?}"
    );
    let sessions: Vec<_> = summaries.iter().filter(|record| record["common"]["event"] == "Interval").collect();
    assert!(
        sessions.iter().all(|one| one["common"]["ports"][0] == 8080 && one["common"]["server"] == HOST[0]),
        "{sessions:#?}"
    );
    let sum = |name: &str| -> u64 { sessions.iter().filter_map(|one| one["common"]["ended"][name].as_u64()).sum() };
    assert_eq!((sum("connections"), sum("short"), sum("active")), (3, 3, 0));
    let bytes: u64 = details.iter().filter_map(|record| record["common"]["bytes_out"].as_u64()).sum();
    assert!(bytes > 3 * 7 && sum("bytes_out") == bytes, "{bytes} {sessions:#?}");
    // What the records say, counted, as a table, and as a day's dump.
    let table = agent.succeed("smf", &["summary"])?;
    let row: Vec<&str> = table.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    let sum = sum("bytes_in") + bytes;
    assert_eq!((row.first(), row.get(1)), (Some(&PEER[0]), Some(&"3")), "{table}");
    assert_eq!(row.last().and_then(|average| average.parse().ok()), Some(sum / 3), "{table}");
    let csv = agent.succeed("smf", &["csv"])?;
    assert!(csv.starts_with("written,system,event,") && csv.lines().count() == details.len() + 1, "{csv}");
    assert_eq!(csv.matches(",none recognized,").count(), details.len(), "{csv}");
    let csv = agent.succeed("smf", &["csv", "--of", "sessions"])?;
    assert_eq!(csv.lines().count(), sessions.len() + 1, "{csv}");
    let (job, day) = (agent.folder().join("job"), agent.folder().join("day.smf").display().to_string());
    fs::write(&job, "INDD(DUMPIN,OPTIONS(DUMP))\nOUTDD(DUMPOUT,TYPE(119(11)))\n/*\n")?;
    let words = ["dump", "--dd", &format!("DUMPOUT={day}"), &job.display().to_string()];
    let said = agent.succeed("smf", &words)?;
    assert!(said.contains(&format!("IFA020I RECORDS WRITTEN = {:010}", details.len())), "{said}");
    assert_eq!(agent.succeed("smf", &["json", &day])?.lines().count(), details.len());
    let again = agent.command("smf", &words).output()?;
    let stderr = String::from_utf8_lossy(&again.stderr);
    assert!(!again.status.success() && stderr.contains("a dump goes to a new file"), "{stderr}");
    let shown = agent.succeed("smf", &["list"])?;
    assert!(shown.contains("SMF 119-12 zERT summary") && shown.contains(" 0 up, "), "{shown}");
    Ok(())
}
