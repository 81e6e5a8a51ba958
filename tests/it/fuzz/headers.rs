//! What callers and Zendesk say in headers.

use http::{HeaderMap, HeaderName, HeaderValue};
use zendesk_gateway::cache::Control;
use zendesk_gateway::error::Error;
use zendesk_gateway::limits::{LONGEST_TOLD, LONGEST_WAIT, Limits, retry_after};
use zendesk_gateway::rpc::timeout;
use zendesk_gateway::telemetry;
use zendesk_gateway::upstream::credential::{impersonated, passed_through};

fn header(name: &'static str, data: &[u8]) -> Option<HeaderMap> {
    Some(HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_bytes(data).ok()?)]))
}

/// Headers, one `name: value` per line.
pub fn headers(data: &[u8]) -> HeaderMap {
    let lines = data.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        Some((name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?))
    });
    lines.collect()
}

/// `grpc-timeout`.
pub fn grpc_timeout(data: &[u8]) {
    let Some(headers) = header("grpc-timeout", data) else { return };
    match timeout::read(&headers) {
        Ok(read) => {
            let (unit, digits) = data.split_last().expect("an empty value is refused");
            assert!(
                (1..=8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) && b"HMSmun".contains(unit)
            );
            assert!(read.expect("it is there").as_secs() <= 99_999_999 * 3600);
        }
        Err(error) => assert!(matches!(error, Error::Invalid { field, .. } if field == "grpc-timeout")),
    }
}

/// `retry-after` and what responses say about budgets.
pub fn rate_headers(data: &[u8]) {
    let headers = headers(data);
    assert!(retry_after(&headers, std::time::SystemTime::now()).is_none_or(|wait| wait <= LONGEST_TOLD));
    let limits = Limits::of(&headers, std::time::SystemTime::UNIX_EPOCH);
    let mut windows = limits.account.iter().chain(limits.buckets.iter().map(|(_, window)| window));
    assert!(windows.all(|window| window.reset.is_none_or(|reset| reset <= LONGEST_WAIT)));
}

/// `cache-control`.
pub fn cache_control(data: &[u8]) {
    let Some(headers) = header("cache-control", data) else { return };
    if let Err(error) = Control::from_metadata(&tonic::metadata::MetadataMap::from_headers(headers)) {
        assert!(matches!(error, Error::Invalid { field, .. } if field == "cache-control"));
    }
}

/// Credentials and users in metadata.
pub fn credential(data: &[u8]) {
    if let Ok(credential) = passed_through(data) {
        let header = credential.header().expect("it was passed through");
        let text = header.to_str().expect("ASCII");
        assert!(text.starts_with("Basic ") || text.starts_with("Bearer "));
        assert!(text.bytes().filter(|byte| !byte.is_ascii_graphic()).count() == 1 && !credential.is_own());
        let again = passed_through(text.as_bytes()).expect("what is sent is accepted");
        assert_eq!(again.fingerprint(), credential.fingerprint());
    }
    if let Ok(user) = impersonated(data) {
        assert!(user.as_bytes() == data && data.iter().all(u8::is_ascii_graphic) && data.len() <= 254);
    }
}

/// Trace context of callers.
pub fn trace_context(data: &[u8]) {
    drop(telemetry::trace::incoming(&headers(data)));
}
