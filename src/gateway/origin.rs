//! What the server knows about a call before its message is read.

use std::sync::Arc;

use crate::telemetry::Trace;
use crate::upstream::call::Ledger;

/// What the server knows about a call before its message is read; it travels in the request's extensions.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// What the caller and the operators call it by.
    pub request_id: Option<http::HeaderValue>,
    /// What the call will have spent upstream.
    pub ledger: Arc<Ledger>,
    /// Where the call stands in its trace.
    pub trace: Trace,
}
