//! What a fetch waits for, so that whoever cannot wait for as long as the fetch does still learns the reason.

use std::sync::{Arc, Mutex, PoisonError};

use smallvec::SmallVec;

use crate::error::Error;

/// The error with which a fetch would end if it were given up now; none while Zendesk has its request, or before it begins. It is
/// told to all whom the fetch serves. Clones share it; the default tells nobody.
#[derive(Debug, Clone, Default)]
pub struct WaitsFor(SmallVec<[Arc<Mutex<Option<Error>>>; 1]>);

impl WaitsFor {
    /// Returns one that can be read.
    pub fn noted() -> Self {
        Self(SmallVec::from_buf([Arc::default()]))
    }

    /// Notes what the fetch waits for.
    pub fn set(&self, why: Option<&Error>) {
        for noted in &self.0 {
            *noted.lock().unwrap_or_else(PoisonError::into_inner) = why.cloned();
        }
    }

    /// Returns what the fetch waits for.
    pub fn get(&self) -> Option<Error> {
        self.0.iter().find_map(|noted| noted.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Returns one that tells those of both.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}
