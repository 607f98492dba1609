//! The table of statements and parameters: what a policy may say, the default of what it does not say, and what the
//! engine makes of it. Grammar checks, defaults, reports and documentation are driven by it; a new parameter is a row.
//!
//! Source: *z/OS Communications Server: IP Configuration Reference*, "AT-TLS policy statements"; the zERT statements and
//! `HandshakeCache…`, `FIPSMODE` are this project's.

use crate::value::Kind;

/// Where a statement may stand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Placement {
    /// At the top level only, with a name; other statements refer to it.
    Top,
    /// At the top level with a name, or in place inside the statements whose rows say [`Kind::Inline`].
    TopOrInline,
    /// A line of its own at the top level (`LogLevel 31`).
    Directive,
}

/// A statement type.
#[derive(Debug)]
pub struct Statement {
    /// Its keyword, as IBM writes it.
    pub name: &'static str,
    /// Where it may stand.
    pub placement: Placement,
    /// Its parameters, in the order reports print them.
    pub parameters: &'static [Parameter],
}

/// What happens when a parameter is coded several times in one block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Repeat {
    /// The last one counts.
    Last,
    /// All count, in the order they are written.
    List,
}

/// What the engine does with a coded parameter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Engine {
    /// What it says.
    Applied,
    /// Nothing, and nothing is lost by it: it steers something this engine does not have.
    Idle,
    /// Something else when the value differs from the default: the text says what.
    Differs(&'static str),
    /// It cannot, and going on without would weaken the policy: a value that differs from the default is an error.
    Refused(&'static str),
    /// A minimum the engine has built in: a higher one is an error, a lower one has no effect.
    Minimum(u32, &'static str),
}

/// A parameter of a statement.
#[derive(Debug, Eq, PartialEq)]
pub struct Parameter {
    /// Its keyword, as IBM writes it.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Coded twice.
    pub repeat: Repeat,
    /// The value in effect when it is not coded at any level, as it would be written.
    pub default: Option<&'static str>,
    /// Whether the statement is an error without it.
    pub required: bool,
    /// What the engine does with it.
    pub engine: Engine,
}

impl Parameter {
    const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn list(mut self) -> Self {
        self.repeat = Repeat::List;
        self
    }

    const fn idle(mut self) -> Self {
        self.engine = Engine::Idle;
        self
    }

    const fn differs(mut self, text: &'static str) -> Self {
        self.engine = Engine::Differs(text);
        self
    }

    const fn minimum(mut self, built_in: u32, text: &'static str) -> Self {
        self.engine = Engine::Minimum(built_in, text);
        self
    }

    const fn refused(mut self, text: &'static str) -> Self {
        self.engine = Engine::Refused(text);
        self
    }
}

const fn row(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, repeat: Repeat::Last, default: None, required: false, engine: Engine::Applied }
}

const fn line(name: &'static str) -> Parameter {
    row(name, Kind::Line { may_be_empty: false })
}

/// A sub-statement in place.
const fn inline(name: &'static str) -> Parameter {
    row(name, Kind::Inline(name))
}

/// A reference to a sub-statement.
const fn reference(name: &'static str, statement: &'static str) -> Parameter {
    row(name, Kind::Reference(statement))
}

const ON_OFF: Kind = Kind::OnOff;
const REQUIRED_OPTIONAL_OFF: Kind = Kind::Choice(&["Off", "Optional", "Required"]);

const NO_OLD_VERSION: &str = "SSLv2, SSLv3, TLSv1 and TLSv1.1 are never negotiated";
const NO_FRAGMENT: &str = "the maximum fragment length extension (RFC 6066) is not negotiated";
const NO_SNI_LIST: &str = "SNI conditions are not evaluated yet";
const NO_SIZE_CHECK: &str = "peers' key sizes are not compared with this value; RSA keys below 2048 and EC keys below 256 bits are always refused";
const NO_REVOCATION: &str = "revocation is not checked yet, and a policy that asks for it is not weakened silently";
const NO_SIGNATURES: &str = "the engine's own list of signature algorithms is used";

/// The rows of a rule: the conditions that AT-TLS and zERT rules share, then its own.
macro_rules! rule {
    ($($own:expr),* $(,)?) => {
        &[
            row("LocalAddr", Kind::Address),
            reference("LocalAddrRef", "IpAddr"),
            reference("LocalAddrSetRef", "IpAddrSet"),
            reference("LocalAddrGroupRef", "IpAddrGroup"),
            row("RemoteAddr", Kind::Address),
            reference("RemoteAddrRef", "IpAddr"),
            reference("RemoteAddrSetRef", "IpAddrSet"),
            reference("RemoteAddrGroupRef", "IpAddrGroup"),
            row("LocalPortRange", Kind::Ports).list(),
            reference("LocalPortRangeRef", "PortRange"),
            reference("LocalPortGroupRef", "PortGroup"),
            row("RemotePortRange", Kind::Ports).list(),
            reference("RemotePortRangeRef", "PortRange"),
            reference("RemotePortGroupRef", "PortGroup"),
            row("Jobname", Kind::NamePattern),
            row("Userid", Kind::NamePattern),
            row("Priority", Kind::Number(1, 2_000_000_000)).or("1"),
            inline("IpTimeCondition"),
            reference("IpTimeConditionRef", "IpTimeCondition"),
            $($own),*
        ]
    };
}

const DIRECTION: Kind = Kind::Choice(&["Inbound", "Outbound", "Both"]);
const ROLE: Kind = Kind::Choice(&["Client", "Server", "ServerWithClientAuth"]);

/// The rows of both AdvancedParms blocks: the connection form repeats what the environment form has.
macro_rules! advanced {
    ($($own:expr),* $(,)?) => {
        &[
            row("SecondaryMap", ON_OFF).or("Off").refused("secondary connections are not mapped yet and would travel in clear text"),
            row("SSLv2", ON_OFF).or("Off").differs(NO_OLD_VERSION),
            row("SSLv3", ON_OFF).or("Off").differs(NO_OLD_VERSION),
            row("TLSv1", ON_OFF).or("Off").differs(NO_OLD_VERSION),
            row("TLSv1.1", ON_OFF).or("Off").differs(NO_OLD_VERSION),
            row("TLSv1.2", ON_OFF).or("On"),
            row("TLSv1.3", ON_OFF).or("On"),
            row("MiddleBoxCompatMode", ON_OFF).or("On").differs("the engine always sends RFC 8446 D.4's compatibility messages"),
            row("ApplicationControlled", ON_OFF).or("Off").refused("programs cannot start the handshake themselves yet; the connection would begin in clear text"),
            row("HandshakeTimeout", Kind::Number(0, 600)).or("10"),
            row("ResetCipherTimer", Kind::Number(0, 1440)).or("0").differs("keys are not renewed by time"),
            row("CertificateLabel", Kind::Line { may_be_empty: true }),
            row("ServerCertificateLabel", Kind::Line { may_be_empty: false }).list(),
            row("TruncatedHMAC", REQUIRED_OPTIONAL_OFF).or("Off").differs("the truncated HMAC extension is not negotiated"),
            row("ClientMaxSSLFragment", REQUIRED_OPTIONAL_OFF).or("Off").differs(NO_FRAGMENT),
            row("ClientMaxSSLFragmentLength", Kind::Choice(&["512", "1024", "2048", "4096"])).differs(NO_FRAGMENT),
            row("ServerMaxSSLFragment", REQUIRED_OPTIONAL_OFF).or("Off").differs(NO_FRAGMENT),
            row("ClientHandshakeSNI", REQUIRED_OPTIONAL_OFF).or("Off"),
            row("ClientHandshakeSNIMatch", Kind::Choice(&["Required", "Optional"])).refused(NO_SNI_LIST),
            row("ClientHandshakeSNIList", Kind::Line { may_be_empty: false }).list(),
            row("ServerHandshakeSNI", REQUIRED_OPTIONAL_OFF).or("Off").refused(NO_SNI_LIST),
            row("ServerHandshakeSNIMatch", Kind::Choice(&["Required", "Optional"])).refused(NO_SNI_LIST),
            row("ServerHandshakeSNIList", Kind::Line { may_be_empty: false }).list().refused(NO_SNI_LIST),
            row("HostReferenceIdDNS", Kind::Line { may_be_empty: false }).list(),
            row("HostReferenceIdCN", Kind::Line { may_be_empty: false }).list().refused("names are compared with the certificate's subjectAltName only (RFC 9525); use HostReferenceIdDNS"),
            row("HostRefWildcardValidation", ON_OFF).or("On").differs("a wildcard as the whole left-most label of a certificate's DNS name is always honoured (RFC 9525)"),
            row("HandshakeCacheCapacity", Kind::Number(0, 1_000_000)),
            row("HandshakeCacheTimeout", Kind::Number(1, 86_400)),
            row("FIPSMODE", Kind::FipsMode),
            $($own),*
        ]
    };
}

const fn top(name: &'static str, parameters: &'static [Parameter]) -> Statement {
    Statement { name, placement: Placement::Top, parameters }
}

const fn either(name: &'static str, parameters: &'static [Parameter]) -> Statement {
    Statement { name, placement: Placement::TopOrInline, parameters }
}

/// A directive has one row: its own value.
const fn directive(name: &'static str, parameters: &'static [Parameter]) -> Statement {
    Statement { name, placement: Placement::Directive, parameters }
}

/// The statement with this keyword, in any case. `PEPInstance` is `TcpImage`.
#[must_use]
pub fn statement(keyword: &str) -> Option<&'static Statement> {
    let keyword = if keyword.eq_ignore_ascii_case("PEPInstance") { "TcpImage" } else { keyword };
    STATEMENTS.iter().find(|statement| statement.name.eq_ignore_ascii_case(keyword))
}

