//! What is measured: one function per table of the page.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use serde_json::Value;
use tonic::transport::Channel;
use zendesk_gateway::contract;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{
    BatchGetUsersRequest, GetGroupRequest, GetUserRequest, ListUsersRequest, StreamUsersRequest,
};

use super::collector::Collector;
use super::load::{self, Shape, Target};
use super::peers::{OTHER_CORE, SERVER_CORE, Server, Tools};
use super::probe::probe;
use super::series::Series;

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Enough to trust.
    Full,
    /// Enough to see whether it works.
    Quick,
}

impl Size {
    /// Returns how many rounds count; one more comes before them to warm up.
    pub fn rounds(self) -> usize {
        if self == Self::Full { 5 } else { 2 }
    }

    fn calls(self, full: u32) -> u32 {
        if self == Self::Full { full } else { full / 10 }
    }
}

/// What all scenes use.
pub struct Stage {
    /// Where the peers come from.
    pub tools: Tools,
    size: Size,
    collector: Collector,
    collector_port: u16,
    stand_in: Server,
    /// A page of 100 users as Zendesk writes it.
    page: Vec<u8>,
    user: i64,
    /// All users of the page.
    users: Vec<i64>,
    group: i64,
    /// The last user of the page.
    last: i64,
}

/// One contender's series in one scene.
pub struct Measured {
    /// Its name.
    pub name: &'static str,
    /// Processor time of the server per call, in µs.
    pub cpu: Series,
    /// Calls per second.
    pub rate: Series,
    /// The median latency, in µs.
    pub latency: Series,
}

/// The series of one scene, by contender.
pub struct Scene(Vec<Measured>);

impl Scene {
    /// Returns one contender's series.
    pub fn of(&self, name: &str) -> &Measured {
        self.0.iter().find(|measured| measured.name == name).expect("the scene has this contender")
    }

    /// Returns all.
    pub fn all(&self) -> &[Measured] {
        &self.0
    }
}

struct Contender<'a> {
    name: &'static str,
    server: &'a Server,
    target: Target,
    shape: Shape,
}

impl Stage {
    /// Starts what all scenes need.
    pub async fn set(tools: Tools, size: Size) -> anyhow::Result<Self> {
        let (collector, collector_port) = Collector::start().await?;
        let stand_in = tools.stand_in(1_000)?;
        let page = get(&stand_in, "/api/v2/users?page%5Bsize%5D=100").await?;
        let users: Value = serde_json::from_slice(&page)?;
        // An agent has the most fields.
        let ids = users["users"].as_array().into_iter().flatten().filter_map(|user| user["id"].as_i64());
        let ids: Vec<i64> = ids.collect();
        let last = *ids.last().context("the stand-in has no users")?;
        let mut agents = users["users"].as_array().into_iter().flatten().filter(|user| user["role"] == "agent");
        let user = agents.find_map(|user| user["id"].as_i64()).context("the stand-in has no agent")?;
        let groups: Value = serde_json::from_slice(&get(&stand_in, "/api/v2/groups?page%5Bsize%5D=1").await?)?;
        let group = groups["groups"][0]["id"].as_i64().context("the stand-in has no group")?;
        Ok(Self { tools, size, collector, collector_port, stand_in, page, user, users: ids, group, last })
    }

    fn gateway(&self, name: &str, cores: &str, settings: &[(&str, &str)]) -> anyhow::Result<Server> {
        self.tools.gateway(name, cores, &self.stand_in, self.collector_port, settings)
    }

    /// Writes a request as `h2load` sends it: with gRPC's prefix of five bytes.
    fn request<R: contract::Request>(&self, request: &R) -> anyhow::Result<PathBuf> {
        let mut frame = BytesMut::new();
        frame.put_u8(0);
        frame.put_u32(u32::try_from(request.encoded_len())?);
        request.encode(&mut frame)?;
        let file = self.tools.directory.join(R::rpc().method).with_extension("bin");
        fs::write(&file, frame)?;
        Ok(file)
    }

