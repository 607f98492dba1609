//! From files to a policy: the main file, the stack's file, the policy files they name.
//!
//! ```text
//! pagent.conf:  TcpImage TCPIP /etc/pagent/tcpip.conf     (without a path: the same file)
//!               CommonTTLSConfig /etc/pagent/common.policy
//! tcpip.conf:   TTLSConfig /etc/pagent/ttls.policy        zERTConfig /etc/pagent/zert.policy
//! ```
//!
//! A file that holds statements itself is a policy file. Reading is the caller's business: this crate asks for files by
//! the names that policies give them.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Problem, has_errors};
use crate::lint::{Rings, lint};
use crate::model::Policy;
use crate::source::{Origin, Source};
use crate::syntax::{Block, Directive, Document, Item, apply, parse};
use crate::value::FileReference;
use crate::{resolve, value::Value};

/// Seconds between two looks for changed files when `TcpImage` says nothing.
const REFRESH: u32 = 1800;

/// What reads the files that policies name.
pub trait Files {
    /// The file that `by` calls `name`: a path (a relative one stands beside `by`), or a data set `//'HLQ.NAME(MEMBER)'`.
    ///
    /// # Errors
    ///
    /// The reason, as a text.
    fn read(&mut self, name: &str, by: &Source) -> Result<Arc<Source>, String>;
}

/// What loading gave. The policy is whole only when no diagnostic is an error.
#[derive(Debug)]
pub struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// Everything found, what comments allow left out, in the order of files and lines.
    pub diagnostics: Vec<Diagnostic>,
    /// What was read: the main file first.
    pub documents: Vec<Document>,
    /// The stack whose policy it is, where one is meant or named.
    pub image: Option<String>,
    /// The stacks that the main files name, each once.
    pub images: Vec<String>,
    /// Seconds after which changed files are to be read again.
    pub refresh: u32,
    /// `LogLevel`, where coded.
    pub log_level: Option<u32>,
}

impl Loaded {
    /// Whether it must not be installed.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        has_errors(&self.diagnostics)
    }
}

/// How a policy is to be looked at.
#[allow(missing_debug_implementations, reason = "it lends what reads files and rings")]
pub struct Settings<'a> {
    /// The stack whose policy it is; none for the first that a `TcpImage` names.
    pub image: Option<&'a str>,
    /// Whether the engine is the FIPS 140-3 module.
    pub fips: bool,
    /// What reads files.
    pub files: &'a mut dyn Files,
    /// What reads key rings, and the time in seconds since the epoch; without it certificates are not looked at.
    pub rings: Option<(&'a mut dyn Rings, i64)>,
    /// Whether warnings on the policy as a whole are wanted.
    pub lints: bool,
}

/// Reads main files or policy files, and everything they name, as one policy of a stack.
#[must_use]
pub fn load(files: &[Arc<Source>], settings: Settings<'_>) -> Loaded {
    let Settings { image, fips, files: reader, rings, lints } = settings;
    let mut loader = Loader {
        reader,
        documents: Vec::new(),
        diagnostics: Vec::new(),
        images: Vec::new(),
        refresh: None,
        log_level: None,
    };
    for file in files {
        loader.main(file, image);
    }
    let image = image.map(str::to_owned).or_else(|| loader.images.first().cloned());
    let Loader { documents, mut diagnostics, images, refresh, log_level, .. } = loader;
    let (policy, more) = resolve(&documents, fips);
    diagnostics.extend(more);
    if lints {
        // Rings of a policy with errors may be named in lines that could not be read.
        let rings = rings.filter(|_| !has_errors(&diagnostics));
        diagnostics.extend(lint(&policy, rings));
    }
    apply(&documents, &mut diagnostics);
    let place = |diagnostic: &Diagnostic| {
        let same = |document: &Document| Arc::ptr_eq(&document.source, &diagnostic.origin.source);
        (documents.iter().position(same), diagnostic.origin.span.start, diagnostic.problem.code())
    };
    diagnostics.sort_by_cached_key(place);
    Loaded { policy, diagnostics, documents, image, images, refresh: refresh.unwrap_or(REFRESH), log_level }
}

struct Loader<'a> {
    reader: &'a mut dyn Files,
    documents: Vec<Document>,
    diagnostics: Vec<Diagnostic>,
    images: Vec<String>,
    refresh: Option<u32>,
    log_level: Option<u32>,
}

