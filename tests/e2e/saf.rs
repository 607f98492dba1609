//! Who may do what, at a shell: refused until PERMIT and REFRESH, explained, kept over crashes and a full disk, on SQLite and on
//! PostgreSQL.

use std::fs;
use std::process::{Command, Output, Stdio};

use pagent::lab::{ALICE, Agent, BOB, wait_until};

use crate::network::{Network, rule};
use crate::postgres::Server;

const INBOUND: &str = "LocalPortRange 7000\nDirection Inbound";

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn started(network: &Network, more: &str) -> anyhow::Result<Agent> {
    let mut agent = network.agent(&network.host)?;
    agent.configure(more)?;
    agent.policy(&rule("IN", INBOUND, "Server", "$RINGS/RING"))?;
    agent.start()?;
    Ok(agent)
}

fn tso(agent: &Agent, lines: &[&str]) -> anyhow::Result<()> {
    for line in lines {
        agent.succeed("tso", &[line])?;
    }
    Ok(())
}

fn pasearch(agent: &Agent, uid: u32) -> anyhow::Result<Output> {
    Ok(agent.command_as(uid, "pasearch", &["-p", "TTLS"]).output()?)
}

/// The story of the seed: no access, PERMIT, still none, REFRESH, access.
fn story(agent: &Agent) -> anyhow::Result<()> {
    tso(agent, &["ADDUSER ALICE NAME('A. LIDDELL')"])?;
    let refused = pasearch(agent, ALICE)?;
    assert_eq!(refused.status.code(), Some(8));
    assert!(
        said(&refused).contains("ICH408I USER(ALICE   ) GROUP(SYS1    ) NAME(A. LIDDELL          )"),
        "{refused:?}"
    );
    tso(
        agent,
        &["RDEFINE SERVAUTH EZB.PAGENT.** UACC(NONE)", "PERMIT EZB.PAGENT.** CLASS(SERVAUTH) ID(ALICE) ACCESS(READ)"],
    )?;
    let pending = agent.pagent(&["saf", "pending"])?;
    assert!(
        said(&pending).contains("+ EZB.PAGENT.** (G): ALICE READ") && pending.status.code() == Some(1),
        "{pending:?}"
    );
    assert_eq!(pasearch(agent, ALICE)?.status.code(), Some(8), "before the refresh");
    tso(agent, &["SETROPTS RACLIST(SERVAUTH) REFRESH"])?;
    let shown = pasearch(agent, ALICE)?;
    assert!(shown.status.success() && said(&shown).contains("IN"), "{shown:?}");
    Ok(())
}

#[test]
fn a_permit_opens_pasearch_after_the_refresh_and_the_tools_say_why() -> anyhow::Result<()> {
    let network = Network::new()?;
    let agent = started(&network, "")?;
    story(&agent)?;
    let resource = "EZB.PAGENT.SYSA.TCPIP.TTLS";
    let who = agent.succeed("pagent", &["saf", "who-can", resource])?;
    assert!(who.contains("ALICE        READ     user entry") && who.contains("ROOT"), "{who}");
    let what = agent.succeed("pagent", &["saf", "what-can", "alice"])?;
    assert!(what.contains("SERVAUTH EZB.PAGENT.** (G)"), "{what}");
    let dry = agent.succeed("pagent", &["saf", "dry-run", "PERMIT EZB.PAGENT.** CLASS(SERVAUTH) ID(ALICE) DELETE"])?;
    assert!(dry.contains("ALICE") && dry.contains("READ -> NONE"), "{dry}");
    assert!(pasearch(&agent, ALICE)?.status.success(), "a dry run changes nothing");
    let why = agent.pagent(&["saf", "explain", "BOB", resource])?;
    assert_eq!(why.status.code(), Some(1));
    assert!(
        said(&why).contains("because") && said(&why).contains("PERMIT EZB.PAGENT.** CLASS(SERVAUTH) ID(BOB)"),
        "{why:?}"
    );
    assert!(said(&agent.pagent(&["saf", "lint"])?).contains("nothing to complain of"));
    // Everybody may ask about themselves; of others only who lists profiles.
    let own = agent.command_as(ALICE, "pagent", &["saf", "what-can", "ALICE"]).output()?;
    assert!(own.status.success(), "{own:?}");
    for words in [&["saf", "what-can", "ROOT"][..], &["saf", "who-can", resource], &["saf", "lint"]] {
        let output = agent.command_as(ALICE, "pagent", words).output()?;
        assert_eq!(output.status.code(), Some(8), "{words:?} {output:?}");
    }
    for (words, expected) in [
        (&["saf", "who-can", "SOME.THING"][..], "--class SERVAUTH"),
        (&["saf", "who-can", resource, "SOME"], "`SOME` is no access level"),
        (&["saf", "what-can", "1BAD"], "`1BAD` is no user id"),
        (&["saf", "dry-run", "NONSENSE"], "IKJ56500I COMMAND NONSENSE NOT FOUND"),
    ] {
        let output = agent.pagent(words)?;
        assert!(!output.status.success() && said(&output).contains(expected), "{words:?} {output:?}");
    }
    Ok(())
}

