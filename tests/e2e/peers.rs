//! What is asked of a peer's certificate: names, key sizes, and of clients one at all.

use std::fs;
use std::time::{Duration, SystemTime};

use crate::network::{HOST, Network, PEER, rule, with};

/// A certificate made by openssl, signed by an authority of its own (`NAME-ca.crt`), and its key.
fn certificate(network: &Network, name: &str, arguments: &[&str]) -> anyhow::Result<(String, String)> {
    let file = |name: String| network.lab.folder().join(name).to_string_lossy().into_owned();
    let (ca, ca_key) = (file(format!("{name}-ca.crt")), file(format!("{name}-ca.key")));
    let (certificate, key) = (file(format!("{name}.crt")), file(format!("{name}.key")));
    let authority = ["-newkey", "rsa:2048", "-subj", "/CN=authority", "-keyout", &ca_key, "-out", &ca];
    let signed = ["-CA", &ca, "-CAkey", &ca_key, "-extensions", "usr_cert", "-keyout", &key, "-out", &certificate];
    let request = ["req", "-x509", "-nodes", "-days", "2"];
    network.peer.succeed("openssl", &[&request[..], &authority].concat())?;
    network.peer.succeed("openssl", &[&request[..], &signed, arguments].concat())?;
    Ok((certificate, key))
}

#[test]
fn a_server_is_known_by_its_names_and_the_length_of_its_key() -> anyhow::Result<()> {
    let network = Network::new()?;
    let servers = [
        (
            "wild",
            8441,
            &["-newkey", "rsa:2048", "-subj", "/CN=wild", "-addext", "subjectAltName=DNS:*.example.com"][..],
        ),
        ("plain", 8442, &["-newkey", "rsa:2048", "-subj", "/CN=plain.example.com"][..]),
        (
            "curve",
            8443,
            &[
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-subj",
                "/CN=curve",
                "-addext",
                "subjectAltName=DNS:curve.example.com",
            ],
        ),
    ];
    let mut agent = network.agent(&network.host)?;
    let mut running = Vec::new();
    for (name, port, arguments) in servers {
        let (certificate, key) = certificate(&network, name, arguments)?;
        fs::copy(certificate.replace(".crt", "-ca.crt"), agent.ring("RING").join(format!("ca-{name}.pem")))?;
        let accept = port.to_string();
        let words = ["s_server", "-accept", &accept, "-cert", &certificate, "-key", &key, "-www", "-quiet"];
        running.push(network.peer.serve(port, "openssl", &words)?);
    }
    // Port, parameters, and what the log says of it; nothing: it is accepted.
    let cases = [
        (8441, "HostReferenceIdDNS a.example.com\nHostRefWildcardValidation On\n", ""),
        (8441, "HostReferenceIdDNS a.example.com\n", "wildcards do not count while HostRefWildcardValidation is Off"),
        (8441, "HostReferenceIdCN wild\n", "it is for *.example.com, the policy expects wild"),
        (8442, "HostReferenceIdCN PLAIN.example.com\n", ""),
        (8442, "HostReferenceIdDNS plain.example.com\n", "it is for plain.example.com, the policy expects"),
        (8442, "HostReferenceIdCN plain.example.com\nPeerMinRsaKeySize 3072\n", "its RSA key has 2048 bits"),
        (8443, "HostReferenceIdDNS curve.example.com\n", ""),
        (8443, "HostReferenceIdDNS curve.example.com\nPeerMinECCKeySize 384\n", "its EC key has 256 bits"),
    ];
    let policy = |index: usize, port: u16, more: &str| {
        let rule = rule(
            &format!("OUT{index}"),
            &format!("RemotePortRange {port}\nDirection Outbound"),
            "Client",
            "$RINGS/RING",
        );
        rule.replace("HostReferenceIdDNS server.example\n", more)
    };
    for (index, (port, more, said)) in cases.into_iter().enumerate() {
        agent.install(&policy(index, port, more))?;
        let output = network.host.run("curl", &["-sS", "-m", "5", &format!("http://{}:{port}/", PEER[0])])?;
        let page = String::from_utf8_lossy(&output.stdout);
        if said.is_empty() {
            assert!(page.contains("TLSv1.3"), "{port} {more}: {page}{}", agent.log());
        } else {
            assert!(!output.status.success(), "{port} {more}: {page}");
            agent.says(said)?;
        }
    }
    Ok(())
}

