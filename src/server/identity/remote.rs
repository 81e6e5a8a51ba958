//! An issuer's keys at a URL: read at a regular interval, and earlier when a token names an unknown key.
//!
//! The last good keys stay in use while the issuer is down. Tokens with made-up keys cannot make the gateway ask all the time:
//! it asks early at most once per [`EARLY`], and calls that need a key meanwhile wait for the same answer. Those that come after
//! it learn when the issuer can be asked next: their key may have been published since. A read is a task of its own: a caller
//! who leaves neither ends it nor makes the gateway forget that it was begun.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};
use url::Url;

use super::jwks::KeySet;
use crate::error::ConnectionError;
use crate::upstream::client::{Origin, read_body};
use crate::watch::Counts;

/// Least time between two reads.
const EARLY: Duration = Duration::from_secs(5);
/// Most time that one read may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest wait before a failed read is repeated.
const AGAIN: Duration = Duration::from_secs(10);
/// Most bytes of a document: more than any issuer has.
const MOST_BYTES: usize = 1 << 20;

type Read = Box<dyn Fn(&[u8]) -> anyhow::Result<KeySet> + Send + Sync>;

/// The keys at a URL. Dropping it ends the regular reads.
pub struct Remote(Arc<Inner>);

struct Inner {
    client: reqwest::Client,
    url: Url,
    read: Read,
    keys: watch::Sender<Option<Arc<KeySet>>>,
    counts: Arc<Counts>,
    /// The last read that was begun. The lock is held for a moment only, never while a read is under way.
    last: Mutex<Option<Last>>,
    /// The last good document. Only the task of a read touches it, of which there is one at a time.
    content: Mutex<Vec<u8>>,
    /// Where reads run: not on the thread of the connection whose call caused one.
    runtime: Handle,
}

/// What the issuer has said to a call whose token needs an unknown key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The keys that are known now are those that it publishes.
    Answered,
    /// It was asked a moment ago, and can be asked again after this time.
    TooSoon(Duration),
    /// It has not answered, or nothing that holds keys.
    Unanswered,
}

/// The last read that was begun.
struct Last {
    begun: Instant,
    /// Whether it went well; none while it is under way.
    outcome: watch::Receiver<Option<bool>>,
}

impl Remote {
    /// Begins to read the keys, at once and then every `refresh`.
    pub fn start(
        url: &Url,
        refresh: Duration,
        counts: Arc<Counts>,
        read: impl Fn(&[u8]) -> anyhow::Result<KeySet> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let client = Origin::new(url, None)?.client().timeout(PATIENCE).build()?;
        let (keys, _) = watch::channel(None);
        let (last, content) = (Mutex::default(), Mutex::default());
        let (url, read, runtime) = (url.clone(), Box::new(read), Handle::current());
        let inner = Arc::new(Inner { client, url, read, keys, counts, last, content, runtime });
        let (weak, unless) = (Arc::downgrade(&inner), EARLY.min(refresh / 2));
        tokio::spawn(async move {
            while let Some(inner) = weak.upgrade() {
                let (outcome, _) = inner.refresh(unless);
                drop(inner);
                let went_well = ended(outcome).await;
                let wait = if went_well { refresh } else { refresh.min(AGAIN) };
                // Spreads the reads of replicas that were started together.
                sleep(wait.mul_f64(0.9 + 0.1 * fastrand::f64())).await;
            }
        });
        Ok(Self(inner))
    }

    /// Returns the last good keys; none if no read has succeeded yet.
    pub fn get(&self) -> Option<Arc<KeySet>> {
        self.0.keys.borrow().clone()
    }

    /// Reads the keys again, unless a read was begun less than [`EARLY`] ago; waits for the end of the read. Whoever stops waiting
    /// changes nothing about it.
    pub async fn ask(&self) -> Asked {
        let (outcome, too_soon) = self.0.refresh(EARLY);
        match (ended(outcome).await, too_soon) {
            (true, None) => Asked::Answered,
            (true, Some(wait)) => Asked::TooSoon(wait),
            (false, _) => Asked::Unanswered,
        }
    }

    /// Waits for the first keys, at most `longest`; logs a warning if they do not come. Returns whether they are there.
    pub async fn first(&self, longest: Duration) -> bool {
        let mut keys = self.0.keys.subscribe();
        let there = timeout(longest, keys.wait_for(Option::is_some)).await.is_ok();
        if !there {
            warn!("the issuer's keys could not be read; bearer tokens are answered with UNAVAILABLE until they can");
        }
        there
    }
}

/// Waits for the end of a read, and returns whether it went well.
async fn ended(mut outcome: watch::Receiver<Option<bool>>) -> bool {
    // A read whose task has ended without an outcome did not go well.
    outcome.wait_for(Option::is_some).await.is_ok_and(|outcome| *outcome == Some(true))
}

impl Inner {
    /// Begins to read the keys, unless a read is under way or the last one was begun less than `unless` ago. Returns the
    /// outcome of the read that now is the last and, if that has ended before, how long it is until there can be another.
    fn refresh(self: &Arc<Self>, unless: Duration) -> (watch::Receiver<Option<bool>>, Option<Duration>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // A read whose task is gone, which only a panic does, counts as ended.
        let is_under_way = |last: &Last| last.outcome.borrow().is_none() && last.outcome.has_changed().is_ok();
        if let Some(last) = last.as_ref() {
            let wait = unless.saturating_sub(last.begun.elapsed());
            if is_under_way(last) {
                return (last.outcome.clone(), None);
            }
            if !wait.is_zero() {
                return (last.outcome.clone(), Some(wait));
            }
        }
        let (told, outcome) = watch::channel(None);
        *last = Some(Last { begun: Instant::now(), outcome: outcome.clone() });
        drop(last);
        let inner = Arc::clone(self);
        self.runtime.spawn(async move {
            let went_well = inner.read_once().await;
            told.send_replace(Some(went_well));
        });
        (outcome, None)
    }

    /// Reads the keys, and puts them to use. Returns whether that went well.
    async fn read_once(&self) -> bool {
        let fetched = self.fetch().await;
        let mut before = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        match fetched.and_then(|content| Ok((self.parsed(&content, &before)?, content))) {
            Ok((keys, content)) => {
                *before = content;
                if let Some(keys) = keys {
                    self.keys.send_replace(Some(Arc::new(keys)));
                    self.counts.taken();
                    info!(file.what = "jwks", "the issuer's keys are in use");
                } else {
                    self.counts.unchanged();
                }
                true
            }
            Err(error) => {
                self.counts.failed();
                let error = ConnectionError::of(error.as_ref()).text;
                warn!(error, "the issuer's keys cannot be read; what was read before stays in use");
                false
            }
        }
    }

    /// Returns the keys of a document; none if the document has not changed.
    fn parsed(&self, content: &[u8], before: &[u8]) -> anyhow::Result<Option<KeySet>> {
        if content == before { Ok(None) } else { (self.read)(content).map(Some) }
    }

    async fn fetch(&self) -> anyhow::Result<Vec<u8>> {
        let request = self.client.get(self.url.clone()).header(reqwest::header::ACCEPT, "application/json");
        let mut response = request.send().await.map_err(reqwest::Error::without_url)?;
        ensure!(response.status() == 200, "HTTP {}", response.status().as_u16());
        read_body(&mut response, MOST_BYTES, || ()).await.map_err(|why| why.of_at_most(MOST_BYTES))
    }
}
