//! A TLS environment: rustls configurations, keys and handshake caches for one set of security parameters.
//!
//! An environment is reused across a refresh when its parameters and its key ring are unchanged, so that its caches
//! live on; otherwise a new one is made and connections of the old one keep what they began with.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use keyrings::{Ring, RingLocation};
use policies::TtlsRule;
use policies::parameters::{ClientAuth, Fips, Protocol, Role, SecurityParameters};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, StoresServerSessions,
    WebPkiClientVerifier,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, DnsName, ServerName, UnixTime};

use crate::engine::{KnowsClients, Settings};
use crate::error::{ConnectionError, InstallError};
use crate::limits::Limits;
use crate::revocation::{Lists, Revocation, RevocationError};
use crate::sessions::{ClientSessions, Kept, ServerSessions};
use crate::signatures;
use crate::stapling::{self, Identity};
use crate::tickets::{TicketKeys, TicketSecret};
use crate::verify::{ClientVerifier, ServerVerifier, matches};

/// What makes two environments the same.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Key {
    pub(crate) parameters: SecurityParameters,
    pub(crate) ring: [u8; 32],
    /// The revocation lists of `CrlFile`.
    pub(crate) lists: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) key: Key,
    side: Side,
    /// Where clients have to be users of SAF's.
    clients: Option<Arc<dyn KnowsClients>>,
    revocation: Option<Arc<Revocation>>,
    /// Our own certificates, each with its chain.
    own: Vec<Vec<CertificateDer<'static>>>,
    /// Those a server sends.
    served: Vec<Arc<Identity>>,
    begun: AtomicBool,
    /// Why no more handshakes are made with it: its ring is gone, or may not be read any more.
    closed: ArcSwapOption<String>,
    pub(crate) limits: Limits,
    full: AtomicU64,
    resumed: AtomicU64,
}

#[derive(Debug)]
enum Side {
    Client { config: Arc<ClientConfig>, sessions: Arc<ClientSessions> },
    Server { config: Arc<ServerConfig>, sessions: Option<Arc<ServerSessions>>, tickets: Option<Arc<TicketKeys>> },
}

/// How a connection shakes hands.
pub(crate) enum Handshake {
    Client(Arc<ClientConfig>, ServerName<'static>),
    Server(Arc<ServerConfig>),
}

impl Environment {
    /// Builds the environment of a rule from its ring.
    pub(crate) fn new(
        rule: &TtlsRule,
        key: Key,
        location: &RingLocation,
        ring: &Ring,
        lists: Lists,
        settings: &Settings,
    ) -> Result<Self, InstallError> {
        let parameters = &key.parameters;
        let mut builder = Builder {
            rule: &rule.name,
            key: &key,
            parameters,
            ticket_secret: settings.ticket_secret.as_ref(),
            location,
            ring,
            revocation: None,
            own: RefCell::default(),
            served: RefCell::default(),
        };
        // A server that checks no certificates may have a ring without authorities.
        builder.revocation = parameters.revocation.clone().map(|wanted| {
            Revocation::new(
                wanted,
                lists,
                ring.authorities().unwrap_or_default(),
                builder.authorities().unwrap_or_else(|_| Arc::new(RootCertStore::empty())),
                aws_lc_rs::default_provider().signature_verification_algorithms,
                &parameters.certificate_signatures,
                settings.capture.as_ref().map(|capture| capture.marks),
            )
        });
        let side = match key.parameters.role {
            Role::Client => builder.client()?,
            Role::Server(auth) => builder.server(auth)?,
        };
        let revocation = builder.revocation.clone();
        let (own, served) = (builder.own.into_inner(), builder.served.into_inner());
        let checked = key.parameters.role == Role::Server(ClientAuth::SafCheck);
        let clients = checked.then(|| Arc::clone(&settings.clients));
        Ok(Self {
            key,
            side,
            clients,
            revocation,
            own,
            served,
            begun: AtomicBool::new(false),
            closed: ArcSwapOption::empty(),
            limits: Limits::default(),
            full: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
        })
    }

