//! The real binaries in network namespaces, with other people's programs as peers. Start with `cargo xtask e2e`.

mod author;
mod bench;
mod broken;
mod chromium;
mod controlled;
mod enforcement;
mod fail_closed;
mod fairness;
#[cfg(feature = "fips")]
mod fips;
mod ftp;
mod gnutls;
mod handshakes;
mod history;
mod hold;
mod identity;
mod idle;
mod keyrings;
mod limits;
mod listeners;
mod negotiate;
mod network;
mod odd;
mod peers;
mod ports;
mod postgres;
mod process;
mod relay;
mod revocation;
mod saf;
mod scan;
mod soak;
mod stories;
mod summaries;
mod takeover;
mod wrapping;
