//! Turns, for work that takes long.
//!
//! A thread does what is ready in the order in which it became so. Peers who keep it busy, each for its share, would make
//! everybody wait for all their shares, at each of the few steps of a call. So long work is done in pieces: after each, all
//! short work has its turn first, what has just come included, and then one piece of whoever has waited longest for it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;
use tokio::time::sleep;

/// How long work may take before it counts as long, and how long a piece of it takes then.
const TURN: Duration = Duration::from_micros(50);
/// How long there is no long work after a part that took far longer than a turn, such as a header of tens of kilobytes, which
/// cannot be read by halves.
const REST: Duration = Duration::from_millis(1);
/// How many bytes are worked on at a time, in a part of a turn. What they cost differs by a hundred times.
const LEAST: usize = 256;
const FIRST: usize = 1 << 10;
const MOST: usize = 64 << 10;

thread_local! {
    /// Who does long work on this thread: one at a time, the others in order.
    static LONG_WORK: Arc<Semaphore> = Arc::new(Semaphore::new(1));
}

type Wait = Pin<Box<dyn Future<Output = OwnedSemaphorePermit> + Send>>;

/// The turns of one who works.
pub struct Turns {
    /// When the present one began, and its latest part.
    since: Option<(Instant, Instant)>,
    wait: Option<Wait>,
    permit: Option<OwnedSemaphorePermit>,
    /// How many bytes to do at a time, how many were done last, and how often in this turn.
    portion: usize,
    did: usize,
    parts: usize,
}

impl Turns {
    /// Nothing is done yet.
    pub fn new() -> Self {
        Self { since: None, wait: None, permit: None, portion: FIRST, did: 0, parts: 0 }
    }

    /// Completes when work may go on, with the number of bytes to do now.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        if self.wait.is_none() {
            let now = Instant::now();
            let (began, latest) = self.since.unwrap_or((now, now));
            let spent = now - latest;
            if spent > TURN / 2 {
                self.portion = (self.portion / 2).max(LEAST);
            } else if spent < TURN / 8 && self.did == self.portion {
                self.portion = (self.portion + LEAST).min(MOST);
            }
            // A single part may have taken long because the system did something else.
            if now - began < TURN || self.parts < 2 {
                self.since = Some((began, now));
                return Poll::Ready(self.portion);
            }
            self.pause();
            self.wait = Some(Box::pin(next(if spent > TURN * 2 { REST } else { Duration::ZERO })));
        }
        if let Some(wait) = &mut self.wait {
            self.permit = Some(ready!(wait.as_mut().poll(context)));
            self.wait = None;
        }
        let now = Instant::now();
        self.since = Some((now, now));
        Poll::Ready(self.portion)
    }

    /// Takes note of how much was done.
    pub fn did(&mut self, bytes: usize) {
        self.did = bytes;
        self.parts += 1;
    }

    /// Ends the turn, because there is nothing to do for now.
    pub fn pause(&mut self) {
        self.since = None;
        self.permit = None;
        (self.did, self.parts) = (0, 0);
    }

    /// Gives up the turn, or the place among those who wait, because nothing can be done until something else happens: who is
    /// not asked for more work would keep it from the others. Whoever had one waits anew.
    pub fn stall(&mut self) {
        let long = self.wait.is_some() || self.permit.is_some();
        self.pause();
        self.wait = long.then(|| -> Wait { Box::pin(next(Duration::ZERO)) });
    }
}

/// Completes when all short work is done and nobody else does long work, which lasts until the permit is dropped.
async fn next(rest: Duration) -> OwnedSemaphorePermit {
    let long_work = LONG_WORK.with(Arc::clone);
    let permit = long_work.acquire_owned().await.expect("it is never closed");
    if rest > Duration::ZERO {
        sleep(rest).await;
    }
    // The runtime looks for new events before it goes on with whoever yields.
    yield_now().await;
    permit
}

