//! One span, one measurement and one access line per call, from its headers to its last message.
//!
//! The layer is the top of the inbound stack, so it also sees what the layers below refuse. It refuses itself what is no gRPC
//! call (`protocol`) or has no readable timeout: of such a request there are no facts that the layers below could be handed. A
//! call ends where its response body ends: a stream that breaks after its headers is no success, and a call that its caller
//! cancelled is CANCELLED.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tonic::body::Body;

use super::ending::HookedBody;
use super::identity::Identity;
use super::inbound::{Answer, Arrival, Inbound};
use super::protocol::{self, NotGrpc};
use super::refusal;
use crate::error::Error;
use crate::rpc::facts::Terms;
use crate::rpc::timeout;
use crate::telemetry::Telemetry;

mod bound;
mod call;
mod mistake;
pub(super) mod request_id;
pub(super) mod reset;

use call::{Call, Reports};

/// Traces, measures and logs every call.
#[derive(Clone)]
pub struct Layer {
    reports: Arc<Reports>,
    terms: Arc<Terms>,
    trusted: Trusted,
}

/// Whose wish that a call is traced is followed.
#[derive(Clone)]
enum Trusted {
    Nobody,
    /// Those whom the identity knows.
    Known(Identity),
    /// Everybody: the peers are replicas of this gateway, and have asked themselves whom to follow.
    Everybody,
}

impl Layer {
    /// Reports to `telemetry`, and gives the layers below the facts of each call, made by `terms`. No caller may decide that a
    /// call is traced.
    pub fn new(telemetry: &Telemetry, terms: &Terms) -> Self {
        Self { reports: Arc::new(Reports::new(telemetry)), terms: Arc::new(terms.clone()), trusted: Trusted::Nobody }
    }

    /// Lets the callers whom `identity` knows decide that a call is traced.
    #[must_use]
    pub fn trusting(self, identity: &Identity) -> Self {
        Self { trusted: Trusted::Known(identity.clone()), ..self }
    }

    /// Lets every peer decide that a call is traced.
    #[must_use]
    pub fn trusting_everybody(self) -> Self {
        Self { trusted: Trusted::Everybody, ..self }
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

impl<S, Q, R> tower::Service<Arrival<Q>> for Service<S>
where
    S: tower::Service<Inbound<Q>, Response = Response<R>>,
    R: http_body::Body<Data = bytes::Bytes> + Send + Unpin + 'static,
    R::Error: Into<tonic::codegen::StdError>,
{
    type Response = Answer;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, Arrival { peer, request }: Arrival<Q>) -> Self::Future {
        let Layer { reports, terms, trusted } = &self.layer;
        let is_known = || match trusted {
            Trusted::Nobody => false,
            Trusted::Known(identity) => identity.knows(request.headers(), &peer),
            Trusted::Everybody => true,
        };
        let (mut call, origin) = Call::begin(reports, &request, peer.address.ip(), is_known);
        let checked = protocol::check(&request).map_err(Refused::NotGrpc);
        let asked = checked.and_then(|()| timeout::read(request.headers()).map_err(Refused::Call));
        match asked {
            Ok(asked) => {
                call.asked(asked);
                let facts = terms.facts(call.method(), peer, origin, asked);
                let deadline = facts.cut_at();
                let attached = call.context().clone().attach();
                let answer = self.inner.call(Inbound::new(facts, request));
                drop(attached);
                Answering { answer: Some(answer), refused: None, call: Some(call), deadline }
            }
            Err(refused) => Answering { answer: None, refused: Some(refused), call: Some(call), deadline: None },
        }
    }
}

/// Why a request gets no further than this layer.
enum Refused {
    /// It is no gRPC call.
    NotGrpc(NotGrpc),
    /// It is a call with a mistake in its headers.
    Call(Error),
}

pin_project! {
    /// The answer to come.
    pub struct Answering<F> {
        #[pin]
        answer: Option<F>,
        refused: Option<Refused>,
        call: Option<Call>,
        deadline: Option<Instant>,
    }
}

impl<F, R, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: http_body::Body<Data = bytes::Bytes> + Send + Unpin + 'static,
    R::Error: Into<tonic::codegen::StdError>,
{
    type Output = Result<Answer, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        const ONCE: &str = "a future is not polled after it ended";
        let this = self.project();
        let Some(answer) = this.answer.as_pin_mut() else {
            let mut call = this.call.take().expect(ONCE);
            let mut response = match this.refused.take().expect(ONCE) {
                Refused::Call(error) => refusal::response(error).map(|()| Body::empty()),
                Refused::NotGrpc(why) => {
                    call.not_grpc(why);
                    why.response()
                }
            };
            call.answered(response.headers_mut());
            return Poll::Ready(Ok(Answer { response, deadline: None }));
        };
        let answer = {
            let _attached = this.call.as_ref().map(|call| call.context().clone().attach());
            ready!(answer.poll(context))
        };
        let mut call = this.call.take().expect(ONCE);
        Poll::Ready(answer.map(|mut response| {
            call.answered(response.headers_mut());
            Answer { response: response.map(|body| Body::new(HookedBody::new(body, call))), deadline: *this.deadline }
        }))
    }
}
