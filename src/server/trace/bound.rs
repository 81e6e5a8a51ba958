//! The measurements of a call that went well, per method, with their attributes looked up once.

use std::sync::{Arc, OnceLock};

use opentelemetry::KeyValue;
use opentelemetry::metrics::BoundHistogram;
use opentelemetry_semantic_conventions::attribute as semconv;

use super::method::{self, Method};
use crate::telemetry::Instruments;

/// One measurement per method, bound when it is first needed: what never happens has no series.
#[derive(Clone)]
pub struct Bound(Arc<[OnceLock<Measurement>]>);

/// How long it took, and what it cost.
pub struct Measurement {
    duration: BoundHistogram<f64>,
    requests: Option<BoundHistogram<u64>>,
}

impl Bound {
    /// Binds nothing yet.
    pub fn new() -> Self {
        Self((0..method::count()).map(|_| OnceLock::new()).collect())
    }

    /// Records a call whose status is OK.
    pub fn record(&self, method: Method, instruments: &Instruments, seconds: f64, requests: u32) {
        let bound = self.0[method.index].get_or_init(|| {
            let name = KeyValue::new(semconv::RPC_METHOD, method.name);
            let requests = method.ours.then(|| instruments.call_requests.bind(std::slice::from_ref(&name)));
            let (system, status) = (semconv::RPC_SYSTEM_NAME, semconv::RPC_RESPONSE_STATUS_CODE);
            let told = [KeyValue::new(system, "grpc"), name, KeyValue::new(status, "OK")];
            Measurement { duration: instruments.call_duration.bind(&told), requests }
        });
        bound.duration.record(seconds);
        if let Some(histogram) = &bound.requests {
            histogram.record(requests.into());
        }
    }
}
