//! The word that the gateway is leaving, for work that can stop at a good place.

use tokio_util::sync::CancellationToken;

/// Tells streams to end where their caller can go on elsewhere. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Drain(CancellationToken);

impl Drain {
    /// Says that the gateway is leaving.
    pub fn begin(&self) {
        self.0.cancel();
    }

    /// Whether the gateway is leaving.
    pub fn has_begun(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Completes when the gateway is leaving.
    pub async fn begun(&self) {
        self.0.cancelled().await;
    }
}
