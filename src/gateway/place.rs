//! A call's place among the limited number of calls that may be under way, and what its messages take of the memory.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};
use crate::share::{Charge, Share, Taken};

/// A permit for one call under way. A call takes it once its message is there, so calls that are opened and send nothing keep
/// no others out. Dropping the last clone returns it, and the bytes that were charged for the call's messages.
#[derive(Debug, Clone)]
pub struct Place(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    room: Arc<Semaphore>,
    taken: OnceLock<(OwnedSemaphorePermit, Taken)>,
    /// Made when the first bytes are charged: most calls have only small messages, which are free.
    charge: Mutex<Option<Charge>>,
}

impl Place {
    /// Returns a place in a room, not taken yet.
    pub fn within(room: &Arc<Semaphore>) -> Self {
        Self(Arc::new(Inner { room: Arc::clone(room), taken: OnceLock::new(), charge: Mutex::default() }))
    }

    /// Takes the place of a call that is nobody's in particular.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if the room is full.
    pub fn take(&self) -> Result<()> {
        self.take_for(&Share::default(), false)
    }

    /// Takes the place for a call of the caller with this share.
    ///
    /// # Errors
    /// [`Error::CallerLimit`] if the caller has as many calls as it may, [`Error::Overloaded`] if the room is full.
    pub fn take_for(&self, share: &Share, streaming: bool) -> Result<()> {
        let own = share.take(streaming)?;
        let place = Arc::clone(&self.0.room).try_acquire_owned();
        let place = place.map_err(|_| Error::Overloaded { what: "too many calls at a time" })?;
        self.0.taken.set((place, own)).ok();
        Ok(())
    }

    /// Returns a reference that does not keep the place.
    pub fn downgrade(&self) -> PlaceRef {
        PlaceRef(Arc::downgrade(&self.0))
    }

    /// True once the place was taken: before that, the call's message has not come.
    pub fn is_taken(&self) -> bool {
        self.0.taken.get().is_some()
    }

    /// Charges bytes of the call's messages to its caller, until the call has ended.
    ///
    /// # Errors
    /// See [`Share::charge`].
    pub fn charge(&self, share: &Share, bytes: usize) -> Result<()> {
        let mut charge = self.0.charge.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *charge {
            Some(charge) => charge.grow(bytes),
            none => {
                *none = Some(share.charge(bytes)?);
                Ok(())
            }
        }
    }

    /// Gives back all bytes that were charged so far.
    pub fn release(&self) {
        self.0.charge.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// A reference to the place of a call, which may have ended.
#[derive(Debug, Clone, Default)]
pub struct PlaceRef(Weak<Inner>);

impl PlaceRef {
    /// Charges bytes of the call's reply to its caller, until the call has ended.
    ///
    /// # Errors
    /// See [`Share::charge`].
    pub fn charge(&self, share: &Share, bytes: usize) -> Result<()> {
        self.0.upgrade().map_or(Ok(()), |place| Place(place).charge(share, bytes))
    }
}
