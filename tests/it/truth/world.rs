//! What is true: the records of the account, each with a version, and when each version came to be.
//!
//! Every record that is shown carries a stamp in its `url`, a field that the contract passes through: which record it is, which
//! version, and which call wrote that. A reply can therefore be traced to one moment of one record.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::clock::{SECOND, now};
use super::floors::{COUNT, COUNT_OF_DELETED};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    User,
    Group,
    Membership,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::User, Self::Group, Self::Membership];

    fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Membership => "membership",
        }
    }
}

/// Users whom nothing deletes. The last ones are those whose groups are set as a whole.
pub const USERS: std::ops::RangeInclusive<i64> = 1001..=1024;
/// Users whose groups are set as a whole.
pub const SET_USERS: std::ops::RangeInclusive<i64> = 1021..=1024;
/// Groups that nothing deletes: the first ones have members by single writes,
pub const GROUPS: std::ops::RangeInclusive<i64> = 101..=106;
/// those of the next ones are set as a whole,
pub const SET_GROUPS: std::ops::RangeInclusive<i64> = 104..=106;
/// and these only have members whose groups are set as a whole.
pub const GROUPS_OF_SET_USERS: std::ops::RangeInclusive<i64> = 111..=116;
/// Ids from here on are of records that callers created.
pub const CREATED: i64 = 1_000_000;
/// How long a record that a caller created may stay: nobody asks for it any more.
const OLD: u64 = 40 * SECOND;
/// How many versions of a record are remembered.
const REMEMBERED: usize = 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Live,
    /// Deleted, and still shown to whoever asks for it by its id.
    Deleted,
    Gone,
}

/// One change of a record.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    pub version: u64,
    pub at: u64,
    pub nonce: u64,
    pub life: Life,
}

#[derive(Debug, Clone)]
pub struct Record {
    pub kind: Kind,
    pub id: i64,
    pub now: Change,
    pub external_id: String,
    /// Whose membership it is.
    pub user: i64,
    pub group: i64,
    pub default: bool,
    pub history: VecDeque<Change>,
}

/// What a stamp says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub kind: Kind,
    pub id: i64,
    pub version: u64,
    pub nonce: u64,
}

impl Stamp {
    pub fn read(url: &str) -> Option<Self> {
        let (kind, rest) = url.strip_prefix("https://truth.example/")?.split_once('/')?;
        let kind = Kind::ALL.into_iter().find(|known| known.word() == kind)?;
        let (id, rest) = rest.split_once("?v=")?;
        let (version, nonce) = rest.split_once("&n=")?;
        Some(Self { kind, id: id.parse().ok()?, version: version.parse().ok()?, nonce: nonce.parse().ok()? })
    }
}

impl Record {
    pub fn url(&self) -> String {
        let Change { version, nonce, .. } = self.now;
        format!("https://truth.example/{}/{}?v={version}&n={nonce}", self.kind.word(), self.id)
    }

    pub fn json(&self) -> String {
        let (id, url, nonce) = (self.id, self.url(), self.now.nonce);
        match self.kind {
            Kind::User => format!(
                r#"{{"id":{id},"url":"{url}","name":"User {id}","notes":"n{nonce}","external_id":"{}","role":"agent","active":{}}}"#,
                self.external_id,
                self.now.life == Life::Live
            ),
            Kind::Group => {
                let deleted = self.now.life != Life::Live;
                format!(r#"{{"id":{id},"url":"{url}","name":"n{nonce}","description":"{id}","deleted":{deleted}}}"#)
            }
            Kind::Membership => format!(
                r#"{{"id":{id},"url":"{url}","user_id":{},"group_id":{},"default":{}}}"#,
                self.user, self.group, self.default
            ),
        }
    }

    /// The last changes, for a reader.
    pub fn told(&self) -> String {
        let changes = self.history.iter().rev().take(8).rev();
        let changes =
            changes.map(|c| format!("v{} at {} ms by n{} ({:?})", c.version, c.at / 1_000_000, c.nonce, c.life));
        changes.collect::<Vec<_>>().join("; ")
    }
}

/// How many records of a kind there were after each change of that number.
#[derive(Default)]
pub struct Counter(VecDeque<(u64, i64)>);

impl Counter {
    fn add(&mut self, version: u64, by: i64) {
        let before = self.now();
        self.0.push_back((version, before + by));
        if self.0.len() > 10_000 {
            self.0.pop_front();
        }
    }

    pub fn now(&self) -> i64 {
        self.0.back().map_or(0, |(_, count)| *count)
    }

    /// Whether there are more or fewer since this version.
    fn changed(&self, version: u64) -> bool {
        self.0.binary_search_by_key(&version, |(version, _)| *version).is_ok()
    }

    /// Whether there were so many at some moment, from the one on at which this version had come to be.
    pub fn was(&self, count: i64, since: u64) -> bool {
        for (version, then) in self.0.iter().rev() {
            if *then == count {
                return true;
            }
            if *version <= since {
                return false;
            }
        }
        true
    }
}

#[derive(Default)]
pub struct World {
    version: u64,
    next_id: i64,
    pub records: HashMap<Kind, BTreeMap<i64, Record>>,
    /// Records that were removed not long ago.
    gone: BTreeMap<(Kind, i64), Record>,
    pub users: Counter,
    pub groups: Counter,
    pub deleted: Counter,
}

impl World {
    /// An account with its lasting users and groups.
    pub fn new() -> Self {
        let mut world = Self { next_id: CREATED, ..Self::default() };
        USERS.for_each(|id| world.put(Kind::User, id, 0, |user| user.external_id = format!("x{id}")));
        GROUPS.chain(GROUPS_OF_SET_USERS).for_each(|id| world.put(Kind::Group, id, 0, |_| ()));
        world
    }

