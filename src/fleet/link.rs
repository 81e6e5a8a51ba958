//! A follower's link to the leader: whether it answers, and what becomes of calls while it does not.
//!
//! One connection of its own, without calls, tells whether the leader is there. While it is not, calls are held; after a while
//! this replica acts alone, with an empty cache, as if there were no fleet. Once the leader answers again, it is told to make all
//! its answers void if this replica has sent writes, before any call is forwarded.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::elected::Elected;
use super::hop::{Lines, Open, Refused, Trust, Way};
use super::tls;
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::gateway::Drain;
use crate::share::Share;
use crate::telemetry::{findings::Kind, view};
use crate::upstream::call::Priority;
use crate::upstream::room::{Entry, Rank, Room, Wish};
use crate::watch::Watcher;

mod keep;
mod send;

/// Most calls at a time that wait for the leader that the settings name. If there are more, those are refused whose callers have
/// most.
const HELD: usize = 64;
/// The same where the lead is handed over: as many as come in the seconds that this may take.
const HELD_OVER: usize = 4_096;
/// Most of them that are sent at a time once there is a leader; as many reads, and as many others.
const CREDIT: usize = 64;
/// How often a replica that leads, but may have been suspended, looks whether it still does.
const LOOK: Duration = Duration::from_millis(20);
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

/// Who leads.
#[derive(Clone)]
pub enum Leads {
    /// Nobody, as far as is known.
    Nobody,
    /// This replica, in this term.
    Own(u64),
    /// Another one.
    Other(Arc<Way>),
}

/// Where calls go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// Nowhere yet: they are held.
    Held,
    /// To the leader of this term.
    Leader(u64),
    /// Nowhere: this replica leads, in this term.
    Own(u64),
    /// Nowhere: this replica answers them itself.
    Alone(Refused),
}

/// The way of a call that had to wait: it is given back once the leader has the call.
pub type Credit<'a> = Option<SemaphorePermit<'a>>;

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

/// The way to a leader, and the connections on it.
struct Route {
    way: Arc<Way>,
    lines: Lines,
}

