//! FTP transfers (SMF 119-3 and 119-70), and data connections tied to their control connections, with vsftpd and curl.

use pagent::lab::Agent;
use serde_json::Value;

use crate::ftp::{Curl, content, vsftpd};
use crate::network::{HOST, Network, PEER, rule, with};

fn of(records: &[Value], subtype: u64) -> Vec<&Value> {
    records.iter().filter(|record| record.pointer("/header/subtype") == Some(&subtype.into())).collect()
}

fn text<'a>(record: &'a Value, pointer: &str) -> &'a str {
    record.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Each transfer: command, bytes, protection of control and of data, mechanism.
fn transfers(records: &[Value], subtype: u64) -> Vec<(String, u64, String)> {
    let mut found: Vec<_> = of(records, subtype)
        .into_iter()
        .map(|record| {
            let level = |name: &str| text(record, &format!("/transfer/security/{name}"));
            let bytes = record.pointer("/transfer/bytes").and_then(Value::as_u64).unwrap_or_default();
            let protection = format!("{}{}{}", level("mechanism"), level("control"), level("data"));
            (text(record, "/transfer/command").to_owned(), bytes, protection)
        })
        .collect();
    found.sort();
    found
}

/// Fetches the file, puts it, names it anew, deletes it; passive and active.
fn use_it(curl: &Curl<'_>, more: &[&str]) -> anyhow::Result<()> {
    let folder = curl.network.lab.folder();
    let local = folder.join("got").to_string_lossy().into_owned();
    let mut steps: Vec<Vec<&str>> = vec![vec!["-o", &local]];
    steps.push(vec!["-T", &local, "-Q", "-RNFR put", "-Q", "-RNTO other", "-Q", "-DELE other"]);
    for (step, url) in steps.iter().zip(["file", "up/put"]) {
        let output = curl.run(url, &[more, step].concat())?;
        assert!(output.status.success(), "{step:?} {output:?}");
    }
    Ok(())
}

fn expected(protection: &str) -> Vec<(String, u64, String)> {
    let length = content().len() as u64;
    // What moves no data has none that is protected.
    let control = protection.get(..2).unwrap_or_default();
    [
        ("DELE", 0, format!("{control}N")),
        ("RETR", length, protection.to_owned()),
        ("RNTO", 0, format!("{control}N")),
        ("STOR", length, protection.to_owned()),
    ]
    .map(|(command, bytes, protection)| (command.to_owned(), bytes, protection))
    .to_vec()
}

fn twice(mut once: Vec<(String, u64, String)>) -> Vec<(String, u64, String)> {
    once.extend(once.clone());
    once.sort();
    once
}

/// The data connections that ended, of a server's control port.
fn data_of(records: &[Value], port: u64) -> Vec<&Value> {
    let ended = |record: &&Value| text(record, "/common/event").ends_with("Termination");
    let of_port = |record: &&Value| record.pointer("/common/data_of/port") == Some(&port.into());
    of(records, 11).into_iter().filter(ended).filter(of_port).collect()
}

fn curl<'a>(network: &'a Network, host: &'a pagent::lab::Host, address: &str) -> Curl<'a> {
    let words = ["--resolve", &format!("server.example:21:{address}")].map(str::to_owned).to_vec();
    Curl { network, host, words }
}

#[test]
fn transfers_in_clear_text_are_recorded_by_both_ends() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _server = vsftpd(&network, &network.host, "")?;
    let _other = vsftpd(&network, &network.peer, "")?;
    let mut agent = network.agent(&network.host)?;
    agent.policy("")?;
    agent.start()?;
    for (subtype, host, address) in [(70, &network.peer, HOST[0]), (3, &network.host, PEER[1])] {
        let curl = curl(&network, host, address);
        use_it(&curl, &[])?;
        use_it(&curl, &["-P", "-"])?;
        let mut all = twice(expected("NCC"));
        if subtype == 3 {
            // A client tells of what moves data.
            all.retain(|(command, ..)| !matches!(command.as_str(), "DELE" | "RNTO"));
        }
        let records =
            agent.records_when("the transfers are recorded", |records| of(records, subtype).len() >= all.len())?;
        assert_eq!(transfers(&records, subtype), all);
        for record in of(&records, subtype) {
            let control = record["transfer"]["control"].as_array().map(Vec::as_slice).unwrap_or_default();
            let server = control.get(usize::from(subtype == 70)).and_then(Value::as_str).unwrap_or_default();
            assert!(server.ends_with(":21"), "{record:#}");
            // The server's record has eight characters for the user.
            let user = if subtype == 70 { "anonymou" } else { "anonymous" };
            assert_eq!((text(record, "/transfer/user"), text(record, "/transfer/data_type")), (user, "I"));
        }
    }
    agent.stop()?;
    let records = agent.records()?;
    // Two transfers and their lists, in two modes: each data connection names its control connection.
    let data = data_of(&records, 21);
    assert_eq!(data.len(), 8, "{data:#?}");
    let controls: Vec<u64> =
        data.iter().filter_map(|record| record["common"]["data_of"]["connection_id"].as_u64()).collect();
    assert!(controls.iter().all(|id| *id != 0));
    // One session of passive ones, one of active ones, at each end.
    let sessions: Vec<(u64, u64, &str)> = of(&records, 12)
        .into_iter()
        .filter(|record| text(record, "/common/userid") == "*FTPUSR*")
        .map(|record| {
            let port = |at: usize| record["common"]["ports"][at].as_u64().unwrap_or_default();
            (port(0), port(1), text(record, "/common/role"))
        })
        .collect();
    let mut sorted = sessions.clone();
    sorted.sort_unstable();
    // One whose job nobody has found in time is another session.
    sorted.dedup();
    let all = [(20, 20, "Client"), (20, 20, "Server"), (1024, 65535, "Client"), (1024, 65535, "Server")];
    assert_eq!(sorted, all, "{sessions:?}");
    let list = agent.succeed("smf", &["list"])?;
    assert!(
        list.contains("SMF 119-70 FTP server transfer") && list.contains("command     RETR file  reply 226"),
        "{list}"
    );
    let csv = agent.succeed("smf", &["csv", "--of", "transfers"])?;
    assert_eq!((csv.lines().count(), csv.matches(",client,STOR,").count()), (1 + 8 + 4, 2), "{csv}");
    Ok(())
}

