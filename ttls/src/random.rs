//! Numbers by lot.

/// A number that no other process has.
pub(crate) fn draw() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness there is no TLS either; the process id will do for this.
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => std::process::id().into(),
    }
}
