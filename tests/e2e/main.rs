//! The real binaries in network namespaces, with other people's programs as peers. Start with `cargo xtask e2e`.

mod author;
mod broken;
mod controlled;
mod enforcement;
mod fail_closed;
mod fairness;
#[cfg(feature = "fips")]
mod fips;
mod handshakes;
mod identity;
mod idle;
mod limits;
mod listeners;
mod negotiate;
mod network;
mod odd;
mod peers;
mod process;
mod relay;
mod revocation;
mod scan;
mod soak;
mod stories;
mod wrapping;
