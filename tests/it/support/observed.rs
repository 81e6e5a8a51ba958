//! A gateway whose telemetry tests can see: its admin port, its log lines and its metrics.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tonic::transport::Channel;
use url::Url;
use zendesk_gateway::config::{self, Config};
use zendesk_gateway::proto::group_service_client::GroupServiceClient;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::sandbox::Sandbox;
use zendesk_gateway::server::admin::Readiness;
use zendesk_gateway::server::flood::workers::Workers;
use zendesk_gateway::telemetry::{Telemetry, view};
use zendesk_gateway::upstream::credential::Credential;
use zendesk_gateway::watch::Watcher;

use super::{account, api_token, assembled};

pub struct Observed {
    pub sandbox: Sandbox,
    pub telemetry: Telemetry,
    pub readiness: Readiness,
    pub lines: Lines,
    pub address: String,
    pub channel: Channel,
    pub admin: String,
}

impl Observed {
    pub async fn start(settings: config::Telemetry) -> Self {
        let sandbox = Sandbox::start(account()).await.expect("the stand-in starts on a free port");
        let upstream = sandbox.base_url();
        Self::before(sandbox, &upstream, settings).await
    }

    /// Starts one whose parts are not registered with telemetry, so that a test can register numbers of its own.
    pub async fn bare(settings: config::Telemetry) -> Self {
        let sandbox = Sandbox::start(account()).await.expect("the stand-in starts on a free port");
        let (upstream, credential) = (sandbox.base_url(), api_token(&sandbox));
        Box::pin(Self::put_together(sandbox, &upstream, with_telemetry(settings), credential, false)).await
    }

    /// Starts one before this upstream, which need not be the stand-in.
    pub async fn before(sandbox: Sandbox, upstream: &Url, settings: config::Telemetry) -> Self {
        Self::with(sandbox, upstream, with_telemetry(settings)).await
    }

    /// Starts one with these settings.
    pub async fn configured(config: Config) -> Self {
        Self::signed(config, api_token).await
    }

    /// The same, with the credential that `credential` makes for the stand-in.
    pub async fn signed(config: Config, credential: impl FnOnce(&Sandbox) -> Credential) -> Self {
        let sandbox = Sandbox::start(account()).await.expect("the stand-in starts on a free port");
        let (upstream, credential) = (sandbox.base_url(), credential(&sandbox));
        Box::pin(Self::put_together(sandbox, &upstream, config, credential, true)).await
    }

    /// Starts one before this upstream with these settings.
    pub async fn with(sandbox: Sandbox, upstream: &Url, config: Config) -> Self {
        let credential = api_token(&sandbox);
        Box::pin(Self::put_together(sandbox, upstream, config, credential, true)).await
    }

    async fn put_together(
        sandbox: Sandbox,
        upstream: &Url,
        config: Config,
        credential: Credential,
        introduced: bool,
    ) -> Self {
        let lines = Lines::default();
        let telemetry = Telemetry::start(&config.telemetry, lines.clone()).expect("telemetry");
        let gateway = assembled(upstream, credential, config, telemetry.clone(), &Watcher::default()).await;
        if introduced {
            gateway.introduce();
        }
        // The admin port answers by a readiness that tests set, not by the gateway's own.
        let (readiness, own) = (Readiness::default(), Readiness::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let admin = format!("http://{}", listener.local_addr().expect("it is bound"));
        tokio::spawn(gateway.admin(&readiness).serve(listener));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        tokio::spawn(async move {
            let workers = Workers::here();
            gateway.run(listener, &own, &workers, std::future::pending::<()>()).await
        });
        let channel = Channel::from_shared(format!("http://{address}")).expect("a URI").connect_lazy();
        Self { sandbox, telemetry, readiness, lines, address, channel, admin }
    }

    pub fn users(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(self.channel.clone())
    }

    pub fn groups(&self) -> GroupServiceClient<Channel> {
        GroupServiceClient::new(self.channel.clone())
    }

    /// Registers numbers for the parts that this gateway does not have.
    pub fn absent_sources(&self) {
        self.telemetry.instruments().connection_duration.record(1.0, &[]);
        let sources = &self.telemetry.state().sources;
        sources.reloads.set(|| vec![view::Reload { what: "credential", taken: 1, failed: 0, failing: false }]);
        sources.credential.set(|| view::Credential {
            kind: "api_token".to_owned(),
            expires: Some(std::time::SystemTime::now() + Duration::from_hours(24 * 365)),
            ..view::Credential::default()
        });
        let expires = std::time::SystemTime::now() + Duration::from_hours(24 * 90);
        sources.fleet.set(|| view::Fleet {
            course: "leads",
            election: Some(view::Election {
                term: 1,
                named: None,
                lease: "good",
                failing: Duration::ZERO,
                failures: 0,
                handed_over_in: Some(Duration::from_secs(1)),
            }),
            ..view::Fleet::default()
        });
        sources.certificates.set(move || vec![view::Certificate { what: "certificate of the gRPC port", expires }]);
    }

    /// Asks the admin port; returns status and body.
    pub async fn get(&self, path: &str, accept: &str) -> (u16, String) {
        let url = format!("{}{path}", self.admin);
        let response = reqwest::Client::new().get(url).header("accept", accept).send().await.expect("it answers");
        (response.status().as_u16(), response.text().await.expect("text"))
    }

    /// Posts to the admin port; returns status and body.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let request = reqwest::Client::new().post(format!("{}{path}", self.admin));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.send().await.expect("it answers");
        (response.status().as_u16(), response.text().await.expect("text"))
    }

