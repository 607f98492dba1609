//! Reading a capture file through the same code that watches live connections.

use std::io::Read;

use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};
use serde::Serialize;

use crate::flow::{Event, FlowKey, Flows};
use crate::observer::Protection;
use crate::packet::{self, Segment};

/// Bytes that surely hold a capture's header.
const HEAD: u64 = 64 * 1024;

/// Why a capture cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file is no capture.
    #[error("it is neither a pcap nor a pcapng file, or is damaged at byte {offset}: {reason}")]
    Format {
        /// Bytes read before.
        offset: usize,
        /// What the reader says.
        reason: String,
    },
    /// Packets of a kind this program cannot read.
    #[error("link type {0} is not read; capture Ethernet, raw IP, NFLOG, or Linux's `any` (cooked)")]
    LinkType(i32),
}

/// A connection found in a capture.
#[derive(Debug, Serialize)]
pub struct Replayed {
    /// Its ends.
    #[serde(flatten)]
    pub key: FlowKey,
    /// What protects it, at its end.
    #[serde(flatten)]
    pub protection: Protection,
    /// What protected its sessions before that, the first one first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Protection>,
}

/// A connection while the capture is read.
#[derive(Debug)]
struct Found {
    key: FlowKey,
    /// What protected it, once it is over.
    settled: Option<Protection>,
    session: u32,
    known: Option<Protection>,
    earlier: Vec<Protection>,
}

/// A capture of one file after the other, as capture programs write them: connections go on from one to the next.
#[derive(Debug, Default)]
pub struct Replay {
    flows: Flows,
    order: Vec<Found>,
}

impl Replay {
    /// Reads the capture's next file.
    ///
    /// # Errors
    ///
    /// When the file is no capture or its link type is not known; a file cut at its end gives what came before.
    pub fn read(&mut self, capture: impl Read + Send) -> Result<(), ReplayError> {
        let Self { flows, order } = self;
        read(capture, |segment| {
            if let Some((key, flow)) = flows.reused(segment)
                && let Some(found) = living(order, key)
            {
                found.settled = Some(flow.protection());
            }
            for event in flows.segment(segment) {
                match event {
                    Event::Opened(key) => {
                        let earlier = Vec::new();
                        order.push(Found { key, settled: None, session: 0, known: None, earlier });
                    }
                    Event::Determined(key) | Event::Completed(key) => {
                        let (Some(flow), Some(found)) = (flows.get(&key), living(order, key)) else { continue };
                        if flow.session() != found.session {
                            found.session = flow.session();
                            found.earlier.extend(found.known.take());
                        }
                        found.known = (!flow.is_done()).then(|| flow.protection());
                    }
                    Event::Established(_) | Event::Heard(_) | Event::Closed(_) => {}
                }
            }
        })
    }

    /// The connections, in the order their first SYN appears. Those whose SYN was not in the capture are left out.
    #[must_use]
    pub fn finish(mut self) -> Vec<Replayed> {
        let connections = self.order.into_iter().filter_map(|found| {
            let Found { key, settled, earlier, .. } = found;
            let protection = settled.or_else(|| self.flows.remove(&key).map(|flow| flow.protection()))?;
            Some(Replayed { key, protection, earlier })
        });
        connections.collect()
    }
}

/// The connection that has a key now.
fn living(order: &mut [Found], key: FlowKey) -> Option<&mut Found> {
    order.iter_mut().rev().find(|found| found.key == key && found.settled.is_none())
}

/// Reads the TCP segments of a file.
fn read(mut capture: impl Read + Send, mut take: impl FnMut(&Segment<'_>)) -> Result<(), ReplayError> {
    let format = |offset: usize, reason: String| ReplayError::Format { offset, reason };
    // The reader looks at its first read only to tell pcap from pcapng: a pipe may bring less than a header at once.
    let mut head = Vec::new();
    let begun = capture.by_ref().take(HEAD).read_to_end(&mut head);
    begun.map_err(|error| format(0, error.to_string()))?;
    let mut reader =
        create_reader(1 << 20, head.as_slice().chain(capture)).map_err(|error| format(0, describe(&error)))?;
    let mut big_endian = false;
    let mut links: Vec<Linktype> = Vec::new();
    let mut offset = 0;
    loop {
        match reader.next() {
            Ok((length, block)) => {
                let (link, data) = match &block {
                    PcapBlockOwned::LegacyHeader(header) => {
                        links = vec![header.network];
                        big_endian = header.is_bigendian();
                        (None, None)
                    }
                    PcapBlockOwned::Legacy(packet) => (links.first(), Some(packet.data)),
                    PcapBlockOwned::NG(Block::SectionHeader(section)) => {
                        links.clear();
                        big_endian = section.big_endian();
                        (None, None)
                    }
                    PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                        links.push(interface.linktype);
                        (None, None)
                    }
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                        let link = usize::try_from(packet.if_id).ok().and_then(|index| links.get(index));
                        // Block data is padded to four bytes.
                        (link, packet.data.get(..packet.caplen as usize))
                    }
                    PcapBlockOwned::NG(Block::SimplePacket(packet)) => (links.first(), Some(packet.data)),
                    PcapBlockOwned::NG(_) => (None, None),
                };
                if let (Some(&link), Some(data)) = (link, data) {
                    let segment = match link {
                        Linktype::ETHERNET => packet::from_ethernet(data),
                        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 => packet::from_ip(data),
                        Linktype::LINUX_SLL => packet::from_cooked(data),
                        Linktype::LINUX_SLL2 => packet::from_cooked_2(data),
                        Linktype::NFLOG => packet::from_nflog(data, big_endian),
                        Linktype::NULL | Linktype::LOOP => packet::from_loopback(data),
                        Linktype(other) => return Err(ReplayError::LinkType(other)),
                    };
                    if let Some(segment) = segment {
                        take(&segment);
                    }
                }
                offset += length;
                reader.consume(length);
            }
            Err(PcapError::Eof | PcapError::UnexpectedEof) => break,
            Err(PcapError::Incomplete(_)) => {
                reader.refill().map_err(|error| format(offset, describe(&error)))?;
            }
            Err(error) => return Err(format(offset, describe(&error))),
        }
    }
    Ok(())
}

/// pcap-parser's errors borrow its buffer; their text does not need it.
fn describe<E: std::fmt::Debug>(error: &E) -> String {
    let text = format!("{error:?}");
    text.chars().take(80).collect()
}
