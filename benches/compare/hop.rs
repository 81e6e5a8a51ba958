//! What the way over a follower costs, beside that over a bare tonic proxy that forwards the same bytes to the same port.
//!
//! A cached read goes straight to the leader, over a follower, and over the proxy, in turns. What counts is the processor time of
//! both processes less that of the leader alone, and the median latency less that at the leader. The servers have one core, the
//! load and the stand-in the other.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::future::{BoxFuture, try_join_all};
use http::{HeaderValue, Request, Response};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server};
use zendesk_gateway::contract::Risk;
use zendesk_gateway::fleet::wire::{Passport, STATIC_TERM};
use zendesk_gateway::gateway::caller::Grant;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{GetUserRequest, ListUsersRequest};

use super::process::{Process, free_port};
use super::series::Series;

const SERVERS: &str = "0";
const OTHERS: &str = "1";
/// What tells this program that it is to be the proxy.
const ROLE: &str = "proxy";
/// Calls under way at a time while processor time is measured.
const AT_ONCE: usize = 16;

/// Processor time per call and median latency, both in µs.
pub type Took = [Series; 2];

/// What a cached read takes.
pub struct Hop {
    /// At the leader.
    pub leader: Took,
    /// Over the follower.
    pub follower: Took,
    /// Over the proxy.
    pub proxy: Took,
}

impl Hop {
    /// Returns what the way over the follower and that over the proxy add to what the leader takes.
    pub fn added(&self) -> [Took; 2] {
        [&self.follower, &self.proxy].map(|over| [0, 1].map(|what| over[what].minus(&self.leader[what])))
    }

    /// Returns how many times what the proxy adds the follower adds.
    pub fn ratio(&self) -> Took {
        let [follower, proxy] = self.added();
        [0, 1].map(|what| follower[what].over(&proxy[what]))
    }
}

/// Serves as the proxy, if these arguments of the program say so.
pub fn serves(arguments: &[String]) -> anyhow::Result<bool> {
    let [role, port, leader, folder] = arguments else { return Ok(false) };
    if role != ROLE {
        return Ok(false);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Proxy::serve(port.parse()?, leader.parse()?, Path::new(folder)))?;
    Ok(true)
}

/// Forwards calls as plainly as can be.
#[derive(Clone)]
struct Proxy(Channel);

impl NamedService for Proxy {
    const NAME: &'static str = "zendesk.gateway.v1.UserService";
}

impl tower::Service<Request<Body>> for Proxy {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let passport = Passport {
            caller: "anonymous".into(),
            grant: Grant::default().and(Risk::Read).bits(),
            from: [127, 0, 0, 1].into(),
            via: HeaderValue::from_static("proxy"),
            term: STATIC_TERM,
        };
        passport.write(request.headers_mut());
        let mut channel = self.0.clone();
        Box::pin(async move {
            let answer = async {
                std::future::poll_fn(|context| channel.poll_ready(context)).await?;
                tower::Service::call(&mut channel, request).await
            };
            Ok(answer.await.unwrap_or_else(|error| Status::unavailable(error.to_string()).into_http()))
        })
    }
}

impl Proxy {
    async fn serve(port: u16, leader: SocketAddr, folder: &Path) -> anyhow::Result<()> {
        let read = |name: &str| fs::read(folder.join(name));
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read("ca.crt")?))
            .identity(Identity::from_pem(read("tls.crt")?, read("tls.key")?))
            .domain_name("localhost");
        let endpoint = Endpoint::from_shared(format!("https://{leader}"))?.tls_config(tls)?.tcp_nodelay(true);
        let service = Self(endpoint.connect_lazy());
        let server = Server::builder().tcp_nodelay(true).add_service(service);
        Ok(server.serve(SocketAddr::from(([127, 0, 0, 1], port))).await?)
    }
}

/// A server under test.
struct Tested {
    name: &'static str,
    process: Process,
    client: UserServiceClient<Channel>,
}

/// What all servers need.
struct Stage {
    folder: PathBuf,
    stand_in: u16,
}

