//! Forwards the calls of a follower to the leader, as they came.
//!
//! The layer is below the caller's identity, so everything that is forwarded was admitted here. It takes the call's place and
//! charges its bytes to the caller, and decodes nothing. What cannot be forwarded because this replica acts alone goes on to the
//! handlers, as if there were no fleet.

use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::StdError;

use super::Member;
use super::gathered::Gathered;
use super::internal::served_by;
use super::kept::Kept;
use super::reply::{Hold, Relay, Settling};
use crate::contract::{Risk, Rpc};
use crate::deadline::way_home;
use crate::error::Error;
use crate::fleet::hop::Lost;
use crate::fleet::link::{Course, Link};
use crate::fleet::wire::{FORWARDED, NOT_LEADER, Passport};
use crate::gateway::audit;
use crate::gateway::caller::Caller;
use crate::rpc::facts::Facts;
use crate::rpc::{STREAM_MEMORY, timeout};
use crate::server::ending::HookedBody;
use crate::server::framing;
use crate::server::inbound::Inbound;
use crate::server::trace::request_id;
use crate::share::FREE_MESSAGE;
use crate::upstream::credential::{AUTHORIZATION, ON_BEHALF_OF};

/// What is kept back of a call's time for the way to the leader and back, at most a tenth of it.
const HOP: Duration = Duration::from_millis(50);
/// Pause before a call that was not taken is sent again.
const PAUSE: Duration = Duration::from_millis(50);
/// How often a read may be lost with the leader before its caller learns of it.
const LOST_READS: u32 = 3;

/// What waits for news as long as its caller likes, so that its deadline is no failure.
const WATCHES: [&str; 2] =
    ["/zendesk.gateway.v1.JobService/WatchJobs", "/zendesk.gateway.v1.UserService/StreamChangedUsers"];

/// Forwards calls: see the module.
#[derive(Clone)]
pub struct Layer {
    member: Option<Member>,
    max_request_bytes: usize,
}

impl Layer {
    /// Forwards calls if `member` follows. Without a fleet it hands on every call as it is.
    pub fn new(member: Option<&Member>, max_request_bytes: usize) -> Self {
        Self { member: member.cloned(), max_request_bytes }
    }
}

impl<S> tower::Layer<S> for Layer {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service { inner, layer: self.clone() }
    }
}

/// See [`Layer`].
#[derive(Clone)]
pub struct Service<S> {
    inner: S,
    layer: Layer,
}

impl<S, B> tower::Service<Inbound<B>> for Service<S>
where
    S: tower::Service<
            Inbound<Kept<B>>,
            Response = Response<Body>,
            Error = Infallible,
            Future = BoxFuture<'static, Result<Response<Body>, Infallible>>,
        > + Clone
        + Send
        + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Inbound<B>) -> Self::Future {
        let ours = call.facts().method.rpc();
        let (Some(member), Some(rpc)) = (&self.layer.member, ours) else {
            return self.inner.call(call.map(Kept::live));
        };
        let name = member.name.clone();
        let link = member.link().cloned();
        let (mut inner, most) = (self.inner.clone(), self.layer.max_request_bytes);
        Box::pin(async move {
            let Some(link) = link else { return Ok(served_by(inner.call(call.map(Kept::live)).await?, name)) };
            let outcome = match link.course() {
                Course::Alone(_) => Outcome::Here(call.map(Kept::live), None),
                Course::Own(_) if !rpc.changes() => Outcome::Here(call.map(Kept::live), None),
                _ => Forwarding::of(rpc, &link, &name, call.facts()).outcome(call, most).await,
            };
            let (mut call, mut whole) = match outcome {
                Outcome::Answer(response) => return Ok(response),
                Outcome::Here(call, whole) => (call, whole),
            };
            loop {
                let facts = call.facts().clone();
                let response = inner.call(call).await?;
                // It led when the call came, and does not any more. If no change was sent, whoever leads now gets the call.
                let not_sent = response.headers().contains_key(NOT_LEADER) && !facts.origin.ledger.may_have_changed();
                let Some(whole_call) = whole.take().filter(|_| not_sent) else {
                    let hold = rpc.changes().then(|| Hold::of(&link, &facts));
                    let response = match hold {
                        Some(hold) => response.map(|body| Body::new(Settling::new(body, hold))),
                        None => response,
                    };
                    return Ok(served_by(response, name));
                };
                sleep(PAUSE).await;
                let (parts, message) = *whole_call;
                match Forwarding::of(rpc, &link, &name, &facts).sent(parts, Messages::One(message)).await {
                    Outcome::Answer(response) => return Ok(response),
                    Outcome::Here(again, message) => (call, whole) = (again, message),
                }
            }
        })
    }
}

/// What became of a call of a follower.
enum Outcome<B> {
    /// It is answered, by the leader or with an error.
    Answer(Response<Body>),
    /// It is to be answered here. If it came whole, it can be sent elsewhere if it cannot be answered here after all.
    Here(Inbound<Kept<B>>, Whole),
}

