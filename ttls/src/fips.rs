//! The FIPS 140-3 module: AWS-LC FIPS, linked by the feature `fips`.

use rustls::crypto::WebPkiSupportedAlgorithms;

/// Whether this program runs on the module and the module's self-tests have passed.
#[must_use]
pub fn fips_module() -> bool {
    cfg!(feature = "fips") && aws_lc_rs::try_fips_mode().is_ok()
}

/// Those signature algorithms (codes of RFC 8446) that the module approves.
pub(crate) fn approved(engine: WebPkiSupportedAlgorithms, codes: &[u16]) -> Vec<u16> {
    let approves = |code: u16| {
        let found = engine.mapping.iter().find(|(scheme, _)| u16::from(*scheme) == code);
        found.is_some_and(|(_, algorithms)| algorithms.iter().all(|algorithm| algorithm.fips()))
    };
    codes.iter().copied().filter(|&code| approves(code)).collect()
}
