//! The whole gateway, put together from its settings in one place: for the process, for the tests and for the benchmarks.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::HeaderValue;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::cache::Cache;
use crate::config::{Config, FleetMode};
use crate::files;
use crate::fleet::elected::{Elected, Trial};
use crate::fleet::link::{Course, Link, Terms};
use crate::fleet::wire;
use crate::gateway::Gateway;
use crate::rpc::Rpc;
use crate::server::admin::{Admin, Readiness};
use crate::server::fleet::{Member, Port, Role, internal};
use crate::server::flood::workers::Workers;
use crate::server::identity::Identity;
use crate::server::tls::Tls;
use crate::server::{self, Listener, Served, sources};
use crate::telemetry::Telemetry;
use crate::upstream::client::Origin;
use crate::upstream::control::Control;
use crate::upstream::credential::{Proof, Source};
use crate::upstream::transport::{Connections, Transport};
use crate::upstream::{self, Upstream};
use crate::watch::Watcher;

/// What a gateway needs besides its settings.
pub struct Around {
    /// Zendesk's address, and whom to trust there.
    pub origin: Origin,
    /// Credentials for the calls to Zendesk.
    pub credentials: Source,
    /// Where the gateway sends its metrics, traces and logs.
    pub telemetry: Telemetry,
    /// Watches the files that the settings name.
    pub watcher: Watcher,
    /// What a test changes of the election.
    pub trial: Trial,
}

/// A gateway that is ready to serve.
pub struct Assembly {
    config: Config,
    telemetry: Telemetry,
    origin: Origin,
    credentials: Source,
    tls: Option<Tls>,
    gateway: Gateway,
    control: Control,
    connections: Connections,
    served: Served,
}

/// Puts a gateway together.
///
/// # Errors
/// A file that the settings name cannot be read or is not valid.
pub async fn assemble(config: Config, around: Around) -> anyhow::Result<Assembly> {
    let Around { origin, credentials, telemetry, watcher, trial } = around;
    config.remarks().iter().for_each(|remark| warn!("{remark}"));
    warn_of_open_files(&config);
    let tls = Tls::load(&config.server.tls, &watcher).await.context("server.tls")?;
    let transport = Transport::new(&origin, &config.upstream)?;
    let connections = transport.connections();
    let seen = upstream::trace::Layers::new(&telemetry, origin.url());
    let (stack, control) = upstream::stack(&config.upstream, Some(seen), transport);
    let occupied = connections.clone();
    control.set_occupancy(move || occupied.occupancy());
    let gateway = gateway(&config, stack).with_budget(&control.governor).with_gate(&control.gate);
    let identity = Identity::start(&config, &watcher).await?;
    let able = Box::pin(std::future::ready(()));
    let own = Own {
        config: &config,
        gateway: &gateway,
        #[cfg(feature = "kubernetes")]
        credentials: &credentials,
        identity: &identity,
        watcher: &watcher,
        telemetry: &telemetry,
        trial,
    };
    let fleet = own.fleet(wire::account(origin.url(), &credentials)).await.context("fleet")?;
    let (member, port) = fleet.unzip();
    if let Some(Role::Elects(link, elected)) = member.as_ref().map(|member: &Member| member.role.clone()) {
        // Alone it answers to nobody else's turn.
        let is_alone = move || matches!(link.course(), Course::Alone(_));
        let (begins, alone) = (Arc::clone(&elected), is_alone.clone());
        control.gate.set(move || elected.may_write() || is_alone(), move || begins.may_begin() || alone());
    }
    let rpc = Rpc::new(gateway.clone(), credentials.clone());
    let served = Served { rpc, identity, able, member, port: port.flatten() };
    Ok(Assembly { config, telemetry, origin, credentials, tls, gateway, control, connections, served })
}

/// What a fleet needs of this replica.
struct Own<'a> {
    config: &'a Config,
    gateway: &'a Gateway,
    #[cfg(feature = "kubernetes")]
    credentials: &'a Source,
    identity: &'a Identity,
    watcher: &'a Watcher,
    telemetry: &'a Telemetry,
    trial: Trial,
}

