//! Packets that nftables copies to user space: the nfnetlink_log client.
//!
//! Source: `linux/netfilter/nfnetlink_log.h`.

use std::io;

use netlink_sys::constants::NETLINK_NETFILTER;
use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, TokioSocket};
use stack::netlink::{self, ACK, Message, REQUEST};

/// `NFNL_SUBSYS_ULOG << 8`.
const PACKET: u16 = 4 << 8;
/// `NFULNL_MSG_CONFIG` of the same subsystem.
const CONFIG: u16 = 4 << 8 | 1;
const CONFIG_COMMAND: u16 = 1;
const CONFIG_MODE: u16 = 2;
const CONFIG_BUFFER: u16 = 3;
const COMMAND_BIND: u8 = 1;
const COPY_PACKET: u8 = 2;
const PAYLOAD: u16 = 9;
/// Room for a GRO packet of 64 KiB and its attributes.
const KERNEL_BUFFER: u32 = 128 * 1024;

/// A subscription to one NFLOG group.
pub(crate) struct Packets {
    socket: TokioSocket,
}

impl Packets {
    /// Subscribes. Needs CAP_NET_ADMIN.
    pub(crate) fn subscribe(group: u16) -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
        socket.socket_mut().bind_auto()?;
        socket.socket_mut().set_rx_buf_sz(32_i32 << 20)?;
        let [high, low] = group.to_be_bytes();
        let header = [0, 0, high, low]; // nfgenmsg: family, version, group
        let mode = [&u32::from(u16::MAX).to_be_bytes()[..], &[COPY_PACKET, 0]].concat();
        let messages = [
            Message::new(CONFIG, REQUEST | ACK).bytes(&header).attribute(CONFIG_COMMAND, &[COMMAND_BIND]),
            Message::new(CONFIG, REQUEST | ACK).bytes(&header).attribute(CONFIG_MODE, &mode),
            Message::new(CONFIG, REQUEST | ACK).bytes(&header).attribute(CONFIG_BUFFER, &KERNEL_BUFFER.to_be_bytes()),
        ];
        for message in messages {
            socket.socket_mut().send(&message.finish(), 0)?;
        }
        Ok(Self { socket })
    }

    /// The next IP packets.
    ///
    /// # Errors
    ///
    /// `ENOBUFS` when the kernel dropped some because they were not read in time; another when it refused the group.
    pub(crate) async fn next(&self) -> io::Result<Vec<Vec<u8>>> {
        let (buffer, _) = self.socket.recv_from_full().await?;
        let mut packets = Vec::new();
        for (kind, payload) in netlink::messages(&buffer) {
            match kind {
                PACKET => {
                    let attributes = netlink::attributes(payload.get(4..).unwrap_or_default());
                    packets.extend(attributes.filter(|(kind, _)| *kind == PAYLOAD).map(|(_, bytes)| bytes.to_vec()));
                }
                2 => {
                    let code = payload.first_chunk::<4>().map(|code| i32::from_ne_bytes(*code)).unwrap_or_default();
                    if code != 0 {
                        return Err(io::Error::from_raw_os_error(-code));
                    }
                }
                _ => {}
            }
        }
        Ok(packets)
    }
}
