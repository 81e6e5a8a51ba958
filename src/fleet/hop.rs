//! Connections from a follower to the leader.
//!
//! Each thread that serves callers has two of its own: one for calls with one reply, one for streams. A reply that nobody reads
//! holds back its own window and no other: the window of the connection is larger than those of all its calls together.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex as Turn;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use super::elected::Elected;
use super::tls::Loaded;
use super::wire::{
    ACCOUNT, CONTRACT, CONTRACT_OF, DRAIN, FINDINGS, FOUND, HEARD, HELLO, NOT_LEADER, NOT_READY, PING as ASK, TERM,
    TOKEN, VOID, number,
};
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
    /// The same, because the replica does not lead.
    NotLeader,
    /// It may have been carried out.
    Unknown,
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The leader does not answer, or something else does.
    Silent,
    /// It shows a certificate that is not of the fleet's authority, names another host, or has ended.
    BadCertificate,
    /// It serves another account.
    OtherAccount,
    /// It has another contract.
    OtherContract,
    /// It does not lead, or not yet.
    NotLeading,
    /// It does not take this replica's token.
    Untrusted,
    /// It is not ready itself.
    NotReady,
}

impl Refused {
    /// Returns why there is no TLS.
    fn of(error: &std::io::Error) -> Self {
        let error = error.get_ref().and_then(|error| error.downcast_ref());
        if matches!(error, Some(rustls::Error::InvalidCertificate(_))) { Self::BadCertificate } else { Self::Silent }
    }

    /// Returns its word on the status page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::BadCertificate => "bad_certificate",
            Self::OtherAccount => "other_account",
            Self::OtherContract => "other_contract",
            Self::NotLeading => "not_leading",
            Self::Untrusted => "untrusted",
            Self::NotReady => "not_ready",
        }
    }
}

/// By what a replica knows another.
pub enum Trust {
    /// By certificate files.
    Files(Watched<Loaded>),
    /// By its key, which stands in the Lease.
    Key(Arc<ClientConfig>),
}

/// Where another replica is, and how this one proves itself.
pub struct Way {
    /// Host and port.
    pub leader: String,
    /// By what it is known.
    pub trust: Trust,
    /// The account of this replica.
    pub account: HeaderValue,
    /// This replica, if the fleet elects its leader.
    pub elected: Option<Arc<Elected>>,
    /// True if it leads to this replica itself.
    pub own: bool,
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
        timeout(TIMEOUT, self.hello(void)).await.unwrap_or(Err(Refused::Silent))
    }

    /// Connects, and says who this replica is, whoever leads.
    pub async fn greet(&self) -> Option<Open> {
        let open = timeout(TIMEOUT, self.connect()).await.ok()?.ok()?;
        open.ask(HELLO, self.said(None)).await;
        Some(open)
    }

    async fn connect(&self) -> Result<Open, Refused> {
        let (host, port) = host_and_port(&self.leader).ok_or(Refused::Silent)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Refused::Silent)?;
        let socket = TcpStream::connect((host, port)).await.map_err(|_| Refused::Silent)?;
        socket.set_nodelay(true).map_err(|_| Refused::Silent)?;
        let config = match &self.trust {
            Trust::Files(files) => Arc::clone(&files.get().config),
            Trust::Key(config) => Arc::clone(config),
        };
        let tls = TlsConnector::from(config).connect(name, socket).await.map_err(|error| Refused::of(&error))?;
        let (requests, connection) = http2::Builder::new(TokioExecutor::new())
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
        Ok(Open { requests, ended, term: 0 })
    }

    /// What this replica says of itself when it connects.
    fn said(&self, void: Option<HeaderValue>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTRACT_OF, CONTRACT.into());
        if let Some(elected) = &self.elected {
            headers = elected.said();
            let token = if self.own { Some(elected.secret().clone()) } else { elected.token() };
            headers.extend(token.map(|token| (TOKEN, token)));
        }
        headers.insert(ACCOUNT, self.account.clone());
        headers.extend(void.map(|void| (VOID, void)));
        headers
    }

    async fn hello(&self, void: Option<HeaderValue>) -> Result<Open, Refused> {
        let mut open = self.connect().await?;
        let hello = answer(&mut open.requests, HELLO, self.said(void), Body::empty()).await.ok_or(Refused::Silent)?;
        let said = |name: HeaderName| hello.headers().get(name);
        let their_contract = said(CONTRACT_OF).and_then(number).ok_or(Refused::Silent)?;
        if let Some(elected) = &self.elected {
            elected.hear(said(HEARD).and_then(number).unwrap_or_default());
        }
        // A replica of a newer contract knows the older ones. In the settings' fleet all have the same.
        let fits = match &self.elected {
            Some(elected) => their_contract >= u64::from(elected.contract()),
            None => their_contract == u64::from(CONTRACT),
        };
        if !fits {
            return Err(Refused::OtherContract);
        }
        // Who is not believed is not told of which account it is.
        if self.elected.is_some() && !is_done(&hello) {
            return Err(Refused::Untrusted);
        }
        if said(ACCOUNT) != Some(&self.account) {
            return Err(Refused::OtherAccount);
        }
        if !is_done(&hello) {
            return Err(Refused::Silent);
        }
        if said(NOT_READY).is_some() {
            return Err(Refused::NotReady);
        }
        let unsaid = if self.elected.is_some() { Refused::NotLeading } else { Refused::Silent };
        open.term = said(TERM).and_then(number).ok_or(unsaid)?;
        Ok(open)
    }
}

fn is_done(response: &Response<Incoming>) -> bool {
    response.headers().get("grpc-status").is_some_and(|status| status == "0")
}

/// Asks another replica for something that is no call of a caller.
async fn answer(
    requests: &mut SendRequest<Body>,
    path: &'static str,
    headers: HeaderMap,
    body: Body,
) -> Option<Response<Incoming>> {
    let mut request = Request::post(format!("https://fleet{path}")).body(body).ok()?;
    *request.headers_mut() = headers;
    request.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert(http::header::TE, HeaderValue::from_static("trailers"));
    timeout(TIMEOUT, requests.send_request(request)).await.ok()?.ok()
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
        answer(&mut self.requests.clone(), path, headers, Body::empty()).await.is_some_and(|said| is_done(&said))
    }

    /// The same, with more to say than headers hold.
    pub async fn tell(&self, path: &'static str, what: Bytes) -> bool {
        let body = Body::new(Full::new(what));
        answer(&mut self.requests.clone(), path, HeaderMap::new(), body).await.is_some_and(|said| is_done(&said))
    }

    /// Asks whether the replica is there, and leads; none if it does not answer.
    pub async fn ping(&self, headers: HeaderMap) -> Option<HeaderMap> {
        Some(answer(&mut self.requests.clone(), ASK, headers, Body::empty()).await?.into_parts().0.headers)
    }

    /// Asks what deserves attention at the leader; none if it does not say.
    pub async fn findings(&self) -> Option<HeaderValue> {
        let said = answer(&mut self.requests.clone(), FINDINGS, HeaderMap::new(), Body::empty()).await?;
        said.headers().get(FOUND).cloned()
    }

    /// Sends a call.
    pub async fn send(mut self, request: Request<Body>) -> Result<Response<Incoming>, Lost> {
        match self.requests.try_send_request(request).await {
            Ok(response) if response.headers().contains_key(NOT_LEADER) => Err(Lost::NotLeader),
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
