//! The FIPS 140-3 module: AWS-LC FIPS, linked by the feature `fips`.

/// Whether this program runs on the module and the module's self-tests have passed.
#[must_use]
pub fn fips_module() -> bool {
    cfg!(feature = "fips") && aws_lc_rs::try_fips_mode().is_ok()
}

#[cfg(all(test, feature = "fips"))]
mod tests {
    use rustls::crypto::aws_lc_rs::{ALL_CIPHER_SUITES, ALL_KX_GROUPS};

    use super::fips_module;

    #[test]
    fn the_language_knows_what_the_module_approves() {
        assert!(fips_module());
        for suite in ALL_CIPHER_SUITES {
            let code = u16::from(suite.suite());
            assert_eq!(policies::cipher::is_fips(code), suite.fips(), "{}", policies::cipher::name(code));
        }
        for group in ALL_KX_GROUPS {
            let code = u16::from(group.name());
            assert_eq!(policies::group::is_fips(code), group.fips(), "{}", policies::group::name(code));
        }
    }
}