#[test]
fn a_uid_is_one_user_or_refused() -> anyhow::Result<()> {
    let network = Network::new()?;
    let agent = started(&network, "")?;
    let open = ["RDEFINE SERVAUTH EZB.PAGENT.** UACC(NONE)", "PERMIT EZB.PAGENT.** CLASS(SERVAUTH) ID(WONDER)"];
    tso(&agent, &[&format!("ADDUSER WONDER OMVS(UID({ALICE}))")])?;
    tso(&agent, &open)?;
    tso(&agent, &["SETROPTS RACLIST(SERVAUTH) REFRESH"])?;
    assert!(pasearch(&agent, ALICE)?.status.success(), "the OMVS segment says who it is");
    let taken = agent.command("tso", &[&format!("ADDUSER SECOND OMVS(UID({ALICE}))")]).output()?;
    assert!(said(&taken).contains("IRR52174I INCORRECT UID"), "{taken:?}");
    tso(&agent, &[&format!("ADDUSER SECOND OMVS(UID({ALICE}) SHARED)")])?;
    assert!(said(&pasearch(&agent, ALICE)?).contains("SEVERAL USERS HAVE THE OMVS UID"));
    tso(&agent, &["DELUSER SECOND"])?;
    // A login name does not make somebody whose segment names another uid.
    tso(&agent, &["ADDUSER BOB OMVS(UID(4))", "PERMIT EZB.PAGENT.** CLASS(SERVAUTH) ID(BOB)"])?;
    tso(&agent, &["SETROPTS RACLIST(SERVAUTH) REFRESH"])?;
    assert!(said(&pasearch(&agent, BOB)?).contains("HAS ANOTHER OMVS UID"));
    tso(&agent, &["ALTUSER BOB OMVS(NOUID)"])?;
    assert!(pasearch(&agent, BOB)?.status.success());
    tso(&agent, &["ALTUSER BOB REVOKE"])?;
    assert!(said(&pasearch(&agent, BOB)?).contains("REVOKED USER ACCESS ATTEMPT"));
    Ok(())
}

#[test]
fn a_full_disk_refuses_commands_and_decisions_go_on() -> anyhow::Result<()> {
    let network = Network::new()?;
    let disk = network.lab.folder().join("disk");
    fs::create_dir(&disk)?;
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(&disk).status()?;
    assert!(mounted.success());
    let mut agent = network.agent(&network.host)?;
    agent.configure(&format!("saf = \"sqlite:{}/saf.db\"", disk.display()))?;
    agent.succeed("pagent", &["init"])?;
    agent.policy(&rule("IN", INBOUND, "Server", "$RINGS/RING"))?;
    agent.start()?;
    story(&agent)?;
    let filled = Command::new("sh").arg("-c").arg(format!("cat /dev/zero > {}/filler", disk.display())).output()?;
    assert!(!filled.status.success());
    let mut failed = None;
    for number in 0..2000 {
        let output = agent.command("tso", &[&format!("ADDUSER U{number} DATA('{}')", "X".repeat(250))]).output()?;
        if !output.status.success() {
            failed = Some(said(&output));
            break;
        }
    }
    let failed = failed.ok_or_else(|| anyhow::anyhow!("the disk never was full"))?;
    assert!(failed.contains("does not answer") && failed.contains("full"), "{failed}");
    assert!(pasearch(&agent, ALICE)?.status.success(), "the snapshot decides");
    assert_eq!(pasearch(&agent, BOB)?.status.code(), Some(8));
    fs::remove_file(disk.join("filler"))?;
    tso(&agent, &["ADDUSER AGAIN"])?;
    Ok(())
}