    /// Prepares load for a server, after a real client saw that it answers the record with this id.
    async fn target<R: contract::Request>(
        &self,
        server: &Server,
        extra: &[(&str, &str)],
        request: &R,
        id: i64,
    ) -> anyhow::Result<(Target, Bytes)> {
        let mut headers = server.headers.clone();
        headers.extend(extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let reply = probe::<R>(server.port, &headers, R::decode(request.encode_to_vec().as_slice())?, id).await?;
        let url = format!("http://127.0.0.1:{}{}", server.port, R::rpc().path);
        let body = Some(self.request(request)?);
        Ok((Target { url, headers, body, reply_bytes: Some(reply.len() + 5) }, reply))
    }

    /// Lets the contenders take turns.
    fn measure(&self, scene: &str, contenders: &[Contender<'_>]) -> anyhow::Result<Scene> {
        println!("{scene}");
        let log = self.tools.directory.join("h2load.log");
        let mut series: HashMap<&str, [Series; 3]> = HashMap::new();
        for _ in 0..=self.size.rounds() {
            for contender in contenders {
                let ran = load::run(OTHER_CORE, &contender.server.process, &contender.target, contender.shape, &log)?;
                println!(
                    "  {:<42} {:>9.1} µs processor per call  {:>8.0} calls/s  p50 {:>6.0} µs",
                    contender.name, ran.cpu, ran.rate, ran.latency
                );
                let [cpu, rate, latency] = series.entry(contender.name).or_default();
                cpu.add(ran.cpu);
                rate.add(ran.rate);
                latency.add(ran.latency);
            }
        }
        let measured = contenders.iter().map(|contender| {
            let [cpu, rate, latency] = series.remove(contender.name).expect("each took its turns");
            Measured { name: contender.name, cpu: cpu.warm(), rate: rate.warm(), latency: latency.warm() }
        });
        Ok(Scene(measured.collect()))
    }

    /// Returns how many requests the stand-in has answered.
    async fn upstream_requests(&self) -> anyhow::Result<u64> {
        let stats: Value = serde_json::from_slice(&get(&self.stand_in, "/__sandbox/stats").await?)?;
        stats["total"].as_u64().context("the stand-in counts its requests")
    }
}

/// Names of contenders, by which the page finds them.
pub mod name {
    pub const GATEWAY: &str = "zendesk-gateway";
    pub const LOGGING: &str = "zendesk-gateway, with access log";
    pub const BARE: &str = "bare tonic, one thread";
    pub const BARE_SHARED: &str = "bare tonic, encoding from an `Arc`";
    pub const BARE_BYTES: &str = "bare tonic, sending stored bytes";
    pub const BARE_MULTI: &str = "bare tonic, tokio's default runtime";
    pub const ENVOY: &str = "Envoy reverse transcoder";
    pub const BY_HAND: &str = "bare tonic and reqwest";
    pub const PYTHON: &str = "Python grpcio + aiohttp";
    pub const DIRECT: &str = "no translation";
    pub const ONE_CORE: &str = "one core";
    pub const TWO_CORES: &str = "two cores";
}

/// A page of JSON to messages: the gateway's speed, and the usual way's, in MB/s.
pub async fn json(stage: &Stage) -> anyhow::Result<(Series, Series)> {
    println!("a page of 100 users, JSON to messages");
    let time = Duration::from_millis(u64::from(stage.size.calls(500)));
    let (page, rounds) = (stage.page.clone(), stage.size.rounds());
    Ok(tokio::task::spawn_blocking(move || super::json::compare(&page, rounds, time)).await?)
}

/// Reads that the cache answers.
pub async fn cached(stage: &Stage) -> anyhow::Result<Scene> {
    let request = GetUserRequest { id: stage.user, ..Default::default() };
    let gateway = stage.gateway("gateway", SERVER_CORE, &[])?;
    let logging = stage.gateway("gateway-logging", SERVER_CORE, &[("telemetry.log_filter", "info")])?;
    let (gateway_target, reply) = stage.target(&gateway, &[], &request, stage.user).await?;
    let (logging_target, _) = stage.target(&logging, &[], &request, stage.user).await?;
    let ways = [
        (name::BARE, "current_thread", "clone"),
        (name::BARE_SHARED, "current_thread", "shared"),
        (name::BARE_BYTES, "current_thread", "bytes"),
        (name::BARE_MULTI, "multi_thread", "clone"),
    ];
    let mut bare = Vec::new();
    for (name, flavour, way) in ways {
        let server = stage.tools.bare(flavour, way, &reply)?;
        let (target, same) = stage.target(&server, &[], &request, stage.user).await?;
        ensure!(reply == same, "all answer the same bytes");
        bare.push((name, server, target));
    }
    let shape = Shape { calls: stage.size.calls(60_000), connections: 8, at_once: 8 };
    let before = (stage.upstream_requests().await?, stage.collector.spans());
    let mut contenders = vec![
        Contender { name: name::GATEWAY, server: &gateway, target: gateway_target, shape },
        Contender { name: name::LOGGING, server: &logging, target: logging_target, shape },
    ];
    contenders.extend(bare.iter().map(|(name, server, target)| Contender {
        name,
        server,
        target: target.clone(),
        shape,
    }));
    let scene = tokio::task::block_in_place(|| stage.measure("cached reads", &contenders))?;
    for contender in &contenders {
        stage.target(contender.server, &[], &request, stage.user).await?;
    }
    let asked = stage.upstream_requests().await? - before.0;
    ensure!(asked < 100, "the cache was to answer, and {asked} requests went upstream");
    ensure!(stage.collector.spans() > before.1, "5 % of the calls were to be traced");
    Ok(scene)
}

/// Reads that go upstream, one after another.
pub async fn uncached(stage: &Stage) -> anyhow::Result<Scene> {
    let shape = |calls| Shape { calls: stage.size.calls(calls), connections: 1, at_once: 1 };
    let request = GetUserRequest { id: stage.user, ..Default::default() };
    let path = format!("/api/v2/users/{}", stage.user);
    let mut contenders = translators(stage, &request, stage.user, true, shape).await?;
    let direct = Target {
        url: format!("http://127.0.0.1:{}{path}", stage.stand_in.port),
        headers: stage.stand_in.headers.clone(),
        body: None,
        reply_bytes: None,
    };
    let server = &stage.stand_in;
    contenders.one_more(name::DIRECT, server, direct, shape(3_000));
    contenders.measure(stage, "uncached reads, one after another", &request, stage.user).await
}

/// Reads that go upstream, as many at a time as the gateway lets through.
pub async fn concurrent(stage: &Stage) -> anyhow::Result<Scene> {
    let shape = |calls| Shape { calls: stage.size.calls(4 * calls), connections: 8, at_once: 8 };
    let request = GetGroupRequest { id: stage.group, ..Default::default() };
    let contenders = translators(stage, &request, stage.group, true, shape).await?;
    contenders.measure(stage, "uncached reads, many at a time", &request, stage.group).await
}

/// Whole pages.
pub async fn pages(stage: &Stage) -> anyhow::Result<Scene> {
    let shape = |calls| Shape { calls: stage.size.calls(calls) / 5, connections: 2, at_once: 1 };
    let request = ListUsersRequest { page_size: 100, ..ListUsersRequest::default() };
    // A page of the gateway also says how it goes on, which Python leaves out.
    let contenders = translators(stage, &request, stage.last, false, shape).await?;
    contenders.measure(stage, "uncached pages", &request, stage.last).await
}

/// The gateway, told to answer nothing from its cache, and its peers.
struct Translators<'a> {
    servers: [Server; 4],
    targets: Vec<(&'static str, Target, Shape)>,
    others: Vec<(&'static str, &'a Server, Target, Shape)>,
}

const NO_CACHE: &[(&str, &str)] = &[("cache-control", "no-cache")];

async fn translators<'a, R: contract::Request<Reply: PartialEq>>(
    stage: &'a Stage,
    request: &R,
    id: i64,
    same: bool,
    shape: impl Fn(u32) -> Shape,
) -> anyhow::Result<Translators<'a>> {
    let gateway = stage.gateway("gateway", SERVER_CORE, &[])?;
    let envoy = stage.tools.envoy(&stage.stand_in)?;
    let python = stage.tools.python(&stage.stand_in)?;
    let plain = stage.tools.by_hand(&stage.stand_in)?;
    let (gateway_target, ours) = stage.target(&gateway, NO_CACHE, request, id).await?;
    let (envoy_target, _) = stage.target(&envoy, &[], request, id).await?;
    let (python_target, by_hand) = stage.target(&python, &[], request, id).await?;
    let (plain_target, _) = stage.target(&plain, &[], request, id).await?;
    let reply = |bytes: Bytes| <R::Reply as prost::Message>::decode(bytes);
    ensure!(!same || reply(ours)? == reply(by_hand)?, "the gateway and Python answer the same");
    let targets = vec![
        (name::GATEWAY, gateway_target, shape(5_000)),
        (name::ENVOY, envoy_target, shape(5_000)),
        (name::PYTHON, python_target, shape(1_000)),
        (name::BY_HAND, plain_target, shape(5_000)),
    ];
    Ok(Translators { servers: [gateway, envoy, python, plain], targets, others: Vec::new() })
}

