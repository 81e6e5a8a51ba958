//! `check --online`: asks the servers that the settings name whether they answer, and Zendesk whether it accepts the credential.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::timeout;
use url::Url;
use zendesk_gateway::config::{self, Config};
use zendesk_gateway::upstream::client::{Origin, read_body};
use zendesk_gateway::upstream::credential::{Proof, Source};
use zendesk_gateway::watch::Watcher;

/// How long each may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of an issuer's keys, as where they are used.
const MOST_BYTES: usize = 1 << 20;

/// Asks each, prints what it says, and fails if one does not answer as it should.
pub async fn check(config: &Config, sandboxed: bool) -> anyhow::Result<()> {
    let mut failed = 0;
    let mut tell = |who: &str, said: anyhow::Result<String>| match said {
        Ok(said) => println!("{who}: {said}"),
        Err(error) => {
            failed += 1;
            println!("{who}: FAILED: {error:#}");
        }
    };
    if !sandboxed {
        tell("zendesk", zendesk(config).await);
    }
    if let Some(url) = &config.identity.jwt.jwks_url {
        tell("issuer", issuer(url).await);
    }
    if let Some(url) = &config.telemetry.otlp.endpoint {
        tell("collector", collector(url).await);
    }
    if failed > 0 {
        bail!("{failed} of these did not answer as they should");
    }
    Ok(())
}

async fn zendesk(config: &Config) -> anyhow::Result<String> {
    let url = config.upstream.url().map_err(anyhow::Error::msg)?;
    let origin = Origin::new(&url, config.upstream.ca_file.as_deref())?;
    let settings = config.upstream.credential.complete().map_err(config::Mistakes)?;
    let credentials = Source::start(&settings, &origin, &Watcher::default()).await?;
    match credentials.prove(&origin, PATIENCE).await {
        Proof::Accepted(role) => Ok(format!("{url} takes the credential; its user's role is {role}")),
        Proof::NotAsked => Ok(format!("{url} is not asked: callers pass their own credentials")),
        Proof::Refused(error) => bail!("{url} refuses the credential: {error}"),
        Proof::Unknown(error) => bail!("{url} does not say whether it takes the credential: {error}"),
    }
}

async fn issuer(url: &Url) -> anyhow::Result<String> {
    let client = Origin::new(url, None)?.client().timeout(PATIENCE).build()?;
    let response = client.get(url.clone()).send().await.map_err(reqwest::Error::without_url)?;
    let mut response = response.error_for_status()?;
    let body = read_body(&mut response, MOST_BYTES, || ()).await.map_err(|why| why.of_at_most(MOST_BYTES))?;
    let keys: serde_json::Value = serde_json::from_slice(&body).context("the answer is no key set")?;
    let count = keys["keys"].as_array().context("the answer is no key set: it has no \"keys\"")?.len();
    Ok(format!("{url} has {count} keys"))
}

async fn collector(url: &Url) -> anyhow::Result<String> {
    let host = url.host_str().context("no host")?;
    let port = url.port_or_known_default().unwrap_or(4317);
    timeout(PATIENCE, tokio::net::TcpStream::connect((host, port))).await.context("no answer")??;
    Ok(format!("{url} takes connections"))
}