#[test]
fn a_client_s_certificate_is_asked_for_as_the_rule_says() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _web = network.web(&network.host, 8080, "come in")?;
    let mut agent = network.agent(&network.host)?;
    let (known, known_key) = network.authority.issue("client.example")?;
    let file = |name: &str| network.lab.folder().join(name).to_string_lossy().into_owned();
    fs::write(file("known.crt"), known)?;
    fs::write(file("known.key"), known_key)?;
    let stranger = certificate(&network, "stranger", &["-newkey", "rsa:2048", "-subj", "/CN=stranger"])?;
    let certificates = [None, Some((file("known.crt"), file("known.key"))), Some(stranger)];
    let authority = network.authority_file()?;
    let resolve = format!("server.example:8080:{}", HOST[0]);
    // For each type: without a certificate, with one of the ring's authority, with a stranger's.
    for (kind, admitted) in
        [("PassThru", [true, true, true]), ("Full", [true, true, false]), ("Required", [false, true, false])]
    {
        let policy = rule("IN", "LocalPortRange 8080\nDirection Inbound", "ServerWithClientAuth", "$RINGS/RING");
        agent.install(&with(&policy, "TTLSEnvironmentAdvancedParms", &format!("ClientAuthType {kind}")))?;
        for version in [&["--tlsv1.3"][..], &["--tls-max", "1.2"]] {
            for (certificate, admitted) in certificates.iter().zip(admitted) {
                let mut words = vec!["-sS", "-m", "5", "--cacert", &authority, "--resolve", &resolve];
                words.extend_from_slice(version);
                if let Some((certificate, key)) = certificate {
                    words.extend(["--cert", certificate, "--key", key]);
                }
                words.push("https://server.example:8080/");
                let output = network.peer.run("curl", &words)?;
                let page = String::from_utf8_lossy(&output.stdout);
                assert_eq!(page == "come in", admitted, "{kind} {version:?} {certificate:?}: {page}\n{}", agent.log());
            }
        }
    }
    agent.says("RC: 5001 ")?;
    Ok(())
}

