//! A packet's TCP part, whatever carries it.

use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};

/// A TCP segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Segment<'a> {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) sequence: u32,
    pub(crate) syn: bool,
    pub(crate) ack: bool,
    pub(crate) fin: bool,
    pub(crate) rst: bool,
    pub(crate) urgent: bool,
    pub(crate) payload: &'a [u8],
}

/// The segment in an IP packet; none when it is no TCP or cut before its header ends.
pub(crate) fn from_ip(bytes: &[u8]) -> Option<Segment<'_>> {
    segment(&LaxSlicedPacket::from_ip(bytes).ok()?)
}

/// Whether the checksum of an IP packet's TCP part is right; a program does not get what it is wrong of.
pub(crate) fn has_valid_checksum(bytes: &[u8]) -> bool {
    let Ok(packet) = LaxSlicedPacket::from_ip(bytes) else { return false };
    let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { return false };
    let expected = match &packet.net {
        Some(LaxNetSlice::Ipv4(ip)) => tcp.calc_checksum_ipv4(ip.header().source(), ip.header().destination()).ok(),
        Some(LaxNetSlice::Ipv6(ip)) => tcp.calc_checksum_ipv6(ip.header().source(), ip.header().destination()).ok(),
        _ => None,
    };
    expected == Some(tcp.checksum())
}

/// The segment in an Ethernet frame.
pub(crate) fn from_ethernet(bytes: &[u8]) -> Option<Segment<'_>> {
    segment(&LaxSlicedPacket::from_ethernet(bytes).ok()?)
}

/// The segment in a packet of Linux's cooked capture, first version: the protocol ends a header of 16 bytes.
pub(crate) fn from_cooked(bytes: &[u8]) -> Option<Segment<'_>> {
    from_protocol(bytes.get(14..16)?, bytes.get(16..)?)
}

/// The same of the second version: the protocol begins a header of 20 bytes.
pub(crate) fn from_cooked_2(bytes: &[u8]) -> Option<Segment<'_>> {
    from_protocol(bytes.get(..2)?, bytes.get(20..)?)
}

fn from_protocol<'a>(protocol: &[u8], packet: &'a [u8]) -> Option<Segment<'a>> {
    let protocol = EtherType(u16::from_be_bytes(protocol.try_into().ok()?));
    segment(&LaxSlicedPacket::from_ether_type(protocol, packet))
}

/// The segment in a packet behind four bytes of address family (BSD's loopback); the packet says itself which IP it is.
pub(crate) fn from_loopback(bytes: &[u8]) -> Option<Segment<'_>> {
    from_ip(bytes.get(4..)?)
}

/// The segment in a message of NFLOG: a header of four bytes, then attributes, each with its length and type in the byte order
/// of the host that captured it.
pub(crate) fn from_nflog(bytes: &[u8], big_endian: bool) -> Option<Segment<'_>> {
    const PAYLOAD: u16 = 9;
    let mut rest = bytes.get(4..)?;
    let number = |bytes: [u8; 2]| if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
    loop {
        let length = usize::from(number(*rest.first_chunk()?));
        let kind = number(*rest.get(2..)?.first_chunk()?);
        if kind & 0x7FFF == PAYLOAD {
            // A packet that was cut is read as far as it goes.
            return from_ip(rest.get(4..length.min(rest.len()))?);
        }
        rest = rest.get(length.max(4).next_multiple_of(4)..)?;
    }
}

fn segment<'a>(packet: &LaxSlicedPacket<'a>) -> Option<Segment<'a>> {
    let (from, to): (IpAddr, IpAddr) = match packet.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        LaxNetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        LaxNetSlice::Arp(_) => return None,
    };
    let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { return None };
    Some(Segment {
        from: SocketAddr::new(from, tcp.source_port()),
        to: SocketAddr::new(to, tcp.destination_port()),
        sequence: tcp.sequence_number(),
        syn: tcp.syn(),
        ack: tcp.ack(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        urgent: tcp.urg(),
        payload: tcp.payload(),
    })
}
