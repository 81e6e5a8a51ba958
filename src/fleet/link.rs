//! A follower's link to the leader: whether it answers, and what becomes of calls while it does not.
//!
//! One connection of its own, without calls, tells whether the leader is there. While it is not, calls are held; after a while
//! this replica acts alone, with an empty cache, as if there were no fleet. Once the leader answers again, it is told to make all
//! its answers void if this replica has sent writes, before any call is forwarded.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Response};
use hyper::body::Incoming;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use tonic::body::Body;
use tracing::{info, warn};

use super::hop::{Lines, Lost, Open, Refused, Way};
use super::tls;
use super::wire::{ALL, INVALIDATE, VOID};
use crate::cache::{Cache, Changes};
use crate::error::{Error, Result};
use crate::gateway::Drain;
use crate::share::Share;
use crate::telemetry::view;
use crate::upstream::call::Priority;
use crate::upstream::room::{Entry, Rank, Room, Wish};
use crate::watch::Watcher;

/// Most calls at a time that wait for the leader. If there are more, those are refused whose callers have most.
const HELD: usize = 64;
/// Time between two tries to reach the leader.
const AGAIN: Duration = Duration::from_millis(250);
/// How often the leader is told of writes that were begun alone and end late.
const TELL: Duration = Duration::from_secs(1);

/// The calls that wait.
type Held = Mutex<Room<oneshot::Sender<()>>>;

const TOO_MANY: Error = Error::Overloaded { what: "too many calls wait for the fleet's leader" };

/// Has one more call of this caller wait. It is told if it has to make room for another caller's.
fn hold<'a>(held: &'a Held, share: &Share) -> Result<(Place<'a>, oneshot::Receiver<()>)> {
    let (displace, displaced) = oneshot::channel();
    let wish = Wish::of(share, Priority::Interactive, Instant::now());
    // Dropping the sender of one that is displaced tells it.
    match held.lock().unwrap_or_else(PoisonError::into_inner).enter(wish, displace) {
        Entry::Placed(rank) | Entry::Displaced(rank, _) => Ok((Place { held, rank }, displaced)),
        Entry::Full => Err(TOO_MANY),
    }
}

/// A call's place among those that wait; dropping it leaves.
struct Place<'a> {
    held: &'a Held,
    rank: Rank,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).leave(&self.rank);
    }
}

/// Where calls go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// Nowhere yet: they are held.
    Held,
    /// To the leader of this term.
    Leader(u64),
    /// Nowhere: this replica answers them itself.
    Alone(Refused),
}

/// A follower's link to the leader. Clones share it; dropping the last one ends it.
#[derive(Clone)]
pub struct Link(Arc<Ended>);

/// Ends the task that looks after the link.
struct Ended {
    inner: Arc<Inner>,
    task: AbortHandle,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Inner {
    way: Way,
    lines: Lines,
    alone_after: Duration,
    cache: Cache,
    course: watch::Sender<Course>,
    held: Held,
    /// How many steps of this replica's own writes the leader was told of.
    told: AtomicU64,
    control: Mutex<Option<Open>>,
    drain: OnceLock<Drain>,
}

/// What a link needs to know.
pub struct Terms {
    /// Host and port of the leader's internal port.
    pub leader: String,
    /// How long calls are held.
    pub alone_after: Duration,
    /// The files with the certificate, its key and the authority.
    pub files: Vec<std::path::PathBuf>,
    /// The account of this replica: see [`wire::account`](super::wire::account).
    pub account: HeaderValue,
    /// How many threads serve callers.
    pub threads: usize,
}

impl Link {
    /// Begins to look for the leader. `cache` is that of this replica, for when it acts alone.
    ///
    /// # Errors
    /// The certificate files cannot be read or are not valid.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(terms: Terms, cache: &Cache, watcher: &Watcher) -> anyhow::Result<Self> {
        let Terms { leader, alone_after, files, account, threads } = terms;
        let way = Way { leader, tls: tls::follow(files, watcher).await?, account };
        let inner = Arc::new(Inner {
            way,
            lines: Lines::new(threads),
            alone_after,
            cache: cache.clone(),
            course: watch::Sender::new(Course::Held),
            held: Mutex::new(Room::new(HELD)),
            told: AtomicU64::new(cache.changes().steps),
            control: Mutex::default(),
            drain: OnceLock::new(),
        });
        let task = tokio::spawn(Arc::clone(&inner).keep()).abort_handle();
        Ok(Self(Arc::new(Ended { inner, task })))
    }

