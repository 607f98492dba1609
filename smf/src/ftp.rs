//! Subtypes 3 and 70: a transfer of an FTP client, a transfer of an FTP server.
//!
//! Sections of subtype 3: identification, transfer, file name, SOCKS, security, user name. Of subtype 70: identification, transfer, host
//! name, file name, second file name, security. SOCKS and host name are not written. IPv4 addresses are mapped to IPv6.

use std::net::{Ipv4Addr, SocketAddr};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::bytes::{Reader, Writer};
use crate::ebcdic;
use crate::error::RecordError;
use crate::header::{Header, Identification};
use crate::sections::{Sections, assemble};

/// The subtype of a client's transfer.
pub const CLIENT: u16 = 3;
/// The subtype of a server's transfer.
pub const SERVER: u16 = 70;
/// The longest file name.
const LONGEST: usize = 1024;

/// Commands that are recorded, with the server's `FSOper`.
const OPERATIONS: [(&str, u8); 6] = [("APPE", 1), ("DELE", 2), ("RNTO", 3), ("RETR", 4), ("STOR", 5), ("STOU", 6)];

/// A transfer, whichever end tells of it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Transfer {
    /// `FCCmd`, `FSCmd`: the command, as RFC 959 has it.
    pub command: String,
    /// Remote and local end of the data connection; none where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<(SocketAddr, SocketAddr)>,
    /// The same of the control connection.
    pub control: (SocketAddr, SocketAddr),
    /// `FCRUser`, `FSSUser`: the user at the server, 8 characters here.
    pub user: String,
    /// `FCLUser`: the local user; of a client only.
    pub local_user: String,
    /// `Type`: A, E, I, B, U.
    pub data_type: char,
    /// `Mode`: B, C, S.
    pub mode: char,
    /// `Struct`: F, R.
    pub structure: char,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub ended: DateTime<Utc>,
    /// `Bytes`: what the data connection carried.
    pub bytes: u64,
    /// `LReply`: the last reply, three digits.
    pub reply: String,
    /// `CConnID`: the control connection.
    pub control_id: u32,
    /// `DConnID`: the data connection, or 0.
    pub data_id: u32,
    /// The file.
    pub file: String,
    /// Its new name, where it was renamed.
    pub second_file: String,
    /// How it was protected.
    pub security: Security,
}

/// The security section.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Security {
    /// `Mechanism`: N none, T TLS, G GSSAPI, A AT-TLS.
    pub mechanism: char,
    /// `CProtect`: the control connection's level: N none, C clear, S safe, P private.
    pub control: char,
    /// `DProtect`: the data connection's.
    pub data: char,
    /// `LoginMech`: P password, C certificate, T Kerberos ticket, U not defined.
    pub login: char,
    /// `ProtoLevel`, 8 characters: `TLSV1.2`.
    pub version: String,
    /// `CipherSpec`, 20 characters: the suite's name.
    pub cipher_name: String,
    /// `Cipher`: the suite, four hexadecimal digits; the old field of two has `4X`, which points there.
    pub cipher: String,
}

impl Default for Security {
    fn default() -> Self {
        let text = String::new;
        Self {
            mechanism: 'N',
            control: 'N',
            data: 'N',
            login: 'U',
            version: text(),
            cipher_name: text(),
            cipher: text(),
        }
    }
}

/// A 119-3 record.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ClientTransfer {
    /// RDW and header.
    pub header: Header,
    /// Who wrote it.
    pub identification: Identification,
    /// The transfer.
    pub transfer: Transfer,
}

/// A 119-70 record.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ServerTransfer {
    /// RDW and header.
    pub header: Header,
    /// Who wrote it.
    pub identification: Identification,
    /// The transfer.
    pub transfer: Transfer,
}

impl ClientTransfer {
    /// The record, RDW included.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let sections = [
            Some(self.identification.encode()),
            Some(self.transfer.of_client()),
            name(&self.transfer.file),
            None,
            Some(self.transfer.security.encode()),
            name(&self.transfer.user),
        ];
        assemble(&self.header, &sections)
    }

    /// Reads a whole record, RDW included.
    ///
    /// # Errors
    ///
    /// When it is not a 119-3 record or a section is cut short.
    pub fn decode(record: &[u8]) -> Result<Self, RecordError> {
        Self::read(&mut Sections::of_subtype(record, CLIENT)?)
    }

    pub(crate) fn read(sections: &mut Sections<'_>) -> Result<Self, RecordError> {
        let identification = sections.identification()?;
        let mut transfer = sections.required(1, "FTP client transfer", PREFIX_CLIENT, Transfer::read_client)?;
        let file = |reader: &mut Reader<'_>| Some(reader.rest_as_text("FileName"));
        transfer.file = sections.get(2, "file name", PREFIX_CLIENT, file)?.unwrap_or_default();
        transfer.security = sections.get(4, "security", PREFIX_CLIENT, Security::read)?.unwrap_or_default();
        let user = |reader: &mut Reader<'_>| Some(reader.rest_as_text("UserID"));
        if let Some(user) = sections.get(5, "user name", PREFIX_CLIENT, user)? {
            transfer.user = user;
        }
        Ok(Self { identification, transfer, header: sections.header.clone() })
    }
}

