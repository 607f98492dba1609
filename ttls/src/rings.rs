//! From rules and their key rings to environments, and how rings are followed while the policy stays.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use keyrings::{Ring, RingLocation};
use policies::TtlsRule;
use policies::parameters::{Password, SecurityParameters};

use crate::engine::{Engine, Installed, Settings, Shared};
use crate::environment::{Environment, Key};
use crate::error::InstallError;
use crate::revocation::Lists;
use crate::sync::lock;

impl Engine {
    /// Reads the database's key rings of the policy in force again; not beside an installation. New handshakes have what is new;
    /// what did not change keeps its caches. A rule whose ring cannot be used any more makes no handshakes until it can; the other
    /// rules go on, and so do those of rings that the database could not be asked for.
    ///
    /// # Errors
    ///
    /// What is wrong with each of these rings.
    ///
    /// # Panics
    ///
    /// As [`Engine::install`].
    pub fn read_rings(&self) -> Result<(), Vec<InstallError>> {
        let Shared { settings, installed, installing, changed, .. } = self.shared.as_ref();
        let current = installed.load_full();
        let mut known = HashMap::new();
        // Rules share environments.
        let mut found: HashMap<*const Environment, Arc<Environment>> = HashMap::new();
        let mut errors = Vec::new();
        let mut environments = HashMap::new();
        for rule in &current.policy.ttls {
            let Some(old) = current.environments.get(&rule.name) else { continue };
            let environment = match found.get(&Arc::as_ptr(old)) {
                Some(environment) => Arc::clone(environment),
                None => reread(rule, old, settings, &mut known).unwrap_or_else(|error| {
                    if !error.is_passing() {
                        old.close(error.to_string());
                    }
                    errors.push(error);
                    Arc::clone(old)
                }),
            };
            environment.begin(&rule.name);
            found.insert(Arc::as_ptr(old), Arc::clone(&environment));
            environments.insert(rule.name.clone(), environment);
        }
        for (rule, environment) in self.superseded() {
            match read_ring(&rule, &environment.key.parameters, settings) {
                Ok((_, ring)) if ring.fingerprint() == environment.key.ring => environment.reopen(),
                // Its connections keep what they began with.
                Ok(_) => {}
                Err(error) if error.is_passing() => errors.push(error),
                Err(error) => environment.close(error.to_string()),
            }
        }
        let Installed { in_force, policy, .. } = current.as_ref();
        let read = Installed { in_force: *in_force, policy: Arc::clone(policy), environments };
        let _waiting = installing.blocking_write();
        self.supersede(read);
        changed.notify_one();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Installs in place of what is installed, whose environments may live on in connections.
    pub(crate) fn supersede(&self, next: Installed) {
        let Shared { installed, superseded, .. } = self.shared.as_ref();
        let next = Arc::new(next);
        let before = installed.swap(Arc::clone(&next));
        let mut superseded = lock(superseded);
        superseded.retain(|(_, environment)| environment.strong_count() > 0);
        for rule in &before.policy.ttls {
            let Some(environment) = before.environments.get(&rule.name) else { continue };
            let lives_on = next.environments.values().any(|one| Arc::ptr_eq(one, environment));
            let known = superseded.iter().any(|(_, one)| Weak::ptr_eq(one, &Arc::downgrade(environment)));
            if !lives_on && !known {
                superseded.push((Arc::clone(rule), Arc::downgrade(environment)));
            }
        }
    }

    /// The environments that connections have yet, but no rule, of rings in the database.
    fn superseded(&self) -> Vec<(Arc<TtlsRule>, Arc<Environment>)> {
        let superseded = lock(&self.shared.superseded);
        let living = superseded.iter().filter_map(|(rule, one)| Some((Arc::clone(rule), one.upgrade()?)));
        living.filter(|(_, one)| !one.key.parameters.keyring.starts_with('/')).collect()
    }
}

/// The environment of a rule's parameters, taken over when it is known.
pub(crate) fn environment(
    rule: &TtlsRule,
    parameters: &SecurityParameters,
    settings: &Settings,
    known: &mut HashMap<Key, Arc<Environment>>,
) -> Result<Arc<Environment>, InstallError> {
    let (location, ring) = read_ring(rule, parameters, settings)?;
    environment_of(rule, parameters, settings, &location, &ring, known)
}

/// The environment of a rule whose ring may have changed in the database; rings in files are read with the policy.
fn reread(
    rule: &TtlsRule,
    old: &Arc<Environment>,
    settings: &Settings,
    known: &mut HashMap<Key, Arc<Environment>>,
) -> Result<Arc<Environment>, InstallError> {
    let parameters = &old.key.parameters;
    if parameters.keyring.starts_with('/') {
        return Ok(Arc::clone(old));
    }
    let (location, ring) = read_ring(rule, parameters, settings)?;
    if ring.fingerprint() == old.key.ring {
        old.reopen();
        return Ok(Arc::clone(old));
    }
    environment_of(rule, parameters, settings, &location, &ring, known)
}

fn read_ring(
    rule: &TtlsRule,
    parameters: &SecurityParameters,
    settings: &Settings,
) -> Result<(RingLocation, Ring), InstallError> {
    let keyring = |source| InstallError::Keyring {
        rule: rule.name.clone(),
        environment: parameters.environment.clone(),
        source: Box::new(source),
    };
    let location = RingLocation::resolve(&parameters.keyring, &settings.ring_owner).map_err(keyring)?;
    let ring =
        settings.rings.read(&location, parameters.keyring_password.as_ref().map(Password::reveal)).map_err(keyring)?;
    Ok((location, ring))
}

fn environment_of(
    rule: &TtlsRule,
    parameters: &SecurityParameters,
    settings: &Settings,
    location: &RingLocation,
    ring: &Ring,
    known: &mut HashMap<Key, Arc<Environment>>,
) -> Result<Arc<Environment>, InstallError> {
    let files = parameters.revocation.as_ref().map(|revocation| revocation.files.as_slice()).unwrap_or_default();
    let lists = Lists::read(files).map_err(|(path, source)| InstallError::RevocationList {
        rule: rule.name.clone(),
        environment: parameters.environment.clone(),
        path,
        source,
    })?;
    let key = Key { parameters: parameters.clone(), ring: ring.fingerprint(), lists: lists.fingerprint() };
    if let Some(found) = known.get(&key) {
        found.reopen();
        return Ok(Arc::clone(found));
    }
    let made = Arc::new(Environment::new(rule, key.clone(), location, ring, lists, settings)?);
    known.insert(key, Arc::clone(&made));
    Ok(made)
}
