//! Programs that control TLS of their connections (`ApplicationControlled On`), in Python and C, and an FTP server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pagent::lab::{Agent, Capture, Host, Running};

use crate::network::{HOST, Network, PEER, rule, with};

/// The folder `api` of the project.
pub(crate) fn api() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../api")
}

pub(crate) fn controlled(name: &str, conditions: &str, role: &str, more: &str) -> String {
    let rule = rule(name, conditions, role, "$RINGS/RING");
    let parameters = format!("ApplicationControlled On\n{more}");
    if role == "Client" {
        rule.replace("HostReferenceIdDNS", &format!("{parameters}\nHostReferenceIdDNS"))
    } else {
        with(&rule, "TTLSEnvironmentAdvancedParms", &parameters)
    }
}

/// A Python program that can import `attls` and finds the agent.
pub(crate) fn python(host: &Host, agent: &Agent, arguments: &[&str]) -> Command {
    let mut command = host.command("/usr/bin/python3");
    command.arg("-u").args(arguments).env("PYTHONPATH", api()).env("ATTLS_DAEMON", agent.folder().join("pagent.sock"));
    command
}

fn printed(mut command: Command) -> anyhow::Result<String> {
    let output = command.output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

/// A server that begins in clear text, does TLS between STARTTLS and its end, twice, and echoes lines.
pub(crate) const PEER_SERVER: &str = "
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
listener = socket.create_server(('::', 7000), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    connection, _ = listener.accept()
    def line(stream):
        text = b''
        while not text.endswith(b'\\n'):
            byte = stream.recv(1)
            if not byte:
                return b''
            text += byte
        return text
    try:
        for word in iter(lambda: line(connection), b''):
            connection.sendall(b'clear ' + word)
            if word != b'STARTTLS\\n':
                continue
            secured = context.wrap_socket(connection, server_side=True)
            for word in iter(lambda: line(secured), b''):
                secured.sendall(secured.version().encode() + b' ' + word)
            connection = secured.unwrap()
    except OSError as error:
        print(error)
";

const CLIENT: &str = "
import attls, os, socket, sys
host, port = sys.argv[1], int(sys.argv[2])
connection = socket.create_connection((host, port), 10)
lines = connection.makefile('rb')
def say(word):
    connection.sendall(word.encode() + b'\\n')
    print(lines.readline().decode().strip())
def ask(*requests):
    try:
        status = attls.control(connection, *requests)
        print(status['policy'], status['connection'], status['security_type'], status['protocol'])
    except OSError as error:
        print(error.args[0], error)
def as_nobody():
    if os.fork() == 0:
        os.setuid(65534)
        ask(attls.STOP_CONNECTION)
        os._exit(0)
    os.wait()
ask()
if port != 7000:
    ask(attls.INIT_CONNECTION)
    sys.exit()
say('one')
ask(attls.RESET_CIPHER)
ask(attls.INIT_CONNECTION, attls.STOP_CONNECTION)
for _ in range(2):
    say('STARTTLS')
    ask(attls.INIT_CONNECTION)
    say('two')
    ask(attls.INIT_CONNECTION)
    ask(attls.RESET_CIPHER, attls.RESET_SESSION)
    say('three')
    as_nobody()
    print(attls.query(connection, certificate=True)['certificate'].split('\\n')[0])
    ask(attls.STOP_CONNECTION)
    say('four')
";

#[test]
fn a_client_starts_and_stops_tls_on_its_connection() -> anyhow::Result<()> {
    let network = Network::new()?;
    let certificate = network.server_pem()?;
    let server = network.peer.serve(7000, "/usr/bin/python3", &["-u", "-c", PEER_SERVER, &certificate])?;
    let arguments = ["s_server", "-accept", "7001", "-cert", &certificate, "-www", "-quiet"];
    let _web = network.peer.serve(7001, "openssl", &arguments)?;
    let _other = network.web(&network.peer, 7002, "nothing")?;
    let mut agent = network.agent(&network.host)?;
    let policy = controlled("AWARE", "RemotePortRange 7000\nDirection Outbound", "Client", "")
        + &rule("AUTO", "RemotePortRange 7001\nDirection Outbound", "Client", "$RINGS/RING");
    agent.install(&policy)?;
    let mut wire = Capture::start(&network.peer, network.lab.folder(), "wire")?;
    let said = printed(python(&network.host, &agent, &["-c", CLIENT, PEER[0], "7000"]))?;
    wire.stop()?;
    let round = "clear STARTTLS\nApplicationControlled Secure Client 772\nTLSv1.3 two\n\
                 114 [Errno 114] TLS is active already\nApplicationControlled Secure Client 772\nTLSv1.3 three\n\
                 13 [Errno 13] the socket belongs to another user\n-----BEGIN CERTIFICATE-----\nApplicationControlled NotSecure Client None\n\
                 clear four\n";
    let expected = format!(
        "ApplicationControlled NotSecure Client None\nclear one\n95 [Errno 95] TLS is not active\n\
         1 [Errno 1] INIT_CONNECTION goes with neither STOP_CONNECTION nor a reset\n{round}{round}"
    );
    assert_eq!(said, expected, "{}\n{}", agent.log(), server.said());
    // What was said in clear text was seen in clear text, the rest was not.
    assert!(wire.packets_with("four")? > 0);
    assert_eq!(wire.packets_with("two")?, 0);
    // Other connections: TLS by itself, and no rule.
    let said = printed(python(&network.host, &agent, &["-c", CLIENT, PEER[0], "7001"]))?;
    assert_eq!(said, "Enabled Secure Client 772\n13 [Errno 13] rule AUTO does not say ApplicationControlled On\n");
    let said = printed(python(&network.host, &agent, &["-c", CLIENT, PEER[0], "7002"]))?;
    assert_eq!(said, "NoPolicy NotSecure Unknown None\n95 [Errno 95] no AT-TLS rule is for this connection\n");
    Ok(())
}

/// A server that answers STARTTLS (with more behind it, if told), counts what comes under TLS, and tells when TLS has ended.
const COUNTING: &str = "
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
listener = socket.create_server(('', 7000))
while True:
    connection, _ = listener.accept()
    try:
        connection.recv(9)
        connection.sendall(b'234 go\\n' + sys.argv[2].encode())
        secured = context.wrap_socket(connection, server_side=True)
        count = 0
        while piece := secured.recv(65536):
            count += len(piece)
        plain = secured.unwrap()
        plain.sendall(b'%d under TLS\\n' % count)
        plain.close()
    except OSError as error:
        print(error)
";

const SENDING: &str = "
import attls, socket, sys
connection = socket.create_connection((sys.argv[1], 7000), 10)
connection.sendall(b'STARTTLS\\n')
print(connection.recv(7))
try:
    attls.control(connection, attls.INIT_CONNECTION)
    connection.sendall(b'x' * 3000000)
    attls.control(connection, attls.STOP_CONNECTION)
    print(connection.recv(100))
except OSError as error:
    print(error.errno)
";

#[test]
fn what_was_said_before_an_order_goes_before_it_and_what_came_unread_ends_all() -> anyhow::Result<()> {
    let network = Network::new()?;
    let certificate = network.server_pem()?;
    let mut agent = network.agent(&network.host)?;
    agent.install(&controlled("AWARE", "RemotePortRange 7000\nDirection Outbound", "Client", ""))?;
    let client = || printed(python(&network.host, &agent, &["-c", SENDING, PEER[0]]));
    {
        let server = network.peer.serve(7000, "/usr/bin/python3", &["-u", "-c", COUNTING, &certificate, ""])?;
        for _ in 0..5 {
            let said = client()?;
            assert_eq!(said, "b'234 go\\n'\nb'3000000 under TLS\\n'\n", "{}\n{}", agent.log(), server.said());
        }
    }
    // Somebody in between adds an answer: the program must not take it for one that TLS has protected.
    let _server = network.peer.serve(7000, "/usr/bin/python3", &["-u", "-c", COUNTING, &certificate, "230 ok"])?;
    assert_eq!(client()?, "b'234 go\\n'\n104\n", "{}", agent.log());
    agent.says("RC: 5003 Initial Handshake: clear text came")?;
    Ok(())
}

const C_CLIENT: &str = r#"
#include "attls.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv) {
    char answer[64];
    struct attls_status status;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(7000)};
    inet_pton(AF_INET, argv[argc - 1], &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == -1 || write(fd, "STARTTLS\n", 9) != 9)
        return 1;
    if (read(fd, answer, sizeof answer) <= 0 || attls_control(fd, ATTLS_INIT_CONNECTION, &status) == -1) {
        puts(attls_message());
        return 1;
    }
    printf("%d %d %04x %04x %s %s %s\n", status.policy, status.secure, status.protocol, status.cipher,
           status.security_type, status.rule, status.environment);
    printf("%d %s\n", attls_control(fd, ATTLS_ALLOW_HSTIMEOUT, NULL), attls_message());
    ssize_t length = write(fd, "two\n", 4) == 4 ? read(fd, answer, sizeof answer - 1) : 0;
    answer[length > 0 ? length : 0] = 0;
    fputs(answer, stdout);
}
"#;

