//! Divides long work into turns.
//!
//! A thread runs ready tasks in the order in which they became ready. Many peers who each keep it busy for their share would
//! delay every other call by all their shares, at each of the call's few steps. So long work is done in pieces. After each
//! piece, all short work runs first, including what has just come; then one piece of the long work that has waited longest.
//!
//! What a caller waits for has a queue of its own, of which one goes in each such round: a connection that begins, and a long
//! answer of Zendesk that is to be read. Behind hundreds of peers that flood either would wait for seconds.
//!
//! To measure without it: [`TURN`] of an hour, so that nothing counts as long.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;
use tokio::time::sleep;

/// How long work may take before it counts as long, and how long a piece of long work takes.
const TURN: Duration = Duration::from_micros(50);
/// Pause of long work after a part that took far longer than a turn, such as a header of tens of kilobytes, which cannot be
/// read in parts.
const PAUSE: Duration = Duration::from_millis(1);
/// Bounds and first value of the bytes per part of a turn. The cost of a byte differs by a factor of a hundred.
const MIN_PORTION: usize = 256;
const FIRST_PORTION: usize = 1 << 10;
const MAX_PORTION: usize = 64 << 10;

thread_local! {
    /// The permit for long work on this thread: one holder at a time, the others wait in order.
    static LONG_WORK: Arc<Semaphore> = Arc::new(Semaphore::new(1));
    /// The same for connections that begin, and for answers that are read.
    static BEGINNINGS: Arc<Semaphore> = Arc::new(Semaphore::new(1));
    static ANSWERS: Arc<Semaphore> = Arc::new(Semaphore::new(1));
}

type Wait = Pin<Box<dyn Future<Output = OwnedSemaphorePermit> + Send>>;

/// The turns of one worker: a connection, or a request that is unpacked.
pub struct Turns {
    /// When the present turn began, and when its latest part began.
    since: Option<(Instant, Instant)>,
    /// How long this thread had computed when the present turn, which seemed long by the clock, began once more.
    computed: Option<Duration>,
    wait: Option<Wait>,
    permit: Option<OwnedSemaphorePermit>,
    /// Bytes to do per part, bytes done in the last part, and parts done in this turn.
    portion: usize,
    did: usize,
    parts: usize,
}

impl Turns {
    /// Returns the turns of work that has not begun.
    pub fn new() -> Self {
        Self { since: None, computed: None, wait: None, permit: None, portion: FIRST_PORTION, did: 0, parts: 0 }
    }

    /// Completes when work may go on, with the number of bytes to do now.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        if self.wait.is_none() {
            let now = Instant::now();
            let (began, latest) = self.since.unwrap_or((now, now));
            let spent = now - latest;
            if spent > TURN / 2 {
                self.portion = (self.portion / 2).max(MIN_PORTION);
            } else if spent < TURN / 8 && self.did == self.portion {
                self.portion = (self.portion + MIN_PORTION).min(MAX_PORTION);
            }
            // One part alone may have taken long because the system ran something else.
            if now - began < TURN || self.parts < 2 {
                self.since = Some((began, now));
                return Poll::Ready(self.portion);
            }
            // So may several, where there is more work than processors; only what has been computed counts. To ask for that
            // is a system call, so a turn must seem long before anybody asks.
            let computed = computed();
            if self.computed.replace(computed).is_none_or(|before| computed.saturating_sub(before) < TURN) {
                self.since = Some((now, now));
                self.parts = 0;
                return Poll::Ready(self.portion);
            }
            self.pause();
            self.wait = Some(Box::pin(long_work(if spent > TURN * 2 { PAUSE } else { Duration::ZERO })));
        }
        if let Some(wait) = &mut self.wait {
            self.permit = Some(ready!(wait.as_mut().poll(context)));
            self.wait = None;
        }
        let now = Instant::now();
        self.since = Some((now, now));
        Poll::Ready(self.portion)
    }

    /// Notes how many bytes were done.
    pub fn did(&mut self, bytes: usize) {
        self.did = bytes;
        self.parts += 1;
    }

    /// Ends the turn, because there is nothing to do for now.
    pub fn pause(&mut self) {
        (self.since, self.computed, self.permit) = (None, None, None);
        (self.did, self.parts) = (0, 0);
    }

    /// Gives up the turn, or the place in the queue, because the work cannot go on until something else happens; held any
    /// longer, it would block the others. Work that had either of them queues anew.
    pub fn stall(&mut self) {
        let long = self.wait.is_some() || self.permit.is_some();
        self.pause();
        self.wait = long.then(|| -> Wait { Box::pin(long_work(Duration::ZERO)) });
    }
}

