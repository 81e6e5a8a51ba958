//! Compressed bodies that are a trap.

use std::io::Write;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use flate2::write::GzEncoder;
use flate2::{Compress, Compression, Crc, FlushCompress};
use http::HeaderValue;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::response::Parts;

const MIB: usize = 1024 * 1024;

/// A gzip header without name, time or system (RFC 1952).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// The final deflate block, empty.
const LAST_BLOCK: [u8; 2] = [0x03, 0x00];

/// Answers with one well-formed gzip member of `megabytes` MiB of blanks, which a JSON parser reads on through.
pub(super) fn bomb(megabytes: u16) -> Response {
    let headers = [(CONTENT_TYPE, "application/json; charset=utf-8"), (CONTENT_ENCODING, "gzip")];
    (headers, blanks(usize::from(megabytes))).into_response()
}

/// Compresses one MiB, ends it on a byte boundary with no reference back, and repeats the result, so that making a bomb costs
/// nothing.
fn blanks(megabytes: usize) -> Vec<u8> {
    let plain = vec![b' '; MIB];
    let mut block = Vec::with_capacity(16 * 1024);
    Compress::new(Compression::best(), false)
        .compress_vec(&plain, &mut block, FlushCompress::Full)
        .expect("compressing to memory cannot fail");

    let mut crc = Crc::new();
    crc.update(&plain);
    let mut total = Crc::new();
    let mut body = HEADER.to_vec();
    for _ in 0..megabytes {
        body.extend_from_slice(&block);
        total.combine(&crc);
    }
    body.extend_from_slice(&LAST_BLOCK);
    body.extend_from_slice(&total.sum().to_le_bytes());
    body.extend_from_slice(&total.amount().to_le_bytes());
    body
}

/// Compresses `body` and inverts the second half of the result, so that a decoder gets going before it fails.
pub(super) fn broken(mut parts: Parts, body: &[u8]) -> Response {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let mut gzip = encoder.write_all(body).and_then(|()| encoder.finish()).expect("writing to memory cannot fail");
    let half = gzip.len() / 2;
    gzip[half..].iter_mut().for_each(|byte| *byte = !*byte);
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Response::from_parts(parts, Body::from(gzip))
}
