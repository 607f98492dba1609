//! IPsec as the kernel knows it: policies and security associations, and those of a connection.
//!
//! Keys are never looked at: of an algorithm its name and the length of its key are taken. Source: `linux/xfrm.h`.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_sys::constants::NETLINK_XFRM;
use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, TokioSocket};

use crate::netlink::{self, DUMP, Message, REQUEST};
use crate::{Endpoints, StackError};

const GET_ASSOCIATION: u16 = 0x12;
const GET_POLICY: u16 = 0x15;
/// `XFRMNLGRP_ACQUIRE` is 1; SA and POLICY tell of what is made and deleted.
const CHANGE_GROUPS: [u32; 2] = [3, 4];
/// Lengths of `xfrm_usersa_info`, `xfrm_userpolicy_info`, `xfrm_user_tmpl`.
const ASSOCIATION: usize = 224;
const POLICY: usize = 168;
const TEMPLATE: usize = 64;
const ATTRIBUTE_AUTHENTICATION: u16 = 1;
const ATTRIBUTE_ENCRYPTION: u16 = 2;
const ATTRIBUTE_TEMPLATES: u16 = 5;
const ATTRIBUTE_AEAD: u16 = 18;
const ATTRIBUTE_AUTHENTICATION_TRUNCATED: u16 = 20;
const ATTRIBUTE_MARK: u16 = 21;
/// Of an interface of IPsec: for packets through that interface only.
const ATTRIBUTE_INTERFACE: u16 = 31;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const TCP: u8 = 6;
/// No limit of a lifetime.
const INFINITE: u64 = u64::MAX;

/// ESP's protocol number.
pub const ESP: u8 = 50;
/// AH's.
pub const AH: u8 = 51;

/// How packets are carried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// Between the connection's own ends.
    Transport,
    /// Between two gateways, or an end and one.
    Tunnel,
    /// Another number.
    Other(u8),
}

/// An algorithm: the kernel's name for it, as `cbc(aes)`, and the bits of its key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Algorithm {
    /// Its name.
    pub name: String,
    /// Bits of its key, a salt included where it has one.
    pub key_bits: u32,
}

/// Which packets something is for.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Selector {
    destination: (IpAddr, u8),
    source: (IpAddr, u8),
    destination_port: (u16, u16),
    source_port: (u16, u16),
    /// None: for either.
    family: Option<u16>,
    /// 0: for any.
    protocol: u8,
}

/// A security association.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Association {
    selector: Selector,
    /// Where packets come from.
    pub source: IpAddr,
    /// Where they go.
    pub destination: IpAddr,
    /// Its index at the destination.
    pub spi: u32,
    /// [`ESP`], [`AH`], or another number.
    pub protocol: u8,
    /// The request it was made for; 0 for none: it was made by hand.
    pub request: u32,
    /// How packets are carried.
    pub mode: Mode,
    /// Encryption, where it has a name of its own.
    pub encryption: Option<Algorithm>,
    /// Message authentication, where it has a name of its own.
    pub authentication: Option<Algorithm>,
    /// Both in one.
    pub aead: Option<Algorithm>,
    /// Bytes after which it is to be renewed.
    pub soft_bytes: Option<u64>,
    /// Seconds after which it is.
    pub soft_seconds: Option<u64>,
    added: u64,
}

/// What a policy asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Template {
    destination: IpAddr,
    spi: u32,
    protocol: u8,
    request: u32,
    mode: Mode,
    optional: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Direction {
    In,
    Out,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Policy {
    selector: Selector,
    priority: u32,
    direction: Direction,
    allows: bool,
    templates: Vec<Template>,
}

/// The associations that protect a connection, each way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Protected<'a> {
    /// To the peer.
    pub outbound: &'a Association,
    /// From it.
    pub inbound: &'a Association,
}

/// The policies and associations of a moment.
#[derive(Clone, Debug, Default)]
pub struct Ipsec {
    policies: Vec<Policy>,
    /// By their requests.
    associations: HashMap<u32, Vec<Association>>,
}

