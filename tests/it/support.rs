//! `TestGateway`: the gateway on a free port, before a stand-in on another.

pub mod authority;
pub mod binary;
pub mod collector;
mod dynamic;
pub mod issuer;
pub mod load;
pub mod observed;
pub mod raw;
mod scripted;
pub mod seam;
pub mod tools;

pub use dynamic::Dynamic;
pub use scripted::{Scripted, answer};

use std::time::Duration;

use base64::Engine as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use url::Url;
use zendesk_gateway::assembly::{Around, Assembly, assemble};
use zendesk_gateway::config::Config;
use zendesk_gateway::fleet::elected::Trial;
use zendesk_gateway::proto::group_service_client::GroupServiceClient;
use zendesk_gateway::proto::job_service_client::JobServiceClient;
use zendesk_gateway::proto::membership_service_client::MembershipServiceClient;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::sandbox::{self, Sandbox};
use zendesk_gateway::server::admin::Readiness;
use zendesk_gateway::server::flood::workers::Workers;
use zendesk_gateway::telemetry::Telemetry;
use zendesk_gateway::upstream::client::Origin;
use zendesk_gateway::upstream::credential::{Credential, Source};
use zendesk_gateway::watch::Watcher;

/// A gateway with its stand-in; dropping it shuts both down.
pub struct TestGateway {
    pub sandbox: Sandbox,
    pub address: String,
    pub channel: Channel,
    shutdown: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<anyhow::Result<()>>>,
}

/// A stand-in whose limits no test meets by accident. With `TEST_WIRE=http2` in the environment it speaks TLS and HTTP/2.
pub fn account() -> sandbox::Config {
    let update_limits = sandbox::UpdateLimits { per_user: 0, per_account: 0, ..sandbox::UpdateLimits::default() };
    let tls = std::env::var_os("TEST_WIRE").is_some_and(|wire| wire == "http2");
    let wire = sandbox::Wire { tls, ..sandbox::Wire::default() };
    // Links to another host, as recorded of accounts with an alias: a gateway that followed one would fail its test.
    let link_host = Some("alias.zendesk.example".into());
    sandbox::Config { rate_limit: 1_000_000, update_limits, wire, link_host, ..sandbox::Config::default() }
}

/// Settings under which updates of one user are not paced, as the stand-in of [`account`] does not count them, and a
/// shutdown is not announced, as nobody listens.
pub fn settings() -> Config {
    let mut config = Config::default();
    config.upstream.rate.updates_per_user = 0;
    config.upstream.rate.update_spacing = Duration::ZERO;
    config.server.drain.announce = Duration::ZERO;
    config.authorization.destructive = true;
    config
}

/// A file with this text, which goes when it is dropped.
pub fn file_of(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    std::io::Write::write_all(&mut file, text.as_bytes()).expect("it is written");
    file
}

impl TestGateway {
    pub async fn start() -> Self {
        Self::with(account()).await
    }

    pub async fn with(account: sandbox::Config) -> Self {
        Self::configured(account, settings()).await
    }

    pub async fn configured(account: sandbox::Config, config: Config) -> Self {
        Self::signed(account, config, api_token).await
    }

    /// Signs in at the stand-in with what `credential` makes.
    pub async fn signed(
        account: sandbox::Config,
        config: Config,
        credential: impl FnOnce(&Sandbox) -> Credential,
    ) -> Self {
        let sandbox = Sandbox::start(account).await.expect("the stand-in starts on a free port");
        let credential = credential(&sandbox);
        Self::using(sandbox, config, credential).await
    }

    /// Serves the account of a stand-in that is there already, with chosen credentials.
    pub async fn using(sandbox: Sandbox, config: Config, credentials: impl Into<Source>) -> Self {
        Box::pin(Self::watching(sandbox, config, credentials, &Watcher::default())).await
    }

    /// Reads certificates and keys again as often as `watcher` says.
    pub async fn watching(
        sandbox: Sandbox,
        mut config: Config,
        credentials: impl Into<Source>,
        watcher: &Watcher,
    ) -> Self {
        // Read once, at the start.
        let trusted = sandbox.ca_pem().map(file_of);
        config.upstream.ca_file = trusted.as_ref().map(|file| file.path().to_owned());
        let upstream = sandbox.base_url();
        let serving = Box::pin(serve_and_watch(&upstream, credentials, config, watcher));
        let (address, channel, shutdown, served) = serving.await;
        Self { sandbox, address, channel, shutdown: Some(shutdown), served: Some(served) }
    }

