//! Certificates that were revoked, as lists and responders tell: openssl's responder, a web server, stapled responses.

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use pagent::lab::{Agent, Authority, Running, wait_until};
use rcgen::{
    CertificateRevocationListParams, CrlDistributionPoint, CustomExtension, KeyIdMethod, RevokedCertParams,
    SerialNumber,
};

use crate::network::{HOST, Network, PEER, rule, with};

/// What a certificate of a test says of itself.
struct Issued<'a> {
    serial: u64,
    responder: Option<&'a str>,
    point: Option<&'a str>,
}

/// A certificate for a name with its key in `SERIAL.pem`.
fn issue(network: &Network, name: &str, issued: &Issued<'_>) -> anyhow::Result<String> {
    let (certificate, key) = network.authority.issue_with(name, |params| {
        params.serial_number = Some(SerialNumber::from(issued.serial));
        if let Some(url) = issued.responder {
            params.custom_extensions.push(authority_information(url));
        }
        let point = issued.point.map(|url| CrlDistributionPoint { uris: vec![url.to_owned()] });
        params.crl_distribution_points.extend(point);
    })?;
    let file = network.lab.folder().join(format!("{}.pem", issued.serial));
    fs::write(&file, certificate + &key)?;
    Ok(file.to_string_lossy().into_owned())
}

/// The extension that names a responder (RFC 5280 section 4.2.2.1).
fn authority_information(url: &str) -> CustomExtension {
    let der = |tag: u8, content: Vec<u8>| -> Vec<u8> {
        let length = u8::try_from(content.len()).expect("a short value");
        [vec![tag, length], content].concat()
    };
    let ocsp = der(6, vec![0x2B, 6, 1, 5, 5, 7, 48, 1]);
    let description = der(0x30, [ocsp, der(0x86, url.as_bytes().to_vec())].concat());
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], der(0x30, description))
}

/// A list of these serial numbers, DER, good for some seconds from now (or no longer).
fn list(authority: &Authority, revoked: &[u64], seconds: i64) -> anyhow::Result<Vec<u8>> {
    let now = SystemTime::now();
    let away = Duration::from_secs(seconds.unsigned_abs());
    let end = if seconds < 0 { now - away } else { now + away };
    let params = CertificateRevocationListParams {
        this_update: (now - Duration::from_secs(7200)).into(),
        next_update: end.into(),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked
            .iter()
            .map(|&serial| RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: (now - Duration::from_secs(3600)).into(),
                reason_code: None,
                invalidity_date: None,
            })
            .collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    Ok(params.signed_by(authority.issuer())?.der().to_vec())
}

/// openssl's responder on the peer: serial number 1 is good, 2 is revoked, it knows no other.
fn responder(network: &Network, port: u16) -> anyhow::Result<Running> {
    let file = |name: &str| network.lab.folder().join(name).to_string_lossy().into_owned();
    fs::write(file("ca.key"), network.authority.issuer().key().serialize_pem())?;
    let index = "V\t351231235959Z\t\t01\tunknown\t/CN=one\nR\t351231235959Z\t260101000000Z\t02\tunknown\t/CN=two\n";
    fs::write(file("index"), index)?;
    let ca = network.authority_file()?;
    let (port_word, index, key) = (port.to_string(), file("index"), file("ca.key"));
    let words =
        ["ocsp", "-port", &port_word, "-index", &index, "-CA", &ca, "-rsigner", &ca, "-rkey", &key, "-nmin", "10"];
    network.peer.serve(port, "openssl", &words)
}

/// TLS servers on the peer, one for each certificate.
fn servers(network: &Network, certificates: &[(u16, String)]) -> anyhow::Result<Vec<Running>> {
    certificates
        .iter()
        .map(|(port, certificate)| {
            let port_word = port.to_string();
            let words = ["s_server", "-accept", &port_word, "-cert", certificate, "-www", "-quiet"];
            network.peer.serve(*port, "openssl", &words)
        })
        .collect()
}

fn outbound(name: &str, port: u16, parameters: &str) -> String {
    let conditions = format!("RemotePortRange {port}\nDirection Outbound");
    with(&rule(name, &conditions, "Client", "$RINGS/RING"), "TTLSGskAdvancedParms", parameters)
}

