//! Reads, writes, invalidations and slow fills in every order that chance brings: a read that begins after a write has
//! ended never sees what was there before.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64};

use fastrand::Rng;
use tokio::task::JoinSet;

use super::*;

const RECORDS: usize = 4;
const CALLERS: usize = 25;
const SEEDS: u64 = 20;
const STEPS: usize = 200;

/// The upstream: each write gives its record the next version.
#[derive(Default)]
struct World {
    versions: [u64; RECORDS],
    /// The version that the last write with a known outcome left behind: no read that begins later may see less.
    floors: [u64; RECORDS],
}

#[derive(Clone)]
struct Caller {
    cache: Cache,
    world: Arc<Mutex<World>>,
    seed: u64,
    /// How many in a hundred of the steps that read or write are writes, roughly.
    writes: u8,
    random: Rng,
}

impl Caller {
    fn world<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.world.lock().expect("no panic holds it"))
    }

    async fn pause(&mut self) {
        sleep(ms(self.random.u64(0..40))).await;
    }

    async fn run(mut self) {
        for _ in 0..STEPS {
            let id = self.random.usize(0..RECORDS);
            match self.random.u8(0..100) {
                0..75 if self.random.u8(0..100) < self.writes => self.write(id).await,
                0..60 => self.read(id).await,
                60..90 => self.list().await,
                90..92 => self.cache.invalidate(tag::user(number(id))),
                92..93 => self.cache.invalidate_all(),
                // Long enough for answers to grow stale and old.
                93..94 => sleep(ms(self.random.u64(0..100_000))).await,
                _ => self.pause().await,
            }
        }
    }

    fn control(&mut self) -> Control {
        match self.random.u8(0..10) {
            0 => Control { no_cache: true, ..PLAIN },
            1 => Control { max_age: Some(ms(self.random.u64(0..1_000))), ..PLAIN },
            2 => Control { only_if_cached: true, ..PLAIN },
            _ => PLAIN,
        }
    }

    async fn read(&mut self, id: usize) {
        let floor = self.world(|world| world.floors[id]);
        let key = key(number(id));
        let answer = if self.random.bool() { self.cache.get_fresh(&key) } else { None };
        let answer = if let Some(answer) = answer {
            answer
        } else {
            let (mut upstream, control) = (self.fork(), self.control());
            let fetch = move |_| async move {
                upstream.pause().await;
                let version = upstream.world(|world| world.versions[id]);
                upstream.pause().await;
                if upstream.random.u8(0..10) == 0 { Err(unavailable()) } else { Ok(encode(&[version])) }
            };
            let deadline = within(ms(self.random.u64(1..200)));
            self.cache.read(&key, &record(number(id)), control, deadline, fetch).await
        };
        if let Ok(hit) = answer {
            self.check(&decode(&hit), &[floor], "a record");
        }
    }

    /// Reads all records as a list, whose rows are stored as records.
    async fn list(&mut self) {
        let floors = self.world(|world| world.floors);
        let (mut upstream, control) = (self.fork(), self.control());
        let fetch = move |_| async move {
            let since = upstream.cache.snapshot();
            upstream.pause().await;
            let versions = upstream.world(|world| world.versions);
            upstream.pause().await;
            for (id, version) in versions.iter().enumerate() {
                upstream.cache.fill(&key(number(id)), &record(number(id)), &encode(&[*version]), &since);
            }
            Ok(encode(&versions))
        };
        let deadline = within(ms(self.random.u64(1..200)));
        let policy = Policy::list(tag::users());
        let answer = self.cache.read(&key(-1), &policy, control, deadline, fetch).await;
        if let Ok(hit) = answer {
            self.check(&decode(&hit), &floors, "a list");
        }
    }

    async fn write(&mut self, id: usize) {
        // A write that names its record before it is sent, or only once it is answered.
        let named = self.random.bool();
        let tags = [tag::users(), tag::user(number(id))];
        let mut write = self.cache.begin_write(if named { &tags } else { &tags[..1] });
        if !named {
            write.add_tag_if_unknown(tag::every_user());
        }
        self.pause().await;
        let lands = self.random.u8(0..50);
        if lands == 0 {
            // The gateway gives up first, and the write lands later.
            drop(write);
            sleep(ms(self.random.u64(0..9_000))).await;
            return self.world(|world| world.versions[id] += 1);
        }
        let version = self.world(|world| {
            world.versions[id] += 1;
            world.versions[id]
        });
        self.pause().await;
        if lands == 1 {
            // The write has landed, but the gateway cannot know.
            return drop(write);
        }
        if !named {
            write.add_tag(tag::user(number(id)));
        }
        let since = write.finish();
        self.world(|world| world.floors[id] = world.floors[id].max(version));
        if self.random.bool() {
            self.cache.fill(&key(number(id)), &record(number(id)), &encode(&[version]), &since);
        }
    }

    fn fork(&mut self) -> Self {
        Self { random: self.random.fork(), ..self.clone() }
    }

    #[track_caller]
    fn check(&self, versions: &[u64], floors: &[u64], what: &str) {
        let fits =
            versions.len() == floors.len() && versions.iter().zip(floors).all(|(version, floor)| version >= floor);
        assert!(fits, "seed {}: {what} had versions {versions:?} after writes had left {floors:?}", self.seed);
    }
}

