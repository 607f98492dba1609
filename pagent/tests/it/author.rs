//! The policy author's programs as they are called: what goes to standard output and standard error, and exit codes.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A clean policy: it has neither errors nor warnings nor notes.
const CLEAN: &str = "\
TTLSRule WEB
{
  LocalPortRange           8080
  Direction                Inbound
  TTLSGroupActionRef       ON
  TTLSEnvironmentActionRef SERVER
}

TTLSGroupAction ON
{
  TTLSEnabled On
}

TTLSEnvironmentAction SERVER
{
  HandshakeRole Server
  TTLSKeyringParms
  {
    Keyring /no/such/ring
  }
  TTLSEnvironmentAdvancedParms
  {
    TLSv1.2 On
    TLSv1.3 On
  }
}
";

/// A folder with a configuration of its own, so that the machine's plays no part.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().expect("a folder") };
        desk.file("pagent.toml", &format!("state = \"{}/state\"\n", desk.folder.path().display()));
        desk
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    }

    fn command(&self, program: &str, words: &[&str]) -> Command {
        let program = match program {
            "pasearch" => env!("CARGO_BIN_EXE_pasearch"),
            _ => env!("CARGO_BIN_EXE_pagent"),
        };
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).args(["--config", "pagent.toml"]).args(words).stdin(Stdio::null());
        command
    }

    fn run(&self, program: &str, words: &[&str]) -> (i32, String, String) {
        said(self.command(program, words).output().expect("the program"))
    }

    fn json(&self, program: &str, words: &[&str]) -> (i32, Value) {
        let (code, out, err) = self.run(program, words);
        (code, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}\n{err}")))
    }

    fn fed(&self, words: &[&str], input: &str) -> (i32, String, String) {
        let mut command = self.command("pagent", words);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program");
        child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
        said(child.wait_with_output().expect("it ends"))
    }
}

fn said(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("it ended by itself"), text(output.stdout), text(output.stderr))
}

#[test]
fn check_ends_with_0_1_or_2() {
    let desk = Desk::new();
    desk.file("clean.policy", CLEAN);
    desk.file("warned.policy", &CLEAN.replace("TLSv1.2 On", "TLSv1.2 On\n    TLSv1.1 On"));
    desk.file("noted.policy", &format!("LogLevel 31\nCodepage IBM-1047\n{CLEAN}"));
    desk.file("broken.policy", &CLEAN.replace("HandshakeRole", "HandshakeRoel"));
    for (words, code) in [
        (&["check", "clean.policy"][..], 0),
        (&["check", "--strict", "clean.policy"], 0),
        (&["check", "warned.policy"], 0),
        (&["check", "--strict", "warned.policy"], 1),
        (&["check", "--strict", "noted.policy"], 0),
        (&["check", "broken.policy"], 2),
        (&["check", "clean.policy", "broken.policy"], 2),
        (&["check", "missing.policy"], 2),
        (&["check", "."], 2),
    ] {
        let (found, _, err) = desk.run("pagent", words);
        assert_eq!(found, code, "{words:?}\n{err}");
    }
    let (_, out, err) = desk.run("pagent", &["check", "broken.policy"]);
    assert_eq!(out, "broken.policy: 1 TTLS rule, 0 zERT rules\n");
    assert!(
        err.contains("error[PAG0106]") && err.contains("broken.policy:16:3") && err.contains("did you mean"),
        "{err}"
    );
    let (code, _, err) = desk.fed(&["check", "-"], "TTLSRul R\n");
    assert!(code == 2 && err.contains("(standard input):1:1"), "{err}");
}

/// `| head` closes the output early; what the tool found out stays its exit code.
#[test]
fn exit_codes_do_not_depend_on_who_reads() {
    let desk = Desk::new();
    desk.file("clean.policy", CLEAN);
    desk.file("broken.policy", &CLEAN.replace("HandshakeRole", "HandshakeRoel"));
    desk.file("list.csv", "local,remote\n10.1.1.1:40000,10.2.2.2:443\n");
    let closed = || Stdio::from(std::io::pipe().expect("a pipe").1);
    for (program, words, code) in [
        ("pagent", &["check", "broken.policy"][..], 2),
        ("pagent", &["check", "missing.policy"], 2),
        ("pagent", &["check", "--json", "broken.policy"], 2),
        ("pagent", &["diff", "clean.policy", "/dev/null"], 1),
        ("pagent", &["diff", "clean.policy", "broken.policy"], 2),
        ("pagent", &["coverage", "--strict", "--connections", "list.csv", "clean.policy"], 1),
        ("pagent", &["fmt", "missing.policy", "clean.policy"], 2),
        ("pagent", &["fmt", "clean.policy"], 0),
        ("pasearch", &["--policy", "broken.policy"], 2),
        ("pasearch", &["--policy", "clean.policy"], 0),
    ] {
        let status = desk.command(program, words).stdout(closed()).stderr(closed()).status().expect("the program");
        assert_eq!(status.code(), Some(code), "{program} {words:?}");
    }
    let full = fs::File::create("/dev/full").expect("a full disk");
    let status = desk.command("pagent", &["fmt", "clean.policy"]).stdout(full).stderr(closed()).status();
    assert_eq!(status.expect("the program").code(), Some(12));
}

