//! Captures read back, handshakes made up, packets built.

use std::collections::HashMap;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;

use etherparse::{LaxNetSlice, LaxSlicedPacket, PacketBuilder, TransportSlice};
use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};
use zert::replay::{Replay, ReplayError, Replayed};
use zert::{Observer, Protection, Side};

/// The handshakes, each one TLS connection from its first byte.
pub(crate) const HANDSHAKES: [&str; 41] = [
    "tls10",
    "tls11",
    "tls12-p256",
    "tls12-x25519",
    "tls12-cbc",
    "tls12-dhe",
    "tls12-dhe-6144",
    "tls12-anonymous",
    "tls12-psk",
    "tls12-resumed",
    "tls12-resumed-by-id",
    "tls12-refused",
    "tls13-x25519",
    "tls13-p256",
    "tls13-resumed",
    "tls13-retry",
    "tls13-ipv6",
    "version-mismatch",
    "tls-to-plain",
    "ssl3-tlslite",
    "ssl3-3des",
    "tls10-tlslite",
    "tls12-chacha-tlslite",
    "tls13-tlslite",
    "tls12-mutual",
    "tls13-mutual",
    "tls12-alpn",
    "tls13-alpn",
    "tls12-ccm8",
    "tls13-ccm",
    "tls13-ffdhe3072",
    "tls13-p521",
    "tls13-x448",
    "tls12-ed25519",
    "tls12-camellia",
    "tls12-aria",
    "tls13-psk",
    "gnutls-tls10",
    "gnutls-tls12-dhe",
    "gnutls-tls13",
    "gnutls-tls13-retry",
];

/// The others.
pub(crate) const DIALOGUES: [&str; 23] = [
    "plain",
    "ssh",
    "ssh-default",
    "ssh-old",
    "ssh-nistp256",
    "ssh-group-exchange",
    "ssh-nothing-in-common",
    "ssh-dropbear",
    "ftp-auth-tls",
    "ftp-clear",
    "ftp-clear-tls-server",
    "ftp-auth-refused",
    "starttls-smtp",
    "starttls-lmtp",
    "starttls-imap",
    "starttls-pop3",
    "starttls-ftp",
    "starttls-ldap",
    "starttls-postgres",
    "starttls-xmpp",
    "starttls-mysql",
    "starttls-rdp",
    "tls13-early",
];

pub(crate) fn all_captures() -> impl Iterator<Item = &'static str> {
    HANDSHAKES.into_iter().chain(DIALOGUES)
}

pub(crate) fn capture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures").join(name).with_extension("pcapng");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) type Turn = (Side, Vec<u8>);

/// The connections of a capture of one file.
pub(crate) fn replay(capture: impl Read + Send) -> Result<Vec<Replayed>, ReplayError> {
    let mut replay = Replay::default();
    replay.read(capture)?;
    Ok(replay.finish())
}

/// The IP packets of a capture of Ethernet frames.
pub(crate) fn ip_packets(name: &str) -> Vec<Vec<u8>> {
    let file = capture(name);
    let mut reader = create_reader(1 << 16, file.as_slice()).expect("a capture");
    let mut packets = Vec::new();
    while let Ok((length, block)) = reader.next() {
        if let PcapBlockOwned::NG(Block::EnhancedPacket(packet)) = &block {
            packets.push(packet.data[14..packet.caplen as usize].to_vec());
        }
        reader.consume(length);
    }
    packets
}