    /// The same with the stand-in's API token, in an account of its own.
    pub async fn watched(config: Config, watcher: &Watcher) -> Self {
        let sandbox = Sandbox::start(account()).await.expect("the stand-in starts on a free port");
        let credential = api_token(&sandbox);
        Box::pin(Self::watching(sandbox, config, credential, watcher)).await
    }

    pub fn users(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(self.channel.clone()).max_decoding_message_size(64 << 20)
    }

    pub fn groups(&self) -> GroupServiceClient<Channel> {
        GroupServiceClient::new(self.channel.clone())
    }

    pub fn memberships(&self) -> MembershipServiceClient<Channel> {
        MembershipServiceClient::new(self.channel.clone())
    }

    pub fn jobs(&self) -> JobServiceClient<Channel> {
        JobServiceClient::new(self.channel.clone())
    }

    /// The memberships that the stand-in holds, in its order.
    pub fn held_memberships(&self) -> Vec<Held> {
        let rows = self.sandbox.store().memberships().into_iter().map(serde_json::from_value);
        rows.collect::<Result<_, _>>().expect("memberships have an id, a user and a group")
    }

    /// Serves the account of a stand-in that another gateway served before.
    pub async fn before(sandbox: Sandbox, config: Config) -> Self {
        let credential = api_token(&sandbox);
        Self::using(sandbox, config, credential).await
    }

    /// Tells the gateway to leave, and does not wait for it.
    pub fn shut_down(&mut self) {
        self.shutdown.take().expect("told once").send(()).expect("the server listens for its shutdown");
    }

