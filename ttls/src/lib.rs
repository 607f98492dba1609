//! The transparent TLS data plane: which connections the kernel hands over, their handshakes, the relay.
//!
//! ```text
//! program ─plain─> [nft redirect] ─> Engine ═TLS═> network      Direction Outbound
//! network ═TLS═> [nft tproxy] ─> Engine ─plain─> program        Direction Inbound
//! ```
//!
//! This crate reads no policy file and knows nothing of zERT: it takes a resolved [`policies::Policy`] and tells an
//! [`Observer`] what it negotiated.

mod cache;
mod capture;
mod connection;
mod control;
mod controlled;
mod engine;
mod environment;
mod error;
mod fips;
mod handover;
mod handshake;
mod install;
mod limits;
mod listener;
mod marks;
mod negotiate;
mod network;
mod own;
mod random;
mod records;
mod registry;
mod relay;
mod revocation;
mod rings;
mod secondary;
mod sessions;
mod signatures;
mod sockets;
mod stapling;
mod sync;
mod sys;
mod tickets;
mod trace;
mod verify;

pub use capture::Observation;
pub use control::{Answer, ConnectionStatus, PolicyStatus, Refusal, Request};
pub use engine::{CaptureSettings, Engine, EnvironmentStatus, KnowsClients, Prepared, Settings};
pub use error::{ConnectionError, InstallError};
pub use fips::fips_module;
pub use handover::{Channel, Inheritance, Offer, Retiring};
pub use install::release;
pub use listener::Listener;
pub use marks::Marks;
pub use registry::{Negotiated, Observer, Session, SessionState};
pub use relay::Traffic;
pub use revocation::{Moment, RevocationError};
pub use sessions::Kept;
pub use tickets::TicketSecret;
