//! `Negotiate ftp`: FTPS spoken in the stead of programs that know FTP only, with vsftpd and curl on both sides.

use std::fs;
use std::path::PathBuf;

use pagent::lab::{Agent, Capture, Host, Running, wait_until};

use crate::controlled::{ACTIVE, FTPS};
use crate::network::{HOST, Network, PEER, rule, with};

/// A file that is too long for one record, and text that would be seen on the wire.
pub(crate) fn content() -> Vec<u8> {
    (0..400_000).flat_map(|line: u32| format!("PAYLOAD {line:08}\n").into_bytes()).collect()
}

/// The folder that a server serves, with a folder `up` to write to.
fn served(network: &Network) -> anyhow::Result<PathBuf> {
    let folder = network.lab.folder().join("ftp");
    fs::create_dir_all(folder.join("up"))?;
    fs::write(folder.join("file"), content())?;
    Ok(folder)
}

/// vsftpd on port 21 for everybody, with these settings more.
pub(crate) fn vsftpd(network: &Network, host: &Host, more: &str) -> anyhow::Result<Running> {
    let folder = served(network)?;
    let (file, empty) = (network.lab.folder().join("vsftpd.conf"), network.lab.folder().join("empty"));
    fs::create_dir_all(&empty)?;
    let settings = format!(
        "listen=NO\nlisten_ipv6=YES\nbackground=NO\nrun_as_launching_user=YES\nseccomp_sandbox=NO\nanonymous_enable=YES\n\
         no_anon_password=YES\nwrite_enable=YES\nanon_upload_enable=YES\nanon_other_write_enable=YES\n\
         allow_writeable_chroot=YES\nlocal_enable=NO\nconnect_from_port_20=NO\npasv_min_port=50000\npasv_max_port=50099\n\
         anon_root={}\nsecure_chroot_dir={}\n{more}\n",
        folder.display(),
        empty.display()
    );
    fs::write(&file, settings)?;
    host.serve(21, "/usr/sbin/vsftpd", &[&file.to_string_lossy()])
}

pub(crate) struct Curl<'a> {
    pub(crate) network: &'a Network,
    pub(crate) host: &'a Host,
    pub(crate) words: Vec<String>,
}

impl Curl<'_> {
    pub(crate) fn run(&self, url: &str, more: &[&str]) -> anyhow::Result<std::process::Output> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).chain(more.iter().copied()).collect();
        self.host.run("curl", &[&["-sS", "-m", "20"], &words[..], &[&format!("ftp://server.example/{url}")]].concat())
    }

    /// Fetches the file and puts it back, and compares.
    fn both_ways(&self, more: &[&str], said: &dyn Fn() -> String) -> anyhow::Result<()> {
        let folder = self.network.lab.folder();
        let (got, put) = (folder.join("got"), folder.join("ftp/up/put"));
        let _ = (fs::remove_file(&got), fs::remove_file(&put));
        let local = got.to_string_lossy();
        let fetched = self.run("file", &[more, &["-o", &local]].concat())?;
        assert!(fetched.status.success(), "{more:?} {fetched:?}\n{}", said());
        assert!(fs::read(&got)? == content(), "{more:?}");
        let stored = self.run("up/put", &[more, &["-T", &local]].concat())?;
        assert!(stored.status.success(), "{more:?} {stored:?}\n{}", said());
        wait_until("the file is whole", || Ok(fs::read(&put).is_ok_and(|put| put == content())))?;
        let listed = self.run("", more)?;
        assert!(String::from_utf8_lossy(&listed.stdout).contains("file"), "{more:?} {listed:?}\n{}", said());
        Ok(())
    }
}

/// Data connections that carried a file, as the daemon shows them.
fn data_connections(agent: &Agent) -> anyhow::Result<Vec<serde_json::Value>> {
    let sessions: Vec<serde_json::Value> = serde_json::from_str(&agent.succeed("pagent", &["connections", "--json"])?)?;
    let long = u64::try_from(content().len())?;
    let carried = |session: &serde_json::Value| {
        session["bytes_in"].as_u64() >= Some(long) || session["bytes_out"].as_u64() >= Some(long)
    };
    Ok(sessions.into_iter().filter(carried).collect())
}

/// A client that asks for data without their protection.
const UNPROTECTED: &str = "
import ftplib, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
context.check_hostname = False
ftp = ftplib.FTP_TLS(context=context)
ftp.connect(sys.argv[1], 21)
ftp.login()
try:
    ftp.retrbinary('RETR file', print)
except ftplib.error_perm as error:
    print(error)
";