fn page(network: &Network, port: u16) -> anyhow::Result<Output> {
    network.host.run("curl", &["-sS", "-m", "8", &format!("http://{}:{port}/", PEER[0])])
}

/// Tries a rule's port: the server is accepted, or refused with these words in the log.
fn treated(network: &Network, agent: &Agent, rule: &str, port: u16, said: &str) -> anyhow::Result<()> {
    let output = page(network, port)?;
    if said.is_empty() {
        ensure!(String::from_utf8_lossy(&output.stdout).contains("TLSv1.3"), "{rule}: {output:?}\n{}", agent.log());
    } else {
        ensure!(!output.status.success(), "{rule}: {output:?}");
        agent.says_of(&format!("RULE: {rule} "), &[said])?;
    }
    Ok(())
}

#[test]
fn responders_are_asked_and_silence_means_what_the_level_says() -> anyhow::Result<()> {
    let network = Network::new()?;
    let here = format!("http://{}:8888", PEER[0]);
    let nowhere = format!("http://{}:8887/", PEER[0]);
    let issued = |serial, url| Issued { serial, responder: Some(url), point: None };
    let certificates = [
        (7001, issue(&network, "server.example", &issued(1, &here))?),
        (7002, issue(&network, "server.example", &issued(2, &here))?),
        (7003, issue(&network, "server.example", &issued(3, &here))?),
        (7004, issue(&network, "server.example", &issued(4, &nowhere))?),
    ];
    let _servers = servers(&network, &certificates)?;
    let responder = responder(&network, 8888)?;
    let mut agent = network.agent(&network.host)?;
    let asking = |more: &str| format!("OcspAiaEnable On\nOcspResponseTimeout 3\n{more}");
    // Name, port, parameters of the OCSP block, level, and what the log says; nothing: it is accepted.
    let cases = [
        ("GOOD", 7001, asking(""), "High", ""),
        ("NONCE", 7001, asking("OcspNonceGenEnable On\nOcspNonceCheckEnable On\nOcspNonceSize 32\n"), "High", ""),
        ("GET", 7001, asking("OcspRetrieveViaGet On\n"), "High", ""),
        ("REVOKED", 7002, asking(""), "Low", "was revoked at 2026-01-01 00:00:00 UTC"),
        ("UNKNOWN", 7003, asking(""), "High", "the responder does not know the certificate"),
        ("UNKNOWN_M", 7003, asking(""), "Medium", ""),
        ("DOWN", 7004, asking(""), "Medium", "cannot be reached"),
        ("DOWN_LOW", 7004, asking(""), "Low", ""),
        // The coded responder knows what the certificate's own does not tell.
        ("CODED", 7004, asking(&format!("OcspUrl {here}\n")), "High", "does not know the certificate"),
        ("SMALL", 7001, asking("OcspMaxResponseSize 20\n"), "High", "more than 20 bytes"),
        ("ED25519", 7001, asking("OcspResponseSigAlgPairs 0807\n"), "High", "signed the response"),
    ];
    for (name, port, ocsp, level, said) in &cases {
        let parameters = format!("RevocationSecurityLevel {level}\nTTLSGskOcspParms\n{{\n{ocsp}}}\n");
        agent.install(&outbound(name, *port, &parameters))?;
        treated(&network, &agent, name, *port, said).with_context(|| responder.said())?;
    }
    Ok(())
}

