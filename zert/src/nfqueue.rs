//! Packets that wait in the kernel for a verdict: the nfnetlink_queue client.
//!
//! Source: `linux/netfilter/nfnetlink_queue.h`.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use netlink_sys::constants::NETLINK_NETFILTER;
use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, TokioSocket};
use stack::netlink::{self, ACK, Message, REQUEST};

/// `NFNL_SUBSYS_QUEUE << 8`.
const PACKET: u16 = 3 << 8;
const VERDICT: u16 = 3 << 8 | 1;
const CONFIG: u16 = 3 << 8 | 2;
const CONFIG_COMMAND: u16 = 1;
const CONFIG_PARAMETERS: u16 = 2;
const CONFIG_LENGTH: u16 = 3;
const COMMAND_BIND: u8 = 1;
const COPY_PACKET: u8 = 2;
const HEADER: u16 = 1;
const VERDICT_HEADER: u16 = 2;
const MARK: u16 = 3;
const PAYLOAD: u16 = 10;
/// `NF_INET_LOCAL_IN`.
const LOCAL_IN: u8 = 1;
/// `NLMSG_ERROR`.
const ERROR: u16 = 2;
/// How long the kernel's acknowledgement is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Packets that wait at once; beyond it the kernel drops, and their senders send them again.
const LENGTH: u32 = 8192;

/// A packet that waits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Queued {
    pub(crate) id: u32,
    /// Whether it comes to this host; otherwise it leaves.
    pub(crate) arrives: bool,
    pub(crate) mark: u32,
    /// The IP packet.
    pub(crate) bytes: Vec<u8>,
}

/// What becomes of a packet. The discriminants are the kernel's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Drop,
    Accept,
    /// Through the same rules again, with this mark.
    Repeat(u32),
}

/// The queue of this number.
pub(crate) struct Queue {
    socket: TokioSocket,
    number: u16,
    /// Packets that came before the last acknowledgement.
    early: Mutex<Vec<Queued>>,
}

fn header(number: u16) -> [u8; 4] {
    let [high, low] = number.to_be_bytes();
    [0, 0, high, low] // nfgenmsg: family, version, queue
}

impl Queue {
    /// Takes the queue. Needs CAP_NET_ADMIN; one process at a time has it.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it, or does not answer.
    pub(crate) async fn bind(number: u16) -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
        socket.socket_mut().bind_auto()?;
        socket.socket_mut().set_rx_buf_sz(32_i32 << 20)?;
        let header = header(number);
        let command = [COMMAND_BIND, 0, 0, 0];
        let parameters = [&u32::from(u16::MAX).to_be_bytes()[..], &[COPY_PACKET]].concat();
        let messages = [
            Message::new(CONFIG, REQUEST | ACK).bytes(&header).attribute(CONFIG_COMMAND, &command),
            Message::new(CONFIG, REQUEST | ACK).bytes(&header).attribute(CONFIG_PARAMETERS, &parameters),
            Message::new(CONFIG, REQUEST | ACK).bytes(&header).attribute(CONFIG_LENGTH, &LENGTH.to_be_bytes()),
        ];
        let mut queue = Self { socket, number, early: Mutex::default() };
        for message in messages {
            queue.socket.socket_mut().send(&message.finish(), 0)?;
            let acknowledged = tokio::time::timeout(PATIENCE, queue.acknowledged()).await;
            acknowledged.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        }
        Ok(queue)
    }

    /// Waits for the kernel's acknowledgement; packets that come before it are kept.
    async fn acknowledged(&self) -> io::Result<()> {
        loop {
            let (packets, acknowledged) = self.receive().await?;
            self.early.lock().unwrap_or_else(PoisonError::into_inner).extend(packets);
            if acknowledged {
                return Ok(());
            }
        }
    }

    /// What comes, and whether an acknowledgement does.
    async fn receive(&self) -> io::Result<(Vec<Queued>, bool)> {
        let (buffer, _) = self.socket.recv_from_full().await?;
        let (mut packets, mut acknowledged) = (Vec::new(), false);
        for (kind, payload) in netlink::messages(&buffer) {
            match kind {
                PACKET => packets.extend(queued(payload)),
                ERROR => {
                    let code = payload.first_chunk::<4>().map(|code| i32::from_ne_bytes(*code)).unwrap_or_default();
                    if code != 0 {
                        return Err(io::Error::from_raw_os_error(-code));
                    }
                    acknowledged = true;
                }
                _ => {}
            }
        }
        Ok((packets, acknowledged))
    }

    /// The next packets.
    ///
    /// # Errors
    ///
    /// `ENOBUFS` when the kernel could not hand over some: they are dropped. Another when it refused the queue.
    pub(crate) async fn next(&self) -> io::Result<Vec<Queued>> {
        let early = std::mem::take(&mut *self.early.lock().unwrap_or_else(PoisonError::into_inner));
        if early.is_empty() { self.receive().await.map(|(packets, _)| packets) } else { Ok(early) }
    }

    /// Says what becomes of a packet.
    pub(crate) fn answer(&self, id: u32, verdict: Verdict) -> io::Result<()> {
        let (number, mark) = match verdict {
            Verdict::Drop => (0_u32, None),
            Verdict::Accept => (1, None),
            Verdict::Repeat(mark) => (4, Some(mark)),
        };
        let said = [number.to_be_bytes(), id.to_be_bytes()].concat();
        let mut message = Message::new(VERDICT, REQUEST).bytes(&header(self.number)).attribute(VERDICT_HEADER, &said);
        if let Some(mark) = mark {
            message = message.attribute(MARK, &mark.to_be_bytes());
        }
        self.socket.socket_ref().send(&message.finish(), 0).map(|_| ())
    }
}

/// A message of the kernel; none without a number to answer to.
fn queued(payload: &[u8]) -> Option<Queued> {
    let mut found = None;
    let (mut mark, mut bytes) = (0, Vec::new());
    for (kind, value) in netlink::attributes(payload.get(4..)?) {
        match kind {
            HEADER => {
                let id = u32::from_be_bytes(*value.first_chunk()?);
                found = Some((id, value.get(6) == Some(&LOCAL_IN)));
            }
            MARK => mark = u32::from_be_bytes(*value.first_chunk()?),
            PAYLOAD => bytes = value.to_vec(),
            _ => {}
        }
    }
    let (id, arrives) = found?;
    Some(Queued { id, arrives, mark, bytes })
}
