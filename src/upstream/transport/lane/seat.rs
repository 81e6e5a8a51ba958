//! A request's place on a lane.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Lane;

/// A request's place on a lane.
pub struct Seat {
    lane: Arc<Lane>,
    /// Whether the connection is opened for this request.
    opens: bool,
}

impl Seat {
    /// Takes a place on a lane.
    pub fn on(lane: &Arc<Lane>) -> Self {
        lane.seats.fetch_add(1, Ordering::SeqCst);
        Self { lane: Arc::clone(lane), opens: false }
    }

    /// Takes the place of the request that a connection is opened for, if no other has it.
    pub fn to_open(lane: &Arc<Lane>) -> Option<Self> {
        if lane.opener.swap(true, Ordering::SeqCst) {
            return None;
        }
        let mut seat = Self::on(lane);
        seat.opens = true;
        Some(seat)
    }

    /// Returns the lane.
    pub fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.lane.seats.fetch_sub(1, Ordering::SeqCst);
        if self.opens {
            self.lane.opener.store(false, Ordering::SeqCst);
        }
        if !self.lane.is_http1() || self.opens {
            self.lane.changed.notify_waiters();
        }
    }
}
