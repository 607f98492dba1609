//! `smf`: SMF dumps.

use std::path::PathBuf;
use std::process::ExitCode;

use ::smf::racf::TYPE_80;
use ::smf::summary::SessionSummary;
use ::smf::{ConnectionDetail, Frames, Header, RacfRecord, RecordError, detail, summary};
use anyhow::Context as _;
use clap::{Parser, Subcommand};

use super::{Common, finish, print_lines, print_stderr};
use crate::report::records;

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
}

#[derive(clap::Args)]
struct Input {
    /// The dump [default: smf119.dump in the state folder]
    file: Option<PathBuf>,
}

/// Runs the program. Exit code 4 when the dump's end is cut or a record could not be read.
#[must_use]
pub fn main() -> ExitCode {
    finish(run(&Flags::parse()))
}

fn run(flags: &Flags) -> anyhow::Result<ExitCode> {
    let (input, json) = match &flags.verb {
        Verb::Show(input) => (input, false),
        Verb::Json(input) => (input, true),
    };
    let path = match &input.file {
        Some(file) => file.clone(),
        None => flags.common.configuration()?.smf_dump(),
    };
    let bytes = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut code = ExitCode::SUCCESS;
    for frame in Frames::new(&bytes) {
        match frame.and_then(read) {
            Ok(Some(Record::Connection(record))) if json => print_lines(&[serde_json::to_string(&record)?])?,
            Ok(Some(Record::Connection(record))) => print_lines(&[records::record(&record)])?,
            Ok(Some(Record::Session(record))) if json => print_lines(&[serde_json::to_string(&record)?])?,
            Ok(Some(Record::Session(record))) => print_lines(&[records::session_summary(&record)])?,
            Ok(Some(Record::Racf(record))) if json => {
                let mut object = serde_json::to_value(&record)?;
                let names = [("event_name", record.event_name()), ("qualifier_name", record.qualifier_name())];
                if let Some(object) = object.as_object_mut() {
                    object.insert("type".to_owned(), TYPE_80.into());
                    object.extend(names.map(|(name, value)| (name.to_owned(), value.into())));
                }
                print_lines(&[object.to_string()])?;
            }
            Ok(Some(Record::Racf(record))) => print_lines(&[records::racf(&record)])?,
            // Other types and subtypes are none of ours.
            Ok(None) => {}
            Err(error) => {
                print_stderr(format_args!("{}: {error}\n", path.display()));
                code = ExitCode::from(4);
            }
        }
    }
    Ok(code)
}

/// A record that is printed.
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
        Ok(header) if header.subtype == summary::SUBTYPE => {
            SessionSummary::decode(record).map(|record| Some(Record::Session(Box::new(record))))
        }
        _ => Ok(None),
    }
}
