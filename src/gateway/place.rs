//! A call's place among those that are under way.

use std::sync::{Arc, OnceLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};

/// A place that a call takes once its message is there, and leaves when the last clone is dropped: whoever only opens calls
/// and sends nothing keeps nobody out.
#[derive(Debug, Clone)]
pub struct Place(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    room: Arc<Semaphore>,
    taken: OnceLock<OwnedSemaphorePermit>,
}

impl Place {
    /// A place in a room, not taken yet.
    pub fn within(room: &Arc<Semaphore>) -> Self {
        Self(Arc::new(Inner { room: Arc::clone(room), taken: OnceLock::new() }))
    }

    /// Takes it.
    ///
    /// # Errors
    /// The room is full.
    pub fn take(&self) -> Result<()> {
        let place = Arc::clone(&self.0.room).try_acquire_owned();
        let place = place.map_err(|_| Error::Overloaded { what: "too many calls at a time" })?;
        self.0.taken.set(place).ok();
        Ok(())
    }

    /// Whether it was taken: before that, the call has not asked for anything.
    pub fn is_taken(&self) -> bool {
        self.0.taken.get().is_some()
    }
}
