//! The SSH section, 284 bytes.

use serde::Serialize;

use super::{AttributeSource, Certificate, certificate, read_certificate};
use crate::bytes::{Reader, Writer};

const INBOUND: u8 = 0x80;
const OUTBOUND: u8 = 0x40;
const FAILED: u8 = 0x80;

/// What a record says of an SSH session. Inbound is from the remote end to the local one.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Ssh {
    /// `Prot_Ver`: 1 or 2, 0 unknown.
    pub version: u8,
    /// `Source`.
    pub source: AttributeSource,
    /// `CryptoFlags` X'80': encrypt-then-MAC inbound.
    pub encrypt_then_mac_in: bool,
    /// X'40': outbound.
    pub encrypt_then_mac_out: bool,
    /// `Flags` X'80' (z/OS 3.2): the handshake failed.
    pub failed: bool,
    /// `Comp`, 8 characters: `SSH`, `SSHD`.
    pub component: String,
    /// `Protocol_Provider`, 16 characters.
    pub provider: String,
    /// `Auth_Method` and `Auth_Method2`, table H: not seen on the wire.
    pub authentication_methods: [u16; 2],
    /// `In_Enc_Alg`, table A.
    pub encryption_in: u16,
    /// `In_Msg_Auth`, table B.
    pub authentication_in: u16,
    /// `Kex_Method`, table I.
    pub key_exchange: u16,
    /// `Out_Enc_Alg`.
    pub encryption_out: u16,
    /// `Out_Msg_Auth`.
    pub authentication_out: u16,
    /// `SKey_Type` (table J) and `SKey_Len` in bits.
    pub server_key: [u16; 2],
    /// `CKey_Type` and `CKey_Len`.
    pub client_key: [u16; 2],
    /// `SKey_FP`, up to 64 bytes.
    pub server_fingerprint: Vec<u8>,
    /// `CKey_FP`, up to 64 bytes.
    pub client_fingerprint: Vec<u8>,
    /// The server's X.509 certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_certificate: Option<Certificate>,
    /// The client's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<Certificate>,
}

impl Ssh {
    pub(super) fn encode(&self) -> Vec<u8> {
        let flags = [(self.encrypt_then_mac_in, INBOUND), (self.encrypt_then_mac_out, OUTBOUND)];
        let flags = flags.iter().filter(|(on, _)| *on).fold(0, |flags, (_, bit)| flags | bit);
        let length = |bytes: &[u8]| u16::try_from(bytes.len().min(64)).unwrap_or(64);
        let section = Writer::default()
            .u8(self.version)
            .u8(self.source.number())
            .u8(0) // FIPS mode
            .u8(flags)
            .u8(if self.failed { FAILED } else { 0 })
            .reserved(3)
            .text::<8>(&self.component)
            .text::<16>(&self.provider)
            .u16(self.authentication_methods[0])
            .u16(self.authentication_methods[1])
            .u16(self.encryption_in)
            .u16(self.authentication_in)
            .u16(self.key_exchange)
            .u16(self.encryption_out)
            .u16(self.authentication_out)
            .reserved(2)
            .u16(self.server_key[0])
            .u16(self.server_key[1])
            .u16(self.client_key[0])
            .u16(self.client_key[1])
            .u16(length(&self.server_fingerprint))
            .u16(length(&self.client_fingerprint))
            .padded::<64>(&self.server_fingerprint)
            .padded::<64>(&self.client_fingerprint)
            .finish();
        [section, certificate(self.server_certificate.as_ref()), certificate(self.client_certificate.as_ref())].concat()
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (version, source) = (reader.u8("Prot_Ver")?, AttributeSource::from_number(reader.u8("Source")?));
        let _ = reader.u8("FIPS_Mode")?;
        let (flags, failed) = (reader.x8("CryptoFlags")?, reader.x8("Flags")?);
        reader.skip(3)?;
        let (component, provider) = (reader.text::<8>("Comp")?, reader.text::<16>("Protocol_Provider")?);
        let authentication_methods = [reader.x16("Auth_Method")?, reader.x16("Auth_Method2")?];
        let (encryption_in, authentication_in) = (reader.x16("In_Enc_Alg")?, reader.x16("In_Msg_Auth")?);
        let key_exchange = reader.x16("Kex_Method")?;
        let (encryption_out, authentication_out) = (reader.x16("Out_Enc_Alg")?, reader.x16("Out_Msg_Auth")?);
        reader.skip(2)?;
        let server_key = [reader.x16("SKey_Type")?, reader.u16("SKey_Len")?];
        let client_key = [reader.x16("CKey_Type")?, reader.u16("CKey_Len")?];
        let server_length = usize::from(reader.u16("SKey_FPLen")?);
        let client_length = usize::from(reader.u16("CKey_FPLen")?);
        let server_fingerprint = reader.bytes::<64>("SKey_FP")?.get(..server_length.min(64))?.to_vec();
        let client_fingerprint = reader.bytes::<64>("CKey_FP")?.get(..client_length.min(64))?.to_vec();
        Some(Self {
            version,
            source,
            encrypt_then_mac_in: flags & INBOUND != 0,
            encrypt_then_mac_out: flags & OUTBOUND != 0,
            failed: failed & FAILED != 0,
            component,
            provider,
            authentication_methods,
            encryption_in,
            authentication_in,
            key_exchange,
            encryption_out,
            authentication_out,
            server_key,
            client_key,
            server_fingerprint,
            client_fingerprint,
            server_certificate: reader.within("SCert_", read_certificate)?,
            client_certificate: reader.within("CCert_", read_certificate)?,
        })
    }
}
