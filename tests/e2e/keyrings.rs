//! Key rings of the SAF database: RACDCERT at a shell, a policy that uses its ring, clients that are users.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Output, Stdio};

use pagent::lab::{ALICE, Agent, wait_until};

use crate::controlled::{PEER_SERVER, controlled, python};
use crate::network::{HOST, Network, PEER, rule, with};

const RING: &str = "TCPIP/TCPIP-KEYRING";
const INBOUND: &str = "LocalPortRange 8080\nDirection Inbound";

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// Runs RACF commands; each must be done.
fn tso(agent: &Agent, lines: &[&str]) -> anyhow::Result<()> {
    for line in lines {
        agent.succeed("tso", &[line])?;
    }
    Ok(())
}

/// Waits until the daemon has logged something.
fn told(agent: &Agent, text: &str) -> anyhow::Result<()> {
    wait_until(&format!("the log has {text}"), || Ok(agent.log().contains(text)))
}

/// What makes the ring and lets the daemon read it.
const RACDCERT: [&str; 9] = [
    "ADDUSER TCPIP NAME('AT-TLS') NOPASSWORD",
    "RACDCERT CERTAUTH GENCERT SUBJECTSDN(CN('Example CA') O('Example')) WITHLABEL('CA') NISTECC",
    "RACDCERT ID(TCPIP) GENCERT SUBJECTSDN(CN('server.example')) WITHLABEL('SERVER') NISTECC ALTNAME(DOMAIN('server.example')) \
     SIGNWITH(CERTAUTH LABEL('CA'))",
    "RACDCERT ID(TCPIP) ADDRING(TCPIP-KEYRING)",
    "RACDCERT ID(TCPIP) CONNECT(CERTAUTH LABEL('CA') RING(TCPIP-KEYRING))",
    "RACDCERT ID(TCPIP) CONNECT(LABEL('SERVER') RING(TCPIP-KEYRING) DEFAULT)",
    "RDEFINE RDATALIB TCPIP.TCPIP-KEYRING.LST UACC(NONE)",
    "PERMIT TCPIP.TCPIP-KEYRING.LST CLASS(RDATALIB) ID(TCPIP) ACCESS(READ)",
    "SETROPTS RACLIST(RDATALIB) REFRESH",
];

/// The authority's certificate as a file.
fn authority(network: &Network, agent: &Agent) -> anyhow::Result<String> {
    let file = network.lab.folder().join("racf-ca.pem").to_string_lossy().into_owned();
    tso(agent, &[&format!("RACDCERT CERTAUTH EXPORT(LABEL('CA')) DSN('{file}')")])?;
    Ok(file)
}

