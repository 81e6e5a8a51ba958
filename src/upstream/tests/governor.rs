//! The governor against a simulated account, and one limit at a time.

mod account;
mod limits;
mod simulation;
#[cfg(feature = "sandbox")]
mod stand_in;
