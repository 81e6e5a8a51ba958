//! The internal port: takes the calls that followers forward, and what they ask for themselves.
//!
//! The follower has proved that it belongs to the fleet, by its certificate or, where the leader is elected, by the token that each
//! connection begins with. So what it says of the caller counts: its name, and its grant for this RPC. The grant is checked as that
//! of a caller of this port's own, here against the RPC's risk, and in the handler against that of the message's values.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Either, Ready, ready};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyExt as _, Limited};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::StdError;
use tracing::info;

use super::kept::Kept;
use super::reply::{Hold, Settling};
use crate::cache::{Cache, Tag};
use crate::config::identity::ANONYMOUS;
use crate::contract::Rpc;
use crate::error::Error;
use crate::fleet::elected::{Elected, Input};
use crate::fleet::election::Event;
use crate::fleet::link::Link;
use crate::fleet::wire::{
    ACCOUNT, ALL, CONTRACT, CONTRACT_OF, DRAIN, FINDINGS, FOUND, HELLO, INVALIDATE, NOT_LEADER, NOT_READY, PING,
    Passport, SERVED_BY, STATIC_TERM, SUCCEED, TAKE, TAKE_OVER, TERM, VOID, number,
};
use crate::gateway::audit;
use crate::gateway::caller::{Caller, Grant};
use crate::rpc::facts::Connection;
use crate::server::admin::Readiness;
use crate::server::admin::readiness::Phase;
use crate::server::identity::metadata;
use crate::server::inbound::{Answer, Arrival, Inbound};
use crate::share::Shares;
use crate::telemetry::Telemetry;

/// Most bytes that a leader hands over.
const MOST_KNOWN: usize = 4 << 20;

/// What a replica says of itself, and what it has void.
#[derive(Clone)]
pub struct Answers {
    /// What it is called.
    pub name: HeaderValue,
    /// Its part in the election; none if the settings say that it leads.
    pub elected: Option<Arc<Elected>>,
    /// Where its calls go when another one leads.
    pub link: Option<Link>,
    /// Its account.
    pub account: HeaderValue,
    /// Its cache.
    pub cache: Cache,
    /// What each caller takes, whichever replica it came to.
    pub shares: Shares,
    /// Whether it answers calls as it should.
    pub readiness: Readiness,
    /// Knows what deserves attention here.
    pub telemetry: Telemetry,
}

/// Takes forwarded calls.
#[derive(Clone)]
pub struct Layer(pub Answers);

impl<S> tower::Layer<S> for Layer {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service { inner, answers: self.0.clone() }
    }
}

/// See [`Layer`].
#[derive(Clone)]
pub struct Service<S> {
    inner: S,
    answers: Answers,
}

impl<S, B> tower::Service<Inbound<B>> for Service<S>
where
    S: tower::Service<
            Inbound<Kept<B>>,
            Response = Response<Body>,
            Error = Infallible,
            Future = BoxFuture<'static, Result<Response<Body>, Infallible>>,
        >,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut call: Inbound<B>) -> Self::Future {
        if !call.facts().method.is_ours() {
            call.facts().origin.ledger.identify(&"replica".into());
            let answers = self.answers.clone();
            let (path, headers) = (call.path().to_owned(), std::mem::take(call.headers_mut()));
            let connection = call.facts().peer.connection.clone();
            if path == TAKE_OVER {
                let (_, known) = call.into_request().into_parts();
                return Box::pin(async move { Ok(answers.take_over(known, &connection).await) });
            }
            return Box::pin(async move { Ok(answers.ask(&path, headers, &connection).await) });
        }
        call.facts().origin.ledger.forwarded();
        match self.answers.admit(&mut call) {
            Ok(()) => {
                let facts = call.facts();
                let ledger = Arc::clone(&facts.origin.ledger);
                let link = self.answers.link.as_ref().filter(|_| facts.method.rpc().is_some_and(Rpc::changes));
                let hold = link.map(|link| Hold::of(link, facts));
                let (answer, name) = (self.inner.call(call.map(Kept::live)), self.answers.name.clone());
                Box::pin(answer.map(move |answer| {
                    answer.map(|mut response| {
                        // Of a call of several changes some were sent: it must not be sent again.
                        if ledger.may_have_changed() {
                            response.headers_mut().remove(NOT_LEADER);
                        }
                        // It may have lost the lead meanwhile: then no answer of the next one may be older.
                        let response = match hold {
                            Some(hold) => response.map(|body| Body::new(Settling::new(body, hold))),
                            None => response,
                        };
                        served_by(response, name)
                    })
                }))
            }
            Err(response) => Box::pin(ready(Ok(*response))),
        }
    }
}

