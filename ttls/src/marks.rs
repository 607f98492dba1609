//! The marks that tell the engine's own packets from others'.
//!
//! Other software uses packet marks too, so the values live in bits of their own, chosen in pagent.toml, and every
//! comparison is masked. Four are the engine's; 5 and 6 are zERT's, for connections that it holds.

/// Which bits of packet and connection marks are ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Marks {
    shift: u32,
}

impl Marks {
    /// Marks in the three bits above `shift` (0–29).
    #[must_use]
    pub fn new(shift: u32) -> Self {
        Self { shift: shift.min(29) }
    }

    /// The bits that are ours.
    #[must_use]
    pub fn mask(self) -> u32 {
        7 << self.shift
    }

    /// An inbound connection from the network that was handed to the engine.
    #[must_use]
    pub fn inbound(self) -> u32 {
        1 << self.shift
    }

    /// The engine's leg to a local program, from the client's address.
    #[must_use]
    pub fn plain(self) -> u32 {
        2 << self.shift
    }

    /// The engine's leg to the network.
    #[must_use]
    pub fn network(self) -> u32 {
        3 << self.shift
    }

    /// The values of connections that are the engine's, as nftables lists them.
    #[must_use]
    pub fn legs(self) -> String {
        [self.inbound(), self.plain(), self.network(), self.outbound()].map(|mark| format!("{mark:#x}")).join(", ")
    }

    /// A local program's connection that was handed to the engine.
    #[must_use]
    pub fn outbound(self) -> u32 {
        4 << self.shift
    }
}