const PREFIX_CLIENT: &str = "SMF119FT_FC";
const PREFIX_SERVER: &str = "SMF119FT_FS";

impl ServerTransfer {
    /// The record, RDW included.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let sections = [
            Some(self.identification.encode()),
            Some(self.transfer.of_server()),
            None,
            name(&self.transfer.file),
            name(&self.transfer.second_file),
            Some(self.transfer.security.encode()),
        ];
        assemble(&self.header, &sections)
    }

    /// Reads a whole record, RDW included.
    ///
    /// # Errors
    ///
    /// When it is not a 119-70 record or a section is cut short.
    pub fn decode(record: &[u8]) -> Result<Self, RecordError> {
        Self::read(&mut Sections::of_subtype(record, SERVER)?)
    }

    pub(crate) fn read(sections: &mut Sections<'_>) -> Result<Self, RecordError> {
        let identification = sections.identification()?;
        let mut transfer = sections.required(1, "FTP server transfer", PREFIX_SERVER, Transfer::read_server)?;
        let first = |reader: &mut Reader<'_>| Some(reader.rest_as_text("FileName1"));
        transfer.file = sections.get(3, "file name", PREFIX_SERVER, first)?.unwrap_or_default();
        let second = |reader: &mut Reader<'_>| Some(reader.rest_as_text("FileName2"));
        transfer.second_file = sections.get(4, "second file name", PREFIX_SERVER, second)?.unwrap_or_default();
        transfer.security = sections.get(5, "security", PREFIX_SERVER, Security::read)?.unwrap_or_default();
        Ok(Self { identification, transfer, header: sections.header.clone() })
    }
}

/// A section that is a text of its own length.
fn name(text: &str) -> Option<Vec<u8>> {
    let count = text.chars().count().min(LONGEST);
    let encoded = ebcdic::encode::<LONGEST>(text);
    encoded.get(..count).filter(|bytes| !bytes.is_empty()).map(<[u8]>::to_vec)
}

impl Transfer {
    /// Whether a command is recorded, of a client or of a server: clients do not tell of deletions and new names.
    #[must_use]
    pub fn is_recorded(command: &str, server: bool) -> bool {
        let known = OPERATIONS.iter().any(|(name, _)| *name == command);
        known && (server || !matches!(command, "DELE" | "RNTO"))
    }

    fn ends(&self, writer: Writer) -> Writer {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        [self.data.unwrap_or((nowhere, nowhere)), self.control].into_iter().fold(writer, |writer, (remote, local)| {
            writer.mapped(remote.ip()).mapped(local.ip()).u16(remote.port()).u16(local.port())
        })
    }

    fn form(&self, writer: Writer) -> Writer {
        let hundredths = (self.ended - self.started).num_milliseconds() / 10;
        let byte = |character: char| character.encode_utf8(&mut [0; 4]).to_owned();
        writer
            .text::<1>(&byte(self.data_type))
            .text::<1>(&byte(self.mode))
            .text::<1>(&byte(self.structure))
            .text::<1>("H")
            .moment(Some(self.started))
            .moment(Some(self.ended))
            .u32(u32::try_from(hundredths.max(0)).unwrap_or(u32::MAX))
            .u64(self.bytes)
    }

    fn of_client(&self) -> Vec<u8> {
        let writer = Writer::default().text::<4>(&self.command).text::<4>("SEQ");
        let writer = self.ends(writer).text::<8>(&self.user).text::<8>(&self.local_user);
        self.form(writer)
            .text::<4>(&self.reply)
            .text::<8>("")
            .text::<8>("")
            .text::<8>("")
            .u64(hexadecimal_float(self.bytes))
            .u32(self.control_id)
            .u32(self.data_id)
            .finish()
    }

    fn read_client(reader: &mut Reader<'_>) -> Option<Self> {
        let (command, _) = (reader.text::<4>("Cmd")?, reader.text::<4>("FType")?);
        let (data, control) = read_ends(reader)?;
        let (user, local_user) = (reader.text::<8>("RUser")?, reader.text::<8>("LUser")?);
        let mut transfer = Self { command, data, control, user, local_user, ..read_form(reader)? };
        transfer.reply = reader.text::<4>("LReply")?;
        let (_, _, _) = (reader.text::<8>("M1")?, reader.text::<8>("Hostname")?, reader.text::<8>("RS")?);
        let _ = reader.bytes::<8>("BytesFloat")?;
        (transfer.control_id, transfer.data_id) = (reader.x32("CConnID")?, reader.x32("DConnID")?);
        Some(transfer)
    }

    fn of_server(&self) -> Vec<u8> {
        let operation = OPERATIONS.iter().find(|(name, _)| *name == self.command).map_or(0, |(_, number)| *number);
        let writer = Writer::default().u8(operation).reserved(3).text::<4>(&self.command).text::<4>("SEQ");
        let writer = self.ends(writer).text::<8>(&self.user);
        self.form(writer)
            .text::<4>(&format!("{:>4}", self.reply))
            .text::<8>("")
            .text::<8>("")
            .text::<8>("")
            .u64(hexadecimal_float(self.bytes))
            .u32(self.control_id)
            .u32(self.data_id)
            .text::<15>("")
            .reserved(1)
            .finish()
    }

