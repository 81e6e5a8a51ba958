//! The API key that a connection's calls come with.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::HeaderValue;

use crate::gateway::caller::Known;

/// The key by which the last call of a connection was known, and whose it is, so that it is not hashed again for each call. It is
/// kept for as long as the connection; callers who share one through a proxy take turns.
#[derive(Default)]
pub struct LastKey(Mutex<Option<Last>>);

struct Last {
    /// Which reading of the file of keys has said so.
    reading: u64,
    key: HeaderValue,
    caller: Known,
}

impl LastKey {
    /// Returns the caller if it is this key, and the keys were not read again since.
    pub fn caller(&self, reading: u64, key: &HeaderValue) -> Option<Known> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = last.as_ref().filter(|last| last.reading == reading)?;
        verify_slices_are_equal(last.key.as_bytes(), key.as_bytes()).ok()?;
        Some(last.caller.clone())
    }

    /// Remembers whose key this is.
    pub fn remember(&self, reading: u64, key: &HeaderValue, caller: &Known) {
        let last = Last { reading, key: key.clone(), caller: caller.clone() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }
}

/// Shows no key.
impl fmt::Debug for LastKey {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_tuple("LastKey").finish_non_exhaustive()
    }
}
