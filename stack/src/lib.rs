//! This host's TCP stack as netlink shows it: sockets, what they carried, who owns them, how to drop them.
//!
//! Everything here looks at the network namespace of the calling thread.

mod error;
pub mod netlink;
pub mod nftables;
pub mod owner;
pub mod socket;
pub mod xfrm;

pub use error::StackError;
pub use owner::Owner;
pub use socket::{ConnectionId, Counters, Endpoints, Socket, State, Transport};
