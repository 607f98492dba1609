//! What enforcement tells: EZZ8583I and EZZ8584I to syslog, the EZZ8551I group to the console.
//!
//! Source: *z/OS Communications Server: IP Messages Volume 4*; texts and the order of the fields are IBM's, the words in the fields
//! are ours where IBM's are not known.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Local};
use policies::Connection;
use policies::algorithm::Symmetric;
use policies::protection::Observed;
use smf::detail::Enforcement;
use stack::ConnectionId;

use crate::judge::version_name;
use crate::observer::Protection;

/// Messages of one rule within [`WINDOW`]; what comes beyond is counted.
const MOST: u32 = 100;
const WINDOW: Duration = Duration::from_secs(300);
/// Rules whose messages are counted; of others each is written.
const MOST_RULES: usize = 10_000;

/// What a message is about.
pub(super) struct Message<'a> {
    pub(super) stack: &'a str,
    pub(super) id: ConnectionId,
    pub(super) connection: &'a Connection,
    pub(super) protection: &'a Protection,
    pub(super) observed: &'a Observed,
    pub(super) enforcement: &'a Enforcement,
}

impl Message<'_> {
    fn version(&self) -> String {
        match (self.protection, self.observed.version) {
            (Protection::Ssh(_), Some(version)) => version.to_string(),
            (Protection::Tls(_), Some(version)) if self.observed.offered => {
                format!("{} (offered at best)", version_name(version))
            }
            (Protection::Tls(_), Some(version)) => version_name(version).to_owned(),
            _ => String::new(),
        }
    }

    fn protocol(&self) -> String {
        self.observed.protocol.word().to_ascii_uppercase()
    }

    fn key_exchange(&self) -> Option<String> {
        let exchange = self.observed.key_exchange?.word();
        Some(match self.observed.group {
            Some(group) => format!("{exchange} ({})", policies::group::name(group)),
            None => exchange.to_owned(),
        })
    }

    /// Encryption and message authentication of a direction.
    fn direction(&self, number: usize) -> Option<(String, &'static str)> {
        let Symmetric { encryption, bits, authentication } = self.observed.symmetric.get(number)?;
        let name = if *bits == 0 { encryption.word().to_owned() } else { format!("{}-{bits}", encryption.word()) };
        Some((name, authentication.map_or("", policies::algorithm::Authentication::word)))
    }
}

/// The line for syslog.
pub(super) fn syslog(message: &Message<'_>, now: DateTime<Local>) -> String {
    let (code, done) = if message.enforcement.reset { ("EZZ8584I", "reset") } else { ("EZZ8583I", "logged") };
    let Connection { local, remote, direction, jobname, userid } = message.connection;
    let (symenc1, msgauth1) = message.direction(0).unwrap_or_default();
    // The second direction, where it may differ: SSH's.
    let symenc2 = message.direction(1).unwrap_or_default().0;
    format!(
        "{code} Connection {done} by ZERT Policy Enforcement: {} connid= {} localipaddr= {} localport= {} \
         remoteipaddr= {} remoteport= {} transproto= TCP jobname= {} userid= {} conndir= {direction} secproto= {} \
         secprotoversion= {} symenc1= {symenc1} symenc2= {symenc2} msgauth1= {msgauth1} kex= {} rule= {} action= {}",
        now.format("%m/%d/%Y %H:%M:%S"),
        message.id,
        local.ip(),
        local.port(),
        remote.ip(),
        remote.port(),
        jobname.as_deref().unwrap_or_default(),
        userid.as_deref().unwrap_or_default(),
        message.protocol(),
        message.version(),
        message.key_exchange().unwrap_or_default(),
        message.enforcement.rule,
        message.enforcement.action,
    )
}

