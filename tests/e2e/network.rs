//! The network most tests use: a protected host and a peer, both address families, certificates, an agent.

use std::fs;
use std::path::PathBuf;

use pagent::lab::{Agent, Authority, Host, Lab, Running};

pub(crate) const HOST: [&str; 2] = ["10.1.0.1", "fd01::1"];
pub(crate) const PEER: [&str; 2] = ["10.1.0.2", "fd01::2"];

/// Two hosts and a cable.
pub(crate) struct Network {
    pub(crate) host: Host,
    pub(crate) peer: Host,
    pub(crate) authority: Authority,
    pub(crate) programs: PathBuf,
    pub(crate) lab: Lab,
}

impl Network {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut lab = Lab::new()?;
        let (host, peer) = (lab.host("host")?, lab.host("peer")?);
        lab.cable([(&host, &["10.1.0.1/24", "fd01::1/64"]), (&peer, &["10.1.0.2/24", "fd01::2/64"])])?;
        // target/debug/deps/e2e-… stands beside target/debug/pagent.
        let own = std::env::current_exe()?;
        let build = own.ancestors().nth(2).ok_or_else(|| anyhow::anyhow!("the tests lie nowhere"))?;
        let programs = lab.programs(build)?;
        Ok(Self { host, peer, authority: Authority::new("Test CA")?, programs, lab })
    }

    /// An agent on a host, with ring $RINGS/RING for `server.example`; not started.
    pub(crate) fn agent(&self, host: &Host) -> anyhow::Result<Agent> {
        let agent = Agent::new(host, self.lab.folder(), &self.programs)?;
        self.authority.write_ring(&agent.ring("RING"), Some("server.example"))?;
        Ok(agent)
    }

    /// A PEM file with a certificate for `server.example` and its key.
    pub(crate) fn server_pem(&self) -> anyhow::Result<String> {
        let (certificate, key) = self.authority.issue("server.example")?;
        let file = self.lab.folder().join("server.pem");
        fs::write(&file, certificate + &key)?;
        Ok(file.to_string_lossy().into_owned())
    }

    /// A web server in clear text on a host, whose one page says this.
    pub(crate) fn web(&self, host: &Host, port: u16, page: &str) -> anyhow::Result<Running> {
        let folder = self.lab.folder();
        fs::write(folder.join("index.html"), page)?;
        let (port_word, folder) = (port.to_string(), folder.to_string_lossy());
        let arguments = ["-u", "-m", "http.server", &port_word, "--bind", "::", "--directory", &folder];
        host.serve(port, "/usr/bin/python3", &arguments)
    }

    /// The authority's certificate as a file.
    pub(crate) fn authority_file(&self) -> anyhow::Result<String> {
        let file = self.lab.folder().join("ca.pem");
        fs::write(&file, self.authority.certificate())?;
        Ok(file.to_string_lossy().into_owned())
    }
}

/// A rule with its actions under names of its own.
pub(crate) fn rule(name: &str, conditions: &str, role: &str, ring: &str) -> String {
    let advanced = match role {
        "Client" => "TTLSEnvironmentAdvancedParms\n{\nHostReferenceIdDNS server.example\nCertificateLabel\n}\n",
        _ => "",
    };
    format!(
        "TTLSRule {name}\n{{\n{conditions}\nTTLSGroupActionRef G_{name}\nTTLSEnvironmentActionRef E_{name}\n}}\n\
         TTLSGroupAction G_{name}\n{{\nTTLSEnabled On\n}}\n\
         TTLSEnvironmentAction E_{name}\n{{\nHandshakeRole {role}\nTTLSKeyringParms\n{{\nKeyring {ring}\n}}\n{advanced}}}\n"
    )
}

/// The same with a sub-statement in the environment action.
pub(crate) fn with(rule: &str, statement: &str, parameters: &str) -> String {
    let open = rule.trim_end().strip_suffix('}').unwrap_or(rule);
    format!("{open}{statement}\n{{\n{parameters}\n}}\n}}\n")
}