impl Ipsec {
    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// When it has no IPsec, or refuses.
    pub fn load() -> Result<Self, StackError> {
        let dump = |kind: u16, what| netlink::request(NETLINK_XFRM, Message::new(kind, REQUEST | DUMP), what);
        let policies = dump(GET_POLICY, "the IPsec policies")?;
        // Without a policy no association is used.
        let associations =
            if policies.is_empty() { Vec::new() } else { dump(GET_ASSOCIATION, "the security associations")? };
        Ok(Self::of(policies.iter().map(Vec::as_slice), associations.iter().map(Vec::as_slice)))
    }

    /// What the payloads of two dumps say: XFRM_MSG_NEWPOLICY's and XFRM_MSG_NEWSA's. What is no such payload is left out.
    pub fn of<'a>(policies: impl Iterator<Item = &'a [u8]>, associations: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut policies: Vec<Policy> = policies.filter_map(policy).collect();
        // The kernel takes the lowest number, of equal ones the oldest; a dump has the newest first.
        policies.reverse();
        policies.sort_by_key(|policy| policy.priority);
        let mut by_request: HashMap<u32, Vec<Association>> = HashMap::new();
        for association in associations.filter_map(association) {
            by_request.entry(association.request).or_default().push(association);
        }
        Self { policies, associations: by_request }
    }

    /// The associations that a connection's packets go through, seen from its local end; none where no policy asks for any, or they
    /// are not there (yet), or where what comes from the peer may come in clear text. Packets within the host go through none.
    #[must_use]
    pub fn of_connection(&self, ends: Endpoints) -> Option<Protected<'_>> {
        let ends = ends.canonical();
        if self.policies.is_empty() || ends.local.ip() == ends.remote.ip() || ends.remote.ip().is_loopback() {
            return None;
        }
        let outbound = self.associations_of(Direction::Out, ends.local, ends.remote)?;
        let inbound = self.associations_of(Direction::In, ends.remote, ends.local)?;
        Some(Protected { outbound, inbound })
    }

    fn associations_of(
        &self,
        direction: Direction,
        from: std::net::SocketAddr,
        to: std::net::SocketAddr,
    ) -> Option<&Association> {
        let mut policies = self.policies.iter().filter(|policy| policy.direction == direction);
        let policy = policies.find(|policy| policy.selector.matches(from, to))?;
        if !policy.allows {
            return None;
        }
        // Of several around one another the strongest is told: ESP before AH.
        let mut found: Option<&Association> = None;
        for template in &policy.templates {
            let fits = |candidate: &&Association| {
                candidate.protocol == template.protocol
                    && candidate.mode == template.mode
                    && (template.spi == 0 || candidate.spi == template.spi)
                    && candidate.destination
                        == if template.mode == Mode::Tunnel { template.destination } else { to.ip() }
                    && candidate.selector.matches(from, to)
            };
            let candidates = self.associations.get(&template.request).into_iter().flatten();
            let newest = candidates.filter(fits).max_by_key(|candidate| candidate.added);
            match newest {
                Some(association) if found.is_none_or(|found| found.protocol != ESP) => found = Some(association),
                Some(_) => {}
                None if template.optional => {}
                None => return None,
            }
        }
        found
    }
}

impl Association {
    /// One for everything between two addresses, in transport mode, without algorithms.
    #[must_use]
    pub fn between(source: IpAddr, destination: IpAddr) -> Self {
        let nobody = |address: IpAddr| -> IpAddr {
            if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
        };
        Self {
            selector: Selector {
                destination: (nobody(destination), 0),
                source: (nobody(source), 0),
                destination_port: (0, 0),
                source_port: (0, 0),
                family: None,
                protocol: 0,
            },
            source,
            destination,
            spi: 0,
            protocol: ESP,
            request: 0,
            mode: Mode::Transport,
            encryption: None,
            authentication: None,
            aead: None,
            soft_bytes: None,
            soft_seconds: None,
            added: 0,
        }
    }
}

impl Selector {
    fn matches(&self, from: std::net::SocketAddr, to: std::net::SocketAddr) -> bool {
        let family = if to.is_ipv4() { AF_INET } else { AF_INET6 };
        let port = |(port, mask): (u16, u16), of: u16| of & mask == port & mask;
        self.family.is_none_or(|own| own == family)
            && (self.protocol == 0 || self.protocol == TCP)
            && within(to.ip(), self.destination)
            && within(from.ip(), self.source)
            && port(self.destination_port, to.port())
            && port(self.source_port, from.port())
    }
}

