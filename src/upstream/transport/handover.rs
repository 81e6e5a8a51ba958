//! The moment at which a connection takes a request.
//!
//! Between the decision to send a request and its first byte on a connection can lie seconds: a name to resolve, a connection
//! to open, a handshake. A caller who leaves then, or whose deadline passes, is told that nothing was sent, and that has to
//! stay true. So a request can be withdrawn until a connection takes it; it is never both taken and withdrawn.
//!
//! The request's body shows that moment. Its last two bytes are parts of their own, and the client reads the last one only after
//! it had room to pass on the one before: over HTTP/2, after the peer has given the stream room to upload all that precedes.
//! Until then the peer lacks at least the last byte, and a request without its end is not carried out. For a request without a
//! body, the client asks whether the body has ended exactly when it writes the head. If the body fails, the client drops the
//! connection unwritten, or resets the stream. (An observation about hyper 1, which a test checks; a client that asked earlier
//! would only turn "not sent" into "not known".)

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::lane::{Lane, Seat};
use super::precedence::Precedence;
use crate::cache::WaitsFor;
use crate::error::Error;
use crate::upstream::call::Ledger;

/// Most bytes of a body that are passed on at a time. Each shows that the upload goes on: a long one, through a small window over
/// a long way, must not be taken for one that is stuck.
const MAX_PART: usize = 16 << 10;

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;

/// A request on its way to a connection. Dropping it withdraws the request, unless it was taken.
pub struct Handover {
    state: Arc<State>,
    seat: Seat,
}

struct State {
    ledger: Arc<Ledger>,
    waits_for: WaitsFor,
    lane: Arc<Lane>,
    stands: AtomicU8,
    /// When it was taken, as the lane counts time.
    taken_at: AtomicU64,
    taken: Notify,
    /// When a part of the body last left, for which the stream has to be open and to have room.
    passed_on: Mutex<Option<Instant>>,
    /// The request's place before others, until it is taken.
    precedence: Mutex<Option<Precedence>>,
}

impl Handover {
    /// Counts in `ledger` when the connection takes the request, which may not happen once the ledger was closed. From then on
    /// the call waits for nothing but its answer.
    pub fn new(ledger: &Arc<Ledger>, waits_for: &WaitsFor, seat: Seat, precedence: Precedence) -> Self {
        let (stands, taken_at, taken) = (AtomicU8::new(WAITING), AtomicU64::new(0), Notify::new());
        let (ledger, lane) = (Arc::clone(ledger), Arc::clone(seat.lane()));
        let (passed_on, precedence) = (Mutex::default(), Mutex::new(Some(precedence)));
        let waits_for = waits_for.clone();
        let state = State { ledger, waits_for, lane, stands, taken_at, taken, passed_on, precedence };
        Self { state: Arc::new(state), seat }
    }

    /// Returns the connection.
    pub fn lane(&self) -> &Arc<Lane> {
        self.seat.lane()
    }

    /// Returns the request's body, which tells when a connection takes the request.
    pub fn of(&self, body: reqwest::Body) -> reqwest::Body {
        reqwest::Body::wrap(Watched {
            body,
            parts: VecDeque::new(),
            ended: false,
            is_given: false,
            state: Arc::clone(&self.state),
        })
    }

    /// Completes when a connection has taken the request.
    pub async fn taken(&self) {
        self.state.taken.notified().await;
    }

    /// When a part of the body last left; none while the connection has no stream for the request.
    pub fn passed_on(&self) -> Option<Instant> {
        *self.state.passed_on.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a connection has taken the request, so that it may have been delivered.
    pub fn is_taken(&self) -> bool {
        self.state.stands.load(Ordering::SeqCst) == TAKEN
    }
}

impl Handover {
    /// Withdraws the request, if the connection has not taken it.
    pub fn withdraw(&self) -> bool {
        self.state.stands.compare_exchange(WAITING, WITHDRAWN, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        self.withdraw();
        if self.is_taken() {
            self.lane().leave(self.state.taken_at.load(Ordering::SeqCst));
        }
    }
}

impl State {
    fn is_withdrawn(&self) -> bool {
        self.stands.load(Ordering::SeqCst) == WITHDRAWN
    }

