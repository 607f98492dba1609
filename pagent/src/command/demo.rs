//! `pagent demo`: three stories in a network of namespaces, told by unmodified programs.
//!
//! Every claim is checked; the demonstration fails when one does not hold.

mod stage;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, bail};
use clap::Args;

use crate::lab::{self, ALICE, Agent, Authority, Capture, Host, Lab, Running, find_program};
use stage::Stage;

/// The policies of the demonstration, as they stand in `policies/examples/`.
const POLICIES: [(&str, &str); 4] = [
    ("pagent.conf", include_str!("../../../policies/examples/pagent.conf")),
    ("tcpip.conf", include_str!("../../../policies/examples/tcpip.conf")),
    ("ttls.policy", include_str!("../../../policies/examples/ttls.policy")),
    ("zert.policy", include_str!("../../../policies/examples/zert.policy")),
];

/// This host and its partner, as the policies know them.
const ZOS: &str = "10.20.30.5";
const PARTNER: &str = "10.50.60.7";
/// What must not be seen on the wire.
const SECRET: &str = "correct-horse-battery";

/// An FTP server that offers AUTH TLS and takes clear text too, of a library of its own.
const FTP_SERVER: &str = "
import sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import TLS_FTPHandler
from pyftpdlib.servers import FTPServer
authorizer = DummyAuthorizer()
authorizer.add_user('demo', 'demo-password', sys.argv[2])
TLS_FTPHandler.authorizer = authorizer
TLS_FTPHandler.certfile = sys.argv[1]
FTPServer(('0.0.0.0', 21), TLS_FTPHandler).serve_forever()
";

/// A server that never answers.
const SILENT_SERVER: &str = "
import socket, time
server = socket.create_server(('0.0.0.0', 9000))
time.sleep(600)
";

/// Programs the demonstration needs, and the packages they come from.
const PROGRAMS: [(&str, &str); 11] = [
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("ip", "iproute2"),
    ("ss", "iproute2"),
    ("nft", "nftables"),
    ("curl", "curl"),
    ("openssl", "openssl"),
    ("tshark", "tshark"),
    ("dumpcap", "tshark"),
    ("python3", "python3-pyftpdlib python3-openssl"),
];

/// Flags of `pagent demo`.
#[derive(Args, Debug)]
pub(super) struct DemoFlags {
    /// Already inside the demonstration's own namespaces
    #[arg(long, hide = true)]
    inside: bool,
}

pub(super) fn run(flags: &DemoFlags) -> anyhow::Result<ExitCode> {
    if flags.inside {
        return tell();
    }
    check_programs()?;
    let own = std::env::current_exe()?;
    // The demonstration goes on inside namespaces; this process becomes that one.
    let error = lab::command(&own)?.args(["demo", "--inside"]).exec();
    Err(error).context("unshare cannot be started")
}

fn check_programs() -> anyhow::Result<()> {
    let missing: Vec<&(&str, &str)> = PROGRAMS.iter().filter(|(program, _)| find_program(program).is_none()).collect();
    if !missing.is_empty() {
        let programs: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
        let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
        bail!("{} not found; as root: apt install {}", programs.join(", "), packages.join(" "));
    }
    let imports = Command::new("/usr/bin/python3").args(["-c", "import pyftpdlib.handlers, OpenSSL"]).output()?;
    if !imports.status.success() {
        bail!("python3 has no pyftpdlib with TLS; as root: apt install python3-pyftpdlib python3-openssl");
    }
    Ok(())
}

