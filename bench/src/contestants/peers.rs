//! Other people's proxies.

use std::process::Command;

use pagent::lab::{Running, find_program};

use super::{program, write};
use crate::scenario::Role;
use crate::stage::{Stage, path};
use crate::tls::NAME;

/// Connections each of them must be able to hold.
const CONNECTIONS: u32 = 16_000;
/// Where Debian's nginx has the module that forwards TCP.
const NGINX_STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// A proxy.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Peer {
    Nginx,
    Haproxy,
    Hitch,
    Stunnel,
}

impl Peer {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Hitch => "hitch",
            Self::Stunnel => "stunnel",
        }
    }

    /// hitch as a client does not verify the server.
    pub(super) fn has_client_role(self) -> bool {
        self != Self::Hitch
    }

    fn program(self) -> &'static str {
        match self {
            Self::Stunnel => "stunnel4",
            Self::Nginx | Self::Haproxy | Self::Hitch => self.name(),
        }
    }

    /// `None` when it is not installed.
    pub(super) fn version(self) -> Option<String> {
        if self == Self::Nginx && !std::path::Path::new(NGINX_STREAM).is_file() {
            return None;
        }
        let flag = match self {
            Self::Nginx | Self::Haproxy => "-v",
            Self::Hitch => "--version",
            Self::Stunnel => "-version",
        };
        let output = Command::new(find_program(self.program())?).arg(flag).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let is_version = |word: &&str| word.trim_start_matches("nginx/").starts_with(|c: char| c.is_ascii_digit());
        let version = text.split_whitespace().find(is_version)?;
        Some(version.trim_start_matches("nginx/").to_owned())
    }

    /// Starts it and waits until it listens.
    pub(super) fn start(self, stage: &Stage) -> anyhow::Result<Running> {
        let text = match self {
            Self::Nginx => nginx(stage),
            Self::Haproxy => haproxy(stage),
            Self::Hitch => hitch(stage),
            Self::Stunnel => stunnel(stage),
        };
        let file = write(stage, self.name(), &text)?;
        let folder = path(stage.folder());
        let hitch = format!("--config={file}");
        let arguments: Vec<&str> = match self {
            Self::Nginx => vec!["-c", &file, "-p", folder, "-e", "stderr"],
            Self::Haproxy => vec!["-db", "-f", &file],
            Self::Hitch => vec![&hitch],
            Self::Stunnel => vec![&file],
        };
        stage.start_proxy(&program(self.program())?, &arguments)
    }
}

fn nginx(stage: &Stage) -> String {
    let (proxy, target, folder) = (stage.proxy(), stage.target(), path(stage.folder()));
    let server = match stage.role {
        Role::Server => format!(
            "listen {proxy} ssl backlog=4096;
    ssl_certificate {};
    ssl_certificate_key {};
    ssl_protocols TLSv1.3;
    ssl_ecdh_curve X25519:P-256;
    ssl_session_cache shared:sessions:512k;
    ssl_session_timeout 600s;
    ssl_session_tickets on;",
            path(&stage.certificate),
            path(&stage.key)
        ),
        Role::Client => format!(
            "listen {proxy} backlog=4096;
    proxy_ssl on;
    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate {};
    proxy_ssl_server_name on;
    proxy_ssl_name {NAME};
    proxy_ssl_protocols TLSv1.3;
    proxy_ssl_session_reuse on;
    proxy_ssl_conf_command Groups X25519:P-256;",
            path(&stage.authority)
        ),
    };
    format!(
        "load_module {NGINX_STREAM};
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{
  worker_connections {};
}}
stream {{
  tcp_nodelay on;
  server {{
    {server}
    proxy_timeout 600s;
    proxy_pass {target};
  }}
}}
",
        // A connection to the backend counts too.
        2 * CONNECTIONS
    )
}

fn haproxy(stage: &Stage) -> String {
    let (proxy, target) = (stage.proxy(), stage.target());
    let ends = match stage.role {
        Role::Server => format!(
            "bind {proxy} ssl crt {} ssl-min-ver TLSv1.3 curves X25519:P-256\n  server backend {target}",
            path(&stage.bundle)
        ),
        Role::Client => format!(
            "bind {proxy}\n  server backend {target} ssl verify required ca-file {} sni str({NAME}) verifyhost {NAME} \
             ssl-min-ver TLSv1.3",
            path(&stage.authority)
        ),
    };
    format!(
        "global
  nbthread 1
  maxconn {}
  tune.ssl.cachesize 2048
  tune.ssl.lifetime 600
defaults
  mode tcp
  timeout connect 5s
  timeout client 600s
  timeout server 600s
listen wrap
  {ends}
",
        CONNECTIONS / 2
    )
}

/// The server role only.
fn hitch(stage: &Stage) -> String {
    let (proxy, target) = (stage.proxy(), stage.target());
    format!(
        "frontend = \"[{}]:{}\"
backend = \"[{}]:{}\"
pem-file = \"{}\"
workers = 1
backlog = 4096
daemon = off
user = \"root\"
group = \"root\"
log-level = 0
tls-protos = TLSv1.3
ecdh-curve = \"X25519:P-256\"
",
        proxy.ip(),
        proxy.port(),
        target.ip(),
        target.port(),
        path(&stage.bundle)
    )
}

/// It has no number of workers: it starts a thread for each connection.
fn stunnel(stage: &Stage) -> String {
    let role = match stage.role {
        Role::Server => format!("cert = {}\nkey = {}", path(&stage.certificate), path(&stage.key)),
        Role::Client => format!(
            "client = yes\nverifyChain = yes\ncheckHost = {NAME}\nsni = {NAME}\nCAfile = {}",
            path(&stage.authority)
        ),
    };
    format!(
        "foreground = yes
pid =
syslog = no
debug = err
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[wrap]
accept = {}
connect = {}
{role}
sslVersionMin = TLSv1.3
curves = X25519:P-256
sessionCacheSize = 2048
sessionCacheTimeout = 600
",
        stage.proxy(),
        stage.target()
    )
}
