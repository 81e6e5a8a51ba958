//! What a call is called by, where it stands in its trace, and where is counted what it spends.

use std::sync::Arc;

use crate::telemetry::Trace;
use crate::upstream::call::Ledger;

/// What a call is called by, where it stands in its trace, and where is counted what it spends.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// What the caller and the operators call it by.
    pub request_id: Option<http::HeaderValue>,
    /// What the call will have spent upstream.
    pub ledger: Arc<Ledger>,
    /// Where the call stands in its trace.
    pub trace: Trace,
}