#[test]
fn check_looks_at_the_policy_of_every_stack() {
    let desk = Desk::new();
    desk.file("clean.policy", CLEAN);
    desk.file("other.conf", "TTLSConfig broken.policy\n");
    desk.file("broken.policy", &CLEAN.replace("HandshakeRole", "HandshakeRoel"));
    desk.file("main.conf", "TcpImage TCPIP\nTcpImage TCPIP2 other.conf\nTTLSConfig clean.policy\nLogLevl 1\n");
    let (code, out, err) = desk.run("pagent", &["check", "main.conf"]);
    assert!(code == 2 && err.contains("broken.policy:16:3"), "{err}");
    assert_eq!(err.matches("main.conf:4:1").count(), 1, "{err}");
    assert_eq!(
        out,
        "main.conf for TCPIP: 1 TTLS rule, 0 zERT rules\nmain.conf for TCPIP2: 1 TTLS rule, 0 zERT rules\n"
    );
    let (code, _, err) = desk.run("pagent", &["check", "--image", "TCPIP", "main.conf"]);
    assert!(code == 2 && !err.contains("broken.policy"), "{err}");
}

#[test]
fn explain_refuses_connections_that_no_host_has() {
    let desk = Desk::new();
    desk.file("p.policy", CLEAN);
    for (ends, said) in [
        (&["--local", "10.1.1.1:1", "--remote", "[::1]:2"][..], "IPv6"),
        (&["--local", "10.1.1.1:0", "--remote", "10.1.1.2:2"], "port 0"),
        (&["--local", "10.1.1.1:1", "--remote", "10.1.1.2:2", "--job", "FTPD12345"], "1 to 8 characters"),
        (&["--local", "10.1.1.1:1", "--remote", "10.1.1.2:2", "--user", "a*"], "1 to 8 characters"),
    ] {
        let words = [&["explain", "--direction", "in", "p.policy"][..], ends].concat();
        let (code, _, err) = desk.run("pagent", &words);
        assert!(code == 12 && err.contains(said), "{code} {err}");
    }
}

#[test]
fn the_standard_input_is_read_once() {
    let desk = Desk::new();
    for words in [&["diff", "-", "-"][..], &["check", "-", "-"], &["coverage", "-", "--connections", "-"]] {
        let (code, _, err) = desk.run("pagent", words);
        assert!(code == 12 && err.contains("once only"), "{words:?}: {err}");
    }
}

#[test]
fn check_reports_as_json_and_as_sarif() {
    let desk = Desk::new();
    desk.file("broken.policy", &CLEAN.replace("TTLSGroupActionRef       ON", "TTLSGroupActionRef       OM"));
    let (code, reports) = desk.json("pagent", &["check", "--json", "broken.policy"]);
    assert_eq!(code, 2);
    let first = &reports[0];
    assert_eq!((&first["code"], &first["severity"]), (&"PAG0112".into(), &"error".into()));
    assert_eq!((&first["line"], &first["column"], &first["end_column"]), (&5.into(), &28.into(), &30.into()));
    assert_eq!((&first["replacement"], &first["notes"][0]["line"]), (&"ON".into(), &9.into()));
    let (code, log) = desk.json("pagent", &["check", "--sarif", "broken.policy"]);
    assert_eq!((code, &log["version"]), (2, &"2.1.0".into()));
    let result = &log["runs"][0]["results"][0];
    assert_eq!((&result["ruleId"], &result["level"]), (&"PAG0112".into(), &"error".into()));
    let rule = usize::try_from(result["ruleIndex"].as_u64().expect("a number")).expect("an index");
    assert_eq!(log["runs"][0]["tool"]["driver"]["rules"][rule]["id"], "PAG0112");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(
        (&place["artifactLocation"]["uri"], &place["region"]["startLine"]),
        (&"broken.policy".into(), &5.into())
    );
}

