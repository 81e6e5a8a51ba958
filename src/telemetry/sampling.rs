//! Which calls are traced.

use opentelemetry::trace::{Link, SpanContext, SpanKind, TraceContextExt as _, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

use super::trace::is_chosen;

/// Samples a span as its parent was, else as the trace that it links to was, else if `start_call` has chosen its call, else a share
/// of all traces. Without the second rule most traces of background work that a sampled call began would be missing.
#[derive(Debug, Clone)]
pub struct Ratio(pub f64);

impl ShouldSample for Ratio {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let parent_is_chosen = parent.is_some_and(is_chosen);
        let parent = parent.map(|context| context.span().span_context().clone()).filter(SpanContext::is_valid);
        let decided = parent.as_ref().or(links.first().map(|link| &link.span_context));
        if decided.is_none() && parent_is_chosen {
            let trace_state = TraceState::default();
            return SamplingResult { decision: SamplingDecision::RecordAndSample, attributes: Vec::new(), trace_state };
        }
        let Some(decided) = decided else {
            return Sampler::TraceIdRatioBased(self.0).should_sample(None, trace_id, name, kind, attributes, links);
        };
        let sampled = decided.is_sampled();
        SamplingResult {
            decision: if sampled { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop },
            attributes: Vec::new(),
            trace_state: parent.map_or_else(TraceState::default, |parent| parent.trace_state().clone()),
        }
    }
}
