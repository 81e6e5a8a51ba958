//! An issuer's keys at a URL: read at a regular interval, and earlier when a token names an unknown key.
//!
//! The last good keys stay in use while the issuer is down. Tokens with made-up keys cannot make the gateway ask all the time:
//! it asks early at most once per [`EARLY`], and calls that need a key meanwhile wait for the same answer.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};
use url::Url;

use super::jwks::KeySet;
use crate::error::ConnectionError;
use crate::upstream::client::{Origin, Unread, read_body};
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
    /// The last read. The lock is held while a read is under way.
    last: Mutex<Option<Last>>,
}

struct Last {
    begun: Instant,
    went_well: bool,
    /// The last good document.
    content: Vec<u8>,
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
        let inner =
            Arc::new(Inner { client, url: url.clone(), read: Box::new(read), keys, counts, last: Mutex::default() });
        let (weak, unless) = (Arc::downgrade(&inner), EARLY.min(refresh / 2));
        tokio::spawn(async move {
            while let Some(inner) = weak.upgrade() {
                let went_well = inner.refresh(unless).await;
                drop(inner);
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

    /// Reads the keys again, unless a read was begun less than [`EARLY`] ago.
    pub async fn ask(&self) {
        self.0.refresh(EARLY).await;
    }

    /// Waits for the first keys, at most `longest`; logs a warning if they do not come.
    pub async fn first(&self, longest: Duration) {
        let mut keys = self.0.keys.subscribe();
        if timeout(longest, keys.wait_for(Option::is_some)).await.is_err() {
            warn!("the issuer's keys could not be read; bearer tokens are answered with UNAVAILABLE until they can");
        }
    }
}

impl Inner {
    /// Reads the keys, unless the last read was begun less than `unless` ago. Returns whether the last read succeeded.
    async fn refresh(&self, unless: Duration) -> bool {
        let mut last = self.last.lock().await;
        if let Some(last) = last.as_ref().filter(|last| last.begun.elapsed() < unless) {
            return last.went_well;
        }
        let begun = Instant::now();
        let before = last.take().map(|last| last.content).unwrap_or_default();
        let read = self.fetch().await.and_then(|content| Ok((self.parsed(&content, &before)?, content)));
        let (went_well, content) = match read {
            Ok((keys, content)) => {
                if let Some(keys) = keys {
                    self.keys.send_replace(Some(Arc::new(keys)));
                    self.counts.taken();
                    info!(file.what = "jwks", "the issuer's keys are in use");
                }
                (true, content)
            }
            Err(error) => {
                self.counts.failed();
                let error = ConnectionError::of(error.as_ref()).text;
                warn!(error, "the issuer's keys cannot be read; what was read before stays in use");
                (false, before)
            }
        };
        *last = Some(Last { begun, went_well, content });
        went_well
    }

    /// Returns the keys of a document; none if the document has not changed.
    fn parsed(&self, content: &[u8], before: &[u8]) -> anyhow::Result<Option<KeySet>> {
        if content == before { Ok(None) } else { (self.read)(content).map(Some) }
    }

    async fn fetch(&self) -> anyhow::Result<Vec<u8>> {
        let request = self.client.get(self.url.clone()).header(reqwest::header::ACCEPT, "application/json");
        let mut response = request.send().await.map_err(reqwest::Error::without_url)?;
        ensure!(response.status() == 200, "HTTP {}", response.status().as_u16());
        read_body(&mut response, MOST_BYTES, || ()).await.map_err(|why| match why {
            Unread::TooLarge => anyhow::anyhow!("larger than {MOST_BYTES} bytes"),
            Unread::Broken(error) => anyhow::Error::new(error).context("the body"),
        })
    }
}
