//! The span, the measurements and the access line of one call.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body::Body;
use opentelemetry::trace::{SpanBuilder, SpanKind, Status as SpanStatus, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_semantic_conventions::attribute as semconv;
use tonic::{Code, Status};
use tracing::{Level, debug, event_enabled, info};

use super::bound::Bound;
use super::mistake::Failed;
use super::{request_id, reset};
use crate::error::{Error, PUSHBACK, reason_of};
use crate::gateway::origin::Origin;
use crate::rpc::method::{self, Method};
use crate::server::ending::{BodyHook, End, Next};
use crate::server::protocol::NotGrpc;
use crate::server::refusal;
use crate::telemetry::errors::Kind;
use crate::telemetry::state::{self, Calls};
use crate::telemetry::{Telemetry, Trace, trace};
use crate::upstream::call::Ledger;

/// The number of a call's upstream requests. Streams send it in their trailers, unary calls in the response's headers.
const UPSTREAM_CALLS: HeaderName = HeaderName::from_static("x-upstream-calls");
const CACHE: HeaderName = HeaderName::from_static("x-cache");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Where calls report to.
pub struct Reports {
    telemetry: Telemetry,
    bound: Bound,
}

impl Reports {
    /// Reports to `telemetry`.
    pub fn new(telemetry: &Telemetry) -> Self {
        Self { telemetry: telemetry.clone(), bound: Bound::new(telemetry.instruments()) }
    }
}

/// One call, from its headers on. Dropping it ends the call's span and writes its access line.
pub struct Call {
    reports: Arc<Reports>,
    method: &'static Method,
    /// The address of whoever called.
    peer: IpAddr,
    context: Context,
    started: Instant,
    ledger: Arc<Ledger>,
    request_id: HeaderValue,
    cache: Option<&'static str>,
    /// The number of upstream requests, where the reply says it: of a forwarded call, the leader knows it.
    requests: Option<u32>,
    code: Option<Code>,
    reason: Option<&'static str>,
    /// The timeout that the caller sent.
    asked: Option<Duration>,
}

impl Call {
    /// Begins a call of a peer. Also returns the origin, with which the layers below trace and count. `is_known` says whether the
    /// caller is authenticated; it is asked only if the caller wants the call to be traced, which strangers may not decide.
    pub fn begin<B>(
        reports: &Arc<Reports>,
        request: &Request<B>,
        peer: IpAddr,
        is_known: impl FnOnce() -> bool,
    ) -> (Self, Origin) {
        let telemetry = &reports.telemetry;
        let method = method::of(request.uri().path());
        let builder = SpanBuilder::from_name(method.name).with_kind(SpanKind::Server);
        let mut place = trace::incoming(request.headers());
        if place.span().span_context().is_sampled() && !is_known() {
            place = telemetry.sampled_anew(&place);
        }
        let context = telemetry.start_call(place, builder);
        let request_id = request_id::of(request.headers(), context.span().span_context().trace_id());
        let ledger = Arc::<Ledger>::default();
        let trace = Trace::below(context.clone());
        let samples = Some(Arc::clone(&telemetry.state().samples));
        let (ledger_of, request_id_of) = (Arc::clone(&ledger), Some(request_id.clone()));
        let origin = Origin { ledger: ledger_of, trace, request_id: request_id_of, via: None, samples };
        let call = Self {
            reports: Arc::clone(reports),
            method,
            peer,
            context,
            started: Instant::now(),
            ledger,
            request_id,
            cache: None,
            requests: None,
            code: None,
            reason: None,
            asked: None,
        };
        if let Some(calls) = call.calls() {
            calls.begin();
        }
        (call, origin)
    }

    /// Returns the method that is called.
    pub fn method(&self) -> &'static Method {
        self.method
    }

    /// Notes the caller's own timeout.
    pub fn asked(&mut self, timeout: Option<Duration>) {
        self.asked = timeout;
    }

    /// Returns the context whose span is the call's.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Notes that the request is no gRPC call. It has no gRPC status; it counts as the mistake of whoever sent it.
    pub fn not_grpc(&mut self, why: NotGrpc) {
        (self.code, self.reason) = (Some(Code::InvalidArgument), Some(why.reason()));
    }

    /// Notes the cache's outcome and, if the headers have it, the status, which it completes; adds the request id to the headers.
    pub fn answered(&mut self, headers: &mut HeaderMap) {
        let mut id = self.request_id.clone();
        // Keeps the id out of the connection's header compression table: it never comes again, and would push out entries
        // that do.
        id.set_sensitive(true);
        headers.insert(request_id::NAME, id);
        self.cache = headers.get(&CACHE).and_then(|value| match value.as_bytes() {
            b"hit" => Some("hit"),
            b"stale" => Some("stale"),
            b"miss" => Some("miss"),
            b"coalesced" => Some("coalesced"),
            b"bypass" => Some("bypass"),
            _ => None,
        });
        self.status(headers);
    }

    /// Notes the status in headers or trailers. A status without a reason was made by the server library. Its details are added
    /// here, so that callers find them in every error.
    fn status(&mut self, headers: &mut HeaderMap) {
        let told = || headers.get(&UPSTREAM_CALLS)?.to_str().ok()?.parse().ok();
        self.requests = self.requests.or_else(told);
        let Some(code) = headers.get(&STATUS) else { return };
        let code = Code::from_bytes(code.as_bytes());
        self.code = Some(code);
        if code == Code::Ok {
            return;
        }
        let status = Status::from_header_map(headers);
        self.reason = status.as_ref().and_then(reason_of);
        if self.reason.is_none() {
            let said = status.map(|status| status.message().to_owned()).filter(|said| !said.is_empty());
            let what = said.unwrap_or_else(|| "this server has no such method".to_owned());
            let error = Error::Library { code, what };
            self.reason = Some(error.reason());
            headers.extend(refusal::trailers(error));
        }
        self.push_back(code, headers);
    }

    /// Tells the client's retry policy not to repeat the call in two cases: the call has sent requests, all of which would be sent
    /// again; or the caller's timeout would end during the wait, so that the caller should get this error now.
    fn push_back(&self, code: Code, headers: &mut HeaderMap) {
        let wait =
            headers.get(&PUSHBACK).and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_millis);
        let late = wait.zip(self.asked).is_some_and(|(wait, asked)| self.started.elapsed() + wait >= asked);
        let repeats = wait.is_some() || code == Code::Unavailable;
        if late || repeats && self.ledger.requests() > 0 {
            headers.insert(PUSHBACK, HeaderValue::from_static("-1"));
        }
    }

    /// Returns the number of upstream requests so far.
    fn requests(&self) -> u32 {
        self.requests.unwrap_or_else(|| self.ledger.requests())
    }

    /// Returns the counters for calls or for streams; none for methods outside the contract.
    fn calls(&self) -> Option<&Calls> {
        let state = self.reports.telemetry.state();
        self.method.is_ours().then_some(if self.method.streaming { &state.streams } else { &state.calls })
    }

    fn measure(&self, code: Code, failed: Failed, seconds: f64) {
        let instruments = self.reports.telemetry.instruments();
        let span = self.context.span();
        // The replica that the caller has called measures it.
        let is_own = !self.ledger.is_forwarded();
        if code == Code::Ok {
            if is_own {
                self.reports.bound.record(self.method, seconds, self.requests());
            }
            if !span.is_recording() {
                return;
            }
        }
        let status = name(code);
        let attributes = [
            KeyValue::new(semconv::RPC_SYSTEM_NAME, "grpc"),
            KeyValue::new(semconv::RPC_METHOD, self.method.name),
            KeyValue::new(semconv::RPC_RESPONSE_STATUS_CODE, status),
            KeyValue::new(semconv::ERROR_TYPE, status),
        ];
        let told = if failed.is_failure() { &attributes[..] } else { &attributes[..3] };
        if code != Code::Ok {
            let reason = failed.mistake().or(self.reason).unwrap_or(status);
            // What the next leader takes over has not failed.
            if is_own || reason != Error::NotLeader.reason() {
                self.reports.telemetry.state().errors.note(Kind { reason, code: status, method: self.method.name });
            }
            if is_own {
                instruments.call_duration.record(seconds, told);
                if self.method.is_ours() {
                    instruments.call_requests.record(self.requests().into(), &attributes[1..2]);
                }
                let reason = KeyValue::new(semconv::ERROR_TYPE, reason);
                instruments.call_errors.add(1, &[attributes[1].clone(), attributes[2].clone(), reason]);
            }
        }
        if span.is_recording() {
            span.set_attributes(told.iter().cloned());
            span.set_attribute(KeyValue::new("zendesk_gateway.upstream_requests", i64::from(self.requests())));
            span.set_attributes(self.cache.map(|cache| KeyValue::new("zendesk_gateway.cache", cache)));
            if failed.is_failure() {
                span.set_status(SpanStatus::error(self.reason.unwrap_or(status)));
            }
        }
        span.end();
    }

    /// Returns whether the access line may be written: if so, with how many before it were not. The calls of unknown callers leave
    /// only so many lines a second, and so do each known caller's that failed and sent nothing.
    fn admit(&self, code: Code) -> Option<u64> {
        let samples = &self.reports.telemetry.state().samples;
        let unwanted = || !event_enabled!(target: "access", Level::INFO);
        let is_free = || code == Code::Ok || self.requests() > 0 || self.ledger.may_have_acted();
        match self.ledger.caller() {
            _ if self.method.quiet || unwanted() => Some(0),
            None => samples.strangers.admit(),
            Some(_) if is_free() => Some(0),
            Some(caller) => samples.refused.admit(caller),
        }
    }

    /// Writes the access line.
    fn log(&self, code: Code, seconds: f64) {
        let Some(left_out) = self.admit(code) else { return };
        let left_out = Some(left_out).filter(|left_out| *left_out > 0);
        macro_rules! line {
            ($level:ident, $number:ident) => {
                // The span's context is only needed if the line is written.
                let wanted = event_enabled!(target: "access", Level::$number);
                let _attached = wanted.then(|| self.context.clone().attach());
                $level!(
                    target: "access",
                    {
                        rpc.method = self.method.name,
                        rpc.status_code = name(code),
                        caller = self.ledger.caller(),
                        client.address = %self.peer.to_canonical(),
                        duration_ms = (seconds * 1e6).round() / 1e3,
                        upstream_calls = self.requests(),
                        cache = self.cache,
                        error.reason = self.reason,
                        request_id = self.request_id.to_str().unwrap_or_default(),
                        left_out,
                    },
                    "call ended"
                )
            };
        }
        if self.method.quiet {
            line!(debug, DEBUG);
        } else {
            line!(info, INFO);
        }
    }
}

