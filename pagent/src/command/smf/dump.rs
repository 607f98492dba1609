//! `smf dump`: IFASMFDP's job.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use ::smf::{Dump, Frames};
use anyhow::Context as _;

use super::super::{print_lines, print_stderr};
use crate::smf_file;

#[derive(clap::Args)]
pub(super) struct Flags {
    /// A DD name and its file, NAME=FILE; DUMPIN without one is the daemon's dump and those before it
    #[arg(long = "dd", value_name = "NAME=FILE", value_parser = dd)]
    dds: Vec<(String, PathBuf)>,
    /// The control statements [default: standard input]
    statements: Option<PathBuf>,
}

fn dd(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => Ok((name.to_ascii_uppercase(), file.into())),
        _ => Err("expected NAME=FILE, as DUMPOUT=day.smf".to_owned()),
    }
}

/// Who may read an output: commands and names are in it, as in the daemon's dump.
const MODE: u32 = 0o640;

pub(super) fn run(flags: &Flags, default: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let text = match &flags.statements {
        Some(path) => fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?,
        None => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("the control statements cannot be read")?;
            text
        }
    };
    let dump = Dump::parse(&text)?;
    let of = |name: &str| flags.dds.iter().find(|(dd, _)| dd == name).map(|(_, file)| file);
    let mut inputs: Vec<&PathBuf> = Vec::new();
    for name in &dump.inputs {
        match of(name) {
            None if name == "DUMPIN" => inputs.extend(default),
            found => {
                inputs.push(found.with_context(|| format!("there is no file for INDD({name}): code --dd {name}=FILE"))?)
            }
        }
    }
    let mut outputs = Vec::new();
    for output in &dump.outputs {
        let name = &output.name;
        let path = of(name)
            .map(PathBuf::as_path)
            .with_context(|| format!("there is no file for OUTDD({name}): code --dd {name}=FILE"))?;
        let named = outputs.iter().any(|(_, other, _)| *other == path);
        anyhow::ensure!(!named && !path.exists(), "{} is there already; a dump goes to a new file", path.display());
        // A dump that fails or is ended leaves no half of it under that name.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = tempfile::Builder::new().permissions(fs::Permissions::from_mode(MODE)).tempfile_in(folder);
        let file = file.with_context(|| format!("{} cannot be made", path.display()))?;
        outputs.push((output, path, std::io::BufWriter::new(file)));
    }
    let (mut written, mut code) = (0_u64, ExitCode::SUCCESS);
    for input in inputs {
        let bytes = smf_file::read(input).with_context(|| format!("{} cannot be read", input.display()))?;
        let mut tell = |problem: &dyn std::fmt::Display| {
            print_stderr(format_args!("{}: {problem}\n", input.display()));
            code = ExitCode::from(4);
        };
        for (number, frame) in (1..).zip(Frames::new(&bytes)) {
            let record = match frame {
                Ok(record) => record,
                Err(error) => {
                    tell(&error);
                    continue;
                }
            };
            for (output, path, file) in &mut outputs {
                match dump.selects(output, record) {
                    Some(true) => {
                        file.write_all(record).with_context(|| format!("{} cannot be written", path.display()))?;
                        written += 1;
                    }
                    Some(false) => {}
                    None => tell(&format_args!("record {number} has no SMF header or no date and is left out")),
                }
            }
        }
    }
    for (_, path, file) in outputs {
        let written = || format!("{} cannot be written", path.display());
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(written)?;
        file.as_file().sync_all().with_context(written)?;
        file.persist_noclobber(path).with_context(written)?;
    }
    print_lines(&[
        "IFA010I SMF DUMP PARAMETERS".to_owned(),
        format!("IFA020I RECORDS WRITTEN = {written:010}"),
        format!("IFA021I ELAPSED TIME (SEC.) = {:06.2}", begun.elapsed().as_secs_f64()),
    ])?;
    Ok(code)
}
