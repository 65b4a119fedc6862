//! What is stored, and how it came to be: one counter of versions for everything, and the last minutes of the past, for
//! watches and for reads that are behind.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::kinds::{KINDS, Kind};
use super::random::Random;

/// Of a kind's plural, a namespace (empty where there is none) and a name.
pub(super) type Id = (&'static str, String, String);

/// The past that is remembered, as etcd remembers it.
const REMEMBERED: Duration = Duration::from_secs(300);
/// Also bounded by count.
const MOST_CHANGES: usize = 20_000;
/// A cluster has a past when the simulation begins, and nobody remembers it.
const FIRST_VERSION: u64 = 1_000;
/// The date at which every simulation begins.
pub const BEGINNING: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// One change of one object.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) at: Instant,
    pub(super) id: Id,
    pub(super) before: Option<Arc<Value>>,
    /// `None`: the object is gone.
    pub(super) after: Option<Arc<Value>>,
}

/// Everything that the API server knows.
#[derive(Debug)]
pub(super) struct State {
    /// The version of the last change.
    pub(super) version: u64,
    pub(super) objects: BTreeMap<Id, Arc<Value>>,
    log: VecDeque<Change>,
    /// Changes up to this version are forgotten.
    pub(super) floor: u64,
    /// How often each kind has changed.
    pub(super) changes: BTreeMap<&'static str, u64>,
    /// How often all watches were ended.
    pub(super) breaks: u64,
    /// Something may have lost its owner, or waits for the garbage collector.
    pub(super) litter: bool,
    pub(super) random: Random,
    started: Instant,
}

impl State {
    pub(super) fn new(seed: u64) -> State {
        State {
            version: FIRST_VERSION,
            objects: BTreeMap::new(),
            log: VecDeque::new(),
            floor: FIRST_VERSION,
            changes: BTreeMap::new(),
            breaks: 0,
            litter: false,
            random: Random::new(seed),
            started: Instant::now(),
        }
    }

    /// The date now.
    pub(super) fn wall(&self) -> Timestamp {
        let since = SignedDuration::try_from(self.started.elapsed()).unwrap_or_default();
        BEGINNING.checked_add(since).unwrap_or(Timestamp::MAX)
    }

    pub(super) fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.objects.get(&(kind.plural, namespace.to_owned(), name.to_owned())).cloned()
    }

    /// Stores an object under the next version.
    pub(super) fn put(&mut self, id: Id, mut object: Value) -> Arc<Value> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = Arc::new(object);
        let before = self.objects.insert(id.clone(), object.clone());
        self.litter |= may_be_litter(before.as_deref(), &object);
        self.log(id, before, Some(object.clone()));
        object
    }

    /// Takes an object away; answers with what was there, under the version of its end.
    pub(super) fn erase(&mut self, id: &Id) -> Option<Arc<Value>> {
        let before = self.objects.remove(id)?;
        self.version += 1;
        self.litter = true;
        self.log(id.clone(), Some(before.clone()), None);
        Some(Arc::new(at_version(&before, self.version)))
    }

    fn log(&mut self, id: Id, before: Option<Arc<Value>>, after: Option<Arc<Value>>) {
        let at = Instant::now();
        *self.changes.entry(id.0).or_default() += 1;
        self.log.push_back(Change { version: self.version, at, id, before, after });
        while self.log.len() > MOST_CHANGES || self.log.front().is_some_and(|change| at - change.at > REMEMBERED) {
            if let Some(forgotten) = self.log.pop_front() {
                self.floor = forgotten.version;
            }
        }
    }

    /// The first change after a version.
    pub(super) fn change_after(&self, version: u64) -> Option<&Change> {
        self.log.get(self.log.partition_point(|change| change.version <= version))
    }

    /// The version that was the last one so long ago, as far as that is remembered.
    pub(super) fn version_before(&self, age: Duration) -> u64 {
        if age.is_zero() {
            return self.version;
        }
        let now = Instant::now();
        let later = self.log.partition_point(|change| now - change.at >= age);
        later.checked_sub(1).map_or(self.floor, |last| self.log[last].version)
    }

    /// The objects of a kind, in one namespace or in all, as they were at a version.
    pub(super) fn listed(&self, kind: &Kind, namespace: Option<&str>, version: u64) -> BTreeMap<Id, Arc<Value>> {
        let here = |id: &Id| id.0 == kind.plural && namespace.is_none_or(|namespace| id.1 == namespace);
        let first = (kind.plural, namespace.unwrap_or_default().to_owned(), String::new());
        let from = self.objects.range(first..).take_while(|(id, _)| here(id));
        let mut found: BTreeMap<Id, Arc<Value>> = from.map(|(id, object)| (id.clone(), object.clone())).collect();
        for change in self.log.iter().rev().take_while(|change| change.version > version) {
            if here(&change.id) {
                match &change.before {
                    Some(before) => found.insert(change.id.clone(), before.clone()),
                    None => found.remove(&change.id),
                };
            }
        }
        found
    }

    /// One object as it was at a version.
    pub(super) fn get_at(&self, kind: &Kind, namespace: &str, name: &str, version: u64) -> Option<Arc<Value>> {
        let mut found = self.get(kind, namespace, name);
        for change in self.log.iter().rev().take_while(|change| change.version > version) {
            if change.id.0 == kind.plural && change.id.1 == namespace && change.id.2 == name {
                found.clone_from(&change.before);
            }
        }
        found
    }

    /// Forgets the past.
    pub(super) fn compact(&mut self) {
        self.log.clear();
        self.floor = self.version;
    }

    /// Goes back to what was stored at a version.
    pub(super) fn restore(&mut self, objects: BTreeMap<Id, Arc<Value>>, version: u64) {
        self.objects = objects;
        self.version = version;
        for kind in &KINDS {
            *self.changes.entry(kind.plural).or_default() += 1;
        }
        self.breaks += 1;
        self.litter = true;
        self.compact();
    }
}

/// The same object under another version.
pub(super) fn at_version(object: &Value, version: u64) -> Value {
    let mut object = object.clone();
    object["metadata"]["resourceVersion"] = json!(version.to_string());
    object
}

/// The object's id.
pub(super) fn id_of(kind: &Kind, object: &Value) -> Id {
    let meta = &object["metadata"];
    let text = |name: &str| meta[name].as_str().unwrap_or_default().to_owned();
    (kind.plural, if kind.namespaced { text("namespace") } else { String::new() }, text("name"))
}

/// The kind of a stored object.
pub(super) fn kind_of(id: &Id) -> &'static Kind {
    KINDS.iter().find(|kind| kind.plural == id.0).unwrap_or(&KINDS[0])
}

/// Whether the garbage collector has to look at a change.
fn may_be_litter(before: Option<&Value>, after: &Value) -> bool {
    let owners = |object: &Value| object["metadata"].get("ownerReferences").cloned();
    let owned_anew = owners(after).is_some() && before.and_then(owners) != owners(after);
    owned_anew || after["metadata"].get("deletionTimestamp").is_some()
}
