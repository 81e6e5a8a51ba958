//! What callers do, and what they see.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::Code;
use tonic::transport::Channel;

use super::families::{Family, Read, Write, Writes};
use super::outcome::{self, Outcome, TIMEOUT};
use super::world::{Key, World};
use crate::fleet::figures::register::Call;
use crate::support::Dynamic;

/// Nobody writes it.
const NEVER: u64 = u64::MAX;

/// How often an RPC was answered, and how often it was not.
type Tally = BTreeMap<(&'static str, &'static str), [usize; 3]>;

/// What all callers share.
pub struct Seen {
    pub began: Instant,
    client: Dynamic,
    world: World,
    pub keys: Vec<(&'static Family, Vec<Key>)>,
    channels: Mutex<Vec<Channel>>,
    pub calls: Mutex<HashMap<Key, Vec<Call>>>,
    values: AtomicU64,
    stale: AtomicUsize,
    unknown: AtomicUsize,
    tally: Mutex<Tally>,
    under_way: AtomicUsize,
    pub end: AtomicBool,
}

impl Seen {
    pub fn new(client: Dynamic, world: World, families: &[&'static Family]) -> Self {
        Self {
            began: Instant::now(),
            keys: families.iter().map(|family| (*family, (family.keys)(&world))).collect(),
            client,
            world,
            channels: Mutex::default(),
            calls: Mutex::default(),
            values: AtomicU64::new(0),
            stale: AtomicUsize::new(0),
            unknown: AtomicUsize::new(0),
            tally: Mutex::default(),
            under_way: AtomicUsize::new(0),
            end: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).expect("not for that long") + 1
    }

    fn note(&self, key: Key, call: Call) {
        self.calls.lock().expect("no panic").entry(key).or_default().push(call);
    }

    fn count(&self, family: &Family, rpc: &'static str, place: usize) {
        self.tally.lock().expect("no panic").entry((family.of, rpc)).or_default()[place] += 1;
    }

    /// Writes a record in one of the ways there are.
    pub async fn write(&self, channel: Channel, family: &'static Family, key: Key) {
        self.write_by(fastrand::choice(family.writes).expect("one"), channel, family, key).await;
    }

    /// Writes a record in this way.
    pub async fn write_by(&self, write: &'static Write, channel: Channel, family: &'static Family, key: Key) {
        let value = match write.writes {
            Writes::New => self.values.fetch_add(1, Ordering::SeqCst) + 1,
            Writes::OneOf(most) => fastrand::u64(1..=most),
            Writes::There(is_there) => u64::from(is_there),
        };
        let Some(request) = (write.request)(&self.world, key, value) else { return };
        let all = write.all.map_or_else(|| vec![(key, value)], |all| all(&self.world, key, value, &request));
        let began = self.now();
        let outcome = outcome::of(&self.client.over(channel), write, &request).await;
        self.count(family, write.rpc, outcome as usize);
        let ended = match outcome {
            Outcome::Done => self.now(),
            Outcome::Refused => return,
            Outcome::Unknown => u64::MAX,
        };
        self.unknown.fetch_add(usize::from(outcome == Outcome::Unknown), Ordering::SeqCst);
        for (key, value) in all {
            self.note(key, Call { value, is_write: true, began, ended });
        }
    }

    /// Reads a record in one of the ways there are.
    pub async fn read(&self, channel: Channel, family: &'static Family, key: Key) {
        self.read_by(fastrand::choice(family.reads).expect("one"), channel, family, key).await;
    }

    /// Reads a record in this way. A read that fails says nothing, but where it says that a record is not there that nobody removes.
    pub async fn read_by(&self, read: &'static Read, channel: Channel, family: &'static Family, key: Key) {
        let Some(request) = (read.request)(&self.world, key) else { return };
        let (client, began) = (self.client.over(channel), self.now());
        let answer = client.call_for_metadata(read.rpc, &request.to_string(), &[TIMEOUT]).await;
        let ended = self.now();
        self.count(family, read.rpc, if answer.is_ok() { 0 } else { 2 });
        let see = |key, value| self.note(key, Call { value, is_write: false, began, ended });
        let (metadata, replies) = match answer {
            Ok(answer) => answer,
            Err(status) if status.code() == Code::NotFound && !family.comes_and_goes() => return see(key, NEVER),
            Err(_) => return,
        };
        if metadata.get("x-cache").is_some_and(|how| how == "stale") {
            self.stale.fetch_add(1, Ordering::SeqCst);
            return;
        }
        let of_family = self.keys.iter().find(|(other, _)| other.of == family.of).map_or(&[][..], |(_, keys)| keys);
        let mut absent: Vec<Key> = of_family.iter().copied().filter(|other| (read.covers)(key, *other)).collect();
        for row in read.rows(&replies) {
            let Some((shown, value)) = (read.shows)(&self.world, key, row) else { continue };
            if !of_family.contains(&shown) {
                continue;
            }
            absent.retain(|other| *other != shown);
            if let Some(id) = row["id"].as_i64().filter(|_| family.comes_and_goes() && !read.is_of_others) {
                self.world.know(shown, id);
            }
            see(shown, value);
        }
        for key in absent {
            see(key, 0);
        }
    }

    /// Reads and writes until the end.
    pub async fn call(&self) {
        while !self.end.load(Ordering::SeqCst) {
            let channel = fastrand::choice(&*self.channels.lock().expect("no panic")).cloned();
            let Some(channel) = channel else {
                sleep(Duration::from_millis(20)).await;
                continue;
            };
            let (family, keys) = fastrand::choice(&self.keys).expect("some");
            let key = *fastrand::choice(keys).expect("some");
            self.under_way.fetch_add(1, Ordering::SeqCst);
            if fastrand::u8(0..3) == 0 {
                self.write(channel, family, key).await;
            } else {
                self.read(channel, family, key).await;
            }
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            sleep(Duration::from_millis(fastrand::u64(1..15))).await;
        }
    }

    /// Lets nobody call, and waits until nobody does.
    pub async fn pause(&self) {
        self.channels.lock().expect("no panic").clear();
        while self.under_way.load(Ordering::SeqCst) > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Lets all call these.
    pub fn balance(&self, channels: Vec<Channel>) {
        *self.channels.lock().expect("no panic") = channels;
    }

    /// What became of calls of which little can be said.
    pub fn told(&self) -> String {
        let (unknown, stale) = (self.unknown.load(Ordering::SeqCst), self.stale.load(Ordering::SeqCst));
        format!("{unknown} writes with an unknown outcome, {stale} marked stale")
    }

    /// A family whose calls all fail would say nothing.
    pub fn check_that_all_was_called(&self) {
        let tally = self.tally.lock().expect("no panic");
        for (family, _) in &self.keys {
            let rpcs = family.writes.iter().map(|write| write.rpc).chain(family.reads.iter().map(|read| read.rpc));
            for rpc in rpcs {
                let [done, refused, failed] = tally.get(&(family.of, rpc)).copied().unwrap_or_default();
                println!("{} by {rpc}: {done} answered, {refused} refused, {failed} lost", family.of);
                assert!(!super::super::full() || done > 0, "{} by {rpc}", family.of);
            }
        }
    }
}
