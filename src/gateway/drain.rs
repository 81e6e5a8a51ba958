//! Tells work that can stop early that the gateway shuts down, and calls that are left in the end that their time is over.

use tokio_util::sync::CancellationToken;

/// Tells streams to end at a point from which the caller can continue at another replica. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    begun: CancellationToken,
    over: CancellationToken,
}

impl Drain {
    /// Begins the shutdown.
    pub fn begin(&self) {
        self.begun.cancel();
    }

    /// Returns a part of it, which begins with it, or alone.
    #[must_use]
    pub fn part(&self) -> Self {
        Self { begun: self.begun.child_token(), over: self.over.child_token() }
    }

    /// Completes once the shutdown has begun.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Ends the calls that have not ended by themselves.
    pub fn end(&self) {
        self.over.cancel();
    }

    /// Is cancelled once they are to end.
    pub fn over(&self) -> &CancellationToken {
        &self.over
    }
}
