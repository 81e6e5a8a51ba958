//! What the sandbox saw: every request, and counts by path and by route.
//!
//! Tests look here for what really reached Zendesk; what a client reports about
//! itself is no evidence.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use super::World;
use super::connection::{AnswerGuard, Ended};

/// Requests that are kept in full.
const KEPT: usize = 10_000;

/// Largest request body that is read.
const LARGEST_BODY: usize = 16 * 1024 * 1024;

/// One request as it arrived, and what became of it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// When it came.
    pub came: Instant,
    /// The version of HTTP that it came by.
    pub version: Version,
    /// HTTP method in capitals.
    pub method: String,
    /// Path as sent, still percent-encoded, with `.json` if it was there.
    pub path: String,
    /// Query as sent, still percent-encoded; empty if there was none.
    pub query: String,
    /// Body as sent.
    pub body: Bytes,
    /// Headers as sent.
    pub headers: HeaderMap,
    /// Status of the answer, once there is one.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer is not complete yet.
    InFlight,
    /// The whole answer was written to the connection.
    Completed,
    /// The client went away before that.
    Cancelled,
    /// A fault closed the connection, or on HTTP/2 the stream, before that.
    Cut,
}

impl From<Ended> for Outcome {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Complete => Self::Completed,
            Ended::ClientLeft => Self::Cancelled,
            Ended::Cut => Self::Cut,
        }
    }
}

/// The path as sent; the routes see it without its suffix.
#[derive(Clone, Debug)]
pub struct SentPath(pub String);

/// Remembers requests.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Records>);

#[derive(Debug, Default)]
struct Records {
    /// Number of the first request in `ring`.
    first: u64,
    ring: VecDeque<Recorded>,
    by_path: HashMap<String, u64>,
    by_route: BTreeMap<String, u64>,
    total: u64,
    cancelled: u64,
    throttled: u64,
    in_flight: u64,
    http2: u64,
    gzipped: u64,
}

/// Counts as `GET /__sandbox/stats` shows them.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Stats {
    /// Requests since the last reset.
    pub total: u64,
    /// Requests by method and route, such as `GET /api/v2/users/{user_id}`.
    pub hits: BTreeMap<String, u64>,
    /// Requests whose client went away before the answer was complete.
    pub cancelled: u64,
    /// Answers with status 429 from the sandbox's own limits.
    pub throttled: u64,
    /// Requests whose answer is not complete yet.
    pub in_flight: u64,
    /// Requests that came over HTTP/2.
    pub http2: u64,
    /// Answers whose body was packed with gzip.
    pub gzipped: u64,
}

impl Recorder {
    fn records(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn hits(&self, path: &str) -> u64 {
        self.records().by_path.get(path).copied().unwrap_or(0)
    }

    pub fn total(&self) -> u64 {
        self.records().total
    }

    pub fn requests(&self) -> Vec<Recorded> {
        self.records().ring.iter().cloned().collect()
    }

    pub fn stats(&self) -> Stats {
        let records = self.records();
        Stats {
            total: records.total,
            hits: records.by_route.clone(),
            cancelled: records.cancelled,
            throttled: records.throttled,
            in_flight: records.in_flight,
            http2: records.http2,
            gzipped: records.gzipped,
        }
    }

    /// Forgets everything but the requests in flight.
    pub fn reset(&self) {
        let mut records = self.records();
        *records = Records {
            first: records.first + records.ring.len() as u64,
            in_flight: records.in_flight,
            ..Records::default()
        };
    }

    pub fn count_throttled(&self) {
        self.records().throttled += 1;
    }

    /// Notes a request and returns its number.
    fn begin(&self, route: String, path: &str, recorded: Recorded) -> u64 {
        let mut records = self.records();
        records.total += 1;
        records.in_flight += 1;
        records.http2 += u64::from(recorded.version == Version::HTTP_2);
        *records.by_route.entry(route).or_default() += 1;
        *records.by_path.entry(path.to_owned()).or_default() += 1;
        if records.ring.len() == KEPT {
            records.ring.pop_front();
            records.first += 1;
        }
        records.ring.push_back(recorded);
        records.first + records.ring.len() as u64 - 1
    }

    fn answered(&self, number: u64, response: &Response) {
        let mut records = self.records();
        let encoding = response.headers().get(header::CONTENT_ENCODING);
        records.gzipped += u64::from(encoding.is_some_and(|encoding| encoding == "gzip"));
        if let Some(recorded) = records.get(number) {
            recorded.status = Some(response.status().as_u16());
        }
    }

    fn end(&self, number: u64, outcome: Outcome) {
        let mut records = self.records();
        records.in_flight = records.in_flight.saturating_sub(1);
        records.cancelled += u64::from(outcome == Outcome::Cancelled);
        if let Some(recorded) = records.get(number) {
            recorded.outcome = outcome;
        }
    }
}

impl Records {
    fn get(&mut self, number: u64) -> Option<&mut Recorded> {
        let at = number.checked_sub(self.first)?;
        self.ring.get_mut(usize::try_from(at).ok()?)
    }
}

/// Notes the request, adds the headers that every answer carries, and watches
/// whether the client stays for all of it.
///
/// Changes run to their end even if the client goes away, as on a real server.
pub async fn layer(State(world): State<Arc<World>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LARGEST_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let path = parts.uri.path();
    let route = parts.extensions.get::<MatchedPath>();
    let route = route.map_or("(no route)", MatchedPath::as_str);
    let sent = parts.extensions.get::<SentPath>();
    let recorded = Recorded {
        came: started,
        version: parts.version,
        method: parts.method.to_string(),
        path: sent.map_or_else(|| path.to_owned(), |sent| sent.0.clone()),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        body: body.clone(),
        headers: parts.headers.clone(),
        status: None,
        outcome: Outcome::InFlight,
    };
    let route = format!("{} {route}", parts.method);
    let number = world.recorder.begin(route, path, recorded);
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    let request = Request::from_parts(parts, Body::from(body));
    let judge = Arc::clone(&world);
    let guard = AnswerGuard::new(&request, move |ended| judge.recorder.end(number, ended.into()));
    let answer = next.run(request);
    let mut response = if reads {
        answer.await
    } else {
        let answer = tokio::spawn(answer).await;
        answer.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    };
    world.recorder.answered(number, &response);
    stamp(response.headers_mut(), started);
    guard.follow(response)
}

/// The headers of every answer.
fn stamp(headers: &mut HeaderMap, started: Instant) {
    let request_id = format!("{:016x}-SBX", fastrand::u64(..));
    let runtime = format!("{:.6}", started.elapsed().as_secs_f64());
    for (name, value) in [("x-request-id", request_id), ("x-runtime", runtime)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.entry(name).or_insert(value);
        }
    }
    let fixed = [("x-zendesk-api-version", "v2"), ("x-zendesk-origin-server", "sandbox-app-server-0")];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
