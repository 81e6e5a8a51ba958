//! What is measured of reads that go upstream: one function per table of the page, over both wires.

use anyhow::ensure;
use prost::Message as _;
use zendesk_gateway::contract;
use zendesk_gateway::proto::{GetGroupRequest, GetUserRequest, ListUsersRequest};

use super::load::{Shape, Target};
use super::peers::{SERVER_CORE, Server};
use super::stage::{Contender, Scene, Size, Stage, name};
use super::stand_in::{Seen, Wire};

/// The same scene over both wires.
pub struct Wires {
    /// Over HTTP/1.1 without TLS.
    pub plain: Scene,
    /// Over TLS 1.3 and HTTP/2.
    pub edge: Scene,
}

/// Reads that go upstream, one after another.
pub async fn one_at_a_time(stage: &Stage) -> anyhow::Result<Wires> {
    let shape = |calls| Shape { calls, connections: 1, at_once: 1 };
    let request = GetUserRequest { id: stage.user, ..Default::default() };
    let path = Some(format!("/api/v2/users/{}", stage.user));
    Read { scene: "uncached reads, one after another", request, id: stage.user, path, shape }.over_both(stage).await
}

/// Reads that go upstream, as many at a time as the gateway lets through.
pub async fn many_at_a_time(stage: &Stage) -> anyhow::Result<Wires> {
    let shape = |calls| Shape { calls: 4 * calls, connections: 8, at_once: 8 };
    let request = GetGroupRequest { id: stage.group, ..Default::default() };
    Read { scene: "uncached reads, many at a time", request, id: stage.group, path: None, shape }.over_both(stage).await
}

/// Whole pages.
pub async fn pages(stage: &Stage) -> anyhow::Result<Wires> {
    let shape = |calls| Shape { calls: calls / 5, connections: 2, at_once: 1 };
    let request = ListUsersRequest { page_size: 100, ..ListUsersRequest::default() };
    Read { scene: "uncached pages", request, id: stage.last, path: None, shape }.over_both(stage).await
}

/// What everybody is asked for.
struct Read<R> {
    scene: &'static str,
    request: R,
    /// The record by which the answer is known.
    id: i64,
    /// Where the stand-in itself is asked for it, if it is measured, too.
    path: Option<String>,
    /// The load in which these calls are made.
    shape: fn(u32) -> Shape,
}

/// Who is asked.
struct Translator {
    name: &'static str,
    server: Server,
    metadata: &'static [(&'static str, &'static str)],
    calls: u32,
    /// What it says to Zendesk.
    speaks: Speaks,
}

/// How Zendesk is asked.
#[derive(Clone, Copy)]
struct Speaks {
    http2: bool,
    gzip: bool,
}

impl<R: contract::Request<Reply: PartialEq>> Read<R> {
    async fn over_both(self, stage: &Stage) -> anyhow::Result<Wires> {
        Ok(Wires { plain: self.over(stage, Wire::Plain).await?, edge: self.over(stage, Wire::Edge).await? })
    }

    /// Measures, and makes sure that each call cost one upstream request, said as it should be, and is still answered rightly.
    async fn over(&self, stage: &Stage, wire: Wire) -> anyhow::Result<Scene> {
        let stand_in = stage.stand_in(wire);
        let translators = translators(stage, wire, Self::is_of_one_record())?;
        let (mut contenders, mut replies, mut speak) = (Vec::new(), Vec::new(), Vec::new());
        for Translator { name, server, metadata, calls, speaks } in &translators {
            let (target, reply) = stage.target(server, metadata, &self.request, self.id).await?;
            contenders.push(Contender { name, server, target, shape: (self.shape)(stage.size.calls(*calls)) });
            replies.push((*name, reply));
            speak.push(*speaks);
        }
        // Envoy has other words in its messages, and a page of the gateway also says how it goes on.
        if Self::is_of_one_record() {
            let of = |name| replies.iter().find(|(of, _)| *of == name).expect("it translates").1.clone();
            let [ours, pythons] = [name::GATEWAY, name::PYTHON].map(|name| R::Reply::decode(of(name)));
            ensure!(ours? == pythons?, "the gateway and Python answer the same");
        }
        if let Some(path) = &self.path {
            let mut headers = stand_in.server.headers.clone();
            headers.push(("accept-encoding".to_owned(), "gzip".to_owned()));
            let target = Target { url: format!("{}{path}", stand_in.url), headers, body: None, reply_bytes: None };
            let (server, shape) = (&stand_in.server, (self.shape)(stage.size.calls(3_000)));
            contenders.push(Contender { name: name::DIRECT, server, target, shape });
            speak.push(Speaks { http2: wire == Wire::Edge, gzip: true });
        }
        let before = stand_in.seen().await?;
        let scene = format!("{}, {wire:?}", self.scene);
        let measured = tokio::task::block_in_place(|| stage.measure(&scene, &contenders))?;
        let made = stand_in.seen().await? - before;
        let wanted = wanted(stage.size, &contenders, &speak);
        let off = [(made.total, wanted.total), (made.http2, wanted.http2), (made.gzipped, wanted.gzipped)];
        ensure!(off.iter().all(|(made, wanted)| made.abs_diff(*wanted) < 10), "instead of {wanted:?} came {made:?}");
        for Translator { server, metadata, .. } in &translators {
            stage.target(server, metadata, &self.request, self.id).await?;
        }
        Ok(measured)
    }

    fn is_of_one_record() -> bool {
        R::rpc().method.starts_with("Get")
    }
}

/// Starts the gateway, which is told to answer nothing from its cache, and its peers.
fn translators(stage: &Stage, wire: Wire, of_one_record: bool) -> anyhow::Result<[Translator; 4]> {
    let stand_in = stage.stand_in(wire);
    let http2 = wire == Wire::Edge;
    Ok([
        Translator {
            name: name::GATEWAY,
            server: stage.gateway("gateway", SERVER_CORE, stand_in, &[])?,
            metadata: &[("cache-control", "no-cache")],
            calls: 5_000,
            // A record by itself is small, and unpacking it takes longer than reading it.
            speaks: Speaks { http2, gzip: !of_one_record },
        },
        Translator {
            name: name::ENVOY,
            server: stage.tools.envoy(stand_in)?,
            metadata: &[],
            calls: 5_000,
            // Its transcoder and its decompressor do not go together.
            speaks: Speaks { http2, gzip: false },
        },
        Translator {
            name: name::PYTHON,
            server: stage.tools.python(stand_in)?,
            metadata: &[],
            calls: 1_000,
            // aiohttp knows no HTTP/2.
            speaks: Speaks { http2: false, gzip: true },
        },
        Translator {
            name: name::BY_HAND,
            server: stage.tools.by_hand(stand_in)?,
            metadata: &[],
            calls: 5_000,
            speaks: Speaks { http2, gzip: true },
        },
    ])
}

/// Returns the upstream requests that the load should make.
fn wanted(size: Size, contenders: &[Contender<'_>], speak: &[Speaks]) -> Seen {
    let rounds = size.rounds() as u64 + 1;
    let count = |counts: fn(&Speaks) -> bool| {
        let calls = contenders.iter().zip(speak).filter(|(_, speaks)| counts(speaks));
        calls.map(|(contender, _)| u64::from(contender.shape.calls) * rounds).sum()
    };
    Seen { total: count(|_| true), http2: count(|speaks| speaks.http2), gzipped: count(|speaks| speaks.gzip) }
}
