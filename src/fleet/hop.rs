//! Connections from a follower to the leader.
//!
//! Each thread that serves callers has two of its own: one for calls with one reply, one for streams. A reply that nobody reads
//! holds back its own window and no other: the window of the connection is larger than those of all its calls together.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex as Turn;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use super::tls::Loaded;
use super::wire::{ACCOUNT, CONTRACT, CONTRACT_OF, DRAIN, HELLO, NOT_LEADER, NOT_READY, TERM, VOID, number};
use crate::config::host_and_port;
use crate::gateway::Drain;
use crate::upstream::transport::loss::Loss;
use crate::watch::Watched;

/// Longest that a connection may take, and the answer to what one replica asks another.
pub const TIMEOUT: Duration = Duration::from_millis(1_500);
/// How often the leader is asked for a sign of life, and how long it may take.
const PING: Duration = Duration::from_secs(1);
const PONG: Duration = Duration::from_secs(2);
/// Bytes of one reply that may come before they are read.
const STREAM_WINDOW: u32 = 64 << 10;
/// The same for all replies of a connection: as much as HTTP/2 can say, so that it never counts.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// Most bytes of a response's metadata.
const HEADER_LIST: u32 = 64 << 10;

thread_local! {
    /// Which of the lines this thread uses.
    static LINE: usize = NEXT.fetch_add(1, Ordering::Relaxed);
}
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// What a request became of that was not answered.
#[derive(Debug)]
pub enum Lost {
    /// It was not carried out, and never will be. The request, if it came back.
    NotTaken(Option<Box<Request<Body>>>),
    /// It may have been carried out.
    Unknown,
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The leader does not answer, or something else does.
    Silent,
    /// It serves another account.
    OtherAccount,
    /// It has another contract.
    OtherContract,
    /// It is not ready itself.
    NotReady,
}

impl Refused {
    /// Returns its word on the status page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::OtherAccount => "other_account",
            Self::OtherContract => "other_contract",
            Self::NotReady => "not_ready",
        }
    }
}

/// Where the leader is, and how this replica proves itself.
pub struct Way {
    /// Host and port.
    pub leader: String,
    /// Made of the certificate files.
    pub tls: Watched<Loaded>,
    /// The account of this replica.
    pub account: HeaderValue,
}

/// An open connection.
#[derive(Clone)]
pub struct Open {
    requests: SendRequest<Body>,
    ended: CancellationToken,
    /// The leader's term.
    pub term: u64,
}

impl Way {
    /// Connects, and compares contract and account with the leader's. Everything in `void` is void at the leader before it answers.
    pub async fn open(&self, void: Option<HeaderValue>) -> Result<Open, Refused> {
        timeout(TIMEOUT, self.connect(void)).await.unwrap_or(Err(Refused::Silent))
    }

    async fn connect(&self, void: Option<HeaderValue>) -> Result<Open, Refused> {
        let silent = |_| Refused::Silent;
        let (host, port) = host_and_port(&self.leader).ok_or(Refused::Silent)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Refused::Silent)?;
        let socket = TcpStream::connect((host, port)).await.map_err(silent)?;
        socket.set_nodelay(true).map_err(silent)?;
        let tls = TlsConnector::from(Arc::clone(&self.tls.get().config)).connect(name, socket).await.map_err(silent)?;
        let (mut requests, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEADER_LIST)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(tls))
            .await
            .map_err(|_| Refused::Silent)?;
        let ended = CancellationToken::new();
        let end = ended.clone().drop_guard();
        tokio::spawn(async move {
            let _end = end;
            connection.await.ok(); // who has a request on it learns why
        });
        let mut headers = HeaderMap::new();
        headers.insert(CONTRACT_OF, CONTRACT.into());
        headers.insert(ACCOUNT, self.account.clone());
        headers.extend(void.map(|void| (VOID, void)));
        let hello = ask(&mut requests, HELLO, headers).await.ok_or(Refused::Silent)?;
        let said = |name: HeaderName| hello.headers().get(name);
        if said(CONTRACT_OF).and_then(number) != Some(CONTRACT.into()) {
            return Err(if said(CONTRACT_OF).is_some() { Refused::OtherContract } else { Refused::Silent });
        }
        if said(ACCOUNT) != Some(&self.account) {
            return Err(Refused::OtherAccount);
        }
        if said(NOT_READY).is_some() {
            return Err(Refused::NotReady);
        }
        let term = said(TERM).and_then(number).ok_or(Refused::Silent)?;
        Ok(Open { requests, ended, term })
    }
}

