//! Which reads have large answers, and how much of one may come before it is read.
//!
//! An answer of more than its window takes one more round trip for each time that the window is used up. But what may come and is
//! not read takes memory, and all that may come on a connection must fit its own window, or answers that wait for memory would be
//! in the way of others. So only reads whose answers have been found to be large go on a connection with large windows, and few at a
//! time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::contract::Endpoint;
use crate::upstream::client::STREAM_WINDOW;

/// Bytes of a large answer that may come before they are read: a page of a hundred rows of ten kilobytes that nothing packs.
const LARGE: u32 = 1 << 20;
/// Most large answers at a time that have such a window; others have the usual one.
pub const MOST_LARGE: usize = 8;
const ALL: u32 = LARGE * 8;

/// For how long an endpoint counts as one with large answers.
const BELIEVED: Duration = Duration::from_mins(5);

/// Sets the windows of a connection for large answers.
pub fn windows(builder: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
    builder.http2_initial_stream_window_size(LARGE).http2_initial_connection_window_size(ALL)
}

/// The endpoints, by their numbers, whose answers were larger than the usual window, and when the last one was.
#[derive(Default)]
pub struct Sizes(Mutex<HashMap<usize, Instant>>);

impl Sizes {
    /// Notes that so many bytes of an answer came.
    pub fn note(&self, endpoint: &Endpoint, came: usize) {
        if came > usize::try_from(STREAM_WINDOW).unwrap_or(usize::MAX) {
            self.large().insert(endpoint.number, Instant::now());
        }
    }

    /// True if answers of this endpoint are large.
    pub fn is_large(&self, endpoint: &Endpoint) -> bool {
        self.large().get(&endpoint.number).is_some_and(|at| at.elapsed() < BELIEVED)
    }

    fn large(&self) -> MutexGuard<'_, HashMap<usize, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
