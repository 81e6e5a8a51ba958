//! Faults in what an otherwise normal answer says.

use std::num::{NonZeroI32, NonZeroU16};

use serde::{Deserialize, Serialize};

use super::starts_with_how_often;
use crate::faults::Rule;

/// Cuts the normal answer's JSON in half. The content-length is that of the half, so the answer is valid HTTP.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TruncatedJson {}

/// Gives the normal answer a content-length that is wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrongLength {
    /// What is added to the right length. If it is positive, the connection closes with bytes missing; if negative, the surplus
    /// follows the response on the connection, where the next response is expected. On HTTP/2 a positive one resets only the
    /// stream, and with a negative one the stream carries more than its headers promise.
    pub(in super::super) by: NonZeroI32,
}

impl WrongLength {
    /// Gives the normal answer a content-length of `by` bytes more, or with a negative number less, than it has.
    ///
    /// # Panics
    ///
    /// Panics when `by` is 0.
    #[track_caller]
    pub fn by(by: i32) -> Rule<Self> {
        Rule::of(Self { by: NonZeroI32::new(by).expect("a wrong length differs from the right one") })
    }
}

/// Answers 200 with a small gzip body that inflates to megabytes of JSON whitespace.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GzipBomb {
    /// The inflated size in MiB; about 1 KiB each is sent.
    pub(in super::super) megabytes: NonZeroU16,
}

impl GzipBomb {
    /// Answers with a body that inflates to `megabytes` MiB.
    ///
    /// # Panics
    ///
    /// Panics when `megabytes` is 0.
    #[track_caller]
    pub fn of(megabytes: u16) -> Rule<Self> {
        Rule::of(Self { megabytes: NonZeroU16::new(megabytes).expect("a bomb has a size") })
    }
}

/// Compresses the normal answer and damages the second half of the result.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokenGzip {}

/// Takes `meta.has_more` out of the normal answer, as clients report of users and organizations in 2026.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MissingHasMore {}

/// Makes a page lead back to itself: its `after_cursor` is the one it was asked with, and it claims that there is more. The first page,
/// asked without a cursor, leads to the second as always. An offset page names itself as `next_page`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CursorLoop {}

/// Takes the rows out of a page and claims that there is more, under a cursor never seen before.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmptyPages {}

/// Makes a page the last one as recordings show it: `has_more` is false while the cursors and links stay.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastPage {}

/// Makes the sixth of every ten rows of a list odd: in turn an object as its `url`, a list as its `url`, and a string in its place.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OddRows {}

starts_with_how_often!(TruncatedJson, BrokenGzip, MissingHasMore, CursorLoop, EmptyPages, LastPage, OddRows);