struct Inner {
    route: RwLock<Option<Arc<Route>>>,
    threads: usize,
    elected: Option<Arc<Elected>>,
    alone_after: Duration,
    cache: Cache,
    course: watch::Sender<Course>,
    held: Held,
    credit: [Semaphore; 2],
    /// The leader has said that it does not lead any more.
    renounced: Notify,
    /// A connection for calls could not be opened, though the one that tells whether the leader is there lives.
    doubted: Notify,
    /// Calls that were lost with the leader, and those that it had not taken.
    lost: [AtomicU64; 2],
    /// How many steps of this replica's own writes the leader was told of.
    told: AtomicU64,
    control: Mutex<Option<Open>>,
    /// See [`Link::found`].
    found: Mutex<Vec<(Kind, bool)>>,
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
        let trust = Trust::Files(tls::follow(files, watcher).await?);
        let way = Arc::new(Way { leader, trust, account, elected: None, own: false });
        let (_, leads) = watch::channel(Leads::Other(way));
        Ok(Self::to(leads, None, alone_after, cache, threads))
    }

    /// Follows whoever `leads`, for a replica that takes part in the election.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn to(
        leads: watch::Receiver<Leads>,
        elected: Option<Arc<Elected>>,
        alone_after: Duration,
        cache: &Cache,
        threads: usize,
    ) -> Self {
        let inner = Arc::new(Inner {
            route: RwLock::default(),
            threads,
            alone_after,
            cache: cache.clone(),
            course: watch::Sender::new(Course::Held),
            held: Mutex::new(Room::new(if elected.is_some() { HELD_OVER } else { HELD })),
            credit: [Semaphore::new(CREDIT), Semaphore::new(CREDIT)],
            elected,
            renounced: Notify::new(),
            doubted: Notify::new(),
            lost: Default::default(),
            told: AtomicU64::new(cache.changes().steps),
            control: Mutex::default(),
            found: Mutex::default(),
            drain: OnceLock::new(),
        });
        let task = tokio::spawn(Arc::clone(&inner).keep(leads)).abort_handle();
        Self(Arc::new(Ended { inner, task }))
    }

    /// Tells the leader when `drain` begins: the streams that this replica forwards end then.
    pub fn until(&self, drain: &Drain) {
        self.0.inner.drain.set(drain.clone()).ok();
    }

    /// Returns where calls go now.
    pub fn course(&self) -> Course {
        self.0.inner.now()
    }

    /// Returns where calls go, each time that it changes.
    pub fn courses(&self) -> watch::Receiver<Course> {
        self.0.inner.course.subscribe()
    }

    /// Returns where the leader is, if there is another one.
    pub fn leader(&self) -> Option<String> {
        self.0.inner.route().map(|route| route.way.leader.clone())
    }

    /// Returns the part that this replica takes in an election, if there is one.
    pub fn elected(&self) -> Option<&Arc<Elected>> {
        self.0.inner.elected.as_ref()
    }

    /// Returns how many calls were lost with a leader, and how many it had not taken.
    pub fn lost(&self) -> [u64; 2] {
        self.0.inner.lost.each_ref().map(|lost| lost.load(SeqCst))
    }

    /// Returns where a call of this caller goes, once that is known.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if too many calls wait for that.
    pub async fn way(&self, share: &Share, is_read: bool) -> Result<(Course, Credit<'_>)> {
        let now = self.course();
        if now != Course::Held {
            return Ok((now, None));
        }
        let Inner { credit, elected, held, .. } = &*self.0.inner;
        let (_place, displaced) = hold(held, share)?;
        let wait = async {
            let now = self.known().await;
            let credit = match (now, elected) {
                (Course::Leader(_), Some(_)) => credit[usize::from(is_read)].acquire().await.ok(),
                _ => None,
            };
            (now, credit)
        };
        tokio::select! {
            way = wait => Ok(way),
            _ = displaced => Err(TOO_MANY),
        }
    }

    /// Returns where calls go, once that is known.
    async fn known(&self) -> Course {
        let mut courses = self.courses();
        loop {
            courses.wait_for(|course| *course != Course::Held).await.ok();
            let now = self.course();
            if now != Course::Held {
                return now;
            }
            // It leads, as it believes, but may have been suspended.
            sleep(LOOK).await;
        }
    }

    /// Returns the certificates by which this replica and the leader know each other, if the settings name them.
    pub fn certificates(&self) -> Vec<view::Certificate> {
        match self.0.inner.route().as_deref().map(|route| &route.way.trust) {
            Some(Trust::Files(files)) => files.get().certificates.clone(),
            _ => Vec::new(),
        }
    }

    /// Makes answers void at the leader: tags with commas between, or all. False if it does not say that it did.
    pub async fn invalidate(&self, what: HeaderValue) -> bool {
        let open = self.0.inner.control();
        match open {
            Some(open) => Inner::ask_void(&open, what).await,
            None => false,
        }
    }

    /// Completes once the answer to a write that this replica has sent itself may be given: nobody else can know an older one.
    pub async fn settled(&self) {
        let mut courses = self.courses();
        loop {
            let course = *courses.borrow_and_update();
            let done = match course {
                Course::Alone(_) => true,
                Course::Leader(_) => self.0.inner.tell().await,
                // While it is about to leave, too: the next one begins with an empty cache, and later.
                Course::Own(_) | Course::Held => self.elected().is_some_and(|elected| elected.is_the_last()),
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

    fn route(&self) -> Option<Arc<Route>> {
        self.route.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns where calls go at this moment: a replica that was suspended does not know whether it still leads.
    fn now(&self) -> Course {
        let course = *self.course.borrow();
        match (course, &self.elected) {
            (Course::Own(_), Some(elected)) if elected.term().is_none() => Course::Held,
            _ => course,
        }
    }

    fn set(&self, course: Course) {
        let before = self.course.send_replace(course);
        if before != course {
            let leader = self.route().map(|route| route.way.leader.clone());
            match course {
                Course::Leader(term) => info!(fleet.leader = leader, fleet.term = term, "the leader answers"),
                Course::Own(term) => info!(fleet.term = term, "this replica leads"),
                Course::Held => warn!(fleet.leader = leader, "no leader answers: calls are held"),
                Course::Alone(why) => {
                    warn!(fleet.leader = leader, ?why, "this replica acts alone, with an empty cache");
                }
            }
        }
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
