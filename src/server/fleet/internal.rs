//! The internal port: takes the calls that followers forward, and what they ask for themselves.
//!
//! The follower has proved by its certificate that it belongs to the fleet, so what it says of the caller counts: its name, and
//! its grant for this RPC. The grant is checked as that of a caller of this port's own, here against the RPC's risk, and in the
//! handler against that of the message's values.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use http::{HeaderMap, HeaderValue, Response};
use tonic::Status;
use tonic::body::Body;
use tracing::info;

use super::kept::Kept;
use crate::cache::{Cache, Tag};
use crate::config::identity::ANONYMOUS;
use crate::error::Error;
use crate::fleet::wire::{
    ACCOUNT, ALL, CONTRACT, CONTRACT_OF, DRAIN, HELLO, INVALIDATE, NOT_LEADER, NOT_READY, Passport, SERVED_BY, TERM,
    VOID, number,
};
use crate::gateway::audit;
use crate::gateway::caller::{Caller, Grant};
use crate::server::admin::Readiness;
use crate::server::admin::readiness::Phase;
use crate::server::identity::metadata;
use crate::server::inbound::Inbound;
use crate::share::Shares;

/// What the leader says of itself, and what it has void.
#[derive(Clone)]
pub struct Answers {
    /// What it is called.
    pub name: HeaderValue,
    /// Its term.
    pub term: u64,
    /// Its account.
    pub account: HeaderValue,
    /// Its cache.
    pub cache: Cache,
    /// What each caller takes, whichever replica it came to.
    pub shares: Shares,
    /// Whether it answers calls as it should.
    pub readiness: Readiness,
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
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut call: Inbound<B>) -> Self::Future {
        match self.answers.admit(&mut call) {
            Ok(()) => {
                let (answer, name) = (self.inner.call(call.map(Kept::live)), self.answers.name.clone());
                Box::pin(answer.map(move |answer| answer.map(|response| served_by(response, name))))
            }
            Err(response) => Box::pin(ready(Ok(*response))),
        }
    }
}

/// Says which replica made a response.
pub fn served_by(mut response: Response<Body>, name: HeaderValue) -> Response<Body> {
    response.headers_mut().insert(SERVED_BY, name);
    response
}

/// Returns the answer to what a replica asks for itself.
fn done() -> Response<Body> {
    Status::new(tonic::Code::Ok, "").into_http()
}

impl Answers {
    /// Makes the call one of the caller that the follower names; else returns the answer.
    fn admit<B>(&self, call: &mut Inbound<B>) -> Result<(), Box<Response<Body>>> {
        call.facts().origin.ledger.identify();
        let Some(rpc) = call.facts().method.rpc() else { return Err(Box::new(self.ask(call))) };
        let refuse = |error: Error| -> Box<Response<Body>> { Box::new(Status::from(error).into_http()) };
        let Some(passport) = Passport::take(call.headers_mut()) else {
            return Err(refuse(Error::Unauthenticated { why: "this port takes what other replicas forward" }));
        };
        if passport.term != self.term {
            let mut response = refuse(Error::ShuttingDown);
            response.headers_mut().insert(NOT_LEADER, self.term.into());
            return Err(response);
        }
        let Passport { caller: name, grant, from, via, .. } = passport;
        let share = if name == ANONYMOUS { self.shares.of_address(&name, from) } else { self.shares.of(&name) };
        let caller = Caller::new(name.as_ref().into(), Grant::from_bits(grant), share);
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
    fn ask<B>(&self, call: &Inbound<B>) -> Response<Body> {
        let headers = call.headers();
        match call.path() {
            HELLO => self.hello(headers),
            INVALIDATE if self.void(headers) => done(),
            DRAIN => {
                if let Some(drain) = &call.facts().peer.connection.drain {
                    drain.begin();
                }
                done()
            }
            _ => Status::unimplemented("").into_http(),
        }
    }

    /// Says what this replica is. What the follower says is void is void from here on.
    fn hello(&self, headers: &HeaderMap) -> Response<Body> {
        let same = headers.get(CONTRACT_OF).and_then(number) == Some(CONTRACT.into())
            && headers.get(ACCOUNT) == Some(&self.account);
        if same && headers.contains_key(VOID) {
            self.void(headers);
        }
        let mut response = done();
        let headers = response.headers_mut();
        headers.insert(CONTRACT_OF, CONTRACT.into());
        headers.insert(ACCOUNT, self.account.clone());
        headers.insert(TERM, self.term.into());
        // Its calls would fail; a follower by itself may do better.
        if self.readiness.phase() == Phase::Starting {
            headers.insert(NOT_READY, HeaderValue::from_static("1"));
        }
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
