//! What is measured of reads that the cache answers, and of reading JSON: one function per table of the page.

use std::time::Duration;

use anyhow::ensure;
use zendesk_gateway::contract;
use zendesk_gateway::proto::{BatchGetUsersRequest, GetUserRequest};

use super::load::{Shape, Target};
use super::peers::{SERVER_CORE, Server};
use super::series::Series;
use super::stage::{Contender, Scene, Stage, name};
use super::stand_in::Wire;

/// A page of JSON to messages: the gateway's speed, and the usual way's, in MB/s.
pub async fn json(stage: &Stage) -> anyhow::Result<(Series, Series)> {
    println!("a page of 100 users, JSON to messages");
    let time = Duration::from_millis(u64::from(stage.size.calls(500)));
    let (page, rounds) = (stage.page.clone(), stage.size.rounds());
    Ok(tokio::task::spawn_blocking(move || super::json::compare(&page, rounds, time)).await?)
}

/// Reads that the cache answers.
pub async fn cached(stage: &Stage) -> anyhow::Result<Scene> {
    let plain = stage.stand_in(Wire::Plain);
    let request = GetUserRequest { id: stage.user, ..Default::default() };
    let gateway = stage.gateway("gateway", SERVER_CORE, plain, &[])?;
    let logging = stage.gateway("gateway-logging", SERVER_CORE, plain, &[("telemetry.log_filter", "info")])?;
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
    let before = (plain.seen().await?.total, stage.collector.spans());
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
    let asked = plain.seen().await?.total - before.0;
    ensure!(asked < 100, "the cache was to answer, and {asked} requests went upstream");
    ensure!(stage.collector.spans() > before.1, "5 % of the calls were to be traced");
    Ok(scene)
}

/// A scene with many connections.
pub struct Crowd {
    /// How many.
    pub connections: u32,
    /// What was measured.
    pub scene: Scene,
}

/// Reads that the cache answers, over few connections and over so many that each has little to do.
pub async fn crowd(stage: &Stage) -> anyhow::Result<Crowd> {
    let connections = stage.size.calls(2_000);
    let request = GetUserRequest { id: stage.user, ..Default::default() };
    let gateway = stage.gateway("gateway", SERVER_CORE, stage.stand_in(Wire::Plain), &[])?;
    let (target, reply) = stage.target(&gateway, &[], &request, stage.user).await?;
    let bare = stage.tools.bare("current_thread", "clone", &reply)?;
    let (bare_target, _) = stage.target(&bare, &[], &request, stage.user).await?;
    // So many calls that opening the connections counts little.
    let few = Shape { calls: stage.size.calls(200_000), connections: 8, at_once: 8 };
    let many = Shape { connections, at_once: 1, ..few };
    let contender = |name, server, target: &Target, shape| Contender { name, server, target: target.clone(), shape };
    let contenders = [
        contender(name::GATEWAY, &gateway, &target, few),
        contender(name::CROWD, &gateway, &target, many),
        contender(name::BARE, &bare, &bare_target, few),
        contender(name::BARE_CROWD, &bare, &bare_target, many),
    ];
    let scene = tokio::task::block_in_place(|| stage.measure("cached reads over many connections", &contenders))?;
    stage.target(&gateway, &[], &request, stage.user).await?;
    Ok(Crowd { connections, scene })
}

/// A hundred users that the cache has: in one call, and in a call for each.
pub async fn batches(stage: &Stage) -> anyhow::Result<Scene> {
    let plain = stage.stand_in(Wire::Plain);
    let gateway = stage.gateway("gateway", SERVER_CORE, plain, &[])?;
    let batch = BatchGetUsersRequest { ids: stage.users.clone(), ..BatchGetUsersRequest::default() };
    let single = GetUserRequest { id: stage.user, ..Default::default() };
    let (batch_target, reply) = stage.target(&gateway, &[], &batch, stage.last).await?;
    let (single_target, _) = stage.target(&gateway, &[], &single, stage.user).await?;
    let bare = stage.tools.bare("current_thread", "bytes", &reply)?;
    let (bare_target, same) = stage.target(&bare, &[], &batch, stage.last).await?;
    ensure!(reply == same, "all answer the same bytes");
    let shape = |calls| Shape { calls: stage.size.calls(calls), connections: 2, at_once: 16 };
    let contenders = [
        Contender { name: name::BATCH, server: &gateway, target: batch_target, shape: shape(10_000) },
        Contender { name: name::SINGLES, server: &gateway, target: single_target, shape: shape(100_000) },
        Contender { name: name::BARE_BYTES, server: &bare, target: bare_target, shape: shape(10_000) },
    ];
    let before = plain.seen().await?.total;
    let scene = tokio::task::block_in_place(|| stage.measure("100 users from the cache", &contenders))?;
    stage.target(&gateway, &[], &batch, stage.last).await?;
    let asked = plain.seen().await?.total - before;
    // A batch that the cache answers is renewed in the background now and then.
    ensure!(asked < 100, "the cache was to answer, and {asked} requests went upstream");
    Ok(scene.counting(name::SINGLES, 100.0))
}

/// Cached reads over few connections, with one core and with two: of one user, and of a hundred at a time. The load generator
/// shares the second core.
pub async fn cores(stage: &Stage) -> anyhow::Result<(Scene, Scene)> {
    let plain = stage.stand_in(Wire::Plain);
    let one = stage.gateway("gateway", SERVER_CORE, plain, &[])?;
    let two = stage.gateway("gateway-two-cores", "0,1", plain, &[])?;
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
