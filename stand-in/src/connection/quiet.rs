//! When a connection counts as idle: while no request is in progress.

use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, sleep};

/// Resolves once no request was in progress for `timeout`; never without a
/// timeout.
pub(super) async fn lasts(timeout: Option<Duration>, quiet_for: impl Fn() -> Duration) {
    let Some(timeout) = timeout else {
        return pending().await;
    };
    // While a request is in progress, this waits for the earliest end of the
    // next silence, which is early enough.
    while let Some(left) = timeout.checked_sub(quiet_for()).filter(|left| !left.is_zero()) {
        sleep(left).await;
    }
}

/// The requests in progress on one HTTP/1.1 connection. HTTP/2 has streams to count.
#[derive(Clone)]
pub(super) struct Requests(Arc<Mutex<Progress>>);

struct Progress {
    requests: u32,
    quiet_since: Instant,
}

impl Default for Requests {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Progress { requests: 0, quiet_since: Instant::now() })))
    }
}

impl Requests {
    /// Notes that a request has begun.
    pub(super) fn begin(&self) -> InProgress {
        self.lock().requests += 1;
        InProgress(self.clone())
    }

    /// Returns for how long no request was in progress.
    pub(super) fn quiet_for(&self) -> Duration {
        let progress = self.lock();
        if progress.requests == 0 { progress.quiet_since.elapsed() } else { Duration::ZERO }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in progress, until it is dropped.
pub(super) struct InProgress(Requests);

impl InProgress {
    /// Counts the request as in progress until hyper has taken all of the
    /// response, or will take no more of it.
    pub(super) fn until_sent(self, response: Response) -> Response<Held> {
        response.map(|body| Held { body, _request: self })
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        let mut progress = self.0.lock();
        progress.requests -= 1;
        progress.quiet_since = Instant::now();
    }
}

/// A body that keeps its request in progress.
pub(super) struct Held {
    body: Body,
    _request: InProgress,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
