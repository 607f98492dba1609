//! A record of any kind that is known here.

use serde::Serialize;

use crate::attls::{self, PolicyEvent};
use crate::detail::{self, ConnectionDetail};
use crate::error::RecordError;
use crate::field::Part;
use crate::ftp::{self, ClientTransfer, ServerTransfer};
use crate::racf::{RacfRecord, TYPE_80};
use crate::sections::Sections;
use crate::summary::{self, SessionSummary};
use crate::tcp::{self, Initiation, Termination};

/// A record.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Record {
    /// 119-1.
    Initiation(Box<Initiation>),
    /// 119-2.
    Termination(Box<Termination>),
    /// 119-3.
    ClientTransfer(Box<ClientTransfer>),
    /// 119-11.
    Connection(Box<ConnectionDetail>),
    /// 119-12.
    Session(Box<SessionSummary>),
    /// 119-70.
    ServerTransfer(Box<ServerTransfer>),
    /// 119-100.
    PolicyEvent(Box<PolicyEvent>),
    /// Type 80.
    Racf(Box<RacfRecord>),
}

impl Record {
    /// Reads a whole record, RDW included; none of types and subtypes that are not known here.
    ///
    /// # Errors
    ///
    /// When a section lies outside the record or is cut short.
    pub fn decode(record: &[u8]) -> Result<Option<Self>, RecordError> {
        if record.get(5) == Some(&TYPE_80) {
            return RacfRecord::decode(record).map(|record| Some(Self::Racf(Box::new(record))));
        }
        // Type 119 without subtypes, or another type.
        let Ok(mut sections) = Sections::of(record, false) else { return Ok(None) };
        Self::read(&mut sections)
    }

    fn read(sections: &mut Sections<'_>) -> Result<Option<Self>, RecordError> {
        Ok(Some(match sections.header.subtype {
            tcp::INITIATION => Self::Initiation(Box::new(Initiation::read(sections)?)),
            tcp::TERMINATION => Self::Termination(Box::new(Termination::read(sections)?)),
            ftp::CLIENT => Self::ClientTransfer(Box::new(ClientTransfer::read(sections)?)),
            detail::SUBTYPE => Self::Connection(Box::new(ConnectionDetail::read(sections)?)),
            summary::SUBTYPE => Self::Session(Box::new(SessionSummary::read(sections)?)),
            ftp::SERVER => Self::ServerTransfer(Box::new(ServerTransfer::read(sections)?)),
            attls::SUBTYPE => Self::PolicyEvent(Box::new(PolicyEvent::read(sections)?)),
            _ => return Ok(None),
        }))
    }

    /// The record and its fields by IBM's names, part by part; none of types and subtypes that are not known here.
    ///
    /// # Errors
    ///
    /// As [`Record::decode`].
    pub fn fields(record: &[u8]) -> Result<Option<(Self, Vec<Part>)>, RecordError> {
        if record.get(5) == Some(&TYPE_80) {
            let parts = RacfRecord::parts(record)?;
            return RacfRecord::decode(record).map(|record| Some((Self::Racf(Box::new(record)), parts)));
        }
        let Ok(mut sections) = Sections::of(record, true) else { return Ok(None) };
        Ok(Self::read(&mut sections)?.map(|record| (record, sections.parts())))
    }
}