#[test]
fn check_looks_at_key_rings_that_are_there() {
    let desk = Desk::new();
    let ring = desk.folder.path().join("ring");
    fs::create_dir(&ring).expect("a folder");
    desk.file("ring/readme.txt", "no certificate");
    desk.file("p.policy", &CLEAN.replace("/no/such/ring", &ring.display().to_string()));
    let (code, reports) = desk.json("pagent", &["check", "--strict", "--json", "p.policy"]);
    assert_eq!((code, &reports[0]["code"]), (1, &"PAG0221".into()), "{reports}");
}

#[test]
fn explain_names_the_rule_and_where_each_parameter_comes_from() {
    let desk = Desk::new();
    desk.file("p.policy", CLEAN);
    let asked = ["--local", "10.1.1.1:8080", "--remote", "10.2.2.2:50000", "--direction", "in", "p.policy"];
    let words: Vec<&str> = ["explain", "--json"].into_iter().chain(asked).collect();
    let (code, found) = desk.json("pagent", &words);
    assert_eq!((code, &found["rule"]["name"], &found["rule"]["origin"]), (0, &"WEB".into(), &"p.policy:1".into()));
    let parameter = |name: &str| {
        let list = found["parameters"].as_array().expect("a list");
        let found = list.iter().find(|parameter| parameter["name"] == name).expect(name);
        (found["value"].as_str().expect("text").to_owned(), found["origin"].as_str().expect("text").to_owned())
    };
    assert_eq!(parameter("TLSv1.3"), ("On".to_owned(), "p.policy:24".to_owned()));
    assert_eq!(parameter("HandshakeTimeout"), ("10".to_owned(), "default".to_owned()));
    let words = ["explain", "--local", "10.1.1.1:8081", "--remote", "10.2.2.2:1", "--direction", "in", "p.policy"];
    let (code, out, _) = desk.run("pagent", &words);
    assert!(
        code == 0
            && out.contains("no rule matches")
            && out.contains("local port is 8081, the rule wants local port 8080 (p.policy:3)"),
        "{out}"
    );
    let (code, _, err) = desk
        .run("pagent", &["explain", "--local", "nowhere", "--remote", "10.2.2.2:1", "--direction", "in", "p.policy"]);
    assert!(code == 2 && err.contains("nowhere"), "{err}");
}

#[test]
fn explain_asks_for_an_hour_that_exists_once() {
    let desk = Desk::new();
    desk.file("p.policy", CLEAN);
    let at = |time: &str| {
        let words = [
            "explain",
            "--local",
            "10.1.1.1:8080",
            "--remote",
            "10.2.2.2:1",
            "--direction",
            "in",
            "--at",
            time,
            "p.policy",
        ];
        said(desk.command("pagent", &words).env("TZ", "Europe/Berlin").output().expect("the program"))
    };
    let (code, out, err) = at("2026-07-01 02:30");
    assert!(code == 0 && out.contains("2026-07-01 02:30:00 +02:00"), "{err}");
    let (code, _, err) = at("2026-03-29 02:30");
    assert!(code == 2 && err.contains("put forward"), "{err}");
    let (code, _, err) = at("2026-10-25 02:30");
    assert!(
        code == 2 && err.contains("2026-10-25T02:30:00+02:00") && err.contains("2026-10-25T02:30:00+01:00"),
        "{err}"
    );
}

#[test]
fn diff_tells_which_connections_change_and_ends_with_1() {
    let desk = Desk::new();
    desk.file("old.policy", CLEAN);
    // Renamed and moved, the same is the same.
    let same = CLEAN.replace("TTLSRule WEB", "\n# moved\nTTLSRule WEB");
    desk.file("same.policy", &same);
    assert_eq!(desk.run("pagent", &["diff", "old.policy", "same.policy"]).0, 0);
    desk.file("new.policy", &CLEAN.replace("8080", "8080-8081"));
    let (code, changes) = desk.json("pagent", &["diff", "--json", "old.policy", "new.policy"]);
    assert_eq!((code, changes.as_array().map(Vec::len)), (1, Some(1)), "{changes}");
    assert_eq!(changes[0]["connections"]["local_port"], serde_json::json!(["8081"]));
    assert_eq!((&changes[0]["old"]["rule"], &changes[0]["new"]["rule"]), (&Value::Null, &"WEB".into()));
    desk.file("broken.policy", "TTLSRul R\n");
    let (code, out, err) = desk.run("pagent", &["diff", "old.policy", "broken.policy"]);
    assert!(code == 2 && out.is_empty() && err.contains("PAG0105"), "{err}");
}