impl Own<'_> {
    /// Returns what this replica is in its fleet, and its internal port if it leads or may lead; none without a fleet.
    async fn fleet(&self, account: HeaderValue) -> anyhow::Result<Option<(Member, Option<Port>)>> {
        let settings = &self.config.fleet;
        let host = || std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
        let name = settings.name.clone().or_else(host).unwrap_or_else(|| format!("{:08x}", fastrand::u32(..)));
        let threads = self.config.server.workers.map_or_else(std::thread::available_parallelism, Ok)?.get();
        match settings.mode {
            FleetMode::Off => Ok(None),
            FleetMode::Static => self.by_settings(name, account, threads).await.map(Some),
            FleetMode::Kubernetes => self.elected(name, account, threads).await.map(Some),
        }
    }

    async fn by_settings(
        &self,
        name: String,
        account: HeaderValue,
        threads: usize,
    ) -> anyhow::Result<(Member, Option<Port>)> {
        let settings = &self.config.fleet;
        let files = settings.tls.paths().context("fleet.tls: its files are not set")?;
        let name = HeaderValue::try_from(name).context("fleet.name")?;
        if let Some(address) = settings.listen {
            let socket = listen(address).await?;
            let tls = Tls::of_fleet(files, self.watcher).await.context("fleet.tls")?;
            let answers = self.answers(&name, account, None);
            let port = Port { socket, tls, answers, driver: None };
            return Ok((Member { name, role: Role::Leads }, Some(port)));
        }
        let leader = settings.leader.clone().context("fleet.leader: not set")?;
        let terms = Terms { leader, alone_after: settings.alone_after, files, account, threads };
        let link = Link::start(terms, self.gateway.cache(), self.watcher).await.context("fleet.tls")?;
        Ok((Member { name, role: Role::Follows(link) }, None))
    }

    #[cfg(feature = "kubernetes")]
    async fn elected(
        &self,
        name: String,
        account: HeaderValue,
        threads: usize,
    ) -> anyhow::Result<(Member, Option<Port>)> {
        use crate::fleet::kubernetes::{self, Parts, Replica};

        let settings = &self.config.fleet;
        let socket = listen(settings.listen.context("fleet.listen: not set")?).await?;
        let (name, named) = (HeaderValue::try_from(&name).context("fleet.name")?, name);
        let parts = Parts {
            settings,
            name: &named,
            port: socket.local_addr()?,
            account: account.clone(),
            gateway: self.gateway,
            credentials: self.credentials,
            threads,
            watcher: self.watcher,
            trial: self.trial,
        };
        let Replica { link, elected, key, driver } = kubernetes::replica(parts).await?;
        let tls = Tls::of_key(key.server_config()?);
        let answers = self.answers(&name, account, Some((&link, &elected)));
        let port = Port { socket, tls, answers, driver: Some(driver) };
        Ok((Member { name, role: Role::Elects(link, elected) }, Some(port)))
    }

    #[cfg(not(feature = "kubernetes"))]
    #[expect(clippy::unused_async, reason = "with the feature it waits")]
    async fn elected(&self, _: String, _: HeaderValue, _: usize) -> anyhow::Result<(Member, Option<Port>)> {
        let Self { trial: Trial { .. }, .. } = self;
        anyhow::bail!("fleet.mode: this gateway was built without the feature kubernetes")
    }

    fn answers(
        &self,
        name: &HeaderValue,
        account: HeaderValue,
        election: Option<(&Link, &Arc<Elected>)>,
    ) -> internal::Answers {
        let (link, elected) = election.map(|(link, elected)| (link.clone(), Arc::clone(elected))).unzip();
        let (cache, shares) = (self.gateway.cache().clone(), self.identity.shares().clone());
        let readiness = Readiness::default();
        let telemetry = self.telemetry.clone();
        internal::Answers { name: name.clone(), elected, link, account, cache, shares, readiness, telemetry }
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("fleet.listen: {address}"))
}