/// Answers pings, and what deserves attention here, above all that is done for a call: both are asked each second or more often, and
/// nobody wants to read of each.
#[derive(Clone)]
pub struct Pings(pub Answers);

impl<S> tower::Layer<S> for Pings {
    type Service = Pinged<S>;

    fn layer(&self, inner: S) -> Pinged<S> {
        Pinged { inner, answers: self.0.clone() }
    }
}

/// See [`Pings`].
#[derive(Clone)]
pub struct Pinged<S> {
    inner: S,
    answers: Answers,
}

impl<S, B> tower::Service<Arrival<B>> for Pinged<S>
where
    S: tower::Service<Arrival<B>, Response = Answer, Error = Infallible>,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Answer, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, arrival: Arrival<B>) -> Self::Future {
        let connection = &arrival.peer.connection;
        // A replica that asks each second, or more often, needs its connection, though it makes no call on it.
        if connection.proved.load(Ordering::Relaxed) {
            connection.usage.restart();
        }
        if arrival.request.uri().path() == FINDINGS && self.answers.trusts(connection) {
            return Either::Right(ready(Ok(Answer { response: self.answers.found(), deadline: None })));
        }
        let Some(elected) = self.answers.elected.as_ref().filter(|_| arrival.request.uri().path() == PING) else {
            return Either::Left(self.inner.call(arrival));
        };
        // Who has proved nothing is told who leads, and not listened to.
        if connection.proved.load(Ordering::Relaxed) {
            elected.meet(arrival.request.headers());
        }
        let mut response = done();
        response.headers_mut().extend(elected.said());
        Either::Right(ready(Ok(Answer { response, deadline: None })))
    }
}

/// Says which replica made a response.
pub fn served_by(mut response: Response<Body>, name: HeaderValue) -> Response<Body> {
    response.headers_mut().insert(SERVED_BY, name);
    response
}

/// Returns the answer to who has not proved that it is a replica of this fleet.
fn refused() -> Response<Body> {
    Status::from(Error::Unauthenticated { why: "this port is for the replicas of a fleet" }).into_http()
}

/// Returns the answer to what a replica asks for itself.
fn done() -> Response<Body> {
    Status::new(tonic::Code::Ok, "").into_http()
}

impl Answers {
    /// Returns the term in which this replica leads, if it does.
    fn term(&self) -> Option<u64> {
        self.elected.as_ref().map_or(Some(STATIC_TERM), |elected| elected.term())
    }

    /// True unless the other end of a connection has still to prove that it belongs to the fleet.
    fn trusts(&self, connection: &Connection) -> bool {
        self.elected.is_none() || connection.proved.load(Ordering::Relaxed)
    }

    /// Says what deserves attention here.
    fn found(&self) -> Response<Body> {
        let found = self.telemetry.state().findings.read();
        let one = |(kind, is_problem): &(&str, bool)| format!("{}{kind}", if *is_problem { "!" } else { "" });
        let text = found.iter().map(one).collect::<Vec<_>>().join(",");
        let mut response = done();
        response.headers_mut().extend(HeaderValue::try_from(text).ok().map(|text| (FOUND, text)));
        response
    }

    /// Makes the call one of the caller that the follower names; else returns the answer.
    fn admit<B>(&self, call: &mut Inbound<B>) -> Result<(), Box<Response<Body>>> {
        let Some(rpc) = call.facts().method.rpc() else { return Ok(()) };
        let refuse = |error: Error| -> Box<Response<Body>> { Box::new(Status::from(error).into_http()) };
        let trusted = self.trusts(&call.facts().peer.connection);
        let Some(passport) = Passport::take(call.headers_mut()).filter(|_| trusted) else {
            return Err(refuse(Error::Unauthenticated { why: "this port takes what other replicas forward" }));
        };
        let name: Arc<str> = passport.caller.as_ref().into();
        call.facts().origin.ledger.identify(&name);
        if self.term() != Some(passport.term) {
            let heard = self.elected.as_ref().map_or(STATIC_TERM, |elected| {
                elected.hear(passport.term);
                elected.heard()
            });
            let mut response = refuse(Error::NotLeader);
            response.headers_mut().insert(NOT_LEADER, heard.into());
            return Err(response);
        }
        let Passport { grant, from, via, .. } = passport;
        let share = if &*name == ANONYMOUS { self.shares.of_address(&name, from) } else { self.shares.of(&name) };
        let caller = Caller::new(name, Grant::from_bits(grant), share);
        call.facts_mut().origin.via = Some(via);
        // The replica that forwards it has measured its metadata, and added some.
        let charge = || metadata::charge(call, usize::MAX, || caller.share().clone());
        let checked = caller.check(rpc, rpc.risk).and_then(|()| charge());
        if let Err(error) = checked {
            audit::refused(rpc, &caller, &call.facts().origin, call.headers(), &error);
            return Err(refuse(error));
        }
        call.facts_mut().caller = Some(caller);
        Ok(())
    }

