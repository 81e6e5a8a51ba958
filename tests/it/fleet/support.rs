//! A fleet in one process: replicas before one stand-in, over loopback.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tonic::transport::Channel;
use zendesk_gateway::config::{Config, FleetMode, LogFormat};
use zendesk_gateway::fleet::elected::Trial;
use zendesk_gateway::proto::group_service_client::GroupServiceClient;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::sandbox::{self, Sandbox};
use zendesk_gateway::server::admin::Readiness;
use zendesk_gateway::server::flood::workers::Workers;
use zendesk_gateway::telemetry::Telemetry;
use zendesk_gateway::upstream::credential::Source;
use zendesk_gateway::watch::Watcher;

use crate::support::authority::{Authority, Signed};
use crate::support::observed::Lines;
use crate::support::{account, api_token, assembled_on_trial, file_of, settings, until};

/// One replica.
pub struct Replica {
    /// What x-served-by calls it.
    pub name: String,
    pub address: String,
    pub channel: Channel,
    pub telemetry: Telemetry,
    pub readiness: Readiness,
    /// Where its internal port is, if it leads.
    pub internal: Option<SocketAddr>,
    lines: Lines,
    admin: String,
    shutdown: Option<oneshot::Sender<()>>,
    orders: UnboundedSender<Order>,
    served: JoinHandle<anyhow::Result<()>>,
}

/// What befalls a replica.
enum Order {
    /// It ends, as by SIGKILL.
    Die,
    /// It stands still for so long, as by SIGSTOP.
    Sleep(Duration),
}

impl Replica {
    pub async fn start(sandbox: &Sandbox, config: Config, credentials: impl Into<Source>) -> Self {
        Self::begin(sandbox, config, credentials.into(), false, Trial::default()).await
    }

    /// One that is not ready before Zendesk takes its credential.
    pub async fn once_accepted(sandbox: &Sandbox, config: Config, credentials: Source) -> Self {
        Self::begin(sandbox, config, credentials, true, Trial::default()).await
    }

