//! A call's place among the limited number of calls that may be under way.

use std::sync::{Arc, OnceLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};

/// A permit for one call under way. A call takes it once its message is there, so calls that are opened and send nothing keep
/// no others out. Dropping the last clone returns it.
#[derive(Debug, Clone)]
pub struct Place(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    room: Arc<Semaphore>,
    taken: OnceLock<OwnedSemaphorePermit>,
}

impl Place {
    /// Returns a place in a room, not taken yet.
    pub fn within(room: &Arc<Semaphore>) -> Self {
        Self(Arc::new(Inner { room: Arc::clone(room), taken: OnceLock::new() }))
    }

    /// Takes the place.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if the room is full.
    pub fn take(&self) -> Result<()> {
        let place = Arc::clone(&self.0.room).try_acquire_owned();
        let place = place.map_err(|_| Error::Overloaded { what: "too many calls at a time" })?;
        self.0.taken.set(place).ok();
        Ok(())
    }

    /// True once the place was taken: before that, the call's message has not come.
    pub fn is_taken(&self) -> bool {
        self.0.taken.get().is_some()
    }
}
