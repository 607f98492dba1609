//! Explicit listeners: a port of this host that is bound to a rule by name, for hosts whose kernel captures nothing.

use std::net::SocketAddr;

/// A port whose connections are wrapped as a rule says. The rule's conditions play no part: whoever connects is meant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listener {
    /// Where connections arrive: from the network for a rule that plays the server, from a program for a client.
    pub address: SocketAddr,
    /// Where the other leg goes: to the program in clear text, or to the network in TLS.
    pub target: SocketAddr,
    /// The rule.
    pub rule: String,
}