    /// One that is not ready before Zendesk takes its credential, if it `asks`.
    pub async fn begin(sandbox: &Sandbox, mut config: Config, credentials: Source, asks: bool, trial: Trial) -> Self {
        let trusted = sandbox.ca_pem().map(file_of);
        config.upstream.ca_file = trusted.as_ref().map(|file| file.path().to_owned());
        config.telemetry.log_format = LogFormat::Json;
        let name = config.fleet.name.clone().unwrap_or_default();
        let lines = Lines::default();
        let telemetry = Telemetry::start(&config.telemetry, lines.clone()).expect("telemetry");
        let dispatch = telemetry.dispatch().clone();
        let (upstream, watcher) = (sandbox.base_url(), Watcher::default());
        let assembling = assembled_on_trial(&upstream, credentials, config, telemetry.clone(), &watcher, trial);
        let gateway =
            tracing::instrument::WithSubscriber::with_subscriber(Box::pin(assembling), dispatch.clone()).await;
        let gateway = if asks { gateway.once_accepted() } else { gateway };
        gateway.introduce();
        let readiness = Readiness::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let admin = format!("http://{}", listener.local_addr().expect("it is bound"));
        tokio::spawn(gateway.admin(&readiness).serve(listener));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let internal = gateway.fleet_address();
        let (shutdown, stopped) = oneshot::channel::<()>();
        let ready = readiness.clone();
        let (orders, mut ordered) = unbounded_channel();
        // Each replica has a thread of its own, so that each tells its own log.
        let served = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            tracing::dispatcher::with_default(&dispatch, || {
                runtime.block_on(async {
                    let stopped = async {
                        stopped.await.ok();
                    };
                    let workers = Workers::here();
                    let mut serving = pin!(gateway.run(listener, &ready, &workers, stopped));
                    loop {
                        tokio::select! {
                            outcome = &mut serving => return outcome,
                            Some(order) = ordered.recv() => match order {
                                Order::Die => return Ok(()),
                                Order::Sleep(time) => std::thread::sleep(time),
                            },
                        }
                    }
                })
            })
        });
        let channel = Channel::from_shared(format!("http://{address}")).expect("a URI").connect_lazy();
        let shutdown = Some(shutdown);
        Self { name, address, channel, telemetry, readiness, internal, lines, admin, shutdown, orders, served }
    }

    pub fn users(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(self.channel.clone()).max_decoding_message_size(64 << 20)
    }

    pub fn groups(&self) -> GroupServiceClient<Channel> {
        GroupServiceClient::new(self.channel.clone())
    }

    /// What it does with its calls, in a word.
    pub fn course(&self) -> &'static str {
        self.telemetry.state().sources.fleet.read().map_or("", |fleet| fleet.course)
    }

    pub async fn is(&self, course: &str) {
        until(|| self.course() == course).await;
    }

    /// Its log lines of one target.
    pub async fn lines(&self, target: &str) -> Vec<Value> {
        self.telemetry.flush().await;
        self.lines.of(target)
    }

    /// Its access lines, but for those of what replicas ask for themselves.
    pub async fn calls(&self) -> Vec<Value> {
        let mut lines = self.lines("access").await;
        lines.retain(|line| line["rpc.method"] != "_OTHER");
        lines
    }

    /// Waits for such a line.
    pub async fn told(&self, target: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let patience = std::time::Instant::now() + Duration::from_mins(1);
        loop {
            let lines = self.lines(target).await;
            if let Some(line) = lines.iter().find(|line| wanted(line)) {
                return line.clone();
            }
            assert!(std::time::Instant::now() < patience, "no such line: {lines:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        let response = reqwest::get(format!("{}{path}", self.admin)).await.expect("it answers");
        (response.status().as_u16(), response.text().await.expect("text"))
    }

    pub async fn post(&self, path: &str) -> (u16, String) {
        let response = reqwest::Client::new().post(format!("{}{path}", self.admin)).send().await.expect("it answers");
        (response.status().as_u16(), response.text().await.expect("text"))
    }

    /// The kinds of its findings.
    pub async fn findings(&self) -> Vec<String> {
        let status: Value = serde_json::from_str(&self.get("/status?format=json").await.1).expect("JSON");
        let findings = status["findings"].as_array().expect("a list");
        findings.iter().map(|finding| finding["kind"].as_str().expect("a word").to_owned()).collect()
    }

    /// Waits until these are its findings.
    pub async fn finds(&self, wanted: &[&str]) {
        let patience = std::time::Instant::now() + Duration::from_mins(1);
        loop {
            let found = self.findings().await;
            if found == wanted {
                return;
            }
            assert!(std::time::Instant::now() < patience, "{}: {found:?}, not {wanted:?}", self.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Tells it to leave.
    pub fn shut_down(&mut self) {
        self.shutdown.take().expect("told once").send(()).expect("it listens for it");
    }

    /// Has it stand still for so long.
    pub fn sleep(&self, time: Duration) {
        self.orders.send(Order::Sleep(time)).ok();
    }

    /// Ends it without warning, and waits until it has ended.
    pub async fn kill(self) {
        self.orders.send(Order::Die).ok();
        self.served.await.expect("it does not panic").ok();
    }

    /// Has it leave, and waits until it has.
    pub async fn stop(mut self) {
        self.channel = Channel::from_static("http://127.0.0.1:1").connect_lazy();
        if self.shutdown.is_some() {
            self.shut_down();
        }
        let ended = tokio::time::timeout(Duration::from_mins(1), self.served).await;
        ended.expect("it ends within a minute").expect("it does not panic").expect("it ends well");
    }
}

/// The certificates of a fleet.
pub struct Papers {
    pub authority: Authority,
    folder: TempDir,
}

impl Papers {
    pub fn new() -> Self {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
        authority.sign().write(folder.path());
        std::fs::write(folder.path().join("ca.crt"), authority.pem()).expect("written");
        Self { authority, folder }
    }

    /// Puts another certificate in the place of the replicas'.
    pub fn replace(&self, signed: &Signed) {
        signed.write(self.folder.path());
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Settings of a replica of the fleet.
    pub fn member(&self, config: &Config, name: &str) -> Config {
        let mut config = config.clone();
        config.fleet.mode = FleetMode::Static;
        config.fleet.name = Some(name.to_owned());
        config.fleet.tls.cert_file = Some(self.file("tls.crt"));
        config.fleet.tls.key_file = Some(self.file("tls.key"));
        config.fleet.tls.ca_file = Some(self.file("ca.crt"));
        config
    }

    pub fn leader(&self, config: &Config, listen: SocketAddr) -> Config {
        let mut config = self.member(config, "leader");
        config.fleet.listen = Some(listen);
        config
    }

    pub fn follower(&self, config: &Config, number: usize, leader: SocketAddr) -> Config {
        let mut config = self.member(config, &format!("follower-{number}"));
        config.fleet.leader = Some(format!("localhost:{}", leader.port()));
        config
    }
}

/// A leader and its followers.
pub struct Fleet {
    pub sandbox: Sandbox,
    pub papers: Papers,
    pub leader: Option<Replica>,
    pub followers: Vec<Replica>,
    /// Between the followers and the leader.
    pub road: Road,
}

impl Fleet {
    /// One leader and so many followers.
    pub async fn start(followers: usize) -> Self {
        Self::of(account(), settings(), followers).await
    }

    pub async fn of(account: sandbox::Config, config: Config, followers: usize) -> Self {
        let sandbox = Sandbox::start(account).await.expect("the stand-in starts on a free port");
        let papers = Papers::new();
        let leader = papers.leader(&config, ([127, 0, 0, 1], 0).into());
        let leader = Box::pin(Replica::start(&sandbox, leader, api_token(&sandbox))).await;
        let road = Road::to(leader.internal.expect("it leads")).await;
        let mut fleet = Self { sandbox, papers, leader: Some(leader), followers: Vec::new(), road };
        for _ in 0..followers {
            fleet.join(&config).await;
        }
        for follower in &fleet.followers {
            follower.is("follows").await;
        }
        fleet
    }

    /// Adds a follower, and does not wait for it.
    pub async fn join(&mut self, config: &Config) {
        let config = self.papers.follower(config, self.followers.len(), self.road.address);
        let follower = Box::pin(Replica::start(&self.sandbox, config, api_token(&self.sandbox))).await;
        self.followers.push(follower);
    }

    pub fn leader(&self) -> &Replica {
        self.leader.as_ref().expect("it is there")
    }

    pub fn replicas(&self) -> impl Iterator<Item = &Replica> {
        self.leader.iter().chain(&self.followers)
    }

    pub fn user(&self, index: usize) -> i64 {
        self.sandbox.store().user_ids()[index]
    }

    pub async fn stop(self) {
        for follower in self.followers {
            follower.stop().await;
        }
        if let Some(leader) = self.leader {
            leader.stop().await;
        }
    }
}

/// The network between the followers and the leader, which can be cut.
pub struct Road {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    _accepting: JoinHandle<()>,
}

struct State {
    to: SocketAddr,
    is_cut: bool,
    /// Pause after each few kilobytes that come back.
    pause: Duration,
    connections: JoinSet<()>,
}

impl Road {
    pub async fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state =
            Arc::new(Mutex::new(State { to, is_cut: false, pause: Duration::ZERO, connections: JoinSet::new() }));
        let of = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut state = of.lock().expect("no panic inside");
                let (to, pause_of) = (state.to, Arc::clone(&of));
                if !state.is_cut {
                    state.connections.spawn(async move {
                        let Ok(mut far) = TcpStream::connect(to).await else { return };
                        near.set_nodelay(true).ok();
                        far.set_nodelay(true).ok();
                        let (mut from_near, mut to_near) = near.split();
                        let (mut from_far, mut to_far) = far.split();
                        let back = async {
                            let mut part = [0; 4096];
                            while let Ok(read @ 1..) = from_far.read(&mut part).await {
                                let pause = pause_of.lock().expect("no panic inside").pause;
                                tokio::time::sleep(pause).await;
                                if to_near.write_all(&part[..read]).await.is_err() {
                                    return;
                                }
                            }
                        };
                        tokio::select! {
                            _ = tokio::io::copy(&mut from_near, &mut to_far) => {}
                            () = back => {}
                        }
                    });
                }
            }
        });
        Self { address, state, _accepting: accepting }
    }

    /// Ends all connections; new ones are taken.
    pub fn break_off(&self) {
        self.state.lock().expect("no panic inside").connections.abort_all();
    }

    /// Ends all connections, and takes no more.
    pub fn cut(&self) {
        self.state.lock().expect("no panic inside").is_cut = true;
        self.break_off();
    }

    /// Takes no more connections, and leaves those that there are.
    pub fn take_no_more(&self) {
        self.state.lock().expect("no panic inside").is_cut = true;
    }

    /// Takes connections again.
    pub fn heal(&self) {
        self.state.lock().expect("no panic inside").is_cut = false;
    }

    /// Pauses after each few kilobytes that come back.
    pub fn slow_down(&self, pause: Duration) {
        self.state.lock().expect("no panic inside").pause = pause;
    }

    /// Leads elsewhere from now on.
    pub fn lead_to(&self, to: SocketAddr) {
        self.state.lock().expect("no panic inside").to = to;
    }
}
