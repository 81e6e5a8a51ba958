//! Tests of the outbound stack at its seam: any function from a call to an answer stands in for Zendesk, and time is paused.

mod addresses;
mod breaker;
mod busy;
mod deadline;
mod gate;
mod governor;
mod hanging;
mod outage;
mod poisoned;
mod queue;
mod retry;
pub(super) mod support;
mod transport;
