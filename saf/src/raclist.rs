//! The profiles of a class in storage, as small and as quick to find as a million of them must be.
//!
//! Names lie behind one another, access lists too. A resource's discrete profile is found by its whole name; generic ones
//! by what stands before their first `*`, `%` or `&`: of two that match, the one with more there is the more specific, so the
//! longest beginnings are tried first, and the first match wins.

use hashbrown::HashTable;

use crate::access::{Access, Userid};
use crate::pattern::{self, Values};
use crate::profile::ProfileName;

/// No resource name is longer.
pub(crate) const MAX_NAME: usize = 246;

/// A profile with what decides, as it comes from the database.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) name: ProfileName,
    pub(crate) uacc: Access,
    pub(crate) owner: Userid,
    pub(crate) warning: bool,
    pub(crate) notify: Option<Userid>,
    pub(crate) audit: Auditing,
    pub(crate) global_audit: Auditing,
    pub(crate) access: Vec<Entry>,
    pub(crate) conditional: Vec<Conditional>,
}

/// An entry of an access list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Entry {
    pub(crate) id: Userid,
    pub(crate) access: Access,
}

/// An entry that counts under a condition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Conditional {
    pub(crate) entry: Entry,
    /// `SERVAUTH`, `TERMINAL`, `CONSOLE`, …
    pub(crate) class: Box<str>,
    pub(crate) name: Box<str>,
}

/// From which level on accesses are recorded.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Auditing {
    pub(crate) success: Option<Access>,
    pub(crate) failures: Option<Access>,
}

/// RACF's default.
#[cfg(test)]
pub(crate) const FAILURES: Auditing = Auditing { success: None, failures: Some(Access::Read) };

/// The profiles.
#[derive(Debug, Default)]
pub(crate) struct Raclist {
    names: Vec<u8>,
    /// The generic ones, the most specific first; then those that are generic without a generic character; then the discrete.
    records: Vec<Record>,
    entries: Vec<Entry>,
    conditional: Vec<Conditional>,
    /// Discrete profiles by name.
    discrete: HashTable<u32>,
    /// Generic profiles without a generic character, by name.
    qualified: HashTable<u32>,
    /// By what stands before the first generic character: the first of the generics that begin so.
    generic: HashTable<u32>,
    /// Whether generics have this much before their first generic character.
    beginnings: Lengths,
}

#[derive(Debug)]
struct Record {
    name: u32,
    entries: u32,
    conditional: u32,
    entry_count: u32,
    owner: Userid,
    notify: Option<Userid>,
    conditional_count: u16,
    length: u8,
    /// How much of the name stands before the first generic character.
    beginning: u8,
    uacc: Access,
    audit: Auditing,
    global_audit: Auditing,
    warning: bool,
    generic: bool,
}

/// A set of lengths up to 255.
#[derive(Debug, Default)]
struct Lengths([u64; 4]);

impl Lengths {
    fn insert(&mut self, length: usize) {
        if let Some(word) = self.0.get_mut(length / 64) {
            *word |= 1 << (length % 64);
        }
    }

    fn contains(&self, length: usize) -> bool {
        self.0.get(length / 64).is_some_and(|word| word >> (length % 64) & 1 == 1)
    }
}

/// A profile in storage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    list: &'a Raclist,
    record: &'a Record,
}

impl Raclist {
    /// Puts profiles into storage.
    pub(crate) fn new(mut profiles: Vec<Profile>) -> Self {
        profiles.sort_unstable_by(|a, b| {
            rank(&a.name)
                .cmp(&rank(&b.name))
                .then_with(|| a.name.specificity(&b.name))
                .then_with(|| a.name.as_str().cmp(b.name.as_str()))
        });
        let mut list = Self {
            names: Vec::with_capacity(profiles.iter().map(|profile| profile.name.as_str().len()).sum()),
            records: Vec::with_capacity(profiles.len()),
            entries: Vec::with_capacity(profiles.iter().map(|profile| profile.access.len()).sum()),
            discrete: HashTable::with_capacity(profiles.iter().filter(|profile| !profile.name.is_generic()).count()),
            ..Self::default()
        };
        for profile in profiles {
            list.push(profile);
        }
        list.names.shrink_to_fit();
        list.generic.shrink_to_fit(|index| hash(beginning(&list.names, &list.records, *index)));
        list
    }

