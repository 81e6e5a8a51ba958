//! What clients of the accept loop see, and what the loop notices about them.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::routing::{any, get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::*;

/// Long enough for any machine; a test that waits for it has failed.
const LONG: Duration = Duration::from_secs(10);

struct Server {
    address: std::net::SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(listener, app, async {
            // A dropped sender stops the server too.
            let _ = stopped.await;
        }));
        Self { address, stop: Some(stop), task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    async fn send(&self, request: &str) -> TcpStream {
        let mut client = self.connect().await;
        client.write_all(request.as_bytes()).await.expect("a request sent");
        client
    }

    async fn stop(&mut self) {
        drop(self.stop.take());
        tokio::time::timeout(LONG, &mut self.task).await.expect("the server stops").expect("the server does not panic");
    }
}

/// What a handler under test reports.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Started,
    Ended(Ended),
}

type Events = mpsc::UnboundedReceiver<Event>;

/// An app whose `/hang` never answers, whose `/quick` and `/empty` do, and which reports how each answer begins and ends.
fn watched() -> (Router, Events) {
    let (events, received) = mpsc::unbounded_channel();
    let events = Arc::new(events);
    let app = Router::new()
        .route("/hang", any(hang))
        .route("/quick", get(|| async { "quick" }))
        .route("/empty", get(|| async { StatusCode::NO_CONTENT }))
        .route("/drip", get(drip))
        .layer(axum::middleware::from_fn(move |request: Request, next: axum::middleware::Next| {
            let events = Arc::clone(&events);
            async move {
                let ends = Arc::clone(&events);
                let guard = AnswerGuard::new(&request, move |ended| {
                    let _ = ends.send(Event::Ended(ended));
                });
                let _ = events.send(Event::Started);
                guard.follow(next.run(request).await)
            }
        }));
    (app, received)
}

/// Hangs with the request in hand, its body unread.
async fn hang(request: Request) {
    std::future::pending::<()>().await;
    drop(request);
}

async fn drip(request: Request) -> String {
    let control: &ConnectionControl = request.extensions().get().expect("the accept loop adds it");
    control.drip(10, LONG);
    "x".repeat(1000)
}

async fn next(events: &mut Events) -> Event {
    tokio::time::timeout(LONG, events.recv()).await.expect("an event").expect("an open channel")
}

/// Returns how long it takes the server to notice that the client of `request` left, as the median of nine clients.
async fn time_to_notice(request: &str) -> Duration {
    let (app, mut events) = watched();
    let server = Server::start(app).await;
    let mut times = Vec::new();
    for _ in 0..9 {
        let client = server.send(request).await;
        assert_eq!(next(&mut events).await, Event::Started);
        let left = Instant::now();
        drop(client);
        assert_eq!(next(&mut events).await, Event::Ended(Ended::ClientLeft));
        times.push(left.elapsed());
    }
    times.sort();
    times[4]
}