/// The lines for the console; what is not known has none.
pub(super) fn console(message: &Message<'_>) -> Vec<String> {
    let Connection { local, remote, direction, jobname, userid } = message.connection;
    let first = if message.enforcement.reset {
        "EZZ8562I CONN RESET BY ZERT POLICY"
    } else {
        "EZZ8551I CONN LOGGED BY ZERT POLICY"
    };
    let text = |name: &Option<String>| name.clone().unwrap_or_default();
    let mut lines = vec![
        first.to_owned(),
        format!(
            "EZZ8552I STACK= {} CONNID= {} CONNDIR= {}",
            message.stack,
            message.id,
            direction.to_string().to_ascii_uppercase()
        ),
        format!("EZZ8553I LOCALIPADDR= {} LOCALPORT= {}", local.ip(), local.port()),
        format!("EZZ8554I REMOTEIPADDR= {} REMOTEPORT= {}", remote.ip(), remote.port()),
        format!("EZZ8555I TRANSPROTO= TCP JOBNAME= {} USERID= {}", text(jobname), text(userid)),
        format!("EZZ8556I SECPROTO= {} SECPROTOVERSION= {}", message.protocol(), message.version()),
    ];
    for (number, code) in [(0, "EZZ8557I"), (1, "EZZ8558I")] {
        lines.extend(message.direction(number).map(|(encryption, authentication)| {
            let which = number + 1;
            format!("{code} SYMENC{which}= {encryption} MSGAUTH{which}= {authentication}")
        }));
    }
    lines.extend(message.key_exchange().map(|exchange| format!("EZZ8559I KEX= {exchange}")));
    lines.push(format!("EZZ8560I RULE= {}", message.enforcement.rule));
    lines.push(format!("EZZ8561I ACTION= {}", message.enforcement.action));
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}

/// Tells what was kept back.
pub(super) fn suppressed(rule: &str, count: u64) -> String {
    let minutes = WINDOW.as_secs() / 60;
    format!("zERT policy enforcement: {count} more connections in {minutes} minutes, messages suppressed: rule= {rule}")
}

/// Which messages are written while connections flood in.
#[derive(Debug, Default)]
pub(super) struct Suppression {
    rules: HashMap<String, Window>,
}

#[derive(Debug)]
struct Window {
    begun: Instant,
    written: u32,
    kept_back: u64,
}

impl Suppression {
    /// Whether a rule's message is written now.
    pub(super) fn admits(&mut self, rule: &str, now: Instant) -> bool {
        if let Some(window) = self.rules.get_mut(rule) {
            if window.written < MOST {
                window.written += 1;
                return true;
            }
            window.kept_back += 1;
            return false;
        }
        if self.rules.len() < MOST_RULES {
            self.rules.insert(rule.to_owned(), Window { begun: now, written: 1, kept_back: 0 });
        }
        true
    }

