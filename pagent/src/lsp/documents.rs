//! What the editor has open, and the policy around it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;

use lsp_types as lsp;
use policies::diagnostic::Fix;
use policies::source::Origin;
use policies::{Diagnostic, Document, Files, Source, parse};

use super::position::range_of;
use super::severity;
use crate::configuration::Configuration;
use crate::policy_files::{self, Disk};

/// See the module.
pub(super) struct Documents {
    configuration: Configuration,
    main: Option<PathBuf>,
    open: HashMap<String, Open>,
}

struct Open {
    uri: lsp::Uri,
    source: Arc<Source>,
}

impl Documents {
    pub(super) fn new(configuration: Configuration, main: Option<PathBuf>) -> Self {
        let main = main.map(|path| path.canonicalize().unwrap_or(path));
        Self { configuration, main, open: HashMap::new() }
    }

    /// Takes a document's text, new or changed.
    pub(super) fn open(&mut self, uri: lsp::Uri, text: String) {
        let name = path_of(&uri).map_or_else(|| uri.as_str().to_owned(), |path| path.display().to_string());
        let source = Source::new(name.clone(), text);
        self.open.insert(name, Open { uri, source });
    }

    pub(super) fn close(&mut self, uri: &lsp::Uri) {
        self.open.retain(|_, open| open.uri != *uri);
    }

    pub(super) fn source(&self, uri: &lsp::Uri) -> Option<&Arc<Source>> {
        self.open.values().find(|open| open.uri == *uri).map(|open| &open.source)
    }

    /// A document and the others of its policy, itself first.
    pub(super) fn with(&self, uri: &lsp::Uri) -> Vec<Document> {
        let Some(source) = self.source(uri) else { return Vec::new() };
        let mut documents = vec![parse(source).0];
        if let Some(sources) = self.main_sources() {
            let loaded = self.load(&sources);
            let of_policy = loaded.documents.iter().any(|document| document.source.name == source.name);
            let others = loaded.documents.into_iter().filter(|document| document.source.name != source.name);
            documents.extend(others.filter(|_| of_policy));
        }
        documents
    }

    /// The diagnostics of every open document.
    pub(super) fn diagnostics(&self) -> Vec<(lsp::Uri, Vec<lsp::Diagnostic>)> {
        let found = self.found();
        let of = |open: &Open| -> Vec<lsp::Diagnostic> {
            let own = found.iter().filter(|found| found.origin.source.name == open.source.name);
            own.map(|found| self.diagnostic(found)).collect()
        };
        self.open.values().map(|open| (open.uri.clone(), of(open))).collect()
    }

    /// The diagnostics of a document that can be mended.
    pub(super) fn fixes(&self, uri: &lsp::Uri) -> Vec<(lsp::Diagnostic, Fix)> {
        let Some(source) = self.source(uri) else { return Vec::new() };
        let own = self.found().into_iter().filter(|found| found.origin.source.name == source.name);
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
        let mut known: Vec<String> = Vec::new();
        if let Some(sources) = self.main_sources() {
            let loaded = self.load(&sources);
            known.extend(loaded.documents.iter().map(|document| document.source.name.clone()));
            found.extend(loaded.diagnostics);
        }
        for (name, open) in &self.open {
            if !known.contains(name) {
                found.extend(self.load(std::slice::from_ref(&open.source)).diagnostics);
            }
        }
        found
    }

    fn main_sources(&self) -> Option<Vec<Arc<Source>>> {
        let main = self.main.as_ref()?;
        let edited = self.open.get(&main.display().to_string()).map(|open| Arc::clone(&open.source));
        edited.or_else(|| policy_files::read(main).ok()).map(|source| vec![source])
    }

    fn load(&self, sources: &[Arc<Source>]) -> policies::Loaded {
        let mut files = Edited { open: &self.open, disk: Disk::new(&self.configuration) };
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
        let candidates = self.disk.candidates(name, by)?;
        let edited = candidates.iter().find_map(|path| self.open.get(&path.display().to_string()));
        match edited {
            Some(open) => Ok(Arc::clone(&open.source)),
            None => self.disk.read(name, by),
        }
    }
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