    /// Tells the leader when `drain` begins: the streams that this replica forwards end then.
    pub fn until(&self, drain: &Drain) {
        self.0.inner.drain.set(drain.clone()).ok();
    }

    /// Returns where calls go now.
    pub fn course(&self) -> Course {
        *self.0.inner.course.borrow()
    }

    /// Returns where calls go, each time that it changes.
    pub fn courses(&self) -> watch::Receiver<Course> {
        self.0.inner.course.subscribe()
    }

    /// Returns where the leader is.
    pub fn leader(&self) -> &str {
        &self.0.inner.way.leader
    }

    /// Returns where a call of this caller goes, once that is known.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if too many calls wait for that.
    pub async fn way(&self, share: &Share) -> Result<Course> {
        let now = self.course();
        if now != Course::Held {
            return Ok(now);
        }
        let (_place, displaced) = hold(&self.0.inner.held, share)?;
        let mut courses = self.courses();
        tokio::select! {
            course = courses.wait_for(|course| *course != Course::Held) => Ok(course.map_or(now, |course| *course)),
            _ = displaced => Err(TOO_MANY),
        }
    }

    /// Returns the certificates by which this replica and the leader know each other.
    pub fn certificates(&self) -> Vec<view::Certificate> {
        self.0.inner.way.tls.get().certificates.clone()
    }

    /// Sends a call to the leader.
    pub async fn send(&self, streaming: bool, request: Request<Body>) -> Result<Response<Incoming>, Lost> {
        let Inner { lines, way, drain, .. } = &*self.0.inner;
        let line = lines.line(streaming);
        let open = match line.now() {
            Some(open) => open,
            None => match line.open(way, drain.get().filter(|_| streaming)).await {
                Ok(open) => open,
                Err(_) => return Err(Lost::NotTaken(Some(Box::new(request)))),
            },
        };
        open.send(request).await
    }

    /// Makes answers void at the leader: tags with commas between, or all. False if it does not say that it did.
    pub async fn invalidate(&self, what: HeaderValue) -> bool {
        let open = self.0.inner.control();
        match open {
            Some(open) => Inner::ask_void(&open, what).await,
            None => false,
        }
    }

    /// Completes once the answer to a write that this replica has sent itself may be given: when it is alone, or the leader has
    /// made void what may be older.
    pub async fn settled(&self) {
        let mut courses = self.courses();
        loop {
            let course = *courses.borrow_and_update();
            let done = match course {
                Course::Alone(_) => true,
                Course::Leader(_) => self.0.inner.tell().await,
                Course::Held => false,
            };
            if done {
                return;
            }
            // A leader that did not do it has ended, as its connection will tell.
            timeout(AGAIN, courses.changed()).await.ok();
        }
    }
}

