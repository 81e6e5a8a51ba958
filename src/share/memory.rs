//! The memory that one caller's messages take, and that of all callers.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Inner, Share, TRY_AGAIN, leaves_enough};
use crate::error::{Error, Result};

/// Bytes of messages under way, charged to a caller. Dropping it gives them back.
#[derive(Debug)]
pub struct Charge {
    share: Share,
    bytes: usize,
}

impl Charge {
    /// Charges nothing yet.
    pub fn none(share: &Share) -> Self {
        Self { share: share.clone(), bytes: 0 }
    }

    /// Charges further bytes.
    ///
    /// # Errors
    /// [`Error::ReplyTooLarge`] if this charge alone would be more than the caller's share, however little else is under way;
    /// [`Error::CallerLimit`] if the caller's messages would have too many bytes together, [`Error::Overloaded`] if those of all
    /// callers would. Then nothing was added.
    pub fn grow(&mut self, bytes: usize) -> Result<()> {
        let Inner { bytes: own, all_bytes, .. } = &*self.share.0;
        let alone = self.bytes.saturating_add(bytes);
        if alone > own.most {
            return Err(Error::ReplyTooLarge { bytes: alone, limit: own.most, done: false });
        }
        let free = all_bytes.most - all_bytes.used().min(all_bytes.most);
        if !leaves_enough((own.used(), own.most), (free, all_bytes.most)) || !own.add(bytes) {
            return Err(Error::CallerLimit { what: "bytes of messages at a time", retry_after: TRY_AGAIN });
        }
        if !all_bytes.add(bytes) {
            own.remove(bytes);
            return Err(Error::Overloaded { what: "the messages under way take too much memory" });
        }
        self.bytes = alone;
        Ok(())
    }

    /// Charges bytes that could wait: only if half of the caller's share, and half of what all have, is left for the others.
    pub fn ahead(share: &Share, bytes: usize) -> Option<Self> {
        let charge = share.charge(bytes).ok()?;
        let Inner { bytes: own, all_bytes, .. } = &*share.0;
        (own.used() <= own.most / 2 && all_bytes.used() <= all_bytes.most / 2).then_some(charge)
    }

    /// Charges this number of bytes in place of those so far.
    ///
    /// # Errors
    /// See [`Charge::grow`].
    pub fn set(&mut self, bytes: usize) -> Result<()> {
        if let Some(more) = bytes.checked_sub(self.bytes) {
            return self.grow(more);
        }
        self.give_back(self.bytes - bytes);
        self.bytes = bytes;
        Ok(())
    }

    /// Gives back so many of the bytes.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.give_back(bytes);
        self.bytes -= bytes;
    }

    fn give_back(&self, bytes: usize) {
        let Inner { bytes: own, all_bytes, .. } = &*self.share.0;
        own.remove(bytes);
        all_bytes.remove(bytes);
    }
}

/// The same error where the bytes are those of a request.
pub fn of_request(error: Error) -> Error {
    match error {
        Error::ReplyTooLarge { bytes, limit, .. } => Error::RequestTooLarge { bytes, limit },
        other => other,
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

/// How many bytes are used, and how many may be.
pub(super) struct Bytes {
    used: AtomicUsize,
    most: usize,
}

impl Bytes {
    pub(super) fn new(most: usize) -> Self {
        Self { used: AtomicUsize::new(0), most }
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Adds bytes, if they fit.
    fn add(&self, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.most;
        if !fits {
            self.remove(bytes);
        }
        fits
    }

    fn remove(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}
