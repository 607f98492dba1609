//! What the editor has open, and the policy around it.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;

use lsp_types as lsp;
use policies::diagnostic::Fix;
use policies::source::Origin;
use policies::{Diagnostic, Document, Files, Loaded, Source, parse};

use super::position::range_of;
use super::severity;
use crate::configuration::Configuration;
use crate::policy_files::{self, Disk};

/// See the module.
pub(super) struct Documents {
    configuration: Configuration,
    main: Option<PathBuf>,
    open: HashMap<String, Open>,
    /// The policy of the main file, read anew after each change.
    policy: OnceCell<Option<Loaded>>,
}

struct Open {
    uri: lsp::Uri,
    document: Document,
}

impl Documents {
    /// # Errors
    ///
    /// When there is no such main file.
    pub(super) fn new(configuration: Configuration, main: Option<PathBuf>) -> std::io::Result<Self> {
        let main = main.map(|path| path.canonicalize()).transpose()?;
        Ok(Self { configuration, main, open: HashMap::new(), policy: OnceCell::new() })
    }

    /// Takes a document's text, new or changed.
    pub(super) fn open(&mut self, uri: lsp::Uri, text: String) {
        let name = path_of(&uri).map_or_else(|| uri.as_str().to_owned(), |path| identity(&path));
        // A byte order mark the editor shows as a character stays one, so that columns are the editor's.
        let text = text.strip_prefix('\u{feff}').map(|rest| format!(" {rest}")).unwrap_or(text);
        let (document, _) = parse(&Source::new(name.clone(), text));
        self.open.insert(name, Open { uri, document });
        self.policy.take();
    }

    pub(super) fn close(&mut self, uri: &lsp::Uri) {
        self.open.retain(|_, open| open.uri != *uri);
        self.policy.take();
    }

    pub(super) fn document(&self, uri: &lsp::Uri) -> Option<&Document> {
        self.open.values().find(|open| open.uri == *uri).map(|open| &open.document)
    }

    /// A document and the others of its policy, itself first.
    pub(super) fn with(&self, uri: &lsp::Uri) -> Vec<&Document> {
        let Some(document) = self.document(uri) else { return Vec::new() };
        let mut documents = vec![document];
        if let Some(loaded) = self.policy() {
            let is_own = |other: &&Document| other.source.name == document.source.name;
            if loaded.documents.iter().any(|other| is_own(&other)) {
                documents.extend(loaded.documents.iter().filter(|other| !is_own(other)));
            }
        }
        documents
    }

    /// The diagnostics of every open document.
    pub(super) fn diagnostics(&self) -> Vec<(lsp::Uri, Vec<lsp::Diagnostic>)> {
        let found = self.found();
        let of = |open: &Open| -> Vec<lsp::Diagnostic> {
            let own = found.iter().filter(|found| found.origin.source.name == open.document.source.name);
            own.map(|found| self.diagnostic(found)).collect()
        };
        self.open.values().map(|open| (open.uri.clone(), of(open))).collect()
    }

    /// Forgets what was read: a file may have changed outside the editor.
    pub(super) fn read_again(&mut self) {
        self.policy.take();
    }

    /// The diagnostics of a document that can be mended.
    pub(super) fn fixes(&self, uri: &lsp::Uri) -> Vec<(lsp::Diagnostic, Fix)> {
        let Some(document) = self.document(uri) else { return Vec::new() };
        let name = document.source.name.as_str();
        let of_policy = self.policy().filter(|loaded| loaded.documents.iter().any(|other| other.source.name == name));
        let found = match of_policy {
            Some(loaded) => loaded.diagnostics.clone(),
            None => self.load(&document.source).diagnostics,
        };
        let own = found.into_iter().filter(|found| found.origin.source.name == name);
        own.filter_map(|found| Some((self.diagnostic(&found), found.fix?))).collect()
    }

    /// Where something is, as the editor knows it.
    pub(super) fn location(&self, origin: &Origin) -> Option<lsp::Location> {
        let name = origin.source.name.as_str();
        let uri = match self.open.get(name) {
            Some(open) => open.uri.clone(),
            None => uri_of(Path::new(name))?,
        };
        Some(lsp::Location { uri, range: range_of(&origin.source, origin.span) })
    }

