//! Clear-text dialogues that lead to TLS on the same connection.
//!
//! Until the client has asked for TLS and the server has agreed, what the client sends is looked at: the little that comes
//! before a login is let pass; a login, or anything else of use, makes the connection clear text.

mod ldap;
mod lines;
mod mysql;
mod postgres;
mod rdp;
mod xmpp;

use serde::Serialize;

pub(crate) use lines::Lines;

use crate::tls;

/// Nothing that comes before TLS is longer.
const MAX_MESSAGE: usize = 4096;

/// The protocols whose upgrade is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Upgrade {
    /// AUTH TLS (RFC 4217) or STARTTLS (RFC 3207): both greet with 220.
    FtpOrSmtp,
    /// RFC 9051 §6.2.1.
    Imap,
    /// RFC 2595 §4.
    Pop3,
    /// RFC 4511 §4.14.
    Ldap,
    /// RFC 6120 §5.
    Xmpp,
    /// SSLRequest.
    Postgres,
    /// The SSL request packet.
    Mysql,
    /// \[MS-RDPBCGR\] §5.4: X.224 negotiation.
    Rdp,
}

/// Where such a dialogue stands.
#[derive(Clone, Debug)]
pub(crate) enum Dialogue {
    Lines(Lines),
    Ldap(ldap::Ldap),
    Xmpp(xmpp::Xmpp),
    Postgres(postgres::Postgres),
    Mysql(mysql::Mysql),
    Rdp(rdp::Rdp),
}

/// What the last bytes brought.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Nothing decided.
    Wait,
    /// The client logged in, or spoke something else, in clear text.
    Clear,
    /// TLS begins with the client's next bytes; of them and of the server's these have come already.
    Upgraded { client: Vec<u8>, server: Vec<u8> },
}

/// Whether a server may greet so, as far as it has, and TLS or SSH follow: as the protocols of lines do, as MySQL, as SSH, or
/// with a hello (FTP's active mode).
pub(crate) fn may_greet(server: &[u8]) -> bool {
    let may_be_mysql = server.len() < 5 && server.get(2).is_none_or(|byte| *byte == 0);
    server.is_empty()
        || lines::greeted(server).is_some()
        || mysql::is_greeting(server)
        || may_be_mysql
        || Looks::beginning(server, b"SSH-") != Looks::No
        || tls::opening(server) != tls::Opening::Other
}

/// Whether a server greets as a protocol of lines does, or MySQL.
pub(crate) fn greets(server: &[u8]) -> bool {
    !server.is_empty() && (lines::greeted(server).is_some() || mysql::is_greeting(server))
}

/// Whether what a client began with may hold more than a request for TLS. Of most protocols such a beginning is the same
/// bytes each time; a message of LDAP is read when it is whole.
pub(crate) fn withholds_start(client: &[u8]) -> bool {
    ldap::looks(client) == Looks::Perhaps && !client.is_empty()
}

/// What follows a request for TLS before its answer must be a hello, as far as it goes: anything else would be read in clear
/// text (RFC 9051 §11.1 has servers drop it; some did not).
pub(crate) fn early(bytes: &[u8]) -> Step {
    if bytes.is_empty() || tls::opening(bytes) != tls::Opening::Other { Step::Wait } else { Step::Clear }
}

/// What the first bytes of both sides are.
pub(crate) enum Beginning {
    /// More of them have to come.
    Unclear,
    /// Of a dialogue that may lead to TLS; the client's bytes are not taken yet.
    Dialogue(Dialogue),
    /// Nothing of that kind.
    Other,
}

/// Looks at how a connection begins, when the client has spoken; the server may have greeted before.
pub(crate) fn beginning(client: &[u8], server: &[u8]) -> Beginning {
    if !server.is_empty() {
        return match lines::greeted(server) {
            Some(lines) => Beginning::Dialogue(Dialogue::Lines(lines)),
            None if mysql::is_greeting(server) => Beginning::Dialogue(Dialogue::Mysql(mysql::Mysql::default())),
            None => Beginning::Other,
        };
    }
    let candidates = [
        (postgres::looks(client), Dialogue::Postgres(postgres::Postgres::default())),
        (ldap::looks(client), Dialogue::Ldap(ldap::Ldap::default())),
        (rdp::looks(client), Dialogue::Rdp(rdp::Rdp::default())),
        (xmpp::looks(client), Dialogue::Xmpp(xmpp::Xmpp::default())),
    ];
    let mut unclear = false;
    for (looks, dialogue) in candidates {
        match looks {
            Looks::Yes => return Beginning::Dialogue(dialogue),
            Looks::Perhaps => unclear = true,
            Looks::No => {}
        }
    }
    if unclear { Beginning::Unclear } else { Beginning::Other }
}

/// Whether bytes are a protocol's first ones.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Looks {
    Yes,
    Perhaps,
    No,
}

impl Looks {
    /// Whether bytes begin with this.
    fn beginning(bytes: &[u8], expected: &[u8]) -> Self {
        if bytes.starts_with(expected) {
            Self::Yes
        } else if expected.starts_with(bytes) {
            Self::Perhaps
        } else {
            Self::No
        }
    }
}

impl Dialogue {
    /// Takes bytes of the client.
    pub(crate) fn client(&mut self, bytes: &[u8]) -> Step {
        match self {
            Self::Lines(lines) => lines.client(bytes),
            Self::Ldap(ldap) => ldap.client(bytes),
            Self::Xmpp(xmpp) => xmpp.client(bytes),
            Self::Postgres(postgres) => postgres.client(bytes),
            Self::Mysql(mysql) => mysql.client(bytes),
            Self::Rdp(rdp) => rdp.client(bytes),
        }
    }

    /// Takes bytes of the server.
    pub(crate) fn server(&mut self, bytes: &[u8]) -> Step {
        match self {
            Self::Lines(lines) => lines.server(bytes),
            Self::Ldap(ldap) => ldap.server(bytes),
            Self::Xmpp(xmpp) => xmpp.server(bytes),
            Self::Postgres(postgres) => postgres.server(bytes),
            // The greeting was all it says before TLS.
            Self::Mysql(_) => Step::Wait,
            Self::Rdp(rdp) => rdp.server(bytes),
        }
    }

    /// Whether the client has sent a part of a message that is read when it is whole.
    pub(crate) fn withholds(&self) -> bool {
        match self {
            Self::Mysql(_) => false,
            Self::Lines(lines) => lines.withholds(),
            Self::Postgres(postgres) => postgres.withholds(),
            Self::Ldap(ldap) => ldap.withholds(),
            Self::Xmpp(xmpp) => xmpp.withholds(),
            Self::Rdp(rdp) => rdp.withholds(),
        }
    }

    /// The dialogue as it goes on in clear text; none of protocols that ask for TLS at their beginning only.
    pub(crate) fn goes_on(self) -> Option<Lines> {
        match self {
            Self::Lines(lines) => Some(lines.into_listening()),
            Self::Ldap(_) | Self::Xmpp(_) | Self::Postgres(_) | Self::Mysql(_) | Self::Rdp(_) => None,
        }
    }

    /// The protocol.
    pub(crate) fn upgrade(&self) -> Upgrade {
        match self {
            Self::Lines(lines) => lines.upgrade(),
            Self::Ldap(_) => Upgrade::Ldap,
            Self::Xmpp(_) => Upgrade::Xmpp,
            Self::Postgres(_) => Upgrade::Postgres,
            Self::Mysql(_) => Upgrade::Mysql,
            Self::Rdp(_) => Upgrade::Rdp,
        }
    }
}
