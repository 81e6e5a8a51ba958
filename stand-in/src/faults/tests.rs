//! Every fault as a client sees it, over a real connection.

mod answers;
mod breaks;
mod control;
mod pages;
mod rules;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::get as on_get;
use axum::{Json, Router};
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value as Document, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};

use super::*;
use crate::connection::{self, AnswerGuard, Ended};

/// Long enough for any machine; a test that waits for it has failed.
const LONG: Duration = Duration::from_secs(10);

/// A small API behind the faults: a user, pages of users, and a place to write to.
struct Stand {
    address: SocketAddr,
    faults: Faults,
    handled: Arc<AtomicUsize>,
    ends: Mutex<mpsc::UnboundedReceiver<Ended>>,
}

impl Stand {
    async fn start() -> Self {
        let faults = Faults::default();
        let handled = Arc::new(AtomicUsize::new(0));
        let (ended, ends) = mpsc::unbounded_channel();
        let routes = api(Arc::clone(&handled)).merge(control_routes(faults.clone()));
        let app = wrap(routes, faults.clone()).layer(from_fn_with_state(ended, record));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let door = faults.clone();
        tokio::spawn(connection::serve_admitting(
            listener,
            app,
            move || door.admits_connection(),
            std::future::pending(),
        ));
        Self { address, faults, handled, ends: Mutex::new(ends) }
    }

    /// Adds a rule the way the sandbox's handle does it.
    fn fault<F: Into<Fault>>(&self, when: Matcher, rule: Rule<F>) -> RuleId {
        self.faults.add(rule.when(when))
    }

    /// Returns how many requests reached the handlers.
    fn handled(&self) -> usize {
        self.handled.load(Ordering::SeqCst)
    }

    /// Returns how the next answer ended.
    async fn next_end(&self) -> Ended {
        let mut ends = self.ends.lock().await;
        tokio::time::timeout(LONG, ends.recv()).await.expect("an answer ends").expect("the stand runs")
    }

    /// Sends a request without a body and reads until the connection ends, however it ends.
    async fn ask(&self, method: &str, target: &str) -> Seen {
        let request = format!("{method} {target} HTTP/1.1\r\nhost: stand.example\r\nconnection: close\r\n\r\n");
        self.exchange(request.as_bytes()).await
    }

    async fn get(&self, target: &str) -> Seen {
        self.ask("GET", target).await
    }

    /// Sends a request with a JSON body.
    async fn send(&self, method: &str, target: &str, body: &str) -> Seen {
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nhost: stand.example\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        self.exchange(request.as_bytes()).await
    }

    async fn exchange(&self, request: &[u8]) -> Seen {
        let mut client = TcpStream::connect(self.address).await.expect("a connection");
        let mut bytes = Vec::new();
        let outcome = async {
            client.write_all(request).await?;
            while client.read_buf(&mut bytes).await? > 0 {}
            Ok::<(), std::io::Error>(())
        };
        let ended = tokio::time::timeout(LONG, outcome).await.expect("the connection ends");
        Seen { bytes, ended: ended.map_err(|error| error.kind()) }
    }
}

/// Stands in for the recorder of exchanges, outside the faults.
async fn record(State(ends): State<mpsc::UnboundedSender<Ended>>, request: Request, next: Next) -> Response {
    let guard = AnswerGuard::new(&request, move |ended| {
        let _ = ends.send(ended);
    });
    guard.follow(next.run(request).await)
}

/// What a client saw of one exchange.
struct Seen {
    bytes: Vec<u8>,
    ended: Result<(), ErrorKind>,
}

impl Seen {
    fn head(&self) -> String {
        let end = self.bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.expect("a complete head");
        String::from_utf8(self.bytes[..end].to_vec()).expect("headers in ASCII")
    }

    fn status(&self) -> u16 {
        self.head()[9..12].parse().expect("a status line")
    }

    fn header(&self, wanted: &str) -> Option<String> {
        self.head().lines().skip(1).find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            (name == wanted).then(|| value.to_owned())
        })
    }

    /// Returns what came after the head.
    fn body(&self) -> &[u8] {
        &self.bytes[self.head().len() + 4..]
    }

    fn text(&self) -> &str {
        std::str::from_utf8(self.body()).expect("text")
    }

    fn json(&self) -> Document {
        serde_json::from_slice(self.body()).expect("JSON")
    }

    /// Returns what content-length promises.
    fn promised(&self) -> usize {
        let length = self.header("content-length").expect("a content-length");
        length.parse().expect("a number")
    }
}

/// The user that the stand holds.
fn user() -> Document {
    json!({ "user": { "id": 7, "name": "Johnny Agent", "notes": "a".repeat(2000) } })
}

fn api(handled: Arc<AtomicUsize>) -> Router {
    Router::new()
        .route("/api/v2/users/7", on_get(user_with_headers))
        .route("/api/v2/users", on_get(page).post(|| async { Json(user()) }))
        .route("/api/v2/accepted", on_get(accepted))
        .route("/api/v2/search", on_get(offset_page))
        .route_layer(from_fn(move |request, next: Next| {
            handled.fetch_add(1, Ordering::SeqCst);
            next.run(request)
        }))
}

/// Answers with the headers that describe the body, so that a fault which changes it must change them.
async fn user_with_headers() -> ([(HeaderName, String); 2], Json<Document>) {
    let length = user().to_string().len().to_string();
    let headers = [(ETAG, "W/\"7\"".to_owned()), (CONTENT_LENGTH, length)];
    (headers, Json(user()))
}

/// Answers with the content codings that the handler was offered.
async fn accepted(headers: HeaderMap) -> Json<Document> {
    let offered = headers.get(ACCEPT_ENCODING).map(HeaderValue::to_str);
    Json(json!(offered.map(|codings| codings.expect("text"))))
}

#[derive(serde::Deserialize)]
struct Cursor {
    #[serde(rename = "page[after]", default)]
    after: Option<String>,
}

/// Answers three cursor pages of two users each, under the cursors `c1` to `c3`; any other cursor is refused.
async fn page(Query(Cursor { after }): Query<Cursor>) -> (http::StatusCode, Json<Document>) {
    let number = match after.as_deref() {
        None => 1,
        Some("c1") => 2,
        Some("c2") => 3,
        Some(_) => return (http::StatusCode::BAD_REQUEST, Json(json!({ "errors": [] }))),
    };
    let next = format!("https://other.example/api/v2/users.json?page%5Bafter%5D=c{number}");
    let page = json!({
        "users": [{ "id": number * 2 - 1 }, { "id": number * 2 }],
        "meta": { "has_more": number < 3, "after_cursor": format!("c{number}"), "before_cursor": "b" },
        "links": { "next": next, "prev": "https://other.example/" },
    });
    (http::StatusCode::OK, Json(page))
}

async fn offset_page() -> Json<Document> {
    Json(json!({
        "results": [{ "id": 1 }],
        "next_page": "https://other.example/api/v2/search.json?page=3&query=x",
        "previous_page": null,
        "count": 500,
    }))
}
