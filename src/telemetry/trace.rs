//! Where a call stands in its trace.
//!
//! The place is handed on explicitly, from the server over the gateway's context into the upstream call, because the work
//! passes through tasks of its own on the way: shared flights, writes that outlive their caller, background refreshes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::{HeaderMap, HeaderName};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{
    SpanBuilder, SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, Tracer as _,
};
use opentelemetry::{Context, ContextGuard};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracer;

/// Looked for in every call: a name given as text would be parsed each time.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A place in a trace; the default is none, so that what follows begins a trace of its own. Cheap to clone.
#[derive(Clone, Default)]
pub struct Trace {
    parent: Context,
    link: Option<SpanContext>,
    attempts: Option<Arc<AtomicU32>>,
}

impl Trace {
    /// Returns the place below the span of `context`.
    pub fn below(context: Context) -> Self {
        Self { parent: context, link: None, attempts: None }
    }

    /// Returns the place of work that is not part of the call that caused it, such as a background refresh: a trace of its
    /// own that links to the call.
    #[must_use]
    pub fn detached(&self) -> Self {
        let link = Some(self.parent.span().span_context().clone()).filter(SpanContext::is_valid);
        Self { parent: Context::new(), link: link.or_else(|| self.link.clone()), attempts: None }
    }

    /// Counts the attempts made below this place.
    #[must_use]
    pub fn counting_attempts(self) -> Self {
        Self { attempts: Some(Arc::default()), ..self }
    }

    /// Counts an attempt and returns how many came before it.
    pub fn attempt(&self) -> u32 {
        self.attempts.as_ref().map_or(0, |attempts| attempts.fetch_add(1, Ordering::Relaxed))
    }

    /// Returns how many attempts were made.
    pub fn attempts(&self) -> u32 {
        self.attempts.as_ref().map_or(0, |attempts| attempts.load(Ordering::Relaxed))
    }

    /// Writes the place into the headers of a request to another replica of this gateway, which goes on from here.
    pub fn write(&self, headers: &mut HeaderMap) {
        let mut carried = Carried(Vec::new());
        TraceContextPropagator::new().inject_context(&self.parent, &mut carried);
        for (name, value) in carried.0.into_iter().filter(|(_, value)| !value.is_empty()) {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), value.try_into()) {
                headers.insert(name, value);
            }
        }
    }

    /// Makes this the place of whatever is logged until the guard is dropped.
    pub fn enter(&self) -> ContextGuard {
        self.parent.clone().attach()
    }

    /// Starts a span at this place and returns the context that holds it. If the call is not sampled, it returns the parent's
    /// context: nobody would see the span.
    pub fn start(&self, tracer: &SdkTracer, builder: impl FnOnce() -> SpanBuilder) -> Context {
        let span = self.parent.span();
        if span.span_context().is_valid() && !span.span_context().is_sampled() {
            return self.parent.clone();
        }
        self.begin(tracer, builder())
    }

    fn begin(&self, tracer: &SdkTracer, mut builder: SpanBuilder) -> Context {
        if let Some(link) = &self.link {
            builder = builder.with_links(vec![opentelemetry::trace::Link::new(link.clone(), Vec::new(), 0)]);
        }
        self.parent.with_span(tracer.build_with_context(builder, &self.parent))
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Trace({})", self.parent.span().span_context().trace_id())
    }
}

/// Marks the context of a call that was chosen for tracing although the caller sent no trace context.
struct Chosen;

/// Returns whether a trace that begins in this context was chosen to be recorded.
pub(super) fn is_chosen(context: &Context) -> bool {
    context.get::<Chosen>().is_some()
}

/// Starts the span of a call, and returns the context that holds it. The parent's decision to sample is followed.
///
/// Whether to trace a call without a parent is decided before the SDK is asked: an untraced call needs only ids, and the SDK
/// takes several times as long to make its span.
pub(super) fn start_call(tracer: &SdkTracer, share: f64, parent: Context, builder: SpanBuilder) -> Context {
    if parent.span().span_context().is_valid() {
        return Trace::below(parent).begin(tracer, builder);
    }
    if fastrand::f64() < share {
        return Trace::below(parent.with_value(Chosen)).begin(tracer, builder);
    }
    let trace = TraceId::from_bytes(fastrand::u128(1..).to_be_bytes());
    let span = SpanId::from_bytes(fastrand::u64(1..).to_be_bytes());
    parent.with_remote_span_context(SpanContext::new(trace, span, TraceFlags::NOT_SAMPLED, false, TraceState::NONE))
}