    /// Takes the request, and returns whether it may be sent.
    fn take(&self) -> bool {
        match self.stands.load(Ordering::SeqCst) {
            WAITING => {}
            stands => return stands == TAKEN,
        }
        // Count first, so that a reader who sees TAKEN also sees the count; if the request was withdrawn meanwhile, the count
        // is taken back.
        let open = self.ledger.send().is_ok();
        if open {
            self.taken_at.store(self.lane.take(), Ordering::SeqCst);
        }
        let to = if open { TAKEN } else { WITHDRAWN };
        let stood = self.stands.compare_exchange(WAITING, to, Ordering::SeqCst, Ordering::SeqCst);
        if open && stood.is_err() {
            self.ledger.unsend();
            self.lane.leave(self.taken_at.load(Ordering::SeqCst));
        }
        if open && stood.is_ok() {
            self.waits_for.set(&Error::Deadline { sent: true });
            drop(self.precedence.lock().unwrap_or_else(PoisonError::into_inner).take());
            self.taken.notify_one();
        }
        open && stood.is_ok()
    }
}

struct Watched {
    body: reqwest::Body,
    /// What was read and not passed on: the newest part, and at the end the last bytes one by one.
    parts: VecDeque<Bytes>,
    /// Whether `body` was read to its end.
    ended: bool,
    /// Whether a part was passed on.
    is_given: bool,
    state: Arc<State>,
}

impl Watched {
    /// Cuts the last two bytes of the body off its last part.
    fn end(&mut self) {
        self.ended = true;
        for _ in 0..2 {
            if let Some(last) = self.parts.front_mut().filter(|last| last.len() > 1) {
                let byte = last.split_off(last.len() - 1);
                self.parts.insert(1, byte);
            }
        }
    }
}

/// What a withdrawn request's body fails with.
#[derive(Debug, thiserror::Error)]
#[error("the request was withdrawn before a connection took it")]
struct Withdrawn;

impl Body for Watched {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.state.is_withdrawn() {
            return Poll::Ready(Some(Err(Withdrawn.into())));
        }
        // Over HTTP/2 the client asks for the first part at once, and for the next when it has passed the one before on.
        if self.is_given {
            *self.state.passed_on.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            self.state.lane.opened();
        }
        // Reads one part ahead, to know which is the last.
        while !self.ended && self.parts.len() < 2 {
            match ready!(Pin::new(&mut self.body).poll_frame(context)).map(|next| next.map(Frame::into_data)) {
                Some(Ok(Ok(data))) if data.is_empty() => {}
                Some(Ok(Ok(mut data))) => {
                    while data.len() > MAX_PART {
                        self.parts.push_back(data.split_to(MAX_PART));
                    }
                    self.parts.push_back(data);
                }
                // A request has no trailers.
                Some(Ok(Err(_))) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => self.end(),
            }
        }
        let part = self.parts.pop_front();
        if self.ended && self.parts.is_empty() && !self.state.take() {
            return Poll::Ready(Some(Err(Withdrawn.into())));
        }
        self.is_given = true;
        Poll::Ready(part.map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        // A withdrawn request pretends to have a body, which then fails.
        self.parts.is_empty() && (self.ended || self.body.is_end_stream()) && self.state.take()
    }

