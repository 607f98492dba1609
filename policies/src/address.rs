//! Addresses and ports as conditions: what is written, and what it matches.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

/// A set of addresses that one value names.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub enum AddressRange {
    /// Every address of both families.
    All,
    /// One address or a prefix.
    Prefix(IpNet),
    /// From one address to another of the same family, both included.
    Range(IpAddr, IpAddr),
}

impl AddressRange {
    /// Reads `All`, an address, `address/prefix` or `address-address`.
    ///
    /// IPv4 literals follow `inet_addr`: a bare integer or a short dotted form is an address on z/OS too. The caller
    /// compares [`is_plain`] to warn about them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("all") {
            return Some(Self::All);
        }
        if let Some((address, length)) = text.split_once('/') {
            let digits = length.bytes().all(|byte| byte.is_ascii_digit());
            let net = IpNet::new(parse_address(address)?, length.parse().ok().filter(|_| digits)?).ok()?;
            let net = net.trunc();
            let reserved = net.addr().is_unspecified() && net.addr().is_ipv6() && (96..128).contains(&net.prefix_len());
            return (allowed(net.addr()) && !reserved).then_some(Self::Prefix(net));
        }
        if let Some((from, to)) = text.split_once('-') {
            let (from, to) = (parse_address(from)?, parse_address(to)?);
            let ordered = from.is_ipv4() == to.is_ipv4() && from <= to;
            return (ordered && allowed(from) && allowed(to)).then_some(Self::Range(from, to));
        }
        let address = parse_address(text)?;
        allowed(address).then(|| Self::Prefix(IpNet::from(address)))
    }

    /// Whether `address` is in the set.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match self {
            Self::All => true,
            Self::Prefix(net) => net.contains(&address),
            Self::Range(from, to) => from.is_ipv4() == address.is_ipv4() && (*from..=*to).contains(&address),
        }
    }
}

/// `All`, `10.1.2.3`, `10.1.0.0/16` or `10.1.2.3-10.1.2.9`.
impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("All"),
            Self::Prefix(net) if net.prefix_len() == net.max_prefix_len() => write!(f, "{}", net.addr()),
            Self::Prefix(net) => write!(f, "{net}"),
            Self::Range(from, to) => write!(f, "{from}-{to}"),
        }
    }
}

impl Serialize for AddressRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whether a written address is a full literal, not one of `inet_addr`'s other forms; both ends of a range count.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    let addresses = text.split_once('/').map_or(text, |(address, _)| address);
    text.eq_ignore_ascii_case("all") || addresses.split('-').all(|address| address.parse::<IpAddr>().is_ok())
}

/// What is wrong with a word that is no address, when it can be told.
pub(crate) fn mistake(text: &str) -> Option<String> {
    let ends: Vec<&str> = text.split('-').collect();
    let mapped =
        ends.iter().filter_map(|end| end.split('/').next()?.parse::<IpAddr>().ok()).find_map(|address| match address {
            IpAddr::V6(v6) => v6.to_ipv4_mapped(),
            IpAddr::V4(_) => None,
        });
    if let Some(v4) = mapped {
        return Some(format!("IPv4 addresses are written as such: `{v4}`"));
    }
    if let [from, to] = ends.as_slice() {
        return match (parse_address(from), parse_address(to)) {
            (Some(from), Some(to)) if from.is_ipv4() != to.is_ipv4() => {
                Some("both ends of a range are of one family".to_owned())
            }
            (Some(from), Some(to)) if from > to => Some(format!("the range ends before it begins: `{to}-{from}`")),
            _ => None,
        };
    }
    if let Some((address, length)) = text.split_once('/') {
        let mask = length.parse::<Ipv4Addr>().ok().map(Ipv4Addr::to_bits);
        if let Some(mask) = mask.filter(|mask| mask.leading_ones() + mask.trailing_zeros() == 32) {
            return Some(format!("write the length of the prefix: `{address}/{}`", mask.leading_ones()));
        }
        let address = parse_address(address)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        return Some(match length.parse::<u32>() {
            Ok(bits) if bits <= most => {
                "`::/96` is reserved; for every address code `All`, for every IPv6 address `::/0`".to_owned()
            }
            _ => format!("a prefix has at most {most} bits"),
        });
    }
    let is_name = text.contains(|c: char| c.is_ascii_alphabetic()) && !text.contains(':');
    is_name.then(|| "names are not resolved; write the address".to_owned())
}