/// Whether an address begins as a network does.
fn within(address: IpAddr, (network, length): (IpAddr, u8)) -> bool {
    let same = |own: u128, other: u128, bits: u32| match bits - u32::from(length).min(bits) {
        shift if shift >= 128 => true,
        shift => own >> shift == other >> shift,
    };
    match (address, network) {
        _ if length == 0 => true,
        (IpAddr::V4(own), IpAddr::V4(other)) => same(own.to_bits().into(), other.to_bits().into(), 32),
        (IpAddr::V6(own), IpAddr::V6(other)) => same(own.to_bits(), other.to_bits(), 128),
        _ => false,
    }
}

/// Fields of a structure by their places.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u8(&self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    fn u16(&self, at: usize) -> Option<u16> {
        Some(u16::from_ne_bytes(*self.0.get(at..)?.first_chunk()?))
    }

    fn port(&self, at: usize) -> Option<u16> {
        Some(u16::from_be_bytes(*self.0.get(at..)?.first_chunk()?))
    }

    fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from_ne_bytes(*self.0.get(at..)?.first_chunk()?))
    }

    fn u64(&self, at: usize) -> Option<u64> {
        Some(u64::from_ne_bytes(*self.0.get(at..)?.first_chunk()?))
    }

    fn address(&self, at: usize, family: u16) -> Option<IpAddr> {
        let octets: [u8; 16] = *self.0.get(at..)?.first_chunk()?;
        let [a, b, c, d, ..] = octets;
        match family {
            AF_INET => Some(Ipv4Addr::new(a, b, c, d).into()),
            AF_INET6 => Some(Ipv6Addr::from(octets).into()),
            _ => None,
        }
    }
}

/// `xfrm_selector` at the beginning of a structure. One of no family is for what the structure is for.
fn selector(fields: &Fields<'_>, family: u16) -> Option<Selector> {
    let own = fields.u16(40)?;
    let read_as = if own == 0 { family } else { own };
    Some(Selector {
        destination: (fields.address(0, read_as)?, fields.u8(42)?),
        source: (fields.address(16, read_as)?, fields.u8(43)?),
        destination_port: (fields.port(32)?, fields.port(34)?),
        source_port: (fields.port(36)?, fields.port(38)?),
        family: (own != 0).then_some(own),
        protocol: fields.u8(44)?,
    })
}

/// `xfrm_usersa_info` and its attributes; none for one that is for some packets only, or not there yet.
fn association(payload: &[u8]) -> Option<Association> {
    let (fixed, tail) = payload.split_at_checked(ASSOCIATION)?;
    let fields = Fields(fixed);
    let family = fields.u16(212)?;
    let limit = |value: u64| (value != 0 && value != INFINITE).then_some(value);
    let mut found = Association {
        selector: selector(&fields, family)?,
        destination: fields.address(56, family)?,
        spi: u32::from_be(fields.u32(72)?),
        protocol: fields.u8(76)?,
        source: fields.address(80, family)?,
        soft_bytes: limit(fields.u64(96)?),
        soft_seconds: limit(fields.u64(128)?),
        added: fields.u64(176)?,
        request: fields.u32(208)?,
        mode: mode(fields.u8(214)?),
        encryption: None,
        authentication: None,
        aead: None,
    };
    for (kind, value) in netlink::attributes(tail) {
        match kind {
            ATTRIBUTE_ENCRYPTION => found.encryption = algorithm(value),
            ATTRIBUTE_AUTHENTICATION | ATTRIBUTE_AUTHENTICATION_TRUNCATED => found.authentication = algorithm(value),
            ATTRIBUTE_AEAD => found.aead = algorithm(value),
            ATTRIBUTE_MARK if is_marked(value) => return None,
            ATTRIBUTE_INTERFACE if Fields(value).u32(0) != Some(0) => return None,
            _ => {}
        }
    }
    // One that is being negotiated has no algorithms yet.
    let is_there = found.encryption.is_some() || found.authentication.is_some() || found.aead.is_some();
    is_there.then_some(found)
}

