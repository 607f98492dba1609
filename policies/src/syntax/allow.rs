//! Comments that switch warnings off: `# pagent: allow(PAG0205, PAG0207)`.
//!
//! Behind something it counts for that line; on a line of its own for the parameter or the whole statement that follows;
//! `allow-file(…)` counts for the file. Errors cannot be allowed.

use std::collections::HashSet;
use std::sync::Arc;

use crate::diagnostic::{CODES, Diagnostic, Severity};
use crate::source::{Source, Span};
use crate::syntax::Document;

/// What an allow comment says, and for which part of its file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Allow {
    /// Codes of warnings and notes.
    pub codes: Vec<&'static str>,
    /// The bytes it counts for.
    pub span: Span,
}

/// What a comment asks for.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Request<'a> {
    /// Known codes.
    pub(super) codes: Vec<&'static str>,
    /// Words that are no warning's code.
    pub(super) unknown: Vec<&'a str>,
    /// For the whole file.
    pub(super) file: bool,
}

/// Reads a comment; most ask for nothing.
pub(super) fn request(comment: &str) -> Option<Request<'_>> {
    let (_, rest) = comment.split_once("pagent:")?;
    let rest = rest.trim_start().strip_prefix("allow")?;
    let (file, rest) = rest.strip_prefix("-file").map_or((false, rest), |rest| (true, rest));
    let (list, _) = rest.trim_start().strip_prefix('(')?.split_once(')')?;
    let mut request = Request { file, ..Request::default() };
    for word in list.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
        let known = CODES.iter().find(|(code, _)| code.eq_ignore_ascii_case(word)).map(|(code, _)| *code);
        match known.filter(|code| !code.starts_with("PAG01")) {
            Some(code) => request.codes.push(code),
            None => request.unknown.push(word),
        }
    }
    Some(request)
}

/// Takes away what the documents' comments allow.
pub fn apply(documents: &[Document], diagnostics: &mut Vec<Diagnostic>) {
    let with: Vec<&Document> = documents.iter().filter(|document| !document.allows.is_empty()).collect();
    if with.is_empty() {
        return;
    }
    let codes: HashSet<&str> =
        with.iter().flat_map(|document| &document.allows).flat_map(|allow| &allow.codes).copied().collect();
    let same = |a: &Arc<Source>, b: &Arc<Source>| Arc::ptr_eq(a, b);
    diagnostics.retain(|diagnostic| {
        let code = diagnostic.problem.code();
        if diagnostic.severity() == Severity::Error || !codes.contains(code) {
            return true;
        }
        let at = diagnostic.origin.span.start;
        let allowed = |allow: &Allow| (allow.span.start..allow.span.end).contains(&at) && allow.codes.contains(&code);
        !with
            .iter()
            .any(|document| same(&document.source, &diagnostic.origin.source) && document.allows.iter().any(allowed))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allow_comment_names_warnings() {
        let found = request("# fine: pagent: allow(PAG0205, pag0301)").expect("a request");
        assert_eq!((found.codes, found.unknown, found.file), (vec!["PAG0205", "PAG0301"], vec![], false));
        let found = request("# pagent: allow-file(PAG0101 X)").expect("a request");
        assert_eq!((found.codes, found.unknown, found.file), (vec![], vec!["PAG0101", "X"], true));
        assert_eq!(request("# pagent reads this file"), None);
        assert_eq!(request("# pagent: allow PAG0205"), None);
    }
}
