//! Any bytes: reading, resolving, linting, explaining and reporting end, and agree with the literal matcher.

#![no_main]

use std::net::SocketAddr;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use policies::diagnostic::{render, sarif};
use policies::load::{Settings, load};
use policies::report::{Report, Selection};
use policies::{Connection, Direction, Files, Source};

struct NoFiles;

impl Files for NoFiles {
    fn read(&mut self, name: &str, _by: &Source) -> Result<Arc<Source>, String> {
        Err(format!("there is no {name}"))
    }
}

fuzz_target!(|bytes: &[u8]| {
    let source = Source::from_bytes("fuzz.policy", bytes.to_vec());
    let settings = Settings { image: None, fips: false, files: &mut NoFiles, rings: None, lints: true };
    let loaded = load(&[source], settings);
    let _ = render(&loaded.diagnostics);
    let _ = sarif(&loaded.diagnostics);
    for diagnostic in &loaded.diagnostics {
        let report = diagnostic.report();
        assert!(report.line >= 1 && report.column >= 1);
    }
    let now = chrono::DateTime::from_timestamp(1_777_777_777, 0).expect("a time").fixed_offset();
    let end = |text: &str| text.parse::<SocketAddr>().expect("an address");
    for (local, remote) in [("10.1.1.1:21", "10.2.2.2:40000"), ("[::1]:40000", "[2001:db8::1]:443"), ("0.0.26.137:1", "0.0.0.0:65535")] {
        for direction in [Direction::Inbound, Direction::Outbound] {
            let connection =
                Connection { local: end(local), remote: end(remote), direction, jobname: Some("FTPD".to_owned()), userid: None };
            let literal = loaded.policy.ttls.iter().find(|rule| rule.conditions.matches(&connection, now));
            let compiled = loaded.policy.ttls_rule(&connection, now);
            assert_eq!(literal.map(|rule| &rule.name), compiled.map(|rule| &rule.name));
            let literal = loaded.policy.ttls.iter().find(|rule| rule.conditions.matches_but_owner(&connection, now));
            let compiled = loaded.policy.first_but_owner(&connection, now);
            assert_eq!(literal.map(|rule| &rule.name), compiled.map(|rule| &rule.name));
            let literal = loaded.policy.zert.iter().filter(|rule| rule.conditions.matches(&connection, now));
            let compiled = loaded.policy.zert_rules(&connection, now);
            assert!(literal.map(|rule| &rule.name).eq(compiled.map(|rule| &rule.name)));
            let _ = policies::explain::explain(&loaded.policy, &connection, now);
        }
    }
    let report = Report::new(&loaded.policy, "TCPIP", 0, now, &0_i64);
    let _ = report.lines("TTLS", &Selection::default());
    let _ = report.lines("zERT", &Selection::default());
    assert!(policies::diff::diff(&loaded.policy, &loaded.policy).is_empty());
});
