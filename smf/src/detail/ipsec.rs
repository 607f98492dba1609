//! The IPsec section, 236 bytes. What IKE agreed on is not known to the kernel, which has security associations only: those fields are
//! passed over when they are read and zero when they are written.

use std::net::IpAddr;

use serde::Serialize;

use crate::bytes::{Reader, Writer};

/// ESP, as `AuthProto` has it.
pub const ESP: u8 = 50;
/// AH.
pub const AH: u8 = 51;

const IPV6: u8 = 0x80;

/// What a record says of the security associations of a connection.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize)]
pub struct Ipsec {
    /// `IKETunLclEndpt`: this host's end of the tunnel.
    pub local: IpAddr,
    /// `IKETunRmtEndpt`: the peer's.
    pub remote: IpAddr,
    /// `TunID`: the outbound association's request id.
    pub tunnel: u32,
    /// `TunType`: 1 manual, 2 dynamic, 3 shadow.
    pub kind: u8,
    /// `EncapMode`: 1 tunnel, 2 transport.
    pub mode: u8,
    /// `AuthProto`: [`ESP`] or [`AH`].
    pub protocol: u8,
    /// `AuthAlg`, table B.
    pub authentication: u16,
    /// `EncAlg`, table A.
    pub encryption: u16,
    /// `Lifesize`: kilobytes after which keys are renewed, 0 for none.
    pub lifesize: u32,
    /// `Lifetime`: seconds after which they are, 0 for none.
    pub lifetime: u32,
}

impl Ipsec {
    pub(super) fn encode(&self) -> Vec<u8> {
        let v6 = if self.local.is_ipv6() { IPV6 } else { 0 };
        Writer::default()
            .reserved(56)
            .address(self.local)
            .address(self.remote)
            .reserved(120)
            .u32(self.tunnel)
            .u8(v6)
            .u8(self.kind)
            .u8(1) // active
            .reserved(1)
            .u8(self.mode)
            .u8(self.protocol)
            .u16(self.authentication)
            .u16(self.encryption)
            .u16(0) // PFSGroup
            .u32(self.lifesize)
            .u32(self.lifetime)
            .reserved(4)
            .finish()
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.skip(56)?;
        let (local, remote) = (reader.any_address("IKETunLclEndpt")?, reader.any_address("IKETunRmtEndpt")?);
        reader.skip(120)?;
        let (tunnel, _, kind) = (reader.u32("TunID")?, reader.x8("TunFlags")?, reader.u8("TunType")?);
        let _ = reader.u8("TunState")?;
        reader.skip(1)?;
        let (mode, protocol) = (reader.u8("EncapMode")?, reader.x8("AuthProto")?);
        let (authentication, encryption) = (reader.x16("AuthAlg")?, reader.x16("EncAlg")?);
        let _ = reader.x16("PFSGroup")?;
        let (lifesize, lifetime) = (reader.u32("Lifesize")?, reader.u32("Lifetime")?);
        let _ = reader.u32("VPNLifeExpire")?;
        Some(Self { local, remote, tunnel, kind, mode, protocol, authentication, encryption, lifesize, lifetime })
    }
}