#[test]
fn coverage_takes_what_ss_prints() {
    let desk = Desk::new();
    desk.file("p.policy", CLEAN);
    let list = "\
State  Recv-Q Send-Q Local Address:Port Peer Address:Port
LISTEN 0      128          0.0.0.0:8080      0.0.0.0:*
ESTAB  0      0           10.1.1.1:8080     10.2.2.2:50000
ESTAB  0      0           10.1.1.1:40000    10.2.2.2:443
";
    let (code, out, err) = desk.fed(&["coverage", "--strict", "--connections", "-", "p.policy"], list);
    assert_eq!(code, 1, "{err}");
    assert!(out.contains("2 connections: 1 TLS, 0 clear by a rule, 1 clear without a rule"), "{out}");
    let ends = "10.1.1.1:8080,10.2.2.2:50000";
    let list = format!("local,remote,direction\n{ends},in\n{ends},\n");
    let (_, out, err) = desk.fed(&["coverage", "--connections", "-", "p.policy"], &list);
    assert!(err.contains("1 of 2 connections are taken as outbound"), "{err}");
    assert!(out.contains("2 connections: 1 TLS, 0 clear by a rule, 1 clear without a rule"), "{out}");
    let (code, _, err) = desk.fed(&["coverage", "--connections", "-", "p.policy"], "local,remote\n10.1.1.1:1,here\n");
    assert!(code == 2 && err.contains("line 2") && err.contains("`here`"), "{err}");
}

#[test]
fn fmt_checks_prints_and_writes() {
    let desk = Desk::new();
    let path = desk.file("p.policy", "TTLSGroupAction ON\nttlsenabled on ;; always\n");
    let (code, _, err) = desk.run("pagent", &["fmt", "--check", "p.policy"]);
    assert!(code == 1 && err.contains("p.policy"), "{err}");
    let formatted = "TTLSGroupAction ON\n{\n  TTLSEnabled On  # always\n}\n";
    assert_eq!(desk.run("pagent", &["fmt", "p.policy"]), (0, formatted.to_owned(), String::new()));
    assert_eq!(desk.run("pagent", &["fmt", "--write", "p.policy"]).0, 0);
    assert_eq!(fs::read_to_string(&path).expect("the file"), formatted);
    assert_eq!(desk.run("pagent", &["fmt", "--check", "p.policy"]).0, 0);
    desk.file("broken.policy", "TTLSGroupAction ON {\n");
    let (code, out, err) = desk.run("pagent", &["fmt", "--write", "broken.policy"]);
    assert!(code == 2 && out.is_empty() && err.contains("PAG0101"), "{err}");
}

#[test]
fn pasearch_reads_a_policy_file_without_a_daemon() {
    let desk = Desk::new();
    desk.file("p.policy", CLEAN);
    let (code, out, _) = desk.run("pasearch", &["-t", "--policy", "p.policy"]);
    assert!(code == 0 && out.contains("\npolicyRule:             WEB\n"), "{out}");
    let (code, out, _) = desk.run("pasearch", &["-tn", "--policy", "p.policy"]);
    assert!(code == 0 && !out.contains("Rule Type"), "{out}");
    let (code, out, _) = desk.run("pasearch", &["-t", "-f", "SERVER", "--policy", "p.policy"]);
    assert!(code == 0 && !out.contains("policyRule:") && out.contains("TTLS Action:                  SERVER"), "{out}");
    let (code, out, _) = desk.run("pasearch", &["-t", "-f", "NOBODY", "--policy", "p.policy"]);
    assert_eq!((code, out.as_str()), (0, "No TTLS policies retrieved\n"));
    let (code, report) = desk.json("pasearch", &["--json", "--policy", "p.policy"]);
    assert_eq!((code, &report["ttls"][0]["name"]), (0, &"WEB".into()));
    assert_eq!(desk.run("pasearch", &["-p", "NOSUCH", "--policy", "p.policy"]).0, 12);
    desk.file("broken.policy", "TTLSRul R\n");
    let (code, out, err) = desk.run("pasearch", &["-t", "--policy", "broken.policy"]);
    assert!(code == 2 && out.is_empty() && err.contains("PAG0105"), "{err}");
    let (code, _, err) = desk.run("pasearch", &["-t"]);
    assert!(code == 12 && err.contains("pagent run"), "{err}");
}