    /// Makes no more handshakes; connections that are up go on.
    pub(crate) fn close(&self, reason: String) {
        self.closed.store(Some(Arc::new(reason)));
    }

    /// Makes handshakes again: its ring can be used, and is as it was.
    pub(crate) fn reopen(&self) {
        self.closed.store(None);
    }

    /// Why it makes no more handshakes.
    pub(crate) fn closed(&self) -> Option<Arc<String>> {
        self.closed.load_full()
    }

    /// What a connection to `destination` does; for a server the destination plays no part.
    ///
    /// # Errors
    ///
    /// When its ring cannot be used any more.
    pub(crate) fn handshake(&self, destination: SocketAddr) -> Result<Handshake, ConnectionError> {
        if let Some(reason) = self.closed() {
            return Err(ConnectionError::RingClosed(reason.as_ref().clone()));
        }
        Ok(match &self.side {
            Side::Server { config, .. } => Handshake::Server(Arc::clone(config)),
            Side::Client { config, sessions } => {
                let mut config = ClientConfig::clone(config);
                if self.key.parameters.cache_capacity > 0 && self.key.parameters.tickets {
                    config.resumption = Resumption::store(sessions.of(destination));
                }
                let name = self
                    .key
                    .parameters
                    .server_name_indication
                    .as_ref()
                    .and_then(|name| DnsName::try_from(name.clone()).ok())
                    .map_or_else(|| ServerName::IpAddress(destination.ip().into()), ServerName::DnsName);
                Handshake::Client(Arc::new(config), name)
            }
        })
    }

    /// Whether everything this environment may negotiate is approved by the FIPS 140-3 module.
    pub(crate) fn is_fips(&self) -> bool {
        match &self.side {
            Side::Client { config, .. } => config.fips(),
            Side::Server { config, .. } => config.fips(),
        }
    }

    /// Whether its connections lend their rule to secondary ones.
    pub(crate) fn lends(&self) -> bool {
        self.key.parameters.secondary_map || self.key.parameters.negotiate == Some(Protocol::Ftp)
    }

    /// Whether the certificates of peers are looked at.
    pub(crate) fn verifies_peers(&self) -> bool {
        self.key.parameters.role != Role::Server(ClientAuth::PassThru)
    }