#[test]
fn lists_of_distribution_points_count_and_are_asked_again_on_resumption() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _web = network.web(&network.peer, 8889, "lists")?;
    let put = |name: &str, authority: &Authority, revoked: &[u64], seconds: i64| {
        fs::write(network.lab.folder().join(name), list(authority, revoked, seconds)?)?;
        anyhow::Ok(format!("http://{}:8889/{name}", PEER[0]))
    };
    let own = put("own.crl", &network.authority, &[2], 600)?;
    let old = put("old.crl", &network.authority, &[], -1800)?;
    let alien = put("alien.crl", &Authority::new("Test CA")?, &[], 600)?;
    let issued = |serial, url| Issued { serial, responder: None, point: Some(url) };
    let certificates = [
        (7001, issue(&network, "server.example", &issued(1, &own))?),
        (7002, issue(&network, "server.example", &issued(2, &own))?),
        (7003, issue(&network, "server.example", &issued(3, &old))?),
        (7004, issue(&network, "server.example", &issued(4, &alien))?),
        (7005, issue(&network, "server.example", &Issued { serial: 5, responder: None, point: None })?),
    ];
    let _servers = servers(&network, &certificates)?;
    let mut agent = network.agent(&network.host)?;
    let cases = [
        ("GOOD", 7001, "High", ""),
        ("REVOKED", 7002, "Low", "RC: 431 "),
        ("OLD", 7003, "High", "is too old"),
        ("OLD_M", 7003, "Medium", ""),
        ("ALIEN", 7004, "High", "is not one of the certificate's issuer"),
        ("SILENT", 7005, "High", "no source speaks of it"),
        ("SILENT_M", 7005, "Medium", ""),
    ];
    let parameters = |level: &str| {
        format!("RevocationSecurityLevel {level}\nTTLSGskHttpCdpParms\n{{\nHttpCdpEnable On\nHttpCdpCacheSize 0\n}}\n")
    };
    for (name, port, level, said) in cases {
        agent.install(&outbound(name, port, &parameters(level)))?;
        treated(&network, &agent, name, port, said)?;
    }
    // A session made before the revocation does not outlive it.
    agent.install(&outbound("AGAIN", 7001, &parameters("High")))?;
    for _ in 0..2 {
        assert!(page(&network, 7001)?.status.success(), "{}", agent.log());
    }
    put("own.crl", &network.authority, &[1, 2], 600)?;
    assert!(!page(&network, 7001)?.status.success(), "{}", agent.log());
    agent.says_of("RULE: AGAIN ", &["RC: 431 "])?;
    Ok(())
}

#[test]
fn lists_in_files_refuse_clients_with_an_alert() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _web = network.web(&network.host, 8080, "come in")?;
    let mut agent = network.agent(&network.host)?;
    let folder: PathBuf = network.lab.folder().join("lists");
    fs::create_dir_all(&folder)?;
    let issued = |serial| Issued { serial, responder: None, point: None };
    let certificates = [issue(&network, "client.example", &issued(1))?, issue(&network, "client.example", &issued(2))?];
    let policy = |level: &str| {
        let inbound = rule("IN", "LocalPortRange 8080\nDirection Inbound", "ServerWithClientAuth", "$RINGS/RING");
        let files = format!("CrlFile {}\nRevocationSecurityLevel {level}\n", folder.to_string_lossy());
        with(&inbound, "TTLSGskAdvancedParms", &files)
    };
    let client = |certificate: &str| {
        let script = format!(
            "(printf 'GET / HTTP/1.0\\r\\n\\r\\n'; sleep 1) | openssl s_client -connect {}:8080 -cert {certificate} 2>&1",
            HOST[0]
        );
        let output = network.peer.run("sh", &["-c", &script])?;
        anyhow::Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    fs::write(folder.join("ca.crl"), list(&network.authority, &[2], 600)?)?;
    agent.install(&policy("High"))?;
    let [good, revoked] = &certificates;
    assert!(client(good)?.contains("come in"), "{}", agent.log());
    let said = client(revoked)?;
    assert!(said.contains("alert certificate revoked") && !said.contains("come in"), "{said}\n{}", agent.log());
    // New lists count from the next refresh on.
    fs::write(folder.join("ca.crl"), list(&network.authority, &[1, 2], 600)?)?;
    agent.refresh()?;
    assert!(!client(good)?.contains("come in"), "{}", agent.log());
    // A list that is too old is no list.
    fs::write(folder.join("ca.crl"), list(&network.authority, &[], -1800)?)?;
    agent.install(&policy("Medium"))?;
    assert!(!client(good)?.contains("come in"), "{}", agent.log());
    agent.says("in CrlFile is too old")?;
    agent.install(&policy("Low"))?;
    assert!(client(good)?.contains("come in"), "{}", agent.log());
    // What is no list is told, and nothing is installed.
    fs::write(folder.join("ca.crl"), "junk")?;
    agent.policy(&policy("High"))?;
    let output = agent.pagent(&["refresh"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("holds no revocation list"), "{said}");
    assert!(client(good)?.contains("come in"), "{}", agent.log());
    Ok(())
}

#[test]
fn an_own_certificate_that_is_revoked_or_ends_is_told_before_peers_complain() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    let lists = network.lab.folder().join("ca.crl");
    fs::write(&lists, list(&network.authority, &[7], 600)?)?;
    let (certificate, key) = network.authority.issue_with("server.example", |params| {
        params.serial_number = Some(SerialNumber::from(7));
        params.not_after = (SystemTime::now() + Duration::from_secs(6)).into();
    })?;
    let ring = agent.ring("RING");
    fs::write(ring.join("server.pem"), certificate)?;
    fs::write(ring.join("server.key"), key)?;
    let inbound = rule("IN", "LocalPortRange 8080\nDirection Inbound", "Server", "$RINGS/RING");
    agent.install(&with(&inbound, "TTLSGskAdvancedParms", &format!("CrlFile {}\n", lists.to_string_lossy())))?;
    for said in ["our certificate is revoked", "our certificate ends soon", "our certificate has expired"] {
        wait_until(said, || Ok(agent.log().lines().any(|line| line.contains(said) && line.contains("IN"))))?;
    }
    Ok(())
}