/// The network, its programs and its agent.
struct Scene {
    stage: Stage,
    zos: Host,
    partner: Host,
    agent: Agent,
    wire: Capture,
    web_server: Running,
    authority_file: PathBuf,
    weak: [&'static str; 2],
    _servers: Vec<Running>,
    _lab: Lab,
}

fn tell() -> anyhow::Result<ExitCode> {
    let mut scene = Scene::set()?;
    scene.first_story()?;
    scene.second_story()?;
    scene.third_story()?;
    scene.what_the_wire_carried()?;
    scene.records()?;
    Ok(scene.stage.finish())
}

impl Scene {
    fn set() -> anyhow::Result<Self> {
        let stage = Stage::new();
        stage.title("The network");
        let mut lab = Lab::new()?;
        let programs = lab.programs(std::env::current_exe()?.parent().context("this program lies nowhere")?)?;
        let (zos, partner) = (lab.host("zos")?, lab.host("partner")?);
        lab.cable([(&zos, &["10.20.30.5/24"]), (&partner, &["10.50.60.7/24"])])?;
        zos.route("10.50.60.0/24")?;
        partner.route("10.20.30.0/24")?;
        stage.say("zos      10.20.30.5   runs pagent, a web server (8080), an FTP server (21) and openssl (990)");
        stage.say("partner  10.50.60.7   runs openssl (8443), curl and FTP clients; its wire is captured");

        let authority = Authority::new("Demonstration CA")?;
        let folder = lab.folder().to_owned();
        let mut agent = Agent::new(&zos, &folder, &programs)?;
        let authority_file = folder.join("ca.pem");
        fs::write(&authority_file, authority.certificate())?;
        for (name, text) in POLICIES {
            fs::write(agent.folder().join(name), text)?;
        }
        // Enforcement begins with the second story; first its control.
        fs::write(agent.folder().join("tcpip.conf"), "TTLSConfig ttls.policy\n")?;

        let pem = |name: &str| -> anyhow::Result<String> {
            let (certificate, key) = authority.issue(name)?;
            let file = folder.join(format!("{name}.pem"));
            fs::write(&file, certificate + &key)?;
            Ok(file.to_string_lossy().into_owned())
        };
        let (partner_pem, zos_pem) = (pem("partner.example")?, pem("zos.example")?);
        let pages = folder.join("pages");
        fs::create_dir_all(&pages)?;
        fs::write(pages.join("index.html"), format!("the secret is {SECRET}\n"))?;
        fs::write(pages.join("statements"), vec![b'x'; 300_000])?;
        let pages = pages.to_string_lossy().into_owned();
        let weak = ["-cipher", "ALL:@SECLEVEL=0"];
        let wire = Capture::start(&partner, &folder, "wire")?.decode_as("tcp.port==8080,tls");
        let servers = vec![
            partner.serve(
                8443,
                "openssl",
                &["s_server", "-accept", "8443", "-cert", &partner_pem, "-www", "-quiet"],
            )?,
            partner.serve(9000, "/usr/bin/python3", &["-c", SILENT_SERVER])?,
            zos.serve(21, "/usr/bin/python3", &["-c", FTP_SERVER, &zos_pem, &pages])?,
            zos.serve(
                990,
                "openssl",
                &["s_server", "-accept", "990", "-cert", &zos_pem, weak[0], weak[1], "-www", "-quiet"],
            )?,
        ];
        let web = ["-u", "-m", "http.server", "8080", "--directory", &pages];
        let web_server = zos.serve(8080, "/usr/bin/python3", &web)?;
        agent.start()?;
        stage.say(
            "pagent is running with policies/examples/ttls.policy; until the key ring is there, it installs nothing",
        );
        for command in [
            "ADDUSER TCPIP NOPASSWORD".to_owned(),
            format!("RACDCERT CERTAUTH ADD('{}') WITHLABEL('DEMO CA')", authority_file.display()),
            format!("RACDCERT ID(TCPIP) ADD('{zos_pem}') WITHLABEL('server')"),
            "RACDCERT ID(TCPIP) ADDRING(TCPIP-KEYRING)".to_owned(),
            "RACDCERT ID(TCPIP) CONNECT(CERTAUTH LABEL('DEMO CA') RING(TCPIP-KEYRING))".to_owned(),
            "RACDCERT ID(TCPIP) CONNECT(LABEL('server') RING(TCPIP-KEYRING) DEFAULT)".to_owned(),
            "RDEFINE RDATALIB TCPIP.TCPIP-KEYRING.LST UACC(NONE)".to_owned(),
            "PERMIT TCPIP.TCPIP-KEYRING.LST CLASS(RDATALIB) ID(TCPIP) ACCESS(READ)".to_owned(),
            "SETROPTS RACLIST(RDATALIB) REFRESH".to_owned(),
        ] {
            agent.succeed("tso", &[&command])?;
        }
        agent.refresh()?;
        stage.say("RACDCERT made the key ring TCPIP/TCPIP-KEYRING in the SAF database");
        Ok(Self { stage, zos, partner, agent, wire, web_server, authority_file, weak, _servers: servers, _lab: lab })
    }

