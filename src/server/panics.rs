//! A panic ends only the call that it happened in: the caller gets INTERNAL, or that the outcome of its write is unknown, and the log
//! says where the panic was.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use tracing::error;

use super::ending::{BodyHook, HookedBody, Next};
use super::inbound::Inbound;
use super::refusal;
use crate::error::Error;
use crate::upstream::call::Ledger;

/// Logs where a panic was. Its message is left out, because it can contain what a caller sent.
pub fn log(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or_default();
    error!(target: "panic", { code.place = place, code.thread = thread }, "a defect: the gateway panicked");
}

fn defect(ledger: &Ledger) -> Error {
    ledger.broken_off(Error::Internal { what: "a defect ended this call" })
}

/// Turns panics into errors.
#[derive(Clone)]
pub struct Layer;

impl<S> tower::Layer<S> for Layer {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service { inner }
    }
}

/// See [`Layer`].
#[derive(Clone)]
pub struct Service<S> {
    inner: S,
}

impl<S, Q, R> tower::Service<Inbound<Q>> for Service<S>
where
    S: tower::Service<Inbound<Q>, Response = Response<R>, Error = Infallible>,
{
    type Response = Response<HookedBody<R, Catch>>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Inbound<Q>) -> Self::Future {
        let ledger = Arc::clone(&call.facts().origin.ledger);
        // Unwind safety: whatever the call leaves half-done is dropped with it.
        Answering { answer: catch_unwind(AssertUnwindSafe(|| self.inner.call(call))).ok(), ledger }
    }
}

pin_project! {
    /// The answer to come.
    pub struct Answering<F> {
        #[pin]
        answer: Option<F>,
        ledger: Arc<Ledger>,
    }
}

impl<F, R> Future for Answering<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
{
    type Output = Result<Response<HookedBody<R, Catch>>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(answer) = this.answer.as_mut().as_pin_mut() {
            if let Ok(polled) = catch_unwind(AssertUnwindSafe(|| answer.poll(context))) {
                let Ok(response) = ready!(polled);
                let catch = Catch(Arc::clone(this.ledger));
                return Poll::Ready(Ok(response.map(|body| HookedBody::new(body, catch))));
            }
            this.answer.set(None);
        }
        Poll::Ready(Ok(refusal::response(defect(this.ledger)).map(|()| HookedBody::trailers_only())))
    }
}

/// Ends a reply with an error if its body panics.
pub struct Catch(Arc<Ledger>);

impl BodyHook for Catch {
    fn poll_frame<B>(&mut self, body: Pin<&mut B>, context: &mut Context<'_>) -> Poll<Result<Next<B::Error>, Error>>
    where
        B: Body<Data = Bytes>,
    {
        match catch_unwind(AssertUnwindSafe(|| body.poll_frame(context))) {
            Ok(polled) => polled.map(Ok),
            Err(_) => Poll::Ready(Err(defect(&self.0))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use http::Request;
    use http_body::Frame;
    use http_body_util::BodyExt as _;
    use tonic::Status;
    use tower::{Layer as _, ServiceExt as _, service_fn};

    use super::*;
    use crate::config;
    use crate::contract::{RPCS, Rpc};
    use crate::error::reason_of;
    use crate::gateway::caller::Caller;
    use crate::rpc::facts::Terms;
    use crate::telemetry::Telemetry;

    /// A body that cannot be made.
    struct Broken;

    impl Body for Broken {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            panic!("the body of agent@example.com");
        }
    }

    /// Returns a call, which may have sent something.
    fn call(rpc: &Rpc, sent: bool) -> Inbound<()> {
        let facts = Terms::of(&config::Server::default()).local(rpc, Caller::local());
        if sent {
            facts.origin.ledger.sent();
        }
        Inbound::new(facts, Request::new(()))
    }

    #[tokio::test]
    async fn a_panic_after_something_was_sent_leaves_the_outcome_of_a_write_unknown() {
        let later =
            Layer.layer(service_fn(|_: Inbound<()>| async { panic!("later") as Result<Response<Broken>, Infallible> }));
        let within = Layer.layer(service_fn(|_: Inbound<()>| async { Ok::<_, Infallible>(Response::new(Broken)) }));
        for (rpc, sent) in RPCS.iter().flat_map(|rpc| [(rpc, true), (rpc, false)]) {
            let wanted = if sent && rpc.changes() { "OUTCOME_UNKNOWN" } else { "INTERNAL" };
            let before = later.clone().oneshot(call(rpc, sent)).await.expect("a response");
            let reply = within.clone().oneshot(call(rpc, sent)).await.expect("a response").into_body();
            let reply = reply.collect().await.expect("a body").trailers().cloned().expect("trailers");
            for headers in [before.headers(), &reply] {
                let status = Status::from_header_map(headers).expect("a status");
                assert_eq!(reason_of(&status), Some(wanted), "{}", rpc.path);
            }
        }
    }

    #[tokio::test]
    async fn a_panic_ends_its_call_with_internal_wherever_it_is() {
        let at_once = service_fn(|_: Inbound<()>| -> std::future::Ready<Result<Response<Broken>, Infallible>> {
            panic!("at once");
        });
        let response = Layer.layer(at_once).oneshot(call(&RPCS[0], false)).await.expect("a response");
        assert_eq!(response.headers()["grpc-status"], "13");

        let later = service_fn(|_: Inbound<()>| async { panic!("later") as Result<Response<Broken>, Infallible> });
        let response = Layer.layer(later).oneshot(call(&RPCS[0], false)).await.expect("a response");
        assert_eq!(response.headers()["grpc-status"], "13");

        let within = service_fn(|_: Inbound<()>| async { Ok::<_, Infallible>(Response::new(Broken)) });
        let response = Layer.layer(within).oneshot(call(&RPCS[0], false)).await.expect("a response");
        let trailers = response.into_body().collect().await.expect("a body").trailers().cloned();
        assert_eq!(trailers.expect("trailers")["grpc-status"], "13");
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic inside").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_panic_is_logged_once_by_its_place_and_without_its_words() {
        let lines = Lines::default();
        let telemetry = Telemetry::start(&config::Telemetry::default(), lines.clone()).expect("telemetry");
        let usual = std::panic::take_hook();
        // The hook is the process's; other tests keep theirs.
        std::panic::set_hook(Box::new(move |panic| match std::thread::current().name() {
            Some("panics-for-a-test") => log(panic),
            _ => usual(panic),
        }));
        let dispatch = telemetry.dispatch().clone();
        let panicking = std::thread::Builder::new().name("panics-for-a-test".to_owned()).spawn(move || {
            tracing::dispatcher::with_default(&dispatch, || {
                let caught = catch_unwind(|| panic!("the record of agent@example.com"));
                assert!(caught.is_err());
            });
        });
        panicking.expect("a thread").join().expect("it is caught");
        telemetry.flush().await;
        let text = String::from_utf8(lines.0.lock().expect("no panic inside").clone()).expect("text");
        assert_eq!(text.matches("the gateway panicked").count(), 1, "{text}");
        assert!(text.contains("panics.rs:") && !text.contains("agent@example.com"), "{text}");
    }
}
