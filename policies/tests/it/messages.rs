//! `docs/messages.md` has a section for every code, and its example gives that code.

use std::path::Path;
use std::sync::Arc;

use policies::diagnostic::CODES;
use policies::lint::{CertificateFacts, RingFacts, Rings};
use policies::load::{Settings, load};
use policies::parameters::SecurityParameters;
use policies::{Files, Source};

/// Codes whose example would not fit: other files, bytes that are no text, thousands of lines, or no way to reach them.
const WITHOUT_EXAMPLE: [&str; 9] =
    ["PAG0116", "PAG0117", "PAG0118", "PAG0120", "PAG0121", "PAG0122", "PAG0209", "PAG0228", "PAG0230"];

struct NoFiles;

impl Files for NoFiles {
    fn read(&mut self, name: &str, _by: &Source) -> Result<Arc<Source>, String> {
        Err(format!("there is no {name}"))
    }
}

/// The key rings the examples speak of.
struct TestRings;

const NOW: i64 = 1_780_000_000;

impl Rings for TestRings {
    fn ring(&mut self, parameters: &SecurityParameters) -> Option<Result<Arc<RingFacts>, String>> {
        let good = CertificateFacts {
            label: "server".to_owned(),
            has_key: true,
            is_default: true,
            validity: (NOW - 1_000_000, NOW + 300 * 86_400),
            server_auth: Some(true),
            ..CertificateFacts::default()
        };
        let certificate = match parameters.keyring.as_str() {
            "TEST/RSA" => CertificateFacts { rsa_bits: Some(2048), ..good },
            "TEST/EXPIRED" => CertificateFacts { validity: (NOW - 1_000_000, NOW - 1), ..good },
            "TEST/NOUSAGE" => CertificateFacts { server_auth: Some(false), ..good },
            "TEST/EMPTY" => return Some(Ok(Arc::default())),
            _ => return None,
        };
        Some(Ok(Arc::new(RingFacts { certificates: vec![certificate], authorities: 1 })))
    }
}

#[test]
fn every_code_is_documented_with_an_example_that_gives_it() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/messages.md");
    let page = std::fs::read_to_string(page).expect("docs/messages.md");
    for (code, title) in CODES {
        let heading = format!("### {code}: {title}\n");
        let section =
            page.split(&heading).nth(1).unwrap_or_else(|| panic!("docs/messages.md has no `{}`", heading.trim()));
        let section = section.split("\n### ").next().unwrap_or_default().split("\n## ").next().unwrap_or_default();
        let example = section.split("```policy\n").nth(1).and_then(|rest| rest.split("```").next());
        let Some(example) = example else {
            assert!(WITHOUT_EXAMPLE.contains(code), "{code} has no example");
            continue;
        };
        let rings: Option<(&mut dyn Rings, i64)> = Some((&mut TestRings, NOW));
        let settings = Settings { image: None, fips: false, files: &mut NoFiles, rings, lints: true };
        let loaded = load(&[Source::new("example", example)], settings);
        let found: Vec<&str> = loaded.diagnostics.iter().map(|found| found.problem.code()).collect();
        assert!(found.contains(code), "the example of {code} gives {found:?}");
    }
}

#[test]
fn no_section_is_for_a_code_that_is_gone() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/messages.md");
    let page = std::fs::read_to_string(page).expect("docs/messages.md");
    for line in page.lines().filter(|line| line.starts_with("### PAG")) {
        let code = line.trim_start_matches("### ").split(':').next().unwrap_or_default();
        assert!(CODES.iter().any(|(known, _)| *known == code), "{code}");
    }
}
