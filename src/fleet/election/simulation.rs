//! Many schedules of a few replicas and one API server, drawn at random: clocks at 0.5 to 2 times the true rate, lost and late
//! answers, suspensions, restarts, hand-overs, internal ports that do not answer, partitions, and a Lease that is deleted and
//! restored from an older copy.
//! `ELECTION_SCHEDULES=1000000 cargo test --release --lib election -- --include-ignored --nocapture` is the long form.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;

mod faults;

use faults::{Draw, Fault, Kinds};

const REPLICAS: usize = 3;
/// When faults end, and when a schedule ends, in milliseconds.
const FAULTS: u64 = 45_000;
const END: u64 = 90_000;
/// The longest way of a message between two replicas that are not parted.
const WAY: u64 = 50;

/// What reaches a replica.
#[derive(Clone)]
enum Message {
    Tick,
    Event(Event),
    /// From this replica, which wants to know whether it leads.
    Asks(usize, u64),
    /// SIGTERM, with the replica that is to lead.
    Leave(usize),
}

enum What {
    /// For this life of a replica.
    To(usize, u64, Message),
    /// A request reaches the API server.
    Request(usize, u64, Number, Option<Lease>),
    /// A fault begins or ends.
    Fault(Fault),
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own")]
struct Replica {
    election: Election,
    holder: Holder,
    life: u64,
    /// Thousandths of the true rate, and what its clock showed when it was started.
    rate: u64,
    begun: u64,
    suspended: bool,
    waiting: Vec<Message>,
    /// When it wrote the Lease last.
    wrote: u64,
    cut: bool,
    deaf: bool,
    left: bool,
}

struct Simulation {
    draw: Draw,
    now: u64,
    order: u64,
    queue: BinaryHeap<Reverse<(u64, u64, usize)>>,
    whats: Vec<Option<What>>,
    replicas: Vec<Replica>,
    parted: [[bool; REPLICAS]; REPLICAS],
    /// Until when two leaders are nobody's fault: while replicas are parted, or the Lease was replaced, and for a while after.
    excused: u64,
    lease: Option<Lease>,
    old: Lease,
    versions: u64,
    lives: u64,
    /// The highest term in which anybody has led.
    term: u64,
    /// True once an older copy of the Lease was restored: whoever is started then cannot know of later terms.
    restored: Option<u64>,
    leads: u64,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let lease = Lease { holder: None, term: 0, version: "0".to_owned() };
        let mut simulation = Self {
            draw: Draw(seed),
            now: 0,
            order: 0,
            queue: BinaryHeap::new(),
            whats: Vec::new(),
            replicas: Vec::new(),
            parted: [[false; REPLICAS]; REPLICAS],
            excused: 0,
            lease: Some(lease.clone()),
            old: lease,
            versions: 0,
            lives: 0,
            term: 0,
            restored: None,
            leads: 0,
        };
        for index in 0..REPLICAS {
            let replica = simulation.born(format!("pod-{index}"));
            simulation.replicas.push(replica);
            let delay = simulation.draw.below(3_000);
            simulation.to(index, delay, Message::Tick);
        }
        simulation
    }

    fn born(&mut self, pod: String) -> Replica {
        self.lives += 1;
        let text = self.lives.to_string();
        let holder = Holder { process: text.clone(), pod, address: text.clone(), key: text };
        // Half of the clocks are right.
        let rate = if self.draw.below(2) == 0 { 1_000 } else { self.draw.between(500, 2_000) };
        let begun = self.now;
        let election = Election::new(holder.clone(), Duration::from_secs(1_000));
        let (suspended, cut, deaf, left) = (false, false, false, false);
        Replica {
            election,
            holder,
            life: self.lives,
            rate,
            begun,
            suspended,
            waiting: Vec::new(),
            wrote: 0,
            cut,
            deaf,
            left,
        }
    }

    fn at(&mut self, delay: u64, what: What) {
        self.order += 1;
        self.queue.push(Reverse((self.now + delay, self.order, self.whats.len())));
        self.whats.push(Some(what));
    }

