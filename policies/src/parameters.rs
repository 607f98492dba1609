//! The effective parameters of a rule: connection action before environment action before group action before default.

mod revocation;

use serde::Serialize;

pub use revocation::{DistributionPoints, Ocsp, Revocation, SecurityLevel};

use crate::cipher;
use crate::group;
use crate::model::{Action, Scope, TtlsRule};
use crate::source::Origin;
use crate::table::{self, Engine, Parameter, Verdict};
use crate::value::{FipsMode, Value};

/// A parameter in effect.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Effective {
    /// Its values; empty when nothing is coded and there is no default.
    pub values: Vec<Value>,
    /// Where it is coded; `None` for a default.
    pub origin: Option<Origin>,
    /// Why what is coded is not what is in effect, if it is not.
    pub instead: Option<&'static str>,
}

/// What a parameter's coded values come to: themselves, or the default where the engine has nothing else.
#[must_use]
pub fn in_effect(parameter: &Parameter, coded: &[Value]) -> (Vec<Value>, Option<&'static str>) {
    let default = default_values(parameter);
    let differs = !coded.is_empty() && coded != default.as_slice();
    let reason = match parameter.engine {
        Engine::Differs(reason) if differs => Some(reason),
        Engine::Minimum(built_in, reason) => match coded {
            [Value::Number(number)] if *number < built_in => Some(reason),
            _ => None,
        },
        Engine::Values(values) => coded.iter().find_map(|value| {
            let text = value.to_string();
            values.iter().find(|(special, _)| *special == text).and_then(|(_, verdict)| match verdict {
                Verdict::Differs(reason) => Some(*reason),
                Verdict::Refused(_) => None,
            })
        }),
        _ => None,
    };
    if reason.is_some() { (default, reason) } else { (coded.to_vec(), None) }
}

/// Which end of the handshake this host plays.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize)]
pub enum Role {
    /// `HandshakeRole Client`.
    Client,
    /// `HandshakeRole Server`, and `ServerWithClientAuth` with what it asks of clients.
    Server(ClientAuth),
}

/// What a server asks of its clients.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize)]
pub enum ClientAuth {
    /// No certificate is asked for.
    None,
    /// `ClientAuthType PassThru`: one is asked for, and not checked when it comes.
    PassThru,
    /// `ClientAuthType Full`: one is asked for, and checked when it comes.
    Full,
    /// `ClientAuthType Required`: none, no connection.
    Required,
    /// `ClientAuthType SAFCheck`: the same, and it has to stand for a user of SAF's.
    SafCheck,
}

/// Protocols whose upgrade to TLS is spoken in the program's stead (`Negotiate`).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize)]
#[allow(missing_docs, reason = "they are what their names say")]
pub enum Protocol {
    Ftp,
    Smtp,
    Imap,
    Pop3,
    Postgres,
    Ldap,
}

/// `FIPS140` and `FIPSMODE` together.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize)]
pub enum Fips {
    /// Not asked for.
    Off,
    /// Asked for, but going on without is allowed (`FAIL OFF`).
    Report,
    /// Nothing else will do.
    Required,
}

/// A password; `Debug` does not show it.
#[derive(Clone, Eq, PartialEq, Hash)]
pub struct Password(String);

