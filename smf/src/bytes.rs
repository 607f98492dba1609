//! The cursors: every section is read and written front to back, nothing indexes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::{DateTime, Utc};

use crate::ebcdic;
use crate::field::{Field, Value};
use crate::time;

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

    /// The other subtypes' form: an IPv4 address is mapped to IPv6.
    pub(crate) fn mapped(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => self.raw(&v4.to_ipv6_mapped().octets()),
            IpAddr::V6(v6) => self.raw(&v6.octets()),
        }
    }

    /// A moment as hundredths since midnight and packed date, UTC; zeros for none.
    pub(crate) fn moment(self, moment: Option<DateTime<Utc>>) -> Self {
        let (time, date) = moment.map(time::split).unwrap_or_default();
        self.u32(time).u32(date)
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

/// A section being read; `None` when it ends early. Every field is read under its name, and noted where somebody wants to see
/// the fields.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// Where `rest` begins in the record.
    at: usize,
    /// What names begin with: the map's prefix, and the group's within it.
    prefix: &'static str,
    group: &'static str,
    noted: Option<Vec<Field>>,
}

impl<'a> Reader<'a> {
    /// `at`: where the bytes begin in their record. `prefix`: what the names of its map begin with.
    pub(crate) fn new(bytes: &'a [u8], at: usize, prefix: &'static str, note: bool) -> Self {
        Self { rest: bytes, at, prefix, group: "", noted: note.then(Vec::new) }
    }

    /// The fields noted.
    pub(crate) fn noted(self) -> Option<Vec<Field>> {
        self.noted
    }

    /// Reads fields whose names have a beginning in common.
    pub(crate) fn within<T>(&mut self, group: &'static str, read: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.group, group);
        let found = read(self);
        self.group = outer;
        found
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(count)?;
        self.rest = tail;
        self.at += count;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk().copied()
    }

    /// Notes the field that was just read.
    fn note(&mut self, name: &str, length: usize, value: impl FnOnce() -> Value) {
        if let Some(noted) = &mut self.noted {
            let name = format!("{}{}{name}", self.prefix, self.group);
            noted.push(Field { name, offset: self.at - length, length, value: value() });
        }
    }

    pub(crate) fn u8(&mut self, name: &'static str) -> Option<u8> {
        let [value] = self.array()?;
        self.note(name, 1, || Value::Number(value.into()));
        Some(value)
    }

    pub(crate) fn u16(&mut self, name: &'static str) -> Option<u16> {
        let value = u16::from_be_bytes(self.array()?);
        self.note(name, 2, || Value::Number(value.into()));
        Some(value)
    }

    pub(crate) fn u32(&mut self, name: &'static str) -> Option<u32> {
        let value = u32::from_be_bytes(self.array()?);
        self.note(name, 4, || Value::Number(value.into()));
        Some(value)
    }

    pub(crate) fn u64(&mut self, name: &'static str) -> Option<u64> {
        let value = u64::from_be_bytes(self.array()?);
        self.note(name, 8, || Value::Number(value));
        Some(value)
    }

    /// Flags, or a code of one byte.
    pub(crate) fn x8(&mut self, name: &'static str) -> Option<u8> {
        let [value] = self.array()?;
        self.note(name, 1, || Value::Code(value.into()));
        Some(value)
    }

    /// A code of two bytes.
    pub(crate) fn x16(&mut self, name: &'static str) -> Option<u16> {
        let value = u16::from_be_bytes(self.array()?);
        self.note(name, 2, || Value::Code(value.into()));
        Some(value)
    }

    /// A code, or a connection's number.
    pub(crate) fn x32(&mut self, name: &'static str) -> Option<u32> {
        let value = u32::from_be_bytes(self.array()?);
        self.note(name, 4, || Value::Code(value.into()));
        Some(value)
    }

    pub(crate) fn text<const N: usize>(&mut self, name: &'static str) -> Option<String> {
        self.sized_text(name, N)
    }

    /// Text of a length that the record says.
    pub(crate) fn sized_text(&mut self, name: &'static str, length: usize) -> Option<String> {
        self.raw_text(name, length).map(ebcdic::decode)
    }

    /// The same in EBCDIC: text that goes on elsewhere.
    pub(crate) fn raw_text(&mut self, name: &'static str, length: usize) -> Option<&'a [u8]> {
        let bytes = self.take(length)?;
        self.note(name, length, || Value::Text(ebcdic::decode(bytes)));
        Some(bytes)
    }

    /// What is left, as text.
    pub(crate) fn rest_as_text(&mut self, name: &'static str) -> String {
        self.sized_text(name, self.rest.len()).unwrap_or_default()
    }

    pub(crate) fn bytes<const N: usize>(&mut self, name: &'static str) -> Option<[u8; N]> {
        let bytes = self.array()?;
        self.note(name, N, || Value::Bytes(bytes.to_vec()));
        Some(bytes)
    }

    /// Bytes of a length that the record says.
    pub(crate) fn sized_bytes(&mut self, name: &'static str, length: usize) -> Option<&'a [u8]> {
        let bytes = self.take(length)?;
        self.note(name, length, || Value::Bytes(bytes.to_vec()));
        Some(bytes)
    }

    /// Passes over what is reserved.
    pub(crate) fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(|_| ())
    }

    /// As [`Writer::address`].
    pub(crate) fn address(&mut self, name: &'static str, v6: bool) -> Option<IpAddr> {
        let octets = self.array::<16>()?;
        let [a, b, c, d, ..] = octets;
        let address = if v6 { Ipv6Addr::from(octets).into() } else { Ipv4Addr::new(a, b, c, d).into() };
        self.note(name, 16, || Value::Address(address));
        Some(address)
    }

    /// The same where nothing says which of the two it is: no host's IPv6 address ends in twelve zeros.
    pub(crate) fn any_address(&mut self, name: &'static str) -> Option<IpAddr> {
        let rest = self.rest.get(4..16)?;
        let v6 = rest.iter().any(|byte| *byte != 0);
        self.address(name, v6)
    }

    /// As [`Writer::mapped`].
    pub(crate) fn mapped(&mut self, name: &'static str) -> Option<IpAddr> {
        let address = Ipv6Addr::from(self.array::<16>()?).to_canonical();
        self.note(name, 16, || Value::Address(address));
        Some(address)
    }

    pub(crate) fn time(&mut self, name: &'static str) -> Option<u32> {
        let value = u32::from_be_bytes(self.array()?);
        self.note(name, 4, || Value::Time(value));
        Some(value)
    }

    pub(crate) fn date(&mut self, name: &'static str) -> Option<u32> {
        let value = u32::from_be_bytes(self.array()?);
        self.note(name, 4, || Value::Date(value));
        Some(value)
    }

    /// As [`Writer::moment`].
    pub(crate) fn moment(&mut self, time: &'static str, date: &'static str) -> Option<Option<DateTime<Utc>>> {
        let (time, date) = (self.time(time)?, self.date(date)?);
        Some(time::joined(time, date))
    }

    /// A TOD clock.
    pub(crate) fn clock(&mut self, name: &'static str) -> Option<u64> {
        let value = u64::from_be_bytes(self.array()?);
        self.note(name, 8, || Value::Clock(value));
        Some(value)
    }

    /// Whether everything was read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }
}
