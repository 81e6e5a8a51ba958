//! The parts of the gateway that the admin port reads and acts on.

use std::sync::Arc;

use url::Url;

use super::findings::Findings;
use super::readiness::Readiness;
use super::settings;
use crate::cache::Cache;
use crate::config::Config;
use crate::fleet::link::Link;
use crate::telemetry::Telemetry;

/// The parts of the gateway that the admin port reads and acts on. Cheap to clone.
#[derive(Clone)]
pub struct Admin(pub(super) Arc<Inner>);

pub struct Inner {
    pub telemetry: Telemetry,
    pub readiness: Readiness,
    pub cache: Cache,
    /// The leader, to which a follower passes on what is to be void.
    pub leader: Option<Link>,
    pub upstream: Url,
    pub findings: Findings,
    pub settings: Vec<(String, String)>,
    /// Host names that the port answers to, besides addresses and `localhost`.
    pub allowed_hosts: Vec<String>,
}

impl Admin {
    /// Shows the gateway for `upstream`, and lets operators invalidate its cache. Secrets in `config` are masked.
    pub fn new(telemetry: &Telemetry, readiness: &Readiness, cache: &Cache, upstream: &Url, config: &Config) -> Self {
        Self(Arc::new(Inner {
            telemetry: telemetry.clone(),
            readiness: readiness.clone(),
            cache: cache.clone(),
            leader: None,
            upstream: upstream.clone(),
            findings: Findings::default(),
            settings: settings::shown(config),
            allowed_hosts: config.admin.allowed_hosts.clone(),
        }))
    }

    /// Has what is to be void be void at the leader, too.
    #[must_use]
    pub fn following(mut self, leader: Option<&Link>) -> Self {
        Arc::get_mut(&mut self.0).expect("it was made just now").leader = leader.cloned();
        self
    }
}