#[test]
fn a_kill_in_the_middle_of_commands_leaves_changes_and_records_in_agreement() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = started(&network, "")?;
    let commands: String = (0..10_000)
        .map(|number| {
            format!("ADDUSER U{number} +\n   NAME('N {number}')\nPERMIT EZB.** CLASS(SERVAUTH) ID(U{number})\n")
        })
        .collect();
    let file = network.lab.folder().join("commands");
    fs::write(&file, commands)?;
    let mut batch = agent.command("tso", &[]);
    let mut batch = batch.stdin(fs::File::open(&file)?).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let count = |agent: &Agent, query: &str| -> anyhow::Result<u64> {
        let database = agent.folder().join("state/saf.db");
        let output = network.host.succeed("sqlite3", &["-readonly", &database.to_string_lossy(), query])?;
        Ok(output.trim().parse()?)
    };
    wait_until("some commands are done", || Ok(count(&agent, "SELECT COUNT(*) FROM racf_audit")? > 200))?;
    agent.kill()?;
    assert!(!batch.wait()?.success(), "the batch says that the daemon went away");
    agent.start()?;
    let done = |verb: &str| format!("SELECT COUNT(*) FROM racf_audit WHERE result = 0 AND command LIKE '{verb} %'");
    let (added, permitted) = (count(&agent, &done("ADDUSER"))?, count(&agent, &done("PERMIT"))?);
    assert_eq!(count(&agent, "SELECT COUNT(*) FROM racf_users WHERE userid LIKE 'U%'")?, added);
    assert_eq!(count(&agent, "SELECT COUNT(*) FROM racf_connects WHERE userid LIKE 'U%'")?, added);
    assert_eq!(count(&agent, "SELECT COUNT(*) FROM racf_access WHERE id LIKE 'U%'")?, permitted);
    assert!(added >= permitted && permitted + 1 >= added && added > 90, "{added} {permitted}");
    Ok(())
}

#[test]
fn the_database_may_be_postgresql_s() -> anyhow::Result<()> {
    let network = Network::new()?;
    let server = Server::start(&network, &network.host, "ssl=off", "host all all all trust\n")?;
    let mut agent = network.agent(&network.host)?;
    agent.configure("saf = \"postgres://postgres@127.0.0.1/postgres\"")?;
    let made = agent.succeed("pagent", &["init"])?;
    assert!(made.contains("user ROOT defined with SPECIAL"), "{made}");
    agent.policy(&rule("IN", INBOUND, "Server", "$RINGS/RING"))?;
    agent.start()?;
    story(&agent)?;
    drop(server);
    let output = agent.command("tso", &["ADDUSER LATER"]).output()?;
    assert!(!output.status.success() && said(&output).contains("does not answer"), "{output:?}");
    assert!(pasearch(&agent, ALICE)?.status.success(), "the snapshot decides");
    Ok(())
}