#[test]
fn the_c_library_does_the_same() -> anyhow::Result<()> {
    let network = Network::new()?;
    let certificate = network.server_pem()?;
    let _server = network.peer.serve(7000, "/usr/bin/python3", &["-u", "-c", PEER_SERVER, &certificate])?;
    let mut agent = network.agent(&network.host)?;
    agent.install(&controlled("AWARE", "RemotePortRange 7000\nDirection Outbound", "Client", ""))?;
    let (source, program) = (network.lab.folder().join("client.c"), network.lab.folder().join("client"));
    fs::write(&source, C_CLIENT)?;
    let api = api();
    let mut compiler = Command::new("cc");
    compiler.args(["-Wall", "-Wextra", "-Werror", "-I"]).arg(&api).arg(&source).arg(api.join("attls.c"));
    let compiled = compiler.arg("-o").arg(&program).output()?;
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let mut client = network.host.command(&program);
    client.arg(PEER[0]).env("ATTLS_DAEMON", agent.folder().join("pagent.sock"));
    let said = printed(client)?;
    let expected =
        "4 1 0304 1302 Client AWARE E_AWARE\n-1 ALLOW_HSTIMEOUT goes with INIT_CONNECTION only\nTLSv1.3 two\n";
    assert_eq!(said, expected, "{}", agent.log());
    Ok(())
}

