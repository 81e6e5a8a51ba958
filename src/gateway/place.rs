//! A call's place among the limited number of calls that may be under way, and what its messages take of the memory.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::usage::{InUse, Usage};
use crate::error::{Error, Result};
use crate::share::{Charge, Share, Taken, of_request};

/// A permit for one call under way. A call takes it once its message is there, so calls that are opened and send nothing keep
/// no others out. Dropping the last clone returns it, and the bytes that were charged for the call's messages.
#[derive(Debug, Clone)]
pub struct Place(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The connection's own room, for kinds of calls of which each connection always has some.
    own: Option<Arc<Semaphore>>,
    /// The room that all connections share.
    shared: Arc<Semaphore>,
    /// How many places it has, if callers are to leave each other some.
    most: Option<usize>,
    full: &'static str,
    /// Whose call it is, once that is known.
    share: OnceLock<Share>,
    taken: OnceLock<(OwnedSemaphorePermit, Taken, Option<InUse>)>,
    /// For what the call holds until its end. Made when the first bytes are charged: most calls have only small messages, which
    /// are free.
    held: Mutex<Option<Charge>>,
    /// For the last of its request messages.
    message: Mutex<Option<Charge>>,
}

impl Place {
    /// Returns a place in a room, not taken yet.
    pub fn within(room: &Arc<Semaphore>) -> Self {
        Self::new(None, (room, None), "too many calls at a time")
    }

    /// Returns a place, not taken yet, in a room of so many places, of which callers leave each other some.
    pub fn shared_out(room: &Arc<Semaphore>, most: usize) -> Self {
        Self::new(None, (room, Some(most)), "too many calls at a time")
    }

    /// Returns a place, not taken yet, in the room `own` of the connection, or in the one that all share if that is full. If both
    /// are, the call is refused with the words `full`.
    pub fn on_connection(own: &Arc<Semaphore>, shared: &Arc<Semaphore>, full: &'static str) -> Self {
        Self::new(Some(Arc::clone(own)), (shared, None), full)
    }

    fn new(own: Option<Arc<Semaphore>>, (shared, most): (&Arc<Semaphore>, Option<usize>), full: &'static str) -> Self {
        let (shared, share, taken) = (Arc::clone(shared), OnceLock::new(), OnceLock::new());
        let (held, message) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { own, shared, most, full, share, taken, held, message }))
    }

    /// Notes whose call it is.
    pub fn belongs_to(&self, share: &Share) {
        self.0.share.set(share.clone()).ok();
    }

    /// Returns whose call it is, once that is known.
    pub fn share(&self) -> Option<&Share> {
        self.0.share.get()
    }

    /// Takes the place of a call that is nobody's in particular.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if the room is full.
    pub fn take(&self) -> Result<()> {
        self.take_for(&Share::default(), false, None)
    }

    /// Takes the place for a call of the caller with this share, which uses its connection from now on. A place that was
    /// taken stays taken.
    ///
    /// # Errors
    /// [`Error::CallerLimit`] if the caller has as many calls as it may, [`Error::Overloaded`] if the room is full.
    pub fn take_for(&self, share: &Share, streaming: bool, connection: Option<&Arc<Usage>>) -> Result<()> {
        if self.is_taken() {
            return Ok(());
        }
        let Inner { own, shared, most, full, taken, .. } = &*self.0;
        let caller_place = share.take(streaming)?;
        most.map_or(Ok(()), |most| share.leaves_calls(shared.available_permits(), most))?;
        let place = own.iter().chain([shared]).find_map(|room| Arc::clone(room).try_acquire_owned().ok());
        let place = place.ok_or(Error::Overloaded { what: full })?;
        taken.set((place, caller_place, connection.map(|usage| InUse::begin(usage, share.id())))).ok();
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

    /// Charges bytes that the call holds to its caller, until the call has ended.
    ///
    /// # Errors
    /// See [`Share::charge`].
    pub fn charge(&self, share: &Share, bytes: usize) -> Result<()> {
        charge(&self.0.held, share, bytes)
    }

    /// Charges bytes of a request message, until they are given back or the call has ended.
    ///
    /// # Errors
    /// See [`Share::charge`]; [`Error::RequestTooLarge`] if it would never fit.
    pub fn charge_message(&self, share: &Share, bytes: usize) -> Result<()> {
        charge(&self.0.message, share, bytes).map_err(of_request)
    }

    /// Gives back all bytes that were charged for request messages so far.
    pub fn release_message(&self) {
        self.message().take();
    }

    /// Gives back so many of them.
    pub fn release_of_message(&self, bytes: usize) {
        self.message().iter_mut().for_each(|charge| charge.shrink(bytes));
    }

    fn message(&self) -> MutexGuard<'_, Option<Charge>> {
        self.0.message.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn charge(charge: &Mutex<Option<Charge>>, share: &Share, bytes: usize) -> Result<()> {
    match &mut *charge.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(charge) => charge.grow(bytes),
        none => {
            *none = Some(share.charge(bytes)?);
            Ok(())
        }
    }
}

/// A reference to the place of a call, which may have ended.
#[derive(Debug, Clone, Default)]
pub struct PlaceRef(Weak<Inner>);

impl PlaceRef {
    /// Charges bytes that the call holds, such as its reply, to its caller, until the call has ended.
    ///
    /// # Errors
    /// See [`Share::charge`].
    pub fn charge(&self, share: &Share, bytes: usize) -> Result<()> {
        self.0.upgrade().map_or(Ok(()), |place| Place(place).charge(share, bytes))
    }

    /// Gives back what was charged for the last request message of a stream, which is not needed any more.
    pub fn release_message(&self) {
        if let Some(place) = self.0.upgrade() {
            Place(place).release_message();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_places_of_its_own_and_shares_the_others() {
        let (shared, room) = (Arc::new(Semaphore::new(1)), || Arc::new(Semaphore::new(2)));
        let (greedy, other) = (room(), room());
        let taken = |own| {
            let place = Place::on_connection(own, &shared, "full");
            place.take().map(|()| place)
        };
        let mut held: Vec<Place> = (0..3).map(|_| taken(&greedy).expect("two of its own and one of all")).collect();
        assert!(matches!(taken(&greedy), Err(Error::Overloaded { what: "full" })));
        let others: Vec<Place> = (0..2).map(|_| taken(&other).expect("its own")).collect();
        assert!(taken(&other).is_err());
        held.pop();
        assert!(taken(&other).is_ok(), "what all share is there again");
        drop(others);
    }
}
