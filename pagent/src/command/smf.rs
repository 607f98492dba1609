//! `smf`: SMF dumps.

mod dump;
mod summary;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use ::smf::racf::TYPE_80;
use ::smf::{Frames, Record};
use anyhow::Context as _;
use clap::{Parser, Subcommand};

use super::{Common, finish, print_lines, print_stderr};
use crate::report::{fields, records};
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
    /// Prints records field by field, by IBM's names
    Show(Input),
    /// Prints records in words
    List(Input),
    /// Prints one JSON object a record and line
    Json(Input),
    /// Prints records of one kind as comma-separated values
    Csv {
        /// Which records
        #[arg(long, value_enum, default_value = "connections")]
        of: table::Of,
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
        Verb::Show(input) => each(&files(input)?, |record, bytes| {
            let parts = Record::fields(bytes)?.map(|(_, parts)| parts).unwrap_or_default();
            print_lines(&[fields::show(&record, &parts)])
        }),
        Verb::List(input) => each(&files(input)?, |record, _| print_lines(&[records::words(&record)])),
        Verb::Json(input) => each(&files(input)?, |record, _| print_lines(&[json(&record)?])),
        Verb::Csv { of, input } => {
            let mut rows = table::Rows::new(*of)?;
            let code = each(&files(input)?, |record, _| rows.add(&record))?;
            rows.print()?;
            Ok(code)
        }
        Verb::Summary { by, input } => {
            let mut table = summary::Table::default();
            let code = each(&files(input)?, |record, _| {
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

/// Does something with each record of dumps that is known here, and its bytes. Exit code 4 when one could not be read.
fn each(paths: &[PathBuf], mut take: impl FnMut(Record, &[u8]) -> anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for path in paths {
        let bytes = smf_file::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        for frame in Frames::new(&bytes) {
            match frame.and_then(|frame| Ok(Record::decode(frame)?.map(|record| (record, frame)))) {
                Ok(Some((record, frame))) => take(record, frame)?,
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

fn json(record: &Record) -> anyhow::Result<String> {
    let Record::Racf(racf) = record else { return Ok(serde_json::to_string(record)?) };
    let mut object = serde_json::to_value(racf)?;
    let names = [("event_name", racf.event_name()), ("qualifier_name", racf.qualifier_name())];
    if let Some(object) = object.as_object_mut() {
        object.insert("type".to_owned(), TYPE_80.into());
        object.extend(names.map(|(name, value)| (name.to_owned(), value.into())));
    }
    Ok(object.to_string())
}