    fn size_hint(&self) -> SizeHint {
        if self.state.is_withdrawn() {
            // The client never polls an empty body, nor a GET's body of unknown length, and one that is not polled cannot fail.
            return SizeHint::with_exact(1);
        }
        let read = self.parts.iter().map(Bytes::len).sum::<usize>() as u64;
        let left = self.body.size_hint();
        left.exact().map_or(left, |left| SizeHint::with_exact(left + read))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use hyper_util::server::conn::auto::Builder;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::super::lane::Pings;
    use super::super::link::Link;
    use super::super::needs::Purpose;
    use super::*;

    /// Answers 200 and reports each request that was received whole.
    async fn server() -> (String, mpsc::UnboundedReceiver<http::Method>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
        let (whole, came) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let whole = whole.clone();
                let service = service_fn(move |request: http::Request<Incoming>| {
                    let whole = whole.clone();
                    async move {
                        let method = request.method().clone();
                        http_body_util::BodyExt::collect(request.into_body()).await?;
                        whole.send(method).expect("the test listens");
                        Ok::<_, hyper::Error>(http::Response::new(Full::new(Bytes::new())))
                    }
                });
                tokio::spawn(async move {
                    let socket = TokioIo::new(socket);
                    // A request that is broken off ends its connection, as the test expects.
                    drop(Builder::new(TokioExecutor::new()).serve_connection(socket, service).await);
                });
            }
        });
        (url, came)
    }

    fn seat(client: &reqwest::Client) -> Seat {
        let link = Arc::new(Link::new(&Arc::default()));
        link.connected(true);
        Seat::on(&Lane::new(client.clone(), link, Purpose::Usual, Pings::default(), &Arc::default()))
    }

    fn clients() -> [reqwest::Client; 2] {
        let http1 = reqwest::Client::builder().build().expect("a client");
        let http2 = reqwest::Client::builder().http2_prior_knowledge().build().expect("a client");
        [http1, http2]
    }

    fn request(client: &reqwest::Client, method: &http::Method, url: &str, handover: &Handover) -> reqwest::Request {
        let body = if *method == http::Method::POST { "{}" } else { "" };
        let request = client.request(method.clone(), url).body(handover.of(body.into()));
        request.build().expect("a request")
    }

    const METHODS: [http::Method; 4] = [http::Method::GET, http::Method::POST, http::Method::PUT, http::Method::DELETE];

    #[tokio::test]
    async fn a_request_is_taken_when_a_connection_writes_it_with_a_body_or_without() {
        let (url, mut came) = server().await;
        for (client, method) in clients().iter().flat_map(|client| METHODS.map(|method| (client.clone(), method))) {
            let ledger = Arc::<Ledger>::default();
            let handover = Handover::new(&ledger, &WaitsFor::default(), seat(&client), Precedence::default());
            let request = request(&client, &method, &url, &handover);
            assert!(!handover.is_taken() && ledger.requests() == 0, "{method} is only put together");
            client.execute(request).await.expect("answered");
            assert!(handover.is_taken() && ledger.requests() == 1, "{method}");
            assert_eq!(came.recv().await, Some(method));
        }
        // Nothing listens at this port: no connection, nothing taken.
        let ledger = Arc::<Ledger>::default();
        let [client, _] = clients();
        let handover = Handover::new(&ledger, &WaitsFor::default(), seat(&client), Precedence::default());
        let request = request(&client, &http::Method::DELETE, "http://127.0.0.1:1/", &handover);
        client.execute(request).await.expect_err("nobody is there");
        assert!(!handover.is_taken() && ledger.requests() == 0);
    }

    #[tokio::test]
    async fn a_request_that_was_withdrawn_never_comes_whole() {
        let (url, mut came) = server().await;
        for (client, method) in clients().iter().flat_map(|client| METHODS.map(|method| (client.clone(), method))) {
            for closed in [false, true] {
                let ledger = Arc::<Ledger>::default();
                let handover = Handover::new(&ledger, &WaitsFor::default(), seat(&client), Precedence::default());
                let request = request(&client, &method, &url, &handover);
                // The caller's deadline has passed, or the exchange was given up.
                let kept = if closed {
                    ledger.close();
                    Some(handover)
                } else {
                    drop(handover);
                    None
                };
                client.execute(request).await.expect_err("it is withdrawn");
                assert!(kept.is_none_or(|handover| !handover.is_taken()) && ledger.requests() == 0, "{method}");
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert!(came.try_recv().is_err(), "none of them");
    }
}
