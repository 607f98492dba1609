//! Reading what an SSH connection agrees on: banners, key exchange, the server's key.
//!
//! Source: RFC 4253 §4.2 (banners), §6 (packets), §7 (key exchange); strict key exchange from OpenSSH's PROTOCOL. What travels behind
//! NEWKEYS is encrypted and not looked at.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::observer::Side;

/// Bytes of one direction that are kept while they are incomplete.
const MAX_BUFFERED: usize = 64 * 1024;
/// RFC 4253 §6.1 has implementations take packets of 35,000 bytes.
const MAX_PACKET: usize = 40_000;
/// A banner, and each line a server may send before it (RFC 4253 §4.2).
const MAX_BANNER: usize = 255;

const DISCONNECT: u8 = 1;
const KEXINIT: u8 = 20;
const NEWKEYS: u8 = 21;
/// SSH_MSG_KEXDH_REPLY and KEX_ECDH_REPLY; of a group exchange (RFC 4419) it is SSH_MSG_KEX_DH_GEX_GROUP.
const REPLY: u8 = 31;
const GROUP_EXCHANGE: &str = "diffie-hellman-group-exchange-";
/// SSH_MSG_KEX_DH_GEX_REPLY.
const GROUP_EXCHANGE_REPLY: u8 = 33;
/// Ciphers that bring their own authentication.
const AEAD: [&str; 4] =
    ["chacha20-poly1305@openssh.com", "aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "AEAD_AES_256_GCM"];

/// What an SSH connection agreed on, as far as it is known.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Ssh {
    /// 1 or 2; 0 until both banners have come.
    pub version: u8,
    /// The client's banner, without its line end.
    pub client_banner: String,
    /// The server's.
    pub server_banner: String,
    /// The key exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_exchange: Option<String>,
    /// The size in bits of the group that a group exchange agreed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_bits: Option<u16>,
    /// The algorithm of the server's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
    /// From the client to the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_server: Option<Cipher>,
    /// From the server to the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_client: Option<Cipher>,
    /// Whether both ends keep to strict key exchange.
    pub strict: bool,
    /// The server's key itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_key: Option<HostKey>,
    /// The connection was given up before its keys were in use.
    pub failed: bool,
    /// Nothing more will be learned.
    pub complete: bool,
}

/// The protection of one direction.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Cipher {
    /// Encryption, by its SSH name.
    pub encryption: String,
    /// Message authentication; empty where the encryption brings it.
    pub authentication: String,
    /// Compression.
    pub compression: String,
}

/// A server's public key.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct HostKey {
    /// Its type, by its SSH name.
    pub kind: String,
    /// Its size in bits; 0 where the type does not say.
    pub bits: u16,
    /// SHA-256 of it.
    #[serde(serialize_with = "as_hexadecimal")]
    pub fingerprint: [u8; 32],
}

fn as_hexadecimal<S: serde::Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// Reads both directions of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reader {
    client: Stream,
    server: Stream,
    pub(crate) ssh: Ssh,
}

/// One direction.
#[derive(Clone, Debug, Default)]
struct Stream {
    pending: Vec<u8>,
    banner: Option<String>,
    /// Its name lists, in the order of RFC 4253 §7.1.
    lists: Option<Vec<Vec<String>>>,
    new_keys: bool,
    /// What came was no SSH, or more than can be kept.
    broken: bool,
}

impl Ssh {
    /// Whether both banners have come.
    pub(crate) fn is_determined(&self) -> bool {
        self.version != 0 || self.complete
    }
}

