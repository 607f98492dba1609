//! The kernel rules that hold packets of connections whose protection is judged before anything of use passes.
//!
//! nftables of many kernels cannot queue, xtables can: two chains in the table `mangle`, IPv4 and IPv6. Connections are told apart by
//! two values in the three bits that are this project's: held, and released. What has another mark of ours is the AT-TLS
//! engine's. Without the daemon nobody answers for the queue, and the kernel drops what is held.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use policies::Policy;
use policies::address::PortRange;

/// The chains.
const CHAINS: [(&str, &str); 2] = [("INPUT", "PAGENT_HOLD_IN"), ("OUTPUT", "PAGENT_HOLD_OUT")];
const TOOLS: [&str; 2] = ["iptables", "ip6tables"];

/// Where held packets go, and how connections are marked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hold {
    /// The NFQUEUE number.
    pub queue: u16,
    /// The three bits of marks that are ours begin here.
    pub mark_shift: u32,
}

impl Hold {
    pub(crate) fn mask(self) -> u32 {
        7 << self.mark_shift
    }

    /// The verdict has fallen, or none is to fall: packets pass.
    pub(crate) fn released(self) -> u32 {
        5 << self.mark_shift
    }

    /// The verdict is waited for.
    pub(crate) fn held(self) -> u32 {
        6 << self.mark_shift
    }

    /// Both chains, as `iptables-restore --noflush` reads them.
    fn rules(self, ports: &Ports) -> String {
        let (mask, released, held) = (self.mask(), self.released(), self.held());
        let save = format!("-j CONNMARK --save-mark --nfmask {mask:#x} --ctmask {mask:#x}");
        let queue = format!("-j NFQUEUE --queue-num {}", self.queue);
        let mut text = String::from("*mangle\n");
        for (_, chain) in CHAINS {
            let _ = writeln!(text, ":{chain} - [0:0]");
        }
        for (hook, chain) in CHAINS {
            let mut rule = |words: String| {
                let _ = writeln!(text, "-A {chain} {words}");
            };
            // The AT-TLS engine's connections.
            for engine in 1..=4_u32 {
                rule(format!("-m connmark --mark {:#x}/{mask:#x} -j RETURN", engine << self.mark_shift));
            }
            // Marked by a verdict: kept with the connection.
            rule(format!("-m mark --mark {released:#x}/{mask:#x} {save}"));
            rule(format!("-m mark --mark {held:#x}/{mask:#x} {save}"));
            rule(format!("-m mark ! --mark 0x0/{mask:#x} -j RETURN"));
            let (local, remote) = if hook == "INPUT" { ("--dport", "--sport") } else { ("--sport", "--dport") };
            for range in &ports.allowed {
                rule(format!("-p tcp {local} {}:{} -j RETURN", range.0.start(), range.0.end()));
            }
            let mut matches: Vec<String> = Vec::new();
            for (word, ranges) in [(local, &ports.locals), (remote, &ports.remotes)] {
                matches.extend(ranges.iter().map(|range| format!("{word} {}:{} ", range.0.start(), range.0.end())));
            }
            if ports.all {
                matches = vec![String::new()];
            }
            // A SYN begins a connection, whatever an earlier one with its ends has left in conntrack.
            for ports in &matches {
                rule(format!("-p tcp {ports}--syn {queue}"));
            }
            rule(format!("-m connmark --mark {held:#x}/{mask:#x} -j MARK --set-xmark {held:#x}/{mask:#x}"));
            rule(format!("-p tcp -m connmark --mark {held:#x}/{mask:#x} {queue}"));
            rule(format!("-m connmark ! --mark 0x0/{mask:#x} -j RETURN"));
            for ports in &matches {
                rule(format!("-p tcp {ports}{queue}"));
            }
        }
        text.push_str("COMMIT\n");
        text
    }

