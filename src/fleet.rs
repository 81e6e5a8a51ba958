//! Many replicas before one account: one leads, the others forward their calls to it.
//!
//! [`wire`] says what goes from one replica to another, [`hop`] holds the connections, and [`link`] knows whether the leader
//! answers, and what its follower does while it does not. Who leads is an input: [`election`] is to decide it.

pub mod election;
pub mod hop;
pub mod link;
mod tls;
pub mod wire;