#[test]
fn a_ring_made_by_racdcert_wraps_connections_and_its_changes_count_for_new_handshakes() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _web = network.web(&network.host, 8080, "come in")?;
    let mut agent = network.agent(&network.host)?;
    agent.policy(&rule("IN", INBOUND, "Server", RING))?;
    agent.start()?;
    // The ring's reader is not known yet: nothing is installed, and the error says what to do.
    agent.says("ADDUSER TCPIP NOPASSWORD")?;
    tso(&agent, &RACDCERT)?;
    agent.refresh()?;
    let authority = authority(&network, &agent)?;
    let shake = || -> anyhow::Result<String> {
        let words =
            ["s_client", "-connect", &format!("{}:8080", HOST[0]), "-CAfile", &authority, "-verify_return_error"];
        let output = network.peer.run("openssl", &[&words[..], &["-verify_hostname", "server.example"]].concat())?;
        Ok(said(&output))
    };
    let first = shake()?;
    assert!(first.contains("Verify return code: 0 (ok)") && first.contains("CN = server.example"), "{first}");
    // A connection that is up goes on with what it began with; the next has the new certificate, without a refresh.
    let long = format!(
        "(printf 'GET /'; sleep 4; printf ' HTTP/1.0\\r\\n\\r\\n'; sleep 1) | openssl s_client -quiet -connect {}:8080 2>/dev/null",
        HOST[0]
    );
    let mut lasting = network.peer.command("sh").args(["-c", &long]).stdout(Stdio::piped()).spawn()?;
    std::thread::sleep(std::time::Duration::from_millis(500));
    tso(
        &agent,
        &[
            "RACDCERT ID(TCPIP) REKEY(LABEL('SERVER')) WITHLABEL('NEXT') NISTECC SIZE(384)",
            &format!("RACDCERT ID(TCPIP) GENREQ(LABEL('NEXT')) DSN('{}')", network.lab.folder().join("req").display()),
            &format!(
                "RACDCERT ID(TCPIP) GENCERT('{}') SIGNWITH(CERTAUTH LABEL('CA'))",
                network.lab.folder().join("req").display()
            ),
            "RACDCERT ID(TCPIP) ROLLOVER(LABEL('SERVER')) NEWLABEL('NEXT')",
        ],
    )?;
    wait_until("the new certificate is served", || Ok(shake()?.contains("384 bit")))?;
    assert!(shake()?.contains("Verify return code: 0 (ok)"));
    let mut page = String::new();
    std::io::Read::read_to_string(&mut lasting.stdout.take().ok_or_else(|| anyhow::anyhow!("no output"))?, &mut page)?;
    lasting.wait()?;
    assert!(page.contains("come in"), "{page}\n{}", agent.log());
    // A ring that may not be read any more makes no handshakes, until it may.
    let refresh = "SETROPTS RACLIST(RDATALIB) REFRESH";
    tso(&agent, &["PERMIT TCPIP.TCPIP-KEYRING.LST CLASS(RDATALIB) ID(TCPIP) DELETE", refresh])?;
    wait_until("handshakes are refused", || Ok(shake()?.contains("no peer certificate available")))?;
    told(&agent, "RC: 202 ")?;
    told(&agent, "may not be read by user TCPIP")?;
    tso(&agent, &["PERMIT TCPIP.TCPIP-KEYRING.LST CLASS(RDATALIB) ID(TCPIP) ACCESS(READ)", refresh])?;
    wait_until("handshakes are made again", || Ok(shake()?.contains("Verify return code: 0 (ok)")))?;
    // So does one that is gone; the file of the policy is not read for it.
    fs::write(agent.folder().join("pagent.conf"), "broken")?;
    tso(&agent, &["RACDCERT ID(TCPIP) DELRING(TCPIP-KEYRING)"])?;
    told(&agent, "is not there: RACDCERT ID(TCPIP) ADDRING(TCPIP-KEYRING)")?;
    assert!(shake()?.contains("no peer certificate available"));
    let status = agent.succeed("pagent", &["status"])?;
    assert!(status.contains("no handshakes are made") && !status.contains("installed nothing"), "{status}");
    agent.policy(&rule("IN", INBOUND, "Server", RING))?;
    let lint = agent.pagent(&["saf", "lint"])?;
    assert!(said(&lint).contains("RING        key ring TCPIP/TCPIP-KEYRING is not there"), "{lint:?}");
    let check = agent.pagent(&["check", &agent.folder().join("pagent.conf").to_string_lossy()])?;
    assert!(said(&check).contains("is not there: RACDCERT ID(TCPIP) ADDRING(TCPIP-KEYRING)"), "{check:?}");
    Ok(())
}

/// Begins in clear text; at a word on standard input it starts TLS.
const WAITING: &str = "
import attls, socket, sys
connection = socket.create_connection((sys.argv[1], 7000), 10)
connection.sendall(b'STARTTLS\\n')
print(connection.recv(100).decode().strip())
sys.stdin.readline()
try:
    print(attls.control(connection, attls.INIT_CONNECTION)['connection'])
except OSError as error:
    print('refused', error)
";

