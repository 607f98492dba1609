//! Policy files from the file system, and the key rings they speak of.
//!
//! Data sets (`//'HLQ.NAME(MEMBER)'`) are files of the data set folder: a member lies in a folder named like the data
//! set, a sequential data set is a file. Beside the file that names it a data set is looked for too, under its full name.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyrings::{FileRings, KeyringError, Keyrings, ReadsRings, Ring, RingLocation};
use policies::diagnostic::Problem;
use policies::lint::{CertificateFacts, RingFacts, Rings};
use policies::load::Settings;
use policies::parameters::{Password, SecurityParameters};
use policies::source::Origin;
use policies::{Diagnostic, Files, Loaded, Source, Span};
use saf::Saf;

use crate::configuration::Configuration;

/// A policy file larger than this is refused: 100,000 rules take less than half of it.
const MAX_FILE: u64 = 64 << 20;

/// Reads main files or policy files as one policy of a stack, and everything they name. Never fails: what cannot be
/// read is among the diagnostics. Without an image the first `TcpImage` counts; `now` (seconds since the epoch) makes
/// the key rings be looked at.
pub(crate) fn load(
    paths: &[PathBuf],
    configuration: &Configuration,
    image: Option<&str>,
    rings: Option<(&dyn ReadsRings, i64)>,
) -> Loaded {
    let (sources, unreadable) = read_all(paths);
    load_sources(&sources, unreadable, &mut Disk::new(configuration), configuration, image, rings)
}

/// A main file or policy file as the policy of each stack it names, or as one policy where it names none.
pub(crate) fn load_stacks(path: &Path, configuration: &Configuration, rings: (&dyn ReadsRings, i64)) -> Vec<Loaded> {
    let (sources, unreadable) = read_all(&[path.to_owned()]);
    let load = |unreadable, image: Option<&str>| {
        load_sources(&sources, unreadable, &mut Disk::new(configuration), configuration, image, Some(rings))
    };
    let first = load(unreadable, None);
    let others: Vec<Loaded> = first.images.iter().skip(1).map(|image| load(Vec::new(), Some(image.as_str()))).collect();
    std::iter::once(first).chain(others).collect()
}

/// The same for sources that are there already; `files` reads what they name.
pub(crate) fn load_sources(
    sources: &[Arc<Source>],
    unreadable: Vec<Diagnostic>,
    files: &mut dyn Files,
    configuration: &Configuration,
    image: Option<&str>,
    rings: Option<(&dyn ReadsRings, i64)>,
) -> Loaded {
    let mut keys =
        rings.map(|(rings, now)| (Keys { rings, owner: &configuration.ring_owner, known: HashMap::new() }, now));
    let rings = keys.as_mut().map(|(keys, now)| (keys as &mut dyn Rings, *now));
    let settings = Settings { image, fips: ttls::fips_module(), files, rings, lints: true };
    let mut loaded = policies::load(sources, settings);
    loaded.diagnostics.splice(0..0, unreadable);
    loaded
}

/// A file's size and its time of change in nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    size: u64,
    changed: u128,
}

impl Stamp {
    /// The stamp of a file that is there.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        let changed = metadata.modified().ok()?.duration_since(std::time::SystemTime::UNIX_EPOCH).ok()?;
        Some(Self { size: metadata.len(), changed: changed.as_nanos() })
    }
}

/// The same as [`load`], with every file that was asked for and its stamp: taken before it was read, so that a change in
/// between is a change.
pub(crate) fn load_stamped(
    paths: &[PathBuf],
    configuration: &Configuration,
    image: Option<&str>,
    rings: Option<(&dyn ReadsRings, i64)>,
) -> (Loaded, Vec<(String, Option<Stamp>)>) {
    let stamped = |path: &PathBuf| (path.display().to_string(), Stamp::of(path));
    let mut stamps: Vec<(String, Option<Stamp>)> = paths.iter().map(stamped).collect();
    let (sources, unreadable) = read_all(paths);
    let mut disk = Stamping { disk: Disk::new(configuration), stamps: Vec::new() };
    let loaded = load_sources(&sources, unreadable, &mut disk, configuration, image, rings);
    stamps.extend(disk.stamps);
    (loaded, stamps)
}

/// The revocation lists a policy names, and directories of them with their files, with their stamps.
pub(crate) fn stamps_of_lists(policy: &policies::Policy) -> Vec<(String, Option<Stamp>)> {
    let rules = policy.ttls.iter().filter_map(|rule| rule.security.as_ref()?.revocation.as_ref());
    let named: std::collections::BTreeSet<&String> = rules.flat_map(|revocation| &revocation.files).collect();
    let mut paths: Vec<PathBuf> = Vec::new();
    for name in named {
        let inside = std::fs::read_dir(name).into_iter().flatten().flatten().map(|entry| entry.path());
        paths.extend(std::iter::once(PathBuf::from(name)).chain(inside));
    }
    paths.into_iter().map(|path| (path.display().to_string(), Stamp::of(&path))).collect()
}