impl Loader<'_> {
    fn main(&mut self, source: &Arc<Source>, image: Option<&str>) {
        let main = self.document(source, false);
        let first = main.iter().find_map(|directive| directive.file()?.image.clone());
        let image = image.map(str::to_owned).or(first).unwrap_or_default();
        let image = image.as_str();
        self.refresh = self.refresh.or(find_image(&main, image).and_then(|(_, file)| file.refresh));
        let level = |directive: &Directive| match directive.values.first() {
            Some(Value::Number(level)) if directive.statement.name == "LogLevel" => Some(*level),
            _ => None,
        };
        self.log_level = main.iter().rev().find_map(level).or(self.log_level);
        let images: Vec<&Directive> = main.iter().filter(|directive| directive.statement.name == "TcpImage").collect();
        let (mut seen, mut later) = (Vec::new(), Vec::new());
        for directive in &images {
            let Some(name) = directive.file().and_then(|file| file.image.clone()) else { continue };
            if seen.iter().any(|known: &String| known.eq_ignore_ascii_case(&name)) {
                later.push((*directive).clone());
            } else {
                seen.push(name);
            }
        }
        self.misplaced(&later, &["TcpImage"], "an earlier line names the file of this stack");
        self.images.extend(seen);
        let own = match find_image(&main, image) {
            Some((directive, FileReference { path: Some(path), .. })) => {
                let own = self.named(path, directive, false);
                // The image's file may be this one. Otherwise the line is ignored, as on z/OS.
                if own.is_some() {
                    let reason = "the stack has a file of its own, where it belongs";
                    self.misplaced(&main, &["TTLSConfig", "zERTConfig"], reason);
                }
                own
            }
            Some(_) => None,
            None => {
                if let Some(first) = images.first() {
                    let name = |directive: &&Directive| directive.file().and_then(|file| file.image.clone());
                    let known = images.iter().filter_map(name).collect::<Vec<_>>().join(", ");
                    let problem = Problem::NoImage { image: image.to_owned(), known };
                    let help = "name the stack in pagent.toml (`image`), or add a TcpImage for it".to_owned();
                    self.diagnostics.push(Diagnostic::new(problem, first.origin.clone()).help(Some(help)));
                }
                None
            }
        };
        if let Some(own) = &own {
            let reason = "it belongs into the main configuration file";
            self.not_followed(own, &["CommonTTLSConfig"], reason);
            self.misplaced(own, &["TcpImage", "LogLevel"], reason);
        }
        // The common policy comes first; of several lines the last counts.
        self.policy_file(&main, "CommonTTLSConfig", true);
        let directives = own.as_deref().unwrap_or(&main);
        self.policy_file(directives, "TTLSConfig", false);
        self.policy_file(directives, "zERTConfig", false);
    }

    /// Reads the file that the last of some directives names.
    fn policy_file(&mut self, directives: &[Directive], name: &str, common: bool) {
        let mut named = directives.iter().filter(|directive| directive.statement.name == name).rev();
        let Some(last) = named.next() else { return };
        let replaced: Vec<Directive> = named.cloned().collect();
        self.misplaced(&replaced, &[name], "a later one replaces it");
        let Some(path) = last.file().and_then(|file| file.path.clone()) else { return };
        if let Some(inner) = self.named(&path, last, common) {
            let reason = "a policy file holds policy statements only";
            self.not_followed(&inner, &["TTLSConfig", "CommonTTLSConfig", "zERTConfig"], reason);
            self.misplaced(&inner, &["TcpImage", "LogLevel"], reason);
        }
    }

    /// Names of policy files that are not read: rules somebody counts on would not be in force.
    fn not_followed(&mut self, directives: &[Directive], names: &[&str], reason: &'static str) {
        let names_file = |directive: &&Directive| directive.file().is_some_and(|file| file.path.is_some());
        let named = directives.iter().filter(|directive| names.contains(&directive.statement.name));
        for directive in named.filter(names_file) {
            let problem = Problem::NotFollowed { directive: directive.statement.name, reason };
            self.diagnostics.push(Diagnostic::new(problem, directive.origin.clone()));
        }
    }

    fn misplaced(&mut self, directives: &[Directive], names: &[&str], reason: &'static str) {
        for directive in directives.iter().filter(|directive| names.contains(&directive.statement.name)) {
            let problem = Problem::Misplaced { directive: directive.statement.name, reason };
            self.diagnostics.push(Diagnostic::new(problem, directive.origin.clone()));
        }
    }

    /// Reads a file that a directive names, unless it was read before.
    fn named(&mut self, path: &str, by: &Directive, common: bool) -> Option<Vec<Directive>> {
        match self.reader.read(path, &by.origin.source) {
            Ok(source) => {
                let known = self.documents.iter().any(|document| document.source.name == source.name);
                (!known).then(|| self.document(&source, common))
            }
            Err(reason) => {
                let problem = Problem::Unreadable { file: path.to_owned(), reason };
                self.diagnostics.push(Diagnostic::new(problem, Origin::clone(&by.origin)));
                None
            }
        }
    }

    fn document(&mut self, source: &Arc<Source>, common: bool) -> Vec<Directive> {
        let (mut document, found) = parse(source);
        document.common = common;
        let mut named = Vec::new();
        document.blocks.iter().for_each(|block| envfiles(block, &mut named));
        for (name, origin) in named {
            match self.reader.read(&name, source) {
                Ok(file) => document.environments.push((name, file)),
                Err(reason) => {
                    let problem = Problem::EnvfileUnreadable { file: name, reason };
                    self.diagnostics.push(Diagnostic::new(problem, origin));
                }
            }
        }
        let directives = document.directives.clone();
        self.documents.push(document);
        self.diagnostics.extend(found);
        directives
    }
}

/// The files that `Envfile` parameters of a block name.
fn envfiles(block: &Block, named: &mut Vec<(String, Origin)>) {
    for item in &block.items {
        match item {
            Item::Block(inner) => envfiles(inner, named),
            Item::Setting(setting) if setting.parameter.name == "Envfile" => {
                if let Some(Value::Text(name)) = setting.values.first() {
                    named.push((name.clone(), setting.origin.clone()));
                }
            }
            Item::Setting(_) => {}
        }
    }
}

/// The stack's `TcpImage`: the first that names it.
fn find_image<'a>(directives: &'a [Directive], image: &str) -> Option<(&'a Directive, &'a FileReference)> {
    let mut named = directives.iter().filter(|directive| directive.statement.name == "TcpImage");
    named.find_map(|directive| {
        let file = directive.file()?;
        let name = file.image.as_deref()?;
        name.eq_ignore_ascii_case(image).then_some((directive, file))
    })
}