#[test]
fn data_connections_of_ftps_are_tied_to_their_control_connection() -> anyhow::Result<()> {
    let network = Network::new()?;
    let pem = network.server_pem()?;
    let ftps = format!(
        "ssl_enable=YES\nallow_anon_ssl=YES\nforce_anon_data_ssl=NO\nrequire_ssl_reuse=NO\nssl_ciphers=HIGH\nrsa_cert_file={pem}"
    );
    let _server = vsftpd(&network, &network.host, &ftps)?;
    let _web = network.web(&network.host, 8080, "come in")?;
    let mut agent = network.agent(&network.host)?;
    agent.policy("")?;
    agent.start()?;
    let curl = curl(&network, &network.peer, HOST[0]);
    let local = network.lab.folder().join("got").to_string_lossy().into_owned();
    // Beside it something else between the same hosts, on a port of another server.
    let slowly = ["-k", "--ssl-reqd", "--limit-rate", "4M", "-o", &local];
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let slow = scope.spawn(|| curl.run("file", &slowly));
        std::thread::sleep(std::time::Duration::from_millis(500));
        network.peer.succeed("curl", &["-sS", "-m", "5", &format!("http://{}:8080/", HOST[0])])?;
        let fetched = slow.join().map_err(|_| anyhow::anyhow!("a thread ended"))??;
        assert!(fetched.status.success(), "{fetched:?}");
        Ok(())
    })?;
    let records = agent.records_when("both of its connections have ended", |records| {
        let control = of(records, 2).into_iter().any(|record| text(record, "/connection/local").ends_with(":21"));
        control && !data_of(records, 21).is_empty()
    })?;
    let data = data_of(&records, 21);
    assert_eq!(data.len(), 1, "{data:#?}");
    assert_eq!(data[0]["common"]["protocols"], 0x80);
    assert!(data[0]["common"]["bytes_out"].as_u64() > Some(content().len() as u64));
    let control = of(&records, 11).into_iter().find(|record| text(record, "/common/local").ends_with(":21"));
    assert_eq!(
        control.map(|control| &control["common"]["connection_id"]),
        Some(&data[0]["common"]["data_of"]["connection_id"])
    );
    // In clear text, though the login was not: the evidence of the port says so.
    let clear = ["-k", "--ftp-ssl-control", "--limit-rate", "8M", "-o", &local];
    let fetched = curl.run("file", &clear)?;
    assert!(fetched.status.success(), "{fetched:?}");
    agent.records_when("that one has ended too", |records| data_of(records, 21).len() == 2)?;
    let report = evidence(&agent)?;
    assert!(report.contains("in clear"), "{report}");
    Ok(())
}

fn evidence(agent: &Agent) -> anyhow::Result<String> {
    let mut report = String::new();
    pagent::lab::wait_until("the history has it", || {
        report = agent.succeed("zert", &["report", "ftps", "--port", "21"])?;
        Ok(report.contains("in clear"))
    })?;
    Ok(report)
}

#[test]
fn transfers_behind_at_tls_are_recorded_with_their_protection() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    let inbound = rule("FTP", "LocalPortRange 21\nDirection Inbound", "Server", "$RINGS/RING");
    agent.install(&with(&inbound, "TTLSEnvironmentAdvancedParms", "Negotiate ftp"))?;
    let _server = vsftpd(&network, &network.host, "")?;
    let curl = curl(&network, &network.peer, HOST[1]);
    use_it(&curl, &["-k", "--ssl-reqd", "--tlsv1.3"])?;
    let records = agent.records_when("the transfers are recorded", |records| of(records, 70).len() >= 4)?;
    assert_eq!(transfers(&records, 70), expected("APP"));
    let stored = of(&records, 70).into_iter().find(|record| record["transfer"]["command"] == "STOR");
    let security = stored.map(|stored| &stored["transfer"]["security"]);
    assert_eq!(
        security.map(|security| (&security["version"], &security["cipher"])),
        Some((&"TLSV1.3".into(), &"1302".into()))
    );
    let data = data_of(&records, 21);
    assert!(data.len() >= 2 && data.iter().all(|record| record["common"]["protocols"] == 0x80), "{data:#?}");
    Ok(())
}
