//! Many replicas before one account.

pub mod election;