/// A session made while the client's certificate was good is not resumed when it has expired.
#[test]
fn an_expired_certificate_is_refused_on_resumption_too() -> anyhow::Result<()> {
    let network = Network::new()?;
    let folder = network.lab.folder().to_string_lossy().into_owned();
    let _web = network.web(&network.host, 8080, "come in")?;
    let mut agent = network.agent(&network.host)?;
    let policy = rule("IN", "LocalPortRange 8080\nDirection Inbound", "ServerWithClientAuth", "$RINGS/RING");
    agent.policy(&policy)?;
    agent.start()?;
    let end = SystemTime::now() + Duration::from_secs(6);
    let (certificate, key) = network.authority.issue_until("client.example", end)?;
    fs::write(network.lab.folder().join("client.pem"), certificate + &key)?;
    let client = |version: &str, session: &str| {
        let script = format!(
            "(printf 'GET / HTTP/1.0\\r\\n\\r\\n'; sleep 1) | openssl s_client -{version} -connect {}:8080 -cert \
             {folder}/client.pem {session} 2>&1",
            HOST[0]
        );
        let output = network.peer.run("sh", &["-c", &script])?;
        anyhow::Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let versions = ["tls1_2", "tls1_3"];
    for version in versions {
        let said = client(version, &format!("-sess_out {folder}/{version}.session"))?;
        assert!(said.contains("come in"), "{said}");
        let said = client(version, &format!("-sess_in {folder}/{version}.session"))?;
        assert!(said.contains("Reused") && said.contains("come in"), "{said}\n{}", agent.log());
    }
    let left = end.duration_since(SystemTime::now()).unwrap_or_default();
    std::thread::sleep(left + Duration::from_secs(1));
    for version in versions {
        let said = client(version, &format!("-sess_in {folder}/{version}.session"))?;
        assert!(!said.contains("come in"), "{said}");
    }
    agent.says_times("RC: 401 Initial Handshake: the session cannot be resumed any more", versions.len())?;
    Ok(())
}

/// One port, several names: each has its certificate, and the policy says what becomes of others.
#[test]
fn a_server_answers_to_the_names_of_its_list() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _web = network.web(&network.host, 8080, "come in")?;
    let mut agent = network.agent(&network.host)?;
    let ring = agent.ring("RING");
    for (name, label) in [("a.example", "SITE A"), ("b.example", "SITEB")] {
        let (certificate, key) = network.authority.issue(name)?;
        fs::write(ring.join(format!("{label}.pem")), certificate + &key)?;
    }
    let list =
        "CertificateLabel server\nServerHandshakeSNIList a.example/SITE A\nServerHandshakeSNIList B.example/SITEB\n";
    // The name that is sent (none: no SNI), and the certificate that comes, or none.
    let both = [("a.example", Some("a.example")), ("b.EXAMPLE", Some("b.example"))];
    let cases = [
        ("Optional", "Optional", [("other.example", Some("server.example")), ("", Some("server.example"))]),
        ("Optional", "Required", [("other.example", None), ("", Some("server.example"))]),
        ("Required", "Required", [("other.example", None), ("", None)]),
        ("Off", "Required", [("other.example", Some("server.example")), ("", Some("server.example"))]),
    ];
    for (sni, matching, others) in cases {
        let policy = rule("IN", "LocalPortRange 8080\nDirection Inbound", "Server", "$RINGS/RING");
        let parameters = format!("ServerHandshakeSNI {sni}\nServerHandshakeSNIMatch {matching}\n{list}");
        agent.install(&with(&policy, "TTLSEnvironmentAdvancedParms", &parameters))?;
        let expected = if sni == "Off" { both.map(|(name, _)| (name, Some("server.example"))) } else { both };
        for (name, certificate) in expected.into_iter().chain(others) {
            let name = if name.is_empty() { "-noservername".to_owned() } else { format!("-servername {name}") };
            let script = format!(
                "openssl s_client -connect {}:8080 {name} </dev/null 2>/dev/null | openssl x509 -noout -subject 2>/dev/null",
                HOST[0]
            );
            let said = network.peer.run("sh", &["-c", &script])?.stdout;
            let expected = certificate.map(|name| format!("subject=CN = {name}\n")).unwrap_or_default();
            assert_eq!(String::from_utf8_lossy(&said), expected, "{sni} {matching} {name}\n{}", agent.log());
        }
    }
    agent.says("no certificate for the name")?;
    Ok(())
}

