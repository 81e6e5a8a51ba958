//! Calls that the gateway itself gives up after it has begun to answer. Nothing else tells them from those that their
//! callers gave up: either way, what is left of them is dropped.

use std::cell::Cell;

use tonic::Code;

thread_local! {
    static WHY: Cell<Option<Why>> = const { Cell::new(None) };
}

/// What a call that is dropped has ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Why {
    /// Its code.
    pub code: Code,
    /// Its reason.
    pub reason: &'static str,
}

/// Lets `drop` drop what is left of a call.
pub fn because(why: Why, drop: impl FnOnce()) {
    WHY.set(Some(why));
    drop();
    WHY.set(None);
}

/// Returns why the gateway drops the call that is being dropped; none if its caller gave it up.
pub fn why() -> Option<Why> {
    WHY.get()
}
