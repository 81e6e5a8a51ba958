//! A call's request id, its place in its trace, and the ledger of its upstream requests.

use std::sync::Arc;

use crate::telemetry::Trace;
use crate::telemetry::logs::sample::Samples;
use crate::upstream::call::Ledger;

/// A call's request id, its place in its trace, and the ledger of its upstream requests.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The id by which callers and operators name the call.
    pub request_id: Option<http::HeaderValue>,
    /// Counts the call's upstream requests.
    pub ledger: Arc<Ledger>,
    /// Where the call stands in its trace.
    pub trace: Trace,
    /// The replica that has forwarded the call here, if one has.
    pub via: Option<http::HeaderValue>,
    /// Bounds the lines about calls that changed nothing; none for calls that this process makes itself.
    pub samples: Option<Arc<Samples>>,
}
