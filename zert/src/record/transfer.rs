//! SMF 119-3 and 119-70: a transfer of FTP.

use chrono::{DateTime, SubsecRound as _, Utc};
use policies::cipher;
use smf::ftp::{self, ClientTransfer, Security, ServerTransfer, Transfer};
use stack::{ConnectionId, Endpoints};

use super::{EVENT, RecordContext};
use crate::ftp::Operation;
use crate::observer::Protection;
use crate::tls::Handshake;

/// A transfer, as one end of the control connection tells of it.
pub(crate) struct Transferred<'a> {
    pub(crate) operation: &'a Operation,
    /// The server's end tells.
    pub(crate) server: bool,
    pub(crate) control: Endpoints,
    pub(crate) control_id: ConnectionId,
    pub(crate) control_protection: &'a Protection,
    /// The data connection, if it was seen.
    pub(crate) data: Option<(Endpoints, ConnectionId, &'a Protection)>,
    pub(crate) bytes: u64,
    /// The local user.
    pub(crate) userid: &'a str,
    pub(crate) started: DateTime<Utc>,
    pub(crate) ended: DateTime<Utc>,
    /// The engine carries the control connection.
    pub(crate) by_attls: bool,
}

impl RecordContext {
    /// The record, encoded.
    pub(crate) fn transfer(&self, transferred: &Transferred<'_>) -> Vec<u8> {
        let Transferred { operation, server, control, control_id, control_protection, data, .. } = transferred;
        let ends = |ends: Endpoints| (ends.remote, ends.local);
        let data_protection = data.map(|(_, _, protection)| protection);
        let tls = [Some(*control_protection), data_protection].into_iter().flatten().find_map(handshake);
        let transfer = Transfer {
            command: operation.command.clone(),
            data: data.map(|(data, _, _)| ends(data)),
            control: ends(*control),
            user: operation.user.clone(),
            local_user: if *server { String::new() } else { transferred.userid.to_owned() },
            data_type: operation.data_type,
            mode: operation.mode,
            structure: operation.structure,
            started: transferred.started.trunc_subsecs(2),
            ended: transferred.ended.trunc_subsecs(2),
            bytes: transferred.bytes,
            reply: operation.reply.clone(),
            control_id: control_id.0,
            data_id: data.map_or(0, |(_, id, _)| id.0),
            file: operation.file.clone(),
            second_file: operation.second_file.clone(),
            security: Security {
                mechanism: match tls {
                    None => 'N',
                    Some(_) if transferred.by_attls => 'A',
                    Some(_) => 'T',
                },
                control: level(control_protection),
                data: data_protection.map_or('N', level),
                login: if *server { 'P' } else { 'U' },
                version: tls.map(|tls| version(tls.version)).unwrap_or_default(),
                cipher_name: tls.map(|tls| cipher::name(tls.suite)).unwrap_or_default().chars().take(20).collect(),
                cipher: tls.map(|tls| format!("{:04X}", tls.suite)).unwrap_or_default(),
            },
        };
        if *server {
            let (header, identification) = (self.header(ftp::SERVER), self.identification("FTPS", EVENT));
            ServerTransfer { header, identification, transfer }.encode()
        } else {
            let (header, identification) = (self.header(ftp::CLIENT), self.identification("FTPC", EVENT));
            ClientTransfer { header, identification, transfer }.encode()
        }
    }
}

fn handshake(protection: &Protection) -> Option<&Handshake> {
    match protection {
        Protection::Tls(handshake) if handshake.version != 0 => Some(handshake),
        _ => None,
    }
}

/// N none, C clear, P private: what TLS protects is both.
fn level(protection: &Protection) -> char {
    match protection {
        Protection::Tls(_) => 'P',
        Protection::Undetermined | Protection::None | Protection::Ssh(_) => 'C',
    }
}

/// As the manual writes them.
fn version(version: u16) -> String {
    match version {
        0x0200 => "SSLV2".to_owned(),
        0x0300 => "SSLV3".to_owned(),
        0x0301 => "TLSV1".to_owned(),
        0x0302 => "TLSV1.1".to_owned(),
        0x0303 => "TLSV1.2".to_owned(),
        0x0304 => "TLSV1.3".to_owned(),
        other => format!("{other:04X}"),
    }
}