/// A server that reads a line, answers, and after the seconds given starts TLS (or never, or with ALLOW_HSTIMEOUT).
const SERVER: &str = "
import attls, socket, sys, time
listener = socket.create_server(('::', 7000), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    connection, _ = listener.accept()
    try:
        connection.settimeout(20)
        print('read', connection.recv(100))
        connection.sendall(b'go\\n')
        if sys.argv[1] == 'never':
            print('read', connection.recv(100))
        elif sys.argv[1] == 'allow':
            try:
                attls.control(connection, attls.INIT_CONNECTION, attls.ALLOW_HSTIMEOUT)
            except OSError as error:
                print('refused', error.args[0])
        else:
            time.sleep(float(sys.argv[1]))
            attls.control(connection, attls.INIT_CONNECTION)
        print('read', connection.recv(100))
        connection.sendall(b'done\\n')
        connection.close()
    except OSError as error:
        print('error', error)
";

/// A client that shakes hands as soon as it may, or goes on in clear text.
const PEER_CLIENT: &str = "
import socket, ssl, sys
connection = socket.create_connection((sys.argv[1], 7000), 10)
connection.sendall(b'hello')
connection.recv(10)
try:
    if sys.argv[2] == 'tls':
        context = ssl.create_default_context(cafile=sys.argv[3])
        connection = context.wrap_socket(connection, server_hostname='server.example')
        print(connection.version())
    connection.sendall(b'payload')
    print(connection.recv(10))
except OSError as error:
    print('cut')
";

#[test]
fn a_handshake_waits_for_the_server_program_and_not_for_ever() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = network.agent(&network.host)?;
    let policy = controlled("IN", "LocalPortRange 7000\nDirection Inbound", "Server", "HandshakeTimeout 2\n");
    agent.install(&policy)?;
    let ca = network.authority_file()?;
    let client = |how: &str| {
        let output = network.peer.run("/usr/bin/python3", &["-c", PEER_CLIENT, HOST[0], how, &ca])?;
        anyhow::Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    };
    let server = |how: &str| -> anyhow::Result<Running> {
        let mut running = network.host.start_command("python3", python(&network.host, &agent, &["-c", SERVER, how]))?;
        pagent::lab::wait_until("the server listens", || {
            anyhow::ensure!(!running.ended()?, "{}", running.said());
            Ok(!network.host.succeed("ss", &["-Hltn", "sport = :7000"])?.is_empty())
        })?;
        Ok(running)
    };
    {
        // The client's hello is there a second before the program asks for it.
        let running = server("1")?;
        assert_eq!(client("tls")?, "TLSv1.3\nb'done\\n'\n", "{}\n{}", running.said(), agent.log());
        assert_eq!(running.said(), "read b'hello'\nread b'payload'\n");
    }
    {
        let running = server("never")?;
        assert_eq!(client("tls")?, "cut\n");
        pagent::lab::wait_until("the program is told", || Ok(running.said().contains("error")))?;
        assert!(!running.said().contains("x16"), "{}", running.said());
        agent.says("the program did not start TLS")?;
        agent.says("RC: 5004 ")?;
    }
    {
        // No handshake comes: with ALLOW_HSTIMEOUT the connection stays.
        let running = server("allow")?;
        let late = PEER_CLIENT.replace("try:", "import time; time.sleep(3)\ntry:");
        let output = network.peer.run("/usr/bin/python3", &["-c", &late, HOST[0], "clear", &ca])?;
        assert_eq!(String::from_utf8_lossy(&output.stdout), "b'done\\n'\n", "{}\n{}", running.said(), agent.log());
        assert_eq!(running.said(), "read b'hello'\nrefused 110\nread b'payload'\n");
    }
    Ok(())
}

