//! The cache as its callers meet it, on a paused clock, against an upstream made of closures.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, advance, sleep};

use super::*;
use crate::error::{Error, Refusal};

mod batches;
mod flights;
mod interleavings;
mod staleness;
mod tokens;
mod writes;

const CREDENTIAL: u128 = 0xA;

fn cache() -> Cache {
    Cache::new(&config::Cache::default())
}

fn key(id: i64) -> Key {
    Key::new(CREDENTIAL, "/zendesk.gateway.v1.UserService/GetUser", id.to_be_bytes().to_vec())
}

fn record(id: i64) -> Policy {
    Policy::record(tag::user(id))
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn within(time: Duration) -> Instant {
    Instant::now() + time
}

fn unavailable() -> Error {
    Error::Unavailable(Box::new(Refusal { status: 503, ..Refusal::default() }))
}

fn not_found() -> Error {
    Error::NotFound(Box::new(Refusal { status: 404, ..Refusal::default() }))
}

const PLAIN: Control = Control { no_cache: false, max_age: None, only_if_cached: false };

/// Counts what is asked of it.
#[derive(Clone, Default)]
struct Upstream {
    calls: Arc<AtomicUsize>,
    under_way: Arc<AtomicUsize>,
    most_under_way: Arc<AtomicUsize>,
}

/// A call under way, until it is answered or dropped.
struct Underway(Arc<AtomicUsize>);

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Upstream {
    fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    fn under_way(&self) -> usize {
        self.under_way.load(SeqCst)
    }

    fn begin(&self) -> Underway {
        self.calls.fetch_add(1, SeqCst);
        let now = self.under_way.fetch_add(1, SeqCst) + 1;
        self.most_under_way.fetch_max(now, SeqCst);
        Underway(self.under_way.clone())
    }

    /// Answers after a time.
    fn answers(
        &self,
        after: Duration,
        answer: Result<&'static str>,
    ) -> impl FnOnce(Terms) -> BoxFuture<'static, Result<Bytes>> + Send + 'static {
        let upstream = self.clone();
        move |_| {
            Box::pin(async move {
                let _underway = upstream.begin();
                sleep(after).await;
                answer.map(|text| Bytes::from_static(text.as_bytes()))
            })
        }
    }

    /// Never answers.
    fn hangs(&self) -> impl FnOnce(Terms) -> BoxFuture<'static, Result<Bytes>> + Send + 'static {
        self.answers(Duration::from_hours(24), Ok("too late"))
    }
}

/// Reads record 7, plainly, with ten seconds of time.
async fn read(
    cache: &Cache,
    fetch: impl FnOnce(Terms) -> BoxFuture<'static, Result<Bytes>> + Send + 'static,
) -> Result<Hit> {
    cache.read(&key(7), &record(7), PLAIN, within(secs(10)), fetch).await
}

#[track_caller]
fn assert_answer(hit: Result<Hit>, text: &str, status: CacheStatus, age: Duration) {
    let hit = hit.expect("an answer");
    assert_eq!((&*hit.bytes, hit.status, hit.age), (text.as_bytes(), status, age));
}

/// Lets every task that can run do so, without time passing.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