/// Files of the file system, and what they were like before they were read.
struct Stamping {
    disk: Disk,
    stamps: Vec<(String, Option<Stamp>)>,
}

impl Files for Stamping {
    fn read(&mut self, name: &str, by: &Source) -> Result<Arc<Source>, String> {
        let candidates = self.disk.candidates(name, by)?;
        self.stamps.extend(candidates.iter().map(|path| (path.display().to_string(), Stamp::of(path))));
        self.disk.read(name, by)
    }
}

/// Refuses to read the standard input twice: the second time it is empty.
///
/// # Errors
///
/// `-` is named more than once.
pub(crate) fn standard_input_once<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> anyhow::Result<()> {
    let named = paths.into_iter().filter(|path| path.as_path() == Path::new("-")).count();
    anyhow::ensure!(named <= 1, "the standard input (`-`) can be read once only");
    Ok(())
}

fn read_all(paths: &[PathBuf]) -> (Vec<Arc<Source>>, Vec<Diagnostic>) {
    let (mut sources, mut unreadable) = (Vec::new(), Vec::new());
    for path in paths {
        match read(path) {
            Ok(source) => sources.push(source),
            Err(error) => unreadable.push(diagnostic(path, &error)),
        }
    }
    (sources, unreadable)
}

/// A file that could not be read, as a diagnostic.
fn diagnostic(path: &Path, error: &io::Error) -> Diagnostic {
    let file = path.display().to_string();
    let source = Source::new(file.clone(), "");
    let problem = Problem::Unreadable { file, reason: error.to_string() };
    Diagnostic::new(problem, Origin { source, span: Span::default() })
}

/// Reads a file; `-` is the standard input.
pub(crate) fn read(path: &Path) -> io::Result<Arc<Source>> {
    use io::Read as _;
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, "a policy file has at most 64 MiB");
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin().take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    } else {
        let file = std::fs::File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    }
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE) {
        return Err(too_large());
    }
    let name = if path == Path::new("-") { "(standard input)".to_owned() } else { path.display().to_string() };
    Ok(Source::from_bytes(name, bytes))
}

/// Files of the file system.
pub(crate) struct Disk {
    datasets: PathBuf,
}

impl Disk {
    pub(crate) fn new(configuration: &Configuration) -> Self {
        Self { datasets: configuration.datasets() }
    }

    /// The paths a name may mean, in the order they are tried.
    pub(crate) fn candidates(&self, name: &str, by: &Source) -> Result<Vec<PathBuf>, String> {
        let beside = Path::new(&by.name).parent().unwrap_or(Path::new("."));
        let Some(dataset) = name.strip_prefix("//'").and_then(|rest| rest.strip_suffix('\'')) else {
            if name.starts_with("//") {
                return Err("a data set is written //'HLQ.NAME' or //'HLQ.NAME(MEMBER)'".to_owned());
            }
            return Ok(vec![beside.join(name)]);
        };
        let (name, member) = match dataset.split_once('(').map(|(name, rest)| (name, rest.strip_suffix(')'))) {
            None => (dataset, None),
            Some((name, Some(member))) => (name, Some(member)),
            Some((_, None)) => return Err("the member's closing parenthesis is missing".to_owned()),
        };
        let is_qualifier = |part: &str| {
            (1..=8).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric() || "@#$-".contains(c))
        };
        if !name.split('.').all(is_qualifier) || !member.is_none_or(is_qualifier) {
            return Err("qualifiers and members have 1 to 8 characters A-Z 0-9 @ # $ -".to_owned());
        }
        let file = |folder: &Path| match member {
            Some(member) => folder.join(name).join(member),
            None => folder.join(name),
        };
        Ok(vec![file(&self.datasets), file(beside), beside.join(dataset)])
    }
}

impl Files for Disk {
    fn read(&mut self, name: &str, by: &Source) -> Result<Arc<Source>, String> {
        let candidates = self.candidates(name, by)?;
        let mut tried = Vec::new();
        for path in &candidates {
            match read(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => tried.push(path.display().to_string()),
                other => return other.map_err(|error| format!("{}: {error}", path.display())),
            }
        }
        Err(format!("there is no {}", tried.join(", and no ")))
    }
}

