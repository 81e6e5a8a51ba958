//! Callers who leave: what they asked for is cancelled if it is a read, and carried out if it is a write.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::Request;
use zendesk_gateway::config::Config;
use zendesk_gateway::proto::{CreateGroupRequest, GetGroupRequest, GroupInput};
use zendesk_gateway::sandbox::Outcome;
use zendesk_gateway::sandbox::faults::{Delay, Hang, get, post};

use crate::support::seam::{Seam, records};
use crate::support::{TestGateway, account, settings, until};

fn create(number: i64) -> CreateGroupRequest {
    let group = GroupInput { name: Some(format!("G{number}")), ..Default::default() };
    CreateGroupRequest { group: Some(group) }
}

/// What became of the exchanges of one kind.
#[derive(Default)]
struct Exchanges {
    begun: AtomicU32,
    ended: AtomicU32,
    cut: AtomicU32,
}

impl Exchanges {
    fn seen(&self) -> (u32, u32, u32) {
        let read = |number: &AtomicU32| number.load(Ordering::Relaxed);
        (read(&self.begun), read(&self.ended), read(&self.cut))
    }
}

/// One exchange under way; dropped before its end it was cut.
struct Exchange {
    of: Arc<Exchanges>,
    ended: bool,
}

impl Exchange {
    fn begin(of: &Arc<Exchanges>) -> Self {
        of.begun.fetch_add(1, Ordering::Relaxed);
        Self { of: Arc::clone(of), ended: false }
    }

    fn end(mut self) {
        self.ended = true;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let number = if self.ended { &self.of.ended } else { &self.of.cut };
        number.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_thousand_calls_cancelled_at_50_ms_every_read_is_cut_and_every_write_is_carried_out() {
    let (reads, writes) = (Arc::<Exchanges>::default(), Arc::<Exchanges>::default());
    let mut config = Config::default();
    // A caller alone leaves a sixteenth of the permits: it has 900.
    (config.upstream.queue.permits, config.upstream.queue.waiting) = (960, 1_000);
    let (of_reads, of_writes) = (Arc::clone(&reads), Arc::clone(&writes));
    let t = Seam::new(&config, move |call| {
        let is_read = call.rest.method == http::Method::GET;
        let exchange = Exchange::begin(if is_read { &of_reads } else { &of_writes });
        async move {
            let takes = match exchange.of.seen() {
                // The first read is answered, so that the gateway learns that no budget is stated.
                (1, ..) if is_read => Duration::ZERO,
                _ if is_read => Duration::from_hours(1),
                _ => Duration::from_secs(3),
            };
            sleep(takes).await;
            exchange.end();
            records(&call)
        }
    });
    t.rpc.get_group(Request::new(GetGroupRequest { id: 1, ..Default::default() })).await.expect("answered");
    let (idle, tasks) = (t.control.snapshot(), Handle::current().metrics().num_alive_tasks());

    let mut calls = JoinSet::new();
    for number in 0..500 {
        let rpc = t.rpc.clone();
        calls.spawn(async move { rpc.create_group(Request::new(create(number))).await.map(drop) });
    }
    tokio::task::yield_now().await; // so that no read takes a permit before the writes have theirs
    for id in 2..502 {
        let rpc = t.rpc.clone();
        calls.spawn(async move {
            rpc.get_group(Request::new(GetGroupRequest { id, ..Default::default() })).await.map(drop)
        });
    }
    sleep(Duration::from_millis(50)).await;
    let busy = t.control.snapshot().queue;
    assert_eq!((busy.in_use, busy.waiting), (900, 100), "some wait for a permit, the others for Zendesk");
    assert_eq!(t.cache.counts().flights_in_progress, 500);
    calls.shutdown().await;

    sleep(Duration::from_millis(100)).await;
    // Permits that come free may still reach one that waits before it knows that it is not wanted either.
    let (begun, ended, cut) = reads.seen();
    assert!(ended == 1 && cut >= 400 && begun == ended + cut, "reads begun, ended, cut: {:?}", reads.seen());
    assert_eq!(writes.seen(), (500, 0, 0), "writes begun, ended, cut");
    assert_eq!((t.control.snapshot().queue.in_use, t.control.snapshot().queue.waiting), (500, 0));
    assert_eq!((t.cache.counts().flights_in_progress, t.cache.counts().cancelled_flights), (0, 500));

    sleep(Duration::from_secs(3)).await;
    assert_eq!(writes.seen(), (500, 500, 0), "writes begun, ended, cut");
    let after = t.control.snapshot();
    assert_eq!((after.queue.in_use, after.queue.waiting), (0, 0));
    assert_eq!(after.governor.waiting, idle.governor.waiting);
    assert!(after.breakers.iter().all(|breaker| breaker.opened == 0), "leaving is no failure of Zendesk");
    assert_eq!(Handle::current().metrics().num_alive_tasks(), tasks, "no task is left behind");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn callers_who_leave_take_their_reads_along_at_zendesk_and_leave_their_writes() {
    const EACH: u64 = 45; // fewer in all than one connection may have at once
    let mut config = settings();
    config.upstream.queue.permits = 200;
    let t = TestGateway::configured(account(), config).await;
    t.groups()
        .get_group(GetGroupRequest { id: t.held_memberships()[0].group_id, ..Default::default() })
        .await
        .expect("a group");
    t.sandbox.reset_stats();
    t.sandbox.fault(get("*"), Hang::before_headers().forever());
    t.sandbox.fault(post("/groups"), Delay::by(Duration::from_secs(2)).forever());
    let mut calls = JoinSet::new();
    for number in 1..=EACH.cast_signed() {
        let (mut reads, mut writes) = (t.groups(), t.groups());
        calls.spawn(async move {
            reads.get_group(GetGroupRequest { id: 1_000 + number, ..Default::default() }).await.map(drop)
        });
        calls.spawn(async move { writes.create_group(create(number)).await.map(drop) });
    }
    until(|| t.sandbox.total_hits() == 2 * EACH).await;
    calls.shutdown().await;
    until(|| t.sandbox.stats().in_flight == 0).await;
    assert_eq!(t.sandbox.stats().cancelled, EACH);
    let ended = |method: &str, outcome: Outcome| {
        let requests = t.sandbox.requests();
        requests.iter().filter(|request| request.method == method && request.outcome == outcome).count()
    };
    let each = usize::try_from(EACH).expect("few");
    assert_eq!(ended("GET", Outcome::Cancelled), each, "every read is cut");
    assert_eq!(ended("POST", Outcome::Completed), each, "no write is");
}
