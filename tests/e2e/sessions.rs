//! Several sessions on one connection.

use pagent::lab::Capture;
use serde_json::Value;

use crate::inventory::{PYTHON, SMTP};
use crate::network::{HOST, Network};

/// A mail in clear text, then TLS, then another mail.
const CLIENT: &str = "
import smtplib, ssl, sys
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
mail = smtplib.SMTP(sys.argv[1], 25, timeout=5)
mail.sendmail('a@example', ['b@example'], 'Subject: one')
mail.starttls(context=context)
mail.sendmail('a@example', ['b@example'], 'Subject: two')
mail.quit()
";

#[test]
fn tls_that_follows_clear_text_is_a_change_and_judged_anew() -> anyhow::Result<()> {
    let network = Network::new()?;
    let pem = network.server_pem()?;
    let _server = network.host.serve(25, PYTHON, &["-u", "-c", SMTP, &pem])?;
    let mut agent = network.agent(&network.host)?;
    agent.policy(
        "zERTPolicyRule R\n{\nLocalPortRange 25\nzERTPolicyActionRef A\n}\n\
         zERTPolicyAction A\n{\nAction Log\nProtocol TLS\nMinimumVersion TLSv1.2\n}\n",
    )?;
    agent.start()?;
    let mut wire = Capture::start(&network.peer, network.lab.folder(), "wire")?;
    network.peer.succeed(PYTHON, &["-c", CLIENT, HOST[0]])?;
    let ended =
        |records: &[Value]| records.iter().any(|record| record.pointer("/common/event") == Some(&"Termination".into()));
    agent.records_when("the connection has ended", ended)?;
    // The first fell short, the second did not.
    agent.says_times("EZZ8583I Connection logged by ZERT Policy Enforcement", 1)?;
    assert!(!agent.log().contains("secproto= TLS"));
    agent.stop()?;
    let records = agent.records()?;
    let told: Vec<(&str, u64)> = records
        .iter()
        .filter(|record| record["header"]["subtype"] == 11 && record["common"]["connection_id"] != 0)
        .map(|record| {
            let event = record["common"]["event"].as_str().unwrap_or_default();
            (event, record["common"]["protocols"].as_u64().unwrap_or_default())
        })
        .collect();
    assert_eq!(told, [("Initiation", 0), ("Change", 0x80), ("Termination", 0x80)]);
    let change = records.iter().find(|record| record["common"]["event"] == "Change");
    assert_eq!(change.map(|change| &change["tls"]["version"]), Some(&0x0304.into()));
    // Each of the two sessions had it for a part of its life.
    let partial: u64 = records
        .iter()
        .filter(|record| record["header"]["subtype"] == 12)
        .filter_map(|record| record["common"]["ended"]["partial"].as_u64())
        .sum();
    assert_eq!(partial, 2);
    // A capture of it says the same.
    wire.stop()?;
    let line = agent.succeed("zert", &["replay", &wire.file().display().to_string()])?;
    assert!(line.contains(":25  none, then TLSv1.3 TLS_AES_256_GCM_SHA384"), "{line}");
    Ok(())
}
