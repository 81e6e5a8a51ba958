//! `check`: reads all files that the settings name.

use anyhow::Context as _;
use zendesk_gateway::config::Config;
use zendesk_gateway::config::identity::Method;
use zendesk_gateway::server::identity::Identity;
use zendesk_gateway::server::tls::{self, Tls};
use zendesk_gateway::telemetry::push::otlp::Collector;
use zendesk_gateway::upstream::client;
use zendesk_gateway::watch::Watcher;

/// Reads what the settings name as the gateway would at its start.
pub async fn all(config: &Config, sandboxed: bool) -> anyhow::Result<()> {
    let ca_file = config.upstream.ca_file.as_deref().filter(|_| !sandboxed);
    ca_file.map_or(Ok(()), client::read_ca_file)?;
    let watcher = Watcher::default();
    Tls::load(&config.server.tls, &watcher).await.context("server.tls")?;
    config.server.tls.cert_file.as_deref().map_or(Ok(()), tls::check).context("server.tls.cert_file")?;
    let mut of_files = config.clone();
    // Only `check --online` asks the issuer.
    if config.identity.jwt.jwks_url.is_some() {
        of_files.identity.methods.retain(|method| *method != Method::Jwt);
    }
    Identity::start(&of_files, &watcher).await?;
    if let Some(paths) = config.fleet.tls.paths() {
        Tls::of_fleet(paths, &watcher).await.context("fleet.tls")?;
    }
    Collector::of(&config.telemetry.otlp).map(drop)
}
