//! Tells work that can stop early that the gateway shuts down.

use tokio_util::sync::CancellationToken;

/// Tells streams to end at a point from which the caller can continue at another replica. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Drain(CancellationToken);

impl Drain {
    /// Begins the shutdown.
    pub fn begin(&self) {
        self.0.cancel();
    }

    /// Returns a part of it, which begins with it, or alone.
    #[must_use]
    pub fn part(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Completes once the shutdown has begun.
    pub async fn begun(&self) {
        self.0.cancelled().await;
    }
}
