//! Whether the certificates of a chain are revoked: by lists in files, by responders (OCSP) and by lists from distribution
//! points, as `TTLSGskAdvancedParms` says.
//!
//! chain ─ path to an authority ─> each certificate with its issuer ─ sources in order ─> good, revoked, or no answer
//!
//! Sources on the network are asked between handshake and first relayed byte: the TLS library verifies certificates without
//! waiting for anybody. What they say is kept until it ends, and asked for once however many connections want it.

mod http;
mod list;
mod ocsp;
mod signed;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::Hash;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use policies::parameters::{DistributionPoints, Ocsp, SecurityLevel};
use rustls::RootCertStore;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use tracing::{debug, info};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension};
use x509_parser::oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_OCSP;
use x509_parser::prelude::FromDer as _;

use crate::cache::Cache;
use crate::marks::Marks;
use crate::signatures;
use http::{FetchError, Route, fetch};
use list::List;
use ocsp::{Allowed, Subject, Word};

/// Seconds by which the clocks of others may differ.
const SKEW: i64 = 300;
/// Seconds before a source that gave no answer is asked again.
const AGAIN: i64 = 10;
/// Seconds a list is kept at most, whatever it says itself.
const LONGEST: i64 = 86_400;
/// How long all sources together may take for one chain.
const PATIENCE: Duration = Duration::from_secs(120);
/// Who said what a staple says.
const STAPLE: &str = "";
const OCSP_REQUEST: &str = "application/ocsp-request";

type Algorithms = &'static [&'static dyn SignatureVerificationAlgorithm];

/// What a source says of a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    Good,
    Revoked {
        /// Seconds since the epoch.
        since: i64,
    },
    /// A list of its issuer is there and is too old.
    Stale,
}

/// Why a chain is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum RevocationError {
    #[error("the certificate of {subject} was revoked at {since}")]
    Revoked { subject: String, since: Moment },
    #[error("whether the certificate of {subject} is revoked cannot be told ({level}): {reason}")]
    Unknown { subject: String, level: &'static str, reason: String },
    #[error("the peer's chain leads to no authority of the ring any more")]
    NoPath,
}

/// Seconds since the epoch; shown in UTC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Moment(i64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chrono::DateTime::from_timestamp(self.0, 0) {
            Some(time) => write!(f, "{}", time.format("%Y-%m-%d %H:%M:%S UTC")),
            None => f.write_str("an unknown time"),
        }
    }
}

/// The revocation lists of a rule's files.
#[derive(Debug, Default)]
pub(crate) struct Lists(Vec<List>);

impl Lists {
    /// Reads files and directories.
    pub(crate) fn read(paths: &[String]) -> Result<Self, (PathBuf, io::Error)> {
        let lists = paths.iter().map(|path| list::read_files(Path::new(path))).collect::<Result<Vec<_>, _>>()?;
        Ok(Self(lists.into_iter().flatten().collect()))
    }

    /// Equal for equal lists.
    pub(crate) fn fingerprint(&self) -> Vec<u8> {
        self.0.iter().flat_map(List::digest).collect()
    }
}

/// The revocation checks of an environment.
#[derive(Debug)]
pub(crate) struct Revocation {
    settings: policies::parameters::Revocation,
    lists: Lists,
    anchors: Arc<RootCertStore>,
    authorities: Vec<CertificateDer<'static>>,
    /// The mark of our own connections.
    marks: Option<Marks>,
    path_algorithms: Algorithms,
    list_algorithms: Algorithms,
    response_algorithms: Algorithms,
    /// By certificate and by who said it.
    words: Kept<(Subject, String), Result<Word, Silence>>,
    fetched: Kept<String, Result<Arc<List>, Silence>>,
}

/// A source that gave no usable answer.
#[derive(Clone, Debug)]
struct Silence {
    reason: String,
    reached: bool,
}

impl From<FetchError> for Silence {
    fn from(error: FetchError) -> Self {
        Self { reached: error.was_reached(), reason: error.to_string() }
    }
}

/// A certificate on a path, with its issuer's.
struct Link {
    certificate: CertificateDer<'static>,
    issuer: CertificateDer<'static>,
}

