//! What a rule asks about the revocation of certificates: `TTLSGskAdvancedParms` with its OCSP and HTTP blocks.

use serde::Serialize;

use crate::model::TtlsRule;
use crate::value::Value;

/// Where revocation is looked up, and what no answer means. Times are in seconds, sizes in bytes; 0 is no limit.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize)]
pub struct Revocation {
    /// Files and directories of revocation lists (`CrlFile`).
    pub files: Vec<String>,
    /// Responders, when some are asked.
    pub ocsp: Option<Ocsp>,
    /// Distribution points, when they are asked.
    pub distribution_points: Option<DistributionPoints>,
    /// `RevocationSecurityLevel`.
    pub level: SecurityLevel,
    /// `AIACDPPriority`: responders before distribution points.
    pub responders_first: bool,
    /// `MaxSrcRevExtLocValues`: locations tried of one extension.
    pub locations: u32,
    /// `MaxValidRevExtLocValues`: locations tried for one chain.
    pub all_locations: u32,
    /// `CrlSigAlgPairs`; empty: those of certificates.
    pub list_signatures: Vec<u16>,
    /// `OcspServerStapling`: a server sends the response for its certificate.
    pub stapling: bool,
}

/// When neither responders nor distribution points say whether a certificate is revoked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize)]
pub enum SecurityLevel {
    /// It is accepted.
    Low,
    /// It is accepted when one of those it names could be reached, or it names none.
    Medium,
    /// It is refused.
    High,
}

/// How responders are asked (`TTLSGskOcspParms`).
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize)]
pub struct Ocsp {
    /// `OcspUrl`.
    pub url: Option<String>,
    /// `OcspAiaEnable`.
    pub aia: bool,
    /// `OcspUrlPriority`.
    pub url_first: bool,
    /// The proxy's host and port.
    pub proxy: Option<(String, u16)>,
    /// `OcspRetrieveViaGet`.
    pub by_get: bool,
    /// `OcspResponseSigAlgPairs`; empty: those of certificates.
    pub signatures: Vec<u16>,
    /// `OcspClientCacheSize`.
    pub cache: u32,
    /// Bytes of the nonce, where one is sent.
    pub nonce: Option<u32>,
    /// Whether a response must repeat it.
    pub nonce_demanded: bool,
    /// `OcspResponseTimeout`.
    pub timeout: u32,
    /// `OcspMaxResponseSize`.
    pub max_size: u32,
}

/// How distribution points are asked (`TTLSGskHttpCdpParms`).
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize)]
pub struct DistributionPoints {
    /// The proxy's host and port.
    pub proxy: Option<(String, u16)>,
    /// `HttpCdpResponseTimeout`.
    pub timeout: u32,
    /// `HttpCdpMaxResponseSize`.
    pub max_size: u32,
    /// `HttpCdpCacheSize`.
    pub cache: u32,
    /// `HttpCdpCacheEntryMaxsize`.
    pub max_entry: u32,
}

impl TtlsRule {
    /// What the rule asks; none when it names no source.
    pub(super) fn revocation(&self) -> Option<Revocation> {
        let number = |name: &str| self.number(name).unwrap_or(0);
        let proxy = |server: &str, port: &str| {
            let host = self.texts(server).into_iter().next()?;
            Some((host, u16::try_from(number(port)).unwrap_or(80)))
        };
        let url = self.texts("OcspUrl").into_iter().next();
        let aia = self.on("OcspAiaEnable");
        let stapling = matches!(self.choice("OcspServerStapling"), Some("Any" | "EndEntity"));
        let ocsp = (url.is_some() || aia || stapling).then(|| Ocsp {
            url,
            aia,
            url_first: self.on("OcspUrlPriority"),
            proxy: proxy("OcspProxyServerName", "OcspProxyServerPort"),
            by_get: self.on("OcspRetrieveViaGet"),
            signatures: self.pairs("OcspResponseSigAlgPairs"),
            cache: number("OcspClientCacheSize"),
            nonce: self.on("OcspNonceGenEnable").then(|| number("OcspNonceSize")),
            nonce_demanded: self.on("OcspNonceCheckEnable"),
            timeout: number("OcspResponseTimeout"),
            max_size: number("OcspMaxResponseSize"),
        });
        let distribution_points = self.on("HttpCdpEnable").then(|| DistributionPoints {
            proxy: proxy("HttpCdpProxyServerName", "HttpCdpProxyServerPort"),
            timeout: number("HttpCdpResponseTimeout"),
            max_size: number("HttpCdpMaxResponseSize"),
            cache: number("HttpCdpCacheSize"),
            max_entry: number("HttpCdpCacheEntryMaxsize"),
        });
        let files = self.texts("CrlFile");
        (ocsp.is_some() || distribution_points.is_some() || !files.is_empty()).then(|| Revocation {
            files,
            ocsp,
            distribution_points,
            level: match self.choice("RevocationSecurityLevel") {
                Some("Low") => SecurityLevel::Low,
                Some("High") => SecurityLevel::High,
                _ => SecurityLevel::Medium,
            },
            responders_first: self.on("AIACDPPriority"),
            locations: number("MaxSrcRevExtLocValues"),
            all_locations: number("MaxValidRevExtLocValues"),
            list_signatures: self.pairs("CrlSigAlgPairs"),
            stapling,
        })
    }

    fn pairs(&self, name: &str) -> Vec<u16> {
        let codes = self.effective(name).values.into_iter().filter_map(|value| match value {
            Value::SignaturePair(code) => Some(code),
            _ => None,
        });
        codes.collect()
    }
}
