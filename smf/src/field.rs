//! Fields by their names: what `smf show` prints. They are noted while a record is read, so there is one map of each record.

use std::fmt;
use std::net::IpAddr;

use crate::time;

/// What a field holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Value {
    /// A count, a length, a port.
    Number(u64),
    /// Flags or a code, which manuals write in hexadecimal.
    Code(u64),
    /// EBCDIC text, without trailing blanks.
    Text(String),
    /// Bytes without further meaning.
    Bytes(Vec<u8>),
    /// An address.
    Address(IpAddr),
    /// Hundredths of a second since midnight.
    Time(u32),
    /// A packed date.
    Date(u32),
    /// A TOD clock: bit 51 is a microsecond, the epoch is 1900.
    Clock(u64),
}

/// A field of a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Field {
    /// Its name in IBM's map.
    pub name: String,
    /// Where it begins in the record, RDW included.
    pub offset: usize,
    /// Its length in bytes.
    pub length: usize,
    /// What it holds.
    pub value: Value,
}

/// A part of a record with its fields.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Part {
    /// What it is.
    pub title: &'static str,
    /// Its fields, in order; reserved bytes are left out.
    pub fields: Vec<Field>,
}

impl fmt::Display for Field {
    /// The value: numbers in decimal, codes as `X'1A'`, text and addresses as they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Number(number) => write!(f, "{number}"),
            Value::Code(code) => write!(f, "X'{code:0width$X}'", width = 2 * self.length),
            Value::Text(text) => f.write_str(text),
            Value::Bytes(bytes) => {
                f.write_str("X'")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02X}"))?;
                f.write_str("'")
            }
            Value::Address(address) => write!(f, "{address}"),
            Value::Time(hundredths) => {
                let seconds = hundredths / 100;
                let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
                write!(f, "{hours:02}:{minutes:02}:{:02}.{:02}", seconds % 60, hundredths % 100)
            }
            Value::Date(packed) => match time::moment(*packed, 0) {
                Some(moment) => write!(f, "{}", moment.date()),
                None => write!(f, "X'{packed:08X}'"),
            },
            Value::Clock(clock) => match time::from_clock(*clock) {
                Some(moment) => write!(f, "{}", moment.format("%Y-%m-%d %H:%M:%S%.6f UTC")),
                None => write!(f, "X'{clock:016X}'"),
            },
        }
    }
}
