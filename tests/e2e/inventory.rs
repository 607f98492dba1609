//! Records of other people's programs, against what they say themselves and what tshark sees on the wire.

use std::collections::BTreeMap;

use pagent::lab::Capture;
use serde_json::Value;

use crate::ftp::vsftpd;
use crate::network::{HOST, Network};
use crate::postgres::{Server, psql};

pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// SMTP as far as a login, with STARTTLS.
pub(crate) const SMTP: &str = "
import socket, ssl, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
def serve(connection):
    connection.sendall(b'220 mail.example ESMTP\\r\\n')
    lines = connection.makefile('rb')
    while line := lines.readline().upper():
        if line.startswith(b'STARTTLS'):
            connection.sendall(b'220 go\\r\\n')
            connection = context.wrap_socket(connection, server_side=True)
            lines = connection.makefile('rb')
        elif line.startswith(b'EHLO'):
            connection.sendall(b'250-mail.example\\r\\n250 STARTTLS\\r\\n')
        elif line.startswith(b'DATA'):
            connection.sendall(b'354 go on\\r\\n')
            while lines.readline() != b'.\\r\\n': pass
            connection.sendall(b'250 taken\\r\\n')
        elif line.startswith(b'QUIT'):
            connection.sendall(b'221 bye\\r\\n')
            return
        else:
            connection.sendall(b'250 yes\\r\\n')
