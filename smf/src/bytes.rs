//! The cursors: every section is read and written front to back, nothing indexes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::ebcdic;

/// A section being written.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u16(self, value: u16) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn u32(self, value: u32) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn u64(self, value: u64) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn text<const N: usize>(self, text: &str) -> Self {
        self.raw(&ebcdic::encode::<N>(text))
    }

    pub(crate) fn reserved(mut self, count: usize) -> Self {
        self.0.resize(self.0.len() + count, 0);
        self
    }

    /// zERT's form: an IPv4 address stands in the first four of sixteen bytes.
    pub(crate) fn address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => self.raw(&v4.octets()).reserved(12),
            IpAddr::V6(v6) => self.raw(&v6.octets()),
        }
    }

    /// Bytes, cut or padded with zeros to `N`.
    pub(crate) fn padded<const N: usize>(self, bytes: &[u8]) -> Self {
        let taken = bytes.get(..N).unwrap_or(bytes);
        let rest = N - taken.len();
        self.raw(taken).reserved(rest)
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// A section being read; `None` when it ends early.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn text<const N: usize>(&mut self) -> Option<String> {
        self.array::<N>().map(|bytes| ebcdic::decode(&bytes))
    }

    pub(crate) fn skip(&mut self, count: usize) -> Option<()> {
        self.0 = self.0.get(count..)?;
        Some(())
    }

    pub(crate) fn address(&mut self, v6: bool) -> Option<IpAddr> {
        let octets = self.array::<16>()?;
        let [a, b, c, d, ..] = octets;
        Some(if v6 { Ipv6Addr::from(octets).into() } else { Ipv4Addr::new(a, b, c, d).into() })
    }
}