    /// Asks whether a peer's certificates are revoked, where the rule wants to know.
    pub(crate) async fn check_revocation(&self, chain: &[CertificateDer<'_>]) -> Result<(), RevocationError> {
        match &self.revocation {
            Some(revocation) if self.verifies_peers() => {
                revocation.check(chain, self.key.parameters.role == Role::Client).await
            }
            _ => Ok(()),
        }
    }

    /// The user a client's certificate stands for, where the rule wants one; `port` is the local one that he has to be permitted.
    pub(crate) fn client_user(
        &self,
        chain: &[CertificateDer<'_>],
        port: u16,
    ) -> Result<Option<String>, ConnectionError> {
        let Some(clients) = &self.clients else { return Ok(None) };
        let Some(certificate) = chain.first() else {
            return Err(ConnectionError::NotDefinedToSaf("the client sent no certificate".to_owned()));
        };
        let resource = self.key.parameters.saf_check_resource.as_deref();
        clients.user(certificate, port, resource).map(Some).map_err(ConnectionError::NotDefinedToSaf)
    }

    /// Begins what goes on beside its connections: it is installed now. `rule` is one that has it.
    pub(crate) fn begin(&self, rule: &str) {
        let Some(revocation) = self.revocation.as_ref().filter(|revocation| revocation.staples()) else { return };
        if !self.begun.swap(true, Ordering::Relaxed) {
            for identity in &self.served {
                let (identity, revocation) = (Arc::downgrade(identity), Arc::downgrade(revocation));
                tokio::spawn(stapling::keep(identity, revocation, rule.to_owned()));
            }
        }
    }

    /// Our own certificates, each with its chain.
    pub(crate) fn own(&self) -> &[Vec<CertificateDer<'static>>] {
        &self.own
    }

    /// Whether one of our own chains is revoked, by the sources that peers are checked with.
    pub(crate) async fn own_revocation(&self, chain: &[CertificateDer<'_>]) -> Result<(), RevocationError> {
        match &self.revocation {
            Some(revocation) => revocation.check(chain, self.key.parameters.role != Role::Client).await,
            None => Ok(()),
        }
    }

    /// Forgets the sessions with a server.
    pub(crate) fn forget(&self, server: SocketAddr) {
        if let Side::Client { sessions, .. } = &self.side {
            sessions.forget(server);
        }
    }

    /// Counts a finished handshake.
    pub(crate) fn count(&self, resumed: bool) {
        let counter = if resumed { &self.resumed } else { &self.full };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The sessions that are kept for resumption.
    pub(crate) fn kept(&self) -> Kept {
        match &self.side {
            Side::Client { sessions, .. } => sessions.kept(),
            Side::Server { sessions, .. } => sessions.as_ref().map(|sessions| sessions.kept()).unwrap_or_default(),
        }
    }

    /// Seconds since the ticket key in use was made, where tickets are sent.
    pub(crate) fn ticket_key_age(&self) -> Option<u64> {
        match &self.side {
            Side::Client { .. } => None,
            Side::Server { tickets, .. } => tickets.as_ref().map(|tickets| tickets.age()),
        }
    }

    /// Full and resumed handshakes so far.
    pub(crate) fn handshakes(&self) -> (u64, u64) {
        (self.full.load(Ordering::Relaxed), self.resumed.load(Ordering::Relaxed))
    }
}

struct Builder<'a> {
    rule: &'a str,
    key: &'a Key,
    parameters: &'a SecurityParameters,
    ticket_secret: Option<&'a TicketSecret>,
    location: &'a RingLocation,
    ring: &'a Ring,
    revocation: Option<Arc<Revocation>>,
    own: RefCell<Vec<Vec<CertificateDer<'static>>>>,
    served: RefCell<Vec<Arc<Identity>>>,
}

impl Builder<'_> {
    fn client(&self) -> Result<Side, InstallError> {
        let provider = self.provider();
        let demanded = self.parameters.fips == Fips::Required;
        let verifier = ServerVerifier {
            authorities: self.authorities()?,
            provider: Arc::clone(&provider),
            requirements: self.parameters.peer.clone(),
            revocation: self.revocation.clone(),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions())
            .map_err(|error| self.tls(error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match self.parameters.certificate_label.as_deref() {
            // An empty label: never send a certificate. None coded: the ring's default, if it has one.
            Some("") => builder.with_no_client_auth(),
            Some(label) => {
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(self.identity(Some(label))?)))
            }
            None => match self.identity(None) {
                Ok(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
                Err(_) => builder.with_no_client_auth(),
            },
        };
        config.require_ems = self.parameters.require_extended_master_secret || demanded;
        config.max_fragment_size = self.parameters.fragment.map(usize::from);
        config.enable_sni = self.parameters.server_name_indication.is_some();
        config.resumption = Resumption::disabled();
        self.check_fips(config.fips())?;
        let timeout = Duration::from_secs(self.parameters.cache_timeout.into());
        let sessions = ClientSessions::new(self.parameters.cache_capacity as usize, timeout);
        Ok(Side::Client { config: Arc::new(config), sessions })
    }

    fn server(&self, auth: ClientAuth) -> Result<Side, InstallError> {
        let provider = self.provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions())
            .map_err(|error| self.tls(error))?;
        let builder = match auth {
            ClientAuth::None => builder.with_no_client_auth(),
            auth => {
                let chain = (auth != ClientAuth::PassThru).then(|| self.client_chain(auth, &provider)).transpose()?;
                let requirements = self.parameters.peer.clone();
                let revocation = self.revocation.clone();
                builder.with_client_cert_verifier(Arc::new(ClientVerifier {
                    chain,
                    provider,
                    requirements,
                    revocation,
                }))
            }
        };
        let labels = &self.parameters.server_certificate_labels;
        let identities = if labels.is_empty() {
            vec![self.served(self.parameters.certificate_label.as_deref().filter(|label| !label.is_empty()))?]
        } else {
            labels.iter().map(|label| self.served(Some(label))).collect::<Result<_, _>>()?
        };
        let names = match &self.parameters.server_names {
            None => None,
            Some(names) => Some(Names {
                demanded: names.demanded,
                match_demanded: names.match_demanded,
                known: names
                    .certificates
                    .iter()
                    .map(|(name, label)| Ok((name.clone(), self.served(Some(label))?)))
                    .collect::<Result<_, InstallError>>()?,
            }),
        };
        let demanded = self.parameters.fips == Fips::Required;
        let mut config = builder.with_cert_resolver(Arc::new(Identities { others: identities, names }));
        config.ignore_client_order = true; // the policy's order counts
        config.require_ems = self.parameters.require_extended_master_secret || demanded;
        let parameters = self.parameters;
        let (mut sessions, mut tickets) = (None, None);
        if parameters.cache_capacity == 0 {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        } else {
            let timeout = Duration::from_secs(parameters.cache_timeout.into());
            let store = ServerSessions::new(parameters.cache_capacity as usize, timeout);
            config.session_storage = Arc::clone(&store) as Arc<dyn StoresServerSessions>;
            sessions = Some(store);
            config.send_tls13_tickets = parameters.ticket_count as usize;
            if parameters.tickets {
                let refresh = Duration::from_secs(parameters.ticket_key_refresh.into());
                let timeout = Duration::from_secs(parameters.ticket_timeout.into());
                let keys = match self.ticket_secret {
                    Some(secret) => TicketKeys::shared(refresh, timeout, secret, self.key),
                    None => TicketKeys::own(refresh, timeout).map_err(|error| self.tls(error))?,
                };
                config.ticketer = Arc::clone(&keys) as Arc<dyn ProducesTickets>;
                tickets = Some(keys);
            }
        }
        self.check_fips(config.fips())?;
        Ok(Side::Server { config: Arc::new(config), sessions, tickets })
    }

    /// A configuration for a rule that demands FIPS 140-3 is one that the module approves as a whole.
    fn check_fips(&self, approved: bool) -> Result<(), InstallError> {
        if self.parameters.fips != Fips::Required || approved {
            return Ok(());
        }
        let environment = self.parameters.environment.clone();
        Err(InstallError::NotFips { rule: self.rule.to_owned(), environment })
    }

    fn client_chain(
        &self,
        auth: ClientAuth,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, InstallError> {
        let verifier = WebPkiClientVerifier::builder_with_provider(self.authorities()?, Arc::clone(provider));
        let verifier = if auth == ClientAuth::Full { verifier.allow_unauthenticated() } else { verifier };
        verifier.build().map_err(|error| self.bad_authorities(&error.to_string()))
    }

    /// aws-lc with the policy's suites and groups, in the policy's order.
    fn provider(&self) -> Arc<CryptoProvider> {
        let suites = self.parameters.suites.iter().filter_map(|&code| {
            aws_lc_rs::ALL_CIPHER_SUITES.iter().find(|suite| u16::from(suite.suite()) == code).copied()
        });
        let groups = self.parameters.groups.iter().filter_map(|&code| {
            let mut all = aws_lc_rs::ALL_KX_GROUPS.iter();
            all.find(|group| u16::from(group.name()) == code).copied()
        });
        let default = aws_lc_rs::default_provider();
        let engine = default.signature_verification_algorithms;
        let (handshakes, certificates) = (&self.parameters.signatures, &self.parameters.certificate_signatures);
        Arc::new(CryptoProvider {
            cipher_suites: suites.collect(),
            kx_groups: groups.collect(),
            signature_verification_algorithms: signatures::verification(engine, handshakes, certificates),
            ..default
        })
    }

    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let tls13 = self.parameters.tls13.then_some(&TLS13);
        let tls12 = self.parameters.tls12.then_some(&TLS12);
        [tls13, tls12].into_iter().flatten().collect()
    }

    fn authorities(&self) -> Result<Arc<RootCertStore>, InstallError> {
        let mut store = RootCertStore::empty();
        let authorities = self.ring.authorities().map_err(|source| self.keyring(source))?;
        for authority in authorities {
            store.add(authority.clone()).map_err(|error| self.bad_authorities(&error.to_string()))?;
        }
        Ok(Arc::new(store))
    }

    fn identity(&self, label: Option<&str>) -> Result<Arc<CertifiedKey>, InstallError> {
        let identity = self.ring.identity(label, UnixTime::now()).map_err(|source| self.keyring(source))?;
        self.own.borrow_mut().push(identity.cert.clone());
        signatures::limited(identity, &self.parameters.signatures).ok_or_else(|| {
            let which =
                label.map_or("the ring's default certificate".to_owned(), |label| format!("certificate `{label}`"));
            self.tls(rustls::Error::General(format!("the key of {which} can sign with none of the SignaturePairs")))
        })
    }

    /// A server's certificate, with its OCSP response once there is one.
    fn served(&self, label: Option<&str>) -> Result<Arc<Identity>, InstallError> {
        let identity = Arc::new(Identity::new(self.identity(label)?));
        self.served.borrow_mut().push(Arc::clone(&identity));
        Ok(identity)
    }

    fn keyring(&self, source: keyrings::KeyringError) -> InstallError {
        let environment = self.parameters.environment.clone();
        InstallError::Keyring { rule: self.rule.to_owned(), environment, source: Box::new(source) }
    }

    fn tls(&self, source: rustls::Error) -> InstallError {
        let environment = self.parameters.environment.clone();
        InstallError::Tls { rule: self.rule.to_owned(), environment, source }
    }

    fn bad_authorities(&self, reason: &str) -> InstallError {
        InstallError::Authorities {
            rule: self.rule.to_owned(),
            environment: self.parameters.environment.clone(),
            reason: format!("{reason} (ring {})", self.location),
        }
    }
}

/// The certificates of a server: for the name the client sends, and for others; of several, one for each kind of key, the
/// first that the client can verify.
#[derive(Debug)]
struct Identities {
    names: Option<Names>,
    others: Vec<Arc<Identity>>,
}

/// The names a server answers to.
#[derive(Debug)]
struct Names {
    demanded: bool,
    match_demanded: bool,
    known: Vec<(String, Arc<Identity>)>,
}

impl Identities {
    /// The certificates for a client that sent this name; none: it is refused.
    fn of(&self, name: Option<&str>) -> Vec<&Arc<Identity>> {
        let others = || self.others.iter().collect();
        let Some(names) = &self.names else { return others() };
        let Some(name) = name else { return if names.demanded { Vec::new() } else { others() } };
        let known: Vec<_> =
            names.known.iter().filter(|(known, _)| matches(name, known, true)).map(|(_, identity)| identity).collect();
        if known.is_empty() && !names.match_demanded { others() } else { known }
    }
}

impl ResolvesServerCert for Identities {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let suitable = |identity: &Arc<CertifiedKey>| identity.key.choose_scheme(schemes).is_some();
        self.of(hello.server_name()).into_iter().map(|identity| identity.load_full()).find(suitable)
    }
}
