//! `smf`: SMF dumps.

mod dump;
mod summary;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use ::smf::racf::TYPE_80;
use ::smf::{ConnectionDetail, Frames, Header, RacfRecord, RecordError, SessionSummary, detail};
use anyhow::Context as _;
use clap::{Parser, Subcommand};

use super::{Common, finish, print_lines, print_stderr};
use crate::report::records;
use crate::smf_file;

/// Reads SMF type 119 and type 80 records.
#[derive(Parser)]
#[command(name = "smf", version)]
struct Flags {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Prints records in words
    Show(Input),
    /// Prints one JSON object a record and line
    Json(Input),
    /// Prints the records of connections, or of sessions, as comma-separated values
    Csv {
        /// The sessions of 119-12 in place of the connections of 119-11
        #[arg(long)]
        sessions: bool,
        #[command(flatten)]
        input: Input,
    },
    /// Counts the connections that have ended, and their bytes
    Summary {
        /// What they are counted by
        #[arg(long, value_enum, default_value = "remote")]
        by: summary::By,
        #[command(flatten)]
        input: Input,
    },
    /// Copies records by IFASMFDP's control statements
    Dump(dump::Flags),
}

#[derive(clap::Args)]
struct Input {
    /// The dumps, in order [default: smf119.dump in the state folder, and those before it]
    files: Vec<PathBuf>,
}

/// Runs the program. Exit code 4 when the dump's end is cut or a record could not be read.
#[must_use]
pub fn main() -> ExitCode {
    finish(run(&Flags::parse()))
}

fn run(flags: &Flags) -> anyhow::Result<ExitCode> {
    let default = || {
        let dump = flags.common.configuration()?.smf_dump();
        anyhow::Ok(smf_file::earlier(&dump).into_iter().chain([dump]).collect::<Vec<PathBuf>>())
    };
    let files = |input: &Input| if input.files.is_empty() { default() } else { Ok(input.files.clone()) };
    match &flags.verb {
        Verb::Show(input) => each(&files(input)?, |record| print(record, false)),
        Verb::Json(input) => each(&files(input)?, |record| print(record, true)),
        Verb::Csv { sessions, input } => {
            let mut rows = if *sessions { table::Rows::sessions()? } else { table::Rows::connections()? };
            let code = each(&files(input)?, |record| match record {
                Record::Connection(record) if !sessions => rows.connection(&record),
                Record::Session(record) if *sessions => rows.session(&record),
                _ => Ok(()),
            })?;
            rows.print()?;
            Ok(code)
        }
        Verb::Summary { by, input } => {
            let mut table = summary::Table::default();
            let code = each(&files(input)?, |record| {
                if let Record::Connection(record) = record {
                    table.add(*by, &record);
                }
                Ok(())
            })?;
            table.print(*by)?;
            Ok(code)
        }
        Verb::Dump(flags) => dump::run(flags, &default()?),
    }
}

/// Does something with each record of dumps that is known here. Exit code 4 when one could not be read.
fn each(paths: &[PathBuf], mut take: impl FnMut(Record) -> anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for path in paths {
        let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        for frame in Frames::new(&bytes) {
            match frame.and_then(read) {
                Ok(Some(record)) => take(record)?,
                // Other types and subtypes are none of ours.
                Ok(None) => {}
                Err(error) => {
                    print_stderr(format_args!("{}: {error}\n", path.display()));
                    code = ExitCode::from(4);
                }
            }
        }
    }
    Ok(code)
}

fn print(record: Record, json: bool) -> anyhow::Result<()> {
    let line = match record {
        Record::Connection(record) if json => serde_json::to_string(&record)?,
        Record::Connection(record) => records::record(&record),
        Record::Session(record) if json => serde_json::to_string(&record)?,
        Record::Session(record) => records::session_summary(&record),
        Record::Racf(record) if json => {
            let mut object = serde_json::to_value(&record)?;
            let names = [("event_name", record.event_name()), ("qualifier_name", record.qualifier_name())];
            if let Some(object) = object.as_object_mut() {
                object.insert("type".to_owned(), TYPE_80.into());
                object.extend(names.map(|(name, value)| (name.to_owned(), value.into())));
            }
            object.to_string()
        }
        Record::Racf(record) => records::racf(&record),
    };
    print_lines(&[line])
}

/// A record that is known here.
enum Record {
    Connection(Box<ConnectionDetail>),
    Session(Box<SessionSummary>),
    Racf(Box<RacfRecord>),
}

fn read(record: &[u8]) -> Result<Option<Record>, RecordError> {
    if record.get(5) == Some(&TYPE_80) {
        return RacfRecord::decode(record).map(|record| Some(Record::Racf(Box::new(record))));
    }
    match Header::decode(record) {
        Ok(header) if header.subtype == detail::SUBTYPE => {
            ConnectionDetail::decode(record).map(|record| Some(Record::Connection(Box::new(record))))
        }
        Ok(header) if header.subtype == ::smf::summary::SUBTYPE => {
            SessionSummary::decode(record).map(|record| Some(Record::Session(Box::new(record))))
        }
        _ => Ok(None),
    }
}
