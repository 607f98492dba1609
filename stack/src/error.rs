//! What can go wrong when the kernel is asked.

use std::io;

/// Why the kernel gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// The netlink socket could not be used.
    #[error("netlink: {0}")]
    Netlink(#[from] io::Error),
    /// The kernel refused the request.
    #[error("the kernel refuses {what}: {source}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// Its answer.
        source: io::Error,
    },
    /// The kernel's answer is not what its interface says.
    #[error("the kernel's answer to {what} is cut short")]
    Malformed {
        /// What was asked.
        what: &'static str,
    },
}