    /// TLS for programs that know nothing of it.
    fn first_story(&mut self) -> anyhow::Result<()> {
        let stage = &mut self.stage;
        stage.title("1  TLS for programs that know nothing of it");
        let url = format!("http://{PARTNER}:8443/");
        for attempt in ["New, TLSv1.3", "Reused, TLSv1.3"] {
            let page = self.zos.succeed("curl", &["-sS", "-m", "5", &url])?;
            let said = page.lines().find(|line| line.contains("Cipher is")).unwrap_or("nothing").trim();
            stage.shell("zos", &format!("curl {url}"), said);
            stage.check(&format!("plain HTTP here, at the partner: {attempt}"), said.starts_with(attempt));
        }
        let authority = self.authority_file.to_string_lossy().into_owned();
        let to_zos = format!("zos.example:8080:{ZOS}");
        let arguments = ["-sS", "-m", "5", "--cacert", &authority, "--resolve", &to_zos, "https://zos.example:8080/"];
        let page = self.partner.succeed("curl", &arguments)?;
        stage.shell("partner", "curl https://zos.example:8080/", page.trim());
        stage.check("an HTTPS client reaches the plain web server", page.contains(SECRET));
        let log = self.web_server.said();
        let seen = log.lines().find(|line| line.contains("GET")).unwrap_or_default().to_owned();
        stage.shell("zos", "the web server's log", &seen);
        stage.check("it sees the client's own address", seen.starts_with(PARTNER));
        let plain = self.partner.run("curl", &["-sS", "-m", "5", &format!("http://{ZOS}:8080/")])?;
        let refused = !plain.status.success() && !String::from_utf8_lossy(&plain.stdout).contains(SECRET);
        stage.check("a plain HTTP client does not reach it", refused);
        let page = self.zos.succeed("curl", &["-sS", "-m", "5", "http://127.0.0.1:8080/"])?;
        stage.shell("zos", "curl http://127.0.0.1:8080/", page.trim());
        stage.check("a local pair talks over 127.0.0.1, wrapped at both ends", page.contains(SECRET));

        let report = self.agent.succeed("pasearch", &["-p", "TTLS"])?;
        stage.shell("zos", "pasearch -p TTLS", report.trim());
        let seed = "TTLS Rule: FTPS_CLIENT\nAddress: 10.50.60.0/24\nPortRange: 21\nDirection: Outbound\nStatus: Active\n\
                    TTLS Action: TTLS_TLS12\nVersion: TLS 1.2\nKeyringName: TCPIP/TCPIP-KEYRING\n";
        stage.check("the rules are listed, FTPS_CLIENT among them", report.contains(seed));
        let report = self.agent.succeed("pagent", &["connections"])?;
        stage.shell("zos", "pagent connections", report.trim());
        let local = report.lines().filter(|line| line.contains("127.0.0.1:8080") && line.contains("TLSv1.3")).count();
        let resumed = report.lines().any(|line| line.contains("WEB_CLIENT") && line.contains(" yes "));
        stage.check("each with its rule, version, suite, resumed or not", resumed && local == 2);
        Ok(())
    }

    /// A minimum on a port.
    fn second_story(&mut self) -> anyhow::Result<()> {
        self.stage.title("2  A minimum on a port");
        let (control, _) = self.tls_client("-tls1_1")?;
        self.stage.check("control, no enforcement: a TLS 1.1 client lives", control);
        let login = self.ftp(&[])?;
        self.stage.check("control, no enforcement: a clear-text login lives", login.status.success());

        for (name, text) in POLICIES {
            fs::write(self.agent.folder().join(name), text)?;
        }
        self.agent.refresh()?;
        self.stage.say("policies/examples/zert.policy is in force: TLS 1.2 or reset on ports 21 and 990");
        let (lives, said) = self.tls_client("-tls1_1")?;
        self.stage.shell("partner", &format!("openssl s_client -tls1_1 -connect {ZOS}:990"), &said);
        self.stage.check("a TLS 1.1 client is reset", !lives);
        let login = self.ftp(&[])?;
        let said = String::from_utf8_lossy(&login.stderr).trim().to_owned();
        self.stage.shell("partner", &format!("curl ftp://demo@{ZOS}/statements"), &said);
        self.stage.check("a clear-text login is reset", !login.status.success());
        let (lives, _) = self.tls_client("-tls1_2")?;
        self.stage.check("a TLS 1.2 client lives", lives);
        let login = self.ftp(&["--ftp-ssl-control", "--tls-max", "1.2", "-k"])?;
        self.stage.check("an FTP client with AUTH TLS lives", login.status.success());

        let counters = self.agent.succeed("console", &["D TCPIP,,NETSTAT,STATS,PROTOCOL=ZERT"])?;
        self.stage.shell("zos", "console D TCPIP,,NETSTAT,STATS,PROTOCOL=ZERT", counters.trim());
        self.stage.check("two connections were reset", counters.contains("CONNECTIONS RESET = 00000002"));
        Ok(())
    }