impl<'a> Translators<'a> {
    fn one_more(&mut self, name: &'static str, server: &'a Server, target: Target, shape: Shape) {
        self.others.push((name, server, target, shape));
    }

    /// Measures, and makes sure that each call cost one upstream request and is still answered rightly.
    async fn measure<R: contract::Request>(
        self,
        stage: &Stage,
        scene: &str,
        request: &R,
        id: i64,
    ) -> anyhow::Result<Scene> {
        let ours = self.targets.into_iter().zip(&self.servers);
        let mut contenders: Vec<Contender<'_>> =
            ours.map(|((name, target, shape), server)| Contender { name, server, target, shape }).collect();
        let others = self.others.into_iter();
        contenders.extend(others.map(|(name, server, target, shape)| Contender { name, server, target, shape }));
        let before = stage.upstream_requests().await?;
        let measured = tokio::task::block_in_place(|| stage.measure(scene, &contenders))?;
        let calls: u64 = contenders.iter().map(|contender| u64::from(contender.shape.calls)).sum();
        let (made, wanted) = (stage.upstream_requests().await? - before, calls * (stage.size.rounds() as u64 + 1));
        ensure!(made.abs_diff(wanted) < 10, "{wanted} calls made {made} upstream requests");
        for (server, extra) in self.servers.iter().zip([NO_CACHE, &[], &[], &[]]) {
            stage.target(server, extra, request, id).await?;
        }
        Ok(measured)
    }
}

