//! Many replicas before one account: one leads, the others forward their calls to it.
//!
//! [`wire`] says what goes from one replica to another, [`hop`] holds the connections, and [`link`] knows whether the leader
//! answers, and what its follower does while it does not. Who leads is an input: the settings say it, or [`election`] decides it
//! through a Kubernetes Lease (`kubernetes`), and [`elected`] knows it at each moment.

pub mod clock;
pub mod elected;
pub mod election;
pub mod hop;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod link;
pub mod tls;
pub mod wire;