/// A client of FTPS whose data connections are those of the host it means, whatever their address.
pub(crate) const FTPS: &str = "
import ftplib, os, ssl, sys, time
class Client(ftplib.FTP_TLS):
    def ntransfercmd(self, cmd, rest=None):
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        return self.context.wrap_socket(connection, server_hostname='server.example'), size
def client(address, port, authority):
    ftp = Client(context=ssl.create_default_context(cafile=authority))
    ftp.connect(address, port)
    ftp.host = 'server.example'
    return ftp
";

/// Fetches a file in active mode.
pub(crate) const ACTIVE: &str = "
ftp = client(sys.argv[1], int(sys.argv[2]), sys.argv[3])
ftp.login('user', 'secret') if sys.argv[2] == '2121' else ftp.login()
ftp.prot_p()
ftp.set_pasv(False)
with open(sys.argv[5], 'wb') as file:
    ftp.retrbinary('RETR ' + sys.argv[4], file.write)
ftp.quit()
";

/// FTP's data connections by a rule of their own, and as secondary connections, in both directions.
#[test]
fn an_ftp_server_without_tls_of_its_own_serves_ftps() -> anyhow::Result<()> {
    let by_rule = controlled("FTP", "LocalPortRange 2121\nDirection Inbound", "Server", "")
        + &controlled("FTP_DATA", "LocalPortRange 50000-50009\nDirection Inbound", "Server", "");
    let by_map = controlled("FTP", "LocalPortRange 2121\nDirection Inbound", "Server", "SecondaryMap On\n");
    for (policy, mapped) in [(by_rule, false), (by_map, true)] {
        let network = Network::new()?;
        let mut agent = network.agent(&network.host)?;
        agent.install(&policy)?;
        let _other = network.web(&network.host, 8080, "in clear text")?;
        let folder = network.lab.folder().join("files");
        fs::create_dir_all(&folder)?;
        let content: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
        fs::write(folder.join("big"), &content)?;
        let program = api().join("examples/ftpd.py");
        let arguments = [&*program.to_string_lossy(), &*folder.to_string_lossy(), "2121", "50000-50009"];
        let mut server = network.host.start_command("python3", python(&network.host, &agent, &arguments))?;
        pagent::lab::wait_until("the FTP server listens", || {
            anyhow::ensure!(!server.ended()?, "{}", server.said());
            Ok(!network.host.succeed("ss", &["-Hltn", "sport = :2121"])?.is_empty())
        })?;
        let mut wire = Capture::start(&network.peer, network.lab.folder(), "wire")?;
        let ca = network.authority_file()?;
        let resolve = format!("server.example:2121:{}", HOST[0]);
        let file = |name: &str| network.lab.folder().join(name).to_string_lossy().into_owned();
        let curl = |url: &str, more: &[&str]| {
            let url = format!("ftp://server.example:2121/{url}");
            let words = ["-sS", "-m", "30", "--resolve", &resolve, "--cacert", &ca, "-u", "user:secret", &url];
            network.peer.run("curl", &[&words[..], more].concat())
        };
        let (big, back) = (file("big"), file("back"));
        for version in [&["--tls-max", "1.2"][..], &["--tlsv1.3"]] {
            let got = curl("big", &[&["--ssl-reqd", "-o", &big], version].concat())?;
            assert!(got.status.success(), "{got:?}\n{}\n{}", server.said(), agent.log());
            assert!(fs::read(&big)? == content);
        }
        let put = curl("up", &["--ssl-reqd", "-T", &big])?;
        assert!(put.status.success(), "{put:?}\n{}\n{}", server.said(), agent.log());
        let whole = || Ok(fs::read(folder.join("up")).is_ok_and(|up| up == content));
        pagent::lab::wait_until("the upload is whole", whole)?;
        if mapped {
            // The server opens the data connection, and is the server of its TLS all the same.
            let got = network
                .peer
                .run("/usr/bin/python3", &["-c", &format!("{FTPS}{ACTIVE}"), HOST[0], "2121", &ca, "big", &back])?;
            assert!(got.status.success(), "{got:?}\n{}\n{}", server.said(), agent.log());
            assert!(fs::read(&back)? == content);
        }
        let refused = curl("big", &["-o", &back])?;
        assert!(!refused.status.success());
        wire.stop()?;
        // The password and the files were not seen; that AUTH was asked for was.
        assert_eq!(wire.packets_with("PASS secret")?, 0);
        assert_eq!(wire.packets_with("STOR up")?, 0);
        assert!(wire.packets_with("AUTH SSL")? + wire.packets_with("AUTH TLS")? > 0);
        let shown = agent.succeed("pagent", &["connections", "--json"])?;
        let sessions: Vec<serde_json::Value> = serde_json::from_str(&shown)?;
        let data = sessions
            .iter()
            .filter(|session| session["bytes_in"].as_u64().max(session["bytes_out"].as_u64()) >= Some(12_000_000));
        let data: Vec<_> = data.collect();
        assert_eq!(data.len(), if mapped { 4 } else { 3 }, "{shown}");
        assert!(data.iter().all(|session| session["negotiated"]["version"].as_u64() >= Some(0x0303)), "{shown}");
        assert!(data.iter().all(|session| session["secondary"] == mapped), "{shown}");
        // Another program's connections between the two are its own affair, while a session is up and after.
        let held = format!(
            "import ftplib, ssl, urllib.request\nftp = ftplib.FTP_TLS(context=ssl._create_unverified_context())\n\
             ftp.connect('{0}', 2121)\nftp.login('user', 'secret')\n\
             print(urllib.request.urlopen('http://{0}:8080/').read().decode())\nftp.quit()\n\
             print(urllib.request.urlopen('http://{0}:8080/').read().decode())",
            HOST[0]
        );
        let output = network.peer.run("/usr/bin/python3", &["-c", &held])?;
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said, "in clear text\nin clear text\n", "{output:?}\n{}", agent.log());
        let held = || -> anyhow::Result<bool> {
            let table = network.host.succeed("nft", &["list", "table", "inet", "pagent"])?;
            let set = table.split("set secondary4_").nth(1).and_then(|set| set.split_once('}'));
            Ok(set.is_some_and(|(set, _)| set.contains("elements")))
        };
        assert_eq!(held()?, mapped, "its program may still open a data connection");
        let emptied = || Ok(!held()?);
        pagent::lab::wait_until("the set is emptied", emptied)?;
    }
    Ok(())
}