#[test]
fn a_copy_is_made_while_the_daemon_runs_looked_over_and_put_back() -> anyhow::Result<()> {
    let network = Network::new()?;
    let mut agent = started(&network, "")?;
    story(&agent)?;
    let copy = network.lab.folder().join("copy.db").to_string_lossy().into_owned();
    agent.succeed("pagent", &["saf", "backup", &copy])?;
    assert!(said(&agent.pagent(&["saf", "backup", &copy])?).contains("exists"), "no copy is written over");
    let whole = agent.succeed("pagent", &["saf", "verify", &copy])?;
    assert!(whole.contains("is whole: 2 users, 1 groups, 5 profiles"), "{whole}");
    tso(&agent, &["DELUSER ALICE"])?;
    let running = agent.pagent(&["saf", "restore", &copy])?;
    assert!(!running.status.success() && said(&running).contains("a daemon runs"), "{running:?}");
    agent.stop()?;
    let broken = network.lab.folder().join("broken.db").to_string_lossy().into_owned();
    let bytes = fs::read(&copy)?;
    fs::write(&broken, bytes.get(..bytes.len() / 2).unwrap_or_default())?;
    let refused = agent.pagent(&["saf", "restore", &broken])?;
    assert!(!refused.status.success(), "{refused:?}");
    assert!(said(&agent.pagent(&["saf", "verify"])?).contains("1 users"), "the database is as it was");
    agent.succeed("pagent", &["saf", "restore", &copy])?;
    agent.start()?;
    assert!(pasearch(&agent, ALICE)?.status.success());
    // What only the log of a killed daemon's database has is in the earlier database, and comes back from it.
    tso(&agent, &["ADDUSER LATE"])?;
    agent.kill()?;
    agent.succeed("pagent", &["saf", "restore", &copy])?;
    let earlier = agent.folder().join("state/saf.db.before-restore").to_string_lossy().into_owned();
    agent.succeed("pagent", &["saf", "restore", &earlier])?;
    agent.start()?;
    assert!(agent.succeed("tso", &["LISTUSER LATE"])?.contains("USER=LATE"));
    let import = agent.pagent(&["saf", "import", "/dev/null"])?;
    assert!(!import.status.success() && said(&import).contains("a daemon runs"), "{import:?}");
    Ok(())
}

#[test]
fn what_is_asked_for_is_recorded_as_type_80() -> anyhow::Result<()> {
    let network = Network::new()?;
    let agent = started(&network, "")?;
    story(&agent)?;
    agent.command_as(ALICE, "tso", &["ADDUSER EVE PASSWORD(SECRET)"]).output()?;
    let of = |event: &str, who: &str| -> anyhow::Result<Vec<serde_json::Value>> {
        let records = agent.records()?.into_iter();
        Ok(records.filter(|record| record["event_name"] == event && record["userid"] == who).collect())
    };
    // Two refusals before the refresh; what was permitted is not asked for.
    wait_until("the refusals are recorded", || Ok(of("ACCESS", "ALICE")?.len() == 2))?;
    let refused = &of("ACCESS", "ALICE")?[1];
    for (field, expected) in [
        ("qualifier_name", "INSAUTH"),
        ("class", "SERVAUTH"),
        ("resource", "EZB.PAGENT.SYSA.TCPIP.TTLS"),
        ("profile", "EZB.**"),
        ("intent", "READ"),
        ("allowed", "NONE"),
        ("group", "SYS1"),
        ("name", "A. LIDDELL"),
        ("system", "SYSA"),
    ] {
        assert_eq!(refused[field], expected, "{refused:#}");
    }
    assert_eq!(refused["violation"], true);
    // Commands of SPECIAL users (SAUDIT), refused ones (CMDVIOL), and SETROPTS always; no password.
    let permit = of("PERMIT", "ROOT")?;
    assert_eq!(permit.len(), 1, "{permit:#?}");
    assert_eq!(permit[0]["log"], "PERMIT EZB.PAGENT.** CLASS(SERVAUTH) ID(ALICE) ACCESS(READ)");
    wait_until("the refused command is recorded", || Ok(of("ADDUSER", "ALICE")?.len() == 1))?;
    let violation = &of("ADDUSER", "ALICE")?[0];
    assert_eq!(
        (&violation["qualifier_name"], &violation["log"]),
        (&"INSAUTH".into(), &"ADDUSER EVE PASSWORD(***)".into())
    );
    assert_eq!(of("SETROPTS", "ROOT")?.len(), 1);
    // What an auditor asks for counts at once for the class, and after a refresh for the profile.
    tso(&agent, &["ADDUSER AUDITOR AUDITOR OMVS(UID(61002))", "SETROPTS NOSAUDIT NOCMDVIOL"])
        .expect_err("for auditors");
    agent.command_as(BOB, "tso", &["SETROPTS LOGOPTIONS(ALWAYS(SERVAUTH)) NOSAUDIT"]).output()?;
    tso(&agent, &["ADDUSER QUIET"])?;
    assert!(pasearch(&agent, ALICE)?.status.success());
    wait_until("the success is recorded", || Ok(of("ACCESS", "ALICE")?.len() == 3))?;
    assert_eq!(of("ACCESS", "ALICE")?[2]["qualifier_name"], "SUCCESS");
    assert!(of("ADDUSER", "ROOT")?.iter().all(|record| record["log"] != "ADDUSER QUIET"));
    let text = agent.succeed("smf", &["list"])?;
    assert!(text.contains("SMF 80 ACCESS INSAUTH") && text.contains("command     PERMIT EZB.PAGENT.**"), "{text}");
    Ok(())
}