impl Revocation {
    /// Checks by these settings against the authorities of a ring.
    pub(crate) fn new(
        settings: policies::parameters::Revocation,
        lists: Lists,
        authorities: &[CertificateDer<'static>],
        anchors: Arc<RootCertStore>,
        engine: WebPkiSupportedAlgorithms,
        certificates: &[u16],
        marks: Option<Marks>,
    ) -> Arc<Self> {
        let algorithms = |coded: &[u16]| {
            let coded = if coded.is_empty() { certificates } else { coded };
            signatures::verification(engine, policies::group::VERIFIED, coded).all
        };
        let responses = settings.ocsp.as_ref().map(|ocsp| ocsp.signatures.clone()).unwrap_or_default();
        let words = settings.ocsp.as_ref().map_or(0, |ocsp| ocsp.cache);
        let fetched = settings.distribution_points.as_ref().map_or(0, |points| points.cache);
        Arc::new(Self {
            path_algorithms: algorithms(&[]),
            list_algorithms: algorithms(&settings.list_signatures),
            response_algorithms: algorithms(&responses),
            words: Kept::new(words),
            fetched: Kept::new(fetched),
            settings,
            lists,
            anchors,
            authorities: authorities.to_vec(),
            marks,
        })
    }

    /// Whether peers are checked; a rule may code stapling only.
    fn checks_peers(&self) -> bool {
        let asks = self.settings.ocsp.as_ref().is_some_and(|ocsp| ocsp.url.is_some() || ocsp.aia);
        asks || self.settings.distribution_points.is_some() || !self.settings.files.is_empty()
    }

    /// Whether responses about our own certificates are sent.
    pub(crate) fn staples(&self) -> bool {
        self.settings.stapling
    }

    /// Checks a peer's chain, its own certificate first. `server`: the peer is a server.
    pub(crate) async fn check(&self, chain: &[CertificateDer<'_>], server: bool) -> Result<(), RevocationError> {
        if !self.checks_peers() || chain.is_empty() {
            return Ok(());
        }
        let links = self.links(chain, server, UnixTime::now()).ok_or(RevocationError::NoPath)?;
        let mut left = match self.settings.all_locations {
            0 => u32::MAX,
            most => most,
        };
        let all = async {
            for link in &links {
                self.check_link(link, &mut left).await?;
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| {
            let reason = format!("the sources took more than {} seconds", PATIENCE.as_secs());
            Err(RevocationError::Unknown { subject: "the peer".to_owned(), level: "all levels", reason })
        })
    }

    /// What can be said without asking anybody: of a server's certificate by its staple, and by files and kept answers.
    /// The TLS library can then tell the peer by an alert.
    pub(crate) fn check_at_once(
        &self,
        chain: &[CertificateDer<'_>],
        staple: &[u8],
        server: bool,
        now: UnixTime,
    ) -> Result<(), RevocationError> {
        if !self.checks_peers() {
            return Ok(());
        }
        let links = self.links(chain, server, now).unwrap_or_default();
        for (depth, link) in links.iter().enumerate() {
            let Ok((_, certificate)) = X509Certificate::from_der(&link.certificate) else { continue };
            let stapled = (depth == 0 && !staple.is_empty()).then(|| self.stapled(&certificate, link, staple, now));
            let known = self.known(&certificate, link, now);
            if let Some(Standing::Revoked { since }) = worst([stapled.flatten(), known]) {
                info!(subject = %certificate.subject(), since = %Moment(since), "the peer's certificate is revoked");
                return Err(revoked(&certificate, since));
            }
        }
        Ok(())
    }

    /// What a staple says; it is kept for the check after the handshake. A staple repeats no nonce: where one is demanded
    /// it does not count.
    fn stapled(
        &self,
        certificate: &X509Certificate<'_>,
        link: &Link,
        staple: &[u8],
        now: UnixTime,
    ) -> Option<Standing> {
        if self.settings.ocsp.as_ref().is_none_or(|ocsp| ocsp.nonce_demanded) {
            return None;
        }
        let subject = Subject::of(certificate, &link.issuer)?;
        match ocsp::judge(staple, &subject, &link.issuer, self.allowed(), None, now) {
            Ok(word) => {
                self.words.put((subject, STAPLE.to_owned()), Ok(word), word.good_until);
                Some(word.standing)
            }
            Err(reason) => {
                debug!(subject = %certificate.subject(), %reason, "stapled response is not used");
                None
            }
        }
    }

    fn allowed(&self) -> Allowed<'static> {
        Allowed { responses: self.response_algorithms, certificates: self.path_algorithms }
    }

    /// What files, staples and responders said of a certificate not long ago; who says that it is revoked is believed.
    fn known(&self, certificate: &X509Certificate<'_>, link: &Link, now: UnixTime) -> Option<Standing> {
        let files = self.by_files(certificate, link, now);
        let Some(subject) = Subject::of(certificate, &link.issuer) else { return files };
        let said = |by: String| self.words.known(&(subject.clone(), by))?.ok().map(|word| word.standing);
        let coded = self.settings.ocsp.as_ref().and_then(|ocsp| ocsp.url.clone());
        let sources = [STAPLE.to_owned()].into_iter().chain(coded).chain(responders_of(certificate));
        worst(sources.map(said).chain([files]))
    }

    /// The path from a chain to an authority of the ring, as certificates with their issuers.
    fn links(&self, chain: &[CertificateDer<'_>], server: bool, now: UnixTime) -> Option<Vec<Link>> {
        let (first, others) = chain.split_first()?;
        let end_entity = EndEntityCert::try_from(first).ok()?;
        let usage = if server { KeyUsage::server_auth() } else { KeyUsage::client_auth() };
        let path = end_entity
            .verify_for_usage(self.path_algorithms, &self.anchors.roots, others, now, usage, None, None)
            .ok()?;
        let anchor = path.anchor();
        let top = self.authorities.iter().find(|authority| {
            let Ok(found) = webpki::anchor_from_trusted_cert(authority) else { return false };
            found.subject == anchor.subject && found.subject_public_key_info == anchor.subject_public_key_info
        })?;
        let mut way: Vec<CertificateDer<'static>> = vec![first.clone().into_owned()];
        way.extend(path.intermediate_certificates().map(|one| one.der().into_owned()));
        way.push(top.clone());
        let pairs = way.windows(2).filter_map(|pair| match pair {
            [certificate, issuer] => Some(Link { certificate: certificate.clone(), issuer: issuer.clone() }),
            _ => None,
        });
        Some(pairs.collect())
    }

    async fn check_link(&self, link: &Link, left: &mut u32) -> Result<(), RevocationError> {
        let Ok((_, certificate)) = X509Certificate::from_der(&link.certificate) else {
            return Err(RevocationError::NoPath);
        };
        let subject = || certificate.subject().to_string();
        let unknown = |level, reason| RevocationError::Unknown { subject: subject(), level, reason };
        match self.known(&certificate, link, UnixTime::now()) {
            Some(Standing::Good) => return Ok(()),
            Some(Standing::Revoked { since }) => return Err(revoked(&certificate, since)),
            Some(Standing::Stale) if self.settings.level != SecurityLevel::Low => {
                let reason = format!("the list of {} in CrlFile is too old", certificate.issuer());
                return Err(unknown("CrlFile", reason));
            }
            Some(Standing::Stale) | None => {}
        }
        let mut silences = Vec::new();
        for source in self.sources(&certificate) {
            let coded = self.settings.ocsp.as_ref().and_then(|ocsp| ocsp.url.as_ref());
            if !matches!(&source, Source::Responder(url) if Some(url) == coded) {
                if *left == 0 {
                    let reason = "MaxValidRevExtLocValues does not allow to ask more".to_owned();
                    silences.push(Silence { reason, reached: false });
                    break;
                }
                *left -= 1;
            }
            let word = match &source {
                Source::Responder(url) => self.by_responder(url, &certificate, link).await,
                Source::Point(url) => self.by_point(url, &certificate, link).await,
            };
            match word {
                Ok(Standing::Good) => return Ok(()),
                Ok(Standing::Revoked { since }) => return Err(revoked(&certificate, since)),
                Ok(Standing::Stale) => {
                    silences.push(Silence { reason: format!("the list of {source} is too old"), reached: true });
                }
                Err(silence) => silences.push(silence),
            }
        }
        let reasons = silences.iter().map(|silence| silence.reason.as_str()).collect::<Vec<_>>().join("; ");
        let none_reached = !silences.is_empty() && !silences.iter().any(|silence| silence.reached);
        match self.settings.level {
            SecurityLevel::High if silences.is_empty() => {
                Err(unknown("RevocationSecurityLevel High", "no source speaks of it".to_owned()))
            }
            SecurityLevel::High => Err(unknown("RevocationSecurityLevel High", reasons)),
            SecurityLevel::Medium if none_reached => Err(unknown("RevocationSecurityLevel Medium", reasons)),
            _ => {
                info!(subject = subject(), reasons, "revocation is not known; accepted by RevocationSecurityLevel");
                Ok(())
            }
        }
    }

    fn by_files(&self, certificate: &X509Certificate<'_>, link: &Link, now: UnixTime) -> Option<Standing> {
        let lists = self.lists.0.iter();
        worst(lists.map(|list| list.standing(certificate, &link.issuer, self.list_algorithms, seconds(now))))
    }

    /// The sources to ask about a certificate, in order.
    fn sources(&self, certificate: &X509Certificate<'_>) -> Vec<Source> {
        let limit = |urls: Vec<String>| -> Vec<String> {
            let most = if self.settings.locations == 0 { usize::MAX } else { self.settings.locations as usize };
            urls.into_iter().take(most).collect()
        };
        let mut responders = Vec::new();
        if let Some(ocsp) = &self.settings.ocsp {
            if ocsp.aia {
                responders = limit(responders_of(certificate));
            }
            if let Some(url) = &ocsp.url {
                let at = if ocsp.url_first { 0 } else { responders.len() };
                responders.insert(at, url.clone());
            }
        }
        let points = self.settings.distribution_points.as_ref().map(|_| limit(points_of(certificate)));
        let responders: Vec<Source> = responders.into_iter().map(Source::Responder).collect();
        let points: Vec<Source> = points.unwrap_or_default().into_iter().map(Source::Point).collect();
        let (first, second) = if self.settings.responders_first { (responders, points) } else { (points, responders) };
        first.into_iter().chain(second).collect()
    }

    async fn by_responder(
        &self,
        url: &str,
        certificate: &X509Certificate<'_>,
        link: &Link,
    ) -> Result<Standing, Silence> {
        let Some(ocsp) = &self.settings.ocsp else { return Err(unasked()) };
        let Some(subject) = Subject::of(certificate, &link.issuer) else { return Err(unasked()) };
        let fresh = async {
            match self.ask(ocsp, url, &subject, &link.issuer).await {
                Ok((word, _)) => (Ok(word), word.good_until),
                Err(silence) => (Err(silence), seconds(UnixTime::now()) + AGAIN),
            }
        };
        self.words.get((subject.clone(), url.to_owned()), fresh).await.map(|word| word.standing)
    }

    /// One request; gives the verified word and the response as it came.
    async fn ask(
        &self,
        ocsp: &Ocsp,
        url: &str,
        subject: &Subject,
        issuer: &CertificateDer<'_>,
    ) -> Result<(Word, Vec<u8>), Silence> {
        let nonce = ocsp.nonce.map(|size| {
            let mut nonce = vec![0; size as usize];
            // Without random bytes there is no TLS either.
            let _ = aws_lc_rs::rand::fill(&mut nonce);
            nonce
        });
        let route =
            Route { marks: self.marks, proxy: ocsp.proxy.clone(), timeout: ocsp.timeout, max_size: ocsp.max_size };
        let request = subject.request(nonce.as_deref()).ok_or_else(unasked)?;
        let response = if ocsp.by_get {
            fetch(&route, &ocsp::by_get(url, &request), None).await?
        } else {
            fetch(&route, url, Some((OCSP_REQUEST, request))).await?
        };
        let demanded = nonce.as_deref().filter(|_| ocsp.nonce_demanded);
        let judged = ocsp::judge(&response, subject, issuer, self.allowed(), demanded, UnixTime::now());
        match judged {
            Ok(word) => Ok((word, response)),
            Err(reason) => Err(Silence { reason: format!("{url}: {reason}"), reached: true }),
        }
    }

    async fn by_point(&self, url: &str, certificate: &X509Certificate<'_>, link: &Link) -> Result<Standing, Silence> {
        let Some(points) = &self.settings.distribution_points else { return Err(unasked()) };
        let said =
            |list: &List| list.standing(certificate, &link.issuer, self.list_algorithms, seconds(UnixTime::now()));
        let alien = || Silence {
            reason: format!("{url}: the list is not one of the certificate's issuer, or for other certificates"),
            reached: true,
        };
        // Anybody could have sent it: what the issuer did not sign is not kept.
        let fresh = async {
            let fetched = self.fetch_list(points, url).await;
            let now = seconds(UnixTime::now());
            match fetched {
                Ok((list, _)) if said(&list).is_none() => (Err(alien()), now + AGAIN),
                Ok((list, size)) => {
                    let keep = points.max_entry == 0 || size <= points.max_entry as usize;
                    let until = if keep { list.good_until(now).min(now + LONGEST) } else { 0 };
                    (Ok(Arc::new(list)), until)
                }
                Err(silence) => (Err(silence), now + AGAIN),
            }
        };
        let list = self.fetched.get(url.to_owned(), fresh).await?;
        said(&list).ok_or_else(alien)
    }

    async fn fetch_list(&self, points: &DistributionPoints, url: &str) -> Result<(List, usize), Silence> {
        let route = Route {
            marks: self.marks,
            proxy: points.proxy.clone(),
            timeout: points.timeout,
            max_size: points.max_size,
        };
        let bytes = fetch(&route, url, None).await?;
        let list = List::read(&bytes);
        let list =
            list.ok_or_else(|| Silence { reason: format!("{url}: not a revocation list in DER"), reached: true })?;
        Ok((list, bytes.len()))
    }

    /// The response to staple to our own certificate, and until when it is good. Asks `OcspUrl`, or the responders the
    /// certificate names.
    pub(crate) async fn staple(&self, chain: &[CertificateDer<'_>]) -> Result<(Vec<u8>, i64), String> {
        let ocsp = self.settings.ocsp.as_ref().filter(|_| self.settings.stapling).ok_or("stapling is off")?;
        let own = chain.first().ok_or("there is no certificate")?;
        let (_, certificate) = X509Certificate::from_der(own).map_err(|error| error.to_string())?;
        let signed = signed::Signed::read(own).ok_or("it cannot be read")?;
        let mut candidates = chain.iter().skip(1).chain(&self.authorities);
        let issuer = candidates.find(|candidate| signed.is_by(candidate, self.path_algorithms));
        let issuer = issuer.ok_or("the ring does not hold its issuer's certificate")?;
        let subject = Subject::of(&certificate, issuer).ok_or("its issuer's certificate cannot be read")?;
        let named = responders_of(&certificate);
        let urls: Vec<&String> = if ocsp.url_first {
            ocsp.url.iter().chain(&named).collect()
        } else {
            named.iter().chain(&ocsp.url).collect()
        };
        let mut reasons = Vec::new();
        for url in urls {
            match self.ask(ocsp, url, &subject, issuer).await {
                Ok((word, response)) => {
                    if let Standing::Revoked { since } = word.standing {
                        return Err(format!("it was revoked at {}", Moment(since)));
                    }
                    return Ok((response, word.good_until));
                }
                Err(silence) => reasons.push(silence.reason),
            }
        }
        Err(if reasons.is_empty() {
            "it names no responder, and OcspUrl is not coded".to_owned()
        } else {
            reasons.join("; ")
        })
    }
}

/// Somebody who may know.
#[derive(Clone, Debug)]
enum Source {
    Responder(String),
    Point(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Responder(url) | Self::Point(url)) = self;
        f.write_str(url)
    }
}

/// Of several words the one that counts: whoever says revoked is believed, then a list that is current.
fn worst(said: impl IntoIterator<Item = Option<Standing>>) -> Option<Standing> {
    let rank = |standing: &Standing| match standing {
        Standing::Revoked { .. } => 2,
        Standing::Good => 1,
        Standing::Stale => 0,
    };
    said.into_iter().flatten().max_by_key(rank)
}

fn unasked() -> Silence {
    Silence { reason: "the certificate cannot be asked about".to_owned(), reached: false }
}

fn revoked(certificate: &X509Certificate<'_>, since: i64) -> RevocationError {
    RevocationError::Revoked { subject: certificate.subject().to_string(), since: Moment(since) }
}

fn seconds(now: UnixTime) -> i64 {
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

fn url_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::URI(url) if url.starts_with("http://") => Some((*url).to_owned()),
        _ => None,
    }
}

/// The responders a certificate names (RFC 5280 section 4.2.2.1).
fn responders_of(certificate: &X509Certificate<'_>) -> Vec<String> {
    let extensions = certificate.iter_extensions().filter_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityInfoAccess(access) => Some(access),
        _ => None,
    });
    let access = extensions.flat_map(|access| access.iter());
    access
        .filter(|one| one.access_method == OID_PKIX_ACCESS_DESCRIPTOR_OCSP)
        .filter_map(|one| url_of(&one.access_location))
        .collect()
}

/// The distribution points a certificate names (RFC 5280 section 4.2.1.13) for complete lists of its issuer.
fn points_of(certificate: &X509Certificate<'_>) -> Vec<String> {
    let extensions = certificate.iter_extensions().filter_map(|extension| match extension.parsed_extension() {
        ParsedExtension::CRLDistributionPoints(points) => Some(points),
        _ => None,
    });
    let points = extensions.flat_map(|points| points.iter());
    let names = points.filter(|point| point.crl_issuer.is_none() && point.reasons.is_none()).filter_map(|point| {
        match &point.distribution_point {
            Some(DistributionPointName::FullName(names)) => Some(names),
            _ => None,
        }
    });
    names.flatten().filter_map(url_of).collect()
}

/// Answers that are kept until they end. However many want one, it is asked for once.
#[derive(Debug)]
struct Kept<K, V> {
    entries: Mutex<Cache<K, Slot<V>>>,
}

/// An answer with its end; locked while it is asked for.
type Slot<V> = Arc<tokio::sync::Mutex<Option<(V, i64)>>>;

/// Entries leave when they end, or for others.
const NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);

