//! A channel that spreads its calls, as `docs/clients/rust.md` shows it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use tonic::transport::channel::Change;
use tonic::transport::{Channel, Endpoint};

/// Spreads calls over every address of a name, and follows the name as it changes.
pub fn balanced(host: String, port: u16) -> Channel {
    let (channel, changes) = Channel::balance_channel(64);
    tokio::spawn(async move {
        let mut known = HashSet::new();
        loop {
            // A failed look-up says nothing about the addresses that are known.
            if let Ok(found) = tokio::net::lookup_host((host.as_str(), port)).await {
                let found: HashSet<SocketAddr> = found.collect();
                for address in found.difference(&known) {
                    let endpoint = Endpoint::from_shared(format!("http://{address}"))
                        .expect("an address is a URI")
                        .connect_timeout(Duration::from_secs(2))
                        .http2_keep_alive_interval(Duration::from_secs(30))
                        .keep_alive_timeout(Duration::from_secs(10))
                        .keep_alive_while_idle(true);
                    if changes.send(Change::Insert(*address, endpoint)).await.is_err() {
                        return;
                    }
                }
                for address in known.difference(&found) {
                    if changes.send(Change::Remove(*address)).await.is_err() {
                        return;
                    }
                }
                known = found;
            }
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
    });
    channel
}
