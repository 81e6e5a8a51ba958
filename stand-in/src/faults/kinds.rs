//! What can go wrong.
//!
//! Each kind is a struct that is both the JSON form of its parameters and the start of the builder: `Throttle::once()` makes a
//! [`Rule<Throttle>`](super::Rule) on which the kind's own settings and the rule's can be chained. A rule acts on one request
//! unless [`Rule::times`](super::Rule::times) or [`Rule::forever`](super::Rule::forever) says otherwise.

mod answers;
mod bodies;
mod breaks;
mod fields;

use serde::{Deserialize, Serialize};

pub use answers::{Conflict, Empty, Html, Page, Respond, RetryAfter, Shape, Throttle};
pub use bodies::{
    BrokenGzip, CursorLoop, EmptyPages, GzipBomb, LastPage, MissingHasMore, OddRows, TruncatedJson, WrongLength,
};
pub use breaks::{Delay, Drip, Eof, Hang, Point, Refuse, RefuseStream, Reset};
pub use fields::{HeaderText, Headers};

/// A fault: one kind with its parameters. In JSON an object with the kind as its only key, `{"delay": {"by": "250ms"}}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The normal answer, later.
    Delay(Delay),
    /// An answer made up by the test.
    Respond(Respond),
    /// 429.
    Throttle(Throttle),
    /// A page made for browsers.
    Html(Html),
    /// 409 in plain text.
    Conflict(Conflict),
    /// 200 without a body.
    Empty(Empty),
    /// A TCP reset, or that of a stream.
    Reset(Reset),
    /// An orderly close before the answer is complete.
    Eof(Eof),
    /// Silence.
    Hang(Hang),
    /// The normal answer, a few bytes at a time.
    Drip(Drip),
    /// A connection that is reset as soon as it is accepted.
    Refuse(Refuse),
    /// A stream that is refused, on HTTP/2.
    RefuseStream(RefuseStream),
    /// JSON that stops midway in a well-formed HTTP response.
    TruncatedJson(TruncatedJson),
    /// A content-length that does not fit the body.
    WrongLength(WrongLength),
    /// A small body that inflates to a large one.
    GzipBomb(GzipBomb),
    /// A gzip body that cannot be inflated.
    BrokenGzip(BrokenGzip),
    /// A cursor page that does not say whether there is more.
    MissingHasMore(MissingHasMore),
    /// Pages that lead back to themselves.
    CursorLoop(CursorLoop),
    /// Pages without rows that claim that there is more.
    EmptyPages(EmptyPages),
    /// A page that says it is the last.
    LastPage(LastPage),
    /// Lists of which some rows have other types than documented.
    OddRows(OddRows),
}

macro_rules! each_is_a_fault {
    ($($kind:ident),* $(,)?) => { $(
        impl From<$kind> for Fault {
            fn from(kind: $kind) -> Self {
                Self::$kind(kind)
            }
        }
    )* };
}

each_is_a_fault!(
    Delay,
    Respond,
    Throttle,
    Html,
    Conflict,
    Empty,
    Reset,
    Eof,
    Hang,
    Drip,
    Refuse,
    RefuseStream,
    TruncatedJson,
    WrongLength,
    GzipBomb,
    BrokenGzip,
    MissingHasMore,
    CursorLoop,
    EmptyPages,
    LastPage,
    OddRows,
);

/// Gives kinds that need no parameter the constructors `Kind::once()`, `Kind::times()` and `Kind::forever()`.
macro_rules! starts_with_how_often {
    ($($kind:ident),* $(,)?) => { $(
        impl $kind {
            /// Acts on one request.
            pub fn once() -> $crate::faults::Rule<Self> {
                $crate::faults::Rule::of(Self::default())
            }

            /// Acts on `times` requests.
            #[track_caller]
            pub fn times(times: u64) -> $crate::faults::Rule<Self> {
                Self::once().times(times)
            }

            /// Acts until the rule is removed.
            pub fn forever() -> $crate::faults::Rule<Self> {
                Self::once().forever()
            }
        }
    )* };
}
use starts_with_how_often;
