//! The build with the FIPS 140-3 module: what it offers, what it refuses, what it tells.

use std::fs;

use crate::network::{HOST, Network, rule, with};

fn inbound(group: &str, more: &str) -> String {
    let rule = rule("IN", "LocalPortRange 8080\nDirection Inbound", "Server", "$RINGS/RING");
    let rule = rule.replace("TTLSEnabled On", &format!("TTLSEnabled On\n{group}"));
    if more.is_empty() { rule } else { with(&rule, "TTLSCipherParms", more) }
}

const CHACHA: &str = "V3CipherSuites TLS_CHACHA20_POLY1305_SHA256\nV3CipherSuites TLS_AES_256_GCM_SHA384\n";

#[test]
fn nothing_is_negotiated_that_the_module_does_not_approve() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _web = network.web(&network.host, 8080, "come in")?;
    let mut agent = network.agent(&network.host)?;
    let client = |words: &str| {
        let script = format!(
            "(printf 'GET / HTTP/1.0\\r\\n\\r\\n'; sleep 1) | openssl s_client -connect {}:8080 {words} 2>&1",
            HOST[0]
        );
        let output = network.peer.run("sh", &["-c", &script])?;
        anyhow::Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    // Defaults; a suite coded that the module does not approve is left out.
    for policy in [inbound("FIPS140 Level1", ""), inbound("FIPS140 On", CHACHA)] {
        agent.install(&policy)?;
        for good in ["-tls1_3 -groups P-256", "-ciphersuites TLS_AES_256_GCM_SHA384 -groups P-384:X25519"] {
            assert!(client(good)?.contains("come in"), "{good}\n{}", agent.log());
        }
        for bad in ["-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256", "-tls1_3 -groups X25519"] {
            assert!(!client(bad)?.contains("come in"), "{bad}\n{}", agent.log());
        }
    }
    let status = agent.succeed("pagent", &["status"])?;
    assert!(status.contains("FIPS 140-3 module: AWS-LC FIPS, in use"), "{status}");
    assert!(status.contains("rule IN: ") && status.contains(" s old, FIPS 140-3\n"), "{status}");
    let shown = agent.succeed("pagent", &["connections", "--json"])?;
    let sessions: Vec<serde_json::Value> = serde_json::from_str(&shown)?;
    let negotiated: Vec<bool> = sessions.iter().filter_map(|session| session["negotiated"]["fips"].as_bool()).collect();
    assert!(negotiated.len() >= 4 && negotiated.iter().all(|fips| *fips), "{shown}");
    // TLS 1.2 needs the extended master secret, whatever the policy says of it.
    agent.install(&inbound("FIPS140 On", ""))?;
    assert!(client("-tls1_2 -groups P-256")?.contains("come in"), "{}", agent.log());
    Ok(())
}

#[test]
fn fipsmode_refuses_or_tells() -> anyhow::Result<()> {
    let network = Network::new()?;
    let _web = network.web(&network.host, 8080, "come in")?;
    let mut agent = network.agent(&network.host)?;
    let file = network.lab.folder().join("strict.policy");
    fs::write(&file, inbound("FIPSMODE 140-3 INDICATE FAIL ON", CHACHA))?;
    let output = agent.pagent(&["check", &file.to_string_lossy()])?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("TLS_CHACHA20_POLY1305_SHA256") && said.contains("FAIL ON"), "{said}");
    agent.install(&inbound("FIPSMODE 140-3 INDICATE FAIL OFF", CHACHA))?;
    let script = format!(
        "(printf 'GET / HTTP/1.0\\r\\n\\r\\n'; sleep 1) | openssl s_client -connect {}:8080 -ciphersuites \
         TLS_CHACHA20_POLY1305_SHA256 2>&1",
        HOST[0]
    );
    let output = network.peer.run("sh", &["-c", &script])?;
    assert!(String::from_utf8_lossy(&output.stdout).contains("come in"), "{}", agent.log());
    agent.says("FIPS 140-3 does not approve what this connection uses")?;
    let status = agent.succeed("pagent", &["status"])?;
    assert!(status.contains("FIPS 140-3 asked for, not all approved"), "{status}");
    Ok(())
}
