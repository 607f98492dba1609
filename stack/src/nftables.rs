//! What the kernel has of nftables, asked by netlink: much cheaper than to run `nft`. Source: `linux/netfilter/nf_tables.h`.

use netlink_sys::constants::NETLINK_NETFILTER;

use crate::StackError;
use crate::netlink::{self, Message, REQUEST};

/// `NFNL_SUBSYS_NFTABLES`, the high byte of a message's type.
const NFTABLES: u16 = 10 << 8;
const NFT_MSG_GETTABLE: u16 = 1;
const NFT_MSG_GETSET: u16 = 10;
/// `nfgenmsg`: family inet, version 0, resource 0.
const INET: [u8; 4] = [1, 0, 0, 0];
const NFTA_TABLE_NAME: u16 = 1;
const NFTA_SET_TABLE: u16 = 1;
const NFTA_SET_NAME: u16 = 2;
const ENOENT: i32 = 2;

/// Whether this network namespace has a table of family inet.
///
/// # Errors
///
/// When the kernel cannot be asked, or does not let this process ask.
pub fn has_table(table: &str) -> Result<bool, StackError> {
    let message =
        Message::new(NFTABLES | NFT_MSG_GETTABLE, REQUEST).bytes(&INET).attribute(NFTA_TABLE_NAME, &name(table));
    is_there(message, "an nftables table")
}

/// Whether a table of family inet has a set.
///
/// # Errors
///
/// As [`has_table`].
pub fn has_set(table: &str, set: &str) -> Result<bool, StackError> {
    let message = Message::new(NFTABLES | NFT_MSG_GETSET, REQUEST)
        .bytes(&INET)
        .attribute(NFTA_SET_TABLE, &name(table))
        .attribute(NFTA_SET_NAME, &name(set));
    is_there(message, "an nftables set")
}

fn is_there(message: Message, what: &'static str) -> Result<bool, StackError> {
    match netlink::request(NETLINK_NETFILTER, message, what) {
        Ok(_) => Ok(true),
        Err(StackError::Refused { source, .. }) if source.raw_os_error() == Some(ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// As netlink has strings.
fn name(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}