/// Asks the leader for something that is no call of a caller; none if it does not do it.
async fn ask(requests: &mut SendRequest<Body>, path: &'static str, headers: HeaderMap) -> Option<Response<Incoming>> {
    let mut request = Request::post(format!("https://fleet{path}")).body(Body::empty()).ok()?;
    *request.headers_mut() = headers;
    request.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert(http::header::TE, HeaderValue::from_static("trailers"));
    let response = timeout(TIMEOUT, requests.send_request(request)).await.ok()?.ok()?;
    (response.headers().get("grpc-status").is_some_and(|status| status == "0")).then_some(response)
}

impl Open {
    /// True once no request can be sent any more.
    pub fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }

    /// Completes when the connection has ended.
    pub async fn closed(&self) {
        self.ended.cancelled().await;
    }

    /// Has the leader do something that is no call of a caller; false if it does not say that it did.
    pub async fn ask(&self, path: &'static str, headers: HeaderMap) -> bool {
        ask(&mut self.requests.clone(), path, headers).await.is_some()
    }

    /// Sends a call.
    pub async fn send(mut self, request: Request<Body>) -> Result<Response<Incoming>, Lost> {
        match self.requests.try_send_request(request).await {
            Ok(response) if response.headers().contains_key(NOT_LEADER) => Err(Lost::NotTaken(None)),
            Ok(response) => Ok(response),
            Err(mut lost) => match lost.take_message() {
                Some(request) => Err(Lost::NotTaken(Some(Box::new(request)))),
                None if matches!(Loss::of(lost.error()), Loss::NotProcessed | Loss::Refused) => {
                    Err(Lost::NotTaken(None))
                }
                None => Err(Lost::Unknown),
            },
        }
    }
}

/// A connection that is opened when it is needed.
#[derive(Default)]
pub struct Line {
    open: Mutex<Option<Open>>,
    opening: Turn<()>,
    /// How many tries to open it have failed.
    failed: AtomicUsize,
}

impl Line {
    /// Returns the connection if it is open.
    pub fn now(&self) -> Option<Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|open| !open.is_closed())
    }

    /// Returns the connection, which is opened if it is not. If it is one of streams, the leader is told of `drain`.
    pub async fn open(&self, way: &Way, drain: Option<&Drain>) -> Result<Open, Refused> {
        let failed = self.failed.load(Ordering::Relaxed);
        let _one = self.opening.lock().await;
        if let Some(open) = self.now() {
            return Ok(open);
        }
        // Whoever has waited for another's try that failed looks around first whether the leader is still there.
        if self.failed.load(Ordering::Relaxed) != failed {
            return Err(Refused::Silent);
        }
        let open = way.open(None).await.inspect_err(|_| {
            self.failed.fetch_add(1, Ordering::Relaxed);
        })?;
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(open.clone());
        if let Some(drain) = drain {
            let (drain, open) = (drain.clone(), open.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = drain.begun() => {
                        open.ask(DRAIN, HeaderMap::new()).await;
                    }
                    () = open.closed() => {}
                }
            });
        }
        Ok(open)
    }
}

/// The connections of all threads: for each, one for calls with one reply and one for streams.
pub struct Lines(Box<[[Line; 2]]>);

impl Lines {
    /// Returns lines for so many threads.
    pub fn new(threads: usize) -> Self {
        Self((0..threads.max(1)).map(|_| <[Line; 2]>::default()).collect())
    }

    /// Returns the line of this thread for a call.
    pub fn line(&self, streaming: bool) -> &Line {
        &self.0[LINE.with(|line| line % self.0.len())][usize::from(streaming)]
    }
}
