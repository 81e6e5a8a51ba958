//! What the admin port shows, and where it takes it from.

use std::sync::Arc;

use url::Url;

use super::readiness::Readiness;
use super::settings;
use crate::cache::Cache;
use crate::config::Config;
use crate::telemetry::Telemetry;

/// What the admin port shows.
#[derive(Clone)]
pub struct Admin(pub(super) Arc<Inner>);

pub struct Inner {
    pub telemetry: Telemetry,
    pub readiness: Readiness,
    pub cache: Cache,
    pub upstream: Url,
    pub settings: Vec<(String, String)>,
}

impl Admin {
    /// Shows a gateway before `upstream`, and lets operators invalidate its cache. Of `config` nothing secret is kept.
    pub fn new(telemetry: &Telemetry, readiness: &Readiness, cache: &Cache, upstream: &Url, config: &Config) -> Self {
        Self(Arc::new(Inner {
            telemetry: telemetry.clone(),
            readiness: readiness.clone(),
            cache: cache.clone(),
            upstream: upstream.clone(),
            settings: settings::shown(config),
        }))
    }
}
