//! `check --online`: asks the servers that the settings name whether they answer, and Zendesk whether it accepts the credential.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{LogBatch, LogExporter as _};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter as _;
use opentelemetry_sdk::trace::SpanExporter as _;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use url::Url;
use zendesk_gateway::config::{self, Config};
use zendesk_gateway::fleet;
use zendesk_gateway::server::identity::KeySet;
use zendesk_gateway::telemetry::push::otlp::Collector;
use zendesk_gateway::tls;
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
            println!("{who}: FAILED: {}", tls::in_words(&error));
        }
    };
    if !sandboxed {
        tell("zendesk", zendesk(config).await);
    }
    if let Some(url) = &config.identity.jwt.jwks_url {
        tell("issuer", issuer(url, &config.identity.jwt).await);
    }
    if let (Some(leader), Some(paths)) = (&config.fleet.leader, config.fleet.tls.paths()) {
        tell("leader", timeout(PATIENCE, self::leader(leader, &paths)).await.unwrap_or_else(|late| Err(late.into())));
    }
    if config.telemetry.otlp.endpoint.is_some() {
        tell("collector", collector(&config.telemetry.otlp).await);
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
        Proof::Accepted(role) if role == "end-user" => {
            bail!(
                "{url} takes the credential of an end user, who may read hardly anything: it must be an agent's or an administrator's"
            )
        }
        Proof::Accepted(role) => Ok(format!("{url} takes the credential; its user's role is {role}")),
        Proof::NotAsked => Ok(format!("{url} is not asked: callers pass their own credentials")),
        Proof::Refused(why) => bail!("{url}: {why}: {}: {}", why.means.0, why.means.2),
        Proof::Unknown(error) => bail!("{url} does not say whether it takes the credential: {error}"),
    }
}

async fn issuer(url: &Url, settings: &config::identity::Jwt) -> anyhow::Result<String> {
    let client = Origin::new(url, None)?.client().timeout(PATIENCE).build()?;
    let mut response = client.get(url.clone()).send().await.map_err(reqwest::Error::without_url)?;
    let status = response.status();
    if !status.is_success() {
        bail!("{url} answers HTTP {status} instead of its keys");
    }
    let body = read_body(&mut response, MOST_BYTES, || ()).await.map_err(|why| why.of_at_most(MOST_BYTES))?;
    KeySet::read(&body, settings).with_context(|| format!("the answer of {url}"))?;
    Ok(format!("{url} has keys that can be used"))
}

/// Whether it takes this replica's certificate, too, it says with its first answer, which only the gateway asks for.
async fn leader(leader: &str, paths: &[PathBuf]) -> anyhow::Result<String> {
    fleet::tls::check::reach(leader, paths).await.with_context(|| leader.to_owned())?;
    Ok(format!("{leader} shows a certificate that is taken here"))
}

/// Pushes nothing of each signal that is switched on, which takes the same way and the same proof as a push of much.
async fn collector(settings: &config::Otlp) -> anyhow::Result<String> {
    let collector = Collector::of(settings)?.context("no endpoint")?;
    let mut taken = Vec::new();
    let mut tell = |signal: &'static str, pushed: Result<OTelSdkResult, Elapsed>| {
        taken.push(signal);
        // Who has pushed it is nobody's business; what came back is.
        let said = |error: OTelSdkError| {
            error
                .to_string()
                .rsplit_once("export failed with ")
                .map_or_else(|| error.to_string(), |(_, said)| said.to_owned())
        };
        pushed.context("no answer")?.map_err(|error| anyhow::anyhow!("it does not take {signal}: {}", said(error)))
    };
    if settings.traces {
        tell("traces", timeout(PATIENCE, collector.spans()?.export(Vec::new())).await)?;
    }
    if settings.metrics {
        tell("metrics", timeout(PATIENCE, collector.metrics()?.export(&ResourceMetrics::default())).await)?;
    }
    if settings.logs {
        tell("logs", timeout(PATIENCE, collector.logs()?.export(LogBatch::new(&[]))).await)?;
    }
    Ok(format!("takes {}", taken.join(", ")))
}
