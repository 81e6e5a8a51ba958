//! An answer before it is put on the wire, and the recorded way to put it
//! there: entity tags, caching rules, and gzip where Zendesk uses it.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hasher};
use std::io::Write;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use super::view::json;

/// A route's answer. Refusals are replies, too.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub content_type: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// `cache-control` of a successful answer.
    pub cache: &'static str,
}

/// Either answer or refusal; both are put on the wire the same way.
pub type Outcome = Result<Reply, Reply>;

/// What a route function may return.
pub trait Answer {
    /// Returns the reply, which may be a refusal.
    fn reply(self) -> Reply;
}

impl Answer for Reply {
    fn reply(self) -> Reply {
        self
    }
}

impl Answer for Outcome {
    fn reply(self) -> Reply {
        self.unwrap_or_else(|refusal| refusal)
    }
}

const JSON: &str = "application/json; charset=utf-8";

impl Reply {
    /// A JSON answer.
    pub fn json(status: StatusCode, body: Vec<u8>) -> Self {
        Self { status, content_type: JSON, headers: Vec::new(), body, cache: "max-age=0, private, must-revalidate" }
    }

    /// 200 with a JSON body.
    pub fn ok(body: Vec<u8>) -> Self {
        Self::json(StatusCode::OK, body)
    }

    /// 204 without a body.
    pub fn no_content() -> Self {
        Self::json(StatusCode::NO_CONTENT, Vec::new())
    }

    /// The same answer with one more header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same answer, with a warning of what was ignored if there is one.
    pub fn warning(self, text: Option<String>) -> Self {
        match text {
            Some(text) => self.header("x-zendesk-api-warn", text),
            None => self,
        }
    }

    /// The same answer with another caching rule.
    pub fn cached(mut self, rule: &'static str) -> Self {
        self.cache = rule;
        self
    }

    /// Puts the answer on the wire for the request it answers.
    pub fn send(self, asked: &Asked) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        for (name, value) in self.headers {
            headers.append(name, text(&value));
        }
        if !self.status.is_success() || self.status == StatusCode::NO_CONTENT {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        } else {
            let tag = entity_tag(&self.body);
            let known = asked.method == Method::GET && asked.if_none_match.as_ref() == Some(&tag);
            headers.insert(header::ETAG, tag);
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(self.cache));
            if known {
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                return response;
            }
        }
        if self.body.is_empty() {
            return response;
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if asked.accepts_gzip && is_compressed(&asked.method, self.status) {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
            *response.body_mut() = chunked(gzip(&self.body));
        } else {
            *response.body_mut() = Body::from(self.body);
        }
        response
    }
}

/// The facts about a request that decide how its answer is sent.
#[derive(Clone, Debug)]
pub struct Asked {
    method: Method,
    accepts_gzip: bool,
    if_none_match: Option<HeaderValue>,
}

impl Asked {
    pub fn of(method: &Method, headers: &HeaderMap) -> Self {
        let encodings = headers.get_all(header::ACCEPT_ENCODING);
        let accepts_gzip = encodings.iter().any(|value| {
            let mut names = value.to_str().unwrap_or_default().split(',');
            names.any(|name| name.trim().starts_with("gzip"))
        });
        Self { method: method.clone(), accepts_gzip, if_none_match: headers.get(header::IF_NONE_MATCH).cloned() }
    }
}

/// As recorded: reads, updates and deletions, and refusals with a page of
/// their own; not 201 and not the small 400s.
fn is_compressed(method: &Method, status: StatusCode) -> bool {
    match status.as_u16() {
        200 => matches!(*method, Method::GET | Method::PUT | Method::DELETE),
        401 | 403 | 404 => true,
        _ => false,
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    written.expect("writing to memory cannot fail")
}

/// A body of unknown length, so that it goes out chunked as Zendesk's do.
fn chunked(body: Vec<u8>) -> Body {
    let once = futures_util::stream::once(async { Ok::<_, Infallible>(Bytes::from(body)) });
    Body::from_stream(once)
}

/// A weak tag with 32 digits like Zendesk's MD5; the digits are opaque.
fn entity_tag(body: &[u8]) -> HeaderValue {
    let mut first = DefaultHasher::new();
    first.write(body);
    let first = first.finish();
    let mut second = DefaultHasher::new();
    second.write_u64(first);
    second.write_usize(body.len());
    text(&format!("W/\"{first:016x}{:016x}\"", second.finish()))
}

fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A JSON object written key by key, so that records can be put in verbatim.
#[derive(Debug)]
pub struct Envelope(Vec<u8>);

impl Envelope {
    /// An empty object.
    pub fn new() -> Self {
        Self(vec![b'{'])
    }

    /// Adds a key with JSON that is already written.
    pub fn raw(mut self, key: &str, json: &[u8]) -> Self {
        self.key(key);
        self.0.extend_from_slice(json);
        self
    }

    /// Adds a key with a value.
    pub fn value(self, key: &str, value: &impl Serialize) -> Self {
        let json = json(value);
        self.raw(key, &json)
    }

    /// Adds a key with an array of records.
    pub fn rows(mut self, key: &str, rows: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.key(key);
        self.0.push(b'[');
        for (at, row) in rows.into_iter().enumerate() {
            if at > 0 {
                self.0.push(b',');
            }
            self.0.extend_from_slice(&row);
        }
        self.0.push(b']');
        self
    }

    /// Ends the object.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }

    fn key(&mut self, key: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
    }
}