    /// Every diagnostic: of the policy, and of documents that do not belong to it by themselves.
    fn found(&self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let mut known: Vec<&str> = Vec::new();
        if let Some(loaded) = self.policy() {
            known.extend(loaded.documents.iter().map(|document| document.source.name.as_str()));
            found.extend(loaded.diagnostics.iter().cloned());
        }
        for (name, open) in &self.open {
            if !known.contains(&name.as_str()) {
                found.extend(self.load(&open.document.source).diagnostics);
            }
        }
        found
    }

    /// The policy of the main file, edited files as they are in the editor.
    fn policy(&self) -> Option<&Loaded> {
        let read = || {
            let main = self.main.as_ref()?;
            let edited = self.open.get(&identity(main)).map(|open| Arc::clone(&open.document.source));
            let source = edited.or_else(|| policy_files::read(main).ok())?;
            Some(self.load(&source))
        };
        self.policy.get_or_init(read).as_ref()
    }

    fn load(&self, source: &Arc<Source>) -> Loaded {
        let mut files = Edited { open: &self.open, disk: Disk::new(&self.configuration) };
        let sources = std::slice::from_ref(source);
        policy_files::load_sources(sources, Vec::new(), &mut files, &self.configuration, None, None)
    }

    fn diagnostic(&self, found: &Diagnostic) -> lsp::Diagnostic {
        let related: Vec<lsp::DiagnosticRelatedInformation> = found
            .notes
            .iter()
            .filter_map(|note| {
                let location = self.location(note.origin.as_ref()?)?;
                Some(lsp::DiagnosticRelatedInformation { location, message: note.text.clone() })
            })
            .collect();
        let help = found.help.as_ref().map(|help| format!("\n{help}")).unwrap_or_default();
        lsp::Diagnostic {
            range: range_of(&found.origin.source, found.origin.span),
            severity: Some(severity(found.severity())),
            code: Some(lsp::NumberOrString::String(found.problem.code().to_owned())),
            source: Some("pagent".to_owned()),
            message: format!("{}{help}", found.problem),
            related_information: (!related.is_empty()).then_some(related),
            ..lsp::Diagnostic::default()
        }
    }
}

/// Files as they are in the editor, else from the file system.
struct Edited<'a> {
    open: &'a HashMap<String, Open>,
    disk: Disk,
}

impl Files for Edited<'_> {
    fn read(&mut self, name: &str, by: &Source) -> Result<Arc<Source>, String> {
        // Candidate by candidate: one that is open is as it is in the editor.
        for path in self.disk.candidates(name, by)? {
            if let Some(open) = self.open.get(&identity(&path)) {
                return Ok(Arc::clone(&open.document.source));
            }
            if path.exists() {
                break;
            }
        }
        // The same file by another path is the same file.
        let source = self.disk.read(name, by)?;
        Ok(Source::new(identity(Path::new(&source.name)), source.text.clone()))
    }
}

/// What a file is known by: its path without links and detours, as far as it is there.
fn identity(path: &Path) -> String {
    path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// The path of a `file:` URI.
fn path_of(uri: &lsp::Uri) -> Option<PathBuf> {
    let rest = uri.as_str().strip_prefix("file://")?;
    let path = rest.get(rest.find('/')?..)?;
    let mut bytes = Vec::with_capacity(path.len());
    let mut left = path.bytes();
    while let Some(byte) = left.next() {
        if byte == b'%' {
            let digits = [left.next()?, left.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok().map(PathBuf::from)
}

/// The `file:` URI of an absolute path.
fn uri_of(path: &Path) -> Option<lsp::Uri> {
    let path = if path.is_absolute() { path.to_owned() } else { path.canonicalize().ok()? };
    let mut text = String::from("file://");
    for byte in path.to_str()?.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    lsp::Uri::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_its_uri_are_each_other_s() {
        for path in ["/etc/pagent.conf", "/tmp/ä b#c%d.policy"] {
            let uri = uri_of(Path::new(path)).expect(path);
            assert_eq!(path_of(&uri).as_deref(), Some(Path::new(path)));
        }
        assert_eq!(path_of(&lsp::Uri::from_str("untitled:1").expect("a URI")), None);
        let host = lsp::Uri::from_str("file://localhost/etc/x").expect("a URI");
        assert_eq!(path_of(&host).as_deref(), Some(Path::new("/etc/x")));
    }
}
