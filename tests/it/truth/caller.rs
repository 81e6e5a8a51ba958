//! A caller: asks over one of several connections, with a deadline or without patience, and tells the judge what it was told.

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::uri::PathAndQuery;
use prost::Message as _;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use zendesk_gateway::contract::Request;

use super::book::{Claim, Key};
use super::clock::now;
use super::judge::{Asked, claim, is_to_be_expected};
use super::state::{State, Truth};
use super::world::Kind;
use crate::support::raw::Raw;

/// A connection.
#[derive(Clone)]
pub enum Line {
    Tonic(Channel),
    /// A client that enforces no deadline by itself, so that the gateway's own answer is seen.
    Raw(Raw),
}

/// Of a thousand calls, how many have how much patience.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// 2 to 20 ms, 20 to 200 ms, 0.2 to 1 s; all others have 3 s.
    pub tiny: u32,
    pub short: u32,
    pub middling: u32,
    /// How many are dropped after up to 400 ms without a word.
    pub leaves: u32,
}

pub struct Caller {
    pub truth: Truth,
    pub random: fastrand::Rng,
    pub lines: Vec<Line>,
    pub patience: Patience,
}

/// What came of a question: a reply, a status, or nothing that was waited for.
pub struct Told<A> {
    pub asked: Asked,
    pub outcome: Result<A, Option<Status>>,
}

impl<A> Told<A> {
    pub fn is_not_found(&self) -> bool {
        matches!(&self.outcome, Err(Some(status)) if status.code() == Code::NotFound)
    }
}

struct Wish {
    time: Duration,
    leaves: Option<Duration>,
    cache: Option<&'static str>,
}

impl Caller {
    fn wish(&mut self, is_read: bool) -> Wish {
        let random = &mut self.random;
        let Patience { tiny, short, middling, leaves } = self.patience;
        let milliseconds = match random.u32(..1000) {
            draw if draw < tiny => random.u64(2..20),
            draw if draw < tiny + short => random.u64(20..200),
            draw if draw < tiny + short + middling => random.u64(200..1000),
            _ => 3_000,
        };
        let leaves = (random.u32(..1000) < leaves).then(|| Duration::from_millis(random.u64(1..400)));
        let cache = match random.u32(..100) {
            0..3 if is_read => Some("no-cache"),
            3..5 if is_read => Some("max-age=1"),
            _ => None,
        };
        Wish { time: Duration::from_millis(milliseconds), leaves, cache }
    }

    fn line(&mut self) -> Line {
        self.lines[self.random.usize(..self.lines.len())].clone()
    }

    /// Asks, and notes what kind of answer came.
    pub async fn ask<Q: Request + Clone>(&mut self, request: &Q) -> Told<Q::Reply> {
        let rpc = Q::rpc();
        let is_read = rpc.idempotency == zendesk_gateway::contract::Idempotency::NoSideEffects;
        let wish = self.wish(is_read);
        let line = self.line();
        let how = format!("deadline {:?}, leaves {:?}, {:?}", wish.time, wish.leaves, wish.cache);
        let asked = Asked { rpc: rpc.method, begun: now(), how };
        let call = unary::<Q>(line, request, &wish);
        let outcome = match wish.leaves {
            None => call.await.map_err(Some),
            Some(time) => tokio::time::timeout(time, call).await.map_or(Err(None), |told| told.map_err(Some)),
        };
        let state = &mut *self.truth.lock();
        let code = match &outcome {
            Ok(_) => Some(Code::Ok),
            Err(status) => status.as_ref().map(Status::code),
        };
        state.tally.call(rpc.method, code, asked.begun);
        if let Err(Some(status)) = &outcome
            && !is_to_be_expected(rpc.method, status)
        {
            state.wrong("a call was refused for no reason", &asked, &said(status));
        }
        let outcome = outcome.map(|(reply, cache)| {
            state.tally.judged += 1;
            if let Some(cache) = cache {
                *state.tally.by_cache.entry(cache).or_default() += 1;
            }
            reply
        });
        Told { asked, outcome }
    }

