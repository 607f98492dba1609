//! From files to a policy: the main file, the image's file, the policy files they name.
//!
//! ```text
//! pagent.conf:  TcpImage TCPIP /etc/pagent/tcpip.conf     (without a path: the same file)
//! tcpip.conf:   TTLSConfig /etc/pagent/ttls.policy        zERTConfig /etc/pagent/zert.policy
//! ```
//!
//! A file that holds statements itself is a policy file; `pagent check` takes either kind.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use policies::syntax::Directive;
use policies::{Diagnostic, Document, Policy, Source, diagnostic, parse, resolve};

/// Whether this build links the FIPS 140-3 module. None does yet: policies that demand it are refused.
const FIPS_MODULE: bool = false;
/// A policy file larger than this is refused.
const MAX_FILE: u64 = 256 << 20;

/// What loading gave.
pub(crate) struct Loaded {
    pub(crate) policy: Arc<Policy>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// The files that were read, in order.
    pub(crate) files: Vec<PathBuf>,
}

impl Loaded {
    pub(crate) fn has_errors(&self) -> bool {
        diagnostic::has_errors(&self.diagnostics)
    }
}

/// A file that could not be read, and who named it.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {source}", path.display(), named_by.as_ref().map(|by| format!(" (named at {by})")).unwrap_or_default())]
pub(crate) struct FileError {
    path: PathBuf,
    named_by: Option<String>,
    source: io::Error,
}

/// Reads a main file or a policy file for a stack, and everything it names.
pub(crate) fn load(path: &Path, image: &str) -> Result<Loaded, FileError> {
    let mut loader = Loader { documents: Vec::new(), diagnostics: Vec::new(), files: Vec::new() };
    let directives = loader.file(path, None)?;
    let images: Vec<&Directive> = directives.iter().filter(|directive| directive.name == "TcpImage").collect();
    let named = |directive: &&&Directive| directive.words.first().is_some_and(|name| name.eq_ignore_ascii_case(image));
    // Without a TcpImage for this stack the main file is the image's file.
    let image_file = images.iter().find(named).and_then(|directive| {
        let file = directive.words.get(1).filter(|word| word.starts_with('/') || word.contains('.'))?;
        Some((beside(path, file), directive.origin.short()))
    });
    if !images.is_empty() && !images.iter().any(|directive| named(&directive)) {
        let known: Vec<&str> = images.iter().filter_map(|directive| Some(directive.words.first()?.as_str())).collect();
        return Err(FileError {
            path: path.to_owned(),
            named_by: None,
            source: io::Error::new(
                io::ErrorKind::InvalidData,
                format!("no TcpImage names stack {image}, only {}; set `image` in pagent.toml", known.join(", ")),
            ),
        });
    }
    let image_directives = match &image_file {
        Some((file, named_by)) if file != path => loader.file(file, Some(named_by.clone()))?,
        _ => directives.clone(),
    };
    let base = image_file.as_ref().map_or(path, |(file, _)| file.as_path());
    // The common policy comes first; of several TTLSConfig lines the last counts.
    let last = |list: &[Directive], name: &str| {
        let found = list.iter().rev().find(|directive| directive.name == name)?;
        Some((found.words.first()?.clone(), found.origin.short()))
    };
    let common = last(&directives, "CommonTTLSConfig").map(|found| (path, found));
    let own = ["TTLSConfig", "zERTConfig"].map(|name| last(&image_directives, name).map(|found| (base, found)));
    for (base, (file, named_by)) in std::iter::once(common).chain(own).flatten() {
        let file = beside(base, &file);
        if !loader.files.contains(&file) {
            loader.file(&file, Some(named_by))?;
        }
    }
    let (policy, more) = resolve(&loader.documents, FIPS_MODULE);
    loader.diagnostics.extend(more);
    Ok(Loaded { policy: Arc::new(policy), diagnostics: loader.diagnostics, files: loader.files })
}

struct Loader {
    documents: Vec<Document>,
    diagnostics: Vec<Diagnostic>,
    files: Vec<PathBuf>,
}

impl Loader {
    /// Reads a file and gives its directives.
    fn file(&mut self, path: &Path, named_by: Option<String>) -> Result<Vec<Directive>, FileError> {
        let read = || {
            let size = std::fs::metadata(path)?.len();
            if size > MAX_FILE {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a policy file has at most 256 MiB"));
            }
            std::fs::read(path)
        };
        let bytes = read().map_err(|source| FileError { path: path.to_owned(), named_by, source })?;
        let source = Source::from_bytes(path.display().to_string(), bytes);
        let (document, diagnostics) = parse(&source);
        let directives = document.directives.clone();
        self.documents.push(document);
        self.diagnostics.extend(diagnostics);
        self.files.push(path.to_owned());
        Ok(directives)
    }
}

/// A relative name stands beside the file that names it.
fn beside(base: &Path, file: &str) -> PathBuf {
    base.parent().unwrap_or(Path::new(".")).join(file)
}