impl Password {
    /// The password itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What the data plane needs to know of a rule. Two rules with equal values share keys, caches and tickets; the name
/// of the environment action and its instance number are part of the value so that different actions never share.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize)]
pub struct SecurityParameters {
    /// The environment action's name.
    pub environment: String,
    /// `EnvironmentUserInstance`: a new number makes a new environment.
    pub instance: u32,
    /// The handshake role.
    pub role: Role,
    /// `SAFCheckResource`: what the resource begins with to which a client's user needs READ.
    pub saf_check_resource: Option<String>,
    /// Whether TLS 1.2 may be negotiated.
    pub tls12: bool,
    /// Whether TLS 1.3 may be negotiated.
    pub tls13: bool,
    /// Cipher suites in order of preference; only such as the engine has.
    pub suites: Vec<u16>,
    /// Groups in order of preference; only such as the engine has.
    pub groups: Vec<u16>,
    /// Signature algorithms of handshakes in order of preference (RFC 8446, 4.2.3); only such as the engine verifies.
    pub signatures: Vec<u16>,
    /// Signature algorithms of certificates; only such as the engine verifies.
    pub certificate_signatures: Vec<u16>,
    /// `Keyring` as written.
    pub keyring: String,
    /// `KeyringPw`.
    #[serde(skip)]
    pub keyring_password: Option<Password>,
    /// The label of the certificate to send: none coded (the ring's default), or empty (send none).
    pub certificate_label: Option<String>,
    /// `ServerCertificateLabel`s.
    pub server_certificate_labels: Vec<String>,
    /// What a peer's certificate must be, beside its chain.
    pub peer: PeerRequirements,
    /// `Trace`: which messages are written, as a sum.
    pub trace: u32,
    /// `SecondaryMap`: further connections of its program with the same peer have its rule.
    pub secondary_map: bool,
    /// `ApplicationControlled`: the program starts and stops TLS.
    pub application_controlled: bool,
    /// Where the revocation of certificates is looked up; none: nowhere.
    pub revocation: Option<Revocation>,
    /// What a server makes of the name a client sends; none: nothing (`ServerHandshakeSNI Off`).
    pub server_names: Option<ServerNames>,
    /// The name a client sends in the SNI extension.
    pub server_name_indication: Option<String>,
    /// Seconds until the peer must have begun its handshake, and ten times as many until it is complete; 0: no limit.
    pub handshake_timeout: u32,
    /// `Negotiate`: the upgrade that comes before TLS.
    pub negotiate: Option<Protocol>,
    /// Longest record in bytes that is sent; none: 16 KiB.
    pub fragment: Option<u16>,
    /// Connections that may be up at a time; 0: no limit.
    pub max_connections: u32,
    /// Handshakes that may begin in a second; 0: no limit.
    pub max_handshakes: u32,
    /// Minutes after which keys of TLS 1.3 are renewed; 0: never.
    pub reset_cipher_timer: u32,
    /// Sessions kept for resumption; 0 turns resumption off.
    pub cache_capacity: u32,
    /// Seconds a session may be resumed.
    pub cache_timeout: u32,
    /// Whether sessions are resumed by tickets.
    pub tickets: bool,
    /// Tickets a TLS 1.3 server sends after a full handshake.
    pub ticket_count: u32,
    /// Seconds after which a new ticket key is made.
    pub ticket_key_refresh: u32,
    /// Seconds a ticket is honoured.
    pub ticket_timeout: u32,
    /// Whether TLS 1.2 without the extended master secret is refused (`…ExtendedMasterSecret Required`).
    pub require_extended_master_secret: bool,
    /// FIPS 140-3.
    pub fips: Fips,
    /// `FIPSMODE … INDICATE`: connections that use what is not approved are told.
    pub fips_indicate: bool,
}

/// `ServerHandshakeSNI` and what belongs to it.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize)]
pub struct ServerNames {
    /// `Required`: clients that name nobody are refused.
    pub demanded: bool,
    /// `ServerHandshakeSNIMatch Required`: clients that name somebody else are refused.
    pub match_demanded: bool,
    /// Names and the labels of the certificates sent for them, in order.
    pub certificates: Vec<(String, String)>,
}

/// What the certificate of a peer must be, beside its chain to an authority of the ring.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize)]
pub struct PeerRequirements {
    /// `HostReferenceIdDNS`: the names one of which a server's certificate must carry.
    pub host_names: Vec<String>,
    /// `HostReferenceIdCN`: common names that do where a certificate has no DNS names. With neither any server will do.
    pub common_names: Vec<String>,
    /// Whether wildcards in a certificate count (`HostRefWildcardValidation`).
    pub wildcards: bool,
    /// Bits an RSA key must have.
    pub min_rsa: u32,
    /// Bits an elliptic curve key must have.
    pub min_ecc: u32,
}

impl SecurityParameters {
    /// The versions that may be negotiated, in words.
    #[must_use]
    pub fn versions(&self) -> Vec<&'static str> {
        let versions = [(self.tls12, "TLS 1.2"), (self.tls13, "TLS 1.3")];
        versions.into_iter().filter(|(on, _)| *on).map(|(_, name)| name).collect()
    }
}