    /// Waits until connections are refused.
    pub async fn not_accepting(&self) {
        let refused = tokio::time::timeout(raw::LONG, async {
            while tokio::net::TcpStream::connect(&self.address).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        refused.await.expect("the gateway stops accepting");
    }

    /// Stops the gateway and waits until it has ended: nothing may hang.
    pub async fn stop(self) {
        self.leave().await;
    }

    /// Stops the gateway and returns its stand-in.
    pub async fn leave(mut self) -> Sandbox {
        drop(std::mem::replace(&mut self.channel, idle_channel()));
        if let Some(shutdown) = self.shutdown.take() {
            shutdown.send(()).expect("the server listens for its shutdown");
        }
        let served = self.served.take().expect("stopped once");
        let ended = tokio::time::timeout(Duration::from_mins(1), served).await;
        ended.expect("the server ends within a minute").expect("it does not panic").expect("it ends well");
        self.sandbox
    }
}

/// A membership as the stand-in holds it.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Held {
    pub id: i64,
    pub user_id: i64,
    pub group_id: i64,
}

fn idle_channel() -> Channel {
    Channel::from_static("http://127.0.0.1:1").connect_lazy()
}

/// What [`serve`] starts: its address, a channel to it, what ends it, and its end.
type Serving = (String, Channel, oneshot::Sender<()>, JoinHandle<anyhow::Result<()>>);

/// Says how Zendesk is spoken to at this address.
pub fn origin(upstream: &Url, config: &Config) -> Origin {
    Origin::new(upstream, config.upstream.ca_file.as_deref()).expect("certificates")
}

/// The same without certificates of its own.
pub fn plain(upstream: &Url) -> Origin {
    Origin::new(upstream, None).expect("nothing is read")
}

/// Serves a gateway before `upstream` on a free port.
pub async fn serve(upstream: &Url, credentials: impl Into<Source>, config: Config) -> Serving {
    Box::pin(serve_and_watch(upstream, credentials, config, &Watcher::default())).await
}

async fn serve_and_watch(upstream: &Url, credentials: impl Into<Source>, config: Config, watcher: &Watcher) -> Serving {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let telemetry = Telemetry::start(&config.telemetry, std::io::sink()).expect("telemetry");
    let threads = config.server.workers;
    let gateway = assembled(upstream, credentials, config, telemetry, watcher).await;
    gateway.introduce();
    let (shutdown, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(async move {
        let stopped = async {
            stopped.await.ok();
        };
        let workers = threads
            .map_or_else(Workers::here, |threads| Workers::start(threads.get()).expect("a process may have threads"));
        gateway.run(listener, &Readiness::default(), &workers, stopped).await
    });
    let channel = Channel::from_shared(format!("http://{address}")).expect("a URI").connect_lazy();
    (address, channel, shutdown, served)
}

/// Puts a gateway before `upstream` together.
pub async fn assembled(
    upstream: &Url,
    credentials: impl Into<Source>,
    config: Config,
    telemetry: Telemetry,
    watcher: &Watcher,
) -> Assembly {
    assembled_on_trial(upstream, credentials, config, telemetry, watcher, Trial::default()).await
}

/// The same, with another clock and contract in the election of its fleet.
pub async fn assembled_on_trial(
    upstream: &Url,
    credentials: impl Into<Source>,
    config: Config,
    telemetry: Telemetry,
    watcher: &Watcher,
    trial: Trial,
) -> Assembly {
    let (origin, watcher) = (origin(upstream, &config), watcher.clone());
    let around = Around { origin, credentials: credentials.into(), telemetry, watcher, trial };
    Box::pin(assemble(config, around)).await.expect("what the settings name can be read")
}

/// The stand-in's API token, as the gateway's own credential.
pub fn api_token(sandbox: &Sandbox) -> Credential {
    let known = &sandbox.config().credential;
    basic(&format!("{}/token:{}", known.email, known.api_token))
}

/// The stand-in's OAuth token, as the gateway's own credential.
pub fn oauth_token(sandbox: &Sandbox) -> Credential {
    Credential::new(&format!("Bearer {}", sandbox.config().credential.oauth_token), true).expect("a header")
}

/// A request that carries metadata, too.
pub fn with<M>(message: M, metadata: &[(&'static str, impl AsRef<str>)]) -> tonic::Request<M> {
    let mut request = tonic::Request::new(message);
    for (key, value) in metadata {
        request.metadata_mut().append(*key, value.as_ref().parse().expect("metadata is ASCII"));
    }
    request
}

/// A file's lines for callers and their API keys.
pub fn key_file(keys: &[(&str, &str)]) -> String {
    use aws_lc_rs::digest::{SHA256, digest};
    let hash = |key: &str| {
        let bytes = digest(&SHA256, key.as_bytes());
        bytes.as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    };
    keys.iter().fold(String::new(), |text, (caller, key)| format!("{text}{caller} {}\n", hash(key)))
}

/// A basic credential.
pub fn basic(pair: &str) -> Credential {
    let header = format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair));
    Credential::new(&header, true).expect("a header")
}

/// A client that takes little ahead of being read, so that a stream is not over before its first message is looked at.
pub fn narrow(address: &str) -> UserServiceClient<Channel> {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).expect("a URI");
    UserServiceClient::new(endpoint.initial_stream_window_size(16_384).connect_lazy())
}

/// Waits until something that another task does has happened.
#[track_caller]
pub fn until(happened: impl Fn() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let patience = std::time::Instant::now() + Duration::from_mins(1);
        while !happened() {
            assert!(std::time::Instant::now() < patience, "it never happened: {caller}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// The details of a refused call.
#[derive(Debug)]
pub struct Refused {
    pub code: tonic::Code,
    pub reason: String,
    pub fields: Vec<String>,
    pub message: String,
    /// When to come back, if that is said.
    pub retry_after: Option<Duration>,
    /// Which limit it is about, if that is said.
    pub limit: Option<String>,
}

/// Takes a status apart.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(outcome: Result<T, tonic::Status>) -> Refused {
    use tonic_types::StatusExt as _;
    let status = outcome.expect_err("a refusal");
    let details = status.get_error_details();
    Refused {
        code: status.code(),
        reason: details.error_info().map(|info| info.reason.clone()).unwrap_or_default(),
        fields: details
            .bad_request()
            .map(|bad| bad.field_violations.iter().map(|violation| violation.field.clone()).collect())
            .unwrap_or_default(),
        message: status.message().to_owned(),
        retry_after: details.retry_info().and_then(|info| info.retry_delay),
        limit: details.error_info().and_then(|info| info.metadata.get("limit").cloned()),
    }
}