impl Statement {
    /// The parameter with this keyword, in any case.
    #[must_use]
    pub fn parameter(&self, keyword: &str) -> Option<&'static Parameter> {
        self.parameters.iter().find(|parameter| parameter.name.eq_ignore_ascii_case(keyword))
    }
}

/// Every statement.
pub const STATEMENTS: &[Statement] = &[
    top(
        "TTLSRule",
        rule![
            row("Direction", DIRECTION).required(),
            reference("TTLSGroupActionRef", "TTLSGroupAction").required(),
            reference("TTLSEnvironmentActionRef", "TTLSEnvironmentAction"),
            reference("TTLSConnectionActionRef", "TTLSConnectionAction"),
        ],
    ),
    top(
        "TTLSGroupAction",
        &[
            row("TTLSEnabled", ON_OFF).required(),
            row("CtraceClearText", ON_OFF).or("Off").differs("there is no packet trace that could show decrypted data"),
            row("Trace", Kind::Number(0, 255)).or("2"),
            row("FIPS140", Kind::Choice(&["Off", "On", "Level1", "Level2", "Level3"])).or("Off"),
            row("FIPSMODE", Kind::FipsMode),
            row("GroupUserInstance", Kind::Number(0, 65_535)),
            inline("TTLSGroupAdvancedParms"),
            reference("TTLSGroupAdvancedParmsRef", "TTLSGroupAdvancedParms"),
        ],
    ),
    top(
        "TTLSEnvironmentAction",
        &[
            row("HandshakeRole", ROLE).required(),
            row("CtraceClearText", ON_OFF).differs("there is no packet trace that could show decrypted data"),
            row("Trace", Kind::Number(0, 255)),
            row("SuiteBProfile", Kind::Choice(&["Off", "128", "128Min", "192", "192Min", "All"]))
                .or("Off")
                .refused("Suite B profiles are not implemented; code the suites and groups"),
            row("EnvironmentUserInstance", Kind::Number(0, 65_535)),
            inline("TTLSKeyringParms"),
            reference("TTLSKeyringParmsRef", "TTLSKeyringParms"),
            inline("TTLSEnvironmentAdvancedParms"),
            reference("TTLSEnvironmentAdvancedParmsRef", "TTLSEnvironmentAdvancedParms"),
            inline("TTLSSignatureParms"),
            reference("TTLSSignatureParmsRef", "TTLSSignatureParms"),
            inline("TTLSCipherParms"),
            reference("TTLSCipherParmsRef", "TTLSCipherParms"),
            inline("TTLSGskAdvancedParms"),
            reference("TTLSGskAdvancedParmsRef", "TTLSGskAdvancedParms"),
        ],
    ),
    top(
        "TTLSConnectionAction",
        &[
            row("HandshakeRole", ROLE),
            row("CtraceClearText", ON_OFF).differs("there is no packet trace that could show decrypted data"),
            row("Trace", Kind::Number(0, 255)),
            row("ConnectionUserInstance", Kind::Number(0, 65_535)),
            inline("TTLSConnectionAdvancedParms"),
            reference("TTLSConnectionAdvancedParmsRef", "TTLSConnectionAdvancedParms"),
            inline("TTLSSignatureParms"),
            reference("TTLSSignatureParmsRef", "TTLSSignatureParms"),
            inline("TTLSCipherParms"),
            reference("TTLSCipherParmsRef", "TTLSCipherParms"),
        ],
    ),
    either(
        "TTLSGroupAdvancedParms",
        &[
            row("SecondaryMap", ON_OFF)
                .or("Off")
                .refused("secondary connections are not mapped yet and would travel in clear text"),
            row("SyslogFacility", Kind::Choice(&["Daemon", "Auth"])).or("Daemon").idle(),
            line("Envfile").differs("System SSL's environment variables are not read; code the parameters"),
        ],
    ),
    either(
        "TTLSEnvironmentAdvancedParms",
        advanced![
            row("ClientAuthType", Kind::Choice(&["PassThru", "Full", "Required", "SAFCheck"])).or("Required"),
            row("CertValidationMode", Kind::Choice(&["Any", "RFC2459", "RFC3280", "RFC5280"])).or("Any").idle(),
            row("ClientExtendedMasterSecret", Kind::Choice(&["On", "Off", "Required"])).or("On"),
            row("ServerExtendedMasterSecret", Kind::Choice(&["On", "Off", "Required"])).or("On"),
            row("Renegotiation", Kind::Choice(&["Default", "Disabled", "All", "Abbreviated"]))
                .or("Disabled")
                .differs("renegotiation is always refused"),
            row("RenegotiationIndicator", Kind::Choice(&["Optional", "Client", "Server", "Both"]))
                .or("Optional")
                .differs("renegotiation is always refused"),
            row("RenegotiationCertCheck", ON_OFF).or("Off").idle(),
            row("3DesKeyCheck", ON_OFF).or("Off").idle(),
            row("ClientEDHGroupSize", Kind::Choice(&["Legacy", "2048"])).or("Legacy").idle(),
            row("ServerEDHGroupSize", Kind::Choice(&["Legacy", "2048", "Match"])).or("Legacy").idle(),
            row("PeerMinCertVersion", Kind::Choice(&["Any", "3"]))
                .or("3")
                .differs("only X.509 version 3 certificates are accepted"),
            row("PeerMinDHKeySize", Kind::Number(0, 2048)).or("1024").idle(),
            row("PeerMinDsaKeySize", Kind::Number(0, 2048)).or("1024").idle(),
            row("PeerMinECCKeySize", Kind::Number(0, 521)).or("256").minimum(256, NO_SIZE_CHECK),
            row("PeerMinRsaKeySize", Kind::Number(0, 4096)).or("2048").minimum(2048, NO_SIZE_CHECK),
            row("ServerScsv", ON_OFF).or("On").differs("TLS_FALLBACK_SCSV is always honoured"),
        ],
    ),
    either("TTLSConnectionAdvancedParms", advanced![]),
    either(
        "TTLSKeyringParms",
        &[
            line("Keyring").required(),
            line("KeyringPw"),
            line("KeyringStashFile").refused("stash files are a System SSL format; use KeyringPw or a PEM file"),
        ],
    ),
    either(
        "TTLSCipherParms",
        &[
            line("V2CipherSuites").list().differs(NO_OLD_VERSION),
            row("V3CipherSuites", Kind::Suites(2)).list(),
            row("V3CipherSuites4Char", Kind::Suites(4)).list(),
        ],
    ),
    either(
        "TTLSSignatureParms",
        &[
            row("ClientECurves", Kind::Groups).list(),
            row("ClientKeyShareGroups", Kind::Groups).list(),
            row("ServerKeyShareGroups", Kind::Groups).list(),
            row("ServerKexECurves", Kind::Groups).list(),
            row("SignaturePairs", Kind::SignaturePairs).list().differs(NO_SIGNATURES),
            row("SignaturePairsCert", Kind::SignaturePairs).list().differs(NO_SIGNATURES),
        ],
    ),
    either(
        "TTLSGskAdvancedParms",
        &[
            row("GSK_SYSPLEX_SIDCACHE", ON_OFF).or("Off").differs("session caches are not shared between hosts yet"),
            row("GSK_SYSPLEX_SESSION_TICKET_CACHE", ON_OFF)
                .or("Off")
                .differs("session caches are not shared between hosts yet"),
            row("GSK_V2_SESSION_TIMEOUT", Kind::Number(0, 100)).or("100").idle(),
            row("GSK_V2_SIDCACHE_SIZE", Kind::Number(0, 32_000)).or("256").idle(),
            row("GSK_V3_SESSION_TIMEOUT", Kind::Number(0, 86_400)).or("86400"),
            row("GSK_V3_SIDCACHE_SIZE", Kind::Number(0, 64_000)).or("512"),
            row("GSK_SESSION_TICKET_CLIENT_ENABLE", ON_OFF).or("On"),
            row("GSK_SESSION_TICKET_CLIENT_MAXSIZE", Kind::Number(0, 65_535)).or("8192").idle(),
            row("GSK_SESSION_TICKET_CLIENT_MAXCACHED", Kind::Number(0, 1_000_000)),
            row("GSK_SESSION_TICKET_SERVER_ENABLE", ON_OFF).or("On"),
            row("GSK_SESSION_TICKET_SERVER_ALGORITHM", Kind::Choice(&["AESCBC128", "AESCBC256"]))
                .or("AESCBC256")
                .differs("tickets are always sealed with AES-256-CBC and HMAC-SHA-256 (RFC 5077 section 4)"),
            row("GSK_SESSION_TICKET_SERVER_COUNT", Kind::Number(0, 32)).or("2"),
            row("GSK_SESSION_TICKET_SERVER_KEY_REFRESH", Kind::Number(1, 86_400)).or("300"),
            row("GSK_SESSION_TICKET_SERVER_TIMEOUT", Kind::Number(1, 604_800)).or("300"),
            row("AIACDPPriority", ON_OFF).or("On").idle(),
            row("MaxSrcRevExtLocValues", Kind::Number(0, 256)).or("10").idle(),
            row("MaxValidRevExtLocValues", Kind::Number(0, 1024)).or("100").idle(),
            row("RevocationSecurityLevel", Kind::Choice(&["Low", "Medium", "High"]))
                .or("Medium")
                .refused(NO_REVOCATION),
            row("CrlSigAlgPairs", Kind::SignaturePairs).list().idle(),
            inline("TTLSGskLdapParms"),
            reference("TTLSGskLdapParmsRef", "TTLSGskLdapParms"),
            inline("TTLSGskOcspParms"),
            reference("TTLSGskOcspParmsRef", "TTLSGskOcspParms"),
            inline("TTLSGskHttpCdpParms"),
            reference("TTLSGskHttpCdpParmsRef", "TTLSGskHttpCdpParms"),
        ],
    ),
    either(
        "TTLSGskLdapParms",
        &[
            line("GSK_LDAP_SERVER").list().refused(NO_REVOCATION),
            row("GSK_LDAP_SERVER_PORT", Kind::Number(1, 65_535)).or("389").idle(),
            line("GSK_LDAP_USER").idle(),
            line("GSK_LDAP_USER_PW").idle(),
            row("GSK_CRL_CACHE_TIMEOUT", Kind::Number(0, 720)).or("24").idle(),
            row("GSK_CRL_SECURITY_LEVEL", Kind::Choice(&["Low", "Medium", "High"])).or("Medium").refused(NO_REVOCATION),
            row("CRLCacheSize", Kind::Number(0, 32_000)).or("32").idle(),
            row("CRLCacheEntryMaxsize", Kind::Number(0, 4_294_967_295)).or("0").idle(),
            row("CRLCacheExtended", ON_OFF).or("Off").idle(),
            row("CRLCacheTempCRL", ON_OFF).or("Off").idle(),
            row("CRLCacheTempCRLTimeout", Kind::Number(0, 720)).or("24").idle(),
            row("LDAPResponseTimeout", Kind::Number(0, 43_200)).or("15").idle(),
        ],
    ),
    either(
        "TTLSGskOcspParms",
        &[
            line("OcspUrl").refused(NO_REVOCATION),
            row("OcspAiaEnable", ON_OFF).or("Off").refused(NO_REVOCATION),
            line("OcspProxyServerName").idle(),
            row("OcspProxyServerPort", Kind::Number(1, 65_535)).or("80").idle(),
            row("OcspRetrieveViaGet", ON_OFF).or("Off").idle(),
            row("OcspUrlPriority", ON_OFF).or("On").idle(),
            line("OcspRequestSigkeylabel").idle(),
            row("OcspRequestSigalg", Kind::SignaturePairs).or("0401").idle(),
            row("OcspResponseSigAlgPairs", Kind::SignaturePairs).list().idle(),
            row("OcspClientCacheSize", Kind::Number(0, 32_000)).or("256").idle(),
            row("OcspCliCacheEntryMaxsize", Kind::Number(0, 32_000)).or("0").idle(),
            row("OcspNonceGenEnable", ON_OFF).or("Off").idle(),
            row("OcspNonceCheckEnable", ON_OFF).or("Off").idle(),
            row("OcspNonceSize", Kind::Number(8, 256)).or("8").idle(),
            row("OcspResponseTimeout", Kind::Number(0, 43_200)).or("15").idle(),
            row("OcspMaxResponseSize", Kind::Number(0, 4_294_967_295)).or("20480").idle(),
            row("OcspServerStapling", Kind::Choice(&["Off", "Any", "EndEntity"])).or("Off").refused(NO_REVOCATION),
        ],
    ),
    either(
        "TTLSGskHttpCdpParms",
        &[
            row("HttpCdpEnable", ON_OFF).or("Off").refused(NO_REVOCATION),
            line("HttpCdpProxyServerName").idle(),
            row("HttpCdpProxyServerPort", Kind::Number(1, 65_535)).or("80").idle(),
            row("HttpCdpResponseTimeout", Kind::Number(0, 43_200)).or("15").idle(),
            row("HttpCdpMaxResponseSize", Kind::Number(0, 4_294_967_295)).or("204800").idle(),
            row("HttpCdpCacheSize", Kind::Number(0, 32_000)).or("32").idle(),
            row("HttpCdpCacheEntryMaxsize", Kind::Number(0, 4_294_967_295)).or("0").idle(),
        ],
    ),
    either("IpAddr", &[row("Addr", Kind::Prefix).required()]),
    either("IpAddrSet", &[row("Prefix", Kind::Prefix), row("Range", Kind::Address)]),
    top(
        "IpAddrGroup",
        &[
            inline("IpAddr").list(),
            reference("IpAddrRef", "IpAddr").list(),
            inline("IpAddrSet").list(),
            reference("IpAddrSetRef", "IpAddrSet").list(),
        ],
    ),
    either("PortRange", &[row("Port", Kind::Ports).required()]),
    top("PortGroup", &[inline("PortRange").list(), reference("PortRangeRef", "PortRange").list()]),
    either(
        "IpTimeCondition",
        &[
            row("ConditionTimeRange", Kind::Dates),
            row("MonthOfYearMask", Kind::Mask(&[12])),
            row("DayOfMonthMask", Kind::Mask(&[31, 62])),
            row("DayOfWeekMask", Kind::Mask(&[7])),
            row("TimeOfDayRange", Kind::Clock).list(),
            row("TimeZone", Kind::Choice(&["Local", "UTC"])).or("Local"),
        ],
    ),
    top(
        "zERTPolicyRule",
        rule![row("Direction", DIRECTION).or("Both"), reference("zERTPolicyActionRef", "zERTPolicyAction").required(),],
    ),
    top(
        "zERTPolicyAction",
        &[
            row("Action", Kind::Choices(&["Reset", "Log", "LogSyslogd", "LogConsole", "Audit", "Silent"]))
                .list()
                .required(),
            row("Protocol", Kind::Choice(&["TLS"])).or("TLS"),
            row("MinimumVersion", Kind::Choice(&["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"])).or("TLSv1.2"),
        ],
    ),
    directive("TcpImage", &[row("TcpImage", Kind::Words).required()]),
    directive("TTLSConfig", &[row("TTLSConfig", Kind::Words)]),
    directive("CommonTTLSConfig", &[row("CommonTTLSConfig", Kind::Words).required()]),
    directive("zERTConfig", &[row("zERTConfig", Kind::Words)]),
    directive("LogLevel", &[row("LogLevel", Kind::Number(0, 511)).or("31").idle()]),
    directive("Codepage", &[line("Codepage").idle()]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_of_its_parameter() {
        for statement in STATEMENTS {
            for parameter in statement.parameters {
                if let Some(default) = parameter.default {
                    assert!(parameter.kind.read(default).is_some(), "{} {}", statement.name, parameter.name);
                }
            }
        }
    }

    #[test]
    fn every_reference_and_block_names_a_statement() {
        for parameter in STATEMENTS.iter().flat_map(|statement| statement.parameters) {
            if let Kind::Reference(name) | Kind::Inline(name) = parameter.kind {
                assert!(statement(name).is_some(), "{}", parameter.name);
            }
        }
    }

    #[test]
    fn no_keyword_stands_twice_in_a_statement() {
        for statement in STATEMENTS {
            let mut names: Vec<String> = statement.parameters.iter().map(|row| row.name.to_lowercase()).collect();
            names.sort();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count, "{}", statement.name);
        }
    }
}