/// A call that came whole.
type Whole = Option<Box<(Parts, Bytes)>>;

/// One call on its way.
struct Forwarding {
    rpc: &'static Rpc,
    link: Link,
    via: HeaderValue,
    facts: Facts,
}

/// The message or messages of a call, as far as they were read.
enum Messages<B> {
    /// The only one, whole.
    One(Bytes),
    /// The first bytes, and the rest.
    Many(Kept<B>),
}

impl Forwarding {
    fn of(rpc: &'static Rpc, link: &Link, via: &HeaderValue, facts: &Facts) -> Self {
        Self { rpc, link: link.clone(), via: via.clone(), facts: facts.clone() }
    }

    /// Forwards the call, and returns what became of it.
    async fn outcome<B>(self, call: Inbound<B>, most: usize) -> Outcome<B>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError> + Send + 'static,
    {
        let Some(caller) = self.facts.caller.clone() else { return Outcome::Answer(incomplete()) };
        let (parts, body) = call.into_request().into_parts();
        match self.read(body, &caller, most).await {
            Ok(messages) => self.sent(parts, messages).await,
            Err(status) => Outcome::Answer(status.into_http()),
        }
    }

    /// The same for a call whose message was read.
    async fn sent<B>(self, parts: Parts, messages: Messages<B>) -> Outcome<B>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError> + Send + 'static,
    {
        let (Some(caller), Some(end)) = (self.facts.caller.clone(), self.facts.wanted_by()) else {
            return Outcome::Answer(incomplete());
        };
        let streaming = self.rpc.streaming;
        let place = &self.facts.place;
        let placed = place.take_for(caller.share(), streaming, Some(&self.facts.peer.connection.usage));
        let placed = placed.and_then(|()| if streaming { place.charge(caller.share(), STREAM_MEMORY) } else { Ok(()) });
        if let Err(error) = placed {
            return Outcome::Answer(self.failed(&caller, &parts.headers, error));
        }
        match self.forward(&parts, messages, &caller, end).await {
            Ok(Ok(response)) => Outcome::Answer(self.relayed(&caller, &parts.headers, response)),
            Ok(Err(messages)) => {
                place.release_message();
                let (body, whole) = match messages {
                    Messages::One(message) => (Kept::whole(message.clone()), Some(Box::new((parts.clone(), message)))),
                    Messages::Many(body) => (body, None),
                };
                Outcome::Here(Inbound::again(Request::from_parts(parts, body)), whole)
            }
            Err(error) => Outcome::Answer(self.failed(&caller, &parts.headers, error)),
        }
    }