/// Cached reads over few connections, with one core and with two: of one user, and of a hundred at a time. The load generator
/// shares the second core.
pub async fn cores(stage: &Stage) -> anyhow::Result<(Scene, Scene)> {
    let one = stage.gateway("gateway", SERVER_CORE, &[])?;
    let two = stage.gateway("gateway-two-cores", "0,1", &[])?;
    let user = GetUserRequest { id: stage.user, ..Default::default() };
    let batch = BatchGetUsersRequest { ids: stage.users.clone(), ..BatchGetUsersRequest::default() };
    let shape = |calls| Shape { calls: stage.size.calls(calls), connections: 2, at_once: 16 };
    let users =
        stage.on_cores(&one, &two, "cached reads on one core and on two", &user, stage.user, shape(100_000)).await?;
    let batches =
        stage.on_cores(&one, &two, "the same, 100 users at a time", &batch, stage.last, shape(10_000)).await?;
    Ok((users, batches))
}

impl Stage {
    async fn on_cores<R: contract::Request>(
        &self,
        one: &Server,
        two: &Server,
        scene: &str,
        request: &R,
        id: i64,
        shape: Shape,
    ) -> anyhow::Result<Scene> {
        let (one_target, _) = self.target(one, &[], request, id).await?;
        let (two_target, _) = self.target(two, &[], request, id).await?;
        let contenders = [
            Contender { name: name::ONE_CORE, server: one, target: one_target, shape },
            Contender { name: name::TWO_CORES, server: two, target: two_target, shape },
        ];
        tokio::task::block_in_place(|| self.measure(scene, &contenders))
    }
}

/// Resident memory in MB: of an idle gateway, and with 100,000 users in its cache.
pub struct Memory {
    /// Idle.
    pub idle: f64,
    /// With the users.
    pub full: f64,
    /// How many answers the cache holds then.
    pub entries: u64,
}

/// Measures memory.
pub async fn memory(stage: &Stage) -> anyhow::Result<Memory> {
    println!("memory");
    let users = stage.size.calls(100_000);
    let stand_in = stage.tools.stand_in(users)?;
    let room = [("cache.max_bytes", "268435456"), ("cache.record.fresh", "1h")];
    let room =
        [&room[..], &[("cache.record.stale_while_revalidate", "1h"), ("cache.record.stale_if_error", "1h")]].concat();
    let gateway = stage.tools.gateway("gateway-memory", SERVER_CORE, &stand_in, stage.collector_port, &room)?;
    let idle = gateway.process.resident_megabytes();
    let channel = Channel::from_shared(format!("http://127.0.0.1:{}", gateway.port))?.connect().await?;
    let mut client = UserServiceClient::new(channel).max_decoding_message_size(16 << 20);
    let mut ids = Vec::new();
    let mut stream = client.stream_users(gateway.asked(StreamUsersRequest::default())?).await?.into_inner();
    while let Some(message) = stream.message().await? {
        ids.extend(message.users.iter().map(|user| user.id));
    }
    for ids in ids.chunks(1_000) {
        let request = BatchGetUsersRequest { ids: ids.to_vec(), ..BatchGetUsersRequest::default() };
        client.batch_get_users(gateway.asked(request)?).await?;
    }
    // moka settles its books now and then, not with each answer.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let metrics = reqwest::get(format!("http://127.0.0.1:{}/metrics", gateway.admin)).await?.text().await?;
    let entries =
        metrics.lines().find_map(|line| line.strip_prefix("zendesk_gateway_cache_entries")?.split(' ').next_back());
    let entries = entries.context("the gateway counts its cached answers")?.parse()?;
    Ok(Memory { idle, full: gateway.process.resident_megabytes(), entries })
}

async fn get(server: &Server, path: &str) -> anyhow::Result<Vec<u8>> {
    let client = reqwest::Client::new();
    let headers = server.headers.iter();
    let request = headers
        .fold(client.get(format!("http://127.0.0.1:{}{path}", server.port)), |request, (name, value)| {
            request.header(name, value)
        });
    Ok(request.send().await?.error_for_status()?.bytes().await?.to_vec())
}