    /// Puts the rules of a policy in the kernel, or takes them out where it holds nothing. `boot_file` keeps them for the next
    /// boot: it is written first.
    ///
    /// # Errors
    ///
    /// What the tool says; the rules of before are in force then.
    pub(crate) fn install(self, policy: &Policy, boot_file: &Path) -> io::Result<()> {
        let Some(ports) = Ports::of(policy) else { return remove(boot_file) };
        let text = self.rules(&ports);
        write_whole(boot_file, &at_boot(&text))?;
        for tool in tools() {
            run(&format!("{tool}-restore"), &["-w", "5", "--noflush"], &text)?;
            for (hook, chain) in CHAINS {
                let jump = |verb| ["-w", "5", "-t", "mangle", verb, hook, "-p", "tcp", "-j", chain];
                if run(tool, &jump("-C"), "").is_err() {
                    run(tool, &jump("-I"), "")?;
                }
            }
        }
        Ok(())
    }

    /// Whether the rules of a policy that holds connections are in the kernel still.
    pub(crate) fn is_installed(self) -> bool {
        let queue = format!("-j NFQUEUE --queue-num {}", self.queue);
        tools().all(|tool| {
            let said = run(tool, &["-w", "5", "-t", "mangle", "-S"], "").unwrap_or_default();
            CHAINS.into_iter().all(|(hook, chain)| {
                let begins = format!("-A {chain} ");
                said.lines().any(|line| line == format!("-A {hook} -p tcp -j {chain}"))
                    && said.lines().any(|line| line.starts_with(&begins) && line.ends_with(&queue))
            })
        })
    }
}

/// The same for a kernel that has nothing of it yet, jumps included.
fn at_boot(rules: &str) -> String {
    let jumps: String = CHAINS.map(|(hook, chain)| format!("-I {hook} 1 -p tcp -j {chain}\n")).concat();
    rules.replace("COMMIT\n", &format!("{jumps}COMMIT\n"))
}

/// Writes a file as a whole or not at all.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let shown =
        |error: io::Error| io::Error::new(error.kind(), format!("{} cannot be written: {error}", path.display()));
    let temporary = path.with_extension("new");
    let written = fs::File::create(&temporary).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&temporary, path)).map_err(shown)
}

/// Takes the chains out, where they are, and out of the next boot.
///
/// # Errors
///
/// What the tool says.
pub fn remove(boot_file: &Path) -> io::Result<()> {
    match fs::remove_file(boot_file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    for tool in tools() {
        let said = match run(tool, &["-w", "5", "-t", "mangle", "-S"], "") {
            // Without the tool nothing has been held.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            said => said?,
        };
        for (hook, chain) in CHAINS {
            if !said.lines().any(|line| line == format!("-N {chain}")) {
                continue;
            }
            let table = |words: &[&'static str]| [&["-w", "5", "-t", "mangle"], words].concat();
            while run(tool, &table(&["-D", hook, "-p", "tcp", "-j", chain]), "").is_ok() {}
            run(tool, &table(&["-F", chain]), "")?;
            run(tool, &table(&["-X", chain]), "")?;
        }
    }
    Ok(())
}

/// Whether the kernel holds what some policy had it hold.
#[must_use]
pub fn is_in_the_kernel() -> bool {
    let said = |tool| run(tool, &["-w", "5", "-t", "mangle", "-S"], "").unwrap_or_default();
    tools().any(|tool| said(tool).lines().any(|line| CHAINS.iter().any(|(_, chain)| line == format!("-N {chain}"))))
}

/// The tools of the families that the kernel has.
fn tools() -> impl Iterator<Item = &'static str> {
    let ipv6 = Path::new("/proc/net/if_inet6").exists();
    TOOLS.into_iter().filter(move |tool| ipv6 || !tool.starts_with("ip6"))
}

/// Whether a policy has rules that hold connections.
#[must_use]
pub fn holds(policy: &Policy) -> bool {
    Ports::of(policy).is_some()
}

/// The ports whose packets have to wait: more than the rules say, never less.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Ports {
    /// A rule names no ports.
    all: bool,
    locals: Vec<PortRange>,
    remotes: Vec<PortRange>,
    /// This host's ports that are allowed whatever comes, before any rule that holds: they do without a daemon.
    allowed: Vec<PortRange>,
}

impl Ports {
    fn of(policy: &Policy) -> Option<Self> {
        let mut ports = Self::default();
        let mut begun = false;
        for rule in &policy.zert {
            let conditions = &rule.conditions;
            if !begun && rule.allows_all_to_its_ports() {
                ports.allowed.extend(conditions.local_ports.iter().cloned());
            }
            if !(rule.action.hold && rule.action.reset) {
                continue;
            }
            begun = true;
            match (conditions.local_ports.is_empty(), conditions.remote_ports.is_empty()) {
                (false, _) => ports.locals.extend(conditions.local_ports.iter().cloned()),
                (true, false) => ports.remotes.extend(conditions.remote_ports.iter().cloned()),
                (true, true) => ports.all = true,
            }
        }
        begun.then_some(ports)
    }
}

