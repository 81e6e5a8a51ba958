//! All that is known, behind one lock: what is true, what arrived, what callers were told, what was wrong with it.

use std::sync::{Arc, Mutex, MutexGuard};

use super::book::Book;
use super::floors::Floors;
use super::http::Response;
use super::jobs::{Jobs, Task};
use super::pools::Pools;
use super::rosters::Rosters;
use super::tally::Tally;
use super::weather::Weather;
use super::world::{Kind, World};

pub struct State {
    pub world: World,
    pub jobs: Jobs,
    pub book: Book,
    pub floors: Floors,
    pub rosters: Rosters,
    pub pools: Pools,
    pub tally: Tally,
    pub weather: Weather,
    pub random: fastrand::Rng,
    /// Jobs that were accepted and are not done yet.
    pub due: Vec<u64>,
}

#[derive(Clone)]
pub struct Truth(Arc<Mutex<State>>);

impl Truth {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            world: World::new(),
            jobs: Jobs::default(),
            book: Book::default(),
            floors: Floors::default(),
            rosters: Rosters::default(),
            pools: Pools::default(),
            tally: Tally::default(),
            weather: Weather::FAIR,
            random: fastrand::Rng::with_seed(seed),
            due: Vec::new(),
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics under the lock")
    }
}

impl State {
    /// Accepts a job, and does it now or lets it be due; answers with its status.
    pub fn start(&mut self, nonce: u64, task: Task) -> Response {
        let number = self.jobs.add(nonce, task);
        if self.random.bool() {
            self.carry_out(number);
        } else {
            self.due.push(number);
        }
        let id = self.jobs.newest(0).expect("it was just added");
        self.jobs.one(&id)
    }

    /// Judges writes that are over, and forgets what nobody asks for any more.
    pub fn clean(&mut self, grace: u64) {
        for (nonce, entry) in self.book.over(grace) {
            self.judge_over(nonce, &entry);
        }
        for stray in std::mem::take(&mut self.book.strays) {
            self.tally.wrong("a write arrived long after its call", || stray);
        }
        self.world.clean();
        let world = &self.world;
        self.floors.retain(|kind, id| world.ever(kind, id).is_some());
        let gone = self.pools.expired();
        for (user, group) in gone {
            let row = world.live(Kind::Membership).find(|row| row.user == user && row.group == group).map(|row| row.id);
            self.pools.free(row, user, group);
        }
    }
}