/// The payloads of each connection of a capture, in the order they were sent.
pub(crate) fn conversations(name: &str) -> Vec<Vec<Turn>> {
    let file = capture(name);
    let mut reader = create_reader(1 << 16, file.as_slice()).expect("a capture");
    let mut index: HashMap<(SocketAddr, SocketAddr), (usize, Side)> = HashMap::new();
    let mut found: Vec<Vec<Turn>> = Vec::new();
    loop {
        match reader.next() {
            Ok((length, block)) => {
                if let PcapBlockOwned::NG(Block::EnhancedPacket(packet)) = &block {
                    let sliced =
                        LaxSlicedPacket::from_ethernet(&packet.data[..packet.caplen as usize]).expect("a frame");
                    if let Some(TransportSlice::Tcp(tcp)) = &sliced.transport {
                        let (from, to) = match sliced.net.as_ref().expect("an IP packet") {
                            LaxNetSlice::Ipv4(ip) => {
                                (ip.header().source_addr().into(), ip.header().destination_addr().into())
                            }
                            LaxNetSlice::Ipv6(ip) => {
                                (ip.header().source_addr().into(), ip.header().destination_addr().into())
                            }
                            LaxNetSlice::Arp(_) => panic!("no ARP on a loopback"),
                        };
                        let from = SocketAddr::new(from, tcp.source_port());
                        let to = SocketAddr::new(to, tcp.destination_port());
                        if tcp.syn() && !tcp.ack() {
                            index.insert((from, to), (found.len(), Side::Client));
                            index.insert((to, from), (found.len(), Side::Server));
                            found.push(Vec::new());
                        }
                        let (at, side) = index[&(from, to)];
                        if !tcp.payload().is_empty() {
                            found[at].push((side, tcp.payload().to_vec()));
                        }
                    }
                }
                reader.consume(length);
            }
            Err(PcapError::Eof) => return found,
            Err(PcapError::Incomplete(_)) => reader.refill().expect("a slice can be read"),
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// The only connection of a capture of one, or the first: an FTP control connection.
pub(crate) fn conversation(name: &str) -> Vec<Turn> {
    conversations(name).into_iter().next().expect("a connection")
}

/// An observer whose answers are compared with every answer it gave before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched {
    pub(crate) observer: Observer,
}

impl Watched {
    pub(crate) fn feed(&mut self, from: Side, bytes: &[u8]) -> Result<(), String> {
        let before = self.observer.protection();
        let was_done = self.observer.is_done();
        let session = self.observer.session();
        let determined = self.observer.observe(from, bytes);
        let after = self.observer.protection();
        let another = self.observer.session() != session;
        if another && (self.observer.session() != session + 1 || !before.is_determined()) {
            return Err(format!("{before:?} was no session, and {after:?} is another"));
        }
        if determined != ((another || !before.is_determined()) && after.is_determined()) {
            return Err(format!("observe said {determined}: {before:?}, then {after:?}"));
        }
        if was_done && (!self.observer.is_done() || before != after) {
            return Err(format!("it was done, and yet {before:?} became {after:?}"));
        }
        let same = match (&before, &after) {
            _ if another => before != after,
            (Protection::Undetermined, _) => true,
            // What looked like a hello was none: no answer was given yet.
            (Protection::Tls(_), Protection::None) => !before.is_determined(),
            // What it agrees on becomes known later, once for all.
            (Protection::Ssh(old), Protection::Ssh(new)) => {
                (old.version == 0 || old.version == new.version)
                    && (old.key_exchange.is_none() || old.key_exchange == new.key_exchange)
                    && (old.to_server.is_none() || old.to_server == new.to_server)
            }
            (Protection::Tls(old), Protection::Tls(new)) => {
                old.version == new.version || (!before.is_determined() && old.version == 0)
            }
            _ => before == after,
        };
        if same { Ok(()) } else { Err(format!("{before:?} became {after:?}")) }
    }

    pub(crate) fn feed_bytewise(&mut self, from: Side, bytes: &[u8]) -> Result<(), String> {
        bytes.iter().try_for_each(|byte| self.feed(from, std::slice::from_ref(byte)))
    }
}

pub(crate) fn observe(turns: &[Turn]) -> Protection {
    let mut observer = Observer::default();
    for (from, bytes) in turns {
        observer.observe(*from, bytes);
    }
    observer.protection()
}

/// Cuts a stream of TLS records; what is left at its end is the last piece.
pub(crate) fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while let [_, _, _, high, low, ..] = bytes {
        let length = 5 + usize::from(u16::from_be_bytes([*high, *low]));
        let (record, rest) = bytes.split_at(length.min(bytes.len()));
        found.push(record.to_vec());
        bytes = rest;
    }
    if !bytes.is_empty() {
        found.push(bytes.to_vec());
    }
    found
}

pub(crate) const FATAL_HANDSHAKE_FAILURE: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];

pub(crate) fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("a record's length");
    [&[kind, 3, 3], length.to_be_bytes().as_slice(), body].concat()
}

pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a message's length").to_be_bytes();
    [&[kind], &length[1..], body].concat()
}

fn vector16(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a vector's length");
    [length.to_be_bytes().as_slice(), bytes].concat()
}

fn extension(kind: u16, value: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().to_vec(), vector16(value)].concat()
}

/// A ClientHello message that asks for `name`.
pub(crate) fn client_hello(name: &str) -> Vec<u8> {
    let server_name = vector16(&[vec![0], vector16(name.as_bytes())].concat());
    let body = [
        vec![3, 3],
        vec![0x11; 32],
        vec![0],
        vector16(&[0x13, 0x01, 0xC0, 0x2B]),
        vec![1, 0],
        vector16(&extension(0, &server_name)),
    ];
    message(1, &body.concat())
}