#[test]
fn a_server_that_knows_no_tls_serves_ftps() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    let inbound = rule("FTP", "LocalPortRange 21\nDirection Inbound", "Server", "$RINGS/RING");
    agent.install(&with(&inbound, "TTLSEnvironmentAdvancedParms", "Negotiate ftp"))?;
    let server = vsftpd(&network, &network.host, "")?;
    let said = || format!("{}\n{}", server.said(), agent.log());
    let mut wire = Capture::start(&network.peer, network.lab.folder(), "wire")?;
    let ca = network.authority_file()?;
    for address in HOST {
        let words = ["--cacert", &ca, "--resolve", &format!("server.example:21:{address}")].map(str::to_owned).to_vec();
        let curl = Curl { network: &network, host: &network.peer, words };
        curl.both_ways(&["--ssl-reqd", "--tls-max", "1.2"], &said)?;
        curl.both_ways(&["--ssl-reqd", "--tlsv1.3"], &said)?;
        // Active: the server opens the data connection, and is the server of its TLS. (curl 7.88 cannot do that in TLS.)
        let got = network.lab.folder().join("active");
        let (script, file) = (format!("{FTPS}{ACTIVE}"), got.to_string_lossy());
        let output = network.peer.run("/usr/bin/python3", &["-c", &script, address, "21", &ca, "file", &file])?;
        assert!(output.status.success(), "{output:?}\n{}", said());
        assert!(fs::read(&got)? == content());
        // Without TLS there is no login; without protection of the data there are none.
        let plain = curl.run("file", &[])?;
        assert!(!plain.status.success());
        let output = network.peer.run("/usr/bin/python3", &["-c", UNPROTECTED, address, &ca])?;
        assert_eq!(String::from_utf8_lossy(&output.stdout), "521 PROT P first\n", "{output:?}");
    }
    wire.stop()?;
    assert_eq!(wire.packets_with("PAYLOAD")?, 0);
    assert_eq!(wire.packets_with("USER anonymous")?, 2, "the two attempts without TLS");
    assert!(wire.packets_with("AUTH")? >= 8);
    let data = data_connections(&agent)?;
    assert_eq!(data.len(), 10, "{data:?}");
    assert!(data.iter().all(|session| session["secondary"] == true && !session["negotiated"].is_null()), "{data:?}");
    Ok(())
}

/// A client whose data connection comes from another address of its host than its control connection.
const OTHER_ADDRESS: &str = "
import ftplib, socket, sys
ftp = ftplib.FTP()
ftp.connect(sys.argv[1], 21)
ftp.login()
port = int(ftp.sendcmd('EPSV').split('|')[3])
data = socket.create_connection((sys.argv[1], port), 10, source_address=(sys.argv[2], 0))
print(ftp.sendcmd('RETR file')[:3])
print(data.makefile('rb').readline())
";

#[test]
fn clients_that_know_no_tls_reach_servers_that_demand_ftps() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    let outbound = rule("FTP", "RemotePortRange 21\nDirection Outbound", "Client", "$RINGS/RING");
    agent.install(&outbound.replace("HostReferenceIdDNS", "Negotiate ftp\nHostReferenceIdDNS"))?;
    let pem = network.server_pem()?;
    let secured = format!(
        "ssl_enable=YES\nallow_anon_ssl=YES\nforce_anon_logins_ssl=YES\nforce_anon_data_ssl=YES\nrequire_ssl_reuse=YES\n\
         ssl_ciphers=HIGH\npasv_promiscuous=YES\nrsa_cert_file={pem}\nrsa_private_key_file={pem}"
    );
    let mut wire = Capture::start(&network.peer, network.lab.folder(), "wire")?;
    let server = vsftpd(&network, &network.peer, &secured)?;
    let said = || format!("{}\n{}", server.said(), agent.log());
    for address in PEER {
        let words = ["--resolve", &format!("server.example:21:{address}")].map(str::to_owned).to_vec();
        let curl = Curl { network: &network, host: &network.host, words };
        curl.both_ways(&[], &said)?;
        curl.both_ways(&["-P", "-"], &said)?;
    }
    network.host.succeed("ip", &["addr", "add", "10.1.0.9/24", "dev", "eth0"])?;
    let output = network.host.run("/usr/bin/python3", &["-c", OTHER_ADDRESS, PEER[0], "10.1.0.9"])?;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "150\nb'PAYLOAD 00000000\\n'\n", "{output:?}\n{}", said());
    wire.stop()?;
    assert_eq!(wire.packets_with("PAYLOAD")?, 0);
    assert_eq!(wire.packets_with("USER")?, 0);
    let data = data_connections(&agent)?;
    assert_eq!(data.len(), 8, "{data:?}");
    assert!(data.iter().all(|session| session["secondary"] == true && !session["negotiated"].is_null()), "{data:?}");
    // vsftpd takes no data connection that does not resume the control connection's session.
    assert!(data.iter().all(|session| session["negotiated"]["resumed"] == true), "{data:?}");
    Ok(())
}
