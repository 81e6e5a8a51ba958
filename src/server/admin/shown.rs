//! The parts of the gateway that the admin port reads and acts on.

use std::sync::Arc;

use url::Url;

use super::findings::Findings;
use super::readiness::Readiness;
use super::settings;
use crate::cache::Cache;
use crate::config::Config;
use crate::telemetry::Telemetry;

/// The parts of the gateway that the admin port reads and acts on. Cheap to clone.
#[derive(Clone)]
pub struct Admin(pub(super) Arc<Inner>);

pub struct Inner {
    pub telemetry: Telemetry,
    pub readiness: Readiness,
    pub cache: Cache,
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
            upstream: upstream.clone(),
            findings: Findings::default(),
            settings: settings::shown(config),
            allowed_hosts: config.admin.allowed_hosts.clone(),
        }))
    }
}