/// Completes when all short work is done, for one who waits at a time.
pub async fn after_the_others() {
    drop(next(Duration::ZERO).await);
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Mutex;

    use tokio::sync::mpsc;
    use tokio::task::JoinSet;

    use super::*;

    /// Works without looking up, as one does who reads a flood.
    fn work_for(time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    /// Works in so many parts of a time each, and notes each.
    async fn long_work(parts: usize, each: Duration, note: impl Fn()) {
        let mut turns = Turns::new();
        for _ in 0..parts {
            let portion = poll_fn(|context| turns.poll(context)).await;
            work_for(each);
            turns.did(portion);
            note();
        }
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Did {
        Long,
        Short,
    }

    #[tokio::test]
    async fn short_work_waits_for_one_turn_of_long_work_and_not_for_one_of_each_who_does_it() {
        const HOPS: usize = 40;
        let done = Arc::new(Mutex::new(Vec::new()));
        let mut working = JoinSet::new();
        for _ in 0..8 {
            let done = Arc::clone(&done);
            working.spawn(long_work(60, TURN, move || done.lock().expect("no panic").push(Did::Long)));
        }
        // A call: tasks of which each wakes the next.
        let (to_there, mut from_here) = mpsc::channel(1);
        let (to_here, mut from_there) = mpsc::channel(1);
        working.spawn(async move {
            while let Some(()) = from_here.recv().await {
                to_here.send(()).await.expect("it listens");
            }
        });
        for _ in 0..HOPS {
            to_there.send(()).await.expect("it listens");
            from_there.recv().await.expect("it answers");
            done.lock().expect("no panic").push(Did::Short);
        }
        let done = done.lock().expect("no panic").clone();
        let waited: Vec<usize> = done.split(|did| *did == Did::Short).map(<[Did]>::len).collect();
        // At first nobody is known to work long.
        let longest = waited[4..HOPS].iter().max().expect("there are some");
        assert!(*longest <= 8, "parts of long work before each hop: {waited:?}");
        assert!(waited[4..HOPS].iter().sum::<usize>() > HOPS / 2, "it goes on meanwhile: {waited:?}");
    }

    #[tokio::test]
    async fn whoever_works_long_has_turns_in_order_and_all_come_to_an_end() {
        let done = Arc::new(Mutex::new(Vec::new()));
        let mut working = JoinSet::new();
        for number in 0..4 {
            let done = Arc::clone(&done);
            working.spawn(long_work(50, TURN / 2, move || done.lock().expect("no panic").push(number)));
        }
        tokio::time::timeout(Duration::from_mins(1), working.join_all()).await.expect("all end");
        let done = done.lock().expect("no panic").clone();
        assert_eq!(done.len(), 200);
        for number in 0..4 {
            let parts = done[..100].iter().filter(|did| **did == number).count();
            assert!((15..=40).contains(&parts), "{number} had {parts} of 100 parts");
        }
    }

    #[tokio::test]
    async fn what_costs_much_is_done_in_small_portions() {
        let mut turns = Turns::new();
        let mut portion = 0;
        for _ in 0..20 {
            portion = poll_fn(|context| turns.poll(context)).await;
            work_for(TURN);
            turns.did(portion);
        }
        assert_eq!(portion, LEAST);
        for _ in 0..1_000 {
            portion = poll_fn(|context| turns.poll(context)).await;
            turns.did(portion);
        }
        assert!(portion > FIRST * 10, "{portion}");
    }

    #[tokio::test]
    async fn a_pause_lets_the_next_one_work() {
        let mut one = Turns::new();
        for _ in 0..5 {
            let portion = poll_fn(|context| one.poll(context)).await;
            work_for(TURN);
            one.did(portion);
        }
        let minute = Duration::from_mins(1);
        one.pause();
        tokio::time::timeout(minute, after_the_others()).await.expect("nobody works");
    }
}