    pub async fn scrape(&self) -> String {
        let (status, text) = self.get("/metrics", "*/*").await;
        assert_eq!(status, 200, "{text}");
        text
    }

    pub async fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.get("/status?format=json", "text/html").await.1).expect("JSON")
    }
}

pub fn breaker(class: &'static str, state: view::BreakerState) -> view::Breaker {
    let probe_in = (state == view::BreakerState::Open).then_some(Duration::from_secs(17));
    view::Breaker { class, state, probe_in, is_unasked: false, opened: 2, refused: 31 }
}

fn with_telemetry(settings: config::Telemetry) -> Config {
    Config { telemetry: settings, ..Config::default() }
}

/// Log lines, kept.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no test panics inside").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// All lines.
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no test panics inside").clone()).expect("text")
    }

    /// The lines of one target, read as JSON.
    pub fn of(&self, target: &str) -> Vec<serde_json::Value> {
        let text = String::from_utf8(self.0.lock().expect("no test panics inside").clone()).expect("text");
        let lines = text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON"));
        lines.filter(|line: &serde_json::Value| line["target"] == target).collect()
    }
}

/// A scrape, read.
pub mod scrape {
    use std::collections::{BTreeMap, BTreeSet};

    /// One metric of a scrape.
    #[derive(Debug, Default)]
    pub struct Family {
        pub kind: String,
        pub help: String,
        pub labels: BTreeSet<String>,
        /// Each sample's name, labels and value.
        pub samples: Vec<(String, BTreeMap<String, String>, f64)>,
    }

    /// Reads Prometheus' text format.
    pub fn read(text: &str) -> BTreeMap<String, Family> {
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut current = String::new();
        for line in text.lines() {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
                name.clone_into(&mut current);
                help.clone_into(&mut families.entry(current.clone()).or_default().help);
            } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                name.clone_into(&mut current);
                kind.clone_into(&mut families.entry(current.clone()).or_default().kind);
            } else if let Some((series, value)) = line.rsplit_once(' ') {
                let (name, labels) = match series.split_once('{') {
                    Some((name, labels)) => (name, read_labels(labels.trim_end_matches('}'))),
                    None => (series, BTreeMap::new()),
                };
                let family = families.entry(current.clone()).or_default();
                family.labels.extend(labels.keys().filter(|label| *label != "le").cloned());
                family.samples.push((name.to_owned(), labels, value.parse().expect("a number")));
            }
        }
        families
    }

    /// Returns a count as the whole number that it is.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are whole and not negative")]
    pub fn whole(count: f64) -> u64 {
        count as u64
    }

    /// Reads `a="b",c="d"`; no value in a test holds a quote.
    fn read_labels(text: &str) -> BTreeMap<String, String> {
        let pairs = text.split("\",").filter_map(|pair| pair.split_once("=\""));
        pairs.map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned())).collect()
    }
}
