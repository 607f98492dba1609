//! A soak: mixed load in both roles while the policy and the keys change each second. Nothing is cut, nothing grows.
//!
//! `cargo xtask soak` lets the release build do it for longer.

use std::fs;
use std::time::{Duration, Instant};

use pagent::lab::{Agent, Host, Running, wait_until};

use crate::network::{HOST, Network, PEER, rule, with};
use crate::process::{self, descriptors};

const PYTHON: &str = "/usr/bin/python3";
const SOAK: &str = include_str!("soak.py");
/// Seconds, unless `PAGENT_SOAK_MINUTES` says more.
const SHORT: u64 = 20;
/// Connections at once, of each role.
const WORKERS: usize = 10;
/// Descriptors that come and go: sockets to the kernel of threads that end after a while.
const PASSING: usize = 8;
/// KiB that memory may grow by between the second and the last third, beside a twentieth: less than what a leak of 1 KiB for
/// each connection would make of a few minutes, more than what an allocator's luck does.
const GROWTH: u64 = 1024;
/// The key ring gets a new certificate at every so many reloads.
const RENEWAL: usize = 5;

/// Posts a file with curl and openssl until the time is over, and says how often the same came back.
const OTHERS: &str = r#"
end=$(($(date +%s) + $1)); url=$2; connect=$3; ca=$4; bulk=$5; equal=0; different=0
sum() { sha256sum | cut -d' ' -f1; }
sent=$(sum < $bulk); size=$(stat -c %s $bulk)
count() { if [ "$1" = "$sent" ]; then equal=$((equal + 1)); else different=$((different + 1)); fi; }
while [ $(date +%s) -lt $end ]; do
    if [ -z "$ca" ]; then
        count $(curl -sS -m 60 --retry 3 --retry-connrefused --data-binary @$bulk $url | sum)
        continue
    fi
    for version in 1.2 1.3; do
        count $(curl -sS -m 60 --tlsv$version --tls-max $version --cacert $ca --resolve $connect --data-binary @$bulk $url | sum)
        count $({ printf 'POST / HTTP/1.0\r\nContent-Length: %s\r\n\r\n' $size; cat $bulk; } |
            openssl s_client -quiet -tls$(echo $version | tr . _) -connect ${connect##*:}:8080 -CAfile $ca \
            -verify_return_error 2> /dev/null | tail -c $size | sum)
    done
done
echo $equal equal, $different different
"#;

/// What the daemon takes at a moment.
#[derive(Clone, Copy)]
struct Sample {
    memory: u64,
    descriptors: usize,
}

struct Soak {
    network: Network,
    agent: Agent,
    authority: String,
    servers: Vec<Running>,
}

impl Soak {
    fn set() -> anyhow::Result<Self> {
        let network = Network::new()?;
        let (pem, authority) = (network.server_pem()?, network.authority_file()?);
        let serve = |host: &Host, role: &str, port: u16, pem: &str| {
            host.serve(port, PYTHON, &["-c", SOAK, role, &port.to_string(), pem])
        };
        let servers = vec![
            serve(&network.host, "server", 7000, "")?,
            serve(&network.host, "web", 8080, "")?,
            serve(&network.peer, "server", 7443, &pem)?,
            serve(&network.peer, "web", 8443, &pem)?,
        ];
        let mut agent = network.agent(&network.host)?;
        fs::remove_file(agent.ring("RING").join("server.key"))?;
        renew(&network, &agent)?;
        agent.install(&policy(0))?;
        Ok(Self { network, agent, authority, servers })
    }

    /// Clients in both roles, of several makers.
    fn load(&self, seconds: u64) -> anyhow::Result<Load> {
        let Network { host, peer, lab, .. } = &self.network;
        let (seconds, workers) = (seconds.to_string(), WORKERS.to_string());
        let clients = |from: &Host, address: &str, port: &str, authority: &str| {
            from.start(PYTHON, &["-c", SOAK, "clients", address, port, &seconds, &workers, authority])
        };
        let bulk = lab.folder().join("bulk").to_string_lossy().into_owned();
        host.succeed("sh", &["-c", &format!("head -c 700001 /dev/urandom > {bulk}")])?;
        let inbound = ["-c", OTHERS, "sh", &seconds, "https://server.example:8080/"];
        let connect = format!("server.example:8080:{}", HOST[0]);
        let outbound = ["-c", OTHERS, "sh", &seconds, &format!("http://{}:8443/", PEER[0]), "", "", &bulk];
        Ok(Load {
            clients: [clients(peer, HOST[0], "7000", &self.authority)?, clients(host, PEER[0], "7443", "")?],
            others: [
                peer.start("sh", &[&inbound[..], &[&connect, &self.authority, &bulk]].concat())?,
                host.start("sh", &outbound)?,
            ],
        })
    }

    /// Puts the next policy in force, at times with new keys, which the next connection is then shown.
    fn reload(&self, number: usize) -> anyhow::Result<()> {
        self.agent.policy(&policy(number))?;
        if !number.is_multiple_of(RENEWAL) {
            return self.agent.refresh();
        }
        let renewed = renew(&self.network, &self.agent)?;
        self.agent.refresh()?;
        let shown = format!(
            "openssl s_client -connect {}:8080 < /dev/null 2> /dev/null | openssl x509 -noout -fingerprint -sha256",
            HOST[0]
        );
        assert_eq!(self.network.peer.succeed("sh", &["-c", &shown])?, renewed, "reload {number}");
        Ok(())
    }

    fn sample(&self) -> anyhow::Result<Sample> {
        let daemon = self.agent.pid();
        Ok(Sample { memory: process::memory(daemon)?, descriptors: descriptors(daemon)? })
    }
}

struct Load {
    clients: [Running; 2],
    others: [Running; 2],
}

impl Load {
    fn ended(&mut self) -> anyhow::Result<bool> {
        let mut all = true;
        for running in self.clients.iter_mut().chain(&mut self.others) {
            all &= running.ended()?;
        }
        Ok(all)
    }
}

/// The policy of a reload: a rule comes and goes, a parameter of the rules in use changes.
fn policy(number: usize) -> String {
    let timeout = format!("HandshakeTimeout {}", 20 + number / 2 % 2);
    let inbound = ["7000", "8080"].map(|port| {
        let conditions = format!("LocalPortRange {port}\nDirection Inbound");
        with(
            &rule(&format!("IN{port}"), &conditions, "Server", "$RINGS/RING"),
            "TTLSEnvironmentAdvancedParms",
            &timeout,
        )
    });
    let outbound = ["7443", "8443"].map(|port| {
        let conditions = format!("RemotePortRange {port}\nDirection Outbound");
        rule(&format!("OUT{port}"), &conditions, "Client", "$RINGS/RING")
            .replace("HostReferenceIdDNS", &format!("{timeout}\nHostReferenceIdDNS"))
    });
    let passing = match number % 2 {
        0 => String::new(),
        _ => rule("PASSING", "LocalPortRange 7999\nDirection Inbound", "Server", "$RINGS/RING"),
    };
    inbound.concat() + &outbound.concat() + &passing
}

/// Writes a new certificate with its key into the ring, as one file in one moment, and gives its fingerprint.
fn renew(network: &Network, agent: &Agent) -> anyhow::Result<String> {
    let (certificate, key) = network.authority.issue("server.example")?;
    let file = network.lab.folder().join("renewed.pem");
    fs::write(&file, certificate + &key)?;
    let shown = ["x509", "-noout", "-fingerprint", "-sha256", "-in", &file.to_string_lossy()];
    let fingerprint = network.host.succeed("openssl", &shown)?;
    fs::rename(&file, agent.ring("RING").join("server.pem"))?;
    Ok(fingerprint)
}

#[allow(clippy::disallowed_methods, reason = "the test program takes no words of ours; `cargo xtask soak` says it so")]
fn seconds() -> anyhow::Result<u64> {
    match std::env::var("PAGENT_SOAK_MINUTES") {
        Ok(minutes) => Ok(60 * minutes.parse::<u64>()?),
        Err(_) => Ok(SHORT),
    }
}

fn median<T: Copy + Default + Ord>(samples: &[Sample], of: impl Fn(&Sample) -> T) -> T {
    let mut values: Vec<T> = samples.iter().map(of).collect();
    values.sort();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[test]
fn nothing_is_cut_and_nothing_grows_while_policies_and_keys_change() -> anyhow::Result<()> {
    let soak = Soak::set()?;
    let daemon = soak.agent.pid();
    let idle = descriptors(daemon)?;
    let mut load = soak.load(seconds()?)?;
    let (begun, mut samples, mut reloads) = (Instant::now(), Vec::new(), 0);
    while !load.ended()? {
        reloads += 1;
        soak.reload(reloads)?;
        samples.push(soak.sample()?);
        let next = Duration::from_secs(reloads as u64);
        std::thread::sleep(next.saturating_sub(begun.elapsed()));
    }
    let third = samples.len() / 3;
    let (second, last) = (&samples[third..2 * third], &samples[2 * third..]);
    let memory = [second, last].map(|samples| median(samples, |sample| sample.memory));
    let open = [second, last].map(|samples| median(samples, |sample| sample.descriptors));
    let curve: Vec<u64> = samples.iter().step_by(1 + samples.len() / 24).map(|sample| sample.memory).collect();
    eprintln!("{reloads} reloads; memory in KiB: {curve:?}; medians {memory:?}; descriptors {open:?}");
    for (role, clients) in ["inbound", "outbound"].into_iter().zip(&load.clients) {
        eprintln!("{role}: {}", clients.said().trim());
    }
    for (role, others) in ["inbound", "outbound"].into_iter().zip(&load.others) {
        eprintln!("{role}, curl and openssl: {}", others.said().trim());
    }
    for clients in &load.clients {
        let said: serde_json::Value = serde_json::from_str(&clients.said())?;
        assert_eq!(said["failures"], serde_json::json!([]));
    }
    for others in &load.others {
        assert!(others.said().contains(", 0 different") && !others.said().starts_with("0 "), "{}", others.said());
    }
    for server in &soak.servers {
        assert!(!server.said().contains("CUT"), "{}", server.said());
    }
    assert!(memory[1] <= memory[0] + memory[0] / 20 + GROWTH, "memory grows: {memory:?}");
    // Each worker has at most one connection at a time, and it two descriptors.
    assert!(open[1] <= open[0] + 2 * 2 * WORKERS, "descriptors grow: {open:?}");
    wait_until("the descriptors are what they were", || Ok(descriptors(daemon)? <= idle + PASSING))?;
    soak.agent.succeed("pagent", &["status"])?;
    let log = soak.agent.log();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains(" ERROR ")).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    Ok(())
}
