//! What can be said on the command line beside the settings.

use std::net::SocketAddr;

#[cfg(feature = "sandbox")]
use clap::Args;

#[cfg(feature = "sandbox")]
#[derive(Args)]
pub struct Account {
    /// How many users the stand-in holds; overrides `sandbox.users`.
    #[arg(long, value_name = "NUMBER")]
    users: Option<u32>,
    /// What the stand-in's records look like: the same seed gives the same records; overrides `sandbox.seed`.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

#[cfg(feature = "sandbox")]
impl Account {
    /// Returns the settings that they override.
    pub fn flags(&self) -> impl Iterator<Item = (&'static str, String)> {
        let users = self.users.map(|users| ("sandbox.users", users.to_string()));
        users.into_iter().chain(self.seed.map(|seed| ("sandbox.seed", seed.to_string())))
    }
}

/// Reads the address of a port.
pub fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "must be an address with a port, such as 0.0.0.0:50051")
}