impl Stage {
    fn new(folder: PathBuf, stand_in: u16) -> anyhow::Result<Self> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &authority)?;
        fs::write(folder.join("ca.crt"), authority.pem())?;
        fs::write(folder.join("tls.crt"), certificate.pem())?;
        fs::write(folder.join("tls.key"), key.serialize_pem())?;
        fs::write(folder.join("token"), "sandbox-api-token")?;
        Ok(Self { folder, stand_in })
    }

    async fn started(&self, name: &'static str, mut command: Command, port: u16) -> anyhow::Result<Tested> {
        let process = Process::start(SERVERS, command.env("TOKIO_WORKER_THREADS", "1"), port, &self.folder.join(name))?;
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?.tcp_nodelay(true);
        Ok(Tested { name, process, client: UserServiceClient::new(endpoint.connect().await?) })
    }

    async fn replica(&self, name: &'static str, fleet: [(&str, String); 2]) -> anyhow::Result<Tested> {
        let port = free_port()?;
        let mut command = gateway();
        let path = |file: &str| self.folder.join(file).to_string_lossy().into_owned();
        let settings = [
            ("SERVER__LISTEN", format!("127.0.0.1:{port}")),
            ("SERVER__WORKERS", "1".to_owned()),
            ("ADMIN__LISTEN", format!("127.0.0.1:{}", free_port()?)),
            ("UPSTREAM__BASE_URL", format!("http://127.0.0.1:{}", self.stand_in)),
            ("UPSTREAM__CREDENTIAL__KIND", "api_token".to_owned()),
            ("UPSTREAM__CREDENTIAL__EMAIL", "owner@sandbox.example".to_owned()),
            ("UPSTREAM__CREDENTIAL__TOKEN_FILE", path("token")),
            ("CACHE__RECORD__FRESH", "10m".to_owned()),
            ("TELEMETRY__LOG_FILTER", "warn,access=off".to_owned()),
            ("FLEET__MODE", "static".to_owned()),
            ("FLEET__NAME", name.to_owned()),
            ("FLEET__TLS__CERT_FILE", path("tls.crt")),
            ("FLEET__TLS__KEY_FILE", path("tls.key")),
            ("FLEET__TLS__CA_FILE", path("ca.crt")),
        ];
        for (key, value) in settings.iter().chain(&fleet).filter(|(key, _)| !key.is_empty()) {
            command.env(format!("ZENDESK_GATEWAY__{key}"), value);
        }
        command.arg("serve");
        self.started(name, command, port).await
    }
}

fn gateway() -> Command {
    Command::new(std::env::var("GATEWAY_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_zendesk-gateway").to_owned()))
}

/// Measures so many rounds of so many calls, and one more to warm up.
pub async fn measure(rounds: usize, calls: usize) -> anyhow::Result<Hop> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hop");
    fs::create_dir_all(&folder)?;
    let port = free_port()?;
    let mut command = gateway();
    command.args(["sandbox", "--listen", &format!("127.0.0.1:{port}"), "--users", "1000"]);
    let _stand_in = Process::start(OTHERS, &command, port, &folder.join("stand-in"))?;
    let (stage, internal) = (Stage::new(folder, port)?, free_port()?);
    let unset = ("", String::new());
    let leader = stage.replica("leader", [("FLEET__LISTEN", format!("127.0.0.1:{internal}")), unset.clone()]).await?;
    let follower = stage.replica("follower", [("FLEET__LEADER", format!("localhost:{internal}")), unset]).await?;
    let port = free_port()?;
    let mut proxy = Command::new(std::env::current_exe()?);
    proxy.args([ROLE, &port.to_string(), &format!("127.0.0.1:{internal}")]).arg(&stage.folder);
    let proxy = stage.started("proxy", proxy, port).await?;

    let page = leader.client.clone().list_users(ListUsersRequest { page_size: 10, ..Default::default() }).await?;
    let id = page.into_inner().users.first().context("the stand-in has users")?.id;
    for tested in [&leader, &follower, &proxy] {
        let answer = tested.client.clone().get_user(GetUserRequest { id, ..Default::default() }).await?;
        let of = |name: &str| answer.metadata().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        ensure!((of("x-served-by"), of("x-cache")) == ("leader", "hit"), "{}: {:?}", tested.name, answer.metadata());
    }
    let mut series: [Took; 3] = Default::default();
    for _ in 0..=rounds {
        for (tested, [cpu, latency]) in [&leader, &follower, &proxy].into_iter().zip(&mut series) {
            let processes = [&leader.process, &tested.process];
            let processes = if tested.name == "leader" { &processes[..1] } else { &processes[..] };
            let used = || processes.iter().map(|process| process.cpu_seconds()).sum::<f64>();
            let before = used();
            try_join_all((0..AT_ONCE).map(|_| calling(tested, id, calls / AT_ONCE))).await?;
            #[expect(clippy::cast_precision_loss, reason = "few")]
            cpu.add((used() - before) * 1e6 / calls as f64);
            let mut took = calling(tested, id, calls / 8).await?;
            took.sort_unstable();
            latency.add(took[took.len() / 2].as_secs_f64() * 1e6);
        }
    }
    let [leader, follower, proxy] = series.map(|series| series.map(Series::warm));
    Ok(Hop { leader, follower, proxy })
}

/// Makes calls one after the other, and returns how long each took.
async fn calling(tested: &Tested, id: i64, calls: usize) -> anyhow::Result<Vec<Duration>> {
    let (mut client, mut took) = (tested.client.clone(), Vec::with_capacity(calls));
    for _ in 0..calls {
        let mut request = tonic::Request::new(GetUserRequest { id, ..Default::default() });
        request.set_timeout(Duration::from_secs(10));
        let began = Instant::now();
        client.get_user(request).await?;
        took.push(began.elapsed());
    }
    Ok(took)
}