/// Returns the place of a caller whose decision to sample does not count: the decision is made anew, so that a share of such
/// calls is traced. The trace and its ids stay the caller's.
pub(super) fn sampled_anew(share: f64, parent: &Context) -> Context {
    let place = parent.span().span_context().clone();
    let flags = place.trace_flags().with_sampled(fastrand::f64() < share);
    let state = place.trace_state().clone();
    parent.with_remote_span_context(SpanContext::new(place.trace_id(), place.span_id(), flags, true, state))
}

/// Returns the caller's place, from the W3C headers `traceparent` and `tracestate`.
pub fn incoming(headers: &HeaderMap) -> Context {
    if headers.contains_key(TRACEPARENT) {
        TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers))
    } else {
        Context::new()
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }
    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

/// Marks a context whose requests to Zendesk carry it.
struct Outgoing;

/// Lets requests made within `context` carry it.
pub fn propagated(context: &Context) -> Context {
    context.with_value(Outgoing)
}

/// Returns the trace headers of a request to Zendesk made in the current context: none unless the context is marked by
/// [`propagated`].
pub fn outgoing() -> Vec<(String, String)> {
    Context::map_current(|context| {
        let mut headers = Carried(Vec::new());
        if context.get::<Outgoing>().is_some() {
            TraceContextPropagator::new().inject_context(context, &mut headers);
            headers.0.retain(|(_, value)| !value.is_empty());
        }
        headers.0
    })
}

struct Carried(Vec<(String, String)>);

impl Injector for Carried {
    fn set(&mut self, key: &str, value: String) {
        self.0.push((key.to_owned(), value));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SdkTracerProvider, Span, SpanData, SpanProcessor};

    use super::*;
    use crate::telemetry::sampling::Ratio;

    #[derive(Debug, Clone, Default)]
    struct Ended(Arc<Mutex<Vec<SpanData>>>);

    impl SpanProcessor for Ended {
        fn on_start(&self, _: &mut Span, _: &Context) {}
        fn on_end(&self, span: SpanData) {
            self.0.lock().expect("no panic").push(span);
        }
        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }
        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    #[test]
    fn work_of_its_own_links_to_its_cause_and_is_sampled_like_it() {
        let ended = Ended::default();
        let provider = SdkTracerProvider::builder().with_sampler(Ratio(0.0)).with_span_processor(ended.clone()).build();
        let tracer = provider.tracer("test");
        let mut headers = HeaderMap::new();
        let place = http::HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        headers.insert("traceparent", place);
        let call = Trace::below(incoming(&headers)).start(&tracer, || SpanBuilder::from_name("call"));
        for place in [Trace::below(call.clone()), Trace::below(call.clone()).detached(), Trace::default()] {
            place.start(&tracer, || SpanBuilder::from_name("work")).span().end();
        }
        for (share, sampled) in [(0.0, false), (1.0, true)] {
            let call = start_call(&tracer, share, Context::new(), SpanBuilder::from_name("root"));
            let place = call.span().span_context().clone();
            assert!(place.is_valid() && place.is_sampled() == sampled, "{place:?}");
            let below = Trace::below(call).start(&tracer, || SpanBuilder::from_name("below"));
            let below = below.span().span_context().clone();
            assert_eq!((below.trace_id(), below.is_sampled()), (place.trace_id(), sampled));
        }
        let mut spans = ended.0.lock().expect("no panic");
        let mut names: Vec<_> = spans.drain(2..).map(|span| span.name).collect();
        names.sort();
        assert_eq!(names, ["below", "root"], "the first root was not sampled");
        let [within, detached] = spans.as_slice() else { panic!("the third was not sampled: {spans:?}") };
        let cause = call.span().span_context().clone();
        assert_eq!((within.parent_span_id, within.span_context.trace_id()), (cause.span_id(), cause.trace_id()));
        assert_ne!(detached.span_context.trace_id(), cause.trace_id());
        assert_eq!(detached.links.links[0].span_context, cause);
    }
}