    /// Answers what a replica asks for itself.
    async fn ask(&self, path: &str, headers: HeaderMap, connection: &Connection) -> Response<Body> {
        if path == HELLO {
            return self.hello(&headers, connection).await;
        }
        if !self.trusts(connection) {
            return refused();
        }
        let elected = self.elected.as_ref();
        match (path, elected) {
            (INVALIDATE, _) if self.void(&headers) => done(),
            (DRAIN, _) => {
                if let Some(drain) = &connection.drain {
                    drain.begin();
                }
                done()
            }
            (SUCCEED, Some(elected)) if elected.would_lead() => done(),
            (TAKE, Some(elected)) => match headers.get(TERM).and_then(number) {
                Some(term) => {
                    elected.tell(Input::Event(Event::Handed(term)));
                    done()
                }
                None => Status::unimplemented("").into_http(),
            },
            _ => Status::unimplemented("").into_http(),
        }
    }

    /// Takes over from a leader that is about to leave.
    async fn take_over<B>(&self, known: B, connection: &Connection) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError>,
    {
        let Some(elected) = self.elected.as_ref().filter(|_| self.trusts(connection)) else { return refused() };
        let taken = match Limited::new(known, MOST_KNOWN).collect().await {
            Ok(known) => elected.take_over(&known.to_bytes()),
            Err(_) => false,
        };
        if taken { done() } else { Status::from(Error::NotLeader).into_http() }
    }

    /// Says what this replica is, and learns whether it may believe the other one. What a follower says is void is void from here
    /// on.
    async fn hello(&self, headers: &HeaderMap, connection: &Connection) -> Response<Body> {
        let is_trusted = match &self.elected {
            Some(elected) => elected.verify(headers).await,
            None => true,
        };
        let same_account = headers.get(ACCOUNT) == Some(&self.account);
        connection.proved.store(is_trusted && same_account, Ordering::Relaxed);
        let theirs = headers.get(CONTRACT_OF).and_then(number);
        let ours = self.elected.as_ref().map_or(CONTRACT, |elected| elected.contract());
        if is_trusted && same_account {
            // What an older contract asks for, a newer one knows. In the settings' fleet all have the same.
            let ours = u64::from(ours);
            let fits = theirs.is_some_and(|theirs| theirs == ours || self.elected.is_some() && theirs < ours);
            if fits && headers.contains_key(VOID) {
                self.void(headers);
            }
            if let Some(elected) = &self.elected {
                elected.meet(headers);
            }
        }
        let mut response = if is_trusted { done() } else { refused() };
        let headers = response.headers_mut();
        if let Some(elected) = &self.elected {
            headers.extend(elected.said());
        } else {
            headers.insert(TERM, STATIC_TERM.into());
            // Its calls would fail; a follower by itself may do better. Who is elected is ready.
            if self.readiness.phase() == Phase::Starting {
                headers.insert(NOT_READY, HeaderValue::from_static("1"));
            }
        }
        headers.insert(CONTRACT_OF, ours.into());
        headers.extend(is_trusted.then(|| (ACCOUNT, self.account.clone())));
        response
    }

    /// Makes answers void; false, and nothing is void, if it is not said of which.
    fn void(&self, headers: &HeaderMap) -> bool {
        let Some(what) = headers.get(VOID) else { return false };
        if what == ALL {
            self.cache.invalidate_all();
            info!("another replica made all answers void");
            return true;
        }
        let tags: Option<Vec<Tag>> =
            what.to_str().ok().and_then(|tags| tags.split(',').map(|tag| tag.parse().ok()).collect());
        let Some(tags) = tags else { return false };
        for tag in &tags {
            self.cache.invalidate(*tag);
        }
        info!(cache.tags = tags.len(), "another replica made answers void");
        true
    }
}