/// IPv4-mapped addresses and `::/96` are not TTLS addresses (IP Configuration Reference, general syntax rules). `::` and
/// `::1` are: on Linux programs do listen and talk there.
fn allowed(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_loopback() || v6.to_ipv4().is_none(),
    }
}

fn parse_address(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| inet_addr(text).map(IpAddr::V4))
}

/// The classic `inet_addr`: `a`, `a.b`, `a.b.c` or `a.b.c.d`; the last part fills what is left, a leading `0x` is
/// hexadecimal, a leading `0` octal.
fn inet_addr(text: &str) -> Option<Ipv4Addr> {
    let number = |part: &str| -> Option<u32> {
        let (digits, radix) = match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
            Some(hexadecimal) => (hexadecimal, 16),
            None if part.len() > 1 && part.starts_with('0') => (part, 8),
            None => (part, 10),
        };
        let valid = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
        valid.then(|| u32::from_str_radix(digits, radix).ok())?
    };
    let parts: Vec<u32> = text.split('.').take(5).map(number).collect::<Option<_>>()?;
    let (&last, leading) = parts.split_last().filter(|(_, leading)| leading.len() < 4)?;
    let free_bits = 32 - 8 * u32::try_from(leading.len()).ok()?;
    if leading.iter().any(|&part| part > 255) || (free_bits < 32 && last >> free_bits != 0) {
        return None;
    }
    let high = leading.iter().fold(0_u32, |high, &part| (high << 8) | part);
    let shifted = if free_bits == 32 { 0 } else { high << free_bits };
    Some(Ipv4Addr::from(shifted | last))
}

/// Ports, 1–65535, both ends included.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct PortRange(pub RangeInclusive<u16>);

impl PortRange {
    /// Reads `n`, `n-m` or `n:m`. `0` and `All` are not ranges: the caller takes them as "any".
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once(['-', ':']).unwrap_or((text, text));
        let port = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u16>().ok())?;
        let (from, to) = (port(from)?, port(to)?);
        (from > 0 && from <= to).then_some(Self(from..=to))
    }

    /// Whether `port` is in the range.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.0.contains(&port)
    }
}

/// `21` or `1024-65535`.
impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.start() == self.0.end() {
            write!(f, "{}", self.0.start())
        } else {
            write!(f, "{}-{}", self.0.start(), self.0.end())
        }
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_inet_addr_reads_them() {
        for (text, shown) in [
            ("10.1.2.3", "10.1.2.3"),
            ("6793", "0.0.26.137"),
            ("10.1", "10.0.0.1"),
            ("010.1.2.3", "8.1.2.3"),
            ("0x7f.1", "127.0.0.1"),
            ("10.1.0.0/16", "10.1.0.0/16"),
            ("10.1.2.3-10.1.2.9", "10.1.2.3-10.1.2.9"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("ALL", "All"),
        ] {
            assert_eq!(AddressRange::parse(text).expect(text).to_string(), shown);
        }
        for text in [
            "::/96",
            "::ffff:0:0/96",
            "300.1.1.1",
            "1.2.3.4.5",
            "09.1.1.1",
            "10.0.0.0/+8",
            "+1",
            "::ffff:1.2.3.4",
            "::1.2.3.4",
            "10.1.2.9-10.1.2.3",
            "10.1.2.3/33",
            "",
            "x",
        ] {
            assert_eq!(AddressRange::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_port_range_needs_ports_in_order() {
        assert_eq!(PortRange::parse("21").map(|range| range.to_string()).as_deref(), Some("21"));
        assert!(PortRange::parse("1024:65535").expect("a range").contains(65535));
        for text in ["0", "22-21", "70000", "a", "+21", "21:22-23", "-21"] {
            assert_eq!(PortRange::parse(text), None, "{text}");
        }
    }
}
