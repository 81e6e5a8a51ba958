//! What goes wrong in a schedule.

use super::*;

/// How long after a partition two may lead: the one of the lower term learns of the other, from it or from the Lease.
const JOINED: u64 = 6_000;

/// Numbers drawn from a seed (splitmix64).
pub struct Draw(pub u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }
}

#[derive(Clone, Copy)]
pub enum Fault {
    Suspend(usize),
    Resume(usize),
    Restart(usize, bool),
    Part(usize, usize),
    Join(usize, usize),
    Cut(usize),
    Mend(usize),
    Deafen(usize),
    Hear(usize),
    Delete,
    Restore,
    Leave(usize, usize),
}

/// How faults are drawn.
#[derive(Clone, Copy)]
pub struct Kinds {
    pub partitions: bool,
    pub replaced: bool,
}

impl Simulation {
    pub(super) fn draw_faults(&mut self, kinds: Kinds) {
        for _ in 0..self.draw.between(1, 8) {
            let (at, index) = (self.draw.below(FAULTS), usize::try_from(self.draw.below(3)).expect("few"));
            let other = (index + 1 + usize::try_from(self.draw.below(2)).expect("few")) % REPLICAS;
            let long =
                [self.draw.between(100, 4_000), self.draw.between(1_000, 20_000)][usize::from(self.draw.below(2) == 0)];
            let (begin, end) = match self.draw.below(9) {
                0..=2 => (Fault::Suspend(index), Some(Fault::Resume(index))),
                3 => (Fault::Restart(index, self.draw.below(2) == 0), None),
                4 => (Fault::Leave(index, other), None),
                5 => (Fault::Cut(index), Some(Fault::Mend(index))),
                6 if kinds.partitions => (Fault::Part(index, other), Some(Fault::Join(index, other))),
                7 if kinds.replaced => (Fault::Delete, Some(Fault::Restore)),
                8 => (Fault::Deafen(index), Some(Fault::Hear(index))),
                _ => continue,
            };
            self.at(at, What::Fault(begin));
            if let Some(end) = end {
                self.at((at + long).min(FAULTS), What::Fault(end));
            }
        }
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Suspend(index) => self.replicas[index].suspended = true,
            Fault::Resume(index) => {
                self.replicas[index].suspended = false;
                // The first thing that it does may be to answer a call.
                self.check();
                let mut waiting = std::mem::take(&mut self.replicas[index].waiting);
                while !waiting.is_empty() {
                    let next = usize::try_from(self.draw.below(waiting.len() as u64)).expect("few");
                    let message = waiting.swap_remove(next);
                    self.to(index, 0, message);
                }
            }
            Fault::Restart(index, same_pod) => {
                let pod =
                    if same_pod { self.replicas[index].holder.pod.clone() } else { format!("pod-{}", self.lives + 10) };
                let mut replica = self.born(pod);
                replica.cut = self.replicas[index].cut;
                self.replicas[index] = replica;
                let delay = self.draw.between(50, 2_000);
                self.to(index, delay, Message::Tick);
            }
            Fault::Leave(index, other) => self.to(index, 0, Message::Leave(other)),
            Fault::Part(a, b) | Fault::Join(a, b) => {
                let parts = matches!(fault, Fault::Part(..));
                (self.parted[a][b], self.parted[b][a]) = (parts, parts);
                self.excused = self.excused.max(self.now + if parts { FAULTS } else { JOINED });
                // While others are parted still, two may lead.
                if !self.parted.iter().flatten().any(|parted| *parted) {
                    self.excused = self.now + JOINED;
                }
            }
            Fault::Cut(index) => self.replicas[index].cut = true,
            Fault::Mend(index) => self.replicas[index].cut = false,
            Fault::Deafen(index) => self.replicas[index].deaf = true,
            Fault::Hear(index) => self.replicas[index].deaf = false,
            Fault::Delete => {
                self.old = self.lease.clone().unwrap_or(self.old.clone());
                self.lease = None;
            }
            Fault::Restore => {
                if self.lease.is_none() {
                    self.versions += 1;
                    self.restored = Some(self.now);
                    let empty = self.draw.below(2) == 0;
                    let holder = self.old.holder.clone().filter(|_| !empty);
                    let term = if empty { 0 } else { self.old.term };
                    self.lease = Some(Lease { holder, term, version: self.versions.to_string() });
                }
            }
        }
    }
}
