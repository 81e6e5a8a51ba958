//! A faithful Zendesk stand-in, spoken to over real HTTP.
//!
//! Zendesk cannot be reached from a laptop, from CI or in a demo, so the gateway brings its own account: users, groups,
//! memberships, deleted users and job statuses in memory, seeded reproducibly at any size. It behaves as recordings of the real
//! thing do, down to the quirks that bite clients; what no recording shows is collected in [`Assumptions`] or called an
//! assumption in a comment. It enforces limits itself and remembers every request, so tests can check how a client behaves.
//!
//! ```text
//! connection ─► record ─► faults ─► credentials ─► limits ─► latency ─► routes ─► store
//! ```
//!
//! Beside the API it serves `GET /__sandbox/stats`,
//! `POST /__sandbox/stats/reset` and the fault control at `/__sandbox/faults`.

mod auth;
mod bulk;
mod call;
mod clock;
mod config;
pub mod connection;
mod control;
mod errors;
pub mod faults;
mod groups;
mod jobs;
mod latency;
mod limits;
mod memberships;
mod organization_memberships;
mod organizations;
mod pagination;
mod query;
mod record;
mod reply;
mod roles;
mod routes;
mod rules;
mod seed;
mod server;
mod store;
mod tags;
#[cfg(test)]
mod tests;
mod user_fields;
mod users;
mod view;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use faults::{Fault, Faults, Matcher, Rule, RuleId};

pub use config::{Assumptions, Bucket, Config, Credentials, GoAway, Jobs, Latency, UpdateLimits, Wire};
pub use connection::{ConnectionCounts, Connections, Mute};
pub use record::{Outcome, Recorded, Stats};
pub use store::Store;

/// Everything that the parts of one sandbox share.
struct World {
    config: Config,
    clock: clock::Clock,
    store: Store,
    keys: auth::Keys,
    limits: limits::Limits,
    recorder: record::Recorder,
    faults: Faults,
    connections: Connections,
}

impl World {
    fn reset_counts(&self) {
        self.recorder.reset();
        self.connections.reset_counts();
    }

    /// Scheme of the address that requests are sent to.
    fn scheme(&self) -> &'static str {
        scheme(&self.connections)
    }
}

fn scheme(connections: &Connections) -> &'static str {
    if connections.ca_pem().is_some() { "https" } else { "http" }
}

/// A running sandbox. Dropping it stops the server.
pub struct Sandbox {
    world: Arc<World>,
    address: SocketAddr,
    _stop: DropGuard,
}

impl Sandbox {
    /// Seeds an account and serves it.
    ///
    /// # Errors
    /// If the address cannot be bound, no certificate can be made or written to its file, or both versions of HTTP are off.
    pub async fn start(config: Config) -> io::Result<Self> {
        let connections = Connections::new(config.wire.clone())?;
        if let (Some(ca), Some(file)) = (connections.ca_pem(), &config.wire.ca_file) {
            tokio::fs::write(file, ca).await?;
        }
        let listener = tokio::net::TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let clock = clock::Clock::start();
        let mut tables = seed::tables(&config, &clock);
        tables.lag_search(config.search_lag);
        let origin = match &config.link_host {
            Some(alias) => format!("https://{alias}"),
            None => format!("{}://{address}", scheme(&connections)),
        };
        let links = view::Links::new(origin, config.assumptions.json_suffix, &tables.user_fields);
        let world = Arc::new(World {
            store: Store::new(tables, &config, clock, links),
            keys: auth::Keys::new(config.credential.clone()),
            limits: limits::Limits::new(&config),
            recorder: record::Recorder::default(),
            faults: Faults::default(),
            connections,
            clock,
            config,
        });
        let stop = CancellationToken::new();
        server::spawn(listener, &world, stop.clone());
        Ok(Self { world, address, _stop: stop.drop_guard() })
    }

    /// Returns the address to send requests to, such as `http://127.0.0.1:49152/`, or `https://127.0.0.1:49152/` with TLS.
    ///
    /// # Panics
    /// Never: every socket address makes a valid URL.
    pub fn base_url(&self) -> Url {
        let url = Url::parse(&format!("{}://{}", self.world.scheme(), self.address));
        url.expect("an IP address and a port are a valid authority")
    }

    /// Returns the certificate of the authority that signed the sandbox's own, in PEM, if it speaks TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.world.connections.ca_pem()
    }

    /// Returns the control of the connections: what they do from now on, and how many there were.
    pub fn connections(&self) -> &Connections {
        &self.world.connections
    }

    /// Resets all open connections (TCP RST), with every stream on them.
    pub fn reset_connections(&self) {
        self.world.connections.reset();
    }

    /// Returns the served API, to be called without a network: a test with a paused clock cannot wait for sockets.
    pub fn api(&self) -> axum::Router {
        server::app(&self.world)
    }

    /// Returns the settings the sandbox was started with.
    pub fn config(&self) -> &Config {
        &self.world.config
    }

    /// Returns the account's records.
    pub fn store(&self) -> &Store {
        &self.world.store
    }

    /// Returns how many requests had the path `/api/v2` + `path_suffix`, with
    /// or without `.json`.
    pub fn hits(&self, path_suffix: &str) -> u64 {
        self.world.recorder.hits(&format!("/api/v2{path_suffix}"))
    }

    /// Returns how many requests arrived, token requests included.
    pub fn total_hits(&self) -> u64 {
        self.world.recorder.total()
    }

    /// Returns the last 10,000 requests, oldest first.
    pub fn requests(&self) -> Vec<Recorded> {
        self.world.recorder.requests()
    }

    /// Returns the counts that `GET /__sandbox/stats` shows.
    pub fn stats(&self) -> Stats {
        self.world.recorder.stats()
    }

    /// Lets requests that match `when` fail as `rule` says:
    /// `sandbox.fault(get("/users/7"), Throttle::once().retry_after(1))`.
    pub fn fault<F: Into<Fault>>(&self, when: Matcher, rule: Rule<F>) -> RuleId {
        self.world.faults.add(rule.when(when))
    }

    /// Returns the fault control.
    pub fn faults(&self) -> &Faults {
        &self.world.faults
    }

    /// Forgets all requests and counts.
    pub fn reset_stats(&self) {
        self.world.reset_counts();
    }

    /// Sets what other integrations spend per rate window from now on.
    pub fn set_foreign_rate(&self, per_window: u32) {
        self.world.limits.set_foreign_rate(per_window);
    }

    /// Spends requests of the current rate window at once, as another
    /// integration would.
    pub fn spend_budget(&self, requests: u32) {
        self.world.limits.spend(requests);
    }

    /// Accepts other credentials instead of the configured ones from now on.
    pub fn rotate_credential(&self, credential: Credentials) {
        self.world.keys.rotate(credential);
    }

    /// Accepts other credentials besides those it accepts already.
    pub fn admit_credential(&self, credential: Credentials) {
        self.world.keys.admit(credential);
    }

    /// Makes every token from `POST /oauth/tokens` invalid.
    pub fn revoke_issued_tokens(&self) {
        self.world.keys.revoke_issued();
    }
}
