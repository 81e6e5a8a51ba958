//! Tells work that can stop early that the gateway shuts down, and calls that are left in the end that their time is over.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

/// Tells streams to end at a point from which the caller can continue at another replica. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Drain(Arc<Tokens>);

#[derive(Debug, Default)]
struct Tokens {
    begun: CancellationToken,
    over: CancellationToken,
}

impl Drain {
    /// Begins the shutdown.
    pub fn begin(&self) {
        self.0.begun.cancel();
    }

    /// Returns a part of it, which begins with it, or alone.
    #[must_use]
    pub fn part(&self) -> Self {
        Self(Arc::new(Tokens { begun: self.0.begun.child_token(), over: self.0.over.child_token() }))
    }

    /// Completes once the shutdown has begun.
    pub async fn begun(&self) {
        self.0.begun.cancelled().await;
    }

    /// Ends the calls that have not ended by themselves.
    pub fn end(&self) {
        self.0.over.cancel();
    }

    /// Is cancelled once they are to end.
    pub fn over(&self) -> &CancellationToken {
        &self.0.over
    }
}