    /// Reads the message, or the first bytes of a stream of them: a call takes its place once its message is there.
    async fn read<B>(&self, body: B, caller: &Caller, most: usize) -> Result<Messages<B>, Status>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError> + Send + 'static,
    {
        if self.rpc.client_streaming {
            let mut body = Box::pin(body);
            while let Some(frame) = body.frame().await {
                let data = frame.map_err(|error| framing::unread(error.into()))?.into_data().unwrap_or_default();
                if !data.is_empty() {
                    return Ok(Messages::Many(Kept::begun(data, body)));
                }
            }
            return Ok(Messages::One(Bytes::new()));
        }
        let mut body = pin!(framing::body(body, most, true));
        let (mut first, mut all) = (Bytes::new(), BytesMut::new());
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(framing::unread)?.into_data() else { continue };
            if first.len() + all.len() + data.len() > FREE_MESSAGE {
                self.facts.place.charge_message(caller.share(), data.len())?;
            }
            // Nearly always all comes at once.
            if first.is_empty() && all.is_empty() {
                first = data;
            } else {
                all.extend_from_slice(&std::mem::take(&mut first));
                all.extend_from_slice(&data);
            }
        }
        Ok(Messages::One(if all.is_empty() { first } else { all.freeze() }))
    }

    /// Sends the call to the leader until it is taken. Returns its messages if this replica is to answer it.
    async fn forward<B>(
        &self,
        parts: &Parts,
        mut messages: Messages<B>,
        caller: &Caller,
        end: Instant,
    ) -> Result<Result<Response<Gathered>, Messages<B>>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError> + Send + 'static,
    {
        let ledger = &self.facts.origin.ledger;
        let late = |sent| move |_: Elapsed| Error::Deadline { sent };
        let mut lost = 0;
        loop {
            let (course, _credit) =
                timeout_at(end, self.link.way(caller.share(), self.is_read())).await.map_err(late(false))??;
            let Course::Leader(term) = course else { return Ok(Err(messages)) };
            let open = timeout_at(end, self.link.line(self.rpc.streaming)).await.map_err(late(false))?;
            let Some(open) = open else {
                sleep(PAUSE).await;
                continue;
            };
            let time = end.saturating_duration_since(Instant::now());
            // The leader keeps as much of it for the way home as was kept here.
            let left = (time + way_home(time)).saturating_sub(HOP.min(time / 10));
            if left.is_zero() {
                return Err(Error::Deadline { sent: false });
            }
            let (body, whole) = match messages {
                Messages::One(message) => (Body::new(Full::new(message.clone())), Some(message)),
                Messages::Many(body) => (Body::new(body), None),
            };
            let request = self.request(parts, caller, term, left, body);
            ledger.is_elsewhere(true);
            let outcome = timeout_at(end, self.link.send(open, term, request)).await;
            let outcome = outcome.map_err(late(true)).map_err(|error| self.told(error))?;
            let outcome = match outcome {
                Ok(response) if self.is_read() && whole.is_some() && !self.rpc.streaming => {
                    let charge = |bytes| self.facts.place.charge(caller.share(), bytes);
                    let reply = timeout_at(end, Gathered::reply(response, charge)).await.map_err(late(true))?;
                    reply.ok_or_else(|| self.link.lost_in_reply())
                }
                outcome => outcome.map(|response| response.map(Gathered::nothing)),
            };
            let back = match outcome {
                Ok(response) => {
                    ledger.watches(WATCHES.contains(&self.rpc.path));
                    return Ok(Ok(response));
                }
                Err(Lost::NotTaken(back)) => back,
                Err(Lost::NotLeader) => None,
                // A read may be asked again. Of a write nobody can say whether it was done, and after it another's may have been.
                Err(Lost::Unknown) if self.is_read() && whole.is_some() && lost < LOST_READS => {
                    lost += 1;
                    None
                }
                Err(Lost::Unknown) => return Err(self.told(Error::LeaderLost)),
            };
            ledger.is_elsewhere(false);
            messages = match (whole, back) {
                (Some(message), _) => Messages::One(message),
                (None, Some(request)) => Messages::Many(Kept::back(request.into_body())),
                // What was read of the messages is gone, and so is the call; nothing of it was carried out.
                (None, None) => return Err(Error::LeaderLost),
            };
            sleep(PAUSE).await;
        }
    }

    fn is_read(&self) -> bool {
        !self.rpc.changes()
    }

    /// Returns an error of the hop as the caller is told of it.
    fn told(&self, error: Error) -> Error {
        if self.is_read() { error } else { error.as_write_error() }
    }

    fn request(&self, parts: &Parts, caller: &Caller, term: u64, left: Duration, body: Body) -> Request<Body> {
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(http::uri::Scheme::HTTPS);
        uri.authority = Some(http::uri::Authority::from_static("fleet"));
        uri.path_and_query = Some(PathAndQuery::from_static(self.rpc.path));
        let mut request = Request::new(body);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = Uri::from_parts(uri).expect("a scheme, an authority and a path");
        let headers = request.headers_mut();
        for name in FORWARDED {
            for value in parts.headers.get_all(&name) {
                let mut value = value.clone();
                value.set_sensitive(name == AUTHORIZATION);
                headers.append(&name, value);
            }
        }
        headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
        timeout::write(headers, left);
        self.facts.origin.trace.write(headers);
        headers.extend(self.facts.origin.request_id.clone().map(|id| (request_id::NAME, id)));
        let (grant, from) = (caller.grant().bits(), self.facts.peer.address.ip());
        Passport { caller: caller.name().into(), grant, from, via: self.via.clone(), term }.write(headers);
        request
    }

    /// Returns the answer to a call whose outcome the leader has not told. The leader did not write it down either, or nobody
    /// knows whether it did.
    fn failed(&self, caller: &Caller, headers: &HeaderMap, error: Error) -> Response<Body> {
        audit::refused(self.rpc, caller, &self.facts.origin, headers, &error);
        Status::from(error).into_http()
    }

    /// Returns the leader's response as this replica's own.
    fn relayed(self, caller: &Caller, headers: &HeaderMap, response: Response<Gathered>) -> Response<Body> {
        let on_behalf_of = headers.get(ON_BEHALF_OF).filter(|_| self.rpc.risk != Risk::Read);
        let record = on_behalf_of.map(|user| (http::HeaderName::from_static(ON_BEHALF_OF), user.clone()));
        let ended = response.headers().contains_key("grpc-status");
        let (caller, headers): (_, HeaderMap) = (caller.clone(), record.into_iter().collect());
        let lost = move || {
            let error = self.told(Error::LeaderLost);
            audit::refused(self.rpc, &caller, &self.facts.origin, &headers, &error);
            error
        };
        let relay = Relay { ended, lost: Box::new(lost) };
        response.map(|body| Body::new(HookedBody::new(body, relay)))
    }
}

/// The answer to a call that came without its facts.
fn incomplete() -> Response<Body> {
    Status::from(Error::Internal { what: "the call came without what the server knows of it" }).into_http()
}
