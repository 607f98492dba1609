//! Policies that carry their expectations: `#> PAG0112 PAG0207` at the end of a line says which findings it has.
//!
//! `samples/good` loads, and its `pasearch -t` report is a reviewed snapshot; `samples/bad` has an error. In both every
//! error and every warning must stand where it is expected, and nothing else; notes (PAG03xx) count where they are
//! expected. `#> at-end PAG0120` is for findings at the end of the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use policies::diagnostic::{has_errors, render};
use policies::format::FormatError;
use policies::load::{Settings, load};
use policies::report::{Report, Selection};
use policies::{Files, Loaded, Severity, Source};

/// Files that samples name lie beside them.
struct Beside;

impl Files for Beside {
    fn read(&mut self, name: &str, by: &Source) -> Result<Arc<Source>, String> {
        let name = name.trim_start_matches("//'").trim_end_matches('\'');
        let path = Path::new(&by.name).parent().unwrap_or(Path::new(".")).join(name);
        let bytes = std::fs::read(&path).map_err(|error| error.to_string())?;
        Ok(Source::from_bytes(path.display().to_string(), bytes))
    }
}

fn samples(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples").join(folder);
    let files = std::fs::read_dir(&folder).expect("the samples").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "policy" || extension == "conf"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

fn loaded(path: &Path) -> Loaded {
    let bytes = std::fs::read(path).expect("a sample");
    let source = Source::from_bytes(path.display().to_string(), bytes);
    load(&[source], Settings { image: None, fips: false, files: &mut Beside, rings: None, lints: true })
}

/// Codes by file and line, as the marks say and as they are found, each as often as it is there.
fn compare(path: &Path, loaded: &Loaded) -> Result<(), String> {
    let mut expected: Vec<(String, usize, String)> = Vec::new();
    for source in loaded.documents.iter().map(|document| &document.source) {
        for number in 1..=source.line_count() {
            let Some((_, marks)) = source.line(number).split_once("#>") else { continue };
            let line = if marks.trim().starts_with("at-end") { source.line_count() } else { number };
            let codes = marks.split_whitespace().filter(|word| word.starts_with("PAG"));
            expected.extend(codes.map(|code| (source.name.clone(), line, code.to_owned())));
        }
    }
    let mut found: Vec<(String, usize, String)> = Vec::new();
    for diagnostic in &loaded.diagnostics {
        let mark =
            (diagnostic.origin.source.name.clone(), diagnostic.origin.line(), diagnostic.problem.code().to_owned());
        if diagnostic.severity() != Severity::Note || expected.contains(&mark) {
            found.push(mark);
        }
    }
    expected.sort();
    found.sort();
    if expected == found {
        return Ok(());
    }
    let without = |list: &[(String, usize, String)], others: &[(String, usize, String)]| -> Vec<String> {
        let mut others = others.to_vec();
        let mut left = Vec::new();
        for mark in list {
            match others.iter().position(|other| other == mark) {
                Some(at) => drop(others.remove(at)),
                None => left.push(format!("{}:{} {}", name(Path::new(&mark.0)), mark.1, mark.2)),
            }
        }
        left
    };
    Err(format!(
        "{}\n  expected and not found: {:?}\n  found and not expected: {:?}",
        path.display(),
        without(&expected, &found),
        without(&found, &expected),
    ))
}

fn name(path: &Path) -> String {
    path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned()
}

#[test]
fn good_samples_load_with_the_expected_warnings() {
    let mut failures = Vec::new();
    for path in samples("good") {
        let loaded = loaded(&path);
        if has_errors(&loaded.diagnostics) {
            failures.push(format!("{} has errors\n{}", path.display(), render(&loaded.diagnostics)));
        } else if let Err(failure) = compare(&path, &loaded) {
            failures.push(failure);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn bad_samples_give_the_expected_codes_at_the_expected_lines() {
    let mut failures = Vec::new();
    for path in samples("bad") {
        let loaded = loaded(&path);
        if !has_errors(&loaded.diagnostics) {
            failures.push(format!("{} has no error", path.display()));
        } else if let Err(failure) = compare(&path, &loaded) {
            failures.push(failure);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn lint_samples_warn_where_expected_and_only_there() {
    let mut failures = Vec::new();
    for path in samples("lint") {
        let loaded = loaded(&path);
        if let Err(failure) = compare(&path, &loaded) {
            failures.push(failure);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn reports_of_good_samples_are_those_that_were_reviewed() {
    let time = chrono::DateTime::parse_from_rfc3339("2026-05-01T12:00:00Z").expect("a time");
    for path in samples("good") {
        let loaded = loaded(&path);
        let report = Report::new(&loaded.policy, "TCPIP", time.timestamp(), time, &time.timestamp());
        let selection = Selection { inactive: true, original: true, ..Selection::default() };
        let mut lines = report.lines("TTLS", &selection);
        lines.extend(report.lines("zERT", &selection));
        insta::with_settings!({ snapshot_path => "../samples/reports", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(name(&path), lines.join("\n"));
        });
    }
}

#[test]
fn no_password_of_a_sample_is_shown() {
    let mut passwords = 0;
    for folder in ["good", "bad", "lint"] {
        for path in samples(folder) {
            let loaded = loaded(&path);
            let shown = render(&loaded.diagnostics);
            for line in loaded.documents.iter().flat_map(|document| document.source.text.lines()) {
                let mut words = line.split_whitespace();
                let secret = matches!(words.next(), Some("KeyringPw" | "GSK_LDAP_USER_PW"));
                if let Some(password) = words.next().filter(|word| secret && word.len() > 3) {
                    passwords += 1;
                    assert!(!shown.contains(password), "{}\n{shown}", path.display());
                }
            }
        }
    }
    assert!(passwords > 0, "no sample has a password");
}

#[test]
fn the_order_of_statements_changes_no_finding() {
    for folder in ["good", "bad"] {
        for path in samples(folder) {
            let forward = loaded(&path).documents;
            let mut backward = forward.clone();
            backward.iter_mut().for_each(|document| document.blocks.reverse());
            let codes = |documents: &[policies::Document]| -> Vec<&'static str> {
                let (_, found) = policies::resolve(documents, false);
                let mut codes: Vec<&'static str> = found.iter().map(|one| one.problem.code()).collect();
                codes.sort_unstable();
                codes
            };
            let (forward, backward) = (codes(&forward), codes(&backward));
            // Of two statements with one name the first in the file counts: there order does matter.
            if !forward.iter().any(|code| matches!(*code, "PAG0113" | "PAG0209")) {
                assert_eq!(forward, backward, "{}", path.display());
            }
        }
    }
}

/// Latin-1 X'85' is white space to Unicode, and part of a word to the language.
#[test]
fn formatting_keeps_white_space_that_is_no_blank() {
    let text = "TTLSGroupAction A\u{85}B\n{\n  TTLSEnabled On\n}\nTTLSRule R\n{\n  TTLSGroupActionRef A\u{85}B\n}\n";
    let formatted = policies::format::format(&Source::new("text", text)).expect("it can be read");
    assert_eq!(formatted.matches("A\u{85}B").count(), 2, "{formatted}");
    let formatted = policies::format::format(&Source::new("text", "IDSConfig   a  b\n")).expect("it can be read");
    assert_eq!(formatted, "IDSConfig a  b\n");
}

#[test]
fn formatting_a_sample_keeps_what_it_says_and_is_done_once() {
    for folder in ["good", "lint"] {
        for path in samples(folder) {
            let source = Source::from_bytes(path.display().to_string(), std::fs::read(&path).expect("a sample"));
            let text = match policies::format::format(&source) {
                Ok(text) => text,
                Err(FormatError::Broken(_)) if folder == "lint" => continue,
                Err(error) => panic!("{}: {error}", path.display()),
            };
            let again = policies::format::format(&Source::new("again", text.clone())).expect("formatted text");
            assert_eq!(text, again, "{}", path.display());
            // Every word of every comment is still there, in order; what was ignored text is a comment now.
            let comments = |text: &str| -> Vec<String> {
                let behind = text.lines().filter_map(|line| line.find(['#', ';']).and_then(|at| line.get(at..)));
                let words = behind.flat_map(str::split_whitespace).map(|word| word.trim_matches(['#', ';', '>']));
                words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
            };
            let (before, after) = (comments(&source.text), comments(&text));
            let mut left = after.iter();
            assert!(before.iter().all(|word| left.any(|other| other == word)), "{}\n{text}", path.display());
        }
    }
}