impl Reader {
    /// Takes bytes of one side.
    pub(crate) fn observe(&mut self, from: Side, bytes: &[u8]) {
        if self.ssh.complete {
            return;
        }
        let stream = match from {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        // Behind NEWKEYS all is encrypted.
        if !stream.new_keys && !stream.broken {
            stream.pending.extend_from_slice(bytes);
        }
        if stream.banner.is_none() {
            stream.take_banner();
        }
        self.settle_version();
        // Version 1 agrees in another manner, which is not read; which one it is both banners say.
        if self.ssh.version == 2 {
            self.packets(Side::Client);
            self.packets(Side::Server);
        }
        self.settle();
    }

    fn settle_version(&mut self) {
        let Self { client, server, ssh } = self;
        if let (0, Some(ours), Some(theirs)) = (ssh.version, &client.banner, &server.banner) {
            ssh.version = version(ours).min(version(theirs));
            (ssh.client_banner, ssh.server_banner) = (ours.clone(), theirs.clone());
            ssh.complete = ssh.version != 2;
        }
    }

    /// Takes the whole packets of a side that have come.
    fn packets(&mut self, from: Side) {
        loop {
            let Self { client, server, ssh } = self;
            let stream = match from {
                Side::Client => client,
                Side::Server => server,
            };
            if stream.new_keys || ssh.failed {
                return;
            }
            let Some(payload) = stream.next_packet() else { return };
            match payload.first() {
                Some(&KEXINIT) if stream.lists.is_none() => stream.lists = name_lists(&payload),
                Some(kind @ (&REPLY | &GROUP_EXCHANGE_REPLY)) if from == Side::Server => {
                    let first = payload.get(1..).and_then(string).map(|(first, _)| first);
                    let exchanges = ssh.key_exchange.as_deref().map(|name| name.starts_with(GROUP_EXCHANGE));
                    match (exchanges, *kind) {
                        (Some(true), REPLY) => ssh.group_bits = first.map(bits_of),
                        (Some(true), _) | (Some(false), REPLY) if ssh.server_key.is_none() => {
                            ssh.server_key = first.map(host_key);
                        }
                        _ => {}
                    }
                }
                Some(&NEWKEYS) => (stream.new_keys, stream.pending) = (true, Vec::new()),
                Some(&DISCONNECT) => ssh.failed = true,
                _ => {}
            }
            self.agree();
        }
    }

    /// Puts together what both directions said.
    fn agree(&mut self) {
        let Self { client, server, ssh } = self;
        if let (None, Some(ours), Some(theirs)) = (&ssh.key_exchange, &client.lists, &server.lists) {
            let chosen = |at: usize| -> Option<String> {
                let known = theirs.get(at)?;
                ours.get(at)?.iter().find(|name| known.contains(name) && !is_marker(name)).cloned()
            };
            let cipher = |at: usize| -> Option<Cipher> {
                let encryption = chosen(at)?;
                let authentication = match AEAD.contains(&encryption.as_str()) {
                    true => String::new(),
                    false => chosen(at + 2).unwrap_or_default(),
                };
                Some(Cipher { encryption, authentication, compression: chosen(at + 4).unwrap_or_default() })
            };
            ssh.key_exchange = chosen(0);
            ssh.host_key = chosen(1);
            (ssh.to_server, ssh.to_client) = (cipher(2), cipher(3));
            let marks = |lists: &[Vec<String>], mark: &str| {
                lists.first().is_some_and(|list| list.iter().any(|name| name == mark))
            };
            ssh.strict = marks(ours, "kex-strict-c-v00@openssh.com") && marks(theirs, "kex-strict-s-v00@openssh.com");
            // Nothing in common: the connection is given up.
            ssh.failed |= ssh.key_exchange.is_none() || ssh.to_server.is_none() || ssh.to_client.is_none();
        }
    }

    /// Whether nothing more will be learned.
    fn settle(&mut self) {
        let Self { client, server, ssh } = self;
        let over = client.new_keys && server.new_keys;
        // What is no SSH before keys are in use agrees on nothing; which version it is the banners say first.
        let broken = |stream: &Stream| stream.broken && (ssh.version == 2 || stream.banner.is_none());
        ssh.failed |= (broken(client) || broken(server)) && !over && ssh.version != 1;
        ssh.complete |= over || ssh.failed;
        if ssh.complete {
            (client.pending, server.pending) = (Vec::new(), Vec::new());
        }
    }
}

impl Reader {
    /// Whether the client has gone on before the server was seen to speak SSH.
    pub(crate) fn withholds(&self) -> bool {
        self.client.banner.is_some() && self.server.banner.is_none() && !self.client.pending.is_empty()
    }
}

impl Stream {
    /// The line that begins with `SSH-`; a server may send others before it.
    fn take_banner(&mut self) {
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            if line.starts_with(b"SSH-") {
                let text = String::from_utf8_lossy(&line);
                self.banner = Some(
                    text.trim_end().chars().map(|c| if c.is_control() { '?' } else { c }).take(MAX_BANNER).collect(),
                );
                return;
            }
        }
        self.broken |= self.pending.len() > MAX_BUFFERED;
    }

    /// The payload of the next whole packet before encryption.
    fn next_packet(&mut self) -> Option<Vec<u8>> {
        if self.banner.is_none() || self.new_keys || self.broken {
            return None;
        }
        let length = self.pending.first_chunk::<4>().map(|length| u32::from_be_bytes(*length))?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if !(2..=MAX_PACKET).contains(&length) {
            self.broken = true;
            return None;
        }
        let packet = self.pending.get(4..4 + length)?;
        let padding = usize::from(*packet.first()?);
        let payload = packet.get(1..length.saturating_sub(padding)).map(<[u8]>::to_vec);
        self.pending.drain(..4 + length);
        self.broken |= payload.is_none();
        payload
    }
}

/// `SSH-2.0-…` and `SSH-1.99-…` are version 2.
fn version(banner: &str) -> u8 {
    if banner.starts_with("SSH-2.") || banner.starts_with("SSH-1.99-") { 2 } else { 1 }
}

/// Names in the first list that are no key exchanges.
fn is_marker(name: &str) -> bool {
    name.starts_with("ext-info-") || name.starts_with("kex-strict-")
}

/// A string and what follows it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// The ten name lists of KEXINIT; none when it is malformed.
fn name_lists(payload: &[u8]) -> Option<Vec<Vec<String>>> {
    let mut rest = payload.get(1 + 16..)?;
    let mut lists = Vec::new();
    for _ in 0..10 {
        let (list, more) = string(rest)?;
        let plain = |name: &[u8]| -> String {
            name.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' }).take(64).collect()
        };
        lists.push(list.split(|byte| *byte == b',').filter(|name| !name.is_empty()).map(plain).collect());
        rest = more;
    }
    Some(lists)
}

/// The size of a number, in whole bytes.
fn bits_of(number: &[u8]) -> u16 {
    let bytes = number.iter().skip_while(|byte| **byte == 0).count();
    u16::try_from(bytes * 8).unwrap_or(u16::MAX)
}

/// RFC 4253 §6.6 and RFC 5656 §3.1.
fn host_key(blob: &[u8]) -> HostKey {
    let (kind, rest) = string(blob).unwrap_or_default();
    let kind: String =
        kind.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' }).take(64).collect();
    let bits = match kind.as_str() {
        // Exponent, then modulus.
        "ssh-rsa" => string(rest).and_then(|(_, rest)| string(rest)).map_or(0, |(modulus, _)| bits_of(modulus)),
        "ssh-dss" => string(rest).map_or(0, |(prime, _)| bits_of(prime)),
        "ssh-ed25519" => 256,
        "ecdsa-sha2-nistp256" => 256,
        "ecdsa-sha2-nistp384" => 384,
        "ecdsa-sha2-nistp521" => 521,
        _ => 0,
    };
    HostKey { kind, bits, fingerprint: Sha256::digest(blob).into() }
}