    fn push(&mut self, mut profile: Profile) {
        let name = profile.name.as_str().as_bytes();
        let generic = profile.name.is_generic();
        let beginning_length = if generic { pattern::literal_prefix(name) } else { name.len() };
        let at = index(self.records.len());
        profile.access.sort_unstable_by_key(|entry| entry.id);
        self.records.push(Record {
            name: index(self.names.len()),
            length: u8::try_from(name.len()).unwrap_or(u8::MAX),
            beginning: u8::try_from(beginning_length).unwrap_or(u8::MAX),
            entries: index(self.entries.len()),
            entry_count: index(profile.access.len()),
            conditional: index(self.conditional.len()),
            conditional_count: u16::try_from(profile.conditional.len()).unwrap_or(u16::MAX),
            owner: profile.owner,
            notify: profile.notify,
            uacc: profile.uacc,
            audit: profile.audit,
            global_audit: profile.global_audit,
            warning: profile.warning,
            generic,
        });
        self.names.extend_from_slice(name);
        self.entries.append(&mut profile.access);
        self.conditional.append(&mut profile.conditional);
        let Self { names, records, .. } = self;
        let rehash = |index: &u32| hash(beginning(names, records, *index));
        let own = beginning(names, records, at);
        if !generic {
            self.discrete.insert_unique(hash(own), at, rehash);
        } else if own.len() == profile.name.as_str().len() {
            self.qualified.insert_unique(hash(own), at, rehash);
        } else if self.generic.find(hash(own), |first| beginning(names, records, *first) == own).is_none() {
            self.beginnings.insert(beginning_length);
            self.generic.insert_unique(hash(own), at, rehash);
        }
    }

    /// The profile that covers a resource: the discrete one, else the most specific generic, if those count.
    pub(crate) fn covering(&self, resource: &[u8], generics: bool, values: Values<'_>) -> Option<Found<'_>> {
        let mut hashes = [SEED; MAX_NAME + 2];
        // `A.**` covers A too.
        let bytes = resource.iter().copied().chain([b'.']);
        let mut state = SEED;
        for (place, byte) in hashes.iter_mut().skip(1).zip(bytes) {
            state = step(state, byte);
            *place = state;
        }
        let hash_of = |length: usize| finish(hashes.get(length).copied().unwrap_or_default());
        if resource.len() > MAX_NAME {
            return None;
        }
        let whole = |index: &u32| beginning(&self.names, &self.records, *index) == resource;
        let discrete = self.discrete.find(hash_of(resource.len()), whole);
        let qualified = || self.qualified.find(hash_of(resource.len()), whole).filter(|_| generics);
        if let Some(index) = discrete.or_else(qualified) {
            return self.found(*index);
        }
        let lengths = (0..=resource.len() + 1).rev().filter(|length| generics && self.beginnings.contains(*length));
        for length in lengths {
            let begins_so = |beginning: &[u8]| match resource.get(..length) {
                Some(head) => beginning == head,
                None => beginning.strip_suffix(b".") == Some(resource),
            };
            let same = |index: &u32| begins_so(beginning(&self.names, &self.records, *index));
            let Some(first) = self.generic.find(hash_of(length), same) else { continue };
            let all = (*first..).map_while(|index| self.found(index));
            let found = all.take_while(|found| begins_so(found.beginning())).find(|found| {
                let (name, resource) = match resource.get(length..) {
                    Some(tail) => (found.name().get(length..).unwrap_or_default(), tail),
                    None => (found.name(), resource),
                };
                pattern::matches(name, resource, values)
            });
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Every profile that covers a resource, in the order in which they are tried.
    pub(crate) fn all_covering<'a>(
        &'a self,
        resource: &'a [u8],
        generics: bool,
        values: Values<'a>,
    ) -> impl Iterator<Item = Found<'a>> {
        let whole = move |generic: bool| {
            let same = move |found: &Found<'a>| found.is_generic() == generic && found.name() == resource;
            self.iter().filter(same).filter(move |_| generics || !generic)
        };
        let generic = self.iter().filter(move |found| {
            let matching = || pattern::matches(found.name(), resource, values);
            generics && found.is_generic() && found.name() != resource && matching()
        });
        whole(false).chain(whole(true)).chain(generic)
    }

    /// Every profile: generics in their order, then discrete ones by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Found<'_>> {
        self.records.iter().map(|record| Found { list: self, record })
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    fn found(&self, index: u32) -> Option<Found<'_>> {
        let record = self.records.get(usize::try_from(index).ok()?)?;
        Some(Found { list: self, record })
    }
}

