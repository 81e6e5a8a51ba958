//! The value of an `authorization` header.

use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderValue;

use super::fingerprint;

/// The value of an `authorization` header.
pub(super) struct Token {
    pub header: HeaderValue,
    pub fingerprint: u128,
    /// Whether Zendesk has accepted it at least once.
    pub accepted: AtomicBool,
}

impl Token {
    pub fn new(header: &str) -> anyhow::Result<Self> {
        let mut header = HeaderValue::from_str(header)
            .map_err(|_| anyhow::anyhow!("the credential has characters that no HTTP header can carry"))?;
        header.set_sensitive(true);
        let fingerprint = fingerprint::of(&[header.as_bytes()]);
        Ok(Self { header, fingerprint, accepted: AtomicBool::new(false) })
    }

    pub fn is_accepted(&self) -> bool {
        self.accepted.load(Ordering::Relaxed)
    }
}
