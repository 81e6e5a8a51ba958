//! `check`: reads all files that the settings name.

use anyhow::Context as _;
use zendesk_gateway::config::identity::Method;
use zendesk_gateway::config::{self, Config, FleetMode};
use zendesk_gateway::fleet;
use zendesk_gateway::server::identity::Identity;
use zendesk_gateway::server::tls::{self, Tls};
use zendesk_gateway::telemetry;
use zendesk_gateway::telemetry::push::otlp::Collector;
use zendesk_gateway::tls::in_words;
use zendesk_gateway::upstream::client::Origin;
use zendesk_gateway::watch::Watcher;

/// Reads what the settings name as the gateway would at its start, and says of all at once what is wrong with it.
pub async fn all(config: &Config, sandboxed: bool) -> anyhow::Result<()> {
    let watcher = Watcher::default();
    let mut read = vec![
        if sandboxed { Ok(()) } else { trusted(config) },
        telemetry::check_resource(),
        Tls::load(&config.server.tls, &watcher).await.map(drop).context("server.tls"),
        config.server.tls.cert_file.as_deref().map_or(Ok(()), tls::check).context("server.tls.cert_file"),
        Collector::of(&config.telemetry.otlp).map(drop),
    ];
    // Only `check --online` asks the issuer.
    let asks = |method: &Method| *method == Method::Jwt && config.identity.jwt.jwks_url.is_some();
    for method in config.identity.methods.iter().filter(|method| !asks(method)) {
        let mut of_one = config.clone();
        of_one.identity.methods = vec![*method];
        read.push(Identity::start(&of_one, &watcher).await.map(drop));
    }
    let mut mistakes: Vec<String> = read.into_iter().filter_map(Result::err).map(|error| in_words(&error)).collect();
    if let Some(paths) = config.fleet.tls.paths().filter(|_| config.fleet.mode == FleetMode::Static) {
        mistakes.extend(fleet::tls::check::mistakes(&paths, config.fleet.listen.is_some()));
    }
    if mistakes.is_empty() { Ok(()) } else { Err(config::Mistakes(mistakes).into()) }
}

/// Reads the certificates that are trusted on the way to Zendesk.
fn trusted(config: &Config) -> anyhow::Result<()> {
    let url = config.upstream.url().map_err(anyhow::Error::msg)?;
    Origin::new(&url, config.upstream.ca_file.as_deref()).map(drop)
}
