//! What comes with a call besides its message: its path, its compression; and JSON before anybody knows what it is about.

use std::convert::Infallible;
use std::pin::pin;

use bytes::Bytes;
use http_body::{Body as _, Frame};
use http_body_util::StreamBody;
use serde_json::Value;
use zendesk_gateway::json;
use zendesk_gateway::rpc::method;
use zendesk_gateway::server::flood::unpack;
use zendesk_gateway::upstream::warnings::{LONGEST_BESIDE_ERROR, LONGEST_TEXT, Warnings};

/// Most bytes of a message.
const LIMIT: usize = 4 << 10;

/// Paths of calls: each is one of the contract's methods, or the one that stands for all others.
pub fn method_path(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let name = method::of(&text).name;
    assert!(name == "_OTHER" || text.strip_prefix('/').unwrap_or_default() == name, "{name}");
}

/// Compressed requests in pieces, whose size is the first byte: what comes out is whole messages within the limit.
pub fn packed(data: &[u8]) {
    let Some((size, body)) = data.split_first() else { return };
    let pieces: Vec<_> = body.chunks(usize::from(*size).max(1)).map(Bytes::copy_from_slice).collect();
    let body = StreamBody::new(futures_util::stream::iter(
        pieces.into_iter().map(|piece| Ok::<_, Infallible>(Frame::data(piece))),
    ));
    let request = http::Request::builder().header("grpc-encoding", "gzip").body(body).expect("a request");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let unpacked = runtime.block_on(async {
        let mut unpacked = pin!(unpack::request(request, LIMIT).into_body());
        let mut bytes = Vec::new();
        loop {
            match std::future::poll_fn(|context| unpacked.as_mut().poll_frame(context)).await {
                Some(Ok(frame)) => bytes.extend(frame.into_data().expect("no trailers were sent")),
                Some(Err(_)) => return None,
                None => return Some(bytes),
            }
        }
    });
    let Some(mut left) = unpacked.as_deref() else { return };
    while !left.is_empty() {
        assert!(left.len() >= 5 && left[0] != 1, "whole messages that are not packed any more");
        let length = u32::from_be_bytes(left[1..5].try_into().expect("four bytes")) as usize;
        assert!(left.len() >= 5 + length, "whole messages");
        left = &left[5 + length..];
    }
}

/// JSON objects: what a strict reader takes is taken, with the same content.
pub fn json(data: &[u8]) {
    let strictly = serde_json::from_slice::<Value>(data).ok().filter(Value::is_object);
    let read = json::decode::<Value>(data);
    if let Some(strictly) = strictly {
        let (read, losses) = read.expect("an object is read");
        assert!(losses.all.is_empty(), "nothing is lost of what is right");
        assert!(same(&read, &strictly), "{read} instead of {strictly}");
    }
}

/// Whether two values are the same. The strict reader's fractions may be off in their last place.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) if one.is_f64() && other.is_f64() => {
            let (one, other) = (one.as_f64().expect("a fraction"), other.as_f64().expect("a fraction"));
            (one - other).abs() <= one.abs() * 4.0 * f64::EPSILON
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| other.get(name).is_some_and(|other| same(one, other)))
        }
        (one, other) => one == other,
    }
}

/// Warnings of Zendesk's, one a line: their text fits into metadata.
pub fn warnings(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut warnings = Warnings::default();
    text.lines().for_each(|warning| warnings.add(warning));
    for longest in [LONGEST_TEXT, LONGEST_BESIDE_ERROR] {
        if let Some(text) = warnings.text(longest) {
            assert!(text.len() <= longest, "{}", text.len());
            assert!(text.parse::<tonic::metadata::AsciiMetadataValue>().is_ok(), "{text:?}");
        }
    }
}
