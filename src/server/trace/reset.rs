//! Tells calls that the gateway gives up after it has begun to answer from calls that their callers cancel. Both end in the
//! same way: what is left of the call is dropped.

use std::cell::Cell;

use tonic::Code;

thread_local! {
    static WHY: Cell<Option<Why>> = const { Cell::new(None) };
}

/// Why the gateway drops a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Why {
    /// Its code.
    pub code: Code,
    /// Its reason.
    pub reason: &'static str,
}

/// Runs `drop`, which drops what is left of a call, and makes `why` known to it.
pub fn because(why: Why, drop: impl FnOnce()) {
    WHY.set(Some(why));
    drop();
    WHY.set(None);
}

/// Returns why the gateway drops the call that is being dropped; none if its caller cancelled it.
pub fn why() -> Option<Why> {
    WHY.get()
}