    fn tick(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    pub fn all(&self, kind: Kind) -> impl DoubleEndedIterator<Item = &Record> {
        self.records.get(&kind).into_iter().flat_map(BTreeMap::values)
    }

    pub fn live(&self, kind: Kind) -> impl DoubleEndedIterator<Item = &Record> {
        self.all(kind).filter(|record| record.now.life == Life::Live)
    }

    pub fn get(&self, kind: Kind, id: i64) -> Option<&Record> {
        self.records.get(&kind)?.get(&id)
    }

    /// A record that is there or was there not long ago.
    pub fn ever(&self, kind: Kind, id: i64) -> Option<&Record> {
        self.get(kind, id).or_else(|| self.gone.get(&(kind, id)))
    }

    fn put(&mut self, kind: Kind, id: i64, nonce: u64, fill: impl FnOnce(&mut Record)) {
        let now = Change { version: self.tick(), at: now(), nonce, life: Life::Live };
        let (external_id, history) = (format!("c{id}"), VecDeque::from([now]));
        let mut record = Record { kind, id, now, external_id, user: 0, group: 0, default: false, history };
        fill(&mut record);
        self.records.entry(kind).or_default().insert(id, record);
        self.count(kind, now.version, 1);
    }

    fn count(&mut self, kind: Kind, version: u64, by: i64) {
        match kind {
            Kind::User => self.users.add(version, by),
            Kind::Group => self.groups.add(version, by),
            Kind::Membership => {}
        }
    }

    /// The counts, as [`floors`](super::floors) names them, that a change of a record of this kind changed.
    pub fn counts_changed_by(&self, kind: Kind, version: u64) -> Vec<i64> {
        let (all, deleted) = match kind {
            Kind::User => (self.users.changed(version), self.deleted.changed(version)),
            Kind::Group => (self.groups.changed(version), false),
            Kind::Membership => (false, false),
        };
        [(all, COUNT), (deleted, COUNT_OF_DELETED)]
            .into_iter()
            .filter_map(|(changed, count)| changed.then_some(count))
            .collect()
    }

    /// Creates a record; returns its id.
    pub fn create(&mut self, kind: Kind, nonce: u64, fill: impl FnOnce(&mut Record)) -> i64 {
        self.next_id += 1;
        self.put(kind, self.next_id, nonce, fill);
        self.next_id
    }

    /// Changes a record that is there; returns its new version.
    pub fn change(&mut self, kind: Kind, id: i64, nonce: u64, change: impl FnOnce(&mut Record)) -> Option<u64> {
        let version = self.tick();
        let record = self.records.get_mut(&kind)?.get_mut(&id)?;
        let before = record.now.life;
        record.now = Change { version, at: now(), nonce, life: before };
        change(record);
        let after = record.now;
        record.history.push_back(after);
        if record.history.len() > REMEMBERED {
            record.history.pop_front();
        }
        if after.life == Life::Gone {
            let record = self.records.get_mut(&kind)?.remove(&id)?;
            self.gone.insert((kind, id), record);
        }
        if before == Life::Live && after.life != Life::Live {
            self.count(kind, version, -1);
        }
        if kind == Kind::User && before != after.life {
            match (before, after.life) {
                (Life::Deleted, _) => self.deleted.add(version, -1),
                (_, Life::Deleted) => self.deleted.add(version, 1),
                _ => {}
            }
        }
        Some(version)
    }

    /// Ends a record; its memberships go with it.
    pub fn end(&mut self, kind: Kind, id: i64, nonce: u64, life: Life) -> Option<u64> {
        let of_it = |row: &&Record| match kind {
            Kind::User => row.user == id,
            Kind::Group => row.group == id,
            Kind::Membership => false,
        };
        let memberships: Vec<i64> = self.all(Kind::Membership).filter(of_it).map(|row| row.id).collect();
        for membership in memberships {
            self.change(Kind::Membership, membership, nonce, |row| row.now.life = Life::Gone);
        }
        self.change(kind, id, nonce, |record| record.now.life = life)
    }

    /// Removes what callers created long ago, and forgets what was removed long ago.
    pub fn clean(&mut self) {
        let before = now().saturating_sub(OLD);
        for kind in [Kind::User, Kind::Group] {
            let old = |record: &&Record| record.id >= CREATED && record.history[0].at < before;
            let old: Vec<i64> = self.all(kind).filter(old).map(|record| record.id).collect();
            for id in old {
                self.end(kind, id, 0, Life::Gone);
            }
        }
        self.gone.retain(|_, record| record.now.at + OLD > now());
    }

    /// The users of a group, or the groups of a user.
    pub fn roster(&self, side: Kind, id: i64) -> Vec<i64> {
        let other = |row: &Record| match side {
            Kind::Group => (row.group == id).then_some(row.user),
            _ => (row.user == id).then_some(row.group),
        };
        let mut rows: Vec<i64> = self.live(Kind::Membership).filter_map(other).collect();
        rows.sort_unstable();
        rows
    }

    /// Whether a user is a member of a group, or was one not long ago.
    pub fn was_member(&self, user: i64, group: i64) -> bool {
        let rows = self.all(Kind::Membership).chain(self.gone.values());
        rows.into_iter().any(|row| (row.kind, row.user, row.group) == (Kind::Membership, user, group))
    }
}