impl Inner {
    fn control(&self) -> Option<Open> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, course: Course) {
        let before = self.course.send_replace(course);
        if before != course {
            match course {
                Course::Leader(term) => info!(fleet.leader = self.way.leader, fleet.term = term, "the leader answers"),
                Course::Held => warn!(fleet.leader = self.way.leader, "the leader does not answer: calls are held"),
                Course::Alone(why) => {
                    warn!(fleet.leader = self.way.leader, ?why, "this replica acts alone, with an empty cache");
                }
            }
        }
    }

    /// Makes this replica act alone, unless it does.
    fn be_alone(&self, why: Refused) {
        if !matches!(*self.course.borrow(), Course::Alone(_)) {
            self.cache.invalidate_all();
        }
        self.set(Course::Alone(why));
    }

    /// Looks for the leader, and looks after it, for ever.
    async fn keep(self: Arc<Self>) {
        let mut lost = Instant::now();
        loop {
            let steps = self.cache.changes().steps;
            let void = (steps != self.told.load(SeqCst)).then_some(ALL);
            // Not beyond the time at which this replica acts alone, unless it does already.
            let held = *self.course.borrow() == Course::Held;
            let left = (lost + self.alone_after).saturating_duration_since(Instant::now());
            let patience = if held { left } else { Duration::MAX };
            match timeout(patience, self.way.open(void)).await.unwrap_or(Err(Refused::Silent)) {
                Ok(open) => {
                    self.told.fetch_max(steps, SeqCst);
                    self.follow(&open).await;
                    lost = Instant::now();
                }
                // One that is not ready is as good as lost, and says so itself once this replica is alone.
                Err(why @ (Refused::Silent | Refused::NotReady)) => {
                    let is_told = *self.course.borrow() == Course::Alone(Refused::Silent) && why == Refused::NotReady;
                    if is_told || held && lost.elapsed() >= self.alone_after {
                        self.be_alone(why);
                    }
                }
                Err(other) => self.be_alone(other),
            }
            sleep(AGAIN.min(self.alone_after)).await;
        }
    }

    /// Has calls go to the leader until it does not answer any more.
    async fn follow(&self, open: &Open) {
        *self.control.lock().unwrap_or_else(PoisonError::into_inner) = Some(open.clone());
        // From here on no answer to a write that was begun alone is given before the leader was told of it; so what the leader was
        // not told of now is told before any call goes there.
        self.course.send_if_modified(|course| std::mem::replace(course, Course::Held) != Course::Held);
        if self.tell().await {
            self.set(Course::Leader(open.term));
            self.watch(open).await;
        }
        *self.control.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.set(Course::Held);
    }

    /// Completes when the leader does not answer any more. Until then, tells it of this replica's own writes as long as any is
    /// under way.
    async fn watch(&self, open: &Open) {
        let mut open_ended = !self.cache.changes().settled;
        loop {
            tokio::select! {
                () = open.closed() => return,
                () = sleep(TELL) => {}
            }
            let Changes { steps, settled } = self.cache.changes();
            if steps != self.told.load(SeqCst) || open_ended {
                if !self.void(open).await {
                    return;
                }
                open_ended = !settled;
            }
        }
    }

    /// Tells the leader of this replica's own writes so far; false if it does not answer.
    async fn tell(&self) -> bool {
        let Some(open) = self.control() else { return false };
        while self.cache.changes().steps != self.told.load(SeqCst) {
            if !self.void(&open).await {
                return false;
            }
        }
        true
    }

    async fn void(&self, open: &Open) -> bool {
        let steps = self.cache.changes().steps;
        let done = Self::ask_void(open, ALL).await;
        if done {
            self.told.fetch_max(steps, SeqCst);
        }
        done
    }

    async fn ask_void(open: &Open, what: HeaderValue) -> bool {
        open.ask(INVALIDATE, HeaderMap::from_iter([(VOID, what)])).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::share::Shares;

    #[tokio::test(start_paused = true)]
    async fn places_are_shared_out_between_callers() {
        let (held, shares) = (Mutex::new(Room::new(HELD)), Shares::new(&config::Callers::unlimited(), usize::MAX));
        let (greedy, modest) = (shares.of("greedy"), shares.of("modest"));
        let mut of_greedy: Vec<_> = (0..100).filter_map(|_| hold(&held, &greedy).ok()).collect();
        assert_eq!(of_greedy.len(), HELD);
        let mut of_modest: Vec<_> = (0..100).filter_map(|_| hold(&held, &modest).ok()).collect();
        let are_told = |of: &mut Vec<(Place<'_>, oneshot::Receiver<()>)>| {
            let before = of.len();
            of.retain_mut(|(_, displaced)| displaced.try_recv() != Err(oneshot::error::TryRecvError::Closed));
            before - of.len()
        };
        assert_eq!(are_told(&mut of_greedy), HELD / 2);
        assert_eq!((are_told(&mut of_modest), of_modest.len()), (0, HELD / 2));
        drop((of_greedy, of_modest));
        assert_eq!(held.lock().expect("no panic").waiting(), 0);
    }
}