    /// Who may do what.
    fn third_story(&mut self) -> anyhow::Result<()> {
        self.stage.title("3  Who may do what");
        let tso = |line: &str| self.agent.succeed("tso", &[line]);
        tso("ADDUSER ALICE NAME('ALICE') DFLTGRP(SYS1)")?;
        tso("RDEFINE SERVAUTH EZB.PAGENT.SYSA.TCPIP.TTLS UACC(NONE)")?;
        tso("SETROPTS RACLIST(SERVAUTH) REFRESH")?;
        let search = || -> anyhow::Result<(bool, String)> {
            let output = self.agent.command_as(ALICE, "pasearch", &["-p", "TTLS"]).output()?;
            let text = if output.status.success() { &output.stdout } else { &output.stderr };
            Ok((output.status.success(), String::from_utf8_lossy(text).trim().to_owned()))
        };
        let (permitted, said) = search()?;
        self.stage.shell("alice@zos", "pasearch -p TTLS", &said);
        self.stage.check("alice has no access: ICH408I", !permitted && said.starts_with("ICH408I USER(ALICE   )"));
        let permit = "PERMIT EZB.PAGENT.SYSA.TCPIP.TTLS CLASS(SERVAUTH) ID(ALICE) ACCESS(READ)";
        let said = tso(permit)?;
        self.stage.shell("zos", &format!("tso \"{permit}\""), said.trim());
        let (permitted, _) = search()?;
        self.stage.check("it does not count before the refresh", !permitted);
        let refresh = "SETROPTS RACLIST(SERVAUTH) REFRESH";
        let said = tso(refresh)?;
        self.stage.shell("zos", &format!("tso \"{refresh}\""), said.trim());
        let (permitted, said) = search()?;
        self.stage.check("now alice sees the rules", permitted && said.contains("TTLS Rule: FTPS_CLIENT"));

        let mut stuck = self.zos.start("curl", &["-sS", &format!("http://{PARTNER}:9000/")])?;
        let id = self.connection_to("10.50.60.7..9000")?;
        let drop = format!("V TCPIP,,DROP,CONNECTION={id}");
        let output = self.agent.command_as(ALICE, "console", &[&drop]).output()?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        self.stage.shell("alice@zos", &format!("console {drop}"), &said);
        let named = ["EZZ0500I", "MVS.VARY.TCPIP.DROP CL(OPERCMDS)", "INTENT(CONTROL)", "ALLOWED(NONE   )"];
        let refused = !output.status.success() && named.iter().all(|part| said.contains(part));
        self.stage.check("refused, naming profile, level asked and level held", refused);
        self.stage.check("the connection lives on", !stuck.ended()?);
        for line in [
            "RDEFINE OPERCMDS MVS.VARY.TCPIP.DROP UACC(NONE)",
            "PERMIT MVS.VARY.TCPIP.DROP CLASS(OPERCMDS) ID(ALICE) ACCESS(CONTROL)",
            "SETROPTS RACLIST(OPERCMDS) REFRESH",
        ] {
            self.agent.succeed("tso", &[line])?;
        }
        let output = self.agent.command_as(ALICE, "console", &[&drop]).output()?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        self.stage.shell("alice@zos", &format!("console {drop}"), &said);
        let dropped = said.contains(&format!("EZZ2500I CONNECTION {id} DROPPED"));
        self.stage.check("with CONTROL the connection is dropped", dropped && !stuck.wait()?.success());
        Ok(())
    }

    /// The wire at the partner, judged by tshark.
    fn what_the_wire_carried(&mut self) -> anyhow::Result<()> {
        self.stage.title("What the wire carried (captured at the partner, read by tshark)");
        let fields = ["ip.src", "tcp.srcport", "tls.handshake.extensions.supported_version", "tls.handshake.version"];
        let hellos = self.wire.fields("tls.handshake.type == 2", &fields)?;
        let from = |port: &str, version: &str| {
            hellos.iter().any(|line| {
                let columns: Vec<&str> = line.split('\t').collect();
                columns.get(1) == Some(&port) && columns.iter().skip(2).any(|column| column.contains(version))
            })
        };
        for line in &hellos {
            let columns: Vec<&str> = line.split('\t').collect();
            if let [address, port, chosen, legacy] = columns.as_slice() {
                let version = if chosen.is_empty() { legacy } else { chosen };
                self.stage.say(&format!("ServerHello of {address}:{port}  version {version}"));
            }
        }
        self.stage.check("TLS 1.3 to the partner's server (8443)", from("8443", "0x0304"));
        self.stage.check("TLS 1.3 from the plain web server (8080)", from("8080", "0x0304"));
        let seen = self.wire.packets_with(SECRET)?;
        self.stage.check(&format!("the secret of the page was seen in clear {seen} times"), seen == 0);
        Ok(())
    }