#[tokio::test]
async fn a_client_that_leaves_while_the_handler_runs_is_noticed_at_once() {
    let time = time_to_notice("GET /hang HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(time < Duration::from_millis(50), "took {time:?}");
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_although_the_handler_never_read_the_body() {
    let body = "x".repeat(512 * 1024);
    let length = body.len();
    let request = format!("PUT /hang HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}");
    let time = time_to_notice(&request).await;
    assert!(time < Duration::from_millis(50), "took {time:?}");
}

#[tokio::test]
async fn a_client_that_leaves_before_the_last_byte_cancels_although_the_handler_is_done() {
    for farewell in ["", "connection: close\r\n"] {
        let request = format!("GET /drip HTTP/1.1\r\nhost: x\r\n{farewell}\r\n");
        let time = time_to_notice(&request).await;
        assert!(time < Duration::from_millis(50), "took {time:?}");
    }
}

#[tokio::test]
async fn an_answer_is_complete_with_its_last_byte_whenever_the_client_leaves() {
    let (app, mut events) = watched();
    let mut server = Server::start(app).await;
    let mut client = server.send("GET /quick HTTP/1.1\r\nhost: x\r\n\r\n").await;
    read_until(&mut client, "quick").await;
    for request in ["HEAD /quick HTTP/1.1\r\nhost: x\r\n\r\n", "GET /empty HTTP/1.1\r\nhost: x\r\n\r\n"] {
        client.write_all(request.as_bytes()).await.expect("sent");
        read_until(&mut client, "\r\n\r\n").await;
    }
    drop(client);
    server.stop().await;
    for _ in 0..3 {
        assert_eq!(next(&mut events).await, Event::Started);
        assert_eq!(next(&mut events).await, Event::Ended(Ended::Complete));
    }
    assert_eq!(events.recv().await, None, "each answer ends once");
}

async fn read_until(client: &mut TcpStream, end: &str) {
    let mut seen = Vec::new();
    while !seen.ends_with(end.as_bytes()) {
        let read = tokio::time::timeout(LONG, client.read_buf(&mut seen))
            .await
            .expect("an answer")
            .expect("an open connection");
        assert_ne!(read, 0, "closed after {:?}", String::from_utf8_lossy(&seen));
    }
}

#[tokio::test]
async fn stopping_closes_idle_connections_and_takes_no_new_ones() {
    let (app, _events) = watched();
    let mut server = Server::start(app).await;
    let mut client = server.send("GET /quick HTTP/1.1\r\nhost: x\r\n\r\n").await;
    read_until(&mut client, "quick").await;
    server.stop().await;
    assert_eq!(client.read(&mut [0]).await.expect("a close"), 0);
    let refused = TcpStream::connect(server.address).await.expect_err("gone");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn stopping_waits_for_an_answer_in_progress() {
    let (release, released) = oneshot::channel::<()>();
    let (started, starts) = oneshot::channel::<()>();
    let held = Arc::new(std::sync::Mutex::new(Some((started, released))));
    let app = Router::new().route(
        "/held",
        get(move || async move {
            let (started, released) = held.lock().expect("not poisoned").take().expect("asked once");
            started.send(()).expect("the test waits");
            released.await.expect("the test releases");
            "held"
        }),
    );
    let mut server = Server::start(app).await;
    let mut client = server.send("GET /held HTTP/1.1\r\nhost: x\r\n\r\n").await;
    starts.await.expect("the handler starts");
    drop(server.stop.take());
    release.send(()).expect("the handler waits");
    read_until(&mut client, "held").await;
    server.stop().await;
}

#[tokio::test]
async fn a_hanging_answer_does_not_keep_the_server_from_stopping() {
    let (app, mut events) = watched();
    let mut server = Server::start(app).await;
    let mut client = server.send("GET /hang HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(next(&mut events).await, Event::Started);
    server.stop().await;
    assert_eq!(client.read(&mut [0]).await.expect("a close"), 0);
}

#[tokio::test]
async fn dropping_the_server_closes_its_connections() {
    let (app, mut events) = watched();
    let server = Server::start(app).await;
    let mut client = server.send("GET /hang HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(next(&mut events).await, Event::Started);
    server.task.abort();
    let closed = tokio::time::timeout(LONG, client.read(&mut [0])).await;
    assert_eq!(closed.expect("at once").expect("a close"), 0);
}

#[tokio::test]
async fn a_request_body_beyond_the_cap_is_refused() {
    let (app, _events) = watched();
    let server = Server::start(app).await;
    let request = format!("PUT /hang HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", MAX_REQUEST_BODY + 1);
    let mut client = server.send(&request).await;
    let piece = vec![b' '; 1024 * 1024];
    let mut status = [0; 12];
    let exchange = async {
        for _ in 0..32 {
            client.write_all(&piece).await?;
        }
        client.write_all(b" ").await?;
        client.read_exact(&mut status).await
    };
    let answered = tokio::time::timeout(LONG, exchange).await;
    answered.expect("in time").expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 413");
}