impl<'a> Found<'a> {
    /// Its name.
    pub(crate) fn name(&self) -> &'a [u8] {
        slice(&self.list.names, self.record.name, u32::from(self.record.length))
    }

    pub(crate) fn profile_name(&self) -> ProfileName {
        ProfileName::stored(String::from_utf8_lossy(self.name()).into_owned(), self.record.generic)
    }

    fn beginning(&self) -> &'a [u8] {
        slice(&self.list.names, self.record.name, u32::from(self.record.beginning))
    }

    pub(crate) fn is_generic(&self) -> bool {
        self.record.generic
    }

    pub(crate) fn uacc(&self) -> Access {
        self.record.uacc
    }

    pub(crate) fn owner(&self) -> Userid {
        self.record.owner
    }

    pub(crate) fn warning(&self) -> bool {
        self.record.warning
    }

    pub(crate) fn notify(&self) -> Option<Userid> {
        self.record.notify
    }

    pub(crate) fn audit(&self) -> [Auditing; 2] {
        [self.record.audit, self.record.global_audit]
    }

    /// The standard access list, by id.
    pub(crate) fn access(&self) -> &'a [Entry] {
        slice(&self.list.entries, self.record.entries, self.record.entry_count)
    }

    /// The level an id has in the standard access list.
    pub(crate) fn entry(&self, id: Userid) -> Option<Entry> {
        let list = self.access();
        list.binary_search_by_key(&id, |entry| entry.id).ok().and_then(|at| list.get(at)).copied()
    }

    /// The conditional access list.
    pub(crate) fn conditional(&self) -> &'a [Conditional] {
        slice(&self.list.conditional, self.record.conditional, u32::from(self.record.conditional_count))
    }
}

/// Where a profile stands: those with generic characters, those that are generic without one, discrete ones.
fn rank(name: &ProfileName) -> u8 {
    let wild = pattern::literal_prefix(name.as_str().as_bytes()) < name.as_str().len();
    match (name.is_generic(), wild) {
        (true, true) => 0,
        (true, false) => 1,
        (false, _) => 2,
    }
}

/// What of a profile's name stands before the first generic character; a discrete one's whole name.
fn beginning<'a>(names: &'a [u8], records: &[Record], index: u32) -> &'a [u8] {
    let record = usize::try_from(index).ok().and_then(|index| records.get(index));
    record.map_or(&[], |record| slice(names, record.name, u32::from(record.beginning)))
}

fn slice<T>(all: &[T], from: u32, count: u32) -> &[T] {
    let (from, count) = (from as usize, count as usize);
    all.get(from..from + count).unwrap_or_default()
}