    /// What the auditor gets.
    fn records(&mut self) -> anyhow::Result<()> {
        self.stage.title("What the auditor gets: SMF 119-11");
        let reset = |record: &serde_json::Value| field(record, "/common/reset") == true;
        let enough = |records: &[serde_json::Value]| {
            records.iter().filter(|record| reset(record)).count() == 2
                && records
                    .iter()
                    .filter(|record| field(record, "/common/remote") == format!("{PARTNER}:9000").as_str())
                    .count()
                    == 1
        };
        let records = self.agent.records_when("each connection has its record", enough)?;
        let shown = self.agent.succeed("smf", &["list"])?;
        self.stage.shell("zos", "smf list", shown.trim());
        let with = |port: &str, version: u64| {
            records.iter().any(|record| {
                let ends = [field(record, "/common/local").as_str(), field(record, "/common/remote").as_str()];
                ends.into_iter().flatten().any(|end| end.ends_with(port)) && field(record, "/tls/version") == version
            })
        };
        self.stage.check("wrapped connections: TLS 1.3", with(":8443", 0x0304) && with(":8080", 0x0304));
        self.stage.check("observed ones: TLS 1.1 reset, TLS 1.2 not", with(":990", 0x0302) && with(":990", 0x0303));
        let failed = records.iter().any(|record| {
            field(record, "/common/local") == format!("{ZOS}:8080").as_str()
                && field(record, "/tls/handshake") == "Failed"
        });
        self.stage.check("the plain client of the wrapped server: a failed handshake", failed);
        let clear = records.iter().any(|record| {
            field(record, "/common/local") == format!("{ZOS}:21").as_str()
                && field(record, "/common/protocols") == 0
                && reset(record)
        });
        self.stage.check("the clear-text login: no protection, reset", clear);
        Ok(())
    }

    /// Whether an openssl client of a version gets an answer on port 990, and what it said.
    fn tls_client(&self, version: &str) -> anyhow::Result<(bool, String)> {
        let connect = format!("{ZOS}:990");
        let mut command = self.partner.command("openssl");
        command.args(["s_client", "-connect", &connect, version, self.weak[0], self.weak[1], "-ign_eof"]);
        command.stdin(Stdio::piped());
        let mut running = self.partner.start_command("openssl", command)?;
        // It lives when it is still connected a while after the handshake.
        let shaken = running.wait_for("Verify return code").is_ok();
        std::thread::sleep(std::time::Duration::from_millis(300));
        let lives = shaken && !running.ended()?;
        let said = running.said();
        let error = said.lines().find(|line| line.contains("errno")).unwrap_or("(no answer)").to_owned();
        Ok((lives, error))
    }

    /// A login by FTP and a download that takes half a second.
    fn ftp(&self, options: &[&str]) -> anyhow::Result<std::process::Output> {
        let url = format!("ftp://demo:demo-password@{ZOS}/statements");
        let download = ["-sS", "-m", "10", "-o", "/dev/null", "--limit-rate", "600K", &url];
        self.partner.run("curl", &[&download, options].concat())
    }

    /// The number of the connection to a foreign socket, as the operator finds it.
    fn connection_to(&self, foreign: &str) -> anyhow::Result<String> {
        let mut found = None;
        lab::wait_until("the connection is listed", || {
            let report = self.agent.succeed("console", &["D TCPIP,,NETSTAT,CONN"])?;
            found = report.lines().find(|line| line.contains(foreign) && line.contains("ESTBLSH")).map(str::to_owned);
            Ok(found.is_some())
        })?;
        let line = found.context("no connection")?;
        line.split_whitespace()
            .find(|word| word.len() == 8 && word.chars().all(|c| c.is_ascii_hexdigit()))
            .map(str::to_owned)
            .with_context(|| format!("no connection id in `{line}`"))
    }
}

/// A field of a record by its JSON pointer; null when it is not there.
fn field<'a>(record: &'a serde_json::Value, pointer: &str) -> &'a serde_json::Value {
    record.pointer(pointer).unwrap_or(&serde_json::Value::Null)
}
