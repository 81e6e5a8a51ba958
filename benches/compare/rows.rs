//! What is measured of streams, by the row: of a list, and of changes, asked for and shared.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use prost_types::Timestamp;
use serde_json::Value;
use tonic::Streaming;
use tonic::transport::Channel;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{
    StreamChangedUsersRequest, StreamChangedUsersResponse, StreamUsersRequest, StreamUsersResponse,
};

use super::peers::{SERVER_CORE, Server};
use super::series::Series;
use super::stage::Stage;
use super::stand_in::StandIn;

/// Streams of changes in a round. Their pages are shared within the 20 s that the gateway keeps them.
const STREAMS: usize = 4;
/// How many times as many the others are, as they take less: the kernel counts hundredths of a second.
const TIMES: usize = 4;

/// What the rows of one kind of stream took.
#[derive(Default)]
pub struct Rows {
    /// Processor time of the gateway per row, in µs.
    pub cpu: Series,
    /// Rows per second.
    pub rate: Series,
}

/// Streams of all users.
pub struct Streams {
    /// How many users the account has, deleted ones included.
    pub users: usize,
    /// `StreamUsers`.
    pub list: Rows,
    /// `StreamChangedUsers`, each page asked for.
    pub changes: Rows,
    /// `StreamChangedUsers` whose pages were asked for by others.
    pub shared: Rows,
}

/// Measures streams.
pub async fn streams(stage: &Stage) -> anyhow::Result<Streams> {
    println!("rows of streams");
    let account = stage.tools.unlimited(stage.size.calls(10_000))?;
    let gateway = stage.gateway("gateway-rows", SERVER_CORE, &account, &[])?;
    let caller = Caller::of(&gateway).await?;
    let starts = starts(&account).await?;
    let users = caller.changes(&[0]).await?;
    let [mut list, mut changes, mut shared] = <[Rows; 3]>::default();
    let rounds = stage.size.rounds() + 1;
    ensure!(starts.len() >= rounds * STREAMS, "{} places to begin at", starts.len());
    for starts in starts.chunks(STREAMS).take(rounds) {
        caller.timed("StreamUsers", &mut list, caller.list()).await?;
        caller.timed("StreamChangedUsers", &mut changes, caller.changes(starts)).await?;
        let before = account.seen().await?.total;
        caller.timed("StreamChangedUsers, shared", &mut shared, caller.changes(&starts.repeat(TIMES))).await?;
        let asked = account.seen().await?.total - before;
        ensure!(asked < 5, "pages were to be shared, and {asked} requests went upstream");
    }
    let warm = |rows: Rows| Rows { cpu: rows.cpu.warm(), rate: rows.rate.warm() };
    Ok(Streams { users, list: warm(list), changes: warm(changes), shared: warm(shared) })
}

/// Returns times at each of which another user is the first to have changed since, so that no two streams have a page in common.
async fn starts(account: &StandIn) -> anyhow::Result<Vec<i64>> {
    let page: Value = serde_json::from_slice(&account.get("/api/v2/incremental/users/cursor?start_time=0").await?)?;
    let times = page["users"].as_array().context("users have changed")?.iter().map(|user| {
        let time: Timestamp = user["updated_at"].as_str().context("a time")?.parse()?;
        Ok(time.seconds)
    });
    Ok(times.collect::<anyhow::Result<BTreeSet<_>>>()?.into_iter().collect())
}

/// Who wants the rows.
struct Caller<'a> {
    gateway: &'a Server,
    client: UserServiceClient<Channel>,
}

impl<'a> Caller<'a> {
    async fn of(gateway: &'a Server) -> anyhow::Result<Self> {
        let endpoint = Channel::from_shared(format!("http://127.0.0.1:{}", gateway.port))?;
        Ok(Self { gateway, client: UserServiceClient::new(endpoint.connect().await?) })
    }

    /// Adds what a round took, which gives its number of rows.
    async fn timed(
        &self,
        what: &str,
        rows: &mut Rows,
        round: impl Future<Output = anyhow::Result<usize>>,
    ) -> anyhow::Result<()> {
        let (before, begun) = (self.gateway.process.cpu_seconds(), Instant::now());
        let count = u32::try_from(round.await?)?;
        let (spent, took) = (self.gateway.process.cpu_seconds() - before, begun.elapsed().as_secs_f64());
        let (cpu, rate) = (spent * 1e6 / f64::from(count), f64::from(count) / took);
        println!("  {what:<42} {cpu:>9.2} µs processor per row  {rate:>9.0} rows/s");
        rows.cpu.add(cpu);
        rows.rate.add(rate);
        Ok(())
    }

    async fn list(&self) -> anyhow::Result<usize> {
        let mut count = 0;
        for _ in 0..STREAMS * TIMES {
            let request = self.gateway.asked(StreamUsersRequest::default())?;
            let stream = self.client.clone().stream_users(request).await?.into_inner();
            count += counted(stream, |message: StreamUsersResponse| message.users.len()).await?;
        }
        Ok(count)
    }

    async fn changes(&self, starts: &[i64]) -> anyhow::Result<usize> {
        let mut count = 0;
        for start in starts {
            let start_time = Some(Timestamp { seconds: *start, nanos: 0 });
            let request = self.gateway.asked(StreamChangedUsersRequest { start_time, ..Default::default() })?;
            let stream = self.client.clone().stream_changed_users(request).await?.into_inner();
            count += counted(stream, |message: StreamChangedUsersResponse| message.users.len()).await?;
        }
        Ok(count)
    }
}

async fn counted<M>(mut stream: Streaming<M>, rows: impl Fn(M) -> usize) -> anyhow::Result<usize> {
    let mut count = 0;
    while let Some(message) = stream.message().await? {
        count += rows(message);
    }
    Ok(count)
}