    fn read_server(reader: &mut Reader<'_>) -> Option<Self> {
        let _ = reader.u8("Oper")?;
        reader.skip(3)?;
        let (command, _) = (reader.text::<4>("Cmd")?, reader.text::<4>("FType")?);
        let (data, control) = read_ends(reader)?;
        let user = reader.text::<8>("SUser")?;
        let mut transfer = Self { command, data, control, user, ..read_form(reader)? };
        transfer.reply = reader.text::<4>("LReply")?.trim().to_owned();
        let (_, _, _) = (reader.text::<8>("M1")?, reader.text::<8>("RS")?, reader.text::<8>("M2")?);
        let _ = reader.bytes::<8>("BytesFloat")?;
        (transfer.control_id, transfer.data_id) = (reader.x32("CConnID")?, reader.x32("DConnID")?);
        // Before z/OS V1R9 the section ended here.
        if !reader.is_at_end() {
            let _ = reader.text::<15>("SessionID")?;
        }
        Some(transfer)
    }
}

type Ends = (SocketAddr, SocketAddr);

fn read_ends(reader: &mut Reader<'_>) -> Option<(Option<Ends>, Ends)> {
    let pair = |reader: &mut Reader<'_>| {
        let (remote, local) = (reader.mapped("RIP")?, reader.mapped("LIP")?);
        Some((SocketAddr::new(remote, reader.u16("RPort")?), SocketAddr::new(local, reader.u16("LPort")?)))
    };
    let data = reader.within("D", pair)?;
    let control = reader.within("C", pair)?;
    Some((Some(data).filter(|(remote, local)| remote.port() != 0 || local.port() != 0), control))
}

/// Type, mode, structure, times and bytes; the rest is the caller's.
fn read_form(reader: &mut Reader<'_>) -> Option<Transfer> {
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let letter = |text: String| text.chars().next().unwrap_or(' ');
    let data_type = letter(reader.text::<1>("Type")?);
    let (mode, structure) = (letter(reader.text::<1>("Mode")?), letter(reader.text::<1>("Struct")?));
    let _ = reader.text::<1>("DsType")?;
    let started = reader.moment("STime", "SDate")??;
    let ended = reader.moment("ETime", "EDate")??;
    let _ = reader.u32("Dur")?;
    Some(Transfer {
        command: String::new(),
        data: None,
        control: (nowhere, nowhere),
        user: String::new(),
        local_user: String::new(),
        data_type,
        mode,
        structure,
        started,
        ended,
        bytes: reader.u64("Bytes")?,
        reply: String::new(),
        control_id: 0,
        data_id: 0,
        file: String::new(),
        second_file: String::new(),
        security: Security::default(),
    })
}

impl Security {
    fn encode(&self) -> Vec<u8> {
        let byte = |character: char| character.encode_utf8(&mut [0; 4]).to_owned();
        let old = if self.cipher.is_empty() { "" } else { "4X" };
        Writer::default()
            .text::<1>(&byte(self.mechanism))
            .text::<1>(&byte(self.control))
            .text::<1>(&byte(self.data))
            .text::<1>(&byte(self.login))
            .text::<8>(&self.version)
            .text::<20>(&self.cipher_name)
            .reserved(4)
            .text::<2>(old)
            .text::<4>(&self.cipher)
            .finish()
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let letter = |text: String| text.chars().next().unwrap_or(' ');
        let (mechanism, control) = (letter(reader.text::<1>("Mechanism")?), letter(reader.text::<1>("CProtect")?));
        let (data, login) = (letter(reader.text::<1>("DProtect")?), letter(reader.text::<1>("LoginMech")?));
        let (version, cipher_name) = (reader.text::<8>("ProtoLevel")?, reader.text::<20>("CipherSpec")?);
        let (_, old) = (reader.u32("ProtoBufSize")?, reader.text::<2>("Cipher")?);
        let cipher = if reader.is_at_end() { old } else { reader.text::<4>("Cipher4")? };
        Some(Self { mechanism, control, data, login, version, cipher_name, cipher })
    }
}

/// A whole number as System/360 floating point has it: excess-64 exponent of 16, 56 bits of fraction.
fn hexadecimal_float(number: u64) -> u64 {
    let digits = (64 - number.leading_zeros()).div_ceil(4);
    let exponent = u64::from(64 + digits) << 56;
    match digits {
        0 => 0,
        1..=14 => exponent | number << (56 - 4 * digits),
        _ => exponent | number >> (4 * digits - 56),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_floating_point_of_the_360() {
        assert_eq!(hexadecimal_float(0), 0);
        assert_eq!(hexadecimal_float(1), 0x4110_0000_0000_0000);
        assert_eq!(hexadecimal_float(118), 0x4276_0000_0000_0000);
        assert_eq!(hexadecimal_float(u64::MAX), 0x50FF_FFFF_FFFF_FFFF);
    }
}