/// What of a coded policy the engine leaves out, for warnings.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeftOut {
    /// Versions that are coded On and that no suite or group serves, with the reason.
    pub(crate) versions: Vec<(&'static str, &'static str)>,
    /// Coded suites whose version is off.
    pub(crate) unversioned: Vec<u16>,
    /// Suites that FIPS 140-3 does not allow.
    pub(crate) not_fips_suites: Vec<u16>,
    /// Groups that FIPS 140-3 does not allow.
    pub(crate) not_fips_groups: Vec<u16>,
}

impl TtlsRule {
    /// Whether the rule asks for TLS: `TTLSEnabled On`.
    #[must_use]
    pub fn enabled(&self) -> bool {
        matches!(self.effective("TTLSEnabled").values.first(), Some(Value::OnOff(true)))
    }

    /// A parameter in effect, by its name.
    #[must_use]
    pub fn effective(&self, name: &str) -> Effective {
        let coded = self.actions().find_map(|action| action.settings.get(name));
        match coded {
            Some(setting) => {
                let (values, instead) = in_effect(setting.parameter, &setting.values);
                Effective { values, origin: Some(setting.origin.clone()), instead }
            }
            None => {
                let values = table::parameter(name).map(default_values).unwrap_or_default();
                Effective { values, origin: None, instead: None }
            }
        }
    }