server = socket.create_server(('0.0.0.0', 25))
print('ready', flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
";

/// What is negotiated, as records and tshark both say it: version, suite, group.
type Said = (u64, u64, u64);

fn number(record: &Value, pointer: &str) -> u64 {
    record.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

/// By server port, the TLS of each connection that ended: 119-11 of the server's end.
fn recorded(records: &[Value]) -> BTreeMap<u64, Vec<Said>> {
    let mut found: BTreeMap<u64, Vec<Said>> = BTreeMap::new();
    for record in records.iter().filter(|record| record.pointer("/header/subtype") == Some(&11.into())) {
        let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let ended = matches!(text("/common/event").as_str(), "ShortTermination" | "Termination");
        if !ended || text("/common/role") != "Server" || record.get("tls").is_none_or(Value::is_null) {
            continue;
        }
        let port = text("/common/local").rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_default();
        let suite = u64::from_str_radix(&text("/tls/cipher"), 16).unwrap_or_default();
        found.entry(port).or_default().push((number(record, "/tls/version"), suite, number(record, "/tls/group")));
    }
    found.values_mut().for_each(|said| said.sort_unstable());
    found
}

/// The same by tshark.
fn seen(wire: &mut Capture) -> anyhow::Result<BTreeMap<u64, Vec<Said>>> {
    let fields = [
        "tcp.stream",
        "tcp.srcport",
        "tls.handshake.version",
        "tls.handshake.extensions.supported_version",
        "tls.handshake.ciphersuite",
        "tls.handshake.extensions_key_share_group",
        "tls.handshake.server_named_curve",
    ];
    let value = |text: &str| -> Option<u64> {
        let text = text.split(',').next_back()?;
        text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |digits| u64::from_str_radix(digits, 16).ok())
    };
    let mut streams: BTreeMap<u64, (u64, Said)> = BTreeMap::new();
    for line in wire.fields("tls.handshake.type == 2 || tls.handshake.type == 12", &fields)? {
        let values: Vec<Option<u64>> = line.split('\t').map(value).collect();
        let at = |at: usize| values.get(at).copied().flatten();
        let (Some(stream), Some(port)) = (at(0), at(1)) else { continue };
        let (_, said) = streams.entry(stream).or_insert((port, Said::default()));
        if let Some(suite) = at(4) {
            *said = (at(3).or(at(2)).unwrap_or_default(), suite, at(5).unwrap_or_default());
        }
        said.2 = at(6).unwrap_or(said.2);
    }
    let mut found: BTreeMap<u64, Vec<Said>> = BTreeMap::new();
    for (port, said) in streams.into_values() {
        found.entry(port).or_default().push(said);
    }
    found.values_mut().for_each(|said| said.sort_unstable());
    Ok(found)
}

#[test]
fn every_program_s_connections_have_the_record_that_tshark_and_they_agree_with() -> anyhow::Result<()> {
    let network = Network::new()?;
    let pem = network.server_pem()?;
    let tls = ["s_server", "-accept", "8443", "-cert", &pem, "-www", "-quiet", "-cipher", "ALL:@SECLEVEL=0"];
    let key = network.lab.folder().join("host.key").to_string_lossy().into_owned();
    network.host.succeed("dropbearkey", &["-t", "ed25519", "-f", &key])?;
    let ftps = format!(
        "ssl_enable=YES\nallow_anon_ssl=YES\nforce_anon_data_ssl=NO\nrequire_ssl_reuse=NO\nssl_ciphers=HIGH\nrsa_cert_file={pem}"
    );
    let _servers = [
        network.web(&network.host, 8080, "come in")?,
        network.host.serve(8443, "openssl", &tls)?,
        network.host.serve(25, PYTHON, &["-u", "-c", SMTP, &pem])?,
        network.host.serve(22, "dropbear", &["-F", "-E", "-r", &key, "-p", "22", "-P", ""])?,
        vsftpd(&network, &network.host, &ftps)?,
    ];
    let _database = Server::start(&network, &network.host, "ssl=on", "host all all all scram-sha-256\n")?;
    let mut agent = network.agent(&network.host)?;
    agent.policy("")?;
    agent.start()?;
    let mut wire = Capture::start(&network.peer, network.lab.folder(), "wire")?
        .decode_as("tcp.port==25,smtp")
        .decode_as("tcp.port==5432,pgsql")
        .decode_as("tcp.port==21,tls");

    // openssl, by its own words.
    let mut told: Vec<u64> = Vec::new();
    let address = format!("{}:8443", HOST[0]);
    for (flag, version) in [("-tls1", 0x0301), ("-tls1_1", 0x0302), ("-tls1_2", 0x0303), ("-tls1_3", 0x0304)] {
        let script = format!("echo | openssl s_client -connect {address} {flag} -cipher ALL:@SECLEVEL=0 2>&1");
        let said = network.peer.succeed("sh", &["-c", &script])?;
        let name = ["TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"][told.len()];
        let old = said.contains("Protocol  : TLSv1\n") && version == 0x0301;
        assert!(
            said.contains(&format!("Protocol  : {name}")) || said.contains(&format!("New, {name},")) || old,
            "{said}"
        );
        told.push(version);
    }
    let curl = |words: &[&str]| network.peer.succeed("curl", &[&["-sSk", "-m", "10"], words].concat());
    assert!(curl(&["--tls-max", "1.2", &format!("https://{address}/")])?.contains("TLSv1.2"));
    told.push(0x0303);
    assert_eq!(curl(&[&format!("http://{}:8080/", HOST[0])])?, "come in");
    let mail = network.lab.folder().join("mail");
    std::fs::write(&mail, "Subject: test\r\n\r\nhello\r\n")?;
    let mail = mail.to_string_lossy().into_owned();
    let smtp = format!("smtp://{}/client", HOST[0]);
    curl(&["--ssl-reqd", "--mail-from", "a@example", "--mail-rcpt", "b@example", "-T", &mail, &smtp])?;
    let back = network.lab.folder().join("back").to_string_lossy().into_owned();
    curl(&["--ssl-reqd", "--tls-max", "1.2", "-o", &back, &format!("ftp://{}/file", HOST[0])])?;
    curl(&["-o", &back, &format!("ftp://{}/file", HOST[0])])?;
    let database = format!("host={} user=postgres sslmode=require", HOST[0]);
    let output = psql(&network.peer, &database, "select version from pg_stat_ssl where pid = pg_backend_pid()")?;
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "TLSv1.3", "{output:?}");
    let options = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"];
    let output = network.peer.run("ssh", &[&options[..], &["-v", HOST[0], "true"]].concat())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("kex: algorithm: "), "{said}");

    let ended = |records: &[Value]| {
        let ports = [22_u64, 25, 21, 5432, 8080, 8443];
        let of = |port: u64| {
            let end = format!(":{port}");
            records
                .iter()
                .filter(|record| {
                    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
                    text("/common/event") == "ShortTermination" && text("/common/local").ends_with(&end)
                })
                .count()
        };
        ports.map(of) == [1, 1, 2, 1, 1, 5]
    };
    let records = agent.records_when("each connection has ended", ended)?;
    let theirs = seen(&mut wire)?;
    let ours = recorded(&records);
    assert_eq!(ours, theirs, "records, tshark");
    told.sort_unstable();
    let versions: Vec<u64> = ours.get(&8443).into_iter().flatten().map(|said| said.0).collect();
    assert_eq!(versions, told, "records, openssl and curl");
    // FTP's control connection under AUTH TLS and its data connection under PROT P; in clear the other time.
    let data: usize = ours.range(50_000..=50_099).map(|(_, said)| said.len()).sum();
    assert_eq!((ours.get(&21).map(Vec::len), data), (Some(1), 1), "{ours:?}");
    let of = |port: u16| {
        let end = format!(":{port}");
        records.iter().find(move |record| {
            let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            text("/common/event") == "ShortTermination" && text("/common/local").ends_with(&end)
        })
    };
    assert_eq!(of(8080).map(|record| number(record, "/common/protocols")), Some(0), "HTTP");
    let ssh = of(22).cloned().unwrap_or_default();
    assert_eq!((number(&ssh, "/common/protocols"), number(&ssh, "/ssh/version")), (0x40, 2), "{ssh:#}");

    // 119-12: each session counts what 119-11 has of it.
    agent.stop()?;
    let mut counted: BTreeMap<u64, u64> = BTreeMap::new();
    for record in agent.records()?.iter().filter(|record| record.pointer("/header/subtype") == Some(&12.into())) {
        if record.pointer("/common/event").and_then(Value::as_str) != Some("Interval") {
            continue;
        }
        // FTP's data connections are of one session, with all ports that they may have.
        let ports = (number(record, "/common/ports/0"), number(record, "/common/ports/1"));
        let port = ours.keys().copied().find(|port| ports == (1024, 65_535) && *port >= 49_152).unwrap_or(ports.0);
        *counted.entry(port).or_default() += number(record, "/common/ended/connections");
        if let Some(tls) = record.get("tls").filter(|tls| !tls.is_null()) {
            let suite = tls.get("cipher").and_then(Value::as_str).unwrap_or_default();
            let said =
                (number(tls, "/version"), u64::from_str_radix(suite, 16).unwrap_or_default(), number(tls, "/group"));
            assert!(ours.get(&port).is_some_and(|all| all.contains(&said)), "{port}: {said:x?} {ours:x?}");
        }
    }
    let expected = [(21, 2), (22, 1), (25, 1), (5432, 1), (8080, 1), (8443, 5)];
    for (port, connections) in expected {
        assert_eq!(counted.get(&port), Some(&connections), "{port}: {counted:?}");
    }
    Ok(())
}
