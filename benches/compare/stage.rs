//! What all scenes share: those who are asked, the load, and what is measured of both.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use serde_json::Value;
use zendesk_gateway::contract;

use super::collector::Collector;
use super::load::{self, Shape, Target};
use super::peers::{OTHER_CORE, Server, Tools};
use super::probe::probe;
use super::series::Series;
use super::stand_in::{StandIn, Wire};

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

    /// Returns how many there are of what is `full` in a full run.
    pub fn calls(self, full: u32) -> u32 {
        if self == Self::Full { full } else { full / 10 }
    }
}

/// What all scenes use.
pub struct Stage {
    /// Where the peers come from.
    pub tools: Tools,
    /// How much is measured.
    pub size: Size,
    /// What the gateway pushes its telemetry to.
    pub collector: Collector,
    collector_port: u16,
    plain: StandIn,
    edge: StandIn,
    /// A page of 100 users as Zendesk writes it.
    pub page: Vec<u8>,
    /// A user of the page: an agent, who has the most fields.
    pub user: i64,
    /// All users of the page.
    pub users: Vec<i64>,
    /// A group.
    pub group: i64,
    /// The last user of the page.
    pub last: i64,
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

    /// Returns the scene with so many calls of one contender counted as one. The latency stays that of a call.
    #[must_use]
    pub fn counting(mut self, name: &str, calls: f64) -> Self {
        for measured in self.0.iter_mut().filter(|measured| measured.name == name) {
            (measured.cpu, measured.rate) = (measured.cpu.times(calls), measured.rate.times(1.0 / calls));
        }
        self
    }

    /// Returns all.
    pub fn all(&self) -> &[Measured] {
        &self.0
    }
}

/// Who takes turns in a scene.
pub struct Contender<'a> {
    /// Its name.
    pub name: &'static str,
    /// What is measured.
    pub server: &'a Server,
    /// What is asked of it.
    pub target: Target,
    /// How much is asked of it.
    pub shape: Shape,
}

impl Stage {
    /// Starts what all scenes need.
    pub async fn set(tools: Tools, size: Size) -> anyhow::Result<Self> {
        let (collector, collector_port) = Collector::start().await?;
        // Both have the same records.
        let (plain, edge) = (tools.stand_in(1_000, Wire::Plain)?, tools.stand_in(1_000, Wire::Edge)?);
        let page = plain.get("/api/v2/users?page%5Bsize%5D=100").await?;
        let users: Value = serde_json::from_slice(&page)?;
        let ids = users["users"].as_array().into_iter().flatten().filter_map(|user| user["id"].as_i64());
        let ids: Vec<i64> = ids.collect();
        let last = *ids.last().context("the stand-in has no users")?;
        let mut agents = users["users"].as_array().into_iter().flatten().filter(|user| user["role"] == "agent");
        let user = agents.find_map(|user| user["id"].as_i64()).context("the stand-in has no agent")?;
        let groups: Value = serde_json::from_slice(&plain.get("/api/v2/groups?page%5Bsize%5D=1").await?)?;
        let group = groups["groups"][0]["id"].as_i64().context("the stand-in has no group")?;
        Ok(Self { tools, size, collector, collector_port, plain, edge, page, user, users: ids, group, last })
    }

    /// Returns the stand-in that is spoken to like this.
    pub fn stand_in(&self, wire: Wire) -> &StandIn {
        if wire == Wire::Plain { &self.plain } else { &self.edge }
    }

    /// Starts a gateway before a stand-in.
    pub fn gateway(
        &self,
        name: &str,
        cores: &str,
        stand_in: &StandIn,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Server> {
        self.tools.gateway(name, cores, stand_in, self.collector_port, settings)
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
    pub async fn target<R: contract::Request>(
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
    pub fn measure(&self, scene: &str, contenders: &[Contender<'_>]) -> anyhow::Result<Scene> {
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
}

/// Names of contenders, by which the page finds them.
pub mod name {
    pub const GATEWAY: &str = "zendesk-gateway";
    pub const LOGGING: &str = "zendesk-gateway, with access log";
    pub const BARE: &str = "bare tonic, one thread";
    pub const BARE_SHARED: &str = "bare tonic, encoding from an `Arc`";
    pub const BARE_BYTES: &str = "bare tonic, sending stored bytes";
    pub const BARE_MULTI: &str = "bare tonic, tokio's default runtime";
    pub const CROWD: &str = "zendesk-gateway, many connections";
    pub const BARE_CROWD: &str = "bare tonic, one thread, many connections";
    pub const BATCH: &str = "zendesk-gateway, one `BatchGetUsers`";
    pub const SINGLES: &str = "zendesk-gateway, 100 `GetUser`";
    pub const PLAN: &str = "zendesk-gateway, plan";
    pub const MEMBERS: &str = "zendesk-gateway, list of the members";
    pub const ENVOY: &str = "Envoy reverse transcoder";
    pub const BY_HAND: &str = "bare tonic and reqwest";
    pub const PYTHON: &str = "Python grpcio + aiohttp";
    pub const DIRECT: &str = "no translation";
    pub const ONE_CORE: &str = "one core";
    pub const TWO_CORES: &str = "two cores";
}