fn number(id: usize) -> i64 {
    i64::try_from(id).expect("a handful")
}

fn encode(versions: &[u64]) -> Bytes {
    versions.iter().flat_map(|version| version.to_be_bytes()).collect()
}

fn decode(hit: &Hit) -> Vec<u64> {
    let words = hit.bytes.chunks_exact(8);
    words.map(|word| u64::from_be_bytes(word.try_into().expect("eight bytes"))).collect()
}

#[test]
#[ignore = "slow"]
fn in_a_hundred_thousand_random_steps_no_read_sees_what_was_there_before_an_ended_write() {
    let mut taken = [0; 6];
    for seed in 0..SEEDS {
        // Back-off is spread at random too.
        fastrand::seed(seed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let counts = runtime.expect("a runtime").block_on(async {
            let mut random = Rng::with_seed(seed);
            let (cache, world) = (cache(), Arc::new(Mutex::new(World::default())));
            let mut callers = JoinSet::new();
            for _ in 0..CALLERS {
                let (cache, world, random) = (cache.clone(), world.clone(), random.fork());
                let writes = [1, 5, 15, 30][usize::try_from(seed % 4).expect("below 4")];
                let caller = Caller { cache, world, seed, writes, random };
                callers.spawn(caller.run());
            }
            callers.join_all().await;
            cache.counts()
        });
        let ways = [counts.hits, counts.stale, counts.misses, counts.coalesced, counts.bypassed, counts.dropped_fills];
        for (sum, way) in taken.iter_mut().zip(ways) {
            *sum += way;
        }
    }
    assert!(taken.iter().all(|way| *way > 100), "every way must be taken: {taken:?}");
}

#[test]
#[ignore = "slow"]
fn threads_that_race_for_a_record_never_see_what_was_there_before_an_ended_write() {
    let cache = cache();
    let (version, floor, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let hits = AtomicU64::new(0);
    let read = || {
        while !over.load(SeqCst) {
            let least = floor.load(SeqCst);
            if let Some(hit) = cache.get_fresh(&key(7)) {
                let seen = decode(&hit.expect("an answer"))[0];
                assert!(seen >= least, "{seen} after {least}");
                hits.fetch_add(1, SeqCst);
            } else {
                let since = cache.snapshot();
                let seen = version.load(SeqCst);
                std::thread::yield_now();
                cache.fill(&key(7), &record(7), &encode(&[seen]), &since);
            }
        }
    };
    let write = || {
        for round in 0..5_000 {
            let write = cache.begin_write(&[tag::user(7)]);
            let written = version.fetch_add(1, SeqCst) + 1;
            let since = write.finish();
            floor.fetch_max(written, SeqCst);
            if round % 2 == 0 {
                cache.fill(&key(7), &record(7), &encode(&[written]), &since);
            }
            std::thread::yield_now();
        }
    };
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(read);
        }
        let writers = [threads.spawn(write), threads.spawn(write)];
        let ended = writers.map(std::thread::ScopedJoinHandle::join);
        over.store(true, SeqCst);
        assert!(ended.iter().all(std::result::Result::is_ok));
    });
    assert!(hits.load(SeqCst) > 0);
}