    /// The rules of which messages were kept back in a time that is over, and how many.
    pub(super) fn over(&mut self, now: Instant) -> Vec<(String, u64)> {
        let mut told = Vec::new();
        self.rules.retain(|rule, window| {
            let lasts = now.duration_since(window.begun) < WINDOW;
            if !lasts && window.kept_back > 0 {
                told.push((rule.clone(), window.kept_back));
            }
            lasts
        });
        told.sort();
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge;
    use crate::ssh::{Cipher, Ssh};
    use crate::tls::Handshake;
    use policies::Direction;

    fn told(protection: &Protection, reset: bool) -> (String, Vec<String>) {
        let connection = Connection {
            local: "10.1.1.1:21".parse().expect("an address"),
            remote: "10.2.2.2:40000".parse().expect("an address"),
            direction: Direction::Inbound,
            jobname: Some("FTPD1".to_owned()),
            userid: Some("FTPD".to_owned()),
        };
        let enforcement = Enforcement {
            rule: "REFUSE_WEAK_TLS".to_owned(),
            action: "TLS12_MIN".to_owned(),
            reset,
            logged: true,
            audited: false,
        };
        let observed = judge::observed(protection).expect("a protection");
        let message = Message {
            stack: "TCPIP",
            id: ConnectionId(0x1F),
            connection: &connection,
            protection,
            observed: &observed,
            enforcement: &enforcement,
        };
        (syslog(&message, Local::now()), console(&message))
    }

    #[test]
    fn fields_stand_in_ibm_s_order() {
        let tls = Handshake { version: 0x0302, suite: 0xC013, group: Some(29), complete: true, ..Handshake::default() };
        let (line, group) = told(&Protection::Tls(tls), true);
        let (_, fields) = line.split_once(" connid= ").expect("the connection's id");
        assert!(line.starts_with("EZZ8584I Connection reset by ZERT Policy Enforcement: "), "{line}");
        assert_eq!(
            fields,
            "0000001F localipaddr= 10.1.1.1 localport= 21 remoteipaddr= 10.2.2.2 remoteport= 40000 transproto= TCP \
             jobname= FTPD1 userid= FTPD conndir= Inbound secproto= TLS secprotoversion= TLSv1.1 symenc1= AES-CBC-128 \
             symenc2=  msgauth1= HMAC-SHA1 kex= ECDHE (x25519) rule= REFUSE_WEAK_TLS action= TLS12_MIN"
        );
        let expected = [
            "EZZ8562I CONN RESET BY ZERT POLICY",
            "EZZ8552I STACK= TCPIP CONNID= 0000001F CONNDIR= INBOUND",
            "EZZ8553I LOCALIPADDR= 10.1.1.1 LOCALPORT= 21",
            "EZZ8554I REMOTEIPADDR= 10.2.2.2 REMOTEPORT= 40000",
            "EZZ8555I TRANSPROTO= TCP JOBNAME= FTPD1 USERID= FTPD",
            "EZZ8556I SECPROTO= TLS SECPROTOVERSION= TLSv1.1",
            "EZZ8557I SYMENC1= AES-CBC-128 MSGAUTH1= HMAC-SHA1",
            "EZZ8559I KEX= ECDHE (x25519)",
            "EZZ8560I RULE= REFUSE_WEAK_TLS",
            "EZZ8561I ACTION= TLS12_MIN",
        ];
        assert_eq!(group, expected);
    }

    #[test]
    fn what_does_not_apply_has_no_line() {
        let (line, group) = told(&Protection::None, false);
        assert!(line.contains("secproto= NONE secprotoversion=  symenc1=  symenc2=  msgauth1=  kex=  rule="), "{line}");
        let codes: Vec<&str> = group.iter().filter_map(|line| line.split(' ').next()).collect();
        let expected = ["EZZ8551I", "EZZ8552I", "EZZ8553I", "EZZ8554I", "EZZ8555I", "EZZ8556I", "EZZ8560I", "EZZ8561I"];
        assert_eq!(codes, expected);
        let cipher = |encryption: &str| Cipher {
            encryption: encryption.to_owned(),
            authentication: "umac-64@openssh.com".to_owned(),
            compression: "none".to_owned(),
        };
        let ssh = Ssh {
            version: 2,
            to_server: Some(cipher("aes128-ctr")),
            to_client: Some(cipher("3des-cbc")),
            complete: true,
            ..Ssh::default()
        };
        let (line, group) = told(&Protection::Ssh(Box::new(ssh)), false);
        assert!(line.contains("secproto= SSH secprotoversion= 2 symenc1= AES-CTR-128 symenc2= 3DES-112"), "{line}");
        assert!(group.contains(&"EZZ8558I SYMENC2= 3DES-112 MSGAUTH2= UMAC".to_owned()), "{group:?}");
    }

    #[test]
    fn a_flood_is_told_in_numbers() {
        let mut suppression = Suppression::default();
        let begun = Instant::now();
        let written = (0..1000).filter(|_| suppression.admits("A", begun)).count();
        assert_eq!(written, 100);
        assert!(suppression.admits("B", begun), "each rule has its own");
        assert_eq!(suppression.over(begun + Duration::from_secs(299)), []);
        assert_eq!(suppression.over(begun + Duration::from_secs(300)), [("A".to_owned(), 900)]);
        assert!(suppression.admits("A", begun + Duration::from_secs(301)));
    }
}