impl<K: Clone + Eq + Hash, V: Clone> Kept<K, V> {
    fn new(capacity: u32) -> Self {
        Self { entries: Mutex::new(Cache::new(capacity as usize, NEVER)) }
    }

    fn slot(&self, key: &K) -> Option<Slot<V>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.entry(key, Instant::now(), Slot::default).cloned()
    }

    /// The answer, from before or fresh: `ask` gives it with its end.
    async fn get(&self, key: K, ask: impl Future<Output = (V, i64)>) -> V {
        let Some(slot) = self.slot(&key) else { return ask.await.0 };
        let mut entry = slot.lock().await;
        if let Some((value, _)) = entry.as_ref().filter(|(_, until)| seconds(UnixTime::now()) < *until) {
            return value.clone();
        }
        *entry = None;
        let (value, until) = ask.await;
        if seconds(UnixTime::now()) < until {
            *entry = Some((value.clone(), until));
        }
        value
    }

    /// The answer, if it is here.
    fn known(&self, key: &K) -> Option<V> {
        let slot = self.entries.lock().unwrap_or_else(PoisonError::into_inner).get_mut(key, Instant::now()).cloned()?;
        let entry = slot.try_lock().ok()?;
        entry.as_ref().filter(|(_, until)| seconds(UnixTime::now()) < *until).map(|(value, _)| value.clone())
    }

    fn put(&self, key: K, value: V, until: i64) {
        if let Some(slot) = self.slot(&key)
            && let Ok(mut entry) = slot.try_lock()
        {
            *entry = Some((value, until));
        }
    }
}