    fn to(&mut self, index: usize, delay: u64, message: Message) {
        let life = self.replicas[index].life;
        self.at(delay, What::To(index, life, message));
    }

    /// What the replica's own clock shows.
    fn clock(&self, index: usize) -> Duration {
        let replica = &self.replicas[index];
        Duration::from_secs(1_000) + Duration::from_micros((self.now - replica.begun) * replica.rate)
    }

    /// True milliseconds in which a replica's clock goes on by this.
    fn own(&self, index: usize, time: Duration) -> u64 {
        u64::try_from(time.as_millis()).expect("short") * 1_000 / self.replicas[index].rate
    }

    fn run(&mut self, kinds: Kinds) {
        self.draw_faults(kinds);
        while let Some(Reverse((now, _, index))) = self.queue.pop() {
            if now > END {
                break;
            }
            self.now = now;
            match self.whats[index].take().expect("once") {
                What::To(index, life, message) if self.replicas[index].life == life => self.reach(index, message),
                What::To(..) => {}
                What::Request(index, life, number, lease) => self.serve(index, life, number, lease),
                What::Fault(fault) => self.fault(fault),
            }
            self.check();
        }
        self.check_the_end();
    }

    /// A message reaches a replica, now or when it is resumed.
    fn reach(&mut self, index: usize, message: Message) {
        if self.replicas[index].suspended {
            return self.replicas[index].waiting.push(message);
        }
        let now = self.clock(index);
        let actions = match message {
            Message::Tick => {
                let next = self.own(index, TICK).max(1);
                self.to(index, next, Message::Tick);
                let able = !self.replicas[index].deaf;
                self.replicas[index].election.step(Event::Tick { able }, now)
            }
            Message::Event(event) => self.replicas[index].election.step(event, now),
            Message::Asks(..) if self.replicas[index].deaf => return,
            Message::Asks(from, term) => {
                let actions = self.replicas[index].election.step(Event::Heard(term), now);
                let replica = &mut self.replicas[index];
                let (holder, leads) = (Arc::new(replica.holder.clone()), replica.election.leads(now));
                let answer = Event::Answered { holder, leads, heard: replica.election.heard() };
                self.between(index, from, Message::Event(answer));
                actions
            }
            Message::Leave(other) => {
                let to = Arc::new(self.replicas[other].holder.clone());
                self.replicas[index].left = true;
                self.replicas[index].election.step(Event::HandOver(to), now)
            }
        };
        self.act(index, actions);
    }

    fn between(&mut self, from: usize, to: usize, message: Message) {
        if !self.parted[from][to] {
            let way = self.draw.between(1, WAY);
            self.to(to, way, message);
        }
    }