/// The key rings of this host for somebody who only looks: those of the SAF database, where it can be read, and those in files.
pub(crate) struct HostRings {
    keyrings: Option<(Keyrings, tokio::runtime::Runtime)>,
}

impl HostRings {
    pub(crate) fn open(configuration: &Configuration) -> anyhow::Result<Self> {
        // Keyrings want threads that work while this one waits.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let saf = runtime.block_on(Saf::open_to_read(&configuration.saf_url()));
        let keyrings = saf.ok().map(|saf| {
            let (envelope, reader) = (Arc::new(configuration.envelope()), configuration.reader());
            (Keyrings::new(Arc::new(saf), envelope, reader, runtime.handle().clone()), runtime)
        });
        Ok(Self { keyrings })
    }

    pub(crate) fn as_dyn(&self) -> &dyn ReadsRings {
        match &self.keyrings {
            Some((keyrings, _)) => keyrings,
            None => &FileRings,
        }
    }
}

/// The key rings, each read once.
struct Keys<'a> {
    rings: &'a dyn ReadsRings,
    owner: &'a str,
    known: HashMap<(String, Option<Password>), Answer>,
}

/// What is known of a ring: nothing, its facts, or why it cannot be used.
type Answer = Option<Result<Arc<RingFacts>, String>>;

impl Rings for Keys<'_> {
    fn ring(&mut self, parameters: &SecurityParameters) -> Answer {
        let key = (parameters.keyring.clone(), parameters.keyring_password.clone());
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let read = self.read(parameters);
        self.known.insert(key, read.clone());
        read
    }
}

impl Keys<'_> {
    fn read(&self, parameters: &SecurityParameters) -> Answer {
        let location = match RingLocation::resolve(&parameters.keyring, self.owner) {
            Ok(location) => location,
            Err(error) => return Some(Err(error.to_string())),
        };
        // On another machine than the policy's the ring is not there; nothing is said then.
        if location.path().is_some_and(|path| std::fs::metadata(path).is_err()) {
            return None;
        }
        match self.rings.read(&location, parameters.keyring_password.as_ref().map(Password::reveal)) {
            Ok(ring) => Some(Ok(Arc::new(facts(&ring)))),
            Err(KeyringError::NoDatabase { .. }) => None,
            Err(KeyringError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => None,
            Err(error) => Some(Err(error.to_string())),
        }
        .map(|found| found.map_err(|reason| without_prefix(&reason, &parameters.keyring)))
    }
}

/// The reason without the ring's name, which the lint says already.
fn without_prefix(reason: &str, ring: &str) -> String {
    let rest = reason.strip_prefix("key ring ").and_then(|rest| rest.strip_prefix(ring));
    rest.map_or(reason, |rest| rest.trim_start_matches([':', ' '])).to_owned()
}

fn facts(ring: &Ring) -> RingFacts {
    let certificates = ring.certificates().into_iter().map(|found| CertificateFacts {
        label: found.label,
        has_key: found.has_key,
        is_default: found.is_default,
        rsa_bits: found.rsa_bits,
        validity: found.validity,
        server_auth: found.server_auth,
        client_auth: found.client_auth,
        signs: found.signs,
    });
    RingFacts { certificates: certificates.collect(), authorities: ring.authorities().map_or(0, <[_]>::len) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_set_is_a_file_of_the_data_set_folder() {
        let disk = Disk { datasets: PathBuf::from("/data") };
        let by = Source::new("/etc/pagent.conf", "");
        let paths = |name: &str| -> Result<Vec<String>, String> {
            let paths = disk.candidates(name, &by)?;
            Ok(paths.iter().map(|path| path.display().to_string()).collect())
        };
        assert_eq!(paths("x.policy"), Ok(vec!["/etc/x.policy".to_owned()]));
        assert_eq!(paths("/x.policy"), Ok(vec!["/x.policy".to_owned()]));
        assert_eq!(
            paths("//'USER.TCPPARMS(PAGENT)'"),
            Ok(vec![
                "/data/USER.TCPPARMS/PAGENT".to_owned(),
                "/etc/USER.TCPPARMS/PAGENT".to_owned(),
                "/etc/USER.TCPPARMS(PAGENT)".to_owned(),
            ])
        );
        assert_eq!(paths("//'USER.TTLS'").map(|paths| paths[0].clone()), Ok("/data/USER.TTLS".to_owned()));
        for bad in ["//'../ETC'", "//'A(B'", "//'A..B'", "//A.B", "//'A/B'", "//''", "//'TOOLONGNAME.B'"] {
            assert!(paths(bad).is_err(), "{bad}");
        }
    }
}
