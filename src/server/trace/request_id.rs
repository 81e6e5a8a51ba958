//! `x-request-id`: the id by which both a caller and an operator name a call.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::TraceId;

use crate::telemetry::hex;

/// The metadata key.
pub const NAME: HeaderName = HeaderName::from_static("x-request-id");
/// Most bytes of a caller's id that is used.
const MAX_BYTES: usize = 64;

/// Returns the caller's id if it is 1 to 64 letters, digits or any of `-_.`, else the trace id, so that one id finds both the
/// call and its trace.
pub fn of(headers: &HeaderMap, trace: TraceId) -> HeaderValue {
    let sane = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        (1..=MAX_BYTES).contains(&bytes.len()) && bytes.iter().all(allowed)
    };
    // `from_owner` lets all clones of the value share the digits.
    let digits = || Bytes::from_owner(hex::trace(trace));
    let generated = || HeaderValue::from_maybe_shared(digits()).expect("digits are a header value");
    headers.get(&NAME).filter(sane).cloned().unwrap_or_else(generated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sane_id_is_taken_over() {
        let trace = TraceId::from_hex("0af7651916cd43dd8448eb211c80319c").expect("a trace id");
        let taken = |id: &str| {
            let value = HeaderValue::from_str(id).expect("a header value");
            of(&HeaderMap::from_iter([(NAME, value)]), trace)
        };
        assert_eq!(taken("order-7_2.B"), "order-7_2.B");
        for insane in ["", "a b", "agent@example.com", "a\"b", &"x".repeat(65)] {
            assert_eq!(taken(insane), "0af7651916cd43dd8448eb211c80319c", "{insane}");
        }
        assert_eq!(of(&HeaderMap::new(), trace), "0af7651916cd43dd8448eb211c80319c");
    }
}
