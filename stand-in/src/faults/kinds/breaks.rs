//! Faults of time and of the connection.
//!
//! On HTTP/2 a fault that breaks a response breaks its stream, and the connection goes on:
//! [`Sandbox::reset_connections`](crate::Sandbox::reset_connections) breaks whole connections.
//!
//! Durations are texts in JSON, such as `"250ms"` or `"1s 500ms"`.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::starts_with_how_often;
use crate::faults::Rule;

/// Waits, then answers normally.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    /// How long the wait is. Timers have a granularity of 1 ms: it is never shorter, and up to 1 ms longer.
    #[serde(with = "humantime_serde")]
    pub(in super::super) by: Duration,
}

impl Delay {
    /// Waits for `duration` before the request is handled, or after it with [`Rule::after_applying`].
    pub fn by(duration: Duration) -> Rule<Self> {
        Rule::of(Self { by: duration })
    }
}

/// Where in a response something breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// Before the first byte. The request is not handled, unless the rule says that it is applied.
    BeforeHeaders,
    /// After the status line, in the middle of a header. On HTTP/2, where headers come whole or not at all, right behind them.
    WithinHeaders,
    /// After half the body, with a content-length that promises all of it. A response without a body breaks within its headers.
    WithinBody,
}

/// Resets the connection (TCP RST); on HTTP/2 the stream (`RST_STREAM` with `INTERNAL_ERROR`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reset {
    /// Where in the response the reset comes.
    pub(in super::super) at: Point,
}

/// Closes the connection (TCP FIN) before the response is complete.
///
/// On HTTP/2 nothing but a reset ends a stream before its response is complete: the stream is reset with `CANCEL`, the code for a
/// stream that is not wanted any more.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eof {
    /// Where in the response the close comes.
    pub(in super::super) at: Point,
}

/// Falls silent until the client leaves. On HTTP/2 only the stream does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hang {
    /// Where in the response the silence begins.
    pub(in super::super) at: Point,
}

macro_rules! happens_at_a_point {
    ($($kind:ident),*) => { $(
        impl $kind {
            /// Happens before the first byte of the response.
            pub fn before_headers() -> Rule<Self> {
                Rule::of(Self { at: Point::BeforeHeaders })
            }

            /// Happens in the middle of a header.
            pub fn within_headers() -> Rule<Self> {
                Rule::of(Self { at: Point::WithinHeaders })
            }

            /// Happens after half the body.
            pub fn within_body() -> Rule<Self> {
                Rule::of(Self { at: Point::WithinBody })
            }
        }
    )* };
}

happens_at_a_point!(Reset, Eof, Hang);

/// Sends the normal answer a few bytes at a time, its status line included. On HTTP/2 only the body comes in pieces.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drip {
    /// How many bytes are sent at a time.
    pub(in super::super) bytes: NonZeroUsize,
    /// The pause between two pieces; one below 1 ms takes 1 ms.
    #[serde(with = "humantime_serde")]
    pub(in super::super) every: Duration,
}

impl Drip {
    /// Sends `bytes` bytes, pauses for `every`, and so on.
    ///
    /// # Panics
    ///
    /// Panics when `bytes` is 0: that is a [`Hang`].
    #[track_caller]
    pub fn of(bytes: usize, every: Duration) -> Rule<Self> {
        Rule::of(Self { bytes: NonZeroUsize::new(bytes).expect("a drip has at least one byte"), every })
    }
}

/// Accepts new connections and resets them at once. A client sees a reset, not the "connection refused" of a closed port. There
/// is no request yet, so the rule's matcher is ignored, and `times` counts connections.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refuse {}

/// Refuses the stream of a request (`RST_STREAM` with `REFUSED_STREAM`), which promises that it was not processed: the request is
/// never handled, whatever the rule says about applying it. Only for HTTP/2; requests by HTTP/1.1 do not match.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefuseStream {}

starts_with_how_often!(Refuse, RefuseStream);
