//! The measurements of calls whose status is OK, by method. Their attributes are built once, because nearly all calls are such.

use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute as semconv;

use crate::rpc::method::{self, Method};
use crate::telemetry::Instruments;
use crate::telemetry::instruments;

/// The duration of calls, and their number of upstream requests.
pub struct Bound {
    duration: instruments::Bound<f64>,
    requests: instruments::Bound<u64>,
}

impl Bound {
    /// Measures with `instruments`.
    pub fn new(instruments: &Instruments) -> Self {
        let methods = method::count();
        Self {
            duration: instruments::Bound::new(&instruments.call_duration, methods),
            requests: instruments::Bound::new(&instruments.call_requests, methods),
        }
    }

    /// Records a call whose status is OK.
    pub fn record(&self, method: &Method, seconds: f64, requests: u32) {
        let name = || KeyValue::new(semconv::RPC_METHOD, method.name);
        self.duration.record(method.index, seconds, || {
            let (system, status) = (semconv::RPC_SYSTEM_NAME, semconv::RPC_RESPONSE_STATUS_CODE);
            vec![KeyValue::new(system, "grpc"), name(), KeyValue::new(status, "OK")]
        });
        if method.is_ours() {
            self.requests.record(method.index, requests.into(), || vec![name()]);
        }
    }
}
