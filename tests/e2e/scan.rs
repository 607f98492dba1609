//! What a scanner that tries everything finds at a protected port: what the policy allows, and nothing else.

use std::collections::BTreeSet;

use crate::network::{HOST, Network, rule, with};

/// Groups as openssl calls them.
const GROUPS: [&str; 5] = ["P-256", "P-384", "P-521", "X25519", "X448"];

/// What was found.
struct Scan {
    /// Of sslscan.
    report: String,
    /// Groups that openssl could use in TLS 1.2: sslscan asks for them without signature_algorithms, which rustls
    /// refuses.
    groups: Vec<&'static str>,
}

impl Scan {
    /// Scans a web server behind a rule whose environment has these sub-statements.
    fn of(statements: &[(&str, &str)]) -> anyhow::Result<Self> {
        let network = Network::new()?;
        let _web = network.web(&network.host, 8080, "come in")?;
        let mut agent = network.agent(&network.host)?;
        // openssl as a client wants the curve of an ECDSA key among its groups; an RSA key leaves it any one.
        let file = |name: &str| agent.ring("RING").join(name).to_string_lossy().into_owned();
        let request = ["req", "-x509", "-nodes", "-days", "2", "-newkey", "rsa:2048", "-subj", "/CN=server.example"];
        let files = ["-extensions", "usr_cert", "-keyout", &file("server.key"), "-out", &file("server.pem")];
        network.host.succeed("openssl", &[&request[..], &files].concat())?;
        let policy = rule("IN", "LocalPortRange 8080\nDirection Inbound", "Server", "$RINGS/RING");
        let add = |policy: String, (statement, parameters): &(&str, &str)| with(&policy, statement, parameters);
        agent.install(&statements.iter().fold(policy, add))?;
        let target = format!("{}:8080", HOST[0]);
        let report = network.peer.succeed("sslscan", &["--xml=-", "--no-colour", "--show-cipher-ids", &target])?;
        let page = network.peer.succeed("curl", &["-sSk", "-m", "5", &format!("https://{target}/")])?;
        assert_eq!(page, "come in", "after the scan\n{}", agent.log());
        let accepts = |group: &str| {
            let words = ["s_client", "-tls1_2", "-groups", group, "-connect", &target];
            Ok::<_, anyhow::Error>(network.peer.run("openssl", &words)?.status.success())
        };
        let mut groups = Vec::new();
        for group in GROUPS {
            if accepts(group)? {
                groups.push(group);
            }
        }
        Ok(Self { report, groups })
    }

    /// An attribute of each element with this name and these words in it.
    fn all<'a>(&'a self, element: &str, words: &str, attribute: &str) -> Vec<&'a str> {
        let (element, attribute) = (format!("<{element} "), format!(" {attribute}=\""));
        let elements =
            self.report.lines().filter(|line| line.trim_start().starts_with(&element) && line.contains(words));
        elements.filter_map(|line| line.split_once(&attribute)?.1.split('"').next()).collect()
    }

    fn versions(&self) -> Vec<&str> {
        self.all("protocol", "enabled=\"1\"", "version")
    }

    fn of_version(&self, element: &str, version: &str) -> BTreeSet<&str> {
        self.all(element, &format!("sslversion=\"TLSv{version}\""), "id").into_iter().collect()
    }

    /// Neither renegotiation nor Heartbleed, and both were tried.
    fn is_without_weaknesses(&self) {
        for (element, attribute) in [("renegotiation", "supported"), ("heartbleed", "vulnerable")] {
            let found = self.all(element, "", attribute);
            assert!(!found.is_empty() && found.iter().all(|&value| value == "0"), "{element}: {}", self.report);
        }
    }
}

#[test]
fn a_scanner_finds_two_suites_of_tls_1_3_where_the_policy_has_no_more() -> anyhow::Result<()> {
    let scan = Scan::of(&[
        ("TTLSCipherParms", "V3CipherSuites4Char 13011303"),
        ("TTLSEnvironmentAdvancedParms", "TLSv1.2 Off\nTLSv1.3 On"),
        ("TTLSSignatureParms", "ServerKeyShareGroups 0024"),
    ])?;
    assert_eq!(scan.versions(), ["1.3"]);
    assert_eq!(scan.of_version("cipher", "1.3"), ["0x1301", "0x1303"].into());
    assert_eq!(scan.of_version("group", "1.3"), ["0x0018"].into());
    assert_eq!(scan.of_version("cipher", "1.2"), [].into());
    assert!(scan.groups.is_empty(), "{:?}", scan.groups);
    scan.is_without_weaknesses();
    Ok(())
}

#[test]
fn a_scanner_finds_two_suites_of_tls_1_2_where_the_policy_has_no_more() -> anyhow::Result<()> {
    let scan = Scan::of(&[
        ("TTLSCipherParms", "V3CipherSuites4Char C02FC030"),
        ("TTLSEnvironmentAdvancedParms", "TLSv1.2 On\nTLSv1.3 Off"),
        ("TTLSSignatureParms", "ServerKexECurves 00230024"),
    ])?;
    assert_eq!(scan.versions(), ["1.2"]);
    assert_eq!(scan.of_version("cipher", "1.2"), ["0xC02F", "0xC030"].into());
    assert_eq!(scan.groups, ["P-256", "P-384"]);
    assert_eq!(scan.of_version("cipher", "1.3"), [].into());
    scan.is_without_weaknesses();
    Ok(())
}

/// The scanner does not know the post-quantum hybrid.
#[test]
fn a_scanner_finds_both_versions_with_good_suites_where_the_policy_codes_none() -> anyhow::Result<()> {
    let scan = Scan::of(&[])?;
    assert_eq!(scan.versions(), ["1.2", "1.3"]);
    assert_eq!(scan.of_version("cipher", "1.3"), ["0x1301", "0x1302", "0x1303"].into());
    assert_eq!(scan.of_version("cipher", "1.2"), ["0xC02F", "0xC030", "0xCCA8"].into());
    assert_eq!(scan.of_version("group", "1.3"), ["0x0017", "0x0018", "0x001d"].into());
    assert_eq!(scan.groups, ["P-256", "P-384", "X25519"]);
    scan.is_without_weaknesses();
    Ok(())
}
