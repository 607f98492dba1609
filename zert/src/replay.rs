//! Reading a capture file through the same code that watches live connections.

use std::io::Read;

use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};
use serde::Serialize;

use crate::flow::{FlowKey, Flows};
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
    /// What protects it.
    #[serde(flatten)]
    pub protection: Protection,
}

/// A capture of one file after the other, as capture programs write them: connections go on from one to the next.
#[derive(Debug, Default)]
pub struct Replay {
    flows: Flows,
    order: Vec<(FlowKey, Option<Protection>)>,
}

impl Replay {
    /// Reads the capture's next file.
    ///
    /// # Errors
    ///
    /// When the file is no capture or its link type is not known; a file cut at its end gives what came before.
    pub fn read(&mut self, capture: impl Read + Send) -> Result<(), ReplayError> {
        read(capture, |segment| {
            if let Some((key, flow)) = self.flows.reused(segment) {
                settle(&mut self.order, key, &flow.protection());
            }
            for event in self.flows.segment(segment) {
                if let crate::flow::Event::Opened(key) = event {
                    self.order.push((key, None));
                }
            }
        })
    }

    /// The connections, in the order their first SYN appears. Those whose SYN was not in the capture are left out.
    #[must_use]
    pub fn finish(mut self) -> Vec<Replayed> {
        let found = self.order.into_iter().filter_map(|(key, known)| {
            let protection = known.or_else(|| self.flows.remove(&key).map(|flow| flow.protection()))?;
            Some(Replayed { key, protection })
        });
        found.collect()
    }
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

/// Notes what protected the connection that had a key last.
fn settle(order: &mut [(FlowKey, Option<Protection>)], key: FlowKey, protection: &Protection) {
    if let Some((_, known)) = order.iter_mut().rev().find(|(earlier, known)| *earlier == key && known.is_none()) {
        *known = Some(protection.clone());
    }
}

/// pcap-parser's errors borrow its buffer; their text does not need it.
fn describe<E: std::fmt::Debug>(error: &E) -> String {
    let text = format!("{error:?}");
    text.chars().take(80).collect()
}