    /// Makes a write with a number of its own.
    pub async fn write<Q: Request + Clone>(
        &mut self,
        once: bool,
        key: Option<Key>,
        request: impl FnOnce(u64) -> Q,
    ) -> (u64, Told<Q::Reply>) {
        let nonce = self.truth.lock().book.begin(Q::rpc().method, once, key);
        let told = self.ask(&request(nonce)).await;
        let claim = match &told.outcome {
            Ok(_) => Claim::Done,
            Err(None) => Claim::Left,
            Err(Some(status)) => claim(status),
        };
        let how = match &told.outcome {
            Err(Some(status)) => format!("{}, answered {:?} \"{}\"", told.asked.how, status.code(), status.message()),
            _ => told.asked.how.clone(),
        };
        self.truth.lock().told(nonce, key, claim, &how);
        (nonce, told)
    }

    /// Reads at most so many messages of a stream, then drops it. Says whether it came to its end.
    pub async fn stream<Q: Request + Clone>(&mut self, request: &Q, most: usize) -> (Asked, Vec<Q::Reply>, bool) {
        let rpc = Q::rpc();
        let asked = Asked { rpc: rpc.method, begun: now(), how: format!("at most {most} messages") };
        let wish = self.wish(true);
        let channel = loop {
            if let Line::Tonic(channel) = self.line() {
                break channel;
            }
        };
        let (mut messages, mut code) = (Vec::new(), Code::Ok);
        let mut ended = false;
        let read = async {
            let mut client = tonic::client::Grpc::new(channel);
            client.ready().await.map_err(|_| Status::unavailable("no connection"))?;
            let mut question = tonic::Request::new(request.clone());
            question.set_timeout(wish.time);
            let codec = ProstCodec::<Q, Q::Reply>::default();
            let path = PathAndQuery::from_static(rpc.path);
            let mut replies = client.server_streaming(question, path, codec).await?.into_inner();
            while messages.len() < most {
                let Some(message) = replies.message().await? else {
                    ended = true;
                    break;
                };
                messages.push(message);
            }
            Ok::<_, Status>(())
        };
        if let Err(status) = read.boxed().await {
            code = status.code();
            if !is_to_be_expected(rpc.method, &status) {
                let what = said(&status);
                self.truth.lock().wrong("a call was refused for no reason", &asked, &what);
            }
        }
        self.truth.lock().tally.call(rpc.method, Some(code), asked.begun);
        (asked, messages, ended)
    }

    /// Looks at what is true.
    pub fn judge<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.truth.lock())
    }

    /// Says that a record which nothing deletes was not found, if that is what was told.
    pub fn lasting<A>(&self, told: &Told<A>, kind: Kind, id: i64) {
        if told.is_not_found() {
            self.judge(|state| state.missing(&told.asked, kind, id, false));
        }
    }

    pub fn any(&mut self, ids: std::ops::RangeInclusive<i64>) -> i64 {
        self.random.i64(ids)
    }

    pub fn chance(&mut self, percent: u32) -> bool {
        self.random.u32(..100) < percent
    }
}

async fn unary<Q: Request + Clone>(line: Line, request: &Q, wish: &Wish) -> Result<(Q::Reply, Option<String>), Status> {
    let path = Q::rpc().path;
    match line {
        Line::Tonic(channel) => {
            let mut client = tonic::client::Grpc::new(channel);
            client.ready().await.map_err(|_| Status::unavailable("no connection"))?;
            let mut question = tonic::Request::new(request.clone());
            question.set_timeout(wish.time);
            if let Some(cache) = wish.cache {
                question.metadata_mut().insert("cache-control", cache.parse().expect("ASCII"));
            }
            let codec = ProstCodec::<Q, Q::Reply>::default();
            let reply = client.unary(question, PathAndQuery::from_static(path), codec).await?;
            let cache = reply.metadata().get("x-cache").and_then(|value| value.to_str().ok()).map(str::to_owned);
            Ok((reply.into_inner(), cache))
        }
        Line::Raw(raw) => {
            let timeout = format!("{}m", wish.time.as_millis());
            let mut headers = vec![("grpc-timeout", timeout.as_str())];
            headers.extend(wish.cache.map(|cache| ("cache-control", cache)));
            let answer = raw.call(path, &headers, request).await;
            let answer = answer.map_err(|error| Status::unavailable(error.to_string()))?;
            let status = answer.status();
            match answer.messages.first().filter(|_| status.code() == Code::Ok) {
                Some(message) => Ok((Q::Reply::decode(message.clone()).expect("the reply's own type"), None)),
                None => Err(status),
            }
        }
    }
}

/// What a status says, with the causes that the client has for it.
fn said(status: &Status) -> String {
    let mut text = format!("{:?} \"{}\"", status.code(), status.message());
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
