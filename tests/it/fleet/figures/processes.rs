//! A fleet of processes of the real binary, by the true clock.

use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tonic::transport::{Channel, Endpoint};
use zendesk_gateway::proto::GetUserRequest;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::sandbox::{self, Sandbox};

use super::within;
use crate::fleet::elections::cluster::{ApiServer, LEASE, pod};
use crate::fleet::metadata;
use crate::fleet::support::Road;
use crate::support::binary::Binary;

/// Longer than a leader needs to be found, or replaced.
const LONG: Duration = Duration::from_secs(40);

/// One replica.
pub struct Process {
    pub name: String,
    pub binary: Binary,
    /// The way of others to its internal port.
    pub road: Road,
    _folder: TempDir,
}

impl Process {
    /// Starts the process of a pod, which may have had one before.
    pub async fn start(sandbox: &Sandbox, api: &ApiServer, name: &str, more: &[(&str, &str)]) -> Self {
        let folder = pod(api, name);
        let path = |file: &str| folder.path().join(file).to_string_lossy().into_owned();
        // Others must know the port before it is bound.
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
        let road = Road::to(SocketAddr::from(([127, 0, 0, 1], port))).await;
        let (token, listen, address) = (path("fleet"), format!("127.0.0.1:{port}"), road.address.to_string());
        let settings = [
            ("FLEET__MODE", "kubernetes"),
            ("FLEET__NAME", name),
            ("FLEET__LISTEN", &listen),
            ("FLEET__ADDRESS", &address),
            ("FLEET__KUBERNETES__LEASE", LEASE),
            ("FLEET__KUBERNETES__TOKEN_FILE", &token),
            ("FLEET__KUBERNETES__FOLDER", &path("")),
            ("FLEET__KUBERNETES__API_SERVER", api.url.as_str()),
            ("SERVER__DRAIN__ANNOUNCE", "0s"),
            ("SERVER__WORKERS", "1"),
            // All callers come from one address.
            ("CALLERS__MAX_CALLS", "0"),
            ("CALLERS__MESSAGE_MEMORY_PERCENT", "100"),
        ];
        let binary = Binary::before(sandbox, &[&settings[..], more].concat()).await;
        Self { name: name.to_owned(), binary, road, _folder: folder }
    }

    /// A connection of its own.
    pub fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.binary.address)).expect("a URI").connect_lazy()
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&self) {
        let began = Instant::now();
        while !self.binary.is_ready().await {
            assert!(began.elapsed() < LONG, "{} gets ready", self.name);
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Several.
pub struct Processes {
    pub sandbox: Sandbox,
    pub api: ApiServer,
    pub replicas: Vec<Process>,
    more: Vec<(String, String)>,
    started: usize,
}

impl Processes {
    /// So many replicas, one of which leads, with more settings than those of the fleet.
    pub async fn start(account: sandbox::Config, replicas: usize, more: &[(&str, &str)]) -> Self {
        let sandbox = Sandbox::start(account).await.expect("the stand-in starts on a free port");
        let api = ApiServer::start().await;
        let more = more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut fleet = Self { sandbox, api, replicas: Vec::new(), more, started: 0 };
        for _ in 0..replicas {
            fleet.join().await;
        }
        for replica in &fleet.replicas {
            replica.ready().await;
        }
        fleet
    }

    /// Adds a pod, and does not wait for it.
    pub async fn join(&mut self) -> &Process {
        let name = format!("gateway-{}", self.started);
        self.started += 1;
        let process = self.process(&name).await;
        self.replicas.push(process);
        self.replicas.last().expect("it was pushed")
    }

    /// Starts a process of this pod.
    pub async fn process(&self, name: &str) -> Process {
        let more: Vec<_> = self.more.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        Process::start(&self.sandbox, &self.api, name, &more).await
    }

    pub fn channels(&self) -> Vec<Channel> {
        self.replicas.iter().map(Process::channel).collect()
    }

    /// The place of the one who holds the Lease.
    pub fn leader(&self) -> usize {
        let holder = self.api.holder();
        self.replicas.iter().position(|replica| replica.name == holder).expect("it is there")
    }

    /// Waits until another one answers a follower's read, and returns who.
    pub async fn served_by_another(&self, through: &Process, than: &str) -> String {
        let id = self.sandbox.store().user_ids()[0];
        let began = Instant::now();
        loop {
            let answer = UserServiceClient::new(through.channel())
                .get_user(within(20, GetUserRequest { id, ..Default::default() }))
                .await;
            let by = answer.map(|answer| metadata(&answer, "x-served-by")).unwrap_or_default();
            if !by.is_empty() && by != than {
                return by;
            }
            assert!(began.elapsed() < LONG, "another one leads");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// How often the stand-in has refused because a limit was reached.
    pub fn throttled(&self) -> usize {
        self.sandbox.requests().iter().filter(|sent| sent.status == Some(429)).count()
    }
}