/// `xfrm_algo` and those that begin as it does: a name of 64 bytes, then the bits of the key.
fn algorithm(value: &[u8]) -> Option<Algorithm> {
    let (name, rest) = value.split_at_checked(64)?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let name: String = name.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' }).collect();
    Some(Algorithm { name, key_bits: u32::from_ne_bytes(*rest.first_chunk()?) })
}

/// `xfrm_mark`: a value and its mask.
fn is_marked(value: &[u8]) -> bool {
    Fields(value).u32(4).is_some_and(|mask| mask != 0)
}

fn mode(number: u8) -> Mode {
    match number {
        0 => Mode::Transport,
        1 => Mode::Tunnel,
        number => Mode::Other(number),
    }
}

/// `xfrm_userpolicy_info` and its templates; none for one that is for forwarded packets, or for some only.
fn policy(payload: &[u8]) -> Option<Policy> {
    let (fixed, tail) = payload.split_at_checked(POLICY)?;
    let fields = Fields(fixed);
    // One of an interface.
    if fields.u32(48)? != 0 {
        return None;
    }
    let mut found = Policy {
        selector: selector(&fields, AF_INET)?,
        priority: fields.u32(152)?,
        direction: match fields.u8(160)? {
            0 => Direction::In,
            1 => Direction::Out,
            _ => return None,
        },
        allows: fields.u8(161)? == 0,
        templates: Vec::new(),
    };
    for (kind, value) in netlink::attributes(tail) {
        match kind {
            ATTRIBUTE_TEMPLATES => found.templates = value.chunks_exact(TEMPLATE).filter_map(template).collect(),
            ATTRIBUTE_MARK if is_marked(value) => return None,
            ATTRIBUTE_INTERFACE if Fields(value).u32(0) != Some(0) => return None,
            _ => {}
        }
    }
    Some(found)
}

/// `xfrm_user_tmpl`.
fn template(bytes: &[u8]) -> Option<Template> {
    let fields = Fields(bytes);
    let family = fields.u16(24)?;
    Some(Template {
        destination: fields.address(0, family)?,
        spi: u32::from_be(fields.u32(16)?),
        protocol: fields.u8(20)?,
        request: fields.u32(44)?,
        mode: mode(fields.u8(48)?),
        optional: fields.u8(50)? != 0,
    })
}

/// Hears that policies or associations have changed.
#[allow(missing_debug_implementations, reason = "TokioSocket has none")]
pub struct Changes {
    socket: TokioSocket,
}

impl Changes {
    /// Subscribes.
    ///
    /// # Errors
    ///
    /// When the kernel has no IPsec, or refuses.
    pub fn subscribe() -> Result<Self, StackError> {
        let mut socket = TokioSocket::new(NETLINK_XFRM)?;
        socket.socket_mut().bind_auto()?;
        for group in CHANGE_GROUPS {
            socket.socket_mut().add_membership(group)?;
        }
        Ok(Self { socket })
    }