/// Logs a warning for each secret file that every user of the machine may read. It is no more than a warning: a Secret that
/// Kubernetes mounts is readable by all unless its mount says otherwise, and in a pod there may be nobody else.
fn warn_of_open_files(config: &Config) {
    for (key, path) in config.secret_files().into_iter().filter(|(_, path)| files::is_open_to_all(path)) {
        warn!(
            file.setting = key,
            file.path = %path.display(),
            "every user of this machine can read a secret file: chmod it to 0600, or mount the secret with defaultMode 0440 and an fsGroup"
        );
    }
}

/// Puts a gateway on an outbound stack, which need not end at Zendesk.
pub fn gateway(config: &Config, upstream: Upstream) -> Gateway {
    Gateway::new(upstream, Cache::new(&config.cache))
        .with_streams(config.upstream.stream)
        .with_sort_fields(&config.upstream.sort_fields)
}

/// Longest that Zendesk is asked about the credential before calls are let in anyway.
const PROOF: Duration = Duration::from_secs(10);
/// Time between two such questions while it is refused: the file may be getting its right content.
const AGAIN: Duration = Duration::from_secs(5);

/// Waits until Zendesk does not answer as if there were no such account, or refuse the credential. Whether it answers at all does not
/// matter: during an outage every replica has the same trouble, and none would be left to answer from memory.
async fn accepted(credentials: Source, origin: Origin, telemetry: Telemetry) {
    let trouble = &telemetry.state().trouble;
    let last = loop {
        match credentials.prove(&origin, PROOF).await {
            Proof::Refused(why) => {
                if trouble.kept_out() != Some(why) {
                    let (kind, _, next) = why.means;
                    warn!({ finding.kind = kind, next }, "{why}, so this replica is not ready");
                }
                trouble.keep_out(Some(why));
                sleep(AGAIN).await;
            }
            other => break other,
        }
    };
    trouble.keep_out(None);
    match last {
        Proof::Accepted(role) => info!(zendesk.role = role, "Zendesk accepts the credential"),
        Proof::Unknown(error) => warn!(error, "Zendesk could not be asked about the credential"),
        Proof::NotAsked | Proof::Refused(_) => {}
    }
}

impl Assembly {
    /// Has it ask Zendesk about its credential first: as long as that is refused, it is not ready.
    #[must_use]
    pub fn once_accepted(mut self) -> Self {
        self.served.able = Box::pin(accepted(self.credentials.clone(), self.origin.clone(), self.telemetry.clone()));
        self
    }

    /// Registers with telemetry where the parts' numbers come from.
    pub fn introduce(&self) {
        sources::watch(&self.telemetry, &self.control, &self.gateway, &self.config);
        sources::upstream_connections(&self.telemetry, &self.connections);
        let port = self.served.port.as_ref().map(|port| port.tls.clone());
        let link = self.served.member.as_ref().and_then(Member::link).cloned();
        sources::certificates(&self.telemetry, self.tls.clone().into_iter().chain(port).collect(), link);
        sources::fleet(&self.telemetry, self.served.member.as_ref());
    }

    /// Returns the admin port's view of the gateway; `/readyz` answers by `readiness`.
    pub fn admin(&self, readiness: &Readiness) -> Admin {
        Admin::new(&self.telemetry, readiness, self.gateway.cache(), self.origin.url(), &self.config)
            .following(self.served.member.as_ref().and_then(Member::link))
    }

    /// Returns where the internal port of a leader listens.
    pub fn fleet_address(&self) -> Option<SocketAddr> {
        self.served.port.as_ref().and_then(|port| port.socket.local_addr().ok())
    }

    /// Serves the gateway at `socket` until `shutdown` completes and its calls have ended: see [`server::run`].
    ///
    /// # Errors
    /// The port does not work.
    pub async fn run(
        self,
        socket: TcpListener,
        readiness: &Readiness,
        workers: &Workers,
        shutdown: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let listener = Listener { socket, tls: self.tls };
        let settings = &self.config.server;
        let run = server::run(listener, self.served, settings, &self.telemetry, readiness, workers, shutdown);
        let outcome = Box::pin(run).await;
        self.connections.close();
        outcome
    }
}