impl BodyHook for Call {
    fn poll_frame<B>(
        &mut self,
        body: Pin<&mut B>,
        context: &mut task::Context<'_>,
    ) -> Poll<Result<Next<B::Error>, Error>>
    where
        B: Body<Data = Bytes>,
    {
        // A stream's messages are made while its body is polled.
        let _attached = self.method.streaming.then(|| self.context.clone().attach());
        body.poll_frame(context).map(Ok)
    }

    fn ended(&mut self, end: End<'_>) {
        match end {
            End::Trailers(trailers) => {
                // Only at its end is it known how many upstream requests a stream has made.
                if self.method.is_ours() && self.method.streaming {
                    // Of a forwarded call the leader has said it.
                    trailers.entry(UPSTREAM_CALLS).or_insert(self.ledger.requests().into());
                }
                self.status(trailers);
            }
            End::Broken => self.code = Some(Code::Internal),
            End::NoTrailers => {}
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let (None, Some(why)) = (self.code, reset::why()) {
            (self.code, self.reason) = (Some(why.code), Some(why.reason));
        }
        // Without a status the caller cancelled the call.
        let code = self.code.unwrap_or(Code::Cancelled);
        let watches = self.ledger.is_watching();
        let failed = Failed { code, reason: self.reason, asked: self.asked, ours: self.method.is_ours(), watches };
        let seconds = self.started.elapsed().as_secs_f64();
        if let Some(calls) = self.calls() {
            calls.end(match code {
                Code::ResourceExhausted => state::End::Throttled,
                _ if failed.is_failure() => state::End::Failed,
                _ => state::End::Answered,
            });
        }
        self.measure(code, failed, seconds);
        self.log(code, seconds);
    }
}

/// Returns a code's name in the protocol.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