    fn act(&mut self, index: usize, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Read(number) => self.request(index, number, None),
                Action::Write(number, lease) => self.request(index, number, Some(lease)),
                Action::Ping(to, term) => {
                    if let Some(to) = self.replicas.iter().position(|replica| replica.holder == *to) {
                        self.between(index, to, Message::Asks(index, term));
                    }
                }
                Action::AskAround(term) => {
                    for other in (0..REPLICAS).filter(|other| *other != index) {
                        self.between(index, other, Message::Asks(index, term));
                    }
                }
                Action::Hand(to, term) => {
                    if let Some(to) = self.replicas.iter().position(|replica| replica.holder == *to) {
                        self.between(index, to, Message::Event(Event::Handed(term)));
                    }
                    // It ends, and its pod is replaced.
                    if self.replicas[index].left {
                        self.at(20, What::Fault(Fault::Restart(index, false)));
                    }
                }
                Action::Lead(term) => {
                    self.leads += 1;
                    let excused = self.restored.is_some() || self.now < self.excused;
                    assert!(term > self.term || excused, "term {term} after {} at {}", self.term, self.now);
                    self.term = self.term.max(term);
                }
                Action::Follow => {}
            }
        }
    }

    fn request(&mut self, index: usize, number: Number, lease: Option<Lease>) {
        let life = self.replicas[index].life;
        let timeout = self.own(index, TIMEOUT);
        let none =
            if lease.is_some() { Event::Written(number, Err(Unwritten::Unknown)) } else { Event::Read(number, None) };
        self.to(index, timeout, Message::Event(none));
        let late = self.now < FAULTS && self.draw.below(20) == 0;
        let way = if late { self.draw.between(100, 4_000) } else { self.draw.between(1, 100) };
        let lost = self.now < FAULTS && self.draw.below(50) == 0;
        if !lost && !self.replicas[index].cut {
            self.at(way, What::Request(index, life, number, lease));
        }
    }

    fn serve(&mut self, index: usize, life: u64, number: Number, lease: Option<Lease>) {
        let event = match (lease, &mut self.lease) {
            (None, lease) => Event::Read(number, lease.clone()),
            (Some(_), None) => Event::Written(number, Err(Unwritten::Unknown)),
            (Some(new), Some(lease)) if new.version == lease.version => {
                self.versions += 1;
                *lease = Lease { version: self.versions.to_string(), ..new };
                if self.replicas[index].life == life {
                    self.replicas[index].wrote = self.now;
                }
                Event::Written(number, Ok(self.versions.to_string()))
            }
            (Some(_), Some(_)) => Event::Written(number, Err(Unwritten::Conflict)),
        };
        let late = self.now < FAULTS && self.draw.below(20) == 0;
        let way = if late { self.draw.between(100, 4_000) } else { self.draw.between(1, 100) };
        let lost = self.now < FAULTS && self.draw.below(50) == 0;
        if !lost && !self.replicas[index].cut && self.replicas[index].life == life {
            self.to(index, way, Message::Event(event));
        }
    }

    /// No two replicas may act as leaders at the same moment, unless one of them could not write the Lease since it was replaced:
    /// a replica that was started later, or heard nothing until then, cannot know of it.
    fn check(&mut self) {
        let clocks: [Duration; REPLICAS] = std::array::from_fn(|index| self.clock(index));
        let restored = self.restored.unwrap_or_default();
        let leaders =
            self.replicas.iter_mut().zip(clocks).filter(|(replica, _)| !replica.suspended && replica.wrote >= restored);
        let leaders = leaders.filter_map(|(replica, now)| replica.election.leads(now)).count();
        assert!(leaders <= 1 || self.now < self.excused, "{leaders} leaders at {}", self.now);
    }

    /// Once all is well there is one leader, to whom all others forward.
    fn check_the_end(&mut self) {
        self.now = END;
        let standings: Vec<Standing> = (0..REPLICAS)
            .map(|index| {
                let now = self.clock(index);
                self.replicas[index].election.standing(now)
            })
            .collect();
        let leaders = standings.iter().filter(|standing| matches!(standing, Standing::Leads(_))).count();
        let others = standings.iter().filter(|standing| matches!(standing, Standing::Forwards(..))).count();
        assert!((leaders, others) == (1, REPLICAS - 1), "{standings:?}");
    }
}

fn schedules() -> u64 {
    std::env::var("ELECTION_SCHEDULES").ok().map_or(500, |number| number.parse().expect("a number"))
}

fn simulate(kinds: Kinds, first: u64) {
    let mut leads = 0;
    for seed in first..first + schedules() {
        let ran = std::panic::catch_unwind(|| {
            let mut simulation = Simulation::new(seed);
            simulation.run(kinds);
            simulation.leads
        });
        leads += ran.unwrap_or_else(|_| panic!("the schedule of seed {seed}"));
    }
    println!("{} schedules, a replica began to lead {leads} times", schedules());
}

#[test]
#[ignore = "slow"]
fn no_two_lead_at_once_and_in_the_end_one_does() {
    simulate(Kinds { partitions: false, replaced: false }, 0);
}

#[test]
#[ignore = "slow"]
fn after_a_partition_one_leads() {
    simulate(Kinds { partitions: true, replaced: false }, 1 << 32);
}

#[test]
#[ignore = "slow"]
fn a_lease_that_is_deleted_and_restored_makes_no_second_leader() {
    simulate(Kinds { partitions: false, replaced: true }, 2 << 32);
}