/// A ServerHello message; TLS 1.3 says its version and its group (P-256) in extensions.
pub(crate) fn server_hello(version: u16, suite: u16) -> Vec<u8> {
    let extensions = if version >= 0x0304 {
        [extension(43, &version.to_be_bytes()), extension(51, &[0, 23, 0, 1, 9])].concat()
    } else {
        Vec::new()
    };
    let body = [
        version.min(0x0303).to_be_bytes().to_vec(),
        vec![0x22; 32],
        vec![0],
        suite.to_be_bytes().to_vec(),
        vec![0],
        vector16(&extensions),
    ];
    message(2, &body.concat())
}

pub(crate) fn certificate(der: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a length").to_be_bytes()[1..].to_vec();
    let entry = [length(der), der.to_vec()].concat();
    message(11, &[length(&entry), entry].concat())
}

/// A ServerKeyExchange message of a named curve.
pub(crate) fn key_exchange(group: u16) -> Vec<u8> {
    message(12, &[vec![3], group.to_be_bytes().to_vec(), vec![0x33; 40]].concat())
}

/// A whole TLS 1.2 handshake, each element one flight.
pub(crate) fn tls12() -> Vec<Turn> {
    vec![
        (Side::Client, record(22, &client_hello("host.example"))),
        (
            Side::Server,
            [
                record(22, &server_hello(0x0303, 0xC02B)),
                record(22, &certificate(&[0x30; 700])),
                record(22, &key_exchange(23)),
                record(22, &message(14, &[])),
            ]
            .concat(),
        ),
        (Side::Client, [record(22, &message(16, &[7; 66])), record(20, &[1]), record(22, &[0xEE; 40])].concat()),
        (Side::Server, [record(20, &[1]), record(22, &[0xDD; 40])].concat()),
    ]
}

pub(crate) const SYN: u8 = 1;
pub(crate) const ACK: u8 = 2;
pub(crate) const FIN: u8 = 4;

/// Two ends and where their sequence numbers begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    pub(crate) ipv6: bool,
    pub(crate) client_start: u32,
    pub(crate) server_start: u32,
}

impl Default for Wire {
    fn default() -> Self {
        Self { ipv6: false, client_start: 1000, server_start: 90_000 }
    }
}

impl Wire {
    /// A raw IP packet; `position` counts from the first payload byte.
    pub(crate) fn packet(self, from: Side, position: usize, flags: u8, payload: &[u8]) -> Vec<u8> {
        let (start, source, destination, from_port, to_port) = match from {
            Side::Client => (self.client_start, 1, 2, 40_000, 443),
            Side::Server => (self.server_start, 2, 1, 443, 40_000),
        };
        let position = u32::try_from(position).expect("a position");
        let mut sequence = start.wrapping_add(1).wrapping_add(position);
        if flags & SYN != 0 {
            sequence = start;
        }
        let address = |last: u8| {
            let mut bytes = [0; 16];
            (bytes[0], bytes[15]) = (0xFD, last);
            bytes
        };
        let ip = if self.ipv6 {
            PacketBuilder::ipv6(address(source), address(destination), 64)
        } else {
            PacketBuilder::ipv4([10, 0, 0, source], [10, 0, 0, destination], 64)
        };
        let mut tcp = ip.tcp(from_port, to_port, sequence, 64_000);
        if flags & SYN != 0 {
            tcp = tcp.syn();
        }
        if flags & ACK != 0 {
            tcp = tcp.ack(1);
        }
        if flags & FIN != 0 {
            tcp = tcp.fin();
        }
        let mut packet = Vec::new();
        tcp.write(&mut packet, payload).expect("a packet");
        packet
    }

    /// The three packets that open a connection.
    pub(crate) fn opening(self) -> Vec<Vec<u8>> {
        vec![
            self.packet(Side::Client, 0, SYN, &[]),
            self.packet(Side::Server, 0, SYN | ACK, &[]),
            self.packet(Side::Client, 0, ACK, &[]),
        ]
    }
}

/// A legacy capture file.
pub(crate) fn pcap_of(link: u32, packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xA1B2_C3D4_u32, 0x0004_0002, 0, 0, 262_144, link] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    for packet in packets {
        let length = u32::try_from(packet.len()).expect("a length");
        for word in [1, 0, length, length] {
            file.extend_from_slice(&word.to_le_bytes());
        }
        file.extend_from_slice(packet);
    }
    file
}

pub(crate) fn replayed(packets: &[Vec<u8>]) -> Vec<Replayed> {
    replay(pcap_of(101, packets).as_slice()).expect("a capture")
}

pub(crate) fn only(found: Vec<Replayed>) -> Protection {
    let [one] = <[Replayed; 1]>::try_from(found).expect("one connection");
    one.protection
}