/// A class has fewer than 2³² profiles, entries and bytes of names: `load` refuses more.
fn index(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

const SEED: u64 = 0x243F_6A88_85A3_08D3;

/// A hash that is known for every beginning of a name once the name is read. Only administrators choose profile names.
fn step(state: u64, byte: u8) -> u64 {
    (state.rotate_left(5) ^ u64::from(byte)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn finish(state: u64) -> u64 {
    state ^ (state >> 32)
}

fn hash(name: &[u8]) -> u64 {
    finish(name.iter().fold(SEED, |state, byte| step(state, *byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class;
    use crate::pattern::Variables;

    fn raclist(names: &[&str]) -> Raclist {
        Raclist::new(profiles(names))
    }

    fn profiles(names: &[&str]) -> Vec<Profile> {
        let class = class::find("XFACILIT").expect("a class");
        let profile = |name: &&str| Profile {
            name: ProfileName::parse(name, true, class).expect(name),
            uacc: Access::None,
            owner: Userid::RACUID,
            warning: false,
            notify: None,
            audit: FAILURES,
            global_audit: Auditing::default(),
            access: Vec::new(),
            conditional: Vec::new(),
        };
        names.iter().map(profile).collect()
    }

    #[test]
    fn the_worked_examples_have_their_winners() {
        let variables = Variables::new();
        for (resource, profiles, winner) in [
            (
                "EZB.PORTACCESS.SYSA.TCPIP.WEB",
                vec!["EZB.**", "EZB.PORTACCESS.**", "EZB.PORTACCESS.*.*.WEB", "EZB.PORTACCESS.SYSA.**"],
                Some("EZB.PORTACCESS.SYSA.**"),
            ),
            (
                "EZB.PORTACCESS.SYSB.TCPIP.WEB",
                vec!["EZB.**", "EZB.PORTACCESS.**", "EZB.PORTACCESS.*.*.WEB", "EZB.PORTACCESS.SYSA.**"],
                Some("EZB.PORTACCESS.*.*.WEB"),
            ),
            (
                "EZB.PORTACCESS.SYSA.TCPIP.WEB",
                vec!["EZB.PORTACCESS.SYSA.**", "EZB.PORTACCESS.SYSA.TCPIP.W*", "EZB.PORTACCESS.SYSA.TCPIP.W%%"],
                Some("EZB.PORTACCESS.SYSA.TCPIP.W%%"),
            ),
            (
                "EZB.FTP.SYSA.FTPD1.ACCESS.HFS",
                vec!["EZB.FTP.SYSA.**", "EZB.FTP.*.*.ACCESS.HFS"],
                Some("EZB.FTP.SYSA.**"),
            ),
            (
                "MVS.VARY.TCPIP.DROP",
                vec!["MVS.VARY.TCPIP.**", "MVS.VARY.TCPIP.*", "MVS.VARY.TCPIP*", "MVS.VARY.*.DROP"],
                Some("MVS.VARY.TCPIP.*"),
            ),
            (
                "MVS.VARY.TCPIP",
                vec!["MVS.VARY.TCPIP.**", "MVS.VARY.TCPIP.*", "MVS.VARY.TCPIP*"],
                Some("MVS.VARY.TCPIP.**"),
            ),
            ("EZB.X", vec!["EZB.*", "EZB.**", "EZB*"], Some("EZB.*")),
            ("EZB.X", vec!["**", "EZB.X", "EZB.*"], Some("EZB.X")),
            ("OTHER", vec!["**.Y", "EZB.**"], None),
        ] {
            let raclist = raclist(&profiles);
            let values = Values::of(&variables);
            let found = raclist.covering(resource.as_bytes(), true, values).map(|found| found.profile_name());
            assert_eq!(found.as_ref().map(ProfileName::as_str), winner, "{resource}");
            let first = raclist.all_covering(resource.as_bytes(), true, values).next();
            assert_eq!(first.map(|found| found.profile_name()), found, "{resource}");
        }
    }

    #[test]
    fn the_fully_qualified_generic_counts_after_the_discrete_and_only_with_generics() {
        let variables = Variables::new();
        let mut profiles = profiles(&["A.*", "A.B.C.**", "A.B*", "**"]);
        let qualified =
            |generic| Profile { name: ProfileName::stored("A.B".to_owned(), generic), ..profiles[0].clone() };
        let both = [qualified(true), qualified(false)];
        profiles.push(both[0].clone());
        let one = Raclist::new(profiles.clone());
        profiles.push(both[1].clone());
        let two = Raclist::new(profiles);
        let found = |list: &Raclist, resource: &str, generics| {
            let values = Values::of(&variables);
            let found =
                list.covering(resource.as_bytes(), generics, values).map(|found| found.profile_name().to_string());
            let first = list.all_covering(resource.as_bytes(), generics, values).next();
            assert_eq!(first.map(|found| found.profile_name().to_string()), found, "{resource}");
            found
        };
        assert_eq!(found(&two, "A.B", true).as_deref(), Some("A.B"));
        assert_eq!(found(&one, "A.B", true).as_deref(), Some("A.B (G)"));
        assert_eq!(found(&one, "A.B", false), None);
        assert_eq!(found(&one, "A.BX.C", true).as_deref(), Some("A.B* (G)"), "the profile between does not hide it");
        assert_eq!(found(&one, "A.C", true).as_deref(), Some("A.* (G)"));
        assert_eq!(
            one.covering("A".repeat(300).as_bytes(), true, Values::of(&variables)).map(|found| found.uacc()),
            None
        );
    }
}
