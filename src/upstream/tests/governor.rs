mod account;
mod limits;
mod simulation;