/// What openssl says of the signatures of a handshake: ours, and those the other end may use.
#[test]
fn handshakes_are_signed_as_the_policy_says() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _web = network.web(&network.host, 8080, "come in")?;
    let mut agent = network.agent(&network.host)?;
    let arguments =
        ["-newkey", "rsa:2048", "-subj", "/CN=server.example", "-addext", "subjectAltName=DNS:server.example"];
    let (certificate, key) = certificate(&network, "rsa", &arguments)?;
    let ring = agent.ring("RING");
    fs::remove_file(ring.join("server.pem"))?;
    fs::remove_file(ring.join("server.key"))?;
    fs::write(ring.join("rsa.pem"), fs::read_to_string(certificate)? + &fs::read_to_string(key)?)?;
    let policy = |pairs: &str| {
        let rule = rule("IN", "LocalPortRange 8080\nDirection Inbound", "Server", "$RINGS/RING");
        with(&rule, "TTLSSignatureParms", &format!("SignaturePairs {pairs}"))
    };
    // Pairs, a TLS version, and the digest and type the server signs with; none: no handshake.
    let cases = [
        ("0806080508040401", "-tls1_3", Some("SHA512 RSA-PSS")),
        ("0805080608040401", "-tls1_3", Some("SHA384 RSA-PSS")),
        ("06010804", "-tls1_2", Some("SHA512 RSA")),
        ("0804", "-tls1_2", Some("SHA256 RSA-PSS")),
        ("0401", "-tls1_3", None),
    ];
    for (pairs, version, signed) in cases {
        agent.install(&policy(pairs))?;
        let script =
            format!("openssl s_client {version} -connect {}:8080 </dev/null 2>&1 | grep '^Peer sign'", HOST[0]);
        let said = network.peer.run("sh", &["-c", &script])?.stdout;
        let said = String::from_utf8_lossy(&said).into_owned();
        let word =
            |title: &str| said.lines().find_map(|line| line.strip_prefix(title)).map(str::trim).map(str::to_owned);
        let found = word("Peer signing digest:").zip(word("Peer signature type:"));
        let found = found.map(|(digest, kind)| format!("{digest} {kind}"));
        assert_eq!(found.as_deref(), signed, "{pairs} {version}: {said}\n{}", agent.log());
    }
    // A key that can sign with none of them is told when the policy is installed.
    agent.policy(&policy("0403"))?;
    let refused = agent.refresh().expect_err("an RSA key cannot sign with ECDSA");
    assert!(format!("{refused:#}").contains("can sign with none of the SignaturePairs"), "{refused:#}");
    Ok(())
}

/// Says whether the session was resumed; takes a new certificate as soon as there is one, and keeps its ticket keys.
const RENEWING: &str = "
import os, socket, ssl, sys
folder, version = sys.argv[1], sys.argv[2]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.maximum_version = ssl.TLSVersion[version]
context.load_cert_chain(folder + '/short.pem')
server = socket.create_server(('0.0.0.0', 8443))
while True:
    connection, _ = server.accept()
    if os.path.exists(folder + '/renewed.pem'):
        context.load_cert_chain(folder + '/renewed.pem')
    try:
        connection = context.wrap_socket(connection, server_side=True)
        connection.recv(1000)
        connection.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\nresumed: ' + str(connection.session_reused).encode())
        connection.unwrap()
    except OSError as error:
        print(error, flush=True)
    connection.close()
";

/// A server that has renewed its certificate is reached, though its old session is remembered.
#[test]
fn a_server_with_a_renewed_certificate_is_dialled_again() -> anyhow::Result<()> {
    for version in ["TLSv1_2", "TLSv1_3"] {
        let network = Network::new()?;
        let folder = network.lab.folder().to_string_lossy().into_owned();
        let end = SystemTime::now() + Duration::from_secs(6);
        let (certificate, key) = network.authority.issue_until("server.example", end)?;
        fs::write(network.lab.folder().join("short.pem"), certificate + &key)?;
        let server = network.peer.serve(8443, "/usr/bin/python3", &["-u", "-c", RENEWING, &folder, version])?;
        let mut agent = network.agent(&network.host)?;
        agent.policy(&rule("OUT", "RemotePortRange 8443\nDirection Outbound", "Client", "$RINGS/RING"))?;
        agent.start()?;
        let page = || network.host.succeed("curl", &["-sS", "-m", "5", &format!("http://{}:8443/", PEER[0])]);
        assert_eq!(page()?, "resumed: False");
        assert_eq!(page()?, "resumed: True", "{version} {}", server.said());
        std::thread::sleep(end.duration_since(SystemTime::now()).unwrap_or_default() + Duration::from_secs(1));
        let (certificate, key) = network.authority.issue("server.example")?;
        fs::write(network.lab.folder().join("new.pem"), certificate + &key)?;
        fs::rename(network.lab.folder().join("new.pem"), network.lab.folder().join("renewed.pem"))?;
        assert_eq!(page()?, "resumed: False", "{version} {}", agent.log());
        assert_eq!(page()?, "resumed: True", "{version} {}", agent.log());
    }
    Ok(())
}
