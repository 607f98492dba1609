//! Pagent.

use std::fs;

use pagent::lab::{Agent, Running};

use crate::scenario::Role;
use crate::stage::{Stage, path};
use crate::tls::NAME;

/// Tokio's own way to say how many worker threads its runtime has.
const WORKERS: (&str, &str) = ("TOKIO_WORKER_THREADS", "1");

/// Starts the daemon with one rule, and with either an explicit listener or the kernel's capture.
pub(super) fn start(stage: &Stage, captured: bool) -> anyhow::Result<Running> {
    let agent = Agent::new(&stage.host, stage.folder(), &stage.programs)?;
    let ring = agent.ring("RING");
    fs::create_dir_all(&ring)?;
    fs::copy(&stage.authority, ring.join("ca.pem"))?;
    if stage.role == Role::Server {
        fs::copy(&stage.certificate, ring.join("server.pem"))?;
        fs::copy(&stage.key, ring.join("server.key"))?;
    }
    agent.policy(&policy(stage))?;
    let folder = path(agent.folder());
    let listener =
        format!("[[listen]]\naddress = \"{}\"\ntarget = \"{}\"\nrule = \"WRAP\"\n", stage.proxy(), stage.target());
    // Errors only, and the one message that tells that the daemon is up.
    let configuration = format!(
        "policy = \"{folder}/pagent.conf\"\nstate = \"{folder}/state\"\nsocket = \"{folder}/pagent.sock\"\n\
         log = \"error,pagent::daemon=info\"\n[capture]\nenabled = {captured}\n[zert]\nenabled = false\n{}",
        if captured { "" } else { &listener }
    );
    fs::write(agent.folder().join("pagent.toml"), configuration)?;
    let mut command = agent.command("pagent", &["run"]);
    command.env(WORKERS.0, WORKERS.1);
    let mut running = stage.host.start_command("pagent", command)?;
    running.wait_for("EZZ8432I PAGENT INITIALIZATION COMPLETE")?;
    Ok(running)
}

/// The rule captures connections to the program's own address; for a listener its conditions play no part.
fn policy(stage: &Stage) -> String {
    let (role, conditions, more) = match stage.role {
        Role::Server => {
            ("Server", format!("LocalPortRange {}\nDirection Inbound", stage.target().port()), String::new())
        }
        Role::Client => (
            "Client",
            format!("RemotePortRange {}\nDirection Outbound", stage.target().port()),
            format!("HostReferenceIdDNS {NAME}\n"),
        ),
    };
    format!(
        "TTLSRule WRAP
{{
{conditions}
TTLSGroupActionRef WRAP
TTLSEnvironmentActionRef WRAP
}}
TTLSGroupAction WRAP
{{
TTLSEnabled On
}}
TTLSEnvironmentAction WRAP
{{
HandshakeRole {role}
TTLSKeyringParms
{{
Keyring $RINGS/RING
}}
TTLSEnvironmentAdvancedParms
{{
TLSv1.2 Off
TLSv1.3 On
HandshakeCacheCapacity 2048
HandshakeCacheTimeout 600
{more}}}
TTLSSignatureParms
{{
ClientECurves 00290023
ClientKeyShareGroups 0029
}}
}}
"
    )
}