    /// The actions, the most specific first.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        let specific = [&self.connection, &self.environment].into_iter().flatten();
        specific.map(AsRef::as_ref).chain(std::iter::once(self.group.as_ref()))
    }

    /// An action, by its level.
    #[must_use]
    pub fn action(&self, scope: Scope) -> Option<&Action> {
        match scope {
            Scope::Group => Some(&self.group),
            Scope::Environment => self.environment.as_deref(),
            Scope::Connection => self.connection.as_deref(),
        }
    }

    /// What connections would get without the connection action: what the environment action's report shows.
    #[must_use]
    pub fn environment_security(&self) -> Option<SecurityParameters> {
        let without = Self {
            name: self.name.clone(),
            origin: self.origin.clone(),
            priority: self.priority,
            conditions: self.conditions.clone(),
            group: self.group.clone(),
            environment: self.environment.clone(),
            connection: None,
            references: Vec::new(),
            security: None,
        };
        without.treatment().map(|(security, _)| security)
    }

    /// Makes what [`TtlsRule::security`] holds; `None` when the rule leaves connections alone.
    pub(crate) fn treatment(&self) -> Option<(SecurityParameters, LeftOut)> {
        if !self.enabled() {
            return None;
        }
        let environment = self.environment.as_ref()?;
        let mut left_out = LeftOut::default();
        let fips = self.fips();
        let (suites, coded_suites) = self.suites();
        let role = match (self.choice("HandshakeRole"), self.choice("ClientAuthType")) {
            (Some("Client"), _) => Role::Client,
            (Some("ServerWithClientAuth"), Some("PassThru")) => Role::Server(ClientAuth::PassThru),
            (Some("ServerWithClientAuth"), Some("Full")) => Role::Server(ClientAuth::Full),
            (Some("ServerWithClientAuth"), Some("SAFCheck")) => Role::Server(ClientAuth::SafCheck),
            (Some("ServerWithClientAuth"), _) => Role::Server(ClientAuth::Required),
            _ => Role::Server(ClientAuth::None),
        };
        let groups = self.groups(role);
        let (suites, groups) =
            if fips == Fips::Off { (suites, groups) } else { approved(suites, groups, fips, &mut left_out) };
        let no_suite = "none of the rule's cipher suites of it is ever negotiated";
        let no_group = "none of the rule's groups can be used with it";
        let serves = |tls13: bool| suites.iter().any(|&code| cipher::is_tls13(code) == tls13);
        let classic = groups.iter().any(|&code| group::serves_tls12(code));
        let (signatures, certificate_signatures) = self.signatures();
        let no_signature = "none of the rule's signature pairs can be used with it";
        let signs = |tls13: bool| signatures.iter().any(|&code| group::signs(code, tls13));
        let needs = [(serves(false), no_suite), (classic, no_group), (signs(false), no_signature)];
        let tls12 = self.version("TLSv1.2", &needs, &mut left_out);
        let needs = [(serves(true), no_suite), (!groups.is_empty(), no_group), (signs(true), no_signature)];
        let tls13 = self.version("TLSv1.3", &needs, &mut left_out);
        if coded_suites {
            let off = |code: &&u16| !self.on(if cipher::is_tls13(**code) { "TLSv1.3" } else { "TLSv1.2" });
            left_out.unversioned = suites.iter().filter(off).copied().collect();
        }
        let usable = |code: &&u16| if cipher::is_tls13(**code) { tls13 } else { tls12 };
        let tickets = match role {
            Role::Client => "GSK_SESSION_TICKET_CLIENT_ENABLE",
            Role::Server(_) => "GSK_SESSION_TICKET_SERVER_ENABLE",
        };
        let sni = match self.choice("ClientHandshakeSNI") {
            Some("Optional" | "Required") => self
                .texts("ClientHandshakeSNIList")
                .into_iter()
                .next()
                .or_else(|| self.texts("HostReferenceIdDNS").into_iter().next()),
            _ => None,
        };
        let pair = |text: String| text.split_once('/').map(|(name, label)| (name.to_owned(), label.to_owned()));
        let server_names = match self.choice("ServerHandshakeSNI") {
            Some(wanted @ ("Optional" | "Required")) if role != Role::Client => Some(ServerNames {
                demanded: wanted == "Required",
                match_demanded: self.choice("ServerHandshakeSNIMatch") == Some("Required"),
                certificates: self.texts("ServerHandshakeSNIList").into_iter().filter_map(pair).collect(),
            }),
            _ => None,
        };
        let parameters = SecurityParameters {
            trace: self.number("Trace").unwrap_or(2),
            secondary_map: self.on("SecondaryMap"),
            application_controlled: self.on("ApplicationControlled"),
            revocation: self.revocation(),
            server_names,
            // ML-DSA belongs to TLS 1.3, PKCS #1 to TLS 1.2.
            signatures: signatures
                .into_iter()
                .filter(|&code| {
                    let neither = !(tls12 || tls13);
                    neither || (tls12 && group::signs(code, false)) || (tls13 && group::signs(code, true))
                })
                .collect(),
            certificate_signatures,
            environment: environment.name.clone(),
            instance: self.number("EnvironmentUserInstance").unwrap_or(0),
            role,
            tls12,
            tls13,
            suites: suites.iter().filter(usable).copied().collect(),
            // Hybrids and key encapsulations belong to TLS 1.3.
            groups: groups.into_iter().filter(|code| tls13 || group::serves_tls12(*code)).collect(),
            keyring: self.texts("Keyring").into_iter().next().unwrap_or_default(),
            keyring_password: self.texts("KeyringPw").into_iter().next().map(Password),
            saf_check_resource: self
                .texts("SAFCheckResource")
                .into_iter()
                .next()
                .filter(|_| role == Role::Server(ClientAuth::SafCheck)),
            certificate_label: self.texts("CertificateLabel").into_iter().next(),
            server_certificate_labels: self.texts("ServerCertificateLabel"),
            peer: PeerRequirements {
                host_names: self.texts("HostReferenceIdDNS"),
                common_names: self.texts("HostReferenceIdCN"),
                wildcards: self.on("HostRefWildcardValidation"),
                min_rsa: self.number("PeerMinRsaKeySize").unwrap_or(0),
                min_ecc: self.number("PeerMinECCKeySize").unwrap_or(0),
            },
            server_name_indication: sni,
            handshake_timeout: self.number("HandshakeTimeout").unwrap_or(10),
            negotiate: match self.choice("Negotiate") {
                Some("ftp") => Some(Protocol::Ftp),
                Some("smtp") => Some(Protocol::Smtp),
                Some("imap") => Some(Protocol::Imap),
                Some("pop3") => Some(Protocol::Pop3),
                Some("postgres") => Some(Protocol::Postgres),
                Some("ldap") => Some(Protocol::Ldap),
                _ => None,
            },
            fragment: match role {
                Role::Client if self.choice("ClientMaxSSLFragment") == Some("Optional") => {
                    self.choice("ClientMaxSSLFragmentLength").and_then(|length| length.parse().ok())
                }
                _ => None,
            },
            max_connections: self.number("MaxConnections").unwrap_or(0),
            max_handshakes: self.number("MaxHandshakesPerSecond").unwrap_or(0),
            reset_cipher_timer: self.number("ResetCipherTimer").unwrap_or(0),
            // A client without tickets resumes nothing: the engine keeps one store for both kinds of sessions.
            cache_capacity: match role {
                Role::Client if !self.on(tickets) => 0,
                _ => {
                    self.number("HandshakeCacheCapacity").or_else(|| self.number("GSK_V3_SIDCACHE_SIZE")).unwrap_or(512)
                }
            },
            cache_timeout: self
                .number("HandshakeCacheTimeout")
                .or_else(|| self.number("GSK_V3_SESSION_TIMEOUT"))
                .unwrap_or(86_400),
            tickets: self.on(tickets),
            ticket_count: self.number("GSK_SESSION_TICKET_SERVER_COUNT").unwrap_or(2),
            ticket_key_refresh: self.number("GSK_SESSION_TICKET_SERVER_KEY_REFRESH").unwrap_or(300),
            ticket_timeout: self
                .number("HandshakeCacheTimeout")
                .or_else(|| self.number("GSK_SESSION_TICKET_SERVER_TIMEOUT"))
                .unwrap_or(300),
            require_extended_master_secret: self.choice(match role {
                Role::Client => "ClientExtendedMasterSecret",
                Role::Server(_) => "ServerExtendedMasterSecret",
            }) == Some("Required"),
            fips,
            fips_indicate: matches!(
                self.effective("FIPSMODE").values.first(),
                Some(Value::FipsMode(FipsMode { indicate: true, .. }))
            ),
        };
        Some((parameters, left_out))
    }

    /// A version is in effect when it is on and everything it needs is there; one that is coded On and has not is left
    /// out.
    fn version(&self, name: &'static str, needs: &[(bool, &'static str)], left_out: &mut LeftOut) -> bool {
        let effective = self.effective(name);
        let on = matches!(effective.values.first(), Some(Value::OnOff(true)));
        let missing = needs.iter().find(|(there, _)| !there);
        if let Some((_, reason)) = missing.filter(|_| on && effective.origin.is_some()) {
            left_out.versions.push((name, reason));
        }
        on && missing.is_none()
    }

    /// Signature algorithms of handshakes and of certificates: SignaturePairs holds for both where SignaturePairsCert is not
    /// coded.
    fn signatures(&self) -> (Vec<u16>, Vec<u16>) {
        let coded = |name: &str| {
            let values = self.effective(name).values;
            let codes = values.iter().filter_map(|value| match value {
                Value::SignaturePair(code) => Some(*code),
                _ => None,
            });
            let codes = partition(codes, |code| group::VERIFIED.contains(&code)).0;
            (!values.is_empty()).then_some(codes)
        };
        let handshakes = coded("SignaturePairs").unwrap_or_else(|| group::VERIFIED.to_vec());
        let certificates = coded("SignaturePairsCert").unwrap_or_else(|| handshakes.clone());
        (handshakes, certificates)
    }

    /// Suites in order, the first of equal ones kept, and whether they are coded.
    fn suites(&self) -> (Vec<u16>, bool) {
        let coded = self.effective("V3CipherSuites").values;
        if coded.is_empty() {
            return (cipher::DEFAULT.to_vec(), false);
        }
        let codes = coded.into_iter().filter_map(|value| match value {
            Value::Suite(code) => Some(code),
            _ => None,
        });
        let (offered, _) = partition(codes, |code| cipher::by_code(code).is_some_and(|suite| suite.offered));
        (offered, true)
    }

    fn groups(&self, role: Role) -> Vec<u16> {
        // Key shares belong to TLS 1.3 alone.
        let names: &[&str] = match (role, self.on("TLSv1.3")) {
            (Role::Client, true) => &["ClientKeyShareGroups", "ClientECurves"],
            (Role::Client, false) => &["ClientECurves"],
            (Role::Server(_), true) => &["ServerKeyShareGroups", "ServerKexECurves"],
            (Role::Server(_), false) => &["ServerKexECurves"],
        };
        let values: Vec<Value> = names.iter().flat_map(|name| self.effective(name).values).collect();
        if values.is_empty() {
            return group::DEFAULT.to_vec();
        }
        // `Any` is the engine's own list, behind the key shares that are coded.
        let any = if values.contains(&Value::Group(None)) { group::DEFAULT } else { &[] };
        let codes = values.into_iter().filter_map(|value| match value {
            Value::Group(code) => code,
            _ => None,
        });
        let codes = codes.chain(any.iter().copied());
        partition(codes, |code| group::by_code(code).is_some_and(|group| group.offered)).0
    }

    fn fips(&self) -> Fips {
        let mode = match self.effective("FIPSMODE").values.first() {
            Some(Value::FipsMode(FipsMode { fail: true, .. })) => Fips::Required,
            Some(Value::FipsMode(_)) => Fips::Report,
            _ => Fips::Off,
        };
        match self.choice("FIPS140") {
            Some("Off") | None => mode,
            Some(_) => Fips::Required,
        }
    }

    /// Whether its connections pass in clear text while the daemon is not there (`FailMode Open`).
    #[must_use]
    pub fn fails_open(&self) -> bool {
        self.choice("FailMode") == Some("Open")
    }

    fn on(&self, name: &str) -> bool {
        matches!(self.effective(name).values.first(), Some(Value::OnOff(true)))
    }

    fn number(&self, name: &str) -> Option<u32> {
        match self.effective(name).values.first() {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    fn choice(&self, name: &str) -> Option<&'static str> {
        match self.effective(name).values.first() {
            Some(Value::Choice(word)) => Some(word),
            _ => None,
        }
    }

    fn texts(&self, name: &str) -> Vec<String> {
        let values = self.effective(name).values;
        values
            .into_iter()
            .filter_map(|value| match value {
                Value::Text(text) => Some(text),
                _ => None,
            })
            .collect()
    }
}