fn run(tool: &str, words: &[&str], input: &str) -> io::Result<String> {
    let missing = |error: io::Error| {
        io::Error::new(error.kind(), format!("`{tool}` cannot be run ({error}); install the package iptables"))
    };
    let mut child = Command::new(tool)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(missing)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("{tool} {}: {said}", words.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(text: &str) -> Option<Ports> {
        let (document, _) = policies::parse(&policies::Source::new("test", text));
        let (policy, diagnostics) = policies::resolve(&[document], false);
        assert!(!diagnostics.iter().any(|found| found.severity() == policies::Severity::Error), "{diagnostics:?}");
        Ports::of(&policy)
    }

    fn rule(name: &str, conditions: &str, hold: &str) -> String {
        format!(
            "zERTPolicyRule {name}\n{{\n{conditions}\nzERTPolicyActionRef {name}\n}}\nzERTPolicyAction {name}\n{{\n\
             Action Reset\nHold {hold}\nProtocol TLS\n}}\n"
        )
    }

    #[test]
    fn only_ports_of_rules_that_hold_are_held() {
        assert_eq!(ports(&rule("A", "LocalPortRange 21", "Off")), None);
        let text = rule("A", "LocalPortRange 21", "On") + &rule("B", "RemotePortRange 990-992", "On");
        let found = ports(&text).expect("ports");
        let hold = Hold { queue: 119, mark_shift: 16 };
        let text = hold.rules(&found);
        for expected in [
            "-A PAGENT_HOLD_IN -p tcp --dport 21:21 -j NFQUEUE --queue-num 119",
            "-A PAGENT_HOLD_OUT -p tcp --sport 21:21 -j NFQUEUE --queue-num 119",
            "-A PAGENT_HOLD_IN -p tcp --sport 990:992 -j NFQUEUE --queue-num 119",
            "-A PAGENT_HOLD_OUT -p tcp --dport 990:992 -j NFQUEUE --queue-num 119",
            "-A PAGENT_HOLD_IN -m connmark --mark 0x60000/0x70000 -j MARK --set-xmark 0x60000/0x70000",
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected}\n{text}");
        }
        // The AT-TLS engine's connections pass first, and a SYN is looked at whatever conntrack remembers.
        let place = |words: &str| text.lines().position(|line| line.contains(words)).expect(words);
        assert!(place("--mark 0x40000/0x70000 -j RETURN") < place("-j CONNMARK"));
        assert!(place("--dport 21:21 --syn -j NFQUEUE") < place("-m connmark ! --mark 0x0"));
    }

    #[test]
    fn ports_that_are_allowed_first_do_without_a_daemon() {
        let allow = "zERTPolicyRule SSH\n{\nLocalPortRange 22\nPriority 9\nzERTPolicyActionRef ALLOW\n}\n\
                     zERTPolicyAction ALLOW\n{\nAction Allow\n}\n";
        let all = rule("A", "LocalAddr All", "On");
        let found = ports(&(allow.to_owned() + &all)).expect("ports");
        assert!(found.all && found.allowed.len() == 1);
        let text = Hold { queue: 119, mark_shift: 16 }.rules(&found);
        let place = |words: &str| text.lines().position(|line| line == words).expect("the rule");
        let allowed = place("-A PAGENT_HOLD_IN -p tcp --dport 22:22 -j RETURN");
        assert!(allowed < place("-A PAGENT_HOLD_IN -p tcp --syn -j NFQUEUE --queue-num 119"));
        // For some peers only, or behind the rule that holds: not for all.
        let narrow = allow.replace("LocalPortRange 22", "LocalPortRange 22\nRemoteAddr 10.0.0.0/8");
        assert_eq!(ports(&(narrow + &all)).expect("ports").allowed, []);
        assert_eq!(
            ports(&(allow.replace("Priority 9", "Priority 1").replace("SSH", "ZZZ") + &all)).expect("ports").allowed,
            []
        );
    }
}