/// A READY prompt at a terminal, which `script` plays.
fn at_terminal(agent: &Agent, line: &str) -> anyhow::Result<String> {
    let tso = agent.command("tso", &[]);
    let words: Vec<_> = tso.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let program = tso.get_program().to_string_lossy().into_owned();
    let shell = format!("{program} {}", words.join(" "));
    let mut prompt = Command::new("script");
    let mut prompt = prompt.args(["-qec", &shell, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    std::io::Write::write_all(&mut prompt.stdin.take().expect("a pipe"), format!("{line}\nEND\n").as_bytes())?;
    Ok(said(&prompt.wait_with_output()?))
}

#[test]
fn a_session_begins_with_its_last_one_and_what_a_profile_s_notify_says() -> anyhow::Result<()> {
    let network = Network::new()?;
    let agent = started(&network, "")?;
    tso(&agent, &["ADDUSER ALICE NAME('A. LIDDELL')", "RDEFINE SERVAUTH EZB.PAGENT.** UACC(NONE) NOTIFY(ROOT)"])?;
    tso(&agent, &["SETROPTS RACLIST(SERVAUTH) REFRESH"])?;
    assert!(agent.succeed("tso", &["LISTUSER ROOT"])?.contains(" LAST-ACCESS=UNKNOWN"));
    assert_eq!(pasearch(&agent, ALICE)?.status.code(), Some(8));
    let mut said = String::new();
    wait_until("ROOT is told", || {
        said += &at_terminal(&agent, "LISTUSER ROOT")?;
        Ok(said.contains("ICH70004I"))
    })?;
    assert!(
        said.contains(
            "ICH70004I USER(ALICE   ) GROUP(SYS1    ) NAME(A. LIDDELL          ) ATTEMPTED 'READ' ACCESS OF \
                       'EZB.PAGENT.SYSA.TCPIP.TTLS' IN CLASS 'SERVAUTH' AT "
        ),
        "{said}"
    );
    let again = at_terminal(&agent, "LISTUSER ROOT")?;
    assert!(again.contains("ICH70001I ROOT     LAST ACCESS AT ") && !again.contains("ICH70004I"), "{again}");
    assert!(!again.contains("LAST-ACCESS=UNKNOWN") && again.contains(" LAST-ACCESS="), "{again}");
    // Sessions that do not begin are on record.
    tso(&agent, &["ALTUSER ALICE REVOKE"])?;
    assert_eq!(pasearch(&agent, ALICE)?.status.code(), Some(8));
    agent.records_when("the refused session is on record", |records| {
        records.iter().any(|record| {
            record["event"] == 1
                && record["qualifier"] == 6
                && record["userid"] == "ALICE"
                && record["violation"] == true
        })
    })?;
    Ok(())
}
