//! What decisions are made from: an immutable copy of the database's relevant part.

use std::collections::HashMap;
use std::sync::Arc;

use crate::access::Access;
use crate::profile::ProfileName;

/// Users, their groups, and the profiles of each class as they were when the class was last RACLISTed or changed.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(crate) users: Arc<HashMap<String, User>>,
    pub(crate) classes: HashMap<String, Arc<Class>>,
}

/// A user.
#[derive(Clone, Debug, Default)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) default_group: String,
    pub(crate) groups: Vec<String>,
    pub(crate) special: bool,
    pub(crate) auditor: bool,
    pub(crate) restricted: bool,
    pub(crate) revoked: bool,
}

/// A class's switches and profiles.
#[derive(Clone, Debug, Default)]
pub(crate) struct Class {
    pub(crate) active: bool,
    pub(crate) generic: bool,
    pub(crate) raclist: bool,
    pub(crate) discrete: HashMap<String, Profile>,
    /// The most specific first, so that the first that matches wins.
    pub(crate) generics: Vec<Profile>,
}

/// A profile.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) name: ProfileName,
    pub(crate) uacc: Access,
    pub(crate) owner: String,
    pub(crate) warning: bool,
    pub(crate) data: String,
    /// Users, groups and `*`.
    pub(crate) access: Vec<(String, Access)>,
}

impl Class {
    /// Sorts profiles into a class.
    pub(crate) fn with(mut self, profiles: Vec<Profile>) -> Self {
        for profile in profiles {
            if profile.name.is_generic() {
                self.generics.push(profile);
            } else {
                self.discrete.insert(profile.name.as_str().to_owned(), profile);
            }
        }
        self.generics.sort_by(|a, b| a.name.specificity(&b.name));
        self
    }

    /// The profile that covers a resource: the discrete one, else the most specific generic.
    pub(crate) fn covering(&self, resource: &str) -> Option<&Profile> {
        let generics = self.generics.iter().filter(|_| self.generic);
        self.discrete.get(resource).or_else(|| generics.into_iter().find(|profile| profile.name.matches(resource)))
    }
}