    /// Waits for the next change.
    ///
    /// # Errors
    ///
    /// `ENOBUFS` when the kernel had to drop reports: much has changed.
    pub async fn next(&mut self) -> io::Result<()> {
        self.socket.recv_from_full().await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `xfrm_selector` of TCP between two networks; port 0 is any.
    fn selector_of(source: &str, destination: &str, port: u16) -> Vec<u8> {
        let parse = |text: &str| {
            let (address, length) = text.split_once('/').expect("a network");
            let address: IpAddr = address.parse().expect("an address");
            (address, length.parse::<u8>().expect("a length"))
        };
        let ((from, from_length), (to, to_length)) = (parse(source), parse(destination));
        let mut bytes = [octets(to), octets(from)].concat();
        bytes.extend(port.to_be_bytes());
        bytes.extend(if port == 0 { [0, 0] } else { [0xFF, 0xFF] });
        bytes.extend([0; 4]);
        bytes.extend(family(to).to_ne_bytes());
        bytes.extend([to_length, from_length, if port == 0 { 0 } else { TCP }]);
        bytes.resize(56, 0);
        bytes
    }

    fn octets(address: IpAddr) -> Vec<u8> {
        match address {
            IpAddr::V4(v4) => [&v4.octets()[..], &[0; 12]].concat(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        }
    }

    fn family(address: IpAddr) -> u16 {
        if address.is_ipv4() { AF_INET } else { AF_INET6 }
    }

    fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
        bytes.iter_mut().skip(at).zip(value).for_each(|(place, byte)| *place = *byte);
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let whole = Message::new(0, 0).attribute(kind, value).finish();
        whole.get(16..).expect("the attribute").to_vec()
    }

    fn named(name: &str, bits: u32, more: &[u8]) -> Vec<u8> {
        let mut value = name.as_bytes().to_vec();
        value.resize(64, 0);
        [value.as_slice(), &bits.to_ne_bytes(), more].concat()
    }

    struct Tunnel {
        ends: (&'static str, &'static str),
        spi: u32,
        protocol: u8,
        request: u32,
        mode: u8,
    }

    /// An XFRM_MSG_NEWSA's payload.
    fn association_of(tunnel: &Tunnel, selector: &[u8], added: u64, attributes: &[u8]) -> Vec<u8> {
        let (source, destination): (IpAddr, IpAddr) =
            (tunnel.ends.0.parse().expect("an address"), tunnel.ends.1.parse().expect("an address"));
        let mut bytes = vec![0; ASSOCIATION];
        put(&mut bytes, 0, selector);
        put(&mut bytes, 56, &octets(destination));
        put(&mut bytes, 72, &tunnel.spi.to_be_bytes());
        put(&mut bytes, 76, &[tunnel.protocol]);
        put(&mut bytes, 80, &octets(source));
        put(&mut bytes, 96, &INFINITE.to_ne_bytes());
        put(&mut bytes, 128, &3300_u64.to_ne_bytes());
        put(&mut bytes, 176, &added.to_ne_bytes());
        put(&mut bytes, 208, &tunnel.request.to_ne_bytes());
        put(&mut bytes, 212, &family(destination).to_ne_bytes());
        put(&mut bytes, 214, &[tunnel.mode]);
        [bytes, attributes.to_vec()].concat()
    }

    /// An XFRM_MSG_NEWPOLICY's payload.
    fn policy_of(selector: &[u8], direction: u8, priority: u32, tunnels: &[Tunnel]) -> Vec<u8> {
        let mut bytes = vec![0; POLICY];
        put(&mut bytes, 0, selector);
        put(&mut bytes, 152, &priority.to_ne_bytes());
        put(&mut bytes, 160, &[direction]);
        let mut templates = Vec::new();
        for tunnel in tunnels {
            let destination: IpAddr = tunnel.ends.1.parse().expect("an address");
            let mut template = vec![0; TEMPLATE];
            put(&mut template, 0, &octets(destination));
            put(&mut template, 20, &[tunnel.protocol]);
            put(&mut template, 24, &family(destination).to_ne_bytes());
            put(&mut template, 44, &tunnel.request.to_ne_bytes());
            put(&mut template, 48, &[tunnel.mode]);
            templates.extend(template);
        }
        if !templates.is_empty() {
            bytes.extend(attribute(ATTRIBUTE_TEMPLATES, &templates));
        }
        bytes
    }

    const OUT: Tunnel = Tunnel { ends: ("192.0.2.1", "198.51.100.1"), spi: 0xC0DE, protocol: ESP, request: 7, mode: 1 };
    const BACK: Tunnel =
        Tunnel { ends: ("198.51.100.1", "192.0.2.1"), spi: 0xBEEF, protocol: ESP, request: 7, mode: 1 };

    fn any(source: &str, destination: &str) -> Vec<u8> {
        selector_of(source, destination, 0)
    }

    fn connection(local: &str, remote: &str) -> Endpoints {
        Endpoints { local: local.parse().expect("an address"), remote: remote.parse().expect("an address") }
    }

    fn ipsec(policies: &[Vec<u8>], associations: &[Vec<u8>]) -> Ipsec {
        Ipsec::of(policies.iter().map(Vec::as_slice), associations.iter().map(Vec::as_slice))
    }

    #[test]
    fn a_tunnel_s_associations_are_those_of_the_connections_through_it() {
        let ciphers = [
            attribute(ATTRIBUTE_ENCRYPTION, &named("cbc(aes)", 256, &[0x5A; 32])),
            attribute(ATTRIBUTE_AUTHENTICATION, &named("hmac(sha256)", 256, &[0x5A; 32])),
            attribute(ATTRIBUTE_AUTHENTICATION_TRUNCATED, &named("hmac(sha256)", 256, &[128, 0, 0, 0])),
        ]
        .concat();
        let gcm = attribute(ATTRIBUTE_AEAD, &named("rfc4106(gcm(aes))", 288, &[128, 0, 0, 0]));
        let (there, back) = (any("10.1.0.0/16", "10.2.0.0/16"), any("10.2.0.0/16", "10.1.0.0/16"));
        let all = [any("0.0.0.0/0", "0.0.0.0/0"), any("0.0.0.0/0", "0.0.0.0/0")];
        let policies = [
            policy_of(&there, 1, 100, &[OUT]),
            policy_of(&back, 0, 100, &[BACK]),
            policy_of(&back, 2, 100, &[BACK]),
            // What is not said otherwise goes in clear.
            policy_of(&all[0], 1, 2000, &[]),
        ];
        let associations = [
            association_of(&OUT, &[0; 56], 10, &gcm),
            association_of(&OUT, &[0; 56], 20, &ciphers),
            association_of(&BACK, &[0; 56], 20, &gcm),
        ];
        let ipsec = ipsec(&policies, &associations);
        let found = ipsec.of_connection(connection("10.1.3.3:40000", "10.2.9.9:21")).expect("it is protected");
        let outbound = found.outbound;
        assert_eq!((outbound.spi, outbound.mode, outbound.request), (0xC0DE, Mode::Tunnel, 7));
        let aes = Algorithm { name: "cbc(aes)".to_owned(), key_bits: 256 };
        assert_eq!(outbound.encryption, Some(aes), "the newer of the two");
        assert_eq!(outbound.authentication.as_ref().map(|found| found.name.as_str()), Some("hmac(sha256)"));
        assert_eq!((outbound.soft_bytes, outbound.soft_seconds), (None, Some(3300)));
        let inbound = found.inbound.aead.as_ref().map(|found| found.key_bits);
        assert_eq!(inbound, Some(288));
        assert_eq!(ipsec.of_connection(connection("10.1.3.3:40000", "10.3.9.9:21")), None);
    }

    fn null() -> Vec<u8> {
        attribute(ATTRIBUTE_ENCRYPTION, &named("ecb(cipher_null)", 0, &[]))
    }

    #[test]
    fn transport_mode_goes_to_the_peer_itself_and_by_port() {
        let to = |destination, spi| Tunnel { ends: ("::", destination), spi, protocol: ESP, request: 0, mode: 0 };
        let policies = [
            policy_of(&selector_of("2001:db8::/64", "2001:db8::/64", 5432), 1, 1, &[to("::", 0)]),
            policy_of(&any("2001:db8::/64", "2001:db8::/64"), 1, 2, &[]),
            policy_of(&any("2001:db8::/64", "2001:db8::/64"), 0, 2, &[to("::", 0)]),
        ];
        let associations = [
            association_of(&to("2001:db8::2", 9), &any("2001:db8::1/128", "2001:db8::2/128"), 1, &null()),
            association_of(&to("2001:db8::1", 8), &any("2001:db8::2/128", "2001:db8::1/128"), 1, &null()),
        ];
        let ipsec = ipsec(&policies, &associations);
        let found = ipsec.of_connection(connection("[2001:db8::1]:40000", "[2001:db8::2]:5432"));
        let found = found.expect("it is protected");
        assert_eq!((found.outbound.mode, found.outbound.spi, found.inbound.spi), (Mode::Transport, 9, 8));
        assert_eq!(ipsec.of_connection(connection("[2001:db8::1]:40000", "[2001:db8::2]:80")), None);
        assert_eq!(ipsec.of_connection(connection("[2001:db8::1]:40000", "[2001:db8::3]:5432")), None, "no such one");
    }

    /// What protects a connection through the tunnel when these are changed.
    fn protected(change: impl FnOnce(&mut Vec<Vec<u8>>, &mut Vec<Vec<u8>>)) -> Option<u32> {
        let (there, back) = (any("10.1.0.0/16", "10.2.0.0/16"), any("10.2.0.0/16", "10.1.0.0/16"));
        let mut policies = vec![policy_of(&there, 1, 100, &[OUT]), policy_of(&back, 0, 100, &[BACK])];
        let mut associations =
            vec![association_of(&OUT, &[0; 56], 1, &null()), association_of(&BACK, &[0; 56], 1, &null())];
        change(&mut policies, &mut associations);
        let ipsec = ipsec(&policies, &associations);
        let found = ipsec.of_connection(connection("10.1.3.3:40000", "10.2.9.9:21"));
        found.map(|found| found.outbound.spi)
    }

    #[test]
    fn what_is_missing_blocked_or_for_others_protects_nothing() {
        let there = any("10.1.0.0/16", "10.2.0.0/16");
        assert_eq!(protected(|_, _| ()), Some(0xC0DE));
        assert_eq!(protected(|_, associations| drop(associations.remove(0))), None, "it is not there");
        assert_eq!(protected(|policies, _| drop(policies.remove(0))), None, "nobody asks for it");
        assert_eq!(protected(|policies, _| drop(policies.remove(1))), None, "the peer may speak in clear text");
        let of_another = association_of(&Tunnel { request: 8, ..OUT }, &[0; 56], 1, &null());
        assert_eq!(protected(|_, associations| associations[0] = of_another), None, "of another request");
        let negotiated = association_of(&Tunnel { spi: 0xBAD, ..OUT }, &[0; 56], 9, &[]);
        assert_eq!(protected(|_, associations| associations.push(negotiated)), Some(0xC0DE), "not there yet");
        let mut blocks = policy_of(&there, 1, 50, &[]);
        put(&mut blocks, 161, &[1]);
        assert_eq!(protected(|policies, _| policies.push(blocks)), None);
        // A dump has the newest first, and the oldest of those with one priority counts.
        assert_eq!(protected(|policies, _| policies.insert(0, policy_of(&there, 1, 100, &[]))), Some(0xC0DE));
        assert_eq!(protected(|policies, _| policies.push(policy_of(&there, 1, 100, &[]))), None);
        for (kind, value) in
            [(ATTRIBUTE_MARK, [1, 0, 0, 0, 0xFF, 0, 0, 0]), (ATTRIBUTE_INTERFACE, [7, 0, 0, 0, 0, 0, 0, 0])]
        {
            assert_eq!(protected(|policies, _| policies[0].extend(attribute(kind, &value))), None, "{kind}");
            assert_eq!(protected(|_, associations| associations[0].extend(attribute(kind, &value))), None, "{kind}");
        }
        let within = connection("10.1.3.3:40000", "10.1.3.3:21");
        let all = policy_of(&any("0.0.0.0/0", "0.0.0.0/0"), 1, 1, &[OUT]);
        let made = association_of(&OUT, &[0; 56], 1, &null());
        assert_eq!(ipsec(&[all], &[made]).of_connection(within), None, "within the host");
    }

    #[test]
    fn of_two_around_one_another_esp_is_told() {
        let ah = |tunnel: Tunnel| Tunnel { protocol: AH, spi: 1, ..tunnel };
        let found = protected(|policies, associations| {
            policies[0] = policy_of(&any("10.1.0.0/16", "10.2.0.0/16"), 1, 100, &[OUT, ah(OUT)]);
            let digest = attribute(ATTRIBUTE_AUTHENTICATION, &named("hmac(sha256)", 256, &[]));
            associations.push(association_of(&ah(OUT), &[0; 56], 9, &digest));
        });
        assert_eq!(found, Some(0xC0DE));
    }

    #[test]
    fn no_cut_payload_makes_it_panic() {
        let policy = policy_of(&any("10.1.0.0/16", "10.2.0.0/16"), 1, 100, &[OUT]);
        let association = association_of(&OUT, &[0; 56], 1, &attribute(ATTRIBUTE_AEAD, &named("x", 1, &[])));
        for cut in 0..policy.len().max(association.len()) {
            let of = |bytes: &[u8]| bytes.get(..cut).unwrap_or(bytes).to_vec();
            let _ = ipsec(&[of(&policy)], &[of(&association)]).of_connection(connection("10.1.3.3:1", "10.2.9.9:21"));
        }
    }
}