/// Returns how long this thread has computed, without the time in which the system ran others.
fn computed() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Waits for the permit for long work, then `pause`: see [`next`].
async fn long_work(pause: Duration) -> OwnedSemaphorePermit {
    next(LONG_WORK.with(Arc::clone), pause).await
}

/// Waits for a permit, then `pause`, then until the ready short work has run. Dropping the permit ends the turn.
async fn next(queue: Arc<Semaphore>, pause: Duration) -> OwnedSemaphorePermit {
    let permit = queue.acquire_owned().await.expect("it is never closed");
    if pause > Duration::ZERO {
        sleep(pause).await;
    }
    // The runtime looks for new events before it polls a task that has yielded.
    yield_now().await;
    permit
}

/// Completes when the tasks that are ready now have had their turn. Unlike [`yield_now`] it does not look for what has come from
/// peers meanwhile, which is a system call.
pub async fn of_others() {
    let mut passed = false;
    poll_fn(|context| {
        if std::mem::replace(&mut passed, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits until the ready short work of this thread has run; of several waiters, one continues at a time.
pub async fn after_the_others() {
    drop(long_work(Duration::ZERO).await);
}

/// The same for a connection that begins, or is turned away: it waits for no long work but other beginnings.
pub async fn to_begin() {
    drop(next(BEGINNINGS.with(Arc::clone), Duration::ZERO).await);
}

/// The same for a long answer that is to be read: it waits for no long work but other answers.
pub async fn to_read() {
    drop(next(ANSWERS.with(Arc::clone), Duration::ZERO).await);
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Mutex;

    use tokio::sync::mpsc;
    use tokio::task::JoinSet;

    use super::*;

    /// Works without a pause, like a task that reads a flood.
    fn work_for(time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    /// Works in this many parts of a given time, and notes each.
    async fn work(parts: usize, each: Duration, note: impl Fn()) {
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
            working.spawn(work(60, TURN, move || done.lock().expect("no panic").push(Did::Long)));
        }
        // Stands for a call: tasks of which each wakes the next.
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
        // Skips the first hops: until its first turn is over, long work is not known as long.
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
            working.spawn(work(50, TURN / 2, move || done.lock().expect("no panic").push(number)));
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
    async fn time_in_which_the_system_runs_others_is_nobodys_turn() {
        let _long_work = long_work(Duration::ZERO).await;
        let (mut turns, mut since) = (Turns::new(), computed());
        for _ in 0..50 {
            if let Poll::Ready(portion) = turns.poll(&mut Context::from_waker(std::task::Waker::noop())) {
                std::thread::sleep(TURN);
                turns.did(portion);
            } else {
                // What the test itself takes counts.
                let computed = computed().saturating_sub(since);
                assert!(computed >= TURN, "it waits for a permit after {computed:?}, as if it had worked long");
                (turns, since) = (Turns::new(), self::computed());
            }
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
        assert_eq!(portion, MIN_PORTION);
        for _ in 0..1_000 {
            portion = poll_fn(|context| turns.poll(context)).await;
            turns.did(portion);
        }
        assert!(portion > FIRST_PORTION * 10, "{portion}");
    }

    #[tokio::test]
    async fn a_connection_begins_without_waiting_for_long_work_of_many() {
        const MANY: usize = 50;
        let done = Arc::new(Mutex::new(0));
        let mut working = JoinSet::new();
        for _ in 0..MANY {
            let done = Arc::clone(&done);
            working.spawn(work(60, TURN * 2, move || *done.lock().expect("no panic") += 1));
        }
        // Until each is known to work long.
        while *done.lock().expect("no panic") < MANY * 5 {
            yield_now().await;
        }
        for _ in 0..5 {
            let before = *done.lock().expect("no panic");
            to_begin().await;
            let waited = *done.lock().expect("no panic") - before;
            assert!(waited <= 5, "{waited} parts of long work before it");
        }
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