#[test]
fn responses_are_stapled_to_our_certificate_and_believed_in_others() -> anyhow::Result<()> {
    let network = Network::new()?;
    let responder = responder(&network, 8888)?;
    let url = format!("http://{}:8888", PEER[0]);
    let nowhere = format!("http://{}:8887/", PEER[0]);
    let _web = network.web(&network.host, 8080, "come in")?;
    let mut agent = network.agent(&network.host)?;
    let own = issue(&network, "server.example", &Issued { serial: 1, responder: Some(&url), point: None })?;
    let ring = agent.ring("RING");
    fs::remove_file(ring.join("server.key"))?;
    fs::copy(&own, ring.join("server.pem"))?;
    let inbound = rule("IN", "LocalPortRange 8080\nDirection Inbound", "Server", "$RINGS/RING");
    let stapling = "TTLSGskOcspParms\n{\nOcspServerStapling EndEntity\n}\n";
    agent.install(&with(&inbound, "TTLSGskAdvancedParms", stapling))?;
    let ca = network.authority_file()?;
    let target = format!("{}:8080", HOST[0]);
    wait_until("the response is stapled", || {
        let words = ["s_client", "-connect", &target, "-status", "-CAfile", &ca];
        let said = network.peer.run("openssl", &words)?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        Ok(said.contains("OCSP Response Status: successful") && said.contains("Cert Status: good"))
    })?;
    // As a client: good by its staple while its responder is down, revoked by its staple.
    let file = |name: &str| network.lab.folder().join(name).to_string_lossy().into_owned();
    let mut running = Vec::new();
    for (serial, port) in [(1_u64, 7001_u16), (2, 7002)] {
        let issued = Issued { serial, responder: Some(&nowhere), point: None };
        let certificate = issue(&network, "server.example", &issued)?;
        let response = file(&format!("{serial}.der"));
        let number = serial.to_string();
        let asked = ["ocsp", "-issuer", &ca, "-serial", &number, "-url", &url, "-respout", &response, "-CAfile", &ca];
        network.peer.succeed("openssl", &asked)?;
        let port_word = port.to_string();
        let words =
            ["s_server", "-accept", &port_word, "-cert", &certificate, "-status_file", &response, "-www", "-quiet"];
        running.push(network.peer.serve(port, "openssl", &words)?);
    }
    let parameters = "RevocationSecurityLevel High\nTTLSGskOcspParms\n{\nOcspAiaEnable On\n}\n";
    agent.install(&format!("{}{}", outbound("A", 7001, parameters), outbound("B", 7002, parameters)))?;
    let good = page(&network, 7001)?;
    assert!(String::from_utf8_lossy(&good.stdout).contains("TLSv1.3"), "{good:?}\n{}", agent.log());
    assert!(!page(&network, 7002)?.status.success());
    agent.says_of("RULE: B ", &["RC: 431 ", "is revoked"]).with_context(|| responder.said())?;
    Ok(())
}
