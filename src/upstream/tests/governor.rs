mod account;
mod limits;
mod simulation;
#[cfg(feature = "sandbox")]
mod stand_in;