/// A connection that began with an earlier state of its ring shakes hands later: not when the ring may not be read any more.
#[test]
fn a_connection_that_is_up_starts_no_tls_with_a_ring_that_may_not_be_read() -> anyhow::Result<()> {
    let network = Network::new()?;
    let certificate = network.server_pem()?;
    let _server = network.peer.serve(7000, "/usr/bin/python3", &["-u", "-c", PEER_SERVER, &certificate])?;
    let mut agent = network.agent(&network.host)?;
    let policy = controlled("AWARE", "RemotePortRange 7000\nDirection Outbound", "Client", "");
    agent.policy(&policy.replace("$RINGS/RING", RING))?;
    agent.start()?;
    tso(&agent, &RACDCERT)?;
    // The server's authority is in the ring too.
    let known = network.authority_file()?;
    tso(
        &agent,
        &[
            &format!("RACDCERT CERTAUTH ADD('{known}') WITHLABEL('LAB')"),
            "RACDCERT ID(TCPIP) CONNECT(CERTAUTH LABEL('LAB') RING(TCPIP-KEYRING))",
        ],
    )?;
    agent.refresh()?;
    let begin = || -> anyhow::Result<std::process::Child> {
        let mut program = python(&network.host, &agent, &["-c", WAITING, PEER[0]]);
        Ok(program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
    };
    let end = |mut program: std::process::Child| -> anyhow::Result<String> {
        drop(program.stdin.take());
        Ok(said(&program.wait_with_output()?))
    };
    let up = |count: usize| {
        wait_until("the connections are up", || {
            let status: serde_json::Value = serde_json::from_str(&agent.succeed("pagent", &["status", "--json"])?)?;
            Ok(status["active_connections"] == count)
        })
    };
    // The server serves one after the other.
    let first = begin()?;
    up(1)?;
    let second = begin()?;
    up(2)?;
    // Another state of the ring, and it can be read: nothing is wrong with a connection from before.
    tso(&agent, &["RACDCERT ID(TCPIP) REMOVE(LABEL('SERVER') RING(TCPIP-KEYRING))"])?;
    told(&agent, "certificates or key rings have changed")?;
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(end(first)?.contains("Secure"), "{}", agent.log());
    tso(
        &agent,
        &["PERMIT TCPIP.TCPIP-KEYRING.LST CLASS(RDATALIB) ID(TCPIP) DELETE", "SETROPTS RACLIST(RDATALIB) REFRESH"],
    )?;
    told(&agent, "may not be read by user TCPIP")?;
    let refused = end(second)?;
    assert!(!refused.contains("Secure"), "{refused}\n{}", agent.log());
    told(&agent, "its key ring cannot be used any more")
}

#[test]
fn keys_stay_where_they_are_for_whom_nothing_is_permitted() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    agent.policy(&rule("IN", INBOUND, "Server", RING))?;
    agent.start()?;
    tso(&agent, &RACDCERT)?;
    tso(&agent, &["ADDUSER ALICE"])?;
    let folder = network.lab.folder().join("alice");
    fs::create_dir(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
    let export = "RACDCERT ID(TCPIP) EXPORT(LABEL('SERVER')) DSN('server.p12') PASSWORD('open sesame')";
    let as_alice = |line: &str| -> anyhow::Result<Output> {
        Ok(agent.command_as(ALICE, "tso", &[line]).current_dir(&folder).output()?)
    };
    let refused = as_alice(export)?;
    assert!(said(&refused).contains("IRRD101I") && !folder.join("server.p12").exists(), "{refused:?}");
    // Whose the key may be, gets it in a file of his own; nobody else reads it, and no log has the password.
    tso(
        &agent,
        &[
            "RDEFINE FACILITY IRR.DIGTCERT.** UACC(NONE)",
            "PERMIT IRR.DIGTCERT.** CLASS(FACILITY) ID(ALICE) ACCESS(UPDATE)",
        ],
    )?;
    tso(&agent, &["SETROPTS RACLIST(FACILITY) REFRESH"])?;
    let done = as_alice(export)?;
    assert!(done.status.success(), "{done:?}");
    let written = fs::metadata(folder.join("server.p12"))?;
    assert_eq!((written.uid(), written.mode() & 0o777), (ALICE, 0o600));
    agent.says("PASSWORD(***)")?;
    assert!(!agent.log().contains("open sesame"), "{}", agent.log());
    // Data sets are read and written by their user's own rights, not by the daemon's.
    let secret = agent.folder().join("state/envelope.key");
    assert_eq!(fs::metadata(&secret)?.mode() & 0o777, 0o600);
    for line in [
        format!("RACDCERT ADD('{}')", secret.display()),
        format!("RACDCERT ID(TCPIP) EXPORT(LABEL('SERVER')) DSN('{}')", agent.folder().join("pagent.toml").display()),
    ] {
        let output = as_alice(&line)?;
        assert!(!output.status.success() && said(&output).contains("the data set"), "{output:?}");
    }
    // No core dump of a program through which passwords pass, and nobody traces it: its files in /proc are root's.
    let mut prompt = agent.command_as(ALICE, "tso", &[]);
    let mut prompt = prompt.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/environ", prompt.id());
    let closed = wait_until("tso lets nobody look into it", || Ok(fs::metadata(&status)?.uid() == 0));
    drop(prompt.stdin.take());
    prompt.wait()?;
    closed?;
    // A new envelope key; the old one is gone from its file.
    let before = fs::read_to_string(&secret)?;
    let rotated = agent.succeed("pagent", &["saf", "rotate-key"])?;
    assert!(rotated.contains("2 PRIVATE KEYS ARE ENCRYPTED UNDER THE ENVELOPE KEY"), "{rotated}");
    assert_ne!(fs::read_to_string(&secret)?, before);
    agent.refresh()?;
    Ok(())
}

#[test]
fn a_client_is_the_user_its_certificate_stands_for() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _web = network.web(&network.host, 8080, "come in")?;
    let mut agent = network.agent(&network.host)?;
    let policy = |more: &str| {
        let inbound = rule("IN", INBOUND, "ServerWithClientAuth", RING);
        with(&inbound, "TTLSEnvironmentAdvancedParms", &format!("ClientAuthType SAFCheck\n{more}"))
    };
    agent.policy(&policy(""))?;
    agent.start()?;
    tso(&agent, &RACDCERT)?;
    let folder = network.lab.folder();
    let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
    tso(&agent, &["ADDUSER ALICE", "ADDUSER BOB", "SETROPTS CLASSACT(DIGTNMAP) RACLIST(DIGTNMAP)"])?;
    // Three certificates of the ring's authority: ALICE's own, and two that RACF does not keep.
    for (owner, name) in [("ALICE", "alice"), ("TCPIP", "sales"), ("TCPIP", "stranger")] {
        let unit = if name == "sales" { "OU('Sales')" } else { "" };
        tso(
            &agent,
            &[
                &format!(
                    "RACDCERT ID({owner}) GENCERT SUBJECTSDN(CN('{name}') {unit} O('Example')) WITHLABEL('{name}') NISTECC \
                     SIGNWITH(CERTAUTH LABEL('CA'))"
                ),
                &format!(
                    "RACDCERT ID({owner}) EXPORT(LABEL('{name}')) DSN('{}') PASSWORD('pw')",
                    file(&format!("{name}.p12"))
                ),
            ],
        )?;
        let words =
            ["pkcs12", "-nodes", "-passin", "pass:pw", "-in", &file(&format!("{name}.p12")), "-out", &file(name)];
        assert!(network.host.run("openssl", &words)?.status.success());
        if owner == "TCPIP" {
            tso(&agent, &[&format!("RACDCERT ID(TCPIP) DELETE(LABEL('{name}'))")])?;
        }
    }
    tso(
        &agent,
        &[
            "RACDCERT ID(BOB) MAP IDNFILTER('CN=Example CA.O=Example') SDNFILTER('OU=Sales.O=Example') WITHLABEL('SALES')",
            "SETROPTS RACLIST(DIGTNMAP) REFRESH",
        ],
    )?;
    agent.refresh()?;
    let authority = authority(&network, &agent)?;
    let resolve = format!("server.example:8080:{}", HOST[0]);
    let page = |name: &str| -> anyhow::Result<String> {
        let certificate = file(name);
        let words = ["-sS", "-m", "5", "--cacert", &authority, "--resolve", &resolve, "--cert", &certificate];
        let output = network.peer.run("curl", &[&words[..], &["https://server.example:8080/"]].concat())?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(
        (page("alice")?.as_str(), page("sales")?.as_str(), page("stranger")?.as_str()),
        ("come in", "come in", "")
    );
    told(&agent, "RC: 5002 ")?;
    told(&agent, "no user ID is defined")?;
    let listed: Vec<serde_json::Value> = serde_json::from_str(&agent.succeed("pagent", &["connections", "--json"])?)?;
    let users: Vec<&str> = listed.iter().filter_map(|one| one["negotiated"]["user"].as_str()).collect();
    assert!(users.contains(&"ALICE") && users.contains(&"BOB") && users.len() == 2, "{listed:#?}");
    let table = agent.succeed("pagent", &["connections"])?;
    assert!(table.contains("USERID") && table.contains(" ALICE "), "{table}");
    // Revoked users are refused, also when they resume a session from before.
    for version in ["-tls1_2", "-tls1_3"] {
        let session = file(version);
        let shake = |words: &str| -> anyhow::Result<String> {
            let certificate = file("alice");
            let script = format!(
                "(printf 'GET / HTTP/1.0\\r\\n\\r\\n'; sleep 1) | openssl s_client -connect {}:8080 {version} -cert {certificate} \
                 {words} {session} 2>&1",
                HOST[0]
            );
            Ok(said(&network.peer.run("sh", &["-c", &script])?))
        };
        assert!(shake("-sess_out")?.contains("come in"));
        let resumed = shake("-sess_in")?;
        assert!(resumed.contains("Reused") && resumed.contains("come in"), "{resumed}");
        tso(&agent, &["ALTUSER ALICE REVOKE"])?;
        let refused = shake("-sess_in")?;
        assert!(!refused.contains("come in"), "{version} {refused}\n{}", agent.log());
        assert_eq!(page("alice")?, "");
        tso(&agent, &["ALTUSER ALICE RESUME"])?;
        assert_eq!(page("alice")?, "come in");
    }
    // The port's own profile.
    agent.install(&policy("SAFCheckResource EZB.TN3270.SYSA.TCPIP"))?;
    assert_eq!(page("alice")?, "");
    told(&agent, "EZB.TN3270.SYSA.TCPIP.PORT08080")?;
    tso(
        &agent,
        &[
            "RDEFINE SERVAUTH EZB.TN3270.SYSA.TCPIP.PORT08080 UACC(NONE)",
            "PERMIT EZB.TN3270.SYSA.TCPIP.PORT08080 CLASS(SERVAUTH) ID(ALICE) ACCESS(READ)",
            "SETROPTS RACLIST(SERVAUTH) REFRESH",
        ],
    )?;
    assert_eq!((page("alice")?.as_str(), page("sales")?.as_str()), ("come in", ""));
    Ok(())
}