/// Splits codes by whether the engine has them, dropping repeats.
fn partition(codes: impl Iterator<Item = u16>, has: impl Fn(u16) -> bool) -> (Vec<u16>, Vec<u16>) {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for code in codes {
        let list = if has(code) { &mut with } else { &mut without };
        if !list.contains(&code) {
            list.push(code);
        }
    }
    (with, without)
}

/// Suites and groups that FIPS 140-3 allows; the others are left out where nothing else will do, and told in any case.
fn approved(suites: Vec<u16>, groups: Vec<u16>, fips: Fips, left_out: &mut LeftOut) -> (Vec<u16>, Vec<u16>) {
    let (good_suites, bad_suites) = partition(suites.iter().copied(), cipher::is_fips);
    let (good_groups, bad_groups) = partition(groups.iter().copied(), group::is_fips);
    (left_out.not_fips_suites, left_out.not_fips_groups) = (bad_suites, bad_groups);
    if fips == Fips::Required { (good_suites, good_groups) } else { (suites, groups) }
}

/// The table's default of a parameter, read.
#[must_use]
pub fn default_values(parameter: &Parameter) -> Vec<Value> {
    let default = parameter.default.unwrap_or_default();
    default.split_whitespace().filter_map(|word| parameter.kind.read(word)).flatten().collect()
}
