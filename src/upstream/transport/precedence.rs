//! Who goes first of those that want a connection: the request that was moved from one to another most often.
//!
//! A connection that ends gives back what it has not processed. If newcomers were faster, they would fill each new connection, and
//! a request could be moved until its deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// How often a request that was provably not processed is sent again within one attempt.
pub const MOST_MOVES: usize = 30;

/// How long a request lets those go first that were moved more often.
pub const PRECEDED: Duration = Duration::from_secs(1);

/// How many requests wait to be taken, by how often they were moved. Those that never were are not counted.
#[derive(Default)]
pub struct Moved([AtomicUsize; MOST_MOVES + 1]);

impl Moved {
    /// True if a request waits that was moved more often than this.
    pub fn precede(&self, moves: usize) -> bool {
        self.0[moves + 1..].iter().any(|waiting| waiting.load(Ordering::SeqCst) > 0)
    }
}

/// A request's place before others that were moved less often. It is given up when a connection takes the request.
#[derive(Default)]
pub struct Precedence {
    moves: usize,
    moved: Arc<Moved>,
    changed: Arc<Notify>,
}

impl Precedence {
    /// Takes a place among those that were moved; `changed` is told when it is given up.
    pub fn of(moves: usize, moved: &Arc<Moved>, changed: &Arc<Notify>) -> Self {
        if moves > 0 {
            moved.0[moves].fetch_add(1, Ordering::SeqCst);
        }
        Self { moves, moved: Arc::clone(moved), changed: Arc::clone(changed) }
    }
}

impl Drop for Precedence {
    fn drop(&mut self) {
        if self.moves > 0 && self.moved.0[self.moves].fetch_sub(1, Ordering::SeqCst) == 1 {
            self.changed.notify_waiters();
        }
    }
}
